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

/// What there was no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Groups that were forgotten: those that go on are told anew.
    pub groups: u64,
    /// Those of them that waited for the digest, or were owed an alert: nobody was told of them.
    pub untold: u64,
    /// Verdicts of single clients who are not remembered: each is an alert of its own.
    pub verdicts: u64,
}

impl Forgotten {
    /// In a line, where there was no room for something.
    pub(super) fn said(&self) -> Option<String> {
        let Forgotten { groups, untold, verdicts } = self;
        (*self != Forgotten::default()).then(|| {
            format!("alerts: {groups} groups were forgotten for want of room ({untold} of them before anybody was told), and {verdicts} verdicts of clients who had none were taken for somebody new: who went on was told again")
        })
    }
}

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
        let kept = read().unwrap_or_else(|e| {
            tracing::warn!(file = %path.display(), error = %e, "whom people were told of before is not known");
            Kept::default()
        });
        if kept.left_out() > 0 {
            let n = kept.left_out();
            tracing::warn!(file = %path.display(), groups_and_clients = n, "there was no room to keep whom people were told of: who goes on is told anew");
        }
        kept
    }

    /// Writes what changed: at once, or with the next tick. Whom nobody was told of yet is told again.
    pub(super) fn write(&mut self, gather: &mut Gather, outboxes: &[Outbox], now: i64, at_once: bool) {
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
        let Some(kept) = gather.keep(&waiting, now, waits != self.waited) else { return };
        self.waited = waits;
        let written = serde_json::to_vec(&kept).map_err(std::io::Error::other);
        if let Err(e) = written.and_then(|bytes| write_whole(path, &bytes)) {
            tracing::warn!(file = %path.display(), error = %e, "whom people were told of is not kept");
        }
        self.written = Instant::now();
    }
}
