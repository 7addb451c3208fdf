//! Rules over verdicts: reading them.

use std::collections::BTreeMap;

use sidetap_model::{Decoy, Mode, Rate, SubjectKind, Tag};

use super::Reader;
use super::raw::{OneOrMore, RawDecoy, RawEscalation, RawPrefix, RawRule};
use crate::condition::Condition;
use crate::duration::{format_ttl, parse_ttl};
use crate::rule_scope::RuleScope;
use crate::schedule::{RawSchedule, Schedule};
use crate::{Response, nearest};

/// A rule as it is used.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) description: String,
    pub(crate) references: Vec<String>,
    pub(crate) when: Condition,
    /// Where the condition stands in the file, and whether its own places on its first line are places of that line.
    pub(crate) when_at: Scalar,
    /// The wanted one first, then weaker ones in its place.
    pub(crate) responses: Vec<Response>,
    pub(crate) ttl_s: u64,
    pub(crate) priority: i32,
    pub(crate) enabled: bool,
    pub(crate) source: String,
    pub(crate) subjects: Vec<Choice>,
    /// Whether it names its subjects, and none.
    pub(crate) names_nobody: bool,
    pub(crate) prefix: Prefix,
    pub(crate) scope: RuleScope,
    pub(crate) schedule: Option<Schedule>,
    pub(crate) escalation: Option<Escalation>,
    pub(crate) mode: Option<Mode>,
    pub(crate) how: How,
    /// Where its parts stand in the file, those that are there.
    pub(crate) at: BTreeMap<&'static str, (usize, usize)>,
}

/// The particulars of a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct How {
    pub(crate) rate: Option<Rate>,
    pub(crate) delay_ms: Option<u32>,
    pub(crate) decoy: Option<Decoy>,
    pub(crate) tag: Option<Tag>,
    pub(crate) countries: Vec<String>,
}

/// A way to say whom a verdict is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// As the verdict names it.
    Verdict,
    /// Its addresses as one network with others of the same rule, see [`Prefix`].
    Prefix,
    /// All of these at once.
    Parts(Vec<SubjectKind>),
}

/// Where a scalar stands in a file, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scalar {
    line: usize,
    column: usize,
    /// Characters before the value, where its first line stands there as it is.
    inside: Option<usize>,
}

impl Scalar {
    /// The place in the file of a place in the value: exact where that is on its first line.
    pub(crate) fn place(&self, (line, column): (usize, usize)) -> (usize, usize) {
        match self.inside {
            Some(quoted) if line == 1 => (self.line, self.column + quoted + column - 1),
            _ => (self.line, self.column),
        }
    }
}

/// When addresses become a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) members: usize,
    pub(crate) v4: u8,
    pub(crate) v6: u8,
}

/// What follows when somebody is at it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Escalation {
    pub(crate) within_s: u64,
    pub(crate) steps: Vec<Step>,
}

/// A step of an escalation; what it leaves out stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) response: Option<Response>,
    pub(crate) ttl_s: Option<u64>,
}

/// What a policy may call the parts of a subject.
const PARTS: [(&str, SubjectKind); 11] = [
    ("address", SubjectKind::Ip),
    ("session", SubjectKind::Session),
    ("account", SubjectKind::Account),
    ("api-key", SubjectKind::ApiKey),
    ("fingerprint", SubjectKind::Fingerprint),
    ("header", SubjectKind::Header),
    ("country", SubjectKind::Country),
    ("network", SubjectKind::Network),
    ("host", SubjectKind::Host),
    ("method", SubjectKind::Method),
    ("path", SubjectKind::Path),
];

impl Choice {
    /// How a policy writes it.
    pub(crate) fn name(&self) -> String {
        let part = |k: &SubjectKind| PARTS.iter().find(|(_, kind)| kind == k).map_or("", |(name, _)| name);
        match self {
            Choice::Verdict => "verdict".to_owned(),
            Choice::Prefix => "prefix".to_owned(),
            Choice::Parts(parts) => parts.iter().map(part).collect::<Vec<_>>().join("+"),
        }
    }
}

