use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex_automata::meta::Regex;
use serde::Deserialize;
use smallvec::SmallVec;

use crate::SensitiveError;
use crate::context::Phrases;
use crate::mask::mask;
use crate::shape::Shape;
use crate::validate::{self, Validator};

/// A type of a [`Pack`], by its place in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TypeId(pub u16);

/// How the candidates of a type are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Find {
    /// Runs of digits that fit a shape, separators or not.
    Digits,
    /// Runs of letters and digits that fit a shape or have a length.
    Token,
    /// What begins with an anchor and fits the pattern.
    Anchor,
    /// The whole value, by its name alone.
    Key,
    /// An e-mail address.
    Email,
    /// An IPv4 address.
    IpV4,
    /// An IPv6 address.
    IpV6,
    /// A MAC address.
    Mac,
    /// A telephone number.
    Phone,
    /// An IBAN, in groups or not.
    Iban,
}

/// A type as a pack writes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    id: String,
    name: String,
    class: Vec<String>,
    description: String,
    #[serde(default)]
    references: Vec<String>,
    find: Find,
    #[serde(default)]
    shapes: Vec<String>,
    #[serde(default)]
    lengths: Vec<usize>,
    #[serde(default)]
    anchors: Vec<String>,
    pattern: Option<String>,
    validator: Option<String>,
    /// Names that say that a value is of this type.
    #[serde(default)]
    keys: Vec<String>,
    /// Names that say that it is not, though `keys` fits.
    #[serde(default)]
    not_keys: Vec<String>,
    confidence: Confidence,
    /// Chance in a million that something random of this form passes.
    #[serde(default)]
    chance: u32,
    /// Letters and digits at the start and the end that a masked sample shows.
    #[serde(default)]
    show: [u8; 2],
    /// Words in text, besides names of fields, that introduce a value (for `find: key`).
    #[serde(default)]
    in_text: bool,
    #[serde(default)]
    examples: Examples,
}

/// How sure a reading is, 0 to 100, by what is known besides the value.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Confidence {
    /// Where its name, or a word before it, says so.
    pub(crate) named: u8,
    /// Where nothing says anything.
    #[serde(default)]
    pub(crate) alone: u8,
    /// As `alone`, but written with its separators.
    #[serde(default)]
    pub(crate) formatted: u8,
    /// Where its name says that it is something else.
    #[serde(default)]
    pub(crate) misnamed: u8,
}

/// What a type must find and must not find: its tests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Examples {
    /// `value`, or `name: value`, in which it is found.
    #[serde(default)]
    pub find: Vec<String>,
    /// In which it is not.
    #[serde(default)]
    pub pass: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    types: Vec<Raw>,
}

/// A type of sensitive data.
#[derive(Debug)]
pub struct Type {
    /// `us-ssn`.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Laws and standards that name it.
    pub class: Vec<String>,
    /// What it is and why it matters.
    pub description: String,
    /// Where that is written.
    pub references: Vec<String>,
    /// Its tests.
    pub examples: Examples,
    pub(crate) find: Find,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) token_shapes: Vec<String>,
    pub(crate) pattern: Option<Regex>,
    pub(crate) validator: Option<Validator>,
    pub(crate) confidence: Confidence,
    pub(crate) chance: u32,
    pub(crate) show: [u8; 2],
}

impl Type {
    /// A value of this type as outputs may show it.
    pub fn masked(&self, value: &str) -> String {
        mask(value, usize::from(self.show[0]), usize::from(self.show[1]))
    }

    pub(crate) fn is_valid(&self, compact: &str) -> bool {
        self.validator.is_none_or(|v| v(compact))
    }
}

