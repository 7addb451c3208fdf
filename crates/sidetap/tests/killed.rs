//! What is left where the program is killed at any moment: a store that opens, is whole, and has what was said before.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::process::Stdio;
use std::time::Duration;

use common::Place;

#[test]
fn a_store_outlives_kills() {
    let place = Place::new();
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../pcaps/sample.pcap.zst");
    place.run(&["store", "check", "--store", "s.db"]).is(1);
    // The store is there before the first kill, with nothing in it.
    drop(sidetap_store::Store::open(&place.path("s.db")).unwrap());
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
