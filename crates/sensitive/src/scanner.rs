use std::ops::Range;
use std::sync::Arc;

use sidetap_model::{HashKey, Headers};
use sidetap_wire::body::{Location, Places, Scalar, Visitor, WalkScratch, hash_str, walk_query};
use smallvec::SmallVec;

use crate::clean::Clean;
use crate::context::{Naming, parent_of};
use crate::find::{Finder, is_measure};
use crate::headers::is_expected;
use crate::pack::{Find, Pack, TypeId};

/// A part of a value that reads as a type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hit {
    /// The best reading.
    pub kind: TypeId,
    /// Where in the value.
    pub span: Range<usize>,
    /// 0 to 100.
    pub confidence: u8,
    /// Other types that it would fit.
    pub alternatives: SmallVec<[TypeId; 2]>,
}

/// The hits of one value, in order, without overlaps.
pub type Hits = Vec<Hit>;

/// Which way data goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Dir {
    /// To the server.
    #[default]
    Request,
    /// From the server.
    Response,
}

impl Dir {
    /// The name that outputs use.
    pub const fn name(self) -> &'static str {
        match self {
            Dir::Request => "request",
            Dir::Response => "response",
        }
    }
}

/// A type at a place of one exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sighting {
    /// Which way.
    pub direction: Dir,
    /// `$.a.b`, `header:x`, `query:q`, `path:N` with the number of the segment.
    pub location: String,
    /// The type.
    pub kind: TypeId,
    /// Other types that the value would fit.
    pub alternatives: SmallVec<[TypeId; 2]>,
    /// 0 to 100, the highest of its values.
    pub confidence: u8,
    /// Values.
    pub count: u32,
    /// The first of them, masked.
    pub masked: String,
    /// Keyed hash of the first.
    pub digest: u64,
}

impl Sighting {
    /// Bytes that it holds besides its own size.
    pub fn heap_bytes(&self) -> usize {
        let others = if self.alternatives.spilled() { size_of_val(self.alternatives.as_slice()) } else { 0 };
        self.location.len() + self.masked.len() + others
    }
}

/// Sightings kept of one exchange.
const SIGHTING_LIMIT: usize = 64;
/// Readings of path segments that are less sure are not told: most segments are words and ids.
const PATH_FLOOR: u8 = 60;
/// Names whose meaning is remembered; a power of two.
const NAME_SLOTS: usize = 1024;

/// Looks for sensitive data, value by value. One a worker; what it remembers changes its speed alone.
#[derive(Debug)]
pub struct Scanner {
    pack: Arc<Pack>,
    key: HashKey,
    floor: u8,
    bare: u32,
    fractions: bool,
    names: Names,
    clean_fields: Clean,
    clean_segments: Clean,
    places: Places<Naming>,
    hits: Hits,
    direction: Dir,
    sightings: Vec<Sighting>,
    count_as: u32,
    /// Place, type and direction of each sighting.
    marks: Vec<(u64, TypeId, Dir)>,
    dropped: u64,
    walk: Option<Box<WalkScratch>>,
}

impl Scanner {
    /// A scanner that reports readings of at least even odds.
    pub fn new(pack: &Arc<Pack>, key: HashKey) -> Self {
        Scanner {
            pack: Arc::clone(pack),
            key,
            floor: 50,
            bare: pack.bare_lengths(50),
            fractions: pack.has_fractions(),
            names: Names::new(),
            clean_fields: Clean::default(),
            clean_segments: Clean::default(),
            places: Places::default(),
            hits: Hits::new(),
            direction: Dir::Request,
            sightings: Vec::new(),
            count_as: 1,
            marks: Vec::new(),
            dropped: 0,
            walk: None,
        }
    }

    /// Reports readings of at least this confidence.
    #[must_use]
    pub fn with_floor(mut self, floor: u8) -> Self {
        self.floor = floor;
        self.bare = self.pack.bare_lengths(floor);
        (self.clean_fields, self.clean_segments) = Default::default();
        self
    }

    /// The types that it knows.
    pub fn pack(&self) -> &Arc<Pack> {
        &self.pack
    }

    /// Looks at one value under a name; hits are added.
    pub fn value(&mut self, key: &str, value: &str, hits: &mut Hits) {
        self.named_value(hash_str(key), || "", key, value, hits);
    }

