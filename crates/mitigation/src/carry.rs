//! Carrying a plan out, and saying what came of it.

use std::collections::BTreeSet;

use ipnet::IpNet;
use sidetap_model::{ActionRow, Ts};

use crate::connector::{Connector, ConnectorError};
use crate::enforcer::PushOptions;
use crate::entry::Entry;
use crate::plan::Plan;
use crate::report::{ConnectorPlan, ConnectorResult, Mode};

/// Applies a plan where the mode says so; `why` is `undo` where the removals are one.
pub(crate) fn carry_out(
    c: &mut dyn Connector,
    planned: &ConnectorPlan,
    now: Ts,
    options: &PushOptions,
    why: &str,
) -> (ConnectorResult, Vec<ActionRow>) {
    let plan = &planned.plan;
    let mut result = ConnectorResult {
        name: planned.name.clone(),
        kind: planned.kind,
        outcome: "unchanged".to_owned(),
        answer: String::new(),
        added: plan.add.len(),
        refreshed: plan.refresh.len(),
        removed: plan.remove.len(),
        refused: plan.refused.len(),
        verified: None,
    };
    if let Some(e) = &planned.error {
        (result.outcome, result.answer) = ("failed".to_owned(), e.clone());
    } else if let Some(guard) = &planned.guard {
        (result.outcome, result.answer) = ("held".to_owned(), guard.clone());
    } else if !plan.is_empty() && options.mode == Mode::DryRun {
        result.outcome = "planned".to_owned();
    } else if !plan.is_empty() {
        match apply_and_verify(c, plan, now.secs()) {
            Ok((answer, entries)) => {
                (result.outcome, result.answer, result.verified) = ("done".to_owned(), answer, Some(entries));
            }
            Err(e) => {
                tracing::warn!(connector = %planned.name, error = %e, "device not changed");
                (result.outcome, result.answer) = ("failed".to_owned(), e.to_string());
            }
        }
    }
    let rows = rows_of(&result, plan, now, options, why);
    (result, rows)
}

/// Applies a plan and reads the device back: what should be there has to be.
fn apply_and_verify(c: &mut dyn Connector, plan: &Plan, now: i64) -> Result<(String, usize), ConnectorError> {
    let answer = c.apply(plan, now)?;
    let observed = c.observe(now)?;
    let have: BTreeSet<IpNet> = observed.entries.iter().map(|e| e.net).collect();
    let missing = plan.target.iter().filter(|e| e.expires_at > now + 2 && !have.contains(&e.net)).count();
    let wanted: BTreeSet<IpNet> = plan.target.iter().map(|e| e.net).collect();
    let left = plan.remove.iter().filter(|e| have.contains(&e.net) && !wanted.contains(&e.net)).count();
    if missing + left > 0 {
        return Err(ConnectorError::Answer(format!(
            "{missing} entries are missing and {left} left after it said yes"
        )));
    }
    Ok((answer.text, observed.entries.len()))
}

/// The result of a device that was not asked, since the push could not be written down first.
pub(crate) fn failed(c: &dyn Connector, why: &str) -> ConnectorResult {
    ConnectorResult {
        name: c.name().to_owned(),
        kind: c.kind(),
        outcome: "failed".to_owned(),
        answer: format!("the ledger cannot be written: {why}"),
        added: 0,
        refreshed: 0,
        removed: 0,
        refused: 0,
        verified: None,
    }
}

fn rows_of(
    result: &ConnectorResult,
    plan: &Plan,
    now: Ts,
    options: &PushOptions,
    why: &str,
) -> Vec<ActionRow> {
    let outcome = match result.outcome.as_str() {
        "done" => "done",
        "planned" | "unchanged" => "planned",
        "held" => "refused",
        _ => "failed",
    };
    let row = |kind: &str, e: &Entry| ActionRow {
        at: now,
        actor: options.actor.clone(),
        connector: result.name.clone(),
        kind: kind.to_owned(),
        mode: options.mode.name().to_owned(),
        subject: e.net.to_string(),
        response: e.response.name().to_owned(),
        verdict: Some(e.verdict.clone()).filter(|v| !v.is_empty()),
        expires_at: Some(Ts::from_parts(e.expires_at, 0)),
        outcome: outcome.to_owned(),
        answer: result.answer.clone(),
    };
    let removal = if why == "undo" { "undo" } else { "remove" };
    if matches!(outcome, "failed" | "refused") {
        return vec![row_of_failure(result, now, options, outcome)];
    }
    let adds = plan.add.iter().map(|e| row("add", e));
    let rest =
        plan.refresh.iter().map(|e| row("refresh", e)).chain(plan.remove.iter().map(|e| row(removal, e)));
    adds.chain(rest).collect()
}

/// One row for a push that changed nothing, however many entries it had: a device that is away must not flood the audit.
fn row_of_failure(result: &ConnectorResult, now: Ts, options: &PushOptions, outcome: &str) -> ActionRow {
    ActionRow {
        at: now,
        actor: options.actor.clone(),
        connector: result.name.clone(),
        kind: "push".to_owned(),
        mode: options.mode.name().to_owned(),
        subject: format!("{} entries", result.added + result.refreshed + result.removed),
        response: String::new(),
        verdict: None,
        expires_at: None,
        outcome: outcome.to_owned(),
        answer: result.answer.clone(),
    }
}
