//! `sidetap policy` and what holds pushes, with the real binary over the sample: simulation, suggestions, approval, kill switch, undo.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use common::{HELLO, Place, capture, lines, sample};
use serde_json::Value;

/// One run over the sample for all tests: a run directory `out` and a store `s.db`.
fn replayed() -> &'static Place {
    static RUN: LazyLock<Place> = LazyLock::new(|| {
        let place = Place::new();
        let sample = sample();
        let args = ["replay", &sample, "--out", "out", "--exchanges", "--store", "s.db", "--hash-key", "key"];
        place.run(&args).is(0);
        place
    });
    &RUN
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Sums of the device that knows all a policy can say: malicious stopped, malicious in all, good hit.
fn everything(report: &Value) -> (u64, u64, u64) {
    let device = report["devices"].as_array().unwrap().last().unwrap();
    let n = |path: &str| device.pointer(path).unwrap().as_u64().unwrap();
    (n("/malicious/known_before"), n("/malicious/requests"), n("/good/stopped") + n("/good/slowed"))
}

#[test]
fn a_simulation_counts_whom_policy_would_have_hit() {
    let place = replayed();
    let directory = json(&place.run(&["policy", "simulate", "--run", "out", "--json"]).is(0).stdout);
    let (hit, of, good) = everything(&directory);
    assert!(of > 100 && hit * 10 > of * 8, "{hit} of {of}");
    assert_eq!(good, 0);
    let store = json(&place.run(&["policy", "simulate", "--store", "s.db", "--json"]).is(0).stdout);
    assert_eq!(everything(&store), (hit, of, good), "a store remembers all requests");
    assert_eq!(store["subjects"], directory["subjects"]);
    let told = |report: &Value| -> Vec<(Value, Value)> {
        let devices = report["devices"].as_array().unwrap().iter();
        devices.map(|d| (d["entries"].clone(), d["cannot"].clone())).collect()
    };
    assert_eq!(told(&store), told(&directory));
    place.write("hello.pcap", &capture(&[HELLO]));
    let args = ["policy", "simulate", "--capture", "hello.pcap", "--json", "--hash-key", "key"];
    let hello = json(&place.run(&args).is(0).stdout);
    assert_eq!(hello.pointer("/devices/0/good/requests").unwrap().as_u64(), Some(1), "{hello}");

    place.write("none.yaml", b"version: 1\nrules:\n  - id: nothing\n    when: 'true'\n    response: none\n");
    let with = ["policy", "simulate", "none.yaml", "--run", "out", "--json", "--decisions", "d.ndjson"];
    let other = json(&place.run(&with).is(0).stdout);
    assert_eq!(everything(&other), (0, of, 0));
    let present = other["present"].as_array().unwrap().last().unwrap();
    assert_eq!(
        present.pointer("/malicious/known_before").unwrap().as_u64(),
        Some(hit),
        "beside the present policy"
    );
    assert!(lines(&place.path("d.ndjson")).is_empty());
    place.run(&["policy", "show", "gift-cards"]).is(0);
    assert!(place.run(&["policy", "show", "giftcards"]).is(2).stderr.contains("gift-cards"));
}

#[test]
fn suggestions_separate_campaigns_are_a_pack_and_act_where_they_are_adopted() {
    let place = replayed();
    let found = place.run(&["policy", "suggest", "--run", "out", "--json", "--out", "s.yaml"]).is(0).stdout;
    let found = json(&found);
    let found = found.as_array().unwrap();
    assert!(!found.is_empty());
    for s in found {
        assert_eq!(s.pointer("/measured/honest_requests").unwrap().as_u64(), Some(0), "{s}");
        assert!(s.pointer("/measured/campaign_requests").unwrap().as_u64().unwrap() > 0, "{s}");
    }
    place.run(&["policy", "check", "s.yaml"]).is(0);
    let report = json(&place.run(&["policy", "simulate", "s.yaml", "--run", "out", "--json"]).is(0).stdout);
    assert_eq!(everything(&report).2, 0);
    what_is_adopted_acts_and_what_is_suggested_asks();
}

