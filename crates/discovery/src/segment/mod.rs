//! Path segments: splitting, decoding, and how much one looks like a value.

mod forms;

use std::borrow::Cow;

use self::forms::{
    is_compact_date, is_date, is_domain, is_email, is_ip, is_issue_key, is_number, is_series, is_sid,
    is_ulid, is_uuid, pieces, randomness, tail_digits,
};

/// Longest segment that is kept as a literal, in bytes; a longer one is a value.
pub(crate) const MAX_SEGMENT: usize = 256;
/// Most segments of a path that are looked at; the rest counts as the last.
pub(crate) const MAX_DEPTH: usize = 32;
/// Bare numbers above are no versions.
const HIGHEST_VERSION: u8 = 20;
/// Score from which one sight of a segment is enough to call it a value.
pub(crate) const STRONG: u8 = 80;

/// What a value looks like.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Shape {
    /// Nothing in particular.
    Word = 0,
    /// Decimal digits.
    Int = 1,
    /// A UUID of any version (RFC 9562), braced or not.
    Uuid = 2,
    /// A ULID.
    Ulid = 3,
    /// Hexadecimal digits of a usual length.
    Hex = 4,
    /// A date or date-time (RFC 3339, or eight digits).
    Date = 5,
    /// An e-mail address.
    Email = 6,
    /// An IP address.
    Ip = 7,
    /// A host name.
    Domain = 8,
    /// A prefix of letters and a random tail, `cus_…`.
    Prefixed = 9,
    /// Random letters and digits: base62, base64url, KSUID.
    Token = 10,
    /// A JSON web token.
    Jwt = 11,
    /// A number with a fraction.
    Number = 12,
    /// A key such as `PROJ-123`.
    IssueKey = 13,
    /// Text that no path literal holds: spaces, `@`, `:`, not ASCII.
    Text = 14,
}

impl Shape {
    /// The OpenAPI `format` of values that all have this shape.
    pub const fn format(self) -> Option<&'static str> {
        match self {
            Shape::Uuid => Some("uuid"),
            Shape::Date => Some("date"),
            Shape::Email => Some("email"),
            Shape::Domain => Some("hostname"),
            Shape::Ulid => Some("ulid"),
            Shape::Jwt => Some("jwt"),
            _ => None,
        }
    }

    /// True of shapes that identifiers of machines have (`{order_id}` rather than `{order}`).
    pub const fn is_id(self) -> bool {
        !matches!(self, Shape::Word | Shape::Text | Shape::Domain | Shape::Email | Shape::Date)
    }

    /// Its bit in a mask of shapes.
    pub const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// How a segment reads: the literal before and after its variable part, what that part looks like, and how sure that is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reading {
    /// What the variable part looks like.
    pub(crate) shape: Shape,
    /// 0 (a word) to 100 (surely a value).
    pub(crate) score: u8,
    /// Bytes of literal before the variable part.
    pub(crate) prefix: usize,
    /// Bytes of literal after it.
    pub(crate) suffix: usize,
}

impl Reading {
    const WORD: Reading = Reading { shape: Shape::Word, score: 0, prefix: 0, suffix: 0 };

    fn of(shape: Shape, score: u8) -> Self {
        Reading { shape, score, ..Reading::WORD }
    }
}

/// The segments of a path, each decoded once, and whether it ended with a slash.
///
/// `%2F` stays inside its segment; matrix parameters (`;jsessionid=…`) are dropped; empty segments in the middle stay.
pub(crate) struct Segments<'a> {
    /// The segments, at most [`MAX_DEPTH`].
    pub(crate) parts: smallvec::SmallVec<[Cow<'a, str>; 8]>,
    /// The path ended with a slash (and was more than one).
    pub(crate) trailing_slash: bool,
    /// The path was deeper than [`MAX_DEPTH`].
    pub(crate) too_deep: bool,
}

