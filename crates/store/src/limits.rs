//! How large a store may grow, and what goes first.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sidetap_model::Ts;

use crate::change::Weight;
use crate::error::StoreError;
use crate::evidence::{EvidenceLimits, count, unsample};
use crate::open::Store;
use crate::retain::{Removed, Retention};

/// The name under which a store keeps its limits.
const STATE: &str = "limits";
/// Bytes that are left for what comes next at least.
const ROOM: u64 = 512 << 10;
/// Bytes of the file that are kept back at most.
const RESERVE: u64 = 16 << 20;
/// How long a log that was written back waits to be cut off.
const MOMENT: Duration = Duration::from_millis(20);
/// Rows that go in one step; of evidence, whose rows are large, fewer.
const STEP: i64 = 5_000;
const STEP_OF_EVIDENCE: i64 = 100;

/// What is kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Limits {
    /// Inventory, findings, campaigns, verdicts and traffic: seconds.
    pub age_s: u64,
    /// Actions and audit: seconds.
    pub journal_age_s: u64,
    /// Most rows of one table.
    pub rows: u64,
    /// Evidence: seconds since the newest of it.
    pub evidence_age_s: u64,
    /// Evidence: bytes of its text.
    pub evidence_bytes: u64,
    /// Bytes of the file and the log beside it.
    pub limit_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let (retention, evidence) = (Retention::default(), EvidenceLimits::default());
        Limits {
            age_s: retention.age_s,
            journal_age_s: retention.journal_age_s,
            rows: retention.rows,
            evidence_age_s: evidence.age_s,
            evidence_bytes: evidence.bytes,
            limit_bytes: 8 << 30,
        }
    }
}

impl Limits {
    /// Bytes of the bound that the log beside the file may take.
    fn log_bytes(&self) -> u64 {
        (self.limit_bytes / 4).min(128 << 20)
    }

    /// Bytes of the bound that are the file's.
    fn file_bytes(&self) -> u64 {
        self.limit_bytes - self.log_bytes()
    }

    /// Bytes of the file that what was seen may take; the rest is for verdicts, actions, audit and what people decide.
    pub(crate) fn ordinary_bytes(&self) -> u64 {
        let file = self.file_bytes();
        file - (file / 8).min(RESERVE)
    }

    /// Bytes that are filled before the oldest goes: a tenth is left for what comes next, of a small store more.
    fn filled_bytes(&self) -> u64 {
        let all = self.ordinary_bytes();
        all - (all / 10).max(ROOM).min(all / 4)
    }

    /// What of them is about rows.
    pub fn retention(&self) -> Retention {
        Retention {
            age_s: self.age_s,
            journal_age_s: self.journal_age_s,
            rows: self.rows,
            ..Retention::default()
        }
    }

    /// What of them is about evidence.
    pub fn evidence(&self) -> EvidenceLimits {
        EvidenceLimits { age_s: self.evidence_age_s, bytes: self.evidence_bytes, ..EvidenceLimits::default() }
    }
}

impl Store {
    /// The limits that this store keeps to.
    pub fn limits(&self) -> Result<Limits, StoreError> {
        let kept = self.state(STATE)?;
        Ok(kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    /// Changes the limits; the bound of the file holds for this connection at once and for others when they open it.
    pub fn set_limits(&mut self, limits: &Limits) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(limits)
            .map_err(|e| StoreError::Row { table: "states", detail: e.to_string() })?;
        self.put_state(STATE, &bytes)?;
        self.bind()
    }

    /// Keeps to all limits: what is too old or too much goes, and counts say how much. Evidence goes first, then history, traffic, cells
    /// and the verdicts that harm least; the audit goes by its age alone.
    pub fn keep_limits(&mut self, now: Ts) -> Result<Removed, StoreError> {
        // Somebody else may have changed them since this connection was opened.
        self.bind()?;
        self.end_silent(now)?;
        let limits = self.limits()?;
        let mut removed = self.retain(now, &limits.retention())?;
        let old = self.evict_old(limits.evidence_age_s, now)?;
        let evidence = old + self.record_evidence(&[], &limits.evidence())?;
        let mut add = |table: &str, n: u64| {
            if n > 0 {
                *removed.0.entry(table.to_owned()).or_default() += n;
            }
        };
        add("evidence", evidence);
        let most = limits.filled_bytes();
        for (table, sql) in VICTIMS {
            while self.filled()? > most {
                let begun = Instant::now();
                let n = self.evict(table, sql)?;
                self.settle()?;
                add(table, n);
                if n == 0 {
                    break;
                }
                self.let_others(begun.elapsed());
            }
        }
        if self.keeps_space.get() {
            self.keep_space();
        }
        Ok(removed)
    }

    /// Makes SQLite refuse to grow the file beyond its bound, of which the log beside it has its share.
    pub(crate) fn bind(&self) -> Result<(), StoreError> {
        let page: i64 = self.connection.pragma_query_value(None, "page_size", |r| r.get(0))?;
        let limits = self.limits()?;
        let pages = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX) / page.max(1);
        self.pages.set((pages(limits.ordinary_bytes()), pages(limits.file_bytes())));
        self.let_grow(Weight::Ordinary)?;
        let often = i64::try_from(limits.log_bytes() / 4).unwrap_or(i64::MAX) / page.max(1);
        self.connection.query_row(
            &format!("PRAGMA wal_autocheckpoint = {}", often.clamp(16, 1_000)),
            [],
            |_| Ok(()),
        )?;
        Ok(())
    }

