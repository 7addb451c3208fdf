//! Whether an endpoint is documented, shadow, deprecated, orphan, or unknown.

use std::collections::BTreeMap;
use std::sync::Arc;

use sidetap_model::EndpointRef;
use sidetap_model::rows::{Callers, EndpointRow, Parameter};

use crate::endpoint::Endpoint;
use crate::engine::Engine;
use crate::host::Host;
use crate::inventory::names_in;
use crate::render::id_of;
use crate::spec::{Spec, SpecOperation};
use crate::trie::{End, Node, Param};

impl Engine {
    /// Sets the descriptions that the inventory is held against. Their paths claim requests from then on: call it before the first.
    #[must_use]
    pub fn with_specs(mut self, specs: Vec<Spec>) -> Self {
        self.specs = specs;
        self
    }

    /// Has paths told apart, or taken for one endpoint, as these templates say, whatever is learned; nothing is documented by it.
    #[must_use]
    pub fn with_shapes(mut self, shapes: Vec<Spec>) -> Self {
        self.shapes = shapes;
        self
    }

    /// The descriptions that speak of `host`: those that name it; those that name no host that was seen.
    pub(crate) fn specs_of<'a>(&'a self, host: &'a Host) -> impl Iterator<Item = &'a Spec> {
        self.specs
            .iter()
            .filter(move |s| s.names_host(&host.name) || !self.hosts.iter().any(|h| s.names_host(&h.name)))
    }

    /// The operation that describes an endpoint.
    pub(crate) fn described<'a>(&'a self, host: &'a Host, name: &EndpointRef) -> Option<&'a SpecOperation> {
        self.specs_of(host).find_map(|s| s.operation(&name.method, &name.template))
    }

    /// The standing of an endpoint.
    pub(crate) fn standing(
        &self,
        host: &Host,
        e: &Endpoint,
        name: &EndpointRef,
        versions: &Versions,
    ) -> &'static str {
        let described = self.described(host, name);
        if e.is_deprecated()
            || described.is_some_and(|o| o.deprecated)
            || versions.is_superseded(host, name, e.calls)
        {
            return "deprecated";
        }
        match (described, self.specs_of(host).next()) {
            (Some(_), _) => "documented",
            (None, Some(_)) => "shadow",
            (None, None) => "unknown",
        }
    }

    /// Documented operations that nobody called, where the description names a host that was seen.
    pub(crate) fn orphans(&self, rows: &[EndpointRow]) -> Vec<EndpointRow> {
        let mut out = Vec::new();
        for spec in &self.specs {
            let hosts: Vec<&Host> = self.hosts.iter().filter(|h| spec.names_host(&h.name)).collect();
            let hosts =
                if hosts.is_empty() && self.hosts.len() == 1 { self.hosts.iter().collect() } else { hosts };
            let Some(host) = hosts.first() else { continue };
            for op in spec.operations() {
                let seen = |r: &EndpointRow| {
                    r.method == op.method
                        && spec.operation(&r.method, &r.template).is_some_and(|o| std::ptr::eq(o, op))
                };
                if !rows.iter().any(seen) {
                    out.push(self.orphan(host, spec, op));
                }
            }
        }
        out
    }

    fn orphan(&self, host: &Host, spec: &Spec, op: &SpecOperation) -> EndpointRow {
        let template = spec.full_paths(op).next().unwrap_or_else(|| op.path.clone());
        let parameters = names_in(&template).map(|name| Parameter {
            name: name.to_owned(),
            location: "path".to_owned(),
            kind: "string".to_owned(),
            format: None,
            required: true,
        });
        EndpointRow {
            id: id_of(&host.zone, &host.name, &op.method, &template),
            zone: host.zone.to_string(),
            host: host.name.to_string(),
            method: op.method.clone(),
            parameters: parameters.collect(),
            template,
            protocol: "rest".to_owned(),
            calls: 0,
            first_seen: self.began,
            last_seen: self.began,
            status_codes: BTreeMap::new(),
            auth: Vec::new(),
            exposure: "private".to_owned(),
            standing: "orphan".to_owned(),
            roles: Vec::new(),
            channels: Vec::new(),
            callers: Callers::default(),
            sensitive: Vec::new(),
            risk: 0,
            risk_terms: vec!["documented, but not called".to_owned()],
            merged_by: Vec::new(),
            aliases: Vec::new(),
        }
    }
}

