use std::net::IpAddr;

/// Whether one of the addresses of a column (`|a|b|`) is this one, or lies in this network in CIDR notation.
pub(crate) fn any_within(addresses: &str, net: &str) -> bool {
    let (base, length) = net.split_once('/').map_or((net, None), |(base, length)| (base, Some(length)));
    let Ok(base) = base.parse::<IpAddr>() else { return false };
    let length = match length {
        None => 128,
        Some(text) => match text.parse::<u32>() {
            Ok(length) => length,
            Err(_) => return false,
        },
    };
    addresses.split('|').filter_map(|a| a.parse().ok()).any(|a| within(a, base, length))
}

fn within(address: IpAddr, base: IpAddr, length: u32) -> bool {
    match (address, base) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(u128::from(a.to_bits()), u128::from(b.to_bits()), 32, length),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128, length),
        _ => false,
    }
}

fn same(a: u128, b: u128, width: u32, length: u32) -> bool {
    let rest = width.saturating_sub(length);
    rest >= width || (a ^ b) >> rest == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lie_in_networks() {
        let all = "|203.0.113.7|2001:db8::1|";
        for net in ["203.0.113.7", "203.0.113.0/24", "0.0.0.0/0", "2001:db8::/32", "::/0", "203.0.113.7/32"] {
            assert!(any_within(all, net), "{net}");
        }
        for net in ["203.0.113.8", "203.0.112.0/24", "2001:db9::/32", "x", "203.0.113.0/y", "203.0.113.6/32"]
        {
            assert!(!any_within(all, net), "{net}");
        }
        assert!(!any_within("|", "0.0.0.0/0"));
    }
}
