//! Names within texts.

/// Where a name stands in a text by itself, not as a part of a longer one: `10.0.0.1` is not in `10.0.0.11`, and it is in
/// `from 10.0.0.1:443.`
pub fn words<'t>(text: &'t [u8], name: &'t [u8]) -> impl Iterator<Item = usize> + 't {
    // In an address of IPv6 a colon goes on; behind one of IPv4 stands a port.
    let colons = name.contains(&b':');
    let letter =
        |at: usize| text.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'#'));
    let goes_on = move |at: usize, next: Option<usize>| match text.get(at) {
        Some(b'.') => next.is_some_and(letter),
        Some(b':') => colons && next.is_some_and(|n| letter(n) || text.get(n) == Some(&b':')),
        Some(_) => letter(at),
        None => false,
    };
    let whole = move |at: &usize| {
        let end = at + name.len();
        let before = at.checked_sub(1).is_some_and(|b| goes_on(b, b.checked_sub(1)));
        !before && !goes_on(end, Some(end + 1))
    };
    places(text, name).filter(whole)
}

/// Every place where a name begins.
fn places<'t>(text: &'t [u8], name: &'t [u8]) -> impl Iterator<Item = usize> + 't {
    let last = text.len().checked_sub(name.len()).filter(|_| !name.is_empty());
    let starts = last.map_or(0..0, |last| 0..last + 1);
    starts.filter(move |at| text.get(*at..at + name.len()) == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_itself_only() {
        let at = |text: &str, name: &str| words(text.as_bytes(), name.as_bytes()).count();
        for text in [
            "203.0.113.1",
            "203.0.113.1 + s-1",
            "at 203.0.113.1, 3 times",
            "203.0.113.1.",
            "203.0.113.1. He stops",
            "from 203.0.113.1:443 over",
            "ip:203.0.113.1",
            "::ffff:203.0.113.1",
            "[203.0.113.1]",
            "\"203.0.113.1\"",
        ] {
            assert_eq!(at(text, "203.0.113.1"), 1, "{text}");
        }
        for text in
            ["203.0.113.11", "1203.0.113.1", "203.0.113.1.example", "9.203.0.113.1", "203.0.113.1_2", ""]
        {
            assert_eq!(at(text, "203.0.113.1"), 0, "{text}");
        }
        for (text, n) in
            [("2001:db8::1", 1), ("2001:db8::1:2", 0), ("9:2001:db8::1", 0), ("at 2001:db8::1: no", 1)]
        {
            assert_eq!(at(text, "2001:db8::1"), n, "{text}");
        }
        assert_eq!(at("#00aa, x…#00aa", "#00aa"), 2);
        assert_eq!(at("anything", ""), 0);
    }
}
