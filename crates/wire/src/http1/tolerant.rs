//! Reads heads that `httparse` refuses, the way that lenient servers do, and says what was odd.

use memchr::memchr;
use sidetap_model::{Anomaly, AnomalySet, Headers, Version};

use super::fields::{note_framing_tabs, note_lengths, note_repetition};
use super::framing::Hints;
use super::head::{HeadLimits, Parsed, RequestHead, ResponseHead, check_method, check_target, head_end};
use super::probe::{BORROWED, Probe, probe_request_of_http, probe_response};

pub(super) fn request_head(
    bytes: &[u8],
    limits: &HeadLimits,
    anomalies: &mut AnomalySet,
) -> Parsed<RequestHead> {
    let skipped = leading_space(bytes);
    let message = bytes.get(skipped..).unwrap_or_default();
    match probe_request_of_http(message) {
        Probe::No => return Parsed::Invalid,
        Probe::Unsure => return Parsed::Partial,
        Probe::Certain => {}
    }
    let Some(line_end) = memchr(b'\n', message) else { return Parsed::Partial };
    let line = message.get(..line_end).unwrap_or_default();
    let start = request_line(line);
    let (len, fields) = if start.version_text.is_empty() {
        // A request of HTTP/0.9 is its line alone (RFC 1945 §4.1); one that names a version has a head, whichever that is.
        (line_end + 1, &[][..])
    } else {
        let Some(end) = head_end(message, line_end) else { return Parsed::Partial };
        (end, message.get(line_end + 1..end).unwrap_or_default())
    };
    anomalies.insert(Anomaly::HeadTolerated);
    let before = bytes.get(..skipped).unwrap_or_default();
    if before.iter().any(|b| matches!(b, b'\r' | b'\n')) {
        anomalies.insert(Anomaly::LeadingEmptyLine);
    }
    if before.iter().any(|b| matches!(b, b' ' | b'\t')) {
        anomalies.insert(Anomaly::LeadingSpace);
    }
    start.note(line, anomalies);
    let (headers, hints) = header_fields(fields, limits, anomalies);
    hints.check_request(start.version, anomalies);
    note_framing_tabs(&hints, fields, anomalies);
    let head = RequestHead {
        method: start.method.to_vec(),
        target: start.target.to_vec(),
        version: start.version,
        headers,
        hints,
    };
    Parsed::Complete(head, skipped + len)
}

pub(super) fn response_head(
    bytes: &[u8],
    limits: &HeadLimits,
    anomalies: &mut AnomalySet,
) -> Parsed<ResponseHead> {
    let skipped = leading_space(bytes);
    let message = bytes.get(skipped..).unwrap_or_default();
    match probe_response(message) {
        Probe::No => return Parsed::Invalid,
        Probe::Unsure => return Parsed::Partial,
        Probe::Certain => {}
    }
    let Some(line_end) = memchr(b'\n', message) else { return Parsed::Partial };
    let Some(end) = head_end(message, line_end) else { return Parsed::Partial };
    anomalies.insert(Anomaly::HeadTolerated);
    let line = message.get(..line_end).unwrap_or_default();
    let (version, status) = status_line(line, anomalies);
    let (headers, hints) =
        header_fields(message.get(line_end + 1..end).unwrap_or_default(), limits, anomalies);
    hints.check_response(version, anomalies);
    Parsed::Complete(ResponseHead { status, version, headers, hints }, skipped + end)
}

/// Reads the fields of a trailer section (RFC 9112 §7.1.2) behind those of the head.
pub fn trailer_fields(bytes: &[u8], headers: &mut Headers, limits: &HeadLimits, anomalies: &mut AnomalySet) {
    let (fields, _) = header_fields(bytes, limits, anomalies);
    for (name, value) in fields.iter() {
        let forbidden: [&[u8]; 5] =
            [b"transfer-encoding", b"content-length", b"host", b"content-encoding", b"trailer"];
        if forbidden.iter().any(|f| name.eq_ignore_ascii_case(f)) {
            anomalies.insert(Anomaly::TrailerForbidden);
        }
        headers.push(name, value);
    }
}

