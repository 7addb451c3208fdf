//! The same conversation in any framing gives the same segments; no bytes make the decoder panic.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::net::IpAddr;

use common::Rng;
use sidetap_capture::{
    Checksums, DecodeOptions, Decoded, Decoder, DropReason, FlowLimits, FlowTable, Label, LinkType, Packet,
    TunnelPorts, UdpTunnel, ZoneRule, ZoneRules,
};
use sidetap_model::{Addr, Direction, Ts};
use sidetap_testkit::{Conversation, Encapsulation, Framing, LinkKind, tcpip};

/// What is compared of a segment.
type Row = (Addr, Addr, u32, u32, u8, Vec<u8>);

fn conversation(v6: bool, framing: Framing) -> Vec<sidetap_testkit::Packet> {
    let ip = |host: u8| -> IpAddr {
        if v6 { format!("2001:db8::{host}").parse().unwrap() } else { IpAddr::from([192, 0, 2, host]) }
    };
    let (client, server) = (Addr { ip: ip(1), port: 40000 }, Addr { ip: ip(2), port: 80 });
    let mut talk = Conversation::new(client, server, framing, 5);
    let mut out = Vec::new();
    let ts = talk.open(Ts(1_700_000_000_000_000_000), 1_000_000, &mut out);
    let ts = talk.send(ts, Direction::Up, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 1000, &mut out);
    let ts = talk.send(ts, Direction::Down, &vec![b'x'; 3000], 1000, &mut out);
    talk.close(ts, Direction::Up, 1000, &mut out);
    out
}

fn segments(packets: &[sidetap_testkit::Packet], link: LinkKind) -> Vec<Row> {
    let mut decoder = Decoder::new(DecodeOptions::default());
    let link = LinkType(link.number() as u16);
    let mut rows = Vec::new();
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
            Decoded::Segment(s) => rows.push((s.src, s.dst, s.seq, s.ack, s.flags.0, s.payload.to_vec())),
            Decoded::Other => {}
            Decoded::Dropped(reason) => panic!("{reason:?}"),
        }
    }
    rows
}

#[test]
fn every_framing_gives_the_same_segments() {
    let layers: [&[Encapsulation]; 11] = [
        &[],
        &[Encapsulation::Vxlan(77)],
        &[Encapsulation::Geneve(78)],
        &[Encapsulation::Gre],
        &[Encapsulation::GreEthernet(9)],
        &[Encapsulation::IpIp],
        &[Encapsulation::Mpls(100)],
        &[Encapsulation::Pppoe(3)],
        &[Encapsulation::Vxlan(1), Encapsulation::Gre],
        &[Encapsulation::IpIp, Encapsulation::Geneve(4)],
        &[Encapsulation::GreEthernet(9), Encapsulation::Vxlan(77)],
    ];
    for v6 in [false, true] {
        let clean =
            segments(&conversation(v6, Framing { link: LinkKind::Raw, ..Framing::default() }), LinkKind::Raw);
        assert!(clean.len() > 8);
        for link in [LinkKind::Ethernet, LinkKind::Sll, LinkKind::Sll2, LinkKind::Raw, LinkKind::Null] {
            for vlans in [&[][..], &[5], &[5, 6], &[5, 6, 7]] {
                for encapsulations in layers {
                    let ethernet_only = encapsulations
                        .iter()
                        .any(|e| matches!(e, Encapsulation::Mpls(_) | Encapsulation::Pppoe(_)));
                    if link != LinkKind::Ethernet && (ethernet_only || !vlans.is_empty()) {
                        continue;
                    }
                    let (vlans, encapsulations) = (vlans.to_vec(), encapsulations.to_vec());
                    let framing = Framing { link, vlans, encapsulations };
                    let what = format!("{framing:?} {v6}");
                    assert_eq!(clean, segments(&conversation(v6, framing), link), "{what}");
                }
            }
        }
    }
}

