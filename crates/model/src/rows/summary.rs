use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Ts;

/// `summary.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Summary {
    /// Version of Sidetap.
    pub version: String,
    /// Each input.
    pub inputs: Vec<InputSummary>,
    /// Packets.
    pub packets: PacketCounts,
    /// TCP streams.
    pub streams: StreamCounts,
    /// Exchanges.
    pub exchanges: ExchangeCounts,
    /// Anomalies by code.
    pub anomalies: BTreeMap<String, u64>,
    /// What was found.
    pub counts: Counts,
    /// Entries that tables gave up for their caps, by table.
    pub evictions: BTreeMap<String, u64>,
    /// What packet times did to the clock: `packets-late`, `times-disbelieved`, `steps-back`, `gaps`, `inputs-aligned`,
    /// `exchanges-late` (judged after their second).
    #[serde(default)]
    pub clock: BTreeMap<String, u64>,
    /// Whom the sources of installed tables of addresses ask to be named, with their licences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributions: Vec<String>,
    /// Worker threads.
    pub workers: usize,
    /// Wall time.
    pub wall_ms: u64,
    /// Most memory resident at once.
    pub peak_rss_bytes: u64,
    /// Outputs that were asked for and are not there, or not whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_written: Vec<NotWritten>,
}

/// An output that could not be written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotWritten {
    /// Its path, or what it is.
    pub output: String,
    /// Why.
    pub error: String,
}

impl NotWritten {
    /// Of this output, for this reason.
    pub fn new(output: impl std::fmt::Display, error: impl std::fmt::Display) -> Self {
        NotWritten { output: output.to_string(), error: error.to_string() }
    }
}

impl std::fmt::Display for NotWritten {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot write {}: {}", self.output, self.error)
    }
}

/// One input of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InputSummary {
    /// Path as given.
    pub path: String,
    /// Packets read.
    pub packets: u64,
    /// Bytes of packets read.
    pub bytes: u64,
    /// First packet.
    pub first_ts: Option<Ts>,
    /// Last packet.
    pub last_ts: Option<Ts>,
    /// What went wrong, where something did.
    pub error: Option<String>,
    /// Microseconds that were added to its times, so that its clock goes with the first input's.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub clock_offset_us: i64,
    /// How often an interface was opened again after it had been removed.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub reopened: u64,
}

fn is_nothing(n: &u64) -> bool {
    *n == 0
}

fn is_zero(n: &i64) -> bool {
    *n == 0
}

/// Packets: total = decoded + Σ dropped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PacketCounts {
    /// All.
    pub total: u64,
    /// Understood, duplicates and fragments included.
    pub decoded: u64,
    /// Not understood or not kept, by the one reason.
    pub dropped: BTreeMap<String, u64>,
    /// Dropped by the kernel or the interface before they were read (live only; not in `total`).
    #[serde(default)]
    pub kernel_dropped: u64,
    /// What was out of the ordinary about decoded packets, by code; one packet may count under several.
    #[serde(default)]
    pub noted: BTreeMap<String, u64>,
}

/// Stream bytes: bytes = delivered + Σ discarded; gaps stand apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StreamCounts {
    /// Payload bytes of TCP segments.
    pub bytes: u64,
    /// Handed to a protocol reader, or passed over as what is known not to be readable.
    pub delivered: u64,
    /// Not handed on, by the one reason: `retransmitted`, `overlap`, `outside-window`, `evicted`, …
    pub discarded: BTreeMap<String, u64>,
    /// Bytes that never came.
    pub gap_bytes: u64,
    /// Flows by what they carry: `http`, `tls`, `http2`, `ssh`, `unknown`, `empty`, …
    #[serde(default)]
    pub flows: BTreeMap<String, u64>,
    /// Bytes by what their flow carries.
    #[serde(default)]
    pub bytes_by_protocol: BTreeMap<String, u64>,
    /// Flows by how they ended: `closed`, `reset`, `idle`, `reused`, `evicted`, `end-of-input`.
    #[serde(default)]
    pub flows_ended: BTreeMap<String, u64>,
    /// Flows of which only one side was ever seen: nobody answered, or the mirror lacks a direction.
    #[serde(default)]
    pub flows_unanswered: u64,
}

/// Exchanges: total = complete + incomplete.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExchangeCounts {
    /// All.
    pub total: u64,
    /// Seen whole.
    pub complete: u64,
    /// Not seen whole.
    pub incomplete: u64,
    /// Why not; one exchange may have several reasons.
    pub incomplete_reasons: BTreeMap<String, u64>,
    /// By protocol.
    pub by_protocol: BTreeMap<String, u64>,
    /// Of all, those that are others seen again at a later hop; they count in no other output.
    #[serde(default)]
    pub later_hops: u64,
}

/// What a run found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Counts {
    /// Rows of endpoints.ndjson.
    pub endpoints: u64,
    /// Rows of sensitive.ndjson.
    pub sensitive: u64,
    /// Rows of findings.ndjson.
    pub findings: u64,
    /// Rows of campaigns.ndjson.
    pub campaigns: u64,
    /// Rows of verdicts.ndjson.
    pub verdicts: u64,
}
