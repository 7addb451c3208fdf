use std::collections::BTreeMap;
use std::path::PathBuf;

use ipnet::IpNet;
use sidetap_model::{ActionRow, Ts};
use sidetap_policy::{never_blockable, subject_net};

use crate::config::{Config, ConfigError};
use crate::connector::{Connector, ConnectorError, Observed};
use crate::desired::{Desired, Held, Want};
use crate::entry::{Entry, Sees, tag_of};
use crate::ledger::{Ledger, LedgerEntry};
use crate::plan::{Plan, Refusal, plan};
use crate::report::{
    ConnectorPlan, ConnectorResult, ConnectorStatus, Mode, PlanReport, PushReport, StatusReport,
};

/// Shortest prefixes that are ever sent to a device, whatever policy says.
const MIN_PREFIX: (u8, u8) = (16, 32);

/// Brings devices to the desired state, and back.
pub struct Enforcer {
    connectors: Vec<Box<dyn Connector>>,
    ledger: Ledger,
    state: Option<PathBuf>,
    allow: Vec<IpNet>,
    max_adds: usize,
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
}

impl PushOptions {
    /// A push in this mode by the command line, not forced.
    pub fn new(mode: Mode) -> Self {
        PushOptions { mode, force: false, actor: "cli".to_owned() }
    }
}

/// What an undo takes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// One verdict, on all devices.
    Verdict(String),
    /// All that one connector pushed.
    Connector(String),
    /// All that all connectors pushed.
    All,
}

