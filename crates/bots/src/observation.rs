use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sidetap_model::{ClientAddr, EndpointRef, FlowId, HashKey, Ts, Zone};
use smallvec::SmallVec;

use crate::agent::Agent;
use crate::role::Roles;

/// What the bots engine needs to know of one exchange: owned, slim, without secrets.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Time of the request's first byte; of an [`Part::Answer`] that of the answer.
    pub ts: Ts,
    /// Connection.
    pub flow_id: FlowId,
    /// Position on the connection.
    pub seq: u32,
    /// Where it was seen.
    pub zone: Zone,
    /// The client that acts.
    pub client: ClientAddr,
    /// The address of the connection.
    pub source: IpAddr,
    /// What was called.
    pub endpoint: EndpointRef,
    /// Which part of the exchange this is.
    pub part: Part,
    /// The server acknowledged the request or answered: what is neither convicts nobody.
    pub acknowledged: bool,
    /// What kind of thing was asked for.
    pub surface: Surface,
    /// What the agent calls itself.
    pub agent: Arc<Agent>,
    /// Fingerprints.
    pub prints: Prints,
    /// Oddities and traits of the request.
    pub traits: Traits,
    /// What the endpoint is for, judged from this exchange alone.
    pub roles: Roles,
    /// How the call went.
    pub outcome: Outcome,
    /// Status code, 0 where no answer was seen.
    pub status: u16,
    /// Bytes of the answer's body.
    pub bytes: u32,
    /// Sessions and device ids presented.
    pub sessions: SmallVec<[Token; 2]>,
    /// API key presented.
    pub api_key: Option<Token>,
    /// Account named in the request (keyed hash).
    pub account: Option<u64>,
    /// Password or other secret presented (keyed hash).
    pub secret: Option<u64>,
    /// The further ones of a request that carries many log-ins at once.
    pub more_secrets: Box<[u64]>,
    /// What the call was about (keyed hash of ids, codes, parameters).
    pub target: Option<Target>,
    /// Hash of the path as sent.
    pub path: u64,
    /// Hash of the path that the Referer names, 0 where there is none of the same host.
    pub referer: u64,
    /// Hash of the path that a redirect leads to, 0 where there is none.
    pub location: u64,
    /// The number of the page that a query asks for, 0 where it asks for none.
    pub page: u32,
    /// Milliseconds from the request to the answer.
    pub wait_ms: u32,
    /// Which library's head it is, counted from 1; 0 where of none or of the one that it names.
    pub resembles: u8,
    /// Attacks seen in it.
    pub attempts: SmallVec<[Attempt; 1]>,
    /// Rules that a robots.txt answer gave.
    pub robots: Option<Box<Robots>>,
    /// The signature by which the request says which agent sends it.
    pub signed: Option<Box<sidetap_intel::Signed>>,
    /// The path, where it may matter for robots.txt (page requests of crawlers).
    pub crawler_path: Option<Box<str>>,
    /// What the body asks for by name, where many calls share one path: `mutation SignIn`.
    pub operation: Option<Box<str>>,
}

impl Observation {
    /// Bytes that it holds besides its own size: what whoever asks can make long.
    ///
    /// A name that others share counts in full.
    pub fn heap_bytes(&self) -> usize {
        let robots = self.robots.as_deref().map_or(0, Robots::heap_bytes);
        let signed = self.signed.as_deref().map_or(0, |s| size_of_val(s) + s.heap_bytes());
        let path = self.crawler_path.as_deref().map_or(0, str::len);
        let operation = self.operation.as_deref().map_or(0, str::len);
        self.endpoint.heap_bytes()
            + robots
            + signed
            + path
            + operation
            + spilled(&self.sessions)
            + spilled(&self.attempts)
    }
}

/// Bytes of a small vector that has no room for its elements in itself.
fn spilled<A: smallvec::Array>(of: &SmallVec<A>) -> usize {
    if of.spilled() { size_of_val(of.as_slice()) } else { 0 }
}

/// Which part of an exchange an observation stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Part {
    /// Request and answer (or all that will be seen of them).
    #[default]
    Whole,
    /// The request; its answer may come later.
    RequestOnly,
    /// The answer to a request that was told before.
    Answer,
}

/// What kind of thing a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Surface {
    /// An API call.
    #[default]
    Api,
    /// A document for people.
    Page,
    /// Scripts, styles, pictures, fonts.
    Asset,
    /// `robots.txt` or a site map.
    Robots,
}

