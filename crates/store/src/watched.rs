//! Runs that go on while the store is read and changed: whom they have to forget too.

use std::collections::BTreeSet;

use rusqlite::params;
use sidetap_model::{SubjectKind, Ts};

use crate::error::StoreError;
use crate::open::Store;

/// Nanoseconds after its last word at which a run is taken for ended: one that waits for the store says nothing for a while.
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
    /// Says that a run goes on, every few seconds.
    pub fn goes_on(&mut self, run: &str, now: Ts) -> Result<(), StoreError> {
        let change = self.begin_vital()?;
        change.execute("INSERT OR REPLACE INTO watchers (run, at) VALUES (?1, ?2)", params![run, now.0])?;
        change.execute("DELETE FROM forgotten WHERE at < ?1", [now.0.saturating_sub(MARKED)])?;
        change.commit()?;
        self.end_silent(now)
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
        change.commit()
    }

    /// The same of runs that were killed: nobody has heard of them for a while.
    pub fn end_silent(&mut self, now: Ts) -> Result<(), StoreError> {
        let silent: Vec<(String, i64)> = {
            let sql = "SELECT run, at FROM watchers WHERE at < ?1
                UNION SELECT run, max(at) FROM forgets WHERE run NOT IN (SELECT run FROM watchers) GROUP BY run";
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map([now.0.saturating_sub(SILENT)], |r| Ok((r.get(0)?, r.get(1)?)))?;
            rows.collect::<Result<_, _>>()?
        };
        silent.iter().try_for_each(|(run, last)| self.is_over(run, Ts(last.saturating_add(BEAT))))
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
        let mut statement = self.connection.prepare_cached("SELECT run FROM watchers WHERE at >= ?1")?;
        let rows = statement.query_map([now.0.saturating_sub(SILENT)], |r| r.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
