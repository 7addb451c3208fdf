/// Most levels of brackets, and most columns before a line's text: what reads YAML takes a time that grows with their square.
const LEVELS: usize = 1_000;

/// The line, from 1, at which a text is nested deeper than any pack is. Told from the characters alone, before anything is parsed;
/// where quotes go over lines the count is an upper bound.
pub(super) fn too_deep(text: &str) -> Option<usize> {
    let (mut open, mut torn) = (0_usize, false);
    for (n, line) in text.lines().enumerate() {
        let lead = line.bytes().take_while(|b| matches!(b, b' ' | b'-' | b'?' | b'\t')).count();
        if lead > LEVELS {
            return Some(n + 1);
        }
        let mut quote = None;
        let mut before = b':';
        for b in line.bytes() {
            match (quote, b) {
                (Some(q), b) if q == b => quote = None,
                (Some(_), b'\\') => torn = true,
                (None, b'[' | b'{') => open += 1,
                (None, b']' | b'}') if !torn => open = open.saturating_sub(1),
                (None, b'"' | b'\'') if torn => {}
                (None, b'"' | b'\'') if matches!(before, b':' | b',' | b'[' | b'{' | b'-') => quote = Some(b),
                (None, b'"' | b'\'') => torn = true,
                _ => {}
            }
            if b != b' ' {
                before = b;
            }
            if open > LEVELS {
                return Some(n + 1);
            }
        }
        torn |= quote.is_some();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nests_are_told_before_they_are_parsed() {
        for deep in ["[", "{a: ", "- ", "? ", "' [", "\"\\\"[", "\"x\n["] {
            let text = deep.repeat(50_000);
            assert!(too_deep(&text).is_some(), "{deep}");
        }
        let many = "  - {kind: ip, value: \"192.0.2.1\", reason: 'it [is'}\n".repeat(50_000);
        assert_eq!(too_deep(&many), None, "many are not deep");
        let errors = super::super::read(&"{a: ".repeat(50_000), "p").unwrap_err();
        assert_eq!(errors[0].message, "nested too deep");
    }
}
