//! Requests and responses of an API with fifty endpoints on ten hosts.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{PerfTruth, Profile};
use crate::Rng;
use crate::world::facts::{WORDS, base64url, capital, card, prose, words};
use crate::world::wire::gzip;

/// A request and its response.
pub(super) struct Bytes {
    pub(super) request: Vec<u8>,
    pub(super) response: Vec<u8>,
}

/// A client with the lines that all its requests carry.
pub(super) struct Client {
    pub(super) ip: IpAddr,
    pub(super) port: u16,
    lines: String,
}

/// All that exchanges are made of.
pub(super) struct Content {
    profile: Profile,
    clients: Vec<Client>,
    busy: Vec<u64>,
    pools: Vec<Vec<String>>,
    slugs: Vec<String>,
}

struct Endpoint {
    host: usize,
    method: &'static str,
    path: &'static str,
    pool: usize,
    weight: u32,
}

impl Content {
    pub(super) fn new(profile: Profile, clients: usize, rng: &mut Rng) -> Self {
        let clients: Vec<Client> = (0..clients).map(|n| client(profile, n, rng)).collect();
        let mut sum = 0;
        // A few clients do most of the work, as they do.
        let busy = clients.iter().map(|_| (100.0 / (0.01 + rng.unit())) as u64).map(|w| {
            sum += w;
            sum
        });
        let busy = busy.collect();
        let pools =
            (0..POOLS).map(|pool| (0..900).map(|_| fragment(pool, rng).to_string()).collect()).collect();
        let slugs = (0..400).map(|_| words(rng, 3).replace(' ', "-")).collect();
        Content { profile, clients, busy, pools, slugs }
    }

    pub(super) fn client(&mut self, index: usize) -> &mut Client {
        let last = self.clients.len().saturating_sub(1);
        &mut self.clients[index.min(last)]
    }

    pub(super) fn draw_client(&self, rng: &mut Rng) -> usize {
        let at = rng.below(self.busy.last().copied().unwrap_or(1));
        self.busy.partition_point(|sum| *sum <= at)
    }

    pub(super) fn draw_host(&self, rng: &mut Rng) -> usize {
        rng.weighted(&[40, 15, 20, 15, 10, 10, 20, 20, 15, 15])
    }

    pub(super) fn port(&self, host: usize) -> u16 {
        if host == 8 { 8080 } else { 80 }
    }

    pub(super) fn exchange(&self, client: usize, host: usize, rng: &mut Rng, truth: &mut PerfTruth) -> Bytes {
        let own: Vec<&Endpoint> = ENDPOINTS.iter().filter(|e| e.host == host).collect();
        let weights: Vec<u32> = own.iter().map(|e| e.weight).collect();
        let endpoint = own.get(rng.weighted(&weights)).copied().unwrap_or(&ENDPOINTS[0]);
        let status = status(endpoint.method, rng);
        let request = self.request(endpoint, client, rng, truth);
        Bytes { request, response: self.response(endpoint, status, rng, truth) }
    }

    fn request(&self, e: &Endpoint, client: usize, rng: &mut Rng, truth: &mut PerfTruth) -> Vec<u8> {
        let small = self.profile != Profile::Api;
        let mut out = format!("{} ", e.method);
        self.push_target(&mut out, e, rng);
        let lines = self.clients.get(client).map(|c| c.lines.as_str()).unwrap_or_default();
        out.push_str(&format!(" HTTP/1.1\r\nHost: {}\r\n{lines}", HOSTS[e.host]));
        if !small {
            out.push_str(&format!("X-Request-ID: {}\r\n", rng.uuid()));
        }
        let body = match e.method {
            "POST" | "PUT" | "PATCH" if small => {
                format!("{{\"k\":\"{}\",\"n\":{}}}", rng.hex(8), rng.below(9999))
            }
            "POST" | "PUT" | "PATCH" => self.request_body(e, rng),
            _ => String::new(),
        };
        if !body.is_empty() {
            out.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
        }
        if !small {
            out.push_str("Connection: keep-alive\r\n");
        }
        truth.request_body_bytes += body.len() as u64;
        out.push_str("\r\n");
        out.push_str(&body);
        out.into_bytes()
    }

