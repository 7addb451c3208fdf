use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

/// Moves a file, written to its end and waited for, to its place, and waits until its name is on the disk too: what has to survive a power
/// failure is nowhere else.
pub fn put_in_place(file: &Path, place: &Path) -> io::Result<()> {
    fs::rename(file, place)?;
    keep_name(place)
}

/// Waits until the disk has the name of a file, as it is or as it is gone: its directory is written. One that may not be read, and a file
/// system that knows nothing of it, are no error.
pub fn keep_name(place: &Path) -> io::Result<()> {
    let folder = place.parent().filter(|p| *p != Path::new("")).unwrap_or(Path::new("."));
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(e)
            if matches!(
                e.kind(),
                ErrorKind::PermissionDenied | ErrorKind::InvalidInput | ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_place_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let (new, place) = (dir.path().join("new"), dir.path().join("place"));
        fs::write(&new, "new").unwrap();
        fs::write(&place, "old").unwrap();
        put_in_place(&new, &place).unwrap();
        assert_eq!((fs::read_to_string(&place).unwrap().as_str(), new.exists()), ("new", false));
        assert!(put_in_place(&new, &place).is_err());
        keep_name(Path::new("relative")).unwrap();
    }
}
