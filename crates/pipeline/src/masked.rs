//! Heads and bodies as evidence may show them: every value by way of the scanner, and what looks like a secret struck out.

use std::ops::Range;

use serde::Serialize;
use sidetap_model::{AnomalySet, Body, Exchange, HashKey, Headers};
use sidetap_sensitive::{Dir, Pack, Scanner};
use sidetap_wire::auth::is_credential_parameter;
use sidetap_wire::body::{self, Kind, Location, Scalar, Visitor, WalkLimits, WalkScratch};
use sidetap_wire::coding::{self, CodingLimits, CodingScratch};

use crate::persons::{self, Persons, words};
use crate::redact;
use crate::runs::runs_hidden;

/// Bytes of heads that are kept of a message.
const HEAD: usize = 2 << 10;
/// Bytes of a body that are kept, as sent.
const BODY: usize = 1 << 10;
/// Of that, what a coding may make of it.
const CODING: CodingLimits = CodingLimits { size: 4 << 10, ratio: 200, layers: 2, window: 18 };
const WALK: WalkLimits = WalkLimits { depth: 32, tokens: 120 };
/// Characters of one value.
const VALUE: usize = 240;

/// Both messages of an exchange as they were sent: what the ring of recent exchanges holds, and nothing else ever sees.
#[derive(Default)]
pub(crate) struct Raw {
    request: Option<Message>,
    response: Option<Message>,
}

struct Message {
    headers: Headers,
    body: Vec<u8>,
    whole: bool,
}

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Raw").finish_non_exhaustive()
    }
}

impl Raw {
    /// The beginning of both messages.
    pub(crate) fn of(ex: &Exchange) -> Self {
        Raw {
            request: ex.request.as_ref().map(|r| Message::of(&r.headers, &r.body)),
            response: ex.response.as_ref().map(|r| Message::of(&r.headers, &r.body)),
        }
    }

    /// Bytes it takes.
    pub(crate) fn heap_bytes(&self) -> usize {
        let of = |m: &Message| {
            m.body.capacity() + m.headers.iter().map(|(n, v)| n.len() + v.len() + 16).sum::<usize>()
        };
        self.request.as_ref().map_or(0, of) + self.response.as_ref().map_or(0, of) + size_of::<Raw>()
    }
}

impl Raw {
    /// Whether this is so of a value in the heads, or of a body's beginning.
    pub(crate) fn has(&self, is: impl Fn(&[u8]) -> bool) -> bool {
        let mut messages = self.request.iter().chain(&self.response);
        messages.any(|m| is(&m.body) || m.headers.iter().any(|(_, value)| is(value)))
    }
}

impl Message {
    fn of(headers: &Headers, body: &Body) -> Self {
        let mut kept = Headers::with_capacity(headers.len().min(64), HEAD);
        let mut room = HEAD;
        for (name, value) in headers.iter() {
            let Some(left) = room.checked_sub(name.len() + value.len()) else { continue };
            room = left;
            kept.push(name, value);
        }
        let certain = body.gap_at.map_or(body.bytes.len(), |at| at as usize).min(body.bytes.len());
        let bytes = body.bytes.get(..certain.min(BODY)).unwrap_or_default();
        Message { headers: kept, body: bytes.to_vec(), whole: bytes.len() as u64 == body.len }
    }
}

/// Both messages, masked.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Shown {
    pub(crate) request: Option<Part>,
    pub(crate) response: Option<Part>,
}

/// One message, masked.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Part {
    pub(crate) headers: Vec<(String, String)>,
    /// A line a value, by its place: `$.user.name: ***`.
    pub(crate) content: Option<String>,
}

/// Masks messages.
pub(crate) struct Masker {
    scanner: Scanner,
    coding: CodingScratch,
    walk: WalkScratch,
}

impl std::fmt::Debug for Masker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Masker").finish_non_exhaustive()
    }
}

