//! What a GraphQL document asks for: its root fields (GraphQL §2.3 to §2.6), without their selections.

use std::ops::Range;

/// A root field of the first operation of a document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Root<'a> {
    /// The field, not its alias.
    pub name: &'a str,
    /// Where its arguments stand in the text, without their brackets; empty where it has none.
    pub arguments: Range<usize>,
}

/// The first operation of a document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation<'a> {
    /// `query`, `mutation` or `subscription`.
    pub kind: &'static str,
    /// The name that the client gave it.
    pub name: Option<&'a str>,
    /// Its root fields in their order, at most [`ROOTS`]. Those that a fragment brings are not among them.
    pub roots: Vec<Root<'a>>,
}

/// Root fields that are told of one operation.
pub const ROOTS: usize = 64;

/// Reads the first operation of a document; nothing of a text that has none. Never fails: what is cut off tells what came before.
pub fn operation(text: &str) -> Option<Operation<'_>> {
    let mut at = Reader { text, at: 0 };
    loop {
        match at.token()? {
            Token::Name("fragment") => at.skip_definition()?,
            Token::Name("mutation") => return Some(at.rest_of("mutation")),
            Token::Name("subscription") => return Some(at.rest_of("subscription")),
            Token::Name("query") => return Some(at.rest_of("query")),
            Token::Sign(b'{') => {
                return Some(Operation { kind: "query", name: None, roots: at.roots() });
            }
            _ => {}
        }
    }
}

impl<'a> Operation<'a> {
    /// The one field that all roots are, where they are of one kind.
    pub fn only_root(&self) -> Option<&'a str> {
        let first = self.roots.first()?.name;
        self.roots.iter().all(|r| r.name == first).then_some(first)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Token<'a> {
    Name(&'a str),
    Sign(u8),
    /// `...`
    Spread,
    /// A number, or a string without its quotes.
    Value(&'a str),
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn token(&mut self) -> Option<Token<'a>> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at)? {
                b'#' => {
                    let rest = bytes.get(self.at..).unwrap_or_default();
                    self.at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                }
                b'"' => {
                    let from = self.at;
                    self.string();
                    let value = self.text.get(from..self.at).unwrap_or_default();
                    return Some(Token::Value(value.trim_matches('"')));
                }
                b'.' => {
                    let from = self.at;
                    self.skip(|b| b == b'.');
                    return Some(if self.at - from >= 3 { Token::Spread } else { Token::Sign(b'.') });
                }
                b if b.is_ascii_alphabetic() || *b == b'_' => {
                    let from = self.at;
                    self.skip(|b| b.is_ascii_alphanumeric() || b == b'_');
                    return self.text.get(from..self.at).map(Token::Name);
                }
                b if b.is_ascii_digit() || *b == b'-' => {
                    let from = self.at;
                    self.skip(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.'));
                    return self.text.get(from..self.at).map(Token::Value);
                }
                b if b.is_ascii_whitespace() || *b == b',' || !b.is_ascii() => self.at += 1,
                b => {
                    self.at += 1;
                    return Some(Token::Sign(*b));
                }
            }
        }
    }

    fn skip(&mut self, of: impl Fn(u8) -> bool) {
        while self.text.as_bytes().get(self.at).is_some_and(|b| of(*b)) {
            self.at += 1;
        }
    }

