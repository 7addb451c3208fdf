//! From a captured frame to the TCP segment inside it.

mod bytes;
mod defrag;
mod ip;
mod link;
mod tunnel;

use std::net::IpAddr;

use etherparse::TcpHeaderSlice;
use etherparse::err::tcp::HeaderSliceError;
use sidetap_model::{Addr, Ts};

use crate::source::Packet;
use defrag::Defrag;
pub use defrag::DefragLimits;

/// Headers one inside the other (tags, tunnels, IP extension headers aside), at most.
const LAYERS: u32 = 24;
/// Reassembled packets one inside the other, at most.
const NESTED_FRAGMENTS: usize = 2;

/// How to decode.
#[derive(Clone, Debug, Default)]
pub struct DecodeOptions {
    /// Caps of the table of IP fragments.
    pub defrag: DefragLimits,
}

/// Why a packet was not decoded. Codes are stable: they stand in `summary.json`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DropReason {
    /// The link type is not one the decoder reads.
    UnknownLinkType,
    /// The packet ends inside a header.
    Truncated,
    /// An IP header that contradicts itself.
    MalformedIp,
    /// A TCP header that contradicts itself.
    MalformedTcp,
    /// More headers one inside the other than the limit.
    TooManyLayers,
    /// A fragment that fits no datagram (beyond 64 KiB, or of no length).
    MalformedFragment,
    /// The table of fragments was full.
    FragmentsFull,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [DropReason; 7] = [
        DropReason::UnknownLinkType,
        DropReason::Truncated,
        DropReason::MalformedIp,
        DropReason::MalformedTcp,
        DropReason::TooManyLayers,
        DropReason::MalformedFragment,
        DropReason::FragmentsFull,
    ];

    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            DropReason::UnknownLinkType => "unknown-link-type",
            DropReason::Truncated => "truncated",
            DropReason::MalformedIp => "malformed-ip",
            DropReason::MalformedTcp => "malformed-tcp",
            DropReason::TooManyLayers => "too-many-layers",
            DropReason::MalformedFragment => "malformed-fragment",
            DropReason::FragmentsFull => "fragments-full",
        }
    }
}

/// What a packet was.
#[derive(Clone, Copy, Debug)]
pub enum Decoded<'a> {
    /// A TCP segment.
    Segment(Segment<'a>),
    /// Decoded, and no TCP: ARP, UDP, ICMP, a fragment that waits for others.
    Other,
    /// Not decoded.
    Dropped(DropReason),
}

/// A TCP segment with its addresses, borrowed from the packet (or from the decoder, where it came in fragments).
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Index of the zone in the capture's zone table.
    pub zone: u16,
    /// Sender.
    pub src: Addr,
    /// Receiver.
    pub dst: Addr,
    /// Time of its packet.
    pub ts: Ts,
    /// Sequence number of its first byte (of the SYN, where that is set).
    pub seq: u32,
    /// Acknowledgement number; means something where the ACK flag is set.
    pub ack: u32,
    /// Flags.
    pub flags: TcpFlags,
    /// Window as sent, without its scale.
    pub window: u16,
    /// Payload, as far as it was captured.
    pub payload: &'a [u8],
    /// Bytes of payload that the snap length cut off.
    pub snapped: u32,
    /// Urgent pointer; means something where the URG flag is set.
    pub urgent: u16,
}

impl Segment<'_> {
    /// The logical shard of its flow: the same for both directions and for every run.
    pub fn shard(&self) -> u8 {
        (self.flow_hash() >> 56) as u8
    }

    /// One of sixteen classes of flows within its logical shard, by which load is shed.
    pub fn shed_class(&self) -> u8 {
        (self.flow_hash() >> 52) as u8 & 15
    }

    fn flow_hash(&self) -> u64 {
        let hash = endpoint_hash(&self.src).wrapping_add(endpoint_hash(&self.dst));
        mix(hash ^ u64::from(self.zone))
    }
}

fn endpoint_hash(addr: &Addr) -> u64 {
    let ip = match addr.ip {
        IpAddr::V4(v4) => u64::from(u32::from(v4)),
        IpAddr::V6(v6) => {
            let bits = u128::from(v6);
            mix(bits as u64) ^ (bits >> 64) as u64
        }
    };
    mix(ip ^ u64::from(addr.port) << 48)
}

/// The finaliser of SplitMix64.
pub(crate) const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The flags of a TCP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    const FIN: u8 = 1;
    const SYN: u8 = 2;
    const RST: u8 = 4;
    const ACK: u8 = 16;
    const URG: u8 = 32;

    /// The sender has no more data.
    pub const fn fin(self) -> bool {
        self.0 & Self::FIN != 0
    }

    /// Opens a connection.
    pub const fn syn(self) -> bool {
        self.0 & Self::SYN != 0
    }

    /// Breaks a connection off.
    pub const fn rst(self) -> bool {
        self.0 & Self::RST != 0
    }

    /// The acknowledgement number means something.
    pub const fn ack(self) -> bool {
        self.0 & Self::ACK != 0
    }

    /// The urgent pointer means something.
    pub const fn urg(self) -> bool {
        self.0 & Self::URG != 0
    }
}

/// Turns frames into segments: link headers, tags, tunnels, IP with its fragments, TCP.
///
/// Reads only what lies inside the packet; no input makes it panic. Checksums are not looked at: a mirror shows packets
/// before the network card fills them in.
pub struct Decoder {
    defrag: Defrag,
    whole: [Vec<u8>; NESTED_FRAGMENTS],
}

