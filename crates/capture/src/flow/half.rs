use std::collections::VecDeque;

use sidetap_model::Ts;

use super::counters::{Discard, FlowCounters};
use super::recent::Recent;

/// The offset of a direction's first byte: high enough that no sequence number lies before offset 0.
pub(crate) const BASE: u64 = 1 << 32;
/// How far from what is expected a sequence number may lie (the largest window is 1 GiB, RFC 7323 §2.3).
const REACH: u64 = 1 << 28;
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
}

impl Piece {
    pub(super) fn end(&self) -> u64 {
        self.off + self.data.len() as u64
    }

    fn reach(&self) -> u64 {
        self.end() + u64::from(self.snapped)
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

    pub(super) fn is_started(&self) -> bool {
        self.started
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

    /// Takes note of an acknowledgement by the other side; its offset where it can be believed.
    pub(super) fn acknowledge(&mut self, ack: u32) -> Option<u64> {
        let off = self.place(ack)?;
        self.acked = self.acked.max(off);
        Some(off)
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

    /// Keeps a piece for later. What is there already stays; true where overlapping bytes differ.
    pub(super) fn keep(&mut self, mut piece: Piece, counters: &mut FlowCounters) -> bool {
        let mut differs = false;
        let mut at = match self.pending.back() {
            Some(last) if last.end() > piece.off => self.pending.partition_point(|p| p.end() <= piece.off),
            _ => self.pending.len(),
        };
        while let Some(there) = self.pending.get(at) {
            if piece.end() <= there.off {
                break;
            }
            let (there_off, there_end) = (there.off, there.end());
            if piece.off < there_off {
                let data = piece.data.split_off((there_off - piece.off) as usize);
                let tail = Piece { data, off: there_off, ..piece };
                let front = std::mem::replace(&mut piece, tail);
                self.insert(at, Piece { snapped: 0, ..front });
                at += 1;
                continue;
            }
            let overlap = (there_end.min(piece.end()) - piece.off) as usize;
            let start = (piece.off - there_off) as usize;
            differs |= there.data.get(start..start + overlap) != piece.data.get(..overlap);
            counters.discard(Discard::Overlap, overlap);
            piece.data.drain(..overlap);
            piece.off += overlap as u64;
            if piece.data.is_empty() && piece.snapped == 0 {
                return differs;
            }
            at += 1;
        }
        self.insert(at, piece);
        differs
    }

    fn insert(&mut self, at: usize, piece: Piece) {
        self.held += piece.data.len() + PIECE;
        self.pending.insert(at, piece);
    }

    /// Takes the first piece, cut to what is still due; true where what is cut off differs from what was delivered.
    pub(super) fn take_first(&mut self, counters: &mut FlowCounters) -> Option<(Piece, bool)> {
        let mut piece = self.pending.pop_front()?;
        self.held -= piece.data.len() + PIECE;
        let mut differs = false;
        if piece.off < self.next {
            let old = ((self.next - piece.off) as usize).min(piece.data.len());
            counters.discard(Discard::Overlap, old);
            differs = self.recent.differs(piece.off, piece.data.get(..old).unwrap_or_default());
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

    /// The furthest byte known to have been sent.
    pub(super) fn furthest(&self) -> u64 {
        self.pending.back().map_or(self.next, Piece::reach).max(self.next)
    }
}
