//! Services that cannot be had here: stand-ins that hold requests against what the makers publish of their interfaces, and that
//! keep state.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sidetap_mitigation::akamai::AkamaiConnector;
use sidetap_mitigation::cloudflare::CloudflareConnector;
use sidetap_mitigation::f5::F5Connector;
use sidetap_mitigation::fastly::FastlyConnector;
use sidetap_mitigation::nginx_plus::NginxPlusConnector;
use sidetap_mitigation::{Connector, ConnectorError};

use crate::rig::{ATTACKER, Rig, acts, contract, many_up_to, room};
use crate::support::{Request, serve, wall};

const SECRET: &str = "a-secret-of-the-api";
const WRONG: &str = "not-the-secret-of-it";

/// What a stand-in keeps: its items as the service spells them, and what it does next.
#[derive(Default)]
struct State {
    items: BTreeMap<String, Value>,
    /// Those of a second list, which a second Sidetap has where ownership is a mark in the list.
    others: BTreeMap<String, Value>,
    counter: u64,
    away: bool,
    fail: bool,
    refused: Vec<String>,
}

impl State {
    fn next(&mut self) -> String {
        self.counter += 1;
        format!("{:032x}", self.counter)
    }
}

type Answer = fn(&Request, &mut State) -> (u16, String);
type Make = fn(&Fake, &str) -> Box<dyn Connector>;

struct Fake {
    dir: tempfile::TempDir,
    at: SocketAddr,
    state: Arc<Mutex<State>>,
    make: Make,
    foreign: (&'static str, Value),
    lists: Lists,
}

/// How a list is called in the interface, and a second one.
type Lists = (&'static str, &'static str);

impl Fake {
    fn start(answer: Answer, make: Make, foreign: (&'static str, Value), lists: Lists) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let at = serve(move |request| {
            let mut state = shared.lock().unwrap();
            if state.away {
                return (503, String::new());
            }
            if request.method != "GET" && std::mem::take(&mut state.fail) {
                return (500, "broke off".into());
            }
            let (first, second) = lists;
            let is_second = first != second && request.path.contains(second);
            let mut request = request.clone();
            request.path = request.path.replace(second, first);
            let swap = |s: &mut State| {
                if is_second {
                    std::mem::swap(&mut s.items, &mut s.others);
                }
            };
            swap(&mut state);
            let (status, body) = answer(&request, &mut state);
            swap(&mut state);
            if status == 400 {
                state.refused.push(format!("{} {}: {body}", request.method, request.path));
            }
            (status, body)
        });
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret"), SECRET).unwrap();
        std::fs::write(dir.path().join("wrong"), WRONG).unwrap();
        std::fs::write(dir.path().join("second"), SECRET).unwrap();
        Fake { dir, at, state, make, foreign, lists }
    }

    fn text(&self, secret: &str, rest: &str) -> String {
        let at = self.dir.path().display();
        let rest = rest.replace("SECRET", &format!("{{ file = \"{at}/{secret}\" }}"));
        let memory = format!("{at}/memory-{}.json", if secret == "second" { "second" } else { "first" });
        let (first, second) = self.lists;
        let rest = if secret == "second" { rest.replace(first, second) } else { rest };
        room(&rest.replace("URL", &format!("http://{}", self.at)).replace("MEMORY", &memory))
    }
}

impl Rig for Fake {
    fn connector(&self) -> Box<dyn Connector> {
        (self.make)(self, "secret")
    }

    fn request(&self, from: &str) -> u16 {
        let state = self.state.lock().unwrap();
        assert!(state.refused.is_empty(), "against the interface: {:?}", state.refused);
        let named =
            |v: &Value| v["ip"] == from || v["name"].as_str().is_some_and(|n| n == format!("{from}/32"));
        let there = state.items.keys().any(|k| k == from) || state.items.values().any(named);
        if there { 403 } else { 200 }
    }

    fn flush(&mut self) {
        self.state.lock().unwrap().items.clear();
    }

    fn add_foreign(&mut self) -> bool {
        let (key, value) = self.foreign.clone();
        self.state.lock().unwrap().items.insert(key.to_owned(), value);
        true
    }

    fn foreign_is_there(&mut self) -> bool {
        let state = self.state.lock().unwrap();
        state.items.values().any(|v| v.to_string().contains("192.0.2.200"))
            || state.items.contains_key("192.0.2.200")
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
        Some(((self.make)(self, "wrong"), WRONG.into()))
    }

    /// On the same list where ownership is remembered, on one of its own where it is a mark in the list.
    fn second(&mut self) -> Option<Box<dyn Connector>> {
        Some((self.make)(self, "second"))
    }
}

