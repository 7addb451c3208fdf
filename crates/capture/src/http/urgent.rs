//! Urgent bytes of a client. Linux leaves the one of the last pointer out of the stream; one that was urgent before it stands in the stream again,
//! unless the process had read up to it when the next pointer came. Nobody sees when it reads, so from the second one on a request is read both
//! ways: with none of these bytes, and with all but the last.

use sidetap_model::Anomaly;

use super::Http;
use super::entry::Entry;
use super::reader::extend;
use crate::flow::{Mark, Out};

/// Bytes that are kept to be read again: the longest head that is, at least.
const MOST: usize = 64 << 10;

/// What the client sent from the head on in which its first urgent byte stands, with all of these.
#[derive(Debug)]
pub(super) struct Urgent {
    mark: Mark,
    bytes: Vec<u8>,
    /// Urgent bytes, and where the last one is.
    count: u32,
    last: usize,
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

    pub(super) fn held(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity()
    }
}

impl Http {
    /// The client's first bytes were read, of which these were left out.
    pub(crate) fn begin_urgent(&mut self, bytes: &[u8], mark: Mark, left: &[(u64, u8)], out: &mut Out<'_>) {
        let mut urgent =
            Urgent { mark, bytes: Vec::with_capacity(bytes.len() + left.len()), count: 0, last: 0 };
        let mut rest = bytes;
        for (off, byte) in left {
            let Some(before) = off.checked_sub(urgent.end()) else { continue };
            let Some((some, more)) = rest.split_at_checked(before as usize) else { break };
            urgent.bytes.extend_from_slice(some);
            (urgent.count, urgent.last) = (urgent.count + 1, urgent.bytes.len());
            urgent.bytes.push(*byte);
            rest = more;
        }
        urgent.bytes.extend_from_slice(rest);
        if urgent.count > 1 {
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
            self.urgent = Some(Box::new(Urgent { mark, bytes, count: 0, last: 0 }));
        }
        let Some(urgent) = &mut self.urgent else { return };
        (urgent.count, urgent.last) = (urgent.count.saturating_add(1), urgent.bytes.len());
        urgent.keep(&[byte], mark);
        if urgent.count > 1 {
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
        let Some(mut urgent) = self.urgent.take() else { return };
        if urgent.count < 2 {
            return;
        }
        let last = urgent.mark.off + urgent.last as u64;
        urgent.bytes.remove(urgent.last);
        let mut told = self.read_as_requests(urgent.mark, &urgent.bytes, None, !self.lost_up, out);
        // What stands behind is read as it is.
        told.reader.queue.retain(|e| matches!(e, Entry::Asked(a) if a.start <= last));
        let from = out.done.len();
        told.send(out);
        for exchange in out.done.iter_mut().skip(from) {
            exchange.anomalies.insert(Anomaly::TcpUrgent);
        }
    }
}
