//! Whom no policy may touch, from all that the configuration and the machine know.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use ipnet::IpNet;
use sidetap_intel::{Kind, ListKind};
use sidetap_policy::{AllowEntry, AllowKind, AllowList};
use sidetap_store::AllowedRow;

use crate::clock;
use crate::commands::intel;
use crate::config::Config;

/// Crawlers whose published addresses are let alone; those of AIs are for the site's own rules.
const SEARCH: [&str; 5] = ["googlebot", "google-special", "bingbot", "applebot", "duckduckbot"];

/// The never-block list: what the configuration allows, its partners and monitors, the networks of published search engines,
/// monitoring services and content delivery networks, its own proxies, this machine, its gateway, and who is logged in here.
pub(super) fn never(config: &Config) -> Result<AllowList> {
    let mut list = AllowList::of_nets(&config.policy.allow);
    list.add_nets(&config.policy.operator, Some("the operator"));
    list.add_nets(&config.policy.own_networks, Some("the site's own network"));
    list.add_nets(&config.analysis.trusted_proxies, Some("a load balancer or proxy of the site"));
    for (kind, party) in &config.intel.known {
        list.add_nets(&party.networks, Some(&format!("{} {}", kind.name(), party.name)));
    }
    let table = intel::table(config)?;
    let now = clock::now();
    for (kind, reason) in
        [(Kind::Cdn, "a content delivery network"), (Kind::Monitoring, "a monitoring service")]
    {
        let nets = table.networks_where(now, |f| f.origin.kinds.has(kind));
        list.add_nets(&nets, Some(reason));
    }
    let search = table.networks_where(now, |f| {
        f.lists.iter().any(|l| l.kind == ListKind::Published && SEARCH.contains(&l.name.as_str()))
    });
    list.add_nets(&search, Some("published addresses of a search engine"));
    list.add_nets(&own_addresses(), Some("this machine"));
    list.add_nets(&gateways(), Some("a gateway of this machine"));
    list.add_nets(&logged_in(), Some("who is logged in here"));
    Ok(list)
}

/// Networks whose addresses stand for many people.
pub(super) fn shared(config: &Config) -> Result<Vec<IpNet>> {
    let table = intel::table(config)?;
    let many = |kinds: sidetap_intel::Kinds| kinds.has(Kind::Relay) || kinds.has(Kind::SharedNat);
    let mut nets = config.policy.shared_networks.clone();
    nets.extend(table.networks_where(clock::now(), |f| many(f.origin.kinds)));
    Ok(nets)
}

/// Entries that were made while running.
pub(crate) fn said(rows: &[AllowedRow]) -> AllowList {
    let mut list = AllowList::default();
    for row in rows {
        let kind = match row.kind.as_str() {
            "ip" => AllowKind::Ip,
            "cidr" => AllowKind::Cidr,
            "session" => AllowKind::Session,
            "account" => AllowKind::Account,
            "api-key" => AllowKind::ApiKey,
            _ => AllowKind::Fingerprint,
        };
        let entry = AllowEntry { kind, value: row.value.clone(), reason: Some(row.reason.clone()) };
        if list.push(entry).is_err() {
            crate::output::warn(&format!("entry {} of the allow list is no address", row.id));
        }
    }
    list
}

/// Whether somebody is to enforce of whom it is not known where he is: neither configured nor logged in.
pub(crate) fn operator_is_unknown(config: &Config) -> bool {
    config.policy.operator.is_empty() && logged_in().is_empty()
}

/// Where those come from who are logged in here: of this very session, of every session that other processes are of, and as the
/// system remembers. `sudo` and service managers keep the session from their children.
///
/// Only who has logged in counts: whoever only opens a connection to this machine could else keep himself from being blocked.
fn logged_in() -> Vec<IpNet> {
    let names = ["SSH_CONNECTION", "SSH_CLIENT"];
    let said = names.into_iter().filter_map(|n| std::env::var(n).ok());
    let ip = |text: &str| text.split_whitespace().next().and_then(|ip| ip.parse::<IpAddr>().ok());
    let mut ips: Vec<IpAddr> = said.filter_map(|v| ip(&v)).collect();
    for dir in std::fs::read_dir("/proc").into_iter().flatten().flatten().take(PROCESSES) {
        let environment = std::fs::read(dir.path().join("environ")).unwrap_or_default();
        ips.extend(session_of(&environment).and_then(|text| ip(&text)));
    }
    ips.extend(remembered(&std::fs::read("/run/utmp").unwrap_or_default()));
    ips.retain(|ip| !ip.is_loopback() && !ip.is_unspecified());
    ips.sort_unstable();
    ips.dedup();
    ips.into_iter().map(IpNet::from).collect()
}