fn leading_space(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n' | b' ' | b'\t')).count()
}

struct RequestLine<'a> {
    method: &'a [u8],
    target: &'a [u8],
    version: Version,
    version_text: &'a [u8],
    /// Something stands behind the version.
    behind: bool,
}

/// The first word is the method, a last word that begins with `HTTP/` the version, what lies between the target.
fn request_line(line: &[u8]) -> RequestLine<'_> {
    let line = trim(line);
    let method_len = line.iter().position(|b| is_space(*b)).unwrap_or(line.len());
    let (method, rest) = line.split_at(method_len);
    let rest = trim(rest);
    let last = rest.iter().rposition(|b| is_space(*b)).map_or(0, |at| at + 1);
    let (before, word) = rest.split_at(last);
    if let Some(version) = http_version(word) {
        return RequestLine { method, target: trim(before), version, version_text: word, behind: false };
    }
    // What stands behind the version is left out.
    let inner = memchr::memmem::rfind(rest, b" HTTP/").map(|at| rest.split_at(at));
    if let Some((before, tail)) = inner {
        let tail = trim(tail);
        let word = tail.split(|b| is_space(*b)).next().unwrap_or_default();
        if let Some(version) = http_version(word) {
            return RequestLine { method, target: trim(before), version, version_text: word, behind: true };
        }
    }
    RequestLine { method, target: rest, version: Version(0, 9), version_text: &[], behind: false }
}

impl RequestLine<'_> {
    fn note(&self, line: &[u8], anomalies: &mut AnomalySet) {
        if !is_token(self.method) {
            anomalies.insert(Anomaly::MethodInvalid);
        } else {
            check_method(self.method, anomalies);
        }
        check_target(self.target, anomalies);
        if self.target.is_empty() || self.behind {
            anomalies.insert(Anomaly::RequestLineInvalid);
        }
        note_version(self.version, self.version_text, anomalies);
        let tight = self.method.len() + self.target.len() + self.version_text.len();
        let spaces = if self.version_text.is_empty() { 1 } else { 2 };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.contains(&b'\r') {
            anomalies.insert(Anomaly::BareCr);
        }
        if line.len() != tight + spaces || line.contains(&b'\t') || self.target.contains(&b' ') {
            anomalies.insert(Anomaly::RequestLineSpaces);
        }
    }
}

fn note_version(version: Version, text: &[u8], anomalies: &mut AnomalySet) {
    match version {
        Version(0, 9) if text.is_empty() => anomalies.insert(Anomaly::Version09),
        _ if text != b"HTTP/1.1" && text != b"HTTP/1.0" => anomalies.insert(Anomaly::VersionOdd),
        _ => {}
    }
}

/// `HTTP/` in any case with numbers, as far as they can be read; or a version of another protocol that some servers take for it.
fn http_version(word: &[u8]) -> Option<Version> {
    let own = word
        .get(..5)
        .is_some_and(|name| name.eq_ignore_ascii_case(b"HTTP/"))
        .then(|| word.get(5..))
        .flatten();
    let number = own.or_else(|| BORROWED.iter().find_map(|name| word.strip_prefix(*name)))?;
    let mut parts = number.split(|b| *b == b'.');
    let part = |digits: Option<&[u8]>| {
        let digits = digits.unwrap_or(b"0");
        let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
        let text = digits.get(..count).and_then(|d| std::str::from_utf8(d).ok());
        text.and_then(|t| t.parse::<u8>().ok()).unwrap_or(0)
    };
    Some(Version(part(parts.next()), part(parts.next())))
}

