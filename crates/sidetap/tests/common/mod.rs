//! The real binary, run in directories of its own.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use sidetap_testkit::{Dialogue, LinkKind, PcapForm, pcap_bytes};
use tempfile::TempDir;

/// A place to work in, with a key of its own.
pub(crate) struct Place {
    dir: TempDir,
}

/// How a run ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Place { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A command of the binary that sees nothing of the user's files.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sidetap"));
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env("HOME", self.dir.path()).env_remove("XDG_CONFIG_HOME").env_remove("NO_COLOR");
        command
            .env_remove("XDG_DATA_HOME")
            .env_remove("NPM_CONFIG_REGISTRY")
            .env_remove("npm_config_registry");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        ended(self.command(args).output().unwrap())
    }
}

pub(crate) fn ended(output: Output) -> Ended {
    let ended = Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    ended
}

/// Whether programs may be looked at, and killed, by strace; says so where they may not. To be asked before anything is: what goes wrong later
/// is no reason to leave a test out.
pub(crate) fn may_trace() -> bool {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync"]);
    let why = match command.args(["-e", "inject=fsync:signal=SIGKILL:when=1", "true"]).output() {
        Ok(output) if output.status.success() => return true,
        Ok(output) => {
            format!("strace may look at nothing here: {}", String::from_utf8_lossy(&output.stderr).trim())
        }
        Err(e) => format!("strace: {e}"),
    };
    assert!(std::env::var_os("SIDETAP_REQUIRE_TOOLS").is_none(), "{why}");
    eprintln!("skipped: {why}");
    false
}

/// How a command ended that was killed before a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Done,
    Killed,
    /// A program that it had started was killed, and it said so.
    Failed,
}

/// Runs a command; of its threads, and of those of the programs that it starts, the first is killed that is about to make one of these calls
/// for the `step`th time.
pub(crate) fn killed_before(command: &Command, calls: &str, step: u32) -> Fate {
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
    traced.args(["-e", &format!("inject={calls}:signal=SIGKILL:when={step}")]);
    traced.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => traced.env(name, value),
            None => traced.env_remove(name),
        };
    }
    let output = traced.current_dir(command.get_current_dir().unwrap()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked"), "{said}");
    // As a shell does, strace says by 128 that it was killed.
    match output.status.code() {
        Some(0) => Fate::Done,
        None | Some(137) => Fate::Killed,
        Some(code) if said.contains("sidetap") => {
            assert!(code < 128, "{calls} {step}: {code} {said}");
            Fate::Failed
        }
        code => panic!("{calls} {step}: {code:?} {said}"),
    }
}

impl Ended {
    pub(crate) fn is(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}

/// The sample that comes with the repository.
pub(crate) fn sample() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pcaps/sample.pcap.zst").display().to_string()
}

/// A capture of dialogues one after the other on one connection.
pub(crate) fn capture(dialogues: &[&str]) -> Vec<u8> {
    let turns = dialogues.iter().map(|d| d.split_once("\n\n").unwrap().1);
    let whole = format!("# One connection\n\n{}", turns.collect::<Vec<_>>().join("\n"));
    let packets = if dialogues.is_empty() { Vec::new() } else { Dialogue::parse(&whole).unwrap().packets() };
    pcap_bytes(&packets, LinkKind::Ethernet, PcapForm::default())
}

/// One request and its answer.
pub(crate) const HELLO: &str = "# Hello\n\n>>>\nGET /hello HTTP/1.1\nHost: shop.example\n\n<<<\nHTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: 11\n\n{\"ok\":true}\n";

pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// All files below a directory, by their names in it.
pub(crate) fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.strip_prefix(dir).unwrap().display().to_string();
            files.insert(name, std::fs::read(&path).unwrap());
        }
    }
    files
}

/// What must be the same in every run: all but worker count, times and memory of the summary.
pub(crate) fn comparable(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = tree(dir);
    let mut summary: Value = serde_json::from_slice(&files["summary.json"]).unwrap();
    for key in ["workers", "wall_ms", "peak_rss_bytes"] {
        summary.as_object_mut().unwrap().remove(key).unwrap();
    }
    files.insert("summary.json".to_owned(), summary.to_string().into_bytes());
    files
}

/// Whether what needs root can be tested; says so where it cannot.
pub(crate) fn is_root(what: &str) -> bool {
    let root = std::fs::metadata("/proc/self")
        .map(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
        .unwrap_or(false);
    if !root {
        eprintln!("left out, needs root: {what}");
    }
    root
}
