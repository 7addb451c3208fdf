//! A run as it could have been, hostile strings included, for tests of what is written.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use sidetap_model::rows::*;
use sidetap_model::{EndpointId, SubjectKind, Ts};

/// Strings that attackers would like to see in a report.
pub(crate) const HOSTILE: &[&str] = &[
    "/a<script>alert(1)</script>",
    "/b\"onmouseover=\"x",
    "/c\u{1b}[2J\u{1b}]0;owned\u{7}",
    "/d\u{202e}gpj.exe",
    "/e\r\nSet-Cookie: x",
    "/f';</style><img src=http://evil.example/x onerror=alert(1)>",
];

const START: i64 = 1_795_214_400;

fn at(seconds: i64) -> Ts {
    Ts::from_parts(START + seconds, 250_000_000)
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

fn counts<V: Copy>(list: &[(&str, V)]) -> BTreeMap<String, V> {
    list.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect()
}

fn texts(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// The run.
pub(crate) fn run() -> RunData {
    let mut run = RunData {
        summary: summary(),
        endpoints: endpoints(),
        sensitive: Vec::new(),
        findings: Vec::new(),
        campaigns: campaigns(),
        verdicts: verdicts(),
        traffic: traffic(),
    };
    run.sensitive = sensitive(&run.endpoints);
    run.findings = findings();
    run.summary.counts = Counts {
        endpoints: run.endpoints.len() as u64,
        sensitive: run.sensitive.len() as u64,
        findings: run.findings.len() as u64,
        campaigns: run.campaigns.len() as u64,
        verdicts: run.verdicts.len() as u64,
    };
    run
}

fn summary() -> Summary {
    Summary {
        version: "0.1.0".into(),
        inputs: vec![InputSummary {
            path: "captures/edge.pcap.zst".into(),
            packets: 412_345,
            bytes: 388_412_345,
            first_ts: Some(at(0)),
            last_ts: Some(at(1200)),
            error: Some("cut short: the last packet has 12 of 74 bytes".into()),
            clock_offset_us: 0,
            reopened: 0,
        }],
        packets: PacketCounts {
            total: 412_345,
            decoded: 412_300,
            dropped: counts(&[("not-ip", 30), ("truncated-header", 15)]),
            kernel_dropped: 0,
            noted: BTreeMap::new(),
        },
        streams: StreamCounts {
            bytes: 301_000_000,
            delivered: 300_500_000,
            discarded: counts(&[("retransmitted", 400_000), ("outside-window", 100_000)]),
            gap_bytes: 120_000,
            flows: counts(&[("http", 9_120), ("tls", 700), ("unknown", 12)]),
            bytes_by_protocol: counts(&[("http", 260_000_000), ("tls", 41_000_000)]),
            ..StreamCounts::default()
        },
        exchanges: ExchangeCounts {
            total: 61_234,
            complete: 61_000,
            incomplete: 234,
            incomplete_reasons: counts(&[("no-response", 200), ("gap", 60)]),
            by_protocol: counts(&[("http/1.1", 61_200), ("http/1.0", 34)]),
            later_hops: 0,
        },
        anomalies: counts(&[("duplicate-content-length", 3), ("obs-fold", 1)]),
        counts: Counts::default(),
        evictions: BTreeMap::new(),
        clock: BTreeMap::new(),
        attributions: Vec::new(),
        workers: 2,
        wall_ms: 2_345,
        peak_rss_bytes: 200 << 20,
        not_written: Vec::new(),
    }
}

fn endpoints() -> Vec<EndpointRow> {
    let known = [
        ("shop.example", "POST", "/login", 12_400, 62, "documented", "login"),
        ("shop.example", "GET", "/products/{id}", 31_000, 12, "documented", ""),
        ("shop.example", "GET", "/api/v1/users/{id}", 2_300, 91, "shadow", ""),
        ("shop.example", "POST", "/cart/{id}/checkout", 800, 48, "documented", "checkout"),
        ("api.shop.example:8443", "GET", "/v1/orders/{id}", 7_700, 77, "deprecated", ""),
        ("api.shop.example:8443", "POST", "/graphql", 4_200, 35, "documented", ""),
        ("legacy.shop.example", "GET", "/export.php", 12, 84, "orphan", ""),
    ];
    let mut rows: Vec<EndpointRow> =
        known.iter().map(|k| endpoint(k.0, k.1, k.2, k.3, k.4, k.5, k.6)).collect();
    rows.extend(HOSTILE.iter().map(|path| endpoint("evil\u{1b}.example", "GET", path, 1, 5, "unknown", "")));
    rows
}

fn endpoint(
    host: &str,
    method: &str,
    template: &str,
    calls: u64,
    risk: u8,
    standing: &str,
    role: &str,
) -> EndpointRow {
    EndpointRow {
        id: EndpointId::of("default", host, method, template),
        zone: "default".into(),
        host: host.into(),
        method: method.into(),
        template: template.into(),
        protocol: if template.contains("graphql") { "graphql" } else { "rest" }.into(),
        calls,
        first_seen: at(1),
        last_seen: at(1190),
        status_codes: counts(&[("200", calls - calls / 10), ("401", calls / 10)]),
        auth: words(if risk > 80 { &["none"] } else { &["cookie", "jwt"] }),
        exposure: "public".into(),
        standing: standing.into(),
        roles: if role.is_empty() { Vec::new() } else { words(&[role]) },
        channels: words(&["web"]),
        callers: Callers { count: calls / 9 + 1, ..Callers::default() },
        sensitive: Vec::new(),
        risk,
        risk_terms: words(if risk > 80 {
            &["no authentication", "sensitive data in responses"]
        } else {
            &[]
        }),
        parameters: vec![Parameter {
            name: "id".into(),
            location: "path".into(),
            kind: "integer".into(),
            format: None,
            required: true,
        }],
        merged_by: Vec::new(),
        aliases: Vec::new(),
    }
}

fn sensitive(endpoints: &[EndpointRow]) -> Vec<SensitiveRow> {
    let rows = [
        (2, "response", "$.ssn", "us-ssn", &["PII"][..], "***-**-6789", 2_300),
        (2, "response", "$.cards[*].number", "credit-card", &["PCI"][..], "453201******0366", 1_100),
        (4, "request", "query:email", "email", &["PII", "GDPR"][..], "a***@e***.com", 410),
        (0, "request", "$.password", "password", &["SECRET"][..], "********", 12_400),
        (6, "response", "$.k<b>", "aws-access-key", &["SECRET"][..], "AKIA****************", 3),
    ];
    rows.iter()
        .map(|(e, direction, location, kind, class, masked, count)| {
            let e = &endpoints[*e];
            SensitiveRow {
                endpoint: EndpointKey {
                    id: e.id,
                    host: e.host.clone(),
                    method: e.method.clone(),
                    template: e.template.clone(),
                },
                direction: (*direction).into(),
                location: (*location).into(),
                kind: (*kind).into(),
                alternatives: Vec::new(),
                class: words(class),
                confidence: 0.97,
                count: *count,
                masked: (*masked).into(),
                first_seen: at(12),
                evidence: "000000000000002a-3".into(),
            }
        })
        .collect()
}

fn findings() -> Vec<FindingRow> {
    let finding =
        |id: &str, kind: &str, rule: &str, severity: &str, certainty: &str, title: &str| FindingRow {
            id: id.into(),
            kind: kind.into(),
            rule: rule.into(),
            severity: severity.into(),
            certainty: certainty.into(),
            owasp: words(&["API2:2023"]),
            subject: texts(&[
                ("endpoint", "00112233aabbccdd"),
                ("host", "shop.example"),
                ("method", "GET"),
                ("template", "/api/v1/users/{id}"),
            ]),
            title: title.into(),
            detail: "Seen 2,300 times from 41 callers.".into(),
            evidence: words(&["000000000000002a-3"]),
            first_seen: at(12),
            last_seen: at(1100),
            count: 2_300,
        };
    vec![
        finding(
            "f1",
            "risk",
            "no-auth-sensitive",
            "critical",
            "observed",
            "Card numbers answered without authentication",
        ),
        finding("f2", "exploit", "sqli-union", "high", "observed", "SQL injection answered with rows"),
        finding(
            "f3",
            "exploit",
            "path-traversal",
            "medium",
            "suspected",
            "Path traversal attempts <b>tried</b>",
        ),
        finding("f4", "conformance", "shadow", "low", "observed", "Endpoint is not documented"),
    ]
}

fn campaigns() -> Vec<CampaignRow> {
    let campaign =
        |id: &str, class: &str, oat: &str, score, from: i64, to: i64, members: usize| CampaignRow {
            id: id.into(),
            class: class.into(),
            oat: words(&[oat]),
            score,
            phase: "online".into(),
            first_seen: at(from),
            detected_at: at(from + 12),
            last_seen: at(to),
            requests: members as u64 * 2,
            endpoints: words(&["POST shop.example/login"]),
            members: (0..members)
                .map(|i| Member {
                    kind: SubjectKind::Ip,
                    value: format!("203.0.{}.{}", i / 250, i % 250 + 1),
                    first_seen: at(from + i as i64 % 60),
                    requests: 2,
                })
                .collect(),
            signature: texts(&[
                ("user-agent", "python-requests/2.31\u{1b}[31m"),
                ("target", "POST shop.example/login"),
            ]),
            outcome: counts(&[("logins-succeeded", 12), ("accounts-tried", 1_988)]),
            reasons: vec![
                reason("login-failure-ratio", 3.2, "99.4 % of 2,000 logins failed", "8 %"),
                reason(
                    "shared-header-order",
                    2.1,
                    "1,000 addresses send headers in one order",
                    "3 addresses",
                ),
                reason("one-shot-addresses", 1.4, "2 requests an address", "37"),
                reason("tool-agent", 0.9, "agent is <python-requests>", "browsers"),
            ],
            networks: Default::default(),
            countries: Default::default(),
            timeline: (from..to).step_by(20).map(|s| (at(s), 20 + (s * 7919 % 41) as u64)).collect(),
        };
    vec![
        campaign("c1", "credential-stuffing", "OAT-008", 97, 240, 900, 1_000),
        campaign("c2", "id-enumeration", "OAT-015", 88, 500, 760, 3),
        campaign("c3", "price-scraping", "OAT-011", 64, 60, 1180, 14),
    ]
}

fn reason(indicator: &str, weight: f64, observed: &str, baseline: &str) -> Reason {
    Reason {
        indicator: indicator.into(),
        weight,
        observed: observed.into(),
        baseline: baseline.into(),
        evidence: words(&["000000000000002a-3"]).into(),
    }
}

fn verdicts() -> Vec<VerdictRow> {
    let mut rows: Vec<VerdictRow> = (0..250u8)
        .map(|i| verdict(&format!("v{i}"), SubjectKind::Ip, &format!("203.0.0.{i}"), "malicious", "block"))
        .collect();
    rows.push(verdict("s1", SubjectKind::Session, "abc123…#0011223344556677", "malicious", "block"));
    rows.push(verdict("s2", SubjectKind::Fingerprint, "h1:<svg/onload=x>", "suspicious", "alert"));
    rows.push(verdict("s3", SubjectKind::Ip, "198.51.100.9", "automated", "tag"));
    rows
}

fn verdict(id: &str, kind: SubjectKind, value: &str, intent: &str, response: &str) -> VerdictRow {
    let ip = value.parse::<IpAddr>().unwrap_or(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)));
    VerdictRow {
        id: id.into(),
        zone: "default".into(),
        subject: Subject { kind, value: value.into(), parts: Vec::new() },
        client_ip: Some(ip),
        client_ips: vec![ip],
        intent: intent.into(),
        class: (intent == "malicious").then(|| "credential-stuffing".into()),
        oat: words(&["OAT-008"]),
        score: if intent == "malicious" { 97 } else { 40 },
        automation: 92,
        coverage: texts(&[("tools", "12/14"), ("behaviour", "20/21")]).into(),
        campaign: (intent == "malicious").then(|| "c1".into()),
        phase: "online".into(),
        first_seen: at(240),
        detected_at: at(252),
        last_seen: at(900),
        requests: 2,
        reasons: vec![reason("login-failure-ratio", 3.2, "99.4 % of 2,000 logins failed", "8 %")],
        response: response.into(),
        ttl_s: 3600,
        hosts: words(&["shop.example"]),
        origin: None,
        agent: None,
        policy: Some("block-malicious".into()),
        measures: None,
        prints: Vec::new(),
    }
}

fn traffic() -> Vec<TrafficPoint> {
    (0..60i64)
        .map(|i| TrafficPoint {
            ts: at(i * 20),
            benign: 600 + (i * 7919 % 190) as u64,
            automated: 120 + (i * 104_729 % 60) as u64,
            suspicious: (i % 9) as u64 * 3,
            malicious: if (12..45).contains(&i) { 180 + (i * 31 % 90) as u64 } else { 0 },
        })
        .collect()
}