#[test]
fn fragments_in_any_order_of_outer_and_inner_packets_are_put_together() {
    let raw = |encapsulations: &[Encapsulation]| Framing {
        link: LinkKind::Raw,
        encapsulations: encapsulations.to_vec(),
        ..Framing::default()
    };
    let clean = segments(&conversation(false, raw(&[])), LinkKind::Raw);
    for encapsulations in [&[][..], &[Encapsulation::Vxlan(3)], &[Encapsulation::IpIp]] {
        let mut pieces = Vec::new();
        for (n, packet) in conversation(false, raw(encapsulations)).into_iter().enumerate() {
            let mut data = packet.data.clone();
            data[4..6].copy_from_slice(&(n as u16).to_be_bytes());
            tcpip::seal_ipv4(&mut data, 0);
            let mut parts = tcpip::fragment(&data, 400);
            if n % 2 == 1 {
                parts.reverse();
            }
            pieces.extend(parts.into_iter().map(|data| sidetap_testkit::Packet::new(packet.ts, data)));
        }
        assert!(pieces.len() > clean.len());
        assert_eq!(clean, segments(&pieces, LinkKind::Raw), "{encapsulations:?}");
    }
}

#[test]
fn fragments_that_overlap_with_other_bytes_mark_the_exchange() {
    let raw = Framing { link: LinkKind::Raw, ..Framing::default() };
    for (differs, reversed) in [(false, false), (true, false), (true, true), (false, true)] {
        let mut decoder = Decoder::new(DecodeOptions::default());
        let mut table =
            FlowTable::new(0, &FlowLimits::default(), std::sync::Arc::from([sidetap_model::Zone::default()]));
        let mut seen = Vec::new();
        let mut marked = 0;
        for (n, packet) in conversation(false, raw.clone()).into_iter().enumerate() {
            let mut data = packet.data.clone();
            data[4..6].copy_from_slice(&(n as u16).to_be_bytes());
            tcpip::seal_ipv4(&mut data, 0);
            let mut parts = tcpip::fragment(&data, 400);
            if parts.len() > 2 {
                let mut again = parts[1].clone();
                let last = again.len() - 1;
                again[last] ^= u8::from(differs);
                let at = if reversed { 0 } else { 2 };
                parts.insert(at, again);
            }
            for data in parts {
                let packet = Packet {
                    ts: packet.ts,
                    link: LinkType(101),
                    interface: 0,
                    port: "",
                    data: &data,
                    orig_len: data.len() as u32,
                    block: None,
                };
                if let Decoded::Segment(s) = decoder.decode(&packet) {
                    marked += usize::from(s.carried.disputed);
                    table.segment(&s, &mut |e| seen.push(e));
                }
            }
        }
        table.finish(&mut |e: sidetap_model::Exchange| seen.push(e));
        assert_eq!(marked > 0, differs, "{reversed}");
        let told =
            |e: &sidetap_model::Exchange| e.anomalies.contains(sidetap_model::Anomaly::IpFragmentsDiffer);
        assert_eq!(seen.iter().any(told), differs, "{reversed}");
    }
}

#[test]
fn padding_of_short_frames_is_no_payload_and_a_length_of_zero_is_all_there_is() {
    let mut packets = conversation(false, Framing::default());
    let clean = segments(&packets, LinkKind::Ethernet);
    for packet in &mut packets {
        packet.data.resize(packet.data.len().max(60) + 7, 0xee);
    }
    assert_eq!(clean, segments(&packets, LinkKind::Ethernet));
    let mut packets = conversation(false, Framing::default());
    packets.iter_mut().for_each(|p| p.data[16..18].fill(0));
    assert_eq!(clean, segments(&packets, LinkKind::Ethernet));
}

#[test]
fn what_the_snap_length_cut_is_counted() {
    let packets = conversation(false, Framing::default());
    let long = packets.iter().find(|p| p.data.len() > 1000).unwrap();
    let mut decoder = Decoder::new(DecodeOptions::default());
    let packet = Packet {
        ts: long.ts,
        link: LinkType::ETHERNET,
        interface: 0,
        port: "",
        data: &long.data[..500],
        orig_len: long.orig_len,
        block: None,
    };
    let Decoded::Segment(s) = decoder.decode(&packet) else { panic!("no segment") };
    assert_eq!(s.payload.len() + s.snapped as usize, 1448);
    let packet = Packet { data: &long.data[..40], ..packet };
    assert!(matches!(decoder.decode(&packet), Decoded::Dropped(DropReason::Truncated)));
    let packet = Packet { link: LinkType(147), ..packet };
    assert!(matches!(decoder.decode(&packet), Decoded::Dropped(DropReason::UnknownLinkType)));
}

