//! Traffic that attacks the sensor itself, in sizes for a test: memory stays bounded, sums add up, every refusal is counted.
//! `scripts/hostile.sh` measures the full sizes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;

use common::{Place, json};
use serde_json::Value;
use sidetap_testkit::hostile::{Hostile, write_hostile};
use sidetap_testkit::{LinkKind, PcapForm, PcapWriter};

/// What the process takes besides its tables: code, patterns, buffers, threads' stacks. Unoptimised code takes more than a release's.
const PROCESS: u64 = 120 << 20;
/// Too small to be kept: half of it is for tables, so that small captures fill them.
const LIMIT: u64 = 64 << 20;

/// A small size of each kind, and a counter that then shows what was refused.
fn small(kind: Hostile) -> (u64, &'static str) {
    match kind {
        Hostile::SynFlood => (60_000, "/evictions/flows"),
        Hostile::HalfOpen => (6_000, "/evictions/flows"),
        Hostile::OutOfOrder => (2_000_000, "/streams/gap_bytes"),
        Hostile::EndlessHead => (1_000_000, "/exchanges/incomplete_reasons/request-truncated"),
        Hostile::EndlessChunkExtension => (1_000_000, "/exchanges/incomplete_reasons/request-truncated"),
        Hostile::EndlessTrailer => (1_000_000, "/exchanges/incomplete_reasons/request-truncated"),
        Hostile::SlowDrip => (6_000, "/evictions/flows"),
        Hostile::GzipBomb | Hostile::BrotliBomb | Hostile::ZstdBomb | Hostile::ZstdWindow => {
            (4, "/anomalies/http-content-coding-bomb")
        }
        Hostile::RandomBytes => (10_000, "/evictions/flows"),
        Hostile::DistinctPaths => (8_000, "/evictions/bots-endpoints"),
        Hostile::DistinctHosts => (8_000, "/evictions/discovery-hosts"),
        Hostile::DistinctAgents => (8_000, "/evictions/bots-clients"),
        Hostile::DistinctSessions => (8_000, "/evictions/bots-sessions"),
        // Keys without end are taken for values: one `{key}` in the schema, nothing to refuse.
        Hostile::DistinctKeys => (20_000, "/exchanges/complete"),
        Hostile::DeepJson => (10, "/anomalies/body-too-deep"),
        Hostile::Fragments => (20_000, "/evictions/fragments-evicted"),
        Hostile::Tunnels => (1_000, "/packets/dropped/too-many-layers"),
        Hostile::Pipelined => (200_000, "/evictions/open-requests"),
        Hostile::LongTargets => (1_500, "/anomalies/http-target-too-long"),
        Hostile::FullTargets => (8_000, "/evictions/items-hurried"),
        Hostile::Unanswered => (100_000, "/exchanges/incomplete_reasons/no-response"),
        Hostile::ManyEach => (8_000, "/exchanges/incomplete_reasons/no-response"),
        // White space is no value: nothing to refuse.
        Hostile::Tabs => (40, "/exchanges/complete"),
        Hostile::Connects => (4, "/exchanges/complete"),
        Hostile::Leftovers => (100, "/streams/discarded/overlap"),
    }
}

fn sum(counts: &Value) -> u64 {
    counts.as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum()
}

fn attacked(kind: Hostile) {
    attacked_within(kind, LIMIT);
}

fn attacked_within(kind: Hostile, limit: u64) {
    let (size, counter) = small(kind);
    let place = Place::new();
    let mut out = PcapWriter::new(Vec::new(), LinkKind::Ethernet, PcapForm::Nanos).unwrap();
    write_hostile(kind, size, &mut out).unwrap();
    place.write("hostile.pcap", &out.finish().unwrap());
    let text = limit.to_string();
    place.run(&["replay", "hostile.pcap", "--out", "out", "--memory-limit", &text, "--workers", "2"]).is(0);
    let summary = json(&place.path("out/summary.json"));
    let n = |path: &str| summary.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let s = |path: &str| sum(summary.pointer(path).unwrap());
    assert_eq!(n("/packets/total"), n("/packets/decoded") + s("/packets/dropped"), "{kind:?}");
    assert_eq!(n("/streams/bytes"), n("/streams/delivered") + s("/streams/discarded"), "{kind:?}");
    assert_eq!(n("/exchanges/total"), n("/exchanges/complete") + n("/exchanges/incomplete"), "{kind:?}");
    assert!(n(counter) > 0, "{kind:?}: {counter} in {summary:#}");
    let peak = n("/peak_rss_bytes");
    assert!(peak > 0 && peak <= (limit / 2 + PROCESS).max(limit), "{kind:?}: {} MB", peak >> 20);
}

/// What is due at once is handed in by steps: the same ones whoever owns the flows.
#[test]
fn steps_are_the_same_for_any_number_of_workers() {
    let place = Place::new();
    let mut out = PcapWriter::new(Vec::new(), LinkKind::Ethernet, PcapForm::Nanos).unwrap();
    write_hostile(Hostile::Unanswered, 30_000, &mut out).unwrap();
    place.write("hostile.pcap", &out.finish().unwrap());
    let text = LIMIT.to_string();
    let lines = |workers: &str| {
        let args = [
            "replay",
            "hostile.pcap",
            "--out",
            "out",
            "--memory-limit",
            &text,
            "--workers",
            workers,
            "--exchanges",
        ];
        place.run(&args).is(0);
        std::fs::read(place.path("out/exchanges.ndjson")).unwrap()
    };
    let one = lines("1");
    assert!(one.iter().filter(|b| **b == b'\n').count() >= 30_000);
    assert!(one == lines("3") && one == lines("4"));
}

#[test]
fn floods() {
    for kind in [Hostile::SynFlood, Hostile::HalfOpen, Hostile::SlowDrip, Hostile::RandomBytes] {
        attacked(kind);
    }
}

#[test]
fn segments_and_fragments() {
    for kind in [Hostile::OutOfOrder, Hostile::Fragments, Hostile::Tunnels] {
        attacked(kind);
    }
}

#[test]
fn messages_without_end() {
    for kind in [Hostile::EndlessHead, Hostile::EndlessChunkExtension, Hostile::EndlessTrailer] {
        attacked(kind);
    }
}

#[test]
fn requests_that_cost_more_than_they_weigh() {
    // Under a small limit their connections are cut before they cost anything.
    for kind in [
        Hostile::Pipelined,
        Hostile::LongTargets,
        Hostile::ManyEach,
        Hostile::Tabs,
        Hostile::Connects,
        Hostile::Leftovers,
    ] {
        attacked_within(kind, 4 * LIMIT);
    }
}

#[test]
fn bombs_and_depths() {
    for kind in [Hostile::GzipBomb, Hostile::BrotliBomb, Hostile::ZstdBomb, Hostile::DeepJson] {
        attacked(kind);
    }
}

#[test]
fn values_without_end() {
    let kinds = [
        Hostile::DistinctPaths,
        Hostile::DistinctHosts,
        Hostile::DistinctAgents,
        Hostile::DistinctSessions,
        Hostile::DistinctKeys,
    ];
    kinds.into_iter().for_each(attacked);
}
