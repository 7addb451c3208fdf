use sidetap_model::Anomaly;

use super::counters::Discard;
use super::track::{Flow, Side};
use super::{Cx, Mark};
use crate::decode::Segment;

impl Flow {
    /// Whether a receiver drops the segment, though its bytes are in order: it acknowledges nothing where all before it did
    /// (RFC 9293 §3.10.7.4), or its clock is behind what its receiver knows of it (RFC 7323 §5.3).
    ///
    /// Others only some receivers drop (with a source route, a signature, an old acknowledgement), or may never get (with a shorter time to
    /// live): these are believed like any, since who repeats what all receivers took first would else hide it. What differs is told.
    ///
    /// Who sends such a segment right before another on the same numbers shows two requests, of which the server reads the second.
    /// A clock may have been set forward by a segment that never arrived, and a mirror sees no more than that: therefore these
    /// bytes are not thrown away, but wait until the receiver acknowledges them.
    pub(super) fn is_unacceptable(&mut self, side: Side, seg: &Segment<'_>, off: u64) -> bool {
        let heard = self.half[(side ^ 1) & 1].seen;
        let half = &mut self.half[side & 1];
        let mute = !seg.flags.ack() && !seg.flags.syn() && half.acks;
        half.acks |= seg.flags.ack();
        let stale = match (half.stamp, seg.stamp) {
            (Some(known), Some(stamp)) => stamp.wrapping_sub(known).cast_signed() < 0,
            _ => false,
        };
        let end = off + seg.payload.len() as u64;
        if !stale
            && !mute
            && off <= half.acked
            && end >= half.acked
            && (seg.flags.syn() || half.stamp.is_some() || half.syn.is_none())
        {
            // Only what stands where the receiver is sets its clock, not what it has had, and nobody takes it away again.
            half.stamp = seg.stamp.or(half.stamp);
        }
        heard && (mute || stale)
    }

    /// Makes room for a segment that a receiver takes: pieces that wait where it stands and that no receiver takes go. Their
    /// segment was doubtful, or acknowledged what the other side never sent, while this one does not (RFC 9293 §3.10.7.4).
    pub(super) fn oust(&mut self, side: Side, data: &[u8], mark: Mark, cx: &mut Cx<'_>) {
        let sent = self.half[(side ^ 1) & 1].furthest();
        if mark.ack.is_none_or(|ack| ack > sent) {
            return;
        }
        let end = mark.off + data.len() as u64;
        let half = &mut self.half[side & 1];
        let overlaps = |p: &super::half::Piece| p.off < end && p.end() > mark.off;
        let goes =
            |p: &super::half::Piece| overlaps(p) && (p.doubtful || p.ack.is_some_and(|ack| ack > sent));
        if !half.pending.iter().any(goes) {
            return;
        }
        let mut differs = false;
        let mut kept = std::collections::VecDeque::with_capacity(half.pending.len());
        for piece in half.pending.drain(..) {
            if goes(&piece) {
                let (from, to) = (piece.off.max(mark.off), piece.end().min(end));
                let part = |bytes: &[u8], at: u64| -> Vec<u8> {
                    bytes.get((from - at) as usize..(to - at) as usize).unwrap_or_default().to_vec()
                };
                differs |= part(&piece.data, piece.off) != part(data, mark.off);
                half.held -= piece.room();
                cx.counters.discard(Discard::Unacceptable, piece.data.len());
            } else {
                kept.push_back(piece);
            }
        }
        half.pending = kept;
        if differs {
            self.app.odd(Anomaly::TcpOverlapDiffers);
        }
    }
}
