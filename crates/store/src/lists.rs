//! What can be listed.

use std::collections::BTreeMap;

use rusqlite::Row;
use rusqlite::types::Value;
use sidetap_model::Ts;
use sidetap_model::rows::{CampaignRow, EndpointRow, FindingRow, Member, SensitiveRow, VerdictRow};

use crate::error::StoreError;
use crate::items::{
    ActionItem, AuditItem, CampaignItem, Change, EndpointItem, FindingItem, MemberItem, SensitiveItem,
    VerdictItem, Work,
};
use crate::load::parse;
use crate::open::Store;
use crate::query::{Column, ColumnKind, List, Part, Wanted, Words};
use crate::schema::Table;

use ColumnKind::{Addresses, Integer, Real, Through, Time};

/// `GET /endpoints`.
pub static ENDPOINTS: List = List {
    from: "now_endpoints n LEFT JOIN notes o ON o.kind = 'endpoint' AND o.id = n.id",
    id: "n.id",
    select: "coalesce(n.row, (SELECT b.row FROM endpoints b WHERE b.id = n.id LIMIT 1)), o.labels, o.owner,
        (SELECT count(*) FROM now_findings f LEFT JOIN work w ON w.finding = f.id
            WHERE f.endpoint = n.id AND coalesce(w.status, 'open') IN ('open', 'assigned'))",
    by_id: true,
    ordered: false,
    words: Words::Search(Table::Endpoints, "n.id"),
    columns: &[
        Column::of("risk", "n.risk", Integer).sorted(),
        Column::of("calls", "n.calls", Integer).sorted(),
        Column::of("last_seen", "n.last_seen", Time).sorted(),
        Column::of("first_seen", "n.first_seen", Time).sorted(),
        Column::text("host", "n.host").sorted(),
        Column::text("method", "n.method").sorted(),
        Column::text("template", "n.template").sorted(),
        Column::text("zone", "n.zone"),
        Column::text("protocol", "n.protocol"),
        Column::text("standing", "n.standing"),
        Column::text("exposure", "n.exposure"),
        Column::set("auth", "n.auth"),
        Column::set("role", "n.roles"),
        Column::set("channel", "n.channels"),
        Column::set("type", "n.types"),
        Column::set("sensitive", "n.types"),
        Column::set("label", "coalesce(o.labels, '')"),
        Column::text("owner", "o.owner"),
    ],
    default_sort: "risk",
};

/// `GET /sensitive`.
pub static SENSITIVE: List = List {
    from: "now_sensitive n",
    id: "n.sid",
    select: "coalesce(n.row, (SELECT b.row FROM sensitive b WHERE b.id = n.id LIMIT 1))",
    by_id: true,
    ordered: false,
    words: Words::Search(Table::Sensitive, "n.sid"),
    columns: &[
        Column::of("count", "n.count", Integer).sorted(),
        Column::of("confidence", "n.confidence", Real).sorted(),
        Column::of("first_seen", "n.first_seen", Time).sorted(),
        Column::text("type", "n.type").sorted(),
        Column::text("host", "n.host").sorted(),
        Column::set("class", "n.class"),
        Column::text("direction", "n.direction"),
        Column::text("method", "n.method"),
        Column::text("endpoint", "n.endpoint"),
        Column::text("location", "n.location"),
    ],
    default_sort: "count",
};

/// What people said is done about a finding, where they said something and it still holds.
macro_rules! said {
    () => {
        "CASE WHEN w.status = 'accepted' AND w.expires_at <= now() THEN 'open'
    WHEN w.status = 'fixed' AND n.last_seen > w.seen THEN 'open'
    ELSE w.status END"
    };
}

/// What is done about a finding at the time of the statement, in SQL.
macro_rules! status {
    () => {
        concat!(
            "CASE WHEN w.status IS NOT NULL THEN ",
            said!(),
            " WHEN EXISTS (SELECT 1 FROM taught t WHERE t.rule = n.rule AND t.endpoint IN ('', n.endpoint)) THEN 'false-positive' ELSE 'open' END"
        )
    };
}

pub(crate) use said;
pub(crate) use status;

