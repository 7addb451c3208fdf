use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError};
use sidetap_capture::{Decoded, Decoder, Packet, Source};
use sidetap_model::Ts;
use sidetap_model::rows::PacketCounts;

use crate::batch::Batch;
use crate::clock::Clock;
use crate::flagged::Frame;
use crate::shed::Shed;
use crate::weight::weight;

/// What a worker is given.
#[derive(Debug)]
pub(crate) enum ToWorker {
    /// Segments of its logical shards.
    Batch(Batch),
    /// An epoch is over; `now` is packet time.
    Tick { epoch: u64, now: Ts },
}

/// What the coordinator and the hooks see of all readers while they work.
#[derive(Debug, Default)]
pub(crate) struct ReaderView {
    pub(crate) stop: AtomicBool,
    pub(crate) packets: AtomicU64,
    pub(crate) bytes_read: AtomicU64,
    pub(crate) bytes_total: AtomicU64,
    pub(crate) kernel_dropped: AtomicU64,
    pub(crate) shed: AtomicU64,
    pub(crate) now: AtomicI64,
    pub(crate) news: Mutex<Vec<String>>,
    /// The epoch that is open. Whoever closes it holds `closing`, so that all workers get the marks in one order.
    pub(crate) epoch: AtomicU64,
    pub(crate) closing: Mutex<Ts>,
}

impl ReaderView {
    const NEWS: usize = 64;

    fn tell(&self, line: String) {
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        if news.len() < Self::NEWS {
            news.push(line);
        }
    }

