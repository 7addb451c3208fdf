use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

/// A credential: never printed, never serialised.
#[derive(Clone)]
pub struct Secret(String);

/// Where a credential is read from; a configuration never holds one itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRef {
    /// A file whose first line it is.
    pub file: Option<PathBuf>,
    /// An environment variable.
    pub env: Option<String>,
}

/// How a credential is named.
const FORM: &str = "a credential is named, not written here: `{ file = \"PATH\" }` or `{ env = \"NAME\" }`";

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reference)
    }
}

/// Reads a reference. What stands there instead of one is likely the credential itself, so that no error repeats it.
struct Reference;

impl<'de> Visitor<'de> for Reference {
    type Value = SecretRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORM)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretRef, A::Error> {
        let mut found = SecretRef { file: None, env: None };
        while let Some(name) = map.next_key::<Hidden>()? {
            let place = match name.0.as_deref() {
                Some("file") => &mut found.file,
                Some("env") => {
                    found.env = Some(text(map.next_value()?)?);
                    continue;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    return Err(A::Error::custom(FORM));
                }
            };
            *place = Some(text(map.next_value()?)?.into());
        }
        Ok(found)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<SecretRef, E> {
        Err(E::custom(FORM))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<SecretRef, E> {
        Err(E::custom(FORM))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<SecretRef, E> {
        Err(E::custom(FORM))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<SecretRef, E> {
        Err(E::custom(FORM))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<SecretRef, E> {
        Err(E::custom(FORM))
    }
}

fn text<E: Error>(value: Hidden) -> Result<String, E> {
    value.0.ok_or_else(|| E::custom(FORM))
}

/// A text, or that something else stands there: no error repeats it.
struct Hidden(Option<String>);

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Hidden(Some(text))).map_err(|_| D::Error::custom(FORM))
    }
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
        let read = |value: &str| {
            let text = format!("token = {value}");
            toml::from_str::<std::collections::BTreeMap<String, SecretRef>>(&text)
                .map(|mut all| all.remove("token"))
        };
        for wrong in [
            "\"S3CRET\"",
            "[\"S3CRET\"]",
            "[[\"S3CRET\"]]",
            "5377537",
            "53.77537",
            "true",
            "1979-05-27",
            "{ S3CRET = \"x\" }",
            "{ token = \"S3CRET\" }",
            "{ file = 5377537 }",
            "{ file = [\"S3CRET\"] }",
            "{ env = { S3CRET = 1 } }",
        ] {
            let said = read(wrong).unwrap_err();
            assert!(
                said.message().contains("`{ file = \"PATH\" }` or `{ env = \"NAME\" }`"),
                "{wrong}: {said}"
            );
            for secret in ["S3CRET", "77537"] {
                assert!(!said.message().contains(secret), "{wrong}: {said}");
            }
        }
        let named = |file: Option<&str>, env: Option<&str>| {
            Some(SecretRef { file: file.map(Into::into), env: env.map(Into::into) })
        };
        assert_eq!(read("{ file = \"x\" }").unwrap(), named(Some("x"), None));
        assert_eq!(read("{ env = \"X\" }").unwrap(), named(None, Some("X")));
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
