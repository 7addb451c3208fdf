//! What the fuzz targets were fed, again, without a fuzzer: their seeds, and the inputs in `fixtures/fuzz` that once broke something.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, unreachable_pub)]

#[path = "../../../fuzz/src/targets.rs"]
mod targets;

use std::path::{Path, PathBuf};

use sidetap_testkit::{Dialogue, Rng, seeds};

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    paths.sort();
    paths
}

fn target(name: &str) -> fn(&[u8]) {
    targets::ALL.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no target {name}")).1
}

#[test]
fn what_once_broke_breaks_no_more() {
    let mut replayed = 0;
    for dir in files(&fixtures("fuzz")).iter().filter(|p| p.is_dir()) {
        let run = target(dir.file_name().unwrap().to_str().unwrap());
        for path in files(dir) {
            run(&std::fs::read(&path).unwrap());
            replayed += 1;
        }
    }
    assert!(replayed > 0, "fixtures/fuzz holds inputs");
}

/// Each seed as it is, cut short, and with a few bytes changed; more often where `SIDETAP_FUZZ_ROUNDS` says so.
#[test]
fn seeds_and_what_is_near_them() {
    let mut all = seeds::of_documents().unwrap();
    for path in files(&fixtures("http1")).iter().filter(|p| p.extension().is_some_and(|e| e == "http")) {
        all.extend(seeds::of_dialogue(&Dialogue::parse(&std::fs::read_to_string(path).unwrap()).unwrap()));
    }
    assert!(all.len() > 500);
    let rounds: usize = std::env::var("SIDETAP_FUZZ_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut rng = Rng::new(3);
    for (name, bytes) in all {
        let run = target(name);
        run(&bytes);
        for _ in 0..rounds {
            run(&bytes[..rng.index(bytes.len() + 1)]);
            let mut changed = bytes.clone();
            for _ in 0..1 + rng.index(6) {
                let at = rng.index(changed.len());
                if let Some(byte) = changed.get_mut(at) {
                    *byte = rng.next_u32() as u8;
                }
            }
            run(&changed);
        }
    }
}
