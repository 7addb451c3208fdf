use std::num::NonZeroU8;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashTable;

use super::Location;

/// The place where a walk is, in a tree of all places that its scratch has seen.
///
/// Bodies of an API have the same names again and again, mostly in the same order: a step to a name costs a comparison with
/// the one that came next the last time. What a visitor knows of a place it keeps in a [`Places`], by the place's number.
#[derive(Clone, Debug)]
pub(super) struct Path {
    tree: Tree,
    node: u32,
    depth: u16,
}

/// A place in a [`Path`] to come back to; of a container that is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    node: u32,
    pub(super) array: bool,
    pub(super) begun: bool,
}

/// Names longer than this are cut in paths.
const NAME_LIMIT: usize = 128;
/// Places after which a tree begins anew with the next body: what is remembered changes the speed alone.
const PLACE_LIMIT: usize = 8192;
/// None of the places.
const NOWHERE: u32 = u32::MAX;

/// Places by how they are stepped to from others.
#[derive(Clone, Debug)]
struct Tree {
    /// Differs between trees, and between a tree and what it was before it began anew.
    id: u64,
    nodes: Vec<Node>,
    steps: HashTable<u32>,
}

#[derive(Clone, Debug)]
struct Node {
    /// Hash of the path.
    hash: u64,
    /// Hash of the innermost name.
    key_hash: u64,
    parent: u32,
    /// The place that was stepped to after this one, from its parent, the last time.
    next: u32,
    /// The place that was stepped to first from this one, the last time.
    first: u32,
    /// The innermost name.
    key: Box<str>,
    step: Step,
    /// How its name stands in bodies, up to the colon; where it is short and has no escapes.
    written: Written,
    /// The same with the comma and the quote before it: how it goes on after another.
    continued: Written,
}

/// A name as bodies write it, its quote and colon behind it: up to 16 bytes, with the bits that count.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    bytes: [u64; 2],
    mask: [u64; 2],
    len: Option<NonZeroU8>,
}

impl Written {
    fn of(lead: &str, name: &str) -> Written {
        let mut bytes = [0_u8; 16];
        let mut mask = [0_u8; 16];
        let all = lead.bytes().chain(name.bytes()).chain(*b"\":");
        for ((byte, bits), b) in bytes.iter_mut().zip(&mut mask).zip(all) {
            (*byte, *bits) = (b, 0xff);
        }
        let len = u8::try_from(lead.len() + name.len() + 2).ok().and_then(NonZeroU8::new);
        Written { bytes: words(&bytes), mask: words(&mask), len }
    }

    /// How much of `bytes` it is, where they begin with it; else 0.
    #[inline]
    fn passed(&self, name: &str, bytes: &[u8]) -> usize {
        let Some(len) = self.len.map(|len| usize::from(len.get())) else { return 0 };
        let begins = bytes.first_chunk::<16>().is_none_or(|first| self.begins(first));
        if begins && (len <= 16 && bytes.len() >= 16 || is_long_name(name, bytes)) { len } else { 0 }
    }

    /// As [`Written::passed`], of what is at most 16 bytes and not at the end of a body.
    #[inline]
    fn passed_short(&self, bytes: &[u8]) -> usize {
        let (Some(len), Some(first)) = (self.len, bytes.first_chunk::<16>()) else { return 0 };
        if self.begins(first) && len.get() <= 16 { usize::from(len.get()) } else { 0 }
    }

    #[inline]
    fn begins(&self, first: &[u8; 16]) -> bool {
        let [low, high] = words(first);
        (low ^ self.bytes[0]) & self.mask[0] | (high ^ self.bytes[1]) & self.mask[1] == 0
    }
}

#[inline(never)]
fn is_long_name(name: &str, bytes: &[u8]) -> bool {
    bytes.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"\":"))
}

#[inline]
fn words(bytes: &[u8; 16]) -> [u64; 2] {
    let all = u128::from_le_bytes(*bytes);
    [all as u64, (all >> 64) as u64]
}

