use std::ops::Range;
use std::sync::Arc;

use regex_automata::Input;
use sidetap_model::{Request, Response};
use sidetap_wire::body::{Location, Scalar, Visitor, WalkScratch, walk_query};
use sidetap_wire::{cookies, target};

use crate::attempt::Attempt;
use crate::class::Class;
use crate::clean::Clean;
use crate::heads::{is_dull, is_odd};
use crate::normal::{normal, snippet};
use crate::pack::{Pack, Place, RuleId};
use crate::proof::{Around, PART, Proof};
use crate::rules::Rules;

/// Attempts kept of one exchange.
const ATTEMPT_LIMIT: usize = 16;
/// Bytes of one value that are looked at.
const VALUE_LIMIT: usize = 16 << 10;
/// Bytes of values of one exchange's answer that are looked at.
const ANSWER_LIMIT: usize = 128 << 10;
/// Bytes of a payload remembered to see it again in the answer.
const PAYLOAD_LIMIT: usize = 256;
/// Proofs kept of one exchange, and parts of its request that are attempts.
const PROOF_LIMIT: usize = 4;

/// Looks for attempts, exchange by exchange. One a worker.
#[derive(Debug)]
pub struct Scanner {
    pack: Arc<Pack>,
    side: Side,
    in_query: bool,
    attempts: Vec<Attempt>,
    payloads: Vec<String>,
    /// Parts of the request that are attempts.
    signs: Vec<(Class, Proof)>,
    proofs: Vec<Proof>,
    answer_left: usize,
    page: bool,
    dropped: u64,
    /// Parts that had no room, and those of which there was none for all.
    unproven: u64,
    cut: u64,
    walk: Option<Box<WalkScratch>>,
    clean: Clean,
    /// Room for the form of a path.
    form: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Request,
    /// The answer to an attempt, or a failed one: worth reading.
    Answer,
    /// Another answer.
    Idle,
}

impl Scanner {
    /// A scanner with these rules.
    pub fn new(pack: &Arc<Pack>) -> Self {
        Scanner {
            pack: Arc::clone(pack),
            side: Side::Request,
            in_query: false,
            attempts: Vec::new(),
            payloads: Vec::new(),
            signs: Vec::new(),
            proofs: Vec::new(),
            answer_left: 0,
            page: false,
            dropped: 0,
            unproven: 0,
            cut: 0,
            walk: None,
            clean: Clean::default(),
            form: Vec::new(),
        }
    }

    /// Begins an exchange.
    pub fn begin(&mut self) {
        self.side = Side::Request;
        self.attempts.clear();
        self.payloads.clear();
        self.signs.clear();
        self.proofs.clear();
    }

    /// Looks at a request's path, query, headers and cookies; body scalars come by the visitor after this.
    pub fn request(&mut self, request: &Request) {
        self.side = Side::Request;
        let split = target::split(&request.method, &request.target);
        if let Some(path) = split.path {
            self.path(path);
        }
        if let Some(query) = split.query {
            let mut walk = self.walk.take().unwrap_or_default();
            self.in_query = true;
            walk_query(query, &mut walk, self);
            self.in_query = false;
            self.walk = Some(walk);
        }
        self.headers(request);
        self.raw(&request.body.bytes);
    }

