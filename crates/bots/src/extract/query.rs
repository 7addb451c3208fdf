//! What the parameters of a query ask for.

use sidetap_wire::names::NameSet;

use super::{fields, words};
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_asked_for_by_name() {
        assert!(names_place("zip=8001&page=2") && names_place("r=5&lat=43.1&lng=1.2"));
        assert!(!names_place("q=zip") && !names_place(""));
    }
}
