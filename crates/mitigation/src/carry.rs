//! Carrying a plan out, and saying what came of it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use sidetap_model::{ActionRow, Ts};
use sidetap_policy::Response;

use crate::canary::CANARY;
use crate::connector::{Connector, ConnectorError};
use crate::enforcer::PushOptions;
use crate::entry::Entry;
use crate::full::is_full;
use crate::key::Key;
use crate::plan::{Plan, Refusal, SLACK_S};
use crate::report::{ConnectorPlan, ConnectorResult, Mode, Proof};
use crate::settle::Intended;
use crate::status::Ends;
use crate::way::Way;

/// A plan for one device, or why there is none.
pub(crate) struct Planned {
    pub(crate) plan: ConnectorPlan,
    pub(crate) error: Option<ConnectorError>,
}

/// How many are not sent for each reason.
fn reasons_of(refused: &[Refusal]) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for refusal in refused {
        *all.entry(refusal.why.clone()).or_default() += 1;
    }
    all
}

/// Applies a plan where the mode says so, once the journal has it; `why` is `undo` where the removals are one.
pub(crate) fn carry_out(
    c: &mut dyn Connector,
    planned: &Planned,
    now: Ts,
    options: &PushOptions,
    (why, journal): (&str, Option<&Journal>),
) -> (ConnectorResult, Option<ConnectorError>, Vec<ActionRow>) {
    let Planned { plan: planned, error } = planned;
    let mut error = error.clone();
    let plan = &planned.plan;
    let mut result = ConnectorResult {
        added: plan.add.len(),
        refreshed: plan.refresh.len(),
        removed: plan.remove.len(),
        refused: plan.refused.len(),
        unsent: reasons_of(&plan.refused),
        waiting: planned.waiting,
        weaker: planned.partly.clone(),
        left: planned.there.clone(),
        ..ConnectorResult::of(c, "unchanged", String::new())
    };
    let (mut in_part, begun) = (None, Instant::now());
    if let Some(e) = &planned.error {
        (result.outcome, result.answer) = ("failed".to_owned(), e.clone());
    } else if !plan.is_empty() && options.mode == Mode::DryRun {
        result.outcome = "planned".to_owned();
    } else if options.mode == Mode::Enforce {
        if let Some(journal) = journal.filter(|_| !plan.is_empty()) {
            (journal.0)(&intents_of(&result, plan, now, options, why));
        }
        match apply_and_verify(c, plan, &planned.proof, now.secs(), &mut result.seen) {
            Ok(_) if plan.is_empty() => {}
            Ok(done) => {
                result.outcome = "done".to_owned();
                (result.answer, result.verified, result.effect_ms) =
                    (done.answer, Some(done.entries), done.effect_ms);
                (result.risk, result.left) = (done.risk, done.left);
            }
            Err(e) => {
                // Who asked for the push says it.
                tracing::info!(connector = %planned.name, error = %e, "device not changed, or not known to be");
                (result.outcome, result.answer) = ("failed".to_owned(), e.to_string());
                // One that takes no more may have taken some, and let others go for them.
                if matches!(e, ConnectorError::Refused { .. }) {
                    let at = now.secs().saturating_add_unsigned(begun.elapsed().as_secs());
                    in_part = c.observe(at).ok().map(|there| (there, at, is_full(&e)));
                }
                error = Some(e);
            }
        }
    }
    if planned.stale > 0 && matches!(result.outcome.as_str(), "unchanged" | "planned" | "done") {
        let comma = if result.answer.is_empty() { "" } else { ", " };
        result.answer += &format!(
            "{comma}{} that nobody asks for any more stay until they are over: the list would shrink by more than max_shrink (push with force)",
            planned.stale
        );
    }
    if planned.unknown > 0 && matches!(result.outcome.as_str(), "unchanged" | "planned" | "done") {
        let comma = if result.answer.is_empty() { "" } else { ", " };
        result.answer += &format!(
            "{comma}{} of verdicts that this ledger does not know stay until they are over (push with force)",
            planned.unknown
        );
    }
    if planned.waiting > 0 && matches!(result.outcome.as_str(), "unchanged" | "planned" | "done") {
        let comma = if result.answer.is_empty() { "" } else { ", " };
        result.answer +=
            &format!("{comma}{} more wait for the next minute (max_adds_per_minute)", planned.waiting);
        if result.outcome == "unchanged" {
            result.outcome = "waiting".to_owned();
        }
    }
    let mut rows = rows_of(&result, planned, now, options, why);
    if let Some((there, at, full)) = in_part {
        let gave_way = rows_in_part(&result, planned, (&there.entries, at, full), now, options, why);
        rows.extend(gave_way);
    }
    if result.outcome == "done" && rows.is_empty() {
        rows.push(row_without_entries(&result, plan, now, options, why));
    }
    if let Some(guard) = planned.guard.as_ref().filter(|_| result.outcome != "failed") {
        let rest = if plan.is_empty() { "" } else { "; what lets go is not held" };
        (result.outcome, result.answer) = ("held".to_owned(), format!("{guard}{rest}"));
        rows.push(row_of_failure(&result, why, planned.held, now, options, "refused"));
    }
    (result, error, rows)
}

