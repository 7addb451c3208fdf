//! The contract that every connector keeps, as checks to be run against the real device.

use ipnet::IpNet;
use sidetap_model::rows::Subject;
use sidetap_model::{Measures, SubjectKind, Ts};
use sidetap_policy::Response;

use crate::connector::{Connector, ConnectorError, Observed};
use crate::contended::Contended;
use crate::desired::{Desired, Want};
use crate::enforcer::{Enforcer, PushOptions, Selector};
use crate::entry::{Entry, Places, Sees};
use crate::key::Key;
use crate::plan::{Plan, plan};
use crate::report::Mode;

/// A device under test: its connector, and what the test does to the device behind the connector's back.
pub trait Device {
    /// The connector, with a capacity of at least 4 and at most 1,000 entries.
    fn connector(&mut self) -> &mut dyn Connector;

    /// Adds an entry that is not Sidetap's, where the device has a place for one; gives whether it has.
    fn add_foreign(&mut self) -> bool;

    /// Whether the entry that is not Sidetap's is still there.
    fn foreign_is_there(&mut self) -> bool;

    /// Empties the device as a reload or a hasty administrator would.
    fn flush(&mut self);

    /// Takes the device out of reach, or brings it back as it was; gives whether the test can.
    fn away(&mut self, away: bool) -> bool {
        let _ = away;
        false
    }

    /// Has the next change break off somewhere within; gives whether the test can.
    fn break_next(&mut self) -> bool {
        false
    }

    /// A connector to the same device with a credential that it does not take, and that credential.
    fn intruder(&mut self) -> Option<(Box<dyn Connector>, String)> {
        None
    }

    /// A connector of a second Sidetap to the same device.
    fn second(&mut self) -> Option<Box<dyn Connector>> {
        None
    }

    /// One more connector to the same device under the same mark, as a second Sidetap would have it by mistake.
    fn twin(&mut self) -> Option<Box<dyn Connector>> {
        None
    }

    /// The wall clock in seconds since 1970.
    fn now(&mut self) -> i64;

    /// Lets this many seconds go by.
    fn wait(&mut self, seconds: i64);
}

/// Whether a check could be made of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Yes,
    /// The device, or the test, has nothing of the kind.
    LeftOut,
}

type Check = fn(&mut dyn Device) -> Result<Done, String>;

/// Every check with its name, in the order in which they are made.
const CHECKS: [(&str, Check); 17] = [
    ("adding twice", adds_and_is_idempotent),
    ("refreshing", refreshes),
    ("overlapping networks", changes_widths),
    ("expiry", expires),
    ("entries of others", keeps_foreign_entries),
    ("repair after a flush", repairs_after_a_flush),
    ("hosts and endpoints", holds_at_places),
    ("away for ten minutes", is_brought_up_to_date_after_an_absence),
    ("a change that breaks off", heals_after_a_change_that_broke_off),
    ("a clock that jumps", stands_a_clock_that_jumps),
    ("a wrong credential", shows_no_credential),
    ("two Sidetaps", shares_the_device),
    ("two Sidetaps under one mark", notices_a_twin),
    ("two Sidetaps at one time", loses_nothing_of_a_twin),
    ("over capacity", obeys_its_capacity),
    ("other entries on a full list", changes_a_full_list),
    ("undo", takes_everything_back),
];

/// Runs all checks; the first that fails says what was expected and what was found. Gives the names of those that could not be made of
/// this device.
pub fn run(device: &mut dyn Device) -> Result<Vec<&'static str>, String> {
    let mut left_out = Vec::new();
    for (name, check) in CHECKS {
        match check(device).map_err(|e| format!("{name}: {e}"))? {
            Done::Yes => {}
            Done::LeftOut => left_out.push(name),
        }
    }
    Ok(left_out)
}

