use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A JWT or JWE: the first part is base64url of a JSON object with `alg` (RFC 7515 §4.1.1).
pub(super) fn jwt(text: &str) -> bool {
    let mut parts = text.split('.');
    let Some(header) = parts.next().filter(|h| h.len() < 4096) else { return false };
    let rest = parts.count();
    if rest != 2 && rest != 4 {
        return false;
    }
    let Ok(json) = URL_SAFE_NO_PAD.decode(header.trim_end_matches('=')) else { return false };
    serde_json::from_slice::<serde_json::Value>(&json)
        .is_ok_and(|v| v.get("alg").is_some_and(serde_json::Value::is_string))
}

/// A GitHub token; its last six characters are a CRC-32 in base 62, which older and test tokens do not keep to.
pub(super) fn github_token(text: &str) -> bool {
    text.split_once('_').is_some_and(|(_, body)| varied(body))
}

/// Random-looking: neither one letter repeated nor a placeholder.
pub(super) fn varied(text: &str) -> bool {
    let mut seen = [false; 128];
    for b in text.bytes() {
        if let Some(slot) = seen.get_mut(usize::from(b)) {
            *slot = true;
        }
    }
    let distinct = seen.iter().filter(|s| **s).count();
    let lower = text.to_ascii_lowercase();
    distinct >= 8.min(text.len().div_ceil(2))
        && !["xxxx", "example_", "your_", "placeholder", "0000000", "1234567890abcdef"]
            .iter()
            .any(|p| lower.contains(p))
}

/// A password as a value: not empty, not masked, not a flag, a link or a sentence.
pub(super) fn password(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let trivial = [
        "true",
        "false",
        "null",
        "none",
        "undefined",
        "required",
        "optional",
        "string",
        "password",
        "yes",
        "no",
    ];
    (3..=256).contains(&text.len())
        && !trivial.contains(&lower.as_str())
        && !lower.starts_with("http://")
        && !lower.starts_with("https://")
        && text.bytes().any(|b| !matches!(b, b'*' | b'x' | b'X' | b'.' | b'-' | b'#'))
        && !text.contains('•')
        && text.split_whitespace().count() < 4
        && !(text.starts_with('<') && text.ends_with('>'))
        && !(text.starts_with("${") || text.starts_with("{{"))
}

/// A name of a person: one to five words of letters.
pub(super) fn person_name(text: &str) -> bool {
    let text = text.trim();
    (2..=64).contains(&text.len())
        && text.split([' ', '-', '\'', '.', ',']).filter(|w| !w.is_empty()).count() <= 5
        && text.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '-' | '\'' | '.' | ','))
        && text.chars().any(char::is_uppercase)
}

/// Text that a person could have written: letters, and no markup.
pub(super) fn readable(text: &str) -> bool {
    (3..=200).contains(&text.len())
        && text.chars().any(char::is_alphabetic)
        && !text.contains(['<', '>', '{', '}'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_check() {
        assert!(jwt("eyJhbGciOiJIUzI1NiJ9.e30.abc") && !jwt("eyJhIjoxfQ.e30.abc") && !jwt("abc.def.ghi"));
        assert!(
            password("hunter2") && !password("******") && !password("true") && !password("https://x/reset")
        );
        assert!(person_name("Ada Lovelace") && !person_name("user_7") && !person_name("x"));
    }
}
