use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sidetap_model::Ts;
use sidetap_sys::put_in_place;

use crate::back::Back;
use crate::canary::Canary;
use crate::contended::Contended;
use crate::desired::Want;
use crate::entry::tag_of;
use crate::status::Ends;
use crate::turn::{PATIENCE, folder, is_busy, say_busy, take};

/// Seconds that a push which is over is remembered, so that an old verdict is not pushed again.
pub(crate) const REMEMBER_S: i64 = 90 * 86_400;
/// The time in which a device is told of so many entries only: of a minute, both ends of which are whole seconds.
const MINUTE_S: i64 = 59;
/// Most pushes that are remembered.
const MAX_ENTRIES: usize = 500_000;

/// What was pushed and when, and what was taken back: the memory between two reconciles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// By verdict.
    #[serde(default)]
    pub entries: BTreeMap<String, LedgerEntry>,
    /// Verdicts that were taken back, by connector; `*` stands for all. They stay so until [`crate::Enforcer::redo`].
    #[serde(default)]
    pub undone: BTreeMap<String, BTreeSet<String>>,
    /// Whom they named.
    #[serde(default, skip_serializing_if = "Back::is_empty")]
    pub(crate) back: Back,
    /// How many entries each device was told of lately, by the second of the push.
    #[serde(default)]
    pub added: BTreeMap<String, BTreeMap<i64, usize>>,
    /// Verdicts that are not ours of entries under our mark, as the last push left them on each device.
    #[serde(default)]
    pub(crate) left: BTreeMap<String, BTreeSet<String>>,
    /// Until when the last change of each device left entries of verdicts there; none where it left none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) until: BTreeMap<String, i64>,
    /// How many entries of verdicts the last change of each device left there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) ends: BTreeMap<String, Ends>,
    /// Canaries that were seen let through before their entry stood, by connector.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) let_through: BTreeMap<String, IpAddr>,
    /// Devices on which somebody else writes under our mark.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub contended: BTreeMap<String, Contended>,
}

/// One push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// When, in seconds of the wall clock.
    pub pushed_at: i64,
    /// Until when, in seconds of the wall clock.
    pub expires_at: i64,
    /// When its subject was at it last, as known then.
    pub last_seen: Ts,
}

