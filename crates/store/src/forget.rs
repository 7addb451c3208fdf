//! Forgetting somebody in a store.

mod campaign;

use std::time::Duration;

use rusqlite::{Connection, params};
use serde_json::Value;
use sidetap_model::rows::{CampaignRow, EndpointRow, FindingRow, SensitiveRow, VerdictRow};
use sidetap_model::{SubjectKind, Ts, words};

use crate::error::StoreError;
use crate::journal::{FORGOTTEN, rewrite_audit};
use crate::now::{self, Kept};
use crate::open::{BUSY, Store};
use crate::retain::Removed;
use crate::schema::Table;
use crate::watched::ToForget;

/// How long who forgets somebody waits for others who write.
const PATIENCE: Duration = Duration::from_secs(60);

impl Store {
    /// Removes all that tells of one account, address, session or key, spelled as outputs spell it: its verdicts, memberships and
    /// allow-list entries, and exchanges, findings and sensitive data whose rows name it. A name of one kind is not taken for one of
    /// another. The audit keeps that, not whom, it forgot; where older rows of it name somebody the name is taken out.
    pub fn forget(
        &mut self,
        kind: SubjectKind,
        value: &str,
        by: &str,
        now: Ts,
    ) -> Result<Removed, StoreError> {
        // Others may be at it too, and each takes its time.
        self.connection.busy_timeout(PATIENCE)?;
        let removed = self.forget_here(kind, value, by, now);
        // This one is forgotten; where those whom runs that ended left cannot be, whoever writes next tries it again.
        let _ = self.end_silent(now);
        self.connection.busy_timeout(BUSY)?;
        removed
    }

    fn forget_here(
        &mut self,
        kind: SubjectKind,
        value: &str,
        by: &str,
        now: Ts,
    ) -> Result<Removed, StoreError> {
        let who = Who { kind, value, again: None };
        let transaction = self.begin_vital()?;
        let mut removed = Removed::default();
        forget_verdicts(&transaction, &mut removed, who, now)?;
        forget_in(&transaction, &mut removed, who)?;
        let watchers = self.watchers(now)?;
        for run in &watchers {
            let sql = "INSERT INTO forgets (at, run, kind, value) VALUES (?1, ?2, ?3, ?4)";
            transaction.execute(sql, params![now.0, run, kind.name(), value])?;
        }
        let detail = serde_json::json!({ "kind": kind.name(), "removed": removed.0 }).to_string();
        transaction.execute(
            "INSERT INTO audit (at, actor, action, detail) VALUES (?1, ?2, 'store.forget', ?3)",
            params![now.0, by, detail],
        )?;
        transaction.commit()?;
        self.connection.execute("INSERT INTO search(search) VALUES ('optimize')", [])?;
        // Answers of devices name whom they were told of; they are gone once nobody waits for them.
        self.clear_orders(now)?;
        self.checkpoint()?;
        // Where a run has to forget them first the name is still there, and the file is cleared when that is done.
        if watchers.is_empty() && who.is_plain() {
            self.clear_unused(&[value])?;
        }
        Ok(removed)
    }

    /// Forgets verdicts on somebody once more: those that whoever keeps them wrote before hearing of it. What is said from then on is said
    /// of somebody new.
    pub fn forget_verdicts(&mut self, who: &ToForget, now: Ts) -> Result<(), StoreError> {
        let transaction = self.begin_vital()?;
        let name = Who { kind: who.kind, value: &who.value, again: Some(Again::of(who)) };
        forget_verdicts(&transaction, &mut Removed::default(), name, who.at)?;
        transaction.execute("UPDATE forgets SET acted = ?2 WHERE seq = ?1", params![who.seq, now.0])?;
        transaction.commit()
    }

    /// Forgets these once more, whom a run that goes on has forgotten by now: all but verdicts that it wrote meanwhile goes, and the
    /// names with it.
    pub fn forget_again(&mut self, all: &[ToForget]) -> Result<(), StoreError> {
        self.sweep(all, false)
    }

    /// The same with the verdicts, for a run that is over.
    pub(crate) fn forget_left(&mut self, all: &[ToForget]) -> Result<(), StoreError> {
        self.sweep(all, true)
    }

