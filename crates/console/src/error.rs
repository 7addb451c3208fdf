use std::net::SocketAddr;

use sidetap_store::StoreError;

/// Why the console does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address cannot be taken.
    #[error("console: {listen}: {source}")]
    Listen {
        /// Where it would listen.
        listen: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The server stopped.
    #[error("console: {0}")]
    Serve(#[from] std::io::Error),
}
