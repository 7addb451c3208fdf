//! Heads that are longer than what is kept of them: they have an end, and behind it the connection goes on.

use sidetap_model::{AnomalySet, Version};
use sidetap_wire::body::hash_bytes;
use sidetap_wire::http1::{HeadLimits, Hints, Parsed, request_head};

use crate::flow::Kind;

/// Bytes kept of a line while it comes, to see what field it is.
const LINE: usize = 512;
/// Bytes kept of a line that says something on framing, and of all those of one name.
const MOST: usize = 64 << 10;
/// Lines of one name that differ, of which the first are kept.
const DISTINCT: usize = 64;

/// What the rest of a head says on framing and connection, read line by line; nothing else of it is kept.
#[derive(Default)]
pub(super) struct LongHead {
    lines: Vec<u8>,
    /// What was kept of each name that says where the message ends: hashes of its lines, and bytes.
    said: [(Vec<u64>, usize); FRAMING.len()],
    line: Vec<u8>,
    /// Whether the line says something on framing, once it is long enough to know.
    framing: Option<bool>,
    /// The line before was kept: one that folds it is too.
    kept: bool,
    /// The line before says where the message ends.
    frames: bool,
    /// Something that says where the message ends was left out: servers that read it all may find another end.
    pub(super) unsure: bool,
    /// The last line on codings that was left out.
    last: Vec<u8>,
    /// It asks for another protocol, or to be told to go on.
    pub(super) upgrades: bool,
    pub(super) expects: bool,
    /// A response: the method that decides on its framing, and what it hands over to.
    pub(super) answers: Option<Vec<u8>>,
    pub(super) next: Option<Kind>,
}

impl LongHead {
    /// Takes the beginning of a head that has no end in it.
    pub(super) fn new(held: &[u8]) -> Self {
        let mut head = LongHead::default();
        head.feed(held.trim_ascii_start());
        head
    }

    pub(super) fn held(&self) -> usize {
        let said: usize = self.said.iter().map(|(said, _)| said.capacity() * size_of::<u64>()).sum();
        self.lines.capacity() + self.line.capacity() + self.last.capacity() + said
    }

    /// Reads on; how many bytes up to the end of the head, where that is among them.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut used = 0;
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            used += part.len();
            self.take(part);
            if !part.ends_with(b"\n") {
                break;
            }
            let line = std::mem::take(&mut self.line);
            self.framing = None;
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                return Some(used);
            }
            self.upgrades |= value_of(line, b"upgrade").is_some();
            self.expects |=
                value_of(line, b"expect").is_some_and(|v| v.eq_ignore_ascii_case(b"100-continue"));
            self.keep(line);
        }
        None
    }

    /// Keeps a line where it says something new. Those of one name take no room of the other's, and what is said twice takes none.
    fn keep(&mut self, line: &[u8]) {
        let goes_on = matches!(line.first(), Some(b' ' | b'\t'));
        let folds = self.kept && goes_on;
        let name = FRAMING.iter().position(|name| begins_with(line, name));
        // What was said before is not with this behind it.
        self.unsure |= goes_on && self.frames && !self.kept;
        self.frames = name.is_some() || goes_on && self.frames;
        self.kept = match name.and_then(|n| self.said.get_mut(n)) {
            Some((said, taken)) => {
                // White space around a value says nothing, inside of it a word that it cuts is no longer the same.
                let colon = line.iter().position(|b| *b == b':').unwrap_or(line.len());
                let (field, value) = line.split_at(colon);
                let said_now =
                    [field.trim_ascii_end(), b":", value.strip_prefix(b":").unwrap_or_default().trim_ascii()]
                        .concat();
                let hash = hash_bytes(&said_now.to_ascii_lowercase());
                let told = said.contains(&hash);
                let new = said.len() < DISTINCT && *taken + line.len() < MOST && !told;
                if new {
                    said.push(hash);
                    *taken += line.len();
                }
                if !new && !told {
                    self.unsure = true;
                    // The last of the codings decides.
                    self.last = if name == Some(1) { line.to_vec() } else { std::mem::take(&mut self.last) };
                }
                new
            }
            None if folds => {
                let room = self.lines.len() + line.len() < 2 * MOST;
                self.unsure |= self.frames && !room;
                room
            }
            None => connects(line) && self.lines.len() + line.len() < 4 * LINE,
        };
        if self.kept {
            self.lines.extend_from_slice(line);
            self.lines.extend_from_slice(b"\r\n");
        }
    }

    /// Takes more of a line, one white space for many.
    fn take(&mut self, part: &[u8]) {
        for (n, b) in part.iter().enumerate() {
            if self.framing == Some(false) {
                // Of a long line that says nothing the end is all that matters.
                let rest = part.get(n..).unwrap_or_default();
                return self.line.extend(rest.last().filter(|b| **b == b'\n'));
            }
            let most = if self.line.len() < LINE { LINE } else { MOST };
            let again = is_space(*b) && self.line.last().is_some_and(|last| is_space(*last));
            if b.is_ascii_digit() && matches!(self.line.as_slice(), [.., b':' | b' ' | b'\t', b'0']) {
                // Zeros in front of a number say nothing, however many.
                self.line.pop();
            }
            if self.line.len() < most && !again {
                self.line.push(*b);
            } else if *b == b'\n' {
                self.line.push(b'\n');
            }
            if self.line.len() >= LINE {
                self.framing.get_or_insert_with(|| frames(&self.line));
            }
        }
    }

    /// What all of the head says, of a message of this version.
    pub(super) fn hints(&self, version: Version, odd: &mut AnomalySet) -> Hints {
        let line: &[u8] =
            if version < Version(1, 1) { b"POST / HTTP/1.0\r\n" } else { b"POST / HTTP/1.1\r\n" };
        let last: &[u8] = if self.last.is_empty() { b"" } else { b"\r\n" };
        let head = [line, &self.lines, &self.last, last, b"\r\n"].concat();
        match request_head(&head, &HeadLimits::default(), odd) {
            Parsed::Complete(head, _) => head.hints,
            Parsed::Partial | Parsed::Invalid => Hints::default(),
        }
    }
}

const fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t')
}

/// Fields that say where the message ends.
const FRAMING: [&[u8]; 2] = [b"content-length", b"transfer-encoding"];

fn frames(line: &[u8]) -> bool {
    FRAMING.iter().any(|name| begins_with(line, name))
}

/// A field that says something on its connection.
fn connects(line: &[u8]) -> bool {
    [&b"connection"[..], b"upgrade", b"expect", b"host"].iter().any(|name| begins_with(line, name))
}

fn begins_with(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|n| n.eq_ignore_ascii_case(name))
        && line.get(name.len()).is_some_and(|b| matches!(b, b':' | b' ' | b'\t'))
}

/// The value of a field of this name.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.get(name.len()..).filter(|_| begins_with(line, name))?;
    Some(rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_and_the_framing_are_found_wherever_the_head_is_cut() {
        let pad = format!("X-Pad: {}\r\n", "Content-Length: 9 ".repeat(100));
        let head = format!("POST /a HTTP/1.1\r\n{pad}cOntent-length : 7\r\n{pad}\r\nGET");
        let end = head.len() - 3;
        for cut in 1..end {
            let mut long = LongHead::new(&head.as_bytes()[..cut]);
            assert_eq!(long.feed(&head.as_bytes()[cut..]), Some(end - cut));
            let hints = long.hints(Version(1, 1), &mut AnomalySet::default());
            assert_eq!(hints.content_length, Some(7), "{cut}");
            assert!(long.held() < 4 * LINE);
        }
    }

    #[test]
    fn one_name_takes_no_room_of_the_other() {
        for fill in ["Content-Length: 9\r\ncontent-length:9\r\n".repeat(4_000), {
            (0..4_000).map(|n| format!("Content-Length: {n}\r\n")).collect()
        }] {
            let mut long = LongHead::new(b"POST /a HTTP/1.1\r\n");
            assert_eq!(
                long.feed(format!("{fill}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).map(|_| ()),
                Some(())
            );
            let mut odd = AnomalySet::default();
            assert!(long.hints(Version(1, 1), &mut odd).chunked, "{odd:?}");
            assert!(long.held() < MOST);
        }
    }

    #[test]
    fn lines_of_any_length_are_read_alike_wherever_they_are_cut() {
        for (line, length) in [
            (format!("Content-Length: {}7", "0".repeat(2_000)), Some(7)),
            (format!("Content-Length:{}7", " ".repeat(2_000)), Some(7)),
            (format!("X-Content-Length: {}7", "5".repeat(2_000)), None),
            (format!("Upgrade{}: h2c", " ".repeat(600)), None),
            (format!("{}Content-Length: 7", "Connection: abc\r\nHost: h\r\n".repeat(4_000)), Some(7)),
            (format!("{}Host: h", "Content-Length: 7\r\ncontent-length:7\r\n".repeat(4_000)), Some(7)),
        ] {
            let head = format!("{line}\r\nexpect:  100-Continue\r\n\r\nGET");
            for step in [1, 7, 511, 512, 513, 5_000] {
                let mut long = LongHead::new(b"POST /a HTTP/1.1\r\n");
                let mut at = 0;
                let end = head.as_bytes().chunks(step).find_map(|part| {
                    at += part.len();
                    Some(at - part.len() + long.feed(part)?)
                });
                assert_eq!(end, Some(head.len() - 3), "{step}");
                let hints = long.hints(Version(1, 1), &mut AnomalySet::default());
                assert_eq!(hints.content_length, length, "{step}");
                assert!(long.expects && long.upgrades == line.starts_with('U'));
            }
        }
    }
}
