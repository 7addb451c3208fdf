//! Where the values stand in a request-target.

/// The parts of a request-target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    /// The last path parameter by the template.
    pub(crate) parameter: Option<&'a str>,
    /// The last segment that is not empty.
    pub(crate) last: &'a str,
}

/// Splits a target and finds the parameter that `template` marks.
pub(crate) fn place<'a>(target: &'a [u8], template: &str) -> Place<'a> {
    let text = match std::str::from_utf8(target) {
        Ok(text) => text,
        Err(e) => target.get(..e.valid_up_to()).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default(),
    };
    let (text, _) = cut(text, b'#');
    let text = if text.starts_with('/') { text } else { origin_form(text) };
    let (path, query) = cut(text, b'?');
    let parameter =
        if memchr::memchr(b'{', template.as_bytes()).is_some() { named(path, template) } else { None };
    Place { path, query, parameter, last: last(path) }
}

/// True where a path is written so that servers read it differently: empty, dotted or encoded segments.
pub(crate) fn is_odd(path: &str) -> bool {
    let bytes = path.as_bytes();
    let marks = memchr::memchr3_iter(b'%', b';', b'.', bytes).any(|at| {
        let rest = bytes.get(at + 1..).unwrap_or_default();
        match bytes.get(at) {
            Some(b'%') => {
                let code = rest.get(..2).unwrap_or_default();
                [b"2e", b"2f", b"5c", b"00", b"0a", b"0d"].iter().any(|c| code.eq_ignore_ascii_case(*c))
            }
            Some(b';') => rest.starts_with(b"/"),
            _ => at > 0 && bytes.get(at - 1) == Some(&b'/') && matches!(rest.first(), Some(b'/' | b'.')),
        }
    });
    marks || memchr::memmem::find(bytes, b"//").is_some()
}

/// True of a last segment that is made of words and a number: `lamp-17.html`. Names such as `v2` are too short for it.
pub(crate) fn is_numbered(last: &str) -> bool {
    let digits = last.bytes().filter(u8::is_ascii_digit).count();
    last.len() >= 4 && digits > 0 && digits < last.len() && !last.contains('{')
}

/// The path of a URL or of a reference within a site, without its query.
pub(crate) fn of_url(url: &[u8]) -> &[u8] {
    let path = match memchr::memmem::find(url, b"://") {
        Some(at) => {
            let rest = url.get(at + 3..).unwrap_or_default();
            memchr::memchr(b'/', rest).and_then(|i| rest.get(i..)).unwrap_or(b"/")
        }
        None => url,
    };
    path.split(|b| matches!(b, b'?' | b'#')).next().unwrap_or_default()
}

/// What the presentation parameters of a query say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asks {
    /// The number of the page of a list: its `page`, or an offset by tens; 0 where there is none.
    pub(crate) page: u32,
    /// A parameter that only defeats caches.
    pub(crate) buster: bool,
}

pub(crate) fn asks(query: &str) -> Asks {
    let mut asks = Asks::default();
    for pair in query.split('&').take(16) {
        let Some((name, value)) = pair.split_once('=') else { continue };
        let number = || value.parse::<u32>().unwrap_or(0);
        match name {
            "page" | "p" | "pg" | "pagenumber" | "page_number" | "pageNumber" | "paged" => {
                asks.page = number();
            }
            "offset" | "start" | "skip" | "$skip" | "startIndex" | "start_index" | "from" => {
                asks.page = number() / 10;
            }
            "_" | "cb" | "rnd" | "rand" | "nocache" | "cachebuster" | "bust" => {
                asks.buster |= value.len() >= 7 && value.bytes().all(|b| b.is_ascii_alphanumeric());
            }
            _ => {}
        }
    }
    asks
}

/// What stands before and after the first of a byte.
fn cut(text: &str, at: u8) -> (&str, Option<&str>) {
    match memchr::memchr(at, text.as_bytes()) {
        Some(i) => (text.get(..i).unwrap_or_default(), text.get(i + 1..)),
        None => (text, None),
    }
}

fn origin_form(text: &str) -> &str {
    match text.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            rest.find('/').and_then(|i| rest.get(i..)).unwrap_or("/")
        }
        _ => text,
    }
}

fn last(path: &str) -> &str {
    let bytes = path.as_bytes();
    let end = bytes.iter().rposition(|b| *b != b'/').map_or(0, |i| i + 1);
    let path = path.get(..end).unwrap_or_default();
    memchr::memrchr(b'/', path.as_bytes()).and_then(|i| path.get(i + 1..)).unwrap_or(path)
}

/// The value of the last parameter that a template marks.
fn named<'a>(path: &'a str, template: &str) -> Option<&'a str> {
    let mut parameter = None;
    let mut segments = template.split('/').zip(path.split('/')).peekable();
    while let Some((shape, value)) = segments.next() {
        if shape.contains('{') && !(segments.peek().is_some() && is_version(value)) {
            parameter = Some(value);
        }
    }
    parameter
}

/// A small number amid a path is a version of the API, not an object.
fn is_version(value: &str) -> bool {
    let digits = value.strip_prefix(['v', 'V']).unwrap_or(value);
    matches!(digits.len(), 1 | 2) && digits.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_by_their_template() {
        let p = place(b"/api/orders/500/lines?x=1", "/api/orders/{id}/lines");
        assert_eq!((p.path, p.query, p.parameter), ("/api/orders/500/lines", Some("x=1"), Some("500")));
        let p = place(b"/m/2/stores", "/m/{m_id}/stores");
        assert_eq!(p.parameter, None);
        let p = place(b"/items/7", "/items/{id}");
        assert_eq!(p.parameter, Some("7"));
        let p = place(b"http://h/a/b", "/a/b");
        assert_eq!((p.path, p.parameter, p.last), ("/a/b", None, "b"));
        let p = place(b"/a/b//#x", "/a/b");
        assert_eq!((p.path, p.query, p.last), ("/a/b//", None, "b"));
        assert_eq!(place(b"//?", "/").last, "");
    }
}
