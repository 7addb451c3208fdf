//! ipset: sets of its own, with elements that time out, for rules of iptables that the user has.

use std::collections::BTreeMap;
use std::fmt::Write;

use ipnet::IpNet;
use serde::Deserialize;
use sidetap_policy::Response;

use crate::canary::{Canary, CanaryConfig};
use crate::command;
use crate::config::{ConfigError, canary_of, check_name};
use crate::connector::{Answer, Connector, ConnectorError, Observed, basics, shortened};
use crate::entry::{AddressSeen, Entry, Sees};
use crate::plan::Plan;

/// Sets of addresses in the kernel: `[[mitigation.ipset]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IpsetConfig {
    /// Its name.
    #[serde(default = "default_name")]
    pub name: String,
    /// The command that is `ipset` there: `["ipset"]`, `["sudo", "ipset"]`, `["ssh", "fw", "ipset"]`.
    #[serde(default = "default_command")]
    pub command: Vec<String>,
    /// The sets are named after it: `sidetap4` and `sidetap6`. Two Sidetaps on one machine need two.
    #[serde(default = "default_set")]
    pub set: String,
    /// Most entries.
    #[serde(default = "default_capacity")]
    pub capacity: usize,
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
    "ipset".to_owned()
}

fn default_command() -> Vec<String> {
    vec!["ipset".to_owned()]
}

fn default_set() -> String {
    "sidetap".to_owned()
}

fn default_capacity() -> usize {
    65_536
}

fn default_timeout() -> u64 {
    30
}

/// What every comment of ours begins with.
const MARK: &str = "sidetap:";
/// Longest time to live of an element: what the kernel's timer takes.
const MOST_S: i64 = 2_147_483;

/// The connector to sets of addresses.
#[derive(Debug)]
pub struct IpsetConnector {
    canary: Option<Canary>,
    config: IpsetConfig,
    sees: Sees,
}

impl IpsetConnector {
    /// The connector of this configuration.
    pub fn new(config: IpsetConfig) -> Result<Self, ConfigError> {
        check_name(&config.name)?;
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if config.set.is_empty() || config.set.len() > 24 || !config.set.bytes().all(fits) {
            return Err(ConfigError::Value(format!(
                "{}: set `{}`: at most 24 letters, digits, `-`, `_` and `.`",
                config.name, config.set
            )));
        }
        if config.command.is_empty() || config.timeout_s == 0 || config.capacity == 0 {
            return Err(ConfigError::Value(format!(
                "{}: command, capacity and timeout_s are not empty",
                config.name
            )));
        }
        let sees = Sees {
            address: AddressSeen::Peer,
            native_ttl: true,
            open_connections: "as the rules that use the sets say: cut off where they stand before those that let open ones pass",
            delay: "at once",
            cannot: "a packet filter sees the connection's address and nothing of HTTP",
            ..Sees::addresses(vec![Response::Block], config.capacity)
        };
        let canary = canary_of(&config.name, config.canary.as_ref(), AddressSeen::Peer, &[])?;
        Ok(IpsetConnector { canary, config, sees })
    }

    fn ipset(&self, args: &[&str], input: &str) -> Result<String, ConnectorError> {
        command::read(&self.config.command, args, input.as_bytes(), self.config.timeout_s)
    }

    fn set_of(&self, net: &IpNet) -> String {
        self.set(matches!(net, IpNet::V6(_)))
    }

    fn set(&self, v6: bool) -> String {
        format!("{}{}", self.config.set, if v6 { 6 } else { 4 })
    }

    /// The lines of one set as `ipset save` tells them: its making first.
    fn saved(&self, v6: bool) -> Result<Option<Vec<String>>, ConnectorError> {
        let set = self.set(v6);
        match self.ipset(&["save", &set], "") {
            Ok(text) => match unwhole(&text, &set) {
                None => Ok(Some(text.lines().map(str::to_owned).collect())),
                Some(line) => {
                    Err(ConnectorError::Answer(format!("ipset save {set} is not whole: {}", shortened(line))))
                }
            },
            Err(ConnectorError::Refused { answer, .. }) if answer.contains("does not exist") => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// A set made anew beside the old one and put in its place: nobody sees half of it.
    fn restore(&self, v6: bool, is_there: bool, elements: &BTreeMap<String, String>, script: &mut String) {
        let (set, beside) = (self.set(v6), format!("{}{}.new", self.config.set, if v6 { 6 } else { 4 }));
        let family = if v6 { "inet6" } else { "inet" };
        let room = self.config.capacity.max(64);
        // A set that is there may have been made for another number of entries: it stays until the new one takes its place.
        let missing = (!is_there).then_some(&set);
        for name in missing.into_iter().chain([&beside]) {
            let _ = writeln!(
                script,
                "create -exist {name} hash:net family {family} maxelem {room} timeout 0 comment"
            );
        }
        let _ = writeln!(script, "flush {beside}");
        for (element, rest) in elements {
            let _ = writeln!(script, "add -exist {beside} {element} {rest}");
        }
        let _ = writeln!(script, "swap {beside} {set}\ndestroy {beside}");
    }
}

/// The line by which what is saved of a set is known not to be whole: a set that is there has its making told, however empty it is, then
/// its elements, each to the end of its line.
fn unwhole<'a>(text: &'a str, set: &str) -> Option<&'a str> {
    let is_of_it = |line: &&str, verb: &str| {
        let rest = line.strip_prefix(verb).and_then(|rest| rest.strip_prefix(set));
        rest.is_some_and(|rest| rest.starts_with(' ')) && line.ends_with('\n')
    };
    let mut lines = text.split_inclusive('\n');
    let making = lines.next().unwrap_or_default();
    let elements = lines.find(|line| !is_of_it(line, "add "));
    if is_of_it(&making, "create ") { elements } else { Some(making) }
}