/// How a place is written after its parent's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// The root of a notation.
    Root,
    /// `.name`
    Member,
    /// `.@name`
    Attribute,
    /// The name alone.
    Bare,
    /// `[*]`
    Elements,
}

impl Default for Path {
    fn default() -> Self {
        let mut path = Path { tree: Tree::new(), node: 0, depth: 0 };
        path.reset("$");
        path
    }
}

impl Tree {
    fn new() -> Self {
        Tree { id: fresh_id(), nodes: Vec::new(), steps: HashTable::new() }
    }

    fn begin_anew(&mut self) {
        self.id = fresh_id();
        self.nodes.clear();
        self.steps.clear();
    }

    #[inline]
    fn node(&self, at: u32) -> Option<&Node> {
        self.nodes.get(at as usize)
    }

    /// The place one step from `parent`; it is made where nobody has been there.
    fn child(&mut self, parent: u32, step: Step, name: &str) -> u32 {
        let above = self.node(parent);
        let name_hash = hash_str(name);
        let hash = match (above, step) {
            (None, _) | (_, Step::Root) => name_hash,
            (Some(above), Step::Elements) => self::step(above.hash, ELEMENTS),
            (Some(above), Step::Attribute) => self::step(above.hash, name_hash ^ 1),
            (Some(above), Step::Member | Step::Bare) => self::step(above.hash, name_hash),
        };
        let shown = shown_name(name);
        let same = |at: &u32| {
            self.node(*at).is_some_and(|n| {
                n.hash == hash
                    && n.parent == parent
                    && n.step == step
                    && (matches!(step, Step::Elements | Step::Root) || *n.key == *shown)
            })
        };
        if let Some(known) = self.steps.find(hash, same) {
            return *known;
        }
        let (key, key_hash) = match (above, step) {
            (Some(above), Step::Elements) => (above.key.clone(), above.key_hash),
            // A root has no name; its text is found by its hash.
            (_, Step::Root) => ("".into(), hash_str("")),
            _ if shown.len() == name.len() => (name.into(), name_hash),
            _ => (Box::from(&*shown), hash_str(&shown)),
        };
        let at = u32::try_from(self.nodes.len()).unwrap_or(NOWHERE);
        self.nodes.push(Node {
            hash,
            key_hash,
            parent,
            next: NOWHERE,
            first: NOWHERE,
            key,
            step,
            written: Written::default(),
            continued: Written::default(),
        });
        let nodes = &self.nodes;
        self.steps.insert_unique(hash, at, |at| nodes.get(*at as usize).map_or(0, |n| n.hash));
        at
    }

    /// Remembers that `to` came after `before`, or first where nothing came before.
    #[inline]
    fn follow(&mut self, parent: u32, before: u32, to: u32) {
        if before == parent {
            if let Some(node) = self.nodes.get_mut(parent as usize) {
                node.first = to;
            }
        } else if let Some(node) = self.nodes.get_mut(before as usize) {
            node.next = to;
        }
    }

    fn write(&self, at: u32, out: &mut String) {
        let mut line = [NOWHERE; 80];
        let (mut len, mut at) = (0, at);
        while let (Some(node), Some(slot)) = (self.node(at), line.get_mut(len)) {
            *slot = at;
            (at, len) = (node.parent, len + 1);
        }
        for at in line.get(..len).unwrap_or_default().iter().rev() {
            let Some(node) = self.node(*at) else { continue };
            match node.step {
                Step::Root => out.push_str(root_of(node.hash)),
                Step::Member => push_member(out, ".", &node.key),
                Step::Attribute => push_member(out, ".@", &node.key),
                Step::Bare => out.push_str(&node.key),
                Step::Elements => out.push_str("[*]"),
            }
        }
    }
}

fn fresh_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

const ROOTS: [&str; 2] = ["$", "query:"];

fn root_of(hash: u64) -> &'static str {
    ROOTS.into_iter().find(|root| hash_str(root) == hash).unwrap_or_default()
}

