//! Copies of a store, and forgetting somebody in it.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use sidetap_model::rows::{CampaignRow, EndpointRow, FindingRow, SensitiveRow, VerdictRow};
use sidetap_model::{SubjectKind, Ts};

use crate::error::StoreError;
use crate::now::{self, Kept};
use crate::open::Store;
use crate::retain::Removed;

/// How often a copy is tried while somebody holds the store locked.
const TRIES: usize = 200;

impl Store {
    /// Writes a consistent copy of the store into a new file that only its owner may read: all of it as it is at one moment, whatever
    /// others write meanwhile.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        drop(private(to)?);
        let copied = self.copy(to);
        if copied.is_err() {
            let _ = std::fs::remove_file(to);
        }
        copied
    }

    /// The same as a file without a name, which is gone when it is closed.
    pub fn backup_file(&self) -> Result<File, StoreError> {
        static COPIES: AtomicU64 = AtomicU64::new(0);
        let number = COPIES.fetch_add(1, Relaxed);
        let copy = self.path().with_extension(format!("copy-{}-{number}", std::process::id()));
        let _ = std::fs::remove_file(&copy);
        let file = self.backup(&copy).and_then(|()| File::open(&copy).map_err(|e| open_failed(&copy, &e)));
        let _ = std::fs::remove_file(&copy);
        file
    }

    fn copy(&self, to: &Path) -> Result<(), StoreError> {
        let mut copy = Connection::open(to)?;
        let backup = Backup::new(&self.connection, &mut copy)?;
        // All pages in one step: between two steps another connection's change would begin it anew.
        for _ in 0..TRIES {
            match backup.step(-1)? {
                StepResult::Done => return Ok(()),
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
        Err(StoreError::Open { path: to.display().to_string(), detail: "the store is locked".to_owned() })
    }

    /// Removes all that tells of one account, address, session or key, spelled as outputs spell it: its verdicts, memberships and
    /// allow-list entries, and exchanges, findings and sensitive data whose rows name it. The audit keeps that, not whom, it forgot.
    pub fn forget(
        &mut self,
        kind: SubjectKind,
        value: &str,
        by: &str,
        now: Ts,
    ) -> Result<Removed, StoreError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut removed = Removed::default();
        forget_rows::<VerdictRow>(&transaction, &mut removed, value, Naming::Rewrite)?;
        forget_rows::<CampaignRow>(&transaction, &mut removed, value, Naming::Rewrite)?;
        forget_rows::<FindingRow>(&transaction, &mut removed, value, Naming::Remove)?;
        forget_rows::<SensitiveRow>(&transaction, &mut removed, value, Naming::Remove)?;
        forget_rows::<EndpointRow>(&transaction, &mut removed, value, Naming::Rewrite)?;
        let mut note = |table: &str, n: usize| {
            if n > 0 {
                removed.0.insert(table.to_owned(), n as u64);
            }
        };
        let members = "DELETE FROM members WHERE value = ?1 OR instr(value, ?1 || ' + ') > 0 OR instr(value, ' + ' || ?1) > 0";
        note("members", transaction.execute(members, [value])?);
        let named = quoted_json(value);
        note("evidence", forget_evidence(&transaction, value)?);
        note(
            "allowed",
            transaction
                .execute("DELETE FROM allowed WHERE kind = ?1 AND value = ?2", params![kind.name(), value])?,
        );
        note(
            "actions",
            transaction.execute(
                "DELETE FROM actions WHERE instr(row, ?1) > 0 OR instr(row, ?2) > 0",
                params![named, prefix(value)],
            )?,
        );
        note("approvals", transaction.execute("DELETE FROM approvals WHERE instr(row, ?1) > 0", [&named])?);
        note("cells", transaction.execute("DELETE FROM cells WHERE instr(cell, ?1) > 0", [&named])?);
        note("history", transaction.execute("DELETE FROM history WHERE instr(title, ?1) > 0", [value])?);
        let audit = crate::retain::prune_where(
            &transaction,
            // Who changed users, tokens, settings and policies stays, whatever they are called.
            "(instr(detail, ?1) > 0 OR instr(detail, ?2) > 0)
             AND substr(action, 1, instr(action, '.')) NOT IN ('user.', 'token.', 'session.', 'settings.', 'policy.', 'store.')",
            params![named, prefix(value)],
        )?;
        note("audit", audit);
        let detail = serde_json::json!({ "kind": kind.name(), "removed": removed.0 }).to_string();
        transaction.execute(
            "INSERT INTO audit (at, actor, action, detail) VALUES (?1, ?2, 'store.forget', ?3)",
            params![now.0, by, detail],
        )?;
        transaction.commit()?;
        self.connection.execute("INSERT INTO search(search) VALUES ('optimize')", [])?;
        self.checkpoint()?;
        Ok(removed)
    }

    /// Moves what is in the log into the file, and the log's bytes off the disk.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }
}

