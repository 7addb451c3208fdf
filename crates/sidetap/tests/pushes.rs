//! What `sidetap mitigation` leaves behind, and says where a store is none: the real binary over a store without verdicts and with some.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, clippy::disallowed_methods)]

mod common;

use common::Place;
use serde_json::{Value, json};
use sidetap_model::Ts;
use sidetap_model::rows::{RunData, VerdictRow};
use sidetap_store::Store;

fn now() -> Ts {
    let age = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Ts(age.as_nanos() as i64)
}

fn verdict(n: u8) -> VerdictRow {
    let address = format!("203.0.113.{n}");
    serde_json::from_value(json!({
        "id": format!("v-{n}"), "zone": "default", "subject": {"kind": "ip", "value": address}, "client_ip": address,
        "client_ips": [address], "intent": "malicious", "class": "credential-stuffing", "oat": [], "score": 95,
        "automation": 90, "coverage": {}, "campaign": null, "phase": "online", "first_seen": now(), "detected_at": now(),
        "last_seen": now(), "requests": 900, "reasons": [{"indicator": "login-failures", "weight": 3.0, "observed": "40 of 40", "baseline": "3 %", "evidence": ["a-1"]}], "response": "block", "ttl_s": 3600, "hosts": ["shop.example"],
    }))
    .unwrap()
}

const RULE: &str =
    "rules:\n  - id: all\n    when: intent == \"malicious\"\n    response: block\n    ttl: 1h\n";
const CONFIG: &str = "[store]\npath = \"s.db\"\n[policy]\npath = \"p.yaml\"\n[[mitigation.feed]]\npath = \"feed.json\"\n[[mitigation.nginx]]\naddresses = \"nginx.conf\"\nallow = \"allow.conf\"\ntest = [\"true\"]\nreload = [\"true\"]\nmin_interval_s = 0\n";

/// A site with so many verdicts, a list and a server that tells which addresses it never refuses.
fn site(verdicts: u8) -> Place {
    let place = Place::new();
    let mut run = RunData { verdicts: (1..=verdicts).map(verdict).collect(), ..RunData::default() };
    run.summary.version = "test".into();
    Store::open(&place.path("s.db")).unwrap().save_run(&run, now()).unwrap();
    place.write("sidetap.toml", CONFIG.as_bytes());
    allow(&place, &["198.51.100.1"]);
    place
}

fn allow(place: &Place, addresses: &[&str]) {
    let lines = addresses.iter().map(|a| format!("  - {{cidr: {a}, reason: ours}}\n"));
    place.write("p.yaml", format!("version: 1\nallow:\n{}{RULE}", lines.collect::<String>()).as_bytes());
}

fn mitigation(place: &Place, args: &[&str]) -> common::Ended {
    place.run(&[&["--config", "sidetap.toml", "mitigation"], args].concat())
}

/// Entries of the list.
fn listed(place: &Place) -> usize {
    let list = std::fs::read(place.path("feed.json")).unwrap_or_else(|_| b"{\"entries\":[]}".to_vec());
    serde_json::from_slice::<Value>(&list).unwrap()["entries"].as_array().unwrap().len()
}

#[test]
fn a_push_without_entries_leaves_no_intent_open() {
    let place = site(0);
    let push = ["push", "--enforce"];
    assert!(mitigation(&place, &push).is(0).stdout.contains("done"), "the allow list is new there");
    let open = || Store::open_read_only(&place.path("s.db")).unwrap().open_intents().unwrap();
    assert_eq!(open(), []);
    assert_eq!(mitigation(&place, &push).is(0).stderr.matches("was settled").count(), 0);
    allow(&place, &["198.51.100.1", "198.51.100.2"]);
    mitigation(&place, &push).is(0);
    assert_eq!(open(), []);
    let audit = mitigation(&place, &["audit", "--format", "ndjson"]).is(0).stdout;
    assert_eq!((audit.matches("the allow list").count(), listed(&place)), (2, 0), "{audit}");
}

#[test]
fn a_misspelt_store_is_no_success_and_nothing_is_remembered_beside_it() {
    let place = site(3);
    mitigation(&place, &["push", "--enforce"]).is(0);
    assert_eq!(listed(&place), 3);
    let beside = || {
        let files = std::fs::read_dir(place.path("")).unwrap().flatten().map(|f| f.file_name());
        files.filter(|name| name.to_string_lossy().starts_with("typo")).count()
    };
    for args in [&["redo", "--all"][..], &["undo", "--all", "--enforce"], &["undo", "--all"], &["resume"]] {
        let said = mitigation(&place, &[args, &["--store", "typo.db"]].concat()).is(1).stderr;
        assert!(said.contains("typo.db: there is no such store"), "{args:?}: {said}");
        assert_eq!((beside(), listed(&place)), (0, 3), "{args:?}");
    }
    // What an older version left there of a command like these is no ledger of pushes.
    let empty = "{\"entries\":{},\"undone\":{},\"added\":{},\"left\":{}}";
    place.write("typo.db.mitigation.json", empty.as_bytes());
    let said = mitigation(&place, &["undo", "--all", "--enforce", "--store", "typo.db"]).is(1).stderr;
    assert!(said.contains("typo.db: there is no such store"), "{said}");
    assert_eq!(listed(&place), 3);

    mitigation(&place, &["stop"]).is(0);
    let said = mitigation(&place, &["resume", "--store", "typo.db"]).is(1).stderr;
    assert!(said.contains("stays as it is"), "{said}");
    assert!(mitigation(&place, &["push", "--enforce"]).is(0).stdout.contains("the kill switch is on"));
    assert!(mitigation(&place, &["resume"]).is(0).stdout.contains("the kill switch is off"));

    // A ledger beside a store that is gone says what was pushed.
    mitigation(&place, &["push", "--enforce"]).is(0);
    for name in ["s.db", "s.db-wal", "s.db-shm"] {
        let _ = std::fs::remove_file(place.path(name));
    }
    mitigation(&place, &["undo", "--all", "--enforce"]).is(0);
    assert_eq!(listed(&place), 0);
}

