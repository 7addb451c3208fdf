//! Caddy: the ranges of one matcher, replaced through its administration endpoint.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};
use sidetap_policy::Response;

use crate::canary::{Canary, CanaryConfig};
use crate::config::{ConfigError, canary_of, check_name};
use crate::connector::{Answer, Connector, ConnectorError, Observed, basics, files};
use crate::entry::{AddressSeen, Entry, Places, Sees, mapped};
use crate::http::{Ask, Http, HttpOptions, check_url};
use crate::key::Key;
use crate::memory::Memory;
use crate::place::{Place, by_place};
use crate::plan::Plan;
use crate::turn::turn;

/// A web server: `[[mitigation.caddy]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaddyConfig {
    /// Its name.
    #[serde(default = "default_name")]
    pub name: String,
    /// The administration endpoint.
    #[serde(default = "default_url")]
    pub url: String,
    /// Where the ranges stand in the configuration.
    #[serde(default = "default_path")]
    pub path: String,
    /// Where the sets of matchers stand, of which the one of `path` is the first: responses to hosts and endpoints need it.
    #[serde(default)]
    pub places: Option<String>,
    /// Where it is remembered which ranges are ours.
    pub memory: PathBuf,
    /// Whether the matcher looks at the connection's address or a forwarded one.
    #[serde(default)]
    pub address: AddressSeen,
    /// Most entries: every request is compared with all of them.
    #[serde(default = "default_capacity")]
    pub capacity: usize,
    /// Seconds between two changes at least: each one closes connections.
    #[serde(default = "default_interval")]
    pub min_interval_s: u64,
    /// A request through it that proves that entries have an effect.
    #[serde(default)]
    pub canary: Option<CanaryConfig>,
    /// How it is reached.
    #[serde(default)]
    pub http: HttpOptions,
    /// Zones whose clients reach it; empty means all.
    #[serde(default)]
    pub zones: Vec<String>,
}

fn default_name() -> String {
    "caddy".to_owned()
}

fn default_url() -> String {
    "http://127.0.0.1:2019".to_owned()
}

fn default_path() -> String {
    "/id/sidetap_block/match/0/remote_ip/ranges".to_owned()
}

fn default_capacity() -> usize {
    2_000
}

fn default_interval() -> u64 {
    5
}

/// A matcher without ranges would match everybody; this one matches nobody (RFC 5737).
const NOBODY: &str = "192.0.2.254/32";

/// What is said where networks are told in one spelling only.
const TWINS: &str = "IPv4 addresses as IPv6 spells them";

/// The connector to a web server.
#[derive(Debug)]
pub struct CaddyConnector {
    config: CaddyConfig,
    http: Http,
    memory: Memory,
    canary: Option<Canary>,
    sees: Sees,
}

