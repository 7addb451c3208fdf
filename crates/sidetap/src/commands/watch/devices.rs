//! A thread for each device, so that a slow one keeps no other waiting.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sidetap_mitigation::{Desired, Enforcer, Mode, PushOptions, PushReport};
use sidetap_model::ActionRow;
use sidetap_policy::{Caps, Traffic};
use sidetap_store::Store;

use crate::clock;
use crate::commands::mitigation::settle;
use crate::output::warn;

/// Lines on what went wrong that are kept.
const LINES: usize = 20;

/// What went wrong and is not mended since, told once each.
#[derive(Clone, Debug, Default)]
pub(super) struct Lost(Arc<Mutex<Vec<String>>>);

impl Lost {
    /// Says what went wrong once.
    pub(super) fn say(&self, line: String) {
        let mut lines = locked(&self.0);
        if !lines.contains(&line) && lines.len() < LINES {
            warn(&line);
            lines.push(line);
        }
    }

    /// What lines that begin so say is mended.
    pub(super) fn settled(&self, begins: &str) {
        locked(&self.0).retain(|line| !line.starts_with(begins));
    }

    /// What was in the way is over: the device is as it should be.
    fn mended(&self, device: &str) {
        let own = format!("{device}: ");
        locked(&self.0).retain(|line| !line.starts_with(&own));
    }

    /// What is left.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut locked(&self.0))
    }
}

/// What devices are to be brought to, the newest of which counts.
pub(super) struct Order {
    pub(super) wanted: Desired,
    pub(super) mode: Mode,
    /// Devices that are only told in dry runs.
    pub(super) tried: Vec<String>,
    pub(super) caps: Caps,
    pub(super) traffic: Option<Arc<Traffic>>,
}

/// The devices, each with its thread.
pub(super) struct Devices(Vec<(Arc<Desk>, JoinHandle<()>)>);

/// Where orders for one device lie.
#[derive(Default)]
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    order: Option<Arc<Order>>,
    busy: bool,
    ended: bool,
}

/// Who carries out orders for one device.
struct Worker {
    enforcer: Enforcer,
    store: Option<(Store, PathBuf)>,
    lost: Lost,
    told: Told,
}

/// Who is told of what was done, or in a dry run would have been.
pub(super) type Told = Arc<dyn Fn(&[ActionRow]) + Send + Sync>;

impl Devices {
    /// Starts the threads; where devices are to be changed, what a process left half done before is written down first.
    pub(super) fn start(
        enforcer: Enforcer,
        store: Option<&Path>,
        mode: Mode,
        lost: &Lost,
        told: &Told,
    ) -> Result<Self> {
        let mut devices = Vec::new();
        for enforcer in enforcer.apart() {
            let store = store.map(|path| Store::open(path).map(|s| (s, path.to_owned()))).transpose()?;
            let desk = Arc::new(Desk::default());
            let mut worker = Worker { enforcer, store, lost: lost.clone(), told: Arc::clone(told) };
            let at = Arc::clone(&desk);
            let work = move || {
                if let Some((store, _)) = worker.store.as_mut().filter(|_| mode == Mode::Enforce) {
                    settle(&mut worker.enforcer, store, "watch");
                }
                at.serve(|order| worker.carry_out(order));
            };
            let thread = std::thread::Builder::new().name("sidetap-device".into()).spawn(work);
            devices.push((desk, thread.context("cannot start a thread")?));
        }
        Ok(Devices(devices))
    }

    /// Tells every device; one that is still busy with an older order takes this one up after it.
    pub(super) fn tell(&self, order: Order) {
        let order = Arc::new(order);
        for (desk, _) in &self.0 {
            locked(&desk.state).order = Some(Arc::clone(&order));
            desk.changed.notify_all();
        }
    }

