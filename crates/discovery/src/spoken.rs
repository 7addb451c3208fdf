//! How an operation that shares its path with others is named.

use sidetap_wire::graphql;

use crate::extract::identifier;

/// `query field` of one that asks for one field, whatever the client calls it (then true); else `query Name`, or that of its first field.
pub(crate) fn graphql_operation(text: &str) -> Option<(Box<str>, bool)> {
    let operation = graphql::operation(text)?;
    let root = operation.only_root();
    let name = root.or(operation.name).or_else(|| operation.roots.first().map(|r| r.name))?;
    identifier(name).map(|n| (format!("{} {n}", operation.kind).into_boxed_str(), root.is_some()))
}
