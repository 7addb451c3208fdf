//! Which response answers which request.
//!
//! In a flow without loss the next response answers the first request that has none. Two things are checked all the same:
//! the server must have received the request's beginning when it began the response, and the response may not lie before
//! what the client had received when it asked. A response that fails is one that nobody asked for (a 408 before a close).
//!
//! In a loose flow a request and a response are a pair only where
//! 1. the response begins exactly where the client had received the server's bytes to when it began the request;
//! 2. the server had received the beginning of the request when it began the response;
//! 3. the client's next request began when it had received exactly that response's end, or both sides closed right behind
//!    request and response;
//! 4. the client was not seen to pipeline since all that it had asked was answered. It did where two requests began at one point of the server's bytes, where a
//!    response began elsewhere than its request had seen them to, where a response was begun before the request due for it
//!    was received, or where lost requests cannot have been answered by what came before the next one.
//!
//! So an unseen request or response between them would have left a mark. After such a proof the flow is strict again. The
//! one case that leaves none is marked (see `certain`).

use std::collections::VecDeque;

use sidetap_model::{Anomaly, Completeness, Ts, Version};

use super::Http;
use super::behind::Behind;
use super::entry::{Answer, Asked, Entry, Interim, Lost, Target};
use super::reader::Wants;
use super::trail::Tally;
use crate::flow::{BASE, Mark, Out};

/// So many requests in a row, each answered by itself, are no pipeline any more.
const FITS: u8 = 4;
/// Responses held in a loose flow at most.
const MOST_LONE: usize = 32;
/// Entries that are remembered of one flow, forgotten ones included; more make it loose.
const MOST_ENTRIES: usize = 1024;

impl Http {
    /// The request whose body is being read.
    pub(super) fn reading_request(&mut self) -> Option<&mut Asked> {
        match self.queue.back_mut() {
            Some(Entry::Asked(asked)) if !asked.done => Some(asked),
            _ => None,
        }
    }

    /// The first request without response.
    pub(super) fn first_open(&self) -> Option<&Asked> {
        self.queue.range(self.forgotten()..).find_map(|e| match e {
            Entry::Asked(a) if a.answer.is_none() => Some(&**a),
            _ => None,
        })
    }

    /// Whether bytes of the client are content of a known length.
    pub(crate) fn is_content(&self, from: u64, end: u64) -> bool {
        let holds = |a: &Asked| {
            a.content.is_some_and(|at| at <= from) && (end <= a.end || !a.done && self.up.reads_body())
        };
        self.queue.iter().rev().any(|e| matches!(e, Entry::Asked(a) if holds(a)))
    }

    /// The first request is whole, open, and was received up to here.
    pub(crate) fn waits(&self, acked: u64) -> bool {
        matches!(self.queue.front(), Some(Entry::Asked(a)) if a.done && a.answer.is_none() && a.end <= acked)
    }

    /// No response is due.
    pub(super) fn is_all_answered(&self) -> bool {
        self.queue.iter().all(|e| matches!(e, Entry::Asked(a) if a.answer.is_some()))
    }

    pub(super) fn push_gap(&mut self, lost: Lost) {
        match self.queue.back_mut() {
            Some(Entry::Gap(before)) if lost == Lost::Requests => *before = lost,
            Some(Entry::Gap(_)) => {}
            _ => self.queue.push_back(Entry::Gap(lost)),
        }
    }

    pub(super) fn loosen(&mut self) {
        if !self.loose {
            let open = |e: &&Entry| !matches!(e, Entry::Asked(a) if a.answer.is_some());
            let count = |e: &Entry| if let Entry::Forgotten { count, .. } = e { *count as usize } else { 1 };
            self.tally = Tally::of(self.queue.iter().filter(open).map(count).sum());
        }
        self.loose = true;
        self.interim = None;
    }

