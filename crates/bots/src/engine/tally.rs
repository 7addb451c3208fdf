//! How many different values there were, and which: exactly, as far as somebody is likely to count after.

use super::pool::{Leave, allocated, of_list};

/// Different values by 32 bits of their hashes: exact to [`Tally::LISTED`] whatever the site's key is, then by linear counting over
/// 8,192 bits (within some hundredths to 40,000).
///
/// Three stand in the record itself: most clients never need more. Where a list may not grow any more, linear counting takes its place in
/// the room that it had, in 64 bits at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tally {
    /// So many, and which: in order.
    Few(u8, [u32; Tally::FEW]),
    /// All of them, in order.
    Listed(Box<List>),
    /// A bit for each, where there was never room for a list.
    Rough([u32; 2]),
    /// The same in more words: a power of two of them.
    Sketched(Box<List>),
}

/// See [`Tally::Listed`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct List(Vec<u32>);

impl Default for Tally {
    fn default() -> Self {
        Tally::Few(0, [0; Tally::FEW])
    }
}

impl Tally {
    /// So many are told apart.
    pub(crate) const LISTED: usize = 1024;
    const FEW: usize = 3;
    /// Words of bits where there were too many to list, and at most where there was no room to list more.
    const WORDS: usize = 256;
    const COARSE: usize = 128;
    /// Bits that are not set, from which on an estimate is near.
    const FREE: u32 = 62;

    /// Takes a value in; a list grows as far as `leave` lets it.
    pub(crate) fn insert(&mut self, hash: u64, leave: &mut Leave) {
        self.add((hash >> 32) as u32, leave);
    }

    fn add(&mut self, value: u32, leave: &mut Leave) {
        match self {
            Tally::Rough(words) => set(words, value),
            Tally::Sketched(words) => set(&mut words.0, value),
            Tally::Few(n, few) => {
                let used = usize::from(*n).min(Self::FEW);
                let known = few.get(..used).unwrap_or_default();
                let at = known.partition_point(|v| *v < value);
                if known.get(at) == Some(&value) {
                    return;
                }
                if used == Self::FEW {
                    if !leave.grow() {
                        self.sketch(2, value);
                        return;
                    }
                    let mut all = Vec::with_capacity(8);
                    all.extend_from_slice(few);
                    all.insert(at, value);
                    *self = Tally::Listed(Box::new(List(all)));
                    return;
                }
                few.copy_within(at..used, at + 1);
                if let Some(place) = few.get_mut(at) {
                    *place = value;
                }
                *n += 1;
            }
            Tally::Listed(list) => {
                let Err(at) = list.0.binary_search(&value) else { return };
                let (len, room) = (list.0.len(), list.0.capacity());
                if len >= Self::LISTED {
                    self.sketch(Self::WORDS, value);
                    return;
                }
                if len == room {
                    if !leave.grow() {
                        self.sketch(1 << room.ilog2().min(Self::COARSE.ilog2()), value);
                        return;
                    }
                    list.0.reserve_exact(room.min(Self::LISTED - len));
                }
                list.0.insert(at, value);
            }
        }
    }

    /// Gives its values up for so many words of bits, and `value` with them.
    fn sketch(&mut self, words: usize, value: u32) {
        let mut words = self.in_words(words);
        set(&mut words, value);
        *self = Tally::of_words(words);
    }

    fn of_words(words: Vec<u32>) -> Tally {
        match *words.as_slice() {
            [a, b] => Tally::Rough([a, b]),
            _ => Tally::Sketched(Box::new(List(words))),
        }
    }

    /// Which they are, in order; nothing where there are too many to tell.
    pub(crate) fn all(&self) -> Option<&[u32]> {
        match self {
            Tally::Few(n, few) => few.get(..usize::from(*n)),
            Tally::Listed(list) => Some(&list.0),
            Tally::Rough(_) | Tally::Sketched(_) => None,
        }
    }

    /// The bits of an estimate.
    fn words(&self) -> Option<&[u32]> {
        match self {
            Tally::Rough(words) => Some(words),
            Tally::Sketched(words) => Some(&words.0),
            Tally::Few(..) | Tally::Listed(_) => None,
        }
    }

    /// True where it was counted in fewer bits than usual for want of room.
    pub(crate) fn is_coarse(&self) -> bool {
        self.words().is_some_and(|words| words.len() < Self::WORDS)
    }

