use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde::Deserialize;

/// A credential: never printed, never serialised.
#[derive(Clone)]
pub struct Secret(String);

/// Where a credential is read from; a configuration never holds one itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "`{ file = \"PATH\" }` or `{ env = \"NAME\" }`")]
pub struct SecretRef {
    /// A file whose first line it is.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// An environment variable.
    #[serde(default)]
    pub env: Option<String>,
}

/// Why a credential cannot be had.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The reference is not one of both.
    #[error("a credential names either a `file` or an `env`")]
    Form,
    /// The file cannot be read.
    #[error("credential file {path}: {detail}")]
    File {
        /// The file.
        path: String,
        /// Why.
        detail: String,
    },
    /// The variable is not set.
    #[error("credential variable {0} is not set")]
    Env(String),
    /// It is empty or too short to keep anybody out.
    #[error("the credential is shorter than {0} characters")]
    Short(usize),
}

/// Shortest credential that is accepted.
const MIN_LEN: usize = 16;

impl SecretRef {
    /// Reads the credential.
    pub fn resolve(&self) -> Result<Secret, SecretError> {
        let text = match (&self.file, &self.env) {
            (Some(path), None) => std::fs::read_to_string(path)
                .map_err(|e| SecretError::File { path: path.display().to_string(), detail: e.to_string() })?,
            (None, Some(name)) => std::env::var(name).map_err(|_| SecretError::Env(name.clone()))?,
            _ => return Err(SecretError::Form),
        };
        Secret::new(text.lines().next().unwrap_or_default().trim())
    }

    /// What is wrong with where it is kept, though it can be read.
    pub fn risk(&self) -> Option<String> {
        let path = self.file.as_ref()?;
        let mode = std::fs::metadata(path).ok()?.permissions().mode();
        (mode & 0o004 != 0).then(|| {
            format!("everybody on this machine may read {} (mode {:o})", path.display(), mode & 0o7777)
        })
    }
}

impl Secret {
    /// The credential of this text, of 16 characters at least.
    pub fn new(text: &str) -> Result<Self, SecretError> {
        if text.len() < MIN_LEN { Err(SecretError::Short(MIN_LEN)) } else { Ok(Secret(text.to_owned())) }
    }

    /// The credential itself, for whom it is meant only.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `given` is the credential; the time it takes tells nothing of where they differ.
    pub fn matches(&self, given: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let mut differ = own.len() ^ given.len();
        for (i, b) in own.iter().enumerate() {
            differ |= usize::from(b ^ given.get(i).copied().unwrap_or_default());
        }
        std::hint::black_box(differ) == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_that_is_written_out_is_told_how_it_is_named() {
        let said =
            toml::from_str::<std::collections::BTreeMap<String, SecretRef>>("token = \"abc\"").unwrap_err();
        assert!(
            said.to_string().contains("expected `{ file = \"PATH\" }` or `{ env = \"NAME\" }`"),
            "{said}"
        );
    }

    #[test]
    fn secrets_are_compared_whole_and_never_shown() {
        let secret = Secret::new("0123456789abcdef").unwrap();
        assert!(secret.matches(b"0123456789abcdef"));
        for wrong in [&b""[..], b"0123456789abcde", b"0123456789abcdeg", b"0123456789abcdef0"] {
            assert!(!secret.matches(wrong));
        }
        assert!(!format!("{secret:?}").contains("0123"));
        assert_eq!(Secret::new("short").unwrap_err(), SecretError::Short(16));
    }

    #[test]
    fn a_reference_names_one_source() {
        let both = SecretRef { file: Some("x".into()), env: Some("Y".into()) };
        assert_eq!(both.resolve().unwrap_err(), SecretError::Form);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "a-long-enough-token\n").unwrap();
        let secret = SecretRef { file: Some(path), env: None }.resolve().unwrap();
        assert!(secret.matches(b"a-long-enough-token"));
    }
}
