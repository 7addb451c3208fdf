//! Lists over HTTP: what is asked for out of a query string, cursors, pages.

use axum::Json;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sidetap_model::Ts;
use sidetap_store::{
    Column, ColumnKind, Filter, List, Part, Place, Sort, Store, StoreError, Test, Value, Wanted,
};
use utoipa::ToSchema;

use crate::app::App;
use crate::download::{Format, Known, download, file};
use crate::problem::Problem;

/// Most rows of one answer.
pub(crate) const MAX_LIMIT: usize = 1_000;
/// Rows of an answer that does not say how many.
const DEFAULT_LIMIT: usize = 100;
/// Words, and values of one filter, at most.
const MAX_VALUES: usize = 50;
/// Characters of a `q`.
pub(crate) const MAX_WORDS: usize = 1_000;
/// Numbers to filter by: those that every reader of JSON can tell apart.
pub(crate) const NUMBERS: std::ops::RangeInclusive<i64> = -9_007_199_254_740_991..=9_007_199_254_740_991;

/// Names and values of a query string, as sent.
pub(crate) type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// A part of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Page<T> {
    /// The rows.
    pub(crate) rows: Vec<T>,
    /// The cursor of the next part; null where there is none.
    pub(crate) next: Option<String>,
    /// Rows that the filters let through, as far as they were counted.
    pub(crate) total: u64,
    /// Whether there are more than were counted: filters that let many through are counted to 10,000.
    pub(crate) more: bool,
}

/// What is asked of a list.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) wanted: Wanted,
    pub(crate) format: Format,
    /// Values of parameters that the list itself does not know.
    pub(crate) extra: Vec<(String, String)>,
    sort: String,
}

impl Asked {
    /// Reads a query string; `extra` names parameters that are the handler's.
    pub(crate) fn of(list: &'static List, pairs: Pairs, extra: &[&str]) -> Result<Self, Problem> {
        let Query(pairs) = pairs.map_err(|e| Problem::bad_query(e.body_text()))?;
        let mut asked = Asked {
            wanted: Wanted { limit: DEFAULT_LIMIT, ..Wanted::default() },
            format: Format::Page,
            extra: Vec::new(),
            sort: format!("-{}", list.default_sort),
        };
        let mut cursor = None;
        for (name, value) in pairs {
            match name.as_str() {
                "limit" => asked.wanted.limit = limit(&value)?,
                "cursor" => cursor = Some(value),
                "format" => asked.format = format(&value)?,
                "q" => asked.wanted.words = words(&value)?,
                "sort" => {
                    asked.wanted.sort = Some(sort(list, &value)?);
                    asked.sort = value;
                }
                other if extra.contains(&other) => asked.extra.push((name, value)),
                // Each is a part of one expression, which has a depth that it can have.
                _ if asked.wanted.filters.len() >= MAX_VALUES => {
                    return Err(Problem::bad_query(format!("at most {MAX_VALUES} filters")));
                }
                _ => asked.wanted.filters.push(filter(list, &name, &value)?),
            }
        }
        asked.wanted.after = cursor.map(|c| place(&c, &asked.sort)).transpose()?;
        Ok(asked)
    }

