use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use cel::{Context, ExecutionError, Program, Value};

use crate::facts::{self, FIELDS};
use crate::idle::idle;
use crate::literals::compared;
use crate::walk::first_wrong;
use sidetap_model::nearest;

/// Longest condition in bytes: they are read for every verdict.
const MAX_LEN: usize = 4096;

/// A compiled condition over the fields of a verdict.
#[derive(Debug)]
pub(crate) struct Condition {
    text: String,
    program: Program,
}

/// Why a condition is refused: where in it (line and column from 1), what and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Condition {
    /// Compiles and tries a condition: unknown fields, wrong types and what is not a yes or no are found here, not in traffic.
    pub(crate) fn compile(text: &str) -> Result<Self, Refused> {
        if text.len() > MAX_LEN {
            return Err(refused(text, None, format!("condition longer than {MAX_LEN} bytes"), None));
        }
        let program = parse(text)?;
        check_names(text, &program)?;
        check_parts(text, &program)?;
        let condition = Condition { text: text.to_owned(), program };
        condition.try_out()?;
        Ok(condition)
    }

    /// Whether the condition holds.
    pub(crate) fn holds(&self, context: &Context<'_, '_>) -> Result<bool, String> {
        match self.program.execute(context) {
            Ok(Value::Bool(b)) => Ok(b),
            Ok(other) => Err(format!("gives {} where true or false is meant", other.type_of())),
            Err(e) => Err(reason(&e)),
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it asks for any of these fields.
    pub(crate) fn asks_any(&self, fields: &[&str]) -> bool {
        self.program.references().variables().iter().any(|v| fields.contains(v))
    }

    /// The texts that a field, or its elements, are compared with, and where in the condition (line and column from 1).
    pub(crate) fn compared(&self, field: &str) -> Vec<(&str, (usize, usize))> {
        let found = compared(self.program.expression(), field);
        found.into_iter().map(|(text, id)| (text, self.place(id))).collect()
    }

    /// Comparisons that come out the same whatever a verdict says, and where they are.
    pub(crate) fn idle(&self) -> Vec<(String, (usize, usize))> {
        idle(self.program.expression()).into_iter().map(|(what, id)| (what, self.place(id))).collect()
    }

    fn place(&self, id: u64) -> (usize, usize) {
        let at = self.program.source_info().offset_for(id).map_or(0, |(at, _)| at as usize);
        place(&self.text, at)
    }

    fn try_out(&self) -> Result<(), Refused> {
        let tried = facts::samples()
            .iter()
            .try_for_each(|v| self.holds(&facts::context(v, &facts::Around::default())).map(|_| ()));
        tried.map_err(|e| {
            let hint = "numbers are compared with numbers and text with text in double quotes";
            refused(&self.text, None, format!("condition {e}"), Some(hint.into()))
        })
    }
}

fn parse(text: &str) -> Result<Program, Refused> {
    Program::compile(text).map_err(|errors| {
        let first = errors.errors.first();
        let (line, column) = first.map_or((1, 1), |e| (e.pos.0.max(1) as usize, e.pos.1.max(0) as usize + 1));
        let message = first.map_or_else(|| "not CEL".to_owned(), |e| tidy(&e.msg));
        let hint = assigns(text).then(|| "`==` compares; a single `=` means nothing here".to_owned());
        Refused { line, column, message: format!("condition does not parse: {message}"), hint }
    })
}

/// Whether a `=` stands alone outside of texts.
fn assigns(text: &str) -> bool {
    let (mut quote, mut before) = (None, ' ');
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match quote {
            Some(_) if c == '\\' => drop(rest.next()),
            Some(q) if c == q => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c == '=' && !"=!<>".contains(before) && rest.peek() != Some(&'=') => return true,
            None => {}
        }
        before = c;
    }
    false
}

/// The parser lists what it would have taken, dozens of tokens: only what stood there helps.
fn tidy(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let line = line.strip_prefix("Syntax error: ").unwrap_or(line);
    line.split(" expecting ").next().unwrap_or(line).to_owned()
}

fn reason(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchOverload(_)
        | ExecutionError::ValuesNotComparable(..)
        | ExecutionError::UnsupportedBinaryOperator(..) => {
            format!("compares or joins what does not go together: {error}")
        }
        other => format!("cannot be worked out: {other}"),
    }
}

