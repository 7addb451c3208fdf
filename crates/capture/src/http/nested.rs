//! Content that is whole and reads like requests. A server that takes no content of a request reads them next: nobody sees that but by an answer
//! too many, or by what the client does that nobody does who sends content.
//!
//! Which of several contents its server read nobody knows, so all of them are told, but those answers pair with none of them. A content behind
//! which the client waited, asked again and was answered once is likely to be what it seems: it is told as well, but counts against nobody
//! while there is another.

use std::collections::VecDeque;
use std::sync::Arc;

use memchr::{memchr, memmem, memrchr};
use sidetap_model::{AnomalySet, Completeness, Exchange, Headers};
use sidetap_wire::http1::{
    HeadLimits, LONGEST_KNOWN, Parsed, Probe, begins_method, head_end, is_method, probe_request_of_http,
    request_head, trim_start,
};

use super::behind::{MOST_AGAIN, begins_within, may_be_old};
use super::checks::{is_any_space, odd_head};
use super::entry::Entry;
use super::reader::Wants;
use super::sender::sender_of;
use super::{Beginning, Http};
use crate::flow::{Mark, Out};

/// Bytes of contents that are remembered of a flow, with what each takes besides; more while its server has not acknowledged them, up to a quarter
/// of what a flow may hold.
const MOST: usize = 64 << 10;

/// Lines behind that of a request that are looked at.
const MOST_FIELDS: usize = 64;

/// What stands before the minor version.
const VERSION: &[u8] = b"HTTP/1.";

/// The content of a request that was read to its end.
struct Nested {
    mark: Mark,
    bytes: Vec<u8>,
    /// Bytes behind those that were not kept.
    rest: u64,
    seq: u32,
    /// Its request was answered before it was there.
    is_early: bool,
    /// More was asked behind it before its request was answered: nobody does who sends content of this kind.
    is_piped: bool,
    /// The same of what begins with no method that is in use: bytes too many, if they have no answer.
    none_behind: bool,
    /// It ends amid a head, as far as is known: what comes next is the rest of that for a server that reads it as requests, and has the answer to it.
    is_cut: bool,
    /// It begins with the line of a request: one that takes long has the next one's answer.
    is_request: bool,
    /// It stands amid content: read by a server alone that takes a part of that.
    is_amid: bool,
    /// Turns before it.
    turns: u32,
    /// The fields of its request: they say who sent it.
    heads: Option<Arc<Headers>>,
}

impl Nested {
    fn room(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity() + self.heads.as_ref().map_or(0, |heads| heads.room())
    }

    /// Where its request ends.
    fn end(&self) -> u64 {
        self.mark.off + self.bytes.len() as u64 + self.rest
    }
}

/// Content that is read as requests.
pub(super) struct Content {
    /// Bytes behind what was kept of it.
    rest: u64,
    /// The fields of its request.
    heads: Option<Arc<Headers>>,
}

/// Contents that read like requests, of which no answer too many was seen yet.
#[derive(Default)]
pub(super) struct Suspects {
    list: VecDeque<Nested>,
    room: usize,
    /// Requests that began when the client had heard all, and nothing was open.
    turns: u32,
    /// Requests that are open since the first one that began when the client had heard all, where nothing was lost since. What is open from
    /// before that is so of clients alone that ask for more before they hear.
    open: Option<u32>,
    /// Pairs are doubted since this loss for what was asked behind content that came behind its answer.
    doubted: Option<u32>,
    /// What comes next begins with no method that is in use.
    pub(super) next_is_none: bool,
}

impl Suspects {
    pub(super) fn held(&self) -> usize {
        self.room + (self.list.capacity() - self.list.len()) * size_of::<Nested>()
    }

    /// What begins with no method that is in use has an answer: it may be that to what stands in the content before it.
    pub(super) fn odd_answered(&mut self) {
        if let Some(last) = self.list.back_mut() {
            last.is_piped |= std::mem::take(&mut last.none_behind);
        }
    }

    /// A final answer is over.
    pub(super) fn answered(&mut self) {
        self.open = self.open.map(|open| open.saturating_sub(1));
    }

    /// Bytes of the connection are lost, or cannot be read.
    pub(super) const fn lose(&mut self) {
        self.open = None;
    }
}

/// What content is read as.
pub(super) struct Told {
    /// Of which something was read as nobody does who begins at its beginning.
    done: Vec<Exchange>,
    /// Has the others.
    pub(super) reader: Http,
}

