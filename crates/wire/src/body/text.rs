use super::{Scalar, Source, Visitor, WalkScratch, Walked};

/// Text stands as one value at `$`.
pub(super) fn walk<V: Visitor + ?Sized>(body: &[u8], scratch: &mut WalkScratch, visitor: &mut V) -> Walked {
    let text = Source::new(body).text(0..body.len(), &mut scratch.text);
    visitor.scalar(&scratch.path.at(), Scalar::Str(text), 0..body.len());
    Walked { complete: true, tokens: 1, ..Walked::default() }
}
