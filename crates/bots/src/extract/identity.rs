//! Who asks: sessions, keys and accounts that a request shows.

use sidetap_model::{HashKey, Response};
use smallvec::SmallVec;

use sidetap_wire::auth::{Credential, is_session_header};
use sidetap_wire::cookies;
use sidetap_wire::names::NameSet;

use super::Extractor;
use super::headers::Head;
use crate::hash;
use crate::observation::{Gives, Observation, Token, Traits};
use crate::role::Roles;

impl Extractor {
    pub(super) fn identities(&mut self, o: &mut Observation, head: &Head<'_>) {
        for credential in &head.credentials {
            match credential {
                Credential::Basic { user } => {
                    o.traits.insert(Traits::KEYED);
                    o.account = Some(self.key.hash64("account", user));
                }
                Credential::Bearer(token) | Credential::Jwt(token) => {
                    if is_placeholder(token) {
                        continue;
                    }
                    o.traits.insert(Traits::SESSION);
                    o.traits.set(Traits::JWT_UNSIGNED, token.ends_with(b".") && token.starts_with(b"eyJ"));
                    push(&mut o.sessions, Token::of(&self.key, "session", token, true));
                }
                Credential::ApiKey { name, value } if is_session_header(name) => {
                    if !is_placeholder(value) {
                        o.traits.insert(Traits::SESSION);
                        push(&mut o.sessions, Token::of(&self.key, "session", value, true));
                    }
                }
                Credential::ApiKey { value, .. } => {
                    o.traits.insert(Traits::KEYED);
                    o.api_key = Some(Token::of(&self.key, "api-key", value, true));
                }
                Credential::Signature | Credential::Digest => o.traits.insert(Traits::KEYED),
                Credential::Other => {}
            }
        }
        if o.api_key.is_none()
            && let Some(value) = head.own_key
        {
            o.traits.insert(Traits::KEYED);
            o.api_key = Some(Token::of(&self.key, "api-key", value, true));
        }
        self.cookies(o, &head.cookies);
        if o.operation.is_some()
            && let Some(session) = self.request.arguments.session.take()
        {
            o.traits.insert(Traits::SESSION);
            push(&mut o.sessions, Token::of(&self.key, "session", session.as_bytes(), true));
        }
        if let Some(device) = head.device {
            push(&mut o.sessions, Token::of(&self.key, "session", device, false));
        }
        if let Some(account) = self.request.account.as_deref() {
            self.text.clear();
            self.text.extend(account.trim().chars().flat_map(char::to_lowercase));
            o.account = Some(self.key.hash64("account", self.text.as_bytes()));
        }
    }

    /// The sessions among the cookies of a request, and a print of their names.
    fn cookies(&mut self, o: &mut Observation, fields: &[&[u8]]) {
        if fields.is_empty() {
            return;
        }
        let jar = self.jars.of(fields, &self.key);
        for token in &jar.sessions {
            o.traits.insert(Traits::SESSION);
            push(&mut o.sessions, *token);
        }
        o.prints.cookies = jar.print;
    }

    /// What may be credentials, where nothing says what a call is for, and what was given for them.
    pub(super) fn gives(&self, o: &Observation, acts: bool, answer: Option<&Response>) -> Option<Box<Gives>> {
        let other = Roles(Roles::SENSITIVE.0 | Roles::POSTING.0 | Roles::VOTE.0 | Roles::TELEMETRY.0);
        if !acts
            || o.roles.any(other)
            || o.sessions
                .iter()
                .any(|t| t.login && o.traits.has(Traits::SESSION) && !o.traits.has(Traits::COOKIE))
        {
            return None;
        }
        let (account, secret) = self.request.two_texts()?;
        let folded = account.trim().to_lowercase();
        let mut gives = Gives {
            account: self.key.hash64("account", folded.as_bytes()),
            secret: self.key.hash64("secret", secret.as_bytes()),
            ..Gives::default()
        };
        let session = |value: &[u8]| Token::of(&self.key, "session", value, true).hash;
        let Some(answer) = answer.filter(|a| (200..400).contains(&a.status)) else {
            return Some(Box::new(gives));
        };
        gives.tokens.extend(self.answer.gifts.iter().map(|g| session(g.as_bytes())));
        // Sites give every newcomer a cookie: it counts where there was one before.
        if o.traits.has(Traits::COOKIE) {
            let set = answer.headers.all("set-cookie").filter_map(cookies::set_in).filter(|c| !c.removed);
            let given = set.filter(|c| cookies::is_session(c.name, c.value));
            gives.tokens.extend(given.take(2).map(|c| session(c.value)));
        }
        Some(Box::new(gives))
    }

