//! What lets go is never held: by the kill switch, a cap, a share that a list may shrink by; and a sensor that begins anew lets nobody go.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use sidetap_mitigation::feed::FeedList;
use sidetap_mitigation::{Config, Desired, Enforcer, Mode, PushOptions, Selector};
use sidetap_model::rows::VerdictRow;
use sidetap_model::{SubjectKind, Ts};
use support::{desired, verdict, wall};

fn options() -> PushOptions {
    PushOptions::new(Mode::Enforce)
}

fn enforcer(dir: &Path, max_adds: usize) -> Enforcer {
    let text = format!(
        "max_adds = {max_adds}\nstate = \"{}\"\n[[feed]]\nname = \"a\"\npath = \"{}\"\n",
        dir.join("ledger.json").display(),
        dir.join("a").display()
    );
    let config: Config = toml::from_str(&text).unwrap();
    Enforcer::new(&config).unwrap()
}

fn lines(dir: &Path) -> Vec<String> {
    FeedList::read(&dir.join("a")).unwrap().entries.iter().map(|e| e.key.to_string()).collect()
}

fn blocks(numbers: std::ops::Range<u8>) -> Vec<VerdictRow> {
    numbers
        .map(|n| verdict(&format!("v{n}"), SubjectKind::Ip, &format!("203.0.113.{n}"), "block", 600))
        .collect()
}

#[test]
fn what_nobody_knows_any_more_stays_until_it_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let start = wall();
    let at = |s: i64| Ts::from_parts(start + s, 0);
    enforcer(dir.path(), 100).push(&desired(&blocks(1..4), &[]), at(0), &options());
    let mut again = enforcer(dir.path(), 100);
    let keep = again.ledger().entries.keys().cloned().collect();
    let begun = Desired { keep, ..desired(&blocks(9..10), &["203.0.113.3/32"]) };
    let report = again.push(&begun, at(30), &options());
    assert_eq!((report.connectors[0].added, report.connectors[0].removed), (1, 1), "{report:?}");
    assert_eq!(
        lines(dir.path()),
        ["203.0.113.1", "203.0.113.2", "203.0.113.9"],
        "what is allowed by now goes"
    );
    again.undo(&Selector::Verdict("v1".into()), at(31), &options());
    again.push(&begun, at(32), &options());
    assert_eq!(lines(dir.path()), ["203.0.113.2", "203.0.113.9"], "and what was taken back");
    again.push(&Desired { stopped: true, ..Desired::default() }, at(33), &options());
    assert!(lines(dir.path()).is_empty());
    again.push(&begun, at(34), &options());
    assert_eq!(lines(dir.path()), ["203.0.113.9"], "what left the device does not come back by itself");
    again.push(&begun, at(700), &options());
    assert!(lines(dir.path()).is_empty());
}

#[test]
fn the_kill_switch_empties_what_is_only_tried_out_and_what_may_not_shrink() {
    let dir = tempfile::tempdir().unwrap();
    let now = Ts::from_parts(wall(), 0);
    let mut enforcer = enforcer(dir.path(), 1000);
    enforcer.push(&desired(&blocks(1..101), &[]), now, &options());
    assert_eq!(lines(dir.path()).len(), 100);
    let kept = enforcer.push(&desired(&[], &[]), now, &options());
    assert_eq!((kept.connectors[0].removed, lines(dir.path()).len()), (0, 100));
    enforcer.only_try(["a".to_owned()]);
    let stopped = Desired { stopped: true, ..Desired::default() };
    let dry = enforcer.push(&stopped, now, &PushOptions::new(Mode::DryRun));
    assert_eq!((dry.connectors[0].outcome.as_str(), lines(dir.path()).len()), ("planned", 100));
    let report = enforcer.push(&stopped, now, &options());
    assert_eq!((report.connectors[0].outcome.as_str(), report.connectors[0].removed), ("done", 100));
    assert!(lines(dir.path()).is_empty());
}

#[test]
fn what_was_taken_back_goes_however_much_the_list_shrinks() {
    let dir = tempfile::tempdir().unwrap();
    let now = Ts::from_parts(wall(), 0);
    let mut first = enforcer(dir.path(), 1000);
    let all = desired(&blocks(1..101), &[]);
    first.push(&all, now, &options());
    let list = std::fs::read(dir.path().join("a")).unwrap();
    first.undo(&Selector::All, now, &options());
    std::fs::write(dir.path().join("a"), list).unwrap();
    first.push(&all, now, &options());
    assert!(lines(dir.path()).is_empty());
}

