//! Sign-ins that no fingerprint tells from those of people: clients that each try account after account, and accounts that many
//! clients try, whatever the channel.

use std::collections::{BTreeMap, BTreeSet};

use sidetap_model::Ts;
use smallvec::SmallVec;

use super::Engine;
use super::endpoint::Slot;
use super::join::Sign;
use super::member::Member;
use super::part::Found;
use super::sketch::{Distinct, Map};
use super::slice::{Slice, Who};
use super::unit::{ExchangeId, Unit};
use crate::hash;
use crate::observation::{Observation, Outcome, Part};
use crate::role::Roles;

/// Accounts that one client fails with from which on it hops: people have one, some have two.
const HOPS: f64 = 3.0;
/// The same for one-time codes, of which people mistype some more, and for cards.
const CODES: f64 = 4.0;
/// Hopping clients from which on they are judged together.
const HOPPERS: usize = 8;
/// Accounts whose failed sign-ins are kept, for each two clients one at most; of more those with few go first.
const ACCOUNTS: usize = 32_768;
/// Failed sign-ins with which an account is kept on.
const KEPT: u32 = 4;
/// Wrong passwords for one account, and clients that sent them, from which on the account is looked at.
const PASSWORDS: f64 = 12.0;
const TRIERS: usize = 3;
/// Clients kept of those that try one account.
const MOST: usize = 512;

/// What was tried with one account.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tries {
    n: u32,
    fails: u32,
    secrets: Distinct,
    units: SmallVec<[u64; 2]>,
    slots: SmallVec<[u32; 2]>,
    first: Ts,
    last: Ts,
    evidence: Option<ExchangeId>,
    next: u32,
}

/// Failed sign-ins by account, with the function that the account belongs to.
#[derive(Clone, Debug, Default)]
pub(super) struct Doors {
    tries: Map<u64, Tries>,
    due: Vec<u64>,
    /// Clients of all accounts, and how many there is room for.
    triers: usize,
    most: usize,
    pub(super) evicted: u64,
}

impl Doors {
    /// Room for so many clients that fail.
    pub(super) fn new(most: usize) -> Self {
        Doors { most, ..Doors::default() }
    }

    /// Takes the answer to a sign-in at `slot` in; `function` is what the endpoint is a channel of.
    pub(super) fn take(&mut self, o: &Observation, slot: u32, function: u64, unit: u64) {
        let Some(account) = o.account.filter(|_| o.roles.any(Roles::LOGIN) && o.part != Part::RequestOnly)
        else {
            return;
        };
        let failed = o.outcome.basic() == Outcome::Denied;
        let key = hash::words(&[function, account]);
        if !failed && !self.tries.contains_key(&key) {
            return;
        }
        let most = ACCOUNTS.min(self.most / 2);
        if self.tries.len() >= most && !self.tries.contains_key(&key) {
            let before = self.tries.len();
            self.tries.retain(|_, t| t.fails >= KEPT);
            self.triers = self.tries.values().map(|t| t.units.len()).sum();
            self.evicted += (before - self.tries.len()) as u64;
            if self.tries.len() >= most {
                self.evicted += 1;
                return;
            }
        }
        let tries = self.tries.entry(key).or_default();
        let before = tries.units.len();
        // Two stand in the record itself.
        let room = self.triers < self.most || before < 2;
        self.evicted += u64::from(!tries.add(o, slot, unit, failed, room));
        self.triers += tries.units.len() - before;
        if tries.is_due() {
            tries.next = tries.fails + (tries.fails / 4).max(3);
            self.due.push(key);
        }
    }

    fn due(&mut self, all: bool) -> Vec<u64> {
        let mut due = std::mem::take(&mut self.due);
        if all {
            due = self.tries.iter().filter(|(_, t)| t.is_many()).map(|(key, _)| *key).collect();
        }
        due.sort_unstable();
        due.dedup();
        due
    }
}

