//! What is learned is carried from one run to the next, and only where it can be trusted.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;
#[path = "common/site.rs"]
mod site;

use std::collections::BTreeSet;

use common::{Place, json, lines};
use serde_json::Value;
use sidetap_model::Ts;
use sidetap_testkit::{LinkKind, PcapForm, pcap_bytes};
use site::Site;

const A: i64 = 1_790_000_000;
const B: i64 = A + 86_400;

/// A day of honest people.
fn before(place: &Place) -> String {
    let mut a = Site::new(A);
    for n in 0..120 {
        a.person(n, i64::from(n) * 2_000);
    }
    a.write(place, "a.pcap")
}

/// The next day: from its first second on somebody tries stolen passwords; people come after a minute and a half.
fn attacked(place: &Place) -> String {
    let mut b = Site::new(B);
    b.stuffing(400);
    for n in 0..60 {
        b.person(500 + n, 90_000 + i64::from(n) * 2_000);
    }
    b.write(place, "b.pcap")
}

/// When the stuffing was recognised, in seconds after the capture began, and how many it convicted.
fn recognised(place: &Place, dir: &str) -> Option<(i64, usize)> {
    let verdicts = lines(&place.path(dir).join("verdicts.ndjson"));
    let convicted: Vec<&Value> = verdicts
        .iter()
        .filter(|v| v["intent"] == "malicious" && v["class"] == "credential-stuffing")
        .collect();
    for v in &convicted {
        assert!(v["client_ip"].as_str().unwrap().starts_with("20.7."), "somebody honest is convicted: {v}");
    }
    let at = |v: &&Value| serde_json::from_value::<Ts>(v["detected_at"].clone()).unwrap().secs() - B;
    convicted.iter().map(at).min().map(|first| (first, convicted.len()))
}

#[test]
fn an_attack_from_the_first_second_is_found_earlier_by_who_has_learned() {
    let place = Place::new();
    let (a, b) = (before(&place), attacked(&place));
    place.run(&["replay", &a, "--out", "a", "--hash-key", "key", "--state", "state"]).is(0);
    assert!(lines(&place.path("a/verdicts.ndjson")).iter().all(|v| v["intent"] != "malicious"));
    std::fs::copy(place.path("state"), place.path("state2")).unwrap();
    place.run(&["replay", &b, "--out", "alone", "--hash-key", "key"]).is(0);
    place
        .run(&["replay", &b, "--out", "learned", "--hash-key", "key", "--state", "state", "--workers", "1"])
        .is(0);
    place
        .run(&["replay", &b, "--out", "three", "--hash-key", "key", "--state", "state2", "--workers", "3"])
        .is(0);
    let learned = recognised(&place, "learned").expect("nothing was found with what was learned");
    let alone = recognised(&place, "alone");
    assert!(learned.0 <= 45, "with what was learned only after {} s", learned.0);
    assert!(alone.is_none_or(|(at, _)| at >= learned.0 + 30), "alone {alone:?}, learned {learned:?}");
    assert!(learned.1 >= 300, "{learned:?}");
    assert_eq!(
        std::fs::read(place.path("state")).unwrap(),
        std::fs::read(place.path("state2")).unwrap(),
        "what is learned depends on the number of workers"
    );
    assert_eq!(common::comparable(&place.path("learned")), common::comparable(&place.path("three")));
}

/// Addresses that a run's verdicts convict.
fn convicted(place: &Place, dir: &str) -> BTreeSet<String> {
    let verdicts = lines(&place.path(dir).join("verdicts.ndjson"));
    let malicious = verdicts.iter().filter(|v| v["intent"] == "malicious");
    let ips = malicious.flat_map(|v| v["client_ips"].as_array().unwrap());
    ips.map(|ip| ip.as_str().unwrap().to_owned()).collect()
}

