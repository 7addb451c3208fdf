//! BGP: flow specifications (RFC 8955) or routes to a black hole, announced by a GoBGP that runs beside.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;
use sidetap_policy::Response;

use crate::canary::{Canary, CanaryConfig};
use crate::command;
use crate::config::{ConfigError, canary_of, check_name};
use crate::connector::{Answer, Connector, ConnectorError, Observed, basics, files, shortened};
use crate::entry::{AddressSeen, Entry, Sees};
use crate::key::Key;
use crate::memory::{Announcement, File, Memory};
use crate::plan::Plan;
use crate::turn::{take, turn};

/// What is announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BgpMode {
    /// Flow specifications that match the source address.
    #[default]
    Flowspec,
    /// Host routes with a community, for routers that check sources against them (source-based black hole, RFC 5635).
    Rtbh,
}

/// A speaker: `[[mitigation.bgp]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BgpConfig {
    /// Its name.
    #[serde(default = "default_name")]
    pub name: String,
    /// The command that is `gobgp` there: `["gobgp"]`, `["gobgp", "-p", "50051"]`.
    #[serde(default = "default_command")]
    pub command: Vec<String>,
    /// `flowspec` or `rtbh`.
    #[serde(default)]
    pub mode: BgpMode,
    /// Where packets of a flow specification may go only: your own networks. Needed for `flowspec`.
    #[serde(default)]
    pub destinations: Vec<IpNet>,
    /// Bytes a second that a rate-limited source may send.
    #[serde(default = "default_rate")]
    pub rate_bytes_per_s: u64,
    /// The next hop of routes to a black hole, IPv4 and IPv6.
    #[serde(default = "default_next_hops")]
    pub next_hops: [std::net::IpAddr; 2],
    /// The community of routes to a black hole (RFC 7999).
    #[serde(default = "default_community")]
    pub community: String,
    /// Where it is remembered what is ours.
    pub memory: PathBuf,
    /// Most entries: routers hold few.
    #[serde(default = "default_capacity")]
    pub capacity: usize,
    /// Seconds that one command may take.
    #[serde(default = "default_timeout")]
    pub timeout_s: u64,
    /// Zones whose clients reach the routers; empty means all.
    #[serde(default)]
    pub zones: Vec<String>,
    /// A program that asks from an address of its own, which proves that entries have an effect.
    #[serde(default)]
    pub canary: Option<CanaryConfig>,
}

fn default_name() -> String {
    "bgp".to_owned()
}

fn default_command() -> Vec<String> {
    vec!["gobgp".to_owned()]
}

fn default_rate() -> u64 {
    12_500
}

fn default_next_hops() -> [std::net::IpAddr; 2] {
    [std::net::IpAddr::from([192, 0, 2, 1]), std::net::IpAddr::from([0x100, 0, 0, 0, 0, 0, 0, 1])]
}

fn default_community() -> String {
    "65535:666".to_owned()
}

fn default_capacity() -> usize {
    500
}

fn default_timeout() -> u64 {
    20
}

/// The connector to a speaker.
#[derive(Debug)]
pub struct BgpConnector {
    canary: Option<Canary>,
    config: BgpConfig,
    memory: Memory,
    sees: Sees,
}

impl BgpConnector {
    /// The connector of this configuration.
    pub fn new(config: BgpConfig) -> Result<Self, ConfigError> {
        check_name(&config.name)?;
        let refuse = |why: &str| Err(ConfigError::Value(format!("{}: {why}", config.name)));
        if config.command.is_empty() || config.timeout_s == 0 {
            return refuse("command and timeout_s are not empty");
        }
        if community_of(&config.community).is_none() {
            return refuse("community is two numbers, 65535:666, or one of 32 bits");
        }
        let flows = config.mode == BgpMode::Flowspec;
        if flows && config.destinations.is_empty() {
            return refuse(
                "destinations are needed: your own networks, so that nothing else is ever matched",
            );
        }
        let mut responses = vec![Response::Block];
        responses.extend(flows.then_some(Response::RateLimit));
        let sees = Sees {
            min_prefix: (24, 48),
            ipv6: !flows || config.destinations.iter().any(|d| matches!(d, IpNet::V6(_))),
            open_connections: "cut off in the middle",
            delay: "at once here; as fast as routes spread",
            cannot: "routers see addresses of packets and nothing of HTTP",
            ..Sees::addresses(responses, config.capacity)
        };
        let canary = canary_of(&config.name, config.canary.as_ref(), AddressSeen::Peer, &[])?;
        Ok(BgpConnector { canary, memory: Memory::new(&config.memory), sees, config })
    }

