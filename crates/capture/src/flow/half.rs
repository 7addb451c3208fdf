use std::collections::VecDeque;

use sidetap_model::Ts;

use super::counters::{Discard, FlowCounters};
use super::recent::Recent;
use super::{FlowLimits, Mark};

/// The offset of a direction's first byte: high enough that no sequence number lies before offset 0.
pub(crate) const BASE: u64 = 1 << 32;
/// How far from what is expected a sequence number may lie (the largest window is 1 GiB, RFC 7323 §2.3).
const REACH: u64 = 1 << 28;
/// So much may be missing on the word of one segment: the largest window without scaling (RFC 9293 §3.1). What lies further needs a
/// second segment that says so too, for a number may be damaged where checksums are not looked at.
const UNCONFIRMED: u64 = 1 << 16;
/// So near to each other two segments tell of the same place.
const NEAR: u64 = 1 << 20;
/// Urgent bytes of one direction on the way at once.
const MOST_URGENT: usize = 16;
/// What a piece takes besides its bytes.
const PIECE: usize = 96;

/// A piece of a direction that came before what precedes it.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) off: u64,
    pub(super) data: Vec<u8>,
    pub(super) snapped: u32,
    pub(super) ts: Ts,
    pub(super) ack: Option<u64>,
    /// Its segment is one that a receiver drops: it counts once the receiver says that it has these bytes, and goes where others come
    /// for them.
    pub(super) doubtful: bool,
}

impl Piece {
    pub(super) fn end(&self) -> u64 {
        self.off + self.data.len() as u64
    }

    pub(super) fn reach(&self) -> u64 {
        self.end() + u64::from(self.snapped)
    }

    /// What it takes.
    pub(super) fn room(&self) -> usize {
        self.data.len() + PIECE
    }
}

/// One direction of a connection.
///
/// Offsets grow without wrapping; sequence numbers are turned into them relative to the next byte expected.
#[derive(Debug, Default)]
pub(super) struct Half {
    started: bool,
    /// The first byte's place is known from the handshake, not guessed from the first packet seen.
    pub(super) certain: bool,
    pub(super) syn: Option<u32>,
    /// It sent anything at all.
    pub(super) seen: bool,
    pub(super) next: u64,
    next_seq: u32,
    /// How far the other side says that it received this direction.
    pub(super) acked: u64,
    /// Where an acknowledgement stands that goes too far to be believed alone.
    far_ack: Option<u64>,
    /// When the last bytes came that were delivered.
    pub(super) delivered_at: Ts,
    /// What acknowledgements leapt over while nothing was delivered.
    jumped: u64,
    /// Up to here the capture is known to lack bytes: they are not waited for.
    pub(super) given_up: u64,
    pub(super) fin: Option<u64>,
    pub(super) eof: bool,
    /// Where a reset of this side stands, while it is believed.
    pub(super) reset: Option<u64>,
    /// Its SYN acknowledged nothing.
    pub(super) bare_syn: bool,
    /// Urgent bytes that were not delivered yet, in order.
    pub(super) urgent: Vec<u64>,
    /// The last bytes delivered.
    pub(super) recent: Recent,
    pub(super) pending: VecDeque<Piece>,
    pub(super) held: usize,
    /// Segments in a row whose place cannot be.
    pub(super) astray: u32,
    /// The last acknowledgement of it names a place that cannot be.
    pub(super) acked_astray: bool,
    /// When it was last acknowledged.
    pub(super) acked_at: Ts,
    /// It sent an acknowledgement before.
    pub(super) acks: bool,
    /// Its clock, as its receiver said last that it has it (`TS.Recent` of RFC 7323 §4.3).
    pub(super) clock: Option<u32>,
}

impl Half {
    /// Places the first byte.
    pub(super) fn start(&mut self, seq: u32, certain: bool) {
        self.started = true;
        self.certain = certain;
        self.next = BASE;
        self.next_seq = seq;
        self.acked = BASE;
    }

    /// Its first byte was not missed: its place is known, or nothing of it came yet.
    pub(super) fn is_certain(&self) -> bool {
        self.certain || !self.started
    }

    /// It was reset, and all that it sent before is there or was received.
    pub(super) fn is_reset(&self) -> bool {
        self.reset.is_some_and(|at| at <= self.next.max(self.acked))
    }

    pub(super) fn is_started(&self) -> bool {
        self.started
    }

    /// The sequence number of the next byte expected.
    pub(super) fn next_seq(&self) -> u32 {
        self.next_seq
    }

    /// Takes a direction whose start was guessed for one that starts here, if that is where it was guessed.
    pub(super) fn confirm(&mut self, seq: u32) {
        if self.place(seq) == Some(BASE) {
            self.certain = true;
        }
    }

    /// A SYN with this sequence number, captured late, stands right before its first byte.
    pub(super) fn may_begin_with(&self, syn: u32) -> bool {
        self.syn.is_none() && self.place(syn.wrapping_add(1)) == Some(BASE)
    }