/// How a call went, as far as one exchange tells.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Outcome {
    /// No answer seen (yet).
    #[default]
    None,
    /// It did what was asked.
    Success,
    /// Credentials, code or token were wrong (401, 403 on a login, or words that say so).
    Denied,
    /// The account that was named does not exist.
    UnknownUser,
    /// The account is locked, or the sign-in blocked for a while.
    Locked,
    /// What was asked for does not exist.
    NotFound,
    /// Refused by the application: conflict, sold out, invalid.
    Refused,
    /// The card, the transfer or the payment was declined.
    Declined,
    /// Too many requests.
    Limited,
    /// The server failed.
    Error,
    /// Anything else (redirects, 405).
    Other,
}

impl Outcome {
    /// Each that an answer can mean, with its name.
    pub const NAMES: &'static [(Outcome, &'static str)] = &[
        (Outcome::Success, "success"),
        (Outcome::Denied, "wrong-credentials"),
        (Outcome::UnknownUser, "unknown-user"),
        (Outcome::Locked, "locked"),
        (Outcome::NotFound, "not-found"),
        (Outcome::Refused, "refused"),
        (Outcome::Declined, "declined"),
        (Outcome::Limited, "limited"),
        (Outcome::Error, "error"),
        (Outcome::Other, "other"),
    ];

    /// What it is a case of: who is unknown or locked out is denied, what is declined is refused.
    #[inline]
    pub const fn basic(self) -> Outcome {
        match self {
            Outcome::UnknownUser | Outcome::Locked => Outcome::Denied,
            Outcome::Declined => Outcome::Refused,
            other => other,
        }
    }

    /// True where the application said no.
    pub const fn is_failure(self) -> bool {
        matches!(self.basic(), Outcome::Denied | Outcome::NotFound | Outcome::Refused)
    }

    /// True where the answer tells whether the call worked.
    pub const fn tells(self) -> bool {
        matches!(self, Outcome::Success) || self.is_failure()
    }
}

/// Fingerprints of a request. Each is a hash, the same in every run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Prints {
    /// Header names in order and case, volatile ones left out, with the values of Accept, Accept-Encoding and Connection,
    /// the content type and the spacing of a JSON body.
    pub shape: u64,
    /// The head as a balancer or gateway still has it: names in order and lower case, those between two hops left out too, with the
    /// values of Accept and Accept-Encoding and the content type.
    pub door: u64,
    /// The agent string with its languages.
    pub agent: u64,
    /// Header names in order and case, volatile ones left out.
    pub order: u64,
    /// What is asked for and how: Accept-* and Connection, the shape of the languages, what is there and what is not.
    pub negotiation: u64,
    /// Names of the body's fields in order with the kinds of their values; 0 where there is none.
    pub body: u64,
    /// Names of the cookies in order; 0 where there are none.
    pub cookies: u64,
}

/// A session, device id or key: a keyed hash and what outputs may show of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Token {
    /// Keyed hash.
    pub hash: u64,
    /// First six characters where the token has 16 or more, else empty.
    head: [u8; 6],
    /// True where it was presented as a bearer or session, false for device ids.
    pub login: bool,
}

impl Token {
    /// The token of `value` in `domain` (`session` or `api-key`); a JWT is known by its signature.
    pub fn of(key: &HashKey, domain: &str, value: &[u8], login: bool) -> Self {
        let value = jwt_signature(value).unwrap_or(value);
        let mut head = [0; 6];
        if value.len() >= 16 {
            for (to, from) in head.iter_mut().zip(value) {
                *to = if from.is_ascii_graphic() { *from } else { b'.' };
            }
        }
        Token { hash: key.hash64(domain, value), head, login }
    }

    /// How outputs spell it.
    pub fn spelled(&self) -> String {
        if self.head[0] == 0 {
            return format!("#{:016x}", self.hash);
        }
        let head: String = self.head.iter().map(|b| char::from(*b)).collect();
        format!("{head}…#{:016x}", self.hash)
    }
}

fn jwt_signature(token: &[u8]) -> Option<&[u8]> {
    if !token.starts_with(b"eyJ") {
        return None;
    }
    let mut dots = memchr::memchr_iter(b'.', token);
    let (_, second, third) = (dots.next()?, dots.next()?, dots.next());
    let signature = token.get(second + 1..)?;
    (third.is_none() && signature.len() >= 16).then_some(signature)
}

/// What a call was about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// Hash of the values.
    pub hash: u64,
    /// The value as a number, where it ends with one.
    pub number: Option<u64>,
}