/// Splits `path` (as sent, without query).
pub(crate) fn split(path: &[u8]) -> Segments<'_> {
    let mut out = Segments { parts: smallvec::SmallVec::new(), trailing_slash: false, too_deep: false };
    let inner = path.strip_prefix(b"/").unwrap_or(path);
    let inner = match inner.strip_suffix(b"/") {
        Some(cut) => {
            out.trailing_slash = true;
            cut
        }
        None => inner,
    };
    if inner.is_empty() {
        out.trailing_slash = false;
        return out;
    }
    if let (None, Ok(text)) = (memchr::memchr2(b'%', b';', inner), std::str::from_utf8(inner)) {
        let mut start = 0;
        for at in memchr::memchr_iter(b'/', inner).chain([inner.len()]) {
            if out.parts.len() == MAX_DEPTH {
                out.too_deep = true;
                break;
            }
            out.parts.push(Cow::Borrowed(text.get(start..at).unwrap_or_default()));
            start = at + 1;
        }
        return out;
    }
    for part in inner.split(|b| *b == b'/') {
        if out.parts.len() == MAX_DEPTH {
            out.too_deep = true;
            break;
        }
        out.parts.push(decode(part));
    }
    out
}

/// Percent-decodes one segment; bytes that are not UTF-8 become replacement characters.
pub(crate) fn decode(part: &[u8]) -> Cow<'_, str> {
    let part = match memchr_semicolon(part) {
        Some(at) if at > 0 => part.get(..at).unwrap_or(part),
        _ => part,
    };
    if !part.contains(&b'%') {
        return String::from_utf8_lossy(part);
    }
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let hex = (*first == b'%').then(|| tail.get(..2)).flatten().and_then(hex_pair);
        match hex {
            Some(b) => {
                bytes.push(b);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => bytes.push(*first),
        }
    }
    Cow::Owned(
        String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()),
    )
}

fn memchr_semicolon(part: &[u8]) -> Option<usize> {
    part.iter().position(|b| *b == b';')
}

fn hex_pair(pair: &[u8]) -> Option<u8> {
    let [a, b] = pair else { return None };
    let digit = |c: u8| char::from(c).to_digit(16);
    u8::try_from(digit(*a)? * 16 + digit(*b)?).ok()
}

/// Reads `segment`, which follows `previous` (none at the root) at `depth` (0 is the first).
pub(crate) fn read(segment: &str, previous: Option<&str>, depth: usize) -> Reading {
    let bytes = segment.as_bytes();
    if bytes.is_empty() {
        return Reading::WORD;
    }
    if bytes.len() > MAX_SEGMENT {
        return Reading::of(Shape::Token, 100);
    }
    if is_version(segment, previous, depth) || may_be_version(segment, previous, depth) {
        return Reading::WORD;
    }
    let look = Look::of(bytes);
    let whole = read_as(segment, look);
    if whole.score >= STRONG || look.seen & (DOT | COLON) == 0 && !segment.ends_with(')') {
        return whole;
    }
    read_affixed(segment).filter(|r| r.score > whole.score).unwrap_or(whole)
}

const DIGIT: u8 = 1;
const LOWER: u8 = 2;
const UPPER: u8 = 4;
/// What joins the pieces of an id.
const JOINT: u8 = 8;
const DOT: u8 = 16;
const COLON: u8 = 32;
/// What no token holds: white space, slashes, `@`, control characters, what is not ASCII.
const TEXT: u8 = 64;
const OTHER: u8 = 128;

const CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = match b as u8 {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'z' => LOWER,
            b'A'..=b'Z' => UPPER,
            b'-' | b'_' | b'=' | b'~' => JOINT,
            b'.' => DOT,
            b':' => COLON,
            b' ' | b'/' | b'@' | 0..=31 | 127.. => TEXT,
            _ => OTHER,
        };
        b += 1;
    }
    table
};

/// What bytes a value has.
#[derive(Clone, Copy)]
struct Look {
    digits: usize,
    seen: u8,
}

impl Look {
    fn of(bytes: &[u8]) -> Self {
        let mut look = Look { digits: 0, seen: 0 };
        for b in bytes {
            let class = CLASSES.get(usize::from(*b)).copied().unwrap_or(OTHER);
            look.seen |= class;
            look.digits += usize::from(class & DIGIT);
        }
        look
    }

    /// True where it has no bytes but of these classes.
    fn only(self, classes: u8) -> bool {
        self.seen & !classes == 0
    }
}

