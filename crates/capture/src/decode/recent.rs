use sidetap_model::Ts;

use super::ends::{Ends, FIRST, SECOND, stir};
use super::ip::Fragment;
use super::segment::mix;
use super::tcp::Head;
use super::walk::IpFacts;

/// Packets that are remembered. A later one takes the place of one that shares its slot: copies come soon or not at all.
const PACKETS: usize = 1 << 13;
/// Packets that are read whole for their prints at the beginning, and after a copy.
const CAREFUL: [u32; 2] = [1 << 13, 1 << 16];
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
/// A copy is the original, byte by byte from the TCP header on, has its ends and IP identification, and came within the window. Where no mirror
/// shows copies nobody need read all bytes for that: prints are then made of the header with its checksum, the length and the last
/// bytes, and who has the print of another is no copy yet, but the reason to read the next packets whole. Its bytes go to the flow, which
/// compares them. It may have another VLAN, other link-layer addresses and another time to live; but
/// another time to live with the same link-layer sender is no copy: a router that takes one off names itself as the sender, an attacker who sends
/// decoys that die on the way does not. A retransmission has another identification, or (IPv6) another timestamp and so another checksum, or is late.
pub(super) struct Recent {
    seen: Vec<Seen>,
    window: u32,
    /// Packets that are still to be read whole.
    careful: u32,
}

impl Recent {
    /// Remembers for `window` nanoseconds; 0 remembers nothing.
    pub(super) fn new(window: i64) -> Self {
        let window = u32::try_from(window >> UNIT).unwrap_or(if window < 0 { 0 } else { i32::MAX as u32 });
        let seen = vec![Seen::default(); if window == 0 { 0 } else { PACKETS }];
        Recent { seen, window, careful: CAREFUL[0] }
    }

    #[inline]
    pub(super) fn is_off(&self) -> bool {
        self.window == 0
    }

    /// Whether the next print is to be made of all bytes.
    #[inline]
    pub(super) const fn reads_all(&self) -> bool {
        self.careful > 0
    }

    /// True where this is a second sight of a packet that was kept.
    #[inline]
    pub(super) fn is_copy(&mut self, print: &Print, ts: Ts) -> bool {
        let whole = self.reads_all();
        self.careful = self.careful.saturating_sub(1);
        let Some(seen) = self.seen.get(slot(print)) else { return false };
        let apart = (ts.0 >> UNIT) as u32;
        let apart = apart.wrapping_sub(seen.time).cast_signed().unsigned_abs();
        let same = seen.print == print.hash
            && apart <= self.window
            && (seen.ttl == print.ttl || seen.mac != print.mac);
        if same {
            self.careful = CAREFUL[1];
        }
        same && whole
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
        whole: bool,
    ) -> Self {
        let fixed = head.fixed();
        let (words, _) = fixed.as_chunks::<8>();
        let [first, second] = match words {
            [a, b] => [u64::from_ne_bytes(*a), u64::from_ne_bytes(*b)],
            _ => [0, 0],
        };
        let rest = u32::from_ne_bytes([fixed[16], fixed[17], fixed[18], fixed[19]]);
        let shape = head.walk.data.len() as u64 ^ u64::from(ip.id) << 16 ^ u64::from(zone) << 48;
        let shape = shape ^ u64::from(ip.foreign).rotate_right(20);
        let mut hash = stir(first ^ seed, second ^ FIRST);
        hash = stir(hash ^ u64::from(rest), head.ends.print(seed) ^ SECOND);
        let data = head.walk.data;
        hash = stir(hash ^ shape, if whole { all(data, seed) } else { last(data) } ^ seed);
        Print::new(hash, mac, ip)
    }

    #[inline]
    pub(super) fn of_fragment(
        f: &Fragment<'_>,
        mac: u64,
        ip: &IpFacts,
        zone: u16,
        seed: u64,
        whole: bool,
    ) -> Self {
        let place = u64::from(f.id) << 32 | u64::from(f.offset) << 1 | u64::from(f.more);
        let shape = f.data.len() as u64 ^ u64::from(f.protocol) << 32 ^ u64::from(zone) << 48;
        let shape = shape ^ u64::from(ip.foreign).rotate_right(20);
        let hash = stir(place ^ seed, f.ends.print(seed) ^ FIRST) ^ shape;
        let data = if whole { all(f.data, seed) } else { last(f.data) };
        Print::new(mix(hash ^ mix(data)), mac, ip)
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

/// A hash of all bytes under a key.
#[inline(never)]
fn all(data: &[u8], seed: u64) -> u64 {
    let keys = [mix(seed ^ FIRST), mix(seed ^ SECOND)];
    let mut sums = keys;
    let mut add = |block: &[u8; 32]| {
        if let [w, x, y, z] = *block.as_chunks::<8>().0 {
            sums[0] = stir(u64::from_ne_bytes(w) ^ keys[0], u64::from_ne_bytes(x) ^ sums[0]);
            sums[1] = stir(u64::from_ne_bytes(y) ^ keys[1], u64::from_ne_bytes(z) ^ sums[1]);
        }
    };
    let (blocks, rest) = data.as_chunks::<32>();
    blocks.iter().for_each(&mut add);
    let mut tail = [0; 32];
    tail.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    add(&tail);
    mix(sums[0] ^ sums[1].rotate_left(32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_part_of_what_is_hashed() {
        let data: Vec<u8> = (0..100).collect();
        for len in [0, 1, 31, 32, 33, 64, 100] {
            let one = all(&data[..len], 7);
            assert_ne!(one, all(&data[..len], 8));
            for at in 0..len {
                let mut other = data[..len].to_vec();
                other[at] ^= 1;
                assert_ne!(one, all(&other, 7), "{at} of {len}");
            }
        }
    }

    #[test]
    fn without_copies_packets_are_not_read_whole_until_one_may_be_a_copy() {
        let print = |n: u64| Print { hash: mix(n) | 1, ttl: 64, mac: 0 };
        let mut recent = Recent::new(100_000_000);
        for n in 0..u64::from(CAREFUL[0]) {
            assert!(recent.reads_all() && !recent.is_copy(&print(n), Ts(0)));
            recent.keep(&print(n), Ts(0));
        }
        assert!(!recent.reads_all());
        let again = print(u64::from(CAREFUL[0]) - 1);
        assert!(!recent.is_copy(&again, Ts(0)), "its other bytes may differ");
        assert!(recent.reads_all() && recent.is_copy(&again, Ts(0)));
    }
}
