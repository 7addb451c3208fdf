//! What cannot be read, written or understood: one clear line, the right exit status, and what there was is still reported.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::process::{Command, Stdio};

use common::{HELLO, Place, capture, ended, is_root, json};

/// The lines of stderr.
fn said(stderr: &str) -> Vec<&str> {
    stderr.lines().collect()
}

#[test]
fn a_missing_file() {
    let place = Place::new();
    let end = place.run(&["replay", "nowhere.pcap", "--out", "out"]).is(1);
    assert_eq!(said(&end.stderr).len(), 1, "{}", end.stderr);
    assert!(end.stderr.contains("nowhere.pcap") && end.stderr.contains("no such file"), "{}", end.stderr);
    assert!(end.stdout.is_empty());
    let summary = json(&place.path("out/summary.json"));
    assert_eq!(summary["inputs"][0]["path"], "nowhere.pcap");
    assert!(summary["inputs"][0]["error"].is_string());
}

#[test]
fn an_empty_file_and_a_text_file() {
    let place = Place::new();
    place.write("empty.pcap", b"");
    place.write("notes.txt", b"dear diary,\nthis is no capture\n");
    for name in ["empty.pcap", "notes.txt"] {
        let end = place.run(&["replay", name]).is(1);
        assert_eq!(said(&end.stderr).len(), 1, "{}", end.stderr);
        assert!(end.stderr.contains(name), "{}", end.stderr);
    }
}

#[test]
fn a_capture_cut_in_a_packet() {
    let place = Place::new();
    let whole = capture(&[HELLO, HELLO]);
    place.write("cut.pcap", &whole[..whole.len() - 20]);
    let end = place.run(&["replay", "cut.pcap", "--out", "out"]).is(3);
    assert_eq!(said(&end.stderr).len(), 1, "{}", end.stderr);
    assert!(end.stderr.contains("cut.pcap"), "{}", end.stderr);
    assert!(end.stdout.contains("1 endpoint"), "{}", end.stdout);
    let summary = json(&place.path("out/summary.json"));
    assert!(summary["inputs"][0]["error"].is_string());
    assert!(summary["exchanges"]["total"].as_u64().unwrap() >= 1);
}

#[test]
fn an_unknown_link_type() {
    let place = Place::new();
    let mut bytes = capture(&[HELLO]);
    bytes[20..24].copy_from_slice(&147u32.to_le_bytes());
    place.write("odd.pcap", &bytes);
    let end = place.run(&["replay", "odd.pcap", "--out", "out"]).is(3);
    assert!(end.stderr.contains("link type"), "{}", end.stderr);
    let packets = &json(&place.path("out/summary.json"))["packets"];
    assert_eq!(packets["decoded"], 0);
    assert_eq!(packets["dropped"]["unknown-link-type"], packets["total"]);
}

#[test]
fn one_bad_file_among_good_ones() {
    let place = Place::new();
    place.write("good.pcap", &capture(&[HELLO]));
    place.write("bad.pcap", b"nonsense");
    let end = place.run(&["replay", "bad.pcap", "good.pcap", "gone.pcap"]).is(3);
    assert!(end.stderr.contains("bad.pcap") && end.stderr.contains("gone.pcap"), "{}", end.stderr);
    assert!(end.stdout.contains("1 exchange"), "{}", end.stdout);
}

#[test]
fn an_interface_that_does_not_exist() {
    let place = Place::new();
    for command in ["watch", "doctor"] {
        let end = place.run(&[command, "-i", "nosuch0"]).is(1);
        assert_eq!(said(&end.stderr).len(), 1, "{}", end.stderr);
        assert!(end.stderr.contains("nosuch0") || end.stderr.contains("permission"), "{}", end.stderr);
    }
}

#[test]
fn rings_that_leave_no_memory() {
    let end = Place::new().run(&["watch", "-i", "lo", "--ring", "300M", "--memory-limit", "512M"]).is(2);
    assert_eq!(said(&end.stderr).len(), 1, "{}", end.stderr);
    assert!(
        end.stderr.contains("leaves 170M for each of 1: give smaller or fewer ones, or --memory-limit 900M"),
        "{}",
        end.stderr
    );
}

#[test]
fn a_misspelt_key() {
    let place = Place::new();
    place.write("sidetap.toml", b"[analysis]\nworkers = 2\nmemory_limt = \"1G\"\n");
    for args in [&["config", "check"][..], &["replay", "x.pcap"], &["policy", "list"]] {
        let end = place.run(args).is(1);
        assert_eq!(
            end.stderr,
            "sidetap: sidetap.toml:3:1: unknown key `memory_limt`; did you mean `memory_limit`?\n"
        );
    }
    let end = place.run(&["config", "check", "--config", "gone.toml"]).is(1);
    assert!(end.stderr.contains("gone.toml"), "{}", end.stderr);
}

