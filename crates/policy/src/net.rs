use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sidetap_model::SubjectKind;
use sidetap_model::rows::Subject;

/// The network that a subject is, where it is an address or a network and nothing else.
///
/// A session, an account, a key, a fingerprint or a compound is no address, even where it was seen at one only: others may
/// stand behind it.
pub fn subject_net(subject: &Subject) -> Option<IpNet> {
    match subject.kind {
        SubjectKind::Ip => parse_net(&subject.value).filter(|n| n.prefix_len() == n.max_prefix_len()),
        SubjectKind::Cidr => parse_net(&subject.value),
        _ => None,
    }
}

/// Reads an address or a network; host bits are cleared and an IPv4-mapped IPv6 address becomes the IPv4 one.
pub(crate) fn parse_net(text: &str) -> Option<IpNet> {
    let net = match text.parse::<IpNet>() {
        Ok(net) => net,
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    Some(canonical(net).trunc())
}

/// The same network, an IPv4-mapped one as IPv4.
pub fn canonical(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let (Some(v4), Some(len)) = (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) else {
        return net;
    };
    Ipv4Net::new(v4, len).map_or(net, IpNet::V4)
}

/// Whether the two share an address.
pub(crate) fn overlaps(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

/// Why an address could never be a client on the other side of a device: loopback, unspecified, multicast, link-local,
/// broadcast, or a range that holds one of them.
pub fn never_blockable(net: &IpNet) -> Option<&'static str> {
    let reserved: [(IpNet, &str); 8] = [
        (IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)), "loopback"),
        (IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 8)), "unspecified"),
        (IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 3)), "multicast or reserved"),
        (IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16)), "link-local"),
        (IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)), "loopback"),
        (IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128)), "unspecified"),
        (IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8)), "multicast"),
        (IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10)), "link-local"),
    ];
    reserved.into_iter().find(|(r, _)| overlaps(r, net)).map(|(_, why)| why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_addresses_are_the_addresses_they_map() {
        assert_eq!(parse_net("::ffff:192.0.2.1"), "192.0.2.1/32".parse().ok());
        assert_eq!(parse_net("192.0.2.77/24"), "192.0.2.0/24".parse().ok());
        assert_eq!(parse_net("192.0.2"), None);
    }

    #[test]
    fn reserved_ranges_are_told() {
        for (net, bad) in
            [("127.0.0.1", true), ("0.0.0.0/0", true), ("::1", true), ("::/0", true), ("10.1.2.3", false)]
        {
            assert_eq!(never_blockable(&parse_net(net).unwrap()).is_some(), bad, "{net}");
        }
    }
}
