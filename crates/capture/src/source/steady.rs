use std::collections::VecDeque;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use sidetap_model::Ts;

use super::input::{ReadError, Reader, Record};
use super::window::Block;

const SECOND: i64 = 1_000_000_000;

/// One input whose clock is defended: no packet with an absurd time comes out of it.
///
/// A time more than an hour ahead of the input's clock, or more than a minute behind it, is doubted: the packet is held, with
/// those after it, until the input goes on where it was (then the doubted ones get the clock's time) or
/// [`Steady::WITNESSES`] packets in a row agree with each other. If they agree on a later time, time has passed and the gap is
/// skipped. If they agree on an earlier one, the clock was set back: from there on its times are moved so that they go on where
/// they were. The first packet is believed once the second agrees with it. Packets keep their order.
pub(super) struct Steady {
    reader: Reader,
    /// Added to every time of the input: what alignment with other inputs and steps back ask for.
    offset: i64,
    last: Option<Ts>,
    doubted: Vec<Held>,
    /// How many of the doubted, from the last one back, agree with each other.
    agreeing: usize,
    settled: VecDeque<Held>,
    /// The bytes of the last record given, where they are not the reader's.
    shown: Option<Vec<u8>>,
    over: Option<Result<(), ReadError>>,
    pub(super) counts: ClockCounts,
}

/// What packet times did to the clocks of inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ClockCounts {
    /// Packets that got the clock's time because their own was more than an hour ahead.
    pub(super) disbelieved: u64,
    /// Packets that got the clock's time because their own was more than a minute behind.
    pub(super) late: u64,
    /// Times that the clock was set back.
    pub(super) steps_back: u64,
    /// Gaps of more than an hour that were skipped.
    pub(super) gaps: u64,
}

struct Held {
    record: Record,
    bytes: Vec<u8>,
}

impl Steady {
    /// Packets in a row that must agree on another time to be believed.
    const WITNESSES: usize = 16;
    /// Packets in doubt at most; more than these can only be times without any order.
    const MOST_DOUBTED: usize = 64;
    const AHEAD: i64 = 3600 * SECOND;
    const BEHIND: i64 = 60 * SECOND;
    /// Two doubted times within a day of each other agree.
    const NEAR: i64 = 86_400 * SECOND;

    /// Opens `path`; see [`Reader::open`].
    pub(super) fn open(
        path: &Path,
        capacity: usize,
        count: Arc<AtomicU64>,
        offset: i64,
    ) -> Result<Self, ReadError> {
        Ok(Steady::new(Reader::open(path, capacity, count)?, offset))
    }

    /// Reads a capture from `inner`; see [`Reader::new`].
    pub(super) fn of(inner: Box<dyn Read + Send>, capacity: usize) -> Result<Self, ReadError> {
        Ok(Steady::new(Reader::new(inner, capacity)?, 0))
    }

    fn new(reader: Reader, offset: i64) -> Self {
        Steady {
            reader,
            offset,
            last: None,
            doubted: Vec::new(),
            agreeing: 0,
            settled: VecDeque::new(),
            shown: None,
            over: None,
            counts: ClockCounts::default(),
        }
    }

    /// Reads the next record into `out`; false at the end.
    #[inline]
    pub(super) fn next_into(&mut self, out: &mut Record) -> Result<bool, ReadError> {
        let held = if self.is_held() {
            self.next_held(None)
        } else {
            let next = self.reader.next_into(out);
            if matches!(next, Ok(true)) {
                let ts = out.ts.plus(self.offset);
                if self.is_plausible(ts) {
                    out.ts = ts;
                    self.last = self.last.max(Some(ts));
                    return Ok(true);
                }
            }
            self.next_held(Some(next.map(|more| more.then_some(*out))))
        };
        Ok(match held? {
            Some(record) => {
                *out = record;
                true
            }
            None => false,
        })
    }

    /// True where something is held, or was the last to be given, or the input is over.
    #[inline]
    fn is_held(&self) -> bool {
        !self.settled.is_empty() || !self.doubted.is_empty() || self.shown.is_some() || self.over.is_some()
    }

