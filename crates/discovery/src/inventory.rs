//! Rows of the inventory.

use std::collections::BTreeMap;

use sidetap_model::rows::{Callers as CallersRow, EndpointRow, EndpointSensitive, Parameter, SensitiveRow};
use sidetap_model::{EndpointId, EndpointRef};

use crate::endpoint::{Endpoint, Operation, QueryStat};
use crate::engine::Engine;
use crate::host::{Host, Unproven};
use crate::observe::{AUTH_KINDS, Kinds, Protocol, QueryParam};
use crate::risk::score;
use crate::schema::Schema;
use crate::segment::Shape;
use crate::standing::Versions;
use crate::trie::Node;

impl Engine {
    /// The inventory, by zone, host, template, method. `sensitive` and `roles` are what other stages know of its endpoints.
    pub fn rows(
        &self,
        sensitive: &[SensitiveRow],
        roles: &BTreeMap<EndpointId, Vec<String>>,
    ) -> Vec<EndpointRow> {
        let mut data: BTreeMap<EndpointId, Vec<&SensitiveRow>> = BTreeMap::new();
        for s in sensitive {
            data.entry(s.endpoint.id).or_default().push(s);
        }
        let versions = Versions::of(&self.hosts);
        let mut out: Vec<EndpointRow> = Vec::new();
        for host in &self.hosts {
            let mut shapes = Vec::new();
            path_shapes(&host.root, &mut Vec::new(), &mut shapes);
            for (slot, path, why) in shapes {
                let found = (host.endpoints.get(slot as usize), host.names.get(slot as usize));
                let (Some(Some(e)), Some(Some(name))) = found else { continue };
                if e.calls == 0 {
                    continue;
                }
                let mut row = row(host, e, name, &path);
                row.merged_by = why;
                row.standing = self.standing(host, e, name, &versions).to_owned();
                (row.risk, row.risk_terms) =
                    score(e, name, &row.standing, data.get(&e.id).map_or(&[][..], Vec::as_slice));
                row.sensitive = data.get(&e.id).into_iter().flatten().map(|s| leak(s)).collect();
                row.sensitive.sort();
                out.extend(e.operations.iter().map(|(op, stat)| operation_row(&row, op, stat)));
                out.push(row);
            }
            host.add_unproven(&mut out);
        }
        self.add_early(&mut out);
        for row in &mut out {
            row.roles = roles.get(&row.id).cloned().unwrap_or_default();
        }
        let orphans = self.orphans(&out);
        out.extend(orphans);
        out.sort_by(|a, b| {
            let key =
                |r: &EndpointRow| (r.zone.clone(), r.host.clone(), r.template.clone(), r.method.clone());
            key(a).cmp(&key(b))
        });
        out
    }
}

fn leak(s: &SensitiveRow) -> EndpointSensitive {
    EndpointSensitive { kind: s.kind.clone(), direction: s.direction.clone(), location: s.location.clone() }
}

/// Slots with the shapes of the parameters above them, and why those were merged.
pub(crate) fn path_shapes(
    node: &Node,
    above: &mut Vec<(u32, [u32; 5], u32)>,
    out: &mut Vec<(u32, Vec<u32>, Vec<String>)>,
) {
    for end in &node.ends {
        let shapes = above.iter().map(|(s, ..)| *s).collect();
        let why = above.iter().filter(|(_, _, n)| *n > 0).map(|(_, why, n)| reason(why, *n)).collect();
        out.push((end.slot, shapes, why));
    }
    for kid in node.kids.values() {
        path_shapes(kid, above, out);
    }
    for p in &node.params {
        above.push((p.shapes, p.why, p.absorbed));
        path_shapes(&p.node, above, out);
        above.pop();
    }
}

fn reason(why: &[u32; 5], merged: u32) -> String {
    const NAMES: [&str; 5] = [
        "named by their responses",
        "listed as ids elsewhere",
        "shaped like values",
        "continue alike",
        "one of a crowd",
    ];
    let parts: Vec<String> =
        why.iter().zip(NAMES).filter(|(n, _)| **n > 0).map(|(n, name)| format!("{n} {name}")).collect();
    format!("{merged} literals merged: {}", parts.join(", "))
}

