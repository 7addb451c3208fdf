//! How each kind of row is merged, filtered, found and compared.

use std::net::IpAddr;

use rusqlite::types::Value;
use sidetap_model::Ts;
use sidetap_model::rows::{CampaignRow, EndpointRow, FindingRow, Member, SensitiveRow, VerdictRow};

use crate::error::StoreError;
use crate::items::CampaignItem;
use crate::merge;
use crate::net;
use crate::now::{Changed, Found, Kept};
use crate::save::{count, json};
use crate::schema::Table;

/// Most indicators of a verdict, strongest first, by which it is found.
const MAX_INDICATORS: usize = 24;

impl Kept for EndpointRow {
    const TABLE: Table = Table::Endpoints;

    fn endpoint(&self) -> Option<&EndpointRow> {
        Some(self)
    }

    const COLUMNS: &'static [&'static str] = &[
        "zone",
        "host",
        "method",
        "template",
        "protocol",
        "standing",
        "exposure",
        "risk",
        "calls",
        "first_seen",
        "last_seen",
        "auth",
        "roles",
        "channels",
        "types",
        "aliases",
    ];

    fn key(&self) -> (String, Ts) {
        (self.id.to_string(), self.last_seen)
    }

    fn merge(rows: Vec<Self>) -> Vec<Self> {
        merge::endpoints(rows)
    }

    fn values(&self) -> Result<Vec<Value>, StoreError> {
        Ok(vec![
            text(&self.zone),
            text(&self.host),
            text(&self.method),
            text(&self.template),
            text(&self.protocol),
            text(&self.standing),
            text(&self.exposure),
            Value::Integer(i64::from(self.risk)),
            number(self.calls),
            time(self.first_seen),
            time(self.last_seen),
            set(self.auth.iter()),
            set(self.roles.iter()),
            set(self.channels.iter()),
            set(self.sensitive.iter().map(|s| &s.kind)),
            set(self.aliases.iter()),
        ])
    }

    fn found_by(&self) -> Found {
        let mut detail = vec![self.id.to_string(), self.protocol.clone(), self.standing.clone()];
        detail.extend(self.roles.iter().cloned());
        detail.extend(self.parameters.iter().map(|p| p.name.clone()));
        detail.extend(self.sensitive.iter().map(|s| s.kind.clone()));
        Found {
            id: self.id.to_string(),
            title: format!("{} {}{}", self.method, self.host, self.template),
            detail: detail.join(" "),
            host: self.host.clone(),
            since: self.first_seen,
        }
    }

    fn changes(&self, before: &Self) -> Vec<Changed> {
        let names = |row: &Self| {
            let mut all: Vec<_> =
                row.parameters.iter().map(|p| format!("{}:{}", p.location, p.name)).collect();
            all.sort();
            all.join(" ")
        };
        let kinds = |row: &Self| {
            let mut all: Vec<_> = row.sensitive.iter().map(|s| s.kind.as_str()).collect();
            all.sort_unstable();
            all.dedup();
            all.join(" ")
        };
        // A risk that wanders by a point or two is no news.
        let band =
            |risk: u8| if self.risk.abs_diff(before.risk) >= 10 { risk.to_string() } else { String::new() };
        [
            ("standing", before.standing.clone(), self.standing.clone()),
            ("exposure", before.exposure.clone(), self.exposure.clone()),
            ("auth", sorted(&before.auth), sorted(&self.auth)),
            ("roles", sorted(&before.roles), sorted(&self.roles)),
            ("sensitive", kinds(before), kinds(self)),
            ("parameters", names(before), names(self)),
            ("risk", band(before.risk), band(self.risk)),
        ]
        .into_iter()
        .filter_map(changed)
        .collect()
    }
}

impl Kept for SensitiveRow {
    const TABLE: Table = Table::Sensitive;
    const COLUMNS: &'static [&'static str] = &[
        "sid",
        "endpoint",
        "host",
        "method",
        "type",
        "class",
        "direction",
        "location",
        "confidence",
        "count",
        "first_seen",
    ];

    fn key(&self) -> (String, Ts) {
        (self.key(), self.first_seen)
    }

    fn merge(rows: Vec<Self>) -> Vec<Self> {
        merge::sensitive(rows)
    }

    fn values(&self) -> Result<Vec<Value>, StoreError> {
        Ok(vec![
            Value::Text(self.id()),
            text(&self.endpoint.id.to_string()),
            text(&self.endpoint.host),
            text(&self.endpoint.method),
            text(&self.kind),
            set(self.class.iter()),
            text(&self.direction),
            text(&self.location),
            Value::Real(self.confidence),
            number(self.count),
            time(self.first_seen),
        ])
    }

    fn found_by(&self) -> Found {
        let e = &self.endpoint;
        Found {
            id: self.id(),
            title: format!("{} in {} of {} {}{}", self.kind, self.location, e.method, e.host, e.template),
            detail: format!("{} {}", self.direction, self.class.join(" ")),
            host: e.host.clone(),
            since: self.first_seen,
        }
    }

    fn changes(&self, _: &Self) -> Vec<Changed> {
        Vec::new()
    }
}

