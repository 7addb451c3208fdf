//! What is learned, on its way to and from a file: a version byte, a checksum, then MessagePack.

use serde::{Deserialize, Serialize};
use sidetap_model::{HashKey, Ts};

use crate::options::{Options, PipelineError};

/// What a run learned, by engine, and until when.
#[derive(Serialize, Deserialize)]
pub(crate) struct State {
    /// Time of the last packet that it was learned from.
    pub(crate) until: Ts,
    pub(crate) discovery: Vec<u8>,
    pub(crate) bots: Vec<u8>,
}

impl State {
    const VERSION: u8 = 2;
    /// Larger ones are not read.
    const MOST: usize = 512 << 20;

    /// As a file holds it.
    pub(crate) fn write(&self) -> Vec<u8> {
        // Writing numbers and byte strings into memory cannot fail.
        let body = rmp_serde::to_vec(self).unwrap_or_default();
        let mut bytes = vec![Self::VERSION];
        bytes.extend_from_slice(&checksum(&body).to_le_bytes());
        bytes.extend(body);
        bytes
    }

    /// Reads it; refused where it is of another version, or damaged.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, PipelineError> {
        let refused = |why: String| Err(PipelineError::State(why));
        match bytes.first() {
            None => return refused("it is empty".into()),
            Some(&Self::VERSION) => {}
            Some(v) => {
                return refused(format!(
                    "it is of version {v}, this is version {}: learn anew, without it",
                    Self::VERSION
                ));
            }
        }
        if bytes.len() > Self::MOST {
            return refused(format!("it is larger than {} MiB", Self::MOST >> 20));
        }
        let sum: Option<[u8; 8]> = bytes.get(1..9).and_then(|b| b.try_into().ok());
        let body = bytes.get(9..).unwrap_or_default();
        if sum.map(u64::from_le_bytes) != Some(checksum(body)) {
            return refused("it is damaged: its checksum is wrong".into());
        }
        rmp_serde::from_slice(body).or_else(|e| refused(format!("it is damaged: {e}")))
    }

    /// Why what was learned until then says nothing about traffic of `now`.
    pub(crate) fn stale(until: Ts, now: Ts, options: &Options) -> Option<PipelineError> {
        let age = now.since(until) / 1_000_000_000;
        (age > options.state_max_age_s).then(|| {
            PipelineError::State(format!(
                "it was learned until {until}, {} days before this traffic: more than state_max_age allows",
                age / 86_400
            ))
        })
    }
}

/// Finds damage, not forgery.
fn checksum(bytes: &[u8]) -> u64 {
    HashKey::from_bytes([0; 16]).hash64("state", bytes)
}

/// Says, by packet time, when a live run is to hand something out.
#[derive(Debug)]
pub(crate) struct Clock {
    next: Option<Ts>,
    runs: bool,
    every: i64,
}

impl Clock {
    /// For what was learned: every five minutes, where the run is live and keeps its state.
    pub(crate) fn of_state(options: &Options) -> Self {
        Clock { next: None, runs: options.live && options.keep_state, every: 300_000_000_000 }
    }

    /// For what was found: with each second of traffic judged, at most twice a second, where the run is live and has a store to put it in.
    pub(crate) fn of_found(options: &Options) -> Self {
        Clock { next: None, runs: options.live && options.evidence, every: 500_000_000 }
    }

    /// True where it is time.
    pub(crate) fn is_due(&mut self, now: Ts) -> bool {
        let due = self.runs && self.next.is_some_and(|next| now >= next);
        if due || self.next.is_none() {
            self.next = Some(now.plus(self.every));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_is_refused_with_its_reason() {
        let state = State { until: Ts::from_parts(5, 0), discovery: vec![1, 2], bots: vec![3] };
        let bytes = state.write();
        let back = State::read(&bytes).unwrap();
        assert_eq!((back.until, back.discovery, back.bots), (state.until, vec![1, 2], vec![3]));
        let refused = |b: &[u8]| State::read(b).err().unwrap().to_string();
        assert!(refused(&[]).contains("empty"));
        assert!(refused(&[1, 2, 3]).contains("version 1"));
        assert!((1..bytes.len()).all(|n| refused(&bytes[..n]).contains("checksum")));
        let mut flipped = bytes.clone();
        let last = flipped.len() - 1;
        flipped[last] ^= 1;
        assert!(refused(&flipped).contains("checksum"));
    }

    #[test]
    fn the_clock_runs_by_packets() {
        let at = |s: i64| Ts::from_parts(s, 0);
        let mut clock = Clock { next: None, runs: true, every: 300_000_000_000 };
        let due: Vec<bool> = [0, 299, 300, 301, 600, 5000].map(|s| clock.is_due(at(s))).into();
        assert_eq!(due, [false, false, true, false, true, true]);
        let mut idle = Clock { next: None, runs: false, every: 300_000_000_000 };
        assert!([0, 300, 600].iter().all(|s| !idle.is_due(at(*s))));
    }
}
