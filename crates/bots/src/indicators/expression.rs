//! Conditions in CEL, for indicators of one's own: parsed once, brought into a small tree over facts, and worked out there
//! with what is not observable kept apart from what is not so.

use cel::Program;
use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators as sign};
use serde::{Deserialize, Serialize};

use super::condition::{Op, Truth, fact};
use crate::facts::{Fact, Facts, Known, Telling};

/// Longest expression in bytes, and most parts of one: each is asked again and again.
const MAX_LEN: usize = 1024;
const MAX_PARTS: usize = 64;

/// A condition in CEL over facts.
///
/// Facts are written with `_` for `-`: `client.peak_per_minute`. Numbers are compared with `== != < <= > >=`, added,
/// subtracted, multiplied and divided; conditions are joined with `&& || !`; `has(fact)` asks whether it is observable, and
/// a fact that is so or not (`agent.browser`) is a condition itself. What needs a fact that is not observable is unknown,
/// unless the rest decides. There are no calls, lists or loops, so that the cost is that of its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    text: String,
    root: Test,
    facts: Vec<Fact>,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    Is(bool),
    Has(Fact),
    Mark(Fact),
    Compare(Op, Number, Number),
    Not(Box<Test>),
    And(Box<Test>, Box<Test>),
    Or(Box<Test>, Box<Test>),
}

#[derive(Clone, Debug, PartialEq)]
enum Number {
    Is(f64),
    Fact(Fact),
    Negative(Box<Number>),
    Join(Sum, Box<(Number, Number)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sum {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// Why an expression is refused: where in it (line and column from 1), and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) message: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "expression, line {} column {}: {}", self.line, self.column, self.message)
    }
}

impl Expression {
    pub(crate) fn parse(text: &str) -> Result<Self, Refused> {
        if text.len() > MAX_LEN {
            let message = format!("longer than {MAX_LEN} bytes");
            return Err(Refused { line: 1, column: 1, message });
        }
        let program = Program::compile(text).map_err(|errors| {
            let first = errors.errors.first();
            let (line, column) =
                first.map_or((1, 1), |e| (e.pos.0.max(1) as usize, e.pos.1.max(0) as usize + 1));
            let message = first.map_or("not CEL", |e| e.msg.lines().next().unwrap_or_default());
            let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
            let message = message.split(" expecting ").next().unwrap_or(message);
            Refused { line, column, message: format!("does not parse: {message}") }
        })?;
        let mut reader = Reader { program: &program, text, parts: 0, facts: Vec::new() };
        let root = reader.test(program.expression())?;
        let facts = reader.facts;
        Ok(Expression { text: text.to_owned(), root, facts })
    }

    pub(crate) fn truth(&self, facts: &Facts) -> Truth {
        self.root.truth(facts)
    }

    /// The facts that it looks at, in the order in which they stand.
    pub(crate) fn facts(&self) -> &[Fact] {
        &self.facts
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl Test {
    fn truth(&self, facts: &Facts) -> Truth {
        let of = |b: bool| if b { Truth::Yes } else { Truth::No };
        match self {
            Test::Is(b) => of(*b),
            Test::Has(fact) => match facts.known(*fact) {
                Known::Value(_) => Truth::Yes,
                Known::Nothing => Truth::No,
                Known::Waiting => Truth::Waiting,
            },
            Test::Mark(fact) => Number::Fact(*fact).value(facts).map_or_else(|t| t, |v| of(v >= 0.5)),
            Test::Compare(op, a, b) => match (a.value(facts), b.value(facts)) {
                (Ok(a), Ok(b)) => of(op.holds(a, b)),
                (Err(Truth::Nothing), _) | (_, Err(Truth::Nothing)) => Truth::Nothing,
                _ => Truth::Waiting,
            },
            Test::Not(inner) => match inner.truth(facts) {
                Truth::Yes => Truth::No,
                Truth::No => Truth::Yes,
                open => open,
            },
            Test::And(a, b) => match (a.truth(facts), b.truth(facts)) {
                (Truth::No, _) | (_, Truth::No) => Truth::No,
                (Truth::Yes, other) | (other, Truth::Yes) => other,
                (Truth::Nothing, _) | (_, Truth::Nothing) => Truth::Nothing,
                _ => Truth::Waiting,
            },
            Test::Or(a, b) => match (a.truth(facts), b.truth(facts)) {
                (Truth::Yes, _) | (_, Truth::Yes) => Truth::Yes,
                (Truth::No, other) | (other, Truth::No) => other,
                (Truth::Waiting, _) | (_, Truth::Waiting) => Truth::Waiting,
                _ => Truth::Nothing,
            },
        }
    }
}

impl Number {
    /// Its value, or why it has none.
    fn value(&self, facts: &Facts) -> Result<f64, Truth> {
        match self {
            Number::Is(v) => Ok(*v),
            Number::Fact(fact) => match facts.known(*fact) {
                Known::Value(v) => Ok(v),
                Known::Nothing => Err(Truth::Nothing),
                Known::Waiting => Err(Truth::Waiting),
            },
            Number::Negative(inner) => Ok(-inner.value(facts)?),
            Number::Join(sum, pair) => {
                let (a, b) = (pair.0.value(facts)?, pair.1.value(facts)?);
                let value = match sum {
                    Sum::Add => a + b,
                    Sum::Subtract => a - b,
                    Sum::Multiply => a * b,
                    Sum::Divide => a / b,
                };
                if value.is_finite() { Ok(value) } else { Err(Truth::Nothing) }
            }
        }
    }
}

struct Reader<'a> {
    program: &'a Program,
    text: &'a str,
    parts: usize,
    facts: Vec<Fact>,
}

impl Reader<'_> {
    fn refused(&self, at: &IdedExpr, message: impl Into<String>) -> Refused {
        let start = self.program.source_info().offset_for(at.id).map_or(0, |(start, _)| start as usize);
        let before = self.text.get(..start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Refused { line, column, message: message.into() }
    }

    fn count(&mut self, at: &IdedExpr) -> Result<(), Refused> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Err(self.refused(at, format!("more than {MAX_PARTS} parts")));
        }
        Ok(())
    }

