//! What is known of one endpoint.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sidetap_model::{EndpointId, FlowId, Ts};
use smallvec::SmallVec;

use crate::callers::Callers;
use crate::observe::{BodyFacts, Observation, Signs};
use crate::schema::Schema;

const MAX_QUERY: usize = 64;
const MAX_SCHEMAS: usize = 8;
const MAX_OPERATIONS: usize = 256;
const MAX_STATUSES: usize = 32;
const MAX_ALIASES: usize = 64;
const MAX_EVIDENCE: usize = 3;

/// An exchange that shows something.
pub(crate) type ExchangeId = (FlowId, u32);

/// Everything counted of an endpoint.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    pub(crate) id: EndpointId,
    pub(crate) calls: u64,
    pub(crate) first: Ts,
    pub(crate) last: Ts,
    /// Calls by status code; 0 is no answer.
    pub(crate) statuses: SmallVec<[(u16, u64); 4]>,
    /// Calls by bit of [`crate::AUTH_KINDS`].
    pub(crate) auth: [u32; 10],
    /// Successful calls without and with credentials.
    pub(crate) open_successes: u64,
    pub(crate) secured_successes: u64,
    pub(crate) callers: Callers,
    pub(crate) protocols: [u32; 10],
    pub(crate) channels: u8,
    pub(crate) public: bool,
    pub(crate) query: BTreeMap<Box<str>, QueryStat>,
    /// Schemas by side (0 request, 1 to 5 status class of a response) and media type.
    pub(crate) schemas: BTreeMap<(u8, Box<str>), Schema>,
    pub(crate) operations: BTreeMap<Box<str>, Operation>,
    pub(crate) signs: BTreeMap<u8, SignStat>,
    pub(crate) largest_response: u64,
    /// Length and beginning of its successful responses, hashed, where all have the same.
    pub(crate) print: Option<u64>,
    pub(crate) prints_differ: bool,
    pub(crate) open_evidence: SmallVec<[ExchangeId; 3]>,
    pub(crate) evidence: SmallVec<[ExchangeId; 3]>,
    pub(crate) aliases: SmallVec<[EndpointId; 2]>,
}

/// A query parameter.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct QueryStat {
    pub(crate) calls: u64,
    pub(crate) shapes: u32,
}

/// An operation that shares its path with others.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Operation {
    pub(crate) calls: u64,
    pub(crate) first: Ts,
    pub(crate) last: Ts,
    pub(crate) statuses: SmallVec<[(u16, u64); 2]>,
    pub(crate) auth: u16,
    pub(crate) callers: Callers,
}

/// How often a sign was seen, and where.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct SignStat {
    pub(crate) count: u64,
    pub(crate) first: Ts,
    pub(crate) last: Ts,
    pub(crate) evidence: SmallVec<[ExchangeId; 3]>,
}

/// Whether an endpoint's schemas still change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Settled {
    #[default]
    No,
    /// Its answers are usually like this.
    Yes(Usual),
}

/// What most answers of an endpoint are like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Usual {
    statuses: [u16; 4],
    /// Bits of the length of its longest answer.
    bits: u8,
    known: WellKnown,
}

/// For how many calls an endpoint has been settled, in steps: the more, the fewer of its answers are read whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum WellKnown {
    #[default]
    Just,
    Twice,
    Well,
    Long,
    VeryLong,
}

impl Usual {
    /// An answer with a status that is seldom here, or longer than all before, is not.
    pub(crate) fn is(&self, status: u16, len: u64) -> bool {
        self.statuses.contains(&status) && bits(len) <= self.bits
    }

    /// One in how many of them is read whole, where one in `sample` is of an endpoint that is well known.
    pub(crate) fn one_in(&self, sample: u16) -> u32 {
        let sample = u32::from(sample.max(1));
        match self.known {
            WellKnown::Just => sample.min(2),
            WellKnown::Twice => sample.min(4),
            WellKnown::Well => sample,
            WellKnown::Long => 2 * sample,
            WellKnown::VeryLong => 4 * sample,
        }
    }
}

fn bits(len: u64) -> u8 {
    (u64::BITS - len.leading_zeros()) as u8
}

