//! What networks and mirrors do to packets on their way changes nothing of what was said in them.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use common::{Seen, Seg, Style, conversation, request_id, response_id, seen};
use sidetap_capture::{
    DecodeCounters, DecodeOptions, Decoded, Decoder, DropReason, FlowLimits, FlowTable, LinkType, Packet,
};
use sidetap_model::{Addr, Exchange, Zone};
use sidetap_testkit::fault::{self, Overlap, Twin};
use sidetap_testkit::tcpip::{Tcp, push_tcp};
use sidetap_testkit::{Encapsulation, Framing, LinkKind, Rng};

type Frames = Vec<sidetap_testkit::Packet>;

const STYLES: [Style; 3] = [Style::Sequential, Style::Bursts, Style::TwoDeep];

const ALONE: [Encapsulation; 20] = [
    Encapsulation::Vxlan(77),
    Encapsulation::VxlanGpe(78),
    Encapsulation::Geneve(79),
    Encapsulation::Gre,
    Encapsulation::GreEthernet(9),
    Encapsulation::GreFull(10),
    Encapsulation::Erspan1,
    Encapsulation::Erspan2(5),
    Encapsulation::Erspan3(6),
    Encapsulation::IpIp,
    Encapsulation::IpIn6,
    Encapsulation::GtpU(11),
    Encapsulation::Tzsp,
    Encapsulation::Teredo,
    Encapsulation::Mpls(100),
    Encapsulation::MplsEthernet(200),
    Encapsulation::Pbb(300),
    Encapsulation::VnTag,
    Encapsulation::Nsh,
    Encapsulation::Pppoe(3),
];

/// The family of the addresses of a conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Family {
    V4,
    V6,
}

fn ends(family: Family) -> (Addr, Addr) {
    let ip = |host: u8| match family {
        Family::V4 => IpAddr::from([10, 0, 0, host]),
        Family::V6 => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(host)]),
    };
    (Addr { ip: ip(1), port: 40_000 }, Addr { ip: ip(2), port: 80 })
}

/// A conversation as raw IP packets.
fn raw(segs: &[Seg], family: Family) -> Frames {
    let (client, server) = ends(family);
    let mut ids = [1000, 5000];
    let packet = |seg: &Seg| {
        let s = seg.segment(client, server);
        let id = &mut ids[usize::from(seg.up)];
        *id += 1;
        let tcp = Tcp {
            src: s.src,
            dst: s.dst,
            seq: s.seq,
            ack: s.ack,
            flags: s.flags.0,
            window: s.window,
            urgent: 0,
            options: &[],
            payload: s.payload,
            ttl: 60,
            id: *id,
        };
        let mut ip = Vec::new();
        push_tcp(&mut ip, &tcp);
        sidetap_testkit::Packet::new(s.ts, ip)
    };
    segs.iter().map(packet).collect()
}

/// Frames raw IP packets.
fn framed(packets: &Frames, framing: &Framing) -> Frames {
    fault::reframe(packets, LinkKind::Raw, framing, |ip| {
        [Family::V4, Family::V6].map(|f| ends(f).0.ip).contains(&ip)
    })
}

fn on_ethernet(encapsulations: &[Encapsulation]) -> Framing {
    Framing { encapsulations: encapsulations.to_vec(), ..Framing::default() }
}

struct Read {
    exchanges: Vec<Exchange>,
    counters: DecodeCounters,
    dropped: Vec<DropReason>,
}

/// What capture makes of frames.
fn read(packets: &Frames, link: LinkKind) -> Read {
    let mut decoder = Decoder::new(DecodeOptions::default());
    let mut tables: BTreeMap<u8, FlowTable> = BTreeMap::new();
    let zones: Arc<[Zone]> = Arc::new([Zone::default()]);
    let (mut exchanges, mut dropped) = (Vec::new(), Vec::new());
    let link = LinkType(link.number() as u16);
    for p in packets {
        let packet = Packet {
            ts: p.ts,
            link,
            interface: 0,
            port: "",
            data: &p.data,
            orig_len: p.orig_len,
            block: None,
        };
        match decoder.decode(&packet) {
            Decoded::Segment(s) => tables
                .entry(s.shard())
                .or_insert_with(|| FlowTable::new(s.shard(), &FlowLimits::default(), zones.clone()))
                .segment(&s, &mut |ex| exchanges.push(ex)),
            Decoded::Other => {}
            Decoded::Dropped(reason) => dropped.push(reason),
        }
    }
    tables.values_mut().for_each(|t| t.finish(&mut |ex| exchanges.push(ex)));
    exchanges.sort_by_key(|ex| ex.seq);
    Read { exchanges, counters: decoder.counters(), dropped }
}

