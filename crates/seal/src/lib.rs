//! Files sealed to public keys, in the format of `age` (age-encryption.org/v1, C2SP age.md).
//!
//! Of the format this crate has what evidence needs: X25519 recipients and the binary form. A file is a header, in which a key of its
//! own is wrapped once for each recipient, and a stream of chunks of [`CHUNK`] bytes (ChaCha20-Poly1305). The last chunk is marked
//! as such, so a file that was cut is told from a whole one; every whole chunk of it can be read. Primitives come from RustCrypto and
//! dalek, whose secrets are compared in constant time and erased; what this crate holds of keys and of what was sealed is erased too.
//! Nothing here opens a file or knows what is in it.

mod error;
mod header;
mod keys;
mod seal;
mod stream;
mod unseal;

pub use error::SealError;
pub use keys::{Identity, Recipient, identities};
pub use seal::{SealWriter, sealed_len};
pub use stream::CHUNK;
pub use unseal::{Ending, Unsealed, unseal};
