//! The trie of one host: literals and parameters, and the ends that endpoints hang on.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::segment::{self, Reading, STRONG, Shape};
use crate::words;

/// Most literal children of a node; more are forced into a parameter.
pub(crate) const MAX_KIDS: usize = 512;
/// From so many merged values on, an unknown segment is taken for one more without a second look.
const SETTLED: u32 = 64;

/// A position in paths.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Node {
    /// Successful requests through here.
    pub(crate) hits: u32,
    /// Responses that named this very segment as an id or name.
    pub(crate) echo: u32,
    /// Responses that were one object with another id.
    pub(crate) strange: u32,
    /// A description names it: it is never merged.
    pub(crate) pinned: bool,
    /// Methods that end here.
    pub(crate) ends: SmallVec<[End; 1]>,
    /// Literals that follow.
    pub(crate) kids: BTreeMap<Arc<str>, Node>,
    /// Parameters that follow, told apart by what is literal around them.
    pub(crate) params: Vec<Param>,
}

/// A method at a position.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct End {
    /// Number of the method.
    pub(crate) method: u8,
    /// Successful requests.
    pub(crate) hits: u32,
    /// Of them with a slash at the end.
    pub(crate) slashed: u32,
    /// Names of the upper fields of its responses, as a Bloom mask.
    pub(crate) keys: u128,
    /// Slot of the endpoint.
    pub(crate) slot: u32,
}

/// A parameter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Param {
    /// Literal before it.
    pub(crate) prefix: Arc<str>,
    /// Literal after it.
    pub(crate) suffix: Arc<str>,
    /// It takes any word, not only what looks like a value.
    pub(crate) open: bool,
    /// A description names it: it takes whatever no literal does.
    pub(crate) claimed: bool,
    /// Shapes of its values.
    pub(crate) shapes: u32,
    /// Literals that were merged into it.
    pub(crate) absorbed: u32,
    /// Why: literals by kind of evidence (echoed, produced, shape, shared continuation, crowd).
    pub(crate) why: [u32; 5],
    /// What follows.
    pub(crate) node: Box<Node>,
}

/// What a request adds to the trie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visit {
    pub(crate) method: u8,
    pub(crate) slashed: bool,
    pub(crate) keys: u128,
    pub(crate) echo: u32,
    pub(crate) own_id: bool,
}

/// What making new nodes may cost.
#[derive(Debug)]
pub(crate) struct Allowance {
    /// Nodes that may still be made for the host.
    pub(crate) nodes: u32,
    /// Nodes made.
    pub(crate) made: u32,
    /// Next free endpoint slot.
    pub(crate) next_slot: u32,
}

/// How literally a path is matched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Matching {
    /// Open parameters take any word.
    Lenient,
    /// Open parameters take a new word only once they are settled.
    Learning,
}

impl Param {
    pub(crate) fn takes(&self, part: &Part<'_>, matching: Matching) -> bool {
        let segment = part.text;
        let fits = segment.len() > self.prefix.len() + self.suffix.len()
            && segment.starts_with(&*self.prefix)
            && segment.ends_with(&*self.suffix);
        if !fits {
            return false;
        }
        let reading = part.reading();
        let plain = reading.prefix == self.prefix.len() && reading.suffix == self.suffix.len();
        if reading.score >= STRONG && plain {
            return true;
        }
        if self.claimed || plain && self.shapes & Shape::Int.bit() != 0 && part.may_be_version() {
            return true;
        }
        if !self.open || words::is_reserved(segment) || reading.score == 0 && is_version_like(segment) {
            return false;
        }
        match matching {
            Matching::Lenient => true,
            Matching::Learning => self.absorbed >= SETTLED && !words::is_verb(segment),
        }
    }
}

fn is_version_like(s: &str) -> bool {
    s.len() <= 8 && s.starts_with('v') && s.as_bytes().get(1).is_some_and(u8::is_ascii_digit)
}

