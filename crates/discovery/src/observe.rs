//! What discovery is told of one exchange.

use std::borrow::Cow;
use std::net::IpAddr;

use sidetap_model::{EndpointRef, FlowId, Ts, Zone};
use smallvec::SmallVec;

use crate::segment::Shape;

/// Everything that discovery needs of one exchange: owned, slim, without a raw value of any body.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Time of the request.
    pub ts: Ts,
    /// The flow.
    pub flow_id: FlowId,
    /// Position on the flow.
    pub seq: u32,
    /// Where it was seen.
    pub zone: Zone,
    /// Path as sent, without query.
    pub path: Box<[u8]>,
    /// The endpoint that the worker's snapshot named: it has the host as outputs spell it and the method as sent.
    pub endpoint: EndpointRef,
    /// The client.
    pub client: IpAddr,
    /// Status code, where an answer was seen.
    pub status: Option<u16>,
    /// Kinds of credentials: bits of [`crate::AUTH_KINDS`].
    pub auth: u16,
    /// What it looks like.
    pub protocol: Protocol,
    /// Who seems to call.
    pub channel: Channel,
    /// Facts that risks are made of.
    pub signs: Signs,
    /// Query parameters.
    pub query: SmallVec<[QueryParam; 4]>,
    /// Operation inside the body (GraphQL, JSON-RPC, SOAP, MCP).
    pub operation: Option<Box<str>>,
    /// Bit i: the i-th path segment appears as an id or name in the response.
    pub echo: u32,
    /// The response is one object with an id of its own.
    pub own_id: bool,
    /// Hashes of ids and names in the response.
    pub ids: SmallVec<[u64; 4]>,
    /// The request's body.
    pub request: BodyFacts,
    /// The response's body.
    pub response: BodyFacts,
    /// Bytes of the response's body.
    pub response_bytes: u64,
}

impl Observation {
    /// The exchange's id as outputs write it.
    pub fn exchange_id(&self) -> String {
        format!("{}-{}", self.flow_id, self.seq)
    }

    /// Bytes that it holds besides its own size: what whoever asks or answers can make long.
    ///
    /// A name that others share counts in full.
    pub fn heap_bytes(&self) -> usize {
        let names = self.query.iter().map(|q| q.name.len()).sum::<usize>();
        let query = if self.query.spilled() { size_of_val(self.query.as_slice()) } else { 0 };
        let ids = if self.ids.spilled() { size_of_val(self.ids.as_slice()) } else { 0 };
        let operation = self.operation.as_deref().map_or(0, str::len);
        let bodies = self.request.heap_bytes() + self.response.heap_bytes();
        self.path.len() + self.endpoint.heap_bytes() + names + query + ids + operation + bodies
    }
}

/// A query parameter of one request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueryParam {
    /// Its name, decoded.
    pub name: Box<str>,
    /// What its value looks like: bits of [`Shape`], and [`BOOL`](QueryParam::BOOL).
    pub shapes: u32,
}

impl QueryParam {
    /// The value is `true` or `false`.
    pub const BOOL: u32 = 1 << 30;
}

/// What a body looks like.
#[derive(Clone, Debug, Default)]
pub struct BodyFacts {
    /// There was a body, and it was visited.
    pub visited: bool,
    /// Media type, lower case, without parameters.
    pub media: Option<Cow<'static, str>>,
    /// Fields with their counts.
    pub fields: Vec<Field>,
    /// The paths of the fields, one after the other.
    pub paths: String,
    /// Bloom mask over the names of the upper fields.
    pub keys: u128,
    /// Length and beginning of the body, hashed; 0 where there was none.
    pub print: u64,
}

impl BodyFacts {
    fn heap_bytes(&self) -> usize {
        let media = self.media.as_ref().map_or(0, |m| m.len());
        media + size_of_val(self.fields.as_slice()) + self.paths.len()
    }
}

/// A field of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    /// Hash of its path.
    pub path: u64,
    /// Length of its path in [`BodyFacts::paths`].
    pub len: u16,
    /// Types seen: bits of [`Kinds`].
    pub kinds: u8,
    /// Shapes of its texts: bits of [`Shape`].
    pub shapes: u32,
    /// How often it stands in the body.
    pub count: u32,
}

/// Bits of types.
#[derive(Debug)]
pub struct Kinds;

impl Kinds {
    /// Text.
    pub const STRING: u8 = 1;
    /// A whole number.
    pub const INTEGER: u8 = 2;
    /// A number with a fraction.
    pub const NUMBER: u8 = 4;
    /// True or false.
    pub const BOOLEAN: u8 = 8;
    /// Null.
    pub const NULL: u8 = 16;
    /// An object.
    pub const OBJECT: u8 = 32;
    /// An array.
    pub const ARRAY: u8 = 64;
}

