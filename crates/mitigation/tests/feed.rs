//! The feed as a device fetches it: lines, validators, tokens, families, what is over, and what must never be empty.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use base64::Engine;
use sidetap_mitigation::feed::{FeedConfig, FeedConnector, FeedError, Server};
use sidetap_mitigation::suite::{self, Device};
use sidetap_mitigation::{Connector, Enforcer, Mode, PushOptions, Selector};
use sidetap_model::SubjectKind;
use support::{Breaks, desired, verdict, wall, wall_ts};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TOKEN: &str = "a-token-of-the-site-0001";

fn config(dir: &Path, more: &str) -> FeedConfig {
    let path = dir.join("edge.json");
    let text = format!("name = \"edge\"\npath = \"{}\"\nlisten = \"127.0.0.1:0\"\n{more}", path.display());
    toml::from_str(&text).unwrap()
}

/// A feed that is served until the test ends; its clock stands still.
async fn serve(config: &FeedConfig, clock: &Arc<AtomicI64>) -> SocketAddr {
    let clock = Arc::clone(clock);
    let server = Server::bind(config, Arc::new(move || clock.load(Ordering::Relaxed))).await.unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(server.run(std::future::pending()));
    address
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|l| l.split_once(": "));
        lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v).next().unwrap_or_default()
    }
}

async fn get(to: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Answer {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let more: String = headers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
    let request = format!("GET {target} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

#[tokio::test]
async fn a_device_fetches_what_was_pushed() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), "");
    let clock = Arc::new(AtomicI64::new(wall()));
    let to = serve(&config, &clock).await;
    assert_eq!(get(to, "/feed", &[]).await.status, 503, "before the first push devices keep what they have");

    let mut enforcer = Enforcer::with_connectors(vec![Box::new(FeedConnector::new(config).unwrap())]);
    let verdicts = [
        verdict("v1", SubjectKind::Ip, "203.0.113.10", "block", 600),
        verdict("v2", SubjectKind::Cidr, "198.51.100.0/24", "block", 60),
        verdict("v3", SubjectKind::Ip, "2001:db8::9", "block", 600),
        verdict("v4", SubjectKind::Ip, "203.0.113.9", "rate-limit", 600),
        verdict("v5", SubjectKind::ApiKey, "sk_liv…#0011223344556677", "block", 600),
        verdict("v6", SubjectKind::Ip, "192.0.2.9", "block", 600),
    ];
    let want = desired(&verdicts, &["192.0.2.0/24"]);
    let report = enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(
        (report.connectors[0].outcome.as_str(), report.connectors[0].refused),
        ("done", 2),
        "{report:?}"
    );
    let all = get(to, "/feed.txt", &[]).await;
    assert_eq!((all.status, all.body.as_str()), (200, "198.51.100.0/24\n203.0.113.10\n2001:db8::9\n"));
    assert!(all.header("content-type").starts_with("text/plain"));
    assert_eq!(get(to, "/feed/v4", &[]).await.body, "198.51.100.0/24\n203.0.113.10\n");
    assert_eq!(get(to, "/feed/v6.txt", &[]).await.body, "2001:db8::9\n");

    let etag = all.header("etag").to_owned();
    assert!(etag.starts_with('"') && etag.len() > 10);
    for sent in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}"), "*".to_owned()] {
        let same = get(to, "/feed", &[("If-None-Match", &sent)]).await;
        assert_eq!(
            (same.status, same.body.as_str(), same.header("etag")),
            (304, "", etag.as_str()),
            "{sent}"
        );
    }
    clock.fetch_add(120, Ordering::Relaxed);
    let later = get(to, "/feed", &[("If-None-Match", &etag)]).await;
    assert_eq!(
        (later.status, later.body.as_str()),
        (200, "203.0.113.10\n2001:db8::9\n"),
        "what is over is not served"
    );

    enforcer.undo(&Selector::Verdict("v1".into()), wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(get(to, "/feed", &[]).await.body, "2001:db8::9\n");
    assert_eq!(get(to, "/healthz", &[]).await.status, 200);
    assert_eq!(get(to, "/", &[]).await.status, 404);
}

