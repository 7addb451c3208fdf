//! What a rule says of how its response is done reaches HAProxy: its rate, its delay, its decoy, its tag's value.

use std::time::{Duration, Instant};

use sidetap_mitigation::haproxy::HaproxyConnector;
use sidetap_mitigation::{AddressSeen, Connector, Enforcer, Entry, Mode, PushOptions, Way};
use sidetap_model::rows::VerdictRow;
use sidetap_model::{Decoy, Measures, Rate, SubjectKind, Tag};
use sidetap_policy::Response;

use crate::support::{self, desired, verdict, wall_ts};
use crate::{HASH_KEY, Haproxy};

/// A balancer whose application answers with the tag that it got, and its connector with a decoy and a tag header.
fn start() -> Option<(Haproxy, HaproxyConnector)> {
    let echo =
        "http-request return status 200 content-type text/plain lf-string \"tag=%[req.hdr(x-sidetap-tag)]\"";
    let app = "http-request return status 200 content-type text/plain string app";
    let haproxy = Haproxy::start_with(|text| text.replace(app, echo))?;
    let mut config = haproxy.config(AddressSeen::Forwarded);
    config.decoys = vec!["sidetap_sold_out".into()];
    config.tag_header = Some("x-sidetap-tag".into());
    let connector = HaproxyConnector::new(config).unwrap();
    Some((haproxy, connector))
}

fn with(mut v: VerdictRow, measures: Measures) -> VerdictRow {
    v.measures = Some(Box::new(measures));
    v
}

fn rate(requests: u32, per_s: u32) -> Measures {
    Measures { rate: Some(Rate { requests, per_s }), ..Measures::default() }
}

fn tag(name: &str, value: &str) -> Measures {
    Measures { tag: Some(Tag { name: name.into(), value: value.into() }), ..Measures::default() }
}

fn decoy(name: &str) -> Measures {
    Measures { decoy: Some(Decoy::Backend(name.into())), ..Measures::default() }
}

