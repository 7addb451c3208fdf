//! What `replay` and `watch` share: settings out of file and command line, and what a run needs before its first packet.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use sidetap_bots::Agents;
use sidetap_discovery::Spec;
use sidetap_model::rows::NotWritten;
use sidetap_model::{HashKey, Ts};
use sidetap_pipeline::{FlaggedOptions, Options};
use sidetap_seal::SealError;

use super::cells::Cells;
use super::console::site::given;
use super::policy::{Policies, policies};
use super::{indicators, intel, limit, sensitive};
use crate::cli::AnalysisArgs;
use crate::config::{self, Config};
use crate::exit::Usage;
use crate::hash_key;
use crate::output::{RunDir, note};
use crate::report::Devices;
use crate::units::Size;

/// How a run is to go, and where its results go.
pub(crate) struct Plan {
    /// For the pipeline.
    pub(crate) options: Options,
    /// Responses.
    pub(crate) policies: Policies,
    /// The run directory, where one is wanted and can be written.
    pub(crate) out: Option<RunDir>,
    /// The store, where one is wanted.
    pub(crate) store: Option<PathBuf>,
    /// Requests for the store.
    pub(crate) cells: Option<Cells>,
    /// Seconds of stored traffic that responses are measured by.
    pub(crate) measured_span: u64,
    /// Where what was learned goes.
    pub(crate) state: Option<PathBuf>,
    /// When a live run began, by the wall clock.
    pub(crate) begun: Option<Ts>,
    /// Whether connectors may change their devices.
    pub(crate) devices: Devices,
    /// What cannot be written.
    pub(crate) not_written: Vec<NotWritten>,
    /// What else went wrong, a line each.
    pub(crate) lost: Vec<String>,
}

/// Lays the command line over the configuration and makes ready. What is refused is an error; an output directory that
/// cannot be written is a loss.
pub(crate) fn plan(args: &AnalysisArgs, config: &mut Config) -> Result<Plan> {
    if args.keylog.is_some() {
        return Err(Usage("--keylog: TLS decryption is not in this version".to_owned()).into());
    }
    overlay(args, config);
    recipients(args, config)?;
    let limit = config.analysis.memory_limit;
    if limit.0 < 1 << 20 {
        return Err(Usage(format!(
            "--memory-limit {limit}: at least 1M (the process alone takes about 80M: 256M and more are kept)"
        ))
        .into());
    }
    if !limit::is_kept(limit.0) {
        note(&format!(
            "--memory-limit {limit}: below 256M tables get half of it, and the process takes what it needs besides (about 80M)"
        ));
    }
    let (asked, carried) = (config.analysis.workers, limit::workers(limit.0, config.analysis.rings));
    if usize::from(asked) > carried {
        let beside = match config.analysis.rings {
            0 => String::new(),
            rings => format!(" beside {} of rings", Size(rings)),
        };
        note(&format!(
            "--workers {asked}: {carried} are started, as many as --memory-limit {limit} carries{beside} (170M each)"
        ));
    }
    let key = hash_key::load_or_make(config.analysis.hash_key.as_deref())?;
    let policies = policies(config)?.hashed(&key);
    let mut specs = specs(&config.analysis.specs)?;
    let (described, shapes) = given(config.store.as_deref());
    specs.extend(described);
    let state = config.analysis.state.clone();
    let mut not_written = Vec::new();
    let out =
        config.output.directory.as_deref().map(|dir| run_dir(dir, &mut not_written)).transpose()?.flatten();
    let cells = config.store.is_some().then(|| intel::table(config).map(Cells::new)).transpose()?;
    let mut options = Options {
        workers: workers(&config.analysis),
        memory_limit: limit::tables(config.analysis.memory_limit.0, config.analysis.rings),
        trusted_proxies: config.analysis.trusted_proxies.clone(),
        client_headers: config.analysis.client_headers.clone(),
        analysis: !args.no_analysis,
        exchanges: out.as_ref().filter(|_| config.output.exchanges).map(RunDir::exchanges),
        specs,
        shapes,
        state: state.as_deref().map(read_state).transpose()?.flatten(),
        keep_state: state.is_some(),
        evidence: config.store.is_some(),
        listener: cells.as_ref().map(Cells::listener),
        flagged: flagged(config, limit.0, &mut not_written),
        ..bare_options(config, key)?
    };
    options.bots.without = args.without.iter().fold(options.bots.without, |all, part| all.and(*part));
    Ok(Plan {
        options,
        policies,
        out,
        store: config.store.clone(),
        cells,
        measured_span: config.policy.measured_span,
        state,
        begun: None,
        devices: Devices::Untouched,
        not_written,
        lost: Vec::new(),
    })
}

