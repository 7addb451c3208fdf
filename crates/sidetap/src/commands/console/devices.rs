//! Devices: how they are, how they are told, what is on them.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sidetap_console::{Done, Refused, Undo};
use sidetap_mitigation::{
    ConnectorStatus, Contended, Desired, DesiredOptions, PushReport, Selector, desired,
};
use sidetap_model::rows::{CampaignRow, Subject, VerdictRow};
use sidetap_model::{ActionRow, Mode, Ts};
use sidetap_policy::Traffic;
use sidetap_store::Store;

use super::beside::{self, Call};
use super::{Commands, Devices, failed, value};
use crate::clock;
use crate::commands::gate;
use crate::commands::mitigation::{Found, enforcer, ledger_of, selected, suggested_by, wanted_in};
use crate::commands::policy::Policies;
use crate::output::warn;

/// Actions that are looked through for what a device was told last.
const LATEST: usize = 5_000;

/// How long what was done to devices is tried to be kept in a store that others hold, as one does that compacts it.
const KEEP_FOR: Duration = Duration::from_secs(300);

/// A report of what was done to devices, with its actions kept. What was done is done, and said, whether or not it can be kept; a store that
/// others hold is waited for.
pub(super) fn kept(store: &mut Store, report: &PushReport) -> Done {
    let mut said = value(report)?;
    let begun = Instant::now();
    loop {
        match store.record_actions(&report.actions) {
            Ok(()) => return Ok(said),
            Err(e) if e.is_busy() && begun.elapsed() < KEEP_FOR => {}
            Err(e) => {
                warn(&format!("what was done to devices cannot be kept in {}: {e}", store.path().display()));
                break;
            }
        }
    }
    if let Some(fields) = said.as_object_mut() {
        fields.insert("not_kept".to_owned(), json!(report.actions.len()));
    }
    Ok(said)
}

impl Commands {
    /// What of the files beside the store stands before devices.
    pub(super) fn gate(&self) -> gate::Gate {
        gate::Gate::of(&self.config, ledger_of(&self.config, &self.source).as_deref())
    }

    /// What verdicts, by these rules and by what was approved, ask devices for; with `ask`, approvals are asked for.
    pub(super) fn wanted(
        &self,
        rules: &Policies,
        store: &mut Store,
        ask: bool,
    ) -> Result<(Desired, Option<Traffic>), Refused> {
        wanted_in(&self.config, rules, store, &self.gate(), ask).map_err(failed)
    }

    /// What is to be taken back, as one order.
    pub(super) fn selector(&self, store: &Store, what: &Undo) -> Result<Selector, Refused> {
        let of = |campaign, policy| -> Result<Selector, Refused> {
            let rules = self.rules(store)?;
            let ids = selected(Found::Store(store), &rules, &self.config, campaign, policy);
            let mut ids = ids.map_err(failed)?;
            ids.extend(policy.map(|rule| format!("p-{rule}")));
            ids.extend(campaign.iter().flat_map(|c| suggested_by(&rules, c)));
            Ok(Selector::Verdicts(ids))
        };
        Ok(match what {
            Undo::All => Selector::All,
            Undo::Verdict(id) => Selector::Verdict(id.clone()),
            Undo::Policy(id) => of(None, Some(id.as_str()))?,
            Undo::Campaign(id) => of(Some(id.as_str()), None)?,
            Undo::Since(since) => {
                let done = store.actions(100_000, 0)?.into_iter();
                let late = done.filter(|a| a.at >= *since && a.kind == "add");
                Selector::Verdicts(late.filter_map(|a| a.verdict).collect())
            }
        })
    }

