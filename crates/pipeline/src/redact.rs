use std::ops::Range;

use sidetap_sensitive::{Hits, Pack, Scanner, TypeId};
use sidetap_wire::auth::is_credential_parameter;
use sidetap_wire::body::{Location, Scalar, Visitor, WalkScratch, walk_query};
use sidetap_wire::cookies::is_session;
use sidetap_wire::target::{self, Target};

/// Names of parameters whose value names an account.
const ACCOUNTS: [&str; 10] =
    ["user", "username", "user_name", "login", "email", "e-mail", "mail", "account", "phone", "msisdn"];
/// Types that rest on a name alone: the segment before a path segment is no name of a field.
const BY_NAME: [&str; 10] = [
    "password",
    "card-verification",
    "card-expiry",
    "person-name",
    "postal-address",
    "postal-code",
    "gender",
    "health-data",
    "special-category",
    "one-time-code",
];
/// Types that outputs may show: they name machines, not people or secrets.
const SHOWN: [&str; 3] = ["ip-v4", "ip-v6", "mac"];

/// Gives a request-target as outputs may show it: sensitive values in path and query are masked, account names struck out.
///
/// `None` where nothing had to be hidden.
pub(crate) fn target(
    scanner: &mut Scanner,
    method: &[u8],
    raw: &[u8],
    scratch: &mut WalkScratch,
) -> Option<Vec<u8>> {
    let split = target::split(method, raw);
    let mut cuts = Vec::new();
    if let Some(path) = split.path {
        path_cuts(scanner, path, offset(raw, path), &mut cuts);
    }
    if let Some(query) = split.query {
        let mut finder = QueryCuts { scanner, at: offset(raw, query), hits: Hits::new(), cuts: &mut cuts };
        walk_query(query, scratch, &mut finder);
    }
    (!cuts.is_empty()).then(|| apply(raw, cuts))
}

/// True where a target has no byte sequence that could hold something sensitive: the common case, for little.
pub(crate) fn is_plain(split: &Target<'_>) -> bool {
    split.query.is_none() && split.path.is_none_or(|p| !p.split(|b| *b == b'/').any(|s| s.len() > 8))
}

/// Where `part` begins in `whole`, of which it is a slice.
fn offset(whole: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize)
}

struct Cut {
    range: Range<usize>,
    with: String,
}

fn path_cuts(scanner: &mut Scanner, path: &[u8], at: usize, cuts: &mut Vec<Cut>) {
    let mut start = at;
    let mut before = String::new();
    let mut hits = Hits::new();
    for segment in path.split(|b| *b == b'/').take(64) {
        let range = start..start + segment.len();
        start = range.end + 1;
        if let Some(cut) = matrix_cut(segment, range.start) {
            cuts.push(cut);
            continue;
        }
        if segment.len() > 4 {
            let text = target::percent_decoded(segment);
            hits.clear();
            scanner.value(&before, &text, &mut hits);
            hits.retain(|h| scanner.pack().get(h.kind).is_some_and(|t| !BY_NAME.contains(&&*t.id)));
            if let Some(with) = masked(scanner.pack(), &text, &hits) {
                cuts.push(Cut { range, with });
            }
        }
        before = String::from_utf8_lossy(segment).into_owned();
    }
}

/// The session that a path parameter (`;jsessionid=…`) carries.
fn matrix_cut(segment: &[u8], at: usize) -> Option<Cut> {
    let parameter = segment.iter().position(|b| *b == b';')? + 1;
    let name_end = parameter + segment.get(parameter..)?.iter().position(|b| *b == b'=')?;
    let (name, value) = (segment.get(parameter..name_end)?, segment.get(name_end + 1..)?);
    is_session(name, value).then(|| Cut { range: at + name_end + 1..at + segment.len(), with: "***".into() })
}

struct QueryCuts<'a> {
    scanner: &'a mut Scanner,
    at: usize,
    hits: Hits,
    cuts: &'a mut Vec<Cut>,
}

