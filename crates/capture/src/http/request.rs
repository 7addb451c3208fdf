//! The client's side: heads, bodies and what is left of them after a loss.

use sidetap_model::{Anomaly, AnomalySet, Body, Completeness, Request, Ts, Version};
use sidetap_wire::http1::{
    Framing, HeadLimits, Parsed, RequestHead, is_method, request_framing, request_head, trailer_fields,
};

use super::Http;
use super::behind::Behind;
use super::checks::{OddHead, begins_with_text, check_request, cut_line, odd_head, whole_lines};
use super::entry::{Asked, Entry};
use super::long::LongHead;
use super::reader::{BodyStep, HeadStep, Wants};
use super::trail::Trail;
use crate::flow::{Kind, Mark, Out};

impl Http {
    /// The server answered before the body that the client announced with `Expect`, and the client sent none of it
    /// (RFC 9110 §10.1.1). Whatever it sends on the connection is still the body (RFC 9112 §6.3).
    pub(super) fn body_was_declined(&self) -> bool {
        match self.queue.back() {
            Some(Entry::Asked(a)) => self.up.awaits_body() && a.expects_continue && a.answer.is_some(),
            _ => false,
        }
    }

    pub(super) fn read_request(&mut self, bytes: &[u8], mark: Mark, out: &mut Out<'_>) -> usize {
        let limits = HeadLimits { fields: out.limits.fields };
        let mut odd = AnomalySet::default();
        match self.up.parse(bytes, mark, out.limits.head, |b| request_head(b, &limits, &mut odd)) {
            HeadStep::Complete(head, used, _)
                if self.is_preface(&head, bytes.get(used..).unwrap_or_default(), out) =>
            {
                self.hand_over(Kind::Http2, out);
                used
            }
            HeadStep::Complete(head, used, at) => {
                (self.guessed, self.odd_held) = (false, false);
                self.on_request(head, odd, at, mark.plus(used), out);
                used
            }
            HeadStep::Partial => bytes.len(),
            HeadStep::TooLong => {
                self.up.adopt_head(bytes, mark);
                if !self.begin_long_request(out) {
                    self.request_odd(Anomaly::HeadTooLong, out);
                    self.lose_up(Completeness::REQUEST_TRUNCATED, mark.ts, out);
                }
                bytes.len()
            }
            HeadStep::Invalid if self.is_certain_boundary(mark) => self.read_odd_request(bytes, mark, out),
            HeadStep::Invalid => {
                self.request_odd(Anomaly::Garbage, out);
                self.lose_up(Completeness::REQUEST_TRUNCATED, mark.ts, out);
                bytes.len()
            }
        }
    }

    /// Nothing was lost: what comes is where a message begins, or an answer says so.
    fn is_certain_boundary(&self, mark: Mark) -> bool {
        let old = matches!(self.queue.back(), Some(Entry::Asked(a)) if a.request.version == Version(0, 9) && !a.odd);
        !self.loose
            && (!self.found || mark.off < self.unheard_until)
            && !self.lost_up
            && !old
            && !self.down.reads_until_close()
    }

    /// Reads lines of text that are no request but stand where one begins: the server may refuse them, or read them as one by rules of its own,
    /// and goes on behind their end in either case. They are told as a request that the answer belongs to.
    fn read_odd_request(&mut self, bytes: &[u8], mark: Mark, out: &mut Out<'_>) -> usize {
        let before = self.up.unfinished_head().map_or(0, |(held, _)| held.len().saturating_sub(bytes.len()));
        self.up.adopt_head(bytes, mark);
        let held = self.up.unfinished_head().map_or(bytes, |(held, _)| held);
        if !begins_with_text(held) || held.len() > out.limits.head {
            self.request_odd(Anomaly::Garbage, out);
            self.lose_up(Completeness::REQUEST_TRUNCATED, mark.ts, out);
            return bytes.len();
        }
        match self.take_odd_request(false, mark, out) {
            Some(len) => len.saturating_sub(before).min(bytes.len()),
            None => {
                self.odd_held = true;
                bytes.len()
            }
        }
    }

    /// The server says something: what is held of lines that are no request may be all that it waited for.
    pub(super) fn end_odd_request(&mut self, out: &mut Out<'_>) {
        if let Some(mark) =
            self.up.unfinished_head().filter(|_| self.odd_held).map(|(held, at)| at.plus(held.len()))
        {
            self.take_odd_request(true, mark, out);
        }
        self.odd_held = false;
    }

