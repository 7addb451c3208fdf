use memchr::memchr;

use super::tolerant::is_token;

/// Whether bytes begin a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Probe {
    /// They do.
    Certain,
    /// More of them are needed.
    Unsure,
    /// They do not.
    No,
}

pub(super) const METHODS: [&[u8]; 42] = [
    b"GET",
    b"POST",
    b"PUT",
    b"HEAD",
    b"DELETE",
    b"OPTIONS",
    b"PATCH",
    b"CONNECT",
    b"TRACE",
    b"QUERY",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"SEARCH",
    b"REPORT",
    b"MERGE",
    b"CHECKOUT",
    b"CHECKIN",
    b"MKACTIVITY",
    b"MKWORKSPACE",
    b"MKCALENDAR",
    b"VERSION-CONTROL",
    b"BIND",
    b"REBIND",
    b"UNBIND",
    b"ACL",
    b"PURGE",
    b"LINK",
    b"SOURCE",
    b"UNLINK",
    b"SUBSCRIBE",
    b"UNSUBSCRIBE",
    b"NOTIFY",
    b"M-SEARCH",
    b"BCOPY",
    b"BPROPFIND",
    b"RPC_IN_DATA",
    b"RPC_OUT_DATA",
];

/// A request line may be this long before it is given up as something else: longer than any that is kept, with a segment more.
const LONGEST_LINE: usize = 256 << 10;
/// A method may be this long before it is given up as something else: some servers take any that their line has room for.
const LONGEST_METHOD: usize = 16 << 10;
/// No method that is in use is longer.
pub const LONGEST_KNOWN: usize = 32;

/// Whether `bytes` begin a request: a line with a version of HTTP at its end, or one of HTTP/0.9 with a plain GET.
pub fn probe_request(bytes: &[u8]) -> Probe {
    let bytes = trim_start(bytes);
    let Some(method_len) = bytes.iter().take(LONGEST_METHOD + 1).position(|b| matches!(b, b' ' | b'\t'))
    else {
        return probe_method_prefix(bytes);
    };
    let method = bytes.get(..method_len).unwrap_or_default();
    if method.iter().any(|b| !matches!(b, 0x21..=0x7e)) {
        return Probe::No;
    }
    let known = METHODS.contains(&method);
    if !known && method.starts_with(b"HTTP/") {
        return Probe::No;
    }
    let Some(end) = memchr(b'\n', bytes) else {
        let rest = bytes.get(method_len..).unwrap_or_default();
        let plausible = known || is_token(method) && is_mostly_text(rest.get(..64).unwrap_or(rest));
        return if plausible && bytes.len() <= LONGEST_LINE { Probe::Unsure } else { Probe::No };
    };
    let line = bytes.get(method_len..end).unwrap_or_default().trim_ascii();
    let word = line.rsplit(|b| matches!(b, b' ' | b'\t')).next().unwrap_or_default();
    if is_version(word) {
        return if word.len() < line.len() || known { Probe::Certain } else { Probe::No };
    }
    if is_borrowed_version(method, line) {
        return Probe::Certain;
    }
    if known && line.len() > 8 && memchr::memmem::rfind(line, b" HTTP/1.").is_some_and(|at| at > 0) {
        return Probe::Certain;
    }
    let absolute = |scheme: &[u8]| line.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme));
    let target = line.starts_with(b"/") || absolute(b"http://") || absolute(b"https://");
    let old = method == b"GET" && target && !line.contains(&b' ');
    if old { Probe::Certain } else { Probe::No }
}

/// What is left behind white space before a message: as some servers skip it, with the vertical tab and the form feed.
pub fn trim_start(bytes: &[u8]) -> &[u8] {
    let skipped = bytes.iter().take_while(|b| matches!(b, b'\t'..=b'\r' | b' ')).count();
    bytes.get(skipped..).unwrap_or_default()
}

/// Whether bytes may be a line that a server reads: one of text, or one that begins with a method that is in use.
pub fn may_be_line(bytes: &[u8]) -> bool {
    let word = bytes.iter().take(LONGEST_KNOWN).position(|b| matches!(b, b' ' | b'\t'));
    word.and_then(|len| bytes.get(..len)).is_some_and(|word| METHODS.contains(&word)) || is_mostly_text(bytes)
}

/// Servers read on over a control character here and there.
fn is_mostly_text(bytes: &[u8]) -> bool {
    let controls = bytes.iter().filter(|b| matches!(b, 0..=8 | 11 | 12 | 14..=31 | 127)).count();
    controls <= 1 + bytes.len() / 16
}

/// The same on a connection that speaks HTTP: versions of other protocols that llhttp, which Node.js and uvicorn read requests with,
/// takes for HTTP's are a request's whatever its method and target are.
pub fn probe_request_of_http(bytes: &[u8]) -> Probe {
    match probe_request(bytes) {
        Probe::No if names_borrowed_version(bytes) => Probe::Certain,
        probe => probe,
    }
}

fn names_borrowed_version(bytes: &[u8]) -> bool {
    let bytes = trim_start(bytes);
    let Some(line) = memchr(b'\n', bytes).and_then(|end| bytes.get(..end)) else { return false };
    let words = line.trim_ascii_end().split(|b| *b == b' ').filter(|w| !w.is_empty());
    let mut words = words.take(4);
    let (Some(method), Some(_), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return false;
    };
    is_token(method)
        && BORROWED.iter().any(|name| version.starts_with(name) && is_number(version.get(name.len()..)))
}

/// Protocols whose versions llhttp takes for HTTP's.
pub(super) const BORROWED: [&[u8]; 2] = [b"RTSP/", b"ICE/"];