    fn headers(&mut self, request: &Request) {
        for (name, value) in request.headers.iter().take(128) {
            let odd = is_odd(name);
            if name.eq_ignore_ascii_case(b"cookie") || value.len() < 4 && !odd {
                continue;
            }
            let agent = name.eq_ignore_ascii_case(b"user-agent");
            let place = if agent { Place::Agent } else { Place::Header };
            let at = || Where::under("header", &String::from_utf8_lossy(name).to_ascii_lowercase());
            if odd {
                let line = format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value));
                self.look(place, &line, at);
            } else if !is_dull(name) || memchr::memchr2(b'$', b'(', value).is_some() {
                self.look_anew(place, value, at);
            }
        }
        for (name, value) in cookies::of(&request.headers).take(64) {
            if value.len() >= 4 && may_attack(value) {
                let at = || Where::under("cookie", &String::from_utf8_lossy(name));
                self.look_anew(Place::Cookie, value, at);
            }
        }
    }

    /// Looks at the start of a body that is markup: what a document declares, no reader of its values sees.
    fn raw(&mut self, body: &[u8]) {
        let head = body.get(..body.len().min(8 << 10)).unwrap_or_default();
        if head.trim_ascii_start().starts_with(b"<") {
            self.look(Place::Raw, &String::from_utf8_lossy(head), || Where::of("body"));
        }
    }

    /// Begins the answer: its body's scalars come by the visitor after this.
    pub fn response(&mut self, response: &Response) {
        let asked = !self.attempts.is_empty();
        self.side = if asked || response.status >= 500 { Side::Answer } else { Side::Idle };
        self.answer_left = ANSWER_LIMIT;
        if self.side == Side::Answer {
            let kind = response.headers.get("content-type").unwrap_or_default();
            self.page = kind.is_empty() || kind.windows(4).any(|w| w.eq_ignore_ascii_case(b"html"));
        }
        for attempt in &mut self.attempts {
            attempt.answered = response.status < 400;
        }
    }

    /// True where nothing is looked for in what comes.
    pub fn is_idle(&self) -> bool {
        self.side == Side::Idle
    }

    /// Gives what was seen of the exchange.
    pub fn take(&mut self) -> Vec<Attempt> {
        std::mem::take(&mut self.attempts)
    }

    /// Gives what of its answer proves them: one part for each class, as far as there is room.
    pub fn take_proofs(&mut self) -> Vec<Proof> {
        std::mem::take(&mut self.proofs)
    }

    /// Gives what of its request is an attempt: one part for each class and place, as far as there is room. Those of cookies, of which
    /// no value is shown, are none.
    pub fn take_signs(&mut self) -> Vec<Proof> {
        std::mem::take(&mut self.signs).into_iter().map(|(_, sign)| sign).collect()
    }

    /// Attempts that an exchange had above its limit, in all.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Parts of exchanges that had no room to be kept, in all, and those of which the beginning was kept.
    pub fn unproven(&self) -> (u64, u64) {
        (self.unproven, self.cut)
    }

    /// Looks at a path. One that differs from a clean one in numbers and hexadecimal ids alone is clean.
    fn path(&mut self, path: &[u8]) {
        let mut form = std::mem::take(&mut self.form);
        form.clear();
        for segment in path.split(|b| *b == b'/') {
            form.push(b'/');
            let id =
                segment.len() >= 4 && segment.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'));
            let id = id && self.pack.is_clean_of_ids(segment);
            form.extend_from_slice(if id { b"0000" } else { segment });
        }
        if !self.clean.knows(Place::Path, &form)
            && !self.look(Place::Path, &String::from_utf8_lossy(path), || Where::of("path"))
        {
            self.clean.learn(Place::Path, &form);
        }
        self.form = form;
    }

    /// Looks at a value of a head, unless it is remembered to hold nothing.
    fn look_anew(&mut self, place: Place, value: &[u8], location: impl Fn() -> Where) {
        if self.pack.is_clean_id(value) {
            return;
        }
        if !self.clean.knows(place, value) && !self.look(place, &String::from_utf8_lossy(value), location) {
            self.clean.learn(place, value);
        }
    }

    /// Looks at one value; `location` is only asked where something is found. True where it was.
    fn look(&mut self, place: Place, value: &str, location: impl Fn() -> Where) -> bool {
        let mut end = value.len().min(VALUE_LIMIT);
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        let text = normal(value.get(..end).unwrap_or_default());
        let fits = Rules::standing_in(&self.pack.needles, &self.pack.needle_rules, text.as_bytes());
        if fits.is_empty() {
            return false;
        }
        let pack = Arc::clone(&self.pack);
        let mut any = false;
        for id in fits.iter() {
            let Some(rule) = pack.get(id).filter(|r| r.looks_at(place)) else { continue };
            let (needles, of) = (&pack.needles, &pack.needle_rules);
            let (found, part) = match &rule.pattern {
                Some(pattern) => {
                    let Some(found) = pattern.find(Input::new(text.as_bytes())) else { continue };
                    (found.range(), text.as_bytes().get(found.range()).unwrap_or_default())
                }
                None => {
                    let at = Rules::place_of(id, needles, of, text.as_bytes());
                    (at.unwrap_or(0..text.len()), text.as_bytes())
                }
            };
            let at = location();
            self.sign(rule.class, place, &at, (&text, found));
            self.note(id, rule.class, at.location, &String::from_utf8_lossy(part), value);
            any = true;
        }
        any
    }

    /// Keeps the part of a request that is an attempt.
    fn sign(&mut self, class: Class, place: Place, at: &Where, (text, part): (&str, Range<usize>)) {
        let (location, name) = match place {
            Place::Name => ("name", ""),
            _ => (&*at.location, &*at.name),
        };
        if place == Place::Cookie || self.signs.iter().any(|(c, s)| *c == class && s.location == location) {
            return;
        }
        if self.signs.len() == PROOF_LIMIT {
            self.unproven += 1;
            return;
        }
        let around = if place == Place::Raw { Around::Tag } else { Around::Words };
        self.cut += u64::from(part.len() > PART);
        self.signs.push((class, Proof::of((location.to_owned(), name.to_owned()), text, part, around)));
    }

    fn note(&mut self, rule: RuleId, class: Class, location: String, part: &str, value: &str) {
        if self.attempts.iter().any(|a| a.rule == rule && a.location == location) {
            return;
        }
        if self.attempts.len() == ATTEMPT_LIMIT {
            self.dropped += 1;
            return;
        }
        if class == Class::Xss && value.len() >= 8 && self.payloads.len() < 4 {
            let mut end = value.len().min(PAYLOAD_LIMIT);
            while !value.is_char_boundary(end) {
                end -= 1;
            }
            self.payloads.extend(value.get(..end).map(str::to_owned));
        }
        let snippet = snippet(part);
        self.attempts.push(Attempt { class, rule, location, snippet, answered: false, proof: None });
    }

    /// Looks in an answer for what proves an attempt.
    fn prove(&mut self, at: &Location<'_>, text: &str) {
        if self.answer_left == 0 || text.len() < 6 {
            return;
        }
        let mut end = text.len().min(self.answer_left);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = text.get(..end).unwrap_or_default();
        let bytes = text.as_bytes();
        self.answer_left -= bytes.len();
        let pack = Arc::clone(&self.pack);
        let fits = Rules::standing_in(&pack.answers, &pack.answer_rules, bytes);
        for id in fits.iter() {
            let Some(rule) = pack.get(id) else { continue };
            let found = match &rule.pattern {
                Some(pattern) => pattern.find(Input::new(bytes)).map(|m| m.range()),
                None => Rules::place_of(id, &pack.answers, &pack.answer_rules, bytes),
            };
            if let Some(part) = found {
                self.proven(id, rule.class, at, (text, part));
            }
        }
        let mut payloads = self.payloads.iter().filter(|_| self.page);
        let back = payloads.find_map(|p| Some((memchr::memmem::find(bytes, p.as_bytes())?, p.len())));
        if let Some((start, length)) = back {
            let reflected = pack.rules().find(|(_, r)| r.class == Class::Xss && r.looks_at(Place::Answer));
            if let Some((id, _)) = reflected {
                self.proven(id, Class::Xss, at, (text, start..start + length));
            }
        }
    }

    fn proven(&mut self, proof: RuleId, class: Class, at: &Location<'_>, (text, part): (&str, Range<usize>)) {
        let mut any = false;
        for attempt in self.attempts.iter_mut().filter(|a| a.class == class && a.proof.is_none()) {
            attempt.proof = Some(proof);
            any = true;
        }
        if !any {
            return;
        }
        if self.proofs.len() == PROOF_LIMIT {
            self.unproven += 1;
            return;
        }
        let around = if class.takes() { Around::Nothing } else { Around::Words };
        self.cut += u64::from(part.len() > PART);
        self.proofs.push(Proof::of((at.path(), at.key.to_owned()), text, part, around));
    }
}

