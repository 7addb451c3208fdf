//! What nothing else tells is on the disk once it is written, its name too: the calls of the real binary, as strace sees them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::path::Path;
use std::process::Command;

use common::{HELLO, Place, capture};

/// Where it is; nothing where tests may do without.
fn strace() -> Option<&'static str> {
    if Command::new("strace").arg("-V").output().is_ok() {
        return Some("strace");
    }
    assert!(std::env::var_os("SIDETAP_REQUIRE_TOOLS").is_none(), "strace is not installed");
    eprintln!("skipped: strace is not installed");
    None
}

/// The calls of a run that name files, in their order; nothing where no program can be looked at.
fn calls(place: &Place, args: &[&str]) -> Option<Vec<String>> {
    let strace = strace()?;
    let binary = place.command(args);
    let mut command = Command::new(strace);
    command.args([
        "-f",
        "-y",
        "-o",
        "calls",
        "-e",
        "trace=rename,renameat,renameat2,link,linkat,fsync,fdatasync",
    ]);
    command.arg(binary.get_program()).args(binary.get_args()).current_dir(place.path(""));
    command.env("HOME", place.path("")).env_remove("XDG_CONFIG_HOME");
    let output = command.output().unwrap();
    if String::from_utf8_lossy(&output.stderr).contains("ptrace") {
        eprintln!("skipped: nothing may be looked at here");
        return None;
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(std::fs::read_to_string(place.path("calls")).unwrap().lines().map(str::to_owned).collect())
}

/// Whether a file's bytes, and then its name, were waited for.
fn lasts(calls: &[String], file: &Path) -> Result<(), String> {
    let file = file.display().to_string();
    let folder = Path::new(&file).parent().unwrap().display().to_string();
    let name = file.rsplit('/').next().unwrap();
    let names = |c: &&String| c.contains("rename") || c.contains("link");
    let ends = |c: &&String| c.contains(&format!("/{name}\"")) || c.contains(&format!(", \"{name}\""));
    let at = calls.iter().rposition(|c| names(&c) && ends(&c)).ok_or("it is not put in place")?;
    let (before, after) = calls.split_at(at);
    let synced = |c: &&String| c.contains("sync(") && c.contains(name);
    let wrote = before.iter().any(|c| synced(&c));
    let kept = after.iter().any(|c| c.contains("sync(") && c.contains(&format!("<{folder}>")));
    match (wrote, kept) {
        (true, true) => Ok(()),
        (false, _) => Err("its bytes are not waited for".to_owned()),
        (_, false) => Err("its name is not waited for".to_owned()),
    }
}

#[test]
fn what_was_learned_and_the_key_outlast_a_power_failure() {
    let place = Place::new();
    let bytes = capture(&[HELLO]);
    let file = place.write("a.pcap", &bytes).display().to_string();
    let args = ["replay", &file, "--out", "a", "--hash-key", "key", "--state", "state"];
    let Some(calls) = calls(&place, &args) else { return };
    for name in ["state", "key"] {
        let said = lasts(&calls, &place.path(name));
        assert_eq!(said, Ok(()), "{name}: {calls:#?}");
    }
}

#[test]
fn what_devices_were_told_and_the_kill_switch_outlast_a_power_failure() {
    let place = Place::new();
    place.write(
        "sidetap.toml",
        b"[store]\npath = \"s.db\"\n[mitigation]\nstate = \"led/ledger.json\"\n[[mitigation.feed]]\npath = \"feed/list.json\"\n",
    );
    // Not beside the store, which waits for names of its own.
    ["led", "feed"].iter().for_each(|dir| std::fs::create_dir(place.path(dir)).unwrap());
    sidetap_store::Store::open(&place.path("s.db")).unwrap();
    let args = ["--config", "sidetap.toml", "mitigation", "stop", "--reason", "a test"];
    let Some(stop) = calls(&place, &args) else { return };
    assert_eq!(lasts(&stop, &place.path("led/ledger.json.stop")), Ok(()), "{stop:#?}");
    place.run(&["--config", "sidetap.toml", "mitigation", "resume"]).is(0);
    let args = ["--config", "sidetap.toml", "mitigation", "undo", "--all", "--enforce"];
    let Some(undo) = calls(&place, &args) else { return };
    assert_eq!(lasts(&undo, &place.path("led/ledger.json")), Ok(()), "{undo:#?}");
}
