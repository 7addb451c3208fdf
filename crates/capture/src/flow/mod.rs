//! Connections: who talks to whom, in which order the bytes were sent, and what they carry.

mod app;
mod claim;
mod counters;
mod doubt;
mod half;
mod key;
mod kind;
mod limits;
mod list;
mod open;
mod recent;
mod reset;
mod stray;
mod table;
mod track;
mod twin;
mod unacceptable;

pub use counters::FlowCounters;
pub use limits::FlowLimits;
pub use table::FlowTable;

pub(crate) use app::{Handover, Out};
pub(crate) use half::BASE;
pub(crate) use kind::Kind;

use sidetap_model::{Exchange, Ts};

/// What the parts of a flow need of their table.
pub(crate) struct Cx<'a> {
    pub(crate) limits: &'a FlowLimits,
    /// Bytes kept of a body now: less than the limit while the table is short of room.
    pub(crate) body: usize,
    /// Bytes by which windows of delivered bytes may grow.
    pub(crate) room: &'a mut usize,
    pub(crate) counters: &'a mut FlowCounters,
    pub(crate) sink: &'a mut dyn FnMut(Exchange),
    pub(crate) aside: &'a mut Aside,
    /// Requests that became complete without an answer, for [`FlowTable::open_requests`].
    pub(crate) unanswered: &'a mut Vec<(Ts, u32)>,
    /// Room for exchanges on their way to the sink; empty but while one flow works.
    pub(crate) done: &'a mut Vec<Exchange>,
}

/// Requests that may still be told, before the next tick, of what its server may read otherwise: a few bytes of content may hold one, and
/// all of many connections may be told at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aside {
    /// Where nothing shows that it does.
    pub(crate) unproven: usize,
    /// Where an answer shows it.
    pub(crate) proven: usize,
}

impl Aside {
    fn new(limits: &FlowLimits) -> Self {
        Aside { unproven: limits.at_once, proven: limits.at_once.max(1024) }
    }
}

/// Where a piece of a stream stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    /// Offset of its first byte in its direction.
    pub(crate) off: u64,
    /// Time of its packet.
    pub(crate) ts: Ts,
    /// How far its sender had received the other direction, where its packet says so believably.
    pub(crate) ack: Option<u64>,
}

impl Mark {
    /// The mark of the byte `n` further in the same piece.
    pub(crate) fn plus(self, n: usize) -> Mark {
        Mark { off: self.off + n as u64, ..self }
    }
}
