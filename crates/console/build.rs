//! Puts the built pages (`web/dist`) into the binary; where they are not built, none.
#![allow(clippy::print_stdout)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("web/dist");
    println!("cargo::rerun-if-changed=build.rs");
    // Cargo looks at times below a directory; of one that is not there at its parent.
    let watched =
        if root.is_dir() { root.clone() } else { root.parent().map(Path::to_owned).unwrap_or_default() };
    if watched.exists() {
        println!("cargo::rerun-if-changed={}", watched.display());
    }
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let mut code = String::from("&[\n");
    for file in files {
        let Ok(name) = file.strip_prefix(&root) else { continue };
        let name = name.to_string_lossy().replace('\\', "/");
        let _ =
            writeln!(code, "    (\"/{name}\", include_bytes!({:?}).as_slice()),", file.display().to_string());
    }
    code.push_str("]\n");
    let out = PathBuf::from(env::var("OUT_DIR").unwrap_or_default()).join("pages.rs");
    if let Err(e) = fs::write(&out, code) {
        println!("cargo::error=cannot write {}: {e}", out.display());
    }
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.is_file() {
            files.push(path);
        }
    }
}
