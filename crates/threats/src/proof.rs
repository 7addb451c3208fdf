use std::ops::Range;

use sidetap_wire::body::Location;

use crate::class::Class;

/// Bytes that are kept on either side of what proves.
const AROUND: usize = 512;

/// A part of an answer that proves an attempt, as it was sent, with what stands around it.
#[derive(Clone, PartialEq, Eq)]
pub struct Proof {
    /// Where in the body it stands: `$`, `$.error`.
    pub location: String,
    /// The name of the field there.
    pub name: String,
    /// It and what stands around it, no word cut in two. Where a word has no end nearby nothing stands on that side, and where what stands
    /// around it is what was taken, on neither.
    pub text: String,
    /// Where in that it stands.
    pub part: Range<usize>,
    /// Whether something stands before and behind that.
    pub cut: (bool, bool),
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proof").field("location", &self.location).finish_non_exhaustive()
    }
}

impl Proof {
    pub(crate) fn of(class: Class, at: &Location<'_>, text: &str, part: Range<usize>) -> Self {
        let (start, end) = match class.takes() {
            true => (part.start, part.end),
            false => (before(text, part.start), behind(text, part.end)),
        };
        Proof {
            location: at.path(),
            name: at.key.to_owned(),
            text: text.get(start..end).unwrap_or_default().to_owned(),
            part: part.start - start..part.end - start,
            cut: (start > 0, end < text.len()),
        }
    }

    /// What proves.
    pub fn part(&self) -> &str {
        self.text.get(self.part.clone()).unwrap_or_default()
    }

    /// Bytes that it holds besides its own size.
    pub fn heap_bytes(&self) -> usize {
        self.location.len() + self.name.len() + self.text.len()
    }
}

/// Where the words begin that stand before a place.
fn before(text: &str, at: usize) -> usize {
    let Some(mut from) = at.checked_sub(AROUND).filter(|from| *from > 0) else { return 0 };
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let first = text.get(from..at).and_then(|t| t.find(char::is_whitespace));
    first.map_or(at, |space| from + space)
}

/// Where the words end that stand behind a place.
fn behind(text: &str, at: usize) -> usize {
    let mut to = at.saturating_add(AROUND);
    if to >= text.len() {
        return text.len();
    }
    while !text.is_char_boundary(to) {
        to -= 1;
    }
    let last = text.get(at..to).and_then(|t| t.rfind(char::is_whitespace));
    last.map_or(at, |space| at + space)
}

#[cfg(test)]
mod tests {
    use sidetap_wire::body::{Kind, Scalar, Visitor, WalkScratch, walk};

    use super::*;

    /// The proof of a class in a text.
    struct Prover<'a>(Class, &'a str, Option<Proof>);

    impl Visitor for Prover<'_> {
        fn scalar(&mut self, at: &Location<'_>, value: Scalar<'_>, _: Range<usize>) {
            let Scalar::Str(text) = value else { return };
            let start = text.find(self.1).unwrap();
            self.2 = Some(Proof::of(self.0, at, text, start..start + self.1.len()));
        }
    }

    fn proof(class: Class, text: &str) -> Proof {
        let mut prover = Prover(class, "ORA-01756", None);
        walk(
            Kind::Text,
            None,
            text.as_bytes(),
            &Default::default(),
            &mut WalkScratch::default(),
            &mut prover,
        );
        prover.2.unwrap()
    }

    #[test]
    fn no_word_is_cut_in_two() {
        let at = |text: &str| proof(Class::Sqli, text);
        let whole = at("an ORA-01756 here");
        assert_eq!(
            (whole.location.as_str(), whole.text.as_str(), whole.part(), whole.cut),
            ("$", "an ORA-01756 here", "ORA-01756", (false, false))
        );
        for long in ["4111111111111111".repeat(99), "é".repeat(999)] {
            let bare = at(&format!("{long}ORA-01756{long}"));
            assert_eq!((bare.text.as_str(), bare.part(), bare.cut), ("ORA-01756", "ORA-01756", (true, true)));
            let some = at(&format!("{long} an ORA-01756 here {long}"));
            assert_eq!((some.text.trim(), some.part()), ("an ORA-01756 here", "ORA-01756"));
        }
    }

    #[test]
    fn what_was_taken_is_not_kept() {
        let of = proof(Class::SensitiveFile, "secret ORA-01756 secret");
        assert_eq!((of.text.as_str(), of.part(), of.cut), ("ORA-01756", "ORA-01756", (true, true)));
    }
}
