//! Tries each part of a condition by itself, so that one that another part hides (`false && scoer > 3`) is checked too.
//!
//! They are tried where nothing is empty or zero, since a part may be guarded against that by another: what is wrong there has the wrong
//! kind, whatever the values are.

use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, IdedExpr, SourceInfo};
use cel::{Context, ExecutionError, Value};
use sidetap_model::nearest;

use crate::facts::AGENT_KEYS;

/// What is wrong with a part: where in the condition (a byte), what, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) at: Option<usize>,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// The first part that names what there is not or joins what does not go together, whatever the other parts give.
pub(crate) fn first_wrong(
    text: &str,
    source: &SourceInfo,
    e: &IdedExpr,
    context: &Context<'_, '_>,
) -> Option<Wrong> {
    Walk { text, source }.part(e, context, true)
}

/// Most elements of a list that are tried.
const ELEMENTS: usize = 8;

struct Walk<'a> {
    text: &'a str,
    source: &'a SourceInfo,
}

impl Walk<'_> {
    /// Looks into an expression; `whole` says that it is to give true or false.
    fn part(&self, e: &IdedExpr, context: &Context<'_, '_>, whole: bool) -> Option<Wrong> {
        if let Expr::Call(call) = &e.expr {
            let truths = match call.func_name.as_str() {
                "_&&_" | "_||_" | "!_" => Some(call.args.len()),
                "_?_:_" => Some(1),
                _ => None,
            };
            if let Some(truths) = truths {
                let parts = call.args.iter().enumerate();
                return parts.map(|(i, a)| self.part(a, context, i < truths || whole)).find_map(|w| w);
            }
        }
        let within = self.within(e, context);
        within.or_else(|| self.value(e, context, whole))
    }

    /// Looks into what an expression is made of.
    fn within(&self, e: &IdedExpr, context: &Context<'_, '_>) -> Option<Wrong> {
        let all = |parts: Vec<&IdedExpr>| parts.into_iter().find_map(|p| self.part(p, context, false));
        match &e.expr {
            Expr::Select(select) => {
                let unknown = matches!(&select.operand.expr, Expr::Ident(name) if name == "agent")
                    && !AGENT_KEYS.contains(&select.field.as_str());
                if unknown {
                    return Some(self.no_such_key(e, &select.field));
                }
                self.part(&select.operand, context, false)
            }
            Expr::Call(call) => all(call.target.iter().map(AsRef::as_ref).chain(&call.args).collect()),
            Expr::List(list) => all(list.elements.iter().collect()),
            Expr::Map(map) => map.entries.iter().find_map(|entry| match &entry.expr {
                EntryExpr::MapEntry(m) => all(vec![&m.key, &m.value]),
                EntryExpr::StructField(f) => all(vec![&f.value]),
            }),
            Expr::Comprehension(c) => self.comprehension(c, context),
            _ => None,
        }
    }

    /// What `exists`, `all`, `filter` and `map` do with elements: wrong where it is so with each. With none there is nothing to tell.
    fn comprehension(&self, c: &ComprehensionExpr, context: &Context<'_, '_>) -> Option<Wrong> {
        if let Some(wrong) = self.part(&c.iter_range, context, false) {
            return Some(wrong);
        }
        if c.iter_var2.is_some() {
            return None;
        }
        let start = Value::resolve(&c.accu_init, context).ok()?;
        let Value::List(list) = Value::resolve(&c.iter_range, context).ok()? else { return None };
        let tried = list.iter().take(ELEMENTS).map(|element| {
            let mut inner = context.new_inner_scope();
            inner.add_variable_from_value(c.iter_var.as_str(), element.clone());
            inner.add_variable_from_value(c.accu_var.as_str(), start.clone());
            self.part(&c.loop_step, &inner, false)
        });
        tried.collect::<Option<Vec<Wrong>>>()?.into_iter().next()
    }

    /// What an expression gives by itself.
    fn value(&self, e: &IdedExpr, context: &Context<'_, '_>, whole: bool) -> Option<Wrong> {
        // What depends on a choice may have another kind for other values.
        if chooses(e) {
            return None;
        }
        let hint = "numbers are compared with numbers and text with text in double quotes";
        let wrong = |message: String, hint: Option<String>| Wrong { at: self.place(e), message, hint };
        match Value::resolve(e, context) {
            Ok(Value::Bool(_)) => None,
            Ok(other) if whole => {
                let message =
                    format!("a part of the condition gives {} where true or false is meant", other.type_of());
                Some(wrong(message, None))
            }
            Ok(_) => None,
            Err(ExecutionError::UndeclaredReference(name)) => {
                let at = self.text.find(name.as_str()).or_else(|| self.place(e));
                Some(Wrong { at, ..wrong(format!("there is no `{name}`"), None) })
            }
            Err(error) if is_of_kinds(&error) && !has_nan(e, context) => {
                let message =
                    format!("a part of the condition compares or joins what does not go together: {error}");
                Some(wrong(message, Some(hint.to_owned())))
            }
            Err(ExecutionError::FunctionError { function, message }) if is_pattern(e, &function) => Some(
                wrong(format!("a pattern of the condition cannot be read: {}", last_line(&message)), None),
            ),
            // What depends on values (a list that is empty, a division by zero) may be guarded by another part.
            Err(_) => None,
        }
    }

    fn no_such_key(&self, e: &IdedExpr, field: &str) -> Wrong {
        let name = format!("agent.{field}");
        let hint = match nearest(field, AGENT_KEYS) {
            Some(known) => format!("did you mean `agent.{known}`?"),
            None => format!("known: {}", AGENT_KEYS.map(|k| format!("agent.{k}")).join(", ")),
        };
        let at = self.text.find(&name).or_else(|| self.place(e));
        Wrong { at, message: format!("unknown field `{name}` in the condition"), hint: Some(hint) }
    }

    /// Where an expression stands, as far as the parser kept that: its operator, or what it begins with.
    fn place(&self, e: &IdedExpr) -> Option<usize> {
        let at = self.source.offset_for(e.id)?.0 as usize;
        self.text.is_char_boundary(at).then_some(at)
    }
}

