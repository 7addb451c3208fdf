use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sidetap_model::Ts;
use sidetap_store::{ACTIONS, AUDIT, ActionItem, AllowedRow, AuditItem, LetGo, Store};

use super::orders::{Late, NotDone, carry_out, note_order, note_undone, order, order_devices};
use crate::access::{Caller, Role};
use crate::app::{App, Reach};
use crate::control::{Control, Done, Order, Refused, Undo};
use crate::devices::Devices;
use crate::download::{Known, fields_of};
use crate::input::{Input, Segment};
use crate::list::{Asked, Pairs, PartOf};
use crate::problem::Problem;
use crate::table::{Answer, Kind, Params, Route, of};

/// Parameters of a list that is made in memory.
pub(super) const PAGED: &[(&str, Kind)] = &[
    ("limit", Kind::Integer),
    ("cursor", Kind::Text),
    ("q", Kind::Text),
    ("sort", Kind::Text),
    ("format", Kind::Format),
];

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/mitigation", Role::Viewer, get(devices)).says("Devices and how they are"),
        Route::new("GET", "/api/v1/mitigation/entries", Role::Viewer, get(entries))
            .says("What is on the devices")
            .query(Params::Named(&[
                ("device", Kind::Text),
                ("response", Kind::Text),
                ("limit", Kind::Integer),
                ("cursor", Kind::Text),
                ("q", Kind::Text),
                ("sort", Kind::Text),
                ("format", Kind::Format),
            ]))
            .gives(Answer::Objects),
        Route::new("POST", "/api/v1/mitigation/plan", Role::Analyst, post(plan))
            .says("What a push would change")
            .body(of::<Push>()),
        Route::new("POST", "/api/v1/mitigation/push", Role::Operator, post(push))
            .says("Push")
            .body(of::<Push>()),
        Route::new("POST", "/api/v1/mitigation/undo", Role::Operator, post(undo))
            .says("Undo")
            .body(of::<UndoBody>()),
        Route::new("POST", "/api/v1/mitigation/redo", Role::Operator, post(redo))
            .says("Let what was taken back be pushed again")
            .body(of::<RedoBody>()),
        Route::new("PUT", "/api/v1/mitigation/kill-switch", Role::Operator, put(kill))
            .says("Stop every push, and take everything off the devices")
            .body(of::<Switch>())
            .gives(Answer::Empty),
        Route::new("GET", "/api/v1/actions", Role::Viewer, get(actions))
            .says("What was done")
            .query(Params::List(&ACTIONS, &[]))
            .gives(Answer::Page(of::<ActionItem>())),
        Route::new("GET", "/api/v1/audit", Role::Analyst, get(audit))
            .says("Who did what")
            .query(Params::List(&AUDIT, &[]))
            .gives(Answer::Page(of::<AuditItem>())),
        Route::new("GET", "/api/v1/allow", Role::Viewer, get(allowed))
            .says("Whom nothing is ever done against")
            .query(Params::Named(PAGED))
            .gives(Answer::Page(of::<Allowed>())),
        Route::new("POST", "/api/v1/allow", Role::Operator, post(allow))
            .says("Allow somebody")
            .body(of::<Allow>())
            .gives(Answer::Created(of::<Allowed>())),
        Route::new("DELETE", "/api/v1/allow/{id}", Role::Operator, delete(disallow))
            .says("Take that back")
            .gives(Answer::Empty),
    ]
}

/// How to push.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Push {
    #[serde(default)]
    #[schema(required = false)]
    force: bool,
    #[serde(default)]
    #[schema(required = false)]
    dry_run: bool,
}

/// What to undo: one of these.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct UndoBody {
    all: Option<bool>,
    verdict: Option<String>,
    policy: Option<String>,
    campaign: Option<String>,
    since: Option<Ts>,
    #[serde(default)]
    #[schema(required = false)]
    dry_run: bool,
}

/// What may be pushed again: one of these.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RedoBody {
    all: Option<bool>,
    verdict: Option<String>,
    policy: Option<String>,
    campaign: Option<String>,
    since: Option<Ts>,
}

