//! HTTP/1.x over the two directions of a flow: messages, and which response answers which request.
//!
//! While nothing was lost, responses answer requests in their order (RFC 9112 §9.3.2), checked against what each side had
//! acknowledged. After a loss that may hide where a message begins the flow is *loose*: a request and a response are taken
//! for a pair only where acknowledgements prove it (see `pair`); otherwise each stands alone and says so.

mod emit;
mod pair;
mod reader;

use std::collections::VecDeque;

use sidetap_model::{Anomaly, AnomalySet, Body, Completeness, Request, Response, Ts, Version};
use sidetap_wire::http1::{
    Framing, HeadLimits, Parsed, Probe, RequestHead, ResponseHead, likely_request, likely_response,
    probe_request, request_framing, request_head, response_framing, response_head, trailer_fields,
};
use sidetap_wire::target;

use crate::flow::{BASE, Handover, Kind, Mark, Out};
use pair::{Answer, Asked, Entry, Interim, Lost};
use reader::{BodyStep, Gap, HeadStep, Reader, Wants};

/// What the flow knows that exchanges must say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    /// Both directions were seen from their first byte.
    pub(crate) from_start: bool,
    /// Packets of both sides were seen.
    pub(crate) both_sides: bool,
    /// The gap that is being told comes from the snap length.
    pub(crate) snapped: bool,
    /// The flow is being given up for lack of room.
    pub(crate) evicted: bool,
    /// Something was lost before the first message.
    pub(crate) lost_opening: bool,
    /// How far the server acknowledged the client's bytes.
    pub(crate) acked_up: u64,
}

/// How much of a connection's beginning was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Beginning {
    /// All of it.
    Seen,
    /// It was joined late, or bytes of the server were lost.
    Unknown,
    /// The client's first bytes were lost.
    LostRequests,
}

/// Both directions of a connection that speaks HTTP/1.
pub(crate) struct Http {
    up: Reader,
    down: Reader,
    queue: VecDeque<Entry>,
    answer: Option<Box<Answer>>,
    /// Loose only: whole responses of which it is not known what they answer.
    lone: VecDeque<Box<Answer>>,
    loose: bool,
    /// The client sent a request before the one before was answered.
    pipelined: bool,
    /// Responses may have been lost since the flow became loose.
    lost_answers: bool,
    interim: Option<Interim>,
    /// How far the client's bytes were read or are known to be lost.
    up_at: u64,
    eof_up: Option<u64>,
    eof_down: Option<u64>,
    handover: Option<Handover>,
    /// Bytes in `queue`, `answer` and `lone`.
    held: usize,
}

impl Http {
    /// A connection seen from its first byte, or from somewhere.
    pub(crate) fn new(beginning: Beginning) -> Self {
        let mut queue = VecDeque::new();
        if beginning == Beginning::LostRequests {
            queue.push_back(Entry::Gap(Lost::Requests));
        }
        let (mut up, mut down) = (Reader::new(), Reader::new());
        if beginning != Beginning::Seen {
            // The first bytes may stand in the middle of a message.
            up.skip();
            down.skip();
        }
        Http {
            up,
            down,
            queue,
            answer: None,
            lone: VecDeque::new(),
            loose: beginning != Beginning::Seen,
            pipelined: false,
            lost_answers: false,
            interim: None,
            up_at: BASE,
            eof_up: None,
            eof_down: None,
            handover: None,
            held: 0,
        }
    }

    /// Bytes that it holds.
    pub(crate) fn held(&self) -> usize {
        self.held + self.up.held() + self.down.held()
    }

    pub(crate) fn take_handover(&mut self) -> Option<Handover> {
        self.handover.take()
    }

