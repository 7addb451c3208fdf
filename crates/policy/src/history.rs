//! Who was acted against before: what makes a response stronger or longer.

use std::collections::BTreeMap;

use sidetap_model::rows::{Subject, VerdictRow};
use sidetap_model::{SubjectKind, Ts};

use crate::Response;

/// Most subjects that are remembered.
const SUBJECTS: usize = 200_000;
/// Most times of one subject.
const TIMES: usize = 16;

/// When subjects were acted against, in packet time.
///
/// Somebody who is at it while a response holds is at it still; who is at it after its end is at it again.
#[derive(Clone, Debug, Default)]
pub struct History {
    subjects: BTreeMap<Key, Vec<Held>>,
    forgotten: u64,
}

type Key = (String, SubjectKind, String);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    from: Ts,
    until: Ts,
}

/// A verdict that was acted on, as far as it is remembered.
#[derive(Debug)]
struct Time {
    detected_at: Ts,
    id: String,
    last_seen: Ts,
    ttl: i64,
}

impl Time {
    fn of(v: &VerdictRow) -> Self {
        let ttl = i64::try_from(v.ttl_s).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
        Time { detected_at: v.detected_at, id: v.id.clone(), last_seen: v.last_seen, ttl }
    }

    fn at(&self) -> (Ts, &str) {
        (self.detected_at, &self.id)
    }

    fn add_to(&self, times: &mut Vec<Held>) {
        match times.last_mut() {
            Some(last) if self.last_seen <= last.until => {}
            Some(_) => times.push(Held { from: self.last_seen, until: self.last_seen.plus(self.ttl) }),
            None => times.push(Held { from: self.detected_at, until: self.detected_at.plus(self.ttl) }),
        }
        if times.len() > TIMES {
            times.remove(0);
        }
    }
}

/// Keeps as many subjects as there is room for, those that were acted against first.
fn forget_last(times: &mut BTreeMap<Key, Vec<Time>>) {
    let first = |all: &[Time]| all.iter().map(|t| (t.detected_at, t.id.clone())).min();
    let mut order: Vec<_> = times.iter().map(|(key, all)| (first(all), key.clone())).collect();
    order.sort();
    for (_, key) in order.into_iter().skip(SUBJECTS) {
        times.remove(&key);
    }
}

impl History {
    /// What verdicts of earlier runs say, oldest first.
    pub fn of<'a>(verdicts: impl IntoIterator<Item = &'a VerdictRow>) -> Self {
        let mut history = History::default();
        let mut rows: Vec<&VerdictRow> = verdicts.into_iter().collect();
        rows.sort_by_key(|v| (v.detected_at, &v.id));
        rows.into_iter().for_each(|v| history.record(v));
        history
    }

    /// The same of verdicts that come in parts, in any order: `parts` is given where each of them is to go. Of equal ones the one that
    /// came last counts last.
    pub fn of_parts<E>(parts: impl FnOnce(&mut dyn FnMut(&VerdictRow)) -> Result<(), E>) -> Result<Self, E> {
        let mut times: BTreeMap<Key, Vec<Time>> = BTreeMap::new();
        parts(&mut |v| {
            if v.response.parse::<Response>().is_ok_and(Response::acts) {
                times.entry(key(&v.zone, &v.subject)).or_default().push(Time::of(v));
                if times.len() > SUBJECTS * 2 {
                    forget_last(&mut times);
                }
            }
        })?;
        let mut forgotten = times.len().saturating_sub(SUBJECTS) as u64;
        if forgotten > 0 {
            forget_last(&mut times);
        }
        let mut history = History::default();
        for (key, mut all) in times {
            all.sort_by(|a, b| a.at().cmp(&b.at()));
            let mut held = Vec::new();
            all.iter().for_each(|t| t.add_to(&mut held));
            history.subjects.insert(key, held);
        }
        std::mem::swap(&mut history.forgotten, &mut forgotten);
        Ok(history)
    }

    /// Remembers what was decided about a verdict.
    pub fn record(&mut self, v: &VerdictRow) {
        if !v.response.parse::<Response>().is_ok_and(Response::acts) {
            return;
        }
        let key = key(&v.zone, &v.subject);
        if !self.subjects.contains_key(&key) && self.subjects.len() >= SUBJECTS {
            self.forgotten += 1;
            return;
        }
        Time::of(v).add_to(self.subjects.entry(key).or_default());
    }

    /// From when to when the subject of a verdict was acted against, as far as that is remembered.
    pub fn times(&self, v: &VerdictRow) -> Vec<(Ts, Ts)> {
        let held = self.subjects.get(&key(&v.zone, &v.subject));
        held.into_iter().flatten().map(|h| (h.from, h.until)).collect()
    }

    /// Remembers times that were kept apart: they count before what a verdict says of itself, which knows its first time and its last time
    /// to live alone.
    pub fn restore(&mut self, zone: &str, subject: &Subject, times: &[(Ts, Ts)]) {
        let key = key(zone, subject);
        if !self.subjects.contains_key(&key) && self.subjects.len() >= SUBJECTS {
            self.forgotten += 1;
            return;
        }
        let all = self.subjects.entry(key).or_default();
        all.retain(|h| !times.iter().any(|(from, until)| *from <= h.until && h.from <= *until));
        all.extend(times.iter().map(|(from, until)| Held { from: *from, until: *until }));
        all.sort_by_key(|h| (h.from, h.until));
        all.drain(..all.len().saturating_sub(TIMES));
    }

    /// Forgets all that was done to somebody, by themselves or with more that tells them from others.
    pub fn forget(&mut self, kind: SubjectKind, value: &str) {
        let part = |of: &str| of.split(" + ").any(|p| p == value);
        self.subjects.retain(|(_, of, whom), _| {
            !(*of == kind && whom == value || *of == SubjectKind::Compound && part(whom))
        });
    }

    /// Whether the response to who is at it still held then.
    pub fn holds(&self, v: &VerdictRow) -> bool {
        let times = self.subjects.get(&key(&v.zone, &v.subject));
        times.and_then(|times| times.last()).is_some_and(|held| v.last_seen <= held.until)
    }

    /// How often the subject was acted against in the `within_s` seconds before it was at it last, without the response that
    /// still held then.
    pub fn times_before(&self, v: &VerdictRow, within_s: u64) -> u32 {
        let Some(times) = self.subjects.get(&key(&v.zone, &v.subject)) else { return 0 };
        let within = i64::try_from(within_s).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
        let since = v.last_seen.plus(within.saturating_neg());
        times.iter().filter(|h| h.until < v.last_seen && h.from >= since).count() as u32
    }

    /// Subjects for which there was no room.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

