//! Heads that were given up for a request that seems to begin amid them, behind a request for another protocol. A server that reads on behind that
//! reads them as one: they are told as well, whole, once it has acknowledged them.

use std::collections::VecDeque;

use sidetap_model::Completeness;
use sidetap_wire::http1::{head_end, trim_start};

use super::Http;
use super::behind::begins_within;
use super::entry::{Asked, Entry};
use super::reader::extend;
use crate::flow::{Mark, Out};

/// Bytes that are kept of such heads, places in one of them at which one begins, heads, and requests that wait for their acknowledgement.
const MOST: (usize, usize, usize, usize) = (64 << 10, 64, 64, 256);
/// Bytes that are read of heads within one another, each for itself.
const READ: usize = 256 << 10;
/// Bytes of a segment that are taken for a head at once: its end may be near.
const STEP: usize = 2 << 10;

/// Heads within one another of which no end was seen yet, from the first one on.
#[derive(Debug)]
struct Heads {
    mark: Mark,
    bytes: Vec<u8>,
    starts: Vec<usize>,
    scanned: usize,
}

impl Heads {
    fn end(&self) -> u64 {
        self.mark.off + self.bytes.len() as u64
    }

    /// Goes on with a segment up to the end of the last of them; true where nothing more is to come of them.
    fn read(&mut self, bytes: &[u8], mark: Mark) -> bool {
        let known = self.end().checked_sub(mark.off);
        let Some(mut more) = known.and_then(|known| bytes.get(known as usize..)) else { return true };
        let last = self.starts.last().copied().unwrap_or_default();
        loop {
            // What was looked through holds no end but one that goes on.
            if head_end(&self.bytes, last.max(self.scanned)).is_some() || self.bytes.len() > MOST.0 {
                return true;
            }
            self.scanned = self.bytes.len().saturating_sub(4);
            if more.is_empty() {
                return false;
            }
            let (next, rest) = more.split_at(STEP.min(more.len()));
            extend(&mut self.bytes, next);
            more = rest;
        }
    }
}

/// What was given up, and may have been read all the same.
#[derive(Default)]
pub(super) struct GivenUp {
    heads: VecDeque<Heads>,
    /// Requests that their server has not acknowledged.
    later: VecDeque<Box<Asked>>,
}

impl GivenUp {
    pub(super) fn held(&self) -> usize {
        self.heads.capacity() * size_of::<Heads>() + self.bytes()
    }

    fn bytes(&self) -> usize {
        self.heads.iter().map(|heads| heads.bytes.capacity()).sum()
    }

    /// No more of them has room: those of which the segment has the end are to be told.
    pub(super) fn is_full(&self) -> bool {
        self.heads.len() >= MOST.2
    }

    pub(super) fn is_empty(&self) -> bool {
        self.heads.is_empty() && self.later.is_empty()
    }
}

impl Http {
    /// The head that is being read is given up: false where it has no method and target yet, which is a request to nobody.
    pub(super) fn keep_given_up(&mut self, out: &mut Out<'_>) -> bool {
        let Some((held, at)) = self.up.unfinished_head().filter(|(held, _)| begins_within(trim_start(held)))
        else {
            return false;
        };
        let is_within = |heads: &&mut Heads| (heads.mark.off..=heads.end()).contains(&at.off);
        match self.given_up.heads.back_mut().filter(is_within) {
            // It began amid the one before: what the segment said since belongs to both.
            Some(heads) => {
                let known = (heads.end() - at.off) as usize;
                extend(&mut heads.bytes, held.get(known..).unwrap_or_default());
                if heads.starts.len() < MOST.1 {
                    heads.starts.push((at.off - heads.mark.off) as usize);
                }
            }
            None => {
                let heads = Heads { mark: at, bytes: held.to_vec(), starts: vec![0], scanned: 0 };
                self.given_up.heads.push_back(heads);
            }
        }
        while self.given_up.heads.len() > MOST.2
            || self.given_up.heads.len() > 1 && self.given_up.bytes() > MOST.0
        {
            self.tell_heads(out);
        }
        true
    }

    /// A segment was read: it may go on with such heads.
    pub(super) fn read_given_up(&mut self, bytes: &[u8], mark: Mark, out: &mut Out<'_>) {
        let mut at = 0;
        while let Some(heads) = self.given_up.heads.get_mut(at) {
            if !heads.read(bytes, mark) {
                at += 1;
            } else if let Some(heads) = self.given_up.heads.remove(at) {
                self.tell(heads, out);
            }
        }
    }

    /// Tells the first of them as far as they came.
    fn tell_heads(&mut self, out: &mut Out<'_>) {
        if let Some(heads) = self.given_up.heads.pop_front() {
            self.tell(heads, out);
        }
    }

    fn tell(&mut self, heads: Heads, out: &mut Out<'_>) {
        // Of many that stand within one another none is read far.
        let most = (READ / heads.starts.len().max(1)).max(STEP);
        for start in heads.starts {
            let end = heads.bytes.len().min(start.saturating_add(most));
            let from = heads.bytes.get(start..end).unwrap_or_default();
            let len = head_end(from, 0).unwrap_or(from.len());
            let head = from.get(..len).unwrap_or_default();
            // Less than a line is no request that anybody read: any word may look like one.
            if !trim_start(head).contains(&b'\n') {
                break;
            }
            let Some(room) = out.aside.unproven.checked_sub(1) else {
                *out.not_told += 1;
                continue;
            };
            out.aside.unproven = room;
            let told = self.read_head_alone(heads.mark.plus(start), head, out);
            for entry in told {
                if let Entry::Asked(mut asked) = entry {
                    asked.completeness.insert(Completeness::PAIRING_UNCERTAIN);
                    self.held += asked.size;
                    self.emit_heard(asked, out);
                }
            }
        }
    }

    /// Sends on a request that has no answer once its server has acknowledged it: what it never had counts against nobody.
    pub(super) fn emit_heard(&mut self, asked: Box<Asked>, out: &mut Out<'_>) {
        if out.facts.acked_up >= asked.end {
            return self.emit(*asked, None, Completeness::WHOLE, out);
        }
        self.given_up.later.push_back(asked);
        if self.given_up.later.len() > MOST.3
            && let Some(first) = self.given_up.later.pop_front()
        {
            self.emit(*first, None, Completeness::WHOLE, out);
        }
    }

    /// Sends on what was acknowledged since, or all that is left.
    pub(super) fn tell_given_up(&mut self, all: bool, out: &mut Out<'_>) {
        while all && !self.given_up.heads.is_empty() {
            self.tell_heads(out);
        }
        let acked = out.facts.acked_up;
        while let Some(asked) = self.given_up.later.pop_front_if(|asked| all || asked.end <= acked) {
            self.emit(*asked, None, Completeness::WHOLE, out);
        }
    }
}
