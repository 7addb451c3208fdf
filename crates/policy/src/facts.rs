use std::collections::HashMap;

use cel::{Context, Value};
use serde::Serialize;
use sidetap_model::SubjectKind;
use sidetap_model::rows::{CampaignRow, IdentityRow, OriginRow, Subject, VerdictRow};

use crate::history::History;
use crate::places::Places;
use crate::traffic::Traffic;

/// A field that conditions can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// `string`, `int` or `list`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What it holds.
    pub description: &'static str,
}

/// The fields of a condition, all of them always present.
pub const FIELDS: [Field; 28] = [
    field("intent", "string", "malicious, suspicious, automated or benign"),
    field("class", "string", "class id, `credential-stuffing`; empty where there is none"),
    field("oat", "list", "OWASP automated threats, `OAT-008`"),
    field("score", "int", "harm, 1 to 99"),
    field("automation", "int", "is it a machine? 1 to 99"),
    field("phase", "string", "online or retrospective"),
    field("zone", "string", "where it was seen"),
    field("subject_kind", "string", "ip, cidr, session, account, api-key, fingerprint or compound"),
    field("subject", "string", "whom the verdict names, as outputs spell it"),
    field("client_ip", "string", "the client's address where there is exactly one, else empty"),
    field("addresses", "int", "addresses it was seen at"),
    field("requests", "int", "requests judged"),
    field("duration_s", "int", "seconds from its first to its last request"),
    field("hosts", "list", "hosts it was seen on most"),
    field("endpoints", "list", "endpoints of its campaign, `POST shop.example/login`"),
    field("indicators", "list", "ids of the indicators that fired"),
    field("campaign", "string", "id of its campaign; empty where there is none"),
    field("campaign_size", "int", "members of its campaign; 0 where there is none"),
    field("campaign_requests", "int", "requests of its campaign; 0 where there is none"),
    field("campaign_score", "int", "harm of its campaign, 1 to 99; 0 where there is none"),
    field("roles", "list", "roles of the endpoints of its campaign: login, checkout, … (known ones)"),
    field("channels", "list", "web, mobile, api: of the endpoints of its campaign"),
    field("again", "int", "how often a response to the same subject was over before, within 30 days"),
    field(
        "agent",
        "map",
        "who it says or shows it is: `agent.kind`, `agent.operator`, `agent.function`, `agent.party` (text), `agent.verified`, `agent.refuted`",
    ),
    field("country", "string", "country of its address, `DE`; empty where it is not known"),
    field("network", "int", "autonomous system of its address; 0 where it is not known"),
    field("organization", "string", "holder of that network; empty where it is not known"),
    field("network_kinds", "list", "what its address is used for: hosting, mobile, vpn, tor, …"),
];

/// Those of them that change while a campaign goes on.
pub(crate) const OF_CAMPAIGNS: [&str; 6] =
    ["endpoints", "campaign_size", "campaign_requests", "campaign_score", "roles", "channels"];

/// What `agent` has, all of it always.
pub(crate) const AGENT_KEYS: [&str; 6] = ["kind", "operator", "function", "party", "verified", "refuted"];

/// What verdicts say that somebody means, and when they were said.
pub(crate) const INTENTS: [&str; 4] = ["automated", "benign", "malicious", "suspicious"];
pub(crate) const PHASES: [&str; 2] = ["online", "retrospective"];

/// The classes of abuse that detection names.
pub const CLASSES: [&str; 29] = [
    "account-takeover",
    "ai-crawler",
    "api-scraping",
    "app-dos",
    "ato-transfer-fraud",
    "bola",
    "carding",
    "cash-out",
    "content-scraping",
    "coupon-abuse",
    "credential-cracking",
    "credential-stuffing",
    "directory-bruteforce",
    "fake-account-creation",
    "fake-crawler",
    "giftcard-bruteforce",
    "hype-sale-bot",
    "id-enumeration",
    "inventory-hoarding",
    "inventory-scraping",
    "otp-abuse",
    "password-reset-enumeration",
    "price-scraping",
    "sim-swap-abuse",
    "skewing",
    "spam",
    "sqli",
    "token-cracking",
    "vuln-scan",
];

const fn field(name: &'static str, kind: &'static str, description: &'static str) -> Field {
    Field { name, kind, description }
}

/// The context in which conditions over this verdict are read.
pub(crate) fn context(v: &VerdictRow, around: &Around<'_>) -> Context<'static, 'static> {
    let mut context = Context::default();
    for (name, value) in values(v, around) {
        context.add_variable_from_value(name, value);
    }
    context
}

/// A context in which no text and no list is empty and no number zero.
pub(crate) fn filled() -> Context<'static, 'static> {
    let mut context = Context::default();
    for (name, value) in values(&sample(), &Around::default()) {
        let value = match value {
            Value::Int(_) => Value::Int(7),
            Value::String(text) if text.is_empty() => Value::from("x"),
            Value::List(_) => list(&["x".to_owned()]),
            other => other,
        };
        context.add_variable_from_value(name, value);
    }
    context
}

