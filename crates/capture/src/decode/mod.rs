//! From a captured frame to the TCP segment inside it.

mod bytes;
mod checksum;
mod counters;
mod defrag;
mod ip;
mod labels;
mod link;
mod options;
mod reason;
mod recent;
mod segment;
mod tcp;
mod tunnel;
mod walk;

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::source::Packet;
use checksum::{Offload, Verdict};
pub use counters::DecodeCounters;
use defrag::Defrag;
pub use defrag::DefragLimits;
pub use labels::{Label, ZoneRule, ZoneRules};
pub use options::{Checksums, DecodeOptions, TunnelPorts, UdpTunnel};
pub use reason::DropReason;
use recent::{Print, Recent};
pub(crate) use segment::mix;
pub use segment::{Segment, TcpFlags};
use walk::{Context, Layer, Step, Walk, Walked};

/// Reassembled packets one inside the other, at most.
const NESTED_FRAGMENTS: usize = 2;
/// No frame on a wire is longer, jumbo frames included.
const LARGEST_FRAME: usize = 9216;

/// What a packet was.
#[derive(Clone, Copy, Debug)]
pub enum Decoded<'a> {
    /// A TCP segment.
    Segment(Segment<'a>),
    /// Decoded, and nothing to go on with: ARP, UDP, ICMP, a fragment that waits for others, a second sight of a packet.
    Other,
    /// Not decoded.
    Dropped(DropReason),
}

/// Turns frames into segments: link headers, tags, tunnels, IP with its fragments, TCP.
///
/// Reads only what lies inside the packet; no input makes it panic. Leaves out what a mirror shows twice and what the
/// receiver would have dropped for its checksum.
pub struct Decoder {
    defrag: Defrag,
    whole: [Vec<u8>; NESTED_FRAGMENTS],
    judge: Judge,
    ports: TunnelPorts,
    zones: ZoneRules,
}

/// What is asked of a packet that was read to its end.
struct Judge {
    offload: Offload,
    checksums: Checksums,
    recent: Recent,
    seed: u64,
    counters: DecodeCounters,
}

impl Decoder {
    /// A decoder that has seen nothing.
    pub fn new(options: DecodeOptions) -> Self {
        Decoder {
            defrag: Defrag::new(options.defrag),
            whole: [Vec::new(), Vec::new()],
            judge: Judge {
                offload: Offload::new(),
                checksums: options.checksums,
                recent: Recent::new(options.duplicate_window),
                seed: options.seed,
                counters: DecodeCounters::default(),
            },
            ports: options.ports,
            zones: options.zones,
        }
    }

    /// Decodes one packet. Packets are given in time order: fragments time out by their time.
    pub fn decode<'a>(&'a mut self, packet: &Packet<'a>) -> Decoded<'a> {
        let Decoder { defrag, whole: [outer, inner], judge, ports, zones } = self;
        let mut cx = Context::new(ports);
        let cut = packet.orig_len.saturating_sub(u32::try_from(packet.data.len()).unwrap_or(u32::MAX));
        let first = link::first_step(packet.link, Walk { data: packet.data, cut }, &mut cx);
        let fragment = match walk::walk(first, &mut cx) {
            Walked::Tcp(head) => return judge.segment(&head, &cx, packet, zones),
            Walked::Fragment(fragment) => fragment,
            Walked::Other => return Decoded::Other,
            Walked::Dropped(reason) => return Decoded::Dropped(reason),
        };
        let layer = match judge.fragment(&fragment, &cx, packet, zones, defrag, outer) {
            Ok(layer) => layer,
            Err(decoded) => return decoded,
        };
        let fragment = match walk::walk(Step::Into(layer, Walk { data: outer, cut: 0 }), &mut cx) {
            Walked::Tcp(head) => return judge.segment(&head, &cx, packet, zones),
            Walked::Fragment(fragment) => fragment,
            Walked::Other => return Decoded::Other,
            Walked::Dropped(reason) => return Decoded::Dropped(reason),
        };
        let layer = match judge.fragment(&fragment, &cx, packet, zones, defrag, inner) {
            Ok(layer) => layer,
            Err(decoded) => return decoded,
        };
        match walk::walk(Step::Into(layer, Walk { data: inner, cut: 0 }), &mut cx) {
            Walked::Tcp(head) => judge.segment(&head, &cx, packet, zones),
            Walked::Fragment(_) => Decoded::Dropped(DropReason::TooManyLayers),
            Walked::Other => Decoded::Other,
            Walked::Dropped(reason) => Decoded::Dropped(reason),
        }
    }