impl Enforcer {
    /// The enforcer of this configuration, with the ledger of its state file.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let ledger = match &config.state {
            None => Ledger::default(),
            Some(path) => Ledger::read(path).map_err(|e| ConfigError::State {
                path: path.display().to_string(),
                detail: e.to_string(),
            })?,
        };
        let mut enforcer = Enforcer::with_connectors(config.connectors()?);
        enforcer.ledger = ledger;
        enforcer.state = config.state.clone();
        enforcer.allow = config.allow.clone();
        enforcer.max_adds = config.max_adds;
        Ok(enforcer)
    }

    /// The enforcer of these connectors, with an empty ledger.
    pub fn with_connectors(connectors: Vec<Box<dyn Connector>>) -> Self {
        let max_adds = Config::default().max_adds;
        Enforcer { connectors, ledger: Ledger::default(), state: None, allow: Vec::new(), max_adds }
    }

    /// The same enforcer with this ledger, for callers that keep it themselves.
    #[must_use]
    pub fn with_ledger(mut self, ledger: Ledger) -> Self {
        self.ledger = ledger;
        self
    }

    /// What was pushed and taken back.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The connectors' names with their kinds.
    pub fn connectors(&self) -> Vec<(String, &'static str)> {
        self.connectors.iter().map(|c| (c.name().to_owned(), c.kind())).collect()
    }

    /// Reads every device.
    pub fn status(&mut self, now: Ts) -> StatusReport {
        let connectors = self.connectors.iter_mut().map(|c| status_of(c.as_mut(), now.secs())).collect();
        let active = self.ledger.entries.values().filter(|e| e.expires_at > now.secs()).count();
        let undone = self.ledger.undone.values().map(|set| set.len()).sum();
        StatusReport { connectors, active, undone }
    }

    /// What a push would do.
    pub fn plan(&mut self, desired: &Desired, now: Ts, force: bool) -> PlanReport {
        let (terms, held) = self.terms(desired, now.secs(), force);
        let allow = self.allow_of(desired);
        let push = Push {
            wants: &desired.wants,
            terms: &terms,
            ledger: &self.ledger,
            allow: &allow,
            max_adds: self.max_adds,
            force,
            now: now.secs(),
        };
        let connectors = self.connectors.iter_mut().map(|c| plan_one(c.as_mut(), &push)).collect();
        PlanReport { connectors, held }
    }

    /// Brings every device to the desired state, or says what that would take.
    ///
    /// One device that fails does not keep the others from being changed. The same desired state pushed again changes
    /// nothing, except that what others removed is put back and what is over is let go.
    pub fn push(&mut self, desired: &Desired, now: Ts, options: &PushOptions) -> PushReport {
        let (terms, held) = self.terms(desired, now.secs(), options.force);
        let allow = self.allow_of(desired);
        let mut report = PushReport { mode: options.mode, connectors: Vec::new(), held, actions: Vec::new() };
        if options.mode == Mode::Enforce
            && let Err(e) = self.remember(self.sendable(&desired.wants, &terms, &allow), now.secs())
        {
            report.connectors = self.connectors.iter().map(|c| failed(c.as_ref(), &e.to_string())).collect();
            return report;
        }
        let push = Push {
            wants: &desired.wants,
            terms: &terms,
            ledger: &self.ledger,
            allow: &allow,
            max_adds: self.max_adds,
            force: options.force,
            now: now.secs(),
        };
        for c in &mut self.connectors {
            let planned = plan_one(c.as_mut(), &push);
            let (result, rows) = carry_out(c.as_mut(), &planned, now, options, "add");
            report.connectors.push(result);
            report.actions.extend(rows);
        }
        report
    }

    /// Takes back what was pushed, on the devices and for later pushes, until [`Enforcer::redo`].
    pub fn undo(&mut self, selector: &Selector, now: Ts, options: &PushOptions) -> PushReport {
        let mut report =
            PushReport { mode: options.mode, connectors: Vec::new(), held: Vec::new(), actions: Vec::new() };
        if options.mode == Mode::Enforce {
            self.mark_undone(selector, now.secs());
        }
        for c in &mut self.connectors {
            if matches!(selector, Selector::Connector(name) if name != c.name()) {
                continue;
            }
            let planned = undo_plan(c.as_mut(), selector, now.secs());
            if options.mode == Mode::Enforce {
                let scope = if matches!(selector, Selector::Connector(_)) { c.name() } else { "*" };
                planned.plan.remove.iter().for_each(|e| self.ledger.undo(scope, &e.verdict));
            }
            let (result, rows) = carry_out(c.as_mut(), &planned, now, options, "undo");
            report.connectors.push(result);
            report.actions.extend(rows);
        }
        if options.mode == Mode::Enforce
            && let Err(e) = self.save()
        {
            report.held.push(Held { verdict: String::new(), subject: "ledger".into(), why: e.to_string() });
        }
        report
    }

    /// Lets later pushes push again what was taken back.
    pub fn redo(&mut self, selector: &Selector) -> std::io::Result<()> {
        match selector {
            Selector::All => self.ledger.undone.clear(),
            Selector::Connector(name) => drop(self.ledger.undone.remove(name)),
            Selector::Verdict(id) => {
                for set in self.ledger.undone.values_mut() {
                    set.remove(&tag_of(id));
                }
            }
        }
        self.save()
    }

    fn mark_undone(&mut self, selector: &Selector, now: i64) {
        match selector {
            Selector::Verdict(id) => self.ledger.undo("*", &tag_of(id)),
            Selector::Connector(_) | Selector::All => {
                let scope =
                    if let Selector::Connector(name) = selector { name.clone() } else { "*".to_owned() };
                let active = self.ledger.entries.iter().filter(|(_, e)| e.expires_at > now);
                let ids: Vec<String> = active.map(|(id, _)| tag_of(id)).collect();
                ids.iter().for_each(|id| self.ledger.undo(&scope, id));
            }
        }
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

    /// The terms of those wants that at least one device can be told.
    fn sendable(
        &self,
        wants: &[Want],
        terms: &BTreeMap<String, LedgerEntry>,
        allow: &[IpNet],
    ) -> Vec<(String, LedgerEntry)> {
        let told = |want: &Want, term: &LedgerEntry| {
            self.connectors.iter().any(|c| {
                let undone = self.ledger.is_undone(c.name(), &tag_of(&want.verdict));
                !undone && express(want, term, c.as_ref(), allow).is_ok()
            })
        };
        let with_term = wants.iter().filter_map(|w| terms.get(&w.verdict).map(|t| (w, t)));
        with_term.filter(|(w, t)| told(w, t)).map(|(w, t)| (w.verdict.clone(), *t)).collect()
    }

    /// Writes down what is about to be pushed before any device hears of it.
    fn remember(&mut self, terms: Vec<(String, LedgerEntry)>, now: i64) -> std::io::Result<()> {
        self.ledger.entries.extend(terms);
        self.ledger.prune(now);
        self.save()
    }

    fn save(&self) -> std::io::Result<()> {
        self.state.as_ref().map_or(Ok(()), |path| self.ledger.write(path))
    }

    fn allow_of(&self, desired: &Desired) -> Vec<IpNet> {
        let mut allow: Vec<IpNet> = self.allow.iter().chain(&desired.allow).map(IpNet::trunc).collect();
        allow.sort_unstable();
        allow.dedup();
        let all = allow.clone();
        allow.retain(|n| !all.iter().any(|o| o != n && o.contains(n)));
        allow
    }
}

fn held_of(want: &Want, why: &str) -> Held {
    Held { verdict: want.verdict.clone(), subject: want.subject.value.clone(), why: why.to_owned() }
}

