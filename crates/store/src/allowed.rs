//! Whom people said never to act against.

use rusqlite::params;
use serde::{Deserialize, Serialize};
use sidetap_model::Ts;

use crate::error::StoreError;
use crate::open::Store;

/// An entry of the allow list that was made while running, beside those of configuration and packs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AllowedRow {
    /// Its number.
    pub id: u64,
    /// `ip`, `cidr`, `session`, `account`, `api-key` or `fingerprint`.
    pub kind: String,
    /// As outputs spell it.
    pub value: String,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: String,
    /// When.
    pub at: Ts,
    /// Until when.
    pub expires_at: Option<Ts>,
}

impl Store {
    /// Entries that have not expired, by their number.
    pub fn allowed(&self, now: Ts) -> Result<Vec<AllowedRow>, StoreError> {
        let sql = "SELECT id, kind, value, reason, by, at, expires_at FROM allowed
            WHERE expires_at IS NULL OR expires_at > ?1 ORDER BY id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([now.0], |r| {
            Ok(AllowedRow {
                id: r.get::<_, i64>(0)?.unsigned_abs(),
                kind: r.get(1)?,
                value: r.get(2)?,
                reason: r.get(3)?,
                by: r.get(4)?,
                at: Ts(r.get(5)?),
                expires_at: r.get::<_, Option<i64>>(6)?.map(Ts),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Adds an entry, in place of one of the same kind and value; its number is a new one. What has expired goes.
    pub fn allow(&mut self, entry: &AllowedRow) -> Result<u64, StoreError> {
        let transaction = self.begin_vital()?;
        transaction.execute("DELETE FROM allowed WHERE expires_at <= ?1", [entry.at.0])?;
        transaction.execute(
            "INSERT OR REPLACE INTO allowed (kind, value, reason, by, at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![entry.kind, entry.value, entry.reason, entry.by, entry.at.0, entry.expires_at.map(|t| t.0)],
        )?;
        let id = transaction.last_insert_rowid().unsigned_abs();
        transaction.commit()?;
        Ok(id)
    }

    /// Removes an entry; gives it, where there was one.
    pub fn disallow(&mut self, id: u64, now: Ts) -> Result<Option<AllowedRow>, StoreError> {
        let found = self.allowed(now)?.into_iter().find(|e| e.id == id);
        self.connection.execute("DELETE FROM allowed WHERE id = ?1", [crate::save::count(id)])?;
        Ok(found)
    }
}
