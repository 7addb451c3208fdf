//! `sidetap sensitive`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use sidetap_sensitive::{Pack, scan_ndjson};

use crate::cli::{GlobalArgs, SensitiveCommand};
use crate::config::{self, Config};
use crate::exit::Status;
use crate::output::stdout;

/// Scans documents.
pub(crate) fn run(global: &GlobalArgs, command: &SensitiveCommand) -> Result<Status> {
    let SensitiveCommand::Scan { file } = command;
    let config = config::load(global.config.as_deref())?;
    let pack = Arc::new(pack(&config)?);
    scan_ndjson(&pack, open(file)?, stdout()).with_context(|| file.display().to_string())?;
    Ok(Status::Done)
}

/// The types in force: the built-in ones, or those of the configured directory.
pub(crate) fn pack(config: &Config) -> Result<Pack> {
    match &config.analysis.sensitive_types {
        Some(dir) => Pack::load_dir(dir).with_context(|| dir.display().to_string()),
        None => Ok(Pack::builtin()?),
    }
}

fn open(file: &Path) -> Result<Box<dyn BufRead>> {
    if file == Path::new("-") {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Box::new(BufReader::with_capacity(1 << 16, opened)))
}
