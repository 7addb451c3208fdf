use std::path::Path;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use memchr::memmem;
use regex_automata::meta::Regex;
use serde::Deserialize;

use crate::class::Class;
use crate::error::ThreatError;

/// A rule of a [`Pack`], by its place in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RuleId(pub u16);

/// Parts of an exchange that a rule looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    /// The path.
    Path,
    /// Values and names of the query.
    Query,
    /// Header fields but `User-Agent`.
    Header,
    /// `User-Agent`.
    Agent,
    /// Values of cookies.
    Cookie,
    /// Values in the body.
    Body,
    /// Names in the body and the query.
    Name,
    /// The body as sent, its first part.
    Raw,
    /// What the answer says: a proof, not an attempt.
    Answer,
}

impl Place {
    pub(crate) const fn bit(self) -> u16 {
        1 << self as u16
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    id: String,
    class: Class,
    title: String,
    description: String,
    severity: String,
    #[serde(default)]
    owasp: Vec<String>,
    references: Vec<String>,
    #[serde(rename = "where")]
    places: Vec<Place>,
    needles: Vec<String>,
    pattern: Option<String>,
    examples: Examples,
}

/// What a rule must find and must not find: its tests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Examples {
    /// Values in which it finds something.
    pub find: Vec<String>,
    /// Values in which it does not.
    pub pass: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rules: Vec<Raw>,
}

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// `sqli-union`.
    pub id: String,
    /// What it is after.
    pub class: Class,
    /// One line.
    pub title: String,
    /// What it finds, and what to do.
    pub description: String,
    /// `low` to `critical`.
    pub severity: String,
    /// OWASP categories.
    pub owasp: Vec<String>,
    /// Where that is written.
    pub references: Vec<String>,
    /// Its tests.
    pub examples: Examples,
    pub(crate) places: u16,
    pub(crate) pattern: Option<Regex>,
}

impl Rule {
    pub(crate) fn looks_at(&self, place: Place) -> bool {
        self.places & place.bit() != 0
    }
}

/// Rules, made ready to look with.
#[derive(Debug)]
pub struct Pack {
    rules: Vec<Rule>,
    /// The few needles that can stand in an id ([`is_id`]).
    id_needles: Vec<memmem::Finder<'static>>,
    pub(crate) needles: AhoCorasick,
    pub(crate) needle_rules: Vec<RuleId>,
    pub(crate) answers: AhoCorasick,
    pub(crate) answer_rules: Vec<RuleId>,
}

const BUILTIN: &[(&str, &str)] = &[
    ("builtin/injection.yaml", include_str!("../packs/injection.yaml")),
    ("builtin/probes.yaml", include_str!("../packs/probes.yaml")),
    ("builtin/answers.yaml", include_str!("../packs/answers.yaml")),
];

/// Most rules of a pack: what one bit set holds.
pub(crate) const RULE_LIMIT: usize = 256;

impl Pack {
    /// The rules that come with Sidetap.
    pub fn builtin() -> Result<Pack, ThreatError> {
        Pack::compile(builtin()?)
    }

