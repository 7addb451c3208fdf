use std::collections::VecDeque;
use std::net::IpAddr;

use hashbrown::HashMap;
use sidetap_model::Ts;

use super::DropReason;
use super::counters::DecodeCounters;
use super::ip::Fragment;
use super::walk::Layer;

const LARGEST_DATAGRAM: usize = 65_535;
/// What holding a piece takes besides its bytes.
const PIECE: usize = 48;
/// A first fragment with fewer bytes holds no TCP header.
const TINY: usize = 20;

/// Caps of the table of IP fragments.
#[derive(Clone, Debug)]
pub struct DefragLimits {
    /// Datagrams at once.
    pub datagrams: usize,
    /// Bytes in all.
    pub bytes: usize,
    /// Fragments of one datagram.
    pub pieces: usize,
    /// Nanoseconds of packet time from a datagram's first fragment.
    pub timeout: i64,
}

impl Default for DefragLimits {
    fn default() -> Self {
        DefragLimits { datagrams: 4096, bytes: 16 << 20, pieces: 8192, timeout: 30_000_000_000 }
    }
}

impl DefragLimits {
    /// Caps that stay within a sixteenth of a limit for all tables together.
    pub fn for_memory(limit: u64) -> Self {
        let full = DefragLimits::default();
        let bytes = usize::try_from(limit / 16).unwrap_or(full.bytes).min(full.bytes);
        DefragLimits { bytes, datagrams: (bytes / 4096).clamp(16, full.datagrams), ..full }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    zone: u16,
    /// See [`super::Carried`].
    foreign: u32,
    ends: (IpAddr, IpAddr),
    id: u32,
    /// IPv4 tells datagrams apart by what they carry too (RFC 791 §3.2); IPv6 does not (RFC 8200 §4.5).
    protocol: Option<u8>,
}

/// A datagram of which not all is there.
struct Datagram {
    serial: u64,
    /// Disjoint and in order.
    pieces: Vec<(u32, Vec<u8>)>,
    covered: usize,
    held: usize,
    len: Option<usize>,
    protocol: Option<u8>,
    /// Fragments overlapped where they must not: nothing more is made of it.
    refused: bool,
    /// Fragments overlapped with other bytes, or end it at different places.
    disputed: bool,
}

/// Puts IP fragments together.
///
/// Where fragments of IPv4 overlap, the byte that came first stays. An IPv6 datagram whose fragments overlap is given up, as its receiver must
/// give it up (RFC 8200 §4.5), but for a fragment that lies in what is there already: receivers drop that one alone.
pub(super) struct Defrag {
    limits: DefragLimits,
    table: HashMap<Key, Datagram, foldhash::fast::RandomState>,
    /// Datagrams by age; an entry whose serial number is not the table's is stale.
    ages: VecDeque<(Ts, Key, u64)>,
    bytes: usize,
    serial: u64,
    /// Fragments of the datagram that was given last overlapped with other bytes.
    pub(super) disputed: bool,
    pub(super) expired: u64,
    pub(super) evicted: u64,
}

impl Defrag {
    pub(super) fn new(limits: DefragLimits) -> Self {
        Defrag {
            limits,
            table: HashMap::default(),
            ages: VecDeque::new(),
            bytes: 0,
            serial: 0,
            disputed: false,
            expired: 0,
            evicted: 0,
        }
    }

    /// Datagrams that are not whole.
    pub(super) fn waiting(&self) -> u64 {
        self.table.len() as u64
    }

    /// Adds a fragment; gives what the datagram carries where `out` now holds all of it.
    pub(super) fn add(
        &mut self,
        f: &Fragment<'_>,
        (zone, foreign): (u16, u32),
        now: Ts,
        counters: &mut DecodeCounters,
        out: &mut Vec<u8>,
    ) -> Result<Option<Layer>, DropReason> {
        let end = f.offset as usize + f.data.len();
        if end > LARGEST_DATAGRAM || f.data.is_empty() || (f.more && !f.data.len().is_multiple_of(8)) {
            return Err(DropReason::MalformedFragment);
        }
        counters.fragments += 1;
        counters.tiny_fragments += u64::from(f.offset == 0 && f.data.len() < TINY);
        self.expire(now);
        let v6 = f.ends.0.is_ipv6();
        let key = Key { zone, foreign, ends: f.ends, id: f.id, protocol: (!v6).then_some(f.protocol) };
        self.make_room(&key, f.data.len() + PIECE)?;
        if !self.table.contains_key(&key) {
            self.serial += 1;
            self.forget_ages();
            self.ages.push_back((now, key, self.serial));
            self.table.insert(key, Datagram::new(self.serial));
        }
        let Some(datagram) = self.table.get_mut(&key) else { return Err(DropReason::FragmentsFull) };
        if datagram.pieces.len() >= self.limits.pieces {
            return Err(DropReason::FragmentsFull);
        }
        let before = datagram.held;
        let added = datagram.add(f, v6, counters);
        self.bytes = self.bytes + datagram.held - before;
        added?;
        if !datagram.assemble(out) {
            return Ok(None);
        }
        let protocol = datagram.protocol.unwrap_or(f.protocol);
        self.disputed = datagram.disputed;
        self.remove(&key);
        counters.reassembled += 1;
        Ok(Some(Layer::Transport { protocol, ends: f.ends }))
    }

