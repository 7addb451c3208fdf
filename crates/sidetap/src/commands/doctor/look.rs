//! A source that counts what the packets that pass through it show.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use serde::Serialize;
use sidetap_capture::{Checksums, DecodeOptions, Decoded, Decoder, Packet, Segment, Source};
use sidetap_model::Ts;
use sidetap_model::rows::{InputSummary, Summary};

use super::flows::{Clients, Flows};
use super::outer::{Outer, outer};
use super::sums::Sums;

/// Segments that are remembered to find copies of them.
const RECENT: usize = 65_536;
/// A copy that comes this soon after its original is the mirror's, not the sender's.
const COPY_NANOS: i64 = 3_000_000;
/// So is one with the same identification of the outermost IPv4, which a sender does not use twice so soon.
const SAME_NANOS: i64 = 100_000_000;

/// A source with somebody who looks over its shoulder.
pub(super) struct Look<S> {
    source: S,
    decoder: Decoder,
    seen: Seen,
}

#[derive(Default)]
struct Seen {
    packets: u64,
    cut: u64,
    kept_of_cut: usize,
    segments: u64,
    with_payload: u64,
    tagged: u64,
    tunnelled: u64,
    copies: u64,
    first: Option<Ts>,
    last: Option<Ts>,
    twins: u64,
    large: u64,
    requests: u64,
    forwarded: u64,
    sums: Sums,
    flows: Flows,
    recent: VecDeque<(Ts, u64)>,
    index: HashMap<u64, (Ts, u16, u16)>,
}

/// What was seen; shares are of 1.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(super) inputs: Vec<InputSummary>,
    pub(super) packets: u64,
    pub(super) seconds: f64,
    pub(super) tcp_segments: u64,
    pub(super) not_decoded: BTreeMap<String, u64>,
    pub(super) kernel_dropped: u64,
    /// Datagrams of which fragments never came.
    pub(super) parted_datagrams: u64,
    pub(super) cut_packets: f64,
    /// Bytes kept of the longest packet that was cut.
    pub(super) cut_at: usize,
    pub(super) duplicated_segments: f64,
    /// Those of the copies that came on another VLAN than the first.
    pub(super) vlan_twins: f64,
    /// Segments larger than what was on the wire.
    pub(super) super_frames: f64,
    /// Wrong TCP checksums of senders whose card fills them in later.
    pub(super) offloaded_checksums: f64,
    /// Other wrong TCP checksums.
    pub(super) damaged_checksums: f64,
    pub(super) tagged: f64,
    pub(super) encapsulated: f64,
    /// Of all segments those of tunnels that are not trusted.
    pub(super) untrusted: f64,
    pub(super) flows: u64,
    pub(super) one_way_flows: f64,
    pub(super) only_client_side: f64,
    pub(super) only_server_side: f64,
    /// The address that opens most connections, and the share that it opens.
    pub(super) busiest_client: Option<IpAddr>,
    pub(super) busiest_client_flows: f64,
    /// The addresses that open most, each with its share.
    pub(super) busiest_clients: Vec<(IpAddr, f64)>,
    /// Requests that name a client in a forwarding header.
    pub(super) forwarded_requests: f64,
    /// Share of bytes that came, where it is much the same all the time.
    pub(super) sampled: Option<f64>,
    /// What packet times did to the clock.
    pub(super) clock: BTreeMap<String, u64>,
    pub(super) lost_bytes: f64,
    pub(super) flows_by_protocol: BTreeMap<String, u64>,
    pub(super) encrypted_bytes: f64,
    pub(super) unknown_bytes: f64,
    pub(super) exchanges: u64,
    pub(super) whole_exchanges: f64,
    pub(super) incomplete_reasons: BTreeMap<String, u64>,
}

impl<S: Source> Look<S> {
    /// Looks at `source`.
    pub(super) fn new(source: S) -> Self {
        // Copies and wrong checksums are what is looked for here.
        let options =
            DecodeOptions { duplicate_window: 0, checksums: Checksums::Ignore, ..DecodeOptions::default() };
        Look { source, decoder: Decoder::new(options), seen: Seen::default() }
    }

