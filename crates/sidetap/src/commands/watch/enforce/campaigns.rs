//! Campaigns of the verdicts that are acted on, as far as decisions ask about them.

use std::collections::BTreeSet;

use sidetap_model::rows::{CampaignGist, VerdictRow};
use sidetap_policy::{Campaigns, Response};

use super::Acting;

/// Campaigns beyond which those are forgotten that no verdict names any more.
const CAMPAIGNS: usize = 10_000;

/// How campaigns are by now.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) all: Campaigns,
    /// Those that were heard of since somebody was decided by them.
    new: BTreeSet<String>,
}

impl Heard {
    /// Takes up campaigns of before, where nothing newer is known.
    pub(super) fn recall(&mut self, mut before: Campaigns, verdicts: impl Iterator<Item = String>) {
        let named: BTreeSet<String> = verdicts.collect();
        before.retain(|id| named.contains(id));
        before.extend(std::mem::take(&mut self.all));
        self.all = before;
    }
}

impl Acting {
    /// Takes up how campaigns are by now.
    pub(super) fn hear(&mut self, campaigns: Vec<CampaignGist>) {
        let Heard { all, new } = &mut self.heard;
        for gist in campaigns {
            new.insert(gist.row.id.clone());
            all.add_gist(gist);
        }
        if all.len() > CAMPAIGNS {
            let named: BTreeSet<&str> =
                self.verdicts.values().filter_map(|v| v.campaign.as_deref()).collect();
            all.retain(|id| named.contains(id) || new.contains(id));
        }
    }

    /// Decides those anew who are not acted against and whose campaigns were heard of, where conditions ask about campaigns; gives those of
    /// whom something else is decided. Who is acted against stays so.
    pub(super) fn judge_grown(&mut self) -> Vec<VerdictRow> {
        let grown = std::mem::take(&mut self.heard.new);
        if grown.is_empty() || !self.policies.set().asks_campaigns() {
            return Vec::new();
        }
        let acts = |v: &VerdictRow| v.response.parse::<Response>().is_ok_and(Response::acts);
        let of_them = |v: &VerdictRow| v.campaign.as_ref().is_some_and(|id| grown.contains(id));
        let mut again: Vec<VerdictRow> =
            self.verdicts.values().filter(|v| of_them(v) && !acts(v)).cloned().collect();
        self.judge(&mut again);
        let of = |v: &VerdictRow| (v.response.clone(), v.policy.clone(), v.ttl_s, v.measures.clone());
        again.retain(|v| self.verdicts.get(&v.id).is_some_and(|old| of(old) != of(v)));
        again.iter().for_each(|v| self.known.history.record(v));
        self.verdicts.extend(again.iter().map(|v| (v.id.clone(), v.clone())));
        again
    }
}