impl Visitor for Scanner {
    #[inline]
    fn scalar(&mut self, at: &Location<'_>, value: Scalar<'_>, _: Range<usize>) {
        if self.side == Side::Idle {
            return;
        }
        let Scalar::Str(text) = value else {
            if self.side == Side::Request && at.key.starts_with('$') {
                self.look(Place::Name, &at.path(), || Where::field(at));
            }
            return;
        };
        if self.side == Side::Answer {
            self.prove(at, text);
            return;
        }
        let place = if self.in_query { Place::Query } else { Place::Body };
        if text.len() >= 2 && may_attack(text.as_bytes()) {
            self.look(place, text, || Where::field(at));
        }
        if at.key.bytes().any(|b| matches!(b, b'$' | b'<' | b'(' | b'\'' | b'.')) || at.key.starts_with("__")
        {
            self.look(Place::Name, &at.path(), || Where::field(at));
        }
    }
}

/// Where something is found.
struct Where {
    location: String,
    name: String,
}

impl Where {
    fn of(location: &str) -> Self {
        Where { location: location.to_owned(), name: String::new() }
    }

    fn under(kind: &str, name: &str) -> Self {
        Where { location: format!("{kind}:{name}"), name: name.to_owned() }
    }

    fn field(at: &Location<'_>) -> Self {
        Where { location: at.path(), name: at.key.to_owned() }
    }
}

