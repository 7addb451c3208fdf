//! From a captured frame to the TCP segment inside it.

mod bytes;
mod checksum;
mod counters;
mod defrag;
mod ends;
mod ip;
mod labels;
mod link;
mod options;
mod plain;
mod reason;
mod recent;
mod segment;
mod tcp;
mod trust;
mod tunnel;
mod walk;

use std::collections::BTreeMap;

use crate::source::{LinkType, Packet};
use checksum::{Offload, Verdict};
pub use counters::DecodeCounters;
use defrag::Defrag;
pub use defrag::DefragLimits;
use ends::Ends;
pub use labels::{Label, ZoneRule, ZoneRules};
pub use options::{Checksums, DecodeOptions, TunnelPorts, UdpTunnel};
pub use reason::DropReason;
use recent::{Print, Recent};
pub(crate) use segment::mix;
pub use segment::{Carried, Clocks, Segment, TcpFlags};
pub use trust::TunnelTrust;
use walk::{Context, IpFacts, Layer, Step, Walk, Walked};

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
    trust: TunnelTrust,
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
            trust: options.trust,
            zones: options.zones,
        }
    }

    /// Decodes one packet. Packets are given in time order: fragments time out by their time.
    pub fn decode<'a>(&'a mut self, packet: &Packet<'a>) -> Decoded<'a> {
        if packet.link == LinkType::ETHERNET
            && let Some(frame) = plain::Frame::read(packet.data)
        {
            if frame.is_v6() {
                if let Some(inner) = frame.v6() {
                    return self.plain(&frame, &inner, packet);
                }
            } else if let Some(inner) = frame.v4() {
                return self.plain(&frame, &inner, packet);
            }
        }
        self.layers(packet)
    }

    #[inline]
    fn plain<'a, E: Ends>(
        &mut self,
        frame: &plain::Frame<'_>,
        inner: &plain::Inner<'a, E>,
        packet: &Packet<'_>,
    ) -> Decoded<'a> {
        let zone = if self.zones.0.is_empty() { 0 } else { self.zones.zone(packet.port, &frame.labels()) };
        self.judge.segment(&inner.head, frame.mac, &inner.ip, zone, packet)
    }

    /// Goes through the headers one by one, whatever they are.
    fn layers<'a>(&'a mut self, packet: &Packet<'a>) -> Decoded<'a> {
        let Decoder { defrag, whole: [outer, inner], judge, ports, trust, zones } = self;
        let mut cx = Context::new(ports, trust);
        let cut = packet.orig_len.saturating_sub(u32::try_from(packet.data.len()).unwrap_or(u32::MAX));
        let first = link::first_step(packet.link, Walk { data: packet.data, cut }, &mut cx);
        let fragment = match walk::walk(first, &mut cx) {
            Walked::Tcp(head) => return judge.end(&head, &cx, packet, zones),
            Walked::Fragment(fragment) => fragment,
            Walked::Other => return Decoded::Other,
            Walked::Dropped(reason) => return Decoded::Dropped(reason),
        };
        let layer = match judge.fragment(&fragment, &cx, packet, zones, defrag, outer) {
            Ok(layer) => layer,
            Err(decoded) => return decoded,
        };
        cx.disputed |= defrag.disputed;
        let fragment = match walk::walk(Step::Into(layer, Walk { data: outer, cut: 0 }), &mut cx) {
            Walked::Tcp(head) => return judge.end(&head, &cx, packet, zones),
            Walked::Fragment(fragment) => fragment,
            Walked::Other => return Decoded::Other,
            Walked::Dropped(reason) => return Decoded::Dropped(reason),
        };
        let layer = match judge.fragment(&fragment, &cx, packet, zones, defrag, inner) {
            Ok(layer) => layer,
            Err(decoded) => return decoded,
        };
        cx.disputed |= defrag.disputed;
        match walk::walk(Step::Into(layer, Walk { data: inner, cut: 0 }), &mut cx) {
            Walked::Tcp(head) => judge.end(&head, &cx, packet, zones),
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

    /// Entries that tables gave up, by table and reason; those that wait for the rest of a datagram will not get it any more.
    pub fn evictions(&self) -> BTreeMap<String, u64> {
        let all = [
            ("fragments-expired", self.defrag.expired),
            ("fragments-evicted", self.defrag.evicted),
            ("fragments-unfinished", self.defrag.waiting()),
        ];
        all.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| (name.to_owned(), n)).collect()
    }
}

