//! The server's side: heads, bodies, what they hand over to, and what is left of them after a loss.

use sidetap_model::{Anomaly, AnomalySet, Body, Completeness, Response, Ts, Version};
use sidetap_wire::http1::{
    Framing, HeadLimits, Parsed, ResponseHead, response_framing, response_head, trailer_fields,
};

use super::Http;
use super::checks::{Said, check_response, whole_lines};
use super::entry::{Answer, Asked, Entry, Target};
use super::long::LongHead;
use super::reader::{BodyStep, HeadStep, Wants};
use crate::flow::{Kind, Mark, Out};

impl Http {
    pub(super) fn read_response(&mut self, bytes: &[u8], mark: Mark, out: &mut Out<'_>) -> usize {
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
                if !self.begin_long_response(out) {
                    self.lose_down(Completeness::RESPONSE_TRUNCATED, mark.ts, out);
                }
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

    pub(super) fn read_response_body(&mut self, bytes: &[u8], mark: Mark, out: &mut Out<'_>) -> usize {
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

    /// Takes what is held of a head that is too long for a response, whose head goes on; false where it is none.
    fn begin_long_response(&mut self, out: &mut Out<'_>) -> bool {
        let Some((held, at)) = self.down.unfinished_head() else { return false };
        let (end, mut long) = (at.plus(held.len()), LongHead::new(held));
        let mut odd = AnomalySet::default();
        let limits = HeadLimits { fields: out.limits.fields };
        let parsed = whole_lines(held).map(|head| response_head(&head, &limits, &mut odd));
        let Some(Parsed::Complete(head, _)) = parsed else { return false };
        if matches!(head.status, 100 | 102..=199) {
            return false;
        }
        odd.insert(Anomaly::HeadTooLong);
        let may_tunnel = !out.facts.in_last_tunnel;
        let (answer, method) = self.answered_by(head, odd, at, end, out, |head, method, asked| {
            long.next = hands_over(head, method, may_tunnel, asked);
        });
        long.answers = method;
        self.begin_answer(Answer { completeness: Completeness::RESPONSE_TRUNCATED, ..answer });
        self.down.start_long(long);
        true
    }

    /// Reads on to the end of a head that is too long; what is behind it is where that says.
    pub(super) fn read_long_response(&mut self, bytes: &[u8], mark: Mark, out: &mut Out<'_>) -> usize {
        let end = self.down.long_head(bytes);
        let used = end.as_ref().map_or(bytes.len(), |(used, _)| *used);
        let Some(answer) = &mut self.answer else { return used };
        answer.last = answer.last.max(mark.ts);
        answer.end = mark.off + used as u64;
        let (status, end_at) = (answer.response.status, mark.plus(used));
        if let Some((_, head)) = end {
            let hints = head.hints(answer.response.version, &mut answer.anomalies);
            answer.anomalies.remove(Anomaly::HostMissing);
            let framing = response_framing(head.answers.as_deref(), status, &hints);
            self.read_behind(framing, head.next, end_at, out);
        }
        used
    }

    /// Goes on behind the head of a response, which ends at `end`.
    fn read_behind(&mut self, framing: Framing, next: Option<Kind>, end: Mark, out: &mut Out<'_>) {
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

    pub(super) fn on_response(
        &mut self,
        head: ResponseHead,
        odd: AnomalySet,
        at: Mark,
        end: Mark,
        out: &mut Out<'_>,
    ) {
        if matches!(head.status, 100 | 102..=199) {
            let framed = head.hints.content_length.is_some() || head.hints.chunked;
            if framed || !matches!(head.status, 100 | 102..=104) {
                // Some servers send the number that their application says, and take it for final.
                self.contest();
            }
            self.on_interim(head.status, at, end.off);
            return;
        }
        self.tell_given_up(false, out);
        self.answered_urgent(at, out);
        self.answered_within(at, out);
        // Servers that close say so of what they waited for too long, though nobody asked.
        let closes = Said::by_response(&head).closes;
        if !(closes && head.status == 408) {
            self.answered_beyond(at, out);
        }
        let mut behind = (Framing::None, None);
        let may_tunnel = !out.facts.in_last_tunnel;
        let (answer, _) = self.answered_by(head, odd, at, end, out, |head, method, asked| {
            let next = hands_over(head, method, may_tunnel, asked);
            let framing =
                match response_framing(method.filter(|m| *m != b"CONNECT"), head.status, &head.hints) {
                    Framing::UntilClose if method == Some(b"CONNECT") && head.status < 300 => Framing::None,
                    _ if next.is_some() => Framing::None,
                    framing => framing,
                };
            behind = (framing, next);
        });
        self.begin_answer(answer);
        self.read_behind(behind.0, behind.1, end, out);
    }

    /// The answer that begins with this head, and the method that decides on its framing; `look` sees both first, and whether it may be the
    /// answer to a request for another protocol.
    fn answered_by(
        &mut self,
        head: ResponseHead,
        mut odd: AnomalySet,
        at: Mark,
        end: Mark,
        out: &mut Out<'_>,
        look: impl FnOnce(&ResponseHead, Option<&[u8]>, bool),
    ) -> (Answer, Option<Vec<u8>>) {
        let interim = self.interim.take();
        self.certainty.answer_begins(at.ts);
        check_response(&head, &mut self.said[1], &mut odd);
        let start = interim.filter(|i| i.end == at.off).map_or(at.off, |i| i.start);
        let (target, method) = self.target_of(start, at, out);
        // Whoever changes to another protocol says to which.
        let names = head.headers.get("upgrade").is_some();
        let asked = head.status != 101 || names && self.may_upgrade(target);
        if !asked {
            odd.insert(Anomaly::UpgradeUnasked);
            let open = self.queue.iter().filter(|e| matches!(e, Entry::Asked(a) if a.answer.is_none()));
            if open.count() > 1 {
                // It may be an interim one like others (RFC 9110 §15.2): then its final answer is not that of the next request.
                self.contest();
            }
        }
        look(&head, method.as_deref(), asked);
        let ResponseHead { status, version, headers, .. } = head;
        let response = Response { status, version, headers, body: Body::default() };
        let mut answer = Answer::new(target, at, end, response, odd);
        answer.start = start;
        answer.closes = self.said[1].closes;
        if let Some(interim) = interim {
            answer.interim = interim.count;
            answer.continued = interim.continues > 0;
            if interim.continues > 1 {
                answer.anomalies.insert(Anomaly::ContinueRepeated);
            }
        }
        (answer, method)
    }

    /// The request that a 101 answers asked for another protocol (RFC 9110 §15.2.2), or may have: not all of it was seen, or nothing of it.
    fn may_upgrade(&self, target: Target) -> bool {
        let mut open = self.queue.iter().filter_map(|e| match e {
            Entry::Asked(a) if a.answer.is_none() => Some(a),
            _ => None,
        });
        let asks = |a: &Asked| a.upgrades || a.completeness != Completeness::WHOLE;
        match target {
            Target::Request(seq) => open.any(|a| a.seq == seq && asks(a)),
            Target::Nobody => false,
            Target::Unknown | Target::Forgotten => {
                let mut open = open.peekable();
                self.lost_up || open.peek().is_none() || open.any(|a| asks(a))
            }
        }
    }

    /// A response without head, as HTTP/0.9 sends it (RFC 1945 §6): all up to the end of the connection.
    pub(super) fn on_old_response(&mut self, bytes: &[u8], mark: Mark, out: &mut Out<'_>) {
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

    /// The same of a response.
    pub(super) fn salvage_response(&mut self, flag: Completeness, gap: Option<u64>, out: &mut Out<'_>) {
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
        let closes = Said::by_response(&head).closes;
        let ResponseHead { status, version, headers, .. } = head;
        let response = Response { status, version, headers, body: Body::default() };
        let mut answer = Answer::new(target, at, end, response, odd);
        answer.closes = closes;
        answer.gap_bytes = gap.unwrap_or(0);
        self.begin_answer(answer);
        self.finish_response(flag, end.off, end.ts, out);
    }

    /// The response is over: whole, or cut as `flag` says.
    pub(super) fn finish_response(&mut self, flag: Completeness, end: u64, last: Ts, out: &mut Out<'_>) {
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

    pub(super) fn response_odd(&mut self, anomaly: Anomaly, out: &mut Out<'_>) {
        match &mut self.answer {
            Some(answer) => answer.anomalies.insert(anomaly),
            None => out.odd.insert(anomaly),
        }
    }
}

/// What the connection goes on as behind a response.
///
/// A proxy that opens a tunnel sends no content (RFC 9110 §9.3.6). A server that knows no CONNECT may answer it as any other
/// request, with content, and reads the next one: so does Go's.
///
/// A 101 that nobody asked for is an answer like others: some servers send the status that their application names, and read on.
fn hands_over(head: &ResponseHead, method: Option<&[u8]>, may_tunnel: bool, asked: bool) -> Option<Kind> {
    match head.status {
        101 if asked => Some(upgraded(head.headers.get("upgrade").unwrap_or_default())),
        200..=299 if method == Some(b"CONNECT") && may_tunnel => {
            let content = !matches!(
                response_framing(None, head.status, &head.hints),
                Framing::None | Framing::Length(0) | Framing::UntilClose
            );
            (!content).then_some(Kind::Tunnel)
        }
        _ => None,
    }
}

/// The protocol that `Upgrade` names (RFC 9110 §7.8).
fn upgraded(to: &[u8]) -> Kind {
    let name = to.split(|b| *b == b'/').next().unwrap_or_default();
    match name {
        n if n.eq_ignore_ascii_case(b"websocket") => Kind::WebSocket,
        n if n.eq_ignore_ascii_case(b"h2c") => Kind::Http2,
        n if n.eq_ignore_ascii_case(b"tls") => Kind::Tls,
        _ => Kind::Unknown,
    }
}
