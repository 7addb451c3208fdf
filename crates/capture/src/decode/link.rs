use super::DropReason;
use super::bytes::Bytes;
use super::labels::Label;
use super::walk::{Context, Layer, Step, Walk};
use crate::source::LinkType;

const TRUNCATED: Step<'static> = Step::Drop(DropReason::Truncated);
const MALFORMED: Step<'static> = Step::Drop(DropReason::MalformedLink);

pub(super) const VLAN_TAGS: [u16; 4] = [0x8100, 0x88a8, 0x9100, 0x9200];
const SMALLEST_ETHERTYPE: u16 = 0x600;
const NSH: u16 = 0x894f;

/// The first header of a captured packet.
pub(super) fn first_step<'a>(link: LinkType, walk: Walk<'a>, cx: &mut Context<'_>) -> Step<'a> {
    match link {
        LinkType::ETHERNET => Step::Into(Layer::Ethernet, walk),
        LinkType::NULL | LinkType::LOOP => family(walk),
        LinkType::RAW | LinkType::RAW_BSD | LinkType::RAW_OPENBSD | LinkType::IPV4 | LinkType::IPV6 => {
            Step::Into(Layer::Ip, walk)
        }
        LinkType::LINUX_SLL => cooked(walk, cx, 14, 6, 16),
        LinkType::LINUX_SLL2 => cooked(walk, cx, 0, 12, 20),
        LinkType::PPP | LinkType::PPP_HDLC => Step::Into(Layer::Ppp, walk),
        LinkType::PPP_PPPD | LinkType::PPP_WITH_DIRECTION => walk.skip(1, Layer::Ppp),
        LinkType::PPP_ETHER => Step::Into(Layer::Pppoe, walk),
        LinkType::C_HDLC => typed(walk, 2),
        LinkType::C_HDLC_WITH_DIRECTION => typed(walk, 3),
        LinkType::IEEE802_11 => Step::Into(Layer::Ieee80211, walk),
        LinkType::IEEE802_11_RADIOTAP => radiotap(walk),
        LinkType::IEEE802_11_PRISM | LinkType::IEEE802_11_AVS => prism(walk),
        LinkType::PPI => ppi(walk),
        LinkType::NFLOG => nflog(walk),
        LinkType::PFLOG => pflog(walk),
        LinkType::PKTAP => pktap(walk),
        LinkType::ARCNET_LINUX => arcnet(walk),
        LinkType::TOKEN_RING => token_ring(walk),
        LinkType::FDDI => fddi(walk),
        LinkType::ATM_RFC1483 => Step::Into(Layer::Llc, walk),
        LinkType::IP_OVER_FC => walk.skip(16, Layer::Llc),
        LinkType::IEEE1394 => typed(walk, 16),
        LinkType::FRAME_RELAY => frame_relay(walk),
        LinkType::FRAME_RELAY_WITH_DIRECTION => past(walk, 1, frame_relay),
        LinkType::ENC => walk.skip(12, Layer::Ip),
        LinkType::SLIP => walk.skip(16, Layer::Ip),
        LinkType::IPNET => walk.skip(24, Layer::Ip),
        LinkType::NETANALYZER => walk.skip(4, Layer::Ethernet),
        LinkType::ETHERNET_MPACKET => mpacket(walk),
        LinkType::GRE_OVER_IP => Step::Into(Layer::Gre, walk),
        _ => Step::Drop(DropReason::UnknownLinkType),
    }
}

/// What capture formats that name another link type inside them may name.
fn nested(link: u32, walk: Walk<'_>) -> Step<'_> {
    match u16::try_from(link).map(LinkType) {
        Ok(LinkType::ETHERNET) => Step::Into(Layer::Ethernet, walk),
        Ok(LinkType::RAW | LinkType::RAW_BSD | LinkType::RAW_OPENBSD) => Step::Into(Layer::Ip, walk),
        Ok(LinkType::NULL | LinkType::LOOP) => family(walk),
        Ok(LinkType::PPP | LinkType::PPP_HDLC) => Step::Into(Layer::Ppp, walk),
        Ok(LinkType::IEEE802_11) => Step::Into(Layer::Ieee80211, walk),
        Ok(LinkType::IEEE802_11_RADIOTAP) => radiotap(walk),
        _ => Step::Drop(DropReason::UnknownLinkType),
    }
}

fn past<'a>(walk: Walk<'a>, n: usize, next: fn(Walk<'a>) -> Step<'a>) -> Step<'a> {
    match walk.data.get(n..) {
        Some(data) => next(Walk { data, cut: walk.cut }),
        None => TRUNCATED,
    }
}