    /// Takes what became known since the last call.
    pub(crate) fn take_news(&self) -> Vec<String> {
        std::mem::take(&mut self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reads packets, finds their flow's logical shard and hands them to its worker; marks epochs in all queues alike.
pub(crate) struct Reader<'a> {
    pub(crate) source: &'a mut (dyn Source + Send),
    pub(crate) decoder: Decoder,
    pub(crate) workers: Vec<Sender<ToWorker>>,
    pub(crate) recycled: Receiver<Batch>,
    pub(crate) live: bool,
    /// See [`Reader::epoch_segments`].
    pub(crate) epoch_segments: usize,
    /// Packets go along with their segments.
    pub(crate) frames: bool,
    pub(crate) view: &'a ReaderView,
}

/// What the reader counted.
#[derive(Debug, Default)]
pub(crate) struct ReaderCounts {
    pub(crate) packets: PacketCounts,
    /// Told to stop before the end of the source.
    pub(crate) interrupted: bool,
    /// What packet times did to the clock, by name; a name may come twice.
    pub(crate) clock: Vec<(&'static str, u64)>,
    /// Entries that the decoder's tables gave up.
    pub(crate) evictions: BTreeMap<String, u64>,
}

impl ReaderCounts {
    /// Adds what another reader counted.
    pub(crate) fn merge(&mut self, other: ReaderCounts) {
        let (all, more) = (&mut self.packets, other.packets);
        all.total += more.total;
        all.decoded += more.decoded;
        all.kernel_dropped += more.kernel_dropped;
        crate::accounting::add(&mut all.noted, more.noted);
        crate::accounting::add(&mut self.evictions, other.evictions);
        crate::accounting::add(&mut all.dropped, more.dropped);
        self.interrupted |= other.interrupted;
        self.clock.extend(other.clock);
    }
}

struct Filling {
    open: Vec<Batch>,
    counts: PacketCounts,
    clock: Clock,
    epoch: u64,
    epoch_start: Option<Ts>,
    segments: usize,
    /// Packet time from which on the view of a live source is to be brought up to date.
    report_at: Ts,
    /// Packets of flows that were left out, and of batches that no queue had room for.
    shed: (u64, u64),
    levels: Vec<Shed>,
    reported: Reported,
    interrupted: bool,
}

/// What the view was told so far.
#[derive(Default)]
struct Reported {
    packets: u64,
    bytes: u64,
    kernel: u64,
    shed: u64,
}

impl Reader<'_> {
    const EPOCH: i64 = 1_000_000_000;
    /// An epoch is closed early after so many segments, by [`weight`], so that what waits for its end stays bounded: one for
    /// each 16 KiB of the memory limit, within these bounds.
    const EPOCH_SEGMENTS: RangeInclusive<u64> = 4_096..=65_536;
    /// How long a live source is read at most after it was told to stop: until what the kernel holds is read.
    const LAST_WORDS: Duration = Duration::from_secs(2);

    /// Packet time between two looks at what a live source brought and whether it is to stop: a port with little traffic
    /// takes seconds for a round number of packets.
    const LOOKS: i64 = 200_000_000;

    /// How many segments an epoch may have under a memory limit.
    pub(crate) fn epoch_segments(memory_limit: u64) -> usize {
        (memory_limit >> 14).clamp(*Self::EPOCH_SEGMENTS.start(), *Self::EPOCH_SEGMENTS.end()) as usize
    }

    /// Reads to the end of the source, or until told to stop.
    pub(crate) fn run(mut self) -> ReaderCounts {
        let mut f = Filling {
            open: self.workers.iter().map(|_| Batch::default()).collect(),
            counts: PacketCounts::default(),
            clock: Clock::default(),
            epoch: self.view.epoch.load(Relaxed),
            epoch_start: None,
            segments: 0,
            report_at: Ts(0),
            shed: (0, 0),
            levels: vec![Shed::NONE; self.workers.len()],
            reported: Reported::default(),
            interrupted: false,
        };
        let mut dropped: BTreeMap<&'static str, u64> = BTreeMap::new();
        self.view.bytes_total.fetch_add(self.source.bytes_total().unwrap_or(0), Relaxed);
        let steady = self.source.keeps_time();
        let mut idle = Idle::default();
        let mut stopping = None;
        loop {
            let now = f.clock.now().filter(|_| self.live);
            if f.counts.total.is_multiple_of(1024) || now.is_some_and(|now| now >= f.report_at) {
                f.report_at = now.map_or(f.report_at, |now| now.plus(Self::LOOKS));
                self.report(&mut f);
                if self.view.stop.load(Relaxed) {
                    f.interrupted = true;
                    // Live, what had arrived by now is still read.
                    let asked = *stopping.get_or_insert_with(Instant::now);
                    if !self.live || asked.elapsed() >= Self::LAST_WORDS {
                        break;
                    }
                }
            }
            // Not moved: a copy of what was just written would wait for all that was written before.
            let mut next = self.source.next_packet();
            let Some(packet) = next.as_mut() else {
                if !self.source.idle() || self.view.stop.load(Relaxed) {
                    break;
                }
                self.report(&mut f);
                self.calm_down(&mut f);
                if let Some(now) = f.clock.now_after(idle.elapsed()) {
                    self.pass_time(&mut f, now);
                }
                continue;
            };
            idle.reset();
            f.counts.total += 1;
            match steady {
                true => f.clock.follow(packet.ts),
                false => packet.ts = f.clock.observe(packet.ts),
            }
            match self.decoder.decode(packet) {
                Decoded::Segment(segment) => {
                    f.counts.decoded += 1;
                    let shard = segment.shard();
                    let worker = usize::from(shard) % self.workers.len();
                    let sheds = f.levels.get(worker).is_some_and(|l| l.sheds(&segment));
                    let segment = if sheds { Shed::remains(&segment) } else { Some(segment) };
                    match (f.open.get_mut(worker), &segment) {
                        (Some(batch), Some(segment)) => {
                            batch.push(shard, segment, packet.block);
                            if self.frames {
                                batch.push_frame(&frame(packet, f.counts.total));
                            }
                        }
                        _ => f.shed.0 += 1,
                    }
                    f.segments += segment.map_or(1, |s| weight(s.payload, packet.ts));
                    self.after_segment(&mut f, worker);
                }
                Decoded::Other => f.counts.decoded += 1,
                Decoded::Dropped(reason) => *dropped.entry(reason.code()).or_default() += 1,
            }
            if let Some(now) = f.clock.now() {
                self.pass_time(&mut f, now);
            }
        }
        for worker in 0..self.workers.len() {
            self.send(&mut f, worker);
        }
        self.source.count_last();
        self.report(&mut f);
        f.counts.dropped = dropped.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        for (reason, n) in [("flow-shed", f.shed.0), ("queue-full", f.shed.1)] {
            if n > 0 {
                f.counts.decoded = f.counts.decoded.saturating_sub(n);
                f.counts.dropped.insert(reason.into(), n);
            }
        }
        f.counts.kernel_dropped = self.source.kernel_dropped();
        f.counts.noted = self.decoder.counters().noted();
        ReaderCounts {
            interrupted: f.interrupted,
            packets: f.counts,
            clock: [self.source.clock(), f.clock.counts().to_vec()].concat(),
            evictions: self.decoder.evictions(),
        }
    }

    fn after_segment(&mut self, f: &mut Filling, worker: usize) {
        if f.open.get(worker).is_some_and(Batch::is_full) {
            self.send(f, worker);
        }
    }

    /// Closes the epoch where `now` is a second after its start, or it grew too large.
    ///
    /// While nothing came, time went by without packets; the time told never goes back behind that.
    fn pass_time(&mut self, f: &mut Filling, now: Ts) {
        let start = *f.epoch_start.get_or_insert(now);
        let now = now.max(start);
        if self.view.epoch.load(Relaxed) != f.epoch {
            return self.follow(f, now);
        }
        if now.since(start) < Self::EPOCH && f.segments < self.epoch_segments {
            return;
        }
        let view = self.view;
        let mut latest = view.closing.lock().unwrap_or_else(PoisonError::into_inner);
        if view.epoch.load(Relaxed) != f.epoch {
            return self.follow(f, now);
        }
        // A mark goes into all queues or none. Live waits for nobody: while a queue has no room for it, the epoch goes on.
        if self.live && self.workers.iter().any(|to| to.capacity().is_some_and(|room| to.len() + 2 > room)) {
            return;
        }
        // Readers differ by what each still holds: time does not go back when another one closes an epoch.
        *latest = now.max(*latest);
        for worker in 0..self.workers.len() {
            self.send(f, worker);
            if let Some(to) = self.workers.get(worker)
                && to.send(ToWorker::Tick { epoch: f.epoch, now: *latest }).is_err()
            {
                self.view.stop.store(true, Relaxed);
            }
        }
        f.epoch += 1;
        f.epoch_start = Some(now);
        f.segments = 0;
        view.epoch.store(f.epoch, Relaxed);
    }

    /// Another reader closed the epoch: what this one holds goes after it at once.
    fn follow(&mut self, f: &mut Filling, now: Ts) {
        for worker in 0..self.workers.len() {
            self.send(f, worker);
        }
        f.epoch = self.view.epoch.load(Relaxed);
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
        if let (Some(level), Some(room)) = (f.levels.get_mut(worker), to.capacity()) {
            level.observe(to.len(), room, Instant::now());
        }
        match to.try_send(full) {
            Ok(()) => {}
            Err(TrySendError::Full(ToWorker::Batch(mut batch))) => {
                f.shed.1 += batch.len() as u64;
                batch.clear();
                *open = batch;
            }
            Err(_) => self.view.stop.store(true, Relaxed),
        }
    }

    /// While nothing comes, queues empty themselves.
    fn calm_down(&self, f: &mut Filling) {
        for (level, to) in f.levels.iter_mut().zip(&self.workers) {
            level.observe(to.len(), to.capacity().unwrap_or(usize::MAX), Instant::now());
        }
    }

    fn report(&mut self, f: &mut Filling) {
        let (view, was) = (self.view, &mut f.reported);
        let add = |to: &AtomicU64, was: &mut u64, is: u64| {
            to.fetch_add(is.saturating_sub(*was), Relaxed);
            *was = is.max(*was);
        };
        add(&view.packets, &mut was.packets, f.counts.total);
        add(&view.bytes_read, &mut was.bytes, self.source.bytes_read());
        add(&view.kernel_dropped, &mut was.kernel, self.source.kernel_dropped());
        add(&view.shed, &mut was.shed, f.shed.0 + f.shed.1);
        view.now.fetch_max(f.clock.now().map_or(0, |t| t.0), Relaxed);
        while let Some(line) = self.source.news() {
            view.tell(line);
        }
    }
}

/// A packet as it is, and where it stands in the input.
fn frame<'a>(packet: &Packet<'a>, number: u64) -> Frame<'a> {
    Frame { number, ts: packet.ts, link: packet.link.0, orig_len: packet.orig_len, data: packet.data }
}

