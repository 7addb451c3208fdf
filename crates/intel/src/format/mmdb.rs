//! MaxMind DB files.

use maxminddb::{Reader, WithinOptions};
use serde::Deserialize;

use super::{Content, lines};
use crate::range::Range;

/// What is looked for in a record, in the shape that the common databases share.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Record {
    autonomous_system_number: Option<u32>,
    autonomous_system_organization: Option<String>,
    country: Option<Country>,
    registered_country: Option<Country>,
    country_code: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Country {
    iso_code: Option<String>,
}

/// Reads all networks of a database.
pub(super) fn read(bytes: &[u8], content: &mut Content) -> Result<(), String> {
    let reader = Reader::from_source(bytes).map_err(|e| format!("not a MaxMind DB: {e}"))?;
    let all = if reader.metadata().ip_version == 6 { "::/0" } else { "0.0.0.0/0" };
    let all = all.parse().map_err(|e| format!("{e}"))?;
    let found = reader.within(all, WithinOptions::default()).map_err(|e| e.to_string())?;
    for entry in found {
        let entry = entry.map_err(|e| e.to_string())?;
        let network = entry.network().map_err(|e| e.to_string())?;
        // In a tree of IPv6 the first 2^32 addresses are those of IPv4.
        let Some(range) = Range::parse(&network.to_string()).map(embedded) else {
            content.skipped += 1;
            continue;
        };
        match entry.decode::<Record>() {
            Ok(Some(record)) => take(range, record, content),
            Ok(None) => {}
            Err(_) => content.skipped += 1,
        }
    }
    Ok(())
}

fn embedded(range: Range) -> Range {
    match range {
        Range::V6(a, b) => match (u32::try_from(a), u32::try_from(b)) {
            (Ok(a), Ok(b)) => Range::V4(a, b),
            _ => range,
        },
        v4 => v4,
    }
}

fn take(range: Range, record: Record, content: &mut Content) {
    let mut said = false;
    if let Some(asn) = record.autonomous_system_number.filter(|n| *n != 0) {
        content.networks.push((range, asn));
        said = true;
        if let Some(name) = record.autonomous_system_organization {
            content.organizations.push((asn, lines::plain(&name)));
        }
    }
    let code = |c: Option<Country>| c.and_then(|c| c.iso_code);
    let country = code(record.country).or_else(|| code(record.registered_country)).or(record.country_code);
    if let Some(code) = country.as_deref().and_then(lines::country) {
        content.countries.push((range, code));
        said = true;
    }
    if !said {
        content.ranges.push(range);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(s: &str) -> Vec<u8> {
        let long = s.len().checked_sub(29).map(|more| [0x40 | 29, more as u8]);
        match long {
            Some(head) => [&head[..], s.as_bytes()].concat(),
            None => [&[0x40 | s.len() as u8], s.as_bytes()].concat(),
        }
    }

    fn number(n: u32) -> Vec<u8> {
        [&[0xc4][..], &n.to_be_bytes()].concat()
    }

    fn map(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut out = vec![0xe0 | pairs.len() as u8];
        for (key, value) in pairs {
            out.extend(text(key));
            out.extend(value);
        }
        out
    }

    /// A database of IPv4 that knows 20.0.0.0/8 and nothing else, by the specification of the format.
    fn database() -> Vec<u8> {
        let depth = 8u32;
        let mut out = Vec::new();
        for level in 0..depth {
            let way = 20u32 >> (7 - level) & 1;
            let next = if level + 1 == depth { depth + 16 } else { level + 1 };
            let (left, right) = if way == 0 { (next, depth) } else { (depth, next) };
            for record in [left, right] {
                out.extend_from_slice(&record.to_be_bytes()[1..]);
            }
        }
        out.extend_from_slice(&[0; 16]);
        out.extend(map(&[
            ("autonomous_system_number", number(64_496)),
            ("autonomous_system_organization", text("Example")),
            ("country", map(&[("iso_code", text("DE"))])),
        ]));
        out.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        out.extend(map(&[
            ("node_count", number(depth)),
            ("record_size", vec![0xa1, 24]),
            ("ip_version", vec![0xa1, 4]),
            ("database_type", text("Test")),
            ("languages", vec![0x00, 0x04]),
            ("binary_format_major_version", vec![0xa1, 2]),
            ("binary_format_minor_version", vec![0xa1, 0]),
            ("build_epoch", vec![0x01, 0x02, 5]),
            ("description", map(&[])),
        ]));
        out
    }

    #[test]
    fn networks_and_countries_of_a_database_are_read() {
        let mut content = Content::default();
        read(&database(), &mut content).unwrap();
        let range = Range::parse("20.0.0.0/8").unwrap();
        assert_eq!(content.networks, [(range, 64_496)]);
        assert_eq!(content.countries, [(range, *b"DE")]);
        assert_eq!(content.organizations, [(64_496, "Example".to_owned())]);
    }

    #[test]
    fn damaged_databases_are_refused_or_read_in_part() {
        let whole = database();
        assert!(read(b"no database", &mut Content::default()).is_err());
        for n in 0..whole.len() {
            let _ = read(&whole[..n], &mut Content::default());
            let mut flipped = whole.clone();
            flipped[n] ^= 0xff;
            let _ = read(&flipped, &mut Content::default());
        }
    }
}
