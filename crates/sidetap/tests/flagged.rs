//! `--save-flagged`: the packets of flows with a finding, for other tools to read.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use common::{HELLO, Place, json, lines, sample, tree};
use sidetap_testkit::{Dialogue, LinkKind, PcapForm, pcap_bytes};

const ATTACK: &str = "# Attack\n\n~ client 192.0.2.66:40000\n>>>\nGET /items?id=1'%20UNION%20SELECT%20username,password%20FROM%20users--%20 HTTP/1.1\nHost: shop.example\nUser-Agent: sqlmap/1.8\n\n<<<\nHTTP/1.1 500 Oops\nContent-Type: text/plain\nContent-Length: 46\n\nYou have an error in your SQL syntax near '1''\n";

/// What tshark says of a file: source address and port of each packet, or nothing where it is not installed.
fn tshark(file: &Path) -> Option<Vec<(String, String)>> {
    let args = ["-n", "-T", "fields", "-e", "ip.addr", "-e", "tcp.port", "-r"];
    let Ok(out) = Command::new("tshark").args(args).arg(file).output() else {
        assert!(std::env::var_os("SIDETAP_REQUIRE_TOOLS").is_none(), "tshark is not installed");
        eprintln!("left out, needs tshark");
        return None;
    };
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    Some(text.lines().map(|l| l.split_once('\t').unwrap()).map(|(a, b)| (a.into(), b.into())).collect())
}

fn replay(place: &Place, name: &str, input: &str, more: &[&str]) {
    let (out, saved) = (format!("run-{name}"), format!("saved-{name}"));
    let args = ["replay", "--out", &out, "--save-flagged", &saved, "--hash-key", "key", input];
    place.run(&[&args, more].concat()).is(0);
}

#[test]
fn the_whole_flow_of_an_exploit_is_saved_and_no_other() {
    let place = Place::new();
    let hello = Dialogue::parse(HELLO).unwrap().packets();
    let attack = Dialogue::parse(ATTACK).unwrap().packets();
    let mut all = [hello, attack.clone()].concat();
    all.sort_by_key(|p| p.ts);
    let input = place.write("in.pcap", &pcap_bytes(&all, LinkKind::Ethernet, PcapForm::default()));
    replay(&place, "a", &input.display().to_string(), &["--workers", "2"]);
    let findings = lines(&place.path("run-a/findings.ndjson"));
    assert!(findings.iter().any(|f| f["kind"] == "exploit"), "{findings:?}");
    let files = tree(&place.path("saved-a"));
    assert_eq!(files.len(), 1, "{:?}", files.keys());
    let file = place.path("saved-a").join(files.keys().next().unwrap());
    let bytes = &files.values().next().unwrap();
    assert!(bytes.windows(9).any(|w| w == b"sidetap: "), "the first packet says why");
    if let Some(packets) = tshark(&file) {
        assert_eq!(packets.len(), attack.len(), "backwards to the handshake, and on to the end");
        assert!(packets.iter().all(|(ip, port)| ip.contains("192.0.2.66") && port.contains("40000")));
    }
    let again =
        place.run(&["replay", "--json", "--no-analysis", "--hash-key", "key", &file.display().to_string()]);
    assert!(again.is(0).stdout.contains("\"complete\": 1,"), "what was saved can be replayed");
}

#[test]
fn the_same_packets_are_saved_for_any_number_of_workers_within_their_limit() {
    let place = Place::new();
    place.write("sidetap.toml", b"[output]\nflagged_limit = \"512K\"\nflagged_ring = \"8M\"\n");
    for workers in ["1", "3"] {
        replay(&place, workers, &sample(), &["--workers", workers]);
    }
    let one = tree(&place.path("saved-1"));
    assert_eq!(one, tree(&place.path("saved-3")));
    let bytes: usize = one.values().map(Vec::len).sum();
    assert!(one.len() > 1 && bytes <= 512 << 10, "{} files, {bytes} bytes", one.len());
    let removed = &json(&place.path("run-1/summary.json"))["evictions"]["flagged-files"];
    assert!(removed.as_u64().unwrap() > 0, "the oldest went: {removed}");
    let convicted: BTreeSet<String> = lines(&place.path("run-1/verdicts.ndjson"))
        .iter()
        .filter(|v| v["intent"] == "malicious")
        .filter_map(|v| Some(v["client_ip"].as_str()?.to_owned()))
        .collect();
    let mut packets = Vec::new();
    for name in one.keys() {
        let Some(more) = tshark(&place.path("saved-1").join(name)) else { return };
        packets.extend(more);
    }
    let saved = |ip: &String| packets.iter().any(|(a, _)| a.split(',').any(|a| a == ip));
    let found = convicted.iter().filter(|ip| saved(ip)).count();
    assert!(found > 0 && packets.len() > 100, "{found} of {}, {} packets", convicted.len(), packets.len());
}

#[test]
fn a_directory_that_cannot_be_made_is_a_loss() {
    let place = Place::new();
    place.write("file", b"");
    let input = place.write("in.pcap", &common::capture(&[HELLO])).display().to_string();
    let args = ["replay", "--out", "run", "--save-flagged", "file/dir", "--hash-key", "key", &input];
    let end = place.run(&args).is(3);
    assert!(end.stderr.contains("cannot save flagged packets in file/dir"), "{}", end.stderr);
}
