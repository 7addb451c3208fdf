//! Clients: an address with an agent (and a device id where there is one), and sessions.

use std::net::IpAddr;
use std::sync::Arc;

use sidetap_model::{FlowId, Ts, Zone};
use smallvec::SmallVec;

pub(crate) use super::call::Call;
use super::call::add_call;
use super::habits::Habits;
use super::pool::{ENTRY, Held, Leave, allocated, of_box, of_list, of_small};
use super::sketch::{Distinct, Gaps};
use super::standing::Standing;
use super::tally::Tally;
use super::units::via;
use crate::agent::{Agent, AgentKind};
use crate::hash;
use crate::observation::{Attempt, Observation, Outcome, Part, Prints, Surface, Token, Traits};

/// Names an exchange; packed, for each client and each of its calls has some.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(C, packed(4))]
pub(crate) struct ExchangeId {
    pub(crate) flow: FlowId,
    pub(crate) seq: u32,
}

impl ExchangeId {
    /// The exchange of an observation.
    pub(crate) const fn of(o: &Observation) -> Self {
        ExchangeId { flow: o.flow_id, seq: o.seq }
    }
}

/// What one client did.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    pub(crate) key: u64,
    pub(crate) zone: Zone,
    pub(crate) ip: IpAddr,
    pub(crate) shared: bool,
    /// The network of the source whose mere word its address is, hashed; 0 where it is more than that.
    pub(crate) via: u32,
    pub(crate) agent: Arc<Agent>,
    pub(crate) main_shape: u64,
    pub(crate) main_door: u64,
    pub(crate) host: u64,
    pub(crate) first: Ts,
    pub(crate) last: Ts,
    pub(crate) n: u32,
    pub(crate) any: Traits,
    pub(crate) all: Traits,
    pub(crate) pages: u32,
    /// Every page was asked for past all caches.
    pub(crate) uncached: bool,
    pub(crate) assets: u32,
    pub(crate) heads: u32,
    pub(crate) referers: u32,
    pub(crate) set_cookies: u32,
    pub(crate) cookies: u32,
    pub(crate) answers: u32,
    pub(crate) keyed: u32,
    pub(crate) accounts: Tally,
    rare: Option<Box<Rare>>,
    pub(crate) robots_read: bool,
    pub(crate) bytes: u64,
    pub(crate) gaps: Gaps,
    pub(crate) minute: i32,
    pub(crate) in_minute: u16,
    pub(crate) peak: u16,
    pub(crate) calls: Vec<Call>,
    pub(crate) sessions: SmallVec<[Token; 1]>,
    /// Requests in each ten seconds, of who is long at it in each twenty, forty and so on: doubled as often as `widened`.
    timeline: SmallVec<[(i32, u32); 2]>,
    widened: u8,
    /// The ten seconds that run, and the most in any.
    ten: i32,
    in_ten: u16,
    peak_ten: u16,
    pub(crate) evidence: SmallVec<[ExchangeId; 3]>,
    pub(crate) judged: u32,
    /// Where it comes from and who it is.
    pub(crate) standing: Standing,
    pub(crate) tool: bool,
    pub(crate) trusted: bool,
    pub(crate) queued: bool,
    /// How often it was taken as an example of its kind.
    pub(crate) windows: u8,
    pub(crate) established: bool,
    /// Automation when it was judged last, 1 to 99.
    pub(crate) automation: u8,
    pub(crate) habits: Habits,
    /// Fingerprints of its first request, or of the first with a body or cookies; of the agent always the first's.
    pub(crate) prints: Prints,
}

/// What few clients do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rare {
    /// Answers that nothing is at the path, and of how many paths.
    pub(crate) missing_n: u32,
    pub(crate) missing: Distinct,
    /// Paths asked for from then on.
    pub(crate) paths: Tally,
    pub(crate) attempts: u32,
    pub(crate) sqli: u32,
    pub(crate) sensitive_files: u32,
    /// Different ones of them.
    pub(crate) probed: Distinct,
    pub(crate) attempt_kinds: u8,
    pub(crate) robots_violations: u32,
    pub(crate) errors: u32,
    pub(crate) limited: u32,
    pub(crate) login_fails: u32,
    pub(crate) api_navigations: u32,
    /// Texts with a link that it posted, and requests of many calls.
    pub(crate) linked: u32,
    pub(crate) bulk: u32,
    /// Calls and sessions of which no record is kept.
    pub(crate) calls_over: u32,
    pub(crate) sessions_over: u32,
}

impl Rare {
    /// What it holds beside its own record.
    fn held(&self) -> Held {
        Held::of(self.missing.heap() + self.probed.heap()) + Held::of_lists(self.paths.heap())
    }
}