/// ERSPAN I to III and GTP-U around an Ethernet frame or an IP packet.
#[test]
fn mirror_tunnels_are_opened() {
    let frames = conversation(false, Framing::default());
    let clean = segments(&frames, LinkKind::Ethernet);
    let heads: [&[u8]; 4] = [
        &[0, 0, 0x88, 0xbe],
        &[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 1, 0, 5, 0, 0, 0, 0],
        &[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
    ];
    for head in heads {
        let wrapped: Vec<_> = frames
            .iter()
            .map(|p| {
                let mut data = Vec::new();
                let ends = [IpAddr::from([10, 9, 0, 1]), IpAddr::from([10, 9, 0, 2])];
                tcpip::push_ip(&mut data, ends[0], ends[1], 47, head.len() + p.data.len(), 64, 0);
                data.extend_from_slice(head);
                data.extend_from_slice(&p.data);
                sidetap_testkit::Packet::new(p.ts, data)
            })
            .collect();
        assert_eq!(clean, segments(&wrapped, LinkKind::Raw), "{head:x?}");
    }
    let wrapped: Vec<_> = frames
        .iter()
        .map(|p| {
            let ends = [2152, 2152].map(|port| Addr { ip: IpAddr::from([10, 9, 0, 1]), port });
            let mut payload = vec![0x34, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0x10, 1, 0];
            payload.extend_from_slice(&p.data[14..]);
            let mut data = Vec::new();
            tcpip::push_udp(&mut data, ends[0], ends[1], &payload);
            sidetap_testkit::Packet::new(p.ts, data)
        })
        .collect();
    assert_eq!(clean, segments(&wrapped, LinkKind::Raw));
}

#[test]
fn no_bytes_make_the_decoder_panic() {
    let links = [
        0, 1, 6, 8, 9, 10, 12, 14, 50, 51, 100, 101, 104, 105, 107, 108, 109, 113, 117, 119, 122, 127, 129,
        138, 147, 163, 166, 192, 204, 205, 206, 226, 228, 229, 239, 240, 258, 274, 276, 778,
    ]
    .map(LinkType);
    let mut rng = Rng(11);
    let mut decoder = Decoder::new(DecodeOptions::default());
    let encapsulations =
        vec![Encapsulation::Mpls(1), Encapsulation::Geneve(78), Encapsulation::GreEthernet(9)];
    let framing = Framing { encapsulations, vlans: vec![4], ..Framing::default() };
    let samples = conversation(true, framing);
    let mut decoded = 0;
    for round in 0..60_000 {
        let mut data = match round % 3 {
            0 => (0..rng.below(120)).map(|_| rng.next() as u8).collect(),
            _ => samples[rng.below(samples.len())].data.clone(),
        };
        for _ in 0..rng.below(5) {
            let at = rng.below(data.len().min(160));
            if let Some(byte) = data.get_mut(at) {
                *byte = [0, 0xff, 4, 0x45, 0x60, 44, 47, 17, rng.next() as u8][rng.below(9)];
            }
        }
        if rng.chance(30) {
            data.truncate(rng.below(data.len()));
        }
        let link = links[rng.below(links.len())];
        let orig_len = data.len() as u32 + if rng.chance(20) { 1000 } else { 0 };
        let packet = Packet {
            ts: Ts(round * 1_000_000),
            link,
            interface: 0,
            port: "",
            data: &data,
            orig_len,
            block: None,
        };
        if let Decoded::Segment(s) = decoder.decode(&packet) {
            assert!(s.payload.len() <= 65_535 + data.len());
            decoded += 1;
        }
    }
    assert!(decoded > 500, "{decoded}");
}

/// The zones that a decoder gives frames.
fn zones(rules: &[ZoneRule], frames: &[sidetap_testkit::Packet], port: &str) -> Vec<u16> {
    let options = DecodeOptions { zones: ZoneRules(rules.to_vec()), ..DecodeOptions::default() };
    let mut decoder = Decoder::new(options);
    let mut zones: Vec<u16> = Vec::new();
    for p in frames {
        let packet = Packet {
            ts: p.ts,
            link: LinkType::ETHERNET,
            interface: 0,
            port,
            data: &p.data,
            orig_len: p.orig_len,
            block: None,
        };
        match decoder.decode(&packet) {
            Decoded::Segment(s) => zones.push(s.zone),
            Decoded::Other => {}
            Decoded::Dropped(reason) => panic!("{reason:?}"),
        }
    }
    zones.dedup();
    zones
}

#[test]
fn labels_and_interfaces_become_zones_as_configured() {
    let frames = |vlans: &[u16], layers: &[Encapsulation]| {
        let framing =
            Framing { vlans: vlans.to_vec(), encapsulations: layers.to_vec(), ..Framing::default() };
        conversation(false, framing)
    };
    let rule = |label, low, high| ZoneRule { labels: vec![(label, vec![low..=high])], ..ZoneRule::default() };
    let met = [
        (rule(Label::Vlan, 6, 6), frames(&[5, 6], &[])),
        (rule(Label::Vni, 77, 77), frames(&[], &[Encapsulation::Vxlan(77)])),
        (rule(Label::Vni, 70, 79), frames(&[3], &[Encapsulation::IpIp, Encapsulation::Geneve(77)])),
        (rule(Label::Vni, 7, 7), frames(&[], &[Encapsulation::VxlanGpe(7)])),
        (rule(Label::GreKey, 9, 9), frames(&[], &[Encapsulation::GreEthernet(9)])),
        (rule(Label::GreKey, 9, 9), frames(&[], &[Encapsulation::GreFull(9)])),
        (rule(Label::Teid, 11, 11), frames(&[], &[Encapsulation::GtpU(11)])),
        (rule(Label::Isid, 300, 300), frames(&[], &[Encapsulation::Pbb(300)])),
        (rule(Label::Mpls, 101, 101), frames(&[], &[Encapsulation::MplsEthernet(100)])),
        (rule(Label::ErspanSession, 5, 5), frames(&[], &[Encapsulation::Erspan2(5)])),
        (rule(Label::ErspanSession, 6, 6), frames(&[], &[Encapsulation::Erspan3(6)])),
        (ZoneRule { interfaces: vec!["mirror1".into()], ..ZoneRule::default() }, frames(&[], &[])),
    ];
    for (rule, frames) in met {
        let rules = [ZoneRule { zone: 4, ..rule }];
        assert_eq!(zones(&rules, &frames, "mirror1"), [4], "{rules:?}");
        assert_eq!(zones(&rules, &conversation(false, Framing::default()), "mirror2"), [0], "{rules:?}");
    }
}

/// The same addresses, ports, sequence numbers and identifications in two networks at the same time.
#[test]
fn networks_with_the_same_addresses_never_mix_and_vlan_twins_are_one() {
    let tenant = |vni| {
        let raw = Framing { link: LinkKind::Raw, ..Framing::default() };
        let mut ip = conversation(false, raw);
        ip.iter_mut().zip(1u16..).for_each(|(p, id)| {
            p.data[4..6].copy_from_slice(&id.to_be_bytes());
            tcpip::seal_ipv4(&mut p.data, 0);
        });
        let pieces = sidetap_testkit::fault::fragments(&ip, LinkKind::Raw, 500);
        let framing = Framing { encapsulations: vec![Encapsulation::Vxlan(vni)], ..Framing::default() };
        sidetap_testkit::fault::reframe(&pieces, LinkKind::Raw, &framing, |_| true)
    };
    let both: Vec<_> = tenant(100).into_iter().zip(tenant(101)).flat_map(|(a, b)| [a, b]).collect();
    let each = ZoneRule {
        zone: 1,
        labels: vec![(Label::Vni, vec![100..=199])],
        spread: Some(Label::Vni),
        ..ZoneRule::default()
    };
    let seen = zones(std::slice::from_ref(&each), &both, "");
    assert!(seen.len() > 10 && seen.chunks(2).all(|pair| pair == [1, 2]), "{seen:?}");
    // Unconfigured they are one network, in which the second sight of a packet is a copy.
    assert_eq!(zones(&[], &both, ""), [0]);

    let twins: Vec<_> = [10, 20]
        .map(|vlan| conversation(false, Framing { vlans: vec![vlan], ..Framing::default() }))
        .into_iter()
        .flatten()
        .collect();
    let one =
        ZoneRule { zone: 3, labels: vec![(Label::Vlan, vec![10..=10, 20..=20])], ..ZoneRule::default() };
    assert_eq!(zones(&[one], &twins, ""), [3]);
}

/// Counts what becomes of Ethernet frames whose bytes `change` has altered.
fn outcome(frames: &[sidetap_testkit::Packet], options: DecodeOptions) -> (usize, Vec<DropReason>, Decoder) {
    let mut decoder = Decoder::new(options);
    let (mut segments, mut dropped) = (0, Vec::new());
    for p in frames {
        let link = LinkType::ETHERNET;
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
            Decoded::Segment(_) => segments += 1,
            Decoded::Other => {}
            Decoded::Dropped(reason) => dropped.push(reason),
        }
    }
    (segments, dropped, decoder)
}

