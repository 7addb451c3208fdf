//! What the tests of connectors share: tools of the machine, ports, child processes, verdicts.

#![allow(
    dead_code,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::unwrap_used
)]

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use sidetap_model::rows::{Reason, Subject, VerdictRow};
use sidetap_model::{SubjectKind, Ts};
use sidetap_policy::AllowList;

/// Where a tool is; none, said aloud, where it is missing. With `SIDETAP_REQUIRE_TOOLS=1` a missing one fails the test.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into(), "/usr/bin".into()]);
    let found = places.map(|dir| dir.join(name)).find(|p| p.is_file());
    if found.is_none() {
        skip(&format!("{name} is not installed"));
    }
    found
}

pub(crate) fn skip(why: &str) {
    println!("skipped: {why}");
    assert!(
        std::env::var_os("SIDETAP_REQUIRE_TOOLS").is_none_or(|v| v != "1"),
        "{why}, and tools are required"
    );
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(crate) fn wall() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64
}

pub(crate) fn wall_ts() -> Ts {
    Ts::from_parts(wall(), 0)
}

/// A child that is ended, by its id, with the test.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        Process(command.stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `holds`, at most ten seconds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn verdict(id: &str, kind: SubjectKind, value: &str, response: &str, ttl_s: u64) -> VerdictRow {
    let reason = Reason {
        indicator: "login-failures".into(),
        weight: 3.0,
        observed: "40 of 40".into(),
        baseline: "3 %".into(),
        evidence: vec!["a-1".into()],
    };
    VerdictRow {
        id: id.into(),
        zone: "default".into(),
        subject: Subject { kind, value: value.into(), parts: Vec::new() },
        client_ip: None,
        client_ips: Vec::new(),
        intent: "malicious".into(),
        class: Some("credential-stuffing".into()),
        oat: vec!["OAT-008".into()],
        score: 90,
        automation: 90,
        coverage: Default::default(),
        campaign: None,
        phase: "online".into(),
        first_seen: wall_ts(),
        detected_at: wall_ts(),
        last_seen: wall_ts(),
        requests: 40,
        reasons: vec![reason],
        response: response.into(),
        ttl_s,
        hosts: Vec::new(),
        origin: None,
        agent: None,
        policy: Some("credential-stuffing".into()),
        measures: None,
    }
}

pub(crate) fn desired(verdicts: &[VerdictRow], allow: &[&str]) -> sidetap_mitigation::Desired {
    let nets: Vec<ipnet::IpNet> = allow.iter().map(|n| n.parse().unwrap()).collect();
    let allow = AllowList::of_nets(&nets);
    let options = sidetap_mitigation::DesiredOptions { now: wall_ts(), max_age_s: 3600, allow };
    sidetap_mitigation::desired(verdicts, &options)
}

/// Pushes 100,000 entries, then one change, then takes all back; prints what each took.
pub(crate) fn measure(connector: &mut dyn sidetap_mitigation::Connector) {
    let entry = |n: u32| sidetap_mitigation::Entry {
        net: std::net::IpAddr::V4(std::net::Ipv4Addr::from(0x0a00_0000 + n * 3)).into(),
        response: sidetap_policy::Response::Block,
        expires_at: wall() + 3600,
        verdict: format!("v-{n:08x}"),
        priority: (90, 0),
    };
    let full: Vec<sidetap_mitigation::Entry> = (0..100_000).map(entry).collect();
    for (what, wanted) in [("100,000 adds", &full[..]), ("one removal", &full[1..]), ("all removed", &[])] {
        let start = Instant::now();
        let observed = connector.observe(wall()).unwrap();
        let seen = start.elapsed();
        let plan = sidetap_mitigation::plan(wanted, &observed, &[], connector.sees());
        let planned = start.elapsed() - seen;
        connector.apply(&plan, wall()).unwrap();
        let all = start.elapsed();
        println!(
            "{}: {what}: observe {seen:?}, plan {planned:?}, apply {:?}, all {all:?}",
            connector.kind(),
            all - seen - planned
        );
    }
}
