//! Candidates in a value: numbers, tokens, addresses, anchored secrets; each is read by what is around it.

use std::borrow::Cow;
use std::ops::Range;

use regex_automata::{Anchored, Input};
use sidetap_wire::body::last_word;
use smallvec::SmallVec;

use crate::context::Naming;
use crate::pack::{Find, Pack, TOKEN_LIMIT, Type, TypeId};
use crate::scanner::{Hit, Hits};
use crate::shape::token_fits;

mod number;
mod text;
mod token;

/// Hits of one value.
const HIT_LIMIT: usize = 256;
/// Nothing shorter is anything without a name.
const SHORTEST: usize = 6;

const DIGIT: u8 = 1;
const LETTER: u8 = 2;
const WORD: u8 = DIGIT | LETTER;
const AT: u8 = 4;
const COLON: u8 = 8;
const SPACE: u8 = 16;
/// Bytes with which anchors begin that are no words; a dash is one where another follows.
const ODD: u8 = 32;
const DASH: u8 = 64;

/// The class of each byte: letters and what is not ASCII, digits, marks that call for a closer look.
const CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        let c = b as u8;
        table[b] = match c {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'z' | b'A'..=b'Z' | 0x80..=0xff => LETTER,
            b'@' => AT,
            b':' => COLON,
            b' ' => SPACE,
            b'$' | b'%' | b';' | b'{' => ODD,
            b'-' => DASH,
            _ => 0,
        };
        b += 1;
    }
    table
};

pub(crate) struct Finder<'a> {
    pack: &'a Pack,
    text: &'a str,
    bytes: &'a [u8],
    name: &'a Naming,
    floor: u8,
    hits: &'a mut Hits,
    first: usize,
    marks: u8,
}

/// A reading of a candidate.
#[derive(Clone, Copy)]
struct Reading {
    kind: TypeId,
    confidence: u8,
    chance: u32,
}

type Readings = SmallVec<[Reading; 4]>;

impl<'a> Finder<'a> {
    pub(crate) fn new(
        pack: &'a Pack,
        text: &'a str,
        name: &'a Naming,
        floor: u8,
        hits: &'a mut Hits,
    ) -> Self {
        let first = hits.len();
        Finder { pack, text, bytes: text.as_bytes(), name, floor, hits, first, marks: 0 }
    }

    pub(crate) fn run(&mut self) {
        if Self::may_hold(self.pack, self.text, self.name) {
            self.search();
        }
    }

    /// The gate: a name that says something, four digits (one in what could be a token), an `@`, or prose that speaks of
    /// a password.
    #[inline]
    pub(crate) fn may_hold(pack: &Pack, text: &str, name: &Naming) -> bool {
        !name.types.is_empty() || Self::may_hold_unnamed(pack, text)
    }

    /// The gate where the name says nothing.
    #[inline]
    pub(crate) fn may_hold_unnamed(pack: &Pack, text: &str) -> bool {
        if text.len() < SHORTEST || is_plain(text.as_bytes()) {
            return false;
        }
        let marks = Marks::of(text.as_bytes());
        marks.digits >= 4
            || marks.at
            || marks.digits > 0 && text.len() >= 16
            || marks.space && pack.spoken.find(text.as_bytes()).is_some()
    }

    /// Looks at all of a value that passed the gate.
    pub(crate) fn search(&mut self) {
        if !self.name.types.is_empty() {
            self.whole();
        }
        self.candidates();
        if self.marks & AT != 0 {
            for at in memchr::memchr_iter(b'@', self.bytes) {
                self.email(at);
            }
        }
        if self.marks & ODD != 0 || self.marks & (AT | COLON) == AT | COLON {
            self.anchored();
        }
        if self.marks & SPACE != 0 && self.pack.spoken.find(self.bytes).is_some() {
            self.spoken();
        }
        if self.hits.len() > self.first + 1 {
            self.settle();
        }
    }

