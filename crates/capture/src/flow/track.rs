use sidetap_model::{Anomaly, AnomalySet, Completeness, Ts};

use super::app::{App, Ends};
use super::counters::{Discard, Ended};
use super::half::{Half, Piece};
use super::kind::Kind;
use super::stray::Stray;
use super::{Cx, Mark};
use crate::decode::Segment;

/// Beyond this a hole that nobody acknowledged is not bridged at the end of a flow: what lies behind it was never in order.
const WIDEST_UNACKNOWLEDGED: u64 = 1 << 20;

/// A receiver that was heard so lately still waits for what it did not acknowledge, in nanoseconds.
const PATIENT: i64 = 2_000_000_000;

/// One of the two ends, in the order of their addresses.
pub(crate) type Side = usize;

/// A connection: two directions, and what they carry.
pub(super) struct Flow {
    pub(super) half: [Half; 2],
    pub(super) app: App,
    /// A SYN that does not fit, or the one that an answer that does not fit names, and that answer's number: the addresses are
    /// perhaps used again.
    pub(super) resyn: Option<(Side, u32, Option<u32>)>,
    /// Segments whose place cannot be, the last ones.
    pub(super) strays: Vec<Stray>,
    /// Where a side of the connection before this one stood, where nobody was heard to answer either.
    pub(super) former: Option<(Side, u32)>,
    /// Data of a SYN, until it shows whether the other side took it.
    pub(super) syn_data: Option<Box<(Side, Piece)>>,
    packets: u32,
    /// Since when pieces wait that nothing moves.
    stall: Option<(u32, Ts)>,
    pub(super) bytes: u64,
    /// Those up to where it was handed over to another protocol.
    handed: Option<u64>,
    pub(super) has_data: bool,
    closed: bool,
    /// The server sent last.
    answering: bool,
}

impl Flow {
    pub(super) fn new(ends: Ends) -> Self {
        Flow {
            half: [Half::default(), Half::default()],
            app: App::new(ends),
            resyn: None,
            strays: Vec::new(),
            former: None,
            syn_data: None,
            packets: 0,
            stall: None,
            bytes: 0,
            handed: None,
            has_data: false,
            closed: false,
            answering: false,
        }
    }

    /// Both directions are at their end, or one was reset.
    pub(super) fn is_closed(&self) -> bool {
        self.closed || self.half.iter().any(Half::is_reset) || self.half.iter().all(|h| h.eof)
    }

    /// All three segments of its handshake were seen.
    pub(super) fn is_established(&self) -> bool {
        self.half.iter().all(|h| h.syn.is_some() && h.acked_at != Ts::default())
    }

    /// Packets of both its sides were seen.
    pub(super) const fn both_seen(&self) -> bool {
        self.half[0].seen && self.half[1].seen
    }

    /// Each side acknowledged what the other one sent: neither is made up.
    pub(super) fn is_mutual(&self) -> bool {
        self.half.iter().all(|h| h.seen && h.acked_at != Ts::default())
    }

    /// Bytes that it holds.
    pub(super) fn held(&self) -> usize {
        let syn_data = self.syn_data.as_deref().map_or(0, |(_, piece)| piece.data.len());
        self.half.iter().map(|h| h.held).sum::<usize>() + self.app.held() + syn_data + self.stray_bytes()
    }

    /// Bytes of its windows of delivered bytes.
    pub(super) fn windows(&self) -> usize {
        self.half.iter().map(|h| h.recent.held()).sum()
    }

    /// How it ended by itself, where it did.
    pub(super) fn ended(&self) -> Option<Ended> {
        if self.half.iter().any(|h| h.reset.is_some()) {
            return Some(Ended::Reset);
        }
        self.half.iter().all(|h| h.eof || h.fin.is_some()).then_some(Ended::Closed)
    }

    /// Packets of both sides were seen.
    pub(super) fn is_answered(&self) -> bool {
        self.half.iter().all(|h| h.seen)
    }

    /// What it carried, and how much of it: before it was handed over, and since.
    pub(super) fn carried(&self) -> (Kind, u64, Option<(Kind, u64)>) {
        let kind = if self.has_data { self.app.kind() } else { Kind::Empty };
        let before = self.handed.unwrap_or(self.bytes);
        (kind, before, self.app.inner().map(|inner| (inner, self.bytes - before)))
    }

    /// Its server has a request whose answer may take its time.
    pub(super) fn waits_for_answer(&self) -> bool {
        self.app.is_heard()
    }