/// The same connection time and again, until its ends are known to send right checksums.
fn proven(v6: bool) -> Vec<sidetap_testkit::Packet> {
    let one = conversation(v6, Framing::default());
    let again = |n: i64| {
        one.iter().map(move |p| sidetap_testkit::Packet { ts: p.ts.plus(n * 1_000_000_000), ..p.clone() })
    };
    (0..6).flat_map(again).collect()
}

#[test]
fn corrupt_segments_are_dropped_and_offloaded_ones_are_not() {
    for v6 in [false, true] {
        let clean = proven(v6);
        let checksum = if v6 { 14 + 40 + 16 } else { 14 + 20 + 16 };
        let data = clean.iter().rposition(|p| p.data.len() > 1000).unwrap();
        let mut corrupt = clean.clone();
        corrupt[data].data[900] ^= 1;
        let (segments, dropped, _) = outcome(&corrupt, DecodeOptions::default());
        assert_eq!((segments, dropped), (clean.len() - 1, vec![DropReason::BadChecksum]));
        let ignore = DecodeOptions { checksums: Checksums::Ignore, ..DecodeOptions::default() };
        assert_eq!(outcome(&corrupt, ignore).0, clean.len());
        // The server's card fills its checksums in behind the mirror.
        let mut offloaded = clean.clone();
        for p in offloaded.iter_mut().filter(|p| p.data[11] == 0x5e) {
            p.data[checksum] ^= 0x55;
        }
        // One of the client's is wrong besides, whose others are right.
        offloaded.last_mut().unwrap().data[checksum] ^= 0x55;
        let (segments, dropped, decoder) = outcome(&offloaded, DecodeOptions::default());
        assert_eq!((segments, dropped), (clean.len() - 1, vec![DropReason::BadChecksum]));
        assert!(decoder.counters().checksum_offload > 3);
    }
    let mut corrupt = proven(false);
    let last = corrupt.len() - 1;
    corrupt[last].data[14 + 8] -= 1;
    assert_eq!(outcome(&corrupt, DecodeOptions::default()).1, [DropReason::BadChecksum]);
}

