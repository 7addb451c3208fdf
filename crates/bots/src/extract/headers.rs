//! The head of a request: header fingerprints and what is odd about it.

use sidetap_model::{Headers, Request};
use sidetap_wire::auth::{self, Credential};
use smallvec::SmallVec;

use super::finder::Finder;
use crate::agent::{Agent, AgentKind, Platform};
use crate::hash::Mix;
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
    accept: Option<&'a [u8]>,
    encoding: Option<&'a [u8]>,
    connection: Option<&'a [u8]>,
    brands: Option<&'a [u8]>,
    mobile: Option<&'a [u8]>,
    hint_platform: Option<&'a [u8]>,
    fetch_mode: Option<&'a [u8]>,
    fetch_dest: Option<&'a [u8]>,
    origin: bool,
    /// Fields that may stand once and were seen, a bit each.
    singles: u8,
    names: Names,
}

/// The first names of a head, as codes, for the order checks.
#[derive(Clone, Copy, Debug, Default)]
struct Names {
    list: [Name; 8],
    len: usize,
    all: u32,
    lower: u32,
    title: u32,
    sorted: bool,
    last: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Name {
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
    let mut order = Mix::new();
    head.names.sorted = true;
    for (name, value) in request.headers.iter() {
        field(&mut head, &mut order, name, value);
    }
    let state_changing = !matches!(request.method.as_slice(), b"GET" | b"HEAD" | b"OPTIONS");
    let json = head.content_type.is_some_and(|t| t.starts_with(b"application/json"));
    finish(&mut head, order, request, state_changing && json);
    head
}

fn field<'a>(head: &mut Head<'a>, order: &mut Mix, name: &'a [u8], value: &'a [u8]) {
    let mut low = [0u8; 32];
    let Some(slot) = low.get_mut(..name.len().min(32)) else { return };
    for (to, from) in slot.iter_mut().zip(name) {
        *to = from.to_ascii_lowercase();
    }
    head.names.note(name, slot);
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
        b"sec-fetch-mode" => head.fetch_mode = Some(value),
        b"sec-fetch-dest" => head.fetch_dest = Some(value),
        b"origin" => head.origin = true,
        b"from" => head.traits.insert(Traits::FROM),
        b"referer" => {
            head.traits.insert(Traits::REFERER);
            volatile = true;
        }
        b"cookie" => {
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
        b"range" | b"expect" | b"date" | b"traceparent" | b"tracestate" | b"x-request-id"
        | b"x-correlation-id" | b"x-amzn-trace-id" | b"x-b3-traceid" | b"x-b3-spanid" => {
            volatile = true;
        }
        b"x-forwarded-for" | b"forwarded" | b"x-real-ip" | b"true-client-ip" | b"cf-connecting-ip"
        | b"x-forwarded-proto" | b"x-forwarded-host" | b"x-forwarded-port" => {
            head.traits.set(Traits::FORWARDED_CLAIM, &*slot == b"x-forwarded-for" || &*slot == b"forwarded");
            volatile = true;
            hop = true;
        }
        b"via" | b"proxy-connection" | b"x-proxy-id" | b"proxy-authorization" => {
            head.traits.insert(Traits::PROXY_LEAK);
            volatile = &*slot == b"via";
        }
        other => own_field(head, other, name, value),
    }
    head.traits.set(Traits::DUPLICATE, head.singles & single != 0);
    head.singles |= single;
    if !hop {
        head.names.push(code);
    }
    if !volatile {
        order.bytes(name);
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
]);

