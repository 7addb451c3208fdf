use sidetap_model::Anomaly;

use super::counters::Discard;
use super::half::Piece;
use super::track::{Flow, Side};
use super::{BASE, Cx, Mark};
use crate::decode::Segment;

/// Segments in a row whose place cannot be, after which the flow is taken for another one on the same addresses.
const ASTRAY: u32 = 4;

/// So much of a new connection may be acknowledged before its first acknowledgement is seen.
const ANSWERED_SOON: u32 = 1 << 20;

/// What a segment says on the connection's identity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fit {
    /// It belongs to the flow.
    Same,
    /// It opens another connection on the same addresses; the flow is over.
    New,
    /// As [`Fit::New`], whose SYN came before: that of `Side` with this sequence number; and its answer, with that one.
    NewSince(Side, u32, Option<u32>),
    /// It is held against the flow but says nothing yet.
    Ignore,
}

impl Flow {
    /// Whether a segment belongs to this connection or to a new one on the same addresses.
    pub(super) fn fit(&mut self, side: Side, seg: &Segment<'_>) -> Fit {
        let half = &self.half[side & 1];
        if seg.flags.syn() && !seg.flags.ack() {
            return self.fit_syn(side, seg.seq);
        }
        if let Some((syn_side, seq, answer)) = self.resyn {
            // The handshake's third segment, or what follows it: both numbers are those of the new connection.
            let third = side == syn_side
                && !seg.flags.rst()
                && seg.flags.ack()
                && answer.is_some_and(|answer| {
                    seg.seq == seq.wrapping_add(1) && seg.ack == answer.wrapping_add(1)
                });
            let answers = side != syn_side && self.answers(syn_side, seq, seg);
            // Where the other side was never seen nobody can be heard to answer.
            let heard = self.half[(syn_side ^ 1) & 1].seen;
            let continues = side == syn_side && !heard && !seg.flags.rst() && seg.seq == seq.wrapping_add(1);
            if answers || continues || third {
                return Fit::NewSince(syn_side, seq, answer);
            }
        }
        if seg.flags.syn() && half.is_started() && half.syn != Some(seg.seq) && !half.may_begin_with(seg.seq)
        {
            if self.is_over() {
                return Fit::New;
            }
            // With both numbers in the connection it belongs to it, whatever its receiver says to that (RFC 5961 §4); but a server sends none
            // unless it is asked to.
            if !self.is_within(side, seg) || self.app.accepted(side) {
                self.resyn = Some((side ^ 1, seg.ack.wrapping_sub(1), Some(seg.seq)));
            }
            return Fit::Ignore;
        }
        // Behind the end of a connection only what may belong to it does.
        let over = self.is_over() && half.is_started() && !seg.payload.is_empty();
        if over && half.place(seg.seq).is_none_or(|off| off > half.next) {
            return Fit::New;
        }
        if self.agrees_with_stray(side, seg) {
            return Fit::New;
        }
        if self.goes_on_before(side, seg) {
            return Fit::New;
        }
        // Who sends what cannot be may do so alone; with the other side's acknowledgement it is another connection.
        let agreed = half.acked_astray || !self.half[(side ^ 1) & 1].seen;
        if half.astray >= ASTRAY && agreed { Fit::New } else { Fit::Same }
    }

    /// Whether a segment of the other side answers the SYN of this number: acknowledges it, or (where that was lost) what
    /// follows it, of which the old connection is far.
    fn answers(&self, syn_side: Side, syn: u32, seg: &Segment<'_>) -> bool {
        if !seg.flags.ack() || seg.flags.rst() {
            return false;
        }
        let half = &self.half[syn_side & 1];
        let after = syn.wrapping_add(1);
        match seg.ack.wrapping_sub(after) {
            0 if seg.flags.syn() => true,
            near if seg.flags.syn() || near > ANSWERED_SOON => false,
            _ => half.place(after).is_none_or(|off| off > half.next),
        }
    }

    /// Where a side stands, of which nobody was heard to answer.
    pub(super) fn stands_alone(&self, side: Side) -> Option<(Side, u32)> {
        let half = &self.half[side & 1];
        let alone = half.is_started() && !self.half[(side ^ 1) & 1].seen;
        alone.then(|| (side, half.next_seq()))
    }

    /// Whether a segment that cannot be of this connection goes on where the one before it stood: then that one is not over. Where one side
    /// alone is seen, nobody else says which of two places is the right one, and what stands at either is told.
    fn goes_on_before(&self, side: Side, seg: &Segment<'_>) -> bool {
        let stood = |next: u32| seg.seq.wrapping_sub(next).cast_signed().unsigned_abs() <= ANSWERED_SOON;
        !seg.payload.is_empty()
            && self.stands_alone(side).is_some()
            && self.former.is_some_and(|(of, next)| of == side && stood(next))
            && self.half[side & 1].place(seg.seq).is_none()
    }

    /// Whether both numbers of a segment are such as the connection has now.
    fn is_within(&self, side: Side, seg: &Segment<'_>) -> bool {
        let (own, other) = (&self.half[side & 1], &self.half[(side ^ 1) & 1]);
        let near = |at: u64, now: u64| at.abs_diff(now) <= u64::from(ANSWERED_SOON);
        let begins = own.place(seg.seq.wrapping_add(1)).is_some_and(|at| near(at, own.next));
        let acked = other.place(seg.ack).is_some_and(|at| near(at, other.next) && at <= other.furthest());
        own.is_started() && other.is_started() && begins && acked
    }

    /// Both sides ended it. A reset does not: its receiver may never have seen it.
    fn is_over(&self) -> bool {
        self.half.iter().all(|h| h.eof)
    }

