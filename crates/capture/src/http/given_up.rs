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

/// Bytes that are kept of such heads, places in them at which one begins, and requests that wait for their acknowledgement.
const MOST: (usize, usize, usize) = (64 << 10, 64, 256);

/// Heads of which no end was seen yet, from the first one on.
#[derive(Debug)]
struct Heads {
    mark: Mark,
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Heads {
    fn end(&self) -> u64 {
        self.mark.off + self.bytes.len() as u64
    }
}

/// What was given up, and may have been read all the same.
#[derive(Default)]
pub(super) struct GivenUp {
    heads: Option<Box<Heads>>,
    /// Requests that their server has not acknowledged.
    later: VecDeque<Box<Asked>>,
}

impl GivenUp {
    pub(super) fn held(&self) -> usize {
        self.heads.as_ref().map_or(0, |heads| size_of::<Heads>() + heads.bytes.capacity())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.heads.is_none() && self.later.is_empty()
    }
}

impl Http {
    /// The head that is being read is given up: false where it has no method and target yet, which is a request to nobody.
    pub(super) fn keep_given_up(&mut self, out: &mut Out<'_>) -> bool {
        let Some((held, at)) = self.up.unfinished_head().filter(|(held, _)| begins_within(trim_start(held)))
        else {
            return false;
        };
        let (held, end) = (held.to_vec(), at.off + held.len() as u64);
        if self.given_up.heads.as_ref().is_some_and(|heads| heads.end() < end || heads.starts.len() >= MOST.1)
        {
            self.tell_heads(out);
        }
        match &mut self.given_up.heads {
            Some(heads) => heads.starts.push(at.off.saturating_sub(heads.mark.off) as usize),
            None => {
                self.given_up.heads = Some(Box::new(Heads { mark: at, bytes: held, starts: vec![0] }));
            }
        }
        true
    }

    /// A segment was read: it may go on with such heads.
    pub(super) fn read_given_up(&mut self, bytes: &[u8], mark: Mark, out: &mut Out<'_>) {
        let Some(heads) = &mut self.given_up.heads else { return };
        let more = heads.end().checked_sub(mark.off).and_then(|known| bytes.get(known as usize..));
        let Some(more) = more else { return self.tell_heads(out) };
        extend(&mut heads.bytes, more);
        let last = heads.starts.last().copied().unwrap_or_default();
        let is_whole = head_end(&heads.bytes, last).is_some();
        if is_whole || heads.bytes.len() > MOST.0 {
            self.tell_heads(out);
        }
    }

    /// Tells them as far as they came.
    fn tell_heads(&mut self, out: &mut Out<'_>) {
        let Some(heads) = self.given_up.heads.take() else { return };
        for start in heads.starts {
            let from = heads.bytes.get(start..).unwrap_or_default();
            let len = head_end(from, 0).unwrap_or(from.len());
            let head = from.get(..len).unwrap_or_default();
            // Less than a line is no request that anybody read: any word may look like one.
            if !trim_start(head).contains(&b'\n') {
                break;
            }
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
        if self.given_up.later.len() > MOST.2
            && let Some(first) = self.given_up.later.pop_front()
        {
            self.emit(*first, None, Completeness::WHOLE, out);
        }
    }

    /// Sends on what was acknowledged since, or all that is left.
    pub(super) fn tell_given_up(&mut self, all: bool, out: &mut Out<'_>) {
        if all {
            self.tell_heads(out);
        }
        let acked = out.facts.acked_up;
        while let Some(asked) = self.given_up.later.pop_front_if(|asked| all || asked.end <= acked) {
            self.emit(*asked, None, Completeness::WHOLE, out);
        }
    }
}