/// `GET /findings`.
pub static FINDINGS: List = List {
    from: "now_findings n LEFT JOIN work w ON w.finding = n.id",
    id: "n.id",
    select: concat!(
        "coalesce(n.row, (SELECT b.row FROM findings b WHERE b.id = n.id LIMIT 1)), ",
        status!(),
        ", w.status IS NULL, w.assignee, w.expires_at, w.note, w.updated_at, w.updated_by"
    ),
    by_id: true,
    ordered: false,
    words: Words::Search(Table::Findings, "n.id"),
    columns: &[
        Column::of("severity", "n.rank", Integer).sorted(),
        Column::of("last_seen", "n.last_seen", Time).sorted(),
        Column::of("first_seen", "n.first_seen", Time).sorted(),
        Column::of("count", "n.count", Integer).sorted(),
        Column::text("title", "n.title").sorted(),
        Column::text("severity_name", "n.severity"),
        Column::text("kind", "n.kind"),
        Column::text("rule", "n.rule"),
        Column::text("certainty", "n.certainty"),
        Column::set("owasp", "n.owasp"),
        Column::text("endpoint", "n.endpoint"),
        Column::text("host", "n.host"),
        Column::text("ip", "n.ip"),
        Column::text("status", status!()),
        Column::text("assignee", "w.assignee"),
    ],
    default_sort: "severity",
};

/// What of an outcome is the gravest: what was taken, or changed, and is not given back by itself.
const GRAVE: [&str; 4] = ["accounts-taken", "tokens-accepted", "transfers-made", "changes-made"];

/// How harmful a campaign is against others, the greatest first: its harm, then what was taken, what succeeded, how much was sent by how
/// many. The list of campaigns is in this order too.
pub fn harm(
    score: u8,
    outcome: &BTreeMap<String, u64>,
    requests: u64,
    members: u64,
) -> (u8, u64, u64, u64, u64) {
    let came = |name: &str| outcome.get(name).copied().unwrap_or(0);
    let grave = GRAVE.iter().fold(0, |sum: u64, name| sum.saturating_add(came(name)));
    (score, grave, came("succeeded"), requests, members)
}

/// The same in SQL, as one text: cursors hold one value.
const HARM: &str = r#"printf('%03d %015d %015d %015d %015d', n.score,
    coalesce(n.brief ->> '$.outcome."accounts-taken"', 0) + coalesce(n.brief ->> '$.outcome."tokens-accepted"', 0)
    + coalesce(n.brief ->> '$.outcome."transfers-made"', 0) + coalesce(n.brief ->> '$.outcome."changes-made"', 0),
    coalesce(n.brief ->> '$.outcome.succeeded', 0), n.requests, n.members)"#;

/// `GET /campaigns`.
pub static CAMPAIGNS: List = List {
    from: "now_campaigns n LEFT JOIN notes o ON o.kind = 'campaign' AND o.id = n.id",
    id: "n.id",
    select: "n.brief, o.labels",
    by_id: true,
    ordered: false,
    words: Words::Search(Table::Campaigns, "n.id"),
    columns: &[
        Column::of("score", "n.score", Integer).sorted().ordered_by(HARM),
        Column::of("last_seen", "n.last_seen", Time).sorted(),
        Column::of("first_seen", "n.first_seen", Time).sorted(),
        Column::of("detected_at", "n.detected_at", Time).sorted(),
        Column::of("requests", "n.requests", Integer).sorted(),
        Column::of("members", "n.members", Integer).sorted(),
        Column::text("id", "n.id"),
        Column::text("class", "n.class"),
        Column::set("oat", "n.oat"),
        Column::text("phase", "n.phase"),
        Column::set("host", "n.hosts"),
        Column::set("endpoint", "n.endpoints"),
        Column::set("label", "coalesce(o.labels, '')"),
    ],
    default_sort: "score",
};

