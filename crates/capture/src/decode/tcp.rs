use std::net::IpAddr;

use etherparse::TcpHeaderSlice;
use etherparse::err::tcp::HeaderSliceError;
use sidetap_model::{Addr, Ts};

use super::DropReason;
use super::ends::Ends;
use super::segment::{Carried, Clocks, Segment, TcpFlags};
use super::walk::{IpFacts, Walk};

/// A TCP segment as it lies in its packet.
#[derive(Clone, Copy)]
pub(super) struct Head<'a, E = (IpAddr, IpAddr)> {
    pub(super) ends: E,
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

impl<'a, E: Ends> Head<'a, E> {
    /// The same where nothing is wrong with the header.
    #[inline]
    pub(super) fn plain(ends: E, walk: Walk<'a>) -> Option<Self> {
        let fixed = walk.data.first_chunk::<20>()?;
        let header_len = usize::from(fixed[12] >> 4) * 4;
        (20..=walk.data.len()).contains(&header_len).then_some(Head { ends, walk, header_len })
    }

    /// The fixed part of the header.
    #[inline]
    pub(super) fn fixed(&self) -> [u8; 20] {
        self.walk.data.first_chunk::<20>().copied().unwrap_or_default()
    }

    /// The segment for the flow table.
    #[inline]
    pub(super) fn segment(&self, ts: Ts, zone: u16, ip: &IpFacts) -> Segment<'a> {
        let (src, dst) = self.ends.pair();

        let [s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, _, flags, w0, w1, _, _, u0, u1] = self.fixed();
        Segment {
            zone,
            src: Addr { ip: src, port: u16::from_be_bytes([s0, s1]) },
            dst: Addr { ip: dst, port: u16::from_be_bytes([d0, d1]) },
            ts,
            seq: u32::from_be_bytes([q0, q1, q2, q3]),
            ack: u32::from_be_bytes([a0, a1, a2, a3]),
            flags: TcpFlags(flags),
            window: u16::from_be_bytes([w0, w1]),
            payload: self.walk.data.get(self.header_len..).unwrap_or_default(),
            snapped: self.walk.cut,
            urgent: u16::from_be_bytes([u0, u1]),
            clocks: clocks(self.walk.data.get(20..self.header_len).unwrap_or_default()),
            carried: Carried { foreign: ip.foreign, disputed: false },
        }
    }
}

/// The clocks among the options of a segment (RFC 7323 §3.2), most often the first behind two of padding (its appendix A).
#[inline]
fn clocks(options: &[u8]) -> Option<Clocks> {
    match options {
        [] => None,
        [1, 1, 8, 10, rest @ ..] => both(rest),
        _ => clocks_behind_others(options),
    }
}

#[inline]
fn both(value: &[u8]) -> Option<Clocks> {
    let [a, b, c, d, e, f, g, h] = *value.first_chunk::<8>()?;
    Some(Clocks { own: u32::from_be_bytes([a, b, c, d]), heard: u32::from_be_bytes([e, f, g, h]) })
}

fn clocks_behind_others(mut options: &[u8]) -> Option<Clocks> {
    // Each round takes a byte at least, and there are 40 at most.
    loop {
        options = match options {
            [8, 10, rest @ ..] => return both(rest),
            [1, rest @ ..] => rest,
            [0, ..] | [] | [_] => return None,
            [_, len, ..] => options.get(usize::from((*len).max(2))..)?,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_found_wherever_it_stands() {
        let clock = [8, 10, 1, 2, 3, 4, 5, 6, 7, 8];
        let found = Some(Clocks { own: 0x0102_0304, heard: 0x0506_0708 });
        let (mss, sack, scale) = ([2, 4, 5, 180], [4, 2], [3, 3, 7]);
        let of = |parts: &[&[u8]]| clocks(&parts.concat());
        assert_eq!(of(&[&[1, 1], &clock]), found);
        assert_eq!(of(&[&mss, &sack, &clock, &[1], &scale]), found);
        assert_eq!(of(&[&[1, 1], &clock, &[1, 1, 5, 10, 0, 0, 0, 0, 0, 0, 0, 0]]), found);
        for none in [
            &[][..],
            &mss,
            &[0, 8, 10, 1, 2, 3, 4],
            &[8, 10, 1, 2, 3, 4, 5, 6],
            &[9, 0, 0],
            &[1, 1, 8],
            &[7, 255],
        ] {
            assert_eq!(clocks(none), None, "{none:?}");
        }
    }
}