#[test]
fn a_plan_that_a_guard_holds_lets_go_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let start = wall();
    let at = |s: i64| Ts::from_parts(start + s, 0);
    let mut enforcer = enforcer(dir.path(), 3);
    let mut held = blocks(1..4);
    held[0].ttl_s = 20;
    enforcer.push(&desired(&held, &[]), at(0), &options());
    let mut again = blocks(1..60);
    again[0].ttl_s = 20;
    again[2].last_seen = at(30);
    let before = enforcer.ledger().entries["v3"].expires_at;
    let want = desired(&again, &["203.0.113.2/32"]);
    let dry = enforcer.plan(&want, at(30), false);
    assert!(dry.connectors[0].guard.is_some() && dry.connectors[0].plan.add.is_empty());
    let report = enforcer.push(&want, at(30), &options());
    let result = &report.connectors[0];
    assert_eq!((result.outcome.as_str(), result.added, result.removed), ("held", 0, 2), "{result:?}");
    assert!(!report.is_ok() && result.answer.contains("max_adds = 3"));
    let list = FeedList::read(&dir.path().join("a")).unwrap().entries;
    let there: Vec<(String, i64)> = list.iter().map(|e| (e.key.to_string(), e.expires_at)).collect();
    assert_eq!(there, [("203.0.113.3".to_owned(), before)], "over, allowed; and no longer than it was");
    let told = |kind: &str, outcome: &str| {
        report.actions.iter().filter(|a| a.kind == kind && a.outcome == outcome).count()
    };
    assert_eq!((told("remove", "done"), told("push", "refused"), told("add", "done")), (2, 1, 0));
}

#[test]
fn time_to_live_runs_from_the_yes() {
    let dir = tempfile::tempdir().unwrap();
    let start = wall();
    let at = |s: i64| Ts::from_parts(start + s, 0);
    let mut enforcer = enforcer(dir.path(), 100);
    let asked = desired(&blocks(1..2), &[]);
    let waiting = [("a".to_owned(), ["v1".to_owned()].into())].into();
    let report = enforcer.push(&Desired { waiting, ..asked.clone() }, at(0), &options());
    assert_eq!((report.connectors[0].added, enforcer.ledger().entries.len()), (0, 0));
    enforcer.push(&asked, at(700), &options());
    assert_eq!(enforcer.ledger().entries["v1"].expires_at, start + 1300);
    assert_eq!(lines(dir.path()), ["203.0.113.1"]);
}

#[test]
fn what_is_about_to_be_done_is_written_down_first() {
    let dir = tempfile::tempdir().unwrap();
    let now = Ts::from_parts(wall(), 0);
    let mut enforcer = enforcer(dir.path(), 100);
    let (list, (sender, rows)) = (dir.path().join("a"), std::sync::mpsc::channel());
    enforcer.announce(move |rows| {
        let there = FeedList::read(&list).unwrap().entries.len();
        let row = &rows[0];
        sender.send((row.kind.clone(), row.subject.clone(), row.answer.clone(), there)).unwrap();
    });
    let want = desired(&blocks(1..2), &[]);
    enforcer.push(&want, now, &PushOptions::new(Mode::DryRun));
    enforcer.push(&want, now, &options());
    enforcer.push(&want, now, &options());
    enforcer.undo(&Selector::All, now, &options());
    let told: Vec<_> = rows.try_iter().collect();
    let end = now.secs() + 600;
    let row =
        |what: &str, named: &str, there| ("intent".to_owned(), what.to_owned(), named.to_owned(), there);
    assert_eq!(
        told,
        [
            row("1 to add, 0 to refresh, 0 to remove", &format!("add 203.0.113.1 block {end} v1"), 0),
            row("0 to add, 0 to refresh, 1 to undo", &format!("undo 203.0.113.1 block {end} v1"), 1),
        ]
    );
}

/// Killed between the device and the audit: what was meant is compared with what is there.
#[test]
fn what_broke_off_is_settled_by_what_the_device_holds() {
    let dir = tempfile::tempdir().unwrap();
    let now = Ts::from_parts(wall(), 0);
    let mut enforcer = enforcer(dir.path(), 1_000);
    let (sender, rows) = std::sync::mpsc::channel();
    enforcer.announce(move |rows| sender.send(rows.to_vec()).unwrap());
    enforcer.push(&desired(&blocks(1..251), &[]), now, &options());
    let open = rows.recv().unwrap();
    assert_eq!(open.len(), 3, "every entry is named, a hundred in a row");
    let half = desired(&blocks(1..101), &[]);
    enforcer.push(&half, now, &PushOptions { force: true, ..options() });
    let settled = enforcer.settle(&open, now, "watch");
    let (done, last) = settled.split_at(settled.len() - 1);
    assert_eq!(done.len(), 100);
    assert!(done.iter().all(|r| r.kind == "add" && r.outcome == "done" && r.verdict.is_some()));
    assert_eq!(
        (last[0].kind.as_str(), last[0].subject.as_str()),
        ("settle", "100 of 250 changes that were begun are on the device")
    );
    std::fs::write(dir.path().join("a"), "not a list").unwrap();
    assert!(enforcer.settle(&open, now, "watch").is_empty(), "a device that cannot be read says nothing");
}