impl Endpoint {
    /// Counts one exchange.
    pub(crate) fn count(&mut self, o: &Observation) {
        let success = o.status.is_some_and(is_success);
        self.span(o.ts);
        self.calls += 1;
        tally(&mut self.statuses, o.status.unwrap_or(0), 1);
        for (i, n) in self.auth.iter_mut().enumerate() {
            *n = n.saturating_add(u32::from(o.auth >> i & 1));
        }
        self.callers.add(client_hash(o.client));
        self.channels |= o.channel as u8;
        self.public |= is_public(o.client);
        self.largest_response = self.largest_response.max(o.response_bytes);
        let exchange = (o.flow_id, o.seq);
        if success {
            self.prints_differ |= self.print.is_some_and(|p| p != o.response.print);
            self.print = Some(o.response.print);
            if let Some(n) = self.protocols.get_mut(o.protocol as usize) {
                *n = n.saturating_add(1);
            }
            if o.auth & !1 == 0 {
                self.open_successes += 1;
                keep(&mut self.open_evidence, exchange);
            } else {
                self.secured_successes += 1;
            }
            self.parameters(o);
        }
        keep(&mut self.evidence, exchange);
        self.bodies(o, success);
        for bit in o.signs.bits() {
            let stat = self.signs.entry(bit as u8).or_default();
            stat.add(o.ts, exchange);
        }
        self.operation(o);
    }

    fn span(&mut self, ts: Ts) {
        if self.calls == 0 {
            (self.first, self.last) = (ts, ts);
        }
        self.first = self.first.min(ts);
        self.last = self.last.max(ts);
    }

    fn parameters(&mut self, o: &Observation) {
        for q in &o.query {
            if let Some(stat) = self.query.get_mut(&q.name) {
                stat.calls += 1;
                stat.shapes |= q.shapes;
            } else if self.query.len() < MAX_QUERY {
                self.query.insert(q.name.clone(), QueryStat { calls: 1, shapes: q.shapes });
            }
        }
    }

    fn bodies(&mut self, o: &Observation, success: bool) {
        if success {
            self.body(0, &o.request, false);
        }
        if let Some(status) = o.status {
            self.body((status / 100).min(5) as u8, &o.response, o.auth & !1 == 0);
        }
    }

    fn body(&mut self, side: u8, facts: &BodyFacts, open: bool) {
        if !facts.visited || facts.fields.is_empty() {
            return;
        }
        let media = facts.media.as_deref().unwrap_or("application/octet-stream");
        let known = self.schemas.iter_mut().find(|((s, m), _)| *s == side && **m == *media);
        if let Some((_, schema)) = known {
            schema.add(facts, open);
        } else if self.schemas.len() < MAX_SCHEMAS {
            self.schemas.entry((side, media.into())).or_default().add(facts, open);
        }
    }

    fn operation(&mut self, o: &Observation) {
        let Some(name) = &o.operation else { return };
        if self.operations.len() >= MAX_OPERATIONS && !self.operations.contains_key(name) {
            return;
        }
        let op = self.operations.entry(name.clone()).or_default();
        if op.calls == 0 {
            (op.first, op.last) = (o.ts, o.ts);
        }
        op.calls += 1;
        op.first = op.first.min(o.ts);
        op.last = op.last.max(o.ts);
        op.auth |= o.auth;
        tally(&mut op.statuses, o.status.unwrap_or(0), 1);
        op.callers.add(client_hash(o.client));
    }

    /// How well it is known: settled where its schemas have not changed for `after` bodies each.
    pub(crate) fn known(&self, after: u32) -> Settled {
        let settled = self.calls >= u64::from(after)
            && self
                .schemas
                .iter()
                .filter(|((side, _), _)| matches!(side, 0 | 2))
                .all(|(_, s)| s.unchanged >= after);
        if settled { Settled::Yes(self.usual(after)) } else { Settled::No }
    }

