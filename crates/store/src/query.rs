//! Lists with filters, an order and cursors.

use rusqlite::types::Value;
use rusqlite::{Row, params_from_iter};

use crate::error::StoreError;
use crate::open::Store;

/// A list's column that can be filtered or sorted by.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// What the API calls it.
    pub name: &'static str,
    /// How SQL reads it.
    sql: &'static str,
    /// What is in it.
    pub kind: ColumnKind,
    /// Whether the list can be in its order.
    pub sortable: bool,
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
}

impl Column {
    /// A word to filter by.
    pub(crate) const fn text(name: &'static str, sql: &'static str) -> Self {
        Column { name, sql, kind: ColumnKind::Text, sortable: false }
    }

    /// Several words to filter by.
    pub(crate) const fn set(name: &'static str, sql: &'static str) -> Self {
        Column { name, sql, kind: ColumnKind::Set, sortable: false }
    }

    /// Something of this kind.
    pub(crate) const fn of(name: &'static str, sql: &'static str, kind: ColumnKind) -> Self {
        Column { name, sql, kind, sortable: false }
    }

    /// The same, and the list can be in its order.
    pub(crate) const fn sorted(self) -> Self {
        Column { sortable: true, ..self }
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
    /// In the search, under this kind, by this column.
    Search(&'static str, &'static str),
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
    /// Rows that the filters let through.
    pub total: u64,
}

impl<T> Part<T> {
    /// The same part with its rows turned into something else.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Part<U> {
        Part { rows: self.rows.into_iter().map(f).collect(), next: self.next, total: self.total }
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
        wanted.filters.iter().for_each(|f| filter(&mut conditions, f));
        wanted.words.iter().for_each(|w| word(&mut conditions, list.words, w));
        let total = self.count(list, &conditions)?;
        let sort = match wanted.sort {
            Some(sort) => sort,
            None => match list.column(list.default_sort) {
                Some(by) => Sort { by, descending: true },
                None => return Ok(Part { rows: Vec::new(), next: None, total }),
            },
        };
        let (by, id) = (sort.by.sql, list.id);
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
                return Ok(Part { rows: out, next: last, total });
            }
            last = Some(Place { value: row.get(0)?, id: row.get(1)? });
            out.push(read(row)?);
        }
        Ok(Part { rows: out, next: None, total })
    }

    fn count(&self, list: &List, conditions: &Conditions) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) FROM {}{}", list.from, conditions.clause());
        let mut statement = self.connection.prepare_cached(&sql)?;
        let n: i64 = statement.query_row(params_from_iter(conditions.values.iter()), |r| r.get(0))?;
        Ok(n.unsigned_abs())
    }
}

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
            conditions.push(format!("{sql} IN ({marks})"), values.iter().cloned().map(Value::Text));
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

fn word(conditions: &mut Conditions, words: Words, word: &str) {
    match words {
        Words::Search(kind, id) if word.chars().count() >= 3 => conditions.push(
            format!(
                "{id} IN (SELECT t.id FROM things t JOIN search s ON s.rowid = t.n WHERE t.kind = '{kind}' AND s.search MATCH ?)"
            ),
            [Value::Text(quoted(word))],
        ),
        Words::Search(kind, id) => conditions.push(
            format!(
                "{id} IN (SELECT t.id FROM things t WHERE t.kind = '{kind}' AND instr(lower(t.title || ' ' || t.detail), ?) > 0)"
            ),
            [Value::Text(word.to_lowercase())],
        ),
        Words::Text(sql) => {
            conditions.push(format!("instr(lower({sql}), ?) > 0"), [Value::Text(word.to_lowercase())]);
        }
    }
}

/// A word as the search takes it: nothing in it has a meaning of its own.
pub(crate) fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('"', "\"\"").replace('\0', ""))
}
