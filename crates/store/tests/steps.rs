//! What takes long is done in steps, so that others who write come in between.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use serde_json::json;
use sidetap_model::rows::{InputSummary, RunData, Summary, TrafficPoint};
use sidetap_model::{EndpointId, Ts};
use sidetap_store::{AuditRow, EvidenceLimits, EvidenceRow, Limits, SampleRow, Store};

fn at(second: i64) -> Ts {
    Ts(second * 1_000_000_000)
}

/// Writes as long as the work goes on; gives how often while some of what it takes away was there and some was not.
fn written_meanwhile(
    path: &std::path::Path,
    work: impl FnOnce(&mut Store),
    left: impl Fn(&Store) -> u64 + Send + Sync,
) -> u32 {
    let mut store = Store::open(path).unwrap();
    let all = left(&store);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let mut other = Store::open(path).unwrap();
            other.wait_for(Duration::from_secs(5)).unwrap();
            let mut between = 0;
            while !over.load(Relaxed) {
                let row = AuditRow {
                    at: at(1),
                    actor: "anna".to_owned(),
                    action: "test".to_owned(),
                    detail: json!({}),
                };
                other.record_audit(&row).unwrap();
                let left = left(&other);
                between += u32::from(left > 0 && left < all);
            }
            between
        });
        work(&mut store);
        over.store(true, Relaxed);
        other.join().unwrap()
    })
}

fn evidence(path: &std::path::Path, rows: i64) {
    let mut store = Store::open(path).unwrap();
    let rows: Vec<EvidenceRow> = (0..rows)
        .map(|n| EvidenceRow {
            id: format!("e-{n:05}"),
            at: at(n),
            exchange: json!({"pad": "x".repeat(400)}),
        })
        .collect();
    store.record_evidence(&rows, &EvidenceLimits::default()).unwrap();
    let sample = |n: usize| SampleRow {
        thing: format!("finding:{n}"),
        seen: 9,
        ids: vec![rows[n].id.clone(), rows[n + 1].id.clone()],
    };
    store.record_samples(&(0..rows.len() - 1).map(sample).collect::<Vec<_>>(), at(1)).unwrap();
}

fn exchanges(store: &Store) -> u64 {
    store.sizes().unwrap()["evidence"]
}

#[test]
fn others_write_while_old_evidence_goes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    evidence(&path, 3_000);
    let limits = Limits { evidence_age_s: 500, ..Limits::default() };
    Store::open(&path).unwrap().set_limits(&limits).unwrap();
    let between = written_meanwhile(&path, |store| drop(store.keep_limits(at(1)).unwrap()), exchanges);
    assert!(between > 0, "nobody wrote until all of it was gone");
    let store = Store::open(&path).unwrap();
    assert_eq!(exchanges(&store), 501);
    assert_eq!(store.counter("evidence.evicted").unwrap(), 2_499);
    let kept = |n: u32| store.sample(&format!("finding:{n}")).unwrap().0;
    assert_eq!([kept(0), kept(2_498), kept(2_998)].map(|s| (s.seen, s.kept)), [(0, 0), (9, 1), (9, 2)]);
}

#[test]
fn others_write_while_evidence_goes_that_is_too_much() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    evidence(&path, 3_000);
    let few = EvidenceLimits { rows: 300, ..EvidenceLimits::default() };
    let evict = |store: &mut Store| assert_eq!(store.record_evidence(&[], &few).unwrap(), 2_700);
    assert!(written_meanwhile(&path, evict, exchanges) > 0, "nobody wrote until all of it was gone");
}

#[test]
fn others_write_while_what_is_too_old_goes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    let input = InputSummary { path: "a.pcap".into(), first_ts: Some(at(0)), ..Default::default() };
    let summary = Summary { inputs: vec![input], ..Default::default() };
    let point = |n: i64| TrafficPoint { ts: at(n), benign: 1, automated: 0, suspicious: 0, malicious: 0 };
    let data = RunData { summary, traffic: (0..20_000).map(point).collect(), ..Default::default() };
    let mut store = Store::open(&path).unwrap();
    store.save_run(&data, at(20_000)).unwrap();
    store.set_limits(&Limits { age_s: 100, ..Limits::default() }).unwrap();
    let left = |store: &Store| store.sizes().unwrap()["traffic"];
    let between = written_meanwhile(&path, |store| drop(store.keep_limits(at(30_000)).unwrap()), left);
    assert!(between > 0, "nobody wrote until all of it was gone");
    assert_eq!((left(&store), store.counter("retained.traffic").unwrap()), (0, 20_000));
}

