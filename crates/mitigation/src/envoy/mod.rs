//! Envoy: a route configuration that it watches, whose RBAC filter looks addresses up in a trie.
//!
//! Where the listener has a Lua filter for it, a script in the same configuration marks, limits and deceives, and compares what is no
//! address: fingerprints, sessions, keys, headers.
//!
//! The user's own route configuration stays in a file of the user's; Sidetap writes the one that Envoy reads, which is the
//! user's with the addresses put in.

mod script;

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};
use sidetap_policy::Response;

use crate::canary::Canary;
use crate::config::{ConfigError, edge_config};
use crate::connector::{Answer, Connector, ConnectorError, Observed, basics, files};
use crate::entry::{AddressSeen, Entry, Places, Sees, mapped};
use crate::hosted::{self, Server};
use crate::memory::Memory;
use crate::place::{Cell, Place, Spread, by_place};
use crate::plan::Plan;
use crate::turn::turn;
use crate::way::Ways;

edge_config! {
    /// A proxy: `[[mitigation.envoy]]`.
    EnvoyConfig("envoy", capacity: 50_000) {
        /// The file that Envoy watches.
        routes: PathBuf,
        /// The route configuration of the user's, in the JSON form of a discovery response.
        template: PathBuf,
        /// The name of the RBAC filter in the listener.
        #[serde(default = "default_filter")]
        filter: String,
        /// The name of the Lua filter in the listener, where there is one: it can tag, rate-limit and deceive.
        #[serde(default)]
        script: Option<String>,
        /// A copy of the site's hash key that Envoy can read: the script then compares sessions and API keys.
        #[serde(default)]
        hash_key: Option<PathBuf>,
        /// Headers whose values the script compares, in lower case.
        #[serde(default)]
        headers: Vec<String>,
        /// Requests a second that a rate-limited address may send to each of Envoy's threads.
        #[serde(default = "default_rate")]
        rate_per_s: u32,
        /// The header that tells the application of a tagged request, in lower case.
        #[serde(default = "default_tag")]
        tag_header: String,
        /// What deceived clients are answered.
        #[serde(default)]
        decoy: EnvoyDecoy,
        /// Where it is remembered what it was told.
        memory: PathBuf,
    }
}

/// An answer that looks like success.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnvoyDecoy {
    /// Its status.
    pub status: u16,
    /// Its media type.
    pub content_type: String,
    /// Its body.
    pub body: String,
}

impl Default for EnvoyDecoy {
    fn default() -> Self {
        EnvoyDecoy { status: 200, content_type: "application/json".to_owned(), body: "{}".to_owned() }
    }
}

fn default_rate() -> u32 {
    5
}

fn default_tag() -> String {
    "x-sidetap-tag".to_owned()
}

fn default_filter() -> String {
    "sidetap".to_owned()
}

/// The connector to a proxy.
#[derive(Debug)]
pub struct EnvoyConnector {
    config: EnvoyConfig,
    memory: Memory,
    /// What it is about to be told.
    next: Memory,
    canary: Option<Canary>,
    sees: Sees,
}

impl EnvoyConnector {
    /// The connector of this configuration.
    pub fn new(config: EnvoyConfig) -> Result<Self, ConfigError> {
        if config.routes == config.template {
            return Err(ConfigError::Value(format!("{}: routes and template are two files", config.name)));
        }
        let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let plain = |text: &str| !text.bytes().any(|b| b.is_ascii_control());
        if config.rate_per_s == 0
            || config.tag_header.is_empty()
            || !config.tag_header.bytes().all(is_name)
            || !(200..600).contains(&config.decoy.status)
            || !plain(&config.decoy.content_type)
            || config.headers.iter().any(|h| h.is_empty() || !h.bytes().all(is_name))
        {
            let why = "rate_per_s is not 0, tag_header and headers names in lower case, decoy an answer";
            return Err(ConfigError::Value(format!("{}: {why}", config.name)));
        }
        let scripted = config.script.is_some();
        if !scripted && (config.hash_key.is_some() || !config.headers.is_empty()) {
            return Err(ConfigError::Value(format!("{}: hash_key and headers need a script", config.name)));
        }
        if config.script.as_ref() == Some(&config.filter) {
            return Err(ConfigError::Value(format!("{}: filter and script are two filters", config.name)));
        }
        let prints: &[&str] = if scripted { &["a1", "d1"] } else { &[] };
        let canary = config.named_canary(prints)?;
        let mut responses = vec![Response::Block];
        if scripted {
            responses.extend([Response::Tag, Response::RateLimit, Response::Deceive]);
        }
        let ways = Ways {
            any_rate: scripted,
            per_thread: scripted,
            answers: scripted,
            tag_header: Some(config.tag_header.clone()).filter(|_| scripted),
            ..Ways::default()
        };
        let sees = Sees {
            address: config.address,
            ways,
            open_connections: "stay; the next request on it is refused",
            delay: "tenths of a second",
            places: Places::Yes,
            prints,
            tokens: config.hash_key.is_some(),
            headers: config.headers.clone(),
            allow_list: scripted,
            cannot: "its filters look up addresses, hosts and endpoints, and with the script fingerprints of agent and head, named headers and, with the site's key, sessions and API keys",
            ..Sees::addresses(responses, config.capacity)
        };
        let (memory, next) = (&config.memory, config.memory.with_extension("next"));
        Ok(EnvoyConnector { memory: Memory::new(memory), next: Memory::new(&next), canary, sees, config })
    }

