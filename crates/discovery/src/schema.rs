//! Schemas of bodies as they were seen: fields with their types and how often they stand there.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use sidetap_wire::body::hash_str;

use crate::names::{self, KEY};
use crate::observe::BodyFacts;

/// Most fields of one schema.
pub(crate) const MAX_FIELDS: usize = 256;
/// Names of one object from which on they may be keys of a map.
const WIDE: usize = 48;
/// As many are enough where most of them look made.
const MADE: usize = 6;
/// Maps of one schema.
const MAX_MAPS: usize = 16;

/// Fields of the bodies of one endpoint, direction, status class and media type.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Schema {
    /// Bodies visited.
    pub(crate) bodies: u64,
    /// Bodies since a field or type was last new.
    pub(crate) unchanged: u32,
    /// Fields by hash of their path.
    pub(crate) fields: BTreeMap<u64, FieldStat>,
    /// Fields that did not fit.
    pub(crate) left_out: u64,
    /// Paths of objects whose names are data, a room's id or a date: a map, not fields.
    #[serde(default)]
    pub(crate) maps: Vec<Arc<str>>,
}

/// A field.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FieldStat {
    /// Its path, `$.a[*].b`.
    pub(crate) path: Arc<str>,
    /// Types: bits of [`crate::Kinds`].
    pub(crate) kinds: u8,
    /// Shapes of its texts.
    pub(crate) shapes: u32,
    /// Occurrences.
    pub(crate) count: u64,
    /// Bodies that hold it.
    pub(crate) bodies: u64,
    /// It stood in an answer to a request without credentials.
    pub(crate) open: bool,
}

impl Schema {
    /// Counts one body.
    pub(crate) fn add(&mut self, facts: &BodyFacts, open: bool) {
        self.bodies += 1;
        let mut changed = false;
        let mut at = 0;
        for field in &facts.fields {
            let end = at + usize::from(field.len);
            let path = facts.paths.get(at..end).unwrap_or_default();
            at = end;
            let folded = self.folded(path);
            let key = folded.as_deref().map_or(field.path, hash_str);
            if let Some(known) = self.fields.get_mut(&key) {
                changed |= known.kinds | field.kinds != known.kinds;
                known.kinds |= field.kinds;
                known.shapes |= field.shapes;
                known.count += u64::from(field.count);
                known.bodies = (known.bodies + 1).min(self.bodies);
                known.open |= open;
                continue;
            }
            if self.fields.len() >= MAX_FIELDS {
                self.left_out += 1;
                if self.left_out.is_power_of_two() {
                    self.fold();
                }
                continue;
            }
            changed = true;
            self.fields.insert(
                key,
                FieldStat {
                    path: folded.map_or_else(|| path.into(), Arc::from),
                    kinds: field.kinds,
                    shapes: field.shapes,
                    count: u64::from(field.count),
                    bodies: 1,
                    open,
                },
            );
        }
        self.unchanged = if changed { 0 } else { self.unchanged.saturating_add(1) };
    }

    /// The path with the keys of known maps replaced; nothing where it is in none.
    fn folded(&self, path: &str) -> Option<String> {
        if self.maps.is_empty() {
            return None;
        }
        let mut out = String::new();
        let mut done = 0;
        for step in names::steps(path) {
            out.push_str(path.get(done..step.start)?);
            let is_key = self.maps.iter().any(|m| **m == *out);
            if is_key {
                out.push('.');
                out.push_str(KEY);
            } else {
                out.push_str(path.get(step.clone())?);
            }
            done = step.end;
        }
        out.push_str(path.get(done..)?);
        (out != path).then_some(out)
    }

