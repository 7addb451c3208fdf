//! Conversations as segments, and what the flow table makes of them.

#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use sidetap_capture::{FlowLimits, FlowTable, Segment, TcpFlags};
use sidetap_model::{Addr, Exchange, Ts, Zone};

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;

/// SplitMix64.
#[derive(Clone)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// A segment that owns its bytes.
#[derive(Clone, Debug)]
pub struct Seg {
    pub up: bool,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub data: Vec<u8>,
    pub ts: i64,
    pub snapped: u32,
}

pub fn addr(host: u8, port: u16) -> Addr {
    Addr { ip: IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)), port }
}

impl Seg {
    pub fn segment(&self, client: Addr, server: Addr) -> Segment<'_> {
        let (src, dst) = if self.up { (client, server) } else { (server, client) };
        Segment {
            zone: 0,
            src,
            dst,
            ts: Ts(1_700_000_000_000_000_000 + self.ts),
            seq: self.seq,
            ack: self.ack,
            flags: TcpFlags(self.flags),
            window: 65535,
            payload: &self.data,
            snapped: self.snapped,
            urgent: 0,
            clocks: None,
            carried: Default::default(),
        }
    }
}

/// An answer.
pub const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Both ends of a connection, writing down what they send.
pub struct Wire {
    pub segs: Vec<Seg>,
    pub next: [u32; 2],
    pub mss: usize,
    pub ts: i64,
}

impl Wire {
    pub fn open(isn: [u32; 2], mss: usize) -> Self {
        let mut wire = Wire { segs: Vec::new(), next: isn, mss, ts: 0 };
        wire.raw(true, SYN, b"", 0);
        let ack = wire.next[0];
        wire.raw(false, SYN | ACK, b"", ack);
        let ack = wire.next[1];
        wire.raw(true, ACK, b"", ack);
        wire
    }

    fn raw(&mut self, up: bool, flags: u8, data: &[u8], ack: u32) {
        let side = usize::from(!up);
        let seq = self.next[side];
        let control = u32::from(flags & (SYN | FIN) != 0);
        self.ts += 100_000;
        self.segs.push(Seg { up, seq, ack, flags, data: data.to_vec(), ts: self.ts, snapped: 0 });
        self.next[side] = seq.wrapping_add(data.len() as u32 + control);
    }

    /// Sends bytes; the sender has received all that the other side sent.
    pub fn send(&mut self, up: bool, data: &[u8]) {
        let ack = self.next[usize::from(up)];
        self.send_acking(up, data, ack);
    }

    /// Sends bytes; the sender has received the other side up to `ack`.
    pub fn send_acking(&mut self, up: bool, data: &[u8], ack: u32) {
        for piece in data.chunks(self.mss) {
            self.raw(up, ACK | PSH, piece, ack);
        }
    }

    pub fn ack(&mut self, up: bool) {
        let ack = self.next[usize::from(up)];
        self.raw(up, ACK, b"", ack);
    }

    pub fn fin(&mut self, up: bool) {
        let ack = self.next[usize::from(up)];
        self.raw(up, FIN | ACK, b"", ack);
    }

    pub fn close(&mut self, first_up: bool) {
        self.fin(first_up);
        self.fin(!first_up);
        self.ack(first_up);
    }
}

/// Runs segments through a table; checks that the bytes add up.
pub fn run(segs: &[Seg]) -> Vec<Exchange> {
    run_with(segs, &FlowLimits::default()).0
}

pub fn run_with(segs: &[Seg], limits: &FlowLimits) -> (Vec<Exchange>, FlowTable) {
    let mut table = FlowTable::new(0, limits, Arc::from([Zone::default()]));
    let mut out = Vec::new();
    let (client, server) = (addr(1, 40000), addr(2, 80));
    let mut tick = 0;
    for seg in segs {
        if seg.ts / 1_000_000_000 > tick {
            tick = seg.ts / 1_000_000_000;
            table.tick(seg.segment(client, server).ts, &mut |ex| out.push(ex));
        }
        table.segment(&seg.segment(client, server), &mut |ex| out.push(ex));
    }
    table.finish(&mut |ex| out.push(ex));
    let streams = table.counters().streams();
    let discarded: u64 = streams.discarded.values().sum();
    assert_eq!(streams.bytes, streams.delivered + discarded, "{streams:?}");
    assert_eq!(streams.bytes, segs.iter().map(|s| s.data.len() as u64).sum::<u64>());
    assert!(table.is_empty() && table.held_bytes() == 0);
    out.sort_by_key(|ex| ex.seq);
    (out, table)
}

