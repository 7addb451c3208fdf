use std::collections::BTreeMap;

use rusqlite::params;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sidetap_model::rows::{CampaignRow, Counts, RunData, Summary, TrafficPoint, VerdictRow};
use sidetap_model::{SubjectKind, Ts};

use crate::error::StoreError;
use crate::merge;
use crate::open::Store;
use crate::schema::Table;

/// A run in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunInfo {
    /// Its id.
    pub id: String,
    /// When it was saved last.
    pub saved_at: Ts,
    /// Its first packet.
    pub first_ts: Option<Ts>,
    /// Its last packet.
    pub last_ts: Option<Ts>,
}

impl Store {
    /// All that the store holds, its runs merged: an endpoint or sensitive place seen in several runs is one row whose
    /// counts are added; of a finding, campaign or verdict the newest row stands.
    pub fn load(&self) -> Result<RunData, StoreError> {
        self.load_where(None)
    }

    /// The same for a report: of a verdict there is who, what and the first reason, since of many there would be no room for all.
    pub fn load_to_report(&self) -> Result<RunData, StoreError> {
        let mut verdicts = Vec::new();
        self.each_verdicts(|part| {
            verdicts.extend(part.into_iter().map(in_short));
            Ok::<(), StoreError>(())
        })?;
        let campaigns = merge::campaigns(self.rows(Table::Campaigns, None)?);
        self.load_with(None, campaigns, verdicts)
    }

    /// What one run found.
    pub fn load_run(&self, run: &str) -> Result<RunData, StoreError> {
        self.load_where(Some(run))
    }

    /// The runs, oldest first.
    pub fn runs(&self) -> Result<Vec<RunInfo>, StoreError> {
        let sql = "SELECT id, saved_at, first_ts, last_ts FROM runs ORDER BY saved_at, id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([], |r| {
            let ts = |n: Option<i64>| n.map(Ts);
            Ok(RunInfo {
                id: r.get(0)?,
                saved_at: Ts(r.get(1)?),
                first_ts: ts(r.get(2)?),
                last_ts: ts(r.get(3)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Campaigns that a subject takes part in.
    pub fn campaigns_of(&self, kind: SubjectKind, value: &str) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT campaign FROM members WHERE kind = ?1 AND value = ?2 ORDER BY campaign";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![kind.name(), value], |r| r.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn load_where(&self, run: Option<&str>) -> Result<RunData, StoreError> {
        let campaigns = merge::campaigns(self.rows(Table::Campaigns, run)?);
        let verdicts = merge::verdicts(self.rows(Table::Verdicts, run)?);
        self.load_with(run, campaigns, verdicts)
    }

    fn load_with(
        &self,
        run: Option<&str>,
        campaigns: Vec<CampaignRow>,
        verdicts: Vec<VerdictRow>,
    ) -> Result<RunData, StoreError> {
        let mut data = RunData {
            summary: self.summary(run)?,
            endpoints: merge::endpoints(self.rows(Table::Endpoints, run)?),
            sensitive: merge::sensitive(self.rows(Table::Sensitive, run)?),
            findings: merge::findings(self.rows(Table::Findings, run)?),
            campaigns,
            verdicts,
            traffic: self.traffic(run)?,
        };
        data.summary.counts = Counts {
            endpoints: data.endpoints.len() as u64,
            sensitive: data.sensitive.len() as u64,
            findings: data.findings.len() as u64,
            campaigns: data.campaigns.len() as u64,
            verdicts: data.verdicts.len() as u64,
        };
        Ok(data)
    }

    /// Rows of a table, by id and then from the run saved first to the one saved last.
    fn rows<T: DeserializeOwned>(&self, table: Table, run: Option<&str>) -> Result<Vec<T>, StoreError> {
        let name = table.name();
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT t.row FROM {name} t LEFT JOIN runs r ON r.id = t.run
             WHERE ?1 IS NULL OR t.run = ?1 ORDER BY t.id, r.saved_at, t.run"
        ))?;
        let mut rows = statement.query([run])?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            out.push(parse(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?, name)?);
        }
        Ok(out)
    }

    pub(crate) fn summary(&self, run: Option<&str>) -> Result<Summary, StoreError> {
        let sql = "SELECT summary FROM runs WHERE ?1 IS NULL OR id = ?1 ORDER BY saved_at, id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let texts = statement.query_map([run], |r| r.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        let mut all = Summary::default();
        for text in texts {
            merge::add_summary(&mut all, parse(&text, "runs")?);
        }
        Ok(all)
    }

    fn traffic(&self, run: Option<&str>) -> Result<Vec<TrafficPoint>, StoreError> {
        let sql =
            "SELECT ts, benign, automated, suspicious, malicious FROM traffic WHERE ?1 IS NULL OR run = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([run])?;
        let mut points: BTreeMap<i64, TrafficPoint> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let ts: i64 = row.get(0)?;
            let point =
                points.entry(ts).or_insert_with(|| TrafficPoint { ts: Ts(ts), ..TrafficPoint::default() });
            let fields =
                [&mut point.benign, &mut point.automated, &mut point.suspicious, &mut point.malicious];
            for (n, field) in fields.into_iter().enumerate() {
                *field += u64::try_from(row.get::<_, i64>(n + 1)?).unwrap_or(0);
            }
        }
        Ok(points.into_values().collect())
    }
}

/// A verdict without what a report does not say of it.
fn in_short(mut v: VerdictRow) -> VerdictRow {
    v.reasons.truncate(1);
    v.reasons.shrink_to_fit();
    v.reasons.iter_mut().for_each(|r| r.evidence = Default::default());
    (v.coverage, v.hosts, v.prints, v.oat) = Default::default();
    (v.origin, v.agent) = (None, None);
    v
}

pub(crate) fn parse<T: DeserializeOwned>(text: &str, table: &'static str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::Row { table, detail: e.to_string() })
}