/// The name as paths show it.
fn shown_name(name: &str) -> std::borrow::Cow<'_, str> {
    if name.len() <= NAME_LIMIT {
        return name.into();
    }
    let mut end = NAME_LIMIT;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", name.get(..end).unwrap_or_default()).into()
}

impl Path {
    pub(super) fn reset(&mut self, root: &str) {
        if self.tree.nodes.len() > PLACE_LIMIT {
            self.tree.begin_anew();
        }
        self.node = self.tree.child(NOWHERE, Step::Root, root);
        self.depth = 0;
    }

    #[inline]
    pub(super) fn at(&self) -> Location<'_> {
        let (hash, key_hash, key) =
            self.tree.node(self.node).map_or((0, 0, ""), |n| (n.hash, n.key_hash, &*n.key));
        Location { path: self, hash, key, key_hash, depth: self.depth }
    }

    /// The number of the place, and the tree that it is of.
    #[inline]
    pub(super) fn place(&self) -> (u64, u32) {
        (self.tree.id, self.node)
    }

    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.tree.nodes.len()
    }

    pub(super) fn write(&self, out: &mut String) {
        self.tree.write(self.node, out);
    }

    #[inline]
    pub(super) fn mark(&self, array: bool) -> Frame {
        Frame { node: self.node, array, begun: false }
    }

    /// Goes back to where `frame` was marked; gives where it was before.
    #[inline]
    pub(super) fn back(&mut self, frame: &Frame) -> u32 {
        std::mem::replace(&mut self.node, frame.node)
    }

    /// Where the walk is, as [`Path::back`] gives it.
    #[inline]
    pub(super) fn here(&self) -> u32 {
        self.node
    }

    pub(super) fn depth(&mut self, depth: usize) {
        self.depth = u16::try_from(depth).unwrap_or(u16::MAX);
    }

    /// Steps to the elements of the array that it stands at.
    #[inline]
    pub(super) fn elements(&mut self) {
        let from = self.node;
        let first = self.tree.node(from).map_or(NOWHERE, |n| n.first);
        if self.tree.node(first).is_some_and(|n| n.step == Step::Elements) {
            self.node = first;
            return;
        }
        self.node = self.tree.child(from, Step::Elements, "");
        self.tree.follow(from, from, self.node);
    }

    /// Steps from a member to the one that came after it the last time, where `bytes` go on with that: `,"name":`. Gives the
    /// length of what it passed over, 0 where it did not step. Elements and roots have none that comes after.
    #[inline(always)]
    pub(super) fn next_member(&mut self, bytes: &[u8]) -> usize {
        let next = self.tree.node(self.node).map_or(NOWHERE, |n| n.next);
        let passed = self.tree.node(next).map_or(0, |n| n.continued.passed_short(bytes));
        if passed > 0 {
            self.node = next;
        }
        passed
    }

    /// Steps to the member whose name, closing quote and colon `bytes` begin with, where it is the one that came after
    /// `before` (or first) the last time. Gives the length of what it passed over, 0 where it did not step.
    #[inline]
    pub(super) fn guess(&mut self, before: u32, bytes: &[u8]) -> usize {
        let Some(last) = self.tree.node(before) else { return 0 };
        let guess = if before == self.node { last.first } else { last.next };
        let Some(node) = self.tree.node(guess) else { return 0 };
        let passed = node.written.passed(&node.key, bytes);
        if passed > 0 {
            self.node = guess;
        }
        passed
    }

    /// Steps to a member after `before`; `verbatim` where its name stands in the body without escapes.
    pub(super) fn member_next(&mut self, before: u32, name: &str, verbatim: bool) {
        let parent = self.node;
        self.node = self.tree.child(parent, Step::Member, name);
        if let Some(node) = self.tree.nodes.get_mut(self.node as usize)
            && verbatim
            && node.written.len.is_none()
            && name.len() <= NAME_LIMIT
        {
            node.written = Written::of("", name);
            node.continued = Written::of(",\"", name);
        }
        self.tree.follow(parent, before, self.node);
    }

    /// Steps to a member: `.name`, or `['name']` where the name needs it.
    pub(super) fn member(&mut self, name: &str) {
        self.node = self.tree.child(self.node, Step::Member, name);
    }

    /// Steps to an attribute: `.@name`.
    pub(super) fn attribute(&mut self, name: &str) {
        self.node = self.tree.child(self.node, Step::Attribute, name);
    }

    /// Steps to a name at the root of another notation (`query:name`).
    pub(super) fn bare(&mut self, name: &str) {
        self.node = self.tree.child(self.node, Step::Bare, name);
    }
}