    fn gobgp(&self, args: &[&str]) -> Result<String, ConnectorError> {
        command::read(&self.config.command, args, b"", self.config.timeout_s)
    }

    fn family(&self, v6: bool) -> &'static str {
        match (self.config.mode, v6) {
            (BgpMode::Flowspec, false) => "ipv4-flowspec",
            (BgpMode::Flowspec, true) => "ipv6-flowspec",
            (BgpMode::Rtbh, false) => "ipv4",
            (BgpMode::Rtbh, true) => "ipv6",
        }
    }

    /// What is announced from here. Routes that neighbours sent are none of ours, whatever they look like, and take no room of ours.
    fn announced(&self) -> Result<Announced, ConnectorError> {
        let mut all = Announced::default();
        for v6 in [false, true] {
            let text = self.gobgp(&["-j", "global", "rib", "-a", self.family(v6)])?;
            for (prefix, paths) in &routes(&text)? {
                let Some(path) = own_path(paths) else { continue };
                let since = path.get("age").and_then(Value::as_i64);
                match self.config.mode {
                    BgpMode::Flowspec => match flow_of(path) {
                        Some((route, rate)) => drop(all.routes.insert(route, There { rate, since })),
                        None => all.others += 1,
                    },
                    BgpMode::Rtbh => {
                        let Ok(source) = prefix.parse() else { continue };
                        let signs = self.signs(path);
                        let rate = (signs < SIGNS).then_some(0);
                        all.routes.insert((source, None), There { rate, since });
                        all.plain.extend((signs == 0).then_some(source));
                    }
                }
            }
        }
        Ok(all)
    }

    /// How many of the signs of a black hole a route has: our next hop, and our community.
    fn signs(&self, path: &Value) -> usize {
        let attributes = || path.get("attrs").and_then(Value::as_array).into_iter().flatten();
        let is_ours = |hop: &str| hop.parse().is_ok_and(|hop| self.config.next_hops.contains(&hop));
        let hop = attributes().filter_map(|a| a.get("nexthop")?.as_str()).any(is_ours);
        let mut communities = attributes().filter_map(|a| a.get("communities")?.as_array()).flatten();
        let ours = community_of(&self.config.community);
        usize::from(hop) + usize::from(ours.is_some() && communities.any(|c| c.as_u64() == ours))
    }

    /// The routes that stand for an entry, with the rate of each.
    fn routes_of(&self, entry: &Entry) -> Vec<(Route, Option<u64>)> {
        let Some(source) = entry.key.net() else { return Vec::new() };
        let v6 = matches!(source, IpNet::V6(_));
        let rate = if entry.response == Response::RateLimit { self.config.rate_bytes_per_s } else { 0 };
        let flows = self.config.destinations.iter().filter(|d| matches!(d, IpNet::V6(_)) == v6);
        match self.config.mode {
            BgpMode::Rtbh => vec![((source, None), None)],
            BgpMode::Flowspec => flows.map(|d| ((source, Some(d.trunc())), Some(rate))).collect(),
        }
    }

    /// Those that are ours: of a source that was told, to a destination that was configured then, and there since then. Of one there is but
    /// one from here, so that what somebody else announces for the same takes the place of ours.
    fn ours<'a>(&self, there: &'a Announced, known: &File) -> BTreeMap<&'a Route, Option<u64>> {
        let told: Option<BTreeMap<Route, &Announcement>> =
            known.announced.as_ref().map(|all| all.iter().map(|a| ((a.source, a.destination), a)).collect());
        let meant: BTreeMap<Route, Option<u64>> =
            known.entries.iter().flat_map(|e| self.routes_of(e)).collect();
        let is_since_then = |route: &Route, t: &There| {
            let Some(told) = &told else { return true };
            let as_meant = || meant.get(route).is_some_and(|rate| is_rate(*rate, t.rate));
            // Whether a route leads to a black hole is known of the one that is configured now alone.
            let is_route = self.config.mode == BgpMode::Rtbh && t.since.is_some();
            let as_left = |a: &Announcement| a.since == t.since && (is_route || is_rate(a.rate, t.rate));
            told.get(route).is_some_and(|a| as_left(a) || a.begun_at.is_some() && as_meant())
        };
        let sources: BTreeSet<IpNet> = known.entries.iter().filter_map(|e| e.key.net()).collect();
        // A memory that was saved from a broken file has none.
        let own = if known.destinations.is_empty() { self.destinations() } else { BTreeSet::new() };
        let leads = |d: &IpNet| known.destinations.contains(d) || own.contains(d);
        let is_ours = |(source, destination): &Route| {
            sources.contains(source) && destination.as_ref().is_none_or(leads)
        };
        let ours = there.routes.iter().filter(|(route, t)| is_ours(route) && is_since_then(route, t));
        ours.map(|(route, t)| (route, t.rate)).collect()
    }

    /// The same after what a change that broke off had begun is known for what it is: an announcement that is there as it was meant goes by its
    /// time from now on, and one that does not come any more is none. What comes later for the same is somebody else's. Whose turn it is settles
    /// that himself.
    fn settled(&self, known: File, there: Announced, now: i64) -> Result<(File, Announced), ConnectorError> {
        let Ok(_turn) = take(&self.config.memory, Duration::ZERO) else { return Ok((known, there)) };
        let (mut known, there) = (self.memory.load()?, self.announced()?);
        let before = known.begun();
        let ours = self.ours(&there, &known);
        let ours: BTreeMap<Route, Option<u64>> =
            ours.into_iter().map(|(route, rate)| (*route, rate)).collect();
        let meant: BTreeMap<Route, Option<u64>> =
            known.entries.iter().flat_map(|e| self.routes_of(e)).collect();
        let is_late = |at: i64| !(0..self.grace()).contains(&now.saturating_sub(at));
        known.announced.iter_mut().flatten().for_each(|a| {
            let Some(at) = a.begun_at else { return };
            let route = (a.source, a.destination);
            let there = there.routes.get(&route).filter(|_| ours.contains_key(&route));
            match there.filter(|t| meant.get(&route).is_some_and(|rate| is_rate(*rate, t.rate))) {
                Some(t) => (a.since, a.rate, a.begun_at) = (t.since, t.rate, None),
                None if is_late(at) => a.begun_at = None,
                None => {}
            }
        });
        if known.begun() < before && known.broken.is_none() {
            // Who may not write it looks on as before.
            let _ = self.memory.save(&known);
        }
        Ok((known, there))
    }

    /// Seconds within which a command that was begun comes to its end, though who began it is gone.
    fn grace(&self) -> i64 {
        i64::try_from(self.config.timeout_s).unwrap_or(i64::MAX).saturating_add(60)
    }

    fn destinations(&self) -> BTreeSet<IpNet> {
        self.config.destinations.iter().map(IpNet::trunc).collect()
    }

    /// Announces or withdraws a route.
    fn tell(
        &self,
        verb: &str,
        (source, destination): &Route,
        rate: Option<u64>,
    ) -> Result<(), ConnectorError> {
        let v6 = matches!(source, IpNet::V6(_));
        let (net, rate_text) = (source.to_string(), rate.unwrap_or_default().to_string());
        let hop = self.config.next_hops.map(|h| h.to_string());
        let [four, six] = &hop;
        let destination = destination.map(|d| d.to_string());
        let mut words = vec!["global", "rib", verb];
        match &destination {
            None => words.extend([net.as_str(), "-a", self.family(v6)]),
            Some(to) => {
                words.extend(["-a", self.family(v6), "match", "source", &net, "destination", to]);
            }
        }
        match (verb, &destination, rate) {
            ("add", None, _) => {
                let hop = if v6 { six } else { four };
                words.extend(["nexthop", hop, "community", &self.config.community]);
            }
            ("add", Some(_), Some(1..)) => words.extend(["then", "rate-limit", &rate_text]),
            ("add", Some(_), _) => words.extend(["then", "discard"]),
            _ => {}
        }
        self.gobgp(&words).map(drop)
    }
}

