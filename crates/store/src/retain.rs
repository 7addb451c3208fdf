use std::collections::BTreeMap;
use std::time::Instant;

use rusqlite::{Connection, params};
use serde::Serialize;
use sidetap_model::Ts;
use sidetap_model::rows::{CampaignRow, EndpointRow, FindingRow, SensitiveRow, VerdictRow, short_id};

use crate::error::StoreError;
use crate::evidence::count;
use crate::now::{self, Kept};
use crate::open::Store;
use crate::schema::Table;

/// What is kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Inventory, findings, campaigns, verdicts and traffic: seconds since their run was saved last, and what in it they were
    /// older than its last packet. So a capture of years ago is kept as long as one of today.
    pub age_s: u64,
    /// Requests in cells: seconds, likewise.
    pub cells_age_s: u64,
    /// Actions and audit: seconds since they were written.
    pub journal_age_s: u64,
    /// Most rows of one table.
    pub rows: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Retention {
            age_s: 90 * 86_400,
            cells_age_s: 7 * 86_400,
            journal_age_s: 400 * 86_400,
            rows: 1_000_000,
        }
    }
}

/// Rows that were removed, by table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Removed(pub BTreeMap<String, u64>);

impl Store {
    /// Removes what is older than the retention allows and the oldest of what is too much; counts both.
    pub fn retain(&mut self, now: Ts, retention: &Retention) -> Result<Removed, StoreError> {
        let mut all = Removed::default();
        loop {
            let begun = Instant::now();
            let removed = self.retain_some(now, retention)?;
            self.settle()?;
            let more = removed.0.values().any(|n| *n >= STEP.unsigned_abs());
            for (table, n) in removed.0 {
                *all.0.entry(table).or_default() += n;
            }
            if !more {
                return Ok(all);
            }
            self.let_others(begun.elapsed());
        }
    }

    /// The same for so many rows of each table.
    fn retain_some(&mut self, now: Ts, retention: &Retention) -> Result<Removed, StoreError> {
        let nanos = |s: u64| i64::try_from(s).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
        let journal = now.0.saturating_sub(nanos(retention.journal_age_s));
        let transaction = self.begin_vital()?;
        let mut removed = Removed::default();
        let age = nanos(retention.age_s);
        let trim = (now, age, retention.rows);
        trim_rows::<EndpointRow>(&transaction, &mut removed, trim)?;
        trim_rows::<SensitiveRow>(&transaction, &mut removed, trim)?;
        trim_rows::<FindingRow>(&transaction, &mut removed, trim)?;
        trim_rows::<CampaignRow>(&transaction, &mut removed, trim)?;
        trim_rows::<VerdictRow>(&transaction, &mut removed, trim)?;
        let traffic = remove_old(&transaction, ("traffic", "run, ts"), "ts", now, age)?;
        note(&transaction, &mut removed, "traffic", traffic)?;
        let calls = remove_old(&transaction, ("calls", "endpoint, ts, run"), "ts", now, age)?;
        let orphans = transaction.execute(CALLS_OF_NONE, [STEP - calls as i64])?;
        note(&transaction, &mut removed, "calls", calls + orphans)?;
        // Their hour is over before its last request is too old.
        let cells_age = nanos(retention.cells_age_s.saturating_add(3_600));
        let cells = remove_old(&transaction, ("cells", "run, hour, cell"), "hour", now, cells_age)?;
        let orphans = transaction.execute(CELLS_OF_NONE, [STEP])?;
        note(&transaction, &mut removed, "cells", cells + orphans)?;
        let approvals = transaction.execute(OLD_APPROVALS, params![journal, STEP])?;
        note(&transaction, &mut removed, "approvals", approvals)?;
        let actions = transaction.execute(OLD_ACTIONS, params![journal, STEP])?;
        note(&transaction, &mut removed, "actions", actions)?;
        let audit = prune_audit(&transaction, journal, now)?;
        note(&transaction, &mut removed, "audit", audit)?;
        let runs = transaction.execute(EMPTY_RUNS, [now.0.saturating_sub(age)])?;
        note(&transaction, &mut removed, "runs", runs)?;
        transaction.commit()?;
        Ok(removed)
    }
}