    fn usual(&self, after: u32) -> Usual {
        let known = match self.calls / u64::from(after.max(1)) {
            0..2 => WellKnown::Just,
            2..4 => WellKnown::Twice,
            4..16 => WellKnown::Well,
            16..64 => WellKnown::Long,
            _ => WellKnown::VeryLong,
        };
        let mut usual = Usual { bits: bits(self.largest_response), known, ..Usual::default() };
        let often = self.statuses.iter().filter(|(status, n)| *status > 0 && *n >= u64::from(after));
        for (place, (status, _)) in usual.statuses.iter_mut().zip(often) {
            *place = *status;
        }
        usual
    }

    /// Takes in `other`, which turned out to be the same endpoint.
    pub(crate) fn absorb(&mut self, other: Endpoint) {
        if other.calls == 0 {
            return;
        }
        if self.calls == 0 {
            (self.first, self.last) = (other.first, other.last);
        }
        self.calls += other.calls;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        other.statuses.iter().for_each(|(s, n)| tally(&mut self.statuses, *s, *n));
        self.auth.iter_mut().zip(other.auth).for_each(|(a, b)| *a = a.saturating_add(b));
        self.open_successes += other.open_successes;
        self.secured_successes += other.secured_successes;
        self.callers.absorb(&other.callers);
        self.protocols.iter_mut().zip(other.protocols).for_each(|(a, b)| *a = a.saturating_add(b));
        self.channels |= other.channels;
        self.public |= other.public;
        self.largest_response = self.largest_response.max(other.largest_response);
        for (name, stat) in other.query {
            if self.query.contains_key(&name) || self.query.len() < MAX_QUERY {
                let mine = self.query.entry(name).or_default();
                mine.calls += stat.calls;
                mine.shapes |= stat.shapes;
            }
        }
        for (key, schema) in other.schemas {
            if self.schemas.contains_key(&key) || self.schemas.len() < MAX_SCHEMAS {
                self.schemas.entry(key).or_default().absorb(schema);
            }
        }
        for (bit, stat) in other.signs {
            self.signs.entry(bit).or_default().absorb(&stat);
        }
        self.prints_differ |=
            other.prints_differ || self.print.is_some() && other.print.is_some() && self.print != other.print;
        self.print = self.print.or(other.print);
        self.absorb_operations(other.operations);
        other.open_evidence.iter().for_each(|e| keep(&mut self.open_evidence, *e));
        other.evidence.iter().for_each(|e| keep(&mut self.evidence, *e));
        other.aliases.iter().for_each(|a| self.alias(*a));
    }

    fn absorb_operations(&mut self, others: BTreeMap<Box<str>, Operation>) {
        for (name, op) in others {
            let room = self.operations.len() < MAX_OPERATIONS;
            match self.operations.get_mut(&name) {
                Some(mine) => {
                    mine.calls += op.calls;
                    mine.first = mine.first.min(op.first);
                    mine.last = mine.last.max(op.last);
                    mine.auth |= op.auth;
                    op.statuses.iter().for_each(|(s, n)| tally(&mut mine.statuses, *s, *n));
                    mine.callers.absorb(&op.callers);
                }
                None if room => {
                    self.operations.insert(name, op);
                }
                None => {}
            }
        }
    }

    /// Remembers an id that it had.
    pub(crate) fn alias(&mut self, id: EndpointId) {
        if id != self.id && self.aliases.len() < MAX_ALIASES && !self.aliases.contains(&id) {
            self.aliases.push(id);
        }
    }

    /// True where an answer said that it is deprecated, or when it ends.
    pub(crate) fn is_deprecated(&self) -> bool {
        self.has(Signs::DEPRECATED)
    }

    /// True of a sign of the query that guesses at parameters left: a dozen were sent once or twice each, and none that is sent more
    /// often is named as what the sign is about.
    pub(crate) fn is_guessed(&self, sign: Signs) -> bool {
        const GUESSES: usize = 12;
        let about: fn(&str) -> bool = match sign {
            Signs::CREDENTIAL_IN_URL => |name| sidetap_wire::auth::is_credential_parameter(name.as_bytes()),
            Signs::SESSION_IN_URL => |name| {
                let name = name.to_ascii_lowercase();
                name.contains("session") || name.contains("sess") || name.ends_with("sid")
            },
            _ => return false,
        };
        let guess = |q: &QueryStat| q.calls <= 2;
        self.query.values().filter(|q| guess(q)).count() >= GUESSES
            && !self.query.iter().any(|(name, q)| !guess(q) && about(name))
    }

