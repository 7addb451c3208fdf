//! `--save-flagged`: the packets of flows with a finding, for other tools to read.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use common::{HELLO, Place, json, lines, sample, tree};
use sidetap_seal::{Ending, Identity, unseal};
use sidetap_testkit::{Dialogue, LinkKind, PcapForm, pcap_bytes};

const ATTACK: &str = "# Attack\n\n~ client 192.0.2.66:40000\n>>>\nGET /items?id=1'%20UNION%20SELECT%20username,password%20FROM%20users--%20 HTTP/1.1\nHost: shop.example\nUser-Agent: sqlmap/1.8\n\n<<<\nHTTP/1.1 500 Oops\nContent-Type: text/plain\nContent-Length: 46\n\nYou have an error in your SQL syntax near '1''\n";

/// What tshark says of a file: source address and port of each packet, or nothing where it is not installed.
fn tshark(file: &Path) -> Option<Vec<(String, String)>> {
    let args = ["-n", "-T", "fields", "-e", "ip.addr", "-e", "tcp.port", "-r"];
    let Ok(out) = Command::new("tshark").args(args).arg(file).output() else {
        assert!(std::env::var_os("SIDETAP_REQUIRE_TOOLS").is_none(), "tshark is not installed");
        eprintln!("left out, needs tshark");
        return None;
    };
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    Some(text.lines().map(|l| l.split_once('\t').unwrap()).map(|(a, b)| (a.into(), b.into())).collect())
}

fn replay(place: &Place, name: &str, input: &str, more: &[&str]) {
    let (out, saved) = (format!("run-{name}"), format!("saved-{name}"));
    let args = ["replay", "--out", &out, "--save-flagged", &saved, "--hash-key", "key", input];
    place.run(&[&args, more].concat()).is(0);
}

#[test]
fn the_whole_flow_of_an_exploit_is_saved_and_no_other() {
    let place = Place::new();
    let hello = Dialogue::parse(HELLO).unwrap().packets();
    let attack = Dialogue::parse(ATTACK).unwrap().packets();
    let mut all = [hello, attack.clone()].concat();
    all.sort_by_key(|p| p.ts);
    let input = place.write("in.pcap", &pcap_bytes(&all, LinkKind::Ethernet, PcapForm::default()));
    replay(&place, "a", &input.display().to_string(), &["--workers", "2"]);
    let findings = lines(&place.path("run-a/findings.ndjson"));
    assert!(findings.iter().any(|f| f["kind"] == "exploit"), "{findings:?}");
    let files = tree(&place.path("saved-a"));
    assert_eq!(files.len(), 1, "{:?}", files.keys());
    let file = place.path("saved-a").join(files.keys().next().unwrap());
    let bytes = &files.values().next().unwrap();
    assert!(bytes.windows(9).any(|w| w == b"sidetap: "), "the first packet says why");
    if let Some(packets) = tshark(&file) {
        assert_eq!(packets.len(), attack.len(), "backwards to the handshake, and on to the end");
        assert!(packets.iter().all(|(ip, port)| ip.contains("192.0.2.66") && port.contains("40000")));
    }
    let again =
        place.run(&["replay", "--json", "--no-analysis", "--hash-key", "key", &file.display().to_string()]);
    assert!(again.is(0).stdout.contains("\"complete\": 1,"), "what was saved can be replayed");
}

#[test]
fn the_same_packets_are_saved_for_any_number_of_workers_within_their_limit() {
    let place = Place::new();
    place.write("sidetap.toml", b"[output]\nflagged_limit = \"512K\"\nflagged_ring = \"8M\"\n");
    for workers in ["1", "3"] {
        replay(&place, workers, &sample(), &["--workers", workers]);
    }
    let one = tree(&place.path("saved-1"));
    assert_eq!(one, tree(&place.path("saved-3")));
    let bytes: usize = one.values().map(Vec::len).sum();
    assert!(one.len() > 1 && bytes <= 512 << 10, "{} files, {bytes} bytes", one.len());
    let removed = &json(&place.path("run-1/summary.json"))["evictions"]["flagged-files"];
    assert!(removed.as_u64().unwrap() > 0, "the oldest went: {removed}");
    let convicted: BTreeSet<String> = lines(&place.path("run-1/verdicts.ndjson"))
        .iter()
        .filter(|v| v["intent"] == "malicious")
        .filter_map(|v| Some(v["client_ip"].as_str()?.to_owned()))
        .collect();
    let mut packets = Vec::new();
    for name in one.keys() {
        let Some(more) = tshark(&place.path("saved-1").join(name)) else { return };
        packets.extend(more);
    }
    let saved = |ip: &String| packets.iter().any(|(a, _)| a.split(',').any(|a| a == ip));
    let found = convicted.iter().filter(|ip| saved(ip)).count();
    assert!(found > 0 && packets.len() > 100, "{found} of {}, {} packets", convicted.len(), packets.len());
}