    /// The client's bytes, in order.
    pub(crate) fn up(&mut self, mut bytes: &[u8], mut mark: Mark, out: &mut Out<'_>) {
        self.up_at = mark.off + bytes.len() as u64;
        while !bytes.is_empty() && self.handover.is_none() {
            let used = match self.up.wants() {
                Wants::Head => self.read_request(bytes, mark, out),
                Wants::Body if self.up.awaits_body() && self.body_was_declined(bytes) => {
                    self.finish_request(Completeness::WHOLE, mark.off, mark.ts, out);
                    0
                }
                Wants::Body => self.read_request_body(bytes, mark, out),
                Wants::Skip if likely_request(bytes) => {
                    self.up.resume();
                    0
                }
                Wants::Skip => bytes.len(),
                Wants::Hold => {
                    self.up.keep_held(bytes, mark);
                    bytes.len()
                }
            };
            mark = mark.plus(used);
            bytes = bytes.get(used..).unwrap_or_default();
        }
    }

    /// The server's bytes, in order.
    pub(crate) fn down(&mut self, mut bytes: &[u8], mut mark: Mark, out: &mut Out<'_>) {
        while !bytes.is_empty() && self.handover.is_none() {
            let used = match self.down.wants() {
                Wants::Head => self.read_response(bytes, mark, out),
                Wants::Body => self.read_response_body(bytes, mark, out),
                Wants::Skip if likely_response(bytes) => {
                    self.down.resume();
                    0
                }
                Wants::Skip | Wants::Hold => bytes.len(),
            };
            mark = mark.plus(used);
            bytes = bytes.get(used..).unwrap_or_default();
        }
        if let Some(handover) = &mut self.handover
            && !bytes.is_empty()
        {
            handover.down = Some((mark, bytes.to_vec()));
        }
    }

    /// Client bytes that the capture lacks; it goes on at `at`.
    pub(crate) fn up_gap(&mut self, len: u64, at: u64, out: &mut Out<'_>) {
        self.up_at = at;
        let flag = gap_flag(Completeness::REQUEST_GAP, out);
        let inside = self.up.gap(len);
        let last = match self.reading_request() {
            Some(asked) => {
                asked.completeness.insert(flag);
                asked.gap_bytes += len;
                asked.last
            }
            None => Ts::default(),
        };
        match inside {
            Gap::Bridged => {}
            Gap::BodyEnded => self.finish_request(Completeness::WHOLE, at, last, out),
            Gap::Lost => {
                let between = self.up.is_between();
                self.salvage_request(flag, Some(len), out);
                self.lose_up(flag, last, out);
                if between {
                    self.push_gap(Lost::Requests);
                }
            }
        }
    }

    /// Server bytes that the capture lacks; it goes on at `at`.
    pub(crate) fn down_gap(&mut self, len: u64, at: u64, out: &mut Out<'_>) {
        let flag = gap_flag(Completeness::RESPONSE_GAP, out);
        let inside = self.down.gap(len);
        let last = match &mut self.answer {
            Some(answer) => {
                answer.completeness.insert(flag);
                answer.gap_bytes += len;
                answer.last
            }
            None => Ts::default(),
        };
        match inside {
            Gap::Bridged => {}
            Gap::BodyEnded => {
                self.finish_response(Completeness::WHOLE, at, last, out);
                self.go_on_after_connect(out);
            }
            Gap::Lost => {
                self.salvage_response(flag, Some(len), out);
                self.lose_down(flag, last, out);
            }
        }
    }

    /// A direction is at its end.
    pub(crate) fn eof(&mut self, up: bool, at: u64, out: &mut Out<'_>) {
        if up {
            self.eof_up = Some(at);
            return;
        }
        self.eof_down = Some(at);
        if self.down.reads_until_close() {
            let last = self.answer.as_ref().map_or(Ts::default(), |a| a.last);
            self.finish_response(Completeness::WHOLE, at, last, out);
        }
    }

