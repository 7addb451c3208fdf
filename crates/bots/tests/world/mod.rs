//! A small made-up site with honest callers: people in browsers, an app, a partner; and room for attackers.

pub mod again;
pub mod scenes;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use sidetap_bots::{Agents, Config, Engine, Extractor, Observation, Part};
use sidetap_model::{
    Addr, Anomaly, AnomalySet, Body, ClientAddr, Completeness, EndpointId, EndpointRef, Exchange, FlowId,
    FlowKey, HashKey, Headers, IpSource, Protocol, Request, Response, Ts, Version, Zone,
};
use sidetap_wire::body::{self, WalkLimits, WalkScratch};

pub const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Safari/537.36";
pub const APP: &str = "MyShop/3.1 (com.my.shop; build:9; iOS 18.1) Alamofire/5.9";

/// One request to make.
#[derive(Clone, Debug)]
pub struct Call {
    pub ip: IpAddr,
    pub method: &'static str,
    pub template: &'static str,
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    pub status: u16,
    pub kind: &'static str,
    pub answer: String,
    pub attack: Option<&'static str>,
    pub shared: bool,
    /// A public source that looks like a proxy and says that it speaks for `ip`.
    pub via: Option<IpAddr>,
    pub host: &'static str,
    pub version: (u8, u8),
    pub answer_headers: Vec<(&'static str, String)>,
    pub anomalies: Vec<Anomaly>,
    pub size: u64,
    pub wait_ms: i64,
    /// Position on the connection.
    pub seq: u32,
    /// What the body asks for by name.
    pub operation: Option<&'static str>,
}

pub struct World {
    pub observations: Vec<Observation>,
    extractor: Extractor,
    key: HashKey,
    walk: WalkScratch,
    flows: u64,
}

pub fn ip(a: u8, b: u8, c: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, a, b, c))
}

pub fn call(ip: IpAddr, method: &'static str, template: &'static str) -> Call {
    Call {
        ip,
        method,
        template,
        path: template.into(),
        headers: Vec::new(),
        body: String::new(),
        status: 200,
        kind: if template.ends_with(".js") { "text/javascript" } else { "application/json" },
        answer: "{\"ok\":true}".into(),
        attack: None,
        shared: false,
        via: None,
        host: "shop.test",
        version: (1, 1),
        answer_headers: Vec::new(),
        anomalies: Vec::new(),
        size: 0,
        wait_ms: 4,
        seq: 0,
        operation: None,
    }
}

impl Call {
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        if status >= 400 {
            self.answer = "{\"message\":\"no\"}".into();
        }
        self
    }
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
    /// Puts a field in place of those of its name; without a value it takes them away.
    pub fn set(mut self, name: &'static str, value: Option<&str>) -> Self {
        let at = self.headers.iter().position(|(n, _)| n.eq_ignore_ascii_case(name));
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        if let Some(value) = value {
            self.headers.insert(at.unwrap_or(self.headers.len()), (name, value.into()));
        }
        self
    }
    pub fn answers(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.answer_headers.push((name, value.into()));
        self
    }
    pub fn asks(mut self, operation: &'static str) -> Self {
        self.operation = Some(operation);
        self
    }
    pub fn html(mut self) -> Self {
        self.kind = "text/html";
        self.answer = "<html></html>".into();
        self
    }
    pub fn attack(mut self, class: &'static str) -> Self {
        self.attack = Some(class);
        self
    }
    /// The head of a real Chrome.
    pub fn chrome(self) -> Self {
        let post = self.method == "POST";
        let mut c = self
            .header("Host", "shop.test")
            .header("Connection", "keep-alive")
            .header("sec-ch-ua", "\"Google Chrome\";v=\"154\", \"Chromium\";v=\"154\"")
            .header("sec-ch-ua-mobile", "?0")
            .header("sec-ch-ua-platform", "\"Windows\"")
            .header("User-Agent", CHROME)
            .header("Accept", "*/*");
        if post {
            c = c.header("Content-Type", "application/json").header("Origin", "https://shop.test");
        }
        c.header("Sec-Fetch-Site", "same-origin")
            .header("Sec-Fetch-Mode", "cors")
            .header("Sec-Fetch-Dest", "empty")
            .header("Referer", "https://shop.test/")
            .header("Accept-Encoding", "gzip, deflate, br, zstd")
            .header("Accept-Language", "en-US,en;q=0.9")
    }
    /// The head of the site's own app.
    pub fn app(self) -> Self {
        let post = self.method == "POST";
        let mut c = self.header("Host", "shop.test");
        if post {
            c = c.header("Content-Type", "application/json");
        }
        c.header("Connection", "keep-alive")
            .header("Accept", "*/*")
            .header("X-App-Version", "3.1")
            .header("User-Agent", APP)
            .header("Accept-Language", "en-US")
            .header("Accept-Encoding", "gzip, deflate, br")
    }
    /// A library's head under its own name.
    pub fn java(self) -> Self {
        self.header("Host", "shop.test")
            .header("User-Agent", "Java/17.0.9")
            .header("Accept", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2")
            .header("Connection", "keep-alive")
    }
    /// The head that python-requests writes, under a browser's name.
    pub fn script(self) -> Self {
        let post = self.method == "POST";
        let mut c = self
            .header("Host", "shop.test")
            .header("User-Agent", CHROME)
            .header("Accept-Encoding", "gzip, deflate")
            .header("Accept", "*/*")
            .header("Connection", "keep-alive");
        if post {
            c = c.header("Content-Type", "application/json");
        }
        c
    }
}