    /// As [`Steady::next_into`], where something is held; `read` is what was read before anything else is.
    #[inline(never)]
    fn next_held(
        &mut self,
        mut read: Option<Result<Option<Record>, ReadError>>,
    ) -> Result<Option<Record>, ReadError> {
        loop {
            if let Some(held) = self.settled.pop_front() {
                self.shown = Some(held.bytes);
                return Ok(Some(held.record));
            }
            if let Some(over) = self.over.take() {
                self.over = Some(Ok(()));
                return over.map(|()| None);
            }
            match read.take().unwrap_or_else(|| self.reader.next()) {
                Ok(Some(record)) => {
                    if let Some(record) = self.take(record) {
                        self.shown = None;
                        return Ok(Some(record));
                    }
                }
                end => {
                    self.over = Some(end.map(|_| ()));
                    self.settle_at_end();
                }
            }
        }
    }

    /// The bytes of the last record.
    pub(super) fn bytes(&self, record: &Record) -> &[u8] {
        match &self.shown {
            Some(bytes) => bytes,
            None => self.reader.bytes(record),
        }
    }

    /// What the bytes of the last record are part of, where they are the reader's.
    pub(super) fn block(&self) -> Option<&Block> {
        if self.shown.is_some() { None } else { Some(self.reader.block()) }
    }

    /// The name of the interface that the last record came by; see [`Reader::port`].
    pub(super) fn port(&self, record: &Record) -> &str {
        self.reader.port(record)
    }

    /// Gives the record back where nothing is in doubt; else it is held.
    fn take(&mut self, mut record: Record) -> Option<Record> {
        record.ts = record.ts.plus(self.offset);
        if self.is_plausible(record.ts) {
            let calm = self.doubted.is_empty();
            self.clamp_doubted();
            self.last = self.last.max(Some(record.ts));
            if calm {
                return Some(record);
            }
            self.settled.push_back(self.hold(record));
            return None;
        }
        let near =
            self.doubted.last().is_some_and(|d| record.ts.since(d.record.ts).saturating_abs() <= Self::NEAR);
        self.agreeing = if near { self.agreeing + 1 } else { 1 };
        let held = self.hold(record);
        self.doubted.push(held);
        let needed = if self.last.is_none() { 2 } else { Self::WITNESSES };
        if self.agreeing >= needed {
            self.believe();
        } else if self.doubted.len() >= Self::MOST_DOUBTED {
            self.clamp_doubted();
        }
        None
    }

    fn is_plausible(&self, ts: Ts) -> bool {
        self.last.is_some_and(|last| {
            let step = ts.since(last);
            (-Self::BEHIND..=Self::AHEAD).contains(&step)
        })
    }

    fn hold(&self, record: Record) -> Held {
        Held { bytes: self.reader.bytes(&record).to_vec(), record }
    }

    /// Those that agree are right: those before them get the clock's time, the clock goes on from these.
    fn believe(&mut self) {
        let wrong = self.doubted.len().saturating_sub(self.agreeing);
        let mut right = self.doubted.split_off(wrong);
        let Some(first) = right.first().map(|d| d.record.ts) else { return };
        match self.last {
            None => self.last = Some(first),
            Some(last) if first < last => {
                let step = last.since(first);
                self.counts.steps_back += 1;
                self.offset = self.offset.saturating_add(step);
                right.iter_mut().for_each(|d| d.record.ts = d.record.ts.plus(step));
            }
            Some(_) => self.counts.gaps += 1,
        }
        self.clamp_doubted();
        self.last = right.iter().map(|d| d.record.ts).max().max(self.last);
        self.settled.extend(right);
        self.agreeing = 0;
    }

    /// Gives all in doubt the clock's time, but for those that go with it: the first of an input, before it had a clock.
    fn clamp_doubted(&mut self) {
        if self.doubted.is_empty() {
            return;
        }
        let Some(mut now) = self.last.or(self.doubted.first().map(|d| d.record.ts)) else { return };
        self.last = Some(now);
        for mut held in std::mem::take(&mut self.doubted) {
            if self.is_plausible(held.record.ts) {
                now = held.record.ts;
            } else if held.record.ts > now {
                self.counts.disbelieved += 1;
            } else {
                self.counts.late += 1;
            }
            held.record.ts = now;
            self.settled.push_back(held);
        }
        self.agreeing = 0;
    }

