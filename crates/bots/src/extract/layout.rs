//! What the names of a head's fields say by themselves. It is kept, for the requests of one client have the same names in the same
//! order, again and again, and much the same values of those that negotiate.

use sidetap_model::Headers;
use sidetap_wire::auth;

use super::finder::Finder;
use super::headers::{Head, Name, Names};
use crate::hash::Mix;
use crate::observation::Traits;

/// Layouts of heads that were seen: one for each of so many hashes of names, the last that had it.
#[derive(Debug)]
pub(crate) struct Layouts {
    slots: Vec<Layout>,
    /// One that is too long to be kept.
    long: Layout,
}

/// The names of a head in their order, and all that they say.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Names as written, end to end.
    text: Vec<u8>,
    pub(super) fields: Vec<Known>,
    /// What names alone tell.
    pub(super) traits: Traits,
    pub(super) names: Names,
    order: u64,
    folded: Mix,
    asked: Asked,
}

/// What a field is by its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    end: u32,
    pub(super) what: What,
    /// What it may hold where its name is of no standard.
    pub(super) own: u8,
}

/// What the value of a field is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    Nothing,
    Host,
    Agent,
    Accept,
    Language,
    Encoding,
    Connection,
    ContentType,
    Brands,
    Mobile,
    Platform,
    FetchSite,
    FetchMode,
    FetchDest,
    FetchUser,
    Origin,
    Upgrade,
    Script,
    Referer,
    Cookie,
    Caching,
    Authorization,
    /// On whose behalf the request is made.
    Address,
}

impl Known {
    /// The id of a device.
    pub(super) const DEVICE: u8 = 1;
    /// A key, in a field that keys travel in.
    pub(super) const KEY: u8 = 2;
    /// A key in a field of the site's own naming (`X-Partner-Key`), which says who calls.
    pub(super) const OWN_KEY: u8 = 4;
}

impl Default for Layouts {
    fn default() -> Self {
        let mut slots = Vec::new();
        slots.resize_with(Self::SLOTS, Layout::default);
        Layouts { slots, long: Layout::default() }
    }
}

impl Layouts {
    const SLOTS: usize = 256;
    /// Fields of a head, and bytes of their names, whose layout is kept.
    const FIELDS: usize = 64;
    const TEXT: usize = 2048;

    /// The layout of these fields.
    pub(super) fn of(&mut self, headers: &Headers) -> &mut Layout {
        let (mut id, mut len) = (headers.len() as u64, 0);
        for (name, _) in headers.iter() {
            let ends = u64::from(name.first().copied().unwrap_or(0)) << 8
                | u64::from(name.last().copied().unwrap_or(0)) << 16;
            id = (id.rotate_left(5) ^ ends ^ name.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            len += name.len();
        }
        let short = headers.len() <= Self::FIELDS && len <= Self::TEXT;
        let slot = self.slots.get_mut((id >> 56) as usize).filter(|_| short);
        let layout = slot.unwrap_or(&mut self.long);
        if !layout.is_of(headers) {
            layout.read(headers);
        }
        layout
    }
}

impl Layout {
    fn is_of(&self, headers: &Headers) -> bool {
        let mut from = 0;
        // One that was not read yet has no fields either.
        !self.fields.is_empty()
            && self.fields.len() == headers.len()
            && headers.iter().zip(&self.fields).all(|((name, _), known)| {
                let to = known.end as usize;
                let own = self.text.get(from..to);
                from = to;
                own == Some(name)
            })
    }

    fn read(&mut self, headers: &Headers) {
        self.text.clear();
        self.fields.clear();
        self.asked.known = false;
        let mut reader = Reader {
            own: Mix::new(),
            folded: Mix::new(),
            singles: 0,
            traits: Traits::NONE,
            names: Names { sorted: true, ..Names::default() },
        };
        for (name, _) in headers.iter() {
            let (what, own) = reader.field(name);
            self.text.extend_from_slice(name);
            self.fields.push(Known { end: u32::try_from(self.text.len()).unwrap_or(u32::MAX), what, own });
        }
        self.traits = reader.traits;
        self.names = reader.names;
        self.order = reader.own.finish();
        self.folded = reader.folded;
    }

    /// The fingerprints of a head of this layout, but for what its languages add to them.
    pub(super) fn prints(&mut self, head: &mut Head<'_>) {
        let content_type = head.content_type.unwrap_or(b"-");
        let end = memchr::memchr(b';', content_type).unwrap_or(content_type.len());
        let media = content_type.get(..end).unwrap_or_default();
        let [accept, encoding, connection] =
            [head.accept, head.encoding, head.connection].map(|value| value.unwrap_or(b"-"));
        let values = [accept, encoding, connection, media];
        if !self.asked.is_of(&values) {
            self.asked.read(&values, self.order, self.folded);
        }
        head.prints.door = self.asked.door;
        head.prints.shape = self.asked.shape;
        head.prints.order = self.order;
        head.asked = self.asked.print;
    }
}

/// What the values of a head that negotiate come to: its `Accept`, `Accept-Encoding`, `Connection` and media type.
#[derive(Debug, Default)]
struct Asked {
    known: bool,
    values: [Vec<u8>; 4],
    door: u64,
    shape: u64,
    print: Mix,
}

impl Asked {
    /// Longer values are not kept.
    const LONGEST: usize = 512;

