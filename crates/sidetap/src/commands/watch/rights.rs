//! What `watch` gives up once its interfaces are open.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sidetap_sys::{Confinement, User, confine, hand_over, may_use};

use crate::commands::prepare::Plan;
use crate::config::Config;
use crate::output::{is_summary_room, note, warn};

/// The account that has no rights on any system.
const NOBODY: &str = "nobody";

/// Gives up every right, for good: identity, capabilities, the gain of rights by other programs, all paths but those of the
/// run, all system calls that it never makes. No thread may run yet.
pub(super) fn give_up(config: &Config, plan: &Plan) -> Result<()> {
    if !config.capture.confine {
        note("rights are kept, as asked");
        return Ok(());
    }
    let mut wanted = Confinement { read: readable(config), write: writable(plan), ..Confinement::default() };
    let root = is_root();
    if root {
        wanted.user = identity(config, plan, &wanted)?;
    }
    let done = confine(&wanted)?;
    for lacking in [&done.landlock, &done.seccomp].into_iter().flatten() {
        warn(&format!("less confined than asked: {lacking}"));
    }
    let who = match (&done.user, root) {
        (Some(user), _) => format!("user {user}, "),
        (None, true) => "user root, ".to_owned(),
        (None, false) => String::new(),
    };
    note(&format!("rights given up: {who}no capabilities, no other programs, no paths but those of the run"));
    Ok(())
}

/// Whom to become: the account that was named, which must be able to write; else `nobody` where that one is.
fn identity(config: &Config, plan: &Plan, wanted: &Confinement) -> Result<Option<User>> {
    let name = config.capture.user.as_deref();
    let Some(user) = User::find(name.unwrap_or(NOBODY)) else {
        match name {
            Some(name) => bail!("there is no user {name} to become"),
            None => return Ok(None),
        }
    };
    let own = own_directories(plan);
    let give = |from: u32, to: &User| {
        own.iter().try_for_each(|dir| {
            hand_over(dir, from, to).with_context(|| format!("cannot give {} to {to}", dir.display()))
        })
    };
    let root = User { name: "root".to_owned(), uid: 0, gid: 0 };
    give(root.uid, &user)?;
    match may_use(&user, wanted) {
        Ok(()) => Ok(Some(user)),
        Err((path, e)) if name.is_some() => bail!("{user} cannot use {}: {e}", path.display()),
        Err((path, e)) => {
            // Root without its rights can write only what is its own.
            give(user.uid, &root)?;
            let path = path.display();
            warn(&format!(
                "stays root, though without its rights: {user} cannot use {path} ({e}); name an account that can with --user"
            ));
            Ok(None)
        }
    }
}

/// Directories that hold nothing but what Sidetap wrote: they may change hands.
fn own_directories(plan: &Plan) -> Vec<PathBuf> {
    let mut own = Vec::new();
    if let Some(dir) = plan.out.as_ref().map(|out| out.path()) {
        let is_run = dir.join("summary.json").is_file() || names(dir).iter().all(|n| is_summary_room(n));
        own.extend(is_run.then(|| dir.to_owned()));
        own.extend(Some(dir.join("openapi")).filter(|d| is_run && d.is_dir()));
    }
    if let Some(flagged) = &plan.options.flagged {
        let ours = |n: &String| sidetap_pipeline::is_flagged_file(n);
        own.extend(names(&flagged.dir).iter().all(ours).then(|| flagged.dir.clone()));
    }
    if let Some(store) = &plan.store {
        let name = store.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let dir = parent(store);
        own.extend(names(&dir).iter().all(|n| n.starts_with(&name)).then_some(dir));
    }
    own
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

fn writable(plan: &Plan) -> Vec<PathBuf> {
    let files = [&plan.store, &plan.state];
    let mut paths: Vec<PathBuf> = files.into_iter().flatten().map(|f| parent(f)).collect();
    // The store is one file and two beside it, which must be this account's to change.
    paths.extend(plan.store.iter().filter(|s| s.is_file()).cloned());
    paths.extend(plan.options.flagged.as_ref().map(|f| f.dir.clone()));
    paths.extend(plan.out.as_ref().map(|out| out.path().to_owned()));
    paths
}

/// What is still read after the start: the policy and the feeds' lists for the console, and what the kernel tells.
fn readable(config: &Config) -> Vec<PathBuf> {
    let system = ["/proc/self", "/sys/class/net", "/sys/devices", "/dev/urandom", "/dev/null"];
    let feeds = config.mitigation.feed.iter().map(|f| parent(&f.path));
    // Who saves a policy puts a new file in place of the old one: a right to the old one would be none to it.
    let policy = config.policy.path.as_deref().map(parent);
    system.into_iter().map(PathBuf::from).chain(policy).chain(feeds).collect()
}

fn parent(file: &Path) -> PathBuf {
    match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}
