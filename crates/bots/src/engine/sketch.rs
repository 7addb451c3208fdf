//! Small exact-merge sketches.

use std::hash::{BuildHasher, Hasher};

use super::pool::of_box;

/// Counts distinct values by linear counting over 256 bits: exact enough to some 600, saturating there.
///
/// The first bits that are set stand in a list, the bit map comes with the fifteenth: most clients never need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Distinct {
    /// So many bits, and which: in order.
    Few(u8, [u8; Distinct::LISTED]),
    /// All of them.
    Many(Box<[u64; 4]>),
}

impl Default for Distinct {
    fn default() -> Self {
        Distinct::Few(0, [0; Distinct::LISTED])
    }
}

impl Distinct {
    const LISTED: usize = 14;

    pub(crate) fn insert(&mut self, hash: u64) {
        self.set((hash >> 56) as u8);
    }

    fn set(&mut self, bit: u8) {
        match self {
            Distinct::Many(words) => set_bit(words, bit),
            Distinct::Few(n, listed) => {
                let used = usize::from(*n).min(Self::LISTED);
                let at = listed.get(..used).unwrap_or_default().partition_point(|b| *b < bit);
                if listed.get(..used).and_then(|l| l.get(at)) == Some(&bit) {
                    return;
                }
                if used < Self::LISTED {
                    listed.copy_within(at..used, at + 1);
                    if let Some(place) = listed.get_mut(at) {
                        *place = bit;
                    }
                    *n += 1;
                    return;
                }
                let mut words = Box::new([0; 4]);
                listed.iter().chain([&bit]).for_each(|b| set_bit(&mut words, *b));
                *self = Distinct::Many(words);
            }
        }
    }

    fn listed(&self) -> &[u8] {
        match self {
            Distinct::Few(n, listed) => listed.get(..usize::from(*n)).unwrap_or_default(),
            Distinct::Many(_) => &[],
        }
    }

    /// False where a value was certainly not inserted.
    pub(crate) fn may_have(&self, hash: u64) -> bool {
        let bit = (hash >> 56) as u8;
        match self {
            Distinct::Few(..) => self.listed().binary_search(&bit).is_ok(),
            Distinct::Many(words) => {
                words.get(usize::from(bit >> 6)).is_some_and(|word| word >> (bit & 63) & 1 == 1)
            }
        }
    }

    pub(crate) fn merge(&mut self, other: &Distinct) {
        if let Distinct::Many(theirs) = other {
            let mut words = theirs.clone();
            if let Distinct::Many(mine) = self {
                words.iter_mut().zip(mine.iter()).for_each(|(to, from)| *to |= from);
            }
            self.listed().iter().for_each(|b| set_bit(&mut words, *b));
            *self = Distinct::Many(words);
        }
        for bit in other.listed() {
            self.set(*bit);
        }
    }

    /// Bytes that it holds beside its own record.
    pub(crate) fn heap(&self) -> usize {
        match self {
            Distinct::Few(..) => 0,
            Distinct::Many(words) => of_box(Some(&**words)),
        }
    }

    /// Estimate of how many.
    pub(crate) fn count(&self) -> f64 {
        let set: u32 = match self {
            Distinct::Few(n, _) => u32::from(*n),
            Distinct::Many(words) => words.iter().map(|w| w.count_ones()).sum(),
        };
        if set <= 8 {
            return f64::from(set);
        }
        let zero = f64::from(256 - set.min(255));
        -256.0 * (zero / 256.0).ln()
    }
}

fn set_bit(words: &mut [u64; 4], bit: u8) {
    if let Some(word) = words.get_mut(usize::from(bit >> 6)) {
        *word |= 1 << (bit & 63);
    }
}

/// Counts a few distinct values by linear counting over 64 bits: exact enough to some 150, saturating there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Few(u64);

impl Few {
    #[inline]
    pub(crate) fn insert(&mut self, hash: u64) {
        self.0 |= 1 << (hash >> 58);
    }

    /// Estimate of how many.
    pub(crate) fn count(self) -> f64 {
        let set = self.0.count_ones();
        if set <= 4 {
            return f64::from(set);
        }
        let zero = f64::from(64 - set.min(63));
        (-64.0 * (zero / 64.0).ln()).round()
    }
}