impl World {
    pub fn new() -> Self {
        World::keyed([5; 16])
    }

    /// A site with this key to hash by.
    pub fn keyed(key: [u8; 16]) -> Self {
        let key = HashKey::from_bytes(key);
        let agents = Arc::new(Agents::builtin().unwrap());
        World {
            observations: Vec::new(),
            extractor: Extractor::new(key.clone(), agents),
            key,
            walk: WalkScratch::default(),
            flows: 0,
        }
    }

    /// Makes a call at `ms` milliseconds after the start.
    pub fn at(&mut self, ms: i64, c: &Call) {
        self.flows += 1;
        let ts = Ts(1_700_000_000_000_000_000 + ms * 1_000_000);
        let mut headers = Headers::default();
        for (name, value) in &c.headers {
            headers.push(name.as_bytes(), value.as_bytes());
        }
        let mut answer = Headers::default();
        answer.push(b"Content-Type", c.kind.as_bytes());
        for (name, value) in &c.answer_headers {
            answer.push(name.as_bytes(), value.as_bytes());
        }
        let mut anomalies = AnomalySet::default();
        c.anomalies.iter().for_each(|a| anomalies.insert(*a));
        let bytes = |s: &str| Body { bytes: s.as_bytes().to_vec(), len: s.len() as u64, gap_at: None };
        let client = Addr { ip: c.via.unwrap_or(c.ip), port: 4000 };
        let server = Addr { ip: ip(255, 0, 1), port: 80 };
        let exchange = Exchange {
            zone: Zone::default(),
            flow: FlowKey { zone: 0, client, server },
            flow_id: FlowId(self.flows),
            seq: c.seq,
            ts,
            end: ts.plus((c.wait_ms + 1) * 1_000_000),
            response_ts: Some(ts.plus(c.wait_ms * 1_000_000)),
            protocol: Protocol::Http1,
            request: Some(Request {
                method: c.method.into(),
                target: c.path.clone().into_bytes(),
                version: Version(c.version.0, c.version.1),
                headers,
                body: bytes(&c.body),
            }),
            response: Some(Response {
                status: c.status,
                version: Version(1, 1),
                headers: answer,
                body: Body { len: c.size.max(c.answer.len() as u64), ..bytes(&c.answer) },
            }),
            interim: 0,
            completeness: Completeness::WHOLE,
            gap_bytes: 0,
            anomalies,
            acknowledged: true,
            proxied_for: None,
            sent_in: None,
        };
        self.look(&exchange, c);
    }

