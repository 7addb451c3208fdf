//! nftables is driven for real, in network namespaces that the test makes and removes: packets of a client stop, and come
//! through again after the time to live, an undo, or never stop for its neighbour.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use sidetap_mitigation::nftables::{NftablesConfig, NftablesConnector};
use sidetap_mitigation::suite::{self, Device};
use sidetap_mitigation::{Connector, Enforcer, Entry, Mode, PushOptions, Selector};
use sidetap_model::SubjectKind;
use sidetap_model::rows::VerdictRow;
use sidetap_policy::{Caps, Response};
use support::{Process, desired, skip, tool, until, verdict, wall, wall_ts};

const SERVER: &str = "10.123.45.1";
const SERVER6: &str = "fd00:45::1";
const ROLE: &str = "SIDETAP_TEST_ROLE";

/// A gateway and a client, each in a namespace of its own, joined by a cable.
struct Net {
    ip: PathBuf,
    gateway: String,
    client: String,
}

impl Net {
    fn make() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (ip, _) = (tool("ip")?, tool("nft")?);
        let id = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let net = Net { ip, gateway: format!("stg-{id}"), client: format!("stc-{id}") };
        if !net.run(&["netns", "add", &net.gateway]) {
            skip("network namespaces cannot be made (needs root)");
            return None;
        }
        let Net { gateway, client, .. } = &net;
        let steps = [
            format!("netns add {client}"),
            format!("-n {gateway} link add st-g type veth peer name st-c netns {client}"),
            format!("-n {gateway} addr add {SERVER}/24 dev st-g"),
            format!("-n {gateway} addr add {SERVER6}/64 dev st-g nodad"),
            format!("-n {client} addr add 10.123.45.5/24 dev st-c"),
            format!("-n {client} addr add 10.123.45.6/24 dev st-c"),
            format!("-n {client} addr add 10.123.45.130/24 dev st-c"),
            format!("-n {client} addr add fd00:45::5/64 dev st-c nodad"),
            format!("-n {gateway} link set st-g up"),
            format!("-n {client} link set st-c up"),
        ];
        for step in steps {
            assert!(net.run(&step.split(' ').collect::<Vec<_>>()), "ip {step}");
        }
        Some(net)
    }

    fn run(&self, args: &[&str]) -> bool {
        Command::new(&self.ip).args(args).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    }

    fn config(&self) -> NftablesConfig {
        let text = format!(
            "name = \"gateway\"\ncommand = [\"{}\", \"netns\", \"exec\", \"{}\", \"nft\"]\ncapacity = 500\nrate_per_s = 3\n",
            self.ip.display(),
            self.gateway
        );
        toml::from_str(&text).unwrap()
    }

    fn connector(&self) -> NftablesConnector {
        NftablesConnector::new(self.config()).unwrap()
    }

    fn nft(&self, args: &[&str]) -> String {
        let out =
            Command::new(&self.ip).args(["netns", "exec", &self.gateway, "nft"]).args(args).output().unwrap();
        assert!(out.status.success(), "nft {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// This very test program in a namespace, in another role.
    fn role(&self, namespace: &str, role: &str) -> Command {
        let mut command = Command::new(&self.ip);
        command.args(["netns", "exec", namespace]).arg(std::env::current_exe().unwrap());
        command.args(["--exact", "in_another_role", "--nocapture"]).env(ROLE, role).stdin(Stdio::null());
        command
    }

    fn serve(&self) -> Process {
        let server = Process::start(self.role(&self.gateway, "server").stdout(Stdio::null()));
        until("the server listens", || {
            self.reach("10.123.45.6", SERVER) && self.reach("fd00:45::5", SERVER6)
        });
        server
    }

    /// Whether a new connection from this address is answered.
    fn reach(&self, from: &str, to: &str) -> bool {
        let mut command = self.role(&self.client, &format!("once {from} {to}"));
        let out = command.output().unwrap();
        String::from_utf8_lossy(&out.stdout).contains("answered")
    }

    /// A connection that stays open and says a word for each answer.
    fn hold(&self, from: &str) -> (Process, Receiver<()>) {
        let mut command = self.role(&self.client, &format!("hold {from} {SERVER}"));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (sender, receiver) = channel();
        let out = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if line.contains("answered") && sender.send(()).is_err() {
                    return;
                }
            }
        });
        (Process(child), receiver)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for name in [&self.gateway, &self.client] {
            self.run(&["netns", "del", name]);
        }
    }
}

