mod evict;

use std::cell::Cell;
use std::sync::Arc;

use hashbrown::HashMap;
use sidetap_model::{Anomaly, Exchange, Ts, Zone};

use super::app::Ends;
use super::counters::{Discard, Ended, FlowCounters};
use super::key::{Given, Key, key_of};
use super::list::{Links, List, NIL};
use super::open::Fit;
use super::track::{Flow, Side};
use super::twin::Twins;
use super::{Aside, Cx, FlowLimits};
use crate::decode::Segment;

/// The connections of one logical shard, from their first packet to their exchanges.
///
/// Bounded in flows and in bytes held: over a cap the flow that was idle longest is cut, those that never carried data
/// first, and counted. Time is that of [`FlowTable::tick`]; a table that is never told the time cuts no flow for its age.
pub struct FlowTable {
    limits: FlowLimits,
    zones: Arc<[Zone]>,
    pub(super) map: HashMap<Key, u32, foldhash::fast::RandomState>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    lists: [List; LISTS],
    held: usize,
    /// Bytes by which windows of delivered bytes may grow.
    room: usize,
    aside: Aside,
    /// The last tick's time; none was told yet where it is `None`.
    now: Option<Ts>,
    /// Flows in which something is waited for, with the time of the tick before.
    stalled: Vec<(Option<Ts>, u32, u32)>,
    /// Complete requests without an answer, oldest first: when, slot, serial number of its flow, number in it.
    unanswered: std::collections::VecDeque<(Ts, u32, u32, u32)>,
    fresh: Vec<(Ts, u32)>,
    /// Room that the flow at work uses.
    done: Vec<Exchange>,
    serial: u32,
    given: Given,
    pub(super) twins: Twins,
    pub(super) counters: FlowCounters,
}

/// Handshakes, flows of which exchanges came, closed flows, connections of which none came yet (they are silent, or drip), those of which one
/// side alone was heard, and those in tunnels that are not trusted, whatever came of them: one sender may have written both sides. Each has its
/// own idle time and is evicted as `evict` says.
const LISTS: usize = 6;
const HANDSHAKE: usize = 0;
const OPEN: usize = 1;
const CLOSED: usize = 2;
const SILENT: usize = 3;
const LONE: usize = 4;
const FOREIGN: usize = 5;

struct Slot {
    key: Key,
    serial: u32,
    list: usize,
    links: Links,
    last: Option<Ts>,
    held: usize,
    stall_noted: bool,
    flow: Option<Box<Flow>>,
}

impl FlowTable {
    /// The table of a logical shard; `zones` names the zones that segments give by index.
    pub fn new(_shard: u8, limits: &FlowLimits, zones: Arc<[Zone]>) -> Self {
        FlowTable {
            limits: limits.clone(),
            zones,
            map: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            lists: [List::default(); LISTS],
            held: 0,
            room: limits.windows,
            aside: Aside::new(limits),
            now: None,
            stalled: Vec::new(),
            unanswered: std::collections::VecDeque::new(),
            fresh: Vec::new(),
            done: Vec::new(),
            serial: 0,
            given: Given::default(),
            twins: Twins::default(),
            counters: FlowCounters::default(),
        }
    }

    /// What was counted so far.
    pub fn counters(&self) -> &FlowCounters {
        &self.counters
    }

    /// Flows in the table.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// True where no flow is in the table.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Bytes held by the flows.
    pub fn held_bytes(&self) -> usize {
        self.held
    }