/// What the next header is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Layer {
    Ethernet,
    EtherType(u16),
    /// IPv4 or IPv6, as its first nibble says.
    Ip,
    Ipv4,
    Ipv6,
    Ppp,
    PppProtocol(u16),
    Pppoe,
    Mpls,
    /// The payload of an IP packet.
    Transport {
        protocol: u8,
        ends: (IpAddr, IpAddr),
    },
    Gre,
    Ieee80211,
}

/// Where a walk through the headers is.
#[derive(Clone, Copy)]
struct Walk<'a> {
    data: &'a [u8],
    /// Bytes that belong to the packet but were not captured.
    cut: u32,
}

/// How a walk goes on.
enum Step<'a> {
    Into(Layer, Walk<'a>),
    Tcp { ends: (IpAddr, IpAddr), walk: Walk<'a> },
    Fragment(ip::Fragment<'a>),
    Other,
    Drop(DropReason),
}

enum Walked<'a> {
    Done(Decoded<'a>),
    Fragment(ip::Fragment<'a>),
}

impl Decoder {
    /// A decoder without state.
    pub fn new(options: DecodeOptions) -> Self {
        Decoder { defrag: Defrag::new(options.defrag), whole: [Vec::new(), Vec::new()] }
    }

    /// Decodes one packet. Packets are given in time order: fragments time out by their time.
    pub fn decode<'a>(&'a mut self, packet: &Packet<'a>) -> Decoded<'a> {
        let cut = packet.orig_len.saturating_sub(u32::try_from(packet.data.len()).unwrap_or(u32::MAX));
        let first = link::first_step(packet.link, Walk { data: packet.data, cut });
        let Decoder { defrag, whole: [outer, inner] } = self;
        let fragment = match walk(first, packet.ts) {
            Walked::Done(decoded) => return decoded,
            Walked::Fragment(fragment) => fragment,
        };
        let layer = match defrag.add(&fragment, packet.ts, outer) {
            Ok(true) => fragment.inside(),
            Ok(false) => return Decoded::Other,
            Err(reason) => return Decoded::Dropped(reason),
        };
        let fragment = match walk(Step::Into(layer, Walk { data: outer, cut: 0 }), packet.ts) {
            Walked::Done(decoded) => return decoded,
            Walked::Fragment(fragment) => fragment,
        };
        let layer = match defrag.add(&fragment, packet.ts, inner) {
            Ok(true) => fragment.inside(),
            Ok(false) => return Decoded::Other,
            Err(reason) => return Decoded::Dropped(reason),
        };
        match walk(Step::Into(layer, Walk { data: inner, cut: 0 }), packet.ts) {
            Walked::Done(decoded) => decoded,
            Walked::Fragment(_) => Decoded::Dropped(DropReason::TooManyLayers),
        }
    }

    /// Datagrams whose fragments were given up for lack of room or for age.
    pub fn fragments_evicted(&self) -> u64 {
        self.defrag.evicted()
    }
}

fn walk<'a>(first: Step<'a>, ts: Ts) -> Walked<'a> {
    let mut step = first;
    for _ in 0..LAYERS {
        let (layer, walk) = match step {
            Step::Into(layer, walk) => (layer, walk),
            Step::Tcp { ends, walk } => return Walked::Done(segment(ends, walk, ts)),
            Step::Fragment(fragment) => return Walked::Fragment(fragment),
            Step::Other => return Walked::Done(Decoded::Other),
            Step::Drop(reason) => return Walked::Done(Decoded::Dropped(reason)),
        };
        step = match layer {
            Layer::Ethernet => link::ethernet(walk),
            Layer::EtherType(ethertype) => link::ethertype(ethertype, walk),
            Layer::Ip => ip::any(walk),
            Layer::Ipv4 => ip::v4(walk),
            Layer::Ipv6 => ip::v6(walk),
            Layer::Ppp => link::ppp(walk),
            Layer::PppProtocol(protocol) => link::ppp_protocol(protocol, walk),
            Layer::Pppoe => link::pppoe(walk),
            Layer::Mpls => link::mpls(walk),
            Layer::Transport { protocol, ends } => tunnel::transport(protocol, ends, walk),
            Layer::Gre => tunnel::gre(walk),
            Layer::Ieee80211 => link::ieee80211(walk),
        };
    }
    Walked::Done(Decoded::Dropped(DropReason::TooManyLayers))
}

fn segment<'a>(ends: (IpAddr, IpAddr), walk: Walk<'a>, ts: Ts) -> Decoded<'a> {
    let data = walk.data;
    let head = match TcpHeaderSlice::from_slice(data) {
        Ok(head) => head,
        Err(HeaderSliceError::Len(_)) if data.len() < 20 || walk.cut > 0 => {
            return Decoded::Dropped(DropReason::Truncated);
        }
        Err(_) => return Decoded::Dropped(DropReason::MalformedTcp),
    };
    let payload = data.get(head.slice().len()..).unwrap_or_default();
    let flags = head.slice().get(13).copied().unwrap_or(0);
    Decoded::Segment(Segment {
        zone: 0,
        src: Addr { ip: ends.0, port: head.source_port() },
        dst: Addr { ip: ends.1, port: head.destination_port() },
        ts,
        seq: head.sequence_number(),
        ack: head.acknowledgment_number(),
        flags: TcpFlags(flags),
        window: head.window_size(),
        payload,
        snapped: walk.cut,
        urgent: head.urgent_pointer(),
    })
}

impl<'a> Walk<'a> {
    /// Goes on `n` bytes further, into `layer`.
    fn skip(self, n: usize, layer: Layer) -> Step<'a> {
        match self.data.get(n..) {
            Some(data) => Step::Into(layer, Walk { data, cut: self.cut }),
            None => Step::Drop(DropReason::Truncated),
        }
    }
}