impl CaddyConnector {
    /// The connector of this configuration.
    pub fn new(config: CaddyConfig) -> Result<Self, ConfigError> {
        check_name(&config.name)?;
        check_url(&config.name, &format!("{}{}", config.url, config.path))?;
        let canary = canary_of(&config.name, config.canary.as_ref(), config.address, &[])?;
        let sees = Sees {
            address: config.address,
            open_connections: "closed, those of everybody: Caddy begins anew with every change",
            delay: "milliseconds",
            places: if config.places.is_some() { Places::Yes } else { Places::No },
            cannot: "its matchers compare addresses, and with `places` hosts and endpoints",
            ..Sees::addresses(vec![Response::Block], config.capacity)
        };
        let (http, memory) = (Http::new(&config.http)?, Memory::new(&config.memory));
        Ok(CaddyConnector { http, memory, canary, sees, config })
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Vec<u8>, ConnectorError> {
        let url = format!("{}{path}", self.config.url);
        let body = body.map(Value::to_string);
        // A change has Caddy end the connections of its admin interface: one that is kept may be gone with the next request.
        let headers = [("Content-Type", "application/json"), ("Connection", "close")];
        let ask = Ask { method, url: &url, headers: &headers, body: body.as_deref().map(str::as_bytes) };
        self.http.ok(&ask).map(|reply| reply.body)
    }

    fn ranges(&self) -> Result<BTreeSet<String>, ConnectorError> {
        let said: Option<Vec<String>> = serde_json::from_slice(&self.call("GET", &self.config.path, None)?)
            .map_err(|e| ConnectorError::Answer(format!("ranges: {e}")))?;
        Ok(said.unwrap_or_default().into_iter().filter(|r| r != NOBODY).collect())
    }

    /// How a network is told: where addresses are forwarded, one of IPv4 as IPv6 spells it too.
    fn spelled(&self, key: &Key) -> Vec<String> {
        let twin =
            key.net().and_then(|n| mapped(&n)).filter(|_| self.config.address == AddressSeen::Forwarded);
        [Some(key.clone()), twin.map(Key::Net)].into_iter().flatten().map(|k| k.to_string()).collect()
    }

    /// The sets of matchers: the one of addresses, and all others.
    fn sets(&self, path: &str) -> Result<(Value, Vec<Value>), ConnectorError> {
        let said: Vec<Value> = serde_json::from_slice(&self.call("GET", path, None)?)
            .map_err(|e| ConnectorError::Answer(format!("matchers: {e}")))?;
        let mut sets = said.into_iter();
        let first = sets.next().ok_or_else(|| ConnectorError::Missing(format!("{path} is empty")))?;
        Ok((first, sets.collect()))
    }

    /// Entries that hold at places, as far as their sets are there.
    fn observe_places(&self, path: &str, observed: &mut Observed) -> Result<(), ConnectorError> {
        let (first, sets) = self.sets(path)?;
        let known: Vec<Entry> = self.memory.read()?.into_iter().filter(|e| e.key.net().is_none()).collect();
        let ours = self.placed(&first, &known);
        let lost: BTreeSet<&Place> =
            ours.iter().filter(|(_, s)| !sets.contains(s)).map(|(p, _)| *p).collect();
        observed.foreign += sets.iter().filter(|s| !ours.iter().any(|(_, o)| is_ours(s, o))).count();
        let is_there = |e: &&Entry| e.key.who_and_place().1.is_some_and(|p| !lost.contains(p));
        observed.entries.extend(known.iter().filter(is_there).cloned());
        Ok(())
    }

    /// Sets of matchers for each place, which look at addresses as the first one does: one for the path as most read it, and one as
    /// others do.
    fn placed<'a>(&self, first: &Value, entries: &'a [Entry]) -> Vec<(&'a Place, Value)> {
        let matcher = MATCHERS.into_iter().find(|m| first.get(m).is_some()).unwrap_or("remote_ip");
        let set = |(place, whos): (&'a Place, Vec<&Key>)| {
            let mut addresses = first.get(matcher).cloned().unwrap_or_else(|| json!({}));
            let ranges: BTreeSet<String> = whos.into_iter().flat_map(|k| self.spelled(k)).collect();
            if let Some(addresses) = addresses.as_object_mut() {
                addresses.insert("ranges".to_owned(), json!(ranges));
            }
            let mut set = json!({ matcher: addresses });
            let mut add =
                |name: &str, value: Value| set.as_object_mut().map(|s| s.insert(name.to_owned(), value));
            place.method().map(|m| add("method", json!([m])));
            place.host_field().map(|h| add("header_regexp", json!({"Host": {"pattern": h}})));
            place.path_pattern().map(|p| add("path_regexp", json!({"pattern": p})));
            let other = place.other_pattern().and_then(|p| {
                let mut other = set.clone();
                let all = other.as_object_mut()?;
                all.remove("path_regexp");
                all.insert("vars_regexp".to_owned(), json!({RAW_PATH: {"pattern": p}}));
                Some((place, other))
            });
            [Some((place, set)), other].into_iter().flatten()
        };
        by_place(entries).into_iter().flat_map(set).collect()
    }

