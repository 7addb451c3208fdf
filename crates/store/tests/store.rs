//! What the store promises: nothing is counted twice, nothing of others is touched, bounds hold, the audit only grows.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use serde_json::json;
use sidetap_model::rows::{
    Callers, CampaignRow, EndpointKey, EndpointRow, FindingRow, InputSummary, Member, RunData, SensitiveRow,
    Subject, Summary, TrafficPoint, VerdictRow,
};
use sidetap_model::{ActionRow, EndpointId, SubjectKind, Ts};
use sidetap_store::{AuditRow, EvidenceLimits, EvidenceRow, Limits, Retention, Store, StoreError, run_id};

fn at(s: i64) -> Ts {
    Ts::from_parts(1_795_000_000 + s, 0)
}

fn endpoint(template: &str, calls: u64, last: i64) -> EndpointRow {
    EndpointRow {
        id: EndpointId::of("default", "shop.example.test", "GET", template),
        zone: "default".into(),
        host: "shop.example.test".into(),
        method: "GET".into(),
        template: template.into(),
        protocol: "rest".into(),
        calls,
        first_seen: at(0),
        last_seen: at(last),
        status_codes: [("200".to_owned(), calls)].into(),
        auth: vec!["none".into()],
        exposure: "public".into(),
        standing: "unknown".into(),
        roles: Vec::new(),
        channels: Vec::new(),
        callers: Callers::default(),
        sensitive: Vec::new(),
        risk: 10,
        risk_terms: Vec::new(),
        parameters: Vec::new(),
        merged_by: Vec::new(),
        aliases: Vec::new(),
    }
}

fn sensitive(e: &EndpointRow, count: u64) -> SensitiveRow {
    SensitiveRow {
        endpoint: EndpointKey {
            id: e.id,
            host: e.host.clone(),
            method: e.method.clone(),
            template: e.template.clone(),
        },
        direction: "response".into(),
        location: "$.card".into(),
        kind: "credit-card".into(),
        alternatives: Vec::new(),
        class: vec!["PCI".into()],
        confidence: 0.99,
        count,
        masked: "4111…1111".into(),
        first_seen: at(1),
        evidence: "a-1".into(),
    }
}

fn finding(id: &str, count: u64) -> FindingRow {
    FindingRow {
        id: id.into(),
        kind: "risk".into(),
        rule: "r".into(),
        severity: "high".into(),
        certainty: "suspected".into(),
        owasp: vec!["API2:2023".into()],
        subject: Default::default(),
        title: "t".into(),
        detail: "d".into(),
        evidence: vec![format!("{id}-e")],
        first_seen: at(0),
        last_seen: at(5),
        count,
    }
}

fn campaign(id: &str) -> CampaignRow {
    let member = |n: u8| Member {
        kind: SubjectKind::Ip,
        value: format!("203.0.113.{n}"),
        first_seen: at(0),
        requests: 2,
    };
    CampaignRow {
        id: id.into(),
        class: "credential-stuffing".into(),
        oat: vec!["OAT-008".into()],
        score: 90,
        phase: "online".into(),
        first_seen: at(0),
        detected_at: at(3),
        last_seen: at(5),
        requests: 4,
        endpoints: Vec::new(),
        members: vec![member(1), member(2)],
        signature: Default::default(),
        outcome: Default::default(),
        reasons: Vec::new(),
        networks: Default::default(),
        countries: Default::default(),
        timeline: vec![(at(0), 4)],
    }
}

fn verdict(id: &str, score: u8, detected: i64) -> VerdictRow {
    VerdictRow {
        id: id.into(),
        zone: "default".into(),
        subject: Subject { kind: SubjectKind::Ip, value: "203.0.113.1".into(), parts: Vec::new() },
        client_ip: None,
        client_ips: Vec::new(),
        intent: "malicious".into(),
        class: None,
        oat: Vec::new(),
        score,
        automation: 50,
        coverage: Default::default(),
        campaign: None,
        phase: "online".into(),
        first_seen: at(0),
        detected_at: at(detected),
        last_seen: at(detected),
        requests: 4,
        reasons: Vec::new(),
        response: "block".into(),
        ttl_s: 600,
        hosts: Vec::new(),
        origin: None,
        agent: None,
        policy: None,
        measures: None,
        prints: Vec::new(),
    }
}

