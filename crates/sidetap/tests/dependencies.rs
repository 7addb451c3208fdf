//! Holds licences and bans over all dependencies, as deny.toml does where cargo-deny is installed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

use std::collections::BTreeSet;
use std::path::Path;

use cargo_metadata::{Metadata, MetadataCommand};

fn metadata() -> Metadata {
    MetadataCommand::new().other_options(vec!["--locked".to_owned()]).exec().unwrap()
}

/// The list of this name in deny.toml.
fn denied_list(section: &str, key: &str) -> Vec<toml::Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deny.toml");
    let deny: toml::Table = std::fs::read_to_string(file).unwrap().parse().unwrap();
    deny[section][key].as_array().unwrap().clone()
}

/// Whether an SPDX expression can be satisfied by allowed licences; `/` is the old spelling of `OR`.
fn satisfied(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let words = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words: Vec<&str> = words.split_whitespace().collect();
    words.reverse();
    either(&mut words, allowed)
}

fn either(words: &mut Vec<&str>, allowed: &BTreeSet<String>) -> bool {
    let mut good = both(words, allowed);
    while words.last() == Some(&"OR") {
        words.pop();
        good |= both(words, allowed);
    }
    good
}

fn both(words: &mut Vec<&str>, allowed: &BTreeSet<String>) -> bool {
    let mut good = one(words, allowed);
    while words.last() == Some(&"AND") {
        words.pop();
        good &= one(words, allowed);
    }
    good
}

fn one(words: &mut Vec<&str>, allowed: &BTreeSet<String>) -> bool {
    let word = words.pop().unwrap_or_default();
    if word == "(" {
        let good = either(words, allowed);
        words.pop();
        return good;
    }
    if words.last() == Some(&"WITH") {
        words.pop();
        let exception = words.pop().unwrap_or_default();
        return allowed.contains(&format!("{word} WITH {exception}"));
    }
    allowed.contains(word)
}

#[test]
fn expressions_are_understood() {
    let allowed: BTreeSet<String> =
        ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
    for good in
        ["MIT", "MIT/GPL-3.0", "GPL-2.0 OR (MIT AND Apache-2.0)", "Apache-2.0 WITH LLVM-exception OR GPL-2.0"]
    {
        assert!(satisfied(good, &allowed), "{good}");
    }
    for bad in
        ["GPL-3.0", "MIT AND GPL-3.0", "(GPL-2.0 OR LGPL-2.1) AND MIT", "", "GPL-2.0 WITH LLVM-exception"]
    {
        assert!(!satisfied(bad, &allowed), "{bad}");
    }
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let allowed: BTreeSet<String> =
        denied_list("licenses", "allow").iter().map(|v| v.as_str().unwrap().to_owned()).collect();
    let bad: Vec<String> = metadata()
        .packages
        .iter()
        .filter(|p| !satisfied(p.license.as_deref().unwrap_or_default(), &allowed))
        .map(|p| format!("{} {}: {:?}", p.name, p.version, p.license))
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn nothing_banned_is_in_the_tree() {
    let banned: BTreeSet<String> =
        denied_list("bans", "deny").iter().map(|v| v["crate"].as_str().unwrap().to_owned()).collect();
    assert!(banned.contains("aws-lc-sys") && banned.contains("openssl-sys"));
    let metadata = metadata();
    let bad: Vec<_> =
        metadata.packages.iter().filter(|p| banned.contains(p.name.as_str())).map(|p| &p.name).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

#[test]
fn everything_comes_from_the_registry_or_from_here() {
    for package in metadata().packages {
        let source = package.source.as_ref().map(ToString::to_string);
        let registry =
            source.as_deref().is_none_or(|s| s == "registry+https://github.com/rust-lang/crates.io-index");
        assert!(registry, "{} comes from {source:?}", package.name);
    }
}
