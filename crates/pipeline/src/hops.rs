use std::collections::VecDeque;
use std::net::IpAddr;

use hashbrown::HashMap;
use sidetap_model::{ClientAddr, Exchange, FlowId, Headers, IpSource, Request, Ts};
use sidetap_wire::body::hash_bytes;
use sidetap_wire::{forward, target};

use crate::item::Item;
use crate::proxies::is_internal;

type Fixed = foldhash::fast::FixedState;
/// Names an exchange: its flow and its place there.
type Id = (FlowId, u32);

/// Headers whose value names one request at all its hops.
const REQUEST_IDS: [&str; 4] = ["x-request-id", "x-correlation-id", "request-id", "x-amzn-trace-id"];
/// Headers that name a trace: many requests that one caused.
const TRACES: [&str; 3] = ["traceparent", "x-b3-traceid", "x-cloud-trace-context"];

/// What of an exchange tells whether it is one that was seen before, nearer to the client.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    /// Zone, method, last segment of the path, query: what proxies leave as it is.
    key: u64,
    /// The whole path, and its last two segments: gateways take off what is before.
    path: [u64; 2],
    /// Hash of its content; 0 where not all of it is there.
    content: u64,
    /// What was attempted with it.
    attempts: u64,
    /// Hashes of the request's id, its trace, and the id that the answer names; 0 where there is none.
    ids: [u64; 3],
    source: IpAddr,
    server: IpAddr,
    /// Whom the nearest proxy says that it speaks for.
    forwarded: Option<IpAddr>,
    /// Who acts; believed.
    client: IpAddr,
    /// The source is a proxy whose word is taken.
    believed: bool,
    ts: Ts,
    /// When it was over; nothing while its answer is open.
    end: Option<Ts>,
}

impl Mark {
    /// The mark of an exchange; nothing where there is no request.
    pub(crate) fn of(ex: &Exchange, client: &ClientAddr, open: bool) -> Option<Mark> {
        let request = ex.request.as_ref()?;
        let split = target::split(&request.method, &request.target);
        let path = split.path?;
        let mut from_end = path.iter().enumerate().rev().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
        let (last, two) = (from_end.next().unwrap_or(0), from_end.next().unwrap_or(0));
        let tail = |at: usize| hash_bytes(path.get(at..).unwrap_or_default());
        let key = [
            u64::from(ex.flow.zone),
            hash_bytes(&request.method),
            tail(last),
            hash_bytes(split.query.unwrap_or_default()),
        ];
        let key = key
            .into_iter()
            .fold(0u64, |sum, part| (sum ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29));
        let answered = ex.response.as_ref().map_or(0, |r| first_id(&r.headers, &REQUEST_IDS));
        let hops = forward::hops(&request.headers);
        let nearest = hops.x_forwarded_for.last().or_else(|| hops.forwarded.last());
        Some(Mark {
            key,
            path: [tail(0), tail(two)],
            content: content_of(request),
            attempts: 0,
            ids: [first_id(&request.headers, &REQUEST_IDS), trace(&request.headers), answered],
            source: ex.flow.client.ip,
            server: ex.flow.server.ip,
            forwarded: nearest.and_then(|n| n.ip()),
            client: client.ip,
            believed: client.source != IpSource::Connection && !client.claimed,
            ts: ex.ts,
            end: (!open).then_some(ex.end),
        })
    }

    /// The same with what was attempted with it, as classes of exploits.
    pub(crate) fn with(self, attempts: impl Iterator<Item = &'static str>) -> Mark {
        let sum = attempts.fold(0u64, |sum, class| sum.wrapping_add(hash_bytes(class.as_bytes()) | 1));
        Mark { attempts: sum, ..self }
    }

    /// True where it may be a later hop of another.
    const fn may_be_inner(&self) -> bool {
        self.forwarded.is_some() || self.believed || self.ids[0] != 0 || self.ids[1] != 0
    }

