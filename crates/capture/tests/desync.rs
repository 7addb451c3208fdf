//! What somebody sends to be taken for another protocol, another's answer, or more or fewer requests than his server reads: docs/capture.md.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{ACK, OK, PSH, SYN, Seg, Wire, addr, request_id, response_id, run_usual as run, targets};
use sidetap_capture::{Carried, FlowLimits, FlowTable};
use sidetap_model::{Anomaly, Completeness, Exchange, Zone};
use std::sync::Arc;

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
}

/// Requests one after the other, each answered.
fn ask(wire: &mut Wire, targets: &[&str]) {
    for target in targets {
        wire.send(true, &get(target));
        wire.ack(false);
        wire.send(false, OK);
        wire.ack(true);
    }
}

const LATER: [&str; 4] = ["/a", "/b", "/c", "/d"];

fn has_all(seen: &[Exchange], what: &str) {
    let all = targets(seen);
    assert!(LATER.iter().all(|t| all.iter().any(|seen| seen == t)), "{what}: {all:?}");
}

/// A request of a number, and its answer, which names it.
fn asked(n: usize) -> Vec<u8> {
    format!("GET /{n} HTTP/1.1\r\nHost: h\r\nX-Id: {n}\r\n\r\n").into_bytes()
}

fn answer(n: usize) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Id: {n}\r\n\r\nok").into_bytes()
}

/// Requests of these numbers one after the other, each answered.
fn ask_numbers(wire: &mut Wire, numbers: std::ops::Range<usize>) {
    for n in numbers {
        wire.send(true, &asked(n));
        wire.ack(false);
        wire.send(false, &answer(n));
        wire.ack(true);
    }
}

/// Whether the answer is to this request, by the number that both have.
fn is_right(e: &Exchange) -> bool {
    let asked = request_id(e).map(|id| id.trim_start_matches('/').to_owned());
    asked.is_some() && asked == response_id(e)
}

fn assert_unmarked_pairs_are_right(seen: &[Exchange]) {
    for e in seen.iter().filter(|e| e.completeness.is_whole()) {
        assert!(is_right(e) || response_id(e).is_none(), "{:?} {:?}", request_id(e), response_id(e));
    }
}

#[test]
fn a_preface_amid_a_connection_is_a_request_like_others() {
    for line in ["PRI /x HTTP/2.0\r\nHost: h\r\n\r\n", "PRI * HTTP/2.0\r\n\r\n"] {
        let mut wire = Wire::open([1000, 2000], 1448);
        ask(&mut wire, &["/first"]);
        wire.send(true, line.as_bytes());
        wire.ack(false);
        wire.send(false, OK);
        wire.ack(true);
        ask(&mut wire, &LATER);
        wire.close(true);
        let (seen, _) = run(&wire.segs);
        has_all(&seen, line);
        assert_eq!(seen.len(), 6, "{line}");
        assert!(seen.iter().all(|e| e.response.is_some() && e.completeness.is_whole()), "{line}");
    }
}

