//! Content that is whole and reads like requests. A server that takes no content of a request reads them next: nobody sees that but by an
//! answer too many.

use sidetap_model::{AnomalySet, Body, Request};
use sidetap_wire::http1::{HeadLimits, Parsed, RequestHead, request_head};

use super::Http;
use super::behind::begins_within;
use super::entry::{Asked, Entry};
use crate::flow::{Mark, Out};

/// Contents that are remembered of a flow, and bytes of them.
const MOST: (usize, usize) = (16, 64 << 10);
/// Requests that are told of one.
const MOST_TOLD: usize = 16;

/// The content of a request that was read to its end.
pub(super) struct Nested {
    mark: Mark,
    bytes: Vec<u8>,
    seq: u32,
    /// Its request was answered before it was there.
    is_early: bool,
}

impl Http {
    /// The request that is over has content that reads like a request.
    pub(super) fn keep_nested(&mut self) {
        let Some(Entry::Asked(asked)) = self.queue.back() else { return };
        let bytes = &asked.request.body.bytes;
        let Some(off) = asked.content.filter(|_| begins_within(bytes)) else { return };
        let held = self.nested.iter().map(|n| n.bytes.len()).sum::<usize>();
        let room = MOST.1.saturating_sub(held).min(bytes.len());
        if self.nested.len() < MOST.0 && room > 0 {
            let bytes = bytes.get(..room).unwrap_or_default().to_vec();
            let mark = Mark { off, ts: asked.last, ack: asked.seen_down_head };
            let (seq, is_early) = (asked.seq, asked.answer.is_some() || asked.finals > 0);
            self.nested.push(Nested { mark, bytes, seq, is_early });
        }
    }

    pub(super) fn held_nested(&self) -> usize {
        self.nested.iter().map(|n| size_of::<Nested>() + n.bytes.capacity()).sum()
    }

    /// A request begins: answers to what stands in the content of one before it may be taken for its own.
    pub(super) fn is_behind_nested(&self) -> bool {
        let open = |n: &Nested| {
            self.queue.iter().any(|e| matches!(e, Entry::Asked(a) if a.seq == n.seq && a.answer.is_none()))
        };
        self.nested.iter().any(|n| n.is_early || open(n))
    }

    /// A final answer begins that is due to nobody: what stands in the first such content was read as requests.
    pub(super) fn answered_beyond(&mut self, at: Mark, out: &mut Out<'_>) {
        let is_due = self.loose || !self.is_all_answered();
        if is_due || self.nested.first().is_none_or(|n| at.ack.is_none_or(|seen| seen <= n.mark.off)) {
            return;
        }
        let nested = self.nested.remove(0);
        let limits = HeadLimits { fields: out.limits.fields };
        let mut from = 0;
        for _ in 0..MOST_TOLD {
            let mut odd = AnomalySet::default();
            let rest = nested.bytes.get(from..).unwrap_or_default();
            let Parsed::Complete(head, used) = request_head(rest, &limits, &mut odd) else { break };
            let (begin, end) = (nested.mark.plus(from), nested.mark.plus(from + used));
            from += used;
            let RequestHead { method, target, version, headers, .. } = head;
            let request = Request { method, target, version, headers, body: Body::default() };
            let seq = std::mem::replace(out.seq, out.seq.wrapping_add(1));
            let mut asked = Asked::new(seq, begin, end, request, odd);
            (asked.content, asked.done) = (None, true);
            (asked.found, asked.vouched) = (true, true);
            self.held += asked.size;
            self.tally.request();
            self.queue.push_back(Entry::Asked(Box::new(asked)));
        }
        self.contest();
    }
}
