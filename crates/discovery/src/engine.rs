//! The coordinator's half of discovery: one engine that learns templates and keeps the inventory.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use lru::LruCache;
use sidetap_model::{EndpointId, EndpointRef, HashKey, Ts};

use sidetap_wire::body::hash_str;

use crate::endpoint::{client_hash, is_success, proves};
use crate::host::Host;
use crate::observe::Observation;
use crate::render::stateless;
use crate::segment;
use crate::snapshot::{HostKey, Snapshot};
use crate::spec::Spec;
use crate::standing::seed;
use crate::trie::{Matching, Part, Visit, parts};

/// Limits of an engine. Each is a cap; what does not fit is counted under [`Engine::evictions`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Hosts.
    pub max_hosts: usize,
    /// Trie nodes of one host.
    pub max_nodes_per_host: u32,
    /// Trie nodes of all hosts.
    pub max_nodes: u32,
    /// Ids and names kept of one host's responses.
    pub max_values_per_host: usize,
    /// The same of all hosts.
    pub max_values: usize,
    /// Paths kept of one host that answered without proof.
    pub max_unproven_per_host: usize,
    /// Nodes that one network (/24, /48) may make at once.
    pub creation_burst: u32,
    /// Nodes that it may make a second.
    pub creation_per_s: u32,
    /// Networks whose budgets are remembered.
    pub max_sources: usize,
    /// Bodies without news after which an endpoint's bodies are sampled.
    pub settle_after: u32,
    /// Bits that a merge must win by before the end of input.
    pub margin: f64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            max_hosts: 4096,
            max_nodes_per_host: 20_000,
            max_nodes: 200_000,
            max_values_per_host: 32_768,
            max_values: 1_000_000,
            max_unproven_per_host: 512,
            creation_burst: 8192,
            creation_per_s: 64,
            max_sources: 16_384,
            settle_after: 64,
            margin: 6.0,
        }
    }
}

/// Learns templates from exchanges and keeps the inventory. Fed in one order, it always gives the same.
#[derive(Debug)]
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) specs: Vec<Spec>,
    /// Paths that people say are one endpoint each: they shape the trie and document nothing.
    pub(crate) shapes: Vec<Spec>,
    /// Time of the first exchange.
    pub(crate) began: Ts,
    pub(crate) methods: Vec<Arc<str>>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) index: HashMap<(Arc<str>, Arc<str>), usize, FixedState>,
    budgets: LruCache<u64, (Ts, u32), FixedState>,
    pub(crate) nodes: u32,
    pub(crate) values: usize,
    pub(crate) missing: usize,
    pub(crate) evictions: BTreeMap<&'static str, u64>,
    snapshot: Arc<Snapshot>,
    /// The host of the last exchange.
    recent: usize,
}

/// Rounds of learning at the end of input.
const FINAL_ROUNDS: usize = 6;
/// Most methods told apart.
const MAX_METHODS: usize = 64;
const MAX_MISSING_PER_HOST: usize = 8192;
const MAX_MISSING: usize = 262_144;

impl Engine {
    /// An engine that knows nothing. Discovery keeps no secrets, and so hashes none with the site's key.
    pub fn new(config: Config, _key: HashKey) -> Self {
        let sources = NonZeroUsize::new(config.max_sources).unwrap_or(NonZeroUsize::MIN);
        Engine {
            config,
            specs: Vec::new(),
            shapes: Vec::new(),
            began: Ts::default(),
            methods: Vec::new(),
            hosts: Vec::new(),
            index: HashMap::default(),
            budgets: LruCache::with_hasher(sources, FixedState::default()),
            nodes: 0,
            values: 0,
            missing: 0,
            evictions: BTreeMap::new(),
            snapshot: Arc::default(),
            recent: 0,
        }
    }

    /// Learns from one exchange.
    pub fn ingest(&mut self, o: &Observation) {
        if self.began == Ts::default() {
            self.began = o.ts;
        }
        match o.status {
            Some(status) if proves(status) => self.prove(o, is_success(status)),
            Some(302 | 303) if !matches!(&*o.endpoint.method, "GET" | "HEAD") && self.has_path(o) => {
                self.prove(o, false);
            }
            _ if self.count_known(o) => {}
            status => self.doubt(o, status.unwrap_or(0)),
        }
    }

