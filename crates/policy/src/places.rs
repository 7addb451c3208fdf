//! Where a response holds: hosts, endpoints, roles and channels.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use sidetap_model::Ts;
use sidetap_model::rows::{CampaignRow, EndpointRow};

use crate::rule_scope::{RuleScope, Stands};

/// Which endpoints have which role and channel.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// By `METHOD host/template`.
    of: BTreeMap<String, Known>,
    /// What scopes stand for, worked out once.
    stands: Arc<Mutex<HashMap<RuleScope, Arc<Stands>>>>,
}

/// An endpoint of the inventory, in all zones.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) template: String,
    pub(crate) roles: Vec<String>,
    pub(crate) channels: Vec<String>,
    pub(crate) calls: u64,
    pub(crate) callers: u64,
    pub(crate) first_seen: Ts,
}

impl Places {
    /// The places of an inventory.
    pub fn of<'a>(endpoints: impl IntoIterator<Item = &'a EndpointRow>) -> Self {
        let mut places = Places::default();
        endpoints.into_iter().for_each(|e| places.add(e));
        places
    }

    /// Adds an endpoint.
    pub fn add(&mut self, e: &EndpointRow) {
        self.stands = Arc::default();
        let name = format!("{} {}{}", e.method, e.host, e.template);
        let known = self.of.entry(name).or_insert_with(|| Known {
            method: e.method.clone(),
            host: e.host.clone(),
            template: e.template.clone(),
            roles: Vec::new(),
            channels: Vec::new(),
            calls: 0,
            callers: 0,
            first_seen: e.first_seen,
        });
        known.calls = known.calls.saturating_add(e.calls);
        known.callers = known.callers.max(e.callers.count);
        known.first_seen = known.first_seen.min(e.first_seen);
        for (all, more) in [(&mut known.roles, &e.roles), (&mut known.channels, &e.channels)] {
            let fresh: Vec<String> = more.iter().filter(|name| !all.contains(name)).cloned().collect();
            all.extend(fresh);
        }
    }

    /// Roles of the endpoints that a campaign went to, each once.
    pub(crate) fn roles_of(&self, campaign: Option<&CampaignRow>) -> Vec<String> {
        self.collect(campaign, |known| &known.roles)
    }

    /// Channels likewise.
    pub(crate) fn channels_of(&self, campaign: Option<&CampaignRow>) -> Vec<String> {
        self.collect(campaign, |known| &known.channels)
    }

    /// An endpoint by its name.
    pub(crate) fn named(&self, name: &str) -> Option<&Known> {
        self.of.get(name)
    }

    /// All endpoints, by their names.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&String, &Known)> {
        self.of.iter()
    }

    /// What a scope stands for, worked out by the first who asks.
    pub(crate) fn stands(&self, scope: &RuleScope, work_out: impl FnOnce() -> Stands) -> Arc<Stands> {
        let known = || self.stands.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stands) = known().get(scope) {
            return stands.clone();
        }
        let fresh = Arc::new(work_out());
        known().entry(scope.clone()).or_insert(fresh).clone()
    }

    #[cfg(test)]
    pub(crate) fn with(all: impl IntoIterator<Item = Known>) -> Self {
        let named = |k: Known| (format!("{} {}{}", k.method, k.host, k.template), k);
        Places { of: all.into_iter().map(named).collect(), ..Places::default() }
    }

    fn collect(&self, campaign: Option<&CampaignRow>, which: impl Fn(&Known) -> &Vec<String>) -> Vec<String> {
        let endpoints = campaign.map(|c| c.endpoints.as_slice()).unwrap_or_default();
        let all = endpoints.iter().filter_map(|e| self.of.get(e)).flat_map(which);
        all.cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// Whether a request is where the scope is. Without a method all methods are.
pub fn covers(scope: &sidetap_model::Scope, method: Option<&str>, host: &str, path: &str) -> bool {
    let host_fits = scope.hosts.is_empty() || scope.hosts.iter().any(|h| host_matches(h, host));
    let mut named = scope.endpoints.iter().map(|e| e.split_once(' ').unwrap_or(("*", e)));
    let endpoint_fits = scope.endpoints.is_empty()
        || named.any(|(m, at)| {
            let (h, p) = at.find('/').map_or((at, "/**"), |i| at.split_at(i));
            let method_fits = m == "*" || method.is_none_or(|x| x.eq_ignore_ascii_case(m));
            method_fits && (h.is_empty() || host_matches(h, host)) && path_matches(p, path)
        });
    host_fits && endpoint_fits
}

/// Whether a host is the named one, or below it where the name begins with `*.`. A dot behind a name is the same host (RFC 1034 §3.1).
pub fn host_matches(name: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    match name.strip_prefix("*.") {
        Some(parent) => host.strip_suffix(parent).is_some_and(|h| h.ends_with('.')),
        None => name == host,
    }
}

/// Whether a path is one of a pattern: a part in braces is any one part, `**` at the end any rest. A pattern may stand for another
/// that is as wide.
///
/// A slash at the end, parameters of parts and parts that are nothing else (`/login/`, `/login;x=1`, `/;x/login`; RFC 3986 §3.3) are the
/// same path, since most applications take them for it. Letter case counts.
pub fn path_matches(pattern: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or(path);
    let mut wanted = unslashed(pattern).split('/');
    let mut given = unslashed(path).split('/').filter(|p| !p.starts_with(';'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some("**"), _) => return true,
            (Some(w), Some(g)) if w == g || w == plain(g) || is_any(w) && !g.is_empty() => {}
            // That of a host has a slash, which may stand before a part that is nothing.
            (Some(""), None) => {}
            _ => return false,
        }
    }
}

