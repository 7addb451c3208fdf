//! Lines that some servers read and others refuse: what stands behind them is seen, and no pair is wrong without a mark.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{OK, Wire, request_id, response_id, run_usual as run, targets};
use sidetap_model::{Anomaly, Completeness, Exchange};

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
}

fn asked(n: usize) -> Vec<u8> {
    format!("GET /{n} HTTP/1.1\r\nHost: h\r\nX-Id: {n}\r\n\r\n").into_bytes()
}

fn answer(n: usize) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Id: {n}\r\n\r\nok").into_bytes()
}

/// What the client says, in one piece or in several, and what is answered.
fn turn(wire: &mut Wire, said: &[&[u8]], answered: &[u8]) {
    for piece in said {
        wire.send(true, piece);
        wire.ack(false);
    }
    wire.send(false, answered);
    wire.ack(true);
}

fn assert_unmarked_pairs_are_right(seen: &[Exchange], what: &str) {
    for e in seen.iter().filter(|e| e.completeness.is_whole()) {
        let (asked, answered) = (request_id(e), response_id(e));
        let right = asked.as_ref().map(|id| id.trim_start_matches('/').to_owned()) == answered;
        assert!(right || answered.is_none(), "{what}: {asked:?} {answered:?}");
    }
}

/// After `odd` and its answer four requests come whose first bytes stand in a segment of their own.
fn secrets_behind(odd: &[&[u8]], answered: &[u8]) -> Vec<Exchange> {
    let mut wire = Wire::open([1000, 2000], 1448);
    turn(&mut wire, &[&get("/first")], OK);
    turn(&mut wire, odd, answered);
    for n in 0..4 {
        let secret = get(&format!("/secret{n}"));
        turn(&mut wire, &[&secret[..2], &secret[2..]], OK);
    }
    wire.close(true);
    run(&wire.segs).0
}

#[test]
fn requests_are_seen_behind_lines_that_only_their_server_reads() {
    let lines: [&[&[u8]]; 6] = [
        &[b"SOURCE /shape ICE/1.1\r\nHost: h\r\n\r\n"],
        &[b"DESCRIBE /shape RTSP/1.1\r\nHost: h\r\n\r\n"],
        &[b"FROB /shape FROB/1.1\r\nHost: h\r\n\r\n"],
        &[b"FROB /shape FROB/1.1\r\nHost", b": h\r\n\r\n"],
        &[b"FROB /shape FROB/1.1\r\n"],
        &[b"POST /shape HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"],
    ];
    for line in lines {
        let what = String::from_utf8_lossy(line[0]).into_owned();
        let seen = secrets_behind(line, OK);
        let all = targets(&seen);
        assert!((0..4).all(|n| all.contains(&format!("/secret{n}"))), "{what}: {all:?}");
        assert!(seen.iter().all(|e| e.request.is_some()), "{what}: an answer without its request");
    }
}

#[test]
fn lines_that_a_server_refuses_are_no_request() {
    let refused = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let seen = secrets_behind(&[b"FROB /shape FROB/1.1\r\nHost: h\r\n\r\n"], refused);
    assert!(!targets(&seen).contains(&"/shape FROB/1.1".to_owned()));
    let lone: Vec<_> = seen.iter().filter(|e| e.request.is_none()).collect();
    assert_eq!(lone.len(), 1);
    assert!(lone[0].completeness.contains(Completeness::NO_REQUEST));
}

#[test]
fn lines_that_an_application_refuses_are_requests() {
    for closes in ["", "Connection: close\r\n"] {
        let refused = format!("HTTP/1.1 400 Bad Request\r\n{closes}Content-Length: 0\r\n\r\n");
        let seen = secrets_behind(&[b"POST /shape?id=%27\r\nHost: h\r\n\r\n"], refused.as_bytes());
        let shape = seen.iter().find(|e| e.request.as_ref().is_some_and(|r| r.target == b"/shape?id=%27"));
        assert_eq!(shape.and_then(|e| e.response.as_ref()).map(|r| r.status), Some(400), "{closes}");
        assert!(seen.iter().all(|e| e.request.is_some()), "{closes}");
    }
}

