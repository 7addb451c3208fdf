//! What the site says of its APIs: descriptions, and templates by which endpoints are merged or told apart.

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use sidetap_model::Ts;
use sidetap_model::rows::EndpointRow;

use crate::error::StoreError;
use crate::open::Store;

/// A description of an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecRow {
    /// What it is called.
    pub name: String,
    /// When it was given.
    pub at: Ts,
    /// By whom.
    pub by: String,
    /// Its text.
    pub text: String,
}

/// A template that holds whatever is learned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ShapeRow {
    /// Its number.
    pub id: i64,
    /// The host.
    pub host: String,
    /// The method.
    pub method: String,
    /// The template: with `{name}` it makes endpoints one, without it tells one from the others.
    pub template: String,
    /// `merge` or `split`.
    pub kind: String,
    /// Why.
    pub reason: String,
    /// By whom.
    pub by: String,
    /// When.
    pub at: Ts,
}

impl Store {
    /// Descriptions, by name.
    pub fn specs(&self) -> Result<Vec<SpecRow>, StoreError> {
        let sql = "SELECT name, at, by, text FROM specs ORDER BY name";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([], |r| {
            Ok(SpecRow { name: r.get(0)?, at: Ts(r.get(1)?), by: r.get(2)?, text: r.get(3)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Keeps a description in place of the one of this name.
    pub fn put_spec(&mut self, row: &SpecRow) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO specs (name, at, by, text) VALUES (?1, ?2, ?3, ?4)";
        self.connection.execute(sql, params![row.name, row.at.0, row.by, row.text])?;
        Ok(())
    }

    /// Keeps a description no more; says whether it was there.
    pub fn remove_spec(&mut self, name: &str) -> Result<bool, StoreError> {
        Ok(self.connection.execute("DELETE FROM specs WHERE name = ?1", [name])? > 0)
    }

    /// Templates that hold whatever is learned, in the order they were set.
    pub fn shapes(&self) -> Result<Vec<ShapeRow>, StoreError> {
        shapes(&self.connection)
    }

    /// Sets a template; gives its row, or nothing where it is set already.
    pub fn add_shape(&mut self, row: &ShapeRow) -> Result<Option<ShapeRow>, StoreError> {
        let sql = "INSERT OR IGNORE INTO shapes (host, method, template, reason, by, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let values = params![row.host, row.method, row.template, row.reason, row.by, row.at.0];
        if self.connection.execute(sql, values)? == 0 {
            return Ok(None);
        }
        let id = self.connection.last_insert_rowid();
        Ok(self.shapes()?.into_iter().find(|s| s.id == id))
    }

    /// Takes a template back; gives what it was.
    pub fn remove_shape(&mut self, id: i64) -> Result<Option<ShapeRow>, StoreError> {
        let known = self.shapes()?.into_iter().find(|s| s.id == id);
        self.connection.execute("DELETE FROM shapes WHERE id = ?1", [id])?;
        Ok(known)
    }

    /// The inventory, runs merged.
    pub fn endpoints(&self) -> Result<Vec<EndpointRow>, StoreError> {
        let sql = "SELECT coalesce(n.row, (SELECT b.row FROM endpoints b WHERE b.id = n.id LIMIT 1)) FROM now_endpoints n
            ORDER BY n.host, n.template, n.method, n.id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            out.push(crate::load::parse(&row.get::<_, String>(0)?, "endpoints")?);
        }
        Ok(out)
    }
}

/// Templates that hold whatever is learned, in the order they were set.
pub(crate) fn shapes(connection: &Connection) -> Result<Vec<ShapeRow>, StoreError> {
    let sql = "SELECT id, host, method, template, reason, by, at FROM shapes ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |r| {
        let template: String = r.get(3)?;
        let kind = if template.contains('{') { "merge" } else { "split" }.to_owned();
        Ok(ShapeRow {
            id: r.get(0)?,
            host: r.get(1)?,
            method: r.get(2)?,
            template,
            kind,
            reason: r.get(4)?,
            by: r.get(5)?,
            at: Ts(r.get(6)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