impl Judge {
    /// The end of a walk through any headers.
    fn end<'a>(
        &mut self,
        head: &tcp::Head<'a>,
        cx: &Context<'_>,
        packet: &Packet<'_>,
        zones: &ZoneRules,
    ) -> Decoded<'a> {
        match self.segment(head, cx.mac, &cx.ip, zones.zone(packet.port, &cx.labels), packet) {
            Decoded::Segment(mut segment) => {
                segment.carried.disputed = cx.disputed;
                Decoded::Segment(segment)
            }
            other => other,
        }
    }

    #[inline(always)]
    fn segment<'a, E: Ends>(
        &mut self,
        head: &tcp::Head<'a, E>,
        mac: u64,
        ip: &IpFacts,
        zone: u16,
        packet: &Packet<'_>,
    ) -> Decoded<'a> {
        let whole = self.recent.reads_all();
        let print = (!self.recent.is_off()).then(|| Print::of_segment(head, mac, ip, zone, self.seed, whole));
        if print.is_some_and(|p| self.recent.is_copy(&p, packet.ts)) {
            self.counters.duplicates += 1;
            return Decoded::Other;
        }
        // Who sends in a tunnel that is not trusted may name any sender: nothing is learned of him.
        if self.checksums == Checksums::Auto && head.walk.cut == 0 && ip.foreign == 0 {
            match self.offload.judge(source(head.ends, mac, packet), head, ip) {
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
        self.counters.super_frames += u64::from(ip.unsized_ || head.walk.data.len() > LARGEST_FRAME);
        self.counters.tunnelled += u64::from(ip.inner);
        self.counters.foreign += u64::from(ip.foreign != 0);
        Decoded::Segment(head.segment(packet.ts, zone, ip))
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
            && cx.ip.foreign == 0
            && self.offload.judge_header(source(fragment.ends, cx.mac, packet), &cx.ip) == Verdict::Wrong
        {
            return Err(Decoded::Dropped(DropReason::BadChecksum));
        }
        let whole = self.recent.reads_all();
        let print = (!self.recent.is_off())
            .then(|| Print::of_fragment(fragment, cx.mac, &cx.ip, zone, self.seed, whole));
        if print.is_some_and(|p| self.recent.is_copy(&p, packet.ts)) {
            self.counters.duplicates += 1;
            return Err(Decoded::Other);
        }
        match defrag.add(fragment, (zone, cx.ip.foreign), packet.ts, &mut self.counters, out) {
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
fn source<E: Ends>(ends: E, mac: u64, packet: &Packet<'_>) -> u64 {
    let sender = if mac == 0 { ends.sender() } else { mac << 1 };
    sender ^ u64::from(packet.interface) << 52
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use sidetap_model::{Addr, Direction, Ts};
    use sidetap_testkit::{Conversation, Framing, LinkKind, Rng};

    use super::*;

    /// Frames of conversations, most of them with bytes changed, cut or added where headers are.
    fn frames(seed: u64) -> Vec<Vec<u8>> {
        let mut rng = Rng::new(seed);
        let mut out = Vec::new();
        for (v6, vlans) in
            [(false, &[][..]), (true, &[]), (false, &[5]), (true, &[5, 0]), (false, &[1, 2, 3])]
        {
            let ip = |host: u8| match v6 {
                true => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(host)]),
                false => IpAddr::from([192, 0, 2, host]),
            };
            let (client, server) = (Addr { ip: ip(1), port: 40000 }, Addr { ip: ip(2), port: 80 });
            let framing = Framing { link: LinkKind::Ethernet, vlans: vlans.to_vec(), ..Framing::default() };
            let mut talk = Conversation::new(client, server, framing, 5);
            let mut packets = Vec::new();
            let ts = talk.open(Ts(1_700_000_000_000_000_000), 1_000_000, &mut packets);
            let ts = talk.send(ts, Direction::Up, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 1000, &mut packets);
            let ts = talk.send(ts, Direction::Down, &[b'x'; 300], 130, &mut packets);
            talk.close(ts, Direction::Up, 1000, &mut packets);
            out.extend(packets.into_iter().map(|p| p.data));
        }
        for frame in out.iter_mut().flat_map(|frame| [0; 12].map(|_| frame.clone())).collect::<Vec<_>>() {
            let mut frame = frame;
            for _ in 0..rng.below(3) {
                let (at, bit) = (rng.below(70.min(frame.len() as u64)), rng.below(8));
                frame[at as usize] ^= 1 << bit;
            }
            match rng.below(8) {
                0 => frame.truncate(rng.below(frame.len() as u64) as usize),
                1 => frame.extend_from_slice(&[7; 9]),
                _ => {}
            }
            out.push(frame);
        }
        out
    }

    #[test]
    fn what_is_read_in_one_go_is_what_going_through_the_headers_gives() {
        let zones = ZoneRules(vec![ZoneRule {
            zone: 1,
            labels: vec![(Label::Vlan, vec![0..=9])],
            spread: Some(Label::Vlan),
            ..ZoneRule::default()
        }]);
        let mut fast = 0;
        for (seed, zones) in (0..200).map(|seed| (seed, if seed % 2 == 0 { &zones.0[..] } else { &[] })) {
            let options = || DecodeOptions { zones: ZoneRules(zones.to_vec()), ..DecodeOptions::default() };
            let (mut decoder, mut layers) = (Decoder::new(options()), Decoder::new(options()));
            for (n, data) in frames(seed).iter().enumerate() {
                let packet = Packet {
                    ts: Ts(1_700_000_000_000_000_000 + n as i64 * 50_000),
                    link: LinkType::ETHERNET,
                    interface: 0,
                    port: "",
                    data,
                    orig_len: data.len() as u32,
                    block: None,
                };
                let frame = plain::Frame::read(data);
                fast += usize::from(frame.is_some_and(|f| f.v4().is_some() || f.v6().is_some()));
                let (one, other) =
                    (format!("{:?}", decoder.decode(&packet)), format!("{:?}", layers.layers(&packet)));
                assert_eq!(one, other, "seed {seed} frame {n}: {data:02x?}");
            }
            assert_eq!(format!("{:?}", decoder.counters()), format!("{:?}", layers.counters()));
            assert_eq!(decoder.evictions(), layers.evictions());
        }
        assert!(fast > 50_000, "{fast}");
    }
}
