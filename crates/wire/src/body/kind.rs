/// What a body is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Nothing.
    Empty,
    /// One JSON value (RFC 8259), after an anti-hijacking prefix `)]}'` where there is one.
    Json,
    /// JSON values, one a line; also the `data:` lines of server-sent events that carry JSON.
    Ndjson,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// XML, SOAP included.
    Xml,
    /// `multipart/form-data` and its kin.
    Multipart,
    /// A page.
    Html,
    /// Other text.
    Text,
    /// Anything else.
    Binary,
}

impl Kind {
    /// A lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Empty => "empty",
            Kind::Json => "json",
            Kind::Ndjson => "ndjson",
            Kind::Form => "form",
            Kind::Xml => "xml",
            Kind::Multipart => "multipart",
            Kind::Html => "html",
            Kind::Text => "text",
            Kind::Binary => "binary",
        }
    }
}

/// What a body is: the declared media type, checked against the first bytes, and guessed from them where it does not fit.
///
/// Servers often send JSON as `text/html`, and attackers lie: the first bytes win over a declaration that they refute.
pub fn kind_of(content_type: Option<&[u8]>, body: &[u8]) -> Kind {
    if body.is_empty() {
        return Kind::Empty;
    }
    let look = Look::at(body);
    match declared(content_type) {
        Some(Kind::Json) if matches!(look, Look::Markup | Look::Page) => look.kind(body),
        Some(Kind::Json) if look == Look::Unreadable => Kind::Binary,
        Some(Kind::Ndjson) if look == Look::Unreadable => Kind::Binary,
        Some(Kind::Xml) if look != Look::Markup => look.kind(body),
        Some(Kind::Form) if matches!(look, Look::Json | Look::Markup | Look::Page | Look::Unreadable) => {
            look.kind(body)
        }
        Some(Kind::Text | Kind::Html) if matches!(look, Look::Json | Look::Unreadable) => look.kind(body),
        Some(Kind::Text) if matches!(look, Look::Markup | Look::Page) => look.kind(body),
        Some(kind) => kind,
        None => look.kind(body),
    }
}

fn declared(content_type: Option<&[u8]>) -> Option<Kind> {
    let value = content_type?;
    if value == b"application/json" {
        return Some(Kind::Json);
    }
    let media = value.split(|b| matches!(b, b';' | b',')).next()?.trim_ascii();
    let mut buffer = [0; 64];
    let media = media.get(..media.len().min(64))?;
    let lower = buffer.get_mut(..media.len())?;
    lower.copy_from_slice(media);
    lower.make_ascii_lowercase();
    let lower = std::str::from_utf8(lower).ok()?;
    let (class, sub) = lower.split_once('/')?;
    Some(match (class, sub) {
        (
            _,
            "ndjson" | "x-ndjson" | "jsonl" | "x-jsonlines" | "jsonlines" | "stream+json" | "event-stream",
        ) => Kind::Ndjson,
        ("multipart", _) => Kind::Multipart,
        (_, "x-www-form-urlencoded") => Kind::Form,
        (_, "html" | "xhtml+xml") => Kind::Html,
        ("image", "svg+xml") => Kind::Xml,
        ("image" | "audio" | "video" | "font", _) => Kind::Binary,
        (_, sub)
            if sub == "json" || sub.ends_with("+json") || sub == "x-json" || sub == "graphql-response" =>
        {
            Kind::Json
        }
        (_, sub) if sub == "xml" || sub.ends_with("+xml") => Kind::Xml,
        (_, "octet-stream" | "binary" | "unknown") => return None,
        ("text", _)
        | (_, "javascript" | "x-javascript" | "ecmascript" | "graphql" | "yaml" | "x-yaml" | "sql") => {
            Kind::Text
        }
        _ => return None,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Json,
    Markup,
    Page,
    Readable,
    Unreadable,
}

impl Look {
    fn at(body: &[u8]) -> Look {
        let head = body.get(..body.len().min(512)).unwrap_or_default();
        let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
        // Most have no control character at all, which is told many bytes at a time.
        let lowest = head.iter().fold(u8::MAX, |low, b| low.min(*b));
        if lowest < b' ' && head.iter().any(|b| matches!(b, 0..=8 | 11 | 14..=26 | 28..=31)) {
            return Look::Unreadable;
        }
        let head = head.trim_ascii_start();
        match head.first() {
            Some(b'{' | b'[') if begins_json(head) => Look::Json,
            Some(b')') if head.starts_with(b")]}'") => Look::Json,
            Some(b'<') if begins_page(head) => Look::Page,
            Some(b'<')
                if head
                    .get(1)
                    .is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'?' | b'!' | b'_')) =>
            {
                Look::Markup
            }
            _ if invalid_share(head) > 10 => Look::Unreadable,
            _ => Look::Readable,
        }
    }

    fn kind(self, body: &[u8]) -> Kind {
        match self {
            Look::Json => Kind::Json,
            Look::Markup => Kind::Xml,
            Look::Page => Kind::Html,
            Look::Readable if begins_form(body) => Kind::Form,
            Look::Readable => Kind::Text,
            Look::Unreadable => Kind::Binary,
        }
    }
}

