//! What is left where the program is killed at any moment: a store that opens, is whole, and has what was said before.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::io::{BufRead, BufReader};
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
fn a_store_that_was_killed_while_it_was_made_is_an_empty_one() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../pcaps/sample.pcap.zst");
    for n in 0..12 {
        let place = Place::new();
        // The first leaves a file of no byte, the others whatever there is after some milliseconds: no file, a page, a store.
        match n {
            0 => std::fs::write(place.path("s.db"), "").unwrap(),
            _ => {
                let args = ["replay", sample, "--hash-key", "key", "--store", "s.db", "--no-analysis"];
                let mut command = place.command(&args);
                let mut killed = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
                std::thread::sleep(Duration::from_millis(n * 4));
                killed.kill().unwrap();
                killed.wait().unwrap();
            }
        }
        if !place.path("s.db").exists() {
            continue;
        }
        // Whoever asks first finds it so: each begins with the file as it was left.
        let left = std::fs::read(place.path("s.db")).unwrap();
        let logged = place.path("s.db-wal").exists();
        for asks in [
            &["store", "check"][..],
            &["store", "backup", "copy.db"],
            &["policy", "simulate"],
            &["mitigation", "approvals"],
            &["report"],
            &["serve", "--listen", "127.0.0.1:0", "--hash-key", "key"],
            &["replay", sample, "--hash-key", "key", "--no-analysis"],
        ] {
            if !logged {
                let _ = std::fs::remove_file(place.path("s.db-wal"));
                let _ = std::fs::remove_file(place.path("s.db-shm"));
                std::fs::write(place.path("s.db"), &left).unwrap();
            }
            let args = [asks, &["--store", "s.db"]].concat();
            let said = match asks[0] {
                "serve" => served(place.command(&args)),
                _ => {
                    let end = place.run(&args).is(0);
                    end.stdout + &end.stderr
                }
            };
            assert!(!said.contains("no such table") && !said.contains("cannot be read"), "{args:?}: {said}");
        }
    }
}

/// What a server says until it serves.
fn served(mut command: std::process::Command) -> String {
    let mut server = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
    while !said.contains("http://") {
        match lines.next() {
            Some(line) => said.push_str(&line.unwrap()),
            None => panic!("it ended: {said}"),
        }
    }
    server.kill().unwrap();
    server.wait().unwrap();
    said
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