    /// Takes a segment of this shard; exchanges that it completes go to `sink`.
    pub fn segment(&mut self, seg: &Segment<'_>, sink: &mut dyn FnMut(Exchange)) {
        self.counters.bytes += seg.payload.len() as u64;
        let (key, side) = key_of(seg);
        let mut found = self.map.get(&key).copied();
        if !self.twins.is_empty() || key.foreign != 0 {
            let Some(twin) = self.twin_of(found, key, side, seg, sink) else { return };
            found = twin;
        }
        let index = match found {
            Some(index) => match self.fit(index, side, seg) {
                Fit::Same => Some(index),
                Fit::Ignore => {
                    self.counters.discard(Discard::NotAStream, seg.payload.len());
                    if let Some(flow) = self.flow(index) {
                        flow.bytes += seg.payload.len() as u64;
                    }
                    None
                }
                Fit::New => Some(self.begin_again(index, key, side, seg, None, sink)),
                Fit::NewSince(opener, seq, answer) => {
                    Some(self.begin_again(index, key, side, seg, Some((opener, seq, answer)), sink))
                }
            },
            // A lone reset or acknowledgement opens nothing.
            None if seg.payload.is_empty() && seg.snapped == 0 && !seg.flags.syn() => None,
            None => Some(self.begin(key, seg, sink)),
        };
        if let Some(index) = index {
            self.run(index, sink, |flow, cx| flow.segment(side, seg, cx));
            self.shrink(index, sink);
        }
    }

    /// Tells the time: flows that were idle too long are cut, what was waited for too long is given up.
    ///
    /// Once [`FlowLimits::at_once`] exchanges came of it the other idle flows wait for the next tick.
    pub fn tick(&mut self, now: Ts, sink: &mut dyn FnMut(Exchange)) {
        let given = Cell::new(0);
        let mut sink = |ex| {
            given.set(given.get() + 1);
            sink(ex);
        };
        self.aside = Aside::new(&self.limits);
        let before = self.now;
        self.now = Some(before.map_or(now, |before| now.max(before)));
        if before.is_none() {
            self.slots.iter_mut().for_each(|s| s.last = self.now);
        }
        let due = self.stalled.partition_point(|(since, ..)| *since < before);
        let stalled: Vec<_> = self.stalled.drain(..due).collect();
        for (_, index, serial) in stalled {
            if self.slot(index, serial).is_some_and(|s| std::mem::take(&mut s.stall_noted)) {
                self.run(index, &mut sink, |flow, cx| flow.expire_stall(cx));
                self.shrink(index, &mut sink);
            }
        }
        for list in 0..LISTS {
            let limits = &self.limits;
            let limit = [limits.handshake, limits.idle, limits.closed, limits.idle, limits.idle, limits.idle];
            let limit = limit.get(list).copied().unwrap_or(i64::MAX);
            while given.get() < self.limits.at_once
                && let Some(index) = self.oldest(list)
            {
                let last = self.slots.get(index as usize).and_then(|s| s.last);
                let idle = self.now.zip(last).is_some_and(|(now, last)| now.since(last) > limit);
                if !idle {
                    break;
                }
                self.end(index, How::Idle, &mut sink);
            }
        }
    }

    /// Shows each complete request that came before `older_than` and has no answer yet, once. Its exchange, with the same
    /// `flow_id` and `seq`, still goes to the sink of the other methods when it is over.
    ///
    /// After [`FlowLimits::at_once`] of them the others wait for the next call.
    pub fn open_requests(&mut self, older_than: Ts, sink: &mut dyn FnMut(&Exchange)) {
        let shown = Cell::new(0);
        let mut sink = |ex: &Exchange| {
            shown.set(shown.get() + 1);
            sink(ex);
        };
        while shown.get() < self.limits.at_once
            && let Some((ts, index, serial, seq)) = self.unanswered.front().copied()
            && ts < older_than
        {
            self.unanswered.pop_front();
            let limits = &self.limits;
            let slot = self.slots.get_mut(index as usize).filter(|s| s.serial == serial);
            if let Some(flow) = slot.and_then(|s| s.flow.as_mut()) {
                flow.app.show_open(seq, limits, &mut sink);
            }
        }
    }

    /// The input is over: all flows end, in the order of their last packets.
    pub fn finish(&mut self, sink: &mut dyn FnMut(Exchange)) {
        while !self.finish_some(sink) {}
    }

    /// A step of [`FlowTable::finish`], which ends when [`FlowLimits::at_once`] exchanges came of it; true after the last one.
    pub fn finish_some(&mut self, sink: &mut dyn FnMut(Exchange)) -> bool {
        self.aside = Aside::new(&self.limits);
        let given = Cell::new(0);
        let mut sink = |ex| {
            given.set(given.get() + 1);
            sink(ex);
        };
        for list in 0..LISTS {
            while let Some(index) = self.oldest(list) {
                if given.get() >= self.limits.at_once {
                    return false;
                }
                self.end(index, How::Input, &mut sink);
            }
        }
        true
    }

