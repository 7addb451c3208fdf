//! API descriptions that a site hands in: OpenAPI 2.0, 3.0 and 3.1, JSON or YAML.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Largest description, in bytes.
const MAX_BYTES: usize = 16 << 20;
/// Most values in one, aliases written out.
const MAX_VALUES: usize = 1_000_000;
/// Deepest nesting.
const MAX_DEPTH: usize = 64;
/// Brackets left open in the text of one, those in its words included.
const MAX_OPEN: usize = 4096;
const MAX_OPERATIONS: usize = 50_000;
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Why a description cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// Larger than the limit.
    #[error("description of {0} bytes is larger than {MAX_BYTES}")]
    TooLarge(usize),
    /// Not JSON or YAML, nested too deep, or with too many values.
    #[error("description cannot be read: {0}")]
    Unreadable(String),
    /// Neither `openapi` nor `swagger` of a known version.
    #[error("not an OpenAPI description of version 2.0, 3.0 or 3.1 (found {0})")]
    Version(String),
    /// No paths.
    #[error("description has no paths")]
    NoPaths,
    /// More operations than the limit.
    #[error("description has more than {MAX_OPERATIONS} operations")]
    TooManyOperations,
}

/// A description.
#[derive(Clone, Debug)]
pub struct Spec {
    /// How outputs call it: its file name or title.
    pub name: String,
    servers: Vec<Server>,
    operations: Vec<SpecOperation>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    host: Option<String>,
    base: String,
}

/// An operation of a description.
#[derive(Clone, Debug)]
pub struct SpecOperation {
    /// Method, upper case.
    pub method: String,
    /// Path as written, without the server's base path.
    pub path: String,
    /// Marked as deprecated.
    pub deprecated: bool,
    /// Its description asks for credentials.
    pub secured: bool,
    /// Documented parameters: place and name.
    pub parameters: BTreeSet<(String, String)>,
    /// Documented status codes; `default`, `2XX` as written.
    pub statuses: BTreeSet<String>,
}

impl Spec {
    /// Reads a description from its text.
    pub fn load(name: &str, text: &str) -> Result<Spec, SpecError> {
        if text.len() > MAX_BYTES {
            return Err(SpecError::TooLarge(text.len()));
        }
        let root = read(text)?;
        let version = root.get("openapi").or_else(|| root.get("swagger")).map(plain).unwrap_or_default();
        let old = version.starts_with("2.0") || version == "2";
        if !old && !version.starts_with("3.0") && !version.starts_with("3.1") {
            let found = if version.is_empty() { "no version".to_owned() } else { version };
            return Err(SpecError::Version(found));
        }
        let servers = if old { servers_2(&root) } else { servers_3(&root) };
        let paths = root.get("paths").and_then(Value::as_object).ok_or(SpecError::NoPaths)?;
        let mut operations = Vec::new();
        for (path, item) in paths {
            let item = resolve(&root, item);
            for method in METHODS {
                let Some(op) = item.get(method).and_then(Value::as_object) else { continue };
                if operations.len() >= MAX_OPERATIONS {
                    return Err(SpecError::TooManyOperations);
                }
                operations.push(operation(&root, path, method, item, op));
            }
        }
        Ok(Spec { name: name.to_owned(), servers, operations })
    }

    /// One template of one host, as if a description named it.
    pub fn of_template(host: &str, method: &str, template: &str) -> Spec {
        let operation = SpecOperation {
            method: method.to_owned(),
            path: template.to_owned(),
            deprecated: false,
            secured: false,
            parameters: BTreeSet::new(),
            statuses: BTreeSet::new(),
        };
        let server = Server { host: Some(host.to_owned()), base: String::new() };
        Spec { name: template.to_owned(), servers: vec![server], operations: vec![operation] }
    }

    /// Its operations.
    pub fn operations(&self) -> &[SpecOperation] {
        &self.operations
    }

    /// True where one of its servers is `host`.
    pub fn names_host(&self, host: &str) -> bool {
        let bare = host.split(':').next().unwrap_or(host);
        self.servers.iter().any(|s| s.host.as_deref().is_some_and(|h| h == host || h == bare))
    }

