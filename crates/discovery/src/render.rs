//! Templates as text, names of parameters, ids.

use std::fmt::Write as _;

use sidetap_model::EndpointId;

use crate::segment::{self, Reading, Shape};
use crate::words;

/// Longest template, in bytes.
const MAX_TEMPLATE: usize = 1024;

/// A template being written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Template {
    pub(crate) text: String,
    names: Vec<String>,
    last_literal: Option<String>,
    after_param: bool,
}

impl Template {
    /// Appends a literal segment, percent-encoded where a path needs it.
    pub(crate) fn literal(&mut self, name: &str) {
        if self.text.len() > MAX_TEMPLATE {
            return;
        }
        self.text.push('/');
        encode(name, &mut self.text);
        if !is_version(name) {
            self.last_literal = Some(name.to_owned());
        }
        self.after_param = false;
    }

    /// Appends a parameter between literals.
    pub(crate) fn param(&mut self, prefix: &str, suffix: &str, shapes: u32) {
        if self.text.len() > MAX_TEMPLATE {
            return;
        }
        let name = self.name(shapes);
        self.text.push('/');
        encode(prefix, &mut self.text);
        let _ = write!(self.text, "{{{name}}}");
        encode(suffix, &mut self.text);
        self.names.push(name);
        self.after_param = true;
    }

    fn name(&self, shapes: u32) -> String {
        let ids = shapes != 0
            && shapes & (Shape::Word.bit() | Shape::Text.bit() | Shape::Domain.bit() | Shape::Email.bit())
                == 0;
        let base = match &self.last_literal {
            Some(l)
                if !self.after_param && !words::is_reserved(l) && segment::read(l, None, 0).score == 0 =>
            {
                let one = words::singular(l);
                let fits =
                    !one.is_empty() && one.len() <= 48 && one.starts_with(|c: char| c.is_ascii_alphabetic());
                match (fits, ids) {
                    (true, true) if shapes == Shape::Date.bit() => "date".to_owned(),
                    (true, true) if one.ends_with("_id") => one,
                    (true, true) => format!("{one}_id"),
                    (true, false) => one,
                    (false, _) => "id".to_owned(),
                }
            }
            _ if self.after_param && !ids => "name".to_owned(),
            _ => "id".to_owned(),
        };
        if !self.names.contains(&base) {
            return base;
        }
        (2..).map(|n| format!("{base}_{n}")).find(|n| !self.names.contains(n)).unwrap_or(base)
    }

    /// The text, with a slash at the end where `slashed`.
    pub(crate) fn finish(&self, slashed: bool) -> String {
        match (self.text.is_empty(), slashed) {
            (true, _) => "/".to_owned(),
            (false, true) => format!("{}/", self.text),
            (false, false) => self.text.clone(),
        }
    }
}

/// A version says nothing of what follows: `/users/v1/{user}`.
fn is_version(name: &str) -> bool {
    let rest = name.strip_prefix(['v', 'V']).unwrap_or(name);
    rest.starts_with(|c: char| c.is_ascii_digit()) && rest.len() <= 10
}

/// The template that shapes alone give: what is surely a value becomes a parameter.
pub(crate) fn stateless(path: &[u8]) -> String {
    let segments = segment::split(path);
    let mut out = Template::default();
    let mut previous: Option<&str> = None;
    for (depth, text) in segments.parts.iter().enumerate() {
        let reading = segment::read(text, previous, depth);
        push(&mut out, text, &reading);
        previous = Some(text);
    }
    out.finish(segments.trailing_slash)
}

/// A template with its parameters named as the inventory names them: by what stands before them, and by what paths and templates that it
/// takes (`of`) have in their place.
pub fn named(template: &str, of: &[&str]) -> String {
    let (path, operation) = template.split_once('#').map_or((template, None), |(p, o)| (p, Some(o)));
    let all: Vec<_> =
        of.iter().map(|t| segment::split(t.split('#').next().unwrap_or_default().as_bytes())).collect();
    let segments = segment::split(path.as_bytes());
    let mut out = Template::default();
    for (depth, text) in segments.parts.iter().enumerate() {
        let Some((prefix, suffix)) = around_parameter(text) else {
            out.literal(text);
            continue;
        };
        let shapes = all.iter().filter_map(|s| {
            let theirs = s.parts.get(depth)?;
            let before = depth.checked_sub(1).and_then(|at| s.parts.get(at));
            Some(shape_of(theirs, (prefix, suffix), before.map(|b| &**b), depth))
        });
        out.param(prefix, suffix, shapes.fold(0, |all, shape| all | shape.bit()));
    }
    let path = out.finish(segments.trailing_slash);
    operation.map_or(path.clone(), |of| format!("{path}#{of}"))
}

