//! A program of the user's that is run with what should be done on its standard input.

use std::path::PathBuf;

use serde::Deserialize;
use sidetap_policy::Response;

use crate::command;
use crate::config::{ConfigError, check_name};
use crate::connector::{Answer, Connector, ConnectorError, Observed, basics, files, shortened};
use crate::entry::{AddressSeen, Sees};
use crate::memory::Memory;
use crate::plan::Plan;
use crate::turn::turn;
use crate::webhook::{default_responses, read, sees_all, tell, with_ways};

/// A program: `[[mitigation.exec]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecConfig {
    /// Its name.
    #[serde(default = "default_name")]
    pub name: String,
    /// The program with its first arguments; it is never given to a shell.
    pub command: Vec<String>,
    /// Whether the program says what is there when it is run with `observe`; what it was told is believed without it.
    #[serde(default)]
    pub observe: bool,
    /// Where it is remembered what it was told.
    pub memory: PathBuf,
    /// What it can do.
    #[serde(default = "default_responses")]
    pub responses: Vec<Response>,
    /// Whether it knows Sidetap's fingerprints and keyed hashes.
    #[serde(default)]
    pub keys: bool,
    /// Whether it acts on the connection's address or a forwarded one.
    #[serde(default)]
    pub address: AddressSeen,
    /// Most entries.
    #[serde(default = "default_capacity")]
    pub capacity: usize,
    /// Seconds that one run may take.
    #[serde(default = "default_timeout")]
    pub timeout_s: u64,
    /// Seconds between two changes at least.
    #[serde(default)]
    pub min_interval_s: u64,
    /// Zones whose clients it acts on; empty means all.
    #[serde(default)]
    pub zones: Vec<String>,
}

fn default_name() -> String {
    "exec".to_owned()
}

fn default_capacity() -> usize {
    10_000
}

fn default_timeout() -> u64 {
    30
}

/// The connector to a program.
#[derive(Debug)]
pub struct ExecConnector {
    config: ExecConfig,
    memory: Memory,
    sees: Sees,
}

impl ExecConnector {
    /// The connector of this configuration.
    pub fn new(config: ExecConfig) -> Result<Self, ConfigError> {
        check_name(&config.name)?;
        if config.command.is_empty() || config.timeout_s == 0 {
            return Err(ConfigError::Value(format!("{}: command and timeout_s are not empty", config.name)));
        }
        let sees = sees_all(config.address, config.keys, config.responses.clone(), config.capacity);
        Ok(ExecConnector { memory: Memory::new(&config.memory), sees, config })
    }

    fn run(&self, verb: &str, input: &str) -> Result<String, ConnectorError> {
        let name = [("SIDETAP_CONNECTOR", self.config.name.as_str())];
        command::run_with(&self.config.command, &[verb], input.as_bytes(), self.config.timeout_s, &name)
    }
}

impl Connector for ExecConnector {
    basics!("exec");

    fn targets(&self) -> Vec<String> {
        files([&self.config.memory])
    }

    fn min_interval_s(&self) -> u64 {
        self.config.min_interval_s
    }

    fn observe(&mut self, _now: i64) -> Result<Observed, ConnectorError> {
        if !self.config.observe {
            return self.memory.told();
        }
        let said = self.run("observe", "")?;
        let said =
            serde_json::from_str(&said).map_err(|e| ConnectorError::Answer(format!("no JSON: {e}")))?;
        Ok(with_ways(read(&said)?, &self.memory.told()?.entries))
    }

    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        let turn = turn(&self.config.memory, plan)?;
        plan.check_unseen(&self.observe(now)?.entries, "what the program holds")?;
        let said = tell(&self.memory, &self.config.name, plan, now, |message, _| {
            self.run("apply", &message.to_string())
        })?;
        Ok(turn.answer(shortened(&said)))
    }
}
