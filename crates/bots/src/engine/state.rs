//! What was learned, carried from one run to the next: endpoints' meaning and the population's habits, no clients.

use serde::{Deserialize, Serialize};
use sidetap_model::{EndpointId, EndpointRef};

use super::Engine;
use super::endpoint::Slot;
use super::past::Past;
use super::population::Population;
use super::sketch::Histogram;

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

const VERSION: u8 = 2;
/// The largest count that is taken over: there is room to count on.
const COUNTS: u32 = 1 << 30;

#[derive(Serialize, Deserialize)]
struct Learned {
    endpoints: Vec<LearnedEndpoint>,
    population: Population,
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
}

impl Engine {
    /// What was learned, in a form that [`Engine::import_state`] reads.
    pub fn export_state(&self) -> Vec<u8> {
        let endpoints = self
            .slots
            .iter()
            .filter(|s| s.alias.is_none())
            .map(|s| LearnedEndpoint {
                zone: s.zone.clone(),
                endpoint: s.endpoint.clone(),
                counts: [s.n, s.pages, s.reads],
                votes: s.votes().to_vec(),
                by_client: s.by_client.clone(),
                by_session: s.by_session.clone(),
                past: self.past_of(s),
            })
            .collect();
        let learned = Learned { endpoints, population: self.population.clone() };
        let mut out = vec![VERSION];
        if rmp_serde::encode::write(&mut out, &learned).is_err() {
            out.truncate(1);
        }
        out
    }

    /// Takes over what another run learned; refused where it is of another version or damaged, and then nothing changes.
    pub fn import_state(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let (version, rest) = bytes.split_first().ok_or_else(|| StateError::Damaged("empty".into()))?;
        if *version != VERSION {
            return Err(StateError::Version(*version));
        }
        let learned: Learned = rmp_serde::from_slice(rest).map_err(|e| StateError::Damaged(e.to_string()))?;
        self.population = learned.population.bounded();
        for known in learned.endpoints.into_iter().take(self.config.max_endpoints) {
            let id: EndpointId = known.endpoint.id;
            if self.index.contains_key(&id) {
                continue;
            }
            let Ok(at) = u32::try_from(self.slots.len()) else { break };
            let votes: Vec<u32> = known.votes.into_iter().map(|n| n.min(COUNTS)).collect();
            let counts = known.counts.map(|n| n.min(COUNTS));
            let mut slot = Slot::learned(known.endpoint, known.zone, counts, &votes);
            slot.by_client = known.by_client.bounded();
            slot.by_session = known.by_session.bounded();
            slot.past = known.past.map(Past::bounded);
            self.index.insert(id, at);
            self.slots.push(slot);
        }
        Ok(())
    }
}