impl Told {
    /// Sends on what it is, without answers; as much as there is room for where nothing shows that its server reads it so, or where it is `proven`.
    pub(super) fn send(mut self, proven: bool, out: &mut Out<'_>) {
        let from = out.done.len();
        out.done.extend(self.done);
        self.reader.flush(Completeness::WHOLE, out);
        let told = out.done.len() - from;
        let room = if proven { &mut out.aside.proven } else { &mut out.aside.unproven };
        *out.not_told += told.saturating_sub(*room) as u64;
        let lost = out.done.last().map_or(0, |last| last.gap_bytes);
        out.done.truncate(from + told.min(*room));
        if let Some(last) = out.done.get_mut(from..).and_then(<[_]>::last_mut).filter(|_| told > *room) {
            last.completeness.insert(Completeness::REQUEST_GAP);
            last.gap_bytes += lost;
        }
        *room = room.saturating_sub(told);
        for exchange in out.done.iter_mut().skip(from) {
            exchange.completeness.insert(Completeness::PAIRING_UNCERTAIN);
        }
    }
}

impl Http {
    /// The request that is over has content that reads like a request.
    pub(super) fn keep_nested(&mut self, out: &mut Out<'_>) {
        // What was kept of it while it came is no more of use.
        self.within = None;
        let Some(Entry::Asked(asked)) = self.queue.back() else { return };
        let body = &asked.request.body;
        let Some(off) = asked.nested else { return };
        let begins = begins_as_request(&body.bytes).then_some(0);
        let is_amid = begins.is_none();
        let Some(from) = begins.or_else(|| first_line(&body.bytes)) else { return };
        let off = off + from as u64;
        let most = MOST.min(out.limits.flow_bytes / 4).saturating_sub(size_of::<Nested>());
        // What is kept behind a gap stands elsewhere.
        let known = body.gap_at.map_or(usize::MAX, |at| at as usize).min(body.bytes.len());
        let bytes = body.bytes.get(from..known.min(from.saturating_add(most))).unwrap_or_default().to_vec();
        let rest = body.len.saturating_sub((from + bytes.len()) as u64);
        let mark = Mark { off, ts: asked.last, ack: asked.seen_down_head };
        let (seq, is_early) = (asked.seq, asked.answer.is_some() || asked.finals > 0);
        let nested = Nested {
            mark,
            rest,
            seq,
            is_early,
            is_piped: false,
            none_behind: false,
            is_cut: rest > 0 || ends_amid_head(&bytes) || ends_in_head(&bytes),
            is_request: !is_amid && begins_line(&bytes),
            is_amid,
            turns: self.suspects.turns,
            heads: sender_of(asked),
            bytes,
        };
        self.suspects.room += nested.room();
        self.suspects.list.push_back(nested);
        let most = MOST.min(out.limits.flow_bytes / 4);
        while self.suspects.room > most && self.let_go(out) {}
    }

    /// What is remembered of contents goes on with who reads on.
    pub(crate) fn take_suspects(&mut self, before: &mut Http) {
        let open = |e: &&Entry| matches!(e, Entry::Asked(a) if a.answer.is_none());
        let waits = u32::try_from(before.queue.iter().filter(open).count()).ok();
        self.suspects = std::mem::take(&mut before.suspects);
        self.suspects.open = if before.loose { self.suspects.open } else { waits };
    }

    /// Lets one content go: of those that are likely what they seem the oldest, or else the oldest, which is told if it is none.
    fn let_go(&mut self, out: &mut Out<'_>) -> bool {
        let turns = self.suspects.turns;
        let Suspects { list, room, .. } = &mut self.suspects;
        let likely = list.iter().position(|n| !n.is_piped && n.turns < turns);
        let is_acked = |n: &Nested| n.end() <= out.facts.acked_up || *room > out.limits.flow_bytes / 4;
        let oldest = || list.front().filter(|n| list.len() > 1 && is_acked(n)).map(|_| 0);
        let Some(nested) = likely.or_else(oldest).and_then(|at| list.remove(at)) else { return false };
        self.suspects.room -= nested.room();
        if nested.is_piped && !nested.is_amid {
            self.tell_unpaired(&nested, false, false, out);
        }
        true
    }

