//! Calls that name what they want in the body of a POST, or as JSON in a query: `POST /api/GetInvoice {"id": 17}`,
//! `GET /rpc?input={"id":17}`. Connect-RPC, Twirp, tRPC and many APIs of their own do so.

use smallvec::SmallVec;

use super::calls;
use super::names::Field;
use super::target::is_presentation;

/// Values that a look-up has at most: what has more saves something, or searches.
const FEW: u32 = 3;

/// The values of a body, as far as they tell what is looked up.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    count: u32,
    /// Values that name something, in their order.
    names: SmallVec<[String; 1]>,
    /// Free text: what is said to others, not what is looked up.
    text: bool,
    /// Fields of the answer beside the one that repeats the name, and whether one does.
    told: u32,
    echoed: bool,
}

impl Plain {
    /// Takes a value in; `field` is what its name says.
    #[inline]
    pub(crate) fn add(&mut self, key: &str, value: &str, field: Field) {
        if self.count > FEW || is_presentation(key) || calls::is_paging(key) {
            return;
        }
        self.count += 1;
        if value.len() > 64 || value.contains(char::is_whitespace) {
            self.text |= value.len() > 24;
        } else if is_name(value, field) {
            self.names.push(value.into());
        }
    }

    /// True where something is looked up: few values, one or two of which name it, none of which is text.
    pub(crate) fn look_up(&self) -> bool {
        self.count <= FEW && matches!(self.names.len(), 1 | 2) && !self.text
    }

    /// What is looked up: of an object within another both names.
    pub(crate) fn named(&self) -> Option<String> {
        self.look_up().then(|| self.names.join("/"))
    }

    /// Notes a value of the answer.
    #[inline]
    pub(crate) fn answered(&mut self, value: &str) {
        if let [name] = self.names.as_slice() {
            self.told += 1;
            self.echoed |= name == value;
        }
    }

    /// True where the answer tells much of the one thing that was named, and the path says of nothing that is done: it was read.
    pub(crate) fn was_told(&self, path: &str) -> bool {
        const MUCH: u32 = 5;
        self.count == 1 && self.echoed && self.told >= MUCH && !path.split('/').any(calls::acts)
    }
}

/// True of a value that names a thing: of an id, or with digits and no date, no measure.
fn is_name(value: &str, field: Field) -> bool {
    match field {
        Field::Id => true,
        Field::Secret | Field::Amount | Field::PageSize => false,
        _ => value.bytes().any(|b| b.is_ascii_digit()) && !is_date(value) && !value.contains('.'),
    }
}

/// `2026-11-22`, `2026-11-22T01:30:00Z`.
fn is_date(value: &str) -> bool {
    let head = value.as_bytes().get(..10).unwrap_or_default();
    head.len() == 10
        && head.iter().enumerate().all(|(at, b)| match at {
            4 | 7 => matches!(b, b'-' | b'/'),
            _ => b.is_ascii_digit(),
        })
}

/// True where the last segment of a path names a method that only reads: `GetInvoice`, `invoice.get`, `find-order`.
pub(crate) fn method_reads(path: &str) -> bool {
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let last = ["json", "php", "do", "action", "ashx", "aspx"]
        .iter()
        .find_map(|kind| last.strip_suffix(kind)?.strip_suffix('.'))
        .unwrap_or(last);
    last.len() <= 64 && (calls::reads(last, false) || is_run_together(last))
}

/// True where the last segment of a path asks whether something is so: `/cards/verification`.
pub(crate) fn method_checks(path: &str) -> bool {
    const WORDS: [&str; 12] = [
        "verification",
        "verify",
        "check",
        "validate",
        "validation",
        "verifier",
        "verificar",
        "verifica",
        "pruefen",
        "pruefung",
        "comprobar",
        "controle",
    ];
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    last.split(['-', '_', '.']).any(|part| WORDS.iter().any(|w| part.eq_ignore_ascii_case(w)))
}

/// True of a path that speaks of a link to sign in with: `/auth/link`, `/magic-link`.
pub(crate) fn sends_link(path: &str) -> bool {
    const WORDS: [&str; 4] = ["link", "magic", "passwordless", "magiclink"];
    path.split(['/', '-', '_', '.']).any(|part| WORDS.iter().any(|w| part.eq_ignore_ascii_case(w)))
}

