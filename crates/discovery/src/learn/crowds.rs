//! Bits that siblings bring each other by their number.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Candidate, Known, is_numbered};
use crate::trie::Node;
use crate::words;

/// Siblings with the same names below from which on they are taken for values.
const LIKES: usize = 24;
/// Siblings of a few hexadecimal digits from which on they are taken for buckets of a hash.
pub(super) const BUCKETS: usize = 8;
/// As many are enough where numbers stand beside them.
pub(super) const SOME_BUCKETS: usize = 2;
/// Most bits that their number speaks for each.
const MOST_LIKE: f64 = 16.0;

/// True of a leaf, and of what has but one leaf below.
fn is_twig(node: &Node) -> bool {
    let leaf = |n: &Node| n.kids.is_empty() && n.params.is_empty();
    let single = node.ends.is_empty() && node.params.is_empty() && node.kids.len() == 1;
    leaf(node) || single && node.kids.values().all(leaf)
}

/// Gives bits to leaves that are called but once or twice, many side by side, on a host whose endpoints are called often:
/// fields and operations are as well known as their neighbours, values are not.
pub(super) fn crowd_of_leaves(candidates: &mut [Candidate], node: &Node, known: &Known<'_>) {
    let is_rare = |c: &Candidate| {
        let leaf = node.kids.get(&c.name).is_some_and(|k| is_twig(k) && k.strange == 0);
        leaf && c.hits <= 2.0 && !words::is_verb(&c.name) && !words::is_common(&c.name)
    };
    let rare = candidates.iter().filter(|c| is_rare(c)).count();
    if rare < 3 || rare * 2 < candidates.len() || known.typical < 5.0 {
        return;
    }
    let bits = ((rare as f64).log2() * 2.5).min(8.0);
    for c in candidates.iter_mut().filter(|c| is_rare(c)) {
        c.own += bits;
        if c.why == 3 {
            c.why = 4;
        }
    }
}

/// Names below `node` that tell what it is: neither operations nor versions.
fn telling_names(node: &Node) -> impl Iterator<Item = &Arc<str>> {
    node.kids.keys().filter(|name| !words::is_verb(name) && !words::is_reserved(name) && !is_numbered(name))
}

/// Gives bits to siblings that are many and have the same names below, whatever words they are themselves: nobody writes
/// dozens of resources by hand that hold the same one resource, and no ids.
///
/// What has ids right below is a collection, and gets nothing: collections are made alike, too.
pub(super) fn crowd_of_likes(candidates: &mut [Candidate], node: &Node) {
    if candidates.len() < LIKES {
        return;
    }
    let below = |c: &Candidate| node.kids.get(&c.name).filter(|k| k.params.is_empty() && k.strange == 0);
    let mut shared: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
    for name in candidates.iter().filter_map(below).flat_map(telling_names) {
        *shared.entry(name).or_default() += 1;
    }
    let least = LIKES.max(candidates.len() / 3);
    shared.retain(|_, n| *n >= least);
    let alike: Vec<bool> = candidates
        .iter()
        .map(|c| {
            let known = |k: &Node| !k.kids.is_empty() && k.kids.keys().all(|name| shared.contains_key(name));
            !words::is_verb(&c.name) && below(c).is_some_and(known)
        })
        .collect();
    let many = alike.iter().filter(|a| **a).count();
    if many < LIKES || many * 4 < candidates.len() * 3 {
        return;
    }
    let bits = ((many as f64).log2() * 2.5).min(MOST_LIKE);
    for (c, _) in candidates.iter_mut().zip(alike).filter(|(_, alike)| *alike) {
        c.own += bits;
    }
}

/// Gives bits to siblings that are buckets of a hash: many, all of one to three hexadecimal digits, of one length.
pub(super) fn crowd_of_buckets(candidates: &mut [Candidate], least: usize) {
    let is_bucket = |c: &Candidate, len: usize| {
        c.name.len() == len && c.name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    for len in 1..=3 {
        let (mut all, mut mixed) = (0, 0);
        for c in candidates.iter().filter(|c| is_bucket(c, len)) {
            all += 1;
            mixed += usize::from(len == 1 || c.name.bytes().any(|b| b.is_ascii_digit()));
        }
        // Of words of these letters some would stand beside, and none has digits.
        if all >= least && mixed * 3 >= all && all * 4 >= candidates.len() * 3 {
            candidates.iter_mut().filter(|c| is_bucket(c, len)).for_each(|c| c.own += MOST_LIKE);
        }
    }
}
