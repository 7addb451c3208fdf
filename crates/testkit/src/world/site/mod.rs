//! The applications of the made-up company: small, with accounts, sessions and the flaws that the sample has to show.

mod bank;
mod catalog;
mod identity;
mod mobile;
mod press;
mod services;
mod shop;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};
use sidetap_model::Addr;

use super::ask::{Ask, Kind};
use super::facts::{Person, prose};
use crate::Rng;

pub(crate) use bank::{account_of, code_of};
pub(crate) use catalog::slug;
pub(crate) use mobile::order_of;
pub(crate) use press::story_slug;
pub(crate) use shop::reference;

/// The web shop.
pub(crate) const SHOP: &str = "www.harborlight.example";
/// The gateway of the shop's apps.
pub(crate) const APP: &str = "appgw.harborlight.example";
/// Gift cards.
pub(crate) const CARDS: &str = "cards.harborlight.example";
/// GraphQL.
pub(crate) const GRAPH: &str = "graph.harborlight.example";
/// Partners.
pub(crate) const PARTNERS: &str = "b2b.harborlight.example";
/// The back office.
pub(crate) const OPS: &str = "ops.harborlight.example";
/// A bank.
pub(crate) const BANK: &str = "online.tidebank.example";
/// Video meetings.
pub(crate) const ROOMS: &str = "rooms.huddle.example";
/// A newspaper behind a CDN.
pub(crate) const PRESS: &str = "www.tidepress.example";

/// A request as the application reads it.
pub(crate) struct Req<'a> {
    pub(crate) method: &'a str,
    pub(crate) host: &'static str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) lines: &'a [(String, String)],
    pub(crate) body: &'a [u8],
    pub(crate) now: f64,
}

impl<'a> Req<'a> {
    pub(crate) fn new(ask: &'a Ask, lines: &'a [(String, String)], now: f64) -> Self {
        let (path, query) = ask.target.split_once('?').unwrap_or((&ask.target, ""));
        let body = ask.body.as_ref().map(|(_, b)| b.as_slice()).unwrap_or_default();
        Req { method: ask.method, host: ask.host, path, query, lines, body, now }
    }

    /// Value of a head line.
    pub(crate) fn line(&self, name: &str) -> Option<&'a str> {
        self.lines.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Value of a cookie.
    pub(crate) fn cookie(&self, name: &str) -> Option<&'a str> {
        self.line("cookie")?
            .split("; ")
            .filter_map(|p| p.split_once('='))
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v)
    }

    /// The bearer token.
    pub(crate) fn bearer(&self) -> Option<&'a str> {
        self.line("authorization")?.strip_prefix("Bearer ")
    }

    /// Value of a query parameter, as sent.
    pub(crate) fn query(&self, name: &str) -> &'a str {
        pair(self.query, name)
    }

    /// Value of a form field, as sent.
    pub(crate) fn form(&self, name: &str) -> &'a str {
        pair(std::str::from_utf8(self.body).unwrap_or_default(), name)
    }

    /// String at a JSON pointer of the body.
    pub(crate) fn json(&self, pointer: &str) -> String {
        let value: Value = serde_json::from_slice(self.body).unwrap_or_default();
        value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// The segments of the path.
    pub(crate) fn segments(&self) -> Vec<&'a str> {
        self.path.split('/').skip(1).collect()
    }
}

fn pair<'a>(text: &'a str, name: &str) -> &'a str {
    text.split('&')
        .filter_map(|p| p.split_once('='))
        .find(|(n, _)| *n == name)
        .map(|(_, v)| v)
        .unwrap_or_default()
}

/// An answer.
pub(crate) struct Resp {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) delay: f64,
    pub(crate) chunked: bool,
}

impl Resp {
    pub(crate) fn json(status: u16, value: &Value) -> Self {
        Resp::new(status, "application/json", value.to_string().into_bytes())
    }

    pub(crate) fn html(status: u16, title: &str, content: &str) -> Self {
        let page = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} - Harborlight</title><link rel=\"stylesheet\" href=\"/s/base.css\"></head><body><header><a href=\"/\">Harborlight</a><nav><a href=\"/collections/lamps\">Lamps</a><a href=\"/collections/sails\">Sails</a></nav></header><main>{content}</main><footer>Harborlight Trading, Aldermouth</footer><script src=\"/s/shell.js\"></script></body></html>"
        );
        Resp { chunked: true, ..Resp::new(status, "text/html; charset=utf-8", page.into_bytes()) }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Resp::new(status, "", Vec::new())
    }

    pub(crate) fn to(status: u16, location: &str) -> Self {
        Resp::empty(status).with("Location", location)
    }

    pub(crate) const fn new(status: u16, content_type: &'static str, body: Vec<u8>) -> Self {
        Resp { status, content_type, headers: Vec::new(), body, delay: 0.012, chunked: false }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn slow(mut self, delay: f64) -> Self {
        self.delay = delay;
        self
    }
}

/// All applications with their state.
pub(crate) struct Site {
    pub(crate) seed: u64,
    pub(crate) people: usize,
    pub(crate) sale_at: f64,
    /// When nobody can sign in.
    pub(crate) outage: Option<(f64, f64)>,
    by_email: BTreeMap<String, usize>,
    sessions: BTreeMap<String, usize>,
    baskets: BTreeMap<String, Vec<Value>>,
    counter: u64,
}