/// Types of sensitive data, made ready to scan with.
#[derive(Debug)]
pub struct Pack {
    types: Vec<Type>,
    pub(crate) phrases: Phrases,
    /// By number of digits: types and which of their shapes have it.
    pub(crate) by_digits: Vec<SmallVec<[(TypeId, u8); 8]>>,
    /// By length: types of tokens.
    pub(crate) by_length: Vec<SmallVec<[TypeId; 8]>>,
    /// Tokens that are written in groups: the first of two letters.
    pub(crate) spaced: Vec<(TypeId, String)>,
    /// Anchors that begin a word.
    pub(crate) starts: Starts,
    /// Anchors that begin otherwise.
    pub(crate) anchors: AhoCorasick,
    pub(crate) anchor_types: Vec<TypeId>,
    pub(crate) by_find: BTreeMap<&'static str, TypeId>,
    pub(crate) in_text: Vec<TypeId>,
    /// Part of every word that introduces a password in text.
    pub(crate) spoken: memchr::memmem::Finder<'static>,
}

const BUILTIN: &[(&str, &str)] = &[
    ("builtin/cards.yaml", include_str!("../packs/cards.yaml")),
    ("builtin/national.yaml", include_str!("../packs/national.yaml")),
    ("builtin/health.yaml", include_str!("../packs/health.yaml")),
    ("builtin/personal.yaml", include_str!("../packs/personal.yaml")),
    ("builtin/secrets.yaml", include_str!("../packs/secrets.yaml")),
];

/// Longest token that is looked up by its length.
pub(crate) const TOKEN_LIMIT: usize = 64;
/// Most digits of a number that is looked up.
pub(crate) const DIGIT_LIMIT: usize = 24;

impl Pack {
    /// The types that come with Sidetap.
    pub fn builtin() -> Result<Pack, SensitiveError> {
        Pack::compile(raw(BUILTIN.iter().map(|(f, t)| ((*f).to_owned(), (*t).to_owned())))?)
    }

    /// The types that come with Sidetap and those of a directory's `*.yaml` files; one of the same id replaces.
    pub fn load_dir(dir: &Path) -> Result<Pack, SensitiveError> {
        let failed = |source| SensitiveError::Read { path: dir.to_owned(), source };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
                paths.push(path);
            }
        }
        paths.sort();
        let mut all = raw(BUILTIN.iter().map(|(f, t)| ((*f).to_owned(), (*t).to_owned())))?;
        for path in paths {
            let text = std::fs::read_to_string(&path)
                .map_err(|source| SensitiveError::Read { path: path.clone(), source })?;
            for (file, new) in raw([(path.display().to_string(), text)].into_iter())? {
                match all.iter_mut().find(|(_, old)| old.id == new.id) {
                    Some(old) => *old = (file, new),
                    None => all.push((file, new)),
                }
            }
        }
        Pack::compile(all)
    }

    /// The numbers of digits (as bits) that a number without a name can be reported for, at this confidence.
    pub(crate) fn bare_lengths(&self, floor: u8) -> u32 {
        let reported = |id: &TypeId, shape: &u8| {
            self.get(*id).is_some_and(|t| {
                t.confidence.alone >= floor
                    && t.shapes.get(usize::from(*shape)).is_some_and(|s| !s.named_only)
            })
        };
        let lengths = self.by_digits.iter().enumerate();
        lengths
            .filter(|(_, l)| l.iter().any(|(id, shape)| reported(id, shape)))
            .fold(0, |bits, (n, _)| bits | 1 << n)
    }

    /// True where a type is written as two groups of digits with a dot between them, as fractions are.
    pub(crate) fn has_fractions(&self) -> bool {
        self.types.iter().any(|t| t.shapes.iter().any(|s| s.fits_fraction()))
    }

    /// The type with this place.
    pub fn get(&self, id: TypeId) -> Option<&Type> {
        self.types.get(usize::from(id.0))
    }

    /// Each type.
    pub fn types(&self) -> impl Iterator<Item = (TypeId, &Type)> {
        self.types.iter().enumerate().map(|(i, t)| (TypeId(i as u16), t))
    }

    /// The types that a field of this name says it holds.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &Type> {
        let types =
            if self.phrases.may_name(name) { self.phrases.of_name("", name).types } else { SmallVec::new() };
        types.into_iter().filter_map(|id| self.get(id))
    }

    /// The type of this name.
    pub fn id_of(&self, name: &str) -> Option<TypeId> {
        self.types().find(|(_, t)| t.id == name).map(|(id, _)| id)
    }

    fn compile(raws: Vec<(String, Raw)>) -> Result<Pack, SensitiveError> {
        let mut builder = Builder::default();
        for (file, raw) in raws {
            let id = raw.id.clone();
            builder.add(raw).map_err(|reason| SensitiveError::Type { file, id, reason })?;
        }
        builder.finish()
    }
}

