//! What policy promises: a response for every class, guards that no rule passes, errors with their place.

#![allow(clippy::unwrap_used)]

use sidetap_model::rows::{CampaignRow, Member, Reason, Subject, VerdictRow};
use sidetap_model::{SubjectKind, Ts};
use sidetap_policy::{Hold, PolicySet, Response};

const CLASSES: [&str; 29] = [
    "credential-stuffing",
    "credential-cracking",
    "ato-transfer-fraud",
    "account-takeover",
    "fake-account-creation",
    "content-scraping",
    "api-scraping",
    "inventory-scraping",
    "price-scraping",
    "ai-crawler",
    "fake-crawler",
    "id-enumeration",
    "giftcard-bruteforce",
    "coupon-abuse",
    "token-cracking",
    "hype-sale-bot",
    "inventory-hoarding",
    "sim-swap-abuse",
    "password-reset-enumeration",
    "otp-abuse",
    "bola",
    "sqli",
    "vuln-scan",
    "directory-bruteforce",
    "app-dos",
    "spam",
    "skewing",
    "carding",
    "cash-out",
];

fn verdict(intent: &str, class: Option<&str>, score: u8) -> VerdictRow {
    let reason = Reason {
        indicator: "login-failures".into(),
        weight: 3.0,
        observed: "40 of 40".into(),
        baseline: "3 %".into(),
        evidence: ["a-1".to_owned()].into(),
    };
    VerdictRow {
        id: "v1".into(),
        zone: "default".into(),
        subject: Subject { kind: SubjectKind::Ip, value: "203.0.113.9".into(), parts: Vec::new() },
        client_ip: "203.0.113.9".parse().ok(),
        client_ips: vec!["203.0.113.9".parse().unwrap()],
        intent: intent.into(),
        class: class.map(str::to_owned),
        oat: vec!["OAT-008".into()],
        score,
        automation: 90,
        coverage: Default::default(),
        campaign: None,
        phase: "online".into(),
        first_seen: Ts(0),
        detected_at: Ts(60_000_000_000),
        last_seen: Ts(90_000_000_000),
        requests: 40,
        reasons: vec![reason],
        response: String::new(),
        ttl_s: 0,
        hosts: vec!["shop.example.test".into()],
        origin: None,
        agent: None,
        policy: None,
        measures: None,
        prints: Vec::new(),
    }
}

#[test]
fn every_class_has_a_response() {
    let set = PolicySet::builtin();
    for class in CLASSES {
        let mut v = verdict("malicious", Some(class), 95);
        let decision = set.decide(&mut v);
        assert_eq!(decision.rule.as_deref(), Some(class));
        assert_eq!(decision.errors, Vec::<String>::new());
        assert_eq!((v.response.as_str(), v.policy.as_deref()), ("block", Some(class)), "{class}");
        assert!(v.ttl_s >= 60, "{class}");
        let mut weak = verdict("malicious", Some(class), 30);
        let weaker = set.decide(&mut weak).response;
        assert!(weaker >= Response::Alert && weaker < Response::Block, "{class}: {weaker}");
        assert_eq!(weaker.acts(), weak.ttl_s > 0, "{class}");
    }
}

#[test]
fn who_is_not_convicted_is_not_touched() {
    let set = PolicySet::builtin();
    for (intent, response) in [("suspicious", "alert"), ("automated", "none"), ("benign", "none")] {
        for class in CLASSES.into_iter().map(Some).chain([None]) {
            let mut v = verdict(intent, class, 99);
            set.decide(&mut v);
            assert_eq!((v.response.as_str(), v.ttl_s), (response, 0), "{intent} {class:?}");
        }
    }
}