    /// Waits until every device has carried out what it was told.
    #[cfg(test)]
    pub(super) fn wait(&self) {
        for (desk, _) in &self.0 {
            let mut state = locked(&desk.state);
            while state.busy || state.order.is_some() {
                state = desk.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Waits for the last orders, and ends.
    pub(super) fn end(self) {
        for (desk, _) in &self.0 {
            locked(&desk.state).ended = true;
            desk.changed.notify_all();
        }
        for (_, thread) in self.0 {
            if thread.join().is_err() {
                warn("a thread that acts on a device ended early");
            }
        }
    }
}

impl Desk {
    /// Carries out the newest order, again and again, until there will be no more. `carry_out` says after how long the device has to
    /// be asked again without a new one.
    fn serve(&self, mut carry_out: impl FnMut(&Order) -> Option<Duration>) {
        let mut again: Option<(Instant, Arc<Order>)> = None;
        loop {
            let mut state = locked(&self.state);
            let order = loop {
                if let Some(order) = state.order.take() {
                    break order;
                }
                if state.ended {
                    return;
                }
                let left = again.as_ref().map(|(at, _)| at.saturating_duration_since(Instant::now()));
                match (left, again.take()) {
                    (Some(Duration::ZERO), Some((_, order))) => break order,
                    (Some(left), kept) => {
                        again = kept;
                        let waited = self.changed.wait_timeout(state, left);
                        state = waited.unwrap_or_else(PoisonError::into_inner).0;
                    }
                    _ => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                }
            };
            state.busy = true;
            drop(state);
            again = carry_out(&order).map(|after| (Instant::now() + after, order));
            locked(&self.state).busy = false;
            self.changed.notify_all();
        }
    }
}

impl Worker {
    fn carry_out(&mut self, order: &Order) -> Option<Duration> {
        self.enforcer.cap(order.caps, order.traffic.clone());
        self.enforcer.only_try(order.tried.iter().cloned());
        let options = PushOptions { actor: "watch".to_owned(), ..PushOptions::new(order.mode) };
        let report = self.enforcer.push(&order.wanted, clock::now(), &options);
        self.account(&report);
        report.connectors.iter().filter_map(|c| c.again_s).min().map(Duration::from_secs)
    }

    fn account(&mut self, report: &PushReport) {
        for c in &report.connectors {
            match c.outcome.as_str() {
                "failed" | "held" => self.lost.say(format!("{}: {}: {}", c.name, c.outcome, c.answer)),
                "done" | "unchanged" => self.lost.mended(&c.name),
                _ => {}
            }
        }
        let risks =
            report.connectors.iter().filter_map(|c| Some(format!("{}: {}", c.name, c.risk.as_ref()?)));
        risks.chain(report.notes.iter().cloned()).for_each(|said| self.lost.say(said));
        (self.told)(&report.actions);
        if report.mode == Mode::Enforce
            && let Some((store, path)) = &mut self.store
            && let Err(e) = store.record_actions(&report.actions)
        {
            self.lost.say(format!("cannot write the audit to {}: {e}", path.display()));
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn order(mark: &str) -> Arc<Order> {
        Arc::new(Order {
            wanted: Desired::default(),
            mode: Mode::DryRun,
            tried: vec![mark.to_owned()],
            caps: Caps::default(),
            traffic: None,
        })
    }

    #[test]
    fn the_newest_order_counts_and_is_asked_for_again() {
        let desk = Arc::new(Desk::default());
        let (begun, told) = channel();
        let (go, wait) = channel::<Option<Duration>>();
        let at = Arc::clone(&desk);
        let thread = std::thread::spawn(move || {
            at.serve(|order| {
                begun.send(order.tried.concat()).unwrap();
                wait.recv().unwrap()
            });
        });
        let put = |mark: &str| {
            locked(&desk.state).order = Some(order(mark));
            desk.changed.notify_all();
        };
        put("a");
        assert_eq!(told.recv().unwrap(), "a");
        put("b");
        put("c");
        go.send(None).unwrap();
        assert_eq!(told.recv().unwrap(), "c", "what is out of date is passed over");
        go.send(Some(Duration::from_millis(5))).unwrap();
        assert_eq!(told.recv().unwrap(), "c", "a device that waits is asked again by itself");
        locked(&desk.state).ended = true;
        go.send(None).unwrap();
        thread.join().unwrap();
    }
}
