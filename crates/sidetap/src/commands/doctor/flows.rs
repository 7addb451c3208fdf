//! Flows as the doctor follows them: which ends, which directions, how much of what was sent is there.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use sidetap_capture::Segment;
use sidetap_model::Addr;

/// Flows that are followed at most; later ones are not counted.
const FLOWS: usize = 200_000;
/// Seconds that are told apart.
const SECONDS: usize = 4_096;
/// Bytes in a second that say something about loss in it.
const ENOUGH: u64 = 10_000;
/// Further ahead than this a segment belongs to another connection.
const REACH: i64 = 1 << 26;

/// Connections.
#[derive(Default)]
pub(super) struct Flows {
    flows: HashMap<(u16, Addr, Addr), Flow>,
    /// By second of packet time: bytes that came, and that were sent.
    seconds: BTreeMap<i64, (u64, u64)>,
}

#[derive(Default)]
struct Flow {
    /// Each end's: the lower address's first.
    ends: [End; 2],
    /// Which end opened it, where that was seen.
    opener: Option<usize>,
}

#[derive(Default)]
struct End {
    seen: bool,
    /// One past the furthest byte, as a sequence number.
    next: Option<u32>,
}

/// Where connections come from.
#[derive(Default)]
pub(super) struct Clients {
    /// The address of most, and its share.
    pub(super) most: Option<(IpAddr, f64)>,
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
        if s.flags.syn() {
            flow.opener = Some(if s.flags.ack() { side ^ 1 } else { side });
        }
        let Some(end) = flow.ends.get_mut(side) else { return };
        end.seen = true;
        let len = s.payload.len() as u32 + s.snapped + u32::from(s.flags.syn());
        let after = s.seq.wrapping_add(len);
        let new = end.next.map_or(i64::from(len), |next| i64::from(after.wrapping_sub(next).cast_signed()));
        if !(-REACH..=REACH).contains(&new) {
            end.next = Some(after);
            return;
        }
        if len > 0 && new > 0 {
            end.next = Some(after);
            let second = s.ts.secs();
            if self.seconds.len() < SECONDS || self.seconds.contains_key(&second) {
                let (came, sent) = self.seconds.entry(second).or_default();
                *came += u64::from(len).min(new as u64);
                *sent += new as u64;
            }
        }
    }

    /// Number of flows.
    pub(super) fn len(&self) -> u64 {
        self.flows.len() as u64
    }

    /// Share of what was sent that came, where it is about the same in nearly every second; else `None`.
    pub(super) fn even_share(&self) -> Option<f64> {
        let busy = || self.seconds.values().filter(|(_, sent)| *sent >= ENOUGH);
        let (came, sent) = busy().fold((0, 0), |(a, b), (came, sent)| (a + came, b + sent));
        let all = came as f64 / sent.max(1) as f64;
        let even =
            busy().filter(|(came, sent)| (*came as f64 / *sent as f64) < (all * 2.0).min(0.75)).count();
        (sent >= 20 * ENOUGH && even * 5 >= busy().count() * 4).then_some(all)
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
        let most = by_address.into_iter().max_by_key(|(ip, n)| (*n, *ip)).map(|(ip, n)| (ip, share(n)));
        Clients { most, only_requests: share(requests), only_responses: share(responses) }
    }
}
