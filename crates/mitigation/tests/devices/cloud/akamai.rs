use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sidetap_mitigation::akamai::AkamaiConnector;
use sidetap_mitigation::{ConnectorError, Desired, Enforcer, Mode, PushOptions, Selector};
use sidetap_model::{SubjectKind, Ts};

use super::{Fake, Make, SECRET, State, blocks, net, push, words};
use crate::rig::{ATTACKER, Rig};
use crate::support::{Request, desired, serve, verdict, wall};

/// How long an activation takes where it takes its time.
const ACTIVATION: Duration = Duration::from_millis(600);

/// What is in force on the network, which is the list as it was when it was activated.
#[derive(Default)]
pub(super) struct Network {
    active: Option<Version>,
    pending: Option<(Version, Instant)>,
    failed: bool,
    /// How long an activation takes, and whether the next one comes to nothing.
    takes: Duration,
    fails: bool,
}

/// A list with its synchronisation point.
type Version = (u64, BTreeMap<String, Value>);

impl Network {
    fn settle(&mut self) {
        if self.pending.as_ref().is_some_and(|(_, due)| Instant::now() >= *due) {
            let done = self.pending.take().map(|(version, _)| version);
            self.failed = std::mem::take(&mut self.fails);
            if !self.failed {
                self.active = done;
            }
        }
    }

    /// The status of the list (techdocs.akamai.com, activation states), and of which of its versions that is told.
    fn status(&self, list: u64) -> (&'static str, u64) {
        match (&self.pending, &self.active) {
            (Some(((version, _), _)), _) => ("PENDING_ACTIVATION", *version),
            (None, _) if self.failed => ("FAILED", list),
            (None, None) => ("INACTIVE", 0),
            (None, Some((version, _))) if *version == list => ("ACTIVE", list),
            (None, Some((version, _))) => ("MODIFIED", *version),
        }
    }
}

/// A network list of Akamai: a wrong synchronisation point is a conflict; what is changed has to be activated, one change after the other.
fn akamai(r: &Request, s: &mut State) -> (u16, String) {
    let no = |status: u16, title: &str| {
        (status, json!({"type": "about:blank", "title": title, "status": status}).to_string())
    };
    let signed = r.header("authorization");
    if !signed
        .starts_with(&format!("EG1-HMAC-SHA256 client_token={SECRET};access_token={SECRET};timestamp=20"))
    {
        return no(401, "Not authorized");
    }
    let path = r.path.split('?').next().unwrap();
    let Some(rest) = path.strip_prefix("/network-list/v2/network-lists/12345_SIDETAP") else {
        return no(404, "Not Found");
    };
    s.network.settle();
    let (status, version) = s.network.status(s.counter);
    match (r.method.as_str(), rest) {
        ("GET", "") => {
            let list: Vec<&String> = s.items.keys().collect();
            let said = json!({"name": "sidetap", "type": "IP", "syncPoint": s.counter, "list": list,
                "elementCount": list.len(), "readOnly": false, "productionActivationStatus": status});
            (200, said.to_string())
        }
        ("GET", "/environments/PRODUCTION/status") => {
            let said =
                json!({"activationId": 1, "activationStatus": status, "syncPoint": version, "fast": false});
            (200, said.to_string())
        }
        ("PUT", "") => {
            let body = r.json();
            if !words(&body, &["name", "type", "syncPoint", "list"]) || body["type"] != "IP" {
                return no(400, &body.to_string());
            }
            if body["syncPoint"] != s.counter {
                return no(409, "Conflict");
            }
            let list = body["list"].as_array().unwrap();
            if list.len() > s.limit() {
                return no(400, "The list has too many elements");
            }
            s.counter += 1;
            s.items = list.iter().map(|v| (v.as_str().unwrap().to_owned(), v.clone())).collect();
            (200, json!({"name": "sidetap", "type": "IP", "syncPoint": s.counter, "list": list}).to_string())
        }
        ("POST", "/environments/PRODUCTION/activate") if s.network.pending.is_some() => {
            no(400, "Activation in progress")
        }
        ("POST", "/environments/PRODUCTION/activate") => {
            let due = Instant::now() + s.network.takes;
            s.network.pending = Some(((s.counter, s.items.clone()), due));
            s.network.failed = false;
            (200, json!({"activationStatus": "PENDING_ACTIVATION", "fast": false}).to_string())
        }
        _ => no(405, "Method Not Allowed"),
    }
}

