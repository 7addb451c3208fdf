//! Lists with filters, an order and cursors.

use rusqlite::types::Value;
use rusqlite::{Row, params, params_from_iter};

use crate::error::StoreError;
use crate::net;
use crate::open::Store;
use crate::schema::Table;

/// A list's column that can be filtered or sorted by.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// What the API calls it.
    pub name: &'static str,
    /// How SQL reads it.
    sql: &'static str,
    /// By what SQL orders by it, where that tells rows apart that are equal in it.
    order: Option<&'static str>,
    /// What is in it.
    pub kind: ColumnKind,
    /// Whether the list can be in its order.
    pub sortable: bool,
    /// Whether rows are found by its values as places.
    at: bool,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// One word.
    Text,
    /// Several words.
    Set,
    /// A whole number.
    Integer,
    /// A number.
    Real,
    /// A time.
    Time,
    /// Addresses: a filter may be a network.
    Addresses,
    /// A word of something else that the row names: SQL finds the rows by it, up to the values.
    Through,
}

impl Column {
    /// A word to filter by.
    pub(crate) const fn text(name: &'static str, sql: &'static str) -> Self {
        Column { name, sql, order: None, kind: ColumnKind::Text, sortable: false, at: false }
    }

    /// Several words to filter by.
    pub(crate) const fn set(name: &'static str, sql: &'static str) -> Self {
        Column { name, sql, order: None, kind: ColumnKind::Set, sortable: false, at: false }
    }

    /// Something of this kind.
    pub(crate) const fn of(name: &'static str, sql: &'static str, kind: ColumnKind) -> Self {
        Column { name, sql, order: None, kind, sortable: false, at: false }
    }

    /// The same, and the list can be in its order.
    pub(crate) const fn sorted(self) -> Self {
        Column { sortable: true, ..self }
    }

    /// The same, and equal ones are in an order that says more than their ids do: `order` begins with the column.
    pub(crate) const fn ordered_by(self, order: &'static str) -> Self {
        Column { order: Some(order), ..self }
    }

    /// The same, and rows are found by its values as places.
    pub(crate) const fn placed(self) -> Self {
        Column { at: true, ..self }
    }
}

/// A list: what it is made of.
#[derive(Clone, Copy, Debug)]
pub struct List {
    /// `FROM …`; the rows are `n`.
    pub(crate) from: &'static str,
    /// What identifies a row.
    pub(crate) id: &'static str,
    /// What of a row is read.
    pub(crate) select: &'static str,
    /// Whether a row is found fast by its id.
    pub(crate) by_id: bool,
    /// Whether there is an index for each order.
    pub(crate) ordered: bool,
    /// The kind of thing, for words; of those without, words are looked for in this column.
    pub(crate) words: Words,
    /// Columns.
    pub columns: &'static [Column],
    /// Order, where none is asked for: a column, greatest first.
    pub default_sort: &'static str,
}

/// Where words are looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Words {
    /// In the search, among things of this table, by this column.
    Search(Table, &'static str),
    /// In this expression.
    Text(&'static str),
}

impl List {
    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&'static Column> {
        self.columns.iter().find(|c| c.name == name)
    }
}

/// What of a list is wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// All of these hold.
    pub filters: Vec<Filter>,
    /// All of these words are in the row.
    pub words: Vec<String>,
    /// By which column it is in order; the list's own where none is named.
    pub sort: Option<Sort>,
    /// Rows at most.
    pub limit: usize,
    /// After which row.
    pub after: Option<Place>,
    /// Whether nobody asks how many there are.
    pub uncounted: bool,
}

/// An order.
#[derive(Clone, Copy, Debug)]
pub struct Sort {
    /// By this column.
    pub by: &'static Column,
    /// Greatest first.
    pub descending: bool,
}

/// One condition.
#[derive(Clone, Debug)]
pub struct Filter {
    /// On this column.
    pub column: &'static Column,
    /// What holds.
    pub test: Test,
}

