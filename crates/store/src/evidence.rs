use std::collections::BTreeSet;

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use sidetap_model::Ts;

use crate::error::StoreError;
use crate::load::parse;
use crate::open::Store;
use crate::save::json;

/// An exchange kept because a finding or verdict names it, as `exchanges.ndjson` would write it (masked).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvidenceRow {
    /// The exchange's id.
    pub id: String,
    /// When it was.
    pub at: Ts,
    /// The exchange.
    pub exchange: serde_json::Value,
}

/// Which exchanges stand for all of a campaign, a finding or a place of sensitive data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleRow {
    /// `campaign:`, `finding:` or `sensitive:` and the id.
    pub thing: String,
    /// Exchanges that they were chosen from.
    pub seen: u64,
    /// Ids of those chosen.
    pub ids: Vec<String>,
}

/// What is kept of a sample.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Sample {
    /// Exchanges that were looked at.
    pub seen: u64,
    /// Those of the chosen ones that are kept; each stands for as many as `seen` divided by this.
    pub kept: u64,
}

/// How much evidence is kept; the oldest goes first, and what goes is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvidenceLimits {
    /// Most exchanges.
    pub rows: u64,
    /// Most bytes of their text.
    pub bytes: u64,
    /// Longest time since the newest one, in seconds.
    pub age_s: u64,
}

impl Default for EvidenceLimits {
    fn default() -> Self {
        EvidenceLimits { rows: 100_000, bytes: 256 << 20, age_s: 30 * 86_400 }
    }
}

/// Exchanges that are written in one transaction.
const PART: usize = 50;

impl Store {
    /// Keeps evidence within the limits; gives how many exchanges went for it.
    pub fn record_evidence(
        &mut self,
        rows: &[EvidenceRow],
        limits: &EvidenceLimits,
    ) -> Result<u64, StoreError> {
        for part in rows.chunks(PART) {
            while let Err(e) = self.write_evidence(part) {
                if !e.is_at_bound() || self.make_way()? == 0 {
                    return Err(e);
                }
            }
            self.settle()?;
        }
        self.evict_evidence(limits)
    }

