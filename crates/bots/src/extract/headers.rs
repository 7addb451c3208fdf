//! The head of a request: header fingerprints and what is odd about it.

use sidetap_model::{Headers, Request};
use sidetap_wire::auth::{self, Credential};
use smallvec::SmallVec;

use super::layout::{Known, Layouts, What};
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
    /// What its values that negotiate come to, languages apart.
    pub(super) asked: Mix,
    pub(super) names: Names,
}

/// The first names of a head, as codes, for the order checks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Names {
    pub(super) list: [Name; 8],
    pub(super) len: usize,
    pub(super) all: u32,
    pub(super) lower: u32,
    pub(super) title: u32,
    pub(super) sorted: bool,
    pub(super) last: u64,
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
pub(crate) fn read<'a>(request: &'a Request, layouts: &mut Layouts) -> Head<'a> {
    let layout = layouts.of(&request.headers);
    let mut head = Head { traits: layout.traits, names: layout.names, ..Head::default() };
    for ((name, value), known) in request.headers.iter().zip(&layout.fields) {
        field(&mut head, known, name, value);
    }
    let state_changing = !matches!(request.method.as_slice(), b"GET" | b"HEAD" | b"OPTIONS");
    let json = head.content_type.is_some_and(|t| t.starts_with(b"application/json"));
    layout.prints(&mut head);
    finish(&mut head, request, state_changing && json);
    head
}

/// Takes in what the value of a field says beyond its name.
fn field<'a>(head: &mut Head<'a>, known: &Known, name: &'a [u8], value: &'a [u8]) {
    head.traits.set(Traits::FIELD_EMPTY, value.is_empty());
    match known.what {
        What::Nothing => {}
        What::Host => head.host = value,
        What::Agent => head.agent = Some(value),
        What::Accept => head.accept = Some(value),
        What::Language => head.language = Some(value),
        What::Encoding => head.encoding = Some(value),
        What::Connection => head.connection = Some(value),
        What::ContentType => head.content_type = Some(value),
        What::Brands => head.brands = Some(value),
        What::Mobile => head.mobile = Some(value),
        What::Platform => head.hint_platform = Some(value),
        What::FetchSite => head.fetch_site = Some(value),
        What::FetchMode => head.fetch_mode = Some(value),
        What::FetchDest => head.fetch_dest = Some(value),
        What::FetchUser => head.fetch_user = true,
        What::Origin => head.origin = Some(value),
        What::Upgrade => head.upgrade = true,
        What::Script => head.by_script = value == b"XMLHttpRequest",
        What::Referer => head.referer = Some(value),
        What::Cookie => head.cookies.push(value),
        What::Caching => head.traits.set(Traits::NO_CACHE, value.eq_ignore_ascii_case(b"no-cache")),
        What::Authorization if head.credentials.len() < auth::MOST => {
            head.credentials.extend(auth::authorization(name, value));
        }
        What::Authorization => {}
        What::Address => {
            head.forwards = head.forwards.saturating_add(1);
            head.traits.set(Traits::FORWARDED_LOCAL, names_itself(value));
        }
    }
    if known.own != 0 {
        own_field(head, known.own, name, value);
    }
}

fn own_field<'a>(head: &mut Head<'a>, own: u8, name: &'a [u8], value: &'a [u8]) {
    if own & Known::DEVICE != 0 && value.len() >= 8 {
        head.device = Some(value);
    }
    if own & Known::KEY != 0 && head.credentials.len() < auth::MOST {
        head.credentials.extend(auth::key_field(name, value));
    }
    if own & Known::OWN_KEY != 0 && head.own_key.is_none() && is_key(value) {
        head.own_key = Some(value);
    }
}

/// True where a value may be a key.
fn is_key(value: &[u8]) -> bool {
    (16..=256).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic)
}

impl Names {
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

fn finish(head: &mut Head<'_>, request: &Request, json_call: bool) {
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
    /// Adds what its languages are like (see [`language_shape`]) to what the head negotiates.
    pub(super) fn negotiate(&mut self, languages: u64) {
        let there = [
            self.language.is_some(),
            self.brands.is_some(),
            self.mobile.is_some(),
            self.hint_platform.is_some(),
            self.fetch_site.is_some(),
            self.fetch_mode.is_some(),
            self.fetch_dest.is_some(),
            self.upgrade,
        ];
        let there = there.iter().fold(0, |bits, there| bits << 1 | u64::from(*there));
        let mut asked = self.asked;
        asked.word(there << 32 | languages);
        self.prints.negotiation = asked.finish();
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

/// How languages are written: what stands between them, the weights and whether countries stand beside them, not which
/// languages they are.
pub(super) fn language_shape(value: &[u8]) -> u64 {
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