    /// True where this is `outer` again, at a later hop.
    ///
    /// It lies within the outer one in time, and comes from the outer one's server or from a proxy whose word is taken and which names the
    /// outer one's source, so that nobody can hide requests behind others by forging headers; and goes on from there, not back to who asked or
    /// on from where a request left the site, so that nobody hides behind requests that he has it make: a server outside, that nobody but
    /// the site asks, is none of its own (`serves_many`). It asks for the same; and has an id in common, or speaks for the outer one's source.
    fn is_hop_of(&self, outer: &Mark, serves_many: impl Fn() -> bool) -> bool {
        let within = outer.ts <= self.ts
            && match (outer.end, self.end) {
                (None, _) => true,
                (Some(outer), Some(inner)) => inner <= outer.plus(Hops::SLACK),
                (Some(_), None) => false,
            };
        let named = self.believed && self.client == outer.source;
        // On to a process of the same machine, where the mirror is one machine's own view.
        let local = self.source.is_loopback() && self.server.is_loopback();
        // Whoever the site itself asks, as for a hook, is no server of its own that goes on with a request.
        let leaves = is_internal(outer.source) && !is_internal(outer.server);
        if leaves || self.server == outer.source {
            return false;
        }
        if self.key != outer.key || !within || !(named || local || self.source == outer.server) {
            return false;
        }
        // Another content is another request: else who sends a harmless one beside it hides it behind that, or what he attempts in a field.
        let differs = self.content != outer.content && self.content != 0 && outer.content != 0;
        if differs || self.attempts != outer.attempts && self.attempts != 0 {
            return false;
        }
        if !named && !is_internal(outer.server) && !is_internal(self.server) && !serves_many() {
            return false;
        }
        let same_path = self.path[0] == outer.path[0];
        if self.shares_id(outer) && (same_path || self.path[1] == outer.path[1]) {
            return true;
        }
        same_path && (named || self.forwarded == Some(outer.source))
    }

    fn shares_id(&self, outer: &Mark) -> bool {
        self.ids.iter().any(|id| *id != 0 && outer.ids.contains(id))
    }
}

/// The hash of a request's content; 0 where not all of it was kept.
fn content_of(request: &Request) -> u64 {
    let body = &request.body;
    let whole = body.bytes.len() as u64 == body.len && body.gap_at.is_none();
    if whole { hash_bytes(&body.bytes) | 1 } else { 0 }
}

/// The hash of the first of these headers that is there and says something.
fn first_id(headers: &Headers, names: &[&str]) -> u64 {
    let value = names.iter().filter(|n| headers.may_have(n)).find_map(|n| headers.get(n));
    value.filter(|v| v.len() >= 8).map_or(0, |v| hash_bytes(v) | 1)
}

/// The hash of the trace: of `traceparent` its second part (W3C Trace Context §3.2.2.3), the rest names this hop.
fn trace(headers: &Headers) -> u64 {
    let value = TRACES.iter().filter(|n| headers.may_have(n)).find_map(|n| headers.get(n));
    let named = value.and_then(|v| match v {
        [_, _, b'-', id @ ..] => id.get(..32),
        other => other.split(|b| matches!(b, b'/' | b';')).next(),
    });
    named.filter(|v| v.len() >= 16).map_or(0, |v| hash_bytes(v) | 1)
}

/// Networks that a server's requests come from, the first few.
#[derive(Debug, Default)]
struct Served {
    networks: [u64; Served::MANY],
    count: u8,
}

impl Served {
    /// From as many networks nobody makes a site ask him.
    const MANY: usize = 3;

    fn add(&mut self, source: IpAddr) {
        let network = match source {
            IpAddr::V4(ip) => u64::from(u32::from(ip) >> 16),
            IpAddr::V6(ip) => (u128::from(ip) >> 96) as u64 | 1 << 32,
        };
        let count = usize::from(self.count);
        let known = self.networks.iter().take(count).any(|n| *n == network);
        if let Some(free) = self.networks.get_mut(count).filter(|_| !known) {
            *free = network;
            self.count += 1;
        }
    }

    const fn is_many(&self) -> bool {
        self.count as usize == Self::MANY
    }
}

#[derive(Debug)]
struct Seen {
    mark: Mark,
    /// The exchange that is counted.
    root: Id,
    /// Later hops found of it.
    hops: u8,
    /// The one before it with the same key, as its number.
    before: Option<u64>,
}