/// `GET /verdicts`.
pub static VERDICTS: List = List {
    from: "now_verdicts n",
    id: "n.id",
    select: "coalesce(n.row, (SELECT b.row FROM verdicts b WHERE b.id = n.id LIMIT 1))",
    by_id: true,
    ordered: true,
    words: Words::Search(Table::Verdicts, "n.id"),
    columns: &[
        Column::of("score", "n.score", Integer).sorted(),
        Column::of("automation", "n.automation", Integer).sorted(),
        Column::of("requests", "n.requests", Integer).sorted(),
        Column::of("last_seen", "n.last_seen", Time).sorted(),
        Column::of("detected_at", "n.detected_at", Time).sorted(),
        Column::of("first_seen", "n.first_seen", Time).sorted(),
        Column::text("subject", "n.subject").sorted(),
        Column::text("id", "n.id"),
        Column::text("intent", "n.intent"),
        Column::text("class", "n.class"),
        Column::set("oat", "n.oat"),
        Column::text("phase", "n.phase"),
        Column::text("kind", "n.kind"),
        Column::text("campaign", "n.campaign"),
        Column::text("response", "n.response"),
        Column::text("policy", "n.policy"),
        Column::text("zone", "n.zone"),
        Column::text("country", "n.country"),
        Column::text("organization", "n.organization"),
        Column::set("host", "n.hosts").placed(),
        Column::set("indicator", "n.indicators"),
        Column::of("ip", "n.ips", Addresses).placed(),
    ],
    default_sort: "score",
};

/// `GET /campaigns/{id}/members`.
pub static MEMBERS: List = List {
    from: "members n",
    id: "n.kind || ' ' || n.value",
    select: "n.kind, n.value, n.first_seen, n.requests",
    by_id: false,
    ordered: false,
    words: Words::Text("n.value"),
    columns: &[
        Column::of("requests", "n.requests", Integer).sorted(),
        Column::of("first_seen", "n.first_seen", Time).sorted(),
        Column::text("value", "n.value").sorted(),
        Column::text("kind", "n.kind"),
    ],
    default_sort: "requests",
};

/// `GET /actions`.
pub static ACTIONS: List = List {
    from: "actions n",
    id: "n.seq",
    select: "n.seq, n.row",
    by_id: true,
    ordered: false,
    words: Words::Text("n.row"),
    columns: &[
        Column::of("at", "n.at", Time).sorted(),
        Column::of("seen", "n.at", Time),
        Column::text("connector", "n.connector"),
        Column::text("verdict", "n.verdict"),
        Column::of("campaign", "n.verdict IN (SELECT v.id FROM now_verdicts v WHERE v.campaign", Through),
        Column::text("kind", "n.row ->> 'kind'"),
        Column::text("mode", "n.row ->> 'mode'"),
        Column::text("outcome", "n.row ->> 'outcome'"),
        Column::text("response", "n.row ->> 'response'"),
        Column::text("actor", "n.row ->> 'actor'"),
    ],
    default_sort: "at",
};

/// `GET /audit`.
pub static AUDIT: List = List {
    from: "audit n",
    id: "n.seq",
    select: "n.seq, n.at, n.actor, n.action, n.detail",
    by_id: true,
    ordered: false,
    words: Words::Text("n.actor || ' ' || n.action || ' ' || n.detail"),
    columns: &[
        Column::of("at", "n.at", Time).sorted(),
        Column::of("seen", "n.at", Time),
        Column::text("actor", "n.actor"),
        Column::text("action", "n.action"),
    ],
    default_sort: "at",
};

/// `GET /changes`.
pub static CHANGES: List = List {
    from: "history n",
    id: "n.seq",
    select: "n.seq, n.at, n.kind, n.id, n.change, n.title, n.host, n.before, n.after",
    by_id: true,
    ordered: false,
    words: Words::Text("n.title || ' ' || coalesce(n.after, '')"),
    columns: &[
        Column::of("at", "n.at", Time).sorted(),
        Column::of("seen", "n.at", Time),
        Column::text("kind", "n.kind"),
        Column::text("change", "n.change"),
        Column::text("id", "n.id"),
        Column::text("host", "n.host"),
    ],
    default_sort: "at",
};

impl Store {
    /// Endpoints with what people say of them.
    pub fn endpoint_list(&self, wanted: &Wanted) -> Result<Part<EndpointItem>, StoreError> {
        self.part(&ENDPOINTS, wanted, &[], endpoint_item)
    }

    /// Sensitive data.
    pub fn sensitive_list(&self, wanted: &Wanted) -> Result<Part<SensitiveItem>, StoreError> {
        self.part(&SENSITIVE, wanted, &[], |r| {
            let row: SensitiveRow = parse(&text(r, 2)?, "sensitive")?;
            Ok(SensitiveItem { id: text(r, 1)?, row })
        })
    }

