use std::mem::MaybeUninit;

use memchr::memchr_iter;
use sidetap_model::{Anomaly, AnomalySet, Headers, Version};

use super::fields::{LONGEST_FIELD, note_framing_tabs, note_lengths, note_percent};
use super::framing::Hints;
use super::tolerant;

/// Fields that the fast path takes; a head with more goes down the tolerant path.
const FAST_FIELDS: usize = 64;

/// Limits on a message's head.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Header fields; more are left out.
    pub fields: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        HeadLimits { fields: 1024 }
    }
}

/// What became of bytes that should hold a head.
#[derive(Debug)]
pub enum Parsed<T> {
    /// A head, and how many bytes it took.
    Complete(T, usize),
    /// The head goes on beyond these bytes.
    Partial,
    /// No head of this kind.
    Invalid,
}

/// The head of a request.
#[derive(Debug)]
pub struct RequestHead {
    /// Method as sent.
    pub method: Vec<u8>,
    /// Request-target as sent.
    pub target: Vec<u8>,
    /// Version as sent.
    pub version: Version,
    /// Header fields.
    pub headers: Headers,
    /// What the fields say on framing and connection.
    pub hints: Hints,
}

/// The head of a response.
#[derive(Debug)]
pub struct ResponseHead {
    /// Status code, 0 where it cannot be read.
    pub status: u16,
    /// Version as sent.
    pub version: Version,
    /// Header fields.
    pub headers: Headers,
    /// What the fields say on framing and connection.
    pub hints: Hints,
}

/// Reads the head of a request from the start of `bytes`.
pub fn request_head(bytes: &[u8], limits: &HeadLimits, anomalies: &mut AnomalySet) -> Parsed<RequestHead> {
    let mut fields = [const { MaybeUninit::uninit() }; FAST_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Partial) => return Parsed::Partial,
        Ok(httparse::Status::Complete(len)) => {
            let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
            else {
                return Parsed::Invalid;
            };
            check_lines(bytes.get(..len).unwrap_or_default(), anomalies);
            check_method(method.as_bytes(), anomalies);
            check_target(target.as_bytes(), anomalies);
            let (headers, hints) = collect(bytes, len, request.headers, limits, anomalies);
            let version = Version(1, minor);
            hints.check_request(version, anomalies);
            note_framing_tabs(&hints, bytes.get(..len).unwrap_or_default(), anomalies);
            let head = RequestHead {
                method: method.as_bytes().to_vec(),
                target: target.as_bytes().to_vec(),
                version,
                headers,
                hints,
            };
            return Parsed::Complete(head, len);
        }
        Err(_) => {}
    }
    tolerant::request_head(bytes, limits, anomalies)
}

/// Reads the head of a response from the start of `bytes`.
pub fn response_head(bytes: &[u8], limits: &HeadLimits, anomalies: &mut AnomalySet) -> Parsed<ResponseHead> {
    let mut fields = [const { MaybeUninit::uninit() }; FAST_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut response, bytes, &mut fields) {
        Ok(httparse::Status::Partial) => return Parsed::Partial,
        Ok(httparse::Status::Complete(len)) => {
            let (Some(status), Some(minor)) = (response.code, response.version) else {
                return Parsed::Invalid;
            };
            check_lines(bytes.get(..len).unwrap_or_default(), anomalies);
            let (headers, hints) = collect(bytes, len, response.headers, limits, anomalies);
            let version = Version(1, minor);
            hints.check_response(version, anomalies);
            return Parsed::Complete(ResponseHead { status, version, headers, hints }, len);
        }
        Err(_) => {}
    }
    tolerant::response_head(bytes, limits, anomalies)
}

/// Where the head that begins `bytes` ends: behind its first empty line, searched from `from` on.
pub fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let start = from.min(bytes.len());
    let rest = bytes.get(start..)?;
    for at in memchr_iter(b'\n', rest) {
        match rest.get(at + 1..) {
            Some([b'\n', ..]) => return Some(start + at + 2),
            Some([b'\r', b'\n', ..]) => return Some(start + at + 3),
            _ => {}
        }
    }
    None
}