/// The same within the usual limits.
pub fn run_usual(segs: &[Seg]) -> (Vec<Exchange>, FlowTable) {
    run_with(segs, &FlowLimits::default())
}

/// The targets of the requests that were seen.
pub fn targets(seen: &[Exchange]) -> Vec<String> {
    let target = |e: &Exchange| e.request.as_ref().map(|r| String::from_utf8_lossy(&r.target).into_owned());
    seen.iter().filter_map(target).collect()
}

/// What is compared of an exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    pub request: Option<(String, String, Vec<u8>, u64)>,
    pub response: Option<(u16, Option<String>, Vec<u8>, u64)>,
}

pub fn seen(ex: &Exchange) -> Seen {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    Seen {
        request: ex
            .request
            .as_ref()
            .map(|r| (text(&r.method), text(&r.target), r.body.bytes.clone(), r.body.len)),
        response: ex
            .response
            .as_ref()
            .map(|r| (r.status, r.headers.get("x-id").map(text), r.body.bytes.clone(), r.body.len)),
    }
}

/// The id that a request's path carries.
pub fn request_id(ex: &Exchange) -> Option<String> {
    let target = &ex.request.as_ref()?.target;
    Some(String::from_utf8_lossy(target).trim_start_matches("/item/").to_owned())
}

pub fn response_id(ex: &Exchange) -> Option<String> {
    let value = ex.response.as_ref()?.headers.get("x-id")?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// A request and its response, as bytes.
pub struct Turn {
    pub id: usize,
    pub request: Vec<u8>,
    pub continues: bool,
    pub response: Vec<u8>,
    pub until_close: bool,
}

/// A turn with one of many shapes of request and response.
pub fn turn(id: usize, last: bool, rng: &mut Rng) -> Turn {
    let method = ["GET", "GET", "POST", "HEAD", "PUT", "DELETE"][rng.below(6)];
    let mut request =
        format!("{method} /item/{id} HTTP/1.1\r\nHost: h.example\r\nX-Pad: {}\r\n", pad(rng, 120));
    let mut continues = false;
    if matches!(method, "POST" | "PUT") {
        let body = format!("req-{id}-{}", pad(rng, 3000));
        if rng.chance(50) {
            continues = rng.chance(30);
            if continues {
                request.push_str("Expect: 100-continue\r\n");
            }
            request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        } else {
            request.push_str(&format!("Transfer-Encoding: chunked\r\n\r\n{}", chunked(&body, rng)));
        }
    } else {
        request.push_str("\r\n");
    }
    let mut head = format!("HTTP/1.1 200 OK\r\nX-Id: {id}\r\nServer: s\r\n");
    let body = format!("res-{id}-{}", pad(rng, 6000));
    let mut until_close = false;
    let shape = rng.below(if last { 5 } else { 4 });
    let response = match shape {
        0 if method != "HEAD" => format!("HTTP/1.1 204 No Content\r\nX-Id: {id}\r\n\r\n"),
        1 if method != "HEAD" => {
            head.push_str("Transfer-Encoding: chunked\r\n\r\n");
            head + &chunked(&body, rng)
        }
        4 if method != "HEAD" => {
            until_close = true;
            head.push_str("Connection: close\r\n\r\n");
            head + &body
        }
        _ => {
            head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
            if method == "HEAD" { head } else { head + &body }
        }
    };
    Turn { id, request: request.into_bytes(), continues, response: response.into_bytes(), until_close }
}

fn pad(rng: &mut Rng, most: usize) -> String {
    let n = rng.below(most);
    (0..n).map(|i| char::from(b'a' + ((i as u64 ^ rng.0) % 26) as u8)).collect()
}

fn chunked(body: &str, rng: &mut Rng) -> String {
    let mut out = String::new();
    let mut rest = body;
    while !rest.is_empty() {
        let n = (rng.below(900) + 1).min(rest.len());
        let (piece, after) = rest.split_at(n);
        out.push_str(&format!("{n:x}\r\n{piece}\r\n"));
        rest = after;
    }
    out + "0\r\n\r\n"
}

/// How a client sends its requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// One after the other.
    Sequential,
    /// In bursts without waiting.
    Bursts,
    /// Always with one more request on the way, which the server receives after it has answered the one before.
    TwoDeep,
    /// The same, at a server that always receives it before.
    TwoDeepHeld,
}

