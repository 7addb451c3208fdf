//! Which literal siblings are values of one parameter, from population evidence.
//!
//! A description-length argument decides. Two siblings that are values of one parameter continue alike: described as one, the
//! continuation is paid for once (gain), while knowing the sibling tells nothing of the continuation (loss: the mutual information
//! between sibling and continuation, in bits). Literals of their own continue differently, and lose more by being merged than they
//! gain. To that come the bits that each sibling brings itself: its shape, a response that names it as an id, its name among ids
//! seen elsewhere on the host, words that APIs use.

mod crowds;

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashSet;
use sidetap_wire::body::hash_str;

use self::crowds::{BUCKETS, SOME_BUCKETS, crowd_of_buckets, crowd_of_leaves, crowd_of_likes};
use crate::segment::{self, STRONG, Shape};
use crate::trie::{Node, Param};
use crate::words;

/// Siblings that are looked at together at most.
const MAX_CANDIDATES: usize = 512;
/// Continuations of one sibling that are told apart.
const MAX_PROFILE: usize = 512;
/// Versions of one API that are live at a time at most.
const MOST_VERSIONS: usize = 3;
/// Names that two versions have in common at least.
const SHARED_NAMES: usize = 2;
/// Requests of a number from which on it is told whether it is a version.
const SURE_HITS: u32 = 32;
const PRIOR: f64 = -6.0;
const OPEN_COST: f64 = 6.0;

/// What the learner knows of the host.
pub(crate) struct Known<'a> {
    /// Hashes of ids and names that responses listed.
    pub(crate) values: &'a HashSet<u64, foldhash::fast::FixedState>,
    /// Successful requests that half of the host's endpoints have at least.
    pub(crate) typical: f64,
    /// Bits that a merge must win by.
    pub(crate) margin: f64,
}

/// Continuations: signature → (requests, bits to describe it).
type Profile = BTreeMap<u64, (f64, f64)>;

struct Candidate {
    name: Arc<str>,
    profile: Profile,
    hits: f64,
    own: f64,
    keys: Vec<(u8, u128)>,
    why: usize,
}

#[derive(Default, Clone)]
struct Cluster {
    profile: Profile,
    hits: f64,
    keys: Vec<(u8, u128)>,
    members: Vec<usize>,
    /// Literals merged before, and those that joined without help.
    crowd: f64,
    score: f64,
}

/// What a round of learning did.
#[derive(Default)]
pub(crate) struct Learned {
    /// Slots of ends that met: kept, gone.
    pub(crate) met: Vec<(u32, u32)>,
    /// Hashes of the literals that became values.
    pub(crate) words: Vec<u64>,
}

/// Merges what belongs together below `node`.
pub(crate) fn learn(node: &mut Node, path: &mut Vec<Arc<str>>, known: &Known<'_>, met: &mut Learned) {
    settle_numbers(node, path, known, met);
    if node.kids.len() >= 2 || !node.params.is_empty() && !node.kids.is_empty() {
        for suffix in suffixes(node) {
            merge_level(node, path, &suffix, known, met, Depth::AsIs);
        }
        merge_level(node, path, "", known, met, Depth::NextFolded);
    }
    for (name, kid) in &mut node.kids {
        path.push(Arc::clone(name));
        learn(kid, path, known, met);
        path.pop();
    }
    for p in &mut node.params {
        path.push("{}".into());
        learn(&mut p.node, path, known, met);
        path.pop();
    }
}

fn may_be_version(name: &str, path: &[Arc<str>]) -> bool {
    segment::may_be_version(name, path.last().map(|p| &**p), path.len())
}

/// Bare numbers that were held back as perhaps versions become values, unless they live as versions do.
fn settle_numbers(node: &mut Node, path: &[Arc<str>], known: &Known<'_>, met: &mut Learned) {
    let held: Vec<Arc<str>> = node
        .kids
        .iter()
        .filter(|(name, kid)| !kid.pinned && may_be_version(name, path))
        .map(|(name, _)| Arc::clone(name))
        .collect();
    if held.is_empty() || are_versions(node, &held, known.margin > 0.0) {
        return;
    }
    let plain = node.params.iter().position(|p| p.prefix.is_empty() && p.suffix.is_empty());
    let index = plain.unwrap_or_else(|| node.place(Param::new("", "")));
    for name in held {
        let Some(kid) = node.kids.remove(&name) else { continue };
        let Some(param) = node.params.get_mut(index) else { continue };
        param.shapes |= Shape::Int.bit();
        param.node.absorb(kid, &mut met.met);
    }
}

