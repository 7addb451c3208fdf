use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use crate::User;
use crate::filter;

/// What a process keeps when it gives up its rights.
#[derive(Clone, Debug, Default)]
pub struct Confinement {
    /// Whom it becomes; `None`: it stays who it is.
    pub user: Option<User>,
    /// Files and directories that it may read.
    pub read: Vec<PathBuf>,
    /// Files and directories that it may read and change.
    pub write: Vec<PathBuf>,
    /// TCP ports that it may listen at. It can connect to none.
    pub listen: Vec<u16>,
}

/// How far a process is confined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confined {
    /// Whom it became, where it became somebody else.
    pub user: Option<User>,
    /// Why the kernel holds paths and ports not or not wholly (Landlock); `None` where it does.
    pub landlock: Option<String>,
    /// Why the kernel filters no system calls; `None` where it does.
    pub seccomp: Option<String>,
}

/// Why rights could not be given up.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// Other threads would keep theirs.
    #[error("cannot give up rights: {0} threads run already")]
    Threads(usize),
    /// A step was refused.
    #[error("cannot give up rights: {step}: {error}")]
    Step {
        /// Which one.
        step: &'static str,
        /// Why.
        error: io::Error,
    },
}

/// Gives up all rights but those named, for good and for everything that is started from here: identity, groups,
/// capabilities (all five sets), the gain of rights by running programs, paths and ports (Landlock), system calls (seccomp).
///
/// Rights belong to threads: only a process with one thread can give them up. A kernel without Landlock or seccomp is no error; what
/// it lacks is in the answer.
pub fn confine(wanted: &Confinement) -> Result<Confined, ConfineError> {
    let threads = fs::read_dir("/proc/self/task").map_or(1, |d| d.count());
    if threads > 1 {
        return Err(ConfineError::Threads(threads));
    }
    let step = |step: &'static str| move |e: rustix::io::Errno| ConfineError::Step { step, error: e.into() };
    drop_bounding_set();
    // What an ambient set is, kernels before 4.3 do not know.
    let _ = clear_ambient_capability_set();
    if let Some(user) = &wanted.user {
        let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
        set_thread_groups(&[]).map_err(step("groups"))?;
        set_thread_res_gid(gid, gid, gid).map_err(step("group"))?;
        set_thread_res_uid(uid, uid, uid).map_err(step("user"))?;
    }
    let nothing = CapabilitySet::empty();
    let none = CapabilitySets { effective: nothing, permitted: nothing, inheritable: nothing };
    set_capabilities(None, none).map_err(step("capabilities"))?;
    set_no_new_privs(true).map_err(step("no_new_privs"))?;
    let landlock = match fence(wanted) {
        Ok(RulesetStatus::FullyEnforced) => None,
        Ok(RulesetStatus::PartiallyEnforced) => {
            Some("this kernel's Landlock is older: it holds paths, but not all that was asked".to_owned())
        }
        Ok(RulesetStatus::NotEnforced) => Some("this kernel has no Landlock".to_owned()),
        Err(e) => Some(e.to_string()),
    };
    let seccomp = filter::apply().err().map(|e| e.to_string());
    Ok(Confined { user: wanted.user.clone(), landlock, seccomp })
}

/// Capabilities that a program run from here could get. Who may not take them out has none to give.
fn drop_bounding_set() {
    for capability in CapabilitySet::all().iter() {
        let _ = remove_capability_from_bounding_set(capability);
    }
}

fn fence(wanted: &Confinement) -> Result<RulesetStatus, RulesetError> {
    let abi = ABI::V6;
    let write = AccessFs::from_all(abi) & !AccessFs::Execute;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(&wanted.read, read))?
        .add_rules(path_beneath_rules(&wanted.write, write))?;
    for port in &wanted.listen {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

/// Gives a directory that is Sidetap's own to `user`, with what lies directly in it.
///
/// Only entries of the account `from` change hands; files with a second name somewhere else do not.
pub fn hand_over(dir: &Path, from: u32, user: &User) -> io::Result<()> {
    for entry in fs::read_dir(dir)?.flatten() {
        let meta = entry.metadata()?;
        if meta.uid() == from && (meta.is_dir() || (meta.is_file() && meta.nlink() == 1)) {
            lchown(entry.path(), Some(user.uid), Some(user.gid))?;
        }
    }
    if fs::symlink_metadata(dir)?.uid() == from {
        lchown(dir, Some(user.uid), Some(user.gid))?;
    }
    Ok(())
}

/// Whether `user` could read and write the paths of a confinement: the first that it could not, with the reason.
///
/// To be asked by root, before other threads run; it is root again afterwards.
pub fn may_use(user: &User, wanted: &Confinement) -> Result<(), (PathBuf, io::Error)> {
    let whole = PathBuf::from("/");
    let failed = |e: rustix::io::Errno| (whole.clone(), io::Error::from(e));
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    let groups = rustix::process::getgroups().map_err(failed)?;
    set_thread_groups(&[]).map_err(failed)?;
    let tried = set_thread_res_gid(None, gid, None)
        .and_then(|()| set_thread_res_uid(None, uid, None))
        .map_err(failed)
        .and_then(|()| try_all(wanted));
    set_thread_res_uid(None, Uid::ROOT, None).map_err(failed)?;
    set_thread_res_gid(None, Gid::ROOT, None).map_err(failed)?;
    set_thread_groups(&groups).map_err(failed)?;
    tried
}

fn try_all(wanted: &Confinement) -> Result<(), (PathBuf, io::Error)> {
    let there = |p: &&PathBuf| !matches!(fs::metadata(p), Err(e) if e.kind() == io::ErrorKind::NotFound);
    wanted
        .read
        .iter()
        .filter(there)
        .try_for_each(|p| fs::File::open(p).map(drop).map_err(|e| (p.clone(), e)))?;
    wanted.write.iter().try_for_each(|p| try_write(p).map_err(|e| (p.clone(), e)))
}

fn try_write(path: &Path) -> io::Result<()> {
    if !path.is_dir() {
        return fs::OpenOptions::new().write(true).open(path).map(drop);
    }
    let probe = path.join(format!(".sidetap-probe.{}", std::process::id()));
    fs::OpenOptions::new().write(true).create_new(true).open(&probe)?;
    fs::remove_file(&probe)
}
