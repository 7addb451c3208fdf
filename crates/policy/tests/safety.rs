//! What guards hold, with a clear reason: allow-listed addresses, offices, more than the capped share of good traffic, half the Internet.

#![allow(clippy::unwrap_used)]

mod common;

use common::{campaign, ip, request, traffic, verdict};
use sidetap_model::rows::{CampaignRow, IdentityRow, Subject, SubjectPart};
use sidetap_model::{SubjectKind, Ts};
use sidetap_policy::{
    AllowEntry, AllowKind, AllowList, Around, Attribution, Behind, CapHit, Caps, Change, Hold, PolicySet,
    Reach, Response, Seen, SuggestOptions, TrafficBuilder,
};

fn everyone(subjects: &str) -> PolicySet {
    let text = format!(
        "version: 1\nrules:\n  - id: everyone\n    when: 'true'\n    response: block\n    ttl: 1h\n    subjects: {subjects}\n"
    );
    PolicySet::parse(&text, "p.yaml").unwrap()
}

#[test]
fn an_allowed_address_is_held_in_every_form_it_can_take() {
    let entry =
        |kind, value: &str| AllowEntry { kind, value: value.into(), reason: Some("the office".into()) };
    let allow = AllowList::new(vec![
        entry(AllowKind::Cidr, "203.0.113.0/28"),
        entry(AllowKind::Header, "user-agent: probe/1.0"),
    ]);
    let set = everyone("[verdict]").with_allow(&allow.unwrap());
    for subject in [
        ip("203.0.113.9"),
        Subject { kind: SubjectKind::Cidr, value: "203.0.113.0/24".into(), parts: Vec::new() },
        Subject::of_parts(vec![
            SubjectPart { kind: SubjectKind::Ip, value: "203.0.113.9".into() },
            SubjectPart { kind: SubjectKind::Fingerprint, value: "s2-1".into() },
        ]),
        Subject { kind: SubjectKind::Header, value: "user-agent: probe/1.0".into(), parts: Vec::new() },
    ] {
        let mut v = verdict("malicious", subject);
        v.client_ip = None;
        v.client_ips.clear();
        let decision = set.decide(&mut v);
        assert_eq!(decision.held, Some(Hold::Allowed { entry: "the office".into() }), "{:?}", v.subject);
        assert_eq!(v.response, "none");
    }
}

#[test]
fn an_office_behind_one_address_is_never_blocked_whole() {
    let requests: Vec<_> =
        (0..8).map(|n| request("198.51.100.7", &format!("Agent/{n}"), "/", &["s2-9"])).collect();
    let mut stored = requests;
    stored.extend(
        (0..20_000).map(|n| request(&format!("10.{}.{}.1", n / 250, n % 250), "Browser", "/", &["s2-8"])),
    );
    let good = traffic(&stored);
    let around = Around { traffic: Some(&good), ..Around::default() };
    let mut v = verdict("malicious", ip("198.51.100.7"));
    let held = everyone("[address]").decide_in(&mut v, &around);
    assert_eq!((held.response, held.held), (Response::Alert, Some(Hold::Shared)));
    assert_eq!(v.policy.as_deref(), Some("guard:shared-address"));
    let mut v = verdict("malicious", ip("203.0.113.1"));
    assert_eq!(everyone("[address]").decide_in(&mut v, &around).response, Response::Block);

    let compound = Subject::of_parts(vec![
        SubjectPart { kind: SubjectKind::Ip, value: "198.51.100.7".into() },
        SubjectPart { kind: SubjectKind::Fingerprint, value: "s2-7".into() },
    ]);
    let mut v = verdict("malicious", compound.clone());
    let narrowed = everyone("[address, verdict]").decide_in(&mut v, &around);
    assert_eq!(narrowed.response, Response::Block);
    assert_eq!(narrowed.notes, ["not address: shared-address"]);
    assert!(narrowed.measures.subjects.is_empty(), "the verdict's own subject, and nothing wider");
}

