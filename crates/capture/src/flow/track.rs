use sidetap_model::{Anomaly, AnomalySet, Ts};

use super::app::{App, Ends};
use super::counters::Discard;
use super::half::{Half, Piece};
use super::{BASE, Cx, Mark};
use crate::decode::Segment;

/// Beyond this a hole that nobody acknowledged is not bridged at the end of a flow: what lies behind it was never in order.
const WIDEST_UNACKNOWLEDGED: u64 = 1 << 20;
/// So far from what is expected a reset or a FIN may lie to be believed.
const BELIEVABLE: u64 = 1 << 20;
/// Segments in a row whose place cannot be, after which the flow is taken for another one on the same addresses.
pub(super) const ASTRAY: u32 = 4;

/// One of the two ends, in the order of their addresses.
pub(crate) type Side = usize;

/// A connection: two directions, and what they carry.
pub(super) struct Flow {
    pub(super) half: [Half; 2],
    pub(super) app: App,
    /// A SYN that does not fit: the addresses are perhaps used again.
    resyn: Option<(Side, u32)>,
    packets: u32,
    /// Since when pieces wait that nothing moves.
    stall: Option<(u32, Ts)>,
    pub(super) bytes: u64,
    pub(super) has_data: bool,
    closed: bool,
}

/// What a segment says on the connection's identity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fit {
    /// It belongs to the flow.
    Same,
    /// It opens another connection on the same addresses; the flow is over.
    New,
    /// As [`Fit::New`], whose SYN came before: that of `Side` with this sequence number.
    NewSince(Side, u32),
    /// It is held against the flow but says nothing yet.
    Ignore,
}

impl Flow {
    pub(super) fn new(ends: Ends) -> Self {
        Flow {
            half: [Half::default(), Half::default()],
            app: App::new(ends),
            resyn: None,
            packets: 0,
            stall: None,
            bytes: 0,
            has_data: false,
            closed: false,
        }
    }

    /// Both directions are at their end, or one was reset.
    pub(super) fn is_closed(&self) -> bool {
        self.closed || self.half.iter().any(|h| h.reset) || self.half.iter().all(|h| h.eof)
    }

    /// Bytes that it holds.
    pub(super) fn held(&self) -> usize {
        self.half.iter().map(|h| h.held).sum::<usize>() + self.app.held()
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stall.is_some()
    }

    /// Whether a segment belongs to this connection or to a new one on the same addresses.
    pub(super) fn fit(&mut self, side: Side, seg: &Segment<'_>) -> Fit {
        let half = &self.half[side & 1];
        if seg.flags.syn() && !seg.flags.ack() {
            return self.fit_syn(side, seg.seq);
        }
        if let Some((syn_side, seq)) = self.resyn {
            let after = seq.wrapping_add(1);
            let answers = seg.flags.syn() && seg.flags.ack() && side != syn_side && seg.ack == after;
            let continues = side == syn_side && !seg.flags.rst() && seg.seq == after;
            if answers || continues {
                return Fit::NewSince(syn_side, seq);
            }
        }
        if seg.flags.syn() && half.is_started() && half.syn != Some(seg.seq) && !half.may_begin_with(seg.seq)
        {
            return if self.is_closed() { Fit::New } else { Fit::Ignore };
        }
        if half.astray >= ASTRAY { Fit::New } else { Fit::Same }
    }

    fn fit_syn(&mut self, side: Side, seq: u32) -> Fit {
        let half = &self.half[side & 1];
        if half.syn == Some(seq) || !half.is_started() || half.may_begin_with(seq) {
            return Fit::Same;
        }
        if self.is_closed() || !self.has_data {
            return Fit::New;
        }
        self.resyn = Some((side, seq));
        Fit::Ignore
    }

    /// Notes the SYN of a connection whose other packets follow.
    pub(super) fn opened_by(&mut self, side: Side, seq: u32) {
        let half = &mut self.half[side & 1];
        half.seen = true;
        half.syn = Some(seq);
        half.start(seq.wrapping_add(1), true);
        self.app.opened_by(side);
    }

