//! nftables: a table of its own, with sets whose elements time out.
//!
//! All changes go through one atomic transaction of `nft -j -f -`. Only the table `inet sidetap` (or the configured name) is
//! ever read or written; elements without Sidetap's comment in its sets stay.

mod elements;
mod ruleset;

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use sidetap_policy::Response;

use crate::canary::{Canary, CanaryConfig};
use crate::command;
use crate::config::{ConfigError, canary_of, check_name};
use crate::connector::{Answer, Connector, ConnectorError, Observed, basics};
use crate::entry::{AddressSeen, Sees};
use crate::plan::Plan;

/// A packet filter: `[[mitigation.nftables]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NftablesConfig {
    /// Its name.
    #[serde(default = "default_name")]
    pub name: String,
    /// The command that is `nft` there: `["nft"]`, `["sudo", "nft"]`, `["ssh", "fw", "nft"]`.
    #[serde(default = "default_command")]
    pub command: Vec<String>,
    /// The table, of family `inet`; two Sidetaps on one machine need two.
    #[serde(default = "default_table")]
    pub table: String,
    /// Most entries.
    #[serde(default = "default_capacity")]
    pub capacity: usize,
    /// New connections a second that a rate-limited address may open.
    #[serde(default = "default_rate")]
    pub rate_per_s: u32,
    /// Seconds that one command may take.
    #[serde(default = "default_timeout")]
    pub timeout_s: u64,
    /// Zones whose clients reach it; empty means all.
    #[serde(default)]
    pub zones: Vec<String>,
    /// A program that asks from an address of its own, which proves that entries have an effect.
    #[serde(default)]
    pub canary: Option<CanaryConfig>,
}

fn default_name() -> String {
    "nftables".to_owned()
}

fn default_command() -> Vec<String> {
    vec!["nft".to_owned()]
}

fn default_table() -> String {
    "sidetap".to_owned()
}

fn default_capacity() -> usize {
    65_536
}

fn default_rate() -> u32 {
    5
}

fn default_timeout() -> u64 {
    30
}

/// How nft says that something is not there.
const NO_SUCH: &str = "No such file or directory";
/// The same of an element: the kernel says it of addresses, nft itself of networks.
const GONE: [&str; 2] = [NO_SUCH, "element does not exist"];
/// How often a table is listed until it is read whole.
const READINGS: u32 = 6;
/// After the first of these; one more after each further one.
const REST: Duration = Duration::from_millis(50);
/// How often a transaction is tried again whose elements went in the meantime.
const RETRIES: usize = 2;

/// The connector to a packet filter.
#[derive(Debug)]
pub struct NftablesConnector {
    canary: Option<Canary>,
    config: NftablesConfig,
    sees: Sees,
}

impl NftablesConnector {
    /// The connector of this configuration.
    pub fn new(config: NftablesConfig) -> Result<Self, ConfigError> {
        check_name(&config.name)?;
        let word = |t: &str| {
            !t.is_empty() && t.len() <= 64 && t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        if !word(&config.table) {
            return Err(ConfigError::Value(format!(
                "{}: table `{}`: letters, digits and `_`",
                config.name, config.table
            )));
        }
        if config.command.is_empty() || config.rate_per_s == 0 || config.timeout_s == 0 {
            return Err(ConfigError::Value(format!(
                "{}: command, rate_per_s and timeout_s are not empty",
                config.name
            )));
        }
        let sees = Sees {
            ways: Default::default(),
            address: AddressSeen::Peer,
            networks: true,
            ipv6: true,
            prints: &[],
            tokens: false,
            accounts: false,
            headers: Vec::new(),
            places: crate::entry::Places::No,
            min_prefix: (16, 32),
            responses: vec![Response::RateLimit, Response::Block],
            capacity: config.capacity,
            native_ttl: true,
            allow_list: true,
            open_connections: "blocked: cut off in the middle; rate-limited: left alone, only new ones count",
            delay: "at once",
            cannot: "a packet filter sees the connection's address and nothing of HTTP",
        };
        let canary = canary_of(&config.name, config.canary.as_ref(), AddressSeen::Peer, &[])?;
        Ok(NftablesConnector { canary, config, sees })
    }
}

impl Connector for NftablesConnector {
    basics!("nftables", canary);

    fn refuses_overlaps(&self) -> bool {
        true
    }

    fn targets(&self) -> Vec<String> {
        vec![format!("table {} of `{}`", self.config.table, self.config.command.join(" "))]
    }

