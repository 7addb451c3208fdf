//! Endpoints that were merged into others: where their ids lead, and what people said of them.

use std::collections::{BTreeSet, HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use sidetap_model::rows::EndpointRow;
use sidetap_model::{EndpointId, Ts};

use crate::error::StoreError;
use crate::lists::labels;
use crate::open::Store;
use crate::site::ShapeRow;
use crate::template::{bare, is_renamed, literal, takes};
use crate::work::{Notes, write_notes};

/// Former endpoints that are remembered; the oldest go first.
const FORMER: i64 = 10_000;
/// Most labels of an endpoint.
const LABELS: usize = 20;
/// Merged endpoints that a page shows what was said of.
const SHOWN: i64 = 100;

/// What people said of an endpoint before it was merged into another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MergedNotes {
    /// The id that it had.
    pub id: String,
    /// Its method; null where nobody remembers.
    pub method: Option<String>,
    /// Its template; null where nobody remembers.
    pub template: Option<String>,
    /// Labels.
    pub labels: Vec<String>,
    /// Who answered for it.
    pub owner: Option<String>,
    /// Anything else.
    pub note: Option<String>,
}

/// What an endpoint is called.
pub(crate) struct Name {
    zone: String,
    host: String,
    method: String,
    template: String,
}

/// What was said of an endpoint that neither this run nor another one that goes on has.
pub(crate) struct Orphan {
    pub(crate) id: String,
    name: Name,
    /// The run that had it says another in its place.
    gone: bool,
    notes: Notes,
}

impl Store {
    /// Carries what people said of endpoints that were merged to those that go on: labels are added, owner and note are taken where
    /// there is none. Of those that are told apart again it is where it was.
    pub(crate) fn carry_notes(&mut self, endpoints: &[EndpointRow], now: Ts) -> Result<(), StoreError> {
        let noted = "SELECT 1 FROM notes WHERE kind = 'endpoint'";
        if !self.connection.prepare_cached(noted)?.exists([])? {
            return Ok(());
        }
        let here: HashSet<EndpointId> = endpoints.iter().map(|e| e.id).collect();
        let transaction = self.begin_vital()?;
        let back = carried(&transaction)?.into_iter().filter(|id| has(&here, id));
        for id in back {
            let sql = "UPDATE notes SET carried = NULL WHERE kind = 'endpoint' AND id = ?1";
            transaction.prepare_cached(sql)?.execute([id])?;
        }
        let orphans: Vec<Orphan> =
            orphans(&transaction, NOTED)?.into_iter().filter(|o| !has(&here, &o.id)).collect();
        for (orphan, next) in pairs(&transaction, &orphans, endpoints)? {
            carry(&transaction, orphan, next, now)?;
        }
        transaction.commit()
    }

    /// What people said of endpoints that were merged into this one.
    pub fn merged_notes(&self, id: &str) -> Result<Vec<MergedNotes>, StoreError> {
        let sql = "SELECT o.id, coalesce(n.method, f.method), coalesce(n.template, f.template), o.labels, o.owner, o.note
            FROM notes o LEFT JOIN now_endpoints n ON n.id = o.id LEFT JOIN former f ON f.id = o.id
            WHERE o.carried = ?1 AND o.kind = 'endpoint' ORDER BY 3, 2, 1 LIMIT ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![id, SHOWN], |r| {
            Ok(MergedNotes {
                id: r.get(0)?,
                method: r.get(1)?,
                template: r.get(2)?,
                labels: labels(r.get(3)?),
                owner: r.get(4)?,
                note: r.get(5)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The endpoint that goes on in place of one that is there no more.
    pub(crate) fn goes_on_as(&self, id: &str) -> Result<Option<String>, StoreError> {
        if let Some(next) = self.of_alias(id)? {
            return Ok(Some(next));
        }
        match former(&self.connection, id)? {
            Some(name) => {
                Ok(self.takers(&name, id)?.into_iter().max_by_key(|(_, t)| literal(t)).map(|t| t.0))
            }
            None => Ok(None),
        }
    }

    /// The id that the endpoint has that is known by this one now: its own, or one that it says it had before.
    pub fn endpoint_id(&self, id: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT 1 FROM now_endpoints WHERE id = ?1";
        match self.connection.prepare_cached(sql)?.exists([id])? {
            true => Ok(Some(id.to_owned())),
            false => self.of_alias(id),
        }
    }

    /// The endpoint that says that it had this id before.
    fn of_alias(&self, id: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT id FROM now_endpoints WHERE aliases <> '|' AND instr(aliases, '|' || ?1 || '|') > 0 ORDER BY id LIMIT 1";
        Ok(self.connection.prepare_cached(sql)?.query_row([id], |r| r.get(0)).optional()?)
    }

    /// The endpoint that this one is merged into by a template that people set since: rows of older runs may still have it.
    pub fn merged_into(&self, row: &EndpointRow) -> Result<Option<String>, StoreError> {
        let shapes = self.shapes()?;
        if !shapes.iter().any(|s| s.host == row.host && s.template.contains('{')) {
            return Ok(None);
        }
        let id = row.id.to_string();
        let name = Name::of(row);
        let mut takers = self.takers(&name, &id)?;
        takers.retain(|(_, template)| is_set(&shapes, &name, template));
        let Some((next, _)) = takers.into_iter().max_by_key(|(_, t)| literal(t)) else { return Ok(None) };
        // A run that has both tells them apart.
        let sql = "SELECT 1 FROM endpoints a JOIN endpoints b ON b.run = a.run WHERE a.id = ?1 AND b.id = ?2";
        let apart = self.connection.prepare_cached(sql)?.exists([&id, &next])?;
        Ok(Some(next).filter(|_| !apart))
    }

    /// Other endpoints whose template takes what this one's does, with their templates.
    fn takers(&self, name: &Name, id: &str) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT id, template FROM now_endpoints WHERE host = ?1 AND method = ?2 AND zone = ?3 AND id <> ?4
            AND instr(template, '{') > 0 ORDER BY id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![name.host, name.method, name.zone, id], |r| {
            Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?))
        })?;
        let all = rows.collect::<Result<Vec<_>, _>>()?;
        Ok(all.into_iter().filter(|(_, template)| takes(template, &name.template)).collect())
    }
}

