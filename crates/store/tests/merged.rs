//! Endpoints that are merged and told apart: where ids lead, and what people said of them.

#![allow(clippy::unwrap_used)]

use serde_json::json;
use sidetap_model::rows::{EndpointRow, FindingRow, InputSummary, RunData};
use sidetap_model::{EndpointId, Ts};
use sidetap_store::{AUDIT, ENDPOINTS, Filter, Notes, Scope, ShapeRow, Store, Test, Wanted, WorkChange};

fn at(s: i64) -> Ts {
    Ts::from_parts(1_795_000_000 + s, 0)
}

fn id(template: &str) -> String {
    EndpointId::of("default", "h", "GET", template).to_string()
}

fn endpoint(template: &str, aliases: &[&str]) -> EndpointRow {
    serde_json::from_value(json!({
        "id": id(template), "zone": "default", "host": "h", "method": "GET", "template": template, "protocol": "rest", "calls": 3,
        "first_seen": at(0), "last_seen": at(1), "status_codes": {"200": 3}, "auth": [], "exposure": "public", "standing": "unknown",
        "roles": [], "channels": [], "callers": {"count": 1, "countries": {}, "organizations": {}}, "sensitive": [], "risk": 0,
        "parameters": [], "aliases": aliases.iter().map(|a| id(a)).collect::<Vec<_>>()
    }))
    .unwrap()
}

fn run(path: &str, endpoints: Vec<EndpointRow>) -> RunData {
    let mut data = RunData { endpoints, ..RunData::default() };
    data.summary.inputs.push(InputSummary { path: path.into(), ..InputSummary::default() });
    data
}

fn save(store: &mut Store, path: &str, endpoints: &[(&str, &[&str])]) {
    let endpoints = endpoints.iter().map(|(t, aliases)| endpoint(t, aliases)).collect();
    store.save_found(&run(path, endpoints), at(100)).unwrap();
}

fn open() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("s.db")).unwrap();
    (dir, store)
}

fn say(store: &mut Store, template: &str, labels: &[&str], owner: Option<&str>, note: Option<&str>) {
    let labels = labels.iter().map(|l| (*l).to_owned()).collect();
    let notes = Notes { labels, owner: owner.map(str::to_owned), note: note.map(str::to_owned) };
    store.put_notes("endpoint", &id(template), &notes).unwrap();
}

fn said(store: &Store, template: &str) -> (Vec<String>, Option<String>, Option<String>) {
    let Notes { labels, owner, note } = store.notes("endpoint", &id(template)).unwrap();
    (labels, owner, note)
}

/// The template of the endpoint that an id leads to.
fn leads_to(store: &Store, template: &str) -> Option<String> {
    store.endpoint(&id(template)).unwrap().map(|e| e.row.template)
}

fn with_label(store: &Store, label: &str) -> Vec<String> {
    let test = Test::Any(vec![label.to_owned()]);
    let filters = vec![Filter { column: ENDPOINTS.column("label").unwrap(), test }];
    let part = store.endpoint_list(&Wanted { filters, limit: 100, ..Wanted::default() }).unwrap();
    part.rows.into_iter().map(|e| e.row.template).collect()
}

