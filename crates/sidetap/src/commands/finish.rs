//! What follows a run: responses, files, store, report, exit status.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use sidetap_model::rows::{Counts, InputSummary, NotWritten, RunData, Summary};
use sidetap_model::{EndpointId, HashKey, Ts};
use sidetap_pipeline::{Evidence, Outcome, Sampled};
use sidetap_store::{EvidenceRow, SampleRow, Store, run_id};

use super::inventory::keep_documents;
use super::policy::known_of;
use super::prepare::Plan;
use super::watch::live_inputs;
use crate::clock;
use crate::exit::Status;
use crate::hash_key;
use crate::output::{RunDir, Terminal, print, summary_text, warn, write_lasting};
use crate::report::{Report, page, terminal_report};

/// What stdout gets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// The terminal report.
    Report(Terminal),
    /// summary.json.
    Json,
}

/// Applies policy, writes everything that is wanted, prints the answer; what is lost is said on stderr.
pub(crate) fn finish(plan: Plan, mut outcome: Outcome, started: Instant, answer: Answer) -> Result<Status> {
    let Plan {
        options,
        policies,
        out,
        store,
        cells,
        measured_span,
        state,
        begun,
        devices,
        not_written,
        mut lost,
    } = plan;
    let run = &mut outcome.run;
    let id = run_id(&stored_as(run, begun));
    if let (Some(file), Some(cells)) = (&store, &cells)
        && let Err(e) = make_room(file).and_then(|()| cells.store(file, &id, begun.is_none()))
    {
        lost.push(format!("the requests could not be kept in {}: {e:#}", file.display()));
    }
    policies.apply(run, &known_of(run, &id, store.as_deref(), measured_span));
    complete_summary(run, started);
    run.summary.not_written = [not_written, std::mem::take(&mut outcome.write_errors)].concat();
    let room = out.as_ref().and_then(|out| out.reserve_summary(run));
    let mut failed = Vec::new();
    let told = Told {
        evidence: std::mem::take(&mut outcome.evidence),
        samples: std::mem::take(&mut outcome.samples),
        calls: std::mem::take(&mut outcome.calls),
        missed: outcome.missed,
    };
    if let Some(file) = &store
        && let Err(e) = keep(file, run, begun, &outcome.openapi, told, &options.hash_key)
    {
        failed.push(NotWritten::new(
            format_args!("the results into {}", file.display()),
            format_args!("{e:#}"),
        ));
    }
    if let (Some(file), Some(bytes)) = (&state, &outcome.state)
        && let Err(e) = write_lasting(file, |w| w.write_all(bytes))
    {
        failed.push(NotWritten::new(file.display(), e));
    }
    let blocklist = policies.blocklist(run);
    let mut directory = out.as_ref().map(RunDir::path);
    let proxies = &outcome.learned_proxies;
    let (blocklist, analysed) = (&blocklist, options.analysis);
    if let Some(out) = &out {
        failed.extend(out.write(run, &outcome.openapi));
        let text: String = blocklist.iter().map(|line| format!("{line}\n")).collect();
        let files = [
            ("blocklist.txt", text),
            ("report.html", page(&Report { run, blocklist, directory, analysed, proxies, devices })),
        ];
        for (name, text) in &files {
            if let Err(e) = out.text(name, text) {
                failed.push(e);
                directory = None;
            }
        }
    }
    run.summary.not_written.append(&mut failed);
    lost.extend(run.summary.not_written.iter().map(ToString::to_string));
    if let Some(out) = &out {
        let summary = summary_text(run);
        let written = room.map(|room| room.write(&summary)).filter(Result::is_ok);
        if let Err(e) = written.unwrap_or_else(|| out.text("summary.json", &summary)) {
            lost.push(e.to_string());
            directory = None;
        }
    }
    let report = Report { run, blocklist, directory, analysed, proxies, devices };
    let printed = print(&match answer {
        Answer::Report(terminal) => terminal_report(&report, &terminal),
        Answer::Json => summary_text(run),
    });
    if let Err(e) = printed {
        lost.push(format!("cannot write to stdout: {e}"));
    }
    Ok(status(&run.summary.inputs, &lost, run))
}

