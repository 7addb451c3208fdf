//! Sets of names that are asked for every header field.

/// Known names, letter case aside. Most names that are none of them are told by their length and first byte, and only those of
/// the same length are compared.
#[derive(Debug)]
pub struct NameSet {
    names: &'static [&'static [u8]],
    starts: [u32; 64],
    /// Places in `names` by the length of what stands there.
    order: [u8; MOST],
    /// Where each length begins in `order`.
    lengths: [u8; 65],
}

/// Most names of a set.
const MOST: usize = 128;

impl NameSet {
    /// A set of at most 128 names of 1 to 63 bytes; it does not compile with others.
    pub const fn new(names: &'static [&'static [u8]]) -> Self {
        let (mut starts, mut order, mut lengths) = ([0; 64], [0; MOST], [0; 65]);
        let (mut len, mut placed) = (0, 0);
        while len < 64 {
            lengths[len] = placed as u8;
            let mut at = 0;
            while at < names.len() {
                if names[at].len() == len {
                    starts[len] |= bit(names[at][0]);
                    order[placed] = at as u8;
                    placed += 1;
                }
                at += 1;
            }
            len += 1;
        }
        lengths[64] = placed as u8;
        assert!(placed == names.len());
        NameSet { names, starts, order, lengths }
    }

    /// True where `name` is one of them.
    #[inline]
    pub fn has(&self, name: &[u8]) -> bool {
        let (Some(first), Some(starts)) = (name.first(), self.starts.get(name.len())) else { return false };
        starts & bit(*first) != 0 && self.stands(name)
    }

    fn stands(&self, name: &[u8]) -> bool {
        let place = |len: usize| self.lengths.get(len).map_or(0, |at| usize::from(*at));
        let alike = self.order.get(place(name.len())..place(name.len() + 1)).unwrap_or_default();
        alike.iter().filter_map(|at| self.names.get(usize::from(*at))).any(|known| {
            // Names of one length mostly end otherwise.
            let ends_alike = known.last().zip(name.last()).is_some_and(|(a, b)| (a ^ b) & 31 == 0);
            ends_alike && known.eq_ignore_ascii_case(name)
        })
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
