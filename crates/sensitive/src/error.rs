use std::path::PathBuf;

/// Why a pack of types cannot be used, or documents cannot be scanned.
#[derive(Debug, thiserror::Error)]
pub enum SensitiveError {
    /// A file or directory could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not the YAML that a pack is.
    #[error("{file}: {source}")]
    Yaml {
        /// Which file.
        file: String,
        /// Where and why.
        source: serde_yaml_ng::Error,
    },
    /// A type that says something that cannot be.
    #[error("{file}: type {id}: {reason}")]
    Type {
        /// Which file.
        file: String,
        /// Which type.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The anchors of all types could not be made into one automaton.
    #[error("the anchors of the types are too many or too long")]
    Anchors,
    /// A document could not be read.
    #[error("line {line}: {source}")]
    Document {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Input or output failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