    /// A card for each device.
    pub(super) fn device_cards(&self, store: &mut Store) -> Done {
        let mut config = self.config.clone();
        let mut enforcer = enforcer(&mut config, &self.source).map_err(failed)?;
        let modes = gate::modes(store);
        let latest = latest(store)?;
        let now = clock::now().secs();
        let names = enforcer.connectors().into_iter().map(|(name, _)| name);
        let shared: BTreeMap<String, Contended> =
            names.filter_map(|name| enforcer.contended(&name, now).map(|c| (name, c))).collect();
        let card = |name: &str, kind: &str, status: Option<&ConnectorStatus>| {
            let last = latest.get(name);
            let configured = gate::mode_of(&self.config, &BTreeMap::new(), name);
            let mut card = json!({
                "name": name, "kind": kind, "mode": gate::mode_of(&self.config, &modes, name).name(),
                "configured_mode": configured.name(), "ok": null, "error": null, "entries": null, "foreign": null,
                "wanted": null, "missing": null, "drift": [], "sees": [], "can": [],
                "contended": contended(shared.get(name)),
                "last_push": last.map(|a| a.at), "last_answer": last.map(|a| a.answer.clone()),
            });
            if let (Some(c), Some(fields)) = (status, card.as_object_mut()) {
                fields.extend(read(c));
            }
            card
        };
        if let Devices::Beside(run) = &self.devices {
            // The process that reads packets may not reach devices: where the other one does not say, what is known is what was done.
            let cards: Vec<Value> =
                enforcer.connectors().iter().map(|(name, kind)| card(name, kind, None)).collect();
            if cards.is_empty() {
                return Ok(json!({ "mode": "watch", "devices": cards }));
            }
            let mut said = beside::ask(store, run, &Call::Status)
                .unwrap_or_else(|why| json!({ "devices": cards, "unasked": why.to_string() }));
            if let Some(fields) = said.as_object_mut() {
                fields.insert("mode".to_owned(), json!("watch"));
                let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
                *heard = fields.remove("stopped").map(|why| why.as_str().map(str::to_owned));
            }
            return Ok(said);
        }
        let status = enforcer.status(clock::now());
        let cards: Vec<Value> = status.connectors.iter().map(|c| card(&c.name, c.kind, Some(c))).collect();
        Ok(json!({
            "mode": "enforce", "devices": cards, "active": status.active, "undone": status.undone,
        }))
    }

    /// How devices are, and whether the kill switch's file is there, for a console that may look at neither.
    pub(super) fn status(&self, store: &mut Store) -> Done {
        let mut said = self.device_cards(store)?;
        if let Some(fields) = said.as_object_mut() {
            fields.insert("stopped".to_owned(), json!(gate::stopped(self.gate().switch.as_deref())));
        }
        Ok(said)
    }

    /// Why nothing is pushed by the kill switch's file: as the other process said last, where this one may not look at it.
    pub(super) fn stopped_by_file(&self) -> Option<String> {
        let switch = self.gate().switch?;
        let looked = std::fs::metadata(&switch).and_then(|_| std::fs::File::open(&switch));
        let hidden = looked.is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied);
        if !hidden || !matches!(self.devices, Devices::Beside(_)) {
            return gate::stopped(Some(&switch));
        }
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        heard.unwrap_or_else(|| {
            let file = switch.display();
            Some(format!("not known yet whether the kill switch is on: {file} is out of reach here"))
        })
    }

    /// Asks one device how it is; nothing is changed on it.
    pub(super) fn tested(&self, name: &str) -> Done {
        let mut config = self.config.clone();
        let mut enforcer = enforcer(&mut config, &self.source).map_err(failed)?;
        let status = enforcer.status(clock::now());
        let Some(c) = status.connectors.iter().find(|c| c.name == name) else {
            return Err(Refused::NotFound(format!("there is no device {name}")));
        };
        let mut answer = serde_json::Map::from_iter([
            ("name".to_owned(), json!(name)),
            ("kind".to_owned(), json!(c.kind)),
        ]);
        answer.extend(read(c));
        Ok(Value::Object(answer))
    }

    /// Changes how a device is told.
    pub(super) fn change_mode(&self, store: &mut Store, name: &str, mode: Option<&str>) -> Done {
        let mut config = self.config.clone();
        let known = enforcer(&mut config, &self.source).map_err(failed)?;
        if !known.connectors().iter().any(|(n, _)| n == name) {
            return Err(Refused::NotFound(format!("there is no device {name}")));
        }
        let mode = mode.and_then(|m| Mode::ALL.into_iter().find(|known| known.name() == m));
        gate::set_mode(store, name, mode).map_err(failed)?;
        let now = gate::mode_of(&self.config, &gate::modes(store), name);
        Ok(json!({ "name": name, "mode": now.name() }))
    }

    /// Which devices could be told of a campaign's subject.
    pub(super) fn able(&self, campaign: &CampaignRow, subject: &Subject) -> Done {
        let mut config = self.config.clone();
        let enforcer = enforcer(&mut config, &self.source).map_err(failed)?;
        let verdict: VerdictRow = serde_json::from_value(json!({
            "id": campaign.id, "zone": "default", "subject": subject, "client_ip": null, "client_ips": [], "intent": "malicious",
            "class": campaign.class, "oat": campaign.oat, "score": campaign.score, "automation": 99, "coverage": {},
            "campaign": campaign.id, "phase": campaign.phase, "first_seen": campaign.first_seen, "detected_at": campaign.detected_at,
            "last_seen": campaign.last_seen, "requests": campaign.requests, "reasons": campaign.reasons, "response": "block", "ttl_s": 3600,
        }))
        .map_err(failed)?;
        let options = DesiredOptions { now: clock::now(), max_age_s: u64::MAX, ..DesiredOptions::default() };
        let wanted = desired(&[verdict], &options);
        let Some(want) = wanted.wants.first() else { return Ok(json!([])) };
        let devices = enforcer.able(want, &wanted.allow);
        Ok(devices
            .into_iter()
            .map(|(name, can)| json!({ "name": name, "can": can.is_ok(), "why": can.err() }))
            .collect())
    }
}

