//! Requests that their server may never have read, and what stands in their content: servers drop what is sent behind a request for another
//! protocol (RFC 9110 §7.8), take no content of it, or end a message elsewhere. What is announced as content is their next request then.

use memchr::memchr_iter;
use sidetap_model::Completeness;
use sidetap_wire::http1::{Probe, begins_method, likely_request, probe_request_of_http, trim_start};

use super::Http;
use super::entry::{Asked, Entry, Target};
use super::reader::{Wants, extend};
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

/// Where content begins as a request.
#[derive(Debug)]
pub(super) struct Within {
    mark: Mark,
    /// What came from there on, as far as it is kept: a room of its own, for that of the content may be full.
    bytes: Vec<u8>,
    /// It has a method that is in use and a target.
    likely: bool,
}

/// Bytes kept from where content begins as a request.
const MOST_WITHIN: usize = 64 << 10;

impl Within {
    fn new(mark: Mark, likely: bool) -> Box<Self> {
        Box::new(Within { mark, bytes: Vec::new(), likely })
    }

    pub(super) fn held(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity()
    }

    /// Keeps more that comes right behind.
    fn keep(&mut self, bytes: &[u8], mark: Mark) {
        if self.mark.off + self.bytes.len() as u64 == mark.off {
            let room = MOST_WITHIN.saturating_sub(self.bytes.len()).min(bytes.len());
            extend(&mut self.bytes, bytes.get(..room).unwrap_or_default());
        }
    }
}

impl Http {
    /// A head begins.
    pub(super) fn note_behind(&mut self, mark: Mark, out: &Out<'_>) {
        if !self.up.is_between() {
            return;
        }
        self.within = None;
        self.behind = self.behind_change(mark, out);
        self.contested |= self.behind == Behind::Upgrade;
    }

    /// Whether a request for another protocol still waits for its answer when this begins: the client had heard nothing since, or all that the
    /// server said was seen. Where answers were lost, or one side alone is seen, nobody knows whether there was none.
    fn behind_change(&self, mark: Mark, out: &Out<'_>) -> Behind {
        if mark.off < self.unheard_until {
            return Behind::Upgrade;
        }
        let answered = self.answer.as_ref().map(|a| a.target);
        let waits = |a: &Asked| a.upgrades && a.answer.is_none() && answered != Some(Target::Request(a.seq));
        let asked = self.queue.iter().find_map(|e| match e {
            Entry::Asked(a) if waits(a) => Some(a),
            _ => None,
        });
        let Some(asked) = asked else { return Behind::Nothing };
        let unheard = mark.ack.is_some() && mark.ack == asked.seen_down;
        let all_seen =
            !self.loose && out.facts.both_sides && mark.ack.is_some_and(|seen| seen <= self.down_at);
        match (unheard || all_seen, self.loose) {
            (true, _) => Behind::Upgrade,
            (false, true) => Behind::Contested,
            (false, false) => Behind::Nothing,
        }
    }

    /// Where content is to be read as a request, if it is. Nobody but an attacker sends something behind a request for another protocol without
    /// waiting for the answer: whatever reads like a request is one then, wherever the server went on behind what it dropped. Else it is
    /// remembered, where a piece begins as one, until answers tell.
    pub(super) fn request_within(&mut self, bytes: &[u8], mark: Mark) -> Option<usize> {
        if self.behind == Behind::Upgrade {
            return find_request(bytes);
        }
        let likely = likely_request(trim_start(bytes));
        let may = likely || self.behind != Behind::Nothing && may_begin(bytes);
        if may && self.within.as_ref().is_none_or(|within| likely && !within.likely) {
            self.within = Some(Within::new(mark, likely));
        }
        if let Some(within) = &mut self.within {
            within.keep(bytes, mark);
        }
        None
    }

