//! Caddy: the ranges of one matcher, replaced through its administration endpoint.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};
use sidetap_policy::Response;

use crate::canary::{Canary, CanaryConfig};
use crate::config::{ConfigError, check_name};
use crate::connector::{Answer, Connector, ConnectorError, Observed, basics};
use crate::entry::{AddressSeen, Entry, Sees};
use crate::http::{Ask, Http, HttpOptions, check_url};
use crate::key::Key;
use crate::memory::Memory;
use crate::plan::Plan;

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
        let canary = config.canary.clone().map(|c| Canary::new(&config.name, c)).transpose()?;
        let sees = Sees {
            address: config.address,
            open_connections: "closed, those of everybody: Caddy begins anew with every change",
            delay: "milliseconds",
            cannot: "its matcher compares addresses",
            ..Sees::addresses(vec![Response::Block], config.capacity)
        };
        let (http, memory) = (Http::new(&config.http)?, Memory::new(&config.memory));
        Ok(CaddyConnector { http, memory, canary, sees, config })
    }

    fn call(&self, method: &str, body: Option<&Value>) -> Result<Vec<u8>, ConnectorError> {
        let url = format!("{}{}", self.config.url, self.config.path);
        let body = body.map(Value::to_string);
        let headers = [("Content-Type", "application/json")];
        let ask = Ask { method, url: &url, headers: &headers, body: body.as_deref().map(str::as_bytes) };
        self.http.ok(&ask).map(|reply| reply.body)
    }

    fn ranges(&self) -> Result<BTreeSet<String>, ConnectorError> {
        let said: Option<Vec<String>> = serde_json::from_slice(&self.call("GET", None)?)
            .map_err(|e| ConnectorError::Answer(format!("ranges: {e}")))?;
        Ok(said.unwrap_or_default().into_iter().filter(|r| r != NOBODY).collect())
    }
}

impl Connector for CaddyConnector {
    basics!("caddy");

    fn min_interval_s(&self) -> u64 {
        self.config.min_interval_s
    }

    fn canary(&self) -> Option<&Canary> {
        self.canary.as_ref()
    }

    fn observe(&mut self, _now: i64) -> Result<Observed, ConnectorError> {
        let ranges = self.ranges()?;
        let keys: BTreeSet<Key> = ranges.iter().filter_map(|r| r.parse().ok()).collect();
        let mut observed = self.memory.observed(&keys)?;
        observed.foreign += ranges.len() - keys.len();
        Ok(observed)
    }

    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        let ours: BTreeSet<Key> = self.memory.read()?.into_iter().map(|e| e.key).collect();
        self.memory.intend(&plan.target)?;
        let live: Vec<&Entry> = plan.target.iter().filter(|e| e.expires_at > now).collect();
        let before = self.ranges()?;
        let is_ours = |r: &str| r.parse::<Key>().is_ok_and(|k| ours.contains(&k));
        let mut ranges: BTreeSet<String> = before.iter().filter(|r| !is_ours(r)).cloned().collect();
        ranges.extend(live.iter().map(|e| e.key.to_string()));
        if ranges != before {
            let told: Vec<&str> = match ranges.is_empty() {
                true => vec![NOBODY],
                false => ranges.iter().map(String::as_str).collect(),
            };
            self.call("PATCH", Some(&json!(told)))?;
        }
        self.memory.write(&plan.target)?;
        Ok(Answer { text: format!("{} ranges", live.len()) })
    }
}
