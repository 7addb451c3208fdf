//! The worker's half of discovery: facts of one exchange, gathered while its bodies are visited.

use std::net::IpAddr;
use std::ops::Range;

use sidetap_model::{EndpointRef, Exchange, Zone};
use sidetap_wire::body::{Kind, Location, Places, Scalar, Visitor, WalkScratch, hash_str, walk_query};
use smallvec::SmallVec;

use crate::head;
use crate::names;
use crate::observe::{BodyFacts, Field, Kinds, Observation, Protocol, QueryParam, Signs, shape_bit};
use crate::place::{Listed, Meaning, Shapes, Shown};
use crate::segment::{self, Shape};
use crate::spoken;

/// Most fields of one body that are told apart.
pub(crate) const MAX_FIELDS: usize = 192;
const MAX_IDS: usize = 64;
const MAX_QUERY: usize = 32;
const MAX_PATHS: usize = 16 << 10;
/// Which body is visited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The request's.
    Request,
    /// The response's.
    Response,
}

/// How closely a body is looked at (see [`crate::Found::visit`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Visit {
    /// Fields are gathered.
    #[default]
    Full,
    /// Only ids and names: the endpoint's schema is known.
    Light,
}

/// What the extractor is told of an exchange besides its bodies.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The exchange.
    pub exchange: &'a Exchange,
    /// Where it was seen.
    pub zone: &'a Zone,
    /// Path as sent, without query.
    pub path: &'a [u8],
    /// Query, without `?`.
    pub query: Option<&'a [u8]>,
    /// What the snapshot named.
    pub endpoint: &'a EndpointRef,
    /// The client.
    pub client: IpAddr,
    /// How closely to look.
    pub visit: Visit,
}

/// Gathers what discovery wants of one exchange: one for each worker, used again and again.
///
/// For each body call [`begin`](Extractor::begin), drive it as a [`Visitor`], call [`end`](Extractor::end); then
/// [`take`](Extractor::take) gives the observation. Bodies may be left out.
#[derive(Debug)]
pub struct Extractor {
    side: Side,
    visit: Visit,
    request: BodyFacts,
    response: BodyFacts,
    /// The field of each place, of the body that `generation` counts.
    fields: Places<Listed>,
    generation: u32,
    shapes: Shapes,
    meanings: Places<Meaning>,
    /// Bits of the names of the body.
    keys: [u64; 2],
    ids: SmallVec<[u64; 4]>,
    own_id: bool,
    grown: Grown,
    query: Query,
    scratch: WalkScratch,
    channels: head::Channels,
}

/// What the body of a request says about what is spoken.
#[derive(Debug, Default)]
struct Grown {
    rpc: bool,
    rpc_method: Option<Box<str>>,
    tool: Option<Box<str>>,
    /// The operation of a document, and whether it is named by its one root field.
    graphql: Option<(Box<str>, bool)>,
    operation: Option<Box<str>>,
    /// The document is one that the server keeps: its hash or its number is sent in its place.
    stored: bool,
    introspection: bool,
    schema_answer: bool,
    batch: bool,
    model: bool,
    messages: bool,
    soap: Option<Box<str>>,
    /// The method of an XML-RPC call.
    xml_method: Option<Box<str>>,
}

impl Grown {
    fn is_mcp(&self) -> bool {
        self.rpc_method.as_deref().is_some_and(|m| {
            m == "initialize"
                || ["tools/", "resources/", "prompts/", "notifications/"].iter().any(|p| m.starts_with(p))
        })
    }

    fn operation(&self) -> Option<Box<str>> {
        if self.rpc {
            return match (&self.rpc_method, &self.tool) {
                (Some(m), Some(tool)) if self.is_mcp() => Some(format!("{m} {tool}").into_boxed_str()),
                (method, _) => method.clone(),
            };
        }
        match &self.graphql {
            Some((shape, true)) => Some(shape.clone()),
            Some((shape, false)) => Some(join_operation(shape, self.operation.as_deref())),
            None if self.stored => self.operation.clone(),
            None => self.soap.clone().or_else(|| self.xml_method.clone()),
        }
    }
}

impl Default for Extractor {
    fn default() -> Self {
        Self::new()
    }
}

impl Extractor {
    /// A fresh one.
    pub fn new() -> Self {
        Extractor {
            side: Side::Request,
            visit: Visit::Full,
            request: BodyFacts::default(),
            response: BodyFacts::default(),
            fields: Places::default(),
            generation: 0,
            shapes: Shapes::default(),
            meanings: Places::default(),
            keys: [0; 2],
            ids: SmallVec::new(),
            own_id: false,
            grown: Grown::default(),
            query: Query::default(),
            scratch: WalkScratch::default(),
            channels: head::Channels::default(),
        }
    }

