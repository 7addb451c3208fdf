use std::collections::VecDeque;
use std::net::IpAddr;

use hashbrown::HashMap;
use sidetap_model::Ts;

use super::DropReason;
use super::ip::Fragment;

const LARGEST_DATAGRAM: usize = 65_535;

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

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    ends: (IpAddr, IpAddr),
    id: u32,
    protocol: u8,
}

#[derive(Default)]
struct Datagram {
    first: Ts,
    serial: u64,
    pieces: Vec<(u32, Vec<u8>)>,
    held: usize,
    len: Option<u32>,
}

/// Puts IP fragments together. Where fragments overlap, the byte that came first stays.
pub(super) struct Defrag {
    limits: DefragLimits,
    table: HashMap<Key, Datagram, foldhash::fast::RandomState>,
    /// Datagrams by age; an entry whose serial number is not the table's is stale.
    ages: VecDeque<(Ts, Key, u64)>,
    bytes: usize,
    serial: u64,
    evicted: u64,
}

impl Defrag {
    pub(super) fn new(limits: DefragLimits) -> Self {
        Defrag { limits, table: HashMap::default(), ages: VecDeque::new(), bytes: 0, serial: 0, evicted: 0 }
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Adds a fragment; true where `out` now holds the whole datagram.
    pub(super) fn add(&mut self, f: &Fragment<'_>, now: Ts, out: &mut Vec<u8>) -> Result<bool, DropReason> {
        let end = f.offset as usize + f.data.len();
        if end > LARGEST_DATAGRAM || f.data.is_empty() || (f.more && !f.data.len().is_multiple_of(8)) {
            return Err(DropReason::MalformedFragment);
        }
        self.expire(now);
        if f.data.len() > self.limits.bytes {
            return Err(DropReason::FragmentsFull);
        }
        let key = Key { ends: f.ends, id: f.id, protocol: f.protocol };
        while self.bytes + f.data.len() > self.limits.bytes
            || (self.table.len() >= self.limits.datagrams && !self.table.contains_key(&key))
        {
            if !self.evict_oldest() {
                return Err(DropReason::FragmentsFull);
            }
        }
        if !self.table.contains_key(&key) {
            self.serial += 1;
            self.ages.push_back((now, key, self.serial));
        }
        let serial = self.serial;
        let datagram =
            self.table.entry(key).or_insert_with(|| Datagram { first: now, serial, ..Datagram::default() });
        if datagram.pieces.len() >= self.limits.pieces {
            return Err(DropReason::FragmentsFull);
        }
        datagram.pieces.push((f.offset, f.data.to_vec()));
        datagram.held += f.data.len();
        self.bytes += f.data.len();
        if !f.more && datagram.len.is_none() {
            datagram.len = Some(end as u32);
        }
        if !datagram.assemble(out) {
            return Ok(false);
        }
        self.remove(&key);
        Ok(true)
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
                self.evicted += 1;
            }
        }
    }
}

impl Datagram {
    /// Writes the datagram to `out` where no byte of it is missing.
    fn assemble(&self, out: &mut Vec<u8>) -> bool {
        let Some(len) = self.len.map(|l| l as usize) else { return false };
        if self.held < len {
            return false;
        }
        debug_assert!(!self.pieces.is_empty() && self.first.0 != i64::MAX);
        let mut order: Vec<usize> = (0..self.pieces.len()).collect();
        order.sort_by_key(|i| self.pieces.get(*i).map(|p| p.0));
        let mut reach = 0;
        for (offset, data) in order.iter().filter_map(|i| self.pieces.get(*i)) {
            if *offset as usize > reach {
                return false;
            }
            reach = reach.max(*offset as usize + data.len());
        }
        if reach < len {
            return false;
        }
        out.clear();
        out.resize(reach, 0);
        // Written from the last to the first, so that what came first is on top.
        for (offset, data) in self.pieces.iter().rev() {
            let start = *offset as usize;
            if let Some(place) = out.get_mut(start..start + data.len()) {
                place.copy_from_slice(data);
            }
        }
        out.truncate(len);
        true
    }
}