#[test]
fn what_was_said_of_merged_endpoints_goes_on_and_comes_back() {
    let (_dir, mut store) = open();
    save(&mut store, "a", &[("/u/anna", &[]), ("/u/bob", &[]), ("/u/carl", &[]), ("/x", &[])]);
    say(&mut store, "/u/anna", &["pii", "vip"], Some("Ann"), None);
    say(&mut store, "/u/bob", &["pii", "old"], Some("Bob"), Some("asks for carl"));
    let words = |all: &[&str]| all.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();

    // The run learns a template; of one id nobody says that it was an alias.
    save(&mut store, "a", &[("/u/{name}", &["/u/anna"]), ("/x", &[])]);
    let (mut labels, owner, note) = said(&store, "/u/{name}");
    labels.sort();
    assert_eq!(labels, words(&["old", "pii", "vip"]));
    assert_eq!((owner.as_deref(), note.as_deref()), (Some("Ann"), Some("asks for carl")));
    for old in ["/u/anna", "/u/bob", "/u/carl", "/u/{name}"] {
        assert_eq!(leads_to(&store, old).as_deref(), Some("/u/{name}"), "{old}");
    }
    assert_eq!(leads_to(&store, "/u/dora"), None, "nobody knew this one");
    assert_eq!(with_label(&store, "vip"), ["/u/{name}"]);
    let merged = store.merged_notes(&id("/u/{name}")).unwrap();
    let owners: Vec<_> = merged.iter().map(|m| (m.template.as_deref(), m.owner.as_deref())).collect();
    assert_eq!(owners, [(Some("/u/anna"), Some("Ann")), (Some("/u/bob"), Some("Bob"))]);
    assert_eq!(store.audit_list(&Wanted { limit: 9, ..Wanted::default() }).unwrap().rows.len(), 2);
    assert_eq!(AUDIT.default_sort, "at");

    // What is taken off stays off.
    say(&mut store, "/u/{name}", &["pii"], Some("Ann"), None);
    save(&mut store, "a", &[("/u/{name}", &["/u/anna"]), ("/x", &[])]);
    assert_eq!(said(&store, "/u/{name}").0, ["pii"]);

    // Told apart, each has its own again; merged once more, it is carried once more.
    save(&mut store, "a", &[("/u/anna", &[]), ("/u/bob", &[]), ("/x", &[])]);
    assert_eq!(said(&store, "/u/bob").1.as_deref(), Some("Bob"));
    assert_eq!(leads_to(&store, "/u/bob").as_deref(), Some("/u/bob"));
    assert_eq!(with_label(&store, "vip"), ["/u/anna"]);
    assert!(store.merged_notes(&id("/u/{name}")).unwrap().is_empty());
    save(&mut store, "a", &[("/u/{name}", &[]), ("/x", &[])]);
    assert_eq!(with_label(&store, "vip"), ["/u/{name}"]);
}

#[test]
fn a_merge_that_people_set_reaches_back_to_older_runs() {
    let (_dir, mut store) = open();
    save(
        &mut store,
        "a",
        &[("/items/1", &[]), ("/items/1/stock", &[]), ("/items/search", &[]), ("/other/1", &[])],
    );
    for template in ["/items/1", "/items/1/stock", "/items/search", "/other/1"] {
        say(&mut store, template, &[template], None, None);
    }
    let shape = |template: &str| ShapeRow {
        id: 0,
        host: "h".into(),
        method: "GET".into(),
        template: template.into(),
        kind: String::new(),
        reason: String::new(),
        by: "anna".into(),
        at: at(1),
    };
    store.add_shape(&shape("/items/{sku}")).unwrap().unwrap();
    let of = |store: &Store, template: &str| {
        store.merged_into(&store.endpoint(&id(template)).unwrap().unwrap().row).unwrap()
    };
    assert_eq!(of(&store, "/items/1"), None, "no run went by it yet");
    let next: &[(&str, &[&str])] =
        &[("/items/{id}", &[]), ("/items/{id}/stock", &[]), ("/items/search", &[]), ("/other/{id}", &[])];
    save(&mut store, "b", next);
    assert_eq!(said(&store, "/items/{id}").0, ["/items/1"]);
    assert_eq!(said(&store, "/items/{id}/stock").0, ["/items/1/stock"]);
    assert_eq!(said(&store, "/other/{id}").0, Vec::<String>::new(), "nobody merged those");
    assert_eq!(of(&store, "/items/1"), Some(id("/items/{id}")));
    assert_eq!(of(&store, "/items/search"), None, "this run tells it apart");
    assert_eq!(of(&store, "/other/1"), None);
}