    /// Lets the file grow as far as a change of this weight may. A file that is larger already grows no further.
    pub(crate) fn let_grow(&self, weight: Weight) -> Result<(), StoreError> {
        let (ordinary, vital) = self.pages.get();
        let pages = if weight == Weight::Vital { vital } else { ordinary };
        self.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
        Ok(())
    }

    /// Writes the log beside the file back where it has used up half of its share, and cuts it off once all of it is: who still reads
    /// what was before is not waited for, as nobody could write meanwhile.
    pub(crate) fn settle(&self) -> Result<(), StoreError> {
        let log = self.log_len();
        if !self.connection.is_autocommit() || log <= (16 << 20) && log <= self.limits()?.log_bytes() / 2 {
            return Ok(());
        }
        let write_back = |how: &str| {
            let sql = format!("PRAGMA wal_checkpoint({how})");
            self.connection.query_row(&sql, [], |r| Ok((r.get::<_, i64>(1)?, r.get::<_, i64>(2)?)))
        };
        let (pages, written) = write_back("PASSIVE")?;
        if written >= pages {
            let patience: u32 = self.connection.pragma_query_value(None, "busy_timeout", |r| r.get(0))?;
            self.wait_for(MOMENT)?;
            let cut = write_back("TRUNCATE");
            self.wait_for(Duration::from_millis(patience.into()))?;
            cut?;
        }
        Ok(())
    }

    /// Bytes of pages that hold something.
    pub(crate) fn filled(&self) -> Result<u64, StoreError> {
        let number = |pragma: &str| self.connection.pragma_query_value(None, pragma, |r| r.get::<_, i64>(0));
        let used = number("page_count")?.saturating_sub(number("freelist_count")?);
        Ok(used.saturating_mul(number("page_size")?).unsigned_abs())
    }

    /// Removes the oldest evidence, so that newer fits; gives how many exchanges went.
    pub(crate) fn make_way(&mut self) -> Result<u64, StoreError> {
        let [(table, sql), ..] = VICTIMS;
        let gone = self.evict(table, sql)?;
        self.settle()?;
        Ok(gone)
    }

    fn evict(&mut self, table: &str, sql: &str) -> Result<u64, StoreError> {
        let step = if table == "evidence" { STEP_OF_EVIDENCE } else { STEP };
        let transaction = self.begin_vital()?;
        let ids: Vec<String> = {
            let mut statement = transaction.prepare(sql)?;
            let rows = statement.query_map([step], |r| r.get::<_, rusqlite::types::Value>(0))?;
            rows.map(|r| r.map(|v| if let rusqlite::types::Value::Text(t) = v { t } else { String::new() }))
                .collect::<Result<_, _>>()?
        };
        if table == "verdicts" {
            crate::now::refresh::<sidetap_model::rows::VerdictRow>(&transaction, &ids)?;
        }
        if table == "evidence" {
            unsample(&transaction, &ids)?;
        }
        count(&transaction, &format!("bound.{table}"), ids.len() as u64)?;
        transaction.commit()?;
        Ok(ids.len() as u64)
    }
}

/// What goes where the file is nearly full, in this order.
const VICTIMS: [(&str, &str); 7] = [
    ("evidence", "DELETE FROM evidence WHERE id IN (SELECT id FROM evidence ORDER BY at, id LIMIT ?1) RETURNING id"),
    ("history", "DELETE FROM history WHERE seq IN (SELECT seq FROM history ORDER BY seq LIMIT ?1) RETURNING seq"),
    ("former", "DELETE FROM former WHERE seq IN (SELECT seq FROM former ORDER BY seq LIMIT ?1) RETURNING seq"),
    ("calls", "DELETE FROM calls WHERE (endpoint, ts, run) IN (SELECT endpoint, ts, run FROM calls ORDER BY ts LIMIT ?1) RETURNING ts"),
    ("traffic", "DELETE FROM traffic WHERE (run, ts) IN (SELECT run, ts FROM traffic ORDER BY ts LIMIT ?1) RETURNING ts"),
    ("cells", "DELETE FROM cells WHERE (run, hour, cell) IN (SELECT run, hour, cell FROM cells ORDER BY hour LIMIT ?1) RETURNING hour"),
    (
        "verdicts",
        "DELETE FROM verdicts WHERE id IN (SELECT id FROM now_verdicts ORDER BY
             CASE intent WHEN 'malicious' THEN 2 WHEN 'suspicious' THEN 1 ELSE 0 END, last_seen LIMIT ?1) RETURNING id",
    ),
];
