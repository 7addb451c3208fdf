//! AWS WAF, which moto plays.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use sidetap_mitigation::aws::AwsWafConnector;
use sidetap_mitigation::{Connector, ConnectorError};
use sidetap_policy::Response;

use crate::rig::{Rig, acts, contract, entry, many_up_to, measure, room};
use crate::support::{Process, TcpRelay, free_port, loopback, serve, tool, until, wall};

/// AWS WAF as moto plays it.
pub(crate) struct Moto {
    dir: tempfile::TempDir,
    port: u16,
    relay: TcpRelay,
    sets: [String; 2],
    _process: Process,
}

impl Moto {
    pub(crate) fn start() -> Option<Self> {
        let program = tool("moto_server")?;
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in
            [("id", "AKIDEXAMPLEAKIDEXAMPLE"), ("secret", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")]
        {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let port = free_port();
        let mut command = Command::new(program);
        command
            .args(["-H", "127.0.0.1", "-p"])
            .arg(port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = Process::start(&mut command);
        let mut moto =
            Moto { dir, port, relay: TcpRelay::start(port), sets: Default::default(), _process: process };
        until("moto listens", || std::net::TcpStream::connect(loopback(port)).is_ok());
        moto.sets = [("four", "IPV4"), ("six", "IPV6")].map(|(name, version)| moto.make(name, version));
        Some(moto)
    }

    fn ask(&self, action: &str, body: &Value) -> Value {
        ask(self.port, action, body)
    }

    fn make(&self, name: &str, version: &str) -> String {
        let said = self.ask(
            "CreateIPSet",
            &json!({"Name": name, "Scope": "REGIONAL", "IPAddressVersion": version, "Addresses": []}),
        );
        format!("{name}/{}", said["Summary"]["Id"].as_str().unwrap())
    }

    fn get(&self) -> Value {
        let (name, id) = self.sets[0].split_once('/').unwrap();
        self.ask("GetIPSet", &json!({"Name": name, "Id": id, "Scope": "REGIONAL"}))
    }

    fn put(&self, addresses: &Value) {
        let (name, id) = self.sets[0].split_once('/').unwrap();
        let lock = self.get()["LockToken"].clone();
        self.ask(
            "UpdateIPSet",
            &json!({"Name": name, "Id": id, "Scope": "REGIONAL", "Addresses": addresses, "LockToken": lock}),
        );
    }
}

/// Asks moto by itself.
fn ask(port: u16, action: &str, body: &Value) -> Value {
    let url = format!("http://127.0.0.1:{port}/");
    let credential = "Authorization: AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/wafv2/aws4_request, SignedHeaders=host, Signature=00";
    let target = format!("X-Amz-Target: AWSWAF_20190729.{action}");
    let kind = "Content-Type: application/x-amz-json-1.1";
    let out = Command::new("curl")
        .args(["-s", "-H", credential, "-H", &target, "-H", kind, "-d", &body.to_string(), &url])
        .output()
        .unwrap();
    serde_json::from_slice(&out.stdout).unwrap_or_default()
}

impl Moto {
    fn connector_of(&self, memory: &str) -> AwsWafConnector {
        self.connector_at(memory, loopback(self.relay.port))
    }

    fn connector_at(&self, memory: &str, to: SocketAddr) -> AwsWafConnector {
        let at = self.dir.path().display();
        let text = format!(
            "region = \"us-east-1\"\nset_v4 = \"{}\"\nset_v6 = \"{}\"\naccess_key_id = {{ file = \"{at}/id\" }}\n\
             secret_access_key = {{ file = \"{at}/secret\" }}\nmemory = \"{at}/{memory}\"\nendpoint = \"http://{to}\"\n\
             capacity = 100\nmin_interval_s = 0\n",
            self.sets[0], self.sets[1]
        );
        AwsWafConnector::new(toml::from_str(&room(&text)).unwrap()).unwrap()
    }
}

impl Rig for Moto {
    fn connector(&self) -> Box<dyn Connector> {
        Box::new(self.connector_of("memory.json"))
    }

    fn request(&self, from: &str) -> u16 {
        let held = self.get()["IPSet"]["Addresses"].to_string();
        if held.contains(&format!("\"{from}/32\"")) { 403 } else { 200 }
    }

    fn flush(&mut self) {
        self.put(&json!([]));
        let (name, id) = self.sets[1].split_once('/').unwrap();
        let named = json!({"Name": name, "Id": id, "Scope": "REGIONAL"});
        let lock = self.ask("GetIPSet", &named)["LockToken"].clone();
        self.ask(
            "UpdateIPSet",
            &json!({"Name": name, "Id": id, "Scope": "REGIONAL", "Addresses": [], "LockToken": lock}),
        );
    }

    fn add_foreign(&mut self) -> bool {
        let mut held = self.get()["IPSet"]["Addresses"].as_array().unwrap().clone();
        held.push(json!("192.0.2.200/32"));
        self.put(&json!(held));
        true
    }

    fn foreign_is_there(&mut self) -> bool {
        self.get()["IPSet"]["Addresses"].to_string().contains("192.0.2.200/32")
    }

    fn away(&mut self, away: bool) -> bool {
        self.relay.away(away);
        true
    }

    fn break_next(&mut self) -> bool {
        self.relay.lose_next_change();
        true
    }

    fn second(&mut self) -> Option<Box<dyn Connector>> {
        Some(Box::new(self.connector_of("other.json")))
    }

    /// Against a stand-in that answers as AWS does: moto looks at no credential.
    fn intruder(&mut self) -> Option<(Box<dyn Connector>, String)> {
        let said = json!({"__type": "InvalidSignatureException", "message": "The request signature we calculated does not match"});
        let at = serve(move |_| (400, said.to_string()));
        let secret = std::fs::read_to_string(self.dir.path().join("secret")).unwrap();
        Some((Box::new(self.connector_at("intruder.json", at)), secret))
    }
}

#[test]
fn keeps_the_contract_and_acts() {
    let (Some(moto), Some(_)) = (Moto::start(), tool("curl")) else { return };
    contract(moto);
    acts(Moto::start().unwrap());
}

/// Somebody changes the set each time between the reading and the change of it, as often as `times` says: AWS refuses the lock token then.
fn contested(moto: &Moto, times: usize, net: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let (port, set) = (moto.port, moto.sets[0].clone());
    let refused = Arc::new(AtomicUsize::new(0));
    let (count, mut left) = (Arc::clone(&refused), times);
    let at = serve(move |r| {
        let target = r.header("x-amz-target");
        if target.ends_with("UpdateIPSet") && left > 0 {
            left -= 1;
            let (name, id) = set.split_once('/').unwrap();
            let named = json!({"Name": name, "Id": id, "Scope": "REGIONAL"});
            let there = ask(port, "GetIPSet", &named);
            let mut changed = named;
            let mut addresses = there["IPSet"]["Addresses"].as_array().unwrap().clone();
            addresses.push(json!(format!("{net}.{left}/32")));
            changed["Addresses"] = json!(addresses);
            changed["LockToken"] = there["LockToken"].clone();
            ask(port, "UpdateIPSet", &changed);
        }
        let said = ask(port, target.rsplit('.').next().unwrap(), &r.json());
        let is_error = said.get("__type").is_some();
        count.fetch_add(
            usize::from(said.to_string().contains("WAFOptimisticLockException")),
            Ordering::SeqCst,
        );
        (if is_error { 400 } else { 200 }, said.to_string())
    });
    (at, refused)
}

#[test]
fn a_set_that_somebody_changes_meanwhile_is_read_again_and_keeps_what_is_his() {
    let (Some(moto), Some(_)) = (Moto::start(), tool("curl")) else { return };
    for (times, address, is_done) in [(2, "203.0.113.9", true), (9, "203.0.113.10", false)] {
        let (at, refused) = contested(&moto, times, "192.0.2");
        let mut connector = moto.connector_at("memory.json", at);
        let wanted = [entry("203.0.113.9", Response::Block), entry(address, Response::Block)];
        let observed = connector.observe(wall()).unwrap();
        let plan = sidetap_mitigation::plan(&wanted, &observed, &[], connector.sees());
        let done = connector.apply(&plan, wall());
        let held = moto.get()["IPSet"]["Addresses"].to_string();
        assert_eq!(held.contains(&format!("{address}/32")), is_done, "{held}");
        assert_eq!(refused.load(Ordering::SeqCst), times.min(3), "{done:?}");
        for n in 0..2 {
            assert!(held.contains(&format!("192.0.2.{n}/32")), "what somebody else put there stays: {held}");
        }
        match is_done {
            true => assert!(done.is_ok(), "{done:?}"),
            false => assert!(matches!(done, Err(ConnectorError::Conflict(_))), "{done:?}"),
        }
    }
    let memory = std::fs::read_to_string(moto.dir.path().join("memory.json")).unwrap();
    assert!(memory.contains("203.0.113.9") && !memory.contains("203.0.113.10"), "never written: {memory}");
    // The next push makes good what failed.
    let mut connector = moto.connector_of("memory.json");
    let wanted = [entry("203.0.113.10", Response::Block)];
    let plan = sidetap_mitigation::plan(&wanted, &connector.observe(wall()).unwrap(), &[], connector.sees());
    connector.apply(&plan, wall()).unwrap();
    let held = moto.get()["IPSet"]["Addresses"].to_string();
    assert!(held.contains("203.0.113.10/32") && !held.contains("203.0.113.9/32"), "{held}");
}

#[test]
fn an_address_that_somebody_puts_there_at_the_same_moment_is_his() {
    let (Some(moto), Some(_)) = (Moto::start(), tool("curl")) else { return };
    let wanted = [entry("203.0.113.0", Response::Block), entry("203.0.113.9", Response::Block)];
    let push = |connector: &mut AwsWafConnector, wanted: &[sidetap_mitigation::Entry]| {
        let observed = connector.observe(wall()).unwrap();
        let plan = sidetap_mitigation::plan(wanted, &observed, &[], connector.sees());
        connector.apply(&plan, wall())
    };
    let (at, _) = contested(&moto, 1, "203.0.113");
    let done = push(&mut moto.connector_at("memory.json", at), &wanted);
    assert!(matches!(done, Err(ConnectorError::Conflict(_))), "{done:?}");
    let mut connector = moto.connector_of("memory.json");
    push(&mut connector, &wanted).unwrap();
    assert_eq!((moto.request("203.0.113.0"), moto.request("203.0.113.9")), (403, 403));
    push(&mut connector, &[]).unwrap();
    assert_eq!((moto.request("203.0.113.0"), moto.request("203.0.113.9")), (403, 200), "his stays");
}

#[test]
#[ignore = "measures"]
fn measure_a_hundred_thousand() {
    let (Some(moto), Some(_)) = (Moto::start(), tool("curl")) else { return };
    many_up_to(moto, 10_000);
}

#[test]
#[ignore = "measures"]
fn measure_latency() {
    let (Some(moto), Some(_)) = (Moto::start(), tool("curl")) else { return };
    measure(moto, 30);
}
