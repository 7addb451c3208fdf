//! Sensitive-data classes: candidate scan, validator, masked sample.
//!
//! Types stand in YAML packs; what makes a candidate one of them stands in [`validate`]. A value is looked at in three
//! steps, each far cheaper than the next: a gate on its bytes, candidates by shape, validators. Every span gets one best
//! reading; others that fit are kept as alternatives. Raw values never leave: masked samples and counts do.

mod clean;
mod context;
mod document;
mod error;
mod find;
mod headers;
mod inventory;
mod mask;
mod pack;
mod scanner;
mod shape;
pub mod validate;

pub use document::{DocumentSpan, scan_document, scan_ndjson};
pub use error::SensitiveError;
pub use inventory::{Inventory, InventoryLimits, Place};
pub use mask::mask;
pub use pack::{Pack, Type, TypeId};
pub use scanner::{Dir, Hit, Hits, Scanner, Sighting};