fn run(input: &str, calls: u64) -> RunData {
    let mut summary = Summary { version: "0.1.0".into(), ..Summary::default() };
    summary.inputs.push(InputSummary {
        path: input.into(),
        first_ts: Some(at(0)),
        ..InputSummary::default()
    });
    summary.exchanges.total = calls;
    let endpoints = vec![endpoint("/a", calls, 5), endpoint("/b/{id}", calls, 5)];
    let point = TrafficPoint { ts: at(0), benign: calls, ..TrafficPoint::default() };
    RunData {
        sensitive: vec![sensitive(&endpoints[0], calls)],
        endpoints,
        findings: vec![finding("f1", calls)],
        campaigns: vec![campaign("c1")],
        verdicts: vec![verdict("v1", 90, 4)],
        traffic: vec![point],
        summary,
    }
}

/// Takes parts in, one behind the other.
fn into<T>(all: &mut Vec<T>) -> impl FnMut(Vec<T>) -> Result<(), StoreError> {
    |part| {
        all.extend(part);
        Ok(())
    }
}

fn open(dir: &Path) -> Store {
    Store::open(&dir.join("sidetap.db")).unwrap()
}

#[test]
fn a_run_comes_back_as_it_was_saved_however_often() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let mut data = run("a.pcap", 10);
    data.summary.counts.endpoints = 2;
    data.summary.counts.sensitive = 1;
    data.summary.counts.findings = 1;
    data.summary.counts.campaigns = 1;
    data.summary.counts.verdicts = 1;
    data.endpoints.sort_by_key(|e| e.id.to_string());
    let id = store.save_run(&data, at(10)).unwrap();
    assert_eq!(store.save_run(&data, at(11)).unwrap(), id);
    assert_eq!(store.load().unwrap(), data);
    assert_eq!(store.runs().unwrap().len(), 1);
    drop(store);
    let store = Store::open_read_only(&dir.path().join("sidetap.db")).unwrap();
    assert_eq!(store.load_run(&id).unwrap(), data, "by another process too");
    assert_eq!(store.campaigns_of(SubjectKind::Ip, "203.0.113.2").unwrap(), ["c1"]);
    assert!(store.campaigns_of(SubjectKind::Ip, "203.0.113.3").unwrap().is_empty());
}

#[test]
fn a_live_run_grows_and_templates_that_merged_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    store.save_run(&run("eth0", 10), at(10)).unwrap();
    let mut more = run("eth0", 25);
    more.endpoints.truncate(1);
    more.verdicts.push(verdict("v2", 70, 8));
    store.save_run(&more, at(20)).unwrap();
    let data = store.load().unwrap();
    assert_eq!(data.endpoints.iter().map(|e| e.calls).collect::<Vec<_>>(), [25]);
    assert_eq!((data.verdicts.len(), data.summary.exchanges.total, data.traffic[0].benign), (2, 25, 25));
    let id = run_id(&more.summary);
    store.save_verdicts(&id, &[verdict("v2", 95, 30), verdict("v3", 60, 31)], at(31)).unwrap();
    let scores: Vec<u8> = store.load().unwrap().verdicts.iter().map(|v| v.score).collect();
    assert_eq!(scores, [90, 95, 60]);
}

#[test]
fn runs_merge_by_id() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    store.save_run(&run("a.pcap", 10), at(10)).unwrap();
    let mut second = run("b.pcap", 5);
    second.endpoints[0].last_seen = at(50);
    second.verdicts = vec![verdict("v1", 40, 60)];
    second.findings[0].evidence = vec!["other".into()];
    store.save_run(&second, at(60)).unwrap();
    let data = store.load().unwrap();
    let a = data.endpoints.iter().find(|e| e.template == "/a").unwrap();
    assert_eq!((a.calls, a.last_seen, a.status_codes["200"]), (15, at(50), 15));
    assert_eq!((data.sensitive[0].count, data.findings[0].count), (15, 15));
    assert_eq!(data.findings[0].evidence, ["other", "f1-e"]);
    assert_eq!((data.verdicts.len(), data.verdicts[0].score), (1, 40), "the newest verdict stands");
    assert_eq!((data.traffic.len(), data.traffic[0].benign), (1, 15));
    assert_eq!((data.summary.exchanges.total, data.summary.inputs.len()), (15, 2));
    assert_eq!(data.summary.counts.endpoints, 2);
}

