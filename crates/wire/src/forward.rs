//! Forwarding headers: who a proxy says that it speaks for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sidetap_model::Headers;
use smallvec::SmallVec;

/// Hops kept of a header, from the right: a forger writes on the left.
pub const HOP_LIMIT: usize = 32;

/// Whom one entry names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Node {
    /// An address, with its port where the entry has one.
    Ip(IpAddr, Option<u16>),
    /// `unknown` (RFC 7239 §6.2).
    Unknown,
    /// An obfuscated identifier (RFC 7239 §6.3), or something that is no address.
    Obfuscated,
}

impl Node {
    /// The address, where it names one.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Node::Ip(ip, _) => Some(ip),
            Node::Unknown | Node::Obfuscated => None,
        }
    }
}

/// What the forwarding headers of a request say, nearest proxy last.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hops {
    /// The `for` of each element of `Forwarded` (RFC 7239 §4).
    pub forwarded: SmallVec<[Node; 4]>,
    /// `X-Forwarded-For`.
    pub x_forwarded_for: SmallVec<[Node; 4]>,
}

impl Hops {
    /// True where there is nothing.
    pub fn is_empty(&self) -> bool {
        self.forwarded.is_empty() && self.x_forwarded_for.is_empty()
    }
}

/// Reads `Forwarded` and `X-Forwarded-For`; fields of one name are one list, in their order (RFC 9110 §5.3).
pub fn hops(headers: &Headers) -> Hops {
    let mut hops = Hops::default();
    if !headers.may_have("x-forwarded-for") && !headers.may_have("forwarded") {
        return hops;
    }
    for (name, value) in headers.iter() {
        if name.eq_ignore_ascii_case(b"x-forwarded-for") {
            for entry in value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|e| !e.is_empty()) {
                push(&mut hops.x_forwarded_for, node(entry));
            }
        } else if name.eq_ignore_ascii_case(b"forwarded") {
            for element in Quoted::new(value, b',') {
                let named = Quoted::new(element, b';').find_map(for_value);
                if !element.trim_ascii().is_empty() {
                    push(&mut hops.forwarded, named.map_or(Node::Unknown, node));
                }
            }
        }
    }
    hops
}

/// Reads one address as headers write it: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`, quoted or not.
pub fn node(entry: &[u8]) -> Node {
    let entry = entry.trim_ascii();
    let entry = entry.strip_prefix(b"\"").and_then(|e| e.strip_suffix(b"\"")).unwrap_or(entry);
    if entry.eq_ignore_ascii_case(b"unknown") {
        return Node::Unknown;
    }
    std::str::from_utf8(entry).ok().and_then(address).unwrap_or(Node::Obfuscated)
}

fn address(text: &str) -> Option<Node> {
    if let Some(rest) = text.strip_prefix('[') {
        let (ip, port) = rest.split_once(']')?;
        return Some(Node::Ip(v6(ip)?, port.strip_prefix(':').and_then(|p| p.parse().ok())));
    }
    if let Some(ip) = v6(text) {
        return Some(Node::Ip(ip, None));
    }
    let (ip, port) = match text.split_once(':') {
        Some((ip, port)) => (ip, port.parse().ok()),
        None => (text, None),
    };
    Some(Node::Ip(IpAddr::V4(ip.parse::<Ipv4Addr>().ok()?), port))
}

/// An IPv6 address without its zone; one that maps an IPv4 address is that.
fn v6(text: &str) -> Option<IpAddr> {
    let text = text.split('%').next()?;
    Some(text.parse::<Ipv6Addr>().ok()?.to_canonical())
}

fn for_value(pair: &[u8]) -> Option<&[u8]> {
    let at = pair.iter().position(|b| *b == b'=')?;
    let (name, value) = pair.split_at_checked(at)?;
    name.trim_ascii().eq_ignore_ascii_case(b"for").then(|| value.get(1..).unwrap_or_default().trim_ascii())
}

fn push(list: &mut SmallVec<[Node; 4]>, node: Node) {
    if list.len() == HOP_LIMIT {
        list.remove(0);
    }
    list.push(node);
}

/// The parts of a field value between separators that stand outside quotes.
struct Quoted<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Quoted<'a> {
    fn new(value: &'a [u8], separator: u8) -> Self {
        Quoted { rest: Some(value), separator }
    }
}

impl<'a> Iterator for Quoted<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        let (mut quoted, mut escaped) = (false, false);
        for (at, byte) in rest.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b if *b == self.separator && !quoted => {
                    self.rest = rest.get(at + 1..);
                    return rest.get(..at);
                }
                _ => {}
            }
        }
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[(&str, &str)]) -> Hops {
        let mut headers = Headers::default();
        fields.iter().for_each(|(n, v)| headers.push(n.as_bytes(), v.as_bytes()));
        hops(&headers)
    }

    fn ip(text: &str, port: Option<u16>) -> Node {
        Node::Ip(text.parse().unwrap(), port)
    }

    #[test]
    fn forwarded_reads_as_rfc_7239_writes_it() {
        let got = of(&[
            ("Forwarded", "for=192.0.2.60;proto=http;by=203.0.113.43, For=\"[2001:db8:cafe::17]:4711\""),
            ("forwarded", "proto=https;for=unknown, for=_gazonk, by=1.2.3.4, for=\"a,b\""),
        ]);
        let expected = [
            ip("192.0.2.60", None),
            ip("2001:db8:cafe::17", Some(4711)),
            Node::Unknown,
            Node::Obfuscated,
            Node::Unknown,
            Node::Obfuscated,
        ];
        assert_eq!(got.forwarded.as_slice(), expected);
    }

    #[test]
    fn x_forwarded_for_tolerates_what_proxies_write() {
        let got = of(&[
            ("X-Forwarded-For", "203.0.113.7, 10.0.0.1:443,, [2001:db8::1]"),
            ("x-forwarded-for", "2001:db8::2, ::ffff:192.0.2.9, <script>, fe80::1%eth0"),
        ]);
        let expected = [
            ip("203.0.113.7", None),
            ip("10.0.0.1", Some(443)),
            ip("2001:db8::1", None),
            ip("2001:db8::2", None),
            ip("192.0.2.9", None),
            Node::Obfuscated,
            ip("fe80::1", None),
        ];
        assert_eq!(got.x_forwarded_for.as_slice(), expected);
    }

    #[test]
    fn the_rightmost_hops_survive_a_flood() {
        let flood = format!("{}192.0.2.1", "198.51.100.1,".repeat(1000));
        let got = of(&[("X-Forwarded-For", &flood)]);
        assert_eq!(
            (got.x_forwarded_for.len(), got.x_forwarded_for.last()),
            (HOP_LIMIT, Some(&ip("192.0.2.1", None)))
        );
    }
}