    /// The value of a parameter that is the handler's.
    pub(crate) fn extra(&self, name: &str) -> Option<&str> {
        self.extra.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// True where a filter on this column was asked for.
    pub(crate) fn filters(&self, column: &str) -> bool {
        self.wanted.filters.iter().any(|f| f.column.name == column)
    }

    /// A part of a list as a page of this order.
    pub(crate) fn page<T>(&self, part: Part<T>) -> Page<T> {
        let next = part.next.map(|p| cursor(&p, &self.sort));
        Page { rows: part.rows, next, total: part.total, more: part.more }
    }

    /// Answers with a page, or with all rows as a download called `name`.
    pub(crate) async fn answer<T, F>(
        self,
        app: &App,
        name: &'static str,
        read: F,
    ) -> Result<Response, Problem>
    where
        T: Serialize + ToSchema + Send + 'static,
        F: Fn(&Store, &Wanted) -> Result<Part<T>, StoreError> + Send + 'static,
    {
        if self.format != Format::Page {
            return Ok(download(app, self, name, read));
        }
        let page = app.read(move |store| Ok(self.page(read(store, &self.wanted)?))).await?;
        Ok(Json(page).into_response())
    }
}

/// A page of rows that are all at hand already.
pub(crate) fn page_of<T>(mut rows: Vec<T>, limit: usize, offset: usize) -> Page<T> {
    let total = rows.len();
    let rows: Vec<T> = rows.drain(offset.min(total)..offset.saturating_add(limit).min(total)).collect();
    let end = offset.saturating_add(rows.len());
    Page { rows, next: next_of(end, total), total: total as u64, more: false }
}

/// The cursor behind so many rows of so many.
pub(crate) fn next_of(end: usize, total: usize) -> Option<String> {
    (end < total).then(|| URL_SAFE_NO_PAD.encode(end.to_string()))
}

/// What part of a list that is all at hand is wanted, in which order and form.
#[derive(Debug)]
pub(crate) struct PartOf {
    limit: usize,
    offset: usize,
    words: Vec<String>,
    filters: Vec<(String, Vec<String>)>,
    sort: Option<(String, bool)>,
    format: Format,
}

impl PartOf {
    /// Reads a query string; `filters` and `sorts` name the fields of rows that it may be about.
    pub(crate) fn of(pairs: Pairs, filters: &[&str], sorts: &[&str]) -> Result<Self, Problem> {
        let Query(pairs) = pairs.map_err(|e| Problem::bad_query(e.body_text()))?;
        let mut part = PartOf {
            limit: DEFAULT_LIMIT,
            offset: 0,
            words: Vec::new(),
            filters: Vec::new(),
            sort: None,
            format: Format::Page,
        };
        for (name, value) in pairs {
            match name.as_str() {
                "limit" => part.limit = limit(&value)?,
                "cursor" => part.offset = offset(&value)?,
                "q" => part.words = words(&value)?.iter().map(|w| w.to_lowercase()).collect(),
                "format" => part.format = format(&value)?,
                "sort" => {
                    let (by, descending) =
                        value.strip_prefix('-').map_or((value.as_str(), false), |n| (n, true));
                    if !sorts.contains(&by) {
                        return Err(Problem::bad_query(format!("sort: one of {}", sorts.join(", "))));
                    }
                    part.sort = Some((by.to_owned(), descending));
                }
                other if filters.contains(&other) => {
                    part.filters.push((name, value.split(',').map(str::to_owned).collect()));
                }
                _ => return Err(Problem::bad_query(format!("{name}: this list has no such parameter"))),
            }
        }
        Ok(part)
    }

    /// Answers with the part, or with all rows as a download called `name`.
    pub(crate) fn answer<T: Serialize>(&self, rows: &[T], known: Known, name: &'static str) -> Response {
        let rows = rows.iter().filter_map(|r| serde_json::to_value(r).ok()).collect();
        let Ok(answer) = self.answer_filled(rows, known, name, |_| Ok::<_, std::convert::Infallible>(()));
        answer
    }

    /// The same of rows in which something is filled in where somebody looks at it: in those of the part, unless words are looked for or
    /// all are taken.
    pub(crate) fn answer_filled<E>(
        &self,
        mut rows: Vec<serde_json::Value>,
        known: Known,
        name: &'static str,
        mut fill: impl FnMut(&mut serde_json::Value) -> Result<(), E>,
    ) -> Result<Response, E> {
        let is = |row: &serde_json::Value, name: &str, values: &[String]| {
            row.get(name).and_then(|v| v.as_str()).is_some_and(|v| values.iter().any(|w| w == v))
        };
        rows.retain(|row| self.filters.iter().all(|(n, v)| is(row, n, v)));
        let as_page = self.format == Format::Page;
        let late = as_page && self.words.is_empty();
        if !late {
            rows.iter_mut().try_for_each(&mut fill)?;
        }
        if !self.words.is_empty() {
            rows.retain(|row| {
                let text = row.to_string().to_lowercase();
                self.words.iter().all(|w| text.contains(w))
            });
        }
        if let Some((by, descending)) = &self.sort {
            rows.sort_by(|a, b| order(a.get(by), b.get(by)));
            if *descending {
                rows.reverse();
            }
        }
        if !as_page {
            return Ok(file(&rows, known, self.format, name));
        }
        let mut page = page_of(rows, self.limit, self.offset);
        if late {
            page.rows.iter_mut().try_for_each(fill)?;
        }
        Ok(Json(page).into_response())
    }
}

/// Numbers by size, texts by letters, what is not there first.
fn order(a: Option<&serde_json::Value>, b: Option<&serde_json::Value>) -> std::cmp::Ordering {
    let number = |v: Option<&serde_json::Value>| v.and_then(serde_json::Value::as_f64);
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => a.and_then(|v| v.as_str()).cmp(&b.and_then(|v| v.as_str())),
    }
}