/// Bytes of a client's address: its place in a table that is half empty at times, one's key among several, and its agents' bits.
const OF_ADDRESS: usize = 144;

/// Of who did nothing of the kind.
static NOTHING: std::sync::LazyLock<Rare> = std::sync::LazyLock::new(Rare::default);

/// What is known of the place that an observation is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Nothing is known to be at the path.
    pub(crate) unknown: bool,
    /// Honest calls look like attacks here.
    pub(crate) noisy: bool,
    /// The endpoint's id and its host's hash.
    pub(crate) at: Option<(u64, u64)>,
}

/// Buckets of a client's timeline.
const BUCKETS: usize = 512;

/// Width of a timeline's bucket in seconds.
pub(crate) const BUCKET_S: i64 = 10;

/// The bucket of a timeline that a time is in.
pub(crate) fn bucket(ts: Ts) -> i32 {
    let bucket = ts.secs().div_euclid(BUCKET_S);
    i32::try_from(bucket).unwrap_or(if bucket < 0 { i32::MIN } else { i32::MAX })
}

impl Unit {
    /// What of a head with this shape a balancer still has; 0 where it is not known any more.
    pub(crate) fn door_of(&self, shape: u64) -> u64 {
        let calls = self.calls.iter().map(|c| (c.shape, c.door));
        let mut known = std::iter::once((self.main_shape, self.main_door)).chain(calls);
        known.find(|(s, _)| *s == shape).map_or(0, |(_, door)| door)
    }

    pub(super) fn new(key: u64, o: &Observation) -> Self {
        Unit {
            key,
            zone: o.zone,
            ip: o.client.ip,
            shared: o.client.shared,
            via: via(o),
            agent: Arc::clone(&o.agent),
            main_shape: o.prints.shape,
            main_door: o.prints.door,
            host: hash::of(o.endpoint.host.as_bytes()),
            first: o.ts,
            last: o.ts,
            n: 0,
            any: Traits::NONE,
            all: Traits(u128::MAX),
            pages: 0,
            uncached: true,
            assets: 0,
            heads: 0,
            referers: 0,
            set_cookies: 0,
            cookies: 0,
            answers: 0,
            keyed: 0,
            accounts: Tally::default(),
            rare: None,
            robots_read: false,
            bytes: 0,
            gaps: Gaps::default(),
            minute: i32::MIN,
            in_minute: 0,
            peak: 0,
            calls: Vec::new(),
            sessions: SmallVec::new(),
            timeline: SmallVec::new(),
            widened: 0,
            ten: i32::MIN,
            in_ten: 0,
            peak_ten: 0,
            evidence: SmallVec::new(),
            judged: 0,
            standing: Standing::default(),
            tool: false,
            trusted: false,
            queued: false,
            windows: 0,
            established: false,
            automation: 0,
            habits: Habits::default(),
            prints: o.prints,
        }
    }

    /// Takes an observation in. `slot` is the endpoint's, nothing for assets; `place` says what is known of it.
    ///
    /// Lists of what it tried grow as far as `leave` lets them.
    pub(crate) fn add(
        &mut self,
        o: &Observation,
        slot: Option<u32>,
        place: Place,
        leave: &mut Leave,
    ) -> Option<u32> {
        if o.part != Part::Answer {
            self.request(o, place.at, leave);
            if !place.noisy {
                self.attempts(o, leave);
            }
        }
        self.answer(o, place.unknown, leave);
        let slot = slot?;
        let before = add_call(&mut self.calls, slot, o, leave);
        if before.is_none() {
            self.rare_mut().calls_over += 1;
        }
        before
    }

    fn request(&mut self, o: &Observation, at: Option<(u64, u64)>, leave: &mut Leave) {
        let gap = o.ts.since(self.last);
        if self.n > 0 && o.surface != Surface::Asset {
            self.gaps.add(gap);
        }
        self.habits.request(o, self.n, gap, o.ts.since(self.first), at);
        if o.prints.body != 0 && self.prints.body == 0 || o.prints.cookies != 0 && self.prints.cookies == 0 {
            self.prints = Prints { agent: self.prints.agent, ..o.prints };
        }
        self.n += 1;
        if o.surface != Surface::Asset {
            self.last = self.last.max(o.ts);
        }
        self.any.insert(o.traits);
        self.all.0 &= o.traits.0;
        match o.surface {
            Surface::Page => {
                self.pages += 1;
                self.uncached &= o.traits.has(Traits::NO_CACHE);
            }
            Surface::Asset => self.assets += 1,
            Surface::Robots => self.robots_read = true,
            Surface::Api => {}
        }
        if o.surface == Surface::Api && o.traits.has(Traits::NAVIGATES) {
            self.rare_mut().api_navigations += 1;
        }
        self.heads += u32::from(o.traits.has(Traits::HEAD));
        self.referers += u32::from(o.traits.has(Traits::REFERER));
        self.cookies += u32::from(o.traits.has(Traits::COOKIE));
        self.keyed += u32::from(o.traits.has(Traits::KEYED));
        if o.traits.has(Traits::LINKS) {
            self.rare_mut().linked += 1;
        }
        if o.traits.has(Traits::BULK) {
            self.rare_mut().bulk += 1;
        }
        if let Some(account) = o.account {
            self.accounts.insert(account, leave);
        }
        for token in &o.sessions {
            if !self.sessions.iter().any(|t| t.hash == token.hash) {
                if self.sessions.len() < 8 {
                    self.sessions.push(*token);
                } else {
                    self.rare_mut().sessions_over += 1;
                }
            }
        }
        if let Some(rare) = self.rare.as_deref_mut().filter(|_| o.surface != Surface::Asset) {
            rare.paths.insert(hash::words(&[o.path]), leave);
        }
        self.rate(o.ts);
        if self.evidence.len() < 3 {
            self.evidence.push(ExchangeId::of(o));
        }
    }

