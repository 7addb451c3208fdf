//! Whose the objects of an endpoint are: of private ones each is opened by one client, of a catalogue's by many.

use std::collections::BTreeSet;

use super::sketch::Map;
use crate::observation::{Observation, Outcome, Part, Traits};

/// Objects of one endpoint that are followed; those that come later are not.
const OBJECTS: usize = 512;

/// Objects of one session that are followed.
const OF_ONE: usize = 64;

/// Whose the objects are that somebody opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Contrast {
    /// Other sessions whose objects are known.
    pub(super) known: usize,
    /// Those that opened one of the same objects.
    pub(super) others: usize,
    /// Those whose objects' numbers lie between the ones that were opened.
    pub(super) amid: usize,
    /// Its objects that are followed, and those of them that anybody may open: three sessions did, or somebody without one.
    pub(super) opened: usize,
    pub(super) common: usize,
}

impl Contrast {
    /// True where a quarter of what was opened is open to anybody.
    pub(super) const fn is_common(self) -> bool {
        self.opened >= 8 && self.common * 4 >= self.opened
    }
}

/// The first objects that were opened with a session.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners(Option<Box<Map<u64, Object>>>);

/// Who opened an object.
#[derive(Clone, Copy, Debug, Default)]
struct Object {
    session: u32,
    unit: u32,
    /// The session of the second client that opened it, 0 where there is none.
    second: u32,
    /// The number that it is named by, 0 where it has none.
    number: u64,
    /// Its first client came back to it; another one opened it.
    again: bool,
    shared: bool,
    /// A third one did; somebody without a session did.
    many: bool,
    open: bool,
}

impl Owners {
    /// Takes an answer in that gave an object to a client with a session.
    ///
    /// Gives true where an object is new.
    pub(super) fn add(&mut self, o: &Observation, unit: u64, room: bool) -> bool {
        if o.part == Part::RequestOnly || o.outcome != Outcome::Success {
            return false;
        }
        let Some(target) = o.target else { return false };
        let Some(token) = o.sessions.iter().find(|t| t.login) else {
            if !o.traits.has(Traits::KEYED)
                && let Some(object) = self.0.as_deref_mut().and_then(|all| all.get_mut(&target.hash))
            {
                object.open = true;
            }
            return false;
        };
        let (session, unit) = (token.hash as u32, unit as u32);
        let objects = self.0.get_or_insert_default();
        if let Some(object) = objects.get_mut(&target.hash) {
            if object.session == session || object.unit == unit {
                object.again = true;
            } else {
                object.shared = true;
                object.many |= object.second != 0 && object.second != session;
                object.second = if object.second == 0 { session } else { object.second };
            }
            return false;
        }
        // Who opens one after another leaves room for the others' objects.
        let room = room && objects.len() < OBJECTS;
        if !room || objects.values().filter(|o| o.session == session).count() >= OF_ONE {
            return false;
        }
        let number = target.number.unwrap_or(0);
        objects.insert(target.hash, Object { session, unit, number, ..Object::default() });
        true
    }

    /// Whose objects those of some sessions are.
    pub(super) fn contrast(&self, own: &[u32]) -> Contrast {
        let Some(objects) = self.0.as_deref() else { return Contrast::default() };
        let (mut known, mut others) = (BTreeSet::new(), BTreeSet::new());
        let (mut low, mut high) = (u64::MAX, 0);
        let (mut opened, mut common) = (0, 0);
        for o in objects.values() {
            let (first, second) = (own.contains(&o.session), o.second != 0 && own.contains(&o.second));
            if first || second {
                opened += 1;
                common += usize::from(o.open || o.many);
                if o.number != 0 {
                    (low, high) = (low.min(o.number), high.max(o.number));
                }
            } else {
                known.insert(o.session);
            }
            match (first, second) {
                (true, false) if o.second != 0 => others.insert(o.second),
                (false, true) => others.insert(o.session),
                _ => false,
            };
        }
        let between = |o: &&Object| !own.contains(&o.session) && o.number > low && o.number < high;
        let amid: BTreeSet<u32> = objects.values().filter(between).map(|o| o.session).collect();
        known.extend(&others);
        Contrast { known: known.len(), others: others.len(), amid: amid.len(), opened, common }
    }

    /// Share of its objects that are private: of those opened more than once the ones that only one client opened, where that is known
    /// of eight clients; or of all those that nobody else opened, where a dozen clients and more open one or two each.
    pub(super) fn private(&self) -> Option<f64> {
        let objects = self.0.as_ref()?;
        let shared = objects.values().filter(|o| o.shared).count();
        let own = objects.values().filter(|o| o.again && !o.shared).count();
        let [all, again] = [false, true].map(|again| {
            let mut counts: std::collections::BTreeMap<u32, u32> = std::collections::BTreeMap::new();
            for object in objects.values().filter(|o| !again || o.again && !o.shared) {
                *counts.entry(object.unit).or_default() += 1;
            }
            let mut counts: Vec<u32> = counts.into_values().collect();
            counts.sort_unstable();
            counts
        });
        let reopened = (again.len() >= 8).then(|| own as f64 / (own + shared) as f64);
        let few = all.len() >= 12 && all.get(all.len() / 2).is_some_and(|n| *n <= 2);
        let single = few.then(|| 1.0 - shared as f64 / objects.len() as f64);
        match (reopened, single) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Objects that are followed.
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |all| all.len())
    }

    pub(super) fn merge(&mut self, other: Owners) {
        let Some(other) = other.0 else { return };
        let mut theirs: Vec<(u64, Object)> = other.into_iter().collect();
        theirs.sort_unstable_by_key(|(target, _)| *target);
        let objects = self.0.get_or_insert_default();
        for (target, object) in theirs {
            let room = objects.len() < OBJECTS;
            match objects.get_mut(&target) {
                Some(mine) => {
                    mine.again |= object.again;
                    mine.shared |=
                        object.shared || mine.session != object.session && mine.unit != object.unit;
                    mine.open |= object.open;
                    mine.many |= object.many;
                    if mine.second == 0 {
                        mine.second =
                            if mine.session == object.session { object.second } else { object.session };
                    }
                }
                None if room => {
                    objects.insert(target, object);
                }
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(objects: impl Iterator<Item = (u32, bool, bool)>) -> Owners {
        let objects = objects.enumerate().map(|(at, (unit, again, shared))| {
            (at as u64, Object { session: unit, unit, again, shared, ..Object::default() })
        });
        Owners(Some(Box::new(objects.collect())))
    }

    #[test]
    fn private_objects_are_opened_again_by_one_client_each() {
        assert_eq!(owners((0..20).map(|n| (n, true, n == 7))).private(), Some(19.0 / 20.0));
        assert!(owners((0..40).map(|n| (n, n < 10, n >= 10))).private().unwrap() < 0.3, "a catalogue");
        assert_eq!(owners((0..40).map(|n| (n, false, n % 9 == 0))).private(), Some(35.0 / 40.0), "one each");
        assert_eq!(
            owners((0..40).map(|n| (n / 4, false, false))).private(),
            None,
            "once, four each: unknown"
        );
        assert_eq!(owners((0..40).map(|_| (7, true, false))).private(), None, "one client");
    }
}
