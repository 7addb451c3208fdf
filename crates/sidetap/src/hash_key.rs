//! The site's key: read, or made once.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use sidetap_model::HashKey;

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
        .and_then(|()| fs::hard_link(&temporary, path));
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