#[test]
fn an_endpoint_that_is_merely_gone_goes_on_as_nothing() {
    let (_dir, mut store) = open();
    save(&mut store, "a", &[("/items/{id}", &[]), ("/items/search", &[])]);
    say(&mut store, "/items/search", &["find"], Some("Ann"), None);

    // Nobody searched this time.
    save(&mut store, "a", &[("/items/{id}", &[])]);
    assert_eq!(said(&store, "/items/{id}"), (Vec::new(), None, None));
    assert_eq!(leads_to(&store, "/items/search"), None);
    assert!(store.merged_notes(&id("/items/{id}")).unwrap().is_empty());
    save(&mut store, "a", &[("/items/{id}", &[]), ("/items/search", &[])]);
    assert_eq!(said(&store, "/items/search").1.as_deref(), Some("Ann"));

    // Gone, and later said to be one with the other.
    save(&mut store, "a", &[("/items/{id}", &[])]);
    save(&mut store, "a", &[("/items/{id}", &["/items/search"])]);
    assert_eq!(said(&store, "/items/{id}").0, ["find"]);
    assert_eq!(leads_to(&store, "/items/search").as_deref(), Some("/items/{id}"));
}

#[test]
fn an_endpoint_that_another_run_has_is_no_former_one() {
    let (_dir, mut store) = open();
    let kind = sidetap_model::SubjectKind::Account;
    for run in ["a", "b"] {
        save(&mut store, run, &[("/u/anna@example.org", &[])]);
    }
    save(&mut store, "a", &[("/u/{name}", &[])]);
    assert_eq!(leads_to(&store, "/u/anna@example.org").as_deref(), Some("/u/anna@example.org"));
    let removed = store.forget(kind, "anna@example.org", "root", at(200)).unwrap();
    assert_eq!(removed.0.get("former").copied().unwrap_or(0), 0);
}

#[test]
fn what_is_said_is_said_under_ids_that_are_known_now() {
    let (_dir, mut store) = open();
    save(&mut store, "a", &[("/u/anna", &[]), ("/u/bob", &[])]);
    save(&mut store, "a", &[("/u/{name}", &["/u/anna"])]);
    let of = |template: &str| store.endpoint_id(&id(template)).unwrap();
    assert_eq!(of("/u/{name}"), Some(id("/u/{name}")));
    assert_eq!(of("/u/anna"), Some(id("/u/{name}")));
    assert_eq!(of("/u/bob"), None, "no run says so");
}

#[test]
fn a_former_endpoint_forgets_whom_it_names() {
    let (_dir, mut store) = open();
    save(&mut store, "a", &[("/u/anna@example.org", &[])]);
    save(&mut store, "a", &[("/u/{name}", &[])]);
    assert_eq!(leads_to(&store, "/u/anna@example.org").as_deref(), Some("/u/{name}"));
    let kind = sidetap_model::SubjectKind::Account;
    let removed = store.forget(kind, "anna@example.org", "root", at(200)).unwrap();
    assert_eq!(removed.0.get("former"), Some(&1));
}

#[test]
fn what_a_template_would_merge_is_said_before() {
    let (_dir, mut store) = open();
    let known =
        ["/items/1", "/items/2", "/items/2/stock", "/items/special", "/items/special/stock", "/other/1"];
    save(&mut store, "a", &known.map(|t| (t, &[][..])));
    let shape = ShapeRow {
        id: 0,
        host: "h".into(),
        method: "GET".into(),
        template: "/items/special".into(),
        kind: String::new(),
        reason: String::new(),
        by: "anna".into(),
        at: at(1),
    };
    store.add_shape(&shape).unwrap().unwrap();
    let all = store.reshaped("h", "/items/{sku}").unwrap();
    let all: Vec<_> = all.iter().map(|r| (&*r.template, &*r.what, &*r.becomes, r.calls)).collect();
    assert_eq!(
        all,
        [
            ("/items/1", "merge", "/items/{sku}", 3),
            ("/items/2", "merge", "/items/{sku}", 3),
            ("/items/2/stock", "merge", "/items/{sku}/stock", 3),
        ]
    );
    assert!(store.reshaped("elsewhere", "/items/{sku}").unwrap().is_empty());
}

fn finding(rule: &str, template: &str) -> FindingRow {
    serde_json::from_value(json!({
        "id": format!("{rule}-{template}"), "kind": "risk", "rule": rule, "severity": "high", "certainty": "observed", "owasp": [],
        "subject": {"endpoint": id(template), "host": "h"}, "title": rule, "detail": "", "evidence": [], "first_seen": at(0),
        "last_seen": at(1), "count": 1
    }))
    .unwrap()
}

