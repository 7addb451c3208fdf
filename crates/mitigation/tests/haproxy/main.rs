//! HAProxy is driven for real: the next request is refused, the time to live and an undo let go, a restart is repaired.

#![allow(clippy::unwrap_used)]

mod canary;
mod evasion;
mod script;
#[path = "../support/mod.rs"]
mod support;
mod ways;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sidetap_mitigation::haproxy::{HaproxyConfig, HaproxyConnector};
use sidetap_mitigation::suite::{self, Device};
use sidetap_mitigation::{AddressSeen, Connector, Enforcer, Entry, Mode, PushOptions, Selector};
use sidetap_model::SubjectKind;
use sidetap_policy::Response;
use support::{Process, desired, free_port, tool, until, verdict, wall, wall_ts};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const MAPS: [&str; 10] =
    ["block", "keys", "places", "nets", "rate", "tarpit", "challenge", "decoy", "tag", "allow"];
const HASH_KEY: [u8; 16] = *b"0123456789abcdef";

struct Haproxy {
    program: PathBuf,
    dir: tempfile::TempDir,
    peer: SocketAddr,
    forwarded: SocketAddr,
    process: Option<Process>,
}

impl Haproxy {
    fn start() -> Option<Self> {
        Self::start_with(str::to_owned)
    }

