/// No slot.
pub(super) const NIL: u32 = u32::MAX;

/// The two neighbours of a slot in its list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    pub(super) newer: u32,
    pub(super) older: u32,
}

/// A doubly linked list over slots of a slab, newest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) newest: u32,
    pub(super) oldest: u32,
    pub(super) len: usize,
}

impl Default for List {
    fn default() -> Self {
        List { newest: NIL, oldest: NIL, len: 0 }
    }
}