fn words(value: &Value, allowed: &[&str]) -> bool {
    value.as_object().is_some_and(|o| o.keys().all(|k| allowed.contains(&k.as_str())))
}

/// Lists of Cloudflare (schema of `lists_items-list-update-request` and others).
fn cloudflare(r: &Request, s: &mut State) -> (u16, String) {
    let done = |result: Value| {
        (200, json!({"success": true, "errors": [], "messages": [], "result": result}).to_string())
    };
    let bad = |why: &str| {
        (400, json!({"success": false, "errors": [{"code": 10_001, "message": why}]}).to_string())
    };
    if r.header("authorization") != format!("Bearer {SECRET}") {
        return (401, "{}".into());
    }
    let base = format!("/accounts/{}/rules/lists/", "a".repeat(32));
    let Some(rest) = r.path.strip_prefix(&base) else { return (404, String::new()) };
    if rest.starts_with("bulk_operations/") {
        return done(json!({"id": "x", "status": "completed", "completed": "2026-01-01T00:00:00Z"}));
    }
    let fits = |i: &Value| {
        words(i, &["ip", "comment"])
            && i["ip"]
                .as_str()
                .is_some_and(|t| t.parse::<sidetap_mitigation::Key>().is_ok_and(|k| k.net().is_some()))
    };
    match r.method.as_str() {
        "GET" => done(s.items.values().cloned().collect()),
        "DELETE" => {
            for item in r.json()["items"].as_array().cloned().unwrap_or_default() {
                s.items.remove(item["id"].as_str().unwrap_or_default());
            }
            done(json!({"operation_id": s.next()}))
        }
        "POST" | "PUT" => {
            let body = r.json();
            let Some(items) = body.as_array().filter(|items| items.iter().all(fits)) else {
                return bad("items");
            };
            if r.method == "PUT" {
                s.items.clear();
            }
            for item in items {
                let id = s.next();
                let item = json!({"id": id, "ip": item["ip"], "comment": item["comment"]});
                s.items.insert(id, item);
            }
            done(json!({"operation_id": s.next()}))
        }
        _ => (405, String::new()),
    }
}

fn start_cloudflare() -> Fake {
    let make: Make = |f, secret| {
        let ids = format!("account = \"{}\"\nlist = \"{}\"\n", "a".repeat(32), B);
        let text = f.text(
            secret,
            &format!("{ids}token = SECRET\nurl = \"URL\"\ncapacity = 100\nmin_interval_s = 0\n"),
        );
        Box::new(CloudflareConnector::new(toml::from_str(&text).unwrap()).unwrap())
    };
    Fake::start(cloudflare, make, ("f", json!({"id": "f", "ip": "192.0.2.200", "comment": "ours"})), (B, C))
}

/// Lists by their numbers.
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const C: &str = "cccccccccccccccccccccccccccccccc";

/// Entries of a Fastly access control list (`bulkUpdateAclEntriesRequest`).
fn fastly(r: &Request, s: &mut State) -> (u16, String) {
    if r.header("fastly-key") != SECRET {
        return (401, "{\"msg\":\"Provided credentials are missing or invalid\"}".into());
    }
    if !r.path.starts_with("/service/SU1Z0isxPaozGVKXdv0eY/acl/6tUXdegLTf5BCig0zGFrU3/entries") {
        return (404, String::new());
    }
    if r.method == "GET" {
        let asked = |name: &str| {
            let query = r.path.split_once('?').map_or("", |(_, q)| q);
            query.split('&').find_map(|p| p.strip_prefix(name)?.parse::<usize>().ok())
        };
        let (per_page, page) = (asked("per_page=").unwrap_or(20), asked("page=").unwrap_or(1));
        let items = s.items.values().skip(per_page * (page - 1)).take(per_page);
        return (200, Value::from_iter(items.cloned()).to_string());
    }
    if r.json()["entries"].as_array().is_some_and(|ops| ops.len() > 1_000) {
        return (400, "more than 1,000 entries".into());
    }
    for op in r.json()["entries"].as_array().cloned().unwrap_or_default() {
        if !words(&op, &["op", "id", "ip", "subnet", "negated", "comment"]) || r.method != "PATCH" {
            return (400, op.to_string());
        }
        match op["op"].as_str() {
            Some("create") if op["ip"].is_string() => {
                let id = s.next();
                let held = json!({"id": id, "ip": op["ip"], "subnet": op["subnet"], "comment": op["comment"], "negated": "0"});
                s.items.insert(id, held);
            }
            Some("update") => {
                let held = s.items.get_mut(op["id"].as_str().unwrap()).unwrap();
                held["comment"] = op["comment"].clone();
            }
            Some("delete") => drop(s.items.remove(op["id"].as_str().unwrap())),
            _ => return (400, op.to_string()),
        }
    }
    (200, "{\"status\":\"ok\"}".into())
}