    fn is_of(&self, values: &[&[u8]; 4]) -> bool {
        self.known && self.values.iter().zip(values).all(|(own, value)| own == value)
    }

    fn read(&mut self, values: &[&[u8]; 4], order: u64, folded: Mix) {
        let [accept, encoding, connection, media] = *values;
        let mut door = folded;
        [accept, encoding, media].iter().for_each(|value| door.text(value));
        self.print = Mix::new();
        [accept, encoding, connection].iter().for_each(|value| self.print.text(value));
        let mut shape = self.print;
        shape.word(order);
        shape.text(media);
        (self.door, self.shape) = (door.finish(), shape.finish());
        self.known = values.iter().all(|value| value.len() <= Self::LONGEST);
        if self.known {
            for (own, value) in self.values.iter_mut().zip(values) {
                own.clear();
                own.extend_from_slice(value);
            }
        }
    }
}

/// A head being read by its names.
struct Reader {
    /// Names in their order: as written, and in lower case without those that are between two hops.
    own: Mix,
    folded: Mix,
    /// Fields that may stand once and were seen, a bit each.
    singles: u8,
    traits: Traits,
    names: Names,
}

impl Reader {
    fn field(&mut self, name: &[u8]) -> (What, u8) {
        let mut low = [0u8; 32];
        let Some(low) = low.get_mut(..name.len().min(32)) else { return (What::Nothing, 0) };
        for (to, from) in low.iter_mut().zip(name) {
            *to = from.to_ascii_lowercase();
        }
        self.names.note(name, low);
        let (mut code, mut own) = (Name::Other, 0);
        let (mut hop, mut volatile, mut single) = (false, false, 0);
        let what = match &*low {
            b"host" => {
                (code, single) = (Name::Host, 1);
                What::Host
            }
            b"user-agent" => {
                (code, single) = (Name::Agent, 2);
                What::Agent
            }
            b"accept" => {
                code = Name::Accept;
                What::Accept
            }
            b"accept-language" => {
                code = Name::Language;
                What::Language
            }
            b"accept-encoding" => {
                code = Name::Encoding;
                What::Encoding
            }
            b"connection" => {
                code = Name::Connection;
                What::Connection
            }
            b"content-type" => {
                single = 4;
                What::ContentType
            }
            b"sec-ch-ua" => What::Brands,
            b"sec-ch-ua-mobile" => What::Mobile,
            b"sec-ch-ua-platform" => What::Platform,
            b"sec-fetch-site" => What::FetchSite,
            b"sec-fetch-mode" => What::FetchMode,
            b"sec-fetch-dest" => What::FetchDest,
            b"sec-fetch-user" => {
                volatile = true;
                What::FetchUser
            }
            b"origin" => What::Origin,
            b"upgrade-insecure-requests" => What::Upgrade,
            b"x-requested-with" => What::Script,
            b"accept-charset" => self.tells(Traits::ACCEPT_CHARSET),
            b"keep-alive" => self.tells(Traits::KEEP_ALIVE_FIELD),
            b"x-http-method-override" | b"x-method-override" | b"x-http-method" => {
                own = self.own_field(low, name);
                self.tells(Traits::METHOD_OVERRIDE)
            }
            b"from" => self.tells(Traits::FROM),
            b"referer" => {
                self.traits.insert(Traits::REFERER);
                volatile = true;
                What::Referer
            }
            b"cookie" => {
                self.traits.set(Traits::COOKIE_TWICE, self.traits.has(Traits::COOKIE));
                self.traits.insert(Traits::COOKIE);
                volatile = true;
                What::Cookie
            }
            b"if-none-match" | b"if-modified-since" | b"if-match" | b"if-range" => {
                volatile = true;
                self.tells(Traits::CONDITIONAL)
            }
            b"cache-control" | b"pragma" => What::Caching,
            b"content-length" => {
                (volatile, single) = (true, 8);
                What::Nothing
            }
            b"transfer-encoding" => {
                (volatile, single) = (true, 16);
                What::Nothing
            }
            b"authorization" => {
                volatile = true;
                What::Authorization
            }
            b"expect" => {
                volatile = true;
                self.tells(Traits::EXPECT)
            }
            b"range" | b"date" | b"traceparent" | b"tracestate" | b"x-request-id" | b"x-correlation-id"
            | b"x-amzn-trace-id" | b"x-b3-traceid" | b"x-b3-spanid" => {
                volatile = true;
                What::Nothing
            }
            b"x-forwarded-for" | b"forwarded" => {
                (volatile, hop) = (true, true);
                self.traits.insert(Traits::FORWARDED_CLAIM);
                What::Address
            }
            b"x-real-ip" | b"true-client-ip" | b"cf-connecting-ip" => {
                (volatile, hop) = (true, true);
                What::Address
            }
            b"x-forwarded-proto" | b"x-forwarded-host" | b"x-forwarded-port" => {
                (volatile, hop) = (true, true);
                What::Nothing
            }
            b"via" | b"proxy-connection" | b"x-proxy-id" | b"proxy-authorization" => {
                volatile = *low == *b"via";
                self.tells(Traits::PROXY_LEAK)
            }
            b"x-client-ip"
            | b"x-originating-ip"
            | b"x-remote-ip"
            | b"x-remote-addr"
            | b"x-cluster-client-ip"
            | b"x-original-forwarded-for"
            | b"client-ip" => {
                own = self.own_field(low, name);
                What::Address
            }
            other => {
                own = self.own_field(other, name);
                What::Nothing
            }
        };
        self.traits.set(Traits::DUPLICATE, self.singles & single != 0);
        self.singles |= single;
        if !hop {
            self.names.push(code);
        }
        if !volatile {
            self.own.text(name);
            if !matches!(
                &*low,
                b"connection" | b"keep-alive" | b"proxy-connection" | b"te" | b"upgrade" | b"trailer"
            ) {
                self.folded.text(low);
            }
        }
        (what, own)
    }