    fn sweep(&mut self, all: &[ToForget], verdicts: bool) -> Result<(), StoreError> {
        if all.is_empty() {
            return Ok(());
        }
        let transaction = self.begin_vital()?;
        for who in all {
            let again = Some(Again::of(who));
            let (name, mut removed) = (Who { kind: who.kind, value: &who.value, again }, Removed::default());
            if verdicts {
                forget_verdicts(&transaction, &mut removed, name, who.at)?;
            }
            forget_in(&transaction, &mut removed, name)?;
            transaction.execute("DELETE FROM forgets WHERE seq = ?1", [who.seq])?;
        }
        transaction.commit()?;
        self.checkpoint()?;
        let waiting: i64 = self.connection.query_row("SELECT count(*) FROM forgets", [], |r| r.get(0))?;
        let plain = |who: &&ToForget| Who { kind: who.kind, value: &who.value, again: None }.is_plain();
        let names: Vec<&str> = all.iter().filter(plain).map(|who| who.value.as_str()).collect();
        if waiting == 0 { self.clear_unused(&names) } else { Ok(()) }
    }

    /// Moves what is in the log into the file, and the log's bytes off the disk.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }
}

/// Removes the rows that tell of somebody, and takes the name out of others.
fn forget_in(transaction: &Connection, removed: &mut Removed, who: Who<'_>) -> Result<(), StoreError> {
    let (kind, value) = (who.kind, who.value);
    forget_rows::<CampaignRow>(transaction, removed, who, Naming::Rewrite)?;
    forget_rows::<FindingRow>(transaction, removed, who, Naming::Remove)?;
    forget_rows::<SensitiveRow>(transaction, removed, who, Naming::Remove)?;
    forget_rows::<EndpointRow>(transaction, removed, who, Naming::Rewrite)?;
    let mut note = |table: &str, n: usize| {
        if n > 0 {
            removed.0.insert(table.to_owned(), n as u64);
        }
    };
    note("members", forget_members(transaction, who)?);
    for (table, text) in [("evidence", "row"), ("actions", "row"), ("cells", "cell")] {
        note(table, forget_where_named(transaction, table, text, who)?);
    }
    if who.is_plain() {
        note("history", forget_history(transaction, value)?);
    }
    note("former", forget_in_texts(transaction, "former", "template", who)?);
    transaction.execute("DELETE FROM sampled WHERE exchange NOT IN (SELECT id FROM evidence)", [])?;
    note("audit", forget_in_audit(transaction, who)?);
    if who.again.is_some() {
        return Ok(());
    }
    let allowed = "DELETE FROM allowed WHERE (kind = ?1 AND value = ?2)
        OR (?1 = 'ip' AND kind = 'cidr' AND value IN (?2 || '/32', ?2 || '/128'))";
    note("allowed", transaction.execute(allowed, params![kind.name(), value])?);
    note("approvals", forget_where_named(transaction, "approvals", "row", who)?);
    for (table, text) in
        [("notes", "note"), ("work", "note"), ("work_log", "note"), ("taught", "note"), ("allowed", "reason")]
    {
        note(table, forget_in_texts(transaction, table, text, who)?);
    }
    Ok(())
}

/// Removes verdicts on somebody, and marks them as forgotten.
fn forget_verdicts(
    transaction: &Connection,
    removed: &mut Removed,
    who: Who<'_>,
    now: Ts,
) -> Result<(), StoreError> {
    mark_forgotten(transaction, who, now)?;
    forget_rows::<VerdictRow>(transaction, removed, who, Naming::Rewrite)
}

/// Marks verdicts on somebody: what is taken off devices for want of them is told without the name. A verdict that is said anew is not.
fn mark_forgotten(transaction: &Connection, who: Who<'_>, now: Ts) -> Result<(), StoreError> {
    let mut statement = transaction.prepare(
        "SELECT DISTINCT id, row FROM verdicts WHERE instr(row, ?1) > 0 AND coalesce(run = ?2, 1)",
    )?;
    let mut rows = statement.query(params![who.value, who.run()])?;
    while let Some(row) = rows.next()? {
        let text = row.get_ref(1)?.as_str().unwrap_or_default();
        if matches!(without(text, who), Rewritten::Gone) {
            let id: String = row.get(0)?;
            let sql = "INSERT OR REPLACE INTO forgotten (verdict, at) VALUES (?1, ?2)";
            transaction.prepare_cached(sql)?.execute(params![id, now.0])?;
        }
    }
    Ok(())
}

