//! What a call is about: the ids, codes and parameters that it names.

use sidetap_wire::names::NameSet;

use super::identity::is_key;
use super::query::has_json;
use super::{Extractor, path, plain};
use crate::hash;
use crate::observation::{Observation, Target};
use crate::role::Roles;

impl Extractor {
    /// What the call was about: the code or token it tries, the id in its path, its parameters, the account.
    pub(super) fn target(&self, o: &Observation, place: &path::Place<'_>) -> Option<Target> {
        let signs_in = Roles(Roles::LOGIN.0 | Roles::SIGN_UP.0 | Roles::RESET.0);
        if let Some(account) = o.account.filter(|_| o.roles.any(signs_in) && !o.roles.any(Roles::OTP)) {
            let named = self.request.account.as_deref().filter(|a| is_phone(a));
            return Some(Target { hash: account, number: named.and_then(trailing_number) });
        }
        if let Some(receiver) = self.request.receiver().filter(|_| o.roles.any(Roles::TRANSFER)) {
            // `POST /accounts/17/transfers {"toIban": …}`: the path says whose money it is.
            return Some(self.make_target(receiver));
        }
        if let Some(code) = &self.request.code {
            let number = self.request.number.as_deref().unwrap_or_default();
            let mut target = self.make_target(code);
            if !number.is_empty() {
                target.hash = hash::words(&[target.hash, self.make_target(number).hash]);
                target.number = trailing_number(number);
            }
            return Some(target);
        }
        if let Some(number) = self.request.number.as_deref().filter(|_| o.roles.any(Roles::OTP)) {
            return Some(self.make_target(number));
        }
        if let Some(value) = place.parameter {
            return Some(self.make_target(value));
        }
        if let Some(query) = place.query.filter(|q| has_json(q)) {
            let names = plain::named_in_query(query);
            if !names.is_empty() {
                return Some(self.make_target(&names.join("/")));
            }
        }
        if let Some(query) = place.query
            && let Some(target) = self.query_target(query)
        {
            return Some(target);
        }
        if o.operation.is_some() {
            let named = self.request.arguments.leading().or_else(|| self.request.arguments.only());
            if let Some(name) = named {
                return Some(self.make_target(name));
            }
        }
        if let Some(id) = self.request.id() {
            return Some(self.make_target(id));
        }
        if o.account.is_none()
            && o.operation.is_some()
            && let Some(print) = self.request.arguments.print()
        {
            return Some(Target { hash: self.key.hash64("target", &print.to_le_bytes()), number: None });
        }
        if let Some(account) = o.account {
            let named = self.request.account.as_deref().filter(|a| is_phone(a));
            return Some(Target { hash: account, number: named.and_then(trailing_number) });
        }
        if path::is_numbered(place.last) {
            return Some(self.make_target(place.last));
        }
        let token = o.sessions.iter().find(|t| t.login).filter(|_| o.roles == Roles::NONE);
        if let Some(token) = token {
            return Some(Target { hash: token.hash, number: None });
        }
        Some(self.make_target(place.last))
    }

    /// What the further calls of a request that carries many were about.
    pub(super) fn more_targets(&self, o: &Observation) -> Box<[Target]> {
        let further = self.request.arguments.further().iter().filter(|_| o.operation.is_some());
        further.map(|name| self.make_target(name)).collect()
    }

    pub(super) fn make_target(&self, value: &str) -> Target {
        Target { hash: self.key.hash64("target", value.as_bytes()), number: trailing_number(value) }
    }

    fn query_target(&self, query: &str) -> Option<Target> {
        let mut m = hash::Mix::new();
        let mut number = None;
        let mut any = false;
        for pair in query.split('&').take(32) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if value.is_empty() || is_presentation(name) || is_key(name) {
                continue;
            }
            any = true;
            m.bytes(name.as_bytes());
            m.bytes(value.as_bytes());
            number = trailing_number(value).or(number);
        }
        any.then(|| Target { hash: self.key.hash64("target", &m.finish().to_le_bytes()), number })
    }
}

/// The number that ends a value (or stands before a last letter group), where it has at most 18 digits.
fn trailing_number(value: &str) -> Option<u64> {
    let bytes = value.as_bytes();
    let end = bytes.iter().rposition(u8::is_ascii_digit)? + 1;
    let head = bytes.get(..end)?;
    let start = head.iter().rposition(|b| !b.is_ascii_digit()).map_or(0, |i| i + 1);
    if start.checked_sub(1).and_then(|i| head.get(i)).is_some_and(|b| !b.is_ascii()) {
        return None;
    }
    let digits = head.get(start..)?;
    (digits.len() <= 18).then(|| digits.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0')))
}

/// A number to call: digits, a plus, what separates groups.
pub(super) fn is_phone(value: &str) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    digits >= 7 && value.bytes().all(|b| b.is_ascii_digit() || b"+-. ()/".contains(&b))
}

/// Parameters that say how to show, not what.
pub(super) fn is_presentation(name: &str) -> bool {
    static NAMES: NameSet = NameSet::new(&[
        b"sort",
        b"order",
        b"limit",
        b"per_page",
        b"pagesize",
        b"page_size",
        b"lang",
        b"locale",
        b"_",
        b"t",
        b"ts",
        b"v",
        b"ver",
        b"format",
        b"fields",
        b"view",
        b"utm_source",
        b"utm_medium",
        b"utm_campaign",
        b"dir",
        b"size",
    ]);
    NAMES.has(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_at_the_end_are_read() {
        assert_eq!(trailing_number("SKU-100546"), Some(100_546));
        assert_eq!(trailing_number("42"), Some(42));
        assert_eq!(trailing_number("abc"), None);
        assert_eq!(trailing_number("x007b"), Some(7));
        assert_eq!(trailing_number("ü7"), None);
        assert_eq!(trailing_number("12345678901234567890"), None);
    }
}
