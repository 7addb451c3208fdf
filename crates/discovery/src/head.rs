//! What heads say: credentials, protocol, channel, and facts that risks are made of.

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use sidetap_model::{Exchange, Headers, Request, Response};
use sidetap_wire::auth::{Credential, credentials};
use sidetap_wire::body::hash_bytes;
use sidetap_wire::cookies;

use crate::extract::{Context, Visit};
use crate::observe::{Channel, Protocol, Signs};

pub(crate) struct HeadFacts {
    pub(crate) status: Option<u16>,
    pub(crate) success: bool,
    pub(crate) auth: u16,
    pub(crate) protocol: Protocol,
    pub(crate) channel: Channel,
    pub(crate) soap_action: Option<Box<str>>,
}

/// Reads both heads of `exchange`.
pub(crate) fn read(
    exchange: &Exchange,
    context: &Context<'_>,
    channels: &mut Channels,
    signs: &mut Signs,
) -> HeadFacts {
    let status = exchange.response.as_ref().map(|r| r.status);
    let success = status.is_some_and(|s| (200..300).contains(&s) || s == 304);
    let mut out = HeadFacts {
        status,
        success,
        auth: 1,
        protocol: Protocol::Rest,
        channel: Channel::Api,
        soap_action: None,
    };
    if let Some(request) = &exchange.request {
        let agent = request_facts(request, context, success, &mut out, signs);
        out.channel = channels.of(agent);
    }
    if let Some(response) = &exchange.response {
        response_facts(exchange.request.as_ref(), response, success, &mut out, signs);
    }
    out
}

/// Reads a request's head; gives what it says of its agent.
fn request_facts<'r>(
    request: &'r Request,
    context: &Context<'_>,
    success: bool,
    out: &mut HeadFacts,
    signs: &mut Signs,
) -> &'r [u8] {
    let mut agent: &[u8] = b"";
    let mut key_headers = false;
    for (name, value) in request.headers.iter() {
        match name.len() {
            6 if name.eq_ignore_ascii_case(b"cookie") => {
                if cookies::of(&request.headers).any(|(n, v)| cookies::is_session(n, v)) {
                    out.auth |= 1 << 5;
                }
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                if value.eq_ignore_ascii_case(b"websocket") {
                    out.protocol = Protocol::Websocket;
                }
            }
            10 if name.eq_ignore_ascii_case(b"user-agent") => agent = value,
            10 if name.eq_ignore_ascii_case(b"soapaction") => {
                out.protocol = Protocol::Soap;
                out.soap_action = soap_name(value);
            }
            12 if name.eq_ignore_ascii_case(b"content-type") => {
                if starts(value, b"application/grpc") {
                    out.protocol = Protocol::Grpc;
                } else if starts(value, b"application/soap+xml") {
                    out.protocol = Protocol::Soap;
                }
            }
            13 if name.eq_ignore_ascii_case(b"authorization") => key_headers = true,
            15 if name.eq_ignore_ascii_case(b"x-http-method") => {}
            22 if name.eq_ignore_ascii_case(b"x-http-method-override") && success => {
                signs.insert(Signs::METHOD_OVERRIDE);
            }
            _ => key_headers |= sidetap_wire::auth::is_key_header(name),
        }
    }
    if key_headers {
        for credential in credentials(&request.headers) {
            out.auth |= credential_bit(&credential);
            match &credential {
                Credential::Basic { .. } => signs.insert(Signs::BASIC),
                Credential::Jwt(token) if success && context.visit == Visit::Full => {
                    jwt(token, context.exchange, signs);
                }
                _ => {}
            }
        }
    }
    if out.auth != 1 {
        out.auth &= !1;
        signs.insert(Signs::TOKEN_CLEAR);
    }
    if success && request.method == b"TRACE" {
        signs.insert(Signs::TRACE);
    }
    agent
}

