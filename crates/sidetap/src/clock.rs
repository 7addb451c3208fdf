//! The wall clock, read at the edge: findings never see it.

use std::time::{SystemTime, UNIX_EPOCH};

use sidetap_model::Ts;

/// Now.
#[allow(clippy::disallowed_methods)]
pub(crate) fn now() -> Ts {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ts(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