/// How long no packet came, by a monotonic clock.
#[derive(Default)]
struct Idle {
    since: Option<Instant>,
}

impl Idle {
    fn elapsed(&mut self) -> Duration {
        self.since.get_or_insert_with(Instant::now).elapsed()
    }

    fn reset(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{RecvTimeoutError, bounded};
    use sidetap_capture::LinkType;
    use sidetap_model::rows::InputSummary;

    use super::*;

    const T: Ts = Ts::from_parts(1_790_000_000, 0);

    /// A port that shows packets of these times, and then no more.
    struct Port {
        times: Vec<Ts>,
        given: usize,
        steady: bool,
        stays: bool,
    }

    impl Source for Port {
        fn next_packet(&mut self) -> Option<Packet<'_>> {
            let Some(ts) = self.times.get(self.given).copied() else {
                std::thread::sleep(Duration::from_millis(5));
                return None;
            };
            self.given += 1;
            Some(Packet {
                ts,
                link: LinkType::ETHERNET,
                interface: 0,
                port: "",
                data: &[0; 60],
                orig_len: 60,
                block: None,
            })
        }

        fn idle(&self) -> bool {
            self.stays
        }

        fn keeps_time(&self) -> bool {
            self.steady
        }

        fn inputs(&self) -> Vec<InputSummary> {
            Vec::new()
        }

        fn bytes_read(&self) -> u64 {
            0
        }

        fn bytes_total(&self) -> Option<u64> {
            None
        }
    }

