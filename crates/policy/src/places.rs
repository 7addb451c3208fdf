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
/// Slashes at the end or beside each other, parameters of parts, parts that are nothing else and steps (`/login/`, `//login`, `/login;x=1`,
/// `/;x/login`, `/x/../login`; RFC 3986 §3.3) are the same path, since most applications take them for it. What is behind two slashes
/// (`//x/login`) is a host to who reads the target as a part of a URL (RFC 3986 §4.2), and a backslash is a slash to some: either may be meant.
/// Letter case counts.
pub fn path_matches(pattern: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or(path);
    let reads =
        |path: &str| is_of(pattern, path) || behind_host(path).is_some_and(|rest| is_of(pattern, rest));
    reads(path) || slashed(path).is_some_and(|path| reads(&path))
}

/// A path with backslashes as slashes, where it has some.
fn slashed(path: &str) -> Option<String> {
    let has = path.contains('\\') || path.contains("%5c") || path.contains("%5C");
    has.then(|| path.replace("%5c", "/").replace("%5C", "/").replace('\\', "/"))
}

fn is_of(pattern: &str, path: &str) -> bool {
    let stepped = path.contains("/..").then(|| stepped(path));
    let mut wanted = pattern.split('/').filter(|p| !p.is_empty());
    let mut given = parts(stepped.as_deref().unwrap_or(path));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some("**"), _) => return true,
            (Some(w), Some(g)) if w == g || w == plain(g) || is_any(w) => {}
            _ => return false,
        }
    }
}

/// The parts of a path, without those that are nothing, a dot, or parameters and nothing else.
fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|p| !p.is_empty() && *p != "." && !p.starts_with(';'))
}

/// A path whose steps up are done.
fn stepped(path: &str) -> String {
    let mut all: Vec<&str> = Vec::new();
    for part in parts(path) {
        match part {
            ".." => drop(all.pop()),
            _ => all.push(part),
        }
    }
    all.join("/")
}

/// What of a path is behind a host, to who takes what is behind two slashes for one.
fn behind_host(path: &str) -> Option<&str> {
    let at = path.strip_prefix("//")?.trim_start_matches('/');
    Some(at.find('/').and_then(|i| at.get(i..)).unwrap_or_default())
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
        let same = ["//v1//orders/77", "/./v1/x/../orders/77", "/../v1/orders/77/."];
        let behind =
            ["//x/v1/orders/77", "///x@y:1/v1/./orders/77/?y", "//;x/v1/orders/77", r"/v1\orders%5C77"];
        for path in same.into_iter().chain(behind) {
            assert!(covers(&scope, Some("POST"), "api.shop.example", path), "{path}");
        }
        for path in ["//x/y/v1/orders/77", "/x/v1/orders/77", "//v1/orders/x/77", "//v1"] {
            assert!(!covers(&scope, Some("POST"), "api.shop.example", path), "{path}");
        }
        assert!(
            path_matches("/", "//x")
                && path_matches("/x", "//x")
                && path_matches("/u/{n}", r"/u/CORP\jdoe")
                && !path_matches("/", "/x")
        );
    }
}