    /// True where it says nothing of hosts.
    pub fn is_hostless(&self) -> bool {
        self.servers.iter().all(|s| s.host.is_none())
    }

    /// The full paths of an operation, one for each base path of the servers.
    pub fn full_paths<'a>(&'a self, op: &'a SpecOperation) -> impl Iterator<Item = String> + 'a {
        let mut bases: Vec<&str> = self.servers.iter().map(|s| s.base.as_str()).collect();
        bases.sort_unstable();
        bases.dedup();
        bases.into_iter().map(move |b| format!("{b}{}", op.path))
    }

    /// The operation that describes `method template`: the most literal path wins (OpenAPI 3.1 §4.8.8.2).
    pub fn operation(&self, method: &str, template: &str) -> Option<&SpecOperation> {
        self.operations
            .iter()
            .filter(|op| op.method == method)
            .filter_map(|op| {
                self.full_paths(op).filter_map(|p| literals(&p, template)).max().map(|n| (n, op))
            })
            .max_by(|a, b| a.0.cmp(&b.0))
            .map(|(_, op)| op)
    }

    /// True where some operation has this path, whatever the method.
    pub fn has_path(&self, template: &str) -> bool {
        self.operations.iter().any(|op| self.full_paths(op).any(|p| literals(&p, template).is_some()))
    }
}

