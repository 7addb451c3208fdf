use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use sidetap_model::{ActionRow, Ts};
use sidetap_policy::{Caps, Traffic};

use crate::back::{Named, parts_of_key};
use crate::canary::CANARY;
use crate::carry::{Journal, Planned, carry_out, failed};
use crate::config::{Config, ConfigError};
use crate::connector::{Connector, ConnectorError};
use crate::contended::{Contended, Strangers, noticed};
use crate::desired::{Desired, Held, Want};
use crate::entry::tag_of;
use crate::geography::Geography;
use crate::ledger::{Ledger, LedgerEntry, LedgerFile};
use crate::pace::Pace;
use crate::report::{ConnectorResult, Mode, PlanReport, Proof, PushReport};
use crate::resolve::{Push, express, plan_one, undo_plan};
use crate::settle::{by_connector, settle};

/// Brings devices to the desired state, and back.
pub struct Enforcer {
    pub(crate) slots: Vec<Slot>,
    pub(crate) ledger: Ledger,
    pub(crate) file: Option<LedgerFile>,
    allow: Vec<IpNet>,
    max_adds: usize,
    caps: Option<Caps>,
    traffic: Option<Arc<Traffic>>,
    tried: BTreeSet<String>,
    geography: Option<Arc<dyn Geography>>,
    journal: Option<Journal>,
}

/// A connector and how often its device is asked.
pub(crate) struct Slot {
    pub(crate) connector: Box<dyn Connector>,
    pace: Pace,
}

/// How a push or an undo is done.
#[derive(Clone, Debug)]
pub struct PushOptions {
    /// Whether devices are changed.
    pub mode: Mode,
    /// Push old verdicts and more entries than the cap too.
    pub force: bool,
    /// Who asks, for the audit.
    pub actor: String,
    /// What an undo was asked for by, for the audit: `policy fast`, `last 1h`.
    pub why: String,
}

impl PushOptions {
    /// A push in this mode by the command line, not forced.
    pub fn new(mode: Mode) -> Self {
        PushOptions { mode, force: false, actor: "cli".to_owned(), why: String::new() }
    }
}

/// What an undo takes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// One verdict, on all devices.
    Verdict(String),
    /// These verdicts, on all devices.
    Verdicts(BTreeSet<String>),
    /// All that one connector pushed.
    Connector(String),
    /// All that all connectors pushed.
    All,
}

