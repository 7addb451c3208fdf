//! `sidetap policy`, and the policy that other commands ask.

mod devices;
mod known;
mod never;
mod simulate;
mod suggest;
mod times;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Result, anyhow};
use ipnet::IpNet;
use sidetap_bots::AgentKind;
use sidetap_mitigation::Place;
use sidetap_model::HashKey;
use sidetap_model::rows::RunData;
use sidetap_policy::{
    AllowList, Campaigns, Known, Places, PolicyError, PolicySet, Sieve, Traffic, Vocabulary, blocklist,
    builtin, format_ttl, odd_path,
};
use sidetap_store::Store;

use crate::cli::{GlobalArgs, PolicyArgs, PolicyCommand};
use crate::clock;
use crate::config::{self, Config};
use crate::exit::{Status, Usage};
use crate::hash_key;
use crate::output::{Terminal, plain, print, warn};
use crate::report::{Column, Table};
pub(crate) use known::{campaigns_in, each_request};
pub(crate) use never::{operator_is_unknown, said};
pub(crate) use times::Times;

/// The rules in force, and what stands around them whatever they say.
#[derive(Debug)]
pub(crate) struct Policies {
    set: PolicySet,
    path: Option<PathBuf>,
    stamp: Stamp,
    beyond: Beyond,
    key: Option<HashKey>,
}

/// What configuration and machine add to every pack.
#[derive(Clone, Debug, Default)]
struct Beyond {
    allow: AllowList,
    own: Vec<IpNet>,
    shared: Vec<IpNet>,
}

/// Files of packs, how long they are and when they were changed.
type Stamp = Vec<(PathBuf, u64, Option<SystemTime>)>;

/// The rules that the configuration names, with its allow list and its guards.
pub(crate) fn policies(config: &Config) -> Result<Policies> {
    of_file(config.policy.path.as_deref(), config)
}

/// The rules of a pack or a directory of packs, or else the built-in ones, with the allow list and guards of the configuration.
fn of_file(path: Option<&Path>, config: &Config) -> Result<Policies> {
    let stamp = path.map(stamp_of).unwrap_or_default();
    let set = match path {
        Some(path) => PolicySet::load(path).map_err(refused)?,
        None => PolicySet::builtin(),
    };
    let beyond = beyond(config)?;
    Ok(Policies { set: beyond.around(set), path: path.map(Path::to_owned), stamp, beyond, key: None })
}

/// These rules with the allow list and guards of the configuration.
pub(crate) fn policies_of(set: PolicySet, config: &Config) -> Result<Policies> {
    let beyond = beyond(config)?;
    Ok(Policies { set: beyond.around(set), path: None, stamp: Stamp::new(), beyond, key: None })
}

fn beyond(config: &Config) -> Result<Beyond> {
    let mut allow = never::never(config)?;
    if let Some(file) = config.store.as_deref().filter(|f| f.is_file()) {
        match Store::open_read_only(file).and_then(|s| s.allowed(clock::now())) {
            Ok(rows) => allow.extend(&said(&rows)),
            Err(e) => warn(&format!("the allow list of the store cannot be read: {e}")),
        }
    }
    Ok(Beyond { allow, own: config.policy.own_networks.clone(), shared: never::shared(config)? })
}

impl Beyond {
    fn around(&self, set: PolicySet) -> PolicySet {
        let mut set = set.with_allow(&self.allow);
        let guards = set.guards_mut();
        guards.own_networks.extend(&self.own);
        guards.shared_networks.extend(&self.shared);
        set
    }
}

fn stamp_of(path: &Path) -> Stamp {
    let mut files = vec![path.to_owned()];
    files.extend(std::fs::read_dir(path).into_iter().flatten().flatten().map(|e| e.path()));
    files.sort();
    let stamp = |file: PathBuf| {
        let meta = std::fs::metadata(&file).ok()?;
        Some((file, meta.len(), meta.modified().ok()))
    };
    files.into_iter().filter_map(stamp).collect()
}

/// What is known around the verdicts of the run of this id: its own places, and what the store remembers of others.
pub(crate) fn known_of(run: &RunData, id: &str, store: Option<&Path>, span_s: u64) -> Known {
    known_beside(run, (id, id), store, span_s)
}

