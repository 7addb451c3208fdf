//! `sidetap replay`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use sidetap_capture::{SourceError, open_files};
use sidetap_model::rows::{InputSummary, RunData};

use super::finish::{Answer, finish};
use super::prepare::{Plan, plan};
use super::progress::{Bar, Stop};
use crate::cli::{GlobalArgs, ReplayArgs};
use crate::config;
use crate::exit::Status;
use crate::output::{Terminal, summary_text, warn};

/// Analyses captures.
pub(crate) fn run(global: &GlobalArgs, args: &ReplayArgs) -> Result<Status> {
    let started = Instant::now();
    let mut config = config::load(global.config.as_deref())?;
    let plan = plan(&args.analysis, &mut config)?;
    let mut source = match open_files(&args.files) {
        Ok(source) => source,
        Err(error) => return Ok(unreadable(plan, &args.files, &error, args.json)),
    };
    let mut bar = Bar::new(Stop::on_signals()?);
    let outcome = sidetap_pipeline::run(&mut source, &plan.options, &mut bar);
    bar.clear();
    let answer = match args.json {
        true => Answer::Json,
        false => Answer::Report(Terminal::of_stdout(global.color)),
    };
    finish(plan, outcome?, started, answer)
}

/// Nothing can be read: the summary still says so.
fn unreadable(plan: Plan, files: &[PathBuf], error: &SourceError, json: bool) -> Status {
    let text = error.to_string();
    let input = |path: &PathBuf| InputSummary {
        path: path.display().to_string(),
        error: Some(text.clone()),
        ..InputSummary::default()
    };
    let mut run = RunData::default();
    run.summary.version = env!("CARGO_PKG_VERSION").to_owned();
    run.summary.inputs = files.iter().map(input).collect();
    run.summary.not_written.clone_from(&plan.not_written);
    let summary = summary_text(&run);
    let written = plan.out.as_ref().map(|out| out.text("summary.json", &summary));
    let failed = plan.not_written.iter().chain(written.as_ref().and_then(|w| w.as_ref().err()));
    failed.for_each(|e| warn(&e.to_string()));
    if json {
        let _ = crate::output::print(&summary);
    }
    warn(&text);
    Status::Refused
}
