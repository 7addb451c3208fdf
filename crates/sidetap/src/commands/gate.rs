//! What stands between verdicts and devices besides policy: the kill switch, and approvals.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;
use sidetap_mitigation::{Desired, Held, TakenBack, Undone, Want};
use sidetap_model::rows::VerdictRow;
use sidetap_model::{Measures, Mode, Ts};
use sidetap_store::{Approval, Store, StoreError, Which};

use super::console::KILLED;
use crate::clock;
use crate::config::Config;
use crate::output::{warn, write_lasting};

/// What the kill switch holds is held with these words.
pub(crate) const STOPPED: &str = "the kill switch is on";

/// The kill switch's file: the configured one, or the one beside a ledger.
pub(crate) fn switch_of(config: &Config, ledger: Option<&Path>) -> Option<PathBuf> {
    config.policy.kill_switch.clone().or_else(|| {
        let mut name = ledger?.file_name()?.to_owned();
        name.push(".stop");
        Some(ledger?.with_file_name(name))
    })
}

/// What of the files beside a store stands between verdicts and devices.
pub(crate) struct Gate {
    /// The kill switch's.
    pub(crate) switch: Option<PathBuf>,
    /// The ledger's: what was taken back is asked about no more.
    pub(crate) taken_back: TakenBack,
}

impl Gate {
    /// Beside this ledger.
    pub(crate) fn of(config: &Config, ledger: Option<&Path>) -> Self {
        Gate { switch: switch_of(config, ledger), taken_back: TakenBack::by(ledger) }
    }
}

/// Why nothing may be pushed, where the kill switch is on.
pub(crate) fn stopped(switch: Option<&Path>) -> Option<String> {
    let file = switch?;
    match std::fs::read_to_string(file) {
        Ok(text) => {
            let reason = text.lines().next().unwrap_or_default().trim().to_owned();
            Some(if reason.is_empty() { STOPPED.to_owned() } else { format!("{STOPPED}: {reason}") })
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => Some(format!("{STOPPED}, as far as can be told ({}: {e})", file.display())),
    }
}

/// Turns the kill switch on: where there is no room for the reason, without it.
pub(crate) fn stop(switch: &Path, reason: &str) -> Result<()> {
    let line = reason.replace(['\n', '\r'], " ") + "\n";
    write_lasting(switch, |w| w.write_all(line.as_bytes()))
        .or_else(|e| std::fs::File::create(switch).map(drop).map_err(|_| e))
        .with_context(|| format!("cannot write {}", switch.display()))
}

/// Turns it off; says whether it was on.
pub(crate) fn resume(switch: &Path) -> Result<bool> {
    match std::fs::remove_file(switch) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e).with_context(|| format!("cannot remove {}", switch.display())),
    }
}

/// How much earlier than the clock says a file system may say that a file was written.
const COARSE: i64 = 20_000_000;

