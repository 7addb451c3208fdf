//! What other rules, or other indicators, would have said.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sidetap_model::rows::VerdictRow;

/// Changed verdicts that a simulation names.
const CHANGED: usize = 200;

/// What rules would do with verdicts, beside what the present ones do.
pub(super) fn simulation(was: &[VerdictRow], is: &[VerdictRow]) -> Value {
    let mut responses: BTreeMap<&str, [u64; 4]> = BTreeMap::new();
    let mut rules: BTreeMap<(&str, &str), [u64; 2]> = BTreeMap::new();
    let mut held: BTreeMap<&str, u64> = BTreeMap::new();
    for v in is {
        let sums = responses.entry(v.response.as_str()).or_default();
        let honest = v.intent != "malicious";
        let add = [1, v.requests, if honest { 0 } else { v.requests }, if honest { v.requests } else { 0 }];
        sums.iter_mut().zip(add).for_each(|(s, n)| *s += n);
        let policy = v.policy.as_deref().unwrap_or_default();
        match policy.strip_prefix("guard:") {
            Some(guard) => *held.entry(guard).or_default() += 1,
            None => {
                let [verdicts, requests] = rules.entry((policy, v.response.as_str())).or_default();
                *verdicts += 1;
                *requests += v.requests;
            }
        }
    }
    let before: BTreeMap<&str, &VerdictRow> = was.iter().map(|v| (v.id.as_str(), v)).collect();
    let changed: Vec<Value> = is
        .iter()
        .filter_map(|v| {
            let old = before.get(v.id.as_str()).filter(|o| o.response != v.response)?;
            Some(json!({
                "verdict": v.id, "subject": v.subject.value, "was": old.response, "would": v.response, "rule": v.policy,
            }))
        })
        .collect();
    let responses: BTreeMap<&str, Value> = responses
        .into_iter()
        .map(|(response, [verdicts, requests, malicious, honest])| {
            let sums = json!({
                "verdicts": verdicts, "requests": requests, "malicious_requests": malicious, "honest_requests": honest,
            });
            (response, sums)
        })
        .collect();
    let by_rule: Vec<Value> = rules
        .into_iter()
        .map(|((rule, response), [verdicts, requests])| {
            json!({ "rule": rule, "response": response, "verdicts": verdicts, "requests": requests })
        })
        .collect();
    let held: Vec<Value> = held.into_iter().map(|(why, n)| json!({ "why": why, "verdicts": n })).collect();
    json!({
        "verdicts": is.len(),
        "responses": responses,
        "by_rule": by_rule,
        "changed_total": changed.len(),
        "changed": changed.into_iter().take(CHANGED).collect::<Vec<_>>(),
        "held": held,
        "detail": {},
    })
}

/// A score of 1 to 99 moved by log-odds.
pub(super) fn moved(score: u8, by: f64) -> u8 {
    let p = f64::from(score.clamp(1, 99)) / 100.0;
    let odds = (p / (1.0 - p)).ln() + by;
    (100.0 / (1.0 + (-odds).exp())).round().clamp(1.0, 99.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_move_by_log_odds() {
        assert_eq!(moved(50, 0.0), 50);
        assert_eq!((moved(99, -100.0), moved(1, 100.0)), (1, 99));
        assert!(moved(92, -2.0) < 92 && moved(92, -2.0) > 50);
    }
}