/// Few numbers, nothing called at them or at what holds them, and the same names below: versions of one API. With `open`
/// also what may still turn out so.
fn are_versions(node: &Node, held: &[Arc<str>], open: bool) -> bool {
    let known_values = node.params.iter().any(|p| p.shapes & Shape::Int.bit() != 0);
    let kids: Vec<&Node> = held.iter().filter_map(|name| node.kids.get(name)).collect();
    let bare = kids.iter().all(|k| k.ends.is_empty() && k.params.is_empty());
    if known_values || !bare || !node.ends.is_empty() || kids.len() > MOST_VERSIONS {
        return false;
    }
    let Some((first, others)) = kids.split_first() else { return false };
    let alike = |other: &&Node| {
        let shared = first.kids.keys().filter(|name| other.kids.contains_key(*name)).count();
        shared >= SHARED_NAMES && shared * 2 >= first.kids.len().min(other.kids.len())
    };
    !others.is_empty() && others.iter().all(alike) || open && kids.iter().any(|k| k.hits < SURE_HITS)
}

/// The file extensions among the children, then none, which takes whatever the extensions left.
fn suffixes(node: &Node) -> Vec<Arc<str>> {
    let mut out: Vec<Arc<str>> = Vec::new();
    for name in node.kids.keys() {
        let ext = group_of(name);
        if !ext.is_empty() && !out.iter().any(|o| &**o == ext) {
            out.push(ext.into());
        }
    }
    out.push("".into());
    out
}

fn group_of(name: &str) -> &str {
    segment::extension(name).filter(|e| words::is_file_extension(e)).unwrap_or_default()
}

/// How continuations are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// As they are.
    AsIs,
    /// The next level as if it were one parameter: for `/repos/{owner}/{repo}/issues`, where no two owners share a repository.
    NextFolded,
}

fn merge_level(
    node: &mut Node,
    path: &[Arc<str>],
    suffix: &str,
    known: &Known<'_>,
    met: &mut Learned,
    depth: Depth,
) {
    let existing = node.params.iter().position(|p| p.prefix.is_empty() && &*p.suffix == suffix);
    let lens = existing.and_then(|i| node.params.get(i)).map(|p| &*p.node);
    let mut candidates: Vec<Candidate> = node
        .kids
        .iter()
        .filter(|(name, _)| (suffix.is_empty() || group_of(name) == suffix) && !words::is_reserved(name))
        .filter(|(name, _)| !may_be_version(name, path))
        .filter(|(_, kid)| !kid.pinned && (depth == Depth::AsIs || !kid.kids.is_empty()))
        .take(MAX_CANDIDATES)
        .map(|(name, kid)| candidate(name, kid, path, known, depth, lens))
        .collect();
    if depth == Depth::AsIs {
        crowd_of_leaves(&mut candidates, node, known);
        crowd_of_likes(&mut candidates, node);
        let numbers =
            existing.and_then(|i| node.params.get(i)).is_some_and(|p| p.shapes & Shape::Int.bit() != 0);
        crowd_of_buckets(&mut candidates, if numbers { SOME_BUCKETS } else { BUCKETS });
    }
    candidates.sort_by(|a, b| b.own.total_cmp(&a.own).then_with(|| a.name.cmp(&b.name)));
    let joined = existing
        .and_then(|i| node.params.get(i))
        .and_then(|p| join(&candidates, start(p, known, depth), known.margin))
        .filter(|c| !c.members.is_empty());
    let cluster = joined.or_else(|| best_new(&candidates, known));
    let Some(cluster) = cluster.filter(|c| !c.members.is_empty()) else { return };
    let index = existing.unwrap_or_else(|| node.place(Param::new("", suffix)));
    for i in cluster.members {
        let Some(c) = candidates.get(i) else { continue };
        let Some(kid) = node.kids.remove(&c.name) else { continue };
        let Some(param) = node.params.get_mut(index) else { continue };
        param.open = true;
        param.absorbed += 1;
        param.shapes |= segment::read(&c.name, path.last().map(|p| &**p), path.len()).shape.bit();
        if let Some(w) = param.why.get_mut(c.why) {
            *w += 1;
        }
        met.words.push(hash_str(&c.name));
        param.node.absorb(kid, &mut met.met);
    }
}

