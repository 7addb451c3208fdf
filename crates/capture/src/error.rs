/// Why a source of packets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// No path was given.
    #[error("no input given")]
    NoInput,
    /// None of the inputs could be read; each with its reason.
    #[error("{0}")]
    Unreadable(String),
    /// The machine has no interface of this name.
    #[error("no interface {name}; there are: {known}")]
    NoInterface {
        /// As asked for.
        name: String,
        /// Those there are.
        known: String,
    },
    /// The process may not capture.
    #[error(
        "no permission to capture on {name}: start as root, or give the program the right with `setcap cap_net_raw,cap_net_admin=eip` on its file"
    )]
    NoPermission {
        /// The interface.
        name: String,
    },
    /// The capture filter does not compile.
    #[error("capture filter `{filter}` is not valid: {reason}")]
    Filter {
        /// As given.
        filter: String,
        /// libpcap's words.
        reason: String,
    },
    /// Anything else that libpcap reports.
    #[error("cannot capture on {name}: {reason}")]
    Live {
        /// The interface.
        name: String,
        /// libpcap's words.
        reason: String,
    },
}
