//! Looks for many words in one pass over a short text.

/// Words of two letters and more, at most 64 for each of its `BLOCKS`. Nearly all places of a text are passed over by the two bytes that stand there.
#[derive(Debug)]
pub(crate) struct Finder<const BLOCKS: usize = 4> {
    words: &'static [&'static str],
    /// By the low five bits of a byte: which words begin with it.
    first: [[u64; BLOCKS]; 32],
    /// By the low five bits of a byte: those of the bytes that follow it where a word begins.
    pairs: [u32; 32],
}

impl<const BLOCKS: usize> Finder<BLOCKS> {
    /// Words in lower case; it does not compile with others than the above.
    pub(crate) const fn new(words: &'static [&'static str]) -> Self {
        let mut first = [[0; BLOCKS]; 32];
        let mut pairs = [0; 32];
        let mut at = 0;
        while at < words.len() {
            let word = words[at].as_bytes();
            let begin = (word[0] & 31) as usize;
            first[begin][at / 64] |= 1 << (at % 64);
            pairs[begin] |= 1 << (word[1] & 31);
            at += 1;
        }
        Finder { words, first, pairs }
    }

    /// Calls `hit` with the position in the list of each word that stands in `text`, at each place where it does; letter
    /// case of ASCII aside.
    #[inline]
    pub(crate) fn each(&self, text: &[u8], mut hit: impl FnMut(usize)) {
        self.each_at(text, |_, n| hit(n));
    }

    /// Like [`each`](Finder::each), with the place where the word begins.
    #[inline]
    pub(crate) fn each_at(&self, text: &[u8], mut hit: impl FnMut(usize, usize)) {
        for (at, pair) in text.windows(2).enumerate() {
            let [a, b] = *pair else { return };
            let begin = usize::from(a & 31);
            if self.pairs.get(begin).is_some_and(|p| p >> (b & 31) & 1 == 1) {
                self.at(begin, text.get(at..).unwrap_or_default(), &mut |n| hit(at, n));
            }
        }
    }

    fn at(&self, begin: usize, text: &[u8], hit: &mut impl FnMut(usize)) {
        let Some(first) = self.first.get(begin) else { return };
        for (block, words) in first.iter().enumerate() {
            let mut left = *words;
            while left != 0 {
                let n = block * 64 + left.trailing_zeros() as usize;
                left &= left - 1;
                let word = self.words.get(n).map_or(&[][..], |w| w.as_bytes());
                if text.get(..word.len()).is_some_and(|t| t.eq_ignore_ascii_case(word)) {
                    hit(n);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_wherever_they_stand() {
        static WORDS: Finder = Finder::new(&["ab", "abc", "bca", "über", "z9"]);
        let found = |text: &str| {
            let mut all = Vec::new();
            WORDS.each(text.as_bytes(), |n| all.push(n));
            all
        };
        assert_eq!(found("xABCa z9"), [0, 1, 2, 4]);
        assert_eq!(found("darüber"), [3]);
        assert_eq!(found("a"), [] as [usize; 0]);
        assert_eq!(found("abab"), [0, 0]);
        assert_eq!(found("A\u{1}"), [] as [usize; 0]);
    }
}
