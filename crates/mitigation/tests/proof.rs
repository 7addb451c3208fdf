//! What a canary proves, whom it may not stand for, and connectors that would undo each other's work.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use sidetap_mitigation::{Config, Desired, Enforcer, Mode, PushOptions, Selector};
use support::{desired, wall_ts};

fn options() -> PushOptions {
    PushOptions::new(Mode::Enforce)
}

fn refused(text: &str) -> String {
    let config: Config = toml::from_str(text).unwrap();
    config.connectors().map(|_| String::new()).unwrap_or_else(|e| e.to_string())
}

#[test]
fn two_connectors_of_one_target_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let haproxy = |name: &str, more: &str| {
        format!(
            "[[haproxy]]\nname = \"{name}\"\nsocket = \"s\"\nblock_map = \"b\"\nzones = [\"{name}\"]\n{more}"
        )
    };
    let said = refused(&format!("{}{}", haproxy("a", ""), haproxy("b", "")));
    assert!(said.contains("`a` and `b` both write") && said.contains("map b at s"), "{said}");
    assert_eq!(refused(&format!("{}{}", haproxy("a", ""), haproxy("b", "owner = \"other\"\n"))), "");
    let feed = |name: &str, path: &str| format!("[[feed]]\nname = \"{name}\"\npath = \"{path}\"\n");
    std::fs::write(at("list"), "").unwrap();
    std::os::unix::fs::symlink(at("list"), at("link")).unwrap();
    let said = refused(&format!("{}{}", feed("one", &at("list")), feed("two", &at("link"))));
    assert!(said.contains("`one` and `two`") && said.contains("list"), "by whatever name: {said}");
    assert_eq!(refused(&format!("{}{}", feed("one", &at("list")), feed("two", &at("else")))), "");
    for spelled in ["new/../new/list", "./new//list", "new/./other/../list"] {
        let said = refused(&format!("{}{}", feed("one", &at("new/list")), feed("two", &at(spelled))));
        assert!(said.contains("`one` and `two`"), "{spelled}, which is not there yet: {said}");
    }
    let memory = format!("[[exec]]\nname = \"three\"\ncommand = [\"x\"]\nmemory = \"{}\"\n", at("list"));
    assert!(refused(&format!("{}{memory}", feed("one", &at("list")))).contains("`one` and `three`"));
    let wall = |name: &str, table: &str| format!("[[nftables]]\nname = \"{name}\"\ntable = \"{table}\"\n");
    assert!(refused(&format!("{}{}", wall("a", "t"), wall("b", "t"))).contains("`a` and `b`"));
    assert_eq!(refused(&format!("{}{}", wall("a", "t"), wall("b", "u"))), "");
    // The kill switch works with whatever there is.
    let mut config: Config = toml::from_str(&format!("{}{}", wall("a", "t"), wall("b", "t"))).unwrap();
    assert!(config.prune().is_empty() && config.connectors().unwrap().len() == 2);
}

#[test]
fn a_load_balancer_that_looks_keys_up_needs_the_never_block_list() {
    let keys = "[[haproxy]]\nsocket = \"s\"\nblock_map = \"b\"\nkeys_map = \"k\"\n";
    assert!(refused(keys).contains("keys_map needs allow_map"), "{}", refused(keys));
    assert_eq!(refused(&format!("{keys}allow_map = \"a\"\n")), "");
}

/// A web server whose list a canary's program looks into.
fn nginx(dir: &Path, canary: &str) -> String {
    let at = |name: &str| dir.join(name).display().to_string();
    format!(
        "state = \"{}\"\n[[nginx]]\nname = \"edge\"\naddresses = \"{}\"\ntest = []\nreload = [\"true\"]\naddress = \"forwarded\"\nmin_interval_s = 0\n{canary}\n",
        at("ledger.json"),
        at("list")
    )
}

fn enforcer(text: &str) -> Enforcer {
    let config: Config = toml::from_str(text).unwrap();
    Enforcer::new(&config).unwrap()
}

#[test]
fn a_canary_stands_for_nobody_that_is_never_blocked() {
    let dir = tempfile::tempdir().unwrap();
    let at = |address: &str| {
        nginx(dir.path(), &format!("canary = {{ url = \"http://127.0.0.1:9/\", address = \"{address}\" }}"))
    };
    let listed = format!("allow = [\"198.51.100.0/24\"]\n{}", at("198.51.100.77"));
    let said = refused(&listed);
    assert!(said.contains("edge: canary: its address 198.51.100.77 is on the never-block list"), "{said}");
    assert!(refused(&at("127.0.0.1")).contains("a loopback address"));
    // What only the policy knows is found when it is planned.
    let wanted = desired(&[], &["198.51.100.0/24"]);
    let mut enforcer = enforcer(&at("198.51.100.77"));
    let plan = enforcer.plan(&wanted, wall_ts(), false);
    assert!(plan.connectors[0].plan.target.is_empty(), "{plan:?}");
    let report = enforcer.push(&wanted, wall_ts(), &options());
    let result = &report.connectors[0];
    assert!(result.outcome == "failed" && result.answer.contains("on the never-block list"), "{report:?}");
    assert!(!std::fs::read_to_string(dir.path().join("list")).unwrap_or_default().contains("198.51.100"));
}

