use std::process::{Command, Stdio};

use sidetap_mitigation::Connector;
use sidetap_mitigation::bgp::BgpConnector;

use crate::rig::{Rig, acts, capacity, contract, many_up_to};
use crate::support::{Process, fickle, free_port, tool, until};

/// A speaker without neighbours: what it would announce is read from it.
struct Gobgp {
    dir: tempfile::TempDir,
    port: u16,
    mode: &'static str,
    process: Option<Process>,
}

impl Gobgp {
    fn start(mode: &'static str) -> Option<Self> {
        let (_, _) = (tool("gobgpd")?, tool("gobgp")?);
        let dir = tempfile::tempdir().unwrap();
        let conf = "[global.config]\n  as = 64512\n  router-id = \"192.0.2.9\"\n  port = -1\n";
        std::fs::write(dir.path().join("bgp.toml"), conf).unwrap();
        let mut device = Gobgp { dir, port: free_port(), mode, process: None };
        device.run();
        Some(device)
    }

    fn run(&mut self) {
        let mut command = Command::new(tool("gobgpd").unwrap());
        command
            .arg("-f")
            .arg(self.dir.path().join("bgp.toml"))
            .arg("--api-hosts")
            .arg(format!("127.0.0.1:{}", self.port));
        self.process = Some(Process::start(command.stdout(Stdio::null()).stderr(Stdio::null())));
        until("gobgpd answers", || self.gobgp("global").contains("64512"));
    }

    fn gobgp(&self, args: &str) -> String {
        let mut command = Command::new("gobgp");
        command.args(["-p", &self.port.to_string()]).args(args.split(' '));
        String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
    }

    fn family(&self) -> &'static str {
        if self.mode == "flowspec" { "ipv4-flowspec" } else { "ipv4" }
    }

    fn connector_of(&self, memory: &str) -> BgpConnector {
        let command = ["gobgp", "-p", &self.port.to_string()].map(str::to_owned);
        let (fail, gone) = (self.dir.path().join("fail"), self.dir.path().join("gone"));
        let text = format!(
            "command = {:?}\nmode = \"{}\"\ndestinations = [\"10.77.0.0/24\", \"2001:db8:1::/48\"]\nmemory = \"{}\"\ncapacity = {}\n",
            fickle(&command, "add", &fail, &gone),
            self.mode,
            self.dir.path().join(memory).display(),
            // Each route is a command.
            capacity(20),
        );
        BgpConnector::new(toml::from_str(&text).unwrap()).unwrap()
    }
}

impl Rig for Gobgp {
    fn connector(&self) -> Box<dyn Connector> {
        Box::new(self.connector_of("memory.json"))
    }

    fn request(&self, from: &str) -> u16 {
        let rib = self.gobgp(&format!("global rib -a {}", self.family()));
        if rib.contains(&format!("{from}/32")) { 0 } else { 200 }
    }

    /// Routes of a speaker go with it.
    fn flush(&mut self) {
        self.process = None;
        self.run();
    }

    fn add_foreign(&mut self) -> bool {
        self.gobgp(match self.mode {
            "flowspec" => "global rib add -a ipv4-flowspec match source 192.0.2.200/32 destination 10.77.0.0/24 then discard",
            _ => "global rib add 192.0.2.200/32 -a ipv4 nexthop 192.0.2.1",
        });
        true
    }

    fn foreign_is_there(&mut self) -> bool {
        self.request("192.0.2.200") == 0
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
        Some(Box::new(self.connector_of("other.json")))
    }
}

#[test]
fn flow_specifications_keep_the_contract() {
    let Some(device) = Gobgp::start("flowspec") else { return };
    contract(device);
}

#[test]
fn routes_to_a_black_hole_keep_the_contract() {
    let Some(device) = Gobgp::start("rtbh") else { return };
    contract(device);
}

#[test]
fn routes_come_and_go() {
    for mode in ["flowspec", "rtbh"] {
        let Some(device) = Gobgp::start(mode) else { return };
        acts(device);
    }
}

#[test]
#[ignore = "measures"]
fn measure_a_hundred_thousand() {
    let Some(device) = Gobgp::start("flowspec") else { return };
    many_up_to(device, 500);
}