    fn prove(&mut self, o: &Observation, success: bool) {
        let Some(index) = self.host(o) else { return self.evict("discovery-hosts") };
        if self.hosts.get_mut(index).is_some_and(|h| h.is_fallback(o)) {
            self.count_known(o);
            return;
        }
        let Some(method) = self.method(&o.endpoint.method) else { return self.evict("discovery-methods") };
        let segments = segment::split(&o.path);
        let parts = parts(&segments);
        let visit = Visit {
            method,
            slashed: segments.trailing_slash,
            keys: if success { o.response.keys } else { 0 },
            echo: o.echo,
            own_id: success && o.own_id,
        };
        let Some(host) = self.hosts.get_mut(index) else { return };
        let slot = match host.root.touch(&parts, 0, &visit, Matching::Learning) {
            Some(slot) => Some(slot),
            None => self.grow(o, index, &parts, &visit),
        };
        let Some(host) = self.hosts.get_mut(index) else { return };
        for id in &o.ids {
            let room =
                host.values.len() < self.config.max_values_per_host && self.values < self.config.max_values;
            if room && host.values.insert(*id) {
                self.values += 1;
            }
        }
        match slot {
            Some(slot) => host.count(slot, o, self.config.settle_after),
            None => self.evict("discovery-paths"),
        }
    }

    /// Makes room for a new path, as far as its caller's network may make one.
    fn grow(&mut self, o: &Observation, index: usize, path: &[Part<'_>], visit: &Visit) -> Option<u32> {
        let network = network(o.client);
        let allowed = self.allowance(network, o.ts, index);
        let mut left = allowed;
        let slot = self.hosts.get_mut(index)?.grow(path, visit, &mut left);
        let made = allowed - left;
        if made > 0 {
            self.nodes += made;
            if let Some((_, budget)) = self.budgets.get_mut(&network) {
                *budget = budget.saturating_sub(made);
            }
        }
        slot
    }

    /// True where the path is proven by another method: a form that is shown by GET and answered by a redirect.
    fn has_path(&self, o: &Observation) -> bool {
        let host =
            self.index.get(&HostKey(o.zone.as_str(), &o.endpoint.host)).and_then(|i| self.hosts.get(*i));
        let segments = segment::split(&o.path);
        let parts = parts(&segments);
        host.is_some_and(|h| (0..self.methods.len()).any(|m| h.root.find(&parts, 0, m as u8).is_some()))
    }

    /// Counts an exchange that proves nothing on the endpoint that it matches; false where there is none.
    fn count_known(&mut self, o: &Observation) -> bool {
        let Some(index) = self.index.get(&HostKey(o.zone.as_str(), &o.endpoint.host)).copied() else {
            return false;
        };
        let Some(method) = self.methods.iter().position(|m| *m == o.endpoint.method) else { return false };
        let segments = segment::split(&o.path);
        let parts = parts(&segments);
        let Some(host) = self.hosts.get_mut(index) else { return false };
        let Some(slot) = host.root.find(&parts, 0, method as u8) else { return false };
        host.count(slot, o, self.config.settle_after);
        true
    }

    /// Remembers a refusal or redirect of an unknown path, or that the path does not exist.
    fn doubt(&mut self, o: &Observation, status: u16) {
        let Some(index) = self
            .index
            .get(&HostKey(o.zone.as_str(), &o.endpoint.host))
            .copied()
            .or_else(|| matches!(status, 401 | 403 | 300..=399).then(|| self.host(o)).flatten())
        else {
            return;
        };
        let cap = self.config.max_unproven_per_host;
        let Some(host) = self.hosts.get_mut(index) else { return };
        let template = stateless(&o.path);
        if matches!(status, 401 | 403 | 300..=399) {
            if !host.suspect(o, template, cap) {
                self.evict("discovery-unproven");
            }
            return;
        }
        if matches!(status, 400 | 404 | 410 | 501)
            && host.missing.len() < MAX_MISSING_PER_HOST
            && self.missing < MAX_MISSING
            && host.missing.insert(hash_str(&template))
        {
            self.missing += 1;
        }
        if !host.remember(o, template) {
            self.evict("discovery-early");
        }
    }

    /// Closes an epoch: learns templates where there is news, and gives the ids that are now called otherwise.
    ///
    /// Costs nothing where nothing changed.
    pub fn end_epoch(&mut self, _now: Ts) -> Vec<(EndpointId, EndpointRef)> {
        self.close(false)
    }

    /// Closes the last epoch, with all that is now known.
    pub fn finish(&mut self) -> Vec<(EndpointId, EndpointRef)> {
        self.close(true)
    }

    /// Names and publishes what was restored.
    pub(crate) fn refresh(&mut self) {
        let mut next = Snapshot::default();
        for host in &mut self.hosts {
            host.rename(&self.methods);
            next.set(&host.zone, &host.name, Arc::new(host.snapshot(self.config.settle_after)));
            host.changed = false;
        }
        self.snapshot = Arc::new(next);
    }

    fn close(&mut self, last: bool) -> Vec<(EndpointId, EndpointRef)> {
        let mut out = Vec::new();
        let mut next: Option<Snapshot> = None;
        for host in &mut self.hosts {
            host.prune();
            let due = host.made >= 16 && host.made * 6 >= host.learned_at;
            if due || last {
                let before = host.nodes;
                if last {
                    host.learn(0.0, FINAL_ROUNDS);
                } else {
                    host.learn(self.config.margin, 1);
                }
                self.nodes = self.nodes.saturating_sub(before.saturating_sub(host.nodes));
            }
            if host.changed {
                host.rename(&self.methods);
                let snapshot = Arc::new(host.snapshot(self.config.settle_after));
                next.get_or_insert_with(|| (*self.snapshot).clone()).set(&host.zone, &host.name, snapshot);
                host.changed = false;
            }
            if !host.strays.is_empty() {
                out.extend(host.renames());
            }
        }
        if let Some(next) = next {
            self.snapshot = Arc::new(next);
        }
        out
    }

    /// The templates as of the last epoch's end.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot)
    }

