//! The engine: takes observations epoch by epoch, judges clients, sessions and parts of endpoints' traffic, and keeps the
//! campaigns that come of it.
//!
//! Observations come sorted by time, flow and position, so that the state after an epoch does not depend on how they were
//! made. What is judged is judged at the end of an epoch, against all that was seen until then.

mod address;
mod again;
mod anomaly;
mod call;
mod campaign;
mod cast;
mod changes;
mod conduct;
mod contrast;
mod convict;
mod crowd;
mod doors;
mod endpoint;
mod excuse;
mod forget;
mod forms;
mod gates;
mod habits;
mod join;
mod judge;
mod led;
mod member;
mod merged;
mod origins;
mod owners;
mod part;
mod past;
mod pool;
mod population;
mod rhythm;
mod rows;
mod sessions;
mod shared;
mod shares;
mod signature;
mod site;
mod sketch;
mod slice;
mod standing;
mod state;
mod story;
mod tally;
mod unit;
mod units;
mod week;

use std::borrow::BorrowMut;
use std::collections::BTreeMap;
use std::sync::Arc;

use sidetap_intel::{KeyDirectories, Known, Table};
use sidetap_model::{EndpointId, EndpointRef, HashKey, Ts};

use self::anomaly::Anomaly;
use self::campaign::{Campaign, Convictions};
use self::doors::Doors;
use self::endpoint::Slot;
use self::population::Population;
use self::slice::Slice;
use self::standing::Knowledge;
use self::unit::{Place, Unit};
use self::units::Units;
use crate::agent::{AgentKind, Agents};
use crate::indicators::{Pack, Scope};
use crate::observation::{Observation, Part, Surface, Traits};
use crate::stated::Stated;
use crate::without::Without;

pub use self::forget::Name;
pub(crate) use self::sketch::Map;
pub use self::state::StateError;

/// Requests that wait for a sign that the server had them, at most.
const UNHEARD: usize = 16_384;
/// Memberships in parts of endpoints for which there is room, for each client.
const MEMBERSHIPS: usize = 4;

/// How much the engine may keep, and with which packs it judges.
#[derive(Clone, Debug)]
pub struct Config {
    /// Indicators and classes.
    pub pack: Arc<Pack>,
    /// Known agents.
    pub agents: Arc<Agents>,
    /// What is known of addresses.
    pub table: Arc<Table>,
    /// Parties that the site knows.
    pub known: Arc<Known>,
    /// Keys of agents that sign their requests.
    pub keys: Arc<KeyDirectories>,
    /// Clients kept; sessions are as many.
    pub max_clients: usize,
    /// Endpoints kept.
    pub max_endpoints: usize,
    /// Campaigns kept.
    pub max_campaigns: usize,
    /// Seconds that a verdict's response should hold.
    pub ttl_s: u64,
    /// What the site says of its endpoints.
    pub stated: Arc<Stated>,
    /// What is left out, to see what it is worth.
    pub without: Without,
}

impl Config {
    /// The defaults around the packs that come with Sidetap.
    pub fn builtin() -> Result<Self, crate::PackError> {
        Ok(Config::new(Arc::new(Pack::builtin()?), Arc::new(Agents::builtin()?)))
    }

    /// The known agents, for extractors.
    pub fn agents(&self) -> Arc<Agents> {
        Arc::clone(&self.agents)
    }

    /// Makes the tables fit into so many bytes, about.
    pub fn set_memory(&mut self, bytes: u64) {
        let clients = usize::try_from(bytes / pool::OF_CLIENT as u64).unwrap_or(usize::MAX);
        self.max_clients = clients.clamp(4096, 1 << 21);
        self.max_endpoints = (clients / 16).clamp(1024, 16_384);
    }

    /// The defaults around the given packs.
    pub fn new(pack: Arc<Pack>, agents: Arc<Agents>) -> Self {
        Config {
            pack,
            agents,
            table: Arc::new(Table::builtin().clone()),
            known: Arc::default(),
            keys: Arc::default(),
            max_clients: 262_144,
            max_endpoints: 16_384,
            max_campaigns: 4096,
            ttl_s: 3600,
            stated: Arc::default(),
            without: Without::default(),
        }
    }
}

