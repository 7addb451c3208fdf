//! What rules can say: responses by what a device can, escalation, scope, schedule, subjects, packs.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{campaign, ip, request, traffic, verdict};
use sidetap_model::rows::{CampaignRow, Member, Subject, VerdictRow};
use sidetap_model::{Decoy, Mode, Rate, SubjectKind, Ts};
use sidetap_policy::{
    Around, Attribution, Behind, Campaigns, Device, ExchangeLine, History, Known, PolicySet, Reach, Response,
    Sieve, Simulation, SuggestOptions, TrafficBuilder, Vocabulary, builtin, odd_path, suggested_pack,
};

fn parse(rule: &str) -> PolicySet {
    PolicySet::parse(&format!("version: 1\nrules:\n{rule}"), "p.yaml").unwrap()
}

fn remarks(set: &PolicySet) -> Vec<String> {
    let vocabulary = Vocabulary {
        indicators: vec!["login-failures".into(), "rate-client-outlier".into()],
        classes: vec!["own-class".into()],
        agent_kinds: ["browser", "crawler", "ai-crawler", "ai-agent"].map(str::to_owned).to_vec(),
        network_kinds: ["hosting", "vpn", "tor"].map(str::to_owned).to_vec(),
    };
    set.remarks(Ts::from_parts(1_700_000_000, 0), &vocabulary)
}

