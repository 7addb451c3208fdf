//! Acts on verdicts beside the data path: decides, stores, brings devices to what is asked.

mod campaigns;
mod forget;
mod keep;
mod times;
mod verdicts;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;
use sidetap_mitigation::alert::{AlertConfig, Alerter};
use sidetap_mitigation::feed::system_clock;
use sidetap_mitigation::{Enforcer, Mode};
use sidetap_model::rows::{RunData, Summary, VerdictRow};
use sidetap_model::{ActionRow, HashKey, Ts};
use sidetap_policy::{Known, Response, Traffic};
use sidetap_store::{Store, run_id};

use self::campaigns::Heard;
use self::forget::Forgotten;
use self::times::KeptTimes;
use self::verdicts::Verdicts;
use super::act::Actor;
use super::batch::Batch;
use super::deeds::Deeds;
use super::devices::{Devices, Lost, Order, Told};
use super::live_inputs;
use super::look::{Look, Looked, look_at};
use crate::cli::{ActArgs, GlobalArgs, SourceArgs};
use crate::clock;
use crate::commands::console::Orders;
use crate::commands::gate::{self, Approving, Gate};
use crate::commands::mitigation::{desired_of, enforcer, ledger_of};
use crate::commands::policy::{Policies, policies};
use crate::commands::prepare::Plan;
use crate::commands::progress::Stop;
use crate::config::Config;
use crate::output::{plain, warn};

/// Batches on their way.
pub(super) const QUEUE: usize = 64;
/// Verdicts that are remembered for devices at most.
const VERDICTS: usize = 100_000;
/// Of these, those that go at once where there is no room for one more.
const GO: usize = VERDICTS / 50;

/// Between two looks at whether the process that acts is still there.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// A thread that acts, itself or by way of another process.
pub(super) struct Enforcement {
    sender: SyncSender<Batch>,
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
    devices: Option<Devices>,
    alerter: Option<Alerter>,
    mode: Mode,
    reconcile: Duration,
    verdicts: Verdicts,
    forgotten: u64,
    known: Known,
    heard: Heard,
    traffic: Option<Arc<Traffic>>,
    looked: Option<Looked>,
    looking: Option<JoinHandle<Look>>,
    /// Who was convicted since the last look, and by what was known before it.
    news: BTreeSet<String>,
    /// The same before the look that goes on: they are decided anew once it is done.
    awaited: BTreeSet<String>,
    gate: Gate,
    lost: Lost,
    /// Verdicts that the store did not take, and when it is tried again.
    unkept: BTreeSet<String>,
    again: Instant,
    told: Told,
    /// What devices were told before this watch began.
    before: BTreeSet<String>,
    /// The newest row of the audit that was looked at.
    audited: u64,
    people: Forgotten,
    kept_times: KeptTimes,
    /// The key by which orders of the console are carried out, where they are.
    serves: Option<HashKey>,
    orders: Option<Orders>,
}

/// Between two looks at what the store remembers: traffic to measure by, who was acted against before.
const LOOK: Duration = Duration::from_secs(300);
/// The same where somebody was convicted meanwhile, whose requests counted as good before.
const LOOK_SOON: Duration = Duration::from_secs(5);
/// Of the time, a look takes one part of so many at most.
const LOOK_SHARE: u32 = 20;
/// Between two questions whether a look is done.
const LOOKING: Duration = Duration::from_millis(100);
/// How often the store is asked whether people decided something.
const DECIDED: Duration = Duration::from_secs(1);

impl Actors {
    /// Makes ready, without a thread: rights can be given up after it.
    ///
    /// With `console`, somebody may ask for what a process without rights cannot do.
    pub(super) fn ready(
        global: &GlobalArgs,
        config: &Config,
        plan: &Plan,
        args: &ActArgs,
        console: bool,
    ) -> Result<Self> {
        if config.mitigation.is_empty() && config.mitigation.alerts.sink.is_empty() && !console {
            let key = &plan.options.hash_key;
            let (store, begun) = (plan.store.as_deref(), Ts(args.begun));
            let acting = Acting::new(config, store, key, begun, &args.interfaces, args.enforce)?;
            return Ok(Actors::Here(Box::new(acting)));
        }
        Ok(Actors::Beside(Actor::start(global, args)?))
    }

