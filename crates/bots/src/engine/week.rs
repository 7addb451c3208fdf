//! How busy an endpoint usually is, by the hour of the week.

use serde::{Deserialize, Serialize};
use sidetap_model::Ts;

const HOURS: usize = 168;
/// Hours of the same kind that a single one counts for at most, beyond which it is taken for an attack or an accident.
const SURGE: u64 = 4;
/// Calls that an hour may always have.
const FEW: u64 = 32;

/// Calls by the hour of the week: sums over whole hours, exact in whatever order they are added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Week {
    /// Calls and hours seen, by the hour of the week; empty until the first hour is over.
    hours: Vec<(u32, u16)>,
    /// The hour that goes on, counted from 1970, and its calls.
    #[serde(skip)]
    now: (i64, u32),
}

impl Week {
    /// Takes a call in.
    #[inline]
    pub(crate) fn add(&mut self, ts: Ts) {
        let hour = ts.secs().div_euclid(3600);
        if hour > self.now.0 {
            self.end_hour();
            self.now = (hour, 0);
        }
        self.now.1 = self.now.1.saturating_add(1);
    }

    /// An hour is over: it counts for what it can honestly have been.
    fn end_hour(&mut self) {
        let (hour, calls) = self.now;
        if calls == 0 {
            return;
        }
        self.hours.resize(HOURS, (0, 0));
        let most = match self.usual(hour) {
            Some(usual) => (usual * SURGE as f64) as u64 + FEW,
            None => u64::from(u32::MAX),
        };
        if let Some((sum, n)) = self.hours.get_mut(of_week(hour)) {
            *sum = sum.saturating_add(u32::try_from(most.min(u64::from(calls))).unwrap_or(u32::MAX));
            *n = n.saturating_add(1);
        }
    }

    /// Calls that such an hour usually has: of the same hour of the week, shrunk to the same hour of any day and that to any hour,
    /// by one hour's weight each; nothing where fewer than three hours are known.
    fn usual(&self, hour: i64) -> Option<f64> {
        let at = of_week(hour);
        let mean = |(sum, n): (u64, u64), parent: f64| (sum as f64 + parent) / (n as f64 + 1.0);
        let add = |(sum, n): (u64, u64), (s, m): &(u32, u16)| (sum + u64::from(*s), n + u64::from(*m));
        let all = self.hours.iter().fold((0, 0), add);
        if all.1 < 3 {
            return None;
        }
        let of_day = self.hours.iter().skip(at % 24).step_by(24).fold((0, 0), add);
        let own = self.hours.get(at).map_or((0, 0), |h| add((0, 0), h));
        Some(mean(own, mean(of_day, all.0 as f64 / all.1 as f64)))
    }

    /// How many times more calls the hour that goes on has already had than such an hour usually has in all.
    pub(crate) fn excess(&self) -> Option<f64> {
        let (hour, calls) = self.now;
        Some(f64::from(calls) / self.usual(hour)?.max(1.0))
    }

    /// Adds what another one knows.
    pub(crate) fn merge(&mut self, other: &Week) {
        if self.hours.len() < other.hours.len() {
            self.hours.resize(HOURS, (0, 0));
        }
        for ((sum, n), (s, m)) in self.hours.iter_mut().zip(&other.hours) {
            (*sum, *n) = (sum.saturating_add(*s), n.saturating_add(*m));
        }
        if other.now.0 == self.now.0 {
            self.now.1 = self.now.1.saturating_add(other.now.1);
        }
    }

    /// For the next run: the hour that goes on is left out, and what is older than some weeks fades.
    pub(crate) fn faded(&self) -> Self {
        let mut week = Week { hours: self.hours.clone(), now: (0, 0) };
        for (sum, n) in week.hours.iter_mut().filter(|(_, n)| *n > 8) {
            (*sum, *n) = (*sum / 2, *n / 2);
        }
        week
    }

    /// What was read from a file, within the limits of what is written.
    pub(crate) fn bounded(mut self) -> Self {
        if self.hours.len() != HOURS {
            self.hours.clear();
        }
        self.hours.iter_mut().for_each(|(sum, n)| (*sum, *n) = ((*sum).min(1 << 28), (*n).min(64)));
        self
    }
}

/// Hours since the beginning of a week; 1970 began on a Thursday.
fn of_week(hour: i64) -> usize {
    usize::try_from((hour + 72).rem_euclid(HOURS as i64)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONDAY: i64 = 1_790_553_600;

    fn hours(week: &mut Week, from: i64, calls: &[u32]) {
        for (h, n) in calls.iter().enumerate() {
            (0..*n).for_each(|i| week.add(Ts::from_parts(from + h as i64 * 3600 + i64::from(i % 3600), 0)));
        }
    }

    #[test]
    fn an_hour_is_held_against_the_same_hours() {
        let mut week = Week::default();
        for day in 0..14 {
            hours(&mut week, MONDAY + day * 86_400, &[10, 200, 10]);
        }
        hours(&mut week, MONDAY + 14 * 86_400, &[10, 210]);
        assert!(week.excess().unwrap() < 1.5, "{:?}", week.excess());
        hours(&mut week, MONDAY + 14 * 86_400 + 7200, &[100]);
        assert!(week.excess().unwrap() > 5.0, "{:?}", week.excess());
        assert_eq!(Week::default().excess(), None);
    }

    #[test]
    fn nobody_makes_a_flood_usual() {
        let mut week = Week::default();
        for day in 0..14 {
            hours(&mut week, MONDAY + day * 86_400, &[20, 20, 20]);
        }
        hours(&mut week, MONDAY + 14 * 86_400, &[60_000, 20, 20]);
        hours(&mut week, MONDAY + 15 * 86_400, &[200]);
        assert!(week.excess().unwrap() > 3.0, "{:?}", week.excess());
    }

    #[test]
    fn weeks_add_up_in_any_order() {
        let of = |calls: &[u32]| {
            let mut week = Week::default();
            hours(&mut week, MONDAY, calls);
            week.end_hour();
            week.faded()
        };
        let (a, b, c) = (of(&[5, 7, 3]), of(&[0, 9]), of(&[1, 1, 1, 1]));
        let sum = |order: [&Week; 3]| {
            let mut all = Week::default();
            order.iter().for_each(|w| all.merge(w));
            all
        };
        assert_eq!(sum([&a, &b, &c]), sum([&c, &a, &b]));
    }
}