/// Attacks of different connections, with answers of 60 KB.
fn attacks(place: &Place) -> String {
    let (head, body) = ATTACK.split_once("Content-Length: 46").unwrap();
    let attack = format!("{head}Content-Length: 60046{}{}\n", body.trim_end(), "x".repeat(60_000));
    let one = |port: u32| Dialogue::parse(&attack.replace(":40000", &format!(":{port}"))).unwrap().packets();
    let mut all: Vec<_> = (40_000..40_020).flat_map(one).collect();
    all.sort_by_key(|p| p.ts);
    let bytes = pcap_bytes(&all, LinkKind::Ethernet, PcapForm::default());
    place.write("attacks.pcap", &bytes).display().to_string()
}

/// What the holder of this key reads in a sealed file, and how it ends.
fn opened(bytes: &[u8], key: &Identity) -> (Vec<u8>, Ending) {
    let mut plain = Vec::new();
    let key: Identity = key.secret_text().parse().unwrap();
    let read = unseal(&mut &bytes[..], &[key], &mut plain).unwrap();
    (plain, read.ending)
}

/// What `age` makes of a sealed file with the key in this file, or nothing where it is not installed.
fn age(key: &Path, file: &Path) -> Option<std::process::Output> {
    let Ok(out) = Command::new("age").args(["-d", "-i"]).args([key, file]).output() else {
        assert!(std::env::var_os("SIDETAP_REQUIRE_TOOLS").is_none(), "age is not installed");
        eprintln!("left out, needs age");
        return None;
    };
    Some(out)
}

#[test]
fn sealed_files_open_to_each_of_their_keys_and_hold_what_plain_ones_do() {
    let place = Place::new();
    place.write("sidetap.toml", b"[output]\nflagged_limit = \"2M\"\nflagged_ring = \"8M\"\n");
    let keys = [(); 2].map(|()| Identity::generate().unwrap());
    let both = keys.iter().map(|k| k.recipient().to_string()).collect::<Vec<_>>().join(",");
    let input = attacks(&place);
    replay(&place, "plain", &input, &["--workers", "1"]);
    replay(&place, "sealed", &input, &["--workers", "2", "--flagged-recipient", &both]);
    let (plain, sealed) = (tree(&place.path("saved-plain")), tree(&place.path("saved-sealed")));
    assert!(plain.len() > 1, "several files: {}", plain.len());
    let second = place.write("second.key", format!("# for tests\n{}\n", *keys[1].secret_text()).as_bytes());
    let unsealed: Vec<(Vec<u8>, Ending)> = sealed.values().map(|f| opened(f, &keys[0])).collect();
    assert!(unsealed.iter().all(|(_, end)| *end == Ending::Whole));
    let unsealed: Vec<Vec<u8>> = unsealed.into_iter().map(|(f, _)| f).collect();
    assert!(plain.values().eq(&unsealed), "packets differ");
    for ((name, sealed), plain) in sealed.iter().zip(&unsealed) {
        assert!(name.ends_with(".pcapng.age") && sealed.starts_with(b"age-encryption.org/v1\n"));
        assert!(!sealed.windows(9).any(|w| w == b"sidetap: "));
        assert!(opened(sealed, &keys[1]).0 == *plain, "each key opens it");
        if let Some(out) = age(&second, &place.path("saved-sealed").join(name)) {
            assert!(out.status.success() && out.stdout == *plain, "{}", String::from_utf8_lossy(&out.stderr));
        }
    }
    let files: Vec<String> = sealed.keys().map(|n| format!("saved-sealed/{n}")).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    place.run(&[&["unseal", "-i", "second.key", "--out", "open"][..], &files].concat()).is(0);
    assert!(tree(&place.path("open")).into_values().eq(unsealed), "and so does the command");
    let again = place.run(&["unseal", "-i", "second.key", "--out", "open", files[0]]).is(1);
    assert!(again.stderr.contains("cannot write open/flagged-"), "nothing is overwritten: {}", again.stderr);
    let other = Identity::generate().unwrap();
    place.write("other.key", other.secret_text().as_bytes());
    let refused = place.run(&["unseal", "-i", "other.key", "--out", "none", files[0]]).is(1);
    assert!(refused.stderr.contains("not sealed to this key"), "{}", refused.stderr);
    assert!(tree(&place.path("none")).is_empty(), "nobody else opens it");
}

