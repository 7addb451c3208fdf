//! Messages that servers end elsewhere than they say, or read in part: docs/capture.md. Each request and its answer have a number.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{Wire, request_id, response_id, run, run_with, targets};
use sidetap_capture::FlowLimits;
use sidetap_model::{Completeness, Exchange};

fn asked(n: usize) -> Vec<u8> {
    format!("GET /{n} HTTP/1.1\r\nHost: h\r\nX-Id: {n}\r\n\r\n").into_bytes()
}

fn answer(n: usize) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Id: {n}\r\n\r\nok").into_bytes()
}

fn say(wire: &mut Wire, bytes: &[u8]) {
    wire.send(true, bytes);
    wire.ack(false);
}

fn reply(wire: &mut Wire, bytes: &[u8]) {
    wire.send(false, bytes);
    wire.ack(true);
}

/// Requests one after the other; each is answered with the number that `with` gives for its own.
fn ask(wire: &mut Wire, numbers: std::ops::Range<usize>, with: impl Fn(usize) -> usize) {
    for n in numbers {
        say(wire, &asked(n));
        reply(wire, &answer(with(n)));
    }
}

fn assert_unmarked_pairs_are_right(seen: &[Exchange], what: &str) {
    for e in seen.iter().filter(|e| e.completeness.is_whole() && e.response.is_some()) {
        let own = request_id(e).map(|id| id.trim_start_matches('/').to_owned());
        assert_eq!(own, response_id(e), "{what}: {:?}", targets(seen));
    }
}

fn has_all(seen: &[Exchange], numbers: std::ops::Range<usize>, what: &str) {
    let all = targets(seen);
    for n in numbers {
        assert!(all.contains(&format!("/{n}")), "{what}: {all:?}");
    }
}

/// Bytes behind a whole answer, and one that is due begins amid a segment with them.
#[test]
fn an_answer_amid_bytes_that_nobody_asked_for_shifts_no_pair_without_a_mark() {
    let heads = [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 4000\r\nX-Id: 1\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\nX-Id: 1\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nX-Id: 1\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Id: 1\r\n\r\nok"),
    ];
    for (method, head) in heads {
        for split in [0, 4, 40] {
            let mut wire = Wire::open([1000, 2000], 8000);
            ask(&mut wire, 0..1, |n| n);
            say(&mut wire, format!("{method} /1 HTTP/1.1\r\nHost: h\r\nX-Id: 1\r\n\r\n").as_bytes());
            reply(&mut wire, &[head.as_bytes(), &b"x".repeat(1000)].concat());
            say(&mut wire, &asked(2));
            let next = answer(2);
            let (first, second) = next.split_at(split);
            reply(&mut wire, &[&b"x".repeat(3000)[..], first].concat());
            reply(&mut wire, second);
            ask(&mut wire, 3..9, |n| n);
            wire.close(true);
            let seen = run(&wire.segs);
            assert_unmarked_pairs_are_right(&seen, head);
            has_all(&seen, 0..9, head);
        }
    }
}