fn begins_json(head: &[u8]) -> bool {
    let rest = head.get(1..).unwrap_or_default().trim_ascii_start();
    match head.first() {
        Some(b'{') => matches!(rest.first(), None | Some(b'"' | b'}')),
        Some(b'[') => {
            matches!(
                rest.first(),
                None | Some(b'"' | b'{' | b'[' | b']' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n')
            )
        }
        _ => false,
    }
}

fn begins_page(head: &[u8]) -> bool {
    [&b"<!doctype html"[..], b"<html", b"<head", b"<body", b"<script", b"<title", b"<div", b"<h1", b"<p>"]
        .iter()
        .any(|tag| head.get(..tag.len()).is_some_and(|h| h.eq_ignore_ascii_case(tag)))
}

fn begins_form(body: &[u8]) -> bool {
    let head = body.get(..body.len().min(256)).unwrap_or_default();
    let name = head.iter().position(|b| *b == b'=');
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'%' | b'[' | b']');
    name.is_some_and(|n| n > 0 && n < 65 && head.get(..n).is_some_and(|h| h.iter().all(plain)))
        && !head.iter().any(|b| matches!(b, b' ' | b'\n' | b'\t' | b'<' | b'"' | b'{'))
}

/// Bytes of a hundred that are no UTF-8.
fn invalid_share(head: &[u8]) -> usize {
    let bad: usize = head.utf8_chunks().map(|c| c.invalid().len()).sum();
    bad.saturating_mul(100).checked_div(head.len()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_checked_against_the_first_bytes() {
        let kind = |ct: &str, body: &str| kind_of(Some(ct.as_bytes()), body.as_bytes());
        assert_eq!(kind("application/json; charset=utf-8", "{\"a\":1}"), Kind::Json);
        assert_eq!(kind("application/problem+JSON", "{}"), Kind::Json);
        assert_eq!(kind("application/json", "<!DOCTYPE html><p>"), Kind::Html);
        assert_eq!(kind("text/html", " [{\"a\":1}]"), Kind::Json);
        assert_eq!(kind("text/html", "[see below]"), Kind::Html);
        assert_eq!(kind("application/x-www-form-urlencoded", "{\"a\":1}"), Kind::Json);
        assert_eq!(kind("application/x-www-form-urlencoded", "a=1"), Kind::Form);
        assert_eq!(kind("application/octet-stream", "a=1&b=2"), Kind::Form);
        assert_eq!(kind("text/xml", "<?xml version='1.0'?><a/>"), Kind::Xml);
        assert_eq!(kind("image/png", "\x01\x02"), Kind::Binary);
        assert_eq!(kind_of(None, b"hello there"), Kind::Text);
        assert_eq!(kind_of(None, b"\x00\x01\x02"), Kind::Binary);
        assert_eq!(kind_of(None, b""), Kind::Empty);
        assert_eq!(kind_of(None, b")]}',\n{\"a\":1}"), Kind::Json);
    }
}
