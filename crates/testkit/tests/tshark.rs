//! Dialogues as tshark reads them: method, target, status and length of body are those that Sidetap gives.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::path::Path;
use std::process::Command;

use sidetap_testkit::{Dialogue, PcapForm, pcap_bytes};

/// Dialogues of which every byte was seen and that both read to their end.
const DIALOGUES: [&str; 16] = [
    "simple-get",
    "keep-alive",
    "pipelined",
    "chunked-request",
    "chunked-response",
    "chunked-trailers",
    "head",
    "no-content",
    "not-modified",
    "out-of-order",
    "retransmission",
    "options-preflight",
    "early-hints-many",
    "response-range",
    "multipart-form",
    "link-vxlan",
];

#[test]
fn tshark_sees_the_same_messages() {
    if Command::new("tshark").arg("--version").output().is_err() {
        println!("left out: tshark is not installed");
        assert!(std::env::var_os("SIDETAP_REQUIRE_TOOLS").is_none(), "tshark is required here");
        return;
    }
    let hexadecimal = prints_hexadecimal();
    let dir = tempfile::tempdir().unwrap();
    for name in DIALOGUES {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../fixtures/http1/{name}.http"));
        let dialogue = Dialogue::parse(&std::fs::read_to_string(file).unwrap()).unwrap();
        let packets = dialogue.packets();
        let path = dir.path().join("in.pcap");
        std::fs::write(&path, pcap_bytes(&packets, dialogue.framing.link, PcapForm::Nanos)).unwrap();
        let mut theirs = read_by_tshark(&path, hexadecimal);
        let mut ours = Vec::new();
        for exchange in support::run(&packets, dialogue.framing.link).exchanges {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            if let Some(r) = exchange.request {
                ours.push(format!("{} {} {}", text(&r.method), text(&r.target), r.body.len));
            }
            if let Some(r) = exchange.response {
                ours.push(format!("{} {}", r.status, r.body.len));
            }
        }
        theirs.sort();
        ours.sort();
        assert_eq!(ours, theirs, "{name}");
    }
}

/// `METHOD TARGET LENGTH` of each request, `STATUS LENGTH` of each final response.
fn read_by_tshark(path: &Path, hexadecimal: bool) -> Vec<String> {
    let fields = ["http.request.method", "http.request.uri", "http.response.code", "http.file_data"];
    let out = Command::new("tshark")
        .args(["-r", &path.to_string_lossy(), "-o", "tcp.reassemble_out_of_order:TRUE"])
        .args(["-o", "http.decompress_body:FALSE", "-d", "tcp.port==80,http"])
        .args(["-Y", "http.request or http.response", "-T", "json"])
        .args(["-J", "http"])
        .args(fields.iter().flat_map(|f| ["-e", f]))
        .output()
        .unwrap();
    let packets: serde_json::Value = serde_json::from_slice(&out.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stderr)));
    let mut messages = Vec::new();
    for packet in packets.as_array().unwrap() {
        let layers = &packet["_source"]["layers"];
        let list = |field: &str| -> Vec<String> {
            let values = layers[field].as_array().map(Vec::as_slice).unwrap_or_default();
            values.iter().filter_map(|v| v.as_str()).map(str::to_owned).collect()
        };
        let (methods, targets, codes) = (list(fields[0]), list(fields[1]), list(fields[2]));
        let bodies = list(fields[3]);
        let length =
            |n: usize, of: usize| if of == bodies.len() { body_length(&bodies[n], hexadecimal) } else { 0 };
        for (n, method) in methods.iter().enumerate() {
            messages.push(format!("{method} {} {}", targets[n], length(n, methods.len())));
        }
        let finals: Vec<&String> = codes.iter().filter(|c| !c.starts_with('1')).collect();
        for (n, code) in finals.iter().enumerate() {
            messages.push(format!("{code} {}", length(n, finals.len())));
        }
    }
    messages
}

/// From 4.2 on bodies are printed in hexadecimal, before that as text.
fn prints_hexadecimal() -> bool {
    let out = Command::new("tshark").arg("--version").output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let version =
        text.split_whitespace().find(|w| w.starts_with(|c: char| c.is_ascii_digit())).unwrap_or_default();
    let mut parts = version.split('.').map(|p| p.parse::<u32>().unwrap_or(0));
    (parts.next(), parts.next()) >= (Some(4), Some(2))
}

fn body_length(value: &str, hexadecimal: bool) -> usize {
    let digits = value.chars().filter(|c| *c != ':').count();
    if hexadecimal { digits / 2 } else { value.len() }
}
