use std::net::SocketAddr;
use std::path::PathBuf;

use sidetap_store::StoreError;

/// Why the console does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address cannot be taken.
    #[error("console: cannot listen at {listen}")]
    Listen {
        /// Where it would listen.
        listen: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("console: {path}: {why}")]
    Tls {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The system gave no random numbers.
    #[error("console: no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// The server stopped.
    #[error("console: {0}")]
    Serve(#[from] std::io::Error),
}