fn row(host: &Host, e: &Endpoint, name: &EndpointRef, shapes: &[u32]) -> EndpointRow {
    let mut aliases = e.aliases.to_vec();
    aliases.retain(|a| *a != e.id);
    EndpointRow {
        id: e.id,
        zone: host.zone.to_string(),
        host: host.name.to_string(),
        method: name.method.to_string(),
        template: name.template.to_string(),
        protocol: e.protocol().name().to_owned(),
        calls: e.calls,
        first_seen: e.first,
        last_seen: e.last,
        status_codes: statuses(&e.statuses),
        auth: auth_names(|i| e.auth.get(i).is_some_and(|n| *n > 0)),
        exposure: exposure(e.public),
        standing: "unknown".to_owned(),
        roles: Vec::new(),
        channels: channels(e.channels),
        callers: CallersRow { count: e.callers.count(), ..CallersRow::default() },
        sensitive: Vec::new(),
        risk: 0,
        risk_terms: Vec::new(),
        parameters: e.parameters_of(&name.template, shapes),
        merged_by: Vec::new(),
        aliases,
    }
}

/// An operation that shares its path with others: `/graphql#query.GetUser`.
fn operation_row(of: &EndpointRow, operation: &str, stat: &Operation) -> EndpointRow {
    let template = operation_template(&of.template, operation);
    EndpointRow {
        id: crate::render::id_of(&of.zone, &of.host, &of.method, &template),
        template,
        calls: stat.calls,
        first_seen: stat.first,
        last_seen: stat.last,
        status_codes: statuses(&stat.statuses),
        auth: auth_names(|i| stat.auth >> i & 1 == 1),
        callers: CallersRow { count: stat.callers.count(), ..CallersRow::default() },
        sensitive: Vec::new(),
        parameters: Vec::new(),
        merged_by: Vec::new(),
        aliases: Vec::new(),
        ..of.clone()
    }
}

fn operation_template(template: &str, operation: &str) -> String {
    format!("{template}#{}", operation.replace(' ', "."))
}

/// The endpoint of an operation that shares the path of `of` with others, as the inventory names it.
pub fn operation_endpoint(zone: &str, of: &EndpointRef, operation: &str) -> EndpointRef {
    let template = operation_template(&of.template, operation);
    EndpointRef::new(
        crate::render::id_of(zone, &of.host, &of.method, &template),
        &*of.host,
        &*of.method,
        template,
    )
}

fn exposure(public: bool) -> String {
    if public { "public" } else { "private" }.to_owned()
}

fn channels(mask: u8) -> Vec<String> {
    [(1, "web"), (2, "mobile"), (4, "api")]
        .into_iter()
        .filter(|(b, _)| mask & b != 0)
        .map(|(_, n)| n.to_owned())
        .collect()
}

fn auth_names(seen: impl Fn(usize) -> bool) -> Vec<String> {
    AUTH_KINDS.iter().enumerate().filter(|(i, _)| seen(*i)).map(|(_, n)| (*n).to_owned()).collect()
}

pub(crate) fn statuses(list: &[(u16, u64)]) -> BTreeMap<String, u64> {
    list.iter().map(|(s, n)| (if *s == 0 { "none".to_owned() } else { s.to_string() }, *n)).collect()
}

impl Host {
    /// Adds endpoints that only ever refused or redirected, and of which nothing says that they do not exist. What one of those in
    /// the inventory refused before it was proven is its own.
    fn add_unproven(&self, rows: &mut Vec<EndpointRow>) {
        let proven: BTreeMap<EndpointId, usize> = rows.iter().enumerate().map(|(at, r)| (r.id, at)).collect();
        for (key, unproven) in &self.unproven {
            let row = self.unproven_row(key, unproven);
            match proven.get(&row.id).and_then(|at| rows.get_mut(*at)) {
                Some(known) => {
                    known.calls += row.calls;
                    known.first_seen = known.first_seen.min(row.first_seen);
                    known.last_seen = known.last_seen.max(row.last_seen);
                    for (status, n) in row.status_codes {
                        *known.status_codes.entry(status).or_default() += n;
                    }
                }
                None if self.is_credible(unproven) => rows.push(row),
                None => {}
            }
        }
    }

    fn is_credible(&self, u: &Unproven) -> bool {
        u.calls >= 3 && u.callers.count() >= 2 && !self.missing.contains(&u.path)
    }

