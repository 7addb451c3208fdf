use sidetap_model::{AnomalySet, Body};
use sidetap_wire::http1::{ChunkEnd, Chunked, Framing, Parsed, head_end};

use super::long::LongHead;
use crate::flow::Mark;

/// Room taken for a body before its bytes come, at most: a length is only a claim.
const CLAIMED_ROOM: u64 = 32 << 10;
/// Empty lines before a message that are kept with it, in bytes.
const MOST_BLANK: usize = 64;
/// Segments whose beginning is remembered in them.
pub(super) const MOST_CUTS: usize = 64;
/// Bytes kept behind a CONNECT request while its answer is due.
const MOST_HELD: usize = 64 << 10;

/// Reads the messages of one direction: a head, then a body as far as its framing says.
pub(super) struct Reader {
    /// What is kept of a body. Its length stands apart from it: two that were just written are slow to read as one.
    kept: Vec<u8>,
    state: State,
    head: Vec<u8>,
    at: Option<Mark>,
    scanned: usize,
    /// A whole line of the head is there.
    has_line: bool,
    /// What is there of it is white space.
    blank: bool,
    /// Length of the whole body, kept or not, as far as it came.
    len: u64,
    gap_at: Option<u32>,
    /// Bytes left out behind those held.
    dropped: u64,
    /// Where segments began in those, the first ones.
    cuts: Vec<usize>,
}

enum State {
    Head,
    Length(u64),
    Chunked(Box<Chunked>),
    UntilClose,
    /// Reads on to the end of a head that is too long to be kept.
    Long(Box<LongHead>),
    /// Looks for the beginning of a message.
    Skip,
    /// Keeps what comes behind a CONNECT request: what it is depends on the answer.
    Hold,
}

/// What a reader wants to be done with the next bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wants {
    Head,
    LongHead,
    Body,
    Skip,
    Hold,
}

/// What became of bytes that should hold a head.
pub(super) enum HeadStep<T> {
    Complete(T, usize, Mark),
    Partial,
    Invalid,
    TooLong,
}

/// How far a body came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BodyStep {
    More(usize),
    Done(usize),
    /// The chunked coding broke off.
    Broken(usize),
}

/// What a gap did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gap {
    /// It lies inside a body.
    Bridged,
    /// It lies inside a body and ends with it.
    BodyEnded,
    /// Where the next message begins is not known.
    Lost,
}

/// What was kept while it was not clear what it is.
pub(crate) struct Held {
    pub(crate) mark: Mark,
    pub(crate) bytes: Vec<u8>,
    /// Bytes behind it that were not kept.
    pub(crate) dropped: u64,
    /// Where segments began in it, the first ones.
    pub(super) cuts: Vec<usize>,
}

impl Held {
    /// What is held, as it came.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (Mark, &[u8])> {
        let ends = self.cuts.iter().skip(1).copied().chain([self.bytes.len()]);
        let all = self.cuts.iter().copied().zip(ends);
        all.filter_map(|(from, end)| Some((self.mark.plus(from), self.bytes.get(from..end)?)))
    }
}

impl Reader {
    pub(super) fn new() -> Self {
        Reader {
            state: State::Head,
            head: Vec::new(),
            at: None,
            scanned: 0,
            has_line: false,
            blank: false,
            kept: Vec::new(),
            len: 0,
            gap_at: None,
            dropped: 0,
            cuts: Vec::new(),
        }
    }

    pub(super) fn held(&self) -> usize {
        let state = match &self.state {
            State::Chunked(chunked) => chunked.held(),
            State::Long(head) => head.held(),
            _ => 0,
        };
        self.head.capacity() + self.kept.capacity() + state
    }

    pub(super) fn wants(&self) -> Wants {
        match self.state {
            State::Head => Wants::Head,
            State::Length(_) | State::Chunked(_) | State::UntilClose => Wants::Body,
            State::Long(_) => Wants::LongHead,
            State::Skip => Wants::Skip,
            State::Hold => Wants::Hold,
        }
    }

    /// At the beginning of a message, nothing of it read.
    pub(super) fn is_between(&self) -> bool {
        matches!(self.state, State::Head) && self.head.is_empty()
    }

    /// In a message whose beginning was read.
    pub(super) fn reads_body(&self) -> bool {
        matches!(self.wants(), Wants::Body | Wants::LongHead)
    }

    pub(super) fn reads_until_close(&self) -> bool {
        matches!(self.state, State::UntilClose)
    }

    /// In a body of which nothing came yet.
    pub(super) fn awaits_body(&self) -> bool {
        self.wants() == Wants::Body && self.len == 0
    }