/// What `--adopt` writes beside the site's own pack acts at the next push; without it the same rules ask first.
fn what_is_adopted_acts_and_what_is_suggested_asks() {
    let place = &Place::new();
    std::fs::copy(replayed().path("s.db"), place.path("s.db")).unwrap();
    for dir in ["policy.d", "entries"] {
        std::fs::create_dir(place.path(dir)).unwrap();
    }
    let config = "[store]\npath = \"s.db\"\n[policy]\npath = \"policy.d\"\n[mitigation]\nmax_age = \"90d\"\n[[mitigation.nginx_njs]]\nentries = \"entries\"\n";
    place.write("sidetap.toml", config.as_bytes());
    place.write(
        "policy.d/10-own.yaml",
        b"version: 1\nrules:\n  - id: nothing\n    when: 'true'\n    response: none\n",
    );
    let pushed = || {
        place.run(&["mitigation", "push", "--enforce"]).is(0);
        let files = std::fs::read_dir(place.path("entries")).unwrap().flatten();
        let names = files.map(|f| f.file_name().into_string().unwrap());
        names.filter(|n| n.contains('-') && !n.starts_with("allow-")).collect::<BTreeSet<String>>()
    };
    let told = |more: &[&str]| {
        let suggest = ["policy", "suggest", "--out", "policy.d/90-suggested.yaml"];
        place.run(&[&suggest, more].concat()).is(0);
        pushed()
    };
    assert_eq!(told(&[]), BTreeSet::new(), "they wait for a yes");
    let adopted = told(&["--adopt"]);
    assert!(adopted.iter().any(|n| n.starts_with("d1-") || n.starts_with("a1-")), "{adopted:?}");
    what_is_adopted_stays_whole(place, pushed, &adopted);
    assert_eq!(
        told(&["--adopt"]),
        adopted,
        "a rule that somebody took out comes with the next one that is adopted"
    );
}

/// A device holds what was adopted, whatever is missing there or in the pack: no more than was told, no less, and what is others'.
fn what_is_adopted_stays_whole(
    place: &Place,
    pushed: impl Fn() -> BTreeSet<String>,
    adopted: &BTreeSet<String>,
) {
    let entry = |name: &str| place.path("entries").join(name);
    let tools: Vec<&String> = adopted.iter().filter(|n| n.starts_with("d1-")).collect();
    let middle = tools[tools.len() / 2];
    let (was, others) = (std::fs::read_to_string(entry(middle)).unwrap(), "d1-0123456789abcdef");
    std::fs::remove_file(entry(middle)).unwrap();
    std::fs::write(entry(others), "deny\n").unwrap();
    let with_others: BTreeSet<String> = adopted.iter().cloned().chain([others.to_owned()]).collect();
    assert_eq!(pushed(), with_others, "one that is gone is put back, one of others stays");
    assert_eq!(std::fs::read(entry(others)).unwrap(), b"deny\n");
    std::fs::remove_file(entry(others)).unwrap();
    // Marked as ours, and nobody asked for it.
    std::fs::write(entry(others), was.replace(middle.as_str(), others)).unwrap();
    assert_eq!(&pushed(), adopted, "one too many goes");

    let pack = place.path("policy.d/90-suggested.yaml");
    let text = std::fs::read_to_string(&pack).unwrap();
    let (head, rules) = text.split_once("  - id: ").unwrap();
    let left: Vec<&str> = rules.split("  - id: ").filter(|rule| !rule.contains(middle.as_str())).collect();
    std::fs::write(&pack, format!("{head}  - id: {}", left.join("  - id: "))).unwrap();
    let fewer: BTreeSet<String> = adopted.iter().filter(|name| *name != middle).cloned().collect();
    assert_eq!(pushed(), fewer, "whose rule is gone goes, and nobody else");
}