/// Who writes down what is about to be done to a device, before it is.
#[derive(Clone)]
pub(crate) struct Journal(pub(crate) Arc<Write>);

type Write = dyn Fn(&[ActionRow]) + Send + Sync;

/// Most entries that one row names.
const NAMED: usize = 100;

/// What is about to be done, in rows that name every entry: what was meant can be told from what there is if nothing is heard of it again.
fn intents_of(
    result: &ConnectorResult,
    plan: &Plan,
    now: Ts,
    options: &PushOptions,
    why: &str,
) -> Vec<ActionRow> {
    let removal = if why == "undo" { "undo" } else { "remove" };
    let all = plan.add.iter().map(|e| ("add", e));
    let all = all.chain(plan.refresh.iter().map(|e| ("refresh", e)));
    let all = all.chain(plan.remove.iter().map(|e| (removal, e)));
    let named: Vec<String> = all.map(|(kind, e)| Intended::of(kind, e).to_string()).collect();
    let row = |names: &[String]| ActionRow {
        kind: "intent".to_owned(),
        subject: format!(
            "{} to add, {} to refresh, {} to {removal}",
            plan.add.len(),
            plan.refresh.len(),
            plan.remove.len()
        ),
        outcome: "intended".to_owned(),
        answer: names.join("; "),
        ..row_of_failure(result, why, 0, now, options, "")
    };
    if named.is_empty() {
        return vec![row(&[])];
    }
    named.chunks(NAMED).map(row).collect()
}

/// What came of a plan that was applied.
struct Done {
    answer: String,
    risk: Option<String>,
    entries: usize,
    left: Ends,
    effect_ms: Option<u64>,
}

/// Applies a plan and reads the device back: what should be there has to be, and a canary has to be stopped that was let through before
/// its entry stood, which `seen` tells.
fn apply_and_verify(
    c: &mut dyn Connector,
    plan: &Plan,
    proof: &Proof,
    now: i64,
    seen: &mut Option<IpAddr>,
) -> Result<Done, ConnectorError> {
    let is_canary = |e: &Entry| e.verdict == CANARY;
    let (mut plan, mut first) = (Cow::Borrowed(plan), None);
    let mut unproved = match proof {
        Proof::Withheld(why) => Some(ConnectorError::Unproved(why.clone())),
        _ => None,
    };
    if let Some(canary) = c.canary().filter(|_| *proof == Proof::Unseen && plan.add.iter().any(is_canary)) {
        match canary.before() {
            Ok(()) => first = canary.probes_from(),
            Err(e) => {
                plan.to_mut().add.retain(|e| !is_canary(e));
                plan.to_mut().target.retain(|e| !is_canary(e));
                unproved = Some(e);
            }
        }
    }
    let prove = |c: &dyn Connector| match (&unproved, c.canary()) {
        (Some(e), _) => Err(e.clone()),
        (None, Some(canary)) if plan.target.iter().any(is_canary) => {
            canary.send(&plan.allow, *proof == Proof::Hurried).map(Some)
        }
        _ => Ok(None),
    };
    if plan.is_empty() {
        prove(c)?;
        let left = Ends::of(&plan.target);
        return Ok(Done {
            answer: String::new(),
            risk: None,
            entries: plan.target.len(),
            left,
            effect_ms: None,
        });
    }
    let answer = c.apply(&plan, now)?;
    *seen = first;
    let observed = c.observe(now)?;
    let have: BTreeSet<&Key> = observed.entries.iter().map(|e| &e.key).collect();
    // That somebody is known there does not say that he is treated as he is to be.
    let as_told: BTreeMap<(&Key, Response), &Option<Way>> =
        observed.entries.iter().map(|e| ((&e.key, e.response), &e.way)).collect();
    let is_missing = |e: &&Entry| as_told.get(&(&e.key, e.response)) != Some(&&e.way);
    let missing = plan.target.iter().filter(|e| e.expires_at > now + 2).filter(is_missing).count();
    let wanted: BTreeSet<&Key> = plan.target.iter().map(|e| &e.key).collect();
    let left = plan.remove.iter().filter(|e| have.contains(&e.key) && !wanted.contains(&e.key)).count();
    if missing + left > 0 {
        return Err(ConnectorError::Answer(format!(
            "{missing} entries are missing, or not as they were told, and {left} left after it said yes"
        )));
    }
    let (text, risk) = (answer.text, answer.risk);
    let left = Ends::of(&observed.entries);
    let done = Done { answer: text, risk, entries: observed.entries.len(), left, effect_ms: None };
    let lets_go = plan.add.is_empty() && plan.refresh.is_empty();
    match prove(c) {
        Ok(effect) => {
            let effect_ms = effect.and_then(|took| u64::try_from(took.as_millis()).ok());
            Ok(Done { effect_ms, ..done })
        }
        // That an entry is gone was read back: a canary, which is to be refused, could not have proved it.
        Err(e @ ConnectorError::Unproved(_)) if lets_go => {
            let comma = if done.answer.is_empty() { "" } else { ", " };
            Ok(Done { answer: format!("{}{comma}{e}", done.answer), ..done })
        }
        Err(e) => Err(e),
    }
}

