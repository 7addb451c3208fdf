//! The script for Envoy's Lua filter: what the filter that refuses cannot do.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use serde_json::{Value, json};
use sidetap_model::Decoy;

use crate::entry::Entry;
use crate::key::Key;
use crate::place::Place;
use crate::way::{Way, spelled};

use super::EnvoyConfig;

const SCRIPT: &str = include_str!("sidetap.lua");
/// HAProxy's script, which holds between two such marks what both have in common.
const HAPROXY: &str = include_str!("../../../../docs/connectors/sidetap.lua");
const MARK: &str = "[shared]\n";

/// The filter's configuration for one virtual host (`envoy.extensions.filters.http.lua.v3.LuaPerRoute`).
pub(super) fn per_route(config: &EnvoyConfig, entries: &[&Entry], allow: &[IpNet]) -> Value {
    let mut everywhere = String::new();
    let mut placed: BTreeMap<&Place, String> = BTreeMap::new();
    let mut kinds: BTreeSet<String> = BTreeSet::new();
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    for entry in entries {
        let (who, place) = entry.key.who_and_place();
        kinds.extend(kind_of(who).map(|kind| format!("[{}] = true", quoted(kind))));
        let whom = who.to_string();
        let list = place.map_or(&mut everywhere, |p| placed.entry(p).or_default());
        let how = match &entry.way {
            Some(Way::Decoy(Decoy::Answer { status, content_type, body })) => {
                let answer = answer_of(*status, content_type, body);
                let known = answers.len();
                let at = *answers.entry(answer).or_insert(known) + 1;
                format!("{}={at}", entry.response)
            }
            way => spelled(entry.response, way.as_ref()),
        };
        list.push_str(&format!("{whom} {how}\n"));
    }
    // The narrower place first: of responses that are done as hard the first counts.
    let mut placed: Vec<(&Place, String)> = placed.into_iter().collect();
    placed.sort_by_key(|(place, _)| Reverse(place.narrowness()));
    let places: String = placed.iter().map(|(place, list)| table_of(place, list)).collect();
    let whole = |net: &IpNet| net.prefix_len() == net.max_prefix_len();
    let name = |net: &IpNet| if whole(net) { net.addr().to_string() } else { net.to_string() };
    let never: String = allow.iter().map(|net| format!("{} allow\n", name(net))).collect();
    let mut decoys = vec![String::new(); answers.len()];
    for (text, at) in answers {
        if let Some(place) = decoys.get_mut(at) {
            *place = text;
        }
    }
    let listed = |all: Vec<String>| all.join(", ");
    let hash_key = config.hash_key.as_ref().map_or_else(String::new, |p| p.display().to_string());
    let script = filled(
        SCRIPT,
        &[
            ("SHARED\n", shared().to_owned()),
            ("IN_USE", listed(kinds.into_iter().collect())),
            ("NAMES", listed(config.headers.iter().map(|h| quoted(h)).collect())),
            ("\"HASH_KEY\"", quoted(&hash_key)),
            ("LIST\n", everywhere),
            ("PLACED\n", places),
            ("NEVER\n", never),
            ("RATE\n", format!("{}\n", config.rate_per_s)),
            ("\"TAG\"", quoted(&config.tag_header)),
            ("DECOYS", listed(decoys)),
            ("DECOY", answer_of(config.decoy.status, &config.decoy.content_type, &config.decoy.body)),
        ],
    );
    let kind = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.LuaPerRoute";
    json!({"@type": kind, "source_code": {"inline_string": script}})
}

fn answer_of(status: u16, content_type: &str, body: &str) -> String {
    let (status, kind) = (quoted(&status.to_string()), quoted(content_type));
    format!("{{ status = {status}, type = {kind}, body = {} }}", quoted(body))
}

/// What both scripts have in common.
fn shared() -> &'static str {
    HAPROXY.split(MARK).nth(1).unwrap_or_default().trim_end_matches("-- ")
}

/// The template with each mark replaced, in one pass: what is put in holds no marks, whatever it looks like.
fn filled(template: &str, marks: &[(&str, String)]) -> String {
    let mut out = String::new();
    let mut rest = template;
    let next = |rest: &str| {
        let found = marks.iter().filter_map(|(mark, value)| Some((rest.find(mark)?, *mark, value)));
        found.min_by_key(|(at, ..)| *at)
    };
    while let Some((at, mark, value)) = next(rest) {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(before);
        out.push_str(value);
        rest = from.strip_prefix(mark).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// What a request has to be looked at for, besides its address.
fn kind_of(who: &Key) -> Option<&str> {
    match who {
        Key::Net(_) => None,
        Key::At(_, other) | Key::Within(other, _) => kind_of(other),
        Key::Print(print) => print.split('-').next(),
        Key::Token(kind, _) => Some(kind.name()),
        Key::Header(..) => Some("header"),
    }
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

    #[test]
    fn what_both_scripts_share_is_there() {
        assert!(shared().contains("local function secrets(") && !shared().contains("core."));
        assert!(shared().ends_with("end\n"));
    }

    #[test]
    fn what_is_put_in_holds_no_marks() {
        let marks =
            [("ONE", "TWO ONE".to_owned()), ("\"TWO\"", "2".to_owned()), ("THREE\n", "ONE\n".to_owned())];
        assert_eq!(filled("a ONE b \"TWO\" ONE\nTHREE\nend", &marks), "a TWO ONE b 2 TWO ONE\nONE\nend");
        assert_eq!(filled("", &marks), "");
    }
}