impl Reader<'_> {
    pub(super) fn rules(&mut self, raw: Vec<RawRule>) -> Vec<Rule> {
        let mut rules: Vec<Rule> = Vec::with_capacity(raw.len());
        for (index, raw) in raw.into_iter().enumerate() {
            self.check_id("rules", index, &raw.id, rules.iter().any(|r| r.id == raw.id));
            if let Some(rule) = self.rule(index, raw) {
                rules.push(rule);
            }
        }
        rules
    }

    fn rule(&mut self, index: usize, raw: RawRule) -> Option<Rule> {
        let list = ("rules", index);
        let when = self.condition(index, &raw.when);
        let responses = self.responses(list, &raw.response);
        let steps = raw.escalate.map(|e| self.escalation(index, e));
        let acts = responses.iter().flatten().any(|r| r.acts());
        let ttl_s = self.ttl(list, &raw.id, raw.ttl.as_deref(), acts);
        let how =
            self.how(list, raw.rate.as_deref(), raw.delay.as_deref(), raw.decoy, raw.tag, raw.countries);
        if responses.iter().flatten().any(|r| *r == Response::GeoFence) && how.countries.is_empty() {
            let here = self.places.of_item("rules", index, "response");
            let hint = "those that are let through: `countries: [DE, AT]`";
            self.tell(here, "`geo-fence` needs `countries`".into(), Some(hint.into()));
        }
        let is_said = raw.subjects.is_some();
        let named = raw.subjects.unwrap_or_default();
        let names_nobody = is_said && named.is_empty();
        let subjects = self.choices(index, &named);
        let prefix = self.prefix(index, raw.prefix);
        let schedule = raw.schedule.and_then(|s| self.schedule(index, &s));
        let mode = self.mode(list, raw.mode.as_deref());
        Some(Rule {
            id: raw.id,
            description: raw.description,
            references: raw.references,
            when: when?,
            when_at: self.scalar(self.places.of_item("rules", index, "when"), &raw.when),
            responses: responses?,
            ttl_s: ttl_s?,
            priority: raw.priority,
            enabled: raw.enabled,
            source: self.file.to_owned(),
            subjects,
            names_nobody,
            prefix,
            scope: self.scope(index, raw.scope),
            schedule,
            escalation: steps.flatten(),
            mode,
            how,
            at: self.parts_of(index),
        })
    }

    /// Where the parts of a rule stand that remarks are made of.
    fn parts_of(&self, index: usize) -> BTreeMap<&'static str, (usize, usize)> {
        let of = |key: &str| self.places.of_item("rules", index, key);
        let nowhere = of("\u{0}");
        let within = [("hosts", "scope"), ("endpoints", "scope"), ("steps", "escalate")];
        let own =
            ["subjects", "schedule", "rate", "delay", "decoy", "tag", "countries", "ttl"].map(|k| (k, k));
        let places = within.into_iter().chain(own).map(|(key, part)| {
            let here = of(key);
            (key, if here == nowhere { of(part) } else { here })
        });
        places.filter(|(_, here)| *here != nowhere).collect()
    }

    /// The responses of a rule, the first the one that is wanted.
    pub(super) fn responses(
        &mut self,
        (list, index): (&str, usize),
        raw: &OneOrMore,
    ) -> Option<Vec<Response>> {
        let here = self.places.of_item(list, index, "response");
        let mut responses: Vec<Response> = Vec::new();
        for name in raw.as_slice() {
            let response = self.response(here, name)?;
            if responses.contains(&response) {
                let hint = "the wanted one first, then what a device does that cannot do it";
                self.tell(here, format!("`{name}` stands there twice"), Some(hint.into()));
                return None;
            }
            responses.push(response);
        }
        if responses.is_empty() {
            self.tell(here, "no response".into(), Some("for example `response: block`".into()));
            return None;
        }
        Some(responses)
    }

    fn response(&mut self, here: (usize, usize), name: &str) -> Option<Response> {
        let response = name.parse().ok();
        if response.is_none() {
            let names = Response::ALL.map(Response::name);
            let hint = match nearest(name, names) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("one of {}", names.join(", ")),
            };
            self.tell(here, format!("unknown response `{name}`"), Some(hint));
        }
        response
    }

    fn condition(&mut self, index: usize, text: &str) -> Option<Condition> {
        Condition::compile(text)
            .map_err(|e| {
                let scalar = self.scalar(self.places.of_item("rules", index, "when"), text);
                self.tell(scalar.place((e.line, e.column)), e.message, e.hint);
            })
            .ok()
    }

    /// Where a scalar stands in the file.
    fn scalar(&self, (line, column): (usize, usize), value: &str) -> Scalar {
        let rest = self.text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let start: String = rest.chars().skip(column.saturating_sub(1)).collect();
        let quoted = usize::from(start.starts_with(['\'', '"']));
        let first = value.lines().next().unwrap_or_default();
        let as_it_is = start.get(quoted..).is_some_and(|s| s.starts_with(first));
        Scalar { line, column, inside: as_it_is.then_some(quoted) }
    }

    pub(super) fn ttl(
        &mut self,
        (list, index): (&str, usize),
        id: &str,
        text: Option<&str>,
        acts: bool,
    ) -> Option<u64> {
        let Some(text) = text else {
            if acts {
                let here = self.places.of_item(list, index, "id");
                let hint = format!("for example `ttl: {}`", format_ttl(3600));
                self.tell(here, format!("rule `{id}` acts and has no `ttl`"), Some(hint));
                return None;
            }
            return Some(0);
        };
        self.span((list, index), "ttl", text)
    }

    fn span(&mut self, (list, index): (&str, usize), key: &str, text: &str) -> Option<u64> {
        parse_ttl(text)
            .map_err(|e| {
                let here = self.places.of_item(list, index, key);
                self.tell(here, e, Some("write 90s, 10m, 24h or 7d".into()));
            })
            .ok()
    }

    fn escalation(&mut self, index: usize, raw: RawEscalation) -> Option<Escalation> {
        let list = ("rules", index);
        let within_s = self.span(list, "within", &raw.within);
        let here = self.places.of_item("rules", index, "escalate");
        let mut steps = Vec::new();
        for step in &raw.steps {
            let response = match step.response.as_deref() {
                Some(name) => Some(self.response(here, name)?),
                None => None,
            };
            let ttl_s = match step.ttl.as_deref() {
                Some(text) => Some(self.span(list, "escalate", text)?),
                None => None,
            };
            if response.is_none() && ttl_s.is_none() {
                self.tell(here, "a step says nothing".into(), Some("a `response`, a `ttl`, or both".into()));
            }
            steps.push(Step { response, ttl_s });
        }
        if steps.is_empty() || steps.len() > 8 {
            self.tell(here, "an escalation has from one to eight steps".into(), None);
        }
        Some(Escalation { within_s: within_s?, steps })
    }

    fn choices(&mut self, index: usize, raw: &[String]) -> Vec<Choice> {
        let mut choices = Vec::with_capacity(raw.len());
        for text in raw {
            match text.as_str() {
                "verdict" => choices.push(Choice::Verdict),
                "prefix" => choices.push(Choice::Prefix),
                _ => match parts(text) {
                    Ok(parts) => choices.push(Choice::Parts(parts)),
                    Err(wrong) => {
                        let here = self.places.of_item("rules", index, "subjects");
                        let names: Vec<&str> =
                            ["verdict", "prefix"].into_iter().chain(PARTS.map(|(name, _)| name)).collect();
                        let hint = match nearest(wrong, names.iter().copied()) {
                            Some(known) => format!("did you mean `{known}`?"),
                            None => format!("one of {}, or several joined by `+`", names.join(", ")),
                        };
                        self.tell(here, format!("unknown subject `{wrong}`"), Some(hint));
                    }
                },
            }
        }
        choices
    }

    fn prefix(&mut self, index: usize, raw: Option<RawPrefix>) -> Prefix {
        let default = Prefix { members: 4, v4: 24, v6: 64 };
        let Some(raw) = raw else { return default };
        let prefix = Prefix {
            members: raw.members.unwrap_or(default.members),
            v4: raw.v4.unwrap_or(default.v4),
            v6: raw.v6.unwrap_or(default.v6),
        };
        if prefix.members < 2 || !(16..=31).contains(&prefix.v4) || !(32..=127).contains(&prefix.v6) {
            let here = self.places.of_item("rules", index, "prefix");
            let hint = "members is at least 2, v4 from 16 to 31, v6 from 32 to 127";
            self.tell(here, "no such prefix".into(), Some(hint.into()));
        }
        prefix
    }

    fn schedule(&mut self, index: usize, raw: &RawSchedule) -> Option<Schedule> {
        Schedule::read(raw)
            .map_err(|wrong| {
                for (key, message, hint) in wrong {
                    let here = self.within(index, "schedule", key);
                    self.tell(here, message, hint);
                }
            })
            .ok()
    }

    /// Where a key of a rule's part stands; the part itself where it is written in one line.
    pub(super) fn within(&self, index: usize, part: &str, key: &str) -> (usize, usize) {
        self.within_of("rules", index, part, key)
    }

    /// The same in another list.
    pub(super) fn within_of(&self, list: &str, index: usize, part: &str, key: &str) -> (usize, usize) {
        let of = |key: &str| self.places.of_item(list, index, key);
        let (nowhere, here) = (of("\u{0}"), of(key));
        if here == nowhere { of(part) } else { here }
    }

    pub(super) fn mode(&mut self, (list, index): (&str, usize), raw: Option<&str>) -> Option<Mode> {
        let text = raw?;
        let mode = text.parse().ok();
        if mode.is_none() {
            let here = self.places.of_item(list, index, "mode");
            let names = Mode::ALL.map(Mode::name);
            let hint = format!("one of {}", names.join(", "));
            self.tell(here, format!("unknown mode `{text}`"), Some(hint));
        }
        mode
    }

    pub(super) fn how(
        &mut self,
        (list, index): (&str, usize),
        rate: Option<&str>,
        delay: Option<&str>,
        decoy: Option<RawDecoy>,
        tag: Option<Tag>,
        countries: Vec<String>,
    ) -> How {
        let mut tell = |key: &str, message: String, hint: &str| {
            let here = self.places.of_item(list, index, key);
            self.errors.push(super::at(self.file, here, message, Some(hint.to_owned())));
        };
        let rate = rate.and_then(|text| {
            let rate = read_rate(text);
            if rate.is_none() {
                tell("rate", format!("`{text}` is no rate"), "requests in a time: 5/1m, 100/1h");
            }
            rate
        });
        let delay_ms = delay.and_then(|text| {
            let ms = parse_ttl(text).ok().filter(|s| *s <= 60).map(|s| s as u32 * 1000);
            if ms.is_none() {
                tell("delay", format!("`{text}` is no delay"), "from 1s to 60s");
            }
            ms
        });
        let decoy = decoy.and_then(|raw| {
            let decoy = read_decoy(raw);
            if decoy.is_none() {
                let hint = "`backend: NAME` (letters, digits, `-`, `_` and `.`), or `status`, `content_type` (printable ASCII) and `body` of an answer";
                tell("decoy", "not a decoy".into(), hint);
            }
            decoy
        });
        for code in countries.iter().filter(|c| c.len() != 2 || !c.bytes().all(|b| b.is_ascii_uppercase())) {
            tell("countries", format!("`{code}` is no country"), "two capital letters: DE");
        }
        if tag
            .as_ref()
            .is_some_and(|t| !is_token(&t.name) || !t.value.bytes().all(|b| (32..127).contains(&b)))
        {
            tell("tag", "not a header".into(), "a name of letters, digits and `-`, and a value in ASCII");
        }
        How { rate, delay_ms, decoy, tag, countries }
    }
}

