use std::ops::Range;

use super::{Scalar, Source, Visitor, WalkLimits, WalkScratch, Walked};

/// Reads multipart bodies (RFC 7578, RFC 2046 §5.1): each part stands at `$.name`. Of files only text is told, under
/// `$.name`, and the file's name under `$.name.@filename`.
pub(super) fn walk<V: Visitor + ?Sized>(
    content_type: Option<&[u8]>,
    body: &[u8],
    limits: &WalkLimits,
    scratch: &mut WalkScratch,
    visitor: &mut V,
) -> Walked {
    let source = Source::new(body);
    let Some(delimiter) = delimiter(content_type, body) else {
        return Walked { malformed: true, ..Walked::default() };
    };
    let finder = memchr::memmem::Finder::new(&delimiter);
    let WalkScratch { path, text, name, .. } = scratch;
    visitor.begin_object(&path.at());
    let root = path.mark(false);
    let mut walked = Walked::default();
    let mut at = finder.find(body).map(|n| n + delimiter.len());
    while let Some(start) = at {
        if body.get(start..).is_some_and(|b| b.starts_with(b"--")) {
            walked.complete = true;
            break;
        }
        if walked.tokens >= limits.tokens {
            return walked;
        }
        let next = body.get(start..).and_then(|b| finder.find(b)).map(|n| start + n);
        if let Some(part) = Part::read(body, start, next.unwrap_or(body.len())) {
            path.depth(1);
            path.member(source.text(part.name.clone().unwrap_or(0..0), name));
            if let Some(file) = part.filename.clone() {
                let field = path.mark(false);
                path.attribute("filename");
                visitor.scalar(&path.at(), Scalar::Str(source.text(file.clone(), text)), file);
                path.back(&field);
                walked.tokens += 1;
            }
            if part.filename.is_none() || is_text(body.get(part.body.clone()).unwrap_or_default()) {
                visitor.scalar(&path.at(), Scalar::Str(source.text(part.body.clone(), text)), part.body);
                walked.tokens += 1;
            }
            path.back(&root);
            path.depth(0);
        }
        at = next.map(|n| n + delimiter.len());
    }
    if walked.complete {
        visitor.end_object(&path.at());
    }
    walked
}

/// The boundary with its two dashes: declared, or else the first line where that begins with two dashes.
fn delimiter(content_type: Option<&[u8]>, body: &[u8]) -> Option<Vec<u8>> {
    let declared = content_type.and_then(|ct| parameter(ct, b"boundary", 0)).zip(content_type);
    let name = match declared {
        Some((range, ct)) => ct.get(range)?,
        None => {
            let line = body.get(..body.len().min(80))?.split(|b| matches!(b, b'\r' | b'\n')).next()?;
            line.strip_prefix(b"--")?
        }
    };
    if name.is_empty() || name.len() > 200 {
        return None;
    }
    Some([b"--", name].concat())
}

struct Part {
    name: Option<Range<usize>>,
    filename: Option<Range<usize>>,
    body: Range<usize>,
}

impl Part {
    fn read(body: &[u8], start: usize, end: usize) -> Option<Part> {
        let mut part = Part { name: None, filename: None, body: start..start };
        let mut at = start + body.get(start..end)?.iter().position(|b| *b == b'\n')? + 1;
        for _ in 0..32 {
            let line = body.get(at..end)?;
            let len = memchr::memchr(b'\n', line)?;
            let head = line.get(..len)?.trim_ascii_end();
            if head.is_empty() {
                at += len + 1;
                let data = body.get(at..end)?;
                let data = data.strip_suffix(b"\n").unwrap_or(data);
                let data = data.strip_suffix(b"\r").unwrap_or(data);
                part.body = at..at + data.len();
                return Some(part);
            }
            if head.get(..20).is_some_and(|h| h.eq_ignore_ascii_case(b"content-disposition:")) {
                part.name = parameter(head, b"name", at);
                part.filename = parameter(head, b"filename", at);
            }
            at += len + 1;
        }
        None
    }
}

/// Where the value of a `; name=value` parameter stands, `base` added.
pub(super) fn parameter(head: &[u8], name: &[u8], base: usize) -> Option<Range<usize>> {
    let mut at = 0;
    loop {
        at += memchr::memchr(b';', head.get(at..)?)? + 1;
        let rest = head.get(at..)?;
        let trimmed = rest.trim_ascii_start();
        let (found, value) = trimmed.split_at_checked(name.len())?;
        let Some(value) = value.strip_prefix(b"=").filter(|_| found.eq_ignore_ascii_case(name)) else {
            continue;
        };
        let start = head.len() - value.len();
        let range = match value.strip_prefix(b"\"") {
            Some(quoted) => start + 1..start + 1 + memchr::memchr(b'"', quoted)?,
            None => {
                let end =
                    value.iter().position(|b| *b == b';' || b.is_ascii_whitespace()).unwrap_or(value.len());
                start..start + end
            }
        };
        return Some(base + range.start..base + range.end);
    }
}

fn is_text(bytes: &[u8]) -> bool {
    let head = bytes.get(..bytes.len().min(512)).unwrap_or_default();
    let bad = head.iter().filter(|b| matches!(b, 0..=8 | 11 | 14..=26 | 28..=31)).count();
    bad == 0 && (std::str::from_utf8(head).is_ok() || head.len() == 512)
}
