use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use sidetap_capture::Segment;
use sidetap_model::{Addr, FlowId, FlowKey, Ts, Zone};
use smallvec::SmallVec;

use super::{Convicted, Frame, Saved};

type Key = (u16, Addr, Addr);

/// The recent packets of one logical shard, and which of its flows are flagged.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    bytes: usize,
    cap: usize,
    recent: VecDeque<(Key, Saved)>,
    flows: HashMap<Key, Entry, foldhash::fast::RandomState>,
    addresses: HashMap<(String, IpAddr), Arc<str>, foldhash::fast::RandomState>,
    /// Flagged flows and followed addresses, those first that were so first.
    flagged: VecDeque<Key>,
    followed: VecDeque<(String, IpAddr)>,
    /// The latest packet, and when flows that are silent were last looked for.
    latest: Ts,
    swept: Ts,
    /// Bytes taken since the last epoch.
    taken: usize,
    saved: Vec<Saved>,
    /// Packets of flagged flows for which there was no room, and flows and addresses that are no longer followed for others' sake.
    pub(crate) missed: u64,
}

#[derive(Debug, Default)]
struct Entry {
    /// Packets in the ring.
    waiting: u32,
    /// Its last connections.
    ids: SmallVec<[FlowId; 2]>,
    why: Option<Arc<str>>,
    /// Its last packet.
    last: Ts,
}

impl Ring {
    /// Bytes of a shard's flagged packets in one epoch, and flows and addresses that it follows, at most.
    const EPOCH: usize = 1 << 20;
    const FOLLOWED: usize = 4_096;
    /// A flagged flow that is silent for so long is over: it is no longer followed. Looked for this often.
    const SILENT: i64 = 600_000_000_000;
    const SWEEP: i64 = 60_000_000_000;
    /// What a packet takes besides its bytes.
    const OVERHEAD: usize = 160;

    pub(crate) fn new(cap: usize) -> Self {
        Ring { cap, ..Ring::default() }
    }

    /// Takes a packet in: among those of its flow that are saved, or into the ring.
    pub(crate) fn push(&mut self, segment: &Segment<'_>, frame: &Frame<'_>, zones: &[Zone]) {
        let key = key(segment.zone, segment.src, segment.dst);
        let saved = Saved {
            number: frame.number,
            ts: frame.ts,
            link: frame.link,
            orig_len: frame.orig_len,
            data: frame.data.into(),
            comment: None,
        };
        self.latest = self.latest.max(saved.ts);
        let entry = self.flows.entry(key).or_default();
        entry.last = self.latest;
        if entry.why.is_some() {
            return self.take(saved);
        }
        if !self.addresses.is_empty() {
            let zone = zones.get(usize::from(key.0)).map_or("", |z| z.as_str());
            let of = |a: &Addr| self.addresses.get(&(zone.to_owned(), a.ip)).cloned();
            if let Some(why) = of(&segment.src).or_else(|| of(&segment.dst)) {
                self.bytes += saved.data.len() + Self::OVERHEAD;
                self.recent.push_back((key, saved));
                return self.flag(key, &why);
            }
        }
        entry.waiting += 1;
        self.bytes += saved.data.len() + Self::OVERHEAD;
        self.recent.push_back((key, saved));
        while self.bytes > self.cap {
            let Some((key, old)) = self.recent.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(old.data.len() + Self::OVERHEAD);
            self.leave(&key, 1);
        }
    }

    /// Notes which connection an exchange was on.
    pub(crate) fn note(&mut self, flow: &FlowKey, id: FlowId) {
        if let Some(entry) = self.flows.get_mut(&key(flow.zone, flow.client, flow.server))
            && !entry.ids.contains(&id)
        {
            if entry.ids.len() == 2 {
                entry.ids.remove(0);
            }
            entry.ids.push(id);
        }
    }

    /// Flags the flow of an exchange.
    pub(crate) fn flag_flow(&mut self, flow: &FlowKey, why: &str) {
        self.flag(key(flow.zone, flow.client, flow.server), &why.into());
    }

