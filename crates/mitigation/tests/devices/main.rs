//! Connectors against the real programs: the contract, what requests feel, and how long it takes.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod apache;
mod aws;
mod bgp;
mod caddy;
mod cloud;
mod crowdsec;
mod disk;
mod envoy;
mod hooks;
mod ipset;
mod modsecurity;
mod nginx;
mod nginx_njs;
mod rig;
mod varnish;
mod ways;