    /// A request begins: true where answers to what stands in content before it may be taken for its own. `quiet`: the client has had all that
    /// was said.
    pub(super) fn begin_behind_nested(&mut self, quiet: bool, out: &Out<'_>) -> bool {
        let is_even = if self.loose { self.suspects.open.unwrap_or(0) == 0 } else { self.is_all_answered() };
        let is_open = |queue: &VecDeque<Entry>, seq: u32| {
            let own = |e: &&Entry| matches!(e, Entry::Asked(a) if a.seq == seq);
            queue.iter().rev().find(own).is_some_and(|e| matches!(e, Entry::Asked(a) if a.answer.is_none()))
        };
        let mut is_behind = false;
        // Those before the last one were behind it already.
        if let Some(last) = self.suspects.list.back_mut()
            && last.turns == self.suspects.turns
            && !last.is_piped
        {
            let waits = if self.loose { !is_even } else { is_open(&self.queue, last.seq) };
            let is_piped =
                out.facts.both_sides && (waits || last.is_early && !quiet && out.facts.acked_up < last.end());
            last.none_behind = is_piped && std::mem::take(&mut self.suspects.next_is_none);
            last.is_piped = is_piped && !last.none_behind;
            is_behind = waits || last.is_early || last.is_cut || last.is_request;
            self.suspects.doubted = self.certainty.before_loss().filter(|_| is_behind && !last.is_piped);
        } else if let Some(loss) = self.suspects.doubted.take_if(|_| quiet && is_even) {
            // One was asked since, and one answered.
            self.certainty.regain(loss);
        }
        if quiet && is_even {
            self.suspects.turns = self.suspects.turns.wrapping_add(1);
        }
        // Who has heard all that was said may still wait for more.
        self.suspects.open = match self.suspects.open {
            None => quiet.then_some(1),
            Some(open) => Some(open.saturating_add(1)),
        };
        is_behind
    }

    /// A final answer begins that is due to nobody: what stands in such content was read as requests.
    pub(super) fn answered_beyond(&mut self, at: Mark, out: &mut Out<'_>) {
        let is_due = if self.loose { self.suspects.open != Some(0) } else { !self.is_all_answered() };
        let had = |n: &Nested| at.ack.is_some_and(|seen| seen > n.mark.off);
        // It may be to what the capture lost: the server had it.
        let is_to_lost = at.ack.is_some_and(|seen| seen > self.up_at);
        if is_due || is_to_lost || !self.suspects.list.iter().any(had) {
            return;
        }
        let mut all = std::mem::take(&mut self.suspects.list);
        self.suspects.list =
            all.iter().position(|n| !had(n)).map_or_else(VecDeque::new, |n| all.split_off(n));
        self.suspects.room = self.suspects.list.iter().map(Nested::room).sum();
        // Where nothing was asked since, or least.
        let last = all.iter().map(|n| n.turns).max().unwrap_or_default();
        let is_likely = |n: &Nested| n.is_piped || n.turns == last;
        let is_one = all.iter().filter(|n| is_likely(n)).count() == 1;
        for nested in &all {
            // Of a connection that was joined late nobody knows how many answers are due.
            let vouched = is_likely(nested) && !self.lost_up && out.facts.from_start;
            if is_one && vouched && !self.loose {
                self.tell_paired(nested, out);
            } else {
                self.tell_unpaired(nested, vouched, true, out);
            }
        }
        self.contest();
    }

    /// Nothing more is read here: what stands in content behind which more was asked before its answer may have been answered in the place of
    /// that, where its server was the one to end the connection, as it was asked to, or where it ends amid a head. Clients that do not wait for answers do the same with
    /// content that is what it seems, so it counts against nobody.
    pub(super) fn tell_piped(&mut self, out: &mut Out<'_>) {
        self.suspects.room = 0;
        let list = std::mem::take(&mut self.suspects.list);
        let is_ended = self.is_ended_by_server;
        for nested in list.iter().filter(|n| n.is_piped && !n.is_amid && (is_ended || n.is_cut)) {
            self.tell_unpaired(nested, false, false, out);
        }
    }

    /// Answers that come are to these requests.
    fn tell_paired(&mut self, nested: &Nested, out: &mut Out<'_>) {
        let told = self.read_content(nested, true, out);
        let open = &told.reader.queue;
        if !told.done.is_empty() || open.iter().any(|e| !matches!(e, Entry::Asked(_))) {
            return told.send(true, out);
        }
        for entry in told.reader.queue {
            if let Entry::Asked(asked) = &entry {
                self.held += asked.size;
            }
            self.tally.request();
            self.queue.push_back(entry);
        }
    }