/// Where packets of flagged flows go; nothing, with the reason, where that cannot be made.
fn flagged(config: &Config, memory: u64, lost: &mut Vec<NotWritten>) -> Option<FlaggedOptions> {
    let dir = config.output.flagged.clone()?;
    if let Err(e) = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir) {
        lost.push(NotWritten::new(format_args!("flagged packets in {}", dir.display()), e));
        return None;
    }
    let output = &config.output;
    let ring_bytes = output.flagged_ring.0.min(memory / 8);
    let recipients = output.flagged_recipient.clone();
    Some(FlaggedOptions { dir, ring_bytes, limit_bytes: output.flagged_limit.0, recipients })
}

/// Whom the command line has saved packets sealed to, in place of those of the file.
fn recipients(args: &AnalysisArgs, config: &mut Config) -> Result<()> {
    if args.flagged_recipient.is_empty() {
        return Ok(());
    }
    if config.output.flagged.is_none() {
        return Err(Usage(
            "--flagged-recipient: no packets are saved; name a directory with --save-flagged".to_owned(),
        )
        .into());
    }
    let keys = args.flagged_recipient.iter().map(|key| key.parse()).collect::<Result<_, SealError>>();
    config.output.flagged_recipient = keys.map_err(|e| Usage(format!("--flagged-recipient: {e}")))?;
    Ok(())
}

/// The run directory; nothing, with the reason, where it cannot be written.
fn run_dir(dir: &Path, lost: &mut Vec<NotWritten>) -> Result<Option<RunDir>> {
    match RunDir::create(dir) {
        Ok(out) => Ok(Some(out)),
        Err(e) if e.kind() == std::io::ErrorKind::ResourceBusy => anyhow::bail!(
            "{} is being written by another sidetap that still runs: stop it, or name another directory with --out",
            dir.display()
        ),
        Err(e) => {
            lost.push(NotWritten::new(dir.display(), e));
            Ok(None)
        }
    }
}

/// Options of a run that stops at exchanges.
pub(crate) fn bare_options(config: &Config, hash_key: HashKey) -> Result<Options> {
    let bots = sidetap_bots::Config {
        table: intel::table(config)?,
        known: intel::known(config, &hash_key)?,
        keys: intel::keys(config)?,
        stated: Arc::new(config.stated.clone()),
        ..sidetap_bots::Config::new(Arc::new(indicators::pack(config)?), Arc::new(Agents::builtin()?))
    };
    Ok(Options {
        workers: workers(&config.analysis),
        memory_limit: limit::tables(config.analysis.memory_limit.0, config.analysis.rings),
        trusted_proxies: Vec::new(),
        client_headers: Vec::new(),
        hash_key,
        analysis: false,
        exchanges: None,
        live: false,
        evidence: false,
        listener: None,
        flagged: None,
        answer_sample: config.analysis.answer_sample,
        sensitive: Arc::new(sensitive::pack(config)?),
        threats: Arc::new(exploit_patterns(config)?),
        bots,
        specs: Vec::new(),
        shapes: Vec::new(),
        state: None,
        keep_state: false,
        state_max_age_s: config.analysis.state_max_age,
        zones: config.zones.clone(),
        decode: config.decode.clone(),
    })
}

fn exploit_patterns(config: &Config) -> Result<sidetap_threats::Pack> {
    match &config.analysis.exploit_patterns {
        Some(dir) => sidetap_threats::Pack::load_dir(dir).with_context(|| dir.display().to_string()),
        None => Ok(sidetap_threats::Pack::builtin()?),
    }
}