    /// Makes a request of what is held, up to an empty line or, where it `is_all`, up to its end at `mark`; gives how long it is.
    fn take_odd_request(&mut self, is_all: bool, mark: Mark, out: &mut Out<'_>) -> Option<usize> {
        let (held, at) = self.up.unfinished_head()?;
        let OddHead { method, target, headers, hints, len } = odd_head(held, is_all)?;
        self.up.forget_head();
        self.odd_held = false;
        let mut anomalies = AnomalySet::default();
        anomalies.insert(Anomaly::Garbage);
        anomalies.insert(Anomaly::RequestLineInvalid);
        let head = RequestHead { method, target, version: Version(0, 9), headers, hints };
        self.request_odd(Anomaly::Garbage, out);
        self.odd_next = true;
        self.on_request(head, anomalies, at, Mark { off: at.off + len as u64, ..mark }, out);
        self.contest_last();
        // Nobody knows whether it is one, nor whether what follows is.
        (self.found, self.in_content) = (true, true);
        self.trail = Trail::anew(self.queue.len());
        Some(len)
    }

    /// HTTP/2 begins here (RFC 9113 §3.4): the client asked to change to it, and what the server says of that is not to be seen. Where it is,
    /// its 101 says so; and a client's word alone changes nothing, since servers exist that read it as a request like others: the rest of the
    /// preface has to follow, and the settings that every client begins with, which no server of HTTP/1 reads on behind.
    fn is_preface(&self, head: &RequestHead, rest: &[u8], out: &Out<'_>) -> bool {
        let asked = || matches!(self.queue.back(), Some(Entry::Asked(a)) if a.upgrades);
        let preface = head.version == Version(2, 0) && head.method == b"PRI" && head.target == b"*";
        let settings = || match rest.strip_prefix(b"SM\r\n\r\n").and_then(<[u8]>::first_chunk::<9>) {
            Some([a, b, c, 4, _, 0, 0, 0, 0]) => u32::from_be_bytes([0, *a, *b, *c]).is_multiple_of(6),
            _ => false,
        };
        preface && head.headers.is_empty() && !out.facts.both_sides && asked() && settings()
    }

    pub(super) fn read_request_body(&mut self, bytes: &[u8], mark: Mark, out: &mut Out<'_>) -> usize {
        let mut odd = AnomalySet::default();
        let step = self.up.body(bytes, out.body, &mut odd);
        if let Some(asked) = self.reading_request() {
            asked.anomalies.extend(&odd);
            asked.last = asked.last.max(mark.ts);
        }
        if self.up.ends_oddly() {
            if self.behind == Behind::Nothing {
                // Servers that end a line elsewhere may have had all of it, and read on.
                self.behind = Behind::Change;
            }
            if !matches!(step, BodyStep::More(_)) {
                self.contest_last();
                // What came with its end may be dropped with it.
                self.unheard_until = self.unheard_until.max(self.up_at);
            }
        }
        match step {
            BodyStep::More(used) => used,
            BodyStep::Done(used) => {
                self.finish_request(Completeness::WHOLE, mark.off + used as u64, mark.ts, out);
                used
            }
            BodyStep::Broken(used) => {
                // Servers give up here or read on, and drop what came with it or do not.
                self.broken = (out.facts.from_start && !self.lost_up).then_some(0);
                self.unheard_until = self.unheard_until.max(self.up_at);
                self.lose_up(Completeness::REQUEST_TRUNCATED, mark.ts, out);
                used
            }
        }
    }

    pub(super) fn on_request(
        &mut self,
        head: RequestHead,
        odd: AnomalySet,
        at: Mark,
        end: Mark,
        out: &mut Out<'_>,
    ) {
        let framing = request_framing(&head.hints);
        let connects = head.method == b"CONNECT";
        let mut asked = self.asked_by(head, odd, at, end, out);
        let is_odd = ends_elsewhere(&asked.anomalies);
        asked.content = asked.content.filter(|_| framing != Framing::Chunked);
        asked.nested = asked.nested.filter(|_| framing != Framing::Chunked || is_odd);
        let expects_nothing = asked.anomalies.contains(Anomaly::ExpectWithoutBody);
        let changes = connects || asked.upgrades;
        self.push_request(asked, out);
        self.contest_by_kind(connects, framing, expects_nothing);
        if is_odd {
            self.contest_behind();
        }
        // Some servers take no content of a request for another protocol or a tunnel, but read it as the next request.
        if changes && framing != Framing::None && self.behind == Behind::Nothing {
            self.behind = Behind::Change;
        }
        if framing == Framing::None {
            self.finish_request(Completeness::WHOLE, end.off, end.ts, out);
            if connects {
                self.up.hold();
            }
        } else {
            self.up.start_body(framing, out.body);
        }
    }

