use std::path::PathBuf;

/// Why a pack of rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ThreatError {
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
    /// A rule that says something that cannot be.
    #[error("{file}: rule {id}: {reason}")]
    Rule {
        /// Which file.
        file: String,
        /// Which rule.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The needles of all rules could not be made into one automaton.
    #[error("the needles of the rules are too many or too long")]
    Needles,
}