/// The place of a cursor that [`page_of`] gave.
pub(crate) fn offset(cursor: &str) -> Result<usize, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|b| String::from_utf8(b).ok());
    bytes.and_then(|t| t.parse().ok()).ok_or_else(|| Problem::bad_query("cursor: not one of this list"))
}

pub(crate) fn limit(value: &str) -> Result<usize, Problem> {
    let limit = value.parse().ok().filter(|n| (1..=MAX_LIMIT).contains(n));
    limit.ok_or_else(|| Problem::bad_query(format!("limit: from 1 to {MAX_LIMIT}")))
}

/// The words of a `q`.
pub(crate) fn words(value: &str) -> Result<Vec<String>, Problem> {
    // SQLite's search would take a NUL for the end of the word, and an empty word is in every row.
    let apart = |c: char| c.is_whitespace() || c == '\0';
    let words: Vec<String> = value.split(apart).filter(|w| !w.is_empty()).map(str::to_owned).collect();
    if words.len() > MAX_VALUES || value.chars().count() > MAX_WORDS {
        return Err(Problem::bad_query(format!("q: at most {MAX_VALUES} words and {MAX_WORDS} characters")));
    }
    Ok(words)
}

/// Where nothing may be asked.
pub(crate) fn nothing(pairs: Pairs) -> Result<(), Problem> {
    let Query(pairs) = pairs.map_err(|e| Problem::bad_query(e.body_text()))?;
    match pairs.first() {
        Some((name, _)) => Err(Problem::bad_query(format!("{name}: no such parameter"))),
        None => Ok(()),
    }
}

/// The form that is asked for where nothing else may be asked.
pub(crate) fn only_format(pairs: Pairs) -> Result<Format, Problem> {
    let Query(pairs) = pairs.map_err(|e| Problem::bad_query(e.body_text()))?;
    pairs.iter().try_fold(Format::Page, |_, (name, value)| match name.as_str() {
        "format" => format(value),
        _ => Err(Problem::bad_query(format!("{name}: no such parameter"))),
    })
}

pub(crate) fn format(value: &str) -> Result<Format, Problem> {
    match value {
        "csv" => Ok(Format::Csv),
        "ndjson" => Ok(Format::Ndjson),
        "json" => Ok(Format::Page),
        _ => Err(Problem::bad_query("format: csv, ndjson or json")),
    }
}

fn sort(list: &'static List, value: &str) -> Result<Sort, Problem> {
    let (name, descending) = value.strip_prefix('-').map_or((value, false), |n| (n, true));
    match list.column(name).filter(|c| c.sortable) {
        Some(by) => Ok(Sort { by, descending }),
        None => {
            let names: Vec<&str> = list.columns.iter().filter(|c| c.sortable).map(|c| c.name).collect();
            Err(Problem::bad_query(format!(
                "sort: one of {}, `-` before it for the greatest first",
                names.join(", ")
            )))
        }
    }
}

fn filter(list: &'static List, name: &str, value: &str) -> Result<Filter, Problem> {
    let unknown = || Problem::bad_query(format!("{name}: this list has no such parameter"));
    let column = |n: &str| list.column(n).ok_or_else(unknown);
    let of = |column, test| Ok(Filter { column, test });
    match name {
        "seen_after" | "seen_before" => {
            let column = column("seen").or_else(|_| column("last_seen"))?;
            let time = time(name, value)?;
            return of(column, if name == "seen_after" { Test::AtLeast(time) } else { Test::AtMost(time) });
        }
        "first_after" => return of(column("first_seen")?, Test::AtLeast(time(name, value)?)),
        _ => {}
    }
    if let Some(bound) = name.strip_prefix("min_") {
        let column = column(bound)?;
        return of(column, Test::AtLeast(number(column, name, value)?));
    }
    if let Some(bound) = name.strip_prefix("max_") {
        let column = column(bound)?;
        return of(column, Test::AtMost(number(column, name, value)?));
    }
    let named = list.column(&format!("{name}_name"));
    let column = named.or_else(|| list.column(name)).ok_or_else(unknown)?;
    if matches!(column.kind, ColumnKind::Integer | ColumnKind::Real | ColumnKind::Time) {
        return Err(unknown());
    }
    match (name, value) {
        ("sensitive", "true") => of(column, Test::Some(true)),
        ("sensitive", "false") => of(column, Test::Some(false)),
        ("sensitive", _) => Err(Problem::bad_query("sensitive: true or false")),
        ("action", prefix) => of(column, Test::Prefix(prefix.to_owned())),
        _ => {
            let values: Vec<String> = value.split(',').map(str::to_owned).collect();
            if values.len() > MAX_VALUES {
                return Err(Problem::bad_query(format!("{name}: at most {MAX_VALUES} values")));
            }
            if column.kind == ColumnKind::Addresses && !values.iter().all(|v| is_address(v)) {
                return Err(Problem::bad_query(format!("{name}: an address, or a network")));
            }
            of(column, Test::Any(values))
        }
    }
}

