//! Lists as pages ask for them: filters, order, cursors, words, work, forgetting, access.

#![allow(clippy::unwrap_used)]

use serde_json::json;
use sidetap_model::rows::{InputSummary, RunData, VerdictRow};
use sidetap_model::{ActionRow, EndpointId, SubjectKind, Ts};
use sidetap_store::{
    ACTIONS, AuditRow, CAMPAIGNS, CHANGES, ENDPOINTS, FINDINGS, Filter, List, NewSession, Notes, Scope, Sort,
    Store, Test, TokenRow, VERDICTS, Value, Wanted, WorkChange,
};

fn at(s: i64) -> Ts {
    Ts::from_parts(1_795_000_000 + s, 0)
}

fn run(path: &str) -> RunData {
    let endpoint = |n: u8, standing: &str| {
        let (host, template) = (format!("h{}.example", n % 2), format!("/api/Orders/{n}"));
        serde_json::from_value(json!({
            "id": EndpointId::of("default", &host, "GET", &template).to_string(), "zone": "default", "host": host, "method": "GET",
            "template": template, "protocol": "rest", "calls": u32::from(n) * 10, "first_seen": at(0), "last_seen": at(i64::from(n)),
            "status_codes": {"200": 1}, "auth": ["bearer", "jwt"], "exposure": "public", "standing": standing, "roles": ["login"],
            "channels": [], "callers": {"count": 1, "countries": {}, "organizations": {}}, "sensitive": [], "risk": n % 5, "parameters": []
        }))
        .unwrap()
    };
    let finding = |n: u8, severity: &str| {
        serde_json::from_value(json!({
            "id": format!("f{n}"), "kind": "risk", "rule": format!("r{}", n % 2), "severity": severity, "certainty": "observed",
            "owasp": ["API2:2023"], "subject": {"endpoint": format!("e{}", n % 3), "host": "h0.example"}, "title": format!("Finding {n}"),
            "detail": "d", "evidence": [], "first_seen": at(0), "last_seen": at(5), "count": n
        }))
        .unwrap()
    };
    let verdict = |n: u8| {
        serde_json::from_value(json!({
            "id": format!("v{n}"), "zone": "default", "subject": {"kind": "ip", "value": format!("203.0.113.{n}")},
            "client_ip": format!("203.0.113.{n}"), "client_ips": [format!("203.0.113.{n}")], "intent": "malicious",
            "class": "credential-stuffing", "oat": ["OAT-008"], "score": 90, "automation": 80, "coverage": {}, "campaign": "c1",
            "phase": "online", "first_seen": at(0), "detected_at": at(1), "last_seen": at(9), "requests": n,
            "reasons": [{"indicator": "login-burst-client", "weight": 3.0, "observed": "o", "baseline": "b", "evidence": ["x-1"]}],
            "response": "block", "ttl_s": 60
        }))
        .unwrap()
    };
    let campaign = json!({
        "id": "c1", "class": "credential-stuffing", "oat": ["OAT-008"], "score": 91, "phase": "online", "first_seen": at(0),
        "detected_at": at(1), "last_seen": at(9), "requests": 10, "endpoints": ["POST h0.example/login"],
        "members": (1..=9).map(|n| json!({"kind": "ip", "value": format!("203.0.113.{n}"), "first_seen": at(0), "requests": n})).collect::<Vec<_>>(),
        "signature": {"story": "From then on, 203.0.113.1 and others tried.", "agent": "Go-http-client/1.1", "fingerprint": "s2-b2fe75199f7ca125"}, "outcome": {}, "reasons": []
    });
    let mut data = RunData {
        endpoints: (0..20).map(|n| endpoint(n, if n < 3 { "shadow" } else { "documented" })).collect(),
        findings: (0..6).map(|n| finding(n, if n == 4 { "critical" } else { "low" })).collect(),
        verdicts: (1..=20).map(verdict).collect(),
        campaigns: vec![serde_json::from_value(campaign).unwrap()],
        ..RunData::default()
    };
    data.summary.inputs.push(InputSummary { path: path.into(), ..InputSummary::default() });
    data
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("s.db")).unwrap();
    store.save_run(&run("a.pcap"), at(100)).unwrap();
    (dir, store)
}

