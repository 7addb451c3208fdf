//! Names of fields and parameters that are values: maps keyed by mail address, token or number, queries without `=`.
//!
//! Outputs name fields, so a name that is a value would give it away; and a thousand such names are one field.

use crate::segment::{STRONG, Shape, read_whole};

/// What stands for a name that is a value.
pub(crate) const KEY: &str = "{key}";

/// True where a name reads as a value and not as what somebody calls a field.
pub(crate) fn is_value(name: &str) -> bool {
    if name.len() < 5 || !name.bytes().any(|b| b.is_ascii_digit() || b == b'@' || b == b'+') {
        return false;
    }
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    if name.contains('@') || digits * 2 > name.len() {
        return true;
    }
    let read = read_whole(name);
    read.score >= STRONG && !matches!(read.shape, Shape::Word | Shape::Domain | Shape::Text)
        || name.len() >= 16
            && !name.contains(['_', '-', '.', ' '])
            && (digits >= 2 && name.len() >= 20 || !name.bytes().any(|b| b.is_ascii_lowercase()))
}

/// A path with the names that are values replaced; nothing where there is none.
pub(crate) fn public_path(path: &str) -> Option<String> {
    if !path.bytes().any(|b| b.is_ascii_digit() || b == b'@') {
        return None;
    }
    let mut out = String::with_capacity(path.len());
    let mut changed = false;
    let mut rest = path;
    while !rest.is_empty() {
        let (lead, name, tail, after) = next(rest);
        out.push_str(lead);
        if is_value(name) {
            out.truncate(out.len() - lead.len());
            out.push('.');
            out.push_str(KEY);
            changed = true;
        } else {
            out.push_str(name);
            out.push_str(tail);
        }
        rest = after;
    }
    changed.then_some(out)
}

/// The byte ranges of a path's names, each with what leads to it and behind it: `$.rooms['!x'][*].n` has three.
pub(crate) fn steps(path: &str) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut rest = path;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let start = path.len() - rest.len();
            let (lead, name, tail, after) = next(rest);
            rest = after;
            if !name.is_empty() && lead != "$" {
                return Some(start..start + lead.len() + name.len() + tail.len());
            }
        }
        None
    })
}

/// The next name of a path with what stands before and behind it, and the rest.
fn next(path: &str) -> (&str, &str, &str, &str) {
    if let Some(quoted) = path.strip_prefix("['") {
        let end = quoted.find("']").unwrap_or(quoted.len());
        let (name, rest) = quoted.split_at(end);
        let (tail, rest) = rest.split_at(rest.len().min(2));
        return ("['", name, tail, rest);
    }
    if let Some(rest) = path.strip_prefix("[*]") {
        return ("[*]", "", "", rest);
    }
    let lead_len = usize::from(path.starts_with(['.', '$']));
    let (lead, rest) = path.split_at(lead_len);
    let end = rest.find(['.', '[']).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    if lead.is_empty() && name.is_empty() {
        // An odd byte that is neither: taken as it is, so that the walk ends.
        let step = rest.chars().next().map_or(rest.len(), char::len_utf8);
        let (odd, rest) = rest.split_at(step);
        return (odd, "", "", rest);
    }
    (lead, name, "", rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_and_values_go() {
        for name in [
            "id",
            "address2",
            "sha256",
            "created_at",
            "ipv4Address",
            "oauth2_client",
            "line_1",
            "utf8mb4",
            "2fa",
        ] {
            assert!(!is_value(name), "{name}");
        }
        for name in
            ["ada@example.org", "4111111111111111", "+14155552671", "AKIAIOSFODNN7EXAMPLE", "536-90-4399"]
        {
            assert!(is_value(name), "{name}");
        }
    }

    #[test]
    fn paths_have_steps() {
        let path = "$.rooms.join['!x:h'].events[*].a";
        let steps: Vec<&str> = steps(path).map(|s| &path[s]).collect();
        assert_eq!(steps, [".rooms", ".join", "['!x:h']", ".events", ".a"]);
    }

    #[test]
    fn paths_are_rewritten_name_by_name() {
        assert_eq!(public_path("$.users[*].address2.line_1"), None);
        assert_eq!(public_path("$['ada@example.org'].age").as_deref(), Some("$.{key}.age"));
        assert_eq!(public_path("$.by.4111111111111111[*].n").as_deref(), Some("$.by.{key}[*].n"));
        assert_eq!(public_path("]]1]"), None);
    }
}
