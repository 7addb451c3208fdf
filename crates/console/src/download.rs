//! Lists as files: CSV and NDJSON.

use std::collections::HashSet;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use sidetap_store::{Part, Store, StoreError, Wanted};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::app::App;
use crate::list::{Asked, MAX_LIMIT};

/// Rows of a download at most.
pub(crate) const MAX_DOWNLOAD: usize = 100_000;

/// How rows are to be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Page,
    Csv,
    Ndjson,
}

/// What is known of the columns of CSV before there are rows.
pub(crate) enum Known {
    /// These come first.
    First(&'static [&'static str]),
    /// These come behind those of the first row: it may leave some out.
    Also(Vec<String>),
}

/// Rows that are all at hand as a download called `name`.
pub(crate) fn file<T: Serialize>(rows: &[T], known: Known, form: Format, name: &str) -> Response {
    let values: Vec<Value> = rows.iter().filter_map(|r| serde_json::to_value(r).ok()).collect();
    let mut text = Rows::new(form, known);
    text.columns = Some(text.settle(&values));
    let content = [text.write(&values), text.end()].concat();
    let mut response = Body::from(content).into_response();
    name_file(&mut response, form, name);
    response
}

/// Rows whose objects are taken apart: `{"a": {"b": 1}}` has the column `a.b`.
pub(crate) fn flat(rows: &[Value]) -> Vec<Value> {
    fn put(out: &mut Map<String, Value>, name: String, value: &Value) {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                fields.iter().for_each(|(n, v)| put(out, format!("{name}.{n}"), v));
            }
            _ => {
                out.insert(name, value.clone());
            }
        }
    }
    let one = |row: &Value| {
        let mut out = Map::new();
        row.as_object().into_iter().flatten().for_each(|(n, v)| put(&mut out, n.clone(), v));
        Value::Object(out)
    };
    rows.iter().map(one).collect()
}

