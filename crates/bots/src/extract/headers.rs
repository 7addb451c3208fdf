//! The head of a request: header fingerprints and what is odd about it.

use sidetap_model::{Headers, Request};
use sidetap_wire::auth::{self, Credential};
use smallvec::SmallVec;

use super::finder::Finder;
use crate::hash::{self, Mix};
use crate::observation::{Prints, Traits};

/// What one pass over a request's header fields gives.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head<'a> {
    pub(crate) agent: Option<&'a [u8]>,
    pub(crate) host: &'a [u8],
    pub(crate) content_type: Option<&'a [u8]>,
    pub(crate) prints: Prints,
    pub(crate) traits: Traits,
    pub(crate) device: Option<&'a [u8]>,
    /// Credentials in their order, at most [`auth::MOST`].
    pub(crate) credentials: SmallVec<[Credential<'a>; 2]>,
    /// The first key in a header of the site's own naming.
    pub(crate) own_key: Option<&'a [u8]>,
    /// Values of the cookie fields.
    pub(crate) cookies: SmallVec<[&'a [u8]; 2]>,
    pub(crate) language: Option<&'a [u8]>,
    pub(super) accept: Option<&'a [u8]>,
    pub(super) encoding: Option<&'a [u8]>,
    pub(super) connection: Option<&'a [u8]>,
    pub(super) brands: Option<&'a [u8]>,
    pub(super) mobile: Option<&'a [u8]>,
    pub(super) hint_platform: Option<&'a [u8]>,
    pub(super) fetch_site: Option<&'a [u8]>,
    pub(super) fetch_mode: Option<&'a [u8]>,
    pub(super) fetch_dest: Option<&'a [u8]>,
    pub(super) fetch_user: bool,
    pub(super) origin: Option<&'a [u8]>,
    pub(crate) referer: Option<&'a [u8]>,
    pub(super) upgrade: bool,
    pub(super) by_script: bool,
    /// Fields that name a client's address.
    pub(super) forwards: u8,
    /// Fields that may stand once and were seen, a bit each.
    singles: u8,
    pub(super) names: Names,
}

/// The first names of a head, as codes, for the order checks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Names {
    list: [Name; 8],
    len: usize,
    all: u32,
    lower: u32,
    title: u32,
    sorted: bool,
    last: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Name {
    #[default]
    Other,
    Host,
    Agent,
    Accept,
    Language,
    Encoding,
    Connection,
}

/// Reads the head of a request.
pub(crate) fn read(request: &Request) -> Head<'_> {
    let mut head = Head::default();
    let mut orders = Orders { own: Mix::new(), folded: Mix::new() };
    head.names.sorted = true;
    for (name, value) in request.headers.iter() {
        field(&mut head, &mut orders, name, value);
    }
    let state_changing = !matches!(request.method.as_slice(), b"GET" | b"HEAD" | b"OPTIONS");
    let json = head.content_type.is_some_and(|t| t.starts_with(b"application/json"));
    finish(&mut head, orders, request, state_changing && json);
    head
}

/// The names of a head in their order: as written, and in lower case without those that are between two hops.
struct Orders {
    own: Mix,
    folded: Mix,
}