/// Remembers endpoints that the run that had them says no more, and no other one has, where another goes on in their place: by a template
/// that the run did not have before, or that people set. Others were merely not called.
pub(crate) fn remember(
    transaction: &Connection,
    (run, before): (&str, &BTreeSet<String>),
    gone: &[String],
    now: &[&EndpointRow],
) -> Result<(), StoreError> {
    let shapes = crate::site::shapes(transaction)?;
    let mut takers: HashMap<_, Vec<(&str, bool)>> = HashMap::new();
    for e in now.iter().filter(|e| e.template.contains('{')) {
        let is_new = !before.contains(&e.id.to_string());
        takers.entry((&*e.zone, &*e.host, &*e.method)).or_default().push((&e.template, is_new));
    }
    let sql = "SELECT zone, host, method, template FROM now_endpoints WHERE id = ?1
        AND NOT EXISTS (SELECT 1 FROM endpoints e WHERE e.id = ?1 AND e.run <> ?2)";
    let mut known = transaction.prepare_cached(sql)?;
    let sql = "INSERT OR REPLACE INTO former (id, zone, host, method, template) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut insert = transaction.prepare_cached(sql)?;
    for id in gone {
        let Some(name) = known.query_row([id, run], Name::read).optional()? else { continue };
        let near = takers.get(&(&*name.zone, &*name.host, &*name.method)).into_iter().flatten();
        let mut near = near.filter(|(template, _)| takes(template, &name.template));
        if near.any(|(template, is_new)| *is_new || is_set(&shapes, &name, template)) {
            insert.execute(params![id, name.zone, name.host, name.method, name.template])?;
        }
    }
    let sql = "DELETE FROM former WHERE seq <= (SELECT max(seq) FROM former) - ?1";
    transaction.prepare_cached(sql)?.execute([FORMER])?;
    Ok(())
}

/// An endpoint that a run says is no former one.
pub(crate) fn is_back(transaction: &Connection, id: &str) -> Result<(), StoreError> {
    transaction.prepare_cached("DELETE FROM former WHERE id = ?1")?.execute([id])?;
    Ok(())
}

fn carried(transaction: &Connection) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT id FROM notes WHERE carried IS NOT NULL AND kind = 'endpoint'";
    let mut statement = transaction.prepare_cached(sql)?;
    Ok(statement.query_map([], |r| r.get(0))?.collect::<Result<_, _>>()?)
}

/// Endpoints of which somebody said something that is not carried yet.
const NOTED: &str = "SELECT id, labels, owner, note FROM notes WHERE kind = 'endpoint' AND carried IS NULL";

