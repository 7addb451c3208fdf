use std::borrow::Cow;
use std::ops::Range;

use sidetap_sensitive::{Hits, Scanner};
use sidetap_wire::auth::is_credential_parameter;
use sidetap_wire::cookies::is_session;
use sidetap_wire::target::{self, Target};

use crate::persons::{self, Sign};

/// Names of parameters whose value names an account or is a secret, besides those that `wire::auth` knows.
const PRIVATE: [&str; 38] = [
    "user",
    "username",
    "user_name",
    "userid",
    "user_id",
    "login",
    "email",
    "e-mail",
    "mail",
    "account",
    "phone",
    "msisdn",
    "pw",
    "pass",
    "passphrase",
    "passcode",
    "tok",
    "pin",
    "otp",
    "code",
    "auth",
    "authorization",
    "bearer",
    "ticket",
    "phpsessid",
    "jsessionid",
    "sessid",
    "sess",
    "awss",
    "ssn",
    "card",
    "pan",
    "cvv",
    "iban",
    "dob",
    "secretkey",
    "private_key",
    "credential",
];
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
/// A part longer than this is masked whole: nobody looked through it.
const LONGEST: usize = 4096;
/// Parts of a target that are looked at; what follows is masked whole.
const PARTS: usize = 256;

/// Gives a request-target as outputs may show it: user information, sessions, credentials and account names struck out,
/// sensitive values in path, query and fragment masked.
///
/// `None` where nothing had to be hidden.
pub(crate) fn target(scanner: &mut Scanner, method: &[u8], raw: &[u8]) -> Option<Vec<u8>> {
    let split = target::split(method, raw);
    let mut cuts = Vec::new();
    if let Some(authority) = split.authority
        && let Some(at) = authority.iter().rposition(|b| *b == b'@')
    {
        let start = offset(raw, authority);
        cuts.push(Cut { range: start..start + at, with: "***".into() });
    }
    let mut eye = Eye { scanner, hits: Hits::new(), cuts: &mut cuts };
    let mut end = offset(raw, split.authority.unwrap_or(raw)) + split.authority.map_or(0, <[u8]>::len);
    if let Some(path) = split.path {
        let at = offset(raw, path);
        eye.path(path, at);
        end = at + path.len();
    }
    if let Some(query) = split.query {
        let at = offset(raw, query);
        eye.items(query, at);
        end = at + query.len();
    }
    if let Some(rest) = raw.get(end..)
        && let Some(fragment) = rest.strip_prefix(b"#")
    {
        eye.items(fragment, end + 1);
    }
    (!cuts.is_empty()).then(|| apply(raw, cuts))
}

/// An agent string as outputs may show it.
pub(crate) fn agent<'a>(scanner: &mut Scanner, raw: &'a [u8]) -> Cow<'a, [u8]> {
    let mut cuts = Vec::new();
    Eye { scanner, hits: Hits::new(), cuts: &mut cuts }.part("", raw, 0..raw.len(), Names::Fields);
    if cuts.is_empty() { Cow::Borrowed(raw) } else { Cow::Owned(apply(raw, cuts)) }
}

/// A value under a name as outputs may show it, where something in it had to be hidden.
pub(crate) fn text(scanner: &mut Scanner, name: &str, text: &str) -> Option<String> {
    if text.len() > LONGEST || text.contains(['=', ':']) && names_a_secret(text) {
        return Some("***".to_owned());
    }
    let mut cuts = Vec::new();
    let mut eye = Eye { scanner, hits: Hits::new(), cuts: &mut cuts };
    eye.scanner.value(name, text, &mut eye.hits);
    eye.masked(text, Names::Fields)
}

/// True of types that outputs may show.
pub(crate) fn is_shown(kind: &str) -> bool {
    SHOWN.contains(&kind)
}

/// True where a parameter's name alone says that its value is an account or a secret.
pub(crate) fn is_private_name(name: &str) -> bool {
    PRIVATE.iter().any(|a| name.eq_ignore_ascii_case(a))
}

/// True where a target has no part that could hold something sensitive: the common case, for little.
pub(crate) fn is_plain(split: &Target<'_>, raw: &[u8]) -> bool {
    let short = |path: &[u8]| !path.contains(&b';') && !path.split(|b| *b == b'/').any(|s| s.len() > 8);
    split.query.is_none() && split.authority.is_none() && !raw.contains(&b'#') && split.path.is_none_or(short)
}

