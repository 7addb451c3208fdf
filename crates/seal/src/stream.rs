//! The payload's cipher: STREAM over ChaCha20-Poly1305.

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, Tag};

use crate::header::{FileKey, derive};

/// Bytes of a chunk, but for the last one, before it is sealed.
pub const CHUNK: usize = 64 << 10;
/// What a seal adds to a chunk.
pub(crate) const TAG: usize = 16;

/// Which chunk of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Within,
    Last,
}

/// Seals and opens chunk after chunk: no two with the same nonce.
pub(crate) struct Stream {
    cipher: ChaCha20Poly1305,
    counter: u64,
}

impl Stream {
    /// Of a file with this key and this random number after its header.
    pub(crate) fn new(key: &FileKey, nonce: &[u8; 16]) -> Self {
        let key = derive(&**key, nonce, b"payload");
        Stream { cipher: ChaCha20Poly1305::new(&(*key).into()), counter: 0 }
    }

    /// Seals the next chunk where it stands; gives its tag.
    pub(crate) fn seal(&mut self, place: Place, chunk: &mut [u8]) -> Option<Tag> {
        let tag = self.cipher.encrypt_inout_detached(&self.nonce(place), &[], chunk.into()).ok()?;
        self.counter = self.counter.checked_add(1)?;
        Some(tag)
    }

    /// Opens the next chunk where it stands; gives its length. One that does not open is left as it is, and may be tried again.
    pub(crate) fn open(&mut self, place: Place, sealed: &mut [u8]) -> Option<usize> {
        let (text, tag) = sealed.split_at_mut_checked(sealed.len().checked_sub(TAG)?)?;
        let tag = Tag::try_from(&*tag).ok()?;
        let len = text.len();
        self.cipher.decrypt_inout_detached(&self.nonce(place), &[], text.into(), &tag).ok()?;
        self.counter = self.counter.checked_add(1)?;
        Some(len)
    }

    /// Whether no chunk was opened.
    pub(crate) fn at_start(&self) -> bool {
        self.counter == 0
    }

    /// Eleven bytes of counter, big end first, and whether the chunk is the last.
    fn nonce(&self, place: Place) -> Nonce {
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&self.counter.to_be_bytes());
        nonce[11] = u8::from(place == Place::Last);
        nonce.into()
    }
}