impl Ledger {
    /// Until when a want holds if it is pushed at `now`; or why it is not pushed.
    ///
    /// A push holds for its time to live, or for less from the moment that policy gives less. Who is at it again later is pushed anew, or longer; a verdict whose time is over
    /// and who was not seen since, is not.
    pub(crate) fn term(&self, want: &Want, now: i64, force: bool) -> Result<LedgerEntry, &'static str> {
        let ttl = i64::try_from(want.ttl_s).unwrap_or(i64::MAX);
        let fresh =
            LedgerEntry { pushed_at: now, expires_at: now.saturating_add(ttl), last_seen: want.last_seen };
        let Some(old) = self.entries.get(&want.verdict) else {
            return if want.stale && !force {
                Err("said too long ago: only a push of old verdicts too sends it")
            } else {
                Ok(fresh)
            };
        };
        // One that was told by a clock that was ahead of this one says nothing of who was seen since.
        let was_ahead = old.last_seen.secs() > now && want.last_seen != old.last_seen;
        let again = (want.last_seen > old.last_seen || was_ahead) && !want.stale;
        if now >= old.expires_at {
            return if again || force { Ok(fresh) } else { Err("its time to live is over") };
        }
        let gain = fresh.expires_at.saturating_sub(old.expires_at);
        if again && gain > (ttl / 10).max(5) {
            return Ok(LedgerEntry { pushed_at: old.pushed_at, ..fresh });
        }
        // Where policy gives less time now than it did, that counts from now on.
        Ok(LedgerEntry { expires_at: old.expires_at.min(fresh.expires_at), ..*old })
    }

    /// Whether a verdict was taken back on this connector.
    pub(crate) fn is_undone(&self, connector: &str, verdict: &str) -> bool {
        ["*", connector].iter().any(|c| self.undone.get(*c).is_some_and(|set| set.contains(verdict)))
    }

    pub(crate) fn undo(&mut self, connector: &str, verdict: &str) {
        self.undone.entry(connector.to_owned()).or_default().insert(verdict.to_owned());
    }

    /// How many entries a device was told of in the minute before `now`.
    pub(crate) fn added_lately(&self, connector: &str, now: i64) -> usize {
        let minute = now.saturating_sub(MINUTE_S)..=now;
        let counts = self.added.get(connector);
        counts.into_iter().flat_map(|c| c.iter()).filter(|(at, _)| minute.contains(*at)).map(|(_, n)| n).sum()
    }

    /// Takes in how a change left a device: with so many new entries, and with these in all.
    pub(crate) fn leave(&mut self, connector: &str, now: i64, added: usize, left: &Ends) {
        self.ends.insert(connector.to_owned(), left.clone());
        match left.last() {
            Some(until) => drop(self.until.insert(connector.to_owned(), until)),
            None => drop(self.until.remove(connector)),
        }
        if added > 0 {
            let counts = self.added.entry(connector.to_owned()).or_default();
            counts.retain(|at, _| (now.saturating_sub(MINUTE_S)..=now).contains(at));
            *counts.entry(now).or_default() += added;
        }
    }

    /// Whether a device was left with entries that are not over.
    pub(crate) fn left_some(&self, connector: &str, now: i64) -> bool {
        self.until.get(connector).is_some_and(|until| *until > now)
    }

    /// How many entries that a device was left with, and that are not over, are not among those there.
    pub(crate) fn missing(&self, connector: &str, there: &Ends, now: i64) -> usize {
        self.ends.get(connector).map_or(0, |left| left.missing(there, now))
    }

    /// Forgets pushes that are long over, and of too many that were taken back those.
    pub(crate) fn prune(&mut self, now: i64) {
        if self.undone.values().any(|set| set.len() > MAX_ENTRIES) {
            let known: BTreeSet<String> = self.entries.keys().map(|id| tag_of(id)).collect();
            self.undone.values_mut().for_each(|set| set.retain(|tag| known.contains(tag)));
        }
        let undone = &self.undone;
        self.back.prune(now, |tag| undone.values().any(|set| set.contains(tag)));
        self.entries.retain(|_, e| e.expires_at > now.saturating_sub(REMEMBER_S));
        if self.entries.len() > MAX_ENTRIES {
            let mut ends: Vec<i64> = self.entries.values().map(|e| e.expires_at).collect();
            ends.sort_unstable();
            let cut = ends.get(ends.len() - MAX_ENTRIES).copied().unwrap_or(i64::MIN);
            self.entries.retain(|_, e| e.expires_at >= cut);
        }
    }

    /// Takes in what another process wrote: all that it took back, how much it told devices, what it found there, and what it pushed later
    /// than is known here.
    fn take_in(&mut self, newer: Ledger) {
        self.undone = newer.undone;
        self.back = newer.back;
        self.added = newer.added;
        self.left = newer.left;
        self.until = newer.until;
        self.ends = newer.ends;
        self.contended = newer.contended;
        self.let_through = newer.let_through;
        for (id, entry) in newer.entries {
            let known = self.entries.entry(id).or_insert(entry);
            if entry.expires_at > known.expires_at {
                *known = entry;
            }
        }
    }

    /// Whether it is known that this canary is let through while its entry does not stand, where that has to be known.
    pub(crate) fn knows(&self, connector: &str, canary: &Canary) -> bool {
        canary.probes_from().is_none_or(|address| self.let_through.get(connector) == Some(&address))
    }

    /// Reads the ledger of a file; a file that does not exist is an empty ledger.
    pub fn read(path: &Path) -> std::io::Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(std::io::Error::other),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Ledger::default()),
            Err(e) => Err(e),
        }
    }

    /// Writes the ledger to a file, whole or not at all.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        write_whole(path, &serde_json::to_vec(self).map_err(std::io::Error::other)?)
    }
}

/// The file of a ledger. Several processes keep one: a watch that pushes, and the command that takes back while it does.
#[derive(Clone, Debug)]
pub(crate) struct LedgerFile {
    path: PathBuf,
    seen: Option<Stamp>,
    /// The one that was looked at last, whether or not it could be read.
    looked: Option<Stamp>,
    /// Whether the last wait for a turn was in vain: the next is a short one.
    is_taken: bool,
}

