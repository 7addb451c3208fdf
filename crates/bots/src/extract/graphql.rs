//! What the root fields of a GraphQL document are asked with: literals, and variables under the names of the arguments that they fill.

use sidetap_wire::graphql;

use super::fields::RequestFields;
use super::names::{Field, field_of};

/// The name of an argument, its value, and whether a variable has it.
type Argument<'a> = (&'a str, String, bool);

impl RequestFields {
    /// Reads the arguments of the document's root fields, now that its variables are known. Several fields of one kind, each under
    /// an alias, are as many calls.
    pub(crate) fn settle(&mut self) {
        let Some(document) = self.document.take() else { return };
        let Some(operation) = graphql::operation(&document) else { return };
        let variables = std::mem::take(&mut self.variables);
        self.roots = operation.roots.len();
        let value_of = |written: &str| match written.strip_prefix('$') {
            Some(name) => variables.iter().find(|(n, _)| **n == *name).map(|(_, value)| value.to_string()),
            None => Some(written.to_owned()),
        };
        let mut calls: Vec<(&str, Vec<Argument<'_>>)> = Vec::new();
        for root in &operation.roots {
            let mut values = Vec::new();
            for (name, written) in graphql::arguments(&document, &root.arguments) {
                // An object that is a variable as a whole: its fields have told their names themselves.
                let Some(value) = value_of(written) else { continue };
                values.push((name, value, written.starts_with('$')));
            }
            calls.push((root.name, values));
        }
        let many = calls.len() >= 2 && operation.only_root().is_some();
        if many || variables.is_empty() {
            self.arguments.forget();
        }
        for (root, values) in &calls {
            if many && !values.is_empty() {
                self.arguments.call(root);
            }
            for (name, value, variable) in values {
                self.argument(name, value, *variable, many || !*variable);
            }
        }
    }

    fn argument(&mut self, name: &str, value: &str, variable: bool, count: bool) {
        if value.is_empty() || value.len() > 512 {
            return;
        }
        let field = field_of(name, value);
        let says = matches!(field, Field::Secret | Field::Account | Field::Mail | Field::Code | Field::Card);
        if !variable || says && !self.knows(value) {
            self.note(field, value);
        }
        let named = !matches!(field, Field::Secret | Field::Account | Field::Mail | Field::PageSize);
        if count && named {
            self.arguments.add(name, value, field == Field::Id);
        }
        self.fields += u32::from(!variable);
    }

    /// True where a variable's own name has told already what it holds.
    fn knows(&self, value: &str) -> bool {
        [&self.account, &self.secret, &self.code].into_iter().flatten().any(|known| known == value)
    }
}
