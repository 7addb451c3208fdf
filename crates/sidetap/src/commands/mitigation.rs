//! `sidetap mitigation`: what devices hold, should hold, and are brought to hold.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use sidetap_mitigation::{
    ConnectorStatus, Desired, DesiredOptions, Enforcer, Held, Mode, PlanReport, PushOptions, PushReport,
    Selector, desired,
};
use sidetap_model::rows::VerdictRow;
use sidetap_store::Store;

use super::policy::{Policies, policies};
use super::source::Source;
use crate::cli::{GlobalArgs, MitigationArgs, MitigationCommand, PushArgs, SourceArgs};
use crate::clock;
use crate::config::{self, Config};
use crate::exit::{Lost, Status};
use crate::output::{Terminal, plain, print, warn};
use crate::report::{Column, Table, count};

/// Reads or changes devices.
pub(crate) fn run(global: &GlobalArgs, args: &MitigationArgs) -> Result<Status> {
    let mut config = config::load(global.config.as_deref())?;
    let terminal = Terminal::of_stdout(global.color);
    match &args.command {
        MitigationCommand::Status => {
            let status = enforcer(&mut config, &args.source)?.status(clock::now());
            show_status(&status.connectors, &terminal)
        }
        MitigationCommand::Plan(push) => {
            let wanted = wanted(&config, &args.source)?;
            let report = enforcer(&mut config, &args.source)?.plan(&wanted, clock::now(), push.force);
            show_plan(&report, &wanted.held, &terminal)
        }
        MitigationCommand::Push(push) => push_all(&mut config, &args.source, push, &terminal),
        MitigationCommand::Undo { enforce } => {
            let options = PushOptions::new(mode(*enforce));
            let report = enforcer(&mut config, &args.source)?.undo(&Selector::All, clock::now(), &options);
            record(&config, &args.source, &report);
            show_push(&report, &[], &terminal)
        }
        MitigationCommand::Feed => {
            let run = Source::of(&args.source, &config)?.load()?;
            let lines = policies(&config)?.blocklist(&run);
            print(&lines.iter().map(|l| format!("{l}\n")).collect::<String>())?;
            Ok(Status::Done)
        }
    }
}

fn mode(enforce: bool) -> Mode {
    if enforce { Mode::Enforce } else { Mode::DryRun }
}

/// The enforcer; where no ledger is configured it stands beside the store, or else beside the run directory's files.
pub(crate) fn enforcer(config: &mut Config, source: &SourceArgs) -> Result<Enforcer> {
    let mut settings = config.mitigation.clone();
    if settings.state.is_none() {
        settings.state = ledger_file(config, source);
    }
    Ok(Enforcer::new(&settings)?)
}

fn ledger_file(config: &Config, source: &SourceArgs) -> Option<PathBuf> {
    match Source::of(source, config).ok()? {
        Source::Directory(dir) => Some(dir.join("mitigation.json")),
        Source::Store(file) => {
            let mut name = file.file_name()?.to_owned();
            name.push(".mitigation.json");
            Some(file.with_file_name(name))
        }
    }
}

fn wanted(config: &Config, source: &SourceArgs) -> Result<Desired> {
    let run = Source::of(source, config)?.load()?;
    desired_of(&run.verdicts, &policies(config)?, config)
}

/// What devices should be doing about these verdicts.
pub(crate) fn desired_of(verdicts: &[VerdictRow], policies: &Policies, config: &Config) -> Result<Desired> {
    let options = DesiredOptions {
        now: clock::now(),
        max_age_s: config.mitigation.max_age_s()?,
        allow: policies.set().allow().clone(),
    };
    Ok(desired(verdicts, &options))
}

fn push_all(
    config: &mut Config,
    source: &SourceArgs,
    push: &PushArgs,
    terminal: &Terminal,
) -> Result<Status> {
    let wanted = wanted(config, source)?;
    let mut enforcer = enforcer(config, source)?;
    let options = PushOptions { force: push.force, ..PushOptions::new(mode(push.enforce)) };
    let report = enforcer.push(&wanted, clock::now(), &options);
    record(config, source, &report);
    show_push(&report, &wanted.held, terminal)
}

/// Keeps what was done in the store's audit; a failure is said and does not undo what was done.
pub(crate) fn record(config: &Config, source: &SourceArgs, report: &PushReport) {
    let Ok(Source::Store(file)) = Source::of(source, config) else { return };
    if report.mode == Mode::DryRun {
        return;
    }
    let kept = Store::open(&file).and_then(|mut store| store.record_actions(&report.actions));
    if let Err(e) = kept {
        warn(&format!("the audit in {} could not be written: {e}", file.display()));
    }
}

fn no_connectors() -> Result<Status> {
    print("no connector is configured (docs/connectors says which there are: [[mitigation.nginx]], …)\n")?;
    Ok(Status::Done)
}

fn show_status(connectors: &[ConnectorStatus], terminal: &Terminal) -> Result<Status> {
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
    for c in connectors {
        let can: Vec<&str> = c.sees.responses.iter().map(|r| r.name()).collect();
        let state = match (&c.error, c.drift.is_empty()) {
            (Some(e), _) => e.clone(),
            (None, true) => "as it should be".to_owned(),
            (None, false) => format!("to be repaired: {}", c.drift.join(", ")),
        };
        table.row([
            &c.name,
            c.kind,
            &count(c.entries as u64),
            &count(c.foreign as u64),
            &can.join(" "),
            &state,
        ]);
    }
    print(&table.render(terminal))?;
    Ok(if connectors.iter().any(|c| c.error.is_some()) { Status::Lost } else { Status::Done })
}

fn show_plan(report: &PlanReport, held: &[Held], terminal: &Terminal) -> Result<Status> {
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
        let note = c.error.as_ref().or(c.guard.as_ref()).cloned().unwrap_or_else(|| c.plan.repair.join(", "));
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
            text.push_str(&format!(
                "  {} + {} {} ({})\n",
                plain(&c.name),
                e.key,
                e.response,
                plain(&e.verdict)
            ));
        }
        for r in c.plan.refused.iter().take(10) {
            text.push_str(&format!("  {} ! {}: {}\n", plain(&c.name), plain(&r.subject), plain(&r.why)));
        }
    }
    text.push_str(&reasons(report.held.iter().chain(held)));
    print(&text)?;
    Ok(if report.connectors.iter().any(|c| c.error.is_some()) { Status::Lost } else { Status::Done })
}

fn show_push(report: &PushReport, held: &[Held], terminal: &Terminal) -> Result<Status> {
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
    text.push_str(&reasons(report.held.iter().chain(held)));
    if report.mode == Mode::DryRun {
        text.push_str("  nothing was changed; --enforce does it\n");
    }
    print(&text)?;
    match report.is_ok() {
        true => Ok(Status::Done),
        false => Err(Lost("not every device is as it should be".to_owned()).into()),
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