fn adds_and_is_idempotent(device: &mut dyn Device) -> Result<Done, String> {
    let end = device.now() + 600;
    let wanted = [
        entry("192.0.2.1/32", end, 90),
        entry("198.51.100.0/24", end, 80),
        entry("2001:db8::7/128", end, 70),
    ];
    reach(device, &wanted, "add")?;
    let again = planned(device, &wanted)?;
    expect(again.is_empty(), || format!("applied twice: a second plan is not empty: {again:?}"))?;
    Ok(Done::Yes)
}

fn refreshes(device: &mut dyn Device) -> Result<Done, String> {
    let end = device.now() + 1_200;
    let wanted = [entry("192.0.2.1/32", end, 90), entry("198.51.100.0/24", end, 80)];
    reach(device, &wanted, "refresh and remove")?;
    let observed = observe(device)?;
    let near = observed.entries.iter().all(|e| e.expires_at.abs_diff(end) <= 5);
    expect(near, || format!("refresh: ends are not {end}: {:?}", observed.entries))?;
    Ok(Done::Yes)
}

/// Networks that overlap what is there, in place of it.
fn changes_widths(device: &mut dyn Device) -> Result<Done, String> {
    let end = device.now() + 600;
    for net in ["198.51.100.0/24", "198.51.100.0/25", "198.51.96.0/20", "198.51.100.128/25", "2001:db8::/48"]
    {
        reach(device, &[entry(net, end, 90)], net)?;
    }
    reach(device, &[entry("2001:db8::/56", end, 90), entry("2001:db8:0:100::/56", end, 90)], "neighbours")?;
    Ok(Done::Yes)
}

fn expires(device: &mut dyn Device) -> Result<Done, String> {
    let now = device.now();
    reach(device, &[entry("192.0.2.1/32", now + 2, 90), entry("192.0.2.2/32", now + 600, 90)], "short life")?;
    device.wait(4);
    reach(device, &[entry("192.0.2.2/32", now + 600, 90)], "expiry")?;
    Ok(Done::Yes)
}

fn keeps_foreign_entries(device: &mut dyn Device) -> Result<Done, String> {
    if !device.add_foreign() {
        return Ok(Done::LeftOut);
    }
    let end = device.now() + 600;
    reach(
        device,
        &[entry("192.0.2.3/32", end, 90), entry("203.0.113.0/25", end, 90)],
        "beside a foreign entry",
    )?;
    reach(device, &[], "removal beside a foreign entry")?;
    let there = device.foreign_is_there();
    expect(there, || "an entry that is not Sidetap's is gone".to_owned())?;
    Ok(Done::Yes)
}

fn repairs_after_a_flush(device: &mut dyn Device) -> Result<Done, String> {
    let end = device.now() + 600;
    let wanted = [entry("192.0.2.4/32", end, 90), entry("2001:db8:1::/64", end, 90)];
    reach(device, &wanted, "before a flush")?;
    device.flush();
    let repair = planned(device, &wanted)?;
    let lost = told(&wanted, device.connector().sees()).len();
    expect(repair.add.len() == lost, || format!("a flush was not noticed: {repair:?}"))?;
    reach(device, &wanted, "after a flush")?;
    Ok(Done::Yes)
}

/// Entries for hosts and endpoints, where the device can hold them: beside one that holds everywhere, overlapping, after a flush.
fn holds_at_places(device: &mut dyn Device) -> Result<Done, String> {
    if device.connector().sees().places == Places::No {
        return Ok(Done::LeftOut);
    }
    let end = device.now() + 600;
    let at = |key: &str| key.parse::<Key>().map(|key| Entry { key, ..entry("192.0.2.50/32", end, 90) });
    let keys = [
        "192.0.2.50@POST,shop.example/login",
        "192.0.2.50@*,*.shop.example/api/*/items",
        "192.0.2.51",
        "192.0.2.51@GET,/api/v1/**",
        "198.51.100.0/24@*,shop.example/**",
        "198.51.100.0/25@*,/login",
        "2001:db8::51@*,shop.example/**",
    ];
    let wanted: Vec<Entry> = keys.iter().flat_map(|k| at(k)).collect();
    expect(wanted.len() == keys.len(), || "a key of the suite is none".to_owned())?;
    reach(device, &wanted, "places")?;
    let again = planned(device, &wanted)?;
    expect(again.is_empty(), || format!("places: a second plan is not empty: {again:?}"))?;
    device.flush();
    reach(device, &wanted, "places after a flush")?;
    let fewer: Vec<Entry> = wanted.into_iter().skip(2).collect();
    reach(device, &fewer, "fewer places")?;
    reach(device, &[], "no places")?;
    Ok(Done::Yes)
}

