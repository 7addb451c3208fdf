//! Request-targets (RFC 9112 §3.2) and the host that a request is for.

use std::borrow::Cow;

use sidetap_model::Request;

/// A request-target taken apart; nothing is decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Target<'a> {
    /// Path; `None` of an authority-form.
    pub path: Option<&'a [u8]>,
    /// What follows the first `?`; `None` where there is none.
    pub query: Option<&'a [u8]>,
    /// Authority, of absolute-form and authority-form.
    pub authority: Option<&'a [u8]>,
    /// Scheme, of absolute-form.
    pub scheme: Option<&'a [u8]>,
}

/// Takes a request-target apart: authority-form for CONNECT, else absolute-form, origin-form or `*`.
pub fn split<'a>(method: &[u8], target: &'a [u8]) -> Target<'a> {
    if method == b"CONNECT" && !target.starts_with(b"/") && find(target, b"://").is_none() {
        return Target { authority: Some(target), ..Target::default() };
    }
    if target.first() != Some(&b'/')
        && let Some(at) = find(target, b"://")
        && is_scheme(target.get(..at).unwrap_or_default())
    {
        let rest = target.get(at + 3..).unwrap_or_default();
        let end = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let (path, query) = path_and_query(rest);
        return Target { path: Some(path), query, authority: Some(authority), scheme: target.get(..at) };
    }
    let (path, query) = path_and_query(target);
    Target { path: Some(path), query, authority: None, scheme: None }
}

fn path_and_query(rest: &[u8]) -> (&[u8], Option<&[u8]>) {
    let Some((path, after)) = memchr::memchr2(b'?', b'#', rest).and_then(|at| rest.split_at_checked(at))
    else {
        return (rest, None);
    };
    let query = after
        .strip_prefix(b"?")
        .map(|query| memchr::memchr(b'#', query).and_then(|at| query.get(..at)).unwrap_or(query));
    (path, query)
}

fn is_scheme(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}

/// The host and port that a request is for: of the target's authority, else of its Host field (RFC 9112 §3.2.2).
///
/// In lower case, without user information, a trailing dot or the brackets of an IPv6 address.
pub fn host_of(request: &Request) -> Option<(String, Option<u16>)> {
    let authority = split(&request.method, &request.target).authority.filter(|a| !a.is_empty());
    let authority = authority.or_else(|| request.headers.get("host"))?;
    let authority = match authority.iter().rposition(|b| *b == b'@') {
        Some(at) => authority.get(at + 1..)?,
        None => authority,
    };
    let (host, port) = match authority.strip_prefix(b"[") {
        Some(rest) => {
            let end = rest.iter().position(|b| *b == b']')?;
            (rest.get(..end)?, rest.get(end + 1..).and_then(|p| p.strip_prefix(b":")))
        }
        None => match authority.iter().rposition(|b| *b == b':') {
            Some(at) => (authority.get(..at)?, authority.get(at + 1..)),
            None => (authority, None),
        },
    };
    let host = host.trim_ascii();
    let host = host.strip_suffix(b".").unwrap_or(host);
    if host.is_empty() {
        return None;
    }
    let port = port.and_then(|p| std::str::from_utf8(p).ok()).and_then(|p| p.trim().parse().ok());
    Some((lossy_utf8_percent(host).to_ascii_lowercase(), port))
}

/// Bytes as text: those that are not UTF-8, and control characters, as `%XX`.
pub fn lossy_utf8_percent(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.bytes().any(|b| b.is_ascii_control()) => Cow::Borrowed(text),
        _ => Cow::Owned(escaped(bytes)),
    }
}

/// Bytes with their percent-escapes resolved once, as text; what is not UTF-8 is replaced by U+FFFD.
pub fn percent_decoded(bytes: &[u8]) -> Cow<'_, str> {
    if memchr::memchr(b'%', bytes).is_none() {
        return String::from_utf8_lossy(bytes);
    }
    match Cow::from(percent_encoding::percent_decode(bytes)) {
        Cow::Borrowed(raw) => String::from_utf8_lossy(raw),
        Cow::Owned(raw) => Cow::Owned(
            String::from_utf8(raw).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()),
        ),
    }
}

fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_ascii_control() { percent(&mut out, c as u8) } else { out.push(c) }
        }
        chunk.invalid().iter().for_each(|b| percent(&mut out, *b));
    }
    out
}

fn percent(out: &mut String, byte: u8) {
    out.push('%');
    for nibble in [byte >> 4, byte & 15] {
        out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0').to_ascii_uppercase());
    }
}

#[cfg(test)]
mod tests {
    use sidetap_model::{Body, Headers, Version};

    use super::*;

    fn parts<'a>(method: &str, target: &'a str) -> [Option<&'a str>; 4] {
        let t = split(method.as_bytes(), target.as_bytes());
        [t.scheme, t.authority, t.path, t.query].map(|p| p.map(|b| std::str::from_utf8(b).unwrap()))
    }

    #[test]
    fn targets_of_each_form_are_taken_apart() {
        assert_eq!(parts("GET", "/a/b?c=/d?e"), [None, None, Some("/a/b"), Some("c=/d?e")]);
        assert_eq!(parts("GET", "/a?"), [None, None, Some("/a"), Some("")]);
        assert_eq!(parts("GET", "/r?u=http://x/"), [None, None, Some("/r"), Some("u=http://x/")]);
        assert_eq!(parts("GET", "http://h:8/a?b"), [Some("http"), Some("h:8"), Some("/a"), Some("b")]);
        assert_eq!(parts("GET", "http://h?b"), [Some("http"), Some("h"), Some(""), Some("b")]);
        assert_eq!(parts("OPTIONS", "*"), [None, None, Some("*"), None]);
        assert_eq!(parts("CONNECT", "h:443"), [None, Some("h:443"), None, None]);
    }

    #[test]
    fn the_host_is_that_of_the_target_before_that_of_the_field() {
        let host = |target: &str, field: Option<&str>| {
            let mut headers = Headers::default();
            field.into_iter().for_each(|f| headers.push(b"hOST", f.as_bytes()));
            let (method, body) = (b"GET".to_vec(), Body::default());
            host_of(&Request { method, target: target.into(), version: Version(1, 1), headers, body })
        };
        assert_eq!(host("/", Some("Example.ORG:8080")), Some(("example.org".into(), Some(8080))));
        assert_eq!(host("http://u:p@A.b./", Some("c")), Some(("a.b".into(), None)));
        assert_eq!(host("/", Some("[::1]:80")), Some(("::1".into(), Some(80))));
        assert_eq!(host("/", None), None);
        assert_eq!(host("/", Some("")), None);
    }

    #[test]
    fn bytes_that_are_no_text_are_escaped() {
        assert_eq!(lossy_utf8_percent(b"/a%20b"), "/a%20b");
        assert_eq!(lossy_utf8_percent(b"/\xff\n\xc3\xa9"), "/%FF%0Aé");
    }
}