    fn test(&mut self, e: &IdedExpr) -> Result<Test, Refused> {
        self.count(e)?;
        match &e.expr {
            Expr::Literal(LiteralValue::Boolean(b)) => Ok(Test::Is(*b.inner())),
            Expr::Select(select) if select.test => {
                Ok(Test::Has(self.fact(e, &select.operand, &select.field)?))
            }
            Expr::Select(select) => {
                let fact = self.fact(e, &select.operand, &select.field)?;
                if fact.kind() != Telling::Mark {
                    let what = format!("`{}` is a number: compare it with one", fact.name());
                    return Err(self.refused(e, what));
                }
                Ok(Test::Mark(fact))
            }
            Expr::Call(call) => self.joined(e, call),
            _ => Err(self.refused(e, "expected a comparison of facts with numbers")),
        }
    }

    fn joined(&mut self, e: &IdedExpr, call: &CallExpr) -> Result<Test, Refused> {
        let op = match call.func_name.as_str() {
            sign::EQUALS => Some(Op::Equal),
            sign::NOT_EQUALS => Some(Op::Unequal),
            sign::GREATER_EQUALS => Some(Op::AtLeast),
            sign::LESS_EQUALS => Some(Op::AtMost),
            sign::GREATER => Some(Op::Above),
            sign::LESS => Some(Op::Below),
            _ => None,
        };
        match (call.args.as_slice(), op) {
            ([a, b], Some(op)) => Ok(Test::Compare(op, self.number(a)?, self.number(b)?)),
            ([a, b], None) if call.func_name == sign::LOGICAL_AND => {
                Ok(Test::And(Box::new(self.test(a)?), Box::new(self.test(b)?)))
            }
            ([a, b], None) if call.func_name == sign::LOGICAL_OR => {
                Ok(Test::Or(Box::new(self.test(a)?), Box::new(self.test(b)?)))
            }
            ([a], None) if call.func_name == sign::LOGICAL_NOT => Ok(Test::Not(Box::new(self.test(a)?))),
            _ => {
                let name = call.func_name.trim_matches(['_', '@']);
                Err(self.refused(e, format!("`{name}` is no condition: facts are compared and joined here")))
            }
        }
    }

    fn number(&mut self, e: &IdedExpr) -> Result<Number, Refused> {
        self.count(e)?;
        match &e.expr {
            Expr::Literal(LiteralValue::Int(n)) => Ok(Number::Is(*n.inner() as f64)),
            Expr::Literal(LiteralValue::UInt(n)) => Ok(Number::Is(*n.inner() as f64)),
            Expr::Literal(LiteralValue::Double(n)) => Ok(Number::Is(*n.inner())),
            Expr::Select(select) if !select.test => {
                Ok(Number::Fact(self.fact(e, &select.operand, &select.field)?))
            }
            Expr::Call(call) => self.sum(e, call),
            _ => Err(self.refused(e, "expected a number or a fact")),
        }
    }