#[test]
fn whom_guards_hold_no_device_is_told_of_and_a_push_says_why() {
    let place = &Place::new();
    std::fs::copy(replayed().path("s.db"), place.path("s.db")).unwrap();
    let config = "[store]\npath = \"s.db\"\n[policy]\npath = \"p.yaml\"\n[mitigation]\nmax_age = \"90d\"\n[[mitigation.feed]]\npath = \"feed.json\"\n";
    place.write("sidetap.toml", config.as_bytes());
    let push_by = |guards: &str, subjects: &str| {
        let rule = format!(
            "rules:\n  - id: all\n    when: intent == \"malicious\"\n    response: block\n    ttl: 1h\n    subjects: {subjects}\n"
        );
        place.write("p.yaml", format!("version: 1\n{guards}{rule}").as_bytes());
        place.run(&["mitigation", "push", "--enforce", "--old"])
    };
    let push = |guards: &str| push_by(guards, "[address]").is(0).stdout;
    // Half the Internet, or what a site takes for it: none of them goes.
    let said = push_by("guards: {max_addresses: 2}\n", "[address]").is(3).stdout;
    assert!(said.contains("IPv4 addresses, more than max_addresses = 2"), "{said}");
    assert_eq!(listed(place), 0);
    push("");
    let list: Value = serde_json::from_slice(&std::fs::read(place.path("feed.json")).unwrap()).unwrap();
    let keys: Vec<String> =
        list["entries"].as_array().unwrap().iter().map(|e| e["key"].as_str().unwrap().to_owned()).collect();
    let [a, b, c, ..] = keys.as_slice() else { panic!("{keys:?}") };
    let said = push(&format!(
        "allow:\n  - {{cidr: {a}, reason: the office}}\nguards:\n  own_networks: [{b}]\n  shared_networks: [{c}]\n"
    ));
    for (guard, why) in [
        ("allow-list", "the office"),
        ("own-network", "an address of the site itself"),
        ("shared-address", "its address stands for more than one client"),
    ] {
        let told = said.matches(guard).count();
        assert!(told == 1 && said.contains(&format!("not sent: held by guard {guard}: {why}")), "{said}");
    }
    let left = std::fs::read_to_string(place.path("feed.json")).unwrap();
    assert!([a, b, c].iter().all(|k| !left.contains(&format!("\"{k}\""))), "{left}");
    assert_eq!(listed(place), keys.len() - 3, "and what stood there is taken away");
    // Everybody who asks for what a campaign is about, honest clients among them: measured on what was stored.
    let said = push_by("", "[method+path]").stdout;
    assert!(said.contains("held by guard good-traffic: it would hit "), "{said}");
    assert!(said.contains(" of the stored good requests"), "{said}");
}

/// Entries of the feed's list.
fn listed(place: &Place) -> usize {
    let list = std::fs::read(place.path("feed.json")).unwrap_or_else(|_| b"{\"entries\":[]}".to_vec());
    serde_json::from_slice::<Value>(&list).unwrap()["entries"].as_array().unwrap().len()
}

