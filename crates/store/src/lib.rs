//! Embedded store: inventory, findings, campaigns, verdicts, actions, audit, evidence.
//!
//! One SQLite file in WAL mode, any number of readers and one writer at a time. Rows are kept per run, so that saving a run
//! again replaces what it said before and never counts twice; [`Store::load`] merges the runs. Time is always an argument.

mod access;
mod allowed;
mod approvals;
mod carried;
mod cells;
mod change;
mod compact;
mod copies;
mod each;
mod error;
mod evidence;
mod forget;
mod former;
mod found;
mod items;
mod journal;
mod kept;
mod limits;
mod lists;
mod load;
mod merge;
mod net;
mod news;
mod now;
mod open;
mod orders;
mod packs;
mod query;
mod reshape;
mod retain;
mod run_list;
mod save;
mod schema;
mod site;
mod steps;
mod sums;
mod template;
mod watched;
mod work;

pub use access::{NewSession, SessionRow, TokenRow, UserRow};
pub use allowed::{AllowedRow, LetGo};
pub use approvals::{Approval, Chosen, Which};
pub use cells::CellRow;
pub use change::Room;
pub use error::StoreError;
pub use evidence::{EvidenceLimits, EvidenceRow, Sample, SampleRow};
pub use former::MergedNotes;
pub use found::Hits;
pub use items::{
    ActionItem, AuditItem, CampaignItem, Change, EndpointItem, FindingItem, Hit, HostItem, MemberItem,
    SensitiveItem, VerdictItem, Work,
};
pub use journal::AuditRow;
pub use limits::Limits;
pub use lists::{
    ACTIONS, AUDIT, CAMPAIGNS, CHANGES, ENDPOINTS, FINDINGS, MEMBERS, SENSITIVE, VERDICTS, harm,
};
pub use load::RunInfo;
pub use news::{Marks, News};
pub use open::Store;
pub use orders::Ordered;
pub use packs::PackRow;
pub use query::{Column, ColumnKind, Filter, List, Part, Place, Sort, Test, Wanted};
pub use reshape::Reshaped;
pub use retain::{Removed, Retention};
pub use run_list::{RUNS, RunItem};
pub use rusqlite::types::Value;
pub use save::run_id;
pub use schema::Table;
pub use site::{ShapeRow, SpecRow};
pub use sums::{CallPoint, ClassCount, FindingCounts, RiskBands, SensitiveCounts, Totals, TypeCount};
pub use watched::ToForget;
pub use work::{Notes, Scope, WorkChange, WorkLine};