impl Node {
    /// Counts a successful request on an existing path; gives the slot of its end, or none where the path is new.
    pub(crate) fn touch(
        &mut self,
        path: &[Part<'_>],
        at: usize,
        visit: &Visit,
        how: Matching,
    ) -> Option<u32> {
        let Some(part) = path.get(at) else {
            let end = self.ends.iter_mut().find(|e| e.method == visit.method)?;
            end.count(visit);
            self.hits = self.hits.saturating_add(1);
            return Some(end.slot);
        };
        let last = at + 1 == path.len();
        if let Some(kid) = self.kids.get_mut(part.text)
            && let Some(slot) = kid.touch(path, at + 1, visit, how)
        {
            kid.identified(visit, at, last);
            self.hits = self.hits.saturating_add(1);
            return Some(slot);
        }
        for p in &mut self.params {
            if p.takes(part, how)
                && let Some(slot) = p.node.touch(path, at + 1, visit, how)
            {
                p.shapes |= part.reading().shape.bit();
                self.hits = self.hits.saturating_add(1);
                return Some(slot);
            }
        }
        None
    }

    /// The slot of the end that `path` matches.
    pub(crate) fn find(&self, path: &[Part<'_>], at: usize, method: u8) -> Option<u32> {
        let Some(part) = path.get(at) else {
            return self.ends.iter().find(|e| e.method == method).map(|e| e.slot);
        };
        if let Some(slot) = self.kids.get(part.text).and_then(|k| k.find(path, at + 1, method)) {
            return Some(slot);
        }
        self.params
            .iter()
            .filter(|p| p.takes(part, Matching::Lenient))
            .find_map(|p| p.node.find(path, at + 1, method))
    }

    fn identified(&mut self, visit: &Visit, at: usize, last: bool) {
        if visit.echo >> at & 1 == 1 {
            self.echo = self.echo.saturating_add(1);
        } else if last && visit.own_id {
            self.strange = self.strange.saturating_add(1);
        }
    }

    /// Makes the path; gives the slot of its end (a new one), or none where there is no room.
    pub(crate) fn grow(
        &mut self,
        path: &[Part<'_>],
        at: usize,
        visit: &Visit,
        room: &mut Allowance,
    ) -> Option<u32> {
        let Some(part) = path.get(at) else {
            self.hits = self.hits.saturating_add(1);
            if let Some(end) = self.ends.iter_mut().find(|e| e.method == visit.method) {
                end.count(visit);
                return Some(end.slot);
            }
            let slot = room.next_slot;
            room.next_slot += 1;
            let mut end = End { method: visit.method, hits: 0, slashed: 0, keys: 0, slot };
            end.count(visit);
            self.ends.push(end);
            return Some(slot);
        };
        let last = at + 1 == path.len();
        if let Some(kid) = self.kids.get_mut(part.text) {
            let slot = kid.grow(path, at + 1, visit, room)?;
            kid.identified(visit, at, last);
            self.hits = self.hits.saturating_add(1);
            return Some(slot);
        }
        let taken = self.params.iter_mut().find(|p| p.takes(part, Matching::Learning));
        if let Some(param) = taken {
            param.shapes |= part.reading().shape.bit();
            let slot = param.node.grow(path, at + 1, visit, room)?;
            self.hits = self.hits.saturating_add(1);
            return Some(slot);
        }
        let full = self.kids.len() >= MAX_KIDS;
        if part.reading().score >= STRONG || full {
            let param = self.param(part, full, room)?;
            param.shapes |= part.reading().shape.bit();
            let slot = param.node.grow(path, at + 1, visit, room)?;
            self.hits = self.hits.saturating_add(1);
            return Some(slot);
        }
        room.spend()?;
        let mut kid = Node::default();
        let slot = kid.grow(path, at + 1, visit, room)?;
        kid.identified(visit, at, last);
        self.kids.insert(Arc::from(part.text), kid);
        self.hits = self.hits.saturating_add(1);
        Some(slot)
    }

    /// The parameter that takes `part`, made where there is none.
    fn param(&mut self, part: &Part<'_>, forced: bool, room: &mut Allowance) -> Option<&mut Param> {
        let strong = part.reading().score >= STRONG;
        let (prefix, suffix) = if strong { part.affixes() } else { ("", "") };
        let found = self.params.iter().position(|p| &*p.prefix == prefix && &*p.suffix == suffix);
        let index = match found {
            Some(i) => i,
            None => {
                room.spend()?;
                self.place(Param::new(prefix, suffix))
            }
        };
        let param = self.params.get_mut(index)?;
        param.open |= forced && !strong;
        Some(param)
    }

    /// Puts in a parameter, those with more literal around them first; gives its place.
    pub(crate) fn place(&mut self, param: Param) -> usize {
        let affix = param.prefix.len() + param.suffix.len();
        let at = self.params.iter().take_while(|p| p.suffix.len() + p.prefix.len() >= affix).count();
        self.params.insert(at, param);
        at
    }

    /// Drops the ends of slots that are `hollow`, told to `gone`, and what then leads nowhere; false where that is all of it.
    pub(crate) fn keep(&mut self, hollow: &dyn Fn(u32) -> bool, gone: &mut Vec<u32>) -> bool {
        self.ends.retain(|e| {
            let drop = hollow(e.slot);
            if drop {
                gone.push(e.slot);
            }
            !drop
        });
        self.kids.retain(|_, kid| kid.keep(hollow, gone));
        self.params.retain_mut(|p| p.node.keep(hollow, gone) || p.claimed);
        self.pinned || !(self.ends.is_empty() && self.kids.is_empty() && self.params.is_empty())
    }

    /// Nodes below and including this one.
    pub(crate) fn size(&self) -> u32 {
        let kids: u32 = self.kids.values().map(Node::size).sum();
        let params: u32 = self.params.iter().map(|p| p.node.size()).sum();
        1 + kids + params
    }

    /// Takes in `other`; ends that meet are told to `met` as (kept, gone) slots.
    pub(crate) fn absorb(&mut self, other: Node, met: &mut Vec<(u32, u32)>) {
        self.hits = self.hits.saturating_add(other.hits);
        self.echo = self.echo.saturating_add(other.echo);
        self.strange = self.strange.saturating_add(other.strange);
        for end in other.ends {
            match self.ends.iter_mut().find(|e| e.method == end.method) {
                Some(mine) => {
                    met.push((mine.slot, end.slot));
                    mine.hits = mine.hits.saturating_add(end.hits);
                    mine.slashed = mine.slashed.saturating_add(end.slashed);
                    mine.keys |= end.keys;
                }
                None => self.ends.push(end),
            }
        }
        for (name, kid) in other.kids {
            match self.kids.get_mut(&name) {
                Some(mine) => mine.absorb(kid, met),
                None => {
                    self.kids.insert(name, kid);
                }
            }
        }
        for p in other.params {
            match self.params.iter_mut().find(|m| m.prefix == p.prefix && m.suffix == p.suffix) {
                Some(mine) => {
                    mine.open |= p.open;
                    mine.claimed |= p.claimed;
                    mine.shapes |= p.shapes;
                    mine.absorbed = mine.absorbed.saturating_add(p.absorbed);
                    mine.why.iter_mut().zip(p.why).for_each(|(a, b)| *a = a.saturating_add(b));
                    mine.node.absorb(*p.node, met);
                }
                None => self.params.push(p),
            }
        }
    }
}

impl Param {
    pub(crate) fn new(prefix: &str, suffix: &str) -> Self {
        Param {
            prefix: prefix.into(),
            suffix: suffix.into(),
            open: false,
            claimed: false,
            shapes: 0,
            absorbed: 0,
            why: [0; 5],
            node: Box::default(),
        }
    }
}

impl End {
    fn count(&mut self, visit: &Visit) {
        self.hits = self.hits.saturating_add(1);
        self.slashed = self.slashed.saturating_add(u32::from(visit.slashed));
        self.keys |= visit.keys;
    }
}

impl Allowance {
    fn spend(&mut self) -> Option<()> {
        self.nodes = self.nodes.checked_sub(1)?;
        self.made += 1;
        Some(())
    }
}

/// A segment, read when somebody asks what it looks like.
#[derive(Clone, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) text: &'a str,
    previous: Option<&'a str>,
    depth: usize,
    known: Cell<Option<Reading>>,
}

impl<'a> Part<'a> {
    pub(crate) fn new(text: &'a str, previous: Option<&'a str>, depth: usize) -> Self {
        Part { text, previous, depth, known: Cell::new(None) }
    }

    /// What it looks like.
    pub(crate) fn reading(&self) -> Reading {
        if let Some(r) = self.known.get() {
            return r;
        }
        let r = segment::read(self.text, self.previous, self.depth);
        self.known.set(Some(r));
        r
    }

    fn may_be_version(&self) -> bool {
        segment::may_be_version(self.text, self.previous, self.depth)
    }

    fn affixes(&self) -> (&'a str, &'a str) {
        let reading = self.reading();
        let prefix = self.text.get(..reading.prefix).unwrap_or_default();
        let suffix = self.text.len().checked_sub(reading.suffix).and_then(|n| self.text.get(n..));
        (prefix, suffix.unwrap_or_default())
    }
}

/// The parts of a path.
pub(crate) fn parts<'a>(segments: &'a segment::Segments<'_>) -> SmallVec<[Part<'a>; 8]> {
    let mut previous: Option<&str> = None;
    let part = |(depth, text): (usize, &'a std::borrow::Cow<'_, str>)| {
        let text: &'a str = text;
        Part::new(text, previous.replace(text), depth)
    };
    segments.parts.iter().enumerate().map(part).collect()
}