#[test]
fn what_reaches_beyond_the_verdict_is_measured_or_not_done() {
    let fingerprint = "[fingerprint+path]";
    let mut v = verdict("malicious", ip("203.0.113.1"));
    v.campaign = Some("c".into());
    let campaign = campaign("c", "s2-7");
    let around = Around { campaign: Some(&campaign), ..Around::default() };
    let held = everyone(fingerprint).decide_in(&mut v, &around);
    assert_eq!((held.response, held.held), (Response::Alert, Some(Hold::Unmeasured)));

    let stored: Vec<_> = (0..1000)
        .map(|n| request(&format!("10.1.{}.{}", n / 250, n % 250), "Browser", "/login", &["s2-8"]))
        .collect();
    let clean = traffic(&stored);
    let done = everyone(fingerprint).decide_in(&mut v, &Around { traffic: Some(&clean), ..around });
    assert_eq!((done.response, done.measures.good_ppm), (Response::Block, Some(0)));
    assert_eq!(v.measures.unwrap().subjects.len(), 1);

    let mut stored = stored;
    stored.push(request("10.9.9.9", "Browser", "/login", &["s2-7"]));
    let shared = traffic(&stored);
    let mut v = verdict("malicious", ip("203.0.113.1"));
    let held = everyone(fingerprint).decide_in(&mut v, &Around { traffic: Some(&shared), ..around });
    assert_eq!((held.response, held.held), (Response::Alert, Some(Hold::GoodTraffic { ppm: 999 })));
}

#[test]
fn each_device_gets_the_fingerprint_that_it_computes_where_that_hits_nobody() {
    let mut v = verdict("malicious", ip("203.0.113.1"));
    v.prints = ["s2-7", "d1-7", "a1-7"].map(str::to_owned).to_vec();
    let good =
        |n: u32, prints: &[&str]| request(&format!("10.1.{}.{}", n / 250, n % 250), "Browser", "/", prints);
    let reach = |prints: &[&str]| Reach {
        kinds: vec![SubjectKind::Fingerprint],
        prints: prints.iter().map(|p| (*p).to_owned()).collect(),
        ..Reach::addresses(&[Response::Block])
    };
    let chosen = |stored: &[Seen]| {
        let stored = traffic(stored);
        let mut v = v.clone();
        everyone("[fingerprint]").decide_in(&mut v, &Around { traffic: Some(&stored), ..Around::default() });
        let told = |prints: &[&str]| reach(prints).choose(&v).ok().map(|c| c.subject.value);
        [told(&["a1"]), told(&["s2"]), told(&["d1", "s2"])]
    };
    let at = |p: &str| Some(p.to_owned());
    let clean: Vec<Seen> = (0..1000).map(|n| good(n, &["s2-8", "d1-8", "a1-8"])).collect();
    assert_eq!(chosen(&clean), [at("a1-7"), at("s2-7"), at("d1-7")]);
    let mut shared = clean.clone();
    shared.push(good(1000, &["s2-8", "d1-8", "a1-7"]));
    assert_eq!(chosen(&shared), [None, at("s2-7"), at("d1-7")], "an agent that people have too");
    let old: Vec<Seen> = (0..1000).map(|n| good(n, &["s2-8", "a1-8"])).collect();
    assert_eq!(chosen(&old), [at("a1-7"), at("s2-7"), at("s2-7")], "what was not taken then says nothing");
}

#[test]
fn a_tool_whose_first_page_has_another_head_is_known_by_that_of_its_attack() {
    let campaign = campaign("c", "s2-7");
    let by_tool = |own: &[&Seen], campaign: Option<&CampaignRow>| {
        let mut v = verdict("malicious", ip("203.0.113.1"));
        v.campaign = Some("c".into());
        v.prints = vec!["s2-7".into()];
        let good = (0..1000)
            .map(|n| request(&format!("10.1.{}.{}", n / 250, n % 250), "Browser", "/login", &["s2-8"]));
        let mut builder = TrafficBuilder::default();
        good.for_each(|r| builder.add(r, Behind::Good, None, 1, Ts(0)));
        own.iter().for_each(|r| builder.add((*r).clone(), Behind::Malicious, None, 1, Ts(0)));
        let stored = builder.build();
        let around = Around { campaign, traffic: Some(&stored), ..Around::default() };
        everyone("[fingerprint, verdict]").decide_in(&mut v, &around);
        v.measures.unwrap_or_default().subjects.first().is_some_and(|s| s.kind == SubjectKind::Fingerprint)
    };
    let asked = |path: &str, print: &str| request("203.0.113.1", "Browser", path, &[print]);
    let [login, cart, other] = [asked("/login", "s2-7"), asked("/cart", "s2-9"), asked("/login", "s2-9")];
    let page = Seen { method: "GET".into(), ..other.clone() };
    let (known, unknown) = (Some(&campaign), None);
    for campaign in [known, unknown] {
        assert!(by_tool(&[&page, &login], campaign), "a page, then the log-in");
        assert!(!by_tool(&[&page, &login, &other], campaign), "half of its log-ins have another head");
        assert!(!by_tool(&[&page, &page, &page, &login], campaign), "most that it does has another head");
    }
    assert!(by_tool(&[&cart, &login], known), "the campaign is about log-ins");
    assert!(!by_tool(&[&cart, &login], unknown), "nobody knows what it is about");
    let pages = [&login; 9].into_iter().chain([&other]).collect::<Vec<_>>();
    assert!(by_tool(&pages, unknown), "nine of ten in all are enough");
}

