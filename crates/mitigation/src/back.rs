//! Whom what was taken back named: the same client under another name stays back too.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sidetap_model::rows::Subject;

use crate::desired::Want;
use crate::enforcer::Selector;
use crate::entry::tag_of;
use crate::key::Key;
use crate::ledger::{Ledger, REMEMBER_S};

/// Most subjects that are remembered of what was taken back.
const MOST: usize = 50_000;

/// Subjects of what was taken back, and verdicts that are back for their sake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Back {
    /// By connector (`*` stands for all) and the first of their parts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    subjects: BTreeMap<String, BTreeMap<String, Vec<Taken>>>,
    /// Which verdict's subject theirs has in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    heirs: BTreeMap<String, String>,
    /// How many subjects there was no room for.
    #[serde(default)]
    forgotten: u64,
}

/// One subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Taken {
    parts: BTreeSet<String>,
    verdict: String,
    /// When it was taken back, in seconds of the wall clock: who is convicted later is so anew.
    at: i64,
}

/// What a push learns of subjects: whom verdicts name that were taken back, and which verdicts name them under another name.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// By connector: the parts, and the verdict.
    named: Vec<(String, BTreeSet<String>, String)>,
    /// By connector: the verdict, and that whose subject it has in it.
    heirs: Vec<(String, String, String)>,
}

impl News {
    pub(crate) fn is_empty(&self) -> bool {
        self.named.is_empty() && self.heirs.is_empty()
    }
}

/// The parts of a subject as devices' entries spell them.
fn parts_of(subject: &Subject) -> BTreeSet<String> {
    let text = |part| {
        let one = Subject::of_parts(vec![part]);
        Key::of(&one).map_or_else(|| format!("{} {}", one.kind, one.value), |key| key.to_string())
    };
    subject.each_part().into_iter().map(text).collect()
}

/// A verdict of an entry, and the parts of whom it named.
pub(crate) type Named = (String, BTreeSet<String>);

/// The same of an entry.
pub(crate) fn parts_of_key(key: &Key) -> BTreeSet<String> {
    match key.who_and_place().0 {
        Key::At(ip, other) => [ip.to_string(), other.to_string()].into(),
        who => [who.to_string()].into(),
    }
}

impl Back {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Back::default()
    }

    /// How many subjects there was no room for.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn knows(&self, scope: &str, parts: &BTreeSet<String>, tag: &str) -> bool {
        let lists = parts.first().and_then(|first| self.subjects.get(scope)?.get(first));
        lists.is_some_and(|all| all.iter().any(|t| t.verdict == tag && t.parts == *parts))
    }

    /// The verdict that was taken back here and whose subject is in these parts, which a verdict names that was said then.
    fn origin(&self, scope: &str, parts: &BTreeSet<String>, said_at: i64) -> Option<&str> {
        let all = self.subjects.get(scope)?;
        let near = parts.iter().filter_map(|part| all.get(part)).flatten();
        let mut fit = near.filter(|t| said_at <= t.at && t.parts.is_subset(parts));
        fit.next().map(|t| t.verdict.as_str())
    }

    /// Remembers whom a verdict named that is taken back. Rules over requests name nobody.
    pub(crate) fn keep(&mut self, scope: &str, parts: &BTreeSet<String>, tag: &str, now: i64) {
        let Some(first) = parts.first().filter(|_| !tag.starts_with("p-")) else { return };
        if self.knows(scope, parts, tag) {
            return;
        }
        let taken = Taken { parts: parts.clone(), verdict: tag.to_owned(), at: now };
        self.subjects.entry(scope.to_owned()).or_default().entry(first.clone()).or_default().push(taken);
    }

    /// Forgets who was taken back long ago, and of too many those that were first.
    pub(crate) fn prune(&mut self, now: i64, is_back: impl Fn(&str) -> bool) {
        let times = self.subjects.values().flat_map(BTreeMap::values).flatten().map(|t| t.at);
        let mut times: Vec<i64> = times.collect();
        times.sort_unstable();
        let long_ago = now.saturating_sub(REMEMBER_S);
        let cut = times.len().checked_sub(MOST).and_then(|over| times.get(over).copied());
        let over = cut.map_or(0, |cut| times.iter().filter(|at| (long_ago..cut).contains(*at)).count());
        self.forgotten = self.forgotten.saturating_add(over as u64);
        self.retain(|t| t.at >= cut.unwrap_or(i64::MIN).max(long_ago));
        self.heirs.retain(|tag, _| is_back(tag));
    }

    fn retain(&mut self, stays: impl Fn(&Taken) -> bool) {
        for all in self.subjects.values_mut() {
            all.values_mut().for_each(|list| list.retain(&stays));
            all.retain(|_, list| !list.is_empty());
        }
        self.subjects.retain(|_, all| !all.is_empty());
    }

    /// Forgets a verdict, whose subject is no reason any more; gives those that were back for its sake.
    fn release(&mut self, tag: &str) -> Vec<String> {
        let origin = self.heirs.remove(tag);
        self.retain(|t| t.verdict != tag && Some(&t.verdict) != origin.as_ref());
        let heirs: Vec<String> =
            self.heirs.iter().filter(|(_, of)| *of == tag).map(|(h, _)| h.clone()).collect();
        heirs.iter().for_each(|heir| _ = self.heirs.remove(heir));
        heirs
    }
}

