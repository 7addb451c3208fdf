//! What reaches the mirror and not the server, or in other pieces: docs/capture.md, "TCP" and "HTTP after a gap".

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use common::{ACK, OK, PSH, RST, SYN, Seg, Wire, addr, request_id, response_id, run_usual as run, targets};
use sidetap_capture::{FlowLimits, FlowTable};
use sidetap_model::{Addr, Anomaly, Exchange, Zone};

/// A request of a number, and its answer, which names it.
fn asked(n: usize) -> Vec<u8> {
    format!("GET /{n} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
}

fn answer(n: usize) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Id: {n}\r\n\r\nok").into_bytes()
}

/// A request of this number that is so long.
fn padded(n: usize, len: usize) -> Vec<u8> {
    let bare = format!("GET /{n} HTTP/1.1\r\nX: \r\n\r\n").len();
    format!("GET /{n} HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(len - bare)).into_bytes()
}

fn ask(wire: &mut Wire, numbers: std::ops::Range<usize>) {
    for n in numbers {
        wire.send(true, &asked(n));
        wire.ack(false);
        wire.send(false, &answer(n));
        wire.ack(true);
    }
}

/// A segment of the client's at the next number and so much further; it may never arrive.
fn thrown(wire: &Wire, further: usize, data: &[u8]) -> Seg {
    let [seq, ack] = wire.next;
    Seg {
        up: true,
        seq: seq.wrapping_add(further as u32),
        ack,
        flags: ACK | PSH,
        data: data.to_vec(),
        ts: wire.ts + 10,
        snapped: 0,
    }
}

/// No pair that says it is certain is a wrong one.
fn assert_unmarked_pairs_are_right(seen: &[Exchange], what: &str) {
    for e in seen.iter().filter(|e| e.completeness.is_whole()) {
        let id = request_id(e).map(|id| id.trim_start_matches('/').to_owned());
        assert!(response_id(e).is_none() || id == response_id(e), "{what}: {id:?} {:?}", response_id(e));
    }
}

fn asks_all(seen: &[Exchange], numbers: std::ops::Range<usize>, what: &str) {
    let all = targets(seen);
    assert!(numbers.into_iter().all(|n| all.contains(&format!("/{n}"))), "{what}: {all:?}");
}

/// A first request in two pieces, the first of which seems to be another protocol's or no word at all, and a long upload.
#[test]
fn nobody_ends_the_reading_before_his_server_spoke() {
    for (first, then) in [
        ("USER /a", " HTTP/1.1"),
        ("SSH-A /a", " HTTP/1.1"),
        ("HELO /a", " HTTP/1.1"),
        ("M1", " /a HTTP/1.1"),
        ("P!", " /a HTTP/1.1"),
    ] {
        for body in [2, 20_000, 300_000] {
            let mut wire = Wire::open([1000, 2000], 1448);
            wire.send(true, first.as_bytes());
            let head = format!("{then}\r\nHost: h\r\nContent-Length: {body}\r\n\r\n");
            wire.send(true, &[head.as_bytes(), &vec![b'x'; body]].concat());
            wire.ack(false);
            wire.send(false, OK);
            wire.ack(true);
            for n in 0..4 {
                wire.send(true, &[asked(2 * n), asked(2 * n + 1)].concat());
                wire.ack(false);
                wire.send(false, &OK.repeat(2));
                wire.ack(true);
            }
            let (seen, _) = run(&wire.segs);
            let what = format!("{first} {body}");
            asks_all(&seen, 0..8, &what);
            assert_eq!(seen.len(), 9, "{what}");
            assert!(seen.iter().all(|e| e.acknowledged && e.completeness.is_whole()), "{what} {seen:?}");
        }
    }
}

/// Two requests that die on their way, in the place of one: what is sent behind them first makes nobody forget what they were.
#[test]
fn what_was_not_acknowledged_is_compared_however_late() {
    let decoy = [asked(90), asked(91)].concat();
    let mut wire = Wire::open([1000, 2000], 1448);
    ask(&mut wire, 0..1);
    wire.send(true, &asked(1));
    wire.segs.push(thrown(&wire, 0, &decoy));
    wire.send(false, &answer(1));
    wire.segs.push(thrown(&wire, decoy.len(), &asked(3)));
    wire.send(true, &padded(2, decoy.len()));
    wire.next[0] = wire.next[0].wrapping_add(asked(3).len() as u32);
    wire.ack(false);
    wire.send(false, &answer(2));
    wire.send(false, &answer(3));
    ask(&mut wire, 4..12);
    let (seen, _) = run(&wire.segs);
    assert_unmarked_pairs_are_right(&seen, "restart");
    asks_all(&seen, 4..12, "restart");
}

/// The same further back than what is kept to compare with.
#[test]
fn what_cannot_be_compared_any_more_is_certain_no_longer() {
    let decoy = [asked(90), asked(91)].concat();
    let mut wire = Wire::open([1000, 2000], 1448);
    ask(&mut wire, 0..1);
    wire.segs.push(thrown(&wire, 0, &decoy));
    let more = padded(3, 30_000);
    for (n, part) in more.chunks(1448).enumerate() {
        wire.segs.push(thrown(&wire, decoy.len() + n * 1448, part));
    }
    wire.send(true, &padded(2, decoy.len()));
    wire.next[0] = wire.next[0].wrapping_add(more.len() as u32);
    wire.ack(false);
    wire.send(false, &answer(2));
    wire.send(false, &answer(3));
    ask(&mut wire, 4..12);
    let (seen, _) = run(&wire.segs);
    assert_unmarked_pairs_are_right(&seen, "far back");
}

/// Content that is sent again from far back makes no pair uncertain: it is content whatever it says.
#[test]
fn an_upload_that_is_sent_again_is_a_whole_exchange() {
    let mut wire = Wire::open([1000, 2000], 1448);
    ask(&mut wire, 0..1);
    let body = vec![b'x'; 60_000];
    wire.send(true, &[b"POST /1 HTTP/1.1\r\nContent-Length: 60000\r\n\r\n", &body[..40_000]].concat());
    let back = Seg { seq: wire.next[0].wrapping_sub(30_000), ..thrown(&wire, 0, &body[..1448]) };
    wire.segs.push(back);
    wire.send(true, &body[40_000..]);
    wire.ack(false);
    wire.send(false, &answer(1));
    ask(&mut wire, 2..5);
    let (seen, _) = run(&wire.segs);
    assert_eq!(seen.len(), 5);
    assert!(seen.iter().all(|e| e.completeness.is_whole()), "{seen:?}");
    assert!(seen.iter().any(|e| e.anomalies.contains(Anomaly::TcpOverlapUnchecked)));
}

/// The first bytes of a connection, before it is known to be HTTP.
#[test]
fn what_differs_before_the_first_request_is_known_is_remembered() {
    let rest = [b" HTTP/1.1\r\nHost: h\r\n\r\n".as_slice(), &asked(92)].concat();
    let head = format!("POST /0 HTTP/1.1\r\nContent-Length: {}\r\n\r\n", rest.len());
    let decoy = format!("GET /{}", "9".repeat(head.len() - 5));
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.segs.push(thrown(&wire, 0, decoy.as_bytes()));
    wire.send(true, head.as_bytes());
    wire.send(true, &rest);
    wire.ack(false);
    wire.send(false, &answer(0));
    ask(&mut wire, 1..9);
    let (seen, _) = run(&wire.segs);
    assert_unmarked_pairs_are_right(&seen, "opening");
}

/// Whoever throws decoys is held to what he asks all the same.
#[test]
fn what_is_asked_behind_a_decoy_is_acknowledged() {
    let decoy = [asked(90), asked(91)].concat();
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.segs.push(thrown(&wire, 0, &decoy));
    wire.send(true, &padded(0, decoy.len()));
    wire.ack(false);
    wire.send(false, &answer(0));
    for n in 1..5 {
        wire.send(true, &[asked(2 * n), asked(2 * n + 1)].concat());
        wire.ack(false);
        wire.send(false, &[answer(2 * n), answer(2 * n + 1)].concat());
        wire.ack(true);
    }
    let (seen, _) = run(&wire.segs);
    asks_all(&seen, 2..10, "behind a decoy");
    let asked = seen.iter().filter(|e| e.request.is_some());
    let told: Vec<_> = asked.map(|e| (request_id(e), e.acknowledged, e.completeness)).collect();
    assert!(told.iter().all(|(_, acknowledged, _)| *acknowledged), "{told:?}");
}

/// The mirror shows a request before the answer that its sender had, and the last byte of it again from before that.
#[test]
fn what_overlaps_a_piece_that_waits_leaves_the_rest_of_it() {
    let mut wire = Wire::open([1000, 2000], 1448);
    ask(&mut wire, 0..1);
    wire.send(true, &asked(1));
    let early = wire.next[1];
    wire.send(false, &answer(1));
    let shown = wire.segs.pop().unwrap();
    wire.send(true, &asked(2));
    let last = wire.segs.last().unwrap().clone();
    let at = last.data.len() - 1;
    wire.segs.push(Seg { seq: last.seq + at as u32, ack: early, data: last.data[at..].to_vec(), ..last });
    wire.segs.push(shown);
    wire.ack(false);
    wire.send(false, &answer(2));
    ask(&mut wire, 3..5);
    let (seen, _) = run(&wire.segs);
    assert_eq!(seen.len(), 5, "{seen:?}");
    assert!(seen.iter().all(|e| e.request.is_some() && e.response.is_some()), "{seen:?}");
}

/// A keep-alive probe with a byte of its own, behind a request whose acknowledgement the mirror lost.
#[test]
fn a_probe_contests_nothing() {
    let mut wire = Wire::open([1000, 2000], 1448);
    ask(&mut wire, 0..2);
    wire.send(true, &asked(2));
    wire.ts += 30_000_000_000;
    let probe = Seg { seq: wire.next[0].wrapping_sub(1), flags: ACK, ..thrown(&wire, 0, b"\0") };
    wire.segs.push(probe);
    wire.send(false, &answer(2));
    ask(&mut wire, 3..6);
    let (seen, _) = run(&wire.segs);
    assert!(seen.len() == 6 && seen.iter().all(|e| e.completeness.is_whole()), "{seen:?}");
    // Where it may be a line's end of something that goes on, another byte than the first one is told and believed by nobody.
    let mut wire = Wire::open([1000, 2000], 1448);
    ask(&mut wire, 0..1);
    wire.send(true, b"POST /1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;e\r\nx\r\n0;e\r\n\r\n");
    wire.segs.push(Seg { seq: wire.next[0].wrapping_sub(1), ..thrown(&wire, 0, b"\0") });
    wire.send(false, &answer(1));
    let (seen, _) = run(&wire.segs);
    assert!(!seen[1].completeness.is_whole());
}

/// Ports used again at once, of which the SYN was lost, on numbers that are near to the old ones.
#[test]
fn a_syn_ack_of_the_server_begins_a_connection_on_near_numbers_too() {
    for by in [[-3_000, 200_000], [200_000, 200_000], [-3_000, -3_000]] {
        let mut wire = Wire::open([1_000_000, 2_000_000], 1448);
        ask(&mut wire, 0..2);
        let from = [0, 1].map(|side| wire.next[side].wrapping_add_signed(by[side]));
        let mut again = Wire::open(from, 1448);
        ask(&mut again, 2..4);
        wire.segs.extend(again.segs.into_iter().skip(1).map(|s| Seg { ts: s.ts + 5_000_000_000, ..s }));
        let (seen, _) = run(&wire.segs);
        asks_all(&seen, 0..4, &format!("{by:?}"));
        assert!(seen.iter().all(|e| e.response.is_some() && e.completeness.is_whole()), "{by:?} {seen:?}");
        assert_unmarked_pairs_are_right(&seen, "near");
        // The client's own changes nothing.
        let mut wire = Wire::open([1_000_000, 2_000_000], 1448);
        ask(&mut wire, 0..2);
        wire.segs.push(Seg { flags: SYN | ACK, seq: from[0], ..thrown(&wire, 0, b"") });
        ask(&mut wire, 2..4);
        assert!(run(&wire.segs).0.iter().all(|e| e.acknowledged && e.completeness.is_whole()));
    }
}

/// Half of the preface of HTTP/2 on a mirror that does not show the server.
#[test]
fn only_the_whole_preface_with_its_settings_changes_the_protocol() {
    let frame = b"SM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64".as_slice();
    for (behind, seen) in [(&b""[..], true), (b"SM\r\n\r\n", true), (frame, false)] {
        let mut wire = Wire::open([1000, 2000], 1448);
        wire.send(true, b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
        wire.send(true, &[b"PRI * HTTP/2.0\r\n\r\n", behind].concat());
        (0..4).for_each(|n| wire.send(true, &asked(n)));
        wire.segs.retain(|s| s.up);
        let all = targets(&run(&wire.segs).0);
        assert_eq!(all.contains(&"/3".to_owned()), seen, "{behind:?} {all:?}");
    }
}

/// Requests that nobody answers take room that counts, and little of it.
#[test]
fn requests_that_are_given_up_take_no_room() {
    for methods in [["GET", "GET"], ["GET", "HEAD"]] {
        let mut wire = Wire::open([1000, 2000], 1448);
        for n in 0..9_000 {
            wire.send(true, format!("{} / HTTP/1.0\n\n", methods[n % 2]).as_bytes());
        }
        let mut table = FlowTable::new(0, &FlowLimits::default(), Arc::from([Zone::default()]));
        let (client, server) = (addr(1, 40_000), addr(2, 80));
        let mut told = 0;
        wire.segs.iter().for_each(|s| table.segment(&s.segment(client, server), &mut |_| told += 1));
        let open = FlowLimits::default().open_requests;
        assert!(told >= 9_000 - open, "{told}");
        assert!(table.held_bytes() < open * 700 + (64 << 10), "{methods:?} {}", table.held_bytes());
        assert!(methods[1] == "HEAD" || table.held_bytes() > open * 384);
        table.finish(&mut |_| told += 1);
        assert_eq!(told, 9_000);
    }
}

/// Room is made by those who wait for nothing before those whose server takes its time.
#[test]
fn a_request_that_its_server_has_is_waited_for() {
    let limits = FlowLimits { flows: 40, flows_room: 0, ..FlowLimits::default() };
    let mut table = FlowTable::new(0, &limits, Arc::from([Zone::default()]));
    let mut seen: Vec<Exchange> = Vec::new();
    let mut at = |seconds: i64, port: u16, answered: bool, seen: &mut Vec<Exchange>| {
        let mut wire = Wire::open([1000, 2000], 1448);
        wire.send(true, &asked(usize::from(port)));
        wire.ack(false);
        if answered {
            wire.send(false, &answer(usize::from(port)));
        }
        for seg in &mut wire.segs {
            seg.ts += seconds * 1_000_000_000;
            let segment = seg.segment(addr(1, port), addr(2, 80));
            table.tick(segment.ts, &mut |e| seen.push(e));
            table.segment(&segment, &mut |e| seen.push(e));
        }
    };
    (0..39).for_each(|n| at(0, 1_000 + n, true, &mut seen));
    at(20, 5_000, false, &mut seen);
    // A flood at 50 s: of those before, the answered ones have been silent for longer.
    (0..39).for_each(|n| at(50, 10_000 + n, true, &mut seen));
    assert!(!seen.iter().any(|e| request_id(e).as_deref() == Some("/5000")), "cut while its server worked");
}

/// Single segments of made-up senders, which nobody answers, take no connection's room.
#[test]
fn a_flood_of_lone_segments_tears_no_connection() {
    let limits = FlowLimits { flows: 60, flows_room: 0, ..FlowLimits::default() };
    let mut table = FlowTable::new(0, &limits, Arc::from([Zone::default()]));
    let mut seen: Vec<Exchange> = Vec::new();
    let mut honest: Vec<Wire> = (0..30).map(|_| Wire::open([1000, 2000], 1448)).collect();
    for round in 0..6i64 {
        for (n, wire) in honest.iter_mut().enumerate() {
            wire.send(true, &asked(n));
            wire.ack(false);
            wire.send(false, &answer(n));
            wire.ack(true);
            for mut seg in std::mem::take(&mut wire.segs) {
                seg.ts = round * 10_000_000_000 + n as i64 * 1_000;
                let segment = seg.segment(addr(1, 20_000 + n as u16), addr(2, 80));
                table.tick(segment.ts, &mut |e| seen.push(e));
                table.segment(&segment, &mut |e| seen.push(e));
            }
        }
        for n in 0..2_000 {
            let ts = round * 10_000_000_000 + 1_000_000_000 + n * 4_000_000;
            let data = b"G".to_vec();
            let seg = Seg { up: true, seq: n as u32, ack: 7, flags: ACK | PSH, data, ts, snapped: 0 };
            let source = Addr { ip: IpAddr::V4(Ipv4Addr::from(0x0b00_0000 + n as u32)), port: 4000 };
            let segment = seg.segment(source, addr(2, 80));
            table.tick(segment.ts, &mut |e| seen.push(e));
            table.segment(&segment, &mut |e| seen.push(e));
        }
    }
    let whole = seen.iter().filter(|e| e.completeness.is_whole()).count();
    assert_eq!(whole, 180, "torn");
}

/// Requests whose method comes in two pieces, behind a line that some servers take for a request.
#[test]
fn what_some_servers_take_for_a_request_hides_none() {
    for line in [
        "SOURCE /shape ICE/1.1\r\nHost: h\r\n\r\n",
        "DESCRIBE /shape RTSP/1.1\r\nHost: h\r\n\r\n",
        "DESCRIBE rtsp://h/shape RTSP/1.1\r\nHost: h\r\n\r\n",
        "POST /shape HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        let mut wire = Wire::open([1000, 2000], 1448);
        ask(&mut wire, 0..1);
        wire.send(true, line.as_bytes());
        wire.ack(false);
        wire.send(false, OK);
        wire.ack(true);
        for n in 1..9 {
            let (first, rest) = (&asked(n)[..2], &asked(n)[2..]);
            wire.send(true, first);
            wire.send(true, rest);
            wire.ack(false);
            wire.send(false, &answer(n));
            wire.ack(true);
        }
        let (seen, _) = run(&wire.segs);
        asks_all(&seen, 1..9, line);
        assert_unmarked_pairs_are_right(&seen, line);
        let answered = |e: &&Exchange| e.request.is_some() && e.response.is_some();
        assert!(seen.iter().filter(answered).count() >= 8, "{line} {seen:?}");
    }
}

/// The rest of a head that is too long says that the connection changes: what is sent behind it may never be read.
#[test]
fn an_upgrade_at_the_end_of_a_long_head_is_heard() {
    for (last, body) in [("Connection: upgrade\r\nUpgrade: h2c\r\n", ""), ("Expect: 100-continue\r\n", "")] {
        let mut wire = Wire::open([1000, 2000], 1448);
        ask(&mut wire, 0..1);
        let pad = format!("X-Pad: {}\r\n", "p".repeat(1000)).repeat(80);
        let head = format!("GET /1 HTTP/1.1\r\n{pad}Host: h\r\n{last}\r\n{body}");
        let behind = if last.starts_with('C') { asked(90) } else { Vec::new() };
        wire.send(true, &[head.as_bytes(), &behind].concat());
        wire.ack(false);
        wire.send(false, &answer(1));
        wire.ack(true);
        ask(&mut wire, 2..10);
        let (seen, _) = run(&wire.segs);
        assert_unmarked_pairs_are_right(&seen, last);
        asks_all(&seen, 2..10, last);
        assert!(!seen.iter().any(|e| e.anomalies.contains(Anomaly::HostMissing)), "Host is there");
    }
}

/// Of these shapes servers differ in where the message ends, or whether it is answered at all.
#[test]
fn where_servers_differ_nothing_is_certain() {
    let chunked = "POST /1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n";
    for shape in [
        "GET /1 HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n".to_owned(),
        format!("{chunked}0\r\nX: y\n\n"),
        format!("{chunked}0\r\n\r\r\n"),
    ] {
        let mut wire = Wire::open([1000, 2000], 1448);
        ask(&mut wire, 0..1);
        wire.send(true, shape.as_bytes());
        wire.ack(false);
        // This one swallows the shape, or the request behind it.
        for n in 2..10 {
            wire.send(true, &asked(n));
            wire.ack(false);
            wire.send(false, &answer(n));
            wire.ack(true);
        }
        let (seen, _) = run(&wire.segs);
        assert_unmarked_pairs_are_right(&seen, &shape);
        asks_all(&seen, 2..10, &shape);
    }
}

/// Handshakes that nobody answers make room for each other.
#[test]
fn a_flood_of_handshakes_evicts_no_connection() {
    let limits = FlowLimits { flows: 100, flows_room: 0, ..FlowLimits::default() };
    let mut table = FlowTable::new(0, &limits, Arc::from([Zone::default()]));
    let mut seen: Vec<Exchange> = Vec::new();
    let mut wires: Vec<(u16, Wire)> = (0..20).map(|n| (1_000 + n, Wire::open([1000, 2000], 1448))).collect();
    let mut feed = |segs: &mut Vec<Seg>, port: u16, at: i64| {
        for mut seg in segs.drain(..) {
            seg.ts = at;
            let segment = seg.segment(addr(1, port), addr(2, 80));
            table.tick(segment.ts, &mut |e| seen.push(e));
            table.segment(&segment, &mut |e| seen.push(e));
        }
    };
    for round in 0..6 {
        let start = round * 10_000_000_000;
        for (port, wire) in &mut wires {
            ask(wire, round as usize..round as usize + 1);
            feed(&mut wire.segs, *port, start);
        }
        // A thousand in a second fill the table many times.
        for n in 0..9_900_u16 {
            let mut syn = vec![Wire::open([7, 9], 1448).segs.remove(0)];
            feed(&mut syn, 10_000 + n, start + i64::from(n) * 1_000_000);
        }
    }
    assert_eq!(seen.len(), 120);
    assert!(seen.iter().all(|e| e.completeness.is_whole()), "{seen:?}");
}

/// A SYN-ACK of the client before its SYN, on whatever numbers: who asks is who sent the SYN that was answered.
#[test]
fn a_syn_ack_before_the_syn_makes_nobody_a_server() {
    for (own, other, reset) in
        [(0, 77, false), (0, 77, true), (-1, 77, true), (5_000, 77, true), (0, 2_000, true)]
    {
        let mut wire = Wire::open([1000, 2000], 1448);
        ask(&mut wire, 0..5);
        let seq = 1000_u32.wrapping_add_signed(own);
        let unasked = Seg { seq, ack: other, flags: SYN | ACK, ts: -2_000, ..thrown(&wire, 0, b"") };
        let refused = Seg { up: false, seq: other, ack: 0, flags: RST, ts: -1_000, ..unasked.clone() };
        let first = [vec![unasked], if reset { vec![refused] } else { vec![] }].concat();
        let segs = [first, wire.segs].concat();
        let (seen, _) = run(&segs);
        assert!(
            seen.len() == 5 && seen.iter().all(|e| e.completeness.is_whole() && e.acknowledged),
            "{own} {other} {seen:?}"
        );
        assert!(seen.iter().all(|e| e.flow.client == addr(1, 40_000)));
    }
}

/// What stands behind CONNECT before its answer came, some servers drop.
#[test]
fn what_is_behind_a_refused_connect_may_never_be_read() {
    for dropped in [false, true] {
        let mut wire = Wire::open([1000, 2000], 1448);
        ask(&mut wire, 0..1);
        wire.send(true, &[&b"CONNECT /1 HTTP/1.1\r\nHost: h\r\n\r\n"[..], &asked(2)].concat());
        wire.ack(false);
        let refusal = "HTTP/1.1 405 No\r\nContent-Length: 2\r\n\r\nno";
        wire.send(false, refusal.as_bytes());
        if !dropped {
            wire.send(false, &answer(2));
        }
        wire.ack(true);
        ask(&mut wire, 3..12);
        let (seen, _) = run(&wire.segs);
        assert_unmarked_pairs_are_right(&seen, &format!("{dropped}"));
        asks_all(&seen, 3..12, "connect");
    }
}

/// An application says 101 because its caller wants it to, or a client asks for a protocol that nobody knows.
#[test]
fn a_101_that_changes_nothing_ends_no_reading() {
    for asks in ["", "Connection: upgrade\r\nUpgrade: x\r\n"] {
        let mut wire = Wire::open([1000, 2000], 1448);
        ask(&mut wire, 0..1);
        wire.send(true, format!("GET /1 HTTP/1.1\r\nHost: h\r\n{asks}\r\n").as_bytes());
        wire.ack(false);
        wire.send(false, b"HTTP/1.1 101 Switching Protocols\r\nX-Id: 1\r\n\r\n");
        wire.ack(true);
        ask(&mut wire, 2..8);
        let (seen, _) = run(&wire.segs);
        assert_eq!(targets(&seen).len(), 8, "{asks}");
        assert!(seen.iter().all(|e| e.completeness.is_whole() && e.acknowledged), "{asks} {seen:?}");
        assert_unmarked_pairs_are_right(&seen, asks);
    }
}

/// A stream that its client breaks off is truncated, and was not silent.
#[test]
fn a_connection_that_was_reset_did_not_idle() {
    let mut table = FlowTable::new(0, &FlowLimits::default(), Arc::from([Zone::default()]));
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.send(true, &asked(1));
    wire.send(false, b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
    wire.ack(true);
    wire.segs.push(Seg { flags: RST | ACK, ..thrown(&wire, 0, b"") });
    let mut seen: Vec<Exchange> = Vec::new();
    for seg in &wire.segs {
        let segment = seg.segment(addr(1, 40_000), addr(2, 80));
        table.tick(segment.ts, &mut |e| seen.push(e));
        table.segment(&segment, &mut |e| seen.push(e));
    }
    let later = wire.segs[0].segment(addr(1, 40_000), addr(2, 80)).ts.plus(60_000_000_000);
    table.tick(later, &mut |e| seen.push(e));
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].completeness.names().collect::<Vec<_>>(), ["response-truncated"]);
}