impl Visitor for QueryCuts<'_> {
    fn scalar(&mut self, at: &Location<'_>, value: Scalar<'_>, span: Range<usize>) {
        let (Scalar::Str(text) | Scalar::Num(text)) = value else { return };
        let range = self.at + span.start..self.at + span.end;
        self.hits.clear();
        self.scanner.value_at(at, text, &mut self.hits);
        if let Some(with) = masked(self.scanner.pack(), text, &self.hits) {
            self.cuts.push(Cut { range, with });
        } else if !text.is_empty() && is_private(at.key, text) {
            self.cuts.push(Cut { range, with: "***".into() });
        }
    }
}

/// True where a parameter's name says that its value is an account, a credential or a session.
fn is_private(name: &str, value: &str) -> bool {
    ACCOUNTS.iter().any(|a| name.eq_ignore_ascii_case(a))
        || is_credential_parameter(name.as_bytes())
        || is_session(name.as_bytes(), value.as_bytes())
}

/// The text with what was found in it masked; nothing where all of it may be shown.
fn masked(pack: &Pack, text: &str, hits: &Hits) -> Option<String> {
    let hidden = |kind: TypeId| pack.get(kind).filter(|t| !SHOWN.contains(&&*t.id));
    let mut out = String::new();
    let mut from = 0;
    for hit in hits {
        let Some(kind) = hidden(hit.kind) else { continue };
        out.push_str(text.get(from..hit.span.start)?);
        out.push_str(&kind.masked(text.get(hit.span.clone())?));
        from = hit.span.end;
    }
    if from == 0 {
        return None;
    }
    out.push_str(text.get(from..)?);
    Some(out)
}

fn apply(raw: &[u8], mut cuts: Vec<Cut>) -> Vec<u8> {
    cuts.sort_by_key(|c| c.range.start);
    let mut out = Vec::with_capacity(raw.len());
    let mut from = 0;
    for cut in cuts {
        let (Some(kept), true) = (raw.get(from..cut.range.start), cut.range.end <= raw.len()) else {
            continue;
        };
        out.extend_from_slice(kept);
        for b in cut.with.bytes() {
            match b {
                b' ' | b'&' | b'#' | b'%' | b'?' | b'/' => {
                    out.extend_from_slice(format!("%{b:02X}").as_bytes());
                }
                _ => out.push(b),
            }
        }
        from = cut.range.end;
    }
    out.extend_from_slice(raw.get(from..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sidetap_model::HashKey;

    use super::*;

    #[test]
    fn secrets_go_and_the_rest_stays() {
        let pack = Arc::new(Pack::builtin().unwrap());
        let mut scanner = Scanner::new(&pack, HashKey::from_bytes([1; 16]));
        let mut scratch = WalkScratch::default();
        let mut shown = |raw: &str| {
            target(&mut scanner, b"GET", raw.as_bytes(), &mut scratch).map(|v| String::from_utf8(v).unwrap())
        };
        assert_eq!(shown("/v1/items/17?page=2&sort=name"), None);
        let card = shown("/pay?card_number=4111111111111111&x=1").unwrap();
        assert!(!card.contains("411111111111") && card.ends_with("&x=1"), "{card}");
        let mail = shown("/users/ada.lovelace@example.org/orders").unwrap();
        assert!(!mail.contains("lovelace") && mail.ends_with("/orders"), "{mail}");
        assert_eq!(shown("/login?user=ada&ok=1").unwrap(), "/login?user=***&ok=1");
        assert_eq!(shown("/password/forgotten"), None);
        let session = shown("/cart;jsessionid=0123456789ABCDEF0123/items").unwrap();
        assert_eq!(session, "/cart;jsessionid=***/items");
        assert_eq!(shown("/me?token=k3y-0f-the-partner-9Q").unwrap(), "/me?token=***");
        assert!(!shown("/login?password=hunter2hunter").unwrap().contains("hunter2"));
    }
}
