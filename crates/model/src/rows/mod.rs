//! The rows of the run directory (design §8): what stages hand to the store, to policy, to the report and to users' scripts.
//!
//! Field names are a contract: add fields freely, rename none.

mod inventory;
mod summary;
mod verdicts;

use serde::{Deserialize, Serialize};

pub use self::inventory::{
    Callers, EndpointKey, EndpointRow, EndpointSensitive, FindingRow, Parameter, SensitiveRow, short_id,
};
pub use self::summary::{
    Counts, ExchangeCounts, InputSummary, NotWritten, PacketCounts, StreamCounts, Summary,
};
pub use self::verdicts::{
    CampaignGist, CampaignRow, IdentityRow, Member, OriginRow, Reason, Subject, SubjectPart, VerdictRow,
};
use crate::Ts;

/// Requests of one bucket of time, by the intent of who sent them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TrafficPoint {
    /// Start of the bucket.
    pub ts: Ts,
    /// People, and machines that do no harm and are not known as machines.
    pub benign: u64,
    /// Machines that do no harm.
    pub automated: u64,
    /// Not convicted.
    pub suspicious: u64,
    /// Convicted.
    pub malicious: u64,
}

/// All that a run found: what is written to a run directory or kept in a store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunData {
    /// `summary.json`.
    pub summary: Summary,
    /// `endpoints.ndjson`.
    pub endpoints: Vec<EndpointRow>,
    /// `sensitive.ndjson`.
    pub sensitive: Vec<SensitiveRow>,
    /// `findings.ndjson`.
    pub findings: Vec<FindingRow>,
    /// `campaigns.ndjson`.
    pub campaigns: Vec<CampaignRow>,
    /// `verdicts.ndjson`.
    pub verdicts: Vec<VerdictRow>,
    /// Traffic over time (in `summary.json` under `traffic`).
    pub traffic: Vec<TrafficPoint>,
}
