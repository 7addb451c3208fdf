//! The wall clock, read at the edge: findings never see it; and how long work takes.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sidetap_model::Ts;
use sidetap_sys::thread_time;

/// Now.
#[allow(clippy::disallowed_methods)]
pub(crate) fn now() -> Ts {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ts(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// Measures what a thread does.
pub(crate) struct Stopwatch {
    clock: Instant,
    processor: Duration,
}

/// What something took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Took {
    /// Until it was done.
    pub(crate) clock: Duration,
    /// Of that, the time that a processor worked for it.
    pub(crate) processor: Duration,
}

impl Stopwatch {
    /// From now on, on this thread.
    pub(crate) fn start() -> Self {
        Stopwatch { clock: Instant::now(), processor: thread_time() }
    }

    /// What was taken since.
    pub(crate) fn took(&self) -> Took {
        Took { clock: self.clock.elapsed(), processor: thread_time().saturating_sub(self.processor) }
    }
}

impl Took {
    /// So many times the processor's time, and at least so many times the clock's.
    pub(crate) fn times(self, (processor, clock): (u32, u32)) -> Duration {
        self.processor.saturating_mul(processor).max(self.clock.saturating_mul(clock))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_beside_others_that_are_busy_rests_no_longer() {
        let ms = Duration::from_millis;
        let alone = Took { clock: ms(100), processor: ms(100) };
        let crowded = Took { clock: ms(700), processor: ms(100) };
        assert_eq!((alone.times((9, 1)), crowded.times((9, 1))), (ms(900), ms(900)));
        // A disk that is slow is not written to all the time.
        assert_eq!(Took { clock: ms(3_000), processor: ms(10) }.times((9, 1)), ms(3_000));
        let begun = Stopwatch::start();
        std::thread::sleep(ms(20));
        let took = begun.took();
        assert!(took.clock >= ms(20) && took.processor < took.clock, "{took:?}");
    }
}