/// What tells one written ledger from the next: number of the file, its time and its length.
type Stamp = (u64, i64, i64, u64);

impl LedgerFile {
    /// The ledger of this file.
    pub(crate) fn new(path: &Path) -> Self {
        LedgerFile { path: path.to_owned(), seen: None, looked: None, is_taken: false }
    }

    /// Takes in what another process wrote since the last look.
    pub(crate) fn look(&mut self, ledger: &mut Ledger) -> std::io::Result<()> {
        let there = self.stamp();
        self.looked = there;
        if there.is_some() && there != self.seen {
            ledger.take_in(Ledger::read(&self.path)?);
            self.seen = there;
        }
        Ok(())
    }

    /// Changes the ledger and writes it; one process at a time, so that none loses what another wrote. With `insists` it goes on where
    /// another does not end, and gives what that risks.
    pub(crate) fn change(
        &mut self,
        ledger: &mut Ledger,
        insists: bool,
        change: impl FnOnce(&mut Ledger),
    ) -> std::io::Result<Option<String>> {
        let taken = take(&self.path, if self.is_taken && insists { Duration::ZERO } else { PATIENCE });
        self.is_taken = taken.is_err();
        let (turn, risk) = match taken {
            Ok(turn) => (turn, None),
            Err(taken) if insists => (None, Some(format!("{taken}: nothing waited for it"))),
            Err(taken) => return Err(std::io::Error::other(taken.to_string())),
        };
        self.look(ledger)?;
        change(ledger);
        ledger.write(&self.path)?;
        self.seen = self.stamp();
        self.looked = self.seen;
        drop(turn);
        Ok(risk)
    }

    /// Says to who looks at this device that it is being changed.
    pub(crate) fn say_busy(&self, connector: &str) -> Option<File> {
        say_busy(&self.path, connector)
    }

    /// Whether this device is being changed.
    pub(crate) fn is_busy(&self, connector: &str) -> bool {
        is_busy(&self.path, connector)
    }

    /// Whether it was written since the last look.
    pub(crate) fn is_news(&self) -> bool {
        self.stamp().is_some_and(|there| Some(there) != self.looked)
    }

    fn stamp(&self) -> Option<Stamp> {
        stamp(&self.path)
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let there = std::fs::metadata(path).ok()?;
    Some((there.ino(), there.mtime(), there.mtime_nsec(), there.len()))
}

/// What was taken back by the file of a ledger, for who tells no device: it is read again where it changed.
#[derive(Debug, Default)]
pub struct TakenBack {
    path: Option<PathBuf>,
    kept: Mutex<(Option<Stamp>, Arc<Undone>)>,
}

impl TakenBack {
    /// By this file; nothing where there is none.
    pub fn by(ledger: Option<&Path>) -> Self {
        TakenBack { path: ledger.map(Path::to_owned), ..TakenBack::default() }
    }

    /// What is taken back now; nothing where the file cannot be read, which a push says.
    pub fn look(&self) -> Arc<Undone> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &self.path {
            let there = stamp(path);
            if there != kept.0 {
                let read = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
                *kept = (there, Arc::new(read.unwrap_or_default()));
            }
        }
        Arc::clone(&kept.1)
    }
}

/// The part of a ledger that says what was taken back.
#[derive(Debug, Default, Deserialize)]
pub struct Undone {
    #[serde(default)]
    undone: BTreeMap<String, BTreeSet<String>>,
}

impl Undone {
    /// Whether a verdict was taken back everywhere, or on each of these connectors.
    pub fn holds(&self, verdict: &str, connectors: &[String]) -> bool {
        let tag = tag_of(verdict);
        let on = |connector: &str| self.undone.get(connector).is_some_and(|set| set.contains(&tag));
        on("*") || !connectors.is_empty() && connectors.iter().all(|c| on(c))
    }
}

pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

