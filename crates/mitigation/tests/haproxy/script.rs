//! What HAProxy's script compares: fingerprints, sessions, keys, values of headers, places; and what it asks of a browser.

use std::net::SocketAddr;
use std::time::Duration;

use sidetap_mitigation::{AddressSeen, Enforcer, Mode, PushOptions, Selector};
use sidetap_model::SubjectKind;

use crate::support::{self, desired, verdict, wall_ts};
use crate::{HASH_KEY, Haproxy};

/// `a1` of an agent and its languages, as docs/fingerprints.md has it.
fn agent_print(agent: &str, language: &str) -> String {
    let mut h: u64 = 0xcbf2_9ce4_8422_2325;
    for part in [agent, language] {
        for b in part.bytes().chain([0xff]) {
            h = (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    h = (h ^ (h >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    format!("a1-{:016x}", h ^ (h >> 33))
}

#[test]
fn a_fingerprint_is_computed_at_the_door() {
    let Some(haproxy) = Haproxy::start() else { return };
    let mut enforcer = Enforcer::with_connectors(vec![Box::new(haproxy.connector(AddressSeen::Forwarded))]);
    let part = |kind, value: &str| sidetap_model::rows::SubjectPart { kind, value: value.into() };
    let print = agent_print("python-requests/2.32", "de");
    let mut at = verdict("v1", SubjectKind::Compound, "x", "block", 600);
    at.subject.parts = vec![part(SubjectKind::Ip, "203.0.113.9"), part(SubjectKind::Fingerprint, &print)];
    let anywhere = verdict("v2", SubjectKind::Fingerprint, &agent_print("evil/1", ""), "block", 600);
    let report = enforcer.push(&desired(&[at, anywhere], &[]), wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(
        (report.connectors[0].outcome.as_str(), report.connectors[0].added),
        ("done", 2),
        "{report:?}"
    );
    let ask = |from: &str, agent: &str, language: &str| {
        support::get(haproxy.forwarded, from, &[("User-Agent", agent), ("Accept-Language", language)]).0
    };
    assert_eq!(ask("203.0.113.9", "python-requests/2.32", "de"), 403);
    assert_eq!(ask("203.0.113.9", "Mozilla/5.0", "de"), 200, "his neighbour behind the same address");
    assert_eq!(ask("203.0.113.10", "python-requests/2.32", "de"), 200, "the same agent elsewhere");
    let evil = |from: &str| support::get(haproxy.forwarded, from, &[("User-Agent", "evil/1")]).0;
    assert_eq!((evil("203.0.113.10"), evil("198.51.100.1")), (403, 403));
    assert_eq!(support::get(haproxy.forwarded, "198.51.100.1", &[]).0, 200, "no agent at all");
    assert_eq!(ask("203.0.113.9", &"x".repeat(5000), "de"), 200, "fails open");

    // What `sidetap replay` says of this head.
    let head = verdict("v3", SubjectKind::Fingerprint, "d1-6649267bceab189e", "block", 600);
    enforcer.push(&desired(&[head], &[]), wall_ts(), &PushOptions::new(Mode::Enforce));
    let ask = |names: [&str; 3], agent: &str| {
        let [accept, language, odd] = names;
        let fields = [("User-Agent", agent), (accept, "*/*"), (language, "de"), (odd, "1")];
        support::get(haproxy.forwarded, "198.51.100.1", &fields).0
    };
    assert_eq!(ask(["Accept", "Accept-Language", "X-Odd"], "any/1"), 403);
    assert_eq!(ask(["accept", "accept-language", "x-odd"], "any/2"), 403, "whatever its letter case");
    assert_eq!(ask(["Accept", "X-Odd", "Accept-Language"], "any/1"), 200, "another order");
}

/// A subject of several parts.
fn compound(id: &str, parts: &[(SubjectKind, &str)], response: &str) -> sidetap_model::rows::VerdictRow {
    let part = |(kind, value): &(SubjectKind, &str)| sidetap_model::rows::SubjectPart {
        kind: *kind,
        value: (*value).to_owned(),
    };
    let mut v = verdict(id, SubjectKind::Ip, "x", response, 600);
    v.subject = sidetap_model::rows::Subject::of_parts(parts.iter().map(part).collect());
    v
}

#[test]
fn sessions_keys_and_headers_are_compared_without_being_told() {
    let Some(haproxy) = Haproxy::start() else { return };
    let mut enforcer = Enforcer::with_connectors(vec![Box::new(haproxy.connector(AddressSeen::Forwarded))]);
    let key = sidetap_model::HashKey::from_bytes(HASH_KEY);
    let hash = |domain: &str, value: &str| format!("#{:016x}", key.hash64(domain, value.as_bytes()));
    let signature = "c2lnbmF0dXJlLW9mLWEtand0";
    let verdicts = [
        verdict("v1", SubjectKind::Session, &hash("session", "s3ss10n-of-the-bot"), "block", 600),
        verdict("v2", SubjectKind::ApiKey, &hash("api-key", "sk_live_0123456789"), "deceive", 600),
        verdict("v3", SubjectKind::Session, &hash("session", signature), "block", 600),
        verdict("v6", SubjectKind::Session, &hash("session", "s:s3ss10n/of+the=bot\u{e9}"), "block", 600),
        verdict("v4", SubjectKind::Header, "user-agent: evil tool/1.0 (ä)", "tag", 600),
        compound(
            "v5",
            &[
                (SubjectKind::Ip, "203.0.113.9"),
                (SubjectKind::Session, &hash("session", "shared-kiosk-session")),
            ],
            "block",
        ),
    ];
    let report = enforcer.push(&desired(&verdicts, &[]), wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(
        (report.connectors[0].outcome.as_str(), report.connectors[0].added),
        ("done", 6),
        "{report:?}"
    );
    let ask = |from: &str, headers: &[(&str, &str)]| support::get(haproxy.forwarded, from, headers);
    let cookie = |from: &str, value: &str| ask(from, &[("Cookie", value)]).0;
    assert_eq!(cookie("198.51.100.1", "lang=de; JSESSIONID=s3ss10n-of-the-bot"), 403);
    assert_eq!(cookie("198.51.100.1", "lang=de; JSESSIONID=s3ss10n-of-another"), 200);
    for value in support::spellings::ESCAPED {
        assert_eq!(cookie("198.51.100.1", &format!("sid={value}")), 403, "{value}");
    }
    let padded: String = (0..100).map(|n| format!("pad{n}=padding-of-the-head-{n}; ")).collect();
    assert_eq!(
        cookie("198.51.100.1", &format!("{padded}JSESSIONID=s3ss10n-of-the-bot")),
        403,
        "padding hides nothing"
    );
    for (name, value) in support::endless(15_000) {
        assert_eq!(ask("198.51.100.1", &[(name, &value)]).0, 200, "{name} takes nobody down");
    }
    for byte in [0x80, 0xff] {
        let status = support::odd_bytes(haproxy.forwarded, "Cookie", byte, 15_000);
        assert_eq!(status, 200, "bytes {byte:#x} are no text");
    }
    assert_eq!(ask("198.51.100.1", &[("X-Api-Key", "sk_live_0123456789")]), (200, "{}".into()), "a decoy");
    assert_eq!(ask("198.51.100.1", &[("Authorization", "ApiKey sk_live_0123456789")]).1, "{}");
    assert_eq!(ask("198.51.100.1", &[("X-Api-Key", "sk_live_0123456780")]).1, "app");
    let (key, junk) = (("X-Api-Key", "sk_live_0123456789"), ("X-Api-Key", "sk_live_junkjunkj"));
    assert_eq!(ask("198.51.100.1", &[key, junk]).1, "{}", "another key behind it hides nothing");
    assert_eq!(ask("198.51.100.1", &[junk, key]).1, "{}");
    let cookies: String = (0..150).map(|n| format!("c{n}=junk-cookie-{n}; ")).collect();
    assert_eq!(ask("198.51.100.1", &[("Cookie", &cookies), key]).1, "{}", "nor do cookies");
    assert_eq!(cookie("198.51.100.1", &format!("{cookies}JSESSIONID=s3ss10n-of-the-bot")), 403);
    let more = format!("{cookies}{}", cookies.replace('c', "d"));
    assert_eq!(cookie("198.51.100.1", &format!("{more}JSESSIONID=s3ss10n-of-the-bot")), 400, "no browser's");
    let flags = "flag=1; ".repeat(1_000);
    assert_eq!(cookie("198.51.100.1", &flags), 200, "short ones are no sessions");
    let query =
        |path: &str| support::body_at(haproxy.forwarded, "198.51.100.1", ("GET", "shop.example", path));
    assert_eq!(query("/?a=junkjunkjunk&api_key=sk_live_0123456789&b=1"), "{}");
    let junk = "a=junkjunkjunk&".repeat(500);
    assert_eq!(query(&format!("/?{junk}key=sk_live_0123456789")), "{}", "nor do other parameters");
    for query_of in support::spellings::ESCAPED_KEYS {
        assert_eq!(query(&format!("/?a=%2525&{query_of}&b=%6b")), "{}", "{query_of}");
    }
    assert_eq!(query("/?api_key=sk_live_0123456780"), "app");
    let many = "xkey=junkjunkjunk&".repeat(200);
    assert_ne!(query(&format!("/?{many}api_key=sk_live_0123456789")), "app", "nobody sends so many keys");
    assert_eq!(ask("198.51.100.1", &[("X-Installation-Id", "s3ss10n-of-the-bot")]).0, 403, "a device's id");
    let bearer = |token: &str| ask("198.51.100.1", &[("Authorization", &format!("Bearer {token}"))]).0;
    assert_eq!(bearer(&format!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{signature}")), 403);
    assert_eq!(bearer("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLW9mLWFub3RoZXI"), 200);
    assert_eq!(ask("198.51.100.1", &[("User-Agent", "evil tool/1.0 (ä)")]).0, 200);
    assert_eq!(cookie("203.0.113.9", "sid=shared-kiosk-session"), 403);
    assert_eq!(
        cookie("203.0.113.10", "sid=shared-kiosk-session"),
        200,
        "another address with the same session"
    );
    let shown = haproxy.runtime(&format!("show map {}", haproxy.file("keys.map").display()));
    assert!(!shown.contains("s3ss10n") && !shown.contains("sk_live"), "no secret on the device: {shown}");
}

#[test]
fn a_response_holds_at_its_hosts_and_endpoints_only() {
    let Some(mut haproxy) = Haproxy::start() else { return };
    let mut enforcer = Enforcer::with_connectors(vec![Box::new(haproxy.connector(AddressSeen::Forwarded))]);
    let scoped = |id: &str, kind, value: &str, hosts: &[&str], endpoints: &[&str]| {
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        let scope = sidetap_model::Scope {
            hosts: own(hosts),
            endpoints: own(endpoints),
            ..sidetap_model::Scope::default()
        };
        let measures = sidetap_model::Measures { scope, ..sidetap_model::Measures::default() };
        let mut v = verdict(id, kind, value, "block", 600);
        v.measures = Some(Box::new(measures));
        v
    };
    let verdicts = [
        scoped(
            "v1",
            SubjectKind::Ip,
            "203.0.113.9",
            &["*.shop.example"],
            &["POST /login", "/api/v1/orders/{id}"],
        ),
        scoped("v2", SubjectKind::Cidr, "198.51.100.0/24", &["shop.example"], &[]),
        scoped("v3", SubjectKind::Fingerprint, &agent_print("evil/1", ""), &[], &["www.shop.example/login"]),
    ];
    let want = desired(&verdicts, &[]);
    let report = enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(
        (report.connectors[0].outcome.as_str(), report.connectors[0].added),
        ("done", 4),
        "{report:?}"
    );
    let check = |to: SocketAddr| {
        let at = |from: &str, method: &str, host: &str, path: &str| {
            support::ask_at(to, from, (method, host, path), "x")
        };
        assert_eq!(at("203.0.113.9", "POST", "www.shop.example", "/login?x=1"), 403);
        assert_eq!(
            at("203.0.113.9", "POST", "WWW.shop.example:8080", "/./%6cogin"),
            403,
            "the same in other words"
        );
        assert_eq!(at("203.0.113.9", "GET", "www.shop.example", "/login"), 200);
        assert_eq!(
            at("203.0.113.9", "POST", "shop.example", "/login"),
            200,
            "the host itself is not below it"
        );
        assert_eq!(at("203.0.113.9", "GET", "a.shop.example", "/api/v1/orders/77"), 403);
        assert_eq!(at("203.0.113.9", "GET", "a.shop.example", "/api/v1/orders/77/items"), 200);
        assert_eq!(at("203.0.113.10", "POST", "www.shop.example", "/login"), 200, "somebody else");
        assert_eq!(at("198.51.100.77", "GET", "shop.example", "/any/where"), 403);
        assert_eq!(at("198.51.100.77", "GET", "www.shop.example", "/any/where"), 200);
        let evil = |path: &str| support::ask_at(to, "192.0.2.1", ("GET", "www.shop.example", path), "evil/1");
        assert_eq!((evil("/login"), evil("/other")), (403, 200));
    };
    check(haproxy.forwarded);
    let again = enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(again.connectors[0].outcome, "unchanged", "{again:?}");
    haproxy.runtime(&format!("clear map {}", haproxy.file("places.map").display()));
    assert_eq!(
        support::ask_at(haproxy.forwarded, "203.0.113.9", ("POST", "www.shop.example", "/login"), "x"),
        200
    );
    let repaired = enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(repaired.connectors[0].outcome, "done", "a map that was emptied is noticed: {repaired:?}");
    check(haproxy.forwarded);
    haproxy.restart();
    enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::Enforce));
    check(haproxy.forwarded);
    enforcer.undo(&Selector::All, wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(
        support::ask_at(haproxy.forwarded, "203.0.113.9", ("POST", "www.shop.example", "/login"), "x"),
        200
    );
}

#[test]
fn late_answers_and_challenges() {
    let Some(haproxy) = Haproxy::start() else { return };
    let mut enforcer = Enforcer::with_connectors(vec![Box::new(haproxy.connector(AddressSeen::Forwarded))]);
    let verdicts = [
        verdict("v1", SubjectKind::Ip, "203.0.113.9", "tarpit", 600),
        verdict("v2", SubjectKind::Ip, "203.0.113.11", "challenge", 600),
        verdict("v3", SubjectKind::Fingerprint, &agent_print("evil/1", ""), "challenge", 600),
    ];
    let report = enforcer.push(&desired(&verdicts, &[]), wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(
        (report.connectors[0].outcome.as_str(), report.connectors[0].added),
        ("done", 3),
        "{report:?}"
    );
    let ask = |from: &str, headers: &[(&str, &str)]| support::get(haproxy.forwarded, from, headers);
    let start = std::time::Instant::now();
    assert_eq!(ask("203.0.113.9", &[]), (200, "app".into()), "late, and by the application");
    assert!(start.elapsed() >= Duration::from_millis(700), "{:?}", start.elapsed());
    let agent = ("User-Agent", "browser/1");
    let (status, page) = ask("203.0.113.11", &[agent]);
    assert_eq!(status, 403);
    let turned = page.split('"').find(|p| p.len() == 16 && p.bytes().all(|b| b.is_ascii_hexdigit())).unwrap();
    let token: String = turned.chars().rev().collect();
    let with = |from: &str, token: &str, agent: (&str, &str)| {
        ask(from, &[agent, ("Cookie", &format!("a=b; st_pass={token}"))]).0
    };
    assert_eq!(with("203.0.113.11", &token, agent), 200, "a browser goes on");
    assert_eq!(with("203.0.113.11", turned, agent), 403, "who copies the page does not");
    assert_eq!(with("203.0.113.11", &token, ("User-Agent", "other/1")), 403, "a pass is not handed on");
    assert_eq!(ask("198.51.100.1", &[("User-Agent", "evil/1")]).0, 403, "a fingerprint is asked too");
    assert_eq!(ask("198.51.100.1", &[agent]).0, 200);
}