fn errors(text: &str) -> Vec<String> {
    PolicySet::parse(text, "p.yaml").unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn built_in_packs_are_valid_and_go_before_the_default() {
    let set = parse(
        "  - id: a\n    when: 'intent == \"malicous\" && phase != \"onlin\" && (\"logn\" in roles || \"login\" in roles)'\n    response: alert\n",
    );
    assert_eq!(
        remarks(&set),
        [
            "p.yaml:4:22: rule `a`: no intent is called `malicous`; did you mean `malicious`?",
            "p.yaml:4:45: rule `a`: no phase is called `onlin`; did you mean `online`?",
            "p.yaml:4:57: rule `a`: no role is called `logn`; did you mean `login`?",
        ]
    );
    for name in builtin::NAMES {
        let set = PolicySet::parse(&format!("version: 1\nextends: {name}\n"), "own.yaml").unwrap();
        assert!(set.list().iter().any(|r| r.id == "benign"), "{name} goes on to the default");
        let first = &set.list()[0];
        assert!(name == "default" || first.id.starts_with(name), "{name}: {}", first.id);
        assert!(set.list().iter().all(|r| !r.description.is_empty()), "{name}");
    }
    let both = PolicySet::parse("version: 1\nextends: [hype-sale, gift-cards]\n", "own.yaml").unwrap();
    assert!(both.revisions().len() == 4 && both.list().iter().any(|r| r.id == "gift-cards.guessing"));
    assert_eq!(
        errors("version: 1\nextends: giftcards\n"),
        ["p.yaml:2:1: there is no pack `giftcards` (did you mean `gift-cards`?)"]
    );
}

#[test]
fn a_rule_says_how_a_response_is_carried_out() {
    let set = parse(
        "  - id: a\n    when: 'true'\n    response: [deceive, tarpit, rate-limit]\n    ttl: 1h\n    rate: 5/1m\n    delay: 3s\n    mode: approve\n    \
         decoy: {status: 409, content_type: text/plain, body: sold out}\n",
    );
    let mut v = verdict("malicious", ip("203.0.113.1"));
    set.decide(&mut v);
    let m = v.measures.unwrap();
    assert_eq!(
        (v.response.as_str(), m.instead.as_slice()),
        ("deceive", &[Response::Tarpit, Response::RateLimit][..])
    );
    assert_eq!(
        (m.rate, m.delay_ms, m.mode),
        (Some(Rate { requests: 5, per_s: 60 }), Some(3000), Some(Mode::Approve))
    );
    assert!(matches!(m.decoy, Some(Decoy::Answer { status: 409, .. })));
    let bad = "version: 1\nrules:\n  - id: a\n    when: 'true'\n    response: [block, rate-limit, block]\n    ttl: 1h\n    rate: fast\n    mode: maybe\n    subjects: [adress]\n    escalate: {within: 1d, steps: [{response: blok}]}\n";
    assert_eq!(
        errors(bad),
        [
            "p.yaml:5:15: `block` stands there twice (the wanted one first, then what a device does that cannot do it)",
            "p.yaml:7:11: `fast` is no rate (requests in a time: 5/1m, 100/1h)",
            "p.yaml:8:11: unknown mode `maybe` (one of dry-run, approve, enforce)",
            "p.yaml:9:15: unknown subject `adress` (did you mean `address`?)",
            "p.yaml:10:15: unknown response `blok` (did you mean `block`?)",
        ]
    );
}

#[test]
fn what_can_never_hold_is_refused_where_it_stands() {
    let rule = |rest: &str| {
        format!("version: 1\nrules:\n  - id: a\n    when: 'true'\n    response: alert\n    {rest}\n")
    };
    let scope = |scope: &str| errors(&rule(&format!("scope: {scope}")));
    assert_eq!(
        scope("{hosts: [a.example], endpoints: [\"POST b.example/login\"]}"),
        [
            "p.yaml:6:12: the scope can never hold: `b.example` is none of its hosts (name the host in `hosts` too, or only the endpoint)"
        ]
    );
    assert_eq!(
        errors(&rule(
            "scope:\n      hosts: [a.example]\n      roles: [logn]\n      channels: [carrier-pigeon]"
        )),
        [
            "p.yaml:8:14: there is no role `logn` (did you mean `login`?)",
            "p.yaml:9:17: there is no channel `carrier-pigeon` (one of web, mobile, api)",
        ]
    );
    assert!(scope(r#"{hosts: ["a.example;\n}"]}"#)[0].contains("is no host"));
    assert!(scope(r#"{endpoints: ["POST a.example/x\r\ny"]}"#)[0].contains("is no endpoint"));
    let fits = "scope: {hosts: ['*.a.example'], endpoints: ['POST www.a.example/x', '* /y'], roles: [login]}";
    assert!(PolicySet::parse(&rule(fits), "p.yaml").is_ok());
    let all = errors(&rule("schedule: {zone: Mars/Olympus, days: [today], dates: [x], from: '25:00'}"));
    assert_eq!(all.len(), 4, "{all:?}");
    assert!(all.iter().all(|e| e.starts_with("p.yaml:6:15: ")), "{all:?}");
    let request = |m: &str| {
        errors(&format!(
            "version: 1\nrequests:\n  - id: a\n    match: {m}\n    response: block\n    ttl: 1h\n"
        ))
        .concat()
    };
    assert!(request("{network: 0.0.0.0/1}").contains("`0.0.0.0/1` is no network"));
    assert!(request(r#"{path: "/x\r\ny"}"#).contains("is no path"));
    for (path, why) in [
        ("/item-{id}", "`item-{id}` is in no path"),
        ("/api*", "`api*` is in no path"),
        ("/api/v*/x", "`v*` is in no path"),
        ("/api/**/x", "what is behind `**` in `/api/**/x` is not compared"),
        ("/login?next=/", "`?next=/` is in no path"),
    ] {
        assert!(odd_path(path).is_some_and(|(said, _)| said == why), "{path}");
    }
    // Packs that name odd ones are read as well: others of their rules hold.
    for path in
        ["/", "/api/**", "/*/items/{id}", "/a b", "/report-{id}.pdf", "/graphql#query.Login", "/login?next="]
    {
        let rule = format!(
            "version: 1\nrequests:\n  - id: a\n    match: {{path: \"{path}\"}}\n    response: block\n    ttl: 1h\n"
        );
        assert!(PolicySet::parse(&rule, "p.yaml").is_ok(), "{path}");
    }
    assert!(request(r#"{header: "a: b\r\nc"}"#).contains("is no header"));
    assert!(request("{country: de}").contains("is no country"));
    for secret in ["api-key: sk_live_0123456789abcdef", "session: 'abcdef#0123'", "account: anna@example.org"]
    {
        let said = request(&format!("{{{secret}}}"));
        let key = secret.split(':').next().unwrap();
        assert!(said.contains(&format!("this {key} is not written as outputs spell it")), "{said}");
        assert!(!said.contains("sk_live") && !said.contains("anna"), "no secret is repeated: {said}");
    }
    let spelled = "version: 1\nrequests:\n  - id: a\n    match: {session: 'abcdef…#0123456789abcdef'}\n    response: block\n    ttl: 1h\n";
    assert!(PolicySet::parse(spelled, "p.yaml").is_ok());
    let guards = errors("version: 1\nguards:\n  min_prefix_v4: 24\n  own_networks: [x]\n");
    assert_eq!(guards, ["p.yaml:4:3: `x` is not an address or network"]);
}

/// Devices write these into heads and lines of theirs.
#[test]
fn what_goes_to_devices_holds_no_control_characters() {
    let rule = |response: &str, rest: &str| {
        format!(
            "version: 1\nrules:\n  - id: a\n    when: 'true'\n    response: {response}\n    ttl: 1h\n    {rest}\n"
        )
    };
    let answer = |kind: &str| {
        errors(&rule("deceive", &format!("decoy: {{content_type: \"{kind}\", body: \"a\\nb\"}}")))
    };
    for kind in ["a\\r\\nSet-Cookie: y=1", "text/plain\\n", "a\\0", "a\\tb", "", " ", "text/plain\\u00e4"] {
        let said = answer(kind);
        assert!(said.len() == 1 && said[0].starts_with("p.yaml:7:12: not a decoy ("), "{kind}: {said:?}");
        assert!(said[0].contains("`content_type` (printable ASCII)"), "{said:?}");
    }
    let good = rule("deceive", "decoy: {content_type: text/plain; charset=utf-8, body: \"a\\nb\"}");
    assert!(PolicySet::parse(&good, "p.yaml").is_ok(), "a body may have lines");
    let backend = errors(&rule("deceive", "decoy: {backend: \"shop\\r\\n\"}"));
    assert!(backend.len() == 1 && backend[0].starts_with("p.yaml:7:12: not a decoy"), "{backend:?}");
    for tag in
        ["name: \"X-A\\r\", value: b", "name: X-A, value: \"b\\r\\nX: y\"", "name: X-A, value: \"\\u007f\""]
    {
        let said = errors(&rule("tag", &format!("tag: {{{tag}}}")));
        assert!(said.len() == 1 && said[0].starts_with("p.yaml:7:10: not a header ("), "{tag}: {said:?}");
    }
}

#[test]
fn slips_in_places_hours_and_guards_are_remarked() {
    let set = parse(
        "  - id: a\n    when: '\"hostng\" in network_kinds'\n    response: alert\n    scope: {hosts: [shop.*.com, \"*.shop.example\"], endpoints: [PSOT /x, POST /y, \"* /z\", /w, get /v]}\n    schedule: {from: \"09:00\", to: \"09:00\"}\nguards: {max_adds_per_minute: 0}\n",
    );
    assert_eq!(
        remarks(&set),
        [
            "p.yaml:4:12: rule `a`: no kind of networks is called `hostng`; did you mean `hosting`?",
            "p.yaml:6:12: rule `a`: no host is called `shop.*.com`; `*` stands in front alone: *.shop.example",
            "p.yaml:6:12: rule `a`: no method is called `PSOT` (`PSOT /x`); did you mean `POST`?",
            "p.yaml:7:15: rule `a`: its schedule is from 09:00:00 to 09:00:00: a whole day",
            "guards: max_adds_per_minute is 0: no device is ever told of anybody",
        ]
    );
    let set = parse("  - id: a\n    when: 'true'\n    response: alert\n    schedule: {days: [mon]}\n");
    assert_eq!(remarks(&set), [""; 0]);
}

#[test]
fn what_is_likely_not_meant_is_remarked() {
    let set = parse(
        "  - id: a\n    when: 'class == \"credential-stufing\" || class in [\"bola\", \"sqly\"]'\n    response: alert\n    schedule: {dates: [2020-01-01]}\n",
    );
    let told = remarks(&set);
    assert_eq!(
        told,
        [
            "p.yaml:4:21: rule `a`: no class is called `credential-stufing`; did you mean `credential-stuffing`?",
            "p.yaml:4:63: rule `a`: no class is called `sqly`; did you mean `sqli`?",
            "p.yaml:6:15: rule `a`: the last date of its schedule is over: it never holds again",
        ]
    );
    let when = "intent == 'malicous' || 'chekout' in roles || channels.exists(c, c == 'mobil') || subject_kind in ['cdir']";
    let set = parse(&format!("  - id: a\n    when: \"{when}\"\n    response: alert\n"));
    assert_eq!(
        remarks(&set),
        [
            "p.yaml:4:22: rule `a`: no intent is called `malicous`; did you mean `malicious`?",
            "p.yaml:4:36: rule `a`: no role is called `chekout`; did you mean `checkout`?",
            "p.yaml:4:82: rule `a`: no channel is called `mobil`; did you mean `mobile`?",
            "p.yaml:4:111: rule `a`: no subject_kind is called `cdir`; did you mean `cidr`?",
        ]
    );
    let when = r#"indicators.exists(i, i == "login-failurs") || agent.kind == "crawlerr" || "OAT-99" in oat || class == "own-class" || ["logn"].exists(x, x in roles)"#;
    let set = parse(&format!("  - id: a\n    when: '{when}'\n    response: alert\n"));
    assert_eq!(
        remarks(&set),
        [
            "p.yaml:4:130: rule `a`: no role is called `logn`; did you mean `login`?",
            "p.yaml:4:38: rule `a`: no indicator is called `login-failurs`; did you mean `login-failures`?",
            "p.yaml:4:72: rule `a`: no kind of agents is called `crawlerr`; did you mean `crawler`?",
            "p.yaml:4:86: rule `a`: no automated threat is called `OAT-99`; did you mean `OAT-009`?",
        ]
    );
    let set = parse(
        "  - id: a\n    when: 'score > 3'\n    response: rate-limit\n    ttl: 1h\n    escalate: {within: 1d, steps: [{response: block}, {response: tarpit}, {ttl: 1d}]}\n",
    );
    assert_eq!(
        remarks(&set),
        [
            "p.yaml:7:15: rule `a`: an escalation to `tarpit` is no stronger than `block`, and is never used: of the step its `ttl` alone counts"
        ]
    );
    for name in builtin::NAMES {
        let set = PolicySet::parse(&format!("version: 1\nextends: {name}\n"), "own.yaml").unwrap();
        assert_eq!(remarks(&set), [""; 0]);
    }
}

#[test]
fn what_never_or_always_holds_is_remarked() {
    for (when, said) in [
        ("score > 100", "p.yaml:4:20: rule `a`: `score` is from 1 to 99: this never holds"),
        (
            "intent == \"malicious\" && 0 <= automation",
            "p.yaml:4:37: rule `a`: `automation` is from 1 to 99: this always holds",
        ),
        (
            "campaign_score == 100",
            "p.yaml:4:30: rule `a`: `campaign_score` is from 0 to 99: this never holds",
        ),
        ("requests < 0", "p.yaml:4:23: rule `a`: `requests` is 0 or more: this never holds"),
        (
            "network == \"AS64496\"",
            "p.yaml:4:23: rule `a`: `network` is a number, which is never equal to a text: 64496, not \"AS64496\"",
        ),
        (
            "network in [64496, \"AS64497\"]",
            "p.yaml:4:31: rule `a`: `network` is a number, which is never equal to a text: 64496, not \"AS64496\"",
        ),
        (
            "country == \"Germany\"",
            "p.yaml:4:23: rule `a`: no country is called `Germany`; two capital letters: DE",
        ),
        (
            "country in [\"DE\", \"at\"]",
            "p.yaml:4:30: rule `a`: no country is called `at`; two capital letters: DE",
        ),
        (
            "client_ip == \"10.0.0.0/8\"",
            "p.yaml:4:25: rule `a`: no `client_ip` is `10.0.0.0/8`: it is one address",
        ),
        (
            "\"2001:DB8::1\" == client_ip",
            "p.yaml:4:12: rule `a`: no `client_ip` is spelled `2001:DB8::1`; write `2001:db8::1`",
        ),
        (
            "agent.verified == \"yes\"",
            "p.yaml:4:30: rule `a`: `agent.verified` is true or false, which is never equal to a text",
        ),
        (
            "agent[\"verified\"] == 1",
            "p.yaml:4:33: rule `a`: `agent.verified` is true or false, which is never equal to a number",
        ),
        ("class == 3", "p.yaml:4:21: rule `a`: `class` is a text, which is never equal to a number"),
        (
            "hosts == \"shop.example\"",
            "p.yaml:4:21: rule `a`: `hosts` is a list, which is never equal to a text",
        ),
    ] {
        let set = parse(&format!("  - id: a\n    when: '{when}'\n    response: alert\n"));
        assert_eq!(remarks(&set), [said], "{when}");
    }
    let good = "score >= 99 && automation != 5 && network == 64496 && country != \"\" && client_ip == \"2001:db8::1\" && agent.verified == true && hosts.exists(score, score == \"x\")";
    let set = parse(&format!("  - id: a\n    when: '{good}'\n    response: alert\n"));
    assert_eq!(remarks(&set), [""; 0]);
}

#[test]
fn what_a_rule_says_for_nothing_is_remarked() {
    let set = parse(
        "  - id: a\n    when: 'true'\n    response: [block, rate-limit]\n    rate: 5/1m\n    delay: 3s\n    decoy: {backend: b}\n    ttl: 1h\n    subjects: []\n    escalate:\n      within: 1d\n      steps: [{response: deceive, ttl: 2h}, {ttl: 30m}]\n",
    );
    assert_eq!(
        remarks(&set),
        [
            "p.yaml:13:14: rule `a`: an escalation to `deceive` is no stronger than `block`, and is never used: of the step its `ttl` alone counts",
            "p.yaml:13:14: rule `a`: a step of 30m is shorter than the 2h before it: who is at it again is let go sooner",
            "p.yaml:7:12: rule `a`: `delay` says how to `tarpit`, which is none of its responses",
            "p.yaml:10:15: rule `a`: no subject is named: it acts on whom the verdict names",
        ]
    );
    let set = parse(
        "  - id: a\n    when: 'true'\n    response: rate-limit\n    rate: 5/1m\n    delay: 3s\n    ttl: 1h\n    escalate: {within: 1d, steps: [{response: tarpit}]}\n",
    );
    assert_eq!(remarks(&set), [""; 0], "a step does it");
}

#[test]
fn who_comes_back_gets_more() {
    let set = parse(
        "  - id: a\n    when: 'true'\n    response: rate-limit\n    ttl: 10m\n    escalate:\n      within: 1d\n      steps: [{response: block, ttl: 1h}, {ttl: 7d}]\n",
    );
    let mut history = History::default();
    let seen = |at: i64, history: &mut History| {
        let mut v = verdict("malicious", ip("203.0.113.1"));
        v.detected_at = Ts::from_parts(1000, 0);
        v.last_seen = Ts::from_parts(at, 0);
        set.decide_in(&mut v, &Around { history: Some(history), ..Around::default() });
        history.record(&v);
        (v.response.clone(), v.ttl_s, v.measures.map_or(0, |m| m.again))
    };
    assert_eq!(seen(1000, &mut history), ("rate-limit".into(), 600, 0));
    assert_eq!(seen(1500, &mut history), ("rate-limit".into(), 600, 0), "still the same time");
    assert_eq!(seen(2000, &mut history), ("block".into(), 3600, 1));
    assert_eq!(seen(2100, &mut history), ("block".into(), 3600, 1));
    assert_eq!(seen(9000, &mut history), ("block".into(), 7 * 86_400, 2));
    assert_eq!(seen(9000 + 8 * 86_400, &mut history).1, 600, "after the time it begins anew");
}

#[test]
fn a_rule_holds_where_and_when_it_says() {
    let set = parse(
        "  - id: sale\n    when: 'true'\n    response: block\n    ttl: 4h\n    scope: {hosts: [shop.example], endpoints: ['POST shop.example/login']}\n    \
         schedule: {zone: '+01:00', from: '01:00', to: '02:00'}\n  - id: rest\n    when: 'true'\n    response: alert\n",
    );
    let mut v = verdict("malicious", ip("203.0.113.1"));
    set.decide(&mut v);
    assert_eq!((v.response.as_str(), v.ttl_s), ("block", 3510), "until the end of the window");
    let scope = v.measures.clone().unwrap().scope;
    assert_eq!(scope.endpoints, ["POST shop.example/login"]);
    v.last_seen = Ts::from_parts(7200, 0);
    set.decide(&mut v);
    assert_eq!(v.policy.as_deref(), Some("rest"), "the hour is over");
    v.last_seen = Ts::from_parts(90, 0);
    v.hosts = vec!["bank.example/login".into()];
    set.decide(&mut v);
    assert_eq!(v.policy.as_deref(), Some("rest"), "another host");
}

#[test]
fn addresses_that_lie_together_become_a_network_where_nobody_good_is() {
    let set = parse(
        "  - id: a\n    when: 'true'\n    response: block\n    ttl: 1h\n    subjects: [verdict, prefix]\n    prefix: {members: 3}\n",
    );
    let mut rows: Vec<_> = (1..=3).map(|n| verdict("malicious", ip(&format!("203.0.113.{n}")))).collect();
    rows.extend((1..=3).map(|n| verdict("malicious", ip(&format!("198.51.100.{n}")))));
    rows.push(verdict("malicious", ip("192.0.2.1")));
    rows.push(verdict("malicious", ip("2001:db8::1")));
    let stored = [request("198.51.100.200", "Browser", "/", &[]), request("10.0.0.1", "Browser", "/", &[])];
    let known = Known { traffic: Some(traffic(&stored)), ..Known::default() };
    set.apply_in(&mut rows, &[], &known);
    let first =
        |n: usize| rows[n].measures.as_ref().and_then(|m| m.subjects.first()).map(|s| s.value.clone());
    assert_eq!(first(0).as_deref(), Some("203.0.113.0/24"));
    assert_eq!(first(3), None, "a good client is in that network");
    assert_eq!(first(6), None, "one address is not three");
    assert_eq!(first(7).as_deref(), Some("2001:db8::/64"), "a host has all of its network");
    let list = sidetap_policy::blocklist(&rows, set.allow()).to_text();
    assert!(
        list.contains("203.0.113.0/24\n")
            && list.contains("198.51.100.1\n")
            && !list.contains("203.0.113.1\n")
    );
    let mut alone = rows.clone();
    set.apply_in(&mut alone, &[], &Known::default());
    assert!(alone[0].measures.is_none(), "without stored traffic nobody knows who else is there");
}

fn line(seq: u32, at: i64, ip: &str, path: &str, print: &str) -> ExchangeLine {
    let seen = request(ip, "Tool", path, &[print]);
    let path = seen.path.clone();
    ExchangeLine { id: format!("x-{seq}"), ts: Ts::from_parts(at, 0), seen, path, later_hop: false, port: 1 }
}

#[test]
fn verdicts_in_parts_are_decided_and_simulated_as_all_at_once() {
    let set = parse(
        "  - id: a\n    when: campaign_size == 1\n    response: block\n    ttl: 1h\n    subjects: [verdict, prefix]\n    prefix: {members: 3}\n",
    );
    let rows: Vec<_> = (1..=40)
        .map(|n| VerdictRow {
            campaign: Some(if n % 9 == 0 { "none" } else { "c" }.into()),
            ..verdict("malicious", ip(&format!("203.0.{}.{n}", n % 5)))
        })
        .collect();
    let member =
        Member { kind: SubjectKind::Ip, value: "203.0.113.1".into(), first_seen: Ts(0), requests: 1 };
    let campaigns = [CampaignRow { members: vec![member], ..campaign("c", "s2-7") }];
    let stored = [request("203.0.2.200", "Browser", "/", &[]), request("203.0.1.1", "B", "/", &["s2-7"])];
    let known = Known { traffic: Some(traffic(&stored)), ..Known::default() };
    let mut whole = rows.clone();
    set.apply_in(&mut whole, &campaigns, &known);
    assert!(whole.iter().any(|v| v.measures.is_some()) && whole.iter().any(|v| v.response != "block"));

    let all: Campaigns = campaigns.into_iter().collect();
    let networks = set.networks_of(&all, &known, |take| {
        rows.chunks(7).for_each(take);
        Ok::<(), ()>(())
    });
    let networks = networks.unwrap();
    let mut parts = rows.clone();
    parts.chunks_mut(7).for_each(|part| drop(set.apply_part(part, &all, &known, &networks)));
    assert_eq!(parts, whole);

    let device = |name: &str, reach| Device { name: name.into(), reach, zones: Vec::new(), delay_ms: 1000 };
    let devices = [device("all", Reach::everything()), device("nets", Reach::addresses(&[Response::Block]))];
    let at = |n: i64| format!("203.0.{}.{}", n % 5, n + n % 2 * 40);
    let lines: Vec<_> = (1..9).map(|n| line(1, 70 + n, &at(n), "/login", "s2-7")).collect();
    let mut sieve = Sieve::default();
    lines.iter().for_each(|l| sieve.add(&l.seen));
    let sieve = Arc::new(sieve);
    let mut once = Simulation::new(&whole, &set, known.traffic.as_ref(), &devices);
    let mut by_parts = Simulation::on(&devices, Some(sieve.clone()));
    let (of_all, mut of_parts) = (Attribution::of(&whole), Attribution::default());
    for v in &parts {
        by_parts.add(v);
        of_parts.add(v, Some(&sieve));
    }
    by_parts.stand(&set, known.traffic.as_ref());
    for line in &lines {
        assert_eq!(of_all.behind(&line.seen), of_parts.behind(&line.seen));
        let (behind, _) = of_all.behind(&line.seen);
        assert_eq!(once.see(line, behind, None), by_parts.see(line, behind, None));
    }
    let report = once.report();
    assert!(report[0].malicious.stopped > 0, "{report:?}");
    assert_eq!(by_parts.report(), report);
}

#[test]
fn a_simulation_tells_what_each_device_would_have_done() {
    let set = parse(
        "  - id: a\n    when: 'true'\n    response: [deceive, block]\n    ttl: 10m\n    subjects: [fingerprint+path, address]\n",
    );
    let mut v = verdict("malicious", ip("203.0.113.1"));
    v.campaign = Some("c".into());
    let campaigns = [campaign("c", "s2-7")];
    let mut rows = [v];
    let known = Known {
        traffic: Some(traffic(&[request("10.0.0.1", "B", "/login", &["s2-8"])])),
        ..Known::default()
    };
    set.apply_in(&mut rows, &campaigns, &known);
    let device = |name: &str, reach| Device { name: name.into(), reach, zones: Vec::new(), delay_ms: 1000 };
    let devices =
        [device("all", Reach::everything()), device("address", Reach::addresses(&[Response::Block]))];
    let mut simulation = Simulation::new(&rows, &set, known.traffic.as_ref(), &devices);
    let attribution = Attribution::of(&rows);
    let mut see = |n, at, ip: &str, path: &str, print: &str| {
        let line = line(n, at, ip, path, print);
        let (behind, _) = attribution.behind(&line.seen);
        simulation.see(&line, behind, Some("credential-stuffing"))
    };
    let early = see(1, 50, "203.0.113.1", "/login", "s2-7");
    assert!(early.iter().flatten().all(|e| e.too_late) && early.iter().flatten().count() == 2);
    let hit = see(2, 70, "203.0.113.1", "/login", "s2-7");
    let hit: Vec<Response> = hit.into_iter().flatten().map(|e| e.response).collect();
    assert_eq!(hit, [Response::Deceive, Response::Block]);
    let other_address = see(3, 80, "203.0.113.2", "/login", "s2-7");
    assert!(other_address[0].is_some() && other_address[1].is_none());
    assert!(see(4, 81, "10.0.0.1", "/login", "s2-8").iter().all(Option::is_none));
    assert!(see(5, 5000, "203.0.113.1", "/login", "s2-7").iter().all(Option::is_none), "over");
    let reports = simulation.report();
    assert_eq!((reports[0].malicious.requests, reports[0].malicious.stopped), (3, 1));
    assert_eq!((reports[0].good.requests, reports[0].good.stopped), (2, 1), "one was of nobody convicted");
    assert_eq!((reports[1].malicious.stopped, reports[1].good.stopped), (1, 0));
    assert_eq!(reports[1].malicious.known_before, 2);
}

#[test]
fn the_smallest_condition_that_tells_a_campaign_from_the_honest_is_suggested() {
    let mut builder = TrafficBuilder::default();
    let campaign_id: Arc<str> = "c".into();
    for n in 0..60 {
        let bad = request(&format!("203.0.{n}.9"), "Browser", "/login", &["s2-7", "a1-1"]);
        builder.add(bad, Behind::Malicious, Some(campaign_id.clone()), 5, Ts(0));
        let honest = request(&format!("10.0.0.{n}"), "Browser", "/login", &["s2-8", "a1-1"]);
        builder.add(honest, Behind::Good, None, 5, Ts(0));
        let elsewhere = request(&format!("10.0.1.{n}"), "Other", "/cart", &["s2-7", "a1-2"]);
        builder.add(elsewhere, Behind::Good, None, 5, Ts(0));
    }
    let stored = builder.build();
    let set = PolicySet::builtin();
    let found = set.suggest(&stored, &campaign("c", "s2-7"), &SuggestOptions::default());
    assert_eq!(found.len(), 1);
    let parts: Vec<(SubjectKind, &str)> =
        found[0].subject.parts.iter().map(|p| (p.kind, p.value.as_str())).collect();
    assert_eq!(parts, [(SubjectKind::Fingerprint, "s2-7"), (SubjectKind::Path, "/login")]);
    let m = &found[0].measured;
    assert_eq!(
        (m.campaign_requests, m.campaign_total, m.honest_requests, m.honest_total),
        (300, 300, 0, 600)
    );
    assert_eq!((m.precision(), m.recall(), found[0].honest_there), (1.0, 1.0, 300));

    let pack = suggested_pack(&found, Mode::Approve);
    let adopted = PolicySet::parse(&pack, "suggested.yaml").unwrap();
    let rows = adopted.standing(Ts(0), Some(&stored));
    assert_eq!((rows[0].response.as_str(), &rows[0].subject), ("block", &found[0].subject));

    let addresses =
        SuggestOptions { reach: Reach::addresses(&[Response::Block]), ..SuggestOptions::default() };
    assert!(
        set.suggest(&stored, &campaign("c", "s2-7"), &addresses).is_empty(),
        "no address is a twentieth of it"
    );
    let none = Subject { kind: SubjectKind::Host, value: "shop.example".into(), parts: Vec::new() };
    assert!(found.iter().all(|s| s.subject != none));
}

/// A pack that allows these.
fn allowing(net: &str) -> PolicySet {
    let pack = format!("version: 1\nextends: default\nallow:\n  - cidr: {net}\n    reason: ours\n");
    PolicySet::parse(&pack, "own.yaml").unwrap()
}

#[test]
fn nothing_is_suggested_against_who_is_on_the_allow_list() {
    let mut builder = TrafficBuilder::default();
    let id: Arc<str> = "c".into();
    for n in 0..60 {
        let own = request(&format!("203.0.{n}.9"), "Tool", "/login", &["s2-7", "a1-1"]);
        builder.add(own, Behind::Malicious, Some(id.clone()), 5, Ts(0));
        let honest = request(&format!("10.0.0.{n}"), "Browser", "/login", &["s2-8", "a1-2"]);
        builder.add(honest, Behind::Good, None, 5, Ts(0));
    }
    let stored = builder.build();
    let suggest = |set: &PolicySet| set.suggest(&stored, &campaign("c", "s2-7"), &SuggestOptions::default());
    assert_eq!(suggest(&PolicySet::builtin()).len(), 1);
    assert_eq!(suggest(&allowing("203.0.0.0/16")), [], "all of it");
    // One of them is enough: what fits him is not cut off from.
    let others = suggest(&allowing("203.0.7.9/32"));
    assert!(
        others.iter().all(|s| s.subject.each_part().iter().all(|p| p.kind != SubjectKind::Fingerprint)),
        "{others:?}"
    );
}

#[test]
fn what_goes_by_the_name_of_a_browser_alone_is_not_adopted() {
    let mode_of = |agent: &str| {
        let mut builder = TrafficBuilder::default();
        for n in 0..60 {
            let bad = request(&format!("203.0.{n}.9"), agent, "/login", &[]);
            builder.add(bad, Behind::Malicious, Some("c".into()), 5, Ts(0));
            let honest = request(&format!("10.0.0.{n}"), "Mozilla/5.0 (of others)", "/login", &[]);
            builder.add(honest, Behind::Good, None, 5, Ts(0));
        }
        let found =
            PolicySet::builtin().suggest(&builder.build(), &campaign("c", ""), &SuggestOptions::default());
        assert_eq!(found.len(), 1, "{agent}: {found:?}");
        let pack = suggested_pack(&found, Mode::Enforce);
        pack.lines().find_map(|l| l.trim().strip_prefix("mode: ")).map(str::to_owned)
    };
    assert_eq!(mode_of("Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0.0.0").as_deref(), Some("approve"));
    assert_eq!(mode_of("hydra/9").as_deref(), Some("enforce"));
}

#[test]
fn a_file_of_an_editor_of_its_own_kind_is_read_or_told() {
    let text = "version: 1\nrules:\n  - id: a\n    when: intent == 'malicious'\n    response: alert\n";
    assert!(PolicySet::parse(&format!("\u{feff}{text}"), "p.yaml").is_ok(), "with a mark of its encoding");
    let told = |text: &str| PolicySet::parse(text, "p.yaml").unwrap_err()[0].to_string();
    let tab = told(&text.replace("    when", "\twhen"));
    assert!(tab.contains(":4:1") && tab.contains("a tab stands here") && tab.contains("spaces"), "{tab}");
    let one = told(&text.replace("==", "="));
    assert!(one.contains("`==`"), "{one}");
}

#[test]
fn what_is_no_file_is_not_read() {
    let dir = std::env::temp_dir().join(format!("sidetap-packs-{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    let told = |path: &std::path::Path| PolicySet::load(path).unwrap_err()[0].to_string();
    assert!(told(std::path::Path::new("/dev/zero")).contains("no regular file"));
    let pipe = dir.join("a.yaml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(told(&pipe).contains("no regular file"));
    assert!(told(&dir).contains("no regular file"), "in a directory too");
    std::fs::remove_file(&pipe).unwrap();
    std::fs::write(&pipe, "# \u{e4}\n".repeat(1 << 20)).unwrap();
    assert!(told(&pipe).contains("larger than 4 MiB"));
    std::fs::remove_dir_all(&dir).unwrap();
}