    /// Findings with what is done about them.
    pub fn finding_list(&self, wanted: &Wanted) -> Result<Part<FindingItem>, StoreError> {
        self.part(&FINDINGS, wanted, &[], finding_item)
    }

    /// Campaigns.
    pub fn campaign_list(&self, wanted: &Wanted) -> Result<Part<CampaignItem>, StoreError> {
        self.part(&CAMPAIGNS, wanted, &[], campaign_item)
    }

    /// Campaigns that somebody of this name takes part in.
    pub fn campaign_list_of(&self, member: &str, wanted: &Wanted) -> Result<Part<CampaignItem>, StoreError> {
        let by = "n.id IN (SELECT m.campaign FROM members m WHERE m.value = ?)";
        self.part(&CAMPAIGNS, wanted, &[(by, Value::Text(member.to_owned()))], campaign_item)
    }

    /// Members of a campaign, as the run that was saved last has them.
    pub fn member_list(&self, campaign: &str, wanted: &Wanted) -> Result<Part<MemberItem>, StoreError> {
        let sql = "SELECT c.run FROM campaigns c LEFT JOIN runs r ON r.id = c.run WHERE c.id = ?1
            ORDER BY r.saved_at DESC, c.run DESC LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let run: Option<String> = statement.query_map([campaign], |r| r.get(0))?.next().transpose()?;
        let own = |v: &str| Value::Text(v.to_owned());
        let fixed =
            [("n.campaign = ?", own(campaign)), ("n.run = ?", own(run.as_deref().unwrap_or_default()))];
        let mut part = self.part(&MEMBERS, wanted, &fixed, member_item)?;
        for item in &mut part.rows {
            self.know_member(campaign, item)?;
        }
        Ok(part)
    }

    /// Adds to a member what its verdict says.
    fn know_member(&self, campaign: &str, item: &mut MemberItem) -> Result<(), StoreError> {
        let sql = "SELECT id, country, organization FROM now_verdicts WHERE campaign = ?1 AND kind = ?2 AND subject = ?3 LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([campaign, item.member.kind.name(), &item.member.value])?;
        if let Some(row) = rows.next()? {
            let said = |n: usize| Ok::<_, StoreError>(Some(text(row, n)?).filter(|t| !t.is_empty()));
            (item.verdict, item.country, item.organization) = (said(0)?, said(1)?, said(2)?);
        }
        Ok(())
    }

    /// Verdicts.
    pub fn verdict_list(&self, wanted: &Wanted) -> Result<Part<VerdictItem>, StoreError> {
        self.part(&VERDICTS, wanted, &[], |r| {
            Ok(VerdictItem::from(parse::<VerdictRow>(&text(r, 2)?, "verdicts")?))
        })
    }

    /// Verdicts with all that is known of them.
    pub fn verdict_rows(&self, wanted: &Wanted) -> Result<Part<VerdictRow>, StoreError> {
        self.part(&VERDICTS, wanted, &[], |r| parse(&text(r, 2)?, "verdicts"))
    }

    /// Actions.
    pub fn action_list(&self, wanted: &Wanted) -> Result<Part<ActionItem>, StoreError> {
        self.part(&ACTIONS, wanted, &[], |r| {
            Ok(ActionItem { seq: unsigned(r, 2)?, row: parse(&text(r, 3)?, "actions")? })
        })
    }

    /// The audit.
    pub fn audit_list(&self, wanted: &Wanted) -> Result<Part<AuditItem>, StoreError> {
        self.part(&AUDIT, wanted, &[], |r| {
            Ok(AuditItem {
                seq: unsigned(r, 2)?,
                at: Ts(r.get(3)?),
                actor: text(r, 4)?,
                action: text(r, 5)?,
                detail: parse(&text(r, 6)?, "audit")?,
            })
        })
    }

    /// What changed in what is known.
    pub fn change_list(&self, wanted: &Wanted) -> Result<Part<Change>, StoreError> {
        self.part(&CHANGES, wanted, &[], |r| {
            Ok(Change {
                seq: unsigned(r, 2)?,
                at: Ts(r.get(3)?),
                kind: text(r, 4)?,
                id: text(r, 5)?,
                change: text(r, 6)?,
                title: text(r, 7)?,
                host: text(r, 8)?,
                before: r.get(9)?,
                after: r.get(10)?,
            })
        })
    }