/// An attack that the exploit detection saw in an exchange.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Attempt {
    /// SQL injection.
    Sqli,
    /// Cross-site scripting.
    Xss,
    /// Path traversal or file inclusion.
    Traversal,
    /// A file or path that only a probe asks for.
    SensitiveFile,
    /// Any other attack class.
    Other,
}

/// The rules of a robots.txt: agent groups with the path prefixes that they forbid and allow.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Robots {
    /// Groups, lower-case agent tokens first.
    pub groups: Vec<RobotsGroup>,
}

impl Robots {
    fn heap_bytes(&self) -> usize {
        let texts = |of: &[String]| of.iter().map(|t| size_of_val(t) + t.len()).sum::<usize>();
        let group = |g: &RobotsGroup| texts(&g.agents) + texts(&g.disallow) + texts(&g.allow);
        size_of_val(self) + self.groups.iter().map(|g| size_of_val(g) + group(g)).sum::<usize>()
    }
}

/// A group of a robots.txt (RFC 9309 §2.2).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RobotsGroup {
    /// Lower-case product tokens; `*` for all.
    pub agents: Vec<String>,
    /// Forbidden prefixes.
    pub disallow: Vec<String>,
    /// Allowed prefixes.
    pub allow: Vec<String>,
}

macro_rules! traits {
    ($($(#[doc = $doc:literal])+ $name:ident = $bit:literal,)+) => {
        /// Traits of one request, as a set of bits.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        pub struct Traits(pub u128);

        impl Traits {
            $($(#[doc = $doc])+ pub const $name: Traits = Traits(1 << $bit);)+

            const NAMES: &'static [(Traits, &'static str)] = &[$((Traits::$name, stringify!($name)),)+];
        }
    };
}

traits! {
    /// No User-Agent.
    AGENT_MISSING = 0,
    /// No Accept.
    ACCEPT_MISSING = 1,
    /// No Accept-Language.
    LANGUAGE_MISSING = 2,
    /// Sec-Fetch-* present.
    SEC_FETCH = 3,
    /// Client hints (sec-ch-ua) present.
    CLIENT_HINTS = 4,
    /// The client hints name another version than the agent string.
    HINTS_VERSION = 5,
    /// The client hints name another platform than the agent string.
    HINTS_PLATFORM = 6,
    /// Client hints from an agent that has none.
    HINTS_FOREIGN = 7,
    /// A headless brand in the client hints.
    HINTS_HEADLESS = 8,
    /// Sec-Fetch-* that contradict the request.
    SEC_FETCH_ODD = 9,
    /// Host is not the first field though the agent claims a browser.
    HOST_LATE = 10,
    /// Fields in lower case beside others in title case.
    CASE_MIXED = 11,
    /// Field order of a known HTTP library while the agent claims a browser or an app.
    LIBRARY_ORDER = 12,
    /// Fewer than six fields.
    FEW_HEADERS = 13,
    /// Six or more fields in alphabetical order.
    ALPHABETICAL = 14,
    /// A modern browser's agent without br in Accept-Encoding.
    ENCODING_STALE = 15,
    /// A field twice that may stand once.
    DUPLICATE = 16,
    /// HTTP/1.0 or older.
    VERSION_OLD = 17,
    /// Cache-Control or Pragma no-cache on a GET.
    NO_CACHE = 18,
    /// Fields that forward proxies add.
    PROXY_LEAK = 19,
    /// Fields that automation tools add.
    AUTOMATION_LEAK = 20,
    /// Fields that scanners add.
    SCANNER_LEAK = 21,
    /// Host is an address.
    HOST_LITERAL = 22,
    /// A state-changing JSON call of a browser without Origin.
    ORIGIN_MISSING = 23,
    /// A Referer is present.
    REFERER = 24,
    /// Cookies are present.
    COOKIE = 25,
    /// The answer sets a cookie.
    SET_COOKIE = 26,
    /// A JSON body spaced as libraries write it, not browsers.
    BODY_SPACED = 27,
    /// An agent string that no product sends.
    AGENT_MALFORMED = 28,
    /// An agent string whose parts exclude each other.
    AGENT_IMPOSSIBLE = 29,
    /// The body is of another kind than declared.
    TYPE_MISMATCH = 30,
    /// A method that applications do not use.
    METHOD_RARE = 31,
    /// HEAD.
    HEAD = 32,
    /// A forwarded address that the sender claims (from an untrusted source).
    FORWARDED_CLAIM = 33,
    /// Protocol anomalies in the request.
    ANOMALY = 34,
    /// An Accept-Language that no browser writes.
    LANGUAGE_MALFORMED = 35,
    /// A document asked for with Accept `*/*` by a browser's agent.
    ACCEPT_WILDCARD = 36,
    /// Fields of the application's own (X-…).
    APP_HEADERS = 37,
    /// Basic or signed authentication, or an API key: a client known to the site.
    KEYED = 38,
    /// A bearer token or a session cookie.
    SESSION = 39,
    /// A GraphQL introspection query.
    INTROSPECTION = 40,
    /// Field order that the claimed app library does not write.
    APP_ORDER = 41,
    /// A page size far above what pages use.
    PAGE_SIZE = 42,
    /// A query parameter that only defeats caches.
    CACHE_BUSTER = 43,
    /// No Connection field though the agent claims Chromium over HTTP/1.1.
    CONNECTION_MISSING = 44,
    /// A From field (declared robots).
    FROM = 45,
    /// A conditional request (revalidation of a cache).
    CONDITIONAL = 46,
    /// Asked with GET.
    GET = 47,
    /// A throw-away mail domain in a sign-up.
    DISPOSABLE_MAIL = 48,
    /// The mail name ends with digits.
    MAIL_DIGITS = 49,
    /// An exploit in the agent string.
    AGENT_EXPLOIT = 50,
    /// The request carries a body.
    BODY = 51,
    /// A Chromium agent with a full build number where it sends a reduced one.
    AGENT_UNREDUCED = 52,
    /// A JWT that is unsigned.
    JWT_UNSIGNED = 53,
    /// A navigation, by Sec-Fetch-Mode.
    NAVIGATES = 54,
    /// No Accept-Encoding.
    ENCODING_MISSING = 55,
    /// Accept-Language is `*`.
    LANGUAGE_ANY = 56,
    /// Accept-Language is one language without others or weights.
    LANGUAGE_BARE = 57,
    /// Client hints without those that come with them.
    HINTS_PART = 58,
    /// Client hints name another brand than the agent string.
    HINTS_BRAND = 59,
    /// Some of the Sec-Fetch-* that come together.
    SEC_FETCH_PART = 60,
    /// Sec-Fetch-Site or -User that the rest of the request contradicts.
    SEC_FETCH_SITE_ODD = 61,
    /// Accept and Sec-Fetch-Dest ask for different things.
    ACCEPT_DEST_ODD = 62,
    /// Expect: 100-continue.
    EXPECT = 63,
    /// Accept-Charset, which browsers no longer send.
    ACCEPT_CHARSET = 64,
    /// Connection: close.
    CONNECTION_CLOSE = 65,
    /// HTTP/1.1 without Host.
    HOST_MISSING = 66,
    /// The target is a whole URL.
    ABSOLUTE_FORM = 67,
    /// A content type without content.
    TYPE_WITHOUT_BODY = 68,
    /// Content without a content type.
    BODY_UNTYPED = 69,
    /// A GET or HEAD with content.
    GET_BODY = 70,
    /// Cookie twice.
    COOKIE_TWICE = 71,
    /// A Referer that is no URL, or with what must not stand in it.
    REFERER_MALFORMED = 72,
    /// The Referer is what is asked for.
    REFERER_SELF = 73,
    /// Origin is another host than Host.
    ORIGIN_FOREIGN = 74,
    /// X-Requested-With on a navigation.
    XHR_NAVIGATES = 75,
    /// A multipart boundary as libraries make it.
    BOUNDARY_LIBRARY = 76,
    /// A field name with an underscore.
    UNDERSCORE_NAME = 77,
    /// Fields in another order than the claimed family writes.
    PROFILE_ORDER = 78,
    /// Values that the claimed family does not send.
    PROFILE_VALUES = 79,
    /// Fields missing that the claimed family always sends.
    PROFILE_MISSING = 80,
    /// Fields that the claimed family never sends.
    PROFILE_FOREIGN = 81,
    /// The head of a known library under another name.
    RESEMBLES = 82,
    /// OPTIONS.
    OPTIONS = 83,
    /// A method that changes something.
    WRITES = 84,
    /// A document asked for without Upgrade-Insecure-Requests.
    UPGRADE_MISSING = 85,
    /// A field that developers' clients and load generators add.
    TOOL_FIELD = 86,
    /// A field without a value.
    FIELD_EMPTY = 87,
    /// A Keep-Alive field.
    KEEP_ALIVE_FIELD = 88,
    /// Host with the port that goes without saying.
    HOST_PORT = 89,
    /// The agent string is the beginning of a browser's and no more.
    AGENT_BARE = 90,
    /// A forwarded address of the server's own machine.
    FORWARDED_LOCAL = 91,
    /// Three and more fields that name a client's address.
    FORWARDED_MANY = 92,
    /// A field that names another method.
    METHOD_OVERRIDE = 93,
    /// A path written so that servers read it differently.
    PATH_ODD = 94,
    /// A target of 2,000 bytes and more.
    LONG_TARGET = 95,
    /// Framing that servers read differently: request smuggling.
    FRAMING_ANOMALY = 96,
    /// Lines that RFC 9112 forbids.
    LINE_ANOMALY = 97,
    /// A body that does not read as its type.
    BODY_ANOMALY = 98,
    /// Segments that overlap, resets that nobody heeds and the like.
    TCP_ANOMALY = 99,
    /// The answer can be validated again (ETag, Last-Modified).
    VALIDATOR = 100,
    /// The answer was a redirect.
    REDIRECT = 101,
    /// The Referer is a page of the host called.
    REFERER_OWN = 102,
    /// A balancer or proxy made the connection.
    RELAYED = 103,
}

impl Traits {
    /// None.
    pub const NONE: Traits = Traits(0);

    /// Sets those of `other`.
    pub const fn insert(&mut self, other: Traits) {
        self.0 |= other.0;
    }

    /// Takes those of `other` away.
    pub const fn remove(&mut self, other: Traits) {
        self.0 &= !other.0;
    }

    /// Sets those of `other` where `when`.
    pub const fn set(&mut self, other: Traits, when: bool) {
        if when {
            self.insert(other);
        }
    }

    /// True where all of `other` are set.
    pub const fn has(self, other: Traits) -> bool {
        self.0 & other.0 == other.0
    }
}

impl fmt::Debug for Traits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Self::NAMES.iter().filter(|(t, _)| self.has(*t)).map(|(_, n)| n)).finish()
    }
}