/// Finds requests that were seen before, nearer to their client: at the edge, before a balancer, before a sidecar.
///
/// The one nearest to the client counts; later hops stand in `exchanges.ndjson` with its id. Exchanges come in the run's total order, so
/// the answer depends on nothing else. Remembers the last half minute of packet time, at most [`Hops::CAP`] requests; nothing
/// while no request could be a later hop: carries an id or a forwarded address, and comes from a server or a trusted proxy.
#[derive(Debug, Default)]
pub(crate) struct Hops {
    seen: VecDeque<Seen>,
    /// Number of the first of `seen`.
    base: u64,
    latest: HashMap<u64, u64, Fixed>,
    /// Servers of those in `seen`, with their number: who comes from none of these is a hop only by a trusted proxy's word.
    servers: HashMap<IpAddr, u32, Fixed>,
    /// Later hops whose answers are still open, with the exchange that is counted.
    open: HashMap<Id, Id, Fixed>,
    /// Until when requests are remembered.
    armed: Option<Ts>,
    /// Servers of this run, as many as there is room for: none of them asks for anything where there are no later hops.
    listening: HashMap<IpAddr, Served, Fixed>,
    /// There were more.
    crowded: bool,
    /// As many as there is room for are asked from many networks: no other takes the place of one.
    full: bool,
    /// Exchanges that were found to be later hops.
    pub(crate) joined: u64,
    /// Requests forgotten before their time.
    pub(crate) evicted: u64,
}

impl Hops {
    const CAP: usize = 65_536;
    const WINDOW: i64 = 30_000_000_000;
    /// How much later than the outer exchange an inner one may end: mirrors are not one clock.
    const SLACK: i64 = 50_000_000;
    /// Next hops that one may have: the balancer's first try and another.
    const HOPS_EACH: u8 = 2;
    /// Requests with the same key that are compared with one.
    const TRIES: usize = 32;
    /// Servers told apart; where there are more, whoever carries an id may be one.
    const LISTENING: usize = 4_096;

    /// Looks for later hops among items that are in order; each gives up what would count twice.
    pub(crate) fn join(&mut self, items: &mut [Item]) {
        self.armed = self.armed.max(self.last_inner(items).map(|ts| ts.plus(Self::WINDOW)));
        for item in items {
            let id = (item.order.flow, item.order.seq);
            let armed = self.armed.is_some_and(|until| item.order.ts <= until);
            let mark = if armed { item.take_mark() } else { None };
            let root = match mark {
                Some(mark) => self.place(id, mark),
                // The late answer of a request that was joined when it came.
                None if item.is_late_answer() && !self.open.is_empty() => self.open.remove(&id),
                _ => None,
            };
            if let Some(root) = root {
                self.joined += u64::from(item.whole.is_some());
                item.join(root);
            }
        }
    }

    /// When the last of these came that may be a later hop.
    fn last_inner(&mut self, items: &[Item]) -> Option<Ts> {
        let mut last = None;
        for mark in items.iter().filter_map(Item::mark) {
            if last.replace((mark.server, mark.source)) != Some((mark.server, mark.source)) {
                self.listen(mark);
            }
        }
        let comes_from_server =
            |m: &Mark| m.believed || self.crowded || self.listening.contains_key(&m.source);
        let may_be = |i: &&Item| i.mark().is_some_and(|m| m.may_be_inner() && comes_from_server(m));
        items.iter().rev().find(may_be).map(|i| i.order.ts)
    }

    /// Notes who asks a server. Where there are too many, those go that few ask.
    fn listen(&mut self, mark: &Mark) {
        if self.listening.len() >= Self::LISTENING && !self.listening.contains_key(&mark.server) {
            self.crowded = true;
            if self.full {
                return;
            }
            let before = self.listening.len();
            self.listening.retain(|_, served| served.is_many());
            self.evicted += (before - self.listening.len()) as u64;
            // What is left stays: nobody has to go through it again.
            self.full = self.listening.len() >= Self::LISTENING;
            if self.full {
                return;
            }
        }
        self.listening.entry(mark.server).or_default().add(mark.source);
    }

    /// Remembers a request; gives the exchange that it is a later hop of.
    fn place(&mut self, id: Id, mark: Mark) -> Option<Id> {
        self.forget(mark.ts);
        let comes_from_server =
            || mark.believed || mark.source.is_loopback() || self.servers.contains_key(&mark.source);
        let root = if mark.may_be_inner() && comes_from_server() { self.find(&mark) } else { None };
        if let Some(root) = root.filter(|_| mark.end.is_none()) {
            if self.open.len() >= Self::CAP {
                self.evicted += self.open.len() as u64;
                self.open.clear();
            }
            self.open.insert(id, root);
        }
        self.keep(mark, root.unwrap_or(id));
        root
    }