fn wanted(limit: usize) -> Wanted {
    Wanted { limit, ..Wanted::default() }
}

fn where_(list: &'static List, column: &str, test: Test) -> Wanted {
    Wanted { filters: vec![Filter { column: list.column(column).unwrap(), test }], ..wanted(100) }
}

fn any(value: &str) -> Test {
    Test::Any(vec![value.to_owned()])
}

#[test]
fn a_list_is_read_part_by_part_and_every_row_once() {
    let (_dir, store) = store();
    for (by, descending) in [("risk", true), ("risk", false), ("template", true), ("calls", false)] {
        let sort = Some(Sort { by: ENDPOINTS.column(by).unwrap(), descending });
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let part = store.endpoint_list(&Wanted { sort, after, ..wanted(7) }).unwrap();
            assert_eq!(part.total, if seen.is_empty() { 20 } else { part.total });
            seen.extend(part.rows.into_iter().map(|e| (e.row.risk, e.row.calls, e.row.template, e.row.id)));
            match part.next {
                Some(place) => after = Some(place),
                None => break,
            }
        }
        assert_eq!(seen.len(), 20, "{by}");
        let keys: Vec<_> =
            seen.iter().map(|s| s.3).collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        assert_eq!(keys.len(), 20, "{by}");
        let in_order =
            |a: &(u8, u64, String, EndpointId), b: &(u8, u64, String, EndpointId)| match (by, descending) {
                ("risk", true) => a.0 >= b.0,
                ("risk", false) => a.0 <= b.0,
                ("template", _) => a.2 >= b.2,
                _ => a.1 <= b.1,
            };
        assert!(seen.is_sorted_by(in_order), "{by}");
    }
}

#[test]
fn filters_and_words_choose_rows() {
    let (_dir, mut store) = store();
    let count = |w: &Wanted| store.endpoint_list(w).unwrap().total;
    assert_eq!(count(&where_(&ENDPOINTS, "standing", any("shadow"))), 3);
    assert_eq!(count(&where_(&ENDPOINTS, "auth", any("jwt"))), 20);
    assert_eq!(count(&where_(&ENDPOINTS, "auth", any("jw"))), 0);
    assert_eq!(count(&where_(&ENDPOINTS, "risk", Test::AtLeast(Value::Integer(4)))), 4);
    assert_eq!(count(&where_(&ENDPOINTS, "sensitive", Test::Some(true))), 0);
    assert_eq!(count(&where_(&ENDPOINTS, "sensitive", Test::Some(false))), 20);
    let words = |w: &str| Wanted { words: vec![w.to_owned()], ..wanted(100) };
    assert_eq!(count(&words("orders/7")), 1, "whatever its case");
    assert_eq!(count(&words("h1")), 10, "two letters");
    assert_eq!(count(&words("\" OR x*")), 0, "no syntax of the search's own");
    let verdicts = |test| store.verdict_list(&where_(&VERDICTS, "ip", test)).unwrap().total;
    assert_eq!((verdicts(any("203.0.113.7")), verdicts(any("203.0.113.16/30"))), (1, 4));
    assert_eq!(
        store.verdict_list(&where_(&VERDICTS, "indicator", any("login-burst-client"))).unwrap().total,
        20
    );
    assert_eq!(store.campaign_list_of("203.0.113.9", &wanted(10)).unwrap().total, 1);
    assert_eq!(store.campaign_list_of("203.0.113.90", &wanted(10)).unwrap().total, 0);
    let members = store.member_list("c1", &wanted(4)).unwrap();
    assert_eq!((members.total, members.rows[0].verdict.as_deref()), (9, Some("v9")));
    let item = store.campaign_item("c1").unwrap().unwrap();
    assert_eq!((item.members, item.kinds["ip"]), (9, 9));

    let notes = Notes { labels: vec!["pci".into(), "a|b".into()], owner: Some("team".into()), note: None };
    store.put_notes("campaign", "c1", &notes).unwrap();
    assert_eq!(store.campaign_list(&where_(&CAMPAIGNS, "label", any("pci"))).unwrap().total, 1);
    assert_eq!(store.campaign_item("c1").unwrap().unwrap().labels, ["pci", "a b"]);
}

