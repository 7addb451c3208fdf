//! How often each was acted against, kept in the store by verdict: what a verdict says of itself is the last time only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sidetap_model::Ts;
use sidetap_store::{Store, StoreError};

/// The name under which a store keeps it.
const STATE: &str = "policy.times";
/// Most verdicts whose times are kept: those whose last one ends last.
const MOST: usize = 20_000;

/// What is kept. Whom a verdict names is not: where the verdict is forgotten nobody can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Times {
    /// What tells the rules by which verdicts were decided last from others.
    #[serde(default)]
    pub(crate) rules: String,
    /// From when to when each was acted against, in nanoseconds since 1970.
    #[serde(default)]
    verdicts: BTreeMap<String, Vec<(i64, i64)>>,
}

impl Times {
    /// What a store has of it; what cannot be read is nothing.
    pub(crate) fn of(store: &Store) -> Result<Self, StoreError> {
        let text = store.state(STATE)?.unwrap_or_default();
        let mut times: Times = serde_json::from_slice(&text).unwrap_or_default();
        let gone = store.forgotten_verdicts()?;
        times.verdicts.retain(|id, _| !gone.contains(id));
        Ok(times)
    }

    /// Keeps it.
    pub(crate) fn write(&mut self, store: &mut Store) -> Result<(), StoreError> {
        if self.verdicts.len() > MOST {
            let last = |times: &[(i64, i64)]| times.last().map_or(i64::MIN, |(_, until)| *until);
            let mut ends: Vec<i64> = self.verdicts.values().map(|t| last(t)).collect();
            ends.sort_unstable();
            let cut = ends.get(ends.len() - MOST).copied().unwrap_or(i64::MIN);
            self.verdicts.retain(|_, t| last(t) >= cut);
        }
        store.put_state(STATE, &serde_json::to_vec(self).unwrap_or_default())
    }

    /// Takes in the times of a verdict; says whether they are others than those known.
    pub(crate) fn take_in(&mut self, verdict: &str, times: &[(Ts, Ts)]) -> bool {
        let times: Vec<(i64, i64)> = times.iter().map(|(from, until)| (from.0, until.0)).collect();
        let is_new = self.verdicts.get(verdict) != Some(&times);
        if is_new {
            self.verdicts.insert(verdict.to_owned(), times);
        }
        is_new
    }

    /// The times of a verdict, where more than its last one are kept.
    pub(crate) fn get(&self, verdict: &str) -> Option<Vec<(Ts, Ts)>> {
        let times = self.verdicts.get(verdict)?;
        Some(times.iter().map(|(from, until)| (Ts(*from), Ts(*until))).collect())
    }

    /// Forgets those of verdicts that are not to be kept.
    pub(crate) fn forget(&mut self, gone: impl Fn(&str) -> bool) {
        self.verdicts.retain(|id, _| !gone(id));
    }
}
