//! Names as people have them, spelled as outputs spell them.

use std::net::IpAddr;

use sidetap_model::HashKey;
use sidetap_policy::{AllowEntry, AllowKind, AllowList};

/// How outputs spell a name; none where it is not one of that kind. An account is taken in lower case, as forms are read.
pub(crate) fn spelled(kind: AllowKind, value: &str, key: &HashKey) -> Option<String> {
    let value = match kind {
        AllowKind::Account => value.trim().to_lowercase(),
        AllowKind::Ip => value.trim().parse::<IpAddr>().ok()?.to_canonical().to_string(),
        _ => value.trim().to_owned(),
    };
    let entry = AllowEntry { kind, value, reason: None };
    let list = AllowList::new(vec![entry]).ok()?.hashed(key);
    list.entries().first().map(|e| e.value.clone())
}

/// All ways in which outputs may spell a name: an account in lower case and as it is written.
pub(crate) fn spellings(kind: AllowKind, value: &str, key: &HashKey) -> Vec<String> {
    let mut all: Vec<String> = spelled(kind, value, key).into_iter().collect();
    if kind == AllowKind::Account {
        let entry = AllowEntry { kind, value: value.trim().to_owned(), reason: None };
        let list = AllowList::new(vec![entry]).unwrap_or_default().hashed(key);
        all.extend(list.entries().first().map(|e| e.value.clone()).filter(|v| !all.contains(v)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelled_as_outputs_spell_them() {
        let key = HashKey::from_bytes([7; 16]);
        let ip = |value: &str| spelled(AllowKind::Ip, value, &key);
        assert_eq!(ip("2001:0DB8::00Ab").as_deref(), Some("2001:db8::ab"));
        assert_eq!(ip("::ffff:192.0.2.7").as_deref(), Some("192.0.2.7"));
        assert_eq!(ip("192.0.2.0/24"), None);
        let session = spelled(AllowKind::Session, "066398cadcf50ba288ea0b788d1ff30e", &key).unwrap();
        assert!(session.starts_with("066398…#"), "{session}");
        assert_eq!(spelled(AllowKind::Session, &session, &key), Some(session));
        let accounts = spellings(AllowKind::Account, "Ada@Example.test", &key);
        assert_eq!(accounts.len(), 2, "{accounts:?}");
        assert_eq!(accounts[..1], spellings(AllowKind::Account, "ada@example.test", &key));
    }
}
