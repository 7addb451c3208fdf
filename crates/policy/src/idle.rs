//! Comparisons of a condition that come out the same whatever a verdict says: a score that there is not, a number held against a text.

use cel::common::ast::{Expr, IdedExpr, LiteralValue};

use crate::facts::FIELDS;
use crate::literals::made_of;

/// What such comparisons are, each with the id of the expression that can never be met.
pub(crate) fn idle(e: &IdedExpr) -> Vec<(String, u64)> {
    let mut walk = Walk { bound: Vec::new(), found: Vec::new() };
    walk.look(e);
    walk.found
}

struct Walk<'e> {
    /// Names that comprehensions bind.
    bound: Vec<&'e str>,
    found: Vec<(String, u64)>,
}

/// What numbers can be.
const RANGES: [(&str, i64, i64); 3] = [("score", 1, 99), ("automation", 1, 99), ("campaign_score", 0, 99)];

impl<'e> Walk<'e> {
    fn look(&mut self, e: &'e IdedExpr) {
        match &e.expr {
            Expr::Call(call) => {
                if let [a, b] = call.args.as_slice() {
                    self.compare(call.func_name.as_str(), a, b);
                }
                made_of(&e.expr).into_iter().for_each(|a| self.look(a));
            }
            Expr::Comprehension(c) => {
                self.look(&c.iter_range);
                let before = self.bound.len();
                self.bound.extend(
                    [Some(&c.iter_var), c.iter_var2.as_ref()].into_iter().flatten().map(String::as_str),
                );
                self.look(&c.loop_step);
                self.bound.truncate(before);
            }
            other => made_of(other).into_iter().for_each(|e| self.look(e)),
        }
    }

    fn compare(&mut self, op: &str, a: &'e IdedExpr, b: &'e IdedExpr) {
        let turned = match op {
            "_<_" => "_>_",
            "_<=_" => "_>=_",
            "_>_" => "_<_",
            "_>=_" => "_<=_",
            other => other,
        };
        match (self.field(a), self.field(b), &b.expr) {
            (Some(field), None, Expr::List(list)) if op == "@in" => {
                list.elements.iter().for_each(|e| self.against(&field, "_==_", e));
            }
            (Some(field), None, _) if op != "@in" => self.against(&field, op, b),
            (None, Some(field), _) if op != "@in" => self.against(&field, turned, a),
            _ => {}
        }
    }

    fn against(&mut self, (name, kind): &(String, &str), op: &str, with: &IdedExpr) {
        let Expr::Literal(literal) = &with.expr else { return };
        let said = match (*kind, literal) {
            ("int", LiteralValue::Int(n)) => beyond(name, op, *n.inner()),
            ("string", LiteralValue::String(text)) if matches!(op, "_==_" | "_!=_") => {
                odd_text(name, text.inner())
            }
            (kind, other) if matches!(op, "_==_" | "_!=_") => {
                let (is, other) = (a_kind(kind), kind_of(other));
                (other.is_some_and(|o| o != kind)).then(|| {
                    let other = other.map_or("", a_kind);
                    let hint = if name == "network" { ": 64496, not \"AS64496\"" } else { "" };
                    format!("`{name}` is {is}, which is never equal to {other}{hint}")
                })
            }
            _ => None,
        };
        self.found.extend(said.map(|s| (s, with.id)));
    }

    /// The field of a verdict that an expression is, and its type.
    fn field(&self, e: &IdedExpr) -> Option<(String, &'static str)> {
        let of_agent = |map: &IdedExpr, key: &str| {
            let is_it =
                matches!(&map.expr, Expr::Ident(name) if name == "agent" && !self.bound.contains(&"agent"));
            let kind = if matches!(key, "verified" | "refuted") { "bool" } else { "string" };
            is_it.then(|| (format!("agent.{key}"), kind))
        };
        match &e.expr {
            Expr::Ident(name) if !self.bound.contains(&name.as_str()) => {
                let field = FIELDS.iter().find(|f| f.name == *name)?;
                (field.kind != "map").then(|| (name.clone(), field.kind))
            }
            Expr::Select(select) => of_agent(&select.operand, &select.field),
            Expr::Call(call) if call.func_name == "_[_]" => match call.args.as_slice() {
                [map, IdedExpr { expr: Expr::Literal(LiteralValue::String(key)), .. }] => {
                    of_agent(map, key.inner())
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// That a comparison holds for all that a number can be, or for nothing.
fn beyond(name: &str, op: &str, n: i64) -> Option<String> {
    let range = RANGES.iter().find(|(field, ..)| *field == name);
    let (low, high) = range.map_or((0, i64::MAX), |(_, low, high)| (*low, *high));
    let within = (low..=high).contains(&n);
    let holds = |value: i64| match op {
        "_<_" => value < n,
        "_<=_" => value <= n,
        "_>_" => value > n,
        _ => value >= n,
    };
    let always = match op {
        "_==_" | "_!=_" if within => return None,
        "_==_" => false,
        "_!=_" => true,
        "_<_" | "_<=_" | "_>_" | "_>=_" if holds(low) != holds(high) => return None,
        "_<_" | "_<=_" | "_>_" | "_>=_" => holds(low),
        _ => return None,
    };
    let what = match range {
        Some(_) => format!("`{name}` is from {low} to {high}"),
        None => format!("`{name}` is {low} or more"),
    };
    Some(format!("{what}: this {} holds", if always { "always" } else { "never" }))
}

/// A text that a field never has.
fn odd_text(name: &str, text: &str) -> Option<String> {
    match name {
        _ if text.is_empty() => None,
        "country" if text.len() != 2 || !text.bytes().all(|b| b.is_ascii_uppercase()) => {
            Some(format!("no country is called `{text}`; two capital letters: DE"))
        }
        "client_ip" => match text.parse::<std::net::IpAddr>() {
            Ok(ip) if ip.to_string() == text => None,
            Ok(ip) => Some(format!("no `client_ip` is spelled `{text}`; write `{ip}`")),
            Err(_) => Some(format!("no `client_ip` is `{text}`: it is one address")),
        },
        _ => None,
    }
}

fn kind_of(literal: &LiteralValue) -> Option<&'static str> {
    match literal {
        LiteralValue::Int(_) | LiteralValue::UInt(_) | LiteralValue::Double(_) => Some("int"),
        LiteralValue::String(_) => Some("string"),
        LiteralValue::Boolean(_) => Some("bool"),
        _ => None,
    }
}

fn a_kind(kind: &str) -> &'static str {
    match kind {
        "int" => "a number",
        "string" => "a text",
        "bool" => "true or false",
        _ => "a list",
    }
}