/// A source, and where its packets are matched, where that is a part of it.
type Route = (IpNet, Option<IpNet>);

/// An announcement: the bytes a second that it lets through, and since when it is there.
#[derive(Debug)]
struct There {
    rate: Option<u64>,
    since: Option<i64>,
}

/// What a speaker announces by itself: of flow specifications those of a source and a destination alone, with the bytes a second that they
/// let through; of routes those to a black hole as it is configured have none.
#[derive(Debug, Default)]
struct Announced {
    routes: BTreeMap<Route, There>,
    /// Flow specifications that no entry could stand for.
    others: usize,
    /// Routes that lead to no black hole: they take no room of one.
    plain: BTreeSet<IpNet>,
}

/// How many signs a route to a black hole has.
const SIGNS: usize = 2;

/// A community as routes carry it: two numbers of 16 bits, or one of 32.
fn community_of(text: &str) -> Option<u64> {
    let Some((high, low)) = text.split_once(':') else { return text.parse::<u32>().ok().map(u64::from) };
    Some(u64::from(high.parse::<u16>().ok()?) << 16 | u64::from(low.parse::<u16>().ok()?))
}

/// Of the paths of a route the one that no neighbour sent.
fn own_path(paths: &Value) -> Option<&Value> {
    // A neighbour without a number of its own is an address of the link, `fe80::1%eth0`.
    let address = |text: &str| text.split('%').next().and_then(|ip| ip.parse::<std::net::IpAddr>().ok());
    let sent = |p: &&Value| p.get("neighbor-ip").and_then(Value::as_str).and_then(address);
    paths.as_array()?.iter().find(|p| sent(p).is_none())
}

