//! Schemas of bodies as they were seen: fields with their types and how often they stand there.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::observe::BodyFacts;

/// Most fields of one schema.
pub(crate) const MAX_FIELDS: usize = 256;

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
            if let Some(known) = self.fields.get_mut(&field.path) {
                changed |= known.kinds | field.kinds != known.kinds;
                known.kinds |= field.kinds;
                known.shapes |= field.shapes;
                known.count += u64::from(field.count);
                known.bodies += 1;
                known.open |= open;
                continue;
            }
            if self.fields.len() >= MAX_FIELDS {
                self.left_out += 1;
                continue;
            }
            changed = true;
            self.fields.insert(
                field.path,
                FieldStat {
                    path: path.into(),
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

    /// Takes in `other`.
    pub(crate) fn absorb(&mut self, other: Schema) {
        self.bodies += other.bodies;
        self.left_out += other.left_out;
        self.unchanged = self.unchanged.min(other.unchanged);
        for (hash, f) in other.fields {
            let room = self.fields.len() < MAX_FIELDS;
            match self.fields.get_mut(&hash) {
                Some(mine) => {
                    mine.kinds |= f.kinds;
                    mine.shapes |= f.shapes;
                    mine.count += f.count;
                    mine.bodies += f.bodies;
                    mine.open |= f.open;
                }
                None if room => {
                    self.fields.insert(hash, f);
                }
                None => self.left_out += 1,
            }
        }
    }
}
