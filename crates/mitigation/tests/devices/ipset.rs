use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use sidetap_mitigation::Connector;
use sidetap_mitigation::ipset::IpsetConnector;

use crate::rig::{Rig, acts, contract, many, measure};
use crate::support::{fickle, skip, tool};

/// A gateway in a namespace of its own, with the addresses of the clients on the other end of a cable.
pub(crate) struct Ipset {
    ip: PathBuf,
    gateway: String,
    client: String,
    dir: tempfile::TempDir,
}

impl Ipset {
    pub(crate) fn start() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (ip, _, _, _) = (tool("ip")?, tool("ipset")?, tool("iptables")?, tool("ping")?);
        let id = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = tempfile::tempdir().unwrap();
        let device = Ipset { ip, gateway: format!("sig-{id}"), client: format!("sic-{id}"), dir };
        if !device.ip(&format!("netns add {}", device.gateway)) {
            skip("network namespaces cannot be made (needs root)");
            return None;
        }
        let Ipset { gateway, client, .. } = &device;
        for step in [
            format!("netns add {client}"),
            format!("-n {gateway} link add st-g type veth peer name st-c netns {client}"),
            format!("-n {gateway} addr add 203.0.113.1/24 dev st-g"),
            format!("-n {client} addr add 203.0.113.9/24 dev st-c"),
            format!("-n {client} addr add 203.0.113.10/24 dev st-c"),
            format!("-n {gateway} link set st-g up"),
            format!("-n {client} link set st-c up"),
        ] {
            assert!(device.ip(&step), "ip {step}");
        }
        assert!(device.rules(), "the kernel takes no rule with a set");
        Some(device)
    }

    /// What the user's page says: the sets, and a rule that uses them.
    fn rules(&self) -> bool {
        self.ip(&format!(
            "netns exec {} ipset create -exist sidetap4 hash:net family inet timeout 0 comment maxelem 100",
            self.gateway
        )) && self.ip(&format!(
            "netns exec {} iptables -I INPUT -m set --match-set sidetap4 src -j DROP",
            self.gateway
        ))
    }

    fn ip(&self, args: &str) -> bool {
        Command::new(&self.ip)
            .args(args.split(' '))
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    }

    fn connector_of(&self, set: &str) -> IpsetConnector {
        let base: Vec<String> =
            [self.ip.to_str().unwrap(), "netns", "exec", &self.gateway, "ipset"].map(str::to_owned).into();
        let command = fickle(&base, "restore", &self.dir.path().join("fail"), &self.dir.path().join("gone"));
        let text = format!("command = {command:?}\nset = \"{set}\"\ncapacity = 100\n");
        IpsetConnector::new(toml::from_str(&crate::rig::room(&text)).unwrap()).unwrap()
    }
}

impl Drop for Ipset {
    fn drop(&mut self) {
        self.ip(&format!("netns del {}", self.gateway));
        self.ip(&format!("netns del {}", self.client));
    }
}

impl Rig for Ipset {
    fn connector(&self) -> Box<dyn Connector> {
        Box::new(self.connector_of("sidetap"))
    }

    fn request(&self, from: &str) -> u16 {
        let ping = format!("netns exec {} ping -q -c 1 -W 0.3 -I {from} 203.0.113.1", self.client);
        if self.ip(&ping) { 200 } else { 0 }
    }

    fn flush(&mut self) {
        self.ip(&format!("netns exec {} ipset flush", self.gateway));
    }

    fn add_foreign(&mut self) -> bool {
        self.ip(&format!("netns exec {} ipset add sidetap4 192.0.2.200", self.gateway))
    }

    fn foreign_is_there(&mut self) -> bool {
        self.ip(&format!("netns exec {} ipset test sidetap4 192.0.2.200", self.gateway))
    }

    fn away(&mut self, away: bool) -> bool {
        let gone = self.dir.path().join("gone");
        let _ = if away { std::fs::write(gone, "") } else { std::fs::remove_file(gone) };
        true
    }

    fn break_next(&mut self) -> bool {
        std::fs::write(self.dir.path().join("fail"), "").unwrap();
        true
    }

    fn second(&mut self) -> Option<Box<dyn Connector>> {
        Some(Box::new(self.connector_of("other")))
    }
}

#[test]
fn keeps_the_contract() {
    let Some(device) = Ipset::start() else { return };
    contract(device);
}

#[test]
fn acts_on_packets() {
    let Some(device) = Ipset::start() else { return };
    acts(device);
}

#[test]
#[ignore = "measures"]
fn measure_effect() {
    let Some(device) = Ipset::start() else { return };
    measure(device, 30);
}

#[test]
#[ignore = "measures"]
fn measure_a_hundred_thousand() {
    let Some(device) = Ipset::start() else { return };
    many(device);
}
