use std::ops::Range;

use crate::normal::normal;

/// Bytes that are kept on either side of what proves.
const AROUND: usize = 512;
/// Bytes that are kept of what proves.
pub(crate) const PART: usize = 1_024;

/// A part of a request that is an attempt, or of an answer that proves one, with what stands around it: of a request as rules read it, its
/// coats taken off, of an answer as it was sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Proof {
    /// Where it stands: `$`, `$.error`, `query:q`, `header:x-api-version`, `path`, `name`, `body`.
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

/// What is kept of what stands around a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Around {
    /// The words before and behind it.
    Words,
    /// The rest of the tag that it begins.
    Tag,
    Nothing,
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proof").field("location", &self.location).finish_non_exhaustive()
    }
}

impl Proof {
    pub(crate) fn of(
        (location, name): (String, String),
        text: &str,
        part: Range<usize>,
        around: Around,
    ) -> Self {
        let kept = beginning(text, &part);
        let (start, end) = match around {
            Around::Nothing => (kept.start, kept.end),
            // Of a part that is not kept whole its rest stands behind.
            Around::Words if kept != part => (before(text, kept.start), kept.end),
            Around::Words => (before(text, kept.start), behind(text, kept.end)),
            Around::Tag => (kept.start, if kept == part { end_of_tag(text, kept.end) } else { kept.end }),
        };
        Proof {
            location,
            name,
            text: text.get(start..end).unwrap_or_default().to_owned(),
            part: kept.start - start..kept.end - start,
            cut: (start > 0, end < text.len()),
        }
    }

    /// What proves.
    pub fn part(&self) -> &str {
        self.text.get(self.part.clone()).unwrap_or_default()
    }

    /// Whether it is seen in what is shown, whatever coats it has there.
    pub fn is_in(&self, shown: &str) -> bool {
        shown.contains(self.part()) || normal(shown).contains(self.part())
    }

    /// Bytes that it holds besides its own size.
    pub fn heap_bytes(&self) -> usize {
        self.location.len() + self.name.len() + self.text.len()
    }
}

/// As much of a part as is kept, no word of it cut in two.
fn beginning(text: &str, part: &Range<usize>) -> Range<usize> {
    if part.len() <= PART {
        return part.clone();
    }
    let mut to = part.start + PART;
    while !text.is_char_boundary(to) {
        to -= 1;
    }
    let head = text.get(part.start..to).unwrap_or_default();
    let is_end = |c: char| !(c.is_alphanumeric() || matches!(c, '@' | '.' | '_' | '-' | '+' | '%'));
    let space = head.rfind(char::is_whitespace).filter(|at| *at > PART / 2);
    part.start..part.start + space.or_else(|| head.rfind(is_end)).unwrap_or(0)
}

/// Where a tag ends in which a place stands.
fn end_of_tag(text: &str, at: usize) -> usize {
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    let near = rest.get(..rest.len().min(AROUND)).unwrap_or_default();
    memchr::memchr(b'>', near).map_or(at, |end| at + end + 1)
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
    use sidetap_wire::body::{Kind, Location, Scalar, Visitor, WalkScratch, walk};

    use super::*;
    use crate::class::Class;

    /// The proof of a class in a text.
    struct Prover<'a>(Class, &'a str, Option<Proof>);

    impl Visitor for Prover<'_> {
        fn scalar(&mut self, at: &Location<'_>, value: Scalar<'_>, _: Range<usize>) {
            let Scalar::Str(text) = value else { return };
            let start = text.find(self.1).unwrap();
            let around = if self.0.takes() { Around::Nothing } else { Around::Words };
            let place = (at.path(), at.key.to_owned());
            self.2 = Some(Proof::of(place, text, start..start + self.1.len(), around));
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

    #[test]
    fn a_part_without_end_is_kept_to_a_words_end() {
        let of = |text: &str, part: Range<usize>| {
            Proof::of(("$".to_owned(), String::new()), text, part, Around::Words)
        };
        let words = format!("so {}", "union select 4111111111111111 ".repeat(500));
        let long = of(&words, 3..words.len());
        assert!((PART / 2..=PART).contains(&long.part().len()), "{}", long.part().len());
        assert!(words.starts_with(&format!("so {} ", long.part())) && long.text.ends_with(long.part()));
        assert_eq!(long.cut, (false, true));
        assert!(long.heap_bytes() <= PART + 2 * AROUND);
        let one = format!("<x y=(/{}", "太".repeat(9_999));
        assert_eq!(of(&one, 0..one.len()).part(), "<x y=(");
        let none = "jo@b.example".repeat(999);
        assert_eq!((of(&none, 0..none.len()).part(), of(&none, 0..12).part()), ("", "jo@b.example"));
    }

    #[test]
    fn of_a_document_the_rest_of_the_tag_is_kept_and_no_more() {
        let text = "<!ENTITY x SYSTEM \"file:///etc/passwd\"><password>hunter2</password>";
        let of = |text: &str| Proof::of(("body".into(), String::new()), text, 0..19, Around::Tag).text;
        assert_eq!(of(text), "<!ENTITY x SYSTEM \"file:///etc/passwd\">");
        assert_eq!(of(&text.replace('>', " ")), text[..19]);
    }
}
