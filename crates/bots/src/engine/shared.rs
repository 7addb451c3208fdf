use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::indicators::{Asked, Pillar};

/// Texts held at most; what comes then is held by its row alone.
const MOST: usize = 1 << 16;

/// Of each pillar, how many indicators.
type Counts = [u16; Pillar::ALL.len()];

/// What rows of verdicts have in common, held once: members of a campaign are judged by the same indicators, in the same words.
#[derive(Debug, Default)]
pub(super) struct Shared {
    texts: HashSet<Arc<str>>,
    coverage: HashMap<(Counts, Counts), Arc<BTreeMap<String, String>>>,
}

impl Shared {
    /// The text, with whoever has it already.
    pub(super) fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        if self.texts.len() < MOST {
            self.texts.insert(new.clone());
        }
        new
    }

    /// By pillar: indicators that answered of those that could.
    pub(super) fn coverage(&mut self, asked: &Asked) -> Arc<BTreeMap<String, String>> {
        let key = (asked.answered, asked.could);
        if let Some(known) = self.coverage.get(&key) {
            return known.clone();
        }
        let answers = Pillar::ALL.iter().zip(asked.answered.iter().zip(asked.could));
        let new: Arc<BTreeMap<_, _>> =
            Arc::new(answers.map(|(p, (a, c))| (p.name().to_owned(), format!("{a} of {c}"))).collect());
        if self.coverage.len() < MOST {
            self.coverage.insert(key, new.clone());
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_is_held_once_and_their_number_is_bounded() {
        let mut shared = Shared::default();
        let (a, b) = (shared.text("seen"), shared.text("seen"));
        assert!(Arc::ptr_eq(&a, &b));
        for n in 0..MOST + 10 {
            assert_eq!(&*shared.text(&n.to_string()), n.to_string());
        }
        assert_eq!(shared.texts.len(), MOST);
    }
}
