//! What is remembered of the places of bodies, from one body to the next.

use sidetap_wire::body::{Location, hash_str};
use sidetap_wire::names::NameSet;

use crate::names;

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

/// What the name of a place says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meaning {
    /// Resources are named here.
    pub(crate) names: bool,
    /// It is in no array.
    pub(crate) single: bool,
    /// What is spoken may be said here.
    pub(crate) speech: bool,
}

impl Meaning {
    pub(crate) fn of(at: &Location<'_>) -> Self {
        let names = is_id_key(at.key);
        Meaning { names, single: names && !at.path().contains('['), speech: SPEECH.has(at.key.as_bytes()) }
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
