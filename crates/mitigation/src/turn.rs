//! Turns of several Sidetaps of this machine that change one file: one at a time, and none for ever.
//!
//! A turn is a lock on a file of our own beside the one that is changed (`FILE.lock`), which nobody may open but who may change that: its
//! owner, and the group that the directory is shared with. A lock that anybody may take (on a directory, on a file that all may read) would
//! let any user of the machine keep devices from being emptied.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use crate::connector::{Answer, ConnectorError};
use crate::ledger::beside;
use crate::plan::Plan;

/// For how long a turn is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Longest time between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// That somebody else has the turn and does not end it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    lock: PathBuf,
    waited: Duration,
    /// Number and name of the process, where the machine says so.
    by: Option<(u32, String)>,
    /// Whether the lock is another user's, so that nobody can tell.
    is_denied: bool,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lock = self.lock.display();
        if self.is_denied {
            return write!(
                f,
                "{lock} is another user's: run both as one user, or as users of the group that may write to its directory; what an earlier run left may be removed while none runs"
            );
        }
        match &self.by {
            Some((pid, name)) => write!(f, "{lock} is held by process {pid} ({name})")?,
            None => write!(f, "{lock} is held by another process (`fuser {lock}` names it)")?,
        }
        write!(f, " for more than {} s", self.waited.as_secs())
    }
}

/// Waits for the lock of a file for so long; nothing where none can be made (no directory, no room, no right), since what lets go must go
/// on there too.
pub(crate) fn take(path: &Path, patience: Duration) -> Result<Option<File>, Taken> {
    let lock = beside(path, ".lock");
    let file = match open(&lock, path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::PermissionDenied && lock.exists() => {
            return Err(Taken { lock, waited: Duration::ZERO, by: None, is_denied: true });
        }
        Err(_) => return Ok(None),
    };
    let end = Instant::now() + patience;
    let mut pause = Duration::from_millis(1);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::Error(_)) => return Ok(None),
            Err(TryLockError::WouldBlock) if Instant::now() >= end => {
                let by = holder(&file);
                return Err(Taken { lock, waited: patience, by, is_denied: false });
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(PAUSE);
    }
}

/// Says to who looks at a device that it is being changed, until it is dropped; several may at once. Nothing where it cannot be said, which
/// keeps nobody from changing it.
pub(crate) fn say_busy(path: &Path, device: &str) -> Option<File> {
    let file = open(&busy(path, device), path).ok()?;
    // Who asks has it for a moment.
    (0..10)
        .find_map(|_| match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {
                std::thread::sleep(Duration::from_millis(1));
                None
            }
            done => Some(done.is_ok()),
        })?
        .then_some(file)
}

/// Whether anybody says so.
pub(crate) fn is_busy(path: &Path, device: &str) -> bool {
    let file = File::open(busy(path, device));
    file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// The file that is locked for it: one for each device, so that one that takes long is no reason to doubt the others.
fn busy(path: &Path, device: &str) -> PathBuf {
    beside(path, &format!(".{device}.busy"))
}

/// Opens the lock of a file, which nobody may open but who may change the file.
fn open(lock: &Path, path: &Path) -> std::io::Result<File> {
    let mut new = OpenOptions::new();
    new.read(true).write(true).create_new(true).mode(0o600);
    let file = match new.open(lock) {
        // A link would have us change the rights of what it leads to.
        Err(e) if e.kind() == ErrorKind::AlreadyExists => OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(lock)?,
        made => made?,
    };
    // As far as we may; what does not come about keeps others away, which they are told.
    let _ = share(&file, path);
    Ok(file)
}

/// A service under its own user shares files with commands of the administrator's: the lock is for the owner of the directory, who may replace
/// whatever is in it, or where that is root for the owner of the file; and, where the directory's group may write there, for that group.
fn share(lock: &File, path: &Path) -> std::io::Result<()> {
    let about = lock.metadata()?;
    if !about.is_file() || about.nlink() != 1 {
        return Ok(());
    }
    let directory = std::fs::metadata(folder(path))?;
    let is_shared = directory.mode() & 0o020 != 0;
    let of_file = std::fs::metadata(path).ok().filter(|_| directory.uid() == 0);
    let whose = of_file.as_ref().unwrap_or(&directory);
    let (owner, group) = (whose.uid(), if is_shared { directory.gid() } else { whose.gid() });
    if about.uid() != owner {
        let _ = std::os::unix::fs::fchown(lock, Some(owner), None);
    }
    if about.gid() != group {
        let _ = std::os::unix::fs::fchown(lock, None, Some(group));
    }
    let mode = if is_shared && lock.metadata()?.gid() == group { 0o660 } else { 0o600 };
    if about.mode() & 0o777 != mode {
        lock.set_permissions(PermissionsExt::from_mode(mode))?;
    }
    Ok(())
}

/// The directory that a file is in.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| *p != Path::new("")).unwrap_or(Path::new("."))
}

