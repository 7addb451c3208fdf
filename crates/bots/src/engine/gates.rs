//! Log-ins told by what they give: where two texts are sent and what comes back is a session from then on, there one signs in, whatever
//! path and fields are called.

use std::collections::BTreeSet;

use sidetap_model::EndpointId;

use super::Engine;
use super::sketch::{Few, Map};
use crate::hash;
use crate::observation::{Gives, Observation, Outcome, Traits};
use crate::role::Roles;

/// Gifts remembered until they are presented, and endpoints that may be gates.
const GIFTS: usize = 8_192;
const GATES: usize = 1_024;
/// Accounts, each with a secret of its own, that must have come through.
const PROOFS: f64 = 3.0;
/// Names of cookies that hosts give to whoever asks for a page, and accounts of an endpoint that got in nowhere yet.
const NAMES: usize = 2_048;
const TRIED: usize = 1_024;

/// What was given for two texts, and where that turned out to be a session.
#[derive(Debug, Default)]
pub(super) struct Gates {
    gifts: Map<u64, (EndpointId, u64, u64)>,
    gates: Map<EndpointId, Gate>,
    /// Log-ins that are known by their words, and who was given something there.
    givers: Map<EndpointId, Gate>,
    /// Session cookies, by host and name, that are given without anybody signing in.
    everyones: BTreeSet<(u64, u32)>,
    tried: Map<EndpointId, Tried>,
    /// Gifts forgotten because they were too many.
    pub(super) evicted: u64,
}

/// Who came through: names and secrets.
#[derive(Clone, Copy, Debug, Default)]
struct Gate {
    accounts: Few,
    secrets: Few,
}

/// Log-ins that gave nothing, by account with the secret, and accounts that were given a session for another secret later: people
/// mistype, and try again until they are in.
#[derive(Clone, Debug, Default)]
struct Tried {
    without: Map<u64, u64>,
    later: Few,
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
        if !o.roles.any(Roles::LOGIN) || o.outcome != Outcome::Success || !(200..400).contains(&o.status) {
            return false;
        }
        let at = o.endpoint.id;
        let own = o.given != 0 && !self.everyones.contains(&(host_of(o), o.given));
        if o.traits.has(Traits::GIVEN) || own {
            if let Some(tried) = self.tried.get_mut(&at)
                && tried.without.get(&account).is_some_and(|before| *before != secret)
            {
                tried.later.insert(account);
            }
            if self.givers.len() < GATES || self.givers.contains_key(&at) {
                let giver = self.givers.entry(at).or_default();
                giver.accounts.insert(account);
                giver.secrets.insert(secret);
            }
            return false;
        }
        if !self.givers.get(&at).is_some_and(Gate::is_open) {
            return false;
        }
        if o.traits.has(Traits::NOTHING_GIVEN) {
            return true;
        }
        // A page or a place that looks alike whether or not one is let in: those who were not came again with another word.
        if o.given != 0 || !o.traits.has(Traits::COOKIE) {
            return false;
        }
        if self.tried.len() >= GATES && !self.tried.contains_key(&at) {
            return false;
        }
        let tried = self.tried.entry(at).or_default();
        if tried.without.len() >= TRIED {
            self.evicted += tried.without.len() as u64;
            tried.without.clear();
        }
        tried.without.insert(account, secret);
        tried.later.count() >= PROOFS
    }

    /// Notes which sessions anybody is given.
    fn everyone(&mut self, o: &Observation) {
        if o.given != 0 && o.traits.has(Traits::GET) && o.account.is_none() && self.everyones.len() < NAMES {
            self.everyones.insert((host_of(o), o.given));
        }
    }

    fn is_open(&self, at: EndpointId) -> bool {
        self.gates.get(&at).is_some_and(Gate::is_open)
    }
}

fn host_of(o: &Observation) -> u64 {
    hash::of(o.endpoint.host.as_bytes())
}

impl Engine {
    /// Learns where sessions are given, and reads calls of such places as log-ins.
    pub(super) fn gate(&mut self, o: &mut Observation) {
        if !self.gates.gifts.is_empty() {
            o.sessions.iter().filter(|t| t.login).for_each(|t| self.gates.present(t.hash));
        }
        self.gates.everyone(o);
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
