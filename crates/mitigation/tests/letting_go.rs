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
fn each_row_of_the_audit_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let mut enforcer = enforcer(dir.path(), 100);
    let mut again = blocks(2..3).remove(0);
    again.measures = Some(Box::new(sidetap_model::Measures { again: 2, ..Default::default() }));
    let both = desired(&[blocks(1..2).remove(0), again], &[]);
    let planned = enforcer.plan(&both, Ts::from_parts(wall(), 0), false);
    assert!(planned.connectors[0].why["v1"].starts_with("rule credential-stuffing of shop.yaml 7; "));
    let whys = |report: sidetap_mitigation::PushReport| -> Vec<String> {
        report.actions.into_iter().map(|a| format!("{} {}: {}", a.kind, a.subject, a.why)).collect()
    };
    let added = whys(enforcer.push(&both, Ts::from_parts(wall(), 0), &options()));
    let rule = "rule credential-stuffing of shop.yaml 7; credential-stuffing, harm 90; for ";
    assert!(added[0].starts_with(&format!("add 203.0.113.1: {rule}")), "{added:?}");
    assert!(added[1].ends_with("; escalated, acted against 2 times before"), "{added:?}");
    let one = desired(&blocks(1..2), &[]);
    let gone = whys(enforcer.push(&one, Ts::from_parts(wall(), 0), &options()));
    assert_eq!(gone, ["remove 203.0.113.2: nobody asks for it any more"]);
    let asked = PushOptions { why: "asked for: last 1h".into(), ..options() };
    let undone = whys(enforcer.undo(&Selector::All, Ts::from_parts(wall(), 0), &asked));
    assert_eq!(undone, ["undo 203.0.113.1: asked for: last 1h"]);
    // Of what is over, and of the kill switch, too.
    enforcer.redo(&Selector::All).unwrap();
    enforcer.push(&one, Ts::from_parts(wall(), 0), &options());
    let later = Ts::from_parts(wall() + 601, 0);
    assert_eq!(whys(enforcer.push(&one, later, &options())), ["remove 203.0.113.1: its time is over"]);
    enforcer.push(&both, later, &PushOptions { force: true, ..options() });
    let stopped = Desired { stopped: true, ..Default::default() };
    let off = whys(enforcer.push(&stopped, later, &options()));
    assert!(off.iter().all(|row| row.ends_with(": the kill switch is on")) && !off.is_empty(), "{off:?}");
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

/// An enforcer of the list with a ledger of this name.
fn with_ledger(dir: &Path, ledger: &str) -> Enforcer {
    let text = format!(
        "state = \"{}\"\n[[feed]]\nname = \"a\"\npath = \"{}\"\nmax_shrink = 100\n",
        dir.join(ledger).display(),
        dir.join("a").display()
    );
    Enforcer::new(&toml::from_str::<Config>(&text).unwrap()).unwrap()
}

#[test]
fn a_second_sidetap_under_the_same_mark_is_noticed_and_its_entries_stay() {
    let dir = tempfile::tempdir().unwrap();
    let start = wall();
    let at = |s: i64| Ts::from_parts(start + s, 0);
    let (mut ours, mut theirs) = (with_ledger(dir.path(), "ours"), with_ledger(dir.path(), "theirs"));
    let contended = |enforcer: &mut Enforcer, rows: &[VerdictRow], s: i64| {
        let report = enforcer.push(&desired(rows, &[]), at(s), &options());
        let row = report.actions.iter().find(|a| a.kind == "contended").map(|a| a.verdict.clone().unwrap());
        (report.connectors[0].contended.clone(), row)
    };
    let (one, other) = (blocks(1..2), blocks(2..3));
    assert_eq!(contended(&mut ours, &one, 0), (None, None));
    assert_eq!(
        contended(&mut theirs, &other, 1),
        (None, None),
        "what is found at first may be one's own of before"
    );
    let (told, row) = contended(&mut ours, &one, 2);
    let told = told.unwrap();
    assert_eq!(
        (told.verdict.as_str(), told.example.as_str(), row.as_deref()),
        ("v2", "203.0.113.2", Some("v2"))
    );
    assert_eq!(lines(dir.path()), ["203.0.113.1", "203.0.113.2"], "neither takes the other's away");
    let (still, row) = contended(&mut ours, &one, 3);
    assert_eq!((still.unwrap(), row), (told.clone(), None), "said once, and kept in mind");
    let told_to = |s: i64| with_ledger(dir.path(), "ours").status(at(s)).connectors[0].contended.clone();
    assert_eq!(told_to(10), Some(told), "by a fresh process too");
    assert_eq!(told_to(100_000), None, "over a day after it was seen last");
    let (again, row) = contended(&mut theirs, &blocks(3..4), 4_000);
    assert_eq!((again, row), (None, None), "what is over is nobody's");
    assert_eq!(
        contended(&mut ours, &blocks(4..5), 4_001).1.as_deref(),
        Some("v3"),
        "an hour later the audit hears again"
    );
    ours.push(&Desired { stopped: true, ..Desired::default() }, at(4_002), &options());
    assert!(lines(dir.path()).is_empty(), "the kill switch empties the device");
}