fn start(p: &Param, known: &Known<'_>, depth: Depth) -> Cluster {
    let mut profile = Profile::new();
    follow(&p.node, known, depth, Some(&p.node), &mut profile);
    Cluster {
        profile,
        hits: f64::from(p.node.hits),
        keys: end_keys(&p.node),
        members: Vec::new(),
        crowd: f64::from(p.absorbed),
        score: 0.0,
    }
}

/// Lets candidates join as long as one gains by it.
fn join(candidates: &[Candidate], mut cluster: Cluster, margin: f64) -> Option<Cluster> {
    let mut left: Vec<usize> = (0..candidates.len()).filter(|i| !cluster.members.contains(i)).collect();
    for _ in 0..4 {
        let before = left.len();
        let mut remaining = before as f64;
        left.retain(|i| {
            let Some(c) = candidates.get(*i) else { return false };
            let alone = advantage(&cluster, c);
            let delta = alone + cluster.crowd_bits(remaining);
            if delta <= margin {
                return true;
            }
            cluster.add(*i, c, delta);
            remaining -= 1.0;
            if alone > 0.0 {
                cluster.crowd += 1.0;
            }
            false
        });
        if left.len() == before {
            break;
        }
    }
    Some(cluster)
}

fn best_new(candidates: &[Candidate], known: &Known<'_>) -> Option<Cluster> {
    let mut seeds: Vec<usize> = (0..candidates.len().min(6)).collect();
    let mut by_hits: Vec<usize> = (0..candidates.len()).collect();
    by_hits.sort_by(|a, b| {
        let hits = |i: &usize| candidates.get(*i).map_or(0.0, |c| c.hits);
        hits(b).total_cmp(&hits(a)).then(a.cmp(b))
    });
    seeds.extend(by_hits.into_iter().take(6));
    let mut best: Option<Cluster> = None;
    for seed in seeds {
        let Some(c) = candidates.get(seed) else { continue };
        let mut cluster = Cluster::default();
        cluster.add(seed, c, c.own);
        cluster.crowd = if c.own > 0.0 { 1.0 } else { 0.0 };
        let Some(cluster) = join(candidates, cluster, 0.0) else { continue };
        if best.as_ref().is_none_or(|b| cluster.score > b.score) {
            best = Some(cluster);
        }
    }
    best.filter(|c| {
        let enough = c.members.len() >= 3
            || c.members.len() == 2
                && c.members.iter().all(|i| candidates.get(*i).is_some_and(|c| c.why == 0));
        enough && c.score > OPEN_COST + known.margin
    })
}

impl Cluster {
    /// Bits that values known for what they are speak for one more sibling, when `left` siblings are not known.
    fn crowd_bits(&self, left: f64) -> f64 {
        let odds = (0.5 + self.crowd) / (0.5 + left);
        (CROWD * odds.log2() - PRIOR).clamp(0.0, MAX_CROWD) * (self.crowd / SURE_CROWD).min(1.0)
    }

    fn add(&mut self, index: usize, c: &Candidate, delta: f64) {
        for (sig, (n, cost)) in &c.profile {
            self.profile.entry(*sig).or_insert((0.0, *cost)).0 += n;
        }
        self.hits += c.hits;
        self.score += delta;
        self.members.push(index);
        for (method, keys) in &c.keys {
            match self.keys.iter_mut().find(|(m, _)| m == method) {
                Some((_, k)) => *k |= keys,
                None => self.keys.push((*method, *keys)),
            }
        }
    }
}

/// Bits won by describing `c` as one more value of `cluster`.
fn advantage(cluster: &Cluster, c: &Candidate) -> f64 {
    let telling = |(_, (_, cost)): &(&u64, &(f64, f64))| *cost > GENERIC;
    let shared = c.profile.iter().filter(|(sig, _)| cluster.profile.contains_key(*sig));
    let gain: f64 = shared.clone().map(|(_, (_, cost))| cost).sum();
    let foreign = c.profile.iter().any(|e| telling(&e)) && !shared.clone().any(|e| telling(&e));
    let gain = if foreign { gain - FOREIGN } else { gain };
    let (few, many) = if c.hits <= cluster.hits {
        ((&c.profile, c.hits), (&cluster.profile, cluster.hits))
    } else {
        ((&cluster.profile, cluster.hits), (&c.profile, c.hits))
    };
    c.own + gain - surprise(few.0, few.1, many.0, many.1) + likeness(&cluster.keys, &c.keys)
}