    fn tell_unpaired(&mut self, nested: &Nested, vouched: bool, proven: bool, out: &mut Out<'_>) {
        self.read_content(nested, vouched, out).send(proven, out);
    }

    fn read_content(&self, nested: &Nested, vouched: bool, out: &mut Out<'_>) -> Told {
        let content = Content { rest: nested.rest, heads: nested.heads.clone() };
        self.read_as_requests(nested.mark, &nested.bytes, Some(content), vouched, out)
    }

    /// Reads a head by itself.
    pub(super) fn read_head_alone(&self, mark: Mark, head: &[u8], out: &mut Out<'_>) -> VecDeque<Entry> {
        let mut odd = Default::default();
        let mut out = Out {
            odd: &mut odd,
            done: &mut Vec::new(),
            unanswered: &mut Vec::new(),
            seq: &mut *out.seq,
            forgotten: &mut *out.forgotten,
            aside: &mut *out.aside,
            not_told: &mut *out.not_told,
            ..*out
        };
        let out = &mut out;
        let mut reader = Http::new(Beginning::Seen);
        (reader.found, reader.vouched) = (true, !self.lost_up);
        (reader.content_until, reader.sent_in) = (self.content_until, self.sent_in.clone());
        reader.up(head, mark, out);
        reader.salvage_request(Completeness::REQUEST_TRUNCATED, None, out);
        if reader.up.reads_body() {
            reader.finish_request(
                Completeness::REQUEST_TRUNCATED,
                mark.off + head.len() as u64,
                mark.ts,
                out,
            );
        }
        reader.queue
    }

    /// Reads bytes as a server may that takes them for requests: whatever reads like one is one, for it may stop and go on
    /// anywhere, in `content` or not.
    pub(super) fn read_as_requests(
        &self,
        mark: Mark,
        bytes: &[u8],
        content: Option<Content>,
        vouched: bool,
        out: &mut Out<'_>,
    ) -> Told {
        let mut done = Vec::new();
        let mut odd = Default::default();
        let mut out = Out {
            done: &mut done,
            odd: &mut odd,
            unanswered: &mut *out.unanswered,
            seq: &mut *out.seq,
            forgotten: &mut *out.forgotten,
            aside: &mut *out.aside,
            not_told: &mut *out.not_told,
            ..*out
        };
        let out = &mut out;
        let mut reader = Http::new(Beginning::Seen);
        (reader.found, reader.vouched, reader.lost_up) = (true, vouched, self.lost_up);
        reader.in_content = self.in_content || !vouched;
        let end = mark.off + bytes.len() as u64;
        reader.unheard_until = end;
        reader.content_until = if content.is_some() { end } else { 0 };
        let rest = content.as_ref().map_or(0, |c| c.rest);
        reader.sent_in = content.and_then(|c| c.heads);
        let (first, mut at) = (*out.seq, mark);
        for piece in bytes.chunks(MOST_AGAIN.1) {
            if out.seq.wrapping_sub(first) > MOST_AGAIN.0 {
                break;
            }
            reader.up(piece, at, out);
            at = at.plus(piece.len());
        }
        reader.go_on_unheard(out);
        reader.tell_given_up(true, out);
        reader.salvage_request(Completeness::REQUEST_TRUNCATED, None, out);
        if reader.up.reads_body() {
            reader.finish_request(Completeness::REQUEST_TRUNCATED, at.off, at.ts, out);
        }
        debug_assert!(reader.up.wants() != Wants::Body);
        let lost = end - at.off + rest;
        if let Some(Entry::Asked(last)) = reader.queue.back_mut().filter(|_| lost > 0) {
            last.completeness.insert(Completeness::REQUEST_GAP);
            last.gap_bytes += lost;
        }
        Told { done, reader }
    }
}

