//! Packets of several interfaces in order of time. A tap shows each direction at a port of its own, and the kernel gives what a port has in blocks,
//! each when it is full or its time is over: what came first may be given last.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sidetap_model::Ts;

/// How long the kernel holds a block that is not full, where packets are put in order.
pub(super) const BLOCK: Duration = Duration::from_millis(20);
/// How long a packet waits for earlier ones of another port: a block's time, and what its reader may be late.
const HOLD: Duration = Duration::from_millis(60);
/// Nanoseconds behind the latest packet of a port that are no disorder of it.
const STEP_BACK: i64 = 1_000_000_000;
/// Bytes that wait for earlier packets, of all readers: a second of a gigabit has eight times as many.
pub const MOST_WAITING: usize = 16 << 20;

/// A packet that was taken from a port.
#[derive(Clone, Copy)]
pub(super) struct Held {
    pub(super) ts: Ts,
    pub(super) port: usize,
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) orig_len: u32,
    /// The buffer that it is in.
    buffer: u64,
    taken: Instant,
}

struct Buffer {
    bytes: Vec<u8>,
    /// Packets in it that were not given on.
    left: usize,
}

/// What was taken from ports and not given on.
pub(super) struct Order {
    /// Whether packets wait for earlier ones of other ports.
    waits: bool,
    packets: VecDeque<Held>,
    /// How many of them may go.
    ready: usize,
    buffers: VecDeque<Buffer>,
    /// The number of the first one.
    first: u64,
    /// The latest packet of each port.
    seen: Vec<Option<Ts>>,
    taken: Instant,
    bytes: usize,
    /// Bytes that may wait.
    most: usize,
    spare: Vec<u8>,
}

impl Order {
    /// One reader's of so many.
    pub(super) fn new(readers: usize) -> Self {
        Order {
            waits: false,
            packets: VecDeque::new(),
            ready: 0,
            buffers: VecDeque::new(),
            first: 0,
            seen: Vec::new(),
            taken: Instant::now(),
            bytes: 0,
            most: MOST_WAITING / readers.max(1),
            spare: Vec::new(),
        }
    }

    pub(super) fn add_port(&mut self) {
        self.seen.push(None);
        self.waits = self.seen.len() > 1;
    }

    /// Begins to take what ports have.
    pub(super) fn begin(&mut self, now: Instant) {
        self.taken = now;
        let mut bytes = std::mem::take(&mut self.spare);
        bytes.clear();
        self.buffers.push_back(Buffer { bytes, left: 0 });
    }

    /// Packets and bytes that were taken since.
    pub(super) fn size(&self) -> (usize, usize) {
        self.buffers.back().map_or((0, 0), |b| (b.left, b.bytes.len()))
    }

    pub(super) fn take(&mut self, port: usize, ts: Ts, data: &[u8], orig_len: u32) {
        let buffer = (self.first + self.buffers.len() as u64).saturating_sub(1);
        let Some(last) = self.buffers.back_mut() else { return };
        let (start, len) = (last.bytes.len(), data.len());
        last.bytes.extend_from_slice(data);
        last.left += 1;
        self.bytes += len;
        self.packets.push_back(Held { ts, port, start, len, orig_len, buffer, taken: self.taken });
        if let Some(seen) = self.seen.get_mut(port) {
            // One that is far behind says that the clock went back.
            let is_back = seen.is_some_and(|seen| seen.since(ts) > STEP_BACK);
            *seen = if is_back { Some(ts) } else { (*seen).max(Some(ts)) };
        }
    }

    /// All that ports have was taken: whether anything may go.
    pub(super) fn end(&mut self, now: Instant) -> bool {
        self.packets.make_contiguous().sort_by_key(|p| p.ts);
        self.ready = match self.waits {
            true => self.count_ready(now),
            false => self.packets.len(),
        };
        self.let_go();
        self.ready > 0
    }