impl Kept for FindingRow {
    const TABLE: Table = Table::Findings;
    const COLUMNS: &'static [&'static str] = &[
        "kind",
        "rule",
        "severity",
        "rank",
        "certainty",
        "owasp",
        "endpoint",
        "host",
        "ip",
        "title",
        "first_seen",
        "last_seen",
        "count",
    ];

    fn key(&self) -> (String, Ts) {
        (self.id.clone(), self.last_seen)
    }

    fn merge(rows: Vec<Self>) -> Vec<Self> {
        merge::findings(rows)
    }

    fn values(&self) -> Result<Vec<Value>, StoreError> {
        let about = |key: &str| text(self.subject.get(key).map_or("", String::as_str));
        Ok(vec![
            text(&self.kind),
            text(&self.rule),
            text(&self.severity),
            Value::Integer(rank(&self.severity)),
            text(&self.certainty),
            set(self.owasp.iter()),
            about("endpoint"),
            about("host"),
            about("ip"),
            text(&self.title),
            time(self.first_seen),
            time(self.last_seen),
            number(self.count),
        ])
    }

    fn found_by(&self) -> Found {
        let subject: Vec<&str> = self.subject.values().map(String::as_str).collect();
        Found {
            id: self.id.clone(),
            title: self.title.clone(),
            detail: format!("{} {} {} {}", self.rule, self.kind, self.owasp.join(" "), subject.join(" ")),
            host: self.subject.get("host").cloned().unwrap_or_default(),
            since: self.first_seen,
        }
    }

    fn changes(&self, before: &Self) -> Vec<Changed> {
        let severity = ("severity", before.severity.clone(), self.severity.clone());
        changed(severity).into_iter().collect()
    }
}

/// Whether a value of a signature is a fingerprint: `s2-b2fe75199f7ca125`.
fn is_print(value: &str) -> bool {
    let hash = value.split_once('-').map_or("", |(_, hash)| hash);
    value.len() <= 64 && hash.len() >= 12 && hash.bytes().all(|b| b.is_ascii_hexdigit())
}

impl Kept for CampaignRow {
    const TABLE: Table = Table::Campaigns;
    const COLUMNS: &'static [&'static str] = &[
        "class",
        "oat",
        "score",
        "phase",
        "first_seen",
        "detected_at",
        "last_seen",
        "requests",
        "members",
        "endpoints",
        "hosts",
        "brief",
    ];

    fn key(&self) -> (String, Ts) {
        (self.id.clone(), self.last_seen)
    }

    fn merge(rows: Vec<Self>) -> Vec<Self> {
        merge::campaigns(rows)
    }

    fn values(&self) -> Result<Vec<Value>, StoreError> {
        let hosts = self.endpoints.iter().filter_map(|e| host_of(e));
        Ok(vec![
            text(&self.class),
            set(self.oat.iter()),
            Value::Integer(i64::from(self.score)),
            text(&self.phase),
            time(self.first_seen),
            time(self.detected_at),
            time(self.last_seen),
            number(self.requests),
            number(self.members.len() as u64),
            set(self.endpoints.iter()),
            set(hosts),
            Value::Text(json(&CampaignItem::of(self), "campaigns")?),
        ])
    }

    fn found_by(&self) -> Found {
        let mut detail = vec![self.id.clone(), self.oat.join(" ")];
        detail.extend(self.endpoints.iter().take(10).cloned());
        detail.extend(self.signature.get("agent").cloned());
        // Fingerprints, by which the same tool is found again.
        detail.extend(self.signature.values().filter(|v| is_print(v)).take(20).cloned());
        let first = self.endpoints.first().map_or("", String::as_str);
        Found {
            id: self.id.clone(),
            title: format!("{} against {first}", self.class),
            detail: detail.join(" "),
            host: host_of(first).unwrap_or_default().to_owned(),
            since: self.first_seen,
        }
    }

    fn members(&self) -> Option<&[Member]> {
        Some(&self.members)
    }

    fn changes(&self, before: &Self) -> Vec<Changed> {
        let phase = ("phase", before.phase.clone(), self.phase.clone());
        changed(phase).into_iter().collect()
    }
}

