//! Risks that passive evidence supports (OWASP API Security Top 10, 2023), and the score of an endpoint.

use std::collections::BTreeMap;

use sidetap_model::rows::{EndpointRow, FindingRow, SensitiveRow};
use sidetap_model::{EndpointId, EndpointRef, Ts};
use sidetap_wire::body::hash_str;

use crate::data::Data;
use crate::endpoint::{Endpoint, ExchangeId};
use crate::engine::Engine;
use crate::host::Host;
use crate::observe::{Protocol, Signs};
use crate::rules::{self, BY_SIGN, Rule, Scope};
use crate::shows::is_non_production;
use crate::standing::Versions;

/// Most findings of one run.
const MAX_FINDINGS: usize = 5000;

/// What a finding says was seen.
struct Seen {
    text: String,
    evidence: Vec<String>,
    first: Ts,
    last: Ts,
    count: u64,
}

/// An endpoint with all that names it.
#[derive(Clone, Copy)]
struct At<'a> {
    host: &'a Host,
    e: &'a Endpoint,
    name: &'a EndpointRef,
}

impl Engine {
    /// What is risky, the most severe first; `sensitive` is what data was found where.
    pub fn risks(&self, sensitive: &[SensitiveRow]) -> Vec<FindingRow> {
        let mut by_endpoint: BTreeMap<EndpointId, Vec<&SensitiveRow>> = BTreeMap::new();
        for row in sensitive {
            by_endpoint.entry(row.endpoint.id).or_default().push(row);
        }
        let versions = Versions::of(&self.hosts);
        let mut out = Vec::new();
        for host in &self.hosts {
            host_rules(host, &mut out);
            let neighbours = neighbours(host);
            for (e, name) in live(host) {
                let at = At { host, e, name };
                let data = by_endpoint.get(&e.id).map_or(&[][..], Vec::as_slice);
                sign_rules(at, &mut out);
                data_rules(at, data, &mut out);
                shape_rules(at, &neighbours, &mut out);
                if versions.is_superseded(host, name, e.calls) {
                    out.push(
                        at.finding(&rules::OLD_VERSION, at.calls("a newer version is called more often")),
                    );
                }
                self.conformance(at, &mut out);
            }
        }
        out.sort_by(|a, b| (severity(b), &a.rule, &a.id).cmp(&(severity(a), &b.rule, &b.id)));
        out.truncate(MAX_FINDINGS);
        out
    }

    fn conformance(&self, at: At<'_>, out: &mut Vec<FindingRow>) {
        if self.specs_of(at.host).next().is_none() {
            return;
        }
        let mut add = |rule: &Rule, seen: Seen| {
            let mut f = at.finding(rule, seen);
            f.kind = "conformance".to_owned();
            out.push(f);
        };
        match self.described(at.host, at.name) {
            None if !matches!(at.e.protocol(), Protocol::Page | Protocol::Asset) => {
                add(&rules::SHADOW, at.calls("no description has this method and path"));
            }
            None => {}
            Some(op) => {
                if op.secured && at.e.open_successes > 0 {
                    add(&rules::SECURITY_UNMET, at.open("succeeded without credentials"));
                }
                if op.deprecated {
                    add(&rules::DEPRECATED_OPERATION, at.calls("marked as deprecated"));
                }
            }
        }
    }
}

const SEVERITIES: [&str; 5] = ["info", "low", "medium", "high", "critical"];

fn live(host: &Host) -> impl Iterator<Item = (&Endpoint, &EndpointRef)> {
    let named =
        host.endpoints.iter().zip(&host.names).filter_map(|(e, n)| Some((&**e.as_ref()?, n.as_ref()?)));
    named.filter(|(e, _)| e.calls > 0)
}

