//! REST API and pages over a store.
//!
//! It listens on loopback unless it is told otherwise, refuses requests whose `Host` it does not know (DNS rebinding) and loads
//! nothing from other origins. Everything but log-in takes a session or an API token with a role; every change and every look at
//! evidence is a row of the audit. What it has done outside of the store it asks [`Control`] for.

mod access;
mod app;
mod connection;
mod control;
mod describe;
mod devices;
mod doctor;
mod download;
mod error;
mod guard;
mod input;
mod list;
mod live;
mod pages;
mod patient;
mod problem;
mod routes;
mod seats;
mod serve;
mod table;
mod tls;
mod unread;

pub use access::{Fetch, Form, Oidc};
pub use app::Clock;
pub use control::{
    Control, Decision, Decisions, Done, Named, Order, PolicySave, Refused, SpecSave, StoreOnly, Undo,
};
pub use error::ConsoleError;
pub use live::{Live, LiveStats};
pub use serve::{Console, Options, Page, RouteInfo, openapi, routes};
