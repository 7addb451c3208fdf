//! The clock's defence, from packets to outputs: absurd times, gaps, steps back, inputs whose clocks differ.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::collections::BTreeMap;

use common::{Place, comparable, json, lines, sample};
use serde_json::Value;
use sidetap_model::Ts;
use sidetap_testkit::perf::{PerfOptions, Profile, write_perf};
use sidetap_testkit::{LinkKind, Packet, PcapForm, PcapWriter, fault, pcap_bytes};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
const YEAR_2099: Ts = Ts(4_080_000_000 * SECOND);

fn packets_of(path: &std::path::Path) -> Vec<Packet> {
    let mut source = sidetap_capture::open_files(&[path.to_owned()]).unwrap();
    let mut packets = Vec::new();
    while let Some(p) = sidetap_capture::Source::next_packet(&mut source) {
        packets.push(Packet { ts: p.ts, interface: 0, data: p.data.to_vec(), orig_len: p.orig_len });
    }
    packets
}

/// Some hundred exchanges over a good minute.
fn traffic(place: &Place) -> Vec<Packet> {
    let options =
        PerfOptions { profile: Profile::Api, bytes: 1_000_000, clients: 40, ..PerfOptions::default() };
    let mut out = PcapWriter::new(Vec::new(), LinkKind::Ethernet, PcapForm::Micros).unwrap();
    write_perf(&options, &mut out).unwrap();
    packets_of(&place.write("made.pcap", &out.finish().unwrap()))
}

fn save(place: &Place, name: &str, packets: &[Packet]) {
    place.write(name, &pcap_bytes(packets, LinkKind::Ethernet, PcapForm::Micros));
}

fn replay(place: &Place, files: &[&str], out: &str, workers: &str) -> Value {
    let mut args = vec!["replay", "--out", out, "--exchanges", "--hash-key", "key", "--workers", workers];
    args.extend_from_slice(files);
    place.run(&args).is(0);
    json(&place.path(out).join("summary.json"))
}

/// What was asked and answered, and how whole it is; not when.
fn said(place: &Place, out: &str) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for line in lines(&place.path(out).join("exchanges.ndjson")) {
        let text = [
            "/source/port",
            "/http/request/method",
            "/url/original",
            "/http/response/status_code",
            "/sidetap/completeness",
        ]
        .map(|at| line.pointer(at).unwrap_or(&Value::Null).to_string());
        *all.entry(text.join(" ")).or_default() += 1;
    }
    all
}

fn clock(summary: &Value, name: &str) -> u64 {
    summary["clock"][name].as_u64().unwrap_or(0)
}

#[test]
fn a_packet_from_2099_changes_nothing() {
    let place = Place::new();
    let clean = packets_of(sample().as_ref());
    save(&place, "clean.pcap", &clean);
    replay(&place, &["clean.pcap"], "clean", "1");
    let at = clean.len() / 2;
    let mut with = clean.clone();
    // No more than a copy of what is there: its time alone is new.
    with.insert(at, Packet { ts: YEAR_2099, ..clean[at].clone() });
    save(&place, "absurd.pcap", &with);
    let summary = replay(&place, &["absurd.pcap"], "absurd", "2");
    assert_eq!(clock(&summary, "times-disbelieved"), 1);
    let (mut clean, mut absurd) = (comparable(&place.path("clean")), comparable(&place.path("absurd")));
    for name in ["summary.json", "report.html"] {
        clean.remove(name).unwrap();
        absurd.remove(name).unwrap();
    }
    for (name, bytes) in clean {
        assert!(bytes == absurd[&name], "{name} differs with a packet from 2099");
    }
}