fn sign_rules(at: At<'_>, out: &mut Vec<FindingRow>) {
    for (sign, scope, rule) in &BY_SIGN {
        if *scope != Scope::Endpoint || at.e.is_guessed(*sign) {
            continue;
        }
        for bit in sign.bits() {
            let Some(stat) = at.e.signs.get(&(bit as u8)) else { continue };
            out.push(at.finding(
                rule,
                Seen {
                    text: format!("Seen in {} of {} calls.", stat.count, at.e.calls),
                    evidence: ids(&stat.evidence),
                    first: stat.first,
                    last: stat.last,
                    count: stat.count,
                },
            ));
        }
    }
}

fn host_rules(host: &Host, out: &mut Vec<FindingRow>) {
    for (sign, scope, rule) in &BY_SIGN {
        if *scope != Scope::Host {
            continue;
        }
        for bit in sign.bits() {
            let mut stats: Vec<_> = live(host)
                .filter_map(|(e, n)| e.signs.get(&(bit as u8)).map(|s| (s.first, n.id, s)))
                .collect();
            stats.sort_by_key(|s| (s.0, s.1));
            let (Some(first), Some(last)) = (stats.first(), stats.iter().map(|s| s.2.last).max()) else {
                continue;
            };
            let count = stats.iter().map(|s| s.2.count).sum();
            let text = format!("Seen in {count} exchanges of {} endpoints.", stats.len());
            let evidence = ids(&first.2.evidence);
            out.push(host_finding(host, rule, Seen { text, evidence, first: first.0, last, count }));
        }
    }
    non_production(host, out);
}

fn non_production(host: &Host, out: &mut Vec<FindingRow>) {
    let public: Vec<_> = live(host).filter(|(e, _)| e.public).collect();
    let (Some(first), Some(last)) =
        (public.iter().map(|p| p.0.first).min(), public.iter().map(|p| p.0.last).max())
    else {
        return;
    };
    if !is_non_production(&host.name) {
        return;
    }
    let count = public.iter().map(|p| p.0.calls).sum();
    let evidence =
        public.iter().min_by_key(|p| (p.0.first, p.1.id)).map(|p| ids(&p.0.evidence)).unwrap_or_default();
    let text = format!("{} endpoints were called from public addresses.", public.len());
    out.push(host_finding(host, &rules::NON_PRODUCTION, Seen { text, evidence, first, last, count }));
}

fn data_rules(at: At<'_>, data: &[&SensitiveRow], out: &mut Vec<FindingRow>) {
    let secret = |r: &&&SensitiveRow| Data::of(r).is_secret();
    let answers: Vec<&&SensitiveRow> =
        data.iter().filter(|r| r.direction == "response" && Data::of(r).is_sure()).collect();
    let login = is_login(at.name) || is_enrolment(at.name);
    let open = |r: &&SensitiveRow| at.e.secured_successes == 0 || at.e.answers_openly(&r.location);
    let meant = |r: &&SensitiveRow| login && (Data::of(r).is_secret() || at.e.protocol() == Protocol::Page);
    let weighty: Vec<&&SensitiveRow> =
        answers.iter().copied().filter(|r| Data::of(r).is_weighty() && open(r) && !meant(r)).collect();
    if at.e.open_successes > 0 && !weighty.is_empty() {
        let text =
            format!("{} of {} successes came without credentials", at.e.open_successes, at.e.successes());
        let mut seen = at.data(&weighty, &text);
        seen.evidence.extend(ids(&at.e.open_evidence));
        seen.evidence.truncate(5);
        let certain = at.e.secured_successes == 0;
        let mut f = at.finding(&rules::OPEN_SENSITIVE, seen);
        if !certain {
            f.certainty = "suspected".to_owned();
        }
        out.push(f);
    }
    let secrets: Vec<&&SensitiveRow> = answers.iter().copied().filter(secret).collect();
    if !secrets.is_empty() && !login {
        out.push(at.finding(&rules::SECRET_IN_RESPONSE, at.data(&secrets, "answers hold secrets")));
    }
    let urls: Vec<&&SensitiveRow> =
        data.iter().filter(|r| Data::of(r).is_in_url() && Data::of(r).hurts()).collect();
    if !urls.is_empty() {
        out.push(at.finding(&rules::SENSITIVE_IN_URL, at.data(&urls, "the URL holds it")));
    }
}

