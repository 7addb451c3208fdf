//! What a device was told, for devices that cannot say so themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::connector::{ConnectorError, Observed};
use crate::entry::Entry;
use crate::key::Key;
use crate::ledger::{is_full, write_over, write_whole};

/// A file of entries.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    path: PathBuf,
}

#[derive(Default, Serialize, Deserialize)]
struct File {
    entries: Vec<Entry>,
    /// Of a device that holds the allow list too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    allow: Vec<IpNet>,
}

impl Memory {
    pub(crate) fn new(path: &Path) -> Self {
        Memory { path: path.to_owned() }
    }

    /// What it holds; nothing where there is no file yet.
    pub(crate) fn read(&self) -> Result<Vec<Entry>, ConnectorError> {
        self.read_all().map(|(entries, _)| entries)
    }

    /// The same, with the allow list that the device was told.
    pub(crate) fn read_all(&self) -> Result<(Vec<Entry>, Vec<IpNet>), ConnectorError> {
        let at = |e: &dyn std::fmt::Display| format!("{}: {e}", self.path.display());
        match std::fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice::<File>(&bytes)
                .map(|f| (f.entries, f.allow))
                .map_err(|e| ConnectorError::Missing(at(&e))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Default::default()),
            Err(e) => Err(ConnectorError::Unreachable(at(&e))),
        }
    }

    /// Keeps these and no others.
    pub(crate) fn write(&self, entries: &[Entry]) -> Result<(), ConnectorError> {
        self.write_all(entries, &[])
    }

    /// Keeps these, and this allow list.
    pub(crate) fn write_all(&self, entries: &[Entry], allow: &[IpNet]) -> Result<(), ConnectorError> {
        let at =
            |e: &dyn std::fmt::Display| ConnectorError::Unreachable(format!("{}: {e}", self.path.display()));
        let bytes = serde_json::to_vec(&File { entries: entries.to_vec(), allow: allow.to_vec() })
            .map_err(|e| at(&e))?;
        // What lets go is no longer than what it takes the place of, and has to be kept on a full disk too.
        let over = |e: std::io::Error| match std::str::from_utf8(&bytes) {
            Ok(text) if is_full(&e) => write_over(&self.path, text).map_err(|_| e),
            _ => Err(e),
        };
        write_whole(&self.path, &bytes).or_else(over).map_err(|e| at(&e))
    }

    /// Keeps these besides what it holds: before a device is told of them, so that none is taken for somebody else's
    /// after a crash.
    pub(crate) fn intend(&self, entries: &[Entry]) -> Result<(), ConnectorError> {
        let mut all: BTreeMap<Key, Entry> = self.read()?.into_iter().map(|e| (e.key.clone(), e)).collect();
        all.extend(entries.iter().map(|e| (e.key.clone(), e.clone())));
        self.write(&all.into_values().collect::<Vec<_>>())
    }

    /// Which of a device's keys are ours, and how many are not.
    pub(crate) fn observed(&self, there: &BTreeSet<Key>) -> Result<Observed, ConnectorError> {
        let mut entries = self.read()?;
        entries.retain(|e| there.contains(&e.key));
        let foreign = there.len().saturating_sub(entries.len());
        Ok(Observed { entries, foreign, ..Observed::default() })
    }
}