/// Whether an error is of the kinds of values, not of what they are.
fn is_of_kinds(error: &ExecutionError) -> bool {
    matches!(
        error,
        ExecutionError::NoSuchOverload(_)
            | ExecutionError::ValuesNotComparable(..)
            | ExecutionError::UnsupportedBinaryOperator(..)
            | ExecutionError::UnexpectedType { .. }
            | ExecutionError::UnsupportedTargetType { .. }
            | ExecutionError::NotSupportedAsMethod { .. }
            | ExecutionError::InvalidArgumentCount { .. }
            | ExecutionError::MissingArgumentOrTarget
            | ExecutionError::UnsupportedIndex(..)
            | ExecutionError::UnsupportedKeyType(_)
    )
}

/// Whether a choice (`a ? b : c`) is in an expression.
fn chooses(e: &IdedExpr) -> bool {
    match &e.expr {
        Expr::Call(call) => {
            call.func_name == "_?_:_" || call.target.iter().map(AsRef::as_ref).chain(&call.args).any(chooses)
        }
        Expr::Select(select) => chooses(&select.operand),
        Expr::List(list) => list.elements.iter().any(chooses),
        Expr::Comprehension(c) => chooses(&c.iter_range) || chooses(&c.loop_step),
        _ => false,
    }
}

/// Whether an operand is no number (`0.0 / 0.0`), which cannot be compared though it is of the right kind.
fn has_nan(e: &IdedExpr, context: &Context<'_, '_>) -> bool {
    let Expr::Call(call) = &e.expr else { return false };
    let mut values = call.args.iter().filter_map(|a| Value::resolve(a, context).ok());
    values.any(|v| matches!(v, Value::Float(f) if f.is_nan()))
}

/// Whether an expression compares with a pattern that is written out, which is read or not whatever the values are.
fn is_pattern(e: &IdedExpr, function: &str) -> bool {
    let Expr::Call(call) = &e.expr else { return false };
    function == "matches" && matches!(call.args.last().map(|a| &a.expr), Some(Expr::Literal(_)))
}

/// The line that says why, below those that show where.
fn last_line(message: &str) -> &str {
    message.lines().rfind(|l| !l.trim().is_empty()).unwrap_or(message).trim()
}