    fn find(&mut self, mark: &Mark) -> Option<Id> {
        let mut next = self.latest.get(&mark.key).copied();
        let serves_many = || self.listening.get(&mark.source).is_some_and(Served::is_many);
        for _ in 0..Self::TRIES {
            let seen = self.seen.get_mut(usize::try_from(next?.checked_sub(self.base)?).ok()?)?;
            if seen.hops < Self::HOPS_EACH && mark.is_hop_of(&seen.mark, serves_many) {
                seen.hops += 1;
                return Some(seen.root);
            }
            next = seen.before;
        }
        None
    }

    fn keep(&mut self, mark: Mark, root: Id) {
        let number = self.base + self.seen.len() as u64;
        let before = self.latest.insert(mark.key, number);
        *self.servers.entry(mark.server).or_default() += 1;
        self.seen.push_back(Seen { mark, root, hops: 0, before });
    }

    fn forget(&mut self, now: Ts) {
        while let Some(first) = self.seen.front() {
            let is_old = now.since(first.mark.ts) > Self::WINDOW;
            if !is_old && self.seen.len() < Self::CAP {
                return;
            }
            self.evicted += u64::from(!is_old);
            if self.latest.get(&first.mark.key) == Some(&self.base) {
                self.latest.remove(&first.mark.key);
            }
            let server = first.mark.server;
            if let Some(left) = self.servers.get_mut(&server) {
                *left -= 1;
                if *left == 0 {
                    self.servers.remove(&server);
                }
            }
            self.seen.pop_front();
            self.base += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use sidetap_model::{Addr, Completeness, FlowKey, Protocol, Request, Response, Version, Zone};

    use super::*;
    use crate::item::{Order, Whole};

    const EDGE: &str = "192.0.2.80";
    const BALANCER: &str = "10.0.0.5";
    const CLIENT: &str = "198.51.100.7";

    fn addr(ip: &str, port: u16) -> Addr {
        Addr { ip: ip.parse().unwrap(), port }
    }

    fn headers(fields: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::default();
        fields.iter().for_each(|(name, value)| headers.push(name.as_bytes(), value.as_bytes()));
        headers
    }

    struct Talk<'a> {
        flow: u64,
        from: &'a str,
        to: &'a str,
        target: &'a str,
        fields: &'a [(&'a str, &'a str)],
        answer: &'a [(&'a str, &'a str)],
        ms: (i64, i64),
        believed: Option<&'a str>,
        open: bool,
        body: &'a [u8],
        attempt: Option<&'static str>,
    }

    const DIRECT: Talk<'_> = Talk {
        flow: 1,
        from: CLIENT,
        to: EDGE,
        target: "/api/v1/orders/7?x=1",
        fields: &[],
        answer: &[],
        ms: (0, 100),
        believed: None,
        open: false,
        body: b"",
        attempt: None,
    };

