//! What evidence stands for: each finding and each place of sensitive data of the sample has exchanges that were chosen fairly.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

#[path = "common/mod.rs"]
mod common;

use std::path::Path;

use common::{Place, json, lines};
use serde::de::DeserializeOwned;
use sidetap_model::rows::{FindingRow, SensitiveRow};
use sidetap_store::Store;

fn rows<T: DeserializeOwned>(place: &Place, name: &str) -> Vec<T> {
    let lines = lines(&place.path(&format!("run/{name}.ndjson")));
    lines.into_iter().map(|line| serde_json::from_value(line).unwrap()).collect()
}

#[test]
fn every_finding_and_place_of_data_has_a_fair_sample_with_its_weight() {
    samples("2G", true);
}

#[test]
fn where_memory_is_short_samples_are_smaller_and_as_fair_and_what_is_missing_is_counted() {
    samples("512M", false);
}

/// Replays the sample, and looks at what stands for what; with room for all of it every sample is whole.
fn samples(memory: &str, is_whole: bool) {
    let place = Place::new();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pcaps/sample.pcap.zst");
    let args = ["--store", "s.db", "--out", "run", "--hash-key", "key", "--memory-limit", memory];
    place.run(&[&["replay", sample.to_str().unwrap()], &args[..]].concat()).is(0);
    let evictions = json(&place.path("run/summary.json"))["evictions"].clone();
    assert_eq!(evictions.get("evidence-spares").is_none(), is_whole, "{evictions}");
    let store = Store::open_read_only(&place.path("s.db")).unwrap();
    let findings: Vec<FindingRow> = rows(&place, "findings");
    assert!(findings.iter().any(|f| f.kind == "risk") && findings.iter().any(|f| f.kind == "exploit"));
    let mut whole = 0;
    for f in &findings {
        let (sample, ids) = store.sample(&format!("finding:{}", f.id)).unwrap();
        assert!(sample.kept <= 8 && sample.kept <= sample.seen, "{} {sample:?}", f.title);
        assert!(sample.kept >= 1 || !is_whole, "{} {sample:?}", f.title);
        whole += usize::from(sample.kept == sample.seen.min(8));
        // What a sign was seen in is counted in both places.
        if f.detail.starts_with("Seen in ") {
            assert_eq!(sample.seen, f.count, "{}", f.title);
        }
        let thing = format!("finding:{}", f.id);
        let mut sum = 0.0;
        for (_, exchange) in store.exchanges(&ids, Some(&thing)).unwrap() {
            sum += exchange["weight"].as_f64().unwrap();
            let why = exchange["why"].as_array().unwrap();
            assert!(why.iter().any(|w| w == "sample-of-finding"), "{why:?}");
        }
        // Weights have two places.
        let all = if sample.kept > 0 { sample.seen as f64 } else { 0.0 };
        assert!((sum - all).abs() <= 0.05, "{} {sum} {sample:?}", f.title);
    }
    let least = if is_whole { 9 } else { 3 };
    assert!(whole * 10 >= findings.len() * least, "{whole} of {} have as many as may be", findings.len());
    for row in rows::<SensitiveRow>(&place, "sensitive") {
        let (sample, _) = store.sample(&format!("sensitive:{}", row.id())).unwrap();
        assert!(sample.kept <= sample.seen.min(8), "{} at {}", row.kind, row.location);
        assert!(sample.kept >= 1 || !is_whole, "{} at {}", row.kind, row.location);
    }
    assert_eq!(store.counter("evidence.missed").unwrap() == 0, is_whole, "some were named too late");
}
