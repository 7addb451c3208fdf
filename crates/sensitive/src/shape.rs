/// What a candidate must look like: groups of digits with what stands between them, or characters by class.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    /// Lengths of the groups of digits.
    groups: Vec<u8>,
    /// Between them: a byte, or `~` for a space or a dash.
    separators: Vec<u8>,
    /// Only what a name says is read so: written `!` behind it.
    pub(crate) named_only: bool,
}

impl Shape {
    /// Reads `16`, `4~4~4~4`, `3.3.3-2`, `19!`.
    pub(crate) fn parse(text: &str) -> Option<Shape> {
        let named_only = text.ends_with('!');
        let text = text.trim_end_matches('!');
        let (mut groups, mut separators) = (Vec::new(), Vec::new());
        for part in text.split_inclusive(|c: char| !c.is_ascii_digit()) {
            let digits = part.trim_end_matches(|c: char| !c.is_ascii_digit());
            groups.push(digits.parse().ok().filter(|n| *n > 0)?);
            separators.extend(part.bytes().skip(digits.len()));
        }
        (separators.len() + 1 == groups.len()).then_some(Shape { groups, separators, named_only })
    }

    pub(crate) fn digits(&self) -> usize {
        self.groups.iter().map(|n| usize::from(*n)).sum()
    }

    /// True where it has separators: a number written so was written for people.
    pub(crate) fn is_formatted(&self) -> bool {
        !self.separators.is_empty()
    }

    /// True where it is two groups with a dot between them.
    pub(crate) fn fits_fraction(&self) -> bool {
        self.separators == b"."
    }

    pub(crate) fn fits(&self, groups: &[u8], separators: &[u8]) -> bool {
        self.groups == groups
            && self.separators.iter().zip(separators).all(|(want, got)| match want {
                b'~' => matches!(got, b' ' | b'-'),
                want => want == got,
            })
            && (!self.separators.contains(&b'~') || separators.windows(2).all(|w| w.first() == w.get(1)))
    }
}

/// True where `token` is of the classes of `shape`: `A` upper case, `9` digit, `N` upper case or digit, `h` hexadecimal,
/// `x` letter or digit; any other character is itself.
pub(crate) fn token_fits(shape: &str, token: &[u8]) -> bool {
    shape.len() == token.len()
        && shape.bytes().zip(token).all(|(class, b)| match class {
            b'A' => b.is_ascii_uppercase(),
            b'9' => b.is_ascii_digit(),
            b'N' => b.is_ascii_uppercase() || b.is_ascii_digit(),
            b'h' => b.is_ascii_hexdigit(),
            b'x' => b.is_ascii_alphanumeric(),
            literal => *b == literal,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_fit_groups_and_separators() {
        let card = Shape::parse("4~4~4~4").unwrap();
        assert_eq!((card.digits(), card.is_formatted()), (16, true));
        assert!(
            card.fits(&[4, 4, 4, 4], b"   ")
                && card.fits(&[4, 4, 4, 4], b"---")
                && !card.fits(&[4, 4, 4, 4], b"- -")
        );
        let cpf = Shape::parse("3.3.3-2").unwrap();
        assert!(cpf.fits(&[3, 3, 3, 2], b"..-") && !cpf.fits(&[3, 3, 3, 2], b"---"));
        assert!(
            Shape::parse("x").is_none()
                && Shape::parse("3-").is_none()
                && !Shape::parse("9").unwrap().is_formatted()
        );
        assert!(token_fits("AA999999A", b"PR656191D") && !token_fits("AA999999A", b"PR6561912"));
    }
}