#[test]
fn work_on_findings_of_merged_endpoints_goes_on_and_comes_back() {
    let (_dir, mut store) = open();
    let save = |store: &mut Store, templates: &[&str]| {
        let mut data = run("a", templates.iter().map(|t| endpoint(t, &[])).collect());
        let rules = ["pii", "auth", "old"];
        data.findings = templates.iter().flat_map(|t| rules.map(|rule| finding(rule, t))).collect();
        store.save_found(&data, at(100)).unwrap();
    };
    let work = |store: &mut Store, id: &str, status: &str, assignee: Option<&str>, scope: Scope| {
        let change = WorkChange {
            status: Some(status.to_owned()),
            assignee: assignee.map(|a| Some(a.to_owned())),
            expires_at: (status == "accepted").then_some(Some(at(9_000))),
            note: Some(format!("as of {id}")),
            scope,
        };
        assert_eq!(store.work_on(&[id.to_owned()], &change, "anna", at(150)).unwrap(), 1, "{id}");
    };
    let done = |store: &Store, id: &str| {
        let work = store.finding(id).unwrap().unwrap().work;
        (work.status, work.assignee, work.by_rule)
    };
    let is = |status: &str, assignee: Option<&str>, by_rule| {
        (status.to_owned(), assignee.map(str::to_owned), by_rule)
    };
    store.set_now(at(200));
    save(&mut store, &["/u/anna", "/u/bob", "/x"]);
    work(&mut store, "pii-/u/anna", "accepted", None, Scope::Finding);
    work(&mut store, "pii-/u/bob", "assigned", Some("bert"), Scope::Finding);
    work(&mut store, "auth-/u/anna", "accepted", None, Scope::Finding);
    work(&mut store, "old-/u/bob", "false-positive", None, Scope::Endpoint);
    work(&mut store, "pii-/x", "fixed", None, Scope::Finding);

    save(&mut store, &["/u/{name}", "/x"]);
    assert_eq!(done(&store, "pii-/u/{name}"), is("assigned", Some("bert"), false), "what leaves most to do");
    // Of the other one, and of those to come, nobody said that it may be so.
    assert_eq!(done(&store, "auth-/u/{name}"), is("open", None, false));
    assert_eq!(done(&store, "old-/u/{name}"), is("open", None, false));
    assert_eq!(done(&store, "pii-/x").0, "fixed");
    let log = store.work_log("auth-/u/{name}").unwrap();
    assert_eq!((log[0].by.as_str(), log[0].note.as_deref()), ("discovery", Some("as of auth-/u/anna")));

    // What is said there since stays, and is carried no second time.
    work(&mut store, "auth-/u/{name}", "accepted", None, Scope::Finding);
    work(&mut store, "old-/u/{name}", "assigned", Some("cleo"), Scope::Finding);
    save(&mut store, &["/u/{name}", "/x"]);
    assert_eq!(
        (done(&store, "auth-/u/{name}").0, done(&store, "old-/u/{name}").0),
        ("accepted".into(), "assigned".into())
    );

    // Told apart, each has its own again.
    save(&mut store, &["/u/anna", "/u/bob", "/x"]);
    assert_eq!(done(&store, "pii-/u/anna").0, "accepted");
    assert_eq!(done(&store, "auth-/u/bob").0, "open");
    assert_eq!(done(&store, "old-/u/bob").0, "false-positive");
}

