//! HTTP/1.x over the two directions of a flow: messages, and which response answers which request.
//!
//! While nothing was lost, responses answer requests in their order (RFC 9112 §9.3.2), checked against what each side had
//! acknowledged. After a loss that may hide where a message begins the flow is *loose*: a request and a response are taken
//! for a pair only where acknowledgements prove it (see `pair`); otherwise each stands alone and says so.

mod behind;
mod certain;
mod checks;
mod connect;
mod emit;
mod entry;
mod given_up;
mod long;
mod nested;
mod pair;
mod reader;
mod request;
mod response;
mod sender;
mod trail;
mod urgent;

use std::collections::VecDeque;
use std::sync::Arc;

use sidetap_model::{Completeness, Headers, Ts};
use sidetap_wire::http1::{Probe, begins_method, likely_request, likely_response, probe_request};

use crate::flow::{BASE, Handover, Kind, Mark, Out};
use behind::{Amid, Behind, Cut, Doubt, Within, most_within};
use certain::Certainty;
use checks::Said;
pub(crate) use checks::begins_with_text;
use entry::{Answer, Entry, Interim, Lost};
use given_up::GivenUp;
use nested::Suspects;
use reader::{Gap, Reader, Wants};
pub(crate) use reader::{Held, extend};
use trail::{Tally, Trail};
use urgent::Urgent;

