//! What a rule says of how its response is done reaches the devices that can be told, and is said of the others.

use std::net::SocketAddr;

use sidetap_mitigation::{Connector, Enforcer, Mode, PushOptions};
use sidetap_model::rows::VerdictRow;
use sidetap_model::{Decoy, Measures, Rate, SubjectKind, Tag};

use crate::rig::{ATTACKER, Rig};
use crate::support::{desired, get, until, verdict, wall_ts};

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
    assert_eq!(get(to, "198.51.100.7", &[]), (200, "tagged".into()));
    assert_eq!(
        get(to, "198.51.100.9", &[("X-Sidetap-Tag", "own")]),
        (200, "app".into()),
        "nobody tags himself"
    );
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
    assert_eq!(said.lines().count(), 1, "{said}");
}
