//! What a rule says of how its response is done reaches the devices that can be told, and is said of the others.

use std::net::SocketAddr;

use sidetap_mitigation::{Connector, Enforcer, Entry, Mode, PushOptions, Way};
use sidetap_model::rows::VerdictRow;
use sidetap_model::{Decoy, Measures, Rate, SubjectKind, Tag};
use sidetap_policy::Response;

use crate::rig::{ATTACKER, Rig, entry};
use crate::support::{ask_at, body_at, desired, get, until, verdict, wall, wall_ts};

const RATE: Rate = Rate { requests: 5, per_s: 60 };

fn with(id: &str, address: &str, response: &str, measures: Measures) -> VerdictRow {
    let mut v = verdict(id, SubjectKind::Ip, address, response, 600);
    v.measures = Some(Box::new(measures));
    v
}

fn rate(rate: Rate) -> Measures {
    Measures { rate: Some(rate), ..Measures::default() }
}

fn decoy(name: &str) -> Measures {
    Measures { decoy: Some(Decoy::Backend(name.into())), ..Measures::default() }
}

fn answer(body: &str) -> Measures {
    let decoy = Decoy::Answer { status: 409, content_type: "text/plain".into(), body: body.into() };
    Measures { decoy: Some(decoy), ..Measures::default() }
}

fn tag(value: &str) -> Measures {
    let tag = Tag { name: "X-Sidetap-Tag".into(), value: value.into() };
    Measures { tag: Some(tag), ..Measures::default() }
}

/// One of each way, and one of each response that says none.
fn all() -> Vec<VerdictRow> {
    vec![
        with("v1", "198.51.100.1", "rate-limit", rate(RATE)),
        with("v2", "198.51.100.2", "deceive", decoy("sold_out")),
        with("v3", "198.51.100.3", "deceive", answer("none left")),
        with("v4", "198.51.100.4", "tag", tag("scraper/1")),
        with("v5", "198.51.100.5", "tarpit", Measures { delay_ms: Some(2000), ..Measures::default() }),
        with("v9", "198.51.100.41", "tag", tag("would-block")),
        with("v10", "198.51.100.42", "tag", tag("x-deceive")),
        with("v11", "198.51.100.43", "tag", tag("rate-limit")),
        with("v12", "198.51.100.44", "tag", tag("a/tarpit.tag")),
        verdict("v6", SubjectKind::Ip, "198.51.100.6", "deceive", 600),
        verdict("v7", SubjectKind::Ip, "198.51.100.7", "tag", 600),
        verdict("v8", SubjectKind::Ip, ATTACKER, "block", 600),
    ]
}

/// Pushes those that the device has a response for; gives what was said of the others, and of those that are done otherwise.
pub(crate) fn push(connector: Box<dyn Connector>, to: Option<SocketAddr>) -> String {
    let can: Vec<String> = connector.sees().responses.iter().map(ToString::to_string).collect();
    let mut enforcer = Enforcer::with_connectors(vec![connector]);
    let wanted: Vec<VerdictRow> =
        all().into_iter().filter(|v| can.contains(&v.response.to_string())).collect();
    let want = desired(&wanted, &[]);
    let plan = enforcer.plan(&want, wall_ts(), false);
    let said: Vec<String> =
        plan.connectors[0].weaker.iter().map(|w| format!("{}: {}", w.verdict, w.why)).collect();
    let report = enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(report.connectors[0].outcome, "done", "{report:?}");
    if let Some(to) = to {
        until("it has an effect", || get(to, ATTACKER, &[]).0 == 403);
    }
    let again = enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(again.connectors[0].outcome, "unchanged", "ways are read back as they were told: {again:?}");
    said.join("\n")
}

fn limits_by_its_rate(to: SocketAddr) {
    let passed = (0..12).filter(|_| get(to, "198.51.100.1", &[]).0 == 200).count();
    assert_eq!(passed, 5, "five in a minute, whatever else the configuration says");
    assert!((0..12).all(|_| get(to, "198.51.100.9", &[]).0 == 200), "and nobody else");
}

