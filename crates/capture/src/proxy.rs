//! The PROXY protocol, versions 1 and 2 (haproxy.org/download/3.0/doc/proxy-protocol.txt).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sidetap_model::Addr;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1 (§2.1).
const LONGEST_LINE: usize = 107;

/// What stands in front of a connection's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Header {
    /// No PROXY header.
    None,
    /// The beginning of one.
    Partial,
    /// One of `len` bytes; the client where it names one.
    Complete { len: usize, client: Option<Addr> },
}

/// Reads a header from the start of `bytes`.
pub(crate) fn parse(bytes: &[u8]) -> Header {
    if bytes.is_empty() {
        return Header::None;
    }
    if bytes.starts_with(b"PROXY ") {
        return line(bytes);
    }
    let signature = SIGNATURE.get(..bytes.len()).unwrap_or(SIGNATURE);
    // One line end may be the empty line before a request as well.
    if bytes.starts_with(signature) && bytes.len() > 4 {
        return binary(bytes);
    }
    Header::None
}

fn line(bytes: &[u8]) -> Header {
    let window = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
    let Some(end) = window.windows(2).position(|w| w == b"\r\n") else {
        return if bytes.len() < LONGEST_LINE { Header::Partial } else { Header::None };
    };
    let text = window.get(..end).and_then(|l| std::str::from_utf8(l).ok()).unwrap_or_default();
    let mut words = text.split(' ').skip(1);
    let client = match words.next() {
        // A method may be called so as well: the next word is one of these three (§2.1).
        Some("TCP4" | "TCP6") => {
            let ip = words.next().and_then(|w| w.parse().ok());
            let port = words.nth(1).and_then(|w| w.parse().ok());
            ip.zip(port).map(|(ip, port)| Addr { ip, port })
        }
        Some("UNKNOWN") => None,
        _ => return Header::None,
    };
    Header::Complete { len: end + 2, client }
}

fn binary(bytes: &[u8]) -> Header {
    let Some([command, family, high, low]) = bytes.get(12..16) else { return Header::Partial };
    let len = 16 + usize::from(u16::from_be_bytes([*high, *low]));
    let Some(body) = bytes.get(16..len) else { return Header::Partial };
    let client = match (command & 0x0f, family >> 4) {
        (1, 1) => body.first_chunk::<12>().map(|b| {
            let [a, c, d, e, _, _, _, _, p, q, ..] = *b;
            Addr { ip: IpAddr::V4(Ipv4Addr::new(a, c, d, e)), port: u16::from_be_bytes([p, q]) }
        }),
        (1, 2) => body.first_chunk::<16>().and_then(|ip| {
            let port = body.get(32..34)?.try_into().ok().map(u16::from_be_bytes)?;
            Some(Addr { ip: IpAddr::V6(Ipv6Addr::from(*ip)), port })
        }),
        _ => None,
    };
    Header::Complete { len, client }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_name_the_client() {
        let text = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\nGET / HTTP/1.1\r\n";
        let client = Some(Addr { ip: "192.0.2.1".parse().unwrap(), port: 56324 });
        assert_eq!(parse(text), Header::Complete { len: 42, client });
        assert_eq!(parse(b"PROXY UNKNOWN\r\n"), Header::Complete { len: 15, client: None });
        assert_eq!(parse(b"PROXY TCP4 19"), Header::Partial);
        let mut binary = SIGNATURE.to_vec();
        binary.extend([0x21, 0x11, 0, 12, 192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 0x04, 1, 0xbb]);
        assert_eq!(parse(&binary), Header::Complete { len: 28, client });
        assert_eq!(parse(&binary[..20]), Header::Partial);
        assert_eq!(parse(b"\r\nGET / HTTP/1.1"), Header::None);
        assert_eq!(parse(b"GET /"), Header::None);
        assert_eq!(parse(b"PROXY /f HTTP/1.1\r\n"), Header::None);
    }
}