    /// Parses a head from the start of `bytes`, or from what is held with `bytes` behind it.
    ///
    /// A head that comes whole is not copied; one in pieces is parsed again only once its end is there.
    pub(super) fn parse<T>(
        &mut self,
        bytes: &[u8],
        mark: Mark,
        limit: usize,
        mut parser: impl FnMut(&[u8]) -> Parsed<T>,
    ) -> HeadStep<T> {
        if self.head.is_empty() {
            if bytes.iter().all(|b| matches!(b, b'\r' | b'\n')) {
                return HeadStep::Partial;
            }
            let blank = bytes.iter().take_while(|b| is_blank(b)).count();
            let skipped = if blank > MOST_BLANK { blank - 3 } else { 0 };
            let (bytes, mark) = (bytes.get(skipped..).unwrap_or_default(), mark.plus(skipped));
            return match parser(bytes) {
                Parsed::Complete(head, used) => HeadStep::Complete(head, skipped + used, mark),
                Parsed::Partial if bytes.len() > limit => HeadStep::TooLong,
                Parsed::Partial => {
                    self.head.extend_from_slice(bytes);
                    self.at = Some(mark);
                    self.scanned = bytes.len();
                    self.has_line = bytes.contains(&b'\n');
                    self.blank = bytes.iter().all(is_blank);
                    HeadStep::Partial
                }
                Parsed::Invalid => HeadStep::Invalid,
            };
        }
        let before = self.head.len();
        extend(&mut self.head, bytes);
        self.blank &= bytes.iter().all(is_blank);
        if self.blank && self.head.len() > MOST_BLANK {
            self.trim_blank();
            return HeadStep::Partial;
        }
        let from = self.scanned.saturating_sub(3);
        self.scanned = self.head.len();
        let first_line = !self.has_line && bytes.contains(&b'\n');
        self.has_line |= first_line;
        if !first_line && head_end(&self.head, from).is_none() {
            return if self.head.len() > limit { HeadStep::TooLong } else { HeadStep::Partial };
        }
        match parser(&self.head) {
            Parsed::Complete(head, used) => {
                let at = self.at.unwrap_or(mark);
                self.forget_head();
                HeadStep::Complete(head, used.saturating_sub(before).min(bytes.len()), at)
            }
            Parsed::Partial if self.head.len() > limit => HeadStep::TooLong,
            Parsed::Partial => HeadStep::Partial,
            Parsed::Invalid => HeadStep::Invalid,
        }
    }

    /// White space before a message says nothing but that it is there: a little of it is kept.
    fn trim_blank(&mut self) {
        let over = self.head.len().saturating_sub(3);
        self.head.drain(..over);
        self.at = self.at.map(|at| at.plus(over));
        self.scanned = 0;
        self.has_line = false;
    }

    /// What is held of a head, and where it began.
    pub(super) fn unfinished_head(&self) -> Option<(&[u8], Mark)> {
        self.at.map(|at| (self.head.as_slice(), at))
    }

    /// Holds `bytes` as a head's beginning, for a salvage that follows.
    pub(super) fn adopt_head(&mut self, bytes: &[u8], mark: Mark) {
        if self.head.is_empty() {
            self.head.extend_from_slice(bytes);
            self.at = Some(mark);
            self.scanned = bytes.len();
            self.has_line = bytes.contains(&b'\n');
        }
    }

    pub(super) fn forget_head(&mut self) {
        self.head = Vec::new();
        self.at = None;
        self.scanned = 0;
        self.has_line = false;
        self.blank = false;
    }

    /// Reads on to the end of a head of which no more is kept.
    pub(super) fn start_long(&mut self, head: LongHead) {
        self.forget_head();
        self.state = State::Long(Box::new(head));
    }

    /// Reads on to the end of a long head: how many bytes that took and the head, where the end is among them.
    pub(super) fn long_head(&mut self, bytes: &[u8]) -> Option<(usize, Box<LongHead>)> {
        let State::Long(head) = &mut self.state else { return None };
        let used = head.feed(bytes)?;
        match std::mem::replace(&mut self.state, State::Head) {
            State::Long(head) => Some((used, head)),
            _ => None,
        }
    }

    /// Goes on to a body.
    pub(super) fn start_body(&mut self, framing: Framing, limit: usize) {
        self.state = match framing {
            Framing::None => State::Head,
            Framing::Length(n) => {
                let room = n.min(CLAIMED_ROOM).min(limit as u64);
                self.kept = Vec::with_capacity(room as usize);
                State::Length(n)
            }
            Framing::Chunked => State::Chunked(Box::default()),
            Framing::UntilClose => State::UntilClose,
        };
    }

    /// Reads body bytes, keeping at most `limit` of the whole body.
    pub(super) fn body(&mut self, bytes: &[u8], limit: usize, odd: &mut AnomalySet) -> BodyStep {
        let mut body = Kept { bytes: &mut self.kept, len: &mut self.len, limit };
        match &mut self.state {
            State::Length(left) => {
                let n = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                body.add(bytes.get(..n).unwrap_or_default());
                *left -= n as u64;
                if *left == 0 { BodyStep::Done(n) } else { BodyStep::More(n) }
            }
            State::Chunked(chunked) => match chunked.feed(bytes, odd, |data| body.add(data)) {
                ChunkEnd::More => BodyStep::More(bytes.len()),
                ChunkEnd::Odd(n) => BodyStep::More(n),
                ChunkEnd::Done(n) => BodyStep::Done(n),
                ChunkEnd::Broken(n) => BodyStep::Broken(n),
            },
            State::UntilClose => {
                body.add(bytes);
                BodyStep::More(bytes.len())
            }
            State::Head | State::Long(_) | State::Skip | State::Hold => BodyStep::Done(0),
        }
    }

