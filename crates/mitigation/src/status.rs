//! What a device holds against what it was left with.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sidetap_model::Ts;

use crate::canary::CANARY;
use crate::connector::{Connector, ConnectorError, Observed};
use crate::enforcer::{Enforcer, each};
use crate::entry::Entry;
use crate::ledger::{Ledger, LedgerFile};
use crate::report::{ConnectorStatus, StatusReport};
use crate::resolve::UNSEEN;

/// Seconds that an entry which is over may still be there: a watch looks at its devices every half a minute.
const GRACE_S: i64 = 60;
/// Seconds of these by which a device's clock may be another one.
const CLOCK_S: i64 = 5;

/// How often a status is read again while devices are being changed, and how long is waited in between.
const LOOKS: usize = 5;
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// How many entries of verdicts there are, by the second in which they end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ends(BTreeMap<i64, usize>);

impl Ends {
    pub(crate) fn of(entries: &[Entry]) -> Self {
        let mut ends = BTreeMap::new();
        for entry in entries.iter().filter(|e| e.verdict != CANARY) {
            *ends.entry(entry.expires_at).or_default() += 1;
        }
        Ends(ends)
    }

    /// The last end.
    pub(crate) fn last(&self) -> Option<i64> {
        self.0.last_key_value().map(|(end, _)| *end)
    }

    /// How many that were left there are missing: of those that are not over for a while yet.
    pub(crate) fn missing(&self, there: &Ends, now: i64) -> usize {
        self.after(now + GRACE_S + CLOCK_S).saturating_sub(there.after(now + GRACE_S))
    }

    fn after(&self, at: i64) -> usize {
        self.0.range(at..).map(|(_, n)| n).sum()
    }

    /// How many are over for a while.
    fn over(&self, now: i64) -> usize {
        self.0.range(..=now - GRACE_S).map(|(_, n)| n).sum()
    }
}

impl Enforcer {
    /// Reads every device. What does not go with what was left there is told once nobody changes it: a push, of another process too, has
    /// changed a device before it writes down how it left it.
    pub fn status(&mut self, now: Ts) -> StatusReport {
        let mut report = self.status_once(now);
        for _ in 0..LOOKS {
            if !report.under_way {
                break;
            }
            std::thread::sleep(LOOK_PAUSE);
            report = self.status_once(now);
        }
        report
    }

    fn status_once(&mut self, now: Ts) -> StatusReport {
        let unread = self.look().err().map(|e| {
            format!("the ledger cannot be read: {e}; devices are held against what was read of it before")
        });
        let is_busy = |file: &Option<LedgerFile>, name: &str| file.as_ref().is_some_and(|f| f.is_busy(name));
        let before: Vec<bool> = self.slots.iter().map(|s| is_busy(&self.file, s.connector.name())).collect();
        let ledger = &self.ledger;
        let read = each(&mut self.slots, |s| status_of(s.connector.as_mut(), ledger, now.secs()));
        let is_news = self.file.as_ref().is_some_and(LedgerFile::is_news);
        let mut connectors = Vec::new();
        for ((mut status, doubts), before) in read.into_iter().zip(before) {
            status.under_way = before || is_news || is_busy(&self.file, &status.name);
            status.drift.extend(doubts.into_iter().filter(|_| !status.under_way));
            status.emptied &= !status.under_way;
            status.contended = self.contended(&status.name, now.secs());
            connectors.push(status);
        }
        let active = self.ledger.entries.values().filter(|e| e.expires_at > now.secs()).count();
        let undone = self.ledger.undone.values().map(|set| set.len()).sum();
        let under_way = connectors.iter().any(|c| c.under_way);
        let forgotten = Some(self.ledger.back.forgotten()).filter(|n| *n > 0).map(|n| {
            format!("{n} clients of whom something was taken back are forgotten: there was no room; what names them under another name may be pushed")
        });
        let notes = unread.into_iter().chain(forgotten).collect();
        StatusReport { connectors, active, undone, under_way, notes }
    }
}

/// What a device holds, and apart what does not go with the ledger, which may be so only while somebody changes it.
fn status_of(c: &mut dyn Connector, ledger: &Ledger, now: i64) -> (ConnectorStatus, Vec<String>) {
    let (observed, error) = match c.observe(now) {
        Ok(observed) => (observed, None),
        Err(e) => (Observed::default(), Some(e.to_string())),
    };
    let (mut drift, mut doubts) = (observed.drift, Vec::new());
    // That its entry is there says nothing of whether requests feel it.
    let stands = observed.entries.iter().any(|e| e.verdict == CANARY);
    if let Some(canary) = c.canary().filter(|_| !observed.entries.is_empty()) {
        let proved = match (stands, ledger.knows(c.name(), canary)) {
            (false, _) => Err(ConnectorError::Unproved("its entry does not stand".to_owned())),
            (true, false) => Err(ConnectorError::Unproved(UNSEEN.to_owned())),
            (true, true) => canary.send(&observed.allow, false).map(|_| ()),
        };
        let told = if stands { &mut drift } else { &mut doubts };
        told.extend(proved.err().map(|e| e.to_string()));
    }
    let emptied = error.is_none()
        && ledger.left_some(c.name(), now)
        && observed.entries.iter().all(|e| e.verdict == CANARY);
    let there = Ends::of(&observed.entries);
    let missing = if error.is_none() { ledger.missing(c.name(), &there, now) } else { 0 };
    if missing > 0 && !emptied {
        doubts.push(format!("{missing} entries that were left there are gone: a push puts them back"));
    }
    let over = there.over(now);
    if over > 0 && !c.sees().native_ttl {
        doubts.push(format!("{over} entries act whose time is over: nobody reconciles, a push lets them go"));
    }
    let status = ConnectorStatus {
        name: c.name().to_owned(),
        kind: c.kind(),
        emptied,
        under_way: false,
        error,
        entries: observed.entries.len(),
        foreign: observed.foreign,
        missing,
        drift,
        contended: None,
        sees: c.sees().clone(),
    };
    (status, doubts)
}
