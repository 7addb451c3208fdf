//! Sets of names that are asked for every header field.

use crate::body::last_word;

/// Known names, letter case aside: lower-case letters, digits, `-`, `_` and `?`.
///
/// A name is looked up by its length and its ends in a table that is made when the program is compiled, and mostly compared with
/// none of them or with the one that it is, by two words where it is not long.
#[derive(Debug)]
pub struct NameSet {
    names: &'static [&'static [u8]],
    starts: [u32; 64],
    /// Places in `known`, from 1, by hash; what finds its slot taken stands in the next free one.
    slots: [u8; SLOTS],
    known: [Ends; MOST],
}

/// The ends of a name, which of one of at most 16 bytes are all of it: its first and its last eight bytes, and the bits that do
/// not count for the case of letters.
#[derive(Clone, Copy, Debug)]
struct Ends {
    first: u64,
    last: u64,
    first_case: u64,
    last_case: u64,
}

/// Most names of a set.
const MOST: usize = 128;
const SLOTS: usize = 2 * MOST;
/// The bit that tells the cases of a letter apart, of each byte.
const CASE: u64 = u64::MAX / 255 * 0x20;

impl NameSet {
    /// A set of at most 128 names of 1 to 63 bytes; it does not compile with others.
    pub const fn new(names: &'static [&'static [u8]]) -> Self {
        assert!(names.len() <= MOST);
        let (mut starts, mut slots) = ([0; 64], [0; SLOTS]);
        let mut known = [Ends { first: 0, last: 0, first_case: 0, last_case: 0 }; MOST];
        let mut at = 0;
        while at < names.len() {
            let name = names[at];
            let mut byte = 0;
            while byte < name.len() {
                assert!(matches!(name[byte], b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'?'));
                byte += 1;
            }
            starts[name.len()] |= bit(name[0]);
            let (first, last) = known_ends(name);
            known[at] = Ends { first, last, first_case: case_of(first), last_case: case_of(last) };
            let mut slot = slot_of(first, last, name.len());
            while slots[slot] != 0 {
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] = at as u8 + 1;
            at += 1;
        }
        NameSet { names, starts, slots, known }
    }

    /// True where `name` is one of them.
    #[inline]
    pub fn has(&self, name: &[u8]) -> bool {
        let (Some(first), Some(starts)) = (name.first(), self.starts.get(name.len())) else { return false };
        starts & bit(*first) != 0 && self.stands(name)
    }

    fn stands(&self, name: &[u8]) -> bool {
        let (first, last) = ends(name);
        let mut slot = slot_of(first, last, name.len());
        // At least half of the slots are free.
        while let Some(at) = self.slots.get(slot).and_then(|at| usize::from(*at).checked_sub(1)) {
            if self.known.get(at).is_some_and(|known| {
                (known.first ^ first) & !known.first_case | (known.last ^ last) & !known.last_case == 0
            }) && self.names.get(at).is_some_and(|known| {
                known.len() == name.len() && (name.len() <= 16 || known.eq_ignore_ascii_case(name))
            }) {
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

/// The first and the last eight bytes of a name; of a shorter one all of it, and nothing.
#[inline]
fn ends(name: &[u8]) -> (u64, u64) {
    match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => (last_word(name), 0),
    }
}

/// As [`ends`], for when the program is compiled.
const fn known_ends(name: &[u8]) -> (u64, u64) {
    let (mut first, mut last, mut at) = (0, 0, 0);
    while at < 8 && at < name.len() {
        first |= (name[at] as u64) << (8 * at);
        if name.len() >= 8 {
            last |= (name[name.len() - 8 + at] as u64) << (8 * at);
        }
        at += 1;
    }
    (first, last)
}

/// The case bit of each letter, which alone of what stands in names have both bits above the lowest five.
const fn case_of(known: u64) -> u64 {
    known & (known >> 1) & CASE
}

/// Where a name that is not empty belongs, the same in both cases.
#[inline]
const fn slot_of(first: u64, last: u64, len: usize) -> usize {
    let bits = (first | CASE) ^ (last | CASE).rotate_left(29) ^ len as u64;
    (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_of_a_name_may_differ() {
        const NAMES: [&[u8]; 6] = [
            b"id",
            b"api-key",
            b"x-api_key",
            b"x-request-id-abc",
            b"x-forwarded-for-by",
            b"strict-transport-security",
        ];
        static SET: NameSet = NameSet::new(&NAMES);
        for name in NAMES {
            for at in 0..name.len() {
                for byte in 0..=255_u8 {
                    let mut asked = name.to_vec();
                    asked[at] = byte;
                    let known = NAMES.iter().any(|n| n.eq_ignore_ascii_case(&asked));
                    assert_eq!(SET.has(&asked), known, "{}", String::from_utf8_lossy(&asked));
                }
            }
        }
    }

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
