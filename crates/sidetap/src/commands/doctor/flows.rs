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
/// Bytes, and openings, in a slot that say something about loss in it; and how many times that is to be told in all.
const BYTES: u64 = 4_000;
const OPENINGS: u64 = 4;
const IN_ALL: u64 = 20;
/// Further ahead than this a segment belongs to another connection.
const REACH: i64 = 1 << 26;

/// Addresses of clients that are named.
const MOST: usize = 8;

/// Connections.
#[derive(Default)]
pub(super) struct Flows {
    flows: HashMap<(u16, Addr, Addr), Flow>,
    /// By slot of packet time: bytes that came, and that were sent, of streams between what was seen first and last in a direction (the ends
    /// were seen for sure, and count for nothing).
    slots: BTreeMap<i64, (u64, u64)>,
}

#[derive(Default)]
struct Flow {
    /// Each end's: the lower address's first.
    ends: [End; 2],
    /// Which end opened it, where that was seen.
    opener: Option<usize>,
    /// Its SYN was seen.
    opened: bool,
    /// When its SYN-ACK was seen.
    answered: Option<i64>,
    /// Something else of who opened it was seen.
    spoke: bool,
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
        match (s.flags.syn(), s.flags.ack()) {
            (true, false) => {
                flow.opener = Some(side);
                flow.opened = true;
            }
            (true, true) => {
                flow.opener = Some(side ^ 1);
                flow.answered.get_or_insert(slot_of(s.ts));
            }
            (false, _) => flow.spoke |= flow.opener == Some(side),
        }
        let Some(end) = flow.ends.get_mut(side) else { return };
        end.seen = true;
        let len = s.payload.len() as u32 + s.snapped + u32::from(s.flags.syn());
        let after = s.seq.wrapping_add(len);
        // A connection that takes the ports of one before has numbers of its own.
        let Some(next) = end.next.filter(|_| !s.flags.syn()) else {
            (end.next, end.last) = (Some(after), 0);
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
            let slot = slot_of(s.ts);
            if self.slots.len() < SLOTS || self.slots.contains_key(&slot) {
                let (came, sent) = self.slots.entry(slot).or_default();
                (*came, *sent) = (*came + between, *sent + between + missing);
            }
        }
    }

    /// Number of flows.
    pub(super) fn len(&self) -> u64 {
        self.flows.len() as u64
    }

    /// Share of what was sent that came, where it is about the same nearly all the time; else `None`. Connections too short to tell by their
    /// bytes tell by their openings.
    pub(super) fn even_share(&self) -> Option<f64> {
        even(&self.slots, BYTES).or_else(|| even(&self.openings(), OPENINGS))
    }

    /// By slot: of connections whose answer to the opening was seen, and more of their client, those of which the opening was seen as well. Answers
    /// that nobody asked for, and clients who are not mirrored, say nothing.
    fn openings(&self) -> BTreeMap<i64, (u64, u64)> {
        let mut slots = BTreeMap::<i64, (u64, u64)>::new();
        let spoke = self.flows.values().filter(|f| f.spoke);
        for (slot, opened) in spoke.filter_map(|f| Some((f.answered?, f.opened))).take(FLOWS) {
            let (came, sent) = slots.entry(slot).or_default();
            (*came, *sent) = (*came + u64::from(opened), *sent + 1);
        }
        slots
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

fn slot_of(ts: Ts) -> i64 {
    ts.0.div_euclid(SLOT_NANOS)
}

/// What came of what was sent, where that is about the same in nearly every slot in which `enough` was sent.
fn even(slots: &BTreeMap<i64, (u64, u64)>, enough: u64) -> Option<f64> {
    let busy = || slots.values().filter(|(_, sent)| *sent >= enough);
    let (came, sent) = busy().fold((0, 0), |(a, b), (came, sent)| (a + came, b + sent));
    let all = came as f64 / sent.max(1) as f64;
    let even = busy().filter(|(came, sent)| (*came as f64 / *sent as f64) < (all * 2.0).min(0.75)).count();
    let slots = busy().count();
    // Of something there must be a part: a direction that is not mirrored at all has none.
    (came > 0 && slots >= 3 && sent >= IN_ALL * enough && even * 5 >= slots * 4).then_some(all)
}