/// The result of a device that was not asked, since the push could not be written down first.
pub(crate) fn failed(c: &dyn Connector, why: &str) -> ConnectorResult {
    ConnectorResult::of(c, "failed", format!("the ledger cannot be written: {why}"))
}

fn rows_of(
    result: &ConnectorResult,
    planned: &ConnectorPlan,
    now: Ts,
    options: &PushOptions,
    why: &str,
) -> Vec<ActionRow> {
    let plan = &planned.plan;
    let outcome = match result.outcome.as_str() {
        "done" => "done",
        "planned" | "unchanged" => "planned",
        _ => "failed",
    };
    let row = |kind: &str, e: &Entry| ActionRow {
        outcome: outcome.to_owned(),
        ..row_of_entry(result, planned, now, options, kind, e)
    };
    let removal = if why == "undo" { "undo" } else { "remove" };
    if outcome == "failed" {
        let entries = result.added + result.refreshed + result.removed;
        return vec![row_of_failure(result, why, entries, now, options, outcome)];
    }
    let adds = plan.add.iter().map(|e| row("add", e));
    let rest =
        plan.refresh.iter().map(|e| row("refresh", e)).chain(plan.remove.iter().map(|e| row(removal, e)));
    adds.chain(rest).collect()
}

/// What of a plan that the device refused was done to it all the same: entries that are there or gone as they were to be, and those that
/// gave way to others. `there` is what it held when it was read back, when that was, and whether it said that it takes no more.
fn rows_in_part(
    result: &ConnectorResult,
    planned: &ConnectorPlan,
    (there, at, full): (&[Entry], i64, bool),
    now: Ts,
    options: &PushOptions,
    why: &str,
) -> Vec<ActionRow> {
    let plan = &planned.plan;
    let held: BTreeMap<(&Key, Response), &Entry> = there.iter().map(|e| ((&e.key, e.response), e)).collect();
    let keys: BTreeSet<&Key> = there.iter().map(|e| &e.key).collect();
    let as_told = |e: &&Entry| {
        let there = held.get(&(&e.key, e.response));
        there.is_some_and(|t| t.way == e.way && t.expires_at.abs_diff(e.expires_at) <= SLACK_S.unsigned_abs())
    };
    let changed: BTreeSet<&Key> = plan.add.iter().chain(&plan.refresh).map(|e| &e.key).collect();
    let stayed = |e: &&Entry| !changed.contains(&e.key) && e.expires_at > at + SLACK_S;
    let removal = if why == "undo" { "undo" } else { "remove" };
    let row = |kind: &'static str| move |e: &Entry| row_of_entry(result, planned, now, options, kind, e);
    let removed = row("remove");
    let came = plan.add.iter().filter(as_told).map(row("add"));
    let longer = plan.refresh.iter().filter(as_told).map(row("refresh"));
    let gone = plan.remove.iter().filter(|e| !keys.contains(&e.key)).map(row(removal));
    let out = plan.target.iter().filter(stayed).filter(|e| !keys.contains(&e.key)).map(|e| (e, removed(e)));
    let worst = plan.add.iter().filter(as_told).map(|e| e.priority).max().filter(|_| full);
    let gave_way = |e: &Entry| worst.is_some_and(|worst| e.priority < worst);
    let out = out.map(|(e, row)| {
        let why = if gave_way(e) { GAVE_WAY } else { WENT };
        ActionRow { why: why.to_owned(), ..row }
    });
    came.chain(longer).chain(gone).chain(out).collect()
}

/// Why somebody was let go whom policy does not let go.
const GAVE_WAY: &str = "the device takes no more, and it gave way to what matters more";

/// The same where nothing says so: it ended there, or was taken off by somebody else.
const WENT: &str = "the device does not hold it any more";

