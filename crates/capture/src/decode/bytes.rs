/// Big-endian numbers at an offset of a slice, where they lie inside it.
pub(super) trait Bytes {
    fn u8(&self, at: usize) -> Option<u8>;
    fn u16(&self, at: usize) -> Option<u16>;
    fn u32(&self, at: usize) -> Option<u32>;
}

impl Bytes for [u8] {
    #[inline]
    fn u8(&self, at: usize) -> Option<u8> {
        self.get(at).copied()
    }

    #[inline]
    fn u16(&self, at: usize) -> Option<u16> {
        self.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
    }

    #[inline]
    fn u32(&self, at: usize) -> Option<u32> {
        self.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
    }
}