    /// One whose configuration was changed before it was started.
    fn start_with(change: impl Fn(&str) -> String) -> Option<Self> {
        let program = tool("haproxy")?;
        let dir = tempfile::tempdir().unwrap();
        let [peer, forwarded] = [free_port(), free_port()].map(|p| SocketAddr::from(([127, 0, 0, 1], p)));
        for map in MAPS {
            std::fs::write(dir.path().join(format!("{map}.map")), "").unwrap();
        }
        std::fs::write(
            dir.path().join("sidetap.lua"),
            include_str!("../../../../docs/connectors/sidetap.lua"),
        )
        .unwrap();
        std::fs::write(
            dir.path().join("challenge.html"),
            include_str!("../../../../docs/connectors/challenge.html"),
        )
        .unwrap();
        std::fs::write(dir.path().join("hash.key"), sidetap_model::HashKey::from_bytes(HASH_KEY).to_text())
            .unwrap();
        let mut haproxy = Haproxy { program, dir, peer, forwarded, process: None };
        std::fs::write(haproxy.file("haproxy.cfg"), change(&haproxy.configuration())).unwrap();
        haproxy.restart();
        Some(haproxy)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn restart(&mut self) {
        self.process = None;
        let _ = std::fs::remove_file(self.file("sock"));
        let mut command = Command::new(&self.program);
        command.arg("-db").arg("-f").arg(self.file("haproxy.cfg"));
        self.process = Some(Process::start(&mut command));
        let (peer, forwarded, socket) = (self.peer, self.forwarded, self.file("sock"));
        until("haproxy listens", || {
            [peer, forwarded].iter().all(|a| std::net::TcpStream::connect(a).is_ok())
                && std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
    }

    fn configuration(&self) -> String {
        let text = support::with_hosts(include_str!("../../../../docs/connectors/haproxy.cfg"));
        let text = text.replace("/run/haproxy/sidetap.sock", &self.file("sock").display().to_string());
        let text = text.replace("/etc/haproxy/sidetap/", &format!("{}/", self.dir.path().display()));
        let text = text.replace("SIDETAP_DELAY_MS 3000", "SIDETAP_DELAY_MS 700");
        let text = text.replace("bind :80\n", &format!("bind {}\n", self.peer));
        let text = text.replace("bind :8080", &format!("bind {}", self.forwarded));
        text.replace(
            "server app1 127.0.0.1:9000",
            "http-request return status 200 content-type text/plain string app",
        )
    }

    fn config(&self, address: AddressSeen) -> HaproxyConfig {
        let map = |name: &str| self.file(&format!("{name}.map")).display().to_string();
        let text = format!(
            "name = \"edge\"\nsocket = \"{}\"\nblock_map = \"{}\"\nkeys_map = \"{}\"\nplaces_map = \"{}\"\nnets_map = \"{}\"\n\
             tokens = true\nrate_limit_map = \"{}\"\ntarpit_map = \"{}\"\nchallenge_map = \"{}\"\ndeceive_map = \"{}\"\ntag_map = \"{}\"\nallow_map = \"{}\"\naddress = \"{}\"\ncapacity = 500\nbatch_bytes = 2000\n",
            self.file("sock").display(),
            map("block"),
            map("keys"),
            map("places"),
            map("nets"),
            map("rate"),
            map("tarpit"),
            map("challenge"),
            map("decoy"),
            map("tag"),
            map("allow"),
            if address == AddressSeen::Peer { "peer" } else { "forwarded" },
        );
        toml::from_str(&text).unwrap()
    }

    fn connector(&self, address: AddressSeen) -> HaproxyConnector {
        HaproxyConnector::new(self.config(address)).unwrap()
    }

    fn runtime(&self, command: &str) -> String {
        use std::io::{Read, Write};
        let mut stream = std::os::unix::net::UnixStream::connect(self.file("sock")).unwrap();
        stream.write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// One request on a connection of its own; gives status and body.
async fn get(to: SocketAddr, from: &str, forwarded: &str) -> (u16, String) {
    let mut stream = connect(to, from).await;
    ask(&mut stream, forwarded, "close").await
}

async fn connect(to: SocketAddr, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
    socket.connect(to).await.unwrap()
}

async fn ask(stream: &mut TcpStream, forwarded: &str, connection: &str) -> (u16, String) {
    let request = format!(
        "GET / HTTP/1.1\r\nHost: shop.example.test\r\nX-Forwarded-For: {forwarded}\r\nConnection: {connection}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    let whole = |a: &[u8]| {
        let text = String::from_utf8_lossy(a).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
        let length =
            head.split("content-length: ").nth(1).and_then(|l| l.split("\r\n").next()?.parse::<usize>().ok());
        length.is_some_and(|l| body.len() >= l)
    };
    while !whole(&answer) {
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buffer)).await.unwrap();
        match read {
            Ok(n) if n > 0 => answer.extend_from_slice(&buffer[..n]),
            _ => break,
        }
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    (status, text.split_once("\r\n\r\n").map(|(_, b)| b.to_owned()).unwrap_or_default())
}

#[tokio::test]
async fn the_next_request_is_refused_and_let_go() {
    let Some(haproxy) = Haproxy::start() else { return };
    let to = haproxy.forwarded;
    let (attacker, honest) = ("203.0.113.9", "203.0.113.10");
    assert_eq!(get(to, "127.0.0.1", attacker).await.0, 200);
    let mut open = connect(to, "127.0.0.1").await;
    assert_eq!(ask(&mut open, attacker, "keep-alive").await.0, 200);

    let mut enforcer = Enforcer::with_connectors(vec![Box::new(haproxy.connector(AddressSeen::Forwarded))]);
    let verdicts = [
        verdict("v1", SubjectKind::Ip, attacker, "block", 600),
        verdict("v2", SubjectKind::Account, "#0011223344556677", "block", 600),
        verdict("v3", SubjectKind::Cidr, "198.51.100.0/24", "deceive", 600),
        verdict("v4", SubjectKind::Ip, "192.0.2.66", "rate-limit", 600),
        verdict("v5", SubjectKind::Ip, "192.0.2.7", "block", 600),
    ];
    let want = desired(&verdicts, &["192.0.2.0/28"]);
    let report = enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::DryRun));
    assert_eq!(report.connectors[0].outcome, "planned");
    assert_eq!(get(to, "127.0.0.1", attacker).await.0, 200, "a dry run changes nothing");

    let report = enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(
        (report.connectors[0].outcome.as_str(), report.connectors[0].added),
        ("done", 3),
        "{report:?}"
    );
    assert_eq!(report.connectors[0].verified, Some(3));
    assert!(want.held.iter().any(|h| h.verdict == "v5" && h.why.contains("allow list")), "{:?}", want.held);
    let plan = enforcer.plan(&want, wall_ts(), false);
    let refused = &plan.connectors[0].plan.refused;
    assert!(refused.iter().any(|r| r.verdict == "v2" && r.why.contains("account")), "{refused:?}");

    assert_eq!(
        ask(&mut open, attacker, "keep-alive").await.0,
        403,
        "a connection that is open is refused too"
    );
    assert_eq!(get(to, "127.0.0.1", attacker).await.0, 403);
    assert_eq!(get(to, "127.0.0.1", honest).await, (200, "app".into()));
    assert_eq!(get(to, "127.0.0.1", "198.51.100.77").await, (200, "{}".into()), "a decoy answers");
    let mut slow = Vec::new();
    for _ in 0..25 {
        slow.push(get(to, "127.0.0.1", "192.0.2.66").await.0);
    }
    assert!(slow[0] == 200 && slow.contains(&429), "{slow:?}");

    let undone = enforcer.undo(&Selector::Verdict("v1".into()), wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!((undone.connectors[0].removed, undone.connectors[0].outcome.as_str()), (1, "done"));
    assert_eq!(get(to, "127.0.0.1", attacker).await.0, 200);
    let again = enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(again.connectors[0].outcome, "unchanged", "what was taken back stays so: {again:?}");
    enforcer.redo(&Selector::Verdict("v1".into())).unwrap();
    enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(get(to, "127.0.0.1", attacker).await.0, 403);
    let all = enforcer.undo(&Selector::All, wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!((all.connectors[0].removed, all.actions.len()), (3, 3));
    assert_eq!(get(to, "127.0.0.1", attacker).await.0, 200);
}

#[tokio::test]
async fn a_restart_is_repaired_and_time_is_kept_by_haproxy_itself() {
    let Some(mut haproxy) = Haproxy::start() else { return };
    let to = haproxy.forwarded;
    let attacker = "203.0.113.9";
    let mut enforcer = Enforcer::with_connectors(vec![Box::new(haproxy.connector(AddressSeen::Forwarded))]);
    let want = desired(&[verdict("v1", SubjectKind::Ip, attacker, "block", 6)], &["192.0.2.0/28"]);
    let pushed = wall();
    enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(get(to, "127.0.0.1", attacker).await.0, 403);
    haproxy.restart();
    assert_eq!(get(to, "127.0.0.1", attacker).await.0, 200, "a restart empties the maps");
    let report = enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(report.connectors[0].outcome, "done");
    if wall() < pushed + 5 {
        assert_eq!(get(to, "127.0.0.1", attacker).await.0, 403, "the next reconcile repairs it");
    }
    tokio::time::sleep(Duration::from_secs(u64::try_from(pushed + 7 - wall()).unwrap_or(0))).await;
    assert_eq!(get(to, "127.0.0.1", attacker).await.0, 200, "over without any push");
    let report = enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(report.connectors[0].removed, 1, "the next reconcile sweeps it out");
    assert!(report.held.iter().any(|h| h.why.contains("time to live is over")), "{:?}", report.held);
    let status = enforcer.status(wall_ts());
    assert_eq!((status.connectors[0].entries, status.active), (0, 0));

    drop(haproxy.process.take());
    let report = enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(report.connectors[0].outcome, "failed");
    assert!(!report.is_ok() && report.connectors[0].answer.contains("cannot be reached"), "{report:?}");
}

#[tokio::test]
async fn the_peer_address_is_matched_and_the_allow_list_wins_on_the_device() {
    let Some(haproxy) = Haproxy::start() else { return };
    let mut connector = haproxy.connector(AddressSeen::Peer);
    let entry = |net: &str| Entry {
        key: net.parse().unwrap(),
        response: Response::Block,
        expires_at: wall() + 600,
        verdict: "v1".into(),
        priority: (90, 0),
        way: None,
    };
    let push = |connector: &mut HaproxyConnector, allow: &[ipnet::IpNet]| {
        let observed = connector.observe(wall()).unwrap();
        let plan = sidetap_mitigation::plan(&[entry("127.0.0.0/29")], &observed, allow, connector.sees());
        connector.apply(&plan, wall()).unwrap();
    };
    push(&mut connector, &[]);
    assert_eq!(get(haproxy.peer, "127.0.0.2", "192.0.2.1").await.0, 403);
    assert_eq!(get(haproxy.peer, "127.0.0.9", "127.0.0.2").await.0, 200, "a header is no peer");
    push(&mut connector, &["127.0.0.3/32".parse().unwrap()]);
    assert_eq!(get(haproxy.peer, "127.0.0.3", "192.0.2.1").await.0, 200, "allowed later, while blocked");
    assert_eq!(get(haproxy.peer, "127.0.0.2", "192.0.2.1").await.0, 403);
}

#[test]
fn wrong_maps_and_sockets_are_told() {
    let Some(haproxy) = Haproxy::start() else { return };
    let mut config = haproxy.config(AddressSeen::Peer);
    config.block_map = Some("/nowhere.map".into());
    let error = HaproxyConnector::new(config.clone()).unwrap().observe(wall()).unwrap_err();
    assert!(error.to_string().contains("not set up: map /nowhere.map"), "{error}");
    config.block_map = Some("/a map".into());
    assert!(HaproxyConnector::new(config.clone()).unwrap_err().to_string().contains("no spaces"));
    config.block_map = config.allow_map.clone();
    assert!(HaproxyConnector::new(config.clone()).unwrap_err().to_string().contains("a map of its own"));
}

struct UnderTest {
    haproxy: Haproxy,
    relay: support::Relay,
    connector: HaproxyConnector,
}

impl Device for UnderTest {
    fn connector(&mut self) -> &mut dyn Connector {
        &mut self.connector
    }

    fn add_foreign(&mut self) -> bool {
        let map = self.haproxy.file("block.map");
        self.haproxy.runtime(&format!("add map {} 192.0.2.200 mine", map.display()));
        true
    }

    fn foreign_is_there(&mut self) -> bool {
        let map = self.haproxy.file("block.map");
        let lines = self.haproxy.runtime(&format!("show map {}", map.display()));
        lines.lines().filter(|l| l.ends_with("192.0.2.200 mine")).count() == 1
    }

    fn flush(&mut self) {
        self.haproxy.restart();
    }

    fn away(&mut self, away: bool) -> bool {
        if away {
            drop(self.haproxy.process.take());
        } else {
            self.haproxy.restart();
        }
        true
    }

    fn break_next(&mut self) -> bool {
        // The map is prepared and a part of it is there when the connection is lost.
        self.relay.fail_after(3);
        true
    }

    fn second(&mut self) -> Option<Box<dyn Connector>> {
        let mut config = self.haproxy.config(AddressSeen::Peer);
        config.owner = "other".into();
        Some(Box::new(HaproxyConnector::new(config).unwrap()))
    }

    fn twin(&mut self) -> Option<Box<dyn Connector>> {
        Some(Box::new(self.haproxy.connector(AddressSeen::Peer)))
    }

    fn now(&mut self) -> i64 {
        wall()
    }

    fn wait(&mut self, seconds: i64) {
        std::thread::sleep(Duration::from_secs(seconds.unsigned_abs()));
    }
}

#[test]
fn keeps_the_contract() {
    let Some(haproxy) = Haproxy::start() else { return };
    let mut config = haproxy.config(AddressSeen::Peer);
    let twice = Path::new(&haproxy.file("block.map")).display().to_string();
    haproxy.runtime(&format!("add map {twice} 192.0.2.1 {}:sidetap:old", wall() + 60));
    haproxy.runtime(&format!("add map {twice} 192.0.2.1 {}:sidetap:old", wall() + 60));
    haproxy.runtime(&format!("prepare map {twice}"));
    let relay = support::Relay::start(haproxy.file("sock"), haproxy.file("relay"));
    config.socket = haproxy.file("relay").display().to_string();
    let connector = HaproxyConnector::new(config).unwrap();
    let left_out = suite::run(&mut UnderTest { haproxy, relay, connector }).unwrap();
    assert_eq!(left_out, ["a wrong credential"]);
}

#[test]
#[ignore = "measures: cargo test --release -p sidetap-mitigation -- --ignored --nocapture --test-threads 1"]
fn measure_a_hundred_thousand() {
    let Some(haproxy) = Haproxy::start() else { return };
    let mut config = haproxy.config(AddressSeen::Peer);
    (config.capacity, config.batch_bytes) = (support::most(), 12_000);
    support::measure(&mut HaproxyConnector::new(config).unwrap());
}
