use hashbrown::HashMap;
use sidetap_model::Exchange;

use super::counters::Discard;
use super::half::{BASE, Half};
use super::key::Key;
use super::table::{FlowTable, How};
use super::track::Side;
use crate::decode::Segment;

/// So near to where a direction stands its copy in a tunnel is.
const NEAR: u64 = 1 << 20;

/// Flows of tunnels that are not trusted, by the ends that their packets name.
///
/// The same connection may come another way as well: its packets without the tunnel too (a capture of both sides of a gateway), or one
/// direction of it without (servers behind a balancer that answer their clients directly), or in another tunnel.
#[derive(Default)]
pub(super) struct Twins {
    /// The last one on these ends.
    last: HashMap<Key, u32, foldhash::fast::RandomState>,
    /// The key under which the answering side of one comes.
    answers: HashMap<u32, (Key, Side), foldhash::fast::RandomState>,
}

impl Twins {
    pub(super) fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    pub(super) fn begins(&mut self, key: Key, index: u32) {
        self.last.insert(key.bare(), index);
    }

    /// Such a flow is over; gives the other key that leads to it.
    pub(super) fn ends(&mut self, key: Key, index: u32) -> Option<Key> {
        if self.last.get(&key.bare()) == Some(&index) {
            self.last.remove(&key.bare());
        }
        self.answers.remove(&index).map(|(key, _)| key)
    }
}

impl FlowTable {
    /// The flow of a segment on ends on which packets come in tunnels that are not trusted, where there is one; `None` where the
    /// segment is to be left out.
    ///
    /// What comes without a tunnel counts, and what repeats it in one is a copy. Where the answer to a SYN alone comes another
    /// way, both are one connection; it stays hearsay, as its client is.
    pub(super) fn twin_of(
        &mut self,
        found: Option<u32>,
        key: Key,
        side: Side,
        seg: &Segment<'_>,
        sink: &mut dyn FnMut(Exchange),
    ) -> Option<Option<u32>> {
        if key.foreign != 0
            && let Some(bare) = self.map.get(&key.bare()).copied()
            && self.is_bare(bare)
            && self.flow(bare).is_some_and(|f| stands_near(&f.half[side & 1], seg))
        {
            self.counters.discard(Discard::TunnelCopy, seg.payload.len());
            return None;
        }
        let mut nowhere = |_| {};
        let joined = found.and_then(|index| self.twins.answers.get(&index));
        if let Some(index) = found
            && joined.is_some_and(|(other, answering)| *other == key && *answering != side)
        {
            return Some(self.part(index, key, side, seg, sink));
        }
        let Some(twin) = self.twins.last.get(&key.bare()).copied() else { return Some(found) };
        if found == Some(twin) {
            return Some(found);
        }
        if key.foreign == 0
            && let Some(flow) = self.flow(twin)
            && stands_near(&flow.half[side & 1], seg)
        {
            let told = flow.app.has_told() || flow.is_answered();
            self.end(twin, How::Copied, if told { sink } else { &mut nowhere });
            return Some(found);
        }
        if found.is_none() && self.answers_twin(twin, side, seg) {
            self.map.insert(key, twin);
            self.twins.answers.insert(twin, (key, side));
            return Some(Some(twin));
        }
        Some(found)
    }

    fn is_bare(&self, index: u32) -> bool {
        self.key(index).is_some_and(|key| key.foreign == 0)
    }

    /// Whether a segment is the first of the side that answers the SYN of a flow of which that side was not seen.
    fn answers_twin(&mut self, twin: u32, side: Side, seg: &Segment<'_>) -> bool {
        if !seg.flags.syn() || !seg.flags.ack() || self.twins.answers.contains_key(&twin) {
            return false;
        }
        let syn = Some(seg.ack.wrapping_sub(1));
        self.flow(twin).is_some_and(|flow| {
            let [own, other] = [&flow.half[side & 1], &flow.half[(side ^ 1) & 1]];
            !own.seen && other.bare_syn && other.syn == syn
        })
    }

    /// Who opened the connection is heard on the way of the answers: his connection is that one, and what was said in the tunnel
    /// is another's word.
    fn part(
        &mut self,
        index: u32,
        key: Key,
        side: Side,
        seg: &Segment<'_>,
        sink: &mut dyn FnMut(Exchange),
    ) -> Option<u32> {
        let mut nowhere = |_| {};
        let numbers = self.flow(index).and_then(|flow| {
            let blank = |h: &Half| h.next == BASE && h.pending.is_empty();
            let [own, other] = [&flow.half[side & 1], &flow.half[(side ^ 1) & 1]];
            own.syn.filter(|_| flow.half.iter().all(blank)).zip(Some(other.syn))
        });
        let copy = numbers.is_some() && self.flow(index).is_some_and(|f| stands_near(&f.half[side & 1], seg));
        self.end(index, How::Copied, if copy { &mut nowhere } else { &mut *sink });
        if !copy && seg.payload.is_empty() && seg.snapped == 0 && !seg.flags.syn() {
            return None;
        }
        let index = self.begin(key, seg, sink);
        if let Some((syn, answer)) = numbers.filter(|_| copy)
            && let Some(flow) = self.flow(index)
        {
            flow.opened_by(side, syn, answer);
        }
        Some(index)
    }
}

/// A segment stands where this direction does.
fn stands_near(half: &Half, seg: &Segment<'_>) -> bool {
    let near = |off: u64| off.abs_diff(half.next) <= NEAR;
    half.seen && half.is_started() && half.place(seg.seq).is_some_and(near)
}