impl Enforcer {
    /// The enforcer of this configuration, with the ledger of its state file.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let mut enforcer = Enforcer::with_connectors(config.connectors()?);
        if let Some(path) = &config.state {
            let mut file = LedgerFile::new(path);
            file.look(&mut enforcer.ledger).map_err(|e| ConfigError::State {
                path: path.display().to_string(),
                detail: e.to_string(),
            })?;
            enforcer.file = Some(file);
        }
        enforcer.allow = config.allow.clone();
        enforcer.max_adds = config.max_adds;
        Ok(enforcer)
    }

    /// The enforcer of these connectors, with an empty ledger.
    pub fn with_connectors(connectors: Vec<Box<dyn Connector>>) -> Self {
        let max_adds = Config::default().max_adds;
        let slot = |connector: Box<dyn Connector>| Slot { pace: Pace::of(connector.name()), connector };
        let slots = connectors.into_iter().map(slot).collect();
        let ledger = Ledger::default();
        Enforcer {
            slots,
            ledger,
            file: None,
            allow: Vec::new(),
            max_adds,
            caps: None,
            traffic: None,
            tried: BTreeSet::new(),
            geography: None,
            journal: None,
        }
    }

    /// The same enforcer with this ledger, for callers that keep it themselves.
    #[must_use]
    pub fn with_ledger(mut self, ledger: Ledger) -> Self {
        self.ledger = ledger;
        self
    }

    /// Holds pushes to these caps from now on, by this traffic.
    pub fn cap(&mut self, caps: Caps, traffic: Option<Arc<Traffic>>) {
        (self.caps, self.traffic) = (Some(caps), traffic);
    }

    /// Tells countries and networks as addresses, by these tables.
    pub fn know(&mut self, geography: Arc<dyn Geography>) {
        self.geography = Some(geography);
    }

    /// Hands each row that says what is about to be done to a device to this, before it is done; what came of it is in the report.
    pub fn announce(&mut self, journal: impl Fn(&[ActionRow]) + Send + Sync + 'static) {
        self.journal = Some(Journal(Arc::new(journal)));
    }

    /// Looks at devices for what came of these intents, which nobody wrote down; gives the rows that say so. Of devices that cannot be
    /// read, or that there are no more, there are none.
    pub fn settle(&mut self, open: &[ActionRow], now: Ts, actor: &str) -> Vec<ActionRow> {
        let open = by_connector(open);
        let settled = each(&mut self.slots, |slot| {
            let rows = open.get(slot.connector.name())?;
            settle(slot.connector.as_mut(), rows, now, actor)
        });
        settled.into_iter().flatten().flatten().collect()
    }

    /// An enforcer for each connector, so that none waits for another; what is remembered they share by the ledger's file.
    pub fn apart(self) -> Vec<Enforcer> {
        let Enforcer { slots, ledger, file, allow, max_adds, caps, traffic, tried, geography, journal } =
            self;
        let alone = |slot| Enforcer {
            slots: vec![slot],
            ledger: ledger.clone(),
            file: file.clone(),
            allow: allow.clone(),
            max_adds,
            caps,
            traffic: traffic.clone(),
            tried: tried.clone(),
            geography: geography.clone(),
            journal: journal.clone(),
        };
        slots.into_iter().map(alone).collect()
    }

    /// From now on connectors of these names, and no others, are only told in dry runs.
    pub fn only_try(&mut self, names: impl IntoIterator<Item = String>) {
        self.tried = names.into_iter().collect();
    }

    /// Which connectors could be told of a want, or why not; no device is asked.
    pub fn able(&self, want: &Want, allow: &[IpNet]) -> Vec<(String, Result<(), String>)> {
        let term = LedgerEntry { pushed_at: 0, expires_at: 0, last_seen: want.last_seen };
        let one = |c: &dyn Connector| {
            (c.name().to_owned(), express(want, &term, c, allow, self.geography.as_deref()).map(|_| ()))
        };
        self.all().map(one).collect()
    }

    /// What was pushed and taken back.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The connectors' names with their kinds.
    pub fn connectors(&self) -> Vec<(String, &'static str)> {
        self.all().map(|c| (c.name().to_owned(), c.kind())).collect()
    }

    /// What a push would do.
    pub fn plan(&mut self, desired: &Desired, now: Ts, force: bool) -> PlanReport {
        let force = force || desired.stopped;
        let _ = self.inherit(desired, now.secs(), Mode::DryRun);
        let (terms, held) = self.terms(desired, now.secs(), force);
        let allow = self.allow_of(desired);
        let keep: BTreeSet<String> = desired.keep.iter().map(|id| tag_of(id)).collect();
        let push = Push {
            wants: &desired.wants,
            waiting: &desired.waiting,
            terms: &terms,
            ledger: &self.ledger,
            allow: &allow,
            keep: &keep,
            max_adds: self.max_adds,
            caps: self.caps.as_ref(),
            traffic: self.traffic.as_deref(),
            geography: self.geography.as_deref(),
            force,
            stopped: desired.stopped,
            now: now.secs(),
        };
        let connectors = each(&mut self.slots, |s| plan_one(s.connector.as_mut(), &push).0);
        PlanReport { connectors, held }
    }

    /// Brings every device to the desired state, or says what that would take.
    ///
    /// One device that fails, or is slow, does not keep the others from being changed. The same desired state pushed again changes
    /// nothing, except that what others removed is put back and what is over is let go.
    pub fn push(&mut self, desired: &Desired, now: Ts, options: &PushOptions) -> PushReport {
        let options = &PushOptions { force: options.force || desired.stopped, ..options.clone() };
        let _busy = self.say_busy(options);
        let looked = self.look().and_then(|()| self.inherit(desired, now.secs(), options.mode));
        let (terms, held) = self.terms(desired, now.secs(), options.force);
        let allow = self.allow_of(desired);
        let keep: BTreeSet<String> = desired.keep.iter().map(|id| tag_of(id)).collect();
        let mut report = PushReport::new(options.mode, held);
        let sendable = self.sendable(desired, &terms, &allow);
        let enforce = options.mode == Mode::Enforce;
        if let Err(e) =
            looked.and_then(|()| if enforce { self.remember(sendable, now.secs()) } else { Ok(()) })
        {
            report.connectors = self.all().map(|c| failed(c, &e.to_string())).collect();
            return report;
        }
        let push = Push {
            wants: &desired.wants,
            waiting: &desired.waiting,
            terms: &terms,
            ledger: &self.ledger,
            allow: &allow,
            keep: &keep,
            max_adds: self.max_adds,
            caps: self.caps.as_ref(),
            traffic: self.traffic.as_deref(),
            geography: self.geography.as_deref(),
            force: options.force,
            stopped: desired.stopped,
            now: now.secs(),
        };
        let careful = PushOptions { mode: Mode::DryRun, ..options.clone() };
        let (tried, journal) = (&self.tried, self.journal.as_ref());
        let results = each(&mut self.slots, |slot| {
            let only_tried = tried.contains(slot.connector.name()) && !desired.stopped;
            let options = if only_tried { &careful } else { options };
            push_one(slot, &push, now, options, journal)
        });
        let mut found = Vec::new();
        for (result, rows, strangers) in results {
            report.connectors.push(result);
            report.actions.extend(rows);
            found.extend(strangers);
        }
        self.count_added(&mut report, now.secs());
        self.note_canaries(&mut report);
        self.notice(found, &mut report, now, options);
        report
    }

    /// Takes back what was pushed, on the devices and for later pushes, until [`Enforcer::redo`].
    pub fn undo(&mut self, selector: &Selector, now: Ts, options: &PushOptions) -> PushReport {
        let mut report = PushReport::new(options.mode, Vec::new());
        if let Selector::Connector(name) = selector
            && !self.all().any(|c| c.name() == name)
        {
            let why = "there is no connector of this name".to_owned();
            report.held.push(Held { verdict: String::new(), subject: name.clone(), why });
            return report;
        }
        let _busy = self.say_busy(options);
        let mut lost = None;
        if options.mode == Mode::Enforce {
            // What the devices hold besides is added and saved below; a crash in between must not push this again.
            match self.change_anyway(|ledger| mark_undone(ledger, selector, now.secs())) {
                Ok(risk) => report.notes.extend(risk),
                Err(e) => drop(lost.get_or_insert(e)),
            }
        }
        let mut removed: Vec<(String, String, BTreeSet<String>)> = Vec::new();
        let journal = self.journal.as_ref();
        let undone = each(&mut self.slots, |slot| {
            let named = !matches!(selector, Selector::Connector(name) if name != slot.connector.name());
            named.then(|| undo_one(slot, selector, now, options, journal))
        });
        for (result, rows, gone) in undone.into_iter().flatten() {
            let scope = if matches!(selector, Selector::Connector(_)) { &result.name } else { "*" };
            removed.extend(gone.into_iter().map(|(verdict, whom)| (scope.to_owned(), verdict, whom)));
            report.connectors.push(result);
            report.actions.extend(rows);
        }
        if options.mode == Mode::Enforce {
            // Written as a whole, so that this makes up for a first time that failed.
            let mark = |ledger: &mut Ledger| {
                mark_undone(ledger, selector, now.secs());
                for (scope, id, whom) in &removed {
                    ledger.undo(scope, id);
                    ledger.back.keep(scope, whom, id, now.secs());
                }
                ledger.prune(now.secs());
                let done = report.connectors.iter().filter(|c| c.outcome == "done");
                done.for_each(|c| ledger.leave(&c.name, now.secs(), 0, &c.left));
            };
            match self.change_anyway(mark) {
                Ok(_) => lost = None,
                Err(e) => drop(lost.get_or_insert(e)),
            }
        }
        lost.iter().for_each(|e| report.forget(e));
        report
    }

    /// Lets later pushes push again what was taken back.
    pub fn redo(&mut self, selector: &Selector) -> std::io::Result<()> {
        self.change(|ledger| ledger.redo(selector))
    }

    /// Takes back what names clients under another name of whom something was taken back.
    fn inherit(&mut self, desired: &Desired, now: i64, mode: Mode) -> std::io::Result<()> {
        let news = self.ledger.news_of(&desired.wants);
        match mode {
            _ if news.is_empty() => {}
            Mode::Enforce => return self.change(|ledger| ledger.inherit(&news, now)),
            _ => self.ledger.inherit(&news, now),
        }
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = &dyn Connector> {
        self.slots.iter().map(|s| s.connector.as_ref())
    }

    /// Until when each want holds; the wants that hold no more, or not yet, apart.
    fn terms(&self, desired: &Desired, now: i64, force: bool) -> (BTreeMap<String, LedgerEntry>, Vec<Held>) {
        let (mut terms, mut held) = (BTreeMap::new(), Vec::new());
        for want in &desired.wants {
            match self.ledger.term(want, now, force) {
                Ok(term) => drop(terms.insert(want.verdict.clone(), term)),
                Err(why) => held.push(held_of(want, why)),
            }
        }
        (terms, held)
    }

    /// The terms of those wants that at least one device can be told now: time runs from then, not from a question or a trial.
    fn sendable(
        &self,
        desired: &Desired,
        terms: &BTreeMap<String, LedgerEntry>,
        allow: &[IpNet],
    ) -> Vec<(String, LedgerEntry)> {
        let told = |want: &Want, term: &LedgerEntry| {
            self.all().any(|c| {
                let undone = self.ledger.is_undone(c.name(), &tag_of(&want.verdict));
                let waits = desired.waiting.get(c.name()).is_some_and(|w| w.contains(&want.verdict));
                let tried = self.tried.contains(c.name());
                !undone
                    && !waits
                    && !tried
                    && express(want, term, c, allow, self.geography.as_deref()).is_ok()
            })
        };
        let with_term = desired.wants.iter().filter_map(|w| terms.get(&w.verdict).map(|t| (w, t)));
        with_term.filter(|(w, t)| told(w, t)).map(|(w, t)| (w.verdict.clone(), *t)).collect()
    }

    /// Writes down what is about to be pushed before any device hears of it; nothing where it is known already.
    fn remember(&mut self, terms: Vec<(String, LedgerEntry)>, now: i64) -> std::io::Result<()> {
        if terms.iter().all(|(id, term)| self.ledger.entries.get(id) == Some(term)) {
            return Ok(());
        }
        self.change(|ledger| {
            ledger.entries.extend(terms);
            ledger.prune(now);
        })
    }

    /// Counts what devices were told of, for the next minute, and keeps until when they hold it.
    fn count_added(&mut self, report: &mut PushReport, now: i64) {
        let enforce = report.mode == Mode::Enforce;
        let told = report.connectors.iter().filter(|c| match c.outcome.as_str() {
            "done" => true,
            // What a push that was not written down to its end left there is as it should be.
            "unchanged" => enforce && self.ledger.missing(&c.name, &c.left, now) > 0,
            _ => false,
        });
        let told: Vec<_> = told.map(|c| (c.name.clone(), c.added, c.left.clone())).collect();
        let count = |ledger: &mut Ledger| {
            told.iter().for_each(|(name, added, left)| ledger.leave(name, now, *added, left));
        };
        if !told.is_empty()
            && let Err(e) = self.change(count)
        {
            report.notes.push(unwritten(&e));
        }
    }

    /// Writes down which canaries were let through before their entry stood.
    fn note_canaries(&mut self, report: &mut PushReport) {
        let seen = report.connectors.iter().filter_map(|c| Some((c.name.clone(), c.seen?)));
        let seen: Vec<(String, IpAddr)> = seen.collect();
        if !seen.is_empty()
            && let Err(e) = self.change(|ledger| ledger.let_through.extend(seen))
        {
            report.notes.push(unwritten(&e));
        }
    }

    /// Writes down whom pushes met under our mark, and says so.
    fn notice(&mut self, found: Vec<Strangers>, report: &mut PushReport, now: Ts, options: &PushOptions) {
        // Another process of this site may have pushed between the look and the reading of the device.
        let looked = self.look();
        let news = noticed(found, &self.ledger, now.secs());
        if !news.is_empty()
            && let Err(e) =
                looked.and_then(|()| self.change(|ledger| news.iter().for_each(|n| n.write(ledger))))
        {
            report.notes.push(unwritten(&e));
        }
        report.actions.extend(news.iter().filter_map(|n| n.row(now, options)));
        for result in &mut report.connectors {
            result.contended = self.contended(&result.name, now.secs());
        }
    }

    /// That somebody else writes under the mark of a connector, where that is so still.
    pub fn contended(&self, name: &str, now: i64) -> Option<Contended> {
        self.ledger.contended.get(name).filter(|c| c.is_now(now)).cloned()
    }

    /// Says of each device that it is being changed, until what this gives is dropped.
    fn say_busy(&self, options: &PushOptions) -> Vec<File> {
        let file = self.file.as_ref().filter(|_| options.mode == Mode::Enforce);
        file.into_iter().flat_map(|f| self.all().filter_map(|c| f.say_busy(c.name()))).collect()
    }

    /// Takes in what another process took back or pushed since the last look.
    pub(crate) fn look(&mut self) -> std::io::Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| file.look(&mut self.ledger))
    }

    /// Changes the ledger, and its file where it has one.
    fn change(&mut self, change: impl FnOnce(&mut Ledger)) -> std::io::Result<()> {
        self.change_with(false, change).map(|_| ())
    }

    /// The same where another process keeps the file to itself; gives what that risks.
    fn change_anyway(&mut self, change: impl FnOnce(&mut Ledger)) -> std::io::Result<Option<String>> {
        self.change_with(true, change)
    }

    fn change_with(
        &mut self,
        insists: bool,
        change: impl FnOnce(&mut Ledger),
    ) -> std::io::Result<Option<String>> {
        if let Some(file) = &mut self.file {
            return file.change(&mut self.ledger, insists, change);
        }
        change(&mut self.ledger);
        Ok(None)
    }

    fn allow_of(&self, desired: &Desired) -> Vec<IpNet> {
        let allow = self.allow.iter().chain(&desired.allow);
        sidetap_policy::outermost(allow.map(|n| sidetap_policy::canonical(*n).trunc()).collect())
    }
}

