//! Requests that their server may never have read, and what stands in their content: servers drop what is sent behind a request for another
//! protocol (RFC 9110 §7.8), take no content of it, or end a message elsewhere. What is announced as content is their next request then.

use memchr::memchr2;
use sidetap_model::Completeness;
use sidetap_wire::http1::{
    AmidLine, LONGEST_KNOWN, Probe, begins_method, is_method, likely_request, probe_request_of_http,
    request_amid, trim_start,
};

use super::Http;
use super::checks::is_any_space;
use super::entry::{Asked, Entry, Target};
use super::reader::{MOST_CUTS, Wants, extend};
use super::sender::sender_of;
use super::trail::Trail;
use crate::flow::{FlowLimits, Mark, Out};

/// Why what is being read may not be read by its server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Behind {
    Nothing,
    /// It is itself a request for another protocol, or for a tunnel, with content.
    Change,
    /// The server may have read something else before.
    Contested,
    /// It was sent behind a request for another protocol, before the answer to that.
    Upgrade,
    /// It was sent behind one that was answered before all of its content was there: a server that was busy may drop it with the end of that.
    Early,
}

/// A request for another protocol, of which it is not known that its server reads on behind it. It is a place in what the client sends, whatever
/// becomes of the request: it may be forgotten, answered early or stand alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    /// Where it ends.
    end: u64,
    /// How far the client had received the server's bytes when it ended its head.
    ack: Option<u64>,
    seq: u32,
    /// Final answers that are due up to its own.
    due: u32,
    /// Where the first one begins behind them that was begun when the server had all of it.
    heard: Option<u64>,
}

/// Where in a segment that is being read a request begins amid other bytes: what was looked through is not looked through again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Amid {
    at: Option<u64>,
    is_clear: bool,
    line: AmidLine,
}

impl Amid {
    fn find(&mut self, bytes: &[u8], mark: Mark, from: usize) -> Option<usize> {
        let first = mark.off + from as u64;
        if self.at.is_none_or(|at| at < first) && !self.is_clear {
            self.at = request_amid(bytes, from, &mut self.line).map(|n| mark.off + n as u64);
            self.is_clear = self.at.is_none();
        }
        self.at.filter(|at| *at >= first).map(|at| (at - mark.off) as usize)
    }

    pub(super) fn is_at(&self, mark: Mark) -> bool {
        self.at == Some(mark.off)
    }
}

/// Where content begins as a request.
#[derive(Debug)]
pub(super) struct Within {
    mark: Mark,
    /// What came from there on, as far as it is kept: a room of its own, for that of the content may be full.
    bytes: Vec<u8>,
    /// Where segments begin in it, the first ones.
    cuts: Vec<usize>,
    /// It has a method that is in use and a target.
    likely: bool,
}

/// The end of the segment before, of which a method may be the beginning.
#[derive(Debug, Default)]
pub(super) struct Cut {
    bytes: Vec<u8>,
    end: u64,
}

/// Bytes of what content begins with in which a request that begins behind blanks is looked for again with what follows.
const MOST_BLANK: usize = 1 << 10;
/// Bytes of it: more than any method that is in use has.
const MOST_CUT: usize = 32;

impl Cut {
    fn keep(&mut self, bytes: &[u8], mark: Mark) {
        if self.end != mark.off {
            self.bytes.clear();
        }
        let last = bytes.get(bytes.len().saturating_sub(MOST_CUT)..).unwrap_or_default();
        let over = (self.bytes.len() + last.len()).saturating_sub(MOST_CUT);
        self.bytes.drain(..over);
        self.bytes.extend_from_slice(last);
        self.end = mark.off + bytes.len() as u64;
    }

    /// The bytes of a method whose rest and target follow.
    fn method(&self, next: &[u8]) -> Option<&[u8]> {
        let rest = next.get(..next.len().min(2 * MOST_CUT)).unwrap_or_default();
        let from = self.bytes.iter().rposition(|b| *b == b' ').map_or(0, |blank| blank + 1);
        let at = request_amid(&[&self.bytes, rest].concat(), from, &mut AmidLine::default())?;
        self.bytes.get(at..).filter(|method| !method.is_empty())
    }
}

/// Bytes kept from where content begins as a request, as far as a body may be kept but at least these; a third of what a flow may hold at
/// most, for the content itself and what is remembered of others stand beside it.
const LEAST_WITHIN: usize = 64 << 10;

pub(super) fn most_within(limits: &FlowLimits) -> usize {
    limits.body.max(LEAST_WITHIN).min(limits.flow_bytes / 3)
}

