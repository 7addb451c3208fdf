//! Forgetting somebody while a run goes on, and while devices hold what came of verdicts on them.

#![allow(clippy::unwrap_used)]

use serde_json::json;
use sidetap_model::rows::VerdictRow;
use sidetap_model::{ActionRow, SubjectKind, Ts};
use sidetap_store::Store;

const NAME: &str = "203.0.113.7";

fn at(s: i64) -> Ts {
    Ts::from_parts(1_795_000_000 + s, 0)
}

fn verdict(first: i64) -> VerdictRow {
    serde_json::from_value(json!({
        "id": "v7", "zone": "default", "subject": {"kind": "ip", "value": NAME}, "client_ip": NAME, "client_ips": [NAME],
        "intent": "malicious", "class": "credential-stuffing", "oat": [], "score": 90, "automation": 80, "coverage": {},
        "campaign": null, "phase": "online", "first_seen": at(first), "detected_at": at(first + 1), "last_seen": at(first + 9),
        "requests": 9, "reasons": [], "response": "block", "ttl_s": 60
    }))
    .unwrap()
}

fn action(kind: &str) -> ActionRow {
    ActionRow {
        at: at(200),
        actor: "watch".into(),
        connector: "edge".into(),
        kind: kind.into(),
        mode: "enforce".into(),
        subject: NAME.into(),
        response: "block".into(),
        verdict: Some("v7".into()),
        expires_at: None,
        outcome: "done".into(),
        answer: format!("{NAME} is gone"),
        why: String::new(),
    }
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("s.db")).unwrap();
    store.save_verdicts("live", &[verdict(0)], at(10)).unwrap();
    (dir, store)
}

/// How often the file says the name.
fn said(dir: &tempfile::TempDir, store: &Store) -> usize {
    store.checkpoint().unwrap();
    let bytes = std::fs::read(dir.path().join("s.db")).unwrap();
    bytes.windows(NAME.len()).filter(|w| *w == NAME.as_bytes()).count()
}

/// A run that goes on until this is dropped.
fn run(dir: &tempfile::TempDir, name: &str, since: i64) -> Store {
    let mut store = Store::open(&dir.path().join("s.db")).unwrap();
    store.goes_on(name, at(since)).unwrap();
    store
}

#[test]
fn a_run_that_goes_on_is_asked_to_forget_and_swept_after() {
    let (dir, mut store) = store();
    let live = run(&dir, "live", 200);
    drop(run(&dir, "over", 190));
    store.forget(SubjectKind::Ip, NAME, "anna", at(201)).unwrap();
    assert!(store.to_forget("over", 0).unwrap().is_empty(), "it was killed");
    let asked = store.to_forget("live", 0).unwrap();
    assert_eq!((asked.len(), asked[0].value.as_str(), asked[0].acted), (1, NAME, None));
    assert!(store.to_forget("live", asked[0].seq).unwrap().is_empty());
    // Whoever keeps verdicts wrote what was in hand, and then heard of it.
    store.save_verdicts("live", &[verdict(0)], at(202)).unwrap();
    store.forget_verdicts(&asked[0], at(203)).unwrap();
    assert!(store.to_forget("live", 0).unwrap()[0].acted == Some(at(203)));
    assert!(store.verdict("v7").unwrap().is_none());
    store.forget_again(&asked).unwrap();
    assert!(store.to_forget("live", 0).unwrap().is_empty());
    assert_eq!(said(&dir, &store), 0);
    // It stands still for a day, with all that it knows.
    store.end_silent(at(86_400)).unwrap();
    store.forget(SubjectKind::Ip, NAME, "anna", at(86_400)).unwrap();
    assert_eq!(store.to_forget("live", 0).unwrap().len(), 1);
    drop(live);
    store.end_silent(at(86_401)).unwrap();
    assert!(!store.is_watched(at(86_401)).unwrap() && store.to_forget("live", 0).unwrap().is_empty());
    let left = std::fs::read_dir(dir.path())
        .unwrap()
        .filter(|f| f.as_ref().unwrap().file_name().to_string_lossy().contains("-watch-"));
    assert_eq!(left.count(), 0);
}

#[test]
fn what_is_said_after_a_run_forgot_is_said_of_somebody_new() {
    let (_dir, mut store) = store();
    store.goes_on("live", at(20)).unwrap();
    store.forget(SubjectKind::Ip, NAME, "anna", at(21)).unwrap();
    let asked = store.to_forget("live", 0).unwrap();
    store.forget_verdicts(&asked[0], at(22)).unwrap();
    // Its first request was on its way when it was forgotten.
    store.save_verdicts("live", &[verdict(20)], at(32)).unwrap();
    store.record_actions(&[action("add")]).unwrap();
    let entry = sidetap_store::AllowedRow {
        id: 0,
        kind: "ip".into(),
        value: NAME.into(),
        reason: String::new(),
        by: "anna".into(),
        at: at(33),
        expires_at: None,
    };
    store.allow(&entry).unwrap();
    let said = |at, actor: &str| sidetap_store::AuditRow {
        at,
        actor: actor.to_owned(),
        action: "allow.add".to_owned(),
        detail: json!({ "value": NAME }),
    };
    // People decide while the run has not heard of it yet; what it writes itself then is of before.
    store.forget_verdicts(&asked[0], at(30)).unwrap();
    store.save_verdicts("live", &[verdict(20)], at(32)).unwrap();
    for (at, actor) in [(at(25), "anna"), (at(25), "watch"), (at(33), "watch")] {
        store.record_audit(&said(at, actor)).unwrap();
    }
    store.forget_again(&store.to_forget("live", 0).unwrap()).unwrap();
    assert!(store.verdict("v7").unwrap().is_some(), "the run will not say it again");
    assert_eq!(store.actions(10, 0).unwrap()[0].subject, NAME, "it was done to somebody new");
    assert_eq!(store.allowed(at(40)).unwrap().len(), 1, "people say what they say since");
    let rows = store.audit(4, 0).unwrap();
    let named: Vec<bool> =
        rows.iter().filter(|r| r.action == "allow.add").map(|r| r.detail["value"] == NAME).collect();
    assert_eq!(named, [true, false, true], "{rows:?}");
    assert!(store.forgotten_verdicts().unwrap().is_empty());
}