/// Where `part` begins in `whole`, of which it is a slice.
fn offset(whole: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize)
}

struct Cut {
    range: Range<usize>,
    with: String,
}

/// What a name says of the value behind it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    /// It is the name of a field.
    Fields,
    /// It is what stands before, as in a path.
    Neighbours,
}

struct Eye<'a> {
    scanner: &'a mut Scanner,
    hits: Hits,
    cuts: &'a mut Vec<Cut>,
}

impl Eye<'_> {
    fn path(&mut self, path: &[u8], at: usize) {
        let mut start = at;
        let mut before: &[u8] = b"";
        for (n, segment) in path.split(|b| *b == b'/').enumerate() {
            if n == PARTS {
                self.cuts.push(Cut { range: start..at + path.len(), with: "***".into() });
                return;
            }
            let (own, parameters) = match segment.iter().position(|b| *b == b';') {
                Some(end) => segment.split_at(end),
                None => (segment, &segment[..0]),
            };
            if own.len() > 4 {
                let name = String::from_utf8_lossy(before).into_owned();
                self.part(&name, own, start..start + own.len(), Names::Neighbours);
            }
            if let Some(parameters) = parameters.strip_prefix(b";") {
                self.items(parameters, start + own.len() + 1);
            }
            before = own;
            start += segment.len() + 1;
        }
    }

    /// The `name=value` items of a query, of path parameters or of a fragment; one without a name is a value.
    fn items(&mut self, items: &[u8], at: usize) {
        let mut start = at;
        let mut about = None;
        for (n, item) in items.split(|b| matches!(b, b'&' | b';')).enumerate() {
            if n == PARTS {
                self.cuts.push(Cut { range: start..at + items.len(), with: "***".into() });
                return;
            }
            match item.iter().position(|b| *b == b'=') {
                Some(eq) => {
                    let (name, value) = item.split_at(eq);
                    let name_text = target::percent_decoded(name).into_owned();
                    self.part("", name, start..start + eq, Names::Neighbours);
                    let value = value.get(1..).unwrap_or_default();
                    let from = start + eq + 1;
                    let range = from..from + value.len();
                    let text = target::percent_decoded(value).replace('+', " ");
                    let about = *about.get_or_insert_with(|| self.sign_in(items));
                    if !text.is_empty() && persons::names(self.scanner.pack(), about, &name_text, &text) {
                        self.cuts.push(Cut { range, with: "***".into() });
                    } else {
                        self.part(&name_text, value, range, Names::Fields);
                    }
                }
                None => self.part("", item, start..start + item.len(), Names::Neighbours),
            }
            start += item.len() + 1;
        }
    }

    /// How surely one of the items says that they are about a person.
    fn sign_in(&self, items: &[u8]) -> Option<Sign> {
        let all = items.split(|b| matches!(b, b'&' | b';')).take(PARTS);
        let names = all.filter_map(|item| item.split(|b| *b == b'=').next());
        let pack = self.scanner.pack();
        names.filter_map(|name| persons::sign_of(pack, &target::percent_decoded(name))).max()
    }

    fn part(&mut self, name: &str, raw: &[u8], range: Range<usize>, names: Names) {
        if raw.is_empty() {
            return;
        }
        if let Some(with) = self.hidden(name, raw, names) {
            self.cuts.push(Cut { range, with });
        }
    }

    fn hidden(&mut self, name: &str, raw: &[u8], names: Names) -> Option<String> {
        let once = target::percent_decoded(raw);
        let text = target::percent_decoded(once.as_bytes());
        let struck = || Some("***".to_owned());
        if names == Names::Fields && is_private(name, &text) || raw.len() > LONGEST {
            return struck();
        }
        if text.contains(['=', ':']) && names_a_secret(&text) {
            return struck();
        }
        self.hits.clear();
        let text = text.replace('+', " ");
        self.scanner.value(name, &text, &mut self.hits);
        self.masked(&text, names)
    }

    /// The text with what was found in it masked; nothing where all of it may be shown.
    fn masked(&self, text: &str, names: Names) -> Option<String> {
        let mut out = String::new();
        let mut from = 0;
        for hit in &self.hits {
            let kind = self.scanner.pack().get(hit.kind)?;
            if SHOWN.contains(&&*kind.id) || names == Names::Neighbours && BY_NAME.contains(&&*kind.id) {
                continue;
            }
            let (Some(before), Some(hidden)) = (text.get(from..hit.span.start), text.get(hit.span.clone()))
            else {
                return Some("***".to_owned());
            };
            out.push_str(before);
            out.push_str(&kind.masked(hidden));
            from = hit.span.end;
        }
        if from == 0 {
            return None;
        }
        out.push_str(text.get(from..)?);
        Some(out)
    }
}

