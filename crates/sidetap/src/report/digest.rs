//! What both reports draw from the rows: orders, sums and shares.

use std::collections::BTreeMap;

use sidetap_model::Ts;
use sidetap_model::rows::{CampaignRow, EndpointRow, FindingRow, Member, RunData, SensitiveRow, VerdictRow};
use sidetap_store::harm;

use super::words::count;

/// A host with its endpoints summed up.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostSum<'a> {
    pub(crate) host: &'a str,
    pub(crate) endpoints: u64,
    pub(crate) calls: u64,
    pub(crate) risk: u8,
}

/// Hosts, most called first.
pub(crate) fn hosts(run: &RunData) -> Vec<HostSum<'_>> {
    let mut sums: BTreeMap<&str, HostSum<'_>> = BTreeMap::new();
    for e in &run.endpoints {
        let sum = sums.entry(&e.host).or_insert(HostSum { host: &e.host, ..HostSum::default() });
        sum.endpoints += 1;
        sum.calls += e.calls;
        sum.risk = sum.risk.max(e.risk);
    }
    let mut hosts: Vec<_> = sums.into_values().collect();
    hosts.sort_by(|a, b| b.calls.cmp(&a.calls).then(a.host.cmp(b.host)));
    hosts
}

/// Endpoints, riskiest first; assets and pages after APIs of the same risk.
pub(crate) fn by_risk(run: &RunData) -> Vec<&EndpointRow> {
    let mut rows: Vec<_> = run.endpoints.iter().collect();
    rows.sort_by(|a, b| {
        let key =
            |e: &EndpointRow| (std::cmp::Reverse(e.risk), is_static(e), std::cmp::Reverse(e.calls), e.id);
        key(a).cmp(&key(b))
    });
    rows
}

fn is_static(e: &EndpointRow) -> bool {
    matches!(e.protocol.as_str(), "asset" | "page")
}

/// Endpoints of a standing.
pub(crate) fn of_standing(run: &RunData, standing: &str) -> u64 {
    run.endpoints.iter().filter(|e| e.standing == standing).count() as u64
}

/// Endpoints that answered, and that nobody authenticates to.
pub(crate) fn open_endpoints(run: &RunData) -> u64 {
    let open = |e: &&EndpointRow| !is_static(e) && e.auth.iter().all(|a| a == "none");
    run.endpoints.iter().filter(open).count() as u64
}

/// Sensitive rows: what leaks first (answers and addresses), then what is merely sent; secrets and many before few.
pub(crate) fn by_leak(run: &RunData) -> Vec<&SensitiveRow> {
    let mut rows: Vec<_> = run.sensitive.iter().collect();
    rows.sort_by(|a, b| {
        let key = |s: &SensitiveRow| (std::cmp::Reverse(leak_rank(s)), std::cmp::Reverse(s.count));
        key(a)
            .cmp(&key(b))
            .then_with(|| (&a.endpoint, &a.location, &a.kind).cmp(&(&b.endpoint, &b.location, &b.kind)))
    });
    rows
}

/// True where a value goes out, or stands where logs and histories keep it.
pub(crate) fn leaks(s: &SensitiveRow) -> bool {
    let in_address = s.location.starts_with("query:") || s.location.starts_with("path:");
    s.direction == "response" || in_address
}

fn leak_rank(s: &SensitiveRow) -> u8 {
    let grave = s.class.iter().any(|c| matches!(c.as_str(), "PCI" | "PHI" | "SECRET"));
    u8::from(leaks(s)) * 2 + u8::from(grave)
}

/// Sensitive values by class: (class, in answers or addresses, elsewhere), most first.
pub(crate) fn by_class(run: &RunData) -> Vec<(&str, u64, u64)> {
    let mut sums: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for s in &run.sensitive {
        let classes = if s.class.is_empty() {
            vec![s.kind.as_str()]
        } else {
            s.class.iter().map(String::as_str).collect()
        };
        for class in classes {
            let sum = sums.entry(class).or_default();
            *(if leaks(s) { &mut sum.0 } else { &mut sum.1 }) += s.count;
        }
    }
    let mut rows: Vec<_> = sums.into_iter().map(|(c, (a, b))| (c, a, b)).collect();
    rows.sort_by_key(|r| std::cmp::Reverse(r.1 + r.2));
    rows
}

/// Campaigns, most harmful first.
pub(crate) fn campaigns(run: &RunData) -> Vec<&CampaignRow> {
    let mut rows: Vec<_> = run.campaigns.iter().collect();
    let key = |c: &CampaignRow| harm(c.score, &c.outcome, c.requests, c.members.len() as u64);
    rows.sort_by(|a, b| key(b).cmp(&key(a)).then_with(|| b.id.cmp(&a.id)));
    rows
}

