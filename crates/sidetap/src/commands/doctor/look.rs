//! A source that counts what the packets that pass through it show.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Serialize;
use sidetap_capture::{Decoded, Decoder, Packet, Segment, Source};
use sidetap_model::rows::{InputSummary, Summary};
use sidetap_model::{Addr, Ts};

use super::outer::outer;

/// Flows that are followed at most; later ones are not counted.
const FLOWS: usize = 200_000;
/// Segments that are remembered to find copies of them.
const RECENT: usize = 2_048;
/// A copy that comes this soon after its original is the mirror's, not the sender's.
const COPY_NANOS: i64 = 3_000_000;

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
    cut_bytes: u64,
    segments: u64,
    with_payload: u64,
    tagged: u64,
    tunnelled: u64,
    copies: u64,
    first: Option<Ts>,
    last: Option<Ts>,
    flows: HashMap<(u16, Addr, Addr), u8>,
    recent: VecDeque<(Ts, u64)>,
    index: HashMap<u64, Ts>,
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
    pub(super) cut_packets: f64,
    pub(super) duplicated_segments: f64,
    pub(super) tagged: f64,
    pub(super) encapsulated: f64,
    pub(super) flows: u64,
    pub(super) one_way_flows: f64,
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
        Look { source, decoder: Decoder::new(Default::default()), seen: Seen::default() }
    }

    /// What was seen, with what the pipeline made of it.
    pub(super) fn figures(&self, summary: &Summary) -> Figures {
        let seen = &self.seen;
        let streams = &summary.streams;
        let one_way = seen.flows.values().filter(|d| **d != BOTH).count() as u64;
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
            cut_packets: share(seen.cut, seen.packets),
            duplicated_segments: share(seen.copies, seen.with_payload),
            tagged: share(seen.tagged, seen.segments),
            encapsulated: share(seen.tunnelled, seen.segments),
            flows: seen.flows.len() as u64,
            one_way_flows: share(one_way, seen.flows.len() as u64),
            lost_bytes: share(streams.gap_bytes, streams.bytes + streams.gap_bytes),
            flows_by_protocol: streams.flows.clone(),
            encrypted_bytes: share(bytes_of(&["tls", "ssh", "quic"]), streams.bytes),
            unknown_bytes: share(bytes_of(&["unknown"]), streams.bytes),
            exchanges: summary.exchanges.total,
            whole_exchanges: share(summary.exchanges.complete, summary.exchanges.total),
            incomplete_reasons: summary.exchanges.incomplete_reasons.clone(),
        }
    }
}

const BOTH: u8 = 3;

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
            seen.segment(&segment);
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

impl Seen {
    fn packet(&mut self, packet: &Packet<'_>) {
        self.packets += 1;
        let cut = u64::from(packet.orig_len).saturating_sub(packet.data.len() as u64);
        self.cut += u64::from(cut > 0);
        self.cut_bytes += cut;
        self.first = self.first.or(Some(packet.ts));
        self.last = self.last.max(Some(packet.ts));
    }

    fn segment(&mut self, s: &Segment<'_>) {
        self.segments += 1;
        let (key, direction) = match s.src <= s.dst {
            true => ((s.zone, s.src, s.dst), 1),
            false => ((s.zone, s.dst, s.src), 2),
        };
        if let Some(directions) = self.flows.get_mut(&key) {
            *directions |= direction;
        } else if self.flows.len() < FLOWS {
            self.flows.insert(key, direction);
        }
        if !s.payload.is_empty() {
            self.with_payload += 1;
            self.copies += u64::from(self.is_copy(s));
        }
    }

    /// Whether the very same bytes passed a moment ago.
    fn is_copy(&mut self, s: &Segment<'_>) -> bool {
        let mut hasher = DefaultHasher::new();
        (s.zone, s.src, s.dst, s.seq, s.ack, s.payload.len()).hash(&mut hasher);
        s.payload.get(..s.payload.len().min(64)).hash(&mut hasher);
        let hash = hasher.finish();
        let before = self.index.insert(hash, s.ts);
        self.recent.push_back((s.ts, hash));
        if self.recent.len() > RECENT
            && let Some((ts, old)) = self.recent.pop_front()
            && self.index.get(&old) == Some(&ts)
        {
            self.index.remove(&old);
        }
        before.is_some_and(|ts| s.ts.since(ts) <= COPY_NANOS)
    }
}
