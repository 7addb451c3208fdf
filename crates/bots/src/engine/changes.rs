//! What is said otherwise than before, without a row of all that is said.

use std::collections::{BTreeMap, BTreeSet};

use sidetap_model::rows::{Subject, VerdictRow};
use sidetap_model::{Ts, Zone};

use super::Engine;
use super::campaign::Conviction;
use super::unit::Unit;
use crate::hash;

/// Nanoseconds of packet time after which it is told again that somebody goes on: so long for each thousand of them, and at most.
const AGAIN: (i64, i64) = (10_000_000_000, 60_000_000_000);

/// Calls after which somebody goes on with what he was convicted for: one may be a slip.
const GOES_ON: u32 = 3;
/// Calls by which it shows whether what he does mostly fails.
const SETTLED: u32 = 20;
/// Calls that lie further apart than this, in nanoseconds, are not counted together.
const PAUSE: i64 = 600_000_000_000;

/// Calls of what a campaign is against, and those of them that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Acts {
    calls: u32,
    fails: u32,
    last: Option<Ts>,
}

impl Acts {
    fn add(&mut self, other: Acts) {
        self.calls = self.calls.saturating_add(other.calls);
        self.fails = self.fails.saturating_add(other.fails);
        self.last = self.last.max(other.last);
    }

    /// Those since then; all of them where some were forgotten meanwhile.
    fn since(self, before: Acts) -> Acts {
        let calls = self.calls.checked_sub(before.calls).unwrap_or(self.calls);
        Acts { calls, fails: self.fails.saturating_sub(before.fails), ..self }
    }

    /// They fail at least half as often as those: whoever was convicted for what mostly fails does not go on with what succeeds.
    fn is_like(self, those: Acts) -> bool {
        2 * u64::from(self.fails) * u64::from(those.calls) >= u64::from(those.fails) * u64::from(self.calls)
    }
}

/// Clients, and the campaigns whose calls of theirs were counted. One name may stand for all of a campaign's.
type Counted = BTreeSet<(u64, u32)>;

/// What was said of a subject last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Told {
    mark: u64,
    last_seen: Ts,
    /// What he had done when it was said first.
    usual: Acts,
    /// When it was said last, or before he did more after a pause.
    base: Acts,
    /// When it was looked at last.
    seen: Acts,
    /// He did nothing of it for a while since it was said last.
    rested: bool,
}

impl Told {
    fn new(mark: u64, last_seen: Ts, acts: Acts) -> Self {
        Told { mark, last_seen, usual: acts, base: acts, seen: acts, rested: false }
    }

    /// Looks at what he has done by now: true where he goes on, and nothing was said of that for so long.
    fn goes_on(&mut self, acts: Acts, last_seen: Ts, again: i64) -> bool {
        let before = std::mem::replace(&mut self.seen, acts);
        if acts == before {
            return false;
        }
        if acts.calls < before.calls {
            // Some were forgotten.
            self.base = acts;
            return false;
        }
        if self.usual.calls < GOES_ON || self.usual.fails == 0 && self.usual.calls < SETTLED {
            // Answers may have been to come when it was said.
            self.usual = acts;
        }
        // What he did before he first rested since it was said is what was said of him.
        let rest = acts.last.zip(before.last).map_or(0, |(now, then)| now.since(then));
        if rest >= PAUSE || rest >= again && !self.rested {
            (self.base, self.rested) = (before, true);
        }
        let now = acts.since(before);
        // Answers that come late are to calls that counted for nothing while they were not there.
        self.base.calls = self.base.calls.saturating_sub(now.fails.saturating_sub(now.calls));
        if !now.is_like(self.usual) {
            // Counts for nothing.
            self.base.calls = self.base.calls.saturating_add(now.calls);
            self.base.fails = self.base.fails.saturating_add(now.fails);
            return false;
        }
        if acts.since(self.base).calls < GOES_ON || last_seen.since(self.last_seen) < again {
            return false;
        }
        (self.base, self.last_seen, self.rested) = (acts, last_seen, false);
        true
    }
}

/// What was said of verdicts.
#[derive(Debug, Default)]
pub(super) struct Telling {
    pub(super) last: BTreeMap<String, Told>,
    /// They are told again while those whom they are on go on.
    again: bool,
}

impl Engine {
    /// From now on verdicts count as changed, too, where those whom they are on go on: who acts on them lets go of who does not.
    pub fn tell_again(&mut self) {
        self.told.again = true;
    }

    /// What a client did of what it was convicted for: calls of what its campaign is against. What else it does convicts nobody.
    /// Nothing where nobody asks.
    ///
    /// Where a client and its session are convicted by one name, or two of a session for two campaigns, each call counts once: `counted` says
    /// of whom and for what calls were before.
    fn acts(&self, unit: &Unit, c: &Conviction, counted: &mut Counted) -> Acts {
        let mut acts = Acts::default();
        if !self.told.again || counted.contains(&(unit.key, c.campaign)) {
            return acts;
        }
        let slots_of = |campaign: u32| self.campaigns.get(campaign as usize).map_or(&[][..], |c| &c.slots);
        let before: Vec<u32> = counted.range((unit.key, 0)..=(unit.key, u32::MAX)).map(|(_, c)| *c).collect();
        for call in &unit.calls {
            let slot = self.resolve(call.slot);
            let is_new = !before.iter().any(|c| slots_of(*c).contains(&slot));
            if is_new && slots_of(c.campaign).contains(&slot) {
                acts.add(Acts { calls: call.n, fails: call.fails(), last: Some(call.last) });
            }
        }
        counted.insert((unit.key, c.campaign));
        acts
    }

