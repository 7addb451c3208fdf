use std::collections::BTreeMap;

use sidetap_model::{EndpointId, EndpointRef, Ts};

/// Calls of endpoints over time, in buckets that grow where there are too many.
#[derive(Debug)]
pub(crate) struct Calls {
    width: i64,
    counts: BTreeMap<(EndpointId, i64), u64>,
}

impl Default for Calls {
    fn default() -> Self {
        Calls { width: Self::FINEST, counts: BTreeMap::new() }
    }
}

impl Calls {
    const FINEST: i64 = 60_000_000_000;
    const COARSEST: i64 = 86_400_000_000_000;
    const MOST: usize = 200_000;

    /// Counts one.
    pub(crate) fn add(&mut self, endpoint: EndpointId, at: Ts) {
        *self.counts.entry((endpoint, at.0.div_euclid(self.width))).or_default() += 1;
        while self.counts.len() > Self::MOST && self.width < Self::COARSEST {
            self.width *= 2;
            let finer = std::mem::take(&mut self.counts);
            for ((endpoint, bucket), n) in finer {
                *self.counts.entry((endpoint, bucket.div_euclid(2))).or_default() += n;
            }
        }
        if self.counts.len() > Self::MOST {
            self.counts.pop_last();
        }
    }

    /// Endpoints that got other names or became one.
    pub(crate) fn rename(&mut self, renames: &[(EndpointId, EndpointRef)]) {
        for (old, new) in renames.iter().filter(|(old, new)| *old != new.id) {
            let moved: Vec<((EndpointId, i64), u64)> =
                self.counts.range((*old, i64::MIN)..=(*old, i64::MAX)).map(|(k, n)| (*k, *n)).collect();
            for (key, n) in moved {
                self.counts.remove(&key);
                *self.counts.entry((new.id, key.1)).or_default() += n;
            }
        }
    }

    /// Endpoint, start of the bucket, calls.
    pub(crate) fn take(&mut self) -> Vec<(EndpointId, Ts, u64)> {
        let counts = std::mem::take(&mut self.counts);
        counts.into_iter().map(|((endpoint, bucket), n)| (endpoint, Ts(bucket * self.width), n)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_the_minute_and_follow_renames() {
        let at = |s: i64| Ts::from_parts(s, 0);
        let id = EndpointId;
        let mut calls = Calls::default();
        [0, 59, 60, 61].iter().for_each(|s| calls.add(id(1), at(*s)));
        calls.add(id(2), at(62));
        calls.rename(&[(id(2), EndpointRef::new(id(1), "h", "GET", "/"))]);
        assert_eq!(calls.take(), [(id(1), at(0), 2), (id(1), at(60), 3)]);
    }

    #[test]
    fn too_many_buckets_become_wider_ones() {
        let mut calls = Calls::default();
        let n = Calls::MOST as i64 + 2;
        (0..n).for_each(|m| calls.add(EndpointId(1), Ts(m * Calls::FINEST)));
        let all = calls.take();
        assert!(all.len() <= Calls::MOST);
        assert_eq!((all[0].2, all.iter().map(|(_, _, n)| *n).sum::<u64>()), (2, n as u64));
    }
}