    /// Its bits in `wanted` words, which are no more than it has.
    fn in_words(&self, wanted: usize) -> Vec<u32> {
        let Some(own) = self.words() else {
            let mut words = vec![0; wanted];
            self.all().unwrap_or_default().iter().for_each(|v| set(&mut words, *v));
            return words;
        };
        let mut words = own.to_vec();
        while words.len() > wanted {
            // Of two neighbours one is left.
            words = words
                .chunks(2)
                .map(|pair| pair.iter().rev().fold(0, |to, w| to << 16 | halved(*w)))
                .collect();
        }
        words
    }

    /// Joins another one: of two estimates in as many bits as the smaller has.
    pub(crate) fn merge(&mut self, other: &Tally) {
        if let Some(theirs) = other.all() {
            let mut leave = Leave::ANY;
            theirs.iter().for_each(|v| self.add(*v, &mut leave));
            return;
        }
        let least = [&*self, other].into_iter().filter_map(Tally::words).map(<[u32]>::len).min();
        let mut words = self.in_words(least.unwrap_or(Self::WORDS));
        let theirs = other.in_words(words.len());
        words.iter_mut().zip(theirs).for_each(|(to, from)| *to |= from);
        *self = Tally::of_words(words);
    }

    /// Lets go of room that is not used.
    pub(crate) fn tighten(&mut self) {
        if let Tally::Listed(list) = self {
            list.0.shrink_to_fit();
        }
    }

    /// False where there is a value that `other` does not have for certain, or where too little is known to say so.
    pub(crate) fn is_within(&self, other: &Tally) -> bool {
        match (self.all(), other.all()) {
            (Some(mine), Some(theirs)) => mine.iter().all(|v| theirs.binary_search(v).is_ok()),
            // It has more than the other.
            (None, Some(_)) => false,
            (_, None) if self.is_coarse() || other.is_coarse() => self.count() == 0.0,
            (_, None) => {
                let (mine, theirs) = (self.in_words(Self::WORDS), other.in_words(Self::WORDS));
                mine.iter().zip(theirs).all(|(mine, theirs)| mine & !theirs == 0)
            }
        }
    }

    /// How many.
    pub(crate) fn count(&self) -> f64 {
        let Some(words) = self.words() else {
            return self.all().unwrap_or_default().len() as f64;
        };
        let bits = words.len() as f64 * 32.0;
        let zero = f64::from(free(words).max(1));
        let near = (-bits * (zero / bits).ln()).round();
        if self.is_coarse() { near } else { near.max(Self::LISTED as f64 + 1.0) }
    }

    /// True where that is near to what they are: exact, or estimated with bits to spare.
    pub(crate) fn is_near(&self) -> bool {
        self.words().is_none_or(|words| free(words) >= Self::FREE)
    }

    /// Bytes that it holds beside its own record.
    pub(crate) fn heap(&self) -> usize {
        match self {
            Tally::Few(..) | Tally::Rough(_) => 0,
            Tally::Listed(list) | Tally::Sketched(list) => allocated(size_of::<List>()) + of_list(&list.0),
        }
    }
}

/// Sets the bit of a value: the first of its bits say which.
fn set(words: &mut [u32], value: u32) {
    let bit = value >> (27 - words.len().ilog2());
    if let Some(word) = words.get_mut((bit >> 5) as usize) {
        *word |= 1 << (bit & 31);
    }
}

/// Bits that are not set.
fn free(words: &[u32]) -> u32 {
    words.iter().map(|w| w.count_zeros()).sum()
}