/// What the pipeline cannot know.
fn complete_summary(run: &mut RunData, started: Instant) {
    run.summary.wall_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    run.summary.peak_rss_bytes = peak_rss();
    run.summary.version = env!("CARGO_PKG_VERSION").to_owned();
    run.summary.counts = Counts {
        endpoints: run.endpoints.len() as u64,
        sensitive: run.sensitive.len() as u64,
        findings: run.findings.len() as u64,
        campaigns: run.campaigns.len() as u64,
        verdicts: run.verdicts.len() as u64,
    };
}

/// Most memory that was resident at once, as Linux says; 0 elsewhere.
fn peak_rss() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// The summary that a run has in a store: of a live one with the inputs that it had from the beginning.
fn stored_as(run: &RunData, begun: Option<Ts>) -> Summary {
    let mut summary = run.summary.clone();
    if let Some(begun) = begun {
        summary.inputs = live_inputs(run.summary.inputs.iter().map(|i| i.path.clone()), begun);
    }
    summary
}

/// Room is made before it is needed: a store that is full takes nothing in. What the run itself brings comes after, as what belongs
/// to no run goes.
fn make_room(file: &Path) -> Result<()> {
    Store::open_checked(file)?.keep_limits(clock::now())?;
    Ok(())
}

/// What a run tells a store besides its rows.
struct Told {
    evidence: Vec<Evidence>,
    samples: Vec<Sampled>,
    calls: Vec<(EndpointId, Ts, u64)>,
    missed: u64,
}

/// Under which name a store counts exchanges that were wanted as evidence and not remembered any more.
pub(super) const MISSED: &str = "evidence.missed";

/// Saves a run in a store; a live one under the id that its verdicts had from the beginning.
fn keep(
    file: &Path,
    run: &RunData,
    begun: Option<Ts>,
    openapi: &[(String, serde_json::Value)],
    told: Told,
    key: &HashKey,
) -> Result<()> {
    let mut store = Store::open(file)?;
    if hash_key::is_foreign(&mut store, key)? {
        warn(&format!(
            "{}: earlier runs were kept with another hash key: accounts, sessions and keys of this run are not those of before",
            file.display()
        ));
    }
    match begun {
        None => {
            let id = store.save_run(run, clock::now())?;
            store.save_calls(&id, &told.calls)?;
        }
        Some(_) => {
            store.save_run(&RunData { summary: stored_as(run, begun), ..run.clone() }, clock::now())?;
        }
    }
    keep_documents(&mut store, openapi)?;
    record_evidence(&mut store, &evidence_rows(told.evidence), &sample_rows(told.samples))?;
    store.count_lost(MISSED, told.missed)?;
    store.keep_limits(clock::now())?;
    Ok(())
}

/// Exchanges as a store has them.
pub(super) fn evidence_rows(evidence: Vec<Evidence>) -> Vec<EvidenceRow> {
    evidence.into_iter().map(|e| EvidenceRow { id: e.id, at: e.ts, exchange: e.exchange }).collect()
}

/// The same of which ones stand for what.
pub(super) fn sample_rows(samples: Vec<Sampled>) -> Vec<SampleRow> {
    samples.into_iter().map(|s| SampleRow { thing: s.thing, seen: s.seen, ids: s.ids }).collect()
}

/// Keeps exchanges, and which of them stand for what.
pub(super) fn record_evidence(
    store: &mut Store,
    evidence: &[EvidenceRow],
    samples: &[SampleRow],
) -> Result<()> {
    store.record_samples(samples, clock::now())?;
    let limits = store.limits()?.evidence();
    store.record_evidence(evidence, &limits)?;
    Ok(())
}

/// Says what was lost and gives the exit status.
fn status(inputs: &[InputSummary], lost: &[String], run: &RunData) -> Status {
    let mut status = Status::Done;
    for input in inputs {
        if let Some(error) = &input.error {
            warn(&format!("{}: {error}", input.path));
            status = Status::Lost;
        }
    }
    for line in lost {
        warn(line);
        status = Status::Lost;
    }
    let unreadable = !inputs.is_empty() && inputs.iter().all(|i| i.error.is_some());
    match status {
        Status::Lost if unreadable && run.summary.packets.total == 0 => Status::Refused,
        other => other,
    }
}