/// Whole requests, however odd, and then one whose head has no end: lines of a log are none.
fn ends_amid_head(bytes: &[u8]) -> bool {
    let limits = HeadLimits::default();
    let mut rest = bytes;
    for _ in 0..MOST_AGAIN.0 {
        let used = match request_head(rest, &limits, &mut AnomalySet::default()) {
            Parsed::Complete(_, used) => used,
            Parsed::Partial | Parsed::Invalid if !begins_line(rest) => return false,
            Parsed::Partial => return true,
            Parsed::Invalid => match odd_head(rest, false) {
                Some(head) => head.len,
                None => return true,
            },
        };
        rest = rest.get(used.max(1)..).unwrap_or_default();
        if rest.is_empty() {
            return false;
        }
    }
    true
}

/// The first line is that of a request, as far as it goes, with whatever some server takes for blanks.
fn begins_line(bytes: &[u8]) -> bool {
    const NAME: &[u8] = b"HTTP/";
    let bytes = trim_start(bytes);
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let mut words = line.split(is_any_space).filter(|word| !word.is_empty());
    let method = words.next().unwrap_or_default();
    let (_, version, more) = (words.next(), words.next(), words.next());
    let is_version = |word: &[u8]| word.starts_with(NAME) || NAME.starts_with(word);
    begins_method(method) && version.is_none_or(is_version) && more.is_none()
}

/// Where the line of a request of HTTP/1 begins whose version is `named` and ends it, and where the next line does. A server that takes a part of
/// content may go on amid a word.
fn line_of_request(bytes: &[u8], named: usize) -> Option<(usize, usize)> {
    let (before, behind) = (bytes.get(..named)?, bytes.get(named + VERSION.len() + 1..)?);
    let blank = behind.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    let rest = behind.get(blank..)?;
    let end = if rest.starts_with(b"\r\n") { 2 } else { 1 };
    if !before.last().is_some_and(is_any_space) || rest.get(end - 1) != Some(&b'\n') {
        return None;
    }
    let next = bytes.len() - rest.len() + end;
    let from = memrchr(b'\n', before).map_or(0, |end| end + 1);
    if begins_line(bytes.get(from..next)?) {
        return Some((from, next));
    }
    // What stands before the target.
    let line = bytes.get(from..named)?;
    let target = line.iter().rposition(|b| !is_any_space(b))?;
    let blank = line.get(..target)?.iter().rposition(is_any_space)?;
    let word = from + line.get(..blank)?.iter().rposition(|b| !is_any_space(b))? + 1;
    let first = from.max(word.saturating_sub(LONGEST_KNOWN));
    (first..word).find(|at| bytes.get(*at..word).is_some_and(is_method)).map(|at| (at, next))
}

/// Where a line stands from there on that is no field, as far as some server takes them, before the head is at its end, if one does: lines of a
/// log have more behind the version.
fn no_field_from(bytes: &[u8], first: usize) -> Option<usize> {
    let mut at = first;
    for _ in 0..MOST_FIELDS {
        let rest = bytes.get(at..).unwrap_or_default();
        let end = memchr(b'\n', rest);
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        if matches!(line, b"" | b"\r") {
            return None;
        }
        let is_folded = at > first && line.first().is_some_and(|b| matches!(b, b' ' | b'\t'));
        let colon = memchr(b':', line);
        let name = line.get(..colon.unwrap_or(line.len())).unwrap_or_default().trim_ascii_end();
        // The last line may be cut.
        let is_whole = colon.is_some() || end.is_none();
        if !is_folded && (!is_whole || name.is_empty() || name.iter().any(u8::is_ascii_whitespace)) {
            return Some(at);
        }
        at += line.len() + 1;
    }
    None
}

/// The first place amid content where the line of a request stands with fields or nothing behind it.
fn first_line(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let named = from + memmem::find(bytes.get(from..)?, VERSION)?;
        from = named + VERSION.len();
        let Some((at, next)) = line_of_request(bytes, named) else { continue };
        // Whatever begins before that line has it among its fields as well.
        match no_field_from(bytes, next) {
            Some(broken) => from = from.max(broken),
            None => return Some(at),
        }
    }
}

/// Whether the last one has no end.
fn ends_in_head(bytes: &[u8]) -> bool {
    let last = memmem::rfind_iter(bytes, VERSION).find_map(|named| line_of_request(bytes, named));
    last.is_some_and(|(at, next)| head_end(bytes, at).is_none() && no_field_from(bytes, next).is_none())
}

/// By all signs, or as some server reads it.
fn begins_as_request(bytes: &[u8]) -> bool {
    begins_within(bytes) || may_be_old(bytes) || probe_request_of_http(bytes) == Probe::Certain
}
