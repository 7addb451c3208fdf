//! Candidates in a value: numbers, tokens, addresses, anchored secrets; each is read by what is around it.

use std::ops::Range;

use regex_automata::{Anchored, Input};
use smallvec::SmallVec;

use crate::context::Naming;
use crate::pack::{DIGIT_LIMIT, Find, Pack, TOKEN_LIMIT, Type, TypeId};
use crate::scanner::{Hit, Hits};
use crate::shape::token_fits;
use crate::validate::{country_code_len, is_domain};

/// Hits of one value.
const HIT_LIMIT: usize = 256;

pub(crate) struct Finder<'a> {
    pack: &'a Pack,
    text: &'a str,
    bytes: &'a [u8],
    name: &'a Naming,
    floor: u8,
    hits: &'a mut Hits,
    first: usize,
    longest: usize,
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
        Finder { pack, text, bytes: text.as_bytes(), name, floor, hits, first, longest: 0 }
    }

    pub(crate) fn run(&mut self) {
        if Self::may_hold(self.text, self.name) {
            self.search();
        }
    }

    /// The gate: a name that says something, four digits (one in what could be a token), an `@`, or prose that may speak of a password.
    #[inline]
    pub(crate) fn may_hold(text: &str, name: &Naming) -> bool {
        if !name.types.is_empty() {
            return true;
        }
        let (mut digits, mut ats) = (0_u32, 0_u32);
        for chunk in text.as_bytes().chunks(64) {
            let (mut d, mut a) = (0_u8, 0_u8);
            for b in chunk {
                d += u8::from(b.wrapping_sub(b'0') < 10);
                a += u8::from(*b == b'@');
            }
            digits += u32::from(d);
            ats += u32::from(a);
        }
        digits >= 4
            || ats > 0
            || digits > 0 && text.len() >= 16
            || text.len() > 12 && memchr::memmem::find(text.as_bytes(), b"assw").is_some()
    }

    /// Looks at all of a value that passed the gate.
    pub(crate) fn search(&mut self) {
        self.whole();
        if self.is_plain() {
            return;
        }
        self.candidates();
        for at in memchr::memchr_iter(b'@', self.bytes) {
            self.email(at);
        }
        if self.longest >= 10 || self.bytes.contains(&b'@') {
            self.anchored();
        }
        if self.bytes.contains(&b' ') {
            self.spoken();
        }
        self.settle();
    }

    /// UUIDs, times and checksums, which most values with digits are: nothing to find where no name says otherwise.
    fn is_plain(&self) -> bool {
        if !self.name.types.is_empty() {
            return false;
        }
        let b = self.bytes;
        let at = |i: usize| b.get(i).copied().unwrap_or(0);
        match b.len() {
            36 => at(8) == b'-' && at(13) == b'-' && at(18) == b'-' && at(23) == b'-' && !b.contains(&b'@'),
            19..=35 if at(4) == b'-' && at(7) == b'-' && at(13) == b':' => b
                .iter()
                .all(|c| c.is_ascii_digit() || matches!(c, b'-' | b':' | b'T' | b' ' | b'.' | b'Z' | b'+')),
            32 | 40 | 64 | 128 => {
                b.iter().all(u8::is_ascii_hexdigit) && b.iter().any(u8::is_ascii_alphabetic)
            }
            _ => false,
        }
    }

    /// Types that the name says, of which the whole value is one: key types, and numbers written in an odd form.
    fn whole(&mut self) {
        if self.name.types.is_empty() {
            return;
        }
        let trimmed = self.text.trim();
        if trimmed.is_empty() || trimmed.len() > 512 {
            return;
        }
        let start = self.text.len() - self.text.trim_start().len();
        let span = start..start + trimmed.len();
        let compact: String = trimmed.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '/')).collect();
        let mut readings = Readings::new();
        for id in &self.name.types {
            let Some(kind) = self.pack.get(*id) else { continue };
            let fits = match kind.find {
                Find::Key => self.key_fits(kind, trimmed),
                Find::Digits | Find::Token if compact.len() < TOKEN_LIMIT && kind.validator.is_some() => {
                    (kind.find == Find::Token || compact.bytes().any(|b| b.is_ascii_digit()))
                        && (kind.is_valid(&compact) || kind.is_valid(&compact.to_ascii_uppercase()))
                        && self.shape_allows(kind, &compact)
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
            if !is_word(*byte) {
                at += 1;
                continue;
            }
            let start = at;
            let (mut digits, mut other) = (0_usize, 0_usize);
            while let Some(b) = self.bytes.get(at).filter(|b| is_word(**b)) {
                if b.is_ascii_digit() {
                    digits += 1;
                } else {
                    other += 1;
                }
                at += 1;
            }
            self.longest = self.longest.max(at - start);
            if self.hits.len() - self.first >= HIT_LIMIT {
                return;
            }
            at = self.candidate(start..at, digits, other).max(at);
        }
    }

    /// Reads one run; gives where to go on.
    fn candidate(&mut self, run: Range<usize>, digits: usize, other: usize) -> usize {
        let address = run.len() <= 4 && matches!(self.byte(run.end), Some(b':' | b'-')) && self.hex(&run);
        if let Some(end) = address.then(|| self.colons(run.start)).flatten() {
            return end;
        }
        match (digits, other) {
            (0, 2) => self.spaced(&run).unwrap_or(run.end),
            (0, _) => run.end,
            (_, 0) => self.number(run),
            _ if run.len() >= 8 || self.iban_begins(&run) => self.token(run),
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

    /// Reads a number: groups of digits with one byte between them, as a whole or between spaces.
    fn number(&mut self, run: Range<usize>) -> usize {
        let phone = matches!(self.before(run.start), Some(b'+' | b'('));
        if let Some(end) = phone.then(|| self.phone(run.start - 1)).flatten() {
            return end;
        }
        let groups = Groups::read(self.bytes, run);
        if let Some(end) = groups.extension {
            let mut readings = Readings::new();
            self.plain_phone(&(groups.start(0)..end), &groups.lengths, &groups.separators, &mut readings);
            self.offer(groups.start(0)..end, readings);
            return end;
        }
        let left = self.before(groups.start(0)).is_none_or(|b| {
            !matches!(b, b'_' | b'-' | b'.' | b'/' | b'#' | b'@' | b'$' | b'%' | b'\\' | b'+')
        });
        let (bytes, dotted) = (self.bytes, groups.separators.as_slice() == b"...");
        let right = |end: usize| match bytes.get(end) {
            None => true,
            Some(b'_' | b'%' | b'@') => false,
            Some(b':') if dotted => true,
            Some(b'-' | b'/' | b'.' | b',' | b':') => {
                !bytes.get(end + 1).is_some_and(u8::is_ascii_alphanumeric)
            }
            Some(_) => true,
        };
        for from in 0..groups.len() {
            if from > 0 && groups.separator(from - 1) != b' ' || from == 0 && !left {
                continue;
            }
            for to in (from..groups.len()).rev() {
                let end = groups.end(to);
                if to + 1 < groups.len() && groups.separator(to) != b' '
                    || to + 1 == groups.len() && !right(end)
                {
                    continue;
                }
                let readings = self.number_readings(&groups, from, to);
                if self.offer(groups.start(from)..end, readings) {
                    return end;
                }
            }
        }
        groups.end(groups.len() - 1)
    }

    fn number_readings(&self, groups: &Groups, from: usize, to: usize) -> Readings {
        let mut readings = Readings::new();
        let (lengths, separators) = groups.window(from, to);
        let total: usize = lengths.iter().map(|n| usize::from(*n)).sum();
        let span = groups.start(from)..groups.end(to);
        if total > DIGIT_LIMIT {
            return readings;
        }
        let mut compact = [0_u8; DIGIT_LIMIT];
        let all = self.bytes.get(span.clone()).unwrap_or_default().iter().filter(|b| b.is_ascii_digit());
        compact.iter_mut().zip(all).for_each(|(to, from)| *to = *from);
        let compact = compact.get(..total).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default();
        let mut naming = None;
        for (id, shape) in self.pack.by_digits.get(total).into_iter().flatten() {
            let Some(kind) = self.pack.get(*id) else { continue };
            let Some(shape) = kind.shapes.get(usize::from(*shape)) else { continue };
            if shape.fits(lengths, separators) && kind.is_valid(compact) {
                let naming = naming.get_or_insert_with(|| self.naming_of(&span));
                readings.push(self.reading(*id, kind, naming, shape.is_formatted()));
            }
        }
        if lengths.len() == 4 && separators == b"..." {
            self.ip_v4(&span, &mut readings);
        }
        if (7..=15).contains(&total) {
            self.plain_phone(&span, lengths, separators, &mut readings);
        }
        readings
    }

    fn ip_v4(&self, span: &Range<usize>, readings: &mut Readings) {
        let text = self.text.get(span.clone()).unwrap_or_default();
        let (Some(id), Ok(ip)) = (self.special("ip-v4"), text.parse::<std::net::Ipv4Addr>()) else { return };
        let Some(kind) = self.pack.get(id) else { return };
        if ip.is_unspecified() || ip.is_broadcast() || ip.is_loopback() || ip.octets()[0] == 0 {
            return;
        }
        let mut reading = self.reading(id, kind, &self.naming_of(span), false);
        if ip.is_private() || ip.is_link_local() || ip.is_documentation() || ip.is_multicast() {
            reading.confidence /= 2;
        } else if ip.octets().iter().all(|o| *o < 32) && !self.naming_of(span).names(id) {
            // Four small numbers are a version, or a section, more often than an address.
            reading.confidence /= 4;
        }
        readings.push(reading);
    }

    /// A telephone number without `+`: by its name, or in the form that North America writes.
    fn plain_phone(&self, span: &Range<usize>, lengths: &[u8], separators: &[u8], readings: &mut Readings) {
        let Some((id, kind)) = self.special("phone").and_then(|id| Some((id, self.pack.get(id)?))) else {
            return;
        };
        let north_american = lengths == [3, 3, 4]
            && matches!(separators, b"--" | b".." | b"  ")
            && matches!(self.byte(span.start), Some(b'2'..=b'9'));
        let naming = self.naming_of(span);
        if naming.names(id) {
            readings.push(self.reading(id, kind, &naming, false));
        } else if north_american && naming.is_empty() {
            readings.push(Reading { kind: id, confidence: kind.confidence.formatted, chance: kind.chance });
        }
    }

    /// A telephone number that begins with `+` or an area code in brackets. Gives its end.
    fn phone(&mut self, start: usize) -> Option<usize> {
        let id = self.special("phone")?;
        let kind = self.pack.get(id)?;
        if self.before(start).is_some_and(|b| is_word(b) || b == b'+') {
            return None;
        }
        let rest = self.bytes.get(start + 1..)?;
        let allowed = |b: &u8| b.is_ascii_digit() || matches!(b, b' ' | b'(' | b')' | b'-' | b'.' | b'/');
        let len = rest.iter().take(24).take_while(|b| allowed(b)).count();
        let used = rest.get(..len)?.iter().rposition(u8::is_ascii_digit)? + 1;
        let end = start + 1 + used;
        let digits: String = self.text.get(start..end)?.chars().filter(char::is_ascii_digit).collect();
        let span = start..end;
        let naming = self.naming_of(&span);
        let international = self.byte(start) == Some(b'+');
        let fits = if international {
            (8..=15).contains(&digits.len()) && country_code_len(&digits).is_some()
        } else {
            digits.len() == 10 && !digits.starts_with('1')
                || (9..=12).contains(&digits.len()) && digits.starts_with('0')
                || (7..=15).contains(&digits.len()) && naming.names(id)
        };
        let end = extension(self.bytes, end).unwrap_or(end);
        if !fits || self.byte(end).is_some_and(is_word) {
            return None;
        }
        let mut reading = self.reading(id, kind, &naming, false);
        if !international && naming.is_empty() {
            reading.confidence = kind.confidence.formatted;
        }
        self.offer(start..end, SmallVec::from_slice(&[reading])).then_some(end)
    }

    /// Reads a token of letters and digits; gives where to go on.
    fn token(&mut self, run: Range<usize>) -> usize {
        let clear_left = self.before(run.start).is_none_or(|b| {
            !matches!(b, b'_' | b'-' | b'.' | b'/' | b'+' | b'#' | b'@' | b'$' | b'%' | b'\\')
        });
        if !clear_left {
            return run.end;
        }
        if let Some(end) = self.iban(&run) {
            return end;
        }
        let clear_right = match self.byte(run.end) {
            Some(b'_' | b'-' | b'/' | b'+' | b'=' | b'@' | b'%' | b'~') => false,
            Some(b'.' | b':') => !self.byte(run.end + 1).is_some_and(is_word),
            _ => true,
        };
        let types = self.pack.by_length.get(run.len()).filter(|_| clear_right && run.len() <= TOKEN_LIMIT);
        let token = self.text.get(run.clone()).unwrap_or_default();
        let mut readings = Readings::new();
        for id in types.into_iter().flatten() {
            let Some(kind) = self.pack.get(*id) else { continue };
            let shape = kind.token_shapes.is_empty()
                || kind.token_shapes.iter().any(|s| token_fits(s, token.as_bytes()));
            if shape && kind.is_valid(token) {
                readings.push(self.reading(*id, kind, &self.naming_of(&run), false));
            }
        }
        self.offer(run.clone(), readings);
        run.end
    }

    /// A token that is written in groups, its first two letters here. Gives its end.
    fn spaced(&mut self, run: &Range<usize>) -> Option<usize> {
        if !self.byte(run.start)?.is_ascii_uppercase() || self.byte(run.end)? != b' ' {
            return None;
        }
        let pack = self.pack;
        for (id, shape) in &pack.spaced {
            let (Some(kind), Some(text)) = (pack.get(*id), self.text.get(run.start..run.start + shape.len()))
            else {
                continue;
            };
            let end = run.start + shape.len();
            if token_fits(shape, text.as_bytes())
                && !self.byte(end).is_some_and(is_word)
                && kind.is_valid(&text.replace(' ', ""))
            {
                let span = run.start..end;
                let reading = self.reading(*id, kind, &self.naming_of(&span), false);
                return self.offer(span, SmallVec::from_slice(&[reading])).then_some(end);
            }
        }
        None
    }

    fn iban_begins(&self, run: &Range<usize>) -> bool {
        let head = self.bytes.get(run.start..run.start + 4).unwrap_or_default();
        run.len() >= 4
            && matches!(head, [a, b, c, d] if a.is_ascii_uppercase() && b.is_ascii_uppercase() && c.is_ascii_digit() && d.is_ascii_digit())
    }

    /// An IBAN, written in one or in groups of four. Gives its end.
    fn iban(&mut self, run: &Range<usize>) -> Option<usize> {
        if !self.iban_begins(run) {
            return None;
        }
        let id = self.special("iban")?;
        let kind = self.pack.get(id)?;
        let (mut compact, mut end) = (String::with_capacity(34), run.start);
        while compact.len() < 34 {
            match (self.byte(end), self.byte(end + 1)) {
                (Some(b), _) if b.is_ascii_uppercase() || b.is_ascii_digit() => compact.push(char::from(b)),
                (Some(b' '), Some(n)) if compact.len().is_multiple_of(4) && n.is_ascii_alphanumeric() => {}
                _ => break,
            }
            end += 1;
            if !self.byte(end).is_some_and(is_word) && kind.is_valid(&compact) {
                let span = run.start..end;
                let reading = self.reading(id, kind, &self.naming_of(&span), false);
                return self.offer(span, SmallVec::from_slice(&[reading])).then_some(end);
            }
        }
        None
    }

    /// A MAC or IPv6 address that begins here. Gives its end.
    fn colons(&mut self, start: usize) -> Option<usize> {
        if self.before(start).is_some_and(|b| matches!(b, b':' | b'-' | b'.' | b'_' | b'/')) {
            return None;
        }
        let rest = self.bytes.get(start..)?;
        let separator = rest.iter().find(|b| !b.is_ascii_hexdigit()).copied()?;
        let used = |b: &u8| b.is_ascii_hexdigit() || *b == separator || (*b == b'.' && separator == b':');
        let len = rest.iter().take(48).take_while(|b| used(b)).count();
        let text = self.text.get(start..start + len)?.trim_end_matches(['.', '-']);
        if self.byte(start + len).is_some_and(is_word) {
            return None;
        }
        let mac = text.len() == 17 && text.bytes().enumerate().all(|(i, b)| (i % 3 == 2) == (b == separator));
        let name = if mac { "mac" } else { "ip-v6" };
        if mac && text.bytes().all(|b| matches!(b, b'0' | b':' | b'-')) {
            return None;
        }
        if !mac {
            let ip: std::net::Ipv6Addr = text.parse().ok()?;
            if ip.is_loopback() || ip.is_unspecified() || text.len() < 6 {
                return None;
            }
        }
        let id = self.special(name)?;
        let kind = self.pack.get(id)?;
        let span = start..start + text.len();
        let reading = self.reading(id, kind, &self.naming_of(&span), false);
        self.offer(span, SmallVec::from_slice(&[reading])).then_some(start + text.len())
    }

    /// An e-mail address around this `@`.
    fn email(&mut self, at: usize) {
        let Some((id, kind)) = self.special("email").and_then(|id| Some((id, self.pack.get(id)?))) else {
            return;
        };
        let local = |b: &&u8| is_word(**b) || matches!(b, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'');
        let head = self.bytes.get(at.saturating_sub(64)..at).unwrap_or_default();
        let start = at - head.iter().rev().take_while(local).count();
        let tail = self.bytes.get(at + 1..).unwrap_or_default();
        let host = tail.iter().take(254).take_while(|b| is_word(**b) || matches!(b, b'.' | b'-')).count();
        let Some(domain) = self.text.get(at + 1..at + 1 + host) else { return };
        let domain = domain.trim_end_matches(['.', '-']);
        let Some(name) = self.text.get(start..at) else { return };
        let in_url = self
            .text
            .get(..start)
            .and_then(|t| t.rfind("://").map(|n| &t[n + 3..]))
            .is_some_and(|t| !t.contains(['/', ' ', '?', '&']));
        if name.is_empty() || name.starts_with('.') || in_url || !is_domain(domain) {
            return;
        }
        let span = start..at + 1 + domain.len();
        let mut reading = self.reading(id, kind, &self.naming_of(&span), false);
        let role = ["noreply", "no-reply", "donotreply", "git", "support", "info"];
        if role.contains(&name.to_ascii_lowercase().as_str()) {
            reading.confidence /= 2;
        }
        self.offer(span, SmallVec::from_slice(&[reading]));
    }

    /// Secrets that begin with an anchor.
    fn anchored(&mut self) {
        let pack = self.pack;
        for found in pack.anchors.find_overlapping_iter(self.bytes) {
            let Some(id) = pack.anchor_types.get(found.pattern().as_usize()).copied() else { continue };
            let Some((kind, pattern)) = pack.get(id).and_then(|k| Some((k, k.pattern.as_ref()?))) else {
                continue;
            };
            let start = found.start();
            let glued = |a: Option<u8>| a.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
            if glued(self.byte(start)) && glued(self.before(start)) {
                continue;
            }
            let input = Input::new(self.bytes).range(start..).anchored(Anchored::Yes);
            let Some(end) = pattern.search(&input).map(|m| m.end()) else { continue };
            let Some(text) = self.text.get(start..end) else { continue };
            let last = self.byte(end - 1);
            if last.is_some_and(|b| b.is_ascii_alphanumeric()) && glued(self.byte(end))
                || !kind.is_valid(text)
            {
                continue;
            }
            let reading = self.reading(id, kind, &self.naming_of(&(start..end)), false);
            self.offer(start..end, SmallVec::from_slice(&[reading]));
            if self.hits.len() - self.first >= HIT_LIMIT {
                return;
            }
        }
    }

    /// `password: …` in prose: the word after the type's name, where it looks like no word.
    fn spoken(&mut self) {
        let pack = self.pack;
        for id in &pack.in_text {
            let Some(kind) = pack.get(*id) else { continue };
            for word in ["password", "passwd", "passphrase", "pwd"] {
                let found: SmallVec<[usize; 4]> =
                    memchr::memmem::find_iter(self.bytes, word).take(8).collect();
                for at in found {
                    self.spoken_after(*id, kind, at + word.len());
                }
            }
        }
    }

    fn spoken_after(&mut self, id: TypeId, kind: &Type, from: usize) {
        let Some(rest) = self.text.get(from..).filter(|r| r.starts_with([' ', ':', '='])) else { return };
        let mut value = rest.trim_start_matches([' ', ':', '=', '"', '\'']);
        for filler in ["is ", "was "] {
            value = value.strip_prefix(filler).unwrap_or(value);
        }
        let start = self.text.len() - value.len();
        let value = value
            .split([' ', '\n', '\t', '"', '<'])
            .next()
            .unwrap_or_default()
            .trim_end_matches(['.', ',', ';', '\'']);
        let letters = value.bytes().any(|b| b.is_ascii_alphabetic());
        let odd = value.bytes().skip(1).any(|b| !b.is_ascii_lowercase() && b != b'-' && b != b'\'');
        if (6..=64).contains(&value.len()) && letters && odd && !value.contains("://") && kind.is_valid(value)
        {
            let confidence = kind.confidence.named.saturating_sub(25);
            let reading = Reading { kind: id, confidence, chance: kind.chance };
            self.offer(start..start + value.len(), SmallVec::from_slice(&[reading]));
        }
    }

    fn special(&self, name: &str) -> Option<TypeId> {
        self.pack.by_find.get(name).copied()
    }

    /// What names a candidate: its place's name where it is the whole value, else the words before it, else the name.
    fn naming_of(&self, span: &Range<usize>) -> Naming {
        let before = self.text.get(..span.start).unwrap_or_default();
        if !before.trim().is_empty() {
            let mut spoken = self.pack.phrases.of_text(before);
            if !spoken.types.is_empty() || self.name.types.is_empty() {
                spoken.other |= self.name.other && spoken.types.is_empty();
                spoken.refused.extend(self.name.refused.iter().copied());
                return spoken;
            }
        }
        self.name.clone()
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

/// Letters, digits and what is not ASCII.
#[inline]
fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b >= 0x80
}

/// The end of `x123` that stands here.
fn extension(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?.strip_prefix(b"x")?;
    let digits = rest.iter().take(7).take_while(|b| b.is_ascii_digit()).count();
    let end = at + 1 + digits;
    ((1..=6).contains(&digits) && !bytes.get(end).copied().is_some_and(is_word)).then_some(end)
}

/// Groups of digits with single bytes between them.
struct Groups {
    spans: SmallVec<[Range<usize>; 8]>,
    lengths: SmallVec<[u8; 8]>,
    separators: SmallVec<[u8; 8]>,
    /// The end of a telephone's extension (`x123`) behind the last group.
    extension: Option<usize>,
}

impl Groups {
    /// Reads on from a first run of digits, over single spaces, dashes, dots, slashes and pluses.
    fn read(bytes: &[u8], run: Range<usize>) -> Groups {
        let mut groups = Groups {
            spans: SmallVec::new(),
            lengths: SmallVec::new(),
            separators: SmallVec::new(),
            extension: None,
        };
        groups.push(run);
        while groups.len() < 8 {
            let end = groups.end(groups.len() - 1);
            let Some(separator @ (b' ' | b'-' | b'.' | b'/' | b'+')) = bytes.get(end).copied() else { break };
            let rest = bytes.get(end + 1..).unwrap_or_default();
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            let stop = end + 1 + digits;
            let extension = extension(bytes, stop);
            if digits == 0 || bytes.get(stop).copied().is_some_and(is_word) && extension.is_none() {
                break;
            }
            groups.separators.push(separator);
            groups.push(end + 1..stop);
            if extension.is_some() {
                groups.extension = extension;
                break;
            }
        }
        groups
    }

    fn push(&mut self, span: Range<usize>) {
        self.lengths.push(u8::try_from(span.len()).unwrap_or(u8::MAX));
        self.spans.push(span);
    }

    fn len(&self) -> usize {
        self.spans.len()
    }

    fn start(&self, at: usize) -> usize {
        self.spans.get(at).map_or(0, |s| s.start)
    }

    fn end(&self, at: usize) -> usize {
        self.spans.get(at).map_or(0, |s| s.end)
    }

    fn separator(&self, at: usize) -> u8 {
        self.separators.get(at).copied().unwrap_or(0)
    }

    fn window(&self, from: usize, to: usize) -> (&[u8], &[u8]) {
        (self.lengths.get(from..=to).unwrap_or_default(), self.separators.get(from..to).unwrap_or_default())
    }
}
