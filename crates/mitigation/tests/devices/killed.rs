//! A change that is killed before one step after the other: each connection, request, program and file of it, of each kind the first ten of a thread.
//! Who was to stay is refused all the time, entries of others stay, and the next change does the rest. Needs strace.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;
use sidetap_mitigation::akamai::AkamaiConnector;
use sidetap_mitigation::aws::AwsWafConnector;
use sidetap_mitigation::bgp::BgpConnector;
use sidetap_mitigation::caddy::CaddyConnector;
use sidetap_mitigation::cloudflare::CloudflareConnector;
use sidetap_mitigation::crowdsec::CrowdsecConnector;
use sidetap_mitigation::exec::ExecConnector;
use sidetap_mitigation::f5::F5Connector;
use sidetap_mitigation::fastly::FastlyConnector;
use sidetap_mitigation::ipset::IpsetConnector;
use sidetap_mitigation::nginx_plus::NginxPlusConnector;
use sidetap_mitigation::varnish::VarnishConnector;
use sidetap_mitigation::webhook::WebhookConnector;
use sidetap_mitigation::{Connector, ConnectorError, Entry, plan};
use sidetap_policy::Response;

use crate::rig::{ATTACKER, HONEST, Rig, configured, entry};
use crate::support::{skip, tool, until, wall};

/// The calls before which a change is killed, one kind after the other.
const CALLS: [&str; 12] = [
    "clone",
    "clone3",
    "vfork",
    "wait4",
    "waitid",
    "connect",
    "sendto",
    "rename",
    "renameat2",
    "unlink",
    "fsync",
    "fdatasync",
];
/// Of each kind so many at most.
const MOST: u32 = 10;
const BEFORE: [&str; 3] = [ATTACKER, "203.0.113.20", "203.0.113.21"];
const AFTER: [&str; 3] = [ATTACKER, "203.0.113.30", "203.0.113.31"];

fn entries(addresses: &[&str], until: i64) -> Vec<Entry> {
    addresses.iter().map(|a| Entry { expires_at: until, ..entry(a, Response::Block) }).collect()
}

/// Has a device hold these, and whatever others put there; one that asks for time gets it, as the enforcer gives it.
fn reach(connector: &mut dyn Connector, addresses: &[&str], end: i64) {
    let mut once = || {
        let plan = plan(&entries(addresses, end), &connector.observe(wall())?, &[], connector.sees());
        if plan.is_empty() { Ok(()) } else { connector.apply(&plan, wall()).map(drop) }
    };
    let mut said = None;
    until("it takes a change", || {
        said = once().err();
        assert!(said.is_none() || matches!(said, Some(ConnectorError::Later(_))), "{said:?}");
        said.is_none()
    });
}

fn held(rig: &dyn Rig) -> BTreeSet<String> {
    let observed = rig.connector().observe(wall()).unwrap();
    assert_eq!(observed.drift, [""; 0]);
    observed.entries.iter().map(|e| e.key.to_string()).collect()
}

/// Whether programs may be looked at, and killed, by strace; says so where they may not. To be asked before anything is: what goes wrong later
/// is no reason to leave a test out.
fn may_trace() -> bool {
    let Some(strace) = tool("strace") else { return false };
    let mut command = Command::new(strace);
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync"]);
    let output = command.args(["-e", "inject=fsync:signal=SIGKILL:when=1", "true"]).output().unwrap();
    if !output.status.success() {
        skip(&format!("strace may look at nothing here: {}", String::from_utf8_lossy(&output.stderr)));
    }
    output.status.success()
}

/// The one that is killed.
#[test]
#[ignore = "what the others start"]
fn change() {
    let of = |name: &str| std::env::var(format!("SIDETAP_TEST_{name}")).ok();
    let [Some(kind), Some(text), Some(end)] = ["KIND", "TEXT", "END"].map(of) else { return };
    let mut connector: Box<dyn Connector> = match kind.as_str() {
        "akamai" => Box::new(AkamaiConnector::new(toml::from_str(&text).unwrap()).unwrap()),
        "aws-waf" => Box::new(AwsWafConnector::new(toml::from_str(&text).unwrap()).unwrap()),
        "bgp" => Box::new(BgpConnector::new(toml::from_str(&text).unwrap()).unwrap()),
        "caddy" => Box::new(CaddyConnector::new(toml::from_str(&text).unwrap()).unwrap()),
        "cloudflare" => Box::new(CloudflareConnector::new(toml::from_str(&text).unwrap()).unwrap()),
        "crowdsec" => Box::new(CrowdsecConnector::new(toml::from_str(&text).unwrap()).unwrap()),
        "exec" => Box::new(ExecConnector::new(toml::from_str(&text).unwrap()).unwrap()),
        "f5" => Box::new(F5Connector::new(toml::from_str(&text).unwrap()).unwrap()),
        "fastly" => Box::new(FastlyConnector::new(toml::from_str(&text).unwrap()).unwrap()),
        "ipset" => Box::new(IpsetConnector::new(toml::from_str(&text).unwrap()).unwrap()),
        "nginx-plus" => Box::new(NginxPlusConnector::new(toml::from_str(&text).unwrap()).unwrap()),
        "varnish" => Box::new(VarnishConnector::new(toml::from_str(&text).unwrap()).unwrap()),
        "webhook" => Box::new(WebhookConnector::new(toml::from_str(&text).unwrap()).unwrap()),
        other => panic!("{other}"),
    };
    reach(connector.as_mut(), &AFTER, end.parse().unwrap());
}

