//! Counting distinct callers: exactly up to a thousand, then by HyperLogLog.

use serde::{Deserialize, Serialize};

const EXACT: usize = 1000;
const PRECISION: u32 = 10;

/// A set of callers that only knows its size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Callers {
    /// Their hashes, sorted.
    Exact(Vec<u64>),
    /// Registers of a HyperLogLog.
    Sketch(Vec<u8>),
}

impl Default for Callers {
    fn default() -> Self {
        Callers::Exact(Vec::new())
    }
}

impl Callers {
    /// Adds the caller of this hash.
    pub(crate) fn add(&mut self, hash: u64) {
        match self {
            Callers::Exact(set) => {
                let Err(at) = set.binary_search(&hash) else { return };
                set.insert(at, hash);
                if set.len() > EXACT {
                    let mut registers = vec![0; 1 << PRECISION];
                    set.iter().for_each(|h| note(&mut registers, *h));
                    *self = Callers::Sketch(registers);
                }
            }
            Callers::Sketch(registers) => note(registers, hash),
        }
    }

    /// Adds all of `other`.
    pub(crate) fn absorb(&mut self, other: &Callers) {
        match other {
            Callers::Exact(set) => set.iter().for_each(|h| self.add(*h)),
            Callers::Sketch(theirs) => {
                let mut mine = match self {
                    Callers::Sketch(r) => std::mem::take(r),
                    Callers::Exact(set) => {
                        let mut r = vec![0; 1 << PRECISION];
                        set.iter().for_each(|h| note(&mut r, *h));
                        r
                    }
                };
                mine.iter_mut().zip(theirs).for_each(|(a, b)| *a = (*a).max(*b));
                *self = Callers::Sketch(mine);
            }
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        match self {
            Callers::Exact(set) => set.len() as u64,
            Callers::Sketch(registers) => estimate(registers),
        }
    }
}

fn note(registers: &mut [u8], hash: u64) {
    let index = (hash >> (64 - PRECISION)) as usize;
    let rank = ((hash << PRECISION).leading_zeros() + 1).min(64 - PRECISION + 1) as u8;
    if let Some(r) = registers.get_mut(index) {
        *r = (*r).max(rank);
    }
}

fn estimate(registers: &[u8]) -> u64 {
    let m = registers.len() as f64;
    let sum: f64 = registers.iter().map(|r| (-f64::from(*r)).exp2()).sum();
    let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
    let zeros = registers.iter().filter(|r| **r == 0).count();
    let estimate = if raw <= 2.5 * m && zeros > 0 { m * (m / zeros as f64).ln() } else { raw };
    estimate.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(i: u64) -> u64 {
        let mut x = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    #[test]
    fn counts_exactly_then_nearly() {
        let mut c = Callers::default();
        (0..1000).for_each(|i| c.add(hash(i)));
        (0..1000).for_each(|i| c.add(hash(i)));
        assert_eq!(c.count(), 1000);
        (0..50_000).for_each(|i| c.add(hash(i)));
        assert!((47_000..53_000).contains(&c.count()), "{}", c.count());
    }

    #[test]
    fn order_does_not_matter() {
        let (mut a, mut b) = (Callers::default(), Callers::default());
        (0..900).for_each(|i| a.add(hash(i)));
        (500..2500).for_each(|i| b.add(hash(i)));
        let (mut ab, mut ba) = (a.clone(), b.clone());
        ab.absorb(&b);
        ba.absorb(&a);
        assert_eq!(ab.count(), ba.count());
    }
}