#[test]
fn a_gap_of_a_week_is_skipped() {
    let place = Place::new();
    let clean = traffic(&place);
    save(&place, "clean.pcap", &clean);
    let whole = replay(&place, &["clean.pcap"], "clean", "1");
    let half = clean.len() / 2;
    save(&place, "gap.pcap", &fault::step_time(&clean, half, 7 * DAY));
    let summary = replay(&place, &["gap.pcap"], "gap", "2");
    assert_eq!(clock(&summary, "gaps"), 1);
    assert_eq!(clock(&summary, "times-disbelieved") + clock(&summary, "packets-late"), 0);
    let first = Ts::parse(summary["inputs"][0]["first_ts"].as_str().unwrap()).unwrap();
    let last = Ts::parse(summary["inputs"][0]["last_ts"].as_str().unwrap()).unwrap();
    assert!(last.since(first) > 7 * DAY);
    let asked = |out| {
        let rows = lines(&place.path(out).join("exchanges.ndjson"));
        rows.iter().filter(|r| !r["url"]["original"].is_null()).count() as i64
    };
    let cut = (asked("gap") - asked("clean")).abs();
    assert!(cut <= 5, "but for what was on its way when the gap came, all is there: {cut}");
    // Connections that were open when the gap came are joined late after it.
    let complete = |s: &Value| s["exchanges"]["complete"].as_u64().unwrap();
    assert!(complete(&summary) * 3 > complete(&whole), "{} of {}", complete(&summary), complete(&whole));
    let again = replay(&place, &["gap.pcap"], "again", "8");
    assert_eq!(again["exchanges"], summary["exchanges"]);
    assert_eq!(said(&place, "gap"), said(&place, "again"));
}

#[test]
fn a_step_back_loses_nothing() {
    let place = Place::new();
    let clean = traffic(&place);
    save(&place, "clean.pcap", &clean);
    replay(&place, &["clean.pcap"], "clean", "1");
    save(&place, "back.pcap", &fault::step_time(&clean, clean.len() / 2, -7200 * SECOND));
    let summary = replay(&place, &["back.pcap"], "back", "2");
    assert_eq!((clock(&summary, "steps-back"), clock(&summary, "packets-late")), (1, 0));
    assert_eq!(said(&place, "back"), said(&place, "clean"));
    let times = |name| (summary["inputs"][0][name]).as_str().and_then(Ts::parse).unwrap();
    let length = clean.last().unwrap().ts.since(clean[0].ts);
    assert!((times("last_ts").since(times("first_ts")) - length).abs() < SECOND, "time went on where it was");
}

/// The two directions, each as its own port of a tap shows it.
fn directions(packets: &[Packet]) -> [Vec<Packet>; 2] {
    let up = |p: &&Packet| u16::from_be_bytes([p.data[36], p.data[37]]) < 32_768;
    [packets.iter().filter(up).cloned().collect(), packets.iter().filter(|p| !up(p)).cloned().collect()]
}

#[test]
fn two_inputs_three_seconds_apart_are_aligned() {
    let place = Place::new();
    let clean = traffic(&place);
    save(&place, "clean.pcap", &clean);
    replay(&place, &["clean.pcap"], "clean", "1");
    let [up, down] = directions(&clean);
    save(&place, "up.pcap", &up);
    for apart in [-3 * SECOND, 3 * SECOND, 0] {
        save(&place, "down.pcap", &fault::step_time(&down, 0, apart));
        let summary = replay(&place, &["up.pcap", "down.pcap"], "two", "2");
        assert_eq!(said(&place, "two"), said(&place, "clean"), "{apart}");
        assert_eq!(clock(&summary, "inputs-aligned"), u64::from(apart != 0));
        let moved = summary["inputs"][1]["clock_offset_us"].as_i64().unwrap_or(0) * 1000;
        assert!((moved + apart).abs() < SECOND / 10, "{moved} for {apart}");
        for line in lines(&place.path("two/exchanges.ndjson")) {
            let took = line["event"]["duration"].as_i64().unwrap_or(0);
            assert!((0..SECOND).contains(&took), "an answer came {took} ns after its request");
        }
    }
    let back = replay(&place, &["down.pcap", "up.pcap"], "two", "1");
    assert_eq!(back["exchanges"]["incomplete"], 0);
}

#[test]
fn two_inputs_of_which_one_begins_in_2099() {
    let place = Place::new();
    let clean = traffic(&place);
    let [up, mut down] = directions(&clean);
    down.insert(0, Packet { ts: YEAR_2099, ..down[0].clone() });
    save(&place, "clean.pcap", &clean);
    save(&place, "up.pcap", &up);
    save(&place, "down.pcap", &down);
    replay(&place, &["clean.pcap"], "clean", "1");
    let summary = replay(&place, &["up.pcap", "down.pcap"], "two", "2");
    assert_eq!(said(&place, "two"), said(&place, "clean"), "the input does not wait for 2099");
    assert_eq!((clock(&summary, "times-disbelieved"), clock(&summary, "inputs-aligned")), (1, 0));
}
