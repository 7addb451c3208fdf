//! Has policy and devices changed, and writes down who did and what came of it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::Json;
use serde_json::{Value, json};
use sidetap_model::Ts;
use sidetap_store::{AuditRow, Ordered, Store};

use crate::access::Caller;
use crate::app::{App, Reach};
use crate::control::{Control, Done, Refused};
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
            // Part of the same change: where it cannot be written, nothing is.
            store.record_audit(&caller.audit(now, action, with(detail, "refused", why_not(&result))))?;
            Ok(result)
        })
        .await?;
    Ok(Json(result?))
}

/// Has devices changed, or told what that would change, which may take long, and writes down who did: before the first device is told, and what came of it.
pub(super) async fn order_devices(
    app: &App,
    caller: &Caller,
    (reach, action): (Reach, &'static str),
    detail: Value,
    f: impl FnOnce(&dyn Control, &mut Store) -> Done + Send + 'static,
) -> Result<Json<Value>, Problem> {
    note_order(app, caller, action, detail.clone()).await?;
    let refused = detail.clone();
    let result = carry_out(app, caller, (reach, action, detail), Late::Ends, f).await;
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

/// What an order is whose turn comes too late.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    /// Over, which the audit says.
    Ends,
    /// Tried again by whoever gave it.
    Again,
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
    (reach, action, detail): (Reach, &'static str, Value),
    late: Late,
    f: impl FnOnce(&dyn Control, &mut Store) -> Done + Send + 'static,
) -> Result<Json<Value>, NotDone> {
    let (control, clock, by) = (Arc::clone(&app.control), Arc::clone(&app.clock), caller.clone());
    let (shared, end) = (App::clone(app), Arc::clone(&clock));
    let runtime = tokio::runtime::Handle::current();
    let (heard, later, caller) = (Arc::new(AtomicBool::new(false)), Arc::clone(&clock), caller.clone());
    let (begun, undone, of_it) = (Arc::clone(&heard), Arc::clone(&heard), detail.clone());
    let result = app
        .act_or(
            reach,
            move |store| {
                begun.store(true, Relaxed);
                store.set_now(clock());
                let mut result = f(&*control, store);
                shared.devices.changed();
                if let Err(Refused::GoingOn(order)) = result {
                    let stage = with(detail.clone(), "stage", Some("going-on".to_owned()));
                    write_down(store, &by.audit(end(), action, stage), &mut result);
                    // Whoever asked may be gone before it ends.
                    runtime.spawn(follow(shared, by, action, detail, order));
                    return Ok(result?);
                }
                let row = came(&by, end(), action, detail, &mut result);
                write_down(store, &row, &mut result);
                Ok(result?)
            },
            move |store, why| {
                undone.store(true, Relaxed);
                if late == Late::Again {
                    return;
                }
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

/// How often, and how many times, it is looked whether an order that goes on has ended: an hour.
const LOOK: Duration = Duration::from_secs(2);
const LOOKS: u32 = 1_800;

/// Writes down what comes of an order that another process still carries out, once that is known.
async fn follow(app: App, caller: Caller, action: &'static str, detail: Value, order: i64) {
    let mut result: Done = Err(Refused::Failed("nothing was heard of it any more".to_owned()));
    for _ in 0..LOOKS {
        tokio::time::sleep(LOOK).await;
        result = match app.read(move |store| Ok(store.order(order)?)).await {
            Ok(Ordered::Done(answer)) => serde_json::from_str(&answer)
                .unwrap_or_else(|e| Err(Refused::Failed(format!("its answer cannot be read: {e}")))),
            Ok(Ordered::Gone) => Err(Refused::Failed("what came of it was lost".to_owned())),
            Ok(Ordered::Taken | Ordered::Waits) | Err(_) => continue,
        };
        break;
    }
    app.devices.changed();
    let ended = came(&caller, app.now(), action, detail, &mut result);
    let mut written = Err(Problem::conflict("not tried"));
    for _ in 0..LOOKS {
        let (row, seq) = (ended.clone(), order);
        written = app
            .write_apart(move |store| {
                store.record_audit(&row)?;
                // It goes by itself too.
                let _ = store.withdraw_order(seq);
                Ok(())
            })
            .await;
        if written.is_ok() {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
    tracing::warn!(?written, "what came of an order is not in the audit");
}

/// The audit's word on what came of an order; the answer is given the sums of its reports.
fn came(caller: &Caller, at: Ts, action: &'static str, detail: Value, result: &mut Done) -> AuditRow {
    let (mut lost, mut failed) = (None, None);
    if let Ok(said) = result {
        let sums = sum_up(said);
        lost = (sums.0 > 0).then(|| sums.0.to_string());
        failed = (!sums.1.is_empty()).then(|| sums.1.join("; "));
    }
    let detail = with(with(detail, "not_kept", lost), "failed", failed);
    ended(caller, at, action, detail, why_not(result))
}

/// Puts how much of what was done could not be kept, and what devices did not do, at the top of an answer, wherever its reports stand.
fn sum_up(said: &mut Value) -> (u64, Vec<String>) {
    let parts = ["undone", "emptied"].into_iter().filter_map(|name| said.get(name)?.as_array());
    let reports: Vec<&Value> = parts.flatten().chain([&*said]).collect();
    let lost = reports.iter().filter_map(|r| r.get("not_kept")?.as_u64()).sum();
    let devices = reports.iter().filter_map(|r| r.get("connectors")?.as_array()).flatten();
    let failed: Vec<String> = devices.filter_map(not_done).collect();
    if let Some(fields) = said.as_object_mut() {
        if lost > 0 {
            fields.insert("not_kept".to_owned(), json!(lost));
        }
        if !failed.is_empty() {
            fields.insert("failed".to_owned(), json!(failed));
        }
    }
    (lost, failed)
}

/// What a device says that did not do what it was told.
fn not_done(device: &Value) -> Option<String> {
    let text = |name: &str| device.get(name).and_then(Value::as_str).unwrap_or_default();
    let outcome = text("outcome");
    matches!(outcome, "failed" | "held").then(|| format!("{}: {outcome}: {}", text("name"), text("answer")))
}

/// Writes down what came of an order. It was carried out by now: where that cannot be, the answer is still what came of it.
fn write_down(store: &mut Store, row: &AuditRow, result: &mut Done) {
    let Err(e) = store.record_audit(row) else { return };
    tracing::warn!(error = %e, action = row.action, "what came of an order is not in the audit");
    if let Ok(Value::Object(said)) = result {
        said.insert("audit".to_owned(), json!("what came of it could not be written into the audit"));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_whose_row_cannot_be_written_is_answered_as_it_went() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.db");
        let (mut store, mut other) = (Store::open(&path).unwrap(), Store::open(&path).unwrap());
        store.wait_for(Duration::from_millis(1)).unwrap();
        let row = AuditRow {
            at: Ts(1),
            actor: "anna".to_owned(),
            action: "mitigation.undo".to_owned(),
            detail: json!({}),
        };
        let held: Result<Done, sidetap_store::StoreError> = other.atomically(|_| {
            let mut result = Ok(json!({"undone": []}));
            write_down(&mut store, &row, &mut result);
            Ok(result)
        });
        let said = held.unwrap().unwrap();
        assert!(said["undone"].is_array() && said["audit"].is_string(), "{said}");
        let mut result = Ok(json!({"undone": []}));
        write_down(&mut store, &row, &mut result);
        assert_eq!(result.unwrap(), json!({"undone": []}));
    }
}