/// Writes a file beside its place and moves it there, so that a reader, a crash or a power failure sees the old one or the new one.
///
/// What is there keeps its mode and, as far as the process may, its owner; of a link the file that it leads to is written.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let beside = beside(path, &format!(".{}{NEW}", std::process::id()));
    let written = write_to(&beside, path, bytes).and_then(|()| put_in_place(&beside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    sweep(path);
    written
}

/// What the name of a file ends with that is to be put in place.
const NEW: &str = ".new";
/// For how long one may be somebody's whose process is not seen from here: in another container.
const AGED: Duration = Duration::from_secs(60);

/// The largest number of a process (proc_sys_kernel(5), `pid_max`).
const MOST_PROCESSES: u32 = 1 << 22;

/// Removes what processes that were killed left beside a file.
fn sweep(path: &Path) {
    let Some(prefix) = path.file_name().and_then(|n| n.to_str()).map(|n| format!("{n}.")) else { return };
    for file in std::fs::read_dir(folder(path)).into_iter().flatten().flatten() {
        let name = file.file_name();
        let pid = name.to_str().and_then(|n| n.strip_prefix(&prefix)?.strip_suffix(NEW));
        let pid = pid.filter(|p| p.bytes().all(|b| b.is_ascii_digit())).and_then(|p| p.parse::<u32>().ok());
        // A date is no number that Linux gives a process.
        let pid = pid.filter(|pid| *pid <= MOST_PROCESSES);
        let is_aged = || {
            file.metadata().is_ok_and(|m| {
                m.is_file() && m.modified().is_ok_and(|at| at.elapsed().is_ok_and(|e| e > AGED))
            })
        };
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) && is_aged() {
            let _ = std::fs::remove_file(file.path());
        }
    }
}

/// Writes a text over that of a file that is there and is not shorter, which takes no room.
pub(crate) fn write_over(path: &Path, text: &str) -> std::io::Result<()> {
    let length = text.len() as u64;
    let about = std::fs::symlink_metadata(path)?;
    if !about.is_file() || about.len() < length {
        return Err(ErrorKind::InvalidInput.into());
    }
    let mut file = std::fs::OpenOptions::new().write(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.set_len(length)
}

/// Whether an error says that there is no room: of the device (28), or for who writes (122).
pub(crate) fn is_full(e: &std::io::Error) -> bool {
    e.raw_os_error().is_some_and(|n| [28, 122].contains(&n))
}

/// Writes a file as `like` may be read and written; where that is not there yet and the directory is another user's than root, as that user's.
fn write_to(path: &Path, like: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // What an earlier process of this number left, or a link that somebody else did: nothing is written through it.
    if std::fs::symlink_metadata(path).is_ok() {
        std::fs::remove_file(path)?;
    }
    let mut file = File::create_new(path)?;
    if let Ok(old) = std::fs::metadata(like) {
        let _ = std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()));
        file.set_permissions(old.permissions())?;
    } else if let Some(whose) = std::fs::metadata(folder(path)).ok().filter(|d| d.uid() != 0) {
        let _ = std::os::unix::fs::fchown(&file, Some(whose.uid()), Some(whose.gid()));
    }
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_killed_processes_left_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        let me = std::process::id();
        let old = dir.path().metadata().unwrap().modified().unwrap() - 2 * AGED;
        let none = MOST_PROCESSES;
        for (name, aged) in [
            (format!("list.{none}.new"), true),
            (format!("list.{}.new", none - 1), false),
            (format!("list.{me}0.copy"), true),
            ("list.1.new".to_owned(), true),
            ("list.new".to_owned(), true),
            ("list.old.new".to_owned(), true),
            (format!("other.{none}.new"), true),
        ] {
            let file = File::create(dir.path().join(name)).unwrap();
            if aged {
                file.set_modified(old).unwrap();
            }
        }
        write_whole(&path, b"new").unwrap();
        let mut left: Vec<String> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|f| f.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut kept = [
            "list".to_owned(),
            format!("list.{}.new", none - 1),
            format!("list.{me}0.copy"),
            "list.1.new".to_owned(),
            "list.new".to_owned(),
            "list.old.new".to_owned(),
            format!("other.{none}.new"),
        ];
        kept.sort();
        assert_eq!(left, kept);
    }

    #[test]
    fn a_file_keeps_its_mode_and_a_link_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        std::fs::write(&file, "old").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_whole(&link, b"new").unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    }
}
