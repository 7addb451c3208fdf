//! Who asks on a connection, and whose answers are whose, where somebody makes it hard to tell: docs/capture.md, "HTTP after a gap".

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{OK, Seg, Wire, run_usual as run, targets};
use sidetap_model::{Completeness, Exchange};

fn asks(wire: &mut Wire, line: &str) {
    wire.send(true, format!("{line}\r\nHost: h\r\n\r\n").as_bytes());
    wire.ack(false);
}

fn answers(wire: &mut Wire, answer: &[u8]) {
    wire.send(false, answer);
    wire.ack(true);
}

#[test]
fn empty_lines_in_a_tunnel_hide_nothing() {
    for size in [1, 2, 9, 40] {
        let mut wire = Wire::open([1000, 2000], 1448);
        asks(&mut wire, "CONNECT h:80 HTTP/1.1");
        answers(&mut wire, b"HTTP/1.1 200 OK\r\n\r\n");
        (0..20).for_each(|_| wire.send(true, "\r\n".repeat(size).as_bytes()));
        asks(&mut wire, "GET /secret HTTP/1.1");
        answers(&mut wire, OK);
        assert_eq!(targets(&run(&wire.segs).0), ["h:80", "/secret"], "{size}");
    }
}

#[test]
fn silence_before_the_first_request_loses_no_connection() {
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.ts += 2_000_000_000;
    wire.ack(true);
    for (n, pause) in [33, 90, 500].into_iter().enumerate() {
        wire.ts += pause * 1_000_000_000;
        asks(&mut wire, &format!("GET /secret{n} HTTP/1.1"));
        answers(&mut wire, OK);
    }
    let (seen, _) = run(&wire.segs);
    assert_eq!(targets(&seen).len(), 3);
    assert!(seen.iter().all(|e| e.completeness == Completeness::WHOLE));
    // A handshake that nobody completed is not waited for so long.
    let mut half = Wire::open([1000, 2000], 1448);
    half.segs.truncate(2);
    half.ts += 2_000_000_000;
    half.segs.push(Seg { ts: half.ts, ..half.segs[0].clone() });
    half.ts += 33_000_000_000;
    asks(&mut half, "GET /secret HTTP/1.1");
    assert!(!run(&half.segs).0[0].completeness.is_whole());
}

#[test]
fn who_pipelined_once_is_paired_again_when_all_is_answered() {
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.segs.clear();
    for n in 0..3 {
        asks(&mut wire, &format!("GET /once{n} HTTP/1.1"));
    }
    (0..3).for_each(|_| answers(&mut wire, OK));
    for n in 0..30 {
        asks(&mut wire, &format!("GET /plain{n} HTTP/1.1"));
        answers(&mut wire, OK);
    }
    let (seen, _) = run(&wire.segs);
    let plain = seen.iter().filter(|e| e.request.as_ref().is_some_and(|r| r.target.starts_with(b"/plain")));
    assert!(plain.filter(|e| e.response.is_some()).count() >= 28);
}

#[test]
fn whoever_accepted_a_connection_is_convicted_of_nothing_on_it() {
    for answered in [false, true] {
        for late in [false, true] {
            let mut wire = Wire::open([1000, 2000], 1448);
            if late {
                wire.segs.clear();
            }
            wire.send(true, OK);
            for n in 0..12 {
                wire.send(false, format!("GET /made-up{n} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
                wire.ack(true);
                if answered {
                    wire.send(true, OK);
                }
            }
            let (seen, _) = run(&wire.segs);
            assert!(seen.iter().all(|e| !e.acknowledged), "{answered} {late}");
            let marked = |e: &Exchange| e.completeness.names().any(|flag| flag == "resynchronised");
            assert!(seen.iter().all(|e| e.request.is_none() || marked(e)), "{answered} {late}");
        }
    }
}

/// A mirror of two ports may show all of one side some milliseconds after the other, from the first packet on.
#[test]
fn a_side_that_comes_late_from_the_beginning_is_waited_for() {
    for late in [500_000, 1_000_000, 5_000_000, 50_000_000] {
        for requests in [2, 6, 30] {
            let mut wire = Wire::open([1000, 2000], 1448);
            for n in 0..requests {
                asks(&mut wire, &format!("GET /{n} HTTP/1.1"));
                answers(&mut wire, OK);
            }
            wire.close(true);
            wire.segs.iter_mut().filter(|s| !s.up).for_each(|s| s.ts += late);
            wire.segs.sort_by_key(|s| s.ts);
            let seen = run(&wire.segs).0;
            let marks: Vec<_> = seen.iter().map(|e| e.completeness).collect();
            assert_eq!(seen.len(), requests, "{late} {requests}: {marks:?}");
            assert!(marks.iter().all(|m| m.is_whole()), "{late} {requests}: {marks:?}");
        }
    }
}