/// That somebody else writes under the mark of a device.
fn contended(c: Option<&Contended>) -> Value {
    let at = |s: i64| Ts::from_parts(s, 0);
    c.map_or(Value::Null, |c| {
        json!({ "since": at(c.since), "last": at(c.last), "example": c.example, "verdict": c.verdict, "text": c.text() })
    })
}

/// What reading a device told.
fn read(c: &ConnectorStatus) -> serde_json::Map<String, Value> {
    let fields = json!({
        "ok": c.error.is_none() && c.drift.is_empty(), "error": c.error, "entries": c.entries, "foreign": c.foreign,
        "wanted": c.entries + c.missing, "missing": c.missing, "drift": c.drift, "sees": value(&c.sees).unwrap_or_default(),
        "contended": contended(c.contended.as_ref()),
        "can": c.sees.responses.iter().map(|r| r.name()).collect::<Vec<_>>(),
    });
    if let Value::Object(fields) = fields { fields } else { serde_json::Map::new() }
}

/// What each device was told last.
fn latest(store: &Store) -> Result<BTreeMap<String, ActionRow>, Refused> {
    let mut latest: BTreeMap<String, ActionRow> = BTreeMap::new();
    for action in
        store.actions(LATEST, 0)?.into_iter().filter(|a| a.mode == "enforce" && a.kind != "contended")
    {
        match latest.get(&action.connector) {
            Some(known) if known.at >= action.at => {}
            _ => _ = latest.insert(action.connector.clone(), action),
        }
    }
    Ok(latest)
}

/// What is on devices by what was done to them, as far as that was read: what comes later is added, so that it is not all read each
/// time.
#[derive(Default)]
pub(super) struct OnDevices {
    /// The last action that was read, and how many there were.
    last: i64,
    read: u64,
    on: BTreeMap<(String, String, String), Entry>,
}

/// What was put there, and how it stands.
struct Entry {
    verdict: Option<String>,
    since: Ts,
    expires_at: Option<Ts>,
}

impl OnDevices {
    /// Entries that were put there, not taken back and have not run out; the newest first.
    pub(super) fn entries(&mut self, store: &Store, now: Ts) -> Result<Vec<Value>, Refused> {
        self.read_on(store)?;
        let on = self.on.iter().filter(|(_, e)| e.expires_at.is_none_or(|t| t > now));
        let mut on: Vec<_> = on.collect();
        on.sort_by_key(|(_, e)| std::cmp::Reverse(e.since));
        let rows = on.into_iter().map(|((device, subject, response), e)| {
            json!({
                "device": device, "subject": subject, "response": response, "verdict": e.verdict,
                "since": e.since, "expires_at": e.expires_at, "state": "on-device",
            })
        });
        Ok(rows.collect())
    }