    /// How many packets may go: those that every port has gone past, those that waited long enough, and the first of too many.
    fn count_ready(&self, now: Instant) -> usize {
        let past = self.seen.iter().copied().min().flatten();
        let mut over = self.bytes.saturating_sub(self.most);
        // A clock that went back sorts what waits behind what came since: all of it goes with the last one that waited long enough.
        let overdue = self.packets.iter().rposition(|p| now.duration_since(p.taken) >= HOLD);
        let ready = self.packets.iter().take_while(|p| {
            let is_over = over > 0;
            over = over.saturating_sub(p.len);
            is_over || past.is_some_and(|past| p.ts <= past)
        });
        ready.count().max(overdue.map_or(0, |at| at + 1))
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// The next packet that may go.
    pub(super) fn next(&mut self) -> Option<Held> {
        self.let_go();
        self.ready = self.ready.checked_sub(1)?;
        let held = self.packets.pop_front()?;
        self.bytes = self.bytes.saturating_sub(held.len);
        if let Some(buffer) = self.buffers.get_mut((held.buffer - self.first) as usize) {
            buffer.left -= 1;
        }
        Some(held)
    }

    pub(super) fn bytes_of(&self, held: &Held) -> Option<&[u8]> {
        let buffer = self.buffers.get(held.buffer.checked_sub(self.first)? as usize)?;
        buffer.bytes.get(held.start..held.start + held.len)
    }

    /// Lets buffers go of which everything was given on.
    fn let_go(&mut self) {
        while let Some(buffer) = self.buffers.pop_front_if(|b| b.left == 0) {
            self.first += 1;
            if buffer.bytes.capacity() > self.spare.capacity() {
                self.spare = buffer.bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn at(ms: i64) -> Ts {
        Ts(1_700_000_000_000_000_000 + ms * 1_000_000)
    }

    fn given(order: &mut Order) -> Vec<u8> {
        std::iter::from_fn(|| {
            let held = order.next()?;
            Some(order.bytes_of(&held).unwrap()[0])
        })
        .collect()
    }

    #[test]
    fn one_port_waits_for_nobody() {
        let (mut order, now) = (Order::new(1), Instant::now());
        order.add_port();
        order.begin(now);
        order.take(0, at(5_000), b"b", 1);
        order.take(0, at(0), b"a", 1);
        assert!(order.end(now));
        assert_eq!(given(&mut order), b"ab");
    }

    #[test]
    fn what_another_port_may_still_have_comes_first() {
        let (mut order, mut now) = (Order::new(1), Instant::now());
        order.add_port();
        order.add_port();
        order.begin(now);
        order.take(0, at(60_001), b"b", 1);
        order.take(0, at(60_003), b"d", 1);
        assert!(!order.end(now));
        order.begin(now);
        order.take(1, at(60_000), b"a", 1);
        order.take(1, at(60_002), b"c", 1);
        assert!(order.end(now));
        assert_eq!(given(&mut order), b"abc");
        // Of a port that says nothing more nobody waits for ever.
        now += HOLD;
        order.begin(now);
        assert!(order.end(now));
        assert_eq!(given(&mut order), b"d");
        assert!(order.buffers.len() <= 1 && order.bytes == 0);
    }

    #[test]
    fn a_clock_that_goes_back_holds_nothing_up() {
        let (mut order, mut now) = (Order::new(1), Instant::now());
        order.add_port();
        order.add_port();
        order.begin(now);
        order.take(0, at(60_000), b"a", 1);
        assert!(!order.end(now));
        now += HOLD;
        order.begin(now);
        order.take(0, at(0), b"b", 1);
        assert!(order.end(now));
        assert_eq!(given(&mut order), b"ba");
        // From there on both are put in order again.
        order.begin(now);
        order.take(0, at(3), b"d", 1);
        order.take(1, at(2), b"c", 1);
        assert!(order.end(now));
        assert_eq!(given(&mut order), b"c");
        assert!(!order.is_empty());
    }

    #[test]
    fn no_more_wait_than_there_is_room_for() {
        let (mut order, now) = (Order::new(1), Instant::now());
        order.add_port();
        order.add_port();
        order.begin(now);
        (0..40).for_each(|n| order.take(0, at(n), &vec![b'c'; 1 << 20], 1));
        assert!(order.end(now));
        let given = given(&mut order).len();
        assert!((24..40).contains(&given), "{given}");
        assert!(order.bytes <= MOST_WAITING);
    }
}
