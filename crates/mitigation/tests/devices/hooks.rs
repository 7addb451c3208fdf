use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sidetap_mitigation::Connector;
use sidetap_mitigation::exec::ExecConnector;
use sidetap_mitigation::webhook::WebhookConnector;

use crate::rig::{ATTACKER, Rig, acts, contract, many, measure, room};
use crate::support::{Request, serve};

const SECRET: &str = "correct-horse-battery";
const RESPONSES: &str = r#"["block", "rate-limit", "tarpit", "deceive", "tag"]"#;

#[derive(Default)]
struct State {
    entries: Vec<Value>,
    /// Of a second Sidetap, which comes by a path of its own.
    others: Vec<Value>,
    away: bool,
    fail: bool,
    forgets: bool,
    seen: Vec<String>,
    told: Vec<Value>,
}

/// A receiver as a user would write it.
pub(crate) struct Receiver {
    dir: tempfile::TempDir,
    at: SocketAddr,
    observes: bool,
    state: Arc<Mutex<State>>,
}

impl Receiver {
    fn start() -> Self {
        Receiver::start_with(true)
    }

    pub(crate) fn start_with(observes: bool) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let at = serve(move |request| answer(request, &shared));
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret"), SECRET).unwrap();
        Receiver { dir, at, observes, state }
    }

    fn connector_with(&self, secret: &str, path: &str) -> WebhookConnector {
        let at = self.dir.path().display();
        let observe = format!("observe_url = \"http://{}/{path}\"\n", self.at);
        let observe = if self.observes { observe.as_str() } else { "" };
        let text = format!(
            "url = \"http://{0}/{path}\"\n{observe}secret = {{ file = \"{at}/{secret}\" }}\n\
             key_id = \"k1\"\nmemory = \"{at}/{path}.json\"\ncapacity = 100\nresponses = {RESPONSES}\n",
            self.at
        );
        WebhookConnector::new(toml::from_str(&room(&text)).unwrap()).unwrap()
    }
}

fn answer(request: &Request, state: &Mutex<State>) -> (u16, String) {
    let mut state = state.lock().unwrap();
    let second = request.path == "/second";
    let swap = |state: &mut State| {
        if second {
            std::mem::swap(&mut state.entries, &mut state.others);
        }
    };
    swap(&mut state);
    let said = answer_first(request, &mut state);
    swap(&mut state);
    said
}

fn answer_first(request: &Request, state: &mut State) -> (u16, String) {
    let (stamp, signature) = (request.header("sidetap-timestamp"), request.header("sidetap-signature"));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{stamp}.").as_bytes());
    mac.update(&request.body);
    let own: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
    if signature != format!("v1={own}") || request.header("sidetap-key-id") != "k1" {
        return (401, "no".into());
    }
    if state.away {
        return (503, "later".into());
    }
    if request.method == "GET" {
        return (200, json!({"entries": state.entries}).to_string());
    }
    if std::mem::take(&mut state.fail) {
        return (500, "half-way".into());
    }
    state.seen.push(request.header("idempotency-key"));
    let said: Value = request.json();
    assert_eq!(request.header("idempotency-key"), said["id"]);
    state.told.push(said.clone());
    let foreign: Vec<Value> = state.entries.iter().filter(|e| e["verdict"].is_null()).cloned().collect();
    state.entries = said["entries"].as_array().unwrap().iter().cloned().chain(foreign).collect();
    if state.forgets {
        state.entries.iter_mut().filter_map(Value::as_object_mut).for_each(|e| drop(e.remove("way")));
    }
    (200, "{}".into())
}

impl Rig for Receiver {
    fn connector(&self) -> Box<dyn Connector> {
        Box::new(self.connector_with("secret", "hook"))
    }

    fn request(&self, from: &str) -> u16 {
        let blocked = self.state.lock().unwrap().entries.iter().any(|e| e["key"] == from);
        if blocked { 403 } else { 200 }
    }

    fn flush(&mut self) {
        self.state.lock().unwrap().entries.clear();
    }

    fn told(&self) -> Vec<Value> {
        self.state.lock().unwrap().told.clone()
    }

    fn add_foreign(&mut self) -> bool {
        self.state.lock().unwrap().entries.push(json!({"key": "192.0.2.200"}));
        true
    }

    fn foreign_is_there(&mut self) -> bool {
        self.state.lock().unwrap().entries.iter().any(|e| e["key"] == "192.0.2.200")
    }

    fn away(&mut self, away: bool) -> bool {
        self.state.lock().unwrap().away = away;
        true
    }

    fn break_next(&mut self) -> bool {
        self.state.lock().unwrap().fail = true;
        true
    }

    fn intruder(&mut self) -> Option<(Box<dyn Connector>, String)> {
        std::fs::write(self.dir.path().join("wrong"), "not-the-right-secret").unwrap();
        Some((Box::new(self.connector_with("wrong", "hook")), "not-the-right-secret".into()))
    }

    fn second(&mut self) -> Option<Box<dyn Connector>> {
        Some(Box::new(self.connector_with("secret", "second")))
    }
}