/// A server that takes the length, or the last of two, or no length where that is no number; another takes the coding.
#[test]
fn where_servers_differ_on_the_end_of_a_message_no_pair_behind_it_is_certain() {
    let evil = b"GET /evil HTTP/1.1\r\nHost: h\r\nX-Id: evil\r\nX: ";
    let chunked_end = [&b"0\r\n\r\n"[..], evil].concat();
    let with_length = |fields: &str, content: &[u8]| {
        let len = content.len();
        let head = format!(
            "POST /1 HTTP/1.1\r\nHost: h\r\nX-Id: 1\r\n{}\r\n\r\n",
            fields.replace("LEN", &len.to_string())
        );
        [head.as_bytes(), content].concat()
    };
    let content = [
        with_length("Content-Length: LEN\r\nTransfer-Encoding: chunked", &chunked_end),
        with_length("Content-Length: LEN\r\nTransfer-Encoding: \x0bchunked", &chunked_end),
        with_length("Content-Length: 0\r\nContent-Length: LEN", evil),
        with_length("Content-Length: 1_0", evil),
        with_length("X: y\rContent-Length: LEN", evil),
    ];
    for upload in &content {
        let what = String::from_utf8_lossy(upload);
        // Its server takes all for content.
        let mut wire = Wire::open([1000, 2000], 1448);
        ask(&mut wire, 0..1, |n| n);
        say(&mut wire, upload);
        reply(&mut wire, &answer(1));
        ask(&mut wire, 2..9, |n| n);
        wire.close(true);
        let seen = run(&wire.segs);
        assert_unmarked_pairs_are_right(&seen, &what);
        // Or it reads the last head, to which what follows belongs.
        let mut wire = Wire::open([1000, 2000], 1448);
        ask(&mut wire, 0..1, |n| n);
        say(&mut wire, upload);
        reply(&mut wire, &answer(1));
        say(&mut wire, &asked(2));
        reply(&mut wire, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Id: evil\r\n\r\nok");
        ask(&mut wire, 3..9, |n| n);
        wire.close(true);
        assert_unmarked_pairs_are_right(&run(&wire.segs), &what);
    }
}

fn upload(content: &str) -> Vec<u8> {
    let head = format!("POST /1 HTTP/1.1\r\nHost: h\r\nX-Id: 1\r\nContent-Length: {}\r\n\r\n", content.len());
    [head.as_bytes(), content.as_bytes()].concat()
}

const TO_EVIL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Id: evil\r\n\r\nok";

#[test]
fn content_whose_end_a_server_may_read_as_a_head_leaves_the_next_pair_uncertain() {
    for first in ["0123456789\r\n", "0123456789", "{\"a\":\"abc\n", "--b\r\nA: b\r\n\r\n"] {
        let mut wire = Wire::open([1000, 2000], 1448);
        ask(&mut wire, 0..1, |n| n);
        say(&mut wire, &upload(&format!("{first}GET /evil HTTP/1.1\r\nHost: h\r\nX: ")));
        reply(&mut wire, &answer(1));
        say(&mut wire, &asked(2));
        reply(&mut wire, TO_EVIL);
        ask(&mut wire, 3..9, |n| n);
        wire.close(true);
        let seen = run(&wire.segs);
        assert_unmarked_pairs_are_right(&seen, first);
        has_all(&seen, 0..9, first);
        let marked = seen.iter().filter(|e| !e.completeness.is_whole()).count();
        assert_eq!(marked, 1, "one was asked and one answered since: {seen:?}");
    }
}

/// A server that takes a part of content reads a request that stands whole in the rest.
#[test]
fn a_request_amid_content_is_told_where_it_was_answered_and_shifts_no_pair() {
    let evil = "GET /evil HTTP/1.1\r\nHost: h\r\nX-Id: evil\r\n\r\n";
    for first in ["0123456789\r\n", "0123456789", "{\"a\":\"abc\n", "--b\r\nA: b\r\n\r\n"] {
        for piped in [true, false] {
            let mut wire = Wire::open([1000, 2000], 1448);
            ask(&mut wire, 0..1, |n| n);
            let more = if piped { asked(2) } else { Vec::new() };
            say(&mut wire, &[upload(&format!("{first}{evil}")), more].concat());
            reply(&mut wire, &answer(1));
            reply(&mut wire, TO_EVIL);
            if !piped {
                say(&mut wire, &asked(2));
            }
            reply(&mut wire, &answer(2));
            ask(&mut wire, 3..9, |n| n);
            wire.close(true);
            let seen = run(&wire.segs);
            assert_unmarked_pairs_are_right(&seen, first);
            has_all(&seen, 0..9, first);
            assert!(targets(&seen).contains(&"/evil".into()), "{first:?} {piped}: {:?}", targets(&seen));
        }
        // Where nobody answers it, it is content, and all are what they seem.
        let mut wire = Wire::open([1000, 2000], 1448);
        ask(&mut wire, 0..1, |n| n);
        say(&mut wire, &upload(&format!("{first}{evil}")));
        reply(&mut wire, &answer(1));
        ask(&mut wire, 2..9, |n| n);
        wire.close(true);
        let seen = run(&wire.segs);
        assert_eq!(seen.len(), 9, "{:?}", targets(&seen));
        assert!(seen.iter().all(|e| e.completeness.is_whole()), "{seen:?}");
    }
}

/// What hides a request amid content from who looks for one, but from no server that reads on there.
#[test]
fn decoys_and_odd_heads_hide_no_request_amid_content() {
    let decoys = "x HTTP/1.1\n".repeat(300);
    let long = format!("{}: b", "A".repeat(300));
    let lines = ["GET /evil HTTP/1.1", "GET\t/evil\tHTTP/1.1", "GET  /evil HTTP/1.1 "];
    let fields = ["Host: h", "Host : h", "X: a\r\n b", &long];
    let cases = lines.iter().map(|line| (*line, "X: a")).chain(fields.iter().map(|f| (lines[0], *f)));
    for (line, field) in cases {
        for (first, end) in
            [("0123456789", "\r\n\r\n"), (&*decoys, "\r\n\r\n"), (&*decoys, "\r\nX: "), ("01", "\r\nX: ")]
        {
            let mut wire = Wire::open([1000, 2000], 1448);
            ask(&mut wire, 0..1, |n| n);
            let is_whole = end.len() == 4;
            let more = if is_whole { asked(2) } else { Vec::new() };
            say(&mut wire, &[upload(&format!("{first}{line}\r\nX-Id: evil\r\n{field}{end}")), more].concat());
            reply(&mut wire, &answer(1));
            if !is_whole {
                say(&mut wire, &asked(2));
            }
            reply(&mut wire, TO_EVIL);
            ask(&mut wire, 3..9, |n| n);
            wire.close(true);
            let seen = run(&wire.segs);
            let what = format!("{line:?} {field:?} {end:?} {}", first.len());
            assert_unmarked_pairs_are_right(&seen, &what);
            has_all(&seen, 0..9, &what);
        }
    }
}

/// A log has the lines of requests, and so have notes of them, but no heads.
#[test]
fn lines_of_a_log_are_no_requests() {
    let line = "10.0.0.1 - - [01/Jan/2026] \"GET /a HTTP/1.1\" 200 17\r\n";
    let note = "Notes:\r\nwe saw GET /a HTTP/1.1\r\nand then nothing: it hung\r\n";
    for content in [line.repeat(40), note.repeat(20)] {
        let mut wire = Wire::open([1000, 2000], 1448);
        ask(&mut wire, 0..1, |n| n);
        say(&mut wire, &[upload(&content), asked(2)].concat());
        reply(&mut wire, &answer(1));
        reply(&mut wire, &answer(2));
        ask(&mut wire, 3..9, |n| n);
        wire.close(true);
        let seen = run(&wire.segs);
        assert_eq!(seen.len(), 9, "{:?}", targets(&seen));
        let marks: Vec<_> = seen.iter().map(|e| e.completeness).collect();
        assert!(marks.iter().all(|m| m.is_whole()), "{content}: {marks:?}");
    }
}

/// Some servers drop the answer that is due when they cannot read what comes behind its request.
#[test]
fn a_refusal_of_what_stands_behind_a_request_may_not_be_its_answer() {
    for behind in ["BAD\r\n\r\n", "GET / HTTP/9.9\r\nHost: h\r\n\r\n", "\x01\x02\x03\r\n\r\n"] {
        for apart in [true, false] {
            let mut wire = Wire::open([1000, 2000], 1448);
            ask(&mut wire, 0..1, |n| n);
            if apart {
                say(&mut wire, &asked(1));
                say(&mut wire, behind.as_bytes());
            } else {
                say(&mut wire, &[&asked(1)[..], behind.as_bytes()].concat());
            }
            reply(&mut wire, b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            wire.close(false);
            let seen = run(&wire.segs);
            let refused = seen.iter().find(|e| targets(std::slice::from_ref(e)) == ["/1"]).unwrap();
            assert!(
                refused.response.is_none() || refused.completeness.contains(Completeness::PAIRING_UNCERTAIN),
                "{behind:?} {apart}: {refused:?}"
            );
        }
    }
    // It is where nothing stands there.
    let mut wire = Wire::open([1000, 2000], 1448);
    say(&mut wire, &asked(1));
    reply(&mut wire, b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    wire.close(false);
    assert!(run(&wire.segs)[0].completeness.is_whole());
}

/// Little content holds many requests, and many connections end at once.
#[test]
fn what_content_may_hold_is_told_of_many_connections_as_far_as_there_is_room() {
    let limits = FlowLimits { at_once: 64, ..FlowLimits::default() };
    let content = b"GET / HTTP/1.0\n\n".repeat(900);
    let head = format!("POST /1 HTTP/1.1\r\nHost: h\r\nX-Id: 1\r\nContent-Length: {}\r\n\r\n", content.len());
    let mut wire = Wire::open([1000, 2000], 1448);
    // More is asked before the answer, and the server ends the connection.
    say(&mut wire, &[head.as_bytes(), &content, &asked(2)].concat());
    wire.close(false);
    let (seen, table) = run_with(&wire.segs, &limits);
    has_all(&seen, 1..3, "many");
    assert!(seen.len() <= 64 + 2, "{}", seen.len());
    assert!(table.counters().evictions()["nested-requests"] >= 800, "{:?}", table.counters().evictions());
}
