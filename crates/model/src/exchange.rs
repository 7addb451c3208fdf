use std::ops::Range;
use std::sync::Arc;

use crate::{Addr, AnomalySet, Completeness, FlowId, FlowKey, Ts, Zone};

/// One HTTP request with its response, as capture hands it on: one of many on its flow.
///
/// Heads are kept as sent (order, case, bytes); bodies are what the transfer coding carried, cut at the capture's body limit.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Where it was seen.
    pub zone: Zone,
    /// The connection.
    pub flow: FlowKey,
    /// Its id.
    pub flow_id: FlowId,
    /// Position on the flow, from 0.
    pub seq: u32,
    /// Time of the request's first byte (of the response's, where there is no request).
    pub ts: Ts,
    /// Time of the last byte seen of the exchange.
    pub end: Ts,
    /// Time of the response's first byte.
    pub response_ts: Option<Ts>,
    /// What is spoken.
    pub protocol: Protocol,
    /// The request, where one was seen.
    pub request: Option<Request>,
    /// The final response, where one was seen (interim 1xx responses are only counted).
    pub response: Option<Response>,
    /// Interim (1xx) responses before the final one.
    pub interim: u8,
    /// What was missed.
    pub completeness: Completeness,
    /// Bytes known to be missing in it.
    pub gap_bytes: u64,
    /// What was odd.
    pub anomalies: AnomalySet,
    /// The server acknowledged the request's bytes, or answered.
    pub acknowledged: bool,
    /// The client that a PROXY protocol header in front of the connection named.
    pub proxied_for: Option<Addr>,
    /// Of the request in whose content this one stands the fields that may name who sent it: he wrote this too.
    pub sent_in: Option<Arc<Headers>>,
}

/// The application protocol of an exchange.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Protocol {
    /// HTTP/0.9 to HTTP/1.1.
    Http1,
}

impl Protocol {
    /// The name that outputs use.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Http1 => "http",
        }
    }
}

/// Major and minor version of HTTP.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Version(pub u8, pub u8);

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method as sent.
    pub method: Vec<u8>,
    /// Request-target as sent.
    pub target: Vec<u8>,
    /// Version as sent.
    pub version: Version,
    /// Header fields, then trailer fields.
    pub headers: Headers,
    /// The body.
    pub body: Body,
}

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Version as sent.
    pub version: Version,
    /// Header fields, then trailer fields.
    pub headers: Headers,
    /// The body.
    pub body: Body,
}

/// The body of a message after its transfer coding was taken off; its content coding is still on.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// The bytes kept, at most the capture's body limit.
    pub bytes: Vec<u8>,
    /// Length of the whole body, kept or not.
    pub len: u64,
    /// Offset in `bytes` of the first byte that a gap made uncertain; what follows is known to be out of place.
    pub gap_at: Option<u32>,
}

impl Body {
    /// True where not all of it was kept.
    pub fn is_cut(&self) -> bool {
        self.len != self.bytes.len() as u64 || self.gap_at.is_some()
    }
}

/// One header field: where its name and value stand in [`Headers`]' bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    name: Range<u32>,
    value: Range<u32>,
}

/// Header fields in the order and case of the wire. Values have no white space at their ends.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    bytes: Vec<u8>,
    fields: Vec<Field>,
    /// A bit for each length and first letter of a name: most names that are asked for are told to be absent by it.
    present: u64,
}

/// The bit of a name in [`Headers`]' set of those present.
const fn presence(name: &[u8]) -> u64 {
    match name.first() {
        Some(first) => 1 << ((name.len() * 11 + (*first & 31) as usize) & 63),
        None => 1,
    }
}

impl Headers {
    /// Room for `fields` fields of `bytes` bytes in all.
    pub fn with_capacity(fields: usize, bytes: usize) -> Self {
        Headers { bytes: Vec::with_capacity(bytes), fields: Vec::with_capacity(fields), present: 0 }
    }

    /// Bytes that they take.
    pub fn room(&self) -> usize {
        self.bytes.capacity() + self.fields.capacity() * size_of::<Field>()
    }

    /// Gives back what they do not need.
    pub fn shrink(&mut self) {
        self.fields.shrink_to_fit();
    }

    /// Fields that stand in `block`, which is kept as one piece; those that do not are copied as [`Headers::push`] does.
    pub fn within<'a>(block: &[u8], fields: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut headers =
            Headers { bytes: block.to_vec(), fields: Vec::with_capacity(fields.len()), present: 0 };
        let (start, len) = (block.as_ptr().addr(), u32::try_from(block.len()).unwrap_or(0));
        let place = |part: &[u8]| {
            let at = u32::try_from(part.as_ptr().addr().wrapping_sub(start)).ok()?;
            let end = at.checked_add(u32::try_from(part.len()).ok()?)?;
            (end <= len).then_some(at..end)
        };
        for (name, value) in fields {
            match (place(name), place(value)) {
                (Some(at), Some(value)) => {
                    headers.present |= presence(name);
                    headers.fields.push(Field { name: at, value });
                }
                _ => headers.push(name, value),
            }
        }
        headers
    }

    /// Appends a field. Past 4 GiB of headers it is dropped (capture's limits are far below).
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        let Ok(end) = u32::try_from(start + name.len() + value.len()) else { return };
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        let middle = (start + name.len()) as u32;
        self.present |= presence(name);
        self.fields.push(Field { name: start as u32..middle, value: middle..end });
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Name and value of each field.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|f| (self.slice(&f.name), self.slice(&f.value)))
    }

    /// False where there is surely no field of this name, letter case aside.
    #[inline]
    pub fn may_have(&self, name: &str) -> bool {
        self.present & presence(name.as_bytes()) != 0
    }

    /// Value of the first field of this name, letter case aside.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.named(name.as_bytes()).next()
    }

    /// Values of all fields of this name, letter case aside.
    pub fn all<'a, 'n: 'a>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.named(name.as_bytes())
    }

    fn named<'a, 'n>(&'a self, name: &'n [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let present = self.present & presence(name) != 0;
        let fields = if present { self.fields.as_slice() } else { &[] };
        fields
            .iter()
            .filter(move |f| {
                (f.name.end - f.name.start) as usize == name.len()
                    && self.slice(&f.name).eq_ignore_ascii_case(name)
            })
            .map(|f| self.slice(&f.value))
    }

    fn slice(&self, range: &Range<u32>) -> &[u8] {
        self.bytes.get(range.start as usize..range.end as usize).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_one_piece_are_those_that_are_pushed() {
        let block = b"Host: h\r\nAccept:\r\nX-A: b c\r\n\r\n";
        let (name, value) = (&block[..4], &block[6..7]);
        let inside = [(name, value), (&block[9..15], &block[16..16]), (&block[18..21], &block[23..26])];
        let elsewhere: [(&[u8], &[u8]); 3] = [(b"Cookie", b"k=v"), (name, b"other"), (b"Other", value)];
        let outside = (&block[block.len() - 2..], &block[..0]);
        let all = [&inside[..], &elsewhere[..], &[outside]].concat();
        for block in [&block[..], &block[..26], &block[2..20], &[]] {
            let within = Headers::within(block, all.iter().copied());
            let mut pushed = Headers::default();
            all.iter().for_each(|(name, value)| pushed.push(name, value));
            assert!(within.iter().eq(pushed.iter()));
            assert_eq!((within.len(), within.present), (pushed.len(), pushed.present));
            assert_eq!(within.get("host"), Some(&b"h"[..]));
        }
    }
}
