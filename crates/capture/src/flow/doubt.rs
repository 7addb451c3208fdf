use sidetap_wire::http1::{likely_request, likely_response};

use super::app::{App, LONGEST_OPENING, State};
use super::track::Side;
use super::{Cx, Mark};
use crate::http::{Beginning, Http};

/// Who the client is was taken from one message, which may be content of another: what speaks against it is a request of the
/// other side that this one then answers.
pub(super) struct Doubt {
    /// Who is taken for the client sent something like a request.
    asks: bool,
    asked: Option<(Mark, Vec<u8>)>,
    /// Bytes behind it that were not kept.
    more: u64,
}

impl Doubt {
    pub(super) const fn new(asks: bool) -> Self {
        Doubt { asks, asked: None, more: 0 }
    }

    pub(super) fn held(&self) -> usize {
        self.asked.as_ref().map_or(0, |(_, bytes)| bytes.capacity())
    }

    /// Takes bytes of the side that is not the client.
    fn note(&mut self, bytes: &[u8], mark: Mark) {
        match &mut self.asked {
            None if likely_request(bytes) => self.asked = Some((mark, bytes.to_vec())),
            Some((at, asked)) if at.off + asked.len() as u64 + self.more == mark.off => {
                let room = if self.more == 0 { LONGEST_OPENING.saturating_sub(asked.len()) } else { 0 };
                let kept = bytes.get(..room).unwrap_or(bytes);
                asked.extend_from_slice(kept);
                self.more += (bytes.len() - kept.len()) as u64;
            }
            _ => {}
        }
    }
}

impl App {
    /// Looks for what shows who the client is, where one message alone says so. True where the bytes show that it is the other
    /// side, and were read that way round: what was read before was content.
    pub(super) fn turns_round(&mut self, side: Side, bytes: &[u8], mark: Mark, cx: &mut Cx<'_>) -> bool {
        let Some(doubt) = &mut self.doubt else { return false };
        let client = self.client.unwrap_or(0);
        if side != client {
            doubt.note(bytes, mark);
            if doubt.asks && likely_response(bytes) {
                self.doubt = None;
            }
            return false;
        }
        doubt.asks |= likely_request(bytes);
        let Some((at, asked)) = doubt.asked.take_if(|_| likely_response(bytes)) else { return false };
        let more = doubt.more;
        self.doubt = None;
        self.http(side, cx, |http, _, out| http.finish(out));
        self.orient(client ^ 1);
        self.state = State::Http(Box::new(Http::new(Beginning::Unknown)));
        self.data(side ^ 1, &asked, at, cx);
        if more > 0 {
            self.gap(side ^ 1, more, at.off + asked.len() as u64 + more, cx);
        }
        self.data(side, bytes, mark, cx);
        true
    }
}
