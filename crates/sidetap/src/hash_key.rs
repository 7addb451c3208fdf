//! The site's key: read, or made once.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use sidetap_model::HashKey;
use sidetap_store::{Store, StoreError};

/// Reads the key from `named`, or from the user's configuration directory; makes it where it is not there.
pub(crate) fn load_or_make(named: Option<&Path>) -> Result<HashKey> {
    if let Some(path) = named {
        return read_or_make(path).with_context(|| format!("hash key {}", path.display()));
    }
    let path = default_path().ok_or_else(|| anyhow!("no place for the hash key (neither $XDG_CONFIG_HOME nor $HOME is set): name a file with --hash-key"))?;
    read_or_make(&path).with_context(|| {
        format!("hash key {} cannot be used: name another file with --hash-key", path.display())
    })
}

/// The same where it is there already; none is made.
pub(crate) fn load_if_there(named: Option<&Path>) -> Result<Option<HashKey>> {
    let path = named.map(Path::to_owned).or_else(default_path);
    match path.filter(|p| p.is_file()) {
        Some(path) => load_or_make(Some(&path)).map(Some),
        None => Ok(None),
    }
}

/// The name under which a store keeps by which key it was written: a hash of nothing, which tells nothing of the key.
const STATE: &str = "hash-key";

/// Whether a store was written with another key than this one; where it does not say yet, it says so from now on.
pub(crate) fn is_foreign(store: &mut Store, key: &HashKey) -> Result<bool, StoreError> {
    if store.state(STATE)?.is_none() {
        store.put_state(STATE, &mark(key))?;
    }
    differs(store, key)
}

/// The same of a store that is only read.
pub(crate) fn differs(store: &Store, key: &HashKey) -> Result<bool, StoreError> {
    Ok(store.state(STATE)?.is_some_and(|known| known != mark(key)))
}

fn mark(key: &HashKey) -> Vec<u8> {
    format!("v{} {:016x}", key.version(), key.hash64("store", b"")).into_bytes()
}

fn default_path() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME")
        .filter(|p| p.is_absolute())
        .or_else(|| set("HOME").map(|h| h.join(".config")))?;
    Some(config.join("sidetap").join("hash.key"))
}

fn read_or_make(path: &Path) -> Result<HashKey> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(HashKey::parse(&text)?),
        Err(e) if e.kind() == io::ErrorKind::NotFound => make(path),
        Err(e) => Err(e.into()),
    }
}

/// Makes the key by way of a temporary file and a link, so that of two that start at once both use the same one.
fn make(path: &Path) -> Result<HashKey> {
    let key = HashKey::generate()?;
    if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        fs::create_dir_all(dir)?;
    }
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    let linked = file
        .write_all(key.to_text().as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&temporary, path))
        .and_then(|()| sidetap_sys::keep_name(path));
    let _ = fs::remove_file(&temporary);
    match linked {
        Ok(()) => Ok(key),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => read_or_make(path),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_store_knows_the_key_that_it_was_written_with() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("s.db")).unwrap();
        let (own, other) = (HashKey::from_bytes([1; 16]), HashKey::from_bytes([2; 16]));
        assert!(!differs(&store, &other).unwrap(), "it does not say yet");
        assert!(!is_foreign(&mut store, &own).unwrap());
        assert!(is_foreign(&mut store, &other).unwrap() && differs(&store, &other).unwrap());
        assert!(!differs(&store, &own).unwrap());
    }

    #[test]
    fn a_key_is_made_once_and_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/hash.key");
        let first = load_or_make(Some(&path)).unwrap();
        let again = load_or_make(Some(&path)).unwrap();
        assert_eq!(first.hash128("a", b"b"), again.hash128("a", b"b"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        fs::write(&path, "nonsense").unwrap();
        assert!(load_or_make(Some(&path)).is_err());
    }
}