/// Rows of one table that go in one step.
const STEP: i64 = 2_000;

const OLD_APPROVALS: &str =
    "DELETE FROM approvals WHERE id IN (SELECT id FROM approvals WHERE expires_at < ?1 LIMIT ?2)";

const OLD_ACTIONS: &str =
    "DELETE FROM actions WHERE seq IN (SELECT seq FROM actions WHERE at < ?1 ORDER BY at LIMIT ?2)";

const EMPTY_RUNS: &str = "DELETE FROM runs WHERE saved_at < ?1
    AND NOT EXISTS (SELECT 1 FROM endpoints t WHERE t.run = runs.id) AND NOT EXISTS (SELECT 1 FROM sensitive t WHERE t.run = runs.id)
    AND NOT EXISTS (SELECT 1 FROM findings t WHERE t.run = runs.id) AND NOT EXISTS (SELECT 1 FROM campaigns t WHERE t.run = runs.id)
    AND NOT EXISTS (SELECT 1 FROM verdicts t WHERE t.run = runs.id) AND NOT EXISTS (SELECT 1 FROM traffic t WHERE t.run = runs.id)
    AND NOT EXISTS (SELECT 1 FROM calls t WHERE t.run = runs.id)";

/// Runs are gone through from one to the next, not cell by cell.
const CELLS_OF_NONE: &str = "WITH RECURSIVE of(run) AS (
        SELECT min(run) FROM cells UNION ALL SELECT (SELECT min(c.run) FROM cells c WHERE c.run > of.run) FROM of WHERE of.run IS NOT NULL
    ) DELETE FROM cells WHERE (run, hour, cell) IN (
        SELECT run, hour, cell FROM cells WHERE run IN (SELECT run FROM of WHERE run NOT IN (SELECT id FROM runs)) LIMIT ?1)";

const CALLS_OF_NONE: &str = "WITH RECURSIVE of(run) AS (
        SELECT min(run) FROM calls UNION ALL SELECT (SELECT min(c.run) FROM calls c WHERE c.run > of.run) FROM of WHERE of.run IS NOT NULL
    ) DELETE FROM calls WHERE (endpoint, ts, run) IN (
        SELECT endpoint, ts, run FROM calls WHERE run IN (SELECT run FROM of WHERE run NOT IN (SELECT id FROM runs)) LIMIT ?1)";

/// Removes rows of which the time since their run was saved and the time from them to its last packet are together too long: of each
/// run the oldest, so that what stays is not looked at.
fn remove_old(
    transaction: &Connection,
    (table, key): (&str, &str),
    time: &str,
    now: Ts,
    age: i64,
) -> Result<usize, StoreError> {
    let mut delete = transaction.prepare_cached(&format!(
        "DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE run = ?1 AND {time} < ?2 LIMIT ?3)"
    ))?;
    let mut gone = 0;
    for (run, before) in bounds(transaction, now, age)? {
        gone += delete.execute(params![run, before, STEP - gone as i64])?;
    }
    Ok(gone)
}