/// Requests after which no more of it is read again, and bytes that are read at once.
pub(super) const MOST_AGAIN: (u32, usize) = (1024, 16 << 10);

impl Within {
    fn new(mark: Mark, likely: bool) -> Box<Self> {
        Box::new(Within { mark, bytes: Vec::new(), cuts: Vec::new(), likely })
    }

    pub(super) fn held(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity() + self.cuts.capacity() * size_of::<usize>()
    }

    /// Keeps more that comes right behind.
    fn keep(&mut self, bytes: &[u8], mark: Mark, most: usize) {
        if self.mark.off + self.bytes.len() as u64 == mark.off {
            let room = most.saturating_sub(self.bytes.len()).min(bytes.len());
            if self.cuts.len() < MOST_CUTS {
                self.cuts.push(self.bytes.len());
            }
            let is_cut = !self.likely && self.bytes.len() <= MOST_BLANK;
            extend(&mut self.bytes, bytes.get(..room).unwrap_or_default());
            self.likely |= is_cut && begins_within(&self.bytes);
        }
    }

    /// What is kept, as it came.
    fn pieces(&self) -> impl Iterator<Item = (Mark, &[u8])> {
        let ends = self.cuts.iter().skip(1).copied().chain([self.bytes.len()]);
        let all = self.cuts.iter().copied().zip(ends);
        let parts = move |(from, end): (usize, usize)| {
            let starts = (from..end).step_by(MOST_AGAIN.1);
            starts.filter_map(move |at| {
                Some((self.mark.plus(at), self.bytes.get(at..end.min(at + MOST_AGAIN.1))?))
            })
        };
        all.flat_map(parts)
    }
}

impl Http {
    /// A segment was read: the next one may go on with a method that it cut.
    pub(super) fn keep_cut(&mut self, bytes: &[u8], mark: Mark) {
        if self.behind == Behind::Upgrade {
            self.cut.keep(bytes, mark);
        }
    }

    /// A segment begins that goes on with a method amid what its server may have dropped: a request begins there.
    pub(super) fn resume_cut(&mut self, bytes: &[u8], mark: Mark, out: &mut Out<'_>) {
        let is_amid = self.behind == Behind::Upgrade && self.cut.end == mark.off && !self.up.is_between();
        let Some(method) = Some(&self.cut).filter(|_| is_amid).and_then(|cut| cut.method(bytes)) else {
            return;
        };
        let method = method.to_vec();
        let mark = Mark { off: mark.off - method.len() as u64, ..mark };
        if self.up.unfinished_head().is_some_and(|(_, at)| at.off >= mark.off) {
            return;
        }
        match self.up.wants() {
            Wants::Hold => return,
            Wants::Head | Wants::LongHead => self.leave_head(mark, out),
            Wants::Body => self.leave_content(&[&method, bytes].concat(), mark, out),
            Wants::Skip => self.up.resume(),
        }
        self.note_behind(mark, out);
        self.read_request(&method, mark, out);
    }

    /// A head begins.
    pub(super) fn note_behind(&mut self, mark: Mark, out: &Out<'_>) {
        if !self.up.is_between() {
            return;
        }
        self.within = None;
        self.behind = self.behind_change(mark, out);
        self.contested |= matches!(self.behind, Behind::Upgrade | Behind::Early);
        if self.behind == Behind::Early {
            self.certainty.lose();
        }
    }

    /// The request that is over asks for another protocol, or for a tunnel: what comes behind it may be dropped with what its server read at once, in this segment
    /// if it is its end.
    pub(super) fn begin_doubt(&mut self, is_end: bool) {
        let changes = |a: &Asked| a.upgrades || a.request.method == b"CONNECT";
        let Some(Entry::Asked(asked)) =
            self.queue.back().filter(|e| matches!(e, Entry::Asked(a) if changes(a)))
        else {
            return;
        };
        let answered = self.answer.as_ref().map(|a| a.target);
        let open = |e: &Entry| match e {
            Entry::Asked(a) => u32::from(a.answer.is_none() && answered != Some(Target::Request(a.seq))),
            Entry::Forgotten { count, .. } => *count,
            Entry::Gap(_) => 0,
        };
        // What is due up to the one before is known: nothing is counted again and again.
        let before = self.doubt.map(|doubt| (doubt.seq, doubt.due));
        let mut due = 0_u32;
        for entry in self.queue.iter().rev() {
            if let (Entry::Asked(a), Some((seq, known))) = (entry, before)
                && a.seq == seq
            {
                due = due.saturating_add(known);
                break;
            }
            due = due.saturating_add(open(entry));
        }
        if self.loose {
            // Others were told already, but may be open all the same.
            due = due.max(self.tally.open());
        }
        self.doubt =
            Some(Doubt { end: asked.end, ack: asked.seen_down_head, seq: asked.seq, due, heard: None });
        if is_end {
            self.unheard_until = self.unheard_until.max(self.up_at);
        }
    }