    fn fit(&mut self, index: u32, side: Side, seg: &Segment<'_>) -> Fit {
        self.flow(index).map_or(Fit::Same, |flow| flow.fit(side, seg))
    }

    pub(super) fn flow(&mut self, index: u32) -> Option<&mut Flow> {
        self.slots.get_mut(index as usize)?.flow.as_deref_mut()
    }

    pub(super) fn key(&self, index: u32) -> Option<Key> {
        self.slots.get(index as usize).map(|s| s.key)
    }

    fn slot(&mut self, index: u32, serial: u32) -> Option<&mut Slot> {
        self.slots.get_mut(index as usize).filter(|s| s.serial == serial && s.flow.is_some())
    }

    /// Lets a flow work, then files it anew by what became of it.
    fn run(&mut self, index: u32, sink: &mut dyn FnMut(Exchange), work: impl FnOnce(&mut Flow, &mut Cx<'_>)) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        let serial = slot.serial;
        let Some(flow) = slot.flow.as_deref_mut() else { return };
        let short = self.held > self.limits.bytes / 2;
        let body = if short { self.limits.body / 8 } else { self.limits.body };
        let mut cx = Cx {
            limits: &self.limits,
            body,
            room: &mut self.room,
            counters: &mut self.counters,
            sink,
            aside: &mut self.aside,
            unanswered: &mut self.fresh,
            done: &mut self.done,
        };
        work(flow, &mut cx);
        let held = flow.held();
        self.held = self.held + held - slot.held;
        slot.held = held;
        let list = if flow.is_closed() {
            CLOSED
        } else if slot.key.foreign != 0 {
            FOREIGN
        } else if flow.app.has_told() || flow.waits_for_answer() {
            OPEN
        } else if flow.has_data && flow.is_mutual() || flow.is_established() {
            SILENT
        } else if flow.has_data {
            LONE
        } else {
            HANDSHAKE
        };
        let stalls = flow.is_stalled() && !std::mem::replace(&mut slot.stall_noted, flow.is_stalled());
        let moved = list != slot.list || slot.last != self.now;
        slot.last = self.now;
        if stalls {
            self.stalled.push((self.now, index, serial));
            self.forget_stalls();
        }
        while let Some((ts, seq)) = self.fresh.pop() {
            if self.unanswered.len() >= self.limits.unanswered {
                self.forget_unanswered();
            }
            self.unanswered.push_back((ts, index, serial, seq));
            self.fresh.shrink_to(64);
        }
        if moved {
            self.unlink(index);
            self.link(index, list);
        }
    }

    /// Forgets the request that has waited longest to be shown; it counts where it still has no answer.
    fn forget_unanswered(&mut self) {
        let Some((_, index, serial, seq)) = self.unanswered.pop_front() else { return };
        let flow =
            self.slots.get(index as usize).filter(|s| s.serial == serial).and_then(|s| s.flow.as_ref());
        self.counters.requests_not_shown += u64::from(flow.is_some_and(|f| f.app.is_unanswered(seq)));
    }

    /// Forgets what flows that are over waited for, where there is more of it than flows can be.
    fn forget_stalls(&mut self) {
        if self.stalled.len() > 2 * self.map.len().max(64) {
            let slots = &self.slots;
            let lives = |index: u32, serial: u32| {
                slots.get(index as usize).is_some_and(|s| s.serial == serial && s.flow.is_some())
            };
            self.stalled.retain(|(_, index, serial)| lives(*index, *serial));
        }
    }

    /// Another connection on the addresses of `index`: what strayed into that one is its beginning.
    fn begin_again(
        &mut self,
        index: u32,
        key: Key,
        side: Side,
        seg: &Segment<'_>,
        opened: Option<(Side, u32, Option<u32>)>,
        sink: &mut dyn FnMut(Exchange),
    ) -> u32 {
        let flow = self.slots.get_mut(index as usize).and_then(|s| s.flow.as_deref_mut());
        let (strays, former) = flow.map_or((Vec::new(), None), |flow| {
            (flow.take_strays(&mut self.counters), flow.stands_alone(side))
        });
        self.end(index, How::Reused, sink);
        self.counters.anomaly(Anomaly::TcpReuse);
        let index = self.begin(key, seg, sink);
        if let Some(flow) = self.flow(index) {
            flow.former = former;
        }
        if let Some((opener, seq, answer)) = opened
            && let Some(flow) = self.flow(index)
        {
            flow.opened_by(opener, seq, answer);
        }
        for stray in strays {
            let seg = stray.segment(side, seg);
            self.run(index, sink, |flow, cx| flow.segment(stray.side, &seg, cx));
        }
        index
    }

    pub(super) fn begin(&mut self, key: Key, seg: &Segment<'_>, sink: &mut dyn FnMut(Exchange)) -> u32 {
        while self.limits.is_full(self.map.len(), self.held) {
            if !self.evict_one(NIL, sink) {
                break;
            }
            self.counters.flows_evicted += 1;
        }
        self.serial = self.serial.wrapping_add(1);
        let zone = self.zones.get(usize::from(key.zone)).copied().unwrap_or_default();
        let ends = if seg.src <= seg.dst { [seg.src, seg.dst] } else { [seg.dst, seg.src] };
        let foreign = key.foreign != 0;
        let ends = Ends { zone, zone_index: key.zone, ends, id: self.given.id(&key, seg.ts), foreign };
        let slot = Slot {
            key,
            serial: self.serial,
            list: HANDSHAKE,
            links: Links { newer: NIL, older: NIL },
            last: self.now,
            held: 0,
            stall_noted: false,
            flow: Some(Box::new(Flow::new(ends))),
        };
        let index = match self.free.pop() {
            Some(index) => {
                if let Some(place) = self.slots.get_mut(index as usize) {
                    *place = slot;
                }
                index
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        self.map.insert(key, index);
        if key.foreign != 0 {
            self.twins.begins(key, index);
        }
        self.link(index, HANDSHAKE);
        index
    }

    pub(super) fn end(&mut self, index: u32, how: How, sink: &mut dyn FnMut(Exchange)) {
        let by_itself = self.flow(index).and_then(|flow| flow.ended()).filter(|_| how != How::Copied);
        self.run(index, sink, |flow, cx| match how {
            How::Evict => flow.evict(cx),
            How::Idle => {
                // One that is closed was not cut for its silence.
                if !flow.is_closed() {
                    flow.idled();
                }
                flow.finish(cx);
            }
            How::Reused | How::Input | How::Copied => flow.finish(cx),
        });
        self.unlink(index);
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        let Some(flow) = slot.flow.take() else { return };
        self.held -= std::mem::take(&mut slot.held);
        self.room += flow.windows();
        self.map.remove(&slot.key);
        if slot.key.foreign != 0
            && let Some(other) = self.twins.ends(slot.key, index)
        {
            self.map.remove(&other);
        }
        self.free.push(index);
        flow.flow_anomalies().iter().for_each(|a| self.counters.anomaly(a));
        self.counters.flow(flow.carried());
        self.counters.flows_unanswered += u64::from(!flow.is_answered());
        self.counters.ended(by_itself.unwrap_or(match how {
            How::Reused => Ended::Reused,
            How::Idle => Ended::Idle,
            How::Evict => Ended::Evicted,
            How::Input => Ended::Input,
            How::Copied => Ended::Copied,
        }));
    }

    fn oldest(&self, list: usize) -> Option<u32> {
        self.lists.get(list).map(|l| l.oldest).filter(|i| *i != NIL)
    }

    fn newer_than(&self, index: u32) -> Option<u32> {
        self.slots.get(index as usize).map(|s| s.links.newer).filter(|i| *i != NIL)
    }

    fn link(&mut self, index: u32, list: usize) {
        let Some(head) = self.lists.get_mut(list) else { return };
        let older = std::mem::replace(&mut head.newest, index);
        head.len += 1;
        if head.oldest == NIL {
            head.oldest = index;
        }
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.list = list;
            slot.links = Links { newer: NIL, older };
        }
        if let Some(slot) = self.slots.get_mut(older as usize) {
            slot.links.newer = index;
        }
    }

    fn unlink(&mut self, index: u32) {
        let Some(slot) = self.slots.get(index as usize) else { return };
        let (list, Links { newer, older }) = (slot.list, slot.links);
        let Some(head) = self.lists.get_mut(list) else { return };
        head.len = head.len.saturating_sub(1);
        if head.newest == index {
            head.newest = older;
        }
        if head.oldest == index {
            head.oldest = newer;
        }
        if let Some(slot) = self.slots.get_mut(newer as usize) {
            slot.links.older = older;
        }
        if let Some(slot) = self.slots.get_mut(older as usize) {
            slot.links.newer = newer;
        }
    }
}

/// How a flow ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum How {
    /// Another connection begins on the same addresses.
    Reused,
    /// It was silent too long.
    Idle,
    /// The input is over.
    Input,
    /// It must make room.
    Evict,
    /// What it carried comes without its tunnel too.
    Copied,
}

#[cfg(test)]
mod tests {
    use sidetap_model::Addr;