#[test]
fn what_is_acted_against_is_no_measure_of_itself() {
    let mut v = verdict("malicious", ip("203.0.113.1"));
    v.prints = vec!["s2-7".into()];
    let clean =
        traffic(&(0..250).map(|n| request(&format!("10.1.0.{n}"), "B", "/", &["s2-8"])).collect::<Vec<_>>());
    everyone("[fingerprint]").decide_in(&mut v, &Around { traffic: Some(&clean), ..Around::default() });
    assert_eq!(v.response, "block");
    // The next address of the tool is refused by the device, so nothing convicts it.
    let next = request("198.51.100.9", "B", "/", &["s2-7"]);
    assert_eq!(Attribution::of(&[v.clone()]).behind(&next).0, Behind::Good);
    assert_eq!(Attribution::of_decided(&[v.clone()]).behind(&next).0, Behind::Suspicious);
    v.response = "alert".into();
    assert_eq!(Attribution::of_decided(&[v]).behind(&next).0, Behind::Good, "only what a device is told of");
}

#[test]
fn known_parties_and_verified_crawlers_are_told_of_and_not_blocked() {
    let set = everyone("[verdict]");
    let of = |agent: IdentityRow| {
        let mut v = verdict("malicious", ip("203.0.113.1"));
        v.agent = Some(agent);
        set.decide(&mut v).held.map(|h| h.name())
    };
    let text = |t: &str| Some(t.to_owned());
    let crawler = |verified| IdentityRow {
        kind: "crawler".into(),
        operator: text("Google"),
        verified,
        ..IdentityRow::default()
    };
    assert_eq!(of(crawler(Some(true))), Some("known-party"));
    assert_eq!(of(crawler(Some(false))), None, "a refuted claim protects nobody");
    assert_eq!(of(crawler(None)), None, "nor does a claim");
    let partner = IdentityRow { party: text("acme"), ..IdentityRow::default() };
    assert_eq!(of(partner), Some("known-party"));
    let training = IdentityRow { kind: "ai-crawler".into(), ..crawler(Some(true)) };
    assert_eq!(of(training), None, "crawlers of AIs are for the site's own rules");
}

#[test]
fn caps_hold_what_is_too_much_at_once() {
    let caps = Caps::default();
    let subjects: Vec<Subject> = (0..300).map(|n| ip(&format!("10.0.{}.{}", n / 250, n % 250))).collect();
    let change = |held, added_lately, adds| Change { held, added_lately, adds, all: adds };
    assert_eq!(caps.check(&change(0, 0, &subjects), None), Ok(()));
    let hit = caps.check(&change(0, 9_900, &subjects), None).unwrap_err();
    assert_eq!(hit, CapHit::Adds { adds: 300, room: 100 });
    assert!(hit.to_string().contains("max_adds_per_minute"));
    let slow = Caps { growth_ppm: 1_000_000, ..caps };
    let hit = slow.check(&change(200, 0, &subjects), None).unwrap_err();
    assert_eq!(hit, CapHit::Growth { held: 200, after: 500 });
    assert_eq!(slow.check(&change(50, 0, &subjects), None), Ok(()), "a small list may grow");

    let half = [Subject { kind: SubjectKind::Cidr, value: "128.0.0.0/1".into(), parts: Vec::new() }];
    let hit = caps.check(&change(0, 0, &half), None).unwrap_err();
    assert!(hit.to_string().starts_with("the entries cover 2147483648 IPv4 addresses"), "{hit}");
    let many: Vec<Subject> = (0..5000)
        .map(|n| Subject {
            kind: SubjectKind::Cidr,
            value: format!("{}.{}.{}.0/24", 11 + n / 65_536, n / 256 % 256, n % 256),
            parts: Vec::new(),
        })
        .collect();
    assert!(matches!(caps.check(&change(0, 0, &many), None), Err(CapHit::Addresses { .. })), "nor in pieces");

    let stored: Vec<_> = (0..1000)
        .map(|n| request(&format!("10.0.{}.{}", n / 250, n % 250), "Browser", "/", &["s2-8"]))
        .collect();
    let hit = caps.check(&change(0, 0, &subjects), Some(&traffic(&stored))).unwrap_err();
    assert_eq!(hit, CapHit::GoodTraffic { hit: 300, of: 1000 });
    assert!(hit.to_string().contains("300 of 1000 recent good requests would be hit (30.00 %)"), "{hit}");
    assert_eq!(caps.check(&change(0, 0, &subjects[..1]), Some(&traffic(&stored))), Ok(()));
}

