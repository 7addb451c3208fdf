//! What clients and sessions hold of memory, and how much of it there is for them.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use smallvec::SmallVec;

/// Bytes for each client that is kept, with its sessions and all that either holds: so many fit into the memory that there is.
pub(crate) const OF_CLIENT: usize = 1536;

/// Bytes that an entry of a table of boxes takes beside the box: tables are half empty at times.
pub(crate) const ENTRY: usize = 40;

/// Bytes that something holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// All of them.
    pub(crate) bytes: usize,
    /// Those among them that lists of different values take.
    pub(crate) lists: usize,
}

impl Held {
    /// Bytes that are no list's.
    pub(crate) const fn of(bytes: usize) -> Self {
        Held { bytes, lists: 0 }
    }

    /// Bytes of lists.
    pub(crate) const fn of_lists(bytes: usize) -> Self {
        Held { bytes, lists: bytes }
    }

    /// `before` became `after`.
    pub(crate) const fn change(&mut self, before: Held, after: Held) {
        self.bytes = (self.bytes + after.bytes).saturating_sub(before.bytes);
        self.lists = (self.lists + after.lists).saturating_sub(before.lists);
    }
}

impl Add for Held {
    type Output = Held;
    fn add(self, other: Held) -> Held {
        Held { bytes: self.bytes + other.bytes, lists: self.lists + other.lists }
    }
}

impl AddAssign for Held {
    fn add_assign(&mut self, other: Held) {
        *self = *self + other;
    }
}

impl Sum for Held {
    fn sum<I: Iterator<Item = Held>>(all: I) -> Held {
        all.fold(Held::default(), Add::add)
    }
}

/// Whether lists may grow now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leave {
    lists: bool,
    /// Lists that did not.
    pub(crate) refused: u64,
}

impl Leave {
    /// They may.
    pub(crate) const ANY: Leave = Leave { lists: true, refused: 0 };
    /// They may not.
    #[cfg(test)]
    pub(crate) const NONE: Leave = Leave { lists: false, refused: 0 };

    /// True where one more list may grow; counts those that may not.
    pub(crate) const fn grow(&mut self) -> bool {
        self.refused += !self.lists as u64;
        self.lists
    }
}

/// The room of all clients and sessions, in bytes that the allocator holds for them.
///
/// Sessions take a quarter of it at most, and leave the rest to clients. Lists of different values take a quarter, those of sessions half
/// of that: they are long where somebody tries much, and nobody's record is given up for them. What is tried where there is no room for
/// another one is counted about.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) clients: Held,
    pub(crate) sessions: Held,
    most: usize,
    /// Lists that became estimates for want of room.
    pub(crate) refused: u64,
}

impl Pool {
    /// Room for so many clients.
    pub(crate) const fn new(clients: usize) -> Self {
        Pool {
            clients: Held::of(0),
            sessions: Held::of(0),
            most: clients.saturating_mul(OF_CLIENT),
            refused: 0,
        }
    }

    /// What a client's lists may do now.
    pub(crate) const fn leave(&self) -> Leave {
        Leave { lists: self.clients.lists + self.sessions.lists < self.most / 4, refused: 0 }
    }

    /// What a session's lists may do now.
    pub(crate) const fn leave_of_session(&self) -> Leave {
        let own = self.sessions.lists < self.most / 8;
        Leave { lists: own && self.leave().lists, refused: 0 }
    }

    /// True where clients hold more than there is room for.
    pub(crate) const fn is_over(&self) -> bool {
        self.clients.bytes + self.sessions.bytes > self.most
    }

    /// True where less than a quarter of the room is free again.
    pub(crate) const fn is_tight(&self) -> bool {
        self.clients.bytes + self.sessions.bytes > self.most / 4 * 3
    }

    /// The same of sessions, in their quarter.
    pub(crate) const fn sessions_are_over(&self) -> bool {
        self.sessions.bytes > self.most / 4
    }

    /// See [`Pool::is_tight`].
    pub(crate) const fn sessions_are_tight(&self) -> bool {
        self.sessions.bytes > self.most / 16 * 3
    }
}

/// Bytes that an allocation of so many takes: allocators have classes of sizes, an eighth apart.
pub(crate) const fn allocated(bytes: usize) -> usize {
    (bytes + bytes / 8).next_multiple_of(16)
}

/// Bytes that a list holds: those that it has room for.
pub(crate) const fn of_list<T>(list: &Vec<T>) -> usize {
    allocated(list.capacity() * size_of::<T>())
}

/// The same of one that holds few in itself.
pub(crate) fn of_small<A: smallvec::Array>(list: &SmallVec<A>) -> usize {
    if list.spilled() { allocated(list.capacity() * size_of::<A::Item>()) } else { 0 }
}

/// Bytes of what comes in a box where it comes at all.
pub(crate) fn of_box<T>(of: Option<&T>) -> usize {
    of.map_or(0, |_| allocated(size_of::<T>()))
}