#[test]
fn what_this_version_does_not_do_is_refused() {
    let place = Place::new();
    let end = place.run(&["replay", "x.pcap", "--keylog", "k"]).is(2);
    assert!(end.stderr.contains("not in this version"), "{}", end.stderr);
}

#[test]
fn usage() {
    let place = Place::new();
    for args in [
        &["replay"][..],
        &["replay", "a.pcap", "--wrokers", "2"],
        &["replay", "a.pcap", "--memory-limit", "lots"],
        &["doctor"],
        &["watch"],
        &["inventory", "list"],
        &["serve", "--store", "s", "--listen", "0.0.0.0:80"],
    ] {
        let end = place.run(args).is(2);
        assert!(end.stdout.is_empty() && !end.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn a_directory_that_cannot_be_written() {
    let place = Place::new();
    place.write("a.pcap", &capture(&[HELLO]));
    place.write("taken", b"a file");
    let end = place.run(&["replay", "a.pcap", "--out", "taken"]).is(3);
    assert!(end.stderr.contains("taken"), "{}", end.stderr);
    assert!(end.stdout.contains("1 exchange"), "the report is still printed: {}", end.stdout);
}

#[test]
fn a_key_that_cannot_be_kept() {
    let place = Place::new();
    place.write("a.pcap", &capture(&[HELLO]));
    let mut command = place.command(&["replay", "a.pcap"]);
    let end = ended(command.env("HOME", "/proc/nowhere").output().unwrap()).is(1);
    assert_eq!(said(&end.stderr).len(), 1, "{}", end.stderr);
    assert!(end.stderr.contains("--hash-key"), "{}", end.stderr);
}

#[test]
fn a_full_disk_for_stdout() {
    let place = Place::new();
    place.write("a.pcap", &capture(&[HELLO]));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let end = ended(place.command(&["replay", "a.pcap"]).stdout(Stdio::from(full)).output().unwrap()).is(3);
    assert!(end.stderr.contains("stdout"), "{}", end.stderr);
}

/// A file system of a few pages, gone when dropped.
struct Tiny(std::path::PathBuf);

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_under_out() {
    let place = Place::new();
    let dir = place.path("tiny");
    if !is_root("the full disk under --out") {
        return;
    }
    std::fs::create_dir(&dir).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"]).arg(&dir).status();
    if !mounted.is_ok_and(|s| s.success()) {
        return eprintln!("left out, mount is not allowed here: the full disk under --out");
    }
    let tiny = Tiny(dir.clone());
    let dialogues: Vec<String> = (0..200).map(|i| HELLO.replace("/hello", &format!("/a{i}/b"))).collect();
    place.write("a.pcap", &capture(&dialogues.iter().map(String::as_str).collect::<Vec<_>>()));
    let end = place.run(&["replay", "a.pcap", "--out", "tiny", "--exchanges"]).is(3);
    assert!(end.stderr.contains("No space left"), "{}", end.stderr);
    assert!(end.stdout.contains("200 exchanges"), "the report is still printed: {}", end.stdout);
    let left: Vec<_> = std::fs::read_dir(&dir).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(left.iter().all(|n| !n.to_string_lossy().ends_with(".tmp")), "{left:?}");
    // The summary is there, and lists just those that are not.
    let summary = json(&dir.join("summary.json"));
    let listed: Vec<&str> =
        summary["not_written"].as_array().unwrap().iter().map(|f| f["output"].as_str().unwrap()).collect();
    let outputs = ["endpoints", "sensitive", "findings", "campaigns", "verdicts", "exchanges"];
    let outputs = outputs
        .map(|n| format!("{n}.ndjson"))
        .into_iter()
        .chain(["blocklist.txt", "report.html"].map(str::to_owned));
    for name in outputs {
        let there = left.iter().any(|n| *n == *name);
        assert!(there != listed.contains(&format!("tiny/{name}").as_str()), "{name}: {left:?} {listed:?}");
    }
    assert!(listed.len() >= 2, "{listed:?}");
    for failed in summary["not_written"].as_array().unwrap() {
        assert!(failed["error"].as_str().unwrap().contains("No space left"), "{failed}");
    }
    drop(tiny);
}

#[test]
fn a_reader_that_goes_away() {
    let place = Place::new();
    place.write("a.pcap", &capture(&[HELLO]));
    let script = format!("'{}' config reference | head -n 1", env!("CARGO_BIN_EXE_sidetap"));
    let end = ended(Command::new("sh").args(["-c", &script]).output().unwrap()).is(0);
    assert_eq!((end.stdout.lines().count(), end.stderr.as_str()), (1, ""));
}