fn parts(text: &str) -> Result<Vec<SubjectKind>, &str> {
    let named = |word: &str| PARTS.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind);
    text.split('+').map(str::trim).map(|word| named(word).ok_or(word)).collect()
}

fn read_rate(text: &str) -> Option<Rate> {
    let (requests, per) = text.split_once('/')?;
    let requests = requests.trim().parse().ok().filter(|n| *n > 0)?;
    let per = per.trim();
    let per = if per.starts_with(|c: char| c.is_ascii_digit()) { per.to_owned() } else { format!("1{per}") };
    let per_s = parse_ttl(&per).ok().and_then(|s| u32::try_from(s).ok())?;
    Some(Rate { requests, per_s })
}

fn read_decoy(raw: RawDecoy) -> Option<Decoy> {
    match (raw.backend, raw.status) {
        (Some(name), None) if raw.body.is_none() => is_token(&name).then_some(Decoy::Backend(name)),
        (None, status) => {
            let status = status.unwrap_or(200);
            let content_type = raw.content_type.unwrap_or_else(|| "application/json".to_owned());
            let body = raw.body.unwrap_or_default();
            // Devices write it into the head of the answer.
            let plain =
                content_type.bytes().all(|b| (32..127).contains(&b)) && !content_type.trim().is_empty();
            let fits = (200..600).contains(&status) && plain && body.len() <= 16_384;
            fits.then_some(Decoy::Answer { status, content_type, body })
        }
        _ => None,
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}