    /// Takes a segment that fits.
    pub(super) fn segment(&mut self, side: Side, seg: &Segment<'_>, cx: &mut Cx<'_>) {
        let other = side ^ 1;
        self.packets = self.packets.wrapping_add(1);
        self.bytes += seg.payload.len() as u64;
        self.half[side & 1].seen = true;
        self.handshake(side, seg);
        let ack = if seg.flags.ack() && !seg.flags.rst() { self.acknowledge(other, seg) } else { None };
        self.app.acknowledged(self.half[0].acked, self.half[1].acked);
        self.app.joined(self.half.iter().all(Half::is_certain));
        self.app.sides_seen(self.half[0].seen && self.half[1].seen);
        let half = &mut self.half[side & 1];
        let first = seg.seq.wrapping_add(u32::from(seg.flags.syn()));
        let has_bytes = !seg.payload.is_empty() || seg.snapped > 0;
        if !half.is_started() && (has_bytes || seg.flags.fin()) {
            half.start(first, false);
        }
        let Some(off) = half.place(first).filter(|_| half.is_started()) else {
            self.unplaced(side, seg, cx);
            return;
        };
        self.half[side & 1].astray = 0;
        if has_bytes {
            self.has_data = true;
            let mark = Mark { off, ts: seg.ts, ack };
            self.payload(side, seg, mark, cx);
        }
        self.ending(side, seg, off);
        self.settle(seg.ts, cx);
    }

    fn unplaced(&mut self, side: Side, seg: &Segment<'_>, cx: &mut Cx<'_>) {
        let half = &mut self.half[side & 1];
        if half.is_started() {
            cx.counters.discard(Discard::OutsideWindow, seg.payload.len());
            if !seg.payload.is_empty() {
                half.astray += 1;
            }
        } else if seg.flags.rst() {
            half.reset = true;
        }
    }

    fn handshake(&mut self, side: Side, seg: &Segment<'_>) {
        if !seg.flags.syn() {
            return;
        }
        let start = seg.seq.wrapping_add(1);
        let half = &mut self.half[side & 1];
        if !half.is_started() {
            half.start(start, true);
        }
        half.confirm(start);
        half.syn.get_or_insert(seg.seq);
        self.app.opened_by(if seg.flags.ack() { side ^ 1 } else { side });
    }

    /// What a side acknowledges tells where the other one's bytes begin, where that was not seen.
    fn acknowledge(&mut self, other: Side, seg: &Segment<'_>) -> Option<u64> {
        let by = &self.half[(other ^ 1) & 1];
        let before_any_data = by.syn.is_some() && by.next == BASE && by.pending.is_empty();
        let certain = seg.flags.syn() || (before_any_data && by.place(seg.seq) == Some(BASE));
        let half = &mut self.half[other & 1];
        if !half.is_started() {
            half.start(seg.ack, certain);
        }
        half.acknowledge(seg.ack)
    }

    fn payload(&mut self, side: Side, seg: &Segment<'_>, mark: Mark, cx: &mut Cx<'_>) {
        let half = &mut self.half[side & 1];
        let (mut data, mut mark) = (seg.payload, mark);
        let end = mark.off + data.len() as u64;
        if half.eof && end > half.next {
            cx.counters.discard(Discard::AfterClose, data.len());
            self.app.odd(Anomaly::TcpDataAfterClose);
            return;
        }
        if end + u64::from(seg.snapped) <= half.next {
            let probe = data.len() == 1 && end == half.next;
            cx.counters.discard(if probe { Discard::KeepAlive } else { Discard::Retransmitted }, data.len());
            return;
        }
        if seg.flags.syn() {
            self.app.odd(Anomaly::TcpSynData);
        }
        if seg.flags.urg() && seg.urgent > 0 {
            self.app.odd(Anomaly::TcpUrgent);
        }
        let half = &mut self.half[side & 1];
        if mark.off < half.next {
            let old = ((half.next - mark.off) as usize).min(data.len());
            cx.counters.discard(Discard::Overlap, old);
            data = data.get(old..).unwrap_or_default();
            mark.off = half.next;
        }
        if mark.off == half.next && half.pending.is_empty() && self.is_due(side, mark.ack) {
            self.deliver(side, data, seg.snapped, mark, cx);
            return;
        }
        let piece =
            Piece { off: mark.off, data: data.to_vec(), snapped: seg.snapped, ts: mark.ts, ack: mark.ack };
        if self.half[side & 1].keep(piece, cx.counters) {
            self.app.odd(Anomaly::TcpOverlapDiffers);
        }
    }

