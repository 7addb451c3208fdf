//! TCP checksums: which senders never fill them in, and what is damaged.

use std::collections::HashMap;
use std::net::IpAddr;

use sidetap_capture::{LinkType, Packet};

/// Senders that are followed.
const SENDERS: usize = 10_000;
/// Fewer packets of a sender say nothing about its card.
const ENOUGH: u64 = 8;

/// Right and wrong checksums by sender.
#[derive(Default)]
pub(super) struct Sums {
    senders: HashMap<IpAddr, (u64, u64)>,
}

impl Sums {
    /// Looks at a packet whose outermost IP header begins at `ip`; those that are cut, in fragments or in tunnels are passed over.
    pub(super) fn packet(&mut self, packet: &Packet<'_>, ip: usize) {
        if packet.link != LinkType::ETHERNET || packet.orig_len as usize > packet.data.len() {
            return;
        }
        let Some((sender, right)) = packet.data.get(ip..).and_then(check) else { return };
        if self.senders.len() < SENDERS || self.senders.contains_key(&sender) {
            let (good, bad) = self.senders.entry(sender).or_default();
            *if right { good } else { bad } += 1;
        }
    }

    /// Shares of all packets: from senders that fill in nearly none of theirs, and wrong ones of others.
    pub(super) fn shares(&self) -> (f64, f64) {
        let (mut offloaded, mut damaged, mut all) = (0, 0, 0);
        for (good, bad) in self.senders.values() {
            all += good + bad;
            // A card with off-load gets hardly any right by chance; retransmissions may.
            match bad + good >= ENOUGH && *bad > *good * 4 {
                true => offloaded += bad,
                false => damaged += bad,
            }
        }
        let share = |n: u64| if all == 0 { 0.0 } else { n as f64 / all as f64 };
        (share(offloaded), share(damaged))
    }
}

/// The sender of an IP packet with a whole TCP segment, and whether its checksum is right (RFC 9293 §3.1).
fn check(ip: &[u8]) -> Option<(IpAddr, bool)> {
    let word = |at: usize| ip.get(at..at + 2).and_then(|b| b.try_into().ok()).map(u16::from_be_bytes);
    let (sender, addresses, start, end) = match ip.first()? >> 4 {
        4 if word(6)? & 0x3fff == 0 && *ip.get(9)? == 6 => {
            let sender = IpAddr::from(<[u8; 4]>::try_from(ip.get(12..16)?).ok()?);
            (sender, ip.get(12..20)?, usize::from(ip.first()? & 15) * 4, usize::from(word(2)?))
        }
        6 if *ip.get(6)? == 6 => {
            let sender = IpAddr::from(<[u8; 16]>::try_from(ip.get(8..24)?).ok()?);
            (sender, ip.get(8..40)?, 40, 40 + usize::from(word(4)?))
        }
        _ => return None,
    };
    let tcp = ip.get(start..end)?;
    let pseudo = sum(addresses) + 6 + tcp.len() as u64;
    (tcp.len() >= 20).then(|| (sender, fold(pseudo + sum(tcp)) == 0xffff))
}

/// The one's complement sum of 16-bit words (RFC 1071), not yet folded.
fn sum(data: &[u8]) -> u64 {
    let (words, rest) = data.as_chunks::<2>();
    let last = rest.first().map_or(0, |b| u64::from(*b) << 8);
    words.iter().map(|w| u64::from(u16::from_be_bytes(*w))).sum::<u64>() + last
}

fn fold(mut sum: u64) -> u64 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum
}
