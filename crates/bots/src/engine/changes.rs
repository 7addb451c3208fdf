//! What is said otherwise than before, without a row of all that is said.

use std::collections::{BTreeMap, BTreeSet};

use sidetap_model::Zone;
use sidetap_model::rows::{Subject, VerdictRow};

use super::Engine;
use super::campaign::Conviction;
use crate::hash;

impl Engine {
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

    /// Verdicts that are new or that changed since the last call.
    ///
    /// Whom a verdict is on and what it is comes first, as rows of one subject are joined: a whole row takes long, and is made only of what is
    /// said for the first time or otherwise than before.
    pub fn take_changes(&mut self) -> Vec<VerdictRow> {
        let mut said: BTreeMap<(Zone, Subject), &Conviction> = BTreeMap::new();
        let units = self.convictions.units.iter().filter_map(|(key, c)| {
            let unit = self.units.get(*key)?;
            Some(((unit.zone, self.subject(unit, c)), c))
        });
        let sessions = self.convictions.sessions.iter().filter_map(|(hash, c)| {
            let (unit, subject) = self.session_subject(self.units.get_session(*hash)?)?;
            Some(((unit.zone, subject), c))
        });
        for (on, c) in units.chain(sessions) {
            let known = said.entry(on).or_insert(c);
            if (c.suspicious, c.detected) < (known.suspicious, known.detected) {
                *known = c;
            }
        }
        let mark = |subject: &Subject, c: &Conviction| {
            let class = self.pack.rules().get(c.rule).map_or("", |r| r.id.as_str());
            let words = [intent(c), class, subject.value.as_str()];
            hash::words(&words.map(|w| hash::of(w.as_bytes())))
        };
        let (mut fresh, mut now) = (Vec::new(), BTreeSet::new());
        let most = self.config.max_clients.saturating_add(self.config.max_clients / 4);
        let full = self.told.len() > most;
        for ((zone, subject), c) in said {
            let (id, mark) = (verdict_id(zone, &subject), mark(&subject, c));
            if full {
                now.insert(id.clone());
            }
            if self.told.get(&id) != Some(&mark) {
                fresh.push((id, mark, (zone, subject)));
            }
        }
        if full {
            // What is not said any more is told anew where it comes again.
            let before = self.told.len();
            self.told.retain(|id, _| now.contains(id));
            self.convictions.evicted += (before - self.told.len()) as u64;
        }
        let mut only = BTreeSet::new();
        for (id, mark, on) in fresh {
            self.told.insert(id, mark);
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