fn field<'a>(head: &mut Head<'a>, orders: &mut Orders, name: &'a [u8], value: &'a [u8]) {
    let mut low = [0u8; 32];
    let Some(slot) = low.get_mut(..name.len().min(32)) else { return };
    for (to, from) in slot.iter_mut().zip(name) {
        *to = from.to_ascii_lowercase();
    }
    head.names.note(name, slot);
    head.traits.set(Traits::FIELD_EMPTY, value.is_empty());
    let mut code = Name::Other;
    let mut hop = false;
    let mut volatile = false;
    let mut single = 0;
    match &*slot {
        b"host" => {
            head.host = value;
            code = Name::Host;
            single = 1;
        }
        b"user-agent" => {
            head.agent = Some(value);
            code = Name::Agent;
            single = 2;
        }
        b"accept" => {
            head.accept = Some(value);
            code = Name::Accept;
        }
        b"accept-language" => {
            head.language = Some(value);
            code = Name::Language;
        }
        b"accept-encoding" => {
            head.encoding = Some(value);
            code = Name::Encoding;
        }
        b"connection" => {
            head.connection = Some(value);
            code = Name::Connection;
        }
        b"content-type" => {
            head.content_type = Some(value);
            single = 4;
        }
        b"sec-ch-ua" => head.brands = Some(value),
        b"sec-ch-ua-mobile" => head.mobile = Some(value),
        b"sec-ch-ua-platform" => head.hint_platform = Some(value),
        b"sec-fetch-site" => head.fetch_site = Some(value),
        b"sec-fetch-mode" => head.fetch_mode = Some(value),
        b"sec-fetch-dest" => head.fetch_dest = Some(value),
        b"sec-fetch-user" => {
            head.fetch_user = true;
            volatile = true;
        }
        b"origin" => head.origin = Some(value),
        b"upgrade-insecure-requests" => head.upgrade = true,
        b"x-requested-with" => head.by_script = value == b"XMLHttpRequest",
        b"accept-charset" => head.traits.insert(Traits::ACCEPT_CHARSET),
        b"keep-alive" => head.traits.insert(Traits::KEEP_ALIVE_FIELD),
        b"x-http-method-override" | b"x-method-override" | b"x-http-method" => {
            head.traits.insert(Traits::METHOD_OVERRIDE);
            own_field(head, slot, name, value);
        }
        b"from" => head.traits.insert(Traits::FROM),
        b"referer" => {
            head.traits.insert(Traits::REFERER);
            head.referer = Some(value);
            volatile = true;
        }
        b"cookie" => {
            head.traits.set(Traits::COOKIE_TWICE, head.traits.has(Traits::COOKIE));
            head.traits.insert(Traits::COOKIE);
            head.cookies.push(value);
            volatile = true;
        }
        b"if-none-match" | b"if-modified-since" | b"if-match" | b"if-range" => {
            head.traits.insert(Traits::CONDITIONAL);
            volatile = true;
        }
        b"cache-control" | b"pragma" => {
            head.traits.set(Traits::NO_CACHE, value.eq_ignore_ascii_case(b"no-cache"));
        }
        b"content-length" => {
            volatile = true;
            single = 8;
        }
        b"transfer-encoding" => {
            volatile = true;
            single = 16;
        }
        b"authorization" => {
            volatile = true;
            if head.credentials.len() < auth::MOST {
                head.credentials.extend(auth::authorization(name, value));
            }
        }
        b"expect" => {
            head.traits.insert(Traits::EXPECT);
            volatile = true;
        }
        b"range" | b"date" | b"traceparent" | b"tracestate" | b"x-request-id" | b"x-correlation-id"
        | b"x-amzn-trace-id" | b"x-b3-traceid" | b"x-b3-spanid" => {
            volatile = true;
        }
        b"x-forwarded-for" | b"forwarded" | b"x-real-ip" | b"true-client-ip" | b"cf-connecting-ip"
        | b"x-forwarded-proto" | b"x-forwarded-host" | b"x-forwarded-port" => {
            head.traits.set(Traits::FORWARDED_CLAIM, &*slot == b"x-forwarded-for" || &*slot == b"forwarded");
            head.forwards(slot, value);
            volatile = true;
            hop = true;
        }
        b"via" | b"proxy-connection" | b"x-proxy-id" | b"proxy-authorization" => {
            head.traits.insert(Traits::PROXY_LEAK);
            volatile = &*slot == b"via";
        }
        b"x-client-ip"
        | b"x-originating-ip"
        | b"x-remote-ip"
        | b"x-remote-addr"
        | b"x-cluster-client-ip"
        | b"x-original-forwarded-for"
        | b"client-ip" => {
            head.forwards(slot, value);
            own_field(head, slot, name, value);
        }
        other => own_field(head, other, name, value),
    }
    head.traits.set(Traits::DUPLICATE, head.singles & single != 0);
    head.singles |= single;
    if !hop {
        head.names.push(code);
    }
    if !volatile {
        orders.own.text(name);
        if !matches!(
            &*slot,
            b"connection" | b"keep-alive" | b"proxy-connection" | b"te" | b"upgrade" | b"trailer"
        ) {
            orders.folded.text(slot);
        }
    }
}

