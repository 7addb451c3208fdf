//! What goes through a whole store has a part of it in memory: the real binary over verdicts that are many times as large.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, clippy::print_stdout)]

mod common;

use common::{Ended, Place, ended};
use serde_json::{Value, json};
use sidetap_model::Ts;
use sidetap_model::rows::{InputSummary, RunData, Summary};
use sidetap_store::Store;

/// Verdicts, and bytes of the reason of each.
const VERDICTS: u32 = 8_000;
const REASON: usize = 32_000;

/// A store of two runs whose verdicts have a reason each that is long, half of them seen in both; every one names an address of its own.
fn filled(place: &Place) {
    let mut store = Store::open(&place.path("s.db")).unwrap();
    let observed = "x".repeat(REASON);
    for (name, range) in [("a.pcap", 0..VERDICTS), ("b.pcap", VERDICTS / 2..VERDICTS)] {
        let verdict = |n: u32| {
            let ip = format!("198.{}.{}.{}", 18 + n / 62_500, n / 250 % 250, n % 250);
            serde_json::from_value(json!({
                "id": format!("v-{:08x}", n.wrapping_mul(0x9e37_79b9)), "zone": "default", "subject": {"kind": "ip", "value": ip},
                "client_ip": ip, "client_ips": [ip], "intent": "malicious", "class": "price-scraping", "oat": [], "score": 20 + n % 70,
                "automation": 90, "coverage": {}, "campaign": format!("c-{}", n % 7), "phase": "online",
                "first_seen": "2026-10-13T09:00:00Z", "detected_at": "2026-10-13T09:00:00Z", "last_seen": "2026-10-13T09:00:00Z",
                "requests": 9, "reasons": [{ "indicator": "i", "weight": 3.0, "observed": observed, "baseline": "", "evidence": [] }],
                "response": "none", "ttl_s": 0,
            }))
            .unwrap()
        };
        let input = InputSummary { path: name.to_owned(), ..InputSummary::default() };
        let summary = Summary { inputs: vec![input], ..Summary::default() };
        let run = RunData { summary, verdicts: range.map(verdict).collect(), ..RunData::default() };
        store.save_run(&run, Ts(1)).unwrap();
    }
}

/// Runs it; gives the memory that it had at most, in bytes.
fn measured(place: &Place, args: &[&str]) -> (Ended, u64) {
    let mut command = place.command(args);
    let mut child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let kib = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        most = most.max(kib.unwrap_or(0) * 1024);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    (ended(child.wait_with_output().unwrap()), most)
}

#[test]
fn devices_are_told_of_a_store_of_which_a_part_is_in_memory() {
    let place = Place::new();
    filled(&place);
    let config = "[policy]\npath = \"p.yaml\"\n[mitigation]\nmax_adds = 100000\n[[mitigation.feed]]\npath = \"feed.json\"\n";
    place.write("sidetap.toml", config.as_bytes());
    let rule = "version: 1\nrules:\n  - id: it\n    when: intent == \"malicious\"\n    response: block\n    ttl: 1h\n    subjects: [verdict]\n";
    place.write("p.yaml", rule.as_bytes());
    let of = |words: &[&str]| -> Vec<String> {
        let words = ["--config", "sidetap.toml", "mitigation"].iter().chain(words);
        words.chain(&["--store", "s.db"]).map(|w| (*w).to_owned()).collect()
    };
    let whole = u64::from(VERDICTS) * REASON as u64;
    let go = |words: &[&str]| -> Ended {
        let words = of(words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (ended, most) = measured(&place, &words);
        let ended = ended.is(0);
        println!("{words:?}: {} MB of {} MB", most / 1_000_000, whole / 1_000_000);
        // What the program takes with a small store comes to it.
        assert!(most > 0 && most < whole / 4 * 3, "{words:?}: {most} bytes of {whole}");
        ended
    };
    let on_device = || -> usize {
        let text = std::fs::read_to_string(place.path("feed.json")).unwrap();
        let feed: Value = serde_json::from_str(&text).unwrap();
        feed["entries"].as_array().unwrap().len()
    };
    let plan = go(&["plan", "--old", "--force"]);
    assert!(plan.stdout.contains("8,000"), "{}", plan.stdout);
    go(&["push", "--old", "--enforce", "--force"]);
    assert_eq!(on_device(), VERDICTS as usize);
    go(&["undo", "--campaign", "c-3", "--enforce"]);
    assert_eq!(
        on_device(),
        VERDICTS as usize - (VERDICTS as usize).div_ceil(7) + usize::from(VERDICTS % 7 <= 3)
    );
    go(&["undo", "--policy", "it", "--enforce"]);
    assert_eq!(on_device(), 0);
    go(&["feed"]);
}
