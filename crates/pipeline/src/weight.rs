//! What one segment may bring, by its bytes.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use sidetap_model::Ts;

/// How many segments one counts for in what an epoch may have: as many as messages that may stand in it, and more where it is
/// long, as off-load makes it. What waits for an epoch's end is made of these.
///
/// Most segments are a piece of one body. One in [`PIECES`](Many::PIECES) pieces of a segment is looked at first, and the whole
/// only where a head ends in that one, or the line of a request. Which piece it is hangs on the time of the packet, so no sender can keep to the others.
pub(crate) fn weight(payload: &[u8], ts: Ts) -> usize {
    const USUAL: usize = 2 << 10;
    let is_looked_at = payload.len() <= Many::LEAST || Many::may_be(payload, ts);
    let messages = if is_looked_at { messages(payload) } else { 1 };
    messages.max(1) + payload.len() / USUAL
}

/// Whether many messages may stand in one segment.
struct Many;

impl Many {
    const PIECE: usize = 64;
    const PIECES: usize = 8;
    /// Lines of a piece that are too many for usual content, and pieces with a line's end in each.
    const DENSE: (usize, usize) = (3, 2);
    /// A shorter segment is looked at as a whole.
    const LEAST: usize = 128;

    fn may_be(payload: &[u8], ts: Ts) -> bool {
        let salt = (ts.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61;
        let from = salt as usize * Self::PIECE;
        let mut with_lines = 0;
        (from..payload.len()).step_by(Self::PIECE * Self::PIECES).any(|from| {
            let piece = payload.get(from..(from + Self::PIECE).min(payload.len())).unwrap_or_default();
            if !has_line_end(piece) {
                return false;
            }
            let (mut ends, mut last) = (0, 0);
            let is_head = memchr::memchr_iter(b'\n', piece).any(|at| {
                (ends, last) = (ends + 1, from + at);
                ends_head(piece, at) || is_plain_request(piece, at)
            });
            with_lines += usize::from(ends > 0);
            let is_dense = ends >= Self::DENSE.0 || ends > 0 && with_lines >= Self::DENSE.1;
            is_head || is_dense && ends_request_line(payload, last)
        })
    }
}

/// Whether a line ends in a piece. Most are looked at for nothing: the whole piece at once is faster than a search.
fn has_line_end(piece: &[u8]) -> bool {
    piece.iter().fold(false, |any, b| any | (*b == b'\n'))
}

/// How many messages may stand in some bytes. One has a blank line; requests that need none have a line that names them.
fn messages(bytes: &[u8]) -> usize {
    /// Lines of usual heads, and of something before them.
    const USUAL: (usize, usize) = (12, 8);
    let begins = matches!(bytes, [b'G', b'E', b'T', b' ' | b'\t', ..]);
    let (mut heads, mut plain, mut ends) = (0, usize::from(begins), 0);
    for at in memchr::memchr_iter(b'\n', bytes) {
        ends += 1;
        heads += usize::from(ends_head(bytes, at));
        plain += usize::from(is_plain_request(bytes, at));
    }
    // Behind other bytes of their lines there are requests in odd places alone.
    let most = heads.max(plain);
    if ends <= most * USUAL.0 + USUAL.1 {
        return most;
    }
    let lines = memchr::memchr_iter(b'\n', bytes).filter(|at| ends_request_line(bytes, *at)).count();
    most.max(lines)
}

/// Whether a line begins behind this end of one that may be a whole request.
fn is_plain_request(bytes: &[u8], at: usize) -> bool {
    matches!(bytes.get(at + 1..), Some([b'G', b'E', b'T', b' ' | b'\t', ..]))
}

/// Whether what ends with this end of a line is followed by a blank one.
fn ends_head(bytes: &[u8], at: usize) -> bool {
    matches!(bytes.get(at + 1..), Some([b'\n', ..] | [b'\r', b'\n', ..]))
}

/// Whether the line that ends here may be one of a request: with a version, or of HTTP/0.9.
fn ends_request_line(bytes: &[u8], at: usize) -> bool {
    /// A longer one takes more than it brings.
    const LINE: usize = 256;
    static VERSION: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b" HTTP/1."));
    let line = trim_end(bytes.get(at.saturating_sub(LINE)..at).unwrap_or_default());
    if matches!(line, [.., b'/', b'0'..=b'9', b'.', b'0'..=b'9']) {
        return true;
    }
    let blank = memchr::memrchr3(b' ', b'\t', b'\n', line).unwrap_or_default();
    let (before, word) = line.split_at(blank);
    let has = |name: &[u8]| word.get(1..=name.len()).is_some_and(|w| w.eq_ignore_ascii_case(name));
    match word {
        [b' ' | b'\t', b'/', ..] => trim_end(before).ends_with(b"GET"),
        [b' ' | b'\t', b'h' | b'H' | b'R' | b'I', ..]
            if has(b"HTTP/") || has(b"RTSP/") || has(b"ICE/") || has(b"HTTP:") || has(b"HTTPS:") =>
        {
            true
        }
        // Something stands behind the version.
        [b' ' | b'\t', ..] => {
            let from = memchr::memrchr(b'\n', before).unwrap_or_default();
            before.get(from..).is_some_and(|line| VERSION.find(line).is_some())
        }
        _ => false,
    }
}

fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t' | b'\r'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_weighs_what_it_may_bring() {
        for ts in (0..1_000).map(|n| Ts(n * 7_919)) {
            assert_eq!((weight(b"", ts), weight(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", ts)), (1, 1));
            assert_eq!(weight(&b"get / http/1.0\n\n".repeat(90), ts), 90);
            assert_eq!(weight(&[b'x'; 1460], ts), 1);
            assert_eq!(weight(&[b'x'; 60_000], ts), 30);
            assert_eq!(weight(&b"GET /\n".repeat(20), ts), 20);
        }
    }

    #[test]
    fn heads_between_what_looks_like_a_body_weigh_nearly_always() {
        let hidden = [&[b'x'; 64][..], &b"get / http/1.0\n\n".repeat(28)].concat().repeat(2);
        let found = (0..1_000).filter(|n| weight(&hidden, Ts(n * 7_919)) == 56).count();
        assert!(found > 800, "{found}");
    }

    #[test]
    fn requests_without_a_blank_line_weigh_nearly_always() {
        let path = "x".repeat(90);
        let lines = [
            "GET /\n".to_owned(),
            format!("GET /{path}\n"),
            "xGET /x\n".into(),
            format!("xGET /{}\n", "a".repeat(26)),
            format!("xGET /{}\n", "a".repeat(40)),
            "GET http://h/\n".into(),
            "GET\t/ \n".into(),
            "POST a HTTP/1.1\r\n".into(),
            "PUT a http/01.1\n".into(),
            "PUT a ICE/1.1\n".into(),
            "GET a HTTP/1.1 x\n".into(),
            "x: y GET /x\n".into(),
        ];
        for line in lines {
            let count = 1_448 / line.len();
            let bytes = line.repeat(count);
            let found = (0..1_000).filter(|n| weight(bytes.as_bytes(), Ts(n * 7_919)) >= count).count();
            assert!(found > 700, "{line:?} {found}");
        }
        let page = b"<p>some text of a page</p>\n  <a href=x>and GET it</a> /\n".repeat(25);
        assert!((0..1_000).all(|n| weight(&page, Ts(n * 7_919)) == 1));
    }
}
