//! What the console has done that its crate does not know how to do: policy, devices, indicators, the site's key.

mod beside;
mod devices;
mod named;
mod rules;
mod simulate;
pub(super) mod site;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use serde_json::{Value, json};
use sidetap_bots::{Pack, account_name};
use sidetap_console::{
    Control, Decision, Decisions, Done, Named, Order, PolicySave, Refused, SpecSave, Undo,
};
use sidetap_mitigation::{Mode, PushOptions, PushReport};
use sidetap_model::rows::{CampaignRow, VerdictRow};
use sidetap_model::{HashKey, Ts};
use sidetap_policy::{
    AllowEntry, AllowKind, AllowList, FIELDS, PolicyError, PolicySet, SuggestOptions, suggested_pack,
};
use sidetap_store::{Approval, PackRow, Store, Which};

use super::gate;
use super::indicators;
use super::mitigation::{cap, emptied, enforcer};
use super::policy::{Policies, known_in, policies, policies_of, said, traffic_in};
use super::spelled::{spelled, spellings};
use crate::cli::SourceArgs;
use crate::clock;
use crate::config::Config;
use crate::hash_key;
use crate::output::{warn, write_lasting};
use beside::Call;
pub(super) use beside::Orders;
use simulate::{moved, simulated};

/// The name under which a store keeps that nothing may change devices.
pub(super) const KILLED: &str = "mitigation.killed";

/// Why a yes is refused.
const BACK: &str = "what it asks for was taken back from the devices, and a yes would change nothing; `Let push again` on the page of mitigation, or `sidetap mitigation redo`, lets it be pushed, and asked about, again";

/// Whether the console's process can reach devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Devices {
    /// It can.
    Reached,
    /// It stands beside the watch of this run and gave up every right: another process acts.
    Beside(String),
}

/// Commands of the console.
pub(crate) struct Commands {
    config: Config,
    key: HashKey,
    /// Whether the store was written with another key.
    foreign: bool,
    pack: Arc<Pack>,
    source: SourceArgs,
    devices: Devices,
    /// One order at a time, and one look at what an order would change, for which no order waits.
    turn: Mutex<()>,
    looking: Mutex<()>,
    /// The sources of intelligence as they were at the start, where the right to look at them is given up.
    intel: Option<Value>,
    on_devices: Mutex<devices::OnDevices>,
    /// Why nothing is pushed by the file of the kill switch, as the process said that may look at it.
    heard: Mutex<Option<Option<String>>>,
}

impl Commands {
    /// Reads what it needs; nothing is asked of a device.
    pub(crate) fn new(config: &Config, store: &Path, devices: Devices) -> Result<Self> {
        let key = hash_key::load_or_make(config.analysis.hash_key.as_deref())?;
        let commands = Commands::with_key(config, store, devices, key)?;
        if commands.foreign {
            warn(
                "the hash key is not the one that this store was written with: name that one with --hash-key, or nobody can be matched, allowed or forgotten by the name of an account, session or key",
            );
        }
        Ok(commands)
    }

    /// The same with the site's key.
    fn with_key(config: &Config, store: &Path, devices: Devices, key: HashKey) -> Result<Self> {
        let foreign = store.is_file() && hash_key::differs(&Store::open_read_only(store)?, &key)?;
        let look = || super::intel::sources(&config.intel).ok().map(Value::Array);
        Ok(Commands {
            intel: matches!(devices, Devices::Beside(_)).then(look).flatten(),
            key,
            foreign,
            pack: Arc::new(indicators::pack(config)?),
            source: SourceArgs { run: None, store: Some(store.to_owned()) },
            config: config.clone(),
            devices,
            turn: Mutex::new(()),
            looking: Mutex::new(()),
            on_devices: Mutex::default(),
            heard: Mutex::default(),
        })
    }

    /// The rules in force, with what people allowed on the console.
    fn rules(&self, store: &Store) -> Result<Policies, Refused> {
        let set = policies(&self.config).map_err(failed)?;
        Ok(set.with_allow(&allowed(store)?).hashed(&self.key))
    }

