use std::ops::Range;

use super::path::{Frame, Path};
use super::{Scalar, Source, Visitor, WalkLimits, WalkScratch, Walked};

/// Reads one JSON value (RFC 8259). Control characters in strings are let pass; everything else ends the walk as malformed.
pub(super) fn walk<V: Visitor + ?Sized>(
    body: &[u8],
    limits: &WalkLimits,
    scratch: &mut WalkScratch,
    visitor: &mut V,
) -> Walked {
    let mut walker = Walker::new(body, limits, scratch, visitor);
    walker.at = prefix(body);
    let end = walker.document(body.len()).and_then(|()| walker.nothing_but_space(body.len()));
    walker.walked(end)
}

/// Reads JSON values that stand one a line, as the elements of an array. A line that is none is passed over.
pub(super) fn walk_lines<V: Visitor + ?Sized>(
    body: &[u8],
    limits: &WalkLimits,
    scratch: &mut WalkScratch,
    visitor: &mut V,
) -> Walked {
    let mut walker = Walker::new(body, limits, scratch, visitor);
    walker.visitor.begin_array(&walker.path.at());
    let root = walker.path.mark(true);
    walker.path.elements();
    let element = walker.path.mark(true);
    let (mut end, mut start) = (Ok(()), 0);
    while start < body.len() {
        let rest = body.get(start..).unwrap_or_default();
        let stop = start + memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = body.get(start..stop).unwrap_or_default();
        walker.at = start + event_prefix(line);
        start = stop + 1;
        if !walker.begins_value(stop) {
            continue;
        }
        walker.path.back(&element);
        walker.frames.clear();
        match walker.document(stop) {
            Err(End::Limit | End::Deep) => return walker.walked(Err(End::Limit)),
            Err(End::Cut) if stop < body.len() => end = Err(End::Malformed),
            Err(e) => end = Err(e),
            Ok(()) => {}
        }
    }
    walker.path.back(&root);
    walker.visitor.end_array(&walker.path.at());
    walker.walked(end)
}

/// Length of what may stand before the value: a byte order mark, `)]}'` and a comma.
fn prefix(body: &[u8]) -> usize {
    let mut at = if body.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    if body.get(at..).is_some_and(|b| b.starts_with(b")]}'")) {
        at += 4;
        if body.get(at) == Some(&b',') {
            at += 1;
        }
    }
    at
}

fn event_prefix(line: &[u8]) -> usize {
    if line.starts_with(b"data:") { 5 } else { 0 }
}

/// Why a walk stopped before the end.
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

impl<'a, 'b, V: Visitor + ?Sized> Walker<'a, 'b, V> {
    fn new(body: &'a [u8], limits: &'b WalkLimits, scratch: &'b mut WalkScratch, visitor: &'b mut V) -> Self {
        let WalkScratch { path, frames, text, name } = scratch;
        let source = Source::beginning(body, limits.tokens);
        Walker { body, source, at: 0, tokens: 0, limits, path, frames, text, name, visitor }
    }

    fn walked(&self, end: Result<(), End>) -> Walked {
        Walked {
            complete: end.is_ok(),
            malformed: matches!(end, Err(End::Malformed)),
            too_deep: matches!(end, Err(End::Deep)),
            tokens: self.tokens,
        }
    }

    /// Reads one value that ends at `end` of the body at the latest.
    fn document(&mut self, end: usize) -> Result<(), End> {
        let body = self.body.get(..end).unwrap_or_default();
        loop {
            self.value(body)?;
            // After a value: close what ends here, and go on to the next member or element.
            loop {
                let passed = self.path.next_member(body.get(self.at..).unwrap_or_default());
                if passed > 0 {
                    self.at += passed;
                    break;
                }
                let Some(frame) = self.frames.last() else { return Ok(()) };
                let array = frame.array;
                let before = self.path.back(frame);
                let byte = self.next_byte(body)?;
                match (byte, array) {
                    (b',', true) => self.path.elements(),
                    (b',', false) => self.key(body, before)?,
                    (b']', true) | (b'}', false) => {
                        self.close(array);
                        continue;
                    }
                    _ => return Err(End::Malformed),
                }
                break;
            }
        }
    }

