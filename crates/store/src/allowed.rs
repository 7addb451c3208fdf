//! Whom people said never to act against.

use rusqlite::params;
use serde::{Deserialize, Serialize};
use sidetap_model::Ts;

use crate::error::StoreError;
use crate::net;
use crate::open::Store;
use crate::query::OFTEN;

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

/// What an entry of the allow list lets go, as far as it was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LetGo {
    /// Convictions that name it, or of somebody who was seen there.
    pub verdicts: u64,
    /// Their requests.
    pub requests: u64,
    /// Whether there are more of them than were counted.
    pub more: bool,
}

impl Store {
    /// What an entry of the allow list lets go.
    pub fn let_go(&self, kind: &str, value: &str) -> Result<LetGo, StoreError> {
        let (places, ids) = match kind {
            "ip" | "cidr" => {
                (net::places_within(value), "SELECT id FROM verdict_at WHERE place BETWEEN ?1 AND ?2")
            }
            _ => {
                let named = "SELECT id FROM now_verdicts WHERE kind = ?1 AND subject = ?2";
                (Some((kind.to_owned(), value.to_owned())), named)
            }
        };
        let Some((first, last)) = places else { return Ok(LetGo::default()) };
        let sql = format!(
            "SELECT count(*), coalesce(sum(requests), 0), (SELECT count(*) FROM ({ids} LIMIT {OFTEN} + 1)) FROM now_verdicts
             WHERE +intent = 'malicious' AND id IN ({ids} LIMIT {OFTEN})"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row([first, last], |r| {
            let n = |at: usize| r.get::<_, i64>(at).map(i64::unsigned_abs);
            Ok(LetGo { verdicts: n(0)?, requests: n(1)?, more: n(2)? > OFTEN.unsigned_abs() })
        })?)
    }

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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sidetap_model::rows::RunData;

    use super::*;

    #[test]
    fn convictions_that_an_entry_lets_go_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("s.db")).unwrap();
        let verdict = |n: u32, kind: &str, value: &str, ips: &[&str], intent: &str| {
            serde_json::from_value(json!({
                "id": format!("v-{n}"), "zone": "default", "subject": {"kind": kind, "value": value}, "client_ip": null, "client_ips": ips,
                "intent": intent, "class": "bola", "oat": [], "score": 90, "automation": 50, "coverage": {}, "campaign": null,
                "phase": "online", "first_seen": "2026-10-13T09:00:00Z", "detected_at": "2026-10-13T09:00:00Z",
                "last_seen": "2026-10-13T09:00:00Z", "requests": 10 + n, "reasons": [], "response": "block", "ttl_s": 60, "hosts": [],
            }))
            .unwrap()
        };
        let mut verdicts = vec![
            verdict(1, "ip", "203.0.113.1", &["203.0.113.1"], "malicious"),
            verdict(2, "session", "abc…#0011223344556677", &["203.0.113.2", "198.51.100.1"], "malicious"),
            verdict(3, "ip", "203.0.113.3", &["203.0.113.3"], "automated"),
            verdict(4, "ip", "203.0.114.1", &["203.0.114.1"], "malicious"),
        ];
        let many = |n: u32| {
            let ip = format!("192.0.2.{n}");
            verdict(n, "ip", &ip, &[&ip], "malicious")
        };
        verdicts.extend((100..100 + OFTEN as u32 + 2).map(many));
        store.save_run(&RunData { verdicts, ..RunData::default() }, Ts(1)).unwrap();
        let counted = |kind: &str, value: &str| {
            let LetGo { verdicts, requests, more } = store.let_go(kind, value).unwrap();
            (verdicts, requests, more)
        };
        assert_eq!(counted("cidr", "203.0.113.0/24"), (2, 23, false), "who is seen there, and is convicted");
        assert_eq!(counted("ip", "203.0.114.1"), (1, 14, false));
        assert_eq!(counted("session", "abc…#0011223344556677"), (1, 12, false));
        assert_eq!(counted("account", "abc…#0011223344556677"), (0, 0, false));
        assert_eq!(counted("cidr", "x"), (0, 0, false));
        let (verdicts, _, more) = counted("cidr", "192.0.2.0/24");
        assert_eq!((verdicts, more), (OFTEN.unsigned_abs(), true), "no further than that");
    }
}