#[test]
fn the_search_finds_hosts_paths_and_addresses() {
    let (_dir, store) = store();
    let kinds = |words: &[&str]| -> Vec<String> {
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        store.search(&words, 0, 50).unwrap().rows.into_iter().map(|h| h.kind).collect()
    };
    assert_eq!(kinds(&["h1.example"])[0], "host");
    assert_eq!(kinds(&["203.0.113.20"]), ["verdict"]);
    assert_eq!(kinds(&["go-http"]), ["campaign"]);
    assert_eq!(kinds(&["Orders/19", "h1"]), ["endpoint"]);
    assert!(kinds(&["nothing like it"]).is_empty());
}

#[test]
fn a_search_tells_all_that_there_is_and_gives_it_page_by_page() {
    let (_dir, mut store) = store();
    let of = |store: &Store, word: &str, from: usize, limit: usize| {
        store.search(&[word.to_owned()], from, limit).unwrap()
    };
    let all = of(&store, "example", 0, 100);
    assert_eq!((all.total, all.more), (all.rows.len(), false));
    assert!(all.total > 20, "{all:?}");
    let mut paged = Vec::new();
    for from in (0..all.total).step_by(3) {
        let part = of(&store, "example", from, 3);
        assert_eq!(part.total, all.total);
        paged.extend(part.rows);
    }
    assert_eq!(paged, all.rows);
    // Labels and owners, fingerprints, exchanges.
    let notes = Notes { labels: vec!["Crown jewels".into()], owner: Some("payments".into()), note: None };
    store.put_notes("campaign", "c1", &notes).unwrap();
    for word in ["crown", "payments", "s2-b2fe75199f7ca125"] {
        let found = of(&store, word, 0, 9);
        assert_eq!((found.total, found.rows[0].kind.as_str()), (1, "campaign"), "{word}");
    }
    let twice = Notes { labels: vec!["credential".into()], ..Notes::default() };
    store.put_notes("campaign", "c1", &twice).unwrap();
    let campaigns = of(&store, "credential", 0, 50).rows.iter().filter(|h| h.kind == "campaign").count();
    assert_eq!(campaigns, 1, "by its words and by its label it is one");
}

#[test]
fn runs_are_merged_and_what_changes_is_written_down() {
    let (_dir, mut store) = store();
    let news =
        |store: &Store, what: &str| store.change_list(&where_(&CHANGES, "change", any(what))).unwrap().total;
    assert_eq!((news(&store, "new"), news(&store, "standing")), (27, 0));
    let mut more = run("b.pcap");
    more.endpoints[0].standing = "deprecated".into();
    more.verdicts.clear();
    store.save_run(&more, at(200)).unwrap();
    assert_eq!((news(&store, "new"), news(&store, "standing")), (27, 1));
    let id = more.endpoints[1].id.to_string();
    assert_eq!(store.endpoint(&id).unwrap().unwrap().row.calls, 20, "twice ten");
    let change = &store.change_list(&where_(&CHANGES, "change", any("standing"))).unwrap().rows[0];
    assert_eq!((change.before.as_deref(), change.after.as_deref()), (Some("shadow"), Some("deprecated")));
    more.endpoints.truncate(1);
    store.save_run(&more, at(201)).unwrap();
    assert_eq!(store.endpoint(&id).unwrap().unwrap().row.calls, 10, "of the first run only");
    assert_eq!(store.totals().unwrap().verdicts, 20);
}