/// The least hash of each of eight kinds of values (MinHash by one permutation): alike where sets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Least([u16; 8]);

impl Default for Least {
    fn default() -> Self {
        Least([u16::MAX; 8])
    }
}

impl Least {
    #[inline]
    pub(crate) fn insert(&mut self, hash: u64) {
        if let Some(least) = self.0.get_mut((hash & 7) as usize) {
            *least = (*least).min((hash >> 48) as u16);
        }
    }

    pub(crate) fn merge(&mut self, other: &Least) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = (*mine).min(theirs);
        }
    }

    /// The eight of them in hexadecimal, nothing where no value was seen.
    pub(crate) fn spelled(&self) -> Option<String> {
        let any = self.0.iter().any(|v| *v != u16::MAX);
        any.then(|| self.0.iter().map(|v| format!("{v:04x}")).collect())
    }
}

/// Gaps between requests in half octaves of milliseconds, 1 ms to 18 minutes.
///
/// They come with the first gap: who asks once takes no room for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gaps(Option<Box<Bins>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Bins {
    bins: [u8; 40],
    n: u32,
    /// Gaps that are whole seconds.
    whole: u32,
}

impl Gaps {
    pub(crate) fn add(&mut self, nanos: i64) {
        let known = self.0.get_or_insert_with(|| Box::new(Bins { bins: [0; 40], n: 0, whole: 0 }));
        let ms = u64::try_from(nanos / 1_000_000).unwrap_or(0).max(1);
        let octave = 63 - ms.leading_zeros();
        let half = if octave == 0 { 0 } else { (ms >> (octave - 1)) & 1 };
        let bin = (octave as usize * 2 + half as usize).min(39);
        known.n = known.n.saturating_add(1);
        known.whole = known.whole.saturating_add(u32::from(ms >= 980 && !(21..980).contains(&(ms % 1000))));
        if let Some(b) = known.bins.get_mut(bin) {
            *b += 1;
            if *b == u8::MAX {
                known.bins.iter_mut().for_each(|b| *b /= 2);
            }
        }
    }

    /// Bytes that it holds beside its own record.
    pub(crate) fn heap(&self) -> usize {
        of_box(self.0.as_deref())
    }

    fn bins(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |known| &known.bins)
    }

    fn total(&self) -> u32 {
        self.bins().iter().map(|b| u32::from(*b)).sum()
    }

    /// Median in milliseconds, where there are four gaps and more.
    pub(crate) fn median_ms(&self) -> Option<f64> {
        let total = self.total();
        if total < 4 {
            return None;
        }
        let mut seen = 0;
        for (i, b) in self.bins().iter().enumerate() {
            seen += u32::from(*b);
            if seen * 2 >= total {
                let low = f64::from(1u32 << (i / 2).min(30));
                return Some(if i % 2 == 0 { low * 1.25 } else { low * 1.75 });
            }
        }
        None
    }

    /// Entropy in bits of the half octaves that gaps fall in, where there are 24 gaps and more.
    pub(crate) fn entropy(&self) -> Option<f64> {
        let total = f64::from(self.total());
        let bits = |b: &u8| {
            let p = f64::from(*b) / total;
            -p * p.log2()
        };
        (total >= 24.0).then(|| self.bins().iter().filter(|b| **b > 0).map(bits).sum::<f64>().max(0.0))
    }

    /// Octaves between the gap that a tenth stays under and the one that nine tenths do, where there are 24 gaps and more.
    pub(crate) fn spread(&self) -> Option<f64> {
        let total = self.total();
        if total < 24 {
            return None;
        }
        let at = |tenths: u32| {
            let mut seen = 0;
            self.bins().iter().position(|b| {
                seen += u32::from(*b);
                seen * 10 >= total * tenths
            })
        };
        Some((at(9)? as f64 - at(1)? as f64) / 2.0)
    }

    /// Share of gaps that are whole seconds, where there are 24 gaps and more.
    pub(crate) fn whole(&self) -> Option<f64> {
        let known = self.0.as_ref().filter(|known| known.n >= 24)?;
        Some(f64::from(known.whole) / f64::from(known.n))
    }

    /// Share of gaps below 64 ms and of those above 65 s, where there are 24 gaps and more.
    pub(crate) fn ends(&self) -> Option<(f64, f64)> {
        let total = self.total();
        let sum = |bins: Option<&[u8]>| bins.unwrap_or_default().iter().map(|b| u32::from(*b)).sum::<u32>();
        let share = |n: u32| f64::from(n) / f64::from(total);
        (total >= 24).then(|| (share(sum(self.bins().get(..12))), share(sum(self.bins().get(32..)))))
    }

    /// The median's half octave, the share of the most used one in tenths and the octaves between short and long gaps;
    /// nothing where there are fewer than eight.
    pub(crate) fn spelled(&self) -> Option<String> {
        let total = self.total();
        let mut seen = 0;
        let median = self.bins().iter().position(|b| {
            seen += u32::from(*b);
            seen * 2 >= total
        })?;
        let regular = (self.regular()? * 10.0).floor();
        let spread = self.spread().map_or_else(|| "x".to_owned(), |s| format!("{s:.0}"));
        Some(format!("{median:02}.{regular:.0}.{spread}"))
    }

    /// Share of gaps in the most used half octave.
    pub(crate) fn regular(&self) -> Option<f64> {
        let total = self.total();
        let most = self.bins().iter().max().copied().unwrap_or(0);
        (total >= 8).then(|| f64::from(most) / f64::from(total))
    }
}

