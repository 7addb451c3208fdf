//! OpenAPI 3.1 of what was seen.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde_json::{Map, Value, json};
use sidetap_model::EndpointRef;
use sidetap_model::rows::Parameter;

use crate::endpoint::Endpoint;
use crate::engine::Engine;
use crate::host::Host;
use crate::inventory::{field_type, path_shapes};
use crate::names::KEY;
use crate::observe::{AUTH_KINDS, Kinds, Protocol};
use crate::schema::{FieldStat, Schema};

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

impl Engine {
    /// An OpenAPI 3.1 description of each host: its host name (zone in front where it is not `default`) and the document.
    pub fn openapi(&self) -> Vec<(String, Value)> {
        let mut out: Vec<(String, Value)> = self
            .hosts
            .par_iter()
            .filter_map(|h| {
                let name =
                    if &*h.zone == "default" { h.name.to_string() } else { format!("{}_{}", h.zone, h.name) };
                document(h).map(|d| (name, d))
            })
            .collect();
        out.sort_by(|a, b| a.0.cmp(&b.0));
        out
    }
}

fn document(host: &Host) -> Option<Value> {
    let mut shapes = Vec::new();
    path_shapes(&host.root, &mut Vec::new(), &mut shapes);
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut schemes: BTreeSet<usize> = BTreeSet::new();
    let mut ids: BTreeSet<String> = BTreeSet::new();
    for (slot, path, _) in shapes {
        let found = (host.endpoints.get(slot as usize), host.names.get(slot as usize));
        let (Some(Some(e)), Some(Some(name))) = found else { continue };
        let method = name.method.to_ascii_lowercase();
        if e.calls == 0 || !METHODS.contains(&method.as_str()) || matches!(e.protocol(), Protocol::Asset) {
            continue;
        }
        schemes.extend(used_schemes(e));
        let operation = operation(e, name, &path, &mut ids);
        paths.entry(name.template.to_string()).or_default().insert(method, operation);
    }
    if paths.is_empty() {
        return None;
    }
    let paths: Map<String, Value> = paths.into_iter().map(|(k, v)| (k, Value::Object(v))).collect();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": host.name.to_string(),
            "version": "observed",
            "description": "Inferred by Sidetap from traffic: what was seen, not what is promised.",
        },
        "servers": [{ "url": format!("http://{}", host.name) }],
        "paths": paths,
    });
    if !schemes.is_empty()
        && let Some(root) = document.as_object_mut()
    {
        let all: Map<String, Value> = schemes.iter().filter_map(|i| scheme(*i)).collect();
        root.insert("components".to_owned(), json!({ "securitySchemes": all }));
    }
    Some(document)
}

fn used_schemes(e: &Endpoint) -> impl Iterator<Item = usize> + '_ {
    e.auth.iter().enumerate().filter(|(i, n)| **n > 0 && scheme(*i).is_some()).map(|(i, _)| i)
}

fn scheme(kind: usize) -> Option<(String, Value)> {
    let name = AUTH_KINDS.get(kind)?;
    let value = match *name {
        "basic" => json!({ "type": "http", "scheme": "basic" }),
        "bearer" => json!({ "type": "http", "scheme": "bearer" }),
        "jwt" => json!({ "type": "http", "scheme": "bearer", "bearerFormat": "JWT" }),
        "digest" => json!({ "type": "http", "scheme": "digest" }),
        "api-key" => json!({ "type": "apiKey", "in": "header", "name": "X-API-Key" }),
        "cookie" => json!({ "type": "apiKey", "in": "cookie", "name": "session" }),
        _ => return None,
    };
    Some(((*name).to_owned(), value))
}

fn operation(e: &Endpoint, name: &EndpointRef, shapes: &[u32], ids: &mut BTreeSet<String>) -> Value {
    let mut out = Map::new();
    out.insert("operationId".to_owned(), unique_id(name, ids).into());
    if e.is_deprecated() {
        out.insert("deprecated".to_owned(), true.into());
    }
    let parameters: Vec<Value> = e
        .parameters_of(&name.template, shapes)
        .iter()
        .filter(|p| p.location != "body")
        .map(parameter)
        .collect();
    if !parameters.is_empty() {
        out.insert("parameters".to_owned(), parameters.into());
    }
    let bodies = content(e, 0);
    if !bodies.is_empty() {
        out.insert("requestBody".to_owned(), json!({ "content": bodies }));
    }
    out.insert("responses".to_owned(), responses(e).into());
    let mut security: Vec<Value> = used_schemes(e)
        .filter_map(scheme)
        .map(|(n, _)| Value::Object(Map::from_iter([(n, json!([]))])))
        .collect();
    if !security.is_empty() {
        if e.open_successes > 0 {
            security.push(json!({}));
        }
        out.insert("security".to_owned(), security.into());
    }
    Value::Object(out)
}

fn unique_id(name: &EndpointRef, ids: &mut BTreeSet<String>) -> String {
    let mut id = name.method.to_ascii_lowercase();
    for part in name.template.split(|c: char| !c.is_ascii_alphanumeric()).filter(|p| !p.is_empty()) {
        id.push('_');
        id.push_str(part);
    }
    let mut n = 2;
    let base = id.clone();
    while !ids.insert(id.clone()) {
        id = format!("{base}_{n}");
        n += 1;
    }
    id
}