    /// A field that says something by being there.
    const fn tells(&mut self, what: Traits) -> What {
        self.traits.insert(what);
        What::Nothing
    }

    fn own_field(&mut self, low: &[u8], name: &[u8]) -> u8 {
        let mut own = 0;
        PARTS.each(low, |part| match part {
            0..=5 => self.traits.insert(Traits::AUTOMATION_LEAK),
            6..=11 => self.traits.insert(Traits::SCANNER_LEAK),
            20.. => self.traits.insert(Traits::TOOL_FIELD),
            _ => own |= Known::DEVICE,
        });
        self.traits.set(Traits::UNDERSCORE_NAME, low.contains(&b'_'));
        if low.starts_with(b"x-") {
            self.traits.insert(Traits::APP_HEADERS);
        }
        let key = if auth::is_key_header(name) { Known::KEY } else { 0 };
        own | key | if is_own_key(name) { Known::OWN_KEY } else { 0 }
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

/// True of the name of a field that the site has a key in.
fn is_own_key(name: &[u8]) -> bool {
    const OTHERS: [&[u8]; 5] = [b"idempotency", b"websocket", b"cache", b"surrogate", b"request"];
    let tail = name.len().checked_sub(4).and_then(|at| name.get(at..)).unwrap_or_default();
    tail.eq_ignore_ascii_case(b"-key")
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
}

#[cfg(test)]
mod tests {
    use sidetap_model::{Body, Request, Version};

    use super::super::headers::read;
    use super::*;

    fn request(fields: &[(&str, &str)]) -> Request {
        let (method, target) = (b"GET".to_vec(), b"/".to_vec());
        let (headers, body) = (Headers::default(), Body::default());
        let mut request = Request { method, target, version: Version(1, 1), headers, body };
        fields.iter().for_each(|(n, v)| request.headers.push(n.as_bytes(), v.as_bytes()));
        request
    }

    #[test]
    fn a_head_reads_alike_whatever_was_read_before() {
        let long: Vec<(String, String)> = (0..80).map(|n| (format!("X-{n}"), n.to_string())).collect();
        let long: Vec<(&str, &str)> = long.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let accept = "a".repeat(600);
        let heads: [&[(&str, &str)]; 9] = [
            &[("Host", "a"), ("Accept", "*/*"), ("Cookie", "a=1"), ("X-Partner-Key", "0123456789abcdef")],
            &[("Host", "b"), ("Accept", "*/*"), ("Cookie", "b=2"), ("X-Partner-Key", "")],
            &[("Host", "a"), ("Accept", "text/html"), ("Cookie", "a=1"), ("X-Partner-Key", "x")],
            &[("host", "a"), ("accept", "*/*"), ("cookie", "a=1"), ("x-partner-key", "x")],
            &[("Host", "a"), ("Host", "a"), ("Cookie", "a"), ("Cookie", "b"), ("X-Device-Id", "01234567")],
            &[("X-Forwarded-For", "127.0.0.1"), ("X-Client-IP", "1.2.3.4"), ("X-Forwarded-Proto", "https")],
            &[("Accept", &accept), ("Content-Type", "text/plain; charset=utf-8")],
            &[],
            &long,
        ];
        let mut layouts = Layouts::default();
        for _ in 0..2 {
            for fields in heads.iter().chain(heads.iter().rev()) {
                let request = request(fields);
                let fresh = format!("{:?}", read(&request, &mut Layouts::default()));
                assert_eq!(format!("{:?}", read(&request, &mut layouts)), fresh);
            }
        }
    }

    #[test]
    fn names_that_hash_alike_are_told_apart() {
        let mut layouts = Layouts::default();
        let mut of = |name: &str| read(&request(&[(name, "x")]), &mut layouts).traits;
        // The same length, first and last letter.
        assert!(of("expect").has(Traits::EXPECT) && !of("exploit").has(Traits::EXPECT));
        assert!(!of("exract").has(Traits::EXPECT) && of("expect").has(Traits::EXPECT));
    }
}