    pub(super) fn on_interim(&mut self, status: u16, at: Mark, end: u64) {
        if !self.loose && self.is_all_answered() {
            // It belongs to no request, and to none that comes.
            return;
        }
        let new = Interim { start: at.off, end, count: 0, continues: 0, seen_up: at.ack };
        let before = self.interim.filter(|i| i.end == at.off).unwrap_or(new);
        self.interim = Some(Interim {
            end,
            count: before.count.saturating_add(1),
            continues: before.continues.saturating_add(u8::from(status == 100)),
            ..before
        });
        if self.is_open_behind_first() && self.may_be_final(end) {
            self.contest();
        }
    }

    /// More than one request that was seen is open.
    fn is_open_behind_first(&self) -> bool {
        let open = |e: &&Entry| match e {
            Entry::Asked(a) => a.answer.is_none(),
            // Requests that were lost may be.
            Entry::Forgotten { .. } | Entry::Gap(_) => true,
        };
        self.queue.iter().filter(open).nth(1).is_some()
    }

    /// A request is about to begin: what it tells on those before it.
    pub(super) fn before_request(&mut self, at: Mark, out: &mut Out<'_>) {
        if self.certainty.is_hidden() {
            let idle = self.down.is_between() && (self.loose || self.queue.is_empty());
            self.certainty.request_begins(at.ts, idle);
        }
        let quiet = self.down.is_between() && at.ack == Some(self.down_at);
        let heard = quiet || self.down.wants() == Wants::Skip && at.ack == Some(self.down_at);
        if self.begin_behind_nested(heard, out) {
            self.doubt_pairs();
        }
        if self.may_be_final(self.down_at) {
            self.contest();
        }
        if self.burst && self.loose && self.tally.is_even() && quiet {
            // All that was seen is answered: the client began anew. One that was not seen may be open all the same.
            self.burst = false;
            self.certainty.lose();
        }
        self.settle_contest(quiet);
        if self.contested && self.behind == Behind::Nothing {
            self.behind = Behind::Contested;
        }
        let before = self.queue.iter().rev().find_map(|e| match e {
            Entry::Asked(a) => Some(a.seen_down),
            _ => None,
        });
        if before.is_some_and(|seen| seen.zip(at.ack).is_none_or(|(before, now)| now <= before)) {
            self.burst = true;
        }
        if self.loose {
            self.resolve(at, out);
        } else if !out.facts.both_sides && self.is_unheard(at.ts, out) {
            // Answers are not to be expected; should they come all the same, nothing waits for them any longer.
            self.loosen();
            self.flush(Completeness::WHOLE, out);
        }
    }

    /// Nobody has answered for so long that the mirror does not merely show one side later than the other.
    fn is_unheard(&self, now: Ts, out: &Out<'_>) -> bool {
        let first = self.queue.iter().find_map(|e| if let Entry::Asked(a) = e { Some(a.ts) } else { None });
        let is_late = first.is_none_or(|first| now.since(first) >= out.limits.reorder_time);
        !self.queue.is_empty() && (is_late || self.queue.len() >= out.limits.reorder_packets as usize)
    }

    /// The interim answer that ends at `end` is the last that was said, and the client asks for more before, or behind it: some servers send what their
    /// application says, and take it for final. The one that `Expect` asks for is none of these, where there is one: a server has to leave it out for
    /// HTTP/1.0, and whoever has all of the content says no more to go on (RFC 9110 §10.1.1).
    fn may_be_final(&self, end: u64) -> bool {
        let Some(interim) = self.interim.filter(|i| i.end == end) else { return false };
        let due = |a: &Asked| {
            let asks = a.expects_continue && a.request.version >= Version(1, 1);
            let goes_on = interim.seen_up.is_none_or(|seen| seen < a.end);
            asks && goes_on && interim.count == 1 && interim.continues == 1
        };
        let marked = |a: &Asked| a.hidden && self.certainty.is_hidden();
        self.first_open().is_some_and(|a| a.done && !marked(a) && !due(a))
    }

