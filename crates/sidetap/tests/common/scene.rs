//! A shop, a bank and a phone company in one, with its people and room for those who abuse it, as packets.
#![allow(dead_code)]

use std::collections::BTreeMap;

use serde_json::Value;
use sidetap_model::{Addr, Direction, Ts};
use sidetap_testkit::{Conversation, Framing, LinkKind, Packet, PcapForm, pcap_bytes};

use super::common::{Place, lines};

pub(crate) const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Safari/537.36";
const APP: &str = "MyShop/3.1 (com.my.shop; build:9; iOS 18.1) Alamofire/5.9";

/// One request and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    method: &'static str,
    target: String,
    head: Vec<String>,
    body: String,
    status: u16,
    kind: &'static str,
    answers: Vec<String>,
    answer: String,
}

pub(crate) fn get(target: impl Into<String>) -> Ask {
    Ask {
        method: "GET",
        target: target.into(),
        head: Vec::new(),
        body: String::new(),
        status: 200,
        kind: "application/json",
        answers: Vec::new(),
        answer: "{\"ok\":true}".into(),
    }
}

pub(crate) fn post(target: impl Into<String>, body: impl Into<String>) -> Ask {
    Ask { method: "POST", body: body.into(), ..get(target) }
}

impl Ask {
    /// Answered so; 400 and above with a reason that says nothing.
    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = status;
        if status >= 400 {
            self.answer = "{\"message\":\"no\"}".into();
        }
        self
    }

    pub(crate) fn answer(mut self, body: impl Into<String>) -> Self {
        self.answer = body.into();
        self
    }

    /// A field of the answer.
    pub(crate) fn answers(mut self, line: impl Into<String>) -> Self {
        self.answers.push(line.into());
        self
    }

    /// Answered with a page.
    pub(crate) fn page(mut self) -> Self {
        self.kind = "text/html";
        self.answer = "<html><body>A page</body></html>".into();
        self
    }

    pub(crate) fn plain(mut self, body: &str) -> Self {
        self.kind = "text/plain";
        self.answer = body.into();
        self
    }

    /// Answered with XML.
    pub(crate) fn xml(mut self, body: impl Into<String>) -> Self {
        self.kind = "text/xml";
        self.answer = body.into();
        self
    }

    /// Asked for from another page than the first.
    pub(crate) fn referred(mut self, page: &str) -> Self {
        let line = format!("Referer: http://shop.example{page}");
        for field in self.head.iter_mut().filter(|l| l.starts_with("Referer:")) {
            field.clone_from(&line);
        }
        self
    }

    /// Asked for with no page before it.
    pub(crate) fn unreferred(mut self) -> Self {
        self.head.retain(|line| !line.starts_with("Referer:"));
        self
    }

    /// The head that curl writes, under this name.
    pub(crate) fn curl(mut self, agent: &str) -> Self {
        let mut head =
            vec!["Host: shop.example".to_owned(), format!("User-Agent: {agent}"), "Accept: */*".into()];
        head.append(&mut self.head);
        Ask { head, ..self }
    }

    pub(crate) fn with(mut self, line: impl Into<String>) -> Self {
        self.head.push(line.into());
        self
    }

    pub(crate) fn bearer(self, token: impl std::fmt::Display) -> Self {
        self.with(format!("Authorization: Bearer {token}"))
    }

    /// The head of a person's Chrome.
    pub(crate) fn chrome(mut self) -> Self {
        let page = self.kind == "text/html" && self.method == "GET";
        let mut head = vec![
            "Host: shop.example".to_owned(),
            "Connection: keep-alive".into(),
            "sec-ch-ua: \"Google Chrome\";v=\"154\", \"Chromium\";v=\"154\"".into(),
            "sec-ch-ua-mobile: ?0".into(),
            "sec-ch-ua-platform: \"Windows\"".into(),
        ];
        if page {
            head.push("Upgrade-Insecure-Requests: 1".into());
        }
        head.push(format!("User-Agent: {CHROME}"));
        head.push(format!(
            "Accept: {}",
            if page { "text/html,application/xhtml+xml,*/*;q=0.8" } else { "*/*" }
        ));
        self.typed(&mut head, true);
        let (mode, dest) = if page { ("navigate", "document") } else { ("cors", "empty") };
        head.push("Sec-Fetch-Site: same-origin".into());
        head.push(format!("Sec-Fetch-Mode: {mode}"));
        head.push(format!("Sec-Fetch-Dest: {dest}"));
        head.push("Referer: http://shop.example/".into());
        head.push("Accept-Encoding: gzip, deflate, br, zstd".into());
        head.push("Accept-Language: en-US,en;q=0.9".into());
        head.append(&mut self.head);
        Ask { head, ..self }
    }

    /// The head of the company's own app.
    pub(crate) fn app(mut self) -> Self {
        let mut head = vec!["Host: shop.example".to_owned()];
        self.typed(&mut head, false);
        for line in ["Connection: keep-alive", "Accept: */*", "X-App-Version: 3.1"] {
            head.push(line.into());
        }
        head.push(format!("User-Agent: {APP}"));
        head.push("Accept-Language: en-US".into());
        head.push("Accept-Encoding: gzip, deflate, br".into());
        head.append(&mut self.head);
        Ask { head, ..self }
    }

    /// The head that python-requests writes, under a browser's name.
    pub(crate) fn script(self) -> Self {
        self.named(CHROME)
    }

    /// A library's head under this name.
    pub(crate) fn named(mut self, agent: &str) -> Self {
        let mut head = vec![
            "Host: shop.example".to_owned(),
            format!("User-Agent: {agent}"),
            "Accept-Encoding: gzip, deflate".into(),
            "Accept: */*".into(),
            "Connection: keep-alive".into(),
        ];
        self.typed(&mut head, false);
        head.append(&mut self.head);
        Ask { head, ..self }
    }

    fn typed(&self, head: &mut Vec<String>, origin: bool) {
        if self.method != "POST" {
            return;
        }
        let kind = match self.body.as_bytes().first() {
            Some(b'{') => "application/json",
            Some(b'<') => "text/xml; charset=utf-8",
            _ => "application/x-www-form-urlencoded",
        };
        head.push(format!("Content-Type: {kind}"));
        if origin {
            head.push("Origin: http://shop.example".into());
        }
    }

    fn request(&self) -> String {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for line in &self.head {
            text.push_str(line);
            text.push_str("\r\n");
        }
        if self.method == "POST" {
            text.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        text + "\r\n" + &self.body
    }

    fn response(&self) -> String {
        let more: String = self.answers.iter().map(|line| format!("{line}\r\n")).collect();
        format!(
            "HTTP/1.1 {} X\r\nContent-Type: {}\r\n{more}Content-Length: {}\r\n\r\n{}",
            self.status,
            self.kind,
            self.answer.len(),
            self.answer
        )
    }
}

