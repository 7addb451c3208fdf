//! Oddities and traits of a request, a bit each.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    /// It runs an operation that only reads, whatever its method.
    READS = 104,
    /// An application was given a token for credentials of its own (RFC 6749 §4.4).
    SERVICE = 105,
    /// The answer gives a token, or a session to who had one before.
    GIVEN = 106,
    /// The answer was read as a whole and gives nothing that could be a session.
    NOTHING_GIVEN = 107,
    /// It names something or somebody that it is about.
    NAMES_ONE = 108,
    /// It posts a text with a link to elsewhere.
    LINKS = 109,
    /// It carries twenty calls and more, and nobody's credentials.
    BULK = 110,
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