fn shape_rules(at: At<'_>, neighbours: &BTreeMap<String, (u32, u32)>, out: &mut Vec<FindingRow>) {
    let e = at.e;
    let api = !matches!(e.protocol(), Protocol::Page | Protocol::Asset);
    let write = matches!(&*at.name.method, "POST" | "PUT" | "PATCH" | "DELETE");
    let login = is_login(at.name);
    if api && e.open_successes >= 3 && e.secured_successes == 0 && !login && !is_for_anyone(at.name) {
        let (secured, all) = neighbours.get(&family(&at.name.template)).copied().unwrap_or_default();
        if secured >= 4 && secured * 5 >= all * 4 {
            out.push(at.finding(
                &rules::AUTH_MISSING,
                at.open(&format!("{secured} of {all} neighbours always have credentials")),
            ));
        }
    }
    if api && write && !login && !is_for_anyone(at.name) && e.open_successes >= 3 && e.secured_successes >= 3
    {
        out.push(
            at.finding(&rules::AUTH_OPTIONAL, at.open(&format!("{} with credentials", e.secured_successes))),
        );
    }
    let failures = e.answered(400, 403) + e.answered(422, 422);
    if login && write && failures >= 20 && !e.has(Signs::RATE_LIMITED) {
        out.push(at.finding(&rules::NO_RATE_LIMIT, at.calls(&format!("{failures} failures, no limit seen"))));
    }
    let path = at.name.template.to_ascii_lowercase();
    if e.successes() > 0 && e.protocol() != Protocol::Page && EXPOSED.iter().any(|x| path.contains(x)) {
        out.push(at.finding(&rules::DEFAULT_FILE, at.calls("answered with success")));
    }
    if e.successes() > 0 && DOCS.iter().any(|x| path.ends_with(x)) {
        out.push(at.finding(&rules::DOCS_EXPOSED, at.calls("answered with success")));
    }
}

/// True of what hands out credentials besides a log-in: sign-up, another factor, renewal.
fn is_enrolment(name: &EndpointRef) -> bool {
    const WORDS: [&str; 13] = [
        "signup",
        "sign-up",
        "sign_up",
        "register",
        "registration",
        "activate",
        "refresh",
        "renew",
        "2fa",
        "mfa",
        "oauth",
        "oauth2",
        "exchange",
    ];
    let path = name.template.to_ascii_lowercase();
    &*name.method == "POST" && path.split('/').rev().take(2).any(|s| WORDS.contains(&s))
}

fn is_login(name: &EndpointRef) -> bool {
    const WORDS: [&str; 12] = [
        "login",
        "signin",
        "sign-in",
        "sign_in",
        "authenticate",
        "token",
        "session",
        "sessions",
        "auth",
        "logon",
        "otp",
        "verify",
    ];
    let path = name.template.to_ascii_lowercase();
    path.split('/').rev().take(2).any(|s| WORDS.contains(&s))
}

/// True of what people without an account use on purpose: sign-up, password reset, measurements, health.
fn is_for_anyone(name: &EndpointRef) -> bool {
    const WORDS: [&str; 30] = [
        "signup",
        "sign-up",
        "sign_up",
        "register",
        "registration",
        "reset",
        "password-reset",
        "forgot-password",
        "forgot",
        "events",
        "event",
        "track",
        "collect",
        "analytics",
        "metrics",
        "beacon",
        "health",
        "healthz",
        "ping",
        "status",
        "config",
        "contact",
        "version",
        "versions",
        "capabilities",
        "jwks",
        "jwks.json",
        "livez",
        "readyz",
        "ready",
    ];
    let path = name.template.to_ascii_lowercase();
    path.split('/').rev().take(2).any(|s| WORDS.contains(&s)) || path.contains("/.well-known/")
}

