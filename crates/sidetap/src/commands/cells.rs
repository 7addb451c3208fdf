//! Requests on their way into a store, put together: what guards measure good traffic by.

use std::collections::HashMap;
use std::fmt::Display;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use sidetap_intel::Table as Addresses;
use sidetap_model::{SubjectKind, Ts};
use sidetap_pipeline::Listener;
use sidetap_policy::{LineReader, Seen};
use sidetap_store::{CellRow, Store};

/// Most cells that wait to be stored.
const WAITING: usize = 200_000;
const HOUR_NS: i64 = 3_600_000_000_000;
/// How long a store stays open: then its schema is looked at again, and the bounds that people set meanwhile.
const OPEN: Duration = Duration::from_secs(60);

/// Collects requests in cells of an hour.
#[derive(Clone)]
pub(crate) struct Cells {
    collected: Arc<Mutex<Collected>>,
    /// Held while what was collected is being stored; the store that it went to last, where it stays open.
    storing: Arc<Mutex<Option<Open>>>,
}

/// A store that stays open from one time to the next.
struct Open {
    store: Store,
    since: Instant,
}

impl Open {
    fn of(file: &Path) -> Result<Self> {
        Ok(Open { store: Store::open(file)?, since: Instant::now() })
    }

    /// Whether it is what would be opened now.
    fn is_good(&self, file: &Path) -> bool {
        self.store.path() == file && self.since.elapsed() < OPEN && self.store.is_in_place()
    }
}

struct Collected {
    reader: LineReader,
    addresses: Arc<Addresses>,
    cells: Requests,
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

    /// What was collected since the last time, and how many requests had no room.
    fn take(&self) -> (Requests, u64) {
        let mut this = self.collected.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut this.cells), std::mem::take(&mut this.left_out))
    }

    /// Takes back what the store did not take, as far as there is room beside what came meanwhile.
    fn put_back(&self, (cells, left_out): (Requests, u64)) {
        let mut this = self.collected.lock().unwrap_or_else(PoisonError::into_inner);
        this.left_out += left_out;
        for (key, (requests, first, last)) in cells {
            let room = this.cells.len() < WAITING;
            match this.cells.get_mut(&key) {
                Some(cell) => *cell = (cell.0 + requests, cell.1.min(first), cell.2.max(last)),
                None if room => drop(this.cells.insert(key, (requests, first, last))),
                None => this.left_out += requests,
            }
        }
    }

    /// Forgets what somebody of this name did that is not stored yet, and waits for what is being stored.
    pub(crate) fn forget(&self, kind: SubjectKind, name: &str) {
        let _storing = self.storing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut this = self.collected.lock().unwrap_or_else(PoisonError::into_inner);
        this.cells.retain(|(_, seen), _| !seen.fits_part(kind, name));
    }

    /// Adds what was collected to the run in a store; `afresh` in place of what it had.
    pub(crate) fn store(&self, file: &Path, run: &str, afresh: bool) -> Result<()> {
        self.store_by(file, (run, afresh), |store, lost| store.count_lost("cells.not-kept", lost))
    }

    /// The same where `count` notes how many requests had no room. Where it cannot, that is carried to the next time: what is stored is
    /// not stored again.
    fn store_by<E: Display>(
        &self,
        file: &Path,
        (run, afresh): (&str, bool),
        count: impl FnOnce(&mut Store, u64) -> Result<(), E>,
    ) -> Result<()> {
        let mut open = self.storing.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = self.take();
        if !afresh && taken.0.is_empty() && taken.1 == 0 {
            return Ok(());
        }
        let known = open.take().filter(|known| known.is_good(file));
        let (mut known, more) = match write(known, file, (run, afresh), &taken.0) {
            Ok(written) => written,
            Err(e) => {
                self.put_back(taken);
                return Err(e);
            }
        };
        let lost = taken.1 + more;
        if let Err(error) = count(&mut known.store, lost) {
            tracing::info!(%error, lost, "requests that had no room are counted later");
            self.put_back((Requests::new(), lost));
        }
        *open = Some(known);
        Ok(())
    }
}

/// Requests by their hour and what they have in common: how many, the first, the last.
type Requests = HashMap<(Ts, Seen), (u64, Ts, Ts)>;

