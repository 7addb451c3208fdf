//! What RFC 9293 and its successors leave to the receiver: the policy of docs/capture.md, point by point.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::{ACK, FIN, PSH, RST, SYN, Seg, Wire, addr, run_with};
use sidetap_capture::{FlowLimits, FlowTable, TcpFlags};
use sidetap_model::{Anomaly, Completeness, Exchange, Ts, Zone};

const URG: u8 = 32;
const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn run(segs: &[Seg]) -> (Vec<Exchange>, FlowTable) {
    run_with(segs, &FlowLimits::default())
}

fn told(seen: &(Vec<Exchange>, FlowTable), anomaly: Anomaly) -> bool {
    seen.0.iter().any(|e| e.anomalies.contains(anomaly))
        || seen.1.counters().anomalies().any(|a| a == anomaly)
}

fn discarded(seen: &(Vec<Exchange>, FlowTable), why: &str) -> u64 {
    seen.1.counters().streams().discarded.get(why).copied().unwrap_or(0)
}

fn ended(seen: &(Vec<Exchange>, FlowTable)) -> Vec<(String, u64)> {
    seen.1.counters().streams().flows_ended.into_iter().collect()
}

fn targets(seen: &(Vec<Exchange>, FlowTable)) -> Vec<String> {
    let target = |e: &Exchange| e.request.as_ref().map(|r| String::from_utf8_lossy(&r.target).into_owned());
    seen.0.iter().filter_map(target).collect()
}

/// A conversation of one exchange, still open.
fn open() -> Wire {
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.send(true, GET);
    wire.send(false, OK);
    wire
}

fn seg(wire: &Wire, up: bool, flags: u8, back: i64, data: &[u8]) -> Seg {
    let seq = wire.next[usize::from(!up)].wrapping_sub(back as u32);
    let ack = wire.next[usize::from(up)];
    Seg { up, seq, ack, flags, data: data.to_vec(), ts: wire.ts + 50_000, snapped: 0 }
}

#[test]
fn keep_alive_probes_are_no_data_and_no_disagreement() {
    let mut wire = open();
    for (up, data) in [(true, &b""[..]), (true, b"?"), (false, b""), (false, b"?")] {
        let probe = seg(&wire, up, ACK, 1, data);
        wire.segs.push(probe);
    }
    wire.send(true, GET);
    wire.send(false, OK);
    wire.close(true);
    let seen = run(&wire.segs);
    assert_eq!(seen.0.len(), 2);
    assert!(seen.0.iter().all(|e| e.completeness.is_whole() && e.anomalies.is_empty()));
    assert_eq!(discarded(&seen, "keep-alive"), 2);
    assert_eq!(ended(&seen), [("closed".to_owned(), 1)]);
}