    /// A port, and of how many packets its reader had told each time that it came for the next.
    struct Overseen<'a> {
        port: Port,
        view: &'a ReaderView,
        told: Vec<u64>,
    }

    impl Source for Overseen<'_> {
        fn next_packet(&mut self) -> Option<Packet<'_>> {
            self.told.push(self.view.packets.load(Relaxed));
            self.port.next_packet()
        }

        fn inputs(&self) -> Vec<InputSummary> {
            Vec::new()
        }

        fn bytes_read(&self) -> u64 {
            0
        }

        fn bytes_total(&self) -> Option<u64> {
            None
        }
    }

    #[test]
    fn a_port_with_little_traffic_is_reported_as_often_as_one_with_much() {
        let (to, _keep_batches) = bounded(1024);
        let (_keep, recycled) = bounded(1);
        let view = ReaderView::default();
        let times = (0..500).map(|n| T.plus(n * 10_000_000)).collect();
        let port = Port { times, given: 0, steady: false, stays: false };
        let mut source = Overseen { port, view: &view, told: Vec::new() };
        Reader {
            source: &mut source,
            decoder: Decoder::new(Default::default()),
            workers: vec![to],
            recycled,
            live: true,
            epoch_segments: 65_536,
            frames: false,
            view: &view,
        }
        .run();
        let behind = source.told.iter().zip(0_u64..).map(|(told, is)| is - told).max();
        assert!(behind.is_some_and(|n| n <= 20), "{behind:?} packets not reported");
    }

    /// The times of epochs' ends that a worker is told, until `enough` came or nothing more does.
    fn ticks(mut port: Port, enough: usize) -> (Vec<Ts>, ReaderCounts) {
        let (to, from) = bounded(1024);
        let (_keep, recycled) = bounded(1);
        let view = ReaderView::default();
        let live = port.stays;
        std::thread::scope(|scope| {
            let reader = Reader {
                source: &mut port,
                decoder: Decoder::new(Default::default()),
                workers: vec![to],
                recycled,
                live,
                epoch_segments: 65_536,
                frames: false,
                view: &view,
            };
            let reader = scope.spawn(move || reader.run());
            let mut told = Vec::new();
            while told.len() < enough {
                match from.recv_timeout(Duration::from_secs(60)) {
                    Ok(ToWorker::Tick { now, .. }) => told.push(now),
                    Ok(ToWorker::Batch(_)) => {}
                    Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => break,
                }
            }
            view.stop.store(true, Relaxed);
            (told, reader.join().unwrap())
        })
    }

    fn seconds(from: Ts, n: i64) -> Vec<Ts> {
        (0..n).map(|i| from.plus(i * 1_000_000_000)).collect()
    }

    #[test]
    fn a_week_without_packets_is_one_epoch() {
        let after = T.plus(7 * 86_400_000_000_000);
        let times = [seconds(T, 20), seconds(after, 20)].concat();
        for steady in [true, false] {
            let port = Port { times: times.clone(), given: 0, steady, stays: false };
            let (told, _) = ticks(port, usize::MAX);
            assert!(told.len() <= 40, "{} epochs", told.len());
            assert!(told.is_sorted() && told.last() >= Some(&after));
        }
    }

    #[test]
    fn an_absurd_time_ends_no_epoch_of_a_source_that_looks_not_ahead() {
        let mut times = seconds(T, 20);
        times.insert(10, Ts::from_parts(4_080_000_000, 0));
        let (told, counts) = ticks(Port { times, given: 0, steady: false, stays: false }, usize::MAX);
        assert_eq!(told, seconds(T.plus(1_000_000_000), 19));
        assert!(counts.clock.contains(&("times-disbelieved", 1)));
    }

    #[test]
    fn time_passes_while_an_idle_port_shows_nothing() {
        let (told, counts) = ticks(Port { times: vec![T], given: 0, steady: false, stays: true }, 1);
        assert_eq!(counts.packets.total, 1);
        let passed = told.first().unwrap().since(T);
        assert!(passed >= Reader::EPOCH, "{passed}");
    }
}