    /// What was seen, with what the pipeline made of it.
    pub(super) fn figures(&self, summary: &Summary) -> Figures {
        let seen = &self.seen;
        let streams = &summary.streams;
        let Clients { most, only_requests, only_responses } = seen.flows.clients();
        let (offloaded_checksums, damaged_checksums) = seen.sums.shares();
        let bytes_of =
            |names: &[&str]| names.iter().filter_map(|n| streams.bytes_by_protocol.get(*n)).sum::<u64>();
        let nanos = seen.last.zip(seen.first).map_or(0, |(last, first)| last.since(first));
        Figures {
            inputs: summary.inputs.clone(),
            packets: summary.packets.total,
            seconds: nanos as f64 / 1e9,
            tcp_segments: seen.segments,
            not_decoded: summary.packets.dropped.clone(),
            kernel_dropped: summary.packets.kernel_dropped,
            parted_datagrams: ["fragments-expired", "fragments-evicted", "fragments-unfinished"]
                .iter()
                .filter_map(|name| summary.evictions.get(*name))
                .sum(),
            cut_packets: share(seen.cut, seen.packets),
            cut_at: seen.kept_of_cut,
            duplicated_segments: share(seen.copies, seen.with_payload),
            vlan_twins: share(seen.twins, seen.with_payload),
            super_frames: share(seen.large, seen.with_payload),
            offloaded_checksums,
            damaged_checksums,
            tagged: share(seen.tagged, seen.segments),
            encapsulated: share(seen.tunnelled, seen.segments),
            untrusted: share(
                summary.packets.noted.get("tunnel-untrusted").copied().unwrap_or(0),
                seen.segments,
            ),
            flows: seen.flows.len(),
            one_way_flows: only_requests + only_responses,
            only_client_side: only_requests,
            only_server_side: only_responses,
            busiest_client: most.first().map(|(ip, _)| *ip),
            busiest_client_flows: most.first().map_or(0.0, |(_, share)| *share),
            busiest_clients: most,
            forwarded_requests: share(seen.forwarded, seen.requests),
            // Where exchanges are whole nothing is left out.
            sampled: seen.flows.even_share().filter(|share| {
                *share < SAMPLE && summary.exchanges.complete * 10 < summary.exchanges.total * 9
            }),
            clock: summary.clock.clone(),
            lost_bytes: share(streams.gap_bytes, streams.bytes + streams.gap_bytes),
            flows_by_protocol: streams.flows.clone(),
            encrypted_bytes: share(bytes_of(&["tls", "ssh"]), streams.bytes),
            unknown_bytes: share(bytes_of(&["unknown"]), streams.bytes),
            exchanges: summary.exchanges.total,
            whole_exchanges: share(summary.exchanges.complete, summary.exchanges.total),
            incomplete_reasons: summary.exchanges.incomplete_reasons.clone(),
        }
    }
}

/// A mirror that shows less than this all the time is a sample.
const SAMPLE: f64 = 0.7;
/// Larger than any frame on the wire, jumbo frames included.
const LARGEST_FRAME: u32 = 9_216;
/// Payloads of full segments, with and without timestamps, over IPv4 and IPv6.
const FULL_SEGMENTS: [usize; 4] = [1448, 1460, 1428, 1440];

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl<S: Source> Source for Look<S> {
    fn next_packet(&mut self) -> Option<Packet<'_>> {
        let Look { source, decoder, seen } = self;
        let packet = source.next_packet()?;
        seen.packet(&packet);
        if let Decoded::Segment(segment) = decoder.decode(&packet) {
            let around = outer(&packet);
            seen.tagged += u64::from(around.tagged);
            seen.tunnelled += u64::from(around.tunnelled);
            seen.segment(&segment, &around);
            seen.large += u64::from(is_super_frame(&packet, &segment));
            if let Some(ip) = around.ip.filter(|_| !around.tunnelled) {
                seen.sums.packet(&packet, ip);
            }
        }
        Some(packet)
    }

    fn idle(&self) -> bool {
        self.source.idle()
    }

    fn inputs(&self) -> Vec<InputSummary> {
        self.source.inputs()
    }

    fn kernel_dropped(&self) -> u64 {
        self.source.kernel_dropped()
    }

    fn keeps_time(&self) -> bool {
        self.source.keeps_time()
    }

    fn clock(&self) -> Vec<(&'static str, u64)> {
        self.source.clock()
    }

    fn bytes_read(&self) -> u64 {
        self.source.bytes_read()
    }

    fn bytes_total(&self) -> Option<u64> {
        self.source.bytes_total()
    }
}