/// Which segments of `template` a path describes literally, the first as the highest bit; none where they do not fit.
fn literals(path: &str, template: &str) -> Option<u64> {
    let (mut a, mut b) = (path.trim_end_matches('/').split('/'), template.trim_end_matches('/').split('/'));
    let mut score: u64 = 0;
    for depth in 0..64 {
        match (a.next(), b.next()) {
            (None, None) => return Some(score),
            (Some(p), Some(t)) => {
                let bit = 1_u64 << (63 - depth);
                match (p.contains('{'), t.contains('{')) {
                    (false, false) if p == t => score |= bit,
                    (true, true) if affixes(p) == affixes(t) => score |= bit >> 1 & bit,
                    (true, _) if affixes(p) == ("", "") => {}
                    (true, false) if fits(p, t) => {}
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
    None
}

fn affixes(segment: &str) -> (&str, &str) {
    let before = segment.split('{').next().unwrap_or_default();
    let after = segment.rsplit('}').next().unwrap_or_default();
    (before, after)
}

fn fits(param: &str, text: &str) -> bool {
    let (before, after) = affixes(param);
    text.len() > before.len() + after.len() && text.starts_with(before) && text.ends_with(after)
}

fn operation(root: &Value, path: &str, method: &str, item: &Value, op: &Map<String, Value>) -> SpecOperation {
    let mut parameters = BTreeSet::new();
    for list in [item.get("parameters"), op.get("parameters")].into_iter().flatten() {
        for p in list.as_array().into_iter().flatten() {
            let p = resolve(root, p);
            let place = p.get("in").map(plain).unwrap_or_default();
            match place.as_str() {
                "body" => body_names(root, p.get("schema"), &mut parameters, 0),
                "formData" => {
                    parameters.insert(("body".to_owned(), p.get("name").map(plain).unwrap_or_default()));
                }
                _ => {
                    parameters.insert((place, p.get("name").map(plain).unwrap_or_default()));
                }
            }
        }
    }
    let content = op.get("requestBody").map(|b| resolve(root, b)).and_then(|b| b.get("content"));
    for media in content.and_then(Value::as_object).into_iter().flat_map(Map::values) {
        body_names(root, media.get("schema"), &mut parameters, 0);
    }
    let statuses = op.get("responses").and_then(Value::as_object).map(|r| r.keys().cloned().collect());
    let security = op.get("security").or_else(|| root.get("security")).and_then(Value::as_array);
    let optional =
        |s: &Vec<Value>| s.is_empty() || s.iter().any(|r| r.as_object().is_some_and(Map::is_empty));
    SpecOperation {
        method: method.to_ascii_uppercase(),
        path: path.to_owned(),
        deprecated: op.get("deprecated").and_then(Value::as_bool).unwrap_or(false),
        secured: security.is_some_and(|s| !optional(s)),
        parameters,
        statuses: statuses.unwrap_or_default(),
    }
}

/// The names of a body's top-level properties.
fn body_names(root: &Value, schema: Option<&Value>, out: &mut BTreeSet<(String, String)>, depth: usize) {
    let Some(schema) = schema.filter(|_| depth < 8) else { return };
    let schema = resolve(root, schema);
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        out.extend(properties.keys().map(|k| ("body".to_owned(), k.clone())));
    }
    for part in
        ["allOf", "oneOf", "anyOf"].iter().filter_map(|k| schema.get(k)).filter_map(Value::as_array).flatten()
    {
        body_names(root, Some(part), out, depth + 1);
    }
}

/// Follows local references, a few in a row.
fn resolve<'a>(root: &'a Value, value: &'a Value) -> &'a Value {
    let mut at = value;
    for _ in 0..8 {
        let Some(pointer) = at.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#')) else {
            return at;
        };
        let Some(next) = root.pointer(pointer) else { return at };
        at = next;
    }
    at
}

fn servers_3(root: &Value) -> Vec<Server> {
    let list = root.get("servers").and_then(Value::as_array);
    let mut out: Vec<Server> = list.into_iter().flatten().take(64).filter_map(server).collect();
    if out.is_empty() {
        out.push(Server { host: None, base: String::new() });
    }
    out
}

fn server(value: &Value) -> Option<Server> {
    let mut url = value.get("url").and_then(Value::as_str)?.to_owned();
    for (name, v) in value.get("variables").and_then(Value::as_object).into_iter().flatten() {
        if let Some(default) = v.get("default").and_then(Value::as_str) {
            url = url.replace(&format!("{{{name}}}"), default);
        }
    }
    let (host, path) = match url.split_once("://").map(|(_, rest)| rest).or_else(|| url.strip_prefix("//")) {
        Some(rest) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = authority.rsplit('@').next().unwrap_or(authority).to_ascii_lowercase();
            (Some(host).filter(|h| !h.contains('{')), format!("/{path}"))
        }
        None => (None, url.clone()),
    };
    let base = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let base = if base.is_empty() || base.starts_with('/') { base.to_owned() } else { format!("/{base}") };
    Some(Server { host: host.map(|h| strip_default_port(&h)), base })
}

fn strip_default_port(host: &str) -> String {
    host.strip_suffix(":443").or_else(|| host.strip_suffix(":80")).unwrap_or(host).to_owned()
}

fn servers_2(root: &Value) -> Vec<Server> {
    let host = root.get("host").and_then(Value::as_str).map(|h| strip_default_port(&h.to_ascii_lowercase()));
    let base =
        root.get("basePath").and_then(Value::as_str).unwrap_or_default().trim_end_matches('/').to_owned();
    vec![Server { host, base }]
}

/// Text of a scalar.
fn plain(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

fn read(text: &str) -> Result<Value, SpecError> {
    let fault = |e: &dyn fmt::Display| SpecError::Unreadable(e.to_string());
    let mut left = MAX_VALUES;
    if text.trim_start().starts_with('{') {
        let mut d = serde_json::Deserializer::from_str(text);
        return Limited { left: &mut left, depth: 0 }.deserialize(&mut d).map_err(|e| fault(&e));
    }
    if is_bottomless(text) {
        return Err(fault(&"nested too deep"));
    }
    let d = serde_yaml_ng::Deserializer::from_str(text);
    Limited { left: &mut left, depth: 0 }.deserialize(d).map_err(|e| fault(&e))
}

/// True of a text that opens far more brackets than it closes: a reader of YAML takes it in whole before anybody counts.
fn is_bottomless(text: &str) -> bool {
    let mut open = 0usize;
    text.bytes().any(|b| {
        match b {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        open > MAX_OPEN
    })
}

/// Reads a value while counting: aliases are written out, so a bomb runs into the limit.
struct Limited<'a> {
    left: &'a mut usize,
    depth: usize,
}

impl<'a> Limited<'a> {
    fn inner<E: serde::de::Error>(&mut self) -> Result<Limited<'_>, E> {
        *self.left = self.left.checked_sub(1).ok_or_else(|| E::custom("too many values"))?;
        if self.depth >= MAX_DEPTH {
            return Err(E::custom("nested too deep"));
        }
        Ok(Limited { left: self.left, depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Limited<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Limited<'_> {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an API description")
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(v) = seq.next_element_seed(self.inner()?)? {
            out.push(v);
        }
        Ok(Value::Array(out))
    }
    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(key) = map.next_key_seed(self.inner()?)? {
            let value = map.next_value_seed(self.inner()?)?;
            out.insert(plain(&key), value);
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PETS: &str = "
openapi: 3.1.0
info: {title: Pets, version: '1'}
servers:
  - url: https://{region}.example.com/v1
    variables: {region: {default: api}}
security: [{key: []}]
paths:
  /pets/{id}:
    parameters: [{$ref: '#/components/parameters/Id'}]
    get:
      responses: {200: {description: ok}, default: {description: bad}}
    delete:
      deprecated: true
      security: []
      responses: {'204': {description: gone}}
  /pets/mine:
    get: {responses: {'200': {description: ok}}}
components:
  parameters:
    Id: {name: id, in: path, required: true, schema: {type: string}}
";

    #[test]
    fn reads_yaml_and_matches_the_most_literal_path() {
        let spec = Spec::load("pets", PETS).unwrap();
        assert!(spec.names_host("api.example.com") && !spec.names_host("example.com"));
        let op = |m: &str, t: &str| spec.operation(m, t).map(|o| o.path.clone());
        assert_eq!(op("GET", "/v1/pets/mine").as_deref(), Some("/pets/mine"));
        assert_eq!(op("GET", "/v1/pets/{pet}").as_deref(), Some("/pets/{id}"));
        assert_eq!(op("GET", "/v1/pets/7").as_deref(), Some("/pets/{id}"));
        assert_eq!(op("POST", "/v1/pets/7"), None);
        assert_eq!(op("GET", "/pets/7"), None);
        let delete = spec.operation("DELETE", "/v1/pets/{x}").unwrap();
        assert!(
            delete.deprecated && !delete.secured && spec.operation("GET", "/v1/pets/{x}").unwrap().secured
        );
        assert!(delete.parameters.contains(&("path".into(), "id".into())));
        assert!(spec.operation("GET", "/v1/pets/{x}").unwrap().statuses.contains("200"));
    }

    #[test]
    fn reads_swagger_2() {
        let text = r##"{"swagger":"2.0","host":"api.x.io","basePath":"/b/","paths":{"/a":{"post":{"parameters":[
            {"in":"body","name":"body","schema":{"$ref":"#/definitions/A"}}],"responses":{"201":{"description":"x"}}}}},
            "definitions":{"A":{"properties":{"n":{"type":"string"}}}}}"##;
        let spec = Spec::load("a", text).unwrap();
        let op = spec.operation("POST", "/b/a").unwrap();
        assert!(op.parameters.contains(&("body".into(), "n".into())) && spec.names_host("api.x.io"));
    }

    #[test]
    fn refuses_bombs_and_what_is_no_description() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for i in 1..9 {
            let list = vec![format!("*a{}", i - 1); 10].join(",");
            bomb.push_str(&format!("a{i}: &a{i} [{list}]\n"));
        }
        assert!(matches!(Spec::load("b", &bomb), Err(SpecError::Unreadable(_))));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100), "]".repeat(100));
        assert!(matches!(Spec::load("d", &deep), Err(SpecError::Unreadable(_))));
        assert!(matches!(Spec::load("n", "just: text"), Err(SpecError::Version(_))));
        assert!(matches!(Spec::load("n", "openapi: 3.0.1"), Err(SpecError::NoPaths)));
        assert!(Spec::load("n", "\u{0}").is_err());
        let brackets = "[".repeat(1_000_000);
        assert!(Spec::load("n", &brackets).is_err_and(|e| e.to_string().contains("nested too deep")));
    }
}