/// Zone, host, and method and path without version.
type VersionKey = (Arc<str>, Arc<str>, String);

/// The live versions of each versioned path: `GET …/v1/users` beside `GET …/v2/users`.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    calls: BTreeMap<VersionKey, BTreeMap<u32, u64>>,
}

impl Versions {
    pub(crate) fn of(hosts: &[Host]) -> Self {
        let mut out = Versions::default();
        for host in hosts {
            for (e, name) in
                host.endpoints.iter().zip(&host.names).filter_map(|(e, n)| Some((e.as_ref()?, n.as_ref()?)))
            {
                if let Some((version, rest)) = version_of(name) {
                    let key = (Arc::clone(&host.zone), Arc::clone(&host.name), rest);
                    *out.calls.entry(key).or_default().entry(version).or_default() += e.calls;
                }
            }
        }
        out
    }

    /// True where a newer version of the same path is called more often.
    pub(crate) fn is_superseded(&self, host: &Host, name: &EndpointRef, calls: u64) -> bool {
        let Some((version, rest)) = version_of(name) else { return false };
        let key = (Arc::clone(&host.zone), Arc::clone(&host.name), rest);
        self.calls.get(&key).is_some_and(|v| v.range(version + 1..).any(|(_, n)| *n > calls))
    }
}

/// The version in a template, and method and path without it.
fn version_of(name: &EndpointRef) -> Option<(u32, String)> {
    let mut version = None;
    let mut rest = name.method.to_string();
    for segment in name.template.split('/') {
        let number = segment.strip_prefix(['v', 'V']).and_then(|n| n.parse::<u32>().ok());
        rest.push('/');
        match number.filter(|n| version.is_none() && *n < 1000) {
            Some(n) => {
                version = Some(n);
                rest.push_str("v*");
            }
            None => rest.push_str(if segment.contains('{') { "{}" } else { segment }),
        }
    }
    version.map(|v| (v, rest))
}

/// Puts the operations of `spec` into a host's trie, so that they claim requests; gives them slots from `next` on.
pub(crate) fn seed(
    root: &mut Node,
    spec: &Spec,
    most: u32,
    next: &mut u32,
    method: &mut dyn FnMut(&str) -> Option<u8>,
) {
    let mut room = most;
    for op in spec.operations() {
        let Some(number) = method(&op.method) else { continue };
        for path in spec.full_paths(op) {
            let mut at = &mut *root;
            for segment in path.split('/').filter(|s| !s.is_empty()) {
                let Some(left) = room.checked_sub(1) else { return };
                room = left;
                let Some(below) = step(at, segment) else { return };
                at = below;
            }
            if !at.ends.iter().any(|e| e.method == number) {
                let slashed = u32::from(path.len() > 1 && path.ends_with('/'));
                at.ends.push(End { method: number, hits: slashed, slashed, keys: 0, slot: *next });
                *next += 1;
            }
        }
    }
}

fn step<'a>(at: &'a mut Node, segment: &str) -> Option<&'a mut Node> {
    let Some((prefix, rest)) = segment.split_once('{') else {
        let kid = at.kids.entry(segment.into()).or_default();
        kid.pinned = true;
        return Some(kid);
    };
    let suffix = rest.rsplit('}').next().unwrap_or_default();
    let found = at.params.iter().position(|p| &*p.prefix == prefix && &*p.suffix == suffix);
    let param = match found {
        Some(index) => at.params.remove(index),
        None => Param::new(prefix, suffix),
    };
    let index = at.place(Param { open: true, claimed: true, ..param });
    at.params.get_mut(index).map(|p| &mut *p.node)
}