#[test]
fn a_store_of_the_first_schema_is_brought_to_this_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old.db");
    {
        let old = rusqlite::Connection::open(&path).unwrap();
        old.execute_batch(include_str!("../src/schema/001.sql")).unwrap();
        old.pragma_update(None, "application_id", 0x5354_4150).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        old.execute("INSERT INTO runs (id, saved_at, summary) VALUES ('r', 1, '{}')", []).unwrap();
        for v in run("a").verdicts {
            let row = serde_json::to_string(&v).unwrap();
            old.execute(
                "INSERT INTO verdicts (id, run, last_seen, row) VALUES (?1, 'r', 5, ?2)",
                [&v.id, &row],
            )
            .unwrap();
        }
    }
    let store = Store::open(&path).unwrap();
    assert_eq!(store.verdict_list(&wanted(5)).unwrap().total, 20);
}

#[test]
fn findings_are_worked_on() {
    let (_dir, mut store) = store();
    store.set_now(at(300));
    let status = |store: &Store, id: &str| store.finding(id).unwrap().unwrap().work.status;
    let open = |store: &Store| store.finding_list(&where_(&FINDINGS, "status", any("open"))).unwrap().total;
    assert_eq!(store.finding_list(&wanted(1)).unwrap().rows[0].row.severity, "critical");
    assert_eq!(open(&store), 6);
    let say = |s: &str| WorkChange { status: Some(s.into()), ..WorkChange::default() };
    let accepted = WorkChange { expires_at: Some(Some(at(400))), ..say("accepted") };
    assert_eq!(store.work_on(&["f0".into(), "none".into()], &accepted, "anna", at(300)).unwrap(), 1);
    assert_eq!((status(&store, "f0").as_str(), open(&store)), ("accepted", 5));
    store.set_now(at(401));
    assert_eq!(status(&store, "f0"), "open", "it was accepted until then only");
    store.work_on(&["f1".into()], &say("fixed"), "anna", at(401)).unwrap();
    assert_eq!(status(&store, "f1"), "fixed");
    let mut again = run("a.pcap");
    again.findings[1].last_seen = at(500);
    store.save_run(&again, at(501)).unwrap();
    assert_eq!(status(&store, "f1"), "open", "it was seen again");

    let teach = WorkChange { scope: Scope::Rule, ..say("false-positive") };
    store.work_on(&["f3".into()], &teach, "anna", at(502)).unwrap();
    let f5 = store.finding("f5").unwrap().unwrap();
    assert_eq!((f5.work.status.as_str(), f5.work.by_rule), ("false-positive", true), "of the same rule");
    assert_eq!(status(&store, "f2"), "open", "of another rule");
    let counted = store.finding_counts().unwrap().by_status;
    assert!(counted["false-positive"] > 1 && counted.values().sum::<u64>() == 6, "{counted:?}");
    for (is, n) in &counted {
        assert_eq!(store.finding_list(&where_(&FINDINGS, "status", any(is))).unwrap().total, *n, "{is}");
    }
    store
        .work_on(&["f3".into()], &WorkChange { scope: Scope::Rule, ..say("open") }, "anna", at(503))
        .unwrap();
    assert_eq!(status(&store, "f5"), "open");
    let assign = WorkChange { assignee: Some(Some("bert".into())), ..WorkChange::default() };
    store.work_on(&["f3".into()], &assign, "anna", at(504)).unwrap();
    assert_eq!(status(&store, "f3"), "assigned");
    let log = store.work_log("f3").unwrap();
    assert_eq!(
        log.iter().map(|l| l.status.as_str()).collect::<Vec<_>>(),
        ["assigned", "open", "false-positive"]
    );
    assert_eq!(store.finding_counts().unwrap().by_status["assigned"], 1);
}