/// Processes that are asked for their session.
const PROCESSES: usize = 20_000;

/// What an environment says of the connection that its session came by.
fn session_of(environment: &[u8]) -> Option<String> {
    let value = environment.split(|b| *b == 0).find_map(|v| v.strip_prefix(b"SSH_CONNECTION="))?;
    String::from_utf8(value.to_vec()).ok()
}

/// Where users come from by `utmp`(5): records of 384 bytes, of which those of type 7 are users.
fn remembered(utmp: &[u8]) -> Vec<IpAddr> {
    let users = utmp.chunks_exact(384).filter(|r| r.get(..2) == Some(&7u16.to_le_bytes()));
    let address = |r: &[u8]| -> Option<IpAddr> {
        let bytes: [u8; 16] = r.get(348..364)?.try_into().ok()?;
        let [a, b, c, d, rest @ ..] = bytes;
        Some(match rest.iter().all(|b| *b == 0) {
            true => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            false => IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical(),
        })
    };
    users.filter_map(address).collect()
}

/// Addresses of this machine, as Linux tells; none elsewhere.
fn own_addresses() -> Vec<IpNet> {
    let v4 = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let v6 = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let mut nets: Vec<IpNet> = local_v4(&v4).into_iter().map(|ip| IpNet::from(IpAddr::V4(ip))).collect();
    nets.extend(
        v6.lines().filter_map(|l| hex_v6(l.split_whitespace().next()?)).map(|ip| IpNet::from(IpAddr::V6(ip))),
    );
    nets.retain(|n| !n.addr().is_loopback());
    nets.sort_unstable();
    nets.dedup();
    nets
}

/// Addresses that the line after names as local to this host.
fn local_v4(trie: &str) -> Vec<Ipv4Addr> {
    let lines: Vec<&str> = trie.lines().map(str::trim).collect();
    let local = lines.windows(2).filter_map(|w| match w {
        [leaf, "/32 host LOCAL"] => leaf.strip_prefix("|-- ")?.parse().ok(),
        _ => None,
    });
    local.collect()
}

fn hex_v6(text: &str) -> Option<Ipv6Addr> {
    u128::from_str_radix(text, 16).ok().map(Ipv6Addr::from_bits).filter(|_| text.len() == 32)
}

fn gateways() -> Vec<IpNet> {
    let table = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    let gateways = table.lines().skip(1).filter_map(|l| {
        let bits = u32::from_str_radix(l.split_whitespace().nth(2)?, 16).ok()?;
        (bits != 0).then(|| IpNet::from(IpAddr::V4(Ipv4Addr::from(bits.to_le_bytes()))))
    });
    let mut nets: Vec<IpNet> = gateways.collect();
    nets.extend(gateways_v6(&std::fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default()));
    nets.sort_unstable();
    nets.dedup();
    nets
}

/// Next hops of `/proc/net/ipv6_route`; those of this link only are left out, no packet of a client has them.
fn gateways_v6(table: &str) -> Vec<IpNet> {
    let hops = table.lines().filter_map(|l| hex_v6(l.split_whitespace().nth(4)?));
    let beyond = |ip: &Ipv6Addr| !ip.is_unspecified() && !ip.is_unicast_link_local() && !ip.is_loopback();
    hops.filter(beyond).map(|ip| IpNet::from(IpAddr::V6(ip))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_logged_in_is_known_whoever_started_this() {
        let environment = b"PATH=/bin\0SSH_CONNECTION=203.0.113.7 50022 192.0.2.1 22\0USER=ada\0";
        assert_eq!(session_of(environment).as_deref(), Some("203.0.113.7 50022 192.0.2.1 22"));
        let mut utmp = vec![0; 384 * 3];
        (utmp[0], utmp[384]) = (7, 8);
        utmp[348..352].copy_from_slice(&[203, 0, 113, 9]);
        utmp[384 + 348..384 + 352].copy_from_slice(&[203, 0, 113, 10]);
        assert_eq!(remembered(&utmp)[..], ["203.0.113.9".parse::<IpAddr>().unwrap()]);
        let route = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 20010db8000000000000000000000001 00000400 00000001 00000000 00000003 eth0\n";
        assert_eq!(gateways_v6(route), ["2001:db8::1/128".parse().unwrap()]);
    }

    #[test]
    fn the_machines_own_addresses_are_read() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.5\n        /32 host LOCAL\n     |-- 10.0.0.0\n        /24 link UNICAST\n";
        assert_eq!(local_v4(trie), [Ipv4Addr::new(10, 0, 0, 5)]);
        assert_eq!(hex_v6("20010db8000000000000000000000001"), "2001:db8::1".parse().ok());
    }
}