    /// The flow is over: what is unfinished is cut, what is unpaired stands alone.
    pub(crate) fn finish(&mut self, out: &mut Out<'_>) {
        let evicted = if out.facts.evicted { Completeness::EVICTED } else { Completeness::WHOLE };
        self.salvage_request(Completeness::REQUEST_TRUNCATED | evicted, None, out);
        if self.up.reads_body() {
            let (at, last) = self.reading_request().map_or((0, Ts::default()), |a| (a.end, a.last));
            self.finish_request(Completeness::REQUEST_TRUNCATED | evicted, at, last, out);
        }
        self.salvage_response(Completeness::RESPONSE_TRUNCATED | evicted, None, out);
        if self.down.reads_body() {
            let (at, last) = self.answer.as_ref().map_or((0, Ts::default()), |a| (a.end, a.last));
            self.finish_response(Completeness::RESPONSE_TRUNCATED | evicted, at, last, out);
        }
        self.pair_last(out);
        self.flush(evicted, out);
    }

    /// What the client sends cannot be followed any further: a message that is being read ends who knows where.
    fn lose_up(&mut self, flag: Completeness, last: Ts, out: &mut Out<'_>) {
        if self.up.reads_body() {
            self.finish_request(flag, 0, last, out);
        }
        self.up.skip();
        self.push_gap(Lost::Perhaps);
    }

    /// The same of the server's bytes.
    fn lose_down(&mut self, flag: Completeness, last: Ts, out: &mut Out<'_>) {
        if self.down.reads_body() {
            self.finish_response(flag, 0, last, out);
        }
        self.down.skip();
        self.loosen();
        self.lost_answers = true;
    }

    /// The server refused a body that the client announced with `Expect`, and the client went on to its next request
    /// (RFC 9110 §10.1.1).
    fn body_was_declined(&mut self, bytes: &[u8]) -> bool {
        let declined = match self.queue.back() {
            Some(Entry::Asked(a)) => a.expects_continue && a.answer.is_some(),
            _ => false,
        };
        declined && probe_request(bytes) == Probe::Certain
    }

    fn read_request(&mut self, bytes: &[u8], mark: Mark, out: &mut Out<'_>) -> usize {
        let limits = HeadLimits { fields: out.limits.fields };
        let mut odd = AnomalySet::default();
        match self.up.parse(bytes, mark, out.limits.head, |b| request_head(b, &limits, &mut odd)) {
            HeadStep::Complete(head, used, _) if head.version == Version(2, 0) && head.method == b"PRI" => {
                self.hand_over(Kind::Http2, out);
                used
            }
            HeadStep::Complete(head, used, at) => {
                self.on_request(head, odd, at, mark.plus(used), out);
                used
            }
            HeadStep::Partial => bytes.len(),
            HeadStep::TooLong => {
                self.up.adopt_head(bytes, mark);
                self.salvage_request(Completeness::REQUEST_TRUNCATED, None, out);
                self.request_odd(Anomaly::HeadTooLong, out);
                self.lose_up(Completeness::REQUEST_TRUNCATED, mark.ts, out);
                bytes.len()
            }
            HeadStep::Invalid => {
                self.request_odd(Anomaly::Garbage, out);
                self.lose_up(Completeness::REQUEST_TRUNCATED, mark.ts, out);
                bytes.len()
            }
        }
    }

    fn read_response(&mut self, bytes: &[u8], mark: Mark, out: &mut Out<'_>) -> usize {
        let limits = HeadLimits { fields: out.limits.fields };
        let mut odd = AnomalySet::default();
        match self.down.parse(bytes, mark, out.limits.head, |b| response_head(b, &limits, &mut odd)) {
            HeadStep::Complete(head, used, at) => {
                self.on_response(head, odd, at, mark.plus(used), out);
                used
            }
            HeadStep::Partial => bytes.len(),
            HeadStep::Invalid if self.first_open().is_some_and(|a| a.request.version == Version(0, 9)) => {
                self.on_old_response(bytes, mark, out);
                bytes.len()
            }
            HeadStep::TooLong => {
                self.down.adopt_head(bytes, mark);
                self.salvage_response(Completeness::RESPONSE_TRUNCATED, None, out);
                self.lose_down(Completeness::RESPONSE_TRUNCATED, mark.ts, out);
                bytes.len()
            }
            HeadStep::Invalid if !self.loose && self.is_all_answered() => {
                // What follows the last response that is due answers nothing (RFC 9112 §6.3).
                self.response_odd(Anomaly::Garbage, out);
                self.down.skip();
                bytes.len()
            }
            HeadStep::Invalid => {
                self.response_odd(Anomaly::Garbage, out);
                self.lose_down(Completeness::RESPONSE_TRUNCATED, mark.ts, out);
                bytes.len()
            }
        }
    }