    fn look(&mut self, exchange: &Exchange, c: &Call) {
        let x = &mut self.extractor;
        x.begin();
        if let Some(class) = c.attack {
            x.attempt(class);
        }
        let limits = WalkLimits::default();
        let form = c.headers.iter().any(|(_, value)| value == "application/x-www-form-urlencoded");
        let declared: &[u8] = match c.body.as_bytes().first() {
            Some(b'<') => b"text/xml",
            _ if form => b"application/x-www-form-urlencoded",
            _ => b"application/json",
        };
        let kind = body::kind_of(Some(declared), c.body.as_bytes());
        x.request_body(c.body.as_bytes());
        body::walk(kind, None, c.body.as_bytes(), &limits, &mut self.walk, x);
        let kind = body::kind_of(Some(c.kind.as_bytes()), c.answer.as_bytes());
        x.response_body(c.answer.as_bytes());
        body::walk(kind, None, c.answer.as_bytes(), &limits, &mut self.walk, x);
        x.operation(c.operation.map(Into::into));
        let endpoint = EndpointRef::new(
            EndpointId::of("default", c.host, c.method, c.template),
            c.host,
            c.method,
            c.template,
        );
        let client = ClientAddr {
            ip: c.ip,
            port: Some(4000),
            source: IpSource::Connection,
            shared: c.shared,
            claimed: c.via.is_some(),
        };
        self.observations.extend(x.finish(exchange, client, endpoint, Part::Whole));
    }

    /// Thirty people and thirty phones who use the site as it is meant, some of them clumsily.
    pub fn honest(&mut self) {
        for n in 0..30u8 {
            self.person(n);
            self.phone(n);
        }
    }

    fn person(&mut self, n: u8) {
        let who = ip(1, 0, n);
        let t = i64::from(n) * 9_000;
        self.at(t, &call(who, "GET", "/").chrome().html());
        for (i, asset) in ["/app.js", "/main.css", "/logo.png", "/vendor.js"].into_iter().enumerate() {
            self.at(t + 100 + i as i64 * 30, &call(who, "GET", asset).chrome());
        }
        if n.is_multiple_of(5) {
            for i in 0..3 {
                let wrong = format!("{{\"username\":\"person{n}\",\"password\":\"oops{i}\"}}");
                self.at(
                    t + 6_000 + i * 4_000,
                    &call(who, "POST", "/api/login").chrome().body(wrong).status(401),
                );
            }
        }
        let good = format!("{{\"username\":\"person{n}\",\"password\":\"right{n}\"}}");
        self.at(t + 20_000, &call(who, "POST", "/api/login").chrome().body(good));
        let session = format!("Bearer 0123456789abcdef0123{n:04}");
        for i in 0..3u32 {
            let item = 1000 + u32::from(n) * 37 + i * 11;
            let path = format!("/items/{item}");
            self.at(
                t + 26_000 + i64::from(i) * 7_000,
                &call(who, "GET", "/items/{item}").path(path).chrome().html(),
            );
            let path = format!("/api/stock?sku={item}&zip=9{n:03}{i}");
            self.at(t + 27_000 + i64::from(i) * 7_000, &call(who, "GET", "/api/stock").path(path).chrome());
        }
        let own = call(who, "GET", "/api/orders/{order}")
            .path(format!("/api/orders/{}", 70_000 + u32::from(n) * 13));
        self.at(t + 50_000, &own.chrome().header("Authorization", session.clone()));
        let cart = call(who, "POST", "/api/cart").chrome().body(format!("{{\"sku\":\"{n}\"}}"));
        self.at(t + 55_000, &cart.header("Authorization", session.clone()));
        let code = call(who, "GET", "/api/giftcards/{code}").path(format!("/api/giftcards/GC{n}7")).chrome();
        self.at(t + 58_000, &code);
        if n.is_multiple_of(3) {
            let buy = call(who, "POST", "/api/checkout").chrome().body("{\"cart\":1}");
            self.at(t + 60_000, &buy.header("Authorization", session));
        }
    }

