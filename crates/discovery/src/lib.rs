//! Path templates, endpoint inventory, schema inference, OpenAPI and API risks.
//!
//! Workers hold an [`Extractor`] and a [`Snapshot`] and make an [`Observation`] of each exchange; the coordinator feeds them, in one
//! order, to the [`Engine`], which learns templates between epochs and says which endpoint ids were renamed.

mod callers;
mod conform;
mod data;
mod early;
mod endpoint;
mod engine;
mod extract;
mod head;
mod host;
mod inventory;
mod learn;
mod names;
mod observe;
mod openapi;
mod place;
mod render;
mod risk;
mod rules;
mod schema;
mod segment;
mod shows;
mod snapshot;
mod spec;
mod spoken;
mod standing;
mod state;
mod trie;
mod words;

pub use conform::{Difference, SpecDiff};
pub use data::Data;
pub use engine::{Config, Engine};
pub use extract::{Context, Extractor, Side, Visit};
pub use inventory::operation_endpoint;
pub use observe::{AUTH_KINDS, BodyFacts, Channel, Field, Kinds, Observation, Protocol, QueryParam, Signs};
pub use render::named;
pub use risk::add_exploits;
pub use segment::Shape;
pub use shows::Shows;
pub use snapshot::{Found, Snapshot};
pub use spec::{Spec, SpecError, SpecOperation};
pub use state::StateError;
