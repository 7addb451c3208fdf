//! Segments that every receiver drops, on the numbers of a request that follows: docs/capture.md, "TCP".

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::{ACK, PSH, Seg, Wire, addr};
use sidetap_capture::{Clocks, FlowLimits, FlowTable};
use sidetap_model::{Anomaly, Exchange, Zone};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A segment with the clock of its sender; what this one has of the other's is filled in.
type Timed = (Seg, Option<u32>);

fn run(segs: &[Timed], lost: &[usize]) -> (Vec<Exchange>, u64) {
    let mut table = FlowTable::new(0, &FlowLimits::default(), Arc::from([Zone::default()]));
    let mut seen = Vec::new();
    let mut known = [0; 2];
    for (n, (seg, own)) in segs.iter().enumerate() {
        let mut segment = seg.segment(addr(1, 40_000), addr(2, 80));
        let side = usize::from(!seg.up);
        segment.clocks = own.map(|own| Clocks { own, heard: known[side ^ 1] });
        // What a receiver takes is in order, and not behind what it has.
        if let Some(own) = own.filter(|own| !lost.contains(&n) && *own >= known[side]) {
            known[side] = own;
        }
        table.segment(&segment, &mut |ex| seen.push(ex));
    }
    table.finish(&mut |ex| seen.push(ex));
    let streams = table.counters().streams();
    assert_eq!(streams.bytes, streams.delivered + streams.discarded.values().sum::<u64>());
    (seen, streams.discarded.get("unacceptable").copied().unwrap_or(0))
}