/// A path without the slash at its end, and parts behind it that are parameters and nothing else; the one of a host is nothing else.
fn unslashed(path: &str) -> &str {
    let slash = |path| str::strip_suffix(path, '/').filter(|p| !p.is_empty()).unwrap_or(path);
    let mut path = slash(path);
    while let Some((before, part)) = path.rsplit_once('/') {
        if before.is_empty() || !part.starts_with(';') {
            break;
        }
        path = slash(before);
    }
    path
}

/// A part of a path without its parameters.
fn plain(part: &str) -> &str {
    part.split(';').next().unwrap_or(part)
}

/// Whether a part stands for any one part: as a whole, not only in a piece of it.
fn is_any(part: &str) -> bool {
    part == "*"
        || part.strip_prefix('{').and_then(|p| p.strip_suffix('}')).is_some_and(|p| !p.contains(['{', '}']))
}

/// Whether no path has such a part: it is neither plain nor one in braces.
pub(crate) fn is_in_pieces(part: &str) -> bool {
    part.contains(['{', '}']) && !is_any(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidetap_model::Scope;

    #[test]
    fn scopes_name_hosts_methods_and_paths() {
        let scope = Scope {
            hosts: vec!["*.shop.example".into()],
            endpoints: vec!["POST api.shop.example/v1/orders/{order_id}".into(), "* /login/**".into()],
            ..Scope::default()
        };
        assert!(covers(&scope, Some("POST"), "api.shop.example", "/v1/orders/77?x=1"));
        assert!(!covers(&scope, Some("GET"), "api.shop.example", "/v1/orders/77"));
        assert!(!covers(&scope, Some("POST"), "api.shop.example", "/v1/orders/77/items"));
        assert!(covers(&scope, Some("GET"), "www.shop.example", "/login/a/b"));
        assert!(!covers(&scope, Some("GET"), "shop.example", "/login/a"), "the host itself is not below it");
        let odd = ["/;x/v1/orders/77", "/v1/;x/;y/orders/77", "/v1/orders/77/;x", "/v1/orders/77/;x/;y/"];
        for path in ["/v1/orders/77/", "/v1/orders;v=2/77", "/v1;/orders/77;x=1/?y"].into_iter().chain(odd) {
            assert!(covers(&scope, Some("POST"), "api.shop.example", path), "{path}");
        }
        assert!(covers(&scope, Some("POST"), "api.shop.example.", "/v1/orders/77"), "a dot is the same host");
        assert!(!covers(&scope, Some("POST"), "api.shop.example", "/V1/orders/77"), "case counts");
        assert!(!path_matches("/item-{id}", "/other"), "only a part as a whole is any part");
        assert!(path_matches("/", "/") && path_matches("/a/", "/a") && !path_matches("/", "/a"));
        assert!(path_matches("/", "/;x") && path_matches("/", "/;x/;y/") && !path_matches("/{a}", "/;x"));
        assert!(covers(&Scope::default(), None, "x", "/"));
    }
}
