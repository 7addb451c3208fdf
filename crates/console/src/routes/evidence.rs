use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use serde_json::{Value, json};
use sidetap_store::Sample;

use crate::access::{Caller, Role};
use crate::app::App;
use crate::download::{Format, Known, file, flat};
use crate::input::Segment;
use crate::list::{Pairs, format, nothing, only_format};
use crate::problem::Problem;
use crate::table::{Answer, Kind, Params, Route, of};

/// Exchanges in one answer.
const MAX_IDS: usize = 200;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/exchanges", Role::Analyst, get(several))
            .says("Exchanges by id; audited")
            .query(Params::Named(&[("ids", Kind::Text), ("format", Kind::Format)]))
            .gives(Answer::One(of::<Exchanges>())),
        Route::new("GET", "/api/v1/exchanges/{id}", Role::Analyst, get(one)).says("An exchange; audited"),
    ]
}

/// The columns of a file that are read first.
const COLUMNS: &[&str] = &[
    "@timestamp",
    "sidetap.id",
    "client.ip",
    "http.request.method",
    "url.domain",
    "url.original",
    "http.response.status_code",
    "user_agent.original",
    "why",
];

/// Exchanges that were kept.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Exchanges {
    /// Lines of `exchanges.ndjson`, with `why` and `weight`.
    #[schema(value_type = Vec<Object>)]
    rows: Vec<Value>,
    /// Ids of those that are not kept, or not any more.
    missing: Vec<String>,
    /// Of a campaign or finding: of how many exchanges these were chosen fairly; null where it was not sampled.
    sample: Option<Sample>,
}

impl Exchanges {
    /// As they are asked for: all of them, or a file of the rows.
    fn answer(self, form: Format, name: &str) -> Response {
        match form {
            Format::Page => Json(self).into_response(),
            Format::Csv => file(&flat(&self.rows), Known::First(COLUMNS), form, name),
            Format::Ndjson => file(&self.rows, Known::First(COLUMNS), form, name),
        }
    }
}

async fn several(State(app): State<App>, caller: Caller, pairs: Pairs) -> Result<Response, Problem> {
    let axum::extract::Query(pairs) = pairs.map_err(|e| Problem::bad_query(e.body_text()))?;
    let (mut ids, mut form) = (Vec::new(), Format::Page);
    for (name, value) in pairs {
        match name.as_str() {
            "ids" => ids.extend(value.split(',').filter(|i| !i.is_empty()).map(str::to_owned)),
            "format" => form = format(&value)?,
            _ => return Err(Problem::bad_query(format!("{name}: no such parameter"))),
        }
    }
    if ids.len() > MAX_IDS {
        return Err(Problem::bad_query(format!("ids: at most {MAX_IDS}")));
    }
    exchanges(&app, &caller, None, ids).await.map(|all| all.answer(form, "exchanges"))
}

/// Those that show a thing, in the form that is asked for.
pub(crate) async fn exchanges_of(
    app: &App,
    caller: &Caller,
    pairs: Pairs,
    of: (&'static str, String),
    named: Vec<String>,
) -> Result<Response, Problem> {
    let form = only_format(pairs)?;
    let name = format!("{}-exchanges", of.0);
    exchanges(app, caller, Some(of), named).await.map(|all| all.answer(form, &name))
}

async fn one(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
    pairs: Pairs,
) -> Result<Json<Value>, Problem> {
    nothing(pairs)?;
    let found = exchanges(&app, &caller, None, vec![id]).await?;
    found.rows.into_iter().next().map(Json).ok_or_else(|| Problem::not_found("exchange"))
}

/// The sample of a thing, where one is named, and exchanges of these ids; that somebody looked is written down before they see
/// anything.
async fn exchanges(
    app: &App,
    caller: &Caller,
    of: Option<(&'static str, String)>,
    named: Vec<String>,
) -> Result<Exchanges, Problem> {
    let thing = of.as_ref().map(|(kind, id)| format!("{kind}:{id}"));
    let (sample, mut ids) = match thing.clone() {
        Some(thing) => app.read(move |store| Ok(store.sample(&thing)?)).await?,
        None => Default::default(),
    };
    let mut known: BTreeSet<String> = ids.iter().cloned().collect();
    ids.extend(named.into_iter().filter(|id| known.insert(id.clone())));
    ids.truncate(MAX_IDS);
    // Those that there are, all of them: what is made up would fill the row.
    let looked = ids.clone();
    let kept = move |store: &sidetap_store::Store| {
        Ok(store.exchanges(&looked, None)?.into_iter().map(|(id, _)| id).collect::<Vec<String>>())
    };
    let some = app.read(kept).await?;
    let mut detail = json!({ "exchanges": some, "asked": ids.len() });
    if let (Some(fields), Some((kind, id))) = (detail.as_object_mut(), of) {
        fields.insert(kind.to_owned(), id.into());
    }
    let audit = caller.audit(app.now(), "evidence.read", detail);
    app.write_apart(move |store| Ok(store.record_look(&audit)?)).await?;
    app.read(move |store| {
        let rows = store.exchanges(&ids, thing.as_deref())?;
        let kept: BTreeSet<&str> = rows.iter().map(|(id, _)| id.as_str()).collect();
        let missing = ids.iter().filter(|id| !kept.contains(id.as_str())).cloned().collect();
        let rows = rows.into_iter().map(|(_, exchange)| exchange).collect();
        Ok(Exchanges { rows, missing, sample: Some(sample).filter(|s| s.seen > 0) })
    })
    .await
}
