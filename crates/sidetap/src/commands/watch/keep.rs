//! Keeps in the store what a live run has found so far.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sidetap_model::Ts;
use sidetap_pipeline::{Found, Progress};
use sidetap_store::Store;

use super::live_inputs;
use super::pending::Pending;
use crate::clock::{self, Stopwatch, Took};
use crate::commands::inventory::keep_documents;
use crate::output::{note, warn};
use crate::report::count;

/// A thread that saves one after the other, as soon as it may again: what a killed process has not saved is lost.
pub(super) struct Keeper {
    sender: SyncSender<(Found, Progress)>,
    thread: JoinHandle<()>,
    pace: Arc<Mutex<Pace>>,
    pending: Arc<Mutex<Pending>>,
}

/// When to save again: saving takes a tenth of a processor and half of the time at most, building what is saved, for which traffic waits,
/// a twentieth and a fifth. Where others are busy both take longer, without taking more: what a killed process loses is no more then.
struct Pace {
    /// Something is being saved.
    busy: bool,
    next: Instant,
}

impl Pace {
    /// How many times as long as a save took to rest behind it: of the processor, and of the clock.
    const SAVE: (u32, u32) = (9, 1);
    /// The same for building it.
    const BUILD: (u32, u32) = (19, 4);
    /// The longest rest.
    const MOST: Duration = Duration::from_secs(30);

    fn rest(&mut self, took: Took, times: (u32, u32)) {
        self.next = self.next.max(Instant::now() + took.times(times).min(Self::MOST));
    }
}

/// A store that is open before rights are given up, and under which name the run is kept.
pub(super) struct Keeping {
    store: Store,
    interfaces: Vec<String>,
    begun: Ts,
    /// What the store did not take yet.
    pending: Arc<Mutex<Pending>>,
}

impl Keeping {
    /// Opens the store.
    pub(super) fn ready(store: &Path, interfaces: &[String], begun: Ts) -> Result<Self> {
        let store = Store::open_checked(store)?;
        store.keep_space();
        Ok(Keeping { store, interfaces: interfaces.to_vec(), begun, pending: Arc::default() })
    }

    /// Starts the thread.
    pub(super) fn start(self) -> Result<Keeper> {
        let (sender, receiver) = sync_channel(1);
        let pace = Arc::new(Mutex::new(Pace { busy: false, next: Instant::now() }));
        let of_thread = Arc::clone(&pace);
        let pending = Arc::clone(&self.pending);
        let thread = std::thread::Builder::new().name("sidetap-store".into());
        let thread = thread.spawn(move || self.run(&receiver, &of_thread));
        Ok(Keeper { sender, thread: thread.context("cannot start a thread")?, pace, pending })
    }

    fn run(mut self, receiver: &Receiver<(Found, Progress)>, pace: &Mutex<Pace>) {
        let mut failed = false;
        for (found, progress) in receiver {
            let begun = Stopwatch::start();
            let kept = self.keep(found, progress);
            self.tell(kept, &mut failed);
            let mut pace = pace.lock().unwrap_or_else(PoisonError::into_inner);
            pace.rest(begun.took(), Pace::SAVE);
            pace.busy = false;
        }
        if failed {
            let kept = self.settle();
            self.tell(kept, &mut failed);
        }
    }

    /// Says once that the store takes nothing, and once that it does again.
    fn tell(&self, kept: Result<usize>, failed: &mut bool) {
        let path = self.store.path().display();
        match kept {
            Ok(late) if std::mem::replace(failed, false) => {
                note(&format!("{path} is written again, with {} exchanges that waited", count(late as u64)));
            }
            Ok(_) => {}
            Err(e) if !std::mem::replace(failed, true) => {
                warn(&format!("cannot keep what was found in {path}: {e:#}; it is tried again"));
            }
            Err(_) => {}
        }
    }

    /// Writes what waits; gives how many exchanges that were.
    fn settle(&mut self) -> Result<usize> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).write(&mut self.store)
    }

    /// Saves what was found; gives how many exchanges had waited for it. All but these is said again the next time.
    fn keep(&mut self, found: Found, progress: Progress) -> Result<usize> {
        let Found { mut run, openapi, evidence, samples, missed } = found;
        let waited = {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = pending.waiting();
            pending.put(evidence, samples, missed);
            waited
        };
        let summary = &mut run.summary;
        summary.version = env!("CARGO_PKG_VERSION").to_owned();
        summary.inputs = live_inputs(self.interfaces.iter().cloned(), self.begun);
        summary.packets.total = progress.packets;
        summary.packets.decoded = progress.packets;
        summary.packets.kernel_dropped = progress.kernel_dropped;
        if summary.exchanges.total == 0 {
            summary.exchanges.total = progress.exchanges;
        }
        for input in &mut summary.inputs {
            input.last_ts = progress.now;
        }
        // Room is made before it is needed: a store that is full takes nothing in.
        self.store.keep_limits(clock::now())?;
        self.store.save_found(&run, clock::now())?;
        keep_documents(&mut self.store, &openapi)?;
        self.settle()?;
        self.store.keep_limits(clock::now())?;
        Ok(waited)
    }
}

/// Tells whether something is being saved, and forgets who is in what waits for it.
pub(super) struct Saving(Arc<Mutex<Pace>>, Arc<Mutex<Pending>>);

impl Saving {
    /// Whether something that was found is being saved at this moment.
    pub(super) fn is_on(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).busy
    }

    /// Forgets exchanges that wait and name somebody.
    pub(super) fn forget(&self, name: &str) {
        self.1.lock().unwrap_or_else(PoisonError::into_inner).forget(name);
    }
}

impl Keeper {
    /// Whether something may be saved now.
    pub(super) fn is_ready(&self) -> bool {
        let pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        !pace.busy && Instant::now() >= pace.next
    }

    /// Hands on what was found, which took so long.
    pub(super) fn offer(&self, found: Found, progress: Progress, took: Took) {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.rest(took, Pace::BUILD);
        pace.busy |= self.sender.try_send((found, progress)).is_ok();
    }

    /// What tells whether something is being saved.
    pub(super) fn state(&self) -> Saving {
        Saving(Arc::clone(&self.pace), Arc::clone(&self.pending))
    }

    /// Waits until the last one is saved.
    pub(super) fn end(self) {
        drop(self.sender);
        let _ = self.thread.join();
    }
}
