//! What goes from a run to whoever acts on its verdicts.

use serde::{Deserialize, Serialize};
use sidetap_model::rows::VerdictRow;

/// In the order in which the run said it; a line of JSON each where another process acts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Batch {
    /// Verdicts that are new or changed; none asks for a look at the policy.
    Verdicts(Vec<VerdictRow>),
    /// The run has forgotten all whom it had to up to this number of the store's: what it says from now on does not rest on what they did
    /// before.
    Forgot {
        /// The number.
        forgot: i64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_told_apart_as_lines() {
        let verdict = crate::report::fixture::run().verdicts.remove(0);
        for batch in
            [Batch::Verdicts(vec![verdict]), Batch::Verdicts(Vec::new()), Batch::Forgot { forgot: 7 }]
        {
            let line = serde_json::to_string(&batch).unwrap();
            let read: Batch = serde_json::from_str(&line).unwrap();
            assert_eq!(format!("{read:?}"), format!("{batch:?}"), "{line}");
        }
    }
}