/// What is spoken with an endpoint, as one exchange shows it.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, serde::Serialize, serde::Deserialize,
)]
#[repr(u8)]
pub enum Protocol {
    /// Plain HTTP API.
    #[default]
    Rest = 0,
    /// GraphQL.
    Graphql = 1,
    /// JSON-RPC.
    JsonRpc = 2,
    /// SOAP.
    Soap = 3,
    /// gRPC, gRPC-Web, Connect.
    Grpc = 4,
    /// An HTML page.
    Page = 5,
    /// A script, style sheet, picture, font.
    Asset = 6,
    /// An upgrade to WebSocket.
    Websocket = 7,
    /// A language model's completion or chat.
    Llm = 8,
    /// Model Context Protocol.
    Mcp = 9,
}

impl Protocol {
    /// All of them, in order of their numbers.
    pub const ALL: [Protocol; 10] = [
        Protocol::Rest,
        Protocol::Graphql,
        Protocol::JsonRpc,
        Protocol::Soap,
        Protocol::Grpc,
        Protocol::Page,
        Protocol::Asset,
        Protocol::Websocket,
        Protocol::Llm,
        Protocol::Mcp,
    ];

    /// The name that outputs use.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Rest => "rest",
            Protocol::Graphql => "graphql",
            Protocol::JsonRpc => "json-rpc",
            Protocol::Soap => "soap",
            Protocol::Grpc => "grpc",
            Protocol::Page => "page",
            Protocol::Asset => "asset",
            Protocol::Websocket => "websocket",
            Protocol::Llm => "llm",
            Protocol::Mcp => "mcp",
        }
    }
}

/// Through what a client calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Channel {
    /// A browser.
    Web = 1,
    /// A mobile application.
    Mobile = 2,
    /// A program.
    Api = 4,
}

/// Names of the kinds of authentication, by bit of [`Observation::auth`].
pub const AUTH_KINDS: [&str; 10] =
    ["none", "basic", "bearer", "jwt", "api-key", "cookie", "digest", "signature", "mtls", "other"];

macro_rules! signs {
    ($($(#[doc = $doc:literal])+ $name:ident = $bit:literal,)+) => {
        /// Facts of one exchange that risks are made of: a set.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct Signs(pub u32);

        impl Signs {
            $($(#[doc = $doc])+ pub const $name: Signs = Signs(1 << $bit);)+

            /// Bits in use.
            pub const COUNT: usize = [$($bit,)+].len();
        }
    };
}

signs! {
    /// A credential stands in the query.
    CREDENTIAL_IN_URL = 0,
    /// Basic credentials were sent in the clear.
    BASIC = 1,
    /// A JWT without signature was accepted.
    JWT_NONE = 2,
    /// A JWT that holds for more than a day.
    JWT_LONG = 3,
    /// A JWT that never expires.
    JWT_NO_EXPIRY = 4,
    /// Any origin may read with credentials.
    CORS_ANY = 5,
    /// A foreign origin was reflected, with credentials.
    CORS_REFLECTED = 6,
    /// The origin `null` is allowed with credentials.
    CORS_NULL = 7,
    /// A stack trace in a response.
    STACK_TRACE = 8,
    /// A database's error message in a response.
    DATABASE_ERROR = 9,
    /// A header names the server's software with its version.
    SERVER_VERSION = 10,
    /// A session cookie without `Secure`.
    COOKIE_NOT_SECURE = 11,
    /// A session cookie without `HttpOnly`.
    COOKIE_NOT_HTTP_ONLY = 12,
    /// A session cookie without `SameSite`, or with `None`.
    COOKIE_NOT_SAME_SITE = 13,
    /// The response says that the endpoint is deprecated, or when it ends.
    DEPRECATED = 14,
    /// GraphQL introspection answered.
    INTROSPECTION = 15,
    /// TRACE answered with success.
    TRACE = 16,
    /// A directory listing.
    LISTING = 17,
    /// The answer names a rate limit, or is 429.
    RATE_LIMITED = 18,
    /// A page of a thousand or more was asked for and answered with much.
    LARGE_PAGE = 19,
    /// A method override header was accepted.
    METHOD_OVERRIDE = 20,
    /// JSON declared as HTML.
    JSON_AS_HTML = 21,
    /// A bearer, key or session in the clear.
    TOKEN_CLEAR = 22,
    /// A GraphQL batch.
    BATCH = 23,
    /// A session id in the path or query.
    SESSION_IN_URL = 24,
}

impl Signs {
    /// Adds those of `other`.
    pub const fn insert(&mut self, other: Signs) {
        self.0 |= other.0;
    }

    /// True where all of `other` are set.
    pub const fn contains(self, other: Signs) -> bool {
        self.0 & other.0 == other.0
    }

    /// The numbers of the bits set.
    pub fn bits(self) -> impl Iterator<Item = usize> {
        (0..Self::COUNT).filter(move |i| self.0 >> i & 1 == 1)
    }
}

/// Shape bit of a text value in a body or query.
pub(crate) fn shape_bit(value: &str) -> u32 {
    if value == "true" || value == "false" {
        return QueryParam::BOOL;
    }
    if value.len() > 128 {
        return Shape::Word.bit();
    }
    crate::segment::read(value, None, 9).shape.bit()
}
