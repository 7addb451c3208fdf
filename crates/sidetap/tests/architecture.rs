//! Holds the direction of dependencies between the crates of the workspace.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// What each crate may build on, apart from the shared bottom (`model`, `telemetry`).
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("telemetry", &[]),
    ("sys", &[]),
    ("wire", &[]),
    ("seal", &[]),
    ("capture", &["wire", "sys"]),
    ("sensitive", &["wire"]),
    ("threats", &["wire"]),
    ("discovery", &["wire"]),
    ("intel", &["wire", "sys"]),
    ("bots", &["wire", "intel"]),
    ("policy", &[]),
    ("store", &[]),
    ("mitigation", &["policy", "sys"]),
    ("console", &["store"]),
    ("pipeline", &["wire", "capture", "seal", "sensitive", "threats", "discovery", "bots"]),
    (
        "sidetap",
        &[
            "sys",
            "wire",
            "capture",
            "seal",
            "sensitive",
            "threats",
            "discovery",
            "bots",
            "intel",
            "policy",
            "store",
            "mitigation",
            "console",
            "pipeline",
        ],
    ),
    ("testkit", &["wire", "capture"]),
];

/// Crates that may hold `anyhow`, and crates that may be asynchronous.
const ANYHOW: &[&str] = &["sidetap"];
const TOKIO: &[&str] = &["sidetap", "console", "mitigation"];

/// The crate that may hold unsafe code; its reason is at the head of its `lib.rs`.
const UNSAFE: &str = "sidetap-sys";

/// Released dependencies of each crate of the workspace, by short name.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    let short = |name: &str| name.strip_prefix("sidetap-").unwrap_or(name).to_owned();
    metadata
        .packages
        .iter()
        .map(|p| {
            let released = p.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal);
            (short(&p.name), released.map(|d| short(&d.name)).collect())
        })
        .collect()
}

#[test]
fn dependencies_point_down_only() {
    let all = dependencies();
    let known: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    for (name, uses) in &all {
        let allowed = known
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{name} is not in the list: say what it may use"));
        for used in uses.iter().filter(|u| all.contains_key(*u)) {
            let bottom = used == "model" || (used == "telemetry" && name != "model");
            assert!(bottom || allowed.contains(&used.as_str()), "{name} may not use {used}");
        }
    }
}

#[test]
fn nothing_released_uses_the_testkit() {
    for (name, uses) in dependencies() {
        assert!(!uses.contains("testkit"), "{name}");
    }
}

#[test]
fn errors_are_typed_and_the_data_path_is_synchronous() {
    for (name, uses) in dependencies() {
        assert!(!uses.contains("anyhow") || ANYHOW.contains(&name.as_str()), "{name} uses anyhow");
        assert!(!uses.contains("tokio") || TOKIO.contains(&name.as_str()), "{name} uses tokio");
    }
}

#[test]
fn every_crate_keeps_the_lints_of_the_workspace() {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    for package in &metadata.packages {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        if package.name.as_str() == UNSAFE {
            let same = |line: &&str| line.contains(" = \"warn\"") && !line.starts_with("unsafe_code");
            let workspace = std::fs::read_to_string(metadata.workspace_root.join("Cargo.toml")).unwrap();
            for line in workspace.lines().filter(same) {
                assert!(manifest.contains(line), "{}: {line}", package.name);
            }
            continue;
        }
        assert!(manifest.contains("[lints]\nworkspace = true"), "{}", package.name);
    }
}

/// Files that move others into place by themselves, since what they write can be made again.
const MOVES: &[&str] = &[
    "crates/sys/src/place.rs",
    "crates/sidetap/src/output/atomic.rs",
    "crates/sidetap/src/output/run_dir.rs",
    "crates/pipeline/src/spool.rs",
    "crates/mitigation/src/nginx_njs/folder.rs",
    "crates/mitigation/src/envoy/mod.rs",
];

#[test]
fn state_is_put_in_place_by_one_function() {
    let root = MetadataCommand::new().no_deps().exec().unwrap().workspace_root;
    let mut open: Vec<std::path::PathBuf> = vec![root.join("crates").into()];
    let mut moves = Vec::new();
    while let Some(dir) = open.pop() {
        for path in std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            if path.is_dir() && !name.ends_with("/tests") {
                open.push(path);
            } else if name.ends_with(".rs") && std::fs::read_to_string(&path).unwrap().contains("fs::rename(")
            {
                moves.push(name);
            }
        }
    }
    moves.retain(|name| !MOVES.contains(&name.as_str()));
    assert!(moves.is_empty(), "use sidetap_sys::put_in_place, or say why not: {moves:?}");
}
