//! A client program at one address: it keeps cookies and connections, and what it sends becomes packets.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sidetap_model::{Addr, Direction, Ts};

use super::ask::{Ask, Kind};
use super::recipes::{Fill, Recipe};
use super::record::{Match, RequestRow, Who, seconds};
use super::site::{self, Req, Resp};
use super::{Message, Net, World, wire};
use crate::{Conversation, Framing, Rng};

/// The answer as a client reads it.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The string at a JSON pointer of the body; empty where there is none.
    pub(crate) fn text(&self, pointer: &str) -> String {
        let value: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        value.pointer(pointer).and_then(|v| v.as_str()).unwrap_or_default().to_owned()
    }
}

/// A client program at one address.
pub(crate) struct Agent {
    pub(crate) rng: Rng,
    /// Seconds since the start of the world.
    pub(crate) now: f64,
    pub(crate) recipe: Recipe,
    pub(crate) bearer: Option<String>,
    pub(crate) ip: IpAddr,
    /// The id that the app gives its device.
    pub(crate) device: String,
    who: Who,
    label: usize,
    cookies: BTreeMap<(&'static str, String), String>,
    etags: BTreeMap<String, String>,
    lanes: BTreeMap<(&'static str, u8), Lane>,
    rtt: f64,
    port: u16,
    page: Option<String>,
    /// What it claims in X-Forwarded-For, behind the CDN.
    pub(crate) forged: Option<String>,
}

struct Lane {
    talk: Conversation,
    port: u16,
    used: f64,
}

impl Agent {
    /// A client of this network that starts at `now`.
    pub(crate) fn new(
        world: &mut World,
        who: Who,
        net: Net,
        recipe: Recipe,
        rng: &mut Rng,
        now: f64,
    ) -> Self {
        let ip = world.addresses.take(net, rng);
        Agent::at(world, who, ip, net, recipe, rng, now)
    }

    /// A client at an address that others may share.
    pub(crate) fn at(
        world: &mut World,
        who: Who,
        ip: IpAddr,
        net: Net,
        recipe: Recipe,
        rng: &mut Rng,
        now: f64,
    ) -> Self {
        let label = world.record.client(who, ip, net.name());
        let mut rng = rng.fork();
        let rtt = match net {
            Net::Mobile | Net::CarrierNat => rng.between(0.04, 0.12),
            Net::Inside => 0.001,
            _ => rng.between(0.008, 0.07),
        };
        let port = rng.range(20_000, 55_000) as u16;
        let (cookies, etags, lanes) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (bearer, page, forged) = (None, None, None);
        let device = rng.uuid();
        Agent {
            rng,
            now,
            recipe,
            bearer,
            ip,
            device,
            who,
            label,
            cookies,
            etags,
            lanes,
            rtt,
            port,
            page,
            forged,
        }
    }

    /// Says by which token this client is told from others at its address.
    pub(crate) fn matched_by(&mut self, world: &mut World, header: &'static str, value: String) {
        if let Some(label) = world.record.labels.get_mut(self.label) {
            label.matching = Some(Match { header, value });
        }
    }

    /// Lets time pass, around `seconds`.
    pub(crate) fn think(&mut self, seconds: f64) {
        self.now += self.rng.around(seconds);
    }

    /// Goes to a page with its style sheets, scripts and pictures, as a browser does.
    pub(crate) fn visit(
        &mut self,
        world: &mut World,
        host: &'static str,
        target: impl Into<String>,
    ) -> Reply {
        let target = target.into();
        let reply = self.send(world, Ask::get(host, target.clone()).kind(Kind::Page));
        self.page = Some(format!("https://{host}{target}"));
        if reply.status == 200 {
            self.load_assets(world, host, &target);
        }
        reply
    }

    fn load_assets(&mut self, world: &mut World, host: &'static str, target: &str) {
        let start = self.now;
        let mut latest = start;
        for (n, (path, kind)) in site::assets(host, target).into_iter().enumerate() {
            let known = self.etags.contains_key(&path);
            if known && self.rng.percent(92.0) {
                continue;
            }
            self.now = start + 0.02 + 0.015 * n as f64;
            let ask = Ask::get(host, path).kind(kind);
            self.send_on(world, ask, 1 + (n % 3) as u8);
            latest = latest.max(self.now);
        }
        self.now = latest;
    }

    /// Asks and waits for the answer.
    pub(crate) fn send(&mut self, world: &mut World, ask: Ask) -> Reply {
        self.send_on(world, ask, 0)
    }

    fn send_on(&mut self, world: &mut World, mut ask: Ask, lane: u8) -> Reply {
        if ask.referer.is_none() {
            ask.referer.clone_from(&self.page);
        }
        let etag = self.etags.get(&ask.target).cloned();
        let cookie = self.cookie(ask.host);
        let fill = Fill { ask: &ask, cookie, bearer: self.bearer.as_deref(), etag: etag.as_deref() };
        let lines = self.recipe.lines(&fill);
        let req = Req::new(&ask, &lines, self.now);
        let resp = world.site.answer(&req, &mut self.rng);
        self.keep(&ask, &resp);
        let packs =
            lines.iter().any(|(n, v)| n.eq_ignore_ascii_case("accept-encoding") && v.contains("gzip"));
        let reply = Reply { status: resp.status, body: resp.body.clone() };
        let behind = world.is_behind_edge(ask.host);
        let message = Message {
            at: self.now,
            label: self.label,
            row: self.row(&ask, &resp),
            bytes: wire::request(&ask, &lines, self.forged.clone().filter(|_| behind)),
            answer: wire::response(&resp, ask.method == "HEAD", packs, world.date(self.now)),
            delay: resp.delay,
        };
        if behind {
            self.through_edge(world, message);
        } else {
            self.direct(world, ask.host, lane, message);
        }
        reply
    }

    fn row(&self, ask: &Ask, resp: &Resp) -> RequestRow {
        let Who { label, class, actor, campaign, .. } = self.who;
        RequestRow {
            t: 0.0,
            ip: self.ip,
            port: 0,
            method: ask.method,
            host: ask.host.to_owned(),
            uri: ask.target.clone(),
            status: resp.status,
            ua: self.recipe.agent.clone(),
            label,
            cls: class,
            actor,
            campaign,
            entity: format!("c{:05}", self.label),
        }
    }

    fn direct(&mut self, world: &mut World, host: &'static str, lane: u8, mut message: Message) {
        let key = (host, lane);
        if self.lanes.get(&key).is_some_and(|l| self.now - l.used > IDLE) {
            self.hang_up(world, key);
        }
        let mut open = self.lanes.remove(&key).unwrap_or_else(|| self.connect(world, host));
        self.now = self.now.max(open.used);
        let start = world.ts(self.now);
        message.row.t = seconds(start);
        message.row.port = open.port;
        let out = &mut world.record.packets;
        let sent = open.talk.send(start, Direction::Up, &message.bytes, 15_000, out);
        if message.delay > 0.02 {
            open.talk.acknowledge(sent.plus(400_000), Direction::Down, out);
        }
        let done =
            open.talk.send(sent.plus(nanos(message.delay)), Direction::Down, &message.answer, 14_000, out);
        open.talk.acknowledge(done.plus(nanos(self.rtt / 2.0)), Direction::Up, out);
        self.now += (done.0 - start.0) as f64 / 1e9 + self.rtt;
        open.used = self.now;
        world.record.request(message.label, message.row, done);
        if self.recipe.keeps_alive {
            self.lanes.insert(key, open);
        } else {
            open.talk.close(
                done.plus(nanos(self.rtt)),
                Direction::Up,
                nanos(self.rtt / 4.0),
                &mut world.record.packets,
            );
        }
    }

    fn through_edge(&mut self, world: &mut World, mut message: Message) {
        message.at += 0.004;
        message.bytes = wire::through_edge(&message.bytes, self.ip, &mut self.rng);
        self.now = message.at + message.delay + self.rtt;
        world.deferred.push(message);
    }

    fn connect(&mut self, world: &mut World, host: &'static str) -> Lane {
        self.port = if self.port >= 60_000 { 20_000 } else { self.port + 1 };
        let client = Addr { ip: self.ip, port: self.port };
        let server = site::address(host, self.ip.is_ipv6());
        let seed = self.rng.next_u64();
        let mut talk = Conversation::new(client, server, Framing::default(), seed).with_ttl(self.recipe.ttl);
        if self.recipe.ttl > 64 {
            // Windows sends no TCP timestamps.
            talk = talk.without_timestamps();
        }
        let opened = talk.open(world.ts(self.now), nanos(self.rtt), &mut world.record.packets);
        self.now = (opened.0 - world.start.0) as f64 / 1e9;
        Lane { talk, port: self.port, used: self.now }
    }

    fn hang_up(&mut self, world: &mut World, key: (&'static str, u8)) {
        if let Some(mut lane) = self.lanes.remove(&key) {
            let ts = world.ts(lane.used + IDLE);
            lane.talk.close(ts, Direction::Down, nanos(self.rtt), &mut world.record.packets);
        }
    }

    /// Closes what is open.
    pub(crate) fn leave(mut self, world: &mut World) {
        while let Some((key, _)) = self.lanes.first_key_value() {
            let key = *key;
            if let Some(mut lane) = self.lanes.remove(&key) {
                let ts = world.ts(lane.used + 0.5);
                lane.talk.close(ts, Direction::Up, nanos(self.rtt), &mut world.record.packets);
            }
        }
    }

    /// Sets a cookie as a script of the page would.
    pub(crate) fn set_cookie(&mut self, host: &'static str, name: &str, value: String) {
        self.cookies.insert((host, name.to_owned()), value);
    }

    fn keep(&mut self, ask: &Ask, resp: &Resp) {
        for (name, value) in &resp.headers {
            if *name == "Set-Cookie" {
                let pair = value.split(';').next().unwrap_or_default();
                if let Some((name, value)) = pair.split_once('=') {
                    self.set_cookie(ask.host, name, value.to_owned());
                }
            } else if *name == "ETag" {
                self.etags.insert(ask.target.clone(), value.clone());
            }
        }
    }

    fn cookie(&self, host: &'static str) -> Option<String> {
        let own = self.cookies.range((host, String::new())..).take_while(|((h, _), _)| *h == host);
        let pairs: Vec<String> = own.map(|((_, name), value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

/// Seconds as nanoseconds.
pub(crate) fn nanos(seconds: f64) -> i64 {
    Ts::from_parts(0, (seconds * 1e9) as i64).0
}

/// Seconds after which a server closes an idle connection.
const IDLE: f64 = 60.0;