    /// An endpoint, by its id or one that it had before.
    pub fn endpoint(&self, id: &str) -> Result<Option<EndpointItem>, StoreError> {
        let own = |id: &str| [("n.id = ?", Value::Text(id.to_owned()))];
        if let Some(item) = one(self.part(&ENDPOINTS, &first(), &own(id), endpoint_item)?)? {
            return Ok(Some(item));
        }
        let Some(id) = self.goes_on_as(id)? else { return Ok(None) };
        one(self.part(&ENDPOINTS, &first(), &own(&id), endpoint_item)?)
    }

    /// A finding.
    pub fn finding(&self, id: &str) -> Result<Option<FindingItem>, StoreError> {
        one(self.part(&FINDINGS, &first(), &[("n.id = ?", Value::Text(id.to_owned()))], finding_item)?)
    }

    /// A place of sensitive data.
    pub fn sensitive_item(&self, id: &str) -> Result<Option<SensitiveItem>, StoreError> {
        one(self.part(&SENSITIVE, &first(), &[("n.sid = ?", Value::Text(id.to_owned()))], |r| {
            Ok(SensitiveItem { id: text(r, 1)?, row: parse(&text(r, 2)?, "sensitive")? })
        })?)
    }

    /// A campaign, all of it.
    pub fn campaign(&self, id: &str) -> Result<Option<CampaignRow>, StoreError> {
        self.whole("campaigns", id)
    }

    /// A campaign as lists show it.
    pub fn campaign_item(&self, id: &str) -> Result<Option<CampaignItem>, StoreError> {
        one(self.part(&CAMPAIGNS, &first(), &[("n.id = ?", Value::Text(id.to_owned()))], campaign_item)?)
    }

    /// The rule by which a verdict was answered, where one was.
    pub fn policy_of(&self, verdict: &str) -> Result<Option<String>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT policy FROM now_verdicts WHERE id = ?1")?;
        let policy: Option<String> = statement.query_map([verdict], |r| r.get(0))?.next().transpose()?;
        Ok(policy.filter(|p| !p.is_empty()))
    }

    /// A verdict, all of it.
    pub fn verdict(&self, id: &str) -> Result<Option<VerdictRow>, StoreError> {
        self.whole("verdicts", id)
    }

    fn whole<T: serde::de::DeserializeOwned>(
        &self,
        table: &'static str,
        id: &str,
    ) -> Result<Option<T>, StoreError> {
        let sql = format!(
            "SELECT coalesce(n.row, (SELECT b.row FROM {table} b WHERE b.id = n.id LIMIT 1)) FROM now_{table} n WHERE n.id = ?1"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query([id])?;
        match rows.next()? {
            Some(row) => Ok(Some(parse(&text(row, 0)?, table)?)),
            None => Ok(None),
        }
    }
}

fn first() -> Wanted {
    Wanted { limit: 1, uncounted: true, ..Wanted::default() }
}

fn one<T>(part: Part<T>) -> Result<Option<T>, StoreError> {
    Ok(part.rows.into_iter().next())
}

fn endpoint_item(r: &Row<'_>) -> Result<EndpointItem, StoreError> {
    let row: EndpointRow = parse(&text(r, 2)?, "endpoints")?;
    Ok(EndpointItem { row, labels: labels(r.get(3)?), owner: r.get(4)?, findings_open: unsigned(r, 5)? })
}

fn finding_item(r: &Row<'_>) -> Result<FindingItem, StoreError> {
    let row: FindingRow = parse(&text(r, 2)?, "findings")?;
    let (status, unsaid) = (text(r, 3)?, r.get::<_, bool>(4)?);
    let time = |n: Option<i64>| n.map(Ts);
    let work = Work {
        by_rule: unsaid && status == "false-positive",
        status,
        assignee: r.get(5)?,
        expires_at: time(r.get(6)?),
        note: r.get(7)?,
        updated_at: time(r.get(8)?),
        updated_by: r.get(9)?,
    };
    Ok(FindingItem { row, work })
}