#[test]
fn work_on_findings_stays_as_it_was_where_a_parameter_has_another_name_and_only_there() {
    let (_dir, mut store) = open();
    let save = |store: &mut Store, templates: &[&str], seen: i64| {
        let mut data = run("a", templates.iter().map(|t| endpoint(t, &[])).collect());
        let rules = ["pii", "auth", "old"];
        data.findings = templates.iter().flat_map(|t| rules.map(|rule| finding(rule, t))).collect();
        data.findings.iter_mut().for_each(|f| f.last_seen = at(seen));
        store.save_found(&data, at(100)).unwrap();
    };
    let work = |store: &mut Store, id: &str, status: &str, assignee: Option<&str>, scope: Scope| {
        let change = WorkChange {
            status: Some(status.to_owned()),
            assignee: assignee.map(|a| Some(a.to_owned())),
            expires_at: (status == "accepted").then_some(Some(at(9_000))),
            note: None,
            scope,
        };
        assert_eq!(store.work_on(&[id.to_owned()], &change, "anna", at(150)).unwrap(), 1, "{id}");
    };
    let done = |store: &Store, id: &str| {
        let work = store.finding(id).unwrap().unwrap().work;
        (work.status, work.assignee, work.by_rule)
    };
    let is = |status: &str, assignee: Option<&str>, by_rule| {
        (status.to_owned(), assignee.map(str::to_owned), by_rule)
    };
    store.set_now(at(200));
    save(&mut store, &["/u/{id}", "/x/a", "/y/{id}", "/y/new"], 1);
    work(&mut store, "pii-/u/{id}", "accepted", Some("bert"), Scope::Finding);
    work(&mut store, "auth-/u/{id}", "fixed", None, Scope::Finding);
    work(&mut store, "old-/u/{id}", "false-positive", None, Scope::Endpoint);
    work(&mut store, "pii-/x/a", "accepted", Some("cleo"), Scope::Finding);
    work(&mut store, "auth-/x/a", "fixed", None, Scope::Finding);
    work(&mut store, "old-/x/a", "false-positive", None, Scope::Endpoint);
    work(&mut store, "pii-/y/{id}", "accepted", None, Scope::Finding);
    work(&mut store, "pii-/y/new", "false-positive", Some("dora"), Scope::Finding);

    save(&mut store, &["/u/{user}", "/x/{name}", "/y/{key}"], 1);
    assert_eq!(done(&store, "pii-/u/{user}"), is("accepted", Some("bert"), false));
    assert_eq!(done(&store, "auth-/u/{user}"), is("fixed", None, false));
    assert_eq!(done(&store, "old-/u/{user}").0, "false-positive");
    // This one is about all that come to be called so, though it took in no other yet: it is open again, and who knows it still stands there.
    assert_eq!(done(&store, "pii-/x/{name}"), is("open", Some("cleo"), false));
    assert_eq!(done(&store, "auth-/x/{name}"), is("open", None, false));
    assert_eq!(done(&store, "old-/x/{name}"), is("open", None, false));
    // Both in one: what leaves most to do.
    assert_eq!(done(&store, "pii-/y/{key}"), is("open", Some("dora"), false));

    // What was taught holds for others there, and may be taken back; it is not carried again.
    let mut data = run("b", vec![endpoint("/u/{user}", &[])]);
    data.findings = vec![FindingRow { id: "old-2".into(), ..finding("old", "/u/{user}") }];
    store.save_found(&data, at(100)).unwrap();
    assert_eq!(done(&store, "old-2"), is("false-positive", None, true));
    work(&mut store, "old-/u/{user}", "open", None, Scope::Endpoint);
    save(&mut store, &["/u/{user}", "/x/{name}", "/y/{key}"], 300);
    assert_eq!(done(&store, "old-2"), is("open", None, false));
    assert_eq!(done(&store, "auth-/u/{user}").0, "open", "it was seen after it was fixed");
    // An acceptance that is over leaves a finding to do, and whose it was.
    store.set_now(at(9_001));
    assert_eq!(done(&store, "pii-/u/{user}"), is("open", Some("bert"), false));
    store
        .work_on(
            &["pii-/u/{user}".to_owned()],
            &WorkChange { assignee: Some(None), ..WorkChange::default() },
            "anna",
            at(9_002),
        )
        .unwrap();
    assert_eq!(done(&store, "pii-/u/{user}"), is("open", None, false));
}

#[test]
fn labels_are_said_once_and_nothing_is_nothing() {
    let (_dir, mut store) = open();
    save(&mut store, "a", &[("/x", &[])]);
    say(&mut store, "/x", &[" pii", "pii ", "", "vip"], Some("  "), Some(""));
    assert_eq!(said(&store, "/x"), (vec!["pii".to_owned(), "vip".to_owned()], None, None));
    assert_eq!(with_label(&store, "pii"), ["/x"]);
}
