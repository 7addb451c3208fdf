use std::net::IpAddr;

use sidetap_model::{Addr, Ts};

/// A TCP segment with its addresses, borrowed from the packet (or from the decoder, where it came in fragments).
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Index of the zone in the capture's zone table.
    pub zone: u16,
    /// Sender.
    pub src: Addr,
    /// Receiver.
    pub dst: Addr,
    /// Time of its packet.
    pub ts: Ts,
    /// Sequence number of its first byte (of the SYN, where that is set).
    pub seq: u32,
    /// Acknowledgement number; means something where the ACK flag is set.
    pub ack: u32,
    /// Flags.
    pub flags: TcpFlags,
    /// Window as sent, without its scale.
    pub window: u16,
    /// Payload, as far as it was captured.
    pub payload: &'a [u8],
    /// Bytes of payload that the snap length cut off.
    pub snapped: u32,
    /// Urgent pointer; means something where the URG flag is set.
    pub urgent: u16,
    /// Where the segment has the timestamps option.
    pub clocks: Option<Clocks>,
    /// How it was carried.
    pub carried: Carried,
}

/// What the timestamps option says (RFC 7323 §3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Clocks {
    /// The sender's clock.
    pub own: u32,
    /// The receiver's clock as the sender has it (`TS.Recent`); means something where the ACK flag is set.
    pub heard: u32,
}

/// What of the headers around a segment matters to its flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Carried {
    /// It came in fragments that overlapped with other bytes.
    pub disputed: bool,
    /// Which tunnel it came in, if one that is not trusted; 0 where it came in none of these.
    pub foreign: u32,
}

impl Segment<'_> {
    /// The logical shard of its flow: the same for both directions and for every run, and for whatever tunnel it came in.
    pub fn shard(&self) -> u8 {
        (self.flow_hash() >> 56) as u8
    }

    /// One of sixteen classes of flows within its logical shard, by which load is shed.
    pub fn shed_class(&self) -> u8 {
        (self.flow_hash() >> 52) as u8 & 15
    }

    fn flow_hash(&self) -> u64 {
        let hash = endpoint_hash(&self.src).wrapping_add(endpoint_hash(&self.dst));
        mix(hash ^ u64::from(self.zone))
    }
}

fn endpoint_hash(addr: &Addr) -> u64 {
    let ip = match addr.ip {
        IpAddr::V4(v4) => u64::from(u32::from(v4)),
        IpAddr::V6(v6) => {
            let bits = u128::from(v6);
            mix(bits as u64) ^ (bits >> 64) as u64
        }
    };
    mix(ip ^ u64::from(addr.port) << 48)
}

/// The finaliser of SplitMix64.
pub(crate) const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The flags of a TCP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    const FIN: u8 = 1;
    const SYN: u8 = 2;
    const RST: u8 = 4;
    const ACK: u8 = 16;
    const URG: u8 = 32;

    /// The sender has no more data.
    pub const fn fin(self) -> bool {
        self.0 & Self::FIN != 0
    }

    /// Opens a connection.
    pub const fn syn(self) -> bool {
        self.0 & Self::SYN != 0
    }

    /// Breaks a connection off.
    pub const fn rst(self) -> bool {
        self.0 & Self::RST != 0
    }

    /// The acknowledgement number means something.
    pub const fn ack(self) -> bool {
        self.0 & Self::ACK != 0
    }

    /// The urgent pointer means something.
    pub const fn urg(self) -> bool {
        self.0 & Self::URG != 0
    }
}
