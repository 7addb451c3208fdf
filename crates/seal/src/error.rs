use std::io;

/// Why a key is refused, or a file cannot be opened. Of a key only what is public is repeated.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// A text that is no public key, as far as it may be shown.
    #[error("`{0}` is no age X25519 recipient: `age1` and 58 characters, as `age-keygen` prints them")]
    Recipient(String),
    /// A text that does not even look like a public key: it may be a secret, so it is not repeated.
    #[error("a recipient that is no age public key: it begins with `age1`, as `age-keygen` prints it")]
    NoRecipient,
    /// A secret key in the place of a public one.
    #[error(
        "an age secret key is no recipient: name the public one (`age-keygen -y` prints it), and hold this one for known to others"
    )]
    SecretRecipient,
    /// A point of low order: what is shared with it is no secret (RFC 7748 §6.1).
    #[error("`{0}`: nothing can be sealed to this key; make another one with `age-keygen`")]
    LowOrder(String),
    /// A line of a key file that is no secret key.
    #[error("line {0}: no age secret key (`AGE-SECRET-KEY-1…`, as `age-keygen` writes it)")]
    Identity(usize),
    /// A key file without keys.
    #[error("no age secret key in it (`AGE-SECRET-KEY-1…`, as `age-keygen` writes it)")]
    NoIdentity,
    /// A file that does not begin as a sealed one does.
    #[error("not a sealed file: it does not begin with `age-encryption.org/v1`")]
    NotSealed,
    /// A header that is cut or not written as the format says.
    #[error("its header is damaged: {0}")]
    Header(&'static str),
    /// A file that is sealed to others.
    #[error("not sealed to this key")]
    NoKey,
    /// A chunk that is not what was sealed; those before it are.
    #[error("damaged or altered after {0} bytes")]
    Altered(u64),
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}
