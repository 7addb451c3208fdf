//! Verdicts that devices are told of, by who they are and by their campaigns.

use std::collections::{BTreeMap, BTreeSet};

use sidetap_model::rows::VerdictRow;

/// All that are remembered, each once.
#[derive(Default)]
pub(super) struct Verdicts {
    all: BTreeMap<String, VerdictRow>,
    /// Who is in which campaign: those who are in none are not here.
    members: BTreeMap<String, BTreeSet<String>>,
    /// Campaigns that somebody left since they were asked for.
    left: BTreeSet<String>,
    /// Rows that were looked at one after the other.
    #[cfg(test)]
    seen: std::cell::Cell<usize>,
}

impl Verdicts {
    pub(super) fn get(&self, id: &str) -> Option<&VerdictRow> {
        self.all.get(id)
    }

    pub(super) fn contains_key(&self, id: &str) -> bool {
        self.all.contains_key(id)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// All of them by id: takes its time where there are many.
    pub(super) fn values(&self) -> impl Iterator<Item = &VerdictRow> {
        self.all.values().inspect(|_| self.look())
    }

    /// The ids of all, the same.
    pub(super) fn ids(&self) -> impl Iterator<Item = &String> {
        self.all.keys().inspect(|_| self.look())
    }

    /// Takes one up in the place of what was said before.
    pub(super) fn put(&mut self, v: VerdictRow) {
        let old = self.all.get(&v.id).and_then(|old| old.campaign.as_deref());
        if old != v.campaign.as_deref() {
            self.leave(&v.id);
            if let Some(campaign) = &v.campaign {
                self.members.entry(campaign.clone()).or_default().insert(v.id.clone());
            }
        }
        self.all.insert(v.id.clone(), v);
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.leave(id);
        self.all.remove(id);
    }

    /// Keeps those that `keep` says; it changes nobody's campaign.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut VerdictRow) -> bool) {
        let go: Vec<String> =
            self.all.values_mut().filter_map(|v| (!keep(v)).then(|| v.id.clone())).collect();
        go.iter().for_each(|id| self.remove(id));
    }

    /// Whether any names this campaign.
    pub(super) fn names(&self, campaign: &str) -> bool {
        self.members.contains_key(campaign)
    }

    /// Those of a campaign, by id.
    pub(super) fn of_campaign(&self, campaign: &str) -> impl Iterator<Item = &VerdictRow> {
        let ids = self.members.get(campaign).into_iter().flatten();
        ids.filter_map(|id| self.all.get(id)).inspect(|_| self.look())
    }

    /// Campaigns that somebody left since the last call.
    pub(super) fn take_left(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.left)
    }

    /// Takes somebody out of his campaign.
    fn leave(&mut self, id: &str) {
        let Some(campaign) = self.all.get(id).and_then(|old| old.campaign.clone()) else { return };
        if let Some(others) = self.members.get_mut(&campaign) {
            others.remove(id);
            if others.is_empty() {
                self.members.remove(&campaign);
            }
        }
        self.left.insert(campaign);
    }

    #[cfg(not(test))]
    fn look(&self) {}

    #[cfg(test)]
    fn look(&self) {
        self.seen.set(self.seen.get() + 1);
    }

    /// Rows that were looked at since this was asked last.
    #[cfg(test)]
    pub(super) fn take_seen(&self) -> usize {
        self.seen.take()
    }
}

impl Extend<VerdictRow> for Verdicts {
    fn extend<I: IntoIterator<Item = VerdictRow>>(&mut self, verdicts: I) {
        verdicts.into_iter().for_each(|v| self.put(v));
    }
}

impl FromIterator<VerdictRow> for Verdicts {
    fn from_iter<I: IntoIterator<Item = VerdictRow>>(verdicts: I) -> Self {
        let mut all = Verdicts::default();
        all.extend(verdicts);
        all
    }
}

impl IntoIterator for Verdicts {
    type Item = VerdictRow;
    type IntoIter = std::collections::btree_map::IntoValues<String, VerdictRow>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.into_values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_in_which_campaign_is_known_of_all_at_any_time() {
        let model = crate::report::fixture::run().verdicts.remove(0);
        let v = |id: &str, campaign: &str| {
            let campaign = Some(campaign.to_owned()).filter(|c| !c.is_empty());
            VerdictRow { id: id.to_owned(), campaign, ..model.clone() }
        };
        let mut all: Verdicts = [v("1", "a"), v("2", "a"), v("3", "b"), v("4", "")].into_iter().collect();
        let of =
            |all: &Verdicts, c: &str| -> Vec<String> { all.of_campaign(c).map(|v| v.id.clone()).collect() };
        assert_eq!(
            (of(&all, "a"), of(&all, "b")),
            (vec!["1".to_owned(), "2".to_owned()], vec!["3".to_owned()])
        );
        assert!(all.take_left().is_empty());
        // One campaign becomes part of another; who stays in his has left none.
        all.extend([v("3", "a"), v("1", "a"), v("4", "c")]);
        assert_eq!((of(&all, "a").len(), all.names("b"), all.names("c")), (3, false, true));
        assert_eq!(all.take_left().into_iter().collect::<Vec<_>>(), ["b"]);
        all.remove("4");
        all.retain(|v| v.id != "2");
        assert_eq!((of(&all, "a").len(), all.names("c"), all.len()), (2, false, 2));
        assert_eq!(all.take_left().into_iter().collect::<Vec<_>>(), ["a", "c"]);
    }
}
