use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rusqlite::{Row, params};
use sidetap_model::Ts;
use sidetap_model::rows::{EndpointRow, VerdictRow};

use crate::error::StoreError;
use crate::load::parse;
use crate::open::Store;
use crate::schema::Table;

/// Requests of one hour that are alike: what guards measure good traffic by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellRow {
    /// The hour, in packet time.
    pub hour: Ts,
    /// What they have in common, as its writer spells it.
    pub cell: String,
    /// How many there were.
    pub requests: u64,
    /// The first one.
    pub first: Ts,
    /// The last one.
    pub last: Ts,
}

/// Most cells of an hour of a run.
const CELLS: usize = 50_000;

impl Store {
    /// Adds requests to the cells of a run. What has no room in its hour is left out; gives how many requests that were.
    pub fn add_cells(&mut self, run: &str, cells: &[CellRow]) -> Result<u64, StoreError> {
        let transaction = self.begin()?;
        let mut left_out = 0;
        let mut room: BTreeMap<i64, i64> = BTreeMap::new();
        for c in cells {
            let count = |hour| {
                transaction
                    .prepare_cached("SELECT count(*) FROM cells WHERE run = ?1 AND hour = ?2")?
                    .query_row(params![run, hour], |r| r.get::<_, i64>(0))
            };
            if let Entry::Vacant(hour) = room.entry(c.hour.0) {
                hour.insert(CELLS as i64 - count(c.hour.0)?);
            }
            let requests = crate::save::count(c.requests);
            let updated = transaction
                .prepare_cached(
                    "UPDATE cells SET requests = requests + ?4, first = min(first, ?5), last = max(last, ?6)
                     WHERE run = ?1 AND hour = ?2 AND cell = ?3",
                )?
                .execute(params![run, c.hour.0, c.cell, requests, c.first.0, c.last.0])?;
            let Some(left) = room.get_mut(&c.hour.0).filter(|_| updated == 0) else { continue };
            if *left <= 0 {
                left_out += c.requests;
                continue;
            }
            *left -= 1;
            transaction
                .prepare_cached(
                    "INSERT INTO cells (run, hour, cell, requests, first, last) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![run, c.hour.0, c.cell, requests, c.first.0, c.last.0])?;
        }
        transaction.commit()?;
        Ok(left_out)
    }

    /// Removes the cells of a run, so that the same capture replayed again does not count twice.
    pub fn clear_cells(&mut self, run: &str) -> Result<(), StoreError> {
        self.connection.execute("DELETE FROM cells WHERE run = ?1", [run])?;
        Ok(())
    }

    /// The cells of the last `span_s` seconds of packet time that are stored, with their runs: the run that was seen last first, and
    /// of each run its last hour first.
    pub fn each_cell<E: From<StoreError>>(
        &self,
        span_s: u64,
        mut take: impl FnMut(&str, CellRow) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some((since, runs)) = self.cell_runs(span_s)? else { return Ok(()) };
        let sql = "SELECT hour, cell, requests, first, last FROM cells WHERE run = ?1 AND last >= ?2 ORDER BY hour DESC, cell DESC";
        let mut statement = self.connection.prepare_cached(sql).map_err(StoreError::from)?;
        for run in runs {
            let mut rows = statement.query(params![run, since]).map_err(StoreError::from)?;
            while let Some(row) = rows.next().map_err(StoreError::from)? {
                take(&run, cell_of(row).map_err(StoreError::from)?)?;
            }
        }
        Ok(())
    }

    /// The cells of a run with requests between two moments.
    pub fn each_cell_between<E: From<StoreError>>(
        &self,
        run: &str,
        first: Ts,
        last: Ts,
        mut take: impl FnMut(CellRow) -> Result<(), E>,
    ) -> Result<(), E> {
        let sql = "SELECT hour, cell, requests, first, last FROM cells WHERE run = ?1 AND last >= ?2 AND first <= ?3";
        let mut statement = self.connection.prepare_cached(sql).map_err(StoreError::from)?;
        let mut rows = statement.query(params![run, first.0, last.0]).map_err(StoreError::from)?;
        while let Some(row) = rows.next().map_err(StoreError::from)? {
            take(cell_of(row).map_err(StoreError::from)?)?;
        }
        Ok(())
    }

    /// The runs that have cells of that time, the one that was seen last first, and since when that is.
    fn cell_runs(&self, span_s: u64) -> Result<Option<(i64, Vec<String>)>, StoreError> {
        let there = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'cells'";
        if self.connection.query_row(there, [], |r| r.get::<_, i64>(0))? == 0 {
            return Ok(None);
        }
        let mut statement =
            self.connection.prepare_cached("SELECT run, max(last) FROM cells GROUP BY run")?;
        let runs = statement.query_map([], |r| Ok((r.get::<_, i64>(1)?, r.get::<_, String>(0)?)))?;
        let mut runs = runs.collect::<Result<Vec<_>, _>>()?;
        runs.sort_unstable_by(|a, b| b.cmp(a));
        let Some((newest, _)) = runs.first() else { return Ok(None) };
        let span = i64::try_from(span_s).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
        let since = newest.saturating_sub(span);
        let runs = runs.into_iter().filter(|(last, _)| *last >= since).map(|(_, run)| run).collect();
        Ok(Some((since, runs)))
    }

    /// Verdicts of other runs than this one: the same subject may have one in each.
    pub fn verdicts_of_others(&self, run: &str) -> Result<Vec<VerdictRow>, StoreError> {
        self.verdicts_where("SELECT row FROM verdicts WHERE run <> ?1 ORDER BY last_seen, run, id", run)
    }

    /// Verdicts of a run.
    pub fn verdicts_of(&self, run: &str) -> Result<Vec<VerdictRow>, StoreError> {
        self.verdicts_where("SELECT row FROM verdicts WHERE run = ?1 ORDER BY last_seen, id", run)
    }

    /// Endpoints of all runs, those of several runs more than once.
    pub fn load_endpoints(&self) -> Result<Vec<EndpointRow>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT row FROM endpoints ORDER BY id, run")?;
        let mut rows = statement.query([])?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            let text = row.get_ref(0)?;
            out.push(parse(text.as_str().map_err(rusqlite::Error::from)?, Table::Endpoints.name())?);
        }
        Ok(out)
    }

    fn verdicts_where(&self, sql: &str, run: &str) -> Result<Vec<VerdictRow>, StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([run])?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            let text = row.get_ref(0)?;
            out.push(parse(text.as_str().map_err(rusqlite::Error::from)?, Table::Verdicts.name())?);
        }
        Ok(out)
    }
}

fn cell_of(row: &Row<'_>) -> Result<CellRow, rusqlite::Error> {
    let requests = u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0);
    let (first, last) = (Ts(row.get(3)?), Ts(row.get(4)?));
    Ok(CellRow { hour: Ts(row.get(0)?), cell: row.get(1)?, requests, first, last })
}
