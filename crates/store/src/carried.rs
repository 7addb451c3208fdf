//! What people did about findings of endpoints that were merged into others goes on with these.

use std::collections::HashSet;

use rusqlite::{Connection, params};
use sidetap_model::rows::EndpointRow;
use sidetap_model::{EndpointId, Ts};

use crate::error::StoreError;
use crate::former::{Orphan, has, is_same, orphans, pairs};
use crate::open::Store;

/// Endpoints of whose findings somebody said something that is not carried yet.
const WORKED_ON: &str = "SELECT DISTINCT endpoint AS id, '' AS labels, NULL AS owner, NULL AS note FROM work WHERE endpoint <> '' AND carried IS NULL";

/// What ends the work on one finding says nothing of those of the others that are one with it now: it is open again, with who worked on it
/// and the note.
const GOES_ON: &str = "CASE WHEN status IN ('open', 'assigned') THEN status ELSE 'open' END, assignee, NULL";
/// Where names of parameters alone are others the finding is about what it was about: all stays as it was. Where a literal became a
/// parameter it is not, however few it took in by now: those to come were judged by nobody.
const STAYS: &str = "status, assignee, expires_at";

/// Work on findings of an endpoint, and how little it leaves to do.
const WORK: &str = "SELECT CASE status WHEN 'open' THEN 0 WHEN 'assigned' THEN 1 WHEN 'accepted' THEN 2 WHEN 'fixed' THEN 3 ELSE 4 END,
    finding, rule FROM work WHERE endpoint = ?1 AND carried IS NULL";

/// What of these still is somebody's, and more than any of them.
const ASSIGNED: i64 = 1;
const OVER: i64 = 10;

impl Store {
    /// Carries work on findings of endpoints that were merged to those that go on. What somebody said of a finding there stays; told apart
    /// again, each has its own.
    pub(crate) fn carry_work(&mut self, endpoints: &[EndpointRow], now: Ts) -> Result<(), StoreError> {
        let is_any = "SELECT 1 FROM work WHERE endpoint <> ''";
        if !self.connection.prepare_cached(is_any)?.exists([])? {
            return Ok(());
        }
        let here: HashSet<EndpointId> = endpoints.iter().map(|e| e.id).collect();
        let transaction = self.begin_vital()?;
        let sql = "SELECT DISTINCT endpoint FROM work WHERE endpoint <> '' AND carried IS NOT NULL";
        let back = ids(&transaction, sql, params![])?;
        let sql = "UPDATE work SET carried = NULL WHERE endpoint = ?1";
        for id in back.iter().filter(|id| has(&here, id)) {
            transaction.prepare_cached(sql)?.execute([id])?;
        }
        let mut orphans = orphans(&transaction, WORKED_ON)?;
        orphans.retain(|o| !has(&here, &o.id));
        let pairs = pairs(&transaction, &orphans, endpoints)?;
        let mut all = Vec::new();
        for (orphan, next) in pairs {
            let mut statement = transaction.prepare_cached(WORK)?;
            let mut rows = statement.query([&orphan.id])?;
            while let Some(row) = rows.next()? {
                let (left, finding, rule): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
                // What is over stays so where nothing beside it is to do.
                let left = if left > ASSIGNED && is_same(orphan, next) { left + OVER } else { left };
                all.push(((left, finding, rule), orphan, next));
            }
        }
        // Where several come together, what leaves most to do counts.
        all.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        for ((_, finding, rule), orphan, next) in &all {
            carry(&transaction, (finding, rule), (orphan, next), now)?;
        }
        transaction.commit()
    }
}

fn ids(
    transaction: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<String>, StoreError> {
    let mut statement = transaction.prepare_cached(sql)?;
    Ok(statement.query_map(values, |r| r.get(0))?.collect::<Result<_, _>>()?)
}

/// Says of the one finding of this rule at the endpoint what was said of another; where there is none yet, or several, it waits.
fn carry(
    transaction: &Connection,
    (finding, rule): (&str, &str),
    (orphan, endpoint): (&Orphan, &EndpointRow),
    now: Ts,
) -> Result<(), StoreError> {
    let into = endpoint.id.to_string();
    let sql = "SELECT id FROM now_findings WHERE endpoint = ?1 AND rule = ?2 LIMIT 2";
    let [next] = &*ids(transaction, sql, params![into, rule])? else { return Ok(()) };
    let same = is_same(orphan, endpoint);
    let said = if same { STAYS } else { GOES_ON };
    let sql = format!(
        "INSERT OR IGNORE INTO work (finding, status, assignee, expires_at, note, seen, updated_at, updated_by, rule, endpoint)
        SELECT ?2, {said}, note, seen, updated_at, updated_by, rule, ?3 FROM work WHERE finding = ?1"
    );
    if transaction.prepare_cached(&sql)?.execute([finding, next.as_str(), &into])? > 0 {
        let sql = "INSERT INTO work_log (finding, at, by, status, assignee, expires_at, note)
            SELECT ?1, ?2, 'discovery', status, assignee, expires_at, note FROM work WHERE finding = ?1";
        transaction.prepare_cached(sql)?.execute(params![next, now.0])?;
        let detail = serde_json::json!({ "id": finding, "into": next, "rule": rule, "endpoint": into });
        let sql =
            "INSERT INTO audit (at, actor, action, detail) VALUES (?1, 'discovery', 'finding.merge', ?2)";
        transaction.prepare_cached(sql)?.execute(params![now.0, detail.to_string()])?;
        if same {
            let sql = "INSERT OR IGNORE INTO taught (rule, endpoint, at, by, note)
                SELECT rule, ?3, at, by, note FROM taught WHERE rule = ?1 AND endpoint = ?2";
            transaction.prepare_cached(sql)?.execute([rule, &orphan.id, &into])?;
        }
    }
    let sql = "UPDATE work SET carried = ?2 WHERE finding = ?1";
    transaction.prepare_cached(sql)?.execute([finding, next.as_str()])?;
    Ok(())
}
