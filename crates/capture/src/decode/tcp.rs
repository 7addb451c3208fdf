use std::net::IpAddr;

use etherparse::TcpHeaderSlice;
use etherparse::err::tcp::HeaderSliceError;
use sidetap_model::{Addr, Ts};

use super::DropReason;
use super::segment::{Segment, TcpFlags};
use super::walk::Walk;

/// A TCP segment as it lies in its packet.
pub(super) struct Head<'a> {
    pub(super) ends: (IpAddr, IpAddr),
    /// Header and payload.
    pub(super) walk: Walk<'a>,
    header_len: usize,
}

/// Finds where the payload begins.
pub(super) fn head<'a>(ends: (IpAddr, IpAddr), walk: Walk<'a>) -> Result<Head<'a>, DropReason> {
    match TcpHeaderSlice::from_slice(walk.data) {
        Ok(head) => Ok(Head { ends, walk, header_len: head.slice().len() }),
        Err(HeaderSliceError::Len(_)) if walk.data.len() < 20 || walk.cut > 0 => Err(DropReason::Truncated),
        Err(_) => Err(DropReason::MalformedTcp),
    }
}

impl<'a> Head<'a> {
    /// The fixed part of the header.
    #[inline]
    pub(super) fn fixed(&self) -> [u8; 20] {
        self.walk.data.first_chunk::<20>().copied().unwrap_or_default()
    }

    /// The segment for the flow table.
    pub(super) fn segment(&self, ts: Ts, zone: u16) -> Segment<'a> {
        let [s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, _, flags, w0, w1, _, _, u0, u1] = self.fixed();
        Segment {
            zone,
            src: Addr { ip: self.ends.0, port: u16::from_be_bytes([s0, s1]) },
            dst: Addr { ip: self.ends.1, port: u16::from_be_bytes([d0, d1]) },
            ts,
            seq: u32::from_be_bytes([q0, q1, q2, q3]),
            ack: u32::from_be_bytes([a0, a1, a2, a3]),
            flags: TcpFlags(flags),
            window: u16::from_be_bytes([w0, w1]),
            payload: self.walk.data.get(self.header_len..).unwrap_or_default(),
            snapped: self.walk.cut,
            urgent: u16::from_be_bytes([u0, u1]),
        }
    }
}