    /// It was silent too long.
    pub(super) fn idled(&mut self) {
        self.app.cut(Completeness::IDLE);
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stall.is_some()
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
        self.app.sides_seen(self.both_seen());
        if self.syn_data.is_some() {
            self.settle_syn_data(side, seg, cx);
        }
        if seg.flags.rst() {
            self.reset(side, seg, cx);
            return self.settle(seg.ts, cx);
        }
        if self.half[other & 1].reset.is_some() {
            self.doubt_reset(other);
        }
        if seg.carried.disputed {
            self.app.odd(Anomaly::IpFragmentsDiffer);
            if !self.app.is_server(side) && !seg.payload.is_empty() {
                self.app.contest(cx);
            }
        }
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
        let doubtful = self.is_unacceptable(side, seg);
        if has_bytes && seg.flags.syn() && !seg.flags.ack() {
            self.hold_syn_data(side, seg, off, cx);
        } else if has_bytes {
            self.has_data = true;
            self.strays = Vec::new();
            let mark = Mark { off, ts: seg.ts, ack };
            self.payload(side, seg, mark, doubtful, cx);
        }
        self.ending(side, seg, off);
        self.settle(seg.ts, cx);
        if self.handed.is_none() && self.app.inner().is_some() {
            self.handed = Some(self.bytes);
        }
    }

    fn unplaced(&mut self, side: Side, seg: &Segment<'_>, cx: &mut Cx<'_>) {
        let half = &mut self.half[side & 1];
        if half.is_started() {
            cx.counters.discard(Discard::OutsideWindow, seg.payload.len());
            if !seg.payload.is_empty() {
                half.astray = half.astray.saturating_add(1);
                self.keep_stray(side, seg);
            }
        }
    }

    fn payload(&mut self, side: Side, seg: &Segment<'_>, mark: Mark, doubtful: bool, cx: &mut Cx<'_>) {
        let heard = self.half[(side ^ 1) & 1].seen;
        let half = &mut self.half[side & 1];
        let (mut data, mut mark) = (seg.payload, mark);
        let end = mark.off + data.len() as u64;
        if end + u64::from(seg.snapped) <= half.next {
            // A keep-alive probe may carry one byte of anything (RFC 9293 §3.8.4); who sends one has had all acknowledged.
            let probe = data.len() == 1 && end == half.next && (half.acked >= end || !heard);
            if !probe {
                self.compare(side, mark.off, data, cx);
            }
            cx.counters.discard(if probe { Discard::KeepAlive } else { Discard::Retransmitted }, data.len());
            return;
        }
        if half.reset.is_some_and(|at| end <= at) {
            // Who resets a connection says nothing more on it.
            half.reset = None;
            self.app.odd(Anomaly::TcpResetIgnored);
        }
        let half = &mut self.half[side & 1];
        if half.eof || half.reset.is_some_and(|at| end > at) {
            self.app.odd(Anomaly::TcpDataAfterClose);
            if self.half.iter().all(|h| h.eof) {
                return cx.counters.discard(Discard::AfterClose, data.len());
            }
        }
        let half = &mut self.half[side & 1];
        if seg.flags.syn() {
            self.app.odd(Anomaly::TcpSynData);
        }
        if seg.flags.urg() && seg.urgent > 0 {
            half.note_urgent(mark.off + u64::from(seg.urgent) - 1);
            self.app.odd(Anomaly::TcpUrgent);
        }
        if mark.off < half.next {
            let next = half.next;
            let (old, new) = data.split_at(((next - mark.off) as usize).min(data.len()));
            self.compare(side, mark.off, old, cx);
            cx.counters.discard(Discard::Overlap, old.len());
            (data, mark.off) = (new, next);
        }
        if !doubtful && !self.half[side & 1].pending.is_empty() {
            self.oust(side, data, mark, cx);
        }
        let half = &self.half[side & 1];
        // What is next in order goes whole before what came ahead of it, as receivers take it.
        let first = half.first_pending().is_none_or(|p| p.off > half.next);
        if !doubtful && mark.off == half.next && first && self.is_due(side, mark.ack) {
            self.deliver(side, data, seg.snapped, mark, cx);
            return;
        }
        if self.half[side & 1].keep(mark, data, seg.snapped, doubtful, cx.counters) {
            self.differs(side, end, cx);
        }
    }

