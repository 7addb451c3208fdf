//! What comes behind a CONNECT request before its answer.

use sidetap_wire::http1::likely_request;

use super::Http;
use super::entry::{Asked, Entry};
use super::reader::Wants;
use crate::flow::{Mark, Out};

/// CONNECT requests without an answer, one behind the other, behind which what is held is read at the end.
const MOST_UNHEARD: usize = 32;

impl Http {
    /// A refused CONNECT leaves the connection what it was; what came behind the request is read now.
    pub(super) fn go_on_after_connect(&mut self, out: &mut Out<'_>) {
        if self.up.wants() != Wants::Hold || self.first_open().is_some() && !self.is_connect_answered() {
            return;
        }
        self.go_on_behind_connect(out);
    }

    /// Where it is not known what answers belong to, the one that came when the server had the CONNECT request is taken for that to it.
    fn is_connect_answered(&self) -> bool {
        let heard = matches!(self.queue.back(), Some(Entry::Asked(a)) if a.finals > 0);
        heard && (self.loose || self.contested)
    }

    /// The server's side is not seen: a request that begins here, when the client has had something, is behind an answer.
    pub(super) fn is_past_connect(&self, bytes: &[u8], mark: Mark, out: &Out<'_>) -> bool {
        let heard = |a: &Asked| mark.ack.is_none_or(|seen| a.seen_down.is_none_or(|before| seen > before));
        !out.facts.both_sides
            && likely_request(bytes)
            && matches!(self.queue.back(), Some(Entry::Asked(a)) if heard(a))
    }

    /// No answer to a CONNECT request will be known: what came behind it is read where it begins as requests, which it may be.
    pub(super) fn go_on_unheard(&mut self, out: &mut Out<'_>) {
        // One may stand behind the other.
        for _ in 0..MOST_UNHEARD {
            if self.up.wants() == Wants::Hold && self.up.held_bytes().is_some_and(likely_request) {
                self.within_another();
                self.go_on_behind_connect(out);
            }
        }
    }

    /// Reads what came behind a CONNECT request.
    pub(super) fn go_on_behind_connect(&mut self, out: &mut Out<'_>) {
        let Some(held) = self.up.take_held() else { return };
        let end = held.mark.off + held.bytes.len() as u64;
        // Some servers drop what came with it.
        self.contest_last();
        self.unheard_until = self.unheard_until.max(end);
        let last = self.up_at;
        for (mark, piece) in held.pieces() {
            self.up(piece, mark, out);
        }
        if held.dropped > 0 {
            self.up_gap(held.dropped, end + held.dropped, out);
        }
        self.up_at = self.up_at.max(last);
    }
}