#[test]
fn a_program_proves_nothing_that_was_not_answered_before_its_entry_stood() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("list");
    let by = |script: &str| {
        let canary = "address = \"203.0.113.9\", control = \"203.0.113.8\", within_s = 1";
        enforcer(&nginx(
            dir.path(),
            &format!("canary = {{ command = [\"sh\", \"-c\", \"who={{}}; {script}\"], {canary} }}"),
        ))
    };
    let stands = || std::fs::read_to_string(&list).unwrap_or_default().contains("203.0.113.9 ");
    let attacker = || {
        desired(&[support::verdict("v1", sidetap_model::SubjectKind::Ip, "203.0.113.1", "block", 600)], &[])
    };
    // The host that asks has no such address: the request fails whatever the device does.
    let report = by("test $who = 203.0.113.8").push(&attacker(), wall_ts(), &options());
    let result = &report.connectors[0];
    assert!(
        result.outcome == "failed" && result.answer.contains("203.0.113.9 is not answered"),
        "{report:?}"
    );
    assert!(!stands() && std::fs::read_to_string(&list).unwrap().contains("203.0.113.1"), "the rest is done");
    let status = by("test $who = 203.0.113.8").status(wall_ts());
    assert!(status.connectors[0].drift.iter().any(|d| d.contains("proves nothing")), "{status:?}");

    // A device that keeps to its list.
    let works = format!("! grep -q $who {}", list.display());
    let report = by(&works).push(&attacker(), wall_ts(), &options());
    assert!(report.is_ok() && report.connectors[0].effect_ms.is_some() && stands(), "{report:?}");
    assert!(by(&works).status(wall_ts()).connectors[0].drift.is_empty(), "it is remembered");
    let report = by(&works).push(&attacker(), wall_ts(), &options());
    assert_eq!((report.connectors[0].outcome.as_str(), stands()), ("unchanged", true), "{report:?}");

    // The ledger is lost: the proof is made anew.
    std::fs::remove_file(dir.path().join("ledger.json")).unwrap();
    let status = by(&works).status(wall_ts());
    assert!(status.connectors[0].drift.iter().any(|d| d.contains("not seen let through")), "{status:?}");
    assert!(by(&works).push(&attacker(), wall_ts(), &options()).is_ok() && !stands());
    let report = by(&works).push(&attacker(), wall_ts(), &options());
    assert!(report.is_ok() && report.connectors[0].effect_ms.is_some() && stands(), "{report:?}");
    let report = by(&works).undo(&Selector::All, wall_ts(), &options());
    assert!(report.is_ok() && !stands(), "an undo of everything takes it off too: {report:?}");
    let another =
        desired(&[support::verdict("v2", sidetap_model::SubjectKind::Ip, "203.0.113.2", "block", 600)], &[]);
    let report = by(&works).push(&another, wall_ts(), &options());
    assert!(
        report.is_ok() && report.connectors[0].effect_ms.is_some() && stands(),
        "and is back: {report:?}"
    );
    let stopped = Desired { stopped: true, ..Desired::default() };
    by(&works).push(&stopped, wall_ts(), &options());
    assert!(!stands(), "the kill switch takes it off too");
}

#[test]
fn what_a_device_holds_otherwise_than_it_was_told_is_no_success() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let devices = format!(
        "[[exec]]\ncommand = [\"sh\", \"{}\"]\nobserve = true\nresponses = [\"block\", \"rate-limit\"]\nmemory = \"{}\"\n",
        at("device"),
        at("memory.json")
    );
    let holds = |response: &str| {
        let end = support::wall() + 600;
        let entry = format!(
            r#"{{"key": "203.0.113.1", "response": "{response}", "expires_at": {end}, "verdict": "v1"}}"#
        );
        let script = format!(
            "case $1 in apply) cat > /dev/null; echo '{{\"entries\": [{entry}]}}' > {0};; *) cat {0} 2>/dev/null || echo '{{\"entries\": []}}';; esac\n",
            at("held")
        );
        std::fs::write(at("device"), script).unwrap();
        let _ = std::fs::remove_file(at("held"));
        let want = support::verdict("v1", sidetap_model::SubjectKind::Ip, "203.0.113.1", "block", 600);
        enforcer(&devices).push(&desired(&[want], &[]), wall_ts(), &options()).connectors.remove(0)
    };
    assert_eq!(holds("block").outcome, "done");
    let result = holds("rate-limit");
    assert!(result.outcome == "failed" && result.answer.contains("not as they were told"), "{result:?}");
}