fn credential_bit(credential: &Credential<'_>) -> u16 {
    1 << match credential {
        Credential::Basic { .. } => 1,
        Credential::Bearer(_) => 2,
        Credential::Jwt(_) => 3,
        Credential::ApiKey { .. } => 4,
        Credential::Digest => 6,
        Credential::Signature => 7,
        Credential::Other => 9,
    }
}

/// Channels of agents seen before, by the hash of what they call themselves.
#[derive(Debug)]
pub(crate) struct Channels(Vec<(u64, Channel)>);

impl Default for Channels {
    fn default() -> Self {
        Channels(vec![(hash_bytes(b""), Channel::Api); Channels::SLOTS])
    }
}

impl Channels {
    const SLOTS: usize = 128;

    fn of(&mut self, agent: &[u8]) -> Channel {
        if agent.starts_with(b"Mozilla/") {
            return Channel::Web;
        }
        let hash = hash_bytes(agent);
        let Some(known) = self.0.get_mut(hash as usize % Self::SLOTS) else { return channel(agent) };
        if known.0 != hash {
            *known = (hash, channel(agent));
        }
        known.1
    }
}

fn channel(agent: &[u8]) -> Channel {
    static MOBILE: LazyLock<Parts> = LazyLock::new(|| {
        parts(&[b"okhttp", b"CFNetwork", b"Dart/", b"iPhone;", b"(Android", b"Darwin/", b"Alamofire"])
    });
    if agent.starts_with(b"Mozilla/") {
        return Channel::Web;
    }
    if MOBILE.iter().any(|m| m.find(agent).is_some()) { Channel::Mobile } else { Channel::Api }
}

fn response_facts(
    request: Option<&Request>,
    response: &Response,
    success: bool,
    out: &mut HeadFacts,
    signs: &mut Signs,
) {
    let mut origin_allowed: Option<&[u8]> = None;
    let mut with_credentials = false;
    let mut media: &[u8] = b"";
    for (name, value) in response.headers.iter() {
        match name.len() {
            6 if name.eq_ignore_ascii_case(b"server") && has_version(value) => {
                signs.insert(Signs::SERVER_VERSION);
            }
            6 if name.eq_ignore_ascii_case(b"sunset") => signs.insert(Signs::DEPRECATED),
            10 if name.eq_ignore_ascii_case(b"set-cookie") => set_cookie(&response.headers, signs),
            11 if name.eq_ignore_ascii_case(b"deprecation") && value != b"false" => {
                signs.insert(Signs::DEPRECATED);
            }
            11 if name.eq_ignore_ascii_case(b"retry-after") => signs.insert(Signs::RATE_LIMITED),
            12 if name.eq_ignore_ascii_case(b"content-type") => media = value,
            12 if name.eq_ignore_ascii_case(b"x-powered-by") && has_version(value) => {
                signs.insert(Signs::SERVER_VERSION);
            }
            27 if name.eq_ignore_ascii_case(b"access-control-allow-origin") => origin_allowed = Some(value),
            32 if name.eq_ignore_ascii_case(b"access-control-allow-credentials") => {
                with_credentials = value.eq_ignore_ascii_case(b"true");
            }
            _ if name.first().is_some_and(|b| matches!(b | 0x20, b'r' | b'x'))
                && (starts(name, b"ratelimit") || starts(name, b"x-ratelimit")) =>
            {
                signs.insert(Signs::RATE_LIMITED);
            }
            _ => {}
        }
    }
    if response.status == 429 {
        signs.insert(Signs::RATE_LIMITED);
    }
    if let (Some(allowed), true) = (origin_allowed, with_credentials) {
        cors(request, allowed, signs);
    }
    if out.protocol == Protocol::Rest {
        out.protocol = by_media(media, success, request);
    }
    body_signs(response, media, signs);
}

fn cors(request: Option<&Request>, allowed: &[u8], signs: &mut Signs) {
    if allowed == b"*" {
        return signs.insert(Signs::CORS_ANY);
    }
    if allowed == b"null" {
        return signs.insert(Signs::CORS_NULL);
    }
    let Some(request) = request else { return };
    let Some(origin) = request.headers.get("origin") else { return };
    let host = request.headers.get("host").unwrap_or_default();
    let foreign = !host.is_empty() && !contains(origin, site(host));
    if allowed == origin && foreign {
        signs.insert(Signs::CORS_REFLECTED);
    }
}

