//! What the console has done that its crate does not know how to do: policy, devices, indicators, the site's key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use serde_json::{Value, json};
use sidetap_bots::{Pack, account_name};
use sidetap_console::{Control, Decision, Done, Order, PolicySave, Refused, Undo};
use sidetap_mitigation::{Mode, PushOptions, PushReport, Selector};
use sidetap_model::rows::VerdictRow;
use sidetap_model::{HashKey, Ts};
use sidetap_policy::{
    AllowEntry, AllowKind, AllowList, FIELDS, PolicyError, PolicySet, SuggestOptions, suggested_pack,
};
use sidetap_store::{Approval, Store, Which};

use super::gate::{self, Approving};
use super::indicators;
use super::mitigation::{cap, desired_of, enforcer, ledger_of};
use super::policy::{Policies, known_of, policies, policies_of};
use crate::cli::SourceArgs;
use crate::clock;
use crate::config::Config;
use crate::hash_key;
use crate::output::write_atomically;

/// Packs that were saved and are remembered.
const VERSIONS: usize = 100;
/// Changed verdicts that a simulation names.
const CHANGED: usize = 200;
/// The name under which a store keeps packs that were saved.
const SAVED: &str = "policy.versions";
/// The name under which a store keeps that nothing may change devices.
pub(super) const KILLED: &str = "mitigation.killed";

/// Whether the console's process can reach devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Devices {
    /// It can.
    Reached,
    /// It stands beside a watch and gave up every right: another process acts.
    Beside,
}

/// Commands of the console.
pub(crate) struct Commands {
    config: Config,
    key: HashKey,
    pack: Arc<Pack>,
    source: SourceArgs,
    devices: Devices,
    /// One order at a time.
    turn: Mutex<()>,
}

impl Commands {
    /// Reads what it needs; nothing is asked of a device.
    pub(crate) fn new(config: &Config, store: &Path, devices: Devices) -> Result<Self> {
        Ok(Commands {
            key: hash_key::load_or_make(config.analysis.hash_key.as_deref())?,
            pack: Arc::new(indicators::pack(config)?),
            source: SourceArgs { run: None, store: Some(store.to_owned()) },
            config: config.clone(),
            devices,
            turn: Mutex::new(()),
        })
    }

    /// The rules in force, with what people allowed on the console.
    fn rules(&self, store: &Store) -> Result<Policies, Refused> {
        let set = policies(&self.config).map_err(failed)?.hashed(&self.key);
        Ok(set.with_allow(&allowed(store)?))
    }

    fn file(&self) -> Option<&PathBuf> {
        self.config.policy.path.as_ref().filter(|p| p.is_file())
    }

    fn reach(&self) -> Result<(), Refused> {
        match self.devices {
            Devices::Reached => Ok(()),
            Devices::Beside => Err(Refused::NotAvailable(
                "way to devices: it stands beside a watch, whose other process acts; `sidetap serve` on the same store has one".to_owned(),
            )),
        }
    }

    fn order(
        &self,
        store: &mut Store,
        act: impl FnOnce(&mut sidetap_mitigation::Enforcer, &Store) -> Result<PushReport, Refused>,
    ) -> Done {
        self.reach()?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut config = self.config.clone();
        let mut enforcer = enforcer(&mut config, &self.source).map_err(failed)?;
        let report = act(&mut enforcer, store)?;
        if report.mode != Mode::DryRun {
            store.record_actions(&report.actions)?;
        }
        value(&report)
    }
}

impl Control for Commands {
    fn policies(&self, store: &Store) -> Done {
        let policies = self.rules(store)?;
        let set = policies.set();
        let allow: Vec<Value> = self
            .config_allow()?
            .iter()
            .map(|e| json!({ "kind": kind_name(e.kind), "value": e.value, "reason": e.reason }))
            .collect();
        let guards = set.guards();
        let text = self.file().and_then(|p| std::fs::read_to_string(p).ok());
        Ok(json!({
            "rules": value(&set.list())?,
            "allow": allow,
            "guards": {
                "min_prefix_v4": guards.min_prefix_v4,
                "min_prefix_v6": guards.min_prefix_v6,
                "own_networks": guards.own_networks,
                "shared_networks": guards.shared_networks,
            },
            "fields": value(&FIELDS)?,
            "editable": text.is_some() && self.devices == Devices::Reached,
            "path": self.file().map(|p| p.display().to_string()),
            "version": saved(store)?.len(),
            "text": text,
        }))
    }

