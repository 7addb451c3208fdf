//! Requests on their way into a store, put together: what guards measure good traffic by.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use sidetap_intel::Table as Addresses;
use sidetap_model::{SubjectKind, Ts};
use sidetap_pipeline::Listener;
use sidetap_policy::{LineReader, Seen};
use sidetap_store::{CellRow, Store};

/// Most cells that wait to be stored.
const WAITING: usize = 200_000;
const HOUR_NS: i64 = 3_600_000_000_000;

/// Collects requests in cells of an hour.
#[derive(Clone)]
pub(crate) struct Cells {
    collected: Arc<Mutex<Collected>>,
    /// Held while what was collected is being stored.
    storing: Arc<Mutex<()>>,
}

struct Collected {
    reader: LineReader,
    addresses: Arc<Addresses>,
    cells: HashMap<(Ts, Seen), (u64, Ts, Ts)>,
    left_out: u64,
}

impl Cells {
    /// An empty collection; countries and networks of clients are those of this table.
    pub(crate) fn new(addresses: Arc<Addresses>) -> Self {
        let reader = LineReader::default();
        let collected = Collected { reader, addresses, cells: HashMap::new(), left_out: 0 };
        Cells { collected: Arc::new(Mutex::new(collected)), storing: Arc::default() }
    }

    /// What hears exchanges for it.
    pub(crate) fn listener(&self) -> Listener {
        let cells = self.clone();
        Listener(Arc::new(move |head, template| cells.hear(head, template)))
    }

    fn hear(&self, head: &[u8], template: Option<&str>) {
        let mut this = self.collected.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(line) = this.reader.read_head(head, template).filter(|l| !l.later_hop) else { return };
        let mut seen = line.seen;
        let origin = this.addresses.origin(seen.ip, line.ts);
        seen.country = origin.country().map(|c| this.reader.text(c));
        seen.network = Some(origin.asn).filter(|n| *n != 0);
        let key = (Ts(line.ts.0 - line.ts.0.rem_euclid(HOUR_NS)), seen);
        let room = this.cells.len() < WAITING;
        match this.cells.get_mut(&key) {
            Some(cell) => *cell = (cell.0 + 1, cell.1.min(line.ts), cell.2.max(line.ts)),
            None if room => drop(this.cells.insert(key, (1, line.ts, line.ts))),
            None => this.left_out += 1,
        }
    }

    /// What was collected since the last time, in a stated order, and how many requests had no room.
    fn take(&self) -> (Vec<CellRow>, u64) {
        let mut this = self.collected.lock().unwrap_or_else(PoisonError::into_inner);
        let cells = std::mem::take(&mut this.cells);
        let left_out = std::mem::take(&mut this.left_out);
        drop(this);
        let row = |((hour, seen), (requests, first, last)): ((Ts, Seen), (u64, Ts, Ts))| CellRow {
            hour,
            cell: seen.to_cell(),
            requests,
            first,
            last,
        };
        let mut rows: Vec<CellRow> = cells.into_iter().map(row).collect();
        rows.sort_unstable_by(|a, b| (a.hour, &a.cell).cmp(&(b.hour, &b.cell)));
        (rows, left_out)
    }

    /// Forgets what somebody of this name did that is not stored yet, and waits for what is being stored.
    pub(crate) fn forget(&self, kind: SubjectKind, name: &str) {
        let _storing = self.storing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut this = self.collected.lock().unwrap_or_else(PoisonError::into_inner);
        this.cells.retain(|(_, seen), _| !seen.fits_part(kind, name));
    }

    /// Adds what was collected to the run in a store; `afresh` in place of what it had.
    pub(crate) fn store(&self, file: &Path, run: &str, afresh: bool) -> Result<()> {
        let _storing = self.storing.lock().unwrap_or_else(PoisonError::into_inner);
        let (rows, left_out) = self.take();
        let mut store = Store::open(file)?;
        if afresh {
            store.clear_cells(run)?;
        }
        let more = store.add_cells(run, &rows)?;
        if left_out + more > 0 {
            tracing::info!(requests = left_out + more, "requests without room in the store's cells");
        }
        Ok(())
    }
}
