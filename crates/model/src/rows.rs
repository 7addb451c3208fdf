//! The rows of the run directory (design §8): what stages hand to the store, to policy, to the report and to users' scripts.
//!
//! Field names are a contract: add fields freely, rename none.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{EndpointId, Measures, SubjectKind, Ts};

/// A line of `endpoints.ndjson`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EndpointRow {
    /// Its id.
    pub id: EndpointId,
    /// Where it was seen.
    pub zone: String,
    /// Host, lower case; with `:port` only where the port is not the scheme's own.
    pub host: String,
    /// Method.
    pub method: String,
    /// Path template.
    pub template: String,
    /// `rest`, `graphql`, `grpc`, `soap`, `json-rpc`, `mcp`, `llm`, `websocket`, `page` or `asset`.
    pub protocol: String,
    /// Exchanges seen.
    pub calls: u64,
    /// First exchange.
    pub first_seen: Ts,
    /// Last exchange.
    pub last_seen: Ts,
    /// Exchanges by status code (`none` where no answer was seen).
    pub status_codes: BTreeMap<String, u64>,
    /// Kinds of authentication seen: `none`, `basic`, `bearer`, `jwt`, `api-key`, `cookie`, `digest`, `signature`, `mtls`.
    pub auth: Vec<String>,
    /// `public` or `private`.
    pub exposure: String,
    /// `documented`, `shadow`, `deprecated`, `orphan` or `unknown`.
    pub standing: String,
    /// Business meaning: `login`, `sign-up`, `password-reset`, `checkout`, `search`, …
    pub roles: Vec<String>,
    /// `web`, `mobile`, `api`.
    pub channels: Vec<String>,
    /// Who calls.
    pub callers: Callers,
    /// What sensitive data goes through.
    pub sensitive: Vec<EndpointSensitive>,
    /// 0 (none) to 100.
    pub risk: u8,
    /// The terms of the risk.
    #[serde(default)]
    pub risk_terms: Vec<String>,
    /// Parameters seen.
    pub parameters: Vec<Parameter>,
    /// Evidence that its template was merged from literals, where it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged_by: Vec<String>,
    /// Ids that it had before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<EndpointId>,
}

/// Callers of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Callers {
    /// Distinct clients (an estimate above 1,000).
    pub count: u64,
    /// By country, where network intelligence is installed.
    pub countries: BTreeMap<String, u64>,
    /// By organization, where network intelligence is installed.
    pub organizations: BTreeMap<String, u64>,
}

/// Sensitive data in an endpoint's row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EndpointSensitive {
    /// Type id, `credit-card`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `request` or `response`.
    pub direction: String,
    /// `$.a.b`, `header:X`, `query:q`, `path:p`.
    pub location: String,
}

/// A parameter of an endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// `path`, `query`, `header`, `cookie` or `body`.
    #[serde(rename = "in")]
    pub location: String,
    /// `string`, `integer`, `number`, `boolean`, `array`, `object`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `uuid`, `date-time`, `email`, … where all values have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Seen in every call.
    pub required: bool,
}

/// The endpoint part of a sensitive row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EndpointKey {
    /// Its id.
    pub id: EndpointId,
    /// Host.
    pub host: String,
    /// Method.
    pub method: String,
    /// Path template.
    pub template: String,
}

/// A line of `sensitive.ndjson`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SensitiveRow {
    /// Where it goes through.
    pub endpoint: EndpointKey,
    /// `request` or `response`.
    pub direction: String,
    /// `$.a.b`, `header:X`, `query:q`, `path:p`.
    pub location: String,
    /// Type id, `us-ssn`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Other types that the values would also fit.
    pub alternatives: Vec<String>,
    /// Laws and standards that name it: `PCI`, `PII`, `PHI`, `GDPR`, `SECRET`.
    pub class: Vec<String>,
    /// 0 to 1.
    pub confidence: f64,
    /// Values seen.
    pub count: u64,
    /// One value, masked.
    pub masked: String,
    /// First seen.
    pub first_seen: Ts,
    /// Id of an exchange that shows it (`sidetap.id` in exchanges.ndjson).
    pub evidence: String,
}