#[test]
fn somebody_is_forgotten_everywhere_and_nobody_else_is() {
    let (dir, mut store) = store();
    let evidence = |id: &str, ip: &str| sidetap_store::EvidenceRow {
        id: id.into(),
        at: at(1),
        exchange: json!({"client": {"ip": ip}}),
    };
    let rows = [evidence("x-1", "203.0.113.1"), evidence("x-2", "203.0.113.11")];
    store.record_evidence(&rows, &Default::default()).unwrap();
    let said = |text: &str| Notes { note: Some(text.to_owned()), ..Default::default() };
    store.put_notes("campaign", "c1", &said("Rang 203.0.113.1, and 203.0.113.11")).unwrap();
    for value in ["203.0.113.1/32", "203.0.113.11/32"] {
        let entry = sidetap_store::AllowedRow {
            id: 0,
            kind: "cidr".into(),
            value: value.into(),
            reason: String::new(),
            by: "anna".into(),
            at: at(1),
            expires_at: None,
        };
        store.allow(&entry).unwrap();
    }
    let removed = store.forget(SubjectKind::Ip, "203.0.113.1", "anna", at(600)).unwrap();
    assert_eq!((removed.0["verdicts"], removed.0["evidence"], removed.0["members"]), (1, 1, 1));
    assert_eq!((removed.0["notes"], removed.0["allowed"]), (1, 1));
    let note = store.notes("campaign", "c1").unwrap().note.unwrap();
    assert_eq!(note, "Rang (forgotten), and 203.0.113.11");
    assert!(store.verdict("v1").unwrap().is_none() && store.verdict("v11").unwrap().is_some());
    assert_eq!(store.campaign("c1").unwrap().unwrap().members.len(), 8);
    assert_eq!(store.campaign_item("c1").unwrap().unwrap().members, 8);
    assert!(
        store
            .search(&["203.0.113.1".into()], 0, 50)
            .unwrap()
            .rows
            .iter()
            .all(|h| h.kind == "verdict" && h.id != "v1")
    );
    store.checkpoint().unwrap();
    drop(store);
    let bytes = std::fs::read(dir.path().join("s.db")).unwrap();
    let there = |name: &[u8]| bytes.windows(name.len()).any(|w| w == name);
    assert!(
        !there(b"\"203.0.113.1\"") && !there(b"From then on, 203.0.113.1"),
        "not in the file's free pages either"
    );
    assert!(there(b"\"203.0.113.11\""));
}

#[test]
fn a_campaign_counts_nobody_who_was_forgotten() {
    let (_dir, mut store) = store();
    let mut campaign = store.campaign("c1").unwrap().unwrap();
    let story =
        "From then on, for 9 seconds, 9 clients at 9 addresses sent 45 requests to POST h0.example/login.";
    campaign.signature.insert("story".into(), story.into());
    let mut data = run("a.pcap");
    data.campaigns = vec![campaign];
    store.save_run(&data, at(101)).unwrap();
    for n in 1..=9 {
        store.forget(SubjectKind::Ip, &format!("203.0.113.{n}"), "anna", at(600)).unwrap();
        let left = store.campaign("c1").unwrap().unwrap();
        let told = &left.signature["story"];
        assert_eq!(told, &store.campaign_item("c1").unwrap().unwrap().story);
        assert_eq!(told.contains("9 clients at 9 addresses"), n < 9, "{told}");
        assert!(told.contains("forgotten since") && left.members.len() == 9 - n, "{told}");
    }
}

#[test]
fn a_copy_is_a_store() {
    let (dir, store) = store();
    let copy = dir.path().join("copy.db");
    store.backup(&copy).unwrap();
    assert!(store.backup(&copy).is_err(), "nothing is written over");
    assert_eq!(Store::open_read_only(&copy).unwrap().verdict_list(&wanted(1)).unwrap().total, 20);
}

