//! What an earlier run found: of a run directory or of a store.

use std::path::{Path, PathBuf};

use anyhow::Result;
use sidetap_model::rows::RunData;
use sidetap_store::Store;

use crate::cli::SourceArgs;
use crate::config::Config;
use crate::exit::Usage;
use crate::output::load_run;

/// Where to read from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A run directory.
    Directory(PathBuf),
    /// A store.
    Store(PathBuf),
}

impl Source {
    /// What the command line names, or else the configured store.
    pub(crate) fn of(args: &SourceArgs, config: &Config) -> Result<Self> {
        if let Some(dir) = &args.run {
            return Ok(Source::Directory(dir.clone()));
        }
        match args.store.as_ref().or(config.store.as_ref()) {
            Some(file) => Ok(Source::Store(file.clone())),
            None => {
                Err(Usage("name a run directory with --run DIR or a store with --store FILE".to_owned())
                    .into())
            }
        }
    }

    /// All its rows; of verdicts in a store what a report says.
    pub(crate) fn load(&self) -> Result<RunData> {
        match self {
            Source::Directory(dir) => load_run(dir),
            Source::Store(file) => Ok(Store::open_read_only(file)?.load_to_report()?),
        }
    }

    /// The run directory, where it is one.
    pub(crate) fn directory(&self) -> Option<&Path> {
        match self {
            Source::Directory(dir) => Some(dir),
            Source::Store(_) => None,
        }
    }

    /// The store, where it is one.
    pub(crate) fn store(&self) -> Option<&Path> {
        match self {
            Source::Directory(_) => None,
            Source::Store(file) => Some(file),
        }
    }
}
