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

/// What was said of a subject last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Told {
    mark: u64,
    last_seen: Ts,
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

    /// When a client last did what it was convicted for: called what its campaign is against. What else it does convicts nobody.
    /// Nothing where nobody asks.
    fn at_it_last(&self, unit: &Unit, c: &Conviction) -> Ts {
        if !self.told.again {
            return c.detected;
        }
        let slots = self.campaigns.get(c.campaign as usize).map_or(&[][..], |c| &c.slots);
        let calls = unit.calls.iter().filter(|call| slots.contains(&self.resolve(call.slot)));
        calls.map(|call| call.last).max().unwrap_or(c.detected)
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
        let mut said: BTreeMap<(Zone, Subject), (&Conviction, Ts)> = BTreeMap::new();
        let units = self.convictions.units.iter().filter_map(|(key, c)| {
            let unit = self.units.get(*key)?;
            Some(((unit.zone, self.subject(unit, c)), c, self.at_it_last(unit, c)))
        });
        let sessions = self.convictions.sessions.iter().filter_map(|(hash, c)| {
            let session = self.units.get_session(*hash)?;
            let (unit, subject) = self.session_subject(session)?;
            let lasts = session.units.iter().filter_map(|key| self.units.get(*key));
            let last = lasts.map(|unit| self.at_it_last(unit, c)).max().unwrap_or(session.last);
            Some(((unit.zone, subject), c, last))
        });
        for (on, c, last) in units.chain(sessions) {
            let (known, seen) = said.entry(on).or_insert((c, last));
            if (c.suspicious, c.detected) < (known.suspicious, known.detected) {
                *known = c;
            }
            *seen = last.max(*seen);
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
        for ((zone, subject), (c, last_seen)) in said {
            let (id, told) = (verdict_id(zone, &subject), Told { mark: mark(&subject, c), last_seen });
            if full {
                now.insert(id.clone());
            }
            let is_known = self.told.last.get(&id).is_some_and(|old| {
                old.mark == told.mark && !(self.told.again && last_seen.since(old.last_seen) >= again)
            });
            if !is_known {
                fresh.push((id, told, (zone, subject)));
            }
        }
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