impl Site {
    /// The applications with this many accounts.
    pub(crate) fn new(seed: u64, people: usize, sale_at: f64) -> Self {
        let by_email = (0..people).map(|n| (Person::new(seed, n).email, n)).collect();
        let (sessions, baskets) = (BTreeMap::new(), BTreeMap::new());
        Site { seed, people, sale_at, outage: None, by_email, sessions, baskets, counter: 48_213_377 }
    }

    /// The person of this number.
    pub(crate) fn person(&self, number: usize) -> Person {
        Person::new(self.seed, number)
    }

    /// The person who has this address and password.
    pub(crate) fn check(&self, email: &str, password: &str) -> Option<Person> {
        let person = self.person(*self.by_email.get(email)?);
        (person.password == password).then_some(person)
    }

    /// True where nobody can sign in.
    pub(super) fn is_out(&self, now: f64) -> bool {
        self.outage.is_some_and(|(from, to)| (from..to).contains(&now))
    }

    /// True where somebody has this address.
    pub(crate) fn knows(&self, email: &str) -> bool {
        self.by_email.contains_key(email)
    }

    /// Opens a session of this name.
    pub(crate) fn open(&mut self, token: &str, person: usize) {
        self.sessions.insert(token.to_owned(), person);
    }

    /// Whose session this is.
    pub(crate) fn whose(&self, token: Option<&str>) -> Option<Person> {
        self.sessions.get(token?).map(|n| self.person(*n))
    }

    /// The next number of orders, transfers and the like.
    pub(crate) fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// Answers a request.
    pub(crate) fn answer(&mut self, req: &Req<'_>, rng: &mut Rng) -> Resp {
        let mut resp = match req.host {
            SHOP => self.shop(req, rng),
            APP => self.mobile(req, rng),
            BANK => self.bank(req, rng),
            PRESS => self.press(req, rng),
            CARDS => self.gift_cards(req, rng),
            GRAPH => self.graph(req, rng),
            PARTNERS => self.partners(req, rng),
            OPS => self.back_office(req),
            _ => self.rooms(req, rng),
        };
        resp.delay = rng.around(resp.delay);
        if resp.content_type == "application/json" {
            resp.headers.push(("Cache-Control", "no-store".to_owned()));
            resp.headers.push(("X-Trace", rng.hex(8)));
        }
        resp
    }
}

/// A JSON error in the shop's own shape.
pub(crate) fn problem(status: u16, code: &str, rng: &mut Rng) -> Resp {
    Resp::json(status, &json!({"problem": code, "status": status, "ref": rng.hex(12)}))
}

/// The page for what does not exist.
pub(crate) fn missing(rng: &mut Rng) -> Resp {
    Resp::html(404, "Not here", &format!("<h1>Nothing at this address</h1><p>{}</p>", prose(rng, 1)))
}

/// What a page loads besides.
pub(crate) fn assets(host: &str, target: &str) -> Vec<(String, Kind)> {
    let mut out = vec![("/s/base.css".to_owned(), Kind::Style), ("/s/shell.js".to_owned(), Kind::Script)];
    if host == SHOP || host == PRESS {
        out.push(("/s/logo.svg".to_owned(), Kind::Image));
        let sum = target.bytes().fold(7u32, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(b)));
        out.extend(
            (0..sum % 3 + 1).map(|n| (format!("/i/{:08x}.webp", sum.wrapping_add(n * 77)), Kind::Image)),
        );
    }
    out
}

/// A style sheet, script or picture.
pub(crate) fn asset(req: &Req<'_>) -> Option<Resp> {
    let (kind, size) = match req.path.rsplit_once('.')?.1 {
        "css" => ("text/css", 2600),
        "js" => ("text/javascript", 5200),
        "svg" => ("image/svg+xml", 900),
        "webp" => ("image/webp", 1200),
        _ => return None,
    };
    if !req.path.starts_with("/s/") && !req.path.starts_with("/i/") {
        return None;
    }
    let etag = format!("\"{:x}\"", req.path.len() * 7919 + 11);
    if req.line("if-none-match") == Some(&etag) {
        return Some(Resp { delay: 0.002, ..Resp::empty(304).with("ETag", etag) });
    }
    let body = if kind == "image/webp" {
        let mut body = b"RIFF\xa8\x04\x00\x00WEBPVP8 ".to_vec();
        body.extend((0..size).map(|n: u32| (n % 251) as u8));
        body
    } else {
        format!("/* {} */ .a{{margin:0}} ", req.path).repeat(size as usize / 40).into_bytes()
    };
    Some(Resp {
        delay: 0.003,
        ..Resp::new(200, kind, body).with("Cache-Control", "public, max-age=86400").with("ETag", etag)
    })
}

/// Where a host is served.
pub(crate) fn address(host: &str, v6: bool) -> Addr {
    let (last, port) = match host {
        SHOP => (10, 8080),
        APP => (11, 8080),
        CARDS => (12, 8080),
        GRAPH => (13, 4000),
        PARTNERS => (14, 8080),
        OPS => (15, 9000),
        BANK => (30, 8081),
        ROOMS => (40, 80),
        _ => (50, 80),
    };
    let ip = if v6 {
        IpAddr::from([0xfd61, 0x9, 0, 0, 0, 0, 0, last])
    } else {
        IpAddr::from([10, 61, 0, last as u8])
    };
    Addr { ip, port }
}