#[tokio::test]
async fn a_token_keeps_others_out() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("token");
    std::fs::write(&secret, format!("{TOKEN}\n")).unwrap();
    let mut config = config(dir.path(), &format!("[token]\nfile = \"{}\"\n", secret.display()));
    assert!(!format!("{config:?}").contains(TOKEN));
    sidetap_mitigation::feed::FeedList::default().write(&config.path).unwrap();
    let to = serve(&config, &Arc::new(AtomicI64::new(wall()))).await;
    let basic = |user: &str| base64::engine::general_purpose::STANDARD.encode(format!("{user}:{TOKEN}"));
    for good in [format!("Bearer {TOKEN}"), format!("bearer {TOKEN}"), format!("Basic {}", basic("firewall"))]
    {
        assert_eq!(get(to, "/feed", &[("Authorization", &good)]).await.status, 200, "{good}");
    }
    assert_eq!(get(to, &format!("/feed?x=1&token={TOKEN}"), &[]).await.status, 200);
    let escaped = TOKEN.replace('-', "%2d");
    assert_eq!(
        get(to, &format!("/feed?token={escaped}"), &[]).await.status,
        200,
        "as a firewall may encode it"
    );
    for bad in ["", "Bearer", "Bearer a-token-of-the-site-0002", "Basic ????", TOKEN] {
        let answer = get(to, "/feed", &[("Authorization", bad)]).await;
        assert_eq!((answer.status, answer.body.contains(TOKEN)), (401, false), "{bad}");
        assert!(answer.header("www-authenticate").starts_with("Basic"));
    }
    assert_eq!(get(to, "/feed?token=", &[]).await.status, 401);

    config.token = None;
    config.listen = "0.0.0.0:0".parse().unwrap();
    let open = Server::bind(&config, Arc::new(wall)).await;
    assert!(matches!(open, Err(FeedError::Open { .. })), "nothing but loopback without a token");
}

#[tokio::test]
async fn a_list_that_cannot_be_read_is_no_empty_list() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), "sentinel = \"192.0.2.1\"\n");
    let to = serve(&config, &Arc::new(AtomicI64::new(wall()))).await;
    sidetap_mitigation::feed::FeedList::default().write(&config.path).unwrap();
    assert_eq!(get(to, "/feed", &[]).await.body, "192.0.2.1\n");
    assert_eq!(get(to, "/feed/v6", &[]).await.body, "2001:db8::1\n");
    assert_eq!(get(to, "/feed/checkpoint", &[]).await.body.lines().count(), 2);
    std::fs::write(&config.path, "not json").unwrap();
    let answer = get(to, "/feed", &[]).await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    let error = FeedConnector::new(config).unwrap().observe(wall()).unwrap_err();
    assert!(error.to_string().contains("is no feed list"), "{error}");
}

/// A list is parsed when it changed, and not for each who asks; what was lost is served from its copy.
#[tokio::test]
async fn a_first_push_of_nothing_is_a_list_too() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), "");
    let at = serve(&config, &Arc::new(AtomicI64::new(wall()))).await;
    assert_eq!(get(at, "/feed", &[]).await.status, 503, "nobody said anything yet");
    let mut enforcer = Enforcer::with_connectors(vec![Box::new(FeedConnector::new(config).unwrap())]);
    let report = enforcer.push(&desired(&[], &[]), wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(report.connectors[0].outcome, "done", "{report:?}");
    let answer = get(at, "/feed", &[]).await;
    assert_eq!((answer.status, answer.body.trim()), (200, "192.0.2.1"));
    let again = enforcer.push(&desired(&[], &[]), wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(again.connectors[0].outcome, "unchanged");
}

#[tokio::test]
async fn a_list_is_read_again_when_it_changed() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), "");
    let to = serve(&config, &Arc::new(AtomicI64::new(wall()))).await;
    let list = |n: u8| sidetap_mitigation::feed::FeedList {
        entries: vec![sidetap_mitigation::Entry {
            key: format!("203.0.113.{n}").parse().unwrap(),
            response: sidetap_policy::Response::Block,
            expires_at: wall() + 600,
            verdict: "v".into(),
            priority: (90, 0),
            way: None,
        }],
    };
    for n in 1..=9 {
        list(n).write(&config.path).unwrap();
        for _ in 0..2 {
            assert_eq!(get(to, "/feed", &[]).await.body, format!("203.0.113.{n}\n"));
        }
    }
    std::fs::remove_file(&config.path).unwrap();
    assert_eq!(get(to, "/feed", &[]).await.body, "203.0.113.9\n");
}

