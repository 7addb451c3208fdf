//! What somebody sends to be read otherwise than his server reads him, or to make reading costly: docs/capture.md, "TCP".

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{ACK, OK, PSH, RST, SYN, Seg, Wire, run_usual as run, targets};
use sidetap_capture::{FlowLimits, FlowTable};
use sidetap_model::{Anomaly, Completeness, Exchange};

const SECRET: &[u8] = b"GET /secret HTTP/1.1\r\nHost: h\r\n\r\n";

/// A segment of the client, this far from its next byte.
fn ahead(wire: &Wire, flags: u8, by: u32, data: &[u8]) -> Seg {
    let seq = wire.next[0].wrapping_add(by);
    let ack = if flags & ACK == 0 { 0 } else { wire.next[1] };
    Seg { up: true, seq, ack, flags, data: data.to_vec(), ts: wire.ts + 1000, snapped: 0 }
}

/// The request that must not be hidden, answered.
fn secret(wire: &mut Wire) {
    wire.ack(false);
    wire.send(true, SECRET);
    wire.ack(false);
    wire.send(false, OK);
    wire.close(true);
}

fn assert_seen(wire: &Wire, what: &str) -> Vec<Exchange> {
    let (seen, _) = run(&wire.segs);
    assert_eq!(targets(&seen).last().map(String::as_str), Some("/secret"), "{what}");
    let last = seen.iter().find(|e| e.request.as_ref().is_some_and(|r| r.target == b"/secret")).unwrap();
    assert!(last.response.is_some() && last.completeness.is_whole(), "{what} {:?}", last.completeness);
    seen
}

#[test]
fn segments_that_no_window_holds_hide_nothing() {
    for by in [0x1000_0001, 0x4000_0000, 0x8000_0000, 0xe000_0000] {
        let mut wire = Wire::open([1000, 2000], 1448);
        for n in 0..9 {
            wire.segs.push(ahead(&wire, ACK | PSH, by + n, b"x"));
        }
        secret(&mut wire);
        assert_seen(&wire, &format!("{by:x}"));
    }
}

#[test]
fn a_syn_that_nobody_answers_hides_nothing() {
    for by in [50_000, 0x0100_0000, 0x4000_0000, 0xfff0_0000] {
        // Right behind the handshake, and in the middle of a connection, with something that seems to follow it.
        for first in [false, true] {
            for follows in [false, true] {
                let mut wire = Wire::open([1000, 2000], 1448);
                if first {
                    wire.send(true, b"GET /first HTTP/1.1\r\nHost: h\r\n\r\n");
                    wire.send(false, OK);
                }
                wire.segs.push(ahead(&wire, SYN, by, b""));
                wire.ack(false);
                if follows {
                    wire.segs.push(ahead(&wire, ACK | PSH, by + 1, b"junk"));
                    wire.ack(false);
                }
                secret(&mut wire);
                let what = format!("{by:x} {first} {follows}");
                let seen = run(&wire.segs).0;
                assert_eq!(targets(&seen).last().map(String::as_str), Some("/secret"), "{what}");
                assert!(seen.iter().all(|e| e.response.is_some()), "{what}");
            }
        }
    }
}

#[test]
fn of_several_syns_the_answered_one_counts() {
    for other in [1_u32, 3000, 501_000, 0x3000_0000, 0xf000_0000] {
        let mut wire = Wire::open([1000, 2000], 1448);
        let decoy = Seg { seq: 1000_u32.wrapping_add(other), ..wire.segs[0].clone() };
        wire.segs.insert(1, decoy.clone());
        secret(&mut wire);
        assert_seen(&wire, &format!("{other:x} behind"));
        let mut wire = Wire::open([1000, 2000], 1448);
        wire.segs.insert(0, decoy);
        secret(&mut wire);
        assert_seen(&wire, &format!("{other:x} before"));
    }
}

