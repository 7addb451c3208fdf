//! Acts on verdicts beside the data path: decides, stores, brings devices to what is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;
use sidetap_mitigation::alert::Alerter;
use sidetap_mitigation::feed::system_clock;
use sidetap_mitigation::{Enforcer, Mode, PushOptions, PushReport};
use sidetap_model::rows::{RunData, Summary, VerdictRow};
use sidetap_model::{HashKey, Ts};
use sidetap_policy::{Known, Places};
use sidetap_store::{Store, run_id};

use super::act::Actor;
use super::live_inputs;
use crate::cli::{ActArgs, GlobalArgs, SourceArgs};
use crate::clock;
use crate::commands::gate::{self, Approving};
use crate::commands::mitigation::{cap, desired_of, enforcer, ledger_of};
use crate::commands::policy::{Policies, known_of, policies};
use crate::commands::prepare::Plan;
use crate::config::Config;
use crate::output::{plain, warn};

/// Batches on their way.
pub(super) const QUEUE: usize = 64;
/// Verdicts that are remembered for devices at most.
const VERDICTS: usize = 100_000;

/// Between two looks at whether the process that acts is still there.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// A thread that acts, itself or by way of another process.
pub(super) struct Enforcement {
    sender: SyncSender<Vec<VerdictRow>>,
    thread: JoinHandle<Vec<String>>,
}

/// Who acts.
pub(super) enum Actors {
    /// Nobody but the store hears of verdicts: this process.
    Here(Box<Acting>),
    /// There are devices: a process that kept its rights.
    Beside(Actor),
}

/// Decides on verdicts, keeps them, and brings devices to what they ask for.
pub(super) struct Acting {
    config: Config,
    policies: Policies,
    store: Option<(Store, PathBuf, String)>,
    enforcer: Option<Enforcer>,
    alerter: Option<Alerter>,
    mode: Mode,
    reconcile: Duration,
    verdicts: BTreeMap<String, VerdictRow>,
    known: Known,
    looked: Option<Looked>,
    /// Somebody was convicted since the last look.
    news: bool,
    switch: Option<PathBuf>,
    lost: Vec<String>,
    /// What devices were told before this watch began.
    before: BTreeSet<String>,
}

/// When the store was looked at, and how long that took.
#[derive(Clone, Copy)]
struct Looked {
    at: Instant,
    took: Duration,
}

/// Between two looks at what the store remembers: traffic to measure by, who was acted against before.
const LOOK: Duration = Duration::from_secs(300);
/// The same where somebody was convicted meanwhile, whose requests counted as good before.
const LOOK_SOON: Duration = Duration::from_secs(5);
/// Of the time, a look takes one part of so many at most.
const LOOK_SHARE: u32 = 20;

impl Actors {
    /// Makes ready, without a thread: rights can be given up after it.
    pub(super) fn ready(global: &GlobalArgs, config: &Config, plan: &Plan, args: &ActArgs) -> Result<Self> {
        if config.mitigation.is_empty() && config.mitigation.alerts.sink.is_empty() {
            let key = &plan.options.hash_key;
            let (store, begun) = (plan.store.as_deref(), Ts(args.begun));
            let acting = Acting::new(config, store, key, begun, &args.interfaces, args.enforce)?;
            return Ok(Actors::Here(Box::new(acting)));
        }
        Ok(Actors::Beside(Actor::start(global, args)?))
    }
}

impl Enforcement {
    /// Starts the thread.
    pub(super) fn start(actors: Actors) -> Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let act = move || match actors {
            Actors::Here(acting) => acting.run(&receiver),
            Actors::Beside(mut actor) => loop {
                match receiver.recv_timeout(LOOK_AFTER) {
                    Ok(verdicts) => actor.send(&verdicts),
                    Err(RecvTimeoutError::Timeout) => actor.look_after(),
                    Err(RecvTimeoutError::Disconnected) => return actor.end(),
                }
            },
        };
        let thread = std::thread::Builder::new()
            .name("sidetap-enforce".into())
            .spawn(act)
            .context("cannot start a thread")?;
        Ok(Enforcement { sender, thread })
    }

    /// Where changed verdicts go.
    pub(super) fn sender(&self) -> SyncSender<Vec<VerdictRow>> {
        self.sender.clone()
    }

    /// Waits until all that was sent is acted on; gives what went wrong. All other senders must be gone.
    pub(super) fn end(self) -> Vec<String> {
        drop(self.sender);
        self.thread.join().unwrap_or_else(|_| vec!["the thread that acts on verdicts ended early".to_owned()])
    }
}

