//! HAProxy through its Runtime API: one map for each response, replaced as a whole under a version.
//!
//! A value of a map is the end of the entry in seconds since 1970 and Sidetap's mark, so that HAProxy itself lets go when the
//! time is over (the configuration compares it with its clock). Lines of others in the same maps are carried over. What is no address
//! stands in a map of its own, which a Lua script looks up.

mod keys;
mod map;
mod socket;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::Deserialize;
use sidetap_policy::Response;

use crate::canary::{Canary, CanaryConfig};
use crate::config::{ConfigError, canary_of, check_name};
use crate::connector::{Answer, Connector, ConnectorError, Observed, basics};
use crate::entry::{AddressSeen, Entry, Places, Sees};
use crate::plan::Plan;
use crate::way::Ways;

use map::MapLine;
use socket::Socket;

/// A load balancer: `[[mitigation.haproxy]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HaproxyConfig {
    /// Its name.
    #[serde(default = "default_name")]
    pub name: String,
    /// The Runtime API: a path, or `127.0.0.1:port`.
    pub socket: String,
    /// The map of blocked addresses, as `show map` names it.
    #[serde(default)]
    pub block_map: Option<String>,
    /// The map of all that is no address, which the Lua script looks up.
    #[serde(default)]
    pub keys_map: Option<String>,
    /// The map from requests to places, Sidetap's own: responses to hosts and endpoints need it, `nets_map` and `keys_map`.
    #[serde(default)]
    pub places_map: Option<String>,
    /// The map of networks that are acted against at places only, Sidetap's own.
    #[serde(default)]
    pub nets_map: Option<String>,
    /// Whether the script has the site's hash key, so that it knows sessions and API keys.
    #[serde(default)]
    pub tokens: bool,
    /// Headers whose values the script compares, in lower case.
    #[serde(default = "default_headers")]
    pub headers: Vec<String>,
    /// The map of rate-limited addresses.
    #[serde(default)]
    pub rate_limit_map: Option<String>,
    /// The map of addresses that are answered late.
    #[serde(default)]
    pub tarpit_map: Option<String>,
    /// The map of addresses that have to solve a challenge.
    #[serde(default)]
    pub challenge_map: Option<String>,
    /// The map of addresses that a decoy answers.
    #[serde(default)]
    pub deceive_map: Option<String>,
    /// The map of addresses whose requests are tagged.
    #[serde(default)]
    pub tag_map: Option<String>,
    /// The map of addresses that are never touched.
    #[serde(default)]
    pub allow_map: Option<String>,
    /// Decoys of the configuration that a rule may ask for by name.
    #[serde(default)]
    pub decoys: Vec<String>,
    /// The header that tells the application of a tagged request, in lower case, where its value is the rule's.
    #[serde(default)]
    pub tag_header: Option<String>,
    /// The mark of own lines; two Sidetaps on one HAProxy need two.
    #[serde(default = "default_owner")]
    pub owner: String,
    /// Which address the configuration looks up: `peer` or `forwarded`.
    #[serde(default)]
    pub address: AddressSeen,
    /// Most entries in all maps.
    #[serde(default = "default_capacity")]
    pub capacity: usize,
    /// Bytes of one command: less than HAProxy's `tune.bufsize`.
    #[serde(default = "default_batch")]
    pub batch_bytes: usize,
    /// Seconds that one command may take.
    #[serde(default = "default_timeout")]
    pub timeout_s: u64,
    /// A request through it that proves that entries have an effect.
    #[serde(default)]
    pub canary: Option<CanaryConfig>,
    /// Zones whose clients reach it; empty means all.
    #[serde(default)]
    pub zones: Vec<String>,
}

fn default_name() -> String {
    "haproxy".to_owned()
}

fn default_headers() -> Vec<String> {
    vec!["user-agent".to_owned()]
}

fn default_owner() -> String {
    "sidetap".to_owned()
}

fn default_capacity() -> usize {
    100_000
}

fn default_batch() -> usize {
    12_000
}

fn default_timeout() -> u64 {
    10
}

/// What is said where the maps of keys, places and networks do not fit each other.
const PLACES: &str = "keys and places";

/// The connector to a load balancer.
#[derive(Debug)]
pub struct HaproxyConnector {
    config: HaproxyConfig,
    maps: Vec<(Response, String)>,
    canary: Option<Canary>,
    sees: Sees,
}

