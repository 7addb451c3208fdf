//! Unused bytes of the file: SQLite zeroes what is removed, but leaves copies of what it moved within a page.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::error::StoreError;
use crate::open::{FileId, Store};

/// Files up to this size are written anew at once where somebody is forgotten; it takes a second or two.
const AT_ONCE: u64 = 128 << 20;
/// Names that a file is searched for.
const FEW: usize = 8;
const CHUNK: usize = 1 << 20;
/// Bytes beside a name by which it is seen whether it goes on.
const ASIDE: usize = 2;

impl Store {
    /// Writes the file anew without its unused bytes; needs as much room again beside it and in the directory for temporary files
    /// meanwhile.
    pub fn compact(&self) -> Result<(), StoreError> {
        self.connection.pragma_update(None, "temp_store", "FILE")?;
        let written = self.write_anew();
        self.connection.pragma_update(None, "temp_store", "MEMORY")?;
        written
    }

    /// The same in memory: a confined process can make no files elsewhere.
    fn write_anew(&self) -> Result<(), StoreError> {
        self.connection.execute_batch("VACUUM")?;
        self.checkpoint()
    }

    /// How often the file says this name, rows and unused bytes alike. Columns stand in it with nothing between them, so that only what makes
    /// another address of it is told apart.
    pub fn says(&self, text: &str) -> Result<u64, StoreError> {
        let said = count(self.path(), text.as_bytes());
        said.map_err(|e| StoreError::Open { path: self.path().display().to_string(), detail: e.to_string() })
    }

    /// Clears unused bytes that still say one of these names, where the file is small and there is room.
    pub(crate) fn clear_unused(&self, names: &[&str]) -> Result<(), StoreError> {
        let bytes = self.bytes();
        if names.is_empty() || bytes > AT_ONCE || bytes.saturating_mul(2) > self.limits()?.limit_bytes {
            return Ok(());
        }
        // Of many it is not asked who is still there: writing the file anew takes no longer.
        for name in names.iter().take(FEW) {
            if names.len() > FEW || self.says(name)? > 0 {
                return self.write_anew();
            }
        }
        Ok(())
    }
}

/// Files that were read, which are never closed as long as they have a name.
///
/// To close any descriptor of a file takes from the process all its locks on it, also those by which the connections of SQLite say to other
/// processes that they are there (<https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_>):
/// one of these might take itself for the last and remove the log beside it.
static READ: Mutex<Vec<(FileId, File)>> = Mutex::new(Vec::new());

/// How often a file says a name.
fn count(path: &Path, name: &[u8]) -> std::io::Result<u64> {
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    // What has no name any more nobody opens again.
    read.retain(|(_, file)| has_name(file));
    let wanted = FileId::of(path);
    let at = match read.iter().position(|(id, _)| Some(*id) == wanted) {
        Some(at) => at,
        None => {
            let file = File::open(path)?;
            read.push((FileId::from_meta(&file.metadata()?), file));
            read.len() - 1
        }
    };
    let Some((_, file)) = read.get_mut(at) else { return Ok(0) };
    file.seek(SeekFrom::Start(0))?;
    count_in(file, name)
}

#[cfg(unix)]
fn has_name(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    file.metadata().is_ok_and(|meta| meta.nlink() > 0)
}

/// Elsewhere locks belong to a descriptor, and what is open cannot be removed.
#[cfg(not(unix))]
fn has_name(_: &File) -> bool {
    false
}

fn count_in(file: &mut impl Read, name: &[u8]) -> std::io::Result<u64> {
    let (mut said, mut kept, mut from) = (0, Vec::new(), 0);
    loop {
        let before = kept.len();
        kept.resize(before + CHUNK, 0);
        let read = file.read(kept.get_mut(before..).unwrap_or_default())?;
        kept.truncate(before + read);
        // A name whose end cannot be judged yet is kept for the next part.
        let last = if read == 0 { kept.len() } else { kept.len().saturating_sub(name.len() + ASIDE) };
        while let Some(at) = find(&kept, name, from).filter(|at| *at < last) {
            said += u64::from(is_apart(&kept, at, at + name.len()));
            from = at + 1;
        }
        if read == 0 {
            return Ok(said);
        }
        // What stands before the next part tells where a word begins.
        from = from.max(last);
        let gone = from.saturating_sub(ASIDE);
        kept.drain(..gone);
        from -= gone;
    }
}

/// Whether what stands from here to there is not part of a longer number.
fn is_apart(text: &[u8], at: usize, end: usize) -> bool {
    let digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_digit);
    let dot = |at: usize| text.get(at) == Some(&b'.');
    let back = |n: usize| at.checked_sub(n);
    let before = back(1).is_some_and(digit) || back(1).is_some_and(dot) && back(2).is_some_and(digit);
    !(before || digit(end) || dot(end) && digit(end + 1))
}

fn find(all: &[u8], text: &[u8], from: usize) -> Option<usize> {
    memchr::memmem::find(all.get(from..)?, text).map(|at| at + from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_over_the_ends_of_parts_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for shift in 0..60 {
            let mut all = vec![b' '; CHUNK - shift];
            all.extend_from_slice(
                b"203.0.113.7 203.0.113.77 9203.0.113.7 9.203.0.113.7 203.0.113.7.1 ip203.0.113.7because.",
            );
            all.resize(2 * CHUNK + 3, b' ');
            all.extend_from_slice(b",203.0.113.7");
            std::fs::write(&path, &all).unwrap();
            assert_eq!(count(&path, b"203.0.113.7").unwrap(), 3, "{shift}");
        }
        // Another file by the same name is read, not the one that had it.
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, b"203.0.113.7").unwrap();
        assert_eq!(count(&path, b"203.0.113.7").unwrap(), 1);
    }

    /// Locks of this process on a file, as the system tells them.
    #[cfg(target_os = "linux")]
    fn locks(path: &Path) -> usize {
        use std::os::unix::fs::MetadataExt;
        let (process, inode) = (std::process::id().to_string(), std::fs::metadata(path).unwrap().ino());
        let all = std::fs::read_to_string("/proc/locks").unwrap();
        let is_ours = |line: &&str| {
            line.split_whitespace().any(|word| word == process) && line.contains(&format!(":{inode} "))
        };
        all.lines().filter(is_ours).count()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn to_look_for_a_name_takes_no_lock_from_those_who_use_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.db");
        let mut user = Store::open(&path).unwrap();
        user.put_state("a", b"203.0.113.7").unwrap();
        let held = locks(&path);
        assert!(held > 0, "a connection says that it is there");
        for _ in 0..2 {
            user.says("203.0.113.7").unwrap();
            assert_eq!(locks(&path), held);
        }
        let other = Store::open(&path).unwrap();
        other.says("203.0.113.7").unwrap();
        drop(other);
        assert_eq!(locks(&path), held);
    }
}
