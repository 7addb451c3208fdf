//! HAProxy through its Runtime API: one map for each response, replaced as a whole under a version.
//!
//! A value of a map is the end of the entry in seconds since 1970 and Sidetap's mark, so that HAProxy itself lets go when the
//! time is over (the configuration compares it with its clock). Lines of others in the same maps are carried over.

mod map;
mod socket;

use ipnet::IpNet;
use serde::Deserialize;
use sidetap_policy::Response;

use crate::config::{ConfigError, check_name};
use crate::connector::{Answer, Connector, ConnectorError, Observed};
use crate::entry::{AddressSeen, Sees};
use crate::plan::Plan;

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
    /// The map of blocked fingerprints, alone and with an address; only with the Lua script that computes them.
    #[serde(default)]
    pub block_keys_map: Option<String>,
    /// The map of rate-limited addresses.
    #[serde(default)]
    pub rate_limit_map: Option<String>,
    /// The map of addresses that a decoy answers.
    #[serde(default)]
    pub deceive_map: Option<String>,
    /// The map of addresses whose requests are tagged.
    #[serde(default)]
    pub tag_map: Option<String>,
    /// The map of addresses that are never touched.
    #[serde(default)]
    pub allow_map: Option<String>,
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
    /// Zones whose clients reach it; empty means all.
    #[serde(default)]
    pub zones: Vec<String>,
}

fn default_name() -> String {
    "haproxy".to_owned()
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

/// The connector to a load balancer.
#[derive(Debug)]
pub struct HaproxyConnector {
    config: HaproxyConfig,
    maps: Vec<(Response, String)>,
    sees: Sees,
}

impl HaproxyConnector {
    /// The connector of this configuration.
    pub fn new(config: HaproxyConfig) -> Result<Self, ConfigError> {
        check_name(&config.name)?;
        let given = [
            (Response::Tag, &config.tag_map),
            (Response::RateLimit, &config.rate_limit_map),
            (Response::Deceive, &config.deceive_map),
            (Response::Block, &config.block_map),
        ];
        let maps: Vec<(Response, String)> =
            given.into_iter().filter_map(|(r, m)| m.clone().map(|m| (r, m))).collect();
        check_maps(&config, &maps)?;
        let sees = Sees {
            address: config.address,
            networks: true,
            ipv6: true,
            prints: if config.block_keys_map.is_some() { &["a1"] } else { &[] },
            tokens: false,
            min_prefix: (16, 32),
            responses: maps.iter().map(|(r, _)| *r).collect(),
            capacity: config.capacity,
            native_ttl: true,
            allow_list: config.allow_map.is_some(),
            open_connections: "the next request on it is treated so; one that is being answered is finished",
            delay: "milliseconds",
            cannot: "it compares addresses, and with the Lua script fingerprints of agents (a1); of sessions, keys and accounts Sidetap keeps keyed hashes only",
        };
        Ok(HaproxyConnector { config, maps, sees })
    }

    fn socket(&self) -> Socket<'_> {
        Socket { address: &self.config.socket, timeout_s: self.config.timeout_s }
    }

    /// Every map with what is done to what stands in it.
    fn all_maps(&self) -> impl Iterator<Item = (Response, &str)> {
        let keys = self.config.block_keys_map.as_deref().map(|name| (Response::Block, name));
        self.maps.iter().map(|(r, name)| (*r, name.as_str())).chain(keys)
    }

    fn replace(&self, name: &str, lines: &[MapLine]) -> Result<(), ConnectorError> {
        map::replace(&self.socket(), name, lines, self.config.batch_bytes)
    }
}

fn check_maps(config: &HaproxyConfig, maps: &[(Response, String)]) -> Result<(), ConfigError> {
    let refuse = |why: &str| Err(ConfigError::Value(format!("{}: {why}", config.name)));
    if maps.is_empty() {
        return refuse("at least one of block_map, rate_limit_map, deceive_map and tag_map is needed");
    }
    let mut names: Vec<&str> = maps
        .iter()
        .map(|(_, m)| m.as_str())
        .chain(config.allow_map.as_deref())
        .chain(config.block_keys_map.as_deref())
        .collect();
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
    fn name(&self) -> &str {
        &self.config.name
    }

    fn kind(&self) -> &'static str {
        "haproxy"
    }

    fn sees(&self) -> &Sees {
        &self.sees
    }

    fn zones(&self) -> &[String] {
        &self.config.zones
    }

    fn observe(&mut self, _now: i64) -> Result<Observed, ConnectorError> {
        let mut observed = Observed::default();
        for (response, name) in self.all_maps() {
            for line in map::show(&self.socket(), name)? {
                match line.entry(response, &self.config.owner) {
                    Some(entry) => observed.entries.push(entry),
                    None => observed.foreign += 1,
                }
            }
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
            let mut lines: Vec<MapLine> = map::show(&self.socket(), name)?;
            lines.retain(|l| !l.is_allow(&self.config.owner));
            lines.extend(plan.allow.iter().map(|n: &IpNet| MapLine::allow(n, &self.config.owner)));
            self.replace(name, &lines)?;
            text.push(format!("{name}: {} lines", lines.len()));
        }
        for (response, name) in self.all_maps() {
            let keys = self.config.block_keys_map.as_deref() == Some(name);
            let changed = |e: &&crate::Entry| e.response == response && e.key.net().is_none() == keys;
            let mut changes = plan.add.iter().chain(&plan.refresh).chain(&plan.remove);
            if changes.find(changed).is_none() {
                continue;
            }
            let mut lines: Vec<MapLine> = map::show(&self.socket(), name)?;
            lines.retain(|l| l.entry(response, &self.config.owner).is_none());
            let live = plan.target.iter().filter(changed).filter(|e| e.expires_at > now);
            lines.extend(live.map(|e| MapLine::of(e, &self.config.owner)));
            self.replace(name, &lines)?;
            text.push(format!("{name}: {} lines", lines.len()));
        }
        Ok(Answer { text: text.join(", ") })
    }
}