impl Acting {
    /// Opens the store and the connectors.
    pub(super) fn new(
        config: &Config,
        store: Option<&Path>,
        key: &HashKey,
        begun: Ts,
        interfaces: &[String],
        enforce: bool,
    ) -> Result<Self> {
        let mut config = config.clone();
        let source = SourceArgs { run: None, store: store.map(Path::to_owned) };
        let enforcer = enforcer(&mut config, &source)?;
        let inputs = live_inputs(interfaces.iter().cloned(), begun);
        let run = run_id(&Summary { inputs, ..Summary::default() });
        let store = store.map(|path| Store::open(path).map(|s| (s, path.to_owned(), run))).transpose()?;
        Ok(Acting {
            policies: policies(&config)?.hashed(key),
            store,
            enforcer: (!enforcer.connectors().is_empty()).then_some(enforcer),
            alerter: Alerter::start(&config.mitigation.alerts, system_clock())?,
            mode: if enforce { Mode::Enforce } else { Mode::DryRun },
            reconcile: config.mitigation.reconcile()?,
            verdicts: BTreeMap::new(),
            known: Known::default(),
            looked: None,
            news: false,
            switch: gate::switch_of(&config, ledger_of(&config, &source).as_deref()),
            lost: Vec::new(),
            before: BTreeSet::new(),
            config,
        })
    }

    /// Acts until there are no more verdicts; gives what went wrong.
    pub(super) fn run(mut self, receiver: &Receiver<Vec<VerdictRow>>) -> Vec<String> {
        self.begin();
        loop {
            match receiver.recv_timeout(self.reconcile) {
                Ok(batch) => {
                    let mut asked = batch.is_empty();
                    let mut changed = batch;
                    for more in receiver.try_iter() {
                        asked |= more.is_empty();
                        changed.extend(more);
                    }
                    self.look(&changed);
                    self.reread(asked);
                    self.decide(changed);
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.look(&[]);
                    self.reread(false);
                }
                Err(RecvTimeoutError::Disconnected) => return self.end(),
            }
            self.push();
        }
    }

    /// Takes up what devices were told before this watch began, so that it lets nobody go: verdicts that the store still has, with those
    /// that were asked about, are decided anew; what is told for others stays until it is over.
    fn begin(&mut self) {
        let Some(enforcer) = &self.enforcer else { return };
        let now = clock::now();
        let live = enforcer.ledger().entries.iter().filter(|(_, e)| e.expires_at > now.secs());
        // Rules over requests are told by their rules, which are read anew.
        self.before = live.map(|(id, _)| id.clone()).filter(|id| !id.starts_with("p-")).collect();
        self.look(&[]);
        let Some((store, path, run)) = &self.store else { return };
        let is_open = |state: &str| matches!(state, "pending" | "approved");
        let earlier = store.approvals(now).and_then(|asked| {
            let asked = asked.into_iter().filter(|a| is_open(&a.state) && a.expires_at > now);
            let asked: BTreeSet<String> = asked.map(|a| a.verdict).collect();
            let rows = store.verdicts_of_others(run)?.into_iter();
            // Of several runs the last one counts.
            let rows = rows.filter(|v| self.before.contains(&v.id) || asked.contains(&v.id));
            Ok(rows.map(|v| (v.id.clone(), v)).collect::<BTreeMap<String, VerdictRow>>())
        });
        match earlier {
            Ok(earlier) => {
                let mut earlier: Vec<VerdictRow> = earlier.into_values().take(VERDICTS).collect();
                self.judge(&mut earlier);
                self.verdicts.extend(earlier.into_iter().map(|v| (v.id.clone(), v)));
            }
            Err(e) => warn(&format!(
                "what was pushed before cannot be decided anew, and stays until it is over: {}: {e}",
                path.display()
            )),
        }
    }

    /// Gives what went wrong, once people have been told what is left.
    fn end(mut self) -> Vec<String> {
        self.lost.extend(self.alerter.take().map(Alerter::end).into_iter().flatten());
        self.lost
    }