    /// As [`Scanner::value`], for a place in a body: what the place's name says is remembered by its hash.
    pub fn value_at(&mut self, at: &Location<'_>, value: &str, hits: &mut Hits) {
        self.named_value(at.hash, || at.path(), at.key, value, hits);
    }

    fn named_value<P: AsRef<str>>(
        &mut self,
        hash: u64,
        path: impl FnOnce() -> P,
        key: &str,
        value: &str,
        hits: &mut Hits,
    ) {
        if let Some(name) = naming(&self.pack, &mut self.names, hash, path, key) {
            Finder::new(&self.pack, value, name, self.floor, hits).run();
        }
    }

    /// Begins a request or a response: what is seen from now on is of it.
    pub fn begin(&mut self, direction: Dir) {
        self.direction = direction;
        self.count_as = 1;
    }

    /// From here to the next [`Scanner::begin`] each value counts as `count`, at least 1: it was chosen from as many.
    pub fn count_as(&mut self, count: u32) {
        self.count_as = count.max(1);
    }

    /// Gives what was seen since the last time.
    pub fn take(&mut self) -> Vec<Sighting> {
        self.marks.clear();
        std::mem::take(&mut self.sightings)
    }

    /// Sightings that an exchange had above its limit, in all.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Looks at the parameters of a query.
    pub fn query(&mut self, query: &[u8]) {
        let mut walk = self.walk.take().unwrap_or_default();
        walk_query(query, &mut walk, &mut Parameters(self));
        self.walk = Some(walk);
    }

    /// Looks at the segments of a path, as sent; each stands at `path:N`, from 1.
    pub fn path(&mut self, path: &str) {
        let mut before = "";
        let has_parameters = memchr::memchr(b';', path.as_bytes()).is_some();
        let Some(mut start) = memchr::memchr(b'/', path.as_bytes()).map(|at| at + 1) else { return };
        for at in 1..=32 {
            let Some(rest) = path.get(start..) else { return };
            let len = memchr::memchr(b'/', rest.as_bytes()).unwrap_or(rest.len());
            let segment = rest.get(..len).unwrap_or_default();
            let segment = match has_parameters.then(|| segment.split_once(';')).flatten() {
                Some((named, _)) => named,
                None => segment,
            };
            start += len + 1;
            if segment.len() > 4 && !self.clean_segments.knows(before.as_bytes(), segment.as_bytes()) {
                self.segment(before, segment, at);
            }
            before = segment;
        }
    }

    /// A segment that the one before does not name is taken for an id. What stands before it is no name of a field: types
    /// that rest on their name alone are not looked for (`/password/forgot`).
    fn segment(&mut self, before: &str, segment: &str, at: usize) {
        let known = if self.pack.phrases.may_name(before) {
            naming(&self.pack, &mut self.names, hash_str(before), || "", before)
        } else {
            None
        };
        let name = match known {
            Some(known) if known.types.iter().any(|id| rests_on_value(&self.pack, *id)) => {
                let mut known = known.clone();
                known.types.retain(|id| rests_on_value(&self.pack, *id));
                known
            }
            _ => Naming { other: true, ..Naming::default() },
        };
        let mut hits = std::mem::take(&mut self.hits);
        hits.clear();
        Finder::new(&self.pack, segment, &name, self.floor.max(PATH_FLOOR), &mut hits).run();
        if hits.is_empty() {
            self.clean_segments.learn(before.as_bytes(), segment.as_bytes());
        }
        for hit in &hits {
            self.note(hit, segment, || format!("path:{at}"));
        }
        self.hits = hits;
    }

    /// Looks at header fields: all but those that carry credentials or describe the message.
    pub fn headers(&mut self, headers: &Headers) {
        for (name, value) in headers.iter().take(128) {
            if value.len() < 5 || is_expected(name) || self.clean_fields.knows(name, value) {
                continue;
            }
            let (Ok(key), Ok(text)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
                continue;
            };
            let mut hits = std::mem::take(&mut self.hits);
            hits.clear();
            self.value(key, text, &mut hits);
            if hits.is_empty() {
                self.clean_fields.learn(name, value);
            }
            for hit in &hits {
                self.note(hit, text, || format!("header:{}", key.to_ascii_lowercase()));
            }
            self.hits = hits;
        }
    }

