//! Rules that hold at some places only, where somebody makes places up: the real binary over a store.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, clippy::disallowed_methods)]

mod common;

use common::Place;
use serde_json::json;
use sidetap_model::rows::{CampaignRow, EndpointRow, RunData, Subject, VerdictRow};
use sidetap_model::{EndpointId, SubjectKind, Ts};

/// Where the site's log-in is.
const SHOP: &str = "shop.example";

fn now() -> Ts {
    let age = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Ts(age.as_nanos() as i64)
}

fn endpoint(host: &str, path: &str, calls: u64, callers: u64) -> EndpointRow {
    serde_json::from_value(json!({
        "id": EndpointId::of("default", host, "POST", path), "zone": "default", "host": host, "method": "POST",
        "template": path, "protocol": "rest", "calls": calls, "first_seen": Ts(1), "last_seen": now(),
        "status_codes": {"200": calls}, "auth": [], "exposure": "public", "standing": "unknown", "roles": ["login"],
        "channels": ["web"], "callers": {"count": callers, "countries": {}, "organizations": {}}, "sensitive": [],
        "risk": 1, "parameters": [],
    }))
    .unwrap()
}

fn campaign() -> CampaignRow {
    serde_json::from_value(json!({
        "id": "c-1", "class": "credential-stuffing", "oat": [], "score": 90, "phase": "online", "first_seen": now(),
        "detected_at": now(), "last_seen": now(), "requests": 900, "endpoints": [format!("POST {SHOP}/signin")],
        "members": [], "signature": {}, "outcome": {}, "reasons": [],
    }))
    .unwrap()
}

fn verdict() -> VerdictRow {
    serde_json::from_value(json!({
        "id": "v-1", "zone": "default", "subject": Subject { kind: SubjectKind::Ip, value: "203.0.113.66".into(), parts: Vec::new() },
        "client_ip": "203.0.113.66", "client_ips": ["203.0.113.66"], "intent": "malicious", "class": "credential-stuffing",
        "oat": [], "score": 95, "automation": 90, "coverage": {}, "campaign": "c-1", "phase": "online", "first_seen": now(),
        "detected_at": now(), "last_seen": now(), "requests": 900, "reasons": [{"indicator": "login-failures", "weight": 3.0, "observed": "40 of 40", "baseline": "3 %", "evidence": ["a-1"]}], "response": "block", "ttl_s": 3600,
        "hosts": [SHOP],
    }))
    .unwrap()
}

/// A store with one campaign at the log-in, and the endpoints that somebody made up beside it.
fn site(scope: &str, invented: impl IntoIterator<Item = EndpointRow>) -> Place {
    let place = Place::new();
    let mut store = sidetap_store::Store::open(&place.path("s.db")).unwrap();
    let real = [endpoint(SHOP, "/signin", 9_000, 400), endpoint("app.shop.example", "/session", 5_000, 300)];
    let mut run = RunData {
        endpoints: invented.into_iter().chain(real).collect(),
        campaigns: vec![campaign()],
        verdicts: vec![verdict()],
        ..RunData::default()
    };
    run.summary.version = "test".into();
    store.save_run(&run, now()).unwrap();
    drop(store);
    let config = "[store]\npath = \"s.db\"\n[policy]\npath = \"p.yaml\"\n[[mitigation.nginx_njs]]\nentries = \"entries\"\n";
    place.write("sidetap.toml", config.as_bytes());
    std::fs::create_dir(place.path("entries")).unwrap();
    let rule = format!(
        "version: 1\nrules:\n  - id: at-login\n    when: intent == \"malicious\"\n    response: block\n    ttl: 1h\n    scope: {scope}\n"
    );
    place.write("p.yaml", rule.as_bytes());
    place
}

const CONFIG: [&str; 2] = ["--config", "sidetap.toml"];

fn run(place: &Place, args: &[&str]) -> String {
    place.run(&[&CONFIG, args].concat()).is(0).stdout
}

/// What the device has after a push, names and contents, and what was said of it.
fn pushed(place: &Place) -> (String, String) {
    let said = run(place, &["mitigation", "push", "--enforce"]);
    let files = common::tree(&place.path("entries")).into_iter();
    let text = files.map(|(name, bytes)| format!("{name} {}\n", String::from_utf8_lossy(&bytes)));
    (text.collect(), said)
}

/// Hosts that sort before all others.
fn hosts(most: usize) -> impl Iterator<Item = String> {
    (0..most).map(|n| format!("{n:04}.x.example"))
}

#[test]
fn hosts_that_somebody_makes_up_take_no_place_of_the_sites() {
    for scope in ["{roles: [login]}", "{hosts: [shop.example], roles: [login]}", "{channels: [web]}"] {
        for calls in [1, 2, 100_000] {
            let made_up = hosts(80).map(|h| endpoint(&h, "/signin", calls, 1));
            let (told, said) = pushed(&site(scope, made_up));
            assert!(told.contains("203.0.113.66") && told.contains("/signin"), "{scope}: {said}\n{told}");
        }
    }
}

#[test]
fn of_more_places_than_a_device_is_told_the_sites_own_are_kept_and_the_rest_is_said() {
    let made_up = hosts(80).map(|h| endpoint(&h, &format!("/{}/signin", &h[..4]), 100_000, 1));
    let place = site("{roles: [login]}", made_up);
    let cut = "18 endpoints of its roles and channels are left out";
    let planned = run(&place, &["mitigation", "plan"]);
    assert!(planned.contains(cut), "{planned}");
    let (told, said) = pushed(&place);
    for at in ["shop.example/signin", "app.shop.example/session"] {
        assert!(told.contains(at), "{at}: {told}");
    }
    assert!(said.contains(cut), "{said}");
    let simulated = run(&place, &["policy", "simulate"]);
    assert!(simulated.contains(cut), "{simulated}");
}

#[test]
fn an_endpoint_that_no_device_can_compare_takes_none_of_the_others_with_it() {
    let odd = [endpoint("odd.example", "/sign(in)", 2, 1), endpoint("odd.example", "/sign%20in", 2, 1)];
    let (told, said) = pushed(&site("{roles: [login]}", odd));
    assert!(told.contains("203.0.113.66") && told.contains("/signin"), "{said}\n{told}");
    assert!(said.contains("2 of its hosts and endpoints cannot be compared"), "{said}");
}