    fn write_evidence(&mut self, part: &[EvidenceRow]) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO evidence (id, at, bytes, row) VALUES (?1, ?2, ?3, ?4)";
        let transaction = self.begin()?;
        let mut insert = transaction.prepare_cached(sql)?;
        for row in part {
            let text = json(&row.exchange, "evidence")?;
            insert.execute(params![row.id, row.at.0, text.len() as i64, text])?;
        }
        drop(insert);
        transaction.commit()
    }

    /// The exchanges of these ids that are kept, in the order asked for.
    pub fn evidence(&self, ids: &[String]) -> Result<Vec<EvidenceRow>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT at, row FROM evidence WHERE id = ?1")?;
        let mut out = Vec::new();
        for id in ids {
            let mut rows = statement.query([id])?;
            if let Some(row) = rows.next()? {
                let exchange = parse(&row.get::<_, String>(1)?, "evidence")?;
                out.push(EvidenceRow { id: id.clone(), at: Ts(row.get(0)?), exchange });
            }
        }
        Ok(out)
    }

    /// Keeps which exchanges stand for what, in place of what was said of the same things before.
    pub fn record_samples(&mut self, rows: &[SampleRow], now: Ts) -> Result<(), StoreError> {
        let transaction = self.begin()?;
        for row in rows {
            let sql = "INSERT OR REPLACE INTO samples (thing, at, seen) VALUES (?1, ?2, ?3)";
            transaction.prepare_cached(sql)?.execute(params![
                row.thing,
                now.0,
                crate::save::count(row.seen)
            ])?;
            transaction.prepare_cached("DELETE FROM sampled WHERE thing = ?1")?.execute([&row.thing])?;
            let mut add = transaction
                .prepare_cached("INSERT OR IGNORE INTO sampled (thing, exchange) VALUES (?1, ?2)")?;
            for id in &row.ids {
                add.execute([&row.thing, id])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// The sample of a campaign (`campaign:ID`), a finding or a place of sensitive data: how large it is, and ids of what is kept of
    /// it, the earliest first.
    pub fn sample(&self, thing: &str) -> Result<(Sample, Vec<String>), StoreError> {
        let seen = "SELECT seen FROM samples WHERE thing = ?1";
        let mut seen = self.connection.prepare_cached(seen)?;
        let seen = seen.query_map([thing], |r| r.get::<_, i64>(0))?.next().transpose()?;
        let sql = "SELECT e.id FROM sampled s JOIN evidence e ON e.id = s.exchange WHERE s.thing = ?1 ORDER BY e.at, e.id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let ids: Vec<String> = statement.query_map([thing], |r| r.get(0))?.collect::<Result<_, _>>()?;
        Ok((Sample { seen: seen.map_or(0, i64::unsigned_abs), kept: ids.len() as u64 }, ids))
    }

    /// The same exchanges as the API gives them, with `why` and `weight`: of how many like it each was kept. Where they are looked at
    /// as those of a thing (`finding:ID`) that is what the sample of this says: of a campaign an exchange may stand for thousands, of a
    /// finding for itself. One that is in no sample was named by a reason or finding, and stands for itself. The weight of one that is in a
    /// sample is null where no thing is said.
    pub fn exchanges(
        &self,
        ids: &[String],
        thing: Option<&str>,
    ) -> Result<Vec<(String, serde_json::Value)>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT row FROM evidence WHERE id = ?1")?;
        let mut samples = self.connection.prepare_cached(
            "SELECT thing FROM sampled WHERE exchange = ?1 AND thing = coalesce(?2, thing) ORDER BY thing LIMIT 8",
        )?;
        let of_thing = thing.map(|thing| self.sample(thing)).transpose()?.map(|(size, _)| size);
        let each = of_thing.map(|size| (size.seen as f64 / size.kept.max(1) as f64).max(1.0));
        let mut out = Vec::new();
        for id in ids {
            let mut rows = statement.query([id])?;
            let Some(row) = rows.next()? else { continue };
            let mut exchange: serde_json::Value = parse(&row.get::<_, String>(0)?, "evidence")?;
            let mut why = Vec::new();
            let mut of = samples.query(params![id, thing])?;
            while let Some(row) = of.next()? {
                let thing: String = row.get(0)?;
                why.push(format!("sample-of-{}", thing.split(':').next().unwrap_or_default()));
            }
            let weight = match (why.is_empty(), each) {
                (true, _) => number(1.0),
                (false, Some(each)) => number(each),
                (false, None) => serde_json::Value::Null,
            };
            if why.is_empty() {
                why.push("named-as-proof".to_owned());
            }
            why.dedup();
            if let Some(fields) = exchange.as_object_mut() {
                fields.insert("weight".to_owned(), weight);
                fields.insert("why".to_owned(), why.into());
            }
            out.push((id.clone(), exchange));
        }
        Ok(out)
    }

    /// Counts what could not be kept.
    pub fn count_lost(&mut self, name: &str, lost: u64) -> Result<(), StoreError> {
        if lost == 0 {
            return Ok(());
        }
        let change = self.begin_vital()?;
        count(&change, name, lost)?;
        change.commit()
    }

    /// What was counted under this name since the store was made: `evidence.evicted`, `retained.endpoints`, …
    pub fn counter(&self, name: &str) -> Result<u64, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT value FROM counters WHERE name = ?1")?;
        let mut rows = statement.query_map([name], |r| r.get::<_, i64>(0))?;
        Ok(rows.next().transpose()?.map_or(0, i64::unsigned_abs))
    }
}

/// A weight to two places, without them where it is whole.
fn number(weight: f64) -> serde_json::Value {
    let rounded = (weight * 100.0).round() / 100.0;
    if rounded.fract() == 0.0 { serde_json::Value::from(rounded as u64) } else { rounded.into() }
}

impl Store {
    /// Removes what is too old by now: as long before the newest, and as long since a run was saved last, as the limit allows together.
    pub(crate) fn evict_old(&mut self, age_s: u64, now: Ts) -> Result<u64, StoreError> {
        let ends = "SELECT (SELECT max(at) FROM evidence), (SELECT max(saved_at) FROM runs)";
        let (newest, saved): (Option<i64>, Option<i64>) =
            self.connection.query_row(ends, [], |r| Ok((r.get(0)?, r.get(1)?)))?;
        let since = now.0.saturating_sub(saved.unwrap_or(now.0)).max(0);
        match newest {
            Some(newest) => self.evict_before(newest.saturating_add(since).saturating_sub(nanos(age_s))),
            None => Ok(0),
        }
    }

