//! `sidetap policy`, and the policy that other commands ask.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, anyhow};
use sidetap_model::HashKey;
use sidetap_model::rows::RunData;
use sidetap_policy::{AllowList, PolicyError, PolicySet, blocklist, format_ttl};

use super::source::Source;
use crate::cli::{GlobalArgs, PolicyArgs, PolicyCommand};
use crate::config::{self, Config};
use crate::exit::Status;
use crate::output::{Terminal, print, warn};
use crate::report::{Column, Table, count};

/// The rules in force.
#[derive(Debug)]
pub(crate) struct Policies(PolicySet);

/// The rules that the configuration names, with its allow list and its guards.
pub(crate) fn policies(config: &Config) -> Result<Policies> {
    let set = match &config.policy.path {
        Some(path) => PolicySet::load(path).map_err(refused)?,
        None => PolicySet::builtin(),
    };
    Ok(Policies(guarded(set, config)))
}

/// These rules with the allow list and guards of the configuration.
pub(crate) fn policies_of(set: PolicySet, config: &Config) -> Policies {
    Policies(guarded(set, config))
}

fn guarded(set: PolicySet, config: &Config) -> PolicySet {
    let mut set = set.with_allow(&AllowList::of_nets(&config.policy.allow));
    let guards = set.guards_mut();
    guards.own_networks.extend(&config.policy.own_networks);
    guards.shared_networks.extend(&config.policy.shared_networks);
    set
}

/// Says all errors but the last, which is the result.
fn refused(errors: Vec<PolicyError>) -> anyhow::Error {
    let mut lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let last = lines.pop().unwrap_or_else(|| "the policy is refused".to_owned());
    lines.iter().for_each(|l| warn(l));
    anyhow!(last)
}

impl Policies {
    /// The same rules with the secrets of their allow list spelled as outputs spell them.
    pub(crate) fn hashed(self, key: &HashKey) -> Self {
        Policies(self.0.hashed(key))
    }

    /// The same rules with more on their allow list.
    pub(crate) fn with_allow(self, more: &AllowList) -> Self {
        Policies(self.0.with_allow(more))
    }

    /// Chooses the response of every verdict.
    pub(crate) fn apply(&self, run: &mut RunData) {
        let RunData { verdicts, campaigns, .. } = run;
        self.0.apply(verdicts, campaigns);
    }

    /// The lines of blocklist.txt.
    pub(crate) fn blocklist(&self, run: &RunData) -> Vec<String> {
        blocklist(&run.verdicts, self.0.allow()).to_text().lines().map(str::to_owned).collect()
    }

    /// The rules themselves.
    pub(crate) fn set(&self) -> &PolicySet {
        &self.0
    }
}

/// Lists, checks, simulates.
pub(crate) fn run(global: &GlobalArgs, args: &PolicyArgs) -> Result<Status> {
    let config = config::load(global.config.as_deref())?;
    let terminal = Terminal::of_stdout(global.color);
    match &args.command {
        PolicyCommand::List => list(&policies(&config)?, &terminal),
        PolicyCommand::Check { files } => check(files, &config),
        PolicyCommand::Simulate { file } => {
            let run = Source::of(&args.source, &config)?.load()?;
            simulate(run, file.as_deref(), &config, &terminal)
        }
    }
}

fn list(policies: &Policies, terminal: &Terminal) -> Result<Status> {
    let mut table = Table::new(&[
        Column::text("RULE"),
        Column::text("RESPONSE"),
        Column::text("FOR"),
        Column::flexible("WHEN"),
        Column::flexible("DESCRIPTION"),
    ]);
    for rule in policies.set().list() {
        let id = if rule.enabled { rule.id } else { format!("{} (off)", rule.id) };
        table.row([&id, rule.response.name(), &format_ttl(rule.ttl_s), &rule.when, &rule.description]);
    }
    print(&table.render(terminal))?;
    let allow = policies.set().allow().entries().len();
    if allow > 0 {
        print(&format!("  {allow} on the allow list, which wins over every rule\n"))?;
    }
    Ok(Status::Done)
}

fn check(files: &[std::path::PathBuf], config: &Config) -> Result<Status> {
    if files.is_empty() {
        let rules = policies(config)?.set().list().len();
        print(&format!("policy: ok, {rules} rules\n"))?;
        return Ok(Status::Done);
    }
    let mut status = Status::Done;
    for file in files {
        match PolicySet::load(file) {
            Ok(set) => print(&format!("{}: ok, {} rules\n", file.display(), set.list().len()))?,
            Err(errors) => {
                errors.iter().for_each(|e| warn(&e.to_string()));
                status = Status::Refused;
            }
        }
    }
    Ok(status)
}

/// Asks the rules about the verdicts as they were found, whatever response they carry.
fn simulate(mut run: RunData, file: Option<&Path>, config: &Config, terminal: &Terminal) -> Result<Status> {
    let set = match file {
        Some(path) => PolicySet::load(path).map_err(refused)?,
        None => return simulated(run.clone(), &mut run, policies(config)?, terminal),
    };
    simulated(run.clone(), &mut run, Policies(guarded(set, config)), terminal)
}

fn simulated(before: RunData, run: &mut RunData, policies: Policies, terminal: &Terminal) -> Result<Status> {
    policies.apply(run);
    let mut sums: BTreeMap<(String, String, String), (u64, u64, u64)> = BTreeMap::new();
    for (v, old) in run.verdicts.iter().zip(&before.verdicts) {
        let class = v.class.clone().unwrap_or_else(|| v.intent.clone());
        let rule = v.policy.clone().unwrap_or_else(|| "-".to_owned());
        let sum = sums.entry((v.response.clone(), class, rule)).or_default();
        sum.0 += 1;
        sum.1 += v.requests;
        sum.2 += u64::from(v.response != old.response);
    }
    let mut table = Table::new(&[
        Column::text("RESPONSE"),
        Column::text("CLASS"),
        Column::number("SUBJECTS"),
        Column::number("REQUESTS"),
        Column::number("CHANGED"),
        Column::flexible("BY RULE"),
    ]);
    for ((response, class, rule), (subjects, requests, changed)) in &sums {
        table.row([response, class, &count(*subjects), &count(*requests), &count(*changed), rule]);
    }
    let lines = policies.blocklist(run).len() as u64;
    print(&format!(
        "{}  {} addresses and networks would be blocked\n",
        table.render(terminal),
        count(lines)
    ))?;
    Ok(Status::Done)
}
