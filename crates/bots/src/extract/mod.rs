//! Stateless work on one exchange: from heads and body tokens to an [`Observation`].

mod answer;
mod compare;
mod fields;
mod finder;
mod headers;
pub(crate) mod path;
mod redirect;
mod robots;
mod surface;
mod words;

use std::ops::Range;
use std::sync::Arc;

use sidetap_model::{ClientAddr, EndpointRef, Exchange, HashKey, Request, Response};
use sidetap_wire::auth::Credential;
use sidetap_wire::body::{Location, Scalar, Visitor};
use sidetap_wire::cookies;
use sidetap_wire::names::NameSet;
use smallvec::SmallVec;

use self::answer::AnswerFields;
use self::fields::RequestFields;
use self::headers::{AnswerHead, Head};
use self::redirect::Redirect;
use self::surface::{anomalies, surface};
use self::words::Said;
use crate::agent::{Agent, Agents};
use crate::engine::Map;
use crate::hash;
use crate::observation::{Attempt, Observation, Outcome, Part, Surface, Target, Token, Traits};
use crate::profile::{Fit, Profiles};
use crate::role::Roles;
use crate::stated::{self, BODY, Stated};

/// Makes observations; each worker has its own.
///
/// For one exchange call [`Extractor::begin`], then (where there are bodies) [`Extractor::request_body`] and a walk with
/// the extractor as visitor, [`Extractor::response_body`] and another walk, [`Extractor::attempt`] for attacks seen, and at
/// last [`Extractor::finish`].
#[derive(Debug)]
pub struct Extractor {
    key: HashKey,
    agents: Arc<Agents>,
    cache: Map<u64, Arc<Agent>>,
    claims: Map<u64, Claim>,
    profiles: Arc<Profiles>,
    fits: Map<u64, Fit>,
    roles: Map<u64, (Roles, Option<stated::Said>)>,
    /// What the site says of its endpoints, and the beginning of the answer's body where that is asked for.
    stated: Arc<Stated>,
    beginning: Vec<u8>,
    /// Headers, in lower case, in which the site's partners have their keys.
    key_headers: Vec<String>,
    side: Side,
    request: RequestFields,
    answer: AnswerFields,
    attempts: SmallVec<[Attempt; 1]>,
    operation: Option<Box<str>>,
    /// Hash of the request's query.
    query: u64,
    text: String,
}

/// What an agent string with its languages comes to.
#[derive(Debug)]
struct Claim {
    agent: Arc<Agent>,
    print: u64,
    odd_language: bool,
    /// The agent string and the languages.
    of: (Box<[u8]>, Option<Box<[u8]>>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Request,
    Answer,
}

/// Endpoints where something can be declined.
const PAYS: Roles = Roles(Roles::PAYMENT.0 | Roles::CHECKOUT.0 | Roles::TRANSFER.0 | Roles::GIFT_CARD.0);
/// Forms that are often answered by a redirect: those that lead on where it worked, and those that lead to one place either way.
const LEADS_ON: Roles = Roles(Roles::SIGN_UP.0 | Roles::CHECKOUT.0 | Roles::PAYMENT.0 | Roles::TRANSFER.0);
const LEADS_BACK: Roles = Roles(Roles::RESET.0 | Roles::COUPON.0 | Roles::GIFT_CARD.0);
/// Agent strings kept read; the cache is emptied when it is full.
const AGENT_CACHE: usize = 4096;
/// Bytes of an agent string with its languages that are kept.
const CLAIM: usize = 1024;

impl Extractor {
    /// An extractor that hashes with `key` and knows `agents`.
    pub fn new(key: HashKey, agents: Arc<Agents>) -> Self {
        Extractor {
            key,
            agents,
            cache: Map::default(),
            claims: Map::default(),
            profiles: Arc::new(Profiles::builtin().unwrap_or_default()),
            fits: Map::default(),
            roles: Map::default(),
            stated: Arc::default(),
            beginning: Vec::new(),
            key_headers: Vec::new(),
            side: Side::Request,
            request: RequestFields::default(),
            answer: AnswerFields::default(),
            attempts: SmallVec::new(),
            operation: None,
            query: 0,
            text: String::new(),
        }
    }

    /// The same, with headers in which partners have their keys.
    #[must_use]
    pub fn with_key_headers(mut self, names: &[String]) -> Self {
        self.key_headers = names.to_vec();
        self
    }