    fn rate(&mut self, ts: Ts) {
        let minute = bucket(ts).div_euclid(6);
        if minute != self.minute {
            self.minute = minute;
            self.in_minute = 0;
        }
        self.in_minute = self.in_minute.saturating_add(1);
        self.peak = self.peak.max(self.in_minute);
        let ten = bucket(ts);
        if ten != self.ten {
            self.ten = ten;
            self.in_ten = 0;
        }
        self.in_ten = self.in_ten.saturating_add(1);
        self.peak_ten = self.peak_ten.max(self.in_ten);
        let mut at = ten >> self.widened;
        if self.timeline.len() >= BUCKETS && !self.timeline.iter().rev().take(2).any(|(b, _)| *b == at) {
            self.widen();
            at = ten >> self.widened;
        }
        match self.timeline.iter_mut().rev().take(2).find(|(b, _)| *b == at) {
            Some((_, n)) => *n += 1,
            None => self.timeline.push((at, 1)),
        }
    }

    /// Makes room: each two of the timeline's buckets become one of twice the width.
    fn widen(&mut self) {
        while self.timeline.len() >= BUCKETS && self.widened < 31 {
            self.widened += 1;
            let mut wider: SmallVec<[(i32, u32); 2]> = SmallVec::with_capacity(BUCKETS);
            for (bucket, n) in self.timeline.drain(..) {
                match wider.last_mut() {
                    Some((last, all)) if *last == bucket >> 1 => *all = all.saturating_add(n),
                    _ => wider.push((bucket >> 1, n)),
                }
            }
            self.timeline = wider;
        }
    }

    /// The buckets of its timeline: how many it has requests in, and how many there are from the first to the last.
    pub(crate) fn activity(&self) -> Option<(usize, f64)> {
        let ((first, _), (last, _)) = (self.timeline.first()?, self.timeline.last()?);
        Some((self.timeline.len(), (f64::from(*last) - f64::from(*first) + 1.0).max(1.0)))
    }

    /// The most requests in ten seconds.
    pub(crate) fn peak_ten(&self) -> u32 {
        if self.widened == 0 { self.counts().max().unwrap_or(0) } else { u32::from(self.peak_ten) }
    }

