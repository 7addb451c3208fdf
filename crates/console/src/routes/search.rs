use axum::Json;
use axum::extract::State;
use axum::routing::get;
use serde::Serialize;
use sidetap_store::Hit;

use crate::access::Role;
use crate::app::App;
use crate::list::{self, Pairs};
use crate::problem::Problem;
use crate::table::{Answer, Kind, Params, Route, of};

/// Hits in one answer.
const MAX_HITS: usize = 50;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/search", Role::Viewer, get(search))
            .says("Look through everything")
            .query(Params::Named(&[("q", Kind::Text), ("limit", Kind::Integer)]))
            .gives(Answer::One(of::<Hits>())),
    ]
}

/// What was found.
#[derive(Serialize, utoipa::ToSchema)]
struct Hits {
    rows: Vec<Hit>,
}

async fn search(State(app): State<App>, pairs: Pairs) -> Result<Json<Hits>, Problem> {
    let axum::extract::Query(pairs) = pairs.map_err(|e| Problem::bad_query(e.body_text()))?;
    let (mut words, mut limit) = (Vec::new(), MAX_HITS);
    for (name, value) in pairs {
        match name.as_str() {
            "q" => words = list::words(&value)?,
            "limit" => limit = list::limit(&value)?.min(MAX_HITS),
            _ => return Err(Problem::bad_query(format!("{name}: no such parameter"))),
        }
    }
    if words.iter().all(|w| w.chars().count() < 3) {
        return Err(Problem::bad_query("q: a word of three characters or more"));
    }
    app.read(move |store| Ok(Hits { rows: store.search(&words, limit)? })).await.map(Json)
}
