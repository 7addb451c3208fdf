use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sidetap_store::{Hit, Hits};

use crate::access::Role;
use crate::app::App;
use crate::download::{Format, Known, fields_of, file};
use crate::list::{self, Page, Pairs};
use crate::problem::Problem;
use crate::table::{Answer, Kind, Params, Route, of};

/// Hits in one answer, and in a download.
const MAX_HITS: usize = 50;
const MAX_DOWNLOAD: usize = 1_000;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/search", Role::Viewer, get(search))
            .says("Look through everything")
            .query(Params::Named(&[
                ("q", Kind::Text),
                ("limit", Kind::Integer),
                ("cursor", Kind::Text),
                ("format", Kind::Format),
            ]))
            .gives(Answer::Page(of::<Hit>())),
    ]
}

async fn search(State(app): State<App>, pairs: Pairs) -> Result<Response, Problem> {
    let axum::extract::Query(pairs) = pairs.map_err(|e| Problem::bad_query(e.body_text()))?;
    let (mut words, mut limit, mut from, mut form) = (Vec::new(), None, 0, Format::Page);
    for (name, value) in pairs {
        match name.as_str() {
            "q" => words = list::words(&value)?,
            "limit" => limit = Some(list::limit(&value)?.min(MAX_HITS)),
            "cursor" => from = list::offset(&value)?,
            "format" => form = list::format(&value)?,
            _ => return Err(Problem::bad_query(format!("{name}: no such parameter"))),
        }
    }
    if words.iter().all(|w| w.chars().count() < 3) {
        return Err(Problem::bad_query("q: a word of three characters or more"));
    }
    let page = form == Format::Page;
    let most = if page { limit.unwrap_or(MAX_HITS) } else { MAX_DOWNLOAD };
    let from = if page { from } else { 0 };
    let Hits { rows, total, more } = app.read(move |store| Ok(store.search(&words, from, most)?)).await?;
    if !page {
        return Ok(file(&rows, Known::Also(fields_of::<Hit>()), form, "search"));
    }
    let next = list::next_of(from.saturating_add(rows.len()), total);
    Ok(Json(Page { rows, next, total: total as u64, more }).into_response())
}