pub(super) fn start() -> Fake {
    let make: Make = |f, secret| {
        let text = "url = \"URL\"\nlist = \"12345_SIDETAP\"\nclient_token = SECRET\nclient_secret = SECRET\naccess_token = SECRET\n\
                    memory = \"MEMORY\"\ncapacity = 100\nmin_interval_s = 0\n";
        Box::new(AkamaiConnector::new(toml::from_str(&f.text(secret, text)).unwrap()).unwrap())
    };
    let lists = ("12345_SIDETAP", "12345_SIDETAP");
    Fake::start(akamai, make, ("192.0.2.200", json!("192.0.2.200")), lists, |s, from| {
        let pending =
            s.network.pending.as_ref().filter(|(_, due)| Instant::now() >= *due && !s.network.fails);
        let version = pending.map(|(version, _)| version).or(s.network.active.as_ref());
        version.is_some_and(|(_, items)| items.keys().any(|key| net(key).contains(&from)))
    })
}

/// An undo while the change before it is still on its way cannot be activated: that is made good by whatever looks next.
#[test]
fn a_list_that_was_emptied_and_not_activated_is_activated_later() {
    for fails in [false, true] {
        let fake = start();
        let now = || Ts::from_parts(wall(), 0);
        let options = PushOptions { force: true, ..PushOptions::new(Mode::Enforce) };
        let want = desired(&[verdict("v1", SubjectKind::Ip, ATTACKER, "block", 600)], &[]);
        let mut enforcer = Enforcer::with_connectors(vec![fake.connector()]);
        fake.state().network.takes = if fails { Duration::ZERO } else { ACTIVATION };
        assert!(enforcer.push(&want, now(), &options).is_ok());
        if fails {
            // The activation of the empty list is accepted, and comes to nothing.
            crate::support::until("it is active", || fake.request(ATTACKER) == 403);
            assert!(enforcer.push(&want, now(), &options).is_ok());
            fake.state().network.fails = true;
            assert!(enforcer.undo(&Selector::All, now(), &options).is_ok());
        } else {
            let report = enforcer.undo(&Selector::All, now(), &options);
            assert!(!report.is_ok(), "what was pushed is on its way still: {report:?}");
            assert!(fake.state().refused.drain(..).all(|r| r.contains("Activation in progress")));
            std::thread::sleep(ACTIVATION + Duration::from_millis(100));
        }
        assert!(fake.state().items.is_empty());
        assert_eq!(fake.request(ATTACKER), 403, "it is on the network still");
        let mut after = Enforcer::with_connectors(vec![fake.connector()]);
        let report = after.push(&Desired { stopped: true, ..Desired::default() }, now(), &options);
        assert!(report.is_ok(), "{report:?}");
        crate::support::until("he is let in", || fake.request(ATTACKER) == 200);
        let mut connector = fake.connector();
        assert!(push(connector.as_mut(), &[]).unwrap().is_empty(), "it is activated again and again");
    }
}

/// What somebody else changed beside, and has not activated, is theirs to activate.
#[test]
fn changes_of_others_are_not_activated_where_nothing_is_ours() {
    let fake = start();
    let mut connector = fake.connector();
    push(connector.as_mut(), &blocks(0..2)).unwrap();
    push(connector.as_mut(), &[]).unwrap();
    fake.state().network.settle();
    let mut state = fake.state();
    state.counter += 1;
    state.items.insert("198.51.100.7".into(), json!("198.51.100.7"));
    drop(state);
    assert!(push(connector.as_mut(), &[]).unwrap().is_empty());
    assert_eq!(fake.request("198.51.100.7"), 200);
}

#[test]
fn a_set_that_somebody_changed_in_between_is_read_again() {
    let fake = start();
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
