use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam_channel::{Receiver, Sender};
use hashbrown::HashSet;
use sidetap_capture::{FlowLimits, FlowTable};
use sidetap_model::{Exchange, FlowId, FlowKey, Ts, Zone};

use crate::accounting::Tally;
use crate::analysis::{Analyzer, Stage};
use crate::batch::Batch;
use crate::flagged::{Ring, Saved};
use crate::item::Item;
use crate::reader::ToWorker;
use crate::snapshot::Snapshots;

/// What a worker hands in when an epoch ends.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) worker: usize,
    pub(crate) epoch: u64,
    pub(crate) now: Ts,
    pub(crate) items: Vec<Item>,
    /// Packets of flagged flows.
    pub(crate) saved: Vec<Saved>,
    /// With the last one: recent packets, of which verdicts may still flag some.
    pub(crate) rings: Vec<Ring>,
    /// What was counted so far, now and then of a live run.
    pub(crate) tally: Option<Box<Tally>>,
    /// The worker's last one: the input is at its end, and nothing is left of it.
    pub(crate) last: bool,
}

/// Owns the flows of its logical shards from their first byte to their exchanges, and does all stateless work on these.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) of: usize,
    pub(crate) input: Receiver<ToWorker>,
    pub(crate) parts: Sender<Part>,
    pub(crate) recycle: Sender<Batch>,
    pub(crate) limits: FlowLimits,
    pub(crate) zones: Arc<[Zone]>,
    pub(crate) analyzer: Analyzer,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) exchanges: Arc<AtomicU64>,
    /// Bytes of recent packets that each logical shard holds, where packets of flagged flows are saved.
    pub(crate) ring: Option<usize>,
    /// Says now and then what was counted so far.
    pub(crate) counts: bool,
}

struct Output {
    analyzer: Analyzer,
    /// Exchanges that are over and still to be looked at: together, so that the code for flows and the code for exchanges take
    /// turns in the processor's cache less often.
    waiting: Vec<Exchange>,
    items: Vec<Item>,
    tally: Tally,
    /// Exchanges since the last tick.
    fresh: u64,
    /// Requests that were shown before their answer came.
    shown: HashSet<(FlowId, u32), foldhash::fast::FixedState>,
    /// Rings of recent packets, as many as tables or none; and exchanges that they have not heard of.
    rings: Vec<Ring>,
    heard: Vec<(FlowKey, FlowId, Option<&'static str>)>,
}

impl Worker {
    /// A request whose answer takes longer than this is judged before the answer comes.
    pub(crate) const HOLD: i64 = 2_000_000_000;

    /// Epochs after which what was counted so far is said again.
    const COUNTED: u64 = 5;

