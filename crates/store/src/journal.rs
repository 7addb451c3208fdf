use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use sidetap_model::{ActionRow, Ts};

use crate::error::StoreError;
use crate::forget::without_word;
use crate::load::parse;
use crate::open::Store;
use crate::save::json;

/// A row of the audit: written once, never changed, removed only by [`Store::retain`] by age, which says so in a row of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditRow {
    /// When, by the wall clock.
    pub at: Ts,
    /// Who.
    pub actor: String,
    /// What: `mitigation.push`, `mitigation.undo`, `policy.load`, …
    pub action: String,
    /// The particulars.
    pub detail: serde_json::Value,
}

/// Bytes of an audit row's particulars; of longer ones the beginning is kept, and how long they were.
const DETAIL: usize = 4 << 10;

/// What intents are called.
const INTENT: &str = "mitigation.intent";
/// Rows of the audit that are looked through for open intents.
const LATEST: i64 = 500_000;

impl Store {
    /// Appends actions, and for each that was not only planned a row of the audit, in one transaction.
    pub fn record_actions(&mut self, actions: &[ActionRow]) -> Result<(), StoreError> {
        let transaction = self.begin_vital()?;
        let unnamed = without_the_forgotten(&transaction, actions)?;
        for a in unnamed.as_deref().unwrap_or(actions) {
            let row = json(a, "actions")?;
            transaction
                .prepare_cached("INSERT INTO actions (at, connector, verdict, row) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![a.at.0, a.connector, a.verdict, row])?;
            if a.outcome != "planned" {
                transaction
                    .prepare_cached("INSERT INTO audit (at, actor, action, detail) VALUES (?1, ?2, ?3, ?4)")?
                    .execute(params![a.at.0, a.actor, format!("mitigation.{}", a.kind), row])?;
            }
        }
        transaction.commit()?;
        // The log has the intents with the names.
        if unnamed.is_some() { self.checkpoint() } else { Ok(()) }
    }

    /// Appends what is about to be done to devices to the audit, in one transaction and uncut: what came of it may have to be found out.
    pub fn record_intents(&mut self, intents: &[ActionRow]) -> Result<(), StoreError> {
        let transaction = self.begin_vital()?;
        for i in intents {
            transaction
                .prepare_cached("INSERT INTO audit (at, actor, action, detail) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![i.at.0, i.actor, INTENT, json(i, "audit")?])?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Intents that nothing came of, as far as the audit knows: whoever wrote them was ended before saying so, or is still at it.
    pub fn open_intents(&self) -> Result<Vec<ActionRow>, StoreError> {
        let sql = "SELECT i.detail FROM audit i WHERE i.action = ?1 AND i.seq > (SELECT max(seq) FROM audit) - ?2 \
            AND NOT EXISTS (SELECT 1 FROM audit l WHERE l.seq > i.seq AND l.action LIKE 'mitigation.%' AND l.action <> ?1 \
            AND json_extract(l.detail, '$.connector') = json_extract(i.detail, '$.connector')) ORDER BY i.seq";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![INTENT, LATEST])?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            // Of what an older version cut nothing can be told.
            out.extend(
                serde_json::from_str::<ActionRow>(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)
                    .ok(),
            );
        }
        Ok(out)
    }

    /// Appends a row about a look at evidence, which there is no look without: not where the store is full, so that looks leave room for
    /// what changes something.
    pub fn record_look(&mut self, row: &AuditRow) -> Result<(), StoreError> {
        let change = self.begin()?;
        append(&change, row)?;
        change.commit()
    }

    /// Appends a row to the audit.
    pub fn record_audit(&mut self, row: &AuditRow) -> Result<(), StoreError> {
        let change = self.begin_vital()?;
        append(&change, row)?;
        change.commit()
    }

    /// Actions after this one with their numbers, the first one first; of more than so many the last ones.
    pub fn actions_after(&self, seq: i64, most: usize) -> Result<Vec<(i64, ActionRow)>, StoreError> {
        let sql = "SELECT seq, row FROM (SELECT seq, row FROM actions WHERE seq > ?1 ORDER BY seq DESC LIMIT ?2) ORDER BY seq";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![seq, most as i64])?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            let text = row.get_ref(1)?;
            let text = text.as_str().map_err(rusqlite::Error::from)?;
            out.push((row.get(0)?, parse(text, "actions")?));
        }
        Ok(out)
    }

