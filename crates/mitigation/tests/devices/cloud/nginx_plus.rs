use std::collections::BTreeMap;

use ipnet::IpNet;
use serde_json::{Value, json};
use sidetap_mitigation::nginx_plus::NginxPlusConnector;
use sidetap_mitigation::{Connector, ConnectorError};
use sidetap_policy::Response;

use super::{Fake, Make, State, blocks, net, push, ranked, words};
use crate::rig::{ATTACKER, Rig, acts, contract, entry};
use crate::support::{Request, wall};

/// The zone as docs/connectors has it set up.
fn zone() -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/connectors/nginx-plus.md");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().find(|l| l.starts_with("keyval_zone ")).unwrap().to_owned()
}

/// What ngx_http_keyval_module says of `type`: without it keys are equal, with `ip` the key is a network of the address, with `prefix` its
/// text begins with the key's.
fn matches(zone: &str, key: &str, from: IpNet) -> bool {
    let address = from.addr().to_string();
    match zone.split_once("type=").map(|(_, t)| t.split([' ', ';']).next().unwrap()) {
        Some("ip") => net(key).contains(&from),
        Some("prefix") => address.starts_with(key),
        _ => key == address,
    }
}

/// A key-value zone of NGINX Plus: POST takes several keys while the zone is empty, and one otherwise; it refuses keys that are there (409);
/// PATCH takes one key.
fn nginx_plus(r: &Request, s: &mut State) -> (u16, String) {
    let no = |status: u16, code: &str, text: &str| {
        let error = json!({"status": status, "text": text, "code": code});
        (status, json!({"error": error, "request_id": "x", "href": "https://nginx.org/"}).to_string())
    };
    if r.path != "/api/9/http/keyvals/sidetap" {
        return no(404, "KeyvalNotFound", "keyval not found");
    }
    s.items.retain(|_, v| v["until"].as_i64().unwrap_or(i64::MAX) > wall());
    let held = |v: &Value| -> Option<Value> {
        let until = wall() + v["expire"].as_i64()? / 1_000;
        words(v, &["value", "expire"]).then(|| json!({"value": v["value"], "until": until}))
    };
    let format = |why: &str| no(400, "KeyvalFormatError", why);
    let body = r.json();
    let pairs = body.as_object().cloned().unwrap_or_default();
    if r.method != "GET" && !zone().contains(" timeout=") && pairs.values().any(Value::is_object) {
        return format("key expire is not allowed");
    }
    match r.method.as_str() {
        "GET" => {
            let all: BTreeMap<&String, &Value> = s.items.iter().map(|(k, v)| (k, &v["value"])).collect();
            return (200, json!(all).to_string());
        }
        "POST" if s.odd.is_some_and(|odd| pairs.contains_key(odd)) => return format("invalid key"),
        "POST" if r.body.len() > 1 << 20 => return (413, String::new()),
        "POST" if pairs.keys().any(|k| s.items.contains_key(k)) => {
            return no(409, "KeyvalKeyExists", "key already exists");
        }
        "POST" if pairs.len() > 1 && !s.items.is_empty() => return format("only one key can be added"),
        "POST" if s.items.len() + pairs.len() > s.limit() => {
            return no(500, "InternalError", "no memory in zone");
        }
        "POST" => {
            for (key, value) in &pairs {
                let Some(value) = held(value) else { return format(&value.to_string()) };
                s.items.insert(key.clone(), value);
            }
            return (201, String::new());
        }
        "PATCH" if pairs.len() == 1 => {
            for (key, value) in &pairs {
                if !s.items.contains_key(key) {
                    return no(404, "KeyvalKeyNotFound", "keyval key not found");
                }
                match held(value) {
                    Some(value) => drop(s.items.insert(key.clone(), value)),
                    None if value.is_null() => drop(s.items.remove(key)),
                    None => return format(&value.to_string()),
                }
            }
        }
        _ => return format("only one key can be updated"),
    }
    (204, String::new())
}

pub(super) fn start() -> Fake {
    let make: Make = |f, which| {
        let text = f.text(which, "url = \"URL/api/9\"\nzone = \"sidetap\"\ncapacity = 100\n");
        Box::new(NginxPlusConnector::new(toml::from_str(&text).unwrap()).unwrap())
    };
    let foreign = ("192.0.2.200", json!({"value": "ours"}));
    Fake::start(nginx_plus, make, foreign, ("sidetap", "other"), |s, from| {
        let zone = zone();
        s.items.keys().any(|key| matches(&zone, key, from))
    })
}

#[test]
fn the_documented_zone_takes_addresses_and_networks_for_what_they_are() {
    let fake = start();
    let wanted = ["45.83.0.1", "203.0.112.0/24", "2001:db8:0:7::/64"].map(|key| entry(key, Response::Block));
    push(fake.connector().as_mut(), &wanted).unwrap();
    for blocked in ["45.83.0.1", "203.0.112.77", "2001:db8:0:7::a"] {
        assert_eq!(fake.request(blocked), 403, "{blocked}");
    }
    for honest in ["45.83.0.10", "45.83.0.100", "203.0.113.1", "2001:db8:0:8::a"] {
        assert_eq!(fake.request(honest), 200, "{honest}");
    }
}

