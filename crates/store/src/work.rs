//! What people say of things and do about findings.

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use sidetap_model::Ts;

use crate::error::StoreError;
use crate::lists::labels;
use crate::open::Store;

/// What is to be done about findings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkChange {
    /// `open`, `assigned`, `accepted`, `false-positive` or `fixed`; left as it is where nothing is said.
    pub status: Option<String>,
    /// Who works on it; `Some(None)` takes the assignment back.
    pub assignee: Option<Option<String>>,
    /// Until when it is accepted.
    pub expires_at: Option<Option<Ts>>,
    /// Why.
    pub note: Option<String>,
    /// How far a false positive, or taking it back, reaches.
    pub scope: Scope,
}

/// How far a word about a finding reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// The finding.
    #[default]
    Finding,
    /// All findings of its rule at its endpoint.
    Endpoint,
    /// All findings of its rule.
    Rule,
}

/// A line of a finding's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WorkLine {
    /// When.
    pub at: Ts,
    /// Who.
    pub by: String,
    /// What it became.
    pub status: String,
    /// Who works on it.
    pub assignee: Option<String>,
    /// Until when it is accepted.
    pub expires_at: Option<Ts>,
    /// Why.
    pub note: Option<String>,
}

/// Labels, owner and note of a thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Labels.
    pub labels: Vec<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Anything else.
    pub note: Option<String>,
}

impl Notes {
    /// Without what is said twice, and with nothing where nothing is said.
    #[must_use]
    pub fn tidied(self) -> Self {
        let mut labels: Vec<String> = Vec::new();
        for label in self.labels.iter().map(|l| l.trim()).filter(|l| !l.is_empty()) {
            if !labels.iter().any(|l| l == label) {
                labels.push(label.to_owned());
            }
        }
        let said = |text: Option<String>| text.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
        Notes { labels, owner: said(self.owner), note: said(self.note) }
    }
}

impl Store {
    /// Says what is done about findings; gives how many of them there are.
    pub fn work_on(
        &mut self,
        ids: &[String],
        change: &WorkChange,
        by: &str,
        now: Ts,
    ) -> Result<u64, StoreError> {
        let transaction = self.begin()?;
        let mut changed = 0;
        for id in ids {
            changed += u64::from(work(&transaction, id, change, by, now)?);
        }
        transaction.commit()?;
        Ok(changed)
    }

    /// What was said of a finding, newest first.
    pub fn work_log(&self, finding: &str) -> Result<Vec<WorkLine>, StoreError> {
        let sql = "SELECT at, by, status, assignee, expires_at, note FROM work_log WHERE finding = ?1 ORDER BY seq DESC LIMIT 200";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([finding], |r| {
            Ok(WorkLine {
                at: Ts(r.get(0)?),
                by: r.get(1)?,
                status: r.get(2)?,
                assignee: r.get(3)?,
                expires_at: r.get::<_, Option<i64>>(4)?.map(Ts),
                note: r.get(5)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What people say of a thing.
    pub fn notes(&self, kind: &str, id: &str) -> Result<Notes, StoreError> {
        notes_of(&self.connection, kind, id)
    }

    /// Keeps what people say of a thing.
    pub fn put_notes(&mut self, kind: &str, id: &str, notes: &Notes) -> Result<(), StoreError> {
        write_notes(&self.connection, kind, id, notes)
    }
}

pub(crate) fn notes_of(connection: &Connection, kind: &str, id: &str) -> Result<Notes, StoreError> {
    let sql = "SELECT labels, owner, note FROM notes WHERE kind = ?1 AND id = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row(params![kind, id], |r| {
        Ok(Notes { labels: labels(r.get(0)?), owner: r.get(1)?, note: r.get(2)? })
    });
    Ok(found.optional()?.unwrap_or_default())
}

pub(crate) fn write_notes(
    connection: &Connection,
    kind: &str,
    id: &str,
    notes: &Notes,
) -> Result<(), StoreError> {
    let notes = &notes.clone().tidied();
    let all: String = notes.labels.iter().map(|l| format!("|{}", l.replace('|', " "))).collect();
    let column = if all.is_empty() { all } else { all + "|" };
    connection.execute(
        "INSERT OR REPLACE INTO notes (kind, id, labels, owner, note) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![kind, id, column, notes.owner, notes.note],
    )?;
    Ok(())
}

fn work(
    transaction: &Connection,
    id: &str,
    change: &WorkChange,
    by: &str,
    now: Ts,
) -> Result<bool, StoreError> {
    let sql = "SELECT n.rule, n.endpoint, n.last_seen, w.status, w.assignee, w.expires_at, w.note
        FROM now_findings n LEFT JOIN work w ON w.finding = n.id WHERE n.id = ?1";
    let found = transaction
        .prepare_cached(sql)?
        .query_row([id], |r| {
            let known: (String, String, i64) = (r.get(0)?, r.get(1)?, r.get(2)?);
            let was: (Option<String>, Option<String>, Option<i64>, Option<String>) =
                (r.get(3)?, r.get(4)?, r.get(5)?, r.get(6)?);
            Ok((known, was))
        })
        .optional()?;
    let Some(((rule, endpoint, seen), (status, assignee, expires, note))) = found else { return Ok(false) };
    let assignee = change.assignee.clone().unwrap_or(assignee);
    let expires = change.expires_at.map_or(expires, |e| e.map(|t| t.0));
    let note = change.note.clone().or(note);
    let status = match (&change.status, &change.assignee) {
        (Some(status), _) => status.clone(),
        (None, Some(Some(_))) => "assigned".to_owned(),
        (None, Some(None)) => "open".to_owned(),
        (None, None) => status.unwrap_or_else(|| "open".to_owned()),
    };
    let expires = (status == "accepted").then_some(expires).flatten();
    transaction.prepare_cached(
        "INSERT OR REPLACE INTO work (finding, status, assignee, expires_at, note, seen, updated_at, updated_by, rule, endpoint)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?.execute(params![id, status, assignee, expires, note, seen, now.0, by, rule, endpoint])?;
    transaction.prepare_cached(
        "INSERT INTO work_log (finding, at, by, status, assignee, expires_at, note) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?.execute(params![id, now.0, by, status, assignee, expires, note])?;
    let place = match change.scope {
        Scope::Finding => return Ok(true),
        Scope::Endpoint => endpoint,
        Scope::Rule => String::new(),
    };
    match status.as_str() {
        _ if change.status.is_none() => 0,
        "false-positive" => transaction.execute(
            "INSERT OR REPLACE INTO taught (rule, endpoint, at, by, note) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![rule, place, now.0, by, note],
        )?,
        _ => transaction
            .execute("DELETE FROM taught WHERE rule = ?1 AND endpoint = ?2", params![rule, place])?,
    };
    Ok(true)
}