/// Bits that the requests of `few` cost more when `many` predicts how they continue than when they predict themselves.
///
/// What `many` never saw has the probability of what it saw once (Good and Turing).
fn surprise(few: &Profile, n: f64, many: &Profile, k: f64) -> f64 {
    let (n, k) = (n.max(1.0), k.max(1.0));
    let once = many.values().filter(|(hits, _)| *hits < 1.5).count() as f64;
    let unseen = ((once + 1.0) / (k + 2.0)).min(MOST_UNSEEN);
    let (mut new, mut bits) = (0.0, 0.0);
    for (sig, (hits, _)) in few {
        match many.get(sig) {
            Some((with, _)) => bits += hits * (hits * k / (n * with * (1.0 - unseen))).log2(),
            None => new += hits,
        }
    }
    if new > 0.0 {
        bits += new * (new / (n * unseen)).log2();
    }
    bits.max(0.0) * (ENOUGH / n.max(ENOUGH))
}

/// Bits that the response fields of the same method speak for one resource.
fn likeness(a: &[(u8, u128)], b: &[(u8, u128)]) -> f64 {
    let mut bits = 0.0;
    for (method, keys) in b {
        let Some((_, with)) = a.iter().find(|(m, _)| m == method) else { continue };
        let least = keys.count_ones().min(with.count_ones());
        if least < 2 {
            continue;
        }
        let share = f64::from((keys & with).count_ones()) / f64::from(least);
        bits += if share < 0.4 {
            -8.0
        } else if share > 0.7 {
            1.0
        } else {
            -1.0
        };
    }
    bits
}

fn candidate(
    name: &Arc<str>,
    kid: &Node,
    path: &[Arc<str>],
    known: &Known<'_>,
    depth: Depth,
    lens: Option<&Node>,
) -> Candidate {
    let mut profile = Profile::new();
    follow(kid, known, depth, lens, &mut profile);
    let (own, why) = evidence(name, kid, path, known);
    Candidate { name: Arc::clone(name), profile, hits: f64::from(kid.hits), own, keys: end_keys(kid), why }
}

fn end_keys(node: &Node) -> Vec<(u8, u128)> {
    node.ends.iter().map(|e| (e.method, e.keys)).collect()
}

/// Bits for `name` being a value, from itself alone; and which evidence was the strongest.
fn evidence(name: &str, kid: &Node, path: &[Arc<str>], known: &Known<'_>) -> (f64, usize) {
    let previous = path.last().map(|p| &**p);
    let reading = segment::read(name, previous, path.len());
    let shape = f64::from(reading.score) / 5.0;
    let echoed = f64::from(kid.echo.min(3));
    let strange = f64::from(kid.strange.saturating_sub(kid.echo).min(3));
    let produced = if known.values.contains(&hash_str(name)) { 5.0 } else { 0.0 };
    let verb = match (words::is_verb(name) && kid.echo == 0, kid.ends.is_empty()) {
        (false, _) => 0.0,
        (true, true) => -5.0,
        (true, false) => -14.0,
    };
    let common = if words::is_common(name) && kid.echo == 0 { -4.0 } else { 0.0 };
    let collection = if kid.params.iter().any(|p| !p.open) { -6.0 } else { 0.0 };
    let root = if path.is_empty() { -8.0 } else { 0.0 };
    let echo_bits = if kid.echo > 0 { 6.0 + 4.0 * echoed } else { 0.0 };
    let bits = PRIOR + shape + echo_bits - 6.0 * strange + produced + verb + common + collection + root;
    let why = if kid.echo > 0 {
        0
    } else if produced > 0.0 {
        1
    } else if shape > 6.0 {
        2
    } else {
        3
    };
    (bits, why)
}

/// Gathers how `node` continues, seen through `lens`, the parameter that it might be a value of.
fn follow(node: &Node, known: &Known<'_>, depth: Depth, lens: Option<&Node>, out: &mut Profile) {
    if depth == Depth::AsIs {
        return continuations(node, 0, 0.0, known, lens, out);
    }
    ends(node, 0, 0.0, out);
    let folded = lens.and_then(plain_param);
    for (name, kid) in &node.kids {
        let literal = words::is_verb(name) || words::is_common(name) || words::is_reserved(name);
        let there = lens.and_then(|l| counterpart(l, name, folded));
        if there.is_some() || literal && !is_value_like(name, kid, known) {
            continuations(kid, step(0, hash_str(name)), distinctive(name), known, there, out);
        } else {
            continuations(kid, step(0, STAR), 0.0, known, folded, out);
        }
    }
    for p in &node.params {
        continuations(&p.node, step(0, STAR), 0.0, known, folded, out);
    }
}

