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