#[test]
fn parts_are_together_what_is_loaded_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    for (name, range) in [("b.pcap", 0..1_600), ("a.pcap", 900..2_500), ("c.pcap", 1_500..1_501)] {
        let mut data = run(name, 5);
        data.verdicts =
            range.map(|n: i64| verdict(&format!("v-{}", n * 7919 % 2_503), (n % 90) as u8, n % 13)).collect();
        store.save_run(&data, at(20)).unwrap();
    }
    let whole = store.load().unwrap();
    let (mut verdicts, mut parts) = (Vec::new(), 0);
    store
        .each_verdicts(|part| {
            verdicts.extend(part);
            parts += 1;
            Ok::<(), StoreError>(())
        })
        .unwrap();
    assert_eq!(verdicts, whole.verdicts);
    assert_eq!(parts, 3);
    let (mut campaigns, mut endpoints) = (Vec::new(), Vec::new());
    store.each_campaigns(into(&mut campaigns)).unwrap();
    store.each_endpoints(into(&mut endpoints)).unwrap();
    assert_eq!((campaigns, endpoints), (whole.campaigns, whole.endpoints));
    let other = run_id(&run("b.pcap", 5).summary);
    let mut of_others = Vec::new();
    store.each_verdicts_of_others(&other, into(&mut of_others)).unwrap();
    let mut at_once = store.verdicts_of_others(&other).unwrap();
    at_once.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(of_others, at_once, "of each id the one that was seen last is last");
}

#[test]
fn a_report_is_given_all_but_the_bulk_of_verdicts() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    for name in ["a.pcap", "b.pcap"] {
        let mut data = run(name, 3);
        for v in &mut data.verdicts {
            let reason = |n: u32| json!({"indicator": "i", "weight": 1.0, "observed": n.to_string(), "baseline": "", "evidence": ["a-1"]});
            v.reasons =
                vec![serde_json::from_value(reason(1)).unwrap(), serde_json::from_value(reason(2)).unwrap()];
            v.hosts = vec!["shop.example.test".into()];
        }
        store.save_run(&data, at(10)).unwrap();
    }
    let (whole, mut short) = (store.load().unwrap(), store.load_to_report().unwrap());
    assert!(!whole.verdicts.is_empty() && whole.verdicts.iter().all(|v| v.reasons.len() == 2));
    for (v, of) in short.verdicts.iter_mut().zip(&whole.verdicts) {
        assert!(v.reasons.len() == 1 && v.hosts.is_empty());
        assert_eq!(v.reasons.first().map(|r| &r.observed), of.reasons.first().map(|r| &r.observed));
        (v.reasons, v.oat, v.hosts, v.prints) =
            (of.reasons.clone(), of.oat.clone(), of.hosts.clone(), of.prints.clone());
        (v.coverage, v.origin, v.agent) = (of.coverage.clone(), of.origin.clone(), of.agent.clone());
    }
    assert_eq!(short, whole);
}

#[test]
fn files_of_others_are_told_and_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    std::fs::write(&path, "hello, this is no database at all, but a text file of some length\n".repeat(200))
        .unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Foreign { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before);

    let theirs = dir.path().join("theirs.db");
    let connection = rusqlite::Connection::open(&theirs).unwrap();
    connection.execute_batch("CREATE TABLE t (x); PRAGMA user_version = 1;").unwrap();
    drop(connection);
    let before = std::fs::read(&theirs).unwrap();
    let error = Store::open(&theirs).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    assert_eq!(std::fs::read(&theirs).unwrap(), before);

    let own = dir.path().join("sidetap.db");
    drop(open(dir.path()));
    let connection = rusqlite::Connection::open(&own).unwrap();
    connection.execute_batch("PRAGMA user_version = 99;").unwrap();
    drop(connection);
    assert!(matches!(Store::open(&own), Err(StoreError::Newer { found: 99, .. })));
    assert!(matches!(Store::open_read_only(&dir.path().join("none")), Err(StoreError::Open { .. })));
    assert!(matches!(Store::open(dir.path()), Err(StoreError::Open { .. })));
}

