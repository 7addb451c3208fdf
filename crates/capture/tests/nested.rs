//! Requests in content that is whole, or announced longer than it is, which its server reads as requests; and honest traffic that looks like it.
//! docs/capture.md.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{OK, Wire, response_id, run_usual as run, targets};
use sidetap_model::{Anomaly, Completeness, Exchange};

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
}

/// An upload with this content.
fn post(target: &str, content: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 203.0.113.7\r\nContent-Length: {}\r\n\r\n",
        content.len()
    );
    [head.as_bytes(), content].concat()
}

fn answer(id: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Id: {id}\r\n\r\n").into_bytes()
}

/// What the client says, each piece in a segment, and what is answered.
fn turn(wire: &mut Wire, said: &[&[u8]], answers: &[&str]) {
    for piece in said {
        wire.send(true, piece);
        wire.ack(false);
    }
    for id in answers {
        wire.send(false, &answer(id));
    }
    wire.ack(true);
}

fn find<'a>(seen: &'a [Exchange], target: &str, what: &str) -> &'a Exchange {
    let is_it = |e: &&Exchange| e.request.as_ref().is_some_and(|r| r.target == target.as_bytes());
    seen.iter().find(is_it).unwrap_or_else(|| panic!("{what}: no {target} in {:?}", targets(seen)))
}

/// It is told, counts against its sender, and has no answer that is another's without a mark.
fn assert_told(seen: &[Exchange], target: &str, what: &str) {
    let told = find(seen, target, what);
    assert!(told.acknowledged, "{what}: {:?}", told.completeness);
    let own = response_id(told).is_none_or(|id| target.ends_with(&id));
    assert!(
        own || told.completeness.contains(Completeness::PAIRING_UNCERTAIN),
        "{what}: {:?}",
        told.completeness
    );
}

/// Nothing that was not asked is told with an answer.
fn assert_unpaired(seen: &[Exchange], target: &str, what: &str) {
    assert!(find(seen, target, what).response.is_none(), "{what}: {target}");
}

#[test]
fn content_that_was_read_hides_none_that_was_not() {
    for count in [1, 16, 40] {
        for is_apart in [true, false] {
            let mut wire = Wire::open([1000, 2000], 1448);
            let decoys = post("/read", &get("/decoy")).repeat(count);
            turn(&mut wire, &[&decoys], &vec!["read"; count]);
            let own = [post("/x", &get("/secret0")), post("/x", &get("/secret1"))];
            if is_apart {
                turn(&mut wire, &[&own[0]], &["x", "secret0"]);
                turn(&mut wire, &[&own[1]], &["x", "secret1"]);
            } else {
                turn(&mut wire, &[&own.concat()], &["x", "secret0", "x", "secret1"]);
            }
            turn(&mut wire, &[&get("/after")], &["after"]);
            wire.close(true);
            let seen = run(&wire.segs).0;
            let what = format!("{count} {is_apart}");
            assert_told(&seen, "/secret0", &what);
            assert_told(&seen, "/secret1", &what);
            assert_unpaired(&seen, "/decoy", &what);
        }
    }
}

#[test]
fn more_such_contents_at_once_than_are_remembered_are_told_all_the_same() {
    let mut wire = Wire::open([1000, 2000], 60_000);
    let long = [&b"GET /decoy HTTP/1.1\r\nX: "[..], &b"y".repeat(20_000), b"\r\n\r\n"].concat();
    let all = [post("/x", &get("/secret0")), post("/read", &long).repeat(5)].concat();
    turn(&mut wire, &[&all], &["x", "secret0", "read", "read", "read", "read", "read"]);
    wire.close(true);
    let seen = run(&wire.segs).0;
    assert_told(&seen, "/secret0", "room");
}

