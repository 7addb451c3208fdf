//! What goes from a run to whoever acts on its verdicts.

use serde::{Deserialize, Serialize};
use sidetap_model::rows::{CampaignGist, VerdictRow};

/// In the order in which the run said it; a line of JSON each where another process acts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Batch {
    /// Verdicts that are new or changed, and their campaigns; none asks for a look at the policy.
    Said {
        /// The verdicts.
        verdicts: Vec<VerdictRow>,
        /// What decisions ask about the campaigns that they name.
        campaigns: Vec<CampaignGist>,
    },
    /// The run has forgotten all whom it had to up to this number of the store's: what it says from now on does not rest on what they did
    /// before.
    Forgot {
        /// The number.
        forgot: i64,
    },
}

impl Batch {
    /// One that asks for a look at the policy.
    pub(super) fn asking() -> Self {
        Batch::Said { verdicts: Vec::new(), campaigns: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_told_apart_as_lines() {
        let mut run = crate::report::fixture::run();
        let campaigns = vec![CampaignGist { row: run.campaigns.remove(0), members: 240 }];
        let said = Batch::Said { verdicts: vec![run.verdicts.remove(0)], campaigns };
        for batch in [said, Batch::asking(), Batch::Forgot { forgot: 7 }] {
            let line = serde_json::to_string(&batch).unwrap();
            let read: Batch = serde_json::from_str(&line).unwrap();
            assert_eq!(format!("{read:?}"), format!("{batch:?}"), "{line}");
        }
    }
}
