//! Flows as the doctor follows them: which ends, which directions, how much of what was sent is there.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use sidetap_capture::Segment;
use sidetap_model::{Addr, Ts};

/// Flows that are followed at most; later ones are not counted.
const FLOWS: usize = 200_000;
/// Quarters of a second that are told apart.
const SLOTS: usize = 16_384;
const SLOT_NANOS: i64 = 250_000_000;
/// Bytes, and openings answered, in a slot that say something about loss in it; and how many times that is to be told in all.
const ENOUGH: Came = Came { bytes: 4_000, openings: 4 };
const IN_ALL: u64 = 20;
/// Further ahead than this a segment belongs to another connection.
const REACH: i64 = 1 << 26;

/// Addresses of clients that are named.
const MOST: usize = 8;

/// Connections.
#[derive(Default)]
pub(super) struct Flows {
    flows: HashMap<(u16, Addr, Addr), Flow>,
    /// By slot of packet time: what came, and what was sent.
    slots: BTreeMap<i64, (Came, Came)>,
}

/// What says how much of the traffic is seen.
#[derive(Clone, Copy, Default)]
struct Came {
    /// Of streams, between what was seen first and last in a direction: so the ends, which were seen for sure, count for nothing.
    bytes: u64,
    /// Of connections of which the answer to the opening was seen, those of which the opening was seen as well.
    openings: u64,
}

#[derive(Default)]
struct Flow {
    /// Each end's: the lower address's first.
    ends: [End; 2],
    /// Which end opened it, where that was seen.
    opener: Option<usize>,
    /// Its SYN was seen.
    opened: bool,
    /// As was the SYN-ACK.
    answered: bool,
}

#[derive(Default)]
struct End {
    seen: bool,
    /// One past the furthest byte, as a sequence number.
    next: Option<u32>,
    /// Bytes of the last segment, which may yet lie between others.
    last: u32,
}

/// Where connections come from.
#[derive(Default)]
pub(super) struct Clients {
    /// The addresses of most, and their shares.
    pub(super) most: Vec<(IpAddr, f64)>,
    /// Connections of which only the client's side, and only the server's side, is seen; shares.
    pub(super) only_requests: f64,
    pub(super) only_responses: f64,
}

impl Flows {
    /// Follows a segment that is no copy.
    pub(super) fn segment(&mut self, s: &Segment<'_>) {
        let (key, side) = match s.src <= s.dst {
            true => ((s.zone, s.src, s.dst), 0),
            false => ((s.zone, s.dst, s.src), 1),
        };
        if self.flows.len() >= FLOWS && !self.flows.contains_key(&key) {
            return;
        }
        let flow = self.flows.entry(key).or_default();
        let mut opening = Came::default();
        if s.flags.syn() {
            flow.opener = Some(if s.flags.ack() { side ^ 1 } else { side });
            // A mirror may show the answer before the opening.
            let both = flow.opened && flow.answered;
            flow.opened |= !s.flags.ack();
            opening.openings = u64::from(s.flags.ack() && !flow.answered);
            flow.answered |= s.flags.ack();
            if !both && flow.opened && flow.answered {
                count(&mut self.slots, s.ts, Came { bytes: 0, openings: 1 }, Came::default());
            }
        }
        count(&mut self.slots, s.ts, Came::default(), opening);
        let Some(end) = flow.ends.get_mut(side) else { return };
        end.seen = true;
        let len = s.payload.len() as u32 + s.snapped + u32::from(s.flags.syn());
        let after = s.seq.wrapping_add(len);
        let Some(next) = end.next else {
            end.next = Some(after);
            return;
        };
        let new = i64::from(after.wrapping_sub(next).cast_signed());
        if !(-REACH..=REACH).contains(&new) {
            (end.next, end.last) = (Some(after), 0);
            return;
        }
        if len > 0 && new > 0 {
            let own = u64::from(len).min(new as u64);
            let (between, missing) = (u64::from(end.last), new as u64 - own);
            (end.next, end.last) = (Some(after), own as u32);
            let came = Came { bytes: between, openings: 0 };
            count(&mut self.slots, s.ts, came, Came { bytes: between + missing, openings: 0 });
        }
    }

    /// Number of flows.
    pub(super) fn len(&self) -> u64 {
        self.flows.len() as u64
    }

    /// Share of what was sent that came, where it is about the same nearly all the time; else `None`. Connections too short to tell by their
    /// bytes tell by their openings.
    pub(super) fn even_share(&self) -> Option<f64> {
        self.even(|c| c.bytes).or_else(|| self.even(|c| c.openings))
    }

    fn even(&self, of: impl Fn(Came) -> u64) -> Option<f64> {
        let enough = of(ENOUGH);
        let of = &of;
        let busy = || {
            let slots = self.slots.values().map(|(came, sent)| (of(*came), of(*sent)));
            slots.filter(|(_, sent)| *sent >= enough)
        };
        let (came, sent) = busy().fold((0, 0), |(a, b), (came, sent)| (a + came, b + sent));
        let all = came as f64 / sent.max(1) as f64;
        let even =
            busy().filter(|(came, sent)| (*came as f64 / *sent as f64) < (all * 2.0).min(0.75)).count();
        let slots = busy().count();
        // Of something there must be a part: a direction that is not mirrored at all has none.
        (came > 0 && slots >= 3 && sent >= IN_ALL * enough && even * 5 >= slots * 4).then_some(all)
    }

    /// Who opens connections.
    pub(super) fn clients(&self) -> Clients {
        let mut by_address = BTreeMap::<IpAddr, u64>::new();
        let (mut requests, mut responses) = (0u64, 0u64);
        for ((_, low, high), flow) in &self.flows {
            // Where nobody was seen to open it, the higher port is the client's.
            let client = flow.opener.unwrap_or(usize::from(high.port > low.port));
            let address = if client == 0 { low.ip } else { high.ip };
            *by_address.entry(address).or_default() += 1;
            let seen = |side: usize| flow.ends.get(side).is_some_and(|e| e.seen);
            requests += u64::from(seen(client) && !seen(client ^ 1));
            responses += u64::from(!seen(client) && seen(client ^ 1));
        }
        let share = |n: u64| n as f64 / self.flows.len().max(1) as f64;
        let mut most: Vec<_> = by_address.into_iter().map(|(ip, n)| (ip, share(n))).collect();
        most.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        most.truncate(MOST);
        Clients { most, only_requests: share(requests), only_responses: share(responses) }
    }
}

fn count(slots: &mut BTreeMap<i64, (Came, Came)>, ts: Ts, came: Came, sent: Came) {
    let slot = ts.0.div_euclid(SLOT_NANOS);
    if came.bytes + came.openings + sent.bytes + sent.openings == 0
        || slots.len() >= SLOTS && !slots.contains_key(&slot)
    {
        return;
    }
    let (c, s) = slots.entry(slot).or_default();
    (c.bytes, c.openings) = (c.bytes + came.bytes, c.openings + came.openings);
    (s.bytes, s.openings) = (s.bytes + sent.bytes, s.openings + sent.openings);
}
