use std::fmt;
use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher24};

/// The site's key: it turns account names, sessions and secrets into hashes that mean nothing elsewhere.
///
/// A keyed pseudo-random function (SipHash-2-4 with 128 bits): without the key a hash cannot be tested against guesses.
#[derive(Clone)]
pub struct HashKey {
    version: u8,
    key: [u8; 16],
}

/// Why a key file cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not of the form that [`HashKey::to_text`] writes.
    #[error("not a Sidetap hash key (expected one line `sidetap-key-v1:` and 32 hexadecimal digits)")]
    Form,
    /// The system gave no randomness.
    #[error("the system gave no random bytes")]
    Random,
}

impl HashKey {
    /// Makes a new key from the system's randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let mut key = [0; 16];
        getrandom::fill(&mut key).map_err(|_| KeyError::Random)?;
        Ok(HashKey { version: 1, key })
    }

    /// A fixed key, for tests and for tools that need no secrecy.
    pub const fn from_bytes(key: [u8; 16]) -> Self {
        HashKey { version: 1, key }
    }

    /// Reads what [`HashKey::to_text`] wrote.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let hex = text.trim().strip_prefix("sidetap-key-v1:").ok_or(KeyError::Form)?;
        if hex.len() != 32 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(KeyError::Form);
        }
        let n = u128::from_str_radix(hex, 16).map_err(|_| KeyError::Form)?;
        Ok(HashKey { version: 1, key: n.to_be_bytes() })
    }

    /// The key file's one line.
    pub fn to_text(&self) -> String {
        format!("sidetap-key-v1:{:032x}\n", u128::from_be_bytes(self.key))
    }

    /// The key's version: hashes of different versions cannot be compared.
    pub const fn version(&self) -> u8 {
        self.version
    }

    /// 128-bit keyed hash of `bytes` in `domain` (so that an account and a session of one spelling differ).
    pub fn hash128(&self, domain: &str, bytes: &[u8]) -> u128 {
        let mut h = SipHasher24::new_with_key(&self.key);
        h.write(domain.as_bytes());
        h.write_u8(0);
        h.write(bytes);
        h.finish128().as_u128()
    }

    /// The upper half of [`HashKey::hash128`].
    pub fn hash64(&self, domain: &str, bytes: &[u8]) -> u64 {
        (self.hash128(domain, bytes) >> 64) as u64
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HashKey(v{}, …)", self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text() {
        let key = HashKey::generate().unwrap();
        let again = HashKey::parse(&key.to_text()).unwrap();
        assert_eq!(key.hash128("account", b"ada"), again.hash128("account", b"ada"));
        assert_ne!(key.hash128("account", b"ada"), key.hash128("session", b"ada"));
        assert_eq!(
            HashKey::parse("sidetap-key-v1:+2345678901234567890123456789012").unwrap_err(),
            KeyError::Form
        );
    }
}