/// What holds of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// It is, or has, one of these.
    Any(Vec<String>),
    /// It begins with this.
    Prefix(String),
    /// It is at least this.
    AtLeast(Value),
    /// It is at most this.
    AtMost(Value),
    /// It has something in it, or has not.
    Some(bool),
}

/// A place in an ordered list: the sorted column's value and the id of the row before.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Its value.
    pub value: Value,
    /// Its id.
    pub id: Value,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Part<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where the next part begins; nothing where there is none.
    pub next: Option<Place>,
    /// Rows that the filters let through, as far as they were counted.
    pub total: u64,
    /// Whether there are more of them than were counted.
    pub more: bool,
}

impl<T> Part<T> {
    /// The same part with its rows turned into something else.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Part<U> {
        let rows = self.rows.into_iter().map(f).collect();
        Part { rows, next: self.next, total: self.total, more: self.more }
    }
}

/// Conditions with the values that they are about.
#[derive(Default)]
struct Conditions {
    sql: Vec<String>,
    values: Vec<Value>,
}

impl Conditions {
    fn push(&mut self, sql: impl Into<String>, values: impl IntoIterator<Item = Value>) {
        self.sql.push(sql.into());
        self.values.extend(values);
    }

    /// Keeps SQLite from finding rows by a condition that lets very many through, only to sort them all: it goes through them in
    /// order, and soon has enough.
    fn leave_to_the_order(&mut self, fixed: usize) {
        for condition in self.sql.iter_mut().skip(fixed).filter(|c| c.starts_with("n.")) {
            condition.insert(0, '+');
        }
    }

    fn clause(&self) -> String {
        match self.sql.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", self.sql.join(" AND ")),
        }
    }
}

impl Store {
    /// A part of a list, each row read by `read` from the columns that the list selects.
    pub(crate) fn part<T>(
        &self,
        list: &List,
        wanted: &Wanted,
        fixed: &[(&str, Value)],
        read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Part<T>, StoreError> {
        let mut conditions = Conditions::default();
        for (sql, value) in fixed {
            conditions.push(*sql, [value.clone()]);
        }
        for f in &wanted.filters {
            match f.column.at {
                true => self.at(&mut conditions, list, f)?,
                false => filter(&mut conditions, f),
            }
        }
        self.words(&mut conditions, list.words, &wanted.words)?;
        let total = if wanted.uncounted { 0 } else { self.count(list, &conditions)? };
        let more = !conditions.sql.is_empty() && total > COUNTED;
        let total = if more { COUNTED } else { total };
        let sort = match wanted.sort {
            Some(sort) => sort,
            None => match list.column(list.default_sort) {
                Some(by) => Sort { by, descending: true },
                None => return Ok(Part { rows: Vec::new(), next: None, total, more }),
            },
        };
        if more && list.ordered {
            conditions.leave_to_the_order(fixed.len());
        }
        let (by, id) = (sort.by.order.unwrap_or(sort.by.sql), list.id);
        if let Some(place) = &wanted.after {
            let than = if sort.descending { '<' } else { '>' };
            conditions.push(format!("({by}, {id}) {than} (?, ?)"), [place.value.clone(), place.id.clone()]);
        }
        let direction = if sort.descending { "DESC" } else { "ASC" };
        let (select, from, limit) = (list.select, list.from, wanted.limit.saturating_add(1));
        let (clause, order) = (conditions.clause(), format!("{by} {direction}, {id} {direction}"));
        // Which rows come first is found out before any of them is read whole: a sort carries only what it sorts by.
        let sql = match list.by_id {
            true => format!(
                "SELECT p.k, {id}, {select} FROM (SELECT {by} AS k, {id} AS i FROM {from}{clause} ORDER BY {order} LIMIT {limit}) p
                 CROSS JOIN {from} WHERE {id} = p.i ORDER BY p.k {direction}, p.i {direction}"
            ),
            false => format!("SELECT {by}, {id}, {select} FROM {from}{clause} ORDER BY {order} LIMIT {limit}"),
        };
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(conditions.values))?;
        let mut out = Vec::new();
        let mut last = None;
        while let Some(row) = rows.next()? {
            if out.len() == wanted.limit {
                return Ok(Part { rows: out, next: last, total, more });
            }
            last = Some(Place { value: row.get(0)?, id: row.get(1)? });
            out.push(read(row)?);
        }
        Ok(Part { rows: out, next: None, total, more })
    }

