//! The texts that a condition compares its fields with, however that is written.

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue};

/// The texts that a field, or an element of it where it is a list, is compared with in an expression, in the order in which they stand.
pub(crate) fn compared<'e>(e: &'e IdedExpr, field: &str) -> Vec<&'e str> {
    let mut walk = Walk { field, elements: Vec::new(), found: Vec::new() };
    walk.look(e);
    walk.found
}

struct Walk<'e, 'f> {
    field: &'f str,
    /// What comprehensions call the elements of the field, innermost last; and those that are called otherwise.
    elements: Vec<(&'e str, bool)>,
    found: Vec<&'e str>,
}

impl<'e> Walk<'e, '_> {
    fn look(&mut self, e: &'e IdedExpr) {
        match &e.expr {
            Expr::Call(call) => {
                if let ("_==_" | "_!=_" | "@in", [a, b]) = (call.func_name.as_str(), call.args.as_slice()) {
                    let (left, right) = (self.is_it(a), self.is_it(b));
                    let with = [(left, b), (right, a)].into_iter().filter(|(is, _)| *is);
                    with.for_each(|(_, other)| self.found.extend(texts(other)));
                }
                call.target.iter().map(AsRef::as_ref).chain(&call.args).for_each(|a| self.look(a));
            }
            Expr::Select(select) => self.look(&select.operand),
            Expr::List(list) => list.elements.iter().for_each(|e| self.look(e)),
            Expr::Map(map) => map.entries.iter().for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(m) => [&m.key, &m.value].into_iter().for_each(|e| self.look(e)),
                EntryExpr::StructField(f) => self.look(&f.value),
            }),
            Expr::Comprehension(c) => {
                self.look(&c.iter_range);
                self.elements.push((c.iter_var.as_str(), self.is_it(&c.iter_range)));
                self.look(&c.loop_step);
                self.elements.pop();
            }
            _ => {}
        }
    }

    /// Whether an expression is the field, one of its elements, or those of them that are chosen.
    fn is_it(&self, e: &IdedExpr) -> bool {
        match &e.expr {
            Expr::Ident(name) => match self.elements.iter().rev().find(|(of, _)| of == name) {
                Some((_, is)) => *is,
                None => name == self.field,
            },
            Expr::Call(call) => call.func_name == "_[_]" && call.args.first().is_some_and(|a| self.is_it(a)),
            _ => false,
        }
    }
}

fn texts(e: &IdedExpr) -> Vec<&str> {
    match &e.expr {
        Expr::Literal(LiteralValue::String(text)) => vec![text.inner()],
        Expr::List(list) => list.elements.iter().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}