/// Parts of names that automation tools, scanners and apps with a device id use, in this order.
static PARTS: Finder = Finder::new(&[
    "selenium",
    "puppeteer",
    "crawlera",
    "scrapy",
    "devtools",
    "playwright",
    "acunetix",
    "x-scanner",
    "x-scan",
    "burp",
    "interact",
    "x-wipp",
    "device-id",
    "deviceid",
    "install-id",
    "installation-id",
    "client-id",
    "device-uuid",
    "udid",
    "visitor-id",
    "postman-token",
    "insomnia",
    "x-k6",
    "jmeter",
    "x-loadtest",
    "gatling",
]);

fn own_field<'a>(head: &mut Head<'a>, low: &[u8], name: &'a [u8], value: &'a [u8]) {
    PARTS.each(low, |part| match part {
        0..=5 => head.traits.insert(Traits::AUTOMATION_LEAK),
        6..=11 => head.traits.insert(Traits::SCANNER_LEAK),
        20.. => head.traits.insert(Traits::TOOL_FIELD),
        _ if value.len() >= 8 => head.device = Some(value),
        _ => {}
    });
    head.traits.set(Traits::UNDERSCORE_NAME, low.contains(&b'_'));
    if low.starts_with(b"x-") {
        head.traits.insert(Traits::APP_HEADERS);
    }
    if head.credentials.len() < auth::MOST {
        head.credentials.extend(auth::key_field(name, value));
    }
    if head.own_key.is_none() && is_own_key(name, value) {
        head.own_key = Some(value);
    }
}

/// A key in a header of the site's own naming (`X-Partner-Key`), which says who calls.
fn is_own_key(name: &[u8], value: &[u8]) -> bool {
    const OTHERS: [&[u8]; 5] = [b"idempotency", b"websocket", b"cache", b"surrogate", b"request"];
    let tail = name.len().checked_sub(4).and_then(|at| name.get(at..)).unwrap_or_default();
    tail.eq_ignore_ascii_case(b"-key")
        && (16..=256).contains(&value.len())
        && value.iter().all(u8::is_ascii_graphic)
        && !OTHERS.iter().any(|w| name.windows(w.len()).any(|x| x.eq_ignore_ascii_case(w)))
}

impl Names {
    fn note(&mut self, name: &[u8], low: &[u8]) {
        self.all += 1;
        if name.first().is_some_and(u8::is_ascii_lowercase) {
            self.lower += u32::from(!low.starts_with(b"sec-ch-") && !low.starts_with(b"dnt"));
        } else {
            self.title += 1;
        }
        let word = match name.first_chunk::<8>() {
            Some(first) => first.iter().fold(0, |word, b| word << 8 | u64::from(b.to_ascii_lowercase())),
            None => {
                let word = low.iter().take(8).fold(0, |word, b| word << 8 | u64::from(*b));
                word << (8 * (8 - low.len().min(8)) as u32).min(63)
            }
        };
        self.sorted &= word >= self.last;
        self.last = word;
    }

    fn push(&mut self, code: Name) {
        if let Some(slot) = self.list.get_mut(self.len) {
            *slot = code;
            self.len += 1;
        }
    }

    pub(super) fn at(&self, i: usize) -> Name {
        self.list.get(i).copied().unwrap_or_default()
    }

    pub(super) fn position(&self, name: Name) -> Option<usize> {
        self.list.iter().take(self.len).position(|n| *n == name)
    }

    pub(super) fn comes_before(&self, a: Name, b: Name) -> bool {
        matches!((self.position(a), self.position(b)), (Some(x), Some(y)) if x < y)
    }
}