#[test]
fn a_rule_over_requests_is_held_as_verdicts_are() {
    let text = "version: 1\nrequests:\n  - id: r\n    match: {fingerprint: s2-7, path: /login}\n    response: block\n    ttl: 1h\n";
    let set = PolicySet::parse(text, "r.yaml").unwrap();
    let of = |t: Option<&sidetap_policy::Traffic>| {
        let rows = set.standing(Default::default(), t);
        (rows[0].response.clone(), rows[0].policy.clone().unwrap())
    };
    assert_eq!(of(None), ("alert".into(), "guard:unmeasured".into()));
    let clean = traffic(&[request("10.0.0.1", "Browser", "/login", &["s2-8"])]);
    assert_eq!(of(Some(&clean)), ("block".into(), "r".into()));
    let hit = traffic(&[request("10.0.0.1", "Browser", "/login", &["s2-7"])]);
    assert_eq!(of(Some(&hit)), ("alert".into(), "guard:good-traffic".into()));
}

/// An address that verdicts name with a session or a program only stands for several, or is what a header claims: whoever sends that would
/// have anybody refused.
#[test]
fn no_address_is_suggested_that_no_verdict_names_alone() {
    for alone in [true, false] {
        let mut v = verdict("malicious", ip("198.51.100.7"));
        v.campaign = Some("c".into());
        if !alone {
            let part = |kind, value: &str| SubjectPart { kind, value: value.into() };
            let parts = vec![part(SubjectKind::Ip, "198.51.100.7"), part(SubjectKind::Fingerprint, "s2-8")];
            v.subject = Subject::of_parts(parts);
        }
        let by = Attribution::of(&[v]);
        let mut builder = TrafficBuilder::default();
        for n in 0..60 {
            builder.add_by(request("198.51.100.7", "Browser", "/login", &["s2-8"]), &by, 5, Ts(0));
            builder.add_by(request(&format!("10.0.0.{n}"), "Browser", "/login", &["s2-8"]), &by, 5, Ts(0));
        }
        let stored = builder.build();
        let found = PolicySet::builtin().suggest(&stored, &campaign("c", "s2-8"), &SuggestOptions::default());
        let by_address = found.iter().filter(|s| {
            let kinds: Vec<SubjectKind> = s.subject.each_part().iter().map(|p| p.kind).collect();
            kinds.contains(&SubjectKind::Ip)
                && !kinds.contains(&SubjectKind::Fingerprint)
                && !kinds.contains(&SubjectKind::Header)
        });
        assert_eq!(by_address.count() > 0, alone, "{found:?}");
    }
}

#[test]
fn nothing_is_suggested_against_the_address_of_an_office_as_a_whole() {
    for people in [1, 6] {
        let mut builder = TrafficBuilder::default();
        for n in 0..60 {
            // With a browser's head, at a page where none of his colleagues was in these hours.
            let own = request("198.51.100.7", "Browser", "/login", &["s2-8"]);
            builder.add(own, Behind::Malicious, Some("c".into()), 5, Ts(0));
            let colleague = Seen {
                sessions: vec![format!("abcdef…#{:02}", n % people).into()],
                ..request("198.51.100.7", "Browser", "/", &["s2-8"])
            };
            builder.add(colleague, Behind::Good, None, 5, Ts(0));
            let honest = request(&format!("10.0.0.{n}"), "Browser", "/login", &["s2-8"]);
            builder.add(honest, Behind::Good, None, 5, Ts(0));
        }
        let stored = builder.build();
        let found = PolicySet::builtin().suggest(&stored, &campaign("c", "s2-8"), &SuggestOptions::default());
        assert_eq!(found.is_empty(), people > 1, "{people}: {found:?}");
    }
}

#[test]
fn a_verdict_without_the_subjects_of_a_rule_is_held_for_that() {
    let stored: Vec<_> =
        (0..50).map(|n| request(&format!("10.0.0.{n}"), "Browser", "/", &["s2-8"])).collect();
    let good = traffic(&stored);
    let around = Around { traffic: Some(&good), ..Around::default() };
    let mut v = verdict("malicious", ip("198.51.100.7"));
    let held = everyone("[session, api-key]").decide_in(&mut v, &around).held.unwrap();
    assert_eq!(held.to_string(), "the verdict has none of the rule's subjects (session, api-key)");
    assert_eq!((v.response.as_str(), v.policy.as_deref()), ("alert", Some("guard:no-subject")));
    let mut v = verdict("malicious", ip("198.51.100.7"));
    assert_eq!(everyone("[session, verdict]").decide_in(&mut v, &around).held, None);
}
