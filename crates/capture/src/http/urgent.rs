//! Urgent bytes of a client. Linux leaves the one of the last pointer out of the stream; one that was urgent before it stands in the stream again,
//! unless the process had read up to it when the next pointer came. Nobody sees when it reads, so from the second one on a request is read several
//! ways: with none of these bytes, with all but the last, and with all but the last of each that came at once.

use sidetap_model::{Anomaly, Ts};

use super::Http;
use super::entry::Entry;
use super::reader::extend;
use crate::flow::{Mark, Out};

/// Bytes that are kept to be read again: the longest head that is, at least.
const MOST: usize = 64 << 10;
/// Urgent bytes whose places are kept.
const PLACES: usize = 4096;
/// Nanoseconds within which a process is not likely to read between two of them.
const AT_ONCE: i64 = 5_000_000;

/// What the client sent from the head on in which its first urgent byte stands, with all of these.
#[derive(Debug)]
pub(super) struct Urgent {
    mark: Mark,
    bytes: Vec<u8>,
    /// Where urgent bytes are, and when they came.
    places: Vec<(usize, Ts)>,
}

impl Urgent {
    fn end(&self) -> u64 {
        self.mark.off + self.bytes.len() as u64
    }

    fn keep(&mut self, bytes: &[u8], mark: Mark) {
        if mark.off == self.end() {
            extend(&mut self.bytes, bytes);
        }
    }

    /// The next byte is an urgent one; of more than have room the newest counts.
    fn place(&mut self, ts: Ts) {
        if self.places.len() == PLACES {
            self.places.pop();
        }
        self.places.push((self.bytes.len(), ts));
    }

    /// Without the last of all, and without the last of each that came at once.
    fn readings(&self) -> Vec<Vec<u8>> {
        let Some((last, _)) = self.places.last() else { return Vec::new() };
        let nexts = self.places.iter().skip(1).map(Some).chain([None]);
        let ends = self
            .places
            .iter()
            .zip(nexts)
            .filter(|((_, ts), next)| next.is_none_or(|(_, then)| then.since(*ts) >= AT_ONCE));
        let ends: Vec<usize> = ends.map(|((at, _), _)| *at).collect();
        let without = |gone: &[usize]| {
            let mut gone = gone.iter().peekable();
            let kept = self.bytes.iter().enumerate().filter(|(n, _)| gone.next_if(|at| *at == n).is_none());
            kept.map(|(_, byte)| *byte).collect()
        };
        match ends.len() {
            // The one, and what is read anyway.
            1 => vec![without(&[*last])],
            n if n == self.places.len() => vec![without(&[*last])],
            _ => vec![without(&[*last]), without(&ends)],
        }
    }

    pub(super) fn held(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity() + self.places.capacity() * size_of::<(usize, Ts)>()
    }
}

impl Http {
    /// The client's first bytes were read, of which these were left out.
    pub(crate) fn begin_urgent(&mut self, bytes: &[u8], mark: Mark, left: &[(Mark, u8)], out: &mut Out<'_>) {
        let places = Vec::new();
        let mut urgent = Urgent { mark, bytes: Vec::with_capacity(bytes.len() + left.len()), places };
        let mut rest = bytes;
        for (at, byte) in left {
            let Some(before) = at.off.checked_sub(urgent.end()) else { continue };
            let Some((some, more)) = rest.split_at_checked(before as usize) else { break };
            urgent.bytes.extend_from_slice(some);
            urgent.place(at.ts);
            urgent.bytes.push(*byte);
            rest = more;
        }
        urgent.bytes.extend_from_slice(rest);
        if urgent.places.len() > 1 {
            self.contest();
        }
        self.tell_urgent(out);
        self.urgent = Some(Box::new(urgent));
    }

    /// An urgent byte of the client's, which is left out of what is read.
    pub(crate) fn urgent(&mut self, byte: u8, mark: Mark, out: &mut Out<'_>) {
        let own = self.urgent.as_ref().is_some_and(|urgent| urgent.end() == mark.off);
        if !own {
            self.tell_urgent(out);
            let head = self.up.unfinished_head().filter(|(held, at)| at.off + held.len() as u64 == mark.off);
            let (bytes, mark) = head.map_or((Vec::new(), mark), |(held, at)| (held.to_vec(), at));
            self.urgent = Some(Box::new(Urgent { mark, bytes, places: Vec::new() }));
        }
        let Some(urgent) = &mut self.urgent else { return };
        urgent.place(mark.ts);
        urgent.keep(&[byte], mark);
        if urgent.places.len() > 1 {
            self.contest();
        }
    }

    /// Nothing more is read here: tells what its server may have read besides.
    pub(super) fn tell_apart(&mut self, out: &mut Out<'_>) {
        self.tell_urgent(out);
        self.tell_given_up(true, out);
        self.tell_piped(out);
    }

    /// More of the client's bytes that are none.
    pub(super) fn keep_urgent(&mut self, bytes: &[u8], mark: Mark, out: &mut Out<'_>) {
        let Some(urgent) = &mut self.urgent else { return };
        urgent.keep(bytes, mark);
        if urgent.bytes.len() > MOST {
            self.tell_urgent(out);
        }
    }

    /// A final answer begins: which urgent bytes its server had is settled for what it received.
    pub(super) fn answered_urgent(&mut self, at: Mark, out: &mut Out<'_>) {
        if self.urgent.as_ref().is_some_and(|urgent| at.ack.is_none_or(|seen| seen >= urgent.end())) {
            self.tell_urgent(out);
        }
    }

    /// Tells what its server may have read instead.
    pub(super) fn tell_urgent(&mut self, out: &mut Out<'_>) {
        let Some(urgent) = self.urgent.take() else { return };
        let [_, .., (last, _)] = *urgent.places else { return };
        let last = urgent.mark.off + last as u64;
        let from = out.done.len();
        for bytes in urgent.readings() {
            // Of what is left out all stands before what follows the last of them.
            let last = last.saturating_sub((urgent.bytes.len() - bytes.len()) as u64);
            let mut told = self.read_as_requests(urgent.mark, &bytes, None, !self.lost_up, out);
            // What stands behind is read as it is.
            told.reader.queue.retain(|e| matches!(e, Entry::Asked(a) if a.start <= last));
            told.send(true, out);
        }
        for exchange in out.done.iter_mut().skip(from) {
            exchange.anomalies.insert(Anomaly::TcpUrgent);
        }
    }
}