    fn check_policy(&self, text: &str) -> Done {
        match PolicySet::parse(text, "policy") {
            Ok(set) => Ok(json!({ "ok": true, "rules": set.list().len(), "errors": [] })),
            Err(errors) => Ok(json!({ "ok": false, "rules": 0, "errors": told(&errors) })),
        }
    }

    fn simulate(&self, store: &Store, text: Option<&str>) -> Done {
        let present = self.rules(store)?;
        let asked = match text {
            None => None,
            Some(text) => {
                let set = PolicySet::parse(text, "policy").map_err(|e| bad(&e))?;
                Some(
                    policies_of(set, &self.config)
                        .map_err(failed)?
                        .hashed(&self.key)
                        .with_allow(&allowed(store)?),
                )
            }
        };
        let mut run = store.load()?;
        let mut was = run.clone();
        let known = known_of(&run, "", Some(store.path()), self.config.policy.measured_span);
        present.apply(&mut was, &known);
        asked.as_ref().unwrap_or(&present).apply(&mut run, &known);
        Ok(simulation(&was.verdicts, &run.verdicts))
    }

    fn save_policy(&self, store: &mut Store, save: &PolicySave) -> Done {
        let Some(path) = self.file().filter(|_| self.devices == Devices::Reached) else {
            return Err(Refused::NotAvailable(
                "policy file that it may write (policy.path of the configuration; not beside a watch)"
                    .to_owned(),
            ));
        };
        PolicySet::parse(&save.text, "policy").map_err(|e| bad(&e))?;
        let mut versions = saved(store)?;
        let version = versions.len() as u64;
        if version != save.version {
            return Err(Refused::Conflict(format!(
                "it was saved by somebody else meanwhile: this is version {version}"
            )));
        }
        if versions.is_empty() {
            let before = std::fs::read_to_string(path).unwrap_or_default();
            versions.push(json!({ "version": 0, "at": clock::now(), "by": "", "comment": "as it was found", "text": before }));
        }
        let now = versions.len();
        versions.push(json!({ "version": now, "at": clock::now(), "by": save.by, "comment": save.comment, "text": save.text }));
        let forget = versions.len().saturating_sub(VERSIONS);
        for old in versions.iter_mut().take(forget) {
            old["text"] = Value::Null;
        }
        write_atomically(path, |w| w.write_all(save.text.as_bytes())).map_err(failed)?;
        store.put_state(SAVED, &serde_json::to_vec(&versions).map_err(failed)?)?;
        Ok(json!({ "version": versions.len() }))
    }

    fn policy_versions(&self, store: &Store) -> Done {
        let mut versions = saved(store)?;
        versions.reverse();
        Ok(Value::Array(versions))
    }

    fn approvals(&self, store: &Store, status: Option<&str>) -> Done {
        let all = store.approvals(clock::now())?;
        Ok(all.iter().filter(|a| status.is_none_or(|s| s == a.state)).map(approval).collect())
    }

    fn decide(&self, store: &mut Store, decision: &Decision) -> Done {
        let now = clock::now();
        let id = i64::try_from(decision.id).unwrap_or(i64::MAX);
        let Some(known) = store.approvals(now)?.into_iter().find(|a| a.id == id) else {
            return Err(Refused::NotFound("there is no such approval".to_owned()));
        };
        let decided = store.decide(&Which::Id(id), decision.approve, &decision.by, now)?;
        match decided.first() {
            Some(decided) => Ok(approval(decided)),
            None => Err(Refused::Conflict(format!("it is {} already", known.state))),
        }
    }

    fn suggestion(&self, store: &Store, campaign: &str) -> Done {
        let run = store.load()?;
        let Some(row) = run.campaigns.iter().find(|c| c.id == campaign) else {
            return Err(Refused::NotFound("there is no such campaign".to_owned()));
        };
        let known = known_of(&run, "", Some(store.path()), self.config.policy.measured_span);
        let Some(traffic) = known.traffic else {
            return Err(Refused::NotAvailable("stored traffic to measure a condition on".to_owned()));
        };
        let found = self.rules(store)?.set().suggest(&traffic, row, &SuggestOptions::default());
        let Some(best) = found.first() else {
            return Err(Refused::NotAvailable(
                "condition that tells this campaign from the honest traffic that was stored".to_owned(),
            ));
        };
        let m = &best.measured;
        let parts: Vec<String> =
            best.subject.each_part().iter().map(|p| format!("{} {}", p.kind, p.value)).collect();
        let more: Vec<String> = found
            .iter()
            .skip(1)
            .map(|s| format!("a further rule finds {} more of its requests", s.measured.campaign_requests))
            .collect();
        Ok(json!({
            "policy": suggested_pack(&found, sidetap_model::Mode::Approve),
            "condition": parts.join(" + "),
            "precision": m.precision(),
            "recall": m.recall(),
            "malicious": { "hit": m.campaign_requests, "all": m.campaign_total },
            "honest": { "hit": m.honest_requests, "all": m.honest_total },
            "devices": [],
            "notes": more,
        }))
    }

