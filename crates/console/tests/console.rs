//! The console as a browser, a script and an attacker's page meet it.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use sidetap_console::{Console, ConsoleError};
use sidetap_model::rows::{FindingRow, InputSummary, RunData};
use sidetap_model::{ActionRow, Ts};
use sidetap_store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn finding(n: u32) -> FindingRow {
    FindingRow {
        id: format!("f{n:03}"),
        kind: "risk".into(),
        rule: "r".into(),
        severity: "high".into(),
        certainty: "observed".into(),
        owasp: Vec::new(),
        subject: Default::default(),
        title: "<script>".into(),
        detail: String::new(),
        evidence: Vec::new(),
        first_seen: Ts(0),
        last_seen: Ts(0),
        count: 1,
    }
}

fn fill(path: &Path) {
    let mut store = Store::open(path).unwrap();
    let mut data = RunData { findings: (0..250).map(finding).collect(), ..RunData::default() };
    data.summary.version = "0.1.0".into();
    data.summary.inputs.push(InputSummary { path: "a.pcap".into(), ..InputSummary::default() });
    store.save_run(&data, Ts(1)).unwrap();
    let action = ActionRow {
        at: Ts(5),
        actor: "cli".into(),
        connector: "edge".into(),
        kind: "add".into(),
        mode: "enforce".into(),
        subject: "203.0.113.1/32".into(),
        response: "block".into(),
        verdict: None,
        expires_at: None,
        outcome: "done".into(),
        answer: "ok".into(),
    };
    store.record_actions(&[action]).unwrap();
}

struct Served {
    to: SocketAddr,
    dir: tempfile::TempDir,
}

async fn serve() -> Served {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sidetap.db");
    fill(&path);
    let page = Arc::new(|data: &RunData| format!("<!doctype html><p>{} findings", data.findings.len()));
    let console = Console::bind(&path, "127.0.0.1:0".parse().unwrap(), page).await.unwrap();
    let console = console.with_hosts(vec!["sensor.example".into()]);
    let to = console.local_addr();
    tokio::spawn(console.run(std::future::pending()));
    Served { to, dir }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn has(&self, line: &str) -> bool {
        self.head.to_ascii_lowercase().contains(&line.to_ascii_lowercase())
    }
}

async fn ask(to: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

async fn get(served: &Served, target: &str) -> Answer {
    ask(served.to, &format!("GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", served.to))
        .await
}

#[tokio::test]
async fn rows_come_in_parts() {
    let served = serve().await;
    let page = get(&served, "/").await;
    assert_eq!((page.status, page.body.as_str()), (200, "<!doctype html><p>250 findings"));
    assert!(page.has("content-type: text/html"));
    let summary = get(&served, "/api/v1/summary").await.json();
    assert_eq!(
        (summary["version"].as_str(), summary["counts"]["findings"].as_u64()),
        (Some("0.1.0"), Some(250))
    );
    let part = get(&served, "/api/v1/findings?limit=20&offset=240").await.json();
    assert_eq!((part["total"].as_u64(), part["rows"].as_array().map(Vec::len)), (Some(250), Some(10)));
    assert_eq!(part["rows"][0]["id"], "f240");
    assert_eq!(get(&served, "/api/v1/findings").await.json()["rows"].as_array().map(Vec::len), Some(100));
    let beyond = get(&served, "/api/v1/findings?offset=99999").await.json();
    assert_eq!(beyond["rows"].as_array().map(Vec::len), Some(0));
    for list in ["endpoints", "sensitive", "campaigns", "verdicts"] {
        assert_eq!(get(&served, &format!("/api/v1/{list}")).await.json()["total"], 0, "{list}");
    }
    assert_eq!(get(&served, "/api/v1/actions").await.json()["rows"][0]["connector"], "edge");
    assert_eq!(get(&served, "/api/v1/audit").await.json()["rows"][0]["action"], "mitigation.add");
    assert_eq!(get(&served, "/healthz").await.status, 200);

    let mut store = Store::open(&served.dir.path().join("sidetap.db")).unwrap();
    let mut data = RunData { findings: vec![finding(1)], ..RunData::default() };
    data.summary.inputs.push(InputSummary { path: "b.pcap".into(), ..InputSummary::default() });
    store.save_run(&data, Ts(2)).unwrap();
    let rows = get(&served, "/api/v1/findings?offset=1&limit=1").await.json();
    assert_eq!(rows["rows"][0]["count"], 2, "what another process writes is seen at once");
}

#[tokio::test]
async fn errors_are_problems() {
    let served = serve().await;
    for (target, status) in [
        ("/nothing", 404),
        ("/api/v1/findings?limit=0", 400),
        ("/api/v1/findings?limit=1001", 400),
        ("/api/v1/findings?limit=x", 400),
        ("/api/v1/findings?colour=red", 400),
    ] {
        let answer = get(&served, target).await;
        assert_eq!(
            (answer.status, answer.json()["status"].as_u64()),
            (status, Some(status.into())),
            "{target}"
        );
        assert!(answer.has("content-type: application/problem+json"), "{}", answer.head);
    }
    let post = format!(
        "POST /api/v1/findings HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        served.to
    );
    let answer = ask(served.to, &post).await;
    assert_eq!((answer.status, answer.json()["title"].as_str()), (405, Some("method not allowed")));
}

#[tokio::test]
async fn another_sites_page_cannot_read_it() {
    let served = serve().await;
    let port = served.to.port();
    for host in ["evil.example".to_owned(), format!("evil.example:{port}"), "127.0.0.1:1".to_owned()] {
        let request = format!("GET /api/v1/verdicts HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(ask(served.to, &request).await.status, 421, "{host}");
    }
    let two =
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nHost: {}\r\nConnection: close\r\n\r\n", served.to);
    assert_eq!(ask(served.to, &two).await.status, 400);
    assert_eq!(ask(served.to, "GET / HTTP/1.0\r\n\r\n").await.status, 400);
    for host in [format!("localhost:{port}"), format!("sensor.example:{port}")] {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = ask(served.to, &request).await;
        assert_eq!(answer.status, 200, "{host}");
        for line in [
            "content-security-policy: default-src 'none'",
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
        ] {
            assert!(answer.has(line), "{line}");
        }
        assert!(!answer.has("access-control-allow-origin"));
    }
}

#[tokio::test]
async fn it_says_why_it_cannot_serve() {
    let dir = tempfile::tempdir().unwrap();
    let page = || Arc::new(|_: &RunData| String::new());
    let nowhere = Console::bind(&dir.path().join("none"), "127.0.0.1:0".parse().unwrap(), page()).await;
    assert!(matches!(nowhere, Err(ConsoleError::Store(_))));
    let path = dir.path().join("sidetap.db");
    fill(&path);
    let first = Console::bind(&path, "127.0.0.1:0".parse().unwrap(), page()).await.unwrap();
    let taken = Console::bind(&path, first.local_addr(), page()).await.unwrap_err();
    assert!(taken.to_string().starts_with("console: 127.0.0.1:"), "{taken}");
}