/// A whole conversation.
pub fn conversation(seed: u64, style: Style) -> Vec<Seg> {
    let mut rng = Rng(seed);
    let isn = [rng.next() as u32, rng.next() as u32];
    let mss = [536, 1448, 200 + rng.below(1000)][rng.below(3)];
    let mut wire = Wire::open(isn, mss);
    let count = 2 + rng.below(8);
    let turns: Vec<Turn> = (0..count).map(|i| turn(i, i + 1 == count, &mut rng)).collect();
    match style {
        Style::Sequential => turns.iter().for_each(|t| sequential(&mut wire, t, &mut rng)),
        Style::Bursts => bursts(&mut wire, &turns, &mut rng),
        Style::TwoDeep => two_deep(&mut wire, &turns),
        Style::TwoDeepHeld => two_deep_held(&mut wire, &turns, &mut rng),
    }
    match turns.last() {
        Some(t) if t.until_close => wire.close(false),
        _ => match rng.below(4) {
            0 => wire.close(true),
            1 => wire.close(false),
            2 => {
                wire.ack(true);
                wire.raw(true, RST, b"", 0);
            }
            _ => wire.ack(true),
        },
    }
    wire.segs
}

fn sequential(wire: &mut Wire, turn: &Turn, rng: &mut Rng) {
    if turn.continues {
        let head = turn.request.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        wire.send(true, &turn.request[..head]);
        wire.send(false, b"HTTP/1.1 100 Continue\r\n\r\n");
        wire.send(true, &turn.request[head..]);
    } else {
        wire.send(true, &turn.request);
    }
    if rng.chance(50) {
        wire.ack(false);
    }
    let half = turn.response.len() / 2;
    wire.send(false, &turn.response[..half]);
    if rng.chance(50) {
        wire.ack(true);
    }
    wire.send(false, &turn.response[half..]);
    if rng.chance(70) {
        wire.ack(true);
    }
}

fn bursts(wire: &mut Wire, turns: &[Turn], rng: &mut Rng) {
    let mut rest = turns;
    while !rest.is_empty() {
        let n = (1 + rng.below(4)).min(rest.len());
        let (burst, after) = rest.split_at(n);
        rest = after;
        if rng.chance(40) {
            let all: Vec<u8> = burst.iter().flat_map(|t| t.request.clone()).collect();
            wire.send(true, &all);
        } else {
            burst.iter().for_each(|t| wire.send(true, &t.request));
        }
        for turn in burst {
            if rng.chance(30) {
                wire.ack(true);
            }
            wire.send(false, &turn.response);
        }
        wire.ack(true);
    }
}

fn two_deep_held(wire: &mut Wire, turns: &[Turn], rng: &mut Rng) {
    let mut received = wire.next[1];
    for (i, turn) in turns.iter().enumerate() {
        if i == 0 {
            wire.send_acking(true, &turn.request, received);
        }
        if let Some(next) = turns.get(i + 1) {
            wire.ts += rng.below(20_000_000) as i64;
            wire.send_acking(true, &next.request, received);
        }
        let heard = wire.next[0];
        wire.ts += rng.below(20_000_000) as i64;
        wire.send_acking(false, &turn.response, heard);
        received = wire.next[1];
    }
}

fn two_deep(wire: &mut Wire, turns: &[Turn]) {
    let mut received = wire.next[1];
    if let Some(first) = turns.first() {
        wire.send_acking(true, &first.request, received);
    }
    for (i, turn) in turns.iter().enumerate() {
        let heard = wire.next[0];
        if let Some(next) = turns.get(i + 1) {
            wire.send_acking(true, &next.request, received);
        }
        wire.send_acking(false, &turn.response, heard);
        received = wire.next[1];
    }
}
