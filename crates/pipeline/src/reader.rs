use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError};
use sidetap_capture::{Decoded, Decoder, Source};
use sidetap_model::Ts;
use sidetap_model::rows::PacketCounts;

use crate::batch::Batch;
use crate::clock::Clock;

/// What a worker is given.
#[derive(Debug)]
pub(crate) enum ToWorker {
    /// Segments of its logical shards.
    Batch(Batch),
    /// An epoch is over; `now` is packet time.
    Tick { epoch: u64, now: Ts },
}

/// What the coordinator and the hooks see of the reader while it works.
#[derive(Debug, Default)]
pub(crate) struct ReaderView {
    pub(crate) stop: AtomicBool,
    pub(crate) packets: AtomicU64,
    pub(crate) bytes_read: AtomicU64,
    pub(crate) bytes_total: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) now: std::sync::atomic::AtomicI64,
}

/// Reads packets, finds their flow's logical shard and hands them to its worker; marks epochs in all queues alike.
pub(crate) struct Reader<'a> {
    pub(crate) source: &'a mut (dyn Source + Send),
    pub(crate) decoder: Decoder,
    pub(crate) workers: Vec<Sender<ToWorker>>,
    pub(crate) recycled: Receiver<Batch>,
    pub(crate) live: bool,
    pub(crate) view: &'a ReaderView,
}

/// What the reader counted.
#[derive(Debug, Default)]
pub(crate) struct ReaderCounts {
    pub(crate) packets: PacketCounts,
    /// Told to stop before the end of the source.
    pub(crate) interrupted: bool,
    pub(crate) disbelieved_times: u64,
    pub(crate) late_packets: u64,
}

struct Filling {
    open: Vec<Batch>,
    counts: PacketCounts,
    clock: Clock,
    epoch: u64,
    epoch_start: Option<Ts>,
    segments: usize,
    shed: u64,
    interrupted: bool,
}

impl Reader<'_> {
    const EPOCH: i64 = 1_000_000_000;
    /// An epoch is closed early after so many segments, so that what waits for its end stays bounded.
    const EPOCH_SEGMENTS: usize = 65_536;

    /// Reads to the end of the source, or until told to stop.
    pub(crate) fn run(mut self) -> ReaderCounts {
        let mut f = Filling {
            open: self.workers.iter().map(|_| Batch::default()).collect(),
            counts: PacketCounts::default(),
            clock: Clock::default(),
            epoch: 1,
            epoch_start: None,
            segments: 0,
            shed: 0,
            interrupted: false,
        };
        let mut dropped: BTreeMap<&'static str, u64> = BTreeMap::new();
        self.view.bytes_total.store(self.source.bytes_total().unwrap_or(0), Relaxed);
        let mut idle = Idle::default();
        loop {
            if f.counts.total.is_multiple_of(1024) {
                self.report(&f);
                if self.view.stop.load(Relaxed) {
                    f.interrupted = true;
                    break;
                }
            }
            let Some(packet) = self.source.next_packet() else {
                if !self.source.idle() || self.view.stop.load(Relaxed) {
                    break;
                }
                if let Some(now) = idle.now(f.clock.now()) {
                    self.pass_time(&mut f, now);
                }
                continue;
            };
            idle.reset();
            f.counts.total += 1;
            let ts = packet.ts;
            match self.decoder.decode(&packet) {
                Decoded::Segment(segment) => {
                    f.counts.decoded += 1;
                    let worker = usize::from(segment.shard()) % self.workers.len();
                    if let Some(batch) = f.open.get_mut(worker) {
                        batch.push(&segment);
                    }
                    f.segments += 1;
                    self.after_segment(&mut f, worker);
                }
                Decoded::Other => f.counts.decoded += 1,
                Decoded::Dropped(reason) => *dropped.entry(reason.code()).or_default() += 1,
            }
            let now = f.clock.observe(ts);
            self.pass_time(&mut f, now);
        }
        self.report(&f);
        for worker in 0..self.workers.len() {
            self.send(&mut f, worker);
        }
        f.counts.dropped = dropped.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        if f.shed > 0 {
            f.counts.decoded = f.counts.decoded.saturating_sub(f.shed);
            f.counts.dropped.insert("queue-full".into(), f.shed);
        }
        f.counts.kernel_dropped = self.source.kernel_dropped();
        ReaderCounts {
            interrupted: f.interrupted,
            packets: f.counts,
            disbelieved_times: f.clock.disbelieved,
            late_packets: f.clock.late,
        }
    }

    fn after_segment(&mut self, f: &mut Filling, worker: usize) {
        if f.open.get(worker).is_some_and(Batch::is_full) {
            self.send(f, worker);
        }
    }

    /// Closes the epoch where `now` is a second after its start, or it grew too large.
    fn pass_time(&mut self, f: &mut Filling, now: Ts) {
        let start = *f.epoch_start.get_or_insert(now);
        if now.since(start) < Self::EPOCH && f.segments < Self::EPOCH_SEGMENTS {
            return;
        }
        // A mark goes into all queues or none. Live waits for nobody: while a queue has no room for it, the epoch goes on.
        if self.live && self.workers.iter().any(|to| to.capacity().is_some_and(|room| to.len() + 2 > room)) {
            return;
        }
        for worker in 0..self.workers.len() {
            self.send(f, worker);
            if let Some(to) = self.workers.get(worker)
                && to.send(ToWorker::Tick { epoch: f.epoch, now }).is_err()
            {
                self.view.stop.store(true, Relaxed);
            }
        }
        f.epoch += 1;
        f.epoch_start = Some(now);
        f.segments = 0;
    }

    /// Sends a worker's open batch. Replay waits for room; live sheds the batch and counts its packets.
    fn send(&mut self, f: &mut Filling, worker: usize) {
        let (Some(open), Some(to)) = (f.open.get_mut(worker), self.workers.get(worker)) else { return };
        if open.is_empty() {
            return;
        }
        let fresh = self.recycled.try_recv().unwrap_or_default();
        let full = ToWorker::Batch(std::mem::replace(open, fresh));
        if !self.live {
            if to.send(full).is_err() {
                self.view.stop.store(true, Relaxed);
            }
            return;
        }
        match to.try_send(full) {
            Ok(()) => {}
            Err(TrySendError::Full(ToWorker::Batch(mut batch))) => {
                f.shed += batch.len() as u64;
                batch.clear();
                *open = batch;
            }
            Err(_) => self.view.stop.store(true, Relaxed),
        }
    }

    fn report(&self, f: &Filling) {
        self.view.packets.store(f.counts.total, Relaxed);
        self.view.bytes_read.store(self.source.bytes_read(), Relaxed);
        self.view.dropped.store(f.shed + self.source.kernel_dropped(), Relaxed);
        self.view.now.store(f.clock.now().map_or(0, |t| t.0), Relaxed);
    }
}

/// Packet time while no packet comes: the last packet's time plus what a monotonic clock has measured since.
#[derive(Default)]
struct Idle {
    since: Option<Instant>,
}

impl Idle {
    fn now(&mut self, last: Option<Ts>) -> Option<Ts> {
        let last = last?;
        let elapsed = self.since.get_or_insert_with(Instant::now).elapsed().min(Duration::from_secs(86_400));
        Some(last.plus(i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)))
    }

    fn reset(&mut self) {
        self.since = None;
    }
}