    fn note_all(&mut self, at: &Location<'_>, text: &str) {
        let hits = std::mem::take(&mut self.hits);
        for hit in &hits {
            self.note_at(hit, text, at.hash, || at.path());
        }
        self.hits = hits;
    }

    fn note(&mut self, hit: &Hit, value: &str, location: impl Fn() -> String) {
        let location = location();
        self.note_at(hit, value, hash_str(&location), || location);
    }

    /// Notes a hit at the place that `place` is the hash of.
    fn note_at(&mut self, hit: &Hit, value: &str, place: u64, location: impl FnOnce() -> String) {
        let mark = (place, hit.kind, self.direction);
        let known = self.marks.iter().position(|m| *m == mark).and_then(|at| self.sightings.get_mut(at));
        if let Some(known) = known {
            known.count = known.count.saturating_add(self.count_as);
            known.confidence = known.confidence.max(hit.confidence);
            return;
        }
        if self.sightings.len() == SIGHTING_LIMIT {
            self.dropped += 1;
            return;
        }
        let secret = value.get(hit.span.clone()).unwrap_or_default();
        self.marks.push(mark);
        self.sightings.push(Sighting {
            direction: self.direction,
            location: location(),
            kind: hit.kind,
            alternatives: hit.alternatives.clone(),
            confidence: hit.confidence,
            count: self.count_as,
            masked: self.pack.get(hit.kind).map_or_else(String::new, |t| t.masked(secret)),
            digest: self.key.hash64("sensitive", secret.as_bytes()),
        });
    }
}

impl Visitor for Scanner {
    /// Most values are numbers of which nothing is said and nothing is written with: they go no further.
    #[inline(always)]
    fn scalar(&mut self, at: &Location<'_>, value: Scalar<'_>, _: Range<usize>) {
        let (Scalar::Str(text) | Scalar::Num(text)) = value else { return };
        if text.len() < 3 {
            return;
        }
        let pack = &self.pack;
        let Some(naming) = self.places.get_or_insert_with(at, || naming_of(pack, at)) else { return };
        let number = matches!(value, Scalar::Num(_));
        let passed = number && (naming.other || text.len() > 31 || self.bare >> text.len() & 1 == 0);
        if !passed || !naming.types.is_empty() {
            self.value_in_body(at, text, number);
        }
    }
}

impl Scanner {
    #[inline(never)]
    fn value_in_body(&mut self, at: &Location<'_>, text: &str, number: bool) {
        let pack = &self.pack;
        let Some(naming) = self.places.get_or_insert_with(at, || naming_of(pack, at)) else { return };
        if naming.types.is_empty() {
            let measure = number && !self.fractions && is_measure(text.as_bytes());
            if measure || !Finder::may_hold_unnamed(pack, text) {
                return;
            }
        }
        self.hits.clear();
        Finder::new(pack, text, naming, self.floor, &mut self.hits).search();
        if !self.hits.is_empty() {
            self.note_all(at, text);
        }
    }
}

#[cold]
#[inline(never)]
fn naming_of(pack: &Pack, at: &Location<'_>) -> Naming {
    pack.phrases.of_name(parent_of(&at.path(), at.key), at.key)
}

/// The parameters of a query on their way to a scanner.
struct Parameters<'s>(&'s mut Scanner);

impl Visitor for Parameters<'_> {
    fn scalar(&mut self, at: &Location<'_>, value: Scalar<'_>, _: Range<usize>) {
        let (Scalar::Str(text) | Scalar::Num(text)) = value else { return };
        if text.len() < 3 {
            return;
        }
        let scanner = &mut *self.0;
        let name = naming(&scanner.pack, &mut scanner.names, at.hash, || at.path(), at.key);
        let Some(name) = name.filter(|name| Finder::may_hold(&scanner.pack, text, name)) else { return };
        scanner.hits.clear();
        Finder::new(&scanner.pack, text, name, scanner.floor, &mut scanner.hits).search();
        scanner.note_all(at, text);
    }
}

