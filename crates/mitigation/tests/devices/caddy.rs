use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sidetap_mitigation::Connector;
use sidetap_mitigation::caddy::CaddyConnector;

use crate::rig::{Rig, acts, contract, holds_at_places, holds_for_the_hosts_there_are, many, measure};
use crate::support::{
    Process, TcpRelay, application, ask_at, free_port, get, loopback, tool, until, with_hosts,
};

pub(crate) struct Caddy {
    pub(crate) dir: tempfile::TempDir,
    to: SocketAddr,
    admin: u16,
    relay: TcpRelay,
    process: Option<Process>,
}

impl Caddy {
    /// Behind a balancer that replaces X-Forwarded-For, as docs/connectors/caddy.md has it.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(|text| text.replace("\"remote_ip\": {", "\"remote_ip\": {\"forwarded\": true, "))
    }

    fn start_with(change: impl Fn(&str) -> String) -> Option<Self> {
        let (_, _) = (tool("caddy")?, tool("curl")?);
        let dir = tempfile::tempdir().unwrap();
        let (to, admin) = (loopback(free_port()), free_port());
        let text = with_hosts(include_str!("../../../../docs/connectors/caddy.json"));
        let text = text.replace("127.0.0.1:2019", &format!("127.0.0.1:{admin}"));
        let text = text.replace("\":80\"", &format!("\"{to}\""));
        let text = text.replace("127.0.0.1:9000", &format!("127.0.0.1:{}", application()));
        let relay = TcpRelay::start(admin);
        let through =
            format!("{{\"origins\": [\"127.0.0.1:{admin}\", \"127.0.0.1:{}\"], \"listen\"", relay.port);
        let text = text.replace("{\"listen\": \"127", &format!("{through}: \"127"));
        std::fs::write(dir.path().join("caddy.json"), change(&text)).unwrap();
        let mut caddy = Caddy { dir, to, admin, relay, process: None };
        caddy.run();
        Some(caddy)
    }

    fn run(&mut self) {
        let mut command = Command::new(tool("caddy").unwrap());
        command.args(["run", "--config"]).arg(self.dir.path().join("caddy.json"));
        command
            .env("HOME", self.dir.path())
            .env("XDG_DATA_HOME", self.dir.path())
            .env("XDG_CONFIG_HOME", self.dir.path());
        self.process = Some(Process::start(command.stdout(Stdio::null()).stderr(Stdio::null())));
        let to = self.to;
        until("caddy answers", || get(to, "192.0.2.9", &[]).0 == 200);
    }

    pub(crate) fn connector_of(&self, memory: &str) -> CaddyConnector {
        let text = format!(
            "url = \"http://127.0.0.1:{}\"\nplaces = \"/id/sidetap_block/match\"\nmemory = \"{}\"\naddress = \"forwarded\"\ncapacity = 100\nmin_interval_s = 0\n\
             canary = {{ url = \"http://{}/\", host = \"shop.example\" }}\n",
            self.relay.port,
            self.dir.path().join(memory).display(),
            self.to
        );
        CaddyConnector::new(toml::from_str(&crate::rig::room(&text)).unwrap()).unwrap()
    }

    fn ranges(&self, method: &str, body: &Value) -> Value {
        let url = format!("http://127.0.0.1:{}/id/sidetap_block/match/0/remote_ip/ranges", self.admin);
        let mut command = Command::new("curl");
        command.args(["-s", "-X", method, "-H", "Content-Type: application/json", &url]);
        if method != "GET" {
            command.args(["-d", &body.to_string()]);
        }
        serde_json::from_slice(&command.output().unwrap().stdout).unwrap_or_default()
    }
}

impl Rig for Caddy {
    fn connector(&self) -> Box<dyn Connector> {
        Box::new(self.connector_of("memory.json"))
    }

    fn request(&self, from: &str) -> u16 {
        get(self.to, from, &[]).0
    }

    fn door(&self) -> Option<SocketAddr> {
        Some(self.to)
    }

    fn request_at(&self, from: &str, method: &str, host: &str, path: &str) -> u16 {
        ask_at(self.to, from, (method, host, path), "x")
    }

    fn flush(&mut self) {
        self.ranges("PATCH", &json!(["192.0.2.254/32"]));
    }

    fn add_foreign(&mut self) -> bool {
        let mut ranges = self.ranges("GET", &Value::Null).as_array().unwrap().clone();
        ranges.push(json!("192.0.2.200/32"));
        self.ranges("PATCH", &json!(ranges));
        true
    }

    fn foreign_is_there(&mut self) -> bool {
        self.ranges("GET", &Value::Null).to_string().contains("192.0.2.200/32")
    }

    fn away(&mut self, away: bool) -> bool {
        if away {
            self.process = None;
        } else {
            self.run();
        }
        true
    }

    fn break_next(&mut self) -> bool {
        self.relay.lose_next_change();
        true
    }

    fn second(&mut self) -> Option<Box<dyn Connector>> {
        Some(Box::new(self.connector_of("other.json")))
    }
}

#[test]
fn keeps_the_contract() {
    let Some(caddy) = Caddy::start() else { return };
    contract(caddy);
}

#[test]
fn answers_for_the_hosts_of_the_site_only() {
    let Some(device) = Caddy::start() else { return };
    holds_for_the_hosts_there_are(device);
}

#[test]
fn a_response_holds_at_its_hosts_and_endpoints_only() {
    let Some(device) = Caddy::start() else { return };
    holds_at_places(device);
}

/// Where clients connect themselves, nothing that they write makes them somebody else.
#[test]
fn a_header_lets_nobody_by() {
    let Some(caddy) = Caddy::start_with(str::to_owned) else { return };
    caddy.ranges("PATCH", &json!(["127.0.0.0/8"]));
    for said in ["203.0.113.9", "8.8.8.8, 127.0.0.1", "::1"] {
        until("it is refused", || get(caddy.to, said, &[]).0 == 403);
        assert_eq!(get(caddy.to, said, &[("X-Forwarded-For", "8.8.4.4")]).0, 403, "{said}");
    }
    caddy.ranges("PATCH", &json!(["203.0.113.9/32"]));
    until("it is let in", || get(caddy.to, "203.0.113.9", &[]).0 == 200);
}

#[test]
fn acts_on_requests() {
    let Some(caddy) = Caddy::start() else { return };
    acts(caddy);
}

#[test]
#[ignore = "measures"]
fn measure_effect() {
    let Some(caddy) = Caddy::start() else { return };
    measure(caddy, 30);
}

#[test]
#[ignore = "measures"]
fn measure_a_hundred_thousand() {
    let Some(device) = Caddy::start() else { return };
    many(device);
}