    /// Reads one scalar, or opens containers down to the first scalar or empty container.
    fn value(&mut self, body: &'a [u8]) -> Result<(), End> {
        loop {
            let byte = self.next_byte(body)?;
            if self.tokens >= self.limits.tokens {
                return Err(End::Limit);
            }
            self.tokens += 1;
            match byte {
                b'"' => return self.string(body),
                b'{' => {
                    self.open(false)?;
                    if self.peek(body)? == b'}' {
                        self.at += 1;
                        self.close(false);
                        return Ok(());
                    }
                    self.key(body, self.path.here())?;
                }
                b'[' => {
                    self.open(true)?;
                    if self.peek(body)? == b']' {
                        self.at += 1;
                        self.close(true);
                        return Ok(());
                    }
                    self.path.elements();
                }
                b'-' | b'0'..=b'9' => return self.number(body),
                b't' => return self.word(body, b"rue", Scalar::Bool(true)),
                b'f' => return self.word(body, b"alse", Scalar::Bool(false)),
                b'n' => return self.word(body, b"ull", Scalar::Null),
                _ => return Err(End::Malformed),
            }
        }
    }

    fn open(&mut self, array: bool) -> Result<(), End> {
        if self.frames.len() >= usize::from(self.limits.depth) {
            return Err(End::Deep);
        }
        if array {
            self.visitor.begin_array(&self.path.at());
        } else {
            self.visitor.begin_object(&self.path.at());
        }
        self.frames.push(self.path.mark(array));
        self.path.depth(self.frames.len());
        Ok(())
    }

    fn close(&mut self, array: bool) {
        self.frames.pop();
        self.path.depth(self.frames.len());
        if array {
            self.visitor.end_array(&self.path.at());
        } else {
            self.visitor.end_object(&self.path.at());
        }
    }

    /// Reads a name that comes after the one that `before` stands for, and steps to it.
    #[inline(always)]
    fn key(&mut self, body: &'a [u8], before: u32) -> Result<(), End> {
        // Nearly always no space comes first, and the name is the one that came here the last time.
        if let Some([b'"', name @ ..]) = body.get(self.at..) {
            let passed = self.path.guess(before, name);
            if passed > 0 {
                self.at += 1 + passed;
                return Ok(());
            }
        }
        self.other_key(body, before)
    }

    #[inline(never)]
    fn other_key(&mut self, body: &'a [u8], before: u32) -> Result<(), End> {
        if self.next_byte(body)? != b'"' {
            return Err(End::Malformed);
        }
        match self.path.guess(before, body.get(self.at..).unwrap_or_default()) {
            0 => self.new_key(body, before),
            passed => {
                self.at += passed;
                Ok(())
            }
        }
    }

    fn new_key(&mut self, body: &'a [u8], before: u32) -> Result<(), End> {
        let (span, escaped) = self.string_span(body).ok_or(End::Cut)?;
        let name = if escaped {
            unescape(body, span.clone(), self.name)
        } else {
            self.source.text_further(span.clone(), self.name)
        };
        let verbatim = !escaped && self.source.valid.get(span).is_some();
        self.path.member_next(before, name, verbatim);
        if self.next_byte(body)? == b':' { Ok(()) } else { Err(End::Malformed) }
    }

    /// A cut string is told as far as it goes.
    #[inline]
    fn string(&mut self, body: &'a [u8]) -> Result<(), End> {
        let start = self.at;
        let (span, escaped, end) = match self.string_span(body) {
            Some((span, escaped)) => (span, escaped, Ok(())),
            None => (start..body.len(), true, Err(End::Cut)),
        };
        let text = if escaped {
            unescape(body, span.clone(), self.text)
        } else {
            self.source.text_further(span.clone(), self.text)
        };
        self.visitor.scalar(&self.path.at(), Scalar::Str(text), span);
        end
    }

    /// Finds the closing quote: short strings eight bytes at a time, long ones by memchr.
    #[inline(always)]
    fn string_span(&mut self, body: &[u8]) -> Option<(Range<usize>, bool)> {
        let (start, mut at, mut escaped) = (self.at, self.at, false);
        loop {
            let stop = next_quote_or_escape(body, at)?;
            if body.get(stop) == Some(&b'"') {
                self.at = stop + 1;
                return Some((start..stop, escaped));
            }
            escaped = true;
            at = stop + 2;
        }
    }

    #[inline]
    fn number(&mut self, body: &'a [u8]) -> Result<(), End> {
        let start = self.at - 1;
        let rest = body.get(start..).unwrap_or_default();
        let plain = short_integer(rest).or_else(|| plain_number(rest));
        let len = plain.unwrap_or_else(|| rest.iter().take_while(|b| is_of_number(**b)).count());
        self.at = start + len;
        if plain.is_none() && !is_number(rest.get(..len).unwrap_or_default()) {
            return Err(if self.at == body.len() { End::Cut } else { End::Malformed });
        }
        let text = self.source.text_further(start..start + len, self.text);
        self.visitor.scalar(&self.path.at(), Scalar::Num(text), start..start + len);
        Ok(())
    }

