use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use sidetap_model::Ts;

/// Seconds in which failures count, and for which one is locked out the first time; each further time it is twice as long.
const WINDOW_S: i64 = 15 * 60;
/// Longest time of being locked out in seconds, and for how long it is remembered.
const LONGEST_S: i64 = 24 * 3_600;
/// What is remembered at most; the oldest goes first.
const REMEMBERED: usize = 10_000;

/// By what failures are counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// A browser in which this name had logged in before, by what it was given then: it alone is asked, whatever others do.
    Known(String),
    /// A name from an address.
    From(String, IpAddr),
    /// An address, where it is not this machine's own (a proxy's).
    Address(IpAddr),
    /// A name, from wherever.
    Name(String),
    /// The one-time token.
    SetUp,
}

impl Key {
    /// Failures before it is locked out.
    const fn most(&self) -> u32 {
        match self {
            Key::Known(_) | Key::From(..) | Key::SetUp => 10,
            Key::Address(_) => 30,
            Key::Name(_) => 100,
        }
    }

    /// Longest time of being locked out: nobody who knows a name keeps its owner out for long.
    const fn longest_s(&self) -> i64 {
        match self {
            Key::Name(_) => WINDOW_S,
            _ => LONGEST_S,
        }
    }

    /// As the audit says it.
    fn said(&self) -> String {
        match self {
            Key::Known(name) => format!(
                "name:{} (in a known browser)",
                name.rsplit_once('.').map_or(name.as_str(), |(n, _)| n)
            ),
            Key::From(name, ip) => format!("name:{name} from {ip}"),
            Key::Address(ip) => format!("ip:{ip}"),
            Key::Name(name) => format!("name:{name}"),
            Key::SetUp => "set-up".to_owned(),
        }
    }
}

/// Counts log-ins that failed, by name and by address.
#[derive(Debug, Default)]
pub(crate) struct Lockout {
    failures: Mutex<BTreeMap<Key, Failures>>,
    /// All that failed since the start.
    all: AtomicU64,
}

#[derive(Debug)]
struct Failures {
    first: Ts,
    count: u32,
    told: bool,
    /// How often it was locked out.
    rounds: u32,
}

impl Failures {
    /// Seconds for which it counts, or is locked out.
    fn window_s(&self, key: &Key) -> i64 {
        let before = self.rounds.saturating_sub(1).min(16);
        (WINDOW_S << before).min(key.longest_s())
    }
}

impl Lockout {
    /// Counts an attempt of each as a failure before it is known what comes of it, so that many at once are no more than one after
    /// another; or says in how many seconds one of these may try again.
    pub(crate) fn attempt(&self, keys: &[Key], now: Ts) -> Result<(), u64> {
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
    pub(crate) fn take_back(&self, keys: &[Key]) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            if let Some(known) = failures.get_mut(key) {
                known.count = known.count.saturating_sub(1);
            }
        }
    }

    /// An attempt failed; gives who is locked out by it, each once.
    pub(crate) fn failed(&self, keys: &[Key]) -> Vec<String> {
        self.all.fetch_add(1, Relaxed);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let mut locked = Vec::new();
        for key in keys {
            if let Some(known) = failures.get_mut(key).filter(|f| f.count >= key.most() && !f.told) {
                known.told = true;
                locked.push(key.said());
            }
        }
        locked
    }

    /// How many failed since the start.
    pub(crate) fn failures(&self) -> u64 {
        self.all.load(Relaxed)
    }

    /// A log-in that worked clears what it was counted by, but for its address and for what others did to its name.
    pub(crate) fn worked(&self, keys: &[Key]) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys.iter().filter(|k| matches!(k, Key::Known(_) | Key::From(..))) {
            failures.remove(key);
        }
    }
}

/// Seconds until one of these may try again; nothing where all may now.
fn wait(failures: &BTreeMap<Key, Failures>, keys: &[Key], now: Ts) -> Option<u64> {
    let known = keys.iter().filter_map(|k| failures.get(k).map(|f| (k, f)));
    let waits = known.filter(|(k, f)| f.count >= k.most());
    let left = waits.map(|(k, f)| f.window_s(k) - now.since(f.first) / 1_000_000_000).max()?;
    u64::try_from(left).ok().filter(|s| *s > 0)
}

/// Counts a failure of each; a window that is over begins anew, and the last failure begins the time of being locked out.
fn count(failures: &mut BTreeMap<Key, Failures>, keys: &[Key], now: Ts) {
    for key in keys {
        let new = Failures { first: now, count: 0, told: false, rounds: 0 };
        let known = failures.entry(key.clone()).or_insert(new);
        let age = now.since(known.first) / 1_000_000_000;
        if age >= known.window_s(key) {
            let rounds = if age < LONGEST_S { known.rounds } else { 0 };
            *known = Failures { first: now, count: 0, told: false, rounds };
        }
        known.count = known.count.saturating_add(1);
        if known.count == key.most() {
            known.first = now;
            known.rounds = known.rounds.saturating_add(1);
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

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn from(name: &str) -> [Key; 1] {
        [Key::From(name.to_owned(), IP)]
    }

    fn at(s: i64) -> Ts {
        Ts::from_parts(s, 0)
    }

    #[test]
    fn ten_failures_lock_out_for_a_while_and_ten_more_for_longer() {
        let (lockout, keys) = (Lockout::default(), from("anna"));
        for n in 0..10 {
            assert_eq!(lockout.attempt(&keys, at(n)), Ok(()));
        }
        assert_eq!(lockout.attempt(&keys, at(9)), Err(900));
        assert_eq!(lockout.attempt(&from("bert"), at(10)), Ok(()));
        assert_eq!(lockout.attempt(&keys, at(908)), Err(1));
        for _ in 0..10 {
            assert_eq!(lockout.attempt(&keys, at(910)), Ok(()), "a new window");
        }
        assert_eq!(lockout.attempt(&keys, at(910)), Err(1_800));
        assert_eq!(lockout.attempt(&keys, at(910 + 86_400)), Ok(()));
        assert_eq!(wait(&lockout.failures.lock().unwrap(), &keys, at(910 + 86_400)), None);
    }

    #[test]
    fn who_knows_a_name_keeps_its_owner_out_neither_of_a_known_browser_nor_for_long() {
        let lockout = Lockout::default();
        let of = |n: u32| [Key::From("anna".to_owned(), IpAddr::V4(n.into())), Key::Name("anna".to_owned())];
        for round in 0..5 {
            for n in 0..200 {
                let _ = lockout.attempt(&of(n / 9), at(round * 1_000));
            }
        }
        assert_eq!(lockout.attempt(&of(9_999), at(4_000)), Err(900), "not more than a quarter of an hour");
        assert_eq!(lockout.attempt(&[Key::Known("anna.1".to_owned())], at(4_000)), Ok(()));
    }

    #[test]
    fn what_worked_is_no_failure() {
        let (lockout, keys) = (Lockout::default(), [Key::Address(IP)]);
        for _ in 0..100 {
            assert_eq!(lockout.attempt(&keys, Ts(0)), Ok(()));
            lockout.take_back(&keys);
        }
    }

    #[test]
    fn it_remembers_only_so_many() {
        let lockout = Lockout::default();
        for n in 0..REMEMBERED as i64 + 10 {
            let _ = lockout.attempt(&from(&n.to_string()), Ts(n));
        }
        assert_eq!(lockout.failures.lock().unwrap().len(), REMEMBERED);
    }
}