    fn request_body(&self, e: &Endpoint, rng: &mut Rng) -> String {
        if e.path.ends_with("/sign-in") {
            return json!({"email": email(rng), "password": rng.base64(12), "device": rng.uuid()})
                .to_string();
        }
        if e.path == "/charges" {
            return json!({"amount": rng.below(90_000), "currency": "eur", "card": {"number": card(rng), "month": rng.range(1, 12), "year": 2029, "cvc": rng.digits(3)}, "receipt": email(rng)}).to_string();
        }
        let count = rng.range(1, 3) as usize;
        format!("{{\"items\":[{}],\"sent\":{}}}", self.join(e.pool, count, rng), rng.below(1 << 40))
    }

    fn response(&self, e: &Endpoint, status: u16, rng: &mut Rng, truth: &mut PerfTruth) -> Vec<u8> {
        let small = self.profile != Profile::Api;
        let body = match status {
            204 | 304 => String::new(),
            400.. if small => format!("{{\"error\":{status},\"trace\":\"{}\"}}", rng.hex(16)),
            400.. => json!({"error": {"code": rng.pick(WORDS), "status": status, "message": prose(rng, 2), "trace": rng.hex(32)}}).to_string(),
            _ if small => format!("{{\"ok\":true,\"id\":{},\"v\":\"{}\"}}", rng.below(99_999_999), rng.hex(8)),
            _ => self.response_body(e, rng),
        };
        let plain = !small && status == 200 && e.method != "HEAD" && !body.is_empty();
        let draw = if plain { rng.unit() } else { 1.0 };
        let packed = draw < 0.064;
        let chunked = (0.0576..0.098).contains(&draw);
        let wire = if packed { gzip(body.as_bytes()) } else { body.clone().into_bytes() };
        let mut out = format!("HTTP/1.1 {status} {}\r\nServer: edge\r\n", reason(status)).into_bytes();
        let mut line = |text: &str| out.extend_from_slice(text.as_bytes());
        if !small {
            line(
                "Date: Mon, 21 Sep 2026 14:13:20 GMT\r\nConnection: keep-alive\r\nCache-Control: private, max-age=0\r\nStrict-Transport-Security: max-age=31536000\r\nX-Content-Type-Options: nosniff\r\n",
            );
            line(&format!("X-Request-Id: {}\r\n", rng.hex(32)));
        }
        if !body.is_empty() {
            line("Content-Type: application/json\r\n");
        }
        if packed {
            line("Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n");
        }
        if chunked {
            line("Transfer-Encoding: chunked\r\n");
        } else if status != 204 && status != 304 {
            line(&format!("Content-Length: {}\r\n", wire.len()));
        }
        line("\r\n");
        if e.method == "HEAD" {
            return out;
        }
        truth.response_body_bytes += body.len() as u64;
        truth.gzip += u64::from(packed);
        truth.chunked += u64::from(chunked);
        if chunked {
            push_chunks(&mut out, &wire, rng);
        } else {
            out.extend_from_slice(&wire);
        }
        out
    }

    /// About 4 KB on average, from 0.5 to 20 KB.
    fn response_body(&self, e: &Endpoint, rng: &mut Rng) -> String {
        let target = (3350.0 * exp(0.72 * rng.normal())).clamp(512.0, 20_000.0) as usize;
        let average =
            self.pools.get(e.pool).map_or(300, |p| p.iter().map(String::len).sum::<usize>() / p.len().max(1));
        let count = target / average.max(1);
        let mut body = format!(
            "{{\"data\":[{}],\"meta\":{{\"request\":\"{}\",\"took\":{}}}",
            self.join(e.pool, count, rng),
            rng.uuid(),
            rng.below(300)
        );
        let short = target.saturating_sub(body.len() + 12);
        if short > 0 {
            body.push_str(&format!(",\"cursor\":\"{}\"", rng.base64(short)));
        }
        body.push('}');
        body
    }

