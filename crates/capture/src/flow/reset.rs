use sidetap_model::Anomaly;

use super::Cx;
use super::counters::Discard;
use super::track::{Flow, Side};
use crate::decode::Segment;

/// So far beyond what is expected a reset or a FIN may lie to be believed: what lies between was lost.
pub(super) const BELIEVABLE: u64 = 1 << 20;

impl Flow {
    /// Takes a reset (RFC 9293 §3.5.2, RFC 5961 §3).
    ///
    /// Believed where it stands at the next byte, at what was acknowledged, or beyond bytes that the capture may lack: then the flow is
    /// over once nothing comes for as long as of an open one, for a receiver heeds none but that at its next byte (RFC 5961 §3.2).
    /// A blind one from elsewhere changes nothing. Its payload is no part of the stream. Traffic is read on behind it: should the
    /// receiver acknowledge some, it did not heed the reset either.
    pub(super) fn reset(&mut self, side: Side, seg: &Segment<'_>, cx: &mut Cx<'_>) {
        if !seg.payload.is_empty() {
            cx.counters.discard(Discard::ResetData, seg.payload.len());
            self.app.odd(Anomaly::TcpResetData);
        }
        let half = &mut self.half[side & 1];
        if !half.is_started() {
            half.reset = Some(half.next);
            return;
        }
        let place = half.place(seg.seq).filter(|off| {
            *off == half.acked || (half.next..=half.furthest().max(half.next + BELIEVABLE)).contains(off)
        });
        match place {
            Some(off) => half.reset = Some(off),
            None => self.app.odd(Anomaly::TcpResetIgnored),
        }
    }

    /// What a reset side sent behind its reset was acknowledged: the reset was none of its own, or did not count.
    pub(super) fn doubt_reset(&mut self, side: Side) {
        let half = &mut self.half[side & 1];
        if half.reset.is_some_and(|at| half.is_started() && half.acked > at + 1 && half.next > at) {
            half.reset = None;
            self.app.odd(Anomaly::TcpResetIgnored);
        }
    }

    /// Notes where a side's stream ends.
    pub(super) fn ending(&mut self, side: Side, seg: &Segment<'_>, off: u64) {
        let half = &mut self.half[side & 1];
        let believable = off.abs_diff(half.next) <= BELIEVABLE || off <= half.furthest();
        let fin = off + seg.payload.len() as u64 + u64::from(seg.snapped);
        // One with bytes behind it that its receiver has had is dropped by it (RFC 9293 §3.10.7.4); its own number may be acknowledged before
        // the mirror shows it.
        let old = half.acked > fin + 1 || half.next > fin;
        if seg.flags.fin() && believable && half.fin.is_none() && !old {
            half.fin = Some(fin);
        }
    }
}