    /// Requests in each bucket of its timeline.
    pub(crate) fn counts(&self) -> impl Iterator<Item = u32> + '_ {
        self.timeline.iter().map(|(_, n)| *n)
    }

    /// Its requests over time, by ten seconds as [`bucket`] counts them; what is known by wider buckets is spread over those.
    pub(crate) fn series(&self) -> impl Iterator<Item = (i64, u64)> + '_ {
        let width = 1i64 << self.widened;
        let parts = width.min(8);
        self.timeline.iter().flat_map(move |(bucket, n)| {
            let (start, n) = (i64::from(*bucket) << self.widened, i64::from(*n));
            (0..parts).filter_map(move |part| {
                let share = n * (part + 1) / parts - n * part / parts;
                (share > 0).then(|| (start + part * (width / parts), share.unsigned_abs()))
            })
        })
    }

    fn attempts(&mut self, o: &Observation, leave: &mut Leave) {
        if o.attempts.is_empty() {
            return;
        }
        let rare = self.rare.get_or_insert_default();
        let mut real = false;
        for attempt in &o.attempts {
            rare.attempt_kinds |= 1 << (*attempt as u8);
            rare.sqli += u32::from(*attempt == Attempt::Sqli);
            if *attempt == Attempt::SensitiveFile {
                rare.sensitive_files += 1;
                rare.probed.insert(hash::words(&[o.path]));
            }
            real |= *attempt != Attempt::SensitiveFile;
        }
        rare.attempts += u32::from(real);
        rare.paths.insert(hash::words(&[o.path]), leave);
        if self.evidence.len() == 3
            && rare.attempts <= 3
            && let Some(last) = self.evidence.last_mut()
        {
            *last = ExchangeId::of(o);
        }
    }

    /// What few clients do.
    pub(crate) fn rare(&self) -> &Rare {
        self.rare.as_deref().unwrap_or(&NOTHING)
    }

    pub(crate) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    fn answer(&mut self, o: &Observation, probe: bool, leave: &mut Leave) {
        self.any.set(Traits::SERVICE, o.traits.has(Traits::SERVICE));
        if o.status == 0 {
            return;
        }
        self.answers += 1;
        self.bytes += u64::from(o.bytes);
        self.habits.answer(o);
        self.set_cookies += u32::from(o.traits.has(Traits::SET_COOKIE));
        match o.outcome.basic() {
            Outcome::NotFound if probe => {
                let rare = self.rare_mut();
                rare.missing_n += 1;
                rare.missing.insert(hash::words(&[o.path]));
                rare.paths.insert(hash::words(&[o.path]), leave);
            }
            Outcome::Error => self.rare_mut().errors += 1,
            Outcome::Limited => self.rare_mut().limited += 1,
            Outcome::Denied if o.roles.any(crate::Roles::LOGIN) => self.rare_mut().login_fails += 1,
            _ => {}
        }
    }

    /// Endpoints called, assets aside.
    pub(crate) fn breadth(&self) -> u32 {
        u32::try_from(self.calls.len()).unwrap_or(u32::MAX).saturating_add(self.rare().calls_over)
    }

    /// What its record takes with its places in the tables of clients and of addresses.
    pub(crate) const RECORD: Held = Held::of(allocated(size_of::<Unit>()) + ENTRY + OF_ADDRESS);

    /// What it holds of the room for clients.
    pub(crate) fn held(&self) -> Held {
        Self::RECORD + self.beside_calls() + self.calls.iter().map(Call::held).sum()
    }

    /// What of that grows with an observation of one endpoint.
    pub(crate) fn held_at(&self, slot: Option<u32>) -> Held {
        let call = self.calls.iter().find(|c| Some(c.slot) == slot);
        self.beside_calls() + call.map_or(Held::default(), Call::held)
    }

    /// What it holds beside its record and what its calls hold.
    fn beside_calls(&self) -> Held {
        let lists = of_list(&self.calls)
            + of_small(&self.sessions)
            + of_small(&self.timeline)
            + of_small(&self.evidence);
        let rare = self.rare.as_deref().map_or(Held::default(), Rare::held);
        let boxes = self.gaps.heap() + self.habits.heap() + of_box(self.rare.as_deref());
        Held::of(lists + boxes) + rare + Held::of_lists(self.accounts.heap())
    }

    /// Sessions presented: three and more mean that several people are behind the address and the agent.
    pub(crate) fn logins(&self) -> u32 {
        let known = self.sessions.iter().filter(|t| t.login).count();
        u32::try_from(known).unwrap_or(u32::MAX).saturating_add(self.rare().sessions_over)
    }

    /// True where its address is nothing but the word of a source that looks like a proxy.
    pub(crate) const fn is_claimed(&self) -> bool {
        self.via != 0
    }

    /// Calls little, loads nothing.
    pub(crate) fn is_narrow(&self) -> bool {
        self.breadth() <= 3 && self.assets == 0
    }

    /// A browser that loaded a page with what belongs to it.
    pub(crate) fn loads_like_a_browser(&self) -> bool {
        self.agent.kind == AgentKind::Browser && self.assets >= 3 && self.pages >= 1
    }

    /// Joins calls whose slots became one.
    pub(crate) fn resolve_slots(&mut self, resolve: impl Fn(u32) -> u32) {
        let mut joined: Vec<Call> = Vec::with_capacity(self.calls.len());
        for mut call in self.calls.drain(..) {
            call.slot = resolve(call.slot);
            match joined.iter_mut().find(|c| c.slot == call.slot) {
                Some(known) => known.merge(&call),
                None => joined.push(call),
            }
        }
        joined.shrink_to_fit();
        self.calls = joined;
    }
}

#[cfg(test)]
mod tests {
    use super::super::units::Session;
    use super::*;

    #[test]
    fn a_client_fits_into_what_memory_is_counted_for_it() {
        assert!(size_of::<Unit>() <= 640, "{}", size_of::<Unit>());
        assert!(size_of::<Session>() <= 160, "{}", size_of::<Session>());
        assert!(size_of::<Habits>() <= 200, "{}", size_of::<Habits>());
        assert!(size_of::<Call>() <= 96, "{}", size_of::<Call>());
    }
}
