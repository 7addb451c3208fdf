use super::{luhn, number, same_digit};

/// Vehicle identification number (ISO 3779): 17 characters without I, O, Q; a check digit where it fits, letters and digits both.
pub(super) fn vin(text: &str) -> bool {
    let bytes = text.as_bytes();
    let letters = bytes.iter().filter(|b| b.is_ascii_uppercase()).count();
    bytes.len() == 17
        && bytes
            .iter()
            .all(|b| (b.is_ascii_uppercase() && !matches!(b, b'I' | b'O' | b'Q')) || b.is_ascii_digit())
        && letters > 0
        && vin_check(bytes)
}

/// The check digit of 49 CFR 565.15: mandatory in North America, used by most others.
fn vin_check(bytes: &[u8]) -> bool {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let sum: u32 = bytes.iter().zip(WEIGHTS).map(|(b, w)| vin_value(*b) * w).sum();
    let expected = match sum % 11 {
        10 => b'X',
        n => b'0' + n as u8,
    };
    bytes.get(8) == Some(&expected)
}

fn vin_value(b: u8) -> u32 {
    match b {
        b'0'..=b'9' => u32::from(b - b'0'),
        b'A'..=b'H' => u32::from(b - b'A') + 1,
        b'J'..=b'N' => u32::from(b - b'J') + 1,
        b'P' => 7,
        b'R' => 9,
        b'S'..=b'Z' => u32::from(b - b'S') + 2,
        _ => 0,
    }
}

/// IMEI (3GPP TS 23.003 §6.2): a reporting body that exists, Luhn.
pub(super) fn imei(text: &str) -> bool {
    text.len() == 15
        && matches!(number(text, 0, 2), 1 | 10 | 30 | 33 | 35 | 44 | 45 | 49..=54 | 86 | 91 | 97..=99)
        && luhn(text)
        && !same_digit(text)
}

/// ICCID (ITU-T E.118): begins with 89, Luhn.
pub(super) fn iccid(text: &str) -> bool {
    matches!(text.len(), 19 | 20) && text.starts_with("89") && luhn(text)
}

/// Length of the country calling code (ITU-T E.164) that digits begin with.
pub(crate) fn country_code_len(digits: &str) -> Option<usize> {
    let (one, two) = (digits.as_bytes().first()?, number(digits, 0, 2));
    match (one, two) {
        (b'1' | b'7', _) => Some(1),
        (
            _,
            20 | 27 | 30..=34 | 36 | 39..=41 | 43..=49 | 51..=58 | 60..=66 | 81 | 82 | 84 | 86 | 90..=95 | 98,
        ) => Some(2),
        (
            _,
            21 | 22 | 23 | 24 | 25 | 26 | 29 | 35 | 37 | 38 | 42 | 50 | 59 | 67 | 68 | 69 | 80 | 85 | 87 | 88
            | 96 | 97 | 99,
        ) => Some(3),
        _ => None,
    }
}

/// True where a text reads as the domain of an e-mail address: labels, and a last one that is no file's extension.
pub(crate) fn is_domain(text: &str) -> bool {
    let of_label = |c: char| c.is_alphanumeric() || c == '-';
    let label = |l: &str| {
        !l.is_empty()
            && l.len() < 64
            && !l.starts_with('-')
            && !l.ends_with('-')
            && (l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') || l.chars().all(of_label))
    };
    let Some((rest, last)) = text.rsplit_once('.') else { return false };
    let coded = || last.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("xn--"));
    rest.split('.').all(label)
        && (last.len() >= 2 && last.len() <= 24)
        && (last.bytes().all(|b| b.is_ascii_alphabetic()) || last.chars().all(char::is_alphabetic) || coded())
        && !EXTENSIONS.iter().any(|e| e.eq_ignore_ascii_case(last))
}

const EXTENSIONS: &[&str] = &[
    "png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "js", "mjs", "json", "xml", "html", "htm",
    "php", "asp", "aspx", "jsp", "woff", "ttf", "mp4", "mp3", "pdf", "zip", "gz", "txt", "csv", "map",
    "wasm", "local", "invalid",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_identifiers_check() {
        assert!(vin("1M8GDM9AXKP042788") && !vin("1M8GDM9A1KP042788") && !vin("1M8GDM9AXKPO42788"));
        assert!(imei("490154203237518") && !imei("490154203237519") && !imei("000000000000000"));
        assert!(
            is_domain("example.co.uk")
                && !is_domain("2x.png")
                && !is_domain("localhost")
                && !is_domain("a..com")
        );
        assert_eq!(
            (country_code_len("4420"), country_code_len("1212"), country_code_len("3531")),
            (Some(2), Some(1), Some(3))
        );
    }
}