    /// Reads what was done since; all of it where rows have gone since then, for their age or because somebody is forgotten.
    fn read_on(&mut self, store: &Store) -> Result<(), Refused> {
        let more = store.actions_after(self.last, ACTIONS)?;
        if self.read + more.len() as u64 != store.action_count()? {
            *self = OnDevices::default();
            let all = store.actions_after(0, ACTIONS)?;
            all.iter().for_each(|(seq, a)| self.hear(*seq, a));
            self.read = store.action_count()?;
            return Ok(());
        }
        more.iter().for_each(|(seq, a)| self.hear(*seq, a));
        self.read += more.len() as u64;
        Ok(())
    }

    fn hear(&mut self, seq: i64, a: &ActionRow) {
        self.last = self.last.max(seq);
        if a.mode != "enforce" || a.outcome != "done" {
            return;
        }
        let key = (a.connector.clone(), a.subject.clone(), a.response.clone());
        if !matches!(a.kind.as_str(), "add" | "refresh") {
            self.on.remove(&key);
            return;
        }
        let since = self.on.get(&key).map_or(a.at, |e| e.since);
        self.on.insert(key, Entry { verdict: a.verdict.clone(), since, expires_at: a.expires_at });
    }
}

/// Actions that are looked back at for what is on devices; of more the newest.
const ACTIONS: usize = 100_000;

/// What an undo names, in words for the audit.
pub(super) fn asked(what: &Undo) -> String {
    let named = match what {
        Undo::All => "all".to_owned(),
        Undo::Verdict(id) => format!("verdict {id}"),
        Undo::Policy(rule) => format!("policy {rule}"),
        Undo::Campaign(id) => format!("campaign {id}"),
        Undo::Since(at) => format!("since {at}"),
    };
    format!("asked for: {named}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(at: i64, kind: &str, subject: &str) -> ActionRow {
        ActionRow {
            at: Ts(at),
            actor: "watch".into(),
            connector: "edge".into(),
            kind: kind.into(),
            mode: "enforce".into(),
            subject: subject.into(),
            response: "block".into(),
            verdict: None,
            expires_at: Some(Ts(at + 2_500)),
            outcome: "done".into(),
            answer: "ok".into(),
            why: String::new(),
        }
    }

    #[test]
    fn what_is_on_devices_follows_what_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("s.db")).unwrap();
        let mut on = OnDevices::default();
        let mut said = |store: &Store, now: i64| -> Vec<(String, i64)> {
            let of = |e: &Value| {
                (
                    e["subject"].as_str().unwrap().to_owned(),
                    Ts::parse(e["since"].as_str().unwrap()).unwrap().0,
                )
            };
            on.entries(store, Ts(now)).unwrap().iter().map(of).collect()
        };
        let entry = |subject: &str, since: i64| (subject.to_owned(), since * 1_000);
        let done = |at: i64, kind: &str, subject: &str| action(at * 1_000, kind, subject);
        store.record_actions(&[done(1, "add", "192.0.2.1"), done(2, "add", "192.0.2.2")]).unwrap();
        assert_eq!(said(&store, 2_000), [entry("192.0.2.2", 2), entry("192.0.2.1", 1)]);
        store.record_actions(&[done(3, "remove", "192.0.2.2"), done(3, "refresh", "192.0.2.1")]).unwrap();
        assert_eq!(said(&store, 3_000), [entry("192.0.2.1", 1)], "since it was put there first");
        assert_eq!(said(&store, 5_600), [], "it ran out");
        store.record_actions(&[done(4, "add", "192.0.2.3")]).unwrap();
        store.forget(sidetap_model::SubjectKind::Ip, "192.0.2.1", "admin", Ts(4_000)).unwrap();
        assert_eq!(said(&store, 4_000), [entry("192.0.2.3", 4)], "who is forgotten is not remembered here");
    }
}
