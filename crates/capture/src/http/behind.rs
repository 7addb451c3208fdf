//! Requests that their server may never have read, and what stands in their content: servers drop what is sent behind a request for another
//! protocol (RFC 9110 §7.8), take no content of it, or end a message elsewhere. What is announced as content is their next request then.

use sidetap_model::Completeness;
use sidetap_wire::http1::{Probe, likely_request, probe_request_of_http, trim_start};

use super::Http;
use super::entry::{Entry, Target};
use super::reader::Wants;
use super::trail::Trail;
use crate::flow::{Mark, Out};

/// Why what is being read may not be read by its server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Behind {
    Nothing,
    /// It is itself a request for another protocol, or for a tunnel, with content.
    Change,
    /// The server may have read something else before.
    Contested,
    /// It was sent behind a request for another protocol, before the answer to that.
    Upgrade,
}

impl Http {
    /// A head begins.
    pub(super) fn note_behind(&mut self) {
        if !self.up.is_between() {
            return;
        }
        self.within = None;
        self.behind = Behind::Nothing;
        if matches!(self.queue.back(), Some(Entry::Asked(a)) if a.upgrades && a.answer.is_none()) {
            self.behind = Behind::Upgrade;
            self.contested = true;
        }
    }

    /// Content begins here, in a segment of its own, that would be a request if its server did not take it for content. Nobody but an attacker
    /// sends something behind a request for another protocol without waiting for the answer; else it is remembered until an answer comes early.
    pub(super) fn is_request_within(&mut self, bytes: &[u8], mark: Mark) -> bool {
        if self.behind == Behind::Nothing || probe_request_of_http(trim_start(bytes)) == Probe::No {
            return false;
        }
        if self.behind == Behind::Upgrade {
            return true;
        }
        let before = self.up.body_kept();
        self.within.get_or_insert((mark, before));
        false
    }

    /// A final answer begins, while content is still to come that its server may have taken for requests: it is read again from there.
    pub(super) fn answered_within(&mut self, at: Mark, out: &mut Out<'_>) {
        let Some((mark, from)) = self.within else { return };
        if self.up.wants() != Wants::Body || at.ack.is_none_or(|seen| seen <= mark.off) {
            return;
        }
        self.within = None;
        let kept = self.up.body_from(from);
        if kept.is_empty() {
            return;
        }
        let (end, last) = (mark.off + kept.len() as u64, self.up_at);
        self.leave_content(&kept, mark, out);
        // It may be content all the same: only answers prove it.
        (self.found, self.in_content) = (true, true);
        self.trail = Trail::anew(self.queue.len());
        self.up(&kept, mark, out);
        if end < last && self.handover.is_none() {
            self.up_gap(last - end, last, out);
        }
    }

    /// What a request that its server may never have read has for its content begins as a request: it is read as one. Behind another one it is
    /// answered in that one's place.
    pub(super) fn leave_content(&mut self, bytes: &[u8], mark: Mark, out: &mut Out<'_>) {
        let itself = self.behind == Behind::Change;
        self.up.end_known_body();
        self.finish_request(Completeness::REQUEST_TRUNCATED, mark.off, mark.ts, out);
        self.guessed = !likely_request(trim_start(bytes));
        self.up.resume();
        self.contested = true;
        self.certainty.lose();
        let answered = self.answer.as_ref().map(|a| a.target);
        let unread = |e: &mut Entry| matches!(e, Entry::Asked(a) if a.done && a.answer.is_none() && answered != Some(Target::Request(a.seq)));
        if !itself && let Some(Entry::Asked(asked)) = self.queue.pop_back_if(unread) {
            self.emit(*asked, None, Completeness::WHOLE, out);
        }
    }
}
