//! Embedded store: inventory, findings, campaigns, verdicts, actions, audit, evidence.
//!
//! One SQLite file in WAL mode, any number of readers and one writer at a time. Rows are kept per run, so that saving a run
//! again replaces what it said before and never counts twice; [`Store::load`] merges the runs. Time is always an argument.

mod error;
mod evidence;
mod journal;
mod load;
mod merge;
mod open;
mod retain;
mod save;
mod schema;

pub use error::StoreError;
pub use evidence::{EvidenceLimits, EvidenceRow};
pub use journal::AuditRow;
pub use load::RunInfo;
pub use open::Store;
pub use retain::{Removed, Retention};
pub use save::run_id;
pub use schema::Table;