fn parameter(p: &Parameter) -> Value {
    let mut schema = Map::from_iter([("type".to_owned(), Value::from(p.kind.clone()))]);
    if let Some(format) = &p.format {
        schema.insert("format".to_owned(), format.clone().into());
    }
    json!({ "name": p.name, "in": p.location, "required": p.required, "schema": schema })
}

fn responses(e: &Endpoint) -> Map<String, Value> {
    let mut out = Map::new();
    let mut codes: Vec<(u16, u64)> =
        e.statuses.iter().copied().filter(|(s, _)| (100..600).contains(s)).collect();
    codes.sort_unstable();
    for (code, n) in codes {
        let mut r = Map::from_iter([("description".to_owned(), Value::from(format!("Seen {n} times")))]);
        let bodies = content(e, (code / 100) as u8);
        if !bodies.is_empty() && code != 204 && code != 304 {
            r.insert("content".to_owned(), bodies.into());
        }
        out.insert(code.to_string(), r.into());
    }
    if out.is_empty() {
        out.insert("default".to_owned(), json!({ "description": "No answer was seen" }));
    }
    out
}

fn content(e: &Endpoint, side: u8) -> Map<String, Value> {
    let of_side = e.schemas.iter().filter(|((s, _), _)| *s == side);
    of_side
        .map(|((_, media), schema)| (media.to_string(), json!({ "schema": json_schema(schema) })))
        .collect()
}

/// A position in a body.
#[derive(Default)]
struct Place<'a> {
    stat: Option<&'a FieldStat>,
    names: BTreeMap<&'a str, Place<'a>>,
    elements: Option<Box<Place<'a>>>,
}

fn json_schema(schema: &Schema) -> Value {
    let mut root = Place::default();
    for field in schema.fields.values() {
        let mut at = &mut root;
        for step in steps(&field.path) {
            at = match step {
                Some(name) => at.names.entry(name).or_default(),
                None => at.elements.get_or_insert_default(),
            };
        }
        at.stat = Some(field);
    }
    render(&root, 0)
}

/// The steps of `$.a[*]['b c']`: names, and none for the elements of an array.
fn steps(path: &str) -> Vec<Option<&str>> {
    let mut out = Vec::new();
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix("[*]") {
            out.push(None);
            rest = tail;
        } else if let Some((name, tail)) = rest.strip_prefix("['").and_then(|r| r.split_once("']")) {
            out.push(Some(name));
            rest = tail;
        } else {
            let tail = rest.strip_prefix('.').unwrap_or(rest);
            let end = tail.find(['.', '[']).filter(|e| *e > 0).unwrap_or(tail.len());
            let (name, tail) = tail.split_at_checked(end).unwrap_or((tail, ""));
            out.push(Some(name));
            rest = tail;
        }
    }
    out
}

fn render(place: &Place<'_>, depth: usize) -> Value {
    let kinds = place.stat.map_or(0, |s| s.kinds)
        | if place.names.is_empty() { 0 } else { Kinds::OBJECT }
        | if place.elements.is_some() { Kinds::ARRAY } else { 0 };
    let mut out = Map::new();
    let types = types(kinds);
    match types.as_slice() {
        [] => {}
        [one] => {
            out.insert("type".to_owned(), (*one).into());
        }
        many => {
            out.insert("type".to_owned(), many.to_vec().into());
        }
    }
    if let Some(stat) = place.stat.filter(|s| s.kinds & !Kinds::NULL == Kinds::STRING)
        && let Some(format) = field_type(stat.kinds, stat.shapes).1
    {
        out.insert("format".to_owned(), format.into());
    }
    if depth > 32 {
        return out.into();
    }
    if !place.names.is_empty() {
        let of = place.stat.map_or(0, |s| s.count);
        let required: Vec<Value> = place
            .names
            .iter()
            .filter(|(n, p)| **n != KEY && of > 0 && p.stat.is_some_and(|s| s.count >= of))
            .map(|(n, _)| Value::from(*n))
            .collect();
        let own = place.names.iter().filter(|(n, _)| **n != KEY);
        let properties: Map<String, Value> =
            own.map(|(n, p)| ((*n).to_owned(), render(p, depth + 1))).collect();
        if !properties.is_empty() {
            out.insert("properties".to_owned(), properties.into());
        }
        if let Some(values) = place.names.get(KEY) {
            out.insert("additionalProperties".to_owned(), render(values, depth + 1));
        }
        if !required.is_empty() {
            out.insert("required".to_owned(), required.into());
        }
    }
    if let Some(elements) = &place.elements {
        out.insert("items".to_owned(), render(elements, depth + 1));
    }
    out.into()
}

fn types(kinds: u8) -> Vec<&'static str> {
    let has = |k: u8| kinds & k != 0;
    let mut out = Vec::new();
    for (kind, name) in [
        (Kinds::OBJECT, "object"),
        (Kinds::ARRAY, "array"),
        (Kinds::STRING, "string"),
        (Kinds::BOOLEAN, "boolean"),
    ] {
        if has(kind) {
            out.push(name);
        }
    }
    match (has(Kinds::INTEGER), has(Kinds::NUMBER)) {
        (_, true) => out.push("number"),
        (true, false) => out.push("integer"),
        _ => {}
    }
    if has(Kinds::NULL) {
        out.push("null");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        assert_eq!(steps("$.a[*]['b c'].d"), [Some("a"), None, Some("b c"), Some("d")]);
        assert_eq!(steps("$"), []);
        assert_eq!(steps("$[*][*].x"), [None, None, Some("x")]);
        assert_eq!(steps("$.a..b"), [Some("a"), Some(".b")]);
    }
}
