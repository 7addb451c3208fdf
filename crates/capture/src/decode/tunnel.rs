use std::net::IpAddr;

use super::bytes::Bytes;
use super::{DropReason, Layer, Step, Walk, ip};

const TRUNCATED: Step<'static> = Step::Drop(DropReason::Truncated);

/// What an IP packet carries: TCP, or a tunnel to go on into.
pub(super) fn transport(protocol: u8, ends: (IpAddr, IpAddr), walk: Walk<'_>) -> Step<'_> {
    match protocol {
        6 => Step::Tcp { ends, walk },
        17 => udp(walk),
        4 => Step::Into(Layer::Ip, walk),
        41 => Step::Into(Layer::Ip, walk),
        47 => Step::Into(Layer::Gre, walk),
        // EtherIP (RFC 3378).
        97 => walk.skip(2, Layer::Ethernet),
        137 => Step::Into(Layer::Mpls, walk),
        0 | 43 | 44 | 51 | 60 | 135 | 139 | 140 => ip::extension_as_transport(protocol, ends, walk),
        _ => Step::Other,
    }
}

/// Tunnels over UDP, by port and by what their headers must hold; other UDP carries no TCP.
fn udp(walk: Walk<'_>) -> Step<'_> {
    let (Some(from), Some(to)) = (walk.data.u16(0), walk.data.u16(2)) else { return TRUNCATED };
    let Some(data) = walk.data.get(8..) else { return TRUNCATED };
    let inner = Walk { data, cut: walk.cut };
    let tunnel = by_port(to, inner);
    match tunnel {
        Step::Other => by_port(from, inner),
        tunnel => tunnel,
    }
}

fn by_port(port: u16, walk: Walk<'_>) -> Step<'_> {
    match port {
        4789 | 8472 => vxlan(walk),
        4790 => vxlan_gpe(walk),
        6081 => geneve(walk),
        2152 => gtp_u(walk),
        3544 => teredo(walk),
        4754 => gre(walk),
        6635 => Step::Into(Layer::Mpls, walk),
        37008 => tzsp(walk),
        5072 => ayiya(walk),
        1701 => l2tp(walk),
        _ => Step::Other,
    }
}

/// VXLAN (RFC 7348 §5).
fn vxlan(walk: Walk<'_>) -> Step<'_> {
    match walk.data {
        [flags, ..] if flags & 0x08 == 0 => Step::Other,
        [_, _, _, _, _, _, _, 0, ..] if walk.data.len() >= 22 => walk.skip(8, Layer::Ethernet),
        _ => Step::Other,
    }
}

/// VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe).
fn vxlan_gpe(walk: Walk<'_>) -> Step<'_> {
    match walk.data {
        [flags, _, _, next, _, _, _, _, ..] if flags & 0x0c == 0x0c => match next {
            1 | 2 => walk.skip(8, Layer::Ip),
            3 => walk.skip(8, Layer::Ethernet),
            4 => walk.skip(8, Layer::EtherType(0x894f)),
            5 => walk.skip(8, Layer::Mpls),
            _ => Step::Other,
        },
        [flags, ..] if flags & 0x08 != 0 => walk.skip(8, Layer::Ethernet),
        _ => Step::Other,
    }
}

/// Geneve (RFC 8926 §3).
fn geneve(walk: Walk<'_>) -> Step<'_> {
    let (Some(first), Some(ethertype)) = (walk.data.u8(0), walk.data.u16(2)) else { return Step::Other };
    match first >> 6 {
        0 => walk.skip(8 + usize::from(first & 0x3f) * 4, Layer::EtherType(ethertype)),
        _ => Step::Other,
    }
}

/// GTP-U version 1 with a user packet (3GPP TS 29.281 §5).
fn gtp_u(walk: Walk<'_>) -> Step<'_> {
    let [flags, 0xff, ..] = walk.data else { return Step::Other };
    if flags & 0xf0 != 0x30 {
        return Step::Other;
    }
    let mut at = if flags & 7 != 0 { 12 } else { 8 };
    let mut next = if flags & 4 != 0 { walk.data.u8(11).unwrap_or(0) } else { 0 };
    while next != 0 {
        let len = usize::from(walk.data.u8(at).unwrap_or(0)) * 4;
        let Some(after) = walk.data.u8((at + len).saturating_sub(1)).filter(|_| len > 0) else {
            return Step::Other;
        };
        (at, next) = (at + len, after);
    }
    match walk.data.u8(at).map(|b| b >> 4) {
        Some(4 | 6) => walk.skip(at, Layer::Ip),
        _ => Step::Other,
    }
}

/// Teredo with its optional authentication and origin indications (RFC 4380 §5.1.1).
fn teredo(walk: Walk<'_>) -> Step<'_> {
    let mut at = 0;
    if walk.data.u16(at) == Some(1) {
        let (Some(id), Some(auth)) = (walk.data.u8(at + 2), walk.data.u8(at + 3)) else { return Step::Other };
        at += 13 + usize::from(id) + usize::from(auth);
    }
    if walk.data.u16(at) == Some(0) {
        at += 8;
    }
    match walk.data.u8(at).map(|b| b >> 4) {
        Some(6) => walk.skip(at, Layer::Ipv6),
        _ => Step::Other,
    }
}

/// TaZmen Sniffer Protocol: tagged fields up to an end tag.
fn tzsp(walk: Walk<'_>) -> Step<'_> {
    let [1, 0 | 1, a, b, ..] = walk.data else { return Step::Other };
    let encapsulated = u16::from_be_bytes([*a, *b]);
    let mut at = 4;
    loop {
        match (walk.data.u8(at), walk.data.u8(at + 1)) {
            (Some(1), _) => break,
            (Some(0), _) => at += 1,
            (Some(_), Some(len)) => at += 2 + usize::from(len),
            _ => return Step::Other,
        }
    }
    match encapsulated {
        1 => walk.skip(at + 1, Layer::Ethernet),
        18 => walk.skip(at + 1, Layer::Ieee80211),
        _ => Step::Other,
    }
}

/// Anything In Anything (draft-massar-v6ops-ayiya).
fn ayiya(walk: Walk<'_>) -> Step<'_> {
    let [lengths, signature, _, next, ..] = walk.data else { return Step::Other };
    let len = 8 + (1_usize << (lengths >> 4)) + usize::from(signature >> 4) * 4;
    match next {
        4 | 41 => walk.skip(len, Layer::Ip),
        _ => Step::Other,
    }
}

/// L2TP version 2 data messages (RFC 2661 §3.1).
fn l2tp(walk: Walk<'_>) -> Step<'_> {
    let Some(flags) = walk.data.u16(0) else { return Step::Other };
    let is_control = flags & 0x8000 != 0;
    if is_control || flags & 0x000f != 2 {
        return Step::Other;
    }
    let mut at = 6;
    if flags & 0x4000 != 0 {
        at += 2;
    }
    if flags & 0x0800 != 0 {
        at += 4;
    }
    if flags & 0x0200 != 0 {
        at += 2 + usize::from(walk.data.u16(at).unwrap_or(0));
    }
    walk.skip(at, Layer::Ppp)
}

/// GRE (RFC 2784, RFC 2890) and its enhanced form of PPTP (RFC 2637 §4.1), with ERSPAN I to III inside.
pub(super) fn gre(walk: Walk<'_>) -> Step<'_> {
    let (Some(flags), Some(protocol)) = (walk.data.u16(0), walk.data.u16(2)) else { return TRUNCATED };
    let (checksum, routing, key, sequence) =
        (flags & 0x8000 != 0, flags & 0x4000 != 0, flags & 0x2000 != 0, flags & 0x1000 != 0);
    let mut at = 4;
    match flags & 7 {
        0 => {
            at += if checksum || routing { 4 } else { 0 };
            at += if key { 4 } else { 0 };
            at += if sequence { 4 } else { 0 };
        }
        1 => {
            at += 4 + if sequence { 4 } else { 0 };
            at += if flags & 0x80 != 0 { 4 } else { 0 };
            return if sequence { walk.skip(at, Layer::Ppp) } else { Step::Other };
        }
        _ => return Step::Other,
    }
    if routing {
        let Some(after) = past_routing(walk, at) else { return TRUNCATED };
        at = after;
    }
    match protocol {
        // ERSPAN II carries a sequence number and a header of its own, ERSPAN I neither.
        0x88be if sequence => walk.skip(at + 8, Layer::Ethernet),
        0x88be => walk.skip(at, Layer::Ethernet),
        0x22eb => erspan3(walk, at),
        // WCCP: version 2 puts a redirect header of four bytes before the packet.
        0x883e if walk.data.u8(at).is_some_and(|b| b >> 4 != 4) => walk.skip(at + 4, Layer::Ip),
        0x883e => walk.skip(at, Layer::Ip),
        // Aruba's GRE carries IEEE 802.11 or, under other numbers, bridged frames.
        0x8200..=0x820f | 0x9000..=0x90ff => walk.skip(at, Layer::Ieee80211),
        other => walk.skip(at, Layer::EtherType(other)),
    }
}

fn past_routing(walk: Walk<'_>, mut at: usize) -> Option<usize> {
    loop {
        let (family, len) = (walk.data.u16(at)?, walk.data.u8(at + 3)?);
        at += 4 + usize::from(len);
        if family == 0 && len == 0 {
            return Some(at);
        }
    }
}

fn erspan3(walk: Walk<'_>, at: usize) -> Step<'_> {
    match walk.data.u8(at + 11) {
        Some(last) => walk.skip(at + 12 + if last & 1 != 0 { 8 } else { 0 }, Layer::Ethernet),
        None => TRUNCATED,
    }
}
