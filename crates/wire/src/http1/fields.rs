//! Field values that say something odd beyond framing.

use memchr::memrchr;
use sidetap_model::{Anomaly, AnomalySet, Headers};

use super::framing::Hints;

/// The longest field that most servers take.
pub(super) const LONGEST_FIELD: usize = 8 << 10;
/// The longest Content-Disposition that names a file as people do.
const LONGEST_DISPOSITION: usize = 1 << 10;
/// So often one field name may stand in a head.
const MOST_REPEATED: usize = 64;
/// Registered authentication schemes (RFC 9110 §16.4.1) and those in wide use.
const SCHEMES: [&[u8]; 24] = [
    b"basic",
    b"bearer",
    b"digest",
    b"negotiate",
    b"ntlm",
    b"dpop",
    b"gnap",
    b"hoba",
    b"mutual",
    b"oauth",
    b"privatetoken",
    b"scram-sha-1",
    b"scram-sha-256",
    b"vapid",
    b"concealed",
    b"aws4-hmac-sha256",
    b"aws4-ecdsa-p256-sha256",
    b"aws",
    b"apikey",
    b"token",
    b"hawk",
    b"signature",
    b"key",
    b"jwt",
];

/// Notes fields that are longer than most servers take.
pub(super) fn note_lengths(headers: &Headers, anomalies: &mut AnomalySet) {
    if headers.iter().any(|(name, value)| name.len() + value.len() > LONGEST_FIELD) {
        anomalies.insert(Anomaly::HeaderTooLong);
    }
}

/// Notes field names that are repeated beyond reason.
pub(super) fn note_repetition(headers: &Headers, anomalies: &mut AnomalySet) {
    if headers.len() <= MOST_REPEATED {
        return;
    }
    let mut names: Vec<Vec<u8>> = headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    if names.chunk_by(|a, b| a == b).any(|same| same.len() > MOST_REPEATED) {
        anomalies.insert(Anomaly::HeaderRepeated);
    }
}

/// Notes tabs before the values of fields that frame: some servers take them for white space and some do not.
pub(super) fn note_framing_tabs(hints: &Hints, head: &[u8], anomalies: &mut AnomalySet) {
    if !hints.transfer_encoding && hints.content_length.is_none() {
        return;
    }
    // White space is gone over once, however much of it there is: tabs of one run say the same.
    let mut seen = 0;
    for at in memchr::memchr_iter(b'\t', head) {
        let run = head.get(seen..at).unwrap_or_default();
        let fresh = run.trim_ascii_end().len();
        if fresh == 0 && seen > 0 {
            seen = at + 1;
            continue;
        }
        let before = head.get(..seen + fresh).unwrap_or_default();
        seen = at + 1;
        let name = |name: &[u8]| {
            before
                .len()
                .checked_sub(name.len())
                .and_then(|n| before.get(n..))
                .is_some_and(|end| end.eq_ignore_ascii_case(name))
        };
        if name(b"transfer-encoding:") {
            anomalies.insert(Anomaly::TransferEncodingOdd);
        } else if name(b"content-length:") {
            anomalies.insert(Anomaly::ContentLengthOdd);
        }
    }
}

/// Notes credentials of no known scheme, and Basic ones that are no base64 (RFC 7617 §2).
pub(super) fn note_authorization(value: &[u8], anomalies: &mut AnomalySet) {
    let end = value.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(value.len());
    let (scheme, rest) = value.split_at(end);
    let known = SCHEMES.iter().any(|s| scheme.eq_ignore_ascii_case(s));
    let base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_');
    let rest = rest.trim_ascii();
    let unreadable = scheme.eq_ignore_ascii_case(b"basic") && (rest.is_empty() || !rest.iter().all(base64));
    if !known || unreadable {
        anomalies.insert(Anomaly::AuthorizationOdd);
    }
}

/// The length of the part that a Content-Range describes (RFC 9110 §14.4); notes one that does not read.
pub(super) fn content_range(value: &[u8], anomalies: &mut AnomalySet) -> Option<u64> {
    match read_range(value) {
        Some(length) => length,
        None => {
            anomalies.insert(Anomaly::RangeInvalid);
            None
        }
    }
}

fn read_range(value: &[u8]) -> Option<Option<u64>> {
    let (unit, rest) = value.split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes ") {
        return None;
    }
    let slash = rest.iter().position(|b| *b == b'/')?;
    let (range, total) = (rest.get(..slash)?, rest.get(slash + 1..)?);
    let total = if total == b"*" { None } else { Some(number(total)?) };
    if range == b"*" {
        return total.is_some().then_some(None);
    }
    let dash = range.iter().position(|b| *b == b'-')?;
    let (first, last) = (number(range.get(..dash)?)?, number(range.get(dash + 1..)?)?);
    let fits = first <= last && total.is_none_or(|total| last < total);
    fits.then(|| Some((last - first).saturating_add(1)))
}

fn number(digits: &[u8]) -> Option<u64> {
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| all)?.parse().ok()
}

/// Notes a file name that is none.
pub(super) fn note_disposition(value: &[u8], anomalies: &mut AnomalySet) {
    if value.len() > LONGEST_DISPOSITION {
        anomalies.insert(Anomaly::FilenameTooLong);
    }
}

const FORBIDDEN: u8 = 1;
const COLON: u8 = 2;

/// What each byte means in an authority.
const HOST_BYTES: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = match i as u8 {
            0..=0x20 | 0x7f.. | b'/' | b'@' | b'?' | b'#' | b'\\' | b',' => FORBIDDEN,
            b':' => COLON,
            _ => 0,
        };
        i += 1;
    }
    table
};