    /// Flags what verdicts convicted.
    pub(crate) fn convict(&mut self, convicted: &Convicted, zones: &[Zone]) {
        if convicted.flows.is_empty() && convicted.addresses.is_empty() {
            return;
        }
        for (zone, ip, why) in &convicted.addresses {
            let address = (zone.clone(), *ip);
            if self.addresses.insert(address.clone(), why.clone()).is_none() {
                self.followed.push_back(address);
            }
            if self.followed.len() > Self::FOLLOWED
                && let Some(first) = self.followed.pop_front()
            {
                self.addresses.remove(&first);
                self.missed += 1;
            }
        }
        // In the order of the ring: nothing here depends on the order of a table.
        let waiting: Vec<Key> = self.recent.iter().map(|(key, _)| *key).collect();
        for key in waiting {
            let Some(entry) = self.flows.get(&key).filter(|e| e.why.is_none()) else { continue };
            let named = |id: &FlowId| convicted.flows.binary_search_by_key(id, |(flow, _)| *flow).ok();
            let by_flow = entry.ids.iter().find_map(named).and_then(|at| convicted.flows.get(at));
            let zone = zones.get(usize::from(key.0)).map_or("", |z| z.as_str());
            let of = |a: Addr| self.addresses.get(&(zone.to_owned(), a.ip));
            let why = by_flow.map(|(_, why)| why).or_else(|| of(key.1)).or_else(|| of(key.2)).cloned();
            if let Some(why) = why {
                self.flag(key, &why);
            }
        }
    }

    /// What is to be written since the last call.
    pub(crate) fn drain(&mut self) -> Vec<Saved> {
        self.taken = 0;
        if self.latest.since(self.swept) >= Self::SWEEP {
            self.swept = self.latest;
            self.sweep();
        }
        std::mem::take(&mut self.saved)
    }

    /// Lets go of flagged flows that are over.
    fn sweep(&mut self) {
        let (flows, latest) = (&mut self.flows, self.latest);
        self.flagged.retain(|key| {
            let over = flows.get(key).is_none_or(|e| latest.since(e.last) > Self::SILENT);
            if over {
                flows.remove(key);
            }
            !over
        });
    }

    fn flag(&mut self, key: Key, why: &Arc<str>) {
        let Some(entry) = self.flows.get_mut(&key).filter(|e| e.why.is_none()) else { return };
        entry.why = Some(why.clone());
        entry.waiting = 0;
        let mut rest = VecDeque::with_capacity(self.recent.len());
        let mut comment = Some(format!("sidetap: {why}").into_boxed_str());
        for (of, mut saved) in std::mem::take(&mut self.recent) {
            if of != key {
                rest.push_back((of, saved));
                continue;
            }
            self.bytes = self.bytes.saturating_sub(saved.data.len() + Self::OVERHEAD);
            saved.comment = comment.take();
            self.take(saved);
        }
        self.recent = rest;
        self.flagged.push_back(key);
        if self.flagged.len() > Self::FOLLOWED
            && let Some(first) = self.flagged.pop_front()
        {
            self.flows.remove(&first);
            self.missed += 1;
        }
    }

    fn take(&mut self, saved: Saved) {
        if self.taken + saved.data.len() > Self::EPOCH {
            self.missed += 1;
            return;
        }
        self.taken += saved.data.len();
        self.saved.push(saved);
    }

    fn leave(&mut self, key: &Key, packets: u32) {
        if let Some(entry) = self.flows.get_mut(key) {
            entry.waiting = entry.waiting.saturating_sub(packets);
            if entry.waiting == 0 && entry.why.is_none() {
                self.flows.remove(key);
            }
        }
    }
}

fn key(zone: u16, a: Addr, b: Addr) -> Key {
    (zone, a.min(b), a.max(b))
}

#[cfg(test)]
mod tests {
    use sidetap_capture::TcpFlags;

    use super::*;

    fn addr(last: u8, port: u16) -> Addr {
        Addr { ip: [192, 0, 2, last].into(), port }
    }

