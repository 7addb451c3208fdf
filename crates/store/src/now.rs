//! What is known now: for each row of the run directory one row over all runs, with columns to filter and sort by, a line for the
//! search and, where something changed that a person cares about, a line of history.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sidetap_model::Ts;
use sidetap_model::rows::{CampaignRow, EndpointRow, FindingRow, Member, SensitiveRow, VerdictRow, short_id};

use crate::error::StoreError;
use crate::former;
use crate::load::parse;
use crate::net;
use crate::save::json;
use crate::schema::Table;

/// Most lines of history; the oldest go first.
const HISTORY: i64 = 200_000;

/// A row of the run directory that the store merges over runs.
pub(crate) trait Kept: Serialize + DeserializeOwned + Clone {
    /// Where its rows are.
    const TABLE: Table;
    /// Columns of its `now_` table between `id` and `row`.
    const COLUMNS: &'static [&'static str];

    /// What makes two rows the same thing, and when it was last seen.
    fn key(&self) -> (String, Ts);
    /// Rows of the same thing, from the oldest run to the newest, as one.
    fn merge(rows: Vec<Self>) -> Vec<Self>;
    /// Values of the columns.
    fn values(&self) -> Result<Vec<Value>, StoreError>;
    /// What the search shows and looks through.
    fn found_by(&self) -> Found;
    /// Where it was seen, where rows are found by that.
    fn places(&self) -> Vec<String> {
        Vec::new()
    }
    /// It as an endpoint, where it is one.
    fn endpoint(&self) -> Option<&EndpointRow> {
        None
    }
    /// Who takes part, where it is something that somebody takes part in.
    fn members(&self) -> Option<&[Member]> {
        None
    }
    /// What became different, for people.
    fn changes(&self, before: &Self) -> Vec<Changed>;
}

/// A line of the search.
pub(crate) struct Found {
    /// The id that the API gives it.
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) detail: String,
    /// The host that it is about, or nothing.
    pub(crate) host: String,
    /// When it was first seen.
    pub(crate) since: Ts,
}

/// One difference.
pub(crate) struct Changed {
    pub(crate) what: &'static str,
    pub(crate) before: String,
    pub(crate) after: String,
}

/// Writes a row of a run, or replaces it, and brings what is known now of the thing to it; true where anything changed.
pub(crate) fn write<T: Kept>(transaction: &Connection, run: &str, row: &T) -> Result<bool, StoreError> {
    let name = T::TABLE.name();
    let (id, last_seen) = row.key();
    let text = json(row, name)?;
    let same = format!("SELECT 1 FROM {name} WHERE id = ?1 AND run = ?2 AND row = ?3");
    if transaction.prepare_cached(&same)?.exists(params![id, run, text])? {
        return Ok(false);
    }
    if T::TABLE == Table::Endpoints {
        former::is_back(transaction, &id)?;
    }
    let before: Option<T> = known(transaction, &id)?;
    let insert = format!("INSERT OR REPLACE INTO {name} (id, run, last_seen, row) VALUES (?1, ?2, ?3, ?4)");
    transaction.prepare_cached(&insert)?.execute(params![id, run, last_seen.0, text])?;
    let other = format!("SELECT 1 FROM {name} WHERE id = ?1 AND run <> ?2");
    if !transaction.prepare_cached(&other)?.exists(params![id, run])? {
        put(transaction, &id, row, None)?;
        note(transaction, row, before.as_ref())?;
        return Ok(true);
    }
    if let Some(merged) = T::merge(rows_of(transaction, &id)?).pop() {
        put(transaction, &id, &merged, Some(&merged))?;
        note(transaction, &merged, before.as_ref())?;
    }
    Ok(true)
}

/// Brings what is known now of these ids to what the runs say, after rows of them were removed.
pub(crate) fn refresh<T: Kept>(transaction: &Connection, ids: &[String]) -> Result<(), StoreError> {
    for id in ids {
        let rows: Vec<T> = rows_of(transaction, id)?;
        let several = rows.len() > 1;
        match T::merge(rows).pop() {
            Some(row) => put(transaction, id, &row, several.then_some(&row))?,
            None => take_away::<T>(transaction, id)?,
        }
    }
    Ok(())
}

/// Fills what is known now of one table anew from all runs.
fn rebuild<T: Kept>(transaction: &Connection) -> Result<(), StoreError> {
    let ids = {
        let mut all = transaction.prepare(&format!("SELECT DISTINCT id FROM {}", T::TABLE.name()))?;
        all.query_map([], |r| r.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?
    };
    refresh::<T>(transaction, &ids)
}

/// Fills all that is known now anew.
pub(crate) fn rebuild_all(transaction: &Connection) -> Result<(), StoreError> {
    rebuild::<EndpointRow>(transaction)?;
    rebuild::<SensitiveRow>(transaction)?;
    rebuild::<FindingRow>(transaction)?;
    rebuild::<CampaignRow>(transaction)?;
    rebuild::<VerdictRow>(transaction)
}

/// Keeps the history within its bound.
pub(crate) fn trim_history(transaction: &Connection) -> Result<usize, StoreError> {
    let sql = "DELETE FROM history WHERE seq <= (SELECT max(seq) FROM history) - ?1";
    Ok(transaction.execute(sql, [HISTORY])?)
}

fn rows_of<T: Kept>(transaction: &Connection, id: &str) -> Result<Vec<T>, StoreError> {
    let name = T::TABLE.name();
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT t.row FROM {name} t LEFT JOIN runs r ON r.id = t.run WHERE t.id = ?1 ORDER BY r.saved_at, t.run"
    ))?;
    let mut rows = statement.query([id])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(parse(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?, name)?);
    }
    Ok(out)
}

