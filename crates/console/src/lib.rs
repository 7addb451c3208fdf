//! Read-only API and page over a store.
//!
//! It listens on loopback unless it is told otherwise, refuses requests whose `Host` it does not know (DNS rebinding), loads
//! nothing from other origins and changes nothing.

mod api;
mod error;
mod guard;
mod problem;
mod serve;

pub use error::ConsoleError;
pub use serve::{Console, Page};