/// Not a test by itself: what the tests start in the namespaces.
#[test]
fn in_another_role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    match role.split(' ').collect::<Vec<_>>().as_slice() {
        ["server"] => serve(),
        ["once", from, to] => {
            if let Some(mut stream) = connect(from, to)
                && echo(&mut stream)
            {
                println!("answered");
            }
        }
        ["hold", from, to] => {
            let Some(mut stream) = connect(from, to) else { return };
            while echo(&mut stream) {
                println!("answered");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        other => unreachable!("role {other:?}"),
    }
}

fn serve() {
    let listener = TcpListener::bind("[::]:7000").unwrap();
    for mut stream in listener.incoming().flatten() {
        std::thread::spawn(move || {
            let mut byte = [0; 1];
            while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
        });
    }
}

fn connect(from: &str, to: &str) -> Option<TcpStream> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (from, to): (IpAddr, IpAddr) = (from.parse().unwrap(), to.parse().unwrap());
    runtime.block_on(async {
        let socket =
            if from.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() };
        let socket = socket.unwrap();
        socket.bind(SocketAddr::new(from, 0)).unwrap();
        let connecting = socket.connect(SocketAddr::new(to, 7000));
        let stream = tokio::time::timeout(Duration::from_millis(900), connecting).await.ok()?.ok()?;
        let stream = stream.into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        Some(stream)
    })
}

fn echo(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(900))).unwrap();
    stream.write_all(b"x").is_ok() && stream.read_exact(&mut [0; 1]).is_ok()
}

#[test]
fn packets_stop_and_come_through_again() {
    let Some(net) = Net::make() else { return };
    let _server = net.serve();
    net.nft(&["add", "table", "inet", "theirs"]);
    let (attacker, neighbour) = ("10.123.45.5", "10.123.45.6");
    assert!(net.reach(attacker, SERVER));
    let (_held, answers) = net.hold(attacker);
    answers.recv_timeout(Duration::from_secs(5)).unwrap();

    let mut enforcer = Enforcer::with_connectors(vec![Box::new(net.connector())]);
    let verdicts = [
        verdict("v1", SubjectKind::Ip, attacker, "block", 600),
        verdict("v2", SubjectKind::Ip, "fd00:45::5", "block", 600),
        verdict("v3", SubjectKind::Compound, "10.123.45.6 + fp", "block", 600),
    ];
    let want = desired(&verdicts, &[]);
    let dry = enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::DryRun));
    assert_eq!((dry.connectors[0].outcome.as_str(), dry.connectors[0].added), ("planned", 2));
    assert!(net.reach(attacker, SERVER) && !net.nft(&["list", "tables"]).contains("sidetap"), "a dry run");

    let report = enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(
        (report.connectors[0].outcome.as_str(), report.connectors[0].verified),
        ("done", Some(2)),
        "{report:?}"
    );
    assert!(!net.reach(attacker, SERVER) && !net.reach("fd00:45::5", SERVER6));
    assert!(net.reach(neighbour, SERVER));
    let more = (0..100).take_while(|_| answers.recv_timeout(Duration::from_millis(1200)).is_ok()).count();
    assert!(more < 100, "a connection that is open is cut");
    let again = enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(again.connectors[0].outcome, "unchanged", "{again:?}");

    net.nft(&["flush", "ruleset"]);
    assert!(net.reach(attacker, SERVER));
    net.nft(&["add", "table", "inet", "theirs"]);
    let report = enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!((report.connectors[0].outcome.as_str(), report.connectors[0].added), ("done", 2), "repaired");
    assert!(!net.reach(attacker, SERVER));

    let undone = enforcer.undo(&Selector::All, wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!((undone.connectors[0].outcome.as_str(), undone.connectors[0].removed), ("done", 2));
    assert!(net.reach(attacker, SERVER) && net.reach("fd00:45::5", SERVER6));
    assert!(net.nft(&["list", "tables"]).contains("theirs"), "tables of others stay");
}

