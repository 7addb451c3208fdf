use super::Location;

/// The path to where a walk is, as text and as a running hash.
#[derive(Clone, Debug, Default)]
pub(super) struct Path {
    text: String,
    hash: u64,
    key: (usize, usize),
    key_hash: u64,
    depth: u16,
}

/// A place in a [`Path`] to come back to; of a container that is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    len: usize,
    hash: u64,
    key: (usize, usize),
    key_hash: u64,
    pub(super) array: bool,
    pub(super) begun: bool,
}

/// Names longer than this are cut in paths.
const NAME_LIMIT: usize = 128;

impl Path {
    pub(super) fn reset(&mut self, root: &str) {
        self.text.clear();
        self.text.push_str(root);
        self.hash = hash_str(root);
        self.key = (root.len(), root.len());
        self.key_hash = hash_str("");
        self.depth = 0;
    }

    #[inline]
    pub(super) fn at(&self) -> Location<'_> {
        let key = self.text.get(self.key.0..self.key.1).unwrap_or_default();
        let (hash, key_hash, depth) = (self.hash, self.key_hash, self.depth);
        Location { outer: &self.text, leaf: "", hash, key, key_hash, depth }
    }

    /// Where the walk is after [`Path::leaf`] with this name, or with an empty one where there was none.
    #[inline]
    pub(super) fn at_leaf<'p>(&'p self, leaf: &'p str) -> Location<'p> {
        let at = self.at();
        if leaf.is_empty() { at } else { Location { leaf, key: leaf, ..at } }
    }

    #[inline]
    pub(super) fn mark(&self, array: bool) -> Frame {
        Frame {
            len: self.text.len(),
            hash: self.hash,
            key: self.key,
            key_hash: self.key_hash,
            array,
            begun: false,
        }
    }

    /// Goes back to where `frame` was marked.
    #[inline]
    pub(super) fn back(&mut self, frame: &Frame) {
        self.text.truncate(frame.len);
        self.hash = frame.hash;
        self.key = frame.key;
        self.key_hash = frame.key_hash;
    }

    pub(super) fn depth(&mut self, depth: usize) {
        self.depth = u16::try_from(depth).unwrap_or(u16::MAX);
    }

    /// Steps to the elements of the array that it stands at.
    pub(super) fn elements(&mut self) {
        self.text.push_str("[*]");
        self.hash = step(self.hash, ELEMENTS);
    }

    /// Steps to a member: `.name`, or `['name']` where the name needs it.
    #[inline]
    pub(super) fn member(&mut self, name: &str) {
        self.member_after(".", name);
    }

    /// Steps to a member without writing its name: most values come and go without anybody asking for their path. False
    /// where the name must be written.
    #[inline]
    pub(super) fn leaf(&mut self, name: &str) -> bool {
        if name.is_empty() || name.len() > NAME_LIMIT {
            return false;
        }
        self.key_hash = hash_str(name);
        self.hash = step(self.hash, self.key_hash);
        true
    }

    /// Writes the name of the last [`Path::leaf`].
    #[inline]
    pub(super) fn write_leaf(&mut self, name: &str) {
        let brackets = push_member(&mut self.text, ".", name);
        let end = self.text.len() - if brackets { 2 } else { 0 };
        self.key = (end - name.len(), end);
    }

    /// Steps to a name at the root of another notation (`query:name`).
    #[inline]
    pub(super) fn bare(&mut self, name: &str) {
        self.hash = step(self.hash, hash_str(name));
        self.name(name);
    }

    #[inline]
    pub(super) fn member_after(&mut self, mark: &str, name: &str) {
        self.hash = step(self.hash, hash_str(name) ^ u64::from(mark.len() as u32 - 1));
        if is_plain(name) {
            self.text.push_str(mark);
            self.name(name);
        } else {
            self.text.push_str("['");
            self.name(name);
            self.text.push_str("']");
        }
    }

    #[inline]
    fn name(&mut self, name: &str) {
        let start = self.text.len();
        if name.len() <= NAME_LIMIT {
            self.text.push_str(name);
        } else {
            let mut end = NAME_LIMIT;
            while !name.is_char_boundary(end) {
                end -= 1;
            }
            self.text.push_str(name.get(..end).unwrap_or_default());
            self.text.push('…');
        }
        self.key = (start, self.text.len());
        self.key_hash = hash_str(self.text.get(start..).unwrap_or_default());
    }
}

/// Appends `.name`, or `['name']` where the name needs it, and says whether it did.
pub(super) fn push_member(text: &mut String, mark: &str, name: &str) -> bool {
    if is_plain(name) {
        text.push_str(mark);
        text.push_str(name);
        return false;
    }
    text.push_str("['");
    text.push_str(name);
    text.push_str("']");
    true
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
    let rest = chunks.remainder();
    let word = rest.iter().rev().fold(0, |w, b| (w << 8) | u64::from(*b));
    fold(hash ^ word, 0x4b33_a62e_d433_d4a3)
}