/// An address, or a network: an address and how many of its bits count.
fn is_address(value: &str) -> bool {
    let (base, bits) = value.split_once('/').map_or((value, None), |(base, bits)| (base, Some(bits)));
    let Ok(base) = base.parse::<std::net::IpAddr>() else { return false };
    let most = if base.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|b| b.parse::<u8>().is_ok_and(|b| b <= most))
}

fn time(name: &str, value: &str) -> Result<Value, Problem> {
    let time = Ts::parse(value).map(|t| Value::Integer(t.0));
    time.ok_or_else(|| Problem::bad_query(format!("{name}: a time as RFC 3339 has it, 2026-10-13T09:00:00Z")))
}

fn number(column: &Column, name: &str, value: &str) -> Result<Value, Problem> {
    let number = match column.kind {
        ColumnKind::Integer => value.parse().ok().filter(|n| NUMBERS.contains(n)).map(Value::Integer),
        ColumnKind::Real => value.parse().ok().filter(|n| is_near(*n)).map(Value::Real),
        _ => return Err(Problem::bad_query(format!("{name}: this list has no such parameter"))),
    };
    let (least, most) = (NUMBERS.start(), NUMBERS.end());
    number.ok_or_else(|| Problem::bad_query(format!("{name}: a number from {least} to {most}")))
}

/// A number that is one, and not too far away.
fn is_near(number: f64) -> bool {
    (*NUMBERS.start() as f64..=*NUMBERS.end() as f64).contains(&number)
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Plain {
    Integer(i64),
    Real(f64),
    Text(String),
}

impl Plain {
    fn of(value: &Value) -> Self {
        match value {
            Value::Integer(n) => Plain::Integer(*n),
            Value::Real(x) => Plain::Real(*x),
            Value::Text(t) => Plain::Text(t.clone()),
            Value::Null | Value::Blob(_) => Plain::Text(String::new()),
        }
    }

    fn value(self) -> Value {
        match self {
            Plain::Integer(n) => Value::Integer(n),
            Plain::Real(x) => Value::Real(x),
            Plain::Text(t) => Value::Text(t),
        }
    }
}

fn cursor(place: &Place, sort: &str) -> String {
    let text = serde_json::to_vec(&(sort, Plain::of(&place.value), Plain::of(&place.id)));
    URL_SAFE_NO_PAD.encode(text.unwrap_or_default())
}

fn place(cursor: &str, sort: &str) -> Result<Place, Problem> {
    let bad = || Problem::bad_query("cursor: not one of this list in this order");
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad())?;
    let (of, value, id): (String, Plain, Plain) = serde_json::from_slice(&bytes).map_err(|_| bad())?;
    if of != sort {
        return Err(bad());
    }
    Ok(Place { value: value.value(), id: id.value() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_no_word() {
        assert_eq!(words("\0abc d").unwrap(), ["abc", "d"]);
    }

    #[test]
    fn what_the_description_rules_out_is_refused() {
        let list = &sidetap_store::ENDPOINTS;
        let number = |name, value| filter(list, name, value).is_ok();
        assert!(number("min_calls", "9007199254740991") && number("max_risk", "-9007199254740991"));
        for value in ["9007199254740992", "-9007199254740992", "1e300", "NaN", "inf", "x", ""] {
            assert!(!number("min_calls", value) && !number("max_risk", value), "{value}");
        }
        assert!(words(&"ä".repeat(MAX_WORDS)).is_ok());
        assert!(words(&"a".repeat(MAX_WORDS + 1)).is_err());
    }

    #[test]
    fn cursors_belong_to_their_order() {
        let p = Place { value: Value::Integer(7), id: Value::Text("x".into()) };
        assert_eq!(place(&cursor(&p, "-risk"), "-risk").unwrap(), p);
        for (c, sort) in [(cursor(&p, "-risk"), "risk"), ("!".to_owned(), "-risk"), (String::new(), "-risk")]
        {
            assert!(place(&c, sort).is_err(), "{c}");
        }
    }
}
