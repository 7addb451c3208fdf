//! The pack of indicators and the classes that they add up to: data, overridable from a directory.

use std::path::Path;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::PackError;
use crate::facts::{Fact, Facts, Known, Telling};

/// An indicator: what it looks at, what it adds, and examples that test it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Indicator {
    /// Stable id.
    pub id: String,
    /// `tools`, `credentials`, `infrastructure` or `behaviour`.
    pub pillar: Pillar,
    /// `header`, `protocol`, `statistical`, `user-behaviour`, `application-behaviour` or `heuristic`.
    pub kind: String,
    /// Whether it judges a client or a part of an endpoint's traffic.
    pub scope: Scope,
    /// Correlated indicators share a family: of a family the strongest counts whole, others three tenths.
    pub family: String,
    /// One sentence.
    pub description: String,
    /// What looks alike and is honest.
    #[serde(default)]
    pub caution: String,
    /// Where it comes from.
    #[serde(default)]
    pub references: Vec<String>,
    /// Log-odds that it adds to automation.
    #[serde(default)]
    pub automation: f64,
    /// Log-odds that it adds to harm.
    #[serde(default)]
    pub harm: f64,
    /// Alone enough for a malicious intent, without a second pillar.
    #[serde(default)]
    pub proof: bool,
    /// All must hold: `fact >= number`, with `>=`, `<=`, `>`, `<`.
    pub when: Vec<Condition>,
    /// The fact that its reason shows (the first condition's where it is not given).
    #[serde(default)]
    pub shows: Option<String>,
    /// The fact that its reason compares with.
    #[serde(default)]
    pub against: Option<String>,
    /// Facts that make it fire, and that do not.
    pub examples: Examples,
}

/// Examples of an indicator: they are its tests.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Examples {
    /// Fires.
    pub fire: Vec<std::collections::BTreeMap<String, f64>>,
    /// Does not fire.
    pub clear: Vec<std::collections::BTreeMap<String, f64>>,
}

/// The four pillars.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pillar {
    /// What the client is made of.
    Tools,
    /// What it knows or guesses.
    Credentials,
    /// Where it comes from.
    Infrastructure,
    /// What it does.
    Behaviour,
}

impl Pillar {
    /// All four.
    pub const ALL: [Pillar; 4] =
        [Pillar::Tools, Pillar::Credentials, Pillar::Infrastructure, Pillar::Behaviour];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Pillar::Tools => "tools",
            Pillar::Credentials => "credentials",
            Pillar::Infrastructure => "infrastructure",
            Pillar::Behaviour => "behaviour",
        }
    }
}

/// What an indicator judges.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// One client.
    Client,
    /// A part of an endpoint's traffic: those of one fingerprint, one client's or one session's.
    Part,
}

/// A comparison of a fact with a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    fact: Fact,
    op: Op,
    value: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    AtLeast,
    AtMost,
    Above,
    Below,
}

impl Condition {
    fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split_whitespace();
        let (name, op, value) = (parts.next(), parts.next(), parts.next());
        let name = name.unwrap_or_default();
        let fact = Fact::by_name(name).ok_or_else(|| format!("no fact is called `{name}`"))?;
        let op = match op {
            Some(">=") => Op::AtLeast,
            Some("<=") => Op::AtMost,
            Some(">") => Op::Above,
            Some("<") => Op::Below,
            _ => return Err(format!("`{text}`: expected `fact >= number`")),
        };
        let value =
            value.and_then(|v| v.parse().ok()).ok_or_else(|| format!("`{text}`: expected a number"))?;
        if parts.next().is_some() {
            return Err(format!("`{text}`: expected `fact >= number`"));
        }
        Ok(Condition { fact, op, value })
    }

    fn holds(&self, facts: &Facts) -> Option<bool> {
        facts.get(self.fact).map(|v| self.is_met(v))
    }

    #[inline]
    fn is_met(&self, v: f64) -> bool {
        match self.op {
            Op::AtLeast => v >= self.value,
            Op::AtMost => v <= self.value,
            Op::Above => v > self.value,
            Op::Below => v < self.value,
        }
    }
}

impl Serialize for Condition {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let op = match self.op {
            Op::AtLeast => ">=",
            Op::AtMost => "<=",
            Op::Above => ">",
            Op::Below => "<",
        };
        s.collect_str(&format_args!("{} {op} {}", self.fact.name(), self.value))
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Condition::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// What an indicator says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Answer {
    /// What it looks for is there.
    Fire,
    /// It looked, and it is not.
    Clear,
    /// It cannot know.
    NotObservable,
}

