//! How many different values there were, and which: exactly, as far as somebody is likely to count after.

/// Different values by 32 bits of their hashes: exact to [`Tally::LISTED`] whatever the site's key is, then by linear counting over
/// 8,192 bits (within some hundredths to 40,000).
///
/// Three stand in the record itself: most clients never need more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tally {
    /// So many, and which: in order.
    Few(u8, [u32; Tally::FEW]),
    /// All of them, in order.
    Listed(Box<List>),
    /// A bit for each.
    Sketched(Box<[u64; 128]>),
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
    /// What is counted beyond is near to so many.
    pub(crate) const NEAR: f64 = 40_000.0;
    const FEW: usize = 3;
    const BITS: f64 = 8192.0;

    pub(crate) fn insert(&mut self, hash: u64) {
        self.add((hash >> 32) as u32);
    }

    fn add(&mut self, value: u32) {
        match self {
            Tally::Sketched(words) => set(words, value),
            Tally::Few(n, few) => {
                let used = usize::from(*n).min(Self::FEW);
                let known = few.get(..used).unwrap_or_default();
                let at = known.partition_point(|v| *v < value);
                if known.get(at) == Some(&value) {
                    return;
                }
                if used == Self::FEW {
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
                if list.0.len() < Self::LISTED {
                    list.0.insert(at, value);
                    return;
                }
                let mut words = self.bits();
                set(&mut words, value);
                *self = Tally::Sketched(words);
            }
        }
    }

    /// Which they are, in order; nothing where there are too many to tell.
    pub(crate) fn all(&self) -> Option<&[u32]> {
        match self {
            Tally::Few(n, few) => few.get(..usize::from(*n)),
            Tally::Listed(list) => Some(&list.0),
            Tally::Sketched(_) => None,
        }
    }

    fn bits(&self) -> Box<[u64; 128]> {
        match self {
            Tally::Sketched(words) => words.clone(),
            _ => {
                let mut words = Box::new([0; 128]);
                self.all().unwrap_or_default().iter().for_each(|v| set(&mut words, *v));
                words
            }
        }
    }

    pub(crate) fn merge(&mut self, other: &Tally) {
        if let Some(theirs) = other.all() {
            theirs.iter().for_each(|v| self.add(*v));
            return;
        }
        let mut words = self.bits();
        words.iter_mut().zip(other.bits().iter()).for_each(|(to, from)| *to |= from);
        *self = Tally::Sketched(words);
    }

    /// False where there is a value that `other` certainly does not have.
    pub(crate) fn is_within(&self, other: &Tally) -> bool {
        match (self.all(), other.all()) {
            (Some(mine), Some(theirs)) => mine.iter().all(|v| theirs.binary_search(v).is_ok()),
            // It has more than the other.
            (None, Some(_)) => false,
            (_, None) => {
                self.bits().iter().zip(other.bits().iter()).all(|(mine, theirs)| mine & !theirs == 0)
            }
        }
    }

    /// How many.
    pub(crate) fn count(&self) -> f64 {
        match self {
            Tally::Few(n, _) => f64::from(*n),
            Tally::Listed(list) => list.0.len() as f64,
            Tally::Sketched(words) => {
                let set: u32 = words.iter().map(|w| w.count_ones()).sum();
                let zero = (Self::BITS - f64::from(set)).max(1.0);
                let near = (-Self::BITS * (zero / Self::BITS).ln()).round();
                near.max(Self::LISTED as f64 + 1.0)
            }
        }
    }

    /// What it takes beside its own record, in records of `bytes`.
    pub(crate) fn weight(&self, bytes: usize) -> usize {
        match self {
            Tally::Few(..) => 0,
            Tally::Listed(list) => list.0.capacity() * size_of::<u32>() / bytes,
            // It was as large as a list that is full.
            Tally::Sketched(_) => Self::LISTED * size_of::<u32>() / bytes,
        }
    }
}

fn set(words: &mut [u64; 128], value: u32) {
    let bit = value >> 19;
    if let Some(word) = words.get_mut((bit >> 6) as usize) {
        *word |= 1 << (bit & 63);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: std::ops::Range<u64>, key: u64) -> Tally {
        let mut all = Tally::default();
        values.clone().chain(values).for_each(|n| all.insert(crate::hash::words(&[key, n])));
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

    #[test]
    fn what_it_takes_is_told() {
        let weights: Vec<usize> = [3, 4, 100, 1024, 5000].map(|n| of(0..n, 1).weight(96)).to_vec();
        assert_eq!(weights, [0, 0, 5, 42, 42]);
    }
}