    /// The same, with what the site says of its endpoints.
    #[must_use]
    pub fn with_stated(mut self, stated: Arc<Stated>) -> Self {
        self.stated = stated;
        self
    }

    /// Forgets the last exchange.
    pub fn begin(&mut self) {
        self.beginning.clear();
        self.side = Side::Request;
        self.request.clear();
        self.answer.clear();
        self.attempts.clear();
        self.operation = None;
    }

    /// What is visited from now on is of the request; `body` is the decoded body.
    pub fn request_body(&mut self, body: &[u8]) {
        self.side = Side::Request;
        self.request.style(body);
    }

    /// What is visited from now on is of the answer; `body` is the decoded body.
    pub fn response_body(&mut self, body: &[u8]) {
        self.side = Side::Answer;
        if self.stated.reads_bodies() {
            self.beginning.extend(body.iter().take(BODY));
        }
        self.answer.body(body);
        if self.answer.html && self.request.is_form() {
            self.answer.page(body, &mut self.text);
        }
    }

    /// The body of the request asks for this by name: `mutation SignIn`, the method of a remote procedure call.
    pub fn operation(&mut self, operation: Option<Box<str>>) {
        self.operation = operation;
    }

    /// An attack was seen in the exchange: the class id of the exploit detection. Agents are judged here, not there.
    pub fn attempt(&mut self, class: &str) {
        let attempt = match class {
            "sqli" => Attempt::Sqli,
            "xss" => Attempt::Xss,
            "path-traversal" => Attempt::Traversal,
            "sensitive-file" => Attempt::SensitiveFile,
            "vuln-scan" | "access-bypass" => return,
            _ => Attempt::Other,
        };
        if !self.attempts.contains(&attempt) && self.attempts.len() < 4 {
            self.attempts.push(attempt);
        }
    }

