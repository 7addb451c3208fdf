//! What pages count: hosts, totals, traffic over time, findings and sensitive data by kind; and the search.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::params;
use serde::{Deserialize, Serialize};
use sidetap_model::Ts;
use sidetap_model::rows::{CampaignRow, SensitiveRow, Summary, TrafficPoint};

use crate::error::StoreError;
use crate::items::HostItem;
use crate::lists::{labels, said, status};
use crate::open::Store;
use crate::schema::Table;

/// How many of each there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Totals {
    /// Hosts.
    pub hosts: u64,
    /// Endpoints.
    pub endpoints: u64,
    /// Endpoints that no description names.
    pub shadow: u64,
    /// Places of sensitive data.
    pub sensitive: u64,
    /// Findings that are open or assigned.
    pub findings_open: u64,
    /// Campaigns.
    pub campaigns: u64,
    /// Verdicts.
    pub verdicts: u64,
    /// Malicious ones of them.
    pub malicious: u64,
    /// Exchanges seen.
    pub exchanges: u64,
    /// Actions on devices.
    pub actions: u64,
}

/// Endpoints by how risky they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RiskBands {
    /// From 80.
    pub critical: u64,
    /// From 60.
    pub high: u64,
    /// From 30.
    pub medium: u64,
    /// From 1.
    pub low: u64,
    /// 0.
    pub none: u64,
}

/// Findings counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FindingCounts {
    /// Open and assigned ones by severity.
    pub by_severity: BTreeMap<String, u64>,
    /// Open and assigned ones by kind.
    pub by_kind: BTreeMap<String, u64>,
    /// Open and assigned ones by rule.
    pub by_rule: BTreeMap<String, u64>,
    /// All by what is done about them.
    pub by_status: BTreeMap<String, u64>,
    /// Open and assigned ones by host.
    pub by_host: BTreeMap<String, u64>,
}

/// Sensitive data counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SensitiveCounts {
    /// By type.
    pub by_type: Vec<TypeCount>,
    /// By law or standard.
    pub by_class: Vec<ClassCount>,
}

/// Sensitive data of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TypeCount {
    /// Type id.
    #[serde(rename = "type")]
    pub kind: String,
    /// Laws and standards that name it.
    pub class: Vec<String>,
    /// Places.
    pub places: u64,
    /// Endpoints.
    pub endpoints: u64,
    /// Hosts.
    pub hosts: u64,
    /// Values seen.
    pub count: u64,
    /// Places in requests.
    pub request: u64,
    /// Places in responses.
    pub response: u64,
}

/// Sensitive data that one law or standard names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClassCount {
    /// `PCI`, `PII`, …
    pub class: String,
    /// Types.
    pub types: u64,
    /// Places.
    pub places: u64,
    /// Endpoints.
    pub endpoints: u64,
    /// Hosts.
    pub hosts: u64,
    /// Values seen.
    pub count: u64,
}

/// Calls of an endpoint in one bucket of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CallPoint {
    /// Start of the bucket.
    pub ts: Ts,
    /// Calls.
    pub calls: u64,
}

impl Store {
    /// How many of each there are.
    pub fn totals(&self) -> Result<Totals, StoreError> {
        self.totals_with(&self.finding_counts()?)
    }

    /// The same where findings are counted already.
    pub fn totals_with(&self, findings: &FindingCounts) -> Result<Totals, StoreError> {
        let one = |sql: &str| -> Result<u64, StoreError> {
            Ok(self.connection.prepare_cached(sql)?.query_row([], |r| r.get::<_, i64>(0))?.unsigned_abs())
        };
        Ok(Totals {
            hosts: one("SELECT count(DISTINCT host) FROM now_endpoints")?,
            endpoints: one("SELECT count(*) FROM now_endpoints")?,
            shadow: one("SELECT count(*) FROM now_endpoints WHERE standing = 'shadow'")?,
            sensitive: one("SELECT count(*) FROM now_sensitive")?,
            findings_open: findings.by_severity.values().sum(),
            campaigns: one("SELECT count(*) FROM now_campaigns")?,
            verdicts: one("SELECT count(*) FROM now_verdicts")?,
            // Most verdicts are malicious ones: the others are counted faster.
            malicious: one(
                "SELECT (SELECT count(*) FROM now_verdicts) - (SELECT count(*) FROM now_verdicts WHERE intent < 'malicious')
                 - (SELECT count(*) FROM now_verdicts WHERE intent > 'malicious')",
            )?,
            exchanges: self.summary_of_all()?.exchanges.total,
            actions: one("SELECT count(*) FROM actions")?,
        })
    }

