//! What the parameters of a query ask for.

use sidetap_wire::names::NameSet;

use super::{calls, fields, plain, words};
use crate::role::Roles;

/// What the parameters of a query ask a script to do: `index.php?route=account/login`.
pub(super) fn asked(query: &str) -> Roles {
    let mut roles = Roles::NONE;
    for (name, value) in query.split('&').take(8).filter_map(|pair| pair.split_once('=')) {
        if value.len() <= 64 && fields::is_action(name) {
            roles.insert(words::roles_of_action(&value.replace("%2F", "/"), true));
        }
    }
    roles
}

/// True where a query asks what there is around a place.
pub(super) fn names_place(query: &str) -> bool {
    static NAMES: NameSet = NameSet::new(&[
        b"zip",
        b"zipcode",
        b"zip_code",
        b"postcode",
        b"post_code",
        b"postal",
        b"postalcode",
        b"postal_code",
        b"plz",
        b"cep",
        b"codepostal",
        b"code_postal",
        b"pincode",
        b"lat",
        b"latitude",
        b"radius",
    ]);
    query.split('&').take(16).any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        NAMES.has(name.as_bytes())
    })
}

/// The operation that a query asks a script to run: `api.php?action=edit`.
pub(super) fn operation(query: &str) -> Option<Box<str>> {
    let mut pairs = query.split('&').take(8).filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| calls::names_operation(name)).and_then(|(_, value)| calls::action(value))
}

/// The operation of a document that the server keeps, asked for by GET: `?operationName=AdDetail&variables=…&extensions=…`.
pub(super) fn stored_operation(query: &str) -> Option<Box<str>> {
    let pairs = || query.split('&').take(8).filter_map(|pair| pair.split_once('='));
    let stored = |(name, value): (&str, &str)| {
        name == "documentId" || name == "extensions" && value.contains("persistedQuery")
    };
    if !pairs().any(stored) {
        return None;
    }
    pairs().find(|(name, _)| *name == "operationName").and_then(|(_, value)| calls::action(value))
}

/// True where a query names one object: `invoice.php?id=17`. Ids of visits, of clicks and of kinds of things do not.
pub(super) fn names_object(query: &str) -> bool {
    const KINDS: [&str; 27] = [
        "client",
        "session",
        "category",
        "cat",
        "campaign",
        "utm",
        "visitor",
        "device",
        "request",
        "trace",
        "app",
        "tracking",
        "page",
        "parent",
        "group",
        "type",
        "lang",
        "store",
        "site",
        "theme",
        "visit",
        "correlation",
        "span",
        "partner",
        "source",
        "brand",
        "tag",
    ];
    let object = |name: &str| {
        let kind = match name.len().checked_sub(2).and_then(|at| name.split_at_checked(at)) {
            Some(("", "id" | "Id" | "ID")) => return true,
            Some((kind, "id" | "Id" | "ID")) => kind,
            _ => return matches!(name, "nr" | "no" | "number" | "ref" | "order" | "invoice" | "nummer"),
        };
        let own = kind.strip_suffix(['_', '-']);
        // `gclid` and `paid` are words; `orderId` and `order_id` are ids.
        (own.is_some() || !name.ends_with("id"))
            && !KINDS.iter().any(|k| own.unwrap_or(kind).eq_ignore_ascii_case(k))
    };
    let value = |v: &str| {
        v.len() <= 64
            && v.bytes().any(|b| b.is_ascii_digit())
            && v.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    query
        .split('&')
        .take(8)
        .filter_map(|p| p.split_once('='))
        .any(|(name, v)| name.len() <= 32 && object(name) && value(v))
        || has_json(query) && !plain::named_in_query(query).is_empty()
}

/// True where a value of a query may be JSON.
pub(super) fn has_json(query: &str) -> bool {
    query.contains("=%7B") || query.contains("=%7b") || query.contains("={")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_asked_for_by_name() {
        assert!(names_place("zip=8001&page=2") && names_place("r=5&lat=43.1&lng=1.2"));
        assert!(!names_place("q=zip") && !names_place(""));
    }

    #[test]
    fn objects_are_named_by_their_ids() {
        for (query, is) in [
            ("id=17", true),
            ("lang=de&orderId=A-2207", true),
            ("invoice_id=9", true),
            ("category_id=9", false),
            ("gclid=abc123", false),
            ("utm_id=4", false),
            ("id=about", false),
            ("page=2", false),
        ] {
            assert_eq!(names_object(query), is, "{query}");
        }
        assert_eq!(operation("a=1&action=edit").as_deref(), Some("edit"));
        assert_eq!(operation("view=2"), None);
        let stored = "operationName=AdDetail&variables=%7B%7D&extensions=%7B%22persistedQuery%22%3A%7B%7D%7D";
        assert_eq!(stored_operation(stored).as_deref(), Some("AdDetail"));
        assert_eq!(stored_operation("operationName=AdDetail"), None);
    }
}
