//! A console that is served, and clients of it.

#![allow(clippy::unwrap_used, dead_code)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use serde_json::{Value, json};
use sidetap_console::{Clock, Console, Options};
use sidetap_model::rows::{FindingRow, InputSummary, RunData};
use sidetap_model::{ActionRow, Ts};
use sidetap_store::{EvidenceRow, SampleRow, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Everybody's password.
pub(crate) const PASSWORD: &str = "correct horse battery";
const START: i64 = 1_795_000_000;

fn finding(n: u64) -> FindingRow {
    FindingRow {
        id: format!("f{n:03}"),
        kind: "risk".into(),
        rule: "r".into(),
        severity: "high".into(),
        certainty: "observed".into(),
        owasp: Vec::new(),
        subject: Default::default(),
        title: "=HYPERLINK(\"x\")<script>finding".into(),
        detail: String::new(),
        evidence: vec!["x-1".into()],
        first_seen: Ts::from_parts(START, 0),
        last_seen: Ts::from_parts(START, 0),
        count: n,
    }
}

/// Fills a store.
pub(crate) fn fill(path: &Path) {
    let mut store = Store::open(path).unwrap();
    let mut data = RunData { findings: (0..250).map(finding).collect(), ..RunData::default() };
    data.summary.version = "0.1.0".into();
    let (first_ts, last_ts) = (Some(Ts::from_parts(START - 60, 0)), Some(Ts::from_parts(START, 0)));
    let input = InputSummary { path: "a.pcap".into(), first_ts, last_ts, ..InputSummary::default() };
    data.summary.inputs.push(input);
    store.save_run(&data, Ts::from_parts(START, 0)).unwrap();
    let exchange = json!({"client": {"ip": "203.0.113.1"}});
    store
        .record_evidence(&[EvidenceRow { id: "x-1".into(), at: Ts(1), exchange }], &Default::default())
        .unwrap();
    let action = ActionRow {
        at: Ts::from_parts(START - 1, 0),
        actor: "cli".into(),
        connector: "edge".into(),
        kind: "add".into(),
        mode: "enforce".into(),
        subject: "203.0.113.9/32".into(),
        response: "block".into(),
        verdict: None,
        expires_at: None,
        outcome: "done".into(),
        answer: "ok".into(),
        why: String::new(),
    };
    store.record_actions(&[action]).unwrap();
}

/// A clock that stands.
pub(crate) fn still() -> Clock {
    Arc::new(|| Ts::from_parts(START, 0))
}

/// A console that is served.
pub(crate) struct Served {
    pub(crate) to: SocketAddr,
    pub(crate) token: String,
    pub(crate) dir: Arc<tempfile::TempDir>,
    clock: Arc<AtomicI64>,
    anybody: Client,
}

/// Serves a store with findings, an action and an exchange, and nobody who could log in.
pub(crate) async fn serve() -> Served {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    fill(&dir.path().join("sidetap.db"));
    start(dir, |_| {}).await
}

/// The same with other options.
pub(crate) async fn serve_with(change: impl FnOnce(&mut Options)) -> Served {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    fill(&dir.path().join("sidetap.db"));
    start(dir, change).await
}

/// Serves the store of another one.
pub(crate) async fn serve_at(dir: &Path) -> Served {
    let copy = Arc::new(tempfile::tempdir().unwrap());
    Store::open_read_only(&dir.join("sidetap.db")).unwrap().backup(&copy.path().join("sidetap.db")).unwrap();
    start(copy, |_| {}).await
}

async fn start(dir: Arc<tempfile::TempDir>, change: impl FnOnce(&mut Options)) -> Served {
    let path = dir.path().join("sidetap.db");
    let clock = Arc::new(AtomicI64::new(START));
    let told = Arc::clone(&clock);
    let mut options = Options {
        hosts: vec!["sensor.example".into()],
        page: Arc::new(|data| format!("<!doctype html><p>{} findings", data.findings.len())),
        ..Options::new(
            &path,
            "127.0.0.1:0".parse().unwrap(),
            Arc::new(move || Ts::from_parts(told.load(Relaxed), 0)),
        )
    };
    change(&mut options);
    let console = Console::bind(options).await.unwrap();
    let (to, token) = (console.local_addr(), console.setup_token().unwrap_or_default().to_owned());
    tokio::spawn(console.run(std::future::pending()));
    Served { to, token, dir, clock, anybody: Client { to, cookie: String::new(), csrf: None, token: None } }
}

impl Served {
    /// Says which exchanges stand for a thing, as a watch beside it would.
    pub(crate) fn sample(&self, thing: &str, seen: u64, ids: &[&str]) {
        let row = SampleRow { thing: thing.into(), seen, ids: ids.iter().map(|i| (*i).to_owned()).collect() };
        Store::open(&self.dir.path().join("sidetap.db")).unwrap().record_samples(&[row], Ts(9)).unwrap();
    }

    /// The same with an administrator.
    pub(crate) async fn with_admin(self) -> Self {
        let body = json!({"token": self.token, "name": "admin", "password": PASSWORD});
        assert_eq!(self.post("/api/v1/setup", &body).await.status, 201);
        self
    }

    /// Lets time pass.
    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Relaxed);
    }

    /// Saves one more finding, as another process would.
    pub(crate) fn save_finding(&self, n: u64) {
        let mut store = Store::open(&self.dir.path().join("sidetap.db")).unwrap();
        let mut data = RunData { findings: vec![finding(n)], ..RunData::default() };
        data.summary.inputs.push(InputSummary { path: "b.pcap".into(), ..InputSummary::default() });
        store.save_run(&data, Ts::from_parts(START, 0)).unwrap();
    }

    /// A session.
    pub(crate) async fn log_in(&self, name: &str, password: &str) -> Client {
        let answer = self.post("/api/v1/session", &json!({"name": name, "password": password})).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let line = answer.head.lines().find(|l| l.to_lowercase().starts_with("set-cookie:")).unwrap();
        let cookie = line.split_once(": ").unwrap().1.split(';').next().unwrap().to_owned();
        let csrf = answer.json()["csrf"].as_str().map(str::to_owned);
        Client { to: self.to, cookie, csrf, token: None }
    }

    /// Somebody with this cookie.
    pub(crate) fn with_cookie(&self, cookie: &str) -> Client {
        Client { cookie: cookie.to_owned(), ..self.anybody.clone() }
    }

    /// Somebody with this token.
    pub(crate) fn with_token(&self, token: &str) -> Client {
        Client { token: Some(token.to_owned()), ..self.anybody.clone() }
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.anybody.get(target).await
    }

    pub(crate) async fn post(&self, target: &str, body: &Value) -> Answer {
        self.anybody.send("POST", target, body).await
    }

    pub(crate) async fn send(&self, method: &str, target: &str, body: &Value) -> Answer {
        self.anybody.send(method, target, body).await
    }

    /// Sends these bytes.
    pub(crate) async fn raw(&self, request: &str) -> Answer {
        ask(self.to, request).await
    }
}

