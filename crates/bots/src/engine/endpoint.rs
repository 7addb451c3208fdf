//! Endpoints as the engine knows them, and the parts of their traffic by fingerprint.

use std::collections::BTreeMap;

use sidetap_model::{EndpointRef, Ts};
use smallvec::SmallVec;

use super::forms::Forms;
use super::member::{MEMBERS, Member, Room};
use super::owners::Owners;
use super::past::Past;
use super::shares::Shares;
use super::site::site_of;
use super::sketch::{Distinct, Gaps, Histogram, Map, Set};
use super::unit::ExchangeId;
use super::week::Week;
use crate::hash;
use crate::observation::{Observation, Outcome, Part as Whole, Surface, Traits};
use crate::role::Roles;
use crate::stated::Said;

/// One endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) endpoint: EndpointRef,
    /// Hash of its host.
    pub(crate) host: u64,
    /// Its template has parameters.
    pub(crate) parameters: bool,
    pub(crate) zone: String,
    pub(crate) n: u32,
    pub(crate) pages: u32,
    /// Of each client's first pages: how many there were, and those to which a link led.
    pub(super) early: super::led::Led,
    pub(crate) reads: u32,
    pub(crate) ok: u32,
    pub(crate) keyed: u32,
    /// Answers, and milliseconds that they took.
    pub(crate) answered: u32,
    pub(crate) wait_ms: u64,
    /// Clients of good standing whose calls look like attacks: then it is the endpoint's content.
    pub(crate) false_alarms: Distinct,
    votes: [u32; 32],
    /// How many calls each client, and each session, made.
    pub(crate) by_client: Histogram,
    pub(crate) by_session: Histogram,
    pub(crate) parts: Map<u64, Part>,
    pub(crate) order: Vec<u64>,
    pub(crate) alias: Option<u32>,
    /// Who sends money to whom, or adds him: by keyed hash of the receiver.
    pub(crate) receivers: BTreeMap<u64, Vec<Member>>,
    /// What accounts are made of.
    pub(super) forms: Forms,
    /// When its bare calls, and those who guess one after the other, are looked at next.
    pub(crate) next: u32,
    pub(super) next_hops: u32,
    pub(super) next_again: u32,
    /// Calls that post links, and requests that carry many calls.
    pub(super) linked: u32,
    pub(super) bulk: u32,
    /// What earlier runs learned of it.
    pub(crate) past: Option<Past>,
    /// How busy it usually is, but for what is convicted.
    pub(crate) week: Week,
    /// What the site says that it is for.
    pub(crate) stated: Said,
    /// Calls by the fingerprint of their body, and by that of their cookies.
    pub(crate) bodies: Shares,
    pub(crate) cookies: Shares,
    /// Whose its objects are.
    pub(super) owners: Owners,
}

/// The traffic of one endpoint that has one fingerprint.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    pub(crate) shape: u64,
    pub(crate) n: u32,
    pub(crate) ok: u32,
    pub(crate) denied: u32,
    pub(crate) missing: u32,
    pub(crate) refused: u32,
    pub(crate) limited: u32,
    pub(crate) errors: u32,
    /// Of those denied, the ones that named no account or a locked one; of those refused, the declined.
    pub(crate) unknown: u32,
    pub(crate) locked: u32,
    pub(crate) declined: u32,
    pub(crate) keyed: u32,
    pub(crate) sessions: u32,
    /// Sessions and tokens presented.
    pub(crate) tokens: Distinct,
    /// Between requests, whoever sends them.
    pub(crate) gaps: Gaps,
    last_number: u64,
    /// Steps from one number asked for to the next, and those upward.
    pub(crate) steps: u32,
    pub(crate) up: u32,
    pub(crate) bodies: SmallVec<[(u64, u32); 2]>,
    pub(crate) cookies: SmallVec<[(u64, u32); 2]>,
    pub(crate) mail_digits: u32,
    pub(crate) disposable: u32,
    pub(crate) first: Ts,
    pub(crate) last: Ts,
    pub(crate) members: Vec<Member>,
    /// Members that came within a minute of their first request.
    pub(crate) quick: u32,
    pub(crate) index: Map<u64, u32>,
    pub(crate) targets: Set<u64>,
    pub(crate) numbers: Set<u64>,
    pub(crate) accounts: Set<u64>,
    pub(crate) secrets: Set<u64>,
    pub(crate) agents: Set<u64>,
    pub(crate) evidence: SmallVec<[ExchangeId; 5]>,
    pub(crate) next: u32,
    pub(crate) queued: bool,
    pub(crate) campaign: Option<u32>,
    pub(crate) fresh: Vec<u32>,
}