impl HaproxyConnector {
    /// The connector of this configuration.
    pub fn new(config: HaproxyConfig) -> Result<Self, ConfigError> {
        check_name(&config.name)?;
        let given = [
            (Response::Tag, &config.tag_map),
            (Response::RateLimit, &config.rate_limit_map),
            (Response::Tarpit, &config.tarpit_map),
            (Response::Challenge, &config.challenge_map),
            (Response::Deceive, &config.deceive_map),
            (Response::Block, &config.block_map),
        ];
        let maps: Vec<(Response, String)> =
            given.into_iter().filter_map(|(r, m)| m.clone().map(|m| (r, m))).collect();
        check_maps(&config, &maps)?;
        let keys = config.keys_map.is_some();
        let places = keys && config.places_map.is_some() && config.nets_map.is_some();
        let prints: &[&str] = if keys { &["a1", "d1"] } else { &[] };
        let canary = canary_of(&config.name, config.canary.as_ref(), config.address, prints)?;
        if canary.is_some() && config.block_map.is_none() {
            return Err(ConfigError::Value(format!("{}: canary: needs block_map", config.name)));
        }
        let ways = Ways {
            any_rate: keys,
            delays: keys,
            ..Ways::configured(&config.name, &[], &config.decoys, config.tag_header.as_ref())?
        };
        let sees = Sees {
            address: config.address,
            ways,
            networks: true,
            ipv6: true,
            prints,
            tokens: keys && config.tokens,
            accounts: false,
            headers: if keys { config.headers.clone() } else { Vec::new() },
            places: if places { Places::Yes } else { Places::No },
            min_prefix: (16, 32),
            responses: maps.iter().map(|(r, _)| *r).collect(),
            capacity: config.capacity,
            native_ttl: true,
            allow_list: config.allow_map.is_some(),
            open_connections: "the next request on it is treated so; one that is being answered is finished",
            delay: "milliseconds",
            cannot: "it compares addresses, and with the Lua script fingerprints of agents and heads (a1, d1), headers that are configured, and with the site's key sessions and API keys",
        };
        Ok(HaproxyConnector { config, maps, canary, sees })
    }

    fn socket(&self) -> Socket<'_> {
        Socket { address: &self.config.socket, timeout_s: self.config.timeout_s }
    }

    /// The map of addresses of each response.
    fn address_maps(&self) -> impl Iterator<Item = (Response, &str)> {
        self.maps.iter().map(|(r, name)| (*r, name.as_str()))
    }

    /// The maps that are Sidetap's own, whoever's entries they serve: of places, and of networks.
    fn own_maps(&self) -> Option<(&str, &str)> {
        self.config.places_map.as_deref().zip(self.config.nets_map.as_deref())
    }

    /// Own entries of the map of keys, and what of it, or of the maps of places and networks, is not as they need it.
    fn observe_keys(&self, name: &str, observed: &mut Observed, now: i64) -> Result<(), ConnectorError> {
        let lines = map::show(&self.socket(), name)?;
        let held = keys::Held::of(&lines, &self.config.owner, now);
        let should = held.render(held.own.clone())?;
        let same = |a: &[MapLine], b: &[MapLine]| {
            let sorted =
                |l: &[MapLine]| l.iter().map(|l| (l.key.clone(), l.value.clone())).collect::<BTreeSet<_>>();
            a.len() == b.len() && sorted(a) == sorted(b)
        };
        let mut right = same(&lines, &should.keys) && !map::is_hidden(&lines, keys::is_marked);
        if let Some((places, nets)) = self.own_maps() {
            // Of places the order counts: the first that fits is taken.
            right &= map::show(&self.socket(), places)? == should.places;
            right &= same(&map::show(&self.socket(), nets)?, &should.nets);
        }
        if !right {
            observed.drift.push(PLACES.to_owned());
        }
        observed.foreign += held.foreign();
        observed.entries.extend(held.own);
        Ok(())
    }

    fn apply_keys(&self, name: &str, plan: &Plan, now: i64) -> Result<Option<String>, ConnectorError> {
        let ours = |e: &&Entry| e.key.net().is_none();
        let mut changes = plan.add.iter().chain(&plan.refresh).chain(&plan.remove);
        if !changes.any(|e| ours(&e)) && !plan.repair.iter().any(|r| r == PLACES) {
            return Ok(None);
        }
        let before = map::show(&self.socket(), name)?;
        let held = keys::Held::of(&before, &self.config.owner, now);
        plan.check_unseen(&held.own, &format!("map {name}"))?;
        let live = plan.target.iter().filter(ours).filter(|e| e.expires_at > now).cloned();
        let should = held.render(live.collect())?;
        // A place whose entries are not there yet is no harm; an entry whose place is not known has no effect.
        if let Some((places, nets)) = self.own_maps() {
            self.replace(places, &map::show(&self.socket(), places)?, &should.places)?;
            self.replace(nets, &map::show(&self.socket(), nets)?, &should.nets)?;
        }
        self.replace(name, &before, &should.keys)?;
        Ok(Some(format!("{name}: {} lines", should.keys.len())))
    }

    fn replace(&self, name: &str, before: &[MapLine], lines: &[MapLine]) -> Result<(), ConnectorError> {
        map::replace(&self.socket(), name, (before, lines), self.config.batch_bytes)
    }
}

/// What is said where a map has lines of another Sidetap's that are over.
fn over_in(map: &str) -> String {
    format!("lines that are over in {map}")
}

/// What is said where a line by hand stands before ours for the same.
fn hidden_in(map: &str) -> String {
    format!("lines that others hide in {map}")
}

