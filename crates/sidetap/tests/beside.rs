//! The console beside a watch that gave up its rights: what it may not do itself is done by the process that may. Needs root and curl.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

#[path = "common/mod.rs"]
mod common;
#[path = "common/net.rs"]
mod net;

use common::Place;
use net::{Net, PORT, until};
use serde_json::{Value, json};

const CONSOLE: &str = "http://127.0.0.1:8642/api/v1";

struct Console<'n> {
    net: &'n Net,
    jar: String,
    csrf: String,
}

impl Console<'_> {
    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let (url, csrf) = (format!("{CONSOLE}{path}"), format!("X-Sidetap-CSRF: {}", self.csrf));
        let body = body.to_string();
        let mut args = vec!["curl", "-s", "-m", "60", "-b", &self.jar, "-c", &self.jar, "-X", method];
        args.extend(["-w", "\n%{http_code}", "-H", &csrf, &url]);
        if method != "GET" {
            args.extend(["-H", "Content-Type: application/json", "-d", &body]);
        }
        let said = self.net.output("m", &args);
        let (text, status) = said.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), serde_json::from_str(text).unwrap_or(Value::Null))
    }

    /// What is answered where nothing is wrong.
    fn is(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, said) = self.ask(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {said}");
        said
    }
}

#[test]
fn a_console_beside_a_watch_does_what_its_process_may_not() {
    let Some(net) = Net::make("a console beside a watch", &["curl"]) else { return };
    let place = Place::new();
    place.write("policy.yaml", b"version: 1\nextends: default\nrules: []\n");
    place.write(
        "sidetap.toml",
        b"[policy]\npath = \"policy.yaml\"\n[[mitigation.feed]]\nname = \"edge\"\npath = \"feed/list.json\"\n",
    );
    for dir in ["feed", "db"] {
        std::fs::create_dir(place.path(dir)).unwrap();
    }
    // Its home, where tables of networks are looked for, is root's alone.
    let args = ["-i", PORT, "--store", "db/s.db", "--listen", "127.0.0.1:8642", "--enforce"];
    let watch = net.watch(&place, &args);
    let log = || std::fs::read_to_string(place.path("log.txt")).unwrap();
    until("the token is told", || log().contains("one-time token: "));
    let text = log();
    let token = text.split("one-time token: ").nth(1).unwrap().split_whitespace().next().unwrap();
    let jar = place.path("jar").display().to_string();
    let mut console = Console { net: &net, jar, csrf: String::new() };
    let admin = json!({"token": token, "name": "anna", "password": "correct horse battery"});
    console.csrf = console.is("POST", "/setup", &admin)["csrf"].as_str().unwrap().to_owned();
    for path in ["/mitigation", "/mitigation/entries", "/policies", "/intel", "/health", "/overview"] {
        console.is("GET", path, &Value::Null);
    }
    console.is("PUT", "/mitigation/devices/edge/mode", &json!({"mode": "enforce"}));
    assert_eq!(console.is("POST", "/mitigation/devices/edge/test", &json!({}))["name"], "edge");
    console.is("POST", "/mitigation/plan", &json!({}));
    console.is("POST", "/mitigation/push", &json!({}));
    console.is("POST", "/mitigation/undo", &json!({"all": true}));
    console.is("POST", "/mitigation/redo", &json!({"all": true}));
    console.is("PUT", "/mitigation/kill-switch", &json!({"on": true}));
    assert_eq!(console.ask("POST", "/mitigation/push", &json!({})).0, 409);
    console.is("PUT", "/mitigation/kill-switch", &json!({"on": false}));
    let version = console.is("GET", "/policies", &Value::Null)["version"].clone();
    let pack = "version: 1\nextends: default\nrules:\n  - id: slow\n    when: score > 90\n    response: rate-limit\n    ttl: 1h\n";
    let save = json!({"text": pack, "comment": "less", "version": version});
    console.is("PUT", "/policies", &save);
    assert_eq!(std::fs::read_to_string(place.path("policy.yaml")).unwrap(), pack);
    assert_eq!(console.ask("PUT", "/policies", &save).0, 409, "of a version that is over");
    let audit = console.is("GET", "/audit?limit=200", &Value::Null)["rows"].to_string();
    for action in [
        "mitigation.undo-order",
        "mitigation.redo",
        "mitigation.empty",
        "mitigation.kill-switch",
        "policy.save",
    ] {
        assert!(audit.contains(action), "{action}: {audit}");
    }
    assert_eq!(watch.stop(), 0, "{}", log());
}