fn start_fastly() -> Fake {
    let make: Make = |f, secret| {
        let text = "service = \"SU1Z0isxPaozGVKXdv0eY\"\nacl = \"6tUXdegLTf5BCig0zGFrU3\"\ntoken = SECRET\nurl = \"URL\"\ncapacity = 100\n";
        Box::new(FastlyConnector::new(toml::from_str(&f.text(secret, text)).unwrap()).unwrap())
    };
    Fake::start(
        fastly,
        make,
        ("f", json!({"id": "f", "ip": "192.0.2.200", "subnet": null, "negated": "0", "comment": ""})),
        ("6tUXdegLTf5BCig0zGFrU3", "7tUXdegLTf5BCig0zGFrU4"),
    )
}

/// A data group of iControl REST: PATCH takes the whole array of records.
fn f5(r: &Request, s: &mut State) -> (u16, String) {
    // admin:SECRET
    let token = "Basic YWRtaW46YS1zZWNyZXQtb2YtdGhlLWFwaQ==";
    if r.header("authorization") != token {
        return (401, "{\"code\":401,\"message\":\"Authorization failed\"}".into());
    }
    if r.path != "/mgmt/tm/ltm/data-group/internal/~Common~sidetap" {
        return (404, String::new());
    }
    if r.method == "PATCH" {
        let body = r.json();
        let fits =
            |v: &Value| words(v, &["name", "data"]) && v["name"].as_str().is_some_and(|n| n.contains('/'));
        let Some(records) = body["records"].as_array().filter(|l| l.iter().all(fits)) else {
            return (400, "records".into());
        };
        s.items = records.iter().map(|v| (v["name"].as_str().unwrap().to_owned(), v.clone())).collect();
    }
    let records: Vec<Value> = s.items.values().cloned().collect();
    (
        200,
        json!({"kind": "tm:ltm:data-group:internal:internalstate", "type": "ip", "records": records})
            .to_string(),
    )
}

fn start_f5() -> Fake {
    let make: Make = |f, secret| {
        let text = f.text(
            secret,
            "url = \"URL\"\nuser = \"admin\"\npassword = SECRET\ngroup = \"/Common/sidetap\"\ncapacity = 100\n",
        );
        Box::new(F5Connector::new(toml::from_str(&text).unwrap()).unwrap())
    };
    Fake::start(
        f5,
        make,
        ("192.0.2.200/32", json!({"name": "192.0.2.200/32", "data": "ours"})),
        ("sidetap", "other"),
    )
}

/// A key-value zone of NGINX Plus: POST refuses keys that are there (409), PATCH takes one key.
fn nginx_plus(r: &Request, s: &mut State) -> (u16, String) {
    if r.path != "/api/9/http/keyvals/sidetap" {
        return (404, String::new());
    }
    s.items.retain(|_, v| v["until"].as_i64().unwrap_or(i64::MAX) > wall());
    let held = |v: &Value| -> Option<Value> {
        let until = wall() + v["expire"].as_i64()? / 1_000;
        words(v, &["value", "expire"]).then(|| json!({"value": v["value"], "until": until}))
    };
    let body = r.json();
    let pairs = body.as_object().cloned().unwrap_or_default();
    match r.method.as_str() {
        "GET" => {
            let all: BTreeMap<&String, &Value> = s.items.iter().map(|(k, v)| (k, &v["value"])).collect();
            return (200, json!(all).to_string());
        }
        "POST" if pairs.keys().any(|k| s.items.contains_key(k)) => return (409, "KeyvalKeyExists".into()),
        "POST" => {
            for (key, value) in &pairs {
                let Some(value) = held(value) else { return (400, value.to_string()) };
                s.items.insert(key.clone(), value);
            }
        }
        "PATCH" if pairs.len() == 1 => {
            for (key, value) in &pairs {
                if !s.items.contains_key(key) {
                    return (404, "KeyvalKeyNotFound".into());
                }
                match held(value) {
                    Some(value) => drop(s.items.insert(key.clone(), value)),
                    None if value.is_null() => drop(s.items.remove(key)),
                    None => return (400, value.to_string()),
                }
            }
        }
        _ => return (400, "method".into()),
    }
    (204, String::new())
}

fn start_nginx_plus() -> Fake {
    let make: Make = |f, which| {
        let text = f.text(which, "url = \"URL/api/9\"\nzone = \"sidetap\"\ncapacity = 100\n");
        Box::new(NginxPlusConnector::new(toml::from_str(&text).unwrap()).unwrap())
    };
    Fake::start(nginx_plus, make, ("192.0.2.200", json!({"value": "ours"})), ("sidetap", "other"))
}