/// Judges the population of clients.
#[derive(Debug)]
pub struct Engine {
    pack: Arc<Pack>,
    agents: Arc<Agents>,
    config: Config,
    units: Units,
    slots: Vec<Slot>,
    index: Map<EndpointId, u32>,
    /// Channels of each function, as of some epochs ago, and how many endpoints were known then.
    functions: Map<u64, Vec<u32>>,
    sorted: (usize, u32),
    population: Population,
    anomaly: Anomaly,
    campaigns: Vec<Campaign>,
    convictions: Convictions,
    /// Failed sign-ins by account.
    doors: Doors,
    /// Where sessions are given.
    gates: gates::Gates,
    due_units: Vec<u64>,
    due_parts: Vec<(u32, u64)>,
    due_sessions: Vec<u64>,
    due_slots: Vec<u32>,
    host_sessions: Map<u64, sketch::Distinct>,
    /// Addresses that present a key.
    keys: Map<u64, sketch::Distinct>,
    start: Ts,
    /// The site's quietest hours of the day, a bit each.
    quiet: Option<u32>,
    evicted_endpoints: u64,
    room: member::Room,
    /// Requests told before anything said that the server had them.
    unheard: sketch::Set<unit::ExchangeId>,
    evicted_unheard: u64,
    now: Ts,
    retrospective: bool,
    told: changes::Telling,
}

impl Engine {
    /// An engine that knows nothing yet.
    pub fn new(mut config: Config, key: HashKey) -> Self {
        if !config.without.is_nothing() {
            config.pack = Arc::new(config.pack.lacking(config.without));
        }
        if config.without.intelligence {
            config.table = Arc::default();
            config.known = Arc::default();
            config.keys = Arc::default();
        }
        Engine {
            pack: Arc::clone(&config.pack),
            agents: Arc::clone(&config.agents),
            units: Units::new(&key, config.max_clients),
            room: member::Room::new(config.max_clients.saturating_mul(MEMBERSHIPS)),
            doors: Doors::new(config.max_clients),
            config,
            slots: Vec::new(),
            index: Map::default(),
            functions: Map::default(),
            sorted: (0, 0),
            population: Population::default(),
            anomaly: Anomaly::default(),
            campaigns: Vec::new(),
            convictions: Convictions::default(),
            gates: gates::Gates::default(),
            due_units: Vec::new(),
            due_parts: Vec::new(),
            due_sessions: Vec::new(),
            due_slots: Vec::new(),
            host_sessions: Map::default(),
            keys: Map::default(),
            start: Ts(i64::MAX),
            quiet: None,
            evicted_endpoints: 0,
            unheard: sketch::Set::default(),
            evicted_unheard: 0,
            now: Ts::default(),
            retrospective: false,
            told: changes::Telling::default(),
        }
    }

    /// Takes the observations of an epoch, sorted by time, flow and position, and judges what they changed. `renames` are
    /// endpoints that got another name since the last epoch; observations may carry old names for a while.
    pub fn epoch<O: BorrowMut<Observation>>(
        &mut self,
        now: Ts,
        observations: impl IntoIterator<Item = O>,
        renames: &[(EndpointId, EndpointRef)],
    ) {
        self.now = self.now.max(now);
        self.rename(renames);
        for mut observation in observations {
            let observation = observation.borrow_mut();
            self.public_key(observation);
            self.gate(observation);
            self.take(observation);
        }
        self.room.count(&self.slots);
        self.convictions.forget(&self.units, self.config.max_clients);
        self.quiet = self.population.quiet();
        self.sort_functions(false);
        self.judge();
    }

    /// Finds which endpoints are channels of one function: where endpoints are new, and now and then as roles are learned.
    fn sort_functions(&mut self, now: bool) {
        let (known, epochs) = self.sorted;
        self.sorted.1 = epochs.saturating_add(1);
        if !now && known == self.slots.len() && epochs < 16 {
            return;
        }
        self.sorted = (self.slots.len(), 0);
        self.functions.clear();
        for (slot, at) in self.slots.iter().zip(0u32..).filter(|(s, _)| s.alias.is_none()) {
            let function = slot.function();
            if function != 0 {
                self.functions.entry(function).or_default().push(at);
            }
        }
    }

    /// The second judgement: everything once more, with all that is known now.
    pub fn finish(&mut self, renames: &[(EndpointId, EndpointRef)]) {
        self.rename(renames);
        self.retrospective = true;
        self.sort_functions(true);
        self.judge_all();
        self.retrospective = false;
    }

