//! Numbers: identifiers in groups of digits, IPv4 addresses, telephone numbers.

use std::ops::Range;

use smallvec::SmallVec;

use super::{Finder, Reading, Readings, is_word};
use crate::pack::DIGIT_LIMIT;
use crate::validate::country_code_len;

impl Finder<'_> {
    /// Reads a number: groups of digits with one byte between them, as a whole or between spaces.
    #[inline(never)]
    pub(super) fn number(&mut self, run: Range<usize>) -> usize {
        let phone = matches!(self.before(run.start), Some(b'+' | b'('));
        if let Some(end) = phone.then(|| self.phone(run.start - 1)).flatten() {
            return end;
        }
        if self.is_small(&run) {
            return run.end;
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

    /// True of digits that stand alone, so few or so many that nothing is written with them: parts of names, counts.
    #[inline]
    fn is_small(&self, run: &Range<usize>) -> bool {
        let joins = matches!(self.byte(run.end), Some(b' ' | b'-' | b'.' | b'/' | b'+'))
            && self.byte(run.end + 1).is_some_and(|b| b.is_ascii_digit());
        let total = run.len();
        !joins && !(7..=15).contains(&total) && self.pack.by_digits.get(total).is_none_or(SmallVec::is_empty)
    }

    fn number_readings(&self, groups: &Groups, from: usize, to: usize) -> Readings {
        let mut readings = Readings::new();
        let (lengths, separators) = groups.window(from, to);
        let total: usize = lengths.iter().map(|n| usize::from(*n)).sum();
        let span = groups.start(from)..groups.end(to);
        if total > DIGIT_LIMIT {
            return readings;
        }
        let mut digits = [0_u8; DIGIT_LIMIT];
        let mut compact = None;
        let mut naming = None;
        for (id, shape) in self.pack.by_digits.get(total).into_iter().flatten() {
            let Some(kind) = self.pack.get(*id) else { continue };
            let Some(shape) = kind.shapes.get(usize::from(*shape)) else { continue };
            if !shape.fits(lengths, separators) {
                continue;
            }
            let len = *compact.get_or_insert_with(|| groups.compact(self.bytes, from..to + 1, &mut digits));
            let compact = digits.get(..len).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default();
            if kind.is_valid(compact) {
                let naming = naming.get_or_insert_with(|| self.naming_of(&span));
                if !shape.named_only || naming.names(*id) {
                    readings.push(self.reading(*id, kind, naming, shape.is_formatted()));
                }
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

    /// Writes the digits of some groups into `room`, without what stands between them; gives how many.
    fn compact(&self, bytes: &[u8], groups: Range<usize>, room: &mut [u8]) -> usize {
        let mut used = 0;
        for span in self.spans.get(groups).unwrap_or_default() {
            let digits = bytes.get(span.clone()).unwrap_or_default();
            if let Some(to) = room.get_mut(used..used + digits.len()) {
                to.copy_from_slice(digits);
                used += digits.len();
            }
        }
        used
    }

    fn separator(&self, at: usize) -> u8 {
        self.separators.get(at).copied().unwrap_or(0)
    }

    fn window(&self, from: usize, to: usize) -> (&[u8], &[u8]) {
        (self.lengths.get(from..=to).unwrap_or_default(), self.separators.get(from..to).unwrap_or_default())
    }
}
