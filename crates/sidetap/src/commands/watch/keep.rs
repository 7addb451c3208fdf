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
use crate::clock::{self, Stopwatch, Took};
use crate::commands::finish::keep_evidence;
use crate::commands::inventory::keep_documents;
use crate::output::warn;

/// A thread that saves one after the other, as soon as it may again: what a killed process has not saved is lost.
pub(super) struct Keeper {
    sender: SyncSender<(Found, Progress)>,
    thread: JoinHandle<()>,
    pace: Arc<Mutex<Pace>>,
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
}

impl Keeping {
    /// Opens the store.
    pub(super) fn ready(store: &Path, interfaces: &[String], begun: Ts) -> Result<Self> {
        let store = Store::open_checked(store)?;
        store.keep_space();
        Ok(Keeping { store, interfaces: interfaces.to_vec(), begun })
    }

    /// Starts the thread.
    pub(super) fn start(self) -> Result<Keeper> {
        let (sender, receiver) = sync_channel(1);
        let pace = Arc::new(Mutex::new(Pace { busy: false, next: Instant::now() }));
        let of_thread = Arc::clone(&pace);
        let thread = std::thread::Builder::new().name("sidetap-store".into());
        let thread = thread.spawn(move || self.run(&receiver, &of_thread));
        Ok(Keeper { sender, thread: thread.context("cannot start a thread")?, pace })
    }

    fn run(mut self, receiver: &Receiver<(Found, Progress)>, pace: &Mutex<Pace>) {
        let mut told = false;
        for (found, progress) in receiver {
            let begun = Stopwatch::start();
            if let Err(e) = self.keep(found, progress)
                && !told
            {
                warn(&format!("cannot keep what was found in {}: {e:#}", self.store.path().display()));
                told = true;
            }
            let mut pace = pace.lock().unwrap_or_else(PoisonError::into_inner);
            pace.rest(begun.took(), Pace::SAVE);
            pace.busy = false;
        }
    }

    fn keep(&mut self, found: Found, progress: Progress) -> Result<()> {
        let Found { mut run, openapi, evidence, samples } = found;
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
        keep_evidence(&mut self.store, evidence, samples)?;
        self.store.keep_limits(clock::now())?;
        Ok(())
    }
}

/// Tells whether something is being saved.
pub(super) struct Saving(Arc<Mutex<Pace>>);

impl Saving {
    /// Whether something that was found is being saved at this moment.
    pub(super) fn is_on(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).busy
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
        Saving(Arc::clone(&self.pace))
    }

    /// Waits until the last one is saved.
    pub(super) fn end(self) {
        drop(self.sender);
        let _ = self.thread.join();
    }
}