    /// Types that the name says, of which the whole value is one: key types, and numbers written in an odd form.
    #[inline(never)]
    fn whole(&mut self) {
        let trimmed = self.text.trim();
        if trimmed.is_empty() || trimmed.len() > 512 {
            return;
        }
        let start = self.text.len() - self.text.trim_start().len();
        let span = start..start + trimmed.len();
        let mut compact = None;
        let mut readings = Readings::new();
        for id in &self.name.types {
            let Some(kind) = self.pack.get(*id) else { continue };
            let fits = match kind.find {
                Find::Key => self.key_fits(kind, trimmed),
                Find::Digits | Find::Token if trimmed.len() < TOKEN_LIMIT && kind.validator.is_some() => {
                    let compact: &String = compact.get_or_insert_with(|| {
                        trimmed.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '/')).collect()
                    });
                    (kind.find == Find::Token || compact.bytes().any(|b| b.is_ascii_digit()))
                        && (kind.is_valid(compact) || kind.is_valid(&compact.to_ascii_uppercase()))
                        && self.shape_allows(kind, compact)
                }
                _ => false,
            };
            if fits {
                readings.push(Reading { kind: *id, confidence: kind.confidence.named, chance: kind.chance });
            }
        }
        self.offer(span, readings);
    }

    /// A number must have as many digits as one of its shapes; a token the form of one, letter case aside.
    fn shape_allows(&self, kind: &Type, compact: &str) -> bool {
        let upper = compact.to_ascii_uppercase();
        match kind.find {
            Find::Digits => {
                compact.bytes().all(|b| b.is_ascii_alphanumeric())
                    && kind.shapes.iter().any(|s| s.digits() == compact.len())
                    || compact.bytes().any(|b| b.is_ascii_alphabetic())
            }
            _ => {
                kind.token_shapes.is_empty()
                    || kind
                        .token_shapes
                        .iter()
                        .any(|s| token_fits(s, compact.as_bytes()) || token_fits(s, upper.as_bytes()))
            }
        }
    }

    fn key_fits(&self, kind: &Type, value: &str) -> bool {
        let pattern =
            kind.pattern.as_ref().is_none_or(|p| p.is_match(Input::new(value).anchored(Anchored::Yes)));
        pattern && kind.is_valid(value)
    }

    /// One pass over the runs of letters and digits.
    fn candidates(&mut self) {
        let mut at = 0;
        while let Some(byte) = self.bytes.get(at) {
            let class = CLASSES[usize::from(*byte)];
            if class & WORD == 0 {
                at += 1;
                self.marks |= if class == DASH && self.byte(at) == Some(b'-') { ODD } else { class };
                continue;
            }
            let start = at;
            let (mut seen, mut len) = (class, 1);
            for b in self.bytes.get(at + 1..).unwrap_or_default() {
                let class = CLASSES[usize::from(*b)];
                if class & WORD == 0 {
                    break;
                }
                seen |= class;
                len += 1;
            }
            at += len;
            if self.hits.len() - self.first >= HIT_LIMIT {
                return;
            }
            at = self.candidate(start..at, seen).max(at);
        }
    }

    /// Reads one run; gives where to go on.
    #[inline]
    fn candidate(&mut self, run: Range<usize>, seen: u8) -> usize {
        let head = self.bytes.get(run.start..).and_then(<[u8]>::first_chunk::<2>);
        if head.is_some_and(|h| self.pack.starts.may(*h)) {
            self.begun(run.start);
        }
        if run.len() <= 4
            && matches!(self.byte(run.end), Some(b':' | b'-'))
            && self.hex(&run)
            && let Some(end) = self.colons(run.start)
        {
            return end;
        }
        match seen & (DIGIT | LETTER) {
            DIGIT => self.number(run),
            LETTER if run.len() == 2 && self.byte(run.end) == Some(b' ') => {
                self.spaced(&run).unwrap_or(run.end)
            }
            LETTER => run.end,
            _ if (run.len() >= 8 && self.is_clear_left(&run)) || self.iban_begins(&run) => self.token(run),
            _ => run.end,
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    fn before(&self, at: usize) -> Option<u8> {
        at.checked_sub(1).and_then(|i| self.byte(i))
    }

    fn hex(&self, run: &Range<usize>) -> bool {
        self.bytes.get(run.clone()).is_some_and(|b| b.iter().all(u8::is_ascii_hexdigit))
    }

    fn special(&self, name: &str) -> Option<TypeId> {
        self.pack.by_find.get(name).copied()
    }

    /// What names a candidate: its place's name where it is the whole value, else the words before it, else the name.
    fn naming_of(&self, span: &Range<usize>) -> Cow<'a, Naming> {
        let before = self.text.get(..span.start).unwrap_or_default();
        if !before.trim().is_empty() {
            let mut spoken = self.pack.phrases.of_text(before);
            if !spoken.types.is_empty() || self.name.types.is_empty() {
                spoken.other |= self.name.other && spoken.types.is_empty();
                spoken.refused.extend(self.name.refused.iter().copied());
                return Cow::Owned(spoken);
            }
        }
        Cow::Borrowed(self.name)
    }

    fn reading(&self, id: TypeId, kind: &Type, naming: &Naming, formatted: bool) -> Reading {
        let confidence = if naming.names(id) {
            kind.confidence.named
        } else if naming.refused.contains(&id) {
            0
        } else if !naming.is_empty() {
            // Written bare, it is all the more likely to be what the name says.
            if kind.find == Find::Digits && !formatted {
                kind.confidence.misnamed / 2
            } else {
                kind.confidence.misnamed
            }
        } else if formatted {
            kind.confidence.formatted.max(kind.confidence.alone)
        } else {
            kind.confidence.alone
        };
        Reading { kind: id, confidence, chance: kind.chance }
    }

    /// Takes the best of some readings; false where none is sure enough.
    #[inline(never)]
    fn offer(&mut self, span: Range<usize>, mut readings: Readings) -> bool {
        readings.retain(|r| r.confidence > 0);
        readings.sort_by_key(|r| (std::cmp::Reverse(r.confidence), r.chance, r.kind));
        let Some(best) = readings.first().filter(|r| r.confidence >= self.floor) else { return false };
        let mut alternatives: SmallVec<[TypeId; 2]> =
            readings.iter().skip(1).map(|r| r.kind).filter(|k| *k != best.kind).take(4).collect();
        alternatives.dedup();
        self.hits.push(Hit { kind: best.kind, span, confidence: best.confidence, alternatives });
        true
    }

    /// Puts the hits of this value in order and leaves of those that overlap the surer, then the longer one.
    #[inline(never)]
    fn settle(&mut self) {
        let mut mine = self.hits.split_off(self.first.min(self.hits.len()));
        mine.sort_by_key(|h| {
            (std::cmp::Reverse(h.confidence), std::cmp::Reverse(h.span.len()), h.span.start, h.kind)
        });
        let mut kept: Hits = Vec::with_capacity(mine.len());
        for hit in mine {
            match kept.iter_mut().find(|k| k.span.start < hit.span.end && hit.span.start < k.span.end) {
                Some(over)
                    if over.span == hit.span
                        && over.kind != hit.kind
                        && !over.alternatives.contains(&hit.kind) =>
                {
                    over.alternatives.push(hit.kind);
                }
                Some(_) => {}
                None => kept.push(hit),
            }
        }
        kept.sort_by_key(|h| h.span.start);
        self.hits.append(&mut kept);
    }
}