/// What a visitor knows of places, by their number in the tree of the walk.
///
/// It forgets all when it is asked about another tree, which happens where a tree grew too large and began anew: what is
/// kept here may change the speed alone.
#[derive(Clone, Debug)]
pub struct Places<T> {
    tree: u64,
    known: Vec<Option<T>>,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Places { tree: 0, known: Vec::new() }
    }
}

impl<T> Places<T> {
    /// What is known of the place `at`; made by `make` the first time.
    #[inline]
    pub fn get_or_insert_with(&mut self, at: &Location<'_>, make: impl FnOnce() -> T) -> Option<&mut T> {
        let (tree, node) = at.path.place();
        let node = node as usize;
        if tree != self.tree || node >= self.known.len() {
            self.grow(tree, node);
        }
        let slot = self.known.get_mut(node)?;
        Some(slot.get_or_insert_with(make))
    }

    #[cold]
    fn grow(&mut self, tree: u64, node: usize) {
        if tree != self.tree {
            self.tree = tree;
            self.known.clear();
        }
        if node >= self.known.len() {
            self.known.resize_with((node + 1).next_power_of_two(), || None);
        }
    }
}

/// Appends `.name`, or `['name']` where the name needs it.
fn push_member(text: &mut String, mark: &str, name: &str) {
    if is_plain(name) {
        text.push_str(mark);
        text.push_str(name);
    } else {
        text.push_str("['");
        text.push_str(name);
        text.push_str("']");
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| PLAIN.get(usize::from(b)) == Some(&true))
}

/// Bytes of names that stand in paths as they are: letters, digits, `_ - : @ $` and whatever is not ASCII.
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 256 {
        let c = b as u8;
        table[b] = c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b':' | b'@' | b'$') || c >= 0x80;
        b += 1;
    }
    table
};

const ELEMENTS: u64 = 0x9ddf_ea08_eb38_2d69;

#[inline]
fn step(hash: u64, part: u64) -> u64 {
    fold(hash ^ 0xa076_1d64_78bd_642f, part ^ 0xe703_7ed1_a0b4_28db)
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

/// Hashes a name quickly and the same way in every run. Not collision-resistant against those who try.
#[inline]
pub fn hash_str(text: &str) -> u64 {
    hash_bytes(text.as_bytes())
}

/// As [`hash_str`], of bytes.
#[inline]
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hash = 0x2d35_8dcc_aa6c_78a5 ^ bytes.len() as u64;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = chunk.try_into().map_or(0, u64::from_le_bytes);
        hash = fold(hash ^ word, 0x8bb8_4b93_962e_acc9);
    }
    fold(hash ^ last_word(chunks.remainder()), 0x4b33_a62e_d433_d4a3)
}

/// Fewer than eight bytes as a word, the first lowest.
#[inline]
pub fn last_word(bytes: &[u8]) -> u64 {
    let (Some(low), Some(high)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) else {
        return bytes.iter().rev().fold(0, |word, b| (word << 8) | u64::from(*b));
    };
    // Both are of the same bytes but for the last ones, which the second has at its end.
    let shift = 8 * (8 - bytes.len().clamp(4, 8) as u32);
    let high = (u64::from(u32::from_le_bytes(*high)) << 32) >> shift;
    u64::from(u32::from_le_bytes(*low)) | high
}
