//! What other rules, or other indicators, would have said.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use sidetap_console::Refused;
use sidetap_model::Ts;
use sidetap_model::rows::VerdictRow;
use sidetap_policy::{Attribution, Device, DeviceReport, PolicySet, Reach, Sieve, Simulation, Tally};
use sidetap_store::{Store, StoreError};

use crate::commands::policy::{StoreAround, each_request};

/// What rules would do with verdicts, beside what the present ones do: verdicts come in parts, in the order of their ids.
#[derive(Default)]
pub(super) struct Decided {
    verdicts: u64,
    /// Verdicts, requests, those of malicious ones and of others.
    responses: BTreeMap<String, [u64; 4]>,
    rules: BTreeMap<(String, String), [u64; 2]>,
    held: BTreeMap<String, u64>,
    changed_total: u64,
    changed: Vec<Value>,
}

impl Decided {
    /// Takes in what is done with a verdict now and what would be; so many that change are named.
    pub(super) fn take(&mut self, was: &VerdictRow, v: &VerdictRow, named: usize) {
        self.verdicts += 1;
        let sums = self.responses.entry(v.response.clone()).or_default();
        let honest = v.intent != "malicious";
        let add = [1, v.requests, if honest { 0 } else { v.requests }, if honest { v.requests } else { 0 }];
        sums.iter_mut().zip(add).for_each(|(s, n)| *s += n);
        let policy = v.policy.as_deref().unwrap_or_default();
        match policy.strip_prefix("guard:") {
            Some(guard) => *self.held.entry(guard.to_owned()).or_default() += 1,
            None => {
                let of = (policy.to_owned(), v.response.clone());
                let [verdicts, requests] = self.rules.entry(of).or_default();
                *verdicts += 1;
                *requests += v.requests;
            }
        }
        if was.response != v.response {
            self.changed_total += 1;
            if self.changed.len() < named {
                self.changed.push(json!({
                    "verdict": v.id, "subject": v.subject.value, "was": was.response, "would": v.response, "rule": v.policy,
                }));
            }
        }
    }

    /// All that was taken in.
    pub(super) fn answer(self) -> Value {
        let responses: BTreeMap<String, Value> = self
            .responses
            .into_iter()
            .map(|(response, [verdicts, requests, malicious, honest])| {
                let sums = json!({
                    "verdicts": verdicts, "requests": requests, "malicious_requests": malicious, "honest_requests": honest,
                });
                (response, sums)
            })
            .collect();
        let rule = |((rule, response), [verdicts, requests]): ((String, String), [u64; 2])| json!({ "rule": rule, "response": response, "verdicts": verdicts, "requests": requests });
        let held = |(why, n): (String, u64)| json!({ "why": why, "verdicts": n });
        json!({
            "verdicts": self.verdicts,
            "responses": responses,
            "by_rule": self.rules.into_iter().map(rule).collect::<Vec<_>>(),
            "changed_total": self.changed_total,
            "changed": self.changed,
            "held": self.held.into_iter().map(held).collect::<Vec<_>>(),
        })
    }
}

/// What rules would do with all that is stored, beside what the present ones do: with verdicts, of which so many that
/// change are named, and with requests.
pub(super) fn simulated(
    store: &Store,
    around: &StoreAround,
    present: &PolicySet,
    asked: Option<&PolicySet>,
    named: usize,
) -> Result<Value, Refused> {
    let StoreAround { known, campaigns, sieve, span_s } = around;
    let networks = |set: &PolicySet| {
        set.networks_of(campaigns, known, |take| {
            store.each_verdicts(|part| {
                take(&part);
                Ok::<(), StoreError>(())
            })
        })
    };
    let (mut was_on, mut would_on) = (Requests::on(sieve), asked.map(|_| Requests::on(sieve)));
    let (own, other) = (networks(present)?, asked.map(networks).transpose()?);
    let mut decided = Decided::default();
    let mut attribution = Attribution::default();
    store.each_verdicts(|mut part| {
        let mut is = asked.map(|_| part.clone());
        present.apply_part(&mut part, campaigns, known, &own);
        if let (Some(asked), Some(is), Some(other)) = (asked, &mut is, &other) {
            asked.apply_part(is, campaigns, known, other);
        }
        for (was, is) in part.iter().zip(is.as_ref().unwrap_or(&part)) {
            decided.take(was, is, named);
            attribution.add(was, Some(&**sieve));
            was_on.0.add(was);
            would_on.iter_mut().for_each(|on| on.0.add(is));
        }
        Ok::<(), StoreError>(())
    })?;
    let traffic = known.traffic.as_ref();
    was_on.0.stand(present, traffic);
    if let (Some(on), Some(asked)) = (&mut would_on, asked) {
        on.0.stand(asked, traffic);
    }
    each_request(store, *span_s, |line, n| {
        let (behind, _) = attribution.behind(&line.seen);
        was_on.0.see_many(&line, n, behind, None);
        would_on.iter_mut().for_each(|on| drop(on.0.see_many(&line, n, behind, None)));
        Ok::<(), StoreError>(())
    })?;
    let was = was_on.report();
    let would = would_on.map_or_else(|| was.clone(), Requests::report);
    let mut answer = decided.answer();
    if let Some(fields) = answer.as_object_mut() {
        let standing = asked.unwrap_or(present).standing(Ts::default(), traffic);
        let lines = standing.iter().map(|v| by_standing_rule(v, &would));
        if let Some(by_rule) = fields.get_mut("by_rule").and_then(Value::as_array_mut) {
            by_rule.extend(lines);
        }
        fields.insert("requests".to_owned(), json!({ "was": sums(&was), "would": sums(&would) }));
    }
    Ok(answer)
}

/// A device that can do all that a policy can say, and sees the stored requests.
struct Requests(Simulation);

impl Requests {
    fn on(sieve: &Arc<Sieve>) -> Self {
        let name = "everything".to_owned();
        let device = Device { name, reach: Reach::everything(), zones: Vec::new(), delay_ms: 1_000 };
        Requests(Simulation::on(&[device], Some(Arc::clone(sieve))))
    }

    fn report(self) -> DeviceReport {
        self.0.report().pop().unwrap_or_default()
    }
}

/// What a rule over requests does, as a line beside those over verdicts.
fn by_standing_rule(v: &VerdictRow, would: &DeviceReport) -> Value {
    let policy = v.policy.as_deref().unwrap_or_default();
    let requests = would.rules.get(policy).copied().unwrap_or_default();
    let rule = v.id.strip_prefix("p-").unwrap_or(&v.id);
    let held = policy.strip_prefix("guard:");
    json!({ "rule": rule, "response": v.response, "verdicts": 0, "requests": requests, "held": held })
}

/// Stored requests, and those that are stopped or slowed from the verdict on, by who is behind them.
fn sums(report: &DeviceReport) -> Value {
    let of = |t: &Tally| json!({ "requests": t.requests, "hit": t.stopped + t.slowed });
    json!({ "malicious": of(&report.malicious), "suspicious": of(&report.suspicious), "good": of(&report.good) })
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
