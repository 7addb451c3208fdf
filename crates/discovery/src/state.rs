//! What was learned, kept from one run to the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sidetap_model::Ts;

use crate::endpoint::Endpoint;
use crate::engine::Engine;
use crate::host::{Host, Unproven};
use crate::segment::MAX_DEPTH;
use crate::trie::Node;

/// Version of the form; the first byte.
const VERSION: u8 = 1;

/// Why a state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// No bytes.
    #[error("discovery state is empty")]
    Empty,
    /// Written by another version.
    #[error("discovery state has version {0}, this is {VERSION}")]
    Version(u8),
    /// Cannot be read.
    #[error("discovery state is damaged: {0}")]
    Damaged(#[from] rmp_serde::decode::Error),
    /// Reads well, but does not hold together.
    #[error("discovery state is damaged: {0}")]
    Inconsistent(&'static str),
    /// Over this engine's limits.
    #[error("discovery state is larger than the limits allow ({0})")]
    TooLarge(&'static str),
}

#[derive(Serialize, Deserialize)]
struct State {
    began: Ts,
    methods: Vec<Arc<str>>,
    hosts: Vec<HostState>,
}

#[derive(Serialize, Deserialize)]
struct HostState {
    zone: Arc<str>,
    name: Arc<str>,
    root: Node,
    endpoints: Vec<Option<Box<Endpoint>>>,
    values: Vec<u64>,
    missing: Vec<u64>,
    unproven: Vec<(Arc<str>, String, Unproven)>,
}

impl Engine {
    /// Everything learned, as bytes: a version byte, then MessagePack. The same knowledge gives the same bytes.
    pub fn export_state(&self) -> Vec<u8> {
        let mut hosts: Vec<HostState> = self.hosts.iter().map(HostState::of).collect();
        hosts.sort_by(|a, b| (&a.zone, &a.name).cmp(&(&b.zone, &b.name)));
        let state = State { began: self.began, methods: self.methods.clone(), hosts };
        let mut out = vec![VERSION];
        match rmp_serde::encode::write(&mut out, &state) {
            Ok(()) => out,
            Err(_) => vec![VERSION],
        }
    }

    /// Starts from what [`export_state`](Engine::export_state) gave. A state that does not hold together is refused whole.
    pub fn import_state(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let (version, rest) = bytes.split_first().ok_or(StateError::Empty)?;
        if *version != VERSION {
            return Err(StateError::Version(*version));
        }
        let state: State = rmp_serde::from_slice(rest)?;
        if state.hosts.len() > self.config.max_hosts {
            return Err(StateError::TooLarge("hosts"));
        }
        let mut hosts = Vec::new();
        let mut nodes: u32 = 0;
        for host in state.hosts {
            let host = host.check(state.methods.len())?;
            nodes = nodes.saturating_add(host.nodes);
            hosts.push(host);
        }
        if nodes > self.config.max_nodes {
            return Err(StateError::TooLarge("paths"));
        }
        self.began = state.began;
        self.methods = state.methods;
        self.nodes = nodes;
        self.values = hosts.iter().map(|h| h.values.len()).sum();
        self.missing = hosts.iter().map(|h| h.missing.len()).sum();
        self.index =
            hosts.iter().enumerate().map(|(i, h)| ((Arc::clone(&h.zone), Arc::clone(&h.name)), i)).collect();
        self.hosts = hosts;
        self.refresh();
        Ok(())
    }
}

impl HostState {
    fn of(host: &Host) -> Self {
        let sorted = |set: &mut dyn Iterator<Item = u64>| {
            let mut list: Vec<u64> = set.collect();
            list.sort_unstable();
            list
        };
        HostState {
            zone: Arc::clone(&host.zone),
            name: Arc::clone(&host.name),
            root: host.root.clone(),
            endpoints: host.endpoints.clone(),
            values: sorted(&mut host.values.iter().copied()),
            missing: sorted(&mut host.missing.iter().copied()),
            unproven: host.unproven.iter().map(|((m, t), u)| (Arc::clone(m), t.clone(), u.clone())).collect(),
        }
    }

    fn check(self, methods: usize) -> Result<Host, StateError> {
        let mut used = vec![false; self.endpoints.len()];
        check_node(&self.root, 0, methods, &mut used)?;
        let orphaned = self.endpoints.iter().zip(&used).any(|(e, used)| e.is_some() != *used);
        if orphaned {
            return Err(StateError::Inconsistent("an endpoint without a path"));
        }
        let unproven: BTreeMap<_, _> = self.unproven.into_iter().map(|(m, t, u)| ((m, t), u)).collect();
        let mut host = Host::new(self.zone, self.name);
        host.nodes = self.root.size();
        host.learned_at = host.nodes;
        host.root = self.root;
        host.values = self.values.into_iter().collect();
        host.missing = self.missing.into_iter().collect();
        host.unproven = unproven;
        host.restore(self.endpoints);
        Ok(host)
    }
}

fn check_node(node: &Node, depth: usize, methods: usize, used: &mut [bool]) -> Result<(), StateError> {
    if depth > MAX_DEPTH {
        return Err(StateError::Inconsistent("a path that is too deep"));
    }
    for end in &node.ends {
        if usize::from(end.method) >= methods {
            return Err(StateError::Inconsistent("a method that is not named"));
        }
        match used.get_mut(end.slot as usize) {
            Some(slot) if !*slot => *slot = true,
            _ => return Err(StateError::Inconsistent("two paths of one endpoint")),
        }
    }
    let below = node.kids.values().chain(node.params.iter().map(|p| &*p.node));
    below.into_iter().try_for_each(|kid| check_node(kid, depth + 1, methods, used))
}
