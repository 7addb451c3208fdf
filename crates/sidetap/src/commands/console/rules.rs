//! The rules as the API lists them.

use serde_json::Value;
use sidetap_console::Refused;
use sidetap_policy::{PolicySet, RuleInfo};

use super::value;

/// The rules over verdicts in the order in which they are tried, and behind them those over requests, which devices try.
pub(super) fn listed(set: &PolicySet) -> Result<Vec<Value>, Refused> {
    let (verdicts, requests) = (set.list(), set.list_requests());
    let verdicts = verdicts.iter().map(|rule| row(rule, "verdicts"));
    verdicts.chain(requests.iter().map(|rule| row(rule, "requests"))).collect()
}

fn row(rule: &RuleInfo, over: &str) -> Result<Value, Refused> {
    let mut row = value(rule)?;
    if let Some(row) = row.as_object_mut() {
        row.insert("over".to_owned(), over.into());
        if over == "requests" {
            row.insert("priority".to_owned(), Value::Null);
        }
    }
    Ok(row)
}