    fn sum(&mut self, e: &IdedExpr, call: &CallExpr) -> Result<Number, Refused> {
        let sum = match call.func_name.as_str() {
            sign::ADD => Sum::Add,
            sign::SUBSTRACT => Sum::Subtract,
            sign::MULTIPLY => Sum::Multiply,
            sign::DIVIDE => Sum::Divide,
            sign::NEGATE => {
                let [inner] = call.args.as_slice() else { return Err(self.refused(e, "expected a number")) };
                return Ok(Number::Negative(Box::new(self.number(inner)?)));
            }
            other => {
                let name = other.trim_matches(['_', '@']);
                return Err(self.refused(e, format!("`{name}` gives no number here")));
            }
        };
        let [a, b] = call.args.as_slice() else { return Err(self.refused(e, "expected two numbers")) };
        Ok(Number::Join(sum, Box::new((self.number(a)?, self.number(b)?))))
    }

    fn fact(&mut self, e: &IdedExpr, of: &IdedExpr, field: &str) -> Result<Fact, Refused> {
        let Expr::Ident(group) = &of.expr else {
            return Err(self.refused(e, "expected a fact like `client.requests`"));
        };
        let name = format!("{group}.{}", field.replace('_', "-"));
        let fact = fact(&name).map_err(|message| self.refused(of, message))?;
        if !self.facts.contains(&fact) {
            self.facts.push(fact);
        }
        Ok(fact)
    }
}

impl Serialize for Expression {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Expression::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(list: &[(Fact, f64)]) -> Facts {
        let mut facts = Facts::default();
        list.iter().for_each(|(f, v)| facts.set(*f, *v));
        facts
    }

    #[test]
    fn what_is_unknown_stays_apart_from_what_is_not_so() {
        let e = Expression::parse("agent.browser && client.requests > 10 * 2 || has(client.pages)").unwrap();
        let truth = |list: &[(Fact, f64)]| e.truth(&facts(list));
        assert_eq!(truth(&[(Fact::AgentBrowser, 1.0), (Fact::Requests, 21.0)]), Truth::Yes);
        assert_eq!(truth(&[(Fact::AgentBrowser, 1.0), (Fact::Requests, 20.0)]), Truth::No);
        assert_eq!(truth(&[(Fact::AgentBrowser, 0.0)]), Truth::No);
        assert_eq!(truth(&[(Fact::AgentBrowser, 1.0)]), Truth::Nothing);
        assert_eq!(truth(&[(Fact::Pages, 0.0)]), Truth::Yes);
        assert_eq!(e.facts(), [Fact::AgentBrowser, Fact::Requests, Fact::Pages]);
        let waits = Expression::parse("part.narrow >= 0.5 && part.requests > 3").unwrap();
        let mut open = facts(&[(Fact::PartRequests, 4.0)]);
        open.wait_for(&[Fact::Narrow]);
        assert_eq!(waits.truth(&open), Truth::Waiting);
        open.set(Fact::PartRequests, 3.0);
        assert_eq!(waits.truth(&open), Truth::No);
    }

    #[test]
    fn numbers_are_worked_out() {
        let e = Expression::parse("client.pages / client.requests < -0.5 + 1.0").unwrap();
        let truth = |p, r| e.truth(&facts(&[(Fact::Pages, p), (Fact::Requests, r)]));
        assert_eq!(truth(1.0, 4.0), Truth::Yes);
        assert_eq!(truth(3.0, 4.0), Truth::No);
        assert_eq!(truth(3.0, 0.0), Truth::Nothing);
    }

    #[test]
    fn errors_name_their_place() {
        let error = |text: &str| Expression::parse(text).unwrap_err();
        let e = error("client.requests > 3 &&\n  client.peek_per_minute > 3");
        assert_eq!((e.line, e.column), (2, 3), "{e}");
        assert!(e.message.contains("did you mean `client.peak-per-minute`"), "{e}");
        assert!(error("client.requests >").message.contains("does not parse"));
        assert!(error("client.requests").message.contains("compare it"));
        assert!(error("[1, 2].exists(x, x > client.requests)").message.contains("expected"));
        assert!(error("size(client.requests) > 3").message.contains("gives no number"));
        assert!(error("client.requests > \"3\"").message.contains("expected a number"));
        let long = vec!["client.requests > 1"; 40].join(" && ");
        assert!(error(&long).message.contains("parts"), "{}", error(&long).message);
        assert!(error(&"(".repeat(1000)).message.contains("does not parse"));
    }
}