#[test]
fn no_rule_passes_the_guards() {
    let text = r#"
version: 1
guards:
  own_networks: [10.0.0.0/8]
  shared_networks: [198.51.100.0/24]
allow:
  - cidr: 192.0.2.0/24
    reason: our office
rules:
  - id: everyone
    when: "true"
    response: block
    ttl: 1h
"#;
    let set = PolicySet::parse(text, "all.yaml").unwrap();
    let held = |kind, value: &str, change: fn(&mut VerdictRow)| {
        let mut v = verdict("malicious", Some("sqli"), 99);
        v.subject = Subject { kind, value: value.into(), parts: Vec::new() };
        v.client_ip = None;
        v.client_ips.clear();
        change(&mut v);
        let decision = set.decide(&mut v);
        (v.response, decision.held.map(|h| h.name()))
    };
    let keep = |_: &mut VerdictRow| {};
    assert_eq!(held(SubjectKind::Ip, "203.0.113.9", keep), ("block".into(), None));
    assert_eq!(held(SubjectKind::Ip, "192.0.2.7", keep), ("none".into(), Some("allow-list")));
    assert_eq!(held(SubjectKind::Cidr, "203.0.0.0/16", keep), ("alert".into(), Some("too-wide")));
    assert_eq!(held(SubjectKind::Cidr, "203.0.113.0/24", keep), ("block".into(), None));
    assert_eq!(held(SubjectKind::Cidr, "2001:db8::/32", keep), ("alert".into(), Some("too-wide")));
    assert_eq!(held(SubjectKind::Ip, "10.1.2.3", keep), ("alert".into(), Some("own-network")));
    assert_eq!(held(SubjectKind::Ip, "198.51.100.3", keep), ("alert".into(), Some("shared-address")));
    assert_eq!(held(SubjectKind::Ip, "127.0.0.1", keep), ("alert".into(), Some("reserved-address")));
    assert_eq!(held(SubjectKind::Session, "#0011223344556677", keep), ("block".into(), None));
    assert_eq!(
        held(SubjectKind::Ip, "203.0.113.9", |v| v.intent = "suspicious".into()),
        ("alert".into(), Some("intent"))
    );
    assert_eq!(
        held(SubjectKind::Ip, "203.0.113.9", |v| v.intent = "benign".into()),
        ("none".into(), Some("intent"))
    );
    assert_eq!(
        held(SubjectKind::Ip, "203.0.113.9", |v| v.reasons.clear()),
        ("alert".into(), Some("no-reasons"))
    );
}

#[test]
fn an_own_pack_goes_before_the_default_and_may_replace_a_rule() {
    let text = r#"
version: 1
extends: default
rules:
  - id: partners-host
    priority: 10
    when: hosts.exists(h, h == "shop.example.test") && class == "sqli"
    response: deceive
    ttl: 10m
  - id: bola
    when: class == "bola"
    response: alert
"#;
    let set = PolicySet::parse(text, "own.yaml").unwrap();
    let mut v = verdict("malicious", Some("sqli"), 99);
    set.decide(&mut v);
    assert_eq!((v.response.as_str(), v.ttl_s, v.policy.as_deref()), ("deceive", 600, Some("partners-host")));
    let mut v = verdict("malicious", Some("bola"), 99);
    set.decide(&mut v);
    assert_eq!((v.response.as_str(), v.policy.as_deref()), ("alert", Some("bola")));
    let mut v = verdict("malicious", Some("carding"), 99);
    set.decide(&mut v);
    assert_eq!(v.policy.as_deref(), Some("carding"));
    assert_eq!(set.list().iter().filter(|r| r.id == "bola").count(), 1);
}

#[test]
fn campaigns_are_facts() {
    let text = "version: 1\nrules:\n  - id: big\n    when: campaign_size > 2 && campaign_requests >= 10 && \"POST a/login\" in endpoints\n    response: alert\n";
    let set = PolicySet::parse(text, "c.yaml").unwrap();
    let member = |n: u8| Member {
        kind: SubjectKind::Ip,
        value: format!("203.0.113.{n}"),
        first_seen: Ts(0),
        requests: 5,
    };
    let campaign = CampaignRow {
        id: "c1".into(),
        class: "credential-stuffing".into(),
        oat: Vec::new(),
        score: 90,
        phase: "online".into(),
        first_seen: Ts(0),
        detected_at: Ts(0),
        last_seen: Ts(0),
        requests: 15,
        endpoints: vec!["POST a/login".into()],
        members: (1..=3).map(member).collect(),
        signature: Default::default(),
        outcome: Default::default(),
        reasons: Vec::new(),
        networks: Default::default(),
        countries: Default::default(),
        timeline: Vec::new(),
    };
    let mut rows = [verdict("malicious", None, 50), verdict("malicious", None, 50)];
    rows[0].campaign = Some("c1".into());
    let decisions = set.apply(&mut rows, &[campaign]);
    let responses: Vec<Response> = decisions.iter().map(|d| d.response).collect();
    assert_eq!(responses, [Response::Alert, Response::None]);
    assert_eq!(decisions.iter().filter_map(|d| d.held.clone()).collect::<Vec<Hold>>(), []);
}