impl Ledger {
    /// What these wants tell of subjects that were taken back and is not known yet.
    pub(crate) fn news_of(&self, wants: &[Want]) -> News {
        let mut news = News::default();
        for want in wants.iter().filter(|_| !self.undone.is_empty()) {
            let (tag, parts) = (tag_of(&want.verdict), parts_of(&want.subject));
            for scope in self.undone.keys() {
                let is_back = self.undone.get(scope).is_some_and(|set| set.contains(&tag));
                if is_back && !self.back.heirs.contains_key(&tag) && !self.back.knows(scope, &parts, &tag) {
                    news.named.push((scope.clone(), parts.clone(), tag.clone()));
                }
            }
            let taken = self.back.subjects.keys().filter(|scope| !self.is_undone(scope, &tag));
            for scope in taken {
                if let Some(origin) = self.back.origin(scope, &parts, want.detected_at.secs()) {
                    news.heirs.push((scope.clone(), tag.clone(), origin.to_owned()));
                }
            }
        }
        news
    }

    /// Takes back what names the same clients as what was taken back before.
    pub(crate) fn inherit(&mut self, news: &News, now: i64) {
        for (scope, parts, tag) in &news.named {
            self.back.keep(scope, parts, tag, now);
        }
        for (scope, tag, origin) in &news.heirs {
            self.undo(scope, tag);
            self.back.heirs.insert(tag.clone(), origin.clone());
        }
    }

    /// Lets later pushes push again what was taken back.
    pub(crate) fn redo(&mut self, selector: &Selector) {
        match selector {
            Selector::All => {
                self.undone.clear();
                self.back = Back::default();
            }
            Selector::Connector(name) => {
                self.undone.remove(name);
                self.back.subjects.remove(name);
            }
            Selector::Verdict(id) => self.release(id),
            Selector::Verdicts(ids) => ids.iter().for_each(|id| self.release(id)),
        }
    }

    fn release(&mut self, id: &str) {
        let tag = tag_of(id);
        let heirs = self.back.release(&tag);
        for set in self.undone.values_mut() {
            set.remove(&tag);
            heirs.iter().for_each(|heir| _ = set.remove(heir));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_are_counted() {
        let mut back = Back::default();
        let many = i64::try_from(MOST).unwrap() + 3;
        for n in 0..many {
            back.keep("*", &[format!("ip {n}")].into(), "v", 1_000 + n);
        }
        back.prune(2_000, |_| true);
        let kept: usize = back.subjects["*"].values().map(Vec::len).sum();
        assert_eq!((kept, back.forgotten()), (MOST, 3));
        back.prune(1_000 + many + REMEMBER_S, |_| true);
        assert_eq!((back.subjects.len(), back.forgotten()), (0, 3), "what is over is not lost");
    }
}
