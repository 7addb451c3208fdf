use sidetap_model::{Anomaly, Completeness, Exchange, Protocol, Ts};
use sidetap_wire::http1::{begins_method, is_method};

use super::Http;
use super::entry::{Answer, Asked, Entry};
use super::request::ends_elsewhere;
use crate::flow::Out;

impl Http {
    /// Sends on a request, with its response where it has one.
    pub(super) fn emit(
        &mut self,
        asked: Asked,
        answer: Option<Box<Answer>>,
        flag: Completeness,
        out: &mut Out<'_>,
    ) {
        self.held = self.held.saturating_sub(asked.size);
        let answer = match answer {
            // Where its server reads requests, known methods are some.
            None if asked.odd && !(asked.vouched && is_method(&asked.request.method)) => return,
            // The server took it for no request either.
            Some(answer) if asked.odd && !is_old_request(&asked) && refuses_message(&answer) => {
                return self.emit_lone(*answer, Completeness::WHOLE, out);
            }
            Some(answer) if asked.odd => {
                // It reads such lines: they ended where they seemed to.
                self.proven();
                if !refuses_message(&answer) {
                    self.suspects.odd_answered();
                }
                Some(answer)
            }
            answer => answer,
        };
        let mut exchange = blank(asked.seq, asked.ts, out);
        let found = asked.found && !self.is_own_word(out);
        let heard = (!found || asked.vouched) && out.facts.acked_up >= asked.end;
        exchange.acknowledged = is_its_word(out) && (answer.is_some() || heard);
        exchange.end = asked.last;
        let end = asked.end;
        let (asked_after_loss, traits) = (asked.hidden, asked.traits);
        exchange.request = Some(asked.request);
        exchange.sent_in = asked.sent_in;
        exchange.completeness = asked.completeness | flag;
        exchange.gap_bytes = asked.gap_bytes;
        exchange.anomalies = asked.anomalies;
        match answer {
            Some(answer) => {
                if asked_after_loss && self.certainty.is_hidden() {
                    self.certainty.paired(traits, answer.response.status, answer.continued);
                    if self.certainty.is_hidden() {
                        exchange.completeness.insert(Completeness::PAIRING_UNCERTAIN);
                    }
                }
                // What is broken itself is what is refused.
                let sound = exchange.completeness.is_whole() && !ends_elsewhere(&exchange.anomalies);
                let refuses = refuses_message(&answer) || answer.closes && answer.response.status == 413;
                if sound && refuses && self.may_refuse_behind(end, answer.seen_up) {
                    exchange.completeness.insert(Completeness::PAIRING_UNCERTAIN);
                }
                if out.facts.reversed {
                    exchange.completeness.insert(Completeness::RESYNCHRONISED);
                }
                self.add_answer(&mut exchange, *answer);
            }
            None => {
                exchange.completeness.insert(Completeness::NO_RESPONSE);
                exchange.completeness.insert(alone(out));
                if found || out.facts.reversed {
                    exchange.completeness.insert(Completeness::RESYNCHRONISED);
                }
            }
        }
        note_tunnel(&mut exchange, out);
        out.done.push(exchange);
    }

    /// Behind a request that ends at `end` its server had more when it began the answer, up to `seen`, that is no request which all servers
    /// read. Some drop the answer that is due when they refuse that.
    fn may_refuse_behind(&self, end: u64, seen: Option<u64>) -> bool {
        let seen = seen.unwrap_or(self.up_at);
        let is_plain = |a: &Asked| {
            is_method(&a.request.method) && a.anomalies.iter().all(|code| code == Anomaly::VersionChanged)
        };
        let reads = |end: u64, e: &Entry| match e {
            Entry::Asked(a) if a.done && !a.odd && a.start == end && is_plain(a) => Some(a.end),
            _ => None,
        };
        let read = self.queue.iter().try_fold(end, |end, e| reads(end, e).ok_or(end));
        let (Ok(read) | Err(read)) = read;
        read < seen
    }

    /// Sends on a response of which the request is not known.
    pub(super) fn emit_lone(&mut self, answer: Answer, flag: Completeness, out: &mut Out<'_>) {
        let seq = std::mem::replace(out.seq, out.seq.wrapping_add(1));
        let mut exchange = blank(seq, answer.ts, out);
        exchange.acknowledged = is_its_word(out);
        exchange.completeness = Completeness::NO_REQUEST | flag | alone(out);
        self.add_answer(&mut exchange, answer);
        note_tunnel(&mut exchange, out);
        out.done.push(exchange);
    }

