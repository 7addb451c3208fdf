use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Addresses from one to another, both included and of one family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Range {
    /// IPv4.
    V4(u32, u32),
    /// IPv6.
    V6(u128, u128),
}

impl Range {
    /// From one address to another; nothing where they are of two families or in the wrong order. IPv4 written as mapped IPv6
    /// is IPv4.
    pub fn new(from: IpAddr, to: IpAddr) -> Option<Self> {
        match (from.to_canonical(), to.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) if a <= b => Some(Range::V4(a.to_bits(), b.to_bits())),
            (IpAddr::V6(a), IpAddr::V6(b)) if a <= b => Some(Range::V6(a.to_bits(), b.to_bits())),
            _ => None,
        }
    }

    /// A network, an address, or `from-to`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(net) = text.parse::<IpNet>() {
            return Some(net.trunc().into());
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Range::new(ip, ip);
        }
        let (from, to) = text.split_once('-')?;
        Range::new(from.trim().parse().ok()?, to.trim().parse().ok()?)
    }

    /// Addresses in it; saturates.
    pub fn len(self) -> u128 {
        match self {
            Range::V4(a, b) => u128::from(b - a) + 1,
            Range::V6(a, b) => (b - a).saturating_add(1),
        }
    }

    /// False: a range holds an address at least.
    pub fn is_empty(self) -> bool {
        false
    }

    /// Its first address.
    pub fn first(self) -> IpAddr {
        match self {
            Range::V4(a, _) => Ipv4Addr::from_bits(a).into(),
            Range::V6(a, _) => Ipv6Addr::from_bits(a).into(),
        }
    }
}

impl From<IpNet> for Range {
    fn from(net: IpNet) -> Self {
        match net {
            IpNet::V4(n) => Range::V4(n.network().to_bits(), n.broadcast().to_bits()),
            IpNet::V6(n) => Range::V6(n.network().to_bits(), n.broadcast().to_bits()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_addresses_and_ranges_are_read() {
        assert_eq!(Range::parse("192.0.2.7/24"), Some(Range::V4(0xc000_0200, 0xc000_02ff)));
        assert_eq!(Range::parse("192.0.2.1"), Some(Range::V4(0xc000_0201, 0xc000_0201)));
        assert_eq!(Range::parse("192.0.2.1 - 192.0.2.3").unwrap().len(), 3);
        assert_eq!(Range::parse("::ffff:192.0.2.1"), Some(Range::V4(0xc000_0201, 0xc000_0201)));
        assert_eq!(Range::parse("::/0").unwrap().len(), u128::MAX);
        for bad in ["", "x", "192.0.2.3-192.0.2.1", "192.0.2.1-::1", "192.0.2.0/33"] {
            assert_eq!(Range::parse(bad), None, "{bad}");
        }
    }
}
