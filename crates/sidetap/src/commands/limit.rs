//! What a memory limit is spent on.
//!
//! A limit of [`KEPT`] or more is kept as resident memory. A smaller one is for tests and tight corners: tables get half, and the
//! process takes what it needs.

/// The least limit that is kept.
const KEPT: u64 = 256 << 20;
/// What the process takes besides its tables: code, patterns, buffers, stacks, and pages that threads hold for later.
const PROCESS: u64 = 112 << 20;
/// A worker thread for each so many bytes of the limit: what it frees stays with it for a while, in pages of its own.
const WORKER: u64 = 170 << 20;

/// A limit that is kept as resident memory.
pub(super) const fn is_kept(limit: u64) -> bool {
    limit >= KEPT
}

/// Bytes that tables may take of a limit: four tenths of what the process leaves are for what allocators hold back while all of them are
/// full at once. Results depend on it, so it hangs on nothing else: not on the number of workers.
pub(super) fn tables(limit: u64) -> u64 {
    if limit < KEPT { limit / 2 } else { limit.saturating_sub(PROCESS) / 10 * 6 }
}

/// Worker threads that a limit carries; any number where it is not kept anyway.
pub(super) fn workers(limit: u64) -> usize {
    if limit < KEPT { 256 } else { usize::try_from(limit / WORKER).unwrap_or(256).min(256) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_gets_its_part_and_a_small_limit_is_halved() {
        assert_eq!((tables(512 << 20) >> 20, workers(512 << 20)), (240, 3));
        assert_eq!((tables(256 << 20) >> 20, workers(256 << 20)), (86, 1));
        assert_eq!((tables(100 << 20) >> 20, workers(100 << 20)), (50, 256));
        assert_eq!((tables(1), workers(u64::MAX)), (0, 256));
    }
}
