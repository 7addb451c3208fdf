//! Sign-ins that no fingerprint tells from those of people: clients that each try account after account, and accounts that many
//! clients try, whatever the channel.

use std::collections::BTreeSet;

use sidetap_model::Ts;
use smallvec::SmallVec;

use super::Engine;
use super::endpoint::{self, Slot};
use super::join::Sign;
use super::member::Member;
use super::part::Found;
use super::sketch::{Distinct, Map};
use super::slice::{Slice, Who};
use super::unit::{Call, ExchangeId, Unit};
use crate::hash;
use crate::indicators::Rule;
use crate::observation::{Observation, Outcome, Part};
use crate::role::Roles;

/// Accounts that one client fails with from which on it hops: people have one, some have two.
const HOPS: f64 = 3.0;
/// The same for one-time codes, of which people mistype some more, and for cards.
const CODES: f64 = 4.0;
/// The same for what is looked up, of which people mistype most.
const LOOKUPS: f64 = 5.0;
/// Hopping clients from which on they are judged together.
const HOPPERS: usize = 8;
/// What is compared of what each client tried, and of all clients.
const WHICH_EACH: usize = 64;
const WHICH: usize = 65_536;
/// Failures below which an endpoint is not looked at for what is guessed there.
const GUESSED: u32 = 40;
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

/// What clients try one after the other at an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Tried {
    /// Accounts to sign in with.
    Accounts,
    /// One-time codes.
    Passcodes,
    /// Cards to pay with.
    Cards,
    /// Gift cards and coupons.
    Codes,
    /// Accounts whose passwords are to be set anew, whether or not the answers tell which there are.
    Recoveries,
    /// Things by their numbers or names.
    Lookups,
}

impl Tried {
    fn at(slot: &Slot) -> Option<Tried> {
        Some(match slot.roles() {
            r if r.any(Roles::LOGIN) => Tried::Accounts,
            r if r.any(Roles::OTP) => Tried::Passcodes,
            r if r.any(Roles::PAYMENT) => Tried::Cards,
            r if r.any(Roles(Roles::GIFT_CARD.0 | Roles::COUPON.0)) => Tried::Codes,
            r if r.any(Roles::RESET) => Tried::Recoveries,
            r if r.any(Roles(Roles::SENSITIVE.0 | Roles::TELEMETRY.0 | Roles::POSTING.0 | Roles::VOTE.0)) => {
                return None;
            }
            r if (r.any(Roles::ID_LOOKUP) || slot.reads * 2 <= slot.n)
                && slot.pages * 2 <= slot.n
                && slot.n.saturating_sub(slot.ok) >= GUESSED =>
            {
                Tried::Lookups
            }
            _ => return None,
        })
    }

    const fn least(self) -> f64 {
        match self {
            Tried::Accounts | Tried::Recoveries => HOPS,
            Tried::Passcodes | Tried::Cards | Tried::Codes => CODES,
            Tried::Lookups => LOOKUPS,
        }
    }

    /// Few clients sign in: they are looked at whenever some did.
    const fn is_cheap(self) -> bool {
        matches!(self, Tried::Accounts | Tried::Passcodes | Tried::Cards)
    }

    /// True where nearly all of it failed; who guesses often enough finds one.
    fn is_to_no_avail(self, call: &Call) -> bool {
        match self {
            Tried::Accounts => call.ok == 0,
            Tried::Passcodes | Tried::Cards | Tried::Codes | Tried::Lookups => {
                call.ok.saturating_mul(5) <= self.fails(call)
            }
            Tried::Recoveries => true,
        }
    }

    /// What failed of it.
    fn fails(self, call: &Call) -> u32 {
        match self {
            // An application whose log-in expired is refused too: of log-ins those count that named an account.
            Tried::Accounts => call.denied,
            // What one may not see is there; what is refused is not where most is missing.
            Tried::Lookups if call.missing >= call.refused => call.missing + call.refused,
            Tried::Lookups => call.missing,
            _ => call.fails(),
        }
    }

    /// True of what lists go round of.
    const fn is_of_lists(self) -> bool {
        matches!(self, Tried::Codes | Tried::Lookups)
    }

    /// True of who found a card that is taken after others: beside those who found none he is suspicious.
    fn is_lucky(self, call: &Call) -> bool {
        self == Tried::Cards && call.fails() >= 3 && call.ok.saturating_mul(2) <= call.fails()
    }
}

