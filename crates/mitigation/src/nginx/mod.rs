//! nginx: files that its `geo` and `map` blocks include, then a test and a reload.

use std::path::{Path, PathBuf};

use sidetap_policy::Response;

use crate::canary::Canary;
use crate::config::{ConfigError, server_config};
use crate::connector::{Answer, Connector, ConnectorError, Observed, basics, files};
use crate::entry::{Entry, Places, Sees};
use crate::hosted::{self, Server, UNTOLD};
use crate::included::{self, Known};
use crate::place::{Cell, Spread};
use crate::plan::Plan;
use crate::turn::turn;
use crate::way::{Ways, spelled};

server_config! {
    /// A web server: `[[mitigation.nginx]]`.
    NginxConfig("nginx", capacity: 100_000, interval_s: 2, timeout_s: 20) {
        /// The file of addresses, which a `geo` block includes.
        addresses: PathBuf,
        /// The file of addresses that are never touched, which a `geo` block includes.
        #[serde(default)]
        allow: Option<PathBuf>,
        /// The file of whom something is known at places, which `map` blocks include.
        #[serde(default)]
        keys: Option<PathBuf>,
        /// The file of places, which a `map` block includes; responses to hosts and endpoints need it, `nets` and `keys`.
        #[serde(default)]
        places: Option<PathBuf>,
        /// The file of networks that are acted against at places only, which a `geo` block includes.
        #[serde(default)]
        nets: Option<PathBuf>,
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
        /// Says whether nginx would take its configuration.
        #[serde(default = "default_test")]
        test: Vec<String>,
        /// Has nginx read its configuration.
        #[serde(default = "default_reload")]
        reload: Vec<String>,
    }
}

fn default_responses() -> Vec<Response> {
    vec![Response::Block]
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn default_test() -> Vec<String> {
    words("nginx -t -q")
}

fn default_reload() -> Vec<String> {
    words("nginx -s reload")
}

/// The connector to a web server.
#[derive(Debug)]
pub struct NginxConnector {
    config: NginxConfig,
    included: Known,
    canary: Option<Canary>,
    sees: Sees,
}

impl NginxConnector {
    /// The connector of this configuration.
    pub fn new(config: NginxConfig) -> Result<Self, ConfigError> {
        let canary =
            config.checked(!config.reload.is_empty() && !config.responses.is_empty(), "reload, responses")?;
        if let Some(r) = config.responses.iter().find(|r| !r.acts()) {
            return Err(ConfigError::Value(format!("{}: `{r}` is nothing that a device does", config.name)));
        }
        let sees = Sees {
            address: config.address,
            ways: Ways::configured(&config.name, &config.rates, &config.decoys, config.tag_header.as_ref())?,
            places: match (&config.keys, &config.places, &config.nets) {
                (Some(_), Some(_), Some(_)) => Places::Yes,
                _ => Places::No,
            },
            allow_list: config.allow.is_some(),
            open_connections: "idle ones are closed by the reload; long answers are finished by old workers",
            delay: "about a tenth of a second; more where the configuration is large",
            cannot: "its maps hold addresses, hosts and endpoints",
            ..Sees::addresses(config.responses.clone(), config.capacity)
        };
        Ok(NginxConnector { config, included: Known::default(), canary, sees })
    }

    fn server(&self) -> Server<'_> {
        let c = &self.config;
        Server { test: &c.test, reload: &c.reload, timeout_s: c.timeout_s }
    }

    /// All files that nginx is to include.
    fn paths(&self) -> impl Iterator<Item = &Path> {
        let NginxConfig { addresses, allow, keys, places, nets, .. } = &self.config;
        let others = [allow, keys, places, nets].into_iter().flatten();
        std::iter::once(addresses).chain(others).map(PathBuf::as_path)
    }

    /// Refuses files that are there and that no configuration includes.
    fn check_included(&self) -> Result<(), ConnectorError> {
        let there: Vec<&Path> = self.paths().filter(|p| p.exists()).collect();
        match there.is_empty() {
            true => Ok(()),
            false => included::by_nginx(&self.config.test, &there, self.config.timeout_s),
        }
    }

    /// The files with what each of them should hold for these entries.
    fn files(&self, entries: &[Entry]) -> Result<Vec<(PathBuf, String)>, ConnectorError> {
        let (nets, others): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(|e| e.key.net().is_some());
        let kept = |path: &Path| hosted::read(path).map(|old| hosted::foreign_text(&old));
        let addresses: String = nets.into_iter().map(line).collect();
        let mut files =
            vec![(self.config.addresses.clone(), format!("{}{addresses}", kept(&self.config.addresses)?))];
        let spread = Spread::of(&others.into_iter().map(|e| (e, ())).collect::<Vec<_>>())?;
        if let Some(path) = &self.config.keys {
            files.push((path.clone(), format!("{}{}", kept(path)?, hosted::key_lines(&spread, ";"))));
        }
        if let Some(path) = &self.config.places {
            let line = |c: &Cell| format!("\"~{}\" {};\n", c.place.pattern(), c.name);
            files.push((path.clone(), spread.cells.iter().map(line).collect()));
        }
        if let Some(path) = &self.config.nets {
            files.push((path.clone(), spread.nets.iter().map(|n| format!("{n} {n};\n")).collect()));
        }
        Ok(files)
    }
}

