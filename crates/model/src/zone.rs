use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// An address space with a vantage (a site, a VPC, a VNI, an interface): `default` where there is one.
///
/// Part of every flow key, actor, endpoint and verdict, so that two networks on the same 10/8 never mix. It costs nothing to copy:
/// names are kept for the life of the process, which is bounded, as zones come from the configuration and a capture's zone table
/// has at most 65,536 of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Zone(#[serde(deserialize_with = "interned")] &'static str);

static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

fn interned<'de, D: serde::Deserializer<'de>>(from: D) -> Result<&'static str, D::Error> {
    Ok(Zone::new(&String::deserialize(from)?).0)
}

impl Zone {
    const DEFAULT: &'static str = "default";

    /// The zone of this name.
    pub fn new(name: &str) -> Self {
        if name == Self::DEFAULT {
            return Zone::default();
        }
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(name) {
            return Zone(known);
        }
        let kept: &'static str = Box::leak(name.into());
        names.insert(kept);
        Zone(kept)
    }

    /// Its name.
    pub fn as_str(&self) -> &'static str {
        self.0
    }
}

impl Default for Zone {
    fn default() -> Self {
        Zone(Self::DEFAULT)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
