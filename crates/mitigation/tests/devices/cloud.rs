//! Services that cannot be had here: stand-ins that hold requests against what the makers publish of their interfaces, and that
//! keep state: limits of a list, pages of their own size, operations that take their time, errors as the makers shape them.

mod akamai;
mod cloudflare;
mod f5;
mod fastly;
mod nginx_plus;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use ipnet::IpNet;
use serde_json::Value;
use sidetap_mitigation::{Connector, ConnectorError, Enforcer, Entry, Mode, Plan, PushOptions};
use sidetap_model::SubjectKind;
use sidetap_model::rows::VerdictRow;
use sidetap_policy::Response;

use crate::rig::{Rig, acts, capacity, contract, entry, many_up_to, measure, room};
use crate::support::{Request, desired, serve, verdict, wall, wall_ts};

const SECRET: &str = "a-secret-of-the-api";
const WRONG: &str = "not-the-secret-of-it";

/// What a stand-in keeps: its items as the service spells them, and what it does next.
#[derive(Default)]
struct State {
    items: BTreeMap<String, Value>,
    /// Those of a second list, which a second Sidetap has where ownership is a mark in the list.
    others: BTreeMap<String, Value>,
    /// Whether the second list is asked for.
    second: bool,
    counter: u64,
    away: bool,
    fail: bool,
    refused: Vec<String>,
    /// Most items that the list takes, where that is not what the connector is told.
    limit: Option<usize>,
    /// An address that it takes from nobody.
    odd: Option<&'static str>,
    /// What an operation of the service's own queue makes of the list when it is done.
    operation: Option<cloudflare::Operation>,
    /// What is in force where that is another matter than what is on the list.
    network: akamai::Network,
}

impl State {
    fn limit(&self) -> usize {
        self.limit.unwrap_or_else(|| capacity(100))
    }

    fn next(&mut self) -> String {
        self.counter += 1;
        format!("{:032x}", self.counter)
    }
}

type Answer = fn(&Request, &mut State) -> (u16, String);
type Make = fn(&Fake, &str) -> Box<dyn Connector>;