#[test]
fn a_connection_that_is_answered_anew_is_another_one() {
    // Its FINs were not seen; nor, in the second round, the answer to its SYN.
    for lost in [None, Some(1)] {
        for isn in [[0x5000_0000, 0x6000_0000], [1_000_000, 3_000_000]] {
            let mut wire = Wire::open([1000, 2000], 1448);
            wire.send(true, b"GET /first HTTP/1.1\r\nHost: h\r\n\r\n");
            wire.send(false, OK);
            let mut again = Wire::open(isn, 1448);
            again.send(true, b"GET /lost HTTP/1.1\r\nHost: h\r\n\r\n");
            again.ack(false);
            again.send(false, OK);
            again.send(true, SECRET);
            again.send(false, OK);
            if let Some(at) = lost {
                again.segs.remove(at);
            }
            wire.segs.extend(again.segs.into_iter().map(|s| Seg { ts: s.ts + 5_000_000_000, ..s }));
            let (seen, table) = run(&wire.segs);
            assert_eq!(targets(&seen).last().map(String::as_str), Some("/secret"), "{lost:?} {isn:?}");
            assert!(table.counters().anomalies().any(|a| a == Anomaly::TcpReuse), "{lost:?} {isn:?}");
            if lost.is_none() {
                assert_eq!(targets(&seen), ["/first", "/lost", "/secret"]);
            }
        }
    }
}

#[test]
fn bytes_far_ahead_do_not_make_the_next_ones_come_too_late() {
    let mut wire = Wire::open([1000, 2000], 1448);
    for n in 0..3000 {
        wire.segs.push(ahead(&wire, ACK | PSH, 1000 + 2 * n, b"x"));
        if n % 2 == 0 {
            wire.ack(false);
        }
    }
    wire.send(true, SECRET);
    wire.ack(false);
    wire.send(false, OK);
    let (seen, table) = run(&wire.segs);
    assert!(targets(&seen).contains(&"/secret".to_owned()));
    assert!(table.counters().streams().discarded["beyond-gap"] >= 900);
}

#[test]
fn a_hole_that_its_receiver_is_not_heard_on_is_given_up() {
    // The receiver was never seen; or it was, and fell silent.
    for silent in [0, 3] {
        let mut wire = Wire::open([1000, 2000], 1448);
        wire.segs.drain(1..1 + usize::from(silent == 0));
        let head = b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n\r\n";
        wire.send(true, head);
        wire.send(true, &[b'x'; 1000]);
        wire.segs.pop();
        wire.ts += silent * 1_000_000_000;
        for _ in 0..2999 {
            wire.ts += silent * 1_000_000;
            wire.send(true, &[b'x'; 1000]);
        }
        let (seen, table) = run(&wire.segs);
        let put = &seen[0];
        assert!(put.completeness.contains(Completeness::REQUEST_GAP), "{silent}");
        let gaps = table.counters().streams().gap_bytes;
        assert!((1000..1_200_000).contains(&gaps), "{silent} {gaps}");
    }
}

#[test]
fn tunnels_in_tunnels_without_end_take_no_stack_and_hide_nothing() {
    let mut wire = Wire::open([1000, 2000], 60_000);
    wire.send(true, &b"CONNECT a:1 HTTP/1.1\r\n\r\n".repeat(2400));
    wire.send(false, &b"HTTP/1.1 200\r\n\r\n".repeat(3000));
    let segs = wire.segs;
    // A worker's stack is no larger.
    let small = std::thread::Builder::new().stack_size(1 << 20).spawn(move || run(&segs).0.len()).unwrap();
    assert!((2400..=3000).contains(&small.join().unwrap()));
}