    /// A piece is due once the other direction was delivered as far as its sender had received it: so causes come before
    /// effects, also where the mirror shows them the other way round.
    fn is_due(&self, side: Side, ack: Option<u64>) -> bool {
        let other = &self.half[(side ^ 1) & 1];
        ack.is_none_or(|ack| {
            ack <= other.next.max(other.given_up) || !other.seen || other.fin.is_some_and(|f| f < ack)
        })
    }

    fn deliver(&mut self, side: Side, data: &[u8], snapped: u32, mark: Mark, cx: &mut Cx<'_>) {
        cx.counters.delivered += data.len() as u64;
        self.half[side & 1].advance(data.len() as u64);
        self.stall = None;
        if !data.is_empty() {
            self.app.data(side, data, mark, cx);
        }
        if snapped > 0 {
            self.app.snapped();
            self.gap(side, u64::from(snapped), cx);
        }
    }

    fn gap(&mut self, side: Side, len: u64, cx: &mut Cx<'_>) {
        let half = &mut self.half[side & 1];
        cx.counters.gap_bytes += len;
        half.advance(len);
        let at = half.next;
        if half.acked >= at {
            self.app.odd(Anomaly::TcpAckUnseen);
        }
        self.stall = None;
        self.app.gap(side, len, at, cx);
    }

    fn ending(&mut self, side: Side, seg: &Segment<'_>, off: u64) {
        let half = &mut self.half[side & 1];
        let believable = off.abs_diff(half.next) <= BELIEVABLE || off <= half.furthest();
        if seg.flags.fin() && believable && half.fin.is_none() {
            half.fin = Some(off + seg.payload.len() as u64 + u64::from(seg.snapped));
        }
        if seg.flags.rst() && believable {
            half.reset = true;
        }
    }

    /// Delivers all that is due, and gives up waiting for what has been waited for long enough.
    fn settle(&mut self, now: Ts, cx: &mut Cx<'_>) {
        loop {
            while self.deliver_due(0, cx) || self.deliver_due(1, cx) {}
            if self.half.iter().all(|h| h.pending.is_empty()) {
                self.stall = None;
                return;
            }
            if self.is_over_bound(cx) && self.bridge(Force::Bound, cx) {
                continue;
            }
            let (packets, since) = *self.stall.get_or_insert((self.packets, now));
            let waited = self.packets.wrapping_sub(packets) >= cx.limits.reorder_packets
                || now.since(since) >= cx.limits.reorder_time;
            if !waited || !self.bridge(Force::Acknowledged, cx) {
                return;
            }
        }
    }

    /// Time passed: what waited since before is not waited for any longer.
    pub(super) fn expire_stall(&mut self, cx: &mut Cx<'_>) {
        while self.stall.is_some() && self.bridge(Force::Acknowledged, cx) {
            while self.deliver_due(0, cx) || self.deliver_due(1, cx) {}
        }
    }

    fn deliver_due(&mut self, side: Side, cx: &mut Cx<'_>) -> bool {
        let half = &self.half[side & 1];
        let due = half.first_pending().is_some_and(|p| p.off <= half.next && self.is_due(side, p.ack));
        if due && let Some(piece) = self.half[side & 1].take_first(cx.counters) {
            let mark = Mark { off: piece.off, ts: piece.ts, ack: piece.ack };
            self.deliver(side, &piece.data, piece.snapped, mark, cx);
        }
        let half = &mut self.half[side & 1];
        if !half.eof && half.fin.is_some_and(|fin| fin <= half.next) {
            half.eof = true;
            let at = half.next;
            self.app.eof(side, at, cx);
            if self.half.iter().all(|h| h.eof) {
                self.app.finish(cx);
            }
        }
        due
    }