    fn read_request_body(&mut self, bytes: &[u8], mark: Mark, out: &mut Out<'_>) -> usize {
        let mut odd = AnomalySet::default();
        let step = self.up.body(bytes, out.body, &mut odd);
        if let Some(asked) = self.reading_request() {
            asked.anomalies.extend(&odd);
            asked.last = asked.last.max(mark.ts);
        }
        match step {
            BodyStep::More(used) => used,
            BodyStep::Done(used) => {
                self.finish_request(Completeness::WHOLE, mark.off + used as u64, mark.ts, out);
                used
            }
            BodyStep::Broken(used) => {
                self.lose_up(Completeness::REQUEST_TRUNCATED, mark.ts, out);
                used
            }
        }
    }

    fn read_response_body(&mut self, bytes: &[u8], mark: Mark, out: &mut Out<'_>) -> usize {
        let mut odd = AnomalySet::default();
        let step = self.down.body(bytes, out.body, &mut odd);
        if let Some(answer) = &mut self.answer {
            answer.anomalies.extend(&odd);
            answer.last = answer.last.max(mark.ts);
        }
        match step {
            BodyStep::More(used) => used,
            BodyStep::Done(used) => {
                self.finish_response(Completeness::WHOLE, mark.off + used as u64, mark.ts, out);
                self.go_on_after_connect(out);
                used
            }
            BodyStep::Broken(used) => {
                self.lose_down(Completeness::RESPONSE_TRUNCATED, mark.ts, out);
                used
            }
        }
    }

    fn on_request(&mut self, head: RequestHead, mut odd: AnomalySet, at: Mark, end: Mark, out: &mut Out<'_>) {
        check_host(&head, &mut odd);
        let framing = request_framing(&head.hints);
        let connects = head.method == b"CONNECT";
        let expects_continue = head.hints.expect_continue;
        let RequestHead { method, target, version, headers, .. } = head;
        let request = Request { method, target, version, headers, body: Body::default() };
        self.before_request(at, out);
        let seq = std::mem::replace(out.seq, out.seq.wrapping_add(1));
        let mut asked = Asked::new(seq, at, end, request, odd);
        asked.expects_continue = expects_continue;
        self.push_request(asked, out);
        if framing == Framing::None {
            self.finish_request(Completeness::WHOLE, end.off, end.ts, out);
            if connects {
                self.up.hold();
            }
        } else {
            self.up.start_body(framing, out.body);
        }
    }

    fn on_response(&mut self, head: ResponseHead, odd: AnomalySet, at: Mark, end: Mark, out: &mut Out<'_>) {
        if matches!(head.status, 100 | 102..=199) {
            self.on_interim(at.off, end.off);
            return;
        }
        let interim = self.interim.take();
        let start = interim.filter(|i| i.end == at.off).map_or(at.off, |i| i.start);
        let (target, method) = self.target_of(start, at, out);
        let framing = response_framing(method.as_deref(), head.status, &head.hints);
        let next = hands_over(&head, method.as_deref());
        let ResponseHead { status, version, headers, .. } = head;
        let response = Response { status, version, headers, body: Body::default() };
        let mut answer = Answer::new(target, at, end, response, odd);
        answer.start = start;
        answer.interim = interim.map_or(0, |i| i.count);
        self.begin_answer(answer);
        if framing == Framing::None {
            self.finish_response(Completeness::WHOLE, end.off, end.ts, out);
        } else {
            self.down.start_body(framing, out.body);
            if framing == Framing::UntilClose && self.eof_down == Some(end.off) {
                self.finish_response(Completeness::WHOLE, end.off, end.ts, out);
            }
        }
        match next {
            Some(kind) => self.hand_over(kind, out),
            None => self.go_on_after_connect(out),
        }
    }