/// Several segments in one: larger than a frame may be, or several full ones long.
fn is_super_frame(packet: &Packet<'_>, s: &Segment<'_>) -> bool {
    let len = s.payload.len() + s.snapped as usize;
    packet.orig_len > LARGEST_FRAME
        || FULL_SEGMENTS.iter().any(|full| len > *full && len.is_multiple_of(*full))
}

impl Seen {
    fn packet(&mut self, packet: &Packet<'_>) {
        self.packets += 1;
        if packet.orig_len as usize > packet.data.len() {
            self.cut += 1;
            self.kept_of_cut = self.kept_of_cut.max(packet.data.len());
        }
        self.first = self.first.or(Some(packet.ts));
        self.last = self.last.max(Some(packet.ts));
    }

    fn segment(&mut self, s: &Segment<'_>, around: &Outer) {
        self.segments += 1;
        if s.payload.is_empty() {
            self.flows.segment(s);
            return;
        }
        self.with_payload += 1;
        if let Some(vlan) = self.copy_of(s, around) {
            self.copies += 1;
            self.twins += u64::from(vlan != around.vlan);
            return;
        }
        self.flows.segment(s);
        if is_request(s.payload) {
            self.requests += 1;
            self.forwarded += u64::from(names_client(s.payload));
        }
    }

    /// The VLAN on which the very same bytes passed a moment ago.
    fn copy_of(&mut self, s: &Segment<'_>, around: &Outer) -> Option<u16> {
        let mut hasher = DefaultHasher::new();
        (s.zone, s.src, s.dst, s.seq, s.ack, s.payload.len()).hash(&mut hasher);
        s.payload.get(..s.payload.len().min(64)).hash(&mut hasher);
        let hash = hasher.finish();
        let before = self.index.insert(hash, (s.ts, around.vlan, around.id));
        self.recent.push_back((s.ts, hash));
        if self.recent.len() > RECENT
            && let Some((ts, old)) = self.recent.pop_front()
            && self.index.get(&old).is_some_and(|(last, ..)| *last == ts)
        {
            self.index.remove(&old);
        }
        let (ts, vlan, id) = before?;
        let within = if id == around.id && id != 0 { SAME_NANOS } else { COPY_NANOS };
        (s.ts.since(ts) <= within).then_some(vlan)
    }
}

fn is_request(payload: &[u8]) -> bool {
    const METHODS: [&[u8]; 7] =
        [b"GET /", b"POST /", b"PUT /", b"PATCH /", b"DELETE /", b"HEAD /", b"OPTIONS /"];
    METHODS.iter().any(|m| payload.starts_with(m))
}

/// Whether a head has a field that proxies name the client in.
fn names_client(head: &[u8]) -> bool {
    const FIELDS: [&[u8]; 5] =
        [b"x-forwarded-for:", b"forwarded:", b"x-real-ip:", b"true-client-ip:", b"cf-connecting-ip:"];
    head.split(|b| *b == b'\n').any(|line| {
        FIELDS.iter().any(|f| line.get(..f.len()).is_some_and(|start| start.eq_ignore_ascii_case(f)))
    })
}
