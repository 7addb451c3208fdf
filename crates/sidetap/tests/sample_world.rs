//! What the sample's labels say of its clients, against what the whole program says of them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::{Place, lines, sample};
use serde_json::Value;
use sidetap_testkit::{LinkKind, PcapForm};

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_default()
}

#[test]
fn attackers_are_convicted_and_nobody_else() {
    let place = Place::new();
    place.run(&["replay", &sample(), "--out", "out", "--hash-key", "key"]).is(0);
    let labels = lines(Path::new(&sample()).with_file_name("labels.ndjson").as_path());
    let mut by_address: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for label in &labels {
        by_address.entry(text(label, "src_ip")).or_default().push(label);
    }
    let verdicts = lines(&place.path("out/verdicts.ndjson"));
    let convicted: Vec<&Value> = verdicts.iter().filter(|v| text(v, "intent") == "malicious").collect();

    let honest_hit: Vec<&str> = convicted
        .iter()
        .filter(|v| text(&v["subject"], "kind") == "ip")
        .map(|v| text(&v["subject"], "value"))
        .filter(|ip| by_address.get(ip).is_some_and(|l| l.iter().any(|l| text(l, "label") != "malicious")))
        .collect();
    assert!(honest_hit.is_empty(), "addresses of honest clients are convicted: {honest_hit:?}");

    let addresses: BTreeSet<&str> = convicted
        .iter()
        .flat_map(|v| v["client_ips"].as_array().unwrap())
        .map(|ip| ip.as_str().unwrap())
        .collect();
    let attackers: Vec<&Value> = labels.iter().filter(|l| text(l, "label") == "malicious").collect();
    let found = attackers.iter().filter(|l| addresses.contains(text(l, "src_ip"))).count();
    assert!(
        found * 10 >= attackers.len() * 9,
        "{found} of {} attackers' addresses are named",
        attackers.len()
    );

    let campaigns = lines(&place.path("out/campaigns.ndjson"));
    for reason in campaigns.iter().chain(&verdicts).flat_map(|row| row["reasons"].as_array().unwrap()) {
        // `... (8 different accounts named)`, `usually below 8`
        let seen =
            text(reason, "observed").rsplit_once('(').map(|(_, said)| said.split([' ', ')', ';']).next());
        let seen = seen.flatten().and_then(|n| n.parse::<f64>().ok());
        let usual =
            text(reason, "baseline").strip_prefix("usually below ").and_then(|n| n.parse::<f64>().ok());
        assert!(seen.zip(usual).is_none_or(|(seen, usual)| seen >= usual), "{reason:#}");
    }
    let largest = campaigns.iter().map(|c| c["members"].as_array().unwrap().len()).max().unwrap();
    assert!(largest >= 300, "stuffing over 330 addresses is one campaign, the largest has {largest} members");
}

#[test]
fn the_block_list_holds_no_honest_address() {
    let place = Place::new();
    place.run(&["replay", &sample(), "--out", "out", "--hash-key", "key"]).is(0);
    let labels = lines(Path::new(&sample()).with_file_name("labels.ndjson").as_path());
    let honest: BTreeSet<&str> =
        labels.iter().filter(|l| text(l, "label") != "malicious").map(|l| text(l, "src_ip")).collect();
    let list = std::fs::read_to_string(place.path("out/blocklist.txt")).unwrap();
    let hit: Vec<&str> = list.lines().filter(|l| honest.contains(l)).collect();
    assert!(hit.is_empty() && list.lines().count() > 500, "{hit:?}");
}

/// The sample, each packet cut as a mirror with that snap length cuts it.
fn snapped(most: usize) -> Vec<u8> {
    let mut source = sidetap_capture::open_files(&[sample().into()]).unwrap();
    let mut packets = Vec::new();
    while let Some(p) = sidetap_capture::Source::next_packet(&mut source) {
        let data = p.data[..p.data.len().min(most)].to_vec();
        packets.push(sidetap_testkit::Packet { ts: p.ts, interface: 0, data, orig_len: p.orig_len });
    }
    sidetap_testkit::pcap_bytes(&packets, LinkKind::Ethernet, PcapForm::Nanos)
}