#[test]
fn rates_delays_decoys_and_tags_are_those_of_the_rule() {
    let Some((haproxy, connector)) = start() else { return };
    let mut enforcer = Enforcer::with_connectors(vec![Box::new(connector)]);
    let key = sidetap_model::HashKey::from_bytes(HASH_KEY);
    let api_key = format!("#{:016x}", key.hash64("api-key", b"sk_live_0123456789"));
    let ip = |id: &str, address: &str, response: &str| verdict(id, SubjectKind::Ip, address, response, 600);
    let header = |id: &str, agent: &str, response: &str| {
        verdict(id, SubjectKind::Header, &format!("user-agent: {agent}"), response, 600)
    };
    let slow = |ms| Measures { delay_ms: Some(ms), ..Measures::default() };
    let verdicts = [
        with(ip("v1", "203.0.113.1", "rate-limit"), rate(3, 60)),
        with(verdict("v2", SubjectKind::ApiKey, &api_key, "rate-limit", 600), rate(4, 60)),
        with(header("v3", "limited/1", "rate-limit"), rate(2, 60)),
        with(ip("v4", "203.0.113.4", "tarpit"), slow(2000)),
        with(header("v5", "slow/1", "tarpit"), slow(1500)),
        with(ip("v6", "203.0.113.6", "deceive"), decoy("sidetap_sold_out")),
        with(header("v7", "deceived/1", "deceive"), decoy("sidetap_sold_out")),
        with(ip("v8", "203.0.113.8", "tag"), tag("X-Sidetap-Tag", "scraper")),
        with(header("v9", "tagged/1", "tag"), tag("X-Sidetap-Tag", "bot-2")),
        ip("v10", "203.0.113.10", "tag"),
        ip("v11", "203.0.113.11", "tarpit"),
        ip("v12", "203.0.113.12", "deceive"),
    ];
    let want = desired(&verdicts, &[]);
    let plan = enforcer.plan(&want, wall_ts(), false);
    assert_eq!(
        plan.connectors[0].weaker.len(),
        0,
        "nothing is done otherwise: {:?}",
        plan.connectors[0].weaker
    );
    let report = enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(
        (report.connectors[0].outcome.as_str(), report.connectors[0].added),
        ("done", 12),
        "{report:?}"
    );
    let again = enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(again.connectors[0].outcome, "unchanged", "ways are read back as they were told: {again:?}");

    let ask = |from: &str, fields: &[(&str, &str)]| support::get(haproxy.forwarded, from, fields);
    let passed = |n: usize, from: &dyn Fn(usize) -> String, fields: &[(&str, &str)]| {
        (0..n).filter(|i| ask(&from(*i), fields).0 == 200).count()
    };
    let one = |_: usize| "203.0.113.1".to_owned();
    assert_eq!(passed(8, &one, &[]), 3, "three in a minute, whatever else the configuration says");
    let many = |i: usize| format!("198.51.100.{i}");
    assert_eq!(passed(8, &many, &[("X-Api-Key", "sk_live_0123456789")]), 4, "a key as a whole");
    assert_eq!(passed(8, &many, &[("User-Agent", "limited/1")]), 8, "an agent by address");
    let two = |_: usize| "198.51.100.1".to_owned();
    assert_eq!(passed(8, &two, &[("User-Agent", "limited/1")]), 1, "one of two was used above");

    let late = |from: &str, fields: &[(&str, &str)]| {
        let from_now = Instant::now();
        assert_eq!(ask(from, fields).0, 200);
        from_now.elapsed()
    };
    assert!(late("203.0.113.4", &[]) >= Duration::from_millis(2000));
    let by_key = late("198.51.100.1", &[("User-Agent", "slow/1")]);
    assert!(by_key >= Duration::from_millis(1500) && by_key < Duration::from_millis(5000), "{by_key:?}");
    let plain = late("203.0.113.11", &[]);
    assert!(plain >= Duration::from_millis(700) && plain < Duration::from_millis(1900), "{plain:?}");

    assert_eq!(ask("203.0.113.6", &[]).0, 409);
    assert_eq!(ask("198.51.100.1", &[("User-Agent", "deceived/1")]).0, 409);
    assert_eq!(ask("203.0.113.12", &[]), (200, "{}".into()), "one without a decoy of its own");
    assert_eq!(ask("203.0.113.8", &[("X-Sidetap-Tag", "own")]).1, "tag=scraper");
    assert_eq!(ask("198.51.100.1", &[("User-Agent", "tagged/1")]).1, "tag=bot-2");
    assert_eq!(ask("203.0.113.10", &[]).1, "tag=1");
    assert_eq!(ask("198.51.100.9", &[("X-Sidetap-Tag", "own")]).1, "tag=", "nobody marks himself");
}

/// Of entries of one response the stricter stands, whichever is found first: of an address, what its client can choose, and at a place.
#[test]
fn of_several_entries_the_stricter_stands() {
    let Some((haproxy, mut connector)) = start() else { return };
    let done = |key: &str, response, way| Entry {
        key: key.parse().unwrap(),
        response,
        expires_at: support::wall() + 600,
        verdict: "v1".into(),
        priority: (90, 0),
        way: Some(way),
    };
    let limited =
        |key: &str, requests| done(key, Response::RateLimit, Way::Rate(Rate { requests, per_s: 60 }));
    let late = |key: &str, ms| done(key, Response::Tarpit, Way::DelayMs(ms));
    let tagged = |key: &str, value: &str| done(key, Response::Tag, Way::Value(value.into()));
    let wanted = [
        limited("203.0.113.1", 100),
        limited("203.0.113.1@*,/login", 5),
        limited("203.0.113.2", 5),
        limited("203.0.113.2@*,/login", 100),
        limited("203.0.113.3@*,/**", 5),
        limited("203.0.113.3@*,shop.example/login", 100),
        limited("203.0.113.4", 5),
        limited("header:user-agent=lax%2F1", 100),
        limited("203.0.113.5", 100),
        limited("header:user-agent=strict%2F1", 5),
        limited("198.51.100.0/24", 5),
        limited("2001:db8:0:77::/64", 5),
        late("203.0.113.7", 1500),
        late("header:user-agent=slow%2F1", 100),
        tagged("203.0.113.8", "wide"),
        tagged("203.0.113.8@*,shop.example/login", "narrow"),
        tagged("203.0.113.8@*,shop.example/**", "middle"),
    ];
    let plan = sidetap_mitigation::plan(
        &wanted,
        &connector.observe(support::wall()).unwrap(),
        &[],
        connector.sees(),
    );
    connector.apply(&plan, support::wall()).unwrap();
    let at = |from: &str, agent: &str| {
        support::ask_at(haproxy.forwarded, from, ("GET", "shop.example", "/login"), agent)
    };
    for (from, agent) in [(1, "x"), (2, "x"), (3, "x"), (4, "lax/1"), (5, "strict/1")] {
        let passed = (0..12).filter(|_| at(&format!("203.0.113.{from}"), agent) == 200).count();
        assert_eq!(passed, 5, "203.0.113.{from} as {agent}: five in a minute");
    }
    let passed = (0..12).filter(|n| at(&format!("2001:db8:0:77::{n:x}:1"), "x") == 200).count();
    assert_eq!(passed, 5, "a network of 64 bits is one client");
    let began = Instant::now();
    assert_eq!(at("203.0.113.7", "slow/1"), 200);
    assert!(began.elapsed() >= Duration::from_millis(1500), "{:?}", began.elapsed());
    let tag = |path: &str| support::body_at(haproxy.forwarded, "203.0.113.8", ("GET", "shop.example", path));
    assert_eq!((tag("/login").as_str(), tag("/x").as_str()), ("tag=narrow", "tag=middle"));
}