fn is_number(version: Option<&[u8]>) -> bool {
    matches!(version, Some([major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// Whether `word` is a method that is in use.
pub fn is_method(word: &[u8]) -> bool {
    METHODS.contains(&word)
}

/// Whether `bytes` are the beginning of a method that is in use, and nothing else.
pub fn begins_method(bytes: &[u8]) -> bool {
    !bytes.is_empty() && METHODS.iter().any(|m| m.starts_with(bytes))
}

/// Whether `bytes` begin a request where nothing tells that a message begins here, as after a loss: a method that is in
/// use, and a target after it.
pub fn likely_request(bytes: &[u8]) -> bool {
    let Some(method_len) = bytes.iter().take(LONGEST_KNOWN).position(|b| *b == b' ') else { return false };
    let method = bytes.get(..method_len).unwrap_or_default();
    let target = bytes.get(method_len + 1);
    let plausible =
        target.is_none_or(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'*' | b'[' | b' '));
    // The end of a target may read like a method: its version is none.
    let is_end =
        bytes.get(method_len + 1..method_len + 6).is_some_and(|word| word.eq_ignore_ascii_case(b"HTTP/"));
    let plausible = plausible && !is_end;
    METHODS.contains(&method) && plausible && probe_request(bytes) != Probe::No
}

/// Whether `bytes` begin a response where nothing tells that a message begins here.
pub fn likely_response(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/") && probe_response(bytes) != Probe::No
}

/// No white space yet: the beginning of a method may be cut, binary data is none.
fn probe_method_prefix(bytes: &[u8]) -> Probe {
    let plausible = bytes.len() <= LONGEST_METHOD && (bytes.is_empty() || is_token(bytes));
    if plausible { Probe::Unsure } else { Probe::No }
}

pub(super) fn is_version(word: &[u8]) -> bool {
    match word.split_at_checked(5) {
        Some((name, number)) => {
            name.eq_ignore_ascii_case(b"HTTP/")
                && number.len() <= 8
                && number.first().is_some_and(|b| b.is_ascii_digit())
        }
        None => false,
    }
}

/// `GET /x RTSP/1.0`: a method that RTSP has not, or a target that is none of its, with its version. llhttp, which Node.js reads
/// requests with, takes them for HTTP.
fn is_borrowed_version(method: &[u8], line: &[u8]) -> bool {
    let version = line.last_chunk::<9>().is_some_and(|v| {
        matches!(v, [b' ' | b'\t', b'R', b'T', b'S', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit())
    });
    version && (matches!(method, b"GET" | b"POST") || method == b"OPTIONS" && line.starts_with(b"/"))
}

/// Whether `bytes` begin a response: `HTTP/`, a number, white space, a digit.
pub fn probe_response(bytes: &[u8]) -> Probe {
    let skipped = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    let bytes = bytes.get(skipped..).unwrap_or_default();
    let name = bytes.get(..5).unwrap_or(bytes);
    if !b"HTTP/".get(..name.len()).is_some_and(|n| n.eq_ignore_ascii_case(name)) {
        return Probe::No;
    }
    let mut state = 0;
    for b in bytes.iter().skip(5).take(16) {
        state = match (state, b) {
            (0 | 1, b'0'..=b'9' | b'.') => 1,
            (1 | 2, b' ' | b'\t') => 2,
            (2, b'0'..=b'9') => return Probe::Certain,
            _ => return Probe::No,
        };
    }
    if bytes.len() < 21 { Probe::Unsure } else { Probe::No }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_from_what_looks_like_them() {
        let cases: [(&[u8], Probe); 24] = [
            (b"M1", Probe::Unsure),
            (b"P!", Probe::Unsure),
            (b"GET / HTTP/1.1\r\n", Probe::Certain),
            (b"GET /x RTSP/1.0\r\n", Probe::Certain),
            (b"OPTIONS /x RTSP/1.1\n", Probe::Certain),
            (b"OPTIONS rtsp://h/ RTSP/1.0\r\n", Probe::No),
            (b"EHLO / HTTP/1.1\r\n", Probe::Certain),
            (b"\r\nGET / HTTP/1.1\r\n", Probe::Certain),
            (b"FOO-BAR /x http/1.0\n", Probe::Certain),
            (b"GET /old\r\n", Probe::Certain),
            (b"GET http://h/old\r\n", Probe::Certain),
            (b"GET /a b HTTP/1.1\r\n", Probe::Certain),
            (b"GE", Probe::Unsure),
            (b"\x0bGET /vt HTTP/1.1\r\n", Probe::Certain),
            (b"GET /control\x01", Probe::Unsure),
            (b"GET \x01\x02\x03", Probe::Unsure),
            (b"M1 \x01\x02\x03", Probe::No),
            (b"GET /very-lo", Probe::Unsure),
            (b"", Probe::Unsure),
            (b"OPTIONS sip:a@b SIP/2.0\r\n", Probe::No),
            (b"DESCRIBE rtsp://h/ RTSP/1.0\r\n", Probe::No),
            (b"EHLO example.org\r\n", Probe::No),
            (b"\x16\x03\x01\x02\x00\x01", Probe::No),
            (b"HTTP/1.1 200 OK\r\n", Probe::No),
        ];
        for (bytes, expected) in cases {
            assert_eq!(probe_request(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn responses_are_told_from_what_looks_like_them() {
        let cases: [(&[u8], Probe); 7] = [
            (b"HTTP/1.1 200 OK\r\n", Probe::Certain),
            (b"HTTP/1.1  2", Probe::Certain),
            (b"HTTP/0.9 404", Probe::Certain),
            (b"HTT", Probe::Unsure),
            (b"HTTP/1.1 ", Probe::Unsure),
            (b"HTTP/x.y 200", Probe::No),
            (b"SSH-2.0-OpenSSH", Probe::No),
        ];
        for (bytes, expected) in cases {
            assert_eq!(probe_response(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
