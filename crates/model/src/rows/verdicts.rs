use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Measures, SubjectKind, Ts};

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
    /// Requests over time, in buckets as wide as those of the run's traffic.
    #[serde(default)]
    pub timeline: Vec<(Ts, u64)>,
}

/// A campaign as far as decisions ask about it while a run goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CampaignGist {
    /// Its row, without who took part, how far it got, why it is believed, where from and when.
    pub row: CampaignRow,
    /// How many took part.
    pub members: u64,
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