fn check_names(text: &str, program: &Program) -> Result<(), Refused> {
    let mut bound = Vec::new();
    collect_bound(program.expression(), &mut bound);
    let references = program.references();
    let mut unknown: Vec<&str> = references.variables();
    unknown.retain(|v| !bound.contains(v) && !FIELDS.iter().any(|f| f.name == *v));
    unknown.sort_unstable_by_key(|v| text.find(v));
    let Some(name) = unknown.first() else { return Ok(()) };
    let hint = match nearest(name, FIELDS.iter().map(|f| f.name)) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("known: {}", FIELDS.map(|f| f.name).join(", ")),
    };
    Err(refused(text, text.find(name), format!("unknown field `{name}` in the condition"), Some(hint)))
}

/// Tries each part by itself: what another part hides from a trial of the whole is found too.
fn check_parts(text: &str, program: &Program) -> Result<(), Refused> {
    match first_wrong(text, program.source_info(), program.expression(), &facts::filled()) {
        Some(wrong) => Err(refused(text, wrong.at, wrong.message, wrong.hint)),
        None => Ok(()),
    }
}

/// Names that comprehensions (`exists`, `all`, `filter`, `map`) bind.
fn collect_bound<'e>(e: &'e IdedExpr, out: &mut Vec<&'e str>) {
    match &e.expr {
        Expr::Comprehension(c) => {
            out.push(&c.iter_var);
            out.extend(c.iter_var2.as_deref());
            for part in [&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result] {
                collect_bound(part, out);
            }
        }
        Expr::Call(call) => {
            call.target.iter().for_each(|t| collect_bound(t, out));
            call.args.iter().for_each(|a| collect_bound(a, out));
        }
        Expr::List(list) => list.elements.iter().for_each(|x| collect_bound(x, out)),
        Expr::Select(select) => collect_bound(&select.operand, out),
        Expr::Map(map) => map.entries.iter().for_each(|entry| match &entry.expr {
            EntryExpr::MapEntry(m) => {
                collect_bound(&m.key, out);
                collect_bound(&m.value, out);
            }
            EntryExpr::StructField(f) => collect_bound(&f.value, out),
        }),
        _ => {}
    }
}

fn refused(text: &str, at: Option<usize>, message: String, hint: Option<String>) -> Refused {
    let (line, column) = place(text, at.unwrap_or_default());
    Refused { line, column, message, hint }
}