    fn file(&self) -> Option<&PathBuf> {
        self.config.policy.path.as_ref().filter(|p| p.is_file())
    }

    fn order(
        &self,
        store: &mut Store,
        dry_run: bool,
        act: impl FnOnce(&mut sidetap_mitigation::Enforcer, &Store) -> Result<PushReport, Refused>,
    ) -> Done {
        let turn = if dry_run { &self.looking } else { &self.turn };
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut config = self.config.clone();
        let mut enforcer = enforcer(&mut config, &self.source).map_err(failed)?;
        let report = act(&mut enforcer, store)?;
        if report.mode != Mode::DryRun {
            return devices::kept(store, &report);
        }
        value(&report)
    }
}

/// Puts a pack in place of the one that is in this file.
fn write_policy(store: &mut Store, path: &Path, save: &PolicySave) -> Done {
    let last = store.last_pack()?;
    let before = std::fs::read_to_string(path).unwrap_or_default();
    let present = version(last.as_ref(), Some(&before));
    if present != save.version {
        return Err(Refused::Conflict(format!(
            "it was changed by somebody else meanwhile: this is version {present}"
        )));
    }
    if last.as_ref().and_then(|p| p.text.as_deref()) != Some(before.as_str()) {
        let found = if last.is_none() { "as it was found" } else { "changed outside of the console" };
        store.put_pack(&PackRow {
            version: present,
            at: clock::now(),
            by: String::new(),
            comment: found.to_owned(),
            text: Some(before),
        })?;
    }
    let now = present + 1;
    store.put_pack(&PackRow {
        version: now,
        at: clock::now(),
        by: save.by.clone(),
        comment: save.comment.clone(),
        text: Some(save.text.clone()),
    })?;
    write_lasting(path, |w| w.write_all(save.text.as_bytes())).map_err(failed)?;
    Ok(json!({ "version": now }))
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
            "rules": rules::listed(set)?,
            "allow": allow,
            "guards": {
                "min_prefix_v4": guards.min_prefix_v4,
                "min_prefix_v6": guards.min_prefix_v6,
                "own_networks": guards.own_networks,
                "shared_networks": guards.shared_networks,
            },
            "fields": value(&FIELDS)?,
            "editable": text.is_some(),
            "path": self.file().map(|p| p.display().to_string()),
            "version": version(store.last_pack()?.as_ref(), text.as_deref()),
            "text": text,
        }))
    }

    fn check_policy(&self, text: &str) -> Done {
        match PolicySet::parse(text, "policy") {
            Ok(set) => {
                Ok(json!({ "ok": true, "rules": set.list().len() + set.count_requests(), "errors": [] }))
            }
            Err(errors) => Ok(json!({ "ok": false, "rules": 0, "errors": told(&errors) })),
        }
    }

    fn simulate(&self, store: &Store, text: Option<&str>, named: usize) -> Done {
        let present = self.rules(store)?;
        let asked = match text {
            None => None,
            Some(text) => {
                let set = PolicySet::parse(text, "policy").map_err(|e| bad(&e))?;
                Some(
                    policies_of(set, &self.config)
                        .map_err(failed)?
                        .with_allow(&allowed(store)?)
                        .hashed(&self.key),
                )
            }
        };
        let around = known_in(store, self.config.policy.measured_span).map_err(failed)?;
        simulated(store, &around, present.set(), asked.as_ref().map(Policies::set), named)
    }

    fn save_policy(&self, store: &mut Store, save: &PolicySave) -> Done {
        let Some(path) = self.file() else {
            return Err(Refused::NotAvailable("policy file (policy.path of the configuration)".to_owned()));
        };
        if let Devices::Beside(run) = &self.devices {
            return beside::ask(store, run, &Call::SavePolicy { save: save.clone() });
        }
        store.atomically(|store| write_policy(store, path, save))
    }

    fn policy_versions(&self, store: &Store) -> Done {
        value(&store.packs()?)
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
        let which = (&Which::Id(id), decision.approve);
        let (decided, back) = gate::decide(store, which, &decision.by, now, &self.gate().taken_back)?;
        match decided.first() {
            Some(decided) => Ok(approval(decided)),
            None if back > 0 => Err(Refused::Conflict(BACK.to_owned())),
            None => Err(Refused::Conflict(format!("it is {} already", known.state))),
        }
    }

    fn decide_all(&self, store: &mut Store, decisions: &Decisions) -> Done {
        let (which, taken_back) = ((&decisions.which, decisions.approve), self.gate().taken_back);
        let (decided, back) = gate::decide(store, which, &decisions.by, clock::now(), &taken_back)?;
        Ok(json!({ "decided": decided.len(), "taken_back": back }))
    }

    fn suggestion(&self, store: &Store, campaign: &str) -> Done {
        let Some(row) = store.campaign(campaign)? else {
            return Err(Refused::NotFound("there is no such campaign".to_owned()));
        };
        let span_s = self.config.policy.measured_span;
        let Some(traffic) = traffic_in(store, span_s).map_err(failed)? else {
            return Err(Refused::NotAvailable("stored traffic to measure a condition on".to_owned()));
        };
        let found = self.rules(store)?.set().suggest(&traffic, &row, &SuggestOptions::default());
        let Some(best) = found.first() else {
            return Err(Refused::NotAvailable(
                "condition that tells this campaign from the honest traffic that was stored".to_owned(),
            ));
        };
        let m = &best.measured;
        let parts: Vec<String> =
            best.subject.each_part().iter().map(|p| format!("{} {}", p.kind, p.value)).collect();
        let more = found.iter().skip(1).map(|s| s.measured.campaign_requests);
        let more = more.map(|n| format!("a further rule finds {n} more of its requests"));
        let notes: Vec<String> = more.chain(traffic.gaps()).collect();
        Ok(json!({
            "policy": suggested_pack(&found, sidetap_model::Mode::Approve),
            "condition": parts.join(" + "),
            "precision": m.precision(),
            "recall": m.recall(),
            "malicious": { "hit": m.campaign_requests, "all": m.campaign_total },
            "honest": { "hit": m.honest_requests, "all": m.honest_total },
            "devices": self.able(&row, &best.subject)?,
            "notes": notes,
        }))
    }

    fn devices(&self, store: &mut Store) -> Done {
        self.device_cards(store)
    }

    fn test_device(&self, store: &mut Store, name: &str) -> Done {
        if let Devices::Beside(run) = &self.devices {
            return beside::ask(store, run, &Call::Test { device: name.to_owned() });
        }
        self.tested(name)
    }

    fn set_mode(&self, store: &mut Store, name: &str, mode: Option<&str>) -> Done {
        self.change_mode(store, name, mode)
    }

    fn specs(&self, store: &Store) -> Done {
        site::specs(store)
    }

    fn conformance(&self, store: &Store, name: &str) -> Done {
        site::conformance(store, name)
    }

    fn template_named(&self, template: &str, of: &[&str]) -> String {
        sidetap_discovery::named(template, of)
    }

    fn read_spec(&self, spec: &SpecSave) -> Done {
        site::read_spec(spec)
    }

    fn put_spec(&self, store: &mut Store, spec: &SpecSave) -> Done {
        site::put_spec(store, spec)
    }

    fn remove_spec(&self, store: &mut Store, name: &str) -> Done {
        site::remove_spec(store, name)
    }

    fn intel(&self) -> Done {
        if let Some(known) = &self.intel {
            return Ok(known.clone());
        }
        super::intel::sources(&self.config.intel).map(Value::Array).map_err(failed)
    }

    fn update_intel(&self) -> Done {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        super::intel::update_accepted(&self.config.intel)
            .map(|lines| json!({ "sources": lines }))
            .map_err(failed)
    }

    fn entries(&self, store: &Store) -> Done {
        let mut on = self.on_devices.lock().unwrap_or_else(PoisonError::into_inner);
        on.entries(store, clock::now()).map(Value::Array)
    }

    fn killed(&self, store: &Store) -> Result<Option<String>, Refused> {
        let said = store.state(KILLED)?;
        let by = |b: Vec<u8>| format!("{} (turned on by {})", gate::STOPPED, String::from_utf8_lossy(&b));
        Ok(said.map(by).or_else(|| self.stopped_by_file()))
    }

    fn plan(&self, store: &mut Store, force: bool) -> Done {
        if let Devices::Beside(run) = &self.devices {
            return beside::ask(store, run, &Call::Plan { force });
        }
        let _turn = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let mut config = self.config.clone();
        let mut enforcer = enforcer(&mut config, &self.source).map_err(failed)?;
        let rules = self.rules(store)?;
        let (wanted, traffic) = self.wanted(&rules, store, false)?;
        cap(&mut enforcer, &rules, traffic);
        let mut report = enforcer.plan(&wanted, clock::now(), force);
        report.held.extend(wanted.held);
        value(&report)
    }

    fn push(&self, store: &mut Store, order: &Order) -> Done {
        if let Some(why) = self.killed(store)?.filter(|_| !order.dry_run) {
            return Err(Refused::Conflict(format!("{why}: nothing is pushed")));
        }
        if let Devices::Beside(run) = &self.devices {
            return beside::ask(store, run, &Call::Push { order: order.clone() });
        }
        let options = PushOptions { force: order.force, ..options(order) };
        let rules = self.rules(store)?;
        let (wanted, traffic) = self.wanted(&rules, store, !order.dry_run)?;
        self.order(store, order.dry_run, |enforcer, _| {
            cap(enforcer, &rules, traffic);
            let mut report = enforcer.push(&wanted, clock::now(), &options);
            report.held.extend(wanted.held);
            Ok(report)
        })
    }

    fn undo(&self, store: &mut Store, order: &Order, what: &Undo) -> Done {
        if let Devices::Beside(run) = &self.devices {
            return beside::ask(store, run, &Call::Undo { order: order.clone(), what: what.clone() });
        }
        let selector = self.selector(store, what)?;
        let options = PushOptions { why: devices::asked(what), ..options(order) };
        let answer = self.order(store, order.dry_run, |enforcer, _| {
            Ok(enforcer.undo(&selector, clock::now(), &options))
        })?;
        Ok(json!({ "undone": [answer] }))
    }

    fn redo(&self, store: &mut Store, what: &Undo, by: &str) -> Done {
        if let Devices::Beside(run) = &self.devices {
            return beside::ask(store, run, &Call::Redo { what: what.clone(), by: by.to_owned() });
        }
        let selector = self.selector(store, what)?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut config = self.config.clone();
        let mut enforcer = enforcer(&mut config, &self.source).map_err(failed)?;
        enforcer.redo(&selector).map_err(failed)?;
        Ok(json!({ "redone": what }))
    }

    fn empty(&self, store: &mut Store, by: &str) -> Done {
        if let Devices::Beside(run) = &self.devices {
            return beside::ask(store, run, &Call::Empty { by: by.to_owned() });
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever released the switch meanwhile wants nothing taken off.
        if self.killed(store)?.is_none() {
            return Ok(json!({ "emptied": [] }));
        }
        let report = emptied(&self.config, &self.source, by).map_err(failed)?;
        Ok(json!({ "emptied": [devices::kept(store, &report)?] }))
    }

    fn is_beside(&self) -> bool {
        matches!(self.devices, Devices::Beside(_))
    }

    fn kill_switch(&self, store: &mut Store, on: bool, by: &str) -> Done {
        if on {
            store.put_state(KILLED, by.as_bytes())?;
            return Ok(json!({ "on": true }));
        }
        let (mut left, asked) = (None, clock::now());
        if let Some(file) = self.gate().switch
            && let Err(e) = gate::resume(&file)
        {
            // Beside a watch the file may be out of reach; whoever turns the switch on meanwhile does so in the store.
            match self.is_beside() {
                true => left = Some(asked),
                false => return Err(failed(e)),
            }
        }
        store.remove_state(KILLED)?;
        Ok(json!({ "on": false, "left": left }))
    }

    fn release(&self, store: &mut Store, asked: Ts) -> Done {
        if let Devices::Beside(run) = &self.devices {
            return beside::ask(store, run, &Call::Release { asked });
        }
        if let Some(file) = self.gate().switch {
            // One that was put there since stays, whatever it says: who turns it last has the last word.
            if !gate::resume_of(&file, asked).map_err(failed)? {
                return Err(Refused::Conflict("it was turned on again by hand, and stays on".to_owned()));
            }
        }
        Ok(json!({ "on": false }))
    }

    fn what_if(&self, verdict: &VerdictRow, without: &[String]) -> Done {
        let all: Vec<&str> = verdict.reasons.iter().map(|r| &*r.indicator).collect();
        let left: Vec<&str> = all.iter().copied().filter(|i| !without.iter().any(|w| w == i)).collect();
        let (was, would) = (self.pack.scores(&all), self.pack.scores(&left));
        let score = moved(verdict.score, would.harm - was.harm);
        let automation = moved(verdict.automation, would.automation - was.automation);
        let lost = was.convicts && !would.convicts;
        let intent = match verdict.intent.as_str() {
            "malicious" if lost || score < 50 => "suspicious",
            other => other,
        };
        let kept: Vec<_> = verdict.reasons.iter().filter(|r| left.contains(&&*r.indicator)).collect();
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

    fn allow_value(&self, kind: &str, value: &str) -> Result<String, Refused> {
        let wrong =
            || Refused::Bad { detail: format!("value: it does not fit the kind {kind}"), errors: json!([]) };
        let known = serde_json::from_value(Value::String(kind.to_owned())).map_err(|_| wrong())?;
        self.own_key(known, value)?;
        spelled(known, value, &self.key).ok_or_else(wrong)
    }

    fn spellings(&self, kind: &str, value: &str) -> Result<Vec<String>, Refused> {
        let wrong =
            || Refused::Bad { detail: format!("value: it does not fit the kind {kind}"), errors: json!([]) };
        let known = serde_json::from_value(Value::String(kind.to_owned())).map_err(|_| wrong())?;
        self.own_key(known, value)?;
        Ok(spellings(known, value, &self.key))
    }

    fn accounts_named(&self, store: &Store, campaign: &CampaignRow) -> Result<Named, Refused> {
        named::accounts_named(store, campaign)
    }

    fn account_names(&self, names: &[String]) -> Result<Vec<String>, Refused> {
        self.own_key(AllowKind::Account, "")?;
        Ok(names.iter().map(|n| account_name(&self.key, n)).collect())
    }

    fn configuration(&self) -> Option<String> {
        self.config.told.clone()
    }
}

impl Commands {
    /// Refuses to hash a name by a key that is not the store's: it would be nobody's there.
    fn own_key(&self, kind: AllowKind, value: &str) -> Result<(), Refused> {
        let hashed = matches!(kind, AllowKind::Account | AllowKind::Session | AllowKind::ApiKey);
        if self.foreign && hashed && !value.contains('#') {
            let why = "hash key that this store was written with: start it with --hash-key and that file";
            return Err(Refused::NotAvailable(why.to_owned()));
        }
        Ok(())
    }

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
fn allowed(store: &Store) -> Result<AllowList, Refused> {
    Ok(said(&store.allowed(clock::now())?))
}

/// How a kind is spelled.
fn kind_name(kind: AllowKind) -> String {
    serde_json::to_value(kind).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The version of a text: that of the last one saved, or the next where it is not that one any more.
fn version(last: Option<&PackRow>, text: Option<&str>) -> u64 {
    let Some(last) = last else { return 0 };
    if last.text.as_deref() == text { last.version } else { last.version + 1 }
}

fn options(order: &Order) -> PushOptions {
    let mode = if order.dry_run { Mode::DryRun } else { Mode::Enforce };
    PushOptions { actor: order.by.clone(), ..PushOptions::new(mode) }
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
