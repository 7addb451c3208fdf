//! Whole runs of the real binary.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::path::Path;

use common::{HELLO, Place, capture, comparable, json, lines, sample, tree};
use serde_json::Value;
use sidetap_testkit::{Dialogue, LinkKind, Packet, PcapForm, Rng, fault, pcap_bytes};

fn sum(counts: &Value) -> u64 {
    counts.as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum()
}

/// Everything is one of the things it can be (invariant 6).
fn closes(summary: &Value) {
    let n = |path: &str| summary.pointer(path).unwrap().as_u64().unwrap();
    let s = |path: &str| sum(summary.pointer(path).unwrap());
    assert_eq!(n("/packets/total"), n("/packets/decoded") + s("/packets/dropped"));
    assert_eq!(n("/streams/bytes"), n("/streams/delivered") + s("/streams/discarded"));
    assert_eq!(n("/exchanges/total"), n("/exchanges/complete") + n("/exchanges/incomplete"));
    assert_eq!(n("/exchanges/total"), s("/exchanges/by_protocol"));
}

fn replay(place: &Place, out: &str, more: &[&str]) {
    let sample = sample();
    let mut args = vec!["replay", &sample, "--out", out, "--exchanges", "--hash-key", "key"];
    args.extend_from_slice(more);
    place.run(&args).is(0);
}

#[test]
fn the_same_for_any_number_of_workers() {
    let place = Place::new();
    for workers in ["1", "2", "8"] {
        replay(&place, workers, &["--workers", workers, "--memory-limit", "2G"]);
    }
    let one = comparable(&place.path("1"));
    for other in ["2", "8"] {
        let other_files = comparable(&place.path(other));
        assert_eq!(one.keys().collect::<Vec<_>>(), other_files.keys().collect::<Vec<_>>());
        for (name, bytes) in &one {
            assert!(*bytes == other_files[name], "{name} differs between 1 and {other} workers");
        }
    }
    let summary = json(&place.path("1/summary.json"));
    closes(&summary);
    rows_hold_together(&place.path("1"), &summary);
}

#[test]
fn the_same_under_memory_pressure() {
    let place = Place::new();
    for workers in ["1", "3"] {
        replay(&place, workers, &["--workers", workers, "--memory-limit", "8M"]);
    }
    let (one, three) = (comparable(&place.path("1")), comparable(&place.path("3")));
    for (name, bytes) in &one {
        assert!(*bytes == three[name], "{name} differs between 1 and 3 workers");
    }
    closes(&json(&place.path("1/summary.json")));
}

/// The sample's packets, with `rate` of a thousand lost.
fn lossy(rate: u32) -> Vec<u8> {
    let mut source = sidetap_capture::open_files(&[sample().into()]).unwrap();
    let mut packets = Vec::new();
    while let Some(p) = sidetap_capture::Source::next_packet(&mut source) {
        packets.push(Packet { ts: p.ts, interface: 0, data: p.data.to_vec(), orig_len: p.orig_len });
    }
    pcap_bytes(&fault::lose(&packets, rate, &mut Rng::new(5)), LinkKind::Ethernet, PcapForm::default())
}

#[test]
fn the_same_for_any_number_of_workers_when_packets_are_lost() {
    let place = Place::new();
    place.write("lossy.pcap", &lossy(20));
    for workers in ["1", "3"] {
        let args = [
            "replay",
            "lossy.pcap",
            "--out",
            workers,
            "--exchanges",
            "--hash-key",
            "key",
            "--workers",
            workers,
        ];
        place.run(&args).is(0);
    }
    let (one, three) = (comparable(&place.path("1")), comparable(&place.path("3")));
    for (name, bytes) in &one {
        assert!(*bytes == three[name], "{name} differs between 1 and 3 workers");
    }
    let summary = json(&place.path("1/summary.json"));
    closes(&summary);
    assert!(summary["exchanges"]["incomplete"].as_u64().unwrap() > 100, "packets were lost");
}

