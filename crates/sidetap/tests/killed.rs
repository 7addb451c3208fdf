//! What is left where the program is killed at any moment: a store that opens, is whole, and has what was said before.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::process::Stdio;
use std::time::Duration;

use common::Place;
use sidetap_model::{SubjectKind, Ts};
use sidetap_store::Store;

#[test]
fn a_store_outlives_kills() {
    let place = Place::new();
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../pcaps/sample.pcap.zst");
    place.run(&["store", "check", "--store", "s.db"]).is(1);
    // The store is there before the first kill, with nothing in it.
    drop(Store::open(&place.path("s.db")).unwrap());
    for n in 0..4 {
        let mut command =
            place.command(&["replay", sample, "--hash-key", "key", "--store", "s.db", "--no-analysis"]);
        let mut killed = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(n * 150));
        killed.kill().unwrap();
        killed.wait().unwrap();
        let end = place.run(&["store", "check", "--store", "s.db"]).is(0);
        assert!(end.stdout.starts_with("whole;"), "{}", end.stdout);
    }
    place.run(&["store", "backup", "copy.db", "--store", "s.db"]).is(0);
    place.run(&["store", "check", "--store", "copy.db"]).is(0);
    place.run(&["store", "backup", "copy.db", "--store", "s.db"]).is(1);
}

#[test]
fn calls_over_time_are_all_calls_of_every_endpoint() {
    let place = Place::new();
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../pcaps/sample.pcap.zst");
    place.run(&["replay", sample, "--store", "s.db", "--hash-key", "key"]).is(0);
    let store = Store::open_read_only(&place.path("s.db")).unwrap();
    let endpoints = store.load().unwrap().endpoints;
    assert!(endpoints.iter().any(|e| e.template.contains('#')), "operations that share a path");
    for row in endpoints {
        let points = store.calls(&row.id.to_string()).unwrap();
        let calls: u64 = points.iter().map(|p| p.calls).sum();
        assert_eq!(calls, row.calls, "{} {}{}", row.method, row.host, row.template);
    }
}

#[test]
fn a_store_says_nothing_of_who_was_forgotten_in_its_unused_bytes_either() {
    let place = Place::new();
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../pcaps/sample.pcap.zst");
    place.run(&["replay", sample, "--store", "s.db", "--hash-key", "key"]).is(0);
    let mut store = Store::open(&place.path("s.db")).unwrap();
    // One of those of whom a copy is left in a page that rows were moved on from.
    let name = "198.18.1.19";
    assert!(store.says(name).unwrap() > 0);
    store.forget(SubjectKind::Ip, name, "test", Ts::from_parts(1_795_000_000, 0)).unwrap();
    assert_eq!(store.says(name).unwrap(), 0);
    drop(store);
    place.run(&["store", "compact", "--store", "s.db"]).is(0);
    place.run(&["store", "check", "--store", "s.db"]).is(0);
}