#[test]
fn time_to_live_allow_list_and_rate_hold_in_the_kernel() {
    let Some(net) = Net::make() else { return };
    let _server = net.serve();
    let mut enforcer = Enforcer::with_connectors(vec![Box::new(net.connector())]);
    let push = |enforcer: &mut Enforcer, verdicts: &[_], allow: &[&str]| {
        let report = enforcer.push(&desired(verdicts, allow), wall_ts(), &PushOptions::new(Mode::Enforce));
        assert!(report.is_ok(), "{report:?}");
    };
    push(&mut enforcer, &[verdict("v1", SubjectKind::Ip, "10.123.45.5", "block", 5)], &[]);
    assert!(!net.reach("10.123.45.5", SERVER));
    until("the kernel lets go by itself", || net.reach("10.123.45.5", SERVER));

    let wide = [verdict("v2", SubjectKind::Cidr, "10.123.45.0/25", "block", 600)];
    push(&mut enforcer, &wide, &[]);
    assert!(!net.reach("10.123.45.5", SERVER) && net.reach("10.123.45.130", SERVER));
    net.nft(&["add", "element", "inet", "sidetap", "block4", "{ 10.123.45.130 }"]);
    assert!(!net.reach("10.123.45.130", SERVER));
    let allow = ["10.123.45.130/32", "10.123.45.131/32", "10.9.0.0/24", "10.9.1.0/24", "2001:db8::/32"];
    push(&mut enforcer, &wide, &allow);
    let again = enforcer.push(&desired(&wide, &allow), wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(
        again.connectors[0].outcome, "unchanged",
        "neighbours on the allow list are read as they were written"
    );
    assert!(net.reach("10.123.45.130", SERVER), "the allow list is the first rule on the device too");

    net.nft(&[
        "add",
        "element",
        "inet",
        "sidetap",
        "allow4",
        "{ 10.123.45.6 comment \"partner\", 10.8.0.0/30 }",
    ]);
    let other = ["10.123.45.130/32", "10.9.0.0/24", "10.8.0.0/24"];
    push(&mut enforcer, &wide, &other);
    let again = enforcer.push(&desired(&wide, &other), wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(again.connectors[0].outcome, "unchanged", "{again:?}");
    assert!(net.reach("10.123.45.6", SERVER) && !net.reach("10.123.45.5", SERVER));
    push(&mut enforcer, &wide, &[]);
    let left = net.nft(&["list", "set", "inet", "sidetap", "allow4"]);
    assert!(left.contains("10.123.45.6 comment \"partner\"") && left.contains("10.8.0.0/30"), "{left}");
    assert!(!left.contains("sidetap:allow"), "{left}");
    net.nft(&["delete", "element", "inet", "sidetap", "allow4", "{ 10.123.45.6 }"]);

    push(&mut enforcer, &[verdict("v3", SubjectKind::Ip, "10.123.45.6", "rate-limit", 600)], &[]);
    let through = (0..12).filter(|_| net.reach("10.123.45.6", SERVER)).count();
    assert!((1..12).contains(&through), "{through} of 12 at three a second");
}

#[test]
fn a_lost_rule_is_put_back_and_refusals_are_told() {
    let Some(net) = Net::make() else { return };
    let mut connector = net.connector();
    let drift = connector.observe(wall()).unwrap().drift;
    assert_eq!(drift, ["table inet sidetap"]);
    let mut enforcer = Enforcer::with_connectors(vec![Box::new(connector)]);
    let want = desired(&[verdict("v1", SubjectKind::Ip, "10.123.45.5", "block", 600)], &[]);
    enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::Enforce));
    net.nft(&["flush", "chain", "inet", "sidetap", "prerouting"]);
    let status = enforcer.status(wall_ts());
    assert_eq!(status.connectors[0].drift, ["rules of prerouting"]);
    let report = enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::Enforce));
    assert_eq!(report.connectors[0].outcome, "done", "{report:?}");
    assert!(enforcer.status(wall_ts()).connectors[0].drift.is_empty());
    assert!(net.nft(&["list", "chain", "inet", "sidetap", "prerouting"]).contains("@block4"));

    let mut config = net.config();
    config.command = vec!["/bin/false".into()];
    let error = NftablesConnector::new(config.clone()).unwrap().observe(wall()).unwrap_err();
    assert!(error.to_string().starts_with("refused `false -j list table inet sidetap`"), "{error}");
    config.command = vec!["/nowhere/nft".into()];
    let error = NftablesConnector::new(config.clone()).unwrap().observe(wall()).unwrap_err();
    assert!(error.to_string().starts_with("cannot be reached"), "{error}");
    (config.command, config.timeout_s) = (vec!["sleep".into(), "60".into()], 1);
    let mut slow = config.clone();
    slow.command = vec!["sh".into(), "-c".into(), "exec sleep 60".into()];
    let error = NftablesConnector::new(slow).unwrap().observe(wall()).unwrap_err();
    assert!(error.to_string().starts_with("no answer within 1 s"), "{error}");
}