    /// A final answer begins that is to something.
    pub(super) fn heed_answer(&mut self, at: Mark) {
        if let Some(doubt) = &mut self.doubt {
            doubt.due = doubt.due.saturating_sub(1);
            if doubt.due == 0 && doubt.heard.is_none() && at.ack.is_none_or(|seen| seen >= doubt.end) {
                doubt.heard = Some(at.off);
            }
        }
    }

    /// Whether a request for another protocol still waits for its answer when this begins: the client had heard nothing since, or all that the
    /// server said was seen and was none to it. Where answers were lost, or one side alone is seen, nobody knows whether there was none.
    fn behind_change(&mut self, mark: Mark, out: &Out<'_>) -> Behind {
        if mark.off < self.unheard_until {
            return Behind::Upgrade;
        }
        if mark.ack.is_some() && self.doubt.is_some_and(|doubt| doubt.ack == mark.ack) {
            return Behind::Upgrade;
        }
        if self.loose && self.lost_answers {
            // What was heard since may be the answer: it is not known which are due.
            self.doubt = None;
            let answered = self.answer.as_ref().map(|a| a.target);
            let waits =
                |a: &Asked| a.upgrades && a.answer.is_none() && answered != Some(Target::Request(a.seq));
            if self.queue.iter().any(|e| matches!(e, Entry::Asked(a) if waits(a))) {
                return Behind::Contested;
            }
            return Behind::Nothing;
        }
        let Some(doubt) = self.doubt else { return Behind::Nothing };
        match doubt.heard {
            Some(start) if mark.ack.is_none_or(|seen| seen > start) => {
                self.doubt = None;
                Behind::Nothing
            }
            None if doubt.due == 0 => Behind::Early,
            _ if out.facts.both_sides && mark.ack.is_some_and(|seen| seen <= self.down_at) => Behind::Upgrade,
            _ => Behind::Nothing,
        }
    }

    /// Where content is to be read as a request, if it is. Nobody but an attacker sends something behind a request for another protocol without
    /// waiting for the answer: whatever reads like a request is one then, wherever the server went on behind what it dropped. Else it is
    /// remembered, where a piece begins as one, until answers tell.
    pub(super) fn request_within(
        &mut self,
        bytes: &[u8],
        mark: Mark,
        most: usize,
        amid: &mut Amid,
    ) -> Option<usize> {
        if self.behind == Behind::Upgrade {
            let begins = amid.is_at(mark) || begins_request(bytes);
            return if begins { Some(0) } else { amid.find(bytes, mark, 0) };
        }
        // What its server may have dropped ended with a segment, or amid a later one than that of its head.
        let is_early = self.behind == Behind::Early && mark.off == self.up_from;
        let may = match self.behind {
            Behind::Nothing => begins_within(bytes) || may_be_cut(bytes),
            Behind::Early if !is_early => false,
            Behind::Early | Behind::Change | Behind::Contested | Behind::Upgrade => {
                begins_within(bytes) || may_be_cut(bytes) || may_begin(bytes)
            }
        };
        let from = match may {
            true => Some(0),
            // Where it ends nobody knows.
            false if self.up.ends_oddly() || is_early => amid.find(bytes, mark, 0),
            false => None,
        };
        if let Some(from) = from
            && let Some(first) = bytes.get(from..)
            && let likely = begins_within(first)
            && self.within.as_ref().is_none_or(|within| likely && !within.likely)
        {
            let mut within = Within::new(mark.plus(from), likely);
            within.keep(first, mark.plus(from), most);
            self.within = Some(within);
        } else if let Some(within) = &mut self.within {
            within.keep(bytes, mark, most);
        }
        None
    }

