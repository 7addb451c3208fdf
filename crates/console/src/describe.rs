//! The OpenAPI description, made from the table of routes.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sidetap_store::{ColumnKind, List};
use utoipa::openapi::{RefOr, Schema};

use crate::list::{MAX_WORDS, NUMBERS};
use crate::table::{Answer, By, Kind, Params, Route, TypeOf};

/// OpenAPI 3.1 of these routes.
pub(crate) fn describe(routes: &[Route]) -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let mut schemas: Vec<(String, RefOr<Schema>)> = Vec::new();
    for route in routes {
        let types = route.body.iter().chain(answer_types(&route.answer));
        types.for_each(|t| (t.add)(&mut schemas));
        paths.entry(route.path).or_default().insert(route.method.to_lowercase(), operation(route));
    }
    let mut components: BTreeMap<String, Value> = schemas
        .into_iter()
        .map(|(name, schema)| (name, serde_json::to_value(schema).unwrap_or_default()))
        .collect();
    components.insert("Problem".to_owned(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sidetap",
            "version": "v1",
            "description": "What the console shows and does; docs/api.md tells how.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {
                    "type": "apiKey", "in": "cookie", "name": "sidetap_session",
                    "description": "Over TLS its name is `__Host-sidetap_session`.",
                },
                "csrf": {
                    "type": "apiKey", "in": "header", "name": "X-Sidetap-CSRF",
                    "description": "What log-in and `GET /session` give as `csrf`; with a session, every change carries it.",
                },
            },
        },
    })
}

fn answer_types(answer: &Answer) -> Vec<&TypeOf> {
    match answer {
        Answer::One(t) | Answer::Created(t) | Answer::Page(t) => vec![t],
        Answer::Events(events) => events.iter().map(|(_, t)| t).collect(),
        Answer::Empty | Answer::Object | Answer::Objects | Answer::Elsewhere | Answer::Raw(_) => Vec::new(),
    }
}

fn operation(route: &Route) -> Value {
    let mut out = json!({
        "operationId": operation_id(route),
        "summary": route.summary,
        "parameters": parameters(route),
        "responses": responses(route),
    });
    let Some(fields) = out.as_object_mut() else { return out };
    if let Some(role) = route.role {
        fields.insert("description".to_owned(), json!(format!("Takes the role {}.", role.name())));
    }
    let (token, session) = (json!({"token": []}), json!({"session": [], "csrf": []}));
    let security = match (route.role, route.by) {
        (None, _) => Some(json!([])),
        (Some(_), By::Session) => Some(json!([session])),
        (Some(_), By::Either) if route.method != "GET" => Some(json!([token, session])),
        (Some(_), By::Either) => None,
    };
    fields.extend(security.map(|s| ("security".to_owned(), s)));
    if let Some(body) = &route.body {
        let content = json!({"application/json": {"schema": reference(&body.name)}});
        fields.insert("requestBody".to_owned(), json!({"required": true, "content": content}));
    }
    out
}

fn operation_id(route: &Route) -> String {
    let words =
        route.path.trim_start_matches("/api/v1").split(['/', '{', '}', '-']).filter(|w| !w.is_empty());
    let words: Vec<&str> = std::iter::once(route.method).chain(words).collect();
    words.join("_").to_lowercase()
}

fn parameters(route: &Route) -> Vec<Value> {
    let in_path = route.path.split('/').filter_map(|p| p.strip_prefix('{')?.strip_suffix('}'));
    let mut all: Vec<Value> = in_path
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    match &route.query {
        Params::None => {}
        Params::Named(named) | Params::Sent(named) => {
            all.extend(named.iter().map(|(name, kind)| query(name, schema_of(*kind))));
        }
        Params::List(list, extra) => {
            all.push(query(
                "limit",
                json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
            ));
            all.push(query("cursor", json!({"type": "string"})));
            all.push(query("format", schema_of(Kind::Format)));
            all.push(query("q", json!({"type": "string", "maxLength": MAX_WORDS})));
            all.extend(list_parameters(list));
            all.extend(extra.iter().map(|name| query(name, json!({"type": "string"}))));
        }
    }
    all
}