/// What names say, remembered by the hash of their path. Hashes stand apart so that they stay in the nearest cache.
#[derive(Debug)]
struct Names {
    hashes: Vec<u64>,
    namings: Vec<Naming>,
}

impl Names {
    fn new() -> Self {
        Names { hashes: vec![0; NAME_SLOTS], namings: vec![Naming::default(); NAME_SLOTS] }
    }
}

/// What a place's name says.
#[inline]
fn naming<'n, P: AsRef<str>>(
    pack: &Pack,
    names: &'n mut Names,
    hash: u64,
    path: impl FnOnce() -> P,
    key: &str,
) -> Option<&'n Naming> {
    let slot = (hash >> 20) as usize & (NAME_SLOTS - 1);
    let known = names.hashes.get_mut(slot)?;
    if *known != hash {
        *known = hash;
        *names.namings.get_mut(slot)? = pack.phrases.of_name(parent_of(path().as_ref(), key), key);
    }
    names.namings.get(slot)
}

/// False of types that are known by their name alone: whole values, and numbers without check.
fn rests_on_value(pack: &Pack, id: TypeId) -> bool {
    pack.get(id)
        .is_some_and(|kind| kind.find != Find::Key && (kind.find != Find::Digits || kind.validator.is_some()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scanner() -> Scanner {
        Scanner::new(&Arc::new(Pack::builtin().unwrap()), HashKey::from_bytes([1; 16]))
    }

    #[test]
    fn every_type_finds_its_examples_and_passes_the_others() {
        let mut scanner = scanner();
        let pack = Arc::clone(scanner.pack());
        let mut wrong = Vec::new();
        for (id, kind) in pack.types() {
            assert!(!kind.description.is_empty() && !kind.class.is_empty(), "{}", kind.id);
            assert!(!kind.examples.find.is_empty() && !kind.examples.pass.is_empty(), "{}", kind.id);
            let all = kind
                .examples
                .find
                .iter()
                .map(|e| (e, true))
                .chain(kind.examples.pass.iter().map(|e| (e, false)));
            for (example, expected) in all {
                let (key, value) = example.split_once(": ").unwrap_or(("", example));
                let mut hits = Hits::new();
                scanner.value(key, value, &mut hits);
                if hits.iter().any(|h| h.kind == id) != expected {
                    let found: Vec<_> = hits.iter().map(|h| &pack.get(h.kind).unwrap().id).collect();
                    wrong.push(format!("{}: {example} reads as {found:?}", kind.id));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn sightings_say_where_and_never_what() {
        let mut scanner = scanner();
        scanner.begin(Dir::Response);
        let body = br#"{"users":[{"email":"ada@example.org"},{"email":"bob@example.org"}],"card":{"number":"4111111111111111"}}"#;
        let mut scratch = WalkScratch::default();
        let kind = sidetap_wire::body::Kind::Json;
        sidetap_wire::body::walk(kind, None, body, &Default::default(), &mut scratch, &mut scanner);
        scanner.query(b"ssn=219-09-9998");
        scanner.path("/users/ada@example.org/x");
        let seen = scanner.take();
        let pack = scanner.pack();
        let found: Vec<_> = seen
            .iter()
            .map(|s| format!("{} {} {} {}", s.location, pack.get(s.kind).unwrap().id, s.count, s.masked))
            .collect();
        assert_eq!(
            found,
            [
                "$.users[*].email email 2 a***",
                "$.card.number credit-card 1 4***1111",
                "query:ssn us-ssn 1 ***998",
                "path:2 email 1 a***"
            ]
        );
        assert!(scanner.take().is_empty());
    }

    #[test]
    fn a_value_that_was_chosen_counts_for_its_like() {
        let mut scanner = scanner();
        let body = br#"[{"email":"ada@example.org"},{"email":"bob@example.org"}]"#;
        let mut counts = Vec::new();
        for chosen_of in [0, 1, 8] {
            scanner.begin(Dir::Response);
            scanner.count_as(chosen_of);
            let kind = sidetap_wire::body::Kind::Json;
            sidetap_wire::body::walk(
                kind,
                None,
                body,
                &Default::default(),
                &mut WalkScratch::default(),
                &mut scanner,
            );
            counts.extend(scanner.take().iter().map(|s| s.count));
        }
        scanner.begin(Dir::Request);
        scanner.query(b"email=ada%40example.org");
        counts.extend(scanner.take().iter().map(|s| s.count));
        assert_eq!(counts, [2, 2, 16, 1]);
    }

    /// What stood at a place before says nothing of what comes.
    #[test]
    fn a_card_is_found_where_other_values_stood() {
        let mut scanner = scanner();
        let mut scratch = WalkScratch::default();
        let mut scan = |value: &str| {
            let body = format!(r#"{{"points":[{value}]}}"#);
            let limits = Default::default();
            sidetap_wire::body::walk(
                sidetap_wire::body::Kind::Json,
                None,
                body.as_bytes(),
                &limits,
                &mut scratch,
                &mut scanner,
            );
            scanner.take().len()
        };
        for value in ["-4111111111111111", "4111111111111.111", "\"some words\"", "4111", "\"4111-aa-17\""] {
            assert_eq!(scan(value), 0, "{value}");
        }
        for value in
            ["4111111111111111", "\"4111111111111111\"", "\"4111-1111-1111-1111\"", "\"to 4111111111111111\""]
        {
            assert_eq!(scan(value), 1, "{value}");
        }
    }

    #[test]
    fn the_manual_lists_the_types() {
        let manual = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sensitive.md");
        let manual = std::fs::read_to_string(manual).unwrap();
        let rows = manual.lines().filter(|l| l.starts_with("| ") && l.contains(" | `"));
        let mut listed: Vec<&str> = rows.flat_map(|l| l.split('`').skip(1).step_by(2)).collect();
        let pack = Pack::builtin().unwrap();
        let mut known: Vec<&str> = pack.types().map(|(_, t)| t.id.as_str()).collect();
        listed.sort_unstable();
        known.sort_unstable();
        assert_eq!(listed, known);
    }

    #[test]
    fn a_path_names_no_fields() {
        let mut scanner = scanner();
        scanner.begin(Dir::Request);
        for path in [
            "/password/forgot",
            "/v1/pass/weekly-ticket",
            "/passport/renewal2026",
            "/api-key/rotate-now-12ab",
            "/otp/123456",
        ] {
            scanner.path(path);
        }
        assert_eq!(scanner.take(), []);
        scanner.path("/ssn/219-09-9998");
        scanner.path("/card/4111111111111111");
        let seen = scanner.take();
        let found: Vec<_> = seen.iter().map(|s| scanner.pack().get(s.kind).unwrap().id.as_str()).collect();
        assert_eq!(found, ["us-ssn", "credit-card"]);
    }

    /// Values like those that types look for, broken here and there.
    fn odd_value() -> impl Strategy<Value = String> {
        prop_oneof![
            "[0-9 .+()/-]{0,40}",
            "[0-9a-f:.@-]{0,40}",
            "[A-Z0-9 éß]{0,40}",
            "(password|pwd|ssn|card)? ?(is |: )?.{0,30}",
            "(ghp_|AKIA|eyJ|xoxb-|-----BEGIN |://|sk-|é)[A-Za-z0-9_.:@/é-]{0,60}",
            any::<String>(),
        ]
    }

    proptest! {
        #[test]
        fn hits_stand_in_the_value_apart_and_in_order(value in odd_value(), key in "[a-zA-Z_ ]{0,12}|ssn|phone|iban|password") {
            static PACK: std::sync::LazyLock<Arc<Pack>> = std::sync::LazyLock::new(|| Arc::new(Pack::builtin().unwrap()));
            let pack = Arc::clone(&PACK);
            let mut scanner = Scanner::new(&pack, HashKey::from_bytes([1; 16])).with_floor(0);
            let mut hits = Hits::new();
            scanner.value(&key, &value, &mut hits);
            let mut end = 0;
            for hit in &hits {
                prop_assert!(hit.span.start >= end && hit.span.end > hit.span.start);
                let found = value.get(hit.span.clone()).unwrap();
                prop_assert!(!pack.get(hit.kind).unwrap().masked(found).contains(found));
                end = hit.span.end;
            }
            scanner.path(&format!("/{key}/{value}"));
            scanner.query(value.as_bytes());
        }
    }
}
