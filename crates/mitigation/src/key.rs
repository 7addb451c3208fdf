use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sidetap_model::SubjectKind;
use sidetap_model::rows::{Subject, SubjectPart};
use sidetap_policy::subject_net;

/// What an entry of a device is compared with. Its text has no spaces and tells its kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// An address or a network: `192.0.2.1`, `192.0.2.0/24`.
    Net(IpNet),
    /// A fingerprint at one address: `192.0.2.1|a1-0123456789abcdef`.
    At(IpAddr, String),
    /// A fingerprint wherever it comes from: `s2-0123456789abcdef`.
    Print(String),
    /// The keyed hash of a session or of an API key: `session:0123456789abcdef`.
    Token(SubjectKind, u64),
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
            SubjectKind::Session | SubjectKind::ApiKey => token(subject.kind, &subject.value),
            SubjectKind::Compound => {
                let [a, b] = subject.parts.as_slice() else { return None };
                let (ip, other) = if a.kind == SubjectKind::Ip { (a, b) } else { (b, a) };
                let at = ip.value.parse().ok().filter(|_| ip.kind == SubjectKind::Ip)?;
                let print = print(&other.value).filter(|_| other.kind == SubjectKind::Fingerprint)?;
                Some(Key::At(at, print))
            }
            _ => None,
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
            Key::At(ip, print) => {
                vec![address(&IpNet::from(*ip)), part(SubjectKind::Fingerprint, print.clone())]
            }
            Key::Print(print) => vec![part(SubjectKind::Fingerprint, print.clone())],
            Key::Token(..) => return None,
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
            Key::Print(_) | Key::Token(..) => None,
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
            Key::At(ip, print) => write!(f, "{ip}|{print}"),
            Key::Print(print) => f.write_str(print),
            Key::Token(kind, hash) => write!(f, "{kind}:{hash:016x}"),
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
        if let Some((ip, fingerprint)) = text.split_once('|') {
            let ip = ip.parse().map_err(|_| NoKey)?;
            return print(fingerprint).map(|p| Key::At(ip, p)).ok_or(NoKey);
        }
        match text.split_once(':') {
            Some(("session", hash)) => hashed(SubjectKind::Session, hash),
            Some(("api-key", hash)) => hashed(SubjectKind::ApiKey, hash),
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
        ] {
            assert_eq!(text.parse::<Key>().map(|k| k.to_string()), Ok(text.to_owned()));
        }
        for text in
            ["", "deny", "192.0.2", "192.0.2.1|deny", "s2-012345678", "account:0123456789abcdef", "session:1"]
        {
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
        assert_eq!(text(&subject(SubjectKind::Account, "#0123456789abcdef", Vec::new())), None);
        let odd = vec![part(SubjectKind::Ip, "192.0.2.1"), part(SubjectKind::Session, "#0123456789abcdef")];
        assert_eq!(text(&subject(SubjectKind::Compound, "x", odd)), None);
    }
}
