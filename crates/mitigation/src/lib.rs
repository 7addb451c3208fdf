//! Desired state, plan, apply and verify on the devices that the user has.
//!
//! Verdicts become a [`Desired`] state; an [`Enforcer`] resolves it for each [`Connector`] by what the device sees and can
//! express, observes the device, plans the difference (pure), applies it where it is told to, and observes again. Only
//! entries that Sidetap owns are ever changed, and nothing is changed unless [`Mode::Enforce`] says so.

pub mod akamai;
pub mod alert;
pub mod apache;
pub mod aws;
mod back;
pub mod bgp;
mod budget;
pub mod caddy;
mod canary;
mod carry;
pub mod cloudflare;
mod command;
mod config;
mod connector;
mod contended;
pub mod crowdsec;
mod desired;
mod enforcer;
mod entry;
pub mod envoy;
pub mod exec;
pub mod f5;
pub mod fastly;
pub mod feed;
mod full;
mod geography;
pub mod haproxy;
mod hosted;
mod http;
mod included;
pub mod ipset;
mod key;
mod ledger;
mod memory;
pub mod modsecurity;
pub mod nftables;
pub mod nginx;
pub mod nginx_njs;
pub mod nginx_plus;
mod pace;
mod place;
mod plan;
mod report;
mod resolve;
mod secret;
mod settle;
mod status;
pub mod suite;
mod turn;
pub mod varnish;
mod way;
pub mod webhook;

pub use canary::{Canary, CanaryBy, CanaryConfig};
pub use config::{Config, ConfigError};
pub use connector::{Answer, Connector, ConnectorError, Observed};
pub use contended::Contended;
pub use desired::{Desired, DesiredOptions, Held, Want, desired};
pub use enforcer::{Enforcer, PushOptions, Selector};
pub use entry::{AddressSeen, Entry, Places, Sees, tag_of};
pub use geography::Geography;
pub use http::{Asks, HttpOptions, asker};
pub use key::{Key, NoKey};
pub use ledger::{Ledger, LedgerEntry, TakenBack, Undone};
pub use place::Place;
pub use plan::{Plan, Refusal, plan};
pub use report::{
    ConnectorPlan, ConnectorResult, ConnectorStatus, Mode, PlanReport, PushReport, StatusReport,
};
pub use secret::{Secret, SecretError, SecretRef};
pub use way::{Way, Ways};
