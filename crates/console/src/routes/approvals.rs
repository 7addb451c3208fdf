//! What waits for somebody's word.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::control::{ask, order, rows_of};
use crate::access::{Caller, Role};
use crate::app::App;
use crate::control::Decision;
use crate::download::Known;
use crate::input::{Input, Segment};
use crate::list::{Pairs, PartOf};
use crate::problem::Problem;
use crate::table::{Answer, Kind, Params, Route, of};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/approvals", Role::Viewer, get(approvals))
            .says("What waits for somebody's word")
            .query(Params::Named(&[
                ("status", Kind::Text),
                ("limit", Kind::Integer),
                ("cursor", Kind::Text),
                ("q", Kind::Text),
                ("sort", Kind::Text),
                ("format", Kind::Format),
            ]))
            .gives(Answer::Objects),
        Route::new("POST", "/api/v1/approvals/{id}/approve", Role::Operator, post(approve))
            .says("Approve")
            .body(of::<Word>()),
        Route::new("POST", "/api/v1/approvals/{id}/reject", Role::Operator, post(reject))
            .says("Reject")
            .body(of::<Word>()),
    ]
}

/// A yes or no.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Word {
    note: Option<String>,
}

/// Columns of a file of approvals.
const APPROVAL: &[&str] = &[
    "id",
    "at",
    "expires_at",
    "status",
    "title",
    "policy",
    "verdict",
    "campaign",
    "subject",
    "response",
    "why",
    "decided_at",
    "decided_by",
];

async fn approvals(State(app): State<App>, pairs: Pairs) -> Result<Response, Problem> {
    let part = PartOf::of(pairs, &["status"], &["at", "expires_at", "id"])?;
    let Json(all) = ask(&app, |c, store| c.approvals(store, None)).await?;
    Ok(part.answer(&rows_of(all), Known::First(APPROVAL), "approvals"))
}

async fn approve(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
    Input(word): Input<Word>,
) -> Result<Json<Value>, Problem> {
    decide(&app, &caller, &id, word, true).await
}

async fn reject(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
    Input(word): Input<Word>,
) -> Result<Json<Value>, Problem> {
    decide(&app, &caller, &id, word, false).await
}

async fn decide(
    app: &App,
    caller: &Caller,
    id: &str,
    word: Word,
    approve: bool,
) -> Result<Json<Value>, Problem> {
    let id = id.parse().map_err(|_| Problem::not_found("approval"))?;
    let action = if approve { "approval.approve" } else { "approval.reject" };
    let detail = json!({ "approval": id, "note": word.note });
    let decision = Decision { id, approve, note: word.note, by: caller.name.clone() };
    order(app, caller, action, detail, move |c, store| c.decide(store, &decision)).await
}