    /// Entries that tables gave up for their caps.
    pub fn evictions(&self) -> BTreeMap<String, u64> {
        BTreeMap::from([
            ("bots-accounts".to_owned(), self.doors.evicted),
            ("bots-clients".to_owned(), self.units.evicted_clients),
            ("bots-convictions".to_owned(), self.convictions.evicted),
            ("bots-endpoints".to_owned(), self.evicted_endpoints),
            ("bots-gifts".to_owned(), self.gates.evicted),
            ("bots-parts".to_owned(), self.room.refused),
            ("bots-part-values".to_owned(), self.room.values_refused),
            ("bots-sessions".to_owned(), self.units.evicted_sessions),
            ("bots-unheard".to_owned(), self.evicted_unheard),
            ("bots-values".to_owned(), self.units.pool.refused),
        ])
    }

    /// Clients known.
    pub fn clients(&self) -> usize {
        self.units.len()
    }

    /// How many clients, parts of endpoints' traffic and campaigns each indicator fires for.
    pub fn fired(&self) -> BTreeMap<&str, u64> {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        let mut add = |fired: &[usize]| {
            for indicator in fired.iter().filter_map(|n| self.pack.indicators().get(*n)) {
                *counts.entry(&indicator.id).or_default() += 1;
            }
        };
        for unit in self.units.keys().into_iter().filter_map(|key| self.units.get(key)) {
            add(&self.ask_client(unit).1.fired);
            for call in unit.calls.iter().filter(|c| c.n >= 8) {
                if let Some(slot) = self.slots.get(self.resolve(call.slot) as usize) {
                    add(&self.ask_part(slot, &Slice::of_call(call, unit, slot.roles())));
                }
            }
        }
        for slot in &self.slots {
            for part in slot.order.iter().filter_map(|shape| slot.parts.get(shape)) {
                add(&self.ask_part(slot, &Slice::of_part(part)));
            }
        }
        for campaign in &self.campaigns {
            let shown: Vec<usize> = campaign.fired.iter().map(|s| s.indicator).collect();
            add(&shown);
        }
        for session in self.units.session_keys().into_iter().filter_map(|k| self.units.get_session(k)) {
            for call in &session.calls {
                if let Some(slot) = self.slots.get(self.resolve(call.slot) as usize) {
                    add(&self.ask_part(slot, &self.slice_of_session(call, session)));
                }
            }
        }
        counts
    }

    fn ask_part(&self, slot: &Slot, slice: &Slice<'_>) -> Vec<usize> {
        let facts = self.part_facts(slot, slice, |_| true);
        facts.map(|f| self.view_at(slot).ask(Scope::Part, &f).fired).unwrap_or_default()
    }

    /// What endpoints are for.
    pub fn roles(&self) -> BTreeMap<EndpointId, Vec<String>> {
        let named = |s: &&Slot| s.alias.is_none();
        let mut roles = BTreeMap::new();
        for slot in self.slots.iter().filter(named) {
            let names: Vec<String> = slot.roles().names().map(str::to_owned).collect();
            if !names.is_empty() {
                roles.insert(slot.endpoint.id, names);
            }
        }
        roles
    }