/// Whether an indicator fires, as far as is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outlook {
    /// It does not, whatever else is found.
    Silent,
    /// It depends on facts that nobody looked at.
    Open,
    /// It does.
    Fires,
}

impl Indicator {
    /// Asks it.
    pub fn ask(&self, facts: &Facts) -> Answer {
        let mut unknown = false;
        for condition in &self.when {
            match condition.holds(facts) {
                Some(true) => {}
                Some(false) => return Answer::Clear,
                None => unknown = true,
            }
        }
        if unknown { Answer::NotObservable } else { Answer::Fire }
    }

    /// Whether it fires, as far as facts were looked at.
    fn outlook(&self, facts: &Facts) -> Outlook {
        let mut outlook = Outlook::Fires;
        for condition in &self.when {
            match facts.known(condition.fact) {
                Known::Value(v) if condition.is_met(v) => {}
                Known::Value(_) | Known::Nothing => return Outlook::Silent,
                Known::Waiting => outlook = Outlook::Open,
            }
        }
        outlook
    }

    /// The fact that its reason shows.
    pub(crate) fn shown(&self) -> Option<Fact> {
        self.shows.as_deref().and_then(Fact::by_name).or_else(|| self.when.first().map(|c| c.fact))
    }

    /// The fact that its reason compares with.
    pub(crate) fn compared(&self) -> Option<Fact> {
        self.against.as_deref().and_then(Fact::by_name)
    }

    /// The threshold of the fact that it shows, in words.
    pub(crate) fn threshold(&self) -> String {
        let shown = self.shown();
        let condition = self.when.iter().find(|c| Some(c.fact) == shown);
        condition.map_or_else(String::new, |c| {
            let op = match c.op {
                Op::AtLeast | Op::Above => "below",
                Op::AtMost | Op::Below => "above",
            };
            match c.fact.kind() {
                Telling::Mark => "not so with others".to_owned(),
                Telling::Share => format!("usually {op} {} %", short(c.value * 100.0)),
                Telling::Number => format!("usually {op} {}", short(c.value)),
            }
        })
    }

    fn check(&self) -> Result<(), PackError> {
        let bad = |what: String| PackError::Entry(self.id.clone(), what);
        if self.when.is_empty() || self.examples.fire.is_empty() || self.examples.clear.is_empty() {
            return Err(bad("needs conditions and examples that fire and that do not".into()));
        }
        for name in [&self.shows, &self.against].into_iter().flatten() {
            Fact::by_name(name).ok_or_else(|| bad(format!("no fact is called `{name}`")))?;
        }
        for (examples, fires) in [(&self.examples.fire, true), (&self.examples.clear, false)] {
            for example in examples {
                let facts = facts_of(example).map_err(&bad)?;
                if (self.ask(&facts) == Answer::Fire) != fires {
                    return Err(bad(format!(
                        "its example {example:?} does not {}",
                        if fires { "fire" } else { "stay clear" }
                    )));
                }
            }
        }
        Ok(())
    }
}

pub(crate) fn short(v: f64) -> String {
    if v.fract() == 0.0 { format!("{v:.0}") } else { format!("{v:.2}") }
}

fn facts_of(map: &std::collections::BTreeMap<String, f64>) -> Result<Facts, String> {
    let mut facts = Facts::default();
    for (name, value) in map {
        let fact = Fact::by_name(name).ok_or_else(|| format!("no fact is called `{name}`"))?;
        facts.set(fact, *value);
    }
    Ok(facts)
}

/// A class of abuse: which indicators together mean it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassRule {
    /// Class id of the output contract.
    pub id: String,
    /// OWASP automated threats.
    #[serde(default)]
    pub oat: Vec<String>,
    /// What is judged.
    pub scope: Scope,
    /// All of these fire.
    #[serde(default)]
    pub all: Vec<String>,
    /// And at least so many of `any` (one where not given and `any` is not empty).
    #[serde(default)]
    pub any: Vec<String>,
    /// How many of `any`.
    #[serde(default)]
    pub least: Option<usize>,
    /// None of these fires.
    #[serde(default)]
    pub none: Vec<String>,
    /// The intent where it holds: malicious, unless `suspicious` is said.
    #[serde(default)]
    pub suspicious: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IndicatorFile {
    version: u32,
    indicators: Vec<Indicator>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassFile {
    version: u32,
    classes: Vec<ClassRule>,
}

/// The indicators that come with Sidetap: those of the traffic, then those of network intelligence.
fn builtin() -> Result<Vec<Indicator>, PackError> {
    let mut all = Vec::new();
    for text in [include_str!("../packs/indicators.yaml"), include_str!("../packs/network.yaml")] {
        let file: IndicatorFile = yaml(text)?;
        if file.version != 1 {
            return Err(PackError::Version(file.version));
        }
        all.extend(file.indicators);
    }
    Ok(all)
}

fn yaml<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, PackError> {
    serde_yaml_ng::from_str(text).map_err(|e| PackError::Yaml(e.to_string()))
}

/// Indicators and classes, checked.
#[derive(Clone, Debug)]
pub struct Pack {
    indicators: Vec<Indicator>,
    classes: Vec<Rule>,
}

/// A class rule with its indicators as positions in the pack.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) oat: Vec<String>,
    pub(crate) scope: Scope,
    pub(crate) suspicious: bool,
    all: Vec<usize>,
    any: Vec<usize>,
    least: usize,
    none: Vec<usize>,
}