/// The same where of the runs that the store remembers another one is left out, or none.
pub(crate) fn known_beside(
    run: &RunData,
    (id, without): (&str, &str),
    store: Option<&Path>,
    span_s: u64,
) -> Known {
    let mut known = Known { places: Places::of(&run.endpoints), ..Known::default() };
    let Some(file) = store.filter(|f| f.is_file()) else { return known };
    match Store::open_read_only(file).and_then(|s| known::history_in(&s, without)) {
        Ok(earlier) => known.history = earlier,
        Err(e) => warn(&format!("what the store remembers cannot be read: {e}")),
    }
    known.traffic = known::stored(file, span_s, Some((id, run)), None);
    known
}

/// What is known around the verdicts of a store that is gone through in parts.
pub(crate) struct StoreAround {
    /// Places, history and traffic.
    pub(crate) known: Known,
    /// Its campaigns.
    pub(crate) campaigns: Campaigns,
    /// What its requests had.
    pub(crate) sieve: Arc<Sieve>,
    /// Seconds of traffic.
    pub(crate) span_s: u64,
}

/// Reads what is known around the verdicts of a store.
pub(crate) fn known_in(store: &Store, span_s: u64) -> Result<StoreAround> {
    let sieve = known::sieve_of(store, span_s)?;
    let known = Known {
        places: known::places_in(store)?,
        history: known::history_in(store, "")?,
        traffic: known::stored(store.path(), span_s, None, Some(&sieve)),
    };
    Ok(StoreAround { known, campaigns: campaigns_in(store)?, sieve: Arc::new(sieve), span_s })
}

/// The traffic that a store holds, with who was behind it.
pub(crate) fn traffic_in(store: &Store, span_s: u64) -> Result<Option<Traffic>> {
    let sieve = known::sieve_of(store, span_s)?;
    Ok(known::stored(store.path(), span_s, None, Some(&sieve)))
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
    pub(crate) fn hashed(mut self, key: &HashKey) -> Self {
        self.set = self.set.hashed(key);
        self.key = Some(key.clone());
        self
    }

    /// The same rules with more on their allow list.
    pub(crate) fn with_allow(mut self, more: &AllowList) -> Self {
        self.set = self.set.with_allow(more);
        self.beyond.allow.extend(more);
        self
    }

    /// The same with the site's key, where there is one already.
    pub(crate) fn hashed_by(self, config: &Config) -> Result<Self> {
        let key = hash_key::load_if_there(config.analysis.hash_key.as_deref())?;
        Ok(match key {
            Some(key) => self.hashed(&key),
            None => self,
        })
    }

    /// Reads the packs again where they changed; none where they did not. What is wrong leaves the rules as they were.
    pub(crate) fn reread(&mut self) -> Option<Result<(), Vec<PolicyError>>> {
        let path = self.path.clone()?;
        let stamp = stamp_of(&path);
        if stamp == self.stamp {
            return None;
        }
        self.stamp = stamp;
        Some(self.read_anew(&path))
    }

    /// The same, whether they changed or not.
    pub(crate) fn reread_anyway(&mut self) -> Option<Result<(), Vec<PolicyError>>> {
        let path = self.path.clone()?;
        self.stamp = stamp_of(&path);
        Some(self.read_anew(&path))
    }

    fn read_anew(&mut self, path: &Path) -> Result<(), Vec<PolicyError>> {
        let set = self.beyond.around(PolicySet::load(path)?);
        self.set = match &self.key {
            Some(key) => set.hashed(key),
            None => set,
        };
        Ok(())
    }

    /// Chooses the response of every verdict, by what this run and the known ones say.
    pub(crate) fn apply(&self, run: &mut RunData, known: &Known) {
        let RunData { verdicts, campaigns, .. } = run;
        self.set.apply_in(verdicts, campaigns, known);
    }

    /// The lines of blocklist.txt.
    pub(crate) fn blocklist(&self, run: &RunData) -> Vec<String> {
        blocklist(&run.verdicts, self.set.allow()).to_text().lines().map(str::to_owned).collect()
    }

    /// The rules themselves.
    pub(crate) fn set(&self) -> &PolicySet {
        &self.set
    }
}