/// The last two labels of a host: what its own pages share.
fn site(host: &[u8]) -> &[u8] {
    let host = host.split(|b| *b == b':').next().unwrap_or(host);
    let mut dots = host.iter().enumerate().rev().filter(|(_, b)| **b == b'.').map(|(i, _)| i);
    dots.nth(1).and_then(|i| host.get(i + 1..)).unwrap_or(host)
}

fn by_media(media: &[u8], success: bool, request: Option<&Request>) -> Protocol {
    let get = request.is_some_and(|r| r.method == b"GET" || r.method == b"HEAD");
    let html = starts(media, b"text/html");
    if html && success && get {
        return Protocol::Page;
    }
    let form = |r: &Request| {
        let sent = r.headers.get("content-type").unwrap_or_default();
        let encoded =
            starts(sent, b"application/x-www-form-urlencoded") || starts(sent, b"multipart/form-data");
        r.method == b"POST" && encoded && r.headers.get("accept").is_some_and(|a| contains(a, b"text/html"))
    };
    // What a browser sends from a page, and gets a page for or is sent to one.
    if (html || media.is_empty()) && request.is_some_and(form) {
        return Protocol::Page;
    }
    const ASSETS: [&[u8]; 8] = [
        b"image/",
        b"font/",
        b"text/css",
        b"text/javascript",
        b"application/javascript",
        b"application/x-javascript",
        b"application/font",
        b"video/",
    ];
    const FILES: [&[u8]; 12] = [
        b".ico", b".png", b".jpg", b".jpeg", b".gif", b".svg", b".webp", b".css", b".js", b".mjs", b".woff",
        b".woff2",
    ];
    let named = |r: &Request| {
        let path = r.target.split(|b| *b == b'?').next().unwrap_or_default();
        FILES.iter().any(|f| path.ends_with(f))
    };
    if get && (ASSETS.iter().any(|a| starts(media, a)) || media.is_empty() && request.is_some_and(named)) {
        return Protocol::Asset;
    }
    if starts(media, b"application/grpc") {
        return Protocol::Grpc;
    }
    Protocol::Rest
}

fn set_cookie(headers: &Headers, signs: &mut Signs) {
    for cookie in cookies::set(headers) {
        if cookie.removed || !cookies::is_session(cookie.name, cookie.value) {
            continue;
        }
        if !cookie.secure {
            signs.insert(Signs::COOKIE_NOT_SECURE);
        }
        if !cookie.http_only {
            signs.insert(Signs::COOKIE_NOT_HTTP_ONLY);
        }
        if cookie.same_site.is_none_or(|s| s.eq_ignore_ascii_case(b"none")) {
            signs.insert(Signs::COOKIE_NOT_SAME_SITE);
        }
    }
}

/// Looks for stack traces and database errors in what failed, for listings in what did not.
fn body_signs(response: &Response, media: &[u8], signs: &mut Signs) {
    let body = response.body.bytes.get(..response.body.bytes.len().min(16 << 10)).unwrap_or_default();
    if body.is_empty() {
        return;
    }
    if response.status >= 400 {
        if TRACES.iter().any(|t| t.find(body).is_some()) {
            signs.insert(Signs::STACK_TRACE);
        }
        if DATABASE.iter().any(|t| t.find(body).is_some()) {
            signs.insert(Signs::DATABASE_ERROR);
        }
        return;
    }
    if starts(media, b"text/html") {
        let top = body.get(..body.len().min(1024)).unwrap_or(body);
        if contains(top, b"<title>Index of /") || contains(top, b"<title>Directory listing") {
            signs.insert(Signs::LISTING);
        }
        let json = matches!(body.first(), Some(b'{' | b'[')) && matches!(body.last(), Some(b'}' | b']'));
        if json && response.status < 300 {
            signs.insert(Signs::JSON_AS_HTML);
        }
    }
}

