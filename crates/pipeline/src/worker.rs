use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam_channel::{Receiver, Sender};
use hashbrown::HashSet;
use sidetap_capture::{FlowLimits, FlowTable};
use sidetap_model::{Exchange, FlowId, Ts, Zone};

use crate::accounting::Tally;
use crate::analysis::{Analyzer, Stage};
use crate::batch::Batch;
use crate::item::Item;
use crate::reader::ToWorker;
use crate::snapshot::Snapshots;

/// What a worker hands in when an epoch ends.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) epoch: u64,
    pub(crate) now: Ts,
    pub(crate) items: Vec<Item>,
    /// The input is at its end: this epoch was not closed by time.
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
}

struct Output {
    analyzer: Analyzer,
    items: Vec<Item>,
    tally: Tally,
    /// Exchanges since the last tick.
    fresh: u64,
    /// Requests that were shown before their answer came.
    shown: HashSet<(FlowId, u32), foldhash::fast::FixedState>,
}

impl Worker {
    /// A request whose answer takes longer than this is judged before the answer comes.
    pub(crate) const HOLD: i64 = 2_000_000_000;

    /// Works until the reader hangs up; gives what was counted. `None` where the coordinator was gone.
    pub(crate) fn run(self) -> Option<Tally> {
        let mut tables: Vec<FlowTable> = (0..=255u8)
            .filter(|shard| usize::from(*shard) % self.of == self.index)
            .map(|shard| FlowTable::new(shard, &self.limits, self.zones.clone()))
            .collect();
        let mut out = Output {
            analyzer: self.analyzer,
            items: Vec::new(),
            tally: Tally::default(),
            fresh: 0,
            shown: HashSet::default(),
        };
        let mut epoch = 1;
        let mut now = Ts::default();
        out.analyzer.enter(self.snapshots.for_epoch(epoch)?);
        for message in &self.input {
            match message {
                ToWorker::Batch(mut batch) => {
                    for (shard, segment) in batch.segments() {
                        if let Some(table) = tables.get_mut(usize::from(shard) / self.of) {
                            table.segment(&segment, &mut |ex| out.exchange(ex));
                        }
                    }
                    batch.clear();
                    let _ = self.recycle.try_send(batch);
                }
                ToWorker::Tick { epoch: ended, now: at } => {
                    now = at;
                    for table in &mut tables {
                        table.tick(now, &mut |ex| out.exchange(ex));
                        table.open_requests(now.plus(-Self::HOLD), &mut |ex| out.open_request(ex));
                    }
                    self.exchanges.fetch_add(std::mem::take(&mut out.fresh), Relaxed);
                    let items = std::mem::take(&mut out.items);
                    self.parts.send(Part { epoch: ended, now, items, last: false }).ok()?;
                    epoch = ended + 1;
                    out.analyzer.enter(self.snapshots.for_epoch(epoch)?);
                }
            }
        }
        for table in &mut tables {
            table.finish(&mut |ex| out.exchange(ex));
        }
        self.parts.send(Part { epoch, now, items: std::mem::take(&mut out.items), last: true }).ok()?;
        Some(out.close(&tables))
    }
}

impl Output {
    fn exchange(&mut self, mut ex: Exchange) {
        let stage = if self.shown.remove(&(ex.flow_id, ex.seq)) { Stage::Answer } else { Stage::Whole };
        self.items.extend(self.analyzer.analyze(&mut ex, stage));
        self.tally.exchange(&ex);
        self.fresh += 1;
    }

    fn open_request(&mut self, ex: &Exchange) {
        if self.shown.insert((ex.flow_id, ex.seq)) {
            self.items.extend(self.analyzer.analyze(&mut ex.clone(), Stage::Request));
        }
    }

    fn close(mut self, tables: &[FlowTable]) -> Tally {
        for (what, n) in self.analyzer.left_out() {
            *self.tally.evictions.entry(what.to_owned()).or_default() += n;
        }
        for table in tables {
            let counters = table.counters();
            self.tally.add_streams(counters.streams());
            self.tally.anomalies(counters.anomalies());
            crate::accounting::add(&mut self.tally.evictions, counters.evictions());
        }
        self.tally
    }
}
