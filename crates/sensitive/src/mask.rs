/// Masks a value: its first `first` and last `last` letters and digits, what is between as `***`.
///
/// Never shows more than a third of the value, and never gives a text that contains the value.
pub fn mask(value: &str, first: usize, last: usize) -> String {
    let chars: Vec<char> = value.chars().filter(|c| c.is_alphanumeric() || matches!(c, '@' | '_')).collect();
    let shown = chars.len() / 3;
    let last = last.min(shown);
    let first = first.min(shown - last);
    let head = chars.iter().take(first);
    let tail = chars.iter().skip(chars.len() - last);
    let masked: String = head.copied().chain("***".chars()).chain(tail.copied()).collect();
    if value.is_empty() || !masked.contains(value) {
        return masked;
    }
    if "(hidden)".contains(value) { String::new() } else { "(hidden)".to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_recognisable_and_not_more() {
        assert_eq!(mask("4111 1111 1111 1234", 2, 4), "4***1234");
        assert_eq!(mask("ghp_0123456789abcdefghijklmnopqrstuvwxyz", 4, 0), "ghp_***");
        assert_eq!(mask("12", 4, 4), "***");
        assert_eq!(mask("*", 1, 1), "(hidden)");
    }

    proptest! {
        #[test]
        fn no_mask_contains_the_value(value in ".{1,40}", first in 0..10_usize, last in 0..10_usize) {
            prop_assert!(!mask(&value, first, last).contains(&value));
        }
    }
}