#[test]
fn pushes_wait_for_approval_stop_at_the_switch_and_are_taken_back() {
    let place = &Place::new();
    std::fs::copy(replayed().path("s.db"), place.path("s.db")).unwrap();
    let config = "[store]\npath = \"s.db\"\n[policy]\npath = \"ask.yaml\"\n[mitigation]\nmax_age = \"90d\"\n[[mitigation.feed]]\npath = \"feed.json\"\n";
    place.write("sidetap.toml", config.as_bytes());
    let ask = "version: 1\nrules:\n  - id: ask\n    when: intent == \"malicious\"\n    response: block\n    ttl: 1h\n    mode: approve\n";
    place.write("ask.yaml", ask.as_bytes());
    let push = ["mitigation", "push", "--enforce", "--force"];
    assert!(place.run(&push).is(0).stdout.contains("waits for approval"));
    assert_eq!(listed(place), 0);
    let waiting = place.run(&["mitigation", "approvals", "--format", "ndjson"]).is(0).stdout;
    assert!(waiting.lines().count() > 0 && waiting.contains("\"policy\":\"ask\""), "{waiting}");
    place.run(&["mitigation", "approve", "--policy", "ask"]).is(0);
    place.run(&["mitigation", "approve", "--all"]).is(1);
    place.run(&push).is(0);
    let all = listed(place);
    assert!(all > 0);
    place.run(&["mitigation", "stop", "--reason", "wrong campaign"]).is(0);
    assert_eq!(listed(place), 0, "everything comes off at once");
    let status = place.run(&["mitigation", "status"]).is(4);
    assert!(status.stderr.contains("the kill switch is on: wrong campaign"), "{}", status.stderr);
    assert!(place.run(&push).is(0).stdout.contains("the kill switch is on: wrong campaign"));
    assert_eq!(listed(place), 0);
    place.run(&["mitigation", "resume"]).is(0);
    place.run(&push).is(0);
    assert_eq!(listed(place), all);
    place.run(&["mitigation", "undo", "--last", "1h"]).is(0);
    assert_eq!(listed(place), all, "a dry run changes nothing");
    place.run(&["mitigation", "undo", "--policy", "ask", "--enforce"]).is(0);
    assert_eq!(listed(place), 0);
    place.run(&push).is(0);
    assert_eq!(listed(place), 0, "what was taken back stays so");
    place.run(&["mitigation", "redo"]).is(0);
    place.run(&push).is(0);
    assert_eq!(listed(place), all);
    let audit = place.run(&["mitigation", "audit", "--format", "ndjson", "--limit", "100000"]).is(0).stdout;
    for what in ["ask", "approve", "stop", "resume", "undo", "redo", "add"] {
        assert!(audit.contains(&format!("\"action\":\"mitigation.{what}\"")), "{what}");
    }
    let of = |kind: &str| -> Vec<Value> {
        let rows = audit.lines().map(json).map(|row| row["detail"].clone());
        rows.filter(|d| d["kind"] == kind && d["outcome"] == "done").collect()
    };
    let all_say = |kind: &str, why: &str| {
        let rows = of(kind);
        assert!(!rows.is_empty(), "{kind}");
        rows.iter().for_each(|d| assert!(d["why"].as_str().is_some_and(|w| w.contains(why)), "{d}"));
    };
    all_say("undo", "asked for: policy ask");
    all_say("add", "rule ask of ask.yaml ");
    all_say("remove", "the kill switch is on");

    place.write("sidetap.toml", config.replace("[policy]\n", "[policy]\ndry_run = [\"feed\"]\n").as_bytes());
    place.run(&["mitigation", "undo", "--enforce"]).is(0);
    place.run(&["mitigation", "redo"]).is(0);
    assert!(place.run(&push).is(0).stdout.contains("planned"), "this connector is only tried");
    assert_eq!(listed(place), 0);
    place.write("sidetap.toml", config.replace("[policy]\n", "[policy]\napprove = [\"fed\"]\n").as_bytes());
    assert!(place.run(&push).is(1).stderr.contains("did you mean `feed`?"));
}

#[test]
fn endpoints_that_no_device_compares_are_told() {
    let place = Place::new();
    let rule = "version: 1\nrules:\n  - id: a\n    when: 'true'\n    response: block\n    ttl: 1h\n    scope: {endpoints: [\"POST /user@x/login\", \"/a b\", \"POST //x/{id}\"]}\n";
    place.write("p.yaml", rule.as_bytes());
    let told = place.run(&["policy", "check", "p.yaml"]).is(0).stderr;
    assert!(told.contains("no device compares `POST /user@x/login`"), "{told}");
    assert!(told.contains("no device compares `/a b`") && !told.contains("{id}"), "{told}");
    // Those of rules over requests with their place.
    let rule = "version: 1\nrequests:\n  - id: a\n    match: {method: POST, path: \"/user@x/login\"}\n    response: block\n    ttl: 1h\n  - id: b\n    match:\n      path: /a b\n    response: block\n    ttl: 1h\n  - id: c\n    match: {path: \"/items/{id}/**\"}\n    response: block\n    ttl: 1h\n";
    place.write("p.yaml", rule.as_bytes());
    let told = place.run(&["policy", "check", "p.yaml"]).is(0).stderr;
    assert!(
        told.contains("p.yaml:4:12: rule `a`: no device compares `/user@x/login`: parts of paths"),
        "{told}"
    );
    assert!(
        told.contains("p.yaml:9:13: rule `b`: no device compares `/a b`") && !told.contains("rule `c`"),
        "{told}"
    );
    let bad = rule.replace("/a b", "/api*");
    place.write("p.yaml", bad.as_bytes());
    let ended = place.run(&["policy", "check", "p.yaml"]);
    assert!(
        ended.code == 0 && ended.stderr.contains("p.yaml:9:13: rule `b`: `api*` is in no path ("),
        "{}",
        ended.stderr
    );
}