#[test]
fn all_requests_of_such_content_are_told() {
    for count in [17, 200, 900] {
        let mut wire = Wire::open([1000, 2000], 1448);
        let content = [get("/a").repeat(count), get("/secret0")].concat();
        turn(&mut wire, &[&post("/x", &content)], &["x"]);
        turn(&mut wire, &[], &vec!["a"; count]);
        turn(&mut wire, &[], &["secret0"]);
        wire.close(true);
        assert_told(&run(&wire.segs).0, "/secret0", &count.to_string());
    }
    // What is not told is a gap.
    let mut wire = Wire::open([1000, 2000], 1448);
    turn(&mut wire, &[&post("/x", &b"GET / HTTP/1.0\n\n".repeat(5_000))], &["x", ""]);
    wire.close(true);
    let seen = run(&wire.segs).0;
    assert!((1_000..4_000).contains(&seen.len()), "{}", seen.len());
    assert!(seen.iter().any(|e| e.completeness.contains(Completeness::REQUEST_GAP) && e.gap_bytes > 40_000));
}

#[test]
fn more_content_than_a_flow_may_hold_is_remembered_as_far_as_there_is_room() {
    let mut wire = Wire::open([1000, 2000], 1448);
    let long = [get("/secret0"), b"GET / HTTP/1.0\n\n".repeat(20_000)].concat();
    turn(&mut wire, &[&post("/x", &long)], &["x", "secret0"]);
    wire.close(true);
    assert_told(&run(&wire.segs).0, "/secret0", "much");
}

