//! What evidence stands for: each finding and each place of sensitive data of the sample has exchanges that were chosen fairly.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

#[path = "common/mod.rs"]
mod common;

use std::path::Path;

use common::{Place, lines};
use serde::de::DeserializeOwned;
use sidetap_model::rows::{FindingRow, SensitiveRow};
use sidetap_store::Store;

fn rows<T: DeserializeOwned>(place: &Place, name: &str) -> Vec<T> {
    let lines = lines(&place.path(&format!("run/{name}.ndjson")));
    lines.into_iter().map(|line| serde_json::from_value(line).unwrap()).collect()
}

#[test]
fn every_finding_and_place_of_data_has_a_fair_sample_with_its_weight() {
    let place = Place::new();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pcaps/sample.pcap.zst");
    place
        .run(&["replay", sample.to_str().unwrap(), "--store", "s.db", "--out", "run", "--hash-key", "key"])
        .is(0);
    let store = Store::open_read_only(&place.path("s.db")).unwrap();
    let findings: Vec<FindingRow> = rows(&place, "findings");
    assert!(findings.iter().any(|f| f.kind == "risk") && findings.iter().any(|f| f.kind == "exploit"));
    let mut whole = 0;
    for f in &findings {
        let (sample, ids) = store.sample(&format!("finding:{}", f.id)).unwrap();
        assert!(sample.kept >= 1 && sample.kept <= 8 && sample.kept <= sample.seen, "{} {sample:?}", f.title);
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
        assert!((sum - sample.seen as f64).abs() <= 0.05, "{} {sum} {sample:?}", f.title);
    }
    assert!(whole * 10 >= findings.len() * 9, "{whole} of {} have as many as there may be", findings.len());
    for row in rows::<SensitiveRow>(&place, "sensitive") {
        let (sample, _) = store.sample(&format!("sensitive:{}", row.id())).unwrap();
        assert!(sample.kept >= 1 && sample.kept <= sample.seen.min(8), "{} at {}", row.kind, row.location);
    }
    assert!(store.counter("evidence.missed").unwrap() > 0, "some were named too late");
}
