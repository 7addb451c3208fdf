use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long a processor has worked for this thread (`CLOCK_THREAD_CPUTIME_ID`): what it waited for others is not in it.
pub fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_waits_for_is_not_its_own_time() {
        let before = thread_time();
        std::thread::sleep(Duration::from_millis(200));
        let waited = thread_time() - before;
        assert!(waited < Duration::from_millis(150), "{waited:?}");
        let mut n = 0_u64;
        while thread_time() - before < waited + Duration::from_millis(20) {
            n = std::hint::black_box(n + 1);
        }
        assert!(n > 0);
    }
}