    /// Where the body ends depends on what is taken for the end of a line.
    pub(super) fn ends_oddly(&self) -> bool {
        matches!(&self.state, State::Chunked(chunked) if chunked.has_odd_lines())
    }

    /// How long the body is as it was announced, where that is known.
    pub(super) fn announced(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(self.len + left),
            _ => None,
        }
    }

    /// Ends the body: it, and the trailer section behind it. The next message's head is due.
    pub(super) fn take_body(&mut self) -> (Body, Vec<u8>) {
        let trailer = match std::mem::replace(&mut self.state, State::Head) {
            State::Chunked(chunked) => chunked.trailer().to_vec(),
            _ => Vec::new(),
        };
        let (len, gap_at) = (std::mem::take(&mut self.len), self.gap_at.take());
        (Body { bytes: std::mem::take(&mut self.kept), len, gap_at }, trailer)
    }

    /// Looks for the beginning of a message from now on.
    pub(super) fn skip(&mut self) {
        self.forget_head();
        self.state = State::Skip;
    }

    /// The next bytes begin a message.
    pub(super) fn resume(&mut self) {
        self.state = State::Head;
    }

    /// Keeps what comes until [`Reader::take_held`].
    pub(super) fn hold(&mut self) {
        self.state = State::Hold;
    }

    pub(super) fn keep_held(&mut self, bytes: &[u8], mark: Mark) {
        self.at.get_or_insert(mark);
        if self.cuts.len() < MOST_CUTS {
            self.cuts.push(self.head.len());
        }
        let room = MOST_HELD.saturating_sub(self.head.len()).min(bytes.len());
        // Behind what was left out nothing is kept: it would stand in a wrong place.
        let room = if self.dropped > 0 { 0 } else { room };
        self.head.extend_from_slice(bytes.get(..room).unwrap_or_default());
        self.dropped += (bytes.len() - room) as u64;
    }

    /// What is held.
    pub(super) fn held_bytes(&self) -> Option<&[u8]> {
        self.at.map(|_| self.head.as_slice())
    }

    /// So much more cannot be held.
    pub(super) fn is_full_with(&self, bytes: &[u8]) -> bool {
        self.head.len() + bytes.len() > MOST_HELD
    }

    /// What was kept; heads are read again.
    pub(super) fn take_held(&mut self) -> Option<Held> {
        if !matches!(self.state, State::Hold) {
            return None;
        }
        self.state = State::Head;
        self.scanned = 0;
        let dropped = std::mem::take(&mut self.dropped);
        let (at, cuts) = (self.at.take(), std::mem::take(&mut self.cuts));
        at.map(|mark| Held { mark, bytes: std::mem::take(&mut self.head), dropped, cuts })
    }

    /// What was read of a body so far is as far as it is known to go.
    pub(super) fn end_known_body(&mut self) {
        self.gap_at.get_or_insert(u32::try_from(self.kept.len()).unwrap_or(u32::MAX));
    }

    /// Goes over `len` lost bytes.
    pub(super) fn gap(&mut self, len: u64) -> Gap {
        let inside = match &mut self.state {
            State::Length(left) if len <= *left => {
                *left -= len;
                if *left == 0 { Gap::BodyEnded } else { Gap::Bridged }
            }
            State::Length(left) => {
                self.len += *left;
                Gap::Lost
            }
            State::Chunked(chunked) => {
                if chunked.gap(len) {
                    Gap::Bridged
                } else {
                    Gap::Lost
                }
            }
            State::UntilClose => Gap::Bridged,
            State::Head | State::Long(_) | State::Skip | State::Hold => Gap::Lost,
        };
        if inside != Gap::Lost {
            self.len += len;
        }
        if self.reads_body() {
            let at = u32::try_from(self.kept.len()).unwrap_or(u32::MAX);
            self.gap_at.get_or_insert(at);
        }
        inside
    }
}

const fn is_blank(b: &u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

/// Puts bytes behind others of a head, with an eighth of room more than they need: long heads count by what they take.
pub(crate) fn extend(head: &mut Vec<u8>, bytes: &[u8]) {
    if head.capacity() - head.len() < bytes.len() {
        head.reserve_exact(bytes.len().max(head.len() / 8));
    }
    head.extend_from_slice(bytes);
}

/// A body while it comes.
struct Kept<'a> {
    bytes: &'a mut Vec<u8>,
    len: &'a mut u64,
    limit: usize,
}

impl Kept<'_> {
    fn add(&mut self, data: &[u8]) {
        *self.len += data.len() as u64;
        let room = self.limit.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(data.get(..room).unwrap_or(data));
    }
}