    /// A final answer begins, while content is still to come that its server may have taken for requests: it is read again from there. Of a
    /// request that its server surely read the first one is its own.
    pub(super) fn answered_within(&mut self, at: Mark, out: &mut Out<'_>) {
        let Some(mark) = self.within.as_ref().map(|within| within.mark) else { return };
        if self.up.wants() != Wants::Body || at.ack.is_none_or(|seen| seen <= mark.off) {
            return;
        }
        if matches!(self.behind, Behind::Nothing | Behind::Change) && !self.is_answered_early() {
            return;
        }
        let Some(kept) = self.within.take() else { return };
        // An upload that was refused may have two answers, early and late; who ends it oddly, or behind what may be dropped, has himself to blame.
        let vouched = self.up.ends_oddly() || matches!(self.behind, Behind::Contested | Behind::Early);
        let (mut end, last) = (mark.off, self.up_at);
        self.leave_content(&kept.bytes, mark, out);
        // It may be content all the same: only answers prove which of it are requests. The first that reads like one may be content of what its
        // server ended elsewhere.
        (self.found, self.in_content, self.vouched) = (true, true, vouched);
        self.unheard_until = self.unheard_until.max(last);
        self.trail = Trail::anew(self.queue.len());
        let first = *out.seq;
        for (at, part) in kept.pieces() {
            if out.seq.wrapping_sub(first) > MOST_AGAIN.0 {
                break;
            }
            self.up(part, at, out);
            end = at.off + part.len() as u64;
        }
        self.up_at = last;
        if end < last && self.handover.is_none() {
            self.up_gap(last - end, last, out);
        }
    }

    /// The request whose content is coming has had a final answer, and no other is due.
    fn is_answered_early(&mut self) -> bool {
        !self.is_other_due() && self.reading_request().is_some_and(|asked| asked.finals > 0)
    }

    /// A request begins here, though the head of one that its server may have dropped is not at its end: it was dropped with the rest.
    pub(super) fn begins_behind(&self, bytes: &[u8], mark: Mark, amid: &Amid) -> bool {
        matches!(self.behind, Behind::Upgrade | Behind::Early)
            && !self.up.is_between()
            && (amid.is_at(mark)
                || likely_request(bytes)
                || (self.up.wants() == Wants::LongHead || self.holds_request_line())
                    && (begins_method(bytes) || may_be_old(bytes)))
    }

    /// Of a head that its server may have dropped what comes before a request begins amid it.
    pub(super) fn piece_of_head<'a>(&self, bytes: &'a [u8], mark: Mark, amid: &mut Amid) -> &'a [u8] {
        if !matches!(self.behind, Behind::Upgrade | Behind::Early) {
            return bytes;
        }
        // What is there of it has no method yet, which is none of another.
        let held = self.up.unfinished_head().map_or(&b""[..], |(held, _)| trim_start(held));
        let begins = self.up.wants() == Wants::Head && !held.contains(&b' ');
        let from = if begins {
            let blank = bytes.len() - trim_start(bytes).len();
            let method = bytes.get(blank..).and_then(|line| memchr2(b' ', b'\n', line));
            method.map_or(bytes.len(), |len| blank + len + 1)
        } else {
            0
        };
        amid.find(bytes, mark, from).and_then(|at| bytes.get(..at)).unwrap_or(bytes)
    }

    /// The same of bytes in which the beginning of a message is looked for: how many they are.
    pub(super) fn piece_skipped(&self, bytes: &[u8], mark: Mark, amid: &mut Amid) -> usize {
        let at = if self.behind == Behind::Upgrade { amid.find(bytes, mark, 0) } else { None };
        at.unwrap_or(bytes.len())
    }

    /// Gives up the head that is being read, as far as it came.
    pub(super) fn leave_head(&mut self, mark: Mark, out: &mut Out<'_>) {
        self.behind = Behind::Upgrade;
        if let Some(asked) = self.reading_request() {
            (asked.behind, asked.hidden) = (true, true);
        }
        if self.up.wants() == Wants::LongHead {
            self.finish_request(Completeness::REQUEST_TRUNCATED, mark.off, mark.ts, out);
        } else {
            // Less than its first line is no request that anybody read: any word may look like one.
            let has_line =
                self.up.unfinished_head().is_some_and(|(held, _)| trim_start(held).contains(&b'\n'));
            if !self.keep_given_up(out) && has_line {
                self.salvage_request(Completeness::REQUEST_TRUNCATED, None, out);
            }
            self.up.forget_head();
        }
        self.up.resume();
        self.contested = true;
        self.certainty.lose();
        self.give_up_dropped(out);
    }

    /// Requests behind one for another protocol whose server goes on behind all of them.
    fn give_up_dropped(&mut self, out: &mut Out<'_>) {
        let answered = self.answer.as_ref().map(|a| a.target);
        let unread = |e: &mut Entry| match e {
            Entry::Asked(a) => {
                a.behind && a.done && a.answer.is_none() && answered != Some(Target::Request(a.seq))
            }
            Entry::Forgotten { behind, .. } => *behind,
            Entry::Gap(_) => false,
        };
        let mut dropped = Vec::new();
        while let Some(entry) = self.queue.pop_back_if(unread) {
            dropped.push(entry);
        }
        for entry in dropped.into_iter().rev() {
            if let Entry::Asked(asked) = entry {
                self.emit_heard(asked, out);
            }
        }
    }

    /// What a request that its server may never have read has for its content begins as a request: it is read as one. Behind others that its
    /// server dropped it is answered in their place.
    pub(super) fn leave_content(&mut self, bytes: &[u8], mark: Mark, out: &mut Out<'_>) {
        let announced = self.up.announced();
        let until = self.content_until;
        let reading = self.reading_request().map(|asked| (asked.start, asked.content, sender_of(asked)));
        let (start, from, heads) = reading.unwrap_or_default();
        // What stands in content says nothing of where that ends, nor who sent it.
        if start >= until {
            let end = from.zip(announced).map_or(u64::MAX, |(from, len)| from.saturating_add(len));
            (self.content_until, self.sent_in) = (until.max(end), heads);
        }
        self.up.end_known_body();
        self.finish_request(Completeness::REQUEST_TRUNCATED, mark.off, mark.ts, out);
        self.guessed = !likely_request(trim_start(bytes));
        self.up.resume();
        self.contested = true;
        self.certainty.lose();
        match self.behind {
            Behind::Upgrade => self.give_up_dropped(out),
            Behind::Contested | Behind::Early => {
                let answered = self.answer.as_ref().map(|a| a.target);
                let unread = |e: &mut Entry| matches!(e, Entry::Asked(a) if a.done && a.answer.is_none() && answered != Some(Target::Request(a.seq)));
                if let Some(Entry::Asked(asked)) = self.queue.pop_back_if(unread) {
                    self.emit(*asked, None, Completeness::WHOLE, out);
                }
            }
            // It was read all the same.
            Behind::Change | Behind::Nothing => {}
        }
    }
}