    fn devices(&self) -> Done {
        if self.devices == Devices::Beside {
            return Ok(json!({ "mode": "watch", "killed": false, "devices": [] }));
        }
        let mut config = self.config.clone();
        let mut enforcer = enforcer(&mut config, &self.source).map_err(failed)?;
        let status = enforcer.status(clock::now());
        let devices: Vec<Value> = status
            .connectors
            .iter()
            .map(|c| {
                json!({
                    "name": c.name, "kind": c.kind, "mode": "enforce", "ok": c.error.is_none() && c.drift.is_empty(),
                    "error": c.error, "entries": c.entries, "foreign": c.foreign, "wanted": c.entries + c.drift.len(),
                    "missing": c.drift.len(), "drift": c.drift, "sees": value(&c.sees).unwrap_or_default(),
                    "can": c.sees.responses.iter().map(|r| r.name()).collect::<Vec<_>>(),
                    "last_push": null, "last_answer": null,
                })
            })
            .collect();
        Ok(json!({
            "mode": "enforce", "killed": false, "devices": devices, "active": status.active, "undone": status.undone,
        }))
    }

    fn entries(&self, store: &Store) -> Done {
        Ok(Value::Array(entries(store, clock::now())?))
    }

    fn plan(&self, store: &Store, force: bool) -> Done {
        self.reach()?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut config = self.config.clone();
        let wanted =
            desired_of(&store.load()?.verdicts, &self.rules(store)?, &self.config).map_err(failed)?;
        let mut enforcer = enforcer(&mut config, &self.source).map_err(failed)?;
        value(&enforcer.plan(&wanted, clock::now(), force))
    }

    fn push(&self, store: &mut Store, order: &Order) -> Done {
        if !order.dry_run && store.state(KILLED)?.is_some() {
            return Err(Refused::Conflict("the kill switch is on: nothing is pushed".to_owned()));
        }
        let options = PushOptions { force: order.force, ..options(order) };
        self.order(store, |enforcer, store| {
            let verdicts = store.load()?.verdicts;
            let rules = self.rules(store)?;
            let mut wanted = desired_of(&verdicts, &rules, &self.config).map_err(failed)?;
            let switch = gate::switch_of(&self.config, ledger_of(&self.config, &self.source).as_deref());
            let approving = Approving::of(&self.config, false);
            gate::hold(&mut wanted, &verdicts, switch.as_deref(), None, &approving);
            cap(enforcer, &rules, None);
            Ok(enforcer.push(&wanted, clock::now(), &options))
        })
    }

    fn undo(&self, store: &mut Store, order: &Order, what: &Undo) -> Done {
        let selectors = selectors(store, what)?;
        let options = options(order);
        let mut answers = Vec::new();
        for selector in selectors {
            answers
                .push(self.order(store, |enforcer, _| Ok(enforcer.undo(&selector, clock::now(), &options)))?);
        }
        Ok(json!({ "undone": answers }))
    }

    fn kill_switch(&self, store: &mut Store, on: bool, by: &str) -> Done {
        if on {
            store.put_state(KILLED, by.as_bytes())?;
        } else {
            store.remove_state(KILLED)?;
        }
        Ok(json!({ "on": on }))
    }

    fn what_if(&self, verdict: &VerdictRow, without: &[String]) -> Done {
        let all: Vec<&str> = verdict.reasons.iter().map(|r| r.indicator.as_str()).collect();
        let left: Vec<&str> = all.iter().copied().filter(|i| !without.iter().any(|w| w == i)).collect();
        let (was, would) = (self.pack.scores(&all), self.pack.scores(&left));
        let score = moved(verdict.score, would.harm - was.harm);
        let automation = moved(verdict.automation, would.automation - was.automation);
        let lost = was.convicts && !would.convicts;
        let intent = match verdict.intent.as_str() {
            "malicious" if lost || score < 50 => "suspicious",
            other => other,
        };
        let kept: Vec<_> = verdict.reasons.iter().filter(|r| left.contains(&r.indicator.as_str())).collect();
        Ok(json!({
            "score": { "was": verdict.score, "would": score },
            "automation": { "was": verdict.automation, "would": automation },
            "intent": { "was": verdict.intent, "would": intent },
            "without": without,
            "reasons": value(&kept)?,
        }))
    }

