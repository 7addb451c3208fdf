use std::ops::Range;

use crate::pack::{RULE_LIMIT, RuleId};

/// A set of rules.
pub(crate) struct Rules([u64; RULE_LIMIT / 64]);

impl Rules {
    /// The rules of which a needle stands in `text`.
    pub(crate) fn standing_in(needles: &aho_corasick::AhoCorasick, rules: &[RuleId], text: &[u8]) -> Rules {
        let mut set = Rules([0; RULE_LIMIT / 64]);
        for found in needles.find_overlapping_iter(text) {
            if let Some(id) = rules.get(found.pattern().as_usize())
                && let Some(word) = set.0.get_mut(usize::from(id.0) / 64)
            {
                *word |= 1 << (id.0 % 64);
            }
        }
        set
    }

    /// Where the first needle of a rule stands in `text`.
    pub(crate) fn place_of(
        rule: RuleId,
        needles: &aho_corasick::AhoCorasick,
        rules: &[RuleId],
        text: &[u8],
    ) -> Option<Range<usize>> {
        let is_its = |at: usize| rules.get(at) == Some(&rule);
        needles.find_overlapping_iter(text).find(|f| is_its(f.pattern().as_usize())).map(|f| f.range())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = RuleId> + '_ {
        self.0.iter().enumerate().flat_map(|(at, word)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| RuleId((at * 64 + bit) as u16))
        })
    }
}
