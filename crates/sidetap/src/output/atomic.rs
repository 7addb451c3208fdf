//! Files that are there wholly or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes `path` by way of a temporary file beside it: readers see the old contents or all of the new.
/// What is not a regular file (`/dev/stdout`, a pipe) is written directly.
pub(crate) fn write_atomically(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    put(path, fill, |temporary| fs::rename(temporary, path))
}

/// The same of what nothing else tells: once it is written a power failure takes it no more.
pub(crate) fn write_lasting(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    put(path, fill, |temporary| {
        File::open(temporary)?.sync_all()?;
        sidetap_sys::put_in_place(temporary, path)
    })
}

fn put(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    place: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir()) {
        return fill_file(File::options().write(true).open(path)?, fill);
    }
    let temporary = beside(path);
    let written = File::create(&temporary).and_then(|f| fill_file(f, fill));
    let done = written.and_then(|()| place(&temporary));
    if done.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    done
}

fn fill_file(file: File, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, file);
    fill(&mut out)?;
    out.flush()
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_leaves_the_old_contents_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write_atomically(&path, |w| w.write_all(b"old")).unwrap();
        let full = |w: &mut dyn Write| {
            w.write_all(b"new")?;
            Err(io::ErrorKind::StorageFull.into())
        };
        assert!(write_atomically(&path, full).is_err() && write_lasting(&path, full).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write_lasting(&path, |w| w.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