fn deceives_and_tags(to: SocketAddr) {
    let sold_out = (409, r#"{"error":"sold out"}"#.to_owned());
    let (status, body) = get(to, "198.51.100.2", &[]);
    assert_eq!(body, sold_out.1, "{status}");
    assert_eq!(get(to, "198.51.100.6", &[]), (200, "{}".into()), "one without a decoy of its own");
    plain(to);
}

fn plain(to: SocketAddr) {
    assert_eq!(get(to, "198.51.100.4", &[("X-Sidetap-Tag", "own")]), (200, "tagged scraper/1".into()));
    for (from, value) in
        [("41", "would-block"), ("42", "x-deceive"), ("43", "rate-limit"), ("44", "a/tarpit.tag")]
    {
        let said = get(to, &format!("198.51.100.{from}"), &[]);
        assert_eq!(said, (200, format!("tagged {value}")), "a value is no response");
    }
    assert_eq!(get(to, "198.51.100.7", &[]), (200, "tagged".into()));
    assert_eq!(
        get(to, "198.51.100.9", &[("X-Sidetap-Tag", "own")]),
        (200, "app".into()),
        "nobody tags himself"
    );
}

/// Entries of one response with other ways: at a place laxer and stricter than everywhere, and a value of a tag for a place.
fn several() -> Vec<Entry> {
    let limited = |key: &str, requests| {
        let way = Some(Way::Rate(Rate { requests, per_s: 60 }));
        Entry { way, ..entry(key, Response::RateLimit) }
    };
    let tagged = |key: &str, value: &str| {
        let way = Some(Way::Value(value.into()));
        Entry { way, ..entry(key, Response::Tag) }
    };
    vec![
        limited("198.51.100.21", 100),
        limited("198.51.100.21@*,/login", 5),
        limited("198.51.100.22", 5),
        limited("198.51.100.22@*,/login", 100),
        limited("198.51.100.23@*,/**", 5),
        limited("198.51.100.23@*,shop.example/login", 100),
        limited("198.51.100.24@*,/**", 100),
        limited("198.51.100.24@*,shop.example/login", 5),
        limited("2001:db8:0:77::/64", 5),
        limited("2001:db8::/64", 5),
        tagged("198.51.100.25", "wide"),
        tagged("198.51.100.25@*,shop.example/login", "narrow"),
        tagged("198.51.100.25@*,shop.example/**", "middle"),
        entry("198.51.100.26", Response::Tag),
        entry("198.51.100.26@*,/login", Response::Block),
        entry(ATTACKER, Response::Block),
    ]
}

fn put(mut connector: Box<dyn Connector>, to: SocketAddr, wanted: &[Entry]) {
    let plan = sidetap_mitigation::plan(wanted, &connector.observe(wall()).unwrap(), &[], connector.sees());
    connector.apply(&plan, wall()).unwrap();
    until("it has an effect", || get(to, ATTACKER, &[]).0 == 403);
    let held = connector.observe(wall()).unwrap();
    assert_eq!((held.entries.len(), held.drift), (wanted.len(), Vec::<String>::new()));
}

fn the_stricter_rate_stands(to: SocketAddr) {
    let at = |from: &str| ask_at(to, from, ("GET", "shop.example", "/login"), "x");
    for from in 21..=24 {
        let passed = (0..12).filter(|_| at(&format!("198.51.100.{from}")) == 200).count();
        assert_eq!(passed, 5, "198.51.100.{from}: five in a minute, whichever entry is found first");
    }
    // Texts of one network differ by which zeros are left out.
    let of_network = |n: usize| match n % 3 {
        0 => format!("2001:db8:0:77::{n:x}:1"),
        1 => format!("2001:db8:0:77:a:b:c:{n:x}"),
        _ => format!("2001:db8:0:77:{n:x}::"),
    };
    let passed = (0..12).filter(|n| at(&of_network(*n)) == 200).count();
    assert_eq!(passed, 5, "a network of 64 bits is one client");
    let passed = (0..12).filter(|n| at(&of_network(*n).replace(":77:", ":0:")) == 200).count();
    assert_eq!(passed, 5, "so is one whose last bits are zeros");
}

fn the_narrower_place_stands(to: SocketAddr) {
    let tagged = |path: &str| body_at(to, "198.51.100.25", ("GET", "shop.example", path));
    assert_eq!((tagged("/login").as_str(), tagged("/x").as_str()), ("tagged narrow", "tagged middle"));
    assert_eq!(get(to, "198.51.100.26", &[]), (200, "tagged".into()));
    let refused = ask_at(to, "198.51.100.26", ("GET", "shop.example", "/login"), "x");
    assert_eq!(refused, 403, "the stronger response, wherever");
}

#[test]
fn of_several_entries_the_stricter_stands_on_envoy() {
    let Some(device) = crate::envoy::Envoy::start() else { return };
    put(device.connector(), device.to, &several());
    the_stricter_rate_stands(device.to);
    the_narrower_place_stands(device.to);
}

#[test]
fn of_several_entries_the_stricter_stands_on_nginx_with_a_script() {
    let Some(device) = crate::nginx_njs::Njs::start() else { return };
    put(device.connector(), device.nginx.to, &several());
    the_stricter_rate_stands(device.nginx.to);
    the_narrower_place_stands(device.nginx.to);
}

#[test]
fn of_several_entries_the_stricter_stands_on_nginx() {
    let Some(device) = crate::nginx::Nginx::start_with(|text| {
        let rate =
            "limit_req_zone $st_rate_key_100_60 zone=sidetap_100_60:1m rate=100r/m;\n    limit_req_zone";
        let limit =
            "limit_req zone=sidetap_100_60 burst=99 nodelay;\n            limit_req zone=sidetap_slow";
        let map = "map \"$st_do $st_address:$st_here:$st_net_here\" $st_rate_key_100_60 {\n        default \"\";\n        \
                   \"~^rate-limit (?:.*:)?rate-limit=100/60(?::|$)\" $st_whom;\n    }\n    map $st_do $st_slow_key";
        text.replace("=(?:5/60)", "=(?:5/60|100/60)")
            .replacen("limit_req_zone", rate, 1)
            .replace("limit_req zone=sidetap_slow", limit)
            .replace("map $st_do $st_slow_key", map)
    }) else {
        return;
    };
    put(device.connector(), device.to, &several());
    until("old workers are gone", || device.workers() == 1);
    the_stricter_rate_stands(device.to);
    the_narrower_place_stands(device.to);
}

#[test]
fn of_several_entries_the_stricter_stands_on_apache() {
    let Some(device) = crate::apache::Apache::start() else { return };
    let is_tag = |e: &Entry| e.response == Response::Tag || e.response == Response::Block;
    put(device.connector(), device.to, &several().into_iter().filter(is_tag).collect::<Vec<_>>());
    the_narrower_place_stands(device.to);
}

#[test]
fn nginx_with_a_script() {
    let Some(device) = crate::nginx_njs::Njs::start() else { return };
    let said = push(device.connector(), Some(device.nginx.to));
    assert_eq!(get(device.nginx.to, "198.51.100.2", &[]).0, 409);
    deceives_and_tags(device.nginx.to);
    limits_by_its_rate(device.nginx.to);
    assert_eq!(get(device.nginx.to, "198.51.100.3", &[]), (200, "{}".into()), "the decoy that it has");
    assert!(said.contains("v3: ") && said.contains("v5: ") && said.lines().count() == 2, "{said}");
}

#[test]
fn nginx() {
    let Some(device) = crate::nginx::Nginx::start() else { return };
    let said = push(device.connector(), Some(device.to));
    until("old workers are gone", || device.workers() == 1);
    assert_eq!(get(device.to, "198.51.100.2", &[]).0, 409);
    deceives_and_tags(device.to);
    limits_by_its_rate(device.to);
    assert!(said.contains("v3: ") && said.contains("v5: ") && said.lines().count() == 2, "{said}");
}

#[test]
fn apache() {
    let Some(device) = crate::apache::Apache::start() else { return };
    let said = push(device.connector(), Some(device.to));
    deceives_and_tags(device.to);
    assert!(said.contains("v3: ") && said.lines().count() == 1, "{said}");
}

#[test]
fn envoy() {
    let Some(device) = crate::envoy::Envoy::start() else { return };
    let said = push(device.connector(), Some(device.to));
    plain(device.to);
    assert_eq!(get(device.to, "198.51.100.3", &[]), (409, "none left".into()));
    assert_eq!(get(device.to, "198.51.100.6", &[]), (200, "{}".into()));
    limits_by_its_rate(device.to);
    assert!(said.contains("v2: ") && said.contains("none of the rule's name sold_out"), "{said}");
    assert!(said.contains("v1: ") && said.contains("in each of its threads"), "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
}