fn raw(files: impl Iterator<Item = (String, String)>) -> Result<Vec<(String, Raw)>, SensitiveError> {
    let mut all = Vec::new();
    for (file, text) in files {
        let parsed: File = serde_yaml_ng::from_str(&text)
            .map_err(|source| SensitiveError::Yaml { file: file.clone(), source })?;
        all.extend(parsed.types.into_iter().map(|t| (file.clone(), t)));
    }
    Ok(all)
}

/// Patterns are of bytes: classes are those of ASCII, which keeps the automata small.
fn compiled(pattern: &str) -> Result<Regex, String> {
    Regex::builder()
        .configure(Regex::config().utf8_empty(false))
        .syntax(regex_automata::util::syntax::Config::new().unicode(false).utf8(false))
        .build(pattern)
        .map_err(|e| format!("pattern: {e}"))
}

/// Anchors by their first two bytes, behind a filter that most words do not pass.
#[derive(Debug, Default)]
pub(crate) struct Starts {
    filter: Vec<u64>,
    by_bytes: HashMap<[u8; 2], Vec<(String, TypeId)>>,
}

impl Starts {
    fn add(&mut self, bytes: [u8; 2], anchor: String, id: TypeId) {
        self.filter.resize(256, 0);
        let (word, bit) = Self::place(bytes);
        if let Some(word) = self.filter.get_mut(word) {
            *word |= bit;
        }
        self.by_bytes.entry(bytes).or_default().push((anchor, id));
    }

    fn place([a, b]: [u8; 2]) -> (usize, u64) {
        (usize::from(a & 127) << 1 | usize::from(b >> 6 & 1), 1 << (b & 63))
    }

    /// True where an anchor may begin with these bytes.
    #[inline]
    pub(crate) fn may(&self, bytes: [u8; 2]) -> bool {
        let (word, bit) = Self::place(bytes);
        self.filter.get(word).is_some_and(|w| w & bit != 0)
    }

    /// The types that an anchor at the start of `text` stands for.
    pub(crate) fn types<'s>(&'s self, text: &'s [u8]) -> impl Iterator<Item = TypeId> + 's {
        let list =
            text.first_chunk::<2>().and_then(|b| self.by_bytes.get(b)).map(Vec::as_slice).unwrap_or_default();
        list.iter().filter(|(a, _)| text.starts_with(a.as_bytes())).map(|(_, id)| *id)
    }
}

#[derive(Default)]
struct Builder {
    types: Vec<Type>,
    phrases: Phrases,
    by_digits: HashMap<usize, SmallVec<[(TypeId, u8); 8]>>,
    by_length: HashMap<usize, SmallVec<[TypeId; 8]>>,
    spaced: Vec<(TypeId, String)>,
    starts: Starts,
    anchors: Vec<String>,
    anchor_types: Vec<TypeId>,
    by_find: BTreeMap<&'static str, TypeId>,
    in_text: Vec<TypeId>,
}

impl Builder {
    fn add(&mut self, raw: Raw) -> Result<(), String> {
        let id = TypeId(u16::try_from(self.types.len()).map_err(|_| "too many types")?);
        let validator = match &raw.validator {
            Some(name) => {
                Some(validate::by_name(name).ok_or_else(|| format!("no validator is named {name}"))?)
            }
            None => None,
        };
        let pattern = match &raw.pattern {
            Some(text) if raw.find == Find::Key => Some(compiled(&format!("\\A(?:{text})\\z"))?),
            Some(text) => Some(compiled(text)?),
            None => None,
        };
        let (mut shapes, mut token_shapes) = (Vec::new(), Vec::new());
        match raw.find {
            Find::Digits => shapes = self.digits(id, &raw.shapes)?,
            Find::Token => {
                self.tokens(id, &raw)?;
                token_shapes = raw.shapes;
            }
            Find::Anchor => self.anchored(id, raw.anchors, pattern.is_some())?,
            Find::Key if raw.in_text => self.in_text.push(id),
            Find::Key => {}
            Find::Email => self.special("email", id),
            Find::IpV4 => self.special("ip-v4", id),
            Find::IpV6 => self.special("ip-v6", id),
            Find::Mac => self.special("mac", id),
            Find::Phone => self.special("phone", id),
            Find::Iban => self.special("iban", id),
        }
        raw.keys.iter().for_each(|k| self.phrases.affirm(k, id));
        raw.not_keys.iter().for_each(|k| self.phrases.refuse(k, id));
        self.types.push(Type {
            id: raw.id,
            name: raw.name,
            class: raw.class,
            description: raw.description,
            references: raw.references,
            examples: raw.examples,
            find: raw.find,
            shapes,
            token_shapes,
            pattern,
            validator,
            confidence: raw.confidence,
            chance: raw.chance,
            show: raw.show,
        });
        Ok(())
    }

