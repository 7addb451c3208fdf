//! What RFC 9112 says, shape by shape.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{ACK, FIN, PSH, RST, SYN, Seg, Wire, run, run_with};
use sidetap_capture::FlowLimits;
use sidetap_model::{Anomaly, Completeness, Exchange, Version};

/// Runs lines of a dialogue: `>` is the client, `<` the server, each line's text sent as it is.
fn talk(lines: &[(char, &str)]) -> Vec<Exchange> {
    let mut wire = Wire::open([100, 900], 1448);
    for (who, text) in lines {
        wire.send(*who == '>', text.as_bytes());
    }
    wire.close(true);
    run(&wire.segs)
}

fn brief(exchanges: &[Exchange]) -> Vec<String> {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let line = |ex: &Exchange| {
        let request = ex.request.as_ref().map_or("-".into(), |r| {
            format!("{} {} {:?}", text(&r.method), text(&r.target), text(&r.body.bytes))
        });
        let response =
            ex.response.as_ref().map_or("-".into(), |r| format!("{} {:?}", r.status, text(&r.body.bytes)));
        format!("{request} => {response}")
    };
    exchanges.iter().map(line).collect()
}

fn codes(ex: &Exchange) -> Vec<&'static str> {
    ex.anomalies.iter().map(Anomaly::code).collect()
}

fn flags(ex: &Exchange) -> Vec<&'static str> {
    ex.completeness.names().collect()
}