/// A new file that only its owner may read.
fn private(path: &Path) -> Result<File, StoreError> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|e| open_failed(path, &e))
}

fn open_failed(path: &Path, error: &std::io::Error) -> StoreError {
    let detail = match error.kind() {
        std::io::ErrorKind::AlreadyExists => "there is a file already".to_owned(),
        _ => error.to_string(),
    };
    StoreError::Open { path: path.display().to_string(), detail }
}

/// What becomes of a row that names somebody.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// The name is taken out; a row that is about nobody else goes.
    Rewrite,
    /// The row goes.
    Remove,
}

fn forget_rows<T: Kept>(
    transaction: &Transaction<'_>,
    removed: &mut Removed,
    value: &str,
    naming: Naming,
) -> Result<(), StoreError> {
    let name = T::TABLE.name();
    let named: Vec<(String, String, String)> = {
        let sql = format!("SELECT id, run, row FROM {name} WHERE instr(row, ?1) > 0");
        let mut statement = transaction.prepare(&sql)?;
        let rows = statement.query_map([value], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    let mut ids = Vec::new();
    for (id, run, text) in named {
        let kept = match naming {
            Naming::Remove if names(&text, value) => None,
            Naming::Remove => continue,
            Naming::Rewrite => match without(&text, value) {
                Rewritten::Same => continue,
                Rewritten::Gone => None,
                Rewritten::Kept(text) => Some(text),
            },
        };
        match kept {
            Some(text) => transaction.execute(
                &format!("UPDATE {name} SET row = ?3 WHERE id = ?1 AND run = ?2"),
                params![id, run, text],
            )?,
            None => transaction
                .execute(&format!("DELETE FROM {name} WHERE id = ?1 AND run = ?2"), params![id, run])?,
        };
        *removed.0.entry(name.to_owned()).or_default() += 1;
        ids.push(id);
    }
    now::refresh::<T>(transaction, &ids)
}

enum Rewritten {
    Same,
    Gone,
    Kept(String),
}

fn names(text: &str, value: &str) -> bool {
    matches!(without(text, value), Rewritten::Gone | Rewritten::Kept(_))
}

/// A row's text without the name: members and addresses go, texts in which it is a word have it taken out; a row whose subject it
/// is goes whole.
fn without(text: &str, value: &str) -> Rewritten {
    let Ok(mut row) = serde_json::from_str::<serde_json::Value>(text) else { return Rewritten::Same };
    if let Some(subject) = row.get("subject")
        && mentions(subject, value)
    {
        return Rewritten::Gone;
    }
    match strip(&mut row, value) {
        true => serde_json::to_string(&row).map_or(Rewritten::Gone, Rewritten::Kept),
        false => Rewritten::Same,
    }
}

fn mentions(part: &serde_json::Value, value: &str) -> bool {
    match part {
        serde_json::Value::String(text) => has_word(text, value),
        serde_json::Value::Array(items) => items.iter().any(|i| mentions(i, value)),
        serde_json::Value::Object(fields) => fields.values().any(|f| mentions(f, value)),
        _ => false,
    }
}

fn strip(part: &mut serde_json::Value, value: &str) -> bool {
    match part {
        serde_json::Value::String(text) if has_word(text, value) => {
            *text = text.replace(value, "(forgotten)");
            true
        }
        serde_json::Value::Array(items) => {
            let before = items.len();
            items.retain(|i| {
                i.as_str() != Some(value)
                    && i.get("value").and_then(|v| v.as_str()).is_none_or(|v| !has_word(v, value))
            });
            let gone = items.len() != before;
            items.iter_mut().map(|i| u32::from(strip(i, value))).sum::<u32>() > 0 || gone
        }
        serde_json::Value::Object(fields) => {
            if fields.get("client_ip").and_then(|v| v.as_str()) == Some(value) {
                fields.insert("client_ip".to_owned(), serde_json::Value::Null);
                fields.values_mut().for_each(|f| _ = strip(f, value));
                return true;
            }
            fields.values_mut().map(|f| u32::from(strip(f, value))).sum::<u32>() > 0
        }
        _ => false,
    }
}

/// Whether the name is in a text by itself, not as a part of a longer one: `10.0.0.1` is not in `10.0.0.11`.
fn has_word(text: &str, value: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '.' || c == ':' || c == '#';
    text.match_indices(value).any(|(at, found)| {
        let before = text.get(..at).and_then(|t| t.chars().next_back());
        let after = text
            .get(at + found.len()..)
            .map(|t| t.trim_end_matches(['.', ':']))
            .and_then(|t| t.chars().next());
        !before.is_some_and(joins) && !after.is_some_and(joins)
    })
}

fn quoted_json(value: &str) -> String {
    serde_json::Value::String(value.to_owned()).to_string()
}

/// An address as devices spell it, `203.0.113.1/32`: up to its prefix.
fn prefix(value: &str) -> String {
    format!("\"{value}/")
}

/// Removes exchanges that name somebody anywhere in them, heads and bodies too.
fn forget_evidence(transaction: &Transaction<'_>, value: &str) -> Result<usize, StoreError> {
    let named: Vec<String> = {
        let mut statement = transaction.prepare("SELECT id, row FROM evidence WHERE instr(row, ?1) > 0")?;
        let mut rows = statement.query([value])?;
        let mut named = Vec::new();
        while let Some(row) = rows.next()? {
            if stands_in(row.get_ref(1)?.as_str().unwrap_or_default(), value) {
                named.push(row.get(0)?);
            }
        }
        named
    };
    for id in &named {
        transaction.prepare_cached("DELETE FROM evidence WHERE id = ?1")?.execute([id])?;
        transaction.prepare_cached("DELETE FROM sampled WHERE exchange = ?1")?.execute([id])?;
    }
    Ok(named.len())
}

/// True where a value stands in a text as itself, not as a part of a longer one.
fn stands_in(text: &str, value: &str) -> bool {
    let goes_on = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
    text.match_indices(value).any(|(at, found)| {
        let before = text.get(..at).and_then(|t| t.chars().next_back());
        let after = text.get(at + found.len()..).and_then(|t| t.chars().next());
        !before.is_some_and(goes_on) && !after.is_some_and(goes_on)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_itself_only() {
        for text in ["203.0.113.1", "203.0.113.1 + s-1", "at 203.0.113.1, 3 times", "203.0.113.1."] {
            assert!(has_word(text, "203.0.113.1"), "{text}");
        }
        for text in ["203.0.113.11", "1203.0.113.1", "203.0.113.1.example", "::203.0.113.1"] {
            assert!(!has_word(text, "203.0.113.1"), "{text}");
        }
    }
    #[test]
    fn a_copy_ends_while_others_write_and_is_private() {
        use std::sync::atomic::AtomicBool;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.db");
        let mut store = Store::open(&path).unwrap();
        for n in 0..40 {
            store.put_state(&format!("big{n}"), &vec![7; 1 << 20]).unwrap();
        }
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0_u32.. {
                    store.put_state("n", &n.to_le_bytes()).unwrap();
                    std::thread::sleep(Duration::from_millis(1));
                    if done.load(Relaxed) {
                        break;
                    }
                }
            });
            let reader = Store::open_read_only(&path).unwrap();
            let copies: Vec<u64> =
                (0..3).map(|_| reader.backup_file().unwrap().metadata().unwrap().len()).collect();
            let to = dir.path().join("copy.db");
            reader.backup(&to).unwrap();
            assert!(reader.backup(&to).is_err(), "what is there is not overwritten");
            done.store(true, Relaxed);
            assert!(copies.iter().all(|len| *len > 40 << 20), "{copies:?}");
            assert!(Store::open_read_only(&to).unwrap().state("big39").unwrap().is_some());
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
            }
        });
        assert!(
            !std::fs::read_dir(dir.path()).unwrap().any(|f| f
                .unwrap()
                .file_name()
                .to_string_lossy()
                .contains("copy-"))
        );
    }
}