/// Clients by how much they did, in half octaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Histogram {
    bins: [u32; 24],
}

impl Histogram {
    fn bin(n: u32) -> usize {
        let n = n.max(1);
        let octave = 31 - n.leading_zeros();
        let half = if octave == 0 { 0 } else { (n >> (octave - 1)) & 1 };
        (octave * 2 + half).min(23) as usize
    }

    /// What was read from a file, small enough to count on.
    pub(crate) fn bounded(mut self) -> Self {
        self.bins.iter_mut().for_each(|b| *b = (*b).min(1 << 26));
        self
    }

    /// A client that did `n` is left out again.
    pub(crate) fn leave_out(&mut self, n: u32) {
        if let Some(b) = self.bins.get_mut(Self::bin(n)) {
            *b = b.saturating_sub(1);
        }
    }

    /// A client went from `n` to `n + 1`.
    pub(crate) fn step(&mut self, n: u32) {
        let (from, to) = (Self::bin(n), Self::bin(n + 1));
        if n == 0 {
            if let Some(b) = self.bins.get_mut(to) {
                *b += 1;
            }
        } else if from != to {
            if let Some(b) = self.bins.get_mut(from) {
                *b = b.saturating_sub(1);
            }
            if let Some(b) = self.bins.get_mut(to) {
                *b += 1;
            }
        }
    }

    pub(crate) fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.bins.iter_mut().zip(other.bins) {
            *mine = mine.saturating_add(theirs);
        }
    }

    pub(crate) fn total(&self) -> u32 {
        self.bins.iter().sum()
    }

    /// What 95 % of the clients but one (of `without` calls) stay under.
    pub(crate) fn p95_without(&self, without: u32) -> Option<f64> {
        self.stay_under(0.95, without)
    }

    /// What a `share` of the clients but one (of `without` calls) stay under.
    pub(crate) fn stay_under(&self, share: f64, without: u32) -> Option<f64> {
        let skip = Self::bin(without);
        let total = self.total().saturating_sub(1);
        if total < 3 {
            return None;
        }
        let want = f64::from(total) * share;
        let mut seen = 0.0;
        for (i, b) in self.bins.iter().enumerate() {
            seen += f64::from(b - u32::from(i == skip && *b > 0));
            if seen >= want {
                let octave = f64::from(1u32 << (i / 2));
                let top = if i < 2 {
                    1.0
                } else if i % 2 == 0 {
                    octave * 1.5 - 1.0
                } else {
                    octave * 2.0 - 1.0
                };
                return Some(top.max(1.0));
            }
        }
        None
    }
}

