//! What the fixtures say of real servers is what these do, and Sidetap reads as the reference server does.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Name and expectation of each fixture that says how servers read it.
fn measured() -> Vec<(String, Value)> {
    let files = std::fs::read_dir(root().join("fixtures/http1")).unwrap().map(|e| e.unwrap().path());
    let json = files.filter(|p| p.extension().is_some_and(|e| e == "json"));
    let read = json.map(|p| {
        let name = p.file_stem().unwrap().to_string_lossy().into_owned();
        (name, serde_json::from_str(&std::fs::read_to_string(p).unwrap()).unwrap())
    });
    let mut all: Vec<(String, Value)> =
        read.filter(|(_, v): &(String, Value)| v.get("servers").is_some()).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// A target without scheme and authority, as a server hands it on.
fn origin(target: &str) -> String {
    match target.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or_else(|| "/".to_owned(), |at| rest[at..].to_owned()),
        None => target.to_owned(),
    }
}

/// Every request that nginx accepted has the method, target and length of body that the fixture expects of Sidetap; of a
/// refused one nothing is compared but that an anomaly tells of it.
#[test]
fn the_reference_server_reads_what_the_fixtures_expect() {
    let (fixtures, mut wrong) = (measured(), Vec::new());
    assert!(fixtures.len() >= 120, "only {}", fixtures.len());
    for (name, want) in &fixtures {
        let exchanges: Vec<&Value> = want["exchanges"].as_array().unwrap().iter().collect();
        let requests: Vec<&&Value> = exchanges.iter().filter(|e| !e["method"].is_null()).collect();
        for (n, read) in want["servers"]["nginx"].as_array().unwrap().iter().enumerate() {
            let Some(request) = requests.get(n) else {
                if read.is_number() {
                    continue;
                }
                wrong.push(format!("{name}: nginx read {read}, and none is expected"));
                continue;
            };
            if read.is_array() {
                let target = origin(request["target"].as_str().unwrap_or_default());
                let expected = serde_json::json!([request["method"], target, request["request_body"]]);
                let utf8 = target.is_ascii();
                if utf8 && expected != *read && !request["request_body"].is_null() {
                    wrong.push(format!("{name}: nginx read {read}, and {expected} is expected"));
                }
            } else if request["anomalies"].as_array().is_none_or(Vec::is_empty)
                && !ALLOWED.contains(&name.as_str())
            {
                wrong.push(format!("{name}: nginx refused, and nothing is odd"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What nginx refuses although the RFC allows it: a proxy of its kind has no use for them.
const ALLOWED: [&str; 4] =
    ["asterisk-form", "connect-content-length", "te-gzip-chunked", "options-preflight"];

#[test]
fn every_code_stands_in_the_documentation() {
    let text = std::fs::read_to_string(root().join("docs/anomalies.md")).unwrap();
    for anomaly in sidetap_model::Anomaly::ALL {
        assert!(text.contains(&format!("| `{}` |", anomaly.code())), "{} is missing", anomaly.code());
    }
}

#[test]
fn real_servers_read_the_fixtures_as_they_say() {
    let script = root().join("scripts/reference.py");
    let servers: Vec<&str> = ["nginx", "haproxy"].into_iter().filter(|s| installed(s)).collect();
    if servers.is_empty() || !installed("python3") {
        println!("left out: nginx and haproxy, or python3, are not installed");
        assert!(std::env::var_os("SIDETAP_REQUIRE_TOOLS").is_none(), "nginx and python3 are required here");
        return;
    }
    let args = servers.iter().flat_map(|s| ["--server", s]);
    let out = Command::new("python3").arg(script).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{text}{}", String::from_utf8_lossy(&out.stderr));
    println!("{text}");
}

fn installed(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    path.split(':').any(|dir| Path::new(dir).join(program).is_file())
}