    /// Forgets the ages of datagrams that are no more, where there are more of them than datagrams can be.
    fn forget_ages(&mut self) {
        if self.ages.len() >= 2 * self.limits.datagrams.max(64) {
            let table = &self.table;
            self.ages.retain(|(_, key, serial)| table.get(key).is_some_and(|d| d.serial == *serial));
        }
    }

    fn make_room(&mut self, key: &Key, len: usize) -> Result<(), DropReason> {
        if len > self.limits.bytes {
            return Err(DropReason::FragmentsFull);
        }
        while self.bytes + len > self.limits.bytes
            || (self.table.len() >= self.limits.datagrams && !self.table.contains_key(key))
        {
            if !self.evict_oldest() {
                return Err(DropReason::FragmentsFull);
            }
        }
        Ok(())
    }

    fn remove(&mut self, key: &Key) {
        if let Some(datagram) = self.table.remove(key) {
            self.bytes -= datagram.held;
        }
    }

    fn evict_oldest(&mut self) -> bool {
        while let Some((_, key, serial)) = self.ages.pop_front() {
            if self.table.get(&key).is_some_and(|d| d.serial == serial) {
                self.remove(&key);
                self.evicted += 1;
                return true;
            }
        }
        false
    }

    fn expire(&mut self, now: Ts) {
        while let Some((first, key, serial)) = self.ages.front().copied() {
            let current = self.table.get(&key).is_some_and(|d| d.serial == serial);
            if current && now.since(first) <= self.limits.timeout {
                break;
            }
            self.ages.pop_front();
            if current {
                self.remove(&key);
                self.expired += 1;
            }
        }
    }
}

impl Datagram {
    const fn new(serial: u64) -> Self {
        Datagram {
            serial,
            pieces: Vec::new(),
            covered: 0,
            held: 0,
            len: None,
            protocol: None,
            refused: false,
            disputed: false,
        }
    }

    fn add(&mut self, f: &Fragment<'_>, v6: bool, counters: &mut DecodeCounters) -> Result<(), DropReason> {
        let (start, end) = (f.offset as usize, f.offset as usize + f.data.len());
        if self.is_there(f) {
            counters.overlapping_fragments += u64::from(!self.refused);
            return if self.refused { Err(DropReason::FragmentOverlap) } else { Ok(()) };
        }
        let overlaps = self.overlaps(start, end);
        counters.overlapping_fragments += u64::from(overlaps && !v6);
        if overlaps && !self.refused && self.covers(start, end) {
            // Linux drops it alone, whatever it says (`inet_frag_queue_insert`).
            self.disputed |= self.differs(f, start, end);
            if !f.more {
                // But not before it took the end from it.
                self.disputed = true;
                self.len = self.len.or(Some(end));
            }
            return Ok(());
        }
        // Where it reaches beyond what is there some receivers give the datagram up, and others put it together.
        self.disputed |= overlaps;
        self.disputed |= self.len.is_some_and(|len| end > len || (!f.more && end != len));
        if self.refused || (v6 && overlaps) {
            self.refuse();
            return Err(DropReason::FragmentOverlap);
        }
        if f.offset == 0 {
            self.protocol = self.protocol.or(Some(f.protocol));
        }
        if !f.more && self.len.is_none() {
            self.len = Some(end);
        }
        self.fill(f, start, end);
        Ok(())
    }

    /// Index of the first piece that ends behind `at`.
    fn behind(&self, at: usize) -> usize {
        self.pieces.partition_point(|(offset, data)| *offset as usize + data.len() <= at)
    }

    fn overlaps(&self, start: usize, end: usize) -> bool {
        self.pieces.get(self.behind(start)).is_some_and(|(offset, _)| (*offset as usize) < end)
    }