/// Bytes that are looked at together in a text.
const LANES: usize = 16;

/// What stands in a value, counted eight bytes at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Marks {
    digits: u32,
    at: bool,
    space: bool,
}

impl Marks {
    #[inline]
    fn of(bytes: &[u8]) -> Marks {
        if bytes.len() >= 48 {
            return Marks::of_many(bytes);
        }
        Marks::of_few(bytes)
    }

    /// The marks of a text, in lanes that the compiler makes vectors of.
    #[inline(never)]
    fn of_many(bytes: &[u8]) -> Marks {
        let (blocks, rest) = bytes.as_chunks::<LANES>();
        let mut marks = Marks::of_few(rest);
        // A lane counts up to 255.
        for blocks in blocks.chunks(255) {
            let mut lanes = [[0_u8; LANES]; 3];
            let [digits, at, space] = &mut lanes;
            for block in blocks {
                for (b, ((digit, at), space)) in
                    block.iter().zip(digits.iter_mut().zip(at.iter_mut()).zip(space.iter_mut()))
                {
                    *digit += u8::from(b.is_ascii_digit());
                    *at |= u8::from(*b == b'@');
                    *space |= u8::from(*b == b' ');
                }
            }
            marks.digits += digits.iter().map(|n| u32::from(*n)).sum::<u32>();
            marks.at |= at.iter().any(|n| *n > 0);
            marks.space |= space.iter().any(|n| *n > 0);
        }
        marks
    }

    #[inline]
    fn of_few(bytes: &[u8]) -> Marks {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut sums = Sums::default();
        let mut digits = 0;
        // A byte of a sum holds 255.
        for words in words.chunks(255) {
            for word in words {
                sums.add(u64::from_le_bytes(*word));
            }
            digits += sums.take_digits();
        }
        sums.add(last_word(rest));
        digits += sums.take_digits();
        Marks { digits, at: sums.at & HIGH != 0, space: sums.space & HIGH != 0 }
    }
}