/// How the speaker says that it has no routes.
const NO_ROUTES: &str = "Network not in table";

/// The routes that the speaker named; what is neither a list nor the word for none, and be it nothing, is not taken for an empty one, since what is believed
/// to be gone is never withdrawn.
fn routes(text: &str) -> Result<serde_json::Map<String, Value>, ConnectorError> {
    let text = text.trim();
    if text == NO_ROUTES {
        return Ok(serde_json::Map::new());
    }
    let wrong = || ConnectorError::Answer(format!("gobgp global rib: {}", shortened(text)));
    match serde_json::from_str(text) {
        Ok(Value::Object(routes)) => Ok(routes),
        _ => Err(wrong()),
    }
}

/// A flow specification of a destination and a source prefix and nothing else (component types 1 and 2, RFC 8955 §4.2.2), and its rate
/// (traffic-rate-bytes, §7.1).
fn flow_of(path: &Value) -> Option<(Route, Option<u64>)> {
    let components = path.pointer("/nlri/value")?.as_array()?;
    let prefix = |kind: u64| -> Option<IpNet> {
        let of = |c: &&Value| c.get("type").and_then(Value::as_u64) == Some(kind);
        components.iter().find(of)?.pointer("/value/prefix")?.as_str()?.parse().ok()
    };
    let (Some(destination), Some(source), 2) = (prefix(1), prefix(2), components.len()) else { return None };
    let communities = path.get("attrs")?.as_array()?.iter();
    let mut communities = communities.filter_map(|a| a.get("value")?.as_array()).flatten();
    let rate = communities.find_map(|c| c.get("rate")?.as_f64());
    Some(((source, Some(destination)), rate.map(|r| r as u64)))
}

/// Whether a rate is that of a route, as the four bytes of a float have it.
fn is_rate(there: Option<u64>, wanted: Option<u64>) -> bool {
    there.map(|r| r as f32) == wanted.map(|r| r as f32)
}

impl Connector for BgpConnector {
    basics!("bgp", canary);

    fn targets(&self) -> Vec<String> {
        files([&self.config.memory])
    }

    /// An entry is there where any of its routes is; where one is not, or is another than was announced, there is something to repair.
    fn observe(&mut self, now: i64) -> Result<Observed, ConnectorError> {
        let (mut known, mut there) = (self.memory.load()?, self.announced()?);
        if known.begun() > 0 {
            (known, there) = self.settled(known, there, now)?;
        }
        let ours = self.ours(&there, &known);
        let mut observed = Observed { foreign: there.others, ..Observed::default() };
        for route @ (source, _) in there.routes.keys().filter(|r| !ours.contains_key(r)) {
            observed.foreign += usize::from(!there.plain.contains(source));
            // Of a route there is but one from here: ours would take the place of somebody else's.
            let is_in_the_way = route.1.is_none_or(|to| self.destinations().contains(&to));
            observed.by_others.extend(is_in_the_way.then_some(Key::Net(*source)));
        }
        let held: BTreeSet<IpNet> = ours.keys().map(|(source, _)| *source).collect();
        observed.drift.extend(known.broken);
        observed.entries = known.entries;
        observed.entries.retain(|e| e.key.net().is_some_and(|net| held.contains(&net)));
        let wanted: BTreeMap<Route, Option<u64>> =
            observed.entries.iter().flat_map(|e| self.routes_of(e)).collect();
        let as_told = |route: &Route, rate: Option<u64>| ours.get(route).is_some_and(|r| is_rate(*r, rate));
        if wanted.len() != ours.len() || !wanted.iter().all(|(route, rate)| as_told(route, *rate)) {
            observed.drift.push("announcements".to_owned());
        }
        Ok(observed)
    }

