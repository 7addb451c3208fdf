//! Campaigns of the verdicts that are acted on, as far as decisions ask about them.

use std::collections::{BTreeMap, BTreeSet};

use sidetap_model::rows::{CampaignGist, VerdictRow};
use sidetap_policy::{Campaigns, Response};

use super::Acting;
use super::verdicts::Verdicts;
use crate::output::warn;

/// Campaigns that are remembered at most; those that were heard of longest ago go first.
const CAMPAIGNS: usize = 50_000;
/// Members from which on a campaign's are decided anew only where it grew by a sixteenth, or does something else.
const MANY: u64 = 1_000;

/// How campaigns are by now.
#[derive(Default)]
pub(super) struct Heard {
    all: Campaigns,
    /// Those that were heard of since somebody was decided by them.
    new: BTreeSet<String>,
    /// How the large ones were when their members were decided anew.
    judged: BTreeMap<String, Size>,
    /// All of them in the order in which they were heard of last, and the place of each in it.
    order: BTreeMap<u64, String>,
    places: BTreeMap<String, u64>,
    next: u64,
    /// Those that were forgotten though somebody names them.
    forgotten: u64,
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
    /// What decisions ask about them.
    pub(super) fn all(&self) -> &Campaigns {
        &self.all
    }

    /// Takes up campaigns of before, where nothing newer is known.
    pub(super) fn recall(&mut self, mut before: Campaigns, verdicts: &Verdicts) {
        before.retain(|id| verdicts.names(id) && self.all.get(id).is_none());
        let ids: Vec<String> = before.iter().map(|row| row.id.clone()).collect();
        self.all.extend(before);
        let later = std::mem::take(&mut self.order);
        for id in ids.into_iter().chain(later.into_values()) {
            self.note(id);
        }
        self.make_room(CAMPAIGNS);
    }

    fn hear(&mut self, gist: CampaignGist, most: usize) {
        let id = gist.row.id.clone();
        self.new.insert(id.clone());
        self.all.add_gist(gist);
        self.note(id);
        self.make_room(most);
    }

    /// Notes that this was heard of just now.
    fn note(&mut self, id: String) {
        self.next += 1;
        if let Some(before) = self.places.insert(id.clone(), self.next) {
            self.order.remove(&before);
        }
        self.order.insert(self.next, id);
    }

    fn let_go(&mut self, id: &str) {
        self.all.remove(id);
        self.judged.remove(id);
        if let Some(place) = self.places.remove(id) {
            self.order.remove(&place);
        }
    }

    /// Forgets the oldest where there are more than so many: some at once, so that it is said once.
    fn make_room(&mut self, most: usize) {
        if self.all.len() <= most {
            return;
        }
        while self.all.len() > most - most / 50
            && let Some((_, id)) = self.order.pop_first()
        {
            self.let_go(&id);
            self.forgotten += 1;
        }
        warn(&format!(
            "more than {most} campaigns: {} are forgotten so far, and not known where their members are decided anew before they do more",
            self.forgotten
        ));
    }

    /// Campaigns whose members are to be decided anew: of the large ones not at every word.
    fn grown(&mut self) -> BTreeSet<String> {
        let Heard { all, new, judged, .. } = self;
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
        campaigns.into_iter().for_each(|gist| self.heard.hear(gist, CAMPAIGNS));
    }

    /// Forgets campaigns that nobody is said to take part in any more: of those alone that were heard of, or that somebody left.
    fn let_campaigns_go(&mut self) {
        let left = self.verdicts.take_left();
        let gone: Vec<String> = left
            .into_iter()
            .chain(self.heard.new.iter().cloned())
            .filter(|id| !self.verdicts.names(id))
            .collect();
        gone.iter().for_each(|id| self.heard.let_go(id));
    }

    /// Decides those anew who are not acted against and whose campaigns were heard of, where conditions ask about campaigns; gives those of
    /// whom something else is decided. Who is acted against stays so.
    pub(super) fn judge_grown(&mut self) -> Vec<VerdictRow> {
        self.let_campaigns_go();
        let grown = self.heard.grown();
        if grown.is_empty() || !self.policies.set().asks_campaigns() {
            return Vec::new();
        }
        let acts = |v: &VerdictRow| v.response.parse::<Response>().is_ok_and(Response::acts);
        let of_them = grown.iter().flat_map(|id| self.verdicts.of_campaign(id));
        let mut again: Vec<VerdictRow> = of_them.filter(|v| !acts(v)).cloned().collect();
        again.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        self.judge(&mut again);
        let of = |v: &VerdictRow| (v.response.clone(), v.policy.clone(), v.ttl_s, v.measures.clone());
        again.retain(|v| self.verdicts.get(&v.id).is_some_and(|old| of(old) != of(v)));
        again.iter().for_each(|v| self.known.history.record(v));
        self.verdicts.extend(again.iter().cloned());
        again
    }
}

#[cfg(test)]
mod tests {
    use sidetap_model::rows::CampaignRow;

    use super::*;

    #[test]
    fn of_large_campaigns_not_every_word_has_all_decided_anew() {
        let mut row = crate::report::fixture::run().campaigns.remove(0);
        row.id = "c1".to_owned();
        row.requests = 1;
        let mut heard = Heard::default();
        let mut grown = |members: u64, endpoint: Option<&str>| {
            row.endpoints.extend(endpoint.map(str::to_owned));
            heard.hear(CampaignGist { row: row.clone(), members }, CAMPAIGNS);
            heard.grown().len()
        };
        assert_eq!((grown(999, None), grown(999, None)), (1, 1), "small ones at once");
        assert_eq!((grown(1_600, None), grown(1_601, None), grown(1_699, None)), (1, 0, 0));
        assert_eq!((grown(1_700, None), grown(1_701, Some("e-new")), grown(1_702, None)), (1, 1, 0));
    }

    #[test]
    fn those_heard_of_longest_ago_go_first_and_are_counted() {
        let row = crate::report::fixture::run().campaigns.remove(0);
        let mut heard = Heard::default();
        let mut hear = |n: usize| {
            let row = CampaignRow { id: format!("c{n}"), ..row.clone() };
            heard.hear(CampaignGist { row, members: 2_000 }, 100);
            heard.grown();
            (heard.all.len(), heard.judged.len(), heard.order.len(), heard.places.len(), heard.forgotten)
        };
        let full = (0..100).map(&mut hear).last().unwrap();
        assert_eq!(full, (100, 100, 100, 100, 0));
        assert_eq!(hear(0), full, "it is known");
        assert_eq!(hear(100), (98, 98, 98, 98, 3));
        let known = |n: usize| heard.all.get(&format!("c{n}")).is_some();
        assert_eq!([0, 1, 2, 3, 4, 100].map(known), [true, false, false, false, true, true]);
    }
}