/// Whether a bare number may be a version, as in `/m/1/cart`: small, near the root, behind one name that is no plural. Only
/// its siblings can tell (see `learn`); until then it is a literal.
pub(crate) fn may_be_version(segment: &str, previous: Option<&str>, depth: usize) -> bool {
    let small = segment.len() <= 2
        && !segment.starts_with('0')
        && segment.bytes().all(|b| b.is_ascii_digit())
        && segment.parse::<u8>().is_ok_and(|n| n <= HIGHEST_VERSION);
    let named = |p: &str| !p.ends_with(['s', 'S']) && p.bytes().all(|b| b.is_ascii_alphabetic());
    small && (1..3).contains(&depth) && previous.is_some_and(|p| !p.is_empty() && named(p))
}

fn is_version(segment: &str, previous: Option<&str>, depth: usize) -> bool {
    let after_api = || previous.is_some_and(|p| API_ROOTS.iter().any(|r| p.eq_ignore_ascii_case(r)));
    let bare = segment.len() <= 2 && segment.bytes().all(|b| b.is_ascii_digit());
    if bare {
        return depth == 0 || (depth < 3 && after_api());
    }
    let b = segment.as_bytes();
    if let [b'v' | b'V', rest @ ..] = b {
        let digits = rest.iter().take_while(|c| c.is_ascii_digit()).count();
        let tail = rest.get(digits..).unwrap_or_default();
        if (1..=4).contains(&digits) && (tail.is_empty() || is_version_tail(tail)) {
            return true;
        }
    }
    let dotted = segment.len() <= 7
        && segment.contains('.')
        && segment.split('.').all(|p| (1..=2).contains(&p.len()) && p.bytes().all(|c| c.is_ascii_digit()));
    dotted && (depth <= 1 || after_api()) || is_date(b) && (depth == 0 || after_api())
}

fn is_version_tail(tail: &[u8]) -> bool {
    const WORDS: [&[u8]; 6] = [b"alpha", b"beta", b"rc", b"preview", b"p", b"b"];
    if let [b'.', rest @ ..] = tail {
        return rest.iter().all(|c| c.is_ascii_digit() || *c == b'.');
    }
    let word = WORDS.iter().find(|w| tail.starts_with(w));
    word.is_some_and(|w| tail.iter().skip(w.len()).all(|c| c.is_ascii_digit() || matches!(c, b'p' | b'.')))
}

pub(crate) fn read_whole(s: &str) -> Reading {
    read_as(s, Look::of(s.as_bytes()))
}

fn read_as(s: &str, look: Look) -> Reading {
    let b = s.as_bytes();
    let Look { digits, seen } = look;
    if digits == b.len() {
        return if b.len() == 8 && is_compact_date(b) {
            Reading::of(Shape::Date, 90)
        } else {
            Reading::of(Shape::Int, 100)
        };
    }
    if digits > 0 {
        if is_uuid(b) {
            return Reading::of(Shape::Uuid, 100);
        }
        if is_date(b) {
            return Reading::of(Shape::Date, 95);
        }
        if seen & (COLON | DOT) != 0 && is_ip(s) {
            return Reading::of(Shape::Ip, 95);
        }
        if look.only(DIGIT | DOT | JOINT) && is_number(b) {
            return Reading::of(Shape::Number, 85);
        }
        if look.only(DIGIT | LOWER | UPPER)
            && let Some(r) = read_hex(b, digits)
        {
            return r;
        }
    }
    if b.len() > 24 && seen & DOT != 0 && s.starts_with("eyJ") {
        return Reading::of(Shape::Jwt, 100);
    }
    if seen & TEXT != 0 {
        return if is_email(s) { Reading::of(Shape::Email, 95) } else { Reading::of(Shape::Text, 60) };
    }
    read_token(s, look)
}

fn read_hex(b: &[u8], digits: usize) -> Option<Reading> {
    let body = b.strip_prefix(b"0x").unwrap_or(b);
    let lower = body.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    let upper = body.iter().all(|c| matches!(c, b'0'..=b'9' | b'A'..=b'F'));
    if !(lower || upper) {
        return None;
    }
    let score = match body.len() {
        24 | 32 | 40 | 48 | 56 | 64 | 96 | 128 => 100,
        16.. => 95,
        8..=15 if digits >= 2 => 85,
        7 if digits >= 1 => 60,
        _ => return None,
    };
    Some(Reading::of(Shape::Hex, score))
}