#[test]
fn bytes_that_are_no_text_are_passed_over() {
    let seen = secrets_behind(&[b"\0\x01\x02\x03\r\n\r\n"], OK);
    let all = targets(&seen);
    assert!((0..4).all(|n| all.contains(&format!("/secret{n}"))), "{all:?}");
    assert!(seen.iter().any(|e| e.anomalies.contains(Anomaly::Garbage)));
}

/// A message that some servers take for the end of what they read, or for more than others do; the next request is swallowed.
fn swallowed(first: &[u8], interim: &[u8]) -> Vec<Exchange> {
    let mut wire = Wire::open([1000, 2000], 1448);
    turn(&mut wire, &[&asked(1)], &answer(1));
    // The server answers the second of these two, and goes on.
    wire.send(true, first);
    wire.ack(false);
    if !interim.is_empty() {
        wire.send(false, interim);
        wire.ack(true);
    }
    for n in 3..7 {
        turn(&mut wire, &[&asked(n)], &answer(n));
    }
    wire.close(true);
    run(&wire.segs).0
}

#[test]
fn no_pair_is_wrong_unmarked_where_servers_differ_in_what_a_message_is() {
    let long = [
        b"GET /2 HTTP/1.1\r\nHost: h\r\nX-Id: 2\r\n".to_vec(),
        format!("X-Pad: {}\r\n", "p".repeat(1000)).repeat(80).into_bytes(),
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n".to_vec(),
        asked(9),
    ]
    .concat();
    let post = |end: &str| {
        format!("POST /2 HTTP/1.1\r\nHost: h\r\nX-Id: 2\r\nTransfer-Encoding: chunked\r\n\r\n{end}")
            .into_bytes()
    };
    let none: &[u8] = b"";
    let continues: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
    let shapes: [(&str, Vec<u8>, &[u8]); 4] = [
        (
            "expect",
            b"GET /2 HTTP/1.1\r\nHost: h\r\nX-Id: 2\r\nExpect: 100-continue\r\n\r\n".to_vec(),
            continues,
        ),
        ("trailer-lf", post("0\r\nX: y\n\n"), none),
        ("trailer-cr", post("0\r\n\r\r\n"), none),
        ("long-upgrade", long, &answer(2)),
    ];
    for (what, first, interim) in shapes {
        let seen = swallowed(&first, interim);
        assert!((3..7).all(|n| targets(&seen).contains(&format!("/{n}"))), "{what}");
        assert_unmarked_pairs_are_right(&seen, what);
    }
}

#[test]
fn what_comes_with_a_connect_that_is_answered_with_content_may_never_have_been_read() {
    let mut wire = Wire::open([1000, 2000], 1448);
    turn(&mut wire, &[&asked(1)], &answer(1));
    let connect = b"CONNECT /2 HTTP/1.1\r\nHost: h\r\nX-Id: 2\r\n\r\n";
    turn(&mut wire, &[&[&connect[..], &asked(9)].concat()], &answer(2));
    for n in 3..7 {
        turn(&mut wire, &[&asked(n)], &answer(n));
    }
    wire.close(true);
    let (seen, _) = run(&wire.segs);
    assert!((3..7).all(|n| targets(&seen).contains(&format!("/{n}"))));
    assert_unmarked_pairs_are_right(&seen, "connect");
}

#[test]
fn a_101_that_nobody_asked_for_ends_nothing() {
    let seen = secrets_behind(&[&get("/status/101")], b"HTTP/1.1 101 Switching Protocols\r\n\r\n");
    assert_eq!(targets(&seen).len(), 6);
    assert!(seen.iter().any(|e| e.anomalies.contains(Anomaly::UpgradeUnasked)));
    assert!(seen.iter().all(|e| e.response.is_some() && e.completeness.is_whole()));
}

#[test]
fn white_space_amid_a_connection_costs_nothing_and_hides_nothing() {
    let mut wire = Wire::open([1000, 2000], 1448);
    turn(&mut wire, &[&get("/first")], OK);
    wire.send(true, &[b'\t'; 80]);
    for _ in 0..2_000 {
        wire.send(true, b"\n\r\n");
    }
    wire.ack(false);
    turn(&mut wire, &[&get("/next")], OK);
    wire.close(true);
    let (seen, _) = run(&wire.segs);
    assert_eq!(targets(&seen), ["/first", "/next"]);
    assert!(seen[1].anomalies.contains(Anomaly::LeadingEmptyLine));
}