    /// Summaries of all runs added together, with the number of rows there are now.
    pub fn summary_of_all(&self) -> Result<Summary, StoreError> {
        self.summary(None)
    }

    /// The summary of one run.
    pub fn summary_of(&self, run: &str) -> Result<Summary, StoreError> {
        self.summary(Some(run))
    }

    /// Endpoints by how risky they are.
    pub fn risk_bands(&self) -> Result<RiskBands, StoreError> {
        let sql = "SELECT count(*) FILTER (WHERE risk >= 80), count(*) FILTER (WHERE risk BETWEEN 60 AND 79),
            count(*) FILTER (WHERE risk BETWEEN 30 AND 59), count(*) FILTER (WHERE risk BETWEEN 1 AND 29),
            count(*) FILTER (WHERE risk = 0) FROM now_endpoints";
        Ok(self.connection.prepare_cached(sql)?.query_row([], |r| {
            let n = |i| r.get::<_, i64>(i).map(i64::unsigned_abs);
            Ok(RiskBands { critical: n(0)?, high: n(1)?, medium: n(2)?, low: n(3)?, none: n(4)? })
        })?)
    }

    /// First and last packet of all runs.
    pub fn packet_span(&self) -> Result<Option<(Ts, Ts)>, StoreError> {
        self.span("SELECT min(first_ts), max(last_ts) FROM runs")
    }

    /// First and last second with traffic.
    pub fn traffic_span(&self) -> Result<Option<(Ts, Ts)>, StoreError> {
        self.span("SELECT min(ts), max(ts) FROM traffic")
    }

    fn span(&self, sql: &str) -> Result<Option<(Ts, Ts)>, StoreError> {
        let (first, last): (Option<i64>, Option<i64>) =
            self.connection.prepare_cached(sql)?.query_row([], |r| Ok((r.get(0)?, r.get(1)?)))?;
        Ok(first.zip(last).map(|(a, b)| (Ts(a), Ts(b))))
    }

