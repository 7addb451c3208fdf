use sidetap_model::Ts;

use super::counters::{Discard, FlowCounters};
use super::track::{Flow, Side};
use crate::decode::{Carried, Clocks, Segment, TcpFlags};

/// Strays of a connection kept at most, and bytes of them.
const MOST: usize = 16;
const ROOM: usize = 32 << 10;
/// So much lies between what one side sent and what the other acknowledges of it, in a connection that has just begun.
const SOON: u32 = 1 << 20;

/// A segment whose numbers cannot be those of its connection: perhaps another one has begun on the same addresses, unseen.
#[derive(Debug)]
pub(super) struct Stray {
    pub(super) side: Side,
    ts: Ts,
    seq: u32,
    ack: u32,
    flags: TcpFlags,
    window: u16,
    urgent: u16,
    snapped: u32,
    clocks: Option<Clocks>,
    carried: Carried,
    data: Vec<u8>,
}

impl Stray {
    /// The segment that it was, on the addresses of one like it.
    pub(super) fn segment<'a>(&'a self, side: Side, like: &Segment<'a>) -> Segment<'a> {
        let (src, dst) = if self.side == side { (like.src, like.dst) } else { (like.dst, like.src) };
        Segment {
            zone: like.zone,
            src,
            dst,
            ts: self.ts,
            seq: self.seq,
            ack: self.ack,
            flags: self.flags,
            window: self.window,
            payload: &self.data,
            snapped: self.snapped,
            urgent: self.urgent,
            clocks: self.clocks,
            carried: self.carried,
        }
    }
}

impl Flow {
    /// Keeps a segment that was discarded, should it turn out to be the beginning of another connection.
    pub(super) fn keep_stray(&mut self, side: Side, seg: &Segment<'_>) {
        if self.strays.len() >= MOST || self.stray_bytes() + seg.payload.len() > ROOM {
            return;
        }
        self.strays.push(Stray {
            side,
            ts: seg.ts,
            seq: seg.seq,
            ack: seg.ack,
            flags: seg.flags,
            window: seg.window,
            urgent: seg.urgent,
            snapped: seg.snapped,
            clocks: seg.clocks,
            carried: seg.carried,
            data: seg.payload.to_vec(),
        });
    }

    pub(super) fn stray_bytes(&self) -> usize {
        self.strays.iter().map(|s| s.data.len()).sum()
    }

    /// Whether a segment and a stray of the other side agree on numbers that the connection cannot have: what the one has
    /// received is where the other begins, and the other way round.
    pub(super) fn agrees_with_stray(&self, side: Side, seg: &Segment<'_>) -> bool {
        let foreign = || self.half[side & 1].is_started() && self.half[side & 1].place(seg.seq).is_none();
        let agrees = |s: &Stray| {
            let heard = seg.ack.wrapping_sub(s.seq);
            s.side != side && s.flags.ack() && s.ack == seg.seq && (1..=SOON).contains(&heard)
        };
        !self.strays.is_empty()
            && seg.flags.ack()
            && !seg.flags.rst()
            && self.strays.iter().any(agrees)
            && foreign()
    }

    /// The strays, which count as discarded no longer.
    pub(super) fn take_strays(&mut self, counters: &mut FlowCounters) -> Vec<Stray> {
        let bytes = self.stray_bytes();
        counters.take_back(Discard::OutsideWindow, bytes);
        self.bytes = self.bytes.saturating_sub(bytes as u64);
        std::mem::take(&mut self.strays)
    }
}
