//! Sets of names that are asked for every header field.

/// Known names, letter case aside. Most names that are none of them are told by their length and first byte.
#[derive(Debug)]
pub struct NameSet {
    names: &'static [&'static [u8]],
    starts: [u32; 64],
}

impl NameSet {
    /// A set of names of 1 to 63 bytes; it does not compile with others.
    pub const fn new(names: &'static [&'static [u8]]) -> Self {
        let mut starts = [0; 64];
        let mut at = 0;
        while at < names.len() {
            starts[names[at].len()] |= bit(names[at][0]);
            at += 1;
        }
        NameSet { names, starts }
    }

    /// True where `name` is one of them.
    #[inline]
    pub fn has(&self, name: &[u8]) -> bool {
        let (Some(first), Some(starts)) = (name.first(), self.starts.get(name.len())) else { return false };
        starts & bit(*first) != 0 && self.names.iter().any(|n| n.eq_ignore_ascii_case(name))
    }
}

/// A bit that both cases of a letter share.
const fn bit(first: u8) -> u32 {
    1 << (first & 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_no_others() {
        static SET: NameSet = NameSet::new(&[b"x-api-key", b"_id", b"X"]);
        for known in ["x-api-key", "X-Api-Key", "_ID", "x"] {
            assert!(SET.has(known.as_bytes()), "{known}");
        }
        let long = "x".repeat(64);
        for other in ["", "x-api-kez", "?id", "8", "_i", long.as_str()] {
            assert!(!SET.has(other.as_bytes()), "{other}");
        }
    }
}