/// Who opens a connection and says nothing is not waited for.
#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let to = serve(&config(dir.path(), ""), &Arc::new(AtomicI64::new(wall()))).await;
    let mut slow = TcpStream::connect(to).await.unwrap();
    slow.write_all(b"GET /feed HTTP/1.1\r\nHost:").await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(40), slow.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the server hangs up");
    assert_eq!(get(to, "/healthz", &[]).await.status, 200);
}

/// Who has no token gets one answer a connection.
#[tokio::test]
async fn who_shows_no_token_keeps_no_connection() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("token");
    std::fs::write(&secret, TOKEN).unwrap();
    let config = config(dir.path(), &format!("[token]\nfile = \"{}\"\n", secret.display()));
    sidetap_mitigation::feed::FeedList::default().write(&config.path).unwrap();
    let to = serve(&config, &Arc::new(AtomicI64::new(wall()))).await;
    for (target, status) in [("/healthz", 200), ("/feed", 401), ("/", 404)] {
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: {to}\r\n\r\n").as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{text}");
        assert!(text.to_lowercase().contains("connection: close"), "{target}: {text}");
    }
    let mut stream = TcpStream::connect(to).await.unwrap();
    for target in ["/healthz", "/feed"] {
        let request = format!("GET {target}?token={TOKEN} HTTP/1.1\r\nHost: {to}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut buffer = [0; 4096];
        let n = stream.read(&mut buffer).await.unwrap();
        let text = String::from_utf8_lossy(&buffer[..n]).to_lowercase();
        assert!(text.starts_with("http/1.1 200") && !text.contains("connection: close"), "{text}");
    }
}

/// However many connections one address opens, another gets in.
#[tokio::test]
async fn one_address_does_not_take_all_connections() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), "");
    config.listen = "127.0.0.1:0".parse().unwrap();
    let to = serve(&config, &Arc::new(AtomicI64::new(wall()))).await;
    let mut greedy = Vec::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(to).await.unwrap();
        // One that is over its share may be reset by now.
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n").await;
        greedy.push(stream);
    }
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = other.connect(to).await.unwrap();
    let asked = async {
        other.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        other.read_to_string(&mut text).await.unwrap();
        text
    };
    let text = asked.await;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let mut open = 0;
    for stream in &mut greedy {
        let mut byte = [0; 1];
        let closed = stream
            .try_read(&mut byte)
            .map_or_else(|e| e.kind() != std::io::ErrorKind::WouldBlock, |n| n == 0);
        open += usize::from(!closed);
    }
    assert!(open <= 16, "{open} connections of one address");
}