/// Of endpoints that something is said of (`said`, with columns as those of notes) those that no run that goes on has.
pub(crate) fn orphans(transaction: &Connection, said: &str) -> Result<Vec<Orphan>, StoreError> {
    let sql = format!(
        "SELECT o.id, coalesce(n.zone, f.zone), coalesce(n.host, f.host), coalesce(n.method, f.method),
            coalesce(n.template, f.template), f.id IS NOT NULL, o.labels, o.owner, o.note
        FROM ({said}) o LEFT JOIN now_endpoints n ON n.id = o.id LEFT JOIN former f ON f.id = o.id
        WHERE NOT EXISTS (SELECT 1 FROM endpoints e JOIN watchers w ON w.run = e.run WHERE e.id = o.id)
        ORDER BY coalesce(n.template, f.template), o.id"
    );
    let mut statement = transaction.prepare_cached(&sql)?;
    let rows = statement.query_map([], |r| {
        let text = |n: usize| Ok::<_, rusqlite::Error>(r.get::<_, Option<String>>(n)?.unwrap_or_default());
        Ok(Orphan {
            id: r.get(0)?,
            name: Name { zone: text(1)?, host: text(2)?, method: text(3)?, template: text(4)? },
            gone: r.get(5)?,
            notes: Notes { labels: labels(r.get(6)?), owner: r.get(7)?, note: r.get(8)? },
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Orphans with the endpoints of a run that go on in their place.
pub(crate) fn pairs<'o, 'e>(
    transaction: &Connection,
    orphans: &'o [Orphan],
    endpoints: &'e [EndpointRow],
) -> Result<Vec<(&'o Orphan, &'e EndpointRow)>, StoreError> {
    if orphans.is_empty() {
        return Ok(Vec::new());
    }
    let hosts: BTreeSet<&str> = orphans.iter().map(|o| o.name.host.as_str()).collect();
    let is_near = |e: &&EndpointRow| hosts.contains(&*e.host) || !e.aliases.is_empty();
    let near: Vec<&EndpointRow> = endpoints.iter().filter(is_near).collect();
    let shapes = crate::site::shapes(transaction)?;
    Ok(orphans.iter().filter_map(|orphan| Some((orphan, next_of(orphan, &near, &shapes)?))).collect())
}

/// Whether the endpoint that goes on in place of another is the same by other names of parameters.
pub(crate) fn is_same(orphan: &Orphan, next: &EndpointRow) -> bool {
    let name = &orphan.name;
    let is_there = name.zone == next.zone && name.host == next.host && name.method == next.method;
    is_there && is_renamed(&next.template, &name.template)
}

fn former(connection: &Connection, id: &str) -> Result<Option<Name>, StoreError> {
    let sql = "SELECT zone, host, method, template FROM former WHERE id = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([id], Name::read).optional()?)
}

pub(crate) fn has(here: &HashSet<EndpointId>, id: &str) -> bool {
    u64::from_str_radix(id, 16).is_ok_and(|id| here.contains(&EndpointId(id)))
}

/// The endpoint of this run that goes on in place of another: it says so itself, or its template takes the other, in whose place
/// its own run says it or which people merged.
fn next_of<'e>(orphan: &Orphan, near: &[&'e EndpointRow], shapes: &[ShapeRow]) -> Option<&'e EndpointRow> {
    let name = &orphan.name;
    let said = u64::from_str_radix(&orphan.id, 16).ok().map(EndpointId);
    if let Some(next) = near.iter().find(|e| said.is_some_and(|id| e.aliases.contains(&id))) {
        return Some(next);
    }
    near.iter()
        .filter(|e| e.host == name.host && e.method == name.method && e.zone == name.zone)
        .filter(|e| takes(&e.template, &name.template))
        .filter(|e| orphan.gone || is_set(shapes, name, &e.template))
        .max_by_key(|e| literal(&e.template))
        .copied()
}

fn carry(transaction: &Connection, orphan: &Orphan, next: &EndpointRow, now: Ts) -> Result<(), StoreError> {
    let id = next.id.to_string();
    let mut all = crate::work::notes_of(transaction, "endpoint", &id)?;
    for label in &orphan.notes.labels {
        if all.labels.len() < LABELS && !all.labels.contains(label) {
            all.labels.push(label.clone());
        }
    }
    all.owner = all.owner.or_else(|| orphan.notes.owner.clone());
    all.note = all.note.or_else(|| orphan.notes.note.clone());
    write_notes(transaction, "endpoint", &id, &all)?;
    let sql = "UPDATE notes SET carried = ?2 WHERE kind = 'endpoint' AND id = ?1";
    transaction.prepare_cached(sql)?.execute([&orphan.id, &id])?;
    let detail = serde_json::json!({ "id": orphan.id, "into": id, "labels": all.labels, "owner": all.owner });
    let sql = "INSERT INTO audit (at, actor, action, detail) VALUES (?1, 'discovery', 'endpoint.merge', ?2)";
    transaction.prepare_cached(sql)?.execute(params![now.0, detail.to_string()])?;
    Ok(())
}

impl Name {
    fn read(r: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Name { zone: r.get(0)?, host: r.get(1)?, method: r.get(2)?, template: r.get(3)? })
    }

    fn of(row: &EndpointRow) -> Self {
        let (zone, host) = (row.zone.clone(), row.host.clone());
        Name { zone, host, method: row.method.clone(), template: row.template.clone() }
    }
}

/// Whether people set a template that this one is by, or lies below, and none that tells the endpoint from it.
fn is_set(shapes: &[ShapeRow], of: &Name, template: &str) -> bool {
    let mut here = shapes.iter().filter(|s| s.host == of.host);
    let above = |s: &ShapeRow| {
        let mut segments = template.split('/').map(bare);
        s.template.contains('{') && s.template.split('/').all(|seg| segments.next() == Some(bare(seg)))
    };
    here.clone().any(above) && !here.any(|s| s.template == of.template)
}
