//! Hostile traffic: every table stays within its cap, and what was given up is counted.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use common::{ACK, FIN, PSH, SYN, Seg, Wire, addr, run_with};
use sidetap_capture::{FlowLimits, FlowTable, Segment, TcpFlags};
use sidetap_model::{Addr, Anomaly, Completeness, Exchange, Ts, Zone};

/// Feeds a table and checks its cap after every segment.
struct Fed {
    table: FlowTable,
    limits: FlowLimits,
    exchanges: Vec<Exchange>,
    most_held: usize,
}

impl Fed {
    fn new(limits: FlowLimits) -> Self {
        let table = FlowTable::new(0, &limits, Arc::from([Zone::default()]));
        Fed { table, limits, exchanges: Vec::new(), most_held: 0 }
    }

    fn segment(&mut self, segment: &Segment<'_>) {
        let exchanges = &mut self.exchanges;
        self.table.segment(segment, &mut |ex| exchanges.push(ex));
        self.most_held = self.most_held.max(self.table.held_bytes());
        assert!(self.table.held_bytes() <= self.limits.bytes, "{}", self.table.held_bytes());
        assert!(self.table.len() <= self.limits.flows);
    }

    fn seg(&mut self, seg: &Seg) {
        self.segment(&seg.segment(addr(1, 40000), addr(2, 80)));
    }

    fn finish(mut self) -> (Vec<Exchange>, FlowTable) {
        let exchanges = &mut self.exchanges;
        self.table.finish(&mut |ex| exchanges.push(ex));
        let streams = self.table.counters().streams();
        assert_eq!(streams.bytes, streams.delivered + streams.discarded.values().sum::<u64>(), "{streams:?}");
        assert!(self.table.is_empty() && self.table.held_bytes() == 0);
        (self.exchanges, self.table)
    }
}

fn small() -> FlowLimits {
    let few = FlowLimits { flows: 500, flows_room: 0, ..FlowLimits::default() };
    FlowLimits { bytes: 400_000, direction_bytes: 150_000, ..few }
}

fn wire() -> Wire {
    Wire::open([1000, 2000], 1448)
}

/// What was sent since the last call.
fn new_segs(wire: &mut Wire) -> Vec<Seg> {
    std::mem::take(&mut wire.segs)
}