fn list_parameters(list: &'static List) -> Vec<Value> {
    let sorts: Vec<String> = list
        .columns
        .iter()
        .filter(|c| c.sortable)
        .flat_map(|c| [c.name.to_owned(), format!("-{}", c.name)])
        .collect();
    let mut all = vec![query("sort", json!({"type": "string", "enum": sorts}))];
    for column in list.columns {
        let name = column.name;
        match column.kind {
            ColumnKind::Integer | ColumnKind::Real => {
                let kind = if column.kind == ColumnKind::Integer { "integer" } else { "number" };
                let schema = json!({"type": kind, "minimum": NUMBERS.start(), "maximum": NUMBERS.end()});
                all.push(query(&format!("min_{name}"), schema.clone()));
                all.push(query(&format!("max_{name}"), schema));
            }
            ColumnKind::Time => {}
            _ if name == "sensitive" => all.push(query(name, json!({"type": "boolean"}))),
            _ => all.push(query(name.trim_end_matches("_name"), json!({"type": "string"}))),
        }
    }
    if list.column("seen").or_else(|| list.column("last_seen")).is_some() {
        all.push(query("seen_after", schema_of(Kind::Time)));
        all.push(query("seen_before", schema_of(Kind::Time)));
    }
    if list.column("first_seen").is_some() {
        all.push(query("first_after", schema_of(Kind::Time)));
    }
    all
}

fn query(name: &str, schema: Value) -> Value {
    json!({"name": name, "in": "query", "required": false, "schema": schema})
}

fn schema_of(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Integer => json!({"type": "integer", "minimum": 1}),
        Kind::Format => json!({"type": "string", "enum": ["json", "csv", "ndjson"]}),
        Kind::Time => json!({"type": "string", "format": "date-time"}),
    }
}

fn responses(route: &Route) -> Value {
    let json_of = |schema: Value| json!({"application/json": {"schema": schema}});
    let page = |row: Value| {
        let mut content = json_of(json!({
            "type": "object",
            "required": ["rows", "next", "total", "more"],
            "properties": {
                "rows": {"type": "array", "items": row},
                "next": {"type": ["string", "null"]},
                "total": {"type": "integer", "minimum": 0, "description": "Rows that the filters let through, as far as they were counted"},
                "more": {"type": "boolean", "description": "Whether there are more than were counted"},
            },
        }));
        add_files(&mut content);
        content
    };
    let (status, description, content) = match &route.answer {
        Answer::Empty => ("204", "Done", None),
        Answer::One(t) => ("200", "The thing", Some(json_of(reference(&t.name)))),
        Answer::Created(t) => ("201", "Made", Some(json_of(reference(&t.name)))),
        Answer::Page(t) => ("200", "A part of the list", Some(page(reference(&t.name)))),
        Answer::Object => ("200", "The thing", Some(json_of(json!({"type": "object"})))),
        Answer::Objects => ("200", "A part of the list", Some(page(json!({"type": "object"})))),
        Answer::Elsewhere => ("303", "A browser goes on elsewhere", None),
        Answer::Raw(kind) => ("200", "The thing", Some(json!({*kind: {}}))),
        Answer::Events(events) => {
            ("200", "Events as they happen", Some(json!({"text/event-stream": {"schema": stream(events)}})))
        }
    };
    let mut good = json!({"description": description});
    let may_be_a_file = matches!(route.query, Params::Named(named) | Params::Sent(named) if named.iter().any(|(name, _)| *name == "format"));
    if let (Some(mut content), Some(fields)) = (content, good.as_object_mut()) {
        if may_be_a_file {
            add_files(&mut content);
        }
        fields.insert("content".to_owned(), content);
    }
    let bad = json!({
        "description": "A problem (RFC 9457)",
        "content": {"application/problem+json": {"schema": reference("Problem")}},
    });
    json!({ status: good, "default": bad })
}

/// A list may be asked for as a file.
fn add_files(content: &mut Value) {
    if let Some(kinds) = content.as_object_mut() {
        kinds.insert("text/csv".to_owned(), json!({"schema": {"type": "string"}}));
        kinds.insert("application/x-ndjson".to_owned(), json!({"schema": {"type": "string"}}));
    }
}

/// What each event of a stream is.
fn stream(events: &[(&str, TypeOf)]) -> Value {
    let one = |(name, data): &(&str, TypeOf)| {
        let data = json!({
            "type": "string", "contentMediaType": "application/json", "contentSchema": reference(&data.name),
        });
        json!({
            "type": "object",
            "required": ["event", "data"],
            "properties": {"event": {"const": name}, "data": data, "id": {"type": "string"}},
        })
    };
    let all: Vec<Value> = events.iter().map(one).collect();
    json!({"description": "Of each event.", "oneOf": all})
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn problem() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "errors": {"type": "array"},
        },
    })
}
