use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use sidetap_model::rows::{Summary, TrafficPoint};
use sidetap_model::{ActionRow, Ts};
use sidetap_store::{
    CAMPAIGNS, CHANGES, CampaignItem, Change, EndpointItem, FindingCounts, RiskBands, Sort, Store, Totals,
    Wanted, harm,
};

use super::health::{Health, health_of};
use crate::access::Role;
use crate::app::App;
use crate::list::{Asked, Pairs};
use crate::problem::Problem;
use crate::table::{Answer, Kind, Params, Route, of};

/// Points of traffic in one answer at most.
const MAX_POINTS: i64 = 1_000;
/// Points of traffic in the overview at most.
const POINTS: i64 = 240;
/// Rows of each list in the overview.
const FEW: usize = 8;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/overview", Role::Viewer, get(overview))
            .says("What there is, who attacks, what was done")
            .gives(Answer::One(of::<Overview>())),
        Route::new("GET", "/api/v1/traffic", Role::Viewer, get(traffic))
            .says("Requests over time by intent")
            .query(Params::Named(&[("from", Kind::Time), ("to", Kind::Time), ("bucket_s", Kind::Integer)]))
            .gives(Answer::One(of::<Traffic>())),
        Route::new("GET", "/api/v1/changes", Role::Viewer, get(changes))
            .says("What changed in what is known")
            .query(Params::List(&CHANGES, &[]))
            .gives(Answer::Page(of::<Change>())),
        Route::new("GET", "/api/v1/summary", Role::Viewer, get(summary))
            .says("Summaries of all runs added together")
            .gives(Answer::One(of::<Summary>())),
    ]
}

/// Everything at once.
#[derive(Serialize, utoipa::ToSchema)]
struct Overview {
    generated_at: Ts,
    span: Span,
    totals: Totals,
    /// Requests by intent.
    intents: Intents,
    traffic: Traffic,
    changes: Vec<Change>,
    campaigns: Vec<CampaignItem>,
    endpoints: Vec<EndpointItem>,
    findings: FindingCounts,
    risk: RiskBands,
    actions: Vec<ActionRow>,
    health: Health,
}

/// From when to when there are packets; the points of traffic are requests, which begin later and end earlier.
#[derive(Serialize, utoipa::ToSchema)]
struct Span {
    from: Option<Ts>,
    to: Option<Ts>,
}

/// Requests by intent.
#[derive(Default, Serialize, utoipa::ToSchema)]
struct Intents {
    benign: u64,
    automated: u64,
    suspicious: u64,
    malicious: u64,
}

/// Requests over time by intent.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Traffic {
    /// Seconds of a bucket.
    pub(crate) bucket_s: u64,
    pub(crate) points: Vec<TrafficPoint>,
}

async fn overview(State(app): State<App>) -> Result<Json<Overview>, Problem> {
    let (now, live) = (app.now(), app.live.get());
    let read = move |store: &Store| {
        let spans = [store.packet_span()?, store.traffic_span()?];
        let span = spans.into_iter().flatten().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let traffic = traffic_of(store, None, None, None, POINTS)?;
        let mut intents = Intents::default();
        for p in &traffic.points {
            intents.benign += p.benign;
            intents.automated += p.automated;
            intents.suspicious += p.suspicious;
            intents.malicious += p.malicious;
        }
        let few = Wanted { limit: FEW, ..Wanted::default() };
        let latest = CAMPAIGNS.column("last_seen").map(|by| Sort { by, descending: true });
        let recent = Wanted { limit: 50, sort: latest, ..Wanted::default() };
        let mut campaigns = store.campaign_list(&recent)?.rows;
        // Equal ones as the list has them.
        let key = |c: &CampaignItem| harm(c.score, &c.outcome, c.requests, c.members);
        campaigns.sort_by(|a, b| key(b).cmp(&key(a)).then_with(|| b.id.cmp(&a.id)));
        campaigns.truncate(FEW);
        let findings = store.finding_counts()?;
        Ok(Overview {
            generated_at: now,
            span: Span { from: span.map(|s| s.0), to: span.map(|s| s.1) },
            totals: store.totals_with(&findings)?,
            intents,
            traffic,
            changes: store.change_list(&Wanted { limit: 20, ..Wanted::default() })?.rows,
            campaigns,
            endpoints: store.endpoint_list(&few)?.rows,
            findings,
            risk: store.risk_bands()?,
            actions: store.actions(10, 0)?,
            health: health_of(store, live)?,
        })
    };
    app.read(read).await.map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrafficQuery {
    from: Option<Ts>,
    to: Option<Ts>,
    bucket_s: Option<u64>,
}

async fn traffic(
    State(app): State<App>,
    query: Result<Query<TrafficQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Traffic>, Problem> {
    let Query(q) = query.map_err(|e| Problem::bad_query(e.body_text()))?;
    if q.bucket_s.is_some_and(|n| !(1..=BUCKET_S).contains(&n)) {
        return Err(Problem::bad_query(format!("bucket_s: 1 to {BUCKET_S}")));
    }
    app.read(move |store| traffic_of(store, q.from, q.to, q.bucket_s, MAX_POINTS)).await.map(Json)
}

/// Traffic in at most so many buckets, the finest that a store has.
fn traffic_of(
    store: &Store,
    from: Option<Ts>,
    to: Option<Ts>,
    bucket_s: Option<u64>,
    points: i64,
) -> Result<Traffic, Problem> {
    let Some((first, last)) = store.traffic_span()? else {
        return Ok(Traffic { bucket_s: bucket_s.unwrap_or(10), points: Vec::new() });
    };
    let (from, to) = (from.unwrap_or(first).max(first), to.unwrap_or(last).min(last));
    let seconds = to.since(from).max(0) / 1_000_000_000 + 1;
    let least = u64::try_from(seconds / points + 1).unwrap_or(1);
    let round = |n: u64| {
        [10, 30, 60, 300, 600, 1_800, 3_600, 21_600, 86_400].into_iter().find(|w| *w >= n).unwrap_or(n)
    };
    let bucket_s = match bucket_s {
        Some(asked) => asked.max(least),
        None => round(least),
    };
    Ok(Traffic { bucket_s, points: store.traffic_between(from, to, bucket_s)? })
}

/// Seconds of the longest bucket: ten years.
const BUCKET_S: u64 = 315_360_000;

async fn changes(State(app): State<App>, pairs: Pairs) -> Result<Response, Problem> {
    Asked::of(&CHANGES, pairs, &[])?.answer(&app, "changes", Store::change_list).await
}

async fn summary(State(app): State<App>) -> Result<Json<Summary>, Problem> {
    let read = |store: &Store| {
        let mut all = store.summary_of_all()?;
        let totals = store.totals()?;
        let sizes: BTreeMap<String, u64> = store.sizes()?;
        all.counts.endpoints = totals.endpoints;
        all.counts.sensitive = totals.sensitive;
        all.counts.findings = sizes.get("findings").copied().unwrap_or(0);
        all.counts.campaigns = totals.campaigns;
        all.counts.verdicts = totals.verdicts;
        Ok(all)
    };
    app.read(read).await.map(Json)
}
