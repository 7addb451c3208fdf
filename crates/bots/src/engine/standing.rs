//! What a client shows of where it comes from and who it is: looked up once, kept with it.

use std::net::IpAddr;

use sidetap_intel::{KeyDirectories, Known, KnownKind, Origin, Proof, Signed, Table, Verification};
use sidetap_model::Ts;

use crate::agent::{Agent, Agents};
use crate::facts::{Fact, Facts};
use crate::observation::Observation;

/// Where a client comes from and who it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    met: bool,
    pub(crate) origin: Origin,
    /// Whether the operator that its agent names publishes its address.
    pub(crate) published: Option<bool>,
    /// The party of the configuration that it shows or claims to be.
    pub(crate) party: Option<(u16, Proof)>,
    signatures: Signatures,
}

/// Signatures of a client's requests.
#[derive(Clone, Copy, Debug, Default)]
struct Signatures {
    seen: u32,
    valid: u32,
    invalid: u32,
    directory: u16,
}

/// Signatures that are verified of every client; then those whose number is a power of two.
const VERIFIED: u32 = 4;

/// What the engine knows beyond the traffic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Knowledge<'a> {
    pub(crate) table: &'a Table,
    pub(crate) known: &'a Known,
    pub(crate) keys: &'a KeyDirectories,
    pub(crate) agents: &'a Agents,
}

impl Standing {
    /// Takes an observation of the client in.
    pub(crate) fn learn(&mut self, o: &Observation, knowledge: &Knowledge<'_>) {
        // What anybody may claim for himself makes nobody known.
        let ip = if o.client.claimed { IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED) } else { o.client.ip };
        if !std::mem::replace(&mut self.met, true) && !o.client.claimed {
            self.origin = knowledge.table.origin(ip, o.ts);
            self.published = published(knowledge, &o.agent, ip);
            self.party = knowledge.known.who(ip, None, &o.agent.text);
        }
        if let Some(key) = o.api_key.as_ref().filter(|_| self.party.is_none_or(|(_, p)| p != Proof::Shown)) {
            let now = knowledge.known.who(ip, Some(key.hash), &o.agent.text);
            let now = now.filter(|(_, proof)| !o.client.claimed || *proof == Proof::Shown);
            if now.map(|(_, p)| p) > self.party.map(|(_, p)| p) {
                self.party = now;
            }
        }
        if let Some(signed) = &o.signed {
            self.signatures.take(signed, o.ts, knowledge.keys);
        }
    }

    /// Shown to be somebody who is welcome: a verified robot, a party of the configuration, an agent that signs.
    pub(crate) fn is_good(&self) -> bool {
        self.published == Some(true) || self.is_party() || self.signs()
    }

    /// Shown to be a party of the configuration.
    pub(crate) fn is_party(&self) -> bool {
        self.party.is_some_and(|(_, p)| p == Proof::Shown)
    }

    /// True where its requests are signed with a key that is installed, and none wrongly.
    pub(crate) fn signs(&self) -> bool {
        self.signatures.valid > 0 && self.signatures.invalid == 0
    }

    /// The directory of the key with which it signs.
    pub(crate) fn directory(&self) -> Option<u16> {
        self.signs().then_some(self.signatures.directory)
    }

    /// Whether it is shown or refuted to be what it says, and by what.
    pub(crate) fn verified(&self) -> Option<(bool, &'static str)> {
        if self.is_party() {
            Some((true, "configuration"))
        } else if self.signs() {
            Some((true, "signature"))
        } else if self.signatures.invalid > 0 {
            Some((false, "signature"))
        } else {
            self.published.map(|p| (p, "published-ranges"))
        }
    }

    /// The facts of it; `requests` is how many the client made.
    pub(crate) fn facts(&self, f: &mut Facts, knowledge: &Knowledge<'_>) {
        if let Some(verified) = self.published {
            f.flag(Fact::AgentVerified, verified);
        }
        let kinds = self.origin.kinds;
        if self.is_located() {
            use sidetap_intel::Kind;
            f.flag(Fact::NetHosting, kinds.is_hosting());
            f.flag(Fact::NetFunction, kinds.has(Kind::CloudFunction));
            f.flag(Fact::NetVpn, kinds.has(Kind::Vpn));
            f.flag(Fact::NetTor, kinds.has(Kind::Tor));
            f.flag(Fact::NetProxy, kinds.has(Kind::Proxy));
            f.flag(Fact::NetRelay, kinds.has(Kind::Relay));
            f.flag(Fact::NetResidential, kinds.has(Kind::Residential));
            f.flag(Fact::NetShared, kinds.is_shared());
        }
        if knowledge.table.is_installed() {
            f.set(Fact::NetReported, f64::from(self.origin.reported));
        }
        if let Some((at, proof)) = self.party {
            let kind = knowledge.known.party(at).map(|p| p.kind);
            f.flag(Fact::PartyPartner, proof == Proof::Shown && kind == Some(KnownKind::Partner));
            f.flag(Fact::PartyMonitor, proof == Proof::Shown && kind == Some(KnownKind::Monitor));
            f.flag(Fact::PartyApp, proof == Proof::Shown && kind == Some(KnownKind::App));
            f.flag(Fact::PartyForeignKey, proof == Proof::ForeignKey);
        }
        if self.signatures.seen > 0 {
            f.flag(Fact::SignatureValid, self.signs());
            f.flag(Fact::SignatureInvalid, self.signatures.invalid > 0);
            let open = self.signatures.valid == 0 && self.signatures.invalid == 0;
            f.flag(Fact::SignatureClaimed, open);
        }
    }

    /// True where a table says what the network is used for or whose it is.
    pub(crate) fn is_located(&self) -> bool {
        self.origin.asn != 0 || self.origin.kinds.is_telling()
    }
}

impl Signatures {
    fn take(&mut self, signed: &Signed, now: Ts, keys: &KeyDirectories) {
        self.seen += 1;
        if self.seen > VERIFIED && !self.seen.is_power_of_two() {
            return;
        }
        match keys.verify(signed, now) {
            Verification::Valid(directory) => {
                self.valid += 1;
                self.directory = directory;
            }
            Verification::Invalid(_) => self.invalid += 1,
            Verification::Claimed => {}
        }
    }
}

/// Whether the claimed operator publishes the address: an installed list decides, and the ranges of the pack where there is none.
/// What only the pack knows while a list is installed reads unknown: it may have been withdrawn.
fn published(knowledge: &Knowledge<'_>, agent: &Agent, ip: IpAddr) -> Option<bool> {
    let listed = knowledge.table.published(knowledge.agents.lists(agent), ip);
    match (listed, knowledge.agents.verified(agent, ip)) {
        (Some(true), _) => Some(true),
        (Some(false), Some(true)) => None,
        (Some(false), _) => Some(false),
        (None, builtin) => builtin,
    }
}
