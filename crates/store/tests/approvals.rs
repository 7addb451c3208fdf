//! What waits for a yes, and the traffic that good clients are measured by: kept once, bounded, and gone in time.

#![allow(clippy::unwrap_used)]

use sidetap_model::rows::{InputSummary, RunData, Subject, Summary};
use sidetap_model::{SubjectKind, Ts};
use sidetap_store::{Approval, CellRow, Chosen, Retention, Store, StoreError, Which, run_id};

fn at(s: i64) -> Ts {
    Ts::from_parts(1_795_000_000 + s, 0)
}

fn asked(verdict: &str, campaign: &str) -> Approval {
    Approval {
        id: 0,
        at: at(0),
        expires_at: at(3600),
        verdict: verdict.into(),
        subject: Subject { kind: SubjectKind::Ip, value: "203.0.113.1".into(), parts: Vec::new() },
        asks: String::new(),
        response: "block".into(),
        policy: "scraping.bulk".into(),
        campaign: Some(campaign.into()),
        reason: "40 of 40".into(),
        state: "pending".into(),
        decided_at: None,
        decided_by: None,
    }
}

#[test]
fn what_waits_is_asked_once_and_decided_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("s.db")).unwrap();
    assert_eq!(store.ask(&[asked("v1", "c1"), asked("v2", "c1"), asked("v3", "c2")]).unwrap(), 3);
    assert_eq!(store.ask(&[asked("v1", "c1")]).unwrap(), 0, "it waits already");
    let yes = store.decide(&Which::Campaign("c1".into()), true, "ada", at(10)).unwrap();
    assert_eq!(
        yes.iter().map(|a| (a.verdict.as_str(), a.state.as_str())).collect::<Vec<_>>(),
        [("v2", "approved"), ("v1", "approved")]
    );
    let no = store.decide(&Which::All, false, "bob", at(20)).unwrap();
    assert_eq!((no.len(), no[0].verdict.as_str(), no[0].decided_by.as_deref()), (1, "v3", Some("bob")));
    assert!(store.decide(&Which::All, true, "eve", at(30)).unwrap().is_empty(), "decided once");
    assert_eq!(store.ask(&[asked("v3", "c2")]).unwrap(), 0, "nobody is asked again while a no holds");
    let again = Approval { at: at(4000), expires_at: at(7600), ..asked("v3", "c2") };
    assert_eq!(store.ask(&[again]).unwrap(), 1, "after it, somebody is");
    let audit: Vec<(String, String)> =
        store.audit(10, 0).unwrap().into_iter().map(|r| (r.actor, r.action)).collect();
    let row = |who: &str, what: &str| (who.to_owned(), format!("mitigation.{what}"));
    assert_eq!(audit, [row("bob", "reject"), row("ada", "approve"), row("ada", "approve")]);
}

#[test]
fn several_are_decided_by_all_that_is_named_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("s.db")).unwrap();
    let with = |verdict: &str, campaign: &str, policy: &str| Approval {
        policy: policy.into(),
        ..asked(verdict, campaign)
    };
    let all =
        [with("v1", "c1", "p1"), with("v2", "c1", "p2"), with("v3", "c2", "p1"), with("v4", "c1", "p1")];
    assert_eq!(store.ask(&all).unwrap(), 4);
    let mut decide = |chosen: Chosen| -> Vec<String> {
        let decided = store.decide(&Which::Chosen(chosen), true, "ada", at(10)).unwrap();
        decided.into_iter().map(|a| a.verdict).collect()
    };
    let named = |campaign: &str, policy: &str| Chosen {
        campaign: Some(campaign.into()),
        policy: Some(policy.into()),
        ..Chosen::default()
    };
    assert_eq!(decide(named("c2", "p2")), [""; 0]);
    assert_eq!(decide(Chosen { up_to: Some(3), ..named("c1", "p1") }), ["v1"], "v4 was asked later");
    assert_eq!(decide(Chosen { ids: Some([1, 3].into()), ..Chosen::default() }), ["v3"], "v1 is decided");
    store.withdraw(&[2]).unwrap();
    let left = store.decide(&Which::All, true, "ada", at(10)).unwrap();
    assert_eq!(left.iter().map(|a| &*a.verdict).collect::<Vec<_>>(), ["v4"], "v2 asks no more");
    assert_eq!(store.ask(&[with("v2", "c1", "p2")]).unwrap(), 1, "and may be asked anew");
}

fn run(name: &str, last: i64) -> RunData {
    let input = InputSummary {
        path: name.into(),
        first_ts: Some(at(0)),
        last_ts: Some(at(last)),
        ..InputSummary::default()
    };
    RunData { summary: Summary { inputs: vec![input], ..Summary::default() }, ..RunData::default() }
}

fn cell(hour: i64, name: &str, requests: u64) -> CellRow {
    CellRow { hour: at(hour), cell: name.into(), requests, first: at(hour + 1), last: at(hour + 60) }
}

#[test]
fn cells_are_added_up_within_a_run_and_never_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("s.db")).unwrap();
    let cells = |store: &Store, span| {
        let mut all = Vec::new();
        let take = |_: &str, c: CellRow| -> Result<(), StoreError> {
            all.push(c);
            Ok(())
        };
        store.each_cell(span, take).unwrap();
        all
    };
    assert!(cells(&store, 3600).is_empty());
    let data = run("a.pcap", 9_000);
    let id = run_id(&data.summary);
    store.save_run(&data, at(9_000)).unwrap();
    assert_eq!(store.add_cells(&id, &[cell(0, "x", 2), cell(0, "y", 1)]).unwrap(), 0);
    store.add_cells(&id, &[cell(0, "x", 3), cell(7200, "x", 1)]).unwrap();
    let sums = |store: &Store, span| -> Vec<(String, u64)> {
        cells(store, span).into_iter().map(|c| (c.cell, c.requests)).collect()
    };
    let own = |cells: &[(&str, u64)]| cells.iter().map(|(c, n)| ((*c).to_owned(), *n)).collect::<Vec<_>>();
    assert_eq!(sums(&store, 86_400), own(&[("x", 1), ("y", 1), ("x", 5)]), "the newest first");
    assert_eq!(sums(&store, 3600), own(&[("x", 1)]), "only the last hour");
    store.clear_cells(&id).unwrap();
    store.add_cells(&id, &[cell(0, "x", 5)]).unwrap();
    assert_eq!(sums(&store, 86_400), own(&[("x", 5)]));
    let many: Vec<CellRow> = (0..50_010).map(|n| cell(0, &format!("c{n}"), 2)).collect();
    assert_eq!(store.add_cells(&id, &many).unwrap(), 22, "an hour holds 50,000 cells");
    store.retain(at(9_000 + 8 * 86_400), &Retention::default()).unwrap();
    assert!(cells(&store, u64::MAX).is_empty(), "a week is enough");
}
