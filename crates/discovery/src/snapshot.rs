//! What workers look paths up in: the templates of one moment, immutable.

use std::borrow::Cow;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use sidetap_model::{EndpointRef, FlowId};
use sidetap_wire::body::hash_str;
use smallvec::SmallVec;

use crate::endpoint::Settled;
use crate::extract::Visit;
use crate::render::{id_of, stateless};
use crate::segment;
use crate::trie::{Matching, Node, Param, Part};

/// Of the bodies of a settled endpoint one in so many is still visited.
const SAMPLE: u64 = 16;

/// The templates of one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    hosts: HashMap<(Arc<str>, Arc<str>), Arc<HostSnapshot>, FixedState>,
}

/// The templates of one host.
#[derive(Debug, Default)]
pub(crate) struct HostSnapshot {
    nodes: Vec<Flat>,
    kids: HashMap<(u32, u64), u32, FixedState>,
}

#[derive(Debug, Default)]
struct Flat {
    name: Arc<str>,
    params: SmallVec<[(Param, u32); 1]>,
    ends: SmallVec<[Known; 1]>,
}

/// An end of a known endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) endpoint: EndpointRef,
    pub(crate) settled: Settled,
}

/// What a lookup found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The endpoint.
    pub endpoint: EndpointRef,
    /// It is in the inventory; else its template comes from shapes alone.
    pub known: bool,
    settled: Settled,
}

impl Found {
    /// How closely the bodies of this exchange are to be looked at: those of an endpoint whose schema no longer changes are
    /// sampled, by the exchange's id and so alike in every run.
    pub fn visit(&self, flow: FlowId, seq: u32) -> Visit {
        if self.settled != Settled::No && !mixed(flow, seq).is_multiple_of(SAMPLE) {
            Visit::Light
        } else {
            Visit::Full
        }
    }

    /// How many answers this one stands for: of those of a settled endpoint one in two is read whole, of a well known
    /// one one in `sample`, of one known for longer one in twice and four times that, chosen by the exchange's id and
    /// so alike in every run. 0 for one that need not be. A sample of 1 reads all.
    ///
    /// An answer with a `status` that is seldom there, or of more bytes than any before, is always read.
    pub fn stands_for(&self, flow: FlowId, seq: u32, sample: u16, status: u16, len: u64) -> u32 {
        let Settled::Yes(usual) = self.settled else { return 1 };
        if sample <= 1 || !usual.is(status, len) {
            return 1;
        }
        let sample = usual.one_in(sample);
        if mixed(flow, seq).is_multiple_of(u64::from(sample)) { sample } else { 0 }
    }
}

fn mixed(flow: FlowId, seq: u32) -> u64 {
    (flow.0 ^ u64::from(seq)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

/// Key of a host, borrowed.
pub(crate) struct HostKey<'a>(pub(crate) &'a str, pub(crate) &'a str);

impl std::hash::Hash for HostKey<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
        self.1.hash(state);
    }
}

impl hashbrown::Equivalent<(Arc<str>, Arc<str>)> for HostKey<'_> {
    fn equivalent(&self, key: &(Arc<str>, Arc<str>)) -> bool {
        self.0 == &*key.0 && self.1 == &*key.1
    }
}

impl Snapshot {
    /// The endpoint of a request: a known template, else what shapes alone give.
    pub fn lookup(&self, zone: &str, host: &str, method: &str, path: &[u8]) -> EndpointRef {
        self.find(zone, host, method, path).endpoint
    }

    /// Like [`lookup`](Snapshot::lookup), and says whether the endpoint is known.
    pub fn find(&self, zone: &str, host: &str, method: &str, path: &[u8]) -> Found {
        if let Some(known) = self.hosts.get(&HostKey(zone, host)).and_then(|h| h.find(method, path)) {
            return Found { endpoint: known.endpoint.clone(), known: true, settled: known.settled };
        }
        let template = stateless(path);
        let endpoint = EndpointRef::new(id_of(zone, host, method, &template), host, method, template);
        Found { endpoint, known: false, settled: Settled::No }
    }

    pub(crate) fn set(&mut self, zone: &Arc<str>, host: &Arc<str>, snapshot: Arc<HostSnapshot>) {
        self.hosts.insert((Arc::clone(zone), Arc::clone(host)), snapshot);
    }
}

impl HostSnapshot {
    /// Flattens `root`; `known` gives what stands at an endpoint's slot.
    pub(crate) fn build(root: &Node, known: &mut dyn FnMut(u32) -> Option<Known>) -> Self {
        let mut out = HostSnapshot::default();
        out.push("".into(), root, known);
        out
    }

    fn push(&mut self, name: Arc<str>, node: &Node, known: &mut dyn FnMut(u32) -> Option<Known>) -> u32 {
        let index = self.nodes.len() as u32;
        let ends = node.ends.iter().filter_map(|e| known(e.slot)).collect();
        self.nodes.push(Flat { name, params: SmallVec::new(), ends });
        for (name, kid) in &node.kids {
            let child = self.push(Arc::clone(name), kid, known);
            self.kids.insert((index, hash_str(name)), child);
        }
        for p in &node.params {
            let child = self.push("".into(), &p.node, known);
            let slim = Param {
                node: Box::default(),
                prefix: Arc::clone(&p.prefix),
                suffix: Arc::clone(&p.suffix),
                ..*p
            };
            if let Some(flat) = self.nodes.get_mut(index as usize) {
                flat.params.push((slim, child));
            }
        }
        index
    }

    fn find(&self, method: &str, path: &[u8]) -> Option<&Known> {
        self.walk(0, &segment::split(path).parts, 0, method)
    }

    fn walk(&self, node: u32, path: &[Cow<'_, str>], depth: usize, method: &str) -> Option<&Known> {
        let flat = self.nodes.get(node as usize)?;
        let Some(text) = path.get(depth) else {
            return flat.ends.iter().find(|k| &*k.endpoint.method == method);
        };
        if let Some(kid) = self.kids.get(&(node, hash_str(text)))
            && self.nodes.get(*kid as usize).is_some_and(|k| *k.name == **text)
            && let Some(found) = self.walk(*kid, path, depth + 1, method)
        {
            return Some(found);
        }
        if flat.params.is_empty() {
            return None;
        }
        let previous = depth.checked_sub(1).and_then(|d| path.get(d)).map(|p| &**p);
        let part = Part::new(text, previous, depth);
        flat.params
            .iter()
            .filter(|(p, _)| p.takes(&part, Matching::Lenient))
            .find_map(|(_, child)| self.walk(*child, path, depth + 1, method))
    }
}
