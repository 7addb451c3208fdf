//! The synthesizer's packets hold exactly the requests that its rows tell of, whoever reads them.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sidetap_capture::{Source, open_files};
use sidetap_testkit::LinkKind;
use sidetap_testkit::perf::{PerfOptions, Profile, write_perf};
use sidetap_testkit::world::{Options, Record, synthesize};
use sidetap_testkit::{PcapForm, PcapWriter};

fn small(seed: u64) -> Record {
    synthesize(&Options { seed, seconds: 150.0, scale: 0.15, ..Options::default() })
}

#[test]
fn packets_hold_the_requests_of_the_rows() {
    let record = small(7);
    let got = support::run(&record.packets, LinkKind::Ethernet).exchanges;
    assert_eq!(got.len(), record.requests.len());
    let mut seen = BTreeMap::new();
    for exchange in &got {
        assert!(
            exchange.completeness.is_whole() && exchange.anomalies.is_empty(),
            "{:?}",
            exchange.anomalies
        );
        let (request, response) = (exchange.request.as_ref().unwrap(), exchange.response.as_ref().unwrap());
        let key = (
            exchange.ts.0 / 1000,
            exchange.flow.client.port,
            String::from_utf8_lossy(&request.target).into_owned(),
        );
        seen.insert(key, response.status);
    }
    for row in &record.requests {
        let key = ((row.t * 1e6).round() as i64, row.port, row.uri.clone());
        assert_eq!(seen.get(&key), Some(&row.status), "{row:?}");
    }
}

#[test]
fn a_seed_gives_the_same_world_and_another_seed_another() {
    let (a, b, c) = (small(3), small(3), small(4));
    assert!(a.packets == b.packets);
    assert_eq!(serde_json::to_string(&a.labels).unwrap(), serde_json::to_string(&b.labels).unwrap());
    assert!(a.packets != c.packets);
    assert!(a.packets.is_sorted_by_key(|p| p.ts));
}

#[test]
fn the_sample_is_what_its_seed_makes() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pcaps");
    let record = synthesize(&Options::default());
    let mut sample = open_files(&[dir.join("sample.pcap.zst")]).unwrap();
    for (n, packet) in record.packets.iter().enumerate() {
        let kept = sample.next_packet().unwrap_or_else(|| panic!("the sample ends at packet {n}"));
        assert!(
            kept.data == packet.data && kept.ts.0 / 1000 == packet.ts.0 / 1000,
            "packet {n} differs: see pcaps/README.md"
        );
    }
    assert!(sample.next_packet().is_none());
    let labels = std::fs::read_to_string(dir.join("labels.ndjson")).unwrap();
    let lines = record.labels.iter().map(|l| serde_json::to_string(l).unwrap() + "\n");
    assert!(labels == lines.collect::<String>(), "labels.ndjson differs: see pcaps/README.md");
}

#[test]
fn labels_cover_the_mission_and_agree_with_the_rows() {
    let record = small(7);
    let classes: BTreeSet<&str> =
        record.labels.iter().filter(|l| l.label == "malicious").map(|l| l.class).collect();
    for class in [
        "credential-stuffing",
        "fake-account-creation",
        "content-scraping",
        "price-scraping",
        "inventory-scraping",
        "ai-crawler",
        "fake-crawler",
        "id-enumeration",
        "giftcard-bruteforce",
        "password-reset-enumeration",
        "otp-abuse",
        "token-cracking",
        "bola",
        "sqli",
        "vuln-scan",
        "directory-bruteforce",
        "hype-sale-bot",
        "ato-transfer-fraud",
        "api-scraping",
    ] {
        assert!(classes.contains(class), "{class}");
    }
    let honest = record.requests.iter().filter(|r| r.label != "malicious").count();
    assert!(honest * 3 > record.requests.len(), "{honest} honest of {}", record.requests.len());
    for label in &record.labels {
        let own = record.requests.iter().filter(|r| r.entity == label.id);
        assert_eq!(own.count() as u32, label.n_requests, "{}", label.id);
    }
    assert!(record.labels.iter().any(|l| l.src_ip.is_ipv6()));
    let begun =
        record.labels.iter().filter(|l| l.label == "malicious").map(|l| l.start).fold(f64::MAX, f64::min);
    let first = record.requests.first().unwrap().t;
    assert!(begun - first > 20.0, "attacks begin after {} s", begun - first);
}

#[test]
fn perf_captures_hold_the_exchanges_that_they_say() {
    for profile in [Profile::Api, Profile::Small, Profile::Crowd] {
        let options = PerfOptions { profile, bytes: 3_000_000, clients: 100, ..PerfOptions::default() };
        let mut out = PcapWriter::new(Vec::new(), LinkKind::Ethernet, PcapForm::Micros).unwrap();
        let truth = write_perf(&options, &mut out).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), out.finish().unwrap()).unwrap();
        let got = support::run_file(file.path()).exchanges;
        assert_eq!(got.len() as u64, truth.exchanges);
        assert!(got.iter().all(|e| e.completeness.is_whole() && e.anomalies.is_empty()));
    }
}