/// Fingerprints kept apart on one endpoint.
const PARTS: usize = 256;
/// Values kept in one part's sets.
const VALUES: usize = 4096;

impl Slot {
    /// True where those that are not `members` find two thirds of what they look up, or get in half the time where they are let in.
    pub(crate) fn others_find(&self, members: &[Member]) -> bool {
        let sum = |pick: fn(&Member) -> u32| members.iter().map(pick).fold(0u32, u32::saturating_add);
        let fails: u32 = self.parts.values().map(Part::fails).fold(0, u32::saturating_add);
        let ok = self.ok.saturating_sub(sum(|m| m.ok));
        let fails = fails.saturating_sub(sum(|m| m.fails));
        let let_in = self.roles().any(Roles::SENSITIVE);
        ok > 0 && (if let_in { ok } else { ok / 2 }) >= fails
    }

    /// True where a fifth of what it answered well was asked for by others without a session or key: everybody may read it.
    pub(crate) fn is_open(&self) -> bool {
        let free =
            self.parts.values().filter(|p| (p.sessions.max(p.keyed)) * 10 <= p.n && p.members.len() >= 3);
        let free: u32 = free.map(|p| p.ok).fold(0, u32::saturating_add);
        free >= 10 && free.saturating_mul(5) >= self.ok
    }

    pub(crate) fn new(o: &Observation) -> Self {
        Slot::learned(o.endpoint.clone(), o.zone.as_str().into(), [0; 3], &[])
    }

    /// Takes an observation in; true where a part has to be judged.
    pub(crate) fn add(&mut self, o: &Observation, unit: u64, delay_ms: u32, room: &mut Room) -> bool {
        if o.part != Whole::Answer {
            self.n += 1;
            self.pages += u32::from(o.surface == Surface::Page);
            self.keyed += u32::from(o.traits.has(Traits::KEYED));
            self.linked += u32::from(o.traits.has(Traits::LINKS));
            self.bulk += u32::from(o.traits.has(Traits::BULK));
            self.reads +=
                u32::from([Traits::GET, Traits::HEAD, Traits::READS].iter().any(|t| o.traits.has(*t)));
            let mut roles = o.roles.0;
            while roles != 0 {
                if let Some(vote) = self.votes.get_mut(roles.trailing_zeros() as usize) {
                    *vote += 1;
                }
                roles &= roles - 1;
            }
        }
        if o.part != Whole::Answer {
            self.bodies.add(o.prints.body);
            self.cookies.add(o.prints.cookies);
        }
        if o.part != Whole::RequestOnly {
            self.answered += 1;
            self.wait_ms += u64::from(o.wait_ms);
        }
        self.receiver(o, unit, delay_ms, room);
        self.forms.add(o, unit, delay_ms, room);
        if (self.parameters && o.surface != Surface::Asset || o.roles.any(Roles::ID_LOOKUP))
            && self.owners.add(o, unit, room.has_objects())
        {
            room.objects += 1;
        }
        self.ok += u32::from(o.outcome == Outcome::Success);
        let shape = o.prints.shape;
        if !self.parts.contains_key(&shape) {
            if self.parts.len() >= PARTS {
                self.give_up_smallest();
                room.refused += 1;
            }
            self.order.push(shape);
        }
        let part = self.parts.entry(shape).or_insert_with(|| Part::new(o));
        if o.part != Whole::Answer && part.campaign.is_none() {
            self.week.add(o.ts);
        }
        part.add(o, unit, delay_ms, room)
    }

    fn receiver(&mut self, o: &Observation, unit: u64, delay_ms: u32, room: &mut Room) {
        // Where nobody is named, or by a field that says nothing, all would seem to give to one.
        let named = o.traits.has(Traits::BODY) && o.traits.has(Traits::NAMES_ONE);
        let acts = o.part != Whole::Answer && o.roles.any(Roles::TRANSFER) && named;
        let Some(target) = o.target.filter(|_| acts) else { return };
        if self.receivers.len() >= VALUES && !self.receivers.contains_key(&target.hash) {
            return;
        }
        let members = self.receivers.entry(target.hash).or_default();
        if members.len() < 256 && !members.iter().any(|m| m.unit == unit) && room.take() {
            let (first, last, evidence) = (o.ts, o.ts, ExchangeId::of(o));
            members.push(Member { unit, n: 1, ok: 0, fails: 0, first, last, delay_ms, evidence });
        }
    }