    fn unproven_row(&self, (method, template): &(std::sync::Arc<str>, String), u: &Unproven) -> EndpointRow {
        EndpointRow {
            id: crate::render::id_of(&self.zone, &self.name, method, template),
            zone: self.zone.to_string(),
            host: self.name.to_string(),
            method: method.to_string(),
            template: template.clone(),
            protocol: Protocol::Rest.name().to_owned(),
            calls: u.calls,
            first_seen: u.first,
            last_seen: u.last,
            status_codes: statuses(&u.statuses),
            auth: auth_names(|i| u.auth >> i & 1 == 1),
            exposure: exposure(u.public),
            standing: "unknown".to_owned(),
            roles: Vec::new(),
            channels: Vec::new(),
            callers: CallersRow { count: u.callers.count(), ..CallersRow::default() },
            sensitive: Vec::new(),
            risk: 0,
            risk_terms: vec!["unproven: no successful answer was seen".to_owned()],
            parameters: Vec::new(),
            merged_by: Vec::new(),
            aliases: Vec::new(),
        }
    }
}

impl Endpoint {
    /// What most of its successful exchanges speak.
    pub(crate) fn protocol(&self) -> Protocol {
        let best = self
            .protocols
            .iter()
            .enumerate()
            .max_by_key(|(i, n)| (**n, usize::MAX - *i))
            .map_or(0, |(i, _)| i);
        Protocol::ALL.get(best).copied().unwrap_or_default()
    }

    /// Its parameters: path, query, body.
    pub(crate) fn parameters_of(&self, template: &str, shapes: &[u32]) -> Vec<Parameter> {
        let mut out: Vec<Parameter> = names_in(template)
            .zip(shapes.iter().copied().chain(std::iter::repeat(0)))
            .map(|(name, mask)| {
                let (kind, format) = scalar_type(mask);
                Parameter { name: name.to_owned(), location: "path".to_owned(), kind, format, required: true }
            })
            .collect();
        let successes = self.open_successes + self.secured_successes;
        let credible = |q: &QueryStat| q.calls >= 2 && q.calls * 200 >= successes || successes < 20;
        out.extend(self.query.iter().filter(|(_, q)| credible(q)).map(|(name, q)| {
            let (kind, format) = scalar_type(q.shapes);
            let required = q.calls >= successes && successes >= 5;
            Parameter { name: name.to_string(), location: "query".to_owned(), kind, format, required }
        }));
        for ((_, _), schema) in self.schemas.iter().filter(|((side, _), _)| *side == 0) {
            body_parameters(schema, &mut out);
        }
        out
    }
}

fn body_parameters(schema: &Schema, out: &mut Vec<Parameter>) {
    let mut fields: Vec<_> = schema.fields.values().collect();
    fields.sort_by(|a, b| a.path.cmp(&b.path));
    for f in fields {
        let Some(name) = f.path.strip_prefix("$.").filter(|n| !n.contains(['.', '['])) else { continue };
        if out.iter().any(|p| p.location == "body" && p.name == name) {
            continue;
        }
        let (kind, format) = field_type(f.kinds, f.shapes);
        let required = f.bodies >= schema.bodies;
        out.push(Parameter { name: name.to_owned(), location: "body".to_owned(), kind, format, required });
    }
}

/// The names of a template's parameters.
pub(crate) fn names_in(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
}

/// Type and format of texts with these shapes.
pub(crate) fn scalar_type(mask: u32) -> (String, Option<String>) {
    if mask != 0 && mask & !(Shape::Int.bit()) == 0 {
        return ("integer".to_owned(), None);
    }
    if mask != 0 && mask & !(Shape::Int.bit() | Shape::Number.bit()) == 0 {
        return ("number".to_owned(), None);
    }
    if mask == QueryParam::BOOL {
        return ("boolean".to_owned(), None);
    }
    let format = crate::extract::only_shape(mask).and_then(Shape::format).map(str::to_owned);
    ("string".to_owned(), format)
}

/// Type and format of a body's field.
pub(crate) fn field_type(kinds: u8, shapes: u32) -> (String, Option<String>) {
    let kind = match kinds & !Kinds::NULL {
        Kinds::INTEGER => "integer",
        Kinds::NUMBER => "number",
        k if k != 0 && k & !(Kinds::INTEGER | Kinds::NUMBER) == 0 => "number",
        Kinds::BOOLEAN => "boolean",
        Kinds::OBJECT => "object",
        Kinds::ARRAY => "array",
        _ => "string",
    };
    let format = if kind == "string" { scalar_type(shapes).1 } else { None };
    (kind.to_owned(), format)
}