#[test]
fn what_begins_a_tunnel_that_its_server_answers_in_http_was_no_tunnel() {
    let long = format!("{} /m HTTP/1.1\r\nHost: h\r\n\r\n", "A".repeat(70));
    for first in [long.as_str(), "USER /a HTTP/1.1\r\nHost: h\r\n\r\n", "\0\x01\x02 no request\r\n\r\n"] {
        let mut wire = Wire::open([1000, 2000], 1448);
        wire.send(true, b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n");
        wire.ack(false);
        wire.send(false, b"HTTP/1.1 204 No Content\r\n\r\n");
        wire.ack(true);
        wire.send(true, first.as_bytes());
        wire.ack(false);
        wire.send(false, OK);
        wire.ack(true);
        ask(&mut wire, &LATER);
        wire.close(true);
        let (seen, _) = run(&wire.segs);
        has_all(&seen, first);
    }
}

#[test]
fn a_request_that_names_version_0_9_has_a_head() {
    let mut wire = Wire::open([1000, 2000], 1448);
    let first = b"GET /zero HTTP/0.9\r\nHost: h\r\nConnection: keep-alive\r\n\r\n";
    wire.send(true, &[&first[..], &get("/a"), &get("/b")].concat());
    wire.ack(false);
    wire.send(false, &OK.repeat(3));
    wire.ack(true);
    ask(&mut wire, &["/c", "/d"]);
    wire.close(true);
    let (seen, _) = run(&wire.segs);
    has_all(&seen, "0.9");
    assert!(seen.iter().all(|e| e.response.is_some()));
}

#[test]
fn the_last_of_many_fields_frames_a_message_too() {
    let inner = b"POST /cover HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n";
    for fields in [100, 520, 1100, 3000] {
        let head = format!(
            "POST /one HTTP/1.1\r\nHost: h\r\n{}Content-Length: {}\r\n\r\n",
            "a:b\r\n".repeat(fields),
            inner.len()
        );
        let mut wire = Wire::open([1000, 2000], 1448);
        wire.send(true, &[head.as_bytes(), inner].concat());
        wire.ack(false);
        wire.send(false, OK);
        wire.ack(true);
        ask(&mut wire, &LATER);
        wire.close(true);
        let (seen, _) = run(&wire.segs);
        has_all(&seen, &format!("{fields} fields"));
        assert_eq!(seen.len(), 5, "{fields}");
        assert!(seen.iter().all(|e| e.response.is_some()), "{fields}");
    }
}

#[test]
fn a_framing_line_of_a_head_that_is_too_long_is_read_whole() {
    let body = b"POST /cover HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999\r\n\r\n";
    let pad = format!("X-Pad: {}\r\n", "a".repeat(1000)).repeat(160);
    let spaces = " ".repeat(600);
    let zeros = "0".repeat(70_000);
    for line in
        [format!("Content-Length:{spaces}{}", body.len()), format!("Content-Length: {zeros}{}", body.len())]
    {
        let mut wire = Wire::open([1000, 2000], 1448);
        wire.send(true, format!("POST /one HTTP/1.1\r\nHost: h\r\n{pad}{line}\r\n\r\n").as_bytes());
        wire.send(true, body);
        wire.ack(false);
        wire.send(false, OK);
        wire.ack(true);
        ask(&mut wire, &LATER);
        wire.close(true);
        has_all(&run(&wire.segs).0, &line);
    }
}

/// A body that goes on for ever in the eyes of who reads a length otherwise than the server does.
#[test]
fn a_second_answer_ends_what_was_taken_for_content() {
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.send(true, b"POST /odd HTTP/1.1\r\nHost: h\r\nContent-Length: 5000000\r\n\r\n");
    wire.ack(false);
    wire.send(false, OK);
    wire.ack(true);
    ask(&mut wire, &["/x", "/y", "/a", "/b", "/c", "/d"]);
    wire.close(true);
    let (seen, _) = run(&wire.segs);
    has_all(&seen, "content");
    assert!(seen[0].completeness.contains(Completeness::REQUEST_TRUNCATED));
    // It is judged by what was seen of it.
    assert!(seen[0].request.as_ref().is_some_and(|r| r.body.gap_at.is_some()));
}

#[test]
fn what_stands_behind_a_request_for_another_protocol_pairs_with_nothing_unmarked() {
    let up = b"GET /up HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.send(true, &[&up[..], &get("/dropped")].concat());
    wire.ack(false);
    wire.send(false, OK);
    wire.ack(true);
    ask_numbers(&mut wire, 0..12);
    wire.close(true);
    let (seen, _) = run(&wire.segs);
    assert_unmarked_pairs_are_right(&seen);
    let right = seen.iter().filter(|e| is_right(e)).count();
    assert!(right >= 6, "{right}");
}

/// A decoy that only its sender and the mirror see, with two requests where the server reads one.
#[test]
fn after_a_decoy_no_pair_is_wrong_without_a_mark() {
    let real = format!("GET /{} HTTP/1.1\r\nHost: h\r\nX-Id: 0\r\n\r\n", "r".repeat(60)).into_bytes();
    let decoy =
        b"GET /1 HTTP/1.1\r\nHost: h\r\nX-Id: d\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\nX-Id: e\r\n".to_vec();
    let decoy = [&decoy[..], &vec![b'x'; real.len() - decoy.len() - 4], b"\r\n\r\n"].concat();
    assert_eq!(decoy.len(), real.len());
    let mut wire = Wire::open([1000, 2000], 1448);
    let seq = wire.next[0];
    wire.segs.push(Seg {
        up: true,
        seq,
        ack: wire.next[1],
        flags: ACK | PSH,
        data: decoy,
        ts: wire.ts + 10,
        snapped: 0,
    });
    wire.send(true, &real);
    wire.ack(false);
    wire.send(false, &answer(0));
    wire.ack(true);
    ask_numbers(&mut wire, 1..12);
    wire.close(true);
    let (seen, _) = run(&wire.segs);
    assert_unmarked_pairs_are_right(&seen);
    assert!(seen.iter().any(|e| e.anomalies.contains(Anomaly::TcpOverlapDiffers)));
}

#[test]
fn joined_late_a_connection_is_no_other_protocol_by_half_a_line() {
    for word in ["USER /z", "SSH-A /z", "HELO /z", "* OK /z"] {
        let mut wire = Wire::open([1000, 2000], 1448);
        wire.segs.clear();
        wire.send(true, word.as_bytes());
        wire.ack(false);
        wire.send(true, b" HTTP/1.1\r\nHost: h\r\n\r\n");
        wire.ack(false);
        wire.send(false, OK);
        wire.ack(true);
        ask(&mut wire, &LATER);
        wire.close(true);
        has_all(&run(&wire.segs).0, word);
    }
}

#[test]
fn joined_in_a_long_download_a_connection_goes_on_behind_it() {
    let mut wire = Wire::open([1000, 2000], 60_000);
    wire.segs.clear();
    for _ in 0..1500 {
        wire.send(false, &[b'x'; 60_000]);
        wire.ack(true);
    }
    ask(&mut wire, &LATER);
    wire.close(true);
    has_all(&run(&wire.segs).0, "download");
}

#[test]
fn what_is_more_than_is_kept_behind_connect_is_read() {
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.send(true, b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n");
    for n in 0..2000 {
        wire.send(true, &get(&format!("/pad{n:04}")));
    }
    wire.ack(false);
    wire.send(false, b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n");
    wire.ack(true);
    wire.send(false, &OK.repeat(2000));
    wire.ack(true);
    ask(&mut wire, &LATER);
    wire.close(true);
    let (seen, _) = run(&wire.segs);
    has_all(&seen, "connect");
    let pads = targets(&seen).into_iter().filter(|t| t.starts_with("/pad")).count();
    assert_eq!((pads, seen.iter().filter(|e| e.gap_bytes > 0).count()), (2000, 0));
    assert!(!seen.iter().any(|e| e.anomalies.contains(Anomaly::HostDuplicate)), "two requests in one");
}

#[test]
fn what_is_next_in_order_wins_over_what_came_ahead_of_it() {
    let mut wire = Wire::open([1000, 2000], 1448);
    ask(&mut wire, &["/first"]);
    let request = get("/a");
    let (seq, ack, ts) = (wire.next[0], wire.next[1], wire.ts);
    let ahead = |by: u32, data: &[u8]| Seg {
        up: true,
        seq: seq.wrapping_add(by),
        ack,
        flags: ACK | PSH,
        data: data.to_vec(),
        ts: ts + 10,
        snapped: 0,
    };
    wire.segs.push(ahead(1, &get("/x")[..request.len() - 3]));
    // A probe of one byte, which the mirror shows before what it repeats, says nothing.
    wire.segs.push(ahead(request.len() as u32 - 1, b"\0"));
    wire.send(true, &request);
    wire.ack(false);
    wire.send(false, OK);
    wire.ack(true);
    ask(&mut wire, &["/b", "/c", "/d"]);
    wire.close(true);
    let (seen, _) = run(&wire.segs);
    has_all(&seen, "ahead");
    assert!(seen.iter().all(|e| e.request.as_ref().is_none_or(|r| r.target != b"/x")));
    assert!(seen.iter().any(|e| e.anomalies.contains(Anomaly::TcpOverlapDiffers)));
}

#[test]
fn a_probe_before_what_it_repeats_changes_and_says_nothing() {
    let mut wire = Wire::open([1000, 2000], 1448);
    ask(&mut wire, &["/first"]);
    let request = get("/a");
    let seq = wire.next[0].wrapping_add(request.len() as u32 - 1);
    let (ack, ts) = (wire.next[1], wire.ts + 10);
    wire.segs.push(Seg { up: true, seq, ack, flags: ACK, data: b"\0".to_vec(), ts, snapped: 0 });
    ask(&mut wire, &LATER);
    wire.close(true);
    let (seen, _) = run(&wire.segs);
    has_all(&seen, "probe");
    assert!(seen.iter().all(|e| e.completeness.is_whole() && e.anomalies.is_empty()), "{seen:?}");
}

#[test]
fn a_syn_ack_of_the_client_inside_its_connection_turns_nothing_round() {
    let mut wire = Wire::open([1000, 2000], 1448);
    ask(&mut wire, &["/first"]);
    let (seq, ack, ts) = (wire.next[0].wrapping_sub(1), wire.next[1], wire.ts + 10);
    wire.segs.push(Seg { up: true, seq, ack, flags: SYN | ACK, data: vec![], ts, snapped: 0 });
    // The challenge that it draws (RFC 5961 §4).
    wire.ack(false);
    ask(&mut wire, &LATER);
    wire.close(true);
    let (seen, _) = run(&wire.segs);
    has_all(&seen, "syn-ack");
    assert!(seen.iter().all(|e| e.acknowledged && e.completeness.is_whole()));
}

/// Runs segments, some of them in a tunnel that is not trusted.
fn run_foreign(segs: &[(Seg, u32)]) -> Vec<Exchange> {
    let mut table = FlowTable::new(0, &FlowLimits::default(), Arc::from([Zone::default()]));
    let mut seen = Vec::new();
    for (seg, foreign) in segs {
        let mut segment = seg.segment(addr(1, 40_000), addr(2, 80));
        segment.carried = Carried { foreign: *foreign, ..Carried::default() };
        table.segment(&segment, &mut |e| seen.push(e));
    }
    table.finish(&mut |e| seen.push(e));
    seen
}

#[test]
fn what_comes_in_an_untrusted_tunnel_speaks_for_nobody_outside_of_it() {
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.send(true, b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let (seq, ack, ts) = (wire.next[1], wire.next[0], wire.ts + 10);
    let forged = Seg { up: false, seq, ack, flags: ACK | PSH, data: switch.to_vec(), ts, snapped: 0 };
    let at = wire.segs.len();
    wire.ack(false);
    wire.send(false, OK);
    wire.ack(true);
    ask(&mut wire, &LATER);
    wire.close(true);
    let mut segs: Vec<(Seg, u32)> = wire.segs.iter().map(|s| (s.clone(), 0)).collect();
    segs.insert(at, (forged, 7));
    let seen = run_foreign(&segs);
    has_all(&seen, "tunnel");
    // A whole conversation in such a tunnel is told, marked, and no server's word.
    let seen = run_foreign(&wire.segs.iter().map(|s| (s.clone(), 9)).collect::<Vec<_>>());
    assert_eq!(seen.len(), 5);
    assert!(seen.iter().all(|e| e.anomalies.contains(Anomaly::TunnelUntrusted) && !e.acknowledged));
}

/// One side alone is seen, and says things far from where it stands: nobody tells which place is the right one.
#[test]
fn of_two_places_where_one_side_alone_goes_on_both_are_told() {
    let mut wire = Wire::open([1000, 2000], 1448);
    let mut far = wire.next[0].wrapping_add(1 << 30);
    for target in ["/first", "/second"] {
        wire.send(true, &get(target));
    }
    let mut asked = Vec::new();
    for round in 0..10 {
        for _ in 0..if round == 0 { 4 } else { 1 } {
            let (ack, ts) = (wire.next[1], wire.ts + 10);
            let data = vec![b'z'; 40];
            wire.segs.push(Seg { up: true, seq: far, ack, flags: ACK | PSH, data, ts, snapped: 0 });
            far = far.wrapping_add(40);
        }
        for n in 0..3 {
            asked.push(format!("/secret{round}-{n}"));
            wire.send(true, &get(&asked[asked.len() - 1]));
        }
    }
    wire.segs.retain(|s| s.up);
    let seen = targets(&run(&wire.segs).0);
    let missing: Vec<_> = asked.iter().filter(|a| !seen.contains(a)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn content_of_connect_may_be_the_next_request_and_pairs_say_so() {
    let inner = get("/inner");
    let head = format!("CONNECT x:80 HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", inner.len());
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.send(true, &[head.as_bytes(), &inner, &asked(0)].concat());
    wire.ack(false);
    wire.send(
        false,
        &[b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno".to_vec(), answer(78), answer(0)].concat(),
    );
    wire.ack(true);
    ask_numbers(&mut wire, 1..6);
    wire.close(true);
    assert_unmarked_pairs_are_right(&run(&wire.segs).0);
}

#[test]
fn a_fin_that_the_mirror_shows_behind_its_acknowledgement_ends_the_direction() {
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.send(true, &get("/a"));
    wire.ack(false);
    wire.send(false, b"HTTP/1.0 200 OK\r\n\r\nuntil the close");
    wire.fin(false);
    wire.ack(true);
    wire.fin(true);
    wire.ack(false);
    let n = wire.segs.len();
    wire.segs.swap(n - 4, n - 3);
    wire.segs.swap(n - 2, n - 1);
    let (seen, _) = run(&wire.segs);
    assert_eq!(targets(&seen), ["/a"]);
    assert!(seen[0].completeness.is_whole() && seen[0].response.is_some(), "{:?}", seen[0].completeness);
}

#[test]
fn answers_to_requests_before_an_upload_say_nothing_of_it() {
    let mut wire = Wire::open([1000, 2000], 1448);
    let upload = b"POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 3000\r\n\r\n";
    wire.send(true, &[&get("/a")[..], &get("/b"), upload, &[b'x'; 100]].concat());
    wire.ack(false);
    wire.send(false, &OK.repeat(2));
    wire.ack(true);
    wire.send(true, &[b'x'; 2000]);
    wire.send(true, &[&[b'x'; 900][..], &get("/c")].concat());
    wire.ack(false);
    wire.send(false, &OK.repeat(2));
    wire.ack(true);
    ask(&mut wire, &["/d"]);
    wire.close(true);
    let (seen, _) = run(&wire.segs);
    has_all(&seen, "upload");
    assert!(seen.iter().all(|e| e.response.is_some() && e.completeness.is_whole()), "{:?}", targets(&seen));
}

#[test]
fn where_one_side_alone_is_seen_half_a_line_makes_no_other_protocol() {
    for late in [false, true] {
        let mut wire = Wire::open([1000, 2000], 1448);
        if late {
            wire.segs.clear();
        }
        wire.send(true, b"USER /z");
        wire.send(true, b" HTTP/1.1\r\nHost: h\r\n\r\n");
        for target in LATER {
            wire.send(true, &get(target));
        }
        wire.segs.retain(|s| s.up);
        has_all(&run(&wire.segs).0, "one side");
    }
}

/// What may not arrive is believed like any other: else who repeats what arrived hides it.
#[test]
fn what_came_first_stays_whatever_is_odd_of_it() {
    let mut wire = Wire::open([1000, 2000], 1448);
    ask(&mut wire, &["/first"]);
    let real = get("/a");
    let (seq, ts) = (wire.next[0], wire.ts);
    wire.send(true, &real);
    let again = [&b"GET /x"[..], &real[6..]].concat();
    wire.segs.push(Seg {
        up: true,
        seq,
        ack: wire.next[1],
        flags: ACK | PSH,
        data: again,
        ts: ts + 10,
        snapped: 0,
    });
    wire.ack(false);
    wire.send(false, OK);
    wire.ack(true);
    ask(&mut wire, &["/b", "/c", "/d"]);
    wire.close(true);
    let (seen, _) = run(&wire.segs);
    has_all(&seen, "first");
    assert!(!targets(&seen).iter().any(|t| t == "/x"));
    assert!(seen[1].completeness.contains(Completeness::PAIRING_UNCERTAIN));
}
