//! Exchanges that a store could not take, until it can: the run names each but once.

use std::collections::{BTreeMap, VecDeque};

use anyhow::Result;
use sidetap_pipeline::{Evidence, Sampled};
use sidetap_store::{EvidenceRow, SampleRow, Store};

use crate::commands::finish::{MISSED, evidence_rows, record_evidence, sample_rows};

/// Bytes of text that wait at most; the oldest goes first.
const BYTES: usize = 16 << 20;
/// Things whose samples wait at most: more than a run chooses for.
const SAMPLES: usize = 65_536;

/// What waits.
#[derive(Default)]
pub(super) struct Pending {
    rows: VecDeque<EvidenceRow>,
    samples: BTreeMap<String, SampleRow>,
    /// Exchanges that had no room, and are not in the store's count yet.
    left_out: u64,
    /// The same of samples.
    samples_left_out: u64,
    /// Exchanges that were wanted and not remembered any more.
    missed: u64,
}

impl Pending {
    /// How many exchanges wait.
    pub(super) fn waiting(&self) -> usize {
        self.rows.len()
    }

    /// Takes in what the store is to take, and how many exchanges more it would if they were remembered.
    pub(super) fn put(&mut self, evidence: Vec<Evidence>, samples: Vec<Sampled>, missed: u64) {
        self.missed += missed;
        let waited = !self.rows.is_empty();
        self.rows.extend(evidence_rows(evidence));
        if waited {
            self.bound();
        }
        for row in sample_rows(samples) {
            if self.samples.len() < SAMPLES || self.samples.contains_key(&row.thing) {
                self.samples.insert(row.thing.clone(), row);
            } else {
                self.samples_left_out += 1;
            }
        }
    }

    /// Lets the oldest go until the others fit.
    fn bound(&mut self) {
        let mut bytes = 0;
        let fit = self.rows.iter().rev().take_while(|row| {
            bytes += row.exchange.to_string().len();
            bytes <= BYTES
        });
        let over = self.rows.len() - fit.count();
        self.rows.drain(..over);
        self.left_out += over as u64;
    }

    /// Writes what waits; gives how many exchanges that were. Where it fails all of it goes on waiting.
    pub(super) fn write(&mut self, store: &mut Store) -> Result<usize> {
        let samples: Vec<SampleRow> = self.samples.values().cloned().collect();
        record_evidence(store, self.rows.make_contiguous(), &samples)?;
        store.count_lost("evidence.not-kept", self.left_out)?;
        store.count_lost("samples.not-kept", self.samples_left_out)?;
        store.count_lost(MISSED, self.missed)?;
        let written = self.rows.len();
        *self = Pending::default();
        Ok(written)
    }

    /// Forgets what names somebody.
    pub(super) fn forget(&mut self, name: &str) {
        let spelled = serde_json::Value::from(name).to_string();
        let spelled = spelled.trim_matches('"').as_bytes();
        let names = |row: &EvidenceRow| {
            sidetap_model::words(row.exchange.to_string().as_bytes(), spelled).next().is_some()
        };
        self.rows.retain(|row| !names(row));
    }
}

#[cfg(test)]
mod tests {
    use sidetap_model::Ts;

    use super::*;

    fn exchange(n: usize, text: &str) -> Evidence {
        Evidence { id: format!("x-{n}"), ts: Ts(n as i64), exchange: serde_json::json!({ "text": text }) }
    }

    fn store(dir: &tempfile::TempDir) -> Store {
        Store::open(&dir.path().join("s.db")).unwrap()
    }

    #[test]
    fn what_could_not_be_kept_is_kept_later_and_what_had_no_room_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = store(&dir);
        let mut pending = Pending::default();
        let large = "x".repeat(BYTES / 4);
        pending.put((0..6).map(|n| exchange(n, &large)).collect(), Vec::new(), 0);
        let sample = |seen| Sampled { thing: "campaign:c".into(), seen, ids: vec!["x-5".into()] };
        pending.put(vec![exchange(6, "of 203.0.113.1"), exchange(7, "of 203.0.113.10")], vec![sample(3)], 2);
        pending.put(Vec::new(), vec![sample(9)], 1);
        pending.forget("203.0.113.1");
        let written = pending.write(&mut store).unwrap();
        assert_eq!(pending.waiting(), 0);
        let kept: Vec<usize> =
            (0..8).filter(|n| !store.evidence(&[format!("x-{n}")]).unwrap().is_empty()).collect();
        assert_eq!((kept, written), (vec![3, 4, 5, 7], 4));
        assert_eq!(store.counter("evidence.not-kept").unwrap(), 3);
        assert_eq!(store.counter(MISSED).unwrap(), 3);
        assert_eq!(store.sample("campaign:c").unwrap().0.seen, 9);
    }

    #[test]
    fn samples_that_have_no_room_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = store(&dir);
        let mut pending = Pending::default();
        let sample = |n: usize| Sampled { thing: format!("finding:{n}"), seen: 1, ids: Vec::new() };
        pending.put(Vec::new(), (0..SAMPLES + 3).map(sample).collect(), 0);
        pending.put(Vec::new(), vec![sample(0)], 0);
        pending.write(&mut store).unwrap();
        assert_eq!(store.counter("samples.not-kept").unwrap(), 3);
    }
}
