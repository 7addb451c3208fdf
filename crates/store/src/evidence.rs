use rusqlite::{Transaction, TransactionBehavior, params};
use serde::{Deserialize, Serialize};
use sidetap_model::Ts;

use crate::error::StoreError;
use crate::load::parse;
use crate::open::Store;
use crate::save::json;

/// An exchange kept because a finding or verdict names it, as `exchanges.ndjson` would write it (masked).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvidenceRow {
    /// The exchange's id.
    pub id: String,
    /// When it was.
    pub at: Ts,
    /// The exchange.
    pub exchange: serde_json::Value,
}

/// How much evidence is kept; the oldest goes first, and what goes is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvidenceLimits {
    /// Most exchanges.
    pub rows: u64,
    /// Most bytes of their text.
    pub bytes: u64,
    /// Longest time since the newest one, in seconds.
    pub age_s: u64,
}

impl Default for EvidenceLimits {
    fn default() -> Self {
        EvidenceLimits { rows: 100_000, bytes: 256 << 20, age_s: 30 * 86_400 }
    }
}

impl Store {
    /// Keeps evidence within the limits; gives how many exchanges went for it.
    pub fn record_evidence(
        &mut self,
        rows: &[EvidenceRow],
        limits: &EvidenceLimits,
    ) -> Result<u64, StoreError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let sql = "INSERT OR REPLACE INTO evidence (id, at, bytes, row) VALUES (?1, ?2, ?3, ?4)";
        for row in rows {
            let text = json(&row.exchange, "evidence")?;
            transaction.prepare_cached(sql)?.execute(params![row.id, row.at.0, text.len() as i64, text])?;
        }
        let evicted = evict(&transaction, limits)?;
        count(&transaction, "evidence.evicted", evicted)?;
        transaction.commit()?;
        Ok(evicted)
    }

    /// The exchanges of these ids that are kept, in the order asked for.
    pub fn evidence(&self, ids: &[String]) -> Result<Vec<EvidenceRow>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT at, row FROM evidence WHERE id = ?1")?;
        let mut out = Vec::new();
        for id in ids {
            let mut rows = statement.query([id])?;
            if let Some(row) = rows.next()? {
                let exchange = parse(&row.get::<_, String>(1)?, "evidence")?;
                out.push(EvidenceRow { id: id.clone(), at: Ts(row.get(0)?), exchange });
            }
        }
        Ok(out)
    }

    /// The same exchanges as the API gives them: with `weight`, of how many like it each was kept, and `why`.
    pub fn exchanges(&self, ids: &[String]) -> Result<Vec<(String, serde_json::Value)>, StoreError> {
        let sql = "SELECT row, weight, why FROM evidence WHERE id = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut out = Vec::new();
        for id in ids {
            let mut rows = statement.query([id])?;
            if let Some(row) = rows.next()? {
                let mut exchange: serde_json::Value = parse(&row.get::<_, String>(0)?, "evidence")?;
                if let Some(fields) = exchange.as_object_mut() {
                    fields.insert("weight".to_owned(), row.get::<_, i64>(1)?.into());
                    fields.insert("why".to_owned(), parse(&row.get::<_, String>(2)?, "evidence")?);
                }
                out.push((id.clone(), exchange));
            }
        }
        Ok(out)
    }

    /// What was counted under this name since the store was made: `evidence.evicted`, `retained.endpoints`, …
    pub fn counter(&self, name: &str) -> Result<u64, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT value FROM counters WHERE name = ?1")?;
        let mut rows = statement.query_map([name], |r| r.get::<_, i64>(0))?;
        Ok(rows.next().transpose()?.map_or(0, i64::unsigned_abs))
    }
}

fn evict(transaction: &Transaction<'_>, limits: &EvidenceLimits) -> Result<u64, StoreError> {
    let limit = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let age = limit(limits.age_s).saturating_mul(1_000_000_000);
    let mut gone =
        transaction.execute("DELETE FROM evidence WHERE at < (SELECT max(at) FROM evidence) - ?1", [age])?;
    gone += transaction.execute(
        "DELETE FROM evidence WHERE id IN (SELECT id FROM (
             SELECT id, row_number() OVER newest AS n, sum(bytes) OVER newest AS total FROM evidence
             WINDOW newest AS (ORDER BY at DESC, id DESC ROWS UNBOUNDED PRECEDING)
         ) WHERE n > ?1 OR total > ?2)",
        params![limit(limits.rows), limit(limits.bytes)],
    )?;
    Ok(gone as u64)
}

pub(crate) fn count(transaction: &Transaction<'_>, name: &str, n: u64) -> Result<(), StoreError> {
    if n > 0 {
        transaction.execute(
            "INSERT INTO counters (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = value + ?2",
            params![name, crate::save::count(n)],
        )?;
    }
    Ok(())
}