    /// A response without head, as HTTP/0.9 sends it (RFC 1945 §6): all up to the end of the connection.
    fn on_old_response(&mut self, bytes: &[u8], mark: Mark, out: &mut Out<'_>) {
        let at = self.down.unfinished_head().map_or(mark, |(_, at)| at);
        self.down.adopt_head(bytes, mark);
        let held = self.down.unfinished_head().map(|(head, _)| head.to_vec()).unwrap_or_default();
        self.down.forget_head();
        let (target, _) = self.target_of(at.off, at, out);
        let response = Response {
            status: 200,
            version: Version(0, 9),
            headers: Default::default(),
            body: Body::default(),
        };
        self.begin_answer(Answer::new(target, at, mark, response, AnomalySet::default()));
        self.down.start_body(Framing::UntilClose, out.body);
        self.down.body(&held, out.body, &mut AnomalySet::default());
    }

    fn hand_over(&mut self, kind: Kind, out: &mut Out<'_>) {
        let up = self.up.take_held();
        self.flush(Completeness::WHOLE, out);
        self.handover = Some(Handover { kind, up, down: None });
    }

    /// A refused CONNECT leaves the connection what it was; what came behind the request is read now.
    fn go_on_after_connect(&mut self, out: &mut Out<'_>) {
        if self.up.wants() != Wants::Hold || self.first_open().is_some() {
            return;
        }
        if let Some((mark, bytes)) = self.up.take_held() {
            self.up(&bytes, mark, out);
        }
    }

    /// The head of a request that breaks off is still a request, as far as its first line is whole.
    fn salvage_request(&mut self, flag: Completeness, gap: Option<u64>, out: &mut Out<'_>) {
        if self.up.wants() != Wants::Head {
            return;
        }
        let Some((held, at)) = self.up.unfinished_head() else { return };
        let end = at.plus(held.len());
        let mut odd = AnomalySet::default();
        let limits = HeadLimits { fields: out.limits.fields };
        let parsed = whole_lines(held).map(|head| request_head(&head, &limits, &mut odd));
        self.up.forget_head();
        let Some(Parsed::Complete(head, _)) = parsed else { return };
        let RequestHead { method, target, version, headers, .. } = head;
        let request = Request { method, target, version, headers, body: Body::default() };
        self.before_request(at, out);
        let seq = std::mem::replace(out.seq, out.seq.wrapping_add(1));
        let mut asked = Asked::new(seq, at, end, request, odd);
        asked.gap_bytes = gap.unwrap_or(0);
        self.push_request(asked, out);
        self.finish_request(flag, end.off, end.ts, out);
    }

    /// The same of a response.
    fn salvage_response(&mut self, flag: Completeness, gap: Option<u64>, out: &mut Out<'_>) {
        if self.down.wants() != Wants::Head {
            return;
        }
        let Some((held, at)) = self.down.unfinished_head() else { return };
        let end = at.plus(held.len());
        let mut odd = AnomalySet::default();
        let limits = HeadLimits { fields: out.limits.fields };
        let parsed = whole_lines(held).map(|head| response_head(&head, &limits, &mut odd));
        self.down.forget_head();
        let Some(Parsed::Complete(head, _)) = parsed else { return };
        if matches!(head.status, 100..=199) {
            return;
        }
        let (target, _) = self.target_of(at.off, at, out);
        let ResponseHead { status, version, headers, .. } = head;
        let response = Response { status, version, headers, body: Body::default() };
        let mut answer = Answer::new(target, at, end, response, odd);
        answer.gap_bytes = gap.unwrap_or(0);
        self.begin_answer(answer);
        self.finish_response(flag, end.off, end.ts, out);
    }