#[test]
fn nobody_is_taken_for_a_second_sidetap() {
    let dir = tempfile::tempdir().unwrap();
    let start = wall();
    let at = |s: i64| Ts::from_parts(start + s, 0);
    let alone = |enforcer: &mut Enforcer, rows: &[VerdictRow], s: i64| {
        let report = enforcer.push(&desired(rows, &[]), at(s), &options());
        let told = report.connectors[0].contended.clone();
        assert!(told.is_none() && !report.actions.iter().any(|a| a.kind == "contended"), "{told:?}");
    };
    // A command beside a watch: both have one ledger.
    let (mut watch, mut command) = (with_ledger(dir.path(), "l"), with_ledger(dir.path(), "l"));
    for s in 0..6 {
        let n = s as u8;
        alone(&mut watch, &blocks(1..3 + n), 10 * s);
        alone(&mut command, &blocks(20..22 + n), 10 * s + 1);
        command.undo(&Selector::Verdict("v20".into()), at(10 * s + 2), &options());
    }
    // The device is set back to what it was, emptied, and what is over comes back.
    let before = std::fs::read(dir.path().join("a")).unwrap();
    alone(&mut watch, &blocks(50..51), 100);
    std::fs::write(dir.path().join("a"), &before).unwrap();
    alone(&mut watch, &blocks(50..51), 101);
    FeedList::default().write(&dir.path().join("a")).unwrap();
    alone(&mut watch, &blocks(50..51), 102);
    // A process that was ended between the ledger and the device, and its successor.
    std::fs::write(dir.path().join("a"), &before).unwrap();
    alone(&mut with_ledger(dir.path(), "l"), &blocks(50..51), 103);
    // A lost ledger: what is there stays until it is over, and is nobody else's.
    let mut fresh = with_ledger(dir.path(), "new");
    alone(&mut fresh, &blocks(60..61), 104);
    assert!(
        lines(dir.path()).contains(&"203.0.113.50".to_owned())
            && lines(dir.path()).contains(&"203.0.113.60".to_owned())
    );
    alone(&mut fresh, &blocks(60..61), 105);
    let forced = PushOptions { force: true, ..options() };
    fresh.push(&desired(&blocks(60..61), &[]), at(106), &forced);
    assert_eq!(lines(dir.path()), ["203.0.113.60"]);
}

/// An address, and the fingerprint of what it sent, as a verdict that takes the place of one that named the address alone.
fn successor(id: &str, address: &str) -> VerdictRow {
    let part = |kind, value: &str| sidetap_model::rows::SubjectPart { kind, value: value.into() };
    let parts = vec![part(SubjectKind::Ip, address), part(SubjectKind::Fingerprint, "a1-0123456789abcdef")];
    VerdictRow {
        subject: sidetap_model::rows::Subject::of_parts(parts),
        ..verdict(id, SubjectKind::Ip, address, "block", 600)
    }
}

#[test]
fn who_was_let_go_stays_so_under_another_name() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "state = \"{0}/ledger.json\"\n[[exec]]\nname = \"a\"\ncommand = [\"true\"]\nkeys = true\nmemory = \"{0}/memory.json\"\n",
        dir.path().display()
    );
    let open = || Enforcer::new(&toml::from_str::<Config>(&text).unwrap()).unwrap();
    let now = || Ts::from_parts(wall(), 0);
    let keys = |report: &sidetap_mitigation::PushReport| -> Vec<String> {
        let adds = report.actions.iter().filter(|a| a.kind == "add");
        adds.map(|a| a.subject.clone()).collect()
    };
    let push = |rows: &[VerdictRow]| {
        let report = open().push(&desired(rows, &[]), now(), &options());
        assert!(report.is_ok(), "{report:?}");
        keys(&report)
    };
    let address = blocks(1..2);
    assert_eq!(push(&address), ["203.0.113.1"]);
    assert!(open().undo(&Selector::Verdict("v1".into()), now(), &options()).is_ok());
    assert_eq!(push(&address), [""; 0]);
    // The verdict gives way to one of more parts, said at the same moment; another client's is pushed as ever.
    let later = [successor("v1-2", "203.0.113.1"), successor("v2-2", "203.0.113.2")];
    let planned = open().plan(&desired(&later, &[]), now(), false);
    assert_eq!(planned.connectors[0].plan.add.len(), 1, "{planned:?}");
    assert_eq!(push(&later), ["203.0.113.2|a1-0123456789abcdef"]);
    assert_eq!(push(&later), [""; 0], "nor with the next one");
    // Until it is let: by the name that it has now.
    open().redo(&Selector::Verdict("v1-2".into())).unwrap();
    assert_eq!(push(&later), ["203.0.113.1|a1-0123456789abcdef"]);
    // Who is at it after an undo is convicted anew.
    open().undo(&Selector::Verdict("v1-2".into()), now(), &options());
    let at = Ts::from_parts(wall() + 60, 0);
    let anew = VerdictRow { detected_at: at, last_seen: at, ..successor("v9", "203.0.113.1") };
    assert_eq!(push(&[anew]), ["203.0.113.1|a1-0123456789abcdef"]);
}

#[test]
fn what_names_a_client_again_comes_back_with_the_first_name() {
    let dir = tempfile::tempdir().unwrap();
    let now = || Ts::from_parts(wall(), 0);
    let mut one = enforcer(dir.path(), 100);
    one.push(&desired(&blocks(1..3), &[]), now(), &options());
    one.undo(&Selector::Verdict("v1".into()), now(), &options());
    let second = verdict("w1", SubjectKind::Ip, "203.0.113.1", "block", 600);
    one.push(&desired(std::slice::from_ref(&second), &[]), now(), &options());
    assert_eq!(lines(dir.path()), [""; 0]);
    assert_eq!(one.status(now()).undone, 2);
    enforcer(dir.path(), 100).redo(&Selector::Verdict("v1".into())).unwrap();
    one.push(&desired(&[second], &[]), now(), &options());
    assert_eq!(lines(dir.path()), ["203.0.113.1"]);
}