#[test]
fn such_content_has_the_blanks_and_contents_of_its_own_that_servers_take() {
    let line =
        |blank: &[u8], target: &[u8]| [b"GET", blank, target, b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
    let inner = [post("/read", &get("/decoy")), get("/secret0")].concat();
    let shapes = [
        ("two tabs", line(b"\t\t", b"/secret0")),
        ("vertical tab", line(b"\x0b", b"/secret0")),
        ("next line", line(b"\x85", b"/secret0")),
        ("no-break space before it", [b"\xa0", &get("/secret0")[..]].concat()),
        ("a dot", line(b" ", b"./secret0")),
        ("an escape", line(b" ", b"%2fsecret0")),
        ("content of its own", inner),
        ("a head without end", b"GET /secret0 HTTP/1.1\r\nHost: h\r\n".to_vec()),
    ];
    for (what, content) in shapes {
        for is_decoyed in [false, true] {
            let mut wire = Wire::open([1000, 2000], 1448);
            if is_decoyed {
                turn(
                    &mut wire,
                    &[&[post("/read", &get("/decoy")), post("/x", &content)].concat()],
                    &["read", "x"],
                );
            } else {
                turn(&mut wire, &[&post("/x", &content)], &["x"]);
            }
            turn(&mut wire, &[], &["secret0"]);
            wire.close(true);
            let seen = run(&wire.segs).0;
            let is_it = |e: &&Exchange| {
                e.request.as_ref().is_some_and(|r| r.target.windows(7).any(|w| w == b"secret0"))
            };
            let told = seen.iter().find(is_it).unwrap_or_else(|| panic!("{what}: {:?}", targets(&seen)));
            assert!(told.acknowledged, "{what} {is_decoyed}: {:?}", told.completeness);
        }
    }
}

#[test]
fn what_was_asked_behind_such_content_before_its_answer_tells_of_it_at_the_end() {
    let mut wire = Wire::open([1000, 2000], 1448);
    let closes = b"GET /secret0 HTTP/1.1\r\nConnection: close\r\n\r\n";
    turn(&mut wire, &[&[post("/x", closes), get("/a")].concat()], &["x", "secret0"]);
    wire.close(false);
    let seen = run(&wire.segs).0;
    assert_unpaired(&seen, "/secret0", "closed");
    assert!(find(&seen, "/a", "closed").completeness.contains(Completeness::PAIRING_UNCERTAIN));
}

#[test]
fn an_answer_too_many_is_one_where_pairs_have_to_be_proven_too() {
    let mut wire = Wire::open([1000, 2000], 60_000);
    let flood = [&b"GET /h HTTP/1.1\r\n\r\n"[..], b"HEAD /h HTTP/1.1\r\n\r\n"].concat().repeat(700);
    turn(&mut wire, &[&flood], &["h"; 1_400]);
    for n in 0..2 {
        turn(&mut wire, &[&post("/x", &get(&format!("/secret{n}")))], &["x", &format!("secret{n}")]);
        turn(&mut wire, &[&get("/a")], &["a"]);
    }
    wire.close(true);
    let seen = run(&wire.segs).0;
    assert_told(&seen, "/secret0", "loose");
    assert_told(&seen, "/secret1", "loose");
}

#[test]
fn a_server_that_refuses_what_it_read_in_content_read_it() {
    let mut wire = Wire::open([1000, 2000], 1448);
    turn(&mut wire, &[&post("/x", &get("/secret0"))], &["x"]);
    wire.send(false, b"HTTP/1.1 400 Bad\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    wire.close(false);
    assert_told(&run(&wire.segs).0, "/secret0", "refused");
}

#[test]
fn content_that_is_still_to_come_is_read_wherever_its_first_request_is_cut() {
    let head = b"POST /shape HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n\r\n".as_slice();
    let own = get("/secret0");
    for cut in [1, 2, 3, 4] {
        for (is_same, more) in [(false, &b""[..]), (true, b""), (false, &get("/secret1"))] {
            let mut wire = Wire::open([1000, 2000], 1448);
            let (first, rest) = own.split_at(cut);
            let rest = [rest, more].concat();
            match is_same {
                true => turn(&mut wire, &[&[head, first].concat(), &rest], &["shape", "secret0"]),
                false => turn(&mut wire, &[head, first, &rest], &["shape", "secret0"]),
            }
            turn(&mut wire, &[&get("/after")], &["after"]);
            wire.close(true);
            assert_told(&run(&wire.segs).0, "/secret0", &format!("{cut} {is_same}"));
        }
    }
    for blank in [&b"\t\t"[..], b"\x0b\x0b", b"\x85\x85", b" \x0b"] {
        for target in ["/secret0", "./secret0", ";/secret0", "%2fsecret0"] {
            let line = [b"GET", blank, target.as_bytes(), b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
            let mut wire = Wire::open([1000, 2000], 1448);
            turn(&mut wire, &[head, &line], &["shape", "secret0"]);
            wire.close(true);
            let seen = run(&wire.segs).0;
            let told = targets(&seen).iter().any(|told| told.starts_with(target));
            assert!(told, "{blank:?} {:?}", targets(&seen));
        }
    }
}

#[test]
fn honest_uploads_of_raw_requests_stay_one_exchange_each() {
    // Answered behind their content, or before it, slowly or not, and behind another's answer too many nothing is told of them.
    for is_early in [false, true] {
        let mut wire = Wire::open([1000, 2000], 1448);
        for n in 0..30 {
            let content = get(&format!("/logged{n}")).repeat(20);
            let whole = post("/read", &content);
            let (first, rest) = whole.split_at(whole.len() - content.len() + 9);
            turn(&mut wire, &[first], if is_early { &["read"] } else { &[] });
            turn(&mut wire, &[rest], if is_early { &[] } else { &["read"] });
            turn(&mut wire, &[&get("/other")], &["other"]);
        }
        wire.send(false, b"HTTP/1.1 408 Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        wire.close(false);
        let seen = run(&wire.segs).0;
        assert!(targets(&seen).iter().all(|t| t == "/read" || t == "/other"), "{:?}", targets(&seen));
        assert_eq!(targets(&seen).len(), 60);
        assert!(
            seen.iter()
                .all(|e| e.response.is_some() && !e.completeness.contains(Completeness::RESYNCHRONISED))
        );
    }
}

#[test]
fn one_upload_that_was_answered_early_makes_no_later_pair_uncertain() {
    let mut wire = Wire::open([1000, 2000], 1448);
    let whole = post("/read", &get("/logged").repeat(20));
    turn(&mut wire, &[&whole[..90]], &["read"]);
    turn(&mut wire, &[&whole[90..]], &[]);
    for _ in 0..20 {
        wire.ts += 3_000_000_000;
        turn(&mut wire, &[&get("/other")], &["other"]);
    }
    wire.close(true);
    let seen = run(&wire.segs).0;
    let doubted = seen.iter().filter(|e| e.completeness.contains(Completeness::PAIRING_UNCERTAIN)).count();
    assert!(doubted <= 1, "{doubted}");
}

#[test]
fn content_of_others_that_is_likely_what_it_seems_counts_against_nobody() {
    let mut wire = Wire::open([1000, 2000], 1448);
    turn(&mut wire, &[&post("/read", &get("/uploaded"))], &["read"]);
    turn(&mut wire, &[&post("/x", &get("/secret0"))], &["x", "secret0"]);
    wire.close(true);
    let seen = run(&wire.segs).0;
    assert_told(&seen, "/secret0", "other");
    assert!(
        seen.iter().all(|e| !e.acknowledged || e.request.as_ref().is_none_or(|r| r.target != b"/uploaded"))
    );
}

#[test]
fn an_upload_of_text_that_servers_answer_once_is_read_as_what_it_is() {
    let mut wire = Wire::open([1000, 2000], 1448);
    for text in [&b"GET"[..], b" ", b"G", b"OPTIONS are good", b"GET well soon"] {
        let whole = post("/read", &text.repeat(300));
        let (head, rest) = whole.split_at(whole.len() - text.len() * 300 + text.len());
        wire.send(true, head);
        wire.send(true, rest);
        wire.ack(false);
        wire.send(false, OK);
    }
    wire.close(true);
    let seen = run(&wire.segs).0;
    assert_eq!(targets(&seen), vec!["/read"; 5]);
    assert!(seen.iter().all(|e| e.completeness.is_whole()));
}

#[test]
fn what_is_lost_of_such_content_is_no_part_of_a_request() {
    let mut wire = Wire::open([1000, 2000], 40);
    let content = [&b"GET /aaaa"[..], &b"b".repeat(60), b"?id=secret HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
    turn(&mut wire, &[&post("/x", &content)], &["x", "secret0"]);
    wire.close(true);
    // The piece amid the target.
    let lost = wire.segs.iter().position(|seg| seg.data.starts_with(b"bbbb")).unwrap();
    wire.segs.remove(lost);
    let seen = run(&wire.segs).0;
    assert!(targets(&seen).iter().all(|t| !t.contains("?id=")), "{:?}", targets(&seen));
}

#[test]
fn behind_a_coding_that_breaks_off_what_reads_like_a_request_is_told() {
    let chunked = b"POST /shape HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let dummies = [
        &b"POST /dummy HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n"[..],
        b"GET /d HTTP/1.1\r\nX: ",
    ];
    for dummy in dummies {
        for start in [&b"5\r\nhello\r\n"[..], b"5\r\nhello", b""] {
            let mut wire = Wire::open([1000, 2000], 1448);
            turn(&mut wire, &[&[&chunked[..], start, dummy].concat()], &["shape"]);
            turn(&mut wire, &[&get("/secret0")], &["secret0"]);
            turn(&mut wire, &[&get("/secret1")], &["secret1"]);
            wire.close(true);
            let seen = run(&wire.segs).0;
            let what = format!("{:?} {:?} {:?}", String::from_utf8_lossy(start), dummy.len(), targets(&seen));
            assert_told(&seen, "/secret0", &what);
            assert_told(&seen, "/secret1", "broken");
        }
    }
}

#[test]
fn what_is_told_of_content_says_so() {
    let len = 2 * get("/secret1").len();
    let long = format!(
        "POST /shape HTTP/1.1\r\nX-Forwarded-For: 203.0.113.7\r\nHost: h\r\nContent-Length: {len}\r\n\r\n"
    )
    .into_bytes();
    let mut wire = Wire::open([1000, 2000], 1448);
    turn(&mut wire, &[&post("/x", &get("/secret0"))], &["x", "secret0"]);
    turn(&mut wire, &[&get("/own0")], &["own0"]);
    turn(&mut wire, &[&[long, get("/secret1")].concat()], &["shape", "secret1"]);
    turn(&mut wire, &[&get("/secret2")], &["secret2"]);
    turn(&mut wire, &[&get("/own1")], &["own1"]);
    wire.close(true);
    let seen = run(&wire.segs).0;
    for (target, is_in) in
        [("/secret0", true), ("/own0", false), ("/secret1", true), ("/secret2", true), ("/own1", false)]
    {
        let told = find(&seen, target, "content");
        assert_eq!(told.anomalies.contains(Anomaly::RequestInContent), is_in, "{target}");
        let by = told.sent_in.as_ref().map(|heads| heads.get("x-forwarded-for").unwrap_or_default().to_vec());
        assert_eq!(by, is_in.then(|| b"203.0.113.7".to_vec()), "{target}: whoever sent the content wrote it");
    }
}

#[test]
fn bytes_too_many_behind_content_are_no_request_behind_it() {
    for rest in [&b"T /b HTTP/1.1 404\n"[..], b"word of it\r\n"] {
        let mut wire = Wire::open([1000, 2000], 1448);
        let content = b"GET /logged HTTP/1.1 200\nPOST /logged HTTP/1.1 404\n".repeat(20);
        wire.send(true, &[&post("/read", &content), rest].concat());
        wire.ack(false);
        wire.send(false, &answer("read"));
        wire.send(false, b"HTTP/1.1 400 Bad\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        wire.close(false);
        let seen = run(&wire.segs).0;
        assert!(!targets(&seen).contains(&"/logged".to_owned()), "{:?}", targets(&seen));
    }
}

#[test]
fn behind_content_that_ends_amid_a_head_the_next_pair_is_uncertain() {
    let cut = b"GET /secret0 HTTP/1.1\r\nHost: h\r\nX: ".to_vec();
    let line = b"GET /secret0 HTTP/1.1\r\nHost: h\r\n".to_vec();
    for content in [cut, [get("/a"), line].concat()] {
        let mut wire = Wire::open([1000, 2000], 1448);
        turn(&mut wire, &[&post("/x", &content)], &["x"]);
        turn(&mut wire, &[&get("/own")], &["secret0"]);
        for _ in 0..3 {
            turn(&mut wire, &[&get("/other")], &["other"]);
        }
        wire.close(true);
        let seen = run(&wire.segs).0;
        assert!(find(&seen, "/own", "cut").completeness.contains(Completeness::PAIRING_UNCERTAIN));
        assert!(find(&seen, "/other", "cut").completeness.is_whole());
    }
    // Lines of a log.
    let mut wire = Wire::open([1000, 2000], 1448);
    let lines = b"GET /a HTTP/1.1 200\nPOST /b HTTP/1.1 404\n".repeat(20);
    turn(&mut wire, &[&post("/read", &lines)], &["read"]);
    turn(&mut wire, &[&get("/own")], &["own"]);
    wire.close(true);
    assert!(run(&wire.segs).0.iter().all(|e| e.completeness.is_whole()));
}

/// A head that a log line would not be: two blanks, a blank before the colon, no end of its first line.
#[test]
fn behind_content_that_ends_amid_an_odd_head_the_next_pair_is_uncertain() {
    let filler = format!("F: {}\r\n", "f".repeat(6000));
    for content in [
        b"GET  /secret0 HTTP/1.1\r\nHost: h\r\nX: ".to_vec(),
        b"GET /secret0 HTTP/1.1\r\nA : b\r\nX: ".to_vec(),
        b"GET /secret0 HTTP/1.1".to_vec(),
        b"GET /secret0".to_vec(),
        format!("GET /secret0 HTTP/1.1\r\n{}X: ", filler.repeat(12)).into_bytes(),
    ] {
        let mut wire = Wire::open([1000, 2000], 1448);
        turn(&mut wire, &[&post("/x", &content)], &["x"]);
        turn(&mut wire, &[&get("/own")], &["secret0"]);
        wire.close(true);
        let seen = run(&wire.segs).0;
        let what = String::from_utf8_lossy(&content[..24.min(content.len())]).into_owned();
        let own = find(&seen, "/own", &what);
        assert!(own.completeness.contains(Completeness::PAIRING_UNCERTAIN), "{what}");
    }
}

#[test]
fn an_answer_to_garbage_behind_such_content_may_be_that_to_the_content() {
    for rest in [&b"xx yy\r\n\r\n"[..], b"xx yy zz\r\n\r\n"] {
        let mut wire = Wire::open([1000, 2000], 1448);
        wire.send(true, &[&post("/x", &get("/secret0")), rest].concat());
        wire.ack(false);
        wire.send(false, &answer("x"));
        wire.send(false, &answer("secret0"));
        wire.ack(true);
        wire.close(false);
        assert_unpaired(&run(&wire.segs).0, "/secret0", "garbage");
    }
}

#[test]
fn a_place_amid_what_stands_in_content_hides_none_of_it() {
    let cut = b"GET /secret0 HTTP/1.1\r\nHost: h\r\nX: GET /z HTTP/1.1\r\nY: ";
    let mut wire = Wire::open([1000, 2000], 1448);
    turn(&mut wire, &[&[post("/x", cut), get("/own")].concat()], &["x", "secret0"]);
    wire.close(true);
    assert_unpaired(&run(&wire.segs).0, "/secret0", "place");
}

/// Who stores requests that he collected and asks for more before he hears: none of them was asked.
#[test]
fn who_does_not_wait_for_answers_may_send_content_that_reads_like_requests() {
    let mut wire = Wire::open([1000, 2000], 1448);
    for round in 0..3 {
        let all: Vec<u8> = (0..6).flat_map(|n| post("/read", &get(&format!("/stored{round}{n}")))).collect();
        turn(&mut wire, &[&all], &["read"; 6]);
    }
    // The next ones go out with the first answer.
    let all: Vec<u8> = (0..3).flat_map(|n| post("/read", &get(&format!("/stored{n}")))).collect();
    turn(&mut wire, &[&all], &["read"]);
    turn(&mut wire, &[&all], &["read"; 5]);
    wire.close(true);
    let seen = run(&wire.segs).0;
    assert_eq!(targets(&seen), ["/read"; 24]);
    assert!(seen.iter().all(|e| e.response.is_some()));
}

/// A request that the capture lost has an answer, which nobody is due who stands in content before it.
#[test]
fn an_answer_to_what_was_lost_is_none_to_what_stands_in_content() {
    let mut wire = Wire::open([1000, 2000], 1448);
    turn(&mut wire, &[&post("/read", &get("/stored"))], &["read"]);
    let from = wire.segs.len();
    wire.send(true, &get("/lost"));
    let until = wire.segs.len();
    wire.ack(false);
    wire.send(false, &answer("lost"));
    wire.ack(true);
    turn(&mut wire, &[&get("/a")], &["a"]);
    wire.segs.drain(from..until);
    wire.close(true);
    let seen = run(&wire.segs).0;
    assert!(!targets(&seen).contains(&"/stored".to_owned()), "{:?}", targets(&seen));
}

/// A request in the content of one that stands in content itself was written by whoever sent the outermost.
#[test]
fn whoever_sent_the_outermost_content_sent_all_that_stands_in_it() {
    let forged = |n: usize| {
        let inner = get(&format!("/secret{n}"));
        let head = format!(
            "POST /a HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 198.51.100.9\r\nContent-Length: {}\r\n\r\n",
            inner.len()
        );
        [head.as_bytes(), &inner].concat()
    };
    let amid =
        b"GET /secret0 HTTP/1.1\r\nX-Forwarded-For: 198.51.100.9\r\nX: GET /b HTTP/1.1\r\n\r\n".to_vec();
    for content in [forged(0), amid] {
        let mut wire = Wire::open([1000, 2000], 1448);
        turn(&mut wire, &[&post("/x", &content)], &["x", "a", "secret0"]);
        turn(&mut wire, &[&get("/own")], &["own"]);
        wire.close(true);
        let seen = run(&wire.segs).0;
        let told: Vec<_> =
            seen.iter().filter(|e| e.request.as_ref().is_some_and(|r| r.target == b"/secret0")).collect();
        assert!(!told.is_empty(), "{:?}", targets(&seen));
        for e in told {
            let by = e.sent_in.as_ref().and_then(|heads| heads.get("x-forwarded-for"));
            assert!(e.anomalies.contains(Anomaly::RequestInContent));
            assert_eq!(by, Some(&b"203.0.113.7"[..]));
        }
        assert!(find(&seen, "/own", "own").sent_in.is_none());
    }
}

/// Of a connection that was joined late nobody knows how many answers are due.
#[test]
fn an_answer_too_many_convicts_nobody_where_the_connection_was_joined_late() {
    for skipped in [0, 3] {
        let mut wire = Wire::open([1000, 2000], 1448);
        turn(&mut wire, &[&get("/a")], &["a"]);
        turn(&mut wire, &[&post("/x", &get("/secret0"))], &["x", "secret0"]);
        turn(&mut wire, &[&get("/b")], &["b"]);
        wire.close(true);
        let seen = run(wire.segs.get(skipped..).unwrap()).0;
        assert_eq!(find(&seen, "/secret0", "late").acknowledged, skipped == 0, "{skipped}");
    }
}