    /// Looks at what the store remembers, now and then; sooner where these verdicts, or some since the last look, convict somebody.
    fn look(&mut self, changed: &[VerdictRow]) {
        self.news |= changed.iter().any(|v| self.is_news(v));
        let Some((store, path, run)) = &self.store else { return };
        let pause = |took: Duration| if self.news { LOOK_SOON.max(took * LOOK_SHARE) } else { LOOK };
        if self.looked.is_some_and(|l| l.at.elapsed() < pause(l.took)) {
            return;
        }
        let first = self.looked.is_none();
        let begun = Instant::now();
        let verdicts = self.verdicts.values().chain(changed).cloned().collect();
        let own = RunData { verdicts, ..RunData::default() };
        let history = std::mem::take(&mut self.known.history);
        self.known = known_of(&own, run, Some(path), self.config.policy.measured_span);
        if !first {
            self.known.history = history;
        }
        match store.load_endpoints() {
            Ok(endpoints) => self.known.places = Places::of(&endpoints),
            Err(e) => tracing::debug!(error = %e, "no endpoints in the store"),
        }
        if let Some(enforcer) = &mut self.enforcer {
            cap(enforcer, &self.policies, self.known.traffic.clone());
        }
        self.looked = Some(Looked { at: Instant::now(), took: begun.elapsed() });
        self.news = false;
        self.judge_held();
    }

    fn is_news(&self, v: &VerdictRow) -> bool {
        v.intent == "malicious" && self.verdicts.get(&v.id).is_none_or(|old| old.intent != "malicious")
    }

    /// Decides those again that a guard held by the traffic known before. Others keep what was decided: once a device refuses a tool,
    /// nobody with that tool can be told from the honest any more.
    fn judge_held(&mut self) {
        let held = |v: &&VerdictRow| v.policy.as_deref().is_some_and(|p| p.starts_with("guard:"));
        let mut again: Vec<VerdictRow> = self.verdicts.values().filter(held).cloned().collect();
        self.judge(&mut again);
        self.verdicts.extend(again.into_iter().map(|v| (v.id.clone(), v)));
    }

    /// Reads the policy again where its files changed, or where somebody asks; between two batches, so that one epoch is decided by
    /// one policy.
    fn reread(&mut self, asked: bool) {
        let read = if asked { self.policies.reread_anyway() } else { self.policies.reread() };
        let Some(read) = read else { return };
        let (action, detail) = match read {
            Ok(()) => {
                let packs = self.policies.set().revisions();
                warn(&format!("policy read again: {}", packs.join(", ")));
                ("policy.load", json!({ "packs": packs }))
            }
            Err(errors) => {
                let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
                errors.iter().for_each(|e| warn(&format!("the policy stays as it was: {e}")));
                ("policy.refused", json!({ "errors": errors }))
            }
        };
        if let Some((store, path, _)) = &mut self.store
            && let Err(e) = store.note("watch", action, detail, clock::now())
        {
            let line = format!("cannot write the audit to {}: {e}", path.display());
            self.lose(line);
        }
        if let Some(enforcer) = &mut self.enforcer {
            cap(enforcer, &self.policies, self.known.traffic.clone());
        }
        let mut all: Vec<VerdictRow> = self.verdicts.values().cloned().collect();
        self.judge(&mut all);
        self.verdicts = all.into_iter().map(|v| (v.id.clone(), v)).collect();
    }

    /// Decides all of these together, so that addresses that lie close to one another can become a network.
    fn judge(&self, verdicts: &mut [VerdictRow]) {
        self.policies.set().apply_in(verdicts, &[], &self.known);
    }

    fn decide(&mut self, mut changed: Vec<VerdictRow>) {
        self.judge(&mut changed);
        for verdict in &changed {
            self.known.history.record(verdict);
            if self.is_news(verdict) {
                announce(verdict);
            }
        }
        if let Some((store, path, run)) = &mut self.store
            && let Err(e) = store.save_verdicts(run, &changed, clock::now())
        {
            let line = format!("cannot keep verdicts in {}: {e}", path.display());
            self.lose(line);
        }
        if let Some(alerter) = &mut self.alerter {
            alerter.hear(&changed);
        }
        for verdict in changed {
            if self.verdicts.len() < VERDICTS || self.verdicts.contains_key(&verdict.id) {
                self.verdicts.insert(verdict.id.clone(), verdict);
            }
        }
    }