fn status_of(c: &mut dyn Connector, now: i64) -> ConnectorStatus {
    let (observed, error) = match c.observe(now) {
        Ok(observed) => (observed, None),
        Err(e) => (Observed::default(), Some(e.to_string())),
    };
    ConnectorStatus {
        name: c.name().to_owned(),
        kind: c.kind(),
        error,
        entries: observed.entries.len(),
        foreign: observed.foreign,
        drift: observed.drift,
        sees: c.sees().clone(),
    }
}

/// What a push has in mind, the same for every device.
struct Push<'a> {
    wants: &'a [Want],
    terms: &'a BTreeMap<String, LedgerEntry>,
    ledger: &'a Ledger,
    allow: &'a [IpNet],
    max_adds: usize,
    force: bool,
    now: i64,
}

fn plan_one(c: &mut dyn Connector, push: &Push<'_>) -> ConnectorPlan {
    let (mut wanted, mut refused) = (Vec::new(), Vec::new());
    for want in push.wants {
        let Some(term) = push.terms.get(&want.verdict) else { continue };
        let undone = push.ledger.is_undone(c.name(), &tag_of(&want.verdict));
        let expressed =
            if undone { Err("taken back".to_owned()) } else { express(want, term, c, push.allow) };
        match expressed {
            Ok(entry) => wanted.push(entry),
            Err(why) => refused.push(Refusal {
                verdict: want.verdict.clone(),
                subject: want.subject.value.clone(),
                why,
            }),
        }
    }
    let mut planned = plan_against(c, push.now, |observed, sees| plan(&wanted, observed, push.allow, sees));
    planned.plan.refused.splice(0..0, refused);
    if planned.plan.add.len() > push.max_adds && !push.force {
        let n = planned.plan.add.len();
        planned.guard =
            Some(format!("{n} entries to add, more than max_adds = {}; push with force", push.max_adds));
    }
    planned
}

fn plan_against(c: &mut dyn Connector, now: i64, make: impl Fn(&Observed, &Sees) -> Plan) -> ConnectorPlan {
    let (plan, error) = match c.observe(now) {
        Ok(observed) => (make(&observed, c.sees()), None),
        Err(e) => (Plan::default(), Some(e.to_string())),
    };
    let keep = plan.target.len().saturating_sub(plan.add.len() + plan.refresh.len());
    ConnectorPlan { name: c.name().to_owned(), kind: c.kind(), error, guard: None, plan, keep }
}

/// The entry that says a want in the device's terms, or why there is none.
fn express(want: &Want, term: &LedgerEntry, c: &dyn Connector, allow: &[IpNet]) -> Result<Entry, String> {
    let sees = c.sees();
    if !c.zones().is_empty() && !c.zones().contains(&want.zone) {
        return Err(format!("it stands outside of zone {}", want.zone));
    }
    let Some(net) = subject_net(&want.subject) else {
        return Err(format!(
            "a subject of kind {} cannot be matched here: {}",
            want.subject.kind, sees.cannot
        ));
    };
    if !sees.responses.contains(&want.response) {
        return Err(format!("it cannot {}", want.response));
    }
    if let Some(why) = never_blockable(&net) {
        return Err(format!("{why} address"));
    }
    if allow.iter().any(|a| a.contains(&net) || net.contains(a)) {
        return Err("on the allow list".to_owned());
    }
    let (v6, single) = (matches!(net, IpNet::V6(_)), net.prefix_len() == net.max_prefix_len());
    if net.prefix_len() < if v6 { MIN_PREFIX.1 } else { MIN_PREFIX.0 } {
        return Err("a network this wide is never sent".to_owned());
    }
    if (v6 && !sees.ipv6) || (!single && !sees.networks) {
        return Err("it cannot match such an address".to_owned());
    }
    Ok(Entry {
        net,
        response: want.response,
        expires_at: term.expires_at,
        verdict: tag_of(&want.verdict),
        priority: (want.score, want.last_seen.secs()),
    })
}

fn undo_plan(c: &mut dyn Connector, selector: &Selector, now: i64) -> ConnectorPlan {
    let tag = if let Selector::Verdict(id) = selector { Some(tag_of(id)) } else { None };
    let make = |observed: &Observed, _: &Sees| {
        let goes = |e: &&Entry| tag.as_ref().is_none_or(|t| *t == e.verdict);
        let (remove, mut target): (Vec<&Entry>, Vec<&Entry>) = observed.entries.iter().partition(goes);
        target.sort_by_key(|e| e.net);
        Plan {
            remove: remove.into_iter().cloned().collect(),
            target: target.into_iter().cloned().collect(),
            allow: observed.allow.clone(),
            ..Plan::default()
        }
    };
    plan_against(c, now, make)
}

