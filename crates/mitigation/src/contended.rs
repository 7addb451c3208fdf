//! Noticing that somebody else writes under the same mark: a second Sidetap, each of which takes the other's entries for its own.
//!
//! The ledger has all that this site ever pushed, whichever process did, and of each device what else was left there by the last push.
//! What carries the mark and is neither has been written by somebody else since. A ledger that is new, or was lost, has no such note, so
//! that what it finds at first is taken for its own of before.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sidetap_model::{ActionRow, Ts};

use crate::canary::CANARY;
use crate::enforcer::PushOptions;
use crate::entry::{Entry, tag_of};
use crate::ledger::Ledger;
use crate::report::{ConnectorPlan, ConnectorResult, Mode};

/// Seconds after which it is over where nothing more was seen.
const OVER_S: i64 = 86_400;
/// Seconds after which the audit is told again while it goes on.
const AGAIN_S: i64 = 3_600;

/// That somebody else writes under the mark of a connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contended {
    /// Since when, in seconds of the wall clock.
    pub since: i64,
    /// When it was seen last.
    pub last: i64,
    /// An entry of theirs, as it was seen last.
    pub example: String,
    /// The verdict that it names, which this Sidetap never pushed.
    pub verdict: String,
    /// When the audit was told last.
    pub told: i64,
}

impl Contended {
    /// What it means and what helps, in words.
    pub fn text(&self) -> String {
        format!(
            "somebody else writes under the same mark (owner, table, set, folder or list): {} of verdict {} is not of this Sidetap; \
             give each a mark of its own, since neither takes away what the other lets go",
            self.example, self.verdict
        )
    }

    /// Whether it is so still, as far as is known.
    pub(crate) fn is_now(&self, now: i64) -> bool {
        now.saturating_sub(self.last) < OVER_S
    }
}

/// What of the entries under our mark is not of the ledger, on one device.
#[derive(Debug)]
pub(crate) struct Strangers {
    connector: String,
    /// Found before the push: an entry of each verdict.
    found: BTreeMap<String, Entry>,
    /// Those that are there after it.
    left: BTreeSet<String>,
}

/// Entries of verdicts that are not in the ledger.
pub(crate) fn strangers(entries: &[Entry], ledger: &Ledger, keep: &BTreeSet<String>, now: i64) -> Vec<Entry> {
    let is_strange =
        |e: &&Entry| e.expires_at > now && !keep.contains(&e.verdict) && !knows(ledger, &e.verdict);
    let found: Vec<Entry> = entries.iter().filter(is_strange).cloned().collect();
    if found.is_empty() {
        return found;
    }
    let spelled: BTreeSet<String> = ledger.entries.keys().map(|id| tag_of(id)).collect();
    found.into_iter().filter(|e| !spelled.contains(&e.verdict)).collect()
}

/// Whether the ledger has a verdict of this tag, where it is spelled alike.
fn knows(ledger: &Ledger, tag: &str) -> bool {
    tag.is_empty()
        || tag == CANARY
        || ledger.entries.contains_key(tag)
        || ledger.undone.values().any(|set| set.contains(tag))
}

impl Strangers {
    /// What a push found and left, where it looked at the device and may change it.
    pub(crate) fn of(plan: &ConnectorPlan, result: &ConnectorResult) -> Option<Self> {
        if plan.error.is_some() {
            return None;
        }
        let found: BTreeMap<String, Entry> =
            plan.strangers.iter().map(|e| (e.verdict.clone(), e.clone())).collect();
        // A removal was read back; where nothing is known of it all is taken to be there still.
        let gone = matches!(result.outcome.as_str(), "done" | "unchanged");
        let stays: BTreeSet<&str> = plan.plan.target.iter().map(|e| e.verdict.as_str()).collect();
        let kept: BTreeSet<_> = plan.plan.target.iter().map(|e| &e.key).collect();
        let is_left = |e: &Entry| !gone || stays.contains(e.verdict.as_str()) || kept.contains(&e.key);
        let left = found.iter().filter(|(_, e)| is_left(e)).map(|(tag, _)| tag.clone()).collect();
        Some(Strangers { connector: result.name.clone(), found, left })
    }

    /// Forgets those that another process of this site pushed meanwhile.
    fn recheck(&mut self, ledger: &Ledger) {
        let spelled: BTreeSet<String> = match self.found.is_empty() {
            true => BTreeSet::new(),
            false => ledger.entries.keys().map(|id| tag_of(id)).collect(),
        };
        self.found.retain(|tag, _| !knows(ledger, tag) && !spelled.contains(tag));
        self.left.retain(|tag| self.found.contains_key(tag));
    }
}

/// What has to be written down of what was found.
pub(crate) struct Noticed {
    connector: String,
    left: BTreeSet<String>,
    contended: Option<Contended>,
    /// Whether the audit is to be told.
    is_news: bool,
}

/// What the ledger does not have yet of what pushes found.
pub(crate) fn noticed(all: Vec<Strangers>, ledger: &Ledger, now: i64) -> Vec<Noticed> {
    let one = |mut s: Strangers| {
        s.recheck(ledger);
        let before = ledger.left.get(&s.connector);
        let new = before.and_then(|known| s.found.iter().find(|(tag, _)| !known.contains(*tag)));
        let old = ledger.contended.get(&s.connector).filter(|c| c.is_now(now));
        let is_news = new.is_some() && old.is_none_or(|c| now.saturating_sub(c.told) >= AGAIN_S);
        let contended = new.map(|(tag, entry)| Contended {
            since: old.map_or(now, |c| c.since),
            last: now,
            example: entry.key.to_string(),
            verdict: tag.clone(),
            told: old.map_or(now, |c| if is_news { now } else { c.told }),
        });
        let same = before == Some(&s.left) && contended.is_none();
        (!same).then_some(Noticed { connector: s.connector, left: s.left, contended, is_news })
    };
    all.into_iter().filter_map(one).collect()
}

impl Noticed {
    /// Puts it into the ledger.
    pub(crate) fn write(&self, ledger: &mut Ledger) {
        ledger.left.insert(self.connector.clone(), self.left.clone());
        if let Some(contended) = &self.contended {
            ledger.contended.insert(self.connector.clone(), contended.clone());
        }
    }

    /// The row of the audit, where it is time for one.
    pub(crate) fn row(&self, now: Ts, options: &PushOptions) -> Option<ActionRow> {
        let contended = self.contended.as_ref().filter(|_| self.is_news)?;
        tracing::warn!(
            connector = %self.connector,
            example = %contended.example,
            verdict = %contended.verdict,
            "somebody else writes under the same mark"
        );
        Some(ActionRow {
            at: now,
            actor: options.actor.clone(),
            connector: self.connector.clone(),
            kind: "contended".to_owned(),
            mode: Mode::Enforce.name().to_owned(),
            subject: contended.example.clone(),
            response: String::new(),
            verdict: Some(contended.verdict.clone()),
            expires_at: None,
            outcome: "noticed".to_owned(),
            answer: contended.text(),
            why: String::new(),
        })
    }
}