fn obeys_its_capacity(device: &mut dyn Device) -> Result<Done, String> {
    let end = device.now() + 600;
    let foreign = observe(device)?.foreign;
    let capacity = device.connector().sees().capacity;
    let wanted: Vec<Entry> = (0..capacity + 20)
        .map(|n| {
            entry(&format!("10.{}.{}.{}/32", n >> 16, (n >> 8) & 255, n & 255), end, 90).ranked(n as i64)
        })
        .collect();
    let plan = planned(device, &wanted)?;
    apply(device, &plan)?;
    let observed = observe(device)?;
    let room = capacity - foreign;
    expect(observed.entries.len() == room, || {
        format!("capacity {room}, but {} entries", observed.entries.len())
    })?;
    let highest = wanted.last().map(|e| &e.key);
    expect(observed.entries.iter().any(|e| Some(&e.key) == highest), || {
        "the most urgent entry was evicted".to_owned()
    })?;
    Ok(Done::Yes)
}

/// A list that takes no more is changed all the same: into one of other entries, and into one of networks in place of their addresses.
fn changes_a_full_list(device: &mut dyn Device) -> Result<Done, String> {
    let end = device.now() + 600;
    let room = device.connector().sees().capacity - observe(device)?.foreign;
    let full = |second: u8| -> Vec<Entry> {
        let net = |n: usize| format!("10.{second}.{}.{}/32", n >> 8, n & 255);
        (0..room).map(|n| entry(&net(n), end, 90)).collect()
    };
    reach(device, &full(201), "a full list")?;
    reach(device, &full(202), "other entries on a full list")?;
    let wide: Vec<Entry> =
        (0..room).map(|n| entry(&format!("10.202.{}.{}/31", n >> 8, n & 254), end, 90)).step_by(2).collect();
    let others = full(203).into_iter().take(room - wide.len());
    reach(device, &wide.into_iter().chain(others).collect::<Vec<_>>(), "networks on a full list")?;
    Ok(Done::Yes)
}

fn is_brought_up_to_date_after_an_absence(device: &mut dyn Device) -> Result<Done, String> {
    let now = device.now();
    // A device that keeps the time itself is away for as long as a test can wait, any other one for ten minutes.
    let away_s = if device.connector().sees().native_ttl { 3 } else { 600 };
    let gone = entry("192.0.2.10/32", now + 3_600, 90);
    let short = entry("192.0.2.11/32", now + away_s - 1, 90);
    reach(device, &[gone, short], "before an absence")?;
    if !device.away(true) {
        return Ok(Done::LeftOut);
    }
    let blind = observe(device);
    expect(blind.is_err(), || format!("a device that is away was read: {blind:?}"))?;
    device.wait(away_s);
    device.away(false);
    let now = device.now();
    reach(device, &[entry("192.0.2.12/32", now + 600, 90)], "after an absence")?;
    Ok(Done::Yes)
}

