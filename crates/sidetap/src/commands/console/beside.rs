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
    /// Whether it only asks devices: it may have to wait for one that hangs, and what changes something waits for none of that.
    fn looks(&self) -> bool {
        match self {
            Call::Plan { .. } | Call::Status | Call::Test { .. } => true,
            Call::Push { order } | Call::Undo { order, .. } => order.dry_run,
            Call::Redo { .. } | Call::Empty { .. } | Call::Release { .. } | Call::SavePolicy { .. } => false,
        }
    }

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
    let desk = if call.looks() { looks_of(run) } else { run.to_owned() };
    let call = serde_json::to_string(call).map_err(failed)?;
    let Some(seq) = store.give_order(&desk, &call, clock::now())? else {
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

/// The name under which a run is asked for looks at devices.
fn looks_of(run: &str) -> String {
    format!("{run}/looks")
}

/// Threads that carry out what a console asks for: one changes things, the other looks at devices, which may take as long as they do.
pub(crate) struct Orders(Vec<(Sender<()>, JoinHandle<()>)>);

impl Orders {
    /// Starts them. In a dry run nothing is changed on devices by them either.
    pub(crate) fn start(
        config: &Config,
        (store, run): (&Path, &str),
        key: &HashKey,
        mode: Mode,
    ) -> Result<Self> {
        let desk = |name: String| {
            let commands = Commands::with_key(config, store, Devices::Reached, key.clone())?;
            start(commands, (Store::open(store)?, name), mode)
        };
        Ok(Orders(vec![desk(run.to_owned())?, desk(looks_of(run))?]))
    }

    /// Ends them, once what they do is done.
    pub(crate) fn end(self) {
        let threads: Vec<JoinHandle<()>> = self.0.into_iter().map(|(_, thread)| thread).collect();
        for thread in threads {
            if thread.join().is_err() {
                warn("a thread that carries out orders of the console ended early");
            }
        }
    }
}

/// Starts the thread of one desk.
fn start(
    commands: Commands,
    (mut store, desk): (Store, String),
    mode: Mode,
) -> Result<(Sender<()>, JoinHandle<()>)> {
    let (stop, stopped) = channel::<()>();
    let lost: Done = Err(Refused::Failed(
        "the process that carried it out ended early; the audit tells how far it came".to_owned(),
    ));
    store.answer_left(&desk, &serde_json::to_string(&lost)?)?;
    let work = move || {
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(LOOK) {
            if let Err(e) = serve(&commands, (&mut store, &desk), mode) {
                tracing::info!(error = %e, "orders of the console wait for the store");
            }
        }
    };
    let thread = std::thread::Builder::new().name("sidetap-orders".into()).spawn(work);
    Ok((stop, thread.context("cannot start a thread")?))
}

/// Carries out what waits. Looks that wait for the same are one.
fn serve(commands: &Commands, (store, desk): (&mut Store, &str), mode: Mode) -> Result<(), StoreError> {
    while let Some((seq, text)) = store.take_order(desk, clock::now())? {
        store.set_now(clock::now());
        let mut waiting = vec![seq];
        let done = match serde_json::from_str::<Call>(&text) {
            Ok(call) if call.changes() && mode != Mode::Enforce => Err(Refused::NotAvailable(
                "way to change devices: its watch was started without --enforce".to_owned(),
            )),
            Ok(call) => {
                if call.looks() {
                    waiting.extend(store.take_same_orders(desk, &text, clock::now()).unwrap_or_default());
                }
                carry_out(commands, store, &call)
            }
            Err(e) => Err(failed(e)),
        };
        let answer = serde_json::to_string(&done).unwrap_or_default();
        let begun = Instant::now();
        for seq in waiting {
            loop {
                store.set_now(clock::now());
                match store.answer_order(seq, &answer) {
                    Err(e) if e.is_busy() && begun.elapsed() < ANSWER => {}
                    said => break said?,
                }
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A device that takes connections and never answers; counts them.
    fn hangs() -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (at, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for connection in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                held.push(connection);
            }
        });
        (format!("http://{at}"), asked)
    }

    /// A site with that device.
    fn with_device(url: &str, dir: &Path) -> Config {
        let text = format!(
            "[analysis]\nhash_key = {:?}\n[[mitigation.nginx_plus]]\nurl = \"{url}/api/9\"\nhttp = {{ timeout_s = 4 }}\n",
            dir.join("key")
        );
        crate::config::parse(Path::new("x"), &text).unwrap()
    }

    #[test]
    fn what_changes_something_waits_for_no_look_at_a_device_that_hangs() {
        let dir = tempfile::tempdir().unwrap();
        let (url, asked) = hangs();
        let config = with_device(&url, dir.path());
        let file = dir.path().join("s.db");
        let mut store = Store::open(&file).unwrap();
        let key = HashKey::from_bytes([7; 16]);
        let orders = Orders::start(&config, (&file, "r"), &key, Mode::Enforce).unwrap();
        let looks: Vec<JoinHandle<Done>> = (0..LOOKS)
            .map(|n| {
                let mut store = Store::open(&file).unwrap();
                std::thread::sleep(Duration::from_millis(if n == 1 { 700 } else { 0 }));
                std::thread::spawn(move || ask(&mut store, "r", &Call::Status))
            })
            .collect();
        let before = Instant::now();
        let redo = Call::Redo { what: Undo::All, by: "ada".to_owned() };
        let mut dry = Vec::new();
        ask(&mut store, "r", &redo).unwrap();
        assert!(before.elapsed() < Duration::from_secs(3), "it waited {:?}", before.elapsed());
        assert!(looks.iter().all(|l| !l.is_finished()), "they wait for the device");
        // What only shows what would go does not keep anything waiting either.
        let dry_run = Order { force: false, dry_run: true, by: "ada".to_owned() };
        let undo = Call::Undo { order: dry_run.clone(), what: Undo::All };
        for look in [undo, Call::Push { order: dry_run }] {
            let mut store = Store::open(&file).unwrap();
            dry.push(std::thread::spawn(move || ask(&mut store, "r", &look)));
        }
        std::thread::sleep(Duration::from_millis(700));
        let before = Instant::now();
        ask(&mut store, "r", &redo).unwrap();
        assert!(before.elapsed() < Duration::from_secs(3), "it waited {:?}", before.elapsed());
        for look in looks {
            let said = look.join().unwrap().unwrap();
            assert!(said["devices"][0]["error"].as_str().unwrap().contains("no answer"), "{said}");
        }
        for look in dry {
            drop(look.join().unwrap());
        }
        // One look is for all that were asked for while another one went on.
        assert!(asked.load(Ordering::SeqCst) < LOOKS + 2, "{asked:?}");
        orders.end();
    }

    const LOOKS: usize = 5;

    #[test]
    fn without_a_watch_an_order_waits_for_no_plan_either() {
        let dir = tempfile::tempdir().unwrap();
        let (url, _) = hangs();
        let config = with_device(&url, dir.path());
        let file = dir.path().join("s.db");
        let mut store = Store::open(&file).unwrap();
        let commands = Commands::new(&config, &file, Devices::Reached).unwrap();
        std::thread::scope(|scope| {
            let plan = scope.spawn(|| commands.plan(&mut Store::open(&file).unwrap(), false));
            std::thread::sleep(Duration::from_millis(700));
            let before = Instant::now();
            commands.redo(&mut store, &Undo::All, "ada").unwrap();
            assert!(before.elapsed() < Duration::from_secs(2), "it waited {:?}", before.elapsed());
            assert!(!plan.is_finished(), "it waits for the device");
            plan.join().unwrap().unwrap();
        });
    }
}
