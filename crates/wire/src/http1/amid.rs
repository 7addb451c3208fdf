//! Where a request begins amid other bytes: of content that its server dropped, any place may be the one at which it went on.

use memchr::{memchr, memchr_iter, memmem};

use super::probe::{BORROWED, LONGEST_KNOWN, METHODS, is_version};

/// The first place from `from` on at which a request begins, whatever stands before it: a method that is in use and a target, where the line's end, as
/// far as it is there, has a version; or a method and a path, as servers read them without one.
///
/// Each line is looked through once, however many places of it may be one.
pub fn request_amid(bytes: &[u8], from: usize, line: &mut AmidLine) -> Option<usize> {
    find(bytes, from, line, &mut 0)
}

/// `work` counts bytes that are looked at.
fn find(bytes: &[u8], from: usize, line: &mut AmidLine, work: &mut usize) -> Option<usize> {
    for blank in memchr_iter(b' ', bytes.get(from..)?) {
        let blank = from + blank;
        let word = bytes.get(from.max(blank.saturating_sub(LONGEST_KNOWN))..blank).unwrap_or_default();
        let Some((len, is_known)) = method_at_end(word, work) else { continue };
        let target = bytes.get(blank + 1..).unwrap_or_default();
        let is_path =
            target.starts_with(b"/") || target.get(..4).is_some_and(|t| t.eq_ignore_ascii_case(b"http"));
        // A version may stand behind any word.
        let is_place = match target.first() {
            _ if target.get(..5).is_some_and(|t| t.eq_ignore_ascii_case(b"HTTP/")) => false,
            _ if is_path => true,
            None => is_known,
            Some(b) => {
                let plausible = b.is_ascii_alphanumeric() || matches!(b, b'*' | b'[' | b' ');
                is_known && plausible && line.at(bytes, blank, work)
            }
        };
        if is_place {
            return Some(blank - len);
        }
    }
    None
}

/// The method at the end of bytes, and whether it is in use: the longest one that is, or else all that is written as one.
fn method_at_end(word: &[u8], work: &mut usize) -> Option<(usize, bool)> {
    let is_letter = |b: &u8| b.is_ascii_uppercase() || matches!(b, b'-' | b'_');
    word.last().filter(|b| is_letter(b))?;
    *work += METHODS.len();
    let known = METHODS.iter().filter(|m| word.ends_with(m)).map(|m| m.len()).max();
    let all = word.iter().rev().take_while(|b| is_letter(b)).count();
    Some(known.map_or((all, false), |len| (len, true)))
}

/// The line that was looked at last: one for all searches in what ends where these bytes end.
#[derive(Clone, Copy, Debug, Default)]
pub struct AmidLine {
    /// How many bytes are behind its end.
    left: Option<usize>,
    may_be_request: bool,
}

impl AmidLine {
    /// Whether the line that `at` stands in may be one of a request: its end is not there, or has a version.
    fn at(&mut self, bytes: &[u8], at: usize, work: &mut usize) -> bool {
        if self.left.is_some_and(|left| bytes.len() - at > left) {
            return self.may_be_request;
        }
        let rest = bytes.get(at..).unwrap_or_default();
        let end = memchr(b'\n', rest);
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default().trim_ascii_end();
        *work += 2 * line.len();
        let word = line.rsplit(|b| matches!(b, b' ' | b'\t')).next().unwrap_or_default();
        let borrowed = || BORROWED.iter().any(|name| word.starts_with(name));
        let versioned = || is_version(word) || borrowed() || memmem::find(line, b" HTTP/1.").is_some();
        self.may_be_request = end.is_none() || versioned();
        self.left = Some(rest.len() - end.unwrap_or(rest.len()));
        self.may_be_request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_found_behind_anything() {
        let cases: [(&[u8], Option<usize>); 16] = [
            (b"xxxGET / HTTP/1.1\r\n", Some(3)),
            (b"XXXGET / HTTP/1.1\r\n", Some(3)),
            (b"\0\0UNLOCK /a HTTP/1.1\r\n", Some(2)),
            (b"xM-SEARCH * HTTP/1.1\r\n", Some(1)),
            (b"\0POST /old\r\n", Some(1)),
            (b"\0POST HTTP://h/old\r\n", Some(1)),
            (b"\0SOURCE /a HTTP/1.1\r\n", Some(1)),
            (b"xGET a b HTTP/1.1\r\n", Some(1)),
            (b"xGET a", Some(1)),
            (b"xGET ", Some(1)),
            (b"GET a b\nPOST c HTTP/1.0\n", Some(8)),
            (b"xGET a b\r\n", None),
            (b"POST /api/SEARCH HTTP/1.1\r\n", Some(0)),
            (b"/api/SEARCH HTTP/1.1\r\n", None),
            (b"the words of a Text that GETS nowhere, AND no path\r\n", None),
            (b"get / HTTP/1.1\r\n", None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(
                request_amid(bytes, 0, &mut AmidLine::default()),
                expected,
                "{:?}",
                String::from_utf8_lossy(bytes)
            );
        }
        assert_eq!(request_amid(b"POST /api/SEARCH HTTP/1.1\r\n", 5, &mut AmidLine::default()), None);
    }

    /// By bytes that are looked at, for times differ.
    #[test]
    fn however_often_a_line_seems_to_begin_a_request_it_is_looked_through_once() {
        for unit in
            [&b"GET a "[..], b"GET ", b"GET a GET \xff ", b"A ", b"GET a b\n", b"\n", b" ", b"RPC_IN_DATA x "]
        {
            let mut most = 0;
            for len in [1_000, 60_000, 480_000] {
                let mut bytes = unit.repeat(len / unit.len());
                bytes.push(b'\n');
                let (mut work, mut line) = (0, AmidLine::default());
                assert_eq!(
                    find(&bytes, 0, &mut line, &mut work),
                    None,
                    "{:?}",
                    String::from_utf8_lossy(unit)
                );
                most = most.max(work / bytes.len());
            }
            assert!(most <= 24, "{:?}: {most} looks at a byte", String::from_utf8_lossy(unit));
        }
    }

    #[test]
    fn who_goes_on_behind_each_place_of_a_line_looks_through_it_once() {
        let bytes = b"GET a ".repeat(10_000);
        let (mut work, mut line, mut from, mut found) = (0, AmidLine::default(), 0, 0);
        while let Some(at) = bytes.get(from..).and_then(|rest| find(rest, 0, &mut line, &mut work)) {
            (from, found) = (from + at + 4, found + 1);
        }
        assert!(found == 10_000 && work <= 24 * bytes.len(), "{found} {work}");
    }
}
