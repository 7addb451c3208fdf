//! Addresses and endpoints as places by which verdicts are found: an address by its bits, so that a network is all that lies between
//! two places.

use std::net::IpAddr;

/// The place of an address.
pub(crate) fn place(address: IpAddr) -> String {
    match address {
        IpAddr::V4(a) => format!("i4{:08x}", a.to_bits()),
        IpAddr::V6(a) => format!("i6{:032x}", a.to_bits()),
    }
}

/// The place of an endpoint, as verdicts name it: `host/template`.
pub(crate) fn host_place(host: &str) -> String {
    format!("h{host}")
}

/// Whether one of the addresses of a column (`|a|b|`) is this one, or lies in this network in CIDR notation.
pub(crate) fn any_within(addresses: &str, net: &str) -> bool {
    let Some((first, last)) = places_within(net) else { return false };
    let places = addresses.split('|').filter_map(|a| a.parse().ok()).map(place);
    places.into_iter().any(|p| p >= first && p <= last)
}

/// The first and the last place of an address, or of a network in CIDR notation; nothing where it is neither.
pub(crate) fn places_within(net: &str) -> Option<(String, String)> {
    let (base, length) = net.split_once('/').map_or((net, None), |(base, length)| (base, Some(length)));
    let base = base.parse::<IpAddr>().ok()?;
    let width: u32 = if base.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Some(width), |text| text.parse::<u32>().ok())?.min(width);
    let rest = width - length;
    let free = if rest == 128 { u128::MAX } else { (1 << rest) - 1 };
    Some(match base {
        IpAddr::V4(a) => {
            let free = u32::try_from(free).unwrap_or(u32::MAX);
            (place(IpAddr::V4((a.to_bits() & !free).into())), place(IpAddr::V4((a.to_bits() | free).into())))
        }
        IpAddr::V6(a) => {
            (place(IpAddr::V6((a.to_bits() & !free).into())), place(IpAddr::V6((a.to_bits() | free).into())))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lie_in_networks() {
        let within = |net: &str| any_within("|203.0.113.7|2001:db8::1|", net);
        for net in ["203.0.113.7", "203.0.113.0/24", "0.0.0.0/0", "2001:db8::/32", "::/0", "203.0.113.7/32"] {
            assert!(within(net), "{net}");
        }
        for net in ["203.0.113.8", "203.0.112.0/24", "2001:db9::/32", "x", "203.0.113.0/y", "203.0.113.6/32"]
        {
            assert!(!within(net), "{net}");
        }
        assert!(!any_within("|", "0.0.0.0/0") && !any_within("|::1|", "0.0.0.0/0"));
    }
}
