//! Published ranges as JSON: `{"prefixes":[{"ipv4Prefix":"…"}]}` and its many kin.

use serde_json::Value;

use super::Content;
use crate::range::Range;

/// Takes every string that is a network, and addresses where a whole list holds nothing else.
pub(super) fn read(bytes: &[u8], content: &mut Content) -> Result<(), String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|e| format!("not JSON: {e}"))?;
    walk(&value, content);
    Ok(())
}

// serde_json refuses what is nested deeper than 128 levels.
fn walk(value: &Value, content: &mut Content) {
    match value {
        Value::String(text) => content.ranges.extend(Range::parse(text)),
        Value::Array(list) => list.iter().for_each(|v| walk(v, content)),
        Value::Object(map) => map.values().for_each(|v| walk(v, content)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_forms_are_read() {
        let ranges = |text: &str| {
            let mut c = Content::default();
            read(text.as_bytes(), &mut c).unwrap();
            c.ranges.len()
        };
        assert_eq!(
            ranges(
                r#"{"creationTime":"2026-01-01T00:00:00","prefixes":[{"ipv6Prefix":"2a00::/64"},{"ipv4Prefix":"20.0.0.0/27"}]}"#
            ),
            2
        );
        assert_eq!(
            ranges(
                r#"{"prefixes":[{"ip_prefix":"20.0.0.0/15","region":"x"}],"ipv6_prefixes":[{"ipv6_prefix":"2a00::/40"}]}"#
            ),
            2
        );
        assert_eq!(ranges(r#"{"addresses":["20.0.0.0/20"],"ipv6_addresses":["2a00::/32"]}"#), 2);
        assert_eq!(ranges(r#"{"ips":[{"ip_address":"20.0.0.1"}]}"#), 1);
        assert!(read(b"<html>", &mut Content::default()).is_err());
    }
}