/// Reads what is left: prefixed ids, random tokens, slugs that carry a random piece, host names, keys.
fn read_token(s: &str, look: Look) -> Reading {
    let b = s.as_bytes();
    let Look { digits, seen } = look;
    if seen & JOINT != 0
        && let Some((head, tail)) = s.split_once('_')
        && (1..=8).contains(&head.len())
        && head.bytes().all(|c| c.is_ascii_lowercase())
    {
        let tail = tail.strip_prefix("live_").or(tail.strip_prefix("test_")).unwrap_or(tail);
        if tail.len() >= 8 && randomness(tail) >= 55 {
            return Reading::of(Shape::Prefixed, 95);
        }
    }
    if is_sid(b) {
        return Reading::of(Shape::Prefixed, 100);
    }
    if is_ulid(b) {
        return Reading::of(Shape::Ulid, 95);
    }
    if look.only(DIGIT | UPPER | JOINT) && is_issue_key(b) {
        return Reading::of(Shape::IssueKey, 75);
    }
    if look.only(DIGIT | LOWER | UPPER | JOINT) {
        let joined = digits > 0 && seen & JOINT != 0 && (b.contains(&b'-') || b.contains(&b'_'));
        let r = if joined { pieces(s) } else { 0 };
        let mixed = (seen & (DIGIT | LOWER | UPPER)).count_ones() > 1;
        let whole = if b.len() >= 10 && mixed { randomness(s) } else { 0 };
        let best = r.max(whole).max(tail_digits(b, digits));
        return Reading::of(if best >= 50 { Shape::Token } else { Shape::Word }, best);
    }
    if seen & DOT != 0 && is_series(b) {
        return Reading::of(Shape::Token, 85);
    }
    if seen & DOT != 0 && is_domain(s) {
        return Reading::of(Shape::Domain, 20);
    }
    if b.contains(&b':') || b.contains(&b',') {
        return Reading::of(Shape::Text, 30);
    }
    Reading::WORD
}

/// `sha256:…`, `{id}.json`, `@name`, `report-….pdf`, `Orders(17)`: a variable part between literals.
fn read_affixed(s: &str) -> Option<Reading> {
    if let Some(keyed) = read_key(s) {
        return Some(keyed);
    }
    if let Some((head, tail)) = s.rsplit_once(':')
        && (2..=12).contains(&head.len())
        && head.bytes().all(|c| c.is_ascii_alphanumeric())
    {
        let inner = read_whole(tail);
        return (inner.score >= STRONG).then_some(Reading { prefix: head.len() + 1, ..inner });
    }
    if let Some((stem, ext)) = s.rsplit_once('.')
        && (1..=5).contains(&ext.len())
        && ext.bytes().all(|c| c.is_ascii_alphanumeric())
        && ext.bytes().any(|c| c.is_ascii_alphabetic())
        && !stem.is_empty()
    {
        let inner = read_whole(stem);
        return (inner.score >= 30 && inner.shape != Shape::Domain)
            .then_some(Reading { suffix: ext.len() + 1, ..inner });
    }
    None
}

/// The key of an entity behind the name of its set, as OData writes it (OData 4.01 URL Conventions §4.3.1): `Orders(17)`,
/// `Parts('A-9')`, `Lines(Order=17,No=2)`.
fn read_key(s: &str) -> Option<Reading> {
    let (head, key) = s.strip_suffix(')')?.split_once('(')?;
    let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.');
    let named = head.len() >= 2
        && head.bytes().all(name)
        && head.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    let open = key.contains(['(', ')', '$', '@']);
    if !named || key.is_empty() || open {
        return None;
    }
    let quoted = key.len() > 2 && key.starts_with('\'') && key.ends_with('\'');
    let shape = match read_whole(key) {
        inner if inner.score >= STRONG => inner.shape,
        _ if quoted || key.contains('=') => Shape::Text,
        _ => return None,
    };
    Some(Reading { shape, score: 95, prefix: head.len() + 1, suffix: 1 })
}

/// Extension of a file name with its dot, `.json`.
pub(crate) fn extension(s: &str) -> Option<&str> {
    let (stem, ext) = s.rsplit_once('.')?;
    let fits = !stem.is_empty()
        && (1..=5).contains(&ext.len())
        && ext.bytes().all(|c| c.is_ascii_alphanumeric())
        && ext.bytes().any(|c| c.is_ascii_alphabetic());
    fits.then(|| s.get(stem.len()..)).flatten()
}

const API_ROOTS: [&str; 8] = ["api", "apis", "rest", "v", "version", "services", "ws", "svc"];