    fn evict_before(&self, before: i64) -> Result<u64, StoreError> {
        let is_old = "SELECT 1 FROM evidence WHERE at < ?1";
        if !self.connection.prepare_cached(is_old)?.exists([before])? {
            return Ok(0);
        }
        self.in_steps(PART as u64, |change| {
            let sql = "SELECT id FROM evidence WHERE at < ?1 ORDER BY at, id LIMIT ?2";
            let mut old = change.prepare_cached(sql)?;
            let ids = old.query_map(params![before, PART as i64], |r| r.get(0))?;
            remove(change, &ids.collect::<Result<Vec<_>, _>>()?)
        })
    }

    /// Removes what is too old beside the newest, and the oldest of what is too much.
    fn evict_evidence(&self, limits: &EvidenceLimits) -> Result<u64, StoreError> {
        let mut newest = self.connection.prepare_cached("SELECT coalesce(max(at), 0) FROM evidence")?;
        let newest: i64 = newest.query_row([], |r| r.get(0))?;
        let mut gone = self.evict_before(newest.saturating_sub(nanos(limits.age_s)))?;
        if let Some(last) = self.last_too_much(limits)? {
            gone += self.in_steps(PART as u64, |change| {
                let sql = "SELECT id FROM evidence WHERE (at, id) <= (?1, ?2) ORDER BY at, id LIMIT ?3";
                let mut oldest = change.prepare_cached(sql)?;
                let ids = oldest.query_map(params![last.0, last.1, PART as i64], |r| r.get(0))?;
                remove(change, &ids.collect::<Result<Vec<_>, _>>()?)
            })?;
        }
        Ok(gone)
    }
}

impl Store {
    /// The newest exchange that is too much. It and what is older goes, however many are at it at once.
    fn last_too_much(&self, limits: &EvidenceLimits) -> Result<Option<(i64, String)>, StoreError> {
        let sizes = "SELECT count(*), coalesce(sum(bytes), 0) FROM evidence";
        let mut sizes = self.connection.prepare_cached(sizes)?;
        let (rows, bytes): (i64, i64) = sizes.query_row([], |r| Ok((r.get(0)?, r.get(1)?)))?;
        if rows.unsigned_abs() <= limits.rows && bytes.unsigned_abs() <= limits.bytes {
            return Ok(None);
        }
        let sql = "SELECT at, id, bytes FROM evidence ORDER BY at DESC, id DESC";
        let mut newest = self.connection.prepare_cached(sql)?;
        let (mut newest, mut kept, mut bytes) = (newest.query([])?, 0_u64, 0_u64);
        while let Some(row) = newest.next()? {
            (kept, bytes) = (kept + 1, bytes.saturating_add(row.get::<_, i64>(2)?.unsigned_abs()));
            if kept > limits.rows || bytes > limits.bytes {
                return Ok(Some((row.get(0)?, row.get(1)?)));
            }
        }
        Ok(None)
    }
}

fn nanos(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000_000)
}

fn remove(transaction: &Connection, ids: &[String]) -> Result<u64, StoreError> {
    let mut delete = transaction.prepare_cached("DELETE FROM evidence WHERE id = ?1")?;
    let mut gone = 0;
    for id in ids {
        gone += delete.execute([id])? as u64;
    }
    unsample(transaction, ids)?;
    count(transaction, "evidence.evicted", gone)?;
    Ok(ids.len() as u64)
}

/// Samples are of exchanges that are kept: these are no more.
pub(crate) fn unsample(transaction: &Connection, ids: &[String]) -> Result<(), StoreError> {
    let mut delete = transaction.prepare_cached("DELETE FROM sampled WHERE exchange = ?1 RETURNING thing")?;
    let mut of = BTreeSet::new();
    for id in ids {
        let mut things = delete.query([id])?;
        while let Some(row) = things.next()? {
            of.insert(row.get::<_, String>(0)?);
        }
    }
    let sql =
        "DELETE FROM samples WHERE thing = ?1 AND thing NOT IN (SELECT thing FROM sampled WHERE thing = ?1)";
    let mut delete = transaction.prepare_cached(sql)?;
    for thing in of {
        delete.execute([thing])?;
    }
    Ok(())
}

pub(crate) fn count(transaction: &Connection, name: &str, n: u64) -> Result<(), StoreError> {
    if n > 0 {
        transaction.execute(
            "INSERT INTO counters (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = value + ?2",
            params![name, crate::save::count(n)],
        )?;
    }
    Ok(())
}
