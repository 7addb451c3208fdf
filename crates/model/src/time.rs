use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A point of packet time: nanoseconds since 1970-01-01T00:00:00Z.
///
/// Serialised as RFC 3339 UTC with microseconds. The data path never reads a clock: every `Ts` came with a packet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ts(pub i64);

impl Ts {
    /// The time that `secs` seconds and `nanos` nanoseconds after the epoch denote, saturating.
    pub const fn from_parts(secs: i64, nanos: i64) -> Self {
        Ts(secs.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// Seconds since the epoch with their fraction; for display and statistics only.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Nanoseconds from `earlier` to `self`, saturating, negative where `earlier` is later.
    pub const fn since(self, earlier: Ts) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This time moved by `nanos`, saturating.
    #[must_use]
    pub const fn plus(self, nanos: i64) -> Ts {
        Ts(self.0.saturating_add(nanos))
    }

    /// Reads RFC 3339.
    pub fn parse(text: &str) -> Option<Ts> {
        let t: jiff::Timestamp = text.parse().ok()?;
        i64::try_from(t.as_nanosecond()).ok().map(Ts)
    }
}

impl fmt::Display for Ts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.div_euclid(1000);
        match jiff::Timestamp::from_microsecond(micros) {
            Ok(t) => write!(f, "{t:.6}"),
            Err(_) => write!(f, "{micros}us"),
        }
    }
}

impl fmt::Debug for Ts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Ts {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { s.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Ts {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
            Ts::parse(&text).ok_or_else(|| de::Error::custom("not an RFC 3339 time"))
        } else {
            i64::deserialize(d).map(Ts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reads_microseconds() {
        let t = Ts(1_795_214_456_621_000_000);
        assert_eq!(t.to_string(), "2026-11-20T22:40:56.621000Z");
        assert_eq!(Ts::parse("2026-11-20T22:40:56.621000Z"), Some(t));
        assert!(!Ts(i64::MIN).to_string().is_empty());
    }
}