/// Turns it off where it was turned on before this time; says whether it is off.
pub(crate) fn resume_of(switch: &Path, asked: Ts) -> Result<bool> {
    let written = match std::fs::metadata(switch).and_then(|m| m.modified()) {
        Ok(written) => written.duration_since(std::time::UNIX_EPOCH).unwrap_or_default(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        Err(e) => return Err(e).with_context(|| format!("cannot look at {}", switch.display())),
    };
    let written = i64::try_from(written.as_nanos()).unwrap_or(i64::MAX);
    if written.saturating_add(COARSE) > asked.0 {
        return Ok(false);
    }
    resume(switch).map(|_| true)
}

/// The name under which a store keeps what the console says of connectors.
const MODES: &str = "mitigation.modes";

/// What the console says of connectors: how each is told, in place of what the configuration says.
pub(crate) fn modes(store: &Store) -> BTreeMap<String, Mode> {
    let kept = store.state(MODES).ok().flatten();
    kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Changes how a connector is told; without a mode it is as the configuration says.
pub(crate) fn set_mode(store: &mut Store, connector: &str, mode: Option<Mode>) -> Result<()> {
    let mut all = modes(store);
    match mode {
        Some(mode) => _ = all.insert(connector.to_owned(), mode),
        None => _ = all.remove(connector),
    }
    Ok(store.put_state(MODES, &serde_json::to_vec(&all)?)?)
}

/// How a connector is told by configuration and console.
pub(crate) fn mode_of(config: &Config, modes: &BTreeMap<String, Mode>, connector: &str) -> Mode {
    let configured = || match &config.policy {
        p if p.dry_run.iter().any(|c| c == connector) => Mode::DryRun,
        p if p.approve.iter().any(|c| c == connector) => Mode::Approve,
        _ => Mode::Enforce,
    };
    modes.get(connector).copied().unwrap_or_else(configured)
}

/// Connectors of these names that are told in this mode.
pub(crate) fn in_mode(config: &Config, modes: &BTreeMap<String, Mode>, mode: Mode) -> Vec<String> {
    let policy = &config.policy;
    let named: BTreeSet<&String> = policy.dry_run.iter().chain(&policy.approve).chain(modes.keys()).collect();
    named.into_iter().filter(|c| mode_of(config, modes, c) == mode).cloned().collect()
}

/// Holds what must not be pushed: everything while the kill switch is on, what its rule only tries out, and what nobody has
/// approved yet. With `ask`, approvals are asked for.
pub(crate) fn hold(
    desired: &mut Desired,
    ground: impl Fn(&str) -> Option<Ground>,
    gate: &Gate,
    store: Option<&mut Store>,
    approving: &Approving,
) {
    let said = store.as_ref().map(|s| s.state(KILLED));
    let said = said.and_then(|said| match said {
        Ok(said) => said.map(|_| format!("{STOPPED}, in the console")),
        Err(e) => Some(format!("{STOPPED}, as far as can be told ({e})")),
    });
    if let Some(why) = stopped(gate.switch.as_deref()).or(said) {
        desired.stopped = true;
        desired.keep.clear();
        let wants = std::mem::take(&mut desired.wants);
        desired.held.extend(wants.iter().map(|w| held(w, &why)));
        return;
    }
    let mut approved = BTreeSet::new();
    let mut back = None;
    let all = !approving.connectors.is_empty();
    if desired.wants.iter().any(|w| approving.asks(w)) {
        let undone = back.insert(gate.taken_back.look());
        approved = match store {
            None => BTreeSet::new(),
            Some(store) => approved_in(store, desired, ground, approving, undone).unwrap_or_else(|e| {
                warn(&format!("approvals cannot be read: {e}"));
                BTreeSet::new()
            }),
        };
    }
    let (pass, wait): (Vec<Want>, Vec<Want>) =
        std::mem::take(&mut desired.wants).into_iter().partition(|w| {
            mode_of_want(w) == Mode::Enforce
                || mode_of_want(w) == Mode::Approve && approved.contains(&w.verdict)
        });
    let is_back = |w: &Want| back.as_ref().is_some_and(|undone| approving.is_back(w, undone));
    desired.held.extend(wait.iter().map(|w| match mode_of_want(w) {
        Mode::Approve if is_back(w) => held(w, "taken back"),
        Mode::Approve => held(w, "it waits for approval"),
        _ => held(w, "its rule only tries it out (mode: dry-run)"),
    }));
    let unapproved = pass.iter().map(|w| &w.verdict).filter(|v| !approved.contains(*v)).cloned();
    let unapproved: BTreeSet<String> = if all { unapproved.collect() } else { BTreeSet::new() };
    desired.waiting = approving.connectors.iter().map(|c| (c.clone(), unapproved.clone())).collect();
    desired.wants = pass;
}

/// What whoever is asked for a yes is told of a verdict, besides what is to be done.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    policy: String,
    campaign: Option<String>,
    reason: String,
}

impl Ground {
    /// Of this verdict.
    pub(crate) fn of(v: &VerdictRow) -> Self {
        Ground {
            policy: v.policy.clone().unwrap_or_default(),
            campaign: v.campaign.clone(),
            reason: v.reasons.first().map(|r| r.observed.to_string()).unwrap_or_default(),
        }
    }
}

/// The grounds of these verdicts.
pub(crate) fn grounds(verdicts: &[VerdictRow]) -> impl Fn(&str) -> Option<Ground> {
    let by_id: BTreeMap<&str, &VerdictRow> = verdicts.iter().map(|v| (v.id.as_str(), v)).collect();
    move |id| by_id.get(id).map(|v| Ground::of(v))
}

/// How approvals are asked for.
pub(crate) struct Approving {
    /// Whether they are.
    pub(crate) ask: bool,
    /// The wall clock.
    pub(crate) now: Ts,
    /// For how long they wait, and hold.
    pub(crate) expiry_s: u64,
    /// Connectors that are told nothing without one.
    pub(crate) connectors: Vec<String>,
}

fn mode_of_want(w: &Want) -> Mode {
    w.measures.mode.unwrap_or(Mode::Enforce)
}

impl Approving {
    /// Whether a want needs somebody's yes, at some connector or at all of them.
    pub(crate) fn asks(&self, w: &Want) -> bool {
        let mode = mode_of_want(w);
        mode == Mode::Approve || !self.connectors.is_empty() && mode == Mode::Enforce
    }

    /// Whether a want was taken back wherever a yes would let it go: nobody is asked about it.
    fn is_back(&self, w: &Want, undone: &Undone) -> bool {
        // A rule that asks does so of all devices.
        let connectors = if mode_of_want(w) == Mode::Approve { &[][..] } else { &self.connectors };
        undone.holds(&w.verdict, connectors)
    }

    fn expiry_ns(&self) -> i64 {
        i64::try_from(self.expiry_s).unwrap_or(i64::MAX).saturating_mul(1_000_000_000)
    }

    /// As configured and said in the console, now.
    pub(crate) fn of(config: &Config, store: Option<&Store>, ask: bool) -> Self {
        let policy = &config.policy;
        let modes = store.map(modes).unwrap_or_default();
        Approving {
            ask,
            now: clock::now(),
            expiry_s: policy.approval_expiry,
            connectors: in_mode(config, &modes, Mode::Approve),
        }
    }
}

/// Verdicts that somebody approved and whose approval still holds; the others that need one are asked for.
fn approved_in(
    store: &mut Store,
    desired: &Desired,
    ground: impl Fn(&str) -> Option<Ground>,
    approving: &Approving,
    undone: &Undone,
) -> Result<BTreeSet<String>, StoreError> {
    let wants: BTreeMap<&str, &Want> = desired.wants.iter().map(|w| (w.verdict.as_str(), w)).collect();
    // A yes is to what was asked, and holds from when it was said: at least for the time that what was asked takes.
    let holds = |a: &Approval| {
        let same = wants.get(a.verdict.as_str()).filter(|w| asks_of(w) == a.asks);
        let until = |w: &Want| {
            let term_ns = i64::try_from(w.ttl_s).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
            a.decided_at.unwrap_or(a.at).plus(approving.expiry_ns().max(term_ns))
        };
        a.state == "approved" && same.is_some_and(|w| until(w) > approving.now)
    };
    let known = store.approvals(approving.now)?;
    let approved: BTreeSet<String> = known.iter().filter(|a| holds(a)).map(|a| a.verdict.clone()).collect();
    if approving.ask {
        let is_back = |w: &Want| approving.is_back(w, undone);
        let waits =
            |a: &&Approval| a.state == "pending" && wants.get(a.verdict.as_str()).is_some_and(|w| is_back(w));
        store.withdraw(&known.iter().filter(waits).map(|a| a.id).collect::<Vec<_>>())?;
        let missing = desired.wants.iter().filter(|w| approving.asks(w) && !approved.contains(&w.verdict));
        let missing = missing.filter(|w| !is_back(w));
        let asked: Vec<Approval> =
            missing.filter_map(|w| Some(approval(w, ground(&w.verdict)?, approving))).collect();
        let added = store.ask(&asked)?;
        if added > 0 {
            let detail = json!({ "asked": added });
            store.note("policy", "mitigation.ask", detail, approving.now)?;
        }
    }
    Ok(approved)
}

/// Decides what waits; gives what was decided, and how many questions were taken back instead, since a yes to them changes nothing: what they are
/// about was taken back from devices.
pub(crate) fn decide(
    store: &mut Store,
    (which, yes): (&Which, bool),
    by: &str,
    now: Ts,
    taken_back: &TakenBack,
) -> Result<(Vec<Approval>, usize), StoreError> {
    let mut back = Vec::new();
    if yes {
        let undone = taken_back.look();
        let waiting = store.approvals(now)?.into_iter().filter(|a| a.state == "pending" && which.names(a));
        back.extend(waiting.filter(|a| undone.holds(&a.verdict, &[])).map(|a| a.id));
        store.withdraw(&back)?;
    }
    Ok((store.decide(which, yes, by, now)?, back.len()))
}

/// What a yes to a want is to: whom, what, where and for how long.
fn asks_of(want: &Want) -> String {
    // What was measured, and how often before, is no part of it.
    let measures = Measures { mode: None, again: 0, good_ppm: None, ..want.measures.clone() };
    json!([want.subject, want.response, want.ttl_s, measures]).to_string()
}

fn approval(want: &Want, ground: Ground, approving: &Approving) -> Approval {
    Approval {
        id: 0,
        at: approving.now,
        expires_at: approving.now.plus(approving.expiry_ns()),
        verdict: want.verdict.clone(),
        subject: want.subject.clone(),
        response: want.response.name().to_owned(),
        asks: asks_of(want),
        policy: ground.policy,
        campaign: ground.campaign,
        reason: ground.reason,
        state: "pending".to_owned(),
        decided_at: None,
        decided_by: None,
    }
}

fn held(want: &Want, why: &str) -> Held {
    Held { verdict: want.verdict.clone(), subject: want.subject.value.clone(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(id: &str, mode: Option<Mode>) -> VerdictRow {
        let mut v = crate::report::fixture::run().verdicts.into_iter().next().unwrap();
        v.id = id.to_owned();
        v.measures = mode.map(|mode| Box::new(Measures { mode: Some(mode), ..Default::default() }));
        v
    }

    fn desired_of(verdicts: &[VerdictRow]) -> Desired {
        let options = sidetap_mitigation::DesiredOptions {
            now: verdicts[0].detected_at,
            max_age_s: 3600,
            ..Default::default()
        };
        sidetap_mitigation::desired(verdicts, &options)
    }

    fn ids(d: &Desired) -> Vec<&str> {
        d.wants.iter().map(|w| w.verdict.as_str()).collect()
    }

    #[test]
    fn rules_wait_for_approval_or_only_try_and_the_switch_holds_all() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("s.db")).unwrap();
        let switch = dir.path().join("stop");
        let gate = Gate { switch: Some(switch.clone()), taken_back: TakenBack::default() };
        let verdicts = [
            verdict("free", None),
            verdict("asks", Some(Mode::Approve)),
            verdict("tries", Some(Mode::DryRun)),
        ];
        let now = Ts::from_parts(2_000_000_000, 0);
        let approving = |ask, now| Approving { ask, now, expiry_s: 3600, connectors: Vec::new() };
        let go = |store: &mut Store, ask, now| {
            let mut d = desired_of(&verdicts);
            hold(&mut d, grounds(&verdicts), &gate, Some(store), &approving(ask, now));
            d
        };
        let d = go(&mut store, false, now);
        assert_eq!(ids(&d), ["free"]);
        assert!(d.held.iter().any(|h| h.verdict == "tries" && h.why.contains("dry-run")));
        assert!(store.approvals(now).unwrap().is_empty(), "a dry run asks nobody");
        go(&mut store, true, now);
        go(&mut store, true, now);
        let asked = store.approvals(now).unwrap();
        assert_eq!((asked.len(), asked[0].verdict.as_str(), asked[0].state.as_str()), (1, "asks", "pending"));
        let later = now.plus(7_200 * 1_000_000_000);
        assert_eq!(store.approvals(later).unwrap()[0].state, "expired");
        store.decide(&Which::Verdict("asks".into()), true, "ada", now).unwrap();
        let mut both = go(&mut store, true, now);
        both.wants.sort_by(|a, b| a.verdict.cmp(&b.verdict));
        assert_eq!(ids(&both), ["asks", "free"]);
        let ttl_s = both.wants[0].ttl_s as i64;
        let over = |s: i64| now.plus((ttl_s.max(3_600) + s) * 1_000_000_000);
        assert_eq!(ids(&go(&mut store, false, over(-1))).len(), 2, "a yes holds as long as what it is to");
        assert_eq!(ids(&go(&mut store, false, over(1))), ["free"], "a yes does not hold for ever");
        let mut other = desired_of(&verdicts);
        other.wants.iter_mut().for_each(|w| w.ttl_s += 1);
        hold(&mut other, grounds(&verdicts), &gate, Some(&mut store), &approving(true, now));
        assert_eq!(ids(&other), ["free"], "a yes is to what was asked");
        let states: Vec<String> = store.approvals(now).unwrap().into_iter().map(|a| a.state).collect();
        assert_eq!(states, ["pending", "approved"], "what is asked now is asked anew");
        stop(&switch, "wrong campaign").unwrap();
        let d = go(&mut store, true, now);
        assert!(
            d.stopped
                && d.wants.is_empty()
                && d.held.iter().all(|h| h.why == "the kill switch is on: wrong campaign")
        );
        assert!(resume(&switch).unwrap() && !resume(&switch).unwrap());
        assert_eq!(go(&mut store, true, now).wants.len(), 2);
        let mut careful = desired_of(&verdicts);
        let edge = Approving { connectors: vec!["edge".into()], ..approving(true, now) };
        hold(
            &mut careful,
            grounds(&verdicts),
            &Gate { switch: None, taken_back: TakenBack::default() },
            Some(&mut store),
            &edge,
        );
        let waiting: Vec<&String> = careful.waiting["edge"].iter().collect();
        assert_eq!(waiting, ["free"], "what is approved may go, all else waits at this connector");
        assert_eq!(careful.wants.len(), 2, "and goes to others");
        let actions: Vec<String> = store.audit(10, 0).unwrap().into_iter().map(|r| r.action).collect();
        assert!(actions.contains(&"mitigation.approve".to_owned()), "{actions:?}");
    }

    #[test]
    fn nobody_is_asked_about_what_was_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("s.db")).unwrap();
        let ledger = dir.path().join("l.json");
        let gate = Gate { switch: None, taken_back: TakenBack::by(Some(&ledger)) };
        let verdicts = [
            verdict("free", None),
            verdict("asks", Some(Mode::Approve)),
            verdict("other", Some(Mode::Approve)),
        ];
        let now = Ts::from_parts(2_000_000_000, 0);
        let edge = Approving { ask: true, now, expiry_s: 3600, connectors: vec!["edge".into()] };
        let mut asked = |undone: serde_json::Value| {
            std::fs::write(&ledger, json!({ "undone": undone }).to_string()).unwrap();
            let mut d = desired_of(&verdicts);
            hold(&mut d, grounds(&verdicts), &gate, Some(&mut store), &edge);
            let pending = store.approvals(now).unwrap().into_iter().filter(|a| a.state == "pending");
            let mut pending: Vec<String> = pending.map(|a| a.verdict).collect();
            pending.sort();
            (pending.join(" "), d.held.into_iter().find(|h| h.verdict == "asks").unwrap().why)
        };
        let tag = sidetap_mitigation::tag_of;
        let all = || "asks free other".to_owned();
        assert_eq!(asked(json!({})), (all(), "it waits for approval".to_owned()));
        let back = asked(json!({ "*": [tag("asks")], "edge": [tag("free")] }));
        assert_eq!(back, ("other".to_owned(), "taken back".to_owned()), "and what waited waits no more");
        assert_eq!(asked(json!({ "edge": [tag("asks")] })).0, all(), "a rule asks for other devices too");
        assert_eq!(asked(json!({})).0, all(), "what may be pushed again is asked again");
        std::fs::write(&ledger, json!({ "undone": { "*": [tag("asks")] }, "x": 1 }).to_string()).unwrap();
        let (yes, back) = decide(&mut store, (&Which::All, true), "ada", now, &gate.taken_back).unwrap();
        let mut yes: Vec<String> = yes.into_iter().map(|a| a.verdict).collect();
        yes.sort();
        assert_eq!((yes.join(" "), back), ("free other".to_owned(), 1), "a yes that would change nothing");
    }
}