/// Counts of the summary are those of the files, and what a row refers to is there.
fn rows_hold_together(dir: &Path, summary: &Value) {
    for name in ["endpoints", "sensitive", "findings", "campaigns", "verdicts"] {
        let rows = lines(&dir.join(format!("{name}.ndjson")));
        assert_eq!(rows.len() as u64, summary["counts"][name].as_u64().unwrap(), "{name}");
        assert!(!rows.is_empty(), "the sample shows {name}");
    }
    let exchanges = lines(&dir.join("exchanges.ndjson"));
    assert_eq!(exchanges.len() as u64, summary["exchanges"]["total"].as_u64().unwrap());
    let endpoints = lines(&dir.join("endpoints.ndjson"));
    let ids: std::collections::BTreeSet<_> = endpoints.iter().map(|e| e["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), endpoints.len(), "ids are unique");
    let calls: u64 = endpoints.iter().map(|e| e["calls"].as_u64().unwrap()).sum();
    assert!(calls <= exchanges.len() as u64);
    let campaigns = lines(&dir.join("campaigns.ndjson"));
    for verdict in lines(&dir.join("verdicts.ndjson")) {
        let intent = verdict["intent"].as_str().unwrap();
        assert!(["malicious", "suspicious", "automated", "benign"].contains(&intent));
        assert!(!verdict["reasons"].as_array().unwrap().is_empty(), "no verdict without reasons: {verdict}");
        if let Some(id) = verdict["campaign"].as_str() {
            assert!(campaigns.iter().any(|c| c["id"] == id), "{id} is a campaign");
        }
        if intent != "malicious" {
            assert!(["alert", "none"].contains(&verdict["response"].as_str().unwrap()), "{verdict}");
        }
    }
    for line in std::fs::read_to_string(dir.join("blocklist.txt")).unwrap().lines() {
        assert!(line.parse::<std::net::IpAddr>().is_ok() || line.parse::<ipnet::IpNet>().is_ok(), "{line}");
    }
}

/// What must never be seen again, in every place where it could be sent.
const SECRETS: &[&str] = &[
    "Zx81-correct-horse",
    "4532015112830366",
    "sess0123456789abcdefXYZ",
    "grace.hopper@navy.example",
    "AKIAIOSFODNN7EXAMPLQ",
    "078-05-1121",
    "k3y-0f-the-partner-9Q",
    "dGhlIHNhbXBsZSBub25jZQpassw0rd",
];

const LEAKY: &str = "# Secrets everywhere\n\n>>>\nPOST /login?token=k3y-0f-the-partner-9Q HTTP/1.1\nHost: shop.example\nCookie: sessionid=sess0123456789abcdefXYZ\nAuthorization: Bearer dGhlIHNhbXBsZSBub25jZQpassw0rd\nContent-Type: application/json\nContent-Length: 74\n\n{\"email\":\"grace.hopper@navy.example\",\"password\":\"Zx81-correct-horse\",\"a\":1}\n\n<<<\nHTTP/1.1 200 OK\nContent-Type: application/json\nSet-Cookie: sessionid=sess0123456789abcdefXYZ; HttpOnly\nContent-Length: 92\n\n{\"card\":\"4532015112830366\",\"ssn\":\"078-05-1121\",\"aws\":\"AKIAIOSFODNN7EXAMPLQ\",\"pad\":\"1234567\"}\n";

#[test]
fn no_raw_secret_in_any_output() {
    let place = Place::new();
    let dialogues = vec![LEAKY; 12];
    place.write("a.pcap", &capture(&dialogues));
    let end = place
        .run(&["replay", "a.pcap", "--out", "out", "--exchanges", "--store", "store.db", "--state", "state"])
        .is(0);
    let sensitive = lines(&place.path("out/sensitive.ndjson"));
    let kinds: Vec<_> = sensitive.iter().map(|s| s["type"].as_str().unwrap()).collect();
    for kind in ["credit-card", "us-ssn", "password", "email"] {
        assert!(kinds.contains(&kind), "{kind} is found: {kinds:?}");
    }
    let mut files = tree(&place.path("out"));
    for name in ["store.db", "state"] {
        files.insert(name.to_owned(), std::fs::read(place.path(name)).unwrap());
    }
    files.insert("stdout".to_owned(), end.stdout.into_bytes());
    files.insert("stderr".to_owned(), end.stderr.into_bytes());
    for (name, bytes) in &files {
        for secret in SECRETS {
            let there = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!there, "{secret} is in {name}");
        }
    }
}

#[test]
fn json_is_the_summary_and_nothing_else() {
    let place = Place::new();
    place.write("a.pcap", &capture(&[HELLO]));
    let end = place.run(&["replay", "a.pcap", "--json", "--out", "out"]).is(0);
    assert_eq!(end.stderr, "");
    assert_eq!(end.stdout, std::fs::read_to_string(place.path("out/summary.json")).unwrap());
    let summary: Value = serde_json::from_str(&end.stdout).unwrap();
    assert_eq!(summary["exchanges"]["total"], 1);
    closes(&summary);
}

#[test]
fn a_silent_pipe_is_left_when_an_end_is_asked_for() {
    use std::io::Write;
    let place = Place::new();
    let bytes = {
        let mut source = sidetap_capture::open_files(&[sample().into()]).unwrap();
        let mut packets = Vec::new();
        while let Some(p) = sidetap_capture::Source::next_packet(&mut source) {
            let (data, ts) = (p.data.to_vec(), p.ts);
            packets.push(Packet { ts, interface: 0, data, orig_len: p.orig_len });
        }
        pcap_bytes(&packets, LinkKind::Ethernet, PcapForm::Nanos)
    };
    let mut command = place.command(&["replay", "-", "--out", "out"]);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(&bytes[..3_000_000]).unwrap();
    pipe.flush().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let ended = child.wait_with_output().unwrap();
    drop(pipe);
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("interrupted") && !stderr.contains("cut"), "{stderr}");
    let summary: Value =
        serde_json::from_str(&std::fs::read_to_string(place.path("out/summary.json")).unwrap()).unwrap();
    assert!(summary["exchanges"]["total"].as_u64().unwrap() > 100, "{summary}");
}