fn campaign_item(r: &Row<'_>) -> Result<CampaignItem, StoreError> {
    let mut item: CampaignItem = parse(&text(r, 2)?, "campaigns")?;
    item.labels = labels(r.get(3)?);
    Ok(item)
}

fn member_item(r: &Row<'_>) -> Result<MemberItem, StoreError> {
    let kind = serde_json::Value::String(text(r, 2)?);
    let kind = serde_json::from_value(kind)
        .map_err(|e| StoreError::Row { table: "members", detail: e.to_string() })?;
    let member = Member { kind, value: text(r, 3)?, first_seen: Ts(r.get(4)?), requests: unsigned(r, 5)? };
    Ok(MemberItem { member, verdict: None, country: None, organization: None })
}

/// The words of a column of several: `|a|b|`.
pub(crate) fn labels(column: Option<String>) -> Vec<String> {
    column.unwrap_or_default().split('|').filter(|l| !l.is_empty()).map(str::to_owned).collect()
}

pub(crate) fn text(row: &Row<'_>, n: usize) -> Result<String, StoreError> {
    Ok(row.get(n)?)
}

pub(crate) fn unsigned(row: &Row<'_>, n: usize) -> Result<u64, StoreError> {
    Ok(row.get::<_, i64>(n)?.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sidetap_model::rows::RunData;

    use super::*;
    use crate::query::Sort;

    #[test]
    fn campaigns_of_equal_harm_come_in_the_order_of_what_they_came_to() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("s.db")).unwrap();
        // Ids say nothing: those of the worse ones stand before, behind and between.
        let campaign = |(id, score, outcome, requests, members): (&str, u8, serde_json::Value, u64, u32)| {
            let member = |n| json!({ "kind": "ip", "value": format!("203.0.113.{n}"), "first_seen": Ts(0), "requests": 1 });
            let row = json!({
                "id": id, "class": "credential-stuffing", "oat": [], "score": score, "phase": "online", "first_seen": Ts(0), "detected_at": Ts(0),
                "last_seen": Ts(1), "requests": requests, "endpoints": [], "members": (0..members).map(member).collect::<Vec<_>>(),
                "signature": {}, "outcome": outcome, "reasons": [],
            });
            serde_json::from_value::<CampaignRow>(row).unwrap()
        };
        let rows = [
            ("h", 99, json!({ "accounts-taken": 12, "succeeded": 1 }), 10, 1),
            ("b", 99, json!({ "accounts-taken": 9, "transfers-made": 1 }), 9_000, 1),
            ("g", 99, json!({ "succeeded": 1_000 }), 20, 1),
            ("c", 99, json!({ "succeeded": 999 }), 5_000, 1),
            ("f", 99, json!({}), 5_000, 3),
            ("d", 99, json!({}), 5_000, 2),
            ("e", 99, json!({}), 400, 9),
            ("a", 9, json!({ "accounts-taken": 100 }), 100_000, 9),
        ];
        let run = RunData { campaigns: rows.into_iter().rev().map(campaign).collect(), ..RunData::default() };
        store.save_run(&run, Ts(1)).unwrap();
        let order = ["h", "b", "g", "c", "f", "d", "e", "a"];
        let ids = |rows: &[CampaignItem]| rows.iter().map(|r| r.id.clone()).collect::<Vec<_>>();
        let all = store.campaign_list(&Wanted { limit: 100, ..Wanted::default() }).unwrap().rows;
        assert_eq!(ids(&all), order);
        let mut same = all.clone();
        same.sort_by_key(|c| std::cmp::Reverse(harm(c.score, &c.outcome, c.requests, c.members)));
        assert_eq!(ids(&same), order, "the same without SQL");
        // Part by part, each once, from both ends.
        for descending in [true, false] {
            let sort = CAMPAIGNS.column("score").map(|by| Sort { by, descending });
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let part =
                    store.campaign_list(&Wanted { limit: 3, sort, after, ..Wanted::default() }).unwrap();
                seen.extend(ids(&part.rows));
                after = part.next;
                if after.is_none() {
                    break;
                }
            }
            let mut told: Vec<&str> = order.to_vec();
            if !descending {
                told.reverse();
            }
            assert_eq!(seen, told);
        }
    }
}