/// The thing as it is known.
fn known<T: Kept>(transaction: &Connection, id: &str) -> Result<Option<T>, StoreError> {
    let name = T::TABLE.name();
    let sql = format!(
        "SELECT coalesce(n.row, (SELECT b.row FROM {name} b WHERE b.id = n.id LIMIT 1)) FROM now_{name} n WHERE n.id = ?1"
    );
    let text: Option<String> = transaction.prepare_cached(&sql)?.query_row([id], |r| r.get(0)).optional()?;
    text.map(|t| parse(&t, name)).transpose()
}

fn put<T: Kept>(transaction: &Connection, id: &str, row: &T, merged: Option<&T>) -> Result<(), StoreError> {
    let name = T::TABLE.name();
    let mut values = vec![Value::Text(id.to_owned())];
    values.extend(row.values()?);
    values.push(merged.map(|m| json(m, name)).transpose()?.map_or(Value::Null, Value::Text));
    put_places(transaction, id, row)?;
    transaction.prepare_cached(&insert_sql::<T>())?.execute(params_from_iter(values))?;
    let found = row.found_by();
    let (above, below) = T::TABLE.numbers();
    let sql = "INSERT INTO things (n, kind, id, title, detail)
         VALUES ((SELECT coalesce(max(n), ?5) + 1 FROM things WHERE n > ?5 AND n < ?6), ?1, ?2, ?3, ?4)
         ON CONFLICT (kind, id) DO UPDATE SET title = ?3, detail = ?4 WHERE title <> ?3 OR detail <> ?4";
    transaction.prepare_cached(sql)?.execute(params![
        T::TABLE.thing(),
        found.id,
        found.title,
        found.detail,
        above,
        below
    ])?;
    Ok(())
}

/// Keeps where a verdict was seen, in place of what was kept of it before.
fn put_places<T: Kept>(transaction: &Connection, id: &str, row: &T) -> Result<(), StoreError> {
    let places = row.places();
    let before = take_places::<T>(transaction, id, &places)?;
    let mut add =
        transaction.prepare_cached("INSERT OR IGNORE INTO verdict_at (place, id) VALUES (?1, ?2)")?;
    for place in places.iter().filter(|p| !before.contains(p)) {
        add.execute(params![place, id])?;
    }
    Ok(())
}

/// Where a verdict was seen so far; what of it is not among `kept` goes.
fn take_places<T: Kept>(
    transaction: &Connection,
    id: &str,
    kept: &[String],
) -> Result<Vec<String>, StoreError> {
    if T::TABLE != Table::Verdicts {
        return Ok(Vec::new());
    }
    let sql = "SELECT ips, hosts FROM now_verdicts WHERE id = ?1";
    let columns: Option<(String, String)> =
        transaction.prepare_cached(sql)?.query_row([id], |r| Ok((r.get(0)?, r.get(1)?))).optional()?;
    let before = columns.map(|(ips, hosts)| places(&ips, &hosts)).unwrap_or_default();
    let mut remove = transaction.prepare_cached("DELETE FROM verdict_at WHERE place = ?1 AND id = ?2")?;
    for place in before.iter().filter(|p| !kept.contains(p)) {
        remove.execute(params![place, id])?;
    }
    Ok(before)
}

/// The places of columns of addresses and of endpoints, `|a|b|`, as they are found: addresses by their bits.
pub(crate) fn places(ips: &str, hosts: &str) -> Vec<String> {
    let ips = ips.split('|').filter_map(|a| a.parse().ok()).map(net::place);
    let hosts = hosts.split('|').filter(|h| !h.is_empty()).map(net::host_place);
    ips.chain(hosts).collect()
}

fn insert_sql<T: Kept>() -> String {
    let columns = T::COLUMNS.join(", ");
    let marks = vec!["?"; T::COLUMNS.len() + 2].join(", ");
    format!("INSERT OR REPLACE INTO now_{} (id, {columns}, row) VALUES ({marks})", T::TABLE.name())
}

/// Writes down what became different.
fn note<T: Kept>(transaction: &Connection, row: &T, before: Option<&T>) -> Result<(), StoreError> {
    if T::TABLE == Table::Verdicts {
        return Ok(());
    }
    let changes = before.map(|b| row.changes(b));
    if changes.as_ref().is_some_and(Vec::is_empty) {
        return Ok(());
    }
    let found = row.found_by();
    let at = if before.is_some() { row.key().1 } else { found.since };
    let sql = "INSERT INTO history (at, kind, id, change, title, host, before, after) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let mut insert = transaction.prepare_cached(sql)?;
    let kind = T::TABLE.thing();
    match changes {
        None => {
            let none: Option<String> = None;
            insert.execute(params![at.0, kind, found.id, "new", found.title, found.host, none, none])?;
        }
        Some(changes) => {
            for c in changes {
                insert.execute(params![
                    at.0,
                    kind,
                    found.id,
                    c.what,
                    found.title,
                    found.host,
                    c.before,
                    c.after
                ])?;
            }
        }
    }
    Ok(())
}

fn take_away<T: Kept>(transaction: &Connection, id: &str) -> Result<(), StoreError> {
    let name = T::TABLE.name();
    take_places::<T>(transaction, id, &[])?;
    if T::TABLE == Table::Endpoints {
        transaction.prepare_cached("DELETE FROM calls WHERE endpoint = ?1")?.execute([id])?;
    }
    transaction.prepare_cached(&format!("DELETE FROM now_{name} WHERE id = ?1"))?.execute([id])?;
    let public = match T::TABLE {
        Table::Sensitive => short_id(id),
        _ => id.to_owned(),
    };
    transaction
        .prepare_cached("DELETE FROM things WHERE kind = ?1 AND id = ?2")?
        .execute(params![T::TABLE.thing(), public])?;
    Ok(())
}