    /// Forgets what was gathered and not taken: of an exchange without a request, or one that was only looked at early.
    pub fn reset(&mut self) {
        self.request = BodyFacts::default();
        self.response = BodyFacts::default();
        self.ids.clear();
        self.own_id = false;
        self.grown = Grown::default();
        self.query = Query::default();
    }

    /// Starts with the body of `side`, whose decoded bytes begin with `body`.
    pub fn begin(&mut self, side: Side, visit: Visit, content_type: Option<&[u8]>, kind: Kind, body: &[u8]) {
        self.side = side;
        self.visit = visit;
        self.generation = self.generation.wrapping_add(1);
        if self.generation == 0 {
            self.fields = Places::default();
            self.generation = 1;
        }
        let facts = self.facts();
        facts.visited = !matches!(kind, Kind::Empty);
        facts.media = content_type.and_then(head::media_type);
        let start = body.get(..body.len().min(96)).unwrap_or(body);
        facts.print =
            if body.is_empty() { 0 } else { hash_bytes(start) ^ (body.len() as u64).rotate_left(32) };
    }

    /// Ends the body; nothing more is told of it.
    pub fn end(&mut self) {
        let [low, high] = std::mem::take(&mut self.keys);
        self.facts().keys |= u128::from(high) << 64 | u128::from(low);
        self.visit = Visit::Light;
    }

    fn facts(&mut self) -> &mut BodyFacts {
        match self.side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }

    #[inline]
    fn field(&mut self, at: &Location<'_>, kinds: u8, text: Option<&str>) {
        if self.visit == Visit::Full {
            self.full_field(at, kinds, text);
        }
    }

