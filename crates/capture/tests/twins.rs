//! Connections that come in tunnels that are not trusted and another way as well: docs/capture.md, "Encapsulations".

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::{OK, Seg, Wire, addr};
use sidetap_capture::{Carried, FlowLimits, FlowTable};
use sidetap_model::rows::StreamCounts;
use sidetap_model::{Anomaly, Exchange, Zone};

const REQUESTS: usize = 5;

/// A connection with some requests, each answered.
fn talk() -> Vec<Seg> {
    let mut wire = Wire::open([1000, 2000], 1448);
    for n in 0..REQUESTS {
        wire.send(true, format!("GET /{n} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        wire.ack(false);
        wire.send(false, OK);
        wire.ack(true);
    }
    wire.close(true);
    wire.segs
}

/// Runs segments, each in the tunnel of this number; 0 is none.
fn run(segs: &[(Seg, u32)]) -> (Vec<Exchange>, StreamCounts) {
    let mut table = FlowTable::new(0, &FlowLimits::default(), Arc::from([Zone::default()]));
    let mut seen = Vec::new();
    let mut shards = std::collections::BTreeSet::new();
    for (seg, foreign) in segs {
        let mut segment = seg.segment(addr(1, 40_000), addr(2, 80));
        segment.carried = Carried { foreign: *foreign, ..Carried::default() };
        shards.insert(segment.shard());
        table.segment(&segment, &mut |e| seen.push(e));
    }
    table.finish(&mut |e| seen.push(e));
    assert_eq!(shards.len(), 1, "whoever owns a connection has all ways of it");
    assert!(table.is_empty() && table.held_bytes() == 0);
    let streams = table.counters().streams();
    assert_eq!(streams.bytes, streams.delivered + streams.discarded.values().sum::<u64>());
    (seen, streams)
}

fn is_hearsay(e: &Exchange) -> bool {
    e.anomalies.contains(Anomaly::TunnelUntrusted) && !e.acknowledged
}

fn are_whole(seen: &[Exchange]) -> bool {
    seen.len() == REQUESTS && seen.iter().all(|e| e.response.is_some() && e.completeness.is_whole())
}

/// Balancer to server in a tunnel, server to client directly; and two switches that mirror one direction each.
#[test]
fn a_connection_whose_answers_come_another_way_is_one() {
    for (up, down) in [(7, 0), (7, 9)] {
        let segs: Vec<_> = talk().into_iter().map(|s| (s.clone(), if s.up { up } else { down })).collect();
        let (seen, _) = run(&segs);
        assert!(are_whole(&seen), "{up} {down}: {seen:?}");
        assert!(seen.iter().all(is_hearsay), "a client in a tunnel may be anybody's word");
    }
}

/// Both sides of a gateway: each packet twice, inward in its tunnel first, outward without it first.
#[test]
fn a_connection_that_comes_with_its_tunnel_and_without_counts_once() {
    for first in [[7, 0], [0, 7]] {
        for late in [0, 3, 4] {
            let both = |s: &Seg| first.map(|n| (s.clone(), if s.up { n } else { 7 - n }));
            let segs: Vec<_> = talk()[late..].iter().flat_map(both).collect();
            let (seen, streams) = run(&segs);
            assert!(!seen.iter().any(is_hearsay), "{first:?} {late}: {seen:?}");
            assert!(late > 0 || are_whole(&seen), "{first:?}");
            assert!(late > 0 || streams.discarded["tunnel-copy"] > 0);
        }
    }
}

/// Who knows the numbers of a connection, as its client does, makes no hearsay of it by repeating it in a tunnel.
#[test]
fn nobody_takes_a_connection_into_a_tunnel() {
    let segs = talk();
    let forged = |s: &Seg, data: &[u8]| (Seg { data: data.to_vec(), ..s.clone() }, 7);
    // His SYN in the tunnel comes first, with the mirror showing his own late or never.
    for order in [&[0, 1, 2][..], &[1, 0, 2], &[1, 2]] {
        let mut all = vec![forged(&segs[0], b"")];
        all.extend(order.iter().map(|n| (segs[*n].clone(), 0)));
        for seg in &segs[3..] {
            let data = String::from_utf8_lossy(&seg.data).replace("GET /", "PUT /");
            all.push(forged(seg, data.as_bytes()));
            all.push((seg.clone(), 0));
        }
        let (seen, _) = run(&all);
        assert!(are_whole(&seen) && !seen.iter().any(is_hearsay), "{order:?} {seen:?}");
        assert!(seen.iter().all(|e| e.request.as_ref().unwrap().method == b"GET"));
    }
    // Where the server's side is not to be seen, answers in a tunnel are none of its.
    let one_sided: Vec<_> = segs.iter().map(|s| (s.clone(), if s.up { 0 } else { 7 })).collect();
    let (seen, _) = run(&one_sided);
    let asked: Vec<_> = seen.iter().filter(|e| e.request.is_some()).collect();
    assert!(
        asked.len() == REQUESTS && !asked.iter().any(|e| is_hearsay(e) || e.response.is_some()),
        "{seen:?}"
    );
}