/// What each vendor's devices are served, to the letter.
#[tokio::test]
async fn each_vendor_gets_its_own_shape() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), "");
    let to = serve(&config, &Arc::new(AtomicI64::new(wall()))).await;
    let mut enforcer = Enforcer::with_connectors(vec![Box::new(FeedConnector::new(config).unwrap())]);
    let verdicts = [
        verdict("v1", SubjectKind::Ip, "203.0.113.10", "block", 600),
        verdict("v2", SubjectKind::Cidr, "198.51.100.0/24", "block", 600),
        verdict("v3", SubjectKind::Ip, "2001:db8::9", "block", 600),
        verdict("v4", SubjectKind::Cidr, "2001:db8:1::/64", "block", 600),
    ];
    enforcer.push(&desired(&verdicts, &[]), wall_ts(), &PushOptions::new(Mode::Enforce));
    let plain = "198.51.100.0/24\n203.0.113.10\n2001:db8::9\n2001:db8:1::/64\n";
    let check_point = "# UNIQ-NAME,VALUE,TYPE,CONFIDENCE,SEVERITY,PRODUCT,COMMENT\n\
        sidetap-198-51-100-0-24,198.51.100.0-198.51.100.255,IP Range,high,high,AB,v2\n\
        sidetap-203-0-113-10,203.0.113.10,IP,high,high,AB,v1\n";
    for (path, body) in [
        ("/feed", plain.to_owned()),
        ("/feed/pan-os.txt", plain.to_owned()),
        ("/feed/fortigate", plain.to_owned()),
        ("/feed/cisco.txt", format!("# Sidetap\n{plain}")),
        ("/feed/checkpoint", check_point.to_owned()),
        ("/feed/fortigate/v6", "2001:db8::9\n2001:db8:1::/64\n".to_owned()),
        ("/feed/checkpoint/v4.txt", check_point.to_owned()),
    ] {
        let answer = get(to, path, &[]).await;
        assert_eq!((answer.status, answer.body), (200, body), "{path}");
    }
    // What a device would leave out is the least urgent.
    let many: Vec<sidetap_mitigation::Entry> = (0..50_010_u32)
        .map(|n| sidetap_mitigation::Entry {
            key: sidetap_mitigation::Key::Net(std::net::IpAddr::V4((0x0a00_0000 + n).into()).into()),
            response: sidetap_policy::Response::Block,
            expires_at: wall() + 600,
            verdict: "v".into(),
            priority: (if n < 10 { 1 } else { 90 }, 0),
            way: None,
        })
        .collect();
    sidetap_mitigation::feed::FeedList { entries: many }.write(&dir.path().join("edge.json")).unwrap();
    let body = get(to, "/feed/pan-os", &[]).await.body;
    assert_eq!((body.lines().count(), body.lines().next()), (50_000, Some("10.0.0.10")));
}

#[tokio::test]
async fn a_list_never_collapses_by_accident() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), "");
    let clock = Arc::new(AtomicI64::new(wall()));
    let to = serve(&config, &clock).await;
    let fresh = || Enforcer::with_connectors(vec![Box::new(FeedConnector::new(config.clone()).unwrap())]);
    let block = |n: u8| verdict(&format!("v{n}"), SubjectKind::Ip, &format!("203.0.113.{n}"), "block", 600);
    let all: Vec<_> = (1..=60).map(block).collect();
    let options = PushOptions::new(Mode::Enforce);
    fresh().push(&desired(&all, &[]), wall_ts(), &options);
    let lines = |body: &str| body.lines().count();
    assert_eq!(lines(&get(to, "/feed", &[]).await.body), 60);

    // The store is lost: a Sidetap that knows nothing of before pushes what it knows.
    let known = [block(1), block(100)];
    let report = fresh().push(&desired(&known, &["203.0.113.2/32"]), wall_ts(), &options);
    assert!(report.connectors[0].answer.contains("stay until they are over"), "{report:?}");
    let body = get(to, "/feed", &[]).await.body;
    assert_eq!(lines(&body), 60, "what is new is there, and what is allowed by now is gone");
    assert!(body.contains("203.0.113.100\n") && !body.contains("203.0.113.2\n"));
    let again = fresh().push(&desired(&known, &["203.0.113.2/32"]), wall_ts(), &options);
    assert_eq!(again.connectors[0].outcome, "unchanged", "{again:?}");

    // The list itself is lost.
    std::fs::remove_file(&config.path).unwrap();
    assert_eq!(lines(&get(to, "/feed", &[]).await.body), 60, "the last one is served");
    std::fs::remove_file(dir.path().join("edge.json.last")).unwrap();
    assert_eq!(get(to, "/feed", &[]).await.status, 503, "devices keep what they have");

    fresh().push(&desired(&all, &[]), wall_ts(), &options);
    let forced = PushOptions { force: true, ..options.clone() };
    fresh().push(&desired(&known, &[]), wall_ts(), &forced);
    assert_eq!(lines(&get(to, "/feed", &[]).await.body), 2, "who means it says so");
    fresh().push(&desired(&all, &[]), wall_ts(), &options);
    fresh().undo(&Selector::All, wall_ts(), &options);
    assert_eq!(get(to, "/feed", &[]).await.body, "192.0.2.1\n", "and an undo is one");
}

struct UnderTest {
    dir: tempfile::TempDir,
    connector: Breaks,
    breaks: Arc<AtomicBool>,
    later: i64,
}

impl Device for UnderTest {
    fn connector(&mut self) -> &mut dyn Connector {
        &mut self.connector
    }

    fn add_foreign(&mut self) -> bool {
        false
    }