    fn full_field(&mut self, at: &Location<'_>, kinds: u8, text: Option<&str>) {
        let facts = match self.side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        };
        let Some(listed) = self.fields.get_or_insert_with(at, Listed::default) else { return };
        if listed.generation == self.generation {
            if let Some(f) = facts.fields.get_mut(usize::from(listed.index)) {
                f.count = f.count.saturating_add(1);
                f.kinds |= kinds;
                if f.count <= 4 {
                    f.shapes |= text.map_or(0, |text| self.shapes.bit(text));
                }
            }
            return;
        }
        if facts.fields.len() >= MAX_FIELDS {
            return;
        }
        let made;
        let shown = match &mut listed.shown {
            Some(shown) => &**shown,
            none => {
                made = Shown::of(at);
                if made.written > Shown::LONGEST { &made } else { &**none.insert(Box::new(made)) }
            }
        };
        if facts.paths.len() + shown.written > MAX_PATHS {
            return;
        }
        if shown.public
            && let Some(f) = facts.fields.iter_mut().find(|f| f.path == shown.hash)
        {
            f.count = f.count.saturating_add(1);
            f.kinds |= kinds;
            return;
        }
        facts.paths.push_str(&shown.path);
        let index = facts.fields.len() as u16;
        let len = shown.path.len() as u16;
        let shapes = text.map_or(0, |text| self.shapes.bit(text));
        facts.fields.push(Field { path: shown.hash, len, kinds, shapes, count: 1 });
        (listed.generation, listed.index) = (self.generation, index);
    }

    #[inline]
    fn identity(&mut self, at: &Location<'_>, meaning: Meaning, value: &str) {
        if meaning.names && !value.is_empty() && value.len() <= 128 {
            self.own_id |= meaning.single && at.depth <= 2;
            if self.ids.len() < MAX_IDS {
                self.ids.push(hash_str(value));
            }
        }
    }

    fn speech(&mut self, at: &Location<'_>, text: &str) {
        let g = &mut self.grown;
        let path = at.path();
        match path.as_str() {
            "$.jsonrpc" | "$[*].jsonrpc" => g.rpc = true,
            "$.method" | "$[*].method" if g.rpc_method.is_none() => g.rpc_method = identifier(text),
            "$.params.name" => g.tool = identifier(text),
            "$.operationName" | "$[*].operationName" => g.operation = identifier(text),
            "$.extensions.persistedQuery.sha256Hash" | "$.documentId" => g.stored = true,
            "$.query" | "$[*].query" if text.contains('{') => {
                g.batch |= path.starts_with("$[") && g.graphql.is_some();
                g.introspection |= text.contains("__schema") || text.contains("__type");
                if g.graphql.is_none() {
                    g.graphql = spoken::graphql_operation(text);
                }
            }
            "$.methodCall.methodName" => g.xml_method = identifier(text),
            "$.model" => g.model = true,
            "$.messages[*].role" | "$.prompt" | "$.input" => g.messages = true,
            _ => {}
        }
    }

    /// Gives what was gathered, and starts anew.
    pub fn take(&mut self, context: &Context<'_>) -> Observation {
        let exchange = context.exchange;
        let mut signs = Signs::default();
        let facts = head::read(exchange, context, &mut self.channels, &mut signs);
        self.query(context.query, facts.status, exchange, &mut signs);
        if facts.success && self.grown.introspection && self.grown.schema_answer {
            signs.insert(Signs::INTROSPECTION);
        }
        if self.grown.batch {
            signs.insert(Signs::BATCH);
        }
        let (protocol, operation) = self.spoken(facts.protocol, facts.soap_action);
        let (echo, ids) = self.echo(context.path, facts.success);
        Observation {
            ts: exchange.ts,
            flow_id: exchange.flow_id,
            seq: exchange.seq,
            zone: *context.zone,
            path: context.path.into(),
            endpoint: context.endpoint.clone(),
            client: context.client,
            status: facts.status,
            auth: facts.auth,
            protocol,
            channel: facts.channel,
            signs,
            query: std::mem::take(&mut self.query.params),
            operation,
            echo,
            own_id: std::mem::take(&mut self.own_id),
            ids,
            request: std::mem::take(&mut self.request),
            response: std::mem::take(&mut self.response),
            response_bytes: exchange.response.as_ref().map_or(0, |r| r.body.len),
        }
    }

    fn query(&mut self, query: Option<&[u8]>, status: Option<u16>, exchange: &Exchange, signs: &mut Signs) {
        self.query.large_page = false;
        self.query.credential = false;
        self.query.session = false;
        let Some(query) = query.filter(|q| !q.is_empty()) else { return };
        walk_query(query, &mut self.scratch, &mut self.query);
        let ok = status.is_some_and(|s| (200..300).contains(&s));
        if self.query.credential {
            signs.insert(Signs::CREDENTIAL_IN_URL);
        }
        if self.query.session {
            signs.insert(Signs::SESSION_IN_URL);
        }
        let big = exchange.response.as_ref().is_some_and(|r| r.body.len > 64 << 10);
        if self.query.large_page && ok && big {
            signs.insert(Signs::LARGE_PAGE);
        }
    }

    /// What the body of the request asks for by name, beside its path: `mutation SignIn` of GraphQL, the method of JSON-RPC or
    /// SOAP. To be asked before [`take`](Extractor::take).
    pub fn operation(&self) -> Option<Box<str>> {
        self.grown.operation()
    }

    fn spoken(&mut self, hint: Protocol, soap: Option<Box<str>>) -> (Protocol, Option<Box<str>>) {
        let g = std::mem::take(&mut self.grown);
        if g.rpc {
            let protocol = if g.is_mcp() { Protocol::Mcp } else { Protocol::JsonRpc };
            return (protocol, g.operation());
        }
        if (g.graphql.is_some() || g.stored) && hint != Protocol::Soap {
            return (Protocol::Graphql, g.operation());
        }
        if hint == Protocol::Soap || g.soap.is_some() {
            return (Protocol::Soap, soap.or(g.soap));
        }
        if g.xml_method.is_some() {
            return (hint, g.xml_method);
        }
        if hint == Protocol::Rest && g.model && g.messages {
            return (Protocol::Llm, None);
        }
        (hint, None)
    }

    /// Which path segments the response names, and the response's ids.
    fn echo(&mut self, path: &[u8], success: bool) -> (u32, SmallVec<[u64; 4]>) {
        let ids = std::mem::take(&mut self.ids);
        if !success || ids.is_empty() {
            return (0, SmallVec::new());
        }
        let mut echo = 0;
        for (i, part) in segment::split(path).parts.iter().enumerate() {
            let hash = hash_str(part);
            let stem = segment::extension(part).and_then(|e| part.strip_suffix(e)).map(hash_str);
            if ids.iter().any(|id| *id == hash || Some(*id) == stem) {
                echo |= 1 << i;
            }
        }
        (echo, ids)
    }
}

impl Visitor for Extractor {
    #[inline]
    fn scalar(&mut self, at: &Location<'_>, value: Scalar<'_>, _span: Range<usize>) {
        let meaning = self.meanings.get_or_insert_with(at, || Meaning::of(at));
        let meaning = meaning.copied().unwrap_or_default();
        match value {
            Scalar::Str(s) => {
                self.field(at, Kinds::STRING, Some(s));
                match self.side {
                    Side::Request if meaning.speech && at.depth <= 3 => self.speech(at, s),
                    Side::Request => {}
                    Side::Response => self.identity(at, meaning, s),
                }
            }
            Scalar::Num(n) => {
                if self.visit == Visit::Full {
                    let whole = n.bytes().all(|b| b.is_ascii_digit() || b == b'-');
                    self.field(at, if whole { Kinds::INTEGER } else { Kinds::NUMBER }, None);
                }
                if self.side == Side::Response {
                    self.identity(at, meaning, n);
                }
            }
            Scalar::Bool(_) => self.field(at, Kinds::BOOLEAN, None),
            Scalar::Null => self.field(at, Kinds::NULL, None),
        }
        if at.depth <= 3
            && !at.key.is_empty()
            && let Some(word) = self.keys.get_mut((at.key_hash >> 6 & 1) as usize)
        {
            *word |= 1 << (at.key_hash & 63);
        }
    }

