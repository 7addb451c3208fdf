//! Verdicts on their way into the store, also where it does not take them at first.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sidetap_model::rows::VerdictRow;
use sidetap_store::StoreError;

use super::Acting;
use crate::clock;
use crate::output::warn;

/// Between two tries to keep verdicts that the store did not take.
const AGAIN: Duration = Duration::from_secs(5);
/// How long devices wait for a store that somebody else holds.
const PATIENCE: Duration = Duration::from_millis(200);
const UNKEPT: &str = "cannot keep verdicts";

impl Acting {
    /// Keeps verdicts unless the store is held by somebody else for longer than devices may wait; says whether they are kept.
    pub(super) fn keep_at_once(&mut self, verdicts: &[VerdictRow]) -> bool {
        let Some((store, _, run)) = &mut self.store else { return true };
        // Those that could not be kept before may be many, and wait until devices are told.
        let waited = store.wait_for(PATIENCE);
        let kept = waited.and_then(|()| match verdicts {
            [] => Ok(()),
            new => store.save_verdicts(run, new, clock::now()),
        });
        let _ = store.wait_as_usual();
        kept.is_ok()
    }

    /// Keeps verdicts, with those that could not be kept before.
    pub(super) fn keep(&mut self, verdicts: &[VerdictRow]) {
        if let Err(e) = self.write(verdicts)
            && let Some((_, path, _)) = &self.store
        {
            self.unkept.retain(|id| self.verdicts.contains_key(id));
            self.unkept.extend(verdicts.iter().map(|v| v.id.clone()));
            self.again = Instant::now() + AGAIN;
            self.lost.say(format!("{UNKEPT} in {}: {e}", path.display()));
        }
    }

    /// Tries once more to keep what could not be.
    pub(super) fn keep_late(&mut self) {
        if !self.unkept.is_empty() && Instant::now() >= self.again {
            self.keep(&[]);
        }
    }

    fn write(&mut self, verdicts: &[VerdictRow]) -> Result<(), StoreError> {
        let Some((store, path, run)) = &mut self.store else { return Ok(()) };
        if !verdicts.is_empty() {
            store.save_verdicts(run, verdicts, clock::now())?;
        }
        if self.unkept.is_empty() {
            return Ok(());
        }
        let new: BTreeSet<&str> = verdicts.iter().map(|v| v.id.as_str()).collect();
        let late = self.unkept.iter().filter(|id| !new.contains(id.as_str()));
        let late: Vec<VerdictRow> = late.filter_map(|id| self.verdicts.get(id).cloned()).collect();
        store.save_verdicts(run, &late, clock::now())?;
        self.unkept.clear();
        self.lost.settled(UNKEPT);
        warn(&format!("verdicts that could not be kept are in {} now", path.display()));
        Ok(())
    }
}
