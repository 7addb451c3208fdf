use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sidetap_model::SubjectKind;
use sidetap_model::rows::{Subject, SubjectPart};
use sidetap_policy::subject_net;

use crate::place::Place;

/// What an entry of a device is compared with. Its text has no spaces and tells its kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// An address or a network: `192.0.2.1`, `192.0.2.0/24`.
    Net(IpNet),
    /// What requests of one address are besides: `192.0.2.1|a1-0123456789abcdef`.
    At(IpAddr, Box<Key>),
    /// A fingerprint wherever it comes from: `s2-0123456789abcdef`.
    Print(String),
    /// The keyed hash of a session or of an API key: `session:0123456789abcdef`.
    Token(SubjectKind, u64),
    /// A header, its name in lower case, and its whole value: `header:user-agent=curl/8.5`.
    Header(String, String),
    /// Any of these at a place only: `192.0.2.1@POST,shop.example/login`.
    Within(Box<Key>, Place),
}

/// A text that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key")]
pub struct NoKey;

impl Key {
    /// The key that a verdict's subject is, where a device could be told of it.
    pub fn of(subject: &Subject) -> Option<Key> {
        if let Some(net) = subject_net(subject) {
            return Some(Key::Net(net));
        }
        match subject.kind {
            SubjectKind::Fingerprint => print(&subject.value).map(Key::Print),
            SubjectKind::Session | SubjectKind::ApiKey | SubjectKind::Account => {
                token(subject.kind, &subject.value)
            }
            SubjectKind::Header => {
                let (name, value) = subject.value.split_once(": ")?;
                header(name, value.to_owned())
            }
            SubjectKind::Compound => {
                let [a, b] = subject.parts.as_slice() else { return None };
                let (ip, other) = if a.kind == SubjectKind::Ip { (a, b) } else { (b, a) };
                let at = ip.value.parse().ok().filter(|_| ip.kind == SubjectKind::Ip)?;
                match Key::of(&Subject::of_parts(vec![other.clone()]))? {
                    Key::Net(_) => None,
                    other => Some(Key::At(at, Box::new(other))),
                }
            }
            _ => None,
        }
    }

    /// The same at one place only.
    #[must_use]
    pub fn within_place(self, place: Place) -> Key {
        Key::Within(Box::new(self), place)
    }

    /// Whom it names, and the place that it is limited to.
    pub fn who_and_place(&self) -> (&Key, Option<&Place>) {
        match self {
            Key::Within(who, place) => (who, Some(place)),
            who => (who, None),
        }
    }

    /// Whom it names, as far as a hash can be named.
    pub fn subject(&self) -> Option<Subject> {
        let part = |kind, value: String| SubjectPart { kind, value };
        let address = |net: &IpNet| match net.prefix_len() == net.max_prefix_len() {
            true => part(SubjectKind::Ip, net.addr().to_string()),
            false => part(SubjectKind::Cidr, net.to_string()),
        };
        let parts = match self {
            Key::Net(net) => vec![address(net)],
            Key::At(ip, other) => {
                let mut parts = vec![address(&IpNet::from(*ip))];
                parts.extend(other.subject().iter().flat_map(Subject::each_part));
                parts
            }
            Key::Print(print) => vec![part(SubjectKind::Fingerprint, print.clone())],
            Key::Token(..) => return None,
            Key::Header(name, value) => vec![part(SubjectKind::Header, format!("{name}: {value}"))],
            Key::Within(who, place) => {
                let mut parts = who.subject()?.each_part();
                parts.extend(place.parts());
                parts
            }
        };
        Some(Subject::of_parts(parts))
    }

    /// The network, where it is one and nothing else.
    pub fn net(&self) -> Option<IpNet> {
        if let Key::Net(net) = self { Some(*net) } else { None }
    }

    /// The addresses that it is limited to.
    pub(crate) fn within(&self) -> Option<IpNet> {
        match self {
            Key::Net(net) => Some(*net),
            Key::At(ip, _) => Some(IpNet::from(*ip)),
            Key::Within(who, _) => who.within(),
            Key::Print(_) | Key::Token(..) | Key::Header(..) => None,
        }
    }

    /// Whether it is a network of more than one address.
    pub(crate) fn is_wide(&self) -> bool {
        self.net().is_some_and(|n| n.prefix_len() != n.max_prefix_len())
    }
}

/// A fingerprint as outputs spell it: a letter, the version of its definition, a hash of 16 hexadecimal digits.
fn print(text: &str) -> Option<String> {
    let (kind, hash) = text.split_once('-')?;
    let fits = kind.len() == 2 && hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    (fits && kind.bytes().all(|b| b.is_ascii_alphanumeric())).then(|| text.to_owned())
}

/// A header whose name is a token (RFC 9110 §5.1) and whose value is of bounded length.
fn header(name: &str, value: String) -> Option<Key> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    let name_fits = !name.is_empty() && name.len() <= 64 && name.bytes().all(fits);
    (name_fits && !value.is_empty() && value.len() <= 512).then(|| Key::Header(name.to_owned(), value))
}

/// Bytes that stand for themselves in the text of a header's value; all others are `%XX`.
fn is_own(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~/".contains(&b)
}

fn decoded(text: &str) -> Option<String> {
    let (mut out, mut rest) = (Vec::new(), text.bytes());
    while let Some(b) = rest.next() {
        match b {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let digits = std::str::from_utf8(&digits).ok()?;
                out.push(u8::from_str_radix(digits, 16).ok()?);
            }
            b if is_own(b) => out.push(b),
            _ => return None,
        }
    }
    String::from_utf8(out).ok()
}