    fn foreign_is_there(&mut self) -> bool {
        true
    }

    fn flush(&mut self) {
        std::fs::remove_file(self.dir.path().join("edge.json")).unwrap();
    }

    fn away(&mut self, away: bool) -> bool {
        let (list, aside) = (self.dir.path().join("edge.json"), self.dir.path().join("aside"));
        let moved = if away { (&list, &aside) } else { (&aside, &list) };
        let _ = std::fs::remove_dir_all(&list);
        std::fs::rename(moved.0, moved.1).unwrap();
        if away {
            std::fs::create_dir(&list).unwrap();
        }
        true
    }

    fn break_next(&mut self) -> bool {
        self.breaks.store(true, Ordering::Relaxed);
        true
    }

    fn twin(&mut self) -> Option<Box<dyn Connector>> {
        Some(Box::new(FeedConnector::new(config(self.dir.path(), "")).unwrap()))
    }

    fn second(&mut self) -> Option<Box<dyn Connector>> {
        let mut config = config(self.dir.path(), "");
        config.path = self.dir.path().join("other.json");
        Some(Box::new(FeedConnector::new(config).unwrap()))
    }

    fn now(&mut self) -> i64 {
        wall() + self.later
    }

    fn wait(&mut self, seconds: i64) {
        self.later += seconds;
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let connector = FeedConnector::new(config(dir.path(), "capacity = 100\n")).unwrap();
    let breaks = Arc::default();
    let connector = Breaks::new(Box::new(connector), dir.path().join("edge.json"), &breaks);
    let left_out = suite::run(&mut UnderTest { dir, connector, breaks, later: 0 }).unwrap();
    assert_eq!(left_out, ["entries of others", "hosts and endpoints", "a wrong credential"]);
}

#[test]
#[ignore = "measures"]
fn measure_a_hundred_thousand() {
    let dir = tempfile::tempdir().unwrap();
    support::measure(&mut FeedConnector::new(config(dir.path(), "capacity = 100000\n")).unwrap());
}

/// Until the list is served that has a verdict, or has it no more; whoever fetches adds the time between two of his looks.
#[tokio::test]
#[ignore = "measures"]
async fn measure_latency() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), "");
    let to = serve(&config, &Arc::new(AtomicI64::new(wall()))).await;
    let mut enforcer = Enforcer::with_connectors(vec![Box::new(FeedConnector::new(config).unwrap())]);
    let want = desired(&[verdict("v1", SubjectKind::Ip, "203.0.113.9", "block", 600)], &[]);
    let options = PushOptions { force: true, ..PushOptions::new(Mode::Enforce) };
    let (mut effect, mut undone) = (Vec::new(), Vec::new());
    for _ in 0..30 {
        for there in [true, false] {
            let start = std::time::Instant::now();
            if there {
                enforcer.redo(&Selector::All).unwrap();
                assert!(enforcer.push(&want, wall_ts(), &options).is_ok());
            } else {
                enforcer.undo(&Selector::All, wall_ts(), &options);
            }
            while get(to, "/feed", &[]).await.body.contains("203.0.113.9") != there {
                assert!(start.elapsed() < Duration::from_secs(20));
            }
            if there { &mut effect } else { &mut undone }.push(start.elapsed());
        }
    }
    for (what, mut times) in [("verdict to effect", effect), ("undo to effect", undone)] {
        times.sort();
        println!("feed: {what}: p50 {:?}, p99 {:?}, 30 rounds", times[15], times[29]);
    }
}

#[tokio::test]
async fn the_kill_switch_alone_empties_what_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), "sentinel = \"192.0.2.1\"\n");
    let switch = dir.path().join("stop");
    let server = Server::bind(&config, Arc::new(wall)).await.unwrap().stopped_by(Some(switch.clone()));
    let to = server.local_addr().unwrap();
    tokio::spawn(server.run(std::future::pending()));
    assert_eq!(get(to, "/feed", &[]).await.status, 503, "no list was written yet");
    std::fs::write(&switch, "").unwrap();
    assert_eq!(get(to, "/feed", &[]).await.body, "192.0.2.1\n");
    std::fs::remove_file(&switch).unwrap();
    assert_eq!(get(to, "/feed", &[]).await.status, 503);
}