    fn phone(&mut self, n: u8) {
        let who = ip(2, 0, n);
        let t = i64::from(n) * 8_500;
        for (i, path) in ["/api/config", "/api/home", "/api/feed"].into_iter().enumerate() {
            self.at(t + i as i64 * 700, &call(who, "GET", path).app());
        }
        let good = format!("{{\"username\":\"phone{n}\",\"password\":\"right{n}\"}}");
        self.at(t + 9_000, &call(who, "POST", "/api/login").app().body(good));
        let session = format!("Bearer fedcba9876543210fedc{n:04}");
        for i in 0..2u32 {
            let balance = call(who, "GET", "/api/accounts").app().header("Authorization", session.clone());
            self.at(t + 15_000 + i64::from(i) * 5_000, &balance);
        }
        if n.is_multiple_of(3) {
            let pay = call(who, "POST", "/api/transfer").app().header("Authorization", session.clone());
            self.at(t + 40_000, &pay.body(format!("{{\"to\":\"friend{n}\",\"amount\":10}}")));
        }
        let join = call(who, "GET", "/api/meetings/{id}")
            .path(format!("/api/meetings/{}", 90_001 + u32::from(n) * 991));
        self.at(t + 45_000, &join.app());
    }

    /// Judges all that happened: epoch by epoch, then once more.
    pub fn judge(self) -> Engine {
        self.judge_with(Config::builtin().unwrap())
    }

    pub fn judge_with(self, config: Config) -> Engine {
        self.judge_each(config, |_| ())
    }

    /// The same, and `each` is shown the engine after each epoch.
    pub fn judge_each(mut self, config: Config, mut each: impl FnMut(&mut Engine)) -> Engine {
        self.observations.sort_by_key(|o| (o.ts, o.flow_id, o.seq));
        let mut engine = Engine::new(config, self.key);
        let mut epoch: Vec<Observation> = Vec::new();
        let mut second = None;
        for o in self.observations {
            if second.is_some_and(|s| s != o.ts.secs()) {
                engine.epoch(o.ts, std::mem::take(&mut epoch), &[]);
                each(&mut engine);
            }
            second = Some(o.ts.secs());
            epoch.push(o);
        }
        let last = epoch.last().map_or(Ts::default(), |o| o.ts);
        engine.epoch(last, epoch, &[]);
        each(&mut engine);
        engine.finish(&[]);
        each(&mut engine);
        engine
    }
}

/// Addresses that were convicted, with their classes.
pub fn convicted(engine: &Engine) -> Vec<(IpAddr, String)> {
    let malicious = |v: &sidetap_model::rows::VerdictRow| v.intent == "malicious";
    let rows = engine.verdicts();
    let named = rows.iter().filter(|v| malicious(v));
    named.flat_map(|v| v.client_ips.iter().map(|i| (*i, v.class.clone().unwrap_or_default()))).collect()
}

/// Asserts that attackers (10.66.0.0/16) were convicted of `class`, at least `least` of them, and nobody else of anything.
pub fn expect(engine: &Engine, class: &str, least: usize) {
    let found = convicted(engine);
    let honest: Vec<_> = found.iter().filter(|(i, _)| !is_attacker(*i)).collect();
    assert!(honest.is_empty(), "honest clients convicted: {honest:?}");
    let hits = found.iter().filter(|(_, c)| c == class).count();
    assert!(
        hits >= least,
        "{hits} of {least} convicted of {class}: {:?}",
        found.iter().take(5).collect::<Vec<_>>()
    );
    agree(engine);
}

/// Asserts that campaigns are told in numbers that agree: every member once, their requests the campaign's, and no more reached
/// than was tried.
pub fn agree(engine: &Engine) {
    let mut told = std::collections::BTreeSet::new();
    for c in engine.campaigns() {
        let sum: u64 = c.members.iter().map(|m| m.requests).sum();
        assert_eq!(sum, c.requests, "{} {}", c.class, c.id);
        let timed: u64 = c.timeline.iter().map(|(_, n)| n).sum();
        assert_eq!(timed, c.requests, "{} {}", c.class, c.id);
        for m in &c.members {
            assert!(told.insert((c.id.clone(), m.value.clone())), "{} twice in {}", m.value, c.class);
        }
        let of = |name: &str| c.outcome.get(name).copied().unwrap_or(0);
        assert!(of("requests-to-target") <= c.requests, "{:?}", c.outcome);
        for (tried, got) in [("accounts-tried", "accounts-taken"), ("codes-tried", "codes-accepted")] {
            assert!(of(got) <= of(tried), "{:?}", c.outcome);
        }
    }
}

pub fn is_attacker(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(v4) if v4.octets()[1] == 66)
}

/// The n-th attacker's address.
pub fn bad(n: u32) -> IpAddr {
    ip(66, (n >> 8) as u8, n as u8)
}