    fn fit_syn(&mut self, side: Side, seq: u32) -> Fit {
        let half = &self.half[side & 1];
        // Who sent a SYN-ACK before there was any SYN said nothing by it of who opens the connection.
        let asked = self.half.iter().any(|h| h.bare_syn) || self.has_data;
        if half.syn.is_some() && !asked {
            return Fit::New;
        }
        let used = half.syn == Some(seq) && half.next > BASE && self.half.iter().all(|h| h.eof);
        if !used && (half.syn == Some(seq) || !half.is_started() || half.may_begin_with(seq)) {
            return Fit::Same;
        }
        let established = self.has_data || self.half.iter().all(|h| h.syn.is_some());
        if self.is_over() || !established {
            return Fit::New;
        }
        self.resyn = Some((side, seq, None));
        Fit::Ignore
    }

    /// Notes the SYN of a connection whose other packets follow, and its answer where that was seen.
    pub(super) fn opened_by(&mut self, side: Side, seq: u32, answer: Option<u32>) {
        for (side, seq) in [(side, Some(seq)), (side ^ 1, answer)] {
            let Some(seq) = seq else { continue };
            let half = &mut self.half[side & 1];
            half.seen = true;
            half.syn = Some(seq);
            half.start(seq.wrapping_add(1), true);
        }
        self.app.opened_by(side);
    }

    pub(super) fn handshake(&mut self, side: Side, seg: &Segment<'_>) {
        if !seg.flags.syn() {
            return;
        }
        let start = seg.seq.wrapping_add(1);
        let half = &mut self.half[side & 1];
        if !half.is_started() {
            half.start(start, true);
        }
        half.confirm(start);
        let again = half.syn.is_some();
        half.syn.get_or_insert(seg.seq);
        half.bare_syn |= !seg.flags.ack();
        if !again && self.half.iter().all(|h| h.bare_syn) {
            self.app.odd(Anomaly::TcpSplitHandshake);
        }
        self.app.opened_by(if seg.flags.ack() { side ^ 1 } else { side });
    }

    /// What a side acknowledges tells where the other one's bytes begin, where that was not seen.
    pub(super) fn acknowledge(&mut self, other: Side, seg: &Segment<'_>) -> Option<u64> {
        let by = &self.half[(other ^ 1) & 1];
        let before_any_data = by.syn.is_some() && by.next == BASE && by.pending.is_empty();
        let certain = seg.flags.syn() || (before_any_data && by.place(seg.seq) == Some(BASE));
        let first = seg.flags.syn() && by.syn == Some(seg.seq);
        let held = self.syn_data.as_deref().map_or(0, |(_, piece)| piece.reach() - piece.off);
        let half = &mut self.half[other & 1];
        let fresh = half.bare_syn && half.next == BASE && half.pending.is_empty() && half.acked == BASE;
        if !half.is_started() {
            half.start(seg.ack, certain);
        } else if first && fresh && half.place(seg.ack).is_none_or(|off| !(BASE..=BASE + held).contains(&off))
        {
            // Of several SYNs the answered one counts.
            half.start(seg.ack, true);
            half.syn = Some(seg.ack.wrapping_sub(1));
        }
        half.acknowledge(seg.ack, seg.ts)
    }

    /// Holds the data of a SYN until it shows whether the other side took it (RFC 7413 §4.1).
    pub(super) fn hold_syn_data(&mut self, side: Side, seg: &Segment<'_>, off: u64, cx: &mut Cx<'_>) {
        self.app.odd(Anomaly::TcpSynData);
        if let Some((_, held)) = self.syn_data.as_deref() {
            let differs = held.data.get(..seg.payload.len()) != seg.payload.get(..held.data.len());
            if differs && held.data.len() == seg.payload.len() {
                self.app.odd(Anomaly::TcpOverlapDiffers);
            }
            cx.counters.discard(Discard::Retransmitted, seg.payload.len());
            return;
        }
        let (data, snapped) = (seg.payload.to_vec(), seg.snapped);
        let piece = Piece { off, data, snapped, ts: seg.ts, ack: None, doubtful: false };
        self.syn_data = Some(Box::new((side, piece)));
        if self.half[side & 1].acked > off {
            self.take_syn_data(cx);
        }
    }

    /// A segment tells what became of the data of a SYN: an acknowledgement that leaves it out refuses it, all else takes it.
    pub(super) fn settle_syn_data(&mut self, side: Side, seg: &Segment<'_>, cx: &mut Cx<'_>) {
        let Some((opener, off)) = self.syn_data.as_deref().map(|(side, piece)| (*side, piece.off)) else {
            return;
        };
        let acked = self.half[opener & 1].acked;
        if side == opener && !seg.flags.syn() {
            self.take_syn_data(cx);
        } else if side != opener && seg.flags.ack() && !seg.flags.rst() {
            if acked > off {
                self.take_syn_data(cx);
            } else if let Some((_, piece)) = self.syn_data.take().map(|b| *b) {
                cx.counters.discard(Discard::SynData, piece.data.len());
                self.app.odd(Anomaly::TcpSynDataRefused);
            }
        }
    }

    /// Puts the data of a SYN into its stream.
    pub(super) fn take_syn_data(&mut self, cx: &mut Cx<'_>) {
        let Some((side, piece)) = self.syn_data.take().map(|b| *b) else { return };
        self.has_data = true;
        let mark = Mark { off: piece.off, ts: piece.ts, ack: piece.ack };
        if self.half[side & 1].keep(mark, &piece.data, piece.snapped, false, cx.counters) {
            self.app.odd(Anomaly::TcpOverlapDiffers);
        }
    }
}
