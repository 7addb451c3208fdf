//! Addresses and ports that are used again: docs/capture.md, "TCP".

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{OK, Seg, Wire, run_usual as run, targets};

/// A connection and, on its addresses, another one of which nothing was seen up to the first data.
fn used_again(closed: bool, by: [u32; 2], lost: &[usize], requests: usize, pipelined: bool) -> Wire {
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.send(true, b"GET /first HTTP/1.1\r\nHost: h\r\n\r\n");
    wire.send(false, OK);
    if closed {
        wire.close(true);
    }
    let mut again = Wire::open(by, 1448);
    let asks = |wire: &mut Wire, n: usize| {
        wire.send(true, format!("GET /secret{n} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
    };
    for n in 0..requests {
        asks(&mut again, n);
        if !pipelined {
            again.ack(false);
            again.send(false, OK);
        }
    }
    if pipelined {
        again.ack(false);
        (0..requests).for_each(|_| again.send(false, OK));
    }
    let kept = again.segs.into_iter().enumerate().filter(|(n, _)| !lost.contains(n));
    wire.segs.extend(kept.map(|(_, s)| Seg { ts: s.ts + 5_000_000_000, ..s }));
    wire
}

#[test]
fn a_connection_that_began_unseen_on_used_addresses_is_read_from_its_first_request_on() {
    let (far, near) = ([0x5000_0000, 0x9000_0000], [200_000, 300_000]);
    for requests in [1, 2, 6] {
        for pipelined in [false, true] {
            for (closed, by, lost) in [
                (false, far, &[0, 1, 2][..]),
                (true, far, &[0, 1, 2]),
                (true, near, &[0, 1, 2]),
                (true, near, &[0, 1]),
                (false, far, &[1]),
                (false, far, &[1, 2]),
                (false, far, &[0]),
            ] {
                let wire = used_again(closed, by, lost, requests, pipelined);
                let (seen, _) = run(&wire.segs);
                let what = format!("{requests} {pipelined} {closed} {by:?} {lost:?}");
                assert_eq!(targets(&seen).len(), 1 + requests, "{what}");
                // Joined late, the last answer may be another's.
                let alone = seen.iter().filter(|e| e.request.is_some() && e.response.is_none()).count();
                assert!(pipelined || alone <= 1, "{what} {alone}");
            }
            // Of one side alone: once four segments say so.
            for up in [true, false] {
                let mut wire = used_again(false, far, &[0, 1, 2], 6, false);
                wire.segs.retain(|s| s.up == up);
                assert_eq!(run(&wire.segs).0.len(), 7, "{up}");
            }
        }
    }
}

/// Coarse clocks give many packets one time: each connection's exchanges have their own id all the same.
#[test]
fn connections_of_one_time_on_one_pair_of_ports_have_ids_of_their_own() {
    let mut wire = used_again(true, [0x5000_0000, 0x9000_0000], &[], 2, false);
    let third = used_again(true, [0x7000_0000, 0x1000_0000], &[], 2, false);
    wire.segs.extend(third.segs.into_iter().skip(5));
    wire.segs.iter_mut().for_each(|s| s.ts = 7_000_000_000);
    let (seen, _) = run(&wire.segs);
    let ids: std::collections::BTreeSet<_> = seen.iter().map(|e| (e.flow_id, e.seq)).collect();
    assert!(seen.len() > 4, "{}", seen.len());
    assert_eq!(ids.len(), seen.len());
}
