//! Comparisons of facts with numbers.

use serde::{Deserialize, Serialize};

use crate::facts::{Fact, Facts, Known};
use sidetap_model::nearest;

/// A comparison of a fact with a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    pub(crate) fact: Fact,
    pub(crate) op: Op,
    pub(crate) value: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    AtLeast,
    AtMost,
    Above,
    Below,
    Equal,
    Unequal,
}

impl Op {
    pub(crate) const fn sign(self) -> &'static str {
        match self {
            Op::AtLeast => ">=",
            Op::AtMost => "<=",
            Op::Above => ">",
            Op::Below => "<",
            Op::Equal => "==",
            Op::Unequal => "!=",
        }
    }

    #[inline(always)]
    pub(crate) fn holds(self, a: f64, b: f64) -> bool {
        match self {
            Op::AtLeast => a >= b,
            Op::AtMost => a <= b,
            Op::Above => a > b,
            Op::Below => a < b,
            Op::Equal => (a - b).abs() < f64::EPSILON,
            Op::Unequal => (a - b).abs() >= f64::EPSILON,
        }
    }
}

/// What is known of a yes or no.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Truth {
    Yes,
    No,
    /// It cannot be known.
    Nothing,
    /// It depends on facts that nobody looked at yet.
    Waiting,
}

/// The fact of a name, or why there is none.
pub(crate) fn fact(name: &str) -> Result<Fact, String> {
    Fact::by_name(name).ok_or_else(|| {
        let near = nearest(name, Fact::ALL.iter().map(|(_, n, _)| *n));
        let hint = near.map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
        format!("no fact is called `{name}`{hint}")
    })
}

impl Condition {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split_whitespace();
        let (name, op, value) = (parts.next(), parts.next(), parts.next());
        let fact = fact(name.unwrap_or_default())?;
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

    #[inline]
    pub(crate) fn truth(&self, facts: &Facts) -> Truth {
        match facts.known(self.fact) {
            Known::Value(v) if self.op.holds(v, self.value) => Truth::Yes,
            Known::Value(_) => Truth::No,
            Known::Nothing => Truth::Nothing,
            Known::Waiting => Truth::Waiting,
        }
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.fact.name(), self.op.sign(), self.value)
    }
}

impl Serialize for Condition {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Condition::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_condition_is_refused_with_its_reason() {
        let e = Condition::parse("client.request >= 1").unwrap_err();
        assert!(e.contains("did you mean `client.requests`"), "{e}");
        assert!(Condition::parse("client.requests ~ 1").is_err());
        assert!(Condition::parse("client.requests >= many").is_err());
        assert!(Condition::parse("client.requests >= 1 2").is_err());
    }
}