#[test]
fn a_flood_of_handshakes_pushes_out_no_flow_with_data() {
    let mut fed = Fed::new(small());
    let mut honest = wire();
    honest.send(true, b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
    for seg in new_segs(&mut honest) {
        fed.seg(&seg);
    }
    for i in 0..20_000_u32 {
        let src = Addr { ip: IpAddr::V4(Ipv4Addr::from(0x0b00_0000 + i)), port: 1024 };
        let seg = Seg { up: true, seq: i, ack: 0, flags: SYN, data: Vec::new(), ts: 0, snapped: 0 };
        fed.segment(&seg.segment(src, addr(2, 80)));
    }
    honest.send(false, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    for seg in new_segs(&mut honest) {
        fed.seg(&seg);
    }
    let (exchanges, table) = fed.finish();
    assert_eq!(exchanges.len(), 1);
    assert!(exchanges[0].completeness.is_whole());
    assert!(table.counters().evictions()["flows"] > 19_000);
}

#[test]
fn out_of_order_bytes_without_end_stay_within_the_cap() {
    let mut fed = Fed::new(small());
    for seg in new_segs(&mut wire()) {
        fed.seg(&seg);
    }
    for i in 0..10_000_u32 {
        let seq = 1001 + 3000 * (i + 1);
        fed.seg(&Seg { up: true, seq, ack: 2001, flags: ACK, data: vec![b'x'; 1000], ts: 0, snapped: 0 });
    }
    let most = fed.most_held;
    fed.finish();
    assert!(most > 100_000);
}

#[test]
fn tiny_out_of_order_pieces_cost_no_more_than_large_ones() {
    let mut fed = Fed::new(small());
    for seg in new_segs(&mut wire()) {
        fed.seg(&seg);
    }
    for i in 0..50_000_u32 {
        let seq = 2001 + 2 * (i * 7919 % 50_000);
        fed.seg(&Seg { up: true, seq, ack: 2001, flags: ACK, data: vec![b'x'], ts: 0, snapped: 0 });
    }
    fed.finish();
}

#[test]
fn an_endless_head_is_cut_and_said_to_be() {
    let mut fed = Fed::new(small());
    let mut w = wire();
    w.send(true, b"GET /endless HTTP/1.1\r\nHost: h\r\n");
    for i in 0..5000 {
        w.send(true, format!("X-{i}: {}\r\n", "v".repeat(60)).as_bytes());
    }
    for seg in new_segs(&mut w) {
        fed.seg(&seg);
    }
    let (exchanges, _) = fed.finish();
    assert_eq!(exchanges.len(), 1);
    let ex = &exchanges[0];
    assert!(ex.completeness.contains(Completeness::REQUEST_TRUNCATED));
    assert!(ex.anomalies.contains(Anomaly::HeadTooLong));
    assert_eq!(ex.request.as_ref().unwrap().target, b"/endless");
    assert!(ex.request.as_ref().unwrap().headers.len() <= FlowLimits::default().fields);
}

#[test]
fn endless_chunks_extensions_and_bodies_keep_only_what_is_kept_of_a_body() {
    let shapes: [(&str, &str, &str); 4] = [
        ("chunks", "Transfer-Encoding: chunked\r\n\r\n", "5\r\nabcde\r\n"),
        ("extension", "Transfer-Encoding: chunked\r\n\r\n5;", "ext=ext;"),
        ("trailer", "Transfer-Encoding: chunked\r\n\r\n0\r\n", "X-Trailer: value\r\n"),
        ("length", "Content-Length: 99999999999\r\n\r\n", "some more of the body "),
    ];
    for (name, head, piece) in shapes {
        let mut fed = Fed::new(FlowLimits { body: 10_000, ..small() });
        let mut w = wire();
        w.send(true, format!("POST /{name} HTTP/1.1\r\nHost: h\r\n{head}").as_bytes());
        for _ in 0..2000 {
            w.send(true, piece.repeat(100).as_bytes());
        }
        for seg in new_segs(&mut w) {
            fed.seg(&seg);
        }
        let most = fed.most_held;
        let (exchanges, _) = fed.finish();
        assert!(most < 60_000, "{name} held {most}");
        assert_eq!(exchanges.len(), 1, "{name}");
        assert!(exchanges[0].completeness.contains(Completeness::REQUEST_TRUNCATED), "{name}");
        assert!(exchanges[0].request.as_ref().unwrap().body.bytes.len() <= 10_000, "{name}");
    }
}

#[test]
fn requests_that_nobody_answers_are_given_up_one_by_one() {
    let mut w = wire();
    for i in 0..3000 {
        w.send(true, format!("GET /item/{i} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
    }
    for i in 0..3000 {
        w.send(false, format!("HTTP/1.1 200 OK\r\nX-Id: {i}\r\nContent-Length: 0\r\n\r\n").as_bytes());
    }
    let limits = FlowLimits { open_requests: 100, ..FlowLimits::default() };
    let (exchanges, table) = run_with(&w.segs, &limits);
    assert_eq!(exchanges.iter().filter(|e| e.request.is_some()).count(), 3000);
    for ex in &exchanges {
        if ex.request.is_some() && ex.response.is_some() {
            assert_eq!(common::request_id(ex), common::response_id(ex));
        }
    }
    assert!(table.counters().evictions()["open-requests"] > 2000);
}

#[test]
fn many_large_bodies_at_once_evict_the_flows_that_are_idle_longest() {
    let mut fed = Fed::new(FlowLimits { body: 100_000, ..small() });
    let head = b"POST /big HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n";
    for flow in 0..40_u16 {
        let mut w = wire();
        w.send(true, head);
        w.send(true, &vec![b'b'; 30_000]);
        for seg in w.segs {
            fed.segment(&seg.segment(addr(3, 2000 + flow), addr(2, 80)));
        }
    }
    let (exchanges, table) = fed.finish();
    assert_eq!(exchanges.len(), 40);
    let evicted = exchanges.iter().filter(|e| e.completeness.contains(Completeness::EVICTED)).count();
    assert!((5..40).contains(&evicted), "{evicted}");
    assert_eq!(table.counters().evictions()["flows-for-memory"], evicted as u64);
}

#[test]
fn an_idle_flow_is_cut_and_its_request_comes_out() {
    let limits = FlowLimits::default();
    let mut table = FlowTable::new(0, &limits, Arc::from([Zone::default()]));
    let mut w = wire();
    w.send(true, b"GET /waits HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut out = Vec::new();
    let start = w.segs[0].segment(addr(1, 1), addr(2, 80)).ts;
    table.tick(start, &mut |ex| out.push(ex));
    for seg in &w.segs {
        table.segment(&seg.segment(addr(1, 1), addr(2, 80)), &mut |ex| out.push(ex));
    }
    let mut shown = Vec::new();
    table.open_requests(start.plus(1), &mut |ex| shown.push((ex.flow_id, ex.seq)));
    assert!(shown.is_empty(), "too early");
    table.open_requests(start.plus(2_000_000_000), &mut |ex| shown.push((ex.flow_id, ex.seq)));
    table.open_requests(start.plus(3_000_000_000), &mut |ex| shown.push((ex.flow_id, ex.seq)));
    assert_eq!(shown.len(), 1);
    assert!(out.is_empty());
    table.tick(start.plus(limits.idle + 2_000_000_000), &mut |ex| out.push(ex));
    assert_eq!(out.len(), 1);
    assert_eq!((out[0].flow_id, out[0].seq), shown[0]);
    assert!(out[0].completeness.contains(Completeness::NO_RESPONSE));
    assert!(table.is_empty());
}

#[test]
fn the_first_time_told_cuts_nothing() {
    let mut table = FlowTable::new(0, &FlowLimits::default(), Arc::from([Zone::default()]));
    let mut w = wire();
    w.send(true, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut out = Vec::new();
    for seg in &w.segs {
        table.segment(&seg.segment(addr(1, 1), addr(2, 80)), &mut |ex| out.push(ex));
    }
    let now = w.segs[0].segment(addr(1, 1), addr(2, 80)).ts.plus(1_000_000_000);
    table.tick(now, &mut |ex| out.push(ex));
    assert_eq!((out.len(), table.len()), (0, 1));
}

#[test]
fn flows_beyond_their_share_take_room_that_is_free_and_give_it_back() {
    let limits = FlowLimits { flows: 16, flows_room: 300_000, ..small() };
    let mut table = FlowTable::new(0, &limits, Arc::from([Zone::default()]));
    let mut wire = wire();
    wire.send(true, b"GET /");
    let half = new_segs(&mut wire);
    let client = |n: u32| Addr { ip: IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n)), port: 40000 };
    for n in 0..1000 {
        half.iter().for_each(|seg| table.segment(&seg.segment(client(n), addr(2, 80)), &mut |_| ()));
    }
    let most = table.len();
    assert!(most > 100 && most < 250, "{most}");
    // One that holds much makes the others go, down to their share.
    let (mut large, mut at) = (wire, 0u32);
    large.send(true, &vec![b'a'; 60_000]);
    for seg in new_segs(&mut large).into_iter().skip(1) {
        table.segment(&seg.segment(client(2000 + at / 20), addr(2, 80)), &mut |_| ());
        at += 1;
        let beyond = table.len().saturating_sub(16) * 1536;
        assert!(table.held_bytes() + beyond <= limits.bytes, "{} {}", table.held_bytes(), table.len());
    }
    assert!(table.len() >= 16);
}

#[test]
fn random_segments_never_panic_and_add_up() {
    let mut rng = common::Rng(7);
    let words: [&[u8]; 8] = [
        b"GET / HTTP/1.1\r\n",
        b"\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"Content-Length: 3\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 101 x\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
    ];
    for _ in 0..300 {
        let mut fed = Fed::new(FlowLimits { flows: 8, ..small() });
        for _ in 0..200 {
            let mut data = Vec::new();
            for _ in 0..rng.below(4) {
                data.extend_from_slice(words[rng.below(8)]);
            }
            let seg = Seg {
                up: rng.chance(50),
                seq: (rng.below(400) as u32).wrapping_sub(rng.below(3) as u32 * 0x3fff_ffff),
                ack: rng.below(400) as u32,
                flags: [ACK, ACK | PSH, SYN, SYN | ACK, FIN | ACK, 4, 0, 32][rng.below(8)],
                data,
                ts: rng.below(1000) as i64 * 10_000_000,
                snapped: if rng.chance(5) { 7 } else { 0 },
            };
            fed.segment(&seg.segment(addr(1, 40000 + rng.below(12) as u16), addr(2, 80)));
            if rng.chance(3) {
                let (table, exchanges) = (&mut fed.table, &mut fed.exchanges);
                table.tick(
                    Ts(1_700_000_000_000_000_000 + rng.below(100) as i64 * 1_000_000_000),
                    &mut |ex| {
                        exchanges.push(ex);
                    },
                );
            }
        }
        fed.finish();
    }
    let _ = TcpFlags(0);
}

#[test]
fn a_flow_may_hold_the_longest_head_and_a_body_behind_it_at_the_least_memory_that_is_kept() {
    // What flows get of 256M.
    let limits = FlowLimits::for_memory(40 << 20);
    for mss in [100, 1448, 9000] {
        let mut fed = Fed::new(limits.clone());
        let mut wire = Wire::open([1000, 2000], mss);
        let pad: String = (0..10).map(|n| format!("X-{n}: {}\r\n", "a".repeat(6_250))).collect();
        let body = "b".repeat(100_000);
        let head = format!("POST /long?{} HTTP/1.1\r\nHost: h\r\n{pad}", "q".repeat(1000));
        wire.send(true, format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
        wire.ack(false);
        wire.send(false, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        wire.segs.iter().for_each(|s| fed.seg(s));
        let (seen, table) = fed.finish();
        assert!(
            head.len() > 63_000 && seen.len() == 1 && seen[0].completeness == Completeness::WHOLE,
            "{mss}"
        );
        assert_eq!(seen[0].request.as_ref().unwrap().headers.len(), 12);
        assert!(table.counters().evictions().keys().all(|why| why == "overlap-windows"), "{mss}");
    }
    // Of many requests without answer the oldest are given up, not the connection.
    let mut fed = Fed::new(limits);
    let mut wire = Wire::open([1000, 2000], 1448);
    (0..300).for_each(|_| wire.send(true, b"GET /a HTTP/1.1\r\nHost: h.example\r\nAccept: */*\r\n\r\n"));
    wire.segs.iter().for_each(|s| fed.seg(s));
    let (seen, table) = fed.finish();
    assert_eq!(seen.len(), 300);
    let evictions = table.counters().evictions();
    assert!(evictions["open-requests"] > 0 && !evictions.contains_key("flows-over-share"));
}

/// Whoever has his own connection hold too much says on it what he says: none of it is lost, or taken for another's.
#[test]
fn a_connection_over_its_share_goes_on() {
    let limits = FlowLimits { flow_bytes: 60_000, ..FlowLimits::for_memory(40 << 20) };
    let get = |target: &str, pad: usize| {
        format!("GET {target} HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "y".repeat(pad)).into_bytes()
    };
    let (pipelined, amid) = ((0..20).map(|_| get("/f", 15_000)).collect::<Vec<_>>().concat(), {
        let fields: String = (0..20).map(|n| format!("X-{n}: {}\r\n", "y".repeat(3_000))).collect();
        format!("POST /f HTTP/1.1\r\nHost: h\r\n{fields}\r\n").into_bytes()
    });
    for (what, first) in [("pipelined", pipelined), ("a head", amid)] {
        let mut fed = Fed::new(limits.clone());
        let mut wire = Wire::open([1000, 2000], 1448);
        wire.send(true, &first);
        wire.ack(false);
        let answers = if what == "a head" { 1 } else { 20 };
        let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".repeat(answers);
        wire.send(false, &ok);
        wire.ack(true);
        for n in 0..4 {
            let two = [get(&format!("/secret{n}a"), 1), get(&format!("/secret{n}b"), 1)].concat();
            wire.send(true, &two);
            wire.ack(false);
            wire.send(false, &b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".repeat(2));
            wire.ack(true);
        }
        wire.close(true);
        wire.segs.iter().for_each(|s| fed.seg(s));
        let (seen, table) = fed.finish();
        assert!(table.counters().evictions().contains_key("flows-over-share"), "{what}");
        let secrets: Vec<_> = seen
            .iter()
            .filter(|e| e.request.as_ref().is_some_and(|r| r.target.starts_with(b"/secret")))
            .collect();
        assert_eq!(secrets.len(), 8, "{what}: {:?}", common::targets(&seen));
        for e in secrets {
            assert!(e.acknowledged, "{what}: {:?}", e.completeness);
            let odd = [Completeness::RESYNCHRONISED, Completeness::JOINED_LATE];
            assert!(!odd.iter().any(|flag| e.completeness.contains(*flag)), "{what}: {:?}", e.completeness);
        }
    }
}

/// Somebody outside writes both sides of whole conversations into a tunnel: they make room for each other.
#[test]
fn conversations_in_a_tunnel_that_is_not_trusted_push_out_nobody_else() {
    let limits = FlowLimits { flows: 64, flows_room: 0, ..FlowLimits::default() };
    let mut fed = Fed::new(limits);
    let client = |n: u32| Addr { ip: IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n)), port: 40000 };
    let talk = |wire: &mut Wire| {
        wire.send(true, b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
        wire.ack(false);
        wire.send(false, common::OK);
        wire.ack(true);
    };
    let mut honest: Vec<Wire> = (0..40).map(|_| wire()).collect();
    for round in 0..4u32 {
        for (n, wire) in honest.iter_mut().enumerate() {
            talk(wire);
            for seg in new_segs(wire) {
                fed.segment(&seg.segment(client(n as u32), addr(2, 80)));
            }
        }
        for n in 0..400u32 {
            let mut forged = wire();
            talk(&mut forged);
            for seg in forged.segs {
                let mut seg = seg.segment(client(1000 + round * 400 + n), addr(2, 80));
                seg.carried.foreign = 7;
                fed.segment(&seg);
            }
        }
    }
    let (seen, _) = fed.finish();
    let own: Vec<_> = seen.iter().filter(|e| !e.anomalies.contains(Anomaly::TunnelUntrusted)).collect();
    assert_eq!(own.len(), 160);
    assert!(own.iter().all(|e| e.completeness.is_whole()));
}
