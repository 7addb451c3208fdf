//! What devices hold, should hold and were brought to hold, as tables.

use std::collections::BTreeMap;

use anyhow::Result;
use sidetap_mitigation::{ConnectorStatus, Contended, Held, Mode, PlanReport, PushReport, StatusReport};
use sidetap_model::Ts;

use crate::exit::{Lost, Status};
use crate::output::{Terminal, plain, print, warn};
use crate::report::{Column, Table, count, plural};

fn no_connectors() -> Result<Status> {
    print("no connector is configured (docs/connectors says which there are: [[mitigation.nginx]], …)\n")?;
    Ok(Status::Done)
}

pub(super) fn show_status(status: &StatusReport, terminal: &Terminal) -> Result<Status> {
    let connectors = &status.connectors;
    if connectors.is_empty() {
        return no_connectors();
    }
    let mut table = Table::new(&[
        Column::text("CONNECTOR"),
        Column::text("KIND"),
        Column::number("ENTRIES"),
        Column::number("OTHERS'"),
        Column::flexible("CAN"),
        Column::flexible("STATE"),
    ]);
    let (mut whole, mut well) = (String::new(), true);
    for c in connectors {
        let can: Vec<&str> = c.sees.responses.iter().map(|r| r.name()).collect();
        let (state, is_well) = state_of(c);
        well &= is_well;
        // The table has no room for the whole reason.
        if !is_well {
            whole.push_str(&format!("  {}: {}\n", plain(&c.name), plain(&state)));
        }
        table.row([
            &c.name,
            c.kind,
            &count(c.entries as u64),
            &count(c.foreign as u64),
            &can.join(" "),
            &state,
        ]);
    }
    let mut text = table.render(terminal) + &whole;
    let changing: Vec<&str> = connectors.iter().filter(|c| c.under_way).map(|c| &*c.name).collect();
    if !changing.is_empty() {
        let names = plain(&changing.join(", ")).into_owned();
        text.push_str(&format!(
            "  a push to {names} is under way: what is said here of it may be over by now\n"
        ));
    }
    status.notes.iter().for_each(|note| warn(note));
    text.push_str(&contended(connectors.iter().map(|c| (c.name.as_str(), c.contended.as_ref()))));
    for c in connectors {
        let cannot: Vec<&str> = c.sees.cannot_do().iter().map(|r| r.name()).collect();
        let cannot =
            if cannot.is_empty() { String::new() } else { format!("; cannot {}", cannot.join(", ")) };
        text.push_str(&format!("  {} compares {}{cannot}\n", plain(&c.name), plain(&c.sees.compares())));
    }
    print(&text)?;
    Ok(match connectors.iter().any(|c| c.error.is_some()) {
        true => Status::Lost,
        false if well && status.notes.is_empty() => Status::Done,
        false => Status::Amiss,
    })
}

pub(super) fn show_plan(report: &PlanReport, held: &[Held], terminal: &Terminal) -> Result<Status> {
    if report.connectors.is_empty() {
        return no_connectors();
    }
    let mut table = Table::new(&[
        Column::text("CONNECTOR"),
        Column::text("KIND"),
        Column::number("ADD"),
        Column::number("REFRESH"),
        Column::number("REMOVE"),
        Column::number("KEEP"),
        Column::number("NOT SENT"),
        Column::flexible("NOTE"),
    ]);
    for c in &report.connectors {
        let note = c.error.as_ref().or(c.guard.as_ref()).cloned().unwrap_or_else(|| {
            let later =
                (c.waiting > 0).then(|| format!("{} wait for the next minute", count(c.waiting as u64)));
            let stale = (c.stale > 0).then(|| format!("{} stay that nobody asks for", count(c.stale as u64)));
            c.plan.repair.iter().cloned().chain(later).chain(stale).collect::<Vec<_>>().join(", ")
        });
        let n = |n: usize| count(n as u64);
        let plan = &c.plan;
        table.row([
            &c.name,
            c.kind,
            &n(plan.add.len()),
            &n(plan.refresh.len()),
            &n(plan.remove.len()),
            &n(c.keep),
            &n(plan.refused.len()),
            &note,
        ]);
    }
    let mut text = table.render(terminal);
    for c in &report.connectors {
        for e in c.plan.add.iter().take(20) {
            let why = c.why.get(&e.verdict).map_or_else(String::new, |why| format!(": {}", plain(why)));
            text.push_str(&format!(
                "  {} + {} {} ({}){why}\n",
                plain(&c.name),
                e.key,
                e.response,
                plain(&e.verdict)
            ));
        }
        for (key, why) in c.why_not.iter().take(20) {
            text.push_str(&format!("  {} - {}: {}\n", plain(&c.name), plain(key), plain(why)));
        }
        for r in c.weaker.iter().take(10) {
            text.push_str(&format!("  {} ~ {}: {}\n", plain(&c.name), plain(&r.subject), plain(&r.why)));
        }
        for r in c.plan.refused.iter().take(10) {
            text.push_str(&format!("  {} ! {}: {}\n", plain(&c.name), plain(&r.subject), plain(&r.why)));
        }
    }
    text.push_str(&reasons(report.held.iter().chain(held)));
    print(&text)?;
    Ok(if report.connectors.iter().any(|c| c.error.is_some()) { Status::Lost } else { Status::Done })
}

