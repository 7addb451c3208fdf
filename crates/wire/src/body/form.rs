use std::ops::Range;

use super::path::Path;
use super::{Scalar, Source, Visitor, WalkLimits, WalkScratch, Walked};

/// Reads `a=1&b=2`; each pair stands at `$.name`.
pub(super) fn walk<V: Visitor + ?Sized>(
    body: &[u8],
    limits: &WalkLimits,
    scratch: &mut WalkScratch,
    visitor: &mut V,
) -> Walked {
    scratch.path.depth(0);
    visitor.begin_object(&scratch.path.at());
    scratch.path.depth(1);
    let walked = pairs(body, limits, scratch, visitor, Path::member);
    scratch.path.reset("$");
    visitor.end_object(&scratch.path.at());
    walked
}

/// Reads a query; each pair stands at `query:name`.
pub(super) fn walk_query<V: Visitor + ?Sized>(
    query: &[u8],
    limits: &WalkLimits,
    scratch: &mut WalkScratch,
    visitor: &mut V,
) -> Walked {
    scratch.path.reset("query:");
    pairs(query, limits, scratch, visitor, Path::bare)
}

fn pairs<V: Visitor + ?Sized>(
    body: &[u8],
    limits: &WalkLimits,
    scratch: &mut WalkScratch,
    visitor: &mut V,
    step: fn(&mut Path, &str),
) -> Walked {
    let source = Source::new(body);
    let WalkScratch { path, text, name, .. } = scratch;
    let root = path.mark(false);
    let mut walked = Walked { complete: true, ..Walked::default() };
    let mut start = 0;
    while start <= body.len() {
        let rest = body.get(start..).unwrap_or_default();
        let end = start + memchr::memchr(b'&', rest).unwrap_or(rest.len());
        let pair = trim_end(body, start..end);
        start = end + 1;
        if pair.is_empty() {
            continue;
        }
        if walked.tokens >= limits.tokens {
            return Walked { complete: false, ..walked };
        }
        let bytes = body.get(pair.clone()).unwrap_or_default();
        let equals = memchr::memchr(b'=', bytes).map_or(pair.end, |at| pair.start + at);
        let value = (equals + 1).min(pair.end)..pair.end;
        path.back(&root);
        step(path, decode(&source, pair.start..equals, name));
        visitor.scalar(&path.at(), Scalar::Str(decode(&source, value.clone(), text)), value);
        walked.tokens += 1;
    }
    walked
}

/// Line ends that some clients put after a form are not of its last value.
fn trim_end(body: &[u8], range: Range<usize>) -> Range<usize> {
    let bytes = body.get(range.clone()).unwrap_or_default();
    let cut = bytes.iter().rev().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    range.start..range.end - cut
}

/// Takes `%XX` and `+` off; what is no good escape stays as it is.
fn decode<'s, 'a: 's>(source: &Source<'a>, range: Range<usize>, scratch: &'s mut String) -> &'s str {
    let bytes = source.bytes.get(range.clone()).unwrap_or_default();
    if memchr::memchr2(b'%', b'+', bytes).is_none() {
        return source.text(range, scratch);
    }
    let mut out = std::mem::take(scratch).into_bytes();
    out.clear();
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(hex(*high) << 4 | hex(*low));
                rest = after;
                continue;
            }
            (b'+', _) => out.push(b' '),
            (other, _) => out.push(*other),
        }
        rest = tail;
    }
    *scratch = match String::from_utf8(out) {
        Ok(text) => text,
        Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
    };
    scratch
}

/// The raw offset at which the `decoded`th byte of a value stands.
pub(super) fn raw_offset(raw: &[u8], decoded: usize) -> usize {
    let mut at = 0;
    for _ in 0..decoded {
        at += match raw.get(at..) {
            Some([b'%', high, low, ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => 3,
            Some([_, ..]) => 1,
            _ => return raw.len(),
        };
    }
    at
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    }
}
