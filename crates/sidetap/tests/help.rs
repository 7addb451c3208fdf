//! The command line as it is described: goldens of every `--help`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;

use common::Place;

const COMMANDS: &[&[&str]] = &[
    &[],
    &["replay"],
    &["watch"],
    &["serve"],
    &["store"],
    &["doctor"],
    &["inventory"],
    &["inventory", "list"],
    &["inventory", "show"],
    &["inventory", "export"],
    &["inventory", "diff"],
    &["sensitive", "scan"],
    &["policy"],
    &["policy", "check"],
    &["policy", "simulate"],
    &["mitigation"],
    &["mitigation", "push"],
    &["mitigation", "undo"],
    &["indicators"],
    &["intel"],
    &["report"],
    &["config"],
    &["completions"],
];

#[test]
fn help_golden() {
    let place = Place::new();
    let mut all = String::new();
    for command in COMMANDS {
        let args = [*command, &["-h"]].concat();
        let end = common::ended(place.command(&args).env("COLUMNS", "100").output().unwrap()).is(0);
        all.push_str(&format!("$ sidetap {}\n{}\n", args.join(" "), end.stdout));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn reference_golden() {
    let place = Place::new();
    let reference = place.run(&["config", "reference"]).is(0).stdout;
    insta::assert_snapshot!(reference);
    place.write("all.toml", reference.as_bytes());
    place.run(&["config", "check", "all.toml"]);
}

#[test]
fn scripts_and_manual_are_printed() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(place.run(&["completions", shell]).is(0).stdout.contains("sidetap"));
    }
    let page = place.run(&["man"]).is(0).stdout;
    assert!(page.contains(".TH sidetap") && page.contains("\\-\\-trusted\\-proxies"));
    assert!(place.run(&["--version"]).is(0).stdout.starts_with("sidetap 0."));
}

#[test]
fn indicators_are_shown() {
    let place = Place::new();
    let list = place.run(&["indicators", "list", "--format", "ndjson"]).is(0).stdout;
    assert!(list.lines().count() >= 180, "{}", list.lines().count());
    let kinds = place.run(&["indicators", "list", "--kind", "protocol", "--pillar", "tools", "--json"]);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&kinds.is(0).stdout).unwrap();
    assert!(rows.len() >= 10 && rows.iter().all(|r| r["kind"] == "protocol" && r["pillar"] == "tools"));
    let wrong = place.run(&["indicators", "list", "--kind", "protocl"]).is(1);
    assert!(wrong.stderr.contains("did you mean `protocol`"), "{}", wrong.stderr);
    let first: serde_json::Value = serde_json::from_str(list.lines().next().unwrap()).unwrap();
    let id = first["id"].as_str().unwrap();
    assert!(place.run(&["indicators", "show", id]).is(0).stdout.contains(id));
    assert!(place.run(&["indicators", "show", &format!("{id}x")]).is(1).stderr.contains("did you mean"));
    assert!(place.run(&["policy", "list"]).is(0).stdout.contains("credential-stuffing"));
}
