use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream::{self, Stream, StreamExt};
use serde::Serialize;
use serde_json::json;
use sidetap_store::{Marks, News};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::Role;
use crate::app::App;
use crate::problem::Problem;
use crate::table::{Answer, Route};

/// Streams at once.
pub(crate) const STREAMS: usize = 64;
/// Between two looks at the store.
const PERIOD: Duration = Duration::from_secs(1);

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/events", Role::Viewer, get(events))
            .says("What happens, as it happens (server-sent events)")
            .gives(Answer::Raw("text/event-stream")),
    ]
}

async fn events(State(app): State<App>, headers: HeaderMap) -> Response {
    let Ok(permit) = Arc::clone(&app.streams).try_acquire_owned() else {
        let detail = format!("at most {STREAMS} streams at once");
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-available", "too many streams", detail)
            .into_response();
    };
    let last = headers.get("last-event-id").and_then(|v| v.to_str().ok()).and_then(marks);
    Sse::new(follow(app, last, permit))
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
        .into_response()
}

/// Streams that may still begin.
pub(crate) fn permits() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(STREAMS))
}

struct State_ {
    app: App,
    marks: Option<Marks>,
    greeted: bool,
    _permit: OwnedSemaphorePermit,
}

fn follow(
    app: App,
    marks: Option<Marks>,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let state = State_ { app, marks, greeted: false, _permit: permit };
    stream::unfold(state, |mut state| async move {
        let batch = match state.greeted {
            false => {
                state.greeted = true;
                if state.marks.is_none() {
                    state.marks = state.app.read(|store| Ok(store.marks()?)).await.ok();
                }
                let live = state.app.live.get().is_some();
                vec![event("hello", &json!({ "version": state.app.about.version, "live": live }))]
            }
            true => {
                tokio::time::sleep(PERIOD).await;
                look(&mut state).await
            }
        };
        Some((stream::iter(batch.into_iter().map(Ok)), state))
    })
    .flatten()
}

async fn look(state: &mut State_) -> Vec<Event> {
    let mut batch = Vec::new();
    if let Some(live) = state.app.live.get() {
        batch.push(event("stats", &live));
    }
    let since = state.marks.unwrap_or_default();
    let Ok(News { marks, verdicts, campaigns, actions, changed }) =
        state.app.read(move |store| Ok(store.news(&since)?)).await
    else {
        return batch;
    };
    state.marks = Some(marks);
    let id = format!(
        "{}.{}.{}.{}.{}.{}",
        marks.verdicts, marks.campaigns, marks.actions, marks.endpoints, marks.findings, marks.sensitive
    );
    if !verdicts.is_empty() {
        batch.push(event("verdicts", &json!({ "rows": verdicts })).id(&id));
    }
    if !campaigns.is_empty() {
        batch.push(event("campaigns", &json!({ "rows": campaigns })).id(&id));
    }
    if !actions.is_empty() {
        batch.push(event("actions", &json!({ "rows": actions })).id(&id));
    }
    if !changed.is_empty() {
        batch.push(event("changed", &json!({ "tables": changed })).id(&id));
    }
    batch
}

fn event<T: Serialize>(name: &str, data: &T) -> Event {
    Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
}

fn marks(id: &str) -> Option<Marks> {
    let mut parts = id.split('.').map(|p| p.parse::<i64>().ok());
    let mut next = || parts.next().flatten();
    Some(Marks {
        verdicts: next()?,
        campaigns: next()?,
        actions: next()?,
        endpoints: next()?,
        findings: next()?,
        sensitive: next()?,
    })
}
