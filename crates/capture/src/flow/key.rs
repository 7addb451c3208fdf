use std::hash::{BuildHasher, Hash, Hasher};
use std::net::IpAddr;

use sidetap_model::{Addr, FlowId, Ts};

use super::track::Side;
use crate::decode::{Segment, mix};

/// The ends of a flow by size. Numbers instead of addresses: what is put together from parts of other widths is slow to copy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) zone: u16,
    /// See [`crate::Carried`]: who wraps packets of others joins no flow of theirs.
    pub(super) foreign: u32,
    low: End,
    high: End,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    v6: bool,
    ip: u128,
    port: u16,
}

impl End {
    fn of(addr: &Addr) -> Self {
        let (v6, ip) = match addr.ip {
            IpAddr::V4(ip) => (false, u128::from(u32::from(ip))),
            IpAddr::V6(ip) => (true, u128::from(ip)),
        };
        End { v6, ip, port: addr.port }
    }

    fn words(self) -> (u64, u64) {
        let low = self.ip as u64;
        if self.v6 {
            ((self.ip >> 64) as u64, low.rotate_left(16) ^ u64::from(self.port))
        } else {
            (0, low << 16 | u64::from(self.port))
        }
    }
}

impl Key {
    /// That of the same ends outside of any tunnel that is not trusted.
    pub(super) const fn bare(self) -> Self {
        Key { foreign: 0, ..self }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for (upper, lower) in [self.low.words(), self.high.words()] {
            state.write_u64(upper ^ u64::from(self.zone) << 48 ^ u64::from(self.foreign));
            state.write_u64(lower);
        }
    }
}

/// The key of a segment's flow, and which of its ends sent it.
pub(super) fn key_of(seg: &Segment<'_>) -> (Key, Side) {
    let (src, dst) = (End::of(&seg.src), End::of(&seg.dst));
    if src <= dst {
        (Key { zone: seg.zone, foreign: seg.carried.foreign, low: src, high: dst }, 0)
    } else {
        (Key { zone: seg.zone, foreign: seg.carried.foreign, low: dst, high: src }, 1)
    }
}

fn flow_id(key: &Key, first: Ts) -> FlowId {
    let hash = foldhash::quality::FixedState::with_seed(0x7369_6465_7461_7031).hash_one(key);
    FlowId(mix(hash ^ mix(first.0.cast_unsigned())))
}

/// Ids that were given at one time of the clock: connections that follow each other on the same addresses within it have their own.
#[derive(Default)]
pub(super) struct Given {
    ts: Ts,
    ids: hashbrown::HashSet<FlowId, foldhash::fast::FixedState>,
}

impl Given {
    /// Ids that are remembered at most.
    const CAP: usize = 4096;

    pub(super) fn id(&mut self, key: &Key, first: Ts) -> FlowId {
        if self.ts != first || self.ids.len() >= Self::CAP {
            self.ts = first;
            self.ids.clear();
        }
        let mut id = flow_id(key, first);
        while !self.ids.insert(id) {
            id = FlowId(mix(id.0));
        }
        id
    }
}