fn check_maps(config: &HaproxyConfig, maps: &[(Response, String)]) -> Result<(), ConfigError> {
    let refuse = |why: &str| Err(ConfigError::Value(format!("{}: {why}", config.name)));
    if maps.is_empty() {
        return refuse("at least one of block_map, rate_limit_map, deceive_map and tag_map is needed");
    }
    let mut names: Vec<&str> = maps
        .iter()
        .map(|(_, m)| m.as_str())
        .chain(
            [&config.allow_map, &config.keys_map, &config.places_map, &config.nets_map]
                .into_iter()
                .filter_map(|m| m.as_deref()),
        )
        .collect();
    if config.keys_map.is_some() && config.allow_map.is_none() {
        return refuse(
            "keys_map needs allow_map: fingerprints, headers and places say nothing of who comes with them, so that the never-block list has to be on the device",
        );
    }
    if names.iter().any(|n| n.is_empty() || n.bytes().any(|b| b <= b' ' || b == b';' || b == b'\\')) {
        return refuse("a map's name has no spaces and no `;`");
    }
    names.sort_unstable();
    if names.windows(2).any(|w| matches!(w, [a, b] if a == b)) {
        return refuse("each response needs a map of its own");
    }
    if config.owner.is_empty() || config.owner.bytes().any(|b| !b.is_ascii_alphanumeric() && b != b'-') {
        return refuse("owner: letters, digits and `-` only");
    }
    if config.timeout_s == 0 || config.batch_bytes < 256 {
        return refuse("timeout_s is at least 1 and batch_bytes at least 256");
    }
    Ok(())
}

impl Connector for HaproxyConnector {
    basics!("haproxy", canary);

    fn targets(&self) -> Vec<String> {
        let maps = self.maps.iter().map(|(_, map)| map).chain(&self.config.keys_map);
        let HaproxyConfig { owner, socket, .. } = &self.config;
        maps.map(|map| format!("lines of owner {owner} in map {map} at {socket}")).collect()
    }

    fn observe(&mut self, now: i64) -> Result<Observed, ConnectorError> {
        let mut observed = Observed::default();
        for (response, name) in self.address_maps() {
            let mut over = false;
            let lines = map::show(&self.socket(), name)?;
            let hidden = map::is_hidden(&lines, |l| l.end().is_some());
            observed.drift.extend(hidden.then(|| hidden_in(name)));
            for line in lines {
                match line.entry(response, &self.config.owner) {
                    Some(entry) => observed.entries.push(entry),
                    None => {
                        observed.foreign += 1;
                        over |= line.is_over(now);
                    }
                }
            }
            observed.drift.extend(over.then(|| over_in(name)));
        }
        if let Some(name) = &self.config.keys_map {
            self.observe_keys(name, &mut observed, now)?;
        }
        if let Some(name) = &self.config.allow_map {
            let lines = map::show(&self.socket(), name)?;
            observed.allow =
                lines.iter().filter(|l| l.is_allow(&self.config.owner)).filter_map(MapLine::net).collect();
        }
        Ok(observed)
    }

    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        let mut text = Vec::new();
        if let Some(name) = self.config.allow_map.as_ref().filter(|_| plan.allow_changes) {
            let before = map::show(&self.socket(), name)?;
            let mut lines = before.clone();
            lines.retain(|l| !l.is_allow(&self.config.owner));
            lines.extend(plan.allow.iter().map(|n: &IpNet| MapLine::allow(n, &self.config.owner)));
            self.replace(name, &before, &lines)?;
            text.push(format!("{name}: {} lines", lines.len()));
        }
        for (response, name) in self.address_maps() {
            let changed = |e: &&Entry| e.response == response && e.key.net().is_some();
            let mut changes = plan.add.iter().chain(&plan.refresh).chain(&plan.remove);
            let repairs = [over_in(name), hidden_in(name)];
            if changes.find(changed).is_none() && !plan.repair.iter().any(|r| repairs.contains(r)) {
                continue;
            }
            let before = map::show(&self.socket(), name)?;
            let own: Vec<Entry> =
                before.iter().filter_map(|l| l.entry(response, &self.config.owner)).collect();
            plan.check_unseen(&own, &format!("map {name}"))?;
            let mut lines = before.clone();
            lines.retain(|l| l.entry(response, &self.config.owner).is_none() && !l.is_over(now));
            let live = plan.target.iter().filter(changed).filter(|e| e.expires_at > now);
            lines.extend(live.map(|e| MapLine::of(e, &self.config.owner)));
            // HAProxy takes the first line of an address, whoever's: the one that lasts longest, and before any that was put there by hand,
            // in which it would find no end.
            lines.sort_by_key(|l| Reverse(l.end()));
            self.replace(name, &before, &lines)?;
            text.push(format!("{name}: {} lines", lines.len()));
        }
        if let Some(name) = &self.config.keys_map {
            text.extend(self.apply_keys(name, plan, now)?);
        }
        Ok(Answer::of(text.join(", ")))
    }
}