    /// Servers differ in whether the request that was just read is one, or in what is its content.
    fn contest_by_kind(&mut self, connects: bool, framing: Framing, is_odd: bool) {
        // CONNECT has no content (RFC 9110 §9.3.6): some read what is announced as such as the next request. Others wait for content
        // that `Expect` announces, whatever the framing says.
        if connects && framing != Framing::None {
            self.contest();
        }
        if is_odd {
            self.contest_last();
        }
    }

    /// The request that begins with this head.
    fn asked_by(
        &mut self,
        head: RequestHead,
        mut odd: AnomalySet,
        at: Mark,
        end: Mark,
        out: &mut Out<'_>,
    ) -> Asked {
        let framing = request_framing(&head.hints);
        let is_odd = std::mem::take(&mut self.odd_next);
        if !is_odd {
            // Lines that are no request have no version that the next one could be held against.
            check_request(&head, framing, out.address.flow.server.port, &mut self.said, &mut odd);
        }
        let expects_continue = head.hints.expect_continue;
        let upgrades = head.hints.upgrade;
        // What nobody reads as a request is asked by nobody.
        self.suspects.next_is_none = is_odd && !is_method(&head.method);
        let goes_on = expects_continue && head.version >= Version(1, 1);
        let traits = self.certainty.request(&head.headers, goes_on);
        let RequestHead { method, target, version, headers, .. } = head;
        let request = Request { method, target, version, headers, body: Body::default() };
        self.before_request(at, out);
        let seq = std::mem::replace(out.seq, out.seq.wrapping_add(1));
        let mut asked = Asked::new(seq, at, end, request, odd);
        asked.expects_continue = expects_continue;
        asked.upgrades = upgrades;
        asked.traits = traits;
        asked.odd = is_odd;
        asked.behind = self.behind == Behind::Upgrade;
        asked
    }

    /// Takes what is held of a head that is too long for a request, whose head goes on; false where it is none.
    fn begin_long_request(&mut self, out: &mut Out<'_>) -> bool {
        let Some((held, at)) = self.up.unfinished_head() else { return false };
        let (end, long) = (at.plus(held.len()), LongHead::new(held));
        let mut odd = AnomalySet::default();
        let limits = HeadLimits { fields: out.limits.fields };
        let parsed =
            whole_lines(held).or_else(|| cut_line(held)).map(|head| request_head(&head, &limits, &mut odd));
        let Some(Parsed::Complete(head, _)) = parsed else { return false };
        odd.insert(Anomaly::HeadTooLong);
        // What the rest of the head says of these is told at its end.
        odd.remove(Anomaly::HostMissing);
        let mut asked = self.asked_by(head, odd, at, end, out);
        asked.anomalies.remove(Anomaly::ExpectWithoutBody);
        self.push_request(Asked { completeness: Completeness::REQUEST_TRUNCATED, ..asked }, out);
        self.up.start_long(long);
        true
    }

    /// Reads on to the end of a head that is too long; what is behind it is where that says.
    pub(super) fn read_long_request(&mut self, bytes: &[u8], mark: Mark, out: &mut Out<'_>) -> usize {
        let end = self.up.long_head(bytes);
        let mut odd = AnomalySet::default();
        let used = end.as_ref().map_or(bytes.len(), |(used, _)| *used);
        let Some(asked) = self.reading_request() else { return used };
        let says = end.as_ref().map(|(_, head)| (head.upgrades, head.expects)).unwrap_or_default();
        let unsure = end.as_ref().is_some_and(|(_, head)| head.unsure);
        let hints = end.as_ref().map(|(_, head)| head.hints(asked.request.version, &mut odd));
        let framing = hints.as_ref().map(request_framing);
        if hints.is_some() {
            asked.upgrades |= says.0;
            asked.expects_continue |= says.1;
            if says.1 && framing == Some(Framing::None) {
                odd.insert(Anomaly::ExpectWithoutBody);
            }
        }
        asked.last = asked.last.max(mark.ts);
        asked.end = mark.off + used as u64;
        asked.seen_down_head = mark.ack;
        asked.content = Some(asked.end).filter(|_| framing != Some(Framing::Chunked));
        asked.anomalies.extend(&odd);
        let is_odd = ends_elsewhere(&asked.anomalies);
        asked.nested = asked.content.or_else(|| Some(asked.end).filter(|_| is_odd));
        let (end, connects) = (asked.end, asked.request.method == b"CONNECT");
        if let Some(framing) = framing {
            self.contest_by_kind(connects, framing, unsure || odd.contains(Anomaly::ExpectWithoutBody));
            if is_odd {
                self.contest_behind();
            }
        }
        match framing {
            None => {}
            Some(Framing::None) => {
                self.finish_request(Completeness::WHOLE, end, mark.ts, out);
                if connects {
                    self.up.hold();
                }
            }
            Some(framing) => self.up.start_body(framing, out.body),
        }
        used
    }