impl Masker {
    /// One with these types of sensitive data.
    pub(crate) fn new(pack: &std::sync::Arc<Pack>, key: HashKey) -> Self {
        Masker {
            scanner: Scanner::new(pack, key),
            coding: CodingScratch::default(),
            walk: WalkScratch::default(),
        }
    }

    /// What may be shown of both messages.
    pub(crate) fn show(&mut self, raw: &Raw) -> Shown {
        Shown {
            request: raw.request.as_ref().map(|m| self.part(m, Dir::Request)),
            response: raw.response.as_ref().map(|m| self.part(m, Dir::Response)),
        }
    }

    fn part(&mut self, message: &Message, direction: Dir) -> Part {
        let fields = message.headers.iter();
        let headers = fields.map(|(n, v)| (lossy(n), self.field(&lossy(n), v))).collect();
        Part { headers, content: self.body(message, direction) }
    }

    fn field(&mut self, name: &str, value: &[u8]) -> String {
        let text = lossy(value);
        let lower = name.to_ascii_lowercase();
        match lower.as_str() {
            "authorization" | "proxy-authorization" => match text.split_once(' ') {
                Some((scheme, _))
                    if scheme.len() <= 16 && scheme.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-') =>
                {
                    format!("{scheme} ***")
                }
                _ => "***".to_owned(),
            },
            "cookie" => cookies(&text, usize::MAX),
            "set-cookie" => cookies(&text, 1),
            "user-agent" => lossy(&redact::agent(&mut self.scanner, value)),
            "referer" | "origin" | "location" | "content-location" => {
                lossy(redact::target(&mut self.scanner, b"GET", value).as_deref().unwrap_or(value))
            }
            lower if DESCRIBING.contains(&lower) => {
                cut(redact::text(&mut self.scanner, "", &text).unwrap_or(text))
            }
            _ => match self.value(name, &text) {
                shown if shown == text && persons::is_personal(self.scanner.pack(), name) => "***".to_owned(),
                shown => shown,
            },
        }
    }

    fn body(&mut self, message: &Message, direction: Dir) -> Option<String> {
        let (headers, mut ignored) = (&message.headers, AnomalySet::default());
        let bytes = coding::decode(headers, &message.body, &CODING, &mut self.coding, &mut ignored);
        let content_type = headers.get("content-type");
        let kind = body::kind_of(content_type, bytes);
        if matches!(kind, Kind::Empty | Kind::Binary) {
            return None;
        }
        let mut seen = Values::default();
        self.scanner.begin(direction);
        let walked =
            body::walk(kind, content_type, bytes, &WALK, &mut self.walk, &mut (&mut self.scanner, &mut seen));
        let sensitive: Vec<String> =
            self.scanner.take().into_iter().filter(|s| !self.may_show(s.kind)).map(|s| s.location).collect();
        let whole = message.whole && walked.complete && !walked.malformed;
        // A value that was cut could be a secret that nobody can tell any more.
        let cut_at = if whole { None } else { seen.0.pop().map(|v| v.path) };
        let pack = std::sync::Arc::clone(self.scanner.pack());
        let places = seen.0.iter().map(|v| (&*v.path, &*v.key));
        let persons = Persons::of(&pack, places, cut_at.as_deref());
        let mut out = String::new();
        for value in &seen.0 {
            let shown = match self.value(&value.key, &value.text) {
                shown
                    if shown == value.text
                        && (sensitive.contains(&value.path)
                            || value.is_text && persons.names(&value.path, &value.key, &shown)) =>
                {
                    "***".to_owned()
                }
                shown => shown,
            };
            let place = self.value("", &value.path);
            out.push_str(&format!("{place}: {shown}\n"));
        }
        if !whole {
            out.push_str("…\n");
        }
        Some(out)
    }

    fn may_show(&self, kind: sidetap_sensitive::TypeId) -> bool {
        self.scanner.pack().get(kind).is_some_and(|t| redact::is_shown(&t.id))
    }