fn request(n: usize) -> Vec<u8> {
    format!("GET /secret/{n} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
}

fn decoy(n: usize) -> Vec<u8> {
    format!("GET /decoys/{n} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
}

/// Requests on one connection, before each what `fake` makes of its decoy; the server answers each request.
fn talk(requests: usize, fake: impl Fn(&Wire, Vec<u8>) -> Option<Timed>, clocks: bool) -> Vec<Timed> {
    let mut wire = Wire::open([1000, 2000], 1448);
    let mut out: Vec<Timed> = Vec::new();
    let timed = |wire: &mut Wire, out: &mut Vec<Timed>| {
        for seg in wire.segs.drain(..) {
            let clock = if seg.up { 5_000 } else { 90_000 } + out.len() as u32;
            out.push((seg, clocks.then_some(clock)));
        }
    };
    timed(&mut wire, &mut out);
    for n in 0..requests {
        out.extend(fake(&wire, decoy(n)));
        wire.send(true, &request(n));
        wire.send(false, OK);
        wire.ack(true);
        timed(&mut wire, &mut out);
    }
    wire.close(true);
    timed(&mut wire, &mut out);
    out
}

fn forged(wire: &Wire, flags: u8, beyond: u32, data: Vec<u8>) -> Seg {
    let ack = if flags & ACK == 0 { 0 } else { wire.next[1].wrapping_add(beyond) };
    Seg { up: true, seq: wire.next[0], ack, flags, data, ts: wire.ts + 10, snapped: 0 }
}

fn assert_all_seen(segs: &[Timed], what: &str) {
    let (seen, dropped) = run(segs, &[]);
    let targets: Vec<String> = seen
        .iter()
        .map(|e| String::from_utf8_lossy(&e.request.as_ref().unwrap().target).into_owned())
        .collect();
    let expected: Vec<String> = (0..20).map(|n| format!("/secret/{n}")).collect();
    assert_eq!(targets, expected, "{what}");
    assert!(seen.iter().all(|e| e.response.is_some() && e.completeness.is_whole()), "{what}");
    assert_eq!(dropped, 20 * decoy(1).len() as u64 + 10, "{what}");
}

#[test]
fn a_segment_that_acknowledges_nothing_hides_none() {
    let segs = talk(20, |wire, data| Some((forged(wire, PSH, 0, data), None)), false);
    assert_all_seen(&segs, "no ACK");
}

#[test]
fn a_segment_that_acknowledges_what_was_never_sent_hides_none() {
    for beyond in [1, 1_000, 60_000, 100_000, 1 << 27] {
        let segs = talk(20, |wire, data| Some((forged(wire, ACK | PSH, beyond, data), None)), false);
        assert_all_seen(&segs, &format!("beyond {beyond}"));
    }
}

#[test]
fn a_segment_from_the_past_hides_none() {
    for (clock, every) in [(1, 1), (4_000, 1), (1, 3)] {
        let mut segs = talk(20, |wire, data| Some((forged(wire, ACK | PSH, 0, data), Some(clock))), true);
        // Some stacks leave the clock out of segments without data.
        let bare = segs
            .iter_mut()
            .enumerate()
            .filter(|(n, (s, _))| n % every == 0 && s.data.is_empty() && s.flags == ACK);
        bare.for_each(|(_, (_, clock))| *clock = None);
        assert_all_seen(&segs, &format!("clock {clock} {every}"));
    }
}

#[test]
fn a_clock_that_was_set_forward_hides_none() {
    // As from a segment that died on its way: its bytes are those that follow, its clock is far ahead.
    let mut segs = talk(20, |_, _| None, true);
    let first = segs.iter().position(|(s, _)| !s.data.is_empty()).unwrap();
    let ahead = (segs[first].0.clone(), Some(0x7000_0000));
    segs.insert(first, ahead);
    let (seen, _) = run(&segs, &[first]);
    assert_eq!(seen.len(), 20);
    assert!(seen.iter().all(|e| e.request.is_some() && e.response.is_some()));
}

#[test]
fn a_byte_that_was_not_acknowledged_is_no_keep_alive() {
    let mut wire = Wire::open([1000, 2000], 1448);
    // The first byte of each request as somebody wants it to be read, and then the request.
    wire.segs.push(forged(&wire, ACK | PSH, 0, b"P".to_vec()));
    wire.send(true, b"G");
    wire.send(true, b"ET / HTTP/1.1\r\nHost: h\r\n\r\n");
    wire.send(false, OK);
    // All of it acknowledged: a real one.
    let probe = Seg { seq: wire.next[0].wrapping_sub(1), ..forged(&wire, ACK, 0, vec![0]) };
    wire.segs.push(probe);
    wire.send(true, b"GET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    wire.send(false, OK);
    wire.close(true);
    let segs: Vec<Timed> = wire.segs.into_iter().map(|s| (s, None)).collect();
    let (seen, _) = run(&segs, &[]);
    let differs = |e: &Exchange| e.anomalies.contains(Anomaly::TcpOverlapDiffers);
    assert_eq!(seen.iter().map(differs).collect::<Vec<_>>(), [true, false]);
}

/// A clock that never arrived makes nothing of what does: the receiver says itself which one it has.
#[test]
fn a_clock_that_its_receiver_never_had_ousts_nothing() {
    let mut segs = talk(8, |_, _| None, true);
    let at = segs.iter().position(|(s, _)| s.data == request(3)).unwrap();
    let (real, _) = segs[at].clone();
    let two = [&b"GET /d1 HTTP/1.1\r\n\r\n"[..], b"GET /d HTTP/1.1\r\n\r\n"].concat();
    let decoy = Seg { data: two[..real.data.len().min(two.len())].to_vec(), ..real.clone() };
    segs.insert(at, (Seg { data: Vec::new(), ..real }, Some(200_000)));
    segs.insert(at + 2, (decoy, Some(200_000)));
    let (seen, _) = run(&segs, &[at, at + 2]);
    let targets: Vec<_> = seen.iter().map(|e| e.request.as_ref().unwrap().target.clone()).collect();
    let expected: Vec<_> = (0..8).map(|n| format!("/secret/{n}").into_bytes()).collect();
    assert_eq!(targets, expected);
    assert!(seen.iter().all(|e| e.response.is_some()));
}