/// Hasher for keys that are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ready;

/// See [`Ready`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReadyHasher(u64);

impl BuildHasher for Ready {
    type Hasher = ReadyHasher;
    fn build_hasher(&self) -> ReadyHasher {
        ReadyHasher(0)
    }
}

impl Hasher for ReadyHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = (self.0 ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0 ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }
}

pub(crate) type Map<K, V> = hashbrown::HashMap<K, V, Ready>;
pub(crate) type Set<K> = hashbrown::HashSet<K, Ready>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_values_are_counted_about() {
        let mut d = Distinct::default();
        for i in 0..100u64 {
            d.insert(crate::hash::words(&[i]));
            d.insert(crate::hash::words(&[i]));
        }
        assert!((80.0..120.0).contains(&d.count()), "{}", d.count());
    }

    #[test]
    fn values_are_counted_alike_in_a_list_and_in_a_map() {
        let words = |n: u64| (0..n).map(|i| crate::hash::words(&[i]));
        for n in [0, 3, 14, 15, 40, 700] {
            let mut whole = Distinct::default();
            let mut bits = std::collections::BTreeSet::new();
            words(n).for_each(|w| whole.insert(w));
            bits.extend(words(n).map(|w| w >> 56));
            let (mut one, mut two) = (Distinct::default(), Distinct::default());
            words(n).enumerate().for_each(|(i, w)| if i % 3 == 0 { one.insert(w) } else { two.insert(w) });
            let mut joined = two.clone();
            joined.merge(&one);
            one.merge(&two);
            assert_eq!(one.count(), whole.count());
            assert_eq!(joined.count(), whole.count());
            for w in words(2000) {
                assert_eq!(whole.may_have(w), bits.contains(&(w >> 56)));
                assert_eq!(one.may_have(w), whole.may_have(w));
            }
        }
        assert_eq!(size_of::<Distinct>(), 16);
    }

    #[test]
    fn the_histogram_leaves_the_suspect_out() {
        let mut h = Histogram::default();
        for _ in 0..20 {
            h.step(0);
            h.step(1);
        }
        for n in 0..400 {
            h.step(n);
        }
        assert_eq!(h.total(), 21);
        assert!(h.p95_without(400).unwrap() <= 3.0);
    }

    #[test]
    fn gaps_tell_machines_from_people() {
        let mut clock = Gaps::default();
        let mut person = Gaps::default();
        for n in 0..60i64 {
            clock.add(2_000_000_000);
            person.add((n * n * n * 7_919 % 90_000 + 300) * 1_000_000);
        }
        assert_eq!((clock.entropy(), clock.spread(), clock.whole()), (Some(0.0), Some(0.0), Some(1.0)));
        assert!(person.entropy().unwrap() > 2.0 && person.spread().unwrap() > 2.0);
        assert!(person.whole().unwrap() < 0.3 && clock.ends() == Some((0.0, 0.0)));
    }

    #[test]
    fn few_values_are_counted() {
        let mut few = Few::default();
        for i in 0..20u64 {
            few.insert(crate::hash::words(&[i]));
        }
        assert!((14.0..27.0).contains(&few.count()), "{}", few.count());
    }

    #[test]
    fn like_sets_have_like_sketches() {
        let of = |range: std::ops::Range<u64>| {
            let mut least = Least::default();
            range.for_each(|i| least.insert(crate::hash::words(&[i])));
            least
        };
        let alike = |a: Least, b: Least| a.0.iter().zip(b.0).filter(|(x, y)| **x == *y).count();
        assert!(alike(of(0..200), of(0..210)) >= 6);
        assert!(alike(of(0..200), of(500..700)) <= 2);
        assert_eq!(Least::default().spelled(), None);
        assert_eq!(of(0..9).spelled().map(|s| s.len()), Some(32));
    }

    #[test]
    fn gaps_give_their_median() {
        let mut g = Gaps::default();
        for _ in 0..20 {
            g.add(1_000_000_000);
        }
        assert!((600.0..1400.0).contains(&g.median_ms().unwrap()));
        assert_eq!(g.regular(), Some(1.0));
    }
}
