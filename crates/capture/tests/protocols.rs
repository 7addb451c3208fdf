//! What a connection carries, where its client says something else: docs/capture.md, "HTTP/1".

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{OK, Wire, run_usual as run, targets};
use sidetap_model::Exchange;

const SECRET: &[u8] = b"GET /secret HTTP/1.1\r\nHost: h\r\n\r\n";

/// What a client says first is refused by a server that reads on; the requests behind it are answered.
fn behind(first: &[u8], pieces: usize, refusal: &[u8]) -> Vec<Exchange> {
    let mut wire = Wire::open([1000, 2000], 1448);
    for piece in first.chunks(first.len().div_ceil(pieces)) {
        wire.send(true, piece);
    }
    wire.send(false, refusal);
    for _ in 0..5 {
        wire.send(true, SECRET);
        wire.send(false, OK);
    }
    wire.close(true);
    run(&wire.segs).0
}

#[test]
fn what_looks_like_another_protocol_hides_nothing_where_the_server_speaks_http() {
    const REFUSED: &[u8] = b"HTTP/1.1 405 Not Allowed\r\nContent-Length: 2\r\n\r\nno";
    // Methods that are other protocols' commands, and versions that servers take for HTTP's: requests.
    let asks: [&[u8]; 7] = [
        b"EHLO / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"USER / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"HELO / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"SSH-2 / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PROXY /f HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a RTSP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a RTSP/1.0\r\nHost: x\r\n\r\n",
    ];
    for first in asks {
        for pieces in [1, 2, 6] {
            let seen = behind(first, pieces, REFUSED);
            let what = format!("{:?} {pieces}", String::from_utf8_lossy(first));
            assert_eq!(targets(&seen).len(), 6, "{what} {:?}", targets(&seen));
            assert!(seen.iter().all(|e| e.response.is_some() && e.acknowledged), "{what}");
        }
    }
    // No requests at all: what is refused may be lost, but not what follows.
    for first in [
        &b"LIST\r\n"[..],
        b"EHLO x\r\n",
        b"\x16\x03\x01\x00\x05hello",
        b"GET /a SIP/2.0\r\n\r\n",
        b"220 smtp\r\n",
    ] {
        for pieces in [1, 3] {
            let seen = behind(first, pieces, REFUSED);
            let secrets = targets(&seen).iter().filter(|t| *t == "/secret").count();
            assert!(secrets >= 4, "{:?} {pieces} {:?}", String::from_utf8_lossy(first), targets(&seen));
        }
    }
}

#[test]
fn empty_lines_in_a_tunnel_hide_nothing() {
    for blank in [2, 18, 90, 400] {
        let mut wire = Wire::open([1000, 2000], 1448);
        wire.send(true, b"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n");
        wire.send(false, b"HTTP/1.1 200 Connected\r\n\r\n");
        for _ in 0..blank / 2 {
            wire.send(true, b"\r\n");
        }
        for _ in 0..3 {
            wire.send(true, SECRET);
            wire.send(false, OK);
        }
        wire.close(true);
        let seen = run(&wire.segs).0;
        assert_eq!(targets(&seen), ["h:80", "/secret", "/secret", "/secret"], "{blank}");
    }
}
