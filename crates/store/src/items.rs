//! Rows as lists show them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sidetap_model::rows::{
    CampaignRow, EndpointRow, FindingRow, IdentityRow, Member, OriginRow, SensitiveRow, Subject, VerdictRow,
};
use sidetap_model::{ActionRow, Ts};

/// Points of a campaign's timeline in a list.
const POINTS: usize = 60;
/// Nanoseconds of a bucket of a campaign's timeline.
const BUCKET: i64 = 10_000_000_000;

/// An endpoint with what people say of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EndpointItem {
    /// The endpoint.
    #[serde(flatten)]
    pub row: EndpointRow,
    /// Labels.
    pub labels: Vec<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Findings about it that are open or assigned.
    pub findings_open: u64,
}

/// A host of the inventory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostItem {
    /// Its name.
    pub host: String,
    /// Zones that it was seen in.
    pub zones: Vec<String>,
    /// Endpoints.
    pub endpoints: u64,
    /// Calls of all.
    pub calls: u64,
    /// Risk of the riskiest.
    pub risk: u8,
    /// Endpoints by standing.
    pub standing: BTreeMap<String, u64>,
    /// Endpoints by protocol.
    pub protocols: BTreeMap<String, u64>,
    /// Endpoints by kind of authentication.
    pub auth: BTreeMap<String, u64>,
    /// Types of sensitive data that go through.
    pub sensitive: Vec<String>,
    /// Findings that are open or assigned.
    pub findings_open: u64,
    /// First exchange.
    pub first_seen: Ts,
    /// Last exchange.
    pub last_seen: Ts,
    /// Whether there is an OpenAPI document of it.
    pub openapi: bool,
}

/// Sensitive data with an id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SensitiveItem {
    /// Its id.
    pub id: String,
    /// The row.
    #[serde(flatten)]
    pub row: SensitiveRow,
}

/// A finding with what is done about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FindingItem {
    /// The finding.
    #[serde(flatten)]
    pub row: FindingRow,
    /// What is done about it.
    pub work: Work,
}

/// What is done about a finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Work {
    /// `open`, `assigned`, `accepted`, `false-positive` or `fixed`.
    pub status: String,
    /// Who works on it.
    pub assignee: Option<String>,
    /// Until when it is accepted.
    pub expires_at: Option<Ts>,
    /// Why.
    pub note: Option<String>,
    /// When that was said.
    pub updated_at: Option<Ts>,
    /// Who said it.
    pub updated_by: Option<String>,
    /// True where it is a false positive because its rule, or its rule at its endpoint, was said to be.
    pub by_rule: bool,
}

/// A campaign as lists show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CampaignItem {
    /// Its id.
    pub id: String,
    /// Class id.
    pub class: String,
    /// OWASP automated threats.
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
    /// Endpoints it went to, at most 5.
    pub endpoints: Vec<String>,
    /// How many took part.
    pub members: u64,
    /// Who took part, by kind.
    pub kinds: BTreeMap<String, u64>,
    /// Members by country, the 10 most frequent.
    pub countries: BTreeMap<String, u64>,
    /// Members by network, the 10 most frequent.
    pub networks: BTreeMap<String, u64>,
    /// How far it got.
    pub outcome: BTreeMap<String, u64>,
    /// What happened, in words.
    pub story: String,
    /// Requests over time, at most 60 points.
    pub timeline: Vec<(Ts, u64)>,
    /// Labels.
    #[serde(default)]
    pub labels: Vec<String>,
}

impl CampaignItem {
    /// What a list shows of a campaign.
    pub fn of(row: &CampaignRow) -> Self {
        let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
        for member in &row.members {
            *kinds.entry(member.kind.name().to_owned()).or_default() += 1;
        }
        CampaignItem {
            id: row.id.clone(),
            class: row.class.clone(),
            oat: row.oat.clone(),
            score: row.score,
            phase: row.phase.clone(),
            first_seen: row.first_seen,
            detected_at: row.detected_at,
            last_seen: row.last_seen,
            requests: row.requests,
            endpoints: row.endpoints.iter().take(5).cloned().collect(),
            members: row.members.len() as u64,
            kinds,
            countries: most(&row.countries, 10),
            networks: most(&row.networks, 10),
            outcome: row.outcome.clone(),
            story: row.signature.get("story").cloned().unwrap_or_default(),
            timeline: thin(&row.timeline),
            labels: Vec::new(),
        }
    }
}

/// A member of a campaign with what is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MemberItem {
    /// The member.
    #[serde(flatten)]
    pub member: Member,
    /// Its verdict.
    pub verdict: Option<String>,
    /// Its country.
    pub country: Option<String>,
    /// The holder of its network.
    pub organization: Option<String>,
}