/// A request begins here by all signs: a method that is in use, and a target behind any white space that some server takes.
pub(super) fn begins_within(bytes: &[u8]) -> bool {
    // Most content begins otherwise.
    if !bytes.first().is_some_and(|b| b.is_ascii_uppercase() || is_any_space(b)) {
        return false;
    }
    let blank = bytes.iter().take_while(|b| is_any_space(b)).count();
    let first = bytes.get(blank..).unwrap_or_default();
    let word = first.iter().take(LONGEST_KNOWN).position(is_any_space);
    likely_request(first)
        || word.is_some_and(|len| {
            let (method, rest) = first.split_at(len);
            let target = rest.iter().find(|b| !is_any_space(b));
            is_method(method) && target.is_some_and(|b| *b > b' ' && *b != 0x7f)
        })
}

/// All of it is white space and the beginning of a method, or a method: a request may begin here, and a segment's end cut it.
fn may_be_cut(bytes: &[u8]) -> bool {
    let is_short = bytes.len() <= MOST_CUT || bytes.first().is_some_and(is_any_space);
    is_short && {
        let blank = bytes.iter().take_while(|b| is_any_space(b)).count();
        let word = bytes.get(blank..).unwrap_or_default();
        if word.len() > MOST_CUT {
            return false;
        }
        let end = word.iter().rposition(|b| !is_any_space(b)).map_or(0, |last| last + 1);
        let (method, rest) = word.split_at(end);
        method.is_empty() || if rest.is_empty() { begins_method(method) } else { is_method(method) }
    }
}

/// Bytes may begin a request that some server reads: of any method, or without a version.
fn may_begin(bytes: &[u8]) -> bool {
    let bytes = trim_start(bytes);
    probe_request_of_http(bytes) != Probe::No || may_be_old(bytes)
}

/// A word and a path, as servers read them without a version.
pub(super) fn may_be_old(bytes: &[u8]) -> bool {
    let word = bytes.iter().take(32).position(|b| *b == b' ');
    let Some((method, rest)) = word.and_then(|len| bytes.split_at_checked(len)) else { return false };
    let is_word =
        !method.is_empty() && method.iter().all(|b| b.is_ascii_uppercase() || matches!(b, b'-' | b'_'));
    let target = rest.get(1..).unwrap_or_default();
    // A version may stand behind any word.
    let is_absolute = target.get(..4).is_some_and(|t| t.eq_ignore_ascii_case(b"http"));
    is_word && (target.starts_with(b"/") || is_absolute && target.get(4) != Some(&b'/'))
}

/// Whether a request begins with bytes that an attacker sent for content.
fn begins_request(bytes: &[u8]) -> bool {
    let first = trim_start(bytes);
    probe_request_of_http(first) == Probe::Certain
        || likely_request(first)
        || begins_method(first)
        || may_be_old(first)
}