/// For each run, before which time its rows are too old.
fn bounds(transaction: &Connection, now: Ts, age: i64) -> Result<Vec<(String, i64)>, StoreError> {
    let sql = "SELECT id, coalesce(last_ts, saved_at) - ?1 + (?2 - saved_at) FROM runs";
    let mut statement = transaction.prepare_cached(sql)?;
    let rows = statement.query_map(params![age, now.0], |r| Ok((r.get(0)?, r.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn trim_rows<T: Kept>(
    transaction: &Connection,
    removed: &mut Removed,
    (now, age, rows): (Ts, i64, u64),
) -> Result<(), StoreError> {
    let table = T::TABLE.name();
    let old = format!(
        "DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE run = ?1 AND last_seen < ?2 LIMIT ?3) RETURNING id"
    );
    let mut gone = Vec::new();
    for (run, before) in bounds(transaction, now, age)? {
        let left = STEP - gone.len() as i64;
        gone.extend(ids_of(transaction, &old, params![run, before, left])?);
    }
    let have: i64 =
        transaction.prepare_cached(&format!("SELECT count(*) FROM {table}"))?.query_row([], |r| r.get(0))?;
    let over = have.saturating_sub(crate::save::count(rows)).min(STEP - gone.len() as i64);
    if over > 0 {
        let many = format!(
            "DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} ORDER BY last_seen, id DESC, run DESC LIMIT ?1) RETURNING id"
        );
        gone.extend(ids_of(transaction, &many, params![over])?);
    }
    note(transaction, removed, table, gone.len())?;
    gone.sort_unstable();
    gone.dedup();
    if T::TABLE == Table::Campaigns {
        crate::save::remove_members(transaction, &gone)?;
    }
    now::refresh::<T>(transaction, &gone)?;
    if matches!(T::TABLE, Table::Campaigns | Table::Findings | Table::Sensitive) {
        forget_samples::<T>(transaction, &gone)?;
    }
    Ok(())
}

/// Samples are of what is known.
fn forget_samples<T: Kept>(transaction: &Connection, gone: &[String]) -> Result<(), StoreError> {
    let (table, kind) = (T::TABLE.name(), T::TABLE.thing());
    let is_known = format!("SELECT 1 FROM now_{table} WHERE id = ?1");
    let mut is_known = transaction.prepare_cached(&is_known)?;
    for id in gone {
        if !is_known.exists([id])? {
            let id = if T::TABLE == Table::Sensitive { short_id(id) } else { id.clone() };
            let thing = format!("{kind}:{id}");
            transaction.prepare_cached("DELETE FROM sampled WHERE thing = ?1")?.execute([&thing])?;
            transaction.prepare_cached("DELETE FROM samples WHERE thing = ?1")?.execute([&thing])?;
        }
    }
    Ok(())
}

fn ids_of(
    transaction: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<String>, StoreError> {
    let mut statement = transaction.prepare_cached(sql)?;
    let ids = statement.query_map(values, |r| r.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// Removes rows of the audit by age, and says so in a row of it.
fn prune_audit(transaction: &Connection, before: i64, now: Ts) -> Result<usize, StoreError> {
    let old = "seq IN (SELECT seq FROM audit WHERE at < ?1 ORDER BY at LIMIT ?2)";
    let removed = prune_where(transaction, old, params![before, STEP])?;
    if removed > 0 {
        let detail = serde_json::json!({ "removed": removed, "before": Ts(before).to_string() }).to_string();
        transaction.execute(
            "INSERT INTO audit (at, actor, action, detail) VALUES (?1, 'retention', 'audit.prune', ?2)",
            params![now.0, detail],
        )?;
    }
    Ok(removed)
}

/// The audit is append-only: its guard is lifted within this transaction only, and the caller leaves a row.
pub(crate) fn prune_where(
    transaction: &Connection,
    condition: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Result<usize, StoreError> {
    if !transaction.prepare(&format!("SELECT 1 FROM audit WHERE {condition} LIMIT 1"))?.exists(values)? {
        return Ok(0);
    }
    transaction.execute_batch("DROP TRIGGER audit_is_not_removed")?;
    let removed = transaction.execute(&format!("DELETE FROM audit WHERE {condition}"), values)?;
    transaction.execute_batch(
        "CREATE TRIGGER audit_is_not_removed BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END",
    )?;
    Ok(removed)
}

fn note(transaction: &Connection, removed: &mut Removed, table: &str, n: usize) -> Result<(), StoreError> {
    if n > 0 {
        removed.0.insert(table.to_owned(), n as u64);
        count(transaction, &format!("retained.{table}"), n as u64)?;
    }
    Ok(())
}
