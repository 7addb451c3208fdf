//! Stateless work on one exchange: from heads and body tokens to an [`Observation`].

mod answer;
mod calls;
mod compare;
mod fields;
mod finder;
mod form;
mod graphql;
mod headers;
mod identity;
mod layout;
mod names;
mod outcome;
pub(crate) mod path;
mod pins;
mod plain;
mod query;
mod redirect;
mod robots;
mod surface;
mod target;
mod words;

use std::ops::Range;
use std::sync::Arc;

use sidetap_model::{ClientAddr, EndpointRef, Exchange, HashKey, Request};
use sidetap_wire::auth::Credential;
use sidetap_wire::body::{Location, Scalar, Visitor};
use smallvec::SmallVec;

use self::answer::AnswerFields;
use self::fields::RequestFields;
use self::headers::Head;
use self::identity::Jars;
use self::layout::Layouts;
use self::query::{asked, names_place};
use self::surface::{anomalies, surface};
use self::words::{Hearing, Said};
use crate::agent::{Agent, Agents};
use crate::engine::Map;
use crate::hash;
use crate::observation::{Attempt, Observation, Outcome, Part, Surface, Token, Traits};
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
    layouts: Layouts,
    jars: Jars,
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
    hearing: Hearing,
    text: String,
}

/// What an agent string with its languages comes to.
#[derive(Debug)]
struct Claim {
    agent: Arc<Agent>,
    print: u64,
    odd_language: bool,
    language_shape: u64,
    /// The agent string and the languages.
    of: (Box<[u8]>, Option<Box<[u8]>>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Request,
    Answer,
}

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
            layouts: Layouts::default(),
            jars: Jars::default(),
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
            hearing: Hearing::default(),
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
        self.answer.keeps = self.request.two_texts().is_some();
        if self.stated.reads_bodies() {
            self.beginning.extend(body.iter().take(BODY));
        }
        self.answer.body(body);
        if self.answer.html && self.request.is_form() {
            self.answer.page(body, &mut self.hearing);
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
        let mut head = headers::read(request, &mut self.layouts);
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
        self.request.settle();
        // `POST /api/GetInvoice {"id": 17}` reads as a GET does.
        let method = changing && operation.is_none() && !self.request.commits();
        let checks = || self.request.is_number() && plain::method_checks(place.path);
        // Who is told that there is no such thing asked for it.
        let missed = || {
            self.answer.said == Said::Missing
                && self.request.plain.look_up()
                && !self.request.secret_seen
                && self.request.account.is_none()
        };
        let told = method
            && (plain::method_reads(place.path)
                || self.request.plain.was_told(place.path)
                || checks()
                || missed());
        let acts = changing && !told && !operation.as_deref().is_some_and(|op| op.starts_with("query "));
        if operation.is_none() && acts {
            let asked = || place.query.and_then(query::operation);
            operation = self.request.action.take().or_else(asked);
        }
        if operation.is_none() && !acts {
            operation = place.query.and_then(query::stored_operation);
        }
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
        self.request.alters = matches!(request.method.as_slice(), b"PUT" | b"PATCH" | b"DELETE");
        self.request.roles(&mut roles, acts);
        let linked = acts && !roles.any(Roles::SENSITIVE) && self.request.is_mail_alone();
        roles.set(Roles::OTP, linked && plain::sends_link(place.path));
        if of_path.any(Roles::LOGIN) && !roles.any(Roles::LOGIN) && operation.is_none() {
            // Two forms that are sent to one path.
            let form = if roles.any(Roles::SIGN_UP) { "sign-up" } else { "password-reset" };
            operation = Some(form.into());
        }
        let wrong = matches!(self.answer.said, Said::Failed | Said::Missing | Said::Locked);
        if wrong {
            self.request.were_credentials(&mut roles);
        }
        if self.request.sender(wrong) {
            // Who asks is tried: a log-in, whatever else the call is for. Those that work are what it is for.
            roles = Roles::LOGIN;
            operation = Some("log-in".into());
        }
        let look_up = self.request.arguments.look_up() && !self.request.commits();
        let elsewhere = Roles(Roles::SENSITIVE.0 | Roles::VOTE.0 | Roles::POSTING.0 | Roles::TELEMETRY.0);
        // What names one thing is read, unless something is done to it: a vote for it.
        let names_one = look_up && !roles.any(elsewhere);
        let reads = operation.as_deref().is_some_and(|op| calls::reads(op, names_one));
        let by_name = acts && operation.is_some() && look_up && reads
            || !acts && operation.is_some() && look_up
            || told && operation.is_none() && self.request.plain.look_up()
            || head.traits.has(Traits::GET) && place.query.is_some_and(query::names_object);
        roles.set(Roles::ID_LOOKUP, by_name && !roles.any(elsewhere));
        head.traits.set(Traits::READS, reads || told);
        let looked_up = (told && by_name).then(|| self.request.plain.named()).flatten();
        if looked_up.is_some() {
            // Whose account is read is no account that is named to sign in.
            self.request.account = None;
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
        let form = if roles.any(Roles::SIGN_UP) { self.request.form() } else { 0 };
        let mut o = Observation {
            ts: if part == Part::Answer { exchange.response_ts.unwrap_or(exchange.end) } else { exchange.ts },
            flow_id: exchange.flow_id,
            seq: exchange.seq,
            zone: exchange.zone,
            client,
            source: exchange.flow.client.ip,
            part,
            acknowledged: exchange.acknowledged,
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
            form,
            more_targets: Box::default(),
            gives: None,
            more_secrets: self.request.batch().map(|s| self.key.hash64("secret", s.as_bytes())).collect(),
            target: None,
            path: hash::quick(place.path.as_bytes()),
            referer,
            location: answer.location.map_or(0, |to| hash::quick(path::of_url(to))),
            given: answer.given,
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
        o.target = match looked_up {
            Some(name) if place.parameter.is_none() => Some(self.make_target(&name)),
            _ => self.target(&o, &place),
        };
        let named =
            self.request.receiver().is_some() || self.request.id().is_some() || place.parameter.is_some();
        o.traits.set(Traits::LINKS, acts && self.request.links());
        let anybody = !o.traits.has(Traits::SESSION) && !o.traits.has(Traits::KEYED);
        o.traits.set(Traits::BULK, anybody && self.request.is_bulk());
        o.traits.set(Traits::NAMES_ONE, named || o.account.is_some() || o.operation.is_some());
        o.more_targets = self.more_targets(&o);
        self.mail_traits(&mut o);
        if part == Part::RequestOnly {
            o.gives = self.gives(&o, acts, None);
        }
        if part != Part::RequestOnly
            && let Some(response) = response
        {
            self.judge_answer(&mut o, response, &answer);
            self.refused_token(&mut o);
            o.gives = self.gives(&o, acts, Some(response));
            let given = o.outcome == Outcome::Success && self.answer.grants;
            o.traits.set(Traits::SERVICE, self.request.service && given);
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
            head.negotiate(claim.language_shape);
            return Arc::clone(&claim.agent);
        }
        let mut print = hash::Mix::new();
        print.bytes(text);
        print.bytes(head.language.unwrap_or_default());
        let claim = Claim {
            agent: self.agent(text),
            print: print.finish(),
            odd_language: head.language.is_some_and(headers::odd_language),
            language_shape: headers::language_shape(head.language.unwrap_or_default()),
            of: (text.into(), head.language.map(Into::into)),
        };
        head.prints.agent = claim.print;
        head.traits.set(Traits::LANGUAGE_MALFORMED, claim.odd_language);
        head.negotiate(claim.language_shape);
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

    fn mail_traits(&self, o: &mut Observation) {
        if let Some(account) = self.request.account.as_deref() {
            let (name, domain) = account.rsplit_once('@').unwrap_or((account, ""));
            o.traits.set(Traits::DISPOSABLE_MAIL, names::is_disposable(domain));
            let digits = name.chars().rev().take_while(char::is_ascii_digit).count();
            o.traits.set(Traits::MAIL_DIGITS, digits >= 3);
        }
        o.traits.set(Traits::INTROSPECTION, self.request.introspection);
        o.traits.set(Traits::PAGE_SIZE, self.request.page_size > 500);
    }
}

impl Visitor for Extractor {
    #[inline]
    fn scalar(&mut self, at: &Location<'_>, value: Scalar<'_>, _span: Range<usize>) {
        match self.side {
            Side::Request => self.request.scalar(at, value),
            Side::Answer => {
                if at.depth <= 3
                    && let Scalar::Str(text) | Scalar::Num(text) = value
                {
                    self.request.plain.answered(text);
                }
                self.answer.scalar(at, value, &mut self.hearing);
            }
        }
    }

    #[inline]
    fn begin_object(&mut self, at: &Location<'_>) {
        match self.side {
            Side::Request => self.request.container(at),
            Side::Answer => self.answer.container(at),
        }
    }

    #[inline]
    fn begin_array(&mut self, at: &Location<'_>) {
        if self.side == Side::Request {
            self.request.container(at);
        }
    }
}
