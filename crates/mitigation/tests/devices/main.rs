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
mod killed;
mod modsecurity;
mod nginx;
mod nginx_njs;
mod open;
mod rig;
mod varnish;
mod ways;

#[test]
fn a_port_is_given_to_one_server_and_to_no_client() {
    let ports: std::collections::BTreeSet<u16> = (0..200).map(|_| support::free_port()).collect();
    assert!(ports.len() == 200 && ports.iter().all(|p| *p < 32_768), "{ports:?}");
}