    /// Whether anything rests on what campaigns come to: a device, people who are told, what is stored, or rules that somebody wrote.
    pub(super) fn ask_campaigns(&self) -> bool {
        match self {
            Actors::Here(acting) => acting.store.is_some() || acting.config.policy.path.is_some(),
            Actors::Beside(_) => true,
        }
    }
}

impl Enforcement {
    /// Starts the thread.
    ///
    /// Where the process that changes devices ends early, whatever was to bring it back included, `stop` is asked for: a service manager
    /// then starts both anew.
    pub(super) fn start(mut actors: Actors, stop: Stop, deeds: Deeds) -> Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        if let Actors::Beside(actor) = &mut actors {
            actor.listen(deeds)?;
        }
        let act = move || match actors {
            Actors::Here(acting) => acting.run(&receiver, |_| ()),
            Actors::Beside(mut actor) => loop {
                match receiver.recv_timeout(LOOK_AFTER) {
                    Ok(batch) => actor.send(&batch, &stop),
                    Err(RecvTimeoutError::Timeout) => actor.look_after(&stop),
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
    pub(super) fn sender(&self) -> SyncSender<Batch> {
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
        let policies = policies(&config)?.hashed(key);
        let alerts =
            AlertConfig { approval_s: config.policy.approval_expiry, ..config.mitigation.alerts.clone() };
        Ok(Acting {
            kept_times: KeptTimes::of(store.as_ref().map(|(store, ..)| store), key),
            policies,
            store,
            enforcer: (!enforcer.connectors().is_empty()).then_some(enforcer),
            devices: None,
            alerter: Alerter::start_with(
                &alerts,
                system_clock(),
                ledger_of(&config, &source).as_deref(),
                Some(key),
            )?,
            mode: if enforce { Mode::Enforce } else { Mode::DryRun },
            reconcile: config.mitigation.reconcile()?,
            verdicts: Verdicts::default(),
            forgotten: 0,
            known: Known::default(),
            heard: Heard::default(),
            traffic: None,
            looked: None,
            audited: 0,
            people: Forgotten::default(),
            serves: None,
            orders: None,
            looking: None,
            news: BTreeSet::new(),
            awaited: BTreeSet::new(),
            gate: Gate::of(&config, ledger_of(&config, &source).as_deref()),
            lost: Lost::default(),
            unkept: BTreeSet::new(),
            again: Instant::now(),
            told: Arc::new(|_: &[ActionRow]| ()),
            before: BTreeSet::new(),
            config,
        })
    }

    /// The same, and who is told of what is done.
    pub(super) fn telling(mut self, told: impl Fn(&[ActionRow]) + Send + Sync + 'static) -> Self {
        self.told = Arc::new(told);
        self
    }

    /// The same, and orders of a console beside it are carried out.
    pub(super) fn serving(mut self, key: HashKey) -> Self {
        self.serves = Some(key);
        self
    }

    /// Acts until there are no more verdicts; gives what went wrong. `taken` is told of each batch once it is kept and devices are told.
    pub(super) fn run(mut self, receiver: &Receiver<Batch>, taken: impl Fn(usize)) -> Vec<String> {
        self.begin();
        let mut next = Instant::now() + self.reconcile;
        loop {
            let left = next.saturating_duration_since(Instant::now());
            // A look that goes on, and one that is to be taken soon, are not waited for until the next reconcile.
            let patience = match (self.looking.is_some(), self.news.is_empty()) {
                (true, _) => left.min(LOOKING),
                (false, false) => left.min(LOOK_SOON),
                _ if self.store.is_some() => left.min(DECIDED),
                _ => left,
            };
            match receiver.recv_timeout(patience) {
                Ok(batch) => {
                    let (mut asked, mut batches) = (false, 0);
                    let mut changed = Vec::new();
                    self.take_look();
                    self.forget_people();
                    for batch in std::iter::once(batch).chain(receiver.try_iter()) {
                        asked |= self.take_in(batch, &mut changed);
                        batches += 1;
                    }
                    self.look(&changed);
                    self.reread(asked);
                    let going: BTreeSet<String> =
                        changed.iter().filter(|v| self.goes_on(v)).map(|v| v.id.clone()).collect();
                    let news = changed.is_empty() || going.len() < changed.len();
                    let mut decided = self.decide(changed);
                    let grown = self.judge_grown();
                    let is_news = news || !grown.is_empty();
                    decided.extend(grown);
                    // What is acted on is in the store before, but a store that is busy keeps no device waiting. For how long who goes on is
                    // acted against is seen to when devices are looked at anyway.
                    let kept = self.keep_at_once(&decided);
                    if is_news {
                        self.push();
                    }
                    if !kept {
                        self.keep(&decided);
                    }
                    self.keep_late();
                    self.note_times(&decided);
                    if let Some(alerter) = &mut self.alerter {
                        alerter.hear(&decided);
                    }
                    taken(batches);
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.keep_late();
                    let looked = self.take_look() | self.forget_people();
                    let waits = self.looking.is_some() || self.news.is_empty();
                    let decided = self.looking.is_none() && self.people_decided();
                    if !looked && !decided && waits && Instant::now() < next {
                        continue;
                    }
                    self.reread(false);
                    self.look(&[]);
                    self.push();
                }
                Err(RecvTimeoutError::Disconnected) => return self.end(),
            }
            next = Instant::now() + self.reconcile;
        }
    }

    /// Says whether people decided something in the console since this was asked last: they need not wait for the next reconcile.
    fn people_decided(&mut self) -> bool {
        let Some((store, ..)) = &self.store else { return false };
        store.decided_since(&mut self.audited).unwrap_or_default()
    }

    /// Takes up what devices were told before this watch began, so that it lets nobody go: it stays until it is over; verdicts that the
    /// store still has, with those that were asked about, are decided anew once the store has been looked at.
    fn begin(&mut self) {
        if let (Some(key), Some((_, path, run))) = (&self.serves, &self.store) {
            match Orders::start(&self.config, (path, run), key, self.mode) {
                Ok(orders) => self.orders = Some(orders),
                Err(e) => self.lost.say(format!("the console's orders are not carried out: {e:#}")),
            }
        }
        let Some(enforcer) = self.enforcer.take() else { return };
        let now = clock::now();
        let live = enforcer.ledger().entries.iter().filter(|(_, e)| e.expires_at > now.secs());
        // Rules over requests are told by their rules, which are read anew.
        self.before = live.map(|(id, _)| id.clone()).filter(|id| !id.starts_with("p-")).collect();
        self.let_forgotten_go();
        let store = self.store.as_ref().map(|(_, path, _)| path.as_path());
        match Devices::start(enforcer, store, self.mode, &self.lost, &self.told) {
            Ok(devices) => self.devices = Some(devices),
            Err(e) => self.lost.say(format!("devices are not told: {e:#}")),
        }
        self.look(&[]);
    }

    /// Gives what went wrong, once the last orders are carried out and people have been told what is left.
    fn end(mut self) -> Vec<String> {
        if !self.unkept.is_empty() {
            self.keep(&[]);
        }
        if self.looking.take().is_some_and(|look| look.join().is_ok_and(|look| self.take_up(look))) {
            self.push();
        }
        self.keep_times(true);
        if let Some(orders) = self.orders.take() {
            orders.end();
        }
        if let Some(devices) = self.devices.take() {
            devices.end();
        }
        let mut lost = self.lost.take();
        lost.extend(self.alerter.take().map(Alerter::end).into_iter().flatten());
        lost
    }

    /// Looks at the store, now and then; sooner where these verdicts, or some since the last look, convict somebody. Nobody waits for the
    /// first look: what is decided meanwhile is decided by what was known before.
    fn look(&mut self, changed: &[VerdictRow]) {
        let convicted: Vec<String> =
            changed.iter().filter(|v| self.is_news(v)).map(|v| v.id.clone()).collect();
        self.news.extend(convicted);
        let Some((_, path, run)) = &self.store else {
            self.news.clear();
            return;
        };
        let pause =
            |took: Duration| if !self.news.is_empty() { LOOK_SOON.max(took * LOOK_SHARE) } else { LOOK };
        if self.looking.is_some() || self.looked.is_some_and(|l| l.at.elapsed() < pause(l.took)) {
            return;
        }
        let (path, run, span) = (path.clone(), run.clone(), self.config.policy.measured_span);
        let verdicts = self.verdicts.values().chain(changed).cloned().collect();
        let own = RunData { verdicts, ..RunData::default() };
        let before = self.looked.is_none().then(|| self.before.clone());
        let look = move || look_at(&path, &run, own, span, before);
        self.awaited = std::mem::take(&mut self.news);
        // What a conviction shows is looked at before it is decided: later, others with the same tool would have come in, not convicted yet,
        // and count as honest.
        if self.devices.is_none() || self.looked.is_some() {
            self.take_up(look());
            return;
        }
        match std::thread::Builder::new().name("sidetap-look".into()).spawn(look) {
            Ok(thread) => self.looking = Some(thread),
            Err(e) => self.lost.say(format!("cannot start a thread: {e}")),
        }
    }

    /// Takes up what a look found, where it is done; says whether it is.
    fn take_look(&mut self) -> bool {
        if !self.looking.as_ref().is_some_and(JoinHandle::is_finished) {
            return false;
        }
        let look = self.looking.take().map(JoinHandle::join);
        look.is_some_and(|look| look.is_ok_and(|look| self.take_up(look)))
    }

    fn take_up(&mut self, look: Look) -> bool {
        let first = self.looked.is_none();
        let history = std::mem::replace(&mut self.known, look.known);
        if first {
            // What was decided while the first look went on is part of what is remembered.
            self.verdicts.values().for_each(|v| self.known.history.record(v));
        } else {
            self.known.history = history.history;
        }
        self.traffic = look.traffic;
        self.looked = Some(Looked { at: Instant::now(), took: look.took });
        if first {
            let earlier =
                look.earlier.into_iter().filter_map(|mut v| self.people.leaves(&mut v).then_some(v));
            let later = std::mem::take(&mut self.verdicts);
            let own: Vec<String> = later.ids().cloned().collect();
            self.verdicts = earlier.take(VERDICTS).chain(later).collect();
            self.heard.recall(look.campaigns, &self.verdicts);
            self.judge_found(&own);
            let own: Vec<VerdictRow> = own.iter().filter_map(|id| self.verdicts.get(id).cloned()).collect();
            self.keep(&own);
        } else {
            self.judge_again();
        }
        self.awaited.clear();
        true
    }

    fn is_news(&self, v: &VerdictRow) -> bool {
        v.intent == "malicious" && self.verdicts.get(&v.id).is_none_or(|old| old.intent != "malicious")
    }

    /// Decides those again that a guard held by the traffic known before, and those who were convicted since it was looked at: by it nobody
    /// could say whom more than their address would hit. Others keep what was decided: once a device refuses a tool, nobody with that
    /// tool can be told from the honest any more.
    fn judge_again(&mut self) {
        let held = |v: &VerdictRow| v.policy.as_deref().is_some_and(|p| p.starts_with("guard:"));
        let again = self.verdicts.values().filter(|v| held(v) || self.awaited.contains(&v.id));
        let mut again: Vec<VerdictRow> = again.cloned().collect();
        self.judge(&mut again);
        self.verdicts.extend(again);
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
                // Its rules over requests act only where stored traffic says whom else they fit: that is looked at now.
                if let Some(looked) = &mut self.looked {
                    looked.at = looked.at.checked_sub(LOOK).unwrap_or(looked.at);
                }
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
            self.lost.say(format!("cannot write the audit to {}: {e}", path.display()));
        }
        self.judge_all();
        if self.looked.is_some() {
            self.kept_times.go_by(&self.policies);
        }
    }

    fn judge_all(&mut self) {
        let mut all: Vec<VerdictRow> = self.verdicts.values().cloned().collect();
        self.judge(&mut all);
        self.verdicts.extend(all);
    }

    /// Decides all of these together, so that addresses that lie close to one another can become a network.
    fn judge(&self, verdicts: &mut [VerdictRow]) {
        self.policies.set().apply_among(verdicts, self.heard.all(), &self.known);
    }

    /// Decides these verdicts; gives them with what was decided.
    fn decide(&mut self, changed: Vec<VerdictRow>) -> Vec<VerdictRow> {
        let (mut on, mut changed): (Vec<_>, Vec<_>) = changed.into_iter().partition(|v| self.goes_on(v));
        for v in &mut on {
            if let Some(old) = self.verdicts.get(&v.id) {
                v.response.clone_from(&old.response);
                v.policy.clone_from(&old.policy);
                v.measures.clone_from(&old.measures);
                v.ttl_s = old.ttl_s;
            }
        }
        self.judge(&mut changed);
        changed.append(&mut on);
        for verdict in &changed {
            self.known.history.record(verdict);
            if self.is_news(verdict) {
                announce(verdict);
            }
        }
        self.verdicts.extend(changed.iter().cloned());
        if self.verdicts.len() > VERDICTS {
            self.forget(VERDICTS - GO, clock::now());
        }
        changed
    }

    /// Whether it says no more than that somebody goes on while what was decided still holds. That is not decided again: once a device refuses
    /// a tool, nobody with that tool can be told from the honest any more.
    fn goes_on(&self, v: &VerdictRow) -> bool {
        let is_same = |old: &VerdictRow| old.intent == v.intent && old.class == v.class;
        self.verdicts.get(&v.id).is_some_and(is_same) && self.known.history.holds(v)
    }

    /// Forgets verdicts until so many are left: first those that ask for nothing any more, then those of least harm that are longest ago.
    fn forget(&mut self, left: usize, now: Ts) {
        let acts = |v: &VerdictRow| {
            let over = v.last_seen.max(v.detected_at).secs().saturating_add_unsigned(v.ttl_s) < now.secs();
            v.response.parse::<Response>().is_ok_and(|r| r.acts()) && !over
        };
        let rank = |v: &VerdictRow| (acts(v), v.score, v.last_seen);
        let mut ranks: Vec<_> = self.verdicts.values().map(|v| (Reverse(rank(v)), v.id.clone())).collect();
        ranks.sort_unstable();
        let go = ranks.get(left..).unwrap_or_default();
        let blind = go.iter().filter(|(Reverse((acts, ..)), _)| *acts).count();
        go.iter().for_each(|(_, id)| self.verdicts.remove(id));
        self.forgotten += blind as u64;
        if blind > 0 {
            warn(&format!(
                "more than {VERDICTS} verdicts: {} of least harm that should act are forgotten so far, and leave devices",
                self.forgotten
            ));
        }
    }

    /// Has devices brought to what all verdicts so far ask for; in a dry run only what would be done is worked out.
    fn push(&mut self) {
        let Some(devices) = &self.devices else { return };
        let mut verdicts: Vec<VerdictRow> = self.verdicts.values().cloned().collect();
        verdicts.extend(self.policies.set().standing(clock::now(), self.known.traffic.as_ref()));
        let mut wanted = match desired_of(&verdicts, &self.policies, &self.config) {
            Ok(wanted) => wanted,
            Err(e) => return self.lost.say(format!("{e:#}")),
        };
        let unknown = self.before.iter().filter(|id| !self.verdicts.contains_key(id));
        wanted.keep = unknown.cloned().collect();
        let store = self.store.as_mut().map(|(store, ..)| store);
        let approving = Approving::of(&self.config, store.as_deref(), self.mode == Mode::Enforce);
        let modes = store.as_deref().map(gate::modes).unwrap_or_default();
        gate::hold(&mut wanted, gate::grounds(&verdicts), &self.gate, store, &approving);
        devices.tell(Order {
            wanted,
            mode: self.mode,
            tried: gate::in_mode(&self.config, &modes, sidetap_model::Mode::DryRun),
            caps: self.policies.set().guards().caps,
            traffic: self.traffic.clone(),
        });
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
mod tests;
