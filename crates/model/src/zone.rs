use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// An address space with a vantage (a site, a VPC, a VNI, an interface): `default` where there is one.
///
/// Part of every flow key, actor, endpoint and verdict, so that two networks on the same 10/8 never mix.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Zone(Arc<str>);

impl Zone {
    /// The zone of this name.
    pub fn new(name: &str) -> Self {
        Zone(name.into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Zone {
    fn default() -> Self {
        Zone("default".into())
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