impl Pack {
    /// The pack that comes with Sidetap.
    pub fn builtin() -> Result<Self, PackError> {
        let classes: ClassFile = yaml(include_str!("../packs/classes.yaml"))?;
        Self::build(builtin()?, classes.classes)
    }

    /// Reads indicators and classes.
    pub fn parse(indicators: &str, classes: &str) -> Result<Self, PackError> {
        let yaml = |e: serde_yaml_ng::Error| PackError::Yaml(e.to_string());
        let file: IndicatorFile = serde_yaml_ng::from_str(indicators).map_err(yaml)?;
        let rules: ClassFile = serde_yaml_ng::from_str(classes).map_err(yaml)?;
        for version in [file.version, rules.version] {
            if version != 1 {
                return Err(PackError::Version(version));
            }
        }
        Self::build(file.indicators, rules.classes)
    }

    /// The built-in pack with the files of a directory over it: `indicators.yaml` replaces indicators of the same id and
    /// adds others, `classes.yaml` replaces the classes.
    pub fn load_dir(dir: &Path) -> Result<Self, PackError> {
        let read = |name: &str| match std::fs::read_to_string(dir.join(name)) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(PackError::File(name.into(), e.to_string())),
        };
        let yaml = |e: serde_yaml_ng::Error| PackError::Yaml(e.to_string());
        let mut base = builtin()?;
        if let Some(text) = read("indicators.yaml")? {
            let own: IndicatorFile = serde_yaml_ng::from_str(&text).map_err(yaml)?;
            for indicator in own.indicators {
                match base.iter_mut().find(|i| i.id == indicator.id) {
                    Some(slot) => *slot = indicator,
                    None => base.push(indicator),
                }
            }
        }
        let classes = read("classes.yaml")?.unwrap_or_else(|| include_str!("../packs/classes.yaml").into());
        let classes: ClassFile = serde_yaml_ng::from_str(&classes).map_err(yaml)?;
        Self::build(base, classes.classes)
    }

    fn build(indicators: Vec<Indicator>, classes: Vec<ClassRule>) -> Result<Self, PackError> {
        for (n, indicator) in indicators.iter().enumerate() {
            indicator.check()?;
            if indicators.iter().take(n).any(|i| i.id == indicator.id) {
                return Err(PackError::Entry(indicator.id.clone(), "stands twice".into()));
            }
        }
        let classes = classes.into_iter().map(|c| Rule::resolve(c, &indicators)).collect::<Result<_, _>>()?;
        Ok(Pack { indicators, classes })
    }

    /// Every indicator.
    pub fn indicators(&self) -> &[Indicator] {
        &self.indicators
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.classes
    }

    /// True where a class of the scope holds, or may hold by facts that were not looked at yet.
    pub(crate) fn may_match(&self, scope: Scope, facts: &Facts) -> bool {
        let mut seen: SmallVec<[Option<Outlook>; 256]> = SmallVec::from_elem(None, self.indicators.len());
        let mut outlook = |n: &usize| {
            let (Some(known), Some(indicator)) = (seen.get_mut(*n), self.indicators.get(*n)) else {
                return Outlook::Silent;
            };
            *known.get_or_insert_with(|| indicator.outlook(facts))
        };
        self.classes.iter().filter(|r| r.scope == scope).any(|rule| {
            rule.all.iter().all(|n| outlook(n) != Outlook::Silent)
                && !rule.none.iter().any(|n| outlook(n) == Outlook::Fires)
                && (rule.least == 0
                    || rule.any.iter().filter(|n| outlook(n) != Outlook::Silent).take(rule.least).count()
                        == rule.least)
        })
    }

    /// Asks the indicators of a scope; the positions of those that fire, and how many answered by pillar.
    pub(crate) fn ask(&self, scope: Scope, facts: &Facts) -> Asked {
        let mut asked = Asked::default();
        for (n, indicator) in self.indicators.iter().enumerate() {
            if indicator.scope != scope {
                continue;
            }
            let answer = indicator.ask(facts);
            let pillar = indicator.pillar as usize;
            if let Some(count) = asked.could.get_mut(pillar) {
                *count += 1;
            }
            if answer != Answer::NotObservable
                && let Some(count) = asked.answered.get_mut(pillar)
            {
                *count += 1;
            }
            if answer == Answer::Fire {
                asked.fired.push(n);
            }
        }
        asked
    }

    /// Sums the weights of what fired: of a family the strongest whole, the rest three tenths, at most 6.
    pub(crate) fn sum(&self, fired: &[usize], weight: impl Fn(&Indicator) -> f64) -> f64 {
        let mut families: SmallVec<[(&str, f64, f64); 16]> = SmallVec::new();
        for indicator in fired.iter().filter_map(|n| self.indicators.get(*n)) {
            let w = weight(indicator);
            match families.iter_mut().find(|(f, _, _)| *f == indicator.family) {
                Some((_, most, rest)) => {
                    *rest += w.min(*most).max(0.0);
                    *most = most.max(w);
                }
                None => families.push((&indicator.family, w, 0.0)),
            }
        }
        families.iter().map(|(_, most, rest)| (most + 0.3 * rest).min(6.0)).sum()
    }

    pub(crate) fn pillars(&self, fired: &[usize]) -> usize {
        let mut seen = [false; 4];
        for indicator in fired.iter().filter_map(|n| self.indicators.get(*n)) {
            if (indicator.harm > 0.0 || indicator.automation >= 1.0)
                && let Some(s) = seen.get_mut(indicator.pillar as usize)
            {
                *s = true;
            }
        }
        seen.iter().filter(|s| **s).count()
    }

    pub(crate) fn has_proof(&self, fired: &[usize]) -> bool {
        fired.iter().filter_map(|n| self.indicators.get(*n)).any(|i| i.proof)
    }
}

