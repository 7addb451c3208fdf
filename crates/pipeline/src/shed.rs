use std::time::{Duration, Instant};

use sidetap_capture::Segment;

/// Which flows a worker's queue is spared while it cannot keep up: whole flows, chosen by hash, not whichever packet comes.
///
/// Of sixteen classes of flows those below the level are shed. Above half of the queue the level rises with each batch;
/// once the queue is nearly empty it is halved twice a second. A class that is shed first comes back last, so few flows are torn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shed {
    level: u8,
    changed: Option<Instant>,
}

impl Shed {
    /// Nothing is shed.
    pub(crate) const NONE: Shed = Shed { level: 0, changed: None };
    const CLASSES: u8 = 16;
    const STEP: u8 = 2;
    const CALM: Duration = Duration::from_millis(500);

    /// Whether segments of this flow are to be left out.
    pub(crate) fn sheds(self, segment: &Segment<'_>) -> bool {
        self.level > 0 && segment.shed_class() < self.level
    }

    /// What is handed on of a segment that is shed: where it opens or closes its connection, that it does, so that the flow is
    /// known and what is missing in it is counted as a gap.
    pub(crate) fn remains<'a>(segment: &Segment<'a>) -> Option<Segment<'a>> {
        let flags = segment.flags;
        if !(flags.syn() || flags.fin() || flags.rst()) {
            return None;
        }
        let skipped = u32::try_from(segment.payload.len()).unwrap_or(u32::MAX).wrapping_add(segment.snapped);
        Some(Segment { seq: segment.seq.wrapping_add(skipped), payload: &[], snapped: 0, ..*segment })
    }

    /// Takes note of how full the queue is.
    pub(crate) fn observe(&mut self, waiting: usize, room: usize, now: Instant) {
        let calm = |since: Option<Instant>| since.is_none_or(|t| now.duration_since(t) >= Self::CALM);
        if waiting * 2 >= room {
            self.level = (self.level + Self::STEP).min(Self::CLASSES);
            self.changed = Some(now);
        } else if self.level > 0 && waiting * 8 <= room && calm(self.changed) {
            self.level /= 2;
            self.changed = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use sidetap_capture::TcpFlags;
    use sidetap_model::{Addr, Ts};

    use super::*;

    fn segment(port: u16, flags: u8, payload: &[u8]) -> Segment<'_> {
        let end = |port| Addr { ip: IpAddr::from([192, 0, 2, 1]), port };
        Segment {
            zone: 0,
            src: end(port),
            dst: end(80),
            ts: Ts(0),
            seq: 100,
            ack: 0,
            flags: TcpFlags(flags),
            window: 0,
            payload,
            snapped: 0,
            urgent: 0,
            clocks: None,
            carried: Default::default(),
        }
    }

    #[test]
    fn the_level_rises_at_once_and_sinks_slowly() {
        let (mut shed, start) = (Shed::NONE, Instant::now());
        shed.observe(15, 32, start);
        assert_eq!(shed.level, 0);
        (0..20).for_each(|_| shed.observe(16, 32, start));
        assert_eq!(shed.level, 16);
        shed.observe(4, 32, start);
        assert_eq!(shed.level, 16, "not before it was calm for a while");
        shed.observe(4, 32, start + Shed::CALM);
        shed.observe(5, 32, start + 2 * Shed::CALM);
        assert_eq!(shed.level, 8, "five of 32 is no calm");
    }

    #[test]
    fn a_flow_is_shed_in_both_directions_or_not_at_all() {
        let half = Shed { level: 8, changed: None };
        let mut shed = 0;
        for port in 1000..2000 {
            let up = segment(port, 16, b"x");
            let down = Segment { src: up.dst, dst: up.src, ..up };
            assert_eq!(half.sheds(&up), half.sheds(&down));
            shed += u32::from(half.sheds(&up));
        }
        assert!((400..600).contains(&shed), "{shed} of 1000 at level 8 of 16");
    }

    #[test]
    fn what_opens_and_closes_a_flow_stays_without_its_payload() {
        assert!(Shed::remains(&segment(1, 16, b"data")).is_none());
        let fin = segment(1, 17, b"data");
        let left = Shed::remains(&fin).unwrap();
        assert_eq!((left.seq, left.payload.len()), (104, 0));
    }
}
