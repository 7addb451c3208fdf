use std::net::IpAddr;

use super::bytes::Bytes;
use super::labels::Label;
use super::options::UdpTunnel;
use super::walk::{Context, Layer, Step, Walk};
use super::{DropReason, ip, link};

const TRUNCATED: Step<'static> = Step::Drop(DropReason::Truncated);
const MALFORMED: Step<'static> = Step::Drop(DropReason::MalformedTunnel);

/// What an IP packet carries: TCP, or a tunnel to go on into.
pub(super) fn transport<'a>(
    protocol: u8,
    ends: (IpAddr, IpAddr),
    walk: Walk<'a>,
    cx: &mut Context<'_>,
) -> Step<'a> {
    match protocol {
        6 => Step::Tcp { ends, walk },
        17 => udp(walk, cx),
        4 | 41 => Step::Into(Layer::Ip, walk),
        47 => Step::Into(Layer::Gre, walk),
        // EtherIP (RFC 3378).
        97 => walk.skip(2, Layer::Ethernet),
        137 => Step::Into(Layer::Mpls, walk),
        0 | 43 | 44 | 51 | 60 | 135 | 139 | 140 => ip::extension_as_transport(protocol, ends, walk),
        _ => Step::Other,
    }
}

/// Tunnels over UDP, by port and by what their headers must hold; other UDP carries no TCP.
fn udp<'a>(walk: Walk<'a>, cx: &mut Context<'_>) -> Step<'a> {
    let (Some(from), Some(to)) = (walk.data.u16(0), walk.data.u16(2)) else { return TRUNCATED };
    let Some(data) = walk.data.get(8..) else { return TRUNCATED };
    let inner = Walk { data, cut: walk.cut };
    match cx.ports.tunnel(to).map_or(Step::Other, |tunnel| within(tunnel, inner, cx)) {
        Step::Other => cx.ports.tunnel(from).map_or(Step::Other, |tunnel| within(tunnel, inner, cx)),
        step => step,
    }
}

fn within<'a>(tunnel: UdpTunnel, walk: Walk<'a>, cx: &mut Context<'_>) -> Step<'a> {
    match tunnel {
        UdpTunnel::Vxlan => vxlan(walk, cx),
        UdpTunnel::VxlanGpe => vxlan_gpe(walk, cx),
        UdpTunnel::Geneve => geneve(walk, cx),
        UdpTunnel::GtpU => gtp_u(walk, cx),
        UdpTunnel::Teredo => teredo(walk),
        UdpTunnel::Gre => gre(walk, cx),
        UdpTunnel::Mpls => Step::Into(Layer::Mpls, walk),
        UdpTunnel::Tzsp => tzsp(walk),
        UdpTunnel::Ayiya => ayiya(walk),
        UdpTunnel::L2tp => l2tp(walk),
        UdpTunnel::HpErm if looks_like_ethernet(walk, 12) => walk.skip(12, Layer::Ethernet),
        UdpTunnel::Jmirror if looks_like_ip(walk, 8) => walk.skip(8, Layer::Ip),
        UdpTunnel::HpErm | UdpTunnel::Jmirror => Step::Other,
    }
}

/// VXLAN (RFC 7348 §5).
fn vxlan<'a>(walk: Walk<'a>, cx: &mut Context<'_>) -> Step<'a> {
    match walk.data {
        [flags, ..] if flags & 0x08 == 0 => Step::Other,
        [_, _, _, _, a, b, c, 0, ..] if walk.data.len() >= 22 => {
            cx.label(Label::Vni, u32::from_be_bytes([0, *a, *b, *c]));
            walk.skip(8, Layer::Ethernet)
        }
        _ => Step::Other,
    }
}

/// VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe).
fn vxlan_gpe<'a>(walk: Walk<'a>, cx: &mut Context<'_>) -> Step<'a> {
    if let [flags, _, _, _, a, b, c, _, ..] = walk.data
        && flags & 0x08 != 0
    {
        cx.label(Label::Vni, u32::from_be_bytes([0, *a, *b, *c]));
    }
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
fn geneve<'a>(walk: Walk<'a>, cx: &mut Context<'_>) -> Step<'a> {
    let (Some(first), Some(ethertype), Some(network)) = (walk.data.u8(0), walk.data.u16(2), walk.data.u32(4))
    else {
        return Step::Other;
    };
    cx.label(Label::Vni, network >> 8);
    match first >> 6 {
        0 => walk.skip(8 + usize::from(first & 0x3f) * 4, Layer::EtherType(ethertype)),
        _ => Step::Other,
    }
}

/// GTP-U version 1 with a user packet (3GPP TS 29.281 §5).
fn gtp_u<'a>(walk: Walk<'a>, cx: &mut Context<'_>) -> Step<'a> {
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
    if !looks_like_ip(walk, at) {
        return Step::Other;
    }
    cx.label(Label::Teid, walk.data.u32(4).unwrap_or(0));
    walk.skip(at, Layer::Ip)
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
        Some(6) => walk.skip(at, Layer::Ip),
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
pub(super) fn gre<'a>(walk: Walk<'a>, cx: &mut Context<'_>) -> Step<'a> {
    let (Some(flags), Some(protocol)) = (walk.data.u16(0), walk.data.u16(2)) else { return TRUNCATED };
    let (checksum, routing, key, sequence) =
        (flags & 0x8000 != 0, flags & 0x4000 != 0, flags & 0x2000 != 0, flags & 0x1000 != 0);
    let mut at = 4;
    match flags & 7 {
        0 => {
            at += if checksum || routing { 4 } else { 0 };
            if key {
                cx.label(Label::GreKey, walk.data.u32(at).unwrap_or(0));
                at += 4;
            }
            at += if sequence { 4 } else { 0 };
        }
        1 => {
            at += 4 + if sequence { 4 } else { 0 };
            at += if flags & 0x80 != 0 { 4 } else { 0 };
            return if sequence { walk.skip(at, Layer::Ppp) } else { Step::Other };
        }
        _ => return MALFORMED,
    }
    if routing {
        let Some(after) = past_routing(walk, at) else { return TRUNCATED };
        at = after;
    }
    match protocol {
        // ERSPAN II carries a sequence number and a header of its own, ERSPAN I neither.
        0x88be if sequence => {
            erspan_labels(walk, at, cx);
            walk.skip(at + 8, Layer::Ethernet)
        }
        0x88be => walk.skip(at, Layer::Ethernet),
        0x22eb => erspan3(walk, at, cx),
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

/// VLAN and session of the header that ERSPAN II and III have in common.
fn erspan_labels(walk: Walk<'_>, at: usize, cx: &mut Context<'_>) {
    if let Some(word) = walk.data.u32(at) {
        let (vlan, session) = (word >> 16 & 0xfff, word & 0x3ff);
        if vlan > 0 {
            cx.label(Label::Vlan, vlan);
        }
        cx.label(Label::ErspanSession, session);
    }
}

/// ERSPAN III: twelve bytes, eight more where the last bit says so; what follows is a frame or an IP packet.
fn erspan3<'a>(walk: Walk<'a>, at: usize, cx: &mut Context<'_>) -> Step<'a> {
    let Some(last) = walk.data.u16(at + 10) else { return TRUNCATED };
    erspan_labels(walk, at, cx);
    let end = at + 12 + if last & 1 != 0 { 8 } else { 0 };
    match last >> 10 & 0x1f {
        2 => walk.skip(end, Layer::Ip),
        _ => walk.skip(end, Layer::Ethernet),
    }
}

/// Pops labels to the bottom of the stack; what lies under it is told by its first nibble (RFC 4928 §3).
pub(super) fn mpls<'a>(walk: Walk<'a>, cx: &mut Context<'_>) -> Step<'a> {
    let mut at = 0;
    loop {
        let Some(entry) = walk.data.u32(at) else { return TRUNCATED };
        at += 4;
        // The first sixteen are no labels of a network (RFC 3032 §2.1).
        if entry >> 12 > 15 {
            cx.label(Label::Mpls, entry >> 12);
        }
        if entry & 0x100 != 0 {
            break;
        }
    }
    match walk.data.u8(at).map(|b| b >> 4) {
        Some(4 | 6) if looks_like_ip(walk, at) => walk.skip(at, Layer::Ip),
        // A control word before the Ethernet frame of a pseudowire (RFC 4448 §4.6).
        Some(0) if walk.data.u16(at) == Some(0) && looks_like_ethernet(walk, at + 4) => {
            walk.skip(at + 4, Layer::Ethernet)
        }
        // An associated channel (RFC 4385 §5).
        Some(1) if !looks_like_ethernet(walk, at) => Step::Other,
        Some(_) => walk.skip(at, Layer::Ethernet),
        None => TRUNCATED,
    }
}

/// True where an IP header at `at` agrees with what is there: its length is all of it, or the rest may be the padding of a minimal frame.
/// Addresses of Ethernet may begin with the same digits.
fn looks_like_ip(walk: Walk<'_>, at: usize) -> bool {
    const MINIMAL: usize = 64;
    let left = walk.data.len().saturating_sub(at) + walk.cut as usize;
    // Padding, and a length that says nothing, are believed where no frame with an IP header in it stands there as well.
    let framed = || frames_ip(walk, at);
    let agrees = |total: usize| total == left || total < left && left <= MINIMAL && !framed();
    match walk.data.u8(at) {
        Some(first) if first >> 4 == 4 => {
            let total = usize::from(walk.data.u16(at + 2).unwrap_or(0));
            first & 0xf >= 5 && (total == 0 && !framed() || total >= 20 && agrees(total))
        }
        Some(first) if first >> 4 == 6 => agrees(40 + usize::from(walk.data.u16(at + 4).unwrap_or(0))),
        _ => false,
    }
}

/// True where an Ethernet header may stand at `at`: its type names the version of IP that follows.
fn frames_ip(walk: Walk<'_>, at: usize) -> bool {
    let version = walk.data.u8(at + 14).map(|b| b >> 4);
    matches!((walk.data.u16(at + 12), version), (Some(0x0800), Some(4)) | (Some(0x86dd), Some(6)))
}

/// True where a type at its place in an Ethernet header at `at` is one that the decoder goes into, ARP, or a length.
fn looks_like_ethernet(walk: Walk<'_>, at: usize) -> bool {
    walk.data.u16(at + 12).is_some_and(|t| t < 0x600 || t == 0x0806 || link::is_known_ethertype(t))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame behind labels, sent to `mac`, with an IP header of `version` and `len` bytes in all.
    fn frame(mac: [u8; 6], version: u8, len: usize) -> Vec<u8> {
        let mut frame = mac.to_vec();
        frame.extend([2, 0, 0, 0, 0, 1]);
        frame.extend(if version == 4 { [0x08, 0x00] } else { [0x86, 0xdd] });
        frame.push(version << 4 | 5);
        frame.resize(len, 0);
        frame
    }

    #[test]
    fn a_frame_to_an_address_that_looks_like_ip_is_a_frame() {
        for mac in [
            [0x6c, 0x3b, 0x6b, 0, 0, 1],
            [0x60, 0, 0, 0, 0, 2],
            [0x45, 0, 0, 0, 0, 2],
            [0x45, 0, 0, 40, 0, 2],
        ] {
            for (version, len) in [(4, 54), (4, 60), (4, 1514), (6, 74)] {
                let frame = frame(mac, version, len);
                assert!(!looks_like_ip(Walk { data: &frame, cut: 0 }, 0), "{mac:x?} {version} {len}");
            }
        }
    }

    #[test]
    fn an_ip_header_whose_length_agrees_is_one() {
        let mut v4 = vec![0x45, 0, 0, 40];
        v4.resize(40, 0);
        let mut v6 = vec![0x60, 0, 0, 0, 0, 20];
        v6.resize(60, 0);
        for mut packet in [v4, v6] {
            assert!(looks_like_ip(Walk { data: &packet, cut: 0 }, 0));
            packet.resize(64, 0);
            assert!(looks_like_ip(Walk { data: &packet, cut: 0 }, 0), "padded");
            packet.resize(200, 0);
            assert!(!looks_like_ip(Walk { data: &packet, cut: 0 }, 0), "{packet:?}");
        }
    }
}