#[test]
fn nobody_is_convicted_for_headers_that_the_mirror_cut_off() {
    let place = Place::new();
    place.write("cut.pcap", &snapped(200));
    place.run(&["replay", "cut.pcap", "--out", "out", "--hash-key", "key"]);
    let labels = lines(Path::new(&sample()).with_file_name("labels.ndjson").as_path());
    let honest: BTreeSet<&str> =
        labels.iter().filter(|l| text(l, "label") != "malicious").map(|l| text(l, "src_ip")).collect();
    let verdicts = lines(&place.path("out/verdicts.ndjson"));
    let hit: Vec<&Value> = verdicts
        .iter()
        .filter(|v| text(v, "intent") == "malicious" && text(&v["subject"], "kind") == "ip")
        .filter(|v| honest.contains(text(&v["subject"], "value")))
        .collect();
    assert!(hit.is_empty(), "{} honest addresses are convicted: {:?}", hit.len(), hit.first());
}

/// A world with honest crowds that look like attacks: its labels, and what the whole program says.
fn crowds(place: &Place, seed: u64, hard: bool) -> (Vec<sidetap_testkit::world::Label>, Vec<Value>) {
    let options = sidetap_testkit::world::Options {
        seed,
        scale: if hard { 1.0 } else { 0.5 },
        peaceful: !hard,
        situations: true,
        hard,
        ranges: sidetap_testkit::world::Ranges::Public,
        ..Default::default()
    };
    let record = sidetap_testkit::world::synthesize(&options);
    let bytes = sidetap_testkit::pcap_bytes(&record.packets, LinkKind::Ethernet, PcapForm::Micros);
    std::fs::write(place.path("crowds.pcap"), bytes).unwrap();
    place.run(&["replay", "crowds.pcap", "--out", "out"]).is(0);
    (record.labels, lines(&place.path("out/verdicts.ndjson")))
}

#[test]
fn honest_crowds_that_look_like_attacks_convict_nobody() {
    let place = Place::new();
    let (labels, verdicts) = crowds(&place, 4711, false);
    let there: BTreeSet<&str> = labels.iter().map(|l| l.class).collect();
    for class in ["idp-outage", "app-release", "flash-crowd", "breach-notice", "kiosk", "vpn"] {
        assert!(there.contains(class), "{class} is not there");
    }
    let wronged: Vec<&Value> =
        verdicts.iter().filter(|v| matches!(text(v, "intent"), "malicious" | "suspicious")).collect();
    assert!(wronged.is_empty(), "{wronged:#?}");
}

#[test]
fn attacks_that_give_little_away_are_found_among_crowds_that_look_like_them() {
    let place = Place::new();
    let (labels, verdicts) = crowds(&place, 3, true);
    let convicted: BTreeSet<String> = verdicts
        .iter()
        .filter(|v| text(v, "intent") == "malicious")
        .flat_map(|v| v["client_ips"].as_array().unwrap())
        .map(|ip| ip.as_str().unwrap().to_owned())
        .collect();
    let hit = |l: &&sidetap_testkit::world::Label| convicted.contains(&l.src_ip.to_string());
    let honest: Vec<_> =
        labels.iter().filter(|l| l.label != "malicious").filter(hit).map(|l| (l.class, l.src_ip)).collect();
    assert!(honest.is_empty(), "{honest:?}");
    let campaigns = [
        "once-each",
        "human-pace",
        "headless",
        "impersonated",
        "new-tools",
        "other-channel",
        "neighbours",
        "forged-hops",
    ];
    for campaign in campaigns {
        let members: Vec<_> = labels.iter().filter(|l| l.campaign == campaign).collect();
        let found = members.iter().filter(|l| hit(l)).count();
        assert!(
            !members.is_empty() && found * 10 >= members.len() * 9,
            "{campaign}: {found} of {}",
            members.len()
        );
    }
}
