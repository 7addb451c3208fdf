use std::path::PathBuf;
use std::process::{Command, Stdio};

use sidetap_mitigation::Connector;
use sidetap_mitigation::crowdsec::CrowdsecConnector;

use crate::rig::{Rig, acts, contract, many};
use crate::support::{Process, TcpRelay, free_port, tool, until};

const PASSWORD: &str = "a-password-of-a-machine";

/// A local API of its own, without the network of CrowdSec.
pub(crate) struct Crowdsec {
    dir: tempfile::TempDir,
    cscli: PathBuf,
    crowdsec: PathBuf,
    pub(crate) port: u16,
    relay: TcpRelay,
    process: Option<Process>,
}

impl Crowdsec {
    pub(crate) fn start() -> Option<Self> {
        let (crowdsec, cscli) = (tool("crowdsec")?, tool("cscli")?);
        let dir = tempfile::tempdir().unwrap();
        let (at, port) = (dir.path().display(), free_port());
        let conf = format!(
            "common: {{daemonize: false, log_media: stdout, log_level: error}}\n\
             config_paths: {{config_dir: {at}, data_dir: {at}, hub_dir: {at}, simulation_path: {at}/empty.yaml, index_path: {at}/.index.json, \
             notification_dir: {at}, plugin_dir: {at}}}\n\
             crowdsec_service: {{enable: false}}\ncscli: {{output: raw}}\n\
             db_config: {{type: sqlite, db_path: {at}/crowdsec.db, use_wal: true}}\n\
             api:\n  client: {{credentials_path: {at}/local.yaml}}\n\
             \x20 server: {{listen_uri: 127.0.0.1:{port}, profiles_path: {at}/profiles.yaml, log_level: error}}\n\
             prometheus: {{enabled: false}}\n"
        );
        let profile = "name: p\nfilters: [\"Alert.Remediation == true\"]\ndecisions: [{type: ban, duration: 4h}]\non_success: break\n";
        for (name, text) in [
            ("config.yaml", conf.as_str()),
            ("profiles.yaml", profile),
            ("empty.yaml", ""),
            ("password", PASSWORD),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let mut device = Crowdsec { dir, cscli, crowdsec, port, relay: TcpRelay::start(port), process: None };
        device.cscli(&["machines", "add", "sidetap", "--password", PASSWORD, "-f", "/dev/null"]);
        device.cscli(&[
            "machines",
            "add",
            "local",
            "--password",
            PASSWORD,
            "-f",
            device.file("local.yaml").to_str().unwrap(),
        ]);
        device.cscli(&["bouncers", "add", "fw", "-k", PASSWORD]);
        device.run();
        Some(device)
    }

    fn run(&mut self) {
        let mut command = Command::new(&self.crowdsec);
        command.arg("-c").arg(self.file("config.yaml")).arg("-no-cs");
        self.process = Some(Process::start(command.stdout(Stdio::null()).stderr(Stdio::null())));
        let port = self.port;
        until("crowdsec listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn cscli(&self, args: &[&str]) -> String {
        let out =
            Command::new(&self.cscli).arg("-c").arg(self.file("config.yaml")).args(args).output().unwrap();
        assert!(out.status.success(), "cscli {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    fn connector_of(&self, origin: &str, password: &str) -> CrowdsecConnector {
        let text = format!(
            "url = \"http://127.0.0.1:{}\"\npassword = {{ file = \"{}\" }}\norigin = \"{origin}\"\ncapacity = 100\n",
            self.relay.port,
            self.file(password).display()
        );
        CrowdsecConnector::new(toml::from_str(&crate::rig::room(&text)).unwrap()).unwrap()
    }
}

impl Rig for Crowdsec {
    fn connector(&self) -> Box<dyn Connector> {
        Box::new(self.connector_of("sidetap", "password"))
    }

    /// What a bouncer that is asked for this client would do.
    fn request(&self, from: &str) -> u16 {
        let key = format!("X-Api-Key: {PASSWORD}");
        let url = format!("http://127.0.0.1:{}/v1/decisions?ip={from}", self.port);
        let out = Command::new("curl").args(["-s", "-A", "test/1", "-H", &key, &url]).output().unwrap();
        if String::from_utf8_lossy(&out.stdout).contains("\"ban\"") { 403 } else { 200 }
    }

    fn flush(&mut self) {
        self.cscli(&["decisions", "delete", "--all"]);
    }

    fn add_foreign(&mut self) -> bool {
        self.cscli(&["decisions", "add", "--ip", "192.0.2.200", "--duration", "1h"]);
        true
    }

    fn foreign_is_there(&mut self) -> bool {
        self.cscli(&["decisions", "list", "-i", "192.0.2.200"]).contains("192.0.2.200")
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

    fn intruder(&mut self) -> Option<(Box<dyn Connector>, String)> {
        std::fs::write(self.file("wrong"), "not-the-password-of-it").unwrap();
        Some((Box::new(self.connector_of("sidetap", "wrong")), "not-the-password-of-it".into()))
    }

    fn second(&mut self) -> Option<Box<dyn Connector>> {
        Some(Box::new(self.connector_of("other", "password")))
    }
}

#[test]
fn keeps_the_contract() {
    let (Some(device), Some(_)) = (Crowdsec::start(), tool("curl")) else { return };
    contract(device);
}

#[test]
fn acts_on_decisions() {
    let (Some(device), Some(_)) = (Crowdsec::start(), tool("curl")) else { return };
    acts(device);
}

#[test]
#[ignore = "measures"]
fn measure_a_hundred_thousand() {
    let Some(device) = Crowdsec::start() else { return };
    many(device);
}