/// `getinvoice`: the verb and what it reads in one word.
fn is_run_together(name: &str) -> bool {
    ["get", "fetch"].iter().any(|verb| {
        name.strip_prefix(verb)
            .is_some_and(|rest| rest.len() >= 4 && rest.bytes().all(|b| b.is_ascii_lowercase()))
    })
}

/// What the JSON in a query names: `input={"0":{"json":{"id":17}}}`, also with its signs encoded. Nothing of a query without any.
pub(crate) fn named_in_query(query: &str) -> SmallVec<[String; 1]> {
    let mut names = SmallVec::new();
    for value in query.split('&').take(8).filter_map(|pair| pair.split_once('=')).map(|(_, v)| v) {
        let starts = value.starts_with(['{', '['])
            || value.get(..3).is_some_and(|h| h.eq_ignore_ascii_case("%7B") || h.eq_ignore_ascii_case("%5B"));
        if starts && value.len() <= 4096 {
            // A plus is a space there, if it is not encoded.
            let value = value.replace('+', " ");
            let text = sidetap_wire::target::percent_decoded(value.as_bytes());
            collect(&text, &mut names);
        }
    }
    names
}

/// Values of ids in a piece of JSON, each with the name that stands before it.
fn collect(json: &str, names: &mut SmallVec<[String; 1]>) {
    const MOST: usize = 32;
    for at in memchr::memchr_iter(b':', json.as_bytes()).take(64) {
        let before = json.get(..at).unwrap_or_default().trim_end();
        let Some(key) = before.strip_suffix('"').and_then(|b| b.rsplit('"').next()) else { continue };
        let after = json.get(at + 1..).unwrap_or_default().trim_start();
        let value = match after.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next().unwrap_or_default(),
            None => after.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default(),
        };
        let sized = !value.is_empty() && value.len() <= 64 && !value.contains(char::is_whitespace);
        let paged = is_presentation(key) || calls::is_paging(key) || calls::is_of_stored(key);
        if sized && !paged && names.len() < MOST && is_name(value, super::names::field_of(key, value)) {
            names.push(value.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_that_read_are_known_by_their_verb() {
        for (path, is) in [
            ("/api/GetInvoice", true),
            ("/billing.v1.InvoiceService/GetOrder", true),
            ("/trpc/invoice.get", true),
            ("/api/order/get", true),
            ("/api/getbescheid", true),
            ("/api/fetch-report.php", true),
            ("/api/CreateInvoice", false),
            ("/api/OrderItems", false),
            ("/api/getAndDelete", false),
            ("/widget", false),
            ("/target", false),
        ] {
            assert_eq!(method_reads(path), is, "{path}");
        }
    }

    #[test]
    fn json_in_a_query_names_objects() {
        let of = |query: &str| named_in_query(query).into_vec();
        assert_eq!(of("batch=1&input=%7B%220%22%3A%7B%22json%22%3A%7B%22id%22%3A17%7D%7D%7D"), ["17"]);
        assert_eq!(of("input=%7B%220%22%3A+%7B%22json%22%3A+%7B%22nr%22%3A+5300%7D%7D%7D"), ["5300"]);
        assert_eq!(of("message={\"invoiceId\":\"inv_9\",\"limit\":20}"), ["inv_9"]);
        assert_eq!(of("input={\"0\":{\"id\":1},\"1\":{\"id\":2}}"), ["1", "2"]);
        assert!(of("q=17&x={\"from\":\"2026-11-01\"}").is_empty());
    }

    #[test]
    fn a_body_with_few_values_looks_something_up() {
        let plain = |pairs: &[(&str, &str)]| {
            let mut p = Plain::default();
            pairs.iter().for_each(|(k, v)| p.add(k, v, super::super::names::field_of(k, v)));
            p
        };
        assert_eq!(plain(&[("id", "17")]).named().as_deref(), Some("17"));
        assert_eq!(plain(&[("customer", "C9"), ("invoice", "I17")]).named().as_deref(), Some("C9/I17"));
        assert!(plain(&[("from", "2026-11-01"), ("to", "2026-11-30")]).named().is_none());
        assert!(plain(&[("id", "1"), ("a", "x"), ("b", "y"), ("c", "z")]).named().is_none());
        assert!(plain(&[("id", "1"), ("note", "what I wanted to say to you for long")]).named().is_none());
    }
}