/// True where a parameter's name says that its value is an account, a credential or a session.
fn is_private(name: &str, value: &str) -> bool {
    is_private_name(name)
        || is_credential_parameter(name.as_bytes())
        || is_session(name.as_bytes(), value.as_bytes())
}

/// True where a text holds a field of its own (`{"password":"…"}`, a nested address) whose name is that of a secret.
fn names_a_secret(text: &str) -> bool {
    let words =
        text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '=' | ':' | '"' | '\'')));
    words.filter_map(|w| w.split_once(['=', ':'])).any(|(name, value)| {
        let name = name.trim_matches(['"', '\'']);
        let value = value.trim_matches(['"', '\'']);
        !name.is_empty() && !value.is_empty() && is_private(name, value)
    })
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
                b' ' | b'&' | b'#' | b'%' | b'?' | b'/' | b';' => {
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
    use sidetap_sensitive::Pack;

    use super::*;

    fn scanner() -> Scanner {
        Scanner::new(&Arc::new(Pack::builtin().unwrap()), HashKey::from_bytes([1; 16]))
    }

    fn shown(raw: &str) -> Option<String> {
        target(&mut scanner(), b"GET", raw.as_bytes()).map(|v| String::from_utf8(v).unwrap())
    }

    #[test]
    fn ordinary_targets_stay_as_they_are() {
        for raw in [
            "/v1/items/17?page=2&sort=name",
            "/password/forgotten",
            "/repos/octo/spoon-knife/commits/9fceb02d0ae598e95dc970b74767f19372d61af8",
            "/find?q=red+shoes&from=2026-01-01",
            "/x?ip=10.1.2.3",
        ] {
            assert_eq!(shown(raw), None, "{raw}");
        }
    }

    #[test]
    fn secrets_do_not_get_through_wherever_they_stand() {
        let deep = "/a".repeat(300);
        let long = "z-".repeat(3000);
        for (raw, secret) in [
            ("/pay?card_number=4111111111111111&x=1", "411111111111"),
            ("/q?4111111111111111", "411111111111"),
            ("/users/ada.lovelace@example.org/orders", "lovelace"),
            ("/login?user=ada77&ok=1", "ada77"),
            ("/login?password=hunter2hunter", "hunter2"),
            ("/me?token=k3y-0f-the-partner-9Q", "k3y"),
            ("/me?sid=abc12", "abc12"),
            ("/cart;jsessionid=0123456789ABCDEF0123/items", "0123456789AB"),
            ("http://bob:Hunter2@shop.example/abs", "Hunter2"),
            ("/s?filter={\"password\":\"Hunter2x\"}", "Hunter2x"),
            ("/s?next=http%3A%2F%2Fh%2F%3Fpassword%3DHunter2x", "Hunter2x"),
            ("/s?u=http%253A%252F%252Fh%252F%253Fpwd%253DHunter2x", "Hunter2x"),
            ("/a#access_token=abcdef", "abcdef"),
            (&format!("{deep}/4111111111111111"), "411111111111"),
            (&format!("/{long}4111111111111111"), "411111111111"),
        ] {
            let shown = shown(raw).unwrap_or_else(|| raw.to_owned());
            assert!(!shown.contains(secret), "{raw} is shown as {shown}");
        }
        assert!(shown("/pay?card_number=4111111111111111&x=1").unwrap().ends_with("&x=1"));
    }

    #[test]
    fn agents_are_shown_without_what_they_give_away() {
        let mut scanner = scanner();
        assert_eq!(
            &*agent(&mut scanner, b"Mozilla/5.0 (X11; Linux x86_64) Chrome/130.0.0.0"),
            b"Mozilla/5.0 (X11; Linux x86_64) Chrome/130.0.0.0"
        );
        let odd = agent(&mut scanner, b"App/1.0 (ada@example.org)").into_owned();
        assert!(!String::from_utf8(odd).unwrap().contains("ada@"));
    }
}