fn status_line(line: &[u8], anomalies: &mut AnomalySet) -> (Version, u16) {
    let line = trim(line);
    let mut words = line.splitn(3, |b| is_space(*b)).map(trim);
    let first = words.next().unwrap_or_default();
    let version = http_version(first).unwrap_or(Version(1, 0));
    note_version(version, first, anomalies);
    let rest = words.next().unwrap_or_default();
    let code = if rest.is_empty() { words.next().unwrap_or_default() } else { rest };
    let digits = code.iter().take_while(|b| b.is_ascii_digit()).count();
    let status =
        code.get(..digits).and_then(|d| std::str::from_utf8(d).ok()).and_then(|d| d.parse::<u16>().ok());
    let status = status.filter(|s| (100..=999).contains(s)).unwrap_or(0);
    if digits != 3 || code.len() != 3 || status == 0 {
        anomalies.insert(Anomaly::StatusLineInvalid);
    }
    (version, status)
}

fn header_fields(bytes: &[u8], limits: &HeadLimits, anomalies: &mut AnomalySet) -> (Headers, Hints) {
    let mut headers = Headers::with_capacity(16, bytes.len());
    let mut hints = Hints::default();
    let mut fields = Fields { headers: &mut headers, hints: &mut hints, limit: limits.fields };
    let mut open: Option<(&[u8], Vec<u8>)> = None;
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = memchr(b'\n', rest).unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        let bare = !line.ends_with(b"\r");
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        if bare {
            anomalies.insert(Anomaly::BareLf);
        }
        if line.first().is_some_and(|b| matches!(b, b' ' | b'\t')) {
            anomalies.insert(Anomaly::ObsFold);
            if let Some((_, value)) = &mut open {
                value.push(b' ');
                value.extend_from_slice(trim(line));
                continue;
            }
        }
        fields.close(open.take(), anomalies);
        open = Some(split_field(line, anomalies));
    }
    fields.close(open, anomalies);
    note_repetition(&headers, anomalies);
    note_lengths(&headers, anomalies);
    (headers, hints)
}

struct Fields<'a> {
    headers: &'a mut Headers,
    hints: &'a mut Hints,
    limit: usize,
}

impl Fields<'_> {
    fn close(&mut self, field: Option<(&[u8], Vec<u8>)>, anomalies: &mut AnomalySet) {
        let Some((name, value)) = field else { return };
        // A server without a limit on their number frames the message by any of them.
        self.hints.note(name, &value, anomalies);
        if self.headers.len() >= self.limit {
            anomalies.insert(Anomaly::HeadersTooMany);
            return;
        }
        self.headers.push(name, &value);
    }
}

fn split_field<'a>(line: &'a [u8], anomalies: &mut AnomalySet) -> (&'a [u8], Vec<u8>) {
    let Some(colon) = memchr(b':', line) else {
        anomalies.insert(Anomaly::HeaderNoColon);
        return (trim(line), Vec::new());
    };
    let (name, value) = line.split_at(colon);
    let trimmed = trim(name);
    if trimmed.len() != name.len() {
        anomalies.insert(Anomaly::SpaceBeforeColon);
    }
    if !is_token(trimmed) {
        anomalies.insert(Anomaly::HeaderNameInvalid);
    }
    let untrimmed = value.get(1..).unwrap_or_default();
    let value = trim(untrimmed);
    if value.contains(&b'\r') {
        anomalies.insert(Anomaly::BareCr);
    }
    if untrimmed.iter().any(|b| matches!(b, 0..=8 | 0x0a..=0x1f | 0x7f)) {
        anomalies.insert(Anomaly::HeaderValueControl);
    }
    (trimmed, value.to_vec())
}

const fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | 0x0b | 0x0c | b'\r')
}

fn trim(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|b| !is_space(*b)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|b| !is_space(*b)).map_or(start, |at| at + 1);
    bytes.get(start..end).unwrap_or_default()
}

/// A token (RFC 9110 §5.6.2).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_line_without_a_version_is_read_whatever_stands_behind_it() {
        let bytes = [b"GET /\n".as_slice(), &b"GET /\n".repeat(700_000)].concat();
        let start = Instant::now();
        for _ in 0..2_000 {
            let read = request_head(&bytes, &HeadLimits::default(), &mut AnomalySet::default());
            assert!(matches!(read, Parsed::Complete(_, 6)));
        }
        // Looking for a blank line took minutes.
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