pub(crate) fn download<T, F>(app: &App, asked: Asked, name: &'static str, read: F) -> Response
where
    T: Serialize + ToSchema + Send + 'static,
    F: Fn(&Store, &Wanted) -> Result<Part<T>, StoreError> + Send + 'static,
{
    let form = asked.format;
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(4);
    let app = App::clone(app);
    let work = async move {
        let mut rows = Rows::new(asked.format, Known::Also(fields_of::<T>()));
        let read = std::sync::Arc::new(std::sync::Mutex::new(read));
        let mut wanted = Wanted { limit: MAX_LIMIT, uncounted: true, ..asked.wanted };
        let mut given = 0;
        while given < MAX_DOWNLOAD {
            let (read, now) = (std::sync::Arc::clone(&read), wanted.clone());
            let part = app.read(move |store| {
                let read = read.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                Ok(read(store, &now)?)
            });
            let Ok(part) = part.await else {
                let _ = sender.send(Err(std::io::Error::other("the store could not be read"))).await;
                return;
            };
            given += part.rows.len();
            if sender.send(Ok(rows.write(&part.rows))).await.is_err() {
                return;
            }
            match part.next {
                Some(place) => wanted.after = Some(place),
                None => break,
            }
        }
        let _ = sender.send(Ok(rows.end())).await;
    };
    tokio::spawn(work);
    let stream =
        futures_util::stream::unfold(receiver, |mut r| async move { r.recv().await.map(|chunk| (chunk, r)) });
    let mut response = Body::from_stream(stream).into_response();
    name_file(&mut response, form, name);
    response
}

/// Says what a download is and what it is called.
fn name_file(response: &mut Response, format: Format, name: &str) {
    let (kind, ending) = match format {
        Format::Csv => ("text/csv; charset=utf-8", "csv"),
        _ => ("application/x-ndjson", "ndjson"),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.{ending}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
}

/// All fields that a row of this kind may have, those too that most rows leave out.
pub(crate) fn fields_of<T: ToSchema>() -> Vec<String> {
    let mut all = Vec::new();
    T::schemas(&mut all);
    let mut names = Vec::new();
    let mut open = vec![T::schema()];
    while let Some(schema) = open.pop() {
        match schema {
            RefOr::Ref(to) => {
                let name = to.ref_location.rsplit('/').next().unwrap_or_default();
                let found = all.iter().position(|(n, _)| n == name);
                open.extend(found.map(|at| all.swap_remove(at).1));
            }
            RefOr::T(Schema::Object(object)) => names.extend(object.properties.into_keys()),
            RefOr::T(Schema::AllOf(parts)) => open.extend(parts.items),
            RefOr::T(_) => {}
        }
    }
    names
}

/// Rows as text.
struct Rows {
    csv: bool,
    known: Known,
    /// Those of CSV, once they are settled.
    columns: Option<Vec<String>>,
    /// Whether they stand above the rows.
    headed: bool,
}

impl Rows {
    fn new(form: Format, known: Known) -> Self {
        Rows { csv: form == Format::Csv, known, columns: None, headed: false }
    }

    /// Settles the columns: those of these rows, and what is known besides.
    fn settle(&self, rows: &[Value]) -> Vec<String> {
        let fields = rows.iter().filter_map(Value::as_object).flat_map(Map::keys).map(String::as_str);
        let names: Vec<&str> = match &self.known {
            Known::First(names) => names.iter().copied().chain(fields).collect(),
            Known::Also(names) => fields.chain(names.iter().map(String::as_str)).collect(),
        };
        let mut seen = HashSet::new();
        names.into_iter().filter(|n| seen.insert(*n)).map(str::to_owned).collect()
    }

    fn write<T: Serialize>(&mut self, rows: &[T]) -> Bytes {
        let mut out = String::new();
        for row in rows {
            let Ok(value) = serde_json::to_value(row) else { continue };
            if !self.csv {
                out.push_str(&value.to_string());
                out.push('\n');
                continue;
            }
            if self.columns.is_none() {
                self.columns = Some(self.settle(std::slice::from_ref(&value)));
            }
            let (Some(columns), Some(fields)) = (&self.columns, value.as_object()) else { continue };
            if !std::mem::replace(&mut self.headed, true) {
                out.push_str(&head(columns));
            }
            out.push_str(&line(columns.iter().map(|c| fields.get(c).map_or_else(String::new, cell))));
        }
        Bytes::from(out)
    }

    /// What is left to write: the head of a table without rows.
    fn end(&self) -> Bytes {
        let none = self.csv && !self.headed;
        Bytes::from(if none { head(&self.settle(&[])) } else { String::new() })
    }
}

/// The names of columns, which are of our own making.
fn head(columns: &[String]) -> String {
    line(columns.iter().cloned())
}

fn line(cells: impl Iterator<Item = String>) -> String {
    cells.collect::<Vec<_>>().join(",") + "\r\n"
}

/// A cell of CSV (RFC 4180). Text that a spreadsheet would take for a formula gets an apostrophe before it: it may be an attacker's. So does what
/// stands behind a semicolon or a tab, where spreadsheets of other countries begin a cell.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::Bool(_) | Value::Number(_) => return value.to_string(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut marked = String::with_capacity(text.len());
    let mut begins = true;
    for c in text.chars() {
        if begins && matches!(c, '=' | '+' | '-' | '@' | '\r' | '＝' | '＋' | '－' | '＠')
            || marked.is_empty() && c == '\t'
        {
            marked.push('\'');
        }
        begins = matches!(c, ';' | '\t') || begins && c == ' ' && !marked.is_empty();
        marked.push(c);
    }
    let text = marked;
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn formulas_and_separators_are_text() {
        let cell = |t: &str| cell(&Value::String(t.to_owned()));
        assert_eq!(cell("=cmd|' /C calc'!A0"), "'=cmd|' /C calc'!A0");
        assert_eq!(cell("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(cell("plain"), "plain");
        assert_eq!(cell("x;=cmd;y; -1;a=b\t@c"), "x;'=cmd;y; '-1;a=b\t'@c");
        assert_eq!((cell("\t=1"), cell("＝1")), ("'\t'=1".to_owned(), "'＝1".to_owned()));
    }

    #[test]
    fn a_download_has_columns_for_what_the_first_row_leaves_out() {
        #[derive(Serialize, ToSchema)]
        struct Inner {
            #[serde(skip_serializing_if = "Option::is_none")]
            rare: Option<u8>,
        }
        #[derive(Serialize, ToSchema)]
        struct Outer {
            id: u8,
            #[serde(flatten)]
            inner: Inner,
        }
        let all =
            [Outer { id: 1, inner: Inner { rare: None } }, Outer { id: 2, inner: Inner { rare: Some(7) } }];
        let rows = || Rows::new(Format::Csv, Known::Also(fields_of::<Outer>()));
        assert_eq!(rows().write(&all), "id,rare\r\n1,\r\n2,7\r\n");
        assert_eq!(rows().end(), "id,rare\r\n", "a table without rows has its head");
    }

    #[test]
    fn rows_with_objects_in_them_have_a_column_for_each_value() {
        let rows = flat(&[
            json!({"a": {"b": 1, "c": {"d": "x"}}, "e": [1, 2]}),
            json!({"a": {"f": null, "b": 3}, "g": {}}),
        ]);
        let mut text = Rows::new(Format::Csv, Known::First(&["a.b", "none"]));
        text.columns = Some(text.settle(&rows));
        assert_eq!(text.write(&rows), "a.b,none,a.c.d,e,a.f,g\r\n1,,x,\"[1,2]\",,\r\n3,,,,,{}\r\n");
    }
}
