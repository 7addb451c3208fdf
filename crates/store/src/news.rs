//! What was written since somebody looked last.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::items::{ActionItem, CampaignItem, VerdictItem};
use crate::load::parse;
use crate::open::Store;

/// Verdicts, campaigns and actions that are told at once; of more the newest.
const VERDICTS: usize = 100;
const CAMPAIGNS: usize = 50;
const ACTIONS: usize = 100;

/// How far somebody has seen each table.
///
/// A row that changes is written anew and gets a greater number, so what has a greater one is new or changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// Verdicts.
    pub verdicts: i64,
    /// Campaigns.
    pub campaigns: i64,
    /// Actions.
    pub actions: i64,
    /// Endpoints.
    pub endpoints: i64,
    /// Findings.
    pub findings: i64,
    /// Sensitive data.
    pub sensitive: i64,
    /// What was asked for approval.
    pub approvals: i64,
    /// What people did, by the audit.
    pub audit: i64,
}

/// What is new.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct News {
    /// How far this goes.
    pub marks: Marks,
    /// Malicious and suspicious verdicts.
    pub verdicts: Vec<VerdictItem>,
    /// Campaigns.
    pub campaigns: Vec<CampaignItem>,
    /// Actions.
    pub actions: Vec<ActionItem>,
    /// Tables with something new in them.
    pub changed: Vec<&'static str>,
}

impl Store {
    /// How far there is anything.
    pub fn marks(&self) -> Result<Marks, StoreError> {
        let last = |table: &str| -> Result<i64, StoreError> {
            let sql = format!("SELECT coalesce(max(rowid), 0) FROM {table}");
            Ok(self.connection.prepare_cached(&sql)?.query_row([], |r| r.get(0))?)
        };
        Ok(Marks {
            verdicts: last("now_verdicts")?,
            campaigns: last("now_campaigns")?,
            actions: last("actions")?,
            endpoints: last("now_endpoints")?,
            findings: last("now_findings")?,
            sensitive: last("now_sensitive")?,
            approvals: last("approvals")?,
            audit: last("audit")?,
        })
    }

    /// What was written since.
    pub fn news(&self, since: &Marks) -> Result<News, StoreError> {
        let marks = self.marks()?;
        let mut news = News { marks, ..News::default() };
        let tables = [
            ("endpoints", since.endpoints, marks.endpoints),
            ("sensitive", since.sensitive, marks.sensitive),
            ("findings", since.findings, marks.findings),
            ("campaigns", since.campaigns, marks.campaigns),
            ("verdicts", since.verdicts, marks.verdicts),
            ("actions", since.actions, marks.actions),
            ("approvals", since.approvals, marks.approvals),
            ("audit", since.audit, marks.audit),
        ];
        let fresh = tables.iter().filter(|(_, was, is)| is > was).map(|(name, _, _)| *name);
        let worked_on: BTreeSet<&str> = fresh.chain(self.worked_on(since.audit)?).collect();
        news.changed = worked_on.into_iter().collect();
        if marks.verdicts > since.verdicts {
            let sql = "SELECT coalesce(n.row, (SELECT b.row FROM verdicts b WHERE b.id = n.id LIMIT 1)) FROM now_verdicts n
                WHERE n.rowid > ?1 AND n.intent IN ('malicious', 'suspicious') ORDER BY n.rowid DESC LIMIT ?2";
            let mut statement = self.connection.prepare_cached(sql)?;
            let mut rows = statement.query([since.verdicts, VERDICTS as i64])?;
            while let Some(row) = rows.next()? {
                let verdict: sidetap_model::rows::VerdictRow = parse(&row.get::<_, String>(0)?, "verdicts")?;
                news.verdicts.push(VerdictItem::from(verdict));
            }
        }
        if marks.campaigns > since.campaigns {
            let sql = "SELECT brief FROM now_campaigns WHERE rowid > ?1 ORDER BY rowid DESC LIMIT ?2";
            let mut statement = self.connection.prepare_cached(sql)?;
            let mut rows = statement.query([since.campaigns, CAMPAIGNS as i64])?;
            while let Some(row) = rows.next()? {
                news.campaigns.push(parse(&row.get::<_, String>(0)?, "campaigns")?);
            }
        }
        if marks.actions > since.actions {
            let sql = "SELECT seq, row FROM actions WHERE seq > ?1 ORDER BY seq DESC LIMIT ?2";
            let mut statement = self.connection.prepare_cached(sql)?;
            let mut rows = statement.query([since.actions, ACTIONS as i64])?;
            while let Some(row) = rows.next()? {
                let seq = row.get::<_, i64>(0)?.unsigned_abs();
                news.actions.push(ActionItem { seq, row: parse(&row.get::<_, String>(1)?, "actions")? });
            }
        }
        Ok(news)
    }

    /// Tables that people changed since, by the rows of the audit about it.
    fn worked_on(&self, since: i64) -> Result<Vec<&'static str>, StoreError> {
        let sql = "SELECT DISTINCT substr(action, 1, instr(action, '.') - 1) FROM audit WHERE seq > ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([since])?;
        let mut tables = Vec::new();
        while let Some(row) = rows.next()? {
            let part = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
            tables.extend(WORK.iter().filter(|(of, _)| *of == part).flat_map(|(_, tables)| *tables).copied());
        }
        Ok(tables)
    }
}

/// Which tables rows of the audit are about, by how their actions begin. Looks at evidence and log-ins change none.
const WORK: [(&str, &[&str]); 13] = [
    ("finding", &["findings"]),
    ("endpoint", &["endpoints"]),
    ("campaign", &["campaigns"]),
    ("template", &["templates"]),
    ("spec", &["specs"]),
    ("approval", &["approvals"]),
    ("allow", &["allow"]),
    ("policy", &["policies"]),
    ("mitigation", &["mitigation"]),
    ("settings", &["settings"]),
    ("user", &["users"]),
    ("token", &["tokens"]),
    (
        "store",
        &["endpoints", "sensitive", "findings", "campaigns", "verdicts", "actions", "allow", "approvals"],
    ),
];