/// What is wanted before and after is there all the time, and the next reconcile makes the rest good.
fn heals_after_a_change_that_broke_off(device: &mut dyn Device) -> Result<Done, String> {
    let end = device.now() + 600;
    let stays = entry("192.0.2.20/32", end, 90);
    reach(device, &[stays.clone(), entry("192.0.2.21/32", end, 80)], "before a change that breaks off")?;
    let wanted = [stays.clone(), entry("192.0.2.22/32", end, 80), entry("2001:db8::22/128", end, 80)];
    let plan = planned(device, &wanted)?;
    if !device.break_next() {
        return Ok(Done::LeftOut);
    }
    let broken = apply(device, &plan);
    expect(broken.is_err(), || "a change that broke off was told as done".to_owned())?;
    let there = observe(device)?.entries;
    expect(there.iter().any(|e| e.key == stays.key), || {
        format!("an entry that was to stay went with a change that broke off: {there:?}")
    })?;
    reach(device, &wanted, "after a change that broke off")?;
    let again = planned(device, &wanted)?;
    expect(again.is_empty(), || format!("there is still something to do: {again:?}"))?;
    Ok(Done::Yes)
}

fn stands_a_clock_that_jumps(device: &mut dyn Device) -> Result<Done, String> {
    let now = device.now();
    let wanted = [entry("192.0.2.30/32", now + 7_200, 90), entry("198.51.100.0/24", now + 7_200, 90)];
    reach(device, &wanted, "before the clock jumps")?;
    for jump in [3_600, -3_600] {
        let observed = device.connector().observe(now + jump).map_err(|e| e.to_string())?;
        let plan = plan_for(device, &wanted, &observed);
        device.connector().apply(&plan, now + jump).map_err(|e| e.to_string())?;
        reach(device, &wanted, "after the clock jumped")?;
        let observed = observe(device)?;
        let near = observed.entries.iter().all(|e| e.expires_at.abs_diff(now + 7_200) <= 10);
        expect(near, || format!("a clock that jumped {jump} s left wrong ends: {:?}", observed.entries))?;
    }
    Ok(Done::Yes)
}

fn shows_no_credential(device: &mut dyn Device) -> Result<Done, String> {
    let now = device.now();
    let Some((mut intruder, secret)) = device.intruder() else { return Ok(Done::LeftOut) };
    let Err(e) = intruder.observe(now) else { return Err("a wrong credential was taken".to_owned()) };
    expect(matches!(e, ConnectorError::Denied(_)), || format!("a wrong credential is told as {e:?}"))?;
    let shown = format!("{e} {e:?}");
    expect(!shown.contains(&secret), || "an error shows the credential".to_owned())?;
    Ok(Done::Yes)
}

fn shares_the_device(device: &mut dyn Device) -> Result<Done, String> {
    let Some(mut second) = device.second() else { return Ok(Done::LeftOut) };
    let now = device.now();
    let (ours, theirs) = ([entry("192.0.2.40/32", now + 600, 90)], [entry("192.0.2.41/32", now + 600, 90)]);
    let push = |second: &mut dyn Connector, wanted: &[Entry]| {
        let observed = second.observe(now).map_err(|e| e.to_string())?;
        let plan = plan(wanted, &observed, &[], second.sees());
        let done = if plan.is_empty() { Ok(()) } else { second.apply(&plan, now).map(|_| ()) };
        done.map_err(|e| format!("the second Sidetap: {e}"))
    };
    reach(device, &ours, "beside a second Sidetap")?;
    push(second.as_mut(), &theirs)?;
    reach(device, &ours, "after a second Sidetap's push")?;
    let again = planned(device, &ours)?;
    expect(again.is_empty(), || format!("a second Sidetap's push is fought: {again:?}"))?;
    reach(device, &[], "removal beside a second Sidetap")?;
    let left = second.observe(now).map_err(|e| e.to_string())?.entries;
    expect(left.len() == 1, || format!("the second Sidetap's entries are {left:?}"))?;
    push(second.as_mut(), &[])?;
    Ok(Done::Yes)
}