/// A decoy that dies on its way to the server must not hide the segment that reaches it.
#[test]
fn a_decoy_does_not_make_the_real_segment_a_copy() {
    let clean = proven(false);
    let data = clean.iter().rposition(|p| p.data.len() > 1000).unwrap();
    let mut decoy = clean[data].clone();
    // Other bytes of the same sum, so that the checksum stays right; the last bytes and all headers are the same.
    decoy.data[501] += 1;
    decoy.data[701] -= 1;
    decoy.data[14 + 8] = 1;
    tcpip::seal_ipv4(&mut decoy.data, 14);
    let mut frames = clean.clone();
    frames.insert(data, decoy.clone());
    let (segments, _, decoder) = outcome(&frames, DecodeOptions::default());
    assert_eq!((segments, decoder.counters().duplicates), (clean.len() + 1, 0));
    // One with a wrong checksum is dropped, and leaves no trace either.
    decoy.data[14 + 8] = clean[data].data[14 + 8];
    decoy.data[800] ^= 1;
    tcpip::seal_ipv4(&mut decoy.data, 14);
    frames[data] = decoy;
    let (segments, dropped, _) = outcome(&frames, DecodeOptions::default());
    assert_eq!((segments, dropped), (clean.len(), vec![DropReason::BadChecksum]));
}

