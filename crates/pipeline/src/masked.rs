//! Heads and bodies as evidence may show them: every value by way of the scanner, and what looks like a secret struck out.

use std::ops::Range;

use serde::Serialize;
use sidetap_model::{AnomalySet, HashKey};
use sidetap_sensitive::{Dir, Pack, Scanner};
use sidetap_threats::Proof;
use sidetap_wire::auth::is_credential_parameter;
use sidetap_wire::body::{self, Kind, Location, Scalar, Visitor, WalkLimits, WalkScratch};
use sidetap_wire::coding::{self, CodingLimits, CodingScratch};

use crate::about::about;
use crate::persons::{self, Persons, words};
use crate::raw::{Message, Raw};
use crate::redact;
use crate::runs::runs_hidden;

/// What a coding may make of the part of a body that is kept.
const CODING: CodingLimits = CodingLimits { size: 4 << 10, ratio: 200, layers: 2, window: 18 };
const WALK: WalkLimits = WalkLimits { depth: 32, tokens: 120 };
/// Characters of one value.
const VALUE: usize = 240;

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
    /// What of a request is an attack and is not seen in that, a line a place.
    pub(crate) attacks: Vec<String>,
}

impl Part {
    /// Adds them to a message of an exchange, and its body.
    pub(crate) fn add_to(self, message: &mut serde_json::Map<String, serde_json::Value>) {
        message.insert("headers".to_owned(), serde_json::json!(self.headers));
        if !self.attacks.is_empty() {
            message.insert("attacks".to_owned(), self.attacks.into());
        }
        if let (Some(content), Some(body)) =
            (self.content, message.get_mut("body").and_then(|b| b.as_object_mut()))
        {
            body.insert("content".to_owned(), content.into());
        }
    }
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

    /// What may be shown of both messages; of the first one `target` is.
    pub(crate) fn show(&mut self, raw: &Raw, target: &str) -> Shown {
        let mut request = raw.request.as_ref().map(|m| self.part(m, Dir::Request, &[]));
        if let Some(part) = &mut request {
            part.attacks = self.attacks(&raw.signs, part, target);
        }
        Shown { request, response: raw.response.as_ref().map(|m| self.part(m, Dir::Response, &raw.proofs)) }
    }

    /// What of a request is an attack and stands where nothing is shown of it: far in a long value or body, in a long target.
    fn attacks(&mut self, signs: &[Proof], of: &Part, target: &str) -> Vec<String> {
        let target = target.replace('+', " ");
        let mut lines = Vec::new();
        for sign in signs {
            let field = sign.location.strip_prefix("header:");
            let is_field = |name: &str| field.is_some_and(|field| name.eq_ignore_ascii_case(field));
            let seen = match field {
                // What is struck out there stays so.
                Some("authorization" | "proxy-authorization" | "cookie" | "set-cookie") => true,
                Some(_) => of.headers.iter().any(|(name, value)| is_field(name) && sign.is_in(value)),
                None => sign.is_in(of.content.as_deref().unwrap_or_default()) || sign.is_in(&target),
            };
            if !seen && let Some(shown) = self.around(sign) {
                lines.push(format!("{}: {shown}", self.value("", &sign.location)));
            }
        }
        lines
    }

    /// The part with what stands around it; by itself where that is struck out as a whole, and nothing where it is too.
    fn around(&mut self, proof: &Proof) -> Option<String> {
        let (name, part) = (&proof.name, proof.part());
        if persons::is_personal(self.scanner.pack(), name) {
            return None;
        }
        about(&self.masked(name, &proof.text), part, VALUE, proof.cut)
            .or_else(|| about(&self.masked(name, part), part, VALUE, (true, true)))
    }

    fn part(&mut self, message: &Message, direction: Dir, proofs: &[Proof]) -> Part {
        let fields = message.headers.iter();
        let headers = fields.map(|(n, v)| (lossy(n), self.field(&lossy(n), v))).collect();
        let mut content = self.body(message, direction);
        // A page is one value, of which the beginning says little, or that breaks off before it.
        for proof in proofs {
            let line = self.proof(proof, content.as_deref().unwrap_or_default());
            content = line.map(|line| content.take().unwrap_or_default() + &line).or(content);
        }
        Part { headers, content, attacks: Vec::new() }
    }

    /// What proves something, by its place, unless it is seen there already or nothing there may be shown.
    fn proof(&mut self, proof: &Proof, known: &str) -> Option<String> {
        let place = self.value("", &proof.location);
        let hidden = format!("{place}: ***\n");
        if known.contains(proof.part()) || known.contains(&hidden) {
            return None;
        }
        Some(self.around(proof).map_or(hidden, |shown| format!("{place}: {shown}\n")))
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
        cut(self.masked(name, text))
    }

    fn masked(&mut self, name: &str, text: &str) -> String {
        if is_private(name) && !text.is_empty() {
            return "***".to_owned();
        }
        let masked = redact::text(&mut self.scanner, name, text).unwrap_or_else(|| text.to_owned());
        let masked = if masked.contains([':', '=']) { self.named_in(&masked) } else { masked };
        runs_hidden(&masked)
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
mod tests;