/// Two under one mark leave each other's entries there and are told of it, both; one that is alone is not, whatever becomes of the device.
fn notices_a_twin(device: &mut dyn Device) -> Result<Done, String> {
    let (Some(first), Some(second)) = (device.twin(), device.twin()) else { return Ok(Done::LeftOut) };
    reach(device, &[], "before two Sidetaps under one mark")?;
    let (mut ours, mut theirs) =
        (Enforcer::with_connectors(vec![first]), Enforcer::with_connectors(vec![second]));
    let mut at = device.now();
    let mut push = |device: &mut dyn Device, enforcer: &mut Enforcer, verdict: &str, ip: &str| {
        // Later each time, where the device leaves the time to Sidetap: changes may be due some seconds apart.
        let native = device.connector().sees().native_ttl;
        if native && device.connector().min_interval_s() > 0 {
            device.wait(2);
        }
        at = if native { device.now() } else { at + 20 };
        let options = PushOptions::new(Mode::Enforce);
        let report = enforcer.push(&want(verdict, ip, at), Ts::from_parts(at, 0), &options);
        let result = report.connectors.into_iter().next().ok_or("no connector")?;
        expect(matches!(result.outcome.as_str(), "done" | "unchanged"), || format!("{result:?}"))?;
        let told = report.actions.iter().any(|a| a.kind == "contended");
        Ok::<_, String>((result.contended, told))
    };
    let alone =
        |c: (Option<Contended>, bool)| expect(c == (None, false), || format!("alone, and told of {c:?}"));
    alone(push(device, &mut ours, "v-ours", "192.0.2.70")?)?;
    alone(push(device, &mut ours, "v-ours", "192.0.2.70")?)?;
    device.flush();
    alone(push(device, &mut ours, "v-ours", "192.0.2.70")?)?;
    alone(push(device, &mut theirs, "v-theirs", "192.0.2.71")?)?;
    let (contended, told) = push(device, &mut ours, "v-ours", "192.0.2.70")?;
    let verdict = contended.map(|c| c.verdict);
    expect(verdict.as_deref() == Some("v-theirs") && told, || {
        format!("a twin was not noticed: {verdict:?}")
    })?;
    let there = observe(device)?.entries;
    let both = ["v-ours", "v-theirs"].iter().all(|v| there.iter().any(|e| e.verdict == *v));
    expect(both, || format!("one took the other's entries away: {there:?}"))?;
    push(device, &mut ours, "v-ours-2", "192.0.2.72")?;
    let (contended, _) = push(device, &mut theirs, "v-theirs", "192.0.2.71")?;
    expect(contended.is_some(), || "the other did not notice".to_owned())?;
    let now = Ts::from_parts(device.now(), 0);
    let status = ours.status(now).connectors.into_iter().next();
    expect(status.is_some_and(|s| s.contended.is_some()), || "the status does not say so".to_owned())?;
    let force = PushOptions { force: true, ..PushOptions::new(Mode::Enforce) };
    theirs.undo(&Selector::All, now, &force);
    reach(device, &[], "after two Sidetaps under one mark")?;
    Ok(Done::Yes)
}

/// What another wrote under the same mark between the reading of the device and its change is there after it: the change is made beside it, or
/// not at all.
fn loses_nothing_of_a_twin(device: &mut dyn Device) -> Result<Done, String> {
    let Some(mut twin) = device.twin() else { return Ok(Done::LeftOut) };
    let now = device.now();
    let (ours, theirs) = (entry("192.0.2.80/32", now + 600, 90), entry("192.0.2.81/32", now + 600, 90));
    reach(device, &[], "before two Sidetaps at one time")?;
    let late = planned(device, std::slice::from_ref(&ours))?;
    let observed = twin.observe(now).map_err(|e| e.to_string())?;
    let first = plan(std::slice::from_ref(&theirs), &observed, &observed.allow, twin.sees());
    twin.apply(&first, now).map_err(|e| format!("the other: {e}"))?;
    let done = device.connector().apply(&late, now);
    expect(matches!(done, Ok(_) | Err(ConnectorError::Conflict(_))), || format!("the later: {done:?}"))?;
    let there = observe(device)?.entries;
    let has = |e: &Entry| there.iter().any(|t| t.key == e.key);
    expect(has(&theirs), || format!("what the other wrote meanwhile is gone: {there:?}"))?;
    expect(has(&ours) == done.is_ok(), || format!("{done:?}, and there is {there:?}"))?;
    reach(device, &[ours, theirs], "both, with the next reconcile")?;
    reach(device, &[], "after two Sidetaps at one time")?;
    Ok(Done::Yes)
}