    fn word(&mut self, body: &[u8], rest: &[u8], value: Scalar<'_>) -> Result<(), End> {
        let tail = body.get(self.at..).unwrap_or_default();
        if !tail.starts_with(rest) {
            return Err(if rest.starts_with(tail) { End::Cut } else { End::Malformed });
        }
        let span = self.at - 1..self.at + rest.len();
        self.at = span.end;
        self.visitor.scalar(&self.path.at(), value, span);
        Ok(())
    }

    #[inline(always)]
    fn peek(&mut self, body: &[u8]) -> Result<u8, End> {
        match body.get(self.at) {
            Some(byte) if *byte > b' ' => Ok(*byte),
            _ => self.after_space(body),
        }
    }

    #[inline(never)]
    fn after_space(&mut self, body: &[u8]) -> Result<u8, End> {
        loop {
            match body.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(byte) => return Ok(*byte),
                None => return Err(End::Cut),
            }
        }
    }

    #[inline(always)]
    fn next_byte(&mut self, body: &[u8]) -> Result<u8, End> {
        let byte = self.peek(body)?;
        self.at += 1;
        Ok(byte)
    }

    fn begins_value(&mut self, end: usize) -> bool {
        let body = self.body.get(..end).unwrap_or_default();
        matches!(self.peek(body), Ok(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n'))
    }

    fn nothing_but_space(&mut self, end: usize) -> Result<(), End> {
        let body = self.body.get(..end).unwrap_or_default();
        if self.peek(body).is_ok() { Err(End::Malformed) } else { Ok(()) }
    }
}

#[inline(always)]
fn next_quote_or_escape(body: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    for _ in 0..4 {
        let Some(word) = body.get(at..at + 8) else { break };
        let word = word.try_into().map_or(0, u64::from_le_bytes);
        let found = has_byte(word, b'"') | has_byte(word, b'\\');
        if found != 0 {
            return Some(at + (found.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    memchr::memchr2(b'"', b'\\', body.get(at..)?).map(|n| at + n)
}

/// The high bit of the lowest byte of `word` that is `byte` (bits above it mean nothing).
#[inline]
const fn has_byte(word: u64, byte: u8) -> u64 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let zeroed = word ^ (LOW * byte as u64);
    zeroed.wrapping_sub(LOW) & !zeroed & (LOW << 7)
}

const fn is_of_number(b: u8) -> bool {
    matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')
}

/// The length of an integer of at most seven digits, where it ends as most do; others are left to [`plain_number`].
#[inline]
fn short_integer(bytes: &[u8]) -> Option<usize> {
    let word = bytes.first_chunk::<8>()?;
    let len = (not_digits(u64::from_le_bytes(*word)).trailing_zeros() / 8) as usize;
    let ends = matches!(word.get(len), Some(b',' | b'}' | b']'));
    (ends && len > 0 && (len == 1 || word.first() != Some(&b'0'))).then_some(len)
}

/// The length of a number without exponent that ends here; other numbers are left to [`is_number`].
#[inline]
fn plain_number(bytes: &[u8]) -> Option<usize> {
    let sign = usize::from(bytes.first() == Some(&b'-'));
    let (whole, rest) = digits(bytes.get(sign..)?);
    if whole == 0 || whole > 1 && bytes.get(sign) == Some(&b'0') {
        return None;
    }
    let Some(fraction) = rest.strip_prefix(b".") else {
        return rest.first().is_none_or(|b| !is_of_number(*b)).then_some(sign + whole);
    };
    let (places, rest) = digits(fraction);
    let ends = rest.first().is_none_or(|b| !is_of_number(*b));
    (places > 0 && ends).then_some(sign + whole + 1 + places)
}

fn is_number(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let (whole, rest) = digits(bytes);
    if whole == 0 || (whole > 1 && bytes.first() == Some(&b'0')) {
        return false;
    }
    let rest = match rest.strip_prefix(b".") {
        Some(fraction) => match digits(fraction) {
            (0, _) => return false,
            (_, rest) => rest,
        },
        None => rest,
    };
    let Some(power) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) else {
        return rest.is_empty();
    };
    let power = power.strip_prefix(b"+").or_else(|| power.strip_prefix(b"-")).unwrap_or(power);
    matches!(digits(power), (1.., []))
}

/// The number of digits that `bytes` begins with, counted eight bytes at a time, and what follows them.
#[inline]
fn digits(bytes: &[u8]) -> (usize, &[u8]) {
    let mut count = 0;
    while let Some(word) = bytes.get(count..).and_then(<[u8]>::first_chunk::<8>) {
        let others = not_digits(u64::from_le_bytes(*word));
        if others != 0 {
            count += (others.trailing_zeros() / 8) as usize;
            return (count, bytes.get(count..).unwrap_or_default());
        }
        count += 8;
    }
    let rest = bytes.get(count..).unwrap_or_default();
    count += rest.iter().take_while(|b| b.is_ascii_digit()).count();
    (count, bytes.get(count..).unwrap_or_default())
}

/// The high bit of each byte of `word` that is no digit.
#[inline]
const fn not_digits(word: u64) -> u64 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = LOW << 7;
    // Digits are 0 to 9 once 0x30 is taken off: nothing else stays below 10, and no sum carries into the next byte.
    let low = word ^ (LOW * 0x30);
    (((low & !HIGH) + LOW * 0x76) | low) & HIGH
}

/// Takes escapes off (RFC 8259 §7); a bad or cut escape stays as it is, a lone surrogate becomes U+FFFD.
fn unescape<'s>(body: &[u8], span: Range<usize>, scratch: &'s mut String) -> &'s str {
    scratch.clear();
    let mut rest = body.get(span).unwrap_or_default();
    while let Some(at) = memchr::memchr(b'\\', rest) {
        push_lossy(scratch, rest.get(..at).unwrap_or_default());
        let tail = rest.get(at + 1..).unwrap_or_default();
        rest = tail.get(1..).unwrap_or_default();
        match tail.first() {
            Some(b'n') => scratch.push('\n'),
            Some(b't') => scratch.push('\t'),
            Some(b'r') => scratch.push('\r'),
            Some(b'b') => scratch.push('\u{8}'),
            Some(b'f') => scratch.push('\u{c}'),
            Some(c @ (b'"' | b'\\' | b'/')) => scratch.push(char::from(*c)),
            Some(b'u') => rest = unescape_unit(rest, scratch),
            Some(other) if other.is_ascii() => scratch.extend(['\\', char::from(*other)]),
            Some(_) => {
                scratch.push('\\');
                rest = tail;
            }
            None => scratch.push('\\'),
        }
    }
    push_lossy(scratch, rest);
    scratch
}