fn carry_out(
    c: &mut dyn Connector,
    planned: &ConnectorPlan,
    now: Ts,
    options: &PushOptions,
    why: &str,
) -> (ConnectorResult, Vec<ActionRow>) {
    let plan = &planned.plan;
    let mut result = ConnectorResult {
        name: planned.name.clone(),
        kind: planned.kind,
        outcome: "unchanged".to_owned(),
        answer: String::new(),
        added: plan.add.len(),
        refreshed: plan.refresh.len(),
        removed: plan.remove.len(),
        refused: plan.refused.len(),
        verified: None,
    };
    if let Some(e) = &planned.error {
        (result.outcome, result.answer) = ("failed".to_owned(), e.clone());
    } else if let Some(guard) = &planned.guard {
        (result.outcome, result.answer) = ("held".to_owned(), guard.clone());
    } else if !plan.is_empty() && options.mode == Mode::DryRun {
        result.outcome = "planned".to_owned();
    } else if !plan.is_empty() {
        match apply_and_verify(c, plan, now.secs()) {
            Ok((answer, entries)) => {
                (result.outcome, result.answer, result.verified) = ("done".to_owned(), answer, Some(entries));
            }
            Err(e) => {
                tracing::warn!(connector = %planned.name, error = %e, "device not changed");
                (result.outcome, result.answer) = ("failed".to_owned(), e.to_string());
            }
        }
    }
    let rows = rows_of(&result, plan, now, options, why);
    (result, rows)
}

/// Applies a plan and reads the device back: what should be there has to be.
fn apply_and_verify(c: &mut dyn Connector, plan: &Plan, now: i64) -> Result<(String, usize), ConnectorError> {
    let answer = c.apply(plan, now)?;
    let observed = c.observe(now)?;
    let have: std::collections::BTreeSet<IpNet> = observed.entries.iter().map(|e| e.net).collect();
    let missing = plan.target.iter().filter(|e| e.expires_at > now + 2 && !have.contains(&e.net)).count();
    let wanted: std::collections::BTreeSet<IpNet> = plan.target.iter().map(|e| e.net).collect();
    let left = plan.remove.iter().filter(|e| have.contains(&e.net) && !wanted.contains(&e.net)).count();
    if missing + left > 0 {
        return Err(ConnectorError::Answer(format!(
            "{missing} entries are missing and {left} left after it said yes"
        )));
    }
    Ok((answer.text, observed.entries.len()))
}

fn failed(c: &dyn Connector, why: &str) -> ConnectorResult {
    ConnectorResult {
        name: c.name().to_owned(),
        kind: c.kind(),
        outcome: "failed".to_owned(),
        answer: format!("the ledger cannot be written: {why}"),
        added: 0,
        refreshed: 0,
        removed: 0,
        refused: 0,
        verified: None,
    }
}

fn rows_of(
    result: &ConnectorResult,
    plan: &Plan,
    now: Ts,
    options: &PushOptions,
    why: &str,
) -> Vec<ActionRow> {
    let outcome = match result.outcome.as_str() {
        "done" => "done",
        "planned" | "unchanged" => "planned",
        "held" => "refused",
        _ => "failed",
    };
    let row = |kind: &str, e: &Entry| ActionRow {
        at: now,
        actor: options.actor.clone(),
        connector: result.name.clone(),
        kind: kind.to_owned(),
        mode: options.mode.name().to_owned(),
        subject: e.net.to_string(),
        response: e.response.name().to_owned(),
        verdict: Some(e.verdict.clone()).filter(|v| !v.is_empty()),
        expires_at: Some(Ts::from_parts(e.expires_at, 0)),
        outcome: outcome.to_owned(),
        answer: result.answer.clone(),
    };
    let removal = if why == "undo" { "undo" } else { "remove" };
    if matches!(outcome, "failed" | "refused") {
        return vec![row_of_failure(result, now, options, outcome)];
    }
    let adds = plan.add.iter().map(|e| row("add", e));
    let rest =
        plan.refresh.iter().map(|e| row("refresh", e)).chain(plan.remove.iter().map(|e| row(removal, e)));
    adds.chain(rest).collect()
}

/// One row for a push that changed nothing, however many entries it had: a device that is away must not flood the audit.
fn row_of_failure(result: &ConnectorResult, now: Ts, options: &PushOptions, outcome: &str) -> ActionRow {
    ActionRow {
        at: now,
        actor: options.actor.clone(),
        connector: result.name.clone(),
        kind: "push".to_owned(),
        mode: options.mode.name().to_owned(),
        subject: format!("{} entries", result.added + result.refreshed + result.removed),
        response: String::new(),
        verdict: None,
        expires_at: None,
        outcome: outcome.to_owned(),
        answer: result.answer.clone(),
    }
}