    use super::*;
    use crate::decode::{Carried, TcpFlags};

    #[test]
    fn flows_that_come_and_go_at_one_time_leave_nothing_behind() {
        let limits = FlowLimits { flows: 64, flows_room: 0, unanswered: 40, ..FlowLimits::default() };
        let mut table = FlowTable::new(0, &limits, Arc::from([Zone::default()]));
        let server = Addr { ip: [192, 0, 2, 1].into(), port: 80 };
        for n in 0..5_000_u32 {
            let client = Addr { ip: n.to_be_bytes().into(), port: 1024 };
            let request = &b"GET / HTTP/1.1\r\n\r\n"[..];
            for (seq, flags, payload) in [(0, 2, &b""[..]), (1, 16, request), (99, 16, b"behind a hole")] {
                let segment = Segment {
                    zone: 0,
                    src: client,
                    dst: server,
                    ts: Ts(0),
                    seq,
                    ack: 0,
                    flags: TcpFlags(flags),
                    window: 0,
                    payload,
                    snapped: 0,
                    urgent: 0,
                    clocks: None,
                    carried: Carried::default(),
                };
                table.segment(&segment, &mut |_| {});
            }
            assert!(table.stalled.len() <= 129 && table.unanswered.len() <= 40);
        }
        assert_eq!(table.counters.evictions()["early-requests"], 4_960);
    }