    fn count(&self, list: &List, conditions: &Conditions) -> Result<u64, StoreError> {
        let sql = match conditions.sql.is_empty() {
            true => format!("SELECT count(*) FROM {}", list.from),
            false => format!(
                "SELECT count(*) FROM (SELECT 1 FROM {}{} LIMIT {COUNTED} + 1)",
                list.from,
                conditions.clause()
            ),
        };
        let mut statement = self.connection.prepare_cached(&sql)?;
        let n: i64 = statement.query_row(params_from_iter(conditions.values.iter()), |r| r.get(0))?;
        Ok(n.unsigned_abs())
    }

    /// Rows that were seen at one of the values of a filter: found by the place where those are few, looked for in the rows where they
    /// are many, which the order then ends soon.
    fn at(&self, conditions: &mut Conditions, list: &List, asked: &Filter) -> Result<(), StoreError> {
        let Test::Any(values) = &asked.test else {
            filter(conditions, asked);
            return Ok(());
        };
        let places: Vec<(String, String)> = match asked.column.kind {
            ColumnKind::Addresses => values.iter().filter_map(|v| net::places_within(v)).collect(),
            _ => values.iter().map(|v| net::host_place(v)).map(|p| (p.clone(), p)).collect(),
        };
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM verdict_at WHERE place BETWEEN ?1 AND ?2 LIMIT {OFTEN} + 1)"
        );
        let mut count = self.connection.prepare_cached(&sql)?;
        let mut all: i64 = 0;
        for place in &places {
            all += count.query_row(params![place.0, place.1], |r| r.get::<_, i64>(0))?;
        }
        if all > OFTEN {
            filter(conditions, asked);
            return Ok(());
        }
        let each = vec!["place BETWEEN ? AND ?"; places.len()].join(" OR ");
        let each = if places.is_empty() { "false" } else { &each };
        let bounds = places.into_iter().flat_map(|(a, b)| [Value::Text(a), Value::Text(b)]);
        conditions.push(format!("{} IN (SELECT id FROM verdict_at WHERE {each})", list.id), bounds);
        Ok(())
    }

    /// Rows that all these words are in.
    fn words(&self, conditions: &mut Conditions, words: Words, asked: &[String]) -> Result<(), StoreError> {
        let (table, id) = match words {
            Words::Search(table, id) => (table, id),
            Words::Text(sql) => {
                for word in asked {
                    let word = Value::Text(word.to_lowercase());
                    conditions.push(format!("instr(lower({sql}), ?) > 0"), [word]);
                }
                return Ok(());
            }
        };
        let (above, below) = table.numbers();
        let (long, mut short): (Vec<&String>, Vec<&String>) =
            asked.iter().partition(|w| w.chars().count() >= 3);
        let all = long.iter().map(|w| quoted(w)).collect::<Vec<_>>().join(" AND ");
        if !long.is_empty() && self.is_found_often(&all, (above, below))? {
            short.extend(&long);
        } else if !long.is_empty() {
            let sql = format!(
                "{id} IN (SELECT t.id FROM things t WHERE t.n IN
                   (SELECT s.rowid FROM search s WHERE s.search MATCH ? AND s.rowid > {above} AND s.rowid < {below}))"
            );
            conditions.push(sql, [Value::Text(all)]);
        }
        if !short.is_empty() {
            let each = vec!["instr(lower(t.title || ' ' || t.detail), ?) > 0"; short.len()].join(" AND ");
            let kind = table.thing();
            let sql =
                format!("EXISTS (SELECT 1 FROM things t WHERE t.kind = '{kind}' AND t.id = {id} AND {each})");
            conditions.push(sql, short.iter().map(|w| Value::Text(w.to_lowercase())));
        }
        Ok(())
    }

    /// Whether so many things between two numbers have these words that to look at all of them takes long.
    pub(crate) fn is_found_often(&self, words: &str, (above, below): (i64, i64)) -> Result<bool, StoreError> {
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM search s WHERE s.search MATCH ?1 AND s.rowid > ?2 AND s.rowid < ?3 LIMIT {OFTEN} + 1)"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let n: i64 = statement.query_row(params![words, above, below], |r| r.get(0))?;
        Ok(n > OFTEN)
    }
}

