use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sidetap_model::Ts;

/// How a live watch is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Live {
    /// Packets in the last second.
    pub packets_per_s: u64,
    /// Bytes in the last second.
    pub bytes_per_s: u64,
    /// Exchanges in the last second.
    pub exchanges_per_s: u64,
    /// Packets that the kernel or the interface dropped since the start.
    pub kernel_dropped: u64,
    /// Packets left out for load since the start.
    pub shed: u64,
    /// Packets since the start.
    pub packets: u64,
    /// Exchanges since the start.
    pub exchanges: u64,
    /// Packet time.
    pub now: Option<Ts>,
}

/// Where a watch puts how it is doing, for who looks at the console.
#[derive(Clone, Debug, Default)]
pub struct LiveStats(Arc<Mutex<Option<Live>>>);

impl LiveStats {
    /// Says how it is doing.
    pub fn put(&self, live: Live) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(live);
    }

    /// How it is doing; nothing where there is no watch.
    pub fn get(&self) -> Option<Live> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
