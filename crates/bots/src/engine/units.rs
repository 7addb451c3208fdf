//! Tables of clients, sessions and addresses.

use std::net::IpAddr;

use sidetap_model::{HashKey, Ts, Zone};
use smallvec::SmallVec;

use super::address::Address;
use super::call::{Call, add_call};
use super::sketch::Map;
use super::unit::Unit;
use crate::hash;
use crate::observation::{Observation, Part, Token};

/// What was done with one session, token or device id.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) token: Token,
    pub(crate) n: u32,
    pub(crate) first: Ts,
    pub(crate) last: Ts,
    pub(crate) calls: Vec<Call>,
    pub(crate) calls_over: u32,
    pub(crate) units: SmallVec<[u64; 2]>,
    pub(crate) judged: u32,
}

/// The network (/16, of IPv6 /32) of a source whose word alone the client's address is, hashed: addresses that others name are
/// others, so that nobody is blamed for what is done in his name elsewhere.
pub(super) fn via(o: &Observation) -> u32 {
    let network = match o.source {
        _ if !o.client.claimed => return 0,
        IpAddr::V4(ip) => u64::from(ip.to_bits() >> 16),
        IpAddr::V6(ip) => 1 << 32 | (ip.to_bits() >> 96) as u64,
    };
    (hash::words(&[network]) >> 32) as u32 | 1
}

/// Clients, sessions and addresses in 256 logical shards, each with caps of its own.
#[derive(Debug)]
pub(crate) struct Units {
    shards: Vec<Shard>,
    salt: u64,
    cap: usize,
    /// Endpoints that all clients called, each by itself, and what of their room long lists take.
    pub(crate) calls: usize,
    pub(crate) evicted_clients: u64,
    pub(crate) evicted_sessions: u64,
}

#[derive(Debug, Default)]
struct Shard {
    /// In boxes: tables of hashes are half empty at times.
    units: Map<u64, Box<Unit>>,
    addresses: Map<u64, Address>,
    sessions: Map<u64, Box<Session>>,
}

/// Endpoints that a client calls, of which so many are room for on the average.
const CALLS_EACH: usize = 8;
/// Clients of one address kept apart by their agent; more share one record.
const CLIENTS_OF_ADDRESS: usize = 96;
/// The same where the address is known to stand for many.
const CLIENTS_OF_SHARED: usize = 4096;

impl Units {
    pub(crate) fn new(key: &HashKey, cap: usize) -> Self {
        let mut shards = Vec::new();
        shards.resize_with(256, Shard::default);
        let cap = (cap / 256).max(16);
        Units {
            shards,
            salt: key.hash64("unit", b""),
            cap,
            calls: 0,
            evicted_clients: 0,
            evicted_sessions: 0,
        }
    }

    /// Clients that a shard may have now: fewer, where they call more endpoints than clients usually do.
    fn room(&self) -> usize {
        let most = self.cap.saturating_mul(self.shards.len()).saturating_mul(CALLS_EACH);
        if self.calls <= most {
            self.cap
        } else {
            (self.cap as u64 * most as u64 / self.calls as u64).max(16) as usize
        }
    }

    fn address_key(&self, zone: Zone, ip: IpAddr, via: u32) -> u64 {
        let mut m = hash::Mix::new();
        m.word(self.salt);
        m.bytes(zone.as_str().as_bytes());
        match ip {
            IpAddr::V4(ip) => m.word(u64::from(ip.to_bits())),
            IpAddr::V6(ip) => m.bytes(&ip.octets()),
        }
        if via != 0 {
            m.word(u64::from(via));
        }
        m.finish()
    }

    /// The source of a request names others: whoever was taken for a client of its address may have been many.
    pub(crate) fn is_proxy(&mut self, o: &Observation) -> SmallVec<[u64; 2]> {
        let key = self.address_key(o.zone, o.source, 0);
        let Some(shard) = self.shards.get_mut((key & 0xff) as usize) else { return SmallVec::new() };
        let Some(address) = shard.addresses.get_mut(&key).filter(|a| !a.proxy) else {
            return SmallVec::new();
        };
        address.proxy = true;
        for unit in address.units.as_slice() {
            if let Some(unit) = shard.units.get_mut(unit) {
                unit.shared = true;
            }
        }
        address.units.as_slice().into()
    }

    /// The client of an observation, made where it is new.
    pub(crate) fn of(&mut self, o: &Observation) -> Option<&mut Unit> {
        let address = self.address_key(o.zone, o.client.ip, via(o));
        let cap = self.room();
        let shard = self.shards.get_mut((address & 0xff) as usize)?;
        let device = o.sessions.iter().find(|t| !t.login).map_or(0, |t| t.hash);
        let session = if o.client.shared { o.sessions.first().map_or(0, |t| t.hash) } else { 0 };
        let mut key = hash::words(&[address, o.prints.agent, device, session]) & !0xff | address & 0xff;
        let mut proxy = false;
        if !shard.units.contains_key(&key) {
            let known = shard.addresses.entry(address).or_default();
            proxy = known.proxy;
            let limit = if o.client.shared { CLIENTS_OF_SHARED } else { CLIENTS_OF_ADDRESS };
            known.agents.insert(hash::words(&[o.prints.agent]));
            let units = known.units.as_slice();
            if units.len() >= limit {
                key = hash::words(&[address, o.prints.shape]) & !0xff | address & 0xff;
            }
            if !units.contains(&key) && units.len() < limit + 64 {
                known.units.push(key);
            }
            if shard.units.len() >= cap && !shard.units.contains_key(&key) {
                let (clients, calls) = shard.evict_units(cap);
                self.evicted_clients += clients;
                self.calls = self.calls.saturating_sub(calls);
            }
        }
        let unit = shard.units.entry(key).or_insert_with(|| Box::new(Unit::new(key, o)));
        unit.shared |= proxy;
        Some(unit)
    }

