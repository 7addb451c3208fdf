//! Requests that their server reads where others are seen: behind what it drops, takes no content of, or answers with a number that only it takes
//! for final; and honest traffic that looks like it. docs/capture.md.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{OK, Wire, request_id, response_id, run_usual as run, targets};
use sidetap_model::{Completeness, Exchange};

const UPGRADE: &[u8] = b"GET /up HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n";
const DUMMY: &[u8] =
    b"POST /dummy HTTP/1.1\r\nHost: h\r\nContent-Type: image/png\r\nContent-Length: 900000\r\n\r\n";

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
}

/// Pieces of the client, each in a segment, and the answer.
fn turn(wire: &mut Wire, said: &[&[u8]], answer: &[u8]) {
    for piece in said {
        wire.send(true, piece);
        wire.ack(false);
    }
    wire.send(false, answer);
    wire.ack(true);
}

fn asked(n: usize) -> Vec<u8> {
    format!("GET /{n} HTTP/1.1\r\nHost: h\r\nX-Id: {n}\r\n\r\n").into_bytes()
}

fn answer(n: usize) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Id: {n}\r\n\r\nok").into_bytes()
}

fn assert_unmarked_pairs_are_right(seen: &[Exchange], what: &str) {
    for e in seen.iter().filter(|e| e.completeness.is_whole()) {
        let asked = request_id(e).map(|id| id.trim_start_matches('/').to_owned());
        assert!(
            asked == response_id(e) || response_id(e).is_none(),
            "{what}: {:?} {:?}",
            request_id(e),
            response_id(e)
        );
    }
}

fn has_all(seen: &[Exchange], wanted: &[String], what: &str) {
    let all = targets(seen);
    let missing: Vec<_> = wanted.iter().filter(|t| !all.contains(t)).collect();
    assert!(missing.is_empty(), "{what}: {missing:?} of {all:?}");
}

fn secrets(n: usize) -> Vec<String> {
    (0..n).map(|n| format!("/secret{n}")).collect()
}

