//! Body tokens: one pass over a body that every interested party visits together.
//!
//! [`walk`] reads JSON, NDJSON, forms, XML, multipart and text and tells a [`Visitor`] each scalar with the place where it
//! stands. It never fails: a cut or malformed body gives what came before. Depth and tokens are limited, and nothing is
//! allocated but for values with escapes (into [`WalkScratch`], which the caller keeps).

mod form;
mod json;
mod kind;
mod multipart;
mod parts;
mod path;
mod text;
mod xml;

use std::ops::Range;

pub use self::kind::{Kind, kind_of};
pub use self::parts::multipart_anomalies;
use self::path::{Frame, Path};
pub use self::path::{Places, hash_bytes, hash_str, last_word};
pub use self::xml::entity;

/// Where a value stands in a body.
#[derive(Clone, Copy, Debug)]
pub struct Location<'a> {
    path: &'a Path,
    /// Hash of the path, of full names: the same in every run. Not collision-resistant against those who try.
    pub hash: u64,
    /// The innermost name; array indices are passed over. Empty at the root.
    pub key: &'a str,
    /// [`hash_str`] of the key.
    pub key_hash: u64,
    /// Containers around it.
    pub depth: u16,
}

impl Location<'_> {
    /// `$.a.b[*].c`; array elements share one path. Names with other than letters, digits and `_ - : @ $` are written
    /// `['name']`; names longer than 128 bytes are cut and end with `…`. At most 16 KiB.
    pub fn path(&self) -> String {
        let mut path = String::with_capacity(64);
        self.write_path(&mut path);
        path
    }

    /// Appends [`Location::path`] to `out`.
    pub fn write_path(&self, out: &mut String) {
        self.path.write(out);
    }
}