    /// A request begins in a flow of which it is not certain that the server reads the requests that were seen. Once all of them are answered
    /// and nothing else came, it did. Where the client has had all that was said and goes on, though one of them is still open after an
    /// answer to another, it may be one that nobody reads: then the next answer is not to it.
    fn settle_contest(&mut self, quiet: bool) {
        if self.behind == Behind::Upgrade || !self.contested || self.loose {
            return;
        }
        if self.queue.is_empty() && quiet {
            self.contested = false;
        } else if let Some(seen) = self.first_open().map(|a| a.seen_down) {
            self.certainty.lose();
            if quiet && seen.is_some_and(|seen| seen < self.down_at) {
                self.contested = false;
                self.loosen();
            }
        }
    }

    pub(super) fn push_request(&mut self, mut asked: Asked, out: &mut Out<'_>) {
        self.held += asked.size;
        self.tally.request();
        if asked.start < self.content_until {
            asked.anomalies.insert(Anomaly::RequestInContent);
            asked.sent_in = self.sent_in.clone();
        }
        asked.hidden = self.certainty.is_hidden();
        if self.down.reads_until_close() {
            // The server reads no more requests: it is a stream of something else.
            (self.found, self.in_content) = (true, true);
        }
        let whole = out.facts.from_start && !self.lost_up;
        if self.found && self.trail.request(asked.start, whole) {
            self.proven();
        }
        (asked.found, asked.vouched) = (self.found, self.vouched);
        self.queue.push_back(Entry::Asked(Box::new(asked)));
        if self.queue.len() > out.limits.open_requests {
            self.forget_one(out);
        }
    }

    /// The client's bytes behind the last request are none that can be read.
    pub(super) fn doubt_last(&mut self) {
        let last = self.queue.iter_mut().rev().find_map(|e| match e {
            Entry::Asked(asked) => Some(asked),
            _ => None,
        });
        if let Some(asked) = last {
            asked.doubted = asked.found;
        }
        self.trail.breaks();
    }

    /// How many entries at the front of the queue are of requests that were given up: nothing else stands before the last of them.
    pub(super) fn forgotten(&self) -> usize {
        self.queue.partition_point(|e| matches!(e, Entry::Forgotten { .. }))
    }

    /// Gives up the request that has waited longest, but remembers that a response to it is due.
    fn forget_one(&mut self, out: &mut Out<'_>) {
        let from = self.forgotten();
        let oldest = (from..self.queue.len())
            .find(|at| matches!(self.queue.get(*at), Some(Entry::Asked(a)) if a.done && a.answer.is_none()));
        if let Some(at) = oldest
            && let Some(entry) = self.queue.get_mut(at)
            && let Entry::Asked(mut asked) =
                std::mem::replace(entry, Entry::Forgotten { head: false, behind: false, count: 1 })
        {
            let (head, behind) = (asked.request.method == b"HEAD", asked.behind);
            *entry = Entry::Forgotten { head, behind, count: 1 };
            match at.checked_sub(1).and_then(|before| self.queue.get_mut(before)) {
                Some(Entry::Forgotten { head: h, behind: b, count }) if (*h, *b) == (head, behind) => {
                    *count = count.saturating_add(1);
                    self.queue.remove(at);
                }
                _ => {}
            }
            *out.forgotten += 1;
            asked.anomalies.insert(Anomaly::PipeliningExcessive);
            self.emit(*asked, None, Completeness::EVICTED, out);
        }
        if self.queue.len() > MOST_ENTRIES {
            self.pipelined = true;
            self.loosen();
            self.queue.retain(|e| matches!(e, Entry::Asked(_)));
        }
    }

    /// What a response that begins at `at` answers, and the method that decides on its framing.
    pub(super) fn target_of(&mut self, start: u64, at: Mark, out: &Out<'_>) -> (Target, Option<Vec<u8>>) {
        let found = self.find_target(start, at, out);
        if found.0 != Target::Nobody {
            self.heed_answer(at);
        }
        found
    }