/// Endpoints are neighbours where their first two literals agree.
fn family(template: &str) -> String {
    template.split('/').filter(|s| !s.is_empty() && !s.contains('{')).take(2).collect::<Vec<_>>().join("/")
}

/// By family: endpoints that only ever succeeded with credentials, and all.
fn neighbours(host: &Host) -> BTreeMap<String, (u32, u32)> {
    let mut out: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for (e, name) in live(host)
        .filter(|(e, _)| e.successes() > 0 && !matches!(e.protocol(), Protocol::Page | Protocol::Asset))
    {
        let entry = out.entry(family(&name.template)).or_default();
        entry.1 += 1;
        entry.0 += u32::from(e.open_successes == 0);
    }
    out
}

impl At<'_> {
    fn finding(&self, rule: &Rule, seen: Seen) -> FindingRow {
        let n = self.name;
        let subject = BTreeMap::from([
            ("endpoint".to_owned(), n.id.to_string()),
            ("host".to_owned(), n.host.to_string()),
            ("method".to_owned(), n.method.to_string()),
            ("template".to_owned(), n.template.to_string()),
            ("zone".to_owned(), self.host.zone.to_string()),
        ]);
        let title = format!("{}: {} {}{}", rule.title, n.method, n.host, n.template);
        finding(rule, &n.id.to_string(), title, subject, seen)
    }

    fn calls(&self, what: &str) -> Seen {
        let e = self.e;
        let text = format!("{} calls: {what}.", e.calls);
        Seen { text, evidence: ids(&e.evidence), first: e.first, last: e.last, count: e.calls }
    }

    fn open(&self, what: &str) -> Seen {
        let e = self.e;
        let text = format!("{} successes without credentials: {what}.", e.open_successes);
        Seen { text, evidence: ids(&e.open_evidence), first: e.first, last: e.last, count: e.open_successes }
    }

    fn data(&self, rows: &[&&SensitiveRow], what: &str) -> Seen {
        let mut kinds: Vec<String> = rows.iter().map(|r| format!("{} at {}", r.kind, r.location)).collect();
        kinds.sort();
        kinds.dedup();
        let more = kinds.len().saturating_sub(6);
        kinds.truncate(6);
        let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
        let mut evidence: Vec<String> = rows.iter().map(|r| r.evidence.clone()).collect();
        evidence.dedup();
        evidence.truncate(3);
        Seen {
            text: format!("Found {}{tail}; {what}.", kinds.join(", ")),
            evidence,
            first: rows.iter().map(|r| r.first_seen).min().unwrap_or(self.e.first),
            last: self.e.last,
            count: rows.iter().map(|r| r.count).sum(),
        }
    }
}

fn host_finding(host: &Host, rule: &Rule, seen: Seen) -> FindingRow {
    let subject = BTreeMap::from([
        ("host".to_owned(), host.name.to_string()),
        ("zone".to_owned(), host.zone.to_string()),
    ]);
    finding(
        rule,
        &format!("{}/{}", host.zone, host.name),
        format!("{}: {}", rule.title, host.name),
        subject,
        seen,
    )
}

fn finding(
    rule: &Rule,
    about: &str,
    title: String,
    subject: BTreeMap<String, String>,
    seen: Seen,
) -> FindingRow {
    FindingRow {
        id: format!("{:016x}", hash_str(&format!("{} {about}", rule.id))),
        kind: "risk".to_owned(),
        rule: rule.id.to_owned(),
        severity: rule.severity.to_owned(),
        certainty: rule.certainty.to_owned(),
        owasp: rule.owasp.iter().map(|o| (*o).to_owned()).collect(),
        subject,
        title,
        detail: format!("{} {}", seen.text, rule.advice),
        evidence: seen.evidence,
        first_seen: seen.first,
        last_seen: seen.last,
        count: seen.count,
    }
}