fn own_field<'a>(head: &mut Head<'a>, low: &[u8], name: &'a [u8], value: &'a [u8]) {
    PARTS.each(low, |part| match part {
        0..=5 => head.traits.insert(Traits::AUTOMATION_LEAK),
        6..=11 => head.traits.insert(Traits::SCANNER_LEAK),
        _ if value.len() >= 8 => head.device = Some(value),
        _ => {}
    });
    if low.starts_with(b"x-") && low != b"x-requested-with" {
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

    fn at(&self, i: usize) -> Name {
        self.list.get(i).copied().unwrap_or_default()
    }

    fn position(&self, name: Name) -> Option<usize> {
        self.list.iter().take(self.len).position(|n| *n == name)
    }

    fn comes_before(&self, a: Name, b: Name) -> bool {
        matches!((self.position(a), self.position(b)), (Some(x), Some(y)) if x < y)
    }
}

fn finish(head: &mut Head<'_>, order: Mix, request: &Request, json_call: bool) {
    let mut shape = order;
    for value in [head.accept, head.encoding, head.connection] {
        shape.bytes(value.unwrap_or(b"-"));
    }
    let media = head.content_type.unwrap_or(b"-");
    shape.bytes(media.split(|b| *b == b';').next().unwrap_or_default());
    head.prints.shape = shape.finish();
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
    t.set(Traits::GET, request.method == b"GET");
    t.set(Traits::HEAD, request.method == b"HEAD");
    t.set(Traits::BODY, request.body.len > 0);
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

impl Head<'_> {
    /// Adds what only shows beside what the agent claims to be.
    pub(crate) fn compare(&mut self, agent: &Agent, json_call: bool, page: bool) {
        self.traits.insert(agent.traits);
        if agent.kind == AgentKind::Browser {
            self.compare_browser(agent, json_call, page);
        }
        if agent.kind == AgentKind::AppLibrary {
            self.compare_app(agent);
        }
        if agent.kind != AgentKind::Browser {
            self.traits.set(Traits::HINTS_FOREIGN, self.brands.is_some() && agent.kind == AgentKind::Library);
        }
    }

    fn compare_browser(&mut self, agent: &Agent, json_call: bool, page: bool) {
        let n = &self.names;
        let chromium = agent.is_chromium();
        let modern = (chromium || agent.family == "firefox") && agent.major >= 60;
        let encoding = self.encoding.unwrap_or_default();
        let python = n.comes_before(Name::Agent, Name::Encoding)
            && n.comes_before(Name::Encoding, Name::Accept)
            && n.comes_before(Name::Accept, Name::Connection);
        let httpx = n.comes_before(Name::Accept, Name::Encoding)
            && n.comes_before(Name::Encoding, Name::Connection)
            && n.comes_before(Name::Connection, Name::Agent)
            && self.fetch_mode.is_none();
        let curl = n.at(0) == Name::Host
            && n.at(1) == Name::Agent
            && n.at(2) == Name::Accept
            && self.language.is_none();
        let bare = n.at(0) == Name::Host && n.at(1) == Name::Agent && self.accept.is_none();
        let foreign = chromium || agent.family == "safari";
        let chrome_firefox_order = foreign && n.at(0) == Name::Host && n.at(1) == Name::Agent;
        let t = &mut self.traits;
        t.set(Traits::LIBRARY_ORDER, python || httpx || curl || bare || chrome_firefox_order);
        t.set(Traits::HOST_LATE, n.position(Name::Host) != Some(0));
        t.set(Traits::CONNECTION_MISSING, chromium && self.connection.is_none());
        t.set(Traits::ENCODING_STALE, modern && !encoding.windows(2).any(|w| w == b"br"));
        t.set(Traits::HINTS_FOREIGN, self.brands.is_some() && !chromium);
        t.set(Traits::ORIGIN_MISSING, json_call && !self.origin);
        let wildcard = page && self.accept == Some(b"*/*") && !t.has(Traits::SEC_FETCH);
        t.set(Traits::ACCEPT_WILDCARD, wildcard);
        if let Some(brands) = self.brands {
            t.set(Traits::HINTS_HEADLESS, names_headless(brands));
            t.set(Traits::HINTS_VERSION, chromium && agent.major > 0 && !names_version(brands, agent.major));
        }
        if let Some(mobile) = self.mobile {
            let phone = agent.text.contains("Mobile");
            t.set(
                Traits::HINTS_PLATFORM,
                chromium && (mobile == b"?1") != phone && agent.platform != Platform::Android,
            );
        }
        if let Some(platform) = self.hint_platform {
            t.set(Traits::HINTS_PLATFORM, chromium && !platform_agrees(platform, agent.platform));
        }
    }

    /// OkHttp writes Host, Connection, Accept-Encoding itself, in this order, after the app's own fields.
    fn compare_app(&mut self, agent: &Agent) {
        let n = &self.names;
        if agent.family == "okhttp" {
            let own = n.position(Name::Host).is_some_and(|i| n.at(i + 1) == Name::Connection);
            let unknown = n.position(Name::Host).is_none();
            self.traits.set(Traits::APP_ORDER, !own && !unknown);
        } else if agent.family == "cfnetwork" || agent.family == "alamofire" {
            let curl = n.at(0) == Name::Host && n.at(1) == Name::Agent;
            let python =
                n.comes_before(Name::Agent, Name::Encoding) && n.comes_before(Name::Encoding, Name::Accept);
            self.traits.set(Traits::APP_ORDER, curl || python);
        }
    }
}

fn names_headless(brands: &[u8]) -> bool {
    memchr::memchr_iter(b'H', brands)
        .any(|at| brands.get(at..).is_some_and(|rest| rest.starts_with(b"Headless")))
}

/// True where client hints name this major version of a brand: `v="120"`.
fn names_version(brands: &[u8], major: u16) -> bool {
    memchr::memchr_iter(b'=', brands).any(|at| {
        let (head, rest) = brands.split_at_checked(at).unwrap_or_default();
        let Some(version) = rest.strip_prefix(b"=\"").filter(|_| head.ends_with(b"v")) else { return false };
        let digits = version.split(|b| *b == b'"').next().unwrap_or_default();
        let closed = version.len() > digits.len();
        let plain = digits.iter().all(u8::is_ascii_digit) && digits.first() != Some(&b'0');
        closed && plain && std::str::from_utf8(digits).is_ok_and(|d| d.parse() == Ok(major))
    })
}

fn platform_agrees(hint: &[u8], platform: Platform) -> bool {
    let hint = hint.to_ascii_lowercase();
    let has = |w: &[u8]| hint.windows(w.len()).any(|x| x == w);
    match platform {
        Platform::Windows => has(b"windows"),
        Platform::Mac => has(b"macos") || has(b"mac os"),
        Platform::Android => has(b"android"),
        Platform::Linux => has(b"linux"),
        Platform::Ios => has(b"ios"),
        Platform::ChromeOs => has(b"chrom"),
        Platform::Unknown => true,
    }
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
}

/// Reads the head of an answer.
pub(crate) fn answer(headers: &Headers) -> AnswerHead<'_> {
    let mut head = AnswerHead::default();
    let mut kind = None;
    for (name, value) in headers.iter() {
        if name.len() == 12 && kind.is_none() && name.eq_ignore_ascii_case(b"content-type") {
            kind = Some(value);
        }
        if name.len() == 10
            && name.eq_ignore_ascii_case(b"set-cookie")
            && let Some(cookie) = sidetap_wire::cookies::set_in(value)
            && !cookie.removed
        {
            head.sets = true;
            head.session |= sidetap_wire::cookies::is_session(cookie.name, cookie.value);
        }
    }
    head.kind = kind.unwrap_or_default();
    head
}
