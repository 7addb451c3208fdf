use serde::{Deserialize, Serialize};

/// What was missed of an exchange: a set of flags, empty where it was seen whole.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Completeness(u16);

impl Completeness {
    /// Seen whole.
    pub const WHOLE: Self = Completeness(0);
    /// Bytes of the request were lost before they reached the sensor.
    pub const REQUEST_GAP: Self = Completeness(1);
    /// Bytes of the response were lost before they reached the sensor.
    pub const RESPONSE_GAP: Self = Completeness(1 << 1);
    /// The capture (or the flow) ended, or was cut, before the request did.
    pub const REQUEST_TRUNCATED: Self = Completeness(1 << 2);
    /// The capture (or the flow) ended, or was cut, before the response did.
    pub const RESPONSE_TRUNCATED: Self = Completeness(1 << 3);
    /// No response was seen.
    pub const NO_RESPONSE: Self = Completeness(1 << 4);
    /// No request was seen for this response.
    pub const NO_REQUEST: Self = Completeness(1 << 5);
    /// Only one direction of the flow was seen at all.
    pub const ONE_SIDED: Self = Completeness(1 << 6);
    /// The flow was joined after its start, and this exchange may have begun before.
    pub const JOINED_LATE: Self = Completeness(1 << 7);
    /// Packets of this exchange were cut by the capture's snap length.
    pub const SNAPPED: Self = Completeness(1 << 8);
    /// A table was full, and this exchange was cut short for it.
    pub const EVICTED: Self = Completeness(1 << 9);
    /// The flow was silent for so long that it was cut before this exchange was over.
    pub const IDLE: Self = Completeness(1 << 10);
    /// Request and response belong together by all that was seen, but a request of before may have been hidden.
    pub const PAIRING_UNCERTAIN: Self = Completeness(1 << 11);

    /// The request was found by looking for the beginning of a message after a loss, and no answer proves it: it may be the
    /// content of another message.
    pub const RESYNCHRONISED: Self = Completeness(1 << 12);

    const NAMES: [(Self, &'static str); 13] = [
        (Self::REQUEST_GAP, "request-gap"),
        (Self::RESPONSE_GAP, "response-gap"),
        (Self::REQUEST_TRUNCATED, "request-truncated"),
        (Self::RESPONSE_TRUNCATED, "response-truncated"),
        (Self::NO_RESPONSE, "no-response"),
        (Self::NO_REQUEST, "no-request"),
        (Self::ONE_SIDED, "one-sided"),
        (Self::JOINED_LATE, "joined-late"),
        (Self::SNAPPED, "snapped"),
        (Self::EVICTED, "evicted"),
        (Self::IDLE, "idle"),
        (Self::PAIRING_UNCERTAIN, "pairing-uncertain"),
        (Self::RESYNCHRONISED, "resynchronised"),
    ];

    /// True where nothing was missed.
    pub const fn is_whole(self) -> bool {
        self.0 == 0
    }

    /// True where all flags of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Sets the flags of `other`.
    pub const fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// The names of the flags that are set, in a fixed order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| name)
    }
}

impl std::ops::BitOr for Completeness {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Completeness(self.0 | other.0)
    }
}
