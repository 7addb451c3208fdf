use std::sync::Arc;

use sidetap_capture::{Block, Carried, Clocks, Segment, TcpFlags};
use sidetap_model::{Addr, Ts};

use crate::flagged::Frame;

/// Segments on their way from the reader to a worker: their payloads in the source's blocks, or end to end in one buffer.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    data: Vec<u8>,
    blocks: Vec<Block>,
    heads: Vec<Head>,
    /// Bytes of payloads.
    bytes: usize,
    /// The packets that the segments came in, end to end, where they are wanted: as many as segments, or none.
    frames: Vec<u8>,
    wires: Vec<Wire>,
}

/// A packet in [`Batch::frames`].
#[derive(Debug)]
struct Wire {
    number: u64,
    ts: Ts,
    link: u16,
    orig_len: u32,
    len: u32,
}

#[derive(Debug)]
struct Head {
    shard: u8,
    zone: u16,
    src: Addr,
    dst: Addr,
    ts: Ts,
    seq: u32,
    ack: u32,
    flags: TcpFlags,
    window: u16,
    urgent: u16,
    clocks: Option<Clocks>,
    carried: Carried,
    snapped: u32,
    /// Of `blocks`, or [`Batch::OWN`].
    block: u32,
    start: u32,
    len: u32,
}

impl Batch {
    const MAX_BYTES: usize = 256 * 1024;
    const MAX_SEGMENTS: usize = 1024;
    /// Blocks held at once: a few bytes in each must not keep all of them.
    const MAX_BLOCKS: usize = 2;
    const OWN: u32 = u32::MAX;

    /// Puts a segment of `shard` in. A payload that is part of `block` stays there, others are copied.
    pub(crate) fn push(&mut self, shard: u8, s: &Segment<'_>, block: Option<&Block>) {
        let (block, start) = self.place(s.payload, block);
        self.bytes += s.payload.len();
        self.heads.push(Head {
            shard,
            zone: s.zone,
            src: s.src,
            dst: s.dst,
            ts: s.ts,
            seq: s.seq,
            ack: s.ack,
            flags: s.flags,
            window: s.window,
            urgent: s.urgent,
            clocks: s.clocks,
            carried: s.carried,
            snapped: s.snapped,
            block,
            start,
            len: u32::try_from(s.payload.len()).unwrap_or(u32::MAX),
        });
    }

    fn place(&mut self, payload: &[u8], block: Option<&Block>) -> (u32, u32) {
        if let Some(block) = block
            && let Some(start) = payload.as_ptr().addr().checked_sub(block.as_ptr().addr())
            && start + payload.len() <= block.len()
            && let Ok(start) = u32::try_from(start)
        {
            if payload.is_empty() {
                return (Self::OWN, 0);
            }
            if self.blocks.last().is_some_and(|last| Arc::ptr_eq(last, block)) {
                return (self.blocks.len() as u32 - 1, start);
            }
            if self.blocks.len() < Self::MAX_BLOCKS {
                self.blocks.push(Arc::clone(block));
                return (self.blocks.len() as u32 - 1, start);
            }
        }
        let start = self.data.len() as u32;
        self.data.extend_from_slice(payload);
        (Self::OWN, start)
    }

    /// Copies the packet of the last segment in.
    pub(crate) fn push_frame(&mut self, f: &Frame<'_>) {
        self.frames.extend_from_slice(f.data);
        let len = u32::try_from(f.data.len()).unwrap_or(u32::MAX);
        self.wires.push(Wire { number: f.number, ts: f.ts, link: f.link, orig_len: f.orig_len, len });
    }

    /// The packets, one a segment; none where they are not wanted.
    pub(crate) fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        let mut at = 0usize;
        self.wires.iter().map(move |w| {
            let end = at.saturating_add(w.len as usize);
            let data = self.frames.get(at..end).unwrap_or_default();
            at = end;
            Frame { number: w.number, ts: w.ts, link: w.link, orig_len: w.orig_len, data }
        })
    }

    /// True where it should be sent on before more is put in.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= Self::MAX_BYTES || self.heads.len() >= Self::MAX_SEGMENTS
    }

    /// True where nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Number of segments.
    pub(crate) fn len(&self) -> usize {
        self.heads.len()
    }

    /// Empties it, keeping its room.
    pub(crate) fn clear(&mut self) {
        self.data.clear();
        self.blocks.clear();
        self.bytes = 0;
        self.frames.clear();
        self.wires.clear();
        self.heads.clear();
    }

    /// Each segment with its logical shard.
    pub(crate) fn segments(&self) -> impl Iterator<Item = (u8, Segment<'_>)> {
        self.heads.iter().map(|h| {
            let bytes = self.blocks.get(h.block as usize).map_or(&self.data, |b| b.as_ref());
            let start = h.start as usize;
            let payload = bytes.get(start..start.saturating_add(h.len as usize)).unwrap_or_default();
            let segment = Segment {
                zone: h.zone,
                src: h.src,
                dst: h.dst,
                ts: h.ts,
                seq: h.seq,
                ack: h.ack,
                flags: h.flags,
                window: h.window,
                payload,
                snapped: h.snapped,
                urgent: h.urgent,
                clocks: h.clocks,
                carried: h.carried,
            };
            (h.shard, segment)
        })
    }
}
