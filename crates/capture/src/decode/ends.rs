//! The two addresses of a packet, as numbers where their family is known.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::segment::mix;

/// Sender and receiver of an IP packet. What is asked of them is the same whether their family is known beforehand or not.
pub(super) trait Ends: Copy {
    fn pair(self) -> (IpAddr, IpAddr);

    /// The sum of their words of four bytes in the machine's byte order; `None` where they are of two families.
    fn sum(self) -> Option<u64>;

    /// A hash of both for the knowledge of copies.
    fn print(self, seed: u64) -> u64;

    /// A number of the sender.
    fn sender(self) -> u64;
}

impl Ends for (Ipv4Addr, Ipv4Addr) {
    #[inline]
    fn pair(self) -> (IpAddr, IpAddr) {
        (IpAddr::V4(self.0), IpAddr::V4(self.1))
    }

    #[inline]
    fn sum(self) -> Option<u64> {
        Some(u64::from(u32::from_ne_bytes(self.0.octets())) + u64::from(u32::from_ne_bytes(self.1.octets())))
    }

    #[inline]
    fn print(self, _: u64) -> u64 {
        u64::from(u32::from(self.0)) << 32 | u64::from(u32::from(self.1))
    }

    #[inline]
    fn sender(self) -> u64 {
        u64::from(u32::from(self.0)) << 1
    }
}

impl Ends for (Ipv6Addr, Ipv6Addr) {
    #[inline]
    fn pair(self) -> (IpAddr, IpAddr) {
        (IpAddr::V6(self.0), IpAddr::V6(self.1))
    }

    #[inline]
    fn sum(self) -> Option<u64> {
        Some(words(self.0) + words(self.1))
    }

    #[inline]
    fn print(self, seed: u64) -> u64 {
        let (a, b) = (u128::from(self.0), u128::from(self.1));
        stir(a as u64 ^ seed, (a >> 64) as u64 ^ FIRST) ^ stir(b as u64 ^ SECOND, (b >> 64) as u64 ^ seed)
    }

    #[inline]
    fn sender(self) -> u64 {
        let bits = u128::from(self.0);
        mix(bits as u64 ^ (bits >> 64) as u64)
    }
}

impl Ends for (IpAddr, IpAddr) {
    #[inline]
    fn pair(self) -> (IpAddr, IpAddr) {
        self
    }

    #[inline]
    fn sum(self) -> Option<u64> {
        match self {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a, b).sum(),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a, b).sum(),
            _ => None,
        }
    }

    #[inline]
    fn print(self, seed: u64) -> u64 {
        match self {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a, b).print(seed),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a, b).print(seed),
            _ => 0,
        }
    }

    #[inline]
    fn sender(self) -> u64 {
        match self.0 {
            IpAddr::V4(a) => (a, a).sender(),
            IpAddr::V6(a) => (a, a).sender(),
        }
    }
}

#[inline]
fn words(ip: Ipv6Addr) -> u64 {
    let bits = u128::from_ne_bytes(ip.octets());
    let low = |bits: u128| u64::from(bits as u32);
    low(bits) + low(bits >> 32) + low(bits >> 64) + low(bits >> 96)
}

/// The two halves of a product, folded.
#[inline]
pub(super) const fn stir(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

pub(super) const FIRST: u64 = 0xa076_1d64_78bd_642f;
pub(super) const SECOND: u64 = 0xe703_7ed1_a0b4_28db;