#[test]
fn what_the_opener_of_a_connection_that_was_seen_whole_says_is_his_word() {
    let burst = |n: usize| [asked(2 * n), asked(2 * n + 1)].concat();
    let mut wire = Wire::open([1000, 2000], 1448);
    turn(&mut wire, &[&asked(0)], &answer(0));
    // Lines that cannot be read, of which nobody knows what they were: from here on messages are looked for.
    turn(&mut wire, &[b"\0\x01\x02 /x\r\n\r\n"], b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n");
    for n in 1..4 {
        turn(&mut wire, &[&burst(n)], &[answer(2 * n), answer(2 * n + 1)].concat());
    }
    wire.close(true);
    let (seen, _) = run(&wire.segs);
    let asked: Vec<_> = seen.iter().filter(|e| e.request.is_some()).collect();
    assert_eq!(asked.len(), 7);
    assert!(asked.iter().all(|e| e.acknowledged), "the server had them, and they are the client's own");
    assert!(asked.iter().all(|e| !e.completeness.contains(Completeness::RESYNCHRONISED)));
}

/// A name, the head of an upload, and answers that come amid it.
type Upload = (&'static str, &'static [u8], Vec<&'static [u8]>);

/// An upload of lines that read like requests, each at the beginning of a segment, behind `head`; `answers` come before and amid it.
fn uploaded(head: &[u8], answers: &[&[u8]]) -> Vec<Exchange> {
    let mut wire = Wire::open([1000, 2000], 1448);
    turn(&mut wire, &[&get("/first")], OK);
    wire.send(true, head);
    wire.ack(false);
    for n in 0..12 {
        if let Some(answer) = answers.get(n) {
            wire.send(false, answer);
            wire.ack(true);
        }
        wire.send(true, &get(&format!("/logged{n}")));
        wire.ack(false);
    }
    wire.close(true);
    run(&wire.segs).0
}

#[test]
fn content_that_reads_like_requests_convicts_nobody_where_a_body_broke_off() {
    let too_large: &[u8] = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n";
    let late: &[u8] = b"HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n";
    let bad: &[u8] = b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n";
    let stream: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n";
    let shapes: [Upload; 4] = [
        (
            "early",
            b"POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 90000\r\n\r\nline\n",
            vec![too_large, late],
        ),
        (
            "chunk",
            b"POST /up HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nline too long\r\n",
            vec![bad],
        ),
        ("attach", b"POST /attach HTTP/1.1\r\nHost: h\r\n\r\n", vec![stream]),
        ("nolen", b"POST /up HTTP/1.1\r\nHost: h\r\n\r\nsome lines\r\nof text\r\n\r\n", vec![bad]),
    ];
    for (what, head, answers) in shapes {
        for e in uploaded(head, &answers).iter().filter(|e| e.response.is_none()) {
            let target = e.request.as_ref().map(|r| String::from_utf8_lossy(&r.target).into_owned());
            assert!(!e.acknowledged || target.as_deref() == Some("/attach"), "{what}: {target:?}");
        }
    }
}

#[test]
fn a_101_that_names_no_protocol_ends_nothing() {
    let asks = b"GET /status/101 HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
    let seen = secrets_behind(&[&asks[..]], b"HTTP/1.1 101 Switching Protocols\r\n\r\n");
    let all = targets(&seen);
    assert!((0..4).all(|n| all.contains(&format!("/secret{n}"))), "{all:?}");
}

#[test]
fn the_first_line_of_a_connection_is_told_by_its_answer() {
    let lines: [&[u8]; 5] = [
        b"POST /shape\r\nHost: h\r\n\r\n",
        b"SOURCE /shape ICE/1.1\r\nHost: h\r\n\r\n",
        b"FOO /shape\r\nHost: h\r\n\r\n",
        b"GET http://h/shape\r\n",
        b"GET /shape FROB/1.1\r\nHost: h\r\n\r\n",
    ];
    for line in lines {
        let what = String::from_utf8_lossy(line).into_owned();
        let mut wire = Wire::open([1000, 2000], 1448);
        turn(&mut wire, &[line], OK);
        turn(&mut wire, &[&get("/next")], OK);
        wire.close(true);
        let (seen, _) = run(&wire.segs);
        let all = targets(&seen);
        assert!(
            all.iter().any(|t| t.contains("/shape")) && all.contains(&"/next".to_owned()),
            "{what}: {all:?}"
        );
        let first = seen.iter().find(|e| e.request.as_ref().is_some_and(|r| r.target.ends_with(b"shape")));
        assert!(first.is_none_or(|e| e.response.is_some() && e.acknowledged), "{what}");
    }
}

#[test]
fn a_request_in_pieces_is_not_given_up_for_a_line_in_its_fields() {
    let mut wire = Wire::open([1000, 2000], 1448);
    turn(&mut wire, &[&get("/first")], OK);
    turn(
        &mut wire,
        &[b"POST /shape HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n;a\r\n\r\n"],
        OK,
    );
    turn(&mut wire, &[b"GE", b"T /secret HTTP/1.1\r\nHost: h\r\nX: ", &get("/decoy")], OK);
    wire.close(true);
    let all = targets(&run(&wire.segs).0);
    assert!(all.contains(&"/secret".to_owned()) && !all.contains(&"/decoy".to_owned()), "{all:?}");
}

#[test]
fn lines_without_an_end_take_no_later_request_with_them() {
    let mut wire = Wire::open([1000, 2000], 1448);
    turn(&mut wire, &[&get("/first")], OK);
    wire.send(true, b"FROB /shape FROB/1.1\r\n");
    for _ in 0..72 {
        wire.send(true, format!("X-Pad: {}\r\n", "p".repeat(1000)).as_bytes());
    }
    wire.send(true, b"\r\n");
    wire.ack(false);
    let secret = get("/secret");
    wire.send(true, &secret[..secret.len() - 4]);
    wire.ack(false);
    turn(&mut wire, &[], OK);
    turn(&mut wire, &[&secret[secret.len() - 4..]], OK);
    turn(&mut wire, &[&get("/next")], OK);
    wire.close(true);
    let all = targets(&run(&wire.segs).0);
    assert!(all.contains(&"/secret".to_owned()) && all.contains(&"/next".to_owned()), "{all:?}");
}

#[test]
fn lines_of_text_that_nobody_answers_are_nobody_s_requests() {
    let mut wire = Wire::open([1000, 2000], 1448);
    for n in 0..20 {
        wire.send(true, b"<34>Oct 11 22:14:15 host app: a line\n");
        wire.send(true, &get(&format!("/logged{n}")));
        wire.ack(false);
    }
    wire.close(true);
    let (seen, _) = run(&wire.segs);
    assert!(seen.iter().all(|e| !e.acknowledged), "{:?}", targets(&seen));
}

#[test]
fn chunks_that_only_their_server_reads_hide_no_bursts_behind_them() {
    let post = "POST /shape HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    for chunks in [";a\r\n\r\n", "\r\n0\r\n\r\n"] {
        let burst = |n: usize| [asked(2 * n), asked(2 * n + 1)].concat();
        let mut wire = Wire::open([1000, 2000], 1448);
        turn(&mut wire, &[format!("{post}{chunks}").as_bytes()], &answer(0));
        for n in 1..4 {
            turn(&mut wire, &[&burst(n)], &[answer(2 * n), answer(2 * n + 1)].concat());
        }
        wire.close(true);
        let (seen, _) = run(&wire.segs);
        let asked: Vec<_> = seen.iter().filter(|e| e.request.is_some()).collect();
        assert_eq!(asked.len(), 7, "{chunks:?}");
        assert!(asked.iter().all(|e| e.acknowledged), "{chunks:?}");
        assert_unmarked_pairs_are_right(&seen[1..], chunks);
    }
}

const UPGRADE: &[u8] = b"GET /up HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n";

/// A name, what is sent with the first message, and behind it.
type Shape<'a> = (&'a str, Vec<u8>, Vec<&'a [u8]>);

/// Servers that drop what stands behind a message in its segment read what is announced as content of that as requests.
#[test]
fn content_of_what_a_server_may_have_dropped_hides_no_request() {
    let dummy = b"POST /dummy HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n";
    let whole = [dummy.as_slice(), b"\r\n"].concat();
    let chunked = b"POST /dummy HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n";
    let trailer =
        b"POST /shape HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\n".as_slice();
    let connect = b"CONNECT /shape HTTP/1.1\r\nHost: h\r\n\r\n".as_slice();
    let secret = get("/secret");
    let broken = [b"\r\n".as_slice(), &secret].concat();
    let own = b"POST /dummy HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: Upgrade\r\nContent-Length: 900000\r\n\r\n";
    let source = b"SOURCE /secret ICE/1.1\r\nHost: h\r\n\r\n".as_slice();
    let any = b"FOO /secret HTTP/1.1\r\nHost: h\r\n\r\n".as_slice();
    let shapes: [Shape<'_>; 10] = [
        ("another protocol's version", [UPGRADE, &whole].concat(), vec![source]),
        ("another method", [trailer, &whole].concat(), vec![any]),
        ("its own content", own.to_vec(), vec![&secret]),
        ("whole", [UPGRADE, &whole].concat(), vec![&secret]),
        ("split head", [UPGRADE, dummy].concat(), vec![&broken]),
        ("split request", [UPGRADE, &whole].concat(), vec![&secret[..2], &secret[2..]]),
        ("blank lines", [UPGRADE, &whole].concat(), vec![&broken]),
        ("chunked", [UPGRADE, chunked].concat(), vec![&secret]),
        ("trailer", [trailer, &whole].concat(), vec![&secret]),
        ("connect", [connect, &whole].concat(), vec![&secret]),
    ];
    for (what, first, then) in shapes {
        for answered_first in [true, false] {
            let mut wire = Wire::open([1000, 2000], 1448);
            if answered_first {
                turn(&mut wire, &[&first], OK);
                turn(&mut wire, &then, OK);
            } else {
                let all: Vec<&[u8]> = std::iter::once(first.as_slice()).chain(then.iter().copied()).collect();
                turn(&mut wire, &all, &[OK, OK].concat());
            }
            wire.close(true);
            let seen = run(&wire.segs).0;
            let secret = seen.iter().find(|e| e.request.as_ref().is_some_and(|r| r.target == b"/secret"));
            let secret = secret.unwrap_or_else(|| panic!("{what} {answered_first}: {:?}", targets(&seen)));
            assert!(secret.acknowledged && secret.response.is_some(), "{what} {answered_first}: {secret:?}");
            for e in seen.iter().filter(|e| targets(std::slice::from_ref(*e)) == ["/dummy"]) {
                assert!(!e.completeness.is_whole(), "{what}: {e:?}");
            }
        }
    }
}

#[test]
fn a_head_that_a_server_may_have_dropped_shifts_no_pair_without_a_mark() {
    let mut wire = Wire::open([1000, 2000], 1448);
    turn(&mut wire, &[&[UPGRADE, b"GET /dummy HTTP/1.1"].concat()], OK);
    // What is read: `GET /1`, `GET /2`, ...
    turn(&mut wire, &[b"\r\n\r\nGE", &asked(1)[2..]], &answer(1));
    for n in 2..6 {
        turn(&mut wire, &[&asked(n)], &answer(n));
    }
    wire.close(true);
    assert_unmarked_pairs_are_right(&run(&wire.segs).0, "shift");
}

#[test]
fn control_characters_that_servers_read_over_hide_no_request() {
    let many = [b"GET /shape".as_slice(), &[1; 200]].concat();
    let lines: [&[&[u8]]; 4] = [
        &[&many, b" HTTP/1.1\r\nHost: h\r\n\r\n"],
        &[b"\x0bGET /shape HTTP/1.1\r\nHost: h\r\n\r\n"],
        &[b"GET /shape\x01", b" HTTP/1.1\r\nHost: h\r\n\r\n"],
        &[b"GET /sha\x0bpe", b" HTTP/1.1\r\nHost: h\r\n\r\n"],
    ];
    for line in lines {
        let what = String::from_utf8_lossy(line[0]).into_owned();
        for first in [true, false] {
            let mut wire = Wire::open([1000, 2000], 1448);
            if !first {
                turn(&mut wire, &[&get("/first")], OK);
            }
            turn(&mut wire, line, OK);
            turn(&mut wire, &[&get("/after")], OK);
            wire.close(true);
            let seen = run(&wire.segs).0;
            let all = targets(&seen);
            assert!(all.iter().any(|t| t.contains("/sha")), "{what} {first}: {all:?}");
            assert!(all.contains(&"/after".to_owned()), "{what} {first}: {all:?}");
        }
    }
}

#[test]
fn a_change_of_protocols_that_nobody_asked_for_may_be_interim() {
    let interim = b"HTTP/1.1 101 Switching Protocols\r\n\r\n".as_slice();
    let mut wire = Wire::open([1000, 2000], 1448);
    let all: Vec<Vec<u8>> = (1..4).map(asked).collect();
    let answers = [interim, &answer(1), &answer(2), &answer(3)].concat();
    turn(&mut wire, &[&all.concat()], &answers);
    wire.close(true);
    let seen = run(&wire.segs).0;
    assert_eq!(targets(&seen).len(), 3);
    assert_unmarked_pairs_are_right(&seen, "interim");
}

#[test]
fn content_of_an_unknown_protocol_is_nobody_s_request() {
    let upgrade = b"POST /attach HTTP/1.1\r\nHost: h\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n";
    let switched = b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n";
    let piped = |answered: &[u8]| {
        let mut wire = Wire::open([1000, 2000], 1448);
        turn(&mut wire, &[upgrade], switched);
        for n in 0..8 {
            turn(&mut wire, &[&asked(n)], answered);
        }
        wire.close(true);
        run(&wire.segs).0
    };
    assert!(
        piped(b"hello\n").iter().skip(1).all(|e| !e.acknowledged),
        "an unread request is its sender's word"
    );
    let seen = piped(OK);
    assert_eq!(seen.iter().filter(|e| e.acknowledged && e.response.is_some()).count(), 9, "HTTP after all");
}

/// Clients that ask for HTTP/2 with their first request send content with it that may consist of anything.
#[test]
fn content_of_a_request_that_asks_for_another_protocol_is_its_own() {
    let content = (0..40).map(|n| format!("GET /line{n} HTTP/1.1\r\nHost: h\r\n\r\n")).collect::<String>();
    let head = format!(
        "POST /bulk HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: {}\r\n\r\n",
        content.len()
    );
    let mut wire = Wire::open([1000, 2000], 1448);
    let pieces: Vec<&[u8]> = std::iter::once(head.as_bytes())
        .chain(content.as_bytes().chunks(content.len() / 8 / 10 * 10))
        .collect();
    turn(&mut wire, &pieces, OK);
    turn(&mut wire, &[&get("/after")], OK);
    wire.close(true);
    let seen = run(&wire.segs).0;
    assert_eq!(targets(&seen), ["/bulk", "/after"]);
    assert!(seen[0].completeness.is_whole());
}

/// More than is kept behind a CONNECT request whose answer is due.
#[test]
fn no_length_behind_a_request_for_a_tunnel_hides_what_follows() {
    let fill =
        format!("POST /fill HTTP/1.1\r\nHost: h\r\nContent-Length: 80000\r\n\r\n{}", "a".repeat(80_000));
    let mut wire = Wire::open([1000, 2000], 1448);
    let mut all: Vec<Vec<u8>> =
        vec![b"CONNECT slow:80 HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), fill.into_bytes()];
    all.extend((0..4).map(|n| get(&format!("/secret{n}"))));
    let said: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
    turn(&mut wire, &said, &[OK; 6].concat());
    wire.close(true);
    let seen = run(&wire.segs).0;
    let all = targets(&seen);
    assert!((0..4).all(|n| all.contains(&format!("/secret{n}"))), "{all:?}");
    assert!(seen.iter().filter(|e| e.request.is_some()).all(|e| e.acknowledged));
}
