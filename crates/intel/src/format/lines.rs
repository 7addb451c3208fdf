//! Lists and tables with one entry a line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Content;
use crate::range::Range;

/// Longer lines hold nothing that is looked for.
const LINE: usize = 4096;
/// Shorter parts of names would be in too many of them.
const NAME: usize = 4;

fn lines(bytes: &[u8]) -> impl Iterator<Item = &str> {
    let lines = bytes.split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l));
    lines
        .filter(|l| l.len() <= LINE)
        .filter_map(|l| std::str::from_utf8(l).ok())
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with(['#', ';']) && !l.starts_with("//"))
}

/// Splits a line of comma-separated values; quotes may surround a value (RFC 4180).
fn values(line: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let Some(last) = out.last_mut() else { break };
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                last.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => out.push(String::new()),
            c => last.push(c),
        }
    }
    out
}

/// An address, also as a number. A number is IPv4 where it fits: tables of numbers that are IPv6 begin far above.
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(ip) = text.parse() {
        return Some(ip);
    }
    let n: u128 = text.parse().ok()?;
    Some(u32::try_from(n).map_or_else(|_| Ipv6Addr::from_bits(n).into(), |n| Ipv4Addr::from_bits(n).into()))
}

/// A range in two values, or as a network in one; and what follows it.
fn ranged(line: &str) -> Option<(Range, Vec<String>)> {
    let mut v = values(line);
    if v.first()?.contains('/') {
        let range = Range::parse(v.first()?)?;
        return Some((range, v.split_off(1)));
    }
    let range = Range::new(address(v.first()?.trim())?, address(v.get(1)?.trim())?)?;
    Some((range, v.split_off(2)))
}

/// `from,to,number,"holder"` or `network,number,"holder"`.
pub(super) fn networks_csv(bytes: &[u8], content: &mut Content) {
    for line in lines(bytes) {
        let read = ranged(line).and_then(|(range, rest)| Some((range, number(rest.first()?)?, rest)));
        let Some((range, asn, rest)) = read else {
            content.skipped += 1;
            continue;
        };
        if asn == 0 {
            continue;
        }
        content.networks.push((range, asn));
        if let Some(name) = rest.get(1).map(|n| n.trim()).filter(|n| !n.is_empty())
            && content.organizations.last().is_none_or(|(n, _)| *n != asn)
        {
            content.organizations.push((asn, plain(name)));
        }
    }
}

/// `from,to,country` or `network,country`.
pub(super) fn countries_csv(bytes: &[u8], content: &mut Content) {
    for line in lines(bytes) {
        let read = ranged(line).and_then(|(range, rest)| Some((range, country(rest.first()?)?)));
        match read {
            // ZZ is nobody's country.
            Some((_, code)) if code == *b"ZZ" => {}
            Some(entry) => content.countries.push(entry),
            None => content.skipped += 1,
        }
    }
}

/// A network, an address or a range a line.
pub(super) fn networks(bytes: &[u8], content: &mut Content) {
    for line in lines(bytes) {
        let first = line.split([' ', '\t', ',', '#', ';']).next().unwrap_or_default();
        match Range::parse(line).or_else(|| Range::parse(first.trim_matches('"'))) {
            Some(range) => content.ranges.push(range),
            None => content.skipped += 1,
        }
    }
}

/// A number of an autonomous system a line.
pub(super) fn asns(bytes: &[u8], content: &mut Content) {
    for line in lines(bytes) {
        let first = line.split([' ', '\t', ',', '#', ';']).next().unwrap_or_default();
        match number(first.trim_matches('"')) {
            Some(asn) if asn != 0 => content.asns.push(asn),
            _ => content.skipped += 1,
        }
    }
}

/// A part of an organization's name a line.
pub(super) fn organizations(bytes: &[u8], content: &mut Content) {
    for line in lines(bytes) {
        if line.chars().count() < NAME {
            content.skipped += 1;
        } else {
            content.names.push(line.to_owned());
        }
    }
}

fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(text);
    digits.parse().ok()
}

pub(super) fn country(text: &str) -> Option<[u8; 2]> {
    let bytes: [u8; 2] = text.trim().as_bytes().try_into().ok()?;
    bytes.iter().all(u8::is_ascii_alphabetic).then(|| bytes.map(|b| b.to_ascii_uppercase()))
}

/// A name without what terminals obey, at most 96 characters.
pub(super) fn plain(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(96).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(read: fn(&[u8], &mut Content), text: &str) -> Content {
        let mut c = Content::default();
        read(text.as_bytes(), &mut c);
        c
    }

    #[test]
    fn tables_of_networks_are_read_in_their_forms() {
        let text = "20.0.0.0,20.0.0.255,64496,\"Example, \"\"Inc.\"\"\"\r\n# comment\n335544576,335544831,64497,Next\n2a00::/12,AS64498,Six\nrubbish\n1.0.0.0,1.0.0.9,0,none\n";
        let c = content(networks_csv, text);
        assert_eq!(c.networks.len(), 3);
        assert_eq!(c.networks[1].0, Range::parse("20.0.1.0/24").unwrap());
        assert_eq!(c.organizations[0], (64496, "Example, \"Inc.\"".to_owned()));
        assert_eq!(c.skipped, 1);
    }

    #[test]
    fn tables_of_countries_are_read() {
        let c = content(
            countries_csv,
            "20.0.0.0,20.0.0.255,de\n2a00::,2a00::ff,FR\n3.0.0.0,3.0.0.1,ZZ\n1.1.1.1,1.1.1.2,DEU\n",
        );
        assert_eq!(c.countries.iter().map(|(_, c)| *c).collect::<Vec<_>>(), [*b"DE", *b"FR"]);
        assert_eq!(c.skipped, 1);
    }

    #[test]
    fn lists_are_read() {
        let c = content(
            networks,
            "20.0.0.0/8\n20.1.1.1 # somebody\n; note\n20.2.0.1-20.2.0.9\n172.224.0.0/27,US,US-CA,x,\n<html>\n",
        );
        assert_eq!((c.ranges.len(), c.skipped), (4, 1));
        let c = content(asns, "ASN,Entity\nAS64496,x\n64497\n");
        assert_eq!((c.asns, c.skipped), (vec![64496, 64497], 1));
        let c = content(organizations, "Bulletproof\nab\n");
        assert_eq!((c.names.len(), c.skipped), (1, 1));
    }
}