    /// True where all of it is there.
    fn covers(&self, start: usize, end: usize) -> bool {
        let mut reach = start;
        for (offset, data) in self.pieces.iter().skip(self.behind(start)) {
            if *offset as usize > reach || reach >= end {
                break;
            }
            reach = *offset as usize + data.len();
        }
        reach >= end
    }

    /// Whether bytes of a fragment differ from those that are there already.
    fn differs(&self, f: &Fragment<'_>, start: usize, end: usize) -> bool {
        let there = self.pieces.iter().skip(self.behind(start)).take_while(|(o, _)| (*o as usize) < end);
        let mut there = there.map(|(o, d)| (*o as usize, d));
        there.any(|(o, d)| {
            let (from, to) = (start.max(o), end.min(o + d.len()));
            f.data.get(from - start..to - start) != d.get(from - o..to - o)
        })
    }

    /// True where exactly this fragment came before.
    fn is_there(&self, f: &Fragment<'_>) -> bool {
        self.pieces.get(self.behind(f.offset as usize)).is_some_and(|(o, d)| *o == f.offset && d == f.data)
    }

    fn refuse(&mut self) {
        self.pieces = Vec::new();
        (self.held, self.covered, self.refused) = (0, 0, true);
    }

    /// Puts in what is not there yet of `start..end`.
    fn fill(&mut self, f: &Fragment<'_>, start: usize, end: usize) {
        let mut at = start;
        let mut index = self.behind(start);
        while at < end {
            let next =
                self.pieces.get(index).map_or((end, end), |(o, d)| (*o as usize, *o as usize + d.len()));
            let stop = next.0.min(end);
            if at < stop {
                let bytes = f.data.get(at - start..stop - start).unwrap_or_default().to_vec();
                self.held += bytes.len() + PIECE;
                self.covered += bytes.len();
                self.pieces.insert(index, (at as u32, bytes));
                index += 1;
            }
            at = stop.max(next.1);
            index += 1;
        }
    }

    /// Writes the datagram to `out` where no byte of it is missing.
    fn assemble(&self, out: &mut Vec<u8>) -> bool {
        let Some(len) = self.len else { return false };
        let mut reach = 0;
        if self.covered < len {
            return false;
        }
        for (offset, data) in &self.pieces {
            if *offset as usize != reach {
                break;
            }
            reach += data.len();
        }
        if reach < len {
            return false;
        }
        out.clear();
        self.pieces.iter().for_each(|(_, data)| out.extend_from_slice(data));
        out.truncate(len);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(v6: bool) -> (IpAddr, IpAddr) {
        let ip = |n: u8| match v6 {
            true => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(n)]),
            false => IpAddr::from([192, 0, 2, n]),
        };
        (ip(1), ip(2))
    }

