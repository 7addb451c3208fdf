use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};

/// A secret that stands for somebody: of a session, a token or the set-up. Stores and logs get its hash only.
pub(crate) struct Secret(String);

impl Secret {
    /// A new one of 256 random bits, with a prefix that says what it is.
    pub(crate) fn random(prefix: &str) -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Secret(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// The one that somebody showed.
    pub(crate) fn of(text: &str) -> Self {
        Secret(text.to_owned())
    }

    /// What is kept of it. The secret has 256 random bits: a plain hash cannot be guessed back.
    pub(crate) fn hash(&self) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(digest(&SHA256, self.0.as_bytes()).as_ref());
        out
    }

    /// Itself, for who is to have it.
    pub(crate) fn show(&self) -> &str {
        &self.0
    }
}

/// Whether two hashes are the same, in a time that does not tell where they differ.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y)) == 0
}
