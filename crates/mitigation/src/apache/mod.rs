//! Apache httpd: text maps of mod_rewrite, which it reads anew when they change, without a reload.

use std::path::PathBuf;

use sidetap_policy::Response;

use crate::canary::Canary;
use crate::config::{ConfigError, edge_config};
use crate::connector::{Answer, Connector, ConnectorError, Observed, basics, files};
use crate::entry::{Entry, Places, Sees};
use crate::hosted::{self, Server};
use crate::included::{self, Known};
use crate::place::{Cell, Spread};
use crate::plan::Plan;
use crate::turn::turn;
use crate::way::Ways;

edge_config! {
    /// A web server: `[[mitigation.apache]]`.
    ApacheConfig("apache", capacity: 20_000) {
        /// The map (`RewriteMap sidetap txt:…`).
        map: PathBuf,
        /// The file of conditions for hosts and endpoints, which the configuration includes; Apache is reloaded when it changes.
        #[serde(default)]
        places: Option<PathBuf>,
        /// Says whether Apache would take its configuration.
        #[serde(default = "default_test")]
        test: Vec<String>,
        /// Has Apache read its configuration.
        #[serde(default = "default_reload")]
        reload: Vec<String>,
        /// Seconds that one command may take.
        #[serde(default = "default_timeout")]
        timeout_s: u64,
        /// What the configuration knows how to do.
        #[serde(default = "default_responses")]
        responses: Vec<Response>,
        /// Decoys of the configuration that a rule may ask for by name.
        #[serde(default)]
        decoys: Vec<String>,
        /// The header that tells the application of a tagged request, in lower case, where its value is the rule's.
        #[serde(default)]
        tag_header: Option<String>,
    }
}

fn default_responses() -> Vec<Response> {
    vec![Response::Block]
}

fn default_test() -> Vec<String> {
    ["apachectl", "-t"].map(str::to_owned).to_vec()
}

fn default_reload() -> Vec<String> {
    ["apachectl", "graceful"].map(str::to_owned).to_vec()
}

fn default_timeout() -> u64 {
    20
}

/// The connector to a web server.
#[derive(Debug)]
pub struct ApacheConnector {
    config: ApacheConfig,
    included: Known,
    canary: Option<Canary>,
    sees: Sees,
}

impl ApacheConnector {
    /// The connector of this configuration.
    pub fn new(config: ApacheConfig) -> Result<Self, ConfigError> {
        let canary = config.named_canary(&[])?;
        let sees = Sees {
            address: config.address,
            ways: Ways::configured(&config.name, &[], &config.decoys, config.tag_header.as_ref())?,
            networks: false,
            open_connections: "the next request on it is treated so",
            delay: "milliseconds: the map is read anew when it changes",
            places: if config.places.is_some() { Places::Yes } else { Places::No },
            cannot: "its text maps hold single addresses, and with `places` hosts and endpoints",
            ..Sees::addresses(config.responses.clone(), config.capacity)
        };
        Ok(ApacheConnector { config, included: Known::default(), canary, sees })
    }

    /// Refuses a map that no configuration reads.
    fn check_included(&self) -> Result<(), ConnectorError> {
        let ApacheConfig { map, places, test, timeout_s, .. } = &self.config;
        included::by_apache(test, (map, places.as_deref()), *timeout_s)
    }
}

/// The conditions that say in which cell a request is, as most read its path and as some do: of either the first that fits.
fn conditions(cells: &[Cell]) -> String {
    let rule = |name: &str, path: &str, c: &Cell| {
        format!(
            "RewriteCond %{{ENV:{name}}} ^$\nRewriteCond \"%{{REQUEST_METHOD}},%{{SERVER_NAME}}{path}\" \"{}\"\n\
             RewriteRule ^ - [E={name}:{}]\n",
            c.place.pattern(),
            c.name
        )
    };
    let here = cells.iter().map(|c| rule("ST_CELL", "%{REQUEST_URI}", c));
    let there = cells.iter().map(|c| rule("ST_OTHER_CELL", "%{ENV:ST_OTHER}", c));
    // Few targets can be read otherwise: those rules are left out for all others.
    let skip = format!("RewriteCond %{{ENV:ST_OTHER}} ^$\nRewriteRule ^ - [S={}]\n", cells.len());
    here.chain((!cells.is_empty()).then_some(skip)).chain(there).collect()
}

fn spread(entries: &[Entry]) -> Result<Spread<'_, ()>, ConnectorError> {
    Spread::of(&entries.iter().map(|e| (e, ())).collect::<Vec<_>>())
}

impl Connector for ApacheConnector {
    basics!("apache", canary);

    fn targets(&self) -> Vec<String> {
        files(std::iter::once(&self.config.map).chain(&self.config.places))
    }

    /// Apache looks at the time of the map's last change, in seconds.
    fn min_interval_s(&self) -> u64 {
        1
    }

    fn observe(&mut self, now: i64) -> Result<Observed, ConnectorError> {
        included::have_a_directory([self.config.map.as_path()])?;
        let mut included = self.included;
        let asked = included.unless(|| self.check_included());
        self.included = included;
        asked?;
        self.observe_anyway(now)
    }

    fn observe_anyway(&mut self, _now: i64) -> Result<Observed, ConnectorError> {
        let text = hosted::read(&self.config.map)?;
        let (entries, others) = hosted::lines(&text);
        let entries = hosted::once(entries);
        let mut drift = Vec::new();
        if hosted::is_hidden(&text) {
            drift.push(format!("lines that others hide in {}", self.config.map.display()));
        }
        if let Some(path) = &self.config.places {
            let spread = spread(&entries)?;
            let right = text.contains(&hosted::key_lines(&spread, ""))
                && hosted::read(path)? == conditions(&spread.cells);
            if !right || hosted::is_untold(path) {
                drift.push(path.display().to_string());
            }
        }
        Ok(Observed { entries, foreign: hosted::count_foreign(&others), drift, ..Observed::default() })
    }

    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        let turn = turn(&self.config.map, plan)?;
        let old = hosted::read(&self.config.map)?;
        plan.check_unseen(&hosted::lines(&old).0, &self.config.map.display().to_string())?;
        let live: Vec<Entry> = plan.target.iter().filter(|e| e.expires_at > now).cloned().collect();
        let spread = spread(&live)?;
        let mut told = Ok(());
        if let Some(path) = &self.config.places {
            let text = conditions(&spread.cells);
            if hosted::read(path)? != text || hosted::is_untold(path) {
                let c = &self.config;
                let server = Server { test: &c.test, reload: &c.reload, timeout_s: c.timeout_s };
                told = hosted::put(&[(path.clone(), text)], plan, &server);
                if !plan.lets_go() {
                    told.clone()?;
                }
            }
        }
        // Apache takes the first line of a key: one that was put there by hand would hide ours.
        let text = format!("{}{}", hosted::key_lines(&spread, ""), hosted::foreign_text(&old));
        let server = Server { test: &[], reload: &[], timeout_s: 1 };
        hosted::put(&[(self.config.map.clone(), text)], plan, &server)?;
        told?;
        Ok(turn.answer(format!("{} lines", spread.lines.len())))
    }
}
