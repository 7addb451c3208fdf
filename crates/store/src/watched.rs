//! Runs that go on while the store is read and changed: whom they have to forget too.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::params;
use sidetap_model::{SubjectKind, Ts};

use crate::error::StoreError;
use crate::open::Store;

/// Nanoseconds after its last word at which a run is taken for ended where nothing else tells: one that waits for the store says nothing for
/// a while.
const SILENT: i64 = 120_000_000_000;
/// Nanoseconds after its last word within which a run that was killed may have written.
const BEAT: i64 = 5_000_000_000;
/// How long verdicts are remembered as forgotten, for devices that cannot be told.
const MARKED: i64 = 30 * 86_400_000_000_000;

/// Somebody whom a run that goes on has to forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToForget {
    /// Its number.
    pub seq: i64,
    /// When that was asked for, by the wall clock.
    pub at: Ts,
    /// The run that has to.
    pub run: String,
    /// What the name is of.
    pub kind: SubjectKind,
    /// The name as outputs spell it.
    pub value: String,
    /// When whoever acts on devices forgot them, where that is done.
    pub acted: Option<Ts>,
}

impl Store {
    /// Says that a run goes on, every few seconds. As long as this handle is open it does, however long it says nothing: it may stand
    /// still and wake up again with all that it knew.
    pub fn goes_on(&mut self, run: &str, now: Ts) -> Result<(), StoreError> {
        if self.watching.as_ref().is_none_or(|(known, _)| known != run) {
            // Where there is no such file its last word counts.
            self.watching = hold(&self.mark_of(run)).ok().map(|file| (run.to_owned(), file));
        }
        let change = self.begin_vital()?;
        change.execute("INSERT OR REPLACE INTO watchers (run, at) VALUES (?1, ?2)", params![run, now.0])?;
        change.execute("DELETE FROM forgotten WHERE at < ?1", [now.0.saturating_sub(MARKED)])?;
        change.commit()?;
        self.clear_orders(now)?;
        self.end_silent(now)
    }

    /// What says that the run of this handle lives: as long as it is kept the run does.
    pub fn sign_of_life(&self) -> Option<File> {
        self.watching.as_ref().and_then(|(_, file)| file.try_clone().ok())
    }

    /// Says that a run is over since `end`; whom it had still to forget is forgotten in what it wrote until then.
    pub fn is_over(&mut self, run: &str, end: Ts) -> Result<(), StoreError> {
        let mut left = self.to_forget(run, 0)?;
        for who in &mut left {
            who.acted = who.acted.or(Some(end));
        }
        self.forget_left(&left)?;
        let change = self.begin_vital()?;
        change.execute("DELETE FROM watchers WHERE run = ?1", [run])?;
        change.commit()?;
        let _ = std::fs::remove_file(self.mark_of(run));
        Ok(())
    }

    /// The same of runs that were killed.
    pub fn end_silent(&mut self, now: Ts) -> Result<(), StoreError> {
        let mut over = self.known_watchers()?;
        over.retain(|(run, last)| !self.lives(run, *last, now));
        {
            let sql =
                "SELECT run, max(at) FROM forgets WHERE run NOT IN (SELECT run FROM watchers) GROUP BY run";
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
            for row in rows {
                over.push(row?);
            }
        }
        over.iter().try_for_each(|(run, last)| self.is_over(run, Ts(last.saturating_add(BEAT))))
    }

    /// Whether a run that writes into this store goes on.
    pub fn is_watched(&self, now: Ts) -> Result<bool, StoreError> {
        Ok(!self.watchers(now)?.is_empty())
    }

    /// Whom this run has to forget that was asked for after this number.
    pub fn to_forget(&self, run: &str, after: i64) -> Result<Vec<ToForget>, StoreError> {
        let sql = "SELECT seq, at, kind, value, acted FROM forgets WHERE run = ?1 AND seq > ?2 ORDER BY seq LIMIT 1000";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![run, after])?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            let name: String = row.get(2)?;
            let Some(kind) = SubjectKind::ALL.into_iter().find(|k| k.name() == name) else { continue };
            out.push(ToForget {
                seq: row.get(0)?,
                at: Ts(row.get(1)?),
                run: run.to_owned(),
                kind,
                value: row.get(3)?,
                acted: Some(row.get(4)?).filter(|at| *at > 0).map(Ts),
            });
        }
        Ok(out)
    }

    /// Verdicts that were forgotten and not said anew since.
    pub fn forgotten_verdicts(&self) -> Result<BTreeSet<String>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT verdict FROM forgotten")?;
        let rows = statement.query_map([], |r| r.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(crate) fn watchers(&self, now: Ts) -> Result<Vec<String>, StoreError> {
        let mut known = self.known_watchers()?;
        known.retain(|(run, last)| self.lives(run, *last, now));
        Ok(known.into_iter().map(|(run, _)| run).collect())
    }

    /// Runs that said they go on, and when last.
    fn known_watchers(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT run, at FROM watchers ORDER BY run")?;
        let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whether a run lives: somebody holds its file. Where that cannot be told it does until nobody has heard of it for a while.
    fn lives(&self, run: &str, last: i64, now: Ts) -> bool {
        if self.watching.as_ref().is_some_and(|(own, _)| own == run) {
            return true;
        }
        let held = File::open(self.mark_of(run)).ok().and_then(|file| match file.try_lock_shared() {
            Ok(()) => Some(false),
            Err(TryLockError::WouldBlock) => Some(true),
            Err(TryLockError::Error(_)) => None,
        });
        held.unwrap_or_else(|| last >= now.0.saturating_sub(SILENT))
    }

    /// The file that a run holds as long as its process lives.
    fn mark_of(&self, run: &str) -> PathBuf {
        let mut name = self.path().as_os_str().to_owned();
        name.push(format!("-watch-{run}"));
        PathBuf::from(name)
    }
}

/// Makes a run's file and holds it: the system lets it go with the process, however that ends.
fn hold(path: &Path) -> std::io::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    file.lock()?;
    Ok(file)
}