/// Other bytes of the same sum under the same headers are no second sight: whoever sends them is to be told of.
#[test]
fn what_differs_in_one_byte_is_no_copy() {
    let clean = proven(false);
    let data = clean.iter().rposition(|p| p.data.len() > 1000).unwrap();
    let mut forged = clean[data].clone();
    forged.data[501] += 1;
    forged.data[701] -= 1;
    for (second, copies) in [(forged, 0), (clean[data].clone(), 1)] {
        let mut frames = clean.clone();
        frames.insert(data + 1, second);
        let (segments, dropped, decoder) = outcome(&frames, DecodeOptions::default());
        assert_eq!((segments, decoder.counters().duplicates), (frames.len() - copies, copies as u64));
        assert!(dropped.is_empty());
    }
}

#[test]
fn retransmissions_are_no_copies() {
    let clean = conversation(false, Framing::default());
    let data = clean.iter().position(|p| p.data.len() > 1000).unwrap();
    let mut again = clean[data].clone();
    again.data[14 + 4] ^= 1;
    tcpip::seal_ipv4(&mut again.data, 14);
    let mut late = clean[data].clone();
    late.ts = late.ts.plus(250_000_000);
    let mut frames = clean.clone();
    frames.insert(data + 1, again);
    frames.push(late);
    let (segments, _, decoder) = outcome(&frames, DecodeOptions::default());
    assert_eq!((segments, decoder.counters().duplicates), (clean.len() + 2, 0));
}

#[test]
fn tunnels_are_found_on_the_ports_that_are_configured() {
    let mut frames =
        conversation(false, Framing { encapsulations: vec![Encapsulation::Vxlan(5)], ..Framing::default() });
    frames.iter_mut().for_each(|p| p.data[14 + 20 + 2..14 + 20 + 4].copy_from_slice(&5000u16.to_be_bytes()));
    assert_eq!(outcome(&frames, DecodeOptions::default()).0, 0);
    let mut ports = TunnelPorts::default();
    ports.replace(UdpTunnel::Vxlan, &[4789, 5000]);
    let options = DecodeOptions { ports, ..DecodeOptions::default() };
    assert_eq!(outcome(&frames, options).0, frames.len());
}

#[test]
fn every_malformed_header_has_its_one_reason() {
    let ip = |protocol: u8, rest: &[u8]| {
        let mut data = vec![0; 12];
        data.extend_from_slice(&[8, 0]);
        let ends = [IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2])];
        tcpip::push_ip(&mut data, ends[0], ends[1], protocol, rest.len(), 64, 1);
        data.extend_from_slice(rest);
        data
    };
    let typed = |ethertype: u16, rest: &[u8]| [&[0; 12], &ethertype.to_be_bytes()[..], rest].concat();
    let mut short_ip = ip(6, &[0; 20]);
    short_ip[14] = 0x44;
    let mut short_tcp = ip(6, &[0; 20]);
    short_tcp[14 + 20 + 12] = 0x40;
    let cases = [
        (vec![0; 10], DropReason::Truncated),
        (typed(0x8100, &[0]), DropReason::Truncated),
        (typed(0x0800, &[0x45, 0]), DropReason::Truncated),
        (typed(0x0800, &[0x75; 40]), DropReason::MalformedIp),
        (short_ip, DropReason::MalformedIp),
        (short_tcp, DropReason::MalformedTcp),
        (typed(0x8864, &[0x21, 0, 0, 1, 0, 4, 0, 0x21]), DropReason::MalformedLink),
        (typed(0x894f, &[0, 1, 1, 1, 0, 0, 0, 0]), DropReason::MalformedTunnel),
        (ip(47, &[0, 5, 8, 0, 0, 0]), DropReason::MalformedTunnel),
        (typed(0x8847, &[0, 0, 1, 64]), DropReason::Truncated),
        (typed(0x8100, &[0, 5, 0x81, 0].repeat(40)), DropReason::TooManyLayers),
    ];
    for (data, reason) in cases {
        let frame = sidetap_testkit::Packet::new(Ts(0), data);
        let (segments, dropped, _) = outcome(std::slice::from_ref(&frame), DecodeOptions::default());
        assert_eq!((segments, dropped), (0, vec![reason]), "{:x?}", frame.data);
    }
}

