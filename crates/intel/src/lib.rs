//! Network intelligence: what tables that the user installed say of an address, and whose signature a request bears.
//!
//! A [`Library`] keeps sources (lists and tables with their licences) in a directory and compiles them to one [`Table`]. A
//! lookup is a binary search in sorted ranges: no allocation, no IO, the same answer in every run. Without a table everything
//! but the registries of special-use addresses reads unknown. Nothing here asks the clock: time is an argument.

mod catalog;
mod compile;
#[cfg(feature = "fetch")]
mod fetch;
mod file;
mod format;
mod kind;
mod known;
mod library;
mod range;
mod signature;
mod source;
mod special;
mod table;

pub use catalog::catalog;
pub use compile::Compiler;
#[cfg(feature = "fetch")]
pub use fetch::{Fetched, Fetcher};
pub use kind::{Kind, Kinds};
pub use known::{Known, KnownConfig, KnownKind, KnownParty, Proof};
pub use library::{Installed, Library, Update, write_atomically};
pub use range::Range;
pub use signature::{Directory, KeyDirectories, Signed, Verification, read_signature};
pub use source::{Format, Source, SourceConfig, Where};
pub use special::special_use;
pub use table::{Found, List, ListKind, Origin, SourceInfo, Table};

/// Why network intelligence cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IntelError {
    /// A file could not be read or written.
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    /// Not a table.
    #[error("{0}: not a table of network intelligence")]
    NotATable(String),
    /// Another version wrote it.
    #[error("{0}: table of version {1}, this is version {2}; run `sidetap intel update`")]
    Version(String, u8, u8),
    /// It is cut or damaged.
    #[error("{0}: damaged table ({1}); run `sidetap intel update`")]
    Damaged(String, String),
    /// A source that says nothing, or that contradicts itself.
    #[error("source `{0}`: {1}")]
    Source(String, String),
    /// A list or table that cannot be read as what it is said to be.
    #[error("source `{0}`: {1}")]
    Content(String, String),
    /// Something could not be fetched.
    #[error("source `{0}`: cannot fetch {1}: {2}")]
    Fetch(String, String, String),
    /// A partner, monitor or app that cannot be recognised.
    #[error("`{0}`: {1}")]
    Known(String, String),
    /// A directory of keys that cannot be read.
    #[error("key directory of `{0}`: {1}")]
    Keys(String, String),
    /// A table with more in it than its form can hold.
    #[error("too many {0} for one table")]
    TooMany(&'static str),
}

/// Names a file in an error.
pub(crate) fn io_error(path: &std::path::Path, e: std::io::Error) -> IntelError {
    IntelError::Io(path.display().to_string(), e)
}