/// Lists, checks, simulates, suggests.
pub(crate) fn run(global: &GlobalArgs, args: &PolicyArgs) -> Result<Status> {
    let mut config = config::load(global.config.as_deref())?;
    let terminal = Terminal::of_stdout(global.color);
    match &args.command {
        PolicyCommand::List => list(&policies(&config)?, &terminal),
        PolicyCommand::Check { files } => check(files, &config),
        PolicyCommand::Show { pack } => show(pack),
        PolicyCommand::Simulate(simulate) => simulate::run(&args.source, simulate, &mut config, &terminal),
        PolicyCommand::Suggest(suggest) => suggest::run(&args.source, suggest, &mut config, &terminal),
    }
}

/// A built-in pack as it is written, to be copied and changed.
fn show(name: &str) -> Result<Status> {
    match builtin::text(name) {
        Some(text) => print(text)?,
        None => {
            return Err(Usage(format!("there is no pack `{name}`: {}", builtin::NAMES.join(", "))).into());
        }
    }
    Ok(Status::Done)
}

fn list(policies: &Policies, terminal: &Terminal) -> Result<Status> {
    let mut table = Table::new(&[
        Column::text("RULE"),
        Column::text("RESPONSE"),
        Column::text("FOR"),
        Column::flexible("WHEN"),
        Column::flexible("DESCRIPTION"),
    ]);
    for rule in policies.set().list().into_iter().chain(policies.set().list_requests()) {
        let id = if rule.enabled { rule.id } else { format!("{} (off)", rule.id) };
        let responses = std::iter::once(rule.response).chain(rule.instead).map(|r| r.name());
        let responses = responses.collect::<Vec<_>>().join(" ");
        table.row([&id, &responses, &format_ttl(rule.ttl_s), &rule.when, &rule.description]);
    }
    print(&table.render(terminal))?;
    print(&format!("  packs: {}\n", policies.set().revisions().join(", ")))?;
    let allow = policies.set().allow().entries().len();
    if allow > 0 {
        print(&format!("  {allow} on the allow list, which wins over every rule\n"))?;
    }
    Ok(Status::Done)
}

fn check(files: &[PathBuf], config: &Config) -> Result<Status> {
    if files.is_empty() {
        let policies = policies(config)?;
        print(&format!("policy: ok, {}\n", counted(policies.set())))?;
        remarks(policies.set(), config)?.iter().for_each(|r| warn(r));
        print(&otherwise(policies.set(), config)?)?;
        return Ok(Status::Done);
    }
    let mut status = Status::Done;
    for file in files {
        match PolicySet::load(file) {
            Ok(set) => {
                print(&format!("{}: ok, {}\n", file.display(), counted(&set)))?;
                remarks(&set, config)?.iter().for_each(|r| warn(r));
                print(&otherwise(&set, config)?)?;
            }
            Err(errors) => {
                errors.iter().for_each(|e| warn(&e.to_string()));
                status = Status::Refused;
            }
        }
    }
    Ok(status)
}

/// What a path has to be for a device to compare it.
const COMPARED: &str = "parts of paths are letters, digits and `-._~:+=$!,`, or one name in braces";

/// What is likely not meant, and endpoints that no device can compare, so that the response holds nowhere.
fn remarks(set: &PolicySet, config: &Config) -> Result<Vec<String>> {
    let told = set.endpoints().filter(|(.., endpoint)| Place::of_endpoint(endpoint).is_none());
    let told = told.map(|(source, id, endpoint)| {
        format!("{source}: rule `{id}`: no device compares `{endpoint}`: {COMPARED}")
    });
    let odd = set.request_paths().into_iter();
    let odd = odd.filter(|(.., path)| odd_path(path).is_some() || Place::of_endpoint(path).is_none());
    let odd = odd.map(|(source, id, (line, column), path)| {
        let shown = plain(&path).into_owned();
        let why = match odd_path(&path) {
            Some((why, hint)) => format!("{why} ({hint})"),
            None => format!("no device compares `{shown}`: {COMPARED}"),
        };
        format!("{source}:{line}:{column}: rule `{id}`: {why}")
    });
    let told = told.chain(odd);
    let pack = super::indicators::pack(config)?;
    let vocabulary = Vocabulary {
        indicators: pack.indicators().iter().map(|i| i.id.clone()).collect(),
        classes: pack.classes().map(str::to_owned).collect(),
        agent_kinds: AgentKind::ALL.map(|k| k.name().to_owned()).to_vec(),
        network_kinds: sidetap_intel::Kind::ALL.iter().map(|(_, name, _)| (*name).to_owned()).collect(),
    };
    Ok(set.remarks(clock::now(), &vocabulary).into_iter().chain(told).collect())
}