impl RedoBody {
    /// The one that is named.
    fn what(self) -> Result<Undo, Problem> {
        let RedoBody { all, verdict, policy, campaign, since } = self;
        let named = [
            (all == Some(true)).then_some(Undo::All),
            verdict.map(Undo::Verdict),
            policy.map(Undo::Policy),
            campaign.map(Undo::Campaign),
            since.map(Undo::Since),
        ];
        let mut named = named.into_iter().flatten();
        match (named.next(), named.next()) {
            (Some(what), None) => Ok(what),
            _ => {
                Err(Problem::bad_body("name exactly one of all (true), verdict, policy, campaign and since"))
            }
        }
    }
}

/// On or off.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Switch {
    on: bool,
}

/// Whom to allow.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Allow {
    kind: AllowKind,
    value: String,
    reason: String,
    expires_at: Option<Ts>,
}

/// What can be allowed.
#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
enum AllowKind {
    Ip,
    Cidr,
    Session,
    Account,
    ApiKey,
    Fingerprint,
}

impl AllowKind {
    const fn name(self) -> &'static str {
        match self {
            AllowKind::Ip => "ip",
            AllowKind::Cidr => "cidr",
            AllowKind::Session => "session",
            AllowKind::Account => "account",
            AllowKind::ApiKey => "api-key",
            AllowKind::Fingerprint => "fingerprint",
        }
    }
}

/// Entries of the allow list of which it is counted what they let go.
const LET_GO: usize = 200;

/// Who is allowed.
#[derive(Serialize, utoipa::ToSchema)]
struct Allowed {
    #[serde(flatten)]
    row: AllowedRow,
    /// `console` or `configuration`; what the configuration says has the id 0 and cannot be taken back here.
    source: String,
    /// Convictions that it lets go; of a list of very many entries only the first are counted.
    let_go: Option<LetGo>,
}

/// Asks policy or devices, reading the store.
pub(super) async fn ask(
    app: &App,
    f: impl FnOnce(&dyn Control, &Store) -> Done + Send + 'static,
) -> Result<Json<Value>, Problem> {
    let control = Arc::clone(&app.control);
    app.read(move |store| Ok(f(&*control, store)?)).await.map(Json)
}

/// How often, a second apart, devices are tried to be emptied while too many orders wait.
const EMPTY_TRIES: u32 = 120;

/// Columns of a file of what is on devices.
const ENTRY: &[&str] =
    &["device", "subject", "response", "verdict", "policy", "since", "expires_at", "state"];

async fn devices(State(app): State<App>) -> Result<Json<Value>, Problem> {
    let mut said = Devices::say(&app).await?;
    // Who may not look at the kill switch's file has heard of it with the devices.
    let control = Arc::clone(&app.control);
    let killed = app.read(move |store| Ok(control.killed(store)?)).await?;
    if let Some(fields) = said.as_object_mut() {
        fields.insert("killed".to_owned(), json!(killed.is_some()));
        fields.insert("killed_why".to_owned(), json!(killed));
    }
    Ok(Json(said))
}

async fn entries(State(app): State<App>, pairs: Pairs) -> Result<Response, Problem> {
    let part = PartOf::of(pairs, &["device", "response"], &["since", "expires_at", "subject"])?;
    let control = Arc::clone(&app.control);
    app.read(move |store| {
        let rows = rows_of(control.entries(store)?);
        part.answer_filled(rows, Known::First(ENTRY), "entries", |row| {
            let policy = row["verdict"].as_str().map(|v| store.policy_of(v)).transpose()?.flatten();
            row["policy"] = json!(policy);
            Ok(())
        })
    })
    .await
}

async fn plan(State(app): State<App>, Input(body): Input<Push>) -> Result<Json<Value>, Problem> {
    let control = Arc::clone(&app.control);
    app.look(move |store| Ok(control.plan(store, body.force)?)).await.map(Json)
}

async fn push(
    State(app): State<App>,
    caller: Caller,
    Input(body): Input<Push>,
) -> Result<Json<Value>, Problem> {
    let order_ = Order { force: body.force, dry_run: body.dry_run, by: caller.name.clone() };
    let detail = json!({ "force": body.force, "dry_run": body.dry_run });
    let named = (Reach::of(body.dry_run), "mitigation.order");
    order_devices(&app, &caller, named, detail, move |c, store| c.push(store, &order_)).await
}

