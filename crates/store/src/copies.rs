//! Copies of a store.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::error::StoreError;
use crate::open::Store;

/// How often a copy is tried while somebody holds the store locked.
const TRIES: usize = 200;

impl Store {
    /// Writes a consistent copy of the store into a new file that only its owner may read: all of it as it is at one moment, whatever
    /// others write meanwhile.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        drop(private(to)?);
        let copied = self.copy(to);
        if copied.is_err() {
            let _ = std::fs::remove_file(to);
        }
        copied
    }

    /// The same as a file without a name, which is gone when it is closed.
    pub fn backup_file(&self) -> Result<File, StoreError> {
        static COPIES: AtomicU64 = AtomicU64::new(0);
        let number = COPIES.fetch_add(1, Relaxed);
        let copy = self.path().with_extension(format!("copy-{}-{number}", std::process::id()));
        let _ = std::fs::remove_file(&copy);
        // Held as long as it is made: one that nobody holds was left by a process that was killed.
        let held = private(&copy)?;
        let _ = held.lock();
        let file = self.copy(&copy).and_then(|()| File::open(&copy).map_err(|e| open_failed(&copy, &e)));
        let _ = std::fs::remove_file(&copy);
        file
    }

    /// Removes copies that processes which were killed left beside the store.
    pub(crate) fn clear_copies(&self) {
        let (Some(dir), Some(name)) = (self.path().parent(), self.path().file_stem()) else { return };
        let begin = format!("{}.copy-", name.to_string_lossy());
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let is_copy = entry.file_name().to_string_lossy().strip_prefix(&begin).is_some_and(|rest| {
                let mut parts = rest.split('-').map(|part| part.parse::<u64>().is_ok());
                parts.by_ref().take(2).all(|number| number) && parts.next().is_none()
            });
            if is_copy && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    fn copy(&self, to: &Path) -> Result<(), StoreError> {
        let mut copy = Connection::open(to)?;
        let backup = Backup::new(&self.connection, &mut copy)?;
        // All pages in one step: between two steps another connection's change would begin it anew.
        for _ in 0..TRIES {
            match backup.step(-1)? {
                StepResult::Done => return Ok(()),
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
        Err(StoreError::Open { path: to.display().to_string(), detail: "the store is locked".to_owned() })
    }
}

/// A new file that only its owner may read.
fn private(path: &Path) -> Result<File, StoreError> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|e| open_failed(path, &e))
}

fn open_failed(path: &Path, error: &std::io::Error) -> StoreError {
    let detail = match error.kind() {
        std::io::ErrorKind::AlreadyExists => "there is a file already".to_owned(),
        _ => error.to_string(),
    };
    StoreError::Open { path: path.display().to_string(), detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_ends_while_others_write_and_is_private() {
        use std::sync::atomic::AtomicBool;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.db");
        let mut store = Store::open(&path).unwrap();
        for n in 0..40 {
            store.put_state(&format!("big{n}"), &vec![7; 1 << 20]).unwrap();
        }
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0_u32.. {
                    store.put_state("n", &n.to_le_bytes()).unwrap();
                    std::thread::sleep(Duration::from_millis(1));
                    if done.load(Relaxed) {
                        break;
                    }
                }
            });
            let reader = Store::open_read_only(&path).unwrap();
            // One that was left by a killed process, and names that are not of copies.
            let (left, other) = (dir.path().join("s.copy-1-2"), dir.path().join("s.copy-of-mine"));
            [&left, &other].into_iter().for_each(|f| std::fs::write(f, "x").unwrap());
            drop(Store::open_checked(&path).unwrap());
            assert!(!left.exists() && other.exists());
            std::fs::remove_file(other).unwrap();
            let copies: Vec<u64> =
                (0..3).map(|_| reader.backup_file().unwrap().metadata().unwrap().len()).collect();
            let to = dir.path().join("copy.db");
            reader.backup(&to).unwrap();
            assert!(reader.backup(&to).is_err(), "what is there is not overwritten");
            done.store(true, Relaxed);
            assert!(copies.iter().all(|len| *len > 40 << 20), "{copies:?}");
            assert!(Store::open_read_only(&to).unwrap().state("big39").unwrap().is_some());
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
            }
        });
        assert!(
            !std::fs::read_dir(dir.path()).unwrap().any(|f| f
                .unwrap()
                .file_name()
                .to_string_lossy()
                .contains("copy-"))
        );
    }
}