    /// Brings devices to what all verdicts so far ask for; in a dry run only what would be done is worked out.
    fn push(&mut self) {
        if self.enforcer.is_none() {
            return;
        }
        let mut verdicts: Vec<VerdictRow> = self.verdicts.values().cloned().collect();
        verdicts.extend(self.policies.set().standing(clock::now(), self.known.traffic.as_ref()));
        let mut wanted = match desired_of(&verdicts, &self.policies, &self.config) {
            Ok(wanted) => wanted,
            Err(e) => return self.lose(format!("{e:#}")),
        };
        let unknown = self.before.iter().filter(|id| !self.verdicts.contains_key(*id));
        wanted.keep = unknown.cloned().collect();
        let store = self.store.as_mut().map(|(store, ..)| store);
        let approving = Approving::of(&self.config, store.as_deref(), self.mode == Mode::Enforce);
        let modes = store.as_deref().map(gate::modes).unwrap_or_default();
        gate::hold(&mut wanted, &verdicts, self.switch.as_deref(), store, &approving);
        let Some(enforcer) = &mut self.enforcer else { return };
        enforcer.only_try(gate::in_mode(&self.config, &modes, sidetap_model::Mode::DryRun));
        let options = PushOptions { actor: "watch".to_owned(), ..PushOptions::new(self.mode) };
        let report = enforcer.push(&wanted, clock::now(), &options);
        self.account(&report);
    }

    fn account(&mut self, report: &PushReport) {
        for c in &report.connectors {
            match c.outcome.as_str() {
                "failed" | "held" => self.lose(format!("{}: {}: {}", c.name, c.outcome, c.answer)),
                // What was in the way is over: the device is as it should be.
                "done" | "unchanged" => {
                    let own = format!("{}: ", c.name);
                    self.lost.retain(|line| !line.starts_with(&own));
                }
                _ => {}
            }
        }
        if report.mode == Mode::Enforce
            && let Some((store, path, _)) = &mut self.store
            && let Err(e) = store.record_actions(&report.actions)
        {
            let line = format!("cannot write the audit to {}: {e}", path.display());
            self.lose(line);
        }
    }

    /// Says what went wrong once.
    fn lose(&mut self, line: String) {
        if !self.lost.contains(&line) && self.lost.len() < 20 {
            warn(&line);
            self.lost.push(line);
        }
    }
}

fn announce(v: &VerdictRow) {
    let why = v.reasons.first().map_or("", |r| &*r.observed);
    warn(&format!(
        "{} {} {} harm {} {} ({}): {}",
        v.detected_at,
        v.class.as_deref().unwrap_or("malicious"),
        v.subject.kind,
        v.score,
        plain(&v.subject.value),
        v.response,
        plain(why)
    ));
}

#[cfg(test)]
mod tests {
    use sidetap_mitigation::{Desired, Want};
    use sidetap_model::rows::Subject;
    use sidetap_model::{Measures, SubjectKind};
    use sidetap_policy::Response;

    use super::*;

    fn want(id: &str, ip: &str) -> Want {
        Want {
            verdict: id.to_owned(),
            zone: String::new(),
            subject: Subject { kind: SubjectKind::Ip, value: ip.to_owned(), parts: Default::default() },
            response: Response::Block,
            ttl_s: 600,
            score: 90,
            detected_at: clock::now(),
            last_seen: clock::now(),
            stale: false,
            measures: Measures::default(),
        }
    }

    #[test]
    fn a_watch_that_begins_again_lets_nobody_go_and_the_switch_everybody() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let (ledger, feed) = (at("ledger"), at("feed"));
        let text = format!("[mitigation]\nstate = \"{ledger}\"\n[[mitigation.feed]]\npath = \"{feed}\"\n");
        std::fs::write(at("c.toml"), text).unwrap();
        let mut config = crate::config::load(Some(Path::new(&at("c.toml")))).unwrap();
        config.store = Some(at("s.db").into());
        let store = config.store.clone();
        let key = HashKey::from_bytes([7; 16]);
        let begin = |config: &Config| {
            let interfaces = ["x0".to_owned()];
            Acting::new(config, store.as_deref(), &key, clock::now(), &interfaces, true).unwrap()
        };
        let source = SourceArgs { run: None, store: config.store.clone() };
        let wants = vec![want("v-1", "203.0.113.1"), want("v-2", "203.0.113.2")];
        let told = Desired { wants, ..Desired::default() };
        let options = PushOptions::new(Mode::Enforce);
        enforcer(&mut config, &source).unwrap().push(&told, clock::now(), &options);
        let listed = || std::fs::read_to_string(at("feed")).unwrap().matches("203.0.113.").count();
        assert_eq!(listed(), 2);
        let mut acting = begin(&config);
        acting.begin();
        acting.push();
        assert_eq!(listed(), 2, "{:?}", acting.lost);
        std::fs::write(at("ledger.stop"), "wrong").unwrap();
        acting.push();
        assert_eq!(listed(), 0, "{:?}", acting.lost);
    }
}