#[test]
fn users_sessions_and_tokens_end_when_they_should() {
    let (_dir, mut store) = store();
    assert!(store.has_no_users().unwrap());
    assert!(store.add_first_user("anna", "hash", at(0)).unwrap());
    assert!(!store.add_first_user("eve", "hash", at(0)).unwrap(), "only once");
    assert!(store.add_user("bert", "viewer", "hash", at(0)).unwrap());
    assert!(!store.add_user("bert", "admin", "hash", at(0)).unwrap());
    let session = |hash| NewSession { hash, user: "bert", csrf: "c", expires_at: at(100) };
    store.add_session(&session(b"1"), at(0)).unwrap();
    assert_eq!(store.session(b"1", at(99)).unwrap().unwrap().role, "viewer");
    assert!(store.session(b"1", at(100)).unwrap().is_none() && store.session(b"2", at(1)).unwrap().is_none());
    let token = TokenRow {
        id: "t".into(),
        name: "ci".into(),
        user: "bert".into(),
        role: "viewer".into(),
        read_only: true,
        created_at: at(0),
        expires_at: Some(at(50)),
        last_used: None,
    };
    store.add_token(&token, b"tok").unwrap();
    assert!(store.token(b"tok", at(49)).unwrap().is_some() && store.token(b"tok", at(50)).unwrap().is_none());
    assert!(!store.change_user("anna", Some("viewer"), None, None).unwrap(), "the last administrator");
    assert!(!store.change_user("anna", None, Some(true), None).unwrap());
    assert!(!store.remove_user("anna").unwrap());
    assert!(store.change_user("bert", None, Some(true), None).unwrap());
    assert!(store.session(b"1", at(1)).unwrap().is_none() && store.token(b"tok", at(1)).unwrap().is_none());
    assert!(store.password("bert").unwrap().is_none());
    assert!(store.remove_user("bert").unwrap() && store.tokens(None).unwrap().is_empty());
    for n in 0..60_u8 {
        store
            .add_session(
                &NewSession { hash: &[n], user: "anna", csrf: "c", expires_at: at(999) },
                at(i64::from(n)),
            )
            .unwrap();
    }
    assert_eq!(store.users(at(60)).unwrap()[0].sessions, 50, "no more than so many");
}

#[test]
fn a_verdict_that_comes_again_unchanged_costs_nothing() {
    let (_dir, mut store) = store();
    let verdicts: Vec<VerdictRow> = run("a.pcap").verdicts;
    let before = store.verdict_list(&wanted(1)).unwrap();
    store.save_verdicts("live", &verdicts, at(700)).unwrap();
    store.save_verdicts("live", &verdicts, at(701)).unwrap();
    assert_eq!(store.verdict_list(&wanted(1)).unwrap(), before);
}

#[test]
fn a_store_keeps_to_its_bound() {
    let (dir, mut store) = store();
    let limits =
        sidetap_store::Limits { limit_bytes: 3 << 20, evidence_bytes: 64 << 20, ..Default::default() };
    store.set_limits(&limits).unwrap();
    let size = |name: &str| std::fs::metadata(dir.path().join(name)).map_or(0, |m| m.len());
    let evidence = |n: i64| sidetap_store::EvidenceRow {
        id: format!("e-{n}"),
        at: at(n),
        exchange: json!({"url": "x".repeat(4_000)}),
    };
    let mut refused = 0;
    for batch in 0..40 {
        let rows: Vec<_> = (batch * 50..batch * 50 + 50).map(evidence).collect();
        refused += u32::from(store.record_evidence(&rows, &limits.evidence()).is_err());
        store.keep_limits(at(5_000)).unwrap();
        let both = size("s.db") + size("s.db-wal");
        assert!(both <= limits.limit_bytes, "{both} in batch {batch}");
    }
    assert!(refused <= 1, "room is made before it is needed: {refused}");
    assert!(store.counter("bound.evidence").unwrap() > 0);
    let sizes = store.sizes().unwrap();
    assert_eq!((sizes["verdicts"], sizes["findings"]), (20, 6), "what matters more stays");
}