/// Verdicts, most harmful first.
pub(crate) fn verdicts(run: &RunData) -> Vec<&VerdictRow> {
    let mut rows: Vec<_> = run.verdicts.iter().collect();
    rows.sort_by(|a, b| {
        let key = |v: &VerdictRow| {
            (intent_rank(&v.intent), std::cmp::Reverse(v.score), std::cmp::Reverse(v.requests))
        };
        key(a).cmp(&key(b)).then_with(|| a.id.cmp(&b.id))
    });
    rows
}

fn intent_rank(intent: &str) -> u8 {
    match intent {
        "malicious" => 0,
        "suspicious" => 1,
        "automated" => 2,
        _ => 3,
    }
}

/// Findings, gravest first.
pub(crate) fn findings(run: &RunData) -> Vec<&FindingRow> {
    let mut rows: Vec<_> = run.findings.iter().collect();
    rows.sort_by(|a, b| {
        let key = |f: &FindingRow| {
            (severity_rank(&f.severity), u8::from(f.certainty != "observed"), std::cmp::Reverse(f.count))
        };
        key(a).cmp(&key(b)).then_with(|| a.id.cmp(&b.id))
    });
    rows
}

/// What a finding is about, in words: an endpoint's name rather than its id.
pub(crate) fn place(f: &FindingRow) -> String {
    let part = |key: &str| f.subject.get(key).map_or("", String::as_str);
    match (part("method"), part("host"), part("template")) {
        ("", "", "") => f
            .subject
            .iter()
            .filter(|(k, _)| *k != "zone")
            .map(|(_, v)| v.as_str())
            .collect::<Vec<_>>()
            .join(" "),
        (method, host, template) => format!("{method} {host}{template}").trim_start().to_owned(),
    }
}

/// 0 is the gravest.
pub(crate) fn severity_rank(severity: &str) -> u8 {
    match severity {
        "critical" => 0,
        "high" => 1,
        "medium" => 2,
        "low" => 3,
        _ => 4,
    }
}

/// `1,000 addresses, 3 sessions`.
pub(crate) fn members(members: &[Member]) -> String {
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for m in members {
        *kinds.entry(m.kind.name()).or_default() += 1;
    }
    kind_counts(kinds.into_iter())
}

/// Kinds of subjects with their numbers, in words, most first.
pub(crate) fn kind_counts<'a>(kinds: impl Iterator<Item = (&'a str, u64)>) -> String {
    let mut kinds: Vec<_> = kinds.filter(|k| k.1 > 0).collect();
    kinds.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let words: Vec<String> =
        kinds.into_iter().map(|(kind, n)| format!("{} {}", count(n), kind_word(kind, n))).collect();
    words.join(", ")
}

fn kind_word(kind: &str, n: u64) -> &str {
    match (kind, n) {
        ("ip", 1) => "address",
        ("ip", _) => "addresses",
        ("cidr", 1) => "network",
        ("cidr", _) => "networks",
        ("session", 1) => "session",
        ("session", _) => "sessions",
        ("account", 1) => "account",
        ("account", _) => "accounts",
        ("api-key", 1) => "API key",
        ("api-key", _) => "API keys",
        ("fingerprint", 1) => "fingerprint",
        ("fingerprint", _) => "fingerprints",
        ("compound", 1) => "combination",
        ("compound", _) => "combinations",
        (other, _) => other,
    }
}

/// Verdicts by response, then by kind of subject; responses that do something, strongest first.
pub(crate) fn responses(run: &RunData) -> Vec<(&str, BTreeMap<&str, u64>)> {
    let mut sums: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    for v in &run.verdicts {
        *sums.entry(&v.response).or_default().entry(v.subject.kind.name()).or_default() += 1;
    }
    let mut rows: Vec<_> = sums.into_iter().filter(|(r, _)| *r != "none" && !r.is_empty()).collect();
    rows.sort_by_key(|(r, _)| {
        ["block", "deceive", "geo-fence", "rate-limit", "tag", "alert"]
            .iter()
            .position(|x| x == r)
            .unwrap_or(9)
    });
    rows
}

/// Verdicts of an intent.
pub(crate) fn of_intent(run: &RunData, intent: &str) -> u64 {
    run.verdicts.iter().filter(|v| v.intent == intent).count() as u64
}

/// First and last packet time of all inputs.
pub(crate) fn period(run: &RunData) -> Option<(Ts, Ts)> {
    let inputs = &run.summary.inputs;
    let first = inputs.iter().filter_map(|i| i.first_ts).min()?;
    Some((first, inputs.iter().filter_map(|i| i.last_ts).max().unwrap_or(first)))
}

/// `reason 12, other 3`: the first `most`, largest first.
pub(crate) fn tally(counts: &BTreeMap<String, u64>, most: usize) -> String {
    let mut rows: Vec<_> = counts.iter().filter(|(_, n)| **n > 0).collect();
    rows.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let mut words: Vec<String> = rows.iter().take(most).map(|(k, n)| format!("{k} {}", count(**n))).collect();
    if rows.len() > most {
        words.push(format!("{} more", rows.len() - most));
    }
    words.join(", ")
}
