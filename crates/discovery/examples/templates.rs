//! Learns templates from exchanges written as lines of JSON and prints the inventory as lines of JSON.
//!
//! A line is `{"ts","client","host","method","path","status","request","response"}`, bodies as text.
//! With a directory as argument, the OpenAPI documents go there.

use std::io::{BufRead, Write};

use serde::Deserialize;
use sidetap_discovery::{Config, Context, Engine, Extractor, Side};
use sidetap_model::{
    Addr, AnomalySet, Body, Completeness, Exchange, FlowId, FlowKey, HashKey, Headers, Protocol, Request,
    Response, Ts, Version, Zone,
};
use sidetap_wire::body::{WalkLimits, WalkScratch, kind_of, walk};

#[derive(Deserialize)]
struct Line {
    ts: f64,
    client: std::net::IpAddr,
    host: String,
    method: String,
    path: String,
    status: u16,
    #[serde(default)]
    request: String,
    #[serde(default)]
    response: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut engine = Engine::new(Config::default(), HashKey::from_bytes([0; 16]));
    let mut snapshot = engine.snapshot();
    let mut extractor = Extractor::new();
    let mut scratch = WalkScratch::default();
    let zone = Zone::default();
    let mut epoch = 0;
    let mut spent = std::time::Duration::ZERO;
    for (n, line) in std::io::stdin().lock().lines().enumerate() {
        let line: Line = serde_json::from_str(&line?)?;
        let exchange = exchange(&line, n as u32);
        let started = std::time::Instant::now();
        if exchange.ts.secs() != epoch {
            epoch = exchange.ts.secs();
            engine.end_epoch(exchange.ts);
            snapshot = engine.snapshot();
        }
        let (path, query) = match line.path.split_once('?') {
            Some((p, q)) => (p, Some(q.as_bytes())),
            None => (line.path.as_str(), None),
        };
        let found = snapshot.find(zone.as_str(), &line.host, &line.method, path.as_bytes());
        let visit = found.visit(exchange.flow_id, exchange.seq);
        let json = Some(&b"application/json"[..]);
        for (side, body) in [(Side::Request, &line.request), (Side::Response, &line.response)] {
            let kind = kind_of(json, body.as_bytes());
            extractor.begin(side, visit, json, kind, body.as_bytes());
            walk(kind, json, body.as_bytes(), &WalkLimits::default(), &mut scratch, &mut extractor);
            extractor.end();
        }
        let observation = extractor.take(&Context {
            exchange: &exchange,
            zone: &zone,
            path: path.as_bytes(),
            query,
            endpoint: &found.endpoint,
            client: line.client,
            visit,
        });
        engine.ingest(&observation);
        spent += started.elapsed();
    }
    let started = std::time::Instant::now();
    engine.finish();
    if let Some(dir) = std::env::args().nth(1) {
        for (host, document) in engine.openapi() {
            std::fs::write(format!("{dir}/{host}.json"), serde_json::to_string_pretty(&document)?)?;
        }
    }
    let mut out = std::io::stdout().lock();
    for row in engine.rows(&[], &Default::default()) {
        writeln!(out, "{}", serde_json::to_string(&row)?)?;
    }
    writeln!(std::io::stderr(), "ingest {spent:?} finish {:?} {:?}", started.elapsed(), engine.evictions())?;
    Ok(())
}

fn exchange(line: &Line, n: u32) -> Exchange {
    let mut headers = Headers::default();
    headers.push(b"Host", line.host.as_bytes());
    headers.push(b"User-Agent", b"okhttp/4.12.0");
    headers.push(b"Authorization", b"Bearer t0123456789abcdef");
    let mut answered = Headers::default();
    answered.push(b"Content-Type", b"application/json");
    let body = |text: &str| Body { bytes: text.as_bytes().to_vec(), len: text.len() as u64, gap_at: None };
    let ts = Ts((line.ts * 1e9) as i64);
    Exchange {
        zone: Zone::default(),
        flow: FlowKey {
            zone: 0,
            client: Addr { ip: line.client, port: 40_000 },
            server: Addr { ip: [10, 77, 0, 2].into(), port: 80 },
        },
        flow_id: FlowId(u64::from(n)),
        seq: 0,
        ts,
        end: ts,
        response_ts: Some(ts),
        protocol: Protocol::Http1,
        request: Some(Request {
            method: line.method.as_bytes().to_vec(),
            target: line.path.as_bytes().to_vec(),
            version: Version(1, 1),
            headers,
            body: body(&line.request),
        }),
        response: Some(Response {
            status: line.status,
            version: Version(1, 1),
            headers: answered,
            body: body(&line.response),
        }),
        interim: 0,
        completeness: Completeness::WHOLE,
        gap_bytes: 0,
        anomalies: AnomalySet::default(),
        acknowledged: true,
        proxied_for: None,
        sent_in: None,
    }
}