/// A word in half as many bits: one for each two.
const fn halved(word: u32) -> u32 {
    let mut bits = (word | word >> 1) & 0x5555_5555;
    bits = (bits | bits >> 1) & 0x3333_3333;
    bits = (bits | bits >> 2) & 0x0f0f_0f0f;
    bits = (bits | bits >> 4) & 0x00ff_00ff;
    (bits | bits >> 8) & 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: std::ops::Range<u64>, key: u64) -> Tally {
        let (mut all, mut leave) = (Tally::default(), Leave::ANY);
        values.clone().chain(values).for_each(|n| all.insert(crate::hash::words(&[key, n]), &mut leave));
        all
    }

    #[test]
    fn values_are_counted_exactly_and_then_nearly_by_every_key() {
        assert_eq!(size_of::<Tally>(), 16);
        for key in 0..20 {
            for n in [0, 1, 3, 4, 25, 256, 380, 1024] {
                assert_eq!(of(0..n, key).count(), n as f64, "{key}");
            }
            for n in [1025, 4000, 40_000] {
                assert!((of(0..n, key).count() - n as f64).abs() <= n as f64 / 20.0, "{key} {n}");
            }
        }
    }

    #[test]
    fn values_are_joined_alike_in_any_order() {
        let joined = |a: &Tally, b: &Tally| {
            let mut all = a.clone();
            all.merge(b);
            all
        };
        let sizes = [0..0, 0..2, 1..4, 0..100, 50..150, 50..1000, 900..2100, 0..3000];
        for a in &sizes {
            for b in &sizes {
                let (one, two) = (of(a.clone(), 1), of(b.clone(), 1));
                assert_eq!(joined(&one, &two).count(), joined(&two, &one).count());
                let different =
                    a.clone().chain(b.clone()).collect::<std::collections::BTreeSet<_>>().len() as f64;
                assert!((joined(&one, &two).count() - different).abs() <= different / 40.0, "{a:?} {b:?}");
                let within = a.clone().all(|n| b.contains(&n));
                assert!(one.is_within(&two) || !within, "{a:?} {b:?}");
                assert!(within || !one.is_within(&two), "{a:?} {b:?}");
            }
        }
    }

    /// As [`of`], but no list may grow from the `room`th value on.
    fn short(values: std::ops::Range<u64>, room: u64, key: u64) -> Tally {
        let mut all = Tally::default();
        for (n, value) in (0..).zip(values) {
            let mut leave = if n < room { Leave::ANY } else { Leave::NONE };
            all.insert(crate::hash::words(&[key, value]), &mut leave);
        }
        all
    }

    #[test]
    fn what_it_holds_is_told_as_the_allocator_has_it() {
        let held = |n| of(0..n, 1).heap();
        let list = |values: usize| allocated(24) + allocated(values * 4);
        assert_eq!([held(3), held(4), held(8)], [0, list(8), list(8)]);
        assert_eq!([held(9), held(100), held(1024)], [list(16), list(128), list(1024)]);
        assert_eq!(held(5000), list(256), "the list is let go");
        let (mut joined, mut leave) = (of(0..20, 1), Leave::ANY);
        joined.merge(&of(15..40, 1));
        joined.tighten();
        assert_eq!((joined.heap(), joined.count()), (list(40), 40.0), "no more than both had");
        joined.insert(crate::hash::words(&[1, 40]), &mut leave);
        assert_eq!((joined.heap(), joined.count()), (list(80), 41.0));
    }

    #[test]
    fn without_room_values_are_counted_about_in_what_there_is() {
        for key in 0..20 {
            let (mut most, mut least) = (Leave::NONE, Leave::NONE);
            let mut few = of(0..3, key);
            few.insert(crate::hash::words(&[key, 1]), &mut most);
            assert_eq!((few.count(), most.refused), (3.0, 0), "what is known needs no room");
            few.insert(crate::hash::words(&[key, 3]), &mut most);
            few.insert(crate::hash::words(&[key, 4]), &mut most);
            assert_eq!((few.heap(), few.all(), most.refused), (0, None, 1));
            let mut list = of(0..8, key);
            let before = list.heap();
            (8..40).for_each(|n| list.insert(crate::hash::words(&[key, n]), &mut least));
            assert!(list.heap() <= before && least.refused == 1 && list.is_coarse());
            // Of 64 bits, of 256, of 4,096.
            for (room, all, off) in [(3, 40, 0.45), (8, 100, 0.25), (512, 2000, 0.1)] {
                let about = short(0..all, room, key);
                assert!((about.count() / all as f64 - 1.0).abs() <= off, "{key} {room}: {}", about.count());
                assert!(about.heap() <= of(0..room, key).heap());
            }
        }
    }

    #[test]
    fn rough_estimates_are_joined_alike_in_any_order_and_show_nobody_alike() {
        let some =
            [short(0..40, 3, 1), short(20..90, 8, 1), short(0..600, 512, 1), of(0..3000, 1), of(0..50, 1)];
        for a in &some {
            for b in &some {
                let (mut one, mut two) = (a.clone(), b.clone());
                one.merge(b);
                two.merge(a);
                assert_eq!(one, two);
                assert!(!a.is_within(b) || !a.is_coarse() && !b.is_coarse());
            }
        }
        let mut joined = short(0..60, 8, 1);
        joined.merge(&short(30..90, 8, 1));
        assert_eq!(joined.count(), short(0..90, 8, 1).count(), "as if one had seen all");
    }
}
