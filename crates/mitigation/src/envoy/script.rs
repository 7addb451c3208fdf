//! The script for Envoy's Lua filter: what the filter that refuses cannot do.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::entry::Entry;
use crate::place::Place;

use super::EnvoyConfig;

const SCRIPT: &str = include_str!("sidetap.lua");

/// The filter's configuration for one virtual host (`envoy.extensions.filters.http.lua.v3.LuaPerRoute`).
pub(super) fn per_route(config: &EnvoyConfig, entries: &[&Entry]) -> Value {
    let mut everywhere = String::new();
    let mut placed: BTreeMap<&Place, String> = BTreeMap::new();
    for entry in entries {
        let (who, place) = entry.key.who_and_place();
        let Some(net) = who.net() else { continue };
        let whom = if who.is_wide() { net.to_string() } else { net.addr().to_string() };
        let list = place.map_or(&mut everywhere, |p| placed.entry(p).or_default());
        list.push_str(&format!("{whom} {}\n", entry.response));
    }
    let places: String = placed.iter().map(|(place, list)| table_of(place, list)).collect();
    let decoy = &config.decoy;
    let script = SCRIPT
        .replace("LIST\n", &everywhere)
        .replace("PLACED\n", &places)
        .replace("RATE\n", &format!("{}\n", config.rate_per_s))
        .replace("\"TAG\"", &quoted(&config.tag_header))
        .replace("\"DECOY_STATUS\"", &quoted(&decoy.status.to_string()))
        .replace("\"DECOY_TYPE\"", &quoted(&decoy.content_type))
        .replace("DECOY_BODY", &quoted(&decoy.body));
    let kind = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.LuaPerRoute";
    json!({"@type": kind, "source_code": {"inline_string": script}})
}

fn table_of(place: &Place, list: &str) -> String {
    let method = place.method().map(|m| format!("method = {}, ", quoted(m))).unwrap_or_default();
    let host = match (place.host(), place.host().strip_prefix('*')) {
        (_, Some(below)) => format!("below = {}, ", quoted(below)),
        ("", _) => String::new(),
        (host, _) => format!("host = {}, ", quoted(host)),
    };
    let path: Vec<String> = place.path().iter().map(|p| quoted(p)).collect();
    format!("  {{ {method}{host}path = {{ {} }}, list = list_of([[\n{list}]]) }},\n", path.join(", "))
}

/// A text as Lua writes it: every byte that is no letter or digit by its number.
fn quoted(text: &str) -> String {
    let byte = |b: u8| match b.is_ascii_alphanumeric() || b" -_.,/".contains(&b) {
        true => char::from(b).to_string(),
        false => format!("\\{b:03}"),
    };
    format!("\"{}\"", text.bytes().map(byte).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_written_so_that_none_ends_early() {
        assert_eq!(quoted("a\"b\n]]{}"), "\"a\\034b\\010\\093\\093\\123\\125\"");
    }
}