fn shown(exchanges: &[Exchange]) -> Vec<(Seen, Vec<&'static str>)> {
    exchanges.iter().map(|ex| (seen(ex), ex.completeness.names().collect())).collect()
}

fn whole(packets: &Frames) -> Vec<(Seen, Vec<&'static str>)> {
    let got = read(packets, LinkKind::Raw);
    let clean = shown(&got.exchanges);
    assert!(got.dropped.is_empty() && clean.len() >= 2 && clean.iter().all(|(_, flags)| flags.is_empty()));
    clean
}

/// Teredo carries IPv6 alone; what stands directly behind an Ethernet type cannot stand in IP; NSH here names IP alone.
fn fits(inner: Encapsulation, outer: Encapsulation) -> bool {
    let on_ethernet = |e| {
        matches!(
            e,
            Encapsulation::Mpls(_)
                | Encapsulation::MplsEthernet(_)
                | Encapsulation::Pbb(_)
                | Encapsulation::VnTag
                | Encapsulation::Nsh
                | Encapsulation::Pppoe(_)
        )
    };
    let carries_ip_alone = matches!(
        outer,
        Encapsulation::VxlanGpe(_)
            | Encapsulation::IpIp
            | Encapsulation::IpIn6
            | Encapsulation::GtpU(_)
            | Encapsulation::Mpls(_)
            | Encapsulation::Nsh
            | Encapsulation::Pppoe(_)
    );
    match outer {
        Encapsulation::Teredo => inner == Encapsulation::IpIn6,
        _ => !(carries_ip_alone && on_ethernet(inner)),
    }
}

#[test]
fn every_encapsulation_alone_and_two_nested_give_the_same_exchanges() {
    for family in [Family::V4, Family::V6] {
        let packets = raw(&conversation(7, Style::Bursts), family);
        let clean = whole(&packets);
        let same = |framing: Framing| {
            let got = read(&framed(&packets, &framing), framing.link);
            assert!(clean == shown(&got.exchanges), "{framing:?} {family:?}");
            assert_eq!(got.dropped, []);
            assert_eq!(got.counters.checksum_offload + got.counters.duplicates, 0, "{framing:?}");
        };
        let may_carry = |e: Encapsulation| e != Encapsulation::Teredo || family == Family::V6;
        for vlans in [vec![], vec![5], vec![5, 6], vec![5, 6, 7]] {
            for layer in ALONE.into_iter().filter(|e| may_carry(*e)) {
                same(Framing { vlans: vlans.clone(), ..on_ethernet(&[layer]) });
            }
        }
        for outer in ALONE {
            for inner in ALONE.into_iter().filter(|inner| may_carry(*inner) && fits(*inner, outer)) {
                same(on_ethernet(&[outer, inner]));
            }
        }
        for link in [LinkKind::Sll, LinkKind::Sll2, LinkKind::Null, LinkKind::Raw] {
            same(Framing { link, ..Framing::default() });
            same(Framing { link, ..on_ethernet(&[Encapsulation::Vxlan(4), Encapsulation::Gre]) });
        }
    }
}

#[test]
fn fragments_of_outer_and_inner_packets_give_the_same_exchanges() {
    for family in [Family::V4, Family::V6] {
        let packets = raw(&conversation(11, Style::Sequential), family);
        let clean = whole(&packets);
        let inner = fault::fragments(&packets, LinkKind::Raw, 300);
        assert!(inner.len() > packets.len() + 20);
        for layers in [
            &[][..],
            &[Encapsulation::Vxlan(3)],
            &[Encapsulation::IpIn6],
            &[Encapsulation::Erspan3(4), Encapsulation::Gre],
        ] {
            let framing = on_ethernet(layers);
            for ip in [&packets, &inner] {
                let frames = framed(ip, &framing);
                for mtu in [160, 576, 9000] {
                    let mut pieces = fault::fragments(&frames, LinkKind::Ethernet, mtu);
                    let got = read(&pieces, LinkKind::Ethernet);
                    assert!(clean == shown(&got.exchanges), "{layers:?} {mtu} {family:?}");
                    // Each datagram's fragments in the other order.
                    pieces.chunk_by_mut(|a, b| a.ts == b.ts).for_each(<[_]>::reverse);
                    assert!(clean == shown(&read(&pieces, LinkKind::Ethernet).exchanges), "{layers:?} {mtu}");
                }
            }
        }
    }
}

