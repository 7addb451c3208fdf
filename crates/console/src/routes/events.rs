use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream::{self, Stream, StreamExt};
use serde::Serialize;
use sidetap_store::{ActionItem, CampaignItem, Marks, News, Store, VerdictItem};

use crate::access::{Caller, Role};
use crate::app::App;
use crate::live::Live;
use crate::problem::Problem;
use crate::table::{Answer, Route, of};

/// Streams at once.
const STREAMS: usize = 64;
/// Of these, those of one user.
const OF_ONE: usize = 8;
/// Between two looks at the store.
const PERIOD: Duration = Duration::from_secs(1);

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/events", Role::Viewer, get(events))
            .says("What happens, as it happens (server-sent events)")
            .gives(Answer::Events(vec![
                ("hello", of::<Hello>()),
                ("stats", of::<Live>()),
                ("verdicts", of::<NewVerdicts>()),
                ("campaigns", of::<NewCampaigns>()),
                ("actions", of::<NewActions>()),
                ("changed", of::<ChangedLists>()),
            ])),
    ]
}

/// The first event of a stream.
#[derive(Serialize, utoipa::ToSchema)]
struct Hello {
    version: String,
    /// Whether a watch fills the store: there will be `stats`.
    live: bool,
}

/// Malicious and suspicious verdicts that are new or changed.
#[derive(Serialize, utoipa::ToSchema)]
struct NewVerdicts {
    rows: Vec<VerdictItem>,
}

/// Campaigns that are new or changed.
#[derive(Serialize, utoipa::ToSchema)]
struct NewCampaigns {
    rows: Vec<CampaignItem>,
}

/// Actions that were taken.
#[derive(Serialize, utoipa::ToSchema)]
struct NewActions {
    rows: Vec<ActionItem>,
}

/// Lists that are worth asking again.
#[derive(Serialize, utoipa::ToSchema)]
struct ChangedLists {
    #[schema(value_type = Vec<String>)]
    tables: Vec<&'static str>,
}

async fn events(State(app): State<App>, caller: Caller, headers: HeaderMap) -> Response {
    let Some(place) = app.streams.take(&caller.name) else {
        let detail = format!("at most {STREAMS} streams at once, {OF_ONE} of a user");
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-available", "too many streams", detail)
            .into_response();
    };
    let last = headers.get("last-event-id").and_then(|v| v.to_str().ok()).and_then(marks);
    Sse::new(follow(app, caller, last, place))
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
        .into_response()
}

/// Streams that are open, by user.
#[derive(Clone, Default)]
pub(crate) struct Streams(Arc<Mutex<BTreeMap<String, usize>>>);

/// A stream's place among them.
struct Place(Streams, String);

impl Streams {
    fn take(&self, user: &str) -> Option<Place> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = open.get(user).copied().unwrap_or_default();
        if own >= OF_ONE || open.values().sum::<usize>() >= STREAMS {
            return None;
        }
        open.insert(user.to_owned(), own + 1);
        Some(Place(self.clone(), user.to_owned()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.1) {
            Some(own) if *own > 1 => *own -= 1,
            _ => _ = open.remove(&self.1),
        }
    }
}

struct State_ {
    app: App,
    caller: Caller,
    marks: Option<Marks>,
    greeted: bool,
    _place: Place,
}

fn follow(
    app: App,
    caller: Caller,
    marks: Option<Marks>,
    place: Place,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let state = State_ { app, caller, marks, greeted: false, _place: place };
    stream::unfold(state, |mut state| async move {
        let batch = match state.greeted {
            false => {
                state.greeted = true;
                if state.marks.is_none() {
                    state.marks = state.app.read(|store| Ok(store.marks()?)).await.ok();
                }
                let live = state.app.live.get().is_some();
                vec![event("hello", &Hello { version: state.app.about.version.clone(), live })]
            }
            true => {
                tokio::time::sleep(PERIOD).await;
                look(&mut state).await?
            }
        };
        Some((stream::iter(batch.into_iter().map(Ok)), state))
    })
    .flatten()
}

/// What is new; nothing any more where the right that opened the stream has ended: the session or token, its user, its time.
async fn look(state: &mut State_) -> Option<Vec<Event>> {
    let mut batch = Vec::new();
    if let Some(live) = state.app.live.get() {
        batch.push(event("stats", &live));
    }
    let since = state.marks.unwrap_or_default();
    let (caller, now) = (state.caller.clone(), state.app.now());
    let read = move |store: &Store| match caller.is_still(store, now)? {
        true => Ok(Some(store.news(&since)?)),
        false => Ok(None),
    };
    let News { marks, verdicts, campaigns, actions, changed } = match state.app.read(read).await {
        Ok(news) => news?,
        Err(_) => return Some(batch),
    };
    state.marks = Some(marks);
    let id = id_of(&marks);
    if !verdicts.is_empty() {
        batch.push(event("verdicts", &NewVerdicts { rows: verdicts }).id(&id));
    }
    if !campaigns.is_empty() {
        batch.push(event("campaigns", &NewCampaigns { rows: campaigns }).id(&id));
    }
    if !actions.is_empty() {
        batch.push(event("actions", &NewActions { rows: actions }).id(&id));
    }
    if !changed.is_empty() {
        batch.push(event("changed", &ChangedLists { tables: changed }).id(&id));
    }
    Some(batch)
}

fn event<T: Serialize>(name: &str, data: &T) -> Event {
    Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
}

/// How far a stream has come, as its last event says.
fn id_of(m: &Marks) -> String {
    let all =
        [m.verdicts, m.campaigns, m.actions, m.endpoints, m.findings, m.sensitive, m.approvals, m.audit];
    all.map(|mark| mark.to_string()).join(".")
}

fn marks(id: &str) -> Option<Marks> {
    let parts: Option<Vec<i64>> = id.split('.').map(|p| p.parse().ok()).collect();
    let [verdicts, campaigns, actions, endpoints, findings, sensitive, approvals, audit] =
        parts?.try_into().ok()?;
    Some(Marks { verdicts, campaigns, actions, endpoints, findings, sensitive, approvals, audit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_streams() {
        let streams = Streams::default();
        let mut held: Vec<Place> = (0..OF_ONE).filter_map(|_| streams.take("anna")).collect();
        assert_eq!(held.len(), OF_ONE);
        assert!(streams.take("anna").is_none());
        held.pop();
        assert!(streams.take("anna").is_some_and(|p| p.1 == "anna"));
        let others: Vec<Place> = (0..200).filter_map(|n| streams.take(&format!("user{n}"))).collect();
        assert_eq!(held.len() + others.len(), STREAMS);
        drop((held, others));
        assert!(streams.0.lock().unwrap().is_empty(), "places are given back");
    }
}
