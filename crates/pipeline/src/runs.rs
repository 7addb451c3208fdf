//! What was drawn at random stands out of what people write.

/// Runs of letters and digits that nobody would remember, and long numbers: all but their beginning is struck out.
pub(crate) fn runs_hidden(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    let mut at = text.char_indices().peekable();
    while let Some((start, c)) = at.next() {
        if !c.is_alphanumeric() {
            continue;
        }
        let rest = text.get(start..).unwrap_or_default();
        let whole =
            rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'))).unwrap_or(rest.len());
        if is_drawn(rest.get(..whole).unwrap_or_default()) {
            out.push_str(text.get(from..start).unwrap_or_default());
            out.extend(rest.chars().take(4));
            out.push_str("***");
            from = start + whole;
            while at.next_if(|(next, _)| *next < from).is_some() {}
            continue;
        }
        let (mut end, mut digits, mut letters) = (start + c.len_utf8(), u32::from(c.is_ascii_digit()), 0_u32);
        letters += 1 - digits;
        while let Some((next, c)) = at.next_if(|(_, c)| c.is_alphanumeric()) {
            end = next + c.len_utf8();
            digits += u32::from(c.is_ascii_digit());
            letters += u32::from(!c.is_ascii_digit());
        }
        let show = match (digits, letters) {
            (9.., 0) => 2,
            (1.., 1..) if digits + letters >= 16 => 4,
            (0, 32..) => 4,
            _ => continue,
        };
        out.push_str(text.get(from..start).unwrap_or_default());
        out.extend(text.get(start..end).unwrap_or_default().chars().take(show));
        out.push_str("***");
        from = end;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out
}

/// Whether letters of both cases and digits follow each other as nobody writes them: base64url, of which `-` and `_` are a part.
fn is_drawn(run: &str) -> bool {
    if run.len() < 20 {
        return false;
    }
    let bytes = run.as_bytes();
    let has = |is: fn(&u8) -> bool| bytes.iter().any(is);
    let turns = bytes.windows(2).filter(|pair| match pair {
        [a, b] if a.is_ascii_alphabetic() => {
            b.is_ascii_digit() || a.is_ascii_lowercase() && b.is_ascii_uppercase()
        }
        [a, b] => a.is_ascii_digit() && b.is_ascii_alphabetic(),
        _ => false,
    });
    has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_digit)
        && turns.count() >= 5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_drawn_at_random_is_struck_out_under_any_name() {
        for drawn in ["DYOBzzdJhwwLgKCD_D7urxDn7Sq1U2u_nWuPDCfuQbUgdEpv", "aB3-x9Qz_T4mK-7wLp2R"] {
            let hidden = runs_hidden(&format!("go: {drawn}; on"));
            assert_eq!(hidden, format!("go: {}***; on", &drawn[..4]));
        }
        for written in [
            "Summer-Sale-2024-Shoes-Red",
            "getUserAccountListByNameOrId",
            "550e8400-e29b-41d4-a716-4466554400ab",
            "two-days-2026-10-13",
        ] {
            assert_eq!(runs_hidden(written), written);
        }
    }
}
