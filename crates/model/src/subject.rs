use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::HashKey;

/// What a verdict can name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SubjectKind {
    /// One address.
    Ip,
    /// A network.
    Cidr,
    /// A session cookie or bearer token.
    Session,
    /// An account.
    Account,
    /// An API key.
    ApiKey,
    /// A fingerprint.
    Fingerprint,
    /// Several of these at once.
    Compound,
    /// A header with a value, `user-agent: curl/8.5`; the name in lower case.
    Header,
    /// A country, `DE` (ISO 3166-1 alpha-2).
    Country,
    /// An autonomous system, `AS64496`.
    Network,
    /// A host, lower case.
    Host,
    /// A method.
    Method,
    /// A path, `/api/v1/orders/{order_id}`: a part in braces is any one part, `**` at the end any rest.
    Path,
}

impl SubjectKind {
    /// Every kind.
    pub const ALL: [SubjectKind; 13] = [
        SubjectKind::Ip,
        SubjectKind::Cidr,
        SubjectKind::Session,
        SubjectKind::Account,
        SubjectKind::ApiKey,
        SubjectKind::Fingerprint,
        SubjectKind::Compound,
        SubjectKind::Header,
        SubjectKind::Country,
        SubjectKind::Network,
        SubjectKind::Host,
        SubjectKind::Method,
        SubjectKind::Path,
    ];

    /// The name that outputs use.
    pub const fn name(self) -> &'static str {
        match self {
            SubjectKind::Ip => "ip",
            SubjectKind::Cidr => "cidr",
            SubjectKind::Session => "session",
            SubjectKind::Account => "account",
            SubjectKind::ApiKey => "api-key",
            SubjectKind::Fingerprint => "fingerprint",
            SubjectKind::Compound => "compound",
            SubjectKind::Header => "header",
            SubjectKind::Country => "country",
            SubjectKind::Network => "network",
            SubjectKind::Host => "host",
            SubjectKind::Method => "method",
            SubjectKind::Path => "path",
        }
    }
}

impl fmt::Display for SubjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whoever acts, spelled as outputs spell it (secrets masked and hashed, see [`mask_token`]).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Actor {
    /// What it is.
    pub kind: SubjectKind,
    /// How outputs spell it.
    pub value: Arc<str>,
}

/// How the client's address was found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IpSource {
    /// It is the address of the connection.
    Connection,
    /// `Forwarded` of a trusted proxy (RFC 7239).
    Forwarded,
    /// `X-Forwarded-For` of a trusted proxy.
    XForwardedFor,
    /// A header that the site names.
    Header,
    /// A PROXY protocol header.
    ProxyProtocol,
}

impl IpSource {
    /// The name that outputs use.
    pub const fn name(self) -> &'static str {
        match self {
            IpSource::Connection => "connection",
            IpSource::Forwarded => "forwarded",
            IpSource::XForwardedFor => "x-forwarded-for",
            IpSource::Header => "header",
            IpSource::ProxyProtocol => "proxy-protocol",
        }
    }
}

/// The client that acts: its address, its port where known, and how it was found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ClientAddr {
    /// The address.
    pub ip: IpAddr,
    /// The port, where it is known.
    pub port: Option<u16>,
    /// How it was found.
    pub source: IpSource,
    /// The connection came from a proxy (trusted, or learned as one) that named nobody: the address stands for many.
    pub shared: bool,
    /// The address is the word of a source that looks like a proxy and that nobody vouches for: it tells clients apart, and
    /// accuses nobody.
    pub claimed: bool,
}

/// Spells a secret so that it can be recognised but not used: of 16 characters or more the first six, `…#` and a keyed
/// hash of 16 hexadecimal digits; of less the hash alone. Of a JWT its signature part is taken.
pub fn mask_token(key: &HashKey, domain: &str, token: &[u8]) -> String {
    let token = token_bytes(token);
    let hash = key.hash64(domain, &token);
    let text = String::from_utf8_lossy(&token);
    if text.chars().count() < 16 {
        return format!("#{hash:016x}");
    }
    let head: String = text.chars().take(6).map(|c| if c.is_control() { '.' } else { c }).collect();
    format!("{head}…#{hash:016x}")
}

/// What of a session, a device's id or a key is hashed: its percent-escapes undone once, since applications undo those of cookies and queries,
/// and whoever sends one may write it with others; of a JWT its signature part.
pub fn token_bytes(token: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', token).is_none() {
        return Cow::Borrowed(jwt_signature(token).unwrap_or(token));
    }
    let undone = without_escapes(token);
    match jwt_signature(&undone) {
        Some(signature) => Cow::Owned(signature.to_vec()),
        None => Cow::Owned(undone),
    }
}

fn without_escapes(token: &[u8]) -> Vec<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let (mut out, mut rest) = (Vec::with_capacity(token.len()), token);
    while let Some((first, behind)) = rest.split_first() {
        let escaped = match behind {
            [a, b, after @ ..] if *first == b'%' => {
                digit(*a).zip(digit(*b)).map(|(a, b)| (a << 4 | b, after))
            }
            _ => None,
        };
        let (byte, after) = escaped.unwrap_or((*first, behind));
        out.push(byte);
        rest = after;
    }
    out
}

fn jwt_signature(token: &[u8]) -> Option<&[u8]> {
    if !token.starts_with(b"eyJ") {
        return None;
    }
    let behind = |token| memchr::memchr(b'.', token).and_then(|at| token.get(at + 1..));
    let signature = behind(behind(token)?)?;
    (behind(signature).is_none() && signature.len() >= 16).then_some(signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_spelled_without_giving_them_away() {
        let key = HashKey::from_bytes([7; 16]);
        let short = mask_token(&key, "session", b"abc123");
        assert!(short.starts_with('#') && short.len() == 17);
        let long = mask_token(&key, "session", b"0123456789abcdef");
        assert!(long.starts_with("012345…#") && !long.contains("6789"));
        let jwt = mask_token(&key, "session", b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.SflKxwRJSMeKKF2QT4fwpM");
        assert!(jwt.starts_with("SflKxw…#"), "{jwt}");
        for (raw, escaped) in [
            ("s:0123456789abcdef.+/=", "s%3A0123456789abcdef.%2b%2F%3D"),
            ("0123456789abcdef%zz%4", "%30123456789abcdef%zz%4"),
            ("eyJh.eyJz.SflKxwRJSMeKKF2QT4fwpM", "eyJh%2EeyJz%2ESflKxwRJSMeKKF2QT4fwp%4d"),
        ] {
            let of = |text: &str| mask_token(&key, "session", text.as_bytes());
            assert_eq!(of(raw), of(escaped), "{escaped}");
        }
    }
}