    fn find_target(&mut self, start: u64, at: Mark, out: &Out<'_>) -> (Target, Option<Vec<u8>>) {
        if !self.loose {
            let open = self.queue.iter().find(|e| !matches!(e, Entry::Asked(a) if a.answer.is_some()));
            match open {
                // The server had received what the capture does not show: a request may be missing.
                None if at.ack.is_some_and(|seen| seen > self.up_at) => {
                    self.certainty.lose();
                    self.loosen();
                }
                None => return (Target::Nobody, None),
                Some(Entry::Forgotten { head, .. }) => {
                    return (Target::Forgotten, head.then(|| b"HEAD".to_vec()));
                }
                Some(Entry::Asked(a)) => {
                    if !could_answer(a, start, at.ack, out) {
                        return (Target::Nobody, None);
                    }
                    return (Target::Request(a.seq), special_method(&a.request.method));
                }
                Some(Entry::Gap(_)) => self.loosen(),
            }
        }
        let asked = self.queue.iter().find_map(|e| match e {
            Entry::Asked(a) if a.seen_down == Some(start) && a.answer.is_none() => Some(a),
            _ => None,
        });
        (Target::Unknown, asked.and_then(|a| special_method(&a.request.method)))
    }

    pub(super) fn begin_answer(&mut self, answer: Answer) {
        self.held += answer.size;
        self.answer = Some(Box::new(answer));
    }

    /// A response is over: it goes where it belongs.
    pub(super) fn place(&mut self, mut answer: Box<Answer>, out: &mut Out<'_>) {
        self.tally.answer();
        self.suspects.answered();
        self.answered = true;
        self.heard = true;
        self.vouch_behind_broken();
        if self.found {
            self.trail.answer(answer.seen_up);
        }
        if self.up.wants() == Wants::Hold
            && let Some(Entry::Asked(connect)) = self.queue.back_mut()
            && answer.seen_up.is_some_and(|seen| seen > connect.start)
        {
            connect.finals = connect.finals.saturating_add(1);
        }
        if self.belies_body(&answer) {
            // A request has one final answer: what is taken for its content is read otherwise by its server.
            self.up.end_known_body();
            self.lose_up(Completeness::REQUEST_TRUNCATED, answer.ts, out);
        }
        if self.may_be_of_next(&answer) {
            self.contest();
        }
        match answer.target {
            Target::Request(seq) => {
                let asked = self.queue.iter_mut().find_map(|e| match e {
                    Entry::Asked(a) if a.seq == seq && a.answer.is_none() => Some(a),
                    _ => None,
                });
                let Some(asked) = asked else { return self.emit_lone(*answer, Completeness::WHOLE, out) };
                if !asked.done {
                    answer.anomalies.insert(Anomaly::EarlyResponse);
                }
                self.burst |= asked.seen_down.is_some_and(|seen| seen != answer.start);
                asked.answer = Some(answer);
                self.emit_ready(out);
            }
            Target::Forgotten => {
                if let Some(at) = self.queue.iter().position(|e| matches!(e, Entry::Forgotten { .. })) {
                    match self.queue.get_mut(at) {
                        Some(Entry::Forgotten { count, .. }) if *count > 1 => *count -= 1,
                        _ => drop(self.queue.remove(at)),
                    }
                }
                self.emit_lone(*answer, Completeness::EVICTED, out);
                self.emit_ready(out);
            }
            Target::Nobody => {
                answer.anomalies.insert(Anomaly::UnsolicitedResponse);
                self.emit_lone(*answer, Completeness::WHOLE, out);
            }
            Target::Unknown => {
                self.lone.push_back(answer);
                if self.lone.len() > MOST_LONE
                    && let Some(oldest) = self.lone.pop_front()
                {
                    self.emit_lone(*oldest, Completeness::WHOLE, out);
                }
            }
        }
    }

    /// Content whose coding broke off has one answer: from the second one on its server reads requests behind it.
    fn vouch_behind_broken(&mut self) {
        let Some(answers) = &mut self.broken else { return };
        *answers = answers.saturating_add(1);
        if *answers > 1 {
            self.vouched = true;
            for entry in &mut self.queue {
                if let Entry::Asked(asked) = entry {
                    asked.vouched |= asked.found;
                }
            }
        }
    }

