//! What rules ask devices for, without regard to a verdict.

use sidetap_model::Measures;

use crate::Response;
use crate::pack::{How, Rule, Standing};

/// What a rule asks devices for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleAsks {
    /// The rule.
    pub id: String,
    /// The wanted response, then those for devices that cannot do it.
    pub responses: Vec<Response>,
    /// How they are done.
    pub measures: Measures,
}

/// What a rule asks for, and each step of its escalation that asks for something else.
pub(crate) fn of_rule(r: &Rule) -> Vec<RuleAsks> {
    let measures = measures(&r.how);
    let steps = r.escalation.iter().flat_map(|e| e.steps.iter().enumerate());
    let steps = steps.filter_map(|(n, step)| {
        let response = step.response.filter(|response| r.responses.first() != Some(response))?;
        let id = format!("{} (step {} of its escalation)", r.id, n + 1);
        Some(RuleAsks { id, responses: vec![response], measures: measures.clone() })
    });
    let own = RuleAsks { id: r.id.clone(), responses: r.responses.clone(), measures: measures.clone() };
    std::iter::once(own).chain(steps).collect()
}

/// What a rule over requests asks for.
pub(crate) fn of_request(r: &Standing) -> RuleAsks {
    RuleAsks { id: r.id.clone(), responses: r.responses.clone(), measures: measures(&r.how) }
}

fn measures(how: &How) -> Measures {
    let how = how.clone();
    Measures {
        rate: how.rate,
        delay_ms: how.delay_ms,
        decoy: how.decoy,
        tag: how.tag,
        countries: how.countries,
        ..Measures::default()
    }
}
