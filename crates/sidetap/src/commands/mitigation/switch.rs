//! The kill switch, and names of stores that are none.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde_json::json;
use sidetap_mitigation::{Desired, Enforcer, Ledger, Mode, PushOptions, PushReport};
use sidetap_store::Store;

use super::audit::record;
use super::show::show_push;
use super::{actor, enforcer_to_take_back, enforcer_without_ledger, ledger_of};
use crate::cli::SourceArgs;
use crate::clock;
use crate::commands::console::KILLED;
use crate::commands::policy::policies;
use crate::commands::source::Source;
use crate::commands::{approvals, gate};
use crate::config::Config;
use crate::exit::{Lost, Status, Usage};
use crate::output::{Terminal, print, warn};

/// The store that is named, or run directory, where it is not there and nothing was ever pushed by it: the name is likely misspelt.
///
/// A ledger beside a store that is gone still says what was pushed; one without a push says that somebody misspelt the name before.
pub(super) fn nothing_there(config: &Config, source: &SourceArgs) -> Option<PathBuf> {
    let named = match Source::of(source, config).ok()? {
        Source::Directory(path) | Source::Store(path) => path,
    };
    let ledger = ledger_of(config, source).filter(|file| file.exists());
    let says = |file: PathBuf| Ledger::read(&file).map_or(true, |ledger| !ledger.entries.is_empty());
    let knows =
        config.mitigation.state.as_ref().is_some_and(|state| state.exists()) || ledger.is_some_and(says);
    (!named.exists() && !knows).then_some(named)
}

fn switch(config: &Config, source: &SourceArgs) -> Result<PathBuf> {
    gate::switch_of(config, ledger_of(config, source).as_deref()).ok_or_else(|| {
        Usage("name a store with --store, or the file of the kill switch in [policy]".to_owned()).into()
    })
}

/// Turns the console's switch off, which is the same one; says whether it was on.
fn released_in_console(config: &Config, source: &SourceArgs) -> Result<bool> {
    let Some(file) = Source::of(source, config)?.store().filter(|f| f.is_file()).map(Path::to_owned) else {
        return Ok(false);
    };
    let mut store = Store::open(&file)?;
    let was_on = store.state(KILLED)?.is_some();
    if was_on {
        store.remove_state(KILLED)?;
    }
    Ok(was_on)
}

/// Turns the kill switch off.
pub(super) fn resume(config: &Config, source: &SourceArgs) -> Result<Status> {
    let switch = switch(config, source)?;
    let was_on = released_in_console(config, source)? | gate::resume(&switch)?;
    // What a `stop` by the same name turned on goes off; that of a watch or a console is elsewhere.
    let named = Source::of(source, config).ok().map(|named| match named {
        Source::Directory(path) | Source::Store(path) => path,
    });
    if let Some(file) = named.filter(|file| !file.exists()) {
        let also = if was_on { "; the switch by this name is off now" } else { "" };
        bail!(
            "{}: there is no such store: whether the kill switch of another one is on was not looked at, and it stays as it is{also}; name the store that pushes use",
            file.display()
        );
    }
    if was_on {
        approvals::note(config, source, "mitigation.resume", json!({}));
    }
    print(if was_on {
        "  the kill switch is off; the next push carries out what verdicts ask for\n"
    } else {
        "  the kill switch was not on\n"
    })?;
    Ok(Status::Done)
}

/// Takes everything off the devices.
pub(crate) fn emptied(config: &Config, source: &SourceArgs, by: &str) -> Result<PushReport> {
    Ok(empty(&mut enforcer_to_take_back(config, source)?.0, config, by))
}

fn empty(enforcer: &mut Enforcer, config: &Config, by: &str) -> PushReport {
    // A policy that cannot be read may be why somebody pulls the switch.
    let allow = policies(config).map(|p| p.set().allow().nets()).unwrap_or_else(|e| {
        warn(&format!("devices get the configured allow list only: {e:#}"));
        Vec::new()
    });
    let nothing = Desired { allow, stopped: true, ..Desired::default() };
    let options = PushOptions { force: true, actor: by.to_owned(), ..PushOptions::new(Mode::Enforce) };
    enforcer.push(&nothing, clock::now(), &options)
}

/// Turns the kill switch on and takes everything off the devices at once.
pub(super) fn stop(
    config: &mut Config,
    source: &SourceArgs,
    reason: &str,
    terminal: &Terminal,
) -> Result<Status> {
    let switch = switch(config, source)?;
    let nowhere = nothing_there(config, source).filter(|_| config.policy.kill_switch.is_none());
    // Whatever else fails, what is on the devices comes off.
    let kept = gate::stop(&switch, reason);
    approvals::note(config, source, "mitigation.stop", json!({ "reason": reason }));
    match &kept {
        Ok(()) => print(&format!(
            "  the kill switch is on ({}); `sidetap mitigation resume` turns it off\n",
            switch.display()
        ))?,
        Err(e) => {
            warn(&format!("the kill switch cannot be kept on, so the next push puts things back: {e:#}"));
        }
    }
    // What devices hold says what has to go: no ledger is needed for that.
    let report = match nowhere {
        None => emptied(config, source, &actor())?,
        Some(_) => empty(&mut enforcer_without_ledger(config, source)?, config, &actor()),
    };
    record(config, source, &report);
    let status = show_push(&report, &[], terminal)?;
    kept?;
    match nowhere {
        None => Ok(status),
        Some(file) => Err(Lost(format!(
            "{}: there is no such store: a watch or a console of another store does not see this switch, and puts back what came off; name the store that they use",
            file.display()
        ))
        .into()),
    }
}