    fn indicators(&self, ids: &[String]) -> Value {
        let known: BTreeMap<&str, Value> = self
            .pack
            .indicators()
            .iter()
            .filter(|i| ids.contains(&i.id))
            .map(|i| {
                let about = json!({
                    "description": i.description, "pillar": i.pillar.name(), "kind": i.kind.name(), "references": i.references,
                });
                (i.id.as_str(), about)
            })
            .collect();
        json!(known)
    }

    fn account_names(&self, names: &[String]) -> Result<Vec<String>, Refused> {
        Ok(names.iter().map(|n| account_name(&self.key, n)).collect())
    }
}

impl Commands {
    fn config_allow(&self) -> Result<Vec<AllowEntry>, Refused> {
        Ok(policies(&self.config).map_err(failed)?.hashed(&self.key).set().allow().entries().to_vec())
    }
}

/// An approval as the API has it.
fn approval(a: &Approval) -> Value {
    let action = if a.policy.is_empty() { String::new() } else { format!(" ({})", a.policy) };
    json!({
        "id": a.id, "at": a.at, "expires_at": a.expires_at, "status": a.state, "kind": "verdict",
        "title": format!("{} {} {}{action}", a.response, a.subject.kind, a.subject.value), "connector": null,
        "policy": a.policy, "verdict": a.verdict, "campaign": a.campaign, "subject": a.subject.value, "response": a.response,
        "asked_by": "policy", "why": a.reason, "plan": {}, "decided_at": a.decided_at, "decided_by": a.decided_by, "note": null,
    })
}

/// Whom people allowed on the console.
pub(crate) fn allowed(store: &Store) -> Result<AllowList, Refused> {
    let mut list = AllowList::default();
    for row in store.allowed(clock::now())? {
        let Ok(kind) = serde_json::from_value(Value::String(row.kind)) else { continue };
        let _ = list.push(AllowEntry { kind, value: row.value, reason: Some(row.reason) });
    }
    Ok(list)
}

