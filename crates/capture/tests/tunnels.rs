//! Which tunnels speak for what is in them: docs/capture.md, "Encapsulations".

#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::Ipv4Addr;

use sidetap_capture::{DecodeOptions, Decoded, Decoder, LinkType, Packet, TunnelTrust};
use sidetap_model::{Addr, Direction, Ts};
use sidetap_testkit::{Conversation, Framing, LinkKind};

/// An Ethernet frame with a request in it.
fn frame() -> Vec<u8> {
    let end = |host: u8, port| Addr { ip: [192, 0, 2, host].into(), port };
    let framing = Framing { link: LinkKind::Ethernet, ..Framing::default() };
    let mut talk = Conversation::new(end(1, 40_000), end(2, 80), framing, 5);
    let mut packets = Vec::new();
    let ts = talk.open(Ts(1_700_000_000_000_000_000), 1_000_000, &mut packets);
    talk.send(ts, Direction::Up, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 1000, &mut packets);
    packets.pop().unwrap().data
}

/// The frame in VXLAN (RFC 7348) between two addresses.
fn vxlan(inner: &[u8], from: &str, to: &str) -> Vec<u8> {
    let ip = |text: &str| text.parse::<Ipv4Addr>().unwrap().octets();
    let udp = 8 + 8 + inner.len() as u16;
    let mut head =
        [&[0x45, 0][..], &(20 + udp).to_be_bytes(), &[0, 7, 0, 0, 64, 17, 0, 0], &ip(from), &ip(to)].concat();
    let sum: u32 = head.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    head[10..12].copy_from_slice(&sum.to_be_bytes());
    let ethernet = [&[2, 0, 0, 0, 0, 9][..], &[2, 0, 0, 0, 0, 8], &[8, 0]].concat();
    let outer = [&50_000u16.to_be_bytes()[..], &4789u16.to_be_bytes(), &udp.to_be_bytes(), &[0, 0]].concat();
    [&ethernet[..], &head, &outer, &[8, 0, 0, 0, 0, 0, 5, 0], inner].concat()
}

/// Which foreign tunnel each of these frames came in, 0 for none.
fn foreign(options: DecodeOptions, frames: &[Vec<u8>]) -> Vec<u32> {
    let mut decoder = Decoder::new(DecodeOptions { duplicate_window: 0, ..options });
    let mut out = Vec::new();
    for (n, data) in frames.iter().enumerate() {
        let packet = Packet {
            ts: Ts(1_700_000_000_000_000_000 + n as i64 * 1_000_000),
            link: LinkType::ETHERNET,
            interface: 0,
            port: "",
            data,
            orig_len: data.len() as u32,
            block: None,
        };
        let Decoded::Segment(segment) = decoder.decode(&packet) else { panic!("frame {n} is no segment") };
        assert_eq!(segment.src.port, 40_000);
        out.push(segment.carried.foreign);
    }
    out
}

#[test]
fn a_tunnel_counts_like_none_only_where_both_ends_are_trusted() {
    let bare = frame();
    let frames = [
        bare.clone(),
        vxlan(&bare, "10.0.0.1", "10.0.0.2"),
        vxlan(&bare, "198.51.100.9", "10.0.0.2"),
        vxlan(&bare, "10.0.0.2", "198.51.100.9"),
        vxlan(&bare, "198.51.100.8", "10.0.0.2"),
        vxlan(&vxlan(&bare, "198.51.100.9", "10.0.0.2"), "10.0.0.1", "10.0.0.2"),
        vxlan(&vxlan(&bare, "10.0.0.1", "10.0.0.2"), "198.51.100.9", "10.0.0.2"),
    ];
    let [none, private, there, back, other, inside, outside] = foreign(DecodeOptions::default(), &frames)[..]
    else {
        panic!("not all");
    };
    assert_eq!((none, private), (0, 0));
    assert!(there != 0 && there == back, "both directions of one tunnel");
    assert!(other != 0 && other != there);
    assert!(inside != 0 && outside != 0, "one of several is enough");
    let named = TunnelTrust::new(vec!["198.51.100.9/32".parse().unwrap(), "10.0.0.0/24".parse().unwrap()]);
    let all = foreign(DecodeOptions { trust: named, ..DecodeOptions::default() }, &frames);
    assert_eq!(
        all.iter().map(|f| *f != 0).collect::<Vec<_>>(),
        [false, false, false, false, true, false, false]
    );
    let nobody = TunnelTrust::new(Vec::new());
    let all = foreign(DecodeOptions { trust: nobody, ..DecodeOptions::default() }, &frames);
    assert!(all[0] == 0 && all[1..].iter().all(|f| *f != 0));
}

/// A copy in a tunnel is no second sight of the packet: who sends it first must not have the packet itself left out.
#[test]
fn what_comes_in_an_untrusted_tunnel_is_no_copy() {
    let bare = frame();
    let mut decoder = Decoder::new(DecodeOptions::default());
    let mut segments = 0;
    for data in [vxlan(&bare, "198.51.100.9", "10.0.0.2"), bare] {
        let packet = Packet {
            ts: Ts(1_700_000_000_000_000_000),
            link: LinkType::ETHERNET,
            interface: 0,
            port: "",
            data: &data,
            orig_len: data.len() as u32,
            block: None,
        };
        segments += usize::from(matches!(decoder.decode(&packet), Decoded::Segment(_)));
    }
    assert_eq!((segments, decoder.counters().duplicates), (2, 0));
}

/// Whoever sends in such a tunnel names any sender: he pushes no other out of what is known of checksums.
#[test]
fn untrusted_tunnels_teach_nothing_of_checksums() {
    let mut decoder = Decoder::new(DecodeOptions::default());
    for n in 0..6_000_u32 {
        let mut inner = frame();
        inner[8..12].copy_from_slice(&n.to_be_bytes());
        let data = vxlan(&inner, "198.51.100.9", "10.0.0.2");
        let packet = Packet {
            ts: Ts(1_700_000_000_000_000_000 + i64::from(n) * 1_000_000_000),
            link: LinkType::ETHERNET,
            interface: 0,
            port: "",
            data: &data,
            orig_len: data.len() as u32,
            block: None,
        };
        assert!(matches!(decoder.decode(&packet), Decoded::Segment(_)), "{n}");
    }
    assert_eq!(decoder.counters().checksum_sources_forgotten, 0);
}
