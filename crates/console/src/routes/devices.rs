//! How devices are told, and what is known of addresses.

use axum::Json;
use axum::extract::State;
use axum::routing::{get, post, put};
use serde::Deserialize;
use serde_json::{Value, json};

use super::control::{PAGED, ask, rows_of};
use super::orders::order;
use crate::access::{Caller, Role};
use crate::app::App;
use crate::download::Known;
use crate::input::{Input, Segment};
use crate::list::{Pairs, PartOf};
use crate::problem::Problem;
use crate::table::{Answer, Params, Route, of};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("POST", "/api/v1/mitigation/devices/{name}/test", Role::Operator, post(test))
            .says("Ask a device how it is; nothing is changed on it"),
        Route::new("PUT", "/api/v1/mitigation/devices/{name}/mode", Role::Operator, put(mode))
            .says("Change how a device is told")
            .body(of::<ModeBody>()),
        Route::new("GET", "/api/v1/intel", Role::Viewer, get(sources))
            .says("Sources of network intelligence")
            .query(Params::Named(PAGED))
            .gives(Answer::Objects),
        Route::new("POST", "/api/v1/intel/update", Role::Operator, post(update))
            .says("Fetch the sources whose licences were agreed to"),
    ]
}

/// How a device is told.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ModeBody {
    /// Null: as the configuration says.
    mode: Option<DeviceMode>,
}

/// How far a device is changed.
#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
enum DeviceMode {
    DryRun,
    Approve,
    Enforce,
}

impl DeviceMode {
    const fn name(self) -> &'static str {
        match self {
            DeviceMode::DryRun => "dry-run",
            DeviceMode::Approve => "approve",
            DeviceMode::Enforce => "enforce",
        }
    }
}

async fn test(
    State(app): State<App>,
    caller: Caller,
    Segment(name): Segment,
) -> Result<Json<Value>, Problem> {
    let detail = json!({ "device": name });
    let control = std::sync::Arc::clone(&app.control);
    let answer = app.look(move |store| Ok(control.test_device(store, &name)?)).await.map(Json)?;
    note(&app, &caller, "mitigation.test", detail).await?;
    Ok(answer)
}

async fn mode(
    State(app): State<App>,
    caller: Caller,
    Segment(name): Segment,
    Input(body): Input<ModeBody>,
) -> Result<Json<Value>, Problem> {
    let mode = body.mode.map(DeviceMode::name);
    let detail = json!({ "device": name, "mode": mode });
    order(&app, &caller, "mitigation.mode", detail, move |c, store| c.set_mode(store, &name, mode))
        .await
        .inspect(|_| app.devices.changed())
}

async fn sources(State(app): State<App>, pairs: Pairs) -> Result<axum::response::Response, Problem> {
    let part = PartOf::of(pairs, &[], &["name", "fetched", "entries"])?;
    let Json(all) = ask(&app, |c, _| c.intel()).await?;
    let mut rows = rows_of(all);
    rows.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    Ok(part.answer(
        &rows,
        Known::First(&["name", "what", "configured", "from", "entries", "fetched"]),
        "intel",
    ))
}

/// Fetching takes its time: it is done beside the store's writer, not in it.
async fn update(State(app): State<App>, caller: Caller) -> Result<Json<Value>, Problem> {
    note(&app, &caller, "intel.update", json!({})).await?;
    ask(&app, |c, _| c.update_intel()).await
}

async fn note(app: &App, caller: &Caller, action: &'static str, detail: Value) -> Result<(), Problem> {
    let audit = caller.audit(app.now(), action, detail);
    app.write(move |store| Ok(store.record_audit(&audit)?)).await
}
