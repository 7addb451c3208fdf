//! What was learned, carried from one run to the next: endpoints' meaning and the population's habits, no clients.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sidetap_model::{EndpointId, EndpointRef};

use super::Engine;
use super::anomaly::{Anomaly, Usual};
use super::endpoint::Slot;
use super::past::Past;
use super::population::Population;
use super::sketch::Histogram;
use super::week::Week;

/// Why a state cannot be taken over.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StateError {
    /// Another version wrote it.
    #[error("bots state of version {0} is not known")]
    Version(u8),
    /// It is cut or damaged.
    #[error("bots state is damaged: {0}")]
    Damaged(String),
}

const VERSION: u8 = 3;
/// The largest count that is taken over: there is room to count on.
const COUNTS: u32 = 1 << 30;

#[derive(Serialize, Deserialize)]
struct Learned {
    endpoints: Vec<LearnedEndpoint>,
    population: Population,
    anomaly: BTreeMap<u8, Usual>,
}

#[derive(Serialize, Deserialize)]
struct LearnedEndpoint {
    zone: String,
    endpoint: EndpointRef,
    counts: [u32; 3],
    votes: Vec<u32>,
    by_client: Histogram,
    by_session: Histogram,
    past: Option<Past>,
    week: Week,
}

impl Engine {
    /// What was learned, in a form that [`Engine::import_state`] reads.
    pub fn export_state(&self) -> Vec<u8> {
        let (by_client, by_session) = self.convicted_calls();
        let without = |mut all: Histogram, convicted: Option<&Vec<u32>>| {
            convicted.into_iter().flatten().for_each(|n| all.leave_out(*n));
            all
        };
        let endpoints = self
            .slots
            .iter()
            .zip(0u32..)
            .filter(|(s, _)| s.alias.is_none())
            .map(|(s, at)| LearnedEndpoint {
                zone: s.zone.clone(),
                endpoint: s.endpoint.clone(),
                counts: [s.n, s.pages, s.reads],
                votes: s.votes().to_vec(),
                by_client: without(s.by_client.clone(), by_client.get(&at)),
                by_session: without(s.by_session.clone(), by_session.get(&at)),
                past: self.past_of(s),
                week: s.week.faded(),
            })
            .collect();
        let learned =
            Learned { endpoints, population: self.population.faded(), anomaly: self.anomaly.export() };
        let mut out = vec![VERSION];
        if rmp_serde::encode::write(&mut out, &learned).is_err() {
            out.truncate(1);
        }
        out
    }

    /// How many calls convicted clients, and sessions of theirs or convicted themselves, made of each endpoint: what they do is
    /// nobody's habit.
    fn convicted_calls(&self) -> (BTreeMap<u32, Vec<u32>>, BTreeMap<u32, Vec<u32>>) {
        let (mut clients, mut sessions) =
            (BTreeMap::<u32, Vec<u32>>::new(), BTreeMap::<u32, Vec<u32>>::new());
        for unit in self.convictions.units.keys().filter_map(|k| self.units.get(*k)) {
            for call in &unit.calls {
                clients.entry(self.resolve(call.slot)).or_default().push(call.n);
            }
        }
        for session in self.units.session_keys().into_iter().filter_map(|h| self.units.get_session(h)) {
            let own = self.convictions.sessions.contains_key(&session.token.hash);
            if own || session.units.iter().any(|k| self.convictions.units.contains_key(k)) {
                for call in &session.calls {
                    sessions.entry(self.resolve(call.slot)).or_default().push(call.n);
                }
            }
        }
        (clients, sessions)
    }

    /// Takes over what another run learned; refused where it is of another version or damaged, and then nothing changes.
    pub fn import_state(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let (version, rest) = bytes.split_first().ok_or_else(|| StateError::Damaged("empty".into()))?;
        if *version != VERSION {
            return Err(StateError::Version(*version));
        }
        let learned: Learned = rmp_serde::from_slice(rest).map_err(|e| StateError::Damaged(e.to_string()))?;
        self.population = learned.population.bounded();
        self.anomaly = Anomaly::import(learned.anomaly);
        for known in learned.endpoints.into_iter().take(self.config.max_endpoints) {
            let id: EndpointId = known.endpoint.id;
            if self.index.contains_key(&id) {
                continue;
            }
            let Ok(at) = u32::try_from(self.slots.len()) else { break };
            let votes: Vec<u32> = known.votes.into_iter().map(|n| n.min(COUNTS)).collect();
            let counts = known.counts.map(|n| n.min(COUNTS));
            let mut slot = Slot::learned(known.endpoint, known.zone, counts, &votes);
            let e = &slot.endpoint;
            slot.stated = self.config.stated.of(&e.host, &e.method, &e.template);
            slot.by_client = known.by_client.bounded();
            slot.by_session = known.by_session.bounded();
            slot.past = known.past.map(Past::bounded);
            slot.week = known.week.bounded();
            self.index.insert(id, at);
            self.slots.push(slot);
        }
        Ok(())
    }
}
