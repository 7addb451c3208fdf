//! The texts that a condition compares its fields with, however that is written.

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue};

/// The expressions that one is made of, where it binds no names.
pub(crate) fn made_of(e: &Expr) -> Vec<&IdedExpr> {
    match e {
        Expr::Call(call) => call.target.iter().map(AsRef::as_ref).chain(&call.args).collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map
            .entries
            .iter()
            .flat_map(|entry| match &entry.expr {
                EntryExpr::MapEntry(m) => vec![&m.key, &m.value],
                EntryExpr::StructField(f) => vec![&f.value],
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// The texts that a field, or an element of it where it is a list, is compared with in an expression, in the order in which they stand,
/// each with the id of its expression. A field of a map is named with it: `agent.kind`.
pub(crate) fn compared<'e>(e: &'e IdedExpr, field: &str) -> Vec<(&'e str, u64)> {
    let mut walk = Walk { field, elements: Vec::new(), found: Vec::new() };
    walk.look(e);
    walk.found
}

struct Walk<'e, 'f> {
    field: &'f str,
    /// What comprehensions call elements, innermost last: of what they are, and whether that is the field.
    elements: Vec<(&'e str, &'e IdedExpr, bool)>,
    found: Vec<(&'e str, u64)>,
}

impl<'e> Walk<'e, '_> {
    fn look(&mut self, e: &'e IdedExpr) {
        match &e.expr {
            Expr::Call(call) => {
                if let ("_==_" | "_!=_" | "@in", [a, b]) = (call.func_name.as_str(), call.args.as_slice()) {
                    let (left, right) = (self.is_it(a), self.is_it(b));
                    let with = [(left, b), (right, a)].into_iter().filter(|(is, _)| *is);
                    with.for_each(|(_, other)| self.found.extend(self.texts(other)));
                }
                made_of(&e.expr).into_iter().for_each(|a| self.look(a));
            }
            Expr::Comprehension(c) => {
                self.look(&c.iter_range);
                self.elements.push((c.iter_var.as_str(), &c.iter_range, self.is_it(&c.iter_range)));
                self.look(&c.loop_step);
                self.elements.pop();
            }
            other => made_of(other).into_iter().for_each(|e| self.look(e)),
        }
    }

    /// Whether an expression is the field, one of its elements, or those of them that are chosen.
    fn is_it(&self, e: &IdedExpr) -> bool {
        let of = |map: &IdedExpr, key: &str| {
            let Expr::Ident(map) = &map.expr else { return false };
            self.element(map).is_none() && self.field.split_once('.') == Some((map.as_str(), key))
        };
        match &e.expr {
            Expr::Ident(name) => match self.element(name) {
                Some((_, is)) => is,
                None => name == self.field,
            },
            Expr::Select(select) => of(&select.operand, &select.field),
            Expr::Call(call) if call.func_name == "_[_]" => match call.args.as_slice() {
                [map, IdedExpr { expr: Expr::Literal(LiteralValue::String(key)), .. }] => {
                    of(map, key.inner())
                }
                [list, ..] => self.is_it(list),
                [] => false,
            },
            _ => false,
        }
    }

    /// What a comprehension's name is an element of, and whether that is the field.
    fn element(&self, name: &str) -> Option<(&'e IdedExpr, bool)> {
        self.elements.iter().rev().find(|(of, ..)| *of == name).map(|(_, list, is)| (*list, *is))
    }

    /// The texts that an expression is, or is one of.
    fn texts(&self, e: &'e IdedExpr) -> Vec<(&'e str, u64)> {
        match &e.expr {
            Expr::Literal(LiteralValue::String(text)) => vec![(text.inner(), e.id)],
            Expr::List(list) => list.elements.iter().flat_map(|e| self.texts(e)).collect(),
            Expr::Ident(name) => match self.element(name).map(|(list, _)| &list.expr) {
                Some(Expr::List(list)) => list.elements.iter().filter_map(literal).collect(),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }
}

fn literal(e: &IdedExpr) -> Option<(&str, u64)> {
    match &e.expr {
        Expr::Literal(LiteralValue::String(text)) => Some((text.inner(), e.id)),
        _ => None,
    }
}