/// What is literal before and after the parameter of a segment.
fn around_parameter(text: &str) -> Option<(&str, &str)> {
    let (prefix, rest) = text.split_once('{')?;
    Some((prefix, rest.rsplit_once('}')?.1))
}

/// What stands in place of a parameter looks like; of another parameter its name says it.
fn shape_of(theirs: &str, (prefix, suffix): (&str, &str), before: Option<&str>, depth: usize) -> Shape {
    if let (Some(from), Some(end)) = (theirs.find('{'), theirs.rfind('}')) {
        let name = theirs.get(from + 1..end).unwrap_or_default();
        let name = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('_');
        return match name {
            "date" => Shape::Date,
            name if name == "id" || name.ends_with("_id") => Shape::Int,
            _ => Shape::Word,
        };
    }
    let value = theirs.strip_prefix(prefix).unwrap_or(theirs);
    let value = value.strip_suffix(suffix).unwrap_or(value);
    segment::read(value, before, depth).shape
}

fn push(out: &mut Template, text: &str, reading: &Reading) {
    if reading.score < segment::STRONG {
        return out.literal(text);
    }
    let prefix = text.get(..reading.prefix).unwrap_or_default();
    let suffix = text.len().checked_sub(reading.suffix).and_then(|n| text.get(n..)).unwrap_or_default();
    out.param(prefix, suffix, reading.shape.bit());
}

/// The id of an endpoint: parameter names and a slash at the end do not count, so that better names keep ids.
pub(crate) fn id_of(zone: &str, host: &str, method: &str, template: &str) -> EndpointId {
    let mut bare = String::with_capacity(template.len());
    let mut inside = false;
    for c in template.trim_end_matches('/').chars() {
        match c {
            '{' => {
                inside = true;
                bare.push('{');
            }
            '}' => {
                inside = false;
                bare.push('}');
            }
            c if !inside => bare.push(c),
            _ => {}
        }
    }
    EndpointId::of(zone, host, method, &bare)
}

fn encode(text: &str, out: &mut String) {
    for b in text.bytes() {
        let plain = b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&b);
        if plain {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_alone_give_a_template() {
        assert_eq!(
            stateless(b"/v1/users/42/orders/6f1c2d3e-0a1b-4c2d-8e3f-112233445566.json"),
            "/v1/users/{user_id}/orders/{order_id}.json"
        );
        assert_eq!(stateless(b"/"), "/");
        assert_eq!(stateless(b"/a/31/2/3/"), "/a/{a_id}/{id}/{id_2}/");
        assert_eq!(stateless(b"/a%7Bb/%E2%82%AC"), "/a%7Bb/%E2%82%AC");
    }

    #[test]
    fn versions_name_nothing() {
        assert_eq!(stateless(b"/users/v1/42"), "/users/v1/{user_id}");
        assert_eq!(stateless(b"/v2/42"), "/v2/{id}");
    }

    #[test]
    fn a_template_that_people_write_is_named_as_the_inventory_does() {
        for (template, of, is) in [
            ("/items/{sku}", &["/items/red", "/items/blue"][..], "/items/{item}"),
            ("/items/{sku}", &["/items/17", "/items/42"], "/items/{item_id}"),
            ("/items/{sku}", &["/items/17", "/items/red"], "/items/{item}"),
            ("/items/{x}/stock/{y}", &["/items/17/stock/{stock_id}"], "/items/{item_id}/stock/{stock_id}"),
            ("/items/{x}/{y}", &["/items/{item}/{name}"], "/items/{item}/{name}"),
            ("/v{n}/items/", &["/v1/items", "/v2/items"], "/v{id}/items/"),
            ("/graphql/{x}#query.A", &["/graphql/4217#query.A"], "/graphql/{graphql_id}#query.A"),
            ("/items/special", &["/items/{item}"], "/items/special"),
        ] {
            assert_eq!(named(template, of), is, "{template} {of:?}");
        }
    }

    #[test]
    fn names_do_not_change_ids() {
        assert_eq!(id_of("z", "h", "GET", "/a/{x}"), id_of("z", "h", "GET", "/a/{y}/"));
        assert_ne!(id_of("z", "h", "GET", "/a/{x}"), id_of("z", "h", "GET", "/a/x"));
    }
}