    /// A value under a name: struck out where the name says that it is private, else masked where it holds what is.
    fn value(&mut self, name: &str, text: &str) -> String {
        if is_private(name) && !text.is_empty() {
            return "***".to_owned();
        }
        let masked = redact::text(&mut self.scanner, name, text).unwrap_or_else(|| text.to_owned());
        let masked = if masked.contains([':', '=']) { self.named_in(&masked) } else { masked };
        cut(runs_hidden(&masked))
    }

    /// A text with values that stand behind a name of their own in it (`dni: …`, `token=…`) masked as of that name.
    fn named_in(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let parts = || text.split_inclusive([',', ';', '\n', '&']);
        let before = |part: &str| part.split([':', '=']).next().map(str::len).filter(|at| *at < part.len());
        let words_before = parts().filter_map(|p| p.get(..before(p)?));
        let about = words_before.filter_map(|word| persons::sign_of(self.scanner.pack(), word)).max();
        for part in parts() {
            let Some((at, sign)) = part.match_indices([':', '=']).next() else {
                out.push_str(part);
                continue;
            };
            let (name, value) =
                (part.get(..at).unwrap_or_default(), part.get(at + sign.len()..).unwrap_or_default());
            let bare =
                value.trim_matches(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '&' | '"' | '\''));
            let word = name.trim().trim_matches(['"', '\'']);
            let hidden = match bare.is_empty() || word.is_empty() {
                true => None,
                false if is_private(word) => Some("***".to_owned()),
                false if about.is_some() && persons::names(self.scanner.pack(), about, word, bare) => {
                    Some("***".to_owned())
                }
                false => redact::text(&mut self.scanner, word, bare),
            };
            out.push_str(name);
            out.push_str(sign);
            match hidden {
                Some(hidden) => out.push_str(&value.replacen(bare, &hidden, 1)),
                None => out.push_str(value),
            }
        }
        out
    }
}

/// Header fields that describe the message.
const DESCRIBING: [&str; 20] = [
    "host",
    "accept",
    "accept-language",
    "accept-encoding",
    "connection",
    "content-type",
    "content-length",
    "content-encoding",
    "cache-control",
    "date",
    "expires",
    "last-modified",
    "vary",
    "server",
    "transfer-encoding",
    "pragma",
    "via",
    "allow",
    "upgrade-insecure-requests",
    "content-language",
];

/// Words of names whose values are accounts, credentials or sessions.
const PRIVATE_WORDS: [&str; 46] = [
    "pass",
    "password",
    "passwd",
    "passphrase",
    "phrase",
    "passcode",
    "pwd",
    "pw",
    "secret",
    "token",
    "tok",
    "refresh",
    "auth",
    "authorization",
    "bearer",
    "credential",
    "credentials",
    "session",
    "sess",
    "sid",
    "otp",
    "pin",
    "cvv",
    "cvc",
    "ssn",
    "user",
    "username",
    "login",
    "account",
    "email",
    "mail",
    "phone",
    "msisdn",
    "mobile",
    "cookie",
    "key",
    "apikey",
    "signature",
    "sig",
    "iban",
    "card",
    "pan",
    "csrf",
    "xsrf",
    "jwt",
    "nonce",
];

/// Words that say so in whatever word they stand.
const PRIVATE_PARTS: [&str; 7] = ["passw", "secret", "token", "credential", "session", "apikey", "username"];

/// True where a name, or a word of it, says that its value is private.
fn is_private(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    if PRIVATE_PARTS.iter().any(|p| lower.contains(p)) {
        return true;
    }
    is_credential_parameter(name.as_bytes())
        || redact::is_private_name(name)
        || words(name).any(|w| PRIVATE_WORDS.iter().any(|p| w.eq_ignore_ascii_case(p)))
}