    /// The observation of the exchange; nothing where no request was seen.
    pub fn finish(
        &mut self,
        exchange: &Exchange,
        client: ClientAddr,
        endpoint: EndpointRef,
        part: Part,
    ) -> Option<Observation> {
        let request = exchange.request.as_ref()?;
        let mut head = headers::read(request);
        let agent = self.claimed(&mut head);
        let place = path::place(&request.target, &endpoint.template);
        self.query = place.query.map_or(0, |q| hash::quick(q.as_bytes()));
        let response = exchange.response.as_ref();
        let answer = response.map(|r| headers::answer(&r.headers)).unwrap_or_default();
        let surface = surface(place.path, &head, answer.kind);
        let changing = !head.traits.has(Traits::GET) && !head.traits.has(Traits::HEAD);
        let json = head.content_type.is_some_and(|t| t.starts_with(b"application/json"));
        head.compare(&agent, changing && json, surface == Surface::Page);
        if client.source != sidetap_model::IpSource::Connection {
            for mark in [Traits::FORWARDED_CLAIM, Traits::FORWARDED_LOCAL, Traits::FORWARDED_MANY] {
                head.traits.remove(mark);
            }
            head.traits.insert(Traits::RELAYED);
        }
        let resembles = self.fitting(&mut head, &agent, request);
        head.foreign_origin();
        head.boundary();
        let referer = head.referred(place.path);
        head.traits.set(Traits::PATH_ODD, path::is_odd(place.path));
        let asks = place.query.map(path::asks).unwrap_or_default();
        head.traits.set(Traits::CACHE_BUSTER, asks.buster);
        head.traits.set(Traits::TYPE_MISMATCH, self.request.contradicts(head.content_type));
        head.traits.set(Traits::BODY_SPACED, self.request.spaced);
        anomalies(&mut head.traits, &exchange.anomalies);
        let mut operation = self.operation.take();
        let acts = changing && !operation.as_deref().is_some_and(|op| op.starts_with("query "));
        let (mut roles, stated) = self.roles_of(&endpoint, acts);
        let of_path = roles;
        if let Some(query) = place.query.filter(|_| acts) {
            let asked = asked(query);
            roles.insert(asked);
            // `wp-login.php?action=register`: the script's name says less than what is asked of it.
            if asked.any(Roles(Roles::SIGN_UP.0 | Roles::RESET.0)) && !asked.any(Roles::LOGIN) {
                roles.remove(Roles::LOGIN);
            }
        }
        if let Some(operation) = operation.as_deref() {
            roles.insert(words::roles_of_operation(operation, acts));
        }
        self.request.roles(&mut roles, acts);
        if of_path.any(Roles::LOGIN) && !roles.any(Roles::LOGIN) && operation.is_none() {
            // Two forms that are sent to one path.
            let form = if roles.any(Roles::SIGN_UP) { "sign-up" } else { "password-reset" };
            operation = Some(form.into());
        }
        if matches!(self.answer.said, Said::Failed | Said::Missing | Said::Locked) {
            self.request.were_credentials(&mut roles);
        }
        let refused = matches!(response.map(|r| r.status), Some(401));
        let basic = head.credentials.iter().any(|c| matches!(c, Credential::Basic { .. }));
        if basic && refused {
            roles.insert(Roles::LOGIN);
        }
        roles.set(Roles::PRICE, !acts && self.answer.priced);
        roles.set(Roles::PAYMENT, acts && matches!(response.map(|r| r.status), Some(402)));
        if let Some(query) = place.query.filter(|_| !acts) {
            roles.set(Roles::INVENTORY, names_place(query));
        }
        if let Some(stated) = stated {
            roles = stated.roles(roles);
        }
        let mut o = Observation {
            ts: if part == Part::Answer { exchange.response_ts.unwrap_or(exchange.end) } else { exchange.ts },
            flow_id: exchange.flow_id,
            seq: exchange.seq,
            zone: exchange.zone,
            client,
            source: exchange.flow.client.ip,
            part,
            acknowledged: exchange.acknowledged || response.is_some(),
            surface,
            prints: head.prints,
            traits: head.traits,
            roles,
            outcome: Outcome::None,
            status: response.map_or(0, |r| r.status),
            bytes: response.map_or(0, |r| u32::try_from(r.body.len).unwrap_or(u32::MAX)),
            sessions: SmallVec::new(),
            api_key: None,
            account: None,
            secret: self.request.secret.take().map(|s| self.key.hash64("secret", s.as_bytes())),
            more_secrets: self.request.batch().map(|s| self.key.hash64("secret", s.as_bytes())).collect(),
            target: None,
            path: hash::quick(place.path.as_bytes()),
            referer,
            location: answer.location.map_or(0, |to| hash::quick(path::of_url(to))),
            page: asks.page,
            wait_ms: exchange
                .response_ts
                .map_or(0, |t| u32::try_from(t.since(exchange.ts) / 1_000_000).unwrap_or(0)),
            resembles,
            attempts: std::mem::take(&mut self.attempts),
            robots: None,
            signed: sidetap_intel::read_signature(request),
            crawler_path: agent.is_declared().then(|| place.path.chars().take(256).collect()),
            agent,
            endpoint,
            operation,
        };
        self.query_key(&mut o, place.query);
        o.prints.shape = hash::words(&[o.prints.shape, u64::from(self.request.spaced)]);
        o.prints.body = self.request.template();
        self.identities(&mut o, &head);
        if basic && refused {
            // Who is turned away with them is not known by them: he tries.
            o.traits.remove(Traits::KEYED);
            let tried = request.headers.get("authorization").unwrap_or_default();
            o.secret = o.secret.or_else(|| Some(self.key.hash64("secret", tried)));
        }
        let named = self.key_headers.iter().find_map(|name| request.headers.get(name));
        if let Some(value) = named.filter(|v| !v.is_empty()) {
            o.traits.insert(Traits::KEYED);
            o.api_key = Some(Token::of(&self.key, "api-key", value, true));
        }
        o.target = self.target(&o, &place);
        self.mail_traits(&mut o);
        if part != Part::RequestOnly
            && let Some(response) = response
        {
            self.judge_answer(&mut o, response, &answer);
        }
        Some(o)
    }

    fn roles_of(&mut self, endpoint: &EndpointRef, changing: bool) -> (Roles, Option<stated::Said>) {
        let id = endpoint.id.0 ^ u64::from(changing);
        if let Some(roles) = self.roles.get(&id) {
            return *roles;
        }
        if self.roles.len() >= AGENT_CACHE {
            self.roles.clear();
        }
        if &*endpoint.method == "OPTIONS" {
            // A browser asks whether it may call; the call follows.
            return (Roles::default(), None);
        }
        let stated = (!self.stated.is_empty())
            .then(|| self.stated.of(&endpoint.host, &endpoint.method, &endpoint.template));
        let roles = (words::roles_of_path(&endpoint.template, changing), stated);
        self.roles.insert(id, roles);
        roles
    }

