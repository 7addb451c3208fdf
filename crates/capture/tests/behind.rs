//! Places behind a request for another protocol at which its server may go on, wherever they are and whatever became of that request since; and
//! honest traffic that looks like it. docs/capture.md.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{OK, Wire, request_id, response_id, run_usual as run, targets};
use sidetap_model::{Completeness, Exchange};

const UPGRADE: &[u8] = b"GET /up HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n";
const UPLOAD: &[u8] =
    b"POST /up HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: Upgrade\r\nContent-Length: 10\r\n\r\n";
const DUMMY: &[u8] =
    b"POST /dummy HTTP/1.1\r\nHost: h\r\nContent-Type: image/png\r\nContent-Length: 900000\r\n\r\n";
const HALF: &[u8] = b"GET /d HTTP/1.1\r\nHost: h\r\n";

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
}

fn answer(id: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Id: {id}\r\n\r\nok").into_bytes()
}

/// One segment of the client, and what is answered to it.
fn turn(wire: &mut Wire, said: &[u8], answers: &[&[u8]]) {
    wire.send(true, said);
    wire.ack(false);
    answers.iter().for_each(|answer| wire.send(false, answer));
    wire.ack(true);
}

fn is_to(e: &Exchange, target: &str) -> bool {
    e.request.as_ref().is_some_and(|r| r.target == target.as_bytes())
}

/// What the server served is listed with its answer, and no pair that is unmarked is false.
fn assert_served(wire: &Wire, served: &[&str], what: &str) {
    let seen = run(&wire.segs).0;
    for target in served {
        let told = seen.iter().find(|e| is_to(e, target));
        let told = told.unwrap_or_else(|| panic!("{what}: {target} of {:?}", targets(&seen)));
        assert!(told.acknowledged && told.response.is_some(), "{what}: {target} {:?}", told.completeness);
        assert_eq!(response_id(told), Some(target.trim_start_matches('/').to_owned()), "{what}");
    }
    for e in seen.iter().filter(|e| e.completeness.is_whole() && response_id(e).is_some()) {
        let asked = request_id(e).map(|id| id.trim_start_matches('/').to_owned());
        assert_eq!(asked, response_id(e), "{what}");
    }
}

#[test]
fn what_comes_behind_content_that_was_answered_early_may_be_dropped_with_its_end() {
    for (what, dummy) in [("content", DUMMY), ("half a head", HALF)] {
        for is_apart in [false, true] {
            let mut wire = Wire::open([1000, 2000], 1448);
            turn(&mut wire, &[UPLOAD, &b"12345"[..]].concat(), &[&answer("up")]);
            if is_apart && dummy == HALF {
                // A busy server reads both at once all the same.
                turn(&mut wire, b"67890", &[]);
                turn(&mut wire, dummy, &[]);
            } else {
                turn(&mut wire, &[&b"67890"[..], dummy].concat(), &[]);
            }
            turn(&mut wire, &get("/secret0"), &[&answer("secret0")]);
            wire.close(true);
            assert_served(&wire, &["/secret0"], what);
        }
    }
    let mut wire = Wire::open([1000, 2000], 1448);
    let ids: Vec<String> = (0..6).map(|n| format!("secret{n}")).collect();
    for id in &ids {
        turn(&mut wire, &[UPLOAD, &b"12345"[..]].concat(), &[&answer("up")]);
        turn(&mut wire, &[&b"67890"[..], HALF].concat(), &[]);
        turn(&mut wire, &get(&format!("/{id}")), &[&answer(id)]);
    }
    wire.close(true);
    let served: Vec<String> = ids.iter().map(|id| format!("/{id}")).collect();
    assert_served(&wire, &served.iter().map(String::as_str).collect::<Vec<_>>(), "chain");
}

#[test]
fn a_busy_server_drops_what_was_sent_apart_from_the_end_of_such_content_too() {
    let chunked =
        b"POST /dummy HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n".as_slice();
    for (what, dummy) in [("content", DUMMY), ("chunks", chunked), ("half a head", HALF)] {
        for cut in [0, 2, 5] {
            let mut wire = Wire::open([1000, 2000], 1448);
            turn(&mut wire, &[UPLOAD, &b"12345"[..]].concat(), &[&answer("up")]);
            turn(&mut wire, b"67890", &[]);
            turn(&mut wire, dummy, &[]);
            let then = get("/secret0");
            let (first, rest) = then.split_at(cut);
            if cut > 0 {
                turn(&mut wire, first, &[]);
            }
            turn(&mut wire, rest, &[&answer("secret0")]);
            turn(&mut wire, &get("/secret1"), &[&answer("secret1")]);
            wire.close(true);
            assert_served(&wire, &["/secret0", "/secret1"], &format!("{what} {cut}"));
        }
    }
}