/// Cookies by name; of the first `values` of them the values are struck out, what follows are attributes.
fn cookies(text: &str, values: usize) -> String {
    let shown = text.split(';').enumerate().map(|(n, cookie)| {
        let (name, value) = cookie.trim().split_once('=').unwrap_or(("", cookie.trim()));
        match value {
            "" => runs_hidden(name),
            _ if n < values => format!("{}=***", runs_hidden(name)),
            _ if name.is_empty() => runs_hidden(value),
            _ => format!("{name}={}", runs_hidden(value)),
        }
    });
    cut(shown.collect::<Vec<_>>().join("; "))
}

fn cut(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(VALUE) {
        text.truncate(at);
        text.push('…');
    }
    text
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The values of a body, by place.
#[derive(Default)]
struct Values(Vec<Value>);

struct Value {
    path: String,
    key: String,
    text: String,
    is_text: bool,
}

impl Visitor for Values {
    fn scalar(&mut self, at: &Location<'_>, value: Scalar<'_>, _: Range<usize>) {
        let is_text = matches!(value, Scalar::Str(_));
        let text = match value {
            Scalar::Str(text) | Scalar::Num(text) => text.to_owned(),
            Scalar::Bool(value) => value.to_string(),
            Scalar::Null => "null".to_owned(),
        };
        self.0.push(Value { path: at.path(), key: at.key.to_owned(), text, is_text });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn masker() -> Masker {
        Masker::new(&Arc::new(Pack::builtin().unwrap()), HashKey::from_bytes([1; 16]))
    }

    fn message(headers: &[(&str, &str)], body: &str) -> Message {
        let mut h = Headers::default();
        headers.iter().for_each(|(n, v)| h.push(n.as_bytes(), v.as_bytes()));
        let body = Body { bytes: body.as_bytes().to_vec(), len: body.len() as u64, gap_at: None };
        Message::of(&h, &body)
    }

    fn shown(headers: &[(&str, &str)], body: &str) -> String {
        let part = masker().part(&message(headers, body), Dir::Request);
        format!("{:?}\n{}", part.headers, part.content.unwrap_or_default())
    }

    #[test]
    fn no_type_of_sensitive_data_gets_through_in_whatever_it_stands() {
        let pack = Arc::new(Pack::builtin().unwrap());
        let all: Vec<_> = (0..u16::MAX).map_while(|n| pack.get(sidetap_sensitive::TypeId(n))).collect();
        assert!(all.len() > 40);
        let json = |v: &str| serde_json::to_string(v).unwrap();
        let mut through = Vec::new();
        for kind in all.iter().filter(|k| !redact::is_shown(&k.id)) {
            for example in &kind.examples.find {
                let (key, value) = example.split_once(": ").unwrap_or(("", example));
                let name = if key.is_empty() { "note" } else { key };
                let bodies = [
                    ("application/json", format!("{{\"a\":{{{}:{}}}}}", json(name), json(value))),
                    ("application/json", format!("[{{{}:{}}}", json(name), json(value))),
                    ("text/plain", format!("{name}: {value}\n")),
                ];
                let cased = bodies.iter().map(|(t, body)| shown(&[("Content-Type", t)], body));
                let field =
                    std::iter::once(shown(&[(&format!("X-{}", name.replace([' ', '_'], "-")), value)], ""));
                for out in cased.chain(field) {
                    if value.len() >= 6 && out.contains(value) {
                        through.push(format!("{}: {example} is shown as {out}", kind.id));
                    }
                }
            }
        }
        assert!(through.is_empty(), "{} of them:\n{}", through.len(), through.join("\n"));
    }

    #[test]
    fn credentials_sessions_and_accounts_are_struck_out() {
        assert!(is_private("refresh") && is_private("phrase"));
        let secrets = [
            shown(
                &[("Authorization", "Bearer hunter2hunter"), ("Cookie", "sid=hunter2hunter; theme=hunter2b")],
                "",
            ),
            shown(
                &[("Set-Cookie", "sid=hunter2hunter; Path=/; HttpOnly"), ("X-Api-Key", "hunter2hunter")],
                "",
            ),
            shown(
                &[("Content-Type", "application/x-www-form-urlencoded")],
                "userName=hunter2hunter&pass=hunter2hunter",
            ),
            shown(
                &[("Content-Type", "application/json")],
                r#"{"auth":{"refreshToken":"hunter2hunter"},"n":"{\"password\":\"hunter2hunter\"}"}"#,
            ),
            shown(&[("Content-Type", "text/xml")], "<a><password>hunter2hunter</password></a>"),
            shown(&[("Referer", "https://h.example/?password=hunter2hunter")], ""),
        ];
        for out in &secrets {
            assert!(!out.contains("hunter2") && out.contains("***"), "{out}");
        }
        assert!(secrets[0].contains("Bearer ***") && secrets[0].contains("theme=***"), "{}", secrets[0]);
        assert!(secrets[1].contains("HttpOnly"), "{}", secrets[1]);
    }

    #[test]
    fn persons_are_not_named_and_things_are() {
        let json = |body: &str| shown(&[("Content-Type", "application/json")], body);
        let form = |body: &str| shown(&[("Content-Type", "application/x-www-form-urlencoded")], body);
        for (named, out) in [
            ("Doe", json(r#"{"email":"a@b.example","name":"Jo Doe","newsletter":true}"#)),
            ("doe", json(r#"{"customers":[{"no":0,"name":"jo doe"}]}"#)),
            ("doe", json(r#"{"patients":[{"attributes":{"name":"jo doe"}}]}"#)),
            ("doe", json(r#"{"user":{"id":3,"data":{"name":"jo doe"}}}"#)),
            ("Doe", json(r#"{"displayName":"Jo Doe","tier":"blue"}"#)),
            ("Doe", json(r#"{"name":"Jo Doe","ship":{"phone":"+44 20 7946 0958","city":"Dunmere"}}"#)),
            ("Dunmere", json(r#"{"ship":{"phone":"+44 20 7946 0958","city":"Dunmere"}}"#)),
            ("Santos", json(r#"{"card":{"pan":"4111111111111111","holder":"Vera Santos"}}"#)),
            ("Quist", json(r#"[{"name":"M. Quist","iban":"DE89370400440532013000"}]"#)),
            ("Weiss", json(r#"{"host":{"name":"Oskar Weiss","mail":"o@b.example"}}"#)),
            ("李雷", json(r#"{"fullName":"李雷"}"#)),
            ("doe", form("name=jo+doe&email=a%40b.example")),
            (
                "doe",
                shown(&[("Content-Type", "text/xml")], "<a><Customer><Name>jo doe</Name></Customer></a>"),
            ),
            (
                "Doe",
                json(r#"{"query":"mutation { join(name: \"Jo Doe\", email: \"a@b.example\") { id } }"}"#),
            ),
            ("doe", shown(&[("X-Customer-Name", "jo doe")], "")),
            ("doe", shown(&[("Referer", "https://h.example/?name=jo+doe&email=a%40b.example")], "")),
            ("Jo", json(r#"{"items":[{"name":"Jo Doe","email":"a@b.example"}]}"#)),
            ("doe", json(r#"{"services":[{"name":"jo doe","date_of_birth":"1964-05-14"}]}"#)),
            ("Doe", json(r#"{"name":"Jo Doe","phone":"+44 20 7946 0958"}"#)),
            ("Jo", json(r#"{"name":{"first":"Jo","last":"Doe"},"email":"a@b.example"}"#)),
            ("Doe", json(r#"{"name":[{"family":"Doe","given":["Jo","Ann"]}]}"#)),
            ("Ann", json(r#"{"name":[{"family":"Doe","given":["Jo","Ann"]}]}"#)),
            ("Jo", json(r#"{"forename":"Jo"}"#)),
            ("Jo", json(r#"{"fname":"Jo"}"#)),
            ("山田", json(r#"{"displayName":"山田 太郎"}"#)),
            ("Silva", json(r#"{"displayName":"Ana dos Santos Silva"}"#)),
            ("Berlin", json(r#"{"user":{"email":"a@b.example","address":{"city":"Berlin"}}}"#)),
            ("Dunmere", shown(&[("Referer", "https://h.example/?email=a%40b.example&city=Dunmere")], "")),
            ("Doe", shown(&[("Referer", "https://h.example/?displayName=Jo+Doe")], "")),
            ("Doe", json(&format!("{{\"name\":\"Jo Doe\",\"bio\":\"{}\"}}", "x".repeat(BODY)))),
        ] {
            assert!(!out.contains(named) && out.contains("***"), "{named}: {out}");
        }
        for (thing, out) in [
            ("Blue shoe", json(r#"{"name":"Blue shoe","price":3}"#)),
            ("Blue shoe", json(r#"{"customer":{"orders":[{"items":[{"name":"Blue shoe"}]}]}}"#)),
            ("Gullhaven", json(r#"{"stores":[{"name":"Gullhaven","phone":"+44 20 7946 0958"}]}"#)),
            ("Gold", json(r#"{"user":{"email":"a@b.example","plan":{"name":"Gold"}}}"#)),
            ("cat.png", json(r#"{"email":"a@b.example","file_name":"cat.png"}"#)),
            ("iPhone", json(r#"{"name":"iPhone","mic":false}"#)),
            ("screen", json(r#"{"events":[{"name":"screen","at":3}],"email":"a@b.example"}"#)),
            (
                "Pizza Roma",
                json(r#"{"results":[{"name":"Pizza Roma","address":"Via 1","phone":"+39 06 1234 5678"}]}"#),
            ),
            ("iPhone 14", json(r#"{"name":"iPhone 14","mobile":true}"#)),
            ("prod-cluster", json(r#"{"name":"prod-cluster","account":"1234"}"#)),
            ("editor", json(r#"{"userRole":{"name":"editor"}}"#)),
            ("silver", json(r#"{"customerPlan":{"name":"silver"}}"#)),
            ("Chrome", json(r#"{"userAgent":{"name":"Chrome"}}"#)),
            ("newsletter", json(r#"{"contact_form_name":"newsletter"}"#)),
            ("nvme", json(r#"{"driver_name":"nvme"}"#)),
            ("cat.png", json(r#"{"fname":"cat.png"}"#)),
            ("true", json(r#"{"dry_run":"true"}"#)),
            ("5.9", json(r#"{"swift_version":"5.9"}"#)),
            ("north", json(r#"{"name":"north","run":"17"}"#)),
            ("GB", shown(&[("CF-IPCountry", "GB")], "")),
            ("8f2a", shown(&[("CF-Ray", "8f2a-LHR")], "")),
            ("r-17", shown(&[("X-Run-Id", "r-17")], "")),
            ("name=shoe", shown(&[("Referer", "https://h.example/?name=shoe&sort=name")], "")),
        ] {
            assert!(out.contains(thing), "{thing}: {out}");
        }
    }

    #[test]
    fn what_was_cut_is_not_shown_to_its_last_bit() {
        let long = format!("{{\"a\":\"{}\",\"card\":\"4111111111111111\"}}", "x".repeat(BODY - 25));
        let out = shown(&[("Content-Type", "application/json")], &long);
        assert!(!out.contains("4111") && out.ends_with("…\n"), "{out}");
    }

    #[test]
    fn what_says_what_was_asked_stays() {
        let out = shown(
            &[
                ("Content-Type", "application/json"),
                ("User-Agent", "curl/8.5.0"),
                ("X-Forwarded-For", "203.0.113.9"),
            ],
            r#"{"sku":"A-17","amount":3,"gift":true,"note":"two of them"}"#,
        );
        for part in [
            "application/json",
            "curl/8.5.0",
            "203.0.113.9",
            "$.sku: A-17",
            "$.amount: 3",
            "$.gift: true",
            "two of them",
        ] {
            assert!(out.contains(part), "{part} is not in {out}");
        }
    }
}