    pub(crate) fn has(&self, sign: Signs) -> bool {
        !self.is_guessed(sign) && sign.bits().any(|b| self.signs.contains_key(&(b as u8)))
    }

    /// True where the field at `path` stood in a successful answer to a request without credentials.
    pub(crate) fn answers_openly(&self, path: &str) -> bool {
        let answers = self.schemas.iter().filter(|((side, _), _)| *side == 2);
        answers.flat_map(|(_, s)| s.fields.values()).any(|f| f.open && *f.path == *path)
    }

    /// Successful calls.
    pub(crate) fn successes(&self) -> u64 {
        self.open_successes + self.secured_successes
    }

    /// Calls answered with `status` to `last`.
    pub(crate) fn answered(&self, from: u16, last: u16) -> u64 {
        self.statuses.iter().filter(|(s, _)| (from..=last).contains(s)).map(|(_, n)| n).sum()
    }
}

impl SignStat {
    fn add(&mut self, ts: Ts, exchange: ExchangeId) {
        if self.count == 0 {
            (self.first, self.last) = (ts, ts);
        }
        self.count += 1;
        self.first = self.first.min(ts);
        self.last = self.last.max(ts);
        keep(&mut self.evidence, exchange);
    }

    fn absorb(&mut self, other: &SignStat) {
        if self.count == 0 {
            (self.first, self.last) = (other.first, other.last);
        }
        self.count += other.count;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        other.evidence.iter().for_each(|e| keep(&mut self.evidence, *e));
    }
}

fn keep(list: &mut SmallVec<[ExchangeId; 3]>, exchange: ExchangeId) {
    if list.len() < MAX_EVIDENCE && !list.contains(&exchange) {
        list.push(exchange);
    }
}

pub(crate) fn tally<const N: usize>(list: &mut SmallVec<[(u16, u64); N]>, status: u16, n: u64)
where
    [(u16, u64); N]: smallvec::Array<Item = (u16, u64)>,
{
    let room = list.len() < MAX_STATUSES;
    match list.iter_mut().find(|(s, _)| *s == status) {
        Some((_, count)) => *count += n,
        None if room => list.push((status, n)),
        None => {}
    }
}

/// True of answers that prove a path: success, not modified, and conflicts with what is there.
pub(crate) fn proves(status: u16) -> bool {
    is_success(status) || matches!(status, 101 | 409 | 422)
}

pub(crate) fn is_success(status: u16) -> bool {
    (200..300).contains(&status) || status == 304
}

/// Fixed hash of an address.
pub(crate) fn client_hash(ip: IpAddr) -> u64 {
    let bits = match ip {
        IpAddr::V4(a) => u128::from(u32::from(a)) | 0xffff << 32,
        IpAddr::V6(a) => u128::from(a),
    };
    let mut x = (bits as u64) ^ ((bits >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// True of addresses outside of private, loopback, link-local, shared (RFC 6598) and documentation space.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(a) => {
            let [x, y, ..] = a.octets();
            let shared = x == 100 && (64..128).contains(&y);
            !(a.is_private()
                || a.is_loopback()
                || a.is_link_local()
                || a.is_unspecified()
                || shared
                || x >= 224)
        }
        IpAddr::V6(a) => {
            let first = a.segments().first().copied().unwrap_or(0);
            !(a.is_loopback() || a.is_unspecified() || first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_at_parameters_leave_no_sign() {
        let endpoint = |guesses: usize, real: Option<&str>| {
            let mut e = Endpoint::default();
            let seen = |calls| QueryStat { calls, shapes: 0 };
            e.query.extend((0..guesses).map(|n| (format!("guess{n}").into(), seen(1))));
            e.query.extend(real.map(|name| (name.into(), seen(9))));
            e.signs.insert(Signs::CREDENTIAL_IN_URL.bits().next().unwrap() as u8, SignStat::default());
            e.has(Signs::CREDENTIAL_IN_URL)
        };
        assert!(!endpoint(12, Some("page")));
        assert!(endpoint(11, Some("page")), "too few to be guesses");
        assert!(endpoint(12, Some("password")), "one that is sent again and again is real");
    }
}