    /// Reads what a head says of its agent and languages, and notes it there.
    fn claimed(&mut self, head: &mut Head<'_>) -> Arc<Agent> {
        let text = head.agent.unwrap_or_default();
        let id = hash::quick(text) ^ hash::quick(head.language.unwrap_or_default()).rotate_left(32);
        let same = |c: &&Claim| *c.of.0 == *text && c.of.1.as_deref() == head.language;
        if let Some(claim) = self.claims.get(&id).filter(same) {
            head.prints.agent = claim.print;
            head.traits.set(Traits::LANGUAGE_MALFORMED, claim.odd_language);
            return Arc::clone(&claim.agent);
        }
        let mut print = hash::Mix::new();
        print.bytes(text);
        print.bytes(head.language.unwrap_or_default());
        let claim = Claim {
            agent: self.agent(text),
            print: print.finish(),
            odd_language: head.language.is_some_and(headers::odd_language),
            of: (text.into(), head.language.map(Into::into)),
        };
        head.prints.agent = claim.print;
        head.traits.set(Traits::LANGUAGE_MALFORMED, claim.odd_language);
        let agent = Arc::clone(&claim.agent);
        if self.claims.len() >= AGENT_CACHE {
            self.claims.clear();
        }
        if text.len() + head.language.map_or(0, <[u8]>::len) <= CLAIM {
            self.claims.insert(id, claim);
        }
        agent
    }

    /// How the head fits its agent: kept by what it depends on.
    fn fitting(&mut self, head: &mut Head<'_>, agent: &Agent, request: &Request) -> u8 {
        let id = hash::words(&[head.prints.order, head.prints.negotiation, agent.hash]);
        let fit = match self.fits.get(&id) {
            Some(fit) => *fit,
            None => {
                if self.fits.len() >= AGENT_CACHE {
                    self.fits.clear();
                }
                let fit = self.profiles.fit(agent, &request.headers);
                self.fits.insert(id, fit);
                fit
            }
        };
        head.traits.insert(fit.traits);
        fit.resembles
    }

    fn agent(&mut self, text: &[u8]) -> Arc<Agent> {
        let id = hash::of(text);
        if let Some(agent) = self.cache.get(&id) {
            return Arc::clone(agent);
        }
        if self.cache.len() >= AGENT_CACHE {
            self.cache.clear();
        }
        let agent = Arc::new(self.agents.read(text));
        self.cache.insert(id, Arc::clone(&agent));
        agent
    }