    /// Who is announced anew comes first; an announcement of the same source takes the place of the old one.
    fn apply(&mut self, plan: &Plan, now: i64) -> Result<Answer, ConnectorError> {
        let turn = turn(&self.config.memory, plan)?;
        let there = self.announced()?;
        let mut known = self.memory.load()?;
        let ours = self.ours(&there, &known);
        let is_there =
            |e: &&Entry| e.key.net().is_some_and(|net| ours.keys().any(|(source, _)| *source == net));
        plan.check_unseen(known.entries.iter().filter(is_there), "announcements")?;
        let live = plan.target.iter().filter(|e| e.expires_at > now);
        let wanted: BTreeMap<Route, Option<u64>> = live.flat_map(|e| self.routes_of(e)).collect();
        if let Some((source, _)) =
            wanted.keys().find(|r| there.routes.contains_key(r) && !ours.contains_key(r))
        {
            return Err(ConnectorError::Conflict(format!("announcements: {source} came in between")));
        }
        let anew: BTreeMap<&Route, Option<u64>> = wanted
            .iter()
            .filter(|(route, rate)| !ours.get(route).is_some_and(|r| is_rate(*r, **rate)))
            .map(|(route, rate)| (route, *rate))
            .collect();
        let announcement = |route: &Route, there: &Announced, begun_at| Announcement {
            source: route.0,
            destination: route.1,
            since: there.routes.get(route).and_then(|t| t.since),
            rate: there.routes.get(route).and_then(|t| t.rate),
            begun_at,
        };
        let stay = ours.keys().filter(|route| !anew.contains_key(**route));
        let stay = stay.map(|route| announcement(route, &there, None));
        known.destinations.extend(self.destinations());
        known.announced =
            Some(stay.chain(anew.keys().map(|route| announcement(route, &there, Some(now)))).collect());
        self.memory.save(&known)?;
        self.memory.intend(&plan.target)?;
        let mut told = 0;
        for (route, rate) in &anew {
            self.tell("add", route, *rate)?;
            told += 1;
        }
        for (route, rate) in ours.iter().filter(|(route, _)| !wanted.contains_key(**route)) {
            self.tell("del", route, *rate)?;
            told += 1;
        }
        let left = self.announced()?;
        let is_told = |(route, rate): &(&Route, &Option<u64>)| {
            left.routes.get(*route).is_some_and(|t| is_rate(t.rate, **rate))
        };
        let told_now = wanted.iter().filter(is_told).map(|(route, _)| announcement(route, &left, None));
        self.memory.save(&File {
            entries: plan.target.clone(),
            destinations: self.destinations(),
            announced: Some(told_now.collect()),
            ..File::default()
        })?;
        Ok(turn.answer(format!("{told} announcements changed")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn communities_are_read_as_gobgp_does() {
        for (text, number) in [("65535:666", Some(0xffff_029a)), ("4294902426", Some(0xffff_029a))] {
            assert_eq!(community_of(text), number, "{text}");
        }
        for wrong in ["", "65536:1", "4294967296", "1:2:3", "blackhole"] {
            assert_eq!(community_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_a_neighbour_without_a_number_sent_is_none_of_ours() {
        let of = |from: &str| serde_json::json!([{ "neighbor-ip": from }]);
        for from in ["192.0.2.7", "fe80::1%eth0", "fe80::1"] {
            assert!(own_path(&of(from)).is_none(), "{from}");
        }
        for own in ["<nil>", "invalid IP", ""] {
            assert!(own_path(&of(own)).is_some(), "{own}");
        }
    }

    #[test]
    fn an_answer_that_is_no_list_is_not_an_empty_one() {
        assert!(routes("{}\n").unwrap().is_empty() && routes("Network not in table\n").unwrap().is_empty());
        assert_eq!(routes(r#"{"192.0.2.1/32": []}"#).unwrap().len(), 1);
        for text in ["", "connection refused", "[]", "{\"192.0.2.1/32\": ["] {
            assert!(matches!(routes(text), Err(ConnectorError::Answer(_))), "{text}");
        }
    }
}