/// How a change ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    Killed,
    /// A program that it had started was killed, and it said so.
    Failed,
}

/// Changes the device in a process of its own; of its threads, and of those of the programs that it starts, the first is killed that is about to
/// make its call of this kind and number.
fn killed_change((kind, text, until): (&str, &str, i64), call: &str, step: u32) -> End {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    command.args(["-e", &format!("inject={call}:signal=SIGKILL:when={step}")]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", "killed::change", "--ignored", "--nocapture", "--test-threads", "1"]);
    command.env("SIDETAP_TEST_KIND", kind).env("SIDETAP_TEST_TEXT", text);
    command.env("SIDETAP_TEST_END", until.to_string());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => End::Done,
        None | Some(137) => End::Killed,
        Some(101) => End::Failed,
        code => panic!("{call} {step}: {code:?} {said} {}", String::from_utf8_lossy(&output.stdout)),
    }
}

/// Whoever is told of a change by a message is told of who is new by one of one id, however often it comes.
fn is_told_once(told: &[Value], at: &str) {
    let news = |m: &&Value| m["changes"]["add"].as_array().unwrap().iter().any(|e| e["key"] == AFTER[1]);
    let ids: BTreeSet<String> = told.iter().filter(news).map(|m| m["id"].to_string()).collect();
    assert!(ids.len() <= 1, "{at}: told as new by {ids:?}");
}

fn is_finished_by_the_next(mut rig: impl Rig) {
    if !may_trace() {
        return;
    }
    let kind = rig.connector().kind();
    let text = configured();
    let (mut kills, mut failures) = (0, 0);
    reach(rig.connector().as_mut(), &BEFORE, wall() + 3_600);
    let foreign = rig.add_foreign();
    for call in CALLS {
        for step in 1..=MOST {
            let until_then = wall() + 3_600;
            reach(rig.connector().as_mut(), &BEFORE, until_then);
            let told = rig.told().len();
            let end = killed_change((kind, &text, until_then), call, step);
            kills += u32::from(end == End::Killed);
            failures += u32::from(end == End::Failed);
            let at = format!("{kind}: {call} {step}");
            // A program that it started goes on.
            until(&format!("{at}: it answers"), || rig.connector().observe(wall()).is_ok());
            assert_ne!(rig.request(ATTACKER), 200, "{at}: who was to stay is let go");
            assert_eq!(rig.request(HONEST), 200, "{at}");
            assert!(!foreign || rig.foreign_is_there(), "{at}: an entry of others is gone");
            reach(rig.connector().as_mut(), &AFTER, until_then);
            assert_eq!(held(&rig), AFTER.map(str::to_owned).into(), "{at}");
            assert_ne!(rig.request(ATTACKER), 200, "{at}");
            is_told_once(rig.told().get(told..).unwrap_or_default(), &at);
            if end == End::Done {
                break;
            }
        }
    }
    reach(rig.connector().as_mut(), &[], 0);
    assert_eq!(held(&rig), BTreeSet::new());
    until("he is let in", || rig.request(ATTACKER) == 200);
    assert!(!foreign || rig.foreign_is_there());
    println!("{kind}: killed {kills} times, a program of its own {failures} times");
    assert!(kills >= 4, "{kind}: it was killed {kills} times only");
}

#[test]
fn a_change_of_a_service_that_is_killed_is_finished_by_the_next() {
    crate::cloud::services().into_iter().for_each(is_finished_by_the_next);
    let Some(rig) = crate::aws::Moto::start() else { return };
    is_finished_by_the_next(rig);
}

#[test]
fn a_change_of_caddy_that_is_killed_is_finished_by_the_next() {
    let Some(rig) = crate::caddy::Caddy::start() else { return };
    is_finished_by_the_next(rig);
}

#[test]
fn a_change_of_varnish_that_is_killed_is_finished_by_the_next() {
    let Some(rig) = crate::varnish::Varnish::start() else { return };
    is_finished_by_the_next(rig);
}

#[test]
fn a_change_of_ipset_that_is_killed_is_finished_by_the_next() {
    let Some(rig) = crate::ipset::Ipset::start() else { return };
    is_finished_by_the_next(rig);
}

#[test]
fn a_change_of_crowdsec_that_is_killed_is_finished_by_the_next() {
    let Some(rig) = crate::crowdsec::Crowdsec::start() else { return };
    is_finished_by_the_next(rig);
}

#[test]
fn a_change_of_flows_that_is_killed_is_finished_by_the_next() {
    let Some(rig) = crate::bgp::Gobgp::start("flowspec") else { return };
    is_finished_by_the_next(rig);
}

#[test]
fn a_change_of_routes_that_is_killed_is_finished_by_the_next() {
    let Some(rig) = crate::bgp::Gobgp::start("rtbh") else { return };
    is_finished_by_the_next(rig);
}

#[test]
fn a_change_told_to_a_receiver_or_a_program_that_is_killed_is_finished_by_the_next() {
    for observes in [true, false] {
        is_finished_by_the_next(crate::hooks::Receiver::start_with(observes));
        is_finished_by_the_next(crate::hooks::Program::start(observes));
    }
}
