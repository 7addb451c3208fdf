/// The smallest window.
const LEAST: usize = 1 << 9;

/// The last bytes of a direction that were delivered, to compare with what is sent again.
///
/// A ring of a power of two that doubles as the direction goes on, up to the limit. Bytes before a gap are forgotten with it.
#[derive(Debug, Default)]
pub(super) struct Recent {
    ring: Vec<u8>,
    /// Offset of the first byte known.
    from: u64,
    /// Offset behind the last one.
    to: u64,
}

impl Recent {
    /// Bytes that it takes.
    pub(super) fn held(&self) -> usize {
        self.ring.len()
    }

    /// Begins anew: what is known before this offset is not compared any longer.
    pub(super) fn restart(&mut self, at: u64) {
        self.from = at.clamp(self.from, self.to);
    }

    /// It goes on at this offset.
    pub(super) const fn ends_at(&self, off: u64) -> bool {
        self.to == off
    }

    /// Where what it knows begins.
    pub(super) const fn from(&self) -> u64 {
        self.from
    }

    /// Bytes that it knows.
    pub(super) const fn len(&self) -> usize {
        (self.to - self.from) as usize
    }

    /// Takes bytes that were delivered at `off`, holding at most `limit` of them and growing within `room`. False where there
    /// was no room to grow.
    pub(super) fn push(&mut self, off: u64, data: &[u8], limit: usize, room: &mut usize) -> bool {
        if off != self.to {
            self.from = off;
        }
        self.to = off + data.len() as u64;
        let wanted = self.len().min(limit);
        let fits = wanted <= self.ring.len() || self.grow(wanted, limit, room, data.len());
        let kept = data.get(data.len().saturating_sub(self.ring.len())..).unwrap_or_default();
        self.write(self.to - kept.len() as u64, kept);
        self.from = self.from.max(self.to.saturating_sub(self.ring.len() as u64));
        fits
    }

    /// Doubles until `wanted` bytes fit; what is held moves along. The last `new` bytes are not written yet.
    fn grow(&mut self, wanted: usize, limit: usize, room: &mut usize, new: usize) -> bool {
        let size = wanted.next_power_of_two().clamp(LEAST, limit.next_power_of_two().max(LEAST));
        if size <= self.ring.len() {
            return true;
        }
        let Some(left) = room.checked_sub(size - self.ring.len()) else { return false };
        *room = left;
        let end = self.to - new as u64;
        let from = self.from.max(end.saturating_sub(self.ring.len() as u64)).min(end);
        let (a, b) = self.slices(from, (end - from) as usize);
        let old = [a, b].concat();
        self.ring = vec![0; size];
        self.write(from, &old);
        true
    }

    fn write(&mut self, off: u64, data: &[u8]) {
        let size = self.ring.len();
        if size == 0 {
            return;
        }
        let at = (off & (size as u64 - 1)) as usize;
        let (first, rest) = data.split_at(data.len().min(size - at));
        if let Some(place) = self.ring.get_mut(at..at + first.len()) {
            place.copy_from_slice(first);
        }
        if let Some(place) = self.ring.get_mut(..rest.len()) {
            place.copy_from_slice(rest);
        }
    }

    fn slices(&self, off: u64, len: usize) -> (&[u8], &[u8]) {
        let size = self.ring.len();
        if size == 0 || len == 0 {
            return (&[], &[]);
        }
        let at = (off & (size as u64 - 1)) as usize;
        let first = len.min(size - at);
        let (a, b) = (self.ring.get(at..at + first), self.ring.get(..len - first));
        (a.unwrap_or_default(), b.unwrap_or_default())
    }

    /// Whether bytes that stand at `off` differ from those delivered there, as far as these are still known.
    pub(super) fn differs(&self, off: u64, data: &[u8]) -> bool {
        let from = off.max(self.from);
        let to = (off + data.len() as u64).min(self.to);
        if from >= to {
            return false;
        }
        let data = data.get((from - off) as usize..(to - off) as usize).unwrap_or_default();
        let (a, b) = self.slices(from, data.len());
        data.get(..a.len()) != Some(a) || data.get(a.len()..) != Some(b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(from: u64, len: usize) -> Vec<u8> {
        (from..from + len as u64).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 7) as u8).collect()
    }

    #[test]
    fn what_was_delivered_lately_is_compared_and_the_rest_is_not() {
        for step in [1, 7, 100, 1448, 5000, 40_000] {
            let mut recent = Recent::default();
            let mut at = 1000;
            while at < 120_000 {
                assert!(recent.push(at, &bytes(at, step), 16 << 10, &mut (1 << 20)));
                at += step as u64;
                if step < 1000 && at % 997 > step as u64 {
                    continue;
                }
                let back = (at - 1000).min(16 << 10);
                assert!(!recent.differs(at - back, &bytes(at - back, back as usize)), "{step} {at}");
                for place in [0, back as usize / 2, back as usize - 1] {
                    let mut other = bytes(at - back, back as usize);
                    other[place] ^= 1;
                    assert!(recent.differs(at - back, &other), "{step} {at} {place}");
                }
                assert!(!recent.differs(at, b"not yet delivered") && !recent.differs(0, b"long ago"));
            }
            assert_eq!(recent.held(), 16 << 10);
        }
    }

    #[test]
    fn without_room_it_stays_small_and_a_gap_begins_it_anew() {
        let mut recent = Recent::default();
        assert!(recent.push(0, &bytes(0, 600), 16 << 10, &mut 1024));
        assert!(!recent.push(600, &bytes(600, 600), 16 << 10, &mut 0));
        assert_eq!(recent.held(), 1024);
        let mut other = bytes(176, 1024);
        assert!(!recent.differs(176, &other));
        other[0] ^= 1;
        assert!(recent.differs(176, &other));
        recent.push(5000, &bytes(5000, 10), 16 << 10, &mut 0);
        assert!(!recent.differs(1000, b"anything at all") && recent.differs(5000, b"x"));
    }
}
