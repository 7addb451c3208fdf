//! Apache httpd: text maps of mod_rewrite, which it reads anew when they change, without a reload.

use std::path::PathBuf;

use serde::Deserialize;
use sidetap_policy::Response;

use crate::canary::{Canary, CanaryConfig};
use crate::config::{ConfigError, check_name};
use crate::connector::{Answer, Connector, ConnectorError, Observed};
use crate::entry::{AddressSeen, Entry, Sees};
use crate::hosted::{self, Server};
use crate::plan::Plan;

/// A web server: `[[mitigation.apache]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApacheConfig {
    /// Its name.
    #[serde(default = "default_name")]
    pub name: String,
    /// The map (`RewriteMap sidetap txt:…`).
    pub map: PathBuf,
    /// What the configuration knows how to do.
    #[serde(default = "default_responses")]
    pub responses: Vec<Response>,
    /// Whether it compares the connection's address or (with mod_remoteip) a forwarded one.
    #[serde(default)]
    pub address: AddressSeen,
    /// Most entries.
    #[serde(default = "default_capacity")]
    pub capacity: usize,
    /// A request through it that proves that entries have an effect.
    #[serde(default)]
    pub canary: Option<CanaryConfig>,
    /// Zones whose clients reach it; empty means all.
    #[serde(default)]
    pub zones: Vec<String>,
}

fn default_name() -> String {
    "apache".to_owned()
}

fn default_responses() -> Vec<Response> {
    vec![Response::Block]
}

fn default_capacity() -> usize {
    20_000
}

/// The connector to a web server.
#[derive(Debug)]
pub struct ApacheConnector {
    config: ApacheConfig,
    canary: Option<Canary>,
    sees: Sees,
}

impl ApacheConnector {
    /// The connector of this configuration.
    pub fn new(config: ApacheConfig) -> Result<Self, ConfigError> {
        check_name(&config.name)?;
        let canary = config.canary.clone().map(|c| Canary::new(&config.name, c)).transpose()?;
        let sees = Sees {
            address: config.address,
            networks: false,
            open_connections: "the next request on it is treated so",
            delay: "milliseconds: the map is read anew when it changes",
            cannot: "its text maps hold single addresses",
            ..Sees::addresses(config.responses.clone(), config.capacity)
        };
        Ok(ApacheConnector { config, canary, sees })
    }
}

fn line(entry: &Entry) -> String {
    format!("{} {} # {}\n", entry.key, entry.response, hosted::mark_of(entry))
}

impl Connector for ApacheConnector {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn kind(&self) -> &'static str {
        "apache"
    }

    fn sees(&self) -> &Sees {
        &self.sees
    }

    fn zones(&self) -> &[String] {
        &self.config.zones
    }

    /// Apache looks at the time of the map's last change, in seconds.
    fn min_interval_s(&self) -> u64 {
        1
    }

    fn canary(&self) -> Option<&Canary> {
        self.canary.as_ref()
    }

    fn observe(&mut self, _now: i64) -> Result<Observed, ConnectorError> {
        let text = hosted::read(&self.config.map)?;
        let (entries, others) = hosted::lines(&text);
        Ok(Observed { entries, foreign: hosted::count_foreign(&others), ..Observed::default() })
    }

    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        let old = hosted::read(&self.config.map)?;
        let (_, others) = hosted::lines(&old);
        let live: Vec<Entry> = plan.target.iter().filter(|e| e.expires_at > now).cloned().collect();
        let text = hosted::text(&others, &live, line);
        hosted::put(&[(self.config.map.clone(), text)], &Server { test: &[], reload: &[], timeout_s: 1 })?;
        Ok(Answer { text: format!("{} lines", live.len()) })
    }
}
