use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use futures_util::stream::Stream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sidetap_model::SubjectKind;
use sidetap_store::{Limits, Removed, Store};
use tokio::sync::OwnedSemaphorePermit;

use crate::access::{Caller, Role};
use crate::app::App;
use crate::input::Input;
use crate::problem::Problem;
use crate::table::{Answer, Route, of};

/// Bytes of a backup that are read at once.
const PIECE: u64 = 256 << 10;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/settings", Role::Viewer, get(settings))
            .says("How this server is set up")
            .gives(Answer::One(of::<Settings>())),
        Route::new("PATCH", "/api/v1/settings/retention", Role::Admin, patch(retention))
            .says("Change what is kept, and for how long")
            .body(of::<RetentionChange>())
            .gives(Answer::One(of::<Limits>())),
        Route::new("POST", "/api/v1/settings/backup", Role::Admin, post(backup))
            .says("A consistent copy of the store")
            .gives(Answer::Raw("application/vnd.sqlite3")),
        Route::new("POST", "/api/v1/settings/forget", Role::Admin, post(forget))
            .says("Forget somebody everywhere")
            .body(of::<Forget>())
            .gives(Answer::One(of::<Forgotten>())),
    ]
}

/// How this server is set up.
#[derive(Serialize, utoipa::ToSchema)]
struct Settings {
    version: String,
    listen: String,
    tls: bool,
    hosts: Vec<String>,
    store: StoreInfo,
    retention: Limits,
    /// Whether a watch fills the store at this moment.
    live: bool,
    writable: bool,
    configuration: Option<String>,
}

/// Where the store is and how large.
#[derive(Serialize, utoipa::ToSchema)]
struct StoreInfo {
    path: String,
    bytes: u64,
    limit_bytes: u64,
}

/// What is to be kept, and for how long; what is left out stays.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RetentionChange {
    #[schema(minimum = 3600)]
    age_s: Option<u64>,
    #[schema(minimum = 86400)]
    journal_age_s: Option<u64>,
    #[schema(minimum = 1000)]
    rows: Option<u64>,
    #[schema(minimum = 3600)]
    evidence_age_s: Option<u64>,
    #[schema(minimum = 0)]
    evidence_bytes: Option<u64>,
    #[schema(minimum = 67_108_864)]
    limit_bytes: Option<u64>,
}

/// Whom to forget.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Forget {
    kind: ForgetKind,
    /// As outputs spell it.
    value: String,
}

/// Who can be forgotten.
#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
enum ForgetKind {
    Ip,
    Account,
    Session,
    ApiKey,
}

/// What was removed.
#[derive(Serialize, utoipa::ToSchema)]
struct Forgotten {
    /// Rows by table.
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    removed: Removed,
}

async fn settings(State(app): State<App>) -> Result<Json<Settings>, Problem> {
    let (about, live, configuration) =
        (app.about.clone(), app.live.get().is_some(), app.control.configuration());
    let read = move |store: &Store| {
        let limits = store.limits()?;
        Ok(Settings {
            version: about.version,
            listen: about.listen.to_string(),
            tls: about.tls,
            hosts: about.hosts,
            store: StoreInfo {
                path: about.store.display().to_string(),
                bytes: store.bytes(),
                limit_bytes: limits.limit_bytes,
            },
            retention: limits,
            live,
            writable: true,
            configuration,
        })
    };
    app.read(read).await.map(Json)
}

