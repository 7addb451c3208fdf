//! Strings that attackers wrote, made harmless for terminals and pages.

use std::borrow::Cow;
use std::fmt::Write;

/// `text` on one line with everything visible: controls, escape sequences, direction marks, zero-width and tag
/// characters become `\xNN` or `\u{…}`, so that no string can move the cursor, colour, hide or reverse text.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if !text.chars().any(hostile) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match u32::from(c) {
            _ if !hostile(c) => out.push(c),
            n @ 0..=0xff => _ = write!(out, "\\x{n:02x}"),
            n => _ = write!(out, "\\u{{{n:x}}}"),
        }
    }
    Cow::Owned(out)
}

/// `text` for element contents and quoted attributes of a page, hostile characters made visible as in [`plain`].
pub(crate) fn html(text: &str) -> Cow<'_, str> {
    let text = plain(text);
    if !text.contains(['&', '<', '>', '"', '\'', '`']) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '`' => out.push_str("&#96;"),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

fn hostile(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e
            | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff9..=0xfffb | 0xe0000..=0xe0fff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hostile_survives() {
        assert_eq!(plain("a\u{1b}[31mb\r\nc"), "a\\x1b[31mb\\x0d\\x0ac");
        assert_eq!(plain("\u{202e}evil\u{200b}\u{e0041}\u{9b}"), "\\u{202e}evil\\u{200b}\\u{e0041}\\x9b");
        assert_eq!(plain("/könig/日本"), "/könig/日本");
        assert_eq!(html("<script>alert('x')</script>"), "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;");
        assert_eq!(html("\" onload=\"x&y\u{202e}"), "&quot; onload=&quot;x&amp;y\\u{202e}");
    }
}
