//! What `replay` and `watch` share: settings out of file and command line, and what a run needs before its first packet.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use sidetap_discovery::Spec;
use sidetap_pipeline::Options;

use super::policy::{Policies, policies};
use crate::cli::AnalysisArgs;
use crate::config::Config;
use crate::exit::Usage;
use crate::hash_key;
use crate::output::RunDir;

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
    /// Where what was learned goes.
    pub(crate) state: Option<PathBuf>,
    /// What cannot be written, a line each.
    pub(crate) lost: Vec<String>,
}

/// Lays the command line over the configuration and makes ready. What is refused is an error; an output directory that
/// cannot be written is a loss.
pub(crate) fn plan(args: &AnalysisArgs, config: &mut Config) -> Result<Plan> {
    if args.keylog.is_some() {
        return Err(Usage("--keylog: TLS decryption is not in this version".to_owned()).into());
    }
    overlay(args, config);
    let key = hash_key::load_or_make(config.analysis.hash_key.as_deref())?;
    let policies = policies(config)?.hashed(&key);
    let specs = specs(&config.analysis.specs)?;
    let state = config.analysis.state.clone();
    let mut lost = Vec::new();
    let out = config.output.directory.as_deref().and_then(|dir| match RunDir::create(dir) {
        Ok(out) => Some(out),
        Err(e) => {
            lost.push(format!("cannot write {}: {e}", dir.display()));
            None
        }
    });
    let options = Options {
        workers: workers(config.analysis.workers),
        memory_limit: config.analysis.memory_limit.0,
        trusted_proxies: config.analysis.trusted_proxies.clone(),
        client_headers: config.analysis.client_headers.clone(),
        hash_key: key,
        analysis: !args.no_analysis,
        exchanges: out.as_ref().filter(|_| config.output.exchanges).map(RunDir::exchanges),
        live: false,
        sensitive: Arc::new(sidetap_sensitive::Pack::builtin()),
        threats: Arc::new(sidetap_threats::Pack::builtin()),
        bots: sidetap_bots::Config::default(),
        specs,
        state: state.as_deref().map(read_state).transpose()?.flatten(),
        keep_state: state.is_some(),
        zones: vec!["default".to_owned()],
    };
    Ok(Plan { options, policies, out, store: config.store.clone(), state, lost })
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
    instead(&args.out, &mut config.output.directory);
    instead(&args.store, &mut config.store);
    config.output.exchanges |= args.exchanges;
}

/// 0 is one a core.
fn workers(asked: u16) -> usize {
    match asked {
        0 => std::thread::available_parallelism().map_or(1, usize::from).min(256),
        n => usize::from(n),
    }
}

fn specs(files: &[PathBuf]) -> Result<Vec<Spec>> {
    files.iter().map(|f| read_spec(f)).collect()
}

/// Reads an OpenAPI description.
pub(crate) fn read_spec(file: &Path) -> Result<Spec> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Spec::load(&text).with_context(|| file.display().to_string())
}

/// What an earlier run learned; nothing where there was none.
fn read_state(file: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| format!("cannot read {}", file.display())),
    }
}
