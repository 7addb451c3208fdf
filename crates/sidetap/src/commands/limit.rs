//! What a memory limit is spent on.
//!
//! A limit of [`KEPT`] or more is kept as resident memory. A smaller one is for tests and tight corners: tables get half, and the
//! process takes what it needs.

use sidetap_capture::MOST_WAITING;

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

/// Bytes that tables may take of a limit beside the kernel's rings: four tenths of what the process leaves are for what allocators hold back while all of them are
/// full at once. Results depend on it, so it hangs on nothing else: not on the number of workers.
pub(super) fn tables(limit: u64, rings: u64) -> u64 {
    if limit < KEPT { limit / 2 } else { limit.saturating_sub(rings).saturating_sub(PROCESS) / 10 * 6 }
}

/// Worker threads that a limit carries beside rings; any number where it is not kept anyway.
pub(super) fn workers(limit: u64, rings: u64) -> usize {
    let carried = || usize::try_from(limit.saturating_sub(rings) / WORKER).unwrap_or(256);
    if limit < KEPT { 256 } else { carried().clamp(1, 256) }
}

/// What rings take of a limit, one part in so many, at most.
const RINGS: u64 = 3;
/// The kernel's buffer of an interface, where nothing is said of it.
const RING: u64 = 64 << 20;
/// The least that captures anything.
pub(super) const LEAST: u64 = 1 << 20;
/// What a capture thread takes beside the first: what it reads at once, a decoder, a stack, and what its allocator holds.
const READER: u64 = 8 << 20;

/// The kernel's rings within a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rings {
    /// Of each interface.
    pub(super) each: u64,
    /// What all of them take of the limit, with what waits to be put in order.
    pub(super) all: u64,
}

/// Rings of so many interfaces, each read by so many threads, as large as asked; or the largest that the limit carries, where these are
/// too large. Of a limit that is not kept rings take nothing.
pub(super) fn rings(limit: u64, asked: Option<u64>, interfaces: u64, readers: u64) -> Result<Rings, u64> {
    if !is_kept(limit) {
        return Ok(Rings { each: asked.unwrap_or(RING), all: 0 });
    }
    let part = (limit / RINGS).saturating_sub(besides(interfaces, readers)) / interfaces.max(1);
    let most = if readers > 1 { part / (readers + 1) * readers } else { part };
    let each = asked.unwrap_or_else(|| most.min(RING));
    let fits = each <= most && most >= LEAST;
    if fits { Ok(Rings { each, all: all(each, interfaces, readers) }) } else { Err(most) }
}

/// A limit of which rings this large take no more than their part, in whole MiB.
pub(super) fn enough_for(each: u64, interfaces: u64, readers: u64) -> u64 {
    all(each, interfaces, readers).saturating_mul(RINGS).div_ceil(1 << 20).saturating_mul(1 << 20)
}

/// With more than one reader another ring of a reader's part is kept ready for each interface.
pub(super) fn all(each: u64, interfaces: u64, readers: u64) -> u64 {
    let spare = if readers > 1 { each.div_ceil(readers) } else { 0 };
    interfaces.saturating_mul(each.saturating_add(spare)).saturating_add(besides(interfaces, readers))
}

/// What waits to be put in order where there are several interfaces, and what capture threads take.
const fn besides(interfaces: u64, readers: u64) -> u64 {
    let waiting = if interfaces > 1 { MOST_WAITING as u64 } else { 0 };
    waiting.saturating_add(readers.saturating_sub(1).saturating_mul(READER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_gets_its_part_and_a_small_limit_is_halved() {
        let of = |limit: u64, rings: u64| {
            let (limit, rings) = (limit << 20, rings << 20);
            (tables(limit, rings) >> 20, workers(limit, rings))
        };
        assert_eq!((of(512, 0), of(256, 0), of(100, 0)), ((240, 3), (86, 1), (50, 256)));
        assert_eq!((tables(1, 0), workers(u64::MAX, 0)), (0, 256));
        // What rings take of a limit that is kept makes it none that is not.
        assert_eq!(
            (of(512, 64), of(256, 64), of(256, 85), of(383, 127)),
            ((201, 2), (48, 1), (35, 1), (86, 1))
        );
    }

    #[test]
    fn rings_have_their_part_of_the_limit() {
        let of = |limit: u64, asked: Option<u64>, interfaces, readers| {
            rings(limit << 20, asked.map(|a| a << 20), interfaces, readers)
                .map(|r| (r.each >> 20, r.all >> 20))
                .map_err(|most| most >> 20)
        };
        assert_eq!(of(512, None, 1, 1), Ok((64, 64)));
        assert_eq!(of(512, None, 2, 1), Ok((64, 144)));
        // Four interfaces share what two have.
        assert_eq!(of(512, None, 4, 1), Ok((38, 170)));
        assert_eq!(of(256, None, 1, 4), Ok((49, 85)));
        assert_eq!(of(256, Some(86), 1, 1), Err(85));
        assert_eq!(of(256, Some(85), 1, 1), Ok((85, 85)));
        assert_eq!(of(256, Some(85), 1, 2), Err(51));
        assert_eq!(of(256, Some(34), 2, 1), Ok((34, 84)));
        // What is not kept anyway is as asked.
        assert_eq!(of(50, Some(512), 3, 2), Ok((512, 0)));
        assert_eq!(of(256, None, 1_000, 2), Err(0));
        assert_eq!(of(512, None, 1, 64), Err(0));
    }
}