    /// Looks for the object with the most names, each in few bodies: a map. Its fields become those of one key.
    fn fold(&mut self) {
        let mut wide: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
        for field in self.fields.values() {
            for step in names::steps(&field.path) {
                let (Some(parent), Some(name)) = (field.path.get(..step.start), field.path.get(step)) else {
                    continue;
                };
                let bodies = wide.entry(parent).or_default().entry(name).or_default();
                *bodies = field.bodies.max(*bodies);
            }
        }
        let is_map = |names: &BTreeMap<&str, u64>| {
            let usual = names.values().sum::<u64>() / names.len().max(1) as u64;
            let made = names.keys().filter(|n| is_made(n)).count();
            let many = names.len() >= WIDE || names.len() >= MADE && made * 4 >= names.len() * 3;
            many && usual * 4 <= self.bodies
        };
        let most = wide.iter().filter(|(_, names)| is_map(names)).max_by_key(|(_, names)| names.len());
        let Some(parent) = most.map(|(parent, _)| Arc::from(*parent)) else { return };
        if self.maps.len() >= MAX_MAPS {
            return;
        }
        self.maps.push(parent);
        for (hash, mut field) in std::mem::take(&mut self.fields) {
            let folded = self.folded(&field.path);
            let key = folded.as_deref().map_or(hash, hash_str);
            if let Some(path) = folded {
                field.path = path.into();
            }
            self.merge(key, field);
        }
    }

    fn merge(&mut self, key: u64, f: FieldStat) {
        let room = self.fields.len() < MAX_FIELDS;
        match self.fields.get_mut(&key) {
            Some(mine) => {
                mine.kinds |= f.kinds;
                mine.shapes |= f.shapes;
                mine.count += f.count;
                mine.bodies = (mine.bodies + f.bodies).min(self.bodies);
                mine.open |= f.open;
            }
            None if room => {
                self.fields.insert(key, f);
            }
            None => self.left_out += 1,
        }
    }

    /// Takes in `other`.
    pub(crate) fn absorb(&mut self, other: Schema) {
        self.bodies += other.bodies;
        self.left_out += other.left_out;
        self.unchanged = self.unchanged.min(other.unchanged);
        for map in other.maps {
            if self.maps.len() < MAX_MAPS && !self.maps.contains(&map) {
                self.maps.push(map);
            }
        }
        for (hash, mut f) in other.fields {
            let folded = self.folded(&f.path);
            let key = folded.as_deref().map_or(hash, hash_str);
            if let Some(path) = folded {
                f.path = path.into();
            }
            self.merge(key, f);
        }
    }
}

/// True of a name that no programmer writes: with digits, or with what needs quoting.
fn is_made(step: &str) -> bool {
    step.starts_with("['") || step.bytes().any(|b| b.is_ascii_digit() || b"!#@:/".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{Field, Kinds};

    fn body(paths: &[String]) -> BodyFacts {
        let mut facts = BodyFacts::default();
        for path in paths {
            facts.paths.push_str(path);
            let (hash, len) = (hash_str(path), path.len() as u16);
            facts.fields.push(Field { path: hash, len, kinds: Kinds::STRING, shapes: 0, count: 1 });
        }
        facts
    }

    #[test]
    fn an_object_whose_names_are_data_is_a_map() {
        let mut schema = Schema::default();
        for n in 0..600 {
            let room = |n: usize| format!("$.rooms.join['!r{n}q:h.test'].name");
            schema.add(&body(&["$.next".into(), room(n), room(n * 7 + 1)]), false);
        }
        let paths: Vec<&str> = schema.fields.values().map(|f| &*f.path).collect();
        assert!(paths.contains(&"$.next") && paths.contains(&"$.rooms.join.{key}.name"), "{paths:?}");
        assert!(schema.fields.len() < 4 && schema.left_out <= 2, "{paths:?} {}", schema.left_out);
        assert!(schema.fields.values().all(|f| f.bodies <= schema.bodies));
    }

    #[test]
    fn a_wide_record_is_none() {
        let mut schema = Schema::default();
        let record: Vec<String> = (0..300).map(|n| format!("$.row.column_{n}")).collect();
        for _ in 0..40 {
            schema.add(&body(&record), false);
        }
        assert!(schema.maps.is_empty() && schema.fields.len() == MAX_FIELDS && schema.left_out > 0);
    }
}