#[cfg(test)]
mod tests {
    use super::*;

    fn score(s: &str) -> u8 {
        read(s, Some("things"), 3).score
    }

    #[test]
    fn machine_ids_are_values_at_first_sight() {
        for s in [
            "42",
            "6f1c2d3e-0a1b-4c2d-8e3f-112233445566",
            "543f48cb071ea74d84c317a655a6a6a5",
            "4c0bcf0b3da3a52269f93c5f",
            "cus_S4D8k4Kj4BKAx1",
            "ACde958467ee1883fe3b3b64c8d4cb64fd",
            "UsOCPYIfCvksBGdtod8b7t",
            "2026-01-05",
            "ada@example.org",
            "10.0.0.1",
            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "pi_45J04yIA2dZYmD",
            "PW123456789",
            "ord100045",
            "m1795267541303.1",
        ] {
            assert!(score(s) >= STRONG, "{s} {}", score(s));
        }
    }

    #[test]
    fn words_are_not() {
        for s in [
            "users",
            "AvailablePhoneNumbers",
            "outside_collaborators",
            "validate-name",
            "chat.postMessage",
            "oauth2",
            "load_15",
            "organizationsInvited",
            "markAssociatedNotificationsRead",
            "shield_information_barrier_segment_restrictions",
            "admissionregistration.k8s.io",
            "1-clicks",
            "CredentialListMappings",
            "repositoriesV2",
            "s3",
            "deadbeef",
            "facade",
            "iso8859",
            "summer2024",
            "version20240101",
            "v10.15.1",
            "release2024.1",
        ] {
            assert!(score(s) < 50, "{s} {}", score(s));
        }
    }

    #[test]
    fn versions_are_literals_where_versions_stand() {
        for (s, prev, depth) in [
            ("1", None, 0),
            ("2.0", None, 0),
            ("v1", Some("api"), 1),
            ("v1beta1", Some("apps"), 2),
            ("2010-04-01", None, 0),
            ("3", Some("api"), 2),
            ("v1.33", None, 0),
        ] {
            assert_eq!(read(s, prev, depth).score, 0, "{s}");
        }
        assert_eq!(read("7", Some("users"), 1).shape, Shape::Int);
        for (s, prev, depth) in [("7", "m", 1), ("2", "m", 2)] {
            assert_eq!(read(s, Some(prev), depth).score, 0, "{s}");
        }
        for (s, prev, depth) in
            [("21", "m", 1), ("07", "m", 1), ("7", "m", 3), ("7", "v1", 1), ("70", "7", 1)]
        {
            assert_eq!(read(s, Some(prev), depth).shape, Shape::Int, "{s}");
        }
    }

    #[test]
    fn affixes_stay_literal() {
        let r = read("SMf36d23a5c8095b51e9462c5b001ae6f3.json", Some("Messages"), 3);
        assert_eq!((r.suffix, r.shape), (5, Shape::Prefixed));
        let r =
            read("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", Some("blobs"), 3);
        assert_eq!((r.prefix, r.shape), (7, Shape::Hex));
        assert_eq!(extension("thumbnail.jpg"), Some(".jpg"));
        for (key, shape) in [
            ("Orders(17)", Shape::Int),
            ("Parts('A-9')", Shape::Text),
            ("Lines(Order=17,No=2)", Shape::Text),
            ("Orders(6f1c2d3e-0a1b-4c2d-8e3f-112233445566)", Shape::Uuid),
        ] {
            let r = read(key, Some("v4"), 2);
            assert_eq!((r.suffix, r.shape, r.score), (1, shape, 95), "{key}");
            assert!(key.get(..r.prefix).is_some_and(|p| p.ends_with('(')), "{key}");
        }
        for word in ["Today()", "f(x)", "(17)", "Lines(Order=@o)", "Orders(new)"] {
            assert!(score(word) < STRONG, "{word}");
        }
    }

    #[test]
    fn paths_are_split_and_decoded_once() {
        let s = split(b"/a%2Fb/c%20d;jsessionid=1/");
        assert_eq!(s.parts.as_slice(), ["a/b", "c d"]);
        assert!(s.trailing_slash);
        assert!(split(b"/").parts.is_empty());
        assert_eq!(split(b"/%zz/%").parts.as_slice(), ["%zz", "%"]);
    }
}
