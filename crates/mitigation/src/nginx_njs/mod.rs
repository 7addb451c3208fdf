//! nginx with njs: a folder of entries that a script at the door looks into for each request, without a reload.

mod folder;

use std::path::PathBuf;

use sidetap_policy::Response;

use crate::canary::Canary;
use crate::config::{ConfigError, edge_config};
use crate::connector::{Answer, Connector, ConnectorError, Observed, basics, files};
use crate::entry::{Entry, Places, Sees};
use crate::plan::Plan;
use crate::turn::turn;
use crate::way::Ways;

use folder::{ALLOW, Folder};

edge_config! {
    /// A web server whose script looks entries up: `[[mitigation.nginx_njs]]`.
    NginxNjsConfig("nginx-njs", capacity: 100_000) {
        /// The folder that the script looks into.
        entries: PathBuf,
        /// What the configuration knows how to do.
        #[serde(default = "default_responses")]
        responses: Vec<Response>,
        /// Rates of the configuration that a rule may ask for: `5/60`, requests and seconds.
        #[serde(default)]
        rates: Vec<String>,
        /// Decoys of the configuration that a rule may ask for by name.
        #[serde(default)]
        decoys: Vec<String>,
        /// The header that tells the application of a tagged request, in lower case, where its value is the rule's.
        #[serde(default)]
        tag_header: Option<String>,
        /// The header whose values the script compares, in lower case, as the configuration names it.
        #[serde(default)]
        header: Option<String>,
        /// Whether the script has the site's hash key, and so compares sessions and API keys.
        #[serde(default)]
        tokens: bool,
    }
}

fn default_responses() -> Vec<Response> {
    vec![Response::Block]
}

/// Fingerprints that the script computes.
const PRINTS: &[&str] = &["a1", "d1", "s2"];

/// The connector to a web server whose script looks entries up.
#[derive(Debug)]
pub struct NginxNjsConnector {
    config: NginxNjsConfig,
    folder: Folder,
    canary: Option<Canary>,
    sees: Sees,
}

impl NginxNjsConnector {
    /// The connector of this configuration.
    pub fn new(config: NginxNjsConfig) -> Result<Self, ConfigError> {
        if config.responses.is_empty() || config.responses.iter().any(|r| !r.acts()) {
            return Err(ConfigError::Value(format!("{}: responses: what a device does", config.name)));
        }
        let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if config.header.as_ref().is_some_and(|h| h.is_empty() || !h.bytes().all(is_name)) {
            return Err(ConfigError::Value(format!("{}: header: one name in lower case", config.name)));
        }
        let canary = config.named_canary(PRINTS)?;
        let sees = Sees {
            address: config.address,
            ways: Ways::configured(&config.name, &config.rates, &config.decoys, config.tag_header.as_ref())?,
            prints: PRINTS,
            tokens: config.tokens,
            headers: config.header.iter().cloned().collect(),
            places: Places::Yes,
            native_ttl: true,
            allow_list: true,
            open_connections: "stay; the next request on one is treated so",
            delay: "milliseconds",
            cannot: "its script looks up addresses, fingerprints, hosts and endpoints, one header, and with the site's key a session and an API key",
            ..Sees::addresses(config.responses.clone(), config.capacity)
        };
        Ok(NginxNjsConnector { folder: Folder::new(&config.entries), config, canary, sees })
    }
}

/// What the allow lines end with that Sidetap wrote into one file before each network had a file; those without it are somebody else's, and
/// stay.
const OWN_ALLOW: &str = "# sidetap:allow";

fn is_own_allow(line: &str) -> bool {
    line.trim_end().ends_with(OWN_ALLOW)
}

impl Connector for NginxNjsConnector {
    basics!("nginx-njs", canary);

    fn targets(&self) -> Vec<String> {
        files([&self.config.entries])
    }

    fn observe(&mut self, _now: i64) -> Result<Observed, ConnectorError> {
        let (entries, foreign) = self.folder.read()?;
        let mut drift = Vec::new();
        if !self.folder.forms_are_right() {
            drift.push("forms".to_owned());
        }
        if self.folder.text_of(ALLOW).is_some_and(|text| text.lines().any(is_own_allow)) {
            drift.push(ALLOW.to_owned());
        }
        Ok(Observed { entries, foreign, allow: self.folder.allow(), drift, ..Observed::default() })
    }

    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        let turn = turn(&self.config.entries.join(ALLOW), plan)?;
        plan.check_unseen(&self.folder.read()?.0, &self.config.entries.display().to_string())?;
        let live: Vec<Entry> = plan.target.iter().filter(|e| e.expires_at > now).cloned().collect();
        self.folder.write(&live, &plan.allow, now)?;
        if let Some(text) = self.folder.text_of(ALLOW).filter(|text| text.lines().any(is_own_allow)) {
            let others = text.lines().filter(|l| !is_own_allow(l)).map(|l| format!("{l}\n"));
            self.folder.put_if_other(ALLOW, &others.collect::<String>())?;
        }
        Ok(turn.answer(format!("{} entries", live.len())))
    }
}