    /// Objects whose openers are followed.
    pub(crate) fn objects(&self) -> usize {
        self.owners.len()
    }

    /// Members of all its parts, and of those who send to one receiver or make accounts of one form.
    pub(crate) fn members(&self) -> usize {
        let beside = self.receivers.values().map(Vec::len).sum::<usize>() + self.forms.members();
        self.parts.values().map(|part| part.members.len()).sum::<usize>() + beside
    }

    /// Values in the sets of all its parts.
    pub(crate) fn values(&self) -> usize {
        let sets = |p: &Part| [&p.targets, &p.numbers, &p.accounts, &p.secrets, &p.agents].map(Set::len);
        self.parts.values().flat_map(sets).sum()
    }

    fn give_up_smallest(&mut self) {
        let parts = &self.parts;
        let idle =
            |shape: &u64| parts.get(shape).map_or((0, Ts::default(), *shape), |p| (p.n, p.last, *shape));
        let keep = |s: &&u64| parts.get(*s).is_none_or(|p| p.campaign.is_none());
        let Some(shape) = self.order.iter().filter(keep).min_by_key(|s| idle(s)).copied() else { return };
        self.parts.remove(&shape);
        self.order.retain(|s| *s != shape);
    }

    /// What the endpoint is for: by the words of its path, and by what a fifth of its calls show.
    pub(crate) fn roles(&self) -> Roles {
        let mut roles = Roles::NONE;
        for (bit, votes) in self.votes.iter().enumerate() {
            if *votes > 0 && votes.saturating_mul(5) >= self.n {
                roles.insert(Roles(1 << bit));
            }
        }
        if self.parameters && self.reads * 2 >= self.n {
            roles.insert(Roles::ID_LOOKUP);
        }
        self.stated.roles(roles)
    }

    /// The function that it is a channel of: the one that the site names, else what its site does in one place for the web, for
    /// apps and for callers of its API; 0 where it is for nothing that is abused.
    pub(crate) fn function(&self) -> u64 {
        let role = self.roles().first_of(Roles::SENSITIVE);
        match (self.stated.function, role) {
            (0, None) => 0,
            (0, Some(role)) => {
                hash::words(&[hash::of(site_of(&self.endpoint.host).as_bytes()), u64::from(role.0)])
            }
            (name, _) => name,
        }
    }

    /// A slot as an earlier run left it.
    pub(crate) fn learned(endpoint: EndpointRef, zone: String, counts: [u32; 3], seen: &[u32]) -> Self {
        let mut votes = [0; 32];
        votes.iter_mut().zip(seen).for_each(|(to, from)| *to = *from);
        let [n, pages, reads] = counts;
        Slot {
            host: hash::of(endpoint.host.as_bytes()),
            parameters: endpoint.template.contains('{'),
            endpoint,
            zone,
            n,
            pages,
            early: super::led::Led::default(),
            reads,
            ok: 0,
            keyed: 0,
            answered: 0,
            wait_ms: 0,
            false_alarms: Distinct::default(),
            votes,
            by_client: Histogram::default(),
            by_session: Histogram::default(),
            parts: Map::default(),
            order: Vec::new(),
            alias: None,
            receivers: BTreeMap::new(),
            forms: Forms::default(),
            next: 24,
            next_hops: 24,
            next_again: 24,
            linked: 0,
            bulk: 0,
            past: None,
            week: Week::default(),
            stated: Said::default(),
            bodies: Shares::default(),
            cookies: Shares::default(),
            owners: Owners::default(),
        }
    }

    /// Gives the endpoint another name.
    pub(crate) fn name(&mut self, endpoint: EndpointRef) {
        self.host = hash::of(endpoint.host.as_bytes());
        self.parameters = endpoint.template.contains('{');
        self.endpoint = endpoint;
    }

    pub(crate) fn votes(&self) -> &[u32] {
        &self.votes
    }

    /// A slot of the same name that has seen nothing.
    pub(crate) fn clone_empty(&self) -> Self {
        Slot { stated: self.stated, ..Slot::learned(self.endpoint.clone(), self.zone.clone(), [0; 3], &[]) }
    }