#[test]
fn stdin_and_no_analysis() {
    let place = Place::new();
    let file = place.write("a.pcap", &capture(&[HELLO]));
    let mut command = place.command(&["replay", "-", "--no-analysis", "--exchanges", "--out", "out"]);
    let end = common::ended(command.stdin(std::fs::File::open(file).unwrap()).output().unwrap()).is(0);
    assert!(!end.stdout.contains("APIS"), "{}", end.stdout);
    let rows = lines(&place.path("out/exchanges.ndjson"));
    assert_eq!(rows[0]["url"]["path"], "/hello");
    assert_eq!(rows[0]["http"]["response"]["status_code"], 200);
    assert_eq!(std::fs::read(place.path("out/endpoints.ndjson")).unwrap(), b"");
}

#[test]
fn hostile_hosts_write_no_file_elsewhere() {
    let place = Place::new();
    let hosts = ["../../../evil", "..", "a/b", "<script>alert(1)</script>"];
    let dialogues: Vec<String> = hosts.iter().map(|h| HELLO.replace("shop.example", h)).collect();
    place.write("a.pcap", &capture(&dialogues.iter().map(String::as_str).collect::<Vec<_>>()));
    place.run(&["replay", "a.pcap", "--out", "deep/er/out"]).is(0);
    let elsewhere: Vec<_> =
        tree(&place.path("deep")).into_keys().filter(|n| !n.starts_with("er/out/")).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    let page = std::fs::read_to_string(place.path("deep/er/out/report.html")).unwrap();
    assert!(!page.contains("<script"));
}