    /// The request is over: whole, or cut as `flag` says.
    fn finish_request(&mut self, flag: Completeness, end: u64, last: Ts, out: &mut Out<'_>) {
        let (body, trailer) = self.up.take_body();
        let limits = HeadLimits { fields: out.limits.fields };
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
        let (ts, seq, open) = (asked.ts, asked.seq, asked.answer.is_none());
        self.held += grown;
        if open && !flag.contains(Completeness::REQUEST_TRUNCATED) {
            out.unanswered.push((ts, seq));
        }
        self.emit_ready(out);
    }

    /// The response is over: whole, or cut as `flag` says.
    fn finish_response(&mut self, flag: Completeness, end: u64, last: Ts, out: &mut Out<'_>) {
        let (body, trailer) = self.down.take_body();
        let limits = HeadLimits { fields: out.limits.fields };
        let Some(mut answer) = self.answer.take() else { return };
        answer.response.body = body;
        if !trailer.is_empty() {
            trailer_fields(&trailer, &mut answer.response.headers, &limits, &mut answer.anomalies);
        }
        answer.completeness.insert(flag);
        answer.end = answer.end.max(end);
        answer.last = answer.last.max(last);
        let grown = answer.response.body.bytes.capacity();
        answer.size += grown;
        self.held += grown;
        self.place(answer, out);
    }

    /// Told of the request before; where none is open, of the exchange that comes next.
    fn request_odd(&mut self, anomaly: Anomaly, out: &mut Out<'_>) {
        match self.queue.back_mut() {
            Some(Entry::Asked(asked)) => asked.anomalies.insert(anomaly),
            _ => out.odd.insert(anomaly),
        }
    }

    fn response_odd(&mut self, anomaly: Anomaly, out: &mut Out<'_>) {
        match &mut self.answer {
            Some(answer) => answer.anomalies.insert(anomaly),
            None => out.odd.insert(anomaly),
        }
    }
}

/// The whole lines of a head that breaks off, closed as a head. Of a first line that breaks off inside its version the
/// rest is known.
fn whole_lines(held: &[u8]) -> Option<Vec<u8>> {
    if let Some(lines) = held.iter().rposition(|b| *b == b'\n').and_then(|end| held.get(..=end)) {
        return Some([lines, b"\r\n"].concat());
    }
    let version = held.iter().rposition(|b| *b == b' ').and_then(|at| held.get(at + 1..))?;
    let words = held.iter().filter(|b| **b == b' ').count();
    let known = b"HTTP/1.1".get(..version.len()) == Some(version);
    let rest = b"HTTP/1.1".get(version.len()..)?;
    (known && words == 2).then(|| [held, rest, b"\r\n\r\n"].concat())
}

fn hands_over(head: &ResponseHead, method: Option<&[u8]>) -> Option<Kind> {
    match head.status {
        101 => {
            let websocket = head.headers.get("upgrade").is_some_and(|u| u.eq_ignore_ascii_case(b"websocket"));
            Some(if websocket { Kind::WebSocket } else { Kind::Http2 })
        }
        200..=299 if method == Some(b"CONNECT") => Some(Kind::Tunnel),
        _ => None,
    }
}

fn gap_flag(flag: Completeness, out: &Out<'_>) -> Completeness {
    if out.facts.snapped { flag | Completeness::SNAPPED } else { flag }
}

/// A target that names an authority must agree with Host (RFC 9112 §3.2.2).
fn check_host(head: &RequestHead, odd: &mut AnomalySet) {
    if head.target.starts_with(b"/") || head.method == b"CONNECT" {
        return;
    }
    let Some(authority) = target::split(&head.method, &head.target).authority else { return };
    if head.headers.get("host").is_some_and(|h| !h.eq_ignore_ascii_case(authority)) {
        odd.insert(Anomaly::HostMismatch);
    }
}