/// The literal `name` below the lens, unless it looks like a value that was not merged yet.
fn counterpart<'a>(lens: &'a Node, name: &str, folded: Option<&Node>) -> Option<&'a Node> {
    let kid = lens.kids.get(name)?;
    let left_over =
        folded.is_some_and(|f| f.hits / 8 > kid.hits) && !words::is_verb(name) && !words::is_reserved(name);
    (!left_over).then_some(kid)
}

fn plain_param(node: &Node) -> Option<&Node> {
    node.params.iter().find(|p| p.open && p.prefix.is_empty() && p.suffix.is_empty()).map(|p| &*p.node)
}

fn ends(node: &Node, sig: u64, weight: f64, out: &mut Profile) {
    for end in &node.ends {
        let cost = weight.max(GENERIC);
        let key = step(sig, u64::from(end.method) + 1);
        out.entry(key).or_insert((0.0, cost)).0 += f64::from(end.hits);
    }
}

/// Gathers the continuations of `node`: what follows, literals that look like values as one.
fn continuations(
    node: &Node,
    sig: u64,
    weight: f64,
    known: &Known<'_>,
    lens: Option<&Node>,
    out: &mut Profile,
) {
    if out.len() >= MAX_PROFILE {
        return;
    }
    ends(node, sig, weight, out);
    let folded = lens.and_then(plain_param);
    for (name, kid) in &node.kids {
        let there = lens.and_then(|l| counterpart(l, name, folded));
        let value = is_value_like(name, kid, known) || folded.is_some() && !words::is_reserved(name);
        if there.is_none() && value {
            continuations(kid, step(sig, STAR), weight, known, folded, out);
        } else {
            continuations(kid, step(sig, hash_str(name)), weight.max(distinctive(name)), known, there, out);
        }
    }
    for p in &node.params {
        let affix =
            if p.suffix.is_empty() && p.prefix.is_empty() { STAR } else { step(STAR, hash_str(&p.suffix)) };
        let there = lens.and_then(|l| l.params.iter().find(|q| q.prefix == p.prefix && q.suffix == p.suffix));
        continuations(&p.node, step(sig, affix), weight, known, there.map(|q| &*q.node), out);
    }
}

/// Bits that sharing the literal `name` below is worth: much for what few resources have, little for what many have.
fn distinctive(name: &str) -> f64 {
    match (is_numbered(name), words::is_verb(name) || words::is_common(name)) {
        (true, _) => GENERIC,
        (_, true) => 2.0,
        _ => 7.0,
    }
}

/// True of names that are versions, or look like them.
fn is_numbered(name: &str) -> bool {
    name.strip_prefix('v').unwrap_or(name).starts_with(|c: char| c.is_ascii_digit())
}

fn is_value_like(name: &str, kid: &Node, known: &Known<'_>) -> bool {
    if kid.echo > kid.strange {
        return true;
    }
    if words::is_verb(name) || words::is_common(name) || words::is_reserved(name) || kid.strange > 0 {
        return false;
    }
    segment::read(name, None, 9).score >= STRONG / 2 || known.values.contains(&hash_str(name))
}

fn step(sig: u64, part: u64) -> u64 {
    (sig.rotate_left(7) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5555
}

const STAR: u64 = 0x2a2a;
/// Bits of a continuation without a literal: every collection has such.
const GENERIC: f64 = 0.5;
/// Bits against a sibling that continues in telling ways, none of them known.
const FOREIGN: f64 = 8.0;
/// Highest share of continuations that may be expected to be new.
const MOST_UNSEEN: f64 = 0.25;
/// Requests from which on more of them do not make a difference in continuation count for more: real values differ a little too.
const ENOUGH: f64 = 24.0;
/// Bits that each doubling of the values known already speaks for one more.
const CROWD: f64 = 1.5;
const MAX_CROWD: f64 = 10.0;
/// Values known for what they are from which on they speak with their full weight.
const SURE_CROWD: f64 = 6.0;