    /// What was out of the ordinary so far.
    pub fn counters(&self) -> DecodeCounters {
        let checksum_sources_forgotten = self.judge.offload.forgotten();
        DecodeCounters { checksum_sources_forgotten, ..self.judge.counters.clone() }
    }

    /// Entries that tables gave up, by table and reason.
    pub fn evictions(&self) -> BTreeMap<String, u64> {
        let all = [("fragments-expired", self.defrag.expired), ("fragments-evicted", self.defrag.evicted)];
        all.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| (name.to_owned(), n)).collect()
    }
}

impl Judge {
    #[inline]
    fn segment<'a>(
        &mut self,
        head: &tcp::Head<'a>,
        cx: &Context<'_>,
        packet: &Packet<'_>,
        zones: &ZoneRules,
    ) -> Decoded<'a> {
        let zone = zones.zone(packet.port, &cx.labels);
        let print = (!self.recent.is_off()).then(|| Print::of_segment(head, cx, zone, self.seed));
        if print.is_some_and(|p| self.recent.is_copy(&p, packet.ts)) {
            self.counters.duplicates += 1;
            return Decoded::Other;
        }
        if self.checksums == Checksums::Auto && head.walk.cut == 0 {
            match self.offload.judge(source(head.ends.0, cx, packet), head, &cx.ip) {
                Verdict::Right => {}
                Verdict::Unproven => self.counters.checksum_unproven += 1,
                Verdict::Offloaded => self.counters.checksum_offload += 1,
                Verdict::Wrong => return Decoded::Dropped(DropReason::BadChecksum),
            }
        }
        if let Some(print) = print {
            self.recent.keep(&print, packet.ts);
        }
        self.counters.snapped += u64::from(head.walk.cut > 0);
        self.counters.super_frames += u64::from(cx.ip.unsized_ || head.walk.data.len() > LARGEST_FRAME);
        self.counters.tunnelled += u64::from(cx.ip.inner);
        Decoded::Segment(head.segment(packet.ts, zone))
    }

    /// Adds a fragment; gives how to go on where `out` now holds the whole datagram.
    fn fragment<'a>(
        &mut self,
        fragment: &ip::Fragment<'_>,
        cx: &Context<'_>,
        packet: &Packet<'_>,
        zones: &ZoneRules,
        defrag: &mut Defrag,
        out: &mut Vec<u8>,
    ) -> Result<Layer, Decoded<'a>> {
        let zone = zones.zone(packet.port, &cx.labels);
        if self.checksums == Checksums::Auto
            && self.offload.judge_header(source(fragment.ends.0, cx, packet), &cx.ip) == Verdict::Wrong
        {
            return Err(Decoded::Dropped(DropReason::BadChecksum));
        }
        let print = (!self.recent.is_off()).then(|| Print::of_fragment(fragment, cx, zone, self.seed));
        if print.is_some_and(|p| self.recent.is_copy(&p, packet.ts)) {
            self.counters.duplicates += 1;
            return Err(Decoded::Other);
        }
        match defrag.add(fragment, zone, packet.ts, &mut self.counters, out) {
            Ok(whole) => {
                if let Some(print) = print {
                    self.recent.keep(&print, packet.ts);
                }
                whole.ok_or(Decoded::Other)
            }
            Err(reason) => Err(Decoded::Dropped(reason)),
        }
    }
}

/// Who sent a segment, as far as off-load goes: the card on the link layer, or else the address.
#[inline]
fn source(sender: IpAddr, cx: &Context<'_>, packet: &Packet<'_>) -> u64 {
    let sender = match (cx.mac, sender) {
        (0, IpAddr::V4(ip)) => u64::from(u32::from(ip)) << 1,
        (0, IpAddr::V6(ip)) => mix(u128::from(ip) as u64 ^ (u128::from(ip) >> 64) as u64),
        (mac, _) => mac << 1,
    };
    sender ^ u64::from(packet.interface) << 52
}