    /// Joins another slot into this one.
    pub(crate) fn merge(&mut self, other: Slot) {
        self.n += other.n;
        self.pages += other.pages;
        self.early.merge(other.early);
        self.forms.merge(other.forms);
        self.reads += other.reads;
        self.ok += other.ok;
        self.keyed += other.keyed;
        self.linked += other.linked;
        self.bulk += other.bulk;
        self.answered += other.answered;
        self.wait_ms += other.wait_ms;
        for (mine, theirs) in self.votes.iter_mut().zip(other.votes) {
            *mine += theirs;
        }
        self.false_alarms.merge(&other.false_alarms);
        self.past = self.past.take().or(other.past);
        self.week.merge(&other.week);
        for (receiver, members) in other.receivers {
            self.receivers.entry(receiver).or_default().extend(members);
        }
        self.bodies.merge(other.bodies);
        self.cookies.merge(other.cookies);
        self.owners.merge(other.owners);
        self.by_client.merge(&other.by_client);
        self.by_session.merge(&other.by_session);
        let mut parts = other.parts;
        for shape in other.order {
            let Some(part) = parts.remove(&shape) else { continue };
            let room = self.parts.len() < PARTS;
            match self.parts.get_mut(&shape) {
                Some(mine) => mine.merge(part),
                None if room => {
                    self.order.push(shape);
                    self.parts.insert(shape, part);
                }
                None => {}
            }
        }
    }
}

fn count(list: &mut SmallVec<[(u64, u32); 2]>, print: u64) {
    if print != 0 {
        count_by(list, print, 1);
    }
}

/// Counts a fingerprint; those above eight count with the last.
fn count_by(list: &mut SmallVec<[(u64, u32); 2]>, print: u64, n: u32) {
    if let Some((_, known)) = list.iter_mut().find(|(p, _)| *p == print) {
        *known += n;
    } else if list.len() < 8 {
        list.push((print, n));
    } else if let Some((_, last)) = list.last_mut() {
        *last += n;
    }
}

impl Part {
    fn new(o: &Observation) -> Self {
        Part { shape: o.prints.shape, first: o.ts, last: o.ts, next: 6, ..Part::default() }
    }

    fn add(&mut self, o: &Observation, unit: u64, delay_ms: u32, room: &mut Room) -> bool {
        let request = o.part != Whole::Answer;
        if request {
            if self.n > 0 {
                self.gaps.add(o.ts.since(self.last));
            }
            self.n += 1;
            self.last = self.last.max(o.ts);
            count(&mut self.bodies, o.prints.body);
            count(&mut self.cookies, o.prints.cookies);
            if let Some(number) = o.target.and_then(|t| t.number) {
                self.steps += u32::from(self.last_number != 0 && number != self.last_number);
                self.up += u32::from(self.last_number != 0 && number > self.last_number);
                self.last_number = number;
            }
            self.keyed += u32::from(o.traits.has(Traits::KEYED));
            self.sessions += u32::from(o.traits.has(Traits::SESSION));
            o.sessions.iter().filter(|t| t.login).for_each(|t| self.tokens.insert(t.hash));
            self.values(o, room);
        }
        match o.outcome.basic() {
            Outcome::Success => self.ok += 1,
            Outcome::Denied => self.denied += 1,
            Outcome::NotFound => self.missing += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Limited => self.limited += 1,
            Outcome::Error => self.errors += 1,
            _ => {}
        }
        match o.outcome {
            Outcome::UnknownUser => self.unknown += 1,
            Outcome::NotFound if o.roles.any(Roles::RESET) => self.unknown += 1,
            Outcome::Locked => self.locked += 1,
            Outcome::Declined => self.declined += 1,
            _ => {}
        }
        if self.evidence.len() < 5 && (o.outcome.is_failure() || self.n <= 2) && request {
            self.evidence.push(ExchangeId::of(o));
        }
        self.member(o, unit, delay_ms, room);
        let due = self.n >= self.next || (self.campaign.is_some() && !self.fresh.is_empty());
        let queue = due && !self.queued;
        self.queued |= queue;
        queue
    }

    fn values(&mut self, o: &Observation, room: &mut Room) {
        for target in o.target.iter().chain(&o.more_targets) {
            room.keep(&mut self.targets, Some(target.hash));
            room.keep(&mut self.numbers, target.number);
        }
        for secret in o.secret.iter().chain(&o.more_secrets) {
            room.keep(&mut self.secrets, Some(*secret));
        }
        room.keep(&mut self.agents, Some(o.agent.hash));
        if room.keep(&mut self.accounts, o.account) {
            self.mail_digits += u32::from(o.traits.has(Traits::MAIL_DIGITS));
            self.disposable += u32::from(o.traits.has(Traits::DISPOSABLE_MAIL));
        }
    }

