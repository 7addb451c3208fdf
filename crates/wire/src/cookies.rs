//! Cookies of requests and responses (RFC 6265), and which of them carry a session.

use sidetap_model::Headers;

/// Name and value of each cookie that a request sends. Quotes around a value are taken off; a pair without name is left out.
pub fn of(headers: &Headers) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.all("cookie").flat_map(in_field)
}

/// Name and value of each cookie in the value of a `Cookie` field, as [`of`] gives them.
pub fn in_field(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    value.split(|b| *b == b';').filter_map(pair)
}

/// A cookie that a response sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SetCookie<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// `Secure` stands on it.
    pub secure: bool,
    /// `HttpOnly` stands on it.
    pub http_only: bool,
    /// The value of `SameSite`.
    pub same_site: Option<&'a [u8]>,
    /// `Max-Age` is zero or negative: it is taken away.
    pub removed: bool,
}

/// Each cookie that a response sets.
pub fn set(headers: &Headers) -> impl Iterator<Item = SetCookie<'_>> {
    headers.all("set-cookie").filter_map(set_in)
}

/// The cookie that the value of a `Set-Cookie` field sets.
pub fn set_in(value: &[u8]) -> Option<SetCookie<'_>> {
    let mut parts = value.split(|b| *b == b';');
    let (name, value) = pair(parts.next()?)?;
    let mut cookie = SetCookie {
        name,
        value,
        secure: false,
        http_only: false,
        same_site: None,
        removed: value.is_empty(),
    };
    for part in parts {
        let part = part.trim_ascii();
        let (attribute, value) = pair(part).unwrap_or((part, &[]));
        if attribute.eq_ignore_ascii_case(b"secure") {
            cookie.secure = true;
        } else if attribute.eq_ignore_ascii_case(b"httponly") {
            cookie.http_only = true;
        } else if attribute.eq_ignore_ascii_case(b"samesite") {
            cookie.same_site = Some(value);
        } else if attribute.eq_ignore_ascii_case(b"max-age") {
            cookie.removed |= value == b"0" || value.starts_with(b"-");
        }
    }
    Some(cookie)
}

/// True where a cookie looks like one that carries a session: its name says so, and its value cannot be guessed.
///
/// Cookies of analytics, consent, language and cross-site-request protection are not sessions.
pub fn is_session(name: &[u8], value: &[u8]) -> bool {
    is_unguessable(value) && (is_session_name(name) || is_signed(value) && !is_known_otherwise(name))
}

/// A value with its signature, as frameworks and JWTs write what they remember of a visitor (`eyJ….….…`, `.eJ….….…`, `s:….…`): who sends it
/// has been here, whatever the cookie is called.
fn is_signed(value: &[u8]) -> bool {
    let parts = value.strip_prefix(b".").unwrap_or(value).split(|b| *b == b'.');
    let json = value.starts_with(b"eyJ") || value.starts_with(b".eJ");
    let signature = value.rsplit(|b| *b == b'.').next().map_or(0, <[u8]>::len);
    let opaque = value.starts_with(b"s%3A") || value.starts_with(b"s:");
    json && parts.count() == 3 && signature >= 20 || opaque && value.len() >= 32 && signature >= 20
}

fn is_known_otherwise(name: &[u8]) -> bool {
    let mut lower = [0; 64];
    let Some((from, to)) = name.get(..name.len().min(64)).and_then(|n| Some((n, lower.get_mut(..n.len())?)))
    else {
        return true;
    };
    to.copy_from_slice(from);
    to.make_ascii_lowercase();
    NOT_SESSIONS.stand_in(to)
}

fn is_session_name(name: &[u8]) -> bool {
    let mut buffer = [0; 64];
    let Some(lower) = name.get(..name.len().min(64)).and_then(|n| Some((n, buffer.get_mut(..n.len())?)))
    else {
        return false;
    };
    lower.1.copy_from_slice(lower.0);
    lower.1.make_ascii_lowercase();
    let name: &[u8] = lower.1;
    let sessions = || SESSIONS.stand_in(name) || name.ends_with(b"sid") || name.starts_with(b"sid");
    sessions() && !NOT_SESSIONS.stand_in(name)
}

/// 12 characters or more, with letters and digits or long: what a counter or a flag is not.
fn is_unguessable(value: &[u8]) -> bool {
    if value.len() < 12 {
        return false;
    }
    let digits = value.iter().any(u8::is_ascii_digit);
    let letters = value.iter().any(u8::is_ascii_alphabetic);
    let mut seen = [0_u64; 4];
    for b in value {
        if let Some(word) = seen.get_mut(usize::from(*b >> 6)) {
            *word |= 1 << (b & 63);
        }
    }
    let distinct: u32 = seen.iter().map(|word| word.count_ones()).sum();
    distinct >= 6 && (letters && digits || value.len() >= 20)
}