    /// Skips a string, also a block string.
    fn string(&mut self) {
        let bytes = self.text.as_bytes();
        let rest = bytes.get(self.at..).unwrap_or_default();
        if rest.starts_with(b"\"\"\"") {
            let end = rest.get(3..).and_then(|r| memchr::memmem::find(r, b"\"\"\""));
            self.at += end.map_or(rest.len(), |n| n + 6);
            return;
        }
        let mut escaped = false;
        for (n, b) in rest.iter().enumerate().skip(1) {
            match b {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    self.at += n + 1;
                    return;
                }
                _ => {}
            }
        }
        self.at = bytes.len();
    }

    /// Skips to behind the bracket that closes the one that was read.
    fn skip_to(&mut self, open: u8, close: u8) {
        let mut depth = 1u32;
        while depth > 0 {
            match self.token() {
                Some(Token::Sign(b)) if b == open => depth += 1,
                Some(Token::Sign(b)) if b == close => depth -= 1,
                Some(_) => {}
                None => return,
            }
        }
    }

    /// Skips a fragment's definition.
    fn skip_definition(&mut self) -> Option<()> {
        while self.token()? != Token::Sign(b'{') {}
        self.skip_to(b'{', b'}');
        Some(())
    }

    /// What follows the kind of an operation: a name, variables, directives and the selection.
    fn rest_of(&mut self, kind: &'static str) -> Operation<'a> {
        let mut name = None;
        let mut first = true;
        while let Some(token) = self.token() {
            match token {
                Token::Name(n) if first => name = Some(n),
                Token::Sign(b'(') => self.skip_to(b'(', b')'),
                Token::Sign(b'{') => return Operation { kind, name, roots: self.roots() },
                _ => {}
            }
            first = false;
        }
        Operation { kind, name, roots: Vec::new() }
    }

    /// The fields of a selection whose bracket was read.
    fn roots(&mut self) -> Vec<Root<'a>> {
        let mut roots: Vec<Root<'a>> = Vec::new();
        let (mut renames, mut directive, mut spread, mut typed) = (false, false, false, false);
        let mut within = 0u32;
        while let Some(token) = self.token() {
            match token {
                Token::Name(_) if directive => directive = false,
                // The name of a fragment, or the type that an inline one is on.
                Token::Name("on") if spread && !typed => typed = true,
                Token::Name(_) if typed => typed = false,
                Token::Name(_) if spread => spread = false,
                Token::Name(name) if renames => {
                    renames = false;
                    if let Some(last) = roots.last_mut() {
                        last.name = name;
                    }
                }
                Token::Name(name) => {
                    if roots.len() >= ROOTS {
                        return roots;
                    }
                    roots.push(Root { name, arguments: 0..0 });
                }
                Token::Sign(b':') => renames = true,
                Token::Sign(b'@') => directive = true,
                Token::Spread => spread = true,
                Token::Sign(b'(') => {
                    let from = self.at;
                    self.skip_to(b'(', b')');
                    let to = self.at.saturating_sub(1).max(from);
                    if let Some(last) = roots.last_mut().filter(|r| r.arguments.is_empty()) {
                        last.arguments = from..to;
                    }
                }
                // The selection of an inline fragment is the operation's own.
                Token::Sign(b'{') if spread => {
                    spread = false;
                    within += 1;
                }
                Token::Sign(b'{') => self.skip_to(b'{', b'}'),
                Token::Sign(b'}') if within > 0 => within -= 1,
                Token::Sign(b'}') => return roots,
                _ => {}
            }
        }
        roots
    }
}

/// The arguments of a root field: each name with its value as it is written, a variable with its `$`. Of objects the values in them
/// are told, each under its own name, of lists nothing.
pub fn arguments<'a>(text: &'a str, of: &Range<usize>) -> Vec<(&'a str, &'a str)> {
    const MOST: usize = 32;
    let Some(inner) = text.get(of.clone()) else { return Vec::new() };
    let mut reader = Reader { text: inner, at: 0 };
    let mut found = Vec::new();
    let (mut name, mut variable) = (None, None);
    while found.len() < MOST
        && let Some(token) = reader.token()
    {
        match (token, name) {
            (Token::Sign(b'$'), _) => variable = reader.at.checked_sub(1),
            (Token::Sign(b'['), _) => {
                reader.skip_to(b'[', b']');
                name = None;
            }
            (Token::Sign(b'{'), _) => name = None,
            (Token::Name(value), Some(key)) => {
                let with_sign = variable.take().and_then(|from| inner.get(from..reader.at));
                found.push((key, with_sign.unwrap_or(value)));
                name = None;
            }
            (Token::Name(key), None) => name = Some(key),
            (Token::Value(value), Some(key)) => {
                found.push((key, value));
                name = None;
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(text: &str) -> (Option<&str>, Vec<&str>) {
        let op = operation(text).unwrap();
        (op.name, op.roots.iter().map(|r| r.name).collect())
    }

    #[test]
    fn root_fields_are_told_whatever_the_operation_is_called() {
        assert_eq!(roots("{ invoice(id: 17) { total lines { sku } } }"), (None, vec!["invoice"]));
        assert_eq!(
            roots(
                "query Foo($id: ID!, $x: [Int!] = [1]) @live { a: invoice(id: $id) @include(if: true) { id } me { id } }"
            ),
            (Some("Foo"), vec!["invoice", "me"])
        );
        let batch = "mutation{a1:signIn(email:\"a@b.example\",password:\"p){\"){token} a2:signIn(email:\"c\",password:\"q\"){token}}";
        assert_eq!(operation(batch).unwrap().only_root(), Some("signIn"));
        assert_eq!(operation(batch).unwrap().roots.len(), 2);
        assert_eq!(
            roots(
                "fragment F on Invoice { id } # note {\n query { ...F ... on Query { order(id: 1) { id } } x }"
            ),
            (None, vec!["order", "x"])
        );
        assert_eq!(operation("nothing of the kind"), None);
        assert_eq!(roots("query Cut { invoice(id: 17").1, ["invoice"]);
    }

    #[test]
    fn arguments_are_told_with_their_values() {
        let text = "{ a(id: 17, name: \"x y\", input: {mail: $m, n: -2}, kinds: [A, B]) { id } }";
        let op = operation(text).unwrap();
        let found = arguments(text, &op.roots[0].arguments);
        assert_eq!(found, [("id", "17"), ("name", "x y"), ("mail", "$m"), ("n", "-2")]);
    }
}