    /// Nothing more comes: two that agree are enough, and a lone packet after nothing else is right.
    fn settle_at_end(&mut self) {
        let enough = if self.last.is_none() { 1 } else { 2 };
        if self.agreeing >= enough {
            self.believe();
        }
        self.clamp_doubted();
    }
}

#[cfg(test)]
mod tests {
    use sidetap_testkit::{LinkKind, Packet, PcapForm, pcap_bytes};

    use super::*;

    const T: i64 = 1_790_000_000 * SECOND;
    const YEAR_2099: i64 = 4_080_000_000 * SECOND;
    const WEEK: i64 = 7 * 86_400 * SECOND;

    /// What becomes of these times; the number of each packet is in its bytes.
    fn steadied(times: &[i64]) -> (Vec<i64>, ClockCounts) {
        let packet = |(i, t): (usize, &i64)| Packet::new(Ts(*t), vec![i as u8; 60 + i]);
        let packets: Vec<Packet> = times.iter().enumerate().map(packet).collect();
        let bytes = pcap_bytes(&packets, LinkKind::Ethernet, PcapForm::Nanos);
        let reader = Reader::new(Box::new(std::io::Cursor::new(bytes)), 256).unwrap();
        let mut steady = Steady::new(reader, 0);
        let mut out = Vec::new();
        let mut record = Record::default();
        while steady.next_into(&mut record).unwrap() {
            assert_eq!(steady.bytes(&record), packets[out.len()].data, "bytes and order stay");
            out.push(record.ts.0);
        }
        assert_eq!(out.len(), times.len());
        assert!(!steady.next_into(&mut record).unwrap());
        (out, steady.counts)
    }

    fn run(from: i64, n: i64) -> Vec<i64> {
        (0..n).map(|i| from + i * SECOND).collect()
    }

    #[test]
    fn times_in_order_stay_as_they_are() {
        let times = run(T, 40);
        assert_eq!(steadied(&times), (times, ClockCounts::default()));
        assert_eq!(steadied(&[T]).0, [T]);
        assert!(steadied(&[]).0.is_empty());
        let jitter = [T, T + 5 * SECOND, T + 2 * SECOND, T + 6 * SECOND];
        assert_eq!(steadied(&jitter).0, jitter);
    }

    #[test]
    fn a_lone_absurd_time_gets_the_clocks() {
        for (absurd, disbelieved, late) in [(YEAR_2099, 1, 0), (0, 0, 1)] {
            for at in [0, 1, 7, 19] {
                let mut times = run(T, 20);
                times[at] = absurd;
                let (got, counts) = steadied(&times);
                let expected = if at == 0 { T + SECOND } else { times[at - 1] };
                assert_eq!(got[at], expected, "packet {at} of time {absurd}");
                let others = |v: &[i64]| [&v[..at], &v[at + 1..]].concat();
                assert_eq!(others(&got), others(&times));
                assert_eq!(counts, ClockCounts { disbelieved, late, ..ClockCounts::default() });
            }
        }
    }

    #[test]
    fn a_gap_of_a_week_is_believed_with_its_first_packet() {
        for n in [2, 3, 40] {
            let times = [run(T, 20), run(T + WEEK, n)].concat();
            assert_eq!(steadied(&times), (times, ClockCounts { gaps: 1, ..ClockCounts::default() }));
        }
    }

    #[test]
    fn after_a_step_back_time_goes_on_where_it_was() {
        let times = [run(T, 20), run(T - 7200 * SECOND, 30)].concat();
        let (got, counts) = steadied(&times);
        assert_eq!(got, [run(T, 20), run(T + 19 * SECOND, 30)].concat());
        assert_eq!(counts, ClockCounts { steps_back: 1, ..ClockCounts::default() });
    }

    #[test]
    fn times_without_order_hold_nothing_up() {
        let times: Vec<i64> = (0..300).map(|i| (i * 7919 % 300) * WEEK).collect();
        let (got, counts) = steadied(&times);
        assert!(got.is_sorted());
        assert!(counts.late + counts.disbelieved > 100);
    }
}
