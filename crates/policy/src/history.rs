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
    subjects: BTreeMap<(String, SubjectKind, String), Vec<Held>>,
    forgotten: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    from: Ts,
    until: Ts,
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
        let times = self.subjects.entry(key).or_default();
        let ttl = i64::try_from(v.ttl_s).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
        match times.last_mut() {
            Some(last) if v.last_seen <= last.until => {}
            Some(_) => times.push(Held { from: v.last_seen, until: v.last_seen.plus(ttl) }),
            None => {
                let from = v.detected_at;
                times.push(Held { from, until: from.plus(ttl) });
            }
        }
        if times.len() > TIMES {
            times.remove(0);
        }
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

fn key(zone: &str, subject: &Subject) -> (String, SubjectKind, String) {
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
        let mut alert = seen(5000);
        alert.response = "alert".into();
        history.record(&alert);
        assert_eq!(history.times_before(&seen(9000), 100), 0, "an alert is no response that acts");
    }
}
