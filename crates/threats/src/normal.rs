use std::borrow::Cow;

/// A value as rules look at it: percent-escapes taken off twice, HTML entities once, comments and runs of white space
/// as one space, NUL as `%00`. Borrowed where nothing had to change.
pub(crate) fn normal(value: &str) -> Cow<'_, str> {
    let coats = value.bytes().fold(0, |seen, b| seen | COATS.get(usize::from(b)).copied().unwrap_or(0));
    if coats & (ESCAPE | COMMENT) == 0 || coats & ESCAPE == 0 && !value.contains("/*") {
        return Cow::Borrowed(value);
    }
    let mut text = Cow::Borrowed(value);
    for _ in 0..2 {
        if let Some(decoded) = percent_decoded(&text) {
            text = Cow::Owned(decoded);
        }
    }
    if let Some(decoded) = entities_decoded(&text) {
        text = Cow::Owned(decoded);
    }
    if let Some(plain) = without_comments(&text) {
        text = Cow::Owned(plain);
    }
    text
}

/// A byte that is taken for another, or begins what is.
const ESCAPE: u8 = 1;
/// A byte of a comment's beginning.
const COMMENT: u8 = 2;

const COATS: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = match b as u8 {
            b'%' | b'&' | 0..=31 => ESCAPE,
            b'*' => COMMENT,
            _ => 0,
        };
        b += 1;
    }
    table
};

fn percent_decoded(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let first = memchr::memchr_iter(b'%', bytes).find(|at| escape(bytes, *at).is_some())?;
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match escape(bytes, at).filter(|_| at >= first) {
            Some((decoded, len)) => {
                out.extend(char::from_u32(decoded).filter(|c| !c.is_ascii()).map_or_else(
                    || vec![decoded as u8],
                    |c| if len == 6 { c.to_string().into_bytes() } else { vec![decoded as u8] },
                ));
                at += len;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// The value and length of `%XX`, or of `%uXXXX` as IIS reads it.
fn escape(bytes: &[u8], at: usize) -> Option<(u32, usize)> {
    let rest = bytes.get(at..)?.strip_prefix(b"%")?;
    let (digits, len) = match rest.first()? {
        b'u' | b'U' => (rest.get(1..5)?, 6),
        _ => (rest.get(..2)?, 3),
    };
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    Some((u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?, len))
}

fn entities_decoded(text: &str) -> Option<String> {
    let known = ["lt;", "gt;", "quot;", "apos;", "amp;", "#"];
    let is = |rest: &str| known.iter().any(|k| rest.starts_with(k));
    memchr::memchr_iter(b'&', text.as_bytes()).find(|at| text.get(at + 1..).is_some_and(is))?;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        match sidetap_wire::body::entity(after) {
            Some((c, tail)) => {
                out.push(c);
                rest = tail;
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Some(out)
}

/// `/**/` between words is a space to a database; so are control characters to most readers.
fn without_comments(text: &str) -> Option<String> {
    let odd = text.bytes().any(|b| b < 32) || text.contains("/*");
    if !odd {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("/*") {
        out.push_str(before);
        out.push(' ');
        match after.split_once("*/") {
            // `/*!50000union*/` runs in MySQL: its text counts.
            Some((inner, tail)) => {
                out.push_str(
                    inner
                        .strip_prefix('!')
                        .map_or("", |i| i.trim_start_matches(|c: char| c.is_ascii_digit())),
                );
                rest = tail;
            }
            None => {
                out.push_str("/*");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Some(out.replace('\0', "%00").replace(|c: char| c < ' ' && c != '\n', " "))
}

/// The part of a text that fits, as outputs may show it: at most 80 characters, letters and digits in long runs, which
/// could be secrets, struck out.
pub(crate) fn snippet(text: &str) -> String {
    let mut out = String::new();
    let mut run = String::new();
    let flush = |run: &mut String, out: &mut String| {
        let word = run.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
        if run.len() > if word { 20 } else { 8 } {
            out.push('…');
        } else {
            out.push_str(run);
        }
        run.clear();
    };
    for c in text.chars().take(80) {
        if c.is_alphanumeric() || c == '_' {
            run.push(c);
        } else {
            flush(&mut run, &mut out);
            out.push(if c.is_control() { ' ' } else { c });
        }
    }
    flush(&mut run, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_seen_through_their_coats() {
        assert_eq!(normal("a b"), "a b");
        assert_eq!(normal("%252e%252e%252f"), "../");
        assert_eq!(normal("un/**/ion\tsel/*x*/ect"), "un ion sel ect");
        assert_eq!(normal("/*!50000union*/ x"), " union x");
        assert_eq!(normal("&lt;script&#62;"), "<script>");
        assert_eq!(normal("%u003cscript"), "<script");
        assert_eq!(normal("100%"), "100%");
    }

    #[test]
    fn snippets_hold_no_secret() {
        assert_eq!(snippet("' or 1=1 -- AKIAUCX2PQLI5ZBBOH4P"), "' or 1=1 -- …");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}", coats in "[%u0-9a-f&#;lt/*! ]{0,60}") {
            normal(&text);
            normal(&coats);
            snippet(&text);
        }
    }
}
