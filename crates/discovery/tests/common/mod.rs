//! Observations made by hand.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::net::IpAddr;

use sidetap_discovery::{BodyFacts, Channel, Config, Engine, Observation, Protocol, Signs};
use sidetap_model::rows::EndpointRow;
use sidetap_model::{FlowId, HashKey, Ts, Zone};
use sidetap_wire::body::hash_str;

pub struct Feed {
    pub engine: Engine,
    pub n: u64,
    pub client: IpAddr,
    step: i64,
}

impl Feed {
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    pub fn with(config: Config) -> Self {
        let engine = Engine::new(config, HashKey::from_bytes([1; 16]));
        Feed { engine, n: 0, client: IpAddr::from([10, 0, 0, 9]), step: 10_000_000 }
    }

    pub fn make(&mut self, method: &str, path: &str, status: u16) -> Observation {
        self.n += 1;
        let ts = Ts(1_767_225_600_000_000_000 + self.n as i64 * self.step);
        let zone = Zone::default();
        let path = path.split('?').next().unwrap_or(path);
        let e = self.engine.snapshot().lookup(zone.as_str(), "api.example.com", method, path.as_bytes());
        Observation {
            ts,
            flow_id: FlowId(self.n),
            seq: 0,
            zone,
            path: path.as_bytes().into(),
            endpoint: e,
            client: self.client,
            status: Some(status),
            auth: 4,
            protocol: Protocol::Rest,
            channel: Channel::Api,
            signs: Signs::default(),
            query: Default::default(),
            operation: None,
            echo: 0,
            own_id: false,
            ids: Default::default(),
            request: BodyFacts::default(),
            response: BodyFacts::default(),
            response_bytes: 0,
        }
    }

    pub fn send(&mut self, method: &str, path: &str, status: u16) {
        let o = self.make(method, path, status);
        self.give(&o);
    }

    /// A response that is one object of `fields`, with the last segment as its id.
    pub fn item(&mut self, method: &str, path: &str, fields: &[&str]) {
        let mut o = self.make(method, path, 200);
        let last = path.trim_start_matches('/').split('/').count() - 1;
        o.echo = 1 << last;
        o.own_id = true;
        o.ids.push(hash_str(path.rsplit('/').next().unwrap_or(path)));
        o.response.keys = keys(fields);
        self.give(&o);
    }

    /// A response of `fields` that names no id.
    pub fn view(&mut self, method: &str, path: &str, fields: &[&str]) {
        let mut o = self.make(method, path, 200);
        o.response.keys = keys(fields);
        self.give(&o);
    }

    pub fn give(&mut self, o: &Observation) {
        self.engine.ingest(o);
        if self.n.is_multiple_of(100) {
            self.engine.end_epoch(o.ts);
        }
    }

    pub fn rows(&mut self) -> Vec<EndpointRow> {
        self.engine.finish();
        self.engine.rows(&[], &BTreeMap::new())
    }

    /// `METHOD template` of each row, parameter names as `{}`.
    pub fn templates(&mut self) -> Vec<String> {
        self.rows().iter().map(|r| format!("{} {}", r.method, bare(&r.template))).collect()
    }
}

pub fn keys(fields: &[&str]) -> u128 {
    fields.iter().fold(0, |m, f| m | 1 << (hash_str(f) % 128))
}

pub fn bare(template: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in template.chars() {
        match c {
            '{' => {
                inside = true;
                out.push(c);
            }
            '}' => {
                inside = false;
                out.push(c);
            }
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out
}