/// The fingerprints of a head whose names in order come to `orders`.
fn prints(head: &mut Head<'_>, orders: Orders) {
    let order = orders.own.finish();
    let media = head.content_type.unwrap_or(b"-").split(|b| *b == b';').next().unwrap_or_default();
    let mut door = orders.folded;
    for value in [head.accept.unwrap_or(b"-"), head.encoding.unwrap_or(b"-"), media] {
        door.text(value);
    }
    head.prints.door = door.finish();
    let mut asked = Mix::new();
    for value in [head.accept, head.encoding, head.connection] {
        asked.text(value.unwrap_or(b"-"));
    }
    let mut shape = asked;
    shape.word(order);
    shape.text(media);
    head.prints.shape = shape.finish();
    head.prints.order = order;
    let there = [
        head.language.is_some(),
        head.brands.is_some(),
        head.mobile.is_some(),
        head.hint_platform.is_some(),
        head.fetch_site.is_some(),
        head.fetch_mode.is_some(),
        head.fetch_dest.is_some(),
        head.upgrade,
    ];
    let there = there.iter().fold(0, |bits, there| bits << 1 | u64::from(*there));
    asked.word(there << 32 | language_shape(head.language.unwrap_or_default()));
    head.prints.negotiation = asked.finish();
}

/// How languages are written: what stands between them, the weights and whether countries stand beside them, not which
/// languages they are.
fn language_shape(value: &[u8]) -> u64 {
    let mut shape = 0u32;
    let mut letters = false;
    for b in value.iter().take(64) {
        let class = if b.is_ascii_alphabetic() { b'a' } else { *b };
        if class == b'a' && letters {
            continue;
        }
        letters = class == b'a';
        shape = shape.rotate_left(5) ^ u32::from(class).wrapping_mul(0x9e37_79b1);
    }
    u64::from(shape)
}

fn finish(head: &mut Head<'_>, orders: Orders, request: &Request, json_call: bool) {
    prints(head, orders);
    let t = &mut head.traits;
    t.set(Traits::AGENT_MISSING, head.agent.is_none());
    t.set(Traits::ACCEPT_MISSING, head.accept.is_none());
    t.set(Traits::LANGUAGE_MISSING, head.language.is_none());
    t.set(Traits::SEC_FETCH, head.fetch_mode.is_some() || head.fetch_dest.is_some());
    t.set(Traits::CLIENT_HINTS, head.brands.is_some());
    t.set(Traits::FEW_HEADERS, head.names.all < 6);
    t.set(Traits::ALPHABETICAL, head.names.sorted && head.names.all >= 6);
    t.set(Traits::CASE_MIXED, head.names.lower > 0);
    t.set(Traits::VERSION_OLD, request.version.0 == 0 || (request.version.0, request.version.1) == (1, 0));
    t.set(Traits::HOST_LITERAL, is_address(head.host));
    t.set(Traits::HOST_PORT, head.host.ends_with(b":80") || head.host.ends_with(b":443"));
    t.set(Traits::GET, request.method == b"GET");
    t.set(Traits::HEAD, request.method == b"HEAD");
    t.set(Traits::OPTIONS, request.method == b"OPTIONS");
    let reads = t.has(Traits::GET) || t.has(Traits::HEAD);
    t.set(Traits::WRITES, !reads && !t.has(Traits::OPTIONS));
    let body = request.body.len > 0;
    t.set(Traits::BODY, body);
    t.set(Traits::GET_BODY, body && reads);
    t.set(Traits::TYPE_WITHOUT_BODY, !body && reads && head.content_type.is_some());
    t.set(Traits::BODY_UNTYPED, body && head.content_type.is_none());
    t.set(Traits::ENCODING_MISSING, head.encoding.is_none());
    t.set(Traits::CONNECTION_CLOSE, head.connection.is_some_and(|c| c.eq_ignore_ascii_case(b"close")));
    t.set(Traits::HOST_MISSING, head.host.is_empty() && request.version.1 == 1 && request.version.0 == 1);
    t.set(Traits::FORWARDED_MANY, head.forwards >= 3);
    t.set(Traits::LONG_TARGET, request.target.len() >= 2000);
    t.set(Traits::ABSOLUTE_FORM, !reads_as_path(&request.target) && request.method != b"CONNECT");
    let usual = matches!(
        request.method.as_slice(),
        b"GET" | b"HEAD" | b"POST" | b"PUT" | b"PATCH" | b"DELETE" | b"OPTIONS"
    );
    t.set(Traits::METHOD_RARE, !usual);
    if !t.has(Traits::GET) {
        t.0 &= !Traits::NO_CACHE.0;
    }
    t.set(Traits::NAVIGATES, head.fetch_mode == Some(b"navigate") && t.has(Traits::GET));
    let contradicts = head.fetch_mode == Some(b"navigate") && head.fetch_dest.is_some_and(|d| d == b"empty");
    let document_json =
        json_call && (head.fetch_mode == Some(b"navigate") || head.fetch_dest == Some(b"document"));
    t.set(Traits::SEC_FETCH_ODD, contradicts || document_json);
}

