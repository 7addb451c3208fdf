//! Answers on paths that nothing had proven yet. Where an endpoint is found there later, they are its calls as well.

use std::collections::BTreeMap;
use std::sync::Arc;

use sidetap_model::rows::EndpointRow;
use sidetap_model::{EndpointId, Ts};
use smallvec::SmallVec;

use crate::endpoint::tally;
use crate::engine::Engine;
use crate::host::Host;
use crate::observe::Observation;
use crate::segment;
use crate::trie::parts;

/// Paths of a host that are remembered at most.
const MAX_PATHS: usize = 512;

/// Length of a path that is remembered at most.
const MAX_LENGTH: usize = 256;

/// What was answered on one path, by method and path without ids.
pub(crate) type Early = BTreeMap<(Arc<str>, String), Answers>;

/// How often, when and with what status.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    calls: u64,
    first: Ts,
    last: Ts,
    statuses: SmallVec<[(u16, u64); 2]>,
    path: Box<[u8]>,
}

impl Answers {
    fn add(&mut self, o: &Observation) {
        if self.calls == 0 {
            (self.first, self.last) = (o.ts, o.ts);
            self.path.clone_from(&o.path);
        }
        self.calls += 1;
        self.first = self.first.min(o.ts);
        self.last = self.last.max(o.ts);
        tally(&mut self.statuses, o.status.unwrap_or(0), 1);
    }
}

impl Host {
    /// Remembers an answer; false where there is no room for its path.
    pub(crate) fn remember(&mut self, o: &Observation, template: String) -> bool {
        let key = (Arc::clone(&o.endpoint.method), template);
        let full = self.early.len() >= MAX_PATHS && !self.early.contains_key(&key);
        if full || o.path.len() > MAX_LENGTH {
            return false;
        }
        self.early.entry(key).or_default().add(o);
        true
    }
}

impl Engine {
    /// Adds to endpoints what was answered there before anything proved them.
    pub(crate) fn add_early(&self, rows: &mut [EndpointRow]) {
        let known: BTreeMap<EndpointId, usize> = rows.iter().enumerate().map(|(at, r)| (r.id, at)).collect();
        for host in &self.hosts {
            for ((method, _), answers) in &host.early {
                let Some(method) = self.methods.iter().position(|m| m == method) else { continue };
                let segments = segment::split(&answers.path);
                let slot = host.root.find(&parts(&segments), 0, method as u8);
                let name = slot.and_then(|slot| host.names.get(slot as usize)).and_then(Option::as_ref);
                let row = name.and_then(|name| known.get(&name.id)).and_then(|at| rows.get_mut(*at));
                let Some(row) = row else { continue };
                row.calls += answers.calls;
                row.first_seen = row.first_seen.min(answers.first);
                row.last_seen = row.last_seen.max(answers.last);
                for (status, n) in crate::inventory::statuses(&answers.statuses) {
                    *row.status_codes.entry(status).or_default() += n;
                }
            }
        }
    }
}