    /// Traffic between two times by intent, in buckets of `bucket_s` seconds.
    pub fn traffic_between(&self, from: Ts, to: Ts, bucket_s: u64) -> Result<Vec<TrafficPoint>, StoreError> {
        let width = crate::save::count(bucket_s.max(1)).saturating_mul(1_000_000_000);
        let sql = "SELECT (ts - (ts % ?3 + ?3) % ?3) AS bucket, sum(benign), sum(automated), sum(suspicious), sum(malicious)
            FROM traffic WHERE ts >= ?1 AND ts <= ?2 GROUP BY bucket ORDER BY bucket";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![from.0, to.0, width], |r| {
            let n = |i| r.get::<_, i64>(i).map(i64::unsigned_abs);
            let ts = Ts(r.get(0)?);
            Ok(TrafficPoint { ts, benign: n(1)?, automated: n(2)?, suspicious: n(3)?, malicious: n(4)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Calls of an endpoint over time.
    pub fn calls(&self, endpoint: &str) -> Result<Vec<CallPoint>, StoreError> {
        let sql = "SELECT ts, sum(n) FROM calls WHERE endpoint = ?1 GROUP BY ts ORDER BY ts";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([endpoint], |r| {
            Ok(CallPoint { ts: Ts(r.get(0)?), calls: r.get::<_, i64>(1)?.unsigned_abs() })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Hosts of the inventory; `documented` are those that have an OpenAPI document.
    pub fn hosts(&self, documented: &BTreeSet<String>) -> Result<Vec<HostItem>, StoreError> {
        let mut hosts: BTreeMap<String, HostItem> = BTreeMap::new();
        let sql = "SELECT host, zone, calls, risk, standing, protocol, auth, types, first_seen, last_seen FROM now_endpoints";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            let host = hosts.entry(name.clone()).or_insert_with(|| HostItem {
                openapi: documented.contains(&name),
                host: name,
                first_seen: Ts(i64::MAX),
                last_seen: Ts(i64::MIN),
                ..HostItem::default()
            });
            add_endpoint(host, row)?;
        }
        let open = self.counted(concat!(
            "SELECT n.host, count(*) FROM now_findings n LEFT JOIN work w ON w.finding = n.id WHERE ",
            status!(),
            " IN ('open', 'assigned') GROUP BY n.host"
        ))?;
        for host in hosts.values_mut() {
            host.findings_open = open.get(&host.host).copied().unwrap_or(0);
        }
        Ok(hosts.into_values().collect())
    }

    /// Findings counted, in one look at all of them.
    pub fn finding_counts(&self) -> Result<FindingCounts, StoreError> {
        // What was taught is little: to look it up here costs a quarter of a look into its table for each finding.
        let taught = self.taught()?;
        let sql = concat!(
            "SELECT n.severity, n.kind, n.rule, n.host, n.endpoint, ",
            said!(),
            " FROM now_findings n LEFT JOIN work w ON w.finding = n.id"
        );
        let mut counts = FindingCounts::default();
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let text = |n| row.get_ref(n)?.as_str().map_err(rusqlite::Error::from);
            let (rule, endpoint) = (text(2)?, text(4)?);
            let is_false = || taught.get(rule).is_some_and(|at| at.contains("") || at.contains(endpoint));
            let status = match row.get_ref(5)?.as_str_or_null().map_err(rusqlite::Error::from)? {
                Some(status) => status,
                None if is_false() => "false-positive",
                None => "open",
            };
            add_one(&mut counts.by_status, status);
            if matches!(status, "open" | "assigned") {
                add_one(&mut counts.by_severity, text(0)?);
                add_one(&mut counts.by_kind, text(1)?);
                add_one(&mut counts.by_rule, rule);
                add_one(&mut counts.by_host, text(3)?);
            }
        }
        Ok(counts)
    }

    /// Where findings of a rule are false ones: endpoints, of which an empty one stands for all.
    fn taught(&self) -> Result<BTreeMap<String, BTreeSet<String>>, StoreError> {
        let mut out: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut statement = self.connection.prepare_cached("SELECT rule, endpoint FROM taught")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            out.entry(row.get(0)?).or_default().insert(row.get(1)?);
        }
        Ok(out)
    }

    /// Sensitive data counted, the most frequent first.
    pub fn sensitive_counts(&self) -> Result<SensitiveCounts, StoreError> {
        let mut types: BTreeMap<String, (TypeCount, Distinct)> = BTreeMap::new();
        let mut classes: BTreeMap<String, (ClassCount, Distinct)> = BTreeMap::new();
        let sql = "SELECT type, class, endpoint, host, count, direction FROM now_sensitive";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (kind, endpoint, host): (String, String, String) = (row.get(0)?, row.get(2)?, row.get(3)?);
            let (class, n) = (labels(row.get(1)?), row.get::<_, i64>(4)?.unsigned_abs());
            let in_request = row.get::<_, String>(5)? == "request";
            for name in &class {
                let (c, seen) = classes.entry(name.clone()).or_default();
                c.class.clone_from(name);
                c.places += 1;
                c.count += n;
                seen.add(&kind, &endpoint, &host);
            }
            let (t, seen) = types.entry(kind.clone()).or_default();
            seen.add(&kind, &endpoint, &host);
            t.kind = kind;
            t.class = class;
            t.places += 1;
            t.count += n;
            t.request += u64::from(in_request);
            t.response += u64::from(!in_request);
        }
        let mut by_type: Vec<TypeCount> = types
            .into_values()
            .map(|(t, d)| TypeCount { endpoints: d.endpoints.len() as u64, hosts: d.hosts.len() as u64, ..t })
            .collect();
        let mut by_class: Vec<ClassCount> = classes
            .into_values()
            .map(|(c, d)| {
                let (types, endpoints) = (d.kinds.len() as u64, d.endpoints.len() as u64);
                ClassCount { types, endpoints, hosts: d.hosts.len() as u64, ..c }
            })
            .collect();
        by_type.sort_by(|a, b| b.count.cmp(&a.count).then(a.kind.cmp(&b.kind)));
        by_class.sort_by(|a, b| b.count.cmp(&a.count).then(a.class.cmp(&b.class)));
        Ok(SensitiveCounts { by_type, by_class })
    }

    /// Verdicts of a campaign by response.
    pub fn responses_of(&self, campaign: &str) -> Result<BTreeMap<String, u64>, StoreError> {
        let sql = "SELECT response, count(*) FROM now_verdicts WHERE campaign = ?1 GROUP BY response";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows =
            statement.query_map([campaign], |r| Ok((r.get(0)?, r.get::<_, i64>(1)?.unsigned_abs())))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Ids of exchanges that show a campaign: those that stand for it, and those that its reasons and its verdicts' name.
    pub fn exchanges_of(&self, campaign: &CampaignRow) -> Result<Vec<String>, StoreError> {
        let (_, mut ids) = self.sample(&format!("campaign:{}", campaign.id))?;
        ids.extend(self.proofs_of(campaign)?);
        let mut seen = BTreeSet::new();
        ids.retain(|id| seen.insert(id.clone()));
        Ok(ids)
    }

    fn proofs_of(&self, campaign: &CampaignRow) -> Result<Vec<String>, StoreError> {
        let mut ids: Vec<String> = campaign.reasons.iter().flat_map(|r| r.evidence.to_vec()).collect();
        let sql = "SELECT coalesce(n.row, (SELECT b.row FROM verdicts b WHERE b.id = n.id LIMIT 1)) FROM
            (SELECT id AS i, requests AS k FROM now_verdicts WHERE campaign = ?1 ORDER BY requests DESC, id LIMIT 200) p
            CROSS JOIN now_verdicts n WHERE n.id = p.i ORDER BY p.k DESC, p.i";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([&campaign.id])?;
        while let Some(row) = rows.next()? {
            let verdict: sidetap_model::rows::VerdictRow =
                crate::load::parse(&row.get::<_, String>(0)?, "verdicts")?;
            ids.extend(verdict.reasons.into_iter().flat_map(|r| r.evidence.to_vec()));
        }
        Ok(ids)
    }

    /// Sensitive data of an endpoint.
    pub fn sensitive_of(&self, endpoint: &str) -> Result<Vec<SensitiveRow>, StoreError> {
        let sql = "SELECT coalesce(n.row, (SELECT b.row FROM sensitive b WHERE b.id = n.id LIMIT 1)) FROM now_sensitive n
            WHERE n.endpoint = ?1 ORDER BY n.count DESC, n.id LIMIT 500";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([endpoint])?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            out.push(crate::load::parse(&row.get::<_, String>(0)?, "sensitive")?);
        }
        Ok(out)
    }

    /// Rows of each table.
    pub fn sizes(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let others = ["actions", "audit", "evidence", "history", "traffic", "calls", "members", "runs"];
        let names = Table::ALL.map(Table::name).into_iter().chain(others);
        let mut out = BTreeMap::new();
        for name in names {
            let n: i64 =
                self.connection.query_row(&format!("SELECT count(*) FROM {name}"), [], |r| r.get(0))?;
            out.insert(name.to_owned(), n.unsigned_abs());
        }
        Ok(out)
    }

    /// All counters: what was evicted and retained.
    pub fn counters(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        self.counted("SELECT name, value FROM counters")
    }

    fn counted(&self, sql: &str) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get::<_, i64>(1)?.unsigned_abs())))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn add_one(counts: &mut BTreeMap<String, u64>, of: &str) {
    match counts.get_mut(of) {
        Some(n) => *n += 1,
        None => drop(counts.insert(of.to_owned(), 1)),
    }
}