    /// The rules that come with Sidetap and those of a directory's `*.yaml` files; one of the same id replaces.
    pub fn load_dir(dir: &Path) -> Result<Pack, ThreatError> {
        let failed = |source| ThreatError::Read { path: dir.to_owned(), source };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
                paths.push(path);
            }
        }
        paths.sort();
        let mut all = builtin()?;
        for path in paths {
            let text = std::fs::read_to_string(&path)
                .map_err(|source| ThreatError::Read { path: path.clone(), source })?;
            for new in parse(&path.display().to_string(), &text)? {
                match all.iter_mut().find(|(_, old)| old.id == new.1.id) {
                    Some(old) => *old = new,
                    None => all.push(new),
                }
            }
        }
        Pack::compile(all)
    }

    /// The rule with this place.
    pub fn get(&self, id: RuleId) -> Option<&Rule> {
        self.rules.get(usize::from(id.0))
    }

    /// Each rule.
    pub fn rules(&self) -> impl Iterator<Item = (RuleId, &Rule)> {
        self.rules.iter().enumerate().map(|(i, r)| (RuleId(i as u16), r))
    }

    /// True of an id in which no needle stands; of other values nothing is said.
    pub(crate) fn is_clean_id(&self, value: &[u8]) -> bool {
        is_id(value) && self.is_clean_of_ids(value)
    }

    /// True where no needle that an id may hold stands in it.
    pub(crate) fn is_clean_of_ids(&self, value: &[u8]) -> bool {
        self.id_needles.iter().all(|n| n.find(value).is_none())
    }

    fn compile(raws: Vec<(String, Raw)>) -> Result<Pack, ThreatError> {
        let (mut rules, mut needles, mut answers) = (Vec::new(), Needles::default(), Needles::default());
        for (at, (file, raw)) in raws.into_iter().enumerate() {
            let id = raw.id.clone();
            let failed = |reason: String| ThreatError::Rule { file: file.clone(), id: id.clone(), reason };
            if at >= RULE_LIMIT {
                return Err(failed(format!("more than {RULE_LIMIT} rules")));
            }
            if raw.needles.is_empty() || raw.needles.iter().any(|n| n.len() < 2) {
                return Err(failed("needles of two bytes or more are needed".to_owned()));
            }
            let rule = RuleId(at as u16);
            let places = raw.places.iter().fold(0, |bits, p| bits | p.bit());
            if places & Place::Answer.bit() != 0 {
                answers.add(rule, &raw.needles);
            }
            if places & !Place::Answer.bit() != 0 {
                needles.add(rule, &raw.needles);
            }
            let pattern = match raw.pattern.as_deref().map(compiled) {
                Some(result) => Some(result.map_err(failed)?),
                None => None,
            };
            rules.push(Rule {
                id: raw.id,
                class: raw.class,
                title: raw.title,
                description: raw.description,
                severity: raw.severity,
                owasp: raw.owasp,
                references: raw.references,
                examples: raw.examples,
                places,
                pattern,
            });
        }
        Ok(Pack {
            rules,
            id_needles: needles.within_ids(),
            needles: needles.automaton()?,
            needle_rules: needles.rules,
            answers: answers.automaton()?,
            answer_rules: answers.rules,
        })
    }
}

/// True of lower-case hexadecimal digits and dashes: ids of requests and traces.
fn is_id(value: &[u8]) -> bool {
    value.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}

fn builtin() -> Result<Vec<(String, Raw)>, ThreatError> {
    let mut all = Vec::new();
    for (file, text) in BUILTIN {
        all.extend(parse(file, text)?);
    }
    Ok(all)
}

fn parse(file: &str, text: &str) -> Result<Vec<(String, Raw)>, ThreatError> {
    let parsed: File = serde_yaml_ng::from_str(text)
        .map_err(|source| ThreatError::Yaml { file: file.to_owned(), source })?;
    Ok(parsed.rules.into_iter().map(|r| (file.to_owned(), r)).collect())
}

/// Patterns are of bytes, letter case aside: classes are those of ASCII, which keeps the automata small.
fn compiled(pattern: &str) -> Result<Regex, String> {
    let syntax =
        regex_automata::util::syntax::Config::new().unicode(false).utf8(false).case_insensitive(true);
    Regex::builder()
        .configure(Regex::config().utf8_empty(false))
        .syntax(syntax.dot_matches_new_line(true))
        .build(pattern)
        .map_err(|e| format!("pattern: {e}"))
}

#[derive(Default)]
struct Needles {
    texts: Vec<String>,
    rules: Vec<RuleId>,
}

impl Needles {
    fn within_ids(&self) -> Vec<memmem::Finder<'static>> {
        let ids = self.texts.iter().filter(|n| is_id(n.as_bytes()));
        ids.map(|n| memmem::Finder::new(n).into_owned()).collect()
    }

    fn add(&mut self, rule: RuleId, needles: &[String]) {
        self.rules.extend(needles.iter().map(|_| rule));
        self.texts.extend(needles.iter().map(|n| n.to_ascii_lowercase()));
    }

    fn automaton(&self) -> Result<AhoCorasick, ThreatError> {
        AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::DFA))
            .ascii_case_insensitive(true)
            .build(&self.texts)
            .map_err(|_| ThreatError::Needles)
    }
}
