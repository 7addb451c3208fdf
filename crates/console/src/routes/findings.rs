use axum::Json;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, patch, post};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sidetap_model::Ts;
use sidetap_model::rows::EndpointRow;
use sidetap_store::{FINDINGS, Filter, FindingCounts, FindingItem, Scope, Store, Test, WorkChange, WorkLine};

use super::evidence::{Exchanges, exchanges_of};
use crate::access::{Caller, Role};
use crate::app::App;
use crate::input::{Input, Segment, given};
use crate::list::{Asked, Pairs};
use crate::problem::Problem;
use crate::table::{Answer, Kind, Params, Route, of};

/// Findings that are changed at once.
const MAX_IDS: usize = 1_000;

pub(crate) fn routes() -> Vec<Route> {
    let one = "/api/v1/findings/{id}";
    vec![
        Route::new("GET", "/api/v1/findings", Role::Viewer, get(findings))
            .says("Findings, as a work list")
            .query(Params::List(&FINDINGS, &[]))
            .gives(Answer::Page(of::<FindingItem>())),
        Route::new("GET", "/api/v1/findings/summary", Role::Viewer, get(summary))
            .says("Findings counted")
            .gives(Answer::One(of::<FindingCounts>())),
        Route::new("POST", "/api/v1/findings/bulk", Role::Analyst, post(bulk))
            .says("Say what is done about several findings")
            .body(of::<BulkChange>())
            .gives(Answer::One(of::<Changed>())),
        Route::new("GET", one, Role::Viewer, get(finding))
            .says("A finding")
            .gives(Answer::One(of::<FindingPage>())),
        Route::new("PATCH", one, Role::Analyst, patch(work))
            .says("Say what is done about a finding")
            .body(of::<FindingChange>())
            .gives(Answer::One(of::<FindingItem>())),
        Route::new("GET", "/api/v1/findings/{id}/exchanges", Role::Analyst, get(evidence))
            .says("Exchanges that show it; audited")
            .query(Params::Named(&[("format", Kind::Format)]))
            .gives(Answer::One(of::<Exchanges>())),
    ]
}

/// A finding with all that is known about it.
#[derive(Serialize, utoipa::ToSchema)]
struct FindingPage {
    finding: FindingItem,
    endpoint: Option<EndpointRow>,
    history: Vec<WorkLine>,
}

/// What is done about a finding.
#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Status {
    Open,
    Assigned,
    Accepted,
    FalsePositive,
    Fixed,
}

impl Status {
    const fn name(self) -> &'static str {
        match self {
            Status::Open => "open",
            Status::Assigned => "assigned",
            Status::Accepted => "accepted",
            Status::FalsePositive => "false-positive",
            Status::Fixed => "fixed",
        }
    }
}

/// How far a false positive reaches.
#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Reach {
    Finding,
    Endpoint,
    Rule,
}

/// What is to be done about a finding; what is left out stays.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct FindingChange {
    status: Option<Status>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    assignee: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Ts>)]
    expires_at: Option<Option<Ts>>,
    note: Option<String>,
    scope: Option<Reach>,
}

/// The same of several findings.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct BulkChange {
    ids: Vec<String>,
    status: Option<Status>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    assignee: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Ts>)]
    expires_at: Option<Option<Ts>>,
    note: Option<String>,
    scope: Option<Reach>,
}

/// How many were changed.
#[derive(Serialize, utoipa::ToSchema)]
struct Changed {
    changed: u64,
}

async fn findings(State(app): State<App>, pairs: Pairs) -> Result<Response, Problem> {
    let mut asked = Asked::of(&FINDINGS, pairs, &[])?;
    match asked.filters("status") {
        true => asked
            .wanted
            .filters
            .retain(|f| !(f.column.name == "status" && f.test == Test::Any(vec!["any".to_owned()]))),
        false => {
            let open = Test::Any(vec!["open".to_owned(), "assigned".to_owned()]);
            asked
                .wanted
                .filters
                .extend(FINDINGS.column("status").map(|column| Filter { column, test: open }));
        }
    }
    asked.answer(&app, "findings", Store::finding_list).await
}

async fn summary(State(app): State<App>) -> Result<Json<FindingCounts>, Problem> {
    app.read(|store| Ok(store.finding_counts()?)).await.map(Json)
}

