//! Whose the objects of an endpoint are: of private ones each is opened by one client, of a catalogue's by many.

use super::sketch::Map;
use crate::observation::{Observation, Outcome, Part};

/// Objects of one endpoint that are followed; those that come later are not.
const OBJECTS: usize = 512;

/// The first objects that were opened with a session.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners(Option<Box<Map<u64, Object>>>);

/// Who opened an object.
#[derive(Clone, Copy, Debug)]
struct Object {
    session: u32,
    unit: u32,
    /// Its first client came back to it; another one opened it.
    again: bool,
    shared: bool,
}

impl Owners {
    /// Takes an answer in that gave an object to a client with a session.
    pub(super) fn add(&mut self, o: &Observation, unit: u64) {
        if o.part == Part::RequestOnly || o.outcome != Outcome::Success {
            return;
        }
        let Some(target) = o.target else { return };
        let Some(token) = o.sessions.iter().find(|t| t.login) else { return };
        let (session, unit) = (token.hash as u32, unit as u32);
        let objects = self.0.get_or_insert_default();
        let room = objects.len() < OBJECTS;
        match objects.get_mut(&target.hash) {
            Some(object) if object.session == session || object.unit == unit => object.again = true,
            Some(object) => object.shared = true,
            None if room => {
                objects.insert(target.hash, Object { session, unit, again: false, shared: false });
            }
            None => {}
        }
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
        let objects = objects
            .enumerate()
            .map(|(at, (unit, again, shared))| (at as u64, Object { session: unit, unit, again, shared }));
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