/// A verdict as lists show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VerdictItem {
    /// Its id.
    pub id: String,
    /// Where it holds.
    pub zone: String,
    /// Whom it names.
    pub subject: Subject,
    /// The client's address, where there is exactly one.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub client_ip: Option<std::net::IpAddr>,
    /// Addresses it was seen at.
    pub addresses: u64,
    /// `malicious`, `suspicious`, `automated` or `benign`.
    pub intent: String,
    /// Class id.
    pub class: Option<String>,
    /// OWASP automated threats.
    pub oat: Vec<String>,
    /// Harm, 1 to 99.
    pub score: u8,
    /// Is it a machine? 1 to 99.
    pub automation: u8,
    /// The campaign it belongs to.
    pub campaign: Option<String>,
    /// `online` or `retrospective`.
    pub phase: String,
    /// First request.
    pub first_seen: Ts,
    /// When it was said.
    pub detected_at: Ts,
    /// Last request.
    pub last_seen: Ts,
    /// Requests judged.
    pub requests: u64,
    /// What policy says.
    pub response: String,
    /// Seconds that the response holds.
    pub ttl_s: u64,
    /// Hosts and templates that it was seen on most.
    pub hosts: Vec<String>,
    /// Where it comes from.
    pub origin: Option<OriginRow>,
    /// What it says or shows that it is.
    pub agent: Option<IdentityRow>,
    /// The rule that chose the response.
    pub policy: Option<String>,
    /// Indicators that fired, strongest first, at most 5.
    pub indicators: Vec<String>,
    /// The strongest reason.
    pub why: String,
}

impl From<VerdictRow> for VerdictItem {
    fn from(row: VerdictRow) -> Self {
        let addresses = crate::kept::Addresses::addresses(&row).len() as u64;
        VerdictItem {
            addresses,
            indicators: row.reasons.iter().take(5).map(|r| r.indicator.to_string()).collect(),
            why: row.reasons.first().map(|r| r.observed.to_string()).unwrap_or_default(),
            id: row.id,
            zone: row.zone,
            subject: row.subject,
            client_ip: row.client_ip,
            intent: row.intent,
            class: row.class,
            oat: row.oat,
            score: row.score,
            automation: row.automation,
            campaign: row.campaign,
            phase: row.phase,
            first_seen: row.first_seen,
            detected_at: row.detected_at,
            last_seen: row.last_seen,
            requests: row.requests,
            response: row.response,
            ttl_s: row.ttl_s,
            hosts: row.hosts,
            origin: row.origin,
            agent: row.agent,
            policy: row.policy,
        }
    }
}

/// An action with its number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActionItem {
    /// Its number: later ones are greater.
    pub seq: u64,
    /// The action.
    #[serde(flatten)]
    pub row: ActionRow,
}

/// A row of the audit with its number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditItem {
    /// Its number: later ones are greater.
    pub seq: u64,
    /// When, by the wall clock.
    pub at: Ts,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// The particulars.
    pub detail: serde_json::Value,
}

/// Something that changed in what is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Change {
    /// Its number: later ones are greater.
    pub seq: u64,
    /// When, by packet time.
    pub at: Ts,
    /// `endpoint`, `sensitive`, `finding` or `campaign`.
    pub kind: String,
    /// Of the thing.
    pub id: String,
    /// `new`, or what of it changed: `standing`, `auth`, `exposure`, `risk`, `sensitive`, `parameters`, `roles`, `severity`, `phase`.
    pub change: String,
    /// The thing, in words.
    pub title: String,
    /// The host that it is about; empty where there is none.
    pub host: String,
    /// What it was.
    pub before: Option<String>,
    /// What it is.
    pub after: Option<String>,
}

/// Something that the search found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Hit {
    /// `endpoint`, `host`, `campaign`, `verdict`, `finding`, `sensitive` or `exchange`.
    pub kind: String,
    /// Of the thing.
    pub id: String,
    /// The thing, in words.
    pub title: String,
    /// What else is found by it.
    pub detail: String,
}

/// The most frequent ones.
fn most(counts: &BTreeMap<String, u64>, n: usize) -> BTreeMap<String, u64> {
    let mut all: Vec<(&String, u64)> = counts.iter().map(|(k, v)| (k, *v)).collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    all.into_iter().take(n).map(|(k, v)| (k.clone(), v)).collect()
}

/// The same requests over fewer points: of buckets of the same width, each where it begins, so that pauses stay.
fn thin(timeline: &[(Ts, u64)]) -> Vec<(Ts, u64)> {
    let (Some(first), Some(last)) =
        (timeline.iter().map(|p| p.0.0).min(), timeline.iter().map(|p| p.0.0).max())
    else {
        return Vec::new();
    };
    if timeline.len() <= POINTS {
        return timeline.to_vec();
    }
    let width =
        (last.saturating_sub(first) / POINTS as i64 + 1).div_euclid(BUCKET).saturating_add(1) * BUCKET;
    let mut buckets: BTreeMap<i64, u64> = BTreeMap::new();
    for (ts, n) in timeline {
        let at = ts.0 - (ts.0 - first).rem_euclid(width);
        let count = buckets.entry(at).or_default();
        *count = count.saturating_add(*n);
    }
    buckets.into_iter().map(|(at, n)| (Ts(at), n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_stays_where_a_timeline_is_thinned() {
        let at = |s: i64| Ts::from_parts(1_795_000_000 + s, 0);
        let mut points: Vec<(Ts, u64)> = (0..100).map(|n| (at(n * 10), 1)).collect();
        points.extend((0..100).map(|n| (at(3_600 + n * 10), 2)));
        let thin = thin(&points);
        assert!(thin.len() <= POINTS && thin.len() > 20, "{}", thin.len());
        assert_eq!(thin.iter().map(|p| p.1).sum::<u64>(), 300);
        let in_pause = |p: &&(Ts, u64)| p.0 > at(1_000) && p.0 < at(3_500);
        assert_eq!(thin.iter().find(in_pause), None, "nothing is told of the pause");
        assert!(
            thin.windows(2).any(|w| w[1].0.since(w[0].0) > 2_000_000_000_000),
            "and it is as long as it was"
        );
        assert_eq!(super::thin(&points[..5]), points[..5]);
    }
}