#[test]
fn a_zone_without_memory_says_so() {
    let fake = start();
    fake.state().limit = Some(5);
    let error = push(fake.connector().as_mut(), &blocks(0..6)).unwrap_err();
    assert!(matches!(error, ConnectorError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("no memory in zone"), "{error}");
}

/// A zone is full by its bytes, long before it has as many keys as the connector is told: who is there is renewed first, and those that
/// matter most are on it.
#[test]
fn a_zone_without_memory_holds_the_most_harmful() {
    let fake = start();
    let mut connector = fake.connector();
    let before: Vec<_> = [(1, 10), (2, 50), (3, 60)].map(|(n, p)| ranked(n, p, 600)).to_vec();
    push(connector.as_mut(), &before).unwrap();
    fake.state().limit = Some(3);
    let wanted = [(1, 10), (2, 50), (4, 90), (5, 80), (6, 5)].map(|(n, p)| ranked(n, p, 900));
    let error = push(connector.as_mut(), &wanted).unwrap_err().to_string();
    assert!(error.contains("no memory in zone") && error.contains("2 of the least harmful"), "{error}");
    let keys = |fake: &Fake| fake.state().items.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&fake), ["10.0.0.2", "10.0.0.4", "10.0.0.5"]);
    let until = fake.state().items["10.0.0.2"]["until"].as_i64().unwrap();
    assert!(until > wall() + 800, "it is renewed, room or not");
    push(connector.as_mut(), &wanted).unwrap_err();
    assert_eq!(keys(&fake), ["10.0.0.2", "10.0.0.4", "10.0.0.5"], "and it stays so");
    // Networks whose addresses go make room for each other too.
    fake.state().items.clear();
    let one = |key: &str| entry(key, Response::Block);
    push(connector.as_mut(), &["10.1.0.1", "10.1.0.2", "10.1.0.3"].map(one)).unwrap();
    push(connector.as_mut(), &["10.1.0.0/29", "10.2.0.1"].map(one)).unwrap();
    assert_eq!(keys(&fake), ["10.1.0.0/29", "10.2.0.1"]);
}

/// A key that it refuses whatever room there is costs nobody else his place, and is refused alone.
#[test]
fn a_key_that_a_zone_refuses_for_its_own_sake_empties_it_not() {
    let fake = start();
    let mut connector = fake.connector();
    fake.state().odd = Some("10.0.0.9");
    let wanted: Vec<_> = [(1, 10), (2, 50), (3, 60), (9, 99)].map(|(n, p)| ranked(n, p, 600)).to_vec();
    let keys = |fake: &Fake| fake.state().items.keys().cloned().collect::<Vec<_>>();
    for _ in 0..3 {
        let error = push(connector.as_mut(), &wanted).unwrap_err().to_string();
        assert!(error.contains("invalid key") && error.contains("1 of the least harmful"), "{error}");
        assert_eq!(keys(&fake), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    }
}

/// Its API has no credential of its own.
pub(super) struct Open(pub(super) Fake);

impl Rig for Open {
    fn connector(&self) -> Box<dyn Connector> {
        self.0.connector()
    }

    fn request(&self, from: &str) -> u16 {
        self.0.request(from)
    }

    fn flush(&mut self) {
        self.0.flush();
    }

    fn add_foreign(&mut self) -> bool {
        self.0.add_foreign()
    }

    fn foreign_is_there(&mut self) -> bool {
        self.0.foreign_is_there()
    }

    fn away(&mut self, away: bool) -> bool {
        self.0.away(away)
    }

    fn break_next(&mut self) -> bool {
        self.0.break_next()
    }

    fn second(&mut self) -> Option<Box<dyn Connector>> {
        self.0.second()
    }
}

#[test]
fn a_zone_of_nginx_plus_is_told_how_rules_want_it() {
    let fake = start();
    let text = fake.text(
        "secret",
        "url = \"URL/api/9\"\nzone = \"sidetap\"\nresponses = [\"block\", \"rate-limit\", \"deceive\", \"tag\"]\nrates = [\"5/60\"]\ndecoys = [\"sold_out\"]\ntag_header = \"x-sidetap-tag\"\n",
    );
    let said =
        crate::ways::push(Box::new(NginxPlusConnector::new(toml::from_str(&text).unwrap()).unwrap()), None);
    assert!(said.contains("v3: ") && !said.contains("v1: ") && !said.contains("v2: "), "{said}");
    let held: BTreeMap<String, String> = fake.state.lock().unwrap().items.iter().map(spoken).collect();
    let expected = [
        ("198.51.100.1", "rate-limit=5/60"),
        ("198.51.100.2", "deceive=sold_out"),
        ("198.51.100.3", "deceive"),
        ("198.51.100.4", "tag=scraper/1"),
        ("198.51.100.6", "deceive"),
        ("198.51.100.7", "tag"),
        (ATTACKER, "block"),
    ];
    for (address, value) in expected {
        assert_eq!(held.get(address).map(String::as_str), Some(value), "{held:?}");
    }
}

/// What stands before the mark, which is what the configuration compares.
fn spoken((key, item): (&String, &Value)) -> (String, String) {
    let value = item["value"].as_str().unwrap_or_default();
    (key.clone(), value.split(' ').next().unwrap_or_default().to_owned())
}

#[test]
fn nginx_plus_keeps_the_contract_and_acts() {
    contract(Open(start()));
    acts(Open(start()));
}

#[test]
fn who_gives_way_on_it_stands_in_the_audit() {
    super::tells_who_gave_way(&start());
}