/// A network list of Akamai: a wrong synchronisation point is a conflict; what is changed has to be activated.
fn akamai(r: &Request, s: &mut State) -> (u16, String) {
    let signed = r.header("authorization");
    if !signed
        .starts_with(&format!("EG1-HMAC-SHA256 client_token={SECRET};access_token={SECRET};timestamp=20"))
    {
        return (401, "{\"title\":\"Not authorized\"}".into());
    }
    let path = r.path.split('?').next().unwrap();
    let Some(rest) = path.strip_prefix("/network-list/v2/network-lists/12345_SIDETAP") else {
        return (404, String::new());
    };
    match (r.method.as_str(), rest) {
        ("GET", "") => {
            let list: Vec<&String> = s.items.keys().collect();
            (200, json!({"name": "sidetap", "type": "IP", "syncPoint": s.counter, "list": list}).to_string())
        }
        ("GET", "/environments/PRODUCTION/status") => {
            (200, json!({"activationStatus": "ACTIVE"}).to_string())
        }
        ("PUT", "") => {
            let body = r.json();
            if !words(&body, &["name", "type", "syncPoint", "list"]) || body["type"] != "IP" {
                return (400, body.to_string());
            }
            if body["syncPoint"] != s.counter {
                return (409, "{\"title\":\"Conflict\"}".into());
            }
            s.counter += 1;
            let list = body["list"].as_array().unwrap();
            s.items = list.iter().map(|v| (v.as_str().unwrap().to_owned(), v.clone())).collect();
            (200, "{}".into())
        }
        ("POST", "/environments/PRODUCTION/activate") => {
            (200, "{\"activationStatus\":\"PENDING_ACTIVATION\"}".into())
        }
        _ => (405, String::new()),
    }
}

fn start_akamai() -> Fake {
    let make: Make = |f, secret| {
        let text = "url = \"URL\"\nlist = \"12345_SIDETAP\"\nclient_token = SECRET\nclient_secret = SECRET\naccess_token = SECRET\n\
                    memory = \"MEMORY\"\ncapacity = 100\nmin_interval_s = 0\n";
        Box::new(AkamaiConnector::new(toml::from_str(&f.text(secret, text)).unwrap()).unwrap())
    };
    Fake::start(akamai, make, ("192.0.2.200", json!("192.0.2.200")), ("12345_SIDETAP", "12345_SIDETAP"))
}

#[test]
fn all_keep_the_contract() {
    for start in [start_cloudflare, start_fastly, start_f5, start_akamai] {
        contract(start());
    }
}

/// Its API has no credential of its own.
struct Open(Fake);

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
    let fake = start_nginx_plus();
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
    contract(Open(start_nginx_plus()));
    acts(Open(start_nginx_plus()));
}

#[test]
fn all_act() {
    for start in [start_cloudflare, start_fastly, start_f5, start_akamai] {
        acts(start());
    }
}

#[test]
fn what_a_service_asks_for_is_heeded() {
    let at = serve(|_| (429, "slow down".into()));
    let fake = start_fastly();
    let fake = Fake { at, ..fake };
    let mut connector = fake.connector();
    assert_eq!(connector.observe(wall()).unwrap_err(), ConnectorError::Later(7));
}

#[test]
fn a_set_that_somebody_changed_in_between_is_read_again() {
    let fake = start_akamai();
    let mut connector = fake.connector();
    let wanted = [crate::rig::entry("192.0.2.1", sidetap_policy::Response::Block)];
    let plan = sidetap_mitigation::plan(&wanted, &connector.observe(wall()).unwrap(), &[], connector.sees());
    let at = serve(|r| match r.method.as_str() {
        "GET" => (200, json!({"syncPoint": 1, "list": []}).to_string()),
        _ => (409, "{\"title\":\"Conflict\"}".into()),
    });
    let fake = Fake { at, ..fake };
    let mut connector = fake.connector();
    let error = connector.apply(&plan, wall()).unwrap_err();
    assert!(matches!(error, ConnectorError::Conflict(_)), "{error}");
}

/// What as many entries take as the makers let a list have.
macro_rules! measured {
    ($($name:ident: $start:expr, $most:literal;)*) => {
        $(#[test]
        #[ignore = "measures"]
        fn $name() {
            many_up_to($start, $most);
        })*
    };
}

measured! {
    akamai_measure_a_hundred_thousand: start_akamai(), 50_000;
    cloudflare_measure_a_hundred_thousand: start_cloudflare(), 10_000;
    f5_measure_a_hundred_thousand: start_f5(), 5_000;
    fastly_measure_a_hundred_thousand: start_fastly(), 1_000;
    nginx_plus_measure_a_hundred_thousand: Open(start_nginx_plus()), 8_000;
}