    fn add_answer(&mut self, exchange: &mut Exchange, answer: Answer) {
        self.held = self.held.saturating_sub(answer.size);
        exchange.response_ts = Some(answer.ts);
        exchange.end = exchange.end.max(answer.last);
        exchange.response = Some(answer.response);
        exchange.interim = answer.interim;
        exchange.completeness.insert(answer.completeness);
        exchange.gap_bytes += answer.gap_bytes;
        exchange.anomalies.extend(&answer.anomalies);
    }

    /// The request of this number is complete, open and not yet shown.
    pub(crate) fn is_unanswered(&self, seq: u32) -> bool {
        let mut waiting = self.queue.range(self.forgotten()..);
        waiting.any(|e| matches!(e, Entry::Asked(a) if a.seq == seq && is_to_show(a)))
    }

    /// The request of this number as an exchange without answer, where it is complete, open and not yet shown.
    pub(crate) fn show_open(&mut self, seq: u32, out: &Out<'_>) -> Option<Exchange> {
        let own = self.is_own_word(out);
        let from = self.forgotten();
        let asked = self.queue.range_mut(from..).find_map(|e| match e {
            Entry::Asked(a) if a.seq == seq && is_to_show(a) => Some(a),
            _ => None,
        })?;
        asked.shown = true;
        let mut exchange = blank(asked.seq, asked.ts, out);
        exchange.end = asked.last;
        exchange.request = Some(asked.request.clone());
        exchange.sent_in = asked.sent_in.clone();
        exchange.anomalies = asked.anomalies.clone();
        exchange.completeness = asked.completeness | Completeness::NO_RESPONSE;
        exchange.gap_bytes = asked.gap_bytes;
        let doubted = asked.found && !own || out.facts.reversed;
        let heard = (!doubted || asked.vouched) && out.facts.acked_up >= asked.end;
        exchange.acknowledged = is_its_word(out) && heard;
        if doubted {
            exchange.completeness.insert(Completeness::RESYNCHRONISED);
        }
        note_tunnel(&mut exchange, out);
        Some(exchange)
    }
}

/// That the server heard a request is its own word: nobody else wrote both sides, or made it ask.
const fn is_its_word(out: &Out<'_>) -> bool {
    !out.facts.reversed && !out.facts.foreign
}

/// What servers say to bytes that they cannot read as a request: they cannot read on either, and say that they close. An application that
/// says the same to a request that was read keeps the connection.
const fn refuses_message(answer: &Answer) -> bool {
    answer.closes && matches!(answer.response.status, 400 | 408 | 414 | 431 | 505)
}

/// It lacks a version alone: servers that read it close behind any answer, also behind one that their application gives.
fn is_old_request(asked: &Asked) -> bool {
    begins_method(&asked.request.method) && asked.request.target.starts_with(b"/")
}

fn note_tunnel(exchange: &mut Exchange, out: &Out<'_>) {
    if out.facts.foreign {
        exchange.anomalies.insert(Anomaly::TunnelUntrusted);
    }
}

fn is_to_show(asked: &Asked) -> bool {
    asked.done && asked.answer.is_none() && !asked.shown && !asked.odd
}

/// What is to be said of a message that stands alone.
fn alone(out: &Out<'_>) -> Completeness {
    let one_sided = if out.facts.both_sides { Completeness::WHOLE } else { Completeness::ONE_SIDED };
    let joined = if out.facts.from_start { Completeness::WHOLE } else { Completeness::JOINED_LATE };
    one_sided | joined
}

fn blank(seq: u32, ts: Ts, out: &Out<'_>) -> Exchange {
    Exchange {
        zone: out.address.zone,
        flow: out.address.flow,
        flow_id: out.address.flow_id,
        seq,
        ts,
        end: ts,
        response_ts: None,
        protocol: Protocol::Http1,
        request: None,
        response: None,
        interim: 0,
        completeness: Completeness::WHOLE,
        gap_bytes: 0,
        anomalies: Default::default(),
        acknowledged: false,
        proxied_for: out.address.proxied_for,
        sent_in: None,
    }
}
