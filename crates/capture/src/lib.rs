//! Packet sources, decapsulation, flow table, TCP reassembly and exchange pairing.
//!
//! [`open_files`] (or `open_live`) gives a [`Source`] of packets, a [`Decoder`] turns each into a TCP [`Segment`], and one
//! [`FlowTable`] for each logical shard turns segments into [`sidetap_model::Exchange`]s. Nothing here reads a clock.
//!
//! Choices that hold throughout: a segment whose checksum is wrong is left out, unless its sender leaves checksums to a card behind
//! the mirror; what a mirror shows twice is read once; where bytes of a stream or fragments overlap, those that came first stay, and differing ones are an anomaly; data is delivered
//! as soon as it is in order, without waiting for its acknowledgement; a direction's data waits for what its sender had
//! already received of the other one, so that causes come before effects; a hole is a gap once its receiver acknowledged
//! bytes behind it and the mirror had time to reorder, or once too much waits.

mod decode;
mod error;
mod flow;
mod http;
mod proxy;
mod source;

pub use decode::{
    Carried, Checksums, Clocks, DecodeCounters, DecodeOptions, Decoded, Decoder, DefragLimits, DropReason,
    Label, Segment, TcpFlags, TunnelPorts, TunnelTrust, UdpTunnel, ZoneRule, ZoneRules,
};
pub use error::SourceError;
pub use flow::{FlowCounters, FlowLimits, FlowTable};
pub use source::{Block, Files, LinkType, Packet, Source, give_up_stdin, open_files, open_stream};
#[cfg(feature = "live")]
pub use source::{Live, LiveOptions, MOST_WAITING, open_live, open_live_readers};