#[test]
fn an_answer_to_another_request_between_it_and_what_is_dropped_behind_it_is_none_to_it_where_pairs_are_proven()
 {
    for dummy in [DUMMY, HALF, &[DUMMY, &[b'x'; 50]].concat(), &[HALF, b"X: "].concat()] {
        for filler in [0, 20] {
            let mut wire = Wire::open([1000, 2000], 1448);
            turn(&mut wire, &[UPGRADE, &get("/dropped")].concat(), &[&answer("up")]);
            turn(&mut wire, &get("/slow"), &[]);
            turn(&mut wire, UPGRADE, &[&answer("slow")]);
            turn(&mut wire, dummy, &[&answer("up")]);
            for n in 0..2 {
                let then =
                    [&vec![0; if n == 0 { filler } else { 0 }][..], &get(&format!("/secret{n}"))].concat();
                turn(&mut wire, &then, &[&answer(&format!("secret{n}"))]);
            }
            wire.close(true);
            let seen = run(&wire.segs).0;
            for target in ["/secret0", "/secret1"] {
                let told = seen.iter().find(|e| is_to(e, target));
                assert!(told.is_some_and(|e| e.acknowledged), "{target} of {:?}", targets(&seen));
            }
            assert_served(&wire, &[], "between");
        }
    }
}