    /// Works until the reader hangs up; gives what was counted. `None` where the coordinator was gone.
    pub(crate) fn run(self) -> Option<Tally> {
        let mut tables: Vec<FlowTable> = (0..=255u8)
            .filter(|shard| usize::from(*shard) % self.of == self.index)
            .map(|shard| FlowTable::new(shard, &self.limits, self.zones.clone()))
            .collect();
        let mut out = Output {
            analyzer: self.analyzer,
            waiting: Vec::with_capacity(Output::TOGETHER),
            items: Vec::new(),
            tally: Tally::default(),
            fresh: 0,
            shown: HashSet::default(),
            rings: self.ring.map_or(Vec::new(), |cap| tables.iter().map(|_| Ring::new(cap)).collect()),
            heard: Vec::new(),
        };
        let mut epoch = 1;
        let mut now = Ts::default();
        out.analyzer.enter(self.snapshots.for_epoch(epoch)?);
        for message in &self.input {
            match message {
                ToWorker::Batch(mut batch) => {
                    let mut frames = batch.frames();
                    for (shard, segment) in batch.segments() {
                        let at = usize::from(shard) / self.of;
                        if let (Some(ring), Some(frame)) = (out.rings.get_mut(at), frames.next()) {
                            ring.push(&segment, &frame, &self.zones);
                        }
                        if let Some(table) = tables.get_mut(at) {
                            table.segment(&segment, &mut |ex| out.exchange(ex));
                        }
                        out.tell_ring(at);
                    }
                    drop(frames);
                    batch.clear();
                    let _ = self.recycle.try_send(batch);
                    out.look();
                }
                ToWorker::Tick { epoch: ended, now: at } => {
                    now = at;
                    for (at, table) in tables.iter_mut().enumerate() {
                        table.tick(now, &mut |ex| out.exchange(ex));
                        out.look();
                        table.open_requests(now.plus(-Self::HOLD), &mut |ex| out.open_request(ex));
                        out.tell_ring(at);
                    }
                    self.exchanges.fetch_add(std::mem::take(&mut out.fresh), Relaxed);
                    let items = std::mem::take(&mut out.items);
                    let saved = out.saved();
                    let rings = Vec::new();
                    let counts = self.counts && ended % Self::COUNTED == 1;
                    let tally = counts.then(|| Box::new(out.tally_of(&tables)));
                    let (worker, last) = (self.index, false);
                    self.parts
                        .send(Part { worker, epoch: ended, now, items, saved, rings, tally, last })
                        .ok()?;
                    epoch = ended + 1;
                    let world = self.snapshots.for_epoch(epoch)?;
                    out.rings.iter_mut().for_each(|ring| ring.convict(&world.convicted, &self.zones));
                    out.analyzer.enter(world);
                }
            }
        }
        // What ends with the input comes in steps, each an epoch of its own: all of it at once could be more than memory has room for.
        loop {
            let mut last = true;
            for (at, table) in tables.iter_mut().enumerate() {
                last &= table.finish_some(&mut |ex| out.exchange(ex));
                out.look();
                out.tell_ring(at);
            }
            self.exchanges.fetch_add(std::mem::take(&mut out.fresh), Relaxed);
            let (items, saved) = (std::mem::take(&mut out.items), out.saved());
            let rings = if last { std::mem::take(&mut out.rings) } else { Vec::new() };
            let (worker, tally) = (self.index, None);
            self.parts.send(Part { worker, epoch, now, items, saved, rings, tally, last }).ok()?;
            if last {
                break;
            }
            epoch += 1;
            let world = self.snapshots.for_epoch(epoch)?;
            out.rings.iter_mut().for_each(|ring| ring.convict(&world.convicted, &self.zones));
            out.analyzer.enter(world);
        }
        Some(out.close(&tables))
    }
}

impl Output {
    /// Exchanges that wait for one another at most.
    const TOGETHER: usize = 64;

    fn exchange(&mut self, ex: Exchange) {
        self.waiting.push(ex);
        // A ring hears of an exchange before it takes the next packet.
        if self.waiting.len() == Self::TOGETHER || !self.rings.is_empty() {
            self.look();
        }
    }

    /// Looks at all exchanges that wait.
    fn look(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        for mut ex in waiting.drain(..) {
            let stage = if self.shown.remove(&(ex.flow_id, ex.seq)) { Stage::Answer } else { Stage::Whole };
            let item = self.analyzer.analyze(&mut ex, stage);
            if !self.rings.is_empty() {
                let attempts = item.as_ref().and_then(|i| i.whole.as_ref()).map(|w| w.attempts.as_slice());
                self.heard.push((ex.flow, ex.flow_id, attempts.and_then(|a| a.first()).map(|a| a.class())));
            }
            self.items.extend(item);
            self.tally.exchange(&ex);
            self.fresh += 1;
        }
        self.waiting = waiting;
    }

    /// Tells a shard's ring of the exchanges that came of it.
    fn tell_ring(&mut self, at: usize) {
        if self.heard.is_empty() {
            return;
        }
        for (flow, id, exploit) in self.heard.drain(..) {
            let Some(ring) = self.rings.get_mut(at) else { continue };
            ring.note(&flow, id);
            if let Some(class) = exploit {
                ring.flag_flow(&flow, class);
            }
        }
    }

    fn saved(&mut self) -> Vec<Saved> {
        self.rings.iter_mut().flat_map(Ring::drain).collect()
    }

    fn open_request(&mut self, ex: &Exchange) {
        if self.shown.insert((ex.flow_id, ex.seq)) {
            self.items.extend(self.analyzer.analyze(&mut ex.clone(), Stage::Request));
        }
    }

    fn close(self, tables: &[FlowTable]) -> Tally {
        self.tally_of(tables)
    }

    /// What was counted so far, with what these tables counted.
    fn tally_of(&self, tables: &[FlowTable]) -> Tally {
        let mut tally = self.tally.clone();
        for (what, n) in self.analyzer.left_out() {
            *tally.evictions.entry(what.to_owned()).or_default() += n;
        }
        for table in tables {
            let counters = table.counters();
            tally.add_streams(counters.streams());
            tally.anomalies(counters.anomalies());
            crate::accounting::add(&mut tally.evictions, counters.evictions());
        }
        tally
    }
}
