//! What is remembered of the places of bodies, from one body to the next.

use sidetap_wire::body::{Location, hash_str, last_word};
use sidetap_wire::names::NameSet;

use crate::names;
use crate::observe::shape_bit;

/// Innermost names of the fields that say what is spoken.
static SPEECH: NameSet = NameSet::new(&[
    b"jsonrpc",
    b"method",
    b"methodname",
    b"name",
    b"operationname",
    b"sha256hash",
    b"documentid",
    b"query",
    b"model",
    b"role",
    b"prompt",
    b"input",
]);

/// Where the field of a place stands among those of a body, and how its path is shown.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) generation: u32,
    pub(crate) index: u16,
    pub(crate) shown: Option<Box<Shown>>,
}

/// The path of a place as outputs show it.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) path: String,
    pub(crate) hash: u64,
    /// Bytes of the path before names that are values were replaced.
    pub(crate) written: usize,
    /// Names were replaced.
    pub(crate) public: bool,
}

impl Shown {
    /// Longer ones are not remembered.
    pub(crate) const LONGEST: usize = 256;

    pub(crate) fn of(at: &Location<'_>) -> Self {
        let path = at.path();
        let written = path.len();
        match names::public_path(&path) {
            Some(public) => Shown { hash: hash_str(&public), path: public, written, public: true },
            None => Shown { path, hash: at.hash, written, public: false },
        }
    }
}

/// The shapes of short values: words, states and units come again and again.
///
/// Values are kept whole, so that none is taken for another; what stands here changes the speed alone.
#[derive(Debug)]
pub(crate) struct Shapes(Vec<Known>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Known {
    /// The first and the last eight bytes, which of at most sixteen are all.
    ends: [u64; 2],
    len: usize,
    bit: u32,
}

impl Default for Shapes {
    fn default() -> Self {
        Shapes(vec![Known::default(); Shapes::SLOTS])
    }
}

impl Shapes {
    const SLOTS: usize = 512;

    /// As [`shape_bit`].
    pub(crate) fn bit(&mut self, value: &str) -> u32 {
        let bytes = value.as_bytes();
        let ends = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (Some(first), Some(last)) => [u64::from_le_bytes(*first), u64::from_le_bytes(*last)],
            _ => [last_word(bytes), 0],
        };
        let slot = (ends[0] ^ ends[1].rotate_left(29) ^ value.len() as u64)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            >> 32;
        let Some(known) =
            self.0.get_mut(slot as usize % Self::SLOTS).filter(|_| (1..=16).contains(&bytes.len()))
        else {
            return shape_bit(value);
        };
        if (known.ends, known.len) != (ends, value.len()) {
            *known = Known { ends, len: value.len(), bit: shape_bit(value) };
        }
        known.bit
    }
}

/// What the name of a place says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meaning {
    /// Resources are named here.
    pub(crate) names: bool,
    /// It is in no array.
    pub(crate) single: bool,
    /// What is spoken may be said here.
    pub(crate) speech: bool,
    /// It stands in the body of an envelope (SOAP).
    pub(crate) enveloped: bool,
}

impl Meaning {
    pub(crate) fn of(at: &Location<'_>) -> Self {
        let names = is_id_key(at.key);
        let path = at.path();
        Meaning {
            names,
            single: names && !path.contains('['),
            speech: SPEECH.has(at.key.as_bytes()),
            enveloped: path.contains("Body."),
        }
    }
}

/// True of field names under which resources are named.
fn is_id_key(key: &str) -> bool {
    static NAMES: NameSet = NameSet::new(&[
        b"id",
        b"_id",
        b"uuid",
        b"guid",
        b"key",
        b"name",
        b"slug",
        b"login",
        b"username",
        b"user",
        b"code",
        b"sid",
        b"number",
        b"handle",
        b"ref",
        b"reference",
        b"gid",
        b"uid",
        b"sku",
        b"email",
        b"path",
        b"self",
    ]);
    let key = key.as_bytes();
    let ends = || {
        matches!(
            key,
            [.., b'_', b'i', b'd']
                | [.., b'I', b'd' | b'D']
                | [.., b'_', b'u', b'u', b'i', b'd']
                | [.., b'N', b'a', b'm', b'e']
                | [.., b'_', b'n', b'a', b'm', b'e']
                | [.., b'_', b'k', b'e', b'y']
                | [.., b'_', b's', b'l', b'u', b'g']
                | [.., b'S', b'i', b'd']
                | [.., b'_', b's', b'i', b'd']
                | [.., b'_', b'c', b'o', b'd', b'e']
        )
    };
    let may_end = matches!(key, [_, .., b'd' | b'D' | b'e' | b'g' | b'y']);
    may_end && ends() || NAMES.has(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_those_of_the_values_whatever_came_before() {
        let mut shapes = Shapes::default();
        let values = [
            "",
            "a",
            "17",
            "1.5",
            "EUR",
            "a b",
            "20260921",
            "2026-09-21",
            "true",
            "deadbeef",
            "12345678901234567",
        ];
        for n in 0..5_000_u32 {
            for value in values {
                for value in [value.to_owned(), format!("{value}{n}"), format!("{n:x}-{value}")] {
                    assert_eq!(shapes.bit(&value), shape_bit(&value), "{value}");
                }
            }
        }
    }
}
