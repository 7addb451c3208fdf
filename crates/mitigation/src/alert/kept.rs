//! Whom people were told of, kept beside the ledger: a watch that begins again tells nobody twice.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::TICK;
use super::gather::{Gather, Kept};
use super::outbox::Outbox;
use crate::ledger::{beside, write_whole};

/// Most bytes of it that are read.
const MOST: u64 = 4 << 20;

/// The file, where there is one.
pub(super) struct KeptFile {
    path: Option<PathBuf>,
    written: Instant,
    /// What waited when it was written last.
    waited: BTreeSet<(String, i64)>,
}

impl KeptFile {
    /// Beside this ledger.
    pub(super) fn beside(ledger: Option<&Path>) -> Self {
        KeptFile {
            path: ledger.map(|l| beside(l, ".alerts")),
            written: Instant::now(),
            waited: BTreeSet::new(),
        }
    }

    /// What another left; nothing where it cannot be read, which is said.
    pub(super) fn read(&mut self) -> Kept {
        let Some(path) = &self.path else { return Kept::default() };
        let read = || match std::fs::metadata(path) {
            Ok(about) if about.len() > MOST => Err(std::io::Error::other("it is too long")),
            Ok(_) => serde_json::from_slice(&std::fs::read(path)?).map_err(std::io::Error::other),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Kept::default()),
            Err(e) => Err(e),
        };
        read().unwrap_or_else(|e| {
            tracing::warn!(file = %path.display(), error = %e, "whom people were told of before is not known");
            Kept::default()
        })
    }

    /// Writes what changed: at once, or with the next tick. Whom nobody was told of yet is told again.
    pub(super) fn write(&mut self, gather: &mut Gather, outboxes: &[Outbox], at_once: bool) {
        let Some(path) = self.path.as_ref().filter(|_| at_once || self.written.elapsed() >= TICK) else {
            return;
        };
        let mut waiting: Option<BTreeSet<(&str, i64)>> = None;
        for outbox in outboxes {
            let these: BTreeSet<(&str, i64)> = outbox.waiting().collect();
            waiting = Some(waiting.map_or_else(|| these.clone(), |all| &all & &these));
        }
        let waiting = waiting.unwrap_or_default();
        // What was told meanwhile is owed to nobody any more.
        let waits: BTreeSet<(String, i64)> =
            waiting.iter().map(|(group, at)| ((*group).to_owned(), *at)).collect();
        let Some(kept) = gather.keep(&waiting, waits != self.waited) else { return };
        self.waited = waits;
        let written = serde_json::to_vec(&kept).map_err(std::io::Error::other);
        if let Err(e) = written.and_then(|bytes| write_whole(path, &bytes)) {
            tracing::warn!(file = %path.display(), error = %e, "whom people were told of is not kept");
        }
        self.written = Instant::now();
    }
}