/// Who is forgotten.
#[derive(Clone, Copy)]
struct Who<'a> {
    kind: SubjectKind,
    value: &'a str,
    /// What a run wrote meanwhile is swept.
    again: Option<Again<'a>>,
}

/// A run that was asked to forget somebody at one time and forgot them at another, and what it wrote until then is swept: what other runs
/// say stays, what people said since the first, and what was done to devices since the second.
#[derive(Clone, Copy)]
struct Again<'a> {
    run: &'a str,
    asked: Ts,
    until: Ts,
}

impl<'a> Again<'a> {
    fn of(who: &'a ToForget) -> Self {
        Again { run: &who.run, asked: who.at, until: who.acted.unwrap_or(who.at) }
    }
}

impl Who<'_> {
    /// The run whose rows are meant, where it is one run's.
    fn run(&self) -> Option<&str> {
        self.again.map(|again| again.run)
    }

    /// Up to when what says its time is theirs.
    fn until(&self) -> i64 {
        self.again.map_or(i64::MAX, |again| again.until.0)
    }

    /// Whether the value can be nothing else wherever it stands: an address, or a name as it is spelled once it is hashed.
    fn is_plain(&self) -> bool {
        match self.kind {
            SubjectKind::Ip => true,
            _ => self
                .value
                .split_once('#')
                .is_some_and(|(_, hash)| hash.len() >= 16 && hash.bytes().all(|b| b.is_ascii_hexdigit())),
        }
    }

    /// Whether something that says its kind is of this one.
    fn is_of(&self, kind: &str) -> bool {
        kind == self.kind.name() || kind == "compound" || (self.kind == SubjectKind::Ip && kind == "cidr")
    }

    /// Whether a field holds names of this kind.
    fn is_field(&self, field: &str) -> bool {
        let fields: &[&str] = match self.kind {
            SubjectKind::Ip => &["ip", "ips", "client_ip", "client_ips", "i"],
            SubjectKind::Account => &["account", "accounts", "u"],
            SubjectKind::Session => &["session", "sessions", "s"],
            SubjectKind::ApiKey => &["api_key", "api_keys", "k"],
            _ => &[],
        };
        fields.contains(&field)
    }

    /// Whether a text in this field names them.
    fn is_in(&self, field: &str, text: &str) -> bool {
        (self.is_plain() || self.is_field(field)) && has_word(text, self.value)
    }
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
    transaction: &Connection,
    removed: &mut Removed,
    who: Who<'_>,
    naming: Naming,
) -> Result<(), StoreError> {
    let name = T::TABLE.name();
    let named: Vec<(String, String, String)> = {
        let sql =
            format!("SELECT id, run, row FROM {name} WHERE instr(row, ?1) > 0 AND coalesce(run = ?2, 1)");
        let mut statement = transaction.prepare(&sql)?;
        let found = params![who.value, who.run()];
        let rows = statement.query_map(found, |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    let mut ids = Vec::new();
    for (id, run, text) in named {
        let kept = match (naming, without(&text, who)) {
            (_, Rewritten::Same) => continue,
            (Naming::Rewrite, Rewritten::Kept(left)) if T::TABLE == Table::Campaigns => {
                Some(campaign::retold(&text, left))
            }
            (Naming::Rewrite, Rewritten::Kept(text)) => Some(text),
            (Naming::Remove, _) | (_, Rewritten::Gone) => None,
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

/// A row's text without the name: members and addresses go, texts in which it is a word have it taken out; a row whose subject it
/// is goes whole.
fn without(text: &str, who: Who<'_>) -> Rewritten {
    let Ok(mut row) = serde_json::from_str::<Value>(text) else { return Rewritten::Same };
    if row.get("subject").is_some_and(|s| mentions(s, who)) {
        return Rewritten::Gone;
    }
    match strip(&mut row, "", who) {
        true => serde_json::to_string(&row).map_or(Rewritten::Gone, Rewritten::Kept),
        false => Rewritten::Same,
    }
}

/// Whether something that has a kind and a value, or a text, is about them.
fn mentions(part: &Value, who: Who<'_>) -> bool {
    match (part.get("kind").and_then(Value::as_str), part.get("value").and_then(Value::as_str)) {
        (Some(kind), Some(value)) => who.is_of(kind) && has_word(value, who.value),
        _ => part.as_str().is_some_and(|text| who.is_in("", text)),
    }
}

fn strip(part: &mut Value, field: &str, who: Who<'_>) -> bool {
    match part {
        Value::String(text) if who.is_in(field, text) => {
            *text = without_word(text, who.value);
            true
        }
        Value::Array(items) => {
            let before = items.len();
            let whole = |i: &Value| i.as_str() == Some(who.value) && who.is_in(field, who.value);
            items.retain(|i| !(whole(i) || i.is_object() && mentions(i, who)));
            let gone = items.len() != before;
            items.iter_mut().map(|i| u32::from(strip(i, field, who))).sum::<u32>() > 0 || gone
        }
        Value::Object(fields) => {
            let kind = fields.get("kind").and_then(Value::as_str).map(str::to_owned);
            let of_another =
                kind.is_some_and(|k| SubjectKind::ALL.iter().any(|s| s.name() == k) && !who.is_of(&k));
            let mut found = 0;
            for (name, value) in fields.iter_mut() {
                if name == "client_ip" && who.kind == SubjectKind::Ip && value.as_str() == Some(who.value) {
                    *value = Value::Null;
                    found += 1;
                } else if !(of_another && name == "value") {
                    found += u32::from(strip(value, name, who));
                }
            }
            found > 0
        }
        _ => false,
    }
}

/// Whether the name is in a text by itself, not as a part of a longer one: `10.0.0.1` is not in `10.0.0.11`.
fn has_word(text: &str, value: &str) -> bool {
    words(text.as_bytes(), value.as_bytes()).next().is_some()
}

/// A text with something else where the value stands as a word.
pub(crate) fn without_word(text: &str, value: &str) -> String {
    let (mut out, mut done) = (String::with_capacity(text.len()), 0);
    for at in words(text.as_bytes(), value.as_bytes()) {
        out.push_str(text.get(done..at).unwrap_or_default());
        out.push_str(FORGOTTEN);
        done = at + value.len();
    }
    out + text.get(done..).unwrap_or_default()
}

/// Removes memberships of somebody, by themselves or together with something else.
fn forget_members(transaction: &Connection, who: Who<'_>) -> Result<usize, StoreError> {
    let sql = "SELECT campaign, run, kind, value FROM members WHERE coalesce(run = ?3, 1)
        AND (kind = ?2 AND value = ?1 OR kind = 'compound' AND instr(value, ?1) > 0)";
    let mut statement = transaction.prepare(sql)?;
    let found = params![who.value, who.kind.name(), who.run()];
    let rows = statement.query_map(found, |r| Ok([r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?]))?;
    let found: Vec<[String; 4]> = rows.collect::<Result<_, _>>()?;
    let sql = "DELETE FROM members WHERE campaign = ?1 AND run = ?2 AND kind = ?3 AND value = ?4";
    let mut delete = transaction.prepare(sql)?;
    let mut gone = 0;
    for row in found.iter().filter(|[.., members]| members.split(" + ").any(|one| one == who.value)) {
        gone += delete.execute(rusqlite::params_from_iter(row))?;
    }
    Ok(gone)
}

/// Removes what became different of things in whose titles an address, or the hash of a name, stands.
fn forget_history(transaction: &Connection, value: &str) -> Result<usize, StoreError> {
    let mut statement =
        transaction.prepare("SELECT DISTINCT title FROM history WHERE instr(title, ?1) > 0")?;
    let found = statement.query_map([value], |r| r.get(0))?.collect::<Result<Vec<String>, _>>()?;
    let mut delete = transaction.prepare("DELETE FROM history WHERE title = ?1")?;
    let mut gone = 0;
    for title in found.iter().filter(|title| has_word(title, value)) {
        gone += delete.execute([title])?;
    }
    Ok(gone)
}

/// Whether an exchange names somebody otherwise than as the server: what an address served to others is theirs.
fn is_named_in_exchange(text: &str, who: Who<'_>) -> bool {
    if who.kind != SubjectKind::Ip || !has_word(text, who.value) {
        return names(text, who);
    }
    let Ok(mut row) = serde_json::from_str::<Value>(text) else { return true };
    if row.pointer("/server/ip").and_then(Value::as_str) != Some(who.value) {
        return true;
    }
    for part in ["/server/ip", "/url/domain"] {
        row.pointer_mut(part).into_iter().for_each(|part| *part = Value::Null);
    }
    // Fields that say whom the request was to, from what page of theirs, and where their answer leads.
    const OF_THE_SERVER: [&str; 6] =
        [":authority", "host", "referer", "origin", "location", "content-location"];
    for head in ["/http/request/headers", "/http/response/headers"] {
        if let Some(Value::Array(fields)) = row.pointer_mut(head) {
            fields.retain(|field| {
                let name = field.get(0).and_then(Value::as_str).unwrap_or_default();
                !OF_THE_SERVER.iter().any(|of| name.eq_ignore_ascii_case(of))
            });
        }
    }
    has_word(&row.to_string(), who.value)
}

/// Removes rows of which the text, a JSON value, names somebody anywhere in it.
fn forget_where_named(
    transaction: &Connection,
    table: &str,
    text: &str,
    who: Who<'_>,
) -> Result<usize, StoreError> {
    let mut gone = 0;
    // What is done to devices since is done to somebody new. Times of exchanges are those of packets: theirs all go.
    let theirs = match table {
        "cells" => "coalesce(run = ?2, 1) AND ?3 = ?3",
        "actions" => "?2 IS ?2 AND at <= ?3",
        _ => "?2 IS ?2 AND ?3 = ?3",
    };
    let found: Vec<String> = {
        let sql = format!("SELECT DISTINCT {text} FROM {table} WHERE instr({text}, ?1) > 0 AND {theirs}");
        let mut statement = transaction.prepare(&sql)?;
        let mut rows = statement.query(params![who.value, who.run(), who.until()])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let text = row.get_ref(0)?.as_str().unwrap_or_default();
            let named = match table {
                "evidence" => is_named_in_exchange(text, who),
                _ => names(text, who),
            };
            if named {
                found.push(text.to_owned());
            }
        }
        found
    };
    let sql = format!("DELETE FROM {table} WHERE {text} = ?1 AND {theirs}");
    for text in found {
        gone += transaction.prepare_cached(&sql)?.execute(params![text, who.run(), who.until()])?;
    }
    Ok(gone)
}

/// Takes a name out of what people wrote; gives how many texts it was in.
fn forget_in_texts(
    transaction: &Connection,
    table: &str,
    text: &str,
    who: Who<'_>,
) -> Result<usize, StoreError> {
    // A name that is a common word would be taken out of what is about others.
    if !who.is_plain() && !who.value.contains('@') {
        return Ok(0);
    }
    let sql = format!("SELECT DISTINCT {text} FROM {table} WHERE instr({text}, ?1) > 0");
    let mut statement = transaction.prepare(&sql)?;
    let found = statement.query_map([who.value], |r| r.get(0))?.collect::<Result<Vec<String>, _>>()?;
    let sql = format!("UPDATE {table} SET {text} = ?2 WHERE {text} = ?1");
    let mut change = transaction.prepare(&sql)?;
    let mut changed = 0;
    for text in found.iter().filter(|t| has_word(t, who.value)) {
        changed += change.execute([text, &without_word(text, who.value)])?;
    }
    Ok(changed)
}

fn names(text: &str, who: Who<'_>) -> bool {
    match who.is_plain() {
        true => has_word(text, who.value),
        false => !matches!(without(text, who), Rewritten::Same),
    }
}

/// Takes a name out of the audit's rows about traffic and about what was done to it. Who changed users, tokens, settings and policies
/// stays, whatever they are called.
fn forget_in_audit(transaction: &Connection, who: Who<'_>) -> Result<usize, StoreError> {
    let found: Vec<(i64, String)> = {
        let sql = "SELECT seq, detail FROM audit WHERE instr(detail, ?1) > 0 AND substr(action, 1, instr(action, '.'))
            NOT IN ('user.', 'token.', 'session.', 'settings.', 'policy.', 'store.')
            AND (at <= ?2 OR actor = 'watch' AND at <= ?3)";
        let asked = who.again.map_or(i64::MAX, |again| again.asked.0);
        let mut statement = transaction.prepare(sql)?;
        let rows =
            statement.query_map(params![who.value, asked, who.until()], |r| Ok((r.get(0)?, r.get(1)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    let found: Vec<_> = found.into_iter().filter(|(_, detail)| names(detail, who)).collect();
    if found.is_empty() {
        return Ok(0);
    }
    let gone = found.len();
    rewrite_audit(
        transaction,
        found.into_iter().map(|(seq, detail)| (seq, without_word(&detail, who.value))),
    )?;
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_one_kind_is_none_of_another() {
        let row = r##"{"subject":{"kind":"session","value":"anna"},"intent":"malicious","ips":["203.0.113.1"],
            "members":[{"kind":"account","value":"anna"},{"kind":"session","value":"anna"}],"accounts":["anna","bert"]}"##;
        let (account, session) = (SubjectKind::Account, SubjectKind::Session);
        assert!(matches!(without(row, Who { kind: session, value: "anna", again: None }), Rewritten::Gone));
        let Rewritten::Kept(left) = without(row, Who { kind: account, value: "anna", again: None }) else {
            panic!("kept")
        };
        let left: Value = serde_json::from_str(&left).unwrap();
        assert_eq!(left["subject"]["value"], "anna", "the session of that name");
        assert_eq!(left["members"], serde_json::json!([{"kind": "session", "value": "anna"}]));
        assert_eq!(left["accounts"], serde_json::json!(["bert"]));
        for (kind, value) in [(account, "malicious"), (session, "malicious"), (session, "203.0.113.1")] {
            assert!(
                matches!(without(row, Who { kind, value, again: None }), Rewritten::Same),
                "{} {value}",
                kind.name()
            );
        }
    }

    #[test]
    fn what_a_server_told_others_is_theirs() {
        let who = Who { kind: SubjectKind::Ip, value: "10.0.0.1", again: None };
        let row = |client: &str, server: &str, body: &str| {
            format!(
                r#"{{"client":{{"ip":"{client}"}},"server":{{"ip":"{server}"}},"url":{{"domain":"10.0.0.1"}},
                "http":{{"request":{{"headers":[["Host","10.0.0.1:80"],["Referer","http://10.0.0.1/"]],"body":{{"content":"{body}"}}}}}}}}"#
            )
        };
        for (client, server, body, is) in [
            ("10.0.0.2", "10.0.0.1", "", false),
            ("10.0.0.2", "10.0.0.1", "from 10.0.0.1", true),
            ("10.0.0.1", "10.0.0.1", "", true),
            ("10.0.0.1", "10.0.0.9", "", true),
            ("10.0.0.2", "10.0.0.9", "", true),
        ] {
            assert_eq!(is_named_in_exchange(&row(client, server, body), who), is, "{client} {server} {body}");
        }
        assert!(!is_named_in_exchange(r#"{"client":{"ip":"10.0.0.11"}}"#, who));
    }

    #[test]
    fn a_name_is_found_by_itself_only() {
        for text in ["203.0.113.1", "203.0.113.1 + s-1", "at 203.0.113.1, 3 times", "203.0.113.1."] {
            assert!(has_word(text, "203.0.113.1"), "{text}");
        }
        for text in ["203.0.113.11", "1203.0.113.1", "203.0.113.1.example"] {
            assert!(!has_word(text, "203.0.113.1"), "{text}");
        }
    }
}
