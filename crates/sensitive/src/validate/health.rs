use super::{digit_at, last_digit, luhn, weighted};

/// National provider identifier of the US: Luhn over `80840` and ten digits that begin with 1 or 2.
pub(super) fn us_npi(text: &str) -> bool {
    text.len() == 10 && text.starts_with(['1', '2']) && luhn(&format!("80840{text}"))
}

/// DEA number: two letters (the first a registrant's type) and seven digits, (1+3+5) + 2(2+4+6) mod 10.
pub(super) fn us_dea(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some([kind, name]), Some(number)) = (bytes.get(..2), text.get(2..)) else { return false };
    text.len() == 9
        && b"ABCDEFGHJKLMPRSTUX".contains(kind)
        && (name.is_ascii_uppercase() || *name == b'9')
        && number.bytes().all(|b| b.is_ascii_digit())
        && last_digit(number) == Some(weighted(number, &[1, 2, 1, 2, 1, 2]) % 10)
        && number.bytes().any(|b| b != b'0')
}

/// Medicare beneficiary identifier of the US: eleven characters with a class each, without S L O I B Z.
pub(super) fn us_mbi(text: &str) -> bool {
    let classes = *b"1AN9AN9AA99";
    text.len() == 11
        && text.bytes().zip(classes).all(|(b, class)| match class {
            b'1' => (b'1'..=b'9').contains(&b),
            b'9' => b.is_ascii_digit(),
            b'A' => is_mbi_letter(b),
            _ => is_mbi_letter(b) || b.is_ascii_digit(),
        })
}

fn is_mbi_letter(b: u8) -> bool {
    b.is_ascii_uppercase() && !b"SLOIBZ".contains(&b)
}

/// Medicare card of Australia: begins with 2 to 6, weights 1-3-7-9 mod 10, an issue digit after the check digit.
pub(super) fn au_medicare(text: &str) -> bool {
    matches!(text.len(), 10 | 11)
        && text.starts_with(['2', '3', '4', '5', '6'])
        && weighted(text, &[1, 3, 7, 9, 1, 3, 7, 9]) % 10 == digit_at(text, 8)
        && digit_at(text, 9) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_identifiers_check() {
        assert!(us_npi("1234567893") && !us_npi("1234567890") && !us_npi("3234567893"));
        assert!(us_dea("AB1234563") && !us_dea("AB1234564") && !us_dea("ZB1234563"));
        assert!(us_mbi("1EG4TE5MK73") && !us_mbi("1EG4TE5MKS3") && !us_mbi("0EG4TE5MK73"));
        assert!(au_medicare("2123456701") && !au_medicare("2123456711") && !au_medicare("1123456701"));
    }
}