pub(crate) struct Fake {
    dir: tempfile::TempDir,
    at: SocketAddr,
    state: Arc<Mutex<State>>,
    make: Make,
    foreign: (&'static str, Value),
    lists: Lists,
    blocks: Blocks,
}

/// Whether a client is blocked by what is in force.
type Blocks = fn(&State, IpNet) -> bool;

/// How a list is called in the interface, and a second one.
type Lists = (&'static str, &'static str);

impl Fake {
    fn start(
        answer: Answer,
        make: Make,
        foreign: (&'static str, Value),
        lists: Lists,
        blocks: Blocks,
    ) -> Self {
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
            state.second = is_second;
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
        Fake { dir, at, state, make, foreign, lists, blocks }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
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
        let there = (self.blocks)(&state, net(from));
        if there { 403 } else { 200 }
    }

    fn flush(&mut self) {
        let mut state = self.state();
        state.items.clear();
        state.counter += 1;
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

/// A network, or an address as one of a single address.
fn net(text: &str) -> IpNet {
    text.parse().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from)).unwrap()
}

/// A push of these entries by the connector alone.
fn push(connector: &mut dyn Connector, wanted: &[Entry]) -> Result<Plan, ConnectorError> {
    let observed = connector.observe(wall())?;
    let plan = sidetap_mitigation::plan(wanted, &observed, &[], connector.sees());
    if !plan.is_empty() {
        connector.apply(&plan, wall())?;
    }
    Ok(plan)
}

/// Blocks of this many addresses.
fn blocks(addresses: std::ops::Range<u32>) -> Vec<Entry> {
    let address = |n: u32| std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string();
    addresses.map(|n| entry(&address(n), Response::Block)).collect()
}

/// One of each.
pub(crate) fn services() -> Vec<Fake> {
    [cloudflare::start, fastly::start, f5::start, akamai::start, nginx_plus::start]
        .map(|start| start())
        .into()
}

#[test]
fn all_keep_the_contract() {
    for start in [cloudflare::start, fastly::start, f5::start, akamai::start] {
        contract(start());
    }
}

#[test]
fn all_act() {
    for start in [cloudflare::start, fastly::start, f5::start, akamai::start] {
        acts(start());
    }
}

/// Who is on the list by another hand stays there as he is, and the rest goes on.
#[test]
fn an_entry_of_others_for_the_same_address_is_left_to_them() {
    for start in [cloudflare::start, fastly::start, f5::start, akamai::start, nginx_plus::start] {
        let mut fake = start();
        fake.add_foreign();
        let before = fake.state().items.clone();
        let mut connector = fake.connector();
        let wanted = ["192.0.2.200", "203.0.113.9"].map(|key| entry(key, Response::Block));
        let kind = connector.kind();
        let plan = push(connector.as_mut(), &wanted).unwrap_or_else(|e| panic!("{kind}: {e}"));
        assert!(plan.refused[0].why.contains("somebody else's"), "{kind}: {:?}", plan.refused);
        assert!(push(connector.as_mut(), &wanted).unwrap().is_empty(), "{kind}: there is more to do");
        assert_eq!(fake.request("203.0.113.9"), 403, "{kind}");
        push(connector.as_mut(), &[]).unwrap();
        assert_eq!(fake.state().items, before, "{kind}");
    }
}

#[test]
fn what_a_service_asks_for_is_heeded() {
    let at = serve(|_| (429, "slow down".into()));
    let fake = fastly::start();
    let fake = Fake { at, ..fake };
    let mut connector = fake.connector();
    assert_eq!(connector.observe(wall()).unwrap_err(), ConnectorError::Later(7));
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
    akamai_measure_a_hundred_thousand: akamai::start(), 50_000;
    cloudflare_measure_a_hundred_thousand: cloudflare::start(), 10_000;
    f5_measure_a_hundred_thousand: f5::start(), 5_000;
    fastly_measure_a_hundred_thousand: fastly::start(), 1_000;
    nginx_plus_measure_a_hundred_thousand: nginx_plus::Open(nginx_plus::start()), 8_000;
}

/// Sidetap's own part of the way, to a stand-in that takes no time of its own.
#[test]
#[ignore = "measures"]
fn measure_latency() {
    measure(akamai::start(), 30);
    measure(cloudflare::start(), 30);
    measure(f5::start(), 30);
    measure(fastly::start(), 30);
    measure(nginx_plus::start(), 30);
}

/// A block of 10.0.0.n that matters so much, for so many seconds.
fn ranked(n: u32, priority: u8, until: i64) -> Entry {
    let mut all = blocks(n..n + 1);
    (all[0].priority, all[0].expires_at) = ((priority, 0), wall() + until);
    all.remove(0)
}

/// Who gives way on a full list to somebody who matters more stands in the audit, and so does who came.
fn tells_who_gave_way(fake: &Fake) {
    let mut enforcer = Enforcer::with_connectors(vec![fake.connector()]);
    let scored = |n: u8, score: u8| {
        let row = verdict(&format!("v-{n}"), SubjectKind::Ip, &format!("10.0.0.{n}"), "block", 600);
        VerdictRow { score, ..row }
    };
    let options = PushOptions::new(Mode::Enforce);
    let before = [scored(1, 10), scored(2, 50)];
    assert!(enforcer.push(&desired(&before, &[]), wall_ts(), &options).is_ok());
    fake.state().limit = Some(2);
    let wanted = [scored(1, 10), scored(2, 50), scored(3, 90)];
    let report = enforcer.push(&desired(&wanted, &[]), wall_ts(), &options);
    let told: Vec<_> =
        report.actions.iter().map(|a| (a.kind.as_str(), a.subject.as_str(), a.outcome.as_str())).collect();
    assert_eq!(
        told,
        [("push", "1 entries", "failed"), ("add", "10.0.0.3", "done"), ("remove", "10.0.0.1", "done")]
    );
    assert!(report.actions[2].why.contains("gave way"), "{:?}", report.actions[2]);
}