/// Rows with a word or at a place, of which more are not all looked at.
pub(crate) const OFTEN: i64 = if cfg!(test) { 8 } else { 10_000 };
/// Rows that a condition lets through, of which more are not counted.
const COUNTED: u64 = if cfg!(test) { 12 } else { 10_000 };

fn filter(conditions: &mut Conditions, filter: &Filter) {
    let sql = filter.column.sql;
    match &filter.test {
        Test::Any(values) if filter.column.kind == ColumnKind::Set => {
            let each = vec![format!("instr({sql}, ?) > 0"); values.len()].join(" OR ");
            conditions.push(format!("({each})"), values.iter().map(|v| Value::Text(format!("|{v}|"))));
        }
        Test::Any(values) if filter.column.kind == ColumnKind::Addresses => {
            let each = vec![format!("within({sql}, ?)"); values.len()].join(" OR ");
            conditions.push(format!("({each})"), values.iter().cloned().map(Value::Text));
        }
        Test::Any(values) => {
            let marks = vec!["?"; values.len()].join(", ");
            let ends = if filter.column.kind == ColumnKind::Through { ")" } else { "" };
            conditions.push(format!("{sql} IN ({marks}){ends}"), values.iter().cloned().map(Value::Text));
        }
        Test::Prefix(prefix) => {
            let length = prefix.chars().count();
            conditions.push(format!("substr({sql}, 1, {length}) = ?"), [Value::Text(prefix.clone())]);
        }
        Test::AtLeast(value) => conditions.push(format!("{sql} >= ?"), [value.clone()]),
        Test::AtMost(value) => conditions.push(format!("{sql} <= ?"), [value.clone()]),
        Test::Some(there) => {
            let than = if *there { "NOT IN" } else { "IN" };
            conditions.push(format!("coalesce({sql}, '') {than} ('', '|')"), []);
        }
    }
}