/// Adds them to a store, which is opened where it is not; gives it, and how many requests it had no room for.
fn write(
    known: Option<Open>,
    file: &Path,
    (run, afresh): (&str, bool),
    cells: &Requests,
) -> Result<(Open, u64)> {
    let row = |((hour, seen), (requests, first, last)): (&(Ts, Seen), &(u64, Ts, Ts))| CellRow {
        hour: *hour,
        cell: seen.to_cell(),
        requests: *requests,
        first: *first,
        last: *last,
    };
    let mut rows: Vec<CellRow> = cells.iter().map(row).collect();
    rows.sort_unstable_by(|a, b| (a.hour, &a.cell).cmp(&(b.hour, &b.cell)));
    let mut known = known.map_or_else(|| Open::of(file), Ok)?;
    if afresh {
        known.store.clear_cells(run)?;
    }
    let more = known.store.add_cells(run, &rows)?;
    Ok((known, more))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Ts = Ts(1_795_000_000_000_000_000 - 1_795_000_000_000_000_000_i64.rem_euclid(HOUR_NS));

    fn seen(ip: &str) -> Seen {
        let none: Arc<str> = "".into();
        Seen {
            zone: Arc::clone(&none),
            ip: ip.parse().unwrap(),
            host: Arc::clone(&none),
            method: Arc::clone(&none),
            path: Arc::clone(&none),
            agent: Arc::clone(&none),
            prints: Vec::new(),
            sessions: Vec::new(),
            account: None,
            api_key: None,
            country: None,
            network: None,
        }
    }

    /// How many requests each cell in a store has.
    fn stored(file: &Path) -> Vec<u64> {
        let (store, mut all) = (Store::open(file).unwrap(), Vec::new());
        let take = |c: CellRow| {
            all.push(c.requests);
            Ok::<_, sidetap_store::StoreError>(())
        };
        store.each_cell_between("r", Ts(0), Ts(i64::MAX), take).unwrap();
        all
    }

    #[test]
    fn requests_that_the_store_did_not_take_are_stored_later() {
        let dir = tempfile::tempdir().unwrap();
        let cells = Cells::new(Arc::new(Addresses::default()));
        let see = |ip: &str| {
            let mut this = cells.collected.lock().unwrap();
            this.cells.entry((HOUR, seen(ip))).or_insert((0, HOUR, HOUR)).0 += 1;
        };
        ["203.0.113.1", "203.0.113.1", "203.0.113.2"].into_iter().for_each(see);
        let file = dir.path().join("s.db");
        assert!(cells.store(dir.path(), "r", false).is_err(), "no store is there");
        see("203.0.113.2");
        cells.store(&file, "r", false).unwrap();
        assert_eq!(stored(&file), [2, 2]);
    }

    #[test]
    fn requests_go_to_the_store_that_is_there_now_and_its_bounds_are_looked_at_again() {
        let dir = tempfile::tempdir().unwrap();
        let cells = Cells::new(Arc::new(Addresses::default()));
        let see = |ip: &str| {
            let mut this = cells.collected.lock().unwrap();
            this.cells.entry((HOUR, seen(ip))).or_insert((0, HOUR, HOUR)).0 += 1;
        };
        let (file, other) = (dir.path().join("s.db"), dir.path().join("other.db"));
        let opened = || cells.storing.lock().unwrap().as_ref().map(|open| open.since);
        see("203.0.113.1");
        cells.store(&file, "r", false).unwrap();
        let first = opened();
        see("203.0.113.1");
        cells.store(&file, "r", false).unwrap();
        assert_eq!((stored(&file), opened()), (vec![2], first), "it stays open");
        // A minute later it is opened anew.
        cells.storing.lock().unwrap().as_mut().unwrap().since = first.unwrap().checked_sub(OPEN).unwrap();
        see("203.0.113.1");
        cells.store(&file, "r", false).unwrap();
        assert!(opened() >= first && stored(&file) == [3]);
        // Somebody puts a copy in its place.
        drop(Store::open(&other).unwrap());
        for log in ["s.db-wal", "s.db-shm"] {
            let _ = std::fs::remove_file(dir.path().join(log));
        }
        std::fs::remove_file(&file).unwrap();
        std::fs::hard_link(&other, &file).unwrap();
        see("203.0.113.2");
        cells.store(&file, "r", false).unwrap();
        assert_eq!(stored(&file), [1]);
        // Or removes it: there is a new one.
        std::fs::remove_file(&file).unwrap();
        see("203.0.113.3");
        cells.store(&file, "r", false).unwrap();
        assert_eq!(stored(&file), [1]);
    }

    #[test]
    fn requests_that_are_stored_are_not_stored_again_where_what_was_left_out_cannot_be_counted() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s.db");
        let cells = Cells::new(Arc::new(Addresses::default()));
        {
            let mut this = cells.collected.lock().unwrap();
            this.cells.insert((HOUR, seen("203.0.113.1")), (2, HOUR, HOUR));
            this.left_out = 5;
        }
        for _ in 0..2 {
            cells.store_by(&file, ("r", false), |_, _| Err("full")).unwrap();
        }
        assert_eq!(stored(&file), [2]);
        cells.store(&file, "r", false).unwrap();
        assert_eq!(Store::open(&file).unwrap().counter("cells.not-kept").unwrap(), 5);
        assert_eq!(stored(&file), [2]);
    }
}
