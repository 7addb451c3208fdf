use std::ops::Range;

use super::path::{Frame, Path};
use super::{Scalar, Source, Visitor, WalkLimits, WalkScratch, Walked};

/// Reads XML tolerantly: elements at `$.root.child`, attributes at `$.root.child.@name`. Entities that a document defines
/// are never expanded; declarations, comments and processing instructions are passed over.
pub(super) fn walk<V: Visitor + ?Sized>(
    body: &[u8],
    limits: &WalkLimits,
    scratch: &mut WalkScratch,
    visitor: &mut V,
) -> Walked {
    let WalkScratch { path, frames, text, name } = scratch;
    let source = Source::new(body);
    let mut walker = Walker { body, source, at: 0, tokens: 0, limits, path, frames, text, name, visitor };
    let end = walker.content();
    let open = !walker.frames.is_empty();
    Walked {
        complete: end.is_ok() && !open,
        malformed: matches!(end, Err(End::Malformed)),
        too_deep: matches!(end, Err(End::Deep)),
        tokens: walker.tokens,
    }
}

enum End {
    Cut,
    Malformed,
    Deep,
    Limit,
}

struct Walker<'a, 'b, V: ?Sized> {
    body: &'a [u8],
    source: Source<'a>,
    at: usize,
    tokens: u32,
    limits: &'b WalkLimits,
    path: &'b mut Path,
    frames: &'b mut Vec<Frame>,
    text: &'b mut String,
    name: &'b mut String,
    visitor: &'b mut V,
}

impl<V: Visitor + ?Sized> Walker<'_, '_, V> {
    fn content(&mut self) -> Result<(), End> {
        while self.at < self.body.len() {
            let rest = self.rest();
            let text = memchr::memchr(b'<', rest).unwrap_or(rest.len());
            self.characters(self.at..self.at + text)?;
            self.at += text;
            let rest = self.rest();
            if rest.starts_with(b"<![CDATA[") {
                let end = memchr::memmem::find(rest, b"]]>").unwrap_or(rest.len());
                self.scalar(self.at + 9..self.at + end.max(9), Entities::Kept)?;
                self.skip(end + 3)?;
            } else if rest.starts_with(b"<!--") {
                self.skip(memchr::memmem::find(rest, b"-->").ok_or(End::Cut)? + 3)?;
            } else if rest.starts_with(b"<?") {
                self.skip(memchr::memmem::find(rest, b"?>").ok_or(End::Cut)? + 2)?;
            } else if rest.starts_with(b"<!") {
                self.skip(declaration_len(rest).ok_or(End::Cut)?)?;
            } else if rest.starts_with(b"</") {
                self.skip(memchr::memchr(b'>', rest).ok_or(End::Cut)? + 1)?;
                self.close()?;
            } else if !rest.is_empty() {
                self.open()?;
            }
        }
        Ok(())
    }

    fn rest(&self) -> &[u8] {
        self.body.get(self.at..).unwrap_or_default()
    }

    fn skip(&mut self, len: usize) -> Result<(), End> {
        self.at += len;
        if self.at <= self.body.len() { Ok(()) } else { Err(End::Cut) }
    }

    fn characters(&mut self, span: Range<usize>) -> Result<(), End> {
        let bytes = self.body.get(span.clone()).unwrap_or_default();
        let start = span.start + bytes.len() - bytes.trim_ascii_start().len();
        let trimmed = bytes.trim_ascii();
        if trimmed.is_empty() {
            return Ok(());
        }
        self.scalar(start..start + trimmed.len(), Entities::Taken)
    }

    fn scalar(&mut self, span: Range<usize>, entities: Entities) -> Result<(), End> {
        if self.tokens >= self.limits.tokens {
            return Err(End::Limit);
        }
        self.tokens += 1;
        let span = span.start.min(self.body.len())..span.end.min(self.body.len());
        let value = match entities {
            Entities::Kept => self.source.text(span.clone(), self.text),
            Entities::Taken => unescape(&self.source, span.clone(), self.text),
        };
        self.visitor.scalar(&self.path.at(), Scalar::Str(value), span);
        Ok(())
    }

    /// Reads a start tag that begins at the current `<`.
    fn open(&mut self) -> Result<(), End> {
        let start = self.at + 1;
        let len = name_len(self.body.get(start..).unwrap_or_default());
        if len == 0 {
            return Err(if start >= self.body.len() { End::Cut } else { End::Malformed });
        }
        if self.frames.len() >= usize::from(self.limits.depth) {
            return Err(End::Deep);
        }
        self.begin_parent();
        self.frames.push(self.path.mark(false));
        self.path.depth(self.frames.len());
        self.at = start + len;
        let name = self.source.text(start..start + len, self.name);
        self.path.member(name);
        self.attributes()
    }