#[test]
fn errors_name_their_place_and_what_was_meant() {
    let show = |text: &str| -> Vec<String> {
        PolicySet::parse(text, "p.yaml").unwrap_err().iter().map(ToString::to_string).collect()
    };
    let rule = |rest: &str| format!("version: 1\nrules:\n  - id: a\n{rest}");
    assert_eq!(
        show(&rule("    wehn: \"true\"\n    response: block\n    ttl: 1h\n")),
        ["p.yaml:4:5: rules[0]: unknown key `wehn` (did you mean `when`?)"]
    );
    assert_eq!(
        show(&rule("    when: 'clas == \"x\"'\n    response: blok\n    ttl: 10 minutes\n")),
        [
            "p.yaml:4:12: unknown field `clas` in the condition (did you mean `class`?)",
            "p.yaml:5:15: unknown response `blok` (did you mean `block`?)",
            "p.yaml:6:10: `10 minutes` is not a duration (write 90s, 10m, 24h or 7d)",
        ]
    );
    assert_eq!(
        show(&rule("    when: score > 5 && automation >\n    response: alert\n"))
            .iter()
            .filter(|e| e.starts_with("p.yaml:4:") && e.contains("does not parse"))
            .count(),
        1
    );
    assert_eq!(
        show(&rule("    when: \"true\"\n    response: block\n")),
        ["p.yaml:3:9: rule `a` acts and has no `ttl` (for example `ttl: 1h`)"]
    );
    assert_eq!(
        show("version: 1\nallow:\n  - ip: 192.0.2\n"),
        ["p.yaml:3:9: `192.0.2` is not an address or network"]
    );
    assert!(show("rules: [").first().unwrap().starts_with("p.yaml:"));
    assert!(show("version: 9\n").first().unwrap().contains("write `version: 1`"));
}

#[test]
fn a_directory_is_read_in_order_and_all_its_errors_told() {
    let dir = std::env::temp_dir().join(format!("sidetap-policy-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let rule = |response: &str| {
        format!("version: 1\nrules:\n  - id: {response}\n    when: \"true\"\n    response: {response}\n")
    };
    std::fs::write(dir.join("b.yaml"), rule("none")).unwrap();
    std::fs::write(dir.join("a.yaml"), rule("alert")).unwrap();
    let ids: Vec<String> = PolicySet::load(&dir).unwrap().list().into_iter().map(|r| r.id).collect();
    assert_eq!(ids, ["alert", "none"]);
    std::fs::write(dir.join("c.yaml"), "colour: red\n").unwrap();
    std::fs::write(dir.join("d.yaml"), "[]\n").unwrap();
    assert_eq!(PolicySet::load(&dir).unwrap_err().len(), 2);
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(PolicySet::load(&dir).unwrap_err().first().unwrap().message.contains("cannot be read"));
}

#[test]
fn a_copy_of_a_built_in_pack_stands_where_the_built_in_one_would() {
    let dir = std::env::temp_dir().join(format!("sidetap-copies-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let ids = || PolicySet::load(&dir).unwrap().list().into_iter().map(|r| r.id).collect::<Vec<_>>();
    let write = |name: &str, extends: &str, rule: &str| {
        let text = format!(
            "version: 1\nextends: {extends}\nrules:\n  - id: {rule}\n    when: \"true\"\n    response: alert\n"
        );
        std::fs::write(dir.join(name), text).unwrap();
    };
    write("scraping.yaml", "default", "mine");
    std::fs::write(dir.join("default.yaml"), include_str!("../packs/default.yaml")).unwrap();
    assert_eq!(ids().first().unwrap(), "mine");
    // The user's version may go on with the built-in one; what is extended comes in the order in which it is named.
    write("default.yaml", "[default, hype-sale]", "theirs");
    let all = ids();
    let at = |id: &str| all.iter().position(|i| i == id).unwrap();
    let order = ["mine", "theirs", "credential-stuffing", "hype-sale.bot"].map(at);
    assert!(order.is_sorted(), "{order:?}");
    // Two that extend each other are read in the order of their names.
    write("default.yaml", "scraping", "theirs");
    assert_eq!(ids().into_iter().take(2).collect::<Vec<_>>(), ["theirs", "mine"]);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn the_documentation_names_every_field_and_its_packs_are_valid() {
    let text = include_str!("../../../docs/policy.md");
    for field in sidetap_policy::FIELDS {
        let row = format!("| `{}` | {} | {} |", field.name, field.kind, field.description);
        assert!(text.contains(&row), "{row}");
    }
    let packs: Vec<&str> = text.split("```yaml\n").skip(1).filter_map(|t| t.split("```").next()).collect();
    assert!(packs.len() >= 2);
    for pack in packs {
        PolicySet::parse(pack.trim_end(), "docs/policy.md").unwrap();
    }
}