const GET: &str = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn pipelined_requests_are_answered_in_order() {
    let two = "GET /a HTTP/1.1\r\nHost: h\r\n\r\nPOST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nxyz";
    let both = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1HTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\n2";
    let exchanges = talk(&[('>', two), ('<', both)]);
    assert_eq!(brief(&exchanges), [r#"GET /a "" => 200 "1""#, r#"POST /b "xyz" => 404 "2""#]);
    assert!(exchanges.iter().all(|e| e.completeness.is_whole() && e.acknowledged));
}

#[test]
fn responses_without_body_have_none_whatever_their_fields_say() {
    let exchanges = talk(&[
        ('>', "HEAD /h HTTP/1.1\r\nHost: h\r\n\r\n"),
        ('<', "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
        ('>', GET),
        ('<', "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n"),
        ('>', GET),
        ('<', "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ('>', GET),
        ('<', OK),
    ]);
    let statuses: Vec<u16> = exchanges.iter().map(|e| e.response.as_ref().unwrap().status).collect();
    assert_eq!(statuses, [200, 304, 204, 200]);
}

#[test]
fn chunked_bodies_lose_their_coding_and_keep_their_trailers() {
    let exchanges = talk(&[
        ('>', "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
        ('>', "2;x=y\r\nde\r\n0\r\nX-Sum: 9\r\nContent-Length: 1\r\n\r\n"),
        ('<', "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n"),
    ]);
    assert_eq!(brief(&exchanges), [r#"POST /c "abcde" => 200 "1""#]);
    let headers = &exchanges[0].request.as_ref().unwrap().headers;
    assert_eq!(headers.get("x-sum"), Some(&b"9"[..]));
    assert_eq!(codes(&exchanges[0]), ["http-chunk-extension", "http-trailer-forbidden"]);
}

#[test]
fn interim_responses_are_counted_and_no_answers() {
    let exchanges = talk(&[
        ('>', "POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
        ('<', "HTTP/1.1 100 Continue\r\n\r\n"),
        ('>', "hi"),
        ('<', "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
        ('<', OK),
    ]);
    assert_eq!(brief(&exchanges), [r#"POST /e "hi" => 200 "ok""#]);
    assert_eq!(exchanges[0].interim, 2);
}

#[test]
fn a_body_that_the_server_declined_is_not_missing() {
    let exchanges = talk(&[
        ('>', "POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 200\r\n\r\n"),
        ('<', "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n"),
    ]);
    assert_eq!(brief(&exchanges), [r#"POST /e "" => 417 """#]);
    assert!(exchanges[0].completeness.is_whole(), "{:?}", exchanges[0].completeness);
}

#[test]
fn a_body_that_comes_though_the_server_answered_before_it_is_the_body() {
    // As nginx reads it: what a client announced it sends, or it closes (RFC 9112 §6.3), whatever it begins with.
    let body = "GET /fake HTTP/1.1\r\nHost: h\r\n\r\n";
    let head = "POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: ";
    let head = format!("{head}{}\r\n\r\n", body.len());
    let exchanges = talk(&[
        ('>', head.as_str()),
        ('<', "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"),
        ('>', body),
        ('>', GET),
        ('<', OK),
    ]);
    let targets: Vec<_> = exchanges.iter().filter_map(|e| Some(e.request.as_ref()?.target.clone())).collect();
    assert_eq!(targets, [b"/e".to_vec(), b"/a".to_vec()]);
    assert!(exchanges.iter().all(|e| e.response.is_some()));
    assert!(exchanges[0].completeness.is_whole());
    // A server that reads no content would have answered that.
    assert_eq!(exchanges[1].completeness, Completeness::PAIRING_UNCERTAIN);
}

#[test]
fn a_server_that_answers_connect_with_content_reads_the_next_request() {
    for framing in ["Content-Length: 40\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n28\r\n"] {
        let end = if framing.starts_with('T') { "\r\n0\r\n\r\n" } else { "" };
        let page = format!("HTTP/1.1 200 OK\r\n{framing}{}{end}", "x".repeat(40));
        let mut talked = vec![('>', "CONNECT /f HTTP/1.1\r\nHost: h\r\n\r\n"), ('<', page.as_str())];
        talked.extend([('>', GET), ('<', OK)]);
        let exchanges = talk(&talked);
        assert_eq!(exchanges.len(), 2, "{framing}");
        assert!(exchanges.iter().all(|e| e.request.is_some() && e.response.is_some()), "{framing}");
    }
    // Without content it may be a tunnel each time: requests in it are read, however many there seem to be.
    let mut talked = Vec::new();
    for _ in 0..9 {
        talked.push(('>', "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n"));
        talked.push(('<', "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    }
    talked.extend([('>', GET), ('<', OK)]);
    let exchanges = talk(&talked);
    assert_eq!(exchanges.len(), 10);
    assert!(exchanges.iter().all(|e| e.request.is_some() && e.response.is_some()));
}

#[test]
fn a_body_without_length_ends_with_the_connection() {
    let mut wire = Wire::open([1, 2], 1448);
    wire.send(true, GET.as_bytes());
    wire.send(false, b"HTTP/1.0 200 OK\r\n\r\nall of");
    wire.send(false, b" it");
    let mut reset = wire.segs.clone();
    wire.close(false);
    let exchanges = run(&wire.segs);
    assert_eq!(brief(&exchanges), [r#"GET /a "" => 200 "all of it""#]);
    assert!(exchanges[0].completeness.is_whole());
    reset.push(Seg { up: false, seq: wire.next[1] - 1, ack: 0, flags: RST, data: vec![], ts: 1, snapped: 0 });
    assert_eq!(flags(&run(&reset)[0]), ["response-truncated"]);
}

#[test]
fn an_early_response_is_kept_for_its_request() {
    let exchanges = talk(&[
        ('>', "POST /big HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc"),
        ('<', "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"),
        ('>', "def"),
    ]);
    assert_eq!(brief(&exchanges), [r#"POST /big "abcdef" => 413 """#]);
    assert_eq!(codes(&exchanges[0]), ["http-early-response"]);
}

#[test]
fn what_is_inside_a_tunnel_is_read_too() {
    let exchanges = talk(&[
        ('>', "CONNECT inner:80 HTTP/1.1\r\nHost: inner:80\r\n\r\n"),
        ('<', "HTTP/1.1 200 Established\r\n\r\n"),
        ('>', GET),
        ('<', OK),
    ]);
    assert_eq!(brief(&exchanges), [r#"CONNECT inner:80 "" => 200 """#, r#"GET /a "" => 200 "ok""#]);
    let optimistic = format!("CONNECT inner:80 HTTP/1.1\r\nHost: inner:80\r\n\r\n{GET}");
    let refused =
        talk(&[('>', &optimistic), ('<', "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"), ('<', OK)]);
    assert_eq!(brief(&refused), [r#"CONNECT inner:80 "" => 403 """#, r#"GET /a "" => 200 "ok""#]);
}

#[test]
fn an_upgrade_hands_the_connection_over() {
    let mut wire = Wire::open([1, 2], 1448);
    wire.send(true, b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    wire.send(false, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x02hi");
    wire.send(true, b"\x81\x82\0\0\0\0hiGET / HTTP/1.1\r\n\r\n");
    let (exchanges, table) = run_with(&wire.segs, &FlowLimits::default());
    assert_eq!(brief(&exchanges), [r#"GET /ws "" => 101 """#]);
    assert_eq!(table.counters().streams().flows["http"], 1);
}

#[test]
fn the_proxy_protocol_names_the_client() {
    let exchanges = talk(&[('>', "PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r\n"), ('>', GET), ('<', OK)]);
    assert_eq!(brief(&exchanges), [r#"GET /a "" => 200 "ok""#]);
    assert_eq!(exchanges[0].proxied_for.unwrap().to_string(), "203.0.113.9:4711");
}

#[test]
fn an_unasked_response_answers_nothing_that_comes_later() {
    let mut wire = Wire::open([1, 2], 1448);
    wire.send(true, GET.as_bytes());
    wire.send(false, OK.as_bytes());
    wire.send(false, b"HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n");
    wire.send(true, b"GET /late HTTP/1.1\r\nHost: h\r\n\r\n");
    wire.send(false, OK.as_bytes());
    let exchanges = run(&wire.segs);
    assert_eq!(
        brief(&exchanges),
        [r#"GET /a "" => 200 "ok""#, r#"- => 408 """#, r#"GET /late "" => 200 "ok""#]
    );
    assert_eq!(codes(&exchanges[1]), ["http-unsolicited-response"]);
    assert_eq!(flags(&exchanges[1]), ["no-request"]);
}

#[test]
fn http_0_9_has_neither_head_nor_version() {
    let exchanges = talk(&[('>', "GET /old\r\n"), ('<', "<html>old</html>")]);
    assert_eq!(brief(&exchanges), [r#"GET /old "" => 200 "<html>old</html>""#]);
    assert_eq!(exchanges[0].request.as_ref().unwrap().version, Version(0, 9));
}

#[test]
fn odd_heads_are_read_and_said_to_be_odd() {
    let cases: [(&str, &[&str]); 17] = [
        ("GET / HTTP/1.1\nHost: h\n\n", &["http-bare-lf"]),
        ("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", &["http-leading-empty-line"]),
        ("GET / HTTP/1.1\r\n\r\n", &["http-host-missing"]),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", &["http-host-duplicate"]),
        ("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", &["http-host-mismatch"]),
        ("GET / HTTP/1.1\r\nHost: h/x\r\n\r\n", &["http-host-invalid"]),
        ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", &["http-head-tolerated", "http-request-line-spaces"]),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", &["http-head-tolerated", "http-obs-fold"]),
        ("GET / HTTP/1.1\r\nHost : h\r\n\r\n", &["http-head-tolerated", "http-space-before-colon"]),
        ("GET / HTTP/1.1\r\nHost: h\r\nnocolon\r\n\r\n", &["http-head-tolerated", "http-header-no-colon"]),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nX: a\x01b\r\n\r\n",
            &["http-head-tolerated", "http-header-value-control"],
        ),
        ("GET / HTTP/3.7\r\nHost: h\r\n\r\n", &["http-head-tolerated", "http-version-odd"]),
        ("GET /\u{e9} HTTP/1.1\r\nHost: h\r\n\r\n", &["http-target-invalid"]),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            &["http-cl-te", "http-body-unexpected"],
        ),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
            &["http-cl-conflict"],
        ),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +0\r\n\r\n", &["http-cl-odd"]),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            &["http-te-invalid", "http-te-multiple", "http-body-unexpected"],
        ),
    ];
    for (request, expected) in cases {
        let exchanges = talk(&[('>', request), ('<', OK), ('>', GET), ('<', OK)]);
        assert_eq!(codes(&exchanges[0]), expected, "{request:?}");
        assert_eq!(exchanges.len(), 2, "{request:?}");
        assert!(exchanges[0].completeness.is_whole(), "{request:?}");
        // Servers differ in where these end: what follows may be read otherwise.
        let ends_elsewhere =
            expected.iter().any(|c| ["http-cl-te", "http-cl-conflict", "http-te-invalid"].contains(c));
        assert_eq!(exchanges[1].completeness.is_whole(), !ends_elsewhere, "{request:?}");
    }
}

#[test]
fn a_folded_value_is_one_value_and_case_and_order_stay() {
    let exchanges = talk(&[('>', "GET / HTTP/1.1\r\nhOsT: h\r\nB: 1\r\n\t 2\r\nA: 3\r\n\r\n"), ('<', OK)]);
    let request = exchanges[0].request.as_ref().unwrap();
    let fields: Vec<_> = request.headers.iter().collect();
    let expected: [(&[u8], &[u8]); 3] = [(b"hOsT", b"h"), (b"B", b"1 2"), (b"A", b"3")];
    assert_eq!(fields, expected);
}

#[test]
fn a_gap_inside_a_body_of_known_length_is_bridged() {
    let mut wire = Wire::open([1, 2], 100);
    wire.send(true, GET.as_bytes());
    wire.send(
        false,
        format!("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{}", "x".repeat(1000)).as_bytes(),
    );
    wire.send(true, GET.as_bytes());
    wire.send(false, OK.as_bytes());
    wire.close(true);
    let lost = wire.segs[7].clone();
    let mut segs = wire.segs;
    segs.remove(7);
    let exchanges = run(&segs);
    assert_eq!(exchanges.len(), 2);
    assert_eq!(flags(&exchanges[0]), ["response-gap"]);
    assert_eq!(exchanges[0].gap_bytes, 100);
    let body = &exchanges[0].response.as_ref().unwrap().body;
    assert_eq!((body.len, body.bytes.len()), (1000, 900));
    assert!(body.gap_at.is_some());
    assert!(exchanges[1].completeness.is_whole());
    // The same piece late, as a mirror may show it, is no gap at all.
    segs.insert(12, lost);
    assert!(run(&segs).iter().all(|e| e.completeness.is_whole()));
}

#[test]
fn addresses_used_again_are_another_flow() {
    let mut first = Wire::open([1, 2], 1448);
    first.send(true, GET.as_bytes());
    first.send(false, OK.as_bytes());
    let mut second = Wire::open([5_000_000, 9_000_000], 1448);
    second.send(true, b"GET /second HTTP/1.1\r\nHost: h\r\n\r\n");
    second.send(false, OK.as_bytes());
    let open = first.segs.clone();
    first.close(true);
    for mut segs in [open, first.segs] {
        segs.extend(second.segs.iter().cloned().map(|s| Seg { ts: s.ts + 1_000_000_000, ..s }));
        let (exchanges, table) = run_with(&segs, &FlowLimits::default());
        let mut ids: Vec<_> = exchanges.iter().map(|e| e.flow_id).collect();
        ids.dedup();
        assert_eq!((exchanges.len(), ids.len()), (2, 2));
        assert!(table.counters().anomalies().any(|a| a == Anomaly::TcpReuse));
    }
}

#[test]
fn a_request_in_the_syn_is_read_and_paired() {
    let mut wire = Wire::open([1, 2], 1448);
    wire.segs[0].data = GET.as_bytes().to_vec();
    wire.next[0] += GET.len() as u32;
    wire.segs[1].ack = wire.next[0];
    wire.segs[2].seq = wire.next[0];
    wire.send(false, OK.as_bytes());
    let exchanges = run(&wire.segs);
    assert_eq!(brief(&exchanges), [r#"GET /a "" => 200 "ok""#]);
    assert_eq!((codes(&exchanges[0]), flags(&exchanges[0])), (vec!["tcp-syn-data"], vec![]));
}

#[test]
fn sequence_numbers_wrap() {
    let mut wire = Wire::open([u32::MAX - 20, u32::MAX - 30], 10);
    for _ in 0..3 {
        wire.send(true, GET.as_bytes());
        wire.send(false, OK.as_bytes());
    }
    wire.close(false);
    let exchanges = run(&wire.segs);
    assert_eq!(exchanges.len(), 3);
    assert!(exchanges.iter().all(|e| e.completeness.is_whole()));
}

#[test]
fn overlapping_bytes_that_differ_are_said_and_the_first_stay() {
    let mut wire = Wire::open([1, 2], 1448);
    let seq = wire.next[0];
    let request = b"GET /first HTTP/1.1\r\nHost: h\r\n\r\n";
    let forged = b"GET /other HTTP/1.1\r\nHost: h\r\n\r\n";
    let late = |data: &[u8], at: usize| Seg {
        up: true,
        seq: seq.wrapping_add(at as u32),
        ack: 3,
        flags: ACK | PSH,
        data: data.to_vec(),
        ts: 500_000,
        snapped: 0,
    };
    wire.segs.extend([late(&request[4..], 4), late(&forged[4..], 4), late(&request[..4], 0)]);
    let exchanges = run(&wire.segs);
    assert_eq!(exchanges[0].request.as_ref().unwrap().target, b"/first");
    assert!(exchanges[0].anomalies.contains(Anomaly::TcpOverlapDiffers));
}

#[test]
fn one_side_alone_is_still_reported() {
    let mut wire = Wire::open([1, 2], 1448);
    for i in 0..5 {
        wire.send(true, format!("GET /{i} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        wire.send(false, OK.as_bytes());
    }
    wire.close(true);
    let side = |up: bool| run(&wire.segs.iter().filter(|s| s.up == up).cloned().collect::<Vec<_>>());
    let requests = side(true);
    assert_eq!(requests.len(), 5);
    assert!(requests.iter().all(|e| flags(e).contains(&"one-sided") && flags(e).contains(&"no-response")));
    let responses = side(false);
    assert_eq!(responses.len(), 5);
    assert!(responses.iter().all(|e| flags(e).contains(&"one-sided") && flags(e).contains(&"no-request")));
}

#[test]
fn a_flow_joined_late_is_paired_from_the_first_proof_on() {
    let mut wire = Wire::open([1, 2], 1448);
    for i in 0..6 {
        wire.send(true, format!("GET /item/{i} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        wire.send(false, format!("HTTP/1.1 200 OK\r\nX-Id: {i}\r\nContent-Length: 0\r\n\r\n").as_bytes());
    }
    let exchanges = run(&wire.segs[4..]);
    assert_eq!(flags(&exchanges[0]), ["no-request", "joined-late"]);
    assert_eq!(exchanges.len(), 6);
    assert!(exchanges[1..].iter().all(|e| flags(e) == ["pairing-uncertain"]));
    // A silence in which an open request would have been answered: from there on all is certain.
    let mut silent = wire.segs[4..].to_vec();
    silent[7..].iter_mut().for_each(|s| s.ts += 1_000_000_000);
    let exchanges = run(&silent);
    let certain: Vec<bool> = exchanges.iter().map(|e| e.completeness.is_whole()).collect();
    assert_eq!(certain, [false, false, false, false, true, true]);
}

/// The end of a response was lost with a whole one behind it: what follows must not be taken for the end of the first.
#[test]
fn a_gap_beyond_a_response_hides_where_it_ended() {
    let mut wire = Wire::open([1, 2], 1448);
    wire.send(true, GET.as_bytes());
    wire.send(false, OK.as_bytes());
    let request = |i: usize| format!("GET /item/{i} HTTP/1.1\r\nHost: h\r\n\r\n");
    let response = |i: usize, n: usize| {
        format!("HTTP/1.1 200 OK\r\nX-Id: {i}\r\nContent-Length: {n}\r\n\r\n{}", "x".repeat(n))
    };
    let ack = wire.next[1];
    wire.send_acking(true, request(1).as_bytes(), ack);
    let lost_request = wire.segs.len() - 1;
    wire.send_acking(true, request(2).as_bytes(), ack);
    wire.send(false, response(1, 2000).as_bytes());
    let lost_rest = wire.segs.len() - 1;
    wire.send(false, response(2, 0).as_bytes());
    let lost_response = wire.segs.len() - 1;
    wire.ack(true);
    wire.send(true, request(3).as_bytes());
    wire.send(false, response(3, 0).as_bytes());
    wire.close(true);
    let lost = [lost_request, lost_rest, lost_response];
    let kept: Vec<Seg> =
        wire.segs.iter().enumerate().filter(|(i, _)| !lost.contains(i)).map(|(_, s)| s.clone()).collect();
    for ex in run(&kept) {
        if let (Some(request), Some(response)) = (common::request_id(&ex), common::response_id(&ex)) {
            assert_eq!(request, response);
        }
    }
}

#[test]
fn what_is_not_http_is_counted_as_what_it_is() {
    let cases: [(&[u8], &[u8], &str); 6] = [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x16\x03\x03\x00\x7a", "tls"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", b"SSH-2.0-OpenSSH_9.9\r\n", "ssh"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0\0\0\x04\0\0\0\0\0", "http2"),
        (b"DESCRIBE rtsp://h/ RTSP/1.0\r\nCSeq: 1\r\n\r\n", b"RTSP/1.0 200 OK\r\n\r\n", "rtsp"),
        (b"\x00\x01\x02\x03random", b"\xff\xfe", "unknown"),
        (b"", b"", "empty"),
    ];
    for (up, down, kind) in cases {
        let mut wire = Wire::open([1, 2], 1448);
        wire.send(true, up);
        wire.send(false, down);
        wire.close(true);
        let (exchanges, table) = run_with(&wire.segs, &FlowLimits::default());
        assert!(exchanges.is_empty(), "{kind}");
        assert_eq!(table.counters().streams().flows.get(kind), Some(&1), "{kind}");
    }
}

#[test]
fn a_flow_that_never_closes_comes_out_at_the_end() {
    let mut wire = Wire::open([1, 2], 1448);
    wire.send(true, GET.as_bytes());
    let exchanges = run(&wire.segs);
    assert_eq!(flags(&exchanges[0]), ["no-response"]);
    assert!(!exchanges[0].acknowledged, "nobody acknowledged it");
    wire.ack(false);
    assert!(run(&wire.segs)[0].acknowledged);
    let cut = Wire { segs: wire.segs.clone(), ..wire };
    let mut segs = cut.segs;
    let last = segs.len() - 2;
    segs[last].data.truncate(20);
    let exchanges = run(&segs);
    assert!(
        exchanges.iter().all(|e| e.completeness.contains(Completeness::REQUEST_GAP)) && exchanges.len() == 1
    );
    let _ = (FIN, SYN);
}