/// Line and column, both from 1, of a byte of a text.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    (line, before.rsplit('\n').next().unwrap_or_default().chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts<'c>(condition: &'c Condition, field: &str) -> Vec<&'c str> {
        condition.compared(field).into_iter().map(|(text, _)| text).collect()
    }

    fn error(text: &str) -> Refused {
        Condition::compile(text).unwrap_err()
    }

    #[test]
    fn conditions_are_checked_when_they_are_read() {
        assert!(Condition::compile(r#"intent == "malicious" && score >= 80"#).is_ok());
        assert!(Condition::compile(r#"agent.function == "training" && !agent.verified"#).is_ok());
        assert!(Condition::compile(r#""tor" in network_kinds || country in ["XX"]"#).is_ok());
        assert!(Condition::compile(r#"hosts.exists(h, h.endsWith(".example"))"#).is_ok());
        assert!(Condition::compile(r#"class in ["sqli", "vuln-scan"] || "OAT-008" in oat"#).is_ok());
        let e = error(r#"score >= 80 && clas == "x""#);
        assert_eq!((e.line, e.column), (1, 16));
        assert_eq!(e.hint.as_deref(), Some("did you mean `class`?"));
        assert!(
            error("score > \"9\"").message.contains("does not go together"),
            "{:?}",
            error("score > \"9\"")
        );
        assert!(error("score > 50 && class > 3").message.contains("does not go together"));
        assert!(error("score + 1").message.contains("true or false"));
        let c = Condition::compile(r#"class in ["sqli", "bola"] && (class != "spam" || score > 3)"#).unwrap();
        assert_eq!(texts(&c, "class"), ["sqli", "bola", "spam"]);
        assert_eq!(c.compared("class").iter().map(|(_, at)| at.1).collect::<Vec<_>>(), [11, 19, 40]);
        let c = Condition::compile(r#""login" in roles && !("x-y" in roles) && intent=="malicous""#).unwrap();
        assert_eq!((texts(&c, "roles"), texts(&c, "intent")), (vec!["login", "x-y"], vec!["malicous"]));
        for text in [
            "intent == 'malicous'",
            r#""malicous" == intent || score > 3"#,
            r#"!(intent in ['malicous'])"#,
            r#"score > 3 ? intent != "malicous" : false"#,
        ] {
            assert_eq!(texts(&Condition::compile(text).unwrap(), "intent"), ["malicous"], "{text}");
        }
        for text in [
            r#"roles.exists(r, r == "logn")"#,
            r#"hosts.exists(h, h == "x" && roles.exists(h, "logn" == h))"#,
            r#"roles.size() > 0 && roles[0] in ["logn"]"#,
            r#"roles.all(r, r in ['logn'])"#,
            r#"["logn"].exists(x, x in roles)"#,
            r#"["logn"].exists(x, roles.exists(r, r == x))"#,
        ] {
            assert_eq!(texts(&Condition::compile(text).unwrap(), "roles"), ["logn"], "{text}");
        }
        for text in [r#"agent.kind == "browsr""#, r#"agent["kind"] in ['browsr'] && agent.operator == "x""#] {
            assert_eq!(texts(&Condition::compile(text).unwrap(), "agent.kind"), ["browsr"], "{text}");
        }
        let e = error("score >=");
        assert!(e.message.contains("does not parse") && e.column > 1, "{e:?}");
        assert!(error("shout(class)").message.contains("no `shout`"));
    }

    #[test]
    fn what_another_part_hides_is_found_too() {
        let found = |text: &str| {
            let e = error(text);
            (e.line, e.column, e.message, e.hint.unwrap_or_default())
        };
        let (line, column, message, hint) = found("false && clietn.x");
        assert_eq!((line, column, message.as_str()), (1, 10, "unknown field `clietn` in the condition"));
        assert!(hint.starts_with("known: intent, "), "{hint}");
        assert_eq!(found("false && scoer > 3").3, "did you mean `score`?");
        let (_, column, message, hint) = found(r#"intent == "x" && agent.functoin == "training""#);
        assert_eq!((column, hint.as_str()), (18, "did you mean `agent.function`?"), "{message}");
        for (text, column, part) in [
            (r#"intent == "x" && score > "9""#, 24, "does not go together"),
            (r#"true || shout(class)"#, 9, "no `shout`"),
            (r#"intent == "x" && score"#, 18, "true or false"),
            (r#"intent == "x" && (phase == "y" || class > 3)"#, 41, "does not go together"),
            ("intent == \"x\" &&\n  class > 3", 9, "does not go together"),
            (r#"intent == "x" ? class > 3 : true"#, 23, "does not go together"),
            (r#"hosts.exists(h, h > 3)"#, 19, "does not go together"),
            (r#"hosts.all(h, h.endsWiht(".x"))"#, 16, "endsWiht"),
            (r#"intent == "x" && hosts[0] > 3"#, 27, "does not go together"),
            (r#"intent == "x" && class.matches("(a")"#, 31, "pattern of the condition"),
        ] {
            let (_, at, message, _) = found(text);
            assert!(message.contains(part), "{text}: {message}");
            assert_eq!(at, column, "{text}: {message}");
        }
        for text in [
            r#"hosts.size() > 0 && hosts[0] == "a""#,
            r#"requests > 0 && 100 / requests > 3"#,
            r#"hosts.exists(h, h.endsWith(".x")) || ["a"].filter(x, x != "b").size() > 0"#,
            r#"hosts.map(h, h + "x").exists_one(h, h == "y")"#,
            r#"has(agent.kind) && size(class) > 2 && class.matches("a.*")"#,
            r#"(class == "a" ? 1 : 2) > 1"#,
            r#"(class == "a" ? "b" : "c") == "b""#,
            r#"class == "a" && (class == "a" ? 1 : "x") > 0"#,
            "duration_s > 0 && double(requests) / double(duration_s) > 3.0",
            "campaign_size > 0 && double(campaign_requests) / double(campaign_size) > 2.0",
            "score > 100 && double(score - score) / double(again - again) > 1.0",
            "hosts.map(h, size(h)).exists(n, n > 20)",
            r#"hosts.filter(h, h == "a").map(h, size(h)).exists(n, n > 20)"#,
            "size(hosts) > 3 && size(hosts[3]) > 20",
            r#"subject.matches("^[0-9]+$") && int(subject) > 100"#,
        ] {
            assert_eq!(Condition::compile(text).err(), None, "{text}");
        }
    }
}
