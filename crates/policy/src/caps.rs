//! How much may change at once, and how much of the good traffic may be hit.

use serde::Serialize;
use sidetap_model::rows::Subject;

use crate::net::subject_net;
use crate::traffic::Traffic;

/// Limits of what is sent to one device. They hold whatever a policy says, and are passed only by force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Caps {
    /// Entries that are added within a minute at most.
    pub adds_per_minute: u32,
    /// By how much a list of more than a hundred entries may grow in one push: millionths of what it holds.
    pub growth_ppm: u32,
    /// Of the recent good requests, how many in a million one entry may hit.
    pub good_share_ppm: u32,
    /// The same for all entries together.
    pub good_share_total_ppm: u32,
    /// IPv4 addresses that all entries together may cover.
    pub addresses: u64,
}

impl Default for Caps {
    fn default() -> Self {
        Caps {
            adds_per_minute: 10_000,
            growth_ppm: 5_000_000,
            good_share_ppm: 200,
            good_share_total_ppm: 1_000,
            addresses: 1 << 20,
        }
    }
}

/// A list smaller than this may grow as it likes.
const SMALL: usize = 100;

/// A change that is about to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// Own entries that the device holds now.
    pub held: usize,
    /// Entries that were added within the last minute.
    pub added_lately: usize,
    /// Whom the new entries name.
    pub adds: &'a [Subject],
    /// Whom all entries name that the device holds afterwards.
    pub all: &'a [Subject],
}

/// Why a change is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "cap")]
pub enum CapHit {
    /// Too many within a minute: so many more may go now.
    Adds {
        /// Entries to add.
        adds: usize,
        /// Entries that may be added now.
        room: usize,
    },
    /// The list would grow too fast.
    Growth {
        /// Entries before.
        held: usize,
        /// Entries after.
        after: usize,
    },
    /// Together they cover too many addresses.
    Addresses {
        /// IPv4 addresses.
        covered: u64,
        /// The cap.
        most: u64,
    },
    /// Together they would hit too much of the good traffic.
    GoodTraffic {
        /// Good requests hit.
        hit: u64,
        /// Of so many.
        of: u64,
    },
}

impl std::fmt::Display for CapHit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CapHit::Adds { adds, room } => {
                write!(f, "{adds} entries to add, and max_adds_per_minute leaves room for {room}")
            }
            CapHit::Growth { held, after } => {
                write!(f, "the list would grow from {held} to {after} entries, more than max_growth")
            }
            CapHit::Addresses { covered, most } => {
                write!(f, "the entries cover {covered} IPv4 addresses, more than max_addresses = {most}")
            }
            CapHit::GoodTraffic { hit, of } => {
                let share = 100.0 * *hit as f64 / (*of).max(1) as f64;
                write!(
                    f,
                    "{hit} of {of} recent good requests would be hit ({share:.2} %), more than max_good_share_total"
                )
            }
        }
    }
}

impl Caps {
    /// What is tighter of both.
    #[must_use]
    pub fn tighter(self, other: Caps) -> Caps {
        Caps {
            adds_per_minute: self.adds_per_minute.min(other.adds_per_minute),
            growth_ppm: self.growth_ppm.min(other.growth_ppm),
            good_share_ppm: self.good_share_ppm.min(other.good_share_ppm),
            good_share_total_ppm: self.good_share_total_ppm.min(other.good_share_total_ppm),
            addresses: self.addresses.min(other.addresses),
        }
    }

    /// Why a change may not be sent as it is. Without stored traffic good requests are not counted.
    pub fn check(&self, change: &Change<'_>, traffic: Option<&Traffic>) -> Result<(), CapHit> {
        let room = self.room(change.added_lately);
        if change.adds.len() > room {
            return Err(CapHit::Adds { adds: change.adds.len(), room });
        }
        let after = change.held + change.adds.len();
        let most =
            change.held as u64 + (change.held as u64).saturating_mul(u64::from(self.growth_ppm)) / 1_000_000;
        if change.held > SMALL && after as u64 > most {
            return Err(CapHit::Growth { held: change.held, after });
        }
        let covered =
            change.all.iter().filter_map(subject_net).map(|n| size(&n)).fold(0, u64::saturating_add);
        if covered > self.addresses {
            return Err(CapHit::Addresses { covered, most: self.addresses });
        }
        let Some(traffic) = traffic.filter(|t| t.good() > 0) else { return Ok(()) };
        let hit = traffic.good_hit_by(change.all);
        let of = traffic.good();
        if hit.saturating_mul(1_000_000) > of.saturating_mul(u64::from(self.good_share_total_ppm)) {
            return Err(CapHit::GoodTraffic { hit, of });
        }
        Ok(())
    }

    /// How many entries may be added now, after so many within the last minute.
    pub fn room(&self, added_lately: usize) -> usize {
        (self.adds_per_minute as usize).saturating_sub(added_lately)
    }
}

/// Addresses of a network, IPv6 ones by networks of 64 bits.
fn size(net: &ipnet::IpNet) -> u64 {
    let bits = match net {
        ipnet::IpNet::V4(n) => 32 - n.prefix_len(),
        ipnet::IpNet::V6(n) => 64_u8.saturating_sub(n.prefix_len()),
    };
    1_u64.checked_shl(u32::from(bits)).unwrap_or(u64::MAX)
}

/// A share written in per cent, in millionths.
pub(crate) fn percent(text: &str) -> Option<u32> {
    let value: f64 = text.trim().strip_suffix('%')?.trim().parse().ok()?;
    let ppm = value * 10_000.0;
    (ppm.is_finite() && (0.0..=1e9).contains(&ppm)).then_some(ppm.round() as u32)
}