    fn piece(v6: bool, id: u32, offset: u32, more: bool, data: &[u8]) -> Fragment<'_> {
        Fragment { ends: ends(v6), id, protocol: 6, offset, more, data }
    }

    struct Table {
        defrag: Defrag,
        counters: DecodeCounters,
        out: Vec<u8>,
    }

    impl Table {
        fn new(limits: DefragLimits) -> Self {
            Table { defrag: Defrag::new(limits), counters: DecodeCounters::default(), out: Vec::new() }
        }

        fn add(&mut self, f: &Fragment<'_>, seconds: i64) -> Result<Option<Vec<u8>>, DropReason> {
            let now = Ts(seconds * 1_000_000_000);
            let whole = self.defrag.add(f, (0, 0), now, &mut self.counters, &mut self.out)?;
            Ok(whole.map(|_| self.out.clone()))
        }
    }

    #[test]
    fn the_first_byte_of_ipv4_stays_and_copies_change_nothing() {
        let mut t = Table::new(DefragLimits::default());
        assert_eq!(t.add(&piece(false, 1, 8, true, b"bbbbbbbb"), 0), Ok(None));
        assert_eq!(t.add(&piece(false, 1, 8, true, b"bbbbbbbb"), 0), Ok(None));
        assert_eq!(t.add(&piece(false, 1, 0, true, b"aaaaaaaaaaaaaaaaaaaaaaaa"), 0), Ok(None));
        assert_eq!(
            t.add(&piece(false, 1, 24, false, b"end"), 0),
            Ok(Some(b"aaaaaaaabbbbbbbbaaaaaaaaend".to_vec()))
        );
        assert_eq!(
            (t.counters.overlapping_fragments, t.counters.tiny_fragments, t.counters.reassembled),
            (2, 0, 1)
        );
        assert_eq!(t.defrag.bytes, 0);
    }

    #[test]
    fn overlaps_of_ipv6_give_the_datagram_up() {
        let mut t = Table::new(DefragLimits::default());
        assert_eq!(t.add(&piece(true, 1, 0, true, b"aaaaaaaaaaaaaaaa"), 0), Ok(None));
        assert_eq!(t.add(&piece(true, 1, 0, true, b"aaaaaaaaaaaaaaaa"), 0), Ok(None));
        assert_eq!(t.add(&piece(true, 1, 8, true, b"bbbbbbbbbbbbbbbb"), 0), Err(DropReason::FragmentOverlap));
        assert_eq!(t.add(&piece(true, 1, 16, false, b"end"), 0), Err(DropReason::FragmentOverlap));
        // One that lies in what is there goes alone.
        assert_eq!(t.add(&piece(true, 3, 0, true, b"aaaaaaaa"), 0), Ok(None));
        assert_eq!(t.add(&piece(true, 3, 8, true, b"aaaaaaaa"), 0), Ok(None));
        assert_eq!(t.add(&piece(true, 3, 0, true, b"aaaaaaaabbbbbbbb"), 0), Ok(None));
        assert_eq!(t.add(&piece(true, 3, 16, false, b"end"), 0), Ok(Some(b"aaaaaaaaaaaaaaaaend".to_vec())));
        assert!(t.defrag.disputed);
        assert_eq!(t.add(&piece(true, 2, 0, true, b"aaaaaaaa"), 0), Ok(None));
        assert_eq!(t.add(&piece(true, 2, 8, false, b"end"), 0), Ok(Some(b"aaaaaaaaend".to_vec())));
    }

    #[test]
    fn the_first_fragment_of_ipv6_says_what_the_datagram_carries() {
        let mut t = Table::new(DefragLimits::default());
        let liar = Fragment { protocol: 17, ..piece(true, 1, 8, false, b"end") };
        assert_eq!(t.add(&liar, 0), Ok(None));
        let now = Ts(1);
        let whole =
            t.defrag.add(&piece(true, 1, 0, true, b"aaaaaaaa"), (0, 0), now, &mut t.counters, &mut t.out);
        assert_eq!(whole, Ok(Some(Layer::Transport { protocol: 6, ends: ends(true) })));
    }

    #[test]
    fn what_is_old_or_too_much_is_given_up_and_counted() {
        let limits = DefragLimits { datagrams: 4, bytes: 1000, pieces: 3, timeout: 30_000_000_000 };
        let mut t = Table::new(limits);
        for id in 0..6 {
            assert_eq!(t.add(&piece(false, id, 0, true, b"aaaaaaaa"), 0), Ok(None));
        }
        assert_eq!((t.defrag.table.len(), t.defrag.evicted), (4, 2));
        assert_eq!(t.add(&piece(false, 5, 8, false, b"x"), 31), Ok(None));
        assert_eq!((t.defrag.table.len(), t.defrag.expired), (1, 4));
        assert_eq!(t.add(&piece(false, 9, 0, true, &[0; 992]), 31), Err(DropReason::FragmentsFull));
        for n in 2..4 {
            assert_eq!(t.add(&piece(false, 5, n * 16, true, b"aaaaaaaa"), 31), Ok(None));
        }
        assert_eq!(t.add(&piece(false, 5, 80, true, b"aaaaaaaa"), 31), Err(DropReason::FragmentsFull));
        assert_eq!(
            t.add(&piece(false, 7, 65_528, true, b"aaaaaaaa"), 31),
            Err(DropReason::MalformedFragment)
        );
    }

    #[test]
    fn zones_with_the_same_addresses_do_not_mix() {
        let mut t = Table::new(DefragLimits::default());
        assert_eq!(t.add(&piece(false, 1, 0, true, b"aaaaaaaa"), 0), Ok(None));
        let other =
            t.defrag.add(&piece(false, 1, 8, false, b"end"), (1, 0), Ts(0), &mut t.counters, &mut t.out);
        assert_eq!(other, Ok(None));
    }
    #[test]
    fn datagrams_that_become_whole_leave_nothing_behind() {
        let mut t = Table::new(DefragLimits { datagrams: 100, ..DefragLimits::default() });
        for id in 0..10_000 {
            assert_eq!(t.add(&piece(false, id, 0, true, b"aaaaaaaa"), 0), Ok(None));
            assert!(t.add(&piece(false, id, 8, false, b"end"), 0).unwrap().is_some());
            // One that stays in front of them.
            assert_eq!(t.add(&piece(false, 60_000, 0, true, b"aaaaaaaa"), 0), Ok(None));
            assert!(t.defrag.ages.len() <= 200);
        }
        assert_eq!((t.defrag.table.len(), t.defrag.evicted), (1, 0));
    }
}