/// What every allow line of ours ends with; lines without it are somebody else's, and stay.
const OWN_ALLOW: &str = "# sidetap:allow";

fn is_own_allow(line: &str) -> bool {
    line.trim_end().ends_with(OWN_ALLOW)
}

fn line(entry: &Entry) -> String {
    format!("{} {}; # {}\n", entry.key, spelled(entry.response, entry.way.as_ref()), hosted::mark_of(entry))
}

impl Connector for NginxConnector {
    basics!("nginx", canary, interval);

    fn targets(&self) -> Vec<String> {
        let NginxConfig { addresses, keys, places, nets, .. } = &self.config;
        files(std::iter::once(addresses).chain(keys).chain(places).chain(nets))
    }

    fn observe(&mut self, now: i64) -> Result<Observed, ConnectorError> {
        included::have_a_directory(self.paths())?;
        let mut included = self.included;
        let asked = included.unless(|| self.check_included());
        self.included = included;
        asked?;
        self.observe_anyway(now)
    }

    fn observe_anyway(&mut self, _now: i64) -> Result<Observed, ConnectorError> {
        let mut observed = Observed::default();
        for path in std::iter::once(&self.config.addresses).chain(&self.config.keys) {
            let text = hosted::read(path)?;
            let (entries, others) = hosted::lines(&text);
            observed.entries.extend(hosted::once(entries));
            observed.foreign += hosted::count_foreign(&others);
        }
        if let Some(path) = &self.config.allow {
            let text = hosted::read(path)?;
            let own = text.lines().filter(|l| is_own_allow(l));
            observed.allow = own.filter_map(|l| l.split_once(' ')?.0.parse().ok()).collect();
        }
        if hosted::is_untold(&self.config.addresses) {
            observed.drift.push(UNTOLD.to_owned());
        }
        if self.sees.places == Places::Yes {
            let own = self.files(&observed.entries)?.into_iter().skip(1);
            for (path, text) in own {
                if hosted::read(&path)? != text {
                    observed.drift.push(path.display().to_string());
                }
            }
        }
        Ok(observed)
    }

    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        let live: Vec<Entry> = plan.target.iter().filter(|e| e.expires_at > now).cloned().collect();
        let turn = turn(&self.config.addresses, plan)?;
        for path in std::iter::once(&self.config.addresses).chain(&self.config.keys) {
            plan.check_unseen(&hosted::lines(&hosted::read(path)?).0, &path.display().to_string())?;
        }
        let mut files = self.files(&live)?;
        if let Some(path) = &self.config.allow {
            let text = hosted::read(path)?;
            let others = text.lines().filter(|l| !is_own_allow(l)).map(|l| format!("{l}\n"));
            let own = plan.allow.iter().map(|n| format!("{n} 1; {OWN_ALLOW}\n"));
            files.push((path.clone(), others.chain(own).collect()));
        }
        // What lets go is done whatever the server reads.
        let check = || if plan.lets_go() { Ok(()) } else { self.check_included() };
        hosted::put_checked(&files, plan, &self.server(), check)?;
        Ok(turn.answer(format!("{} entries, reloaded", plan.target.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allow_lines_of_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("allow"), "198.51.100.7 1; # partner, put here by hand\n").unwrap();
        let text = format!(
            "addresses = \"{}\"\nallow = \"{}\"\ntest = [\"true\"]\nreload = [\"true\"]\n",
            at("addresses").display(),
            at("allow").display()
        );
        let mut nginx = NginxConnector::new(toml::from_str(&text).unwrap()).unwrap();
        let mut push = |allow: &[ipnet::IpNet]| {
            let plan = crate::plan::plan(&[], &nginx.observe(1).unwrap(), allow, nginx.sees());
            nginx.apply(&plan, 1).unwrap();
            let again = crate::plan::plan(&[], &nginx.observe(1).unwrap(), allow, nginx.sees());
            assert!(!again.allow_changes);
            std::fs::read_to_string(at("allow")).unwrap()
        };
        let hand = "198.51.100.7 1; # partner, put here by hand\n";
        let both = push(&["192.0.2.0/24".parse().unwrap()]);
        assert_eq!(both, format!("{hand}192.0.2.0/24 1; # sidetap:allow\n"));
        assert_eq!(push(&[]), hand);
    }
}
