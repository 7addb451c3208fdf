//! Tables of clients, sessions and addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sidetap_model::{HashKey, Ts, Zone};
use smallvec::SmallVec;

use super::address::Address;
use super::call::{Call, add_call};
use super::pool::{ENTRY, Held, Leave, Pool, allocated, of_list, of_small};
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
    pub(super) shards: Vec<Shard>,
    salt: u64,
    /// Addresses that were forgotten, and as the how manieth: whoever comes from one again is somebody new everywhere.
    pub(super) renamed: BTreeMap<IpAddr, u32>,
    /// How many were.
    pub(super) renames: u32,
    cap: usize,
    /// What they hold.
    pub(crate) pool: Pool,
    pub(crate) evicted_clients: u64,
    pub(crate) evicted_sessions: u64,
}

#[derive(Debug, Default)]
pub(super) struct Shard {
    /// In boxes: tables of hashes are half empty at times.
    pub(super) units: Map<u64, Box<Unit>>,
    addresses: Map<u64, Address>,
    pub(super) sessions: Map<u64, Box<Session>>,
}

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
            renamed: BTreeMap::new(),
            renames: 0,
            cap,
            pool: Pool::new(cap * 256),
            evicted_clients: 0,
            evicted_sessions: 0,
        }
    }

    /// Gives up the clients that were idle longest, wherever they are, where all hold more than there is room for, and sessions alike:
    /// until a quarter of the room is free.
    fn make_room(&mut self) {
        if self.pool.sessions_are_over() {
            let mut ages: Vec<_> = self.shards.iter().flat_map(Shard::session_ages).collect();
            ages.sort_unstable();
            for (_, key) in ages {
                if !self.pool.sessions_are_tight() {
                    break;
                }
                self.give_up_session(key);
            }
        }
        if self.pool.is_over() {
            let mut ages: Vec<_> = self.shards.iter().flat_map(Shard::unit_ages).collect();
            ages.sort_unstable();
            for (_, key) in ages {
                if !self.pool.is_tight() {
                    break;
                }
                self.give_up_unit(key);
            }
            self.shards.iter_mut().for_each(Shard::forget_addresses);
        }
    }

    fn give_up_unit(&mut self, key: u64) {
        let Some(shard) = self.shards.get_mut((key & 0xff) as usize) else { return };
        if let Some(unit) = shard.units.remove(&key) {
            self.pool.clients.change(unit.held(), Held::default());
            self.evicted_clients += 1;
        }
    }

    fn give_up_session(&mut self, hash: u64) {
        let Some(shard) = self.shards.get_mut((hash & 0xff) as usize) else { return };
        if let Some(session) = shard.sessions.remove(&hash) {
            self.pool.sessions.change(session.held(), Held::default());
            self.evicted_sessions += 1;
        }
    }

    /// Gives up a quarter of the clients of a shard that has as many as it may.
    fn evict_units(&mut self, at: u64) {
        let cap = self.cap;
        let Some(shard) = self.shards.get(at as usize) else { return };
        let mut ages: Vec<_> = shard.unit_ages().collect();
        ages.sort_unstable();
        let gone = ages.len().saturating_sub(cap - (cap / 4).max(1));
        ages.iter().take(gone).for_each(|(_, key)| self.give_up_unit(*key));
        self.shards.get_mut(at as usize).into_iter().for_each(Shard::forget_addresses);
    }

    /// The same of its sessions.
    fn evict_sessions(&mut self, at: u64) {
        let Some(shard) = self.shards.get(at as usize) else { return };
        let mut ages: Vec<_> = shard.session_ages().collect();
        ages.sort_unstable();
        let gone = (self.cap / 4).max(1);
        ages.iter().take(gone).for_each(|(_, key)| self.give_up_session(*key));
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
        if let Some(number) = self.renamed.get(&ip) {
            m.word(u64::from(*number) << 32);
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

    /// The client of an observation, made where it is new, and what its lists may do now.
    ///
    /// What it comes to hold is to be told to the pool.
    pub(crate) fn of(&mut self, o: &Observation) -> Option<(&mut Unit, Leave)> {
        self.make_room();
        let address = self.address_key(o.zone, o.client.ip, via(o));
        let shard = self.shards.get_mut((address & 0xff) as usize)?;
        let device = o.sessions.iter().find(|t| !t.login).map_or(0, |t| t.hash);
        let session = if o.client.shared { o.sessions.first().map_or(0, |t| t.hash) } else { 0 };
        let mut key = hash::words(&[address, o.prints.agent, device, session]) & !0xff | address & 0xff;
        let mut proxy = false;
        let new = !shard.units.contains_key(&key);
        if new && shard.units.len() >= self.cap {
            self.evict_units(address & 0xff);
        }
        let shard = self.shards.get_mut((address & 0xff) as usize)?;
        if new {
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
        }
        let leave = self.pool.leave();
        let unit = shard.units.entry(key).or_insert_with(|| {
            self.pool.clients += Unit::RECORD;
            Box::new(Unit::new(key, o))
        });
        unit.shared |= proxy;
        Some((unit, leave))
    }

    /// Takes an observation in for the session of a token, which is made where it is new: how many calls of the endpoint there were
    /// before, where that is known, and whether the session is due to be judged.
    pub(crate) fn add_session(
        &mut self,
        token: &Token,
        o: &Observation,
        unit: u64,
        slot: u32,
    ) -> (Option<u32>, bool) {
        let at = token.hash & 0xff;
        let full = |s: &Shard| s.sessions.len() >= self.cap && !s.sessions.contains_key(&token.hash);
        if self.shards.get(at as usize).is_some_and(full) {
            self.evict_sessions(at);
        }
        let mut leave = self.pool.leave_of_session();
        let Some(shard) = self.shards.get_mut(at as usize) else { return (None, false) };
        let session = shard.sessions.entry(token.hash).or_insert_with(|| {
            self.pool.sessions += Session::RECORD;
            Box::new(Session::new(*token, o.ts))
        });
        let held = session.held_at(slot);
        if !session.units.contains(&unit) && session.units.len() < 16 {
            session.units.push(unit);
        }
        let before = session.add(o, slot, &mut leave);
        let due = session.n >= 12 && session.n >= session.judged + session.judged / 8 + 4;
        if due {
            session.judged = session.n;
        }
        self.pool.sessions.change(held, session.held_at(slot));
        self.pool.refused += leave.refused;
        (before, due)
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

    /// Joins calls whose slots became one.
    pub(crate) fn resolve_slots(&mut self, resolve: impl Fn(u32) -> u32 + Copy) {
        for shard in &mut self.shards {
            for unit in shard.units.values_mut() {
                let held = unit.held();
                unit.resolve_slots(resolve);
                self.pool.clients.change(held, unit.held());
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
    /// What its record takes with its place in the table.
    const RECORD: Held = Held::of(allocated(size_of::<Session>()) + ENTRY);

    fn new(token: Token, ts: Ts) -> Self {
        Session {
            token,
            n: 0,
            first: ts,
            last: ts,
            calls: Vec::new(),
            calls_over: 0,
            units: SmallVec::new(),
            judged: 0,
        }
    }

    /// What it holds of the room for sessions.
    pub(super) fn held(&self) -> Held {
        let calls: Held = self.calls.iter().map(Call::held).sum();
        Self::RECORD + self.beside_calls() + calls
    }

    /// What of that grows with an observation of one endpoint.
    fn held_at(&self, slot: u32) -> Held {
        let call = self.calls.iter().find(|c| c.slot == slot);
        self.beside_calls() + call.map_or(Held::default(), Call::held)
    }

    fn beside_calls(&self) -> Held {
        Held::of(of_list(&self.calls) + of_small(&self.units))
    }

    fn add(&mut self, o: &Observation, slot: u32, leave: &mut Leave) -> Option<u32> {
        if o.part != Part::Answer {
            self.n += 1;
            self.last = self.last.max(o.ts);
        }
        let before = add_call(&mut self.calls, slot, o, leave);
        self.calls_over += u32::from(before.is_none());
        before
    }
}

impl Shard {
    /// Its clients by when they were seen last.
    fn unit_ages(&self) -> impl Iterator<Item = (Ts, u64)> {
        self.units.values().map(|u| (u.last, u.key))
    }

    fn session_ages(&self) -> impl Iterator<Item = (Ts, u64)> {
        self.sessions.iter().map(|(key, s)| (s.last, *key))
    }

    /// Forgets addresses none of whose clients is left.
    pub(super) fn forget_addresses(&mut self) {
        let units = &self.units;
        self.addresses.retain(|_, a| {
            a.units.retain(|k| units.contains_key(k));
            !a.units.as_slice().is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use sidetap_model::{ClientAddr, EndpointId, EndpointRef, FlowId, IpSource};
    use smallvec::smallvec;

    use super::super::{Config, Engine};
    use super::*;
    use crate::agent::{Agent, AgentKind, Platform};
    use crate::observation::{Attempt, Outcome, Prints, Surface, Target, Traits};
    use crate::role::Roles;

    impl Units {
        /// What clients hold, and sessions, counted anew.
        fn recount(&self) -> (Held, Held) {
            let units = self.shards.iter().flat_map(|s| s.units.values()).map(|u| u.held());
            let sessions = self.shards.iter().flat_map(|s| s.sessions.values()).map(|s| s.held());
            (units.sum(), sessions.sum())
        }
    }

    /// What one observation adds at most beyond the room: its client and its session with their lists.
    const ONE_MORE: usize = 12 << 10;

    fn endpoint(n: u64) -> EndpointRef {
        let template = format!("/t{}/{{id}}", "y".repeat(n as usize));
        EndpointRef::new(EndpointId(n), "shop.test", "POST", template)
    }

    /// The `n`th request: of a client, with a session, to an endpoint, for a thing.
    fn request(key: &HashKey, n: u64, client: u16, session: u16, slot: u64, thing: u64) -> Observation {
        let [high, low] = client.to_be_bytes();
        let ip = IpAddr::from([10, 9, high, low]);
        let agent = Agent {
            kind: AgentKind::Missing,
            family: String::new(),
            major: 0,
            platform: Platform::default(),
            entry: None,
            text: String::new(),
            hash: 7,
            traits: Traits::NONE,
        };
        let hash = hash::words(&[key.hash64("thing", &thing.to_le_bytes())]);
        Observation {
            ts: Ts::from_parts(1_790_000_000 + n as i64, 0),
            flow_id: FlowId(n),
            seq: 0,
            zone: Zone::default(),
            client: ClientAddr {
                ip,
                port: None,
                source: IpSource::Connection,
                shared: false,
                claimed: false,
            },
            source: ip,
            endpoint: endpoint(slot),
            part: Part::Whole,
            acknowledged: true,
            surface: Surface::Api,
            agent: Arc::new(agent),
            prints: Prints { shape: 5, agent: 7, ..Prints::default() },
            traits: Traits::NONE,
            roles: Roles::NONE,
            outcome: Outcome::Denied,
            status: 403,
            bytes: 20,
            sessions: smallvec![Token::of(key, "session", &session.to_le_bytes(), true)],
            api_key: None,
            account: None,
            secret: None,
            form: 0,
            more_secrets: Box::default(),
            target: Some(Target { hash, number: thing.is_multiple_of(3).then_some(thing) }),
            more_targets: Box::default(),
            path: hash,
            referer: 0,
            location: 0,
            given: 0,
            page: 0,
            wait_ms: 3,
            resembles: 0,
            attempts: SmallVec::new(),
            robots: None,
            signed: None,
            crawler_path: None,
            gives: None,
            operation: None,
        }
    }

    fn engine(key: &HashKey, clients: usize) -> Engine {
        let mut engine = Engine::new(Config::builtin().unwrap(), key.clone());
        engine.units.pool = Pool::new(clients);
        engine
    }

    fn assert_counted(engine: &Engine, clients: usize) {
        let pool = &engine.units.pool;
        assert_eq!(engine.units.recount(), (pool.clients, pool.sessions));
        let most = clients * super::super::pool::OF_CLIENT;
        assert!(pool.clients.bytes + pool.sessions.bytes <= most + ONE_MORE, "{pool:?}");
        assert!(pool.sessions.bytes <= most / 4 + ONE_MORE, "{pool:?}");
        assert!(pool.clients.lists + pool.sessions.lists <= most / 4 + ONE_MORE, "{pool:?}");
        assert!(pool.sessions.lists <= most / 8 + ONE_MORE, "{pool:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn what_is_held_is_what_is_counted_after_whatever_happened(
            clients in 20usize..400,
            runs in prop::collection::vec((0u16..40, 0u16..40, 0u64..60, 1u64..80, 0u8..6, any::<bool>()), 1..60),
        ) {
            let key = HashKey::from_bytes([9; 16]);
            let mut engine = engine(&key, clients);
            let mut n = 0;
            for (client, session, slot, things, kind, join) in runs {
                let all = (0..things).map(|thing| {
                    n += 1;
                    let mut o = request(&key, n, client, session, slot, thing * 7 + slot);
                    match kind {
                        0 => o.account = Some(o.path),
                        1 => o.attempts = smallvec![Attempt::Sqli],
                        2 => (o.outcome, o.status) = (Outcome::NotFound, 404),
                        3 => o.sessions.clear(),
                        4 => o.referer = o.path ^ 1,
                        _ => o.surface = Surface::Page,
                    }
                    o
                });
                let all: Vec<_> = all.collect();
                let renames = [(EndpointId(slot), endpoint(slot / 2))];
                engine.epoch(Ts::default(), all, if join { &renames } else { &[] });
                assert_counted(&engine, clients);
            }
            let full = std::mem::replace(&mut engine.units.pool, Pool::new(0));
            (engine.units.pool.clients, engine.units.pool.sessions) = (full.clients, full.sessions);
            engine.units.make_room();
            prop_assert_eq!((engine.units.pool.clients, engine.units.pool.sessions), Default::default());
        }
    }

    /// Many sessions, each of which tries many accounts.
    fn watch(key: &HashKey) -> Engine {
        let clients = 256;
        let mut engine = engine(key, clients);
        let mut n = 0;
        for session in 0..300 {
            let calls = (0..240).map(|thing| (u64::from(session) % 3, thing));
            let all: Vec<_> = calls
                .map(|(slot, thing)| {
                    n += 1;
                    request(key, n, session % 30, session, slot, u64::from(session) * 1000 + thing)
                })
                .collect();
            engine.epoch(Ts::default(), all, &[]);
            assert_counted(&engine, clients);
        }
        engine
    }

    #[test]
    fn sessions_that_try_much_stay_within_their_room_whatever_the_key_is() {
        let engines = [1, 2, 3].map(|k| watch(&HashKey::from_bytes([k; 16])));
        let told = engines.each_ref().map(Engine::evictions);
        assert!(told[0]["bots-values"] > 0 && told[0]["bots-sessions"] > 0, "{:?}", told[0]);
        assert!(told.iter().all(|t| *t == told[0]), "{told:?}");
        let held = engines.each_ref().map(|e| (e.units.pool.clients, e.units.pool.sessions));
        assert!(held.iter().all(|h| *h == held[0]), "{held:?}");
    }

    #[test]
    fn what_is_given_up_for_the_cap_leaves_its_room() {
        let key = HashKey::from_bytes([4; 16]);
        let mut config = Config::builtin().unwrap();
        config.max_clients = 4096;
        let mut engine = Engine::new(config, key.clone());
        for n in 0..9000u16 {
            let o = request(&key, u64::from(n), n, n, u64::from(n % 5), u64::from(n));
            engine.epoch(Ts::default(), [o], &[]);
        }
        assert!(engine.units.evicted_clients > 1000 && engine.units.evicted_sessions > 1000);
        assert_counted(&engine, 4096);
    }

    #[test]
    fn those_who_try_one_account_have_room_in_all() {
        let key = HashKey::from_bytes([5; 16]);
        let mut doors = super::super::doors::Doors::new(100);
        for account in 0..3 {
            for unit in 0..60 {
                let mut o = request(&key, unit, 1, 1, 1, 1);
                (o.account, o.roles) = (Some(account), Roles::LOGIN);
                doors.take(&o, 0, 1, unit);
            }
        }
        assert_eq!(doors.evicted, 20 + 58, "two of each account need no room");
    }
}