fn mark_undone(ledger: &mut Ledger, selector: &Selector, now: i64) {
    match selector {
        Selector::Verdict(id) => ledger.undo("*", &tag_of(id)),
        Selector::Verdicts(ids) => ids.iter().for_each(|id| ledger.undo("*", &tag_of(id))),
        Selector::Connector(_) | Selector::All => {
            let scope = if let Selector::Connector(name) = selector { name.as_str() } else { "*" };
            let active = ledger.entries.iter().filter(|(_, e)| e.expires_at > now);
            let ids: Vec<String> = active.map(|(id, _)| tag_of(id)).collect();
            ids.iter().for_each(|id| ledger.undo(scope, id));
        }
    }
}

/// Does the same with every connector at once; the results stand in their order.
pub(crate) fn each<T: Send>(slots: &mut [Slot], work: impl Fn(&mut Slot) -> T + Sync) -> Vec<T> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = slots.iter_mut().map(|s| scope.spawn(move || work(s))).collect();
        let results = threads.into_iter().map(|t| t.join().unwrap_or_else(|p| std::panic::resume_unwind(p)));
        results.collect()
    })
}

/// Brings one device to the desired state, unless it is to be left alone for a while.
fn push_one(
    slot: &mut Slot,
    push: &Push<'_>,
    now: Ts,
    options: &PushOptions,
    journal: Option<&Journal>,
) -> (ConnectorResult, Vec<ActionRow>, Option<Strangers>) {
    let Slot { connector: c, pace } = slot;
    let enforce = options.mode == Mode::Enforce && !options.force;
    let wait = pace.wait_s(now.secs()).filter(|_| enforce);
    let unproved = pace.unproved().map(str::to_owned);
    if let Some(wait) = wait.filter(|_| unproved.is_none()) {
        let away = if pace.is_open() { "it failed often, " } else { "" };
        let why = format!("{away}it is asked again in {wait} s");
        let again_s = Some(wait);
        let result = ConnectorResult { again_s, ..ConnectorResult::of(c.as_ref(), "waiting", why) };
        return (result, Vec::new(), None);
    }
    let (mut plan, error) = plan_one(c.as_mut(), push);
    // Who is to be blocked does not wait for a canary that proved nothing the last time.
    if let Some((wait, why)) = wait.zip(unproved.as_ref()).filter(|_| error.is_none() && plan.plan.is_empty())
    {
        let why = format!("{why}; it is asked again in {wait} s");
        let again_s = Some(wait);
        let result = ConnectorResult { again_s, ..ConnectorResult::of(c.as_ref(), "waiting", why) };
        let found = Strangers::of(&plan, &result);
        return (result, Vec::new(), found);
    }
    if unproved.is_some() && plan.proof == Proof::Usual {
        plan.proof = Proof::Hurried;
    }
    let rest = pace.rest_s(now.secs(), c.min_interval_s()).filter(|_| enforce && !plan.plan.is_empty());
    if let Some(rest) = rest {
        let why = format!("changes come together: the next one in {rest} s");
        let again_s = Some(rest);
        let result = ConnectorResult { again_s, ..ConnectorResult::of(c.as_ref(), "waiting", why) };
        let found = Strangers::of(&plan, &result);
        return (result, Vec::new(), found);
    }
    let planned = Planned { plan, error };
    let (mut result, error, mut rows) = carry_out(c.as_mut(), &planned, now, options, ("add", journal));
    // What the audit has already, of a device that was not changed.
    if unproved.is_some_and(|why| why == result.answer) && planned.plan.plan.is_empty() {
        rows.clear();
    }
    note(pace, now.secs(), &result, error.as_ref());
    result.again_s = pace.wait_s(now.secs()).filter(|_| enforce);
    // Who only tries leaves nothing there, and takes nobody's away.
    let found = (options.mode == Mode::Enforce).then(|| Strangers::of(&planned.plan, &result)).flatten();
    (result, rows, found)
}