/// What happened, as packets.
pub(crate) struct Scene {
    port: u16,
    packets: Vec<Packet>,
}

const START: i64 = 1_790_000_000;

impl Scene {
    /// Thirty people and thirty phones that use the site as it is meant, some of them clumsily.
    pub(crate) fn new() -> Self {
        let mut scene = Scene { port: 20_000, packets: Vec::new() };
        for n in 0..30u32 {
            scene.person(n);
            scene.phone(n);
        }
        scene
    }

    /// One request on a connection of its own, `ms` milliseconds after the capture began.
    pub(crate) fn at(&mut self, ms: u32, ip: &str, ask: &Ask) {
        let addr = |ip: &str, port| Addr { ip: ip.parse().unwrap(), port };
        self.port = self.port.wrapping_add(1).max(20_000);
        let (client, server) = (addr(ip, self.port), addr("198.51.100.1", 80));
        let mut talk = Conversation::new(client, server, Framing::default(), u64::from(self.port));
        let mut at = Ts::from_parts(START, 0).plus(i64::from(ms) * 1_000_000);
        at = talk.open(at, 0, &mut self.packets);
        talk.send(at, Direction::Up, ask.request().as_bytes(), 1000, &mut self.packets);
        at = at.plus(20_000_000);
        talk.send(at, Direction::Down, ask.response().as_bytes(), 1000, &mut self.packets);
        talk.close(at.plus(1_000_000), Direction::Up, 0, &mut self.packets);
    }

