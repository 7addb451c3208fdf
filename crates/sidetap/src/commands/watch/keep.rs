//! Keeps in the store what a live run has found so far.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use sidetap_model::Ts;
use sidetap_pipeline::{Found, Progress};
use sidetap_store::Store;

use super::live_inputs;
use crate::clock;
use crate::commands::finish::keep_evidence;
use crate::commands::inventory::keep_documents;
use crate::output::warn;

/// A thread that saves; what comes while it still saves is left out, for the next one says more.
pub(super) struct Keeper {
    sender: SyncSender<(Found, Progress)>,
    thread: JoinHandle<()>,
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
        let (sender, receiver) = sync_channel(0);
        let thread =
            std::thread::Builder::new().name("sidetap-store".into()).spawn(move || self.run(&receiver));
        Ok(Keeper { sender, thread: thread.context("cannot start a thread")? })
    }

    fn run(mut self, receiver: &Receiver<(Found, Progress)>) {
        let mut told = false;
        for (found, progress) in receiver {
            if let Err(e) = self.keep(found, progress)
                && !told
            {
                warn(&format!("cannot keep what was found in {}: {e:#}", self.store.path().display()));
                told = true;
            }
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
        summary.exchanges.total = progress.exchanges;
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

impl Keeper {
    /// Hands on what was found, where nothing is being saved.
    pub(super) fn offer(&self, found: Found, progress: Progress) {
        let _ = self.sender.try_send((found, progress));
    }

    /// Waits until the last one is saved.
    pub(super) fn end(self) {
        drop(self.sender);
        let _ = self.thread.join();
    }
}
