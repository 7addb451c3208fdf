//! Which flow makes room where there is none.

use sidetap_model::Exchange;

use super::{CLOSED, FOREIGN, FlowTable, HANDSHAKE, How, LISTS, LONE, OPEN, SILENT};

/// Of flows that are not closed the one goes first whose silence weighs most. Who asked nothing yet, or had no answer, has not shown that he is
/// worth the room; but who has shown it does not keep it for ever by that.
const EVICT_FIRST: [(usize, i64); LISTS - 1] =
    [(FOREIGN, 16), (HANDSHAKE, 16), (LONE, 16), (SILENT, 4), (OPEN, 1)];
/// Those that anybody can make.
const CHEAP: [usize; 4] = [HANDSHAKE, LONE, SILENT, FOREIGN];

impl FlowTable {
    /// Ends flows until what is held is within the cap again; `but` goes last. Where that alone holds more than its share, what it holds is sent
    /// on as it is and the connection goes on: who makes his own be cut says the rest of it all the same.
    pub(super) fn shrink(&mut self, but: u32, sink: &mut dyn FnMut(Exchange)) {
        let share = self.limits.flow_bytes;
        let takes_more = |table: &Self| table.slots.get(but as usize).is_some_and(|s| s.held > share);
        if takes_more(self) {
            self.counters.flows_over_share += 1;
            self.run(but, sink, |flow, cx| flow.shed(cx));
            if takes_more(self) {
                self.end(but, How::Evict, sink);
            }
            return;
        }
        while self.limits.taken(self.map.len(), self.held) > self.limits.bytes {
            if !self.evict_one(but, sink) {
                self.end(but, How::Evict, sink);
                self.counters.flows_evicted_for_memory += 1;
                return;
            }
            self.counters.flows_evicted_for_memory += 1;
        }
    }

    pub(super) fn evict_one(&mut self, but: u32, sink: &mut dyn FnMut(Exchange)) -> bool {
        let oldest = |list: usize| {
            let oldest = self.oldest(list)?;
            if oldest == but { self.newer_than(oldest) } else { Some(oldest) }
        };
        let silence = |index: u32| {
            let last = self.slots.get(index as usize).and_then(|s| s.last);
            self.now.zip(last).map_or(0, |(now, last)| now.since(last)).max(0)
        };
        let heads = EVICT_FIRST.into_iter().filter_map(|(list, weight)| oldest(list).map(|i| (i, weight)));
        // Of those that weigh the same the first one goes.
        let heaviest = heads.rev().max_by_key(|(i, weight)| silence(*i).saturating_mul(*weight));
        // So many that anybody can make are a flood: they make room for each other, young as they are.
        let len = |list: &usize| self.lists.get(*list).map_or(0, |l| l.len);
        let is_flood = CHEAP.iter().map(len).sum::<usize>() > self.limits.flows / 4;
        let foreign = len(&FOREIGN) > self.limits.flows / 8;
        let most =
            if foreign { Some(FOREIGN) } else { CHEAP.into_iter().max_by_key(len).filter(|_| is_flood) };
        let next = oldest(CLOSED).or_else(|| most.and_then(oldest));
        let victim = next.or(heaviest.map(|(index, _)| index));
        let Some(index) = victim else { return false };
        self.end(index, How::Evict, sink);
        true
    }
}
