//! A canary that is known by its agent and asks from an address that is never blocked: this machine's, which is no loopback address.

use std::process::Command;

use sidetap_mitigation::haproxy::HaproxyConnector;
use sidetap_mitigation::{AddressSeen, Enforcer, Mode, PushOptions};
use sidetap_model::SubjectKind;

use crate::Haproxy;
use crate::support::{self, desired, skip, tool, verdict, wall_ts};

const ROLE: &str = "SIDETAP_TEST_CANARY";
const DOOR: &str = "10.99.5.1:8099";
const HERE: &str = "10.99.5.2";

/// The namespace of a balancer and that of who pushes, joined by a cable.
struct Cable {
    ip: std::path::PathBuf,
    names: [String; 2],
}

impl Cable {
    fn lay() -> Option<Self> {
        let (ip, _) = (tool("ip")?, tool("haproxy")?);
        let id = std::process::id();
        let cable = Cable { ip, names: [format!("sth-{id}"), format!("stp-{id}")] };
        let [door, here] = &cable.names;
        if !cable.run(&["netns", "add", door]) {
            skip("network namespaces cannot be made (needs root)");
            return None;
        }
        for step in [
            format!("netns add {here}"),
            format!("-n {door} link add st-h type veth peer name st-p netns {here}"),
            format!("-n {door} addr add 10.99.5.1/24 dev st-h"),
            format!("-n {here} addr add {HERE}/24 dev st-p"),
            format!("-n {door} link set st-h up"),
            format!("-n {here} link set st-p up"),
            format!("-n {here} link set lo up"),
        ] {
            assert!(cable.run(&step.split(' ').collect::<Vec<_>>()), "ip {step}");
        }
        Some(cable)
    }

    fn run(&self, args: &[&str]) -> bool {
        let status = Command::new(&self.ip).args(args).stderr(std::process::Stdio::null()).status();
        status.is_ok_and(|s| s.success())
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for name in &self.names {
            self.run(&["netns", "del", name]);
        }
    }
}

#[test]
fn it_proves_from_an_address_that_is_never_blocked() {
    if let Ok(door) = std::env::var(ROLE) {
        return push_over(&door);
    }
    let Some(cable) = Cable::lay() else { return };
    let [door, here] = &cable.names;
    let out = Command::new(&cable.ip)
        .args(["netns", "exec", here])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "canary::it_proves_from_an_address_that_is_never_blocked", "--nocapture"])
        .env(ROLE, door)
        .output()
        .unwrap();
    let said = [out.stdout, out.stderr].map(|t| String::from_utf8_lossy(&t).into_owned()).concat();
    assert!(out.status.success() && said.contains("1 passed"), "{said}");
}

/// In the namespace of who pushes.
fn push_over(door: &str) {
    let bound = |text: &str| {
        let peer = text.find("frontend www\n").unwrap() + "frontend www\n".len();
        let (before, behind) = text.split_at(peer);
        format!("{before}    bind {DOOR} namespace {door}\n{behind}")
    };
    let mut haproxy = Haproxy::start_with(bound).unwrap();
    let enforcer_of = |haproxy: &Haproxy| {
        let mut config = haproxy.config(AddressSeen::Peer);
        let canary = format!("url = \"http://{DOOR}/healthz\"\nhost = \"shop.example\"\nwithin_s = 1");
        config.canary = Some(toml::from_str(&canary).unwrap());
        Enforcer::with_connectors(vec![Box::new(HaproxyConnector::new(config).unwrap())])
    };
    let attackers = |n: u8| -> Vec<_> {
        let one = |n| verdict(&format!("v{n}"), SubjectKind::Ip, &format!("203.0.113.{n}"), "block", 600);
        (1..=n).map(one).collect()
    };
    let options = PushOptions::new(Mode::Enforce);
    let door = DOOR.parse().unwrap();
    let agent = || support::get(door, HERE, &[("User-Agent", "sidetap-canary/1")]).0;
    let mut works = enforcer_of(&haproxy);
    let report = works.push(&desired(&attackers(1), &["10.99.5.2/32"]), wall_ts(), &options);
    assert!(report.is_ok() && report.connectors[0].effect_ms.is_some(), "{report:?}");
    assert_eq!((agent(), support::get(door, HERE, &[]).0), (403, 200), "and nobody else of there is refused");
    assert_eq!(works.status(wall_ts()).connectors[0].drift, Vec::<String>::new());

    // A script of before, which looks at the list first.
    let script = haproxy.file("sidetap.lua");
    let text = std::fs::read_to_string(&script).unwrap();
    let of_before = text.replace("txn:unset_var(\"txn.st_ip\")", "");
    assert_ne!(text, of_before);
    std::fs::write(&script, of_before).unwrap();
    haproxy.restart();
    let mut enforcer = enforcer_of(&haproxy);
    for n in 1..=4 {
        let report = enforcer.push(&desired(&attackers(n), &["10.99.5.2/32"]), wall_ts(), &options);
        let result = &report.connectors[0];
        assert!(
            result.outcome == "failed"
                && result.answer.contains("comes from 10.99.5.2, which is on the never-block list")
                && result.answer.contains("put the one of this version in its place"),
            "{report:?}"
        );
        let map = haproxy.runtime(&format!("show map {}", haproxy.file("block.map").display()));
        assert!(map.contains(&format!("203.0.113.{n} ")), "who comes next does not wait for it: {map}");
    }
    // Nothing is new: it is asked again by and by, and the audit has it once.
    let report = enforcer.push(&desired(&attackers(4), &["10.99.5.2/32"]), wall_ts(), &options);
    let result = &report.connectors[0];
    assert!(result.outcome == "waiting" && result.answer.contains("asked again in"), "{report:?}");
    assert!(report.actions.is_empty(), "{report:?}");
}