/// What was seen, each once.
#[derive(Default)]
struct Distinct {
    kinds: BTreeSet<String>,
    endpoints: BTreeSet<String>,
    hosts: BTreeSet<String>,
}

impl Distinct {
    fn add(&mut self, kind: &str, endpoint: &str, host: &str) {
        for (set, value) in
            [(&mut self.kinds, kind), (&mut self.endpoints, endpoint), (&mut self.hosts, host)]
        {
            if !set.contains(value) {
                set.insert(value.to_owned());
            }
        }
    }
}

fn add_endpoint(host: &mut HostItem, row: &rusqlite::Row<'_>) -> Result<(), StoreError> {
    let zone: String = row.get(1)?;
    if !host.zones.contains(&zone) {
        host.zones.push(zone);
    }
    host.endpoints += 1;
    host.calls = host.calls.saturating_add(row.get::<_, i64>(2)?.unsigned_abs());
    host.risk = host.risk.max(row.get(3)?);
    *host.standing.entry(row.get(4)?).or_default() += 1;
    *host.protocols.entry(row.get(5)?).or_default() += 1;
    for auth in labels(row.get(6)?) {
        *host.auth.entry(auth).or_default() += 1;
    }
    for kind in labels(row.get(7)?) {
        if !host.sensitive.contains(&kind) {
            host.sensitive.push(kind);
        }
    }
    host.first_seen = host.first_seen.min(Ts(row.get(8)?));
    host.last_seen = host.last_seen.max(Ts(row.get(9)?));
    Ok(())
}
