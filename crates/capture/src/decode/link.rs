use super::bytes::Bytes;
use super::{DropReason, Layer, Step, Walk};
use crate::source::LinkType;

const TRUNCATED: Step<'static> = Step::Drop(DropReason::Truncated);

const VLAN_TAGS: [u16; 4] = [0x8100, 0x88a8, 0x9100, 0x9200];
const SMALLEST_ETHERTYPE: u16 = 0x600;

/// The first header of a captured packet.
pub(super) fn first_step(link: LinkType, walk: Walk<'_>) -> Step<'_> {
    match link {
        LinkType::ETHERNET => Step::Into(Layer::Ethernet, walk),
        LinkType::NULL | LinkType::LOOP => family(walk),
        LinkType::RAW | LinkType::RAW_BSD | LinkType::RAW_OPENBSD => Step::Into(Layer::Ip, walk),
        LinkType::IPV4 => Step::Into(Layer::Ipv4, walk),
        LinkType::IPV6 => Step::Into(Layer::Ipv6, walk),
        LinkType::LINUX_SLL => sll(walk),
        LinkType::LINUX_SLL2 => sll2(walk),
        LinkType::PPP | LinkType::PPP_HDLC => Step::Into(Layer::Ppp, walk),
        LinkType::PPP_PPPD => walk.skip(1, Layer::Ppp),
        LinkType::PPP_ETHER => Step::Into(Layer::Pppoe, walk),
        LinkType::C_HDLC => cisco_hdlc(walk),
        LinkType::IEEE802_11 => Step::Into(Layer::Ieee80211, walk),
        LinkType::IEEE802_11_RADIOTAP => radiotap(walk),
        LinkType::NFLOG => nflog(walk),
        LinkType::ARCNET_LINUX => arcnet(walk),
        LinkType::GRE_OVER_IP => Step::Into(Layer::Gre, walk),
        _ => Step::Drop(DropReason::UnknownLinkType),
    }
}

/// BSD loopback. Written in the byte order of the capturing machine, or of the network: the address itself tells.
fn family(walk: Walk<'_>) -> Step<'_> {
    let Some(number) = walk.data.u32(0) else { return TRUNCATED };
    match number.min(number.swap_bytes()) {
        // AF_INET, and AF_INET6 of Linux, the BSDs and macOS.
        2 | 10 | 24 | 28 | 30 => walk.skip(4, Layer::Ip),
        // Frames in the Ethernet layout, as some tools write under this link type.
        _ => Step::Other,
    }
}

fn sll(walk: Walk<'_>) -> Step<'_> {
    match walk.data.u16(14) {
        Some(protocol) => walk.skip(16, Layer::EtherType(protocol)),
        None => TRUNCATED,
    }
}

fn sll2(walk: Walk<'_>) -> Step<'_> {
    match walk.data.u16(0) {
        Some(protocol) => walk.skip(20, Layer::EtherType(protocol)),
        None => TRUNCATED,
    }
}

fn cisco_hdlc(walk: Walk<'_>) -> Step<'_> {
    match walk.data.u16(2) {
        Some(protocol) => walk.skip(4, Layer::EtherType(protocol)),
        None => TRUNCATED,
    }
}

fn arcnet(walk: Walk<'_>) -> Step<'_> {
    match walk.data.u8(4) {
        // RFC 1201 puts flags and a sequence number before the packet, RFC 1051 nothing.
        Some(0xd4) => walk.skip(8, Layer::Ipv4),
        Some(0xc4) => walk.skip(8, Layer::Ipv6),
        Some(0xf0) => walk.skip(5, Layer::Ipv4),
        Some(_) => Step::Other,
        None => TRUNCATED,
    }
}

/// Netfilter log: type-length-value in host byte order, the packet under type 9.
fn nflog(walk: Walk<'_>) -> Step<'_> {
    let mut at = 4;
    while let Some([a, b, c, d]) = walk.data.get(at..at + 4).and_then(|b| b.first_chunk::<4>()) {
        let little = (u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d]));
        let big = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
        // Types are small: the byte order that gives the smaller one is that of the machine.
        let (len, kind) = if little.1 & 0x7fff <= big.1 & 0x7fff { little } else { big };
        if len < 4 {
            return Step::Drop(DropReason::MalformedIp);
        }
        if kind == 9 {
            return walk.skip(at + 4, Layer::Ip);
        }
        at += usize::from(len).next_multiple_of(4);
    }
    Step::Other
}

pub(super) fn ethernet(walk: Walk<'_>) -> Step<'_> {
    match walk.data.u16(12) {
        Some(ethertype) => walk.skip(14, Layer::EtherType(ethertype)),
        None => TRUNCATED,
    }
}

pub(super) fn ethertype(ethertype: u16, walk: Walk<'_>) -> Step<'_> {
    let data = walk.data;
    match ethertype {
        0x0800 => ipv4_or_ipv6(walk),
        0x86dd => ipv4_or_ipv6(walk),
        t if VLAN_TAGS.contains(&t) => inner_type(walk, 2, 4),
        // VN-Tag, E-Tag: a tag with the type of what follows in its last two bytes.
        0x8926 => inner_type(walk, 4, 6),
        0x893f => inner_type(walk, 6, 8),
        // Cisco MetaData.
        0x8909 => inner_type(walk, 6, 8),
        0x8847 | 0x8848 => Step::Into(Layer::Mpls, walk),
        0x8864 => Step::Into(Layer::Pppoe, walk),
        // 802.1ah: a service tag, then a whole Ethernet frame.
        0x88e7 => walk.skip(4, Layer::Ethernet),
        0x6558 => Step::Into(Layer::Ethernet, walk),
        0x880b => Step::Into(Layer::Ppp, walk),
        0x894f => nsh(walk),
        t if t < SMALLEST_ETHERTYPE => llc(walk),
        _ if data.is_empty() => Step::Other,
        _ => Step::Other,
    }
}

/// The version of the IP header decides: some exporters write one type for both.
fn ipv4_or_ipv6(walk: Walk<'_>) -> Step<'_> {
    Step::Into(Layer::Ip, walk)
}

fn inner_type(walk: Walk<'_>, at: usize, len: usize) -> Step<'_> {
    match walk.data.u16(at) {
        Some(ethertype) => walk.skip(len, Layer::EtherType(ethertype)),
        None => TRUNCATED,
    }
}

/// 802.2 LLC with SNAP; other LLC carries no IP.
fn llc(walk: Walk<'_>) -> Step<'_> {
    match walk.data {
        [0xaa, 0xaa, 3, 0, 0, 0 | 0xf8, a, b, ..] => {
            walk.skip(8, Layer::EtherType(u16::from_be_bytes([*a, *b])))
        }
        [0x06, 0x06, 3, ..] => walk.skip(3, Layer::Ip),
        _ => Step::Other,
    }
}

/// Network Service Header (RFC 8300 §2.2).
fn nsh(walk: Walk<'_>) -> Step<'_> {
    let (Some(lengths), Some(next)) = (walk.data.u8(1), walk.data.u8(3)) else { return TRUNCATED };
    let len = usize::from(lengths & 0x3f) * 4;
    match next {
        _ if len < 8 => Step::Other,
        1 | 2 => walk.skip(len, Layer::Ip),
        3 => walk.skip(len, Layer::Ethernet),
        4 => walk.skip(len, Layer::EtherType(0x894f)),
        5 => walk.skip(len, Layer::Mpls),
        _ => Step::Other,
    }
}

/// Pops labels to the bottom of the stack; what lies under it is told by its first nibble (RFC 4928 §3).
pub(super) fn mpls(walk: Walk<'_>) -> Step<'_> {
    let mut at = 0;
    loop {
        let Some(entry) = walk.data.u32(at) else { return TRUNCATED };
        at += 4;
        if entry & 0x100 != 0 {
            break;
        }
    }
    match walk.data.u8(at) {
        Some(first) if matches!(first >> 4, 4 | 6) => walk.skip(at, Layer::Ip),
        // A control word before the Ethernet frame of a pseudowire (RFC 4448 §4.6).
        Some(0)
            if walk.data.u32(at).is_some_and(|word| word & 0xff00_0000 == 0)
                && looks_like_ethernet(walk, at + 4) =>
        {
            walk.skip(at + 4, Layer::Ethernet)
        }
        Some(_) => walk.skip(at, Layer::Ethernet),
        None => TRUNCATED,
    }
}

fn looks_like_ethernet(walk: Walk<'_>, at: usize) -> bool {
    let ethertype = walk.data.u16(at + 12);
    ethertype.is_some_and(|t| {
        matches!(t, 0x0800 | 0x86dd | 0x0806 | 0x8847 | 0x8864)
            || VLAN_TAGS.contains(&t)
            || t < SMALLEST_ETHERTYPE
    })
}

pub(super) fn pppoe(walk: Walk<'_>) -> Step<'_> {
    match walk.data.u8(1) {
        Some(0) => walk.skip(6, Layer::Ppp),
        Some(_) => Step::Other,
        None => TRUNCATED,
    }
}

/// PPP with or without address and control, its protocol in one or two bytes (RFC 1661 §6.5, §6.6).
pub(super) fn ppp(walk: Walk<'_>) -> Step<'_> {
    let at = if walk.data.starts_with(&[0xff, 3]) || walk.data.starts_with(&[0x0f, 0]) { 2 } else { 0 };
    match walk.data.u8(at) {
        Some(short) if short & 1 == 1 => walk.skip(at + 1, Layer::PppProtocol(u16::from(short))),
        Some(_) => match walk.data.u16(at) {
            // Cisco HDLC framing shows Ethernet types here.
            Some(protocol) => walk.skip(at + 2, Layer::PppProtocol(protocol)),
            None => TRUNCATED,
        },
        None => TRUNCATED,
    }
}

pub(super) fn ppp_protocol(protocol: u16, walk: Walk<'_>) -> Step<'_> {
    match protocol {
        0x0021 | 0x0057 | 0x0800 | 0x86dd => Step::Into(Layer::Ip, walk),
        0x0281 | 0x0283 => Step::Into(Layer::Mpls, walk),
        0x8847 | 0x8848 => Step::Into(Layer::Mpls, walk),
        _ => Step::Other,
    }
}

fn radiotap(walk: Walk<'_>) -> Step<'_> {
    match walk.data {
        [0, _, a, b, ..] => walk.skip(usize::from(u16::from_le_bytes([*a, *b])), Layer::Ieee80211),
        [_, ..] => Step::Other,
        [] => TRUNCATED,
    }
}

/// Unencrypted data frames of IEEE 802.11 (§9.3.2); the rest carries nothing that can be read.
pub(super) fn ieee80211(walk: Walk<'_>) -> Step<'_> {
    let (Some(kind), Some(flags)) = (walk.data.u8(0), walk.data.u8(1)) else { return TRUNCATED };
    let (is_data, subtype) = (kind & 0x0c == 8, kind >> 4);
    if !is_data || subtype & 4 != 0 || flags & 0x40 != 0 {
        return Step::Other;
    }
    let mut len = if flags & 3 == 3 { 30 } else { 24 };
    if subtype & 8 != 0 {
        len += if flags & 0x80 != 0 { 6 } else { 2 };
    }
    match walk.data.get(len..) {
        Some(data) => llc(Walk { data, cut: walk.cut }),
        None => TRUNCATED,
    }
}
