//! What is to be said of a message beyond its own bytes: against its connection and the messages before it.

use sidetap_model::{Anomaly, AnomalySet, Headers, Version};
use sidetap_wire::http1::{
    Framing, HeadLimits, Hints, RequestHead, ResponseHead, head_end, may_be_line, note_authority,
    trailer_fields, trim_start,
};
use sidetap_wire::target;

use super::long::LongHead;

/// The whole lines of a head that breaks off, closed as a head. Of a first line that breaks off inside its version the
/// rest is known.
pub(super) fn whole_lines(held: &[u8]) -> Option<Vec<u8>> {
    if let Some(lines) = held.iter().rposition(|b| *b == b'\n').and_then(|end| held.get(..=end)) {
        return Some([lines, b"\r\n"].concat());
    }
    let version = held.iter().rposition(|b| *b == b' ').and_then(|at| held.get(at + 1..))?;
    let words = held.iter().filter(|b| **b == b' ').count();
    let known = b"HTTP/1.1".get(..version.len()) == Some(version);
    let rest = b"HTTP/1.1".get(version.len()..)?;
    (known && words == 2).then(|| [held, rest, b"\r\n\r\n"].concat())
}

/// Of a request line that is too long to have an end: as much of its target as servers take (RFC 9112 §3), and the rest of a head.
pub(super) fn cut_line(held: &[u8]) -> Option<Vec<u8>> {
    const TARGET: usize = 16 << 10;
    let line = trim_start(held);
    let method = line.iter().position(|b| *b == b' ')?;
    let target = line.get(method + 1..)?;
    let end = target.iter().position(|b| *b == b' ').unwrap_or(target.len()).min(TARGET);
    Some([line.get(..method)?, b" ", target.get(..end)?, b" HTTP/1.1\r\n\r\n"].concat())
}

/// Lines of text where a request should stand.
pub(super) struct OddHead {
    /// Its first word, and what follows on its line.
    pub(super) method: Vec<u8>,
    pub(super) target: Vec<u8>,
    /// Its fields, as far as they are some, and what they say on framing.
    pub(super) headers: Headers,
    pub(super) hints: Hints,
    /// Bytes that it takes.
    pub(super) len: usize,
}

/// True where the first line may be a request's, as far as it is there.
pub(crate) fn begins_with_text(held: &[u8]) -> bool {
    may_be_line(first_line(held))
}

fn first_line(held: &[u8]) -> &[u8] {
    trim_start(held).split(|b| *b == b'\n').next().unwrap_or_default().trim_ascii_end()
}

/// Reads lines of text up to an empty one, or all of them where nothing else is to come; nothing where their end is not there.
pub(super) fn odd_head(held: &[u8], is_all: bool) -> Option<OddHead> {
    const WORD: usize = 256;
    let line = first_line(held);
    let blank = held.len() - trim_start(held).len();
    let line_end = (blank + line.len()).min(held.len());
    let len = head_end(held, line_end).or(is_all.then_some(held.len()))?;
    let words = trimmed(line);
    let word = words.iter().position(is_any_space).unwrap_or(words.len()).min(WORD);
    let (method, target) = words.split_at(word);
    let lines = held.get(line_end..len)?;
    let (mut headers, mut odd) = (Headers::default(), AnomalySet::default());
    trailer_fields(lines.trim_ascii_start(), &mut headers, &HeadLimits::default(), &mut odd);
    let hints = LongHead::new(lines).hints(Version(1, 1), &mut odd);
    Some(OddHead { method: method.to_vec(), target: trimmed(target).to_vec(), headers, hints, len })
}

/// White space of Latin-1, at which some servers end a word (Python's `str.split`).
pub(super) const fn is_any_space(b: &u8) -> bool {
    matches!(b, b'\t'..=b'\r' | 0x1c..=0x1f | b' ' | 0x85 | 0xa0)
}

fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [b, rest @ ..] = bytes
        && is_any_space(b)
    {
        bytes = rest;
    }
    bytes.trim_ascii_end()
}

/// What a message said that the next one of its side is held against.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said {
    version: Option<Version>,
    pub(super) closes: bool,
    /// A response: to the last request.
    answers: bool,
}

impl Said {
    fn by_request(head: &RequestHead) -> Said {
        let closes = head.hints.close || (head.version < Version(1, 1) && !head.hints.keep_alive);
        Said { version: Some(head.version), closes, answers: false }
    }

    pub(super) fn by_response(head: &ResponseHead) -> Said {
        let closes = head.hints.close || (head.version < Version(1, 1) && !head.hints.keep_alive);
        Said { version: Some(head.version), closes, answers: true }
    }

    fn check_version(self, version: Version, odd: &mut AnomalySet) {
        if self.version.is_some_and(|before| before != version) {
            odd.insert(Anomaly::VersionChanged);
        }
    }
}

/// Notes what is odd of a request on its connection.
pub(super) fn check_request(
    head: &RequestHead,
    framing: Framing,
    server_port: u16,
    said: &mut [Said; 2],
    odd: &mut AnomalySet,
) {
    let [before, answer] = *said;
    *said = [Said::by_request(head), Said { answers: false, ..answer }];
    before.check_version(head.version, odd);
    // A server that answered without closing goes on reading.
    let after_close = before.closes && (!answer.answers || answer.closes);
    if after_close {
        odd.insert(Anomaly::RequestAfterClose);
    }
    let own = head.target.starts_with(b"/");
    if own && head.hints.host_port.is_some_and(|port| port != server_port) {
        odd.insert(Anomaly::PortMismatch);
    }
    if head.hints.expect_continue && framing == Framing::None {
        odd.insert(Anomaly::ExpectWithoutBody);
    }
    if framing != Framing::None && matches!(head.method.as_slice(), b"GET" | b"HEAD" | b"TRACE") {
        odd.insert(Anomaly::BodyUnexpected);
    }
    check_target(head, odd);
}

/// Notes what is odd of a response on its connection.
pub(super) fn check_response(head: &ResponseHead, said: &mut Said, odd: &mut AnomalySet) {
    said.check_version(head.version, odd);
    *said = Said::by_response(head);
}

/// A target must fit its method (RFC 9112 §3.2); one that names an authority must agree with Host (§3.2.2), and name a host.
fn check_target(head: &RequestHead, odd: &mut AnomalySet) {
    let connects = head.method == b"CONNECT";
    if head.target.starts_with(b"/") {
        if connects {
            odd.insert(Anomaly::TargetForm);
        }
        return;
    }
    let Some(authority) = target::split(&head.method, &head.target).authority else {
        if head.target != b"*" || head.method != b"OPTIONS" {
            odd.insert(Anomaly::TargetForm);
        }
        return;
    };
    note_authority(authority, odd);
    if !connects && head.headers.get("host").is_some_and(|h| !h.eq_ignore_ascii_case(authority)) {
        odd.insert(Anomaly::HostMismatch);
    }
}
