//! The inventory held against descriptions: what stands where, and the differences.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sidetap_model::rows::EndpointRow;

use crate::spec::{Spec, SpecOperation};

/// Differences between an inventory and a description.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SpecDiff {
    /// The description.
    pub spec: String,
    /// Endpoints seen of which it knows nothing.
    pub undocumented_endpoints: Vec<Difference>,
    /// Endpoints whose path it knows with other methods.
    pub undocumented_methods: Vec<Difference>,
    /// Operations that were not seen.
    pub unseen_operations: Vec<Difference>,
    /// Parameters seen that it does not name.
    pub undocumented_parameters: Vec<Difference>,
    /// Status codes seen that it does not name.
    pub undocumented_statuses: Vec<Difference>,
    /// Operations marked as deprecated that are still called.
    pub deprecated_calls: Vec<Difference>,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Host; empty for an operation that was not seen.
    pub host: String,
    /// Method.
    pub method: String,
    /// Path template.
    pub template: String,
    /// The parameter (`query:page`) or status code, where it is about one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub what: String,
    /// Calls.
    pub calls: u64,
}

impl Spec {
    /// Compares `rows` with this description.
    ///
    /// Endpoints of hosts that it names are compared; where it names no host of the inventory, all are.
    pub fn diff(&self, rows: &[EndpointRow]) -> SpecDiff {
        let mut out = SpecDiff { spec: self.name.clone(), ..SpecDiff::default() };
        let named = rows.iter().any(|r| self.names_host(&r.host));
        let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
        for row in rows.iter().filter(|r| r.calls > 0 && (!named || self.names_host(&r.host))) {
            match self.operation(&row.method, &row.template) {
                Some(op) => {
                    seen.insert((&op.method, &op.path));
                    self.compare(row, op, &mut out);
                }
                None if self.has_path(&row.template) => {
                    out.undocumented_methods.push(difference(row, String::new()));
                }
                None => out.undocumented_endpoints.push(difference(row, String::new())),
            }
        }
        for op in self.operations().iter().filter(|op| !seen.contains(&(&*op.method, &*op.path))) {
            let template = self.full_paths(op).next().unwrap_or_else(|| op.path.clone());
            let method = op.method.clone();
            out.unseen_operations.push(Difference {
                host: String::new(),
                method,
                template,
                what: String::new(),
                calls: 0,
            });
        }
        out
    }

    fn compare(&self, row: &EndpointRow, op: &SpecOperation, out: &mut SpecDiff) {
        for p in row.parameters.iter().filter(|p| p.location == "query" || p.location == "body") {
            let known = op.parameters.contains(&(p.location.clone(), p.name.clone()));
            let any_of_place = op.parameters.iter().any(|(place, _)| *place == p.location);
            if !known && (p.location == "query" || any_of_place) {
                out.undocumented_parameters.push(difference(row, format!("{}:{}", p.location, p.name)));
            }
        }
        for status in row.status_codes.keys().filter(|s| !documents(op, s)) {
            out.undocumented_statuses.push(difference(row, status.clone()));
        }
        if op.deprecated {
            out.deprecated_calls.push(difference(row, String::new()));
        }
    }
}

fn documents(op: &SpecOperation, status: &str) -> bool {
    let class = status.get(..1).unwrap_or_default();
    status == "none"
        || op.statuses.iter().any(|s| {
            s == status
                || s == "default"
                || s.len() == 3 && s.get(..1) == Some(class) && s.to_ascii_uppercase().ends_with("XX")
        })
}

fn difference(row: &EndpointRow, what: String) -> Difference {
    Difference {
        host: row.host.clone(),
        method: row.method.clone(),
        template: row.template.clone(),
        what,
        calls: row.calls,
    }
}