    /// A final answer begins, while content is still to come that its server may have taken for requests: it is read again from there. Of a
    /// request that its server surely read the first one is its own.
    pub(super) fn answered_within(&mut self, at: Mark, out: &mut Out<'_>) {
        let Some(mark) = self.within.as_ref().map(|within| within.mark) else { return };
        if self.up.wants() != Wants::Body || at.ack.is_none_or(|seen| seen <= mark.off) {
            return;
        }
        if matches!(self.behind, Behind::Nothing | Behind::Change) && !self.is_answered_early() {
            return;
        }
        let Some(kept) = self.within.take().map(|within| within.bytes) else { return };
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

    /// The request whose content is coming has had a final answer, and no other is due.
    fn is_answered_early(&mut self) -> bool {
        !self.is_other_due() && self.reading_request().is_some_and(|asked| asked.finals > 0)
    }

    /// A request begins here, though the head of one that its server may have dropped is not at its end: it was dropped with the rest.
    pub(super) fn begins_behind(&self, bytes: &[u8]) -> bool {
        matches!(self.behind, Behind::Upgrade)
            && !self.up.is_between()
            && (likely_request(bytes)
                || (self.up.wants() == Wants::LongHead || self.holds_request_line())
                    && (begins_method(bytes) || may_be_old(bytes)))
    }

    /// Gives up the head that is being read, as far as it came.
    pub(super) fn leave_head(&mut self, mark: Mark, out: &mut Out<'_>) {
        if self.up.wants() == Wants::LongHead {
            self.finish_request(Completeness::REQUEST_TRUNCATED, mark.off, mark.ts, out);
        } else {
            self.salvage_request(Completeness::REQUEST_TRUNCATED, None, out);
            self.up.forget_head();
        }
        self.up.resume();
        self.contested = true;
        self.certainty.lose();
        self.give_up_dropped(out);
    }

    /// Requests behind one for another protocol whose server goes on behind all of them.
    fn give_up_dropped(&mut self, out: &mut Out<'_>) {
        let answered = self.answer.as_ref().map(|a| a.target);
        let unread = |e: &mut Entry| matches!(e, Entry::Asked(a) if a.behind && a.done && a.answer.is_none() && answered != Some(Target::Request(a.seq)));
        let mut dropped = Vec::new();
        while let Some(entry) = self.queue.pop_back_if(unread) {
            dropped.push(entry);
        }
        for entry in dropped.into_iter().rev() {
            if let Entry::Asked(asked) = entry {
                self.emit(*asked, None, Completeness::WHOLE, out);
            }
        }
    }

    /// What a request that its server may never have read has for its content begins as a request: it is read as one. Behind others that its
    /// server dropped it is answered in their place.
    pub(super) fn leave_content(&mut self, bytes: &[u8], mark: Mark, out: &mut Out<'_>) {
        self.up.end_known_body();
        self.finish_request(Completeness::REQUEST_TRUNCATED, mark.off, mark.ts, out);
        self.guessed = !likely_request(trim_start(bytes));
        self.up.resume();
        self.contested = true;
        self.certainty.lose();
        match self.behind {
            Behind::Upgrade => self.give_up_dropped(out),
            Behind::Contested => {
                let answered = self.answer.as_ref().map(|a| a.target);
                let unread = |e: &mut Entry| matches!(e, Entry::Asked(a) if a.done && a.answer.is_none() && answered != Some(Target::Request(a.seq)));
                if let Some(Entry::Asked(asked)) = self.queue.pop_back_if(unread) {
                    self.emit(*asked, None, Completeness::WHOLE, out);
                }
            }
            // It was read all the same.
            Behind::Change | Behind::Nothing => {}
        }
    }
}

/// Bytes may begin a request that some server reads: of any method, or without a version.
fn may_begin(bytes: &[u8]) -> bool {
    let bytes = trim_start(bytes);
    probe_request_of_http(bytes) != Probe::No || may_be_old(bytes)
}

/// A word and a path, as servers read them without a version.
fn may_be_old(bytes: &[u8]) -> bool {
    let word = bytes.iter().take(32).position(|b| *b == b' ');
    let Some((method, rest)) = word.and_then(|len| bytes.split_at_checked(len)) else { return false };
    let is_word =
        !method.is_empty() && method.iter().all(|b| b.is_ascii_uppercase() || matches!(b, b'-' | b'_'));
    let target = rest.get(1..).unwrap_or_default();
    is_word && (target.starts_with(b"/") || target.get(..4).is_some_and(|t| t.eq_ignore_ascii_case(b"http")))
}

/// Where a request begins in bytes that an attacker sent for content: at their beginning, or behind anything but a letter.
fn find_request(bytes: &[u8]) -> Option<usize> {
    let start = bytes.len() - trim_start(bytes).len();
    let first = bytes.get(start..).unwrap_or_default();
    if probe_request_of_http(first) == Probe::Certain
        || likely_request(first)
        || begins_method(first)
        || may_be_old(first)
    {
        return Some(0);
    }
    memchr_iter(b' ', bytes).find_map(|blank| {
        let word =
            bytes.get(..blank)?.rsplit(|b| !b.is_ascii_alphabetic() && !matches!(b, b'-' | b'_')).next()?;
        let from = blank - word.len();
        likely_request(bytes.get(from..)?).then_some(from)
    })
}
