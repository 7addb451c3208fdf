use sidetap_model::Ts;

use super::ends::{Ends, FIRST, SECOND, stir};
use super::ip::Fragment;
use super::segment::mix;
use super::tcp::Head;
use super::walk::IpFacts;

/// Packets that are remembered. A later one takes the place of one that shares its slot: copies come soon or not at all.
const PACKETS: usize = 1 << 13;
/// Nanoseconds of a unit of time, as a power of two: 65 µs.
const UNIT: u32 = 16;

#[derive(Clone, Copy, Default)]
struct Seen {
    print: u64,
    time: u32,
    ttl: u8,
    mac: u16,
}

/// What makes a packet the same as another: everything but what mirrors, switches and routers change, under a key.
#[derive(Clone, Copy)]
pub(super) struct Print {
    hash: u64,
    ttl: u8,
    mac: u16,
}

/// The packets of the last moments, to know a second sight of one.
///
/// A copy has the ends, the TCP header with its checksum and options in it, the length, the last bytes and the IP identification of the
/// original, and came within the window. It may have another VLAN, other link-layer addresses and another time to live; but
/// another time to live with the same link-layer sender is no copy: a router that takes one off names itself as the sender, an attacker who sends
/// decoys that die on the way does not. A retransmission has another identification, or (IPv6) another timestamp and so another checksum, or is late.
pub(super) struct Recent {
    seen: Vec<Seen>,
    window: u32,
}

impl Recent {
    /// Remembers for `window` nanoseconds; 0 remembers nothing.
    pub(super) fn new(window: i64) -> Self {
        let window = u32::try_from(window >> UNIT).unwrap_or(if window < 0 { 0 } else { i32::MAX as u32 });
        Recent { seen: vec![Seen::default(); if window == 0 { 0 } else { PACKETS }], window }
    }

    #[inline]
    pub(super) fn is_off(&self) -> bool {
        self.window == 0
    }

    /// True where this is a second sight of a packet that was kept.
    #[inline]
    pub(super) fn is_copy(&self, print: &Print, ts: Ts) -> bool {
        let Some(seen) = self.seen.get(slot(print)) else { return false };
        let apart = (ts.0 >> UNIT) as u32;
        let apart = apart.wrapping_sub(seen.time).cast_signed().unsigned_abs();
        seen.print == print.hash && apart <= self.window && (seen.ttl == print.ttl || seen.mac != print.mac)
    }

    /// Remembers a packet.
    #[inline]
    pub(super) fn keep(&mut self, print: &Print, ts: Ts) {
        if let Some(seen) = self.seen.get_mut(slot(print)) {
            *seen = Seen { print: print.hash, time: (ts.0 >> UNIT) as u32, ttl: print.ttl, mac: print.mac };
        }
    }
}

const fn slot(print: &Print) -> usize {
    (print.hash >> 40) as usize % PACKETS
}

impl Print {
    #[inline]
    pub(super) fn of_segment<E: Ends>(
        head: &Head<'_, E>,
        mac: u64,
        ip: &IpFacts,
        zone: u16,
        seed: u64,
    ) -> Self {
        let fixed = head.fixed();
        let (words, _) = fixed.as_chunks::<8>();
        let [first, second] = match words {
            [a, b] => [u64::from_ne_bytes(*a), u64::from_ne_bytes(*b)],
            _ => [0, 0],
        };
        let rest = u32::from_ne_bytes([fixed[16], fixed[17], fixed[18], fixed[19]]);
        let shape = head.walk.data.len() as u64 ^ u64::from(ip.id) << 16 ^ u64::from(zone) << 48;
        let mut hash = stir(first ^ seed, second ^ FIRST);
        hash = stir(hash ^ u64::from(rest), head.ends.print(seed) ^ SECOND);
        hash = stir(hash ^ shape, last(head.walk.data) ^ seed);
        Print::new(hash, mac, ip)
    }

    #[inline]
    pub(super) fn of_fragment(f: &Fragment<'_>, mac: u64, ip: &IpFacts, zone: u16, seed: u64) -> Self {
        let place = u64::from(f.id) << 32 | u64::from(f.offset) << 1 | u64::from(f.more);
        let shape = f.data.len() as u64 ^ u64::from(f.protocol) << 32 ^ u64::from(zone) << 48;
        let hash = stir(place ^ seed, f.ends.print(seed) ^ FIRST) ^ shape;
        Print::new(mix(hash ^ mix(last(f.data))), mac, ip)
    }

    #[inline]
    const fn new(hash: u64, mac: u64, ip: &IpFacts) -> Self {
        Print { hash: hash | 1, ttl: ip.ttl, mac: (mac ^ mac >> 16 ^ mac >> 32) as u16 }
    }
}

#[inline]
fn last(data: &[u8]) -> u64 {
    data.last_chunk::<8>().copied().map_or(0, u64::from_ne_bytes)
}
