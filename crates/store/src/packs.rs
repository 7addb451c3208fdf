use rusqlite::{Row, params};
use serde::{Deserialize, Serialize};
use sidetap_model::Ts;

use crate::error::StoreError;
use crate::open::Store;

/// Packs whose text is kept, and packs that are remembered at all.
const TEXTS: i64 = 100;
const PACKS: i64 = 10_000;

/// A pack of rules that was saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackRow {
    /// Its number; the first is 0.
    pub version: u64,
    /// When it was saved.
    pub at: Ts,
    /// By whom; nobody where it was found.
    pub by: String,
    /// Why.
    pub comment: String,
    /// Its text; only that of the newest is kept.
    pub text: Option<String>,
}

impl Store {
    /// Packs that were saved, the newest first.
    pub fn packs(&self) -> Result<Vec<PackRow>, StoreError> {
        let sql = "SELECT version, at, by, comment, text FROM packs ORDER BY version DESC";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([], pack)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The pack that was saved last.
    pub fn last_pack(&self) -> Result<Option<PackRow>, StoreError> {
        let sql = "SELECT version, at, by, comment, text FROM packs ORDER BY version DESC LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_map([], pack)?.next().transpose()?)
    }

    /// Keeps a pack; of old ones the text goes, and of very old ones all.
    pub fn put_pack(&mut self, row: &PackRow) -> Result<(), StoreError> {
        let change = self.begin_vital()?;
        let version = crate::save::count(row.version);
        change.execute(
            "INSERT OR REPLACE INTO packs (version, at, by, comment, text) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![version, row.at.0, row.by, row.comment, row.text],
        )?;
        change.execute(
            "UPDATE packs SET text = NULL WHERE version <= ?1 AND text IS NOT NULL",
            [version - TEXTS],
        )?;
        change.execute("DELETE FROM packs WHERE version <= ?1", [version - PACKS])?;
        change.commit()
    }
}

fn pack(r: &Row<'_>) -> Result<PackRow, rusqlite::Error> {
    Ok(PackRow {
        version: r.get::<_, i64>(0)?.unsigned_abs(),
        at: Ts(r.get(1)?),
        by: r.get(2)?,
        comment: r.get(3)?,
        text: r.get(4)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_old_packs_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("s.db")).unwrap();
        let row = |version| PackRow {
            version,
            at: Ts(7),
            by: "anna".into(),
            comment: "c".into(),
            text: Some(format!("rules: {version}")),
        };
        for version in 0..=101 {
            store.put_pack(&row(version)).unwrap();
        }
        let all = store.packs().unwrap();
        assert_eq!(
            (all.len(), &all[0], store.last_pack().unwrap().as_ref()),
            (102, &row(101), Some(&row(101)))
        );
        let without: Vec<u64> = all.iter().filter(|p| p.text.is_none()).map(|p| p.version).collect();
        assert_eq!(without, [1, 0]);
    }
}