async fn finding(State(app): State<App>, Segment(id): Segment) -> Result<Json<FindingPage>, Problem> {
    let read = move |store: &Store| {
        let finding = known(store, &id)?;
        let endpoint = finding.row.subject.get("endpoint");
        let endpoint = endpoint.map(|e| store.endpoint(e)).transpose()?.flatten().map(|e| e.row);
        Ok(FindingPage { history: store.work_log(&id)?, endpoint, finding })
    };
    app.read(read).await.map(Json)
}

async fn work(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
    Input(change): Input<FindingChange>,
) -> Result<Json<FindingItem>, Problem> {
    let now = app.now();
    let change = checked(change, now)?;
    app.write(move |store| {
        known(store, &id)?;
        is_user(store, &change, now)?;
        apply(store, &caller, std::slice::from_ref(&id), &change, now)?;
        known(store, &id)
    })
    .await
    .map(Json)
}

async fn bulk(
    State(app): State<App>,
    caller: Caller,
    Input(body): Input<BulkChange>,
) -> Result<Json<Changed>, Problem> {
    let BulkChange { ids, status, assignee, expires_at, note, scope } = body;
    if ids.len() > MAX_IDS {
        return Err(Problem::bad_body(format!("ids: at most {MAX_IDS}")));
    }
    let now = app.now();
    let change = checked(FindingChange { status, assignee, expires_at, note, scope }, now)?;
    let changed = app
        .write(move |store| {
            is_user(store, &change, now)?;
            apply(store, &caller, &ids, &change, now)
        })
        .await?;
    Ok(Json(Changed { changed }))
}

/// Whoever is to work on it can log in.
fn is_user(store: &Store, change: &WorkChange, now: Ts) -> Result<(), Problem> {
    let Some(Some(name)) = &change.assignee else { return Ok(()) };
    match store.users(now)?.iter().any(|u| u.name == *name) {
        true => Ok(()),
        false => Err(Problem::bad_body("assignee: there is no such user")),
    }
}

fn checked(change: FindingChange, now: Ts) -> Result<WorkChange, Problem> {
    let until = change.expires_at.flatten();
    if until.is_some_and(|t| t <= now) {
        return Err(Problem::bad_body("expires_at: this time is over already"));
    }
    if matches!(change.status, Some(Status::Assigned)) && change.assignee == Some(None) {
        return Err(Problem::bad_body("assigned: to whom? name an assignee"));
    }
    if matches!(change.status, Some(Status::Accepted)) && until.is_none() {
        return Err(Problem::bad_body("accepted: until when? say expires_at"));
    }
    let long = |t: Option<&String>, n| t.is_some_and(|t| t.chars().count() > n);
    if long(change.note.as_ref(), 4_000) || long(change.assignee.as_ref().and_then(Option::as_ref), 200) {
        return Err(Problem::bad_body("a note has at most 4000 characters, an assignee 200"));
    }
    Ok(WorkChange {
        status: change.status.map(|s| s.name().to_owned()),
        assignee: change.assignee,
        expires_at: change.expires_at,
        note: change.note,
        scope: match change.scope {
            None | Some(Reach::Finding) => Scope::Finding,
            Some(Reach::Endpoint) => Scope::Endpoint,
            Some(Reach::Rule) => Scope::Rule,
        },
    })
}

fn apply(
    store: &mut Store,
    caller: &Caller,
    ids: &[String],
    change: &WorkChange,
    now: Ts,
) -> Result<u64, Problem> {
    // Nobody did anything where nothing is said.
    if *change == (WorkChange { scope: change.scope, ..WorkChange::default() }) {
        return Ok(0);
    }
    let changed = store.work_on(ids, change, &caller.name, now)?;
    if changed == 0 {
        return Ok(0);
    }
    let scope = match change.scope {
        Scope::Finding => "finding",
        Scope::Endpoint => "endpoint",
        Scope::Rule => "rule",
    };
    let some: Vec<&String> = ids.iter().filter(|id| id.len() <= 64).take(100).collect();
    let detail = json!({
        "findings": some, "changed": changed, "status": change.status, "assignee": change.assignee, "expires_at": change.expires_at,
        "note": change.note, "scope": scope,
    });
    store.record_audit(&caller.audit(now, "finding.work", detail))?;
    Ok(changed)
}

async fn evidence(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
    pairs: Pairs,
) -> Result<Response, Problem> {
    let what = id.clone();
    let finding = app.read(move |store| known(store, &id)).await?;
    exchanges_of(&app, &caller, pairs, ("finding", what), finding.row.evidence).await
}

fn known(store: &Store, id: &str) -> Result<FindingItem, Problem> {
    store.finding(id)?.ok_or_else(|| Problem::not_found("finding"))
}
