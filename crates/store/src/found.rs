//! The search over everything.

use rusqlite::{OptionalExtension, params_from_iter};

use crate::error::StoreError;
use crate::items::Hit;
use crate::open::Store;
use crate::query::{OFTEN, quoted};
use crate::schema::Table;

/// Most things of one kind that a search counts and gives.
const MOST: usize = if cfg!(test) { 5 } else { 1_000 };

/// Hosts that stand before all else; the others come last.
const FIRST_HOSTS: usize = 5;

/// Hosts, and things with a label or an owner, that are given.
const MOST_FEW: usize = 100;

/// The order of kinds.
const TABLES: [Table; 5] =
    [Table::Campaigns, Table::Endpoints, Table::Findings, Table::Verdicts, Table::Sensitive];

/// A part of what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// Hits, the best first.
    pub rows: Vec<Hit>,
    /// How many there are, as far as they were counted.
    pub total: usize,
    /// Whether there are more than were counted.
    pub more: bool,
}

impl Hits {
    /// Takes of hits that are all at hand those that fall into this part.
    fn take(&mut self, hits: Vec<Hit>, from: usize, limit: usize) {
        let skipped = from.saturating_sub(self.total);
        self.total += hits.len();
        self.rows.extend(hits.into_iter().skip(skipped).take(limit.saturating_sub(self.rows.len())));
    }
}

/// What things of a table have to fit.
struct Fits {
    sql: String,
    values: Vec<String>,
    /// What is asked of the search itself.
    long: String,
    /// Whether words that it does not know choose among what it finds.
    chosen: bool,
}

impl Store {
    /// Things that all these words are in, the best first, from so far on. Of a kind 1,000 are counted at most, and where very many have
    /// the words only the newest are looked at.
    pub fn search(&self, words: &[String], from: usize, limit: usize) -> Result<Hits, StoreError> {
        let mut found = Hits::default();
        let mut hosts = self.hosts_like(words)?;
        found.more = hosts.len() > MOST_FEW;
        hosts.truncate(MOST_FEW);
        let last = hosts.split_off(hosts.len().min(FIRST_HOSTS));
        found.take(hosts, from, limit);
        found.take(self.exchange_of(words)?.into_iter().collect(), from, limit);
        let mut noted = self.noted(words)?;
        found.more |= noted.len() > MOST_FEW;
        noted.truncate(MOST_FEW);
        found.take(noted, from, limit);
        for table in TABLES {
            self.find_in(table, words, (from, limit), &mut found)?;
        }
        found.take(last, from, limit);
        Ok(found)
    }

    fn find_in(
        &self,
        table: Table,
        words: &[String],
        (from, limit): (usize, usize),
        found: &mut Hits,
    ) -> Result<(), StoreError> {
        let fits = fits(table, words);
        let sql =
            format!("SELECT count(*) FROM (SELECT 1 FROM things t WHERE {} LIMIT {MOST} + 1)", fits.sql);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let n: i64 = statement.query_row(params_from_iter(&fits.values), |r| r.get(0))?;
        let all = usize::try_from(n).unwrap_or(0);
        // Where short words choose among the newest alone, older ones may have them too.
        found.more |= all > MOST || fits.chosen && self.is_found_often(&fits.long, table.numbers())?;
        let all = all.min(MOST);
        let skipped = from.saturating_sub(found.total).min(all);
        let wanted = limit.saturating_sub(found.rows.len()).min(all - skipped);
        found.total += all;
        if wanted == 0 {
            return Ok(());
        }
        let sql = format!(
            "SELECT t.kind, t.id, t.title, t.detail FROM things t WHERE {} ORDER BY length(t.title), t.n LIMIT {wanted} OFFSET {skipped}",
            fits.sql
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(&fits.values), hit)?;
        for row in rows {
            found.rows.push(row?);
        }
        Ok(())
    }

    fn hosts_like(&self, words: &[String]) -> Result<Vec<Hit>, StoreError> {
        let [word] = words else { return Ok(Vec::new()) };
        let sql = format!(
            "SELECT host, count(*) FROM now_endpoints WHERE instr(host, ?1) > 0 GROUP BY host ORDER BY length(host), host LIMIT {MOST_FEW} + 1"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([word.to_lowercase()], |r| {
            let host: String = r.get(0)?;
            let n: i64 = r.get(1)?;
            let detail = if n == 1 { "1 endpoint".to_owned() } else { format!("{n} endpoints") };
            Ok(Hit { kind: "host".into(), id: host.clone(), title: host, detail })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The stored exchange of this id.
    fn exchange_of(&self, words: &[String]) -> Result<Option<Hit>, StoreError> {
        let [word] = words else { return Ok(None) };
        let mut statement = self.connection.prepare_cached("SELECT id FROM evidence WHERE id = ?1")?;
        let id: Option<String> = statement.query_row([word], |r| r.get(0)).optional()?;
        Ok(id.map(|id| Hit {
            kind: "exchange".into(),
            title: id.clone(),
            id,
            detail: "Stored exchange".into(),
        }))
    }

    /// Things with a label or an owner that all these words are in, and which are not found by themselves.
    fn noted(&self, words: &[String]) -> Result<Vec<Hit>, StoreError> {
        let here = "instr(lower(n.labels || ' ' || coalesce(n.owner, '')), ?) > 0";
        let itself = "instr(lower(t.title || ' ' || t.detail), ?) > 0";
        let each = |one: &str| vec![one; words.len()].join(" AND ");
        let sql = format!(
            "SELECT t.kind, t.id, t.title, t.detail FROM (SELECT * FROM notes LIMIT {OFTEN}) n CROSS JOIN things t
             WHERE {} AND t.kind = n.kind AND t.id = n.id AND NOT ({}) ORDER BY length(t.title), t.n LIMIT {MOST_FEW} + 1",
            each(here),
            each(itself)
        );
        let lower: Vec<String> = words.iter().map(|w| w.to_lowercase()).collect();
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(lower.iter().chain(&lower)), hit)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn fits(table: Table, words: &[String]) -> Fits {
    let (above, below) = table.numbers();
    let (long, short): (Vec<&String>, Vec<&String>) = words.iter().partition(|w| w.chars().count() >= 3);
    let (mut conditions, mut values) = (Vec::new(), Vec::new());
    let newest = format!("ORDER BY 1 DESC LIMIT {OFTEN}");
    let (chosen, words) = (!long.is_empty() && !short.is_empty(), long.iter().map(|w| quoted(w)));
    let all_long = words.collect::<Vec<_>>().join(" AND ");
    if long.is_empty() {
        let all = format!("SELECT n FROM things WHERE n > {above} AND n < {below} {newest}");
        conditions.push(format!("t.n IN ({all})"));
    } else {
        values.push(all_long.clone());
        conditions.push(format!(
            "t.n IN (SELECT s.rowid FROM search s WHERE s.search MATCH ? AND s.rowid > {above} AND s.rowid < {below} {newest})"
        ));
    }
    for word in short {
        conditions.push("instr(lower(t.title || ' ' || t.detail), ?) > 0".to_owned());
        values.push(word.to_lowercase());
    }
    Fits { sql: conditions.join(" AND "), values, long: all_long, chosen }
}

fn hit(row: &rusqlite::Row<'_>) -> rusqlite::Result<Hit> {
    Ok(Hit { kind: row.get(0)?, id: row.get(1)?, title: row.get(2)?, detail: row.get(3)? })
}
