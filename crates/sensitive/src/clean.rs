use sidetap_wire::body::hash_bytes;

/// Values in which nothing was found under their name: header fields and path segments come again and again.
///
/// Both are kept whole, so that none is taken for another; what stands here changes the speed alone.
#[derive(Debug)]
pub(crate) struct Clean {
    slots: Vec<Slot>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    name: usize,
    /// The name, and the value right behind it.
    bytes: Vec<u8>,
}

impl Default for Clean {
    fn default() -> Self {
        Clean { slots: vec![Slot::default(); Clean::SLOTS] }
    }
}

impl Clean {
    const SLOTS: usize = 512;
    const LONGEST: usize = 512;

    pub(crate) fn knows(&self, name: &[u8], value: &[u8]) -> bool {
        self.slots.get(place(name, value)).is_some_and(|slot| {
            slot.name == name.len()
                && slot.bytes.len() == name.len() + value.len()
                && slot.bytes.starts_with(name)
                && slot.bytes.ends_with(value)
        })
    }

    pub(crate) fn learn(&mut self, name: &[u8], value: &[u8]) {
        if name.len() + value.len() > Self::LONGEST {
            return;
        }
        if let Some(slot) = self.slots.get_mut(place(name, value)) {
            slot.name = name.len();
            slot.bytes.clear();
            slot.bytes.extend_from_slice(name);
            slot.bytes.extend_from_slice(value);
        }
    }
}

fn place(name: &[u8], value: &[u8]) -> usize {
    let hash = hash_bytes(name).rotate_left(23) ^ hash_bytes(value);
    (hash >> 7) as usize % Clean::SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_known_under_its_name_alone() {
        let mut clean = Clean::default();
        clean.learn(b"x-shop", b"berlin");
        assert!(clean.knows(b"x-shop", b"berlin"));
        for (name, value) in
            [("x-shopb", "erlin"), ("x-shop", "berlim"), ("", "x-shopberlin"), ("x-shop", "")]
        {
            assert!(!clean.knows(name.as_bytes(), value.as_bytes()), "{name} {value}");
        }
        clean.learn(b"long", &[b'x'; 600]);
        assert!(!clean.knows(b"long", &[b'x'; 600]));
    }
}