/// What [`Marks`] are made of: a byte of each for each byte of words.
#[derive(Clone, Copy, Default)]
struct Sums {
    digits: u64,
    at: u64,
    space: u64,
}

impl Sums {
    #[inline(always)]
    fn add(&mut self, word: u64) {
        // Digits are 0 to 9 once 0x30 is taken off: nothing else stays below 10, and no sum carries into the next byte.
        let low = word ^ (ONES * 0x30);
        let others = ((low & !HIGH) + ONES * 0x76) | low;
        self.digits += (!others & HIGH) >> 7;
        self.at |= zero_bytes(word ^ (ONES * b'@' as u64));
        self.space |= zero_bytes(word ^ (ONES * b' ' as u64));
    }

    #[inline]
    fn take_digits(&mut self) -> u32 {
        let (even, odd) = (self.digits & 0x00ff_00ff_00ff_00ff, self.digits >> 8 & 0x00ff_00ff_00ff_00ff);
        self.digits = 0;
        ((even + odd).wrapping_mul(0x0001_0001_0001_0001) >> 48) as u32
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = ONES << 7;

/// Has a high bit where a byte of the word is 0, and none where none is; its other bits mean nothing.
#[inline(always)]
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word
}

/// Whether a number (RFC 8259) is below zero or has a fraction, and no exponent: digits that follow a minus are the rest of
/// something, and without a name nothing is written as two groups with a dot between them, unless a type says so
/// ([`Pack::has_fractions`]).
#[inline]
pub(crate) fn is_measure(number: &[u8]) -> bool {
    let (words, rest) = number.as_chunks::<8>();
    let of = |(letters, dots): (u64, u64), word: u64| {
        (letters | word & (ONES * 0x40), dots | zero_bytes(word ^ (ONES * b'.' as u64)))
    };
    let seen = words.iter().fold((0, 0), |seen, word| of(seen, u64::from_le_bytes(*word)));
    // Of what stands in a number only the letter before an exponent has this bit.
    let (letters, dots) = of(seen, last_word(rest));
    letters == 0 && (number.first() == Some(&b'-') || dots & HIGH != 0)
}

/// UUIDs, times and checksums, which most values with digits are: nothing to find where no name says otherwise.
#[inline]
fn is_plain(b: &[u8]) -> bool {
    let at = |i: usize| b.get(i).copied().unwrap_or(0);
    match b.len() {
        36 => at(8) == b'-' && at(13) == b'-' && at(18) == b'-' && at(23) == b'-' && !b.contains(&b'@'),
        19..=35 => {
            [at(4), at(7), at(13), at(16)] == *b"--::"
                && matches!(at(10), b'T' | b' ')
                && at(0).is_ascii_digit()
                || b.len() == 32 && is_hex(b)
        }
        40 | 64 | 128 => is_hex(b),
        _ => false,
    }
}

/// A checksum: hexadecimal digits of which some are letters.
fn is_hex(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_hexdigit) && bytes.iter().any(u8::is_ascii_alphabetic)
}

/// Letters, digits and what is not ASCII.
#[inline]
fn is_word(b: u8) -> bool {
    CLASSES[usize::from(b)] & WORD != 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_is_found_in_numbers_that_are_passed_over(number in "-?[0-9]{1,20}([.][0-9]{1,20})?") {
            static PACK: std::sync::LazyLock<Pack> = std::sync::LazyLock::new(|| Pack::builtin().unwrap());
            prop_assert!(!PACK.has_fractions());
            if is_measure(number.as_bytes()) {
                let mut hits = Hits::new();
                Finder::new(&PACK, &number, &Naming::default(), 1, &mut hits).search();
                prop_assert!(hits.is_empty(), "{hits:?}");
            } else {
                prop_assert!(number.bytes().all(|b| b.is_ascii_digit()));
            }
        }

        #[test]
        fn marks_are_those_that_stand_there(bytes in prop::collection::vec(any::<u8>(), 0..140), text in "[0-9 @/:a]{0,90}") {
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                let expected = Marks {
                    digits: bytes.iter().filter(|b| b.is_ascii_digit()).count() as u32,
                    at: bytes.contains(&b'@'),
                    space: bytes.contains(&b' '),
                };
                prop_assert_eq!(Marks::of(bytes), expected);
            }
        }
    }
}
