//! Packet sources, decapsulation, flow table, TCP reassembly and exchange pairing.
//!
//! [`open_files`] (or `open_live`) gives a [`Source`] of packets, a [`Decoder`] turns each into a TCP [`Segment`], and one
//! [`FlowTable`] for each logical shard turns segments into [`sidetap_model::Exchange`]s. Nothing here reads a clock.

mod decode;
mod error;
mod flow;
mod http;
mod proxy;
mod source;

pub use decode::{DecodeOptions, Decoded, Decoder, DefragLimits, DropReason, Segment, TcpFlags};
pub use error::SourceError;
pub use flow::{FlowCounters, FlowLimits, FlowTable};
pub use source::{Files, LinkType, Packet, Source, open_files};
#[cfg(feature = "live")]
pub use source::{Live, LiveOptions, open_live};
