use std::collections::BTreeSet;

use rusqlite::params;
use serde::{Deserialize, Serialize};
use sidetap_model::Ts;
use sidetap_model::rows::Subject;

use crate::error::StoreError;
use crate::journal::AuditRow;
use crate::load::parse;
use crate::open::Store;
use crate::save::json;

/// Something that waits for somebody's yes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Its number, given by the store.
    #[serde(default)]
    pub id: i64,
    /// Asked when, by the wall clock.
    pub at: Ts,
    /// Until when it waits; and how long a yes holds.
    pub expires_at: Ts,
    /// The verdict.
    pub verdict: String,
    /// Whom it names.
    pub subject: Subject,
    /// What would be done.
    pub response: String,
    /// All that a yes is to: what is done to whom, where and for how long, in a form to compare.
    #[serde(default)]
    pub asks: String,
    /// Which rule asks.
    pub policy: String,
    /// The campaign.
    pub campaign: Option<String>,
    /// Why.
    pub reason: String,
    /// `pending`, `approved`, `rejected` or `expired`.
    pub state: String,
    /// When that was decided.
    pub decided_at: Option<Ts>,
    /// Who decided it.
    pub decided_by: Option<String>,
}

/// Which approvals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one of this number.
    Id(i64),
    /// Those of a verdict.
    Verdict(String),
    /// Those of a campaign.
    Campaign(String),
    /// Those of a rule.
    Policy(String),
    /// Those of which all that is named here holds.
    Chosen(Chosen),
    /// All.
    All,
}

/// What is named of approvals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Their numbers.
    pub ids: Option<BTreeSet<i64>>,
    /// Their verdict.
    pub verdict: Option<String>,
    /// Their campaign.
    pub campaign: Option<String>,
    /// Their rule.
    pub policy: Option<String>,
    /// The greatest number: what was asked later has not been seen by who decides.
    pub up_to: Option<i64>,
}

impl Chosen {
    fn names(&self, a: &Approval) -> bool {
        self.ids.as_ref().is_none_or(|ids| ids.contains(&a.id))
            && self.verdict.as_ref().is_none_or(|v| a.verdict == *v)
            && self.campaign.as_ref().is_none_or(|c| a.campaign.as_ref() == Some(c))
            && self.policy.as_ref().is_none_or(|p| a.policy == *p)
            && self.up_to.is_none_or(|last| a.id <= last)
    }
}

impl Which {
    /// Whether an approval is one of them.
    pub fn names(&self, a: &Approval) -> bool {
        match self {
            Which::Id(id) => a.id == *id,
            Which::Verdict(v) => a.verdict == *v,
            Which::Campaign(c) => a.campaign.as_deref() == Some(c),
            Which::Policy(p) => a.policy == *p,
            Which::Chosen(chosen) => chosen.names(a),
            Which::All => true,
        }
    }
}

/// Most approvals that wait at once: a person has to look at them.
const WAITING: i64 = 10_000;

impl Store {
    /// Asks for approvals; what waits already, or was rejected and is not over, is not asked again. A question that waits for the same
    /// verdict and asks something else is over. Gives how many were added.
    pub fn ask(&mut self, asked: &[Approval]) -> Result<usize, StoreError> {
        let transaction = self.begin_vital()?;
        let mut room: i64 = WAITING
            - transaction.query_row("SELECT count(*) FROM approvals WHERE state = 'pending'", [], |r| {
                r.get::<_, i64>(0)
            })?;
        let mut added = 0;
        for a in asked {
            let known: i64 = transaction
                .prepare_cached(
                    "SELECT count(*) FROM approvals WHERE verdict = ?1 AND expires_at > ?2 AND state <> 'expired' AND coalesce(json_extract(row, '$.asks'), '') = ?3",
                )?
                .query_row(params![a.verdict, a.at.0, a.asks], |r| r.get(0))?;
            if known > 0 || room <= 0 {
                continue;
            }
            transaction
                .prepare_cached(
                    "UPDATE approvals SET state = 'expired' WHERE verdict = ?1 AND state = 'pending'",
                )?
                .execute(params![a.verdict])?;
            transaction
                .prepare_cached(
                    "INSERT INTO approvals (at, expires_at, verdict, state, row) VALUES (?1, ?2, ?3, 'pending', ?4)",
                )?
                .execute(params![a.at.0, a.expires_at.0, a.verdict, json(a, "approvals")?])?;
            room -= 1;
            added += 1;
        }
        transaction.commit()?;
        Ok(added)
    }

    /// All approvals, newest first; what waited too long says so.
    pub fn approvals(&self, now: Ts) -> Result<Vec<Approval>, StoreError> {
        let sql = "SELECT id, state, decided_at, decided_by, row FROM approvals ORDER BY id DESC";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            let mut a: Approval = parse(&row.get::<_, String>(4)?, "approvals")?;
            (a.id, a.state) = (row.get(0)?, row.get(1)?);
            (a.decided_at, a.decided_by) = (row.get::<_, Option<i64>>(2)?.map(Ts), row.get(3)?);
            if a.state == "pending" && a.expires_at <= now {
                a.state = "expired".into();
            }
            out.push(a);
        }
        Ok(out)
    }

    /// Decides what waits; each decision stands in the audit. Gives what was decided.
    pub fn decide(
        &mut self,
        which: &Which,
        yes: bool,
        by: &str,
        now: Ts,
    ) -> Result<Vec<Approval>, StoreError> {
        let waiting = self.approvals(now)?.into_iter().filter(|a| a.state == "pending" && which.names(a));
        let mut decided: Vec<Approval> = waiting.collect();
        let state = if yes { "approved" } else { "rejected" };
        let transaction = self.begin_vital()?;
        for a in &mut decided {
            transaction
                .prepare_cached(
                    "UPDATE approvals SET state = ?2, decided_at = ?3, decided_by = ?4 WHERE id = ?1 AND state = 'pending'",
                )?
                .execute(params![a.id, state, now.0, by])?;
            (a.state, a.decided_at, a.decided_by) = (state.to_owned(), Some(now), Some(by.to_owned()));
            let action = format!("mitigation.{}", if yes { "approve" } else { "reject" });
            transaction
                .prepare_cached("INSERT INTO audit (at, actor, action, detail) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![now.0, by, action, json(a, "approvals")?])?;
        }
        transaction.commit()?;
        Ok(decided)
    }

    /// Takes back questions that wait: a yes to them would change nothing.
    pub fn withdraw(&mut self, ids: &[i64]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let transaction = self.begin_vital()?;
        for id in ids {
            transaction
                .prepare_cached("UPDATE approvals SET state = 'expired' WHERE id = ?1 AND state = 'pending'")?
                .execute([id])?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Appends a row to the audit about something other than an action.
    pub fn note(
        &mut self,
        actor: &str,
        action: &str,
        detail: serde_json::Value,
        now: Ts,
    ) -> Result<(), StoreError> {
        self.record_audit(&AuditRow { at: now, actor: actor.to_owned(), action: action.to_owned(), detail })
    }
}