    /// The head of a request that breaks off is still a request, as far as its first line is whole.
    pub(super) fn salvage_request(&mut self, flag: Completeness, gap: Option<u64>, out: &mut Out<'_>) {
        if self.up.wants() != Wants::Head {
            return;
        }
        if self.odd_held {
            return self.end_odd_request(out);
        }
        let Some((held, at)) = self.up.unfinished_head() else { return };
        let end = at.plus(held.len());
        let mut odd = AnomalySet::default();
        let limits = HeadLimits { fields: out.limits.fields };
        let long = held.len() > out.limits.head;
        let lines = whole_lines(held).or_else(|| if long { cut_line(held) } else { None });
        let parsed = lines.map(|head| request_head(&head, &limits, &mut odd));
        self.up.forget_head();
        let Some(Parsed::Complete(head, _)) = parsed else { return };
        let RequestHead { method, target, version, headers, .. } = head;
        let request = Request { method, target, version, headers, body: Body::default() };
        self.before_request(at, out);
        let seq = std::mem::replace(out.seq, out.seq.wrapping_add(1));
        let mut asked = Asked::new(seq, at, end, request, odd);
        asked.gap_bytes = gap.unwrap_or(0);
        asked.behind = self.behind == Behind::Upgrade;
        self.push_request(asked, out);
        self.finish_request(flag, end.off, end.ts, out);
    }

    /// The request is over: whole, or cut as `flag` says.
    pub(super) fn finish_request(&mut self, flag: Completeness, end: u64, last: Ts, out: &mut Out<'_>) {
        let (body, trailer) = self.up.take_body();
        let limits = HeadLimits { fields: out.limits.fields };
        let from = self.up_from;
        let Some(asked) = self.reading_request() else { return };
        asked.request.body = body;
        if !trailer.is_empty() {
            trailer_fields(&trailer, &mut asked.request.headers, &limits, &mut asked.anomalies);
        }
        asked.completeness.insert(flag);
        asked.end = asked.end.max(end);
        asked.last = asked.last.max(last);
        asked.done = true;
        let grown = asked.request.body.bytes.capacity();
        asked.size += grown;
        // Its server may have dropped the segments before, and read this one as a request of its own.
        let doubted = asked.behind && asked.start < from;
        asked.hidden |= doubted;
        let (ts, seq, open) = (asked.ts, asked.seq, asked.answer.is_none());
        self.held += grown;
        if doubted {
            self.certainty.lose();
        }
        self.begin_doubt(!flag.contains(Completeness::REQUEST_TRUNCATED));
        if flag == Completeness::WHOLE {
            self.keep_nested(out);
        }
        if open && !flag.contains(Completeness::REQUEST_TRUNCATED) {
            out.unanswered.push((ts, seq));
        }
        self.emit_ready(out);
    }

    /// Told of the request before; where none is open, of the exchange that comes next.
    pub(super) fn request_odd(&mut self, anomaly: Anomaly, out: &mut Out<'_>) {
        match self.queue.back_mut() {
            Some(Entry::Asked(asked)) => asked.anomalies.insert(anomaly),
            _ => out.odd.insert(anomaly),
        }
    }
}

/// Servers differ in where the message with this head ends: some take the length, some the coding, the first length or the last, or refuse it; and
/// some end a line with a bare CR, behind which another length may stand.
pub(super) fn ends_elsewhere(anomalies: &AnomalySet) -> bool {
    const CODES: [Anomaly; 6] = [
        Anomaly::BareCr,
        Anomaly::ContentLengthAndTransferEncoding,
        Anomaly::ContentLengthConflict,
        Anomaly::ContentLengthInvalid,
        Anomaly::TransferEncodingOdd,
        Anomaly::TransferEncodingInvalid,
    ];
    CODES.iter().any(|code| anomalies.contains(*code))
}
