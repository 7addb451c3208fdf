//! What a device was told, for devices that cannot say so themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::connector::{ConnectorError, Observed};
use crate::entry::Entry;
use crate::key::Key;
use crate::ledger::{beside, is_full, write_over, write_whole};

/// A file of entries.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    path: PathBuf,
}

/// What it holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct File {
    pub(crate) entries: Vec<Entry>,
    /// Of a device that holds the allow list too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) allow: Vec<IpNet>,
    /// The version that a list has by its last change, where a change has to be put in force by another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<u64>,
    /// Where what it announced leads to, where that is a part of each announcement.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) destinations: BTreeSet<IpNet>,
    /// Since when each of what it announced is there; nothing where that was not remembered yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) announced: Option<Vec<Announcement>>,
    /// Why the file cannot be read, where this is of its copy or what could be saved of it: it is written anew with the next change.
    #[serde(skip)]
    pub(crate) broken: Option<String>,
}

impl File {
    /// How many announcements a change that did not come to its end had begun.
    pub(crate) fn begun(&self) -> usize {
        self.announced.iter().flatten().filter(|a| a.begun_at.is_some()).count()
    }
}

/// One announcement of a device of which there is but one from here: one of another time is somebody else's, who took its place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Announcement {
    pub(crate) source: IpNet,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) destination: Option<IpNet>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<i64>,
    /// The bytes a second that it let through then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<u64>,
    /// When it was about to be made anew: what is there as it was meant is ours then, whatever its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) begun_at: Option<i64>,
}

impl Memory {
    pub(crate) fn new(path: &Path) -> Self {
        Memory { path: path.to_owned() }
    }

    /// What it holds; nothing where there is no file yet.
    pub(crate) fn read(&self) -> Result<Vec<Entry>, ConnectorError> {
        self.read_all().map(|(entries, _)| entries)
    }

    /// What a device that cannot say so was told. Where the memory is broken that is nothing, and has to be made anew: who is told all of a
    /// list then lets go of the rest.
    pub(crate) fn told(&self) -> Result<Observed, ConnectorError> {
        match self.load() {
            Ok(file) => {
                let drift = file.broken.into_iter().collect();
                Ok(Observed { entries: file.entries, drift, ..Observed::default() })
            }
            Err(ConnectorError::Missing(why)) => Ok(Observed { drift: vec![why], ..Observed::default() }),
            Err(e) => Err(e),
        }
    }

    /// The same, with the allow list that the device was told. Of a file that broke in the middle what is whole counts.
    pub(crate) fn read_all(&self) -> Result<(Vec<Entry>, Vec<IpNet>), ConnectorError> {
        self.load().map(|file| (file.entries, file.allow))
    }

    /// What it holds, and the version of the list that it was told with.
    pub(crate) fn read_version(&self) -> Result<(Vec<Entry>, Option<u64>), ConnectorError> {
        self.load().map(|file| (file.entries, file.version))
    }

