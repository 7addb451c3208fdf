//! Pure decoders: HTTP/1, content codings, body tokens, forwarding headers.

pub mod auth;
pub mod body;
pub mod coding;
pub mod cookies;
pub mod forward;
pub mod graphql;
pub mod http1;
pub mod names;
pub mod target;