/// Somebody who asks.
#[derive(Clone)]
pub(crate) struct Client {
    to: SocketAddr,
    pub(crate) cookie: String,
    csrf: Option<String>,
    token: Option<String>,
}

impl Client {
    pub(crate) fn without_csrf(&self) -> Client {
        Client { csrf: None, ..self.clone() }
    }

    pub(crate) fn with_csrf(&self, csrf: &str) -> Client {
        Client { csrf: Some(csrf.to_owned()), ..self.clone() }
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        ask(self.to, &self.request("GET", target, "")).await
    }

    pub(crate) async fn send(&self, method: &str, target: &str, body: &Value) -> Answer {
        self.send_text(method, target, &body.to_string()).await
    }

    pub(crate) async fn send_text(&self, method: &str, target: &str, body: &str) -> Answer {
        ask(self.to, &self.request(method, target, body)).await
    }

    pub(crate) async fn send_bytes(&self, method: &str, target: &str) -> Vec<u8> {
        ask_bytes(self.to, &self.request(method, target, "")).await
    }

    /// Opens a stream.
    pub(crate) async fn open(&self, target: &str) -> Stream {
        let mut stream = TcpStream::connect(self.to).await.unwrap();
        stream.write_all(self.request("GET", target, "").as_bytes()).await.unwrap();
        Stream { stream, seen: String::new() }
    }

    fn request(&self, method: &str, target: &str, body: &str) -> String {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.to);
        if !self.cookie.is_empty() {
            head += &format!("Cookie: other=1; {}\r\n", self.cookie);
        }
        if let Some(csrf) = &self.csrf {
            head += &format!("X-Sidetap-CSRF: {csrf}\r\n");
        }
        if let Some(token) = &self.token {
            head += &format!("Authorization: Bearer {token}\r\n");
        }
        if method != "GET" {
            head += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        }
        head + "\r\n" + body
    }
}

/// A stream that goes on.
pub(crate) struct Stream {
    stream: TcpStream,
    seen: String,
}

impl Stream {
    /// What came until this did; it is waited for as long as a test may take.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        let wait = async {
            let mut buffer = [0; 4096];
            while !self.seen.contains(text) {
                let n = self.stream.read(&mut buffer).await.unwrap();
                assert!(n > 0, "ended before {text}: {}", self.seen);
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..n]));
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), wait).await.unwrap();
        self.seen.clone()
    }
}

impl Stream {
    /// Waits until it ends, as long as a test may take.
    pub(crate) async fn ended(&mut self) {
        let wait = async {
            let mut buffer = [0; 4096];
            while self.stream.read(&mut buffer).await.unwrap() > 0 {}
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), wait).await.expect("it goes on");
    }
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    pub(crate) fn problem(&self) -> String {
        self.json()["type"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn has(&self, line: &str) -> bool {
        self.head.to_ascii_lowercase().contains(&line.to_ascii_lowercase())
    }
}

async fn ask_bytes(to: SocketAddr, request: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).await.unwrap();
    // A server that refuses a large body may close before all of it is sent.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    bytes
}

async fn ask(to: SocketAddr, request: &str) -> Answer {
    let bytes = ask_bytes(to, request).await;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).unwrap_or_else(|| panic!("{request}")).parse().unwrap();
    let mut answer = Answer { status, head: head.to_owned(), body: body.to_owned() };
    if answer.has("transfer-encoding: chunked") {
        answer.body = unchunked(body);
    }
    answer
}

fn unchunked(mut body: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let n = usize::from_str_radix(size, 16).unwrap_or(0);
        let Some(part) = rest.get(..n).filter(|_| n > 0) else { break };
        out.push_str(part);
        body = rest.get(n + 2..).unwrap_or_default();
    }
    out
}