    fn join(&self, pool: usize, count: usize, rng: &mut Rng) -> String {
        let Some(pool) = self.pools.get(pool) else { return String::new() };
        let parts: Vec<&str> =
            (0..count).filter_map(|_| pool.get(rng.index(pool.len())).map(String::as_str)).collect();
        parts.join(",")
    }

    fn push_target(&self, out: &mut String, e: &Endpoint, rng: &mut Rng) {
        for part in e.path.split_inclusive(['{', '}']) {
            match part.strip_suffix(['{', '}']) {
                Some("int") => out.push_str(&rng.range(1, 999_999).to_string()),
                Some("uuid") => out.push_str(&rng.uuid()),
                Some("hex") => out.push_str(&rng.hex(24)),
                Some("slug") => {
                    out.push_str(self.slugs.get(rng.index(400)).map(String::as_str).unwrap_or_default());
                }
                Some("sku") => out.push_str(&format!("HL-{}-{}", rng.digits(5), rng.pick(&["S", "M", "L"]))),
                Some(text) => out.push_str(text),
                None => out.push_str(part),
            }
        }
        if e.method != "GET" {
            return;
        }
        if e.path.ends_with("/search") {
            out.push_str(&format!("?q={}+{}&page={}", rng.pick(WORDS), rng.pick(WORDS), rng.range(1, 40)));
        } else if rng.percent(35.0) {
            out.push_str(&format!("?page={}&limit=20", rng.range(1, 60)));
        }
    }
}

fn push_chunks(out: &mut Vec<u8>, mut wire: &[u8], rng: &mut Rng) {
    while !wire.is_empty() {
        let (part, rest) = wire.split_at(wire.len().min(rng.range(256, 4096) as usize));
        out.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
        wire = rest;
    }
    out.extend_from_slice(b"0\r\n\r\n");
}

fn status(method: &str, rng: &mut Rng) -> u16 {
    let draw = rng.unit();
    match method {
        "OPTIONS" => 204,
        "DELETE" if draw < 0.7 => 204,
        "POST" if draw < 0.45 => 201,
        _ if draw < 0.9 => 200,
        "GET" | "HEAD" if draw < 0.915 => 304,
        _ => rng.pick(&[400, 400, 401, 401, 403, 404, 404, 429, 500, 503]),
    }
}

fn client(profile: Profile, n: usize, rng: &mut Rng) -> Client {
    let ip = match profile {
        Profile::Crowd => [20 + (n / 62_500) as u8, (n / 250 % 250) as u8, 7, (n % 250) as u8 + 2].into(),
        _ => [198, 18, (n / 250) as u8, (n % 250) as u8 + 2].into(),
    };
    let mut lines = format!("User-Agent: {}\r\n", rng.pick(AGENTS));
    if profile == Profile::Small {
        lines.push_str(&format!("Accept: application/json\r\nX-Api-Key: {}\r\n", rng.hex(32)));
        return Client { ip, port: 32_768, lines };
    }
    lines.push_str("Accept: application/json, text/plain, */*\r\nAccept-Encoding: gzip\r\n");
    if rng.percent(60.0) {
        lines.push_str(&format!("Accept-Language: en-GB,en;q=0.9\r\nReferer: https://www.example.com/{}\r\nSec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\nCookie: sid={}; csrf={}; locale=en\r\n", rng.pick(WORDS), rng.hex(32), rng.base64(24)));
    }
    if rng.percent(50.0) {
        let claims = base64url(json!({"sub": n, "scope": prose(rng, 1)}).to_string().as_bytes());
        lines.push_str(&format!(
            "Authorization: Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.{claims}.{}\r\n",
            rng.base64(86)
        ));
    }
    let port = rng.range(32_768, 40_000) as u16;
    Client { ip, port, lines }
}

fn email(rng: &mut Rng) -> String {
    format!("{}.{}{}@example.com", rng.pick(WORDS), rng.pick(WORDS), rng.below(999))
}

