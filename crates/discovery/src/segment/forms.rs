//! What values are made of: random text, series, dates, addresses, keys.

/// From so many digits on, letters before them are the mark of a series.
const LONG_NUMBER: usize = 6;
/// Most letters of such a mark.
const SHORT_MARK: usize = 4;
const TLDS: [&str; 11] = ["com", "org", "net", "io", "dev", "co", "edu", "gov", "de", "uk", "fr"];

/// 0 to 95: how much letters and digits look like drawn at random rather than written.
///
/// Counts changes between lower case, upper case and digits; camelCase changes once a word, random text at every second character.
pub(super) fn randomness(s: &str) -> u8 {
    let b = s.as_bytes();
    let mut counts = [0_usize; 4];
    let mut changes = 0;
    let mut before = b.first().map_or(OTHER, |c| class(*c));
    for c in b {
        let class = class(*c);
        changes += usize::from(class != before && !(before == UPPER && class == LOWER));
        if let Some(count) = counts.get_mut(usize::from(class)) {
            *count += 1;
        }
        before = class;
    }
    let [_, digits, lower, upper] = counts;
    let ratio = changes * 100 / b.len().max(1);
    let mixed = usize::from(digits > 0) + usize::from(upper > 0) + usize::from(lower > 0);
    let score = match mixed {
        3 if ratio >= 22 => 95,
        3 if ratio >= 14 && changes >= 3 => 60,
        2 if digits >= 2 && ratio >= 25 => 85,
        2 if digits >= 2 && ratio >= 15 && b.len() >= 12 => 70,
        2 if digits == 0 && ratio >= 22 && b.len() >= 14 => 85,
        2 if digits == 0 && ratio >= 18 && b.len() >= 12 => 50,
        _ => 0,
    };
    score.min(95)
}

const OTHER: u8 = 0;
const DIGIT: u8 = 1;
const LOWER: u8 = 2;
const UPPER: u8 = 3;

const fn class(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => DIGIT,
        b'a'..=b'z' => LOWER,
        b'A'..=b'Z' => UPPER,
        _ => OTHER,
    }
}

/// A slug's best piece, `red-canyon-eb821a275-vaqyl`; 0 where there are no digits.
pub(super) fn pieces(s: &str) -> u8 {
    let mut best = 0;
    for p in s.split(['-', '_']) {
        let digits = p.bytes().filter(u8::is_ascii_digit).count();
        let letters = p.len() - digits;
        let score = match (digits, letters) {
            (2.., 3..) if p.len() >= 8 && randomness(p) > 0 => 75,
            (2.., 1..) if p.len() >= 8 => 60,
            (1.., 1..) if p.len() >= 6 && randomness(p) > 0 => 55,
            (4.., 0) => 55,
            (3, 0) => 40,
            _ => 0,
        };
        best = best.max(score);
    }
    best
}

/// `irene14`, `web-01`: a name that was numbered; `PW123456789`: a number with a mark before it.
pub(super) fn tail_digits(b: &[u8], digits: usize) -> u8 {
    let tail = b.iter().rev().take_while(|c| c.is_ascii_digit()).count();
    let joined = b.iter().rev().nth(tail).is_some_and(u8::is_ascii_alphabetic);
    match (tail, joined) {
        (0, _) => 0,
        (t, _) if t != digits => 15,
        (1, true) => 5,
        (1, false) => 20,
        (2, true) => 35,
        (2, false) => 25,
        (LONG_NUMBER.., true) if is_mark(b, tail) => 85,
        _ => 45,
    }
}

/// A long number with a mark before and a counter behind, `m1795267541303.1`.
pub(super) fn is_series(b: &[u8]) -> bool {
    let Some(dot) = b.iter().rposition(|c| *c == b'.') else { return false };
    let (head, counter) = (b.get(..dot).unwrap_or_default(), b.get(dot + 1..).unwrap_or_default());
    let digits = head.iter().rev().take_while(|c| c.is_ascii_digit()).count();
    let counts = (1..=4).contains(&counter.len()) && counter.iter().all(u8::is_ascii_digit);
    digits >= LONG_NUMBER + 2 && is_mark(head, digits) && counts
}