    /// What did not fit, by table.
    pub fn evictions(&self) -> BTreeMap<String, u64> {
        let endpoints = self.hosts.iter().flat_map(|h| &h.endpoints).flatten();
        let fields: u64 = endpoints.flat_map(|e| e.schemas.values()).map(|s| s.left_out).sum();
        let mut all: BTreeMap<String, u64> =
            self.evictions.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect();
        if fields > 0 {
            all.insert("discovery-fields".to_owned(), fields);
        }
        all
    }

    fn evict(&mut self, table: &'static str) {
        *self.evictions.entry(table).or_default() += 1;
    }

    fn host(&mut self, o: &Observation) -> Option<usize> {
        if let Some(i) = self.known_host(o) {
            return Some(i);
        }
        if self.hosts.len() >= self.config.max_hosts {
            return None;
        }
        let zone: Arc<str> = o.zone.as_str().into();
        self.index.insert((Arc::clone(&zone), Arc::clone(&o.endpoint.host)), self.hosts.len());
        let mut host = Host::new(zone, Arc::clone(&o.endpoint.host));
        let methods = &mut self.methods;
        let mut slots = 0;
        let shapes = self.shapes.iter().chain(&self.specs);
        for spec in shapes.filter(|s| s.names_host(&o.endpoint.host) || s.is_hostless()) {
            let most = self.config.max_nodes_per_host;
            seed(&mut host.root, spec, most, &mut slots, &mut |m| number(methods, m));
        }
        host.seeded(slots);
        self.nodes = self.nodes.saturating_add(host.nodes);
        self.hosts.push(host);
        Some(self.hosts.len() - 1)
    }

    /// The number of a host that is known; asked for the last one again, it compares no names.
    fn known_host(&mut self, o: &Observation) -> Option<usize> {
        let same = |h: &Host| Arc::ptr_eq(&h.name, &o.endpoint.host) && *h.zone == *o.zone.as_str();
        if !self.hosts.get(self.recent).is_some_and(same) {
            self.recent = *self.index.get(&HostKey(o.zone.as_str(), &o.endpoint.host))?;
        }
        Some(self.recent)
    }

    fn method(&mut self, method: &Arc<str>) -> Option<u8> {
        number(&mut self.methods, method)
    }

    /// Nodes that `network` may make on the host now.
    fn allowance(&mut self, network: u64, now: Ts, host: usize) -> u32 {
        let c = &self.config;
        let own = self.hosts.get(host).map_or(0, |h| c.max_nodes_per_host.saturating_sub(h.nodes));
        let all = c.max_nodes.saturating_sub(self.nodes);
        let known = self.budgets.get_mut(&network);
        let (then, left) = known.as_deref().copied().unwrap_or((now, c.creation_burst));
        let earned = now.since(then).max(0) / 1_000_000 * i64::from(c.creation_per_s) / 1000;
        let budget = u32::try_from(earned).unwrap_or(u32::MAX).saturating_add(left).min(c.creation_burst);
        match known {
            Some(known) if earned > 0 || now < then => *known = (now.max(then), budget),
            Some(_) => {}
            None => {
                self.budgets.put(network, (now.max(then), budget));
            }
        }
        own.min(all).min(budget)
    }
}

/// The number of a method, given anew where there is room.
fn number(methods: &mut Vec<Arc<str>>, method: &str) -> Option<u8> {
    if let Some(i) = methods.iter().position(|m| **m == *method) {
        return u8::try_from(i).ok();
    }
    if methods.len() >= MAX_METHODS || method.len() > 32 {
        return None;
    }
    methods.push(method.into());
    u8::try_from(methods.len() - 1).ok()
}

/// The /24 or /48 of an address, hashed.
fn network(ip: IpAddr) -> u64 {
    let cut = match ip.to_canonical() {
        IpAddr::V4(a) => IpAddr::V4((u32::from(a) & 0xffff_ff00).into()),
        IpAddr::V6(a) => IpAddr::V6((u128::from(a) & !0 << 80).into()),
    };
    client_hash(cut)
}
