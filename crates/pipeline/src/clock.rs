use sidetap_model::Ts;

const SECOND: i64 = 1_000_000_000;

/// Packet time, defended: it follows the packets, but not a lone packet from the year 2099.
///
/// A time more than an hour ahead of the clock moves it only when [`Clock::WITNESSES`] packets in a row agree; then the gap is
/// skipped. A time behind never moves it back: such packets are late, and counted.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    now: Option<Ts>,
    ahead: u32,
    /// Packets whose time was more than an hour ahead and not believed.
    pub(crate) disbelieved: u64,
    /// Packets more than a minute behind the clock.
    pub(crate) late: u64,
}

impl Clock {
    const WITNESSES: u32 = 16;
    const AHEAD: i64 = 3600 * SECOND;
    const BEHIND: i64 = 60 * SECOND;

    /// Takes the time of a packet and gives the time that it now is.
    pub(crate) fn observe(&mut self, ts: Ts) -> Ts {
        let Some(now) = self.now else {
            self.now = Some(ts);
            return ts;
        };
        let step = ts.since(now);
        if step > Self::AHEAD {
            self.ahead += 1;
            if self.ahead < Self::WITNESSES {
                self.disbelieved += 1;
                return now;
            }
        } else if step < -Self::BEHIND {
            self.late += 1;
        }
        self.ahead = 0;
        let now = now.max(ts);
        self.now = Some(now);
        now
    }

    /// The time that it now is, where a packet has come.
    pub(crate) const fn now(&self) -> Option<Ts> {
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_absurd_time_moves_nothing_many_do() {
        let mut clock = Clock::default();
        let t = Ts::from_parts(1_000_000, 0);
        assert_eq!(clock.observe(t), t);
        let far = Ts::from_parts(4_000_000_000, 0);
        assert_eq!(clock.observe(far), t);
        assert_eq!(clock.observe(t.plus(SECOND)), t.plus(SECOND));
        for _ in 1..Clock::WITNESSES {
            assert_eq!(clock.observe(far), t.plus(SECOND));
        }
        assert_eq!(clock.observe(far), far);
        assert_eq!(clock.observe(t), far, "time never goes back");
        assert_eq!((clock.disbelieved, clock.late), (16, 1));
    }
}