    #[test]
    fn what_is_due_at_once_comes_in_steps() {
        let limits = FlowLimits { at_once: 10, ..FlowLimits::default() };
        let mut table = FlowTable::new(0, &limits, Arc::from([Zone::default()]));
        table.tick(Ts(0), &mut |_| {});
        for n in 0..60_u8 {
            let end = |ip: [u8; 4], port| Addr { ip: ip.into(), port };
            let segment = Segment {
                zone: 0,
                src: end([10, 0, 0, n], 1024),
                dst: end([192, 0, 2, 1], 80),
                ts: Ts(0),
                seq: 1,
                ack: 0,
                flags: TcpFlags(16),
                window: 0,
                payload: b"GET / HTTP/1.1\r\n\r\n",
                snapped: 0,
                urgent: 0,
                clocks: None,
                carried: Carried::default(),
            };
            table.segment(&segment, &mut |_| {});
        }
        let mut shown = Vec::new();
        for _ in 0..7 {
            let mut count = 0;
            table.open_requests(Ts(1), &mut |_| count += 1);
            shown.push(count);
        }
        assert_eq!(shown, [10, 10, 10, 10, 10, 10, 0]);
        for second in 0..2 {
            let mut count = 0;
            table.tick(Ts(700_000_000_000 + second), &mut |_| count += 1);
            assert_eq!(count, 10);
        }
        let mut given = Vec::new();
        while !table.finish_some(&mut |ex| given.push(ex.flow_id)) {
            assert_eq!(given.len() % 10, 0);
        }
        assert_eq!((given.len(), table.len()), (40, 0));
    }
}