#[test]
fn a_run_of_many_rows_stays_within_the_bound_with_its_log() {
    let (_dir, mut store) = store();
    let limits = sidetap_store::Limits { limit_bytes: 24 << 20, ..Default::default() };
    store.set_limits(&limits).unwrap();
    let one = store.load().unwrap().findings.remove(0);
    let findings = (0..6_000).map(|n| sidetap_model::rows::FindingRow {
        id: format!("m{n}"),
        title: format!("{n} {}", "x".repeat(200)),
        ..one.clone()
    });
    let data = RunData { findings: findings.collect(), ..Default::default() };
    store.save_run(&data, at(900)).unwrap();
    assert!(store.bytes() <= limits.limit_bytes, "{}", store.bytes());
    assert_eq!(store.sizes().unwrap()["findings"], 6_006);
    // The same again, and less, leaves what it says.
    store
        .save_run(&RunData { findings: data.findings[..5_000].to_vec(), ..Default::default() }, at(901))
        .unwrap();
    assert_eq!(store.sizes().unwrap()["findings"], 5_006);
}

#[test]
fn samples_say_of_how_many_they_were_chosen() {
    let (_dir, mut store) = store();
    let row =
        |n: i64| sidetap_store::EvidenceRow { id: format!("e-{n}"), at: at(n), exchange: json!({"n": n}) };
    store.record_evidence(&[row(1), row(2), row(3)], &Default::default()).unwrap();
    let sample = |thing: &str, seen, ids: &[&str]| sidetap_store::SampleRow {
        thing: thing.into(),
        seen,
        ids: ids.iter().map(|i| (*i).to_owned()).collect(),
    };
    store
        .record_samples(
            &[sample("campaign:c", 30, &["e-2", "e-1", "gone"]), sample("finding:f", 5, &["e-2"])],
            at(9),
        )
        .unwrap();
    let (size, ids) = store.sample("campaign:c").unwrap();
    assert_eq!((size.seen, size.kept, ids), (30, 2, vec!["e-1".to_owned(), "e-2".to_owned()]));
    let all = ["e-1", "e-2", "e-3"].map(str::to_owned);
    let told = |thing: Option<&str>, field: &str| -> Vec<serde_json::Value> {
        store.exchanges(&all, thing).unwrap().into_iter().map(|(_, e)| e[field].clone()).collect()
    };
    assert_eq!(
        told(Some("campaign:c"), "weight"),
        [json!(15), json!(15), json!(1)],
        "those that are gone are stood for by those that are there"
    );
    assert_eq!(
        told(Some("finding:f"), "weight"),
        [json!(1), json!(5), json!(1)],
        "not what another stands for"
    );
    assert_eq!(told(Some("verdict:v"), "weight"), [json!(1), json!(1), json!(1)], "all are named");
    assert_eq!(told(None, "weight"), [json!(null), json!(null), json!(1)], "of what, nobody says");
    let (of_finding, of_campaign) = ("sample-of-finding", "sample-of-campaign");
    let proof = json!(["named-as-proof"]);
    assert_eq!(told(Some("finding:f"), "why"), [proof.clone(), json!([of_finding]), proof.clone()]);
    assert_eq!(told(None, "why"), [json!([of_campaign]), json!([of_campaign, of_finding]), proof]);
    // All of a sample together stand for what was seen.
    for (thing, seen) in [("campaign:c", 30.0), ("finding:f", 5.0)] {
        let rows = store.exchanges(&store.sample(thing).unwrap().1, Some(thing)).unwrap();
        let sum: f64 = rows.iter().map(|(_, e)| e["weight"].as_f64().unwrap()).sum();
        assert!((sum - seen).abs() < 0.01, "{thing}: {sum}");
    }
    store.record_samples(&[sample("campaign:c", 31, &["e-3"])], at(10)).unwrap();
    assert_eq!(store.sample("campaign:c").unwrap().1, ["e-3"]);
    store.record_evidence(&[], &sidetap_store::EvidenceLimits { rows: 1, ..Default::default() }).unwrap();
    assert_eq!(store.sample("finding:f").unwrap().0.seen, 0, "what nothing is kept of is forgotten");
}