fn reads_as_path(target: &[u8]) -> bool {
    matches!(target.first(), Some(b'/' | b'*') | None)
}

/// True where a forwarded address is the server's own machine.
fn names_itself(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    value.starts_with(b"127.")
        || value.starts_with(b"::1")
        || value == b"localhost"
        || value.starts_with(b"0.0.0.0")
}

impl Head<'_> {
    /// A field that says on whose behalf the request is made.
    fn forwards(&mut self, low: &[u8], value: &[u8]) {
        let address = !low.starts_with(b"x-forwarded-") || low.ends_with(b"-for");
        self.forwards = self.forwards.saturating_add(u8::from(address));
        self.traits.set(Traits::FORWARDED_LOCAL, address && names_itself(value));
    }
}

fn is_address(host: &[u8]) -> bool {
    if !host.first().is_some_and(|b| b.is_ascii_digit() || *b == b'[') {
        return false;
    }
    let host = std::str::from_utf8(host).unwrap_or_default();
    let bare = host.rsplit_once(':').map_or(host, |(h, _)| h);
    host.starts_with('[') || bare.parse::<std::net::Ipv4Addr>().is_ok()
}

/// True where no browser writes such an Accept-Language.
pub(crate) fn odd_language(value: &[u8]) -> bool {
    let mut last = 1000;
    for part in value.split(|b| *b == b',') {
        let part = part.trim_ascii();
        if part.is_empty() {
            return true;
        }
        let Some(at) = part.iter().position(|b| *b == b';') else { continue };
        let q = part.get(at + 1..).unwrap_or_default().trim_ascii();
        let Some(q) = q.strip_prefix(b"q=") else { return true };
        let first = q.split(|b| *b == b';').next().unwrap_or_default();
        let Some(q) = std::str::from_utf8(first).ok().and_then(|s| s.parse::<f32>().ok()) else {
            return true;
        };
        let q = (q * 1000.0) as i32;
        if q > 1000 || q > last {
            return true;
        }
        last = q;
    }
    false
}

/// What the head of an answer says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AnswerHead<'a> {
    /// The first content type.
    pub(crate) kind: &'a [u8],
    /// It sets a cookie.
    pub(crate) sets: bool,
    /// It sets a cookie that looks like a session.
    pub(crate) session: bool,
    /// Hash of that cookie's name.
    pub(crate) given: u32,
    /// It can be validated again.
    pub(crate) validator: bool,
    /// Where a redirect leads.
    pub(crate) location: Option<&'a [u8]>,
}

/// Reads the head of an answer.
pub(crate) fn answer(headers: &Headers) -> AnswerHead<'_> {
    let mut head = AnswerHead::default();
    let mut kind = None;
    for (name, value) in headers.iter() {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match (name.len(), name.first().map_or(0, |b| b | 0x20)) {
            (12, b'c') if kind.is_none() && is(b"content-type") => kind = Some(value),
            (4, b'e') if is(b"etag") => head.validator = true,
            (13, b'l') if is(b"last-modified") => head.validator = true,
            (8, b'l') if is(b"location") => head.location = Some(value),
            (10, b's') if is(b"set-cookie") => {
                if let Some(cookie) = sidetap_wire::cookies::set_in(value).filter(|c| !c.removed) {
                    head.sets = true;
                    if sidetap_wire::cookies::is_session(cookie.name, cookie.value) {
                        head.session = true;
                        head.given = hash::quick(super::identity::plain_name(cookie.name)) as u32 | 1;
                    }
                }
            }
            _ => {}
        }
    }
    head.kind = kind.unwrap_or_default();
    head
}
