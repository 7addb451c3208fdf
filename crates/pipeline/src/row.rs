use std::borrow::Cow;

use serde::Serialize;
use sidetap_model::{ClientAddr, Exchange, FlowId, Ts};
use sidetap_wire::target::{self, Target};

use crate::community::community_id;

/// What of an exchange is shown otherwise than as it was sent, or comes from elsewhere.
pub(crate) struct Shown<'a> {
    /// The request-target, sensitive values masked.
    pub(crate) target: Option<&'a [u8]>,
    /// The agent string, likewise.
    pub(crate) agent: Option<&'a [u8]>,
    /// The host.
    pub(crate) host: Option<&'a str>,
    /// Who acts.
    pub(crate) actors: Option<&'a sidetap_bots::Actors>,
}

/// A line of `exchanges.ndjson` but for the endpoint's id, which ends it (see [`crate::spool`]).
pub(crate) fn line(ex: &Exchange, client: &ClientAddr, shown: &Shown<'_>) -> Vec<u8> {
    let ip = client.ip.to_string();
    let row = Row::of(ex, client, shown, &ip);
    let mut out = Vec::with_capacity(900);
    if serde_json::to_writer(&mut out, &row).is_err() {
        out.clear();
    }
    // The last field of the last object is the endpoint: cut `null}}` off so that its value can follow.
    out.truncate(out.len().saturating_sub(b"null}}".len()));
    out
}

/// Names in a line the exchange that it is a later hop of.
pub(crate) fn set_hop_of(line: &mut Vec<u8>, (flow, seq): (FlowId, u32)) {
    const NONE: &[u8] = b"null,\"endpoint\":";
    if line.ends_with(NONE) {
        line.truncate(line.len() - NONE.len());
        line.extend_from_slice(format!("\"{flow}-{seq}\",\"endpoint\":").as_bytes());
    }
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: Ts,
    event: Event,
    network: Network,
    source: End,
    client: Client,
    server: End,
    http: Http<'a>,
    url: Option<Url<'a>>,
    user_agent: Option<Agent<'a>>,
    tls: Option<()>,
    sidetap: Own<'a>,
}

#[derive(Serialize)]
struct Event {
    /// Nanoseconds, as ECS has it.
    duration: i64,
}

#[derive(Serialize)]
struct Network {
    protocol: &'static str,
    community_id: String,
}

#[derive(Serialize)]
struct End {
    ip: std::net::IpAddr,
    port: u16,
}

#[derive(Serialize)]
struct Client {
    ip: std::net::IpAddr,
    port: Option<u16>,
    ip_source: &'static str,
}

#[derive(Serialize)]
struct Http<'a> {
    version: Option<String>,
    request: RequestPart<'a>,
    response: ResponsePart,
}

#[derive(Serialize)]
struct RequestPart<'a> {
    method: Option<Cow<'a, str>>,
    body: Bytes,
}

#[derive(Serialize)]
struct ResponsePart {
    status_code: Option<u16>,
    body: Bytes,
}

#[derive(Serialize)]
struct Bytes {
    bytes: u64,
}

#[derive(Serialize)]
struct Url<'a> {
    original: Cow<'a, str>,
    scheme: Option<Cow<'a, str>>,
    domain: Option<&'a str>,
    path: Option<Cow<'a, str>>,
    query: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct Agent<'a> {
    original: Cow<'a, str>,
}

#[derive(Serialize)]
struct Own<'a> {
    id: String,
    zone: &'a str,
    actor: Actor<'a>,
    completeness: Vec<&'static str>,
    gap_bytes: u64,
    anomalies: Vec<&'static str>,
    hop_of: Option<()>,
    endpoint: Option<()>,
}

#[derive(Serialize)]
struct Actor<'a> {
    ip: &'a str,
    session: &'a [String],
    account: Option<&'a str>,
    #[serde(rename = "api-key")]
    api_key: Option<&'a str>,
    fingerprint: &'a [String],
}

impl<'a> Row<'a> {
    fn of(ex: &'a Exchange, client: &ClientAddr, shown: &Shown<'a>, ip: &'a str) -> Self {
        let request = ex.request.as_ref();
        let version = request.map(|r| r.version).or_else(|| ex.response.as_ref().map(|r| r.version));
        Row {
            timestamp: ex.ts,
            event: Event { duration: ex.end.since(ex.ts).max(0) },
            network: Network { protocol: ex.protocol.name(), community_id: community_id(&ex.flow) },
            source: End { ip: ex.flow.client.ip, port: ex.flow.client.port },
            client: Client { ip: client.ip, port: client.port, ip_source: client.source.name() },
            server: End { ip: ex.flow.server.ip, port: ex.flow.server.port },
            http: Http {
                version: version.map(|v| format!("{}.{}", v.0, v.1)),
                request: RequestPart {
                    method: request.map(|r| target::lossy_utf8_percent(&r.method)),
                    body: Bytes { bytes: request.map_or(0, |r| r.body.len) },
                },
                response: ResponsePart {
                    status_code: ex.response.as_ref().map(|r| r.status),
                    body: Bytes { bytes: ex.response.as_ref().map_or(0, |r| r.body.len) },
                },
            },
            url: request.zip(shown.target).map(|(r, t)| Url::of(target::split(&r.method, t), t, shown.host)),
            user_agent: shown.agent.map(|v| Agent { original: target::lossy_utf8_percent(v) }),
            tls: None,
            sidetap: Own {
                id: format!("{}-{}", ex.flow_id, ex.seq),
                zone: ex.zone.as_str(),
                actor: match shown.actors {
                    Some(a) => Actor {
                        ip: &a.ip,
                        session: &a.session,
                        account: a.account.as_deref(),
                        api_key: a.api_key.as_deref(),
                        fingerprint: &a.fingerprint,
                    },
                    None => Actor { ip, session: &[], account: None, api_key: None, fingerprint: &[] },
                },
                completeness: ex.completeness.names().collect(),
                gap_bytes: ex.gap_bytes,
                anomalies: ex.anomalies.iter().map(|a| a.code()).collect(),
                hop_of: None,
                endpoint: None,
            },
        }
    }
}

impl<'a> Url<'a> {
    fn of(split: Target<'a>, original: &'a [u8], host: Option<&'a str>) -> Self {
        let text = |b: Option<&'a [u8]>| b.map(target::lossy_utf8_percent);
        Url {
            original: target::lossy_utf8_percent(original),
            scheme: text(split.scheme),
            domain: host,
            path: text(split.path),
            query: text(split.query),
        }
    }
}
