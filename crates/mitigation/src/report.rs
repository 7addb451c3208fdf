use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sidetap_model::ActionRow;

use crate::connector::Connector;
use crate::contended::Contended;
use crate::desired::Held;
use crate::entry::{Entry, Sees};
use crate::plan::{Plan, Refusal};
use crate::status::Ends;

/// Whether devices are changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Nothing is changed; the report says what would be.
    #[default]
    DryRun,
    /// Devices are changed.
    Enforce,
}

impl Mode {
    /// The name that outputs use.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::DryRun => "dry-run",
            Mode::Enforce => "enforce",
        }
    }
}

/// What `sidetap mitigation status` shows.
#[derive(Clone, Debug, Serialize)]
pub struct StatusReport {
    /// Each connector.
    pub connectors: Vec<ConnectorStatus>,
    /// Verdicts pushed whose time to live is not over.
    pub active: usize,
    /// Verdicts that were taken back.
    pub undone: usize,
    /// Whether devices were being changed all the while, so that what is told of them may be over by now.
    pub under_way: bool,
    /// What else has to be said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One connector's state.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectorStatus {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// Why the device could not be read, where it could not.
    pub error: Option<String>,
    /// Own entries on the device.
    pub entries: usize,
    /// Entries of others beside them.
    pub foreign: usize,
    /// Entries that were left there and are gone before their time.
    pub missing: usize,
    /// What else is not as it should be there, and where its entries have no effect.
    pub drift: Vec<String>,
    /// Whether entries of verdicts were left there that are not over, and none is there.
    pub emptied: bool,
    /// Whether it was being changed all the while.
    pub under_way: bool,
    /// That somebody else writes under the same mark, and when that was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contended: Option<Contended>,
    /// What it sees and can do.
    pub sees: Sees,
}

/// What `sidetap mitigation plan` shows.
#[derive(Clone, Debug, Serialize)]
pub struct PlanReport {
    /// Each connector.
    pub connectors: Vec<ConnectorPlan>,
    /// Verdicts that go nowhere, with the reason, besides those that the desired state holds already.
    pub held: Vec<Held>,
}

/// What would be done to one device.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectorPlan {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// Why the device could not be read, where it could not.
    pub error: Option<String>,
    /// Why the plan is not carried out as it is, where a guard holds it.
    pub guard: Option<String>,
    /// New and longer entries that it holds; what lets go, and the allow list, it does not.
    #[serde(skip_serializing_if = "is_zero")]
    pub held: usize,
    /// New entries that wait for the next minute.
    #[serde(skip_serializing_if = "is_zero")]
    pub waiting: usize,
    /// Entries that nobody asks for any more and that stay until they are over, since the list would shrink too much at once.
    #[serde(skip_serializing_if = "is_zero")]
    pub stale: usize,
    /// Entries of verdicts that this ledger never had, which stay until they are over: the ledger was lost, or another Sidetap writes there.
    #[serde(skip_serializing_if = "is_zero")]
    pub unknown: usize,
    /// Verdicts that are sent in another form than was preferred, with what the device cannot do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub weaker: Vec<Refusal>,
    /// How many of these there are, by what the device cannot do.
    #[serde(skip)]
    pub(crate) partly: BTreeMap<String, usize>,
    /// Entries under our mark of verdicts that are not ours.
    #[serde(skip)]
    pub(crate) strangers: Vec<Entry>,
    /// What the canary's proof needs.
    #[serde(skip)]
    pub(crate) proof: Proof,
    /// The entries of verdicts that are there.
    #[serde(skip)]
    pub(crate) there: Ends,
    /// Whether that was read without the device, which does not answer: what lets go is taken out all the same.
    #[serde(skip)]
    pub(crate) unheard: bool,
    /// Why, by the verdict, what is new or longer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub why: BTreeMap<String, String>,
    /// Why, by the key, what lets go.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub why_not: BTreeMap<String, String>,
    /// The plan.
    #[serde(flatten)]
    pub plan: Plan,
    /// Entries that stay as they are.
    pub keep: usize,
}

