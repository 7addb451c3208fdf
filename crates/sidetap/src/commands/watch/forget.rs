//! Forgetting beside a run that goes on: whom the store is asked to forget is forgotten in the run's memory too, and then once more in
//! what the run wrote meanwhile.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sidetap_model::Ts;
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
    /// The same for who says that the run goes on.
    beat: Store,
    run: String,
}

/// Threads that ask the store whom to forget.
pub(super) struct Forgetter {
    shared: Arc<Mutex<Shared>>,
    stop: [Sender<()>; 2],
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// Those whom the run has not heard of, with their numbers in the store.
    fresh: Vec<(i64, Forget)>,
    /// The number of the last one that it was told of, and of the last one that it has forgotten.
    told: i64,
    forgot: i64,
}

/// Somebody who is being forgotten.
struct Open {
    who: ToForget,
    since: Instant,
}

impl Forgetting {
    /// Opens the store and says that the run goes on.
    pub(super) fn ready(store: &Path, run: &str) -> Result<Self> {
        let mut beat = Store::open(store)?;
        beat.goes_on(run, clock::now())?;
        Ok(Forgetting { store: Store::open(store)?, beat, run: run.to_owned() })
    }

    /// What says that the run goes on, until the last is saved.
    pub(super) fn sign_of_life(&self) -> Option<std::fs::File> {
        self.beat.sign_of_life()
    }

    /// Starts the threads: one says that the run goes on, the other asks whom to forget and sweeps, which takes its time.
    pub(super) fn start(self, cells: Option<Cells>, saving: Option<Saving>) -> Result<Forgetter> {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let Forgetting { store, mut beat, run } = self;
        let (stop_beat, stopped) = channel::<()>();
        let name = run.clone();
        let tell = move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(GOES_ON) {
                if let Err(e) = beat.goes_on(&name, clock::now()) {
                    tracing::info!(error = %e, "the store was not told that this run goes on");
                }
            }
        };
        let beating = std::thread::Builder::new().name("sidetap-goes-on".into()).spawn(tell);
        let (stop, stopped) = channel::<()>();
        let mut work =
            Work { store, run, shared: Arc::clone(&shared), cells, saving, open: Vec::new(), last: 0 };
        let ask = move || {
            let mut failed = false;
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(ASK) {
                if let Err(e) = work.step()
                    && !std::mem::replace(&mut failed, true)
                {
                    let path = work.store.path().display();
                    warn(&format!("who is to be forgotten waits for the store: {path}: {e}"));
                }
            }
        };
        let asking = std::thread::Builder::new().name("sidetap-forget".into()).spawn(ask);
        let threads = [beating, asking].into_iter().collect::<Result<Vec<_>, _>>();
        Ok(Forgetter { shared, stop: [stop_beat, stop], threads: threads.context("cannot start a thread")? })
    }
}

impl Forgetter {
    /// Those whom the run has to forget and has not heard of.
    pub(super) fn fresh(&self) -> Vec<Forget> {
        let mut shared = locked(&self.shared);
        let fresh = std::mem::take(&mut shared.fresh);
        shared.told = fresh.last().map_or(shared.told, |(seq, _)| *seq);
        fresh.into_iter().map(|(_, who)| who).collect()
    }

    /// The run has forgotten all that it was told of; gives the number of the last one.
    pub(super) fn forgot(&self) -> i64 {
        let mut shared = locked(&self.shared);
        shared.forgot = shared.told;
        shared.forgot
    }

    /// Ends; what is not done is left in the store.
    pub(super) fn end(self) {
        drop(self.stop);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

struct Work {
    store: Store,
    run: String,
    shared: Arc<Mutex<Shared>>,
    cells: Option<Cells>,
    saving: Option<Saving>,
    open: Vec<Open>,
    /// The number of the last one that was asked for.
    last: i64,
}

impl Work {
    fn step(&mut self) -> Result<(), StoreError> {
        for who in self.store.to_forget(&self.run, self.last)? {
            self.last = who.seq;
            let forget = Forget { kind: who.kind, value: who.value.clone() };
            locked(&self.shared).fresh.push((who.seq, forget));
            self.open.push(Open { who, since: Instant::now() });
        }
        if self.open.is_empty() {
            return Ok(());
        }
        let forgot = locked(&self.shared).forgot;
        // What was found before is saved before it is swept.
        let saved = !self.saving.as_ref().is_some_and(Saving::is_on);
        let acted: BTreeMap<i64, Ts> = self
            .store
            .to_forget(&self.run, 0)?
            .iter()
            .filter_map(|who| Some((who.seq, who.acted?)))
            .collect();
        let is_ready = |open: &Open| {
            let late = open.since.elapsed() > PATIENCE;
            open.who.seq <= forgot && (late || saved && acted.contains_key(&open.who.seq))
        };
        let with_time =
            |open: &Open| ToForget { acted: acted.get(&open.who.seq).copied(), ..open.who.clone() };
        let ready: Vec<ToForget> = self.open.iter().filter(|open| is_ready(open)).map(with_time).collect();
        if let Some(cells) = &self.cells {
            ready.iter().for_each(|who| cells.forget(who.kind, &who.value));
        }
        if let Some(saving) = &self.saving {
            ready.iter().for_each(|who| saving.forget(&who.value));
        }
        self.store.forget_again(&ready)?;
        self.open.retain(|open| ready.iter().all(|who| who.seq != open.who.seq));
        Ok(())
    }
}

fn locked(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