#[test]
fn bytes_sent_again_are_compared_with_what_was_delivered() {
    let mut wire = Wire::open([u32::MAX - 5, 2000], 1448);
    wire.send(true, GET);
    let body = "0123456789".repeat(1500);
    wire.send(false, format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
    // Of an answer its first 2 KiB are compared.
    for (back, data, differs) in [
        (15_000, &b"0123456789"[..], false),
        (15_000, b"0123x56789", true),
        (13_990, b"012345678x", true),
        (15_000, &[body.as_bytes(), b"more"].concat(), false),
        (3, b"78x", false),
    ] {
        let mut again = wire.segs.clone();
        again.push(seg(&wire, false, ACK | PSH, back, data));
        let seen = run(&again);
        assert_eq!(told(&seen, Anomaly::TcpOverlapDiffers), differs, "{back}");
        assert_eq!(seen.0[0].response.as_ref().unwrap().body.bytes, body.as_bytes());
    }
    // Of what the client sends the last 16 KiB.
    let mut upload = Wire::open([u32::MAX - 20_000, 2000], 1448);
    let head = format!("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", 3 * body.len());
    upload.send(true, (head + &body.repeat(3)).as_bytes());
    upload.send(false, OK);
    for (back, data, differs) in [
        (3, &b"789"[..], false),
        (3, b"78x", true),
        (16_000, b"x", true),
        (16_000, b"0", false),
        (30_000, b"x", false),
    ] {
        let mut again = upload.segs.clone();
        again.push(seg(&upload, true, ACK | PSH, back, data));
        assert_eq!(told(&run(&again), Anomaly::TcpOverlapDiffers), differs, "{back} of an upload");
    }
    // A table without room for windows says so.
    let limits = FlowLimits { windows: 0, ..FlowLimits::default() };
    let mut again = wire.segs.clone();
    again.push(seg(&wire, false, ACK | PSH, 15_000, b"x"));
    let seen = run_with(&again, &limits);
    assert!(!told(&seen, Anomaly::TcpOverlapDiffers));
    assert!(seen.1.counters().evictions()["overlap-windows"] > 0);
}

#[test]
fn what_is_sent_again_too_late_to_be_compared_is_told_where_it_was_not_received() {
    for (len, received, told_so) in [(15_000, false, false), (40_000, false, true), (40_000, true, false)] {
        let mut wire = Wire::open([1000, 2000], 1448);
        let decoy = format!("POST /decoy HTTP/1.1\r\nContent-Length: {len}\r\n\r\n{}", "a".repeat(len));
        wire.send(true, decoy.as_bytes());
        if received {
            wire.ack(false);
        }
        let again = seg(&wire, true, ACK | PSH, decoy.len() as i64, &decoy.as_bytes()[..1448]);
        wire.segs.push(again);
        wire.ack(false);
        wire.send(false, OK);
        let seen = run(&wire.segs);
        assert_eq!(told(&seen, Anomaly::TcpOverlapUnchecked), told_so, "{len} {received}");
        assert!(!told(&seen, Anomaly::TcpOverlapDiffers));
    }
}

#[test]
fn an_overlap_that_reaches_beyond_what_was_delivered_is_cut_and_compared() {
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.send(true, &GET[..10]);
    let mut forged = GET.to_vec();
    forged[5] = b'x';
    wire.segs.push(seg(&wire, true, ACK | PSH, 10, &forged));
    let seen = run(&wire.segs);
    assert_eq!(targets(&seen), ["/a"]);
    assert!(told(&seen, Anomaly::TcpOverlapDiffers));
    assert_eq!(discarded(&seen, "overlap"), 10);
}

#[test]
fn the_urgent_byte_is_left_out_of_the_stream() {
    let request = b"GET /aX HTTP/1.1\r\nHost: h\r\n\r\n";
    let urgent_at = 7_u16;
    for split in [0, 3, 6, 7, 12] {
        let mut wire = Wire::open([1000, 2000], 1448);
        let mut table = FlowTable::new(0, &FlowLimits::default(), Arc::from([Zone::default()]));
        let mut out = Vec::new();
        let (first, rest) = request.split_at(split);
        if !first.is_empty() {
            wire.send(true, first);
        }
        wire.send(true, rest);
        let most = wire.segs.len();
        for (n, seg) in wire.segs.iter().enumerate() {
            let mut segment = seg.segment(addr(1, 40000), addr(2, 80));
            let offset = if n + 1 == most { split } else { 0 };
            if !seg.data.is_empty() && urgent_at as usize > offset {
                // The pointer counts from the segment it stands in (RFC 9293 §3.8.5), also into a later one.
                segment.flags = TcpFlags(seg.flags | URG);
                segment.urgent = urgent_at - offset as u16;
            }
            table.segment(&segment, &mut |e| out.push(e));
        }
        table.finish(&mut |e| out.push(e));
        let seen = (out, table);
        assert_eq!(targets(&seen), ["/a"], "split at {split}");
        assert!(told(&seen, Anomaly::TcpUrgent));
        assert_eq!(discarded(&seen, "urgent"), 1);
    }
}

#[test]
fn a_blind_reset_changes_nothing() {
    for back in [200_000_000_i64, 5_000_000, -5_000_000, 40] {
        let mut wire = open();
        wire.segs.push(seg(&wire, true, RST, back, b""));
        wire.send(true, b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
        wire.send(false, OK);
        wire.close(true);
        let seen = run(&wire.segs);
        assert_eq!(targets(&seen), ["/a", "/b"], "{back}");
        assert!(seen.0.iter().all(|e| e.completeness.is_whole()), "{back}");
        assert!(told(&seen, Anomaly::TcpResetIgnored), "{back}");
        assert_eq!(ended(&seen), [("closed".to_owned(), 1)], "{back}");
    }
}

#[test]
fn a_reset_in_its_place_ends_the_flow_and_its_data_are_none() {
    let mut wire = open();
    wire.segs.push(seg(&wire, false, RST | ACK, 0, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    let seen = run(&wire.segs);
    assert_eq!(seen.0.len(), 1);
    assert!(told(&seen, Anomaly::TcpResetData));
    assert_eq!(discarded(&seen, "reset-data"), 38);
    assert_eq!(ended(&seen), [("reset".to_owned(), 1)]);
}

#[test]
fn a_forged_reset_or_fin_in_its_place_hides_nothing_that_follows() {
    for flags in [RST, RST | ACK, FIN | ACK] {
        let mut wire = open();
        wire.segs.push(seg(&wire, true, flags, 0, b""));
        wire.send(true, b"GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n");
        wire.send(false, OK);
        wire.ack(true);
        let seen = run(&wire.segs);
        assert_eq!(targets(&seen), ["/a", "/hidden"], "{flags}");
        assert!(seen.0[1].response.is_some() && seen.0[1].acknowledged);
        assert!(told(&seen, Anomaly::TcpDataAfterClose), "{flags}");
        assert_eq!(told(&seen, Anomaly::TcpResetIgnored), flags & RST != 0);
    }
}

/// A connection whose SYN carries a request; the server acknowledges `taken` bytes of it.
fn fast_open(taken: usize) -> Wire {
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.segs[0].data = b"GET /early HTTP/1.1\r\nHost: h\r\n\r\n".to_vec();
    wire.next[0] += taken as u32;
    wire.segs[1].ack = wire.next[0];
    wire.segs[2].seq = wire.next[0];
    wire
}

#[test]
fn data_of_a_syn_counts_as_far_as_the_server_took_it() {
    let mut taken = fast_open(32);
    taken.send(false, OK);
    let seen = run(&taken.segs);
    assert_eq!(targets(&seen), ["/early"]);
    assert!(seen.0[0].completeness.is_whole() && told(&seen, Anomaly::TcpSynData));
    // Refused: what is sent again counts, whatever the SYN said.
    let mut refused = fast_open(0);
    refused.send(true, b"GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    refused.send(false, OK);
    let seen = run(&refused.segs);
    assert_eq!(targets(&seen), ["/later"]);
    assert!(told(&seen, Anomaly::TcpSynDataRefused));
    assert_eq!(discarded(&seen, "syn-data"), 32);
    // Nobody answered: it is told all the same, as what nobody acknowledged.
    let seen = run(&fast_open(0).segs[..1]);
    assert_eq!(targets(&seen), ["/early"]);
    assert!(!seen.0[0].acknowledged);
    assert_eq!(seen.1.counters().streams().flows_unanswered, 1);
    // The mirror shows the server's answer first.
    let mut swapped = fast_open(32);
    swapped.segs.swap(0, 1);
    swapped.send(false, OK);
    assert_eq!(targets(&run(&swapped.segs)), ["/early"]);
}

#[test]
fn a_split_handshake_does_not_turn_the_sides_round() {
    let mut wire = Wire::open([1000, 2000], 1448);
    let bare = |up: bool, seq: u32, ack: u32, flags: u8| Seg {
        up,
        seq,
        ack,
        flags,
        data: vec![],
        ts: 1,
        snapped: 0,
    };
    let handshakes: [Vec<Seg>; 2] = [
        // The server answers the SYN with a SYN of its own, which the client acknowledges as if it were the server.
        vec![
            bare(true, 1000, 0, SYN),
            bare(false, 2000, 0, SYN),
            bare(true, 1000, 2001, SYN | ACK),
            bare(false, 2001, 1001, ACK),
        ],
        // Both open at once.
        vec![
            bare(true, 1000, 0, SYN),
            bare(false, 2000, 0, SYN),
            bare(false, 2000, 1001, SYN | ACK),
            bare(true, 1000, 2001, SYN | ACK),
        ],
    ];
    for handshake in handshakes {
        wire.segs = handshake;
        wire.next = [1001, 2001];
        wire.send(true, GET);
        wire.send(false, OK);
        let seen = run(&wire.segs);
        assert_eq!(targets(&seen), ["/a"]);
        assert!(seen.0[0].completeness.is_whole());
        assert_eq!(seen.0[0].flow.server.port, 80);
        assert!(told(&seen, Anomaly::TcpSplitHandshake));
    }
    assert!(!told(&run(&open().segs), Anomaly::TcpSplitHandshake));
}

#[test]
fn a_tuple_is_used_again_after_any_end() {
    let second = |isn: [u32; 2]| {
        let mut wire = Wire::open(isn, 1448);
        wire.send(true, b"GET /second HTTP/1.1\r\nHost: h\r\n\r\n");
        wire.send(false, OK);
        wire.close(true);
        wire.segs.into_iter().map(|s| Seg { ts: s.ts + 3_000_000_000, ..s }).collect::<Vec<_>>()
    };
    let mut closed = open();
    closed.close(false);
    let mut reset = open();
    reset.segs.push(seg(&reset, true, RST, 0, b""));
    let mut lossy = open();
    lossy.send(false, b"HTTP/1.1 200 lost");
    lossy.segs.pop();
    lossy.close(true);
    // Other numbers, a little later ones as after TIME_WAIT (RFC 6191), and the very same ones.
    for isn in [[7_000_000, 9_000_000], [1000 + 250_000, 2000 + 250_000], [1000, 2000]] {
        for (what, first) in [("closed", &closed), ("reset", &reset), ("lossy", &lossy)] {
            let mut segs = first.segs.clone();
            segs.extend(second(isn));
            let seen = run(&segs);
            let mut flows: Vec<_> = seen.0.iter().map(|e| e.flow_id).collect();
            flows.dedup();
            if what == "closed" || isn[0] != 1000 {
                assert_eq!(targets(&seen), ["/a", "/second"], "{what} {isn:?}");
                assert!(told(&seen, Anomaly::TcpReuse), "{what} {isn:?}");
                assert!(flows.len() >= 2, "{what} {isn:?}");
            }
        }
    }
}

#[test]
fn an_acknowledgement_before_its_data_is_waited_for() {
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.send(true, GET);
    wire.send(false, OK);
    wire.ack(true);
    wire.close(true);
    // The mirror shows the server's side a few packets early.
    let request = wire.segs.remove(3);
    wire.segs.insert(5, request);
    let seen = run(&wire.segs);
    assert_eq!(seen.0.len(), 1);
    assert!(seen.0[0].completeness.is_whole() && seen.0[0].response.is_some());
    assert_eq!(seen.1.counters().streams().gap_bytes, 0);
}

#[test]
fn a_flow_that_falls_silent_is_cut_and_says_so() {
    let limits = FlowLimits::default();
    let mut table = FlowTable::new(0, &limits, Arc::from([Zone::default()]));
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.send(true, b"POST /half HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\nabc");
    let mut out = Vec::new();
    let start = Ts(1_700_000_000_000_000_000);
    table.tick(start, &mut |e| out.push(e));
    for seg in &wire.segs {
        table.segment(&seg.segment(addr(1, 1), addr(2, 80)), &mut |e| out.push(e));
    }
    table.tick(start.plus(limits.idle + 1_000_000_000), &mut |e| out.push(e));
    let seen = (out, table);
    assert_eq!(targets(&seen), ["/half"]);
    assert!(seen.0[0].completeness.contains(Completeness::IDLE));
    assert_eq!(ended(&seen), [("idle".to_owned(), 1)]);
}

#[test]
fn one_side_alone_counts_as_unanswered() {
    let wire = open();
    for up in [true, false] {
        let side: Vec<Seg> = wire.segs.iter().filter(|s| s.up == up).cloned().collect();
        assert_eq!(run(&side).1.counters().streams().flows_unanswered, 1);
    }
    assert_eq!(run(&wire.segs).1.counters().streams().flows_unanswered, 0);
}

#[test]
fn one_flow_cannot_take_the_room_of_all() {
    let limits =
        FlowLimits { bytes: 400_000, flow_bytes: 200_000, direction_bytes: 150_000, ..FlowLimits::default() };
    let mut table = FlowTable::new(0, &limits, Arc::from([Zone::default()]));
    let mut out = Vec::new();
    let mut honest = Wire::open([5000, 6000], 1448);
    honest.send(true, b"POST /honest HTTP/1.1\r\nHost: h\r\nContent-Length: 40000\r\n\r\n");
    honest.send(true, &[b'x'; 39_000]);
    for seg in &honest.segs {
        table.segment(&seg.segment(addr(9, 9), addr(2, 80)), &mut |e| out.push(e));
    }
    let mut greedy = Wire::open([1000, 2000], 1448);
    for i in 0..200 {
        let body = "b".repeat(4000);
        let request = format!("POST /{i} HTTP/1.1\r\nHost: h\r\nContent-Length: 4000\r\n\r\n{body}");
        greedy.send(true, request.as_bytes());
    }
    for seg in &greedy.segs {
        table.segment(&seg.segment(addr(1, 1), addr(2, 80)), &mut |e| out.push(e));
        assert!(table.held_bytes() <= limits.bytes);
    }
    assert!(table.counters().evictions()["flows-over-share"] > 0);
    assert!(
        out.iter().all(|e| e.request.as_ref().is_none_or(|r| r.target != b"/honest")),
        "the other was cut"
    );
    table.finish(&mut |e| out.push(e));
    let honest = out.iter().find(|e| e.request.as_ref().is_some_and(|r| r.target == b"/honest")).unwrap();
    assert!(!honest.completeness.contains(Completeness::EVICTED));
}

#[test]
fn answers_wait_for_requests_that_the_mirror_shows_much_later() {
    let mut wire = open();
    let body = "x".repeat(200_000);
    let put = format!("PUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let from = wire.segs.len();
    wire.mss = 20_000;
    wire.send(true, put.as_bytes());
    wire.send(false, OK);
    // The other direction's queue runs ahead: the answer comes before the request's segments.
    let answer = wire.segs.pop().unwrap();
    wire.segs.insert(from, answer);
    let seen = run(&wire.segs);
    assert_eq!(seen.0.len(), 2);
    assert!(seen.0.iter().all(|e| e.completeness.is_whole() && e.anomalies.is_empty()), "{:?}", seen.0);
}

fn gap_bytes(seen: &(Vec<Exchange>, FlowTable)) -> u64 {
    seen.1.counters().streams().gap_bytes
}

#[test]
fn one_damaged_number_claims_no_loss() {
    let far = 100 << 20;
    type Damage = fn(&mut Seg, u32);
    let damages: [(&str, Damage); 2] = [
        ("sequence", |s, by| s.seq = s.seq.wrapping_add(by)),
        ("acknowledgement", |s, by| s.ack = s.ack.wrapping_add(by)),
    ];
    let mut open = open();
    (0..4).for_each(|_| {
        open.send(true, GET);
        open.send(false, OK);
    });
    let still_open = open.segs.len();
    open.close(true);
    // Whichever packet it is (handshake and end too), whether or not the connection is seen from its beginning and to its end.
    for (from, to) in
        [0, 3, 4].into_iter().flat_map(|from| [still_open, open.segs.len()].map(|to| (from, to)))
    {
        for at in 0..to - from {
            for (what, damage) in damages {
                let mut segs = open.segs[from..to].to_vec();
                damage(&mut segs[at], far);
                let seen = run(&segs);
                assert!(gap_bytes(&seen) <= 1 << 17, "{what} of {at} in {from}..{to}: {}", gap_bytes(&seen));
                assert!(seen.0.iter().all(|e| e.gap_bytes <= 1 << 17));
            }
        }
    }
}

#[test]
fn a_piece_far_ahead_that_others_belie_is_no_loss() {
    let mut wire = open();
    wire.send(true, GET);
    // The same damage in two segments and in an acknowledgement: they agree with each other, but not with what follows.
    let mut segs = wire.segs.clone();
    for back in [OK.len() as i64, 0] {
        let mut far = seg(&wire, false, ACK, back - 20 - (64 << 20), b"x");
        far.ts += back;
        segs.push(far);
    }
    let mut ack = seg(&wire, true, ACK, 0, b"");
    ack.ack = ack.ack.wrapping_add(64 << 20);
    segs.push(ack);
    wire.segs = segs;
    wire.ts += 100_000;
    (0..60).for_each(|_| {
        wire.send(false, OK);
        wire.send(true, GET);
    });
    wire.close(true);
    let seen = run(&wire.segs);
    assert_eq!(gap_bytes(&seen), 0);
    assert_eq!(discarded(&seen, "beyond-gap"), 2);
    assert!(seen.0.iter().all(|e| e.gap_bytes == 0) && seen.0.len() > 60, "{}", seen.0.len());
}

#[test]
fn a_damaged_number_in_one_sided_traffic_claims_no_loss() {
    let mut wire = open();
    (0..4).for_each(|_| wire.send(false, OK));
    let mut segs: Vec<Seg> = wire.segs.iter().filter(|s| !s.up).cloned().collect();
    let clean = gap_bytes(&run(&segs));
    segs[3].seq = segs[3].seq.wrapping_add(100 << 20);
    let seen = run(&segs);
    assert_eq!((clean, gap_bytes(&seen)), (0, OK.len() as u64), "its own bytes are what is missing");
    assert_eq!(discarded(&seen, "beyond-gap"), OK.len() as u64);
}

#[test]
fn what_was_lost_in_bulk_is_claimed_in_full() {
    let lost = 20 << 20;
    for acked in [true, false] {
        let mut wire = open();
        wire.send(true, GET);
        wire.send(false, format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", lost + 8_000).as_bytes());
        wire.next[1] = wire.next[1].wrapping_add(lost);
        (0..4).for_each(|_| {
            wire.send(false, &[b'x'; 2_000]);
            if acked {
                wire.ack(true);
            }
        });
        let mut one_side: Vec<Seg> = wire.segs.clone();
        if !acked {
            one_side.retain(|s| !s.up);
        }
        let seen = run(&one_side);
        assert_eq!(gap_bytes(&seen), u64::from(lost), "acknowledged: {acked}");
        let whole = seen.0.last().unwrap();
        assert_eq!(whole.gap_bytes, u64::from(lost));
        assert!(!whole.completeness.is_whole());
    }
}

/// Runs segments of which these have an urgent pointer to their last byte.
fn run_urgent(segs: &[Seg], urgent: std::ops::Range<usize>) -> Vec<Exchange> {
    let mut table = FlowTable::new(0, &FlowLimits::default(), Arc::from([Zone::default()]));
    let mut seen = Vec::new();
    for (n, seg) in segs.iter().enumerate() {
        let mut segment = seg.segment(addr(1, 40000), addr(2, 80));
        if urgent.contains(&n) && seg.up && !seg.data.is_empty() {
            segment.flags = TcpFlags(seg.flags | URG);
            segment.urgent = seg.data.len() as u16;
        }
        table.segment(&segment, &mut |e| seen.push(e));
    }
    table.finish(&mut |e| seen.push(e));
    seen
}

#[test]
fn urgent_bytes_that_stand_in_the_stream_again_are_read_with_it() {
    let words = b"/item?id=1%27%20UNION%20SELECT%20name";
    for (before, behind) in [(0, 0), (1, 0), (1, 3), (0, 3)] {
        let mut wire = Wire::open([1000, 2000], 1448);
        for _ in 0..before {
            wire.send(true, GET);
            wire.send(false, OK);
        }
        wire.send(true, b"GET ");
        let from = wire.segs.len();
        words.chunks(3).for_each(|word| wire.send(true, word));
        wire.send(true, b"Z");
        let end = wire.segs.len();
        wire.send(true, b" HTTP/1.1\r\nHost: h\r\n\r\n");
        for _ in 0..behind {
            wire.send(true, GET);
        }
        (0..=behind).for_each(|_| wire.send(false, OK));
        wire.close(true);
        let seen = run_urgent(&wire.segs, from..end);
        let told: Vec<_> =
            seen.iter().filter(|e| e.request.as_ref().is_some_and(|r| r.target == words)).collect();
        assert_eq!(told.len(), 1, "{:?}", common::targets(&seen));
        assert!(told[0].acknowledged && told[0].anomalies.contains(Anomaly::TcpUrgent));
        assert!(told[0].completeness.contains(Completeness::PAIRING_UNCERTAIN));
        let own = seen.iter().filter(|e| e.request.as_ref().is_some_and(|r| r.target == b"/a")).count();
        assert_eq!(own, before + behind, "{:?}", common::targets(&seen));
        assert!(seen.iter().filter(|e| e.completeness.is_whole()).count() <= before);
    }
}

/// A letter that is urgent, another that is none of the path right behind it, and a pause: the letter stands in the stream again.
#[test]
fn of_urgent_bytes_that_come_at_once_all_but_the_last_are_read() {
    let words = b"/item?id=1%27%20UNION%20SELECT%20name";
    let mut wire = Wire::open([1000, 2000], 1448);
    wire.send(true, b"GET ");
    let from = wire.segs.len();
    for word in words.chunks(8) {
        wire.send(true, word);
        wire.send(true, b"Z");
    }
    let end = wire.segs.len();
    wire.send(true, b" HTTP/1.1\r\nHost: h\r\n\r\n");
    wire.send(false, OK);
    wire.close(true);
    for (n, seg) in wire.segs.iter_mut().enumerate() {
        let pauses = n.clamp(from, end) - from;
        seg.ts += (pauses / 2) as i64 * 12_000_000;
    }
    let seen = run_urgent(&wire.segs, from..end);
    let told = seen.iter().find(|e| e.request.as_ref().is_some_and(|r| r.target == words));
    let told = told.unwrap_or_else(|| panic!("{:?}", common::targets(&seen)));
    assert!(told.acknowledged && told.completeness.contains(Completeness::PAIRING_UNCERTAIN));
}