/// A client that tries more than people do.
#[derive(Debug)]
struct Hopper {
    member: Member,
    targets: f64,
    /// What it tried, as far as that is known one by one.
    which: SmallVec<[u32; 8]>,
    signed: bool,
    /// Most of what it sends has an API key.
    keyed: bool,
    /// It tried twice as many.
    deep: bool,
}

#[derive(Debug, Default)]
struct Hoppers {
    members: Vec<Hopper>,
    /// Those that found something at last: they prove nothing.
    lucky: Vec<Hopper>,
    /// Those that try what goes round: neither these nor those to hold them against.
    aside: Vec<Member>,
    /// Clients that try more than one, and fewer than these.
    fewer: usize,
}

/// Those of them that are no people.
#[derive(Debug, Default)]
struct Crowd {
    members: Vec<Member>,
    /// Those that found a card at last, which some person may who has bad luck meanwhile.
    lucky: Vec<Member>,
    targets: f64,
    /// Shares that are signed in, and that have a key.
    signed: f64,
    keyed: f64,
}

impl Hoppers {
    /// Leaves out those most of whose things a quarter of all tried: a list that goes round, coupons that an extension knows.
    fn leave_lists_out(&mut self) {
        let mut all: Vec<u32> = Vec::new();
        for hopper in &self.members {
            if all.len() + hopper.which.len() <= WHICH {
                all.extend(&hopper.which);
            }
        }
        all.sort_unstable();
        let common = (self.members.len() / 4).max(2);
        let is_common = |value: &u32| {
            let from = all.partition_point(|v| v < value);
            all.get(from + common).is_some_and(|v| v == value)
        };
        let listed = |h: &Hopper| h.which.iter().filter(|v| is_common(v)).count() * 2 > h.which.len();
        self.aside.extend(self.members.iter().filter(|h| listed(h)).map(|h| h.member));
        self.members.retain(|h| !listed(h));
    }

    /// Where as many try so much as try less, and more; or far more try twice as much as try just so much.
    fn stand_apart(&self) -> Option<Crowd> {
        let all = self.members.len();
        let deep = self.members.iter().filter(|m| m.deep).count();
        if all >= HOPPERS.max(2 * self.fewer + 6) {
            let lucky = self.lucky.iter().take(all).map(|h| h.member).collect();
            Some(Crowd { lucky, ..Crowd::of(self.members.iter()) })
        } else if deep >= HOPPERS.max(3 * (all - deep) + 4).max(self.fewer + 6) {
            Some(Crowd::of(self.members.iter().filter(|m| m.deep)))
        } else {
            None
        }
    }
}

impl Crowd {
    fn of<'a>(all: impl Iterator<Item = &'a Hopper>) -> Self {
        let (mut crowd, mut signed, mut keyed) = (Crowd::default(), 0u32, 0u32);
        for hopper in all {
            crowd.members.push(hopper.member);
            crowd.targets += hopper.targets;
            signed += u32::from(hopper.signed);
            keyed += u32::from(hopper.keyed);
        }
        crowd.members.sort_unstable_by_key(|m| m.unit);
        let n = crowd.members.len().max(1) as f64;
        (crowd.signed, crowd.keyed) = (f64::from(signed) / n, f64::from(keyed) / n);
        crowd
    }
}