fn overlay(args: &AnalysisArgs, config: &mut Config) {
    let analysis = &mut config.analysis;
    analysis.workers = args.workers.unwrap_or(analysis.workers);
    analysis.memory_limit = args.memory_limit.unwrap_or(analysis.memory_limit);
    if !args.trusted_proxies.is_empty() {
        analysis.trusted_proxies.clone_from(&args.trusted_proxies);
    }
    if !args.client_headers.is_empty() {
        analysis.client_headers.clone_from(&args.client_headers);
    }
    if !args.spec.is_empty() {
        analysis.specs.clone_from(&args.spec);
    }
    let instead = |given: &Option<PathBuf>, slot: &mut Option<PathBuf>| {
        if given.is_some() {
            slot.clone_from(given);
        }
    };
    instead(&args.state, &mut analysis.state);
    instead(&args.hash_key, &mut analysis.hash_key);
    instead(&args.save_flagged, &mut config.output.flagged);
    instead(&args.out, &mut config.output.directory);
    instead(&args.store, &mut config.store);
    config.output.exchanges |= args.exchanges;
}

/// How rings that the memory limit does not carry are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// On the command line: refused.
    Now,
    /// In a file, which other runs share: made smaller, which is said.
    InFile,
    /// By a look that needs no large ones: made smaller.
    ForALook,
}

/// Gives the kernel's rings of so many interfaces, with so many threads each, their part of the memory limit.
pub(crate) fn rings(
    config: &mut Config,
    limit: Option<Size>,
    (interfaces, readers): (usize, u16),
    how: Asked,
) -> Result<()> {
    let limit = limit.unwrap_or(config.analysis.memory_limit);
    let asked = config.capture.buffer.map(|b| b.0);
    let (interfaces, readers) = (interfaces as u64, u64::from(readers));
    let fitting = limit::rings(limit.0, asked, interfaces, readers).or_else(|most| {
        let fewer = most.max(if how == Asked::ForALook { limit::LEAST } else { 0 });
        let wanted = Size(asked.unwrap_or(limit::LEAST));
        if how == Asked::Now || fewer < limit::LEAST {
            return Err(Usage(format!(
                "--ring {wanted}: rings and capture threads may take a third of --memory-limit {limit}, which leaves {} for each of {interfaces}: \
give smaller or fewer ones, or --memory-limit {}",
                Size(most >> 20 << 20),
                Size(limit::enough_for(wanted.0, interfaces, readers)),
            )));
        }
        if how == Asked::InFile {
            note(&format!(
                "buffer = \"{wanted}\": rings of {} are made, for all of them take a third of --memory-limit {limit} at most",
                Size(fewer >> 20 << 20)
            ));
        }
        Ok(limit::Rings { each: fewer, all: limit::all(fewer, interfaces, readers) })
    })?;
    config.capture.buffer = Some(Size(fitting.each));
    config.analysis.rings = fitting.all;
    Ok(())
}

/// Threads: as many as asked for, or one a core (0); no more than the memory limit carries.
fn workers(analysis: &config::Analysis) -> usize {
    let asked = match analysis.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => usize::from(n),
    };
    asked.min(limit::workers(analysis.memory_limit.0, analysis.rings))
}

fn specs(files: &[PathBuf]) -> Result<Vec<Spec>> {
    files.iter().map(|f| read_spec(f)).collect()
}

/// Reads an OpenAPI description.
pub(crate) fn read_spec(file: &Path) -> Result<Spec> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Spec::load(&file.display().to_string(), &text).with_context(|| file.display().to_string())
}

/// What an earlier run learned; nothing where there was none.
fn read_state(file: &Path) -> Result<Option<Vec<u8>>> {
    let size = std::fs::metadata(file).map_or(0, |m| m.len());
    if size > 512 << 20 {
        anyhow::bail!("the state {} is too large to be one ({size} bytes)", file.display());
    }
    match std::fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| format!("cannot read {}", file.display())),
    }
}