/// What is known around a verdict.
#[derive(Clone, Copy, Debug, Default)]
pub struct Around<'a> {
    /// Its campaign.
    pub campaign: Option<&'a CampaignRow>,
    /// How many members it has, where its row does not say who.
    pub members: Option<u64>,
    /// Which endpoints have which role and channel.
    pub places: Option<&'a Places>,
    /// Who was acted against before.
    pub history: Option<&'a History>,
    /// Recent traffic, to measure by whom a response would hit.
    pub traffic: Option<&'a Traffic>,
}

/// `again` looks so far back.
const AGAIN_S: u64 = 30 * 86_400;

fn values(v: &VerdictRow, around: &Around<'_>) -> [(&'static str, Value); FIELDS.len()] {
    let campaign = around.campaign;
    let roles = around.places.map(|p| p.roles_of(campaign)).unwrap_or_default();
    let channels = around.places.map(|p| p.channels_of(campaign)).unwrap_or_default();
    let again = around.history.map_or(0, |h| h.times_before(v, AGAIN_S));
    let text = |t: Option<&str>| Value::from(t.unwrap_or_default());
    let endpoints = campaign.map(|c| c.endpoints.as_slice()).unwrap_or_default();
    let nowhere = OriginRow::default();
    let origin = v.origin.as_ref().unwrap_or(&nowhere);
    let indicators: Vec<String> = v.reasons.iter().map(|r| r.indicator.to_string()).collect();
    [
        ("intent", Value::from(v.intent.as_str())),
        ("class", text(v.class.as_deref())),
        ("oat", list(&v.oat)),
        ("score", Value::Int(i64::from(v.score))),
        ("automation", Value::Int(i64::from(v.automation))),
        ("phase", Value::from(v.phase.as_str())),
        ("zone", Value::from(v.zone.as_str())),
        ("subject_kind", Value::from(v.subject.kind.name())),
        ("subject", Value::from(v.subject.value.as_str())),
        ("client_ip", Value::from(v.client_ip.map(|ip| ip.to_string()).unwrap_or_default())),
        ("addresses", count(v.client_ips.len().max(usize::from(v.client_ip.is_some())) as u64)),
        ("requests", count(v.requests)),
        ("duration_s", Value::Int(v.last_seen.since(v.first_seen).max(0) / 1_000_000_000)),
        ("hosts", list(&v.hosts)),
        ("endpoints", list(endpoints)),
        ("indicators", list(&indicators)),
        ("campaign", text(v.campaign.as_deref())),
        ("campaign_size", count(around.members.or(campaign.map(|c| c.members.len() as u64)).unwrap_or(0))),
        ("campaign_requests", count(campaign.map_or(0, |c| c.requests))),
        ("campaign_score", Value::Int(campaign.map_or(0, |c| i64::from(c.score)))),
        ("roles", list(&roles)),
        ("channels", list(&channels)),
        ("again", Value::Int(i64::from(again))),
        ("agent", agent(v)),
        ("country", text(origin.country.as_deref())),
        ("network", Value::Int(i64::from(origin.asn.unwrap_or(0)))),
        ("organization", text(origin.organization.as_deref())),
        ("network_kinds", list(&origin.kinds)),
    ]
}

/// All keys are always there.
fn agent(v: &VerdictRow) -> Value {
    let nobody = IdentityRow::default();
    let a = v.agent.as_ref().unwrap_or(&nobody);
    let text = |t: &Option<String>| Value::from(t.as_deref().unwrap_or_default());
    let map: HashMap<String, Value> = HashMap::from([
        ("kind".to_owned(), Value::from(a.kind.as_str())),
        ("operator".to_owned(), text(&a.operator)),
        ("function".to_owned(), text(&a.function)),
        ("party".to_owned(), text(&a.party)),
        ("verified".to_owned(), Value::from(a.verified == Some(true))),
        ("refuted".to_owned(), Value::from(a.verified == Some(false))),
    ]);
    Value::from(map)
}

fn count(n: u64) -> Value {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

fn list(items: &[String]) -> Value {
    Value::from(items.iter().map(String::as_str).collect::<Vec<&str>>())
}

/// Verdicts to try conditions on: one of no consequence and one of all.
pub(crate) fn samples() -> [VerdictRow; 2] {
    let none = sample();
    let class = Some("credential-stuffing".to_owned());
    let all = VerdictRow {
        intent: "malicious".into(),
        class,
        score: 99,
        automation: 99,
        requests: 1_000_000,
        ..sample()
    };
    [none, all]
}

/// A verdict of no consequence.
pub(crate) fn sample() -> VerdictRow {
    VerdictRow {
        id: String::new(),
        zone: "default".into(),
        subject: Subject { kind: SubjectKind::Ip, value: "192.0.2.1".into(), parts: Vec::new() },
        client_ip: None,
        client_ips: Vec::new(),
        intent: "benign".into(),
        class: None,
        oat: Vec::new(),
        score: 1,
        automation: 1,
        coverage: Default::default(),
        campaign: None,
        phase: "online".into(),
        first_seen: Default::default(),
        detected_at: Default::default(),
        last_seen: Default::default(),
        requests: 0,
        reasons: Vec::new(),
        response: "none".into(),
        ttl_s: 0,
        hosts: Vec::new(),
        origin: None,
        agent: None,
        policy: None,
        measures: None,
        prints: Vec::new(),
    }
}
