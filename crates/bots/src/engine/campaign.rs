//! Campaigns and who was convicted for which.

use std::collections::BTreeMap;

use sidetap_model::Ts;
use smallvec::SmallVec;

use super::unit::ExchangeId;
use super::units::Units;
use crate::facts::{Fact, Facts};
use crate::indicators::Pack;

/// A set of clients and sessions that one attacker drives, as far as the evidence goes.
#[derive(Clone, Debug)]
pub(crate) struct Campaign {
    pub(crate) id: String,
    pub(crate) rule: usize,
    pub(crate) zone: String,
    pub(crate) hosts: SmallVec<[String; 2]>,
    pub(crate) shapes: SmallVec<[u64; 4]>,
    pub(crate) slots: SmallVec<[u32; 4]>,
    pub(crate) agent: String,
    pub(crate) numbers: Vec<u64>,
    /// Accounts that were tried, in order.
    pub(crate) accounts: Vec<u64>,
    pub(crate) detected: Ts,
    pub(crate) retrospective: bool,
    pub(crate) fired: Vec<Shown>,
    pub(crate) evidence: SmallVec<[ExchangeId; 5]>,
    /// Joined into another.
    pub(crate) into: Option<u32>,
    /// Made of parts of endpoints (and not of single clients).
    pub(crate) by_part: bool,
}

/// An indicator that fired, with what it saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shown {
    pub(crate) indicator: usize,
    pub(crate) observed: f64,
    pub(crate) baseline: Option<f64>,
}

/// Why and when somebody was convicted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conviction {
    pub(crate) campaign: u32,
    pub(crate) rule: usize,
    pub(crate) detected: Ts,
    pub(crate) retrospective: bool,
    pub(crate) suspicious: bool,
    /// Fingerprint of the part that convicted, 0 where the client was judged as a whole.
    pub(crate) shape: u64,
    pub(crate) evidence: Option<ExchangeId>,
    /// Convicted as a member that shows no tool itself.
    pub(crate) weak: bool,
    /// Nothing but the tool that its requests show tells it from the honest members of a part.
    pub(crate) by_tool: bool,
}

/// Everything that was convicted: clients by key, sessions by hash.
#[derive(Clone, Debug, Default)]
pub(crate) struct Convictions {
    pub(crate) units: BTreeMap<u64, Conviction>,
    pub(crate) sessions: BTreeMap<u64, Conviction>,
    /// Those that were forgotten with whom they were on.
    pub(crate) evicted: u64,
}

impl Convictions {
    /// Forgets clients and sessions that are not known any more, where more than `most` of either are convicted and a quarter: they are
    /// kept as long as they may come again.
    pub(super) fn forget(&mut self, units: &Units, most: usize) {
        let most = most.saturating_add(most / 4);
        let before = self.units.len() + self.sessions.len();
        if self.units.len() > most {
            self.units.retain(|key, _| units.get(*key).is_some());
        }
        if self.sessions.len() > most {
            self.sessions.retain(|hash, _| units.get_session(*hash).is_some());
        }
        self.evicted += (before - self.units.len() - self.sessions.len()) as u64;
    }
}

/// Keeps what fired, newest numbers over older ones.
pub(crate) fn show(pack: &Pack, fired: &[usize], facts: &Facts, into: &mut Vec<Shown>) {
    for n in fired {
        let Some(indicator) = pack.indicators().get(*n) else { continue };
        if indicator.harm == 0.0 && indicator.automation == 0.0 {
            continue;
        }
        let value = |f: Option<Fact>| f.and_then(|f| facts.get(f));
        let shown = Shown {
            indicator: *n,
            observed: value(indicator.shown()).unwrap_or(1.0),
            baseline: value(indicator.compared()),
        };
        match into.iter_mut().find(|s| s.indicator == *n) {
            Some(known) => *known = shown,
            None => into.push(shown),
        }
    }
}

#[cfg(test)]
mod tests {
    use sidetap_model::HashKey;

    use super::*;

    #[test]
    fn convictions_of_the_forgotten_are_forgotten_where_they_are_too_many() {
        let conviction = Conviction {
            campaign: 0,
            rule: 0,
            detected: Ts(0),
            retrospective: false,
            suspicious: false,
            shape: 0,
            evidence: None,
            weak: false,
            by_tool: false,
        };
        let units = Units::new(&HashKey::from_bytes([1; 16]), 16);
        let mut all = Convictions::default();
        for (n, left) in [(20, 20), (25, 25), (26, 0)] {
            all.units = (0..n).map(|key| (key, conviction)).collect();
            all.sessions = all.units.clone();
            all.forget(&units, 20);
            assert_eq!((all.units.len(), all.sessions.len()), (left, left));
        }
        assert_eq!(all.evicted, 52);
    }
}