/// The actors of one exchange in the spelling of verdict subjects.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Actors {
    /// Client address.
    pub ip: String,
    /// Sessions and device ids.
    pub session: Vec<String>,
    /// Account.
    pub account: Option<String>,
    /// API key.
    #[serde(rename = "api-key")]
    pub api_key: Option<String>,
    /// Fingerprints.
    pub fingerprint: Vec<String>,
}

impl Observation {
    /// Spells the actors of the exchange.
    pub fn actors(&self) -> Actors {
        Actors {
            ip: self.client.ip.to_string(),
            session: self.sessions.iter().map(Token::spelled).collect(),
            account: self.account.map(account_spelled),
            api_key: self.api_key.as_ref().map(Token::spelled),
            fingerprint: self.prints.spelled(),
        }
    }
}

/// An account as outputs spell it: hashed with the site's key, whatever its case.
pub fn account_name(key: &HashKey, name: &str) -> String {
    let folded: String = name.trim().chars().flat_map(char::to_lowercase).collect();
    account_spelled(key.hash64("account", folded.as_bytes()))
}

pub(crate) fn account_spelled(hash: u64) -> String {
    format!("#{hash:016x}")
}

/// The head's fingerprint.
pub(crate) fn shape_spelled(hash: u64) -> String {
    format!("s2-{hash:016x}")
}