#[test]
fn a_damaged_file_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sidetap.db");
    let mut store = open(dir.path());
    let mut data = run("a.pcap", 1);
    data.endpoints = (0..500).map(|n| endpoint(&format!("/e/{n}"), 1, 5)).collect();
    store.save_run(&data, at(1)).unwrap();
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 20_000].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let error = Store::open_checked(&path).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn actions_are_listed_and_the_audit_only_grows() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let action = |n: i64, outcome: &str| ActionRow {
        at: at(n),
        actor: "cli".into(),
        connector: "edge".into(),
        kind: "add".into(),
        mode: "enforce".into(),
        subject: format!("203.0.113.{n}/32"),
        response: "block".into(),
        verdict: Some(format!("v{n}")),
        expires_at: Some(at(n + 600)),
        outcome: outcome.into(),
        answer: "ok".into(),
        why: String::new(),
    };
    store.record_actions(&[action(1, "planned"), action(2, "done"), action(3, "failed")]).unwrap();
    let row = AuditRow {
        at: at(4),
        actor: "ada".into(),
        action: "policy.load".into(),
        detail: json!({"file": "x"}),
    };
    store.record_audit(&row).unwrap();
    assert_eq!(store.journal_len().unwrap(), (3, 3));
    assert_eq!(store.actions(2, 1).unwrap(), [action(2, "done"), action(1, "planned")]);
    assert_eq!(store.audit(1, 0).unwrap(), [row]);
    let connection = rusqlite::Connection::open(dir.path().join("sidetap.db")).unwrap();
    for sql in ["UPDATE audit SET actor = 'eve'", "DELETE FROM audit"] {
        assert!(connection.execute(sql, []).unwrap_err().to_string().contains("append-only"), "{sql}");
    }
    let old = Retention { journal_age_s: 100, ..Retention::default() };
    let removed = store.retain(at(500), &old).unwrap();
    assert_eq!((removed.0["actions"], removed.0["audit"]), (3, 3));
    let left = store.audit(10, 0).unwrap();
    assert_eq!(
        (left.len(), left[0].action.as_str(), left[0].detail["removed"].as_u64()),
        (1, "audit.prune", Some(3))
    );
    assert!(connection.execute("DELETE FROM audit", []).is_err());
}

#[test]
fn evidence_stays_within_its_bounds_and_says_what_went() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let row = |n: i64| EvidenceRow {
        id: format!("e-{n}"),
        at: at(n),
        exchange: json!({"n": n, "pad": "x".repeat(90)}),
    };
    let rows: Vec<EvidenceRow> = (0..10).map(row).collect();
    let many = EvidenceLimits { rows: 4, ..EvidenceLimits::default() };
    assert_eq!(store.record_evidence(&rows, &many).unwrap(), 6);
    let ids: Vec<String> = (0..10).map(|n| format!("e-{n}")).collect();
    assert_eq!(store.evidence(&ids).unwrap(), rows[6..]);
    let bytes = EvidenceLimits { bytes: 250, ..EvidenceLimits::default() };
    assert_eq!(store.record_evidence(&[], &bytes).unwrap(), 2);
    let age = EvidenceLimits { age_s: 10, ..EvidenceLimits::default() };
    assert_eq!(store.record_evidence(&[row(100)], &age).unwrap(), 2);
    assert_eq!(store.counter("evidence.evicted").unwrap(), 10);
    assert_eq!(store.counter("nothing").unwrap(), 0);
}

#[test]
fn at_the_bound_only_as_much_evidence_goes_as_newer_needs() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let limits = Limits { limit_bytes: 8 << 20, ..Limits::default() };
    store.set_limits(&limits).unwrap();
    let rows = |range: std::ops::Range<i64>| -> Vec<EvidenceRow> {
        let row =
            |n| EvidenceRow { id: format!("e-{n}"), at: at(n), exchange: json!({"body": "x".repeat(9_000)}) };
        range.map(row).collect()
    };
    store.record_evidence(&rows(0..1_200), &limits.evidence()).unwrap();
    let kept = |store: &Store, n: i64| store.evidence(&[format!("e-{n}")]).unwrap().len();
    assert_eq!((kept(&store, 0), kept(&store, 900), kept(&store, 1_199)), (0, 1, 1), "the oldest goes");
    store.keep_limits(at(2_000)).unwrap();
    store.keep_limits(at(2_000)).unwrap();
    assert_eq!((kept(&store, 900), kept(&store, 1_199)), (1, 1), "a tenth is made free, not all");
}

#[test]
fn evidence_grows_old_though_nothing_newer_comes() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    store.save_run(&run("a.pcap", 1), at(100)).unwrap();
    let limits = Limits { evidence_age_s: 3_600, ..Limits::default() };
    store.set_limits(&limits).unwrap();
    let row = |n| EvidenceRow { id: format!("e-{n}"), at: at(n), exchange: json!({}) };
    store.record_evidence(&[row(0), row(90)], &limits.evidence()).unwrap();
    let mut kept = |now: i64| {
        store.keep_limits(at(now)).unwrap();
        ["e-0", "e-90"].map(|id| store.evidence(&[id.to_owned()]).unwrap().len())
    };
    assert_eq!(kept(3_600), [1, 1]);
    assert_eq!(kept(3_650), [0, 1], "each by its own age");
    assert_eq!(kept(3_800), [0, 0]);
}

