//! Has policy and devices changed, and writes down who did and what came of it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use axum::Json;
use serde_json::{Value, json};
use sidetap_model::Ts;
use sidetap_store::{AuditRow, Store};

use crate::access::Caller;
use crate::app::App;
use crate::control::{Control, Done};
use crate::problem::Problem;

/// Has policy changed, and writes down who did and what came of it.
pub(super) async fn order(
    app: &App,
    caller: &Caller,
    action: &'static str,
    detail: Value,
    f: impl FnOnce(&dyn Control, &mut Store) -> Done + Send + 'static,
) -> Result<Json<Value>, Problem> {
    let (control, now, caller) = (Arc::clone(&app.control), app.now(), caller.clone());
    let result = app
        .write(move |store| {
            let result = store.atomically(|store| f(&*control, store));
            store.record_audit(&caller.audit(now, action, with(detail, "refused", why_not(&result))))?;
            Ok(result)
        })
        .await?;
    Ok(Json(result?))
}

/// Has devices changed, which may take long, and writes down who did: before the first device is told, and what came of it.
pub(super) async fn order_devices(
    app: &App,
    caller: &Caller,
    action: &'static str,
    detail: Value,
    f: impl FnOnce(&dyn Control, &mut Store) -> Done + Send + 'static,
) -> Result<Json<Value>, Problem> {
    note_order(app, caller, action, detail.clone()).await?;
    let refused = detail.clone();
    let result = carry_out(app, caller, action, detail, f).await;
    if let Err(NotDone::NoPlace(problem)) = &result {
        note_undone(app, caller, action, refused, &problem.detail).await?;
    }
    result.map_err(NotDone::problem)
}

/// Why an order was not carried out.
pub(super) enum NotDone {
    /// It waits nowhere.
    NoPlace(Problem),
    /// Anything else, which the audit has.
    Else(Problem),
}

impl NotDone {
    fn problem(self) -> Problem {
        match self {
            NotDone::NoPlace(problem) | NotDone::Else(problem) => problem,
        }
    }
}

/// Writes down that somebody orders devices to be changed.
pub(super) async fn note_order(
    app: &App,
    caller: &Caller,
    action: &'static str,
    detail: Value,
) -> Result<(), Problem> {
    let asked = caller.audit(app.now(), action, with(detail, "stage", Some("ordered".to_owned())));
    app.write(move |store| Ok(store.record_audit(&asked)?)).await
}

/// Writes down that an order was not carried out.
pub(super) async fn note_undone(
    app: &App,
    caller: &Caller,
    action: &'static str,
    detail: Value,
    why: &str,
) -> Result<(), Problem> {
    let ended = ended(caller, app.now(), action, detail, Some(why.to_owned()));
    app.write(move |store| Ok(store.record_audit(&ended)?)).await
}

fn ended(caller: &Caller, at: Ts, action: &'static str, detail: Value, refused: Option<String>) -> AuditRow {
    let detail = with(detail, "stage", Some("ended".to_owned()));
    caller.audit(at, action, with(detail, "refused", refused))
}

/// Has it done, and writes down what came of it; not where it got no place to wait.
pub(super) async fn carry_out(
    app: &App,
    caller: &Caller,
    action: &'static str,
    detail: Value,
    f: impl FnOnce(&dyn Control, &mut Store) -> Done + Send + 'static,
) -> Result<Json<Value>, NotDone> {
    let (control, clock, by) = (Arc::clone(&app.control), Arc::clone(&app.clock), caller.clone());
    let (shared, end) = (App::clone(app), Arc::clone(&clock));
    let (heard, later, caller) = (Arc::new(AtomicBool::new(false)), Arc::clone(&clock), caller.clone());
    let (begun, undone, of_it) = (Arc::clone(&heard), Arc::clone(&heard), detail.clone());
    let result = app
        .act_or(
            move |store| {
                begun.store(true, Relaxed);
                store.set_now(clock());
                let result = f(&*control, store);
                shared.devices.changed();
                let lost = result.as_ref().ok().and_then(|said| said.get("not_kept")).map(Value::to_string);
                let detail = with(detail, "not_kept", lost);
                store.record_audit(&ended(&by, end(), action, detail, why_not(&result)))?;
                Ok(result?)
            },
            move |store, why| {
                undone.store(true, Relaxed);
                if let Err(e) =
                    store.record_audit(&ended(&caller, later(), action, of_it, Some(why.to_owned())))
                {
                    tracing::warn!(error = %e, "that an order was not carried out is not in the audit");
                }
            },
        )
        .await;
    result.map(Json).map_err(|problem| match heard.load(Relaxed) {
        true => NotDone::Else(problem),
        false => NotDone::NoPlace(problem),
    })
}

fn why_not(result: &Done) -> Option<String> {
    result.as_ref().err().map(ToString::to_string)
}

fn with(mut detail: Value, key: &str, value: Option<String>) -> Value {
    if let (Some(fields), Some(value)) = (detail.as_object_mut(), value) {
        fields.insert(key.to_owned(), json!(value));
    }
    detail
}
