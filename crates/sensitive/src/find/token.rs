//! Tokens: runs of letters and digits, IBANs, addresses with colons.

use std::ops::Range;

use smallvec::SmallVec;

use super::{Finder, Readings, is_word};
use crate::pack::TOKEN_LIMIT;
use crate::shape::token_fits;

impl Finder<'_> {
    /// Reads a token of letters and digits; gives where to go on.
    #[inline(never)]
    pub(super) fn token(&mut self, run: Range<usize>) -> usize {
        if !self.is_clear_left(&run) {
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

    /// True where nothing before a run says that it is the rest of something longer.
    #[inline]
    pub(super) fn is_clear_left(&self, run: &Range<usize>) -> bool {
        self.before(run.start).is_none_or(|b| {
            !matches!(b, b'_' | b'-' | b'.' | b'/' | b'+' | b'#' | b'@' | b'$' | b'%' | b'\\')
        })
    }

    /// A token that is written in groups, its first two letters here. Gives its end.
    #[inline(never)]
    pub(super) fn spaced(&mut self, run: &Range<usize>) -> Option<usize> {
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

    pub(super) fn iban_begins(&self, run: &Range<usize>) -> bool {
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
    #[inline(never)]
    pub(super) fn colons(&mut self, start: usize) -> Option<usize> {
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
}