/// A value without parts. Text is unescaped or percent-decoded; what is not UTF-8 is replaced by U+FFFD.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scalar<'a> {
    /// Text.
    Str(&'a str),
    /// A number, as written.
    Num(&'a str),
    /// True or false.
    Bool(bool),
    /// Null.
    Null,
}

/// Whoever wants to know what stands in bodies.
pub trait Visitor {
    /// A value. `span` is where it stands in the body as given, without its quotes, before unescaping: where nothing was
    /// escaped, it has the length of the text.
    fn scalar(&mut self, at: &Location<'_>, value: Scalar<'_>, span: Range<usize>);
    /// An object (or an XML element with attributes or children) begins.
    fn begin_object(&mut self, _at: &Location<'_>) {}
    /// An object ends. Not called for what a cut body left open.
    fn end_object(&mut self, _at: &Location<'_>) {}
    /// An array begins; its elements stand at `path[*]`.
    fn begin_array(&mut self, _at: &Location<'_>) {}
    /// An array ends. Not called for what a cut body left open.
    fn end_array(&mut self, _at: &Location<'_>) {}
}

/// What a walk may cost.
#[derive(Clone, Copy, Debug)]
pub struct WalkLimits {
    /// Containers within each other.
    pub depth: u16,
    /// Scalars and containers in all.
    pub tokens: u32,
}

impl Default for WalkLimits {
    fn default() -> Self {
        WalkLimits { depth: 64, tokens: 20_000 }
    }
}

/// How a walk ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Walked {
    /// The body was read to its end, and nothing was left open.
    pub complete: bool,
    /// It does not read as its kind; what came before the fault was visited.
    pub malformed: bool,
    /// It is nested deeper than the limit; what came before was visited.
    pub too_deep: bool,
    /// Scalars and containers visited.
    pub tokens: u32,
}

/// Buffers that walks use again and again.
#[derive(Clone, Debug, Default)]
pub struct WalkScratch {
    path: Path,
    frames: Vec<Frame>,
    text: String,
    name: String,
}

/// Reads a body once and tells `visitor` what stands in it. Kinds `Empty` and `Binary` have nothing to tell.
///
/// `content_type` is only asked for a multipart boundary.
pub fn walk<V: Visitor + ?Sized>(
    kind: Kind,
    content_type: Option<&[u8]>,
    body: &[u8],
    limits: &WalkLimits,
    scratch: &mut WalkScratch,
    visitor: &mut V,
) -> Walked {
    scratch.path.reset("$");
    scratch.frames.clear();
    match kind {
        Kind::Empty | Kind::Binary => Walked { complete: true, ..Walked::default() },
        Kind::Json => json::walk(body, limits, scratch, visitor),
        Kind::Ndjson => json::walk_lines(body, limits, scratch, visitor),
        Kind::Form => form::walk(body, limits, scratch, visitor),
        Kind::Xml => xml::walk(body, limits, scratch, visitor),
        Kind::Multipart => multipart::walk(content_type, body, limits, scratch, visitor),
        Kind::Html | Kind::Text => text::walk(body, scratch, visitor),
    }
}

/// Reads the query of a request-target (without its `?`); each parameter stands at `query:NAME`.
pub fn walk_query<V: Visitor + ?Sized>(query: &[u8], scratch: &mut WalkScratch, visitor: &mut V) -> Walked {
    form::walk_query(query, &WalkLimits::default(), scratch, visitor)
}

/// The offset in the bytes of a value as given that its `unescaped`th byte stands at: for spans within values.
pub fn raw_offset(kind: Kind, raw: &[u8], unescaped: usize) -> usize {
    match kind {
        Kind::Json | Kind::Ndjson => json::raw_offset(raw, unescaped),
        Kind::Form => form::raw_offset(raw, unescaped),
        Kind::Xml => xml::raw_offset(raw, unescaped),
        _ => unescaped.min(raw.len()),
    }
}

impl<V: Visitor + ?Sized> Visitor for &mut V {
    #[inline]
    fn scalar(&mut self, at: &Location<'_>, value: Scalar<'_>, span: Range<usize>) {
        (**self).scalar(at, value, span);
    }
    #[inline]
    fn begin_object(&mut self, at: &Location<'_>) {
        (**self).begin_object(at);
    }
    #[inline]
    fn end_object(&mut self, at: &Location<'_>) {
        (**self).end_object(at);
    }
    #[inline]
    fn begin_array(&mut self, at: &Location<'_>) {
        (**self).begin_array(at);
    }
    #[inline]
    fn end_array(&mut self, at: &Location<'_>) {
        (**self).end_array(at);
    }
}

macro_rules! visitors {
    ($($name:ident $index:tt),+) => {
        impl<$($name: Visitor),+> Visitor for ($($name,)+) {
            #[inline]
            fn scalar(&mut self, at: &Location<'_>, value: Scalar<'_>, span: Range<usize>) {
                $(self.$index.scalar(at, value, span.clone());)+
            }
            #[inline]
            fn begin_object(&mut self, at: &Location<'_>) {
                $(self.$index.begin_object(at);)+
            }
            #[inline]
            fn end_object(&mut self, at: &Location<'_>) {
                $(self.$index.end_object(at);)+
            }
            #[inline]
            fn begin_array(&mut self, at: &Location<'_>) {
                $(self.$index.begin_array(at);)+
            }
            #[inline]
            fn end_array(&mut self, at: &Location<'_>) {
                $(self.$index.end_array(at);)+
            }
        }
    };
}

visitors!(A 0, B 1);
visitors!(A 0, B 1, C 2);
visitors!(A 0, B 1, C 2, D 3);

/// Text as bytes of which a prefix is known to be UTF-8.
#[derive(Clone, Copy)]
struct Source<'a> {
    bytes: &'a [u8],
    /// The longest prefix that is, of what was looked at.
    valid: &'a str,
    /// How much was looked at; all where it ends in what is no UTF-8.
    seen: usize,
}

impl<'a> Source<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let mut source = Source { bytes, valid: "", seen: 0 };
        source.look(bytes.len());
        source
    }

    /// A source that is looked at as far as a walk of so many tokens is likely to come, and further when it does.
    fn beginning(bytes: &'a [u8], tokens: u32) -> Self {
        let mut source = Source { bytes, valid: "", seen: 0 };
        source.look(bytes.len().min((tokens as usize).saturating_mul(32)));
        source
    }

    fn look(&mut self, end: usize) {
        let part = self.bytes.get(..end).unwrap_or(self.bytes);
        self.seen = part.len();
        self.valid = match std::str::from_utf8(part) {
            Ok(text) => text,
            Err(e) => {
                // A character that the end of the part cuts may go on behind it.
                if e.error_len().is_some() {
                    self.seen = self.bytes.len();
                }
                part.get(..e.valid_up_to()).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default()
            }
        };
    }

    /// The text of a range; what is not UTF-8 is replaced, in `scratch`.
    #[inline(always)]
    fn text<'s>(&self, range: Range<usize>, scratch: &'s mut String) -> &'s str
    where
        'a: 's,
    {
        if let Some(text) = self.valid.get(range.clone()) {
            return text;
        }
        self.replaced(range, scratch)
    }

    /// As [`Source::text`], of a source that was not looked at to its end.
    #[inline(always)]
    fn text_further<'s>(&mut self, range: Range<usize>, scratch: &'s mut String) -> &'s str
    where
        'a: 's,
    {
        if let Some(text) = self.valid.get(range.clone()) {
            return text;
        }
        self.looked_further(range, scratch)
    }

    #[cold]
    #[inline(never)]
    fn looked_further<'s>(&mut self, range: Range<usize>, scratch: &'s mut String) -> &'s str
    where
        'a: 's,
    {
        if self.seen < self.bytes.len() {
            self.look(range.end.max(self.seen).saturating_mul(2).min(self.bytes.len()));
        }
        self.text(range, scratch)
    }

    #[cold]
    #[inline(never)]
    fn replaced<'s>(&self, range: Range<usize>, scratch: &'s mut String) -> &'s str {
        scratch.clear();
        scratch.push_str(&String::from_utf8_lossy(self.bytes.get(range).unwrap_or_default()));
        scratch
    }
}

#[cfg(test)]
mod tests;