    fn observe(&mut self, now: i64) -> Result<Observed, ConnectorError> {
        let wanted = ruleset::Layout::new(&self.config);
        match self.listing() {
            Ok(json) => {
                let mut observed = elements::read(&json, now);
                observed.drift = wanted.missing_in(&json);
                Ok(observed)
            }
            Err(ConnectorError::Refused { answer, .. }) if answer.contains(NO_SUCH) => Ok(Observed {
                drift: vec![format!("table inet {}", self.config.table)],
                ..Observed::default()
            }),
            Err(e) => Err(e),
        }
    }

    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        let mut there = None;
        for _ in 0..RETRIES {
            match self.transact(plan, there.as_ref(), now) {
                // An element that was to be removed timed out first: what is left is read again.
                Err(ConnectorError::Refused { answer, .. }) if GONE.iter().any(|g| answer.contains(g)) => {
                    there = Some(self.observe(now)?);
                }
                done => return done,
            }
        }
        self.transact(plan, there.as_ref(), now)
    }
}

impl NftablesConnector {
    fn nft(&self, args: &[&str], input: &str) -> Result<String, ConnectorError> {
        command::read(&self.config.command, args, input.as_bytes(), self.config.timeout_s)
    }

    /// The table as nft lists it.
    ///
    /// While somebody else's nft is at work it may end well and say nothing, or half of it. A table that is there is in its own listing,
    /// however empty it is: one without it has not been read, and is asked for again.
    fn listing(&self) -> Result<Value, ConnectorError> {
        let mut said = String::new();
        for n in 0..READINGS {
            std::thread::sleep(REST * n);
            said = match read_whole(&self.nft(&["-j", "list", "table", "inet", &self.config.table], "")?) {
                Ok(json) => return Ok(json),
                Err(why) => why,
            };
        }
        Err(ConnectorError::Answer(format!("nft -j list table, {READINGS} times: {said}")))
    }

    /// Makes a plan's changes in one transaction, whole or not at all.
    fn transact(&self, plan: &Plan, there: Option<&Observed>, now: i64) -> Result<Answer, ConnectorError> {
        let layout = ruleset::Layout::new(&self.config);
        let mut commands = Vec::new();
        if !plan.repair.is_empty() {
            commands.extend(layout.create(&plan.repair));
        }
        let before = there.map_or(&plan.allow_before, |o| &o.allow);
        commands.extend(elements::allow(&self.config.table, before, &plan.allow));
        commands.extend(elements::changes(&self.config.table, plan, there, now));
        let n = commands.len();
        let text = serde_json::json!({ "nftables": commands }).to_string();
        self.nft(&["-j", "-f", "-"], &text)?;
        Ok(Answer::of(format!("{n} commands in one transaction")))
    }
}

/// A listing of a table that is whole, or why it is not.
fn read_whole(text: &str) -> Result<Value, String> {
    if text.trim().is_empty() {
        return Err("it says nothing".to_owned());
    }
    let json: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let objects = json.get("nftables").and_then(Value::as_array);
    match objects.is_some_and(|all| all.iter().any(|o| o.get("table").is_some())) {
        true => Ok(json),
        false => Err("the table is not in it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// An nft that says nothing, or half of it, so many times, and what is there from then on.
    fn silent(dir: &Path, times: u32, instead: &str) -> NftablesConnector {
        let listing = r#"{"nftables": [{"table": {"family": "inet", "name": "sidetap"}}, {"set": {"name": "block4", "elem": [{"elem": {"val": "192.0.2.1", "timeout": 600, "expires": 599, "comment": "sidetap:v-1"}}]}}]}"#;
        let script = format!(
            "echo x >> {0}/asked; [ $(wc -l < {0}/asked) -le {times} ] && {{ printf '%s' '{instead}'; exit 0; }}; printf '%s' '{listing}'",
            dir.display()
        );
        let text = format!("command = [\"sh\", \"-c\", {script:?}, \"nft\"]");
        NftablesConnector::new(toml::from_str(&text).unwrap()).unwrap()
    }

    /// What is believed to be gone is put there once more, and what is not wanted any more is never taken away.
    #[test]
    fn a_listing_that_is_not_whole_is_asked_for_again_and_never_taken_for_an_empty_table() {
        let half = r#"{"nftables": [{"metainfo": {"version": "1.0.6"}}"#;
        for instead in ["", "\n", half, &format!("{half}]}}")] {
            let dir = tempfile::tempdir().unwrap();
            let observed = silent(dir.path(), 2, instead).observe(1_000).unwrap();
            let keys: Vec<String> = observed.entries.iter().map(|e| e.key.to_string()).collect();
            assert_eq!(keys, ["192.0.2.1"], "after {instead:?}");
            let dir = tempfile::tempdir().unwrap();
            let never = silent(dir.path(), 1_000, instead).observe(1_000);
            assert!(matches!(never, Err(ConnectorError::Answer(_))), "{instead:?}: {never:?}");
            let asked = std::fs::read_to_string(dir.path().join("asked")).unwrap().lines().count();
            assert_eq!(asked, READINGS as usize, "it is not asked for ever");
        }
    }
}