    /// Compares bytes that stand where others were delivered. Those of a client that its server had not received yet may be what
    /// it reads instead of them: where they are too far back to be compared, that is told as well.
    fn compare(&mut self, side: Side, off: u64, data: &[u8], cx: &mut Cx<'_>) {
        let heard = self.half[(side ^ 1) & 1].seen;
        let half = &self.half[side & 1];
        let end = off + data.len() as u64;
        let unknown = end.min(half.recent.from());
        let first_unknown = off.max(half.acked);
        if half.recent.differs(off, data) {
            // A probe whose acknowledgement the mirror lacks; no server takes NUL for the end of a line of a head.
            if data == [0] && end == half.next && self.app.is_content(end, end) {
                return self.app.odd(Anomaly::TcpOverlapDiffers);
            }
            self.differs(side, end, cx);
        } else if heard && !self.app.is_server(side) && unknown > first_unknown {
            self.app.odd(Anomaly::TcpOverlapUnchecked);
            if !self.app.is_content(first_unknown, unknown) {
                self.app.contest(cx);
            }
        }
    }

    /// Bytes up to `end` were sent twice, and differ. Those of a client that its server had not received yet may not be what it reads:
    /// then it is not certain which requests it has, and so which of them an answer is to.
    pub(super) fn differs(&mut self, side: Side, end: u64, cx: &mut Cx<'_>) {
        self.app.odd(Anomaly::TcpOverlapDiffers);
        let known = !self.half[(side ^ 1) & 1].seen || self.half[side & 1].acked >= end;
        if !known && !self.app.is_server(side) {
            self.app.contest(cx);
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
        self.remember(side, data, mark.off, cx);
        let half = &mut self.half[side & 1];
        half.advance(data.len() as u64);
        half.delivered_at = half.delivered_at.max(mark.ts);
        self.stall = None;
        if !self.half[side & 1].urgent.is_empty() {
            self.deliver_around_urgent(side, data, mark, cx);
        } else if !data.is_empty() {
            cx.counters.delivered += data.len() as u64;
            self.app.data(side, data, mark, cx);
        }
        if snapped > 0 {
            self.app.snapped();
            self.gap(side, u64::from(snapped), cx);
        }
    }

    /// Keeps delivered bytes for comparison: the last ones of what the client sent since it was answered, the first ones of
    /// each answer.
    fn remember(&mut self, side: Side, data: &[u8], off: u64, cx: &mut Cx<'_>) {
        let [upward, answer] = cx.limits.windows_each;
        // What its receiver has had can not be told otherwise any more.
        let had = if self.half[(side ^ 1) & 1].seen { self.half[side & 1].acked } else { u64::MAX };
        // Tunnels that are not trusted leave half of the room to others.
        let full = self.app.is_foreign() && *cx.room < cx.limits.windows / 2;
        let (mut none, recent) = (0, &mut self.half[side & 1].recent);
        let room = if full { &mut none } else { &mut *cx.room };
        let fits = if self.app.is_server(side) {
            if std::mem::replace(&mut self.answering, true) {
                let left = answer.saturating_sub(recent.len());
                match data.get(..left.min(data.len())) {
                    Some(first) if !first.is_empty() && recent.ends_at(off) => {
                        recent.push(off, first, answer, room)
                    }
                    _ => true,
                }
            } else {
                recent.restart(u64::MAX);
                recent.push(off, data.get(..answer).unwrap_or(data), answer, room)
            }
        } else {
            if std::mem::replace(&mut self.answering, false) {
                recent.restart(had);
            }
            recent.push(off, data, upward, room)
        };
        cx.counters.windows_refused += u64::from(!fits);
    }

    /// Urgent bytes are left out, as by Linux for a socket without `SO_OOBINLINE`.
    fn deliver_around_urgent(&mut self, side: Side, mut data: &[u8], mut mark: Mark, cx: &mut Cx<'_>) {
        loop {
            let half = &mut self.half[side & 1];
            half.urgent.retain(|off| *off >= mark.off);
            let at = half.urgent.first().map_or(data.len(), |off| (off - mark.off) as usize);
            let (before, rest) = data.split_at(at.min(data.len()));
            if !before.is_empty() {
                cx.counters.delivered += before.len() as u64;
                self.app.data(side, before, mark, cx);
            }
            let Some((byte, after)) = rest.split_first() else { return };
            cx.counters.discard(Discard::Urgent, 1);
            self.app.urgent(side, *byte, mark.plus(before.len()), cx);
            mark = mark.plus(before.len() + 1);
            data = after;
        }
    }

    fn gap(&mut self, side: Side, len: u64, cx: &mut Cx<'_>) {
        let half = &mut self.half[side & 1];
        let lost = half.certainly_lost(len);
        cx.counters.gap_bytes += lost;
        half.advance(len);
        let at = half.next;
        if half.acked >= at {
            self.app.odd(Anomaly::TcpAckUnseen);
        }
        self.stall = None;
        self.app.gap(side, lost.max(1), at, cx);
    }

    /// Delivers all that is due, and gives up waiting for what has been waited for long enough.
    fn settle(&mut self, now: Ts, cx: &mut Cx<'_>) {
        loop {
            while self.deliver_due(0, cx) || self.deliver_due(1, cx) {}
            if self.half.iter().all(|h| h.pending.is_empty()) {
                self.stall = None;
                return;
            }
            let (packets, since) = *self.stall.get_or_insert((self.packets, now));
            if self.is_over_bound(cx) && !self.forget_furthest(now, cx) && self.bridge(Force::Bound, cx) {
                continue;
            }
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
        let due = half.first_pending().is_some_and(|p| {
            p.off <= half.next && self.is_due(side, p.ack) && (!p.doubtful || p.end() <= half.acked)
        });
        if due && let Some((piece, differs)) = self.half[side & 1].take_first(cx.counters) {
            if differs {
                self.differs(side, piece.off, cx);
            }
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
        self.half.iter().any(|h| h.is_over_bound(cx.limits))
    }

    /// Too much waits behind a hole: where its receiver waits for it as well, what lies furthest is let go, for the hole may
    /// still be filled. Whoever sends ahead of himself must not make what he says next come too late. False where a
    /// direction is over its bound all the same.
    fn forget_furthest(&mut self, now: Ts, cx: &mut Cx<'_>) -> bool {
        for side in [0, 1] {
            let heard = self.half[(side ^ 1) & 1].seen;
            let half = &mut self.half[side & 1];
            let hole = half.first_pending().is_some_and(|p| p.off > half.next && half.acked < p.off);
            if !heard || !hole || now.since(half.acked_at) > PATIENT {
                continue;
            }
            while half.is_over_bound(cx.limits)
                && let Some(piece) = half.forget_furthest()
            {
                cx.counters.discard(Discard::BeyondGap, piece.data.len());
            }
        }
        !self.is_over_bound(cx)
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
            let len = off - half.next;
            if half.leads_astray() {
                // More may come where it stands.
                if force == Force::Acknowledged {
                    return false;
                }
                self.half[side & 1].drop_first(cx.counters);
                return true;
            }
            let known = half.acked >= off || !other.seen;
            if known || force == Force::Bound || (force == Force::End && len <= WIDEST_UNACKNOWLEDGED) {
                self.gap(side, len, cx);
                return true;
            }
            return false;
        }
        if let Some(first) = self.half[side & 1].pending.front_mut()
            && std::mem::take(&mut first.doubtful)
        {
            // Whoever is to take it says nothing on it any more.
            first.doubtful = force == Force::Acknowledged;
            return !first.doubtful;
        }
        let other = &self.half[(side ^ 1) & 1];
        let ack = ack.unwrap_or(0);
        match other.first_pending().map(|p| p.off) {
            Some(beyond) if beyond > other.next && beyond <= ack && !other.leads_astray() => {
                self.gap(side ^ 1, beyond - other.next, cx);
            }
            _ => self.half[(side ^ 1) & 1].given_up = ack,
        }
        true
    }

    /// The flow is over: delivers what can be, and lets the rest go.
    pub(super) fn finish(&mut self, cx: &mut Cx<'_>) {
        self.take_syn_data(cx);
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
        // Without its FIN, an acknowledgement of one byte more may be that of the FIN; a FIN far away may be a damaged number.
        let fin = half.fin.filter(|fin| half.is_credible(*fin));
        let end = fin.unwrap_or(half.acked.saturating_sub(1));
        if half.is_started() && !half.eof && half.seen && end > half.next {
            self.gap(side, end - half.next, cx);
        }
    }

    /// The table needs room: what waits is let go, exchanges are cut short.
    pub(super) fn evict(&mut self, cx: &mut Cx<'_>) {
        self.take_syn_data(cx);
        for half in &mut self.half {
            for piece in half.pending.drain(..) {
                cx.counters.discard(Discard::Evicted, piece.data.len());
            }
            half.held = 0;
        }
        self.app.cut(Completeness::EVICTED);
        self.app.finish(cx);
        self.closed = true;
    }

    /// Sends on what it holds of messages, as far as they came.
    pub(super) fn shed(&mut self, cx: &mut Cx<'_>) {
        self.app.shed(cx);
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