#[test]
fn two_who_make_room_for_evidence_at_once_remove_no_more_than_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    evidence(&path, 3_000);
    let few = EvidenceLimits { rows: 1_500, ..EvidenceLimits::default() };
    let begin = std::sync::Barrier::new(2);
    let evict = || {
        let mut store = Store::open(&path).unwrap();
        begin.wait();
        store.record_evidence(&[], &few).unwrap()
    };
    let gone = std::thread::scope(|scope| {
        let (one, other) = (scope.spawn(evict), scope.spawn(evict));
        one.join().unwrap() + other.join().unwrap()
    });
    let store = Store::open(&path).unwrap();
    assert_eq!((exchanges(&store), gone), (1_500, 1_500));
    let id = |n: u32| store.evidence(&[format!("e-{n:05}")]).unwrap().len();
    assert_eq!((id(1_499), id(1_500)), (0, 1), "the oldest go");
    let bytes: u64 = 100 * json!({"pad": "x".repeat(400)}).to_string().len() as u64 + 1;
    let mut store = Store::open(&path).unwrap();
    store.record_evidence(&[], &EvidenceLimits { bytes, ..EvidenceLimits::default() }).unwrap();
    assert_eq!(exchanges(&store), 100);
}

#[test]
fn of_a_run_that_is_too_old_no_calls_stay() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    let mut store = Store::open(&path).unwrap();
    let run = store.save_found(&RunData::default(), at(20_000)).unwrap();
    let endpoint = EndpointId(7);
    let calls: Vec<_> = (0..5_000).map(|n| (endpoint, at(n), 1)).collect();
    store.save_calls(&run, &calls).unwrap();
    let left = || {
        let file = rusqlite::Connection::open(&path).unwrap();
        let count = |table: &str| {
            file.query_row(&format!("SELECT count(*) FROM {table}"), [], |r| r.get::<_, i64>(0)).unwrap()
        };
        (count("calls"), count("runs"))
    };
    assert_eq!(left(), (5_000, 1));
    store.set_limits(&Limits { age_s: 100, ..Limits::default() }).unwrap();
    store.keep_limits(at(30_000)).unwrap();
    assert_eq!(left(), (0, 0));
    // Of one that is gone by itself likewise.
    store.save_calls("gone", &calls).unwrap();
    store.keep_limits(at(30_000)).unwrap();
    assert_eq!(left(), (0, 0));
}

#[test]
fn a_reader_that_stays_holds_up_nobody_who_writes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    Store::open(&path).unwrap().set_limits(&Limits { limit_bytes: 8 << 20, ..Limits::default() }).unwrap();
    let reader = rusqlite::Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM runs;").unwrap();
    let begun = std::time::Instant::now();
    evidence(&path, 4_000);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    let log = || std::fs::metadata(dir.path().join("s.db-wal")).unwrap().len();
    assert!(log() > 1 << 20);
    reader.execute_batch("COMMIT").unwrap();
    evidence(&path, 100);
    assert!(log() < 1 << 20, "the log is cut off once nobody reads what was before: {}", log());
}

/// A file system of its own in memory; nothing where nobody may mount one.
struct Disk(tempfile::TempDir);

impl Disk {
    fn of(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "none"]).arg(dir.path());
        mount.status().is_ok_and(|s| s.success()).then_some(Disk(dir))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn space_that_was_used_is_kept_back_again_once_there_is_some() {
    let Some(disk) = Disk::of("96m") else { return };
    let path = disk.0.path().join("s.db");
    let reserve = disk.0.path().join("s.db-reserve");
    let mut store = Store::open(&path).unwrap();
    store.keep_space();
    assert!(reserve.exists());
    let others = disk.0.path().join("others");
    let full =
        (0..96).map_while(|n| std::fs::write(others.with_extension(n.to_string()), vec![1; 1 << 20]).ok());
    assert!(full.count() > 60);
    let row = AuditRow { at: at(1), actor: "anna".to_owned(), action: "test".to_owned(), detail: json!({}) };
    store.record_audit(&row).unwrap();
    assert!(!reserve.exists(), "it is let go for what is vital");
    store.keep_limits(at(1)).unwrap();
    assert!(!reserve.exists(), "there is no room for it");
    for n in 0..96 {
        let _ = std::fs::remove_file(others.with_extension(n.to_string()));
    }
    store.keep_limits(at(2)).unwrap();
    assert!(reserve.exists());
    let mut other = Store::open(&disk.0.path().join("t.db")).unwrap();
    other.keep_limits(at(2)).unwrap();
    assert!(!disk.0.path().join("t.db-reserve").exists(), "a replay keeps none back");
}