    /// The offset of a sequence number, where it can belong to this connection.
    pub(super) fn place(&self, seq: u32) -> Option<u64> {
        let distance = i64::from(seq.wrapping_sub(self.next_seq).cast_signed());
        let off = self.next.checked_add_signed(distance)?;
        (distance.unsigned_abs() <= REACH).then_some(off)
    }

    /// Takes note of an acknowledgement by the other side; its offset where it can be one of this connection.
    ///
    /// One that goes far beyond what was delivered and acknowledged shows that bytes were received when the next one does too; until then it
    /// only says what its sender claims to have seen.
    pub(super) fn acknowledge(&mut self, ack: u32, now: Ts) -> Option<u64> {
        let Some(off) = self.place(ack) else {
            self.acked_astray = true;
            return None;
        };
        self.acked_astray = false;
        let far = !self.is_credible(off);
        let before = std::mem::replace(&mut self.far_ack, far.then_some(off));
        if far && before.is_none_or(|before| before.abs_diff(off) > NEAR) {
            return Some(off);
        }
        self.acked_at = now;
        let jump = off.saturating_sub(self.acked);
        if self.is_blank() && jump > UNCONFIRMED {
            self.jumped += jump;
        }
        self.acked += jump;
        Some(off)
    }

    /// How many of so many bytes that are missing here were certainly sent.
    ///
    /// All of them, unless nothing was seen before them but a number from which they are counted: it may be the one that is wrong. Then
    /// those that were acknowledged step by step, or no more than one window.
    pub(super) fn certainly_lost(&self, len: u64) -> u64 {
        match self.is_blank() {
            false => len,
            true if self.acked >= self.next + len => len.saturating_sub(self.jumped),
            true => len.min(UNCONFIRMED),
        }
    }

    /// Nothing was delivered or given up since its first byte was placed.
    fn is_blank(&self) -> bool {
        self.next == BASE
    }

    /// Whether the first piece that waits is alone in saying that all bytes up to it are missing, or was belied: others came in their
    /// order after it.
    pub(super) fn leads_astray(&self) -> bool {
        let Some(first) = self.pending.front() else { return false };
        let belied = first.off > self.next + NEAR && self.delivered_at > first.ts;
        let alone = || self.pending.get(1).is_none_or(|next| next.off > first.reach() + NEAR);
        belied || (!self.is_credible(first.off) && alone())
    }

    /// Whether one segment's word is enough for a place: it is not far beyond what was delivered and acknowledged.
    pub(super) fn is_credible(&self, off: u64) -> bool {
        off <= self.next.max(self.acked) + UNCONFIRMED
    }

    /// Lets the first piece that waits go.
    pub(super) fn drop_first(&mut self, counters: &mut FlowCounters) {
        if let Some(piece) = self.pending.pop_front() {
            self.held -= piece.data.len() + PIECE;
            counters.discard(Discard::BeyondGap, piece.data.len());
        }
    }

    /// Goes on by `n` bytes.
    pub(super) fn advance(&mut self, n: u64) {
        self.next += n;
        self.next_seq = self.next_seq.wrapping_add(n as u32);
    }

    /// Notes an urgent byte (RFC 9293 §3.8.5); the first ones of many that are on the way at once.
    pub(super) fn note_urgent(&mut self, off: u64) {
        if off >= self.next
            && self.urgent.len() < MOST_URGENT
            && let Err(at) = self.urgent.binary_search(&off)
        {
            self.urgent.insert(at, off);
        }
    }

    /// Keeps bytes for later, cut to what is not there yet: that stays. True where overlapping bytes differ.
    ///
    /// Each piece takes the room of its own bytes, whatever segment it came in.
    pub(super) fn keep(
        &mut self,
        mark: Mark,
        data: &[u8],
        mut snapped: u32,
        doubtful: bool,
        counters: &mut FlowCounters,
    ) -> bool {
        let mut differs = false;
        let (mut off, mut rest) = (mark.off, data);
        let end = off + data.len() as u64;
        let mut at = match self.pending.back() {
            Some(last) if last.end() > off => self.pending.partition_point(|p| p.end() <= off),
            _ => self.pending.len(),
        };
        while let Some(there) = self.pending.get(at) {
            if end <= there.off {
                break;
            }
            let (there_off, there_end) = (there.off, there.end());
            if off < there_off {
                let (front, behind) = rest.split_at(((there_off - off) as usize).min(rest.len()));
                self.insert(at, Mark { off, ..mark }, front, 0, doubtful);
                (off, rest) = (there_off, behind);
                at += 1;
                continue;
            }
            let covered = there_end.saturating_sub(off);
            let (same, behind) = rest.split_at((covered as usize).min(rest.len()));
            let start = (off - there_off) as usize;
            differs |= there.data.get(start..start + same.len()) != Some(same);
            counters.discard(Discard::Overlap, same.len());
            (off, rest) = (off + same.len() as u64, behind);
            if rest.is_empty() {
                // Of what the snap length cut off, something may stand there as well.
                let cut = there_end.saturating_sub(off);
                snapped = snapped.saturating_sub(u32::try_from(cut).unwrap_or(u32::MAX));
                off += cut;
                if snapped == 0 {
                    return differs;
                }
            }
            at += 1;
        }
        self.insert(at, Mark { off, ..mark }, rest, snapped, doubtful);
        differs
    }