    fn special(&mut self, name: &'static str, id: TypeId) {
        self.by_find.insert(name, id);
    }

    fn digits(&mut self, id: TypeId, texts: &[String]) -> Result<Vec<Shape>, String> {
        let mut shapes = Vec::new();
        for text in texts {
            let shape = Shape::parse(text).ok_or_else(|| format!("shape {text}: not groups of digits"))?;
            if shape.digits() > DIGIT_LIMIT {
                return Err(format!("shape {text}: more than {DIGIT_LIMIT} digits"));
            }
            self.by_digits.entry(shape.digits()).or_default().push((id, shapes.len() as u8));
            shapes.push(shape);
        }
        if shapes.is_empty() { Err("find: digits needs shapes".to_owned()) } else { Ok(shapes) }
    }

    fn tokens(&mut self, id: TypeId, raw: &Raw) -> Result<(), String> {
        let (spaced, plain): (Vec<_>, Vec<_>) = raw.shapes.iter().partition(|s| s.contains(' '));
        if spaced.iter().any(|s| s.find(' ') != Some(2)) {
            return Err("a token in groups needs two letters first".to_owned());
        }
        self.spaced.extend(spaced.into_iter().map(|s| (id, s.clone())));
        let lengths = raw.lengths.iter().copied().chain(plain.iter().map(|s| s.len()));
        let mut lengths: Vec<usize> = lengths.collect();
        lengths.sort_unstable();
        lengths.dedup();
        if lengths.is_empty() || lengths.iter().any(|n| *n > TOKEN_LIMIT) {
            return Err(format!("find: token needs shapes or lengths of at most {TOKEN_LIMIT}"));
        }
        lengths.iter().for_each(|n| self.by_length.entry(*n).or_default().push(id));
        Ok(())
    }

    fn anchored(&mut self, id: TypeId, anchors: Vec<String>, has_pattern: bool) -> Result<(), String> {
        if anchors.is_empty() || !has_pattern || anchors.iter().any(|a| a.len() < 2) {
            return Err("find: anchor needs anchors of two bytes or more, and a pattern".to_owned());
        }
        for anchor in anchors {
            let bytes = anchor.as_bytes();
            if let Some([a, b]) = bytes.first_chunk().filter(|[a, _]| a.is_ascii_alphanumeric()) {
                self.starts.add([*a, *b], anchor.clone(), id);
            } else {
                self.anchor_types.push(id);
                self.anchors.push(anchor);
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Pack, SensitiveError> {
        let anchors = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::DFA))
            .build(&self.anchors)
            .map_err(|_| SensitiveError::Anchors)?;
        let by_digits = (0..=DIGIT_LIMIT).map(|n| self.by_digits.remove(&n).unwrap_or_default()).collect();
        let by_length = (0..=TOKEN_LIMIT).map(|n| self.by_length.remove(&n).unwrap_or_default()).collect();
        Ok(Pack {
            types: self.types,
            phrases: self.phrases,
            by_digits,
            by_length,
            spaced: self.spaced,
            starts: self.starts,
            anchors,
            anchor_types: self.anchor_types,
            by_find: self.by_find,
            in_text: self.in_text,
            spoken: memchr::memmem::Finder::new(b"pass"),
        })
    }
}
