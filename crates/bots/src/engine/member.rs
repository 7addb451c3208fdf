//! Clients in the parts of endpoints' traffic, and the room that they share.

use sidetap_model::Ts;

use super::unit::ExchangeId;

/// Clients kept in one part.
pub(super) const MEMBERS: usize = 65_536;
/// So many of every part, however many there are in all.
const MEMBERS_OF_ANY: usize = 1024;

/// A client in a part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) unit: u64,
    pub(crate) n: u32,
    pub(crate) ok: u32,
    pub(crate) fails: u32,
    pub(crate) first: Ts,
    pub(crate) last: Ts,
    /// Milliseconds from the client's first request to its first here.
    pub(crate) delay_ms: u32,
    pub(crate) evidence: ExchangeId,
}

impl Member {
    /// Milliseconds from one call to the next, on average.
    pub(crate) fn pace_ms(&self) -> i64 {
        self.last.since(self.first) / 1_000_000 / i64::from(self.n.saturating_sub(1).max(1))
    }

    pub(super) const fn is_quick(&self) -> bool {
        self.delay_ms <= 60_000 && self.n > 0
    }
}

/// Room for the members of all parts.
#[derive(Debug)]
pub(crate) struct Room {
    /// Members of all parts.
    pub(crate) members: usize,
    /// Objects of all endpoints whose openers are followed.
    pub(crate) objects: usize,
    most: usize,
    /// Members that were not taken.
    pub(crate) refused: u64,
}

impl Room {
    pub(crate) const fn new(most: usize) -> Self {
        Room { members: 0, objects: 0, most, refused: 0 }
    }

    /// Members that a part may have now.
    pub(super) const fn of_part(&self) -> usize {
        if self.members < self.most { MEMBERS } else { MEMBERS_OF_ANY }
    }

    /// True where one more object may be followed.
    pub(super) const fn has_objects(&self) -> bool {
        self.objects < self.most / 8
    }

    /// They should be counted anew: parts that were given up took theirs with them.
    pub(crate) const fn is_tight(&self) -> bool {
        self.members >= self.most / 8 * 7
    }
}
