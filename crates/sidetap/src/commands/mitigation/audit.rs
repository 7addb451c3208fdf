//! Who did what to devices, written down before and after.

use std::io::Write;
use std::path::Path;

use anyhow::{Result, bail};
use sidetap_mitigation::{Enforcer, Mode, PushReport};
use sidetap_model::ActionRow;
use sidetap_store::Store;

use super::actor;
use crate::cli::SourceArgs;
use crate::clock;
use crate::commands::source::Source;
use crate::config::Config;
use crate::output::warn;

/// Keeps what is about to be done, so that the audit has it whatever happens meanwhile; a failure is said and holds nothing.
pub(super) fn intend(source: &Source, rows: &[ActionRow]) {
    let kept = match source {
        Source::Directory(dir) => append(dir, rows),
        Source::Store(file) => there(file).and_then(|mut store| Ok(store.record_intents(rows)?)),
    };
    if let Err(e) = kept {
        warn(&format!("the audit could not be written: {e:#}"));
    }
}

/// A store that is there: none is made for an audit that nobody would look for under a misspelt name.
pub(crate) fn there(file: &Path) -> Result<Store> {
    if !file.exists() {
        bail!("{}: there is no such store", file.display());
    }
    Ok(Store::open(file)?)
}

/// Closes what a process left open that was ended while it changed devices: the audit then says what they hold.
pub(crate) fn settle(enforcer: &mut Enforcer, store: &mut Store, actor: &str) {
    let settled = store.open_intents().and_then(|open| match open.is_empty() {
        true => Ok(0),
        false => {
            let rows = enforcer.settle(&open, clock::now(), actor);
            store.record_actions(&rows).map(|()| rows.iter().filter(|r| r.kind == "settle").count())
        }
    });
    match settled {
        Ok(0) => {}
        Ok(n) => warn(&format!(
            "what a process was doing to {n} device(s) when it ended was settled: the audit has what they hold now"
        )),
        Err(e) => warn(&format!("the audit cannot be brought up to date: {e}")),
    }
}

/// The same for a command, where it has a store.
pub(super) fn settle_of(enforcer: &mut Enforcer, config: &Config, source: &SourceArgs) {
    let store = Source::of(source, config).ok().and_then(|s| s.store().map(Path::to_owned));
    if let Some(Ok(mut store)) = store.map(|file| there(&file)) {
        settle(enforcer, &mut store, &actor());
    }
}

/// Appends to the audit of a run directory, `audit.ndjson`.
fn append(dir: &Path, rows: &[ActionRow]) -> Result<()> {
    let mut text = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut text, row)?;
        text.push(b'\n');
    }
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("audit.ndjson"))?;
    Ok(file.write_all(&text)?)
}

/// Keeps what was done in the audit, of the store or of the run directory; a failure is said and does not undo what was done.
pub(crate) fn record(config: &Config, source: &SourceArgs, report: &PushReport) {
    let Ok(source) = Source::of(source, config) else { return };
    if report.mode == Mode::DryRun {
        return;
    }
    let kept = match &source {
        Source::Directory(dir) => append(dir, &report.actions),
        Source::Store(file) => there(file).and_then(|mut store| Ok(store.record_actions(&report.actions)?)),
    };
    if let Err(e) = kept {
        warn(&format!("the audit could not be written: {e:#}"));
    }
}
