//! Plain types that every stage of Sidetap shares.
//!
//! This crate knows no other crate of the workspace, does no IO and reads no clock.

mod action;
mod anomaly;
mod completeness;
mod endpoint;
mod exchange;
mod flow;
mod key;
mod nearest;
#[cfg(feature = "openapi")]
mod openapi;
mod position;
pub mod rows;
mod subject;
mod time;
mod treatment;
mod words;
mod zone;

pub use action::ActionRow;
pub use anomaly::{Anomaly, AnomalySet};
pub use completeness::Completeness;
pub use endpoint::{EndpointId, EndpointName, EndpointRef};
pub use exchange::{Body, Exchange, Field, Headers, Protocol, Request, Response, Version};
pub use flow::{Addr, Direction, FlowId, FlowKey};
pub use key::{HashKey, KeyError};
pub use nearest::nearest;
pub use position::{Positions, of_item};
pub use subject::{Actor, ClientAddr, IpSource, SubjectKind, mask_token, token_bytes};
pub use time::Ts;
pub use treatment::{Decoy, Measures, Mode, Rate, Scope, Tag, Treatment};
pub use words::words;
pub use zone::Zone;
