use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use sidetap_model::Ts;

/// Failures before a name or an address is locked out.
const FAILURES: u32 = 10;
/// Seconds in which they count, and for which it is locked out.
const WINDOW_S: i64 = 15 * 60;
/// Names and addresses that are remembered at most; the oldest go first.
const REMEMBERED: usize = 10_000;

/// Counts log-ins that failed, by name and by address.
#[derive(Debug, Default)]
pub(crate) struct Lockout {
    failures: Mutex<BTreeMap<String, Failures>>,
    /// All that failed since the start.
    all: AtomicU64,
}

#[derive(Debug)]
struct Failures {
    first: Ts,
    count: u32,
    told: bool,
}

impl Lockout {
    /// Counts an attempt of each as a failure before it is known what comes of it, so that many at once are no more than one after
    /// another; or says in how many seconds one of these may try again.
    pub(crate) fn attempt(&self, keys: &[String], now: Ts) -> Result<(), u64> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match wait(&failures, keys, now) {
            Some(seconds) => Err(seconds),
            None => {
                count(&mut failures, keys, now);
                Ok(())
            }
        }
    }

    /// The attempt that was counted was none: it worked, or nothing was looked at.
    pub(crate) fn take_back(&self, keys: &[String]) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            if let Some(known) = failures.get_mut(key) {
                known.count = known.count.saturating_sub(1);
            }
        }
    }

    /// An attempt failed; gives who is locked out by it, each once.
    pub(crate) fn failed(&self, keys: &[String]) -> Vec<String> {
        self.all.fetch_add(1, Relaxed);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let mut locked = Vec::new();
        for key in keys {
            if let Some(known) = failures.get_mut(key).filter(|f| f.count >= FAILURES && !f.told) {
                known.told = true;
                locked.push(key.clone());
            }
        }
        locked
    }

    /// How many failed since the start.
    pub(crate) fn failures(&self) -> u64 {
        self.all.load(Relaxed)
    }

    /// A log-in that worked clears its name.
    pub(crate) fn worked(&self, name: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

/// Seconds until one of these may try again; nothing where all may now.
fn wait(failures: &BTreeMap<String, Failures>, keys: &[String], now: Ts) -> Option<u64> {
    let waits = keys.iter().filter_map(|k| failures.get(k)).filter(|f| f.count >= FAILURES);
    let left = waits.map(|f| WINDOW_S - now.since(f.first) / 1_000_000_000).max()?;
    u64::try_from(left).ok().filter(|s| *s > 0)
}

/// Counts a failure of each; a window that is over begins anew, and the tenth failure begins the time of being locked out.
fn count(failures: &mut BTreeMap<String, Failures>, keys: &[String], now: Ts) {
    for key in keys {
        let known = failures.entry(key.clone()).or_insert(Failures { first: now, count: 0, told: false });
        if now.since(known.first) >= WINDOW_S * 1_000_000_000 {
            *known = Failures { first: now, count: 0, told: false };
        }
        known.count = known.count.saturating_add(1);
        if known.count == FAILURES {
            known.first = now;
        }
    }
    while failures.len() > REMEMBERED {
        let Some(oldest) = failures.iter().min_by_key(|(_, f)| f.first).map(|(k, _)| k.clone()) else {
            return;
        };
        failures.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_failures_lock_out_for_a_while() {
        let (lockout, keys) = (Lockout::default(), ["name:anna".to_owned()]);
        let at = |s| Ts::from_parts(s, 0);
        for n in 0..9 {
            assert_eq!(lockout.attempt(&keys, at(n)), Ok(()));
        }
        assert_eq!(lockout.attempt(&keys, at(10)), Ok(()));
        assert_eq!(lockout.attempt(&keys, at(10)), Err(900));
        assert_eq!(lockout.attempt(&["name:bert".to_owned()], at(10)), Ok(()));
        assert_eq!(lockout.attempt(&keys, at(909)), Err(1));
        assert_eq!(lockout.attempt(&keys, at(911)), Ok(()));
        assert_eq!(lockout.attempt(&keys, at(911)), Ok(()), "a new window");
    }

    #[test]
    fn what_worked_is_no_failure() {
        let (lockout, keys) = (Lockout::default(), ["ip:192.0.2.1".to_owned()]);
        for _ in 0..100 {
            assert_eq!(lockout.attempt(&keys, Ts(0)), Ok(()));
            lockout.take_back(&keys);
        }
    }

    #[test]
    fn it_remembers_only_so_many() {
        let lockout = Lockout::default();
        for n in 0..REMEMBERED as i64 + 10 {
            let _ = lockout.attempt(&[format!("name:{n}")], Ts(n));
        }
        assert_eq!(lockout.failures.lock().unwrap().len(), REMEMBERED);
    }
}
