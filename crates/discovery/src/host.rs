//! What is known of one host.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use sidetap_model::{EndpointId, EndpointRef, Ts};
use sidetap_wire::body::hash_str;
use smallvec::SmallVec;

use crate::callers::Callers;
use crate::early::Early;
use crate::endpoint::{Endpoint, ExchangeId, client_hash, is_public, tally};
use crate::learn::{Known as Evidence, Learned, learn};
use crate::observe::Observation;
use crate::render::{Template, id_of, stateless};
use crate::snapshot::{HostSnapshot, Known};
use crate::trie::{Allowance, Node, Part, Visit};

/// A host: its trie and its endpoints.
#[derive(Debug, Default)]
pub(crate) struct Host {
    pub(crate) zone: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) root: Node,
    /// Endpoints by slot.
    pub(crate) endpoints: Vec<Option<Box<Endpoint>>>,
    /// How each is called, by slot.
    pub(crate) names: Vec<Option<EndpointRef>>,
    free: Vec<u32>,
    pub(crate) nodes: u32,
    /// Hashes of ids and names in responses.
    pub(crate) values: HashSet<u64, FixedState>,
    /// Hashes of paths that were not found.
    pub(crate) missing: HashSet<u64, FixedState>,
    /// Paths that answered, but proved nothing: by method and template.
    pub(crate) unproven: BTreeMap<(Arc<str>, String), Unproven>,
    /// Answers of paths that nothing has proven.
    pub(crate) early: Early,
    /// Ids that workers used this epoch for endpoints that are called otherwise.
    pub(crate) strays: BTreeMap<EndpointId, u32>,
    /// Pages by what they look like: hashes of paths that answer alike.
    alike: BTreeMap<u64, SmallVec<[u64; 4]>>,
    /// Pages that are answered whatever the path.
    pub(crate) fallbacks: SmallVec<[u64; 2]>,
    pruned: usize,
    pub(crate) changed: bool,
    pub(crate) learned_at: u32,
    pub(crate) made: u32,
}

/// A path that answered with a refusal or a redirect.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Unproven {
    pub(crate) path: u64,
    pub(crate) calls: u64,
    pub(crate) first: Ts,
    pub(crate) last: Ts,
    pub(crate) statuses: SmallVec<[(u16, u64); 2]>,
    pub(crate) callers: Callers,
    pub(crate) auth: u16,
    pub(crate) public: bool,
    pub(crate) evidence: Option<ExchangeId>,
}

impl Host {
    pub(crate) fn new(zone: Arc<str>, name: Arc<str>) -> Self {
        Host { zone, name, nodes: 1, changed: true, ..Host::default() }
    }

    /// Makes room for the endpoints of a description.
    pub(crate) fn seeded(&mut self, slots: u32) {
        self.endpoints.resize_with(slots as usize, || Some(Box::default()));
        self.names.resize_with(slots as usize, || None);
        self.nodes = self.root.size();
    }

    /// Takes endpoints by slot, as they were kept.
    pub(crate) fn restore(&mut self, endpoints: Vec<Option<Box<Endpoint>>>) {
        self.free = (0..endpoints.len())
            .rev()
            .filter(|i| endpoints.get(*i).is_some_and(Option::is_none))
            .map(|i| i as u32)
            .collect();
        self.names = endpoints.iter().map(|_| None).collect();
        self.endpoints = endpoints;
        self.changed = true;
    }

