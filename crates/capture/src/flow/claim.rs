use sidetap_wire::http1::likely_request;

use super::app::{App, Opening, State, Verdict};
use super::kind::Kind;
use super::track::Side;
use super::{Cx, Mark};

/// Bytes kept of a side that seems to speak another protocol, until the other side is heard.
const LONGEST_CLAIM: usize = 16 << 10;
/// So much of a line that has no end yet is looked at anew with what follows.
const LONGEST_HALF: usize = 2 << 10;
/// So many bytes of the other side may be the beginning of a status line.
const LONGEST_PREFIX: usize = 16;

impl App {
    /// The first bytes of a side are another protocol's: that is what the connection is once the other side says nothing that is
    /// HTTP. A client may say what it likes to a server of HTTP, which refuses it and reads on.
    ///
    /// Where the connection was joined late, what the other side said before is no answer to it.
    pub(super) fn seem_other(&mut self, side: Side, kind: Kind, bytes: &[u8], mark: Mark) {
        if self.spoke[(side ^ 1) & 1] && self.knows_beginning() {
            return self.become_other(kind);
        }
        self.claim = Some((side, kind));
        self.keep_claim(side, bytes, mark);
    }

    /// Takes bytes while one side seems to speak another protocol and the other one was not heard.
    pub(super) fn hear_out(&mut self, side: Side, bytes: &[u8], mark: Mark, worn_out: bool, cx: &mut Cx<'_>) {
        let alone = self.is_one_sided();
        let (Some((claimant, kind)), State::Opening(sides, _)) = (self.claim, &mut self.state) else {
            return;
        };
        if claimant == side && alone {
            return self.hear_alone(side, bytes, mark, cx);
        }
        if claimant == side {
            if worn_out && self.knows_beginning() {
                self.become_other(kind);
            } else if !self.completes_line(side, bytes, cx) {
                self.keep_claim(side, bytes, mark);
            }
            return;
        }
        let opening = &mut sides[side & 1];
        opening.bytes.extend_from_slice(bytes);
        let (said, at) = (std::mem::take(&mut opening.bytes), *opening.at.get_or_insert(mark));
        match self.judge(side, &said, at) {
            Verdict::Http { skip } => self.become_http(side, &said, skip, at, cx),
            Verdict::Unsure if said.len() <= LONGEST_PREFIX => self.keep_opening(side, &said, at),
            Verdict::Other(kind) if self.knows_beginning() => self.become_other(kind),
            Verdict::Other(kind) => self.seem_still(kind),
            Verdict::Unsure | Verdict::Refused if self.knows_beginning() && kind != Kind::Unknown => {
                self.become_other(kind);
            }
            // It may be the middle of an answer: what comes after it is looked at.
            Verdict::Unsure | Verdict::Refused => self.seem_still(kind),
        }
    }

    /// Where the other side is not to be heard, what comes tells whether the first bytes were half a request line, or a request follows them.
    fn hear_alone(&mut self, side: Side, bytes: &[u8], mark: Mark, cx: &mut Cx<'_>) {
        if self.completes_line(side, bytes, cx) {
            return;
        }
        if likely_request(bytes)
            && let Verdict::Http { skip } = self.judge(side, bytes, mark)
        {
            if let State::Opening(sides, _) = &mut self.state {
                // What came before was none, nor is it known what this follows.
                sides[side & 1].refused = true;
            }
            return self.become_http(side, bytes, skip, mark, cx);
        }
        self.keep_claim(side, bytes, mark);
    }

    /// What a side seemed to speak it seemed by the first half of a line: with the other half it may be a request, and is read as one then.
    fn completes_line(&mut self, side: Side, bytes: &[u8], cx: &mut Cx<'_>) -> bool {
        let State::Opening(sides, _) = &mut self.state else { return false };
        let Opening { bytes: held, at, .. } = &sides[side & 1];
        let (Some(at), false) = (*at, held.is_empty() || held.len() > LONGEST_HALF || held.contains(&b'\n'))
        else {
            return false;
        };
        let line = [held, bytes].concat();
        let Verdict::Http { skip } = self.judge(side, &line, at) else { return false };
        self.become_http(side, &line, skip, at, cx);
        true
    }

    /// What was taken for a protocol may be none: both sides are looked at where they go on.
    fn seem_still(&mut self, kind: Kind) {
        self.claim = None;
        self.guess(kind);
        if let State::Opening(sides, _) = &mut self.state {
            *sides = [0, 1].map(|_| Opening { refused: true, ..Opening::default() });
        }
    }

    /// What the first bytes of its sides are is what it is.
    fn knows_beginning(&self) -> bool {
        self.is_seen_whole() || self.is_tunnelled()
    }

    /// Keeps what a side says until the other one is heard, as far as it may be text.
    fn keep_claim(&mut self, side: Side, bytes: &[u8], mark: Mark) {
        let State::Opening(sides, _) = &mut self.state else { return };
        let opening = &mut sides[side & 1];
        let text = !matches!(self.claim, Some((_, Kind::Tls | Kind::Smb)));
        if text && !opening.refused && opening.bytes.len() + bytes.len() <= LONGEST_CLAIM {
            opening.at.get_or_insert(mark);
            opening.bytes.extend_from_slice(bytes);
        } else {
            *opening = Opening { refused: true, ..Opening::default() };
        }
    }
}