    /// The user's route configuration with what these entries name refused in every virtual host.
    fn render(&self, entries: &[Entry], allow: &[IpNet]) -> Result<String, ConnectorError> {
        let by_trie = |e: &&Entry| e.response == Response::Block && e.key.who_and_place().0.net().is_some();
        let (refused, others): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(by_trie);
        let forwarded = self.config.address == AddressSeen::Forwarded;
        let rules = per_route(&refused.into_iter().cloned().collect::<Vec<_>>(), forwarded)?;
        let script =
            self.config.script.as_ref().map(|name| (name, script::per_route(&self.config, &others, allow)));
        let at = self.config.template.display();
        if !self.config.template.exists() {
            let what = "your own route configuration, which the entries are put into (`template`)";
            return Err(ConnectorError::Missing(format!("{at}: there is no such file: {what}")));
        }
        let text = hosted::read(&self.config.template)?;
        let mut routes: Value = serde_json::from_str(&text)
            .map_err(|e| ConnectorError::Missing(format!("{at}: no JSON: {e}")))?;
        let mut hosts = 0;
        let resources = routes.get_mut("resources").and_then(Value::as_array_mut);
        for resource in resources.into_iter().flatten() {
            for host in resource.get_mut("virtual_hosts").and_then(Value::as_array_mut).into_iter().flatten()
            {
                let Some(host) = host.as_object_mut() else { continue };
                let filters = host.entry("typed_per_filter_config").or_insert_with(|| json!({}));
                if let Some(filters) = filters.as_object_mut() {
                    filters.insert(self.config.filter.clone(), rules.clone());
                    if let Some((name, script)) = &script {
                        filters.insert((*name).clone(), script.clone());
                    }
                    hosts += 1;
                }
            }
        }
        if hosts == 0 {
            return Err(ConnectorError::Missing(format!("{at}: there is no virtual host in `resources`")));
        }
        Ok(routes.to_string())
    }
}

/// The filter's configuration for one virtual host (`envoy.extensions.filters.http.rbac.v3.RBACPerRoute`).
///
/// Addresses are looked up first, then where the request is: the first cell that fits knows who is refused there. Where they are
/// `forwarded`, those of IPv4 are looked up as IPv6 spells them too.
fn per_route(entries: &[Entry], forwarded: bool) -> Result<Value, ConnectorError> {
    let both = |net: IpNet| [Some(net), mapped(&net).filter(|_| forwarded)].into_iter().flatten();
    let all: Vec<(&Entry, ())> = entries.iter().map(|e| (e, ())).collect();
    let cells = Spread::of(&all)?.cells;
    let placed = by_place(entries);
    let at_cell = |cell: &Cell| {
        let whos = cell.of.iter().flat_map(|p| placed.get(p).into_iter().flatten());
        let nets: BTreeSet<IpNet> = whos.filter_map(|w| w.net()).flat_map(both).collect();
        let refused = addresses(nets.into_iter(), action("ALLOW"));
        json!({"predicate": predicate(&cell.place), "on_match": {"matcher": refused}})
    };
    let matchers: Vec<Value> = cells.iter().map(at_cell).collect();
    let elsewhere = match matchers.is_empty() {
        true => action("ALLOW"),
        false => {
            json!({"matcher": {"matcher_list": {"matchers": matchers}, "on_no_match": action("ALLOW")}})
        }
    };
    let matcher = addresses(entries.iter().filter_map(|e| e.key.net()).flat_map(both), elsewhere);
    let kind = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute";
    Ok(json!({"@type": kind, "rbac": {"matcher": matcher}}))
}