/// The wish of one verdict against an address.
fn want(verdict: &str, ip: &str, now: i64) -> Desired {
    let at = Ts::from_parts(now, 0);
    let subject = Subject { kind: SubjectKind::Ip, value: ip.to_owned(), parts: Vec::new() };
    let want = Want {
        verdict: verdict.to_owned(),
        zone: "default".to_owned(),
        subject,
        response: Response::Block,
        ttl_s: 3_600,
        score: 90,
        detected_at: at,
        last_seen: at,
        stale: false,
        measures: Measures::default(),
        why: String::new(),
    };
    Desired { wants: vec![want], ..Desired::default() }
}

fn takes_everything_back(device: &mut dyn Device) -> Result<Done, String> {
    reach(device, &[], "undo")?;
    let plan = planned(device, &[])?;
    expect(plan.is_empty(), || format!("after an undo there is something to do: {plan:?}"))?;
    Ok(Done::Yes)
}

impl Entry {
    fn ranked(mut self, rank: i64) -> Self {
        self.priority.1 = rank;
        self
    }
}

fn entry(net: &str, expires_at: i64, score: u8) -> Entry {
    let net: IpNet = net.parse().unwrap_or_default();
    Entry {
        key: net.into(),
        response: Response::Block,
        expires_at,
        verdict: "suite".to_owned(),
        priority: (score, 0),
        way: None,
    }
}

fn planned(device: &mut dyn Device, wanted: &[Entry]) -> Result<Plan, String> {
    let observed = observe(device)?;
    Ok(plan_for(device, wanted, &observed))
}

fn plan_for(device: &mut dyn Device, wanted: &[Entry], observed: &Observed) -> Plan {
    let allow: Vec<IpNet> = "198.51.100.250/32".parse().into_iter().collect();
    let sees = device.connector().sees();
    plan(&told(wanted, sees), observed, &allow, sees)
}

/// Those of the entries that the device can be told.
fn told(wanted: &[Entry], sees: &Sees) -> Vec<Entry> {
    let fits = |e: &&Entry| {
        let (who, _) = e.key.who_and_place();
        sees.matches(&e.key)
            && (sees.networks || !who.is_wide())
            && (sees.ipv6 || !matches!(who.net(), Some(IpNet::V6(_))))
    };
    wanted.iter().filter(fits).cloned().collect()
}

fn apply(device: &mut dyn Device, plan: &Plan) -> Result<(), String> {
    let now = device.now();
    device.connector().apply(plan, now).map(|_| ()).map_err(|e| e.to_string())
}

/// Plans and applies, and holds that the device then has exactly these entries.
fn reach(device: &mut dyn Device, wanted: &[Entry], step: &str) -> Result<(), String> {
    let plan = planned(device, wanted)?;
    if !plan.is_empty() {
        apply(device, &plan).map_err(|e| format!("{step}: {e}"))?;
    }
    let mut have: Vec<Key> = observe(device)?.entries.into_iter().map(|e| e.key).collect();
    let wanted = told(wanted, device.connector().sees());
    let mut want: Vec<Key> = wanted.into_iter().map(|e| e.key).collect();
    have.sort_unstable();
    want.sort_unstable();
    expect(have == want, || format!("{step}: the device has {have:?}, not {want:?}"))
}

fn expect(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

fn observe(device: &mut dyn Device) -> Result<Observed, String> {
    let now = device.now();
    device.connector().observe(now).map_err(|e| e.to_string())
}