fn pair(part: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b'=', part)?;
    let name = part.get(..at)?.trim_ascii();
    let value = part.get(at + 1..)?.trim_ascii();
    let value = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
    (!name.is_empty()).then_some((name, value))
}

/// Parts of names, at most 32, with a bit for each at the byte that it begins with.
struct Parts {
    parts: &'static [&'static [u8]],
    starts: [u32; 256],
}

impl Parts {
    const fn new(parts: &'static [&'static [u8]]) -> Self {
        let mut starts = [0; 256];
        let mut at = 0;
        while at < parts.len() {
            starts[parts[at][0] as usize] |= 1 << at;
            at += 1;
        }
        Parts { parts, starts }
    }

    /// True where one of them stands in `name`.
    fn stand_in(&self, name: &[u8]) -> bool {
        let begins = |rest: &[u8], first: u8| {
            let mut left = self.starts.get(usize::from(first)).copied().unwrap_or(0);
            while left != 0 {
                let part = self.parts.get(left.trailing_zeros() as usize);
                if part.is_some_and(|p| rest.starts_with(p)) {
                    return true;
                }
                left &= left - 1;
            }
            false
        };
        name.iter().enumerate().any(|(at, b)| begins(name.get(at..).unwrap_or_default(), *b))
    }
}

static SESSIONS: Parts = Parts::new(&[
    b"sess",
    b"token",
    b"auth",
    b"jwt",
    b"login",
    b"remember",
    b"connect.sid",
    b"_identity",
    b".aspnet",
    b"laravel",
    b"ticket",
    b"bearer",
    b"sso",
    b"wordpress_logged_in",
    b"grafana",
    b"rack.",
    b"ci_s",
    b"user_id",
    b"account_id",
    b"oturum",
    b"sitzung",
    b"sesi",
    b"sesj",
    b"anmeld",
]);

static NOT_SESSIONS: Parts = Parts::new(&[
    b"csrf",
    b"xsrf",
    b"_ga",
    b"_gid",
    b"_fbp",
    b"consent",
    b"lang",
    b"locale",
    b"theme",
    b"optimizely",
    b"amplitude",
    b"mixpanel",
    b"hubspot",
    b"_utm",
    b"antiforgery",
    b"requestverification",
    b"assets",
    b"author",
]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_read_as_pairs() {
        let mut headers = Headers::default();
        headers.push(b"Cookie", b"a=1; b=\"x=y\";; =z ;c");
        headers.push(b"cookie", b"d=");
        let got: Vec<_> = of(&headers).collect();
        assert_eq!(got, [(&b"a"[..], &b"1"[..]), (b"b", b"x=y"), (b"d", b"")]);
        headers.push(b"Set-Cookie", b"sid=abc; Path=/; Secure; HttpOnly; SameSite=Lax");
        headers.push(b"set-cookie", b"old=; Max-Age=0");
        let got: Vec<_> = set(&headers).collect();
        assert_eq!(got[0].same_site, Some(&b"Lax"[..]));
        assert!(got[0].secure && got[0].http_only && !got[0].removed && got[1].removed);
    }

    #[test]
    fn sessions_are_told_from_other_cookies() {
        let is = |n: &str, v: &str| is_session(n.as_bytes(), v.as_bytes());
        assert!(is("JSESSIONID", "0F2AC31B9E1D4C1AA1"));
        assert!(is("PHPSESSID", "q3bd8h2ns0o1k2n3h4"));
        assert!(is("connect.sid", "s%3Aj9f8a7sd98f7as9d8f7.asd"));
        assert!(is("access_token", "eyJhbGciOiJIUzI1NiJ9.e30.abc"));
        let signed = "eyJ1aWQiOjExMDd9.aSMbpQ.q3Bd8h2ns0o1k2n3h4K9qL2mZ1o";
        assert!(is("orrery", signed) && is("hut", "s%3Aj9f8a7sd98f7as9d8f7.asdKJhd98asdkjh3lkjasd98as"));
        assert!(is("who", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.K3JhbGciOiJIUzI1NiJ9abcdefgh"));
        assert!(!is("csrftoken", signed) && !is("prefs", "eyJ0aGVtZSI6ImRhcmsifQ"));
        assert!(!is("session", "true"));
        assert!(!is("csrf_token", "q3bd8h2ns0o1k2n3h4"));
        assert!(!is("_ga", "GA1.2.1234567890.1700000000"));
        assert!(!is("lang", "q3bd8h2ns0o1k2n3h4"));
    }
}
