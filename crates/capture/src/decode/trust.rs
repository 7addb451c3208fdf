use std::net::IpAddr;

use ipnet::IpNet;

use super::segment::mix;

/// Between which networks tunnels are believed.
///
/// Anybody can write an IP packet into another one and send it past a mirror: whatever addresses stand inside, no router looked at
/// them. What comes in a tunnel both ends of which lie in trusted networks is taken like what comes without one. Other tunnels are read
/// too, but what is in them joins no flow outside of them, and says nothing of the clients whose addresses it bears.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TunnelTrust(Vec<IpNet>);

impl TunnelTrust {
    /// Networks that nobody can name as the sender of what he sends from outside: private, shared, link-local and unique local ones
    /// (RFC 1918, RFC 6598, RFC 3927, RFC 4291 §2.5.6, RFC 4193) and those of the machine itself.
    pub const USUAL: [&str; 9] = [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "127.0.0.0/8",
        "fc00::/7",
        "fe80::/10",
        "::1/128",
    ];

    /// Tunnels within and between these networks.
    pub const fn new(networks: Vec<IpNet>) -> Self {
        TunnelTrust(networks)
    }

    pub(super) fn covers(&self, (a, b): (IpAddr, IpAddr)) -> bool {
        let has = |ip| self.0.iter().any(|net| net.contains(&ip));
        has(a) && has(b)
    }
}

impl Default for TunnelTrust {
    fn default() -> Self {
        TunnelTrust(Self::USUAL.iter().filter_map(|net| net.parse().ok()).collect())
    }
}

/// A number of the tunnel between two ends, in either direction, which may itself be in one; never 0.
pub(super) fn within(outer: u32, (a, b): (IpAddr, IpAddr)) -> u32 {
    let number = |ip| match ip {
        IpAddr::V4(v4) => mix(u64::from(u32::from(v4))),
        IpAddr::V6(v6) => mix(u128::from(v6) as u64) ^ mix((u128::from(v6) >> 64) as u64 ^ 1),
    };
    mix(number(a).wrapping_add(number(b)) ^ u64::from(outer)) as u32 | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunnels_are_trusted_by_both_ends_and_told_apart_by_them() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let usual = TunnelTrust::default();
        assert_eq!(usual.0.len(), TunnelTrust::USUAL.len());
        assert!(
            usual.covers((ip("10.1.2.3"), ip("192.168.7.7"))) && usual.covers((ip("fd00::1"), ip("fe80::2")))
        );
        assert!(!usual.covers((ip("10.1.2.3"), ip("198.51.100.7"))));
        assert!(!usual.covers((ip("2001:db8::1"), ip("fd00::1"))));
        let (a, b, c) = (ip("198.51.100.1"), ip("198.51.100.2"), ip("2001:db8::3"));
        assert_eq!(within(0, (a, b)), within(0, (b, a)));
        let all =
            [within(0, (a, b)), within(0, (a, c)), within(within(0, (a, c)), (a, b)), within(0, (a, a))];
        let distinct: std::collections::BTreeSet<u32> = all.into_iter().collect();
        assert!(distinct.len() == 4 && !distinct.contains(&0));
    }
}
