//! Packet and capture builder, dialogues, fault injector, traffic synthesizer: what the tests and benches of Sidetap run on.
//!
//! Nothing here is part of a release. The same seed gives the same bytes on every machine.

mod conversation;
mod dialogue;
pub mod fault;
mod file;
pub mod hostile;
pub mod link;
mod packet;
pub mod perf;
mod rng;
pub mod seeds;
pub mod tcpip;
pub mod world;

pub use conversation::Conversation;
pub use dialogue::{Dialogue, DialogueError};
pub use file::{Interface, PcapForm, PcapWriter, PcapngWriter, Resolution, pcap_bytes, pcapng_bytes};
pub use link::{Encapsulation, Framing, LinkKind};
pub use packet::Packet;
pub use rng::Rng;