    fn apply_places(&self, path: &str, before: &[Entry], live: &[&Entry]) -> Result<(), ConnectorError> {
        let (first, sets) = self.sets(path)?;
        let before: Vec<Entry> = before.iter().filter(|e| e.key.net().is_none()).cloned().collect();
        let live: Vec<Entry> = live.iter().filter(|e| e.key.net().is_none()).map(|e| (*e).clone()).collect();
        let ours = self.placed(&first, &before);
        let mut told = vec![first.clone()];
        told.extend(sets.iter().filter(|s| !ours.iter().any(|(_, o)| is_ours(s, o))).cloned());
        told.extend(self.placed(&first, &live).into_iter().map(|(_, set)| set));
        if told.get(1..) != Some(sets.as_slice()) {
            self.call("PATCH", path, Some(&Value::Array(told)))?;
        }
        Ok(())
    }
}

/// The path of a request with its escapes undone, and its slashes as they came.
const RAW_PATH: &str = "{http.request.uri.path}";

/// Matchers of addresses: of the connection's (and in 2.6 of the first that is forwarded), and from 2.7 on of the one that trusted proxies tell.
const MATCHERS: [&str; 2] = ["remote_ip", "client_ip"];

/// Whether a set of matchers is this one of ours, or is as an earlier Sidetap wrote it: of the same addresses and method, its place spelled
/// otherwise.
fn is_ours(set: &Value, ours: &Value) -> bool {
    let whom = |set: &Value| {
        let ranges = MATCHERS.into_iter().find_map(|m| set.get(m)?.get("ranges")?.as_array());
        let texts = ranges.into_iter().flatten().filter_map(Value::as_str);
        texts.filter(|r| !r.starts_with("::ffff:")).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let places =
        |set: &Value| ["header_regexp", "path_regexp", "vars_regexp"].iter().any(|m| set.get(m).is_some());
    set == ours || places(set) && whom(set) == whom(ours) && set.get("method") == ours.get("method")
}

impl Connector for CaddyConnector {
    basics!("caddy", canary, interval);

    fn targets(&self) -> Vec<String> {
        let mut all = files([&self.config.memory]);
        all.push(format!("{} of {}", self.config.path, self.config.url));
        all
    }

    fn observe(&mut self, _now: i64) -> Result<Observed, ConnectorError> {
        let ranges = self.ranges()?;
        let keys: BTreeSet<Key> = ranges.iter().filter_map(|r| r.parse().ok()).collect();
        let mut observed = self.memory.observed(&keys)?;
        let told: BTreeSet<String> = observed.entries.iter().flat_map(|e| self.spelled(&e.key)).collect();
        observed.foreign = ranges.difference(&told).count();
        if !told.is_subset(&ranges) {
            observed.drift.push(TWINS.to_owned());
        }
        if let Some(path) = &self.config.places {
            self.observe_places(path, &mut observed)?;
        }
        Ok(observed)
    }

    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        let turn = turn(&self.config.memory, plan)?;
        let remembered = self.memory.read()?;
        let ours: BTreeSet<String> = remembered.iter().flat_map(|e| self.spelled(&e.key)).collect();
        plan.check_unseen(&self.observe(now)?.entries, "the ranges")?;
        self.memory.intend(&plan.target)?;
        let live: Vec<&Entry> = plan.target.iter().filter(|e| e.expires_at > now).collect();
        let before = self.ranges()?;
        let is_ours = |r: &String| {
            let key = r.parse::<Key>().map(|k| k.to_string());
            ours.contains(r) || key.is_ok_and(|k| ours.contains(&k))
        };
        let mut ranges: BTreeSet<String> = before.iter().filter(|r| !is_ours(r)).cloned().collect();
        ranges.extend(live.iter().filter(|e| e.key.net().is_some()).flat_map(|e| self.spelled(&e.key)));
        if ranges != before {
            let told: Vec<&str> = match ranges.is_empty() {
                true => vec![NOBODY],
                false => ranges.iter().map(String::as_str).collect(),
            };
            self.call("PATCH", &self.config.path, Some(&json!(told)))?;
        }
        if let Some(path) = &self.config.places {
            self.apply_places(path, &remembered, &live)?;
        }
        self.memory.write(&plan.target)?;
        Ok(turn.answer(format!("{} ranges", live.len())))
    }
}
