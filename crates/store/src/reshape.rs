//! What a template that people set would do to the endpoints that are known.

use rusqlite::params;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::open::Store;
use crate::site::ShapeRow;
use crate::template::{bare, operation, takes_segment};

/// An endpoint that a template would call otherwise, or from which it would tell one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reshaped {
    /// The endpoint.
    pub id: String,
    /// Its method.
    pub method: String,
    /// Its template.
    pub template: String,
    /// Calls of it.
    pub calls: u64,
    /// `merge`: it becomes a part of `becomes`; `split`: calls that fit `becomes` are told from it.
    pub what: String,
    /// The template of what it becomes, or of what is told from it.
    pub becomes: String,
}

impl Store {
    /// Endpoints of a host that a template would merge, or tell one from: of all methods, and what lies below.
    pub fn reshaped(&self, host: &str, template: &str) -> Result<Vec<Reshaped>, StoreError> {
        let shapes: Vec<ShapeRow> = self.shapes()?.into_iter().filter(|s| s.host == host).collect();
        let sql =
            "SELECT id, method, template, calls, standing = 'documented' FROM now_endpoints WHERE host = ?1
            ORDER BY template, method, id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![host])?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            let (method, known): (String, String) = (row.get(1)?, row.get(2)?);
            let Some((what, becomes)) = becomes(template, &known) else { continue };
            // What a description or a template spells out stays as it is.
            let pinned = row.get::<_, bool>(4)? || shapes.iter().any(|s| begins_with(&known, &s.template));
            if what == "merge" && pinned {
                continue;
            }
            let calls = row.get::<_, i64>(3)?.unsigned_abs();
            out.push(Reshaped {
                id: row.get(0)?,
                method,
                template: known,
                calls,
                what: what.to_owned(),
                becomes,
            });
        }
        Ok(out)
    }
}

/// What a template does to another one, and what comes of it; nothing where they do not meet or are the same.
fn becomes(template: &str, known: &str) -> Option<(&'static str, String)> {
    let (path, of) = operation(known);
    let mut rest = path.split('/');
    let (mut differs, mut narrower) = (false, false);
    let segments: Vec<&str> = template.trim_end_matches('/').split('/').collect();
    for segment in &segments {
        let theirs = rest.next()?;
        if bare(segment) == bare(theirs) {
            continue;
        }
        differs = true;
        match (takes_segment(segment, theirs), takes_segment(theirs, segment)) {
            (true, _) => {}
            (false, true) => narrower = true,
            (false, false) => return None,
        }
    }
    let mut becomes = segments.join("/");
    rest.for_each(|s| {
        becomes.push('/');
        becomes.push_str(s);
    });
    if let Some(of) = of {
        becomes.push('#');
        becomes.push_str(of);
    }
    differs.then_some((if narrower { "split" } else { "merge" }, becomes))
}

/// Whether a template begins with the segments of one without parameters.
fn begins_with(known: &str, literal: &str) -> bool {
    let mut segments = operation(known).0.split('/');
    !literal.contains('{') && literal.trim_end_matches('/').split('/').all(|s| segments.next() == Some(s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_reaches_below_itself_and_no_further() {
        let of = |template, known| becomes(template, known).map(|(what, b)| format!("{what} {b}"));
        for (template, known, said) in [
            ("/m/{id}", "/m/2", Some("merge /m/{id}")),
            ("/m/{id}", "/m/2/stock", Some("merge /m/{id}/stock")),
            ("/m/{id}", "/m/2/{x}#query.A", Some("merge /m/{id}/{x}#query.A")),
            ("/m/{id}", "/m/{thing}/stock", None),
            ("/m/{id}", "/m", None),
            ("/m/{id}", "/n/2", None),
            ("/m/special", "/m/{id}/stock", Some("split /m/special/stock")),
            ("/m/special", "/m/special", None),
            ("/{a}/special", "/m/{id}", Some("split /{a}/special")),
        ] {
            assert_eq!(of(template, known).as_deref(), said, "{template} {known}");
        }
    }
}