    /// Makes the end of `path`; gives its slot.
    pub(crate) fn grow(&mut self, path: &[Part<'_>], visit: &Visit, nodes: &mut u32) -> Option<u32> {
        let next = self.free.last().copied().unwrap_or(self.endpoints.len() as u32);
        let mut room = Allowance { nodes: *nodes, made: 0, next_slot: next };
        let slot = self.root.grow(path, 0, visit, &mut room);
        self.nodes += room.made;
        self.made += room.made;
        *nodes = room.nodes;
        let slot = slot?;
        if room.next_slot != next {
            self.open(slot);
            self.made += 1;
            self.changed = true;
        }
        Some(slot)
    }

    fn open(&mut self, slot: u32) {
        if self.free.last() == Some(&slot) {
            self.free.pop();
        }
        let index = slot as usize;
        if index >= self.endpoints.len() {
            self.endpoints.resize_with(index + 1, || None);
            self.names.resize_with(index + 1, || None);
        }
        if let Some(e) = self.endpoints.get_mut(index) {
            *e = Some(Box::default());
        }
    }

    /// True where the answer is a page that this host gives whatever the path (a single-page application, a catch-all):
    /// the same page under many different first segments. Under one of them it is the page of many objects.
    pub(crate) fn is_fallback(&mut self, o: &Observation) -> bool {
        let html = o.response.media.as_deref() == Some("text/html");
        let print = o.response.print;
        if !html || print == 0 || &*o.endpoint.method != "GET" || o.path.len() <= 1 {
            return false;
        }
        if self.fallbacks.contains(&print) {
            return true;
        }
        if self.alike.len() >= MAX_ALIKE && !self.alike.contains_key(&print) {
            self.alike.clear();
        }
        let paths = self.alike.entry(print).or_default();
        let shape = stateless(&o.path);
        let branch = hash_str(shape.split('/').nth(1).unwrap_or_default());
        if !paths.contains(&branch) {
            paths.push(branch);
        }
        if paths.len() >= ALIKE_PATHS && self.fallbacks.len() < MAX_FALLBACKS {
            self.alike.remove(&print);
            self.fallbacks.push(print);
            return true;
        }
        false
    }

    /// Takes out the endpoints that only ever answered with a fallback page.
    pub(crate) fn prune(&mut self) {
        if self.pruned == self.fallbacks.len() {
            return;
        }
        self.pruned = self.fallbacks.len();
        let fallbacks = self.fallbacks.clone();
        let endpoints = &self.endpoints;
        let mut gone = Vec::new();
        let hollow = |slot: u32| {
            let e = endpoints.get(slot as usize).and_then(Option::as_ref);
            e.is_some_and(|e| !e.prints_differ && e.print.is_some_and(|p| fallbacks.contains(&p)))
        };
        self.root.kids.retain(|_, kid| kid.keep(&hollow, &mut gone));
        self.root.params.retain_mut(|p| p.node.keep(&hollow, &mut gone));
        for slot in gone {
            if let Some(e) = self.endpoints.get_mut(slot as usize) {
                *e = None;
            }
            if let Some(n) = self.names.get_mut(slot as usize) {
                *n = None;
            }
            self.free.push(slot);
        }
        self.nodes = self.root.size();
        self.changed = true;
    }

    /// Counts an exchange on the endpoint of `slot`.
    pub(crate) fn count(&mut self, slot: u32, o: &Observation, settle_after: u32) {
        let Some(Some(endpoint)) = self.endpoints.get_mut(slot as usize) else { return };
        let settled = endpoint.known(settle_after);
        endpoint.count(o);
        self.changed |= settled != endpoint.known(settle_after);
        if endpoint.id != o.endpoint.id && (endpoint.id.0 != 0 || self.strays.len() < 65_536) {
            self.strays.insert(o.endpoint.id, slot);
        }
    }

    /// Remembers an answer that proves nothing.
    pub(crate) fn suspect(&mut self, o: &Observation, template: String, cap: usize) -> bool {
        let path = hash_str(&template);
        if self.unproven.len() >= cap
            && !self.unproven.contains_key(&(Arc::clone(&o.endpoint.method), template.clone()))
        {
            return false;
        }
        let u = self.unproven.entry((Arc::clone(&o.endpoint.method), template)).or_default();
        if u.calls == 0 {
            (u.first, u.last, u.path) = (o.ts, o.ts, path);
            u.evidence = Some((o.flow_id, o.seq));
        }
        u.calls += 1;
        u.first = u.first.min(o.ts);
        u.last = u.last.max(o.ts);
        u.auth |= o.auth;
        u.public |= is_public(o.client);
        tally(&mut u.statuses, o.status.unwrap_or(0), 1);
        u.callers.add(client_hash(o.client));
        true
    }

    /// Learns templates, in so many rounds at most: what one round merged is evidence for the next.
    pub(crate) fn learn(&mut self, margin: f64, rounds: usize) {
        for _ in 0..rounds {
            if !self.learn_once(margin) {
                break;
            }
        }
        self.nodes = self.root.size();
        self.learned_at = self.nodes;
        self.made = 0;
        self.changed = true;
    }

    fn learn_once(&mut self, margin: f64) -> bool {
        let mut learned = Learned::default();
        let before = self.root.size();
        let evidence = Evidence { values: &self.values, typical: self.typical(), margin };
        learn(&mut self.root, &mut Vec::new(), &evidence, &mut learned);
        let mut moved: BTreeMap<u32, u32> = BTreeMap::new();
        for (kept, gone) in learned.met {
            self.join(kept, gone, &mut moved);
        }
        for slot in self.strays.values_mut() {
            while let Some(next) = moved.get(slot) {
                *slot = *next;
            }
        }
        for word in learned.words {
            if self.values.len() < MAX_WORDS {
                self.values.insert(word);
            }
        }
        self.root.size() != before
    }

    /// Successful calls of the endpoint in the middle.
    fn typical(&self) -> f64 {
        let mut calls: Vec<u64> =
            self.endpoints.iter().flatten().map(|e| e.open_successes + e.secured_successes).collect();
        calls.sort_unstable();
        calls.get(calls.len() / 2).map_or(0.0, |c| *c as f64)
    }

    fn join(&mut self, kept: u32, gone: u32, moved: &mut BTreeMap<u32, u32>) {
        if kept == gone {
            return;
        }
        let Some(theirs) = self.endpoints.get_mut(gone as usize).and_then(Option::take) else { return };
        let old = theirs.id;
        if let Some(Some(mine)) = self.endpoints.get_mut(kept as usize) {
            mine.absorb(*theirs);
        }
        if old.0 != 0 {
            self.strays.insert(old, kept);
        }
        if let Some(name) = self.names.get_mut(gone as usize) {
            *name = None;
        }
        moved.insert(gone, kept);
        self.free.push(gone);
    }

    /// Names every endpoint anew; those whose id changed become strays of themselves.
    pub(crate) fn rename(&mut self, methods: &[Arc<str>]) {
        let mut named: Vec<(u32, String, u8)> = Vec::new();
        name_all(&self.root, &Template::default(), &mut named);
        for (slot, template, method) in named {
            let Some(method) = methods.get(usize::from(method)) else { continue };
            let Some(Some(endpoint)) = self.endpoints.get_mut(slot as usize) else { continue };
            let Some(name) = self.names.get_mut(slot as usize) else { continue };
            if name.as_ref().is_some_and(|n| *n.template == *template) {
                continue;
            }
            let id = id_of(&self.zone, &self.name, method, &template);
            if endpoint.id != id {
                if endpoint.id.0 != 0 {
                    self.strays.insert(endpoint.id, slot);
                }
                endpoint.id = id;
            }
            *name = Some(EndpointRef::new(id, Arc::clone(&self.name), Arc::clone(method), template));
        }
    }

    /// The strays of this epoch with what they are called now. An id that an endpoint still has is never given away.
    pub(crate) fn renames(&mut self) -> Vec<(EndpointId, EndpointRef)> {
        let mut out = Vec::new();
        let live: HashSet<EndpointId, FixedState> = self.names.iter().flatten().map(|n| n.id).collect();
        for (id, slot) in std::mem::take(&mut self.strays) {
            let Some(Some(name)) = self.names.get(slot as usize) else { continue };
            if live.contains(&id) {
                continue;
            }
            if let Some(Some(e)) = self.endpoints.get_mut(slot as usize) {
                e.alias(id);
            }
            out.push((id, name.clone()));
        }
        out
    }

    /// What workers look up in.
    pub(crate) fn snapshot(&self, settle_after: u32) -> HostSnapshot {
        HostSnapshot::build(&self.root, &mut |slot| {
            let endpoint = self.names.get(slot as usize)?.clone()?;
            let settled = self.endpoints.get(slot as usize)?.as_ref()?.known(settle_after);
            Some(Known { endpoint, settled })
        })
    }
}

/// Most values of one host, literals that became values included.
const MAX_WORDS: usize = 65_536;
/// Paths that answer with one page from which on it is a fallback.
const ALIKE_PATHS: usize = 12;
const MAX_ALIKE: usize = 64;
const MAX_FALLBACKS: usize = 4;

fn name_all(node: &Node, at: &Template, out: &mut Vec<(u32, String, u8)>) {
    for end in &node.ends {
        let slashed = end.slashed * 2 > end.hits;
        out.push((end.slot, at.finish(slashed), end.method));
    }
    for (name, kid) in &node.kids {
        let mut next = at.clone();
        next.literal(name);
        name_all(kid, &next, out);
    }
    for p in &node.params {
        let mut next = at.clone();
        next.param(&p.prefix, &p.suffix, p.shapes);
        name_all(&p.node, &next, out);
    }
}
