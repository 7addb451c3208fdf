use std::collections::BTreeSet;

use rusqlite::{Connection, params};
use serde::Serialize;
use sidetap_model::rows::{Member, RunData, Summary, TrafficPoint, VerdictRow};
use sidetap_model::{EndpointId, Ts};

use crate::error::StoreError;
use crate::former;
use crate::now::{self, Kept};
use crate::open::Store;
use crate::schema::Table;

/// The id of a run: its inputs and when their packets begin. The same capture replayed again is the same run; a live watch
/// keeps its id from its first packet on.
pub fn run_id(summary: &Summary) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut feed = |bytes: &[u8]| {
        for b in bytes {
            hash = (hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for input in &summary.inputs {
        feed(input.path.as_bytes());
        feed(&[0xff]);
        feed(&input.first_ts.map_or(i64::MIN, |t| t.0).to_be_bytes());
    }
    format!("{hash:016x}")
}

/// Who was forgotten and is told of again is nobody to be kept silent about.
const SAID_ANEW: &str =
    "DELETE FROM forgotten WHERE EXISTS (SELECT 1 FROM verdicts v WHERE v.id = forgotten.verdict)";

impl Store {
    /// Saves all that a run found in place of what the same run said before; gives the run's id. One transaction, but for a run of
    /// many rows: that is saved in parts, so that the log beside the file stays within its share of the bound.
    ///
    /// What did not change is not written again, so a live watch may call it as often as it likes.
    /// Where there is no room for all of it the verdicts are saved, and the error is given.
    pub fn save_run(&mut self, data: &RunData, now: Ts) -> Result<String, StoreError> {
        let run = run_id(&data.summary);
        match self.save_all(&run, data, now) {
            Err(e) if e.is_full() => {
                for part in data.verdicts.chunks(PART) {
                    self.save_verdicts(&run, part, now)?;
                }
                Err(e)
            }
            saved => saved.map(|()| run),
        }
    }

    fn save_all(&mut self, run: &str, data: &RunData, now: Ts) -> Result<(), StoreError> {
        let rows = rows_in(data) + data.verdicts.len();
        let transaction = self.begin()?;
        save_summary(&transaction, run, &data.summary, now)?;
        if rows <= PART {
            save_found_rows(&transaction, run, data)?;
            save_rows(&transaction, run, &data.verdicts)?;
            transaction.execute(SAID_ANEW, [])?;
        }
        save_traffic(&transaction, run, &data.traffic)?;
        now::trim_history(&transaction)?;
        transaction.commit()?;
        if rows > PART {
            self.save_in_parts(run, data)?;
            self.save_rows_in_parts(run, &data.verdicts)?;
        }
        self.carry_notes(&data.endpoints, now)?;
        self.carry_work(&data.endpoints, now)?;
        self.settle()
    }

    /// Saves what a live run has found so far; verdicts, which come as they change, stay as they are. Gives the run's id.
    pub fn save_found(&mut self, data: &RunData, now: Ts) -> Result<String, StoreError> {
        let run = run_id(&data.summary);
        let whole = rows_in(data) <= PART;
        if !whole {
            self.save_in_parts(&run, data)?;
        }
        let transaction = self.begin()?;
        save_summary(&transaction, &run, &data.summary, now)?;
        if whole {
            save_found_rows(&transaction, &run, data)?;
        }
        save_traffic(&transaction, &run, &data.traffic)?;
        save_calls(&transaction, &run, data, now)?;
        now::trim_history(&transaction)?;
        transaction.commit()?;
        self.carry_notes(&data.endpoints, now)?;
        self.carry_work(&data.endpoints, now)?;
        self.settle()?;
        Ok(run)
    }

    fn save_in_parts(&mut self, run: &str, data: &RunData) -> Result<(), StoreError> {
        self.save_rows_in_parts(run, &data.endpoints)?;
        self.save_rows_in_parts(run, &data.sensitive)?;
        self.save_rows_in_parts(run, &data.findings)?;
        self.save_rows_in_parts(run, &data.campaigns)
    }

    fn save_rows_in_parts<T: Kept>(&mut self, run: &str, rows: &[T]) -> Result<(), StoreError> {
        let transaction = self.begin()?;
        remove_gone(&transaction, run, rows)?;
        transaction.commit()?;
        self.settle()?;
        for part in rows.chunks(PART) {
            let transaction = self.begin()?;
            write_rows(&transaction, run, part)?;
            transaction.commit()?;
            self.settle()?;
        }
        Ok(())
    }

    /// Adds or replaces verdicts of a run as they come, without touching its other ones.
    pub fn save_verdicts(&mut self, run: &str, verdicts: &[VerdictRow], now: Ts) -> Result<(), StoreError> {
        let transaction = self.begin_vital()?;
        transaction.execute(
            "INSERT INTO runs (id, saved_at, summary) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE SET saved_at = ?2",
            params![run, now.0, json(&Summary::default(), "runs")?],
        )?;
        for row in verdicts {
            now::write(&transaction, run, row)?;
        }
        transaction.execute(SAID_ANEW, [])?;
        transaction.commit()?;
        self.settle()
    }

    /// Saves calls of endpoints over time of a run, in place of what it had.
    pub fn save_calls(&mut self, run: &str, calls: &[(EndpointId, Ts, u64)]) -> Result<(), StoreError> {
        let transaction = self.begin()?;
        transaction.execute("DELETE FROM calls WHERE run = ?1", [run])?;
        let sql = "INSERT OR REPLACE INTO calls (run, endpoint, ts, n) VALUES (?1, ?2, ?3, ?4)";
        let mut insert = transaction.prepare_cached(sql)?;
        for (endpoint, at, n) in calls {
            insert.execute(params![run, endpoint.to_string(), at.0, count(*n)])?;
        }
        drop(insert);
        transaction.commit()?;
        Ok(())
    }

    /// Keeps a state of a part of Sidetap under a name (the ledger of mitigation, …).
    pub fn put_state(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO states (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2";
        let change = self.begin_vital()?;
        change.execute(sql, params![name, value])?;
        change.commit()
    }

    /// Keeps no state under a name any more.
    pub fn remove_state(&mut self, name: &str) -> Result<(), StoreError> {
        self.connection.execute("DELETE FROM states WHERE name = ?1", [name])?;
        Ok(())
    }

    /// The state kept under a name.
    pub fn state(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT value FROM states WHERE name = ?1")?;
        let mut rows = statement.query_map([name], |r| r.get(0))?;
        Ok(rows.next().transpose()?)
    }
}

fn save_summary(transaction: &Connection, run: &str, summary: &Summary, now: Ts) -> Result<(), StoreError> {
    let first = summary.inputs.iter().filter_map(|i| i.first_ts).min().map(|t| t.0);
    let last = summary.inputs.iter().filter_map(|i| i.last_ts).max().map(|t| t.0);
    transaction.execute(
        "INSERT OR REPLACE INTO runs (id, saved_at, first_ts, last_ts, summary) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![run, now.0, first, last, json(summary, "runs")?],
    )?;
    Ok(())
}

/// Rows that are saved in one transaction.
const PART: usize = 1_000;

fn rows_in(data: &RunData) -> usize {
    let members: usize = data.campaigns.iter().map(|c| c.members.len()).sum();
    data.endpoints.len() + data.sensitive.len() + data.findings.len() + data.campaigns.len() + members
}

fn save_found_rows(transaction: &Connection, run: &str, data: &RunData) -> Result<(), StoreError> {
    save_rows(transaction, run, &data.endpoints)?;
    save_rows(transaction, run, &data.sensitive)?;
    save_rows(transaction, run, &data.findings)?;
    save_rows(transaction, run, &data.campaigns)
}

fn save_rows<T: Kept>(transaction: &Connection, run: &str, rows: &[T]) -> Result<(), StoreError> {
    remove_gone(transaction, run, rows)?;
    write_rows(transaction, run, rows)
}

fn write_rows<T: Kept>(transaction: &Connection, run: &str, rows: &[T]) -> Result<(), StoreError> {
    for row in rows {
        if now::write(transaction, run, row)? {
            save_members(transaction, run, &row.key().0, row.members())?;
        }
    }
    Ok(())
}

/// Removes rows of a run that it says no more.
fn remove_gone<T: Kept>(transaction: &Connection, run: &str, rows: &[T]) -> Result<(), StoreError> {
    let kept: BTreeSet<String> = rows.iter().map(|r| r.key().0).collect();
    let name = T::TABLE.name();
    let old: BTreeSet<String> = {
        let mut ids = transaction.prepare_cached(&format!("SELECT id FROM {name} WHERE run = ?1"))?;
        ids.query_map([run], |r| r.get::<_, String>(0))?.collect::<Result<_, _>>()?
    };
    let gone: Vec<String> = old.difference(&kept).cloned().collect();
    if T::TABLE == Table::Endpoints && !gone.is_empty() {
        let all: Vec<_> = rows.iter().filter_map(T::endpoint).collect();
        former::remember(transaction, (run, &old), &gone, &all)?;
    }
    let mut delete = transaction.prepare_cached(&format!("DELETE FROM {name} WHERE id = ?1 AND run = ?2"))?;
    for id in &gone {
        delete.execute(params![id, run])?;
    }
    drop(delete);
    if T::TABLE == Table::Campaigns {
        remove_members(transaction, &gone)?;
    }
    now::refresh::<T>(transaction, &gone)
}

/// Removes members of campaigns, of the runs that say them no more.
pub(crate) fn remove_members(transaction: &Connection, campaigns: &[String]) -> Result<(), StoreError> {
    let mut delete = transaction.prepare_cached(
        "DELETE FROM members WHERE campaign = ?1
         AND NOT EXISTS (SELECT 1 FROM campaigns c WHERE c.id = campaign AND c.run = members.run)",
    )?;
    for campaign in campaigns {
        delete.execute([campaign])?;
    }
    Ok(())
}

/// Keeps the members of a campaign as a run has them; of another thing there are none.
fn save_members(
    transaction: &Connection,
    run: &str,
    campaign: &str,
    members: Option<&[Member]>,
) -> Result<(), StoreError> {
    let Some(members) = members else { return Ok(()) };
    transaction
        .prepare_cached("DELETE FROM members WHERE campaign = ?1 AND run = ?2")?
        .execute(params![campaign, run])?;
    let mut insert = transaction.prepare_cached(
        "INSERT OR REPLACE INTO members (campaign, run, kind, value, first_seen, requests) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for m in members {
        let requests = count(m.requests);
        insert.execute(params![campaign, run, m.kind.name(), m.value, m.first_seen.0, requests])?;
    }
    Ok(())
}

fn save_traffic(transaction: &Connection, run: &str, traffic: &[TrafficPoint]) -> Result<(), StoreError> {
    transaction.execute("DELETE FROM traffic WHERE run = ?1", [run])?;
    let mut insert = transaction.prepare_cached(
        "INSERT OR REPLACE INTO traffic (run, ts, benign, automated, suspicious, malicious) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for p in traffic {
        let [benign, automated, suspicious, malicious] =
            [p.benign, p.automated, p.suspicious, p.malicious].map(count);
        insert.execute(params![run, p.ts.0, benign, automated, suspicious, malicious])?;
    }
    Ok(())
}

/// Calls of endpoints since they were saved last, in the minute of this save.
fn save_calls(transaction: &Connection, run: &str, data: &RunData, now: Ts) -> Result<(), StoreError> {
    let minute = now.0 - now.0.rem_euclid(60_000_000_000);
    let mut known = transaction
        .prepare_cached("SELECT coalesce(sum(n), 0) FROM calls WHERE endpoint = ?1 AND run = ?2")?;
    let mut add = transaction.prepare_cached(
        "INSERT INTO calls (run, endpoint, ts, n) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET n = n + ?4",
    )?;
    for row in &data.endpoints {
        let id = row.id.to_string();
        let before: i64 = known.query_row(params![id, run], |r| r.get(0))?;
        let more = count(row.calls).saturating_sub(before);
        if more > 0 {
            add.execute(params![run, id, minute, more])?;
        }
    }
    Ok(())
}

pub(crate) fn count(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(crate) fn json<T: Serialize>(row: &T, table: &'static str) -> Result<String, StoreError> {
    serde_json::to_string(row).map_err(|e| StoreError::Row { table, detail: e.to_string() })
}
