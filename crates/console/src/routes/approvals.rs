//! What waits for somebody's word.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sidetap_store::{Chosen, Which};

use super::control::{ask, rows_of};
use super::orders::order;
use crate::access::{Caller, Role};
use crate::app::App;
use crate::control::{Decision, Decisions};
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
                ("campaign", Kind::Text),
                ("policy", Kind::Text),
                ("verdict", Kind::Text),
                ("limit", Kind::Integer),
                ("cursor", Kind::Text),
                ("q", Kind::Text),
                ("sort", Kind::Text),
                ("format", Kind::Format),
            ]))
            .gives(Answer::Objects),
        Route::new("POST", "/api/v1/approvals/approve", Role::Operator, post(approve_all))
            .says("Approve several")
            .body(of::<Choice>())
            .gives(Answer::One(of::<Decided>())),
        Route::new("POST", "/api/v1/approvals/reject", Role::Operator, post(reject_all))
            .says("Reject several")
            .body(of::<Choice>())
            .gives(Answer::One(of::<Decided>())),
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

/// A yes or no to several of what waits: to all, to those of these numbers, or to those of which all that is named holds.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Choice {
    all: Option<bool>,
    /// At most 10,000.
    ids: Option<Vec<u64>>,
    verdict: Option<String>,
    campaign: Option<String>,
    policy: Option<String>,
    /// The greatest number that was looked at: what is asked meanwhile goes on waiting.
    up_to: Option<u64>,
    note: Option<String>,
}

impl Choice {
    /// What it names.
    fn which(&self) -> Result<Which, Problem> {
        let named = [&self.verdict, &self.campaign, &self.policy].iter().any(|n| n.is_some());
        if [self.all == Some(true), self.ids.is_some(), named].iter().filter(|is| **is).count() != 1 {
            return Err(Problem::bad_body(
                "name ids, or one or more of verdict, campaign and policy, or all (true)",
            ));
        }
        if self.ids.as_ref().is_some_and(|ids| ids.is_empty() || ids.len() > IDS) {
            return Err(Problem::bad_body(format!("ids: 1 to {IDS}")));
        }
        if self.ids.iter().flatten().chain(&self.up_to).any(|n| i64::try_from(*n).is_err()) {
            return Err(Problem::bad_body("ids and up_to are numbers as approvals have them, below 2^63"));
        }
        let number = |id: &u64| i64::try_from(*id).unwrap_or(i64::MAX);
        Ok(Which::Chosen(Chosen {
            ids: self.ids.as_ref().map(|ids| ids.iter().map(number).collect()),
            verdict: self.verdict.clone(),
            campaign: self.campaign.clone(),
            policy: self.policy.clone(),
            up_to: self.up_to.as_ref().map(number),
        }))
    }
}

/// What came of it.
#[derive(Serialize, utoipa::ToSchema)]
struct Decided {
    /// How many were.
    decided: u64,
    /// Questions that wait no more, since a yes would change nothing: what they are about was taken back from devices.
    taken_back: u64,
}

/// Numbers at once.
const IDS: usize = 10_000;

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
    let part = PartOf::of(pairs, &["status", "campaign", "policy", "verdict"], &["at", "expires_at", "id"])?;
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

async fn approve_all(
    State(app): State<App>,
    caller: Caller,
    Input(choice): Input<Choice>,
) -> Result<Json<Decided>, Problem> {
    decide_all(&app, &caller, choice, true).await
}

async fn reject_all(
    State(app): State<App>,
    caller: Caller,
    Input(choice): Input<Choice>,
) -> Result<Json<Decided>, Problem> {
    decide_all(&app, &caller, choice, false).await
}

async fn decide_all(
    app: &App,
    caller: &Caller,
    choice: Choice,
    approve: bool,
) -> Result<Json<Decided>, Problem> {
    let which = choice.which()?;
    let action = if approve { "approval.approve" } else { "approval.reject" };
    let detail = json!({
        "all": choice.all, "ids": choice.ids, "verdict": choice.verdict, "campaign": choice.campaign,
        "policy": choice.policy, "up_to": choice.up_to, "note": choice.note,
    });
    let decisions = Decisions { which, approve, by: caller.name.clone() };
    let Json(said) =
        order(app, caller, action, detail, move |c, store| c.decide_all(store, &decisions)).await?;
    let n = |name: &str| said.get(name).and_then(Value::as_u64).unwrap_or_default();
    Ok(Json(Decided { decided: n("decided"), taken_back: n("taken_back") }))
}