    /// It is due to a request that its server may have dropped, and was begun when the server had more than that.
    fn may_be_of_next(&self, answer: &Answer) -> bool {
        let asked = self.queue.iter().find_map(|e| match e {
            Entry::Asked(a) if answer.target == Target::Request(a.seq) => Some(a),
            _ => None,
        });
        asked.is_some_and(|a| a.behind && answer.seen_up.is_none_or(|seen| seen > a.end))
    }

    /// Whether a final answer is the second one since the request began whose content is still coming, no other being due before it.
    fn belies_body(&mut self, answer: &Answer) -> bool {
        if !self.up.reads_body() {
            return false;
        }
        if self.is_other_due() {
            return false;
        }
        let Some(asked) = self.reading_request() else { return false };
        if answer.seen_up.is_some_and(|seen| seen > asked.start) {
            asked.finals = asked.finals.saturating_add(1);
        }
        asked.finals > 1
    }

    /// Another answer is due than to the request that is being read.
    pub(super) fn is_other_due(&self) -> bool {
        self.queue.iter().any(|e| !matches!(e, Entry::Asked(a) if a.answer.is_some() || !a.done))
    }

    /// Sends on, in order, the requests at the front that are answered.
    pub(super) fn emit_ready(&mut self, out: &mut Out<'_>) {
        while let Some(Entry::Asked(a)) = self.queue.front()
            && a.done
            && a.answer.is_some()
        {
            let Some(Entry::Asked(mut asked)) = self.queue.pop_front() else { return };
            let answer = asked.answer.take();
            self.emit(*asked, answer, Completeness::WHOLE, out);
        }
    }

    /// A request begins at `at` in a loose flow: all before it is settled, by proof or as unpaired.
    fn resolve(&mut self, at: Mark, out: &mut Out<'_>) {
        let mut proven = false;
        let mut owed = 0;
        let mut entries: VecDeque<Entry> = std::mem::take(&mut self.queue);
        while let Some(entry) = entries.pop_front() {
            let mut asked = match entry {
                Entry::Asked(asked) => asked,
                Entry::Gap(lost) => {
                    owed += usize::from(lost == Lost::Requests);
                    continue;
                }
                Entry::Forgotten { .. } => continue,
            };
            self.settle_owed(&mut owed, asked.seen_down, out);
            if self.answer.as_ref().is_some_and(|a| a.target == Target::Request(asked.seq)) {
                self.queue.push_back(Entry::Asked(asked));
                continue;
            }
            let next = entries.iter().find_map(|e| match e {
                Entry::Asked(a) => Some(a.seen_down),
                _ => None,
            });
            let answer = match asked.answer.take() {
                Some(answer) => Some(answer),
                None => {
                    self.count_fit(&mut asked, next.unwrap_or(at.ack));
                    self.proven_answer(&asked, next.unwrap_or(at.ack))
                }
            };
            proven = answer.is_some() && entries.is_empty();
            if answer.is_none()
                && out.facts.both_sides
                && out.facts.acked_up < asked.end
                && self.is_own_word(out)
            {
                // Whether the server had it will show.
                self.queue.push_back(Entry::Asked(asked));
                continue;
            }
            self.emit(*asked, answer, Completeness::WHOLE, out);
        }
        self.settle_owed(&mut owed, at.ack, out);
        let clean = self.queue.is_empty() && self.lone.is_empty() && self.answer.is_none();
        if proven && clean && !self.pipelined && !self.burst && self.down.is_between() {
            self.loose = false;
            self.lost_answers = false;
            self.proven();
        }
    }

    /// Responses before `seen` answer nothing that comes; where there are fewer of them than lost requests, one of these
    /// was still open when the client went on.
    fn settle_owed(&mut self, owed: &mut usize, seen: Option<u64>, out: &mut Out<'_>) {
        let lone = self.emit_lone_before(seen, out);
        self.pipelined |= std::mem::take(owed) > lone && !self.lost_answers;
    }