    fn identities(&mut self, o: &mut Observation, head: &Head<'_>) {
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
        let mut names = hash::Mix::new();
        for (name, value) in head.cookies.iter().flat_map(|v| cookies::in_field(v)).take(32) {
            names.text(plain_name(name));
            if cookies::is_session(name, value) {
                o.traits.insert(Traits::SESSION);
                push(&mut o.sessions, Token::of(&self.key, "session", value, true));
            }
        }
        if !head.cookies.is_empty() {
            o.prints.cookies = names.finish();
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

    /// An API key in the query: partners of old have theirs there.
    fn query_key(&self, o: &mut Observation, query: Option<&str>) {
        let key = query.and_then(|q| {
            q.split('&').take(32).filter_map(|p| p.split_once('=')).find(|(n, v)| is_key(n) && v.len() >= 12)
        });
        if let Some((_, value)) = key {
            o.traits.insert(Traits::KEYED);
            o.api_key = Some(Token::of(&self.key, "api-key", value.as_bytes(), true));
        }
    }

    /// What the call was about: the code or token it tries, the id in its path, its parameters, the account.
    fn target(&self, o: &Observation, place: &path::Place<'_>) -> Option<Target> {
        if let Some(code) = &self.request.code {
            let number = self.request.number.as_deref().unwrap_or_default();
            let mut target = self.make_target(code);
            if !number.is_empty() {
                target.hash = hash::words(&[target.hash, self.make_target(number).hash]);
                target.number = trailing_number(number);
            }
            return Some(target);
        }
        if let Some(value) = place.parameter {
            return Some(self.make_target(value));
        }
        if let Some(query) = place.query
            && let Some(target) = self.query_target(query)
        {
            return Some(target);
        }
        if let Some(id) = &self.request.id {
            return Some(self.make_target(id));
        }
        if let Some(account) = o.account {
            let named = self.request.account.as_deref().filter(|a| is_phone(a));
            return Some(Target { hash: account, number: named.and_then(trailing_number) });
        }
        if path::is_numbered(place.last) {
            return Some(self.make_target(place.last));
        }
        let token = o.sessions.iter().find(|t| t.login).filter(|_| o.roles == Roles::NONE);
        if let Some(token) = token {
            return Some(Target { hash: token.hash, number: None });
        }
        Some(self.make_target(place.last))
    }

    fn make_target(&self, value: &str) -> Target {
        Target { hash: self.key.hash64("target", value.as_bytes()), number: trailing_number(value) }
    }

    fn query_target(&self, query: &str) -> Option<Target> {
        let mut m = hash::Mix::new();
        let mut number = None;
        let mut any = false;
        for pair in query.split('&').take(32) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if value.is_empty() || is_presentation(name) || is_key(name) {
                continue;
            }
            any = true;
            m.bytes(name.as_bytes());
            m.bytes(value.as_bytes());
            number = trailing_number(value).or(number);
        }
        any.then(|| Target { hash: self.key.hash64("target", &m.finish().to_le_bytes()), number })
    }

    fn mail_traits(&self, o: &mut Observation) {
        if let Some(account) = self.request.account.as_deref() {
            let (name, domain) = account.rsplit_once('@').unwrap_or((account, ""));
            o.traits.set(Traits::DISPOSABLE_MAIL, fields::is_disposable(domain));
            let digits = name.chars().rev().take_while(char::is_ascii_digit).count();
            o.traits.set(Traits::MAIL_DIGITS, digits >= 3);
        }
        o.traits.set(Traits::INTROSPECTION, self.request.introspection);
        o.traits.set(Traits::PAGE_SIZE, self.request.page_size > 500);
    }

    /// What the site says that the answer means.
    fn stated_outcome(&self, o: &Observation, response: &Response) -> Option<Outcome> {
        if self.stated.is_empty() {
            return None;
        }
        let place = (&*o.endpoint.host, &*o.endpoint.method, &*o.endpoint.template);
        let location = response.headers.get("location").unwrap_or_default();
        self.stated.meaning(place, response.status, &self.beginning, location)
    }

    fn judge_answer(&mut self, o: &mut Observation, response: &Response, head: &AnswerHead<'_>) {
        let session = head.session;
        o.traits.set(Traits::SET_COOKIE, head.sets);
        o.traits.set(Traits::VALIDATOR, head.validator && response.status == 200);
        o.traits.set(Traits::REDIRECT, matches!(response.status, 301 | 302 | 303 | 307 | 308));
        let credentials = o.roles.any(Roles(Roles::LOGIN.0 | Roles::OTP.0));
        let guessed = o.roles.any(Roles(Roles::GIFT_CARD.0 | Roles::COUPON.0 | Roles::OTP.0));
        let said = self.answer.said;
        // Sites give every newcomer a cookie, with the page that says that it did not work too.
        let page = self.answer.html && self.request.secret_seen;
        let admitted =
            credentials && session && !(page && (said != Said::Nothing || !o.traits.has(Traits::COOKIE)));
        if o.surface == Surface::Robots && (200..300).contains(&response.status) {
            o.robots = self.answer.robots.take();
        }
        if let Some(stated) = self.stated_outcome(o, response) {
            o.outcome = stated;
            return;
        }
        o.outcome = match response.status {
            // The statuses that it holds are of properties, not of the call (RFC 4918 §13).
            207 => Outcome::Success,
            200..=299 if self.answer.grants || admitted => Outcome::Success,
            // The first step of several, as in Matrix's user-interactive authentication.
            401 if self.answer.asks => Outcome::Other,
            429 => Outcome::Limited,
            // SOAP 1.1 answers faults with 500.
            500 if said != Said::Nothing && credentials && self.answer.refuses => Outcome::Denied,
            200..=499 if said == Said::Locked && credentials => Outcome::Locked,
            200..=499 if said == Said::Missing && credentials && response.status != 401 => {
                Outcome::UnknownUser
            }
            423 if credentials => Outcome::Locked,
            402 => Outcome::Declined,
            200..=499 if said == Said::Declined && o.roles.any(PAYS) => Outcome::Declined,
            200..=299 if said == Said::Missing => Outcome::NotFound,
            200..=299 if said != Said::Nothing || self.answer.refuses || guessed && self.answer.nulls > 0 => {
                if credentials {
                    Outcome::Denied
                } else {
                    Outcome::Refused
                }
            }
            200..=299 if o.roles.any(Roles::LOGIN) && self.answer.html && !admitted => {
                self.page_after_login(o)
            }
            200..=299 | 304 => Outcome::Success,
            300..=399 => self.redirected(o, response, head),
            // Nothing was tried: the server asks for credentials.
            401 if self.brings_nothing(o, challenges(response)) => Outcome::Other,
            401 => Outcome::Denied,
            403 if credentials => Outcome::Denied,
            404 | 410 => Outcome::NotFound,
            405 | 406 | 415 | 501 => Outcome::Other,
            400..=499 if credentials && matches!(response.status, 400 | 422) => Outcome::Denied,
            400..=499 => Outcome::Refused,
            500..=599 => Outcome::Error,
            _ => Outcome::Other,
        };
    }

    /// True of a request without credentials of any kind; with a body only where the server asks for HTTP's own (`challenged`).
    fn brings_nothing(&self, o: &Observation, challenged: bool) -> bool {
        let known = o.account.is_some() || o.api_key.is_some() || !o.sessions.is_empty();
        let plain = challenged || !o.traits.has(Traits::BODY);
        !known && o.secret.is_none() && !o.traits.has(Traits::KEYED) && plain
    }

    /// A form login that is answered with a page instead of a redirect or a session did not work.
    fn page_after_login(&self, o: &Observation) -> Outcome {
        if o.traits.has(Traits::BODY) && (self.request.secret_seen || o.account.is_some()) {
            Outcome::Denied
        } else {
            Outcome::Success
        }
    }

    fn redirected(&self, o: &Observation, response: &Response, head: &AnswerHead<'_>) -> Outcome {
        let acts = o.traits.has(Traits::BODY);
        let to = response.headers.get("location").unwrap_or_default();
        // `wp-login.php?action=register` leads to `wp-login.php?checkemail=registered`: another page of the same script.
        let query = memchr::memchr(b'?', to).and_then(|at| to.get(at + 1..));
        let on = query.is_some_and(|q| hash::quick(q) != self.query);
        let redirect = Redirect {
            to,
            same: acts && o.location != 0 && o.location == o.path,
            session: head.session,
            sets: head.sets,
            known: o.traits.has(Traits::COOKIE),
            secret: acts && self.request.secret_seen,
        };
        match o.roles {
            r if r.any(Roles::LOGIN) || acts && r.any(Roles::OTP) => redirect.of_credentials(),
            r if acts && r.any(LEADS_BACK) => Redirect { same: true, ..redirect }.of_form(),
            r if acts && r.any(LEADS_ON) => Redirect { same: redirect.same && !on, ..redirect }.of_form(),
            _ => Outcome::Other,
        }
    }
}

/// True where an answer asks for credentials of HTTP's own kinds (RFC 9110 §11.6.1).
fn challenges(response: &Response) -> bool {
    const KINDS: [&[u8]; 4] = [b"basic", b"digest", b"negotiate", b"ntlm"];
    let asked = response.headers.get("www-authenticate").unwrap_or_default();
    KINDS.iter().any(|kind| asked.get(..kind.len()).is_some_and(|k| k.eq_ignore_ascii_case(kind)))
}

/// What the parameters of a query ask a script to do: `index.php?route=account/login`.
fn asked(query: &str) -> Roles {
    let mut roles = Roles::NONE;
    for (name, value) in query.split('&').take(8).filter_map(|pair| pair.split_once('=')) {
        if value.len() <= 64 && fields::is_action(name) {
            roles.insert(words::roles_of_action(&value.replace("%2F", "/"), true));
        }
    }
    roles
}

/// True of what a client sends that has no token: nothing, or the word for it in its language.
fn is_placeholder(token: &[u8]) -> bool {
    const WORDS: [&[u8]; 9] =
        [b"", b"null", b"undefined", b"none", b"nil", b"nan", b"false", b"(null)", b"[object object]"];
    let token = token.trim_ascii();
    WORDS.iter().any(|word| token.eq_ignore_ascii_case(word))
}

/// True where a query asks what there is around a place.
fn names_place(query: &str) -> bool {
    static NAMES: NameSet = NameSet::new(&[
        b"zip",
        b"zipcode",
        b"zip_code",
        b"postcode",
        b"post_code",
        b"postal",
        b"postalcode",
        b"postal_code",
        b"plz",
        b"cep",
        b"codepostal",
        b"code_postal",
        b"pincode",
        b"lat",
        b"latitude",
        b"radius",
    ]);
    query.split('&').take(16).any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        NAMES.has(name.as_bytes())
    })
}