fn action(action: &str) -> Value {
    json!({"action": {"name": action, "typed_config": {
        "@type": "type.googleapis.com/envoy.config.rbac.v3.Action", "name": "sidetap", "action": action}}})
}

/// Refuses these networks, by a trie; what is done with all others is said by `others`.
fn addresses(nets: impl Iterator<Item = IpNet>, others: Value) -> Value {
    let ranges: Vec<Value> =
        nets.map(|n| json!({"address_prefix": n.addr().to_string(), "prefix_len": n.prefix_len()})).collect();
    if ranges.is_empty() {
        return others.get("matcher").cloned().unwrap_or_else(|| json!({"on_no_match": others}));
    }
    json!({
        "matcher_tree": {
            "input": {"name": "source", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.SourceIPInput"}},
            "custom_match": {"name": "ip", "typed_config": {
                "@type": "type.googleapis.com/xds.type.matcher.v3.IPMatcher",
                "range_matchers": [{"ranges": ranges, "on_match": action("DENY")}]}},
        },
        "on_no_match": others,
    })
}

/// Whether a request is at a place.
fn predicate(place: &Place) -> Value {
    let field = |name: &str, regex: String| {
        json!({"single_predicate": {
            "input": {"name": name, "typed_config": {
                "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput", "header_name": name}},
            "value_match": {"safe_regex": {"google_re2": {}, "regex": regex}}}})
    };
    let method = place.method().map(|m| field(":method", m.to_owned()));
    let host = place.host_field().map(|h| field(":authority", h));
    let path = place.target_pattern().map(|p| field(":path", p));
    let mut all: Vec<Value> = [method, host, path].into_iter().flatten().collect();
    match (all.pop(), all.is_empty()) {
        (None, _) => field(":method", ".*".to_owned()),
        (Some(only), true) => only,
        (Some(last), false) => {
            all.push(last);
            json!({"and_matcher": {"predicate": all}})
        }
    }
}

/// What tells a file from the one that takes its place.
fn number(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|about| about.ino())
}

/// Has Envoy read a file that had to be written over, since there was no room for another: it looks when one is moved into place.
fn show(routes: &Path) -> Result<(), ConnectorError> {
    let aside = routes.with_extension("aside");
    let moved = std::fs::rename(routes, &aside).and_then(|()| std::fs::rename(&aside, routes));
    moved.map_err(|e| ConnectorError::Unreachable(format!("{}: {e}", routes.display())))
}

impl Connector for EnvoyConnector {
    basics!("envoy", canary);

    fn targets(&self) -> Vec<String> {
        files([&self.config.routes, &self.config.memory])
    }

    /// The file is compared with what it should be, so a template that changed is drift too.
    fn observe(&mut self, _now: i64) -> Result<Observed, ConnectorError> {
        let routes = hosted::read(&self.config.routes)?;
        // A change that broke off left either of them.
        for memory in [&self.memory, &self.next] {
            // The file is Sidetap's own: without a memory of it it is made anew.
            let (entries, allow) = match memory.read_all() {
                Err(ConnectorError::Missing(_)) => continue,
                read => read?,
            };
            if routes == self.render(&entries, &allow)? {
                return Ok(Observed { entries, allow, ..Observed::default() });
            }
        }
        Ok(Observed { drift: vec!["route configuration".to_owned()], ..Observed::default() })
    }

    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        let turn = turn(&self.config.routes, plan)?;
        plan.check_unseen(&self.observe(now)?.entries, &self.config.routes.display().to_string())?;
        let live: Vec<Entry> = plan.target.iter().filter(|e| e.expires_at > now).cloned().collect();
        let text = self.render(&live, &plan.allow)?;
        self.next.write_all(&live, &plan.allow)?;
        let before = number(&self.config.routes);
        hosted::put(
            &[(self.config.routes.clone(), text)],
            plan,
            &Server { test: &[], reload: &[], timeout_s: 1 },
        )?;
        if before.is_some() && before == number(&self.config.routes) {
            show(&self.config.routes)?;
        }
        self.memory.write_all(&live, &plan.allow)?;
        Ok(turn.answer(format!("{} addresses", live.len())))
    }
}
