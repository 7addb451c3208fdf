//! `watch` beside somebody who holds its store: the data path does not wait. Needs root, nginx, wrk and curl.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

#[path = "common/mod.rs"]
mod common;
#[path = "common/net.rs"]
mod net;

use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Place, json};
use net::{Net, PORT, Running, SERVER, find, until};
use sidetap_store::{Store, StoreError};

/// Longer than who writes waits, and longest.
const ROUNDS: std::ops::RangeInclusive<u32> = 4..=8;
/// What says that the store takes nothing.
const FAILED: [&str; 2] = ["cannot keep what was found", "requests could not be kept"];
const CONNECTIONS: u64 = 4;

/// Requests of four connections, some 200 a second.
fn wrk(net: &Net, place: &Place) -> Running {
    let script = place.write("pace.lua", b"function delay() return 20 end\n");
    let mut command = net.at("c", &find("wrk").unwrap());
    command.args(["-t1", "-c4", "-d45", "-s"]).arg(script).arg(format!("http://{SERVER}/items/1"));
    Running(Some(command.stdout(Stdio::null()).spawn().unwrap()))
}

/// A number that the watch tells beside its store.
fn told(net: &Net, name: &str) -> u64 {
    let text = net.output("m", &["curl", "-s", "-m", "10", "http://127.0.0.1:18651/metrics"]);
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{name}: {text}"))
}

#[test]
fn a_store_that_somebody_holds_stops_no_capture_and_gets_all_of_it_later() {
    let Some(net) = Net::make("a watch whose store is held", &["nginx", "wrk", "ss", "curl"]) else { return };
    let place = Place::new();
    let _nginx = net.nginx(&place);
    std::fs::create_dir(place.path("db")).unwrap();
    let file = place.path("db/store.db");
    let watch = net.watch(&place, &["-i", PORT, "--store", "db/store.db", "--listen", "127.0.0.1:18651"]);
    let work = wrk(&net, &place);
    let calls = || -> u64 {
        let store = Store::open_read_only(&file).unwrap();
        store.endpoints().unwrap_or_default().iter().map(|e| e.calls).sum()
    };
    let requests = || -> u64 {
        let (store, mut n) = (Store::open_read_only(&file).unwrap(), 0);
        let mut add = |cell: sidetap_store::CellRow| {
            n += cell.requests;
            Ok::<_, StoreError>(())
        };
        store.each_cell(3_600, |_, cell| add(cell)).unwrap();
        n
    };
    until("something is stored", || calls() > 0 && requests() > 0);

    // Somebody else changes the store, and takes his time.
    let (there, took) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let held = file.clone();
    let holder = std::thread::spawn(move || {
        let mut store = Store::open(&held).unwrap();
        store
            .atomically(|_| {
                there.send(()).unwrap();
                let _ = released.recv_timeout(Duration::from_secs(60));
                Ok::<_, StoreError>(())
            })
            .unwrap();
    });
    took.recv().unwrap();
    let log = || std::fs::read_to_string(place.path("log.txt")).unwrap();
    let (stored, asked) = (calls(), requests());
    let mut seen = told(&net, "sidetap_live_exchanges");
    for round in 1..=*ROUNDS.end() {
        std::thread::sleep(Duration::from_secs(3));
        let now = told(&net, "sidetap_live_exchanges");
        assert!(now > seen + 100, "no more than {} exchanges in 3 s, {round}", now - seen);
        seen = now;
        if round >= *ROUNDS.start() && FAILED.iter().all(|line| log().contains(line)) {
            break;
        }
    }
    assert_eq!((calls(), requests()), (stored, asked), "nobody writes beside who holds it");
    drop(release);
    holder.join().unwrap();

    // What waited is written, and the rest too.
    assert!(work.wait() == 0);
    let answered: u64 = net.answered(&place).values().sum();
    let begun = Instant::now();
    while calls() + CONNECTIONS < answered || requests() + CONNECTIONS < answered {
        assert!(begun.elapsed() < Duration::from_secs(30), "{}, {} of {answered}", calls(), requests());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(watch.stop(), 0, "{}", log());
    for line in FAILED.into_iter().chain(["is written again", "is done again"]) {
        assert!(log().contains(line), "{line}: {}", log());
    }
    let summary = json(&place.path("run/summary.json"));
    let packets = &summary["packets"];
    assert_eq!(
        (&packets["kernel_dropped"], packets["dropped"].get("queue-full")),
        (&0.into(), None),
        "{packets}"
    );
    assert!(summary["exchanges"]["total"].as_u64().unwrap() + CONNECTIONS >= answered, "{summary}");
    let store = Store::open_read_only(&file).unwrap();
    for lost in ["evidence.not-kept", "samples.not-kept", "cells.not-kept"] {
        assert_eq!(store.counter(lost).unwrap(), 0, "{lost}");
    }
}