/// The part of a cookie's name that is the same for everybody: up to its first digit.
fn plain_name(name: &[u8]) -> &[u8] {
    let end = name.iter().position(u8::is_ascii_digit).unwrap_or(name.len()).min(24);
    name.get(..end).unwrap_or_default()
}

fn push(list: &mut SmallVec<[Token; 2]>, token: Token) {
    if list.len() < 4 && !list.iter().any(|t| t.hash == token.hash) {
        list.push(token);
    }
}

/// The number that ends a value (or stands before a last letter group), where it has at most 18 digits.
fn trailing_number(value: &str) -> Option<u64> {
    let bytes = value.as_bytes();
    let end = bytes.iter().rposition(u8::is_ascii_digit)? + 1;
    let head = bytes.get(..end)?;
    let start = head.iter().rposition(|b| !b.is_ascii_digit()).map_or(0, |i| i + 1);
    if start.checked_sub(1).and_then(|i| head.get(i)).is_some_and(|b| !b.is_ascii()) {
        return None;
    }
    let digits = head.get(start..)?;
    (digits.len() <= 18).then(|| digits.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0')))
}

/// A number to call: digits, a plus, what separates groups.
fn is_phone(value: &str) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    digits >= 7 && value.bytes().all(|b| b.is_ascii_digit() || b"+-. ()/".contains(&b))
}