    /// An API key in the query: partners of old have theirs there.
    pub(super) fn query_key(&self, o: &mut Observation, query: Option<&str>) {
        let key = query.and_then(|q| {
            q.split('&')
                .take(32)
                .filter_map(|p| p.split_once('='))
                .find(|(n, v)| is_key(&sidetap_wire::target::percent_decoded(n.as_bytes())) && v.len() >= 12)
        });
        if let Some((_, value)) = key {
            o.traits.insert(Traits::KEYED);
            o.api_key = Some(Token::of(&self.key, "api-key", value.as_bytes(), true));
        }
    }
}

/// What the cookies of a request come to.
#[derive(Clone, Debug, Default)]
struct Jar {
    sessions: SmallVec<[Token; 2]>,
    /// Their names in order.
    print: u64,
}

impl Jar {
    fn of(fields: &[&[u8]], key: &HashKey) -> Jar {
        let mut jar = Jar::default();
        let mut names = hash::Mix::new();
        for (name, value) in fields.iter().flat_map(|v| cookies::in_field(v)).take(32) {
            names.text(plain_name(name));
            if cookies::is_session(name, value) {
                push(&mut jar.sessions, Token::of(key, "session", value, true));
            }
        }
        jar.print = names.finish();
        jar
    }
}

/// Cookie fields that were read, one for each of so many hashes: a client sends the same again and again.
#[derive(Debug, Default)]
pub(super) struct Jars {
    slots: Vec<(Vec<u8>, Jar)>,
    /// One that is too long to be kept, or of several fields.
    other: Jar,
}

impl Jars {
    const SLOTS: usize = 2048;
    const LONGEST: usize = 1024;

    fn of(&mut self, fields: &[&[u8]], key: &HashKey) -> &Jar {
        self.slots.resize_with(Self::SLOTS, Default::default);
        if let [field] = *fields
            && field.len() <= Self::LONGEST
            && let Some((known, jar)) = self.slots.get_mut(hash::quick(field) as usize % Self::SLOTS)
        {
            if *known != field || field.is_empty() {
                *jar = Jar::of(fields, key);
                known.clear();
                known.extend_from_slice(field);
            }
            return jar;
        }
        self.other = Jar::of(fields, key);
        &self.other
    }
}

/// True of what a client sends that has no token: nothing, or the word for it in its language.
fn is_placeholder(token: &[u8]) -> bool {
    const WORDS: [&[u8]; 9] =
        [b"", b"null", b"undefined", b"none", b"nil", b"nan", b"false", b"(null)", b"[object object]"];
    let token = token.trim_ascii();
    WORDS.iter().any(|word| token.eq_ignore_ascii_case(word))
}

/// The part of a cookie's name that is the same for everybody: up to its first digit.
pub(super) fn plain_name(name: &[u8]) -> &[u8] {
    let end = name.iter().position(u8::is_ascii_digit).unwrap_or(name.len()).min(24);
    name.get(..end).unwrap_or_default()
}

pub(super) fn push(list: &mut SmallVec<[Token; 2]>, token: Token) {
    if list.len() < 4 && !list.iter().any(|t| t.hash == token.hash) {
        list.push(token);
    }
}

/// Parameters that hold the caller's key.
pub(super) fn is_key(name: &str) -> bool {
    static NAMES: NameSet = NameSet::new(&[
        b"apikey",
        b"api_key",
        b"api-key",
        b"key",
        b"access_key",
        b"accesskey",
        b"appkey",
        b"app_key",
        b"partner_key",
        b"client_key",
        b"subscription-key",
    ]);
    NAMES.has(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_read_alike_whatever_was_read_before() {
        let key = HashKey::from_bytes([7; 16]);
        let long = format!("sid=abcdef0123456789; a={}", "b".repeat(1100));
        let mut fields: Vec<String> =
            (0..5000).map(|n| format!("sid=abcdef0123456789{n}; lang=de")).collect();
        fields.extend(
            ["", "lang=de", &long, "a=1; sid=abcdef0123456789; sid=abcdef0123456789"].map(str::to_owned),
        );
        let mut jars = Jars::default();
        for field in fields.iter().chain(fields.iter().rev()) {
            let (known, fresh) = (jars.of(&[field.as_bytes()], &key), Jar::of(&[field.as_bytes()], &key));
            assert_eq!((known.print, &known.sessions), (fresh.print, &fresh.sessions), "{field}");
        }
    }

    #[test]
    fn a_word_for_nothing_is_no_token() {
        for word in ["", " ", "null", "undefined", "None", "[object Object]"] {
            assert!(is_placeholder(word.as_bytes()), "{word}");
        }
        assert!(!is_placeholder(b"nullable7"));
    }
}