/// At most a few letters stand before `tail` digits.
pub(super) fn is_mark(b: &[u8], tail: usize) -> bool {
    let mark = b.get(..b.len() - tail).unwrap_or_default();
    mark.len() <= SHORT_MARK && mark.iter().all(u8::is_ascii_alphabetic)
}

pub(super) fn is_uuid(b: &[u8]) -> bool {
    let b = b.strip_prefix(b"{").and_then(|b| b.strip_suffix(b"}")).unwrap_or(b);
    b.len() == 36
        && b.iter().enumerate().all(|(i, c)| match i {
            8 | 13 | 18 | 23 => *c == b'-',
            _ => c.is_ascii_hexdigit(),
        })
}

pub(super) fn is_date(b: &[u8]) -> bool {
    let Some((date, rest)) = b.split_at_checked(10) else { return false };
    let shape = date.iter().enumerate().all(|(i, c)| match i {
        4 | 7 => *c == b'-',
        _ => c.is_ascii_digit(),
    });
    shape
        && two(date, 5) <= 12
        && two(date, 8) <= 31
        && (rest.is_empty() || matches!(rest.first(), Some(b'T' | b't' | b' ')))
}

pub(super) fn is_compact_date(b: &[u8]) -> bool {
    (b.starts_with(b"19") || b.starts_with(b"20"))
        && (1..=12).contains(&two(b, 4))
        && (1..=31).contains(&two(b, 6))
}

pub(super) fn two(b: &[u8], at: usize) -> u32 {
    let d = |i: usize| b.get(i).map_or(9, |c| u32::from(c.wrapping_sub(b'0')));
    d(at) * 10 + d(at + 1)
}

pub(super) fn is_number(b: &[u8]) -> bool {
    let b = b.strip_prefix(b"-").unwrap_or(b);
    let dots = b.iter().filter(|c| **c == b'.').count();
    dots <= 1
        && b.first().is_some_and(u8::is_ascii_digit)
        && b.iter().all(|c| c.is_ascii_digit() || *c == b'.')
}

pub(super) fn is_ip(s: &str) -> bool {
    (s.contains(':') || s.bytes().filter(|c| *c == b'.').count() == 3)
        && s.parse::<std::net::IpAddr>().is_ok()
}

pub(super) fn is_email(s: &str) -> bool {
    let Some((local, domain)) = s.split_once('@') else { return false };
    !local.is_empty() && domain.contains('.') && !domain.starts_with('.') && !domain.contains('@')
}

/// Two capital letters and 32 hexadecimal digits.
pub(super) fn is_sid(b: &[u8]) -> bool {
    b.len() == 34
        && b.iter().take(2).all(u8::is_ascii_alphabetic)
        && b.iter().skip(2).all(u8::is_ascii_hexdigit)
}

pub(super) fn is_ulid(b: &[u8]) -> bool {
    b.len() == 26
        && b.first().is_some_and(|c| (b'0'..=b'7').contains(c))
        && b.iter().all(|c| {
            c.is_ascii_digit() || (c.is_ascii_uppercase() && !matches!(c, b'I' | b'L' | b'O' | b'U'))
        })
}

pub(super) fn is_issue_key(b: &[u8]) -> bool {
    let letters = b.iter().take_while(|c| c.is_ascii_uppercase()).count();
    let rest = b.get(letters..).unwrap_or_default();
    (2..=10).contains(&letters)
        && rest.len() >= 2
        && rest.first() == Some(&b'-')
        && rest.iter().skip(1).all(u8::is_ascii_digit)
}

pub(super) fn is_domain(s: &str) -> bool {
    let Some((_, tld)) = s.rsplit_once('.') else { return false };
    TLDS.contains(&tld) && s.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'.' || c == b'-')
}