/// Reads a JWT's header and lifetime.
fn jwt(token: &[u8], exchange: &Exchange, signs: &mut Signs) {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut parts = token.split(|b| *b == b'.');
    let mut json = || -> Option<serde_json::Value> {
        let part = parts.next().filter(|p| p.len() <= 8192)?;
        serde_json::from_slice(&engine.decode(part).ok()?).ok()
    };
    let (Some(head), Some(claims)) = (json(), json()) else { return };
    if head.get("alg").and_then(|a| a.as_str()).is_some_and(|a| a.eq_ignore_ascii_case("none")) {
        signs.insert(Signs::JWT_NONE);
    }
    let Some(expiry) = claims.get("exp").and_then(serde_json::Value::as_f64) else {
        return signs.insert(Signs::JWT_NO_EXPIRY);
    };
    let issued = claims.get("iat").and_then(serde_json::Value::as_f64).unwrap_or(exchange.ts.as_secs_f64());
    if expiry - issued > 86_400.0 {
        signs.insert(Signs::JWT_LONG);
    }
}

fn soap_name(value: &[u8]) -> Option<Box<str>> {
    let text = std::str::from_utf8(value).ok()?.trim_matches('"');
    let name = text.rsplit(['/', '#', ':']).next()?;
    let fits =
        !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    fits.then(|| name.into())
}

/// The media type of a Content-Type value: lower case, without parameters, at most 64 bytes.
pub(crate) fn media_type(value: &[u8]) -> Option<Cow<'static, str>> {
    const USUAL: [&str; 6] = [
        "application/json",
        "text/html",
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/problem+json",
        "application/xml",
    ];
    if value == b"application/json" {
        return Some(Cow::Borrowed("application/json"));
    }
    let cut = value.split(|b| *b == b';').next()?.trim_ascii();
    if let Some(usual) = USUAL.into_iter().find(|u| u.as_bytes().eq_ignore_ascii_case(cut)) {
        return Some(Cow::Borrowed(usual));
    }
    let fits = !cut.is_empty()
        && cut.len() <= 64
        && cut.contains(&b'/')
        && cut.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'+' | b'-' | b'.' | b'_'));
    if !fits {
        return None;
    }
    std::str::from_utf8(cut).ok().map(|s| Cow::Owned(s.to_ascii_lowercase()))
}

/// True where a product is named with its version, `nginx/1.18`.
fn has_version(value: &[u8]) -> bool {
    value.windows(2).any(|w| matches!(w, [b'/' | b' ', d] if d.is_ascii_digit()))
}

fn starts(value: &[u8], prefix: &[u8]) -> bool {
    value.get(..prefix.len()).is_some_and(|v| v.eq_ignore_ascii_case(prefix))
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}

/// Parts of text, ready to be looked for.
type Parts = Vec<Finder<'static>>;

fn parts(parts: &[&'static [u8]]) -> Parts {
    parts.iter().map(|part| Finder::new(*part)).collect()
}

static TRACES: LazyLock<Parts> = LazyLock::new(|| {
    parts(&[
        b"Traceback (most recent call last)",
        b"\tat java.",
        b"at org.springframework",
        b"Exception in thread",
        b"    at Object.<anonymous>",
        b"node_modules/",
        b"System.NullReferenceException",
        b"   at System.",
        b"goroutine 1 [running]",
        b"PHP Fatal error",
        b"Stack trace:",
        b"Whitelabel Error Page",
    ])
});
static DATABASE: LazyLock<Parts> = LazyLock::new(|| {
    parts(&[
        b"You have an error in your SQL syntax",
        b"SQLSTATE[",
        b"ORA-0",
        b"psycopg2.",
        b"SequelizeDatabaseError",
        b"SQLITE_ERROR",
        b"Unclosed quotation mark",
        b"org.hibernate.",
        b"com.mysql.jdbc",
    ])
});
