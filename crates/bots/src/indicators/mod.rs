//! Indicators: what they look at, what they add, and the examples that test them. They are data: the pack that comes with
//! Sidetap, and what a site puts over it.

mod condition;
mod expression;
mod overrides;
mod pack;
mod reference;
mod scores;
mod view;

use serde::{Deserialize, Serialize};

use crate::facts::{Fact, Facts, Telling};

pub use self::condition::Condition;
use self::condition::{Op, Truth, fact};
pub use self::expression::Expression;
pub(crate) use self::overrides::is_like;
pub(crate) use self::pack::Rule;
pub use self::pack::{ClassRule, Pack};
pub use self::scores::Scores;
pub(crate) use self::view::{Asked, View};

/// An indicator: what it looks at, what it adds, and examples that test it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Indicator {
    /// Stable id.
    pub id: String,
    /// `tools`, `credentials`, `infrastructure` or `behaviour`.
    pub pillar: Pillar,
    /// What kind of evidence it is.
    pub kind: Kind,
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
    /// Asked at all.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub enabled: bool,
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
    /// In place of `when`: a condition in CEL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<Expression>,
    /// The fact that its reason shows (the first condition's where it is not given).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shows: Option<String>,
    /// The fact that its reason compares with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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

/// The kinds of evidence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Fields of the request's head.
    Header,
    /// How the protocol is spoken.
    Protocol,
    /// How much, how often, how evenly, how unlike the others.
    Statistical,
    /// What people do or do not.
    UserBehaviour,
    /// What the application's own clients do or do not.
    ApplicationBehaviour,
    /// Marks that only tools or attacks leave.
    Heuristic,
}

impl Kind {
    /// All six.
    pub const ALL: [Kind; 6] = [
        Kind::Header,
        Kind::Protocol,
        Kind::Statistical,
        Kind::UserBehaviour,
        Kind::ApplicationBehaviour,
        Kind::Heuristic,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Header => "header",
            Kind::Protocol => "protocol",
            Kind::Statistical => "statistical",
            Kind::UserBehaviour => "user-behaviour",
            Kind::ApplicationBehaviour => "application-behaviour",
            Kind::Heuristic => "heuristic",
        }
    }
}

impl Scope {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Scope::Client => "client",
            Scope::Part => "part",
        }
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

impl From<Truth> for Answer {
    fn from(truth: Truth) -> Self {
        match truth {
            Truth::Yes => Answer::Fire,
            Truth::No => Answer::Clear,
            Truth::Nothing | Truth::Waiting => Answer::NotObservable,
        }
    }
}

/// All of the conditions: no where one does not hold, else unknown where one cannot be known.
fn all(when: &[Condition], facts: &Facts) -> Truth {
    let mut truth = Truth::Yes;
    for condition in when {
        match condition.truth(facts) {
            Truth::Yes => {}
            Truth::No => return Truth::No,
            Truth::Nothing => truth = Truth::Nothing,
            Truth::Waiting if truth == Truth::Yes => truth = Truth::Waiting,
            Truth::Waiting => {}
        }
    }
    truth
}

const fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_true(value: &bool) -> bool {
    *value
}

impl Indicator {
    /// Asks it.
    pub fn ask(&self, facts: &Facts) -> Answer {
        match &self.expression {
            Some(expression) => expression.truth(facts).into(),
            None => all(&self.when, facts).into(),
        }
    }

    /// The facts that it looks at.
    pub fn facts(&self) -> Vec<Fact> {
        let own = self.expression.iter().flat_map(|e| e.facts().iter().copied());
        self.when.iter().map(|c| c.fact).chain(own).collect()
    }

    /// Its condition as it is written.
    pub fn condition(&self) -> String {
        match &self.expression {
            Some(expression) => expression.text().to_owned(),
            None => self.when.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        }
    }

    /// The fact that its reason shows.
    pub(crate) fn shown(&self) -> Option<Fact> {
        let first = || self.when.first().map(|c| c.fact);
        let own = || self.expression.as_ref().and_then(|e| e.facts().first().copied());
        self.shows.as_deref().and_then(Fact::by_name).or_else(first).or_else(own)
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
                Op::AtLeast | Op::Above | Op::Equal => "below",
                Op::AtMost | Op::Below | Op::Unequal => "above",
            };
            match c.fact.kind() {
                _ if c.fact == Fact::Resembles => "not so with others".to_owned(),
                Telling::Mark => "not so with others".to_owned(),
                Telling::Share => format!("usually {op} {} %", short(c.value * 100.0)),
                Telling::Number => {
                    let unit = c.fact.unit().map(|unit| format!(" {unit}")).unwrap_or_default();
                    format!("usually {op} {}{unit}", short(c.value))
                }
            }
        })
    }

    /// What is wrong with it.
    fn check(&self) -> Result<(), String> {
        let id = !self.id.is_empty()
            && self.id.len() <= 64
            && self.id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !id {
            return Err("an id has lower-case letters, digits and hyphens, at most 64".into());
        }
        if self.when.is_empty() == self.expression.is_none() {
            return Err("needs either `when` or `expression`".into());
        }
        if self.examples.fire.is_empty() || self.examples.clear.is_empty() {
            return Err("needs examples that fire and that do not".into());
        }
        for weight in [self.automation, self.harm] {
            overrides::weight(weight)?;
        }
        for name in [&self.shows, &self.against].into_iter().flatten() {
            fact(name)?;
        }
        for (examples, fires) in [(&self.examples.fire, true), (&self.examples.clear, false)] {
            for example in examples {
                if (self.ask(&facts_of(example)?) == Answer::Fire) != fires {
                    let does = if fires { "fire" } else { "stay clear" };
                    return Err(format!("its example {example:?} does not {does}"));
                }
            }
        }
        Ok(())
    }
}

pub(crate) fn short(v: f64) -> String {
    if v.fract() == 0.0 { crate::facts::grouped(v) } else { format!("{v:.2}") }
}

fn facts_of(map: &std::collections::BTreeMap<String, f64>) -> Result<Facts, String> {
    let mut facts = Facts::default();
    for (name, value) in map {
        facts.set(fact(name)?, *value);
    }
    Ok(facts)
}
