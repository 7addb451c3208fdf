//! Runs packets through capture as the pipeline does: a file, the decoder, one flow table a logical shard.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sidetap_capture::{DecodeOptions, Decoded, Decoder, FlowLimits, FlowTable, Source, open_files};
use sidetap_model::{Anomaly, Exchange, Ts, Zone};
use sidetap_testkit::{LinkKind, Packet, PcapForm, pcap_bytes};

/// What capture made of packets.
#[allow(dead_code)]
pub(crate) struct Seen {
    /// The exchanges, in order of time.
    pub(crate) exchanges: Vec<Exchange>,
    /// Bytes of streams that were never seen.
    pub(crate) gap_bytes: u64,
    /// Anomalies that were told of flows, not of an exchange.
    pub(crate) flow_anomalies: Vec<&'static str>,
}

/// What capture makes of these packets.
pub(crate) fn run(packets: &[Packet], link: LinkKind) -> Seen {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.pcap");
    std::fs::write(&path, pcap_bytes(packets, link, PcapForm::Nanos)).unwrap();
    run_file(&path)
}

/// What capture makes of a file.
pub(crate) fn run_file(path: &Path) -> Seen {
    let mut files = open_files(&[path.to_path_buf()]).unwrap();
    let mut decoder = Decoder::new(DecodeOptions::default());
    let mut tables: BTreeMap<u8, FlowTable> = BTreeMap::new();
    let zones: Arc<[Zone]> = Arc::new([Zone::default()]);
    let (mut out, mut ticked) = (Vec::new(), Ts::default());
    while let Some(packet) = files.next_packet() {
        let now = packet.ts;
        if now.since(ticked) >= 1_000_000_000 {
            ticked = now;
            tables.values_mut().for_each(|t| t.tick(now, &mut |e| out.push(e)));
        }
        if let Decoded::Segment(segment) = decoder.decode(&packet) {
            let shard = segment.shard();
            let table = tables.entry(shard).or_insert_with(|| {
                let mut table = FlowTable::new(shard, &FlowLimits::default(), zones.clone());
                table.tick(ticked, &mut |_| {});
                table
            });
            table.segment(&segment, &mut |e| out.push(e));
        }
    }
    tables.values_mut().for_each(|t| t.finish(&mut |e| out.push(e)));
    out.sort_by_key(|e| (e.ts, e.flow_id, e.seq));
    let gap_bytes = tables.values().map(|t| t.counters().streams().gap_bytes).sum();
    let codes = tables.values().flat_map(|t| t.counters().anomalies().map(Anomaly::code).collect::<Vec<_>>());
    Seen { exchanges: out, gap_bytes, flow_anomalies: codes.collect() }
}