/// The gate for values: marks that code needs, or words with spaces. Most values are neither.
#[inline]
fn may_attack(value: &[u8]) -> bool {
    const MARKS: [bool; 256] = {
        let mut table = [false; 256];
        let marks = b"'\"<>(){}[];|$`%\\=&#*/ \n\0!";
        let mut at = 0;
        while at < marks.len() {
            table[marks[at] as usize] = true;
            at += 1;
        }
        table
    };
    value.iter().any(|b| MARKS.get(usize::from(*b)) == Some(&true)) || value.starts_with(b"rO0AB")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sidetap_model::{Headers, Version};
    use sidetap_wire::body::{Kind, walk};

    use super::*;

    fn scanner() -> Scanner {
        Scanner::new(&Arc::new(Pack::builtin().unwrap()))
    }

    fn get(target: &str) -> Request {
        Request {
            method: b"GET".to_vec(),
            target: target.as_bytes().to_vec(),
            version: Version(1, 1),
            headers: Headers::default(),
            body: Default::default(),
        }
    }

    fn answer(status: u16, kind: &str) -> Response {
        let mut headers = Headers::default();
        headers.push(b"Content-Type", kind.as_bytes());
        Response { status, version: Version(1, 1), headers, body: Default::default() }
    }

    #[test]
    fn every_rule_finds_its_examples_and_passes_the_others() {
        let mut scanner = scanner();
        let pack = Arc::clone(&scanner.pack);
        let mut wrong = Vec::new();
        for (id, rule) in pack.rules() {
            assert!(!rule.examples.find.is_empty() && !rule.references.is_empty(), "{}", rule.id);
            assert!(!rule.description.is_empty() && !rule.title.is_empty(), "{}", rule.id);
            let all = rule
                .examples
                .find
                .iter()
                .map(|e| (e, true))
                .chain(rule.examples.pass.iter().map(|e| (e, false)));
            for (example, expected) in all {
                if fits(&mut scanner, id, example) != expected {
                    wrong.push(format!("{}: {example}", rule.id));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    fn fits(scanner: &mut Scanner, id: RuleId, text: &str) -> bool {
        let pack = Arc::clone(&scanner.pack);
        let rule = pack.get(id).unwrap();
        if rule.places == Place::Answer.bit() {
            let found = Rules::standing_in(&pack.answers, &pack.answer_rules, text.as_bytes())
                .iter()
                .any(|r| r == id);
            return found && rule.pattern.as_ref().is_none_or(|p| p.is_match(text));
        }
        let places =
            [Place::Path, Place::Query, Place::Header, Place::Agent, Place::Body, Place::Name, Place::Raw];
        let place = places.into_iter().find(|p| rule.looks_at(*p)).unwrap_or(Place::Cookie);
        scanner.begin();
        scanner.look(place, text, || Where::of(""));
        scanner.take().iter().any(|a| a.rule == id)
    }

    #[test]
    fn an_answer_tells_a_success_from_a_try() {
        let mut scanner = scanner();
        let mut scratch = WalkScratch::default();
        let passwd = b"root:x:0:0:root:/root:/bin/bash\n";
        for (status, body, observed) in [(200, &passwd[..], true), (404, &b"not found here"[..], false)] {
            scanner.begin();
            scanner.request(&get("/download?file=../../../../etc/passwd"));
            scanner.response(&answer(status, "text/plain"));
            walk(Kind::Text, None, body, &Default::default(), &mut scratch, &mut scanner);
            let parts: Vec<_> = scanner.take_proofs().iter().map(|p| p.text.clone()).collect();
            assert_eq!(parts, if observed { vec!["root:x:0:0:"] } else { vec![] }, "and no more of the file");
            let attempts = scanner.take();
            let traversal = attempts.iter().find(|a| a.class() == "path-traversal").unwrap();
            assert_eq!((traversal.is_observed(), traversal.location()), (observed, "query:file"));
        }
    }

    #[test]
    fn an_id_is_clean_but_for_the_needles_that_can_stand_in_it() {
        let mut scanner = scanner();
        for value in ["8c1f0a52-77aa-4f0e-9d11-aced00057372", "aced0005", "2852039166"] {
            assert!(!scanner.pack.is_clean_id(value.as_bytes()), "{value}");
        }
        assert!(scanner.pack.is_clean_id(b"8c1f0a52-77aa-4f0e-9d11-aced00047372"));
        scanner.begin();
        let mut request = get("/");
        request.headers.push(b"X-Request-Id", b"aced00057372001164617665");
        scanner.request(&request);
        assert_eq!(scanner.take().iter().map(|a| a.class()).collect::<Vec<_>>(), ["deserialization"]);
    }

    #[test]
    fn a_payload_that_comes_back_in_a_page_is_observed() {
        let mut scanner = scanner();
        let mut scratch = WalkScratch::default();
        for (kind, observed) in [("text/html", true), ("application/json", false)] {
            scanner.begin();
            scanner.request(&get("/search?q=%3Cscript%3Ealert(1)%3C/script%3E"));
            scanner.response(&answer(200, kind));
            let page = b"<html>No results for <script>alert(1)</script></html>";
            walk(Kind::Html, None, page, &Default::default(), &mut scratch, &mut scanner);
            assert!(scanner.take().iter().all(|a| a.class() != "xss" || a.is_observed() == observed));
        }
    }

    #[test]
    fn names_carry_attempts_too() {
        let mut scanner = scanner();
        let mut scratch = WalkScratch::default();
        scanner.begin();
        scanner.request(&get("/login?user[$ne]=x"));
        let body = br#"{"user":"ada","password":{"$gt":""}}"#;
        walk(Kind::Json, None, body, &Default::default(), &mut scratch, &mut scanner);
        let found: Vec<_> =
            scanner.take().iter().map(|a| format!("{} {}", a.class(), a.location())).collect();
        assert_eq!(found, ["nosql-injection query:user[$ne]", "nosql-injection $.password.$gt"]);
    }

    #[test]
    fn the_answers_to_honest_requests_are_not_read() {
        let mut scanner = scanner();
        scanner.begin();
        scanner.request(&get("/v1/items?page=2"));
        scanner.response(&answer(200, "application/json"));
        assert_eq!(scanner.side, Side::Idle);
    }

    #[test]
    fn what_people_and_programs_send_is_no_attempt() {
        let mut scanner = scanner();
        let mut scratch = WalkScratch::default();
        let body = br#"{"comment":"Tom & Ann's shop: 50% off (today); see https://example.com/a?b=1&c=2 -- or call!",
            "html":"<p class=\"x\">Hello <b>you</b></p>","tpl":"Dear {{ user.name }}, it's $5 or {price}",
            "sql":"the union selects; drop by at 10","path":"./img/../a.png","time":"2026-01-01T00:00:00+01:00",
            "code":"if (a && b) { return c; }","math":"1 + 1 = 2 and 3 < 4","name":"O'Brien; D'Arcy"}"#;
        for target in [
            "/v1/items/17?filter=name eq 'x' or price lt 5&sort=-date",
            "/search?q=rock+%26+roll+%22live%22",
            "/a/..b/c",
        ] {
            scanner.begin();
            let mut request = get(target);
            request.headers.push(
                b"User-Agent",
                b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)",
            );
            request.headers.push(b"Referer", b"https://example.com/a/../b?x=(1)");
            request.headers.push(b"Cookie", b"sid=s%3Aabc.def; prefs={%22a%22:1}");
            scanner.request(&request);
            walk(Kind::Json, None, body, &Default::default(), &mut scratch, &mut scanner);
            assert_eq!(scanner.take(), [], "{target}");
        }
    }

    proptest! {
        #[test]
        fn no_request_makes_it_panic(target in "/[ -~é%'<${]{0,60}", body in "[ -~é\n]{0,80}", status in 100..600_u16) {
            static PACK: std::sync::LazyLock<Arc<Pack>> = std::sync::LazyLock::new(|| Arc::new(Pack::builtin().unwrap()));
            let mut scanner = Scanner::new(&PACK);
            scanner.begin();
            scanner.request(&get(&target));
            scanner.response(&answer(status, "text/html"));
            walk(Kind::Text, None, body.as_bytes(), &Default::default(), &mut WalkScratch::default(), &mut scanner);
            prop_assert!(scanner.take().len() <= ATTEMPT_LIMIT);
        }
    }
}