fn key(zone: &str, subject: &Subject) -> Key {
    (zone.to_owned(), subject.kind, subject.value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::sample;

    fn seen(at: i64) -> VerdictRow {
        let ts = Ts::from_parts(at, 0);
        VerdictRow { detected_at: ts, last_seen: ts, response: "block".into(), ttl_s: 600, ..sample() }
    }

    #[test]
    fn parts_in_any_order_say_what_all_say_at_once() {
        let of = |ip: &str, at: i64, last: i64| {
            let mut v = VerdictRow { id: format!("v-{ip}"), last_seen: Ts::from_parts(last, 0), ..seen(at) };
            v.subject.value = ip.into();
            v
        };
        let all = [
            of("192.0.2.1", 1000, 1000),
            of("192.0.2.2", 900, 4000),
            of("192.0.2.1", 3000, 3100),
            of("192.0.2.1", 2000, 2900),
        ];
        let whole = History::of(&all);
        let parts = History::of_parts(|take| {
            all.iter().rev().for_each(take);
            Ok::<(), ()>(())
        });
        assert_eq!(parts.unwrap().subjects, whole.subjects);
        assert_eq!(whole.subjects.values().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn times_that_were_kept_are_as_they_were_in_a_row() {
        let mut live = History::default();
        let last =
            [1000, 1700, 4000].map(|at| VerdictRow { detected_at: Ts::from_parts(1000, 0), ..seen(at) });
        last.iter().for_each(|v| live.record(v));
        let [.., last] = last;
        let long = VerdictRow { ttl_s: 2_000, ..last };
        let mut again = History::of([&long]);
        assert_eq!(again.times(&long).len(), 1, "its row alone says no more");
        again.restore(&long.zone, &long.subject, &live.times(&long));
        assert_eq!(again.times(&long), live.times(&long));
        assert!(again.holds(&long) && live.holds(&long));
        assert_eq!(again.times_before(&seen(9000), 90_000), 3);
        let many: Vec<(Ts, Ts)> = (0..40).map(|n| (Ts(n * 10), Ts(n * 10 + 5))).collect();
        again.restore("other", &long.subject, &many);
        assert_eq!(again.times(&VerdictRow { zone: "other".into(), ..long }), many[40 - TIMES..]);
    }

    #[test]
    fn who_comes_back_after_the_end_is_at_it_again() {
        let mut history = History::default();
        history.record(&seen(1000));
        assert_eq!(history.times_before(&seen(1500), 3600), 0, "the first response still holds");
        history.record(&seen(1500));
        assert_eq!(history.times_before(&seen(1700), 3600), 1);
        history.record(&seen(1700));
        assert_eq!(history.times_before(&seen(1800), 3600), 1, "the second one holds");
        assert_eq!(history.times_before(&seen(2400), 3600), 2);
        assert_eq!(history.times_before(&seen(2400), 800), 1, "the first one was too long ago");
        let mut forgotten = history.clone();
        forgotten.forget(SubjectKind::Session, &sample().subject.value);
        assert_eq!(forgotten.times_before(&seen(2400), 3600), 2, "a name of another kind");
        forgotten.forget(sample().subject.kind, &sample().subject.value);
        assert_eq!(forgotten.times_before(&seen(2400), 3600), 0);
        let mut alert = seen(5000);
        alert.response = "alert".into();
        history.record(&alert);
        assert_eq!(history.times_before(&seen(9000), 100), 0, "an alert is no response that acts");
    }
}