    fn insert(&mut self, at: usize, mark: Mark, data: &[u8], snapped: u32, doubtful: bool) {
        self.held += data.len() + PIECE;
        let Mark { off, ts, ack } = mark;
        self.pending.insert(at, Piece { off, data: data.into(), snapped, ts, ack, doubtful });
    }

    /// Lets the furthest piece go, but never the first one.
    pub(super) fn forget_furthest(&mut self) -> Option<Piece> {
        let piece = if self.pending.len() > 1 { self.pending.pop_back() } else { None }?;
        self.held -= piece.data.len() + PIECE;
        Some(piece)
    }

    /// Takes the first piece, cut to what is still due; true where what is cut off differs from what was delivered.
    pub(super) fn take_first(&mut self, counters: &mut FlowCounters) -> Option<(Piece, bool)> {
        let mut piece = self.pending.pop_front()?;
        self.held -= piece.data.len() + PIECE;
        let mut differs = false;
        if piece.off < self.next {
            let old = ((self.next - piece.off) as usize).min(piece.data.len());
            counters.discard(Discard::Overlap, old);
            // A byte alone that came before what it repeats, and is the last of, is a probe (RFC 9293 §3.8.4), which may say anything.
            let probe =
                piece.reach() == piece.off + 1 && self.next == piece.off + 1 && self.pending.is_empty();
            differs = !probe && self.recent.differs(piece.off, piece.data.get(..old).unwrap_or_default());
            piece.data.drain(..old);
            let snapped_old = self.next.saturating_sub(piece.off + old as u64).min(u64::from(piece.snapped));
            piece.off = self.next;
            piece.snapped -= snapped_old as u32;
        }
        Some((piece, differs))
    }

    /// Where the first piece that waits begins.
    pub(super) fn first_pending(&self) -> Option<&Piece> {
        self.pending.front()
    }

    /// More waits than may.
    pub(super) fn is_over_bound(&self, limits: &FlowLimits) -> bool {
        self.held > limits.direction_bytes || self.pending.len() > limits.direction_pieces
    }

    /// The furthest byte known to have been sent.
    pub(super) fn furthest(&self) -> u64 {
        self.pending.back().map_or(self.next, Piece::reach).max(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(off: u64) -> Mark {
        Mark { off, ts: Ts(0), ack: None }
    }

    #[test]
    fn a_piece_takes_the_room_of_its_own_bytes() {
        let (mut half, mut counters) = (Half::default(), FlowCounters::default());
        // Each segment reaches one byte further; then one fills the holes between others.
        for n in 0..500 {
            half.keep(mark(BASE + n), &[b'x'; 20_000], 0, false, &mut counters);
        }
        for n in 0..500 {
            half.keep(mark(BASE + 100_000 + 2 * n), b"x", 0, false, &mut counters);
        }
        half.keep(mark(BASE + 100_000), &[b'x'; 20_000], 0, false, &mut counters);
        let taken: usize = half.pending.iter().map(|p| p.data.capacity() + PIECE).sum();
        assert_eq!(taken, half.held);
        assert_eq!(half.pending.iter().map(|p| p.data.len()).sum::<usize>(), 20_499 + 20_000);
    }

    #[test]
    fn what_is_cut_off_inside_a_piece_that_is_there_hides_nothing_behind_it() {
        let (mut half, mut counters) = (Half::default(), FlowCounters::default());
        half.keep(mark(BASE + 5), b"5678901", 0, false, &mut counters);
        half.keep(mark(BASE + 10), b"", 4, false, &mut counters);
        assert!(!half.keep(mark(BASE + 11), b"1234", 0, false, &mut counters));
        let ends: Vec<_> = half.pending.iter().map(|p| (p.off - BASE, p.end() - BASE, p.snapped)).collect();
        assert_eq!(ends, [(5, 12, 0), (12, 12, 2), (12, 15, 0)]);
    }

    #[test]
    fn what_is_there_stays_and_what_differs_is_told() {
        let (mut half, mut counters) = (Half::default(), FlowCounters::default());
        assert!(!half.keep(mark(BASE + 2), b"cd", 0, false, &mut counters));
        assert!(!half.keep(mark(BASE + 6), b"gh", 0, false, &mut counters));
        assert!(half.keep(mark(BASE), b"abCdefghij", 3, false, &mut counters));
        let all: Vec<u8> = half.pending.iter().flat_map(|p| p.data.clone()).collect();
        assert_eq!(all, b"abcdefghij");
        assert_eq!(half.pending.back().map(|p| (p.off, p.snapped)), Some((BASE + 8, 3)));
        assert_eq!(half.furthest(), BASE + 13);
    }
}
