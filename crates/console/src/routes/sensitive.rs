use axum::Json;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use sidetap_store::{SENSITIVE, SensitiveCounts, SensitiveItem, Store};

use super::evidence::{Exchanges, exchanges_of};
use crate::access::{Caller, Role};
use crate::app::App;
use crate::input::Segment;
use crate::list::{Asked, Pairs};
use crate::problem::Problem;
use crate::table::{Answer, Kind, Params, Route, of};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/sensitive", Role::Viewer, get(sensitive))
            .says("Sensitive data by place")
            .query(Params::List(&SENSITIVE, &[]))
            .gives(Answer::Page(of::<SensitiveItem>())),
        Route::new("GET", "/api/v1/sensitive/summary", Role::Viewer, get(summary))
            .says("Sensitive data by type and by law")
            .gives(Answer::One(of::<SensitiveCounts>())),
        Route::new("GET", "/api/v1/sensitive/{id}/exchanges", Role::Analyst, get(evidence))
            .says("Exchanges that show it; audited")
            .query(Params::Named(&[("format", Kind::Format)]))
            .gives(Answer::One(of::<Exchanges>())),
    ]
}

async fn sensitive(State(app): State<App>, pairs: Pairs) -> Result<Response, Problem> {
    Asked::of(&SENSITIVE, pairs, &[])?.answer(&app, "sensitive", Store::sensitive_list).await
}

async fn summary(State(app): State<App>) -> Result<Json<SensitiveCounts>, Problem> {
    app.read(|store| Ok(store.sensitive_counts()?)).await.map(Json)
}

async fn evidence(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
    pairs: Pairs,
) -> Result<Response, Problem> {
    let what = id.clone();
    let item = app.read(move |store| Ok(store.sensitive_item(&id)?)).await?;
    let Some(item) = item else { return Err(Problem::not_found("place of sensitive data")) };
    exchanges_of(&app, &caller, pairs, ("sensitive", what), vec![item.row.evidence]).await
}
