//! The rules: read, checked, tried on what is stored, saved.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use serde::Deserialize;
use serde_json::{Value, json};

use super::control::{PAGED, ask, rows_of};
use super::orders::{order, order_devices};
use crate::access::{Caller, Role};
use crate::app::{App, Reach};
use crate::control::{Control, PolicySave, Refused};
use crate::download::{Format, Known, MAX_DOWNLOAD, file};
use crate::input::Input;
use crate::list::{self, Pairs, PartOf};
use crate::problem::Problem;
use crate::table::{Answer, Kind, Params, Route, of};

/// Verdicts that an answer of a simulation names; a file has as many as any.
const CHANGED: usize = 200;

pub(crate) fn routes() -> Vec<Route> {
    let policies = "/api/v1/policies";
    vec![
        Route::new("GET", policies, Role::Viewer, get(rules))
            .says("The rules in force")
            .query(Params::Named(&[("format", Kind::Format)])),
        Route::new("PUT", policies, Role::Operator, put(save)).says("Save a pack").body(of::<Save>()).large(),
        Route::new("POST", "/api/v1/policies/check", Role::Viewer, post(check))
            .says("Whether a pack can be read")
            .body(of::<Check>())
            .large(),
        Route::new("POST", "/api/v1/policies/simulate", Role::Analyst, post(simulate))
            .says("What a pack would do with what is stored; as a file, the verdicts that it changes")
            .query(Params::Named(&[("format", Kind::Format)]))
            .body(of::<Simulate>())
            .large(),
        Route::new("GET", "/api/v1/policies/versions", Role::Viewer, get(versions))
            .says("Packs that were saved")
            .query(Params::Named(PAGED))
            .gives(Answer::Objects),
    ]
}

/// A pack to save.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Save {
    text: String,
    comment: String,
    /// The version that it was edited from.
    version: u64,
}

/// A pack to check.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Check {
    text: String,
}

/// A pack to simulate.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Simulate {
    /// Null: the present policy.
    text: Option<String>,
}

async fn rules(State(app): State<App>, pairs: Pairs) -> Result<Response, Problem> {
    let form = list::only_format(pairs)?;
    let Json(all) = ask(&app, |c, store| c.policies(store)).await?;
    let rules = all.get("rules").and_then(Value::as_array);
    Ok(match (form, rules) {
        (Format::Page, _) | (_, None) => Json(all).into_response(),
        (_, Some(rules)) => {
            file(rules, Known::First(&["id", "description", "priority", "when", "response"]), form, "rules")
        }
    })
}

async fn check(State(app): State<App>, Input(body): Input<Check>) -> Result<Json<Value>, Problem> {
    let control = Arc::clone(&app.control);
    app.heavy.run(move || Ok(control.check_policy(&body.text)?)).await.map(Json)
}

/// Columns of a file of changed verdicts.
const CHANGE: &[&str] = &["verdict", "subject", "was", "would", "rule"];

async fn simulate(
    State(app): State<App>,
    pairs: Pairs,
    Input(body): Input<Simulate>,
) -> Result<Response, Problem> {
    let form = list::only_format(pairs)?;
    let named = if form == Format::Page { CHANGED } else { MAX_DOWNLOAD };
    let control = Arc::clone(&app.control);
    let mut said =
        app.read_heavy(move |store| Ok(control.simulate(store, body.text.as_deref(), named)?)).await?;
    if form == Format::Page {
        return Ok(Json(said).into_response());
    }
    let changed = rows_of(said.get_mut("changed").map(Value::take).unwrap_or_default());
    Ok(file(&changed, Known::First(CHANGE), form, "changed-verdicts"))
}

async fn save(
    State(app): State<App>,
    caller: Caller,
    Input(body): Input<Save>,
) -> Result<Json<Value>, Problem> {
    let Save { text, comment, version } = body;
    if comment.chars().count() > 1_000 {
        return Err(Problem::bad_body("comment: at most 1000 characters"));
    }
    // It is read before it gets to the writer, for whom everybody waits.
    let (control, asked) = (Arc::clone(&app.control), text.clone());
    let said = app.heavy.run(move || Ok(control.check_policy(&asked)?)).await?;
    if said.get("ok") == Some(&Value::Bool(false)) {
        let errors = said.get("errors").cloned().unwrap_or_default();
        return Err(Refused::Bad { detail: "the pack cannot be read".to_owned(), errors }.into());
    }
    let detail = json!({ "comment": comment, "from": version });
    let save = PolicySave { text, comment, version, by: caller.name.clone() };
    let save = move |c: &dyn Control, store: &mut sidetap_store::Store| c.save_policy(store, &save);
    match app.control.is_beside() {
        true => order_devices(&app, &caller, (Reach::Changes, "policy.save"), detail, save).await,
        false => order(&app, &caller, "policy.save", detail, save).await,
    }
}

async fn versions(State(app): State<App>, pairs: Pairs) -> Result<Response, Problem> {
    let part = PartOf::of(pairs, &[], &["version", "at"])?;
    let Json(all) = ask(&app, |c, store| c.policy_versions(store)).await?;
    Ok(part.answer(&rows_of(all), Known::First(&["version", "at", "by", "comment", "text"]), "policies"))
}
