//! When a device that fails, or that changes cost something, is asked again.

use crate::connector::ConnectorError;

/// Seconds after the first failure.
const FIRST_S: u64 = 2;
/// Seconds between two tries at most: a device that was away is up to date again after this long.
const MOST_S: u64 = 120;
/// Failures in a row after which a device is only asked whether it is back, at the slowest pace.
const OPEN_AFTER: u32 = 6;

/// How often one device is asked. Times are seconds of the wall clock; a clock that jumps back never makes it wait longer
/// than the pace does.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    seed: u64,
    failures: u32,
    /// What was said the last time, where all was done and only not proved.
    unproved: Option<String>,
    /// No try before this.
    until: i64,
    /// When that was decided.
    since: i64,
    changed_at: Option<i64>,
}

impl Pace {
    /// The pace of a device; the jitter is that of its name, so that many devices are not asked all at once.
    pub(crate) fn of(name: &str) -> Self {
        let seed = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        Pace { seed, failures: 0, unproved: None, until: 0, since: 0, changed_at: None }
    }

    /// Seconds until the device may be asked; none where it may be now.
    pub(crate) fn wait_s(&self, now: i64) -> Option<u64> {
        let left = self.until.saturating_sub(now);
        let jumped_back = now < self.since;
        (left > 0 && !jumped_back && self.failures > 0).then_some(left.unsigned_abs())
    }

    /// Seconds until the device may be changed again.
    pub(crate) fn rest_s(&self, now: i64, min_interval_s: u64) -> Option<u64> {
        let gone = now.checked_sub(self.changed_at?).and_then(|s| u64::try_from(s).ok())?;
        min_interval_s.checked_sub(gone).filter(|s| *s > 0)
    }

    /// It did what it was asked to.
    pub(crate) fn went_well(&mut self, now: i64, changed: bool) {
        self.failures = 0;
        self.unproved = None;
        if changed {
            self.changed_at = Some(now);
        }
    }

    /// It failed; gives the seconds until it is asked again.
    ///
    /// A device that does what it is asked to, and only cannot be proved to, is not kept waiting for longer and longer.
    pub(crate) fn failed(&mut self, now: i64, error: &ConnectorError) -> u64 {
        let unproved = matches!(error, ConnectorError::Unproved(_) | ConnectorError::Felt(_));
        self.failures = if unproved { 1 } else { self.failures.saturating_add(1) };
        self.unproved = unproved.then(|| error.to_string());
        let wait = match error {
            ConnectorError::Later(s) => (*s).clamp(1, 3600),
            ConnectorError::Conflict(_) | ConnectorError::Busy(_) => 1,
            _ => {
                let full = FIRST_S.saturating_mul(1 << self.failures.min(OPEN_AFTER)).min(MOST_S);
                // Between half of it and all of it.
                full / 2 + self.random() % (full / 2 + 1)
            }
        };
        self.since = now;
        self.until = now.saturating_add_unsigned(wait);
        wait
    }

    /// Whether it failed so often that it counts as away.
    pub(crate) fn is_open(&self) -> bool {
        self.failures >= OPEN_AFTER
    }

    /// What was said the last time, where the device did what it was asked to and only could not be proved to: no reason to keep those
    /// waiting who are to be blocked.
    pub(crate) fn unproved(&self) -> Option<&str> {
        self.unproved.as_deref()
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away() -> ConnectorError {
        ConnectorError::Unreachable("x".into())
    }

    #[test]
    fn tries_grow_apart_up_to_a_bound_and_alike_in_every_run() {
        let waits = |name: &str| {
            let mut pace = Pace::of(name);
            let mut now = 1_000;
            (0..12)
                .map(|_| {
                    let w = pace.failed(now, &away());
                    now += w as i64;
                    w
                })
                .collect::<Vec<u64>>()
        };
        let a = waits("edge");
        assert_eq!(a, waits("edge"));
        assert_ne!(a, waits("other"), "devices are not asked all at once");
        assert!(a.iter().all(|w| (1..=MOST_S).contains(w)), "{a:?}");
        assert!(a[0] <= 4 && a[11] >= MOST_S / 2, "{a:?}");
    }

    #[test]
    fn a_device_that_is_only_unproved_is_never_away() {
        let mut pace = Pace::of("edge");
        for error in [ConnectorError::Unproved("x".into()), ConnectorError::Felt("x".into())] {
            assert!((0..20).all(|n| pace.failed(1_000 + 10 * n, &error) <= 4 && !pace.is_open()), "{error}");
            assert_eq!(pace.unproved(), Some(error.to_string().as_str()));
        }
        pace.failed(2_000, &away());
        assert_eq!(pace.unproved(), None, "one that is away is left alone");
    }

    #[test]
    fn what_the_device_asks_for_is_heeded() {
        let mut pace = Pace::of("a");
        pace.failed(1_000, &ConnectorError::Later(77));
        assert_eq!((pace.wait_s(1_000), pace.wait_s(1_076), pace.wait_s(1_077)), (Some(77), Some(1), None));
        assert_eq!(pace.wait_s(10), None, "a clock that jumped back is no reason to wait");
        pace.went_well(1_100, true);
        assert_eq!((pace.wait_s(1_000), pace.is_open()), (None, false));
        assert_eq!((pace.rest_s(1_101, 3), pace.rest_s(1_103, 3)), (Some(2), None));
        assert_eq!(pace.rest_s(900, 3), None);
    }
}