/// Takes back what a selector names on one device; gives the verdicts of what was there too.
fn undo_one(
    slot: &mut Slot,
    selector: &Selector,
    now: Ts,
    options: &PushOptions,
    journal: Option<&Journal>,
) -> (ConnectorResult, Vec<ActionRow>, Vec<Named>) {
    let Slot { connector: c, pace } = slot;
    let (plan, error) = undo_plan(c.as_mut(), selector, now.secs());
    let planned = Planned { plan, error };
    let gone = planned.plan.plan.remove.iter().filter(|e| e.verdict != CANARY);
    let gone = gone.map(|e| (e.verdict.clone(), parts_of_key(&e.key))).collect();
    let (result, error, rows) = carry_out(c.as_mut(), &planned, now, options, ("undo", journal));
    note(pace, now.secs(), &result, error.as_ref());
    (result, rows, gone)
}

fn note(pace: &mut Pace, now: i64, result: &ConnectorResult, error: Option<&ConnectorError>) {
    match error {
        Some(e) => drop(pace.failed(now, e)),
        None if matches!(result.outcome.as_str(), "unchanged" | "done") => {
            pace.went_well(now, result.outcome == "done");
        }
        None if result.outcome == "held" => pace.went_well(now, result.verified.is_some()),
        None => {}
    }
}

/// What is said where the ledger could not be written after a push.
fn unwritten(e: &std::io::Error) -> String {
    format!("the ledger cannot be written: {e}; what was counted and noticed at this push is not remembered")
}

fn held_of(want: &Want, why: &str) -> Held {
    Held { verdict: want.verdict.clone(), subject: want.subject.value.clone(), why: why.to_owned() }
}