pub(super) fn show_push(report: &PushReport, held: &[Held], terminal: &Terminal) -> Result<Status> {
    if report.connectors.is_empty() {
        return no_connectors();
    }
    let mut table = Table::new(&[
        Column::text("CONNECTOR"),
        Column::text("KIND"),
        Column::text("OUTCOME"),
        Column::number("ADDED"),
        Column::number("REFRESHED"),
        Column::number("REMOVED"),
        Column::number("NOT SENT"),
        Column::text("ON DEVICE"),
        Column::flexible("ANSWER"),
    ]);
    for c in &report.connectors {
        let n = |n: usize| count(n as u64);
        let there = c.verified.map_or_else(|| "-".to_owned(), n);
        // What a device did not take was neither added nor removed, as far as is known.
        let n =
            |of: usize| if c.outcome == "failed" && c.verified.is_none() { "-".to_owned() } else { n(of) };
        table.row([
            &c.name,
            c.kind,
            &c.outcome,
            &n(c.added),
            &n(c.refreshed),
            &n(c.removed),
            &n(c.refused),
            &there,
            &c.answer,
        ]);
    }
    let mut text = table.render(terminal);
    // The table has no room for the whole reason.
    for c in report.connectors.iter().filter(|c| matches!(c.outcome.as_str(), "failed" | "held")) {
        text.push_str(&format!("  {}: {}\n", plain(&c.name), plain(&c.answer)));
    }
    for (c, risk) in report.connectors.iter().filter_map(|c| Some((c, c.risk.as_ref()?))) {
        text.push_str(&format!("  {}: {}\n", plain(&c.name), plain(risk)));
    }
    for c in &report.connectors {
        for (why, n) in most(&c.unsent) {
            text.push_str(&format!("  {}: {} not sent: {}\n", plain(&c.name), count(n), plain(why)));
        }
        for (why, n) in most(&c.weaker) {
            let verdicts = plural(n, "verdict");
            let name = plain(&c.name);
            text.push_str(&format!("  {name}: {verdicts} sent in part or in another form: {}\n", plain(why)));
        }
    }
    text.push_str(&contended(report.connectors.iter().map(|c| (c.name.as_str(), c.contended.as_ref()))));
    text.push_str(&reasons(report.held.iter().chain(held)));
    report.notes.iter().for_each(|note| warn(note));
    if report.mode == Mode::DryRun {
        text.push_str("  nothing was changed; --enforce does it\n");
    }
    print(&text)?;
    match report.is_ok() {
        true => Ok(Status::Done),
        false if report.forgotten => {
            Err(Lost("what came off the devices is not remembered as taken back".to_owned()).into())
        }
        false => Err(Lost("not every device is as it should be".to_owned()).into()),
    }
}

/// The reasons that most have.
fn most(reasons: &BTreeMap<String, usize>) -> impl Iterator<Item = (&str, u64)> {
    let mut all: Vec<(&str, u64)> = reasons.iter().map(|(why, n)| (why.as_str(), *n as u64)).collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    all.into_iter().take(3)
}

/// Where somebody else writes under the same mark.
fn contended<'a>(all: impl Iterator<Item = (&'a str, Option<&'a Contended>)>) -> String {
    let line = |(name, c): (&str, &Contended)| {
        let at = |s: i64| Ts::from_parts(s, 0);
        format!("  {}: {} (from {} to {})\n", plain(name), plain(&c.text()), at(c.since), at(c.last))
    };
    all.filter_map(|(name, c)| c.map(|c| (name, c))).map(line).collect()
}

/// What is wrong with a device, and whether nothing is.
fn state_of(c: &ConnectorStatus) -> (String, bool) {
    if let Some(error) = &c.error {
        return (error.clone(), false);
    }
    let empty =
        c.emptied.then(|| "empty, though entries were left there: a push tells what belongs here".to_owned());
    let drift = (!c.drift.is_empty()).then(|| format!("to be repaired: {}", c.drift.join(", ")));
    let contended = c.contended.is_some().then(|| "somebody else writes under the same mark".to_owned());
    let wrong: Vec<String> = empty.into_iter().chain(drift).chain(contended).collect();
    match wrong.is_empty() {
        true => ("as it should be".to_owned(), true),
        false => (wrong.join("; "), false),
    }
}

/// Verdicts that go nowhere, counted by reason.
fn reasons<'a>(held: impl Iterator<Item = &'a Held>) -> String {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for h in held {
        *sums.entry(&h.why).or_default() += 1;
    }
    sums.iter().map(|(why, n)| format!("  {} not sent: {}\n", count(*n), plain(why))).collect()
}