/// The same day in one run, and in two with a restart between them that only the state outlives.
#[test]
fn a_restart_with_the_state_carried_on_convicts_whom_one_run_convicts() {
    let place = Place::new();
    let options = sidetap_testkit::world::Options {
        seed: 5,
        scale: 0.4,
        ranges: sidetap_testkit::world::Ranges::Public,
        ..Default::default()
    };
    let record = sidetap_testkit::world::synthesize(&options);
    let middle = record.packets.first().unwrap().ts.plus(300 * 1_000_000_000);
    let at = record.packets.partition_point(|p| p.ts < middle);
    let write = |name: &str, packets: &[sidetap_testkit::Packet]| {
        place.write(name, &pcap_bytes(packets, LinkKind::Ethernet, PcapForm::Micros));
    };
    write("whole.pcap", &record.packets);
    write("before.pcap", &record.packets[..at]);
    write("after.pcap", &record.packets[at..]);
    let edge = ["--trusted-proxies", "198.51.100.0/24", "--hash-key", "key"];
    let run = |file: &str, out: &str, more: &[&str]| {
        place.run(&[&["replay", file, "--out", out], &edge[..], more].concat()).is(0);
    };
    run("whole.pcap", "whole", &[]);
    run("before.pcap", "before", &["--state", "state"]);
    std::fs::copy(place.path("state"), place.path("again")).unwrap();
    run("after.pcap", "after", &["--state", "state", "--workers", "1"]);
    run("after.pcap", "after2", &["--state", "again", "--workers", "3"]);
    assert_eq!(common::comparable(&place.path("after")), common::comparable(&place.path("after2")));
    assert_eq!(
        std::fs::read(place.path("state")).unwrap(),
        std::fs::read(place.path("again")).unwrap(),
        "the same state and the same packets leave another state"
    );
    let whole = convicted(&place, "whole");
    let parts: BTreeSet<String> = &convicted(&place, "before") | &convicted(&place, "after");
    let attackers: BTreeSet<String> =
        record.labels.iter().filter(|l| l.label == "malicious").map(|l| l.src_ip.to_string()).collect();
    assert!(parts.is_subset(&attackers), "{:?}", parts.difference(&attackers).collect::<Vec<_>>());
    let (all, both) = (whole.len(), whole.intersection(&parts).count());
    assert!(all > 200 && both * 100 >= all * 97, "{both} of {all}; lost {:?}", whole.difference(&parts));
}

#[test]
fn a_state_that_cannot_be_trusted_is_refused_with_its_reason() {
    let place = Place::new();
    let a = before(&place);
    place.run(&["replay", &a, "--out", "a", "--hash-key", "key", "--state", "state"]).is(0);
    let good = std::fs::read(place.path("state")).unwrap();
    let refused = |bytes: &[u8], why: &str| {
        std::fs::write(place.path("state"), bytes).unwrap();
        let ended = place.run(&["replay", &a, "--out", "x", "--hash-key", "key", "--state", "state"]).is(1);
        assert!(ended.stderr.contains(why) && ended.stderr.lines().count() == 1, "{why}: {}", ended.stderr);
        assert_eq!(std::fs::read(place.path("state")).unwrap(), bytes, "a refused state was written over");
    };
    refused(&good[..good.len() / 2], "damaged");
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    refused(&flipped, "damaged");
    let mut version = good.clone();
    version[0] = 9;
    refused(&version, "version 9");
    refused(b"", "empty");

    // What was learned more than state_max_age before says nothing.
    std::fs::write(place.path("state"), &good).unwrap();
    let mut late = Site::new(A + 100 * 86_400);
    (0..5).for_each(|n| late.person(n, i64::from(n) * 2_000));
    let late = late.write(&place, "late.pcap");
    let ended = place.run(&["replay", &late, "--out", "y", "--hash-key", "key", "--state", "state"]).is(1);
    assert!(ended.stderr.contains("state_max_age") && ended.stderr.contains("99 days"), "{}", ended.stderr);
    assert_eq!(std::fs::read(place.path("state")).unwrap(), good);
    place.write("long.toml", b"[analysis]\nstate_max_age = \"200d\"\n");
    let args =
        ["replay", &late, "--out", "y", "--hash-key", "key", "--state", "state", "--config", "long.toml"];
    place.run(&args).is(0);
    assert!(json(&place.path("y/summary.json"))["counts"]["endpoints"].as_u64().unwrap() > 0);
}