#[test]
fn a_request_amid_a_segment_is_seen_in_heads_and_content_that_were_dropped() {
    let head = |filler: &[u8], len: usize| {
        let head = [UPGRADE, b"GET /d HTTP/1.1\r\nHost: h\r\nX: "].concat();
        [&head[..], &filler.repeat(len / filler.len())].concat()
    };
    let content = |filler: &[u8]| [UPGRADE, DUMMY, &filler.repeat(700)[..]].concat();
    let old = b"POST /secret0\r\n\r\n".to_vec();
    let shapes = [
        ("a value", head(b"y", 900), get("/secret0")),
        ("a value over segments", head(b"y", 3_000), get("/secret0")),
        ("a long head", head(b"y", 65_000), get("/secret0")),
        ("a longer head", head(b"y", 66_000), get("/secret0")),
        ("a request line", [UPGRADE, b"GET /dyyyyyyyyy"].concat(), get("/secret0")),
        ("lines of a head", head(b"y\r\nX: y", 900), get("/secret0")),
        ("letters", content(b"x"), get("/secret0")),
        ("capital letters", content(b"X"), get("/secret0")),
        ("no version", content(b"\0"), old.clone()),
        ("letters and no version", content(b"x"), old),
        ("a decoy", [content(b"\0"), b"GET /decoy ".to_vec()].concat(), get("/secret0")),
        ("an odd method", content(b"\0"), b"SOURCE /secret0 HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()),
    ];
    for (what, dropped, then) in shapes {
        let mut wire = Wire::open([1000, 2000], 1448);
        turn(&mut wire, &get("/first"), &[&answer("first")]);
        turn(&mut wire, &[&dropped[..], &then].concat(), &[&answer("up"), &answer("secret0")]);
        turn(&mut wire, &get("/after"), &[&answer("after")]);
        wire.close(true);
        assert_served(&wire, &["/secret0", "/after"], what);
    }
}

#[test]
fn a_request_whose_method_is_cut_by_a_segments_end_is_seen_amid_others() {
    let value = [UPGRADE, b"GET /d HTTP/1.1\r\nHost: h\r\nX: ", &[b'y'; 900]].concat();
    let content = [UPGRADE, DUMMY, &[b'x'; 900]].concat();
    let zeros = [UPGRADE, DUMMY, &[0; 900]].concat();
    for dropped in [value, content, zeros, [UPGRADE, HALF].concat()] {
        for cuts in [&[1][..], &[2], &[3], &[4], &[5], &[1, 2], &[1, 3]] {
            let mut wire = Wire::open([1000, 2000], 1448);
            let then = get("/secret0");
            let first = [&dropped[..], &then[..cuts[0]]].concat();
            turn(&mut wire, &first, &[]);
            let ends = cuts.iter().copied().skip(1).chain([then.len()]);
            for (from, end) in cuts.iter().copied().zip(ends) {
                turn(&mut wire, &then[from..end], &[]);
            }
            turn(&mut wire, b"", &[&answer("up"), &answer("secret0")]);
            turn(&mut wire, &get("/after"), &[&answer("after")]);
            wire.close(true);
            assert_served(&wire, &["/secret0", "/after"], &format!("{cuts:?}"));
            let seen = run(&wire.segs).0;
            let told = seen.iter().find(|e| is_to(e, "/secret0")).and_then(|e| e.request.as_ref()).unwrap();
            assert_eq!(told.method, b"GET", "{cuts:?}");
        }
    }
}

#[test]
fn a_request_amid_a_segment_is_told_behind_what_cannot_be_read() {
    let mut wire = Wire::open([1000, 2000], 1448);
    let garbage = [UPGRADE, &b"\x01\x02".repeat(900)].concat();
    turn(&mut wire, &[&garbage[..], &get("/secret0")].concat(), &[&answer("up"), &answer("secret0")]);
    wire.close(true);
    let seen = run(&wire.segs).0;
    let told = seen.iter().find(|e| is_to(e, "/secret0"));
    let told = told.unwrap_or_else(|| panic!("{:?}", targets(&seen)));
    assert!(told.acknowledged, "{:?}", told.completeness);
    assert_served(&wire, &[], "garbage");
}

#[test]
fn behind_a_chunk_that_only_some_servers_end_a_request_in_its_segment_is_seen() {
    let head =
        b"POST /shape HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nABCDE\nf000000\r\n\r\n";
    for answered_first in [true, false] {
        let mut wire = Wire::open([1000, 2000], 1448);
        turn(&mut wire, &get("/first"), &[&answer("first")]);
        let both = [&head[..], &get("/secret0")].concat();
        if answered_first {
            turn(&mut wire, &both, &[&answer("shape"), &answer("secret0")]);
            turn(&mut wire, &get("/secret1"), &[&answer("secret1")]);
        } else {
            turn(&mut wire, &both, &[]);
            turn(&mut wire, &get("/secret1"), &[&answer("shape"), &answer("secret0"), &answer("secret1")]);
        }
        wire.close(true);
        assert_served(&wire, &["/secret0", "/secret1"], "same segment");
    }
}

#[test]
fn many_requests_behind_it_hide_no_request_for_another_protocol() {
    for count in [70, 257, 300, 900] {
        for dummy in [DUMMY, HALF] {
            let mut wire = Wire::open([1000, 2000], 60_000);
            turn(
                &mut wire,
                &[UPGRADE, &b"GET / HTTP/1.0\r\n\r\n".repeat(count), dummy].concat(),
                &[&answer("up")],
            );
            for n in 0..3 {
                turn(&mut wire, &get(&format!("/secret{n}")), &[answer(&format!("secret{n}")).as_slice()]);
            }
            wire.close(true);
            assert_served(&wire, &["/secret0", "/secret1", "/secret2"], &count.to_string());
        }
    }
}

#[test]
fn what_comes_with_the_end_of_content_behind_connect_may_be_dropped_with_it() {
    for dummy in [DUMMY, HALF] {
        let mut wire = Wire::open([1000, 2000], 1448);
        let connect = b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\nContent-Length: 5\r\n\r\n12345";
        turn(&mut wire, &[&connect[..], dummy].concat(), &[b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n"]);
        turn(&mut wire, &get("/secret0"), &[&answer("secret0")]);
        wire.close(true);
        assert_served(&wire, &["/secret0"], "connect");
    }
}

#[test]
fn an_answer_to_another_request_amid_it_answers_no_request_for_another_protocol() {
    for dummy in [DUMMY, HALF] {
        let mut wire = Wire::open([1000, 2000], 1448);
        // Its server drops the second, which makes pairs be proven.
        turn(&mut wire, &[UPGRADE, &get("/dropped")].concat(), &[&answer("up")]);
        let (first, rest) = UPGRADE.split_at(9);
        turn(&mut wire, &[&get("/a"), first].concat(), &[&answer("a")]);
        turn(&mut wire, &[rest, dummy].concat(), &[&answer("up")]);
        turn(&mut wire, &get("/secret0"), &[&answer("secret0")]);
        turn(&mut wire, &get("/secret1"), &[&answer("secret1")]);
        wire.close(true);
        let seen = run(&wire.segs).0;
        let told = seen.iter().find(|e| is_to(e, "/secret0"));
        let told = told.unwrap_or_else(|| panic!("{:?}", targets(&seen)));
        assert!(
            told.acknowledged && !told.completeness.contains(Completeness::RESYNCHRONISED),
            "{:?}",
            told.completeness
        );
        assert_served(&wire, &[], "amid");
    }
    // Nor does one that was slow, whatever its server had of the other.
    let mut wire = Wire::open([1000, 2000], 1448);
    turn(&mut wire, &[&get("/slow")[..], UPGRADE].concat(), &[&answer("slow")]);
    turn(&mut wire, HALF, &[&answer("up")]);
    turn(&mut wire, &get("/secret0"), &[&answer("secret0")]);
    wire.close(true);
    assert_served(&wire, &["/secret0"], "slow");
}

#[test]
fn a_segment_larger_than_what_is_held_behind_connect_is_read_whole() {
    let requests: Vec<Vec<u8>> = (0..2_000).map(|n| get(&format!("/item/{n}"))).collect();
    let all = requests.concat();
    assert!(all.len() > 70_000);
    let mut wire = Wire::open([1000, 2000], 100_000);
    turn(&mut wire, b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n", &[]);
    turn(&mut wire, &all, &[b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n"]);
    wire.close(true);
    let seen = run(&wire.segs).0;
    assert_eq!(seen.iter().map(|e| e.gap_bytes).sum::<u64>(), 0);
    assert_eq!(targets(&seen).len(), 2_001);
}

#[test]
fn requests_behind_one_connect_in_another_are_told_when_no_answer_was_seen() {
    let connect = b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n";
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.send(true, connect);
    wire.send(true, &[&connect[..], connect, &get("/secret0")].concat());
    assert_eq!(targets(&run(&wire.segs).0), ["x:1", "x:1", "x:1", "/secret0"]);
}

/// Clients in Java ask for HTTP/2 with their first request; a server that refuses it early reads on.
#[test]
fn uploads_behind_one_that_asked_for_another_protocol_and_was_refused_early_are_whole() {
    let records: Vec<u8> = (0..40).flat_map(|n| get(&format!("/logged{n}"))).collect();
    let bulk = |n: usize, more: &str| {
        let len = records.len();
        format!("POST /bulk{n} HTTP/1.1\r\nHost: h\r\n{more}Content-Length: {len}\r\n\r\n").into_bytes()
    };
    let asks = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    for is_early in [true, false] {
        let mut wire = Wire::open([1000, 2000], 1448);
        for n in 0..3 {
            let head = bulk(n, if n == 0 { asks } else { "" });
            let (first, rest) = records.split_at(700);
            let id = format!("bulk{n}");
            let no = [answer(&id)];
            let no = [&no[0][..]];
            let (now, then) = no.split_at(usize::from(is_early));
            turn(&mut wire, &[&head[..], first].concat(), now);
            turn(&mut wire, rest, then);
        }
        turn(&mut wire, &get("/after"), &[&answer("after")]);
        wire.close(true);
        let seen = run(&wire.segs).0;
        assert_eq!(targets(&seen), ["/bulk0", "/bulk1", "/bulk2", "/after"], "{is_early}");
        // Had its server dropped the second one, with the end of the first, or read what stands in the contents, nothing else would have been
        // seen.
        let mark = Completeness::PAIRING_UNCERTAIN;
        assert!(seen.iter().all(|e| (e.completeness | mark) == mark), "{is_early}");
        assert_served(&wire, &["/bulk0", "/bulk1", "/bulk2", "/after"], "uploads");
    }
}

#[test]
fn who_waits_for_the_answer_to_his_request_for_another_protocol_has_his_pairs() {
    // What was asked before it is answered first, slowly, and the refusal comes in two pieces.
    let mut wire = Wire::open([1000, 2000], 1448);
    turn(&mut wire, &[&get("/slow")[..], UPGRADE].concat(), &[&answer("slow")]);
    let refusal = answer("up");
    let (first, rest) = refusal.split_at(20);
    wire.send(false, first);
    wire.ack(true);
    wire.send(false, rest);
    wire.ack(true);
    let body = get("/logged");
    let post = format!("POST /bulk HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len());
    turn(&mut wire, post.as_bytes(), &[]);
    turn(&mut wire, &body, &[&answer("bulk")]);
    turn(&mut wire, &[get("/a"), get("/b")].concat(), &[&answer("a"), &answer("b")]);
    wire.close(true);
    let seen = run(&wire.segs).0;
    assert_eq!(targets(&seen), ["/slow", "/up", "/bulk", "/a", "/b"]);
    // What is asked behind content that is a request as well may have its answer.
    let mark = Completeness::PAIRING_UNCERTAIN;
    assert!(
        seen.iter().enumerate().all(|(n, e)| e.completeness.is_whole() || n > 2 && e.completeness == mark)
    );
    // A web socket: one exchange, and what follows is none of HTTP's.
    let mut wire = Wire::open([1000, 2000], 1448);
    turn(&mut wire, &get("/first"), &[OK]);
    let yes = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    turn(
        &mut wire,
        b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        &[yes],
    );
    turn(&mut wire, b"\x81\x85\0\0\0\0GET /", &[b"\x81\x02ok"]);
    wire.close(true);
    let seen = run(&wire.segs).0;
    assert_eq!(targets(&seen), ["/first", "/ws"]);
    assert!(seen.iter().all(|e| e.completeness.is_whole()));
}

#[test]
fn a_head_that_may_have_been_dropped_has_no_unmarked_pair_whatever_it_holds() {
    // A method that nobody reads as one, but this server.
    for then in [&b"foo /other HTTP/1.1\r\nHost: h\r\n\r\n"[..], b"X: y\r\n\r\n"] {
        let mut wire = Wire::open([1000, 2000], 1448);
        turn(&mut wire, &[UPGRADE, HALF].concat(), &[&answer("up")]);
        turn(&mut wire, then, &[&answer("other")]);
        wire.close(true);
        let seen = run(&wire.segs).0;
        let told = seen.iter().find(|e| is_to(e, "/d"));
        assert!(told.is_some_and(|e| e.completeness.contains(Completeness::PAIRING_UNCERTAIN)));
    }
}

#[test]
fn content_behind_a_gap_is_looked_at_as_any_other_whoever_pipelined_before() {
    let mut wire = Wire::open([1000, 2000], 1448);
    turn(&mut wire, &[UPGRADE, &get("/next")].concat(), &[&answer("up"), &answer("next")]);
    let record = [b"\0\x01\x02: ", &get("/logged")[..]].concat();
    wire.send(true, b"POST /bulk HTTP/1.1\r\nHost: h\r\nContent-Length: 9000\r\n\r\n");
    let lost = wire.segs.len() - 1;
    for _ in 0..5 {
        turn(&mut wire, &record, &[]);
    }
    wire.segs.remove(lost);
    assert_eq!(targets(&run(&wire.segs).0), ["/up", "/next"]);
}

#[test]
fn words_that_may_begin_a_request_are_none_of_their_own() {
    let mut wire = Wire::open([1000, 2000], 1448);
    turn(&mut wire, &[UPGRADE, DUMMY].concat(), &[]);
    turn(&mut wire, &b"GET a ".repeat(200), &[]);
    assert!(run(&wire.segs).0.len() <= 4);
}

#[test]
fn many_requests_in_content_that_is_read_as_such_are_told_within_bounds() {
    let post = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n\r\n".as_slice();
    let long = format!("GET /a HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(4_000)).repeat(25);
    let mut wire = Wire::open([1000, 2000], 1448);
    turn(&mut wire, &[post, long.as_bytes(), &get("/secret0")].concat(), &[&answer("x"), &answer("a")]);
    wire.close(true);
    let seen = run(&wire.segs).0;
    assert!(targets(&seen).contains(&"/secret0".to_owned()), "{:?}", targets(&seen).len());
    let mut wire = Wire::open([1000, 2000], 1448);
    turn(&mut wire, &[post, &b"GET /\n".repeat(60_000)].concat(), &[&answer("x"), &answer("a")]);
    wire.close(true);
    let seen = run(&wire.segs).0;
    assert!((1_000..5_000).contains(&seen.len()), "{}", seen.len());
}

#[test]
fn the_end_of_a_target_that_reads_like_a_method_begins_no_request() {
    for end in [&b"COPY"[..], b"GET"] {
        let mut wire = Wire::open([1000, 2000], 1448);
        turn(&mut wire, &[UPGRADE, b"GET /item"].concat(), &[]);
        let rest = [end, b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
        let target = [b"/item", end].concat();
        turn(&mut wire, &rest, &[&answer("up"), &answer(&String::from_utf8_lossy(&target[1..]))]);
        wire.close(true);
        assert_served(&wire, &[&String::from_utf8_lossy(&target)], "end");
    }
}

/// Servers that know no other protocol read on.
#[test]
fn a_head_in_which_another_seems_to_begin_is_told_whole() {
    let head = b"GET /secret0 HTTP/1.1\r\nHost: h\r\nUser-Agent: a\r\n\r\n".as_slice();
    let amid = b"GET /secret0 HTTP/1.1\r\nX: GET /a HTTP/1.1\r\nUser-Agent: a\r\n\r\n".as_slice();
    let version = 19;
    let shapes: [(&str, &[u8], &[usize]); 4] = [
        ("a letter of its version", head, &[version - 3, version - 2]),
        ("a letter of a name", head, &[32, 33]),
        ("another amid it", amid, &[]),
        ("another amid it, in pieces", amid, &[30, 34]),
    ];
    for (what, head, cuts) in shapes {
        for behind in [&b""[..], b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"] {
            let mut wire = Wire::open([1000, 2000], 1448);
            let all = [UPGRADE, head, behind].concat();
            let mut from = 0;
            for cut in cuts.iter().map(|cut| UPGRADE.len() + cut).chain([all.len()]) {
                wire.send(true, &all[from..cut]);
                from = cut;
            }
            turn(&mut wire, b"", &[&answer("up"), &answer("secret0")]);
            wire.close(true);
            let seen = run(&wire.segs).0;
            let told: Vec<_> = seen.iter().filter(|e| is_to(e, "/secret0")).collect();
            assert_eq!(told.len(), 1, "{what} {:?}", targets(&seen));
            let request = told[0].request.as_ref().unwrap();
            assert!(told[0].acknowledged && request.headers.get("user-agent").is_some(), "{what}");
            assert_served(&wire, &[], what);
        }
    }
}

#[test]
fn what_is_given_up_before_its_server_had_it_counts_once_it_has() {
    let mut wire = Wire::open([1000, 2000], 1448);
    let said = [UPGRADE, &get("/secret0"), b"GET /d HTTP/1.1\r\nX: GET /e HTTP/1.1\r\n\r\n"].concat();
    turn(&mut wire, &said, &[&answer("up"), &answer("secret0")]);
    wire.close(true);
    let seen = run(&wire.segs).0;
    assert!(seen.iter().any(|e| is_to(e, "/secret0") && e.acknowledged), "{:?}", targets(&seen));
}

/// Places at which a request may begin, two in one head, or one in each of two heads of one segment: all heads are told whole.
#[test]
fn several_places_in_one_segment_cut_no_head() {
    let secret = |places: &str| {
        format!("GET /secret0 HTTP/1.1\r\nHost: h\r\n{places}Cookie: told\r\n\r\n").into_bytes()
    };
    let two = secret("X: GET /a HTTP/1.1\r\nY: GET /b HTTP/1.1\r\n");
    let one = secret("X: GET /a HTTP/1.1\r\n");
    let more = b"GET /h HTTP/1.1\r\nHost: h\r\nX: GET /a HTTP/1.1\r\n\r\n";
    let many = secret(&"X: GET /a HTTP/1.1\r\n".repeat(100));
    for said in [two, [one.clone(), more.to_vec()].concat(), [one, more.repeat(300)].concat(), many] {
        let mut wire = Wire::open([1000, 2000], 60_000);
        turn(&mut wire, &[UPGRADE, &said].concat(), &[&answer("up"), &answer("secret0")]);
        wire.close(true);
        let seen = run(&wire.segs).0;
        let whole = |e: &&Exchange| {
            is_to(e, "/secret0") && e.request.as_ref().is_some_and(|r| r.headers.get("cookie").is_some())
        };
        assert_eq!(seen.iter().filter(whole).count(), 1, "{}: {:?}", said.len(), targets(&seen));
    }
}
