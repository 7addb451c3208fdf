use std::time::Duration;

use sidetap_model::Ts;

const SECOND: i64 = 1_000_000_000;

/// Packet time, defended: it follows the packets, but not a lone packet from the year 2099.
///
/// A time more than an hour ahead of the clock moves it only when [`Clock::WITNESSES`] packets in a row agree; then the gap is
/// skipped. It never goes back: where as many in a row are more than a minute behind, the source's clock was set back, and its
/// times are moved to go on from here. Packets whose time is not believed get the clock's. Sources of files do the same for
/// each file, and look ahead (`sidetap_capture::Files`); this is the last line for those that cannot, live ones first.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    now: Option<Ts>,
    offset: i64,
    ahead: u32,
    behind: u32,
    disbelieved: u64,
    late: u64,
    gaps: u64,
    steps_back: u64,
}

impl Clock {
    const WITNESSES: u32 = 16;
    const AHEAD: i64 = 3600 * SECOND;
    const BEHIND: i64 = 60 * SECOND;

    /// Takes the time of a packet that is right.
    pub(crate) fn follow(&mut self, ts: Ts) {
        self.now = self.now.max(Some(ts));
    }

    /// Takes the time of a packet and gives the one that it is to have.
    pub(crate) fn observe(&mut self, ts: Ts) -> Ts {
        let ts = ts.plus(self.offset);
        let Some(now) = self.now else {
            self.now = Some(ts);
            return ts;
        };
        let step = ts.since(now);
        if (-Self::BEHIND..=Self::AHEAD).contains(&step) {
            (self.ahead, self.behind) = (0, 0);
            self.now = Some(now.max(ts));
            return ts;
        }
        if step < 0 { self.fell_behind(now, step) } else { self.ran_ahead(now, ts) }
    }

    fn ran_ahead(&mut self, now: Ts, ts: Ts) -> Ts {
        self.behind = 0;
        self.ahead += 1;
        if self.ahead < Self::WITNESSES {
            self.disbelieved += 1;
            return now;
        }
        self.ahead = 0;
        self.gaps += 1;
        self.now = Some(ts);
        ts
    }

    fn fell_behind(&mut self, now: Ts, step: i64) -> Ts {
        self.ahead = 0;
        self.behind += 1;
        if self.behind < Self::WITNESSES {
            self.late += 1;
            return now;
        }
        self.behind = 0;
        self.steps_back += 1;
        self.offset = self.offset.saturating_sub(step);
        now
    }

    /// The time that it now is, where a packet has come.
    pub(crate) const fn now(&self) -> Option<Ts> {
        self.now
    }

    /// The time that it is when a monotonic clock has measured `idle` since the last packet.
    pub(crate) fn now_after(&self, idle: Duration) -> Option<Ts> {
        Some(self.now?.plus(i64::try_from(idle.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// What packet times did, by name.
    pub(crate) const fn counts(&self) -> [(&'static str, u64); 4] {
        [
            ("times-disbelieved", self.disbelieved),
            ("packets-late", self.late),
            ("gaps", self.gaps),
            ("steps-back", self.steps_back),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Ts = Ts::from_parts(1_000_000, 0);

    #[test]
    fn one_absurd_time_moves_nothing_many_do() {
        let mut clock = Clock::default();
        assert_eq!(clock.observe(T), T);
        let far = Ts::from_parts(4_000_000_000, 0);
        assert_eq!(clock.observe(far), T, "it gets the clock's time");
        assert_eq!(clock.observe(T.plus(SECOND)), T.plus(SECOND));
        for _ in 1..Clock::WITNESSES {
            assert_eq!(clock.observe(far), T.plus(SECOND));
        }
        assert_eq!(clock.observe(far), far);
        assert_eq!(clock.observe(T), far, "time never goes back");
        let counts = [("times-disbelieved", 16), ("packets-late", 1), ("gaps", 1), ("steps-back", 0)];
        assert_eq!(clock.counts(), counts);
    }

    #[test]
    fn a_clock_that_was_set_back_goes_on_from_where_it_was() {
        let mut clock = Clock::default();
        clock.observe(T);
        let back = T.plus(-7200 * SECOND);
        for _ in 0..Clock::WITNESSES {
            assert_eq!(clock.observe(back), T);
        }
        assert_eq!(clock.observe(back.plus(3 * SECOND)), T.plus(3 * SECOND));
        assert_eq!(clock.now(), Some(T.plus(3 * SECOND)));
        assert_eq!(clock.counts()[3], ("steps-back", 1));
    }

    #[test]
    fn a_little_late_is_not_late() {
        let mut clock = Clock::default();
        clock.observe(T);
        let before = T.plus(-30 * SECOND);
        for _ in 0..100 {
            assert_eq!(clock.observe(before), before);
        }
        assert_eq!(clock.now(), Some(T));
        assert!(clock.counts().iter().all(|(_, n)| *n == 0));
    }

    #[test]
    fn idle_time_is_added_to_the_last_packets() {
        let mut clock = Clock::default();
        assert_eq!(clock.now_after(Duration::from_secs(5)), None);
        clock.observe(T);
        assert_eq!(clock.now_after(Duration::from_secs(5)), Some(T.plus(5 * SECOND)));
        assert_eq!(clock.now(), Some(T), "the packets' own time stays");
    }
}