/// The hash at the end of what outputs show of a secret.
fn token(kind: SubjectKind, text: &str) -> Option<Key> {
    hashed(kind, text.rsplit_once('#')?.1)
}

fn hashed(kind: SubjectKind, hash: &str) -> Option<Key> {
    if hash.len() != 16 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(hash, 16).ok().map(|h| Key::Token(kind, h))
}

impl From<IpNet> for Key {
    fn from(net: IpNet) -> Self {
        Key::Net(net)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Net(net) if net.prefix_len() == net.max_prefix_len() => net.addr().fmt(f),
            Key::Net(net) => net.fmt(f),
            Key::At(ip, other) => write!(f, "{ip}|{other}"),
            Key::Print(print) => f.write_str(print),
            Key::Token(kind, hash) => write!(f, "{kind}:{hash:016x}"),
            Key::Header(name, value) => {
                write!(f, "header:{name}=")?;
                value.bytes().try_for_each(|b| match is_own(b) {
                    true => write!(f, "{}", char::from(b)),
                    false => write!(f, "%{b:02X}"),
                })
            }
            Key::Within(who, place) => write!(f, "{who}@{place}"),
        }
    }
}

impl FromStr for Key {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        if let Ok(net) = text.parse::<IpNet>() {
            return Ok(Key::Net(net));
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Key::Net(ip.into()));
        }
        if let Some((who, place)) = text.split_once('@') {
            return match who.parse()? {
                Key::Within(..) => Err(NoKey),
                who => Ok(Key::Within(Box::new(who), place.parse()?)),
            };
        }
        if let Some((ip, other)) = text.split_once('|') {
            let ip = ip.parse().map_err(|_| NoKey)?;
            return match other.parse()? {
                Key::Net(_) | Key::At(..) => Err(NoKey),
                other => Ok(Key::At(ip, Box::new(other))),
            };
        }
        match text.split_once(':') {
            Some(("header", rest)) => {
                rest.split_once('=').and_then(|(name, value)| header(name, decoded(value)?))
            }
            Some(("session", hash)) => hashed(SubjectKind::Session, hash),
            Some(("api-key", hash)) => hashed(SubjectKind::ApiKey, hash),
            Some(("account", hash)) => hashed(SubjectKind::Account, hash),
            _ => print(text).map(Key::Print),
        }
        .ok_or(NoKey)
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(|_| serde::de::Error::custom(format!("`{text}` is no key")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidetap_model::rows::SubjectPart;

    #[test]
    fn keys_are_read_as_they_are_written() {
        for text in [
            "192.0.2.1",
            "192.0.2.0/24",
            "2001:db8::/32",
            "192.0.2.1|a1-0123456789abcdef",
            "2001:db8::1|s2-0123456789abcdef",
            "s2-0123456789abcdef",
            "session:00000000000000ff",
            "api-key:0123456789abcdef",
            "account:0123456789abcdef",
            "192.0.2.1|session:00000000000000ff",
            "header:user-agent=curl/8.5%20%28x%3B%20%C3%A4%29",
            "192.0.2.0/24@POST,shop.example/api/*/items",
            "192.0.2.1|a1-0123456789abcdef@*,/login/**",
        ] {
            assert_eq!(text.parse::<Key>().map(|k| k.to_string()), Ok(text.to_owned()));
        }
        for text in [
            "",
            "deny",
            "192.0.2",
            "192.0.2.1|deny",
            "s2-012345678",
            "account:012345",
            "session:1",
            "192.0.2.1|192.0.2.2",
            "header:a b=c",
            "header:a=",
            "header:a=b c",
            "192.0.2.1@x",
            "192.0.2.1@*,/a@*,/b",
        ] {
            assert_eq!(text.parse::<Key>(), Err(NoKey), "{text}");
        }
    }

    #[test]
    fn subjects_become_the_narrowest_key() {
        let part = |kind, value: &str| SubjectPart { kind, value: value.to_owned() };
        let subject = |kind, value: &str, parts| Subject { kind, value: value.to_owned(), parts };
        let parts =
            vec![part(SubjectKind::Fingerprint, "a1-0123456789abcdef"), part(SubjectKind::Ip, "192.0.2.1")];
        let text = |s: &Subject| Key::of(s).map(|k| k.to_string());
        let both = subject(SubjectKind::Compound, "a1-0123456789abcdef + 192.0.2.1", parts);
        assert_eq!(text(&both).unwrap(), "192.0.2.1|a1-0123456789abcdef");
        let session = subject(SubjectKind::Session, "eyJhbG…#0123456789abcdef", Vec::new());
        assert_eq!(text(&session).unwrap(), "session:0123456789abcdef");
        let account = text(&subject(SubjectKind::Account, "#0123456789abcdef", Vec::new()));
        assert_eq!(account.as_deref(), Some("account:0123456789abcdef"));
        let both = vec![part(SubjectKind::Ip, "192.0.2.1"), part(SubjectKind::Session, "#0123456789abcdef")];
        let both = text(&subject(SubjectKind::Compound, "x", both));
        assert_eq!(both.as_deref(), Some("192.0.2.1|session:0123456789abcdef"));
        let odd = vec![part(SubjectKind::Ip, "192.0.2.1"), part(SubjectKind::Ip, "192.0.2.2")];
        assert_eq!(text(&subject(SubjectKind::Compound, "x", odd)), None);
        let agent = subject(SubjectKind::Header, "user-agent: curl/8.5", Vec::new());
        assert_eq!(text(&agent).as_deref(), Some("header:user-agent=curl/8.5"));
    }
}
