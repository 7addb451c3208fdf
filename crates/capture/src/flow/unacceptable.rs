use sidetap_model::Anomaly;

use super::counters::Discard;
use super::half::Piece;
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
    /// What clock a receiver goes by it says itself, in what it sends: that of a segment may never have arrived. A mirror may show all
    /// this in another order: therefore these bytes are not thrown away, but wait until the receiver acknowledges them.
    pub(super) fn is_unacceptable(&mut self, side: Side, seg: &Segment<'_>) -> bool {
        let other = &mut self.half[(side ^ 1) & 1];
        let heard = other.seen;
        if let Some(clocks) = seg.clocks.filter(|_| seg.flags.ack() && !seg.flags.rst()) {
            let ahead = |known: u32| clocks.heard.wrapping_sub(known).cast_signed() > 0;
            if other.clock.is_none_or(ahead) {
                other.clock = Some(clocks.heard);
            }
        }
        let is_client = !self.app.is_server(side);
        let half = &mut self.half[side & 1];
        let mute = !seg.flags.ack() && !seg.flags.syn() && half.acks;
        half.acks |= seg.flags.ack();
        // Linux takes one that is behind by one.
        let stale = match (half.clock, seg.clocks) {
            (Some(known), Some(clocks)) => known.wrapping_sub(clocks.own).cast_signed() > 1,
            _ => false,
        };
        heard && (mute || stale && is_client)
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
        let overlaps = |p: &Piece| p.off < end && p.end() > mark.off;
        let goes = |p: &Piece| overlaps(p) && (p.doubtful || p.ack.is_some_and(|ack| ack > sent));
        if !half.pending.iter().any(goes) {
            return;
        }
        let mut differs = false;
        let mut kept = std::collections::VecDeque::with_capacity(half.pending.len() + 2);
        for mut piece in half.pending.drain(..) {
            if !goes(&piece) {
                kept.push_back(piece);
                continue;
            }
            let (from, to) = (piece.off.max(mark.off), piece.end().min(end));
            let part = |bytes: &[u8], at: u64| -> Vec<u8> {
                bytes.get((from - at) as usize..(to - at) as usize).unwrap_or_default().to_vec()
            };
            differs |= part(&piece.data, piece.off) != part(data, mark.off);
            half.held -= piece.room();
            cx.counters.discard(Discard::Unacceptable, (to - from) as usize);
            // What stands before and behind is nobody else's.
            let behind = piece.data.split_off((to - piece.off) as usize);
            let behind = Piece { off: to, data: behind, ..piece };
            piece.data.truncate((from - piece.off) as usize);
            piece.snapped = 0;
            for rest in [piece, behind] {
                if !rest.data.is_empty() || rest.snapped > 0 {
                    half.held += rest.room();
                    kept.push_back(rest);
                }
            }
        }
        half.pending = kept;
        if differs {
            self.app.odd(Anomaly::TcpOverlapDiffers);
        }
    }
}
