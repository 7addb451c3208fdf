//! Sets of names that are asked for every header field.

use crate::body::last_word;

/// Known names, letter case aside: lower-case letters, digits, `-`, `_` and `?`.
///
/// A name is looked up by its length and four of its bytes in a table that is made when the program is compiled, and mostly
/// compared with none of them or with the one that it is.
#[derive(Debug)]
pub struct NameSet {
    names: &'static [&'static [u8]],
    starts: [u32; 64],
    /// Places in `names`, from 1, by hash; what finds its slot taken stands in the next free one.
    slots: [u8; SLOTS],
}

/// Most names of a set.
const MOST: usize = 128;
const SLOTS: usize = 2 * MOST;

impl NameSet {
    /// A set of at most 128 names of 1 to 63 bytes; it does not compile with others.
    pub const fn new(names: &'static [&'static [u8]]) -> Self {
        assert!(names.len() <= MOST);
        let (mut starts, mut slots) = ([0; 64], [0; SLOTS]);
        let mut at = 0;
        while at < names.len() {
            let name = names[at];
            let mut byte = 0;
            while byte < name.len() {
                assert!(matches!(name[byte], b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'?'));
                byte += 1;
            }
            starts[name.len()] |= bit(name[0]);
            let mut slot = slot_of(name);
            while slots[slot] != 0 {
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] = at as u8 + 1;
            at += 1;
        }
        NameSet { names, starts, slots }
    }

    /// True where `name` is one of them.
    #[inline]
    pub fn has(&self, name: &[u8]) -> bool {
        let (Some(first), Some(starts)) = (name.first(), self.starts.get(name.len())) else { return false };
        starts & bit(*first) != 0 && self.stands(name)
    }

    fn stands(&self, name: &[u8]) -> bool {
        let mut slot = slot_of(name);
        // At least half of the slots are free.
        while let Some(at) = self.slots.get(slot).and_then(|at| usize::from(*at).checked_sub(1)) {
            if self.names.get(at).is_some_and(|known| is_alike(known, name)) {
                return true;
            }
            slot = (slot + 1) % SLOTS;
        }
        false
    }
}

/// A bit that both cases of a letter share.
const fn bit(first: u8) -> u32 {
    1 << (first & 31)
}

/// Where a name that is not empty belongs; both cases of a letter share the five bits that are asked for.
const fn slot_of(name: &[u8]) -> usize {
    let n = name.len();
    let bits = (name[0] & 31) as u32
        | ((name[n / 3] & 31) as u32) << 5
        | ((name[n / 2] & 31) as u32) << 10
        | ((name[n - 1] & 31) as u32) << 15
        | (n as u32 & 63) << 20;
    (bits.wrapping_mul(0x9e37_79b1) >> 24) as usize % SLOTS
}

/// True where `name` is the lower-case `known`, letter case aside: eight bytes at a time.
fn is_alike(known: &[u8], name: &[u8]) -> bool {
    let alike = |known: u64, name: u64| {
        // The case bit of letters, which alone of what stands in names have both bits above the lowest five.
        let case = known & (known >> 1) & (u64::MAX / 255 * 0x20);
        (known ^ name) & !case == 0
    };
    let ((knowns, known_end), (names, name_end)) = (known.as_chunks::<8>(), name.as_chunks::<8>());
    known.len() == name.len()
        && knowns.iter().zip(names).all(|(k, n)| alike(u64::from_le_bytes(*k), u64::from_le_bytes(*n)))
        && alike(last_word(known_end), last_word(name_end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_no_others() {
        static SET: NameSet =
            NameSet::new(&[b"x-api-key", b"x_api-key", b"_id", b"x", b"strict-transport-security"]);
        for known in ["x-api-key", "X-Api-Key", "X_API-KEY", "_ID", "x", "X", "Strict-Transport-Security"] {
            assert!(SET.has(known.as_bytes()), "{known}");
        }
        let long = "x".repeat(64);
        for other in [
            "",
            "x-api-kez",
            "?id",
            "8",
            "_i",
            "\u{7f}id",
            "x\ri-key",
            "x\rapi-key",
            "strict-transport-securitz",
            long.as_str(),
        ] {
            assert!(!SET.has(other.as_bytes()), "{other}");
        }
    }
}