#[test]
fn what_a_killed_run_had_to_forget_is_forgotten_by_who_comes_next() {
    for next in 0..3 {
        let (dir, mut store) = store();
        let live = run(&dir, "live", 20);
        store.forget(SubjectKind::Ip, NAME, "anna", at(21)).unwrap();
        store.save_verdicts("live", &[verdict(0)], at(22)).unwrap();
        store.goes_on("other", at(30)).unwrap();
        assert!(said(&dir, &store) > 0, "it is still there");
        drop(live);
        match next {
            0 => store.goes_on("other", at(31)).unwrap(),
            1 => drop(store.keep_limits(at(31)).unwrap()),
            _ => drop(store.forget(SubjectKind::Ip, "192.0.2.1", "anna", at(31)).unwrap()),
        }
        assert_eq!(said(&dir, &store), 0, "{next}");
        assert!(store.to_forget("live", 0).unwrap().is_empty());
    }
}

#[test]
fn a_run_that_ends_leaves_nobody_to_be_forgotten() {
    let (dir, mut store) = store();
    store.goes_on("live", at(20)).unwrap();
    store.forget(SubjectKind::Ip, NAME, "anna", at(21)).unwrap();
    store.save_verdicts("live", &[verdict(0)], at(22)).unwrap();
    assert!(said(&dir, &store) > 0);
    store.is_over("live", at(23)).unwrap();
    assert_eq!(said(&dir, &store), 0);
    assert!(!store.is_watched(at(22)).unwrap());
    // Nobody goes on: no name is written for anybody to forget.
    store.save_verdicts("live", &[verdict(0)], at(23)).unwrap();
    store.forget(SubjectKind::Ip, NAME, "anna", at(24)).unwrap();
    assert_eq!(said(&dir, &store), 0);
}

#[test]
fn what_leaves_a_device_for_being_forgotten_is_told_without_the_name() {
    let (dir, mut store) = store();
    store.record_intents(&[action("add")]).unwrap();
    store.record_actions(&[action("add")]).unwrap();
    store.forget(SubjectKind::Ip, NAME, "anna", at(21)).unwrap();
    assert_eq!(said(&dir, &store), 0);
    store.record_intents(&[action("remove")]).unwrap();
    store.record_actions(&[action("remove")]).unwrap();
    assert_eq!(said(&dir, &store), 0, "{:?}", store.audit(20, 0).unwrap());
    let actions = store.actions(10, 0).unwrap();
    assert_eq!((actions[0].subject.as_str(), actions[0].kind.as_str()), ("(forgotten)", "remove"));
    assert_eq!(actions[0].answer, "(forgotten) is gone");
    // Told of again they have a name again.
    store.save_verdicts("live", &[verdict(30)], at(40)).unwrap();
    store.record_actions(&[action("add")]).unwrap();
    assert_eq!(store.actions(10, 0).unwrap()[0].subject, NAME);
}

#[test]
fn what_a_killed_run_left_is_swept_and_what_its_successor_says_stays() {
    let (dir, mut store) = store();
    let live = run(&dir, "live", 200);
    store.forget(SubjectKind::Ip, NAME, "anna", at(201)).unwrap();
    // It has not heard of it yet, acts and is killed.
    store.save_verdicts("live", &[verdict(0)], at(202)).unwrap();
    let done = |s| ActionRow { at: at(s), ..action("add") };
    store.record_actions(&[done(202)]).unwrap();
    drop(live);
    // Another one is started; the same attacker goes on.
    let mut again = verdict(230);
    again.id = "v8".to_owned();
    store.goes_on("next", at(230)).unwrap();
    store.save_verdicts("next", &[again], at(240)).unwrap();
    store.record_actions(&[ActionRow { verdict: Some("v8".into()), ..done(240) }]).unwrap();
    store.goes_on("next", at(330)).unwrap();
    assert!(store.to_forget("live", 0).unwrap().is_empty());
    assert!(store.verdict("v7").unwrap().is_none());
    assert!(store.verdict("v8").unwrap().is_some());
    let named: Vec<Ts> =
        store.actions(10, 0).unwrap().iter().filter(|a| a.subject == NAME).map(|a| a.at).collect();
    assert_eq!(named, [at(240)]);
    assert!(!store.forgotten_verdicts().unwrap().contains("v8"));
    drop(dir);
}
