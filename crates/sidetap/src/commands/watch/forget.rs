//! Forgetting beside a run that goes on: whom the store is asked to forget is forgotten in the run's memory too, and then once more in
//! what the run wrote meanwhile.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sidetap_pipeline::Forget;
use sidetap_store::{Store, StoreError, ToForget};

use super::keep::Saving;
use crate::clock;
use crate::commands::cells::Cells;
use crate::output::warn;

/// How often the store is asked.
const ASK: Duration = Duration::from_millis(500);
/// How often it is told that the run goes on.
const GOES_ON: Duration = Duration::from_secs(5);
/// How long whoever acts on devices is waited for, and what is being saved.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store that is open before rights are given up.
pub(super) struct Forgetting {
    store: Store,
    run: String,
}

/// A thread that asks the store whom to forget.
pub(super) struct Forgetter {
    shared: Arc<Mutex<Shared>>,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    /// Those whom the run has not heard of.
    fresh: Vec<Forget>,
    /// How many it was told of, and how many it has forgotten.
    told: usize,
    forgot: usize,
}

/// Somebody who is being forgotten.
struct Open {
    who: ToForget,
    /// The run has forgotten them when it has forgotten so many.
    after: usize,
    since: Instant,
}

impl Forgetting {
    /// Opens the store and says that the run goes on.
    pub(super) fn ready(store: &Path, run: &str) -> Result<Self> {
        let store = Store::open(store)?;
        store.goes_on(run, clock::now())?;
        Ok(Forgetting { store, run: run.to_owned() })
    }

    /// Starts the thread.
    pub(super) fn start(self, cells: Option<Cells>, saving: Option<Saving>) -> Result<Forgetter> {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let (stop, stopped) = channel::<()>();
        let of_thread = Arc::clone(&shared);
        let mut work =
            Work { store: self.store, run: self.run, shared: of_thread, cells, saving, open: Vec::new() };
        let ask = move || {
            let (mut last, mut told, mut failed) = (0, Instant::now(), false);
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(ASK) {
                let beat = told.elapsed() >= GOES_ON;
                if beat {
                    told = Instant::now();
                }
                if let Err(e) = work.step(&mut last, beat)
                    && !std::mem::replace(&mut failed, true)
                {
                    let path = work.store.path().display();
                    warn(&format!("nobody can be forgotten by this run: {path}: {e}"));
                }
            }
        };
        let thread = std::thread::Builder::new().name("sidetap-forget".into()).spawn(ask);
        Ok(Forgetter { shared, stop, thread: thread.context("cannot start a thread")? })
    }
}

impl Forgetter {
    /// Those whom the run has to forget and has not heard of.
    pub(super) fn fresh(&self) -> Vec<Forget> {
        let mut shared = locked(&self.shared);
        let fresh = std::mem::take(&mut shared.fresh);
        shared.told += fresh.len();
        fresh
    }

    /// The run has forgotten all that it was told of.
    pub(super) fn forgot(&self) {
        let mut shared = locked(&self.shared);
        shared.forgot = shared.told;
    }

    /// Ends; what is not done is left in the store.
    pub(super) fn end(self) {
        drop(self.stop);
        let _ = self.thread.join();
    }
}

struct Work {
    store: Store,
    run: String,
    shared: Arc<Mutex<Shared>>,
    cells: Option<Cells>,
    saving: Option<Saving>,
    open: Vec<Open>,
}

impl Work {
    fn step(&mut self, last: &mut i64, beat: bool) -> Result<(), StoreError> {
        if beat {
            self.store.goes_on(&self.run, clock::now())?;
        }
        let asked = self.store.to_forget(&self.run, *last)?;
        if let Some(newest) = asked.last() {
            *last = newest.seq;
            let mut shared = locked(&self.shared);
            for who in asked {
                shared.fresh.push(Forget { kind: who.kind, value: who.value.clone() });
                let after = shared.told + shared.fresh.len();
                self.open.push(Open { who, after, since: Instant::now() });
            }
        }
        if self.open.is_empty() {
            return Ok(());
        }
        let forgot = locked(&self.shared).forgot;
        let acted = self.store.to_forget(&self.run, 0)?;
        let mut left = Vec::new();
        for open in std::mem::take(&mut self.open) {
            let has_acted = acted.iter().all(|a| a.seq != open.who.seq || a.acted);
            // What was found before is saved before it is swept.
            let saved = !self.saving.as_ref().is_some_and(Saving::is_on);
            let late = open.since.elapsed() > PATIENCE;
            if open.after > forgot || !(late || has_acted && saved) {
                left.push(open);
                continue;
            }
            if let Some(cells) = &self.cells {
                cells.forget(open.who.kind, &open.who.value);
            }
            self.store.forget_again(&open.who)?;
        }
        self.open = left;
        Ok(())
    }
}

fn locked(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
