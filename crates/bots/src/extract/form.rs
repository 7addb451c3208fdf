//! The form of what people make up: names and passwords that a program makes are all of one.

use super::fields::RequestFields;
use crate::hash;

/// Kinds of characters of a password that has a form to speak of, as they follow each other.
const RUNS: u32 = 4;

impl RequestFields {
    /// The form of the name and the password of an account that is made: `anna.berg107@mail.example` with `Qw907!er` as
    /// `eve.holm114@mail.example` with `Qw914!er`. Nothing of passwords in which few kinds of characters follow each other: many people's are alike.
    pub(super) fn form(&self) -> u64 {
        let (Some(name), Some(secret)) = (self.account.as_deref(), self.secret.as_deref()) else { return 0 };
        if !(6..=64).contains(&secret.len()) || !(5..=128).contains(&name.len()) {
            return 0;
        }
        let mut form = hash::Mix::new();
        let mut runs = 0u32;
        let mut last = (0u8, 0u32);
        for byte in secret.bytes().chain([0]) {
            let kind = kind(byte);
            if kind == last.0 {
                last.1 += 1;
                continue;
            }
            if last.1 > 0 {
                form.word(u64::from(last.0) << 32 | u64::from(last.1));
                runs += 1;
            }
            last = (kind, 1);
        }
        if runs < RUNS {
            return 0;
        }
        let (person, domain) = name.rsplit_once('@').unwrap_or((name, ""));
        let mut last = 0;
        for byte in person.bytes() {
            let kind = kind(byte);
            // Words are of any length, numbers are not.
            if kind != last || kind == b'0' {
                form.word(u64::from(kind));
            }
            last = kind;
        }
        form.bytes(domain.as_bytes());
        form.finish().max(1)
    }
}

/// Letters, capitals and digits are kinds; each other character is one of its own.
const fn kind(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' | 128.. => b'a',
        b'A'..=b'Z' => b'A',
        b'0'..=b'9' => b'0',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(name: &str, secret: &str) -> u64 {
        let mut fields = RequestFields::default();
        fields.account = Some(name.to_owned());
        fields.secret = Some(secret.to_owned());
        fields.form()
    }

    #[test]
    fn accounts_made_by_a_program_are_of_one_form() {
        let one = form("anna.berg107@mail.test", "Qw907!er");
        assert_ne!(one, 0);
        assert_eq!(one, form("eve.holmgren114@mail.test", "Qw914!er"));
        for (name, secret) in [
            ("anna.berg17@mail.test", "Qw907!er"),
            ("anna_berg107@mail.test", "Qw907!er"),
            ("anna.berg107@post.test", "Qw907!er"),
            ("anna.berg107@mail.test", "Qwx907!er"),
            ("anna.berg107@mail.test", "Qw907?er"),
        ] {
            assert_ne!(one, form(name, secret), "{name} {secret}");
        }
        for common in ["winter2026", "Winter2026", "123456", "hunter2"] {
            assert_eq!(form("anna.berg107@mail.test", common), 0, "{common}");
        }
    }
}