/// Reads the four digits after `\u`, and a second escape where they are the first half of a pair.
fn unescape_unit<'r>(rest: &'r [u8], out: &mut String) -> &'r [u8] {
    let Some((unit, after)) = unit(rest) else {
        out.push_str("\\u");
        return rest;
    };
    if let Some(c) = char::from_u32(unit) {
        out.push(c);
        return after;
    }
    let second = after.strip_prefix(b"\\u").and_then(self::unit);
    if let (0xd800..=0xdbff, Some((low @ 0xdc00..=0xdfff, end))) = (unit, second) {
        let code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        return end;
    }
    out.push(char::REPLACEMENT_CHARACTER);
    after
}

fn unit(rest: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, after) = rest.split_at_checked(4)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let text = std::str::from_utf8(digits).ok()?;
    Some((u32::from_str_radix(text, 16).ok()?, after))
}

fn push_lossy(out: &mut String, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => out.push_str(text),
        Err(_) => out.push_str(&String::from_utf8_lossy(bytes)),
    }
}

/// The raw offset at which each unescaped offset of a string stands: for spans within escaped values.
pub(super) fn raw_offset(raw: &[u8], unescaped: usize) -> usize {
    let (mut at, mut out, mut buffer) = (0, 0, String::new());
    while at < raw.len() && out < unescaped {
        let len = match raw.get(at..) {
            Some([b'\\', b'u', ..]) => unit_len(raw.get(at..).unwrap_or_default()),
            Some([b'\\', _, ..]) => 2,
            _ => 1,
        };
        let end = (at + len).min(raw.len());
        out += if len == 1 { 1 } else { unescape(raw, at..end, &mut buffer).len() };
        at = end;
    }
    at.min(raw.len())
}

fn unit_len(rest: &[u8]) -> usize {
    let high = rest.get(2..).and_then(unit).is_some_and(|(u, _)| (0xd800..=0xdbff).contains(&u));
    let low = rest.get(8..).and_then(unit).is_some_and(|(u, _)| (0xdc00..=0xdfff).contains(&u));
    if high && rest.get(6..8) == Some(b"\\u") && low { 12 } else { 6 }
}