async fn retention(
    State(app): State<App>,
    caller: Caller,
    Input(change): Input<RetentionChange>,
) -> Result<Json<Limits>, Problem> {
    let least = [
        ("age_s", change.age_s, 3_600),
        ("journal_age_s", change.journal_age_s, 86_400),
        ("rows", change.rows, 1_000),
        ("evidence_age_s", change.evidence_age_s, 3_600),
        ("evidence_bytes", change.evidence_bytes, 0),
        ("limit_bytes", change.limit_bytes, 64 << 20),
    ];
    for (name, value, least) in least {
        if value.is_some_and(|v| v < least) {
            return Err(Problem::bad_body(format!("{name}: at least {least}")));
        }
        // The store's numbers, and the format that the description says, end there.
        if value.is_some_and(|v| v > i64::MAX.unsigned_abs()) {
            return Err(Problem::bad_body(format!("{name}: at most {}", i64::MAX)));
        }
    }
    let now = app.now();
    let changed = app.write(move |store| {
        let old = store.limits()?;
        let limits = Limits {
            age_s: change.age_s.unwrap_or(old.age_s),
            journal_age_s: change.journal_age_s.unwrap_or(old.journal_age_s),
            rows: change.rows.unwrap_or(old.rows),
            evidence_age_s: change.evidence_age_s.unwrap_or(old.evidence_age_s),
            evidence_bytes: change.evidence_bytes.unwrap_or(old.evidence_bytes),
            limit_bytes: change.limit_bytes.unwrap_or(old.limit_bytes),
        };
        store.set_limits(&limits)?;
        store.record_audit(&caller.audit(now, "settings.retention", json!({ "was": old, "is": limits })))?;
        Ok(Json(limits))
    });
    let limits = changed.await?;
    tokio::spawn(async move { app.keep_limits().await });
    Ok(limits)
}

async fn backup(State(app): State<App>, caller: Caller) -> Result<Response, Problem> {
    let Ok(permit) = Arc::clone(&app.copies).try_acquire_owned() else {
        return Err(Problem::conflict("a copy is being made already; one at a time"));
    };
    let audit = caller.audit(app.now(), "store.backup", json!({}));
    app.write(move |store| Ok(store.record_audit(&audit)?)).await?;
    let file = app.read(|store| Ok(store.backup_file()?)).await?;
    let mut response = Body::from_stream(pieces(file, permit)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/vnd.sqlite3"));
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"sidetap-backup.db\""),
    );
    *response.status_mut() = StatusCode::OK;
    Ok(response)
}

/// A file in pieces, each read when the one before it was sent.
fn pieces(file: File, permit: OwnedSemaphorePermit) -> impl Stream<Item = std::io::Result<Vec<u8>>> {
    futures_util::stream::try_unfold((file, permit), |(mut file, permit)| async move {
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = Vec::new();
            (&mut file).take(PIECE).read_to_end(&mut piece).map(|_| (file, piece))
        });
        let (file, piece) = read.await.map_err(std::io::Error::other)??;
        Ok((!piece.is_empty()).then_some((piece, (file, permit))))
    })
}

async fn forget(
    State(app): State<App>,
    caller: Caller,
    Input(body): Input<Forget>,
) -> Result<Json<Forgotten>, Problem> {
    let kind = match body.kind {
        ForgetKind::Ip => SubjectKind::Ip,
        ForgetKind::Account => SubjectKind::Account,
        ForgetKind::Session => SubjectKind::Session,
        ForgetKind::ApiKey => SubjectKind::ApiKey,
    };
    if body.value.len() < 3
        || body.value.len() > 1_000
        || (kind == SubjectKind::Ip && body.value.parse::<std::net::IpAddr>().is_err())
    {
        return Err(Problem::bad_body("value: an address, or a name as outputs spell it"));
    }
    let mut names = app.control.spellings(kind.name(), &body.value)?;
    // In what people wrote stands the name itself.
    if !names.contains(&body.value) {
        names.push(body.value);
    }
    let now = app.now();
    app.write_apart(move |store| {
        let mut removed = Removed::default();
        for name in &names {
            let some = !removed.0.is_empty();
            let gone = store.forget(kind, name, &caller.name, now).map_err(|e| {
                let mut problem = Problem::from(e);
                if some {
                    problem.detail = "some of it is forgotten, the rest is not: ask again".to_owned();
                }
                problem
            })?;
            for (table, n) in gone.0 {
                *removed.0.entry(table).or_default() += n;
            }
        }
        Ok(Json(Forgotten { removed }))
    })
    .await
}