/// A word as the search takes it: nothing in it has a meaning of its own.
pub(crate) fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('"', "\"\"").replace('\0', ""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sidetap_model::Ts;
    use sidetap_model::rows::RunData;

    use super::*;
    use crate::VERDICTS;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("s.db")).unwrap();
        let verdict = |n: u32| {
            let ip = format!("198.51.{}.{n}", 100 + n / 16);
            serde_json::from_value(json!({
                "id": format!("v-{n:03}"), "zone": "default", "subject": {"kind": "ip", "value": ip}, "client_ip": ip,
                "client_ips": [ip, "2001:db8::7"], "intent": "malicious", "class": "bola", "oat": [], "score": 10 + n, "automation": 50,
                "coverage": {}, "campaign": null, "phase": "online", "first_seen": "2026-10-13T09:00:00Z",
                "detected_at": "2026-10-13T09:00:00Z", "last_seen": "2026-10-13T09:00:00Z", "requests": n, "reasons": [],
                "response": "block", "ttl_s": 60, "hosts": [if n == 3 { "a.test/rare" } else { "a.test/often" }, "a.test/x"],
            }))
            .unwrap()
        };
        let run = RunData { verdicts: (0..40).map(verdict).collect(), ..RunData::default() };
        store.save_run(&run, Ts(1)).unwrap();
        (dir, store)
    }

    fn asked(store: &Store, column: &str, value: &str, limit: usize) -> (Vec<String>, u64, bool) {
        let column = VERDICTS.column(column).unwrap();
        let filters = vec![Filter { column, test: Test::Any(vec![value.to_owned()]) }];
        said(store, Wanted { filters, limit, ..Wanted::default() })
    }

    fn said(store: &Store, wanted: Wanted) -> (Vec<String>, u64, bool) {
        let part = store.verdict_list(&wanted).unwrap();
        (part.rows.into_iter().map(|v| v.id).collect(), part.total, part.more)
    }

    #[test]
    fn few_are_found_by_where_they_were_seen_and_many_in_order() {
        let (_dir, store) = store();
        let one = |id: &str| (vec![id.to_owned()], 1, false);
        assert_eq!(asked(&store, "ip", "198.51.100.3", 5), one("v-003"));
        assert_eq!(asked(&store, "host", "a.test/rare", 5), one("v-003"));
        assert_eq!(asked(&store, "host", "a.test/rar", 5).1, 0);
        let last = vec!["v-039".to_owned(), "v-038".to_owned()];
        for (column, value) in [("host", "a.test/often"), ("ip", "2001:db8::/64"), ("ip", "198.51.0.0/16")] {
            assert_eq!(asked(&store, column, value, 2), (last.clone(), 12, true), "{value}");
        }
        assert_eq!(asked(&store, "ip", "198.51.102.0/24", 9).1, 8);
        assert_eq!(asked(&store, "ip", "198.51.101.0/24", 99).0.len(), 16);
    }

    #[test]
    fn words_that_are_often_there_find_the_same() {
        let (_dir, store) = store();
        let asked = |words: &[&str], limit| {
            let words = words.iter().map(|w| (*w).to_owned()).collect();
            said(&store, Wanted { words, limit, ..Wanted::default() })
        };
        assert_eq!(asked(&["a.test/rare"], 5), (vec!["v-003".to_owned()], 1, false));
        assert_eq!(asked(&["Malicious"], 1), (vec!["v-039".to_owned()], 12, true));
        assert_eq!(asked(&["malicious", "198.51.100.3"], 5).0, ["v-003"]);
        assert_eq!(asked(&["malicious", "v-"], 99).0.len(), 40);
        assert_eq!(asked(&["malicious", "nothing"], 5).1, 0);
    }

    #[test]
    fn a_search_that_looks_at_the_newest_alone_says_that_there_may_be_more() {
        let (_dir, store) = store();
        let asked = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
            let found = store.search(&words, 0, 50).unwrap();
            (found.total, found.more)
        };
        assert_eq!(asked(&["v-003"]), (1, false));
        assert_eq!(asked(&["malicious", "39"]), (1, true), "of the older ones nobody knows");
        assert_eq!(asked(&["a.test/rare", "ip"]), (1, false), "all that have the long word were looked at");
    }

    #[test]
    fn places_follow_the_verdict() {
        let (_dir, mut store) = store();
        let mut verdict = store.verdict("v-003").unwrap().unwrap();
        verdict.hosts = vec!["b.test/new".into()];
        store.save_verdicts("r", &[verdict], Ts(2)).unwrap();
        assert_eq!(asked(&store, "host", "a.test/rare", 5).1, 0);
        assert_eq!(asked(&store, "host", "b.test/new", 5).1, 1);
        store.save_run(&RunData::default(), Ts(3)).unwrap();
        let left: i64 =
            store.connection.query_row("SELECT count(*) FROM verdict_at", [], |r| r.get(0)).unwrap();
        assert_eq!(left, 3, "of the one that another run has");
    }
}