/// Notes what is wrong with an authority (RFC 3986 §3.2), and gives its port where it names one.
pub fn note_authority(value: &[u8], anomalies: &mut AnomalySet) -> Option<u16> {
    let odd = value.iter().fold(0, |odd, b| odd | HOST_BYTES[usize::from(*b)]);
    if odd & FORBIDDEN != 0 {
        anomalies.insert(Anomaly::HostInvalid);
    }
    if odd & COLON == 0 {
        return None;
    }
    let colon = memrchr(b':', value)?;
    let port = value.get(colon + 1..).unwrap_or_default();
    if port.contains(&b']') || port.is_empty() {
        return None;
    }
    let port = number(port).and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0);
    if port.is_none() {
        anomalies.insert(Anomaly::PortInvalid);
    }
    port
}

/// Notes percent signs in a target that encode nothing, or one that encodes another (RFC 3986 §2.1, §2.4).
pub(super) fn note_percent(target: &[u8], anomalies: &mut AnomalySet) {
    let hex = |at: usize| target.get(at).is_some_and(u8::is_ascii_hexdigit);
    for at in memchr::memchr_iter(b'%', target) {
        if !hex(at + 1) || !hex(at + 2) {
            anomalies.insert(Anomaly::TargetPercentInvalid);
        } else if target.get(at + 1..at + 3) == Some(b"25") && hex(at + 3) && hex(at + 4) {
            anomalies.insert(Anomaly::TargetDoubleEncoded);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(note: impl FnOnce(&mut AnomalySet)) -> Vec<&'static str> {
        let mut anomalies = AnomalySet::default();
        note(&mut anomalies);
        anomalies.iter().map(Anomaly::code).collect()
    }

    #[test]
    fn ranges_are_read_and_odd_ones_told() {
        let good: [(&[u8], Option<u64>); 4] = [
            (b"bytes 0-9/100", Some(10)),
            (b"Bytes 5-5/*", Some(1)),
            (b"bytes */100", None),
            (b"bytes 0-18446744073709551615/*", Some(u64::MAX)),
        ];
        for (value, length) in good {
            let mut anomalies = AnomalySet::default();
            assert_eq!(content_range(value, &mut anomalies), length);
            assert!(anomalies.is_empty(), "{value:?}");
        }
        let bad: [&[u8]; 9] = [
            b"",
            b"bytes",
            b"bytes 9-0/100",
            b"bytes 0-100/100",
            b"bytes */*",
            b"lines 0-9/100",
            b"bytes -9/100",
            b"bytes 0-9",
            b"bytes 0-99999999999999999999/*",
        ];
        for value in bad {
            assert_eq!(
                codes(|a| assert_eq!(content_range(value, a), None)),
                ["http-range-invalid"],
                "{value:?}"
            );
        }
    }

    #[test]
    fn authorities_name_a_host_and_perhaps_a_port() {
        let cases: [(&[u8], Option<u16>, &[&str]); 9] = [
            (b"h", None, &[]),
            (b"h:8080", Some(8080), &[]),
            (b"h:", None, &[]),
            (b"[::1]", None, &[]),
            (b"[::1]:443", Some(443), &[]),
            (b"h:0", None, &["http-port-invalid"]),
            (b"h:70000", None, &["http-port-invalid"]),
            (b"h:8o", None, &["http-port-invalid"]),
            (b"u@h:1", Some(1), &["http-host-invalid"]),
        ];
        for (value, port, expected) in cases {
            assert_eq!(codes(|a| assert_eq!(note_authority(value, a), port)), expected, "{value:?}");
        }
    }

    #[test]
    fn percent_signs_and_credentials_are_judged() {
        assert!(codes(|a| note_percent(b"/a%20b?c=%2F", a)).is_empty());
        assert_eq!(codes(|a| note_percent(b"/a%2", a)), ["http-target-percent-invalid"]);
        assert_eq!(codes(|a| note_percent(b"/%%41", a)), ["http-target-percent-invalid"]);
        assert_eq!(codes(|a| note_percent(b"/%252e%25", a)), ["http-target-double-encoded"]);
        assert!(codes(|a| note_authorization(b"Basic dXNlcjpwYXNz", a)).is_empty());
        assert!(codes(|a| note_authorization(b"bearer x.y.z", a)).is_empty());
        assert_eq!(codes(|a| note_authorization(b"Basic us\"r", a)), ["http-authorization-odd"]);
        assert_eq!(codes(|a| note_authorization(b"letmein", a)), ["http-authorization-odd"]);
    }
    #[test]
    fn tabs_before_framing_fields_are_told_and_any_number_of_others_costs_little() {
        let mut hints = Hints::default();
        hints.content_length = Some(2);
        let odd = |head: &[u8]| codes(|a| note_framing_tabs(&hints, head, a));
        assert_eq!(odd(b"\r\nContent-Length:\t2\r\n"), ["http-cl-odd"]);
        assert_eq!(odd(b"X: a\tb\r\nContent-Length: \t \t2\r\n"), ["http-cl-odd"]);
        assert_eq!(odd(b"\t\tTransfer-Encoding:\tchunked\r\n"), ["http-te-odd"]);
        assert!(odd(b"Content-Length: 2\t\r\nX:\t\t \ty\r\n").is_empty());
        // A pass over the white space for each tab of it would take hours.
        let many = [b"X:".as_slice(), &b"\t ".repeat(4 << 20), b"y\r\nContent-Length:\t2"].concat();
        assert_eq!(odd(&many), ["http-cl-odd"]);
    }
}