    /// What is known beyond the traffic.
    pub(crate) fn knowledge(&self) -> Knowledge<'_> {
        let Config { table, known, keys, agents, .. } = &self.config;
        Knowledge { table, known, keys, agents }
    }

    /// A key that many addresses present is the application's, not a partner's: it names nobody.
    fn public_key(&mut self, o: &mut Observation) {
        let Some(key) = &o.api_key else { return };
        if self.keys.len() >= KEYS && !self.keys.contains_key(&key.hash) {
            return;
        }
        let holders = self.keys.entry(key.hash).or_default();
        holders.insert(match o.client.ip {
            std::net::IpAddr::V4(ip) => crate::hash::of(&ip.octets()),
            std::net::IpAddr::V6(ip) => crate::hash::of(&ip.octets()),
        });
        if holders.count() > HOLDERS {
            o.traits.remove(Traits::KEYED);
        }
    }

    fn take(&mut self, o: &Observation) {
        if !o.acknowledged {
            if o.part == Part::RequestOnly {
                if self.unheard.len() >= UNHEARD {
                    self.evicted_unheard += self.unheard.len() as u64;
                    self.unheard.clear();
                }
                self.unheard.insert(unit::ExchangeId::of(o));
            }
            return;
        }
        // Nothing said that the server had the request until it answered: it counts from now on.
        let heard = o.part == Part::Answer && self.unheard.remove(&unit::ExchangeId::of(o));
        let whole = heard.then(|| Observation { part: Part::Whole, ..o.clone() });
        let o = whole.as_ref().unwrap_or(o);
        self.now = self.now.max(o.ts);
        self.start = self.start.min(o.ts);
        if o.part != Part::Answer {
            self.population.hour(o.ts);
        }
        if let Some(robots) = &o.robots {
            self.population.learn_robots(&o.endpoint.host, (**robots).clone());
        }
        let slot = if o.surface == Surface::Asset { None } else { self.slot(o) };
        let violation = o.crawler_path.as_deref().is_some_and(|path| {
            o.surface != Surface::Robots
                && o.part != Part::Answer
                && self.population.forbids(&o.endpoint.host, &o.agent.family, path) == Some(true)
        });
        let known = slot.and_then(|at| self.slots.get(at as usize));
        let place = Place {
            unknown: known.is_none_or(|s| s.ok == 0 || !s.parameters),
            noisy: known.is_some_and(|s| s.false_alarms.count() >= 3.0),
            at: known.map(|s| (s.endpoint.id.0, s.host)),
        };
        if o.client.claimed {
            self.name_proxy(o);
        }
        let Config { table, known, keys, agents, .. } = &self.config;
        let Some((unit, mut leave)) = self.units.of(o) else { return };
        if !self.config.without.intelligence {
            unit.standing.learn(o, &Knowledge { table, known, keys, agents });
        }
        let held = unit.held_at(slot);
        let before = unit.add(o, slot, place, &mut leave);
        let good = !o.attempts.is_empty() && (unit.trusted || unit.established) && !unit.tool;
        if violation {
            unit.rare_mut().robots_violations += 1;
        }
        let (key, now_held) = (unit.key, unit.held_at(slot));
        let delay_ms = u32::try_from(o.ts.since(unit.first) / 1_000_000).unwrap_or(0);
        if is_due(unit, o) {
            unit.queued = true;
            self.due_units.push(key);
        }
        self.units.pool.clients.change(held, now_held);
        self.units.pool.refused += leave.refused;
        let Some(at) = slot else { return };
        let further = o.further();
        if let Some(token) = o.sessions.iter().find(|t| t.login)
            && o.outcome == crate::Outcome::Success
        {
            let host = self.slots.get(at as usize).map_or(0, |s| s.host);
            if self.host_sessions.len() < 4096 || self.host_sessions.contains_key(&host) {
                self.host_sessions.entry(host).or_default().insert(token.hash);
            }
        }
        for token in o.sessions.iter().filter(|t| t.login) {
            let (n, due) = self.units.add_session(token, o, key, at);
            if due {
                self.due_sessions.push(token.hash);
            }
            if let (Some(n), true) = (n, o.part != Part::Answer)
                && let Some(slot) = self.slots.get_mut(at as usize)
            {
                (n..=n.saturating_add(further)).for_each(|n| slot.by_session.step(n));
            }
        }
        let Some(slot) = self.slots.get_mut(at as usize) else { return };
        if good {
            slot.false_alarms.insert(key);
        }
        if let (Some(n), true) = (before, o.part != Part::Answer) {
            slot.early.add(o, n);
            (n..=n.saturating_add(further)).for_each(|n| slot.by_client.step(n));
        }
        if slot.n >= slot.next {
            self.due_slots.push(at);
        }
        if o.account.is_some() && o.roles.any(crate::Roles::LOGIN) {
            self.doors.take(o, at, slot.function(), key);
        }
        if slot.add(o, key, delay_ms, &mut self.room) {
            self.due_parts.push((at, o.prints.shape));
        }
    }

    /// The source of a request turns out to act for others: whom it was convicted for is not known, all that it did is judged anew.
    fn name_proxy(&mut self, o: &Observation) {
        for key in self.units.is_proxy(o) {
            if self.convictions.units.remove(&key).is_some() {
                self.due_units.push(key);
            }
        }
    }

    /// The slot of an endpoint. Paths that do not exist and have no parameter are kept as one slot a host, and until the inventory
    /// knows better those that differ in the numbers of their last segment alone as one.
    fn slot(&mut self, o: &Observation) -> Option<u32> {
        let mut endpoint = o.endpoint.clone();
        if let Some(at) = self.index.get(&endpoint.id) {
            return Some(self.resolve(*at));
        }
        let known_shape = o.endpoint.template.contains('{');
        let missing = o.outcome == crate::Outcome::NotFound && !known_shape;
        if missing {
            // Codes whose miss is a redirect are of one place, before any is known to be right.
            let above = endpoint.template.rsplit_once('/').filter(|(above, _)| {
                (300..400).contains(&o.status) && !above.is_empty() && o.roles.any(crate::Roles::COUPON)
            });
            let codes = above.map(|(above, _)| format!("{above}/{{}}").into());
            endpoint.template = codes.unwrap_or_else(|| "(not found)".into());
            endpoint.id =
                EndpointId::of(o.zone.as_str(), &endpoint.host, &endpoint.method, &endpoint.template);
            if let Some(at) = self.index.get(&endpoint.id) {
                return Some(self.resolve(*at));
            }
        }
        let own = endpoint.id;
        if !missing && let Some(family) = endpoint::family(&endpoint.template) {
            endpoint.template = family.into();
            endpoint.id =
                EndpointId::of(o.zone.as_str(), &endpoint.host, &endpoint.method, &endpoint.template);
            if let Some(at) = self.index.get(&endpoint.id).map(|at| self.resolve(*at)) {
                if self.index.len() < self.config.max_endpoints * 4 {
                    self.index.insert(own, at);
                }
                return Some(at);
            }
        }
        if self.slots.len() >= self.config.max_endpoints {
            self.evicted_endpoints += 1;
            return None;
        }
        let at = u32::try_from(self.slots.len()).ok()?;
        let mut slot = Slot::new(o);
        self.index.insert(own, at);
        slot.stated = self.config.stated.of(&o.endpoint.host, &o.endpoint.method, &o.endpoint.template);
        self.index.insert(endpoint.id, at);
        slot.name(endpoint);
        self.slots.push(slot);
        Some(at)
    }

    fn resolve(&self, mut at: u32) -> u32 {
        while let Some(next) = self.slots.get(at as usize).and_then(|s| s.alias) {
            at = next;
        }
        at
    }

    fn rename(&mut self, renames: &[(EndpointId, EndpointRef)]) {
        let mut joined = false;
        for (old, new) in renames {
            let Some(from) = self.index.get(old).map(|at| self.resolve(*at)) else { continue };
            match self.index.get(&new.id).map(|at| self.resolve(*at)) {
                Some(to) if to != from => {
                    self.join(from, to);
                    joined = true;
                }
                Some(_) => {}
                None => {
                    self.index.insert(new.id, from);
                }
            }
            let at = self.index.get(&new.id).map_or(from, |at| self.resolve(*at));
            if let Some(slot) = self.slots.get_mut(at as usize) {
                slot.name(new.clone());
                slot.stated = self.config.stated.of(&new.host, &new.method, &new.template);
            }
        }
        if joined {
            let slots = &self.slots;
            let resolve = |mut at: u32| {
                while let Some(next) = slots.get(at as usize).and_then(|s| s.alias) {
                    at = next;
                }
                at
            };
            self.units.resolve_slots(resolve);
            for campaign in &mut self.campaigns {
                campaign.slots.iter_mut().for_each(|s| *s = resolve(*s));
            }
        }
    }

    fn join(&mut self, from: u32, to: u32) {
        let Some(slot) = self.slots.get_mut(from as usize) else { return };
        let mut empty = slot.clone_empty();
        empty.alias = Some(to);
        let taken = std::mem::replace(slot, empty);
        if let Some(target) = self.slots.get_mut(to as usize) {
            target.merge(taken);
        }
    }
}

/// Keys kept, and addresses above which a key names nobody.
const KEYS: usize = 16_384;
const HOLDERS: f64 = 16.0;

/// A client is judged at its first requests, then ever more seldom, and whenever it attacks.
fn is_due(unit: &Unit, o: &Observation) -> bool {
    if unit.queued {
        return false;
    }
    let step = match unit.n {
        0..=4 => 1,
        5..=16 => 3,
        n => (n / 6).min(64),
    };
    unit.n >= unit.judged + step
        || !o.attempts.is_empty()
        || (unit.agent.kind == AgentKind::Scanner && unit.n <= 8)
}
