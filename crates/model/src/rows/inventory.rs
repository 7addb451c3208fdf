use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{EndpointId, Ts};

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

impl SensitiveRow {
    /// What makes two rows the same place and type.
    pub fn key(&self) -> String {
        format!("{}\u{1f}{}\u{1f}{}\u{1f}{}", self.endpoint.id, self.direction, self.location, self.kind)
    }

    /// The short id by which a store knows it.
    pub fn id(&self) -> String {
        short_id(&self.key())
    }
}

/// A short name of a long key, for URLs: 64 bits of FNV-1a, which a store's bounds keep far from a second meaning.
pub fn short_id(key: &str) -> String {
    let hash =
        key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
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
