//! Where packets come from.

mod align;
mod files;
mod input;
mod link;
#[cfg(feature = "live")]
mod live;
mod pcap;
mod pcapng;
mod stdin;
mod steady;
mod window;

use sidetap_model::Ts;
use sidetap_model::rows::InputSummary;

pub use files::{Files, open_files, open_stream};
pub use link::LinkType;
#[cfg(feature = "live")]
pub use live::{Live, LiveOptions, MOST_WAITING, open_live, open_live_readers};
pub use stdin::give_up_stdin;
pub use window::Block;

/// A packet as captured, borrowed from its source's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// When it was captured.
    pub ts: Ts,
    /// What its first header is.
    pub link: LinkType,
    /// The interface within its input, from 0.
    pub interface: u32,
    /// That interface's name, where the source knows it; else empty.
    pub port: &'a str,
    /// The bytes kept.
    pub data: &'a [u8],
    /// Its length on the wire.
    pub orig_len: u32,
    /// What `data` is part of, where that may be held on to; reading goes on elsewhere then.
    pub block: Option<&'a Block>,
}

/// A source of packets in time order.
///
/// What goes wrong with one input ends that input and is kept in its [`InputSummary`]; the others go on.
pub trait Source {
    /// The next packet; `None` at the end, or, of a live source, when there is none yet (see [`Source::idle`]).
    fn next_packet(&mut self) -> Option<Packet<'_>>;

    /// True where the last `None` meant only that no packet came in time.
    fn idle(&self) -> bool {
        false
    }

    /// Each input, with what was read of it so far.
    fn inputs(&self) -> Vec<InputSummary>;

    /// Packets that the kernel or the interface dropped before they could be read.
    fn kernel_dropped(&self) -> u64 {
        0
    }

    /// True where its packets' times are defended already, so that a gap in them is one.
    fn keeps_time(&self) -> bool {
        false
    }

    /// What times of packets did to its clocks, by name; counts of 0 may be among them.
    fn clock(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// Reads the counters of drops once more: what came since the last look. Called when a run ends.
    fn count_last(&mut self) {}

    /// What became known of an input while it is read (an interface that went away or came back), each once.
    fn news(&mut self) -> Option<String> {
        None
    }

    /// Bytes of input read so far, before decompression.
    fn bytes_read(&self) -> u64;

    /// Bytes of input in all, where that is known.
    fn bytes_total(&self) -> Option<u64>;
}