    /// The session of a token, made where it is new.
    pub(crate) fn session(&mut self, token: &Token, o: &Observation, unit: u64) -> Option<&mut Session> {
        let cap = self.cap;
        let shard = self.shards.get_mut((token.hash & 0xff) as usize)?;
        if shard.sessions.len() >= cap && !shard.sessions.contains_key(&token.hash) {
            self.evicted_sessions += shard.evict_sessions(cap);
        }
        let session = shard.sessions.entry(token.hash).or_insert_with(|| {
            Box::new(Session {
                token: *token,
                n: 0,
                first: o.ts,
                last: o.ts,
                calls: Vec::new(),
                calls_over: 0,
                units: SmallVec::new(),
                judged: 0,
            })
        });
        if !session.units.contains(&unit) && session.units.len() < 16 {
            session.units.push(unit);
        }
        Some(session)
    }

    pub(crate) fn get(&self, key: u64) -> Option<&Unit> {
        self.shards.get((key & 0xff) as usize)?.units.get(&key).map(|unit| &**unit)
    }

    pub(crate) fn get_mut(&mut self, key: u64) -> Option<&mut Unit> {
        self.shards.get_mut((key & 0xff) as usize)?.units.get_mut(&key).map(|unit| &mut **unit)
    }

    pub(crate) fn get_session(&self, hash: u64) -> Option<&Session> {
        self.shards.get((hash & 0xff) as usize)?.sessions.get(&hash).map(|session| &**session)
    }

    pub(crate) fn get_session_mut(&mut self, hash: u64) -> Option<&mut Session> {
        self.shards.get_mut((hash & 0xff) as usize)?.sessions.get_mut(&hash).map(|session| &mut **session)
    }

    /// The clients at the address of `unit`.
    pub(crate) fn at_address_of(&self, unit: &Unit) -> Option<&Address> {
        let key = self.address_key(unit.zone, unit.ip, unit.via);
        self.shards.get((key & 0xff) as usize)?.addresses.get(&key)
    }

    /// Keys of all clients, in order.
    pub(crate) fn keys(&self) -> Vec<u64> {
        let mut keys: Vec<u64> = self.shards.iter().flat_map(|s| s.units.keys().copied()).collect();
        keys.sort_unstable();
        keys
    }

    /// Hashes of all sessions, in order.
    pub(crate) fn session_keys(&self) -> Vec<u64> {
        let mut keys: Vec<u64> = self.shards.iter().flat_map(|s| s.sessions.keys().copied()).collect();
        keys.sort_unstable();
        keys
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|s| s.units.len()).sum()
    }

    pub(crate) fn resolve_slots(&mut self, resolve: impl Fn(u32) -> u32 + Copy) {
        for shard in &mut self.shards {
            for unit in shard.units.values_mut() {
                unit.resolve_slots(resolve);
            }
            for session in shard.sessions.values_mut() {
                for call in &mut session.calls {
                    call.slot = resolve(call.slot);
                }
            }
        }
    }
}

impl Session {
    pub(crate) fn add(&mut self, o: &Observation, slot: u32) -> Option<u32> {
        if o.part != Part::Answer {
            self.n += 1;
            self.last = self.last.max(o.ts);
        }
        let before = add_call(&mut self.calls, slot, o);
        self.calls_over += u32::from(before.is_none());
        before
    }
}

impl Shard {
    /// Gives up the clients that were idle longest, so that a quarter of the room is free: how many, and what they called.
    fn evict_units(&mut self, cap: usize) -> (u64, usize) {
        let mut ages: Vec<(Ts, u64)> = self.units.values().map(|u| (u.last, u.key)).collect();
        ages.sort_unstable();
        let gone = ages.len().saturating_sub(cap - (cap / 4).max(1));
        let mut calls = 0;
        for (_, key) in ages.iter().take(gone) {
            calls += self.units.remove(key).map_or(0, |unit| unit.weight());
        }
        let units = &self.units;
        self.addresses.retain(|_, a| {
            a.units.retain(|k| units.contains_key(k));
            !a.units.as_slice().is_empty()
        });
        (gone as u64, calls)
    }

    fn evict_sessions(&mut self, cap: usize) -> u64 {
        let mut ages: Vec<(Ts, u64)> = self.sessions.iter().map(|(k, s)| (s.last, *k)).collect();
        ages.sort_unstable();
        let gone = (cap / 4).max(1).min(ages.len());
        for (_, key) in ages.iter().take(gone) {
            self.sessions.remove(key);
        }
        gone as u64
    }
}