/// What the indicators of a scope said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) fired: Vec<usize>,
    pub(crate) answered: [u16; 4],
    pub(crate) could: [u16; 4],
}

impl Rule {
    fn resolve(class: ClassRule, indicators: &[Indicator]) -> Result<Self, PackError> {
        let find = |id: &String| {
            indicators
                .iter()
                .position(|i| i.id == *id)
                .ok_or_else(|| PackError::Entry(class.id.clone(), format!("no indicator is called `{id}`")))
        };
        let list = |ids: &[String]| ids.iter().map(find).collect::<Result<Vec<_>, _>>();
        let (all, any, none) = (list(&class.all)?, list(&class.any)?, list(&class.none)?);
        let least = class.least.unwrap_or(usize::from(!any.is_empty()));
        Ok(Rule {
            id: class.id,
            oat: class.oat,
            scope: class.scope,
            suspicious: class.suspicious,
            all,
            any,
            least,
            none,
        })
    }

    /// True where what fired means this class.
    pub(crate) fn holds(&self, fired: &[usize]) -> bool {
        self.all.iter().all(|n| fired.contains(n))
            && self.any.iter().filter(|n| fired.contains(n)).count() >= self.least
            && !self.none.iter().any(|n| fired.contains(n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builtin_pack_passes_its_examples() {
        let pack = Pack::builtin().unwrap();
        assert!(pack.indicators().len() >= 60, "{}", pack.indicators().len());
        for pillar in Pillar::ALL {
            assert!(pack.indicators().iter().any(|i| i.pillar == pillar));
        }
        for kind in
            ["header", "protocol", "statistical", "user-behaviour", "application-behaviour", "heuristic"]
        {
            assert!(pack.indicators().iter().any(|i| i.kind == kind), "{kind}");
        }
    }

    #[test]
    fn correlated_indicators_count_once() {
        let pack = Pack::builtin().unwrap();
        let family: Vec<usize> =
            (0..pack.indicators.len()).filter(|n| pack.indicators[*n].family == "hints").collect();
        assert!(family.len() > 1);
        let most = family.iter().map(|n| pack.indicators[*n].automation).fold(0.0, f64::max);
        let sum: f64 = family.iter().map(|n| pack.indicators[*n].automation).sum();
        let capped = pack.sum(&family, |i| i.automation);
        assert!(capped >= most && capped < sum);
    }

    #[test]
    fn a_wrong_condition_is_refused_with_its_reason() {
        let e = Condition::parse("client.nonsense >= 1").unwrap_err();
        assert!(e.contains("client.nonsense"));
        assert!(Condition::parse("client.requests ~ 1").is_err());
    }
}