impl Kept for VerdictRow {
    const TABLE: Table = Table::Verdicts;
    const COLUMNS: &'static [&'static str] = &[
        "zone",
        "kind",
        "subject",
        "intent",
        "class",
        "oat",
        "score",
        "automation",
        "campaign",
        "phase",
        "first_seen",
        "detected_at",
        "last_seen",
        "requests",
        "response",
        "policy",
        "country",
        "organization",
        "ips",
        "hosts",
        "indicators",
    ];

    fn key(&self) -> (String, Ts) {
        (self.id.clone(), self.last_seen.max(self.detected_at))
    }

    fn merge(rows: Vec<Self>) -> Vec<Self> {
        merge::verdicts(rows)
    }

    fn values(&self) -> Result<Vec<Value>, StoreError> {
        let optional = |t: &Option<String>| text(t.as_deref().unwrap_or_default());
        let origin = self.origin.as_ref();
        Ok(vec![
            text(&self.zone),
            text(self.subject.kind.name()),
            text(&self.subject.value),
            text(&self.intent),
            optional(&self.class),
            set(self.oat.iter()),
            Value::Integer(i64::from(self.score)),
            Value::Integer(i64::from(self.automation)),
            optional(&self.campaign),
            text(&self.phase),
            time(self.first_seen),
            time(self.detected_at),
            time(self.last_seen),
            number(self.requests),
            text(&self.response),
            optional(&self.policy),
            text(origin.and_then(|o| o.country.as_deref()).unwrap_or_default()),
            text(origin.and_then(|o| o.organization.as_deref()).unwrap_or_default()),
            set(self.addresses().iter()),
            set(self.hosts.iter()),
            set(self.reasons.iter().take(MAX_INDICATORS).map(|r| &r.indicator)),
        ])
    }

    fn found_by(&self) -> Found {
        let mut detail = vec![self.id.clone(), self.intent.clone()];
        detail.extend(self.addresses().iter().take(20).map(IpAddr::to_string));
        detail.extend(self.hosts.iter().take(3).cloned());
        detail.extend(self.origin.iter().filter_map(|o| o.organization.clone()));
        let class = self.class.as_deref().unwrap_or(&self.intent);
        Found {
            id: self.id.clone(),
            title: format!("{} {}: {class}", self.subject.kind, self.subject.value),
            detail: detail.join(" "),
            host: String::new(),
            since: self.first_seen,
        }
    }

    fn places(&self) -> Vec<String> {
        let mut places: Vec<String> = self.addresses().into_iter().map(net::place).collect();
        places.extend(self.hosts.iter().map(|h| net::host_place(&h.replace('|', " "))));
        places.sort_unstable();
        places.dedup();
        places
    }

    fn changes(&self, _: &Self) -> Vec<Changed> {
        Vec::new()
    }
}

/// Where a verdict's subject was seen.
pub(crate) trait Addresses {
    /// Its addresses, each once.
    fn addresses(&self) -> Vec<IpAddr>;
}

impl Addresses for VerdictRow {
    fn addresses(&self) -> Vec<IpAddr> {
        let mut all: Vec<IpAddr> =
            self.client_ip.into_iter().chain(self.client_ips.iter().copied()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// Severities in order.
pub(crate) fn rank(severity: &str) -> i64 {
    match severity {
        "critical" => 5,
        "high" => 4,
        "medium" => 3,
        "low" => 2,
        "info" => 1,
        _ => 0,
    }
}

/// The host of `METHOD host/template`.
pub(crate) fn host_of(endpoint: &str) -> Option<&str> {
    let (_, place) = endpoint.split_once(' ')?;
    place.split('/').next().filter(|h| !h.is_empty())
}

/// Several values in a column: `|a|b|`, so that one of them is found by `|a|`.
fn set<T: ToString>(values: impl Iterator<Item = T>) -> Value {
    let mut all = String::from("|");
    for value in values {
        all.push_str(&value.to_string().replace('|', " "));
        all.push('|');
    }
    Value::Text(all)
}

fn sorted(values: &[String]) -> String {
    let mut all: Vec<&str> = values.iter().map(String::as_str).collect();
    all.sort_unstable();
    all.join(" ")
}

fn changed((what, before, after): (&'static str, String, String)) -> Option<Changed> {
    (before != after).then_some(Changed { what, before, after })
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn number(n: u64) -> Value {
    Value::Integer(count(n))
}

fn time(t: Ts) -> Value {
    Value::Integer(t.0)
}
