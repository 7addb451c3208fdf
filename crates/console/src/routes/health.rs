use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use serde::Serialize;
use sidetap_model::Ts;
use sidetap_model::rows::{ExchangeCounts, InputSummary, PacketCounts, StreamCounts, Summary};
use sidetap_store::{Room, Store};

use crate::access::Role;
use crate::app::App;
use crate::doctor::{Advice, advise};
use crate::live::Live;
use crate::problem::Problem;
use crate::table::{Answer, Route, of};

/// Runs that are named.
const RUNS: usize = 50;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/v1/health", Role::Viewer, get(health))
            .says("How whole what was seen is, and how the store is")
            .gives(Answer::One(of::<Health>())),
    ]
}

/// How whole what was seen is, and how the store is.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Health {
    /// `ok`, `warn` or `bad`.
    status: String,
    packets: PacketCounts,
    streams: StreamCounts,
    exchanges: ExchangeCounts,
    anomalies: BTreeMap<String, u64>,
    evictions: BTreeMap<String, u64>,
    clock: BTreeMap<String, u64>,
    doctor: Vec<Advice>,
    runs: Vec<Run>,
    live: Option<Live>,
    store: StoreHealth,
}

/// A run in the store.
#[derive(Serialize, utoipa::ToSchema)]
struct Run {
    id: String,
    saved_at: Ts,
    first_ts: Option<Ts>,
    last_ts: Option<Ts>,
    inputs: Vec<InputSummary>,
}

/// How the store is.
#[derive(Serialize, utoipa::ToSchema)]
struct StoreHealth {
    path: String,
    bytes: u64,
    limit_bytes: u64,
    /// Rows by table.
    rows: BTreeMap<String, u64>,
    /// What went for bounds and age.
    evicted: BTreeMap<String, u64>,
    /// Whether there is room for what is seen.
    room: Room,
    /// Whether its pages fitted together at the start and at each day's look.
    whole: bool,
}

async fn health(State(app): State<App>) -> Result<Json<Health>, Problem> {
    let live = app.live.get();
    let whole = app.whole.load(Relaxed);
    let mut health = app.read(move |store| health_of(store, live)).await?;
    if !whole {
        (health.store.whole, health.status) = (false, "bad".to_owned());
    }
    Ok(Json(health))
}

/// How a store and what it was filled from are.
pub(crate) fn health_of(store: &Store, live: Option<Live>) -> Result<Health, Problem> {
    let Summary { packets, streams, exchanges, anomalies, evictions, clock, .. } = store.summary_of_all()?;
    let doctor = advise(&packets, &streams, &exchanges, &evictions, live.as_ref());
    let room = store.room()?;
    let worst = doctor.iter().map(|a| a.severity).max();
    let mut runs = store.runs()?;
    runs.reverse();
    let runs = runs.into_iter().take(RUNS).map(|r| {
        let inputs = store.summary_of(&r.id)?.inputs;
        Ok(Run { id: r.id, saved_at: r.saved_at, first_ts: r.first_ts, last_ts: r.last_ts, inputs })
    });
    Ok(Health {
        status: if room == Room::Enough { worst.map_or("ok", |w| w.status()) } else { "bad" }.to_owned(),
        runs: runs.collect::<Result<_, Problem>>()?,
        packets,
        streams,
        exchanges,
        anomalies,
        evictions,
        clock,
        doctor,
        live,
        store: StoreHealth {
            path: store.path().display().to_string(),
            bytes: store.bytes(),
            limit_bytes: store.limits()?.limit_bytes,
            rows: store.sizes()?,
            evicted: store.counters()?,
            room,
            whole: true,
        },
    })
}

/// `GET /metrics`: Prometheus text.
pub(crate) async fn metrics(State(app): State<App>) -> Result<impl IntoResponse, Problem> {
    let live = app.live.get();
    let mut text = app.read(move |store| metrics_of(store, live)).await?;
    let failed = app.access.lockout.failures();
    let _ = writeln!(
        text,
        "# HELP sidetap_log_ins_failed Log-ins that failed since the start.\n# TYPE sidetap_log_ins_failed counter\nsidetap_log_ins_failed {failed}"
    );
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}

fn metrics_of(store: &Store, live: Option<Live>) -> Result<String, Problem> {
    let mut out = String::new();
    let mut gauge = |name: &str, help: &str, values: &[(String, u64)]| {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in values {
            let _ = writeln!(out, "{name}{labels} {value}");
        }
    };
    let by = |label: &str, all: &BTreeMap<String, u64>| -> Vec<(String, u64)> {
        all.iter().map(|(k, n)| (format!("{{{label}=\"{}\"}}", escaped(k)), *n)).collect()
    };
    let one = |n: u64| vec![(String::new(), n)];
    let summary = store.summary_of_all()?;
    gauge("sidetap_store_bytes", "Bytes of the store's file and log.", &one(store.bytes()));
    gauge("sidetap_store_rows", "Rows of the store by table.", &by("table", &store.sizes()?));
    gauge("sidetap_packets", "Packets of all runs.", &one(summary.packets.total));
    gauge(
        "sidetap_packets_dropped",
        "Packets that were not used, by reason.",
        &by("reason", &summary.packets.dropped),
    );
    gauge(
        "sidetap_packets_kernel_dropped",
        "Packets that the kernel dropped.",
        &one(summary.packets.kernel_dropped),
    );
    gauge("sidetap_stream_gap_bytes", "Bytes of streams that never came.", &one(summary.streams.gap_bytes));
    gauge("sidetap_exchanges", "Exchanges of all runs.", &one(summary.exchanges.total));
    gauge("sidetap_exchanges_incomplete", "Exchanges not seen whole.", &one(summary.exchanges.incomplete));
    gauge(
        "sidetap_store_full",
        "1 where the store or its disk has no room for what is seen.",
        &one(u64::from(store.room()? != Room::Enough)),
    );
    gauge(
        "sidetap_store_lost",
        "What the store let go or could not keep, by kind.",
        &by("kind", &store.counters()?),
    );
    let findings = store.finding_counts()?;
    gauge("sidetap_findings_open", "Open findings by severity.", &by("severity", &findings.by_severity));
    gauge("sidetap_verdicts_malicious", "Malicious verdicts.", &one(store.totals()?.malicious));
    if let Some(live) = live {
        gauge("sidetap_live_packets", "Packets since the watch began.", &one(live.packets));
        gauge(
            "sidetap_live_kernel_dropped",
            "Packets the kernel dropped since then.",
            &one(live.kernel_dropped),
        );
        gauge("sidetap_live_shed", "Packets left out for load since then.", &one(live.shed));
        gauge("sidetap_live_exchanges", "Exchanges since then.", &one(live.exchanges));
    }
    Ok(out)
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