    /// Keys of clients that are convicted, or at an address with one that is or whose session is, in order.
    fn accused(&self) -> BTreeSet<u64> {
        let sessions = self.convictions.sessions.keys().filter_map(|hash| self.units.get_session(*hash));
        let keys = self.convictions.units.keys().chain(sessions.flat_map(|s| &s.units));
        let mut accused = BTreeSet::new();
        for unit in keys.filter_map(|key| self.units.get(*key)) {
            accused.insert(unit.key);
            accused.extend(self.units.at_address_of(unit).map_or(&[][..], |a| a.units.as_slice()));
        }
        accused
    }

    /// Verdicts that are new or that changed since the last call, and where that is asked for those on who goes on, now and then.
    ///
    /// Whom a verdict is on and what it is comes first, as rows of one subject are joined: a whole row takes long, and is made only of what is
    /// said for the first time or otherwise than before.
    pub fn take_changes(&mut self) -> Vec<VerdictRow> {
        let mut said: BTreeMap<(Zone, Subject), (&Conviction, Acts, Counted)> = BTreeMap::new();
        let units = self.convictions.units.iter().filter_map(|(key, c)| {
            let unit = self.units.get(*key)?;
            Some(((unit.zone, self.subject(unit, c)), c, std::slice::from_ref(key)))
        });
        let sessions = self.convictions.sessions.iter().filter_map(|(hash, c)| {
            let session = self.units.get_session(*hash)?;
            let (unit, subject) = self.session_subject(session)?;
            Some(((unit.zone, subject), c, session.units.as_slice()))
        });
        for (on, c, keys) in units.chain(sessions) {
            let (known, all, counted) = said.entry(on).or_insert((c, Acts::default(), Counted::new()));
            if (c.suspicious, c.detected) < (known.suspicious, known.detected) {
                *known = c;
            }
            keys.iter()
                .filter_map(|key| self.units.get(*key))
                .for_each(|u| all.add(self.acts(u, c, counted)));
        }
        let again = AGAIN.0.saturating_mul(1 + said.len() as i64 / 1000).min(AGAIN.1);
        let mark = |subject: &Subject, c: &Conviction| {
            let class = self.pack.rules().get(c.rule).map_or("", |r| r.id.as_str());
            let words = [intent(c), class, subject.value.as_str()];
            hash::words(&words.map(|w| hash::of(w.as_bytes())))
        };
        let (mut fresh, mut now) = (Vec::new(), BTreeSet::new());
        let most = self.config.max_clients.saturating_add(self.config.max_clients / 4);
        let full = self.told.last.len() > most;
        let mut telling = std::mem::take(&mut self.told.last);
        for ((zone, subject), (c, acts, _)) in said {
            let last_seen = acts.last.unwrap_or(c.detected);
            let (id, told) = (verdict_id(zone, &subject), Told::new(mark(&subject, c), last_seen, acts));
            if full {
                now.insert(id.clone());
            }
            let goes_on = |old: &mut Told| self.told.again && old.goes_on(acts, last_seen, again);
            let is_same = telling.get_mut(&id).filter(|old| old.mark == told.mark);
            if let Some(old) = is_same {
                if goes_on(old) {
                    fresh.push((id, *old, (zone, subject)));
                }
            } else {
                fresh.push((id, told, (zone, subject)));
            }
        }
        self.told.last = telling;
        if full {
            // What is not said any more is told anew where it comes again.
            let before = self.told.last.len();
            self.told.last.retain(|id, _| now.contains(id));
            self.convictions.evicted += (before - self.told.last.len()) as u64;
        }
        let mut only = BTreeSet::new();
        for (id, told, on) in fresh {
            self.told.last.insert(id, told);
            only.insert(on);
        }
        if only.is_empty() {
            return Vec::new();
        }
        self.verdicts_of(self.accused(), Some(&only))
    }
}

/// What is said of somebody who was convicted.
pub(super) fn intent(conviction: &Conviction) -> &'static str {
    if conviction.suspicious { "suspicious" } else { "malicious" }
}

/// The name of the verdict on a subject.
pub(super) fn verdict_id(zone: Zone, subject: &Subject) -> String {
    let id = hash::words(&[hash::of(zone.as_str().as_bytes()), hash::of(subject.value.as_bytes())]);
    format!("v-{id:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn acts(calls: u32, fails: u32, at: i64) -> Acts {
        Acts { calls, fails, last: Some(Ts(at * S)) }
    }

    fn told() -> Told {
        Told::new(1, Ts(0), acts(10, 10, 0))
    }

    #[test]
    fn calls_whose_answers_come_late_count_as_well() {
        let mut told = told();
        let mut goes_on = Vec::new();
        for n in 1..4 {
            let at = i64::from(n) * 14;
            assert!(!told.goes_on(acts(10 + n, 9 + n, at), Ts(at * S), 10 * S), "its answer is to come");
            goes_on.push(told.goes_on(acts(10 + n, 10 + n, at), Ts(at * S), 10 * S));
        }
        assert_eq!(goes_on, [false, false, true]);
    }

    #[test]
    fn right_ones_between_count_for_nothing() {
        let mut told = told();
        for n in 1..6 {
            let at = i64::from(n) * 14;
            assert!(!told.goes_on(acts(10 + n, 10, at), Ts(at * S), 10 * S));
        }
        assert!(!told.goes_on(acts(16, 11, 90), Ts(90 * S), 10 * S), "one slip");
    }
}