#[test]
fn descriptions_and_templates_are_kept() {
    let (_dir, mut store) = store();
    let spec = |text: &str| sidetap_store::SpecRow {
        name: "shop".into(),
        at: at(1),
        by: "anna".into(),
        text: text.into(),
    };
    store.put_spec(&spec("a")).unwrap();
    store.put_spec(&spec("b")).unwrap();
    assert_eq!(store.specs().unwrap(), [spec("b")]);
    assert_eq!((store.remove_spec("shop").unwrap(), store.remove_spec("shop").unwrap()), (true, false));
    let shape = sidetap_store::ShapeRow {
        id: 0,
        host: "h".into(),
        method: "GET".into(),
        template: "/a/{x}".into(),
        kind: String::new(),
        reason: "r".into(),
        by: "anna".into(),
        at: at(1),
    };
    let kept = store.add_shape(&shape).unwrap().unwrap();
    assert_eq!((kept.kind.as_str(), store.add_shape(&shape).unwrap()), ("merge", None));
    assert_eq!((store.remove_shape(kept.id).unwrap(), store.shapes().unwrap().len()), (Some(kept), 0));
}

#[test]
fn actions_are_found_by_the_campaign_behind_them() {
    let (_dir, mut store) = store();
    let action = |n: i64, verdict: Option<String>| ActionRow {
        at: at(n),
        actor: "cli".into(),
        connector: "edge".into(),
        kind: "add".into(),
        mode: "enforce".into(),
        subject: "203.0.113.1".into(),
        response: "block".into(),
        verdict,
        expires_at: None,
        outcome: "done".into(),
        answer: String::new(),
        why: String::new(),
    };
    let mut actions: Vec<ActionRow> = (0..260).map(|n| action(n, Some(format!("v{}", n % 20 + 1)))).collect();
    actions.push(action(900, Some("of-nobody".into())));
    actions.push(action(901, None));
    store.record_actions(&actions).unwrap();
    let mut wanted = Wanted { limit: 100, ..where_(&ACTIONS, "campaign", any("c1")) };
    let mut times = Vec::new();
    loop {
        let part = store.action_list(&wanted).unwrap();
        assert_eq!(part.total, 260);
        times.extend(part.rows.iter().map(|a| a.row.at));
        let Some(place) = part.next else { break };
        wanted.after = Some(place);
    }
    assert_eq!(times, (0..260).rev().map(at).collect::<Vec<_>>(), "each once, the newest first");
    let of = |values: &[&str]| {
        let values = Test::Any(values.iter().map(|v| (*v).to_owned()).collect());
        store.action_list(&where_(&ACTIONS, "campaign", values)).unwrap().total
    };
    assert_eq!((of(&["c2"]), of(&["c2", "c1"])), (0, 260));
}

#[test]
fn who_follows_hears_of_the_audit_too() {
    let (_dir, mut store) = store();
    let before = store.marks().unwrap();
    let row = AuditRow { at: at(1), actor: "anna".into(), action: "evidence.read".into(), detail: json!({}) };
    store.record_audit(&row).unwrap();
    assert_eq!(store.news(&before).unwrap().changed, ["audit"], "a look changes nothing else");
    let before = store.marks().unwrap();
    store.record_audit(&AuditRow { action: "finding.work".into(), ..row }).unwrap();
    assert_eq!(store.news(&before).unwrap().changed, ["audit", "findings"]);
}