fn ids(list: &[ExchangeId]) -> Vec<String> {
    list.iter().map(|(flow, seq)| format!("{flow}-{seq}")).collect()
}

/// The risk of an endpoint, 0 to 100, with its terms.
pub(crate) fn score(
    e: &Endpoint,
    name: &EndpointRef,
    standing: &str,
    sensitive: &[&SensitiveRow],
) -> (u8, Vec<String>) {
    let mut terms: Vec<(u32, String)> = Vec::new();
    // A browser asks what it may do before it shows who it is (Fetch Standard, CORS-preflight fetch).
    let open = !matches!(e.protocol(), Protocol::Page | Protocol::Asset) && &*name.method != "OPTIONS";
    let page = matches!(e.protocol(), Protocol::Page | Protocol::Asset);
    let weighty = sensitive.iter().filter(|r| Data::of(r).hurts());
    let mut kinds: Vec<&str> = weighty.clone().map(|r| r.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let answered = weighty.clone().any(|r| r.direction == "response");
    if !kinds.is_empty() {
        let points = (10 + 5 * kinds.len() as u32).min(30);
        terms.push((points, format!("sensitive data: {}", kinds.join(", "))));
    }
    if e.open_successes > 0 && open {
        let points = if answered { 30 } else { 8 };
        terms.push((points, "answers without credentials".to_owned()));
    }
    if e.public {
        terms.push((8, "called from public addresses".to_owned()));
    }
    match standing {
        "shadow" => terms.push((15, "in no description".to_owned())),
        "deprecated" => terms.push((10, "deprecated".to_owned())),
        _ => {}
    }
    if !page && matches!(&*name.method, "POST" | "PUT" | "PATCH" | "DELETE") {
        terms.push((4, "writes".to_owned()));
    }
    for (sign, scope, rule) in &BY_SIGN {
        let own = *scope == Scope::Endpoint || *sign == Signs::BASIC;
        if own && e.has(*sign) && *sign != Signs::DEPRECATED {
            let points = match rule.severity {
                "critical" => 40,
                "high" => 20,
                "medium" => 12,
                _ => 4,
            };
            terms.push((points, rule.title.to_ascii_lowercase()));
        }
    }
    let total = terms.iter().map(|(n, _)| n).sum::<u32>().min(100);
    (total as u8, terms.into_iter().map(|(n, t)| format!("+{n} {t}")).collect())
}

/// Adds to the risk of endpoints what was proven there: attacks whose answers show that they worked.
///
/// The gravest counts in full, so that one critical one makes the endpoint critical; each further one adds a little.
pub fn add_exploits(rows: &mut [EndpointRow], findings: &[FindingRow]) {
    let mut proven: BTreeMap<&str, Vec<&FindingRow>> = BTreeMap::new();
    for f in findings.iter().filter(|f| f.kind == "exploit" && f.certainty == "observed") {
        if let Some(endpoint) = f.subject.get("endpoint") {
            proven.entry(endpoint).or_default().push(f);
        }
    }
    if proven.is_empty() {
        return;
    }
    for row in rows {
        let Some(found) = proven.get_mut(row.id.to_string().as_str()) else { continue };
        found.sort_by_key(|f| (std::cmp::Reverse(severity(f)), &f.rule));
        for (at, f) in found.iter().enumerate() {
            let points = if at == 0 { PROVEN.get(severity(f)).copied().unwrap_or(0) } else { FURTHER };
            let what = f.title.split(": ").next().unwrap_or(&f.rule);
            row.risk = row.risk.saturating_add(points).min(100);
            row.risk_terms.insert(at, format!("+{points} proven by answers: {what}"));
        }
    }
}

/// Points of what was proven, by severity, and of each further proof.
const PROVEN: [u8; 5] = [5, 10, 30, 60, 80];
const FURTHER: u8 = 5;

fn severity(f: &FindingRow) -> usize {
    SEVERITIES.iter().position(|s| *s == f.severity).unwrap_or(0)
}

const EXPOSED: [&str; 16] = [
    "/.env",
    "/.git/",
    "/actuator/env",
    "/actuator/heapdump",
    "/phpinfo",
    "/server-status",
    "/debug/pprof",
    "/wp-config",
    "/.aws/",
    "/.htpasswd",
    "/web.config",
    "/config.json.bak",
    "/backup.",
    "/dump.sql",
    "/telescope/requests",
    "/trace.axd",
];
const DOCS: [&str; 10] = [
    "/openapi.json",
    "/openapi.yaml",
    "/swagger.json",
    "/swagger.yaml",
    "/v2/api-docs",
    "/v3/api-docs",
    "/swagger-ui.html",
    "/api-docs",
    "/swagger",
    "/graphiql",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::is_of_place;

    #[test]
    fn places_that_people_go_to_have_public_addresses() {
        for at in ["$.events[*].venue.address", "$.stores[*].address.street", "$.Hotel.address"] {
            assert!(is_of_place(at), "{at}");
        }
        for at in ["$.customer.address", "$.user.location_address", "$.shipping.address"] {
            assert!(!is_of_place(at), "{at}");
        }
    }

    #[test]
    fn an_endpoint_where_an_attack_was_proven_is_critical() {
        let row: EndpointRow = serde_json::from_value(serde_json::json!({
            "id": EndpointId(7), "zone": "default", "host": "shop.test", "method": "GET", "template": "/find",
            "protocol": "page", "calls": 9, "first_seen": Ts::default(), "last_seen": Ts::default(),
            "status_codes": {}, "auth": [], "exposure": "public", "standing": "unknown", "roles": [],
            "channels": [], "callers": {"count": 1, "countries": {}, "organizations": {}}, "sensitive": [],
            "risk": 8, "risk_terms": ["+8 called from public addresses"], "parameters": [],
        }))
        .unwrap();
        let found = |severity: &str, certainty: &str| {
            let subject = BTreeMap::from([("endpoint".to_owned(), EndpointId(7).to_string())]);
            let seen = Seen {
                text: String::new(),
                evidence: Vec::new(),
                first: Ts::default(),
                last: Ts::default(),
                count: 1,
            };
            FindingRow {
                kind: "exploit".to_owned(),
                severity: severity.to_owned(),
                certainty: certainty.to_owned(),
                ..finding(
                    &rules::SHADOW,
                    "x",
                    "SQL injection (UNION): GET shop.test/find".to_owned(),
                    subject,
                    seen,
                )
            }
        };
        let risk = |findings: &[FindingRow]| {
            let mut rows = [row.clone()];
            add_exploits(&mut rows, findings);
            let [row] = rows;
            (row.risk, row.risk_terms.first().cloned().unwrap_or_default())
        };
        let proven = "+80 proven by answers: SQL injection (UNION)".to_owned();
        assert_eq!(risk(&[found("critical", "observed")]), (88, proven));
        assert_eq!(risk(&[found("critical", "suspected")]).0, 8);
        assert_eq!(risk(&[found("low", "observed"), found("critical", "observed")]).0, 93);
        assert_eq!(risk(&[found("high", "observed")]).0, 68);
    }

    #[test]
    fn what_everybody_may_ask_and_what_hands_out_tokens_is_known_by_name() {
        let name = |method: &str, template: &str| EndpointRef::new(EndpointId(1), "h", method, template);
        for open in ["/_matrix/client/versions", "/a/.well-known/openid-configuration", "/api/health"] {
            assert!(is_for_anyone(&name("GET", open)), "{open}");
        }
        assert!(!is_for_anyone(&name("GET", "/api/orders")));
        assert!(
            is_enrolment(&name("POST", "/client/v3/register")) && !is_enrolment(&name("GET", "/register"))
        );
    }
}