    /// All of it.
    pub(crate) fn load(&self) -> Result<File, ConnectorError> {
        let at = |e: &dyn std::fmt::Display| format!("{}: {e}", self.path.display());
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(File::default()),
            Err(e) => return Err(ConnectorError::Unreachable(at(&e))),
        };
        let why = match serde_json::from_slice::<File>(&bytes) {
            Ok(file) => return Ok(file),
            Err(e) => at(&e),
        };
        let copy =
            std::fs::read(self.copy()).ok().and_then(|bytes| serde_json::from_slice::<File>(&bytes).ok());
        let rest = copy.unwrap_or_else(|| File {
            entries: salvaged(&String::from_utf8_lossy(&bytes)),
            ..File::default()
        });
        if rest.entries.is_empty() && rest.allow.is_empty() {
            return Err(ConnectorError::Missing(format!(
                "{why}: this file tells which entries of the device are Sidetap's, and nothing is changed or let go without it: put a copy of it back, or move it away and take off by hand what is Sidetap's on the device"
            )));
        }
        Ok(File { broken: Some(why), ..rest })
    }

    /// What is read where the file itself is broken.
    fn copy(&self) -> PathBuf {
        beside(&self.path, ".copy")
    }

    /// Keeps these and no others.
    pub(crate) fn write(&self, entries: &[Entry]) -> Result<(), ConnectorError> {
        self.write_all(entries, &[])
    }

    /// Keeps these, and this allow list.
    pub(crate) fn write_all(&self, entries: &[Entry], allow: &[IpNet]) -> Result<(), ConnectorError> {
        self.save(&File { entries: entries.to_vec(), allow: allow.to_vec(), ..File::default() })
    }

    /// Keeps these, and the version of the list that has them.
    pub(crate) fn write_version(&self, entries: &[Entry], version: u64) -> Result<(), ConnectorError> {
        self.save(&File { entries: entries.to_vec(), version: Some(version), ..File::default() })
    }

    /// Keeps this.
    pub(crate) fn save(&self, file: &File) -> Result<(), ConnectorError> {
        let at =
            |e: &dyn std::fmt::Display| ConnectorError::Unreachable(format!("{}: {e}", self.path.display()));
        let bytes = serde_json::to_vec(file).map_err(|e| at(&e))?;
        // What lets go is no longer than what it takes the place of, and has to be kept on a full disk too.
        let over = |e: std::io::Error| match std::str::from_utf8(&bytes) {
            Ok(text) if is_full(&e) => write_over(&self.path, text).map_err(|_| e),
            _ => Err(e),
        };
        write_whole(&self.path, &bytes).or_else(over).map_err(|e| at(&e))?;
        // For a day on which the file is broken: it is no reason to leave a device alone that there is none.
        let _ = write_whole(&self.copy(), &bytes);
        Ok(())
    }

    /// Keeps these besides what it holds: before a device is told of them, so that none is taken for somebody else's
    /// after a crash.
    pub(crate) fn intend(&self, entries: &[Entry]) -> Result<(), ConnectorError> {
        let file = self.load()?;
        let mut all: BTreeMap<Key, Entry> = file.entries.iter().map(|e| (e.key.clone(), e.clone())).collect();
        all.extend(entries.iter().map(|e| (e.key.clone(), e.clone())));
        self.save(&File { entries: all.into_values().collect(), allow: Vec::new(), ..file })
    }

    /// Keeps what it held and these, but for those that are somebody else's by now.
    pub(crate) fn intend_but(
        &self,
        held: &[Entry],
        entries: &[Entry],
        theirs: &BTreeSet<Key>,
    ) -> Result<(), ConnectorError> {
        let ours = entries.iter().filter(|e| !theirs.contains(&e.key));
        let all: BTreeMap<&Key, &Entry> = held.iter().chain(ours).map(|e| (&e.key, e)).collect();
        self.write(&all.into_values().cloned().collect::<Vec<_>>())
    }

    /// The same of a list that has each key but once, with the keys of others.
    pub(crate) fn observed_once(&self, there: &BTreeSet<Key>) -> Result<Observed, ConnectorError> {
        let mut observed = self.observed(there)?;
        let ours: BTreeSet<&Key> = observed.entries.iter().map(|e| &e.key).collect();
        observed.by_others = there.iter().filter(|k| !ours.contains(k)).cloned().collect();
        Ok(observed)
    }

    /// Which of a device's keys are ours, and how many are not.
    pub(crate) fn observed(&self, there: &BTreeSet<Key>) -> Result<Observed, ConnectorError> {
        let File { mut entries, broken, .. } = self.load()?;
        entries.retain(|e| there.contains(&e.key));
        let foreign = there.len().saturating_sub(entries.len());
        Ok(Observed { entries, foreign, drift: broken.into_iter().collect(), ..Observed::default() })
    }
}

/// The entries of a broken file that are whole, of each key the first.
fn salvaged(text: &str) -> Vec<Entry> {
    let mut all = BTreeMap::new();
    for (at, _) in text.match_indices("{\"key\":") {
        let rest = text.get(at..).unwrap_or_default();
        if let Some(Ok(entry)) = serde_json::Deserializer::from_str(rest).into_iter::<Entry>().next() {
            all.entry(entry.key.clone()).or_insert(entry);
        }
    }
    all.into_values().collect()
}

#[cfg(test)]
mod tests {
    use sidetap_policy::Response;

    use super::*;

    #[test]
    fn of_a_file_that_broke_off_what_is_whole_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory.json");
        let memory = Memory::new(&path);
        let entry = |n: u8| Entry {
            key: format!("203.0.113.{n}").parse().unwrap(),
            response: Response::Block,
            expires_at: 1_790_000_000,
            verdict: format!("v{n}"),
            priority: (0, 0),
            way: None,
        };
        let all: Vec<Entry> = (1..5).map(entry).collect();
        memory.write(&all).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() * 2 / 3]).unwrap();
        std::fs::remove_file(path.with_extension("json.copy")).unwrap();
        assert_eq!(memory.read().unwrap(), all[..2]);
        for broken in ["", "{\"half"] {
            std::fs::write(&path, broken).unwrap();
            std::fs::write(path.with_extension("json.copy"), broken).unwrap();
            let said = memory.read().unwrap_err().to_string();
            assert!(said.contains("memory.json") && said.contains("move it away"), "{said}");
            let told = memory.told().unwrap();
            assert!(told.entries.is_empty() && told.drift.len() == 1, "{told:?}");
        }
    }

    #[test]
    fn of_a_broken_file_the_copy_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory.json");
        let memory = Memory::new(&path);
        let entry = Entry {
            key: "203.0.113.9".parse().unwrap(),
            response: Response::Block,
            expires_at: 1_790_000_000,
            verdict: "v".into(),
            priority: (0, 0),
            way: None,
        };
        memory.write(std::slice::from_ref(&entry)).unwrap();
        std::fs::write(&path, "\0\0\0").unwrap();
        let there = std::iter::once(entry.key.clone()).collect();
        let observed = memory.observed(&there).unwrap();
        assert_eq!((observed.entries.len(), observed.foreign), (1, 0));
        assert!(observed.drift.len() == 1 && observed.drift[0].contains("memory.json"), "{observed:?}");
        memory.intend(&[]).unwrap();
        assert!(memory.observed(&there).unwrap().drift.is_empty(), "it is mended with the next change");
        std::fs::remove_file(&path).unwrap();
        assert!(memory.read().unwrap().is_empty(), "who moves it away means it");
    }
}