/// A line of `findings.ndjson`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FindingRow {
    /// Its id: the same finding has the same id in the next run.
    pub id: String,
    /// `risk`, `conformance`, `exploit` or `anomaly`.
    pub kind: String,
    /// Id of the rule that found it.
    pub rule: String,
    /// `info`, `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// `observed` (a success proves it) or `suspected`.
    pub certainty: String,
    /// `API2:2023`, …
    pub owasp: Vec<String>,
    /// What it is about: `{"endpoint": …}` or `{"ip": …}`.
    pub subject: BTreeMap<String, String>,
    /// One line.
    pub title: String,
    /// What was seen, why it matters, what to do.
    pub detail: String,
    /// Ids of exchanges that show it.
    pub evidence: Vec<String>,
    /// First seen.
    pub first_seen: Ts,
    /// Last seen.
    pub last_seen: Ts,
    /// How often.
    pub count: u64,
}

/// One reason of a score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reason {
    /// Id of the indicator. Texts are shared: members of a campaign are judged for the same reasons.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub indicator: Arc<str>,
    /// What it added, in log-odds, after the cap of its family.
    pub weight: f64,
    /// What was observed, in words with numbers.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub observed: Arc<str>,
    /// What is usual, in words with numbers.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub baseline: Arc<str>,
    /// Ids of exchanges that show it.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub evidence: Arc<[String]>,
}

/// A member of a campaign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Member {
    /// What it is.
    pub kind: SubjectKind,
    /// How outputs spell it.
    pub value: String,
    /// First request.
    pub first_seen: Ts,
    /// Requests in the campaign.
    pub requests: u64,
}

/// Where an actor comes from, as far as installed tables say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct OriginRow {
    /// Autonomous system.
    pub asn: Option<u32>,
    /// Its holder.
    pub organization: Option<String>,
    /// Country (ISO 3166-1 alpha-2).
    pub country: Option<String>,
    /// What the address is used for: `hosting`, `mobile`, `vpn`, …
    pub kinds: Vec<String>,
}

/// What an actor says or shows that it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct IdentityRow {
    /// What its agent claims: `browser`, `library`, `crawler`, `ai-crawler`, `ai-agent`, `monitor`, …
    pub kind: String,
    /// Who operates it.
    pub operator: Option<String>,
    /// What it is for: `training`, `search`, `user`, `agent`, `monitoring`, …
    pub function: Option<String>,
    /// True where it is shown, false where it is refuted, else it is a claim.
    pub verified: Option<bool>,
    /// By what it is shown or refuted: `published-ranges`, `signature`, `network-and-key`.
    pub by: Option<String>,
    /// The partner, monitor or app of the configuration.
    pub party: Option<String>,
}

/// A line of `campaigns.ndjson`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CampaignRow {
    /// Its id.
    pub id: String,
    /// Class id of design §8, `credential-stuffing`.
    pub class: String,
    /// OWASP automated threats, `OAT-008`.
    pub oat: Vec<String>,
    /// Harm, 1 to 99.
    pub score: u8,
    /// `online` or `retrospective`.
    pub phase: String,
    /// First request.
    pub first_seen: Ts,
    /// When it was known for what it is.
    pub detected_at: Ts,
    /// Last request.
    pub last_seen: Ts,
    /// Requests in all.
    pub requests: u64,
    /// Endpoints it went to, most used first, as `METHOD host/template`.
    pub endpoints: Vec<String>,
    /// Who took part.
    pub members: Vec<Member>,
    /// What they have in common: fingerprint, agent, target, body template, period.
    pub signature: BTreeMap<String, String>,
    /// How far it got: logins that succeeded, ids found, bytes taken, …
    pub outcome: BTreeMap<String, u64>,
    /// Why we believe it.
    pub reasons: Vec<Reason>,
    /// Members by network (`AS64496 Holder`), where network intelligence is installed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<String, u64>,
    /// Members by country, where network intelligence is installed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub countries: BTreeMap<String, u64>,
    /// Requests over time, in buckets of a width that [`TrafficPoint`]s of the run share.
    #[serde(default)]
    pub timeline: Vec<(Ts, u64)>,
}

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