    fn member(&mut self, o: &Observation, unit: u64, delay_ms: u32, room: &mut Room) {
        let at = match self.index.get(&unit) {
            Some(at) => *at,
            None if self.members.len() >= room.of_part() => {
                room.refused += 1;
                return;
            }
            None => {
                room.members += 1;
                let at = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
                self.index.insert(unit, at);
                let evidence = ExchangeId::of(o);
                self.members.push(Member {
                    unit,
                    n: 0,
                    ok: 0,
                    fails: 0,
                    first: o.ts,
                    last: o.ts,
                    delay_ms,
                    evidence,
                });
                if self.campaign.is_some() {
                    self.fresh.push(at);
                }
                at
            }
        };
        if let Some(member) = self.members.get_mut(at as usize) {
            let known = member.is_quick();
            member.n += u32::from(o.part != Whole::Answer);
            self.quick += u32::from(!known && member.is_quick());
            member.ok += u32::from(o.outcome == Outcome::Success);
            member.fails += u32::from(o.outcome.is_failure());
            member.last = member.last.max(o.ts);
        }
    }

    pub(crate) const fn fails(&self) -> u32 {
        self.denied + self.missing + self.refused
    }

    fn merge(&mut self, other: Part) {
        self.n += other.n;
        self.ok += other.ok;
        self.denied += other.denied;
        self.missing += other.missing;
        self.refused += other.refused;
        self.limited += other.limited;
        self.errors += other.errors;
        self.unknown += other.unknown;
        self.locked += other.locked;
        self.declined += other.declined;
        self.steps += other.steps;
        self.up += other.up;
        for (mine, theirs) in [(&mut self.bodies, &other.bodies), (&mut self.cookies, &other.cookies)] {
            for (print, n) in theirs {
                count_by(mine, *print, *n);
            }
        }
        self.keyed += other.keyed;
        self.sessions += other.sessions;
        self.tokens.merge(&other.tokens);
        self.mail_digits += other.mail_digits;
        self.disposable += other.disposable;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        for member in other.members {
            let room = self.members.len() < MEMBERS;
            let known = self.index.get(&member.unit).copied();
            match known.and_then(|at| self.members.get_mut(at as usize)) {
                Some(mine) => {
                    mine.n += member.n;
                    mine.ok += member.ok;
                    mine.fails += member.fails;
                    mine.first = mine.first.min(member.first);
                    mine.last = mine.last.max(member.last);
                    mine.delay_ms = mine.delay_ms.min(member.delay_ms);
                }
                None if room => {
                    let at = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
                    self.index.insert(member.unit, at);
                    self.members.push(member);
                    if self.campaign.is_some() {
                        self.fresh.push(at);
                    }
                }
                None => {}
            }
        }
        self.quick = self.members.iter().map(|m| u32::from(m.is_quick())).sum();
        let join = |mine: &mut Set<u64>, theirs: Set<u64>| {
            let mut theirs: Vec<u64> = theirs.into_iter().collect();
            theirs.sort_unstable();
            for value in theirs {
                if mine.len() < VALUES {
                    mine.insert(value);
                }
            }
        };
        join(&mut self.targets, other.targets);
        join(&mut self.numbers, other.numbers);
        join(&mut self.accounts, other.accounts);
        join(&mut self.secrets, other.secrets);
        join(&mut self.agents, other.agents);
        for id in other.evidence {
            if self.evidence.len() < 5 {
                self.evidence.push(id);
            }
        }
        self.campaign = self.campaign.or(other.campaign);
        self.next = self.next.min(self.n);
    }
}

/// A template whose last segment is made of words and a number, with the number left open: `/product/lamp-{}.html`.
///
/// Nothing for one that is known to have a parameter there, for words alone, and for short names such as `v2`.
pub(super) fn family(template: &str) -> Option<String> {
    let (above, last) = template.rsplit_once('/')?;
    if !crate::extract::path::is_numbered(last) {
        return None;
    }
    let mut open = String::with_capacity(template.len());
    open.push_str(above);
    open.push('/');
    let mut number = false;
    for c in last.chars() {
        match c.is_ascii_digit() {
            true if number => {}
            true => open.push_str("{}"),
            false => open.push(c),
        }
        number = c.is_ascii_digit();
    }
    Some(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_of_a_site() {
        assert_eq!(site_of("www.shop.example"), "shop.example");
        assert_eq!(site_of("shop.example:8443"), "shop.example");
        assert_eq!(site_of("api.eu.shop.co.uk"), "shop.co.uk");
        assert_eq!(site_of("shop.de"), "shop.de");
        assert_eq!(site_of("10.0.0.7:80"), "10.0.0.7");
        assert_eq!(site_of("localhost"), "localhost");
    }
}
