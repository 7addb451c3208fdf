//! Which hosts are of one site.

/// The site that a host is of: its last two labels, or three where the last two are such as `co.uk`; an address is its own.
pub(super) fn site_of(host: &str) -> &str {
    let host = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(host, |(h, _)| h);
    if host.parse::<std::net::IpAddr>().is_ok() || host.starts_with('[') {
        return host;
    }
    let mut dots = host.rmatch_indices('.').map(|(at, _)| at);
    let (last, second) = (dots.next(), dots.next());
    let (Some(last), Some(second)) = (last, second) else { return host };
    let shared = host.len() - last == 3 && last - second <= 4;
    let from = if shared { dots.next().map_or(0, |at| at + 1) } else { second + 1 };
    host.get(from..).unwrap_or(host)
}