/// Whom a verdict names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Subject {
    /// What it is.
    pub kind: SubjectKind,
    /// How outputs spell it; of a compound its parts joined by ` + `.
    pub value: String,
    /// The parts of a compound.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<SubjectPart>,
}

impl Subject {
    /// The subject that is all of these at once; of one part, that part.
    pub fn of_parts(parts: Vec<SubjectPart>) -> Self {
        match parts.as_slice() {
            [only] => Subject { kind: only.kind, value: only.value.clone(), parts: Vec::new() },
            _ => {
                let value = parts.iter().map(|p| p.value.as_str()).collect::<Vec<_>>().join(" + ");
                Subject { kind: SubjectKind::Compound, value, parts }
            }
        }
    }

    /// Its parts; of what is no compound itself.
    pub fn each_part(&self) -> Vec<SubjectPart> {
        match self.parts.is_empty() {
            true => vec![SubjectPart { kind: self.kind, value: self.value.clone() }],
            false => self.parts.clone(),
        }
    }
}

/// A part of a compound subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SubjectPart {
    /// What it is.
    pub kind: SubjectKind,
    /// How outputs spell it.
    pub value: String,
}

/// A line of `verdicts.ndjson`. One verdict names one subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VerdictRow {
    /// Its id.
    pub id: String,
    /// Where it holds.
    pub zone: String,
    /// Whom it names.
    pub subject: Subject,
    /// The client's address, where there is exactly one.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub client_ip: Option<IpAddr>,
    /// The addresses it was seen at, at most 1,000.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub client_ips: Vec<IpAddr>,
    /// `malicious`, `suspicious`, `automated` or `benign`.
    pub intent: String,
    /// Class id of design §8.
    pub class: Option<String>,
    /// OWASP automated threats.
    pub oat: Vec<String>,
    /// Harm, 1 to 99.
    pub score: u8,
    /// Is it a machine? 1 to 99.
    pub automation: u8,
    /// By pillar (`tools`, `credentials`, `infrastructure`, `behaviour`): indicators that answered of those that could not.
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, String>))]
    pub coverage: Arc<BTreeMap<String, String>>,
    /// The campaign it belongs to.
    pub campaign: Option<String>,
    /// `online` (what live would have said, and when) or `retrospective`.
    pub phase: String,
    /// First request.
    pub first_seen: Ts,
    /// When it was said.
    pub detected_at: Ts,
    /// Last request.
    #[serde(default)]
    pub last_seen: Ts,
    /// Requests judged.
    pub requests: u64,
    /// Why.
    pub reasons: Vec<Reason>,
    /// `block`, `deceive`, `geo-fence`, `challenge`, `tarpit`, `rate-limit`, `tag`, `alert`, `log` or `none`: what policy says,
    /// filled in after judgement.
    pub response: String,
    /// Seconds that the response holds from its push.
    pub ttl_s: u64,
    /// Host and template that it was seen on most, for policy.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Where it comes from, where network intelligence is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<OriginRow>,
    /// What it says or shows that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<IdentityRow>,
    /// Id of the policy that chose the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// How the response is carried out, where policy says more than its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub measures: Option<Box<Measures>>,
    /// Its fingerprints: of the heads for which it was convicted or that it sends most, and of its agent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prints: Vec<String>,
}

/// What declared AI agents are for: whether they may is a site's own choice.
const AI_FUNCTIONS: [&str; 4] = ["training", "search", "user", "agent"];

impl VerdictRow {
    /// True where something may be done about it: it is malicious, or a declared AI crawler or agent that a site's own rules
    /// may turn away though it does no harm.
    pub fn may_be_acted_on(&self) -> bool {
        self.intent == "malicious" || self.intent == "automated" && self.is_declared_ai()
    }

    fn is_declared_ai(&self) -> bool {
        self.agent.as_ref().is_some_and(|a| {
            let ai = matches!(a.kind.as_str(), "ai-crawler" | "ai-agent");
            ai && a.function.as_deref().is_some_and(|f| AI_FUNCTIONS.contains(&f))
        })
    }
}

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