#[test]
fn a_webhook_keeps_the_contract() {
    contract(Receiver::start());
}

#[test]
fn a_webhook_acts() {
    let receiver = Receiver::start();
    let state = Arc::clone(&receiver.state);
    acts(receiver);
    let mut seen = state.lock().unwrap().seen.clone();
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!((all >= 3, seen.len()), (true, all), "each request has a key of its own");
}

/// What entries of a receiver or a program say of how they are done, by verdict.
fn ways(entries: &[Value]) -> Vec<Value> {
    let of = |id: &str| entries.iter().find(|e| e["verdict"] == id).unwrap()["way"].clone();
    ["v1", "v2", "v3", "v4", "v5", "v6"].map(of).to_vec()
}

#[test]
fn receivers_and_programs_are_told_how_rules_want_it_done() {
    let told = [
        json!({"rate": {"requests": 5, "per_s": 60}}),
        json!({"decoy": {"backend": "sold_out"}}),
        json!({"decoy": {"answer": {"status": 409, "content_type": "text/plain", "body": "none left"}}}),
        json!({"tag": {"name": "X-Sidetap-Tag", "value": "scraper/1"}}),
        json!({"delay-ms": 2000}),
        Value::Null,
    ];
    let receiver = Receiver::start();
    assert_eq!(crate::ways::push(receiver.connector(), None), "", "nothing is done otherwise");
    assert_eq!(ways(&receiver.state.lock().unwrap().entries), told);
    // One that keeps nothing but what it needs is not told again and again.
    {
        let mut state = receiver.state.lock().unwrap();
        state.entries.clear();
        state.forgets = true;
    }
    assert_eq!(crate::ways::push(receiver.connector(), None), "");
    let program = Program::start(true);
    assert_eq!(crate::ways::push(program.connector(), None), "");
    let text = std::fs::read_to_string(program.dir.path().join("state")).unwrap();
    let said: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(ways(said["entries"].as_array().unwrap()), told);
}

/// A program that keeps what it is told in a file.
pub(crate) struct Program {
    dir: tempfile::TempDir,
    observes: bool,
}

impl Program {
    pub(crate) fn start(observes: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display();
        let script = format!(
            "cd {at}\nif [ -e gone ]; then echo 'no route to it' >&2; exit 1; fi\n\
             case $1 in\napply) if rm fail 2>/dev/null; then exit 1; fi; cat > state.$$ && (cat state.$$; echo) >> told && mv state.$$ state || exit; echo \"told $SIDETAP_CONNECTOR\";;\n\
             observe) cat state 2>/dev/null || echo '{{\"entries\": []}}';;\nesac\n"
        );
        std::fs::write(dir.path().join("hook.sh"), script).unwrap();
        Program { dir, observes }
    }

    fn write(&self, name: &str) {
        std::fs::write(self.dir.path().join(name), "").unwrap();
    }
}

impl Rig for Program {
    fn connector(&self) -> Box<dyn Connector> {
        let at = self.dir.path().display();
        let text = format!(
            "command = [\"sh\", \"{at}/hook.sh\"]\nobserve = {}\nmemory = \"{at}/memory.json\"\ncapacity = 100\nresponses = {RESPONSES}\n",
            self.observes
        );
        Box::new(ExecConnector::new(toml::from_str(&room(&text)).unwrap()).unwrap())
    }

    fn request(&self, from: &str) -> u16 {
        let text = std::fs::read_to_string(self.dir.path().join("state")).unwrap_or_default();
        let said: Value = serde_json::from_str(&text).unwrap_or_default();
        let entries = said["entries"].as_array().cloned().unwrap_or_default();
        if entries.iter().any(|e| e["key"] == from) { 403 } else { 200 }
    }

    fn flush(&mut self) {
        let _ = std::fs::remove_file(self.dir.path().join("state"));
        if !self.observes {
            std::fs::remove_file(self.dir.path().join("memory.json")).unwrap();
        }
    }

    fn told(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.path().join("told")).unwrap_or_default();
        text.lines().map(|l| serde_json::from_str(l).unwrap_or_default()).collect()
    }

    fn away(&mut self, away: bool) -> bool {
        match (self.observes, away) {
            (true, true) => self.write("gone"),
            (true, false) => std::fs::remove_file(self.dir.path().join("gone")).unwrap(),
            (false, _) => {}
        }
        self.observes
    }

    fn break_next(&mut self) -> bool {
        self.write("fail");
        true
    }
}

#[test]
fn a_program_keeps_the_contract() {
    contract(Program::start(true));
    contract(Program::start(false));
}

#[test]
fn a_program_acts() {
    let program = Program::start(true);
    assert_eq!(program.request(ATTACKER), 200);
    acts(program);
}

#[test]
#[ignore = "measures"]
fn webhook_measure_a_hundred_thousand() {
    many(Receiver::start());
}

#[test]
#[ignore = "measures"]
fn exec_measure_a_hundred_thousand() {
    many(Program::start(true));
}

#[test]
#[ignore = "measures"]
fn measure_latency() {
    measure(Receiver::start(), 30);
    measure(Program::start(true), 30);
}