/// A piece of a body of one of the ten kinds.
fn fragment(pool: usize, rng: &mut Rng) -> Value {
    let id = rng.range(1, 9_999_999);
    let at = format!(
        "2026-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        rng.range(1, 9),
        rng.range(1, 28),
        rng.below(24),
        rng.below(60),
        rng.below(60),
        rng.below(1000)
    );
    match pool {
        0 | 1 => {
            json!({"id": id, "at": at, "sku": format!("HL-{}-M", rng.digits(5)), "name": capital(&words(rng, 3)), "price": {"amount": rng.below(99_999) as f64 / 100.0, "currency": "EUR"}, "stock": rng.percent(80.0), "tags": [rng.pick(WORDS), rng.pick(WORDS)], "image": format!("https://cdn.example.com/i/{}.webp", rng.hex(32)), "text": prose(rng, 2)})
        }
        2 => {
            json!({"id": id, "at": at, "order": rng.uuid(), "state": rng.pick(&["paid", "sent", "open"]), "total": rng.below(299_999), "lines": [{"sku": format!("HL-{}-S", rng.digits(5)), "pieces": rng.range(1, 5), "each": rng.below(9999)}], "contact": if rng.percent(25.0) { email(rng) } else { String::new() }})
        }
        3 => {
            json!({"id": id, "at": at, "user": words(rng, 1), "name": capital(&words(rng, 2)), "address": {"street": format!("{} {} Road", rng.below(300), capital(rng.pick(WORDS))), "zip": rng.digits(5)}, "email": if rng.percent(50.0) { email(rng) } else { String::new() }, "settings": {"news": rng.percent(50.0), "theme": "dark"}})
        }
        4 => {
            json!({"id": id, "at": at, "charge": rng.hex(24), "amount": rng.below(500_000), "state": "succeeded", "method": {"brand": "visa", "last4": rng.digits(4), "number": if rng.percent(12.0) { card(rng) } else { String::new() }}})
        }
        5 => {
            json!({"id": id, "slug": words(rng, 3).replace(' ', "-"), "title": capital(&words(rng, 6)), "by": words(rng, 2), "text": prose(rng, 6), "likes": rng.below(9000)})
        }
        6 => {
            json!({"name": words(rng, 3).replace(' ', "."), "value": rng.unit() * 1e4, "unit": "ms", "labels": {"region": "eu-1", "pod": format!("api-{}", rng.hex(8))}, "points": [rng.unit(), rng.unit(), rng.unit(), rng.unit(), rng.unit(), rng.unit()]})
        }
        7 => {
            json!({"sku": format!("HL-{}-L", rng.digits(5)), "hub": rng.below(40), "free": rng.below(4000), "held": rng.below(300), "bins": [format!("A{}", rng.below(99)), format!("C{}", rng.below(99))]})
        }
        8 => {
            json!({"place": rng.hex(24), "name": capital(&words(rng, 2)), "lat": rng.unit() * 180.0 - 90.0, "lng": rng.unit() * 360.0 - 180.0, "line": rng.base64(90), "metres": rng.below(90_000)})
        }
        _ => {
            json!({"id": id, "at": at, "event": words(rng, 2), "session": rng.uuid(), "props": {"page": words(rng, 2), "depth": rng.below(100)}})
        }
    }
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

/// e to the power of a small number, by the limit: the same on every machine.
fn exp(x: f64) -> f64 {
    (0..10).fold(1.0 + x / 1024.0, |y: f64, _| y * y)
}

const fn endpoint(
    host: usize,
    pool: usize,
    weight: u32,
    method: &'static str,
    path: &'static str,
) -> Endpoint {
    Endpoint { host, method, path, pool, weight }
}

const POOLS: usize = 10;
const HOSTS: [&str; 10] = [
    "catalog.example.com",
    "basket.example.com",
    "orders.example.com",
    "accounts.example.com",
    "pay.example.com",
    "stories.example.com",
    "metrics.example.com",
    "events.example.com",
    "stock.example.com:8080",
    "maps.example.com",
];
const AGENTS: &[&str] = &[
    "okhttp/5.1.0",
    "Go-http-client/1.1",
    "axios/1.12.2",
    "Dart/3.9 (dart:io)",
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
];
const ENDPOINTS: [Endpoint; 46] = [
    endpoint(0, 0, 8, "GET", "/v1/products"),
    endpoint(0, 0, 8, "GET", "/v1/products/{int}"),
    endpoint(0, 0, 8, "GET", "/v1/products/{int}/reviews"),
    endpoint(0, 0, 8, "GET", "/v1/search"),
    endpoint(0, 0, 8, "GET", "/v1/categories/{slug}/products"),
    endpoint(1, 1, 4, "GET", "/v1/basket"),
    endpoint(1, 1, 4, "POST", "/v1/basket/lines"),
    endpoint(1, 1, 4, "PUT", "/v1/basket/lines/{int}"),
    endpoint(1, 1, 2, "DELETE", "/v1/basket/lines/{int}"),
    endpoint(1, 1, 4, "PATCH", "/v1/basket"),
    endpoint(2, 2, 3, "GET", "/v1/orders"),
    endpoint(2, 2, 5, "GET", "/v1/orders/{uuid}"),
    endpoint(2, 2, 3, "POST", "/v1/orders"),
    endpoint(2, 2, 3, "GET", "/v1/orders/{uuid}/lines/{int}"),
    endpoint(2, 2, 1, "DELETE", "/v1/orders/{uuid}"),
    endpoint(3, 3, 3, "GET", "/v2/users/{int}"),
    endpoint(3, 3, 3, "PUT", "/v2/users/{int}"),
    endpoint(3, 3, 3, "GET", "/v2/users/{int}/addresses"),
    endpoint(3, 3, 3, "GET", "/v2/users/me"),
    endpoint(3, 3, 2, "POST", "/v2/sign-in"),
    endpoint(3, 3, 1, "OPTIONS", "/v2/sign-in"),
    endpoint(4, 4, 2, "POST", "/charges"),
    endpoint(4, 4, 3, "GET", "/charges/{hex}"),
    endpoint(4, 4, 2, "POST", "/charges/{hex}/capture"),
    endpoint(4, 4, 1, "POST", "/charges/{hex}/refunds"),
    endpoint(4, 4, 2, "GET", "/customers/{hex}/cards"),
    endpoint(5, 5, 4, "GET", "/stories/{slug}"),
    endpoint(5, 5, 3, "GET", "/stories"),
    endpoint(5, 5, 3, "GET", "/stories/{slug}/comments"),
    endpoint(5, 5, 1, "POST", "/stories/{slug}/comments"),
    endpoint(5, 5, 1, "HEAD", "/stories/{slug}"),
    endpoint(6, 6, 4, "POST", "/t/v1/series"),
    endpoint(6, 6, 3, "GET", "/t/v1/series/{slug}"),
    endpoint(6, 6, 1, "GET", "/healthz"),
    endpoint(6, 6, 2, "GET", "/t/v1/boards/{hex}"),
    endpoint(7, 9, 6, "POST", "/e/v1/batch"),
    endpoint(7, 9, 2, "GET", "/e/v1/sessions/{uuid}"),
    endpoint(8, 7, 4, "GET", "/svc/stock/{sku}"),
    endpoint(8, 7, 2, "PUT", "/svc/stock/{sku}"),
    endpoint(8, 7, 2, "GET", "/svc/hubs/{int}/stock"),
    endpoint(8, 7, 2, "POST", "/svc/holds"),
    endpoint(8, 7, 1, "PATCH", "/svc/holds/{uuid}"),
    endpoint(9, 8, 3, "GET", "/v3/places/{hex}"),
    endpoint(9, 8, 3, "GET", "/v3/search"),
    endpoint(9, 8, 2, "GET", "/v3/tiles/{int}/{int}/{int}"),
    endpoint(9, 8, 1, "POST", "/v3/matrix"),
];