/// Parameters that hold the caller's key.
fn is_key(name: &str) -> bool {
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

/// Parameters that say how to show, not what.
fn is_presentation(name: &str) -> bool {
    static NAMES: NameSet = NameSet::new(&[
        b"sort",
        b"order",
        b"limit",
        b"per_page",
        b"pagesize",
        b"page_size",
        b"lang",
        b"locale",
        b"_",
        b"t",
        b"ts",
        b"v",
        b"ver",
        b"format",
        b"fields",
        b"view",
        b"utm_source",
        b"utm_medium",
        b"utm_campaign",
        b"dir",
        b"size",
    ]);
    NAMES.has(name.as_bytes())
}

impl Visitor for Extractor {
    #[inline]
    fn scalar(&mut self, at: &Location<'_>, value: Scalar<'_>, _span: Range<usize>) {
        match self.side {
            Side::Request => self.request.scalar(at, value),
            Side::Answer => self.answer.scalar(at, value, &mut self.text),
        }
    }

    #[inline]
    fn begin_object(&mut self, at: &Location<'_>) {
        if self.side == Side::Answer {
            self.answer.container(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_for_nothing_is_no_token() {
        for word in ["", " ", "null", "undefined", "None", "[object Object]"] {
            assert!(is_placeholder(word.as_bytes()), "{word}");
        }
        assert!(!is_placeholder(b"nullable7"));
    }

    #[test]
    fn places_are_asked_for_by_name() {
        assert!(names_place("zip=8001&page=2") && names_place("r=5&lat=43.1&lng=1.2"));
        assert!(!names_place("q=zip") && !names_place(""));
    }

    #[test]
    fn numbers_at_the_end_are_read() {
        assert_eq!(trailing_number("SKU-100546"), Some(100_546));
        assert_eq!(trailing_number("42"), Some(42));
        assert_eq!(trailing_number("abc"), None);
        assert_eq!(trailing_number("x007b"), Some(7));
        assert_eq!(trailing_number("ü7"), None);
        assert_eq!(trailing_number("12345678901234567890"), None);
    }
}