/// How a kind is spelled.
fn kind_name(kind: AllowKind) -> String {
    serde_json::to_value(kind).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn saved(store: &Store) -> Result<Vec<Value>, Refused> {
    let bytes = store.state(SAVED)?.unwrap_or_else(|| b"[]".to_vec());
    serde_json::from_slice(&bytes).map_err(failed)
}

/// What is on devices by what was done to them: entries that were put there, not taken back and have not run out.
fn entries(store: &Store, now: Ts) -> Result<Vec<Value>, Refused> {
    let mut on: BTreeMap<(String, String, String), Value> = BTreeMap::new();
    let mut done = store.actions(100_000, 0)?;
    done.reverse();
    for a in done.into_iter().filter(|a| a.mode == "enforce" && a.outcome == "done") {
        let key = (a.connector.clone(), a.subject.clone(), a.response.clone());
        match a.kind.as_str() {
            "add" | "refresh" => {
                let since = on.get(&key).and_then(|e| e.get("since").cloned()).unwrap_or_else(|| json!(a.at));
                let policy = a
                    .verdict
                    .as_deref()
                    .map(|v| store.verdict(v))
                    .transpose()?
                    .flatten()
                    .and_then(|v| v.policy);
                let entry = json!({
                    "device": a.connector, "subject": a.subject, "response": a.response, "verdict": a.verdict,
                    "policy": policy, "since": since, "expires_at": a.expires_at, "state": "on-device",
                });
                on.insert(key, entry);
            }
            _ => _ = on.remove(&key),
        }
    }
    let runs_out =
        |e: &Value| e.get("expires_at").and_then(Value::as_str).and_then(Ts::parse).is_some_and(|t| t <= now);
    let mut rows: Vec<Value> = on.into_values().filter(|e| !runs_out(e)).collect();
    rows.sort_by(|a, b| b["since"].as_str().cmp(&a["since"].as_str()));
    Ok(rows)
}

fn selectors(store: &Store, what: &Undo) -> Result<Vec<Selector>, Refused> {
    let verdicts = || -> Result<Vec<VerdictRow>, Refused> { Ok(store.load()?.verdicts) };
    let of = |ids: Vec<String>| ids.into_iter().map(Selector::Verdict).collect();
    Ok(match what {
        Undo::All => vec![Selector::All],
        Undo::Verdict(id) => vec![Selector::Verdict(id.clone())],
        Undo::Policy(id) => {
            of(verdicts()?.into_iter().filter(|v| v.policy.as_ref() == Some(id)).map(|v| v.id).collect())
        }
        Undo::Campaign(id) => {
            of(verdicts()?.into_iter().filter(|v| v.campaign.as_ref() == Some(id)).map(|v| v.id).collect())
        }
        Undo::Since(since) => {
            let late = store.actions(100_000, 0)?.into_iter().filter(|a| a.at >= *since && a.kind == "add");
            let ids: std::collections::BTreeSet<String> = late.filter_map(|a| a.verdict).collect();
            of(ids.into_iter().collect())
        }
    })
}

fn options(order: &Order) -> PushOptions {
    let mode = if order.dry_run { Mode::DryRun } else { Mode::Enforce };
    PushOptions { actor: order.by.clone(), ..PushOptions::new(mode) }
}

/// What rules would do with verdicts, beside what the present ones do.
fn simulation(was: &[VerdictRow], is: &[VerdictRow]) -> Value {
    let mut responses: BTreeMap<&str, [u64; 4]> = BTreeMap::new();
    let mut rules: BTreeMap<(&str, &str), [u64; 2]> = BTreeMap::new();
    let mut held: BTreeMap<&str, u64> = BTreeMap::new();
    for v in is {
        let sums = responses.entry(v.response.as_str()).or_default();
        let honest = v.intent != "malicious";
        let add = [1, v.requests, if honest { 0 } else { v.requests }, if honest { v.requests } else { 0 }];
        sums.iter_mut().zip(add).for_each(|(s, n)| *s += n);
        let policy = v.policy.as_deref().unwrap_or_default();
        match policy.strip_prefix("guard:") {
            Some(guard) => *held.entry(guard).or_default() += 1,
            None => {
                let [verdicts, requests] = rules.entry((policy, v.response.as_str())).or_default();
                *verdicts += 1;
                *requests += v.requests;
            }
        }
    }
    let before: BTreeMap<&str, &VerdictRow> = was.iter().map(|v| (v.id.as_str(), v)).collect();
    let changed: Vec<Value> = is
        .iter()
        .filter_map(|v| {
            let old = before.get(v.id.as_str()).filter(|o| o.response != v.response)?;
            Some(json!({
                "verdict": v.id, "subject": v.subject.value, "was": old.response, "would": v.response, "rule": v.policy,
            }))
        })
        .collect();
    let responses: BTreeMap<&str, Value> = responses
        .into_iter()
        .map(|(response, [verdicts, requests, malicious, honest])| {
            let sums = json!({
                "verdicts": verdicts, "requests": requests, "malicious_requests": malicious, "honest_requests": honest,
            });
            (response, sums)
        })
        .collect();
    let by_rule: Vec<Value> = rules
        .into_iter()
        .map(|((rule, response), [verdicts, requests])| {
            json!({ "rule": rule, "response": response, "verdicts": verdicts, "requests": requests })
        })
        .collect();
    let held: Vec<Value> = held.into_iter().map(|(why, n)| json!({ "why": why, "verdicts": n })).collect();
    json!({
        "verdicts": is.len(),
        "responses": responses,
        "by_rule": by_rule,
        "changed_total": changed.len(),
        "changed": changed.into_iter().take(CHANGED).collect::<Vec<_>>(),
        "held": held,
        "detail": {},
    })
}

/// A score of 1 to 99 moved by log-odds.
fn moved(score: u8, by: f64) -> u8 {
    let p = f64::from(score.clamp(1, 99)) / 100.0;
    let odds = (p / (1.0 - p)).ln() + by;
    (100.0 / (1.0 + (-odds).exp())).round().clamp(1.0, 99.0) as u8
}

fn bad(errors: &[PolicyError]) -> Refused {
    let detail = errors.first().map_or_else(|| "the policy is refused".to_owned(), ToString::to_string);
    Refused::Bad { detail, errors: told(errors) }
}

fn told(errors: &[PolicyError]) -> Value {
    let one =
        |e: &PolicyError| json!({ "line": e.line, "column": e.column, "message": e.message, "hint": e.hint });
    errors.iter().map(one).collect()
}

fn value<T: serde::Serialize + ?Sized>(value: &T) -> Done {
    serde_json::to_value(value).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> Refused {
    Refused::Failed(format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_move_by_log_odds() {
        assert_eq!(moved(50, 0.0), 50);
        assert_eq!((moved(99, -100.0), moved(1, 100.0)), (1, 99));
        assert!(moved(92, -2.0) < 92 && moved(92, -2.0) > 50);
    }
}