    fn is_over_bound(&self, cx: &Cx<'_>) -> bool {
        let over =
            |h: &Half| h.held > cx.limits.direction_bytes || h.pending.len() > cx.limits.direction_pieces;
        self.half.iter().any(over)
    }

    /// Goes on over one thing that was waited for: a hole, or the other direction. False where there is none to go over.
    fn bridge(&mut self, force: Force, cx: &mut Cx<'_>) -> bool {
        let first = |side: Side| self.half[side & 1].first_pending().map(|p| (p.ts, side));
        let order = match (first(0), first(1)) {
            (Some(a), Some(b)) if b.0 < a.0 => [1, 0],
            _ => [0, 1],
        };
        order.into_iter().any(|side| self.bridge_side(side, force, cx))
    }

    fn bridge_side(&mut self, side: Side, force: Force, cx: &mut Cx<'_>) -> bool {
        let (half, other) = (&self.half[side & 1], &self.half[(side ^ 1) & 1]);
        let Some((off, ack)) = half.first_pending().map(|p| (p.off, p.ack)) else { return false };
        if off > half.next {
            let known = half.acked >= off || !other.seen;
            let wide = off - half.next > WIDEST_UNACKNOWLEDGED;
            if known || force == Force::Bound || (force == Force::End && !wide) {
                self.gap(side, off - half.next, cx);
                return true;
            }
            return false;
        }
        let ack = ack.unwrap_or(0);
        match other.first_pending().map(|p| p.off) {
            Some(beyond) if beyond > other.next && beyond <= ack => {
                self.gap(side ^ 1, beyond - other.next, cx);
            }
            _ => self.half[(side ^ 1) & 1].given_up = ack,
        }
        true
    }

    /// The flow is over: delivers what can be, and lets the rest go.
    pub(super) fn finish(&mut self, cx: &mut Cx<'_>) {
        loop {
            while self.deliver_due(0, cx) || self.deliver_due(1, cx) {}
            if !self.bridge(Force::End, cx) {
                break;
            }
        }
        for half in &mut self.half {
            for piece in half.pending.drain(..) {
                cx.counters.discard(Discard::BeyondGap, piece.data.len());
            }
            half.held = 0;
        }
        for side in [0, 1] {
            self.missed_end(side, cx);
        }
        self.app.finish(cx);
        self.closed = true;
    }

    /// What the other side acknowledged, or the FIN stands behind, was sent: bytes that never came are a gap at the end too.
    fn missed_end(&mut self, side: Side, cx: &mut Cx<'_>) {
        let half = &self.half[side & 1];
        // Without its FIN, an acknowledgement of one byte more may be that of the FIN.
        let end = half.fin.unwrap_or(half.acked.saturating_sub(1));
        if half.is_started() && !half.eof && half.seen && end > half.next {
            self.gap(side, end - half.next, cx);
        }
    }

    /// The table needs room: what waits is let go, exchanges are cut short.
    pub(super) fn evict(&mut self, cx: &mut Cx<'_>) {
        for half in &mut self.half {
            for piece in half.pending.drain(..) {
                cx.counters.discard(Discard::Evicted, piece.data.len());
            }
            half.held = 0;
        }
        self.app.evicted();
        self.app.finish(cx);
        self.closed = true;
    }

    pub(super) fn flow_anomalies(&self) -> &AnomalySet {
        self.app.odd_left()
    }
}

/// What is bridged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Force {
    /// What the receiver acknowledged, and so had.
    Acknowledged,
    /// Anything: too much waits.
    Bound,
    /// Anything that is not too wide: the flow is over.
    End,
}
