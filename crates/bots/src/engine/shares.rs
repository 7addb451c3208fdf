//! How often fingerprints were seen at an endpoint.

use super::sketch::Map;

/// Fingerprints kept apart.
const PRINTS: usize = 256;

/// How often each of a few hundred fingerprints was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shares {
    counts: Map<u64, u32>,
    n: u32,
}

impl Shares {
    pub(super) fn add(&mut self, print: u64) {
        if print == 0 {
            return;
        }
        self.n += 1;
        let room = self.counts.len() < PRINTS;
        match self.counts.get_mut(&print) {
            Some(n) => *n += 1,
            None if room => {
                self.counts.insert(print, 1);
            }
            None => {}
        }
    }

    pub(super) fn merge(&mut self, other: Shares) {
        self.n += other.n;
        let mut theirs: Vec<(u64, u32)> = other.counts.into_iter().collect();
        theirs.sort_unstable();
        for (print, n) in theirs {
            if self.counts.len() < PRINTS || self.counts.contains_key(&print) {
                *self.counts.entry(print).or_default() += n;
            }
        }
    }

    /// Share of the calls of others that have the fingerprint of most calls of a part; nothing where either has few.
    pub(crate) fn elsewhere(&self, part: &[(u64, u32)]) -> Option<f64> {
        let own: u32 = part.iter().map(|(_, n)| n).sum();
        let (print, n) = part.iter().max_by_key(|(print, n)| (*n, *print))?;
        let others = self.n.saturating_sub(own);
        let same = self.counts.get(print).map_or(0, |all| all.saturating_sub(*n));
        (n * 4 >= own * 3 && own >= 4 && others >= 10).then(|| f64::from(same) / f64::from(others))
    }
}