/// What the flow knows that exchanges must say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    /// Both directions were seen from their first byte.
    pub(crate) from_start: bool,
    /// Packets of both sides were seen.
    pub(crate) both_sides: bool,
    /// Whoever accepted the connection asks on it.
    pub(crate) reversed: bool,
    /// The gap that is being told comes from the snap length.
    pub(crate) snapped: bool,
    /// Why the flow is being given up, where it did not end by itself.
    pub(crate) cut: Completeness,
    /// Something was lost before the first message.
    pub(crate) lost_opening: bool,
    /// How far the server acknowledged the client's bytes.
    pub(crate) acked_up: u64,
    /// It came in a tunnel that is not trusted: anybody may have written both sides of it.
    pub(crate) foreign: bool,
    /// It is in as many tunnels as are looked into: what seems to open one more is a response like others.
    pub(crate) in_last_tunnel: bool,
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
    /// The client sent a request, one that was not seen perhaps, before the one before was answered.
    pipelined: bool,
    /// The same of requests that were all seen; until they are all answered.
    burst: bool,
    /// The server may not read the requests that were seen.
    contested: bool,
    /// Nor the one whose head or content is being read, or not as such.
    behind: Behind,
    /// What begins before here was sent with the end of a request for another protocol, or behind a CONNECT request before its answer.
    unheard_until: u64,
    /// Behind a request for another protocol: what begins may never be read.
    doubt: Option<Doubt>,
    /// Where content begins as a request.
    within: Option<Box<Within>>,
    /// Requests in a row that one answer each fits, in a flow that is loose.
    fits: u8,
    /// Responses may have been lost since the flow became loose.
    lost_answers: bool,
    /// Where the client's messages begin was found by looking for it, and no answer has proven it yet.
    found: bool,
    /// Among what was announced as content, of which an answer more than is due shows that its server reads requests there.
    vouched: bool,
    /// Contents that read like requests, of which no answer too many was seen yet.
    suspects: Suspects,
    given_up: GivenUp,
    /// What the client sent with urgent bytes in it.
    urgent: Option<Box<Urgent>>,
    /// The end of the last segment that its server may have dropped.
    cut: Cut,
    /// A body broke off: what comes may still be of it.
    in_content: bool,
    /// What begins before here stands in what was announced as content.
    content_until: u64,
    /// The fields of the request that has that content.
    sent_in: Option<Arc<Headers>>,
    /// The coding of content broke off, as its client sent it: final answers since.
    broken: Option<u8>,
    /// The connection began with a request.
    begun: bool,
    /// The server gave a final answer.
    heard: bool,
    /// The next request is of such lines.
    odd_next: bool,
    /// A message's beginning was guessed from a few bytes.
    guessed: bool,
    /// Lines that are no request, but may be for the server, are held: it says nothing on them yet.
    odd_held: bool,
    /// Bytes of the client were lost, and with them where its next message began.
    lost_up: bool,
    trail: Trail,
    tally: Tally,
    interim: Option<Interim>,
    /// A final answer came since the client said something.
    answered: bool,
    certainty: Certainty,
    /// What the last message of each side said of its connection: the client's, the server's.
    said: [Said; 2],
    /// Where the segment begins that was read last.
    up_from: u64,
    /// How far the client's bytes were read or are known to be lost.
    up_at: u64,
    /// The same of the server's.
    down_at: u64,
    eof_up: Option<u64>,
    eof_down: Option<u64>,
    /// The server said that it says no more before its client did.
    is_ended_by_server: bool,
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
            burst: false,
            contested: false,
            behind: Behind::Nothing,
            unheard_until: 0,
            doubt: None,
            within: None,
            fits: 0,
            lost_answers: false,
            found: beginning != Beginning::Seen,
            vouched: false,
            suspects: Suspects::default(),
            given_up: GivenUp::default(),
            urgent: None,
            cut: Cut::default(),
            in_content: false,
            content_until: 0,
            sent_in: None,
            broken: None,
            begun: beginning == Beginning::Seen,
            heard: false,
            odd_held: false,
            odd_next: false,
            guessed: false,
            lost_up: beginning == Beginning::LostRequests,
            trail: Trail::default(),
            tally: Tally::default(),
            interim: None,
            answered: false,
            certainty: Certainty::new(beginning == Beginning::Seen),
            said: Default::default(),
            up_from: BASE,
            up_at: BASE,
            down_at: BASE,
            eof_up: None,
            eof_down: None,
            is_ended_by_server: false,
            handover: None,
            held: 0,
        }
    }

    /// What reads on behind all that is held now: where a message is being read, its end is looked for, and what it still brings may be
    /// content; else the next one begins here.
    pub(crate) fn anew(&self) -> Self {
        let mut next = Http::new(Beginning::Unknown);
        if self.up.is_between() {
            next.up.resume();
        }
        if self.down.is_between() {
            next.down.resume();
        }
        next.in_content = self.in_content || self.up.reads_body() || self.down.reads_until_close();
        (next.begun, next.heard, next.lost_up) = (self.begun, self.heard, self.lost_up);
        (next.said, next.contested, next.lost_answers) = (self.said, true, true);
        (next.up_at, next.down_at) = (self.up_at, self.down_at);
        (next.eof_up, next.eof_down) = (self.eof_up, self.eof_down);
        (next.unheard_until, next.doubt) = (self.unheard_until, self.doubt);
        next.content_until = self.content_until;
        next.sent_in = self.sent_in.clone();
        next
    }

    /// Bytes that it holds.
    pub(crate) fn held(&self) -> usize {
        let entries = self.queue.capacity() * size_of::<Entry>();
        let within = self.within.as_ref().map_or(0, |within| within.held());
        let urgent = self.urgent.as_ref().map_or(0, |urgent| urgent.held());
        self.held
            + entries
            + within
            + self.sent_in.as_ref().map_or(0, |heads| heads.room())
            + urgent
            + self.given_up.held()
            + self.suspects.held()
            + self.up.held()
            + self.down.held()
    }

    /// True where [`Http::take_handover`] gives something.
    pub(crate) fn hands_over(&self) -> bool {
        self.handover.is_some()
    }

    pub(crate) fn take_handover(&mut self) -> Option<Handover> {
        self.handover.take()
    }

    /// The client's bytes, in order.
    pub(crate) fn up(&mut self, mut bytes: &[u8], mut mark: Mark, out: &mut Out<'_>) {
        (self.up_from, self.up_at) = (mark.off, mark.off + bytes.len() as u64);
        self.certainty.up(mark.ts);
        if self.urgent.is_some() {
            self.keep_urgent(bytes, mark, out);
        }
        let fresh = std::mem::take(&mut self.answered).then_some(mark.off);
        let mut amid = Amid::default();
        let (whole, first) = (bytes, mark);
        if self.behind == Behind::Upgrade {
            self.resume_cut(bytes, mark, out);
        }
        while !bytes.is_empty() && self.handover.is_none() {
            let used = match self.up.wants() {
                Wants::Head | Wants::LongHead => self.read_up_head(bytes, mark, &mut amid, out),
                Wants::Body => match self.request_within(bytes, mark, most_within(out.limits), &mut amid) {
                    Some(0) => {
                        self.leave_content(bytes, mark, out);
                        0
                    }
                    at => {
                        let content = at.and_then(|at| bytes.get(..at)).unwrap_or(bytes);
                        self.read_request_body(content, mark, out)
                    }
                },
                Wants::Skip
                    if likely_request(bytes)
                        || begins_method(bytes)
                        || amid.is_at(mark)
                        || (fresh == Some(mark.off) && self.begins_anew(bytes, mark)) =>
                {
                    self.guessed = !likely_request(bytes);
                    self.up.resume();
                    0
                }
                Wants::Skip => {
                    self.doubt_last();
                    self.piece_skipped(bytes, mark, &mut amid)
                }
                // More than fits is sent by nobody who waits for his tunnel.
                Wants::Hold if self.up.is_full_with(bytes) => {
                    self.contest_last();
                    self.unheard_until = self.unheard_until.max(self.up_at);
                    self.go_on_behind_connect(out);
                    0
                }
                Wants::Hold if self.is_past_connect(bytes, mark, out) => {
                    self.go_on_behind_connect(out);
                    0
                }
                Wants::Hold => {
                    self.up.keep_held(bytes, mark);
                    bytes.len()
                }
            };
            mark = mark.plus(used);
            bytes = bytes.get(used..).unwrap_or_default();
            if self.given_up.is_full() {
                self.read_given_up(whole, first, out);
            }
        }
        self.keep_cut(whole, first);
        if !self.given_up.is_empty() {
            self.read_given_up(whole, first, out);
            self.tell_given_up(false, out);
        }
    }

    /// Reads a head, or more of one.
    fn read_up_head(&mut self, bytes: &[u8], mark: Mark, amid: &mut Amid, out: &mut Out<'_>) -> usize {
        self.note_behind(mark, out);
        if self.begins_behind(bytes, mark, amid) {
            self.leave_head(mark, out);
            return 0;
        }
        let is_long = self.up.wants() == Wants::LongHead;
        // What was held was no beginning: here is one.
        if self.guessed && !is_long && likely_request(bytes) && !self.holds_request_line() {
            self.up.forget_head();
            self.guessed = false;
            return 0;
        }
        let bytes = self.piece_of_head(bytes, mark, amid);
        if is_long { self.read_long_request(bytes, mark, out) } else { self.read_request(bytes, mark, out) }
    }

    /// What is held of the client's bytes is the beginning of a request.
    fn holds_request_line(&self) -> bool {
        let held = self.up.unfinished_head().map(|(held, _)| held);
        held.is_some_and(|held| likely_request(held) || probe_request(held) == Probe::Certain)
    }

    /// Whether a message begins here, whatever its first word is: an answer came since the client said something, the client has had all of
    /// it, and what it says may be a request.
    fn begins_anew(&self, bytes: &[u8], mark: Mark) -> bool {
        self.down.is_between() && mark.ack == Some(self.down_at) && probe_request(bytes) != Probe::No
    }

    /// The server's bytes, in order.
    pub(crate) fn down(&mut self, mut bytes: &[u8], mut mark: Mark, out: &mut Out<'_>) {
        if self.odd_held {
            self.end_odd_request(out);
        }
        self.down_at = mark.off + bytes.len() as u64;
        self.certainty.down(mark.ts);
        while !bytes.is_empty() && self.handover.is_none() {
            let used = match self.down.wants() {
                Wants::Head => self.read_response(bytes, mark, out),
                Wants::Body => self.read_response_body(bytes, mark, out),
                Wants::LongHead => self.read_long_response(bytes, mark, out),
                Wants::Skip if likely_response(bytes) => {
                    self.down.resume();
                    0
                }
                Wants::Skip | Wants::Hold => {
                    if !self.loose && !self.is_all_answered() {
                        // Behind bytes that answer nothing: one that is due may begin amid them.
                        self.lose_down(Completeness::RESPONSE_TRUNCATED, mark.ts, out);
                    }
                    bytes.len()
                }
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
        self.suspects.lose();
        // What is kept of content on both sides of it is no one piece.
        self.within = None;
        let flag = gap_flag(Completeness::REQUEST_GAP, out);
        if self.up.wants() == Wants::Hold {
            self.go_on_unheard(out);
        }
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
                // Of what comes now nobody knows what it is behind.
                self.behind = Behind::Nothing;
                self.lost_up = true;
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
        self.down_at = at;
        self.suspects.lose();
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
        self.is_ended_by_server = self.eof_up.is_none();
        if self.down.reads_until_close() {
            let last = self.answer.as_ref().map_or(Ts::default(), |a| a.last);
            self.finish_response(Completeness::WHOLE, at, last, out);
        }
    }

    /// The flow is over: what is unfinished is cut, what is unpaired stands alone.
    pub(crate) fn finish(&mut self, out: &mut Out<'_>) {
        let evicted = out.facts.cut;
        self.go_on_unheard(out);
        self.salvage_request(Completeness::REQUEST_TRUNCATED | evicted, None, out);
        if self.up.reads_body() {
            let (at, last) = self.reading_request().map_or((0, Ts::default()), |a| (a.end, a.last));
            let flag = if self.body_was_declined() {
                Completeness::WHOLE
            } else {
                Completeness::REQUEST_TRUNCATED | evicted
            };
            self.finish_request(flag, at, last, out);
        }
        self.salvage_response(Completeness::RESPONSE_TRUNCATED | evicted, None, out);
        if self.down.reads_body() {
            let (at, last) = self.answer.as_ref().map_or((0, Ts::default()), |a| (a.end, a.last));
            self.finish_response(Completeness::RESPONSE_TRUNCATED | evicted, at, last, out);
        }
        self.tell_apart(out);
        self.pair_last(out);
        self.flush(evicted, out);
    }

    /// What the client sends cannot be followed any further: a message that is being read ends who knows where.
    fn lose_up(&mut self, flag: Completeness, last: Ts, out: &mut Out<'_>) {
        // What follows may be content, and content may be anybody's words.
        self.odd_held = false;
        self.suspects.lose();
        self.in_content |= self.up.reads_body() || self.down.reads_until_close();
        if self.up.reads_body() {
            self.finish_request(flag, 0, last, out);
        }
        self.up.skip();
        (self.found, self.vouched) = (true, false);
        self.trail = Trail::anew(self.queue.len());
        self.certainty.lose();
        self.push_gap(Lost::Perhaps);
    }

    /// Other bytes came where those of requests had been: the server may have read either, and so other requests than were seen, or more
    /// of them.
    pub(crate) fn contest(&mut self) {
        self.contested = true;
        self.doubt_pairs();
    }

    /// Answers that come may be to others than those that they seem to be to: all requests that were seen are read by their server, though.
    fn doubt_pairs(&mut self) {
        for entry in &mut self.queue {
            if let Entry::Asked(asked) = entry {
                asked.hidden = true;
            }
        }
        self.certainty.lose();
    }

    /// Servers differ in where the last request ends: its own answer is the first behind it, but what follows may be read otherwise.
    fn contest_behind(&mut self) {
        self.contested = true;
        self.certainty.lose();
    }

    /// Servers differ in what the last request is: those before it are what they seem.
    pub(crate) fn contest_last(&mut self) {
        self.contested = true;
        if let Some(Entry::Asked(asked)) = self.queue.back_mut() {
            asked.hidden = true;
        }
        self.certainty.lose();
    }

    /// It stands in a stream of another protocol: what reads like requests may be content of that, unless it is answered.
    pub(crate) fn within_another(&mut self) {
        (self.found, self.in_content) = (true, true);
    }

    /// What the client's side says is its opener's own word, wherever its messages begin: all of it was seen, it speaks HTTP, and none of
    /// it may be content.
    fn is_own_word(&self, out: &Out<'_>) -> bool {
        out.facts.from_start && !self.lost_up && !self.in_content && (self.begun || self.heard)
    }

    /// Where the client's messages begin is proven.
    fn proven(&mut self) {
        (self.found, self.in_content, self.vouched) = (false, false, false);
        // Of content of unknown length nobody knows more than what came.
        if self.content_until == u64::MAX {
            self.content_until = self.up_at;
        }
    }

    /// The same of the server's bytes.
    fn lose_down(&mut self, flag: Completeness, last: Ts, out: &mut Out<'_>) {
        if self.down.reads_body() {
            self.finish_response(flag, 0, last, out);
        }
        self.down.skip();
        self.suspects.lose();
        self.loosen();
        self.lost_answers = true;
    }

    fn hand_over(&mut self, kind: Kind, out: &mut Out<'_>) {
        let up = self.up.take_held();
        self.tell_apart(out);
        self.flush(Completeness::WHOLE, out);
        self.handover = Some(Handover { kind, up, down: None });
    }
}

fn gap_flag(flag: Completeness, out: &Out<'_>) -> Completeness {
    if out.facts.snapped { flag | Completeness::SNAPPED } else { flag }
}