/// A body's segments that would each be a request.
fn lines(n: usize) -> Vec<Vec<u8>> {
    (0..n).map(|n| format!("GET /made-up/{n} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()).collect()
}

fn made_up(seen: &[Exchange]) -> Vec<&Exchange> {
    let is = |e: &&Exchange| e.request.as_ref().is_some_and(|r| r.target.starts_with(b"/made-up"));
    seen.iter().filter(is).collect()
}

#[test]
fn the_content_of_an_answer_is_no_request_of_the_server() {
    let down = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
    for case in ["joined late", "heads lost", "tunnel", "server first"] {
        let mut wire = Wire::open([1000, 2000], 1448);
        match case {
            "joined late" => wire.segs.clear(),
            "heads lost" => {
                wire.send(true, b"GET /download HTTP/1.1\r\nHost: h\r\n\r\n");
                wire.send(false, down);
                wire.segs.truncate(3);
            }
            "tunnel" => {
                wire.send(true, b"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n");
                wire.send(false, b"HTTP/1.1 200 OK\r\n\r\n");
            }
            _ => {}
        }
        for line in lines(4) {
            wire.send(false, &line);
            wire.ack(true);
        }
        assert!(made_up(&run(&wire.segs).0).is_empty(), "{case}");
        // What the client really asks on it is read.
        if case == "joined late" {
            secret(&mut wire);
            let seen = run(&wire.segs).0;
            assert_eq!(targets(&seen), ["/secret"]);
            assert!(seen[0].response.is_some());
        }
    }
}

#[test]
fn who_accepted_a_connection_may_ask_on_it_where_both_sides_say_so() {
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.send(true, b"\x05\x01\x00");
    wire.send(false, b"\x05\x00");
    wire.send(false, SECRET);
    wire.ack(true);
    wire.send(true, OK);
    let (seen, _) = run(&wire.segs);
    assert_eq!(targets(&seen), ["/secret"]);
    assert!(seen[0].response.is_some());
}

#[test]
fn the_content_of_an_upload_whose_head_was_lost_convicts_nobody() {
    for n in [1, 2, 6] {
        for rest in [&b""[..], b"and more that is no request\n"] {
            let mut wire = Wire::open([1000, 2000], 1448);
            let lines = lines(n);
            let len = lines.iter().map(Vec::len).sum::<usize>() + rest.len();
            wire.send(
                true,
                format!("POST /logs HTTP/1.1\r\nHost: h\r\nContent-Length: {len}\r\n\r\n").as_bytes(),
            );
            wire.segs.pop();
            lines.iter().for_each(|line| wire.send(true, line));
            if !rest.is_empty() {
                wire.send(true, rest);
            }
            wire.ack(false);
            wire.send(false, b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
            secret(&mut wire);
            let (seen, _) = run(&wire.segs);
            let made_up = made_up(&seen);
            assert_eq!(made_up.len(), n);
            for e in made_up {
                let flags: Vec<_> = e.completeness.names().collect();
                let told = if e.response.is_some() { "pairing-uncertain" } else { "resynchronised" };
                assert!(flags.contains(&told), "{n} {flags:?}");
                assert!(!e.acknowledged || e.response.is_some(), "{n}");
            }
            assert!(
                rest.is_empty()
                    || seen.iter().all(|e| e.request.is_none()
                        || e.response.is_none()
                        || targets(std::slice::from_ref(e)) == ["/secret"]),
                "{n}"
            );
        }
    }
}

#[test]
fn a_reset_that_no_receiver_heeds_ends_nothing() {
    for by in [1, 5000, 900_000] {
        let mut wire = Wire::open([1000, 2000], 1448);
        for _ in 0..4 {
            wire.segs.push(ahead(&wire, RST, by, b""));
            wire.ts += 12_000_000_000;
            wire.send(true, b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
            wire.ack(false);
            wire.send(false, OK);
        }
        secret(&mut wire);
        let seen = assert_seen(&wire, &by.to_string());
        assert!(seen.iter().all(|e| e.response.is_some() && e.completeness.is_whole()), "{by}");
        assert!(seen.iter().any(|e| e.anomalies.contains(Anomaly::TcpResetIgnored)), "{by}");
    }
}

#[test]
fn a_connection_whose_syn_was_lost_is_known_by_its_handshake() {
    for closed in [false, true] {
        let mut wire = Wire::open([1000, 2000], 1448);
        wire.send(true, b"GET /first HTTP/1.1\r\nHost: h\r\n\r\n");
        wire.send(false, OK);
        if closed {
            wire.close(true);
        }
        let mut again = Wire::open([0x5000_0000, 0x6000_0000], 1448);
        secret(&mut again);
        // Its SYN was lost; of a closed one its SYN-ACK too.
        again.segs.drain(..if closed { 3 } else { 1 });
        wire.segs.extend(again.segs.into_iter().map(|s| Seg { ts: s.ts + 5_000_000_000, ..s }));
        let (seen, _) = run(&wire.segs);
        assert_eq!(targets(&seen), ["/first", "/secret"], "{closed}");
        assert!(seen.iter().all(|e| e.response.is_some()), "{closed}");
    }
}

#[test]
fn empty_lines_hide_nothing_however_many_segments_they_come_in() {
    for n in [1, 33, 34, 40, 200] {
        for line in [&b"\r\n"[..], b"\n", b"\r\n\r\n\r\n"] {
            let mut wire = Wire::open([1000, 2000], 1448);
            (0..n).for_each(|_| wire.send(true, line));
            secret(&mut wire);
            let seen = assert_seen(&wire, &n.to_string());
            assert!(seen[0].anomalies.contains(Anomaly::LeadingEmptyLine), "{n}");
        }
    }
}

#[test]
fn a_request_line_longer_than_any_is_told_as_far_as_it_is_kept() {
    for len in [60_000, 66_000, 80_000, 300_000, 700_000] {
        for first in [true, false] {
            let mut wire = Wire::open([1000, 2000], 1448);
            if !first {
                wire.send(true, b"GET /first HTTP/1.1\r\nHost: h\r\n\r\n");
                wire.ack(false);
                wire.send(false, OK);
            }
            let pad = "a".repeat(len);
            wire.send(true, format!("GET /long?pad={pad} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
            wire.ack(false);
            wire.send(false, b"HTTP/1.1 414 URI Too Long\r\nContent-Length: 0\r\n\r\n");
            let (seen, _) = run(&wire.segs);
            let long = targets(&seen).into_iter().find(|t| t.starts_with("/long?pad=aaa"));
            assert!(long.is_some(), "{len} {first} {:?}", seen.len());
            let told = seen.iter().any(|e| e.anomalies.contains(Anomaly::TargetTooLong));
            assert!(told, "{len} {first}");
            assert!(
                seen.iter().any(|e| e.response.as_ref().is_some_and(|r| r.status == 414)),
                "{len} {first}"
            );
        }
    }
}

#[test]
fn what_goes_through_a_tunnel_is_counted_as_what_it_is() {
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.send(true, b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n");
    wire.send(false, b"HTTP/1.1 200 OK\r\n\r\n");
    let mut hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
    hello.resize(517, 7);
    wire.send(true, &hello);
    wire.send(false, &hello);
    let (_, table) = run(&wire.segs);
    let streams = table.counters().streams();
    assert_eq!(streams.flows["http"], 1);
    assert_eq!(streams.bytes_by_protocol["tls"], 2 * 517);
}

#[test]
fn a_stray_interim_answer_belongs_to_nothing() {
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.send(true, b"GET /first HTTP/1.1\r\nHost: h\r\n\r\n");
    wire.send(false, OK);
    wire.send(false, b"HTTP/1.1 100 Continue\r\n\r\n");
    secret(&mut wire);
    let seen = assert_seen(&wire, "100");
    assert!(seen.iter().all(|e| e.completeness.is_whole() && e.interim == 0));
}

/// Requests on one connection, each sent when one before it is still open.
fn kept_on_the_way(wire: &mut Wire, n: usize) {
    let target = |k: usize| format!("GET /secret{k} HTTP/1.1\r\nHost: h\r\n\r\n");
    wire.send(true, target(0).as_bytes());
    wire.ack(false);
    for k in 1..n {
        wire.send(true, target(k).as_bytes());
        wire.ack(false);
        wire.send(false, OK);
        wire.ack(true);
    }
    wire.send(false, OK);
    wire.ack(true);
}

#[test]
fn a_head_longer_than_any_that_is_kept_ends_where_it_ends() {
    let pad: String = (0..40).map(|n| format!("X-{n}: {}\r\n", "a".repeat(8000))).collect();
    for (last, body) in [
        ("", ""),
        ("Content-Length: 5\r\n", "GET /"),
        ("Transfer-Encoding: chunked\r\n", "3\r\nGET\r\n0\r\n\r\n"),
    ] {
        for mss in [1448, 16_000, 1 << 20] {
            let mut wire = Wire::open([1000, 2000], mss);
            wire.send(true, format!("POST /long HTTP/1.1\r\nHost: h\r\n{pad}{last}\r\n{body}").as_bytes());
            wire.ack(false);
            wire.send(false, OK);
            wire.ack(true);
            kept_on_the_way(&mut wire, 20);
            let (seen, _) = run(&wire.segs);
            assert_eq!(seen.len(), 21, "{last} {mss}");
            assert_eq!(targets(&seen)[0], "/long");
            let [told, whole] = [Completeness::REQUEST_TRUNCATED, Completeness::WHOLE];
            for (n, e) in seen.iter().enumerate() {
                let flags = if n == 0 && mss < 1 << 20 { told } else { whole };
                // Behind content that may be the beginning of a request.
                let flags = if body == "GET /" && n > 0 { Completeness::PAIRING_UNCERTAIN } else { flags };
                assert!(
                    e.response.is_some() && e.completeness == flags && e.acknowledged,
                    "{n} {mss} {:?}",
                    e.completeness
                );
            }
            assert_eq!(seen[0].anomalies.contains(Anomaly::HeadTooLong), mss < 1 << 20);
        }
    }
    // The same of an answer, and one that comes before the head's end.
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.send(true, b"GET /first HTTP/1.1\r\nHost: h\r\n\r\n");
    wire.send(false, format!("HTTP/1.1 200 OK\r\n{pad}Content-Length: 2\r\n\r\nok").as_bytes());
    wire.send(true, format!("GET /long HTTP/1.1\r\n{pad}").as_bytes());
    wire.ack(false);
    wire.send(false, b"HTTP/1.1 431 Too Large\r\nContent-Length: 0\r\n\r\n");
    wire.close(false);
    let (seen, _) = run(&wire.segs);
    assert_eq!(targets(&seen), ["/first", "/long"]);
    let status: Vec<_> = seen.iter().map(|e| e.response.as_ref().map(|r| (r.status, r.body.len))).collect();
    assert_eq!(status, [Some((200, 2)), Some((431, 0))]);
}

#[test]
fn requests_kept_on_the_way_do_not_stay_unbelieved_after_a_loss() {
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.send(true, b"POST /lost HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    wire.segs.pop();
    wire.ack(false);
    wire.send(false, OK);
    kept_on_the_way(&mut wire, 60);
    let (seen, _) = run(&wire.segs);
    let believed = seen.iter().filter(|e| e.request.is_some() && e.acknowledged).count();
    assert!(believed >= 40, "{believed}");
    assert!(targets(&seen).len() == 60);
}

#[test]
fn empty_lines_of_any_length_hide_nothing() {
    for (n, size) in [(200, 1448), (20, 16_000), (5, 65_000)] {
        let mut wire = Wire::open([1000, 2000], size);
        (0..n).for_each(|_| wire.send(true, "\r\n".repeat(size / 2).as_bytes()));
        secret(&mut wire);
        assert_seen(&wire, &n.to_string());
        // In one segment with what follows.
        let mut wire = Wire::open([1000, 2000], 1 << 20);
        wire.send(true, &[&b"\r\n".repeat(40_000)[..], &SECRET[..20]].concat());
        wire.send(true, &SECRET[20..]);
        wire.ack(false);
        wire.send(false, OK);
        wire.close(true);
        assert_seen(&wire, "one segment");
    }
}

#[test]
fn a_reset_that_never_arrives_does_not_make_a_syn_a_new_connection() {
    for flags in [SYN, SYN | ACK] {
        for each in [true, false] {
            let mut wire = Wire::open([1000, 2000], 1448);
            for n in 0..12 {
                if each || n == 0 {
                    wire.segs.push(ahead(&wire, RST | ACK, 0, b""));
                    wire.segs.push(ahead(&wire, flags, 0x6000_0000, b""));
                }
                wire.send(true, format!("GET /secret{n} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
                wire.ack(false);
                wire.send(false, OK);
                wire.ack(true);
            }
            let (seen, _) = run(&wire.segs);
            assert_eq!(targets(&seen).len(), 12, "{flags} {each}");
            assert!(seen.iter().all(|e| e.response.is_some() && e.completeness.is_whole()), "{flags} {each}");
        }
    }
}

#[test]
fn whoever_asks_and_is_answered_is_the_client_whatever_the_ports() {
    use sidetap_model::{Ts, Zone};
    for (client, server) in
        [(41_000, 30_080), (20_000, 8_080), (5_000, 3_000), (41_000, 10_443), (41_000, 80)]
    {
        for (content, from_server) in
            [("GET /made-up HTTP/1.1\r\nHost: h\r\n\r\n", true), ("HTTP/1.1 200 OK\r\n\r\n", false)]
        {
            for (count, heard) in [(3, true), (3, false), (300, true)] {
                let mut wire = Wire::open([1000, 2000], 1448);
                wire.segs.clear();
                for _ in 0..count {
                    wire.send(!from_server, format!("{content}{}", "p".repeat(1000)).as_bytes());
                    if heard {
                        wire.ack(from_server);
                    }
                }
                for n in 0..5 {
                    let body = "b".repeat(if n == 0 { 100_000 } else { 0 });
                    wire.ts += 1_000_000_000;
                    wire.send(
                        true,
                        format!("POST /real{n} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len())
                            .as_bytes(),
                    );
                    wire.ack(false);
                    wire.send(false, OK);
                    wire.ack(true);
                }
                let mut table =
                    FlowTable::new(0, &FlowLimits::default(), std::sync::Arc::from([Zone::default()]));
                let mut seen = Vec::new();
                table.tick(Ts(0), &mut |_| {});
                for seg in &wire.segs {
                    table.segment(&seg.segment(common::addr(1, client), common::addr(2, server)), &mut |e| {
                        seen.push(e);
                    });
                }
                table.finish(&mut |e| seen.push(e));
                let what = format!("{client} {server} {from_server} {count} {heard}");
                let real: Vec<_> = seen
                    .iter()
                    .filter(|e| e.request.as_ref().is_some_and(|r| r.target.starts_with(b"/real")))
                    .collect();
                // Behind content of its own that seems to be answers, the first request may be content too.
                assert!(real.len() == 5 || (!from_server && real.len() == 4), "{what} {}", real.len());
                assert!(real.iter().all(|e| e.flow.client.port == client), "{what}");
                assert!(real.iter().skip(1).all(|e| e.response.is_some()), "{what}");
                assert!(
                    made_up(&seen).iter().all(|e| !e.acknowledged && !e.completeness.is_whole()),
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn a_handshake_that_the_client_answers_itself_hides_no_answers() {
    for ack in [0, 0x1000_0000, 5_000] {
        let mut wire = Wire::open([1000, 2000], 1448);
        let ack = wire.next[1].wrapping_add(ack);
        wire.segs.push(Seg { seq: 1000, ack, ..ahead(&wire, SYN | ACK, 0, b"") });
        for _ in 0..3 {
            wire.send(true, SECRET);
            wire.send(false, OK);
        }
        wire.close(true);
        let seen = run(&wire.segs).0;
        assert_eq!(seen.len(), 3, "{ack}");
        assert!(seen.iter().all(|e| e.request.is_some() && e.response.is_some()), "{ack}");
    }
}
