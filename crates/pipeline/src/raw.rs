//! What evidence may be made of, as it was sent.

use sidetap_model::{Body, Exchange, Headers};
use sidetap_threats::Proof;

/// Bytes of heads that are kept of a message.
const HEAD: usize = 2 << 10;
/// Bytes of a body that are kept, as sent.
pub(crate) const BODY: usize = 1 << 10;

/// Both messages of an exchange as they were sent: what the ring of recent exchanges holds, and nothing else ever sees.
#[derive(Default)]
pub(crate) struct Raw {
    pub(crate) request: Option<Message>,
    pub(crate) response: Option<Message>,
    /// What of the request is an attack, wherever in it.
    pub(crate) signs: Vec<Proof>,
    /// What of the answer proves one.
    pub(crate) proofs: Vec<Proof>,
}

/// One of them: its head and the beginning of its body.
pub(crate) struct Message {
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    /// Whether that is all of the body.
    pub(crate) whole: bool,
}

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Raw").finish_non_exhaustive()
    }
}

impl Raw {
    /// The beginning of both messages, and what of them is an attack or proves one.
    pub(crate) fn of(ex: &Exchange, signs: Vec<Proof>, proofs: Vec<Proof>) -> Self {
        Raw {
            request: ex.request.as_ref().map(|r| Message::of(&r.headers, &r.body)),
            response: ex.response.as_ref().map(|r| Message::of(&r.headers, &r.body)),
            signs,
            proofs,
        }
    }

    /// Bytes it takes.
    pub(crate) fn heap_bytes(&self) -> usize {
        let of = |m: &Message| {
            m.body.capacity() + m.headers.iter().map(|(n, v)| n.len() + v.len() + 16).sum::<usize>()
        };
        let proofs =
            self.signs.iter().chain(&self.proofs).map(|p| size_of_val(p) + p.heap_bytes()).sum::<usize>();
        self.request.as_ref().map_or(0, of) + self.response.as_ref().map_or(0, of) + proofs + size_of::<Raw>()
    }

    /// Whether this is so of a value in the heads, of a body's beginning or of what is an attack or proves one.
    pub(crate) fn has(&self, is: impl Fn(&[u8]) -> bool) -> bool {
        let mut messages = self.request.iter().chain(&self.response);
        messages.any(|m| is(&m.body) || m.headers.iter().any(|(_, value)| is(value)))
            || self.signs.iter().chain(&self.proofs).any(|p| is(p.text.as_bytes()))
    }
}

impl Message {
    pub(crate) fn of(headers: &Headers, body: &Body) -> Self {
        let mut kept = Headers::with_capacity(headers.len().min(64), HEAD);
        let mut room = HEAD;
        for (name, value) in headers.iter() {
            let Some(left) = room.checked_sub(name.len() + value.len()) else { continue };
            room = left;
            kept.push(name, value);
        }
        let certain = body.gap_at.map_or(body.bytes.len(), |at| at as usize).min(body.bytes.len());
        let bytes = body.bytes.get(..certain.min(BODY)).unwrap_or_default();
        Message { headers: kept, body: bytes.to_vec(), whole: bytes.len() as u64 == body.len }
    }
}
