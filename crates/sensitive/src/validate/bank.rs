use super::{luhn, mod97, number, weighted};

/// IBAN (ISO 13616): the country's length, then ISO 7064 mod 97-10.
pub(super) fn iban(text: &str) -> bool {
    let bytes = text.as_bytes();
    iban_len(text) == Some(text.len())
        && bytes.iter().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
        && bytes.get(2..4).is_some_and(|c| c.iter().all(u8::is_ascii_digit))
        && bytes
            .split_at_checked(4)
            .is_some_and(|(head, bban)| mod97(bban.iter().chain(head).copied()) == Some(1))
}

/// The length of the IBANs of the country that a text begins with.
pub(crate) fn iban_len(text: &str) -> Option<usize> {
    let country = text.get(..2)?;
    IBAN_LENGTHS.iter().find(|(c, _)| *c == country).map(|(_, n)| usize::from(*n))
}

/// ABA routing number: the Federal Reserve's ranges, weights 3-7-1.
pub(super) fn aba(text: &str) -> bool {
    let range = number(text, 0, 2);
    text.len() == 9
        && matches!(range, 0..=12 | 21..=32 | 61..=72 | 80)
        && weighted(text, &[3, 7, 1, 3, 7, 1, 3, 7, 1]).is_multiple_of(10)
        && text.bytes().any(|b| b != b'0')
}

/// BIC (ISO 9362): four letters, a country, two and perhaps three more.
pub(super) fn bic(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes.len(), 8 | 11)
        && bytes.get(..6).is_some_and(|b| b.iter().all(u8::is_ascii_uppercase))
        && bytes.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        && text
            .get(4..6)
            .is_some_and(|c| IBAN_LENGTHS.iter().any(|(k, _)| *k == c) || OTHER_COUNTRIES.contains(&c))
}

/// CLABE of Mexico: weights 3-7-1 over 17 digits.
pub(super) fn clabe(text: &str) -> bool {
    let weights: [u32; 17] = std::array::from_fn(|i| [3, 7, 1].get(i % 3).copied().unwrap_or(1));
    let sum: u32 = super::digits(text).zip(weights).map(|(d, w)| d * w % 10).sum();
    text.len() == 18 && super::last_digit(text) == Some((10 - sum % 10) % 10) && !super::same_digit(text)
}

/// IFSC of India: four letters, zero, six characters.
pub(super) fn ifsc(text: &str) -> bool {
    text.len() == 11 && text.as_bytes().get(4) == Some(&b'0')
}

/// Legal entity identifier (ISO 17442): ISO 7064 mod 97-10.
pub(super) fn lei(text: &str) -> bool {
    text.len() == 20 && mod97(text.bytes()) == Some(1) && !luhn_only_digits(text)
}

fn luhn_only_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && luhn(text)
}

const OTHER_COUNTRIES: &[&str] = &[
    "US", "CA", "AU", "NZ", "JP", "CN", "HK", "SG", "IN", "KR", "ZA", "MX", "AR", "CL", "CO", "PE", "TH",
    "MY", "ID", "PH", "VN", "TW", "NG", "KE", "MA", "RU",
];

const IBAN_LENGTHS: &[(&str, u8)] = &[
    ("AD", 24),
    ("AE", 23),
    ("AL", 28),
    ("AT", 20),
    ("AZ", 28),
    ("BA", 20),
    ("BE", 16),
    ("BG", 22),
    ("BH", 22),
    ("BI", 27),
    ("BR", 29),
    ("BY", 28),
    ("CH", 21),
    ("CR", 22),
    ("CY", 28),
    ("CZ", 24),
    ("DE", 22),
    ("DJ", 27),
    ("DK", 18),
    ("DO", 28),
    ("EE", 20),
    ("EG", 29),
    ("ES", 24),
    ("FI", 18),
    ("FK", 18),
    ("FO", 18),
    ("FR", 27),
    ("GB", 22),
    ("GE", 22),
    ("GI", 23),
    ("GL", 18),
    ("GR", 27),
    ("GT", 28),
    ("HR", 21),
    ("HU", 28),
    ("IE", 22),
    ("IL", 23),
    ("IQ", 23),
    ("IS", 26),
    ("IT", 27),
    ("JO", 30),
    ("KW", 30),
    ("KZ", 20),
    ("LB", 28),
    ("LC", 32),
    ("LI", 21),
    ("LT", 20),
    ("LU", 20),
    ("LV", 21),
    ("LY", 25),
    ("MC", 27),
    ("MD", 24),
    ("ME", 22),
    ("MK", 19),
    ("MN", 20),
    ("MR", 27),
    ("MT", 31),
    ("MU", 30),
    ("NI", 28),
    ("NL", 18),
    ("NO", 15),
    ("OM", 23),
    ("PK", 24),
    ("PL", 28),
    ("PS", 29),
    ("PT", 25),
    ("QA", 29),
    ("RO", 24),
    ("RS", 22),
    ("RU", 33),
    ("SA", 24),
    ("SC", 31),
    ("SD", 18),
    ("SE", 24),
    ("SI", 19),
    ("SK", 24),
    ("SM", 27),
    ("SO", 23),
    ("ST", 25),
    ("SV", 28),
    ("TL", 23),
    ("TN", 24),
    ("TR", 26),
    ("UA", 29),
    ("VA", 22),
    ("VG", 24),
    ("XK", 20),
    ("YE", 30),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bank_numbers_check() {
        assert!(iban("GB82WEST12345698765432") && iban("DE89370400440532013000") && iban("NO9386011117947"));
        assert!(
            !iban("GB82WEST12345698765431")
                && !iban("DE8937040044053201300")
                && !iban("XX82WEST12345698765432")
        );
        assert!(aba("021000021") && !aba("021000022") && !aba("990000021"));
        assert!(bic("DEUTDEFF") && bic("DEUTDEFF500") && !bic("ABCDZZFF") && !bic("DEUTDEF"));
        assert!(clabe("032180000118359719") && !clabe("032180000118359718"));
        assert!(lei("5493001KJTIIGC8Y1R12") && !lei("5493001KJTIIGC8Y1R13"));
    }
}