/// How many rules there are, over verdicts and over requests.
fn counted(set: &PolicySet) -> String {
    match set.count_requests() {
        0 => format!("{} rules", set.list().len()),
        n => format!("{} rules over verdicts, {n} over requests", set.list().len()),
    }
}

/// What the configured devices do otherwise than rules ask, or not at all: a line for each rule and all devices of which the same is true.
fn otherwise(set: &PolicySet, config: &Config) -> Result<String> {
    let devices = config.mitigation.connectors()?;
    let mut text = String::new();
    for asked in set.asked() {
        let mut said: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for device in &devices {
            if let Some(why) = device.sees().otherwise(&asked.responses, &asked.measures) {
                said.entry(why).or_default().push(device.name());
            }
        }
        for (why, names) in said {
            text.push_str(&format!("  {} on {}: {why}\n", asked.id, names.join(", ")));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_devices_do_otherwise_is_said_when_a_pack_is_checked() {
        let pack = "version: 1\nrules:\n\
            \x20 - {id: slow, when: 'true', response: rate-limit, rate: 5/1m, ttl: 1h}\n\
            \x20 - {id: late, when: 'true', response: [tarpit, block], delay: 3s, ttl: 1h}\n\
            \x20 - {id: stop, when: 'true', response: block, ttl: 1h}\n\
            \x20 - {id: tell, when: 'true', response: alert}\n\
            \x20 - {id: more, when: 'true', response: block, ttl: 1h, escalate: {within: 1d, steps: [{response: tarpit}]}}\n\
            requests:\n\
            \x20 - {id: tool, match: {address: 198.51.100.9}, response: rate-limit, rate: 7/1m, ttl: 1h}\n";
        let set = PolicySet::parse(pack, "p.yaml").unwrap();
        let text = "[[mitigation.nftables]]\nname = \"wall\"\n[[mitigation.feed]]\nname = \"list\"\npath = \"f\"\n\
            [[mitigation.haproxy]]\nname = \"edge\"\nsocket = \"s\"\nblock_map = \"b\"\nrate_limit_map = \"r\"\ntarpit_map = \"t\"\nkeys_map = \"k\"\nallow_map = \"w\"\n";
        let config = config::parse(Path::new("x"), text).unwrap();
        assert_eq!(
            otherwise(&set, &config).unwrap(),
            "  slow on list: not told: it cannot rate-limit\n  \
             slow on wall: rate-limit to the rate that it is configured with, not the rule's 5 in 60 s\n  \
             late on list, wall: block, since it cannot tarpit\n  \
             more (step 1 of its escalation) on list, wall: not told: it cannot tarpit\n  \
             tool on list: not told: it cannot rate-limit\n  \
             tool on wall: rate-limit to the rate that it is configured with, not the rule's 7 in 60 s\n"
        );
        assert_eq!(
            otherwise(&set, &config::parse(Path::new("x"), "").unwrap()).unwrap(),
            "",
            "no device, nothing to say"
        );
    }

    #[test]
    fn a_bad_pack_leaves_the_rules_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.yaml");
        let pack =
            |id: &str| format!("version: 1\nrules:\n  - id: {id}\n    when: 'true'\n    response: alert\n");
        std::fs::write(&file, pack("one")).unwrap();
        let config =
            config::parse(Path::new("x"), &format!("[policy]\npath = {:?}\nallow = [\"192.0.2.7\"]\n", file))
                .unwrap();
        let mut policies = policies(&config).unwrap();
        let first = |p: &Policies| p.set().list()[0].id.clone();
        assert!(policies.reread().is_none(), "nothing changed");
        std::fs::write(&file, "version: 1\nrules:\n  - id: broken\n").unwrap();
        let errors = policies.reread().unwrap().unwrap_err();
        assert!(errors[0].to_string().contains("missing field"), "{errors:?}");
        assert_eq!(first(&policies), "one");
        assert!(policies.reread().is_none(), "said once");
        std::fs::write(&file, pack("another")).unwrap();
        policies.reread().unwrap().unwrap();
        assert_eq!(first(&policies), "another");
        let allowed = |p: &Policies| p.set().allow().nets().iter().any(|n| n.to_string() == "192.0.2.7/32");
        assert!(allowed(&policies), "the configuration's own list stays around a new pack");
        assert!(policies.reread_anyway().unwrap().is_ok());
    }
}