    /// A request of which the client waited for one answer, and went on when it had just that. After [`FITS`] of them in a row it is not believed
    /// that it still pipelines: one that was asked behind another was never read. It may be otherwise, and they say so.
    fn count_fit(&mut self, asked: &mut Asked, next_seen: Option<u64>) {
        let between = asked.seen_down.zip(next_seen);
        let fits = between.is_some_and(|(start, end)| {
            start < end && self.lone.iter().any(|a| a.start == start && a.end == end && heard(asked, a))
        });
        self.fits = if fits { self.fits.saturating_add(1) } else { 0 };
        if self.fits >= FITS && (self.burst || self.pipelined) {
            (self.burst, self.pipelined) = (false, false);
            self.certainty.lose();
            asked.hidden = true;
        }
    }

    fn proven_answer(&mut self, asked: &Asked, next_seen: Option<u64>) -> Option<Box<Answer>> {
        let (start, end) = (asked.seen_down?, next_seen?);
        if self.pipelined || self.burst || asked.doubted || start >= end {
            return None;
        }
        let at = self.lone.iter().position(|a| a.start == start && a.end == end)?;
        if !self.lone.get(at).is_some_and(|answer| heard(asked, answer)) {
            self.pipelined = true;
            return None;
        }
        self.lone.remove(at)
    }

    /// Sends on lone responses that lie before `seen`, and counts them.
    fn emit_lone_before(&mut self, seen: Option<u64>, out: &mut Out<'_>) -> usize {
        let mut count = 0;
        while let Some(first) = self.lone.front()
            && seen.is_none_or(|seen| first.start < seen)
            && let Some(answer) = self.lone.pop_front()
        {
            self.emit_lone(*answer, Completeness::WHOLE, out);
            count += 1;
        }
        count
    }

    /// The flow is over: both sides' ends may be the proof that is still due.
    pub(super) fn pair_last(&mut self, out: &mut Out<'_>) {
        let (Some(up), Some(down)) = (self.eof_up, self.eof_down) else { return };
        let Some(Entry::Asked(asked)) = self.queue.back() else { return };
        let ends_here = asked.end == up && asked.answer.is_none() && asked.done;
        if !self.loose
            || !ends_here
            || self.queue.len() > 1 && self.first_open().map(|a| a.seq) != Some(asked.seq)
        {
            return;
        }
        let Some(Entry::Asked(mut asked)) = self.queue.pop_back() else { return };
        asked.answer = self.proven_answer(&asked, Some(down));
        let closed = asked.answer.is_some();
        self.queue.push_back(Entry::Asked(asked));
        if closed {
            self.emit_ready(out);
        }
    }

    /// Sends on all there is, paired or not.
    pub(super) fn flush(&mut self, flag: Completeness, out: &mut Out<'_>) {
        while let Some(entry) = self.queue.pop_front() {
            let Entry::Asked(mut asked) = entry else { continue };
            let answer = asked.answer.take();
            let flag = if answer.is_some() && asked.done { Completeness::WHOLE } else { flag };
            self.emit(*asked, answer, flag, out);
        }
        while let Some(answer) = self.lone.pop_front() {
            self.emit_lone(*answer, flag, out);
        }
    }
}

/// Methods that change how a response is framed.
fn special_method(method: &[u8]) -> Option<Vec<u8>> {
    matches!(method, b"HEAD" | b"CONNECT").then(|| method.to_vec())
}

fn heard(asked: &Asked, answer: &Answer) -> bool {
    answer.seen_up.is_some_and(|seen| seen > asked.start)
}

/// Whether acknowledgements allow that a response answers a request. Where the server never acknowledged anything they
/// say nothing.
fn could_answer(asked: &Asked, start: u64, seen_up: Option<u64>, out: &Out<'_>) -> bool {
    let unheard = seen_up.is_some_and(|seen| seen <= asked.start) && out.facts.acked_up > BASE;
    let before = asked.seen_down.is_some_and(|seen| start < seen);
    !unheard && !before
}
