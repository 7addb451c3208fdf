//! What waits in a connection: requests for their answers, answers for what they are to.

use std::sync::Arc;

use sidetap_model::{AnomalySet, Completeness, Headers, Request, Response, Ts};

use super::certain::Traits;
use crate::flow::Mark;

/// What a message takes besides its bytes.
const MESSAGE: usize = 384;

/// A request, up to the exchange that it becomes.
pub(super) struct Asked {
    pub(super) seq: u32,
    pub(super) start: u64,
    pub(super) end: u64,
    /// Where its content begins, if it has one; behind chunks nothing is known by its place.
    pub(super) content: Option<u64>,
    /// Where content begins that its server may read as requests.
    pub(super) nested: Option<u64>,
    pub(super) ts: Ts,
    pub(super) last: Ts,
    /// How far the client had received the server's bytes when it began the request.
    pub(super) seen_down: Option<u64>,
    /// The same when it ended its head.
    pub(super) seen_down_head: Option<u64>,
    pub(super) request: Request,
    pub(super) expects_continue: bool,
    /// It asks for another protocol.
    pub(super) upgrades: bool,
    /// Another request, not seen, may have been open when it began.
    pub(super) hidden: bool,
    /// It was found by looking for the beginning of a message.
    pub(super) found: bool,
    /// An answer shows that its server reads requests there.
    pub(super) vouched: bool,
    /// It is none that can be read: only an answer shows that its server took it for one.
    pub(super) odd: bool,
    /// Its server may have dropped it.
    pub(super) behind: bool,
    /// The client sent more before the next message that can be read: it may all be content.
    pub(super) doubted: bool,
    /// What only its answer can be.
    pub(super) traits: Traits,
    pub(super) completeness: Completeness,
    pub(super) gap_bytes: u64,
    pub(super) anomalies: AnomalySet,
    /// The fields of the request in whose content it stands.
    pub(super) sent_in: Option<Arc<Headers>>,
    /// Final answers since it began, while its content is coming.
    pub(super) finals: u8,
    pub(super) done: bool,
    pub(super) shown: bool,
    pub(super) answer: Option<Box<Answer>>,
    pub(super) size: usize,
}

impl Asked {
    pub(super) fn new(seq: u32, at: Mark, end: Mark, mut request: Request, anomalies: AnomalySet) -> Self {
        request.headers.shrink();
        let room = request.method.len() + request.target.len() + request.headers.room();
        Asked {
            seq,
            start: at.off,
            end: end.off,
            content: Some(end.off),
            nested: Some(end.off),
            ts: at.ts,
            last: end.ts,
            seen_down: at.ack,
            seen_down_head: end.ack,
            request,
            expects_continue: false,
            upgrades: false,
            hidden: false,
            found: false,
            vouched: false,
            odd: false,
            behind: false,
            doubted: false,
            traits: Traits::default(),
            completeness: Completeness::WHOLE,
            gap_bytes: 0,
            anomalies,
            sent_in: None,
            finals: 0,
            done: false,
            shown: false,
            answer: None,
            size: MESSAGE + room.max((end.off - at.off) as usize),
        }
    }
}

/// A response, up to the exchange that it becomes.
pub(super) struct Answer {
    pub(super) target: Target,
    /// Where it begins, interim responses right before it included.
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) ts: Ts,
    pub(super) last: Ts,
    /// How far the server had received the client's bytes when it began the response.
    pub(super) seen_up: Option<u64>,
    pub(super) response: Response,
    pub(super) interim: u8,
    pub(super) continued: bool,
    /// It says that nothing follows.
    pub(super) closes: bool,
    pub(super) completeness: Completeness,
    pub(super) gap_bytes: u64,
    pub(super) anomalies: AnomalySet,
    pub(super) size: usize,
}

impl Answer {
    pub(super) fn new(
        target: Target,
        at: Mark,
        end: Mark,
        mut response: Response,
        anomalies: AnomalySet,
    ) -> Self {
        response.headers.shrink();
        let room = response.headers.room();
        Answer {
            target,
            start: at.off,
            end: end.off,
            ts: at.ts,
            last: end.ts,
            seen_up: at.ack,
            response,
            interim: 0,
            continued: false,
            closes: true,
            completeness: Completeness::WHOLE,
            gap_bytes: 0,
            anomalies,
            size: MESSAGE + room.max((end.off - at.off) as usize),
        }
    }
}

/// What a response answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// The request of this number.
    Request(u32),
    /// A request that was given up.
    Forgotten,
    /// Nothing that was asked.
    Nobody,
    /// The flow is loose: it will show.
    Unknown,
}

/// What a gap between requests held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lost {
    /// At least one request.
    Requests,
    /// Perhaps the rest of a message alone.
    Perhaps,
}

/// What the client sent, in order, as far as responses to it may still come.
pub(super) enum Entry {
    Asked(Box<Asked>),
    /// Requests may have been lost here; at least one surely was where the loss began between two messages.
    Gap(Lost),
    /// So many requests that were given up for the cap, one behind the other; their responses are still due.
    Forgotten {
        /// They are HEAD.
        head: bool,
        /// Their server may have dropped them.
        behind: bool,
        count: u32,
    },
}

/// Interim responses that directly precede the next response.
#[derive(Clone, Copy)]
pub(super) struct Interim {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) count: u8,
    /// Those that are 100 (Continue).
    pub(super) continues: u8,
    /// How far the server had received the client's bytes when it began the first one.
    pub(super) seen_up: Option<u64>,
}