/// What `sidetap mitigation push` and `undo` show.
#[derive(Clone, Debug, Serialize)]
pub struct PushReport {
    /// `dry-run` or `enforce`.
    pub mode: Mode,
    /// Each connector.
    pub connectors: Vec<ConnectorResult>,
    /// Verdicts that go nowhere, with the reason, besides those that the desired state holds already.
    pub held: Vec<Held>,
    /// Row by row what was done or would be, for the audit.
    pub actions: Vec<ActionRow>,
    /// What else went wrong: a ledger that could not be written, a lock that was not waited for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// That what was taken back is not remembered as taken back, so that the next push puts it back.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub forgotten: bool,
}

impl PushReport {
    /// Whether every device that was to be changed was.
    pub fn is_ok(&self) -> bool {
        let is_well =
            |c: &ConnectorResult| matches!(c.outcome.as_str(), "unchanged" | "planned" | "waiting" | "done");
        !self.forgotten && self.connectors.iter().all(is_well)
    }

    /// A report of which nothing is known yet.
    pub(crate) fn new(mode: Mode, held: Vec<Held>) -> Self {
        PushReport {
            mode,
            connectors: Vec::new(),
            held,
            actions: Vec::new(),
            notes: Vec::new(),
            forgotten: false,
        }
    }

    /// Says that what an undo takes back could not be written down: nothing of it is done, since it comes back.
    pub(crate) fn forget(&mut self, why: &std::io::Error) {
        const COMES_BACK: &str = "not remembered as taken back, so the next push puts it back";
        if self.forgotten {
            return;
        }
        self.forgotten = true;
        self.notes.push(format!("the ledger cannot be written: {why}; what comes off the devices is {COMES_BACK}: undo again when that is mended, or stop pushes until then (`sidetap mitigation stop`)"));
        for c in self.connectors.iter_mut().filter(|c| matches!(c.outcome.as_str(), "done" | "unchanged")) {
            let comma = if c.answer.is_empty() { "" } else { "; " };
            (c.outcome, c.answer) = ("failed".to_owned(), format!("{}{comma}{COMES_BACK}", c.answer));
        }
    }
}

/// What a canary needs, to prove something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Nothing more.
    #[default]
    Usual,
    /// The same, and it is sent once: it proved nothing the last time, and who is to be blocked next does not wait for it.
    Hurried,
    /// Its entry is not there, and has to be seen to make the difference.
    Unseen,
    /// Its entry is not set, for this reason.
    Withheld(String),
}

/// What was done to one device.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectorResult {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// `unchanged`, `planned`, `done`, `held`, `waiting` (it is left alone for a while) or `failed`.
    pub outcome: String,
    /// The device's answer, or the reason.
    pub answer: String,
    /// Entries added.
    pub added: usize,
    /// Entries whose expiry was set anew.
    pub refreshed: usize,
    /// Entries removed.
    pub removed: usize,
    /// Entries not sent, with the reason.
    pub refused: usize,
    /// Why they are not, and how many for each reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unsent: BTreeMap<String, usize>,
    /// Of these, new ones that wait for the next minute.
    #[serde(skip_serializing_if = "is_zero")]
    pub waiting: usize,
    /// Verdicts that are sent in part or in another form than was preferred, by what the device cannot do.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub weaker: BTreeMap<String, usize>,
    /// Own entries on the device afterwards, as read back; none where nothing was changed.
    pub verified: Option<usize>,
    /// At what risk it was changed, where it was at one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk: Option<String>,
    /// Milliseconds until the canary was refused, where there is one.
    pub effect_ms: Option<u64>,
    /// That somebody else writes under the same mark, and when that was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contended: Option<Contended>,
    /// The entries of verdicts that it was left with.
    #[serde(skip)]
    pub(crate) left: Ends,
    /// The canary's address that was seen let through before its entry stood.
    #[serde(skip)]
    pub(crate) seen: Option<IpAddr>,
    /// Seconds after which it can be asked again, where it is left alone until then.
    #[serde(skip)]
    pub again_s: Option<u64>,
}

impl ConnectorResult {
    /// A result of which nothing else is known.
    pub(crate) fn of(c: &dyn Connector, outcome: &str, answer: String) -> Self {
        ConnectorResult {
            name: c.name().to_owned(),
            kind: c.kind(),
            outcome: outcome.to_owned(),
            answer,
            added: 0,
            refreshed: 0,
            removed: 0,
            refused: 0,
            unsent: BTreeMap::new(),
            weaker: BTreeMap::new(),
            waiting: 0,
            verified: None,
            risk: None,
            effect_ms: None,
            contended: None,
            left: Ends::default(),
            seen: None,
            again_s: None,
        }
    }
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}
