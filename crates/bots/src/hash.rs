//! Unkeyed hashes that are the same in every run and version: FNV-1a with a final mix. Not for secrets.

/// A hash being built.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix(u64);

impl Default for Mix {
    fn default() -> Self {
        Mix::new()
    }
}

impl Mix {
    pub(crate) const fn new() -> Self {
        Mix(0xcbf2_9ce4_8422_2325)
    }

    #[inline]
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.byte(*b);
        }
        self.byte(0xff);
    }

    #[inline]
    pub(crate) const fn byte(&mut self, b: u8) {
        self.0 = (self.0 ^ b as u64).wrapping_mul(0x0100_0000_01b3);
    }

    #[inline]
    pub(crate) const fn word(&mut self, w: u64) {
        self.0 = (self.0 ^ w).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 29;
    }

    /// Bytes, eight at a time, with their number.
    #[inline]
    pub(crate) fn text(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let last = rest.iter().rev().fold(0, |w, b| w << 8 | u64::from(*b));
        self.word(last ^ (bytes.len() as u64) << 56);
    }

    pub(crate) const fn finish(self) -> u64 {
        let mut x = self.0;
        x ^= x >> 33;
        x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
        x ^= x >> 33;
        x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        x ^ (x >> 33)
    }
}

/// Hash of one byte string.
pub(crate) fn of(bytes: &[u8]) -> u64 {
    let mut m = Mix::new();
    m.bytes(bytes);
    m.finish()
}

/// Hash of words.
pub(crate) fn words(words: &[u64]) -> u64 {
    let mut m = Mix::new();
    words.iter().for_each(|w| m.word(*w));
    m.finish()
}

/// Hash of one byte string for tables in memory, many bytes at a time; its values may differ between versions.
#[inline]
pub(crate) fn quick(bytes: &[u8]) -> u64 {
    let fold = |a: u64, b: u64| {
        let product = u128::from(a ^ 0x9e37_79b9_7f4a_7c15) * u128::from(b ^ 0xe703_7ed1_a0b4_28db);
        (product as u64) ^ (product >> 64) as u64
    };
    let word = |half: &[u8]| half.iter().rev().fold(0, |w, b| w << 8 | u64::from(*b));
    let (pairs, rest) = bytes.as_chunks::<16>();
    let mut h = bytes.len() as u64;
    for pair in pairs {
        let whole = u128::from_le_bytes(*pair);
        h = fold(whole as u64 ^ h, (whole >> 64) as u64);
    }
    let (low, high) = rest.split_at(rest.len().min(8));
    fold(word(low) ^ h, word(high))
}
