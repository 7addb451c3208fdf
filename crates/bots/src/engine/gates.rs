//! Log-ins told by what they give: where two texts are sent and what comes back is a session from then on, there one signs in, whatever
//! path and fields are called.

use sidetap_model::EndpointId;

use super::Engine;
use super::sketch::{Few, Map};
use crate::observation::{Gives, Observation, Outcome, Traits};
use crate::role::Roles;

/// Gifts remembered until they are presented, and endpoints that may be gates.
const GIFTS: usize = 8_192;
const GATES: usize = 1_024;
/// Accounts, each with a secret of its own, that must have come through.
const PROOFS: f64 = 3.0;

/// What was given for two texts, and where that turned out to be a session.
#[derive(Debug, Default)]
pub(super) struct Gates {
    gifts: Map<u64, (EndpointId, u64, u64)>,
    gates: Map<EndpointId, Gate>,
    /// Log-ins that are known by their words, and who was given something there.
    givers: Map<EndpointId, Gate>,
    /// Gifts forgotten because they were too many.
    pub(super) evicted: u64,
}

/// Who came through: names and secrets.
#[derive(Clone, Copy, Debug, Default)]
struct Gate {
    accounts: Few,
    secrets: Few,
}

impl Gate {
    fn is_open(&self) -> bool {
        self.accounts.count() >= PROOFS && self.secrets.count() >= PROOFS
    }
}

impl Gates {
    fn give(&mut self, at: EndpointId, gives: &Gives) {
        if self.gifts.len() + gives.tokens.len() > GIFTS {
            self.evicted += self.gifts.len() as u64;
            self.gifts.clear();
        }
        for token in &gives.tokens {
            self.gifts.insert(*token, (at, gives.account, gives.secret));
        }
    }

    /// A session is presented: was it given somewhere?
    fn present(&mut self, session: u64) {
        let Some((at, account, secret)) = self.gifts.remove(&session) else { return };
        if self.gates.len() < GATES || self.gates.contains_key(&at) {
            let gate = self.gates.entry(at).or_default();
            gate.accounts.insert(account);
            gate.secrets.insert(secret);
        }
    }

    /// True of an answer that gives nothing, where log-ins that work give a token or a session: whatever its status is, and though it says
    /// nothing, nobody was let in.
    fn gives_nothing(&mut self, o: &Observation) -> bool {
        let (Some(account), Some(secret)) = (o.account, o.secret) else { return false };
        if !o.roles.any(Roles::LOGIN) || o.outcome != Outcome::Success || !(200..300).contains(&o.status) {
            return false;
        }
        let at = o.endpoint.id;
        if o.traits.has(Traits::GIVEN) {
            if self.givers.len() < GATES || self.givers.contains_key(&at) {
                let giver = self.givers.entry(at).or_default();
                giver.accounts.insert(account);
                giver.secrets.insert(secret);
            }
            return false;
        }
        o.traits.has(Traits::NOTHING_GIVEN) && self.givers.get(&at).is_some_and(Gate::is_open)
    }

    fn is_open(&self, at: EndpointId) -> bool {
        self.gates.get(&at).is_some_and(Gate::is_open)
    }
}

impl Engine {
    /// Learns where sessions are given, and reads calls of such places as log-ins.
    pub(super) fn gate(&mut self, o: &mut Observation) {
        if !self.gates.gifts.is_empty() {
            o.sessions.iter().filter(|t| t.login).for_each(|t| self.gates.present(t.hash));
        }
        if self.gates.gives_nothing(o) {
            o.outcome = Outcome::Denied;
        }
        let Some(gives) = o.gives.take() else { return };
        let at = o.endpoint.id;
        if self.gates.is_open(at) {
            o.roles.insert(Roles::LOGIN);
            o.roles.remove(Roles::ID_LOOKUP);
            o.account = Some(gives.account);
            o.secret = Some(gives.secret);
            o.target = Some(crate::observation::Target { hash: gives.account, number: None });
            if o.outcome == Outcome::Refused || o.outcome == Outcome::NotFound {
                o.outcome = Outcome::Denied;
            }
        }
        if o.outcome == Outcome::Success && !gives.tokens.is_empty() {
            self.gates.give(at, &gives);
        }
    }
}