/// Many others do not make the script forget whoever goes on.
#[test]
fn a_crowd_lets_nobody_begin_anew() {
    let Some((mut haproxy, _)) = start() else { return };
    let script = std::fs::read_to_string(haproxy.file("sidetap.lua")).unwrap();
    assert!(script.contains("MOST_COUNTED = 20000"));
    std::fs::write(haproxy.file("sidetap.lua"), script.replace("MOST_COUNTED = 20000", "MOST_COUNTED = 8"))
        .unwrap();
    haproxy.restart();
    let agent = "user-agent: limited/1";
    let one = with(verdict("v1", SubjectKind::Header, agent, "rate-limit", 600), rate(2, 600));
    let mut enforcer = Enforcer::with_connectors(vec![Box::new(haproxy.connector(AddressSeen::Forwarded))]);
    let report = enforcer.push(&desired(&[one], &[]), wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(report.connectors[0].outcome, "done", "{report:?}");
    let ask = |from: &str| support::get(haproxy.forwarded, from, &[("User-Agent", "limited/1")]).0;
    assert_eq!([ask("192.0.2.9"), ask("192.0.2.9"), ask("192.0.2.9")], [200, 200, 429]);
    for n in 1..=40 {
        assert_eq!(ask(&format!("2001:db8:0:{n:x}::1")), 200);
        if n % 5 == 0 {
            assert_eq!(ask("192.0.2.9"), 429, "after {n} others");
        }
    }
}

#[test]
fn a_rule_that_changes_its_way_changes_the_device_and_what_cannot_be_told_is_said() {
    let Some((haproxy, connector)) = start() else { return };
    let mut enforcer = Enforcer::with_connectors(vec![Box::new(connector)]);
    let ip = |response: &str| verdict("v1", SubjectKind::Ip, "203.0.113.1", response, 600);
    let mut push = |v: VerdictRow| {
        let want = desired(&[v], &[]);
        let said: Vec<String> = enforcer.plan(&want, wall_ts(), false).connectors[0]
            .weaker
            .iter()
            .map(|w| w.why.clone())
            .collect();
        let report = enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::Enforce));
        assert_eq!(report.connectors[0].outcome, "done", "{report:?}");
        said.join("; ")
    };
    let tagged = || support::get(haproxy.forwarded, "203.0.113.1", &[]).1;
    assert_eq!(push(with(ip("tag"), tag("X-Sidetap-Tag", "a"))), "");
    assert_eq!(tagged(), "tag=a");
    assert_eq!(push(with(ip("tag"), tag("X-Sidetap-Tag", "b"))), "", "no other time, another value");
    assert_eq!(tagged(), "tag=b");
    let said = push(with(ip("tag"), tag("X-Bot", "c")));
    assert!(said.contains("not the rule's X-Bot"), "{said}");
    assert_eq!(tagged(), "tag=c");
    let said = push(with(ip("deceive"), decoy("nowhere")));
    assert!(said.contains("since it has none of the rule's name nowhere"), "{said}");
    assert_eq!(tagged(), "{}", "the decoy that it has, never the application");
}
