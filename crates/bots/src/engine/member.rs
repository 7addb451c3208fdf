//! Clients in the parts of endpoints' traffic, and the room that they share.

use sidetap_model::Ts;

use super::endpoint::Slot;
use super::sketch::Set;
use super::unit::ExchangeId;

/// Clients kept in one part.
pub(super) const MEMBERS: usize = 65_536;
/// So many of every part, however many there are in all.
const MEMBERS_OF_ANY: usize = 1024;
/// Values kept in one set of a part's, so many of any, and how many there is room for where there is for a member.
const VALUES: usize = 4096;
const VALUES_OF_ANY: usize = 64;
const VALUES_EACH: usize = 4;

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
    /// Values in the sets of all parts.
    pub(crate) values: usize,
    most: usize,
    /// Members that were not taken.
    pub(crate) refused: u64,
    /// Values that were not kept for want of room.
    pub(crate) values_refused: u64,
}

impl Room {
    pub(crate) const fn new(most: usize) -> Self {
        Room { members: 0, objects: 0, values: 0, most, refused: 0, values_refused: 0 }
    }

    /// Members that a part may have now.
    pub(super) const fn of_part(&self) -> usize {
        if self.members < self.most { MEMBERS } else { MEMBERS_OF_ANY }
    }

    /// True where one more object may be followed.
    pub(super) const fn has_objects(&self) -> bool {
        self.objects < self.most / 8
    }

    /// Takes one more member of something beside a part: false where there is no room.
    pub(super) const fn take(&mut self) -> bool {
        let room = self.members < self.most;
        self.members += room as usize;
        self.refused += !room as u64;
        room
    }

    /// Keeps a value that a part saw, as far as there is room: true where it is new.
    pub(super) fn keep(&mut self, set: &mut Set<u64>, value: Option<u64>) -> bool {
        let Some(value) = value else { return false };
        let room = self.values < self.most * VALUES_EACH;
        if set.len() >= if room { VALUES } else { VALUES_OF_ANY } {
            self.values_refused += u64::from(!room && !set.contains(&value));
            return false;
        }
        let new = set.insert(value);
        self.values += usize::from(new);
        new
    }

    /// They should be counted anew: parts that were given up took theirs with them.
    pub(crate) const fn is_tight(&self) -> bool {
        self.members >= self.most / 8 * 7 || self.values >= self.most * VALUES_EACH / 8 * 7
    }

    /// Counts what `slots` have anew, where it is tight.
    pub(crate) fn count(&mut self, slots: &[Slot]) {
        if self.is_tight() {
            self.members = slots.iter().map(Slot::members).sum();
            self.objects = slots.iter().map(Slot::objects).sum();
            self.values = slots.iter().map(Slot::values).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_while_there_is_room_and_some_of_any_part_then() {
        let mut room = Room::new(100);
        let (mut first, mut second) = (Set::default(), Set::default());
        let kept = (0..1000).filter(|n| room.keep(&mut first, Some(*n))).count();
        assert_eq!((kept, room.values, room.values_refused), (400, 400, 600));
        assert!(!room.keep(&mut first, Some(7)) && !room.keep(&mut first, None));
        assert_eq!(room.values_refused, 600, "what is known needs no room");
        let kept = (0..100).filter(|n| room.keep(&mut second, Some(*n))).count();
        assert_eq!((kept, room.values_refused), (VALUES_OF_ANY, 636));
        assert!(room.is_tight());
        room.count(&[]);
        assert_eq!((room.values, room.is_tight()), (0, false));
        assert!((0..100).all(|_| room.take()) && !room.take());
        assert_eq!((room.members, room.refused), (100, 1));
    }
}