/// An element: `add SET KEY timeout N comment "TEXT"`; its key with what stands behind it.
fn element(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix("add ")?;
    let (_, rest) = rest.split_once(' ')?;
    Some(rest.split_once(' ').unwrap_or((rest, "")))
}

fn own(key: &str, rest: &str, now: i64) -> Option<Entry> {
    let (_, verdict) = rest.split_once(&format!("comment \"{MARK}"))?;
    let verdict = verdict.split('"').next()?.to_owned();
    let left: i64 = rest.split_once("timeout ")?.1.split(' ').next()?.parse().ok()?;
    let expires_at = now.saturating_add(left);
    Some(Entry {
        key: key.parse().ok()?,
        response: Response::Block,
        expires_at,
        verdict,
        priority: (0, 0),
        way: None,
    })
}

impl Connector for IpsetConnector {
    basics!("ipset", canary);

    fn targets(&self) -> Vec<String> {
        vec![format!("set {} of `{}`", self.config.set, self.config.command.join(" "))]
    }

    fn observe(&mut self, now: i64) -> Result<Observed, ConnectorError> {
        let mut observed = Observed::default();
        for v6 in [false, true] {
            let Some(lines) = self.saved(v6)? else {
                observed.drift.push(format!("set {}", self.set(v6)));
                continue;
            };
            for (key, rest) in lines.iter().filter_map(|l| element(l)) {
                match own(key, rest, now) {
                    Some(entry) => observed.entries.push(entry),
                    None => observed.foreign += 1,
                }
            }
        }
        Ok(observed)
    }

    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        let mut script = String::new();
        for v6 in [false, true] {
            let name = self.set(v6);
            let mut changes = plan.add.iter().chain(&plan.refresh).chain(&plan.remove);
            let here = |e: &&Entry| e.key.net().is_some_and(|n| self.set_of(&n) == name);
            if changes.find(here).is_none() && !plan.repair.iter().any(|r| r.ends_with(&name)) {
                continue;
            }
            let saved = self.saved(v6)?;
            let is_there = saved.is_some();
            let lines = saved.unwrap_or_default();
            let there: Vec<Entry> =
                lines.iter().filter_map(|l| element(l)).filter_map(|(k, r)| own(k, r, now)).collect();
            plan.check_unseen(&there, &format!("set {name}"))?;
            // One that a change left that broke off; mostly there is none.
            drop(self.ipset(&["destroy", &format!("{name}.new")], ""));
            let others = lines.iter().filter_map(|l| element(l)).filter(|(k, r)| own(k, r, now).is_none());
            let mut elements: BTreeMap<String, String> =
                others.map(|(k, r)| (k.to_owned(), r.to_owned())).collect();
            for e in plan.target.iter().filter(here).filter(|e| e.expires_at > now) {
                let left = e.expires_at.saturating_sub(now).clamp(1, MOST_S);
                let rest = format!("timeout {left} comment \"{MARK}{}\"", e.verdict);
                elements.entry(e.key.to_string()).or_insert(rest);
            }
            self.restore(v6, is_there, &elements, &mut script);
        }
        self.ipset(&["restore"], &script)?;
        Ok(Answer::of(format!("{} entries", plan.target.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAKING: &str = "create sidetap4 hash:net family inet maxelem 64 timeout 0 comment";
    const ELEMENT: &str = "add sidetap4 192.0.2.1 timeout 600 comment \"sidetap:v-1\"";

    /// An ipset that says this of IPv4, and that there is nothing of IPv6.
    fn saying(script: &str, timeout_s: u64) -> Result<Observed, ConnectorError> {
        let script = format!(
            "[ \"$2\" = sidetap4 ] || {{ echo 'The set with the given name does not exist' >&2; exit 1; }}; {script}"
        );
        let text = format!("timeout_s = {timeout_s}\ncommand = [\"sh\", \"-c\", {script:?}, \"ipset\"]");
        IpsetConnector::new(toml::from_str(&text).unwrap()).unwrap().observe(0)
    }

    #[test]
    fn a_set_of_which_nothing_is_said_is_not_an_empty_one() {
        let silent = saying("true", 30);
        assert!(matches!(silent, Err(ConnectorError::Answer(_))), "{silent:?}");
        assert_eq!(saying(&format!("echo '{MAKING}'"), 30).unwrap().entries, []);
    }

    /// What is believed to be gone is put there once more, and what is not seen is never taken away.
    #[test]
    fn a_set_of_which_half_is_said_is_not_believed() {
        let all = saying(&format!("echo '{MAKING}'; echo '{ELEMENT}'"), 30).unwrap();
        assert_eq!((all.entries.len(), all.foreign), (1, 0));
        let half: String = ELEMENT.chars().take(30).collect();
        for script in [
            format!("echo '{MAKING}'; printf '%s' '{half}'"),
            format!("echo '{MAKING}'; printf '%s' '{ELEMENT}'"),
            format!("printf '%s' '{MAKING}'"),
            format!("echo '{ELEMENT}'"),
            format!("echo '{MAKING}'; echo '{ELEMENT}'; echo Killed"),
            format!("echo '{MAKING}'; kill -9 $$"),
            format!("echo '{MAKING}'; exit 1"),
            format!("echo '{MAKING}'; sleep 45"),
            // It ended, and what it started was still to say the rest.
            format!("echo '{MAKING}'; sleep 45 & exit 0"),
        ] {
            let cut = saying(&script, 2);
            assert!(cut.is_err(), "{script}: {cut:?}");
        }
    }
}