    fn begin_object(&mut self, at: &Location<'_>) {
        self.field(at, Kinds::OBJECT, None);
        match self.side {
            Side::Request => {
                if at.depth == 2
                    && self.grown.soap.is_none()
                    && self.meanings.get_or_insert_with(at, || Meaning::of(at)).is_some_and(|m| m.enveloped)
                {
                    self.grown.soap = identifier(at.key.rsplit(':').next().unwrap_or(at.key));
                }
            }
            Side::Response => self.grown.schema_answer |= at.key == "__schema" || at.key == "__type",
        }
    }

    fn begin_array(&mut self, at: &Location<'_>) {
        self.field(at, Kinds::ARRAY, None);
    }
}

/// Visitor of the query.
#[derive(Debug, Default)]
struct Query {
    params: SmallVec<[QueryParam; 4]>,
    credential: bool,
    session: bool,
    large_page: bool,
}

impl Visitor for Query {
    fn scalar(&mut self, at: &Location<'_>, value: Scalar<'_>, _span: Range<usize>) {
        let text = match value {
            Scalar::Str(s) | Scalar::Num(s) => s,
            Scalar::Bool(_) | Scalar::Null => "",
        };
        let key = if names::is_value(at.key) { "*" } else { at.key };
        if sidetap_wire::auth::is_credential_parameter(key.as_bytes()) && text.len() >= 6 {
            self.credential = true;
        }
        if ["sessionid", "session_id", "jsessionid", "phpsessid", "sid"]
            .iter()
            .any(|k| key.eq_ignore_ascii_case(k))
            && text.len() >= 12
        {
            self.session = true;
        }
        if ["limit", "page_size", "pagesize", "per_page", "first", "size", "count"]
            .iter()
            .any(|k| key.eq_ignore_ascii_case(k))
            && text.parse::<u64>().is_ok_and(|n| n >= 1000)
        {
            self.large_page = true;
        }
        let shapes = if text.is_empty() { 0 } else { shape_bit(text) };
        let room = self.params.len() < MAX_QUERY;
        match self.params.iter_mut().find(|p| &*p.name == key) {
            Some(p) => p.shapes |= shapes,
            None if room && key.len() <= 64 => {
                self.params.push(QueryParam { name: key.into(), shapes });
            }
            None => {}
        }
    }
}

fn join_operation(shape: &str, name: Option<&str>) -> Box<str> {
    let Some(name) = name else { return shape.into() };
    let kind = shape.split(' ').next().unwrap_or("query");
    format!("{kind} {name}").into_boxed_str()
}

/// A name as it may stand in outputs: at most 64 letters, digits and `_ . - /`.
pub(crate) fn identifier(text: &str) -> Option<Box<str>> {
    let fits = !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'/'));
    fits.then(|| text.into())
}

fn hash_bytes(bytes: &[u8]) -> u64 {
    let fold = |h: u64, word: u64| (h ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29);
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(0x9e37_79b9_7f4a_7c15, |h, word| fold(h, u64::from_be_bytes(*word)));
    if rest.is_empty() { hash } else { fold(hash, rest.iter().fold(0, |w, b| w << 8 | u64::from(*b))) }
}

/// The bit of a shape, where the mask has but that one.
pub(crate) fn only_shape(mask: u32) -> Option<Shape> {
    use Shape::*;
    [Int, Uuid, Ulid, Hex, Date, Email, Ip, Domain, Prefixed, Token, Jwt, Number, IssueKey, Text, Word]
        .into_iter()
        .find(|s| s.bit() == mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_named_by_what_they_ask_for_not_by_what_clients_call_them() {
        for (text, named, operation) in [
            ("query Foo { invoice(id: 17) { total } }", Some("Foo"), "query invoice"),
            ("{ a: invoice(id: 1) { total } b: invoice(id: 2) { total } }", None, "query invoice"),
            ("mutation X { signIn(email: \"a\", password: \"b\") { token } }", Some("Y"), "mutation signIn"),
            ("query Home { me { id } basket { sum } }", Some("Home"), "query Home"),
            ("{ me { id } basket { sum } }", None, "query me"),
        ] {
            let grown = Grown {
                graphql: spoken::graphql_operation(text),
                operation: named.map(Into::into),
                ..Grown::default()
            };
            assert_eq!(grown.operation().as_deref(), Some(operation), "{text}");
        }
        assert_eq!(spoken::graphql_operation("{\"name\": 1}"), None);
    }
}