#[test]
fn the_limit_holds_for_sealed_files_and_what_goes_is_the_same_every_time() {
    let place = Place::new();
    let key = Identity::generate().unwrap().recipient();
    let text =
        format!("[output]\nflagged_limit = \"512K\"\nflagged_ring = \"8M\"\nflagged_recipient = \"{key}\"\n");
    place.write("sidetap.toml", text.as_bytes());
    let input = attacks(&place);
    let runs = ["1", "2"].map(|workers| {
        replay(&place, workers, &input, &["--workers", workers]);
        let saved = tree(&place.path(&format!("saved-{workers}")));
        let bytes: usize = saved.values().map(Vec::len).sum();
        assert!(saved.len() > 1 && bytes <= 512 << 10, "{} files, {bytes} bytes", saved.len());
        let summary = json(&place.path(&format!("run-{workers}/summary.json")));
        let sizes: Vec<(String, usize)> = saved.into_iter().map(|(n, f)| (n, f.len())).collect();
        (sizes, summary["evictions"].clone())
    });
    assert_eq!(runs[0], runs[1]);
    assert!(runs[0].0.iter().all(|(n, _)| n.ends_with(".pcapng.age")), "{:?}", runs[0].0);
    assert!(runs[0].1["flagged-files"].as_u64().unwrap() > 0, "{}", runs[0].1);
}

#[test]
fn a_sealed_file_that_was_cut_is_read_as_far_as_it_goes() {
    let place = Place::new();
    let key = Identity::generate().unwrap();
    let key_file = place.write("key.txt", key.secret_text().as_bytes());
    let input = attacks(&place);
    replay(&place, "a", &input, &["--flagged-recipient", &key.recipient().to_string()]);
    let (name, file) = tree(&place.path("saved-a")).into_iter().max_by_key(|(_, f)| f.len()).unwrap();
    let (plain, _) = opened(&file, &key);
    assert!(plain.len() > 2 << 16, "{}", plain.len());
    // As `kill -9` leaves it: whole chunks, and no last one.
    let cut = place.write("cut.pcapng.age", &file[..184 + 2 * ((64 << 10) + 16)]);
    let end = place.run(&["unseal", "-i", "key.txt", "--out", "open", "cut.pcapng.age"]).is(3);
    assert!(end.stderr.contains("cut.pcapng.age has no end: 131072 bytes are authentic;"), "{}", end.stderr);
    assert!(tree(&place.path("open"))["cut.pcapng"] == plain[..128 << 10]);
    if let Some(out) = age(&key_file, &cut) {
        assert!(!out.status.success() && out.stdout.len() >= 64 << 10, "age says so too");
        assert!(plain.starts_with(&out.stdout));
    }
    let again = place.run(&["replay", "--json", "--no-analysis", "--hash-key", "key", "open/cut.pcapng"]);
    assert!(again.stdout.contains("\"complete\":"), "what is there can be replayed: {}", again.stderr);
    let file = format!("saved-a/{name}");
    let whole = place.command(&["unseal", "-i", "key.txt", &file]).output().unwrap();
    assert!(whole.status.success() && whole.stdout == plain, "one file goes to stdout");
}

#[test]
fn a_wrong_key_is_refused_before_anything_is_read() {
    let place = Place::new();
    let args =
        ["replay", "--save-flagged", "saved", "--hash-key", "key", "not-there.pcap", "--flagged-recipient"];
    for (key, why) in
        [("age1x", "`age1x` is no age X25519 recipient"), ("AGE-SECRET-KEY-1HIDDEN", "age secret key")]
    {
        let end = place.run(&[&args[..], &[key]].concat()).is(2);
        assert_eq!(end.stderr.lines().count(), 1, "{}", end.stderr);
        assert!(end.stderr.contains(why) && !end.stderr.contains("HIDDEN"), "{}", end.stderr);
        place.write("sidetap.toml", format!("[output]\nflagged_recipient = [\"{key}\"]\n").as_bytes());
        let end = place.run(&args[..6]).is(1);
        assert_eq!(end.stderr.lines().count(), 1, "{}", end.stderr);
        assert!(end.stderr.contains("sidetap.toml:2:1: ") && end.stderr.contains(why), "{}", end.stderr);
        assert!(!end.stderr.contains("HIDDEN") && !place.path("saved").exists(), "{}", end.stderr);
        std::fs::remove_file(place.path("sidetap.toml")).unwrap();
    }
    let key = Identity::generate().unwrap().recipient().to_string();
    let end =
        place.run(&["replay", "--hash-key", "key", "--flagged-recipient", &key, "not-there.pcap"]).is(2);
    assert!(end.stderr.contains("name a directory with --save-flagged"), "{}", end.stderr);
    place.write("public.key", format!("# {key}\n{key}\n").as_bytes());
    let end = place.run(&["unseal", "-i", "public.key", "x.age"]).is(1);
    assert!(end.stderr.contains("public.key: line 2: no age secret key"), "{}", end.stderr);
}

#[test]
fn a_directory_that_cannot_be_made_is_a_loss() {
    let place = Place::new();
    place.write("file", b"");
    let input = place.write("in.pcap", &common::capture(&[HELLO])).display().to_string();
    let args = ["replay", "--out", "run", "--save-flagged", "file/dir", "--hash-key", "key", &input];
    let end = place.run(&args).is(3);
    assert!(end.stderr.contains("cannot write flagged packets in file/dir"), "{}", end.stderr);
}