#[test]
fn behind_connect_reading_goes_on_where_nobody_knows_what_was_answered() {
    let content: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let no: &[u8] = b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n";
    for (what, late, dropped, said) in
        [("dropped", false, true, content), ("late", true, false, no), ("one side", false, false, no)]
    {
        let mut wire = Wire::open([1000, 2000], 1448);
        if late {
            wire.segs.clear();
        }
        if dropped {
            turn(&mut wire, &[&[UPGRADE, &get("/dropped")].concat()], OK);
        }
        turn(&mut wire, &[b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n"], said);
        for target in secrets(6) {
            turn(&mut wire, &[&get(&target)], OK);
        }
        wire.close(true);
        if what == "one side" {
            wire.segs.retain(|s| s.up);
        }
        has_all(&run(&wire.segs).0, &secrets(6), what);
    }
}

#[test]
fn what_is_held_behind_connect_is_told_when_its_answer_was_never_seen() {
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.send(true, b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n");
    for target in secrets(6) {
        wire.send(true, &get(&target));
    }
    has_all(&run(&wire.segs).0, &secrets(6), "cut");
    // Content of a tunnel that is none of HTTP stays what it is.
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.send(true, b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n");
    wire.send(true, b"\x16\x03\x01\x02\x00\x01\x00GET / HTTP/1.1\r\n");
    assert_eq!(targets(&run(&wire.segs).0), ["x:443"]);
}

#[test]
fn an_interim_answer_that_its_server_takes_for_final_shifts_no_pair_without_a_mark() {
    for (status, more) in [(150, ""), (199, ""), (103, ""), (102, "Content-Length: 0\r\n"), (100, "")] {
        let mut wire = Wire::open([1000, 2000], 1448);
        for n in 0..2 {
            turn(&mut wire, &[&asked(n)], &answer(n));
        }
        let odd = format!("HTTP/1.1 {status} x\r\n{more}X-Id: 2\r\n\r\n");
        turn(&mut wire, &[&asked(2)], odd.as_bytes());
        for n in 3..12 {
            turn(&mut wire, &[&asked(n)], &answer(n));
        }
        wire.close(true);
        let seen = run(&wire.segs).0;
        assert_unmarked_pairs_are_right(&seen, &status.to_string());
        let right = seen.iter().filter(|e| {
            request_id(e).is_some() && request_id(e) == response_id(e).map(|id| format!("/{id}"))
        });
        assert!(right.count() >= 2, "{status}");
    }
}

#[test]
fn nor_does_one_with_other_requests_on_the_way() {
    for status in [100, 102, 103, 104, 150] {
        for crossing in [false, true] {
            let mut wire = Wire::open([1000, 2000], 1448);
            turn(&mut wire, &[&asked(0)], &answer(0));
            let odd = format!("HTTP/1.1 {status} x\r\nX-Id: 1\r\n\r\n");
            if crossing {
                // The client asks for more before the interim one reaches it.
                let before = wire.next[1];
                wire.send(true, &asked(1));
                wire.send(false, odd.as_bytes());
                wire.send_acking(true, &[asked(2), asked(3)].concat(), before);
            } else {
                wire.send(true, &[asked(1), asked(2), asked(3)].concat());
                wire.send(false, odd.as_bytes());
            }
            wire.ack(false);
            wire.send(false, &[answer(2), answer(3)].concat());
            wire.ack(true);
            for n in 4..8 {
                turn(&mut wire, &[&asked(n)], &answer(n));
            }
            wire.close(true);
            assert_unmarked_pairs_are_right(&run(&wire.segs).0, &format!("{status} {crossing}"));
        }
    }
}

fn expecting(version: &str) -> Vec<u8> {
    let more = "X-Id: 0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    format!("POST /0 HTTP/{version}\r\nHost: h\r\n{more}").into_bytes()
}

#[test]
fn who_goes_on_behind_the_continue_that_he_asked_for_has_his_pairs() {
    let mut wire = Wire::open([1000, 2000], 1448);
    turn(&mut wire, &[&expecting("1.1")], b"HTTP/1.1 100 Continue\r\n\r\n");
    turn(&mut wire, &[b"ok", &asked(1)], &[answer(0), answer(1)].concat());
    wire.close(true);
    let seen = run(&wire.segs).0;
    assert!(seen.len() == 2 && seen.iter().all(|e| e.completeness.is_whole()), "{:?}", targets(&seen));
    assert_unmarked_pairs_are_right(&seen, "continue");
}

#[test]
fn a_continue_that_was_not_due_may_be_the_answer() {
    // Servers say none to HTTP/1.0, and none that says to go on comes behind all of the content.
    for version in ["1.0", "1.1"] {
        let mut wire = Wire::open([1000, 2000], 1448);
        turn(&mut wire, &[&[&expecting(version)[..], b"ok"].concat()], b"HTTP/1.1 100 x\r\n\r\n");
        for n in 1..6 {
            turn(&mut wire, &[&asked(n)], &answer(n));
        }
        wire.close(true);
        assert_unmarked_pairs_are_right(&run(&wire.segs).0, version);
        // The same where the head came first, and was answered alone.
        let mut wire = Wire::open([1000, 2000], 1448);
        turn(&mut wire, &[&expecting("1.0"), b"o"], b"HTTP/1.1 100 x\r\n\r\n");
        turn(&mut wire, &[&[b"k", &asked(1)[..]].concat()], &answer(1));
        for n in 2..6 {
            turn(&mut wire, &[&asked(n)], &answer(n));
        }
        wire.close(true);
        assert_unmarked_pairs_are_right(&run(&wire.segs).0, "early");
    }
}

/// A name, what is sent in one segment, of which its server reads the beginning, and what comes behind.
type Shape<'a> = (&'a str, Vec<u8>, Vec<Vec<u8>>);

#[test]
fn behind_what_its_server_dropped_a_request_is_seen_however_it_is_written() {
    let after = |first: &[u8]| [UPGRADE, first].concat();
    let two = after(&[&get("/a")[..], DUMMY].concat());
    let filler = vec![b'x'; 900];
    let nul = [&[0; 700][..], &get("/secret0")].concat();
    let old = b"POST /secret0\r\n\r\n".to_vec();
    let connect: &[u8] = b"CONNECT /shape HTTP/1.1\r\nHost: h\r\n\r\n";
    let shapes: [Shape<'_>; 15] = [
        ("two behind", two.clone(), vec![get("/secret0")]),
        ("filler first", two, vec![filler.clone(), get("/secret0")]),
        ("filler behind it", after(DUMMY), vec![filler, get("/secret0")]),
        (
            "far behind",
            [b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", DUMMY].concat(),
            vec![vec![0; 400_000], get("/secret0")],
        ),
        ("half a head", after(b"GET /d HTTP/1.1\r\nHost: a\r\n"), vec![get("/secret0")]),
        ("half a value", after(b"GET /d HTTP/1.1\r\nX: a"), vec![get("/secret0")]),
        (
            "half a head, split",
            after(b"GET /d HTTP/1.1\r\nHost: a\r\n"),
            vec![b"GE".to_vec(), get("/secret0")[2..].to_vec()],
        ),
        (
            "half a head, no version",
            after(b"GET /d HTTP/1.1\r\nHost: a\r\n"),
            vec![b"POST /secret0\r\n\r\n".to_vec()],
        ),
        (
            "half a long head",
            after(format!("GET /d HTTP/1.1\r\nX: {}", "y".repeat(70_000)).as_bytes()),
            vec![get("/secret0")],
        ),
        (
            "half a head behind CONNECT",
            [connect, b"GET /d HTTP/1.1\r\nHost: a\r\n"].concat(),
            vec![get("/secret0")],
        ),
        ("no version", after(DUMMY), vec![old]),
        ("absolute", after(DUMMY), vec![b"POST http://h/secret0\r\n\r\n".to_vec()]),
        ("an odd method", after(DUMMY), vec![b"SOURCE /secret0\r\n\r\n".to_vec()]),
        ("amid a segment", after(DUMMY), vec![nul]),
        ("split", after(DUMMY), vec![b"GE".to_vec(), get("/secret0")[2..].to_vec()]),
    ];
    for (what, first, then) in shapes {
        for at_once in [true, false] {
            let mut wire = Wire::open([1000, 2000], 1448);
            turn(&mut wire, &[&get("/first")], OK);
            wire.send(true, &first);
            wire.ack(false);
            if !at_once {
                // The application is busy: the answer to the first comes when the other is there.
                then.iter().for_each(|piece| wire.send(true, piece));
                wire.ack(false);
                turn(&mut wire, &[], &OK.repeat(2));
            } else {
                let said: Vec<&[u8]> = then.iter().map(Vec::as_slice).collect();
                turn(&mut wire, &said, &OK.repeat(2));
            }
            wire.close(true);
            let seen = run(&wire.segs).0;
            let told =
                seen.iter().find(|e| e.request.as_ref().is_some_and(|r| r.target.ends_with(b"/secret0")));
            let told = told.unwrap_or_else(|| panic!("{what} {at_once}: {:?}", targets(&seen)));
            assert!(
                told.acknowledged && told.response.is_some(),
                "{what} {at_once}: {:?}",
                told.completeness
            );
        }
    }
}

#[test]
fn content_that_its_server_never_takes_is_its_next_request() {
    for same_segment in [true, false] {
        for filler in [&b""[..], b"xxxx"] {
            let mut wire = Wire::open([1000, 2000], 1448);
            turn(&mut wire, &[&get("/first")], OK);
            if same_segment && filler.is_empty() {
                turn(&mut wire, &[&[DUMMY, &get("/secret0")].concat()], &OK.repeat(2));
            } else {
                turn(&mut wire, &[&[DUMMY, filler].concat()], OK);
                turn(&mut wire, &[&get("/secret0")], OK);
            }
            turn(&mut wire, &[&get("/secret1")], OK);
            wire.close(true);
            let seen = run(&wire.segs).0;
            has_all(&seen, &secrets(2), "content");
            let told = seen.iter().find(|e| targets(std::slice::from_ref(*e)) == ["/secret0"]).unwrap();
            assert!(told.acknowledged && told.response.is_some(), "{:?}", told.completeness);
        }
    }
}

#[test]
fn chunk_lines_that_only_some_servers_end_shift_no_pair_without_a_mark() {
    let phantom = b"GET /phantom HTTP/1.1\r\nHost: h\r\nX-Id: phantom\r\n\r\n";
    for (line, size) in [(&b"2;\n"[..], 2), (b"2\n", 2), (b"2;a\rb\r\n", 2)] {
        // Where the line ends at its LF two bytes are content; else it goes on to the next CRLF.
        let head = b"POST /0 HTTP/1.1\r\nHost: h\r\nX-Id: 0\r\nTransfer-Encoding: chunked\r\n\r\n";
        let body = [line, &vec![b'x'; size], b"\r\n0\r\n\r\n"].concat();
        let mut wire = Wire::open([1000, 2000], 1448);
        turn(&mut wire, &[&[&head[..], &body, phantom].concat()], &answer(0));
        for n in 1..8 {
            turn(&mut wire, &[&asked(n)], &answer(n));
        }
        wire.close(true);
        assert_unmarked_pairs_are_right(&run(&wire.segs).0, &String::from_utf8_lossy(line));
    }
}

#[test]
fn behind_a_chunk_that_only_some_servers_end_requests_are_seen() {
    let head =
        b"POST /shape HTTP/1.1\r\nHost: h\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n";
    for answered_first in [true, false] {
        let mut wire = Wire::open([1000, 2000], 1448);
        let first = [&head[..], b"5\r\nABCDE\nf000000\r\n\r\n"].concat();
        if answered_first {
            turn(&mut wire, &[&first], OK);
            turn(&mut wire, &[&get("/secret0")], OK);
        } else {
            turn(&mut wire, &[&first, &get("/secret0")], &OK.repeat(2));
        }
        wire.close(true);
        let seen = run(&wire.segs).0;
        has_all(&seen, &secrets(1), "chunk");
        let told = seen.iter().find(|e| targets(std::slice::from_ref(*e)) == ["/secret0"]).unwrap();
        assert!(told.acknowledged && told.response.is_some(), "{:?}", told.completeness);
    }
}

#[test]
fn white_space_of_any_kind_ends_a_method() {
    let mut wire = Wire::open([1000, 2000], 1448);
    turn(&mut wire, &[&get("/first")], OK);
    turn(&mut wire, &[b"GET\xa0/secret0?id=%27\xa0HTTP/1.1\r\nHost: h\r\n\r\n"], OK);
    wire.close(true);
    let seen = run(&wire.segs).0;
    let odd =
        seen.iter().filter_map(|e| e.request.as_ref()).find(|r| r.target.starts_with(b"/secret0?id=%27"));
    assert_eq!(odd.map(|r| r.method.as_slice()), Some(&b"GET"[..]));
}

#[test]
fn codings_far_down_a_long_head_end_a_message_as_servers_read_them() {
    let many: String = (0..70).map(|n| format!("Transfer-Encoding: x{n}\r\n")).collect();
    for codings in ["Transfer-Encoding: chun ked\r\n", many.as_str(), "Transfer-Encoding: identity\r\n"] {
        let head = format!(
            "POST /0 HTTP/1.1\r\nHost: h\r\nX-Pad: {}\r\n{codings}Transfer-Encoding: chunked\r\nX-Id: 0\r\n\r\n",
            "p".repeat(70_000)
        );
        let inner = asked(77);
        let body = [format!("{:x}\r\n", inner.len()).as_bytes(), &inner, b"\r\n0\r\n\r\n"].concat();
        let mut wire = Wire::open([1000, 2000], 1448);
        turn(&mut wire, &[head.as_bytes(), &body], &answer(0));
        for n in 1..6 {
            turn(&mut wire, &[&asked(n)], &answer(n));
        }
        wire.close(true);
        let seen = run(&wire.segs).0;
        let content = seen[0].request.as_ref().map(|r| r.body.bytes.clone());
        assert_eq!(content, Some(inner), "{codings:.40}");
        assert_unmarked_pairs_are_right(&seen[1..], codings);
    }
}

/// A log shipper whose records are raw requests, behind one that asked for HTTP/2 as clients in Java do.
#[test]
fn uploads_behind_an_upgrade_that_was_refused_are_uploads() {
    let bulk = |n: usize| {
        let records: Vec<Vec<u8>> = (0..n).map(|n| get(&format!("/logged{n}?id=%27+or+1"))).collect();
        let len: usize = records.iter().map(Vec::len).sum();
        (format!("POST /bulk HTTP/1.1\r\nHost: h\r\nContent-Length: {len}\r\n\r\n").into_bytes(), records)
    };
    for what in ["lost answer", "one side", "in order"] {
        let mut wire = Wire::open([1000, 2000], 1448);
        turn(&mut wire, &[UPGRADE], OK);
        if what == "lost answer" {
            wire.segs.retain(|s| s.up || s.data.is_empty());
        }
        let (head, records) = bulk(40);
        let said: Vec<&[u8]> = std::iter::once(&head[..]).chain(records.iter().map(Vec::as_slice)).collect();
        turn(&mut wire, &said, OK);
        turn(&mut wire, &[&get("/after")], OK);
        wire.close(true);
        if what == "one side" {
            wire.segs.retain(|s| s.up);
        }
        assert_eq!(targets(&run(&wire.segs).0), ["/up", "/bulk", "/after"], "{what}");
    }
}

#[test]
fn an_upload_that_asks_for_another_protocol_and_is_refused_early_is_one_request() {
    let records: Vec<Vec<u8>> = (0..40).map(|n| get(&format!("/logged{n}"))).collect();
    let len: usize = records.iter().map(Vec::len).sum();
    let head = format!(
        "POST /bulk HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: {len}\r\n\r\n"
    );
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.send(true, head.as_bytes());
    for (n, record) in records.iter().enumerate() {
        wire.send(true, record);
        wire.ack(false);
        if n == 4 {
            wire.send(false, b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
            wire.ack(true);
        }
    }
    wire.close(true);
    let seen = run(&wire.segs).0;
    assert_eq!(targets(&seen), ["/bulk"]);
    assert!(!seen[0].completeness.contains(Completeness::RESYNCHRONISED) && seen[0].response.is_some());
}

/// The same, and the server had it.
fn is_heard(seen: &[Exchange], target: &str, what: &str) {
    let is_it = |e: &&Exchange| e.request.as_ref().is_some_and(|r| r.target == target.as_bytes());
    let told = seen.iter().find(is_it);
    assert!(told.is_some_and(|e| e.acknowledged), "{what}: {target} of {:?}", targets(seen));
}

#[test]
fn decoys_in_a_chunk_hide_nothing_behind_its_odd_end() {
    let decoys: [(&str, &[u8]); 4] = [
        ("content", b"POST /decoy HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n"),
        ("head", b"GET /decoy HTTP/1.1\r\nHost: h\r\nX: "),
        ("whole", b"GET /decoy HTTP/1.1\r\nHost: h\r\n\r\n"),
        (
            "many",
            b"GET /a HTTP/1.1\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 9000\r\n\r\nGET /c HTTP/1.1\r\nX: y",
        ),
    ];
    for (what, decoy) in decoys {
        for is_apart in [true, false] {
            let mut wire = Wire::open([1000, 2000], 1448);
            let head = b"POST /shape HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
            let size = format!("{:x}\r\n", decoy.len());
            let (end, then) = (b"\nf000000\r\n\r\n", get("/secret0"));
            turn(&mut wire, &[&[&head[..], size.as_bytes()].concat()], b"");
            if is_apart {
                turn(
                    &mut wire,
                    &[decoy, end],
                    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Id: shape\r\n\r\n",
                );
                turn(&mut wire, &[&then], b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Id: secret0\r\n\r\n");
            } else {
                let answers = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Id: shape\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Id: secret0\r\n\r\n";
                turn(&mut wire, &[decoy, &[&end[..], &then].concat()], answers);
            }
            turn(
                &mut wire,
                &[&get("/secret1")],
                b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Id: secret1\r\n\r\n",
            );
            wire.close(true);
            let seen = run(&wire.segs).0;
            is_heard(&seen, "/secret0", what);
            is_heard(&seen, "/secret1", what);
            assert_unmarked_pairs_are_right(&seen, what);
        }
    }
}

#[test]
fn content_that_its_server_reads_as_requests_is_told_with_any_white_space() {
    let lines: [&[u8]; 6] =
        [b"GET\t/", b"GET\x0b/", b"GET\x85/", b"GET\xa0/", b"\xa0GET /", b"\x0b\x85GET\x1f/"];
    for line in lines {
        let mut wire = Wire::open([1000, 2000], 1448);
        let head = b"POST /shape HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n".as_slice();
        turn(&mut wire, &[head], OK);
        for n in 0..2 {
            let rest = format!("secret{n} HTTP/1.1\r\nHost: h\r\n\r\n");
            turn(&mut wire, &[&[line, rest.as_bytes()].concat()], OK);
        }
        wire.close(true);
        let seen = run(&wire.segs).0;
        let told = |n: usize| {
            let target = format!("/secret{n}");
            seen.iter().any(|e| {
                e.acknowledged && e.request.as_ref().is_some_and(|r| r.target.starts_with(target.as_bytes()))
            })
        };
        assert!(told(0) && told(1), "{:?}: {:?}", String::from_utf8_lossy(line), targets(&seen));
    }
}

#[test]
fn what_comes_with_the_end_of_odd_chunks_may_be_dropped_with_it() {
    let answer =
        |id: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Id: {id}\r\n\r\n").into_bytes();
    let behind: [(&str, &[u8]); 4] = [
        ("content", DUMMY),
        ("half a head", b"GET /d HTTP/1.1\r\nHost: h\r\n"),
        ("a value", b"GET /d HTTP/1.1\r\nX: "),
        ("whole", b"GET /dropped HTTP/1.1\r\nHost: h\r\n\r\n"),
    ];
    for (what, dummy) in behind {
        for chunks in [
            &b"5 \r\nhello\r\n0\r\n\r\n"[..],
            b"5\t\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhello\r\n 0\r\n\r\n",
            b"5\nhello\r\n0\r\n\r\n",
        ] {
            let mut wire = Wire::open([1000, 2000], 1448);
            let head = b"POST /shape HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
            turn(&mut wire, &[&[&head[..], chunks, dummy].concat()], &answer("shape"));
            for n in 0..2 {
                turn(&mut wire, &[&get(&format!("/secret{n}"))], &answer(&format!("secret{n}")));
            }
            wire.close(true);
            let seen = run(&wire.segs).0;
            is_heard(&seen, "/secret0", what);
            is_heard(&seen, "/secret1", what);
            assert_unmarked_pairs_are_right(&seen, what);
        }
    }
}

#[test]
fn whole_content_that_its_server_reads_as_requests_is_told_by_an_answer_too_many() {
    let post = |n: usize| {
        let content = get(&format!("/secret{n}"));
        let head = format!("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", content.len());
        [head.as_bytes(), &content].concat()
    };
    let answer =
        |id: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Id: {id}\r\n\r\n").into_bytes();
    for (is_pipelined, is_early) in [(true, false), (false, false), (true, true)] {
        let mut wire = Wire::open([1000, 2000], 1448);
        for n in 0..2 {
            let answers = [answer("x"), answer(&format!("secret{n}"))].concat();
            if is_early {
                let (post, content) = (post(n), get(&format!("/secret{n}")));
                turn(&mut wire, &[&post[..post.len() - content.len()]], &answer("x"));
                let answers = [answer(&format!("secret{n}")), answer("a")].concat();
                turn(&mut wire, &[&[content, get("/a")].concat()], &answers);
            } else if is_pipelined {
                turn(&mut wire, &[&[post(n), get("/a")].concat()], &[answers, answer("a")].concat());
            } else {
                turn(&mut wire, &[&post(n)], &answers);
                turn(&mut wire, &[&get("/a")], &answer("a"));
            }
        }
        wire.close(true);
        let seen = run(&wire.segs).0;
        is_heard(&seen, "/secret0", "whole");
        is_heard(&seen, "/secret1", "whole");
        assert_unmarked_pairs_are_right(&seen, "whole");
    }
}

#[test]
fn an_upload_of_raw_requests_has_its_pair_whatever_a_server_says_before_it_closes() {
    let content = get("/logged");
    let head = format!("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", content.len());
    let mut wire = Wire::open([1000, 2000], 1448);
    for _ in 0..3 {
        turn(&mut wire, &[head.as_bytes(), &content], OK);
    }
    wire.send(false, b"HTTP/1.1 408 Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    wire.close(false);
    let seen = run(&wire.segs).0;
    assert_eq!(targets(&seen), ["/x", "/x", "/x"]);
    assert!(seen.iter().all(|e| e.response.is_some()));
    assert!(seen[0].completeness.is_whole());
}