impl Tries {
    /// False where the client is none of those that are kept, for want of room.
    fn add(&mut self, o: &Observation, slot: u32, unit: u64, failed: bool, room: bool) -> bool {
        if self.n == 0 {
            self.first = o.ts;
        }
        self.last = self.last.max(o.ts);
        self.n += 1;
        if !failed {
            return true;
        }
        self.fails += 1;
        if let Some(secret) = o.secret {
            self.secrets.insert(secret);
            o.more_secrets.iter().for_each(|secret| self.secrets.insert(*secret));
        }
        let new = !self.units.contains(&unit) && self.units.len() < MOST;
        if new && room {
            self.units.push(unit);
        }
        if !self.slots.contains(&slot) && self.slots.len() < 8 {
            self.slots.push(slot);
        }
        self.evidence.get_or_insert(ExchangeId::of(o));
        room || !new
    }

    fn is_many(&self) -> bool {
        self.units.len() >= TRIERS && self.secrets.count() >= PASSWORDS
    }

    fn is_due(&self) -> bool {
        self.fails >= self.next && self.is_many()
    }
}

impl Engine {
    /// Clients that fail with account after account, few tries each, where hardly anybody else does: rotating addresses behind a
    /// browser that is driven as people drive theirs.
    ///
    /// People who cannot get in try their one account, and some a second: each further one is rarer by far. Where as many clients
    /// try three as try two, and more, they are no people. Sign-ins that failed while nobody else got in either do not count.
    pub(super) fn judge_hoppers(&mut self, at: u32) {
        let Some(slot) = self.slots.get(at as usize) else { return };
        let least = match slot.roles() {
            r if r.any(Roles::LOGIN) => HOPS,
            r if r.any(Roles(Roles::OTP.0 | Roles::PAYMENT.0)) => CODES,
            _ => return,
        };
        let (members, targets, two) = self.hoppers(slot, at, least);
        if members.len() < HOPPERS.max(2 * two + 6) || self.alone_failed(slot, &members) < 0.6 {
            return;
        }
        let mut slice = Slice::of_bare(&members, targets, slot.roles().any(Roles::LOGIN));
        slice.hoppers = Some(1.0);
        let Some(Found { rule, fired, facts }) = self.class_of(slot, &slice) else { return };
        if self.too_weak(&self.view_at(slot), rule, &fired) {
            return;
        }
        let evidence: SmallVec<[ExchangeId; 5]> = members.iter().take(5).map(|m| m.evidence).collect();
        let Some(campaign) = self.campaign_at(at, rule) else { return };
        self.note(campaign, &fired, &facts, &evidence);
        for member in &members {
            self.convict_unit(member.unit, campaign, rule, false, 0, Some(member.evidence));
        }
    }

    /// Clients that fail with three accounts (four codes or cards) and more and get into none, how many that makes, and how many clients try fewer.
    fn hoppers(&self, slot: &Slot, at: u32, least: f64) -> (Vec<Member>, f64, usize) {
        let mut members: BTreeMap<u64, Member> = BTreeMap::new();
        let (mut targets, mut two) = (0.0, 0);
        let parts = slot.order.iter().filter_map(|s| slot.parts.get(s)).filter(|p| p.campaign.is_none());
        for member in parts.flat_map(|p| &p.members).filter(|m| m.fails > 0) {
            if members.contains_key(&member.unit) {
                continue;
            }
            let Some(unit) = self.units.get(member.unit) else { continue };
            if unit.shared || self.is_good(unit) || self.is_office(unit) {
                continue;
            }
            let Some(call) = unit.calls.iter().find(|c| self.resolve(c.slot) == at && c.ok == 0) else {
                continue;
            };
            let accounts = call.targets.count().min(f64::from(call.n));
            // An application whose log-in expired is refused too: of log-ins those count that named an account.
            let fails = if least > HOPS { call.fails() } else { call.denied };
            if accounts >= least && f64::from(fails) >= least {
                targets += accounts;
                members.insert(member.unit, Member { n: call.n, fails, ..*member });
            } else if accounts >= 2.0 && accounts < least {
                two += 1;
            }
        }
        (members.into_values().collect(), targets, two)
    }