/// Who holds a lock, as the kernel lists it.
fn holder(file: &File) -> Option<(u32, String)> {
    let inode = format!(":{}", file.metadata().ok()?.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    // NUMBER: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE START END; who waits has `->` behind the number.
    let held = locks.lines().map(|l| l.split_whitespace().collect::<Vec<_>>());
    let pid = held.filter_map(|words| match words.as_slice() {
        [_, "FLOCK", _, _, pid, file, ..] if file.ends_with(&inode) => pid.parse::<u32>().ok(),
        _ => None,
    });
    let pid = pid.into_iter().find(|pid| *pid != 0)?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some((pid, name.trim().chars().filter(|c| !c.is_control()).collect()))
}

/// A turn, over when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _lock: Option<File>,
    risk: Option<String>,
}

impl Turn {
    /// What the device answered, and at what risk the turn was not waited for.
    pub(crate) fn answer(&self, text: String) -> Answer {
        Answer { text, risk: self.risk.clone() }
    }
}

/// Waits for the turn to change a file. An undo, or the kill switch, goes on without it when it waited long enough: what another Sidetap
/// writes at that moment may be lost or come back, which the next push of either makes good.
pub(crate) fn turn(path: &Path, plan: &Plan) -> Result<Turn, ConnectorError> {
    match take(path, PATIENCE) {
        Ok(lock) => Ok(Turn { _lock: lock, risk: None }),
        Err(taken) if plan.insists => {
            let risk = format!(
                "{taken}: nothing waited for it, so that what another Sidetap wrote meanwhile may be lost"
            );
            Ok(Turn { _lock: None, risk: Some(risk) })
        }
        Err(taken) => Err(ConnectorError::Busy(taken.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(60);

    #[test]
    fn a_lock_is_for_its_owner_only_and_not_waited_for_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let (path, lock) = (dir.path().join("list"), dir.path().join("list.lock"));
        let mode = || std::fs::metadata(&lock).unwrap().permissions().mode() & 0o777;
        let first = take(&path, SHORT).unwrap();
        assert_eq!((first.is_some(), mode()), (true, 0o600));
        let said = take(&path, SHORT).unwrap_err().to_string();
        let me = format!("held by process {} (", std::process::id());
        assert!(said.contains("list.lock is ") && (said.contains(&me) || said.contains("fuser")), "{said}");
        let other = take(&dir.path().join("another"), SHORT).unwrap();
        assert!(other.is_some(), "of another file it is not");
        drop(first);
        std::fs::set_permissions(&lock, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(take(&path, SHORT).unwrap().is_some());
        assert_eq!(mode(), 0o600, "that of an earlier Sidetap");
        assert!(take(&dir.path().join("none/list"), SHORT).unwrap().is_none(), "where none can be");
    }

    #[test]
    fn who_holds_a_directory_keeps_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let held = File::open(dir.path()).unwrap();
        held.lock().unwrap();
        assert!(take(&dir.path().join("list"), SHORT).unwrap().is_some());
    }
}