    fn push(ring: &mut Ring, number: u64, from: u8, len: usize) {
        let (src, dst) = (addr(from, 1000), addr(200, 80));
        let segment = Segment {
            zone: 0,
            src,
            dst,
            ts: Ts(number as i64),
            seq: 0,
            ack: 0,
            flags: TcpFlags(16),
            window: 0,
            payload: &[],
            snapped: 0,
            urgent: 0,
            clocks: None,
            carried: Default::default(),
        };
        let data = vec![from; len];
        let frame = Frame { number, ts: segment.ts, link: 1, orig_len: len as u32, data: &data };
        ring.push(&segment, &frame, &[Zone::default()]);
    }

    fn numbers(ring: &mut Ring) -> Vec<u64> {
        ring.drain().iter().map(|s| s.number).collect()
    }

    #[test]
    fn a_flagged_flow_is_saved_backwards_and_onwards() {
        let mut ring = Ring::new(100_000);
        (0..6).for_each(|n| push(&mut ring, n, 1 + (n % 2) as u8, 60));
        assert!(ring.drain().is_empty());
        ring.flag_flow(&FlowKey { zone: 0, client: addr(1, 1000), server: addr(200, 80) }, "sqli");
        (6..9).for_each(|n| push(&mut ring, n, 1 + (n % 2) as u8, 60));
        assert_eq!(numbers(&mut ring), [0, 2, 4, 6, 8]);
    }

    #[test]
    fn the_ring_holds_its_bound_and_forgets_flows_without_packets() {
        let mut ring = Ring::new(10_000);
        (0..1000u64).for_each(|n| push(&mut ring, n, (n % 100) as u8, 500));
        assert!(ring.bytes <= ring.cap && ring.flows.len() <= ring.recent.len());
        let convicted = Convicted {
            flows: vec![],
            addresses: vec![("default".into(), [192, 0, 2, 99].into(), "x".into())],
        };
        ring.convict(&convicted, &[Zone::default()]);
        assert_eq!(numbers(&mut ring), [999], "what the ring had lost is lost");
        push(&mut ring, 1000, 99, 60);
        assert_eq!(numbers(&mut ring), [1000]);
    }

    #[test]
    fn an_epoch_takes_no_more_than_its_bound() {
        let mut ring = Ring::new(10_000);
        push(&mut ring, 0, 1, 60);
        ring.flag_flow(&FlowKey { zone: 0, client: addr(1, 1000), server: addr(200, 80) }, "sqli");
        (1..100).for_each(|n| push(&mut ring, n, 1, 60_000));
        assert!(ring.drain().iter().map(|s| s.data.len()).sum::<usize>() <= Ring::EPOCH);
        assert!(ring.missed > 0);
    }

    #[test]
    fn flagged_flows_make_room_for_others_when_they_are_over_or_too_many() {
        let flow = |n: usize| {
            let client = Addr { ip: [10, 0, (n >> 8) as u8, n as u8].into(), port: 1000 };
            FlowKey { zone: 0, client, server: addr(200, 80) }
        };
        let mut ring = Ring::new(100_000);
        let send = |ring: &mut Ring, n: usize, ts: i64| {
            let FlowKey { client, server, .. } = flow(n);
            let segment = Segment {
                zone: 0,
                src: client,
                dst: server,
                ts: Ts(ts),
                seq: 0,
                ack: 0,
                flags: TcpFlags(16),
                window: 0,
                payload: &[],
                snapped: 0,
                urgent: 0,
                clocks: None,
                carried: Default::default(),
            };
            let frame = Frame { number: n as u64, ts: Ts(ts), link: 1, orig_len: 60, data: &[0; 60] };
            ring.push(&segment, &frame, &[Zone::default()]);
        };
        for n in 0..Ring::FOLLOWED + 10 {
            send(&mut ring, n, 1);
            ring.flag_flow(&flow(n), "sqli");
        }
        assert_eq!((ring.flagged.len(), ring.flows.len(), ring.missed), (Ring::FOLLOWED, Ring::FOLLOWED, 10));
        ring.drain();
        // The last one goes on; the others are over.
        for seconds in [300, 600, 900] {
            send(&mut ring, Ring::FOLLOWED + 9, seconds * 1_000_000_000);
            assert_eq!(ring.drain().len(), 1);
        }
        assert_eq!((ring.flagged.len(), ring.flows.len()), (1, 1));
    }
}