impl Engine {
    /// Clients that fail with account after account, few tries each, where hardly anybody else does: rotating addresses behind a
    /// browser that is driven as people drive theirs. The same for codes, cards, things that are looked up, and accounts that are
    /// to be recovered.
    ///
    /// People who cannot get in try their one account, and some a second: each further one is rarer by far. Where as many clients
    /// try three as try two, and more, they are no people. Sign-ins that failed while nobody else got in either do not count.
    pub(super) fn judge_hoppers(&mut self, at: u32) {
        let Some(slot) = self.slots.get_mut(at as usize) else { return };
        let Some(tried) = Tried::at(slot) else { return };
        if !tried.is_cheap() && !self.retrospective {
            if slot.n < slot.next_hops {
                return;
            }
            slot.next_hops = slot.n.saturating_add((slot.n / 6).max(12));
        }
        let Some(slot) = self.slots.get(at as usize) else { return };
        let mut found = self.hoppers(slot, at, tried);
        if tried.is_of_lists() {
            found.leave_lists_out();
        }
        let Some(Crowd { members, lucky, targets, signed, keyed }) = found.stand_apart() else { return };
        let beside: Vec<Member> = members.iter().chain(&found.aside).copied().collect();
        if !self.others_succeed(slot, &beside, tried) {
            return;
        }
        let mut slice = Slice::of_bare(&members, targets, slot.roles().any(Roles::LOGIN));
        slice.hoppers = Some(1.0);
        (slice.sessions, slice.keyed) = (signed, keyed);
        if tried == Tried::Lookups {
            slice = slice.that_found_nothing();
        }
        if tried == Tried::Recoveries {
            slice.accounts = targets;
        }
        let Some(Found { mut rule, fired, facts }) = self.class_of(slot, &slice) else { return };
        if tried == Tried::Lookups {
            // Rules for lookups by one fingerprint ask for less.
            let own = |r: &Rule| self.names(r, "guessed-from-many") && r.holds(&fired);
            let Some(at) = self.pack.rules().iter().position(own) else { return };
            rule = at;
        }
        if self.too_weak(&self.view_at(slot), rule, &fired) {
            return;
        }
        let evidence: SmallVec<[ExchangeId; 5]> = members.iter().take(5).map(|m| m.evidence).collect();
        let Some(campaign) = self.campaign_at(at, rule) else { return };
        self.note(campaign, &fired, &facts, &evidence);
        for (member, suspicious) in members.iter().map(|m| (m, false)).chain(lucky.iter().map(|m| (m, true)))
        {
            self.convict_unit(member.unit, campaign, rule, suspicious, 0, Some(member.evidence));
        }
    }

    /// Clients that try more than people do, and how many try some.
    fn hoppers(&self, slot: &Slot, at: u32, tried: Tried) -> Hoppers {
        let mut seen = BTreeSet::new();
        let mut found = Hoppers::default();
        let fails = |m: &&Member| m.fails > 0 || tried == Tried::Recoveries && m.n > 1;
        let free = |p: &&endpoint::Part| p.campaign.is_none() || tried != Tried::Accounts;
        let parts = slot.order.iter().filter_map(|s| slot.parts.get(s)).filter(free);
        for member in parts.flat_map(|p| &p.members).filter(fails) {
            if seen.contains(&member.unit) {
                continue;
            }
            let Some(unit) = self.units.get(member.unit) else { continue };
            if unit.shared || self.is_good(unit) || self.is_office(unit) {
                continue;
            }
            let Some(call) = unit.calls.iter().find(|c| self.resolve(c.slot) == at) else { continue };
            let lucky = !tried.is_to_no_avail(call);
            let acts = unit.habits.acts().logged_in;
            if lucky && !tried.is_lucky(call) || tried == Tried::Recoveries && acts > 0 {
                continue;
            }
            if tried == Tried::Codes && self.shops(&[unit.key], call) {
                seen.insert(member.unit);
                found.aside.push(Member { n: call.n, ok: call.ok, fails: call.fails(), ..*member });
                continue;
            }
            let targets = call.targets.count().min(f64::from(call.n));
            let fails = tried.fails(call);
            let least = tried.least();
            if targets >= least && (f64::from(fails) >= least || lucky || tried == Tried::Recoveries) {
                seen.insert(member.unit);
                let which = call.targets.all().filter(|_| tried.is_of_lists()).unwrap_or_default();
                // A session that it was given, and with which it signed in nowhere, is a visitor's.
                let given = unit.set_cookies > 0 && acts == 0;
                let hopper = Hopper {
                    member: Member { n: call.n, ok: call.ok, fails, ..*member },
                    targets,
                    which: which.iter().take(WHICH_EACH).copied().collect(),
                    signed: !given && unit.sessions.iter().any(|t| t.login),
                    keyed: unit.keyed.saturating_mul(2) >= unit.n,
                    deep: targets >= 2.0 * least,
                };
                if lucky { &mut found.lucky } else { &mut found.members }.push(hopper);
            } else if targets >= 2.0 && targets < least {
                found.fewer += 1;
            }
        }
        found
    }

    /// True where the endpoint works for others.
    fn others_succeed(&self, slot: &Slot, members: &[Member], tried: Tried) -> bool {
        match tried {
            Tried::Accounts | Tried::Passcodes | Tried::Cards => self.alone_failed(slot, members) >= 0.6,
            Tried::Codes | Tried::Lookups => slot.others_find(members),
            // Where all that was named is somebody's, or nobody is told, they may be clerks.
            Tried::Recoveries => {
                let sum = |pick: fn(&Member) -> u32| members.iter().map(pick).fold(0u32, u32::saturating_add);
                sum(|m| m.fails).saturating_mul(10) >= sum(|m| m.n)
            }
        }
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
