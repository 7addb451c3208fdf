use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rusqlite::params;
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

    /// The cells of the last `span_s` seconds of packet time that are stored, with their runs.
    pub fn cells(&self, span_s: u64) -> Result<Vec<(String, CellRow)>, StoreError> {
        let there = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'cells'";
        if self.connection.query_row(there, [], |r| r.get::<_, i64>(0))? == 0 {
            return Ok(Vec::new());
        }
        let newest: Option<i64> =
            self.connection.query_row("SELECT max(last) FROM cells", [], |r| r.get(0))?;
        let Some(newest) = newest else { return Ok(Vec::new()) };
        let span = i64::try_from(span_s).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
        let sql = "SELECT run, hour, cell, requests, first, last FROM cells WHERE last >= ?1 ORDER BY hour, run, cell";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([newest.saturating_sub(span)], |r| {
            let requests = u64::try_from(r.get::<_, i64>(3)?).unwrap_or(0);
            let (first, last) = (Ts(r.get(4)?), Ts(r.get(5)?));
            let row = CellRow { hour: Ts(r.get(1)?), cell: r.get(2)?, requests, first, last };
            Ok((r.get(0)?, row))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
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