#[test]
fn a_status_tells_what_is_amiss_from_what_was_taken_back() {
    let place = site(3);
    let status = |code: i32| mitigation(&place, &["status"]).is(code).stdout;
    // Before the first push the files are not there.
    assert!(status(4).contains("to be repaired"));
    mitigation(&place, &["push", "--enforce"]).is(0);
    assert_eq!(status(0).matches("as it should be").count(), 2);
    std::fs::remove_file(place.path("feed.json")).unwrap();
    place.write("nginx.conf", b"");
    let said = status(4);
    for name in ["feed", "nginx"] {
        assert!(said.contains(&format!("  {name}: empty, though entries were left there")), "{said}");
    }
    mitigation(&place, &["push", "--enforce"]).is(0);
    mitigation(&place, &["undo", "--verdict", "v-1", "--enforce"]).is(0);
    assert_eq!(status(0).matches("as it should be").count(), 2);
    mitigation(&place, &["undo", "--connector", "feed", "--enforce"]).is(0);
    assert_eq!(status(0).matches("as it should be").count(), 2, "it is empty, as it was wanted");
    mitigation(&place, &["undo", "--all", "--enforce"]).is(0);
    assert_eq!(status(0).matches("as it should be").count(), 2);
    mitigation(&place, &["redo", "--all"]).is(0);
    mitigation(&place, &["push", "--enforce"]).is(0);
    mitigation(&place, &["stop"]).is(0);
    // The kill switch empties devices, and is what is to be told.
    assert_eq!(status(4).matches("as it should be").count(), 2);

    // The server cannot be told: it is left with nothing, and no push is missing while the switch is on.
    mitigation(&place, &["resume"]).is(0);
    mitigation(&place, &["push", "--enforce"]).is(0);
    let broken = CONFIG.replace("reload = [\"true\"]", "reload = [\"false\"]");
    place.write("sidetap.toml", broken.as_bytes());
    let stopped = mitigation(&place, &["stop"]).is(3);
    let told = format!("{}{}", stopped.stdout, stopped.stderr);
    assert_eq!(told.matches("`false`").count(), 1, "what failed is said once: {told}");
    let said = mitigation(&place, &["status"]).stdout;
    assert!(!said.contains("a push tells"), "{said}");
}

#[test]
fn a_push_says_why_something_is_not_sent() {
    let place = site(2);
    mitigation(&place, &["push", "--enforce"]).is(0);
    mitigation(&place, &["undo", "--verdict", "v-1", "--enforce"]).is(0);
    let said = mitigation(&place, &["push", "--enforce"]).is(0).stdout;
    for name in ["feed", "nginx"] {
        assert!(said.contains(&format!("  {name}: 1 not sent: taken back")), "{said}");
    }
}

#[test]
fn an_undo_that_cannot_be_remembered_is_no_success() {
    let place = site(2);
    mitigation(&place, &["push", "--enforce"]).is(0);
    let ledger = place.path("s.db.mitigation.json");
    std::fs::write(&ledger, b"{broken").unwrap();
    let said = mitigation(&place, &["undo", "--all", "--enforce"]).is(3);
    assert!(
        said.stderr.contains("what came off the devices is not remembered as taken back"),
        "{}",
        said.stderr
    );
    assert_eq!(listed(&place), 0, "it is taken back all the same");
    assert_eq!(std::fs::read(&ledger).unwrap(), b"{broken");
}

#[test]
fn a_check_of_the_configuration_reads_the_credentials_of_sinks_and_connectors() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let sink = "[[mitigation.alerts.sink]]\nname = \"desk\"\nkind = \"webhook\"\nurl = \"https://desk.example/\"\nsecret = { file = \"desk.key\" }\n";
    let list = "[[mitigation.cloudflare]]\naccount = \"0123456789abcdef0123456789abcdef\"\nlist = \"0123456789abcdef0123456789abcdef\"\ntoken = { file = \"list.key\" }\n";
    place.write("sidetap.toml", format!("{sink}{list}").as_bytes());
    let check = |code: i32| place.run(&["config", "check", "sidetap.toml"]).is(code).stderr;
    let keep = |name: &str, text: &str, mode: u32| {
        let path = place.write(name, text.as_bytes());
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let said = check(1);
    for why in [
        "alerts to desk: credential file desk.key: No such file",
        "cloudflare: credential file list.key: No such file",
    ] {
        assert!(said.contains(why), "{why}: {said}");
    }
    keep("list.key", "a-token-of-the-list", 0o600);
    keep("desk.key", "\n", 0o600);
    assert!(check(1).contains("alerts to desk: desk.key: the credential is shorter than 16 characters"));
    keep("desk.key", "a-secret-of-the-desk", 0o644);
    assert!(check(0).contains("alerts to desk: everybody on this machine may read desk.key (mode 644)"));
    keep("desk.key", "a-secret-of-the-desk", 0o640);
    assert_eq!(check(0), "");
    place.write("sidetap.toml", sink.replace("file = \"desk.key\"", "env = \"NO_SUCH_DESK\"").as_bytes());
    assert!(check(0).contains("alerts to desk: credential variable NO_SUCH_DESK is not set here"));
}