/// An Ethernet type at `at`, what it names behind it.
fn typed(walk: Walk<'_>, at: usize) -> Step<'_> {
    match walk.data.u16(at) {
        Some(ethertype) => walk.skip(at + 2, Layer::EtherType(ethertype)),
        None => TRUNCATED,
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

/// Linux cooked capture: type, sender and what follows at their places in either version.
fn cooked<'a>(walk: Walk<'a>, cx: &mut Context<'_>, kind: usize, from: usize, len: usize) -> Step<'a> {
    let (Some(protocol), Some(sender)) = (walk.data.u16(kind), walk.data.u32(from + 2)) else {
        return TRUNCATED;
    };
    cx.mac = u64::from(sender) | 1 << 63;
    walk.skip(len, Layer::EtherType(protocol))
}

fn arcnet(walk: Walk<'_>) -> Step<'_> {
    match walk.data.u8(4) {
        // RFC 1201 puts flags and a sequence number before the packet, RFC 1051 nothing.
        Some(0xd4 | 0xc4) => walk.skip(8, Layer::Ip),
        Some(0xf0) => walk.skip(5, Layer::Ip),
        Some(_) => Step::Other,
        None => TRUNCATED,
    }
}

/// IEEE 802.5, with routing information where the sender's group bit says so.
fn token_ring(walk: Walk<'_>) -> Step<'_> {
    let Some(sender) = walk.data.u8(8) else { return TRUNCATED };
    let routing = if sender & 0x80 != 0 { walk.data.u8(14).map(|b| usize::from(b & 0x1f)) } else { Some(0) };
    match routing {
        Some(len) => walk.skip(14 + len, Layer::Llc),
        None => TRUNCATED,
    }
}

/// Frames of FDDI that carry LLC.
fn fddi(walk: Walk<'_>) -> Step<'_> {
    match walk.data.u8(0) {
        Some(control) if control & 0xf0 == 0x50 => walk.skip(13, Layer::Llc),
        Some(_) => Step::Other,
        None => TRUNCATED,
    }
}

/// Frame Relay with the encapsulation of RFC 2427, or Cisco's.
fn frame_relay(walk: Walk<'_>) -> Step<'_> {
    let Some(at) = walk.data.iter().take(4).position(|b| b & 1 == 1).map(|n| n + 1) else { return MALFORMED };
    if walk.data.u8(at) != Some(3) {
        return typed(walk, at);
    }
    let at = if walk.data.u8(at + 1) == Some(0) { at + 2 } else { at + 1 };
    match walk.data.u8(at) {
        Some(0xcc | 0x8e) => walk.skip(at + 1, Layer::Ip),
        // SNAP: three bytes of organisation, then a type.
        Some(0x80) if walk.data.get(at + 1..at + 4) == Some(&[0, 0, 0]) => typed(walk, at + 4),
        Some(_) => Step::Other,
        None => TRUNCATED,
    }
}

/// Frames of a port that does frame pre-emption: preamble and delimiter before express frames (IEEE 802.3br).
fn mpacket(walk: Walk<'_>) -> Step<'_> {
    match walk.data.u8(7) {
        Some(0xd5) => walk.skip(8, Layer::Ethernet),
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
            return MALFORMED;
        }
        if kind == 9 {
            return walk.skip(at + 4, Layer::Ip);
        }
        at += usize::from(len).next_multiple_of(4);
    }
    Step::Other
}

/// Log of the BSD packet filter: a header that tells its length, padded to four bytes.
fn pflog(walk: Walk<'_>) -> Step<'_> {
    match walk.data.u8(0) {
        Some(len) if len >= 44 => walk.skip(usize::from(len).next_multiple_of(4), Layer::Ip),
        Some(_) => MALFORMED,
        None => TRUNCATED,
    }
}

/// Apple's capture header: its length and the link type of what follows, little-endian.
fn pktap(walk: Walk<'_>) -> Step<'_> {
    let (Some(len), Some(link)) = (walk.data.u32(0), walk.data.u32(8)) else { return TRUNCATED };
    let len = len.swap_bytes() as usize;
    match walk.data.get(len..) {
        Some(data) if len >= 12 => nested(link.swap_bytes(), Walk { data, cut: walk.cut }),
        Some(_) => MALFORMED,
        None => TRUNCATED,
    }
}

/// Per-packet information: a header that tells its length and the link type of what follows, little-endian.
fn ppi(walk: Walk<'_>) -> Step<'_> {
    let (Some(len), Some(link)) = (walk.data.u16(2), walk.data.u32(4)) else { return TRUNCATED };
    let len = usize::from(len.swap_bytes());
    match walk.data.get(len..) {
        Some(data) if len >= 8 => nested(link.swap_bytes(), Walk { data, cut: walk.cut }),
        Some(_) => MALFORMED,
        None => TRUNCATED,
    }
}

pub(super) fn ethernet<'a>(walk: Walk<'a>, cx: &mut Context<'_>) -> Step<'a> {
    let Some(head) = walk.data.first_chunk::<14>() else { return TRUNCATED };
    let [.., a, b, c, d, e, f, g, h] = *head;
    let tail = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    cx.mac = tail >> 16 | 1 << 63;
    walk.skip(14, Layer::EtherType(tail as u16))
}

pub(super) fn ethertype<'a>(ethertype: u16, walk: Walk<'a>, cx: &mut Context<'_>) -> Step<'a> {
    match ethertype {
        // The version of the IP header decides: some exporters write one type for both.
        0x0800 | 0x86dd => Step::Into(Layer::Ip, walk),
        t if VLAN_TAGS.contains(&t) => vlan(walk, cx),
        // VN-Tag, E-Tag, Cisco MetaData, HSR: a tag with the type of what follows in its last two bytes.
        0x8926 => typed(walk, 4),
        0x893f | 0x8909 => typed(walk, 6),
        0x892f => typed(walk, 4),
        0x8847 | 0x8848 => Step::Into(Layer::Mpls, walk),
        0x8864 => Step::Into(Layer::Pppoe, walk),
        // 802.1ah: a service tag, then a whole Ethernet frame.
        0x88e7 => {
            cx.label(Label::Isid, walk.data.u32(0).unwrap_or(0) & 0x00ff_ffff);
            walk.skip(4, Layer::Ethernet)
        }
        // Cisco FabricPath: the rest of its tag, then a whole Ethernet frame.
        0x8903 => walk.skip(2, Layer::Ethernet),
        0x6558 => Step::Into(Layer::Ethernet, walk),
        0x880b => Step::Into(Layer::Ppp, walk),
        NSH => nsh(walk),
        t if t < SMALLEST_ETHERTYPE => llc(walk),
        _ => Step::Other,
    }
}

/// True where [`ethertype`] goes on into what the type names.
pub(super) fn is_known_ethertype(ethertype: u16) -> bool {
    const KNOWN: [u16; 14] = [
        0x0800, 0x86dd, 0x8926, 0x893f, 0x8909, 0x892f, 0x8847, 0x8848, 0x8864, 0x88e7, 0x8903, 0x6558,
        0x880b, NSH,
    ];
    KNOWN.contains(&ethertype) || VLAN_TAGS.contains(&ethertype)
}

fn vlan<'a>(walk: Walk<'a>, cx: &mut Context<'_>) -> Step<'a> {
    // Number 0 is a priority without a VLAN (IEEE 802.1Q §9.6).
    match walk.data.u16(0).map(|tag| u32::from(tag & 0xfff)) {
        Some(id) if id > 0 => cx.label(Label::Vlan, id),
        _ => {}
    }
    typed(walk, 2)
}

/// 802.2 LLC with SNAP; other LLC carries no IP.
pub(super) fn llc(walk: Walk<'_>) -> Step<'_> {
    match walk.data {
        [0xaa, 0xaa, 3, 0, 0, 0 | 0xf8, a, b, ..] => {
            walk.skip(8, Layer::EtherType(u16::from_be_bytes([*a, *b])))
        }
        // Bridged Ethernet with or without its checksum (RFC 2684 §5.2), padded to four bytes.
        [0xaa, 0xaa, 3, 0, 0x80, 0xc2, 0, 1 | 7, ..] => walk.skip(10, Layer::Ethernet),
        [0x06, 0x06, 3, ..] => walk.skip(3, Layer::Ip),
        _ => Step::Other,
    }
}

/// Network Service Header (RFC 8300 §2.2).
fn nsh(walk: Walk<'_>) -> Step<'_> {
    let (Some(lengths), Some(next)) = (walk.data.u8(1), walk.data.u8(3)) else { return TRUNCATED };
    let len = usize::from(lengths & 0x3f) * 4;
    match next {
        _ if len < 8 => Step::Drop(DropReason::MalformedTunnel),
        1 | 2 => walk.skip(len, Layer::Ip),
        3 => walk.skip(len, Layer::Ethernet),
        4 => walk.skip(len, Layer::EtherType(NSH)),
        5 => walk.skip(len, Layer::Mpls),
        _ => Step::Other,
    }
}

/// PPPoE (RFC 2516 §4): session packets carry PPP, discovery nothing.
pub(super) fn pppoe(walk: Walk<'_>) -> Step<'_> {
    match walk.data {
        [0x11, 0, ..] => walk.skip(6, Layer::Ppp),
        [0x11, ..] => Step::Other,
        [] | [_] => TRUNCATED,
        _ => MALFORMED,
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
        0x0281 | 0x0283 | 0x8847 | 0x8848 => Step::Into(Layer::Mpls, walk),
        // Bridged Ethernet (RFC 3518 §4.2).
        0x0031 if walk.data.u8(1) == Some(1) => walk.skip(2, Layer::Ethernet),
        _ => Step::Other,
    }
}

/// Radiotap; of its fields the flags alone matter, one of which pads the header that follows.
fn radiotap(walk: Walk<'_>) -> Step<'_> {
    let [0, _, a, b, ..] = walk.data else {
        return if walk.data.len() < 4 { TRUNCATED } else { MALFORMED };
    };
    let len = usize::from(u16::from_le_bytes([*a, *b]));
    let Some(data) = walk.data.get(len..) else { return TRUNCATED };
    let flags = radiotap_flags(walk.data.get(..len).unwrap_or_default()).unwrap_or(0);
    wireless(Walk { data, cut: walk.cut }, flags & 0x20 != 0)
}

fn radiotap_flags(head: &[u8]) -> Option<u8> {
    let first = head.u32(4)?.swap_bytes();
    let mut at = 4;
    while head.u32(at)?.swap_bytes() & 0x8000_0000 != 0 {
        at += 4;
    }
    at += 4;
    // A timestamp of eight bytes stands before the flags where bit 0 says so.
    at = if first & 1 != 0 { at.next_multiple_of(8) + 8 } else { at };
    (first & 2 != 0).then(|| head.u8(at)).flatten()
}

/// Prism or AVS capture headers, which tell their length in either byte order.
fn prism(walk: Walk<'_>) -> Step<'_> {
    let (Some(magic), Some(len)) = (walk.data.u32(0), walk.data.u32(4)) else { return TRUNCATED };
    let is_avs = magic & 0xffff_f000 == 0x8021_1000;
    let len = if is_avs { len } else { len.swap_bytes() };
    match usize::try_from(len) {
        Ok(len) if (16..=4096).contains(&len) => walk.skip(len, Layer::Ieee80211),
        _ => MALFORMED,
    }
}

pub(super) fn ieee80211(walk: Walk<'_>) -> Step<'_> {
    wireless(walk, false)
}

/// Unencrypted data frames of IEEE 802.11 (§9.3.2); the rest carries nothing that can be read.
fn wireless(walk: Walk<'_>, padded: bool) -> Step<'_> {
    let (Some(kind), Some(flags)) = (walk.data.u8(0), walk.data.u8(1)) else { return TRUNCATED };
    let (is_data, subtype) = (kind & 0x0c == 8, kind >> 4);
    if !is_data || subtype & 4 != 0 || flags & 0x40 != 0 {
        return Step::Other;
    }
    let mut len = if flags & 3 == 3 { 30 } else { 24 };
    let mut aggregated = false;
    if subtype & 8 != 0 {
        aggregated = walk.data.u8(len).is_some_and(|qos| qos & 0x80 != 0);
        len += if flags & 0x80 != 0 { 6 } else { 2 };
    }
    len = if padded { len.next_multiple_of(4) } else { len };
    let Some(data) = walk.data.get(len..) else { return TRUNCATED };
    if !aggregated {
        return llc(Walk { data, cut: walk.cut });
    }
    // Subframes of an A-MSDU: addresses, length, LLC; each but the last padded to four bytes.
    match data.u16(12).map(|n| 14 + usize::from(n)) {
        Some(n) if n.next_multiple_of(4) + 14 < data.len() => Step::Drop(DropReason::Aggregated),
        Some(_) => walk.skip(len + 14, Layer::Llc),
        None => TRUNCATED,
    }
}