async fn undo(
    State(app): State<App>,
    caller: Caller,
    Input(body): Input<UndoBody>,
) -> Result<Json<Value>, Problem> {
    let UndoBody { all, verdict, policy, campaign, since, dry_run } = body;
    let what = RedoBody { all, verdict, policy, campaign, since }.what()?;
    let detail = json!({ "what": format!("{what:?}"), "dry_run": dry_run });
    let order_ = Order { force: false, dry_run, by: caller.name.clone() };
    let named = (Reach::of(dry_run), "mitigation.undo-order");
    order_devices(&app, &caller, named, detail, move |c, store| c.undo(store, &order_, &what)).await
}

async fn redo(
    State(app): State<App>,
    caller: Caller,
    Input(body): Input<RedoBody>,
) -> Result<Json<Value>, Problem> {
    let what = body.what()?;
    let by = caller.name.clone();
    let detail = json!({ "what": format!("{what:?}") });
    let named = (Reach::Changes, "mitigation.redo");
    order_devices(&app, &caller, named, detail, move |c, store| c.redo(store, &what, &by)).await
}

/// The switch is turned at once, whatever devices answer; they are emptied after it.
async fn kill(
    State(app): State<App>,
    caller: Caller,
    Input(body): Input<Switch>,
) -> Result<StatusCode, Problem> {
    let (by, on) = (caller.name.clone(), body.on);
    let detail = json!({ "on": on });
    let switch = move |c: &dyn Control, store: &mut Store| c.kill_switch(store, on, &by);
    // It is turned in its turn among changes of the store, whatever devices are waited for: who turns it last has the last word.
    let Json(said) = order(&app, &caller, "mitigation.kill-switch", detail.clone(), switch).await?;
    if let Some(asked) = said.get("left").and_then(|left| Ts::deserialize(left).ok()) {
        let release = move |c: &dyn Control, store: &mut Store| c.release(store, asked);
        let named = (Reach::Changes, "mitigation.kill-switch");
        let Json(_) = order_devices(&app, &caller, named, detail, release).await?;
    }
    if on {
        tokio::spawn(empty(app, caller));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Empties the devices, as soon as orders that wait leave it a place.
async fn empty(app: App, caller: Caller) {
    const ACTION: &str = "mitigation.empty";
    if let Err(problem) = note_order(&app, &caller, ACTION, json!({})).await {
        tracing::warn!(?problem, "that devices are emptied is not in the audit");
    }
    for _ in 0..EMPTY_TRIES {
        let by = caller.name.clone();
        let empty = move |c: &dyn Control, store: &mut Store| c.empty(store, &by);
        match carry_out(&app, &caller, (Reach::Changes, ACTION, json!({})), Late::Again, empty).await {
            Err(NotDone::NoPlace(_)) => tokio::time::sleep(std::time::Duration::from_secs(1)).await,
            Err(NotDone::Else(problem)) if problem.status == StatusCode::SERVICE_UNAVAILABLE => {}
            Err(NotDone::Else(problem)) => {
                tracing::warn!(?problem, "devices were not emptied by the kill switch");
                return;
            }
            Ok(_) => return,
        }
    }
    let why = "too many orders wait";
    tracing::warn!("devices were not emptied by the kill switch: {why}");
    if let Err(problem) = note_undone(&app, &caller, ACTION, json!({}), why).await {
        tracing::warn!(?problem, "that devices were not emptied is not in the audit");
    }
}

async fn actions(State(app): State<App>, pairs: Pairs) -> Result<Response, Problem> {
    Asked::of(&ACTIONS, pairs, &[])?.answer(&app, "actions", Store::action_list).await
}

async fn audit(State(app): State<App>, pairs: Pairs) -> Result<Response, Problem> {
    Asked::of(&AUDIT, pairs, &[])?.answer(&app, "audit", Store::audit_list).await
}

async fn allowed(State(app): State<App>, pairs: Pairs) -> Result<Response, Problem> {
    let part = PartOf::of(pairs, &["kind", "source"], &["at", "value", "kind", "id"])?;
    let (now, control) = (app.now(), Arc::clone(&app.control));
    let rows = app
        .read(move |store| {
            let own = store.allowed(now)?.into_iter().map(|row| Allowed {
                row,
                source: "console".to_owned(),
                let_go: None,
            });
            let policies = control.policies(store).unwrap_or_default();
            let listed = policies.get("allow").and_then(Value::as_array).cloned().unwrap_or_default();
            let mut rows: Vec<_> = own.chain(listed.iter().map(of_configuration)).collect();
            for entry in rows.iter_mut().take(LET_GO) {
                entry.let_go = Some(store.let_go(&entry.row.kind, &entry.row.value)?);
            }
            Ok(rows)
        })
        .await?;
    Ok(part.answer(&rows, Known::Also(fields_of::<Allowed>()), "allow"))
}

pub(super) fn rows_of(all: Value) -> Vec<Value> {
    match all {
        Value::Array(rows) => rows,
        _ => Vec::new(),
    }
}

fn of_configuration(entry: &Value) -> Allowed {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let row = AllowedRow {
        id: 0,
        kind: text("kind"),
        value: text("value"),
        reason: text("reason"),
        by: String::new(),
        at: Ts(0),
        expires_at: None,
    };
    Allowed { row, source: "configuration".to_owned(), let_go: None }
}

async fn allow(
    State(app): State<App>,
    caller: Caller,
    Input(body): Input<Allow>,
) -> Result<Response, Problem> {
    let Allow { kind, value, reason, expires_at } = body;
    let fits = match kind {
        AllowKind::Ip => value.parse::<std::net::IpAddr>().is_ok(),
        AllowKind::Cidr => is_network(&value),
        _ => !value.is_empty() && value.len() <= 1_000,
    };
    if !fits {
        return Err(Problem::bad_body(format!("value: it does not fit the kind {}", kind.name())));
    }
    if matches!(kind, AllowKind::Cidr) && is_too_wide(&value) {
        let why = "value: it would let most attackers in, and devices too; of IPv4 at least /8 and of IPv6 at least /19 is taken";
        return Err(Problem::bad_body(why));
    }
    if matches!(kind, AllowKind::Fingerprint) && !is_fingerprint(&value) {
        return Err(Problem::bad_body("value: no fingerprint as pages spell it, like s2-0123456789abcdef"));
    }
    if reason.is_empty() || reason.chars().count() > 1_000 {
        return Err(Problem::bad_body("reason: 1 to 1000 characters"));
    }
    let now = app.now();
    if expires_at.is_some_and(|t| t <= now) {
        return Err(Problem::bad_body("expires_at: this time is over already"));
    }
    let value = app.control.allow_value(kind.name(), &value)?;
    let mut row = AllowedRow {
        id: 0,
        kind: kind.name().to_owned(),
        value,
        reason,
        by: caller.name.clone(),
        at: now,
        expires_at,
    };
    let row = app
        .write(move |store| {
            row.id = store.allow(&row)?;
            let detail = json!({ "kind": row.kind, "value": row.value, "reason": row.reason, "expires_at": row.expires_at });
            store.record_audit(&caller.audit(now, "allow.add", detail))?;
            Ok(row)
        })
        .await?;
    Ok((StatusCode::CREATED, Json(Allowed { row, source: "console".to_owned(), let_go: None }))
        .into_response())
}

/// Whether a network is wider than any that is somebody's own.
fn is_too_wide(value: &str) -> bool {
    let Some((base, length)) = value.split_once('/') else { return false };
    let least = if base.contains(':') { 19 } else { 8 };
    length.parse::<u8>().is_ok_and(|l| l < least)
}

/// Whether it is `s2-0123456789abcdef`: a kind, and what was hashed.
fn is_fingerprint(value: &str) -> bool {
    let Some((kind, hash)) = value.split_once('-') else { return false };
    kind.len() == 2 && hash.len() >= 8 && hash.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_network(value: &str) -> bool {
    let Some((base, length)) = value.split_once('/') else { return false };
    let Ok(base) = base.parse::<std::net::IpAddr>() else { return false };
    let most = if base.is_ipv4() { 32 } else { 128 };
    length.parse::<u8>().is_ok_and(|l| l <= most)
}

async fn disallow(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
) -> Result<StatusCode, Problem> {
    let id: u64 = id.parse().map_err(|_| Problem::not_found("entry"))?;
    let now = app.now();
    app.write(move |store| {
        let Some(row) = store.disallow(id, now)? else {
            return Err(Refused::NotFound("there is no such entry".into()).into());
        };
        let detail = json!({ "kind": row.kind, "value": row.value });
        Ok(store.record_audit(&caller.audit(now, "allow.remove", detail))?)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