    /// Reads attributes up to the end of the tag.
    fn attributes(&mut self) -> Result<(), End> {
        loop {
            while self.rest().first().is_some_and(u8::is_ascii_whitespace) {
                self.at += 1;
            }
            match self.rest() {
                [] => return Err(End::Cut),
                [b'>', ..] => {
                    self.at += 1;
                    return Ok(());
                }
                [b'/', b'>', ..] => {
                    self.at += 2;
                    return self.close();
                }
                [b'<', ..] => return Err(End::Malformed),
                _ => self.attribute()?,
            }
        }
    }

    fn attribute(&mut self) -> Result<(), End> {
        let start = self.at;
        let len = name_len(self.rest());
        self.at += len.max(1);
        let rest = self.rest().trim_ascii_start();
        if len == 0 || rest.first() != Some(&b'=') {
            return Ok(());
        }
        let value = rest.get(1..).unwrap_or_default().trim_ascii_start();
        let Some(quote @ (b'"' | b'\'')) = value.first().copied() else { return Ok(()) };
        let from = self.body.len() - value.len() + 1;
        let found = memchr::memchr(quote, self.body.get(from..).unwrap_or_default());
        let end = found.map_or(self.body.len(), |n| from + n);
        self.begin(self.frames.len());
        let element = self.path.mark(false);
        let name = self.source.text(start..start + len, self.name);
        self.path.attribute(name);
        let told = self.scalar(from..end, Entities::Taken);
        self.path.back(&element);
        self.at = end + 1;
        told.and(if found.is_some() { Ok(()) } else { Err(End::Cut) })
    }

    /// Tells that the element at the current path has parts, the first time that one is seen.
    fn begin_parent(&mut self) {
        if !self.frames.is_empty() {
            self.begin(self.frames.len());
        }
    }

    fn begin(&mut self, depth: usize) {
        let Some(frame) = self.frames.last_mut() else { return };
        if frame.begun {
            return;
        }
        frame.begun = true;
        self.tokens += 1;
        self.path.depth(depth.saturating_sub(1));
        self.visitor.begin_object(&self.path.at());
        self.path.depth(depth);
    }

    fn close(&mut self) -> Result<(), End> {
        let Some(frame) = self.frames.pop() else { return Err(End::Malformed) };
        self.path.depth(self.frames.len());
        if frame.begun {
            self.visitor.end_object(&self.path.at());
        }
        self.path.back(&frame);
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Entities {
    Taken,
    Kept,
}

fn name_len(bytes: &[u8]) -> usize {
    let part = |b: &u8| {
        !b.is_ascii_whitespace() && !matches!(b, b'>' | b'/' | b'=' | b'<' | b'"' | b'\'' | b'&' | b';')
    };
    bytes.iter().take_while(|b| part(b)).count()
}

/// Length of `<!…>` with what stands in its brackets.
fn declaration_len(rest: &[u8]) -> Option<usize> {
    let mut depth = 0_u32;
    for (at, byte) in rest.iter().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' => depth = depth.saturating_sub(1),
            b'>' if depth == 0 => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Takes the five entities and numeric ones off; others stay as they are.
fn unescape<'s, 'a: 's>(source: &Source<'a>, span: Range<usize>, scratch: &'s mut String) -> &'s str {
    let bytes = source.bytes.get(span.clone()).unwrap_or_default();
    if memchr::memchr(b'&', bytes).is_none() {
        return source.text(span, scratch);
    }
    let whole = String::from_utf8_lossy(bytes);
    scratch.clear();
    let mut rest = &*whole;
    while let Some((before, after)) = rest.split_once('&') {
        scratch.push_str(before);
        rest = match entity(after) {
            Some((c, tail)) => {
                scratch.push(c);
                tail
            }
            None => {
                scratch.push('&');
                after
            }
        };
    }
    scratch.push_str(rest);
    scratch
}

/// The raw offset at which the `decoded`th byte of a value stands.
pub(super) fn raw_offset(raw: &[u8], decoded: usize) -> usize {
    let (mut at, mut out) = (0, 0);
    while at < raw.len() && out < decoded {
        let rest = raw.get(at..).unwrap_or_default();
        let head = String::from_utf8_lossy(rest.get(1..rest.len().min(14)).unwrap_or_default());
        match entity(&head).filter(|_| rest.starts_with(b"&")) {
            Some((c, tail)) => {
                at += 1 + head.len() - tail.len();
                out += c.len_utf8();
            }
            None => {
                at += 1;
                out += 1;
            }
        }
    }
    at.min(raw.len())
}

/// The character that the text after an `&` stands for, and what follows it.
pub fn entity(after: &str) -> Option<(char, &str)> {
    let end = after.bytes().take(12).position(|b| b == b';')?;
    let (name, tail) = (after.get(..end)?, after.get(end + 1..)?);
    let c = match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let digits = name.strip_prefix('#')?;
            let code = match digits.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => digits.parse().ok()?,
            };
            char::from_u32(code)?
        }
    };
    Some((c, tail))
}
