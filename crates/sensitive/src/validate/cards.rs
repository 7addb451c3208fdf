use super::{luhn, number, same_digit};

/// A payment card: issuer range, length of the brand, check digit.
pub(super) fn card(text: &str) -> bool {
    brand(text).is_some() && luhn(text) && !same_digit(text)
}

fn brand(text: &str) -> Option<&'static str> {
    let (two, three, four, six) =
        (number(text, 0, 2), number(text, 0, 3), number(text, 0, 4), number(text, 0, 6));
    let len = text.len();
    Some(match () {
        () if text.starts_with('4') && matches!(len, 13 | 16 | 19) => "visa",
        () if (51..=55).contains(&two) && len == 16 => "mastercard",
        () if (2221..=2720).contains(&four) && len == 16 => "mastercard",
        () if matches!(two, 34 | 37) && len == 15 => "american express",
        () if (four == 6011 || (644..=649).contains(&three) || two == 65) && matches!(len, 16 | 19) => {
            "discover"
        }
        () if (622_126..=622_925).contains(&six) && matches!(len, 16..=19) => "unionpay",
        () if (two == 62 || two == 81) && matches!(len, 16..=19) => "unionpay",
        () if (3528..=3589).contains(&four) && matches!(len, 16..=19) => "jcb",
        () if ((300..=305).contains(&three) || three == 309 || matches!(two, 36 | 38 | 39))
            && matches!(len, 14 | 16 | 19) =>
        {
            "diners"
        }
        () if matches!(four, 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763)
            && matches!(len, 12..=19) =>
        {
            "maestro"
        }
        () if (2200..=2204).contains(&four) && matches!(len, 16..=19) => "mir",
        () if matches!(six, 508_500..=508_999 | 606_985..=607_984 | 608_001..=608_500 | 652_150..=653_149)
            && len == 16 =>
        {
            "rupay"
        }
        () => return None,
    })
}

/// Month and year of an expiry date, 2015 to 2049.
pub(super) fn expiry(text: &str) -> bool {
    let (month, year) = (number(text, 0, 2), number(text, 2, text.len()));
    (1..=12).contains(&month) && ((15..=49).contains(&year) || (2015..=2049).contains(&year))
}

/// Three or four digits.
pub(super) fn verification(text: &str) -> bool {
    matches!(text.len(), 3 | 4) && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brands_have_their_ranges_and_lengths() {
        for good in [
            "4111111111111111",
            "5500005555555559",
            "2221000000000009",
            "378282246310005",
            "6011000990139424",
            "3530111333300000",
            "30569309025904",
            "6212345678901232",
        ] {
            assert!(card(good), "{good}");
        }
        // Check digit, range, length, all the same.
        for bad in ["4111111111111112", "9111111111111113", "41111111111111", "0000000000000000"] {
            assert!(!card(bad), "{bad}");
        }
    }
}
