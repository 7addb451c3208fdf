//! What an endpoint's traffic was like in earlier runs: it stands beside this run's, where that is still little.

use serde::{Deserialize, Serialize};
use sidetap_model::EndpointId;

use super::Engine;
use super::endpoint::Slot;
use super::slice::Slice;

/// What was learned of the honest part of an endpoint's traffic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Past {
    pub(crate) requests: u32,
    pub(crate) ok: u32,
    pub(crate) fails: u32,
    /// Clients that were looked at, and how many of them call little else, load no assets, show a tool.
    pub(crate) clients: u32,
    pub(crate) narrow: u32,
    pub(crate) bare: u32,
    pub(crate) tools: u32,
    /// Endpoints that four fifths of them call as well.
    pub(crate) steps: Vec<EndpointId>,
}

/// Clients for which the past counts at most: a busy present outweighs it.
const MOST: u32 = 256;
/// Steps kept.
const STEPS: usize = 16;
/// Clients from which on steps are told.
const FEW: u32 = 5;

impl Past {
    /// What was read from a file, within the limits of what is written.
    pub(crate) fn bounded(mut self) -> Self {
        self.steps.truncate(STEPS);
        self.scale();
        for n in [&mut self.narrow, &mut self.bare, &mut self.tools] {
            *n = (*n).min(self.clients);
        }
        self
    }

    /// This run's after `older`, which counts half.
    fn after(mut self, older: Option<&Past>) -> Self {
        let Some(older) = older else {
            self.scale();
            return self;
        };
        if self.clients < FEW {
            self.steps.clone_from(&older.steps);
        }
        let pairs = [
            (&mut self.requests, older.requests),
            (&mut self.ok, older.ok),
            (&mut self.fails, older.fails),
            (&mut self.clients, older.clients),
            (&mut self.narrow, older.narrow),
            (&mut self.bare, older.bare),
            (&mut self.tools, older.tools),
        ];
        for (mine, theirs) in pairs {
            *mine = mine.saturating_add(theirs.div_ceil(2));
        }
        self.scale();
        self
    }

    /// Makes it count for [`MOST`] clients at most.
    fn scale(&mut self) {
        let clients = self.clients;
        if clients <= MOST {
            return;
        }
        let down = |n: u32| u32::try_from(u64::from(n) * u64::from(MOST) / u64::from(clients)).unwrap_or(0);
        for n in [
            &mut self.requests,
            &mut self.ok,
            &mut self.fails,
            &mut self.narrow,
            &mut self.bare,
            &mut self.tools,
        ] {
            *n = down(*n);
        }
        self.clients = MOST;
    }
}

impl Engine {
    /// What is to be remembered of an endpoint: of its clients and parts that were not convicted.
    pub(super) fn past_of(&self, slot: &Slot) -> Option<Past> {
        let nothing = Slice::of_bare(&[], 0.0, false);
        let rest = self.rest(slot, &nothing, &[]);
        let crowd = self.crowd(rest.sample.iter().filter_map(|k| self.units.get(*k)));
        let clients = u32::try_from(crowd.clients).unwrap_or(u32::MAX);
        let share = |of: f64| (of * f64::from(clients)).round() as u32;
        let own = Past {
            requests: rest.n,
            ok: rest.ok,
            fails: rest.fails,
            clients,
            narrow: share(crowd.narrow),
            bare: share(crowd.bare),
            tools: share(crowd.tools),
            steps: if clients >= FEW { self.usual_steps(slot, &rest.sample) } else { Vec::new() },
        };
        match (clients, &slot.past) {
            (0, older) => older.clone(),
            (_, older) => Some(own.after(older.as_ref())),
        }
    }

    fn usual_steps(&self, slot: &Slot, sample: &[u64]) -> Vec<EndpointId> {
        let mut steps: Vec<EndpointId> = self
            .usual_slots(sample)
            .into_iter()
            .filter_map(|at| self.slots.get(at as usize))
            .map(|s| s.endpoint.id)
            .filter(|id| *id != slot.endpoint.id)
            .collect();
        steps.sort_unstable();
        steps.dedup();
        steps.truncate(STEPS);
        steps
    }

    /// How many of the steps of the past hardly any of these clients took.
    pub(super) fn missing_past_steps(&self, past: &Past, slice: &[u64]) -> f64 {
        let known = past.steps.iter().filter_map(|id| self.index.get(id)).map(|at| self.resolve(*at));
        let missing = known.filter(|step| {
            let units = slice.iter().take(64).filter_map(|k| self.units.get(*k));
            let (mut all, mut have) = (0u32, 0u32);
            for unit in units {
                all += 1;
                have += u32::from(unit.calls.iter().any(|c| self.resolve(c.slot) == *step));
            }
            all > 0 && have * 5 <= all
        });
        missing.count() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_fades_and_stays_small() {
        let old = Past { requests: 1000, ok: 900, fails: 100, clients: 200, bare: 20, ..Past::default() };
        let new = Past { requests: 100, ok: 100, clients: 100, bare: 10, ..Past::default() };
        let joined = new.after(Some(&old));
        assert_eq!((joined.clients, joined.ok, joined.fails, joined.bare), (200, 550, 50, 20));
        let huge = Past { clients: 100_000, ok: 1_000_000, ..Past::default() }.bounded();
        assert_eq!((huge.clients, huge.ok), (256, 2560));
        let odd = Past { clients: 3, tools: 9, steps: vec![EndpointId(1); 99], ..Past::default() }.bounded();
        assert_eq!((odd.tools, odd.steps.len()), (3, 16));
    }
}
