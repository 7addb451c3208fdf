use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sidetap_model::{ClientAddr, EndpointRef, FlowId, HashKey, Ts, Zone, token_bytes};
use smallvec::SmallVec;

use crate::agent::Agent;
use crate::role::Roles;
pub use crate::traits::Traits;

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
    /// The form of an account that is made: of its name and its password (hash); 0 where there is none to speak of.
    pub form: u64,
    /// The further ones of a request that carries many log-ins at once.
    pub more_secrets: Box<[u64]>,
    /// What the call was about (keyed hash of ids, codes, parameters).
    pub target: Option<Target>,
    /// What the further calls of a request that carries many of one kind were about.
    pub more_targets: Box<[Target]>,
    /// Hash of the path as sent.
    pub path: u64,
    /// Hash of the path that the Referer names, 0 where there is none of the same host.
    pub referer: u64,
    /// Hash of the path that a redirect leads to, 0 where there is none.
    pub location: u64,
    /// Hash of the name of the session cookie that the answer sets, 0 where it sets none.
    pub given: u32,
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
    /// What looks like credentials though nothing says so, and what the answer gave for them.
    pub gives: Option<Box<Gives>>,
    /// What the body asks for by name, where many calls share one path: `mutation SignIn`.
    pub operation: Option<Box<str>>,
}

impl Observation {
    /// Calls beside the first that came in the same request.
    pub(crate) fn further(&self) -> u32 {
        u32::try_from(self.more_targets.len().max(self.more_secrets.len())).unwrap_or(u32::MAX)
    }

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
            + size_of_val(&*self.more_targets)
            + size_of_val(&*self.more_secrets)
            + self.gives.as_deref().map_or(0, |g| size_of_val(g) + spilled(&g.tokens))
            + spilled(&self.sessions)
            + spilled(&self.attempts)
    }
}

/// Bytes of a small vector that has no room for its elements in itself.
fn spilled<A: smallvec::Array>(of: &SmallVec<A>) -> usize {
    if of.spilled() { size_of_val(of.as_slice()) } else { 0 }
}

/// Two texts that were sent and what the answer gave: credentials and a session, as it may turn out.
#[derive(Clone, Debug, Default)]
pub struct Gives {
    /// The first text (keyed hash as of an account).
    pub account: u64,
    /// The second (keyed hash as of a secret).
    pub secret: u64,
    /// What the answer gave that nobody can guess (keyed hashes as of sessions).
    pub tokens: SmallVec<[u64; 2]>,
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
    /// The token of `value` in `domain` (`session` or `api-key`), however it is escaped; a JWT is known by its signature.
    pub fn of(key: &HashKey, domain: &str, value: &[u8], login: bool) -> Self {
        let value = &*token_bytes(value);
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
        for value in [
            "short",
            "0123456789abcdef",
            "s%3A0123456789abcdef",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.SflKxwRJSMeKKF2QT4fwpM",
        ] {
            let token = Token::of(&key, "session", value.as_bytes(), true);
            assert_eq!(token.spelled(), mask_token(&key, "session", value.as_bytes()));
        }
    }
}
