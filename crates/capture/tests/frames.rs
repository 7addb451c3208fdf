//! The same conversation in any framing gives the same segments; no bytes make the decoder panic.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::net::IpAddr;

use common::Rng;
use sidetap_capture::{DecodeOptions, Decoded, Decoder, DropReason, LinkType, Packet};
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
        let packet = Packet { ts: p.ts, link, interface: 0, port: "", data: &p.data, orig_len: p.orig_len };
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
    let links =
        [0, 1, 9, 12, 14, 50, 51, 101, 104, 105, 108, 113, 127, 129, 147, 166, 228, 229, 239, 276, 778]
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
        let packet =
            Packet { ts: Ts(round * 1_000_000), link, interface: 0, port: "", data: &data, orig_len };
        if let Decoded::Segment(s) = decoder.decode(&packet) {
            assert!(s.payload.len() <= 65_535 + data.len());
            decoded += 1;
        }
    }
    assert!(decoded > 500, "{decoded}");
}
