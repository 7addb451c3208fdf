//! A console beside a watch reaches no device and writes no policy file: it asks the process that kept its rights, by way of the store.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sidetap_console::{Control, Done, Order, PolicySave, Refused, Undo};
use sidetap_mitigation::Mode;
use sidetap_model::{HashKey, Ts};
use sidetap_store::{Ordered, Store, StoreError};

use super::{Commands, Devices, failed};
use crate::clock;
use crate::config::Config;
use crate::output::warn;

/// How long whoever acts may take to take an order up, a little longer than it is there to be taken, and to carry it out.
const TAKEN: Duration = Duration::from_secs(11);
const DONE: Duration = Duration::from_secs(45);
/// How long a store that others hold is tried to be told what was done.
const ANSWER: Duration = Duration::from_secs(1_800);
/// How often both look.
const LOOK: Duration = Duration::from_millis(200);

/// What a console can have done for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "kebab-case")]
pub(super) enum Call {
    Plan { force: bool },
    Push { order: Order },
    Undo { order: Order, what: Undo },
    Redo { what: Undo, by: String },
    Empty { by: String },
    Release { asked: Ts },
    Status,
    Test { device: String },
    SavePolicy { save: PolicySave },
}

impl Call {
    /// Whether devices may be told something else after it.
    fn changes(&self) -> bool {
        match self {
            Call::Plan { .. } | Call::Test { .. } | Call::SavePolicy { .. } => false,
            Call::Release { .. } | Call::Status => false,
            Call::Push { order } | Call::Undo { order, .. } => !order.dry_run,
            Call::Redo { .. } | Call::Empty { .. } => true,
        }
    }
}

/// Asks, and waits for what came of it.
pub(super) fn ask(store: &mut Store, run: &str, call: &Call) -> Done {
    let call = serde_json::to_string(call).map_err(failed)?;
    let Some(seq) = store.give_order(run, &call, clock::now())? else {
        return Err(Refused::Failed(
            "too many orders wait for the process that acts beside this watch".to_owned(),
        ));
    };
    let asked = Instant::now();
    loop {
        match store.order(seq)? {
            Ordered::Done(answer) => {
                // What was done is told, whether or not its row can be taken away now: it goes by itself.
                let _ = store.withdraw_order(seq);
                return serde_json::from_str::<Done>(&answer).map_err(failed)?;
            }
            Ordered::Gone => return Err(Refused::Failed("the order was lost".to_owned())),
            Ordered::Waits if asked.elapsed() > TAKEN && store.withdraw_order(seq)? => {
                return Err(Refused::Failed(
                    "the process that acts beside this watch does not answer; nothing was done".to_owned(),
                ));
            }
            Ordered::Taken if asked.elapsed() > DONE => return Err(Refused::GoingOn(seq)),
            Ordered::Waits | Ordered::Taken => std::thread::sleep(LOOK),
        }
    }
}

/// A thread that carries out what a console asks for.
pub(crate) struct Orders {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Orders {
    /// Starts it. In a dry run nothing is changed on devices by it either.
    pub(crate) fn start(
        config: &Config,
        (store, run): (&Path, &str),
        key: &HashKey,
        mode: Mode,
    ) -> Result<Self> {
        let commands = Commands::with_key(config, store, Devices::Reached, key.clone())?;
        let (mut store, run) = (Store::open(store)?, run.to_owned());
        let (stop, stopped) = channel::<()>();
        let lost: Done = Err(Refused::Failed(
            "the process that carried it out ended early; the audit tells how far it came".to_owned(),
        ));
        store.answer_left(&run, &serde_json::to_string(&lost)?)?;
        let work = move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(LOOK) {
                if let Err(e) = serve(&commands, (&mut store, &run), mode) {
                    tracing::info!(error = %e, "orders of the console wait for the store");
                }
            }
        };
        let thread = std::thread::Builder::new().name("sidetap-orders".into()).spawn(work);
        Ok(Orders { stop, thread: thread.context("cannot start a thread")? })
    }

    /// Ends it, once what it does is done.
    pub(crate) fn end(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            warn("the thread that carries out orders of the console ended early");
        }
    }
}

/// Carries out what waits.
fn serve(commands: &Commands, (store, run): (&mut Store, &str), mode: Mode) -> Result<(), StoreError> {
    while let Some((seq, call)) = store.take_order(run, clock::now())? {
        store.set_now(clock::now());
        let done = match serde_json::from_str::<Call>(&call) {
            Ok(call) if call.changes() && mode != Mode::Enforce => Err(Refused::NotAvailable(
                "way to change devices: its watch was started without --enforce".to_owned(),
            )),
            Ok(call) => carry_out(commands, store, &call),
            Err(e) => Err(failed(e)),
        };
        let answer = serde_json::to_string(&done).unwrap_or_default();
        let begun = Instant::now();
        loop {
            store.set_now(clock::now());
            match store.answer_order(seq, &answer) {
                Err(e) if e.is_busy() && begun.elapsed() < ANSWER => {}
                said => break said?,
            }
        }
    }
    Ok(())
}

fn carry_out(commands: &Commands, store: &mut Store, call: &Call) -> Done {
    match call {
        Call::Plan { force } => commands.plan(store, *force),
        Call::Push { order } => commands.push(store, order),
        Call::Undo { order, what } => commands.undo(store, order, what),
        Call::Redo { what, by } => commands.redo(store, what, by),
        Call::Empty { by } => commands.empty(store, by),
        Call::Test { device } => commands.test_device(store, device),
        Call::Release { asked } => commands.release(store, *asked),
        Call::Status => commands.status(store),
        Call::SavePolicy { save } => {
            // Whoever asks may have been taken over: what rules are is not taken on trust.
            let said = commands.check_policy(&save.text)?;
            if said.get("ok") == Some(&Value::Bool(false)) {
                let errors = said.get("errors").cloned().unwrap_or_default();
                return Err(Refused::Bad { detail: "the pack cannot be read".to_owned(), errors });
            }
            commands.save_policy(store, save)
        }
    }
}