/// The row of an entry that was changed.
fn row_of_entry(
    result: &ConnectorResult,
    planned: &ConnectorPlan,
    now: Ts,
    options: &PushOptions,
    kind: &str,
    e: &Entry,
) -> ActionRow {
    let told = match kind {
        "add" | "refresh" => planned.why.get(&e.verdict),
        _ => planned.why_not.get(&e.key.to_string()),
    };
    ActionRow {
        at: now,
        actor: options.actor.clone(),
        connector: result.name.clone(),
        kind: kind.to_owned(),
        mode: options.mode.name().to_owned(),
        subject: e.key.to_string(),
        response: e.response.name().to_owned(),
        verdict: Some(e.verdict.clone()).filter(|v| !v.is_empty()),
        expires_at: Some(Ts::from_parts(e.expires_at, 0)),
        outcome: "done".to_owned(),
        answer: result.answer.clone(),
        why: told.unwrap_or(&options.why).clone(),
    }
}

/// The row of a push that changed no entry: without it the audit has what was intended, and nothing that came of it.
fn row_without_entries(
    result: &ConnectorResult,
    plan: &Plan,
    now: Ts,
    options: &PushOptions,
    why: &str,
) -> ActionRow {
    let allow = plan.allow_changes.then(|| "the allow list".to_owned());
    let what: Vec<String> = allow.into_iter().chain(plan.repair.iter().cloned()).collect();
    ActionRow { subject: what.join(", "), ..row_of_failure(result, why, 0, now, options, "done") }
}

/// One row for a push that changed nothing, however many entries it had: a device that is away must not flood the audit.
fn row_of_failure(
    result: &ConnectorResult,
    why: &str,
    entries: usize,
    now: Ts,
    options: &PushOptions,
    outcome: &str,
) -> ActionRow {
    ActionRow {
        at: now,
        actor: options.actor.clone(),
        connector: result.name.clone(),
        kind: if why == "undo" { "undo" } else { "push" }.to_owned(),
        mode: options.mode.name().to_owned(),
        subject: format!("{entries} entries"),
        response: String::new(),
        verdict: None,
        expires_at: None,
        outcome: outcome.to_owned(),
        answer: result.answer.clone(),
        why: options.why.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::{Answer, Observed};
    use crate::entry::Sees;
    use crate::resolve::plan_against;

    /// A device that refuses what it is told, and holds these then.
    struct Refuses(&'static str, Vec<Entry>, Sees);

    impl Connector for Refuses {
        fn name(&self) -> &str {
            "device"
        }

        fn kind(&self) -> &'static str {
            "device"
        }

        fn sees(&self) -> &Sees {
            &self.2
        }

        fn zones(&self) -> &[String] {
            &[]
        }

        fn targets(&self) -> Vec<String> {
            Vec::new()
        }

        fn observe(&mut self, _now: i64) -> Result<Observed, ConnectorError> {
            Ok(Observed { entries: self.1.clone(), ..Observed::default() })
        }

        fn apply(&mut self, _plan: &Plan, _now: i64) -> Result<Answer, ConnectorError> {
            // Long enough for some to end meanwhile.
            std::thread::sleep(std::time::Duration::from_millis(2_100));
            Err(ConnectorError::Refused { command: "PUT".to_owned(), answer: self.0.to_owned() })
        }
    }

    #[test]
    fn only_who_gave_way_is_said_to() {
        let entry = |n: u8, score: u8, ends: i64| Entry {
            key: format!("203.0.113.{n}").parse().unwrap(),
            response: Response::Block,
            expires_at: 1_000 + ends,
            verdict: format!("v{n}"),
            priority: (score, 0),
            way: None,
        };
        let (least, most, ended, new) =
            (entry(1, 10, 600), entry(2, 99, 600), entry(3, 10, SLACK_S + 1), entry(9, 90, 600));
        let target = vec![least, most, ended, new.clone()];
        let planned = Plan { add: vec![new.clone()], target, ..Plan::default() };
        let told = |answer, there: &[Entry]| {
            let sees = Sees::addresses(vec![Response::Block], 10);
            let mut device = Refuses(answer, there.to_vec(), sees);
            let (plan, error) = plan_against(&mut device, 1_000, false, |_, _| planned.clone());
            let planned = Planned { plan, error };
            let options = PushOptions::new(Mode::Enforce);
            let (_, _, rows) =
                carry_out(&mut device, &planned, Ts::from_parts(1_000, 0), &options, ("push", None));
            let out = rows.into_iter().filter(|r| r.kind == "remove");
            out.map(|r| (r.subject, r.why)).collect::<Vec<_>>()
        };
        let said = |n: u8, why: &str| (format!("203.0.113.{n}"), why.to_owned());
        let full = "no room; 1 of the least harmful are left out";
        assert_eq!(told(full, std::slice::from_ref(&new)), [said(1, GAVE_WAY), said(2, WENT)]);
        assert_eq!(told(full, &[]), [said(1, WENT), said(2, WENT)], "nothing came");
        assert_eq!(
            told("a bad request", std::slice::from_ref(&new)),
            [said(1, WENT), said(2, WENT)],
            "it is not full"
        );
    }
}
