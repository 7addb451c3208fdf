//! Telling people: one alert for one campaign, within a budget a day, the rest in a digest.

mod form;
mod gather;
mod kept;
mod outbox;
mod silence;
mod sink;
mod syslog;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Deserialize;
use sidetap_model::HashKey;
use sidetap_model::rows::VerdictRow;

use crate::config::ConfigError;
use crate::feed::WallClock;

use kept::KeptFile;
use outbox::Outbox;

pub use gather::{Alert, Gather, Kept};
pub use kept::Forgotten;
pub use silence::Silence;
pub use sink::{Sink, SinkConfig, SinkKind};

/// Batches of verdicts on their way to people.
const QUEUE: usize = 64;
/// How often digests are looked at.
const TICK: Duration = Duration::from_secs(10);
/// `[mitigation.alerts]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertConfig {
    /// Alerts a day at most, digests aside.
    pub budget_per_day: u32,
    /// Harm from which an alert is sent at once; what is below comes with the digest.
    pub at_once_from: u8,
    /// How often a digest is sent: `1h`; it says nothing where there is nothing.
    pub digest: String,
    /// What nobody wants to hear of.
    pub silence: Vec<Silence>,
    /// Who is told.
    pub sink: Vec<SinkConfig>,
    /// For how many seconds somebody's yes is waited for: `approval_expiry` of policy.
    #[serde(skip)]
    pub approval_s: u64,
}

impl AlertConfig {
    /// Refuses what nobody could be told by.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.made().map(|_| ())
    }

    fn made(&self) -> Result<(Vec<Sink>, Gather), ConfigError> {
        let sinks = self.sink.iter().map(|s| Sink::new(s.clone())).collect::<Result<Vec<_>, _>>()?;
        Ok((sinks, Gather::new(self)?))
    }
}

impl Default for AlertConfig {
    fn default() -> Self {
        AlertConfig {
            budget_per_day: 50,
            at_once_from: 70,
            digest: "1h".to_owned(),
            silence: Vec::new(),
            sink: Vec::new(),
            approval_s: 86_400,
        }
    }
}

/// A thread that tells people. What does not fit into its queue is counted and comes with no alert of its own.
pub struct Alerter {
    sender: SyncSender<Vec<VerdictRow>>,
    thread: JoinHandle<Vec<String>>,
    shed: u64,
}

impl Alerter {
    /// Starts it; nothing where nobody is to be told.
    pub fn start(config: &AlertConfig, clock: WallClock) -> Result<Option<Self>, ConfigError> {
        Self::start_with(config, clock, None, None)
    }

    /// The same, where what outlasts a restart is kept beside this ledger, with clients hashed by this key.
    pub fn start_with(
        config: &AlertConfig,
        clock: WallClock,
        ledger: Option<&Path>,
        key: Option<&HashKey>,
    ) -> Result<Option<Self>, ConfigError> {
        if config.sink.is_empty() {
            return Ok(None);
        }
        let (sinks, mut gather) = config.made()?;
        if let Some(key) = key {
            gather = gather.hashed(key);
        }
        let mut file = KeptFile::beside(ledger);
        gather.take_up(file.read());
        let (sender, receiver) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("sidetap-alerts".into())
            .spawn(move || run(&receiver, gather, sinks, (&clock, file)))
            .map_err(|e| ConfigError::Value(format!("alerts: {e}")))?;
        Ok(Some(Alerter { sender, thread, shed: 0 }))
    }

    /// Hands verdicts over, as policy decided them; never waits.
    pub fn hear(&mut self, verdicts: &[VerdictRow]) {
        if let Err(TrySendError::Full(_)) = self.sender.try_send(verdicts.to_vec()) {
            self.shed += 1;
        }
    }

    /// Sends what is left; gives what went wrong.
    pub fn end(self) -> Vec<String> {
        drop(self.sender);
        let mut lost = self.thread.join().unwrap_or_else(|_| vec!["alerts ended early".to_owned()]);
        if self.shed > 0 {
            lost.push(format!("{} batches of verdicts came with no alert: too many at once", self.shed));
        }
        lost
    }
}

fn run(
    receiver: &Receiver<Vec<VerdictRow>>,
    mut gather: Gather,
    sinks: Vec<Sink>,
    (clock, mut file): (&Arc<dyn Fn() -> i64 + Send + Sync>, KeptFile),
) -> Vec<String> {
    let mut outboxes: Vec<Outbox> = sinks.into_iter().map(Outbox::new).collect();
    loop {
        let (verdicts, last) = match receiver.recv_timeout(TICK) {
            Ok(verdicts) => (verdicts, false),
            Err(RecvTimeoutError::Timeout) => (Vec::new(), false),
            Err(RecvTimeoutError::Disconnected) => (Vec::new(), true),
        };
        let now = clock();
        let mut alerts = gather.hear(&verdicts, now);
        alerts.extend(gather.digest(now, last));
        for outbox in &mut outboxes {
            outbox.take(&alerts);
            outbox.send(now, last);
        }
        file.write(&mut gather, &outboxes, now, last || !alerts.is_empty());
        if last {
            return outboxes.iter().filter_map(Outbox::lost).chain(gather.forgotten().said()).collect();
        }
    }
}
