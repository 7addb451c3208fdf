//! What a device was told, for devices that cannot say so themselves.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::connector::ConnectorError;
use crate::entry::Entry;
use crate::ledger::write_whole;

/// A file of entries.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    path: PathBuf,
}

#[derive(Default, Serialize, Deserialize)]
struct File {
    entries: Vec<Entry>,
}

impl Memory {
    pub(crate) fn new(path: &Path) -> Self {
        Memory { path: path.to_owned() }
    }

    /// What it holds; nothing where there is no file yet.
    pub(crate) fn read(&self) -> Result<Vec<Entry>, ConnectorError> {
        let at = |e: &dyn std::fmt::Display| format!("{}: {e}", self.path.display());
        match std::fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice::<File>(&bytes)
                .map(|f| f.entries)
                .map_err(|e| ConnectorError::Missing(at(&e))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(ConnectorError::Unreachable(at(&e))),
        }
    }

    /// Keeps these and no others.
    pub(crate) fn write(&self, entries: &[Entry]) -> Result<(), ConnectorError> {
        let at =
            |e: &dyn std::fmt::Display| ConnectorError::Unreachable(format!("{}: {e}", self.path.display()));
        let bytes = serde_json::to_vec(&File { entries: entries.to_vec() }).map_err(|e| at(&e))?;
        write_whole(&self.path, &bytes).map_err(|e| at(&e))
    }
}
