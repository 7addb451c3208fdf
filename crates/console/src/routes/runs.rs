use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use sidetap_store::{RUNS, RunItem, Store};

use crate::access::Role;
use crate::app::App;
use crate::list::{Asked, Pairs};
use crate::problem::Problem;
use crate::table::{Answer, Params, Route, of};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/runs", Role::Viewer, get(runs))
            .says("What the store was filled from")
            .query(Params::List(&RUNS, &[]))
            .gives(Answer::Page(of::<RunItem>())),
    ]
}

async fn runs(State(app): State<App>, pairs: Pairs) -> Result<Response, Problem> {
    Asked::of(&RUNS, pairs, &[])?.answer(&app, "runs", Store::run_list).await
}