/// The head's fingerprint at the door.
pub(crate) fn door_spelled(hash: u64) -> String {
    format!("d1-{hash:016x}")
}

/// The agent's fingerprint.
pub(crate) fn agent_spelled(hash: u64) -> String {
    format!("a1-{hash:016x}")
}

impl Prints {
    /// Each as outputs spell it: a letter and the version of its definition, then the hash. What is not there is left out.
    pub fn spelled(&self) -> Vec<String> {
        let mut all = vec![
            shape_spelled(self.shape),
            door_spelled(self.door),
            agent_spelled(self.agent),
            format!("h1-{:016x}", self.order),
            format!("n1-{:016x}", self.negotiation),
        ];
        if self.body != 0 {
            all.push(format!("b1-{:016x}", self.body));
        }
        if self.cookies != 0 {
            all.push(format!("c1-{:016x}", self.cookies));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidetap_model::mask_token;

    #[test]
    fn tokens_are_spelled_as_the_model_says() {
        let key = HashKey::from_bytes([3; 16]);
        for value in
            ["short", "0123456789abcdef", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.SflKxwRJSMeKKF2QT4fwpM"]
        {
            let token = Token::of(&key, "session", value.as_bytes(), true);
            assert_eq!(token.spelled(), mask_token(&key, "session", value.as_bytes()));
        }
    }
}