    /// How many actions there are.
    pub fn action_count(&self) -> Result<u64, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT count(*) FROM actions")?;
        Ok(statement.query_row([], |r| r.get::<_, i64>(0))?.unsigned_abs())
    }

    /// Actions, newest first.
    pub fn actions(&self, limit: usize, offset: usize) -> Result<Vec<ActionRow>, StoreError> {
        let sql = "SELECT row FROM actions ORDER BY seq DESC LIMIT ?1 OFFSET ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![limit as i64, offset as i64])?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            out.push(parse(&row.get::<_, String>(0)?, "actions")?);
        }
        Ok(out)
    }

    /// Rows of the audit, newest first.
    pub fn audit(&self, limit: usize, offset: usize) -> Result<Vec<AuditRow>, StoreError> {
        let sql = "SELECT at, actor, action, detail FROM audit ORDER BY seq DESC LIMIT ?1 OFFSET ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![limit as i64, offset as i64])?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            let detail = parse(&row.get::<_, String>(3)?, "audit")?;
            out.push(AuditRow { at: Ts(row.get(0)?), actor: row.get(1)?, action: row.get(2)?, detail });
        }
        Ok(out)
    }

    /// Whether people decided something that devices depend on since the audit's row `seen`, which moves on to the newest: policy, approvals,
    /// the allow list, orders.
    pub fn decided_since(&self, seen: &mut u64) -> Result<bool, StoreError> {
        let sql = "SELECT ifnull(max(seq), ?1), ifnull(sum(actor != 'watch' AND (action LIKE 'policy.%' OR action LIKE 'approval.%'
                   OR action LIKE 'allow.%' OR action LIKE 'mitigation.%')), 0) FROM audit WHERE seq > ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let (newest, decided): (i64, i64) =
            statement.query_row(params![*seen as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
        *seen = newest as u64;
        Ok(decided > 0)
    }

    /// How many actions and rows of the audit there are.
    pub fn journal_len(&self) -> Result<(u64, u64), StoreError> {
        let count = |table: &str| {
            self.connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |r| r.get(0))
        };
        let (actions, audit): (i64, i64) = (count("actions")?, count("audit")?);
        Ok((actions.unsigned_abs(), audit.unsigned_abs()))
    }
}

/// The actions without the names of who was forgotten, where it was done for want of their verdicts; what was meant to be done to them
/// is told without the names from now on too.
fn without_the_forgotten(
    connection: &Connection,
    actions: &[ActionRow],
) -> Result<Option<Vec<ActionRow>>, StoreError> {
    let mut is_forgotten = connection.prepare_cached("SELECT 1 FROM forgotten WHERE verdict = ?1")?;
    let mut out = None;
    for (at, action) in actions.iter().enumerate() {
        let Some(verdict) = &action.verdict else { continue };
        if !is_forgotten.exists([verdict])? {
            continue;
        }
        let out: &mut Vec<ActionRow> = out.get_or_insert_with(|| actions.to_vec());
        if let Some(told) = out.get_mut(at) {
            told.subject = FORGOTTEN.to_owned();
            told.answer = without_word(&told.answer, &action.subject);
        }
        forget_intents(connection, verdict, &action.subject)?;
    }
    Ok(out)
}

/// Takes a name out of what was meant to be done for a verdict.
fn forget_intents(connection: &Connection, verdict: &str, name: &str) -> Result<(), StoreError> {
    let sql = "SELECT seq, detail FROM audit WHERE action = ?1 AND seq > (SELECT max(seq) FROM audit) - ?2 AND instr(detail, ?3) > 0";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![INTENT, LATEST, verdict], |r| Ok((r.get(0)?, r.get(1)?)))?;
    let rows: Vec<(i64, String)> = rows.collect::<Result<_, _>>()?;
    let rows = rows.into_iter().map(|(seq, detail)| (seq, without_word(&detail, name)));
    rewrite_audit(connection, rows)
}

/// What stands in place of a name that was forgotten.
pub(crate) const FORGOTTEN: &str = "(forgotten)";

/// Writes rows of the audit anew, for the one reason that there is: to take a name out.
pub(crate) fn rewrite_audit(
    connection: &Connection,
    rows: impl IntoIterator<Item = (i64, String)>,
) -> Result<(), StoreError> {
    connection.execute_batch("DROP TRIGGER audit_is_not_changed")?;
    for (seq, detail) in rows {
        connection
            .prepare_cached("UPDATE audit SET detail = ?2 WHERE seq = ?1")?
            .execute(params![seq, detail])?;
    }
    connection.execute_batch(
        "CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END",
    )?;
    Ok(())
}

fn append(connection: &Connection, row: &AuditRow) -> Result<(), StoreError> {
    let mut detail = json(&row.detail, "audit")?;
    if detail.len() > DETAIL {
        let begin: String = detail.chars().take(DETAIL / 8).collect();
        detail = json(&serde_json::json!({ "cut": begin, "bytes": detail.len() }), "audit")?;
    }
    let sql = "INSERT INTO audit (at, actor, action, detail) VALUES (?1, ?2, ?3, ?4)";
    connection.execute(sql, params![row.at.0, row.actor, row.action, detail])?;
    Ok(())
}