    impl Talk<'_> {
        fn item(&self) -> Item {
            let version = Version(1, 1);
            let at = |ms: i64| Ts(1_700_000_000_000_000_000 + ms * 1_000_000);
            let ex = Exchange {
                zone: Zone::default(),
                flow: FlowKey { zone: 0, client: addr(self.from, 4000), server: addr(self.to, 80) },
                flow_id: FlowId(self.flow),
                seq: 0,
                ts: at(self.ms.0),
                end: at(self.ms.1),
                response_ts: None,
                protocol: Protocol::Http1,
                request: Some(Request {
                    method: b"GET".to_vec(),
                    target: self.target.as_bytes().to_vec(),
                    version,
                    headers: headers(self.fields),
                    body: sidetap_model::Body {
                        bytes: self.body.to_vec(),
                        len: self.body.len() as u64,
                        gap_at: None,
                    },
                }),
                response: Some(Response {
                    status: 200,
                    version,
                    headers: headers(self.answer),
                    body: Default::default(),
                }),
                interim: 0,
                completeness: Completeness::default(),
                gap_bytes: 0,
                anomalies: Default::default(),
                acknowledged: true,
                proxied_for: None,
                sent_in: None,
            };
            let client = ClientAddr {
                ip: self.believed.unwrap_or(self.from).parse().unwrap(),
                port: None,
                source: if self.believed.is_some() { IpSource::XForwardedFor } else { IpSource::Connection },
                shared: false,
                claimed: false,
            };
            let line = br#"{"sidetap":{"hop_of":null,"endpoint":"#.to_vec();
            let hop = Mark::of(&ex, &client, self.open).map(|m| m.with(self.attempt.into_iter()));
            let whole = Whole {
                hop: if self.open { None } else { hop.clone() },
                discovery: None,
                sightings: vec![],
                attempts: vec![],
                source: None,
                line: Some((line, None)),
                seen: None,
            };
            let order = Order { ts: ex.ts, flow: ex.flow_id, seq: 0, stage: u8::from(!self.open) };
            let hop = hop.filter(|_| self.open).map(Box::new);
            Item::new(order, Zone::default(), None, None, hop, (!self.open).then(|| Box::new(whole)))
        }
    }

    /// Of each exchange, the flow of the one that it is a later hop of.
    fn joined(talks: &[Talk<'_>]) -> Vec<Option<u64>> {
        let mut items: Vec<Item> = talks.iter().map(Talk::item).collect();
        items.sort_by_key(|i| i.order);
        let mut hops = Hops::default();
        hops.join(&mut items);
        let root = |item: &Item| {
            let line = String::from_utf8(item.whole.as_ref()?.line.as_ref()?.0.clone()).unwrap();
            let (_, id) = line.split_once("\"hop_of\":\"")?;
            u64::from_str_radix(id.split('-').next()?, 16).ok()
        };
        let roots: Vec<_> = items.iter().map(root).collect();
        assert_eq!(hops.joined, roots.iter().flatten().count() as u64);
        roots
    }

    #[test]
    fn hops_are_joined_by_id_or_forwarded_address_and_count_for_the_first() {
        let id: &[_] = &[("X-Request-ID", "0b9c3f6e-77aa")];
        let traced: &[_] = &[("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")];
        let again: &[_] = &[("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-01")];
        let forwarded: &[_] = &[("X-Forwarded-For", CLIENT)];
        let inner = Talk { flow: 2, from: EDGE, to: "10.0.0.9", ms: (5, 90), ..DIRECT };
        // The edge names the id in its answer; the gateway takes a prefix off the path.
        let named = Talk { fields: id, target: "/orders/7?x=1", ..inner };
        assert_eq!(joined(&[Talk { answer: id, ..DIRECT }, named]), [None, Some(1)]);
        assert_eq!(
            joined(&[Talk { fields: traced, ..DIRECT }, Talk { fields: again, ..inner }]),
            [None, Some(1)]
        );
        assert_eq!(joined(&[DIRECT, Talk { fields: forwarded, ..inner }]), [None, Some(1)]);
        // A proxy with another address inside, whose word is taken.
        let proxy = Talk { from: BALANCER, believed: Some(CLIENT), fields: forwarded, ..inner };
        assert_eq!(joined(&[DIRECT, proxy]), [None, Some(1)]);
        // Three hops.
        let last = Talk { flow: 3, from: "10.0.0.9", to: "10.0.0.11", ms: (6, 80), fields: again, ..DIRECT };
        let three = [Talk { fields: traced, ..DIRECT }, Talk { fields: again, ..inner }, last];
        assert_eq!(joined(&three), [None, Some(1), Some(1)]);
    }

    #[test]
    fn what_is_not_the_same_request_is_not_joined() {
        let id: &[_] = &[("X-Request-ID", "0b9c3f6e-77aa")];
        let forged: &[_] = &[("X-Forwarded-For", CLIENT), ("X-Request-ID", "0b9c3f6e-77aa")];
        let outer = Talk { fields: id, ..DIRECT };
        let inner = Talk { flow: 2, from: EDGE, to: "10.0.0.9", ms: (5, 90), fields: id, ..DIRECT };
        let alone = |inner: Talk<'_>| assert_eq!(joined(&[Talk { ..outer }, inner]), [None, None]);
        // A harmless one that is sent beside another, and hides nothing of it.
        alone(Talk { body: b"id=1' OR 1=1", ..inner });
        alone(Talk { attempt: Some("sqli"), ..inner });
        assert_eq!(joined(&[Talk { ..outer }, Talk { ..inner }]), [None, Some(1)]);
        // A call that the application makes for it, in the same trace.
        alone(Talk { target: "/stock/9", ..inner });
        // Before, or after it was over.
        alone(Talk { ms: (200, 300), ..inner });
        alone(Talk { ms: (50, 300), ..inner });
        // Of somebody who forges headers, and of the client itself once more.
        alone(Talk { from: "203.0.113.66", to: EDGE, fields: forged, ..inner });
        alone(Talk { from: CLIENT, to: EDGE, ..inner });
        // Of whom the site asked, for a hook of his.
        let (own, his) = ("203.0.113.1", "198.51.100.66");
        let asked_by = |from, to| Talk { from, to, fields: id, ..DIRECT };
        let asks = || Talk { flow: 2, from: his, to: own, ms: (5, 90), fields: id, ..DIRECT };
        assert_eq!(joined(&[asked_by(own, his), asks()]), [None, None]);
        assert_eq!(joined(&[asked_by("10.0.0.9", his), asks()]), [None, None]);
        // Also where the site asks from another address than it is asked at; but a server that many ask is its own.
        let outside = "203.0.113.9";
        let hook = || asked_by(outside, his);
        assert_eq!(joined(&[hook(), asks()]), [None, None]);
        let another = |flow, from| Talk { flow, from, to: his, ms: (1, 2), target: "/", ..DIRECT };
        assert_eq!(joined(&[hook(), another(3, outside), another(4, "203.0.8.4"), asks()])[1..], [None; 3]);
        let many = [hook(), another(3, "192.0.2.1"), another(4, "198.18.0.1"), asks()];
        assert!(joined(&many).contains(&Some(1)));
        // Without a common id or a forwarded address.
        assert_eq!(joined(&[DIRECT, Talk { fields: &[], ..inner }]), [None, None]);
        // Two behind proxies of one client, of which neither is the other's outer hop.
        let proxied = |flow, from| Talk {
            flow,
            from,
            believed: Some(CLIENT),
            fields: forged,
            to: "10.0.0.9",
            ..DIRECT
        };
        assert_eq!(joined(&[proxied(1, BALANCER), proxied(2, "10.0.0.6")]), [None, None]);
        // One outer hop does not stand for many.
        let many: Vec<_> = (2..7).map(|flow| Talk { flow, ..inner }).collect();
        let all: Vec<_> = std::iter::once(outer).chain(many).collect();
        assert_eq!(joined(&all).iter().flatten().count(), 2);
    }

    #[test]
    fn requests_are_remembered_only_while_a_server_asks_too() {
        let id: &[_] = &[("X-Request-ID", "0b9c3f6e-77aa")];
        let outer = |flow, ms| Talk { flow, ms, fields: id, ..DIRECT }.item();
        let mut hops = Hops::default();
        let stranger = Talk { flow: 2, from: "198.51.100.7", ms: (5, 90), fields: id, ..DIRECT };
        hops.join(&mut [outer(1, (0, 100)), stranger.item()]);
        assert_eq!((hops.joined, hops.seen.len()), (0, 0), "no server of this run asks for anything");
        let inner = Talk { flow: 4, from: EDGE, to: "10.0.0.9", ms: (205, 290), fields: id, ..DIRECT };
        hops.join(&mut [outer(3, (200, 300)), inner.item()]);
        assert_eq!((hops.joined, hops.seen.len()), (1, 2), "the edge does");
        hops.join(&mut [outer(5, (20_000, 20_100))]);
        assert_eq!(hops.seen.len(), 3, "for half a minute");
        hops.join(&mut [outer(6, (40_000, 40_100))]);
        assert_eq!(hops.seen.len(), 3, "and no longer");
    }

    #[test]
    fn slow_ones_are_joined_before_their_answer_and_the_table_is_bounded() {
        let id: &[_] = &[("X-Request-ID", "0b9c3f6e-77aa")];
        let outer = Talk { fields: id, open: true, ..DIRECT };
        let inner =
            Talk { flow: 2, from: EDGE, to: "10.0.0.9", ms: (5, 90), fields: id, open: true, ..DIRECT };
        let mut hops = Hops::default();
        hops.join(&mut [outer.item(), inner.item()]);
        assert_eq!((hops.joined, hops.open.len()), (0, 1));
        let mut answer = Talk { open: false, ..inner }.item();
        answer.take_mark();
        hops.join(std::slice::from_mut(&mut answer));
        assert_eq!((hops.joined, hops.open.len()), (1, 0));
        let mut many: Vec<Item> =
            (10..70_000).map(|flow| Talk { flow, fields: id, ms: (10, 20), ..DIRECT }.item()).collect();
        hops.join(&mut many);
        assert!(hops.seen.len() <= Hops::CAP && hops.latest.len() <= Hops::CAP);
        assert!(hops.evicted > 4000);
    }
}