#[test]
fn what_the_mirror_shows_twice_is_read_once_and_counted() {
    let mut rng = Rng::new(3);
    for family in [Family::V4, Family::V6] {
        let packets = raw(&conversation(5, Style::TwoDeep), family);
        let clean = whole(&packets);
        for twin in [Twin::Same, Twin::Vlan(70), Twin::Routed] {
            for nanos in [0, 30_000, 2_000_000] {
                let frames = framed(&packets, &Framing { vlans: vec![5], ..Framing::default() });
                let twice = fault::twins(&frames, 700, twin, nanos, &mut rng);
                let got = read(&twice, LinkKind::Ethernet);
                assert!(clean == shown(&got.exchanges), "{twin:?} {nanos}");
                let copies = (twice.len() - frames.len()) as u64;
                assert_eq!(got.counters.duplicates, copies, "{twin:?} {nanos} {family:?}");
            }
        }
        let pieces = fault::fragments(&framed(&packets, &Framing::default()), LinkKind::Ethernet, 300);
        let twice = fault::twins(&pieces, 1000, Twin::Vlan(9), 1000, &mut rng);
        let got = read(&twice, LinkKind::Ethernet);
        assert!(clean == shown(&got.exchanges));
        assert_eq!(got.counters.duplicates, pieces.len() as u64);
    }
}

/// A network that loses, doubles, reorders, cuts and overlaps, and a mirror that shows copies, in some framing.
fn disturbed(packets: &Frames, framing: &Framing, rng: &mut Rng) -> Frames {
    let link = LinkKind::Raw;
    let mut out = packets.clone();
    if rng.below(3) == 0 {
        out = fault::resegment(&out, link, 300, rng);
    }
    if rng.below(4) > 0 {
        let rate = [5, 20, 80, 250][rng.index(4)];
        out = fault::lose(&out, rate, rng);
    }
    if rng.below(2) == 0 {
        out = fault::duplicate(&out, 100, 6, rng);
    }
    if rng.below(2) == 0 {
        out = fault::reorder(&out, 80, 6, rng);
    }
    if rng.below(3) == 0 {
        out = fault::overlap(&out, link, 120, Overlap::Same, rng);
    }
    if rng.below(4) == 0 {
        out = fault::fragments(&out, link, 400);
        out = fault::lose(&out, 10, rng);
    }
    let mut out = framed(&out, framing);
    if rng.below(4) == 0 {
        out = fault::twins(&out, 300, Twin::Routed, 40_000, rng);
    }
    out
}

#[test]
fn a_thousand_disturbances_give_clean_or_flagged_exchanges_and_no_false_pair() {
    let seeds = std::env::var("SIDETAP_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1000u64);
    let (mut pairs, mut all) = (0, 0);
    for seed in 0..seeds {
        let mut rng = Rng::new(seed);
        let family = if rng.below(2) == 0 { Family::V4 } else { Family::V6 };
        let packets = raw(&conversation(seed, STYLES[rng.index(3)]), family);
        let clean: Vec<Seen> = whole(&packets).into_iter().map(|(seen, _)| seen).collect();
        let layer = ALONE[rng.index(ALONE.len())];
        let may_carry = layer != Encapsulation::Teredo || family == Family::V6;
        let framing = on_ethernet(if may_carry { std::slice::from_ref(&layer) } else { &[] });
        let got = read(&disturbed(&packets, &framing, &mut rng), LinkKind::Ethernet);
        // Cut segments share an identification: their fragments may be put together wrongly, which shows.
        assert!(
            got.dropped.iter().all(|r| matches!(r, DropReason::BadChecksum | DropReason::FragmentOverlap))
        );
        all += clean.len();
        for ex in &got.exchanges {
            if let (Some(request), Some(response)) = (request_id(ex), response_id(ex)) {
                assert_eq!(request, response, "false pair: seed {seed}");
                pairs += 1;
            }
            if ex.completeness.is_whole() {
                assert!(clean.contains(&seen(ex)), "unflagged and unlike the clean one: seed {seed}");
            }
        }
    }
    assert!(pairs * 100 > all * 60, "{pairs} of {all}");
}