/// Link types that stand before an IP packet, an Ethernet frame or an LLC header.
#[test]
fn every_link_type_gives_the_same_segments() {
    let raw = conversation(false, Framing { link: LinkKind::Raw, ..Framing::default() });
    let clean = segments(&raw, LinkKind::Raw);
    let llc = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
    let ethernet = [&[2; 12][..], &[8, 0]].concat();
    let wireless = [&[8, 0][..], &[0; 22]].concat();
    let heads: Vec<(u16, Vec<u8>)> = vec![
        (0, vec![2, 0, 0, 0]),
        (6, [&[0; 14][..], &llc].concat()),
        (6, [&[0; 8][..], &[0x80, 0, 0, 0, 0, 0, 4, 0, 0, 0], &llc].concat()),
        (8, vec![0; 16]),
        (9, vec![0xff, 3, 0, 0x21]),
        (9, vec![0x21]),
        (10, [&[0x50][..], &[0; 12], &llc].concat()),
        (12, vec![]),
        (14, vec![]),
        (50, vec![0x0f, 0, 8, 0]),
        (51, vec![0x11, 0, 0, 1, 0, 2, 0, 0x21]),
        (100, llc.to_vec()),
        (100, [&[0xaa, 0xaa, 3, 0, 0x80, 0xc2, 0, 7, 0, 0][..], &ethernet].concat()),
        (101, vec![]),
        (104, vec![0x0f, 0, 8, 0]),
        (105, [&wireless[..], &llc].concat()),
        (107, vec![0x18, 0x41, 3, 0xcc]),
        (107, vec![0x18, 0x41, 3, 0, 0x80, 0, 0, 0, 8, 0]),
        (107, vec![0x18, 0x41, 8, 0]),
        (108, vec![0, 0, 0, 2]),
        (109, vec![0; 12]),
        (113, [&[0; 14][..], &[8, 0]].concat()),
        (117, [&[61, 2][..], &[0; 62]].concat()),
        (119, [&[0x44, 0, 0, 0, 144, 0, 0, 0][..], &[0; 136], &wireless, &llc].concat()),
        (122, [&[0; 16][..], &llc].concat()),
        (127, [&[0, 0, 8, 0, 0, 0, 0, 0][..], &wireless, &llc].concat()),
        // A timestamp, then flags with padding behind a header of 26 bytes.
        (
            127,
            [&[0, 0, 17, 0, 3, 0, 0, 0][..], &[0; 8], &[0x20], &[0x88, 0], &[0; 24], &[0, 0], &llc].concat(),
        ),
        (129, vec![0, 0, 0, 0, 0xf0]),
        (138, [&[0; 16][..], &[8, 0]].concat()),
        (163, [&[0x80, 0x21, 0x10, 1, 0, 0, 0, 64][..], &[0; 56], &wireless, &llc].concat()),
        (166, vec![1, 0xff, 3, 0, 0x21]),
        (192, [&[0, 0, 8, 0, 105, 0, 0, 0][..], &wireless, &llc].concat()),
        (204, vec![1, 0xff, 3, 0, 0x21]),
        (205, vec![0, 0x0f, 0, 8, 0]),
        (206, vec![0, 0x18, 0x41, 3, 0xcc]),
        (226, vec![0; 24]),
        (228, vec![]),
        (239, vec![2, 0, 0, 0, 8, 0, 1, 0, 8, 0, 0, 0, 44, 0, 9, 0]),
        (240, [&[0; 4][..], &ethernet].concat()),
        (258, [&[108, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0][..], &[0; 96], &ethernet].concat()),
        (274, [&[0x55; 7][..], &[0xd5], &ethernet].concat()),
        (276, [&[8, 0][..], &[0; 18]].concat()),
        (778, vec![0, 0, 8, 0]),
    ];
    for (link, head) in heads {
        assert!(LinkType(link).is_known(), "{link}");
        let mut decoder = Decoder::new(DecodeOptions::default());
        let frames: Vec<_> = raw.iter().map(|p| (p.ts, [&head[..], &p.data].concat())).collect();
        let mut rows: Vec<Row> = Vec::new();
        for (ts, data) in &frames {
            let packet = Packet {
                ts: *ts,
                link: LinkType(link),
                interface: 0,
                port: "",
                data,
                orig_len: data.len() as u32,
                block: None,
            };
            match decoder.decode(&packet) {
                Decoded::Segment(s) => rows.push((s.src, s.dst, s.seq, s.ack, s.flags.0, s.payload.to_vec())),
                other => panic!("{link}: {other:?}"),
            }
        }
        assert!(rows == clean, "{link}");
    }
}
