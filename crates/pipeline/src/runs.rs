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
        if let Some(length) = card(rest) {
            out.push_str(text.get(from..start).unwrap_or_default());
            out.extend(rest.chars().take(2));
            out.push_str("***");
            from = start + length;
            while at.next_if(|(next, _)| *next < from).is_some() {}
            continue;
        }
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

/// How long a card's number in groups is (`4111 1111 1111 1111`) with which a text begins, whatever the words around it say it is.
fn card(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut sum, mut digits, mut group, mut by, mut found) = ([0, 0], 0, 0, None, None);
    for (at, b) in bytes.iter().enumerate() {
        let next = bytes.get(at + 1);
        match b {
            b'0'..=b'9' if digits < 19 => {
                let (once, twice) = (u32::from(b - b'0'), u32::from(b - b'0') * 2);
                // What is doubled depends on how many follow: both are kept.
                sum = [sum[1] + once, sum[0] + twice / 10 + twice % 10];
                (digits, group) = (digits + 1, group + 1);
                let ends = next.is_none_or(|b| !b.is_ascii_alphanumeric());
                if ends && by.is_some() && digits >= 13 && sum[0] % 10 == 0 {
                    found = Some(at + 1);
                }
            }
            // Dates have shorter ones.
            b' ' | b'-' if group >= 4 && by.is_none_or(|by| by == b) => (group, by) = (0, Some(b)),
            _ => break,
        }
    }
    found
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
    fn cards_in_groups_are_struck_out_whatever_stands_around_them() {
        for card in ["4111 1111 1111 1111", "3782-822463-10005", "6304 0000 0000 0000", "4222 2222 2222 2"] {
            assert_eq!(
                runs_hidden(&format!("goods -- {card}; on")),
                format!("goods -- {}***; on", &card[..2])
            );
        }
        for other in
            ["4111 1111 1111 1112", "2026-10-13 09 00 00", "5 -- 6 7", "4111 1111", "4111 1111 1111 1111x"]
        {
            assert_eq!(runs_hidden(other), other);
        }
    }

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
