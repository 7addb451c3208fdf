//! Campaigns of the verdicts that are acted on, as far as decisions ask about them.

use std::collections::{BTreeMap, BTreeSet};

use sidetap_model::rows::{CampaignGist, VerdictRow};
use sidetap_policy::{Campaigns, Response};

use super::Acting;

/// Campaigns beyond which those are forgotten that no verdict names any more.
const CAMPAIGNS: usize = 10_000;
/// Members from which on a campaign's are decided anew only where it grew by a sixteenth, or does something else.
const MANY: u64 = 1_000;

/// How campaigns are by now.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) all: Campaigns,
    /// Those that were heard of since somebody was decided by them.
    new: BTreeSet<String>,
    /// How the large ones were when their members were decided anew.
    judged: BTreeMap<String, Size>,
}

/// What a campaign comes to, as far as conditions ask.
#[derive(Clone, PartialEq, Eq)]
struct Size {
    members: u64,
    requests: u64,
    endpoints: usize,
    class: String,
    score: u8,
}

impl Size {
    fn of(gist: &CampaignGist) -> Size {
        let CampaignGist { row, members } = gist;
        let (class, endpoints) = (row.class.clone(), row.endpoints.len());
        Size { members: *members, requests: row.requests, endpoints, class, score: row.score }
    }

    fn is_more_than(&self, before: &Size) -> bool {
        let more = |now: u64, then: u64| now >= then.saturating_add((then / 16).max(1));
        more(self.members, before.members)
            || more(self.requests, before.requests)
            || (self.endpoints, &self.class, self.score) != (before.endpoints, &before.class, before.score)
    }
}

impl Heard {
    /// Takes up campaigns of before, where nothing newer is known.
    pub(super) fn recall(&mut self, mut before: Campaigns, verdicts: impl Iterator<Item = String>) {
        let named: BTreeSet<String> = verdicts.collect();
        before.retain(|id| named.contains(id));
        before.extend(std::mem::take(&mut self.all));
        self.all = before;
    }

    /// Campaigns whose members are to be decided anew: of the large ones not at every word.
    fn grown(&mut self) -> BTreeSet<String> {
        let Heard { all, new, judged } = self;
        judged.retain(|id, _| all.get(id).is_some());
        let due = |id: &String| {
            let Some(now) = all.get(id).filter(|gist| gist.members >= MANY).map(Size::of) else {
                return true;
            };
            let due = judged.get(id).is_none_or(|before| now.is_more_than(before));
            if due {
                judged.insert(id.clone(), now);
            }
            due
        };
        std::mem::take(new).into_iter().filter(due).collect()
    }
}

impl Acting {
    /// Takes up how campaigns are by now.
    pub(super) fn hear(&mut self, campaigns: Vec<CampaignGist>) {
        let Heard { all, new, .. } = &mut self.heard;
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
        let grown = self.heard.grown();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_large_campaigns_not_every_word_has_all_decided_anew() {
        let mut row = crate::report::fixture::run().campaigns.remove(0);
        row.id = "c1".to_owned();
        row.requests = 1;
        let mut heard = Heard::default();
        let mut grown = |members: u64, endpoint: Option<&str>| {
            row.endpoints.extend(endpoint.map(str::to_owned));
            heard.all.add_gist(CampaignGist { row: row.clone(), members });
            heard.new.insert("c1".to_owned());
            heard.grown().len()
        };
        assert_eq!((grown(999, None), grown(999, None)), (1, 1), "small ones at once");
        assert_eq!((grown(1_600, None), grown(1_601, None), grown(1_699, None)), (1, 0, 0));
        assert_eq!((grown(1_700, None), grown(1_701, Some("e-new")), grown(1_702, None)), (1, 1, 0));
    }
}
