//! Rows one part after another, for who goes through more than fits into memory.
//!
//! Each part is a transaction of its own, so that the log beside the file can be written back meanwhile: what is saved between two
//! parts may be in later ones.

use std::collections::BTreeMap;

use rusqlite::params;
use sidetap_model::rows::{CampaignRow, EndpointRow, VerdictRow};

use crate::error::StoreError;
use crate::load::parse;
use crate::now::Kept;
use crate::open::Store;

/// Things of one part.
const PART: i64 = 1_000;

/// A row with when its run was saved and the run's id: the order in which runs are merged.
type Of<T> = (Option<i64>, String, T);

impl Store {
    /// Verdicts by their ids as [`Store::load`] has them, in parts.
    pub fn each_verdicts<E: From<StoreError>>(
        &self,
        take: impl FnMut(Vec<VerdictRow>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each(merged, take)
    }

    /// Campaigns likewise.
    pub fn each_campaigns<E: From<StoreError>>(
        &self,
        take: impl FnMut(Vec<CampaignRow>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each(merged, take)
    }

    /// Endpoints likewise.
    pub fn each_endpoints<E: From<StoreError>>(
        &self,
        take: impl FnMut(Vec<EndpointRow>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each(merged, take)
    }

    /// Verdicts of other runs than this one by their ids, in parts: the same subject may have one in each, of which the one that was
    /// seen last comes last.
    pub fn each_verdicts_of_others<E: From<StoreError>>(
        &self,
        run: &str,
        take: impl FnMut(Vec<VerdictRow>) -> Result<(), E>,
    ) -> Result<(), E> {
        let of_others = |rows: Vec<Of<VerdictRow>>, out: &mut Vec<VerdictRow>| {
            let mut rows: Vec<_> = rows.into_iter().filter(|(_, of, _)| of != run).collect();
            rows.sort_by(|(_, a, v), (_, b, w)| (v.last_seen, a).cmp(&(w.last_seen, b)));
            out.extend(rows.into_iter().map(|(_, _, v)| v));
        };
        self.each(of_others, take)
    }

    /// Verdicts of a run, in no order.
    pub fn each_verdict_of(&self, run: &str, mut take: impl FnMut(VerdictRow)) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT row FROM verdicts WHERE run = ?1")?;
        let mut rows = statement.query([run])?;
        while let Some(row) = rows.next()? {
            take(parse(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?, "verdicts")?);
        }
        Ok(())
    }

    /// What is known now of the verdicts of a campaign, in no order.
    pub fn each_verdict_in(
        &self,
        campaign: &str,
        mut take: impl FnMut(VerdictRow),
    ) -> Result<(), StoreError> {
        let sql = "SELECT coalesce(n.row, (SELECT b.row FROM verdicts b WHERE b.id = n.id LIMIT 1)) FROM now_verdicts n WHERE n.campaign = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([campaign])?;
        while let Some(row) = rows.next()? {
            take(parse(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?, "verdicts")?);
        }
        Ok(())
    }

    /// The runs that know a campaign.
    pub fn runs_of_campaign(&self, campaign: &str) -> Result<Vec<String>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT run FROM campaigns WHERE id = ?1 ORDER BY run")?;
        let runs = statement.query_map([campaign], |r| r.get(0))?;
        Ok(runs.collect::<Result<_, _>>()?)
    }

    fn each<T: Kept, E: From<StoreError>>(
        &self,
        as_one: impl Fn(Vec<Of<T>>, &mut Vec<T>),
        mut take: impl FnMut(Vec<T>) -> Result<(), E>,
    ) -> Result<(), E> {
        let saved = self.saved()?;
        let mut after = String::new();
        loop {
            let (part, last) = self.things_after(&after, &saved, &as_one)?;
            let Some(last) = last else { return Ok(()) };
            after = last;
            take(part)?;
        }
    }

    /// When each run was saved.
    fn saved(&self) -> Result<BTreeMap<String, i64>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT id, saved_at FROM runs")?;
        let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The things after this id, and the last id among them.
    fn things_after<T: Kept>(
        &self,
        after: &str,
        saved: &BTreeMap<String, i64>,
        as_one: impl Fn(Vec<Of<T>>, &mut Vec<T>),
    ) -> Result<(Vec<T>, Option<String>), StoreError> {
        let name = T::TABLE.name();
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT id, run, row FROM {name} WHERE id > ?1 AND id <= (
                 SELECT max(id) FROM (SELECT DISTINCT id FROM {name} WHERE id > ?1 ORDER BY id LIMIT ?2)
             ) ORDER BY id"
        ))?;
        let mut rows = statement.query(params![after, PART])?;
        let (mut out, mut same) = (Vec::new(), Vec::new());
        let mut last: Option<String> = None;
        while let Some(row) = rows.next()? {
            let id = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
            if last.as_deref() != Some(id) {
                as_one(std::mem::take(&mut same), &mut out);
                last = Some(id.to_owned());
            }
            let run: String = row.get(1)?;
            let text = row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?;
            same.push((saved.get(&run).copied(), run, parse(text, name)?));
        }
        as_one(same, &mut out);
        Ok((out, last))
    }
}

/// Rows of the same thing, from the oldest run to the newest, as one.
fn merged<T: Kept>(mut rows: Vec<Of<T>>, out: &mut Vec<T>) {
    rows.sort_by(|(at, run, _), (other_at, other, _)| (at, run).cmp(&(other_at, other)));
    out.extend(T::merge(rows.into_iter().map(|(_, _, row)| row).collect()));
}