    /// Share of these clients whose sign-ins failed in a minute in which others got in: an outage fails for everybody.
    pub(super) fn alone_failed(&self, slot: &Slot, members: &[Member]) -> f64 {
        let own: BTreeSet<u64> = members.iter().map(|m| m.unit).collect();
        let parts = slot.order.iter().filter_map(|s| slot.parts.get(s)).filter(|p| p.campaign.is_none());
        let others = parts.flat_map(|p| &p.members).filter(|m| m.ok > 0 && !own.contains(&m.unit));
        let minutes: BTreeSet<i64> = others.flat_map(|m| [minute(m.first), minute(m.last)]).collect();
        let alone = members
            .iter()
            .filter(|m| minutes.contains(&minute(m.first)) || minutes.contains(&minute(m.last)));
        alone.count() as f64 / members.len().max(1) as f64
    }

    /// Accounts whose passwords are guessed by several clients, through whatever channels.
    pub(super) fn judge_accounts(&mut self) {
        for key in self.doors.due(self.retrospective) {
            self.judge_account(key);
        }
    }

    fn judge_account(&mut self, key: u64) {
        let Some(tries) = self.doors.tries.get(&key).cloned() else { return };
        let Some(at) = tries.slots.first().map(|at| self.resolve(*at)) else { return };
        let Some(slot) = self.slots.get(at as usize) else { return };
        let channels: BTreeSet<u32> = tries.slots.iter().map(|at| self.resolve(*at)).collect();
        let guesses = |u: &&Unit| !u.shared && !self.is_good(u) && (u.tool || !u.trusted && !u.established);
        let guessers: Vec<u64> = tries
            .units
            .iter()
            .filter_map(|k| self.units.get(*k))
            .filter(guesses)
            // Who has a life besides and tries a few is the one whose account it is, locked out by the others.
            .filter(|u| u.tool || u.is_narrow() || u.habits.secrets.count() >= 4.0)
            .filter(|u| {
                u.calls.iter().filter(|c| channels.contains(&self.resolve(c.slot))).all(|c| c.ok == 0)
            })
            .map(|u| u.key)
            .collect();
        if guessers.len() < TRIERS {
            return;
        }
        let slice = Slice {
            n: tries.n,
            ok: tries.n - tries.fails,
            denied: tries.fails,
            clients: tries.units.len(),
            targets: 1.0,
            accounts: 1.0,
            secrets: tries.secrets.count(),
            channels: Some(channels.len()),
            span_s: tries.last.since(tries.first) as f64 / 1e9,
            ..Slice::new(Who::Units(&guessers))
        };
        let Some(Found { rule, fired, facts }) = self.class_of(slot, &slice) else { return };
        if self.too_weak(&self.view_at(slot), rule, &fired) {
            return;
        }
        let Some(campaign) = self.campaign_at(at, rule) else { return };
        self.note(campaign, &fired, &facts, tries.evidence.as_slice());
        if let Some(c) = self.campaigns.get_mut(campaign as usize) {
            for slot in channels {
                if !c.slots.contains(&slot) && c.slots.len() < 32 {
                    c.slots.push(slot);
                }
            }
        }
        for unit in guessers {
            // Whose account it is gets in.
            let owner = self.units.get(unit).is_some_and(|u| {
                let here = u.calls.iter().filter(|c| self.resolve(c.slot) == at);
                let [ok, denied] = here.fold([0, 0], |[ok, no], c| [ok + c.ok, no + c.denied]);
                ok > 2 * denied
            });
            if !owner {
                self.convict_unit(unit, campaign, rule, false, 0, tries.evidence);
            }
        }
    }

    /// The campaign of a class at an endpoint that no fingerprint names.
    pub(super) fn campaign_at(&mut self, at: u32, rule: usize) -> Option<u32> {
        let slot = self.slots.get(at as usize)?;
        let (zone, host) = (slot.zone.clone(), slot.endpoint.host.to_string());
        let sign = Sign {
            rule,
            zone: &zone,
            host: &host,
            shape: 0,
            slot: Some(at),
            agent: "",
            is_known: false,
            by_part: true,
        };
        self.campaign(&sign, false)
    }
}

fn minute(ts: Ts) -> i64 {
    ts.secs().div_euclid(60)
}