#[test]
fn what_is_old_or_too_much_goes_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let mut data = run("a.pcap", 1);
    data.endpoints = (0..20).map(|n| endpoint(&format!("/e/{n}"), 1, n)).collect();
    store.save_run(&data, at(20)).unwrap();
    let few = Retention { rows: 5, ..Retention::default() };
    assert_eq!(store.retain(at(20), &few).unwrap().0["endpoints"], 15);
    let left = store.load().unwrap();
    assert!(left.endpoints.len() == 5 && left.endpoints.iter().all(|e| e.last_seen >= at(15)));
    let short = Retention { age_s: 100, ..Retention::default() };
    assert!(store.retain(at(100), &short).unwrap().0.is_empty());
    let removed = store.retain(at(1_000), &short).unwrap().0;
    assert_eq!(
        (removed["endpoints"], removed["campaigns"], removed["verdicts"], removed["runs"]),
        (5, 1, 1, 1)
    );
    assert!(store.campaigns_of(SubjectKind::Ip, "203.0.113.2").unwrap().is_empty());
    assert_eq!(store.counter("retained.endpoints").unwrap(), 20);
    assert_eq!(store.load().unwrap(), RunData::default());
}

#[test]
fn a_capture_of_long_ago_is_kept_as_long_as_one_of_today() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let mut data = run("old.pcap", 1);
    data.summary.inputs[0].last_ts = Some(at(5));
    data.endpoints[1].last_seen = at(-1_000);
    let years = 10 * 365 * 86_400;
    store.save_run(&data, at(years)).unwrap();
    let week = Retention { age_s: 1_000, ..Retention::default() };
    let removed = store.retain(at(years + 10), &week).unwrap().0;
    assert_eq!(removed.into_iter().collect::<Vec<_>>(), [("endpoints".to_owned(), 1)]);
    store.retain(at(years + 2_000), &week).unwrap();
    assert!(store.runs().unwrap().is_empty());
}

#[test]
fn states_are_kept_and_a_reader_reads_while_a_writer_writes() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    assert_eq!(store.state("ledger").unwrap(), None);
    store.put_state("ledger", b"one").unwrap();
    store.put_state("ledger", b"two").unwrap();
    let reader = Store::open_read_only(&dir.path().join("sidetap.db")).unwrap();
    assert_eq!(reader.state("ledger").unwrap().as_deref(), Some(&b"two"[..]));
    let mut second = open(dir.path());
    second.save_run(&run("a.pcap", 3), at(1)).unwrap();
    store.save_run(&run("b.pcap", 4), at(2)).unwrap();
    assert_eq!(reader.load().unwrap().summary.exchanges.total, 7);
}

#[test]
#[ignore = "measures: cargo test --release -p sidetap-store -- --ignored --nocapture"]
#[allow(clippy::print_stdout)]
fn measure_a_large_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let mut data = run("a.pcap", 1);
    data.endpoints = (0..20_000).map(|n| endpoint(&format!("/e/{n}"), 1, 5)).collect();
    data.verdicts = (0..50_000).map(|n| verdict(&format!("v{n}"), 90, 4)).collect();
    type Step = fn(&mut Store, &RunData);
    let steps: [(&str, Step); 4] = [
        ("first save", |s, d| drop(s.save_run(d, at(1)).unwrap())),
        ("the same again", |s, d| drop(s.save_run(d, at(2)).unwrap())),
        ("load", |s, _| drop(s.load().unwrap())),
        ("retain", |s, _| drop(s.retain(at(3), &Retention::default()).unwrap())),
    ];
    for (what, step) in steps {
        let start = std::time::Instant::now();
        step(&mut store, &data);
        println!("20,000 endpoints and 50,000 verdicts: {what}: {:?}", start.elapsed());
    }
}

#[test]
fn what_people_decide_is_seen_once_and_what_the_watch_does_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let mut seen = 0;
    let note = |store: &mut Store, actor: &str, action: &str| {
        let row = AuditRow { at: at(1), actor: actor.into(), action: action.into(), detail: json!({}) };
        store.record_audit(&row).unwrap();
    };
    note(&mut store, "watch", "policy.load");
    note(&mut store, "anna", "evidence.read");
    assert!(!store.decided_since(&mut seen).unwrap());
    note(&mut store, "anna", "approval.approve");
    assert!(store.decided_since(&mut seen).unwrap());
    assert!(!store.decided_since(&mut seen).unwrap());
}
