//! What is known of an address: nearly always one client, so room is for one.

use super::sketch::Distinct;

/// What is known of an address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Address {
    pub(crate) units: Keys,
    pub(crate) agents: Distinct,
    /// It was seen to name others as those who act: nobody is known by it.
    pub(crate) proxy: bool,
}

/// Keys of clients; without a place of their own while there is one.
#[derive(Clone, Debug, Default)]
pub(crate) enum Keys {
    #[default]
    None,
    One(u64),
    #[expect(
        clippy::box_collection,
        reason = "few addresses have several, and every one would be wider for it"
    )]
    Many(Box<Vec<u64>>),
}

impl Keys {
    pub(crate) fn as_slice(&self) -> &[u64] {
        match self {
            Keys::None => &[],
            Keys::One(key) => std::slice::from_ref(key),
            Keys::Many(keys) => keys,
        }
    }

    pub(crate) fn push(&mut self, key: u64) {
        match self {
            Keys::One(first) => *self = Keys::Many(Box::new(vec![*first, key])),
            Keys::None => *self = Keys::One(key),
            Keys::Many(keys) => keys.push(key),
        }
    }

    /// Keeps those of which `keep` is true.
    pub(crate) fn retain(&mut self, keep: impl Fn(&u64) -> bool) {
        match self {
            Keys::One(key) if !keep(key) => *self = Keys::None,
            Keys::None | Keys::One(_) => {}
            Keys::Many(keys) => keys.retain(keep),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_addresses_need_little_room() {
        assert!(size_of::<Address>() <= 40, "{}", size_of::<Address>());
        let mut keys = Keys::default();
        assert!(keys.as_slice().is_empty());
        for (key, all) in [(7, &[7][..]), (9, &[7, 9]), (8, &[7, 9, 8])] {
            keys.push(key);
            assert_eq!(keys.as_slice(), all);
        }
        keys.retain(|k| *k != 7);
        assert_eq!(keys.as_slice(), [9, 8]);
        keys = Keys::One(4);
        keys.retain(|_| false);
        assert!(keys.as_slice().is_empty());
    }
}