    fn person(&mut self, n: u32) {
        let (who, t) = (honest(n), n * 9_000);
        self.at(t, &who, &get("/").page().chrome());
        for (i, asset) in (0u32..).zip(["/app.js", "/main.css", "/logo.png", "/vendor.js"]) {
            self.at(t + 100 + i * 30, &who, &get(asset).plain("x").chrome());
        }
        let login = |word: &str| {
            post("/api/login", format!("{{\"username\":\"person{n}\",\"password\":\"{word}{n}\"}}"))
        };
        if n.is_multiple_of(5) {
            for i in 0..3 {
                self.at(t + 6_000 + i * 4_000, &who, &login("oops").status(401).chrome());
            }
        }
        self.at(t + 20_000, &who, &login("right").answer("{\"token\":\"t\"}").chrome());
        let token = format!("0123456789abcdef0123{n:04}");
        for i in 0..3 {
            let item = 1000 + n * 37 + i * 11;
            self.at(t + 26_000 + i * 7_000, &who, &get(format!("/items/{item}")).page().chrome());
            let stock = get(format!("/api/stock?sku={item}&zip=9{n:03}{i}"));
            self.at(t + 27_000 + i * 7_000, &who, &stock.chrome());
        }
        let order = 70_000 + n * 13;
        self.at(t + 50_000, &who, &get(format!("/api/orders/{order}")).bearer(&token).chrome());
        self.at(t + 55_000, &who, &post("/api/cart", format!("{{\"sku\":\"{n}\"}}")).bearer(&token).chrome());
        self.at(t + 58_000, &who, &get(format!("/api/giftcards/GC{n}7")).chrome());
        if n.is_multiple_of(3) {
            self.at(t + 60_000, &who, &post("/api/checkout", "{\"cart\":1}").bearer(&token).chrome());
        }
    }

    fn phone(&mut self, n: u32) {
        let (who, t) = (format!("20.2.0.{}", n + 1), n * 8_500);
        for (i, path) in (0u32..).zip(["/api/config", "/api/home", "/api/feed"]) {
            self.at(t + i * 700, &who, &get(path).app());
        }
        let body = format!("{{\"username\":\"phone{n}\",\"password\":\"right{n}\"}}");
        self.at(t + 9_000, &who, &post("/api/login", body).answer("{\"token\":\"t\"}").app());
        let token = format!("fedcba9876543210fedc{n:04}");
        for i in 0..2 {
            self.at(t + 15_000 + i * 5_000, &who, &get("/api/accounts").bearer(&token).app());
        }
        if n.is_multiple_of(3) {
            let body = format!("{{\"to\":\"friend{n}\",\"amount\":10}}");
            self.at(t + 40_000, &who, &post("/api/transfer", body).bearer(&token).app());
        }
        self.at(t + 45_000, &who, &get(format!("/api/meetings/{}", 90_001 + n * 991)).app());
    }

    /// The capture as a file.
    pub(crate) fn write(mut self, place: &Place, name: &str) -> String {
        self.packets.sort_by_key(|p| p.ts);
        let bytes = pcap_bytes(&self.packets, LinkKind::Ethernet, PcapForm::default());
        place.write(name, &bytes).display().to_string()
    }
}

/// The address of the n-th person; phones are 20.2.0.0/24.
pub(crate) fn honest(n: u32) -> String {
    format!("20.1.0.{}", n + 1)
}

/// The address of the n-th attacker.
pub(crate) fn bad(n: u32) -> String {
    format!("20.66.{}.{}", n / 200, 1 + n % 200)
}

/// What the program says of who is convicted.
#[derive(Debug)]
pub(crate) struct Said {
    /// Attackers' addresses by class.
    pub(crate) convicted: BTreeMap<String, Vec<String>>,
    pub(crate) verdicts: Vec<Value>,
    pub(crate) campaigns: Vec<Value>,
}

/// Replays the scene; nobody but attackers may be convicted or suspected.
pub(crate) fn judge(scene: Scene) -> Said {
    let place = Place::new();
    let capture = scene.write(&place, "scene.pcap");
    place.run(&["replay", &capture, "--out", "out", "--hash-key", "key"]).is(0);
    let verdicts = lines(&place.path("out/verdicts.ndjson"));
    let mut convicted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for v in verdicts.iter().filter(|v| v["intent"] == "malicious" || v["intent"] == "suspicious") {
        for ip in v["client_ips"].as_array().unwrap().iter().filter_map(Value::as_str) {
            assert!(ip.starts_with("20.66."), "somebody honest is accused: {v:#}");
            if v["intent"] == "malicious" {
                convicted.entry(v["class"].as_str().unwrap().into()).or_default().push(ip.into());
            }
        }
    }
    Said { convicted, verdicts, campaigns: lines(&place.path("out/campaigns.ndjson")) }
}