/// Whatever lets everybody through, or nobody, is drift and is put right.
#[test]
fn what_others_do_to_the_chain_is_noticed() {
    let Some(net) = Net::make() else { return };
    let mut enforcer = Enforcer::with_connectors(vec![Box::new(net.connector())]);
    let want = desired(&[verdict("v1", SubjectKind::Ip, "10.123.45.5", "block", 600)], &[]);
    let push = |enforcer: &mut Enforcer| {
        let report = enforcer.push(&want, wall_ts(), &PushOptions::new(Mode::Enforce));
        assert!(report.is_ok(), "{report:?}");
        report.connectors[0].outcome.clone()
    };
    assert_eq!(push(&mut enforcer), "done");
    let right = net.nft(&["list", "table", "inet", "sidetap"]);
    let changes: [&[&str]; 3] = [
        &["insert", "rule", "inet", "sidetap", "prerouting", "accept"],
        &["add", "chain", "inet", "sidetap", "prerouting", "{ policy drop; }"],
        &["add", "table", "inet", "sidetap", "{ flags dormant; }"],
    ];
    for change in changes {
        net.nft(change);
        let status = enforcer.status(wall_ts());
        assert_eq!(status.connectors[0].drift.len(), 1, "{change:?}: {:?}", status.connectors[0]);
        assert_eq!(push(&mut enforcer), "done", "{change:?}");
        let shape = |text: &str| {
            text.lines().filter(|l| !l.contains("expires")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(shape(&net.nft(&["list", "table", "inet", "sidetap"])), shape(&right), "{change:?}");
        assert_eq!(push(&mut enforcer), "unchanged");
    }
}

#[test]
fn an_element_that_times_out_before_its_removal_does_not_stop_the_rest() {
    let Some(net) = Net::make() else { return };
    let mut connector = net.connector();
    let entry = |ip: &str| Entry {
        key: ip.parse().unwrap(),
        response: Response::Block,
        expires_at: wall() + 600,
        verdict: "v1".into(),
        priority: (90, 0),
        way: None,
    };
    let apply = |connector: &mut NftablesConnector, wanted: &[Entry], meanwhile: &dyn Fn()| {
        let observed = connector.observe(wall()).unwrap();
        let plan = sidetap_mitigation::plan(wanted, &observed, &[], connector.sees());
        meanwhile();
        connector.apply(&plan, wall()).unwrap();
    };
    let before = [entry("192.0.2.1/32"), entry("192.0.2.2/32"), entry("198.51.100.0/24")];
    apply(&mut connector, &before, &|| ());
    apply(&mut connector, &[entry("192.0.2.3/32")], &|| {
        net.nft(&["delete", "element", "inet", "sidetap", "block4", "{ 192.0.2.1 }"]);
        net.nft(&["flush", "set", "inet", "sidetap", "blocknet4"]);
    });
    let left: Vec<String> =
        connector.observe(wall()).unwrap().entries.iter().map(|e| e.key.to_string()).collect();
    assert_eq!(left, ["192.0.2.3"]);
}

#[test]
fn networks_give_way_to_their_parts_one_after_the_other() {
    let Some(net) = Net::make() else { return };
    let _server = net.serve();
    // The parts of both are urgent alike, in turn.
    let block = |(n, net): (usize, &&str)| VerdictRow {
        score: 99 - u8::try_from(n).unwrap(),
        ..verdict(&format!("v{net}"), SubjectKind::Cidr, net, "block", 3_600)
    };
    let mut enforcer = Enforcer::with_connectors(vec![Box::new(net.connector())]);
    enforcer.cap(Caps { adds_per_minute: 4, ..Caps::default() }, None);
    let start = wall_ts().secs();
    let push = |enforcer: &mut Enforcer, nets: &[&str], minute: i64| {
        let want = desired(&nets.iter().enumerate().map(block).collect::<Vec<_>>(), &[]);
        let at = sidetap_model::Ts::from_parts(start + minute * 60, 0);
        let report = enforcer.push(&want, at, &PushOptions::new(Mode::Enforce)).connectors.remove(0);
        assert!(["done", "waiting", "unchanged"].contains(&report.outcome.as_str()), "{report:?}");
        report
    };
    push(&mut enforcer, &["10.123.45.0/26", "10.123.45.128/26"], 0);
    assert!(!net.reach("10.123.45.5", SERVER) && !net.reach("10.123.45.130", SERVER));
    // Three parts of each, and four a minute: both cannot give way in one.
    let parts = [0, 128, 4, 132, 8, 136].map(|n| format!("10.123.45.{n}/30"));
    let others = ["198.51.100.0/24", "203.0.113.0/24"];
    let wanted: Vec<&str> = parts.iter().map(String::as_str).chain(others).collect();
    for minute in 2.. {
        assert!(minute < 8, "they wait for ever");
        let report = push(&mut enforcer, &wanted, minute);
        for attacker in ["10.123.45.5", "10.123.45.130"] {
            assert!(!net.reach(attacker, SERVER), "{attacker} is let go in between: {report:?}");
        }
        if report.waiting == 0 {
            break;
        }
    }
    let mut connector = net.connector();
    let held: BTreeSet<String> =
        connector.observe(wall()).unwrap().entries.iter().map(|e| e.key.to_string()).collect();
    assert_eq!(held, wanted.iter().map(ToString::to_string).collect());
}

/// A client asks from two addresses of its own: one that is blocked for good, and one that never is.
#[test]
fn a_probe_proves_that_packets_are_dropped() {
    let Some(net) = Net::make() else { return };
    let server = net.serve();
    let exe = std::env::current_exe().unwrap();
    let asks = |to: &str| {
        let ask = format!(
            "{} netns exec {} env {ROLE}='once {{}} {to}' {} --exact in_another_role --nocapture | grep -q answered",
            net.ip.display(),
            net.client,
            exe.display()
        );
        let text = format!(
            "command = [\"sh\", \"-c\", \"{ask}\"]\naddress = \"10.123.45.130\"\ncontrol = \"10.123.45.5\"\n"
        );
        let mut config = net.config();
        config.canary = Some(toml::from_str(&text).unwrap());
        Enforcer::with_connectors(vec![Box::new(NftablesConnector::new(config).unwrap())])
    };
    let mut enforcer = asks(SERVER);
    let want = |id: &str, ip: &str| desired(&[verdict(id, SubjectKind::Ip, ip, "block", 600)], &[]);
    let options = PushOptions::new(Mode::Enforce);
    let report = enforcer.push(&want("v1", "10.123.45.6"), wall_ts(), &options);
    let result = &report.connectors[0];
    assert_eq!((result.outcome.as_str(), result.verified), ("done", Some(2)), "{report:?}");
    assert!(result.effect_ms.is_some());
    assert!(!net.reach("10.123.45.130", SERVER) && net.reach("10.123.45.5", SERVER));
    assert!(enforcer.status(wall_ts()).connectors[0].drift.is_empty());

    // A path past the packet filter, whose set holds the entry all the same.
    assert!(net.run(&["-n", &net.client, "link", "set", "lo", "up"]));
    let past = Process::start(net.role(&net.client, "server").stdout(Stdio::null()));
    until("the other server listens", || net.reach("10.123.45.5", "10.123.45.6"));
    let mut past_it = asks("10.123.45.6").with_ledger(enforcer.ledger().clone());
    let report = past_it.push(&want("v2", "10.123.45.7"), wall_ts(), &options);
    let answer = &report.connectors[0].answer;
    assert!(answer.contains("a request of 10.123.45.130 is still answered"), "{report:?}");
    drop(past);
    drop(server);
    let report = enforcer.push(&want("v3", "10.123.45.8"), wall_ts(), &options);
    let answer = &report.connectors[0].answer;
    assert!(answer.contains("the canary proves nothing"), "nobody answers: {report:?}");
    let drift = &enforcer.status(wall_ts()).connectors[0].drift;
    assert!(drift.iter().any(|d| d.contains("proves nothing")), "{drift:?}");
}

struct UnderTest {
    net: Net,
    _dir: tempfile::TempDir,
    fail: PathBuf,
    gone: PathBuf,
    connector: NftablesConnector,
}

impl Device for UnderTest {
    fn connector(&mut self) -> &mut dyn Connector {
        &mut self.connector
    }

    fn add_foreign(&mut self) -> bool {
        self.net.nft(&["add", "table", "inet", "sidetap"]);
        self.net.nft(&["add", "element", "inet", "sidetap", "block4", "{ 192.0.2.200 timeout 1h }"]);
        true
    }

    fn foreign_is_there(&mut self) -> bool {
        self.net.nft(&["list", "set", "inet", "sidetap", "block4"]).contains("192.0.2.200")
    }

    fn flush(&mut self) {
        self.net.nft(&["flush", "ruleset"]);
    }

    fn break_next(&mut self) -> bool {
        std::fs::write(&self.fail, "").unwrap();
        true
    }

    fn away(&mut self, away: bool) -> bool {
        let _ = if away { std::fs::write(&self.gone, "") } else { std::fs::remove_file(&self.gone) };
        true
    }

    fn twin(&mut self) -> Option<Box<dyn Connector>> {
        Some(Box::new(NftablesConnector::new(self.net.config()).unwrap()))
    }

    fn second(&mut self) -> Option<Box<dyn Connector>> {
        let mut config = self.net.config();
        config.table = "other".into();
        Some(Box::new(NftablesConnector::new(config).unwrap()))
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
    let Some(net) = Net::make() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (fail, gone) = (dir.path().join("fail"), dir.path().join("gone"));
    let mut config = net.config();
    config.command = support::fickle(&config.command, "-f", &fail, &gone);
    let connector = NftablesConnector::new(config).unwrap();
    let left_out = suite::run(&mut UnderTest { net, connector, _dir: dir, fail, gone }).unwrap();
    assert_eq!(left_out, ["hosts and endpoints", "a wrong credential"]);
}

#[test]
#[ignore = "measures: cargo test --release -p sidetap-mitigation -- --ignored --nocapture --test-threads 1"]
fn measure_a_hundred_thousand() {
    let Some(net) = Net::make() else { return };
    let mut config = net.config();
    config.capacity = support::most();
    support::measure(&mut NftablesConnector::new(config).unwrap());
}
