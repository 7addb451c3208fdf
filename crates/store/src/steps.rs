//! What takes long is done in steps, each a change of its own, so that others who write come in between.

use std::time::{Duration, Instant};

use crate::change::Change;
use crate::error::StoreError;
use crate::open::Store;

/// Between two steps as long as the step took, within these: whoever waits looks every tenth of a second at the latest.
const LEAST: Duration = Duration::from_millis(2);
const MOST: Duration = Duration::from_millis(200);

impl Store {
    /// Does something in steps of so many rows, until one has fewer to do; gives how many rows that were.
    pub(crate) fn in_steps(
        &self,
        rows: u64,
        mut step: impl FnMut(&Change<'_>) -> Result<u64, StoreError>,
    ) -> Result<u64, StoreError> {
        let mut all = 0;
        loop {
            let begun = Instant::now();
            let change = self.begin_vital()?;
            let done = step(&change)?;
            change.commit()?;
            self.settle()?;
            all += done;
            if done < rows {
                return Ok(all);
            }
            self.let_others(begun.elapsed());
        }
    }

    /// Lets others write after something that took so long.
    pub(crate) fn let_others(&self, took: Duration) {
        // Within a change that goes on nobody comes in between.
        if self.connection.is_autocommit() {
            std::thread::sleep(took.clamp(LEAST, MOST));
        }
    }
}