#[test]
fn a_store_answers_what_a_run_directory_answers() {
    let place = Place::new();
    replay(&place, "out", &["--store", "store.db"]);
    for args in [&["inventory", "list"][..], &["policy", "simulate"], &["mitigation", "feed"]] {
        // How a store reckons with times is its own: what is decided is the same.
        let decided = |text: String| text.split("  DEVICE").next().unwrap_or_default().to_owned();
        let from = |source: &[&str]| decided(place.run(&[args, source].concat()).is(0).stdout);
        let (directory, store) = (from(&["--run", "out"]), from(&["--store", "store.db"]));
        assert!(directory.lines().count() > 3, "{args:?}: {directory}");
        assert_eq!(directory, store, "{args:?}");
    }
    let feed = place.run(&["mitigation", "feed", "--run", "out"]).is(0).stdout;
    assert_eq!(feed, std::fs::read_to_string(place.path("out/blocklist.txt")).unwrap());
    let report = place.run(&["report", "--store", "store.db"]).is(0).stdout;
    assert!(report.contains("ATTACKS"), "{report}");
    place.run(&["inventory", "export", "--store", "store.db", "--out", "api"]).is(0);
    assert_eq!(tree(&place.path("api")), tree(&place.path("out/openapi")));
    let id = lines(&place.path("out/endpoints.ndjson"))[0]["id"].as_str().unwrap().to_owned();
    assert!(place.run(&["inventory", "show", &id, "--run", "out"]).is(0).stdout.contains(&id));
}

/// How many entries the feed's list holds.
fn listed(place: &Place) -> usize {
    let list = std::fs::read(place.path("feed.json")).unwrap_or_else(|_| b"{\"entries\":[]}".to_vec());
    serde_json::from_slice::<Value>(&list).unwrap()["entries"].as_array().unwrap().len()
}

#[test]
fn devices_change_only_when_told_to() {
    let place = Place::new();
    replay(&place, "out", &[]);
    place.write(
        "sidetap.toml",
        b"[mitigation]\nmax_age = \"1d\"\n[[mitigation.feed]]\npath = \"feed.json\"\n",
    );
    let addresses = std::fs::read_to_string(place.path("out/blocklist.txt")).unwrap().lines().count();
    let mitigation =
        |args: &[&str]| place.run(&[&["mitigation"], args, &["--run", "out"]].concat()).is(0).stdout;
    assert!(mitigation(&["push"]).contains("nothing was changed"));
    assert_eq!(listed(&place), 0, "a dry run is the default");
    mitigation(&["push", "--enforce"]);
    assert_eq!(listed(&place), 0, "the sample's verdicts are too old to be pushed");
    mitigation(&["push", "--enforce", "--force"]);
    assert_eq!(listed(&place), addresses);
    assert!(mitigation(&["status"]).contains("as it should be"));
    let full = std::fs::read(place.path("feed.json")).unwrap();
    std::fs::remove_file(place.path("feed.json")).unwrap();
    let status = place.run(&["mitigation", "status", "--run", "out"]).is(4).stdout;
    assert!(status.contains("empty, though"), "somebody else emptied it: {status}");
    place.write("feed.json", &full);
    mitigation(&["undo"]);
    assert_eq!(listed(&place), addresses, "a dry run is the default");
    mitigation(&["undo", "--enforce"]);
    assert_eq!(listed(&place), 0);
}