/// The fields of a head that takes the first `len` of `bytes`.
fn collect(
    bytes: &[u8],
    len: usize,
    fields: &[httparse::Header<'_>],
    limits: &HeadLimits,
    anomalies: &mut AnomalySet,
) -> (Headers, Hints) {
    let kept = fields.get(..limits.fields).unwrap_or(fields);
    // From the first name on: what stands before is the line that begins the head.
    let start = kept.first().map_or(len, |f| f.name.as_ptr().addr().wrapping_sub(bytes.as_ptr().addr()));
    let block = bytes.get(start..len).unwrap_or_default();
    let headers = Headers::within(block, kept.iter().map(|f| (f.name.as_bytes(), f.value)));
    let mut hints = Hints::default();
    for field in fields {
        hints.note(field.name.as_bytes(), field.value, anomalies);
    }
    if block.len() > LONGEST_FIELD {
        note_lengths(&headers, anomalies);
    }
    if fields.len() > limits.fields {
        anomalies.insert(Anomaly::HeadersTooMany);
    }
    (headers, hints)
}

/// httparse takes LF for CRLF and skips empty lines in front; both are worth noting.
fn check_lines(head: &[u8], anomalies: &mut AnomalySet) {
    if matches!(head.first(), Some(b'\r' | b'\n')) {
        anomalies.insert(Anomaly::LeadingEmptyLine);
    }
    // One pass without branches: an LF that no CR precedes.
    let pairs = head.iter().zip(head.get(1..).unwrap_or_default());
    let bare =
        pairs.fold(head.first() == Some(&b'\n'), |bare, (a, b)| bare | ((*b == b'\n') & (*a != b'\r')));
    if bare {
        anomalies.insert(Anomaly::BareLf);
    }
}

/// A target of this length every server should take (RFC 9112 §3).
const LONGEST_TARGET: usize = 8000;

/// Notes a method that is a token, but of other than capital letters.
pub(super) fn check_method(method: &[u8], anomalies: &mut AnomalySet) {
    if !method.iter().all(|b| b.is_ascii_uppercase() || matches!(b, b'-' | b'_')) {
        anomalies.insert(Anomaly::MethodOdd);
    }
}

/// Notes bytes that RFC 3986 §2 does not allow in a request-target.
pub(super) fn check_target(target: &[u8], anomalies: &mut AnomalySet) {
    let odd = target.iter().fold(0, |odd, b| odd | TARGET_BYTES[usize::from(*b)]);
    if odd & FORBIDDEN != 0 {
        anomalies.insert(Anomaly::TargetInvalid);
    }
    if odd & PERCENT != 0 {
        note_percent(target, anomalies);
    }
    if target.len() > LONGEST_TARGET {
        anomalies.insert(Anomaly::TargetTooLong);
    }
}

const FORBIDDEN: u8 = 1;
const PERCENT: u8 = 2;

/// What each byte means in a target.
const TARGET_BYTES: [u8; 256] = {
    let mut table = [FORBIDDEN; 256];
    let allowed = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/?[]@!$&'()*+,;=%";
    let mut i = 0;
    while i < allowed.len() {
        table[allowed[i] as usize] = 0;
        i += 1;
    }
    table[b'%' as usize] = PERCENT;
    table
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn piece() -> impl Strategy<Value = Vec<u8>> {
        let words: [&[u8]; 14] = [
            b"GET ",
            b"/a?b ",
            b"HTTP/1.1",
            b"\r\n",
            b"\n",
            b"Host: h\r\n",
            b"HTTP/1.1 200 OK\r\n",
            b"\r\n\r\n",
            b" ",
            b"Content-Length: 5, 6\r\n",
            b"Transfer-Encoding: ,chunked;\r\n",
            b"\t",
            b":",
            b"HTTP/",
        ];
        prop_oneof![
            4 => (0..words.len()).prop_map(move |i| words[i].to_vec()),
            1 => proptest::collection::vec(any::<u8>(), 0..6),
        ]
    }

    proptest! {
        #[test]
        fn heads_of_any_bytes_end_inside_them(pieces in proptest::collection::vec(piece(), 0..14)) {
            let bytes = pieces.concat();
            let mut anomalies = AnomalySet::default();
            if let Parsed::Complete(head, used) = request_head(&bytes, &HeadLimits::default(), &mut anomalies) {
                prop_assert!(used <= bytes.len() && used > 0);
                prop_assert!(!head.method.is_empty());
            }
            if let Parsed::Complete(_, used) = response_head(&bytes, &HeadLimits::default(), &mut anomalies) {
                prop_assert!(used <= bytes.len() && used > 0);
            }
        }
    }

    #[test]
    fn more_fields_than_the_limit_are_left_out() {
        for count in [20, 200] {
            let fields: String = (0..count).map(|i| format!("X-{i}: v\r\n")).collect();
            let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
            let mut anomalies = AnomalySet::default();
            let parsed = request_head(head.as_bytes(), &HeadLimits { fields: 10 }, &mut anomalies);
            let Parsed::Complete(read, used) = parsed else { panic!("not read") };
            assert_eq!((read.headers.len(), used), (10, head.len()));
            assert!(anomalies.contains(Anomaly::HeadersTooMany));
        }
    }
}