#[test]
fn the_console_serves_what_was_stored_until_it_is_told_to_end() {
    use std::io::{BufRead, BufReader, Read, Write};
    let place = Place::new();
    place.write("a.pcap", &capture(&[HELLO]));
    place.run(&["replay", "a.pcap", "--store", "store.db"]).is(0);
    let mut command = place.command(&["serve", "--store", "store.db", "--listen", "127.0.0.1:0"]);
    let mut serving = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(serving.stderr.as_mut().unwrap()).lines();
    let mut line = || said.next().unwrap().unwrap();
    let (first, second) = (line(), line());
    let address = first.trim().trim_start_matches("console: http://").trim_end_matches('/');
    let token = second.rsplit(' ').next().unwrap();
    let ask = |request: String| {
        let mut stream = std::net::TcpStream::connect(address).unwrap_or_else(|e| panic!("{first}: {e}"));
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let get = |path: &str, more: &str| {
        ask(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{more}\r\n"))
    };
    assert!(get("/api/v1/endpoints", "").starts_with("HTTP/1.1 401"), "nobody is logged in");
    let body = format!("{{\"token\":\"{token}\",\"name\":\"anna\",\"password\":\"correct horse battery\"}}");
    let made = ask(format!(
        "POST /api/v1/setup HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert!(made.starts_with("HTTP/1.1 201"), "{made}");
    let cookie =
        made.lines().find_map(|l| l.strip_prefix("set-cookie: ")).unwrap().split(';').next().unwrap();
    let cookie = format!("Cookie: {cookie}\r\n");
    for path in ["/api/v1/endpoints", "/report"] {
        let page = get(path, &cookie);
        assert!(page.starts_with("HTTP/1.1 200") && page.contains("/hello"), "{page}");
    }
    for path in [
        "/api/v1/policies",
        "/api/v1/policies?format=csv",
        "/api/v1/mitigation",
        "/api/v1/mitigation/entries",
        "/api/v1/approvals",
    ] {
        let page = get(path, &cookie);
        assert!(page.starts_with("HTTP/1.1 200"), "{path}: {page}");
    }
    let pid = serving.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(serving.wait().unwrap().code(), Some(0));
}

#[test]
fn the_state_of_a_run_is_where_the_next_one_begins() {
    let place = Place::new();
    place.write("a.pcap", &capture(&[HELLO]));
    place.run(&["replay", "a.pcap", "--state", "learned"]).is(0);
    let first = std::fs::read(place.path("learned")).unwrap();
    assert!(!first.is_empty());
    place.run(&["replay", "a.pcap", "--state", "learned"]).is(0);
    place.write("broken", b"no state at all");
    let end = place.run(&["replay", "a.pcap", "--state", "broken"]).is(1);
    assert!(end.stderr.contains("state"), "{}", end.stderr);
}

#[test]
fn the_doctor_says_what_to_change() {
    let place = Place::new();
    place.write("a.pcap", &capture(&[HELLO, HELLO]));
    let end = place.run(&["doctor", "a.pcap"]).is(0);
    assert!(
        end.stdout.contains("2 HTTP exchanges") && end.stdout.contains("both directions"),
        "{}",
        end.stdout
    );
    let figures: Value =
        serde_json::from_str(&place.run(&["doctor", "a.pcap", "--json"]).is(0).stdout).unwrap();
    assert_eq!(figures["one_way_flows"], 0.0);
    let twice: Vec<_> =
        Dialogue::parse(HELLO).unwrap().packets().into_iter().flat_map(|p| [p.clone(), p]).collect();
    place.write("twice.pcap", &pcap_bytes(&twice, LinkKind::Ethernet, PcapForm::default()));
    let end = place.run(&["doctor", "twice.pcap"]).is(0);
    assert!(end.stdout.contains("50.0 % of segments come twice"), "{}", end.stdout);
    place.write("none.pcap", &capture(&[])[..24]);
    let end = place.run(&["doctor", "none.pcap"]).is(0);
    assert!(end.stdout.contains("no packet came"), "{}", end.stdout);
}

#[test]
fn documents_are_scanned() {
    let place = Place::new();
    place.write(
        "docs.ndjson",
        b"{\"id\":7,\"content_type\":\"application/json\",\"body\":\"{\\\"card\\\":\\\"4532015112830366\\\"}\"}\n",
    );
    let end = place.run(&["sensitive", "scan", "docs.ndjson"]).is(0);
    let answer: Value = serde_json::from_str(&end.stdout).unwrap();
    assert_eq!((&answer["id"], &answer["spans"][0]["type"]), (&Value::from(7), &Value::from("credit-card")));
    assert_eq!(
        (&answer["spans"][0]["start"], &answer["spans"][0]["end"]),
        (&Value::from(9), &Value::from(25))
    );
}
